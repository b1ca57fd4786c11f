// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmark of buffers of all heaps, and of udmabuf and memfd for comparison.
 *
 * Each figure is the time of a batch in nanoseconds, divided by the number of
 * its operations.  p50, p95 and p99 are percentiles of the batches; max is the
 * largest.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>

#include "heap.h"
#include "kselftest.h"

#define IMPORTER	"/sys/kernel/debug/heap_map"
#define QUEUE		8
#define MAX_LIST	32

static const char usage[] =
"usage: dmabuf-heap-bench [OPTION...] [HEAP...]\n"
"\n"
"Measures each HEAP: one of /dev/dma_heap, \"udmabuf\" or \"memfd\"; without any,\n"
"all of them.  Defaults are in parentheses.\n"
"\n"
"  -w WHAT   one of the list below; may be repeated (all but hog)\n"
"  -s BYTES  size of the buffers; may be repeated (4096, 1M and 8M)\n"
"  -n N      batches (101)\n"
"  -b N      operations in a batch (1)\n"
"  -d        in alloc and free: fill each buffer before it is freed; not timed\n"
"  -p MS     in alloc: wait MS milliseconds after each buffer is freed (0)\n"
"  -j        JSON: a list of objects\n"
"  -q        the median alone\n"
"  -t        p50, p95, p99 and max alone\n"
"  -f        first leave free memory in pieces of 64 KiB; no effect on memfd\n"
"\n"
"  alloc     allocate\n"
"  free      close the last fd\n"
"  cycle     allocate and close\n"
"  queue     allocate, and close the oldest of 9\n"
"  mmap      mmap and munmap\n"
"  touch     mmap, write to each page, munmap\n"
"  fill      write each word, from start to end, of a mapping\n"
"  read      read each word of a mapping\n"
"  sync      start and end a CPU access\n"
"  sync4     the same with 4 devices that have it mapped\n"
"  import    attach, map, unmap and detach a device\n"
"  vmap      map and unmap for the kernel\n"
"  hog       write to all pages of 15/16 of the available memory; time of a page\n"
"  metadata  kernel memory of a buffer other than its pages, in bytes\n"
"\n"
"sync4, import and vmap need a module that provides " IMPORTER ".\n"
"Without it, they are left out.\n";

/* of the current measurement */
static const char *heap_name;
static size_t bytes;
static int heap = -1, batch = 1;
static int *fds;
static unsigned long *map;
/* the current measurement failed */
static bool failed;
/* fill buffers before they are freed, and wait after that */
static bool dirty;
static int pause_ms;

static void fail(const char *what)
{
	if (!failed)
		fprintf(stderr, "dmabuf-heap-bench: %s, %zu bytes: %s: %s\n", heap_name, bytes,
			what, strerror(errno));
	failed = true;
}

static bool is_memfd(void)
{
	return !strcmp(heap_name, "memfd");
}

static int new_memfd(void)
{
	int fd = memfd_create("dmabuf-heap-bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, bytes)) {
		close(fd);
		return -1;
	}

	return fd;
}

static int new_udmabuf(void)
{
	struct udmabuf_create create = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = bytes };
	int fd = -1;

	create.memfd = new_memfd();
	if ((int)create.memfd < 0)
		return -1;
	if (!fcntl(create.memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		fd = ioctl(heap, UDMABUF_CREATE, &create);
	close(create.memfd);

	return fd;
}

static int try_alloc(void)
{
	struct dma_heap_allocation_data data = {
		.len = bytes,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	if (is_memfd())
		return new_memfd();
	if (!strcmp(heap_name, "udmabuf"))
		return new_udmabuf();

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -1 : (int)data.fd;
}

static int alloc(void)
{
	int fd = try_alloc();

	if (fd < 0)
		fail("alloc");

	return fd;
}

/* Make the module do something @times times. */
static void importer(const char *what, int fd, int times)
{
	static int file = -1;
	char cmd[64];
	int len;

	if (file < 0)
		file = open(IMPORTER, O_WRONLY | O_CLOEXEC);
	len = snprintf(cmd, sizeof(cmd), "%s %d %d", what, fd, times);
	if (write(file, cmd, len) != len)
		fail(what);
}

static void do_mmap(bool touch)
{
	const long page = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	size_t i;

	if (p == MAP_FAILED) {
		fail("mmap");
		return;
	}
	for (i = 0; touch && i < bytes; i += page)
		__atomic_store_n(&p[i], 1, __ATOMIC_RELAXED);
	munmap(p, bytes);
}

/* Word by word: memset() may use instructions that are for cached memory. */
static void do_words(bool write)
{
	size_t i;

	for (i = 0; i < bytes / sizeof(*map); i++) {
		if (write)
			__atomic_store_n(&map[i], i, __ATOMIC_RELAXED);
		else
			(void)__atomic_load_n(&map[i], __ATOMIC_RELAXED);
	}
}

static void do_sync(void)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };

	if (ioctl(fds[0], DMA_BUF_IOCTL_SYNC, &sync))
		fail("sync");
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
	if (ioctl(fds[0], DMA_BUF_IOCTL_SYNC, &sync))
		fail("sync");
}

