// SPDX-License-Identifier: GPL-2.0
/*
 * dmaheap - look at DMA-BUF heaps and their buffers
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dmaheap.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *help;
} commands[] = {
	{ "list", cmd_list, "", "heaps, what they are, what memory they have, who may open them" },
	{ "alloc", cmd_alloc, "[-c COUNT] [-f] [-v] [-H SECONDS] HEAP SIZE [[--] COMMAND...]",
	  "allocate, fill and verify buffers; hold them, or run a command that has them" },
	{ "why", cmd_why, "HEAP SIZE", "can a buffer of that size be had, and if not, why?" },
	{ "who", cmd_who, "[HEAP]", "which process has which buffer" },
	{ "leaks", cmd_leaks, "[-a] [-i SECONDS]",
	  "buffers that no process has, and processes that have more after some time" },
	{ "top", cmd_top, "[-d SECONDS] [-n TIMES]", "buffers of each heap and each process" },
	{ "names", cmd_names, "", "names that known programs open: are they here?" },
	{ "udev", cmd_udev, "[-g GROUP] [-p PROPERTY,...]",
	  "print rules: a group may open heaps, links for missing names" },
	{ "import", cmd_import, "HEAP", "which of /dev/video* and /dev/dri/* takes a buffer?" },
};

static void print_help(FILE *f)
{
	size_t i;

	fputs("usage: dmaheap COMMAND [--json] [--bytes] [ARGUMENT...]\n\n", f);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments,
			commands[i].help);
	fputs("\nSizes are bytes, or have K, M or G behind them. See dmaheap(1).\n", f);
}

/* Handle an option that every command accepts; false for other options. */
bool common_option(int opt)
{
	switch (opt) {
	case 'j':
		opt_json = true;
		return true;
	case 'b':
		opt_bytes = true;
		return true;
	case 'h':
		print_help(stdout);
		exit(0);
	default:
		return false;
	}
}

static const struct option common_options[] = { OPTION_JSON, OPTION_BYTES, OPTION_HELP, {} };

/* For commands without options of their own */
bool only_common_options(int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, COMMON_LETTERS, common_options, NULL)) != -1) {
		if (!common_option(opt))
			return false;
	}

	return true;
}

int main(int argc, char **argv)
{
	int opt, first;
	size_t i;

	while ((opt = getopt_long(argc, argv, "+" COMMON_LETTERS, common_options, NULL)) != -1) {
		if (!common_option(opt)) {
			print_help(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	first = optind;
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[first], commands[i].name)) {
			optind = 0;
			return commands[i].run(argc - first, argv + first);
		}
	}
	fprintf(stderr, "dmaheap: no such command: %s\n", argv[first]);

	return EXIT_USAGE;
}
