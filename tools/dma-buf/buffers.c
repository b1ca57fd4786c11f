// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers, and the processes that hold them
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "dmaheap.h"

struct buffer {
	uint64_t ino;
	/* 0 if unknown */
	uint64_t size;
	/* length of the longest mapping, for buffers of unknown size */
	uint64_t at_least;
	/* empty if unknown */
	char exporter[256];
	char name[64];
	/* attached devices, one per line, or NULL */
	char *attached;
	/* references to its file, according to bufinfo */
	unsigned long long count;
	bool in_bufinfo;
	/* a process holds it */
	bool held;
};

/* A process that holds a buffer */
struct use {
	pid_t pid;
	char command[32];
	uint64_t ino;
	unsigned int fds;
	uint64_t mapped;
};

/* There can be many buffers and uses: the trees speed up lookups. */
struct state {
	struct buffer **buffer;
	void *buffer_tree;
	size_t nr_buffers;
	struct use **use;
	void *use_tree;
	size_t nr_uses;
	/* errno of opening bufinfo, or 0 */
	int bufinfo_errno;
	/* proc is mounted with hidepid= */
	bool hidden;
	/* a PID namespace: not all processes of the machine are in /proc */
	bool in_namespace;
	unsigned int unreadable;
};

static int by_ino(const void *a, const void *b)
{
	const struct buffer *one = a, *other = b;

	return one->ino < other->ino ? -1 : one->ino > other->ino;
}

static int by_use(const void *a, const void *b)
{
	const struct use *one = a, *other = b;

	if (one->pid != other->pid)
		return one->pid < other->pid ? -1 : 1;

	return one->ino < other->ino ? -1 : one->ino > other->ino;
}

static int by_use_sort(const void *a, const void *b)
{
	return by_use(*(const struct use * const *)a, *(const struct use * const *)b);
}

/* Make room for one more in an array that grows to powers of two. */
static void *grow(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;

	return must(reallocarray(array, nr ? 2 * nr : 1, size));
}

static struct buffer *get_buffer(struct state *state, uint64_t ino)
{
	struct buffer *buffer = must(calloc(1, sizeof(*buffer)));
	struct buffer **found;

	buffer->ino = ino;
	found = must(tsearch(buffer, &state->buffer_tree, by_ino));
	if (*found != buffer) {
		free(buffer);
		return *found;
	}
	state->buffer = grow(state->buffer, state->nr_buffers, sizeof(buffer));
	state->buffer[state->nr_buffers++] = buffer;

	return buffer;
}

static struct use *get_use(struct state *state, pid_t pid, const char *command, uint64_t ino)
{
	struct use *use = must(calloc(1, sizeof(*use)));
	struct use **found;

	use->pid = pid;
	use->ino = ino;
	snprintf(use->command, sizeof(use->command), "%s", command);
	found = must(tsearch(use, &state->use_tree, by_use));
	if (*found != use) {
		free(use);
		return *found;
	}
	state->use = grow(state->use, state->nr_uses, sizeof(use));
	state->use[state->nr_uses++] = use;

	return use;
}

static void free_nothing(void *node)
{
	(void)node;
}

static void free_state(struct state *state)
{
	size_t i;

	tdestroy(state->buffer_tree, free_nothing);
	tdestroy(state->use_tree, free_nothing);
	for (i = 0; i < state->nr_buffers; i++) {
		free(state->buffer[i]->attached);
		free(state->buffer[i]);
	}
	for (i = 0; i < state->nr_uses; i++)
		free(state->use[i]);
	free(state->buffer);
	free(state->use);
	*state = (struct state) {};
}

/*
 * Parse the line of a buffer. Part of a buffer's name can look like the start of
 * such a line, as names can contain newlines. But a name is too short for four
 * fields of eight digits.
 */
static bool parse_buffer(const char *line, struct buffer *buffer)
{
	unsigned long long size, count, ino;
	int end[4] = {}, name = 0;
	unsigned int mode;

	if (sscanf(line, "%llu%n\t%x%n\t%x%n\t%llu%n\t%255[^\t]\t%llu\t%n", &size, &end[0], &mode,
		   &end[1], &mode, &end[2], &count, &end[3], buffer->exporter, &ino, &name) < 6)
		return false;
	if (end[0] < 8 || end[1] - end[0] < 9 || end[2] - end[1] < 9 || end[3] - end[2] < 9)
		return false;
	buffer->size = size;
	buffer->count = count;
	buffer->ino = ino;
	snprintf(buffer->name, sizeof(buffer->name), "%s", name ? line + name : "");
	buffer->name[strcspn(buffer->name, "\n")] = '\0';
	if (!strcmp(buffer->name, "<none>"))
		buffer->name[0] = '\0';

	return true;
}

