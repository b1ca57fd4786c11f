// SPDX-License-Identifier: GPL-2.0
/*
 * heap-bench WHAT HEAP BYTES [TIMES]: what something costs with a buffer of that
 * size: the median of 11 batches of TIMES, in ns, or bytes for "metadata".
 *
 *	alloc		the ioctl, and close
 *	mmap		mmap and munmap
 *	touch		mmap, a write to each page, munmap
 *	write		a write to each word, one after the other, of a mapping
 *	map		attach, map, unmap and detach a device
 *	vmap		map and unmap for the kernel
 *	sync, sync4	start and end a CPU access, with no and with 4 mappings
 *	metadata	kernel memory, other than the buffer's pages, of TIMES buffers
 *
 * With "-fragmented" behind it, memory is in small pieces when it begins.
 */

#include <errno.h>
#include <fcntl.h>
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

#define BATCHES	11
#define IMPORTER "/sys/kernel/debug/heap_map"

static unsigned long long bytes;
static int heap, times;

static void fail(const char *what)
{
	fprintf(stderr, "heap-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int try_alloc(void)
{
	struct dma_heap_allocation_data data = {
		.len = bytes,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -1 : (int)data.fd;
}

static int alloc(void)
{
	int fd = try_alloc();

	if (fd < 0)
		fail("alloc");

	return fd;
}

static void import(const char *what, int fd, int n)
{
	static int importer = -1;
	char cmd[64];
	int len;

	if (importer < 0)
		importer = open(IMPORTER, O_WRONLY | O_CLOEXEC);
	len = snprintf(cmd, sizeof(cmd), "%s %d %d", what, fd, n);
	if (write(importer, cmd, len) != len)
		fail(what);
}

static void do_mmap(int fd, int touch)
{
	const long page = sysconf(_SC_PAGESIZE);
	volatile char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned long long i;

	if (p == MAP_FAILED)
		fail("mmap");
	for (i = 0; touch && i < bytes; i += page)
		p[i] = 1;
	munmap((void *)p, bytes);
}

/* Not memset(), which may have instructions for cached memory. */
static void do_write(int fd)
{
	static unsigned long *p;
	unsigned long long i;

	if (!p) {
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			fail("mmap");
	}
	for (i = 0; i < bytes / sizeof(*p); i++)
		__atomic_store_n(&p[i], i, __ATOMIC_RELAXED);
}

static void do_sync(int fd)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };

	if (ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync))
		fail("sync");
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
	if (ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync))
		fail("sync");
}

static void batch(const char *what, int fd)
{
	int i;

	if (!strcmp(what, "map") || !strcmp(what, "vmap")) {
		import(what, fd, times);
		return;
	}
	for (i = 0; i < times; i++) {
		if (!strcmp(what, "alloc"))
			close(alloc());
		else if (!strcmp(what, "mmap"))
			do_mmap(fd, 0);
		else if (!strcmp(what, "touch"))
			do_mmap(fd, 1);
		else if (!strcmp(what, "write"))
			do_write(fd);
		else
			do_sync(fd);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

/* slab, pages of large kmallocs and vmalloc, in bytes */
static long long kernel_memory(void)
{
	static const char * const fields[] = { "SUnreclaim:", "VmallocUsed:" };
	long long sum = 0, kib;
	char line[128];
	unsigned int i;
	FILE *f;

	/* what each CPU has counted since it told the others last */
	f = fopen("/proc/sys/vm/stat_refresh", "re");
	if (f) {
		fgetc(f);
		fclose(f);
	}

	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			if (!strncmp(line, fields[i], strlen(fields[i])) &&
			    sscanf(line + strlen(fields[i]), "%lld", &kib) == 1)
				sum += kib * 1024;
		}
	}
	if (f)
		fclose(f);

	return sum;
}

/* Leave free memory in pieces of 64 KiB, which the heap uses as they are. */
static void fragment(void)
{
	const unsigned long long wanted = bytes;
	static int held[1 << 18];
	int n, i;

	bytes = 64 << 10;
	for (n = 0; n < (int)(sizeof(held) / sizeof(held[0])); n++) {
		held[n] = try_alloc();
		if (held[n] < 0)
			break;
	}
	for (i = 0; i < n; i += 2)
		close(held[i]);
	bytes = wanted;
}

static void metadata(void)
{
	long long before, now;
	int i, still = 0;

	/* what the first one needs is not of the others */
	alloc();
	/* what was freed before this program began may be still on its way */
	for (before = kernel_memory(); still < 5; before = now) {
		usleep(100000);
		now = kernel_memory();
		still = now == before ? still + 1 : 0;
	}
	for (i = 0; i < times; i++)
		alloc();
	printf("%lld\n", (kernel_memory() - before) / times);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 1 << 19, 1 << 19 };
	double figures[BATCHES];
	char path[300], *what, *how;
	int fd, b;

	if (argc < 4) {
		fprintf(stderr, "usage: heap-bench WHAT HEAP BYTES [TIMES]\n");
		return 2;
	}
	what = argv[1];
	bytes = strtoull(argv[3], NULL, 0);
	times = argc > 4 ? atoi(argv[4]) : 1000;
	snprintf(path, sizeof(path), "/dev/dma_heap/%s", argv[2]);
	heap = open(path, O_RDONLY | O_CLOEXEC);
	if (heap < 0)
		fail(path);
	setrlimit(RLIMIT_NOFILE, &files);
	how = strchr(what, '-');
	if (how) {
		*how = '\0';
		fragment();
	}
	if (!strcmp(what, "metadata")) {
		metadata();
		return 0;
	}
	fd = strcmp(what, "alloc") ? alloc() : -1;
	if (!strcmp(what, "sync4"))
		import("hold", fd, 4);

	for (b = 0; b < BATCHES; b++) {
		double start = now();

		batch(what, fd);
		figures[b] = (now() - start) / times;
	}
	qsort(figures, BATCHES, sizeof(figures[0]), compare);
	printf("%.0f\n", figures[BATCHES / 2]);
	if (!strcmp(what, "sync4"))
		import("drop", 0, 0);

	return 0;
}
