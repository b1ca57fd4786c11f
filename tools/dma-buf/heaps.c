// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps, and their properties
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dmaheap.h"

/*
 * Names that programs open, according to their source code. Not vidbuf_cached of
 * Raspberry Pi: what it stands for depends on the machine.
 */
static const struct {
	const char *name;
	const char *clients;
} known_names[] = {
	{ "system", "Kodi\nRockchip MPP\nlibcamera" },
	{ "linux,cma", "GStreamer\nKodi\nlibcamera\nrpicam-apps" },
	{ "reserved", "Kodi\nlibcamera" },
	{ "cma", "Rockchip MPP" },
	{ "system-uncached", "Rockchip MPP" },
	{ "cma-uncached", "Rockchip MPP" },
	{ "system-dma32", "Rockchip MPP" },
	{ "cma-dma32", "Rockchip MPP" },
	{ "system-uncached-dma32", "Rockchip MPP" },
	{ "cma-uncached-dma32", "Rockchip MPP" },
};

/* Read the first line of a file, without its newline. Sets errno on failure. */
bool read_line(const char *path, char *line, size_t size)
{
	FILE *f;
	bool read;

	errno = 0;
	f = fopen(path, "re");
	read = f && fgets(line, size, f);
	if (f)
		fclose(f);
	if (read)
		line[strcspn(line, "\n")] = '\0';

	return read;
}

static bool read_attribute(const char *heap, const char *name, char *value, size_t size)
{
	char path[600];

	snprintf(path, sizeof(path), SYSFS_DIR "/%s/%s", heap, name);
	if (read_line(path, value, size))
		return true;
	*value = '\0';

	return false;
}

/* Is @word one of @words, which are separated by spaces? */
bool has_word(const char *words, const char *word)
{
	const size_t n = strlen(word);
	const char *p;

	for (p = words; (p = strstr(p, word)); p += n) {
		if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	}

	return false;
}

/* The words for these bits in sysfs, in the order of sysfs */
static const struct {
	uint32_t bit;
	const char *word;
} bit_words[] = {
	{ DMA_HEAP_CONTIGUOUS, "contiguous" },
	{ DMA_HEAP_PROTECTED, "protected" },
	{ DMA_HEAP_WRITE_COMBINED, "write-combined" },
	{ DMA_HEAP_CC_SHARED, "cc-shared" },
	{ DMA_HEAP_DEDICATED, "dedicated" },
};

static void words_of(uint32_t bits, char *words, size_t size)
{
	unsigned int i;

	*words = '\0';
	for (i = 0; i < ARRAY_SIZE(bit_words); i++) {
		if (bits & bit_words[i].bit)
			snprintf(words + strlen(words), size - strlen(words), "%s%s",
				 *words ? " " : "", bit_words[i].word);
		bits &= ~bit_words[i].bit;
	}
	if (bits)
		snprintf(words + strlen(words), size - strlen(words), "%sunknown",
			 *words ? " " : "");
	if (!*words)
		snprintf(words, size, "none");
}

/* Bytes in buffers of the heap, or -1 if this user may not read that */
static long long read_used(const char *heap)
{
	char path[600], line[200];
	long long used = -1;
	FILE *f;

	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s", heap);
	f = fopen(path, "re");
	while (f && used < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "bytes: %lld", &used) != 1)
			used = -1;
	}
	if (f)
		fclose(f);

	return used;
}

/* The name of a heap is one component of a path. */
static bool is_name(const char *name)
{
	return *name && strlen(name) < 256 && !strchr(name, '/') && strcmp(name, ".") &&
	       strcmp(name, "..");
}

int open_heap(const char *name)
{
	char path[300];

	if (!is_name(name)) {
		errno = ENOENT;
		return -1;
	}
	snprintf(path, sizeof(path), DEV_DIR "/%s", name);

	/* O_RDONLY is enough. Mode 0640 or an ACL may allow no more. */
	return open(path, O_RDONLY | O_CLOEXEC);
}

const char *group_name(gid_t gid)
{
	static char number[16];
	const struct group *group = getgrgid(gid);

	if (group)
		return group->gr_name;
	snprintf(number, sizeof(number), "%u", gid);

	return number;
}

