// SPDX-License-Identifier: GPL-2.0
/*
 * Coherence of the CPU and devices, told from the contents of buffers.
 *
 * usage: coherence [--bounced] [--mixed] [HEAP...]
 *
 *	--bounced	fail unless a mapping of a device with a 32-bit DMA mask
 *			is one of bounce buffers, from its first to its last page
 *	--mixed		where two devices share a buffer, the second one reaches
 *			all memory; the mask of all others is of 32 bits
 *
 * The devices are those of the module heap-map.  The heaps are "system" and
 * "default_cma_region" unless others are named.
 *
 * The rule: a buffer has one content.  What a device wrote, and what the CPU
 * wrote between DMA_BUF_SYNC_START and DMA_BUF_SYNC_END, is seen by whoever
 * accesses the buffer afterwards; all else stays what it was.  This holds
 * whatever direction a device has mapped the buffer in, because a program
 * cannot see that.
 *
 * The rule has two limits, which this test respects:
 *
 * - What one device writes gets to another one with the next access of the CPU
 *   that includes writing.  Devices alone pass nothing on.
 * - An exporter cannot know which of two devices has written, if both may.  Each
 *   has a bounce buffer of its own, and the one that is copied last wins.  For
 *   an access of the CPU, that is the one of the device that attached first; in
 *   the end it is the one unmapped last.  So, where both may write, only the
 *   device that attached first does write, and it is the last to unmap.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

#include "heap-map/heap-map.h"

#define IMPORTER	"/sys/kernel/debug/heap_device"
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof(*(a)))
#define KIB		1024UL
#define WALK_STEPS	100

/* enum dma_data_direction */
enum { BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE, DIRECTIONS };

static const char * const direction_names[] = { "bidirectional", "to_device", "from_device" };

/*
 * One chunk, and six of the system heap.  A bounce buffer holds at most 256 KiB
 * of a chunk.
 */
static const size_t sizes[] = { 64 * KIB, (3 * 64 + 3 * 4) * KIB };

struct device {
	int fd;
	int dir;
	int mask;
	bool mapped;
};

struct test {
	size_t size;
	int buf;
	uint8_t *map;		/* what the CPU sees */
	uint8_t *want;		/* what everyone should see */
	uint8_t *got;
	struct device dev[2];	/* in the order they were attached */
	int nr_dev;
	int writer;		/* the one that may write, or -1 */
	uint64_t access;	/* DMA_BUF_SYNC_READ, _WRITE or _RW */
	uint64_t random;
	char why[200];		/* the first thing that was wrong */
};

static bool want_bounced, mixed;
static unsigned long pages_mapped, pages_bounced;

static void __attribute__((format(printf, 2, 3))) fail(struct test *t, const char *fmt, ...)
{
	va_list args;

	if (t->why[0])
		return;
	va_start(args, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, args);
	va_end(args);
}

static uint64_t random_number(struct test *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;

	return t->random;
}

static bool may_read(struct device *d)
{
	return d->dir != FROM_DEVICE;
}

/* New bytes, each of which differs from the one that was there. */
static void want_new(struct test *t, size_t at, size_t len)
{
	size_t i;

	for (i = at; i < at + len; i++)
		t->want[i] += 1 + random_number(t) % 255;
}

static void compare(struct test *t, const uint8_t *bytes, const char *who)
{
	size_t i, first = 0, nr = 0;

	for (i = 0; i < t->size; i++) {
		if (bytes[i] == t->want[i])
			continue;
		if (!nr++)
			first = i;
	}
	if (nr)
		fail(t, "%s sees %zu of %zu bytes wrong, from %#zx on", who, nr, t->size, first);
}

/* ---- what the CPU does ---- */

static void sync_buf(struct test *t, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };

	if (ioctl(t->buf, DMA_BUF_IOCTL_SYNC, &sync))
		fail(t, "sync %#llx: %s", (unsigned long long)flags, strerror(errno));
}

static void start(struct test *t, uint64_t access)
{
	sync_buf(t, DMA_BUF_SYNC_START | access);
}

static void end(struct test *t, uint64_t access)
{
	sync_buf(t, DMA_BUF_SYNC_END | access);
}

/* between start and end */
static void cpu_put(struct test *t, size_t at, size_t len)
{
	want_new(t, at, len);
	memcpy(t->map + at, t->want + at, len);
}