static void attach(struct buffer *buffer, const char *device)
{
	char *list;

	if (asprintf(&list, "%s%s%s", buffer->attached ?: "", buffer->attached ? "\n" : "",
		     device) < 0)
		list = NULL;
	must(list);
	free(buffer->attached);
	buffer->attached = list;
}

/* Read all buffers and their attached devices from debugfs. */
static void read_bufinfo(struct state *state)
{
	struct buffer *buffer = NULL, parsed;
	bool devices = false;
	char line[1024];
	FILE *f = fopen(BUFINFO, "re");

	state->bufinfo_errno = f ? 0 : errno;
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (parse_buffer(line, &parsed)) {
			buffer = get_buffer(state, parsed.ino);
			buffer->size = parsed.size;
			buffer->count = parsed.count;
			buffer->in_bufinfo = true;
			strcpy(buffer->exporter, parsed.exporter);
			strcpy(buffer->name, parsed.name);
			devices = false;
		} else if (!strcmp(line, "\tAttached Devices:\n")) {
			/* Earlier ones are part of the buffer's name. */
			if (buffer) {
				free(buffer->attached);
				buffer->attached = NULL;
			}
			devices = true;
		} else if (devices && buffer && line[0] == '\t') {
			line[strcspn(line, "\n")] = '\0';
			attach(buffer, line + 1);
		} else {
			devices = false;
		}
	}
	fclose(f);
}

/* Did the last call fail for lack of permission? */
static bool is_refused(void)
{
	return errno == EACCES || errno == EPERM;
}

/* @dir: a process or a thread in /proc; false for lack of permission */
static bool read_fd(struct state *state, pid_t pid, const char *command, const char *dir,
		    const char *fd)
{
	char path[320], line[400], exporter[256] = "", name[64] = "";
	unsigned long long size = 0;
	struct buffer *buffer;
	struct statfs fs;
	struct stat st;
	FILE *f;

	/* Other files can have such a name: check the filesystem. */
	snprintf(path, sizeof(path), "%s/fd/%s", dir, fd);
	if (statfs(path, &fs) || stat(path, &st))
		return !is_refused();
	if (fs.f_type != DMA_BUF_MAGIC)
		return true;
	snprintf(path, sizeof(path), "%s/fdinfo/%s", dir, fd);
	f = fopen(path, "re");
	if (!f)
		return !is_refused();
	while (fgets(line, sizeof(line), f)) {
		/* This is the last line. The rest can be part of the name. */
		if (!strncmp(line, "name:\t", 6)) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(name, sizeof(name), "%.63s", line + 6);
			break;
		}
		if (sscanf(line, "size:\t%llu", &size) == 1 ||
		    sscanf(line, "exp_name:\t%255[^\n]", exporter) == 1)
			continue;
	}
	fclose(f);
	buffer = get_buffer(state, st.st_ino);
	buffer->held = true;
	if (!buffer->in_bufinfo) {
		buffer->size = size;
		strcpy(buffer->exporter, exporter);
		strcpy(buffer->name, name);
	}
	get_use(state, pid, command, st.st_ino)->fds++;

	return true;
}

