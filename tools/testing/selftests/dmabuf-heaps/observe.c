// SPDX-License-Identifier: GPL-2.0
/*
 * What heaps show to root: counters and properties in debugfs, and tracepoints
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "heap.h"
#include "kselftest_harness.h"

#define TRACEFS "/sys/kernel/tracing/"

FIXTURE(observe)
{
	int heap;
	long page;
	char instance[64];
};

FIXTURE_VARIANT(observe)
{
	const char *name;
	const char *properties;
};

FIXTURE_VARIANT_ADD(observe, system)
{
	.name = "system",
	.properties = "properties:\n",
};

FIXTURE_VARIANT_ADD(observe, default_cma_region)
{
	.name = "default_cma_region",
	.properties = "properties: contiguous\n",
};

FIXTURE_VARIANT_ADD(observe, system_uncached)
{
	.name = "system-uncached",
	.properties = "properties: write-combined\n",
};

FIXTURE_VARIANT_ADD(observe, default_cma_region_uncached)
{
	.name = "default_cma_region-uncached",
	.properties = "properties: contiguous write-combined\n",
};

FIXTURE_SETUP(observe)
{
	unsigned long long buffers;

	self->page = sysconf(_SC_PAGESIZE);
	self->heap = heap_open(variant->name);
	if (self->heap < 0)
		SKIP(return, "cannot open heap %s: %s", variant->name, strerror(errno));
	if (access("/sys/kernel/debug/dma_heap", F_OK))
		SKIP(return, "no debugfs, or no heaps in it");
	if (heap_counter(variant->name, "buffers", &buffers) && buffers)
		SKIP(return, "somebody uses heap %s", variant->name);
}

FIXTURE_TEARDOWN(observe)
{
	if (self->instance[0])
		rmdir(self->instance);
	if (self->heap >= 0)
		close(self->heap);
}

static unsigned long long counter(struct __test_metadata *_metadata, const char *heap,
				  const char *key)
{
	unsigned long long value = 0;

	EXPECT_TRUE(heap_counter(heap, key, &value)) {
		TH_LOG("no '%s' for %s", key, heap);
	}

	return value;
}

#define COUNTER(key) counter(_metadata, variant->name, key)

/* Buffers count as long as anybody holds them, in whatever way. */
TEST_F(observe, counters)
{
	const unsigned long long buffers = COUNTER("buffers"), bytes = COUNTER("bytes");
	const unsigned long long failures = COUNTER("failures"), len = 3 * self->page;
	unsigned long long peak;
	void *map;
	int buf;

	buf = heap_alloc(self->heap, len - 1);
	ASSERT_LE(0, buf);
	EXPECT_EQ(buffers + 1, COUNTER("buffers"));
	EXPECT_EQ(bytes + len, COUNTER("bytes"));
	peak = COUNTER("peak");
	EXPECT_LE(bytes + len, peak);

	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(buf);
	EXPECT_EQ(buffers + 1, COUNTER("buffers"));
	munmap(map, len);
	EXPECT_EQ(buffers, COUNTER("buffers"));
	EXPECT_EQ(bytes, COUNTER("bytes"));
	EXPECT_EQ(peak, COUNTER("peak"));

	/* what is too much for the heap is a failure, what is nonsense is not */
	EXPECT_EQ(-1, heap_alloc(self->heap, mem_bytes("MemTotal") + (1ULL << 30)));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, heap_alloc(self->heap, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(failures + 1, COUNTER("failures"));
	EXPECT_EQ(buffers, COUNTER("buffers"));
}

TEST_F(observe, properties)
{
	char path[300], text[512];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/dma_heap/%s", variant->name);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	EXPECT_NE(NULL, strstr(text, variant->properties)) {
		TH_LOG("%s", text);
	}
}

/* The next line about our heap and that length. */
static bool next_event(FILE *trace, const char *heap, unsigned long long len, int *ret,
		       long long *duration)
{
	char line[1024], want[400];
	const char *p;

	snprintf(want, sizeof(want), "dma_heap_alloc: name=%s len=%llu ", heap, len);
	while (fgets(line, sizeof(line), trace)) {
		p = strstr(line, want);
		p = p ? strstr(p, " ret=") : NULL;
		if (p && sscanf(p, " ret=%d duration=%lld", ret, duration) == 2)
			return true;
	}

	return false;
}