static void cpu_write(struct test *t, uint64_t access, size_t at, size_t len)
{
	start(t, access);
	cpu_put(t, at, len);
	end(t, access);
}

static void cpu_check(struct test *t, uint64_t access)
{
	start(t, access);
	compare(t, t->map, "the CPU");
	end(t, access);
}

/* ---- what the devices do ---- */

static void dev_map(struct test *t, int i)
{
	struct device *d = &t->dev[i];
	long pages = t->size / sysconf(_SC_PAGESIZE), bounced;

	if (t->why[0])
		return;
	if (ioctl(d->fd, HEAP_DEVICE_MAP, d->dir)) {
		fail(t, "map %s: %s", direction_names[d->dir], strerror(errno));
		return;
	}
	d->mapped = true;
	bounced = ioctl(d->fd, HEAP_DEVICE_BOUNCED);
	if (bounced < 0) {
		fail(t, "ask for bounced pages: %s", strerror(errno));
		return;
	}
	if (want_bounced && d->mask == 32 && bounced != pages)
		fail(t, "%ld of %ld pages have a bounce buffer", bounced, pages);
	pages_mapped += pages;
	pages_bounced += bounced;
}

static void dev_unmap(struct test *t, int i)
{
	struct device *d = &t->dev[i];

	if (!d->mapped)
		return;
	if (ioctl(d->fd, HEAP_DEVICE_UNMAP))
		fail(t, "unmap: %s", strerror(errno));
	d->mapped = false;
}

static void map_all(struct test *t)
{
	int i;

	for (i = 0; i < t->nr_dev; i++)
		dev_map(t, i);
}

/* The first one is the last: where both may write, it is the one that does. */
static void unmap_all(struct test *t)
{
	int i;

	for (i = t->nr_dev - 1; i >= 0; i--)
		dev_unmap(t, i);
}

/* The writer writes. */
static void dev_write(struct test *t, size_t at, size_t len)
{
	if (t->why[0])
		return;
	want_new(t, at, len);
	if (pwrite(t->dev[t->writer].fd, t->want + at, len, at) != (ssize_t)len)
		fail(t, "write of the device: %s", strerror(errno));
}

static void dev_check(struct test *t, int i)
{
	static const char * const names[] = { "the device", "the second device" };

	if (!may_read(&t->dev[i]) || t->why[0])
		return;
	if (pread(t->dev[i].fd, t->got, t->size, 0) != (ssize_t)t->size)
		fail(t, "read of the device: %s", strerror(errno));
	else
		compare(t, t->got, names[i]);
}

static void dev_check_all(struct test *t)
{
	int i;

	for (i = 0; i < t->nr_dev; i++)
		dev_check(t, i);
}

/* ---- the scenarios ---- */

/* single bytes and ranges at the edges of the buffer, of pages and of chunks */
static const struct {
	size_t at, len;
} spots[] = {
	{ 0, 1 }, { 4 * KIB - 1, 2 }, { 5 * KIB, 9 * KIB }, { 40 * KIB + 3, 1 },
	{ 64 * KIB - 1, 1 }, { 64 * KIB - 1, 2 }, { 100 * KIB, 40 * KIB }, { 200 * KIB - 1, 2 },
	{ 204 * KIB - 1, 1 },
};

static void cpu_write_spots(struct test *t)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(spots); i++) {
		if (spots[i].at + spots[i].len <= t->size)
			cpu_write(t, t->access, spots[i].at, spots[i].len);
	}
}

/* No device has the buffer mapped yet: only the CPU's own memory is written. */
static void fill(struct test *t)
{
	cpu_write(t, DMA_BUF_SYNC_RW, 0, t->size);
}

static void fill_and_map(struct test *t)
{
	fill(t);
	map_all(t);
}

static void check_both_sides(struct test *t)
{
	dev_check_all(t);
	cpu_check(t, DMA_BUF_SYNC_READ);
	cpu_check(t, DMA_BUF_SYNC_RW);
	dev_check_all(t);
}

/* Mapping and unmapping change nothing: neither zeroes nor what the CPU wrote. */
static void map_keeps(struct test *t)
{
	int i;

	for (i = 0; i < 2; i++) {
		map_all(t);
		dev_check_all(t);
		unmap_all(t);
		cpu_check(t, t->access);
		fill_and_map(t);
		dev_check_all(t);
		cpu_check(t, t->access);
		unmap_all(t);
		cpu_check(t, t->access);
	}
}