static void look_at(struct heap *heap)
{
	char path[600], target[256];
	const char *real;
	char *end;
	int fd;

	snprintf(path, sizeof(path), DEV_DIR "/%s", heap->name);
	if (!lstat(path, &heap->st) && S_ISLNK(heap->st.st_mode)) {
		heap->is_link = true;
		end = realpath(path, NULL);
		if (end)
			snprintf(heap->target, sizeof(heap->target), "%s", strrchr(end, '/') + 1);
		free(end);
	}
	if (stat(path, &heap->st))
		heap->node_errno = errno;
	else if (!S_ISCHR(heap->st.st_mode))
		heap->node_errno = ENOENT;

	/* A link of udev has no folder in sysfs, but may lead to an alias. */
	real = *heap->target ? heap->target : heap->name;
	if (read_attribute(real, "alias_of", target, sizeof(target)))
		snprintf(heap->target, sizeof(heap->target), "%s", target);
	real = *heap->target ? heap->target : heap->name;
	heap->has_properties = read_attribute(real, "properties", heap->properties,
					      sizeof(heap->properties)) &&
			       read_attribute(real, "restrictions", heap->restrictions,
					      sizeof(heap->restrictions));
	heap->used = read_used(real);
	read_attribute(real, "charged_to", heap->charged_to, sizeof(heap->charged_to));

	if (heap->node_errno) {
		heap->open_errno = heap->node_errno;
		return;
	}
	fd = open_heap(heap->name);
	if (fd < 0) {
		heap->open_errno = errno;
		return;
	}
	heap->has_info = !ioctl(fd, DMA_HEAP_IOCTL_GET_INFO, &heap->info);
	close(fd);
	if (heap->has_info && !heap->has_properties) {
		heap->has_properties = true;
		words_of(heap->info.properties, heap->properties, sizeof(heap->properties));
		words_of(heap->info.restrictions, heap->restrictions, sizeof(heap->restrictions));
	}
}

const struct heap *find_heap(const struct heaps *heaps, const char *name)
{
	unsigned int i;

	for (i = 0; i < heaps->nr; i++) {
		if (!strcmp(heaps->heap[i].name, name))
			return &heaps->heap[i];
	}

	return NULL;
}

static void add_names(struct heaps *heaps, const char *folder)
{
	const struct dirent *entry;
	DIR *dir = opendir(folder);

	while (dir && (entry = readdir(dir))) {
		if (!is_name(entry->d_name) || find_heap(heaps, entry->d_name))
			continue;
		heaps->heap = must(realloc(heaps->heap, (heaps->nr + 1) * sizeof(*heaps->heap)));
		heaps->heap[heaps->nr] = (struct heap) {};
		strcpy(heaps->heap[heaps->nr++].name, entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct heap *)a)->name, ((const struct heap *)b)->name);
}

/* All heaps with a node or a folder in sysfs. Callers must not free them. */
struct heaps *find_heaps(void)
{
	static struct heaps heaps;
	unsigned int i;

	free(heaps.heap);
	heaps = (struct heaps) {};
	add_names(&heaps, DEV_DIR);
	add_names(&heaps, SYSFS_DIR);
	if (heaps.nr)
		qsort(heaps.heap, heaps.nr, sizeof(*heaps.heap), by_name);
	for (i = 0; i < heaps.nr; i++)
		look_at(&heaps.heap[i]);

	return &heaps;
}

/* Words separated by spaces; only text output shows "none". */
static void put_words(const struct heap *heap, const char *words)
{
	char *copy, *word, *state;

	if (!heap->has_properties) {
		put_unknown();
		return;
	}
	copy = must(strdup(words));
	for (word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
		if (!opt_json || strcmp(words, "none"))
			put_item(word);
	}
	free(copy);
	put_list();
}

static void put_memory(const struct heap *heap, uint64_t bytes)
{
	if (heap->has_info && heap->info.size)
		put_number(bytes);
	else
		put_unknown();
}