/* One event an allocation, with what became of it. */
TEST_F(observe, tracepoint)
{
	const unsigned long long len = 5 * self->page, huge = mem_bytes("MemTotal") + (1ULL << 30);
	long long duration, fine;
	struct timespec tick;
	char path[160];
	FILE *trace;
	int fd, ret;

	ASSERT_EQ(0, clock_getres(CLOCK_MONOTONIC, &tick));
	fine = !tick.tv_sec && tick.tv_nsec <= 1000;

	snprintf(path, sizeof(path), TRACEFS "instances/dmabuf-heaps-%d", getpid());
	if (mkdir(path, 0700))
		SKIP(return, "no instance of tracefs: %s", strerror(errno));
	strcpy(self->instance, path);
	snprintf(path, sizeof(path), "%s/events/dma_heap/dma_heap_alloc/enable", self->instance);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, write(fd, "1", 1));

	ret = heap_alloc(self->heap, len - 1);
	ASSERT_LE(0, ret);
	close(ret);
	EXPECT_EQ(-1, heap_alloc(self->heap, huge));
	ASSERT_EQ(1, pwrite(fd, "0", 1, 0));
	close(fd);
	/* nobody looks any more */
	ret = heap_alloc(self->heap, len);
	ASSERT_LE(0, ret);
	close(ret);

	snprintf(path, sizeof(path), "%s/trace", self->instance);
	trace = fopen(path, "r");
	ASSERT_NE(NULL, trace);
	EXPECT_TRUE(next_event(trace, variant->name, len, &ret, &duration));
	EXPECT_EQ(0, ret);
	/* a clock that ticks in milliseconds may show nothing */
	EXPECT_LE(fine, duration);
	EXPECT_TRUE(next_event(trace, variant->name, (huge + self->page - 1) / self->page *
			       self->page, &ret, &duration));
	EXPECT_EQ(-ENOMEM, ret);
	EXPECT_FALSE(next_event(trace, variant->name, len, &ret, &duration));
	fclose(trace);
}

/* How many lines of the trace have both? */
static int count_events(const char *instance, const char *a, const char *b)
{
	char line[1024];
	int n = 0;
	FILE *f;

	snprintf(line, sizeof(line), "%s/trace", instance);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, a) && strstr(line, b);
	if (f)
		fclose(f);

	return n;
}

/* A buffer comes and goes under one number, and goes with its last user. */
TEST_F(observe, release_tracepoint)
{
	const unsigned long long len = 7 * self->page;
	char path[160], alloc[400], release[400], ino[32];
	struct stat st;
	void *map;
	int fd, buf;

	snprintf(path, sizeof(path), TRACEFS "instances/dmabuf-heaps-%d", getpid());
	if (mkdir(path, 0700))
		SKIP(return, "no instance of tracefs: %s", strerror(errno));
	strcpy(self->instance, path);
	snprintf(path, sizeof(path), "%s/events/dma_heap/enable", self->instance);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, write(fd, "1", 1));

	buf = heap_alloc(self->heap, len);
	ASSERT_LE(0, buf);
	ASSERT_EQ(0, fstat(buf, &st));
	snprintf(ino, sizeof(ino), " ino=%llu\n", (unsigned long long)st.st_ino);
	snprintf(alloc, sizeof(alloc), "dma_heap_alloc: name=%s len=%llu ", variant->name, len);
	snprintf(release, sizeof(release), "dma_heap_release: name=%s len=%llu ", variant->name,
		 len);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(buf);
	EXPECT_EQ(1, count_events(self->instance, alloc, ino));
	EXPECT_EQ(0, count_events(self->instance, release, ino));
	munmap(map, len);
	EXPECT_EQ(1, count_events(self->instance, release, ino));
	close(fd);
}

TEST_HARNESS_MAIN