/* Reading changes nothing. */
static void read_keeps(struct test *t)
{
	int i;

	fill_and_map(t);
	for (i = 0; i < 3; i++) {
		cpu_check(t, t->access);
		dev_check_all(t);
	}
}

static void cpu_writes_all(struct test *t)
{
	fill_and_map(t);
	cpu_write(t, t->access, 0, t->size);
	check_both_sides(t);
}

static void cpu_writes_parts(struct test *t)
{
	fill_and_map(t);
	cpu_write_spots(t);
	check_both_sides(t);
}

/* The CPU reads what it wrote before a device does anything. */
static void cpu_writes_then_unmap(struct test *t)
{
	fill_and_map(t);
	cpu_write_spots(t);
	unmap_all(t);
	cpu_check(t, DMA_BUF_SYNC_READ);
	map_all(t);
	check_both_sides(t);
}

/* The device maps in the middle of an access of the CPU. */
static void map_in_access(struct test *t)
{
	fill(t);
	start(t, t->access);
	cpu_put(t, 100, 7000);
	map_all(t);
	cpu_put(t, 5000, 7000);
	end(t, t->access);
	check_both_sides(t);
}

static void device_writes(struct test *t)
{
	fill_and_map(t);
	dev_write(t, 0, t->size);
	cpu_check(t, t->access);
	dev_write(t, 4 * KIB - 1, 2);
	cpu_check(t, t->access);
	dev_write(t, t->size - 5000, 5000);
	cpu_check(t, t->access);
	unmap_all(t);
	cpu_check(t, t->access);
}

/* The CPU writes one byte elsewhere, and says that it only writes. */
static void device_then_cpu_writes(struct test *t)
{
	fill_and_map(t);
	dev_write(t, 0, t->size / 2);
	cpu_write(t, t->access, t->size - 100, 1);
	check_both_sides(t);
}

/* The device writes while the CPU has an access open that is only for reading. */
static void device_writes_in_read(struct test *t)
{
	fill_and_map(t);
	start(t, t->access);
	dev_write(t, 0, t->size);
	end(t, t->access);
	dev_check(t, t->writer);
	cpu_check(t, DMA_BUF_SYNC_READ);
	start(t, t->access);
	dev_write(t, 1000, 10000);
	end(t, t->access);
	unmap_all(t);
	cpu_check(t, DMA_BUF_SYNC_READ);
}

/* Unmapping is what brings the device's data to the CPU. */
static void device_writes_then_unmap(struct test *t)
{
	int i;

	fill_and_map(t);
	for (i = 0; i < 2; i++) {
		dev_write(t, 0, i ? 5000 : t->size);
		dev_unmap(t, t->writer);
		cpu_check(t, t->access);
		dev_map(t, t->writer);
	}
}

/* The data of the first device get to the second one, through the CPU. */
static void device_to_device(struct test *t)
{
	fill_and_map(t);
	dev_write(t, 0, t->size);
	start(t, t->access);
	end(t, t->access);
	dev_check_all(t);
	cpu_check(t, DMA_BUF_SYNC_READ);
	dev_write(t, 4 * KIB - 1, 2);
	cpu_check(t, t->access);
	dev_check_all(t);
}

/* A random walk through all of the above. */
static void walk(struct test *t)
{
	bool passed_on = true;
	size_t at, len;
	int i, j;

	fill_and_map(t);
	for (i = 0; i < WALK_STEPS && !t->why[0]; i++) {
		at = random_number(t) % t->size;
		len = 1 + random_number(t) % (t->size - at);
		switch (random_number(t) % 6) {
		case 0:
			if (t->writer < 0)
				break;
			dev_write(t, at, len);
			passed_on = false;
			break;
		case 1:
			cpu_write(t, t->access, at, len);
			passed_on = true;
			break;
		case 2:
			cpu_check(t, DMA_BUF_SYNC_READ);
			break;
		case 3:
			cpu_check(t, DMA_BUF_SYNC_RW);
			passed_on = true;
			break;
		case 4:
			/* nobody knows whose data are newer after one of two unmaps */
			if (t->nr_dev > 1)
				break;
			dev_unmap(t, 0);
			dev_map(t, 0);
			break;
		case 5:
			for (j = 0; j < t->nr_dev; j++) {
				if (passed_on || j == t->writer)
					dev_check(t, j);
			}
			break;
		}
	}
	cpu_check(t, DMA_BUF_SYNC_READ);
}

