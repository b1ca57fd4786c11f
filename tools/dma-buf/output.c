// SPDX-License-Identifier: GPL-2.0
/*
 * Tables for people, or a JSON object for programs
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dmaheap.h"

bool opt_json;
bool opt_bytes;

/* One value of a row; text is NULL if it is unknown. */
struct cell {
	char *text;
	uint64_t number;
};

static const char *table_key;
static const struct column *columns;
static unsigned int nr_columns;
static struct cell *cells;
static size_t nr_cells;
/* Items of the list so far, one per line */
static char *items;
static bool first_member = true;
/* The JSON object has begun. */
static bool begun;
static char **notes;
static unsigned int nr_notes;

static void end_table(void);
static void json_key(const char *key);
static void json_string(const char *text, size_t len);

/* In JSON, the error follows the results so far. */
void die(int status, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (opt_json) {
		if (begun) {
			end_table();
		} else {
			putchar('{');
			first_member = true;
		}
		json_key("error");
		json_string(text, strlen(text));
		puts("}");
	}
	fflush(stdout);
	fprintf(stderr, "dmaheap: %s\n", text);
	exit(status);
}

void *must(void *allocated)
{
	if (!allocated)
		die(EXIT_UNKNOWN, "out of memory");

	return allocated;
}

const char *show_bytes(uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	static char text[4][32];
	static unsigned int next;
	double value = bytes;
	char *s = text[next++ % 4];
	int unit = -1;

	if (opt_bytes || bytes < 1024) {
		snprintf(s, sizeof(text[0]), "%llu", (unsigned long long)bytes);
		return s;
	}
	/* A value that rounds to 1024 is 1 of the next unit. */
	while (value >= 1023.95 && unit < 5) {
		value /= 1024;
		unit++;
	}
	snprintf(s, sizeof(text[0]), value == (uint64_t)value ? "%.0f%c" : "%.1f%c", value,
		 units[unit]);

	return s;
}

/* Parse a number of bytes, or of units of K, M or G, powers of 1024. */
bool parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMG";
	unsigned long long value;
	const char *unit;
	unsigned int shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return false;
		shift = 10 * (unit - units + 1);
	}
	if (value > UINT64_MAX >> shift)
		return false;
	*size = value << shift;

	return true;
}

/* Parse a number of seconds, which can have a fraction. */
bool parse_seconds(const char *text, struct timespec *time)
{
	double seconds;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	seconds = strtod(text, &end);
	if (*end || seconds > INT32_MAX)
		return false;
	time->tv_sec = seconds;
	time->tv_nsec = (seconds - time->tv_sec) * 1e9;

	return true;
}

/* The length of the UTF-8 sequence at @s, or 0 if there is no valid one */
static int utf8_length(const unsigned char *s)
{
	int n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 :
		(s[0] & 0xf8) == 0xf0 ? 4 : 0;
	int i;

	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* longer than necessary, a surrogate, or beyond Unicode */
	if ((n == 2 && s[0] < 0xc2) || (n == 3 && s[0] == 0xe0 && s[1] < 0xa0) ||
	    (n == 3 && s[0] == 0xed && s[1] > 0x9f) || (n == 4 && s[0] == 0xf0 && s[1] < 0x90) ||
	    (n == 4 && (s[0] > 0xf4 || (s[0] == 0xf4 && s[1] > 0x8f))))
		return 0;

	return n;
}

/* Other programs set names of buffers, which can contain any bytes. */
static void json_string(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + len;
	int n;

	putchar('"');
	while (s < end) {
		n = utf8_length(s);
		if (!n) {
			fputs("\\ufffd", stdout);
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			printf("\\%c", *s);
		} else if (*s < 0x20 || *s == 0x7f) {
			printf("\\u%04x", *s);
		} else {
			fwrite(s, 1, n, stdout);
		}
		s += n;
	}
	putchar('"');
}

static void json_key(const char *key)
{
	if (!first_member)
		fputs(", ", stdout);
	first_member = false;
	json_string(key, strlen(key));
	fputs(": ", stdout);
}

/* Replace control characters, and the newlines between items of a list. */
static void print_text(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	int n;

	for (; *s; s += n) {
		n = utf8_length(s);
		if (*s == '\n') {
			fputs(", ", stdout);
		} else if (!n || *s < 0x20 || *s == 0x7f ||
			   (n == 2 && s[0] == 0xc2 && s[1] < 0xa0)) {
			putchar('?');
			n = n ?: 1;
		} else {
			fwrite(s, 1, n, stdout);
		}
	}
}

static int text_width(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	int width = 0;

	for (; *s; s += utf8_length(s) ?: 1)
		width += *s == '\n' ? 2 : 1;

	return width;
}

void out_begin(const char *command)
{
	first_member = true;
	nr_notes = 0;
	if (!opt_json)
		return;
	putchar('{');
	begun = true;
	out_value("command", command);
}

/* Begin a table. The values put after this fill its rows, column by column. */
void out_table(const char *key, const struct column *of, unsigned int nr)
{
	end_table();
	table_key = key;
	columns = of;
	nr_columns = nr;
}

static void put(char *text, uint64_t number)
{
	cells = must(realloc(cells, (nr_cells + 1) * sizeof(*cells)));
	cells[nr_cells++] = (struct cell) { .text = text, .number = number };
}

void put_unknown(void)
{
	put(NULL, 0);
}

void put_text(const char *text)
{
	put(must(strdup(text)), 0);
}