/* @any: set if there are descriptors */
static bool read_fds(struct state *state, pid_t pid, const char *command, const char *dir,
		     bool *any)
{
	const struct dirent *entry;
	char path[320], target[300];
	bool seen = true;
	ssize_t n;
	DIR *fds;

	snprintf(path, sizeof(path), "%s/fd", dir);
	fds = opendir(path);
	if (!fds)
		return !is_refused();
	while ((entry = readdir(fds))) {
		if (*entry->d_name == '.')
			continue;
		*any = true;
		snprintf(path, sizeof(path), "%s/fd/%s", dir, entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			seen &= !is_refused();
		target[n > 0 ? n : 0] = '\0';
		if (!strncmp(target, "/dmabuf:", 8))
			seen &= read_fd(state, pid, command, dir, entry->d_name);
	}
	closedir(fds);

	return seen;
}

static bool read_maps(struct state *state, pid_t pid, const char *command, const char *dir,
		      bool *any)
{
	unsigned long long start, end, ino;
	struct buffer *buffer;
	unsigned int major;
	char *line = NULL;
	struct statfs fs;
	char path[100];
	size_t size = 0;
	int name;
	FILE *f;

	snprintf(path, sizeof(path), "%s/maps", dir);
	f = fopen(path, "re");
	if (!f)
		return !is_refused();
	while (getline(&line, &size, f) > 0) {
		*any = true;
		name = 0;
		if (sscanf(line, "%llx-%llx %*s %*x %x:%*x %llu %n", &start, &end, &major, &ino,
			   &name) < 4 || !name || major)
			continue;
		if (strncmp(line + name, "/dmabuf:", 8))
			continue;
		/* Other files can have such a name; only root can check. */
		snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, start, end);
		if (!statfs(path, &fs) && fs.f_type != DMA_BUF_MAGIC)
			continue;
		buffer = get_buffer(state, ino);
		buffer->held = true;
		if (buffer->at_least < end - start)
			buffer->at_least = end - start;
		get_use(state, pid, command, ino)->mapped += end - start;
	}
	free(line);
	fclose(f);

	return true;
}

/*
 * If the main thread has exited and others have not, only the folders of the
 * other threads show descriptors and mappings, and all show the same.
 */