static void put_aliases(const struct heaps *heaps, const struct heap *heap)
{
	unsigned int i;

	for (i = 0; i < heaps->nr; i++) {
		if (!strcmp(heaps->heap[i].target, heap->name))
			put_item(heaps->heap[i].name);
	}
	put_list();
}

static void note_missing(const struct heaps *heaps)
{
	unsigned int i, closed = 0, missing = 0, old = 0, silent = 0;

	for (i = 0; i < heaps->nr; i++) {
		const struct heap *heap = &heaps->heap[i];

		if (heap->node_errno == ENOENT)
			missing++;
		else if (heap->open_errno)
			closed++;
		else if (!heap->has_info)
			old++;
		else
			silent += !heap->info.size || !heap->info.address_bits;
	}
	if (!heaps->nr)
		out_note("there are no heaps: are there any in the kernel's configuration?");
	if (missing)
		out_note("%u of %u heaps have no node in " DEV_DIR, missing, heaps->nr);
	if (closed)
		out_note("%u of %u heaps may not be opened by this user: memory not known",
			 closed, heaps->nr - missing);
	if (old)
		out_note("no DMA_HEAP_IOCTL_GET_INFO in this kernel: properties, memory not known");
	if (silent)
		out_note("%u of %u heaps do not report all of their memory and addresses",
			 silent, heaps->nr - missing);
}

/* Notes for columns that only "list" has */
static void note_unused(const struct heaps *heaps)
{
	unsigned int i;

	for (i = 0; i < heaps->nr; i++) {
		if (heaps->heap[i].used < 0)
			out_note("bytes in buffers are in " DEBUGFS_DIR ", for root: not known");
		if (opt_json && !*heaps->heap[i].charged_to)
			out_note("no charged_to in sysfs in this kernel");
	}
}

int cmd_list(int argc, char **argv)
{
	static const struct column columns[] = {
		{ "HEAP", "name", COLUMN_TEXT },
		{ "PROPERTIES", "properties", COLUMN_LIST },
		{ "RESTRICTIONS", "restrictions", COLUMN_LIST },
		{ "BITS", "address_bits", COLUMN_NUMBER },
		{ "SIZE", "size", COLUMN_BYTES },
		{ "USED", "used", COLUMN_BYTES },
		{ "FREE", "free", COLUMN_BYTES },
		{ "LARGEST", "largest", COLUMN_BYTES },
		{ NULL, "charged_to", COLUMN_TEXT },
		{ NULL, "node", COLUMN_TEXT },
		{ "MODE", "mode", COLUMN_TEXT },
		{ "GROUP", "group", COLUMN_TEXT },
		{ NULL, "alias_of", COLUMN_TEXT },
		{ "ALIASES", "aliases", COLUMN_LIST },
	};
	const struct heaps *heaps = find_heaps();
	char text[16];
	unsigned int i;

	if (!only_common_options(argc, argv))
		return EXIT_USAGE;
	if (optind < argc) {
		fprintf(stderr, "dmaheap: list takes no argument: %s\n", argv[optind]);
		return EXIT_USAGE;
	}
	out_begin("list");
	out_table("heaps", columns, ARRAY_SIZE(columns));
	for (i = 0; i < heaps->nr; i++) {
		const struct heap *heap = &heaps->heap[i];

		put_text(heap->name);
		put_words(heap, heap->properties);
		put_words(heap, heap->restrictions);
		if (heap->has_info && heap->info.address_bits)
			put_number(heap->info.address_bits);
		else
			put_unknown();
		put_memory(heap, heap->info.size);
		if (heap->used >= 0)
			put_number(heap->used);
		else
			put_unknown();
		put_memory(heap, heap->info.free);
		put_memory(heap, heap->info.largest);
		if (*heap->charged_to)
			put_text(heap->charged_to);
		else
			put_unknown();
		if (!heap->node_errno) {
			snprintf(text, sizeof(text), "%u:%u", major(heap->st.st_rdev),
				 minor(heap->st.st_rdev));
			put_text(text);
			snprintf(text, sizeof(text), "%04o", heap->st.st_mode & 07777);
			put_text(text);
			put_text(group_name(heap->st.st_gid));
		} else {
			put_unknown();
			put_unknown();
			put_unknown();
		}
		if (*heap->target)
			put_text(heap->target);
		else
			put_unknown();
		put_aliases(heaps, heap);
	}
	note_missing(heaps);
	note_unused(heaps);
	out_end();

	return heaps->nr ? 0 : EXIT_NO;
}