static void do_alloc(int i)
{
	fds[i] = alloc();
}

static void do_free(int i)
{
	close(fds[i]);
}

/* Fill the buffer. */
static void soil(int fd)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		fail("mmap");
		return;
	}
	memset(p, 0xa5, bytes);
	munmap(p, bytes);
}

static void do_cycle(int i)
{
	close(alloc());
}

static void do_queue(int i)
{
	static unsigned int oldest;
	int fd = alloc();

	close(fds[oldest % QUEUE]);
	fds[oldest++ % QUEUE] = fd;
}

/* parts of an operation, by which its time is divided */
static double parts = 1;

/* Use most of the available memory; other tasks may need some. */
static void do_hog(int i)
{
	const size_t size = mem_bytes("MemAvailable") / 16 * 15, page = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t at;

	if (p == MAP_FAILED) {
		fail("mmap");
		return;
	}
	for (at = 0; at < size; at += page)
		p[at] = 1;
	munmap(p, size);
	parts = size / page;
}

static void do_map_only(int i)
{
	do_mmap(false);
}

static void do_touch(int i)
{
	do_mmap(true);
}

static void do_fill(int i)
{
	do_words(true);
}

static void do_read(int i)
{
	do_words(false);
}

static void do_one_sync(int i)
{
	do_sync();
}

enum needs {
	/* a buffer, which is mapped */
	BUFFER = 1,
	/* a buffer for each operation, made before or dropped after, not timed */
	MAKE = 2,
	DROP = 4,
	/* a dma-buf, and a device */
	DMABUF = 8,
	DEVICE = 16,
	HOLD = 32,
	/* only when it is asked for */
	ALONE = 64,
};

