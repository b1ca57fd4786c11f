/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dmaheap - look at DMA-BUF heaps and their buffers
 */

#ifndef _DMAHEAP_H
#define _DMAHEAP_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include <linux/compiler.h>
#include <linux/dma-heap.h>
#include <linux/kernel.h>

#define DEV_DIR		"/dev/dma_heap"
#define SYSFS_DIR	"/sys/class/dma_heap"
#define DEBUGFS_DIR	"/sys/kernel/debug/dma_heap"
#define BUFINFO		"/sys/kernel/debug/dma_buf/bufinfo"

/* Exit codes */
#define EXIT_NO		1	/* the answer is no */
#define EXIT_USAGE	2
#define EXIT_UNKNOWN	3	/* the answer is unknown */

/* dmaheap.c: options that every command accepts */
#define COMMON_LETTERS	"jbh"
#define OPTION_JSON	{ "json", no_argument, NULL, 'j' }
#define OPTION_BYTES	{ "bytes", no_argument, NULL, 'b' }
#define OPTION_HELP	{ "help", no_argument, NULL, 'h' }

bool common_option(int opt);
bool only_common_options(int argc, char **argv);

/* output.c: each command prints tables, as text or as one JSON object */
enum column_type {
	COLUMN_TEXT,
	COLUMN_NUMBER,
	COLUMN_BYTES,
	/* yes or no */
	COLUMN_FLAG,
	/* several texts, see put_item() */
	COLUMN_LIST,
};

/* Columns without a title are in JSON only. */
struct column {
	const char *title;
	const char *key;
	enum column_type type;
};

extern bool opt_json;
extern bool opt_bytes;

void out_begin(const char *command);
void out_table(const char *key, const struct column *columns, unsigned int nr);
void put_text(const char *text);
void put_number(uint64_t number);
void put_flag(int flag);
void put_item(const char *text);
void put_list(void);
void put_unknown(void);
void out_value(const char *key, const char *text);
void out_flag(const char *key, int flag);
void out_note(const char *format, ...) __printf(1, 2);
void out_end(void);

const char *show_bytes(uint64_t bytes);
bool parse_size(const char *text, uint64_t *size);
bool parse_seconds(const char *text, struct timespec *time);
void die(int status, const char *format, ...) __printf(2, 3) __noreturn;
void *must(void *allocated);

/* heaps.c */
struct heap {
	char name[256];
	/* the heap that a symbolic link or an alias refers to, or empty */
	char target[256];
	/* the node is a symbolic link */
	bool is_link;
	/* errno of stat() on the node, ENOENT if it is no device, or 0 */
	int node_errno;
	struct stat st;
	/* errno of opening the node, or 0 */
	int open_errno;
	bool has_info;
	struct dma_heap_info info;
	/* the next two are known: words separated by spaces, or "none" */
	bool has_properties;
	char properties[128];
	char restrictions[128];
	/* bytes in buffers, or -1 if that is not known */
	long long used;
	char charged_to[300];
};

struct heaps {
	struct heap *heap;
	unsigned int nr;
};

struct heaps *find_heaps(void);
const struct heap *find_heap(const struct heaps *heaps, const char *name);
int open_heap(const char *name);
const char *group_name(gid_t gid);
bool read_line(const char *path, char *line, size_t size);
bool has_word(const char *words, const char *word);
const struct heap *instead_of(const struct heaps *heaps, const char *name);

int cmd_list(int argc, char **argv);
int cmd_names(int argc, char **argv);
int cmd_udev(int argc, char **argv);

/* alloc.c */
int alloc_buffer(int heap, uint64_t size);
int cmd_alloc(int argc, char **argv);
int cmd_why(int argc, char **argv);

/* import.c */
int cmd_import(int argc, char **argv);

/* buffers.c */
int cmd_who(int argc, char **argv);
int cmd_leaks(int argc, char **argv);
int cmd_top(int argc, char **argv);

#endif /* _DMAHEAP_H */