/* Names that the heap of the default region has or had */
static bool is_default_region(const char *name)
{
	return !strncmp(name, "default_cma_region", 18) || !strcmp(name, "reserved") ||
	       !strcmp(name, "linux,cma") || !strcmp(name, "default-pool");
}

/*
 * For a known name, find a heap with the properties that the name stands for, as
 * the target of a link. Returns NULL if there is none.
 */
const struct heap *instead_of(const struct heaps *heaps, const char *name)
{
	const bool uncached = strstr(name, "uncached");
	const bool dma32 = strstr(name, "dma32");
	const bool system = !strncmp(name, "system", 6);
	const struct heap *heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known_names) && strcmp(known_names[i].name, name); i++)
		;
	if (i == ARRAY_SIZE(known_names))
		return NULL;
	for (i = 0; i < heaps->nr; i++) {
		heap = &heaps->heap[i];
		if (*heap->target || heap->node_errno || !strcmp(heap->name, name))
			continue;
		if (system ? strncmp(heap->name, "system", 6) : !is_default_region(heap->name))
			continue;
		if (!heap->has_properties) {
			/* Old kernels provide only the name. */
			if (uncached || dma32 || (system && strcmp(heap->name, "system")))
				continue;
		} else if (has_word(heap->properties, "contiguous") == system ||
			   strcmp(heap->restrictions, uncached ? "write-combined" : "none") ||
			   (dma32 && (!heap->has_info || !heap->info.address_bits ||
				      heap->info.address_bits > 32))) {
			continue;
		}
		return heap;
	}

	return NULL;
}

int cmd_names(int argc, char **argv)
{
	static const struct column columns[] = {
		{ "NAME", "name", COLUMN_TEXT },
		{ "HERE", "here", COLUMN_TEXT },
		{ "COULD BE", "could_be", COLUMN_TEXT },
		{ "OPENED BY", "clients", COLUMN_LIST },
	};
	const struct heaps *heaps = find_heaps();
	const struct heap *heap, *other;
	unsigned int i;

	if (!only_common_options(argc, argv))
		return EXIT_USAGE;
	if (optind < argc) {
		fprintf(stderr, "dmaheap: names takes no argument: %s\n", argv[optind]);
		return EXIT_USAGE;
	}
	out_begin("names");
	out_table("names", columns, ARRAY_SIZE(columns));
	for (i = 0; i < ARRAY_SIZE(known_names); i++) {
		heap = find_heap(heaps, known_names[i].name);
		other = heap ? NULL : instead_of(heaps, known_names[i].name);
		put_text(known_names[i].name);
		put_text(!heap || heap->node_errno == ENOENT ? "no" :
			 heap->open_errno ? "not for this user" : "yes");
		if (other)
			put_text(other->name);
		else
			put_unknown();
		put_item(known_names[i].clients);
		put_list();
	}
	note_missing(heaps);
	out_end();

	return 0;
}

static void print_rules(const char *properties, const char *group)
{
	char rule[600];

	out_value("comment", "# who may open heaps: check what their buffers are charged to");
	snprintf(rule, sizeof(rule),
		 "SUBSYSTEM==\"dma_heap\"%s, GROUP=\"%s\", MODE=\"0660\"", properties, group);
	out_value("rule", rule);
}

/*
 * Make the match of a rule for heaps with all properties and exactly the
 * restrictions of @list, which are separated by commas.
 */