static bool read_threads(struct state *state, pid_t pid, const char *command)
{
	const struct dirent *entry;
	bool any = false, seen = true;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return !is_refused();
	while (!any && (entry = readdir(dir))) {
		if (*entry->d_name == '.' || atoi(entry->d_name) == pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s", pid, entry->d_name);
		seen &= read_fds(state, pid, command, path, &any);
		seen &= read_maps(state, pid, command, path, &any);
	}
	closedir(dir);

	return seen;
}

static bool read_process(struct state *state, pid_t pid, const char *command)
{
	bool any = false, seen;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	seen = read_fds(state, pid, command, path, &any);
	seen &= read_maps(state, pid, command, path, &any);
	if (!any)
		seen &= read_threads(state, pid, command);

	return seen;
}

static void read_processes(struct state *state)
{
	const struct dirent *entry;
	char path[64], command[32];
	DIR *dir = opendir("/proc");
	struct stat st;
	pid_t pid;

	if (!dir)
		die(EXIT_UNKNOWN, "cannot read /proc: %s", strerror(errno));
	state->hidden = stat("/proc/1", &st);
	/* the inode number of the initial namespace */
	state->in_namespace = !stat("/proc/self/ns/pid", &st) && st.st_ino != 0xeffffffc;
	while ((entry = readdir(dir))) {
		pid = atoi(entry->d_name);
		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (!read_line(path, command, sizeof(command))) {
			state->unreadable += is_refused();
			continue;
		}
		state->unreadable += !read_process(state, pid, command);
	}
	closedir(dir);
}

static void note_unreadable(const struct state *state)
{
	if (state->unreadable)
		out_note("processes that could not be looked at: %u", state->unreadable);
	if (state->hidden)
		out_note("/proc hides the processes of other users");
	if (state->in_namespace)
		out_note("processes outside this PID namespace cannot be looked at");
}

static void note_bufinfo(const struct state *state, const char *what)
{
	if (state->bufinfo_errno == EACCES || state->bufinfo_errno == EPERM)
		out_note("%s: " BUFINFO " is for root", what);
	else if (state->bufinfo_errno)
		out_note("%s: there is no " BUFINFO " (is debugfs mounted?)", what);
}

static void note_missing(const struct state *state)
{
	note_unreadable(state);
	note_bufinfo(state, "attached devices, and buffers that no process has, are not known");
}

static bool have_all_processes(const struct state *state)
{
	return !state->unreadable && !state->hidden && !state->in_namespace;
}

static void put_known(const char *text)
{
	if (*text)
		put_text(text);
	else
		put_unknown();
}

static void put_attached(const struct state *state, const struct buffer *buffer)
{
	if (state->bufinfo_errno) {
		put_unknown();
		return;
	}
	if (buffer->attached)
		put_item(buffer->attached);
	put_list();
}

int cmd_who(int argc, char **argv)
{
	static const struct column columns[] = {
		{ "PID", "pid", COLUMN_NUMBER },
		{ "COMMAND", "command", COLUMN_TEXT },
		{ "HEAP", "heap", COLUMN_TEXT },
		{ "INODE", "inode", COLUMN_NUMBER },
		{ "SIZE", "size", COLUMN_BYTES },
		{ "FDS", "fds", COLUMN_NUMBER },
		{ "MAPPED", "mapped", COLUMN_BYTES },
		{ "NAME", "name", COLUMN_TEXT },
		{ "ATTACHED", "attached", COLUMN_LIST },
	};
	struct state state = {};
	const struct heap *heap;
	bool known = false;
	const char *only;
	size_t i;

	if (!only_common_options(argc, argv))
		return EXIT_USAGE;
	if (argc - optind > 1) {
		fputs("dmaheap: who takes one heap at most, see --help\n", stderr);
		return EXIT_USAGE;
	}
	only = argv[optind];
	/* Buffers of an alias have the name of the heap. */
	heap = only ? find_heap(find_heaps(), only) : NULL;
	if (heap && *heap->target)
		only = heap->target;
	read_bufinfo(&state);
	read_processes(&state);
	if (state.nr_uses)
		qsort(state.use, state.nr_uses, sizeof(*state.use), by_use_sort);

	out_begin("who");
	out_table("uses", columns, ARRAY_SIZE(columns));
	for (i = 0; i < state.nr_uses; i++) {
		const struct use *use = state.use[i];
		const struct buffer *buffer = get_buffer(&state, use->ino);

		if (only && strcmp(buffer->exporter, only))
			continue;
		known = true;
		put_number(use->pid);
		put_text(use->command);
		put_known(buffer->exporter);
		put_number(use->ino);
		if (buffer->size)
			put_number(buffer->size);
		else
			put_unknown();
		put_number(use->fds);
		put_number(use->mapped);
		put_known(buffer->name);
		put_attached(&state, buffer);
	}
	if (only && !heap && !known)
		die(have_all_processes(&state) ? EXIT_NO : EXIT_UNKNOWN,
		    "there is no heap %s, and no process that was looked at has a buffer of such an exporter",
		    only);
	note_missing(&state);
	out_end();
	free_state(&state);

	return 0;
}

/* ---- leaks ---- */

static bool is_of_a_heap(const struct heaps *heaps, const struct buffer *buffer)
{
	return find_heap(heaps, buffer->exporter);
}

static uint64_t size_of(const struct buffer *buffer)
{
	return buffer->size ?: buffer->at_least;
}

/* Count the buffers and bytes of a process, each buffer once. */
static void sum_process(struct state *state, pid_t pid, uint64_t *buffers, uint64_t *bytes)
{
	size_t i;

	*buffers = 0;
	*bytes = 0;
	for (i = 0; i < state->nr_uses; i++) {
		if (state->use[i]->pid != pid)
			continue;
		++*buffers;
		*bytes += size_of(get_buffer(state, state->use[i]->ino));
	}
}

static void put_growth(struct state *before, struct state *after)
{
	static const struct column columns[] = {
		{ "PID", "pid", COLUMN_NUMBER },
		{ "COMMAND", "command", COLUMN_TEXT },
		{ "BUFFERS", "buffers", COLUMN_NUMBER },
		{ "MORE", "more_buffers", COLUMN_NUMBER },
		{ "BYTES", "bytes", COLUMN_BYTES },
		{ "MORE", "more_bytes", COLUMN_BYTES },
	};
	uint64_t buffers, bytes, old_buffers, old_bytes;
	size_t i;

	out_table("growth", columns, ARRAY_SIZE(columns));
	for (i = 0; i < after->nr_uses; i++) {
		if (i && after->use[i]->pid == after->use[i - 1]->pid)
			continue;
		sum_process(before, after->use[i]->pid, &old_buffers, &old_bytes);
		sum_process(after, after->use[i]->pid, &buffers, &bytes);
		if (bytes <= old_bytes && buffers <= old_buffers)
			continue;
		put_number(after->use[i]->pid);
		put_text(after->use[i]->command);
		put_number(buffers);
		put_number(buffers > old_buffers ? buffers - old_buffers : 0);
		put_number(bytes);
		put_number(bytes > old_bytes ? bytes - old_bytes : 0);
	}
}

/*
 * A process can pass a buffer to a process that was already read, and close it.
 * Then no process seems to hold it. Read the processes again a few times if
 * there are such buffers.
 */
static void look_again(struct state *state)
{
	struct state again = {};
	unsigned int tries;
	bool suspects;
	size_t i;

	for (tries = 0; tries < 3; tries++) {
		suspects = false;
		for (i = 0; i < state->nr_buffers; i++)
			suspects |= state->buffer[i]->in_bufinfo && !state->buffer[i]->held;
		if (!suspects)
			return;
		read_processes(&again);
		for (i = 0; i < state->nr_buffers; i++)
			state->buffer[i]->held |= get_buffer(&again, state->buffer[i]->ino)->held;
		free_state(&again);
	}
}

int cmd_leaks(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "interval", required_argument, NULL, 'i' },
		OPTION_JSON,
		OPTION_BYTES,
		OPTION_HELP,
		{},
	};
	static const struct column columns[] = {
		{ "HEAP", "heap", COLUMN_TEXT },
		{ "INODE", "inode", COLUMN_NUMBER },
		{ "SIZE", "size", COLUMN_BYTES },
		{ "REFERENCES", "references", COLUMN_NUMBER },
		{ "NAME", "name", COLUMN_TEXT },
		{ "ATTACHED", "attached", COLUMN_LIST },
	};
	struct state first = {}, second = {}, later = {};
	const struct heaps *heaps = find_heaps();
	bool all = false, interval = false, looked;
	const struct buffer *still;
	unsigned int found = 0;
	struct timespec time;
	size_t i;
	int opt;

	while ((opt = getopt_long(argc, argv, "ai:" COMMON_LETTERS, options, NULL)) != -1) {
		switch (opt) {
		case 'a':
			all = true;
			break;
		case 'i':
			if (!parse_seconds(optarg, &time)) {
				fprintf(stderr, "dmaheap: no number of seconds: %s\n", optarg);
				return EXIT_USAGE;
			}
			interval = true;
			break;
		default:
			if (!common_option(opt))
				return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "dmaheap: leaks takes no such argument: %s\n", argv[optind]);
		return EXIT_USAGE;
	}

	/* A leak is in bufinfo before and after the processes are read. */
	read_bufinfo(&first);
	read_processes(&first);
	looked = !first.bufinfo_errno && have_all_processes(&first);
	if (looked)
		look_again(&first);
	if (interval) {
		nanosleep(&time, NULL);
		read_bufinfo(&later);
		read_processes(&later);
	}
	read_bufinfo(&second);

	out_begin("leaks");
	out_table("leaks", columns, ARRAY_SIZE(columns));
	for (i = 0; looked && i < first.nr_buffers; i++) {
		const struct buffer *buffer = first.buffer[i];

		if (!buffer->in_bufinfo || buffer->held || (!all && !is_of_a_heap(heaps, buffer)))
			continue;
		still = get_buffer(&second, buffer->ino);
		if (!still->in_bufinfo || (interval && get_buffer(&later, buffer->ino)->held))
			continue;
		found++;
		put_text(buffer->exporter);
		put_number(buffer->ino);
		put_number(buffer->size);
		put_number(still->count);
		put_known(buffer->name);
		put_attached(&second, still);
	}
	if (interval)
		put_growth(&first, &later);
	note_bufinfo(&first, "cannot look for leaks");
	note_unreadable(&first);
	if (!looked && !first.bufinfo_errno)
		out_note("cannot look for leaks: a process that is not seen may have a buffer");
	if (found)
		out_note("a driver may have these, or a message that has not been received");
	out_end();
	free_state(&first);
	free_state(&second);
	free_state(&later);

	return !looked ? EXIT_UNKNOWN : found ? EXIT_NO : 0;
}