void put_number(uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	put(must(strdup(columns[nr_cells % nr_columns].type == COLUMN_BYTES ?
			show_bytes(number) : text)), number);
}

/* 1, 0, or -1 if unknown */
void put_flag(int flag)
{
	put(flag < 0 ? NULL : must(strdup(flag ? "yes" : "no")), flag);
}

/* Add an item to the list that put_list() ends. */
void put_item(const char *text)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%s", items ?: "", items ? "\n" : "", text) < 0)
		longer = NULL;
	must(longer);
	free(items);
	items = longer;
}

void put_list(void)
{
	put(items ?: must(strdup("")), 0);
	items = NULL;
}

static void json_list(const char *text)
{
	size_t n;

	putchar('[');
	while (*text) {
		n = strcspn(text, "\n");
		json_string(text, n);
		text += n;
		if (*text) {
			fputs(", ", stdout);
			text++;
		}
	}
	putchar(']');
}

static void json_rows(void)
{
	unsigned int i;
	size_t row;

	json_key(table_key);
	putchar('[');
	for (row = 0; row + nr_columns <= nr_cells; row += nr_columns) {
		fputs(row ? ", {" : "{", stdout);
		for (i = 0; i < nr_columns; i++) {
			const struct cell *cell = &cells[row + i];

			printf("%s\"%s\": ", i ? ", " : "", columns[i].key);
			if (!cell->text)
				fputs("null", stdout);
			else if (columns[i].type == COLUMN_TEXT)
				json_string(cell->text, strlen(cell->text));
			else if (columns[i].type == COLUMN_LIST)
				json_list(cell->text);
			else if (columns[i].type == COLUMN_FLAG)
				fputs(cell->number ? "true" : "false", stdout);
			else
				printf("%llu", (unsigned long long)cell->number);
		}
		putchar('}');
	}
	putchar(']');
}

static const char *cell_text(const struct cell *cell)
{
	return cell->text && *cell->text ? cell->text : "-";
}

static void text_row(size_t row, const int *widths)
{
	const char *text;
	unsigned int i;
	int pad = 0;

	for (i = 0; i < nr_columns; i++) {
		const bool right = columns[i].type == COLUMN_NUMBER ||
				   columns[i].type == COLUMN_BYTES;

		if (!columns[i].title)
			continue;
		text = row == SIZE_MAX ? columns[i].title : cell_text(&cells[row + i]);
		/* padding of the previous column, and a gap */
		if (i)
			printf("%*s", pad + 2, "");
		pad = widths[i] - text_width(text);
		if (right) {
			printf("%*s", pad, "");
			pad = 0;
		}
		print_text(text);
	}
	putchar('\n');
}

static void text_rows(void)
{
	int widths[32] = {};
	unsigned int i;
	size_t row;

	if (!nr_cells)
		return;
	for (i = 0; i < nr_columns; i++) {
		if (!columns[i].title)
			continue;
		widths[i] = text_width(columns[i].title);
		for (row = 0; row < nr_cells; row += nr_columns) {
			int width = text_width(cell_text(&cells[row + i]));

			if (widths[i] < width)
				widths[i] = width;
		}
	}
	text_row(SIZE_MAX, widths);
	for (row = 0; row + nr_columns <= nr_cells; row += nr_columns)
		text_row(row, widths);
}

static void end_table(void)
{
	size_t i;

	if (!table_key)
		return;
	if (opt_json)
		json_rows();
	else
		text_rows();
	for (i = 0; i < nr_cells; i++)
		free(cells[i].text);
	nr_cells = 0;
	table_key = NULL;
}

/* Print a text outside of tables; @key is for JSON. */
void out_value(const char *key, const char *text)
{
	end_table();
	if (opt_json) {
		json_key(key);
		json_string(text, strlen(text));
	} else {
		print_text(text);
		putchar('\n');
	}
}

/* 1, 0, or -1 if unknown. JSON only: text output has sentences instead. */
void out_flag(const char *key, int flag)
{
	end_table();
	if (!opt_json)
		return;
	json_key(key);
	fputs(flag < 0 ? "null" : flag ? "true" : "false", stdout);
}

/* Note which information is missing, and why, once. */
void out_note(const char *format, ...)
{
	char *note = NULL;
	unsigned int i;
	va_list args;

	va_start(args, format);
	if (vasprintf(&note, format, args) < 0)
		note = NULL;
	va_end(args);
	must(note);
	for (i = 0; i < nr_notes; i++) {
		if (!strcmp(notes[i], note)) {
			free(note);
			return;
		}
	}
	notes = must(realloc(notes, (nr_notes + 1) * sizeof(*notes)));
	notes[nr_notes++] = note;
}

void out_end(void)
{
	unsigned int i;

	end_table();
	if (opt_json) {
		json_key("notes");
		putchar('[');
		for (i = 0; i < nr_notes; i++) {
			if (i)
				fputs(", ", stdout);
			json_string(notes[i], strlen(notes[i]));
		}
		puts("]}");
		begun = false;
	}
	fflush(stdout);
	for (i = 0; i < nr_notes; i++) {
		if (!opt_json)
			fprintf(stderr, "dmaheap: %s\n", notes[i]);
		free(notes[i]);
	}
	nr_notes = 0;
	if (ferror(stdout) || fflush(stdout)) {
		fprintf(stderr, "dmaheap: cannot write: %s\n", strerror(errno));
		exit(EXIT_UNKNOWN);
	}
}