static bool parse_properties(const char *list, char *restrictions, size_t size,
			     char *match, size_t match_size)
{
	char *copy = must(strdup(list)), *word, *state;
	uint32_t bits = 0;
	unsigned int i;

	for (word = strtok_r(copy, ",", &state); word; word = strtok_r(NULL, ",", &state)) {
		for (i = 0; i < ARRAY_SIZE(bit_words) && strcmp(bit_words[i].word, word); i++)
			;
		if (i == ARRAY_SIZE(bit_words)) {
			fprintf(stderr, "dmaheap: no such property: %s\n", word);
			free(copy);
			return false;
		}
		bits |= bit_words[i].bit;
	}
	free(copy);
	words_of(bits & ~DMA_HEAP_CONTIGUOUS, restrictions, size);
	snprintf(match, match_size, "%s, ATTR{restrictions}==\"%s\"",
		 bits & DMA_HEAP_CONTIGUOUS ? ", ATTR{properties}==\"*contiguous*\"" : "",
		 restrictions);

	return true;
}

/* By default, udev replaces other characters with underscores. */
static bool is_kept_by_udev(const char *name)
{
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("#+-.:=@_", *name))
			return false;
	}

	return true;
}

static bool name_is_plain(const char *text)
{
	if (!*text)
		return false;
	for (; isalnum((unsigned char)*text) || strchr("_.-", *text); text++) {
		if (!*text)
			return true;
	}

	return false;
}

int cmd_udev(int argc, char **argv)
{
	static const struct option options[] = {
		{ "group", required_argument, NULL, 'g' },
		{ "properties", required_argument, NULL, 'p' },
		OPTION_JSON,
		OPTION_BYTES,
		OPTION_HELP,
		{},
	};
	static const struct column matched[] = {
		{ "# HEAP THAT IT MATCHES NOW", "name", COLUMN_TEXT },
		{ "CHARGED TO", "charged_to", COLUMN_TEXT },
	};
	static const struct column linked[] = {
		{ "# LINKS FOR NAMES THAT PROGRAMS LOOK FOR", "rule", COLUMN_TEXT },
	};
	const struct heaps *heaps = find_heaps();
	char match[300], restrictions[128], name[300], rule[700];
	const char *group = "video", *properties = "contiguous";
	const struct heap *heap, *other;
	unsigned int i;
	int opt;

	while ((opt = getopt_long(argc, argv, "g:p:" COMMON_LETTERS, options, NULL)) != -1) {
		switch (opt) {
		case 'g':
			group = optarg;
			break;
		case 'p':
			properties = optarg;
			break;
		default:
			if (!common_option(opt))
				return EXIT_USAGE;
		}
	}
	if (optind < argc || !name_is_plain(group)) {
		fprintf(stderr, "dmaheap: udev takes no such argument: %s\n",
			optind < argc ? argv[optind] : group);
		return EXIT_USAGE;
	}
	if (!parse_properties(properties, restrictions, sizeof(restrictions), match, sizeof(match)))
		return EXIT_USAGE;
	out_begin("udev");
	print_rules(match, group);
	out_table("matches", matched, 2);
	for (i = 0; i < heaps->nr; i++) {
		heap = &heaps->heap[i];
		/* rules are not applied to links */
		if (heap->is_link)
			continue;
		if (!heap->has_properties) {
			out_note("no properties in sysfs in this kernel: match KERNEL==\"<name>\"");
			continue;
		}
		if (strcmp(heap->restrictions, restrictions) ||
		    (strstr(match, "contiguous") && !has_word(heap->properties, "contiguous")))
			continue;
		snprintf(name, sizeof(name), opt_json ? "%s" : "# %s", heap->name);
		put_text(name);
		if (*heap->charged_to)
			put_text(heap->charged_to);
		else
			put_unknown();
	}
	out_table("links", linked, 1);
	for (i = 0; i < ARRAY_SIZE(known_names); i++) {
		/* A link was created by such a rule, and needs it. */
		heap = find_heap(heaps, known_names[i].name);
		if (heap && !heap->is_link)
			continue;
		other = heap ? find_heap(heaps, heap->target) :
			       instead_of(heaps, known_names[i].name);
		if (!other)
			continue;
		snprintf(rule, sizeof(rule),
			 "SUBSYSTEM==\"dma_heap\", KERNEL==\"%s\", %sSYMLINK+=\"dma_heap/%s\"",
			 other->name, is_kept_by_udev(known_names[i].name) ? "" :
			 "OPTIONS+=\"string_escape=none\", ", known_names[i].name);
		put_text(rule);
	}
	note_missing(heaps);
	out_end();

	return 0;
}