/* ---- top ---- */

struct total {
	char name[256];
	pid_t pid;
	uint64_t buffers;
	uint64_t bytes;
	uint64_t attached;
};

static int by_bytes(const void *a, const void *b)
{
	const struct total *one = a, *other = b;

	if (one->bytes != other->bytes)
		return one->bytes > other->bytes ? -1 : 1;

	return strcmp(one->name, other->name) ?: one->pid - other->pid;
}

static struct total *get_total(struct total **totals, size_t *nr, const char *name, pid_t pid)
{
	size_t i;

	for (i = 0; i < *nr; i++) {
		if ((*totals)[i].pid == pid && !strcmp((*totals)[i].name, name))
			return &(*totals)[i];
	}
	*totals = must(realloc(*totals, (*nr + 1) * sizeof(**totals)));
	(*totals)[*nr] = (struct total) { .pid = pid };
	snprintf((*totals)[*nr].name, sizeof((*totals)[*nr].name), "%s", name);

	return &(*totals)[(*nr)++];
}

static void put_heaps(const struct state *state)
{
	static const struct column columns[] = {
		{ "HEAP", "heap", COLUMN_TEXT },
		{ "BUFFERS", "buffers", COLUMN_NUMBER },
		{ "BYTES", "bytes", COLUMN_BYTES },
		{ "ATTACHED", "attached_buffers", COLUMN_NUMBER },
	};
	struct total *totals = NULL, *total;
	size_t nr = 0, i;

	for (i = 0; i < state->nr_buffers; i++) {
		const struct buffer *buffer = state->buffer[i];

		total = get_total(&totals, &nr, buffer->exporter, 0);
		total->buffers++;
		total->bytes += size_of(buffer);
		total->attached += !!buffer->attached;
	}
	if (nr)
		qsort(totals, nr, sizeof(*totals), by_bytes);
	out_table("heaps", columns, ARRAY_SIZE(columns));
	for (i = 0; i < nr; i++) {
		put_known(totals[i].name);
		put_number(totals[i].buffers);
		put_number(totals[i].bytes);
		if (state->bufinfo_errno)
			put_unknown();
		else
			put_number(totals[i].attached);
	}
	free(totals);
}