enum {
	READ = 1 << DMA_BUF_SYNC_READ,
	WRITE = 1 << DMA_BUF_SYNC_WRITE,
	RW = 1 << DMA_BUF_SYNC_RW,
};

static const char * const access_names[] = {
	[DMA_BUF_SYNC_READ] = "read", [DMA_BUF_SYNC_WRITE] = "write", [DMA_BUF_SYNC_RW] = "rw",
};

/* Who shares the buffer, in the order that they attach. */
enum devices {
	ANY,			/* one device */
	ONE_WRITER,		/* one device that may write */
	ANY_TWO,		/* none of them writes */
	WRITER_AND_READER,	/* a writer and, before or after it, one that may only read */
	WRITER_AND_OTHER,	/* also a writer and, after it, one that may do both */
};

static const struct scenario {
	const char *name;
	void (*run)(struct test *t);
	enum devices devices;
	unsigned int accesses;
} scenarios[] = {
	{ "map-keeps", map_keeps, ANY, READ },
	{ "read-keeps", read_keeps, ANY, READ },
	{ "cpu-writes-all", cpu_writes_all, ANY, WRITE | RW },
	{ "cpu-writes-parts", cpu_writes_parts, ANY, WRITE | RW },
	{ "cpu-writes-then-unmap", cpu_writes_then_unmap, ANY, WRITE | RW },
	{ "map-in-access", map_in_access, ANY, WRITE | RW },
	{ "device-writes", device_writes, ONE_WRITER, READ | RW },
	{ "device-then-cpu-writes", device_then_cpu_writes, ONE_WRITER, WRITE | RW },
	{ "device-writes-in-read", device_writes_in_read, ONE_WRITER, READ },
	{ "device-writes-then-unmap", device_writes_then_unmap, ONE_WRITER, READ | RW },
	{ "walk", walk, ANY, WRITE | RW },
	{ "cpu-writes-parts", cpu_writes_parts, ANY_TWO, WRITE | RW },
	{ "device-writes", device_writes, WRITER_AND_OTHER, READ | RW },
	{ "device-then-cpu-writes", device_then_cpu_writes, WRITER_AND_OTHER, WRITE | RW },
	{ "device-writes-in-read", device_writes_in_read, WRITER_AND_OTHER, READ },
	{ "device-writes-then-unmap", device_writes_then_unmap, WRITER_AND_READER, READ | RW },
	{ "device-to-device", device_to_device, WRITER_AND_OTHER, RW },
	{ "walk", walk, WRITER_AND_OTHER, WRITE | RW },
};

/* ---- running them ---- */

static int alloc_buf(const char *heap, size_t size)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	char path[300];
	int fd, ret;

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = ioctl(fd, DMA_HEAP_IOCTL_ALLOC, &data);
	close(fd);

	return ret ? -1 : (int)data.fd;
}

static void set_up(struct test *t, const char *heap)
{
	int i;

	t->want = calloc(2, t->size);
	if (!t->want) {
		perror("calloc");
		exit(1);
	}
	t->got = t->want + t->size;
	t->random = 88172645463325252;

	t->buf = alloc_buf(heap, t->size);
	if (t->buf < 0)
		fail(t, "allocate: %s", strerror(errno));
	t->map = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, t->buf, 0);
	if (t->map == MAP_FAILED)
		fail(t, "mmap: %s", strerror(errno));
	for (i = 0; i < t->nr_dev; i++) {
		t->dev[i].fd = open(IMPORTER, O_RDWR | O_CLOEXEC);
		t->dev[i].mask = i && mixed ? 64 : 32;
		if (t->dev[i].fd < 0 || ioctl(t->dev[i].fd, HEAP_DEVICE_MASK, t->dev[i].mask) ||
		    ioctl(t->dev[i].fd, HEAP_DEVICE_ATTACH, t->buf))
			fail(t, "attach: %s", strerror(errno));
	}
}

static void tear_down(struct test *t)
{
	int i;

	unmap_all(t);
	for (i = 0; i < t->nr_dev; i++) {
		if (t->dev[i].fd >= 0)
			close(t->dev[i].fd);
	}
	if (t->map != MAP_FAILED)
		munmap(t->map, t->size);
	if (t->buf >= 0)
		close(t->buf);
	free(t->want);
}