static const struct what {
	const char *name;
	void (*once)(int i);
	unsigned int needs;
} costs[] = {
	{ "alloc", do_alloc, DROP },
	{ "free", do_free, MAKE },
	{ "cycle", do_cycle, 0 },
	{ "queue", do_queue, 0 },
	{ "mmap", do_map_only, BUFFER },
	{ "touch", do_touch, BUFFER },
	{ "fill", do_fill, BUFFER },
	{ "read", do_read, BUFFER },
	{ "sync", do_one_sync, BUFFER | DMABUF },
	{ "sync4", do_one_sync, BUFFER | DMABUF | DEVICE | HOLD },
	{ "import", NULL, BUFFER | DMABUF | DEVICE },
	{ "vmap", NULL, BUFFER | DMABUF | DEVICE },
	{ "hog", do_hog, ALONE },
	{ "metadata", NULL, DMABUF },
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double one_batch(const struct what *what)
{
	double time;
	int i;

	for (i = 0; (what->needs & MAKE) && i < batch; i++) {
		fds[i] = alloc();
		if (dirty && !failed)
			soil(fds[i]);
	}
	time = now();
	if (what->once) {
		for (i = 0; i < batch; i++)
			what->once(i);
	} else {
		importer(strcmp(what->name, "import") ? what->name : "map", fds[0], batch);
	}
	time = now() - time;
	for (i = 0; dirty && !failed && (what->needs & DROP) && i < batch; i++)
		soil(fds[i]);
	for (i = 0; (what->needs & DROP) && i < batch; i++) {
		close(fds[i]);
		usleep(1000 * pause_ms);
	}

	return time / batch / parts;
}

static int compare(const void *a, const void *b)
{
	return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

static void measure(const struct what *what, double *figures, int n)
{
	int i, held = what->needs & BUFFER ? 1 : what->once == do_queue ? QUEUE : 0;

	for (i = 0; i < held; i++)
		fds[i] = alloc();
	if (what->needs & BUFFER) {
		map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
		if (map == MAP_FAILED)
			fail("mmap");
		/* fault now: only "touch" measures faults */
		if (!failed)
			do_words(true);
	}
	if ((what->needs & HOLD) && !failed)
		importer("hold", fds[0], 4);
	for (i = 0; i < n && !failed; i++)
		figures[i] = one_batch(what);
	if (what->needs & HOLD)
		importer("drop", 0, 0);
	if ((what->needs & BUFFER) && map != MAP_FAILED)
		munmap(map, bytes);
	for (i = 0; i < held; i++)
		close(fds[i]);
	qsort(figures, n, sizeof(*figures), compare);
}

/* Slab, which includes large kmallocs, and vmalloc, in bytes */
static double kernel_memory(void)
{
	static const char * const fields[] = { "SUnreclaim:", "VmallocUsed:" };
	long long sum = 0, kib;
	unsigned int i;
	char line[128];
	FILE *f;

	/* flush per-CPU counters */
	f = fopen("/proc/sys/vm/stat_refresh", "re");
	if (f) {
		fgetc(f);
		fclose(f);
	}
	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		for (i = 0; i < ARRAY_SIZE(fields); i++) {
			if (!strncmp(line, fields[i], strlen(fields[i])) &&
			    sscanf(line + strlen(fields[i]), "%lld", &kib) == 1)
				sum += kib * 1024;
		}
	}
	if (f)
		fclose(f);

	return sum;
}

static void metadata(double *figures, int n)
{
	double before, after;
	int i, first, still = 0, tries = 0;

	/* the first buffer may need more than the others */
	first = alloc();
	/* wait until earlier frees have been counted */
	for (before = kernel_memory(); still < 5 && tries < 100; before = after, tries++) {
		usleep(100000);
		after = kernel_memory();
		still = after == before ? still + 1 : 0;
	}
	for (i = 0; i < batch; i++)
		fds[i] = alloc();
	after = (kernel_memory() - before) / batch;
	for (i = 0; i < n; i++)
		figures[i] = after;
	for (i = 0; i < batch; i++)
		close(fds[i]);
	close(first);
}

static int held[1 << 18];
static int nr_held;

/* Leave free memory in chunks of 64 KiB, a size that heaps use. */
static void fragment(void)
{
	const size_t wanted = bytes;
	int n, i;

	bytes = 64 << 10;
	for (n = 0; n < (int)ARRAY_SIZE(held); n++) {
		held[n] = try_alloc();
		if (held[n] < 0)
			break;
	}
	for (i = 0; i < n; i += 2)
		close(held[i]);
	nr_held = n;
	bytes = wanted;
}

static void defragment(void)
{
	int i;

	for (i = 1; i < nr_held; i += 2)
		close(held[i]);
	nr_held = 0;
}

/* Open a heap, udmabuf or memfd; true if it can allocate. */
static bool open_heap(const char *name)
{
	char path[300];
	int fd;

	if (heap >= 0)
		close(heap);
	heap = -1;
	heap_name = name;
	if (!is_memfd()) {
		snprintf(path, sizeof(path), "%s%s",
			 strcmp(name, "udmabuf") ? HEAP_DIR : "/dev/", name);
		heap = open(path, (strcmp(name, "udmabuf") ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (heap < 0)
			return false;
	}
	bytes = sysconf(_SC_PAGESIZE);
	fd = try_alloc();
	if (fd < 0)
		return false;
	close(fd);

	return true;
}

static unsigned int all_heaps(const char **names)
{
	DIR *dir = opendir(HEAP_DIR);
	struct dirent *e;
	unsigned int n = 0;

	while (dir && n < MAX_LIST - 2 && (e = readdir(dir))) {
		if (e->d_name[0] != '.' && !heap_is_secret(e->d_name))
			names[n++] = strdup(e->d_name);
	}
	if (dir)
		closedir(dir);
	names[n++] = "udmabuf";
	names[n++] = "memfd";

	return n;
}

static size_t size_of(const char *text)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;
	unsigned long long n = strtoull(text, &end, 0);

	for (unit = units; *end && *unit; unit++) {
		if (*unit == *end) {
			n <<= 10 * (unit - units + 1);
			end++;
			break;
		}
	}
	if (*end || !n || n != (size_t)n) {
		fprintf(stderr, "dmabuf-heap-bench: no size: %s\n", text);
		exit(2);
	}

	return n;
}

static void print(const char *format, const char *name, double *figures, int n)
{
	static unsigned int lines;
	const double p50 = figures[(n - 1) / 2], p95 = figures[(n - 1) * 95 / 100],
		     p99 = figures[(n - 1) * 99 / 100], max = figures[n - 1];

	switch (*format) {
	case 'j':
		printf("%s\n{\"heap\": \"%s\", \"what\": \"%s\", \"bytes\": %zu, ",
		       lines++ ? "," : "[", heap_name, name, bytes);
		printf("\"p50\": %.0f, \"p95\": %.0f, \"p99\": %.0f, \"max\": %.0f}", p50, p95,
		       p99, max);
		break;
	case 't':
		printf("%.0f %.0f %.0f %.0f\n", p50, p95, p99, max);
		break;
	case 'q':
		printf("%.0f\n", p50);
		break;
	default:
		if (!lines++)
			printf("%-28s %-9s %10s %12s %12s %12s %12s\n", "heap", "what", "bytes",
			       "p50", "p95", "p99", "max");
		printf("%-28s %-9s %10zu %12.0f %12.0f %12.0f %12.0f\n", heap_name, name, bytes,
		       p50, p95, p99, max);
		break;
	}
	fflush(stdout);
}

static bool possible(const struct what *what, bool chosen)
{
	if ((what->needs & ALONE) && !chosen)
		return false;
	if ((what->needs & DMABUF) && is_memfd())
		return false;

	return !(what->needs & DEVICE) || !access(IMPORTER, W_OK);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	const char *names[MAX_LIST], *format = "", *chosen[MAX_LIST];
	size_t sizes[MAX_LIST] = { 4096, 1 << 20, 8 << 20 };
	unsigned int nr_names, nr_sizes = 0, nr_chosen = 0, measured = 0, h, s, w, c;
	const size_t page = sysconf(_SC_PAGESIZE);
	unsigned int failures = 0;
	bool in_pieces = false;
	double *figures;
	int opt, n = 101;

	while ((opt = getopt(argc, argv, "w:s:n:b:p:djqtfh")) != -1) {
		switch (opt) {
		case 'w':
			chosen[nr_chosen++ % MAX_LIST] = optarg;
			break;
		case 's':
			sizes[nr_sizes++ % MAX_LIST] = size_of(optarg);
			break;
		case 'n':
			n = atoi(optarg);
			break;
		case 'b':
			batch = atoi(optarg);
			break;
		case 'j':
			format = "j";
			break;
		case 'q':
			format = "q";
			break;
		case 't':
			format = "t";
			break;
		case 'd':
			dirty = true;
			break;
		case 'p':
			pause_ms = atoi(optarg);
			break;
		case 'f':
			in_pieces = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (n < 1 || batch < 1 || pause_ms < 0 || nr_sizes > MAX_LIST || nr_chosen > MAX_LIST ||
	    argc - optind > MAX_LIST) {
		fputs(usage, stderr);
		return 2;
	}
	for (c = 0; c < nr_chosen; c++) {
		for (w = 0; w < ARRAY_SIZE(costs) && strcmp(chosen[c], costs[w].name); w++)
			;
		if (w == ARRAY_SIZE(costs)) {
			fprintf(stderr, "dmabuf-heap-bench: nothing is called %s\n", chosen[c]);
			return 2;
		}
	}
	nr_sizes = nr_sizes ?: 3;
	nr_names = argc - optind;
	memcpy(names, argv + optind, nr_names * sizeof(names[0]));
	if (!nr_names)
		nr_names = all_heaps(names);
	/* raise the limit of files as far as this process may */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		if (files.rlim_max < 1 << 19) {
			files = (struct rlimit) { 1 << 19, 1 << 19 };
			setrlimit(RLIMIT_NOFILE, &files);
		}
	}
	die_first();
	figures = calloc(n, sizeof(*figures));
	fds = calloc(batch > QUEUE ? batch : QUEUE, sizeof(*fds));
	if (!figures || !fds)
		return 1;

	for (h = 0; h < nr_names; h++) {
		if (!open_heap(names[h])) {
			fprintf(stderr, "dmabuf-heap-bench: %s: %s\n", names[h], strerror(errno));
			failures += argc > optind;
			continue;
		}
		if (in_pieces)
			fragment();
		for (s = 0; s < nr_sizes; s++) {
			for (w = 0; w < ARRAY_SIZE(costs); w++) {
				for (c = 0; c < nr_chosen && strcmp(chosen[c], costs[w].name); c++)
					;
				if ((nr_chosen && c == nr_chosen) ||
				    !possible(&costs[w], nr_chosen))
					continue;
				bytes = (sizes[s] + page - 1) & ~(page - 1);
				failed = false;
				parts = 1;
				if (strcmp(costs[w].name, "metadata"))
					measure(&costs[w], figures, n);
				else
					metadata(figures, n);
				if (failed) {
					failures++;
					continue;
				}
				print(format, costs[w].name, figures, n);
				measured++;
			}
		}
		defragment();
	}
	if (*format == 'j')
		printf("%s]\n", measured ? "\n" : "[");

	return measured && !failures ? 0 : 1;
}