static void put_users(struct state *state)
{
	static const struct column columns[] = {
		{ "PID", "pid", COLUMN_NUMBER },
		{ "COMMAND", "command", COLUMN_TEXT },
		{ "BUFFERS", "buffers", COLUMN_NUMBER },
		{ "BYTES", "bytes", COLUMN_BYTES },
	};
	struct total *totals = NULL, *total;
	size_t nr = 0, i;

	for (i = 0; i < state->nr_uses; i++) {
		total = get_total(&totals, &nr, state->use[i]->command, state->use[i]->pid);
		total->buffers++;
		total->bytes += size_of(get_buffer(state, state->use[i]->ino));
	}
	if (nr)
		qsort(totals, nr, sizeof(*totals), by_bytes);
	out_table("processes", columns, ARRAY_SIZE(columns));
	for (i = 0; i < nr; i++) {
		put_number(totals[i].pid);
		put_text(totals[i].name);
		put_number(totals[i].buffers);
		put_number(totals[i].bytes);
	}
	free(totals);
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		{ "delay", required_argument, NULL, 'd' },
		{ "iterations", required_argument, NULL, 'n' },
		OPTION_JSON,
		OPTION_BYTES,
		OPTION_HELP,
		{},
	};
	struct timespec delay = { .tv_sec = 2 };
	uint64_t iterations = 0, i;
	struct state state = {};
	int opt;

	while ((opt = getopt_long(argc, argv, "d:n:" COMMON_LETTERS, options, NULL)) != -1) {
		switch (opt) {
		case 'd':
			if (!parse_seconds(optarg, &delay) ||
			    (!delay.tv_sec && delay.tv_nsec < 100000000)) {
				fprintf(stderr, "dmaheap: no delay of 0.1 or more seconds: %s\n",
					optarg);
				return EXIT_USAGE;
			}
			break;
		case 'n':
			if (!parse_size(optarg, &iterations) || !iterations) {
				fprintf(stderr, "dmaheap: no number of times: %s\n", optarg);
				return EXIT_USAGE;
			}
			break;
		default:
			if (!common_option(opt))
				return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "dmaheap: top takes no such argument: %s\n", argv[optind]);
		return EXIT_USAGE;
	}
	for (i = 0; !iterations || i < iterations; i++) {
		if (i)
			nanosleep(&delay, NULL);
		if (!opt_json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		else if (!opt_json && i)
			putchar('\n');
		read_bufinfo(&state);
		read_processes(&state);
		out_begin("top");
		put_heaps(&state);
		if (!opt_json && state.nr_uses) {
			out_flag("", false);
			putchar('\n');
		}
		put_users(&state);
		note_missing(&state);
		out_end();
		free_state(&state);
	}

	return 0;
}