/* Are these devices that the scenario is about?  If so, which one writes? */
static bool applies(enum devices devices, const struct test *t, int *writer)
{
	bool first = t->dev[0].dir != TO_DEVICE, second = t->dev[1].dir != TO_DEVICE;

	*writer = first ? 0 : -1;
	switch (devices) {
	case ANY:
		return true;
	case ONE_WRITER:
		return first;
	case ANY_TWO:
		*writer = -1;
		return true;
	case WRITER_AND_READER:
	case WRITER_AND_OTHER:
		if (!first)
			*writer = 1;
		if (first != second)
			return true;
		return devices == WRITER_AND_OTHER && first && t->dev[1].dir == BIDIRECTIONAL;
	}

	return false;
}

static int nr, failed, skipped;

static void run_one(const char *heap, const char *missing, const struct scenario *s,
		    const struct test *what)
{
	char name[400];
	struct test t;
	size_t i;

	snprintf(name, sizeof(name), "%s %s%s%s %s %s", heap, direction_names[what->dev[0].dir],
		 what->nr_dev > 1 ? "+" : "",
		 what->nr_dev > 1 ? direction_names[what->dev[1].dir] : "",
		 access_names[what->access], s->name);
	nr++;
	if (missing) {
		printf("ok %d %s # SKIP %s\n", nr, name, missing);
		skipped++;
		return;
	}

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		t = *what;
		t.size = sizes[i];
		set_up(&t, heap);
		if (!t.why[0])
			s->run(&t);
		tear_down(&t);
		if (t.why[0])
			break;
	}
	if (t.why[0]) {
		printf("# %zu KiB: %s\n", t.size / KIB, t.why);
		failed++;
	}
	printf("%sok %d %s\n", t.why[0] ? "not " : "", nr, name);
}

/* Print every result of a heap; without one, only count them. */
static int run_results(const char *heap, const char *missing)
{
	const struct scenario *s;
	struct test t = {};
	int count = 0, a, b;

	for (s = scenarios; s < scenarios + ARRAY_SIZE(scenarios); s++) {
		t.nr_dev = s->devices >= ANY_TWO ? 2 : 1;
		for (a = 0; a < DIRECTIONS; a++) {
			for (b = 0; b < (t.nr_dev > 1 ? DIRECTIONS : 1); b++) {
				t.dev[0].dir = a;
				t.dev[1].dir = b;
				if (!applies(s->devices, &t, &t.writer))
					continue;
				for (t.access = DMA_BUF_SYNC_READ; t.access <= DMA_BUF_SYNC_RW;
				     t.access++) {
					if (!(s->accesses & 1 << t.access))
						continue;
					count++;
					if (heap)
						run_one(heap, missing, s, &t);
				}
			}
		}
	}

	return count;
}

static void test_heap(const char *heap)
{
	const char *missing = NULL;
	char path[300];

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap);
	if (access(path, F_OK))
		missing = "there is no such heap";
	else if (access(IMPORTER, F_OK))
		missing = "the module heap-map is not loaded";
	pages_mapped = 0;
	pages_bounced = 0;
	run_results(heap, missing);
	if (missing)
		return;
	if (pages_bounced && pages_bounced != pages_mapped)
		printf("# %s bounced: %lu of %lu pages\n", heap, pages_bounced, pages_mapped);
	else
		printf("# %s bounced: %s\n", heap, pages_bounced ? "yes" : "no");
}

int main(int argc, char **argv)
{
	static const char * const usual[] = { "system", "default_cma_region" };
	const char * const *heaps = usual;
	int i, nr_heaps = ARRAY_SIZE(usual);

	for (argv++, argc--; argc && argv[0][0] == '-'; argv++, argc--) {
		if (!strcmp(argv[0], "--bounced")) {
			want_bounced = true;
		} else if (!strcmp(argv[0], "--mixed")) {
			mixed = true;
		} else {
			fprintf(stderr, "usage: coherence [--bounced] [--mixed] [HEAP...]\n");
			return 2;
		}
	}
	if (argc) {
		heaps = (const char * const *)argv;
		nr_heaps = argc;
	}

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%d\n", nr_heaps * run_results(NULL, NULL));
	for (i = 0; i < nr_heaps; i++)
		test_heap(heaps[i]);
	if (failed)
		return 1;

	return skipped == nr ? 4 : 0;
}
