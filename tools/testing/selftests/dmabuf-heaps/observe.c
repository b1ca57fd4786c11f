// SPDX-License-Identifier: GPL-2.0
/*
 * What heaps show to root: counters and properties in debugfs, and tracepoints
 */

#define _GNU_SOURCE
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define TRACEFS "/sys/kernel/tracing/"

struct instance {
	char path[64];
	/* switches events on and off */
	int fd;
};

#define HEAP_FIXTURE_OWN struct instance
#include "fixture.h"

static void own_begin(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	self->own.fd = -1;
	if (access("/sys/kernel/debug/dma_heap", F_OK))
		SKIP(return, "no debugfs, or no heaps in it");
}

static void own_end(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	if (self->own.fd >= 0)
		close(self->own.fd);
	if (self->own.path[0])
		rmdir(self->own.path);
}

/*
 * A length that no heap can allocate, or 0: a heap may use all memory before it
 * fails, and a 32-bit kernel refuses the length before that.
 */
static unsigned long long too_much(void)
{
	unsigned long long len = mem_bytes("MemTotal") + (1ULL << 30);

	return may_disrupt() && (sizeof(long) > 4 || len < UINT_MAX) ? len : 0;
}

struct counters {
	unsigned long long buffers, bytes, peak, failures;
};

static struct counters counters(struct __test_metadata *_metadata, const char *heap)
{
	struct counters c;

	ASSERT_TRUE(heap_counter(heap, "buffers", &c.buffers));
	ASSERT_TRUE(heap_counter(heap, "bytes", &c.bytes));
	ASSERT_TRUE(heap_counter(heap, "peak", &c.peak));
	ASSERT_TRUE(heap_counter(heap, "failures", &c.failures));

	return c;
}

/* Buffers are counted while an fd or a mapping holds them. */
TEST_F(heap, counters)
{
	const unsigned long long len = 3 * self->page;
	struct counters before, held, mapped, after, failed;
	int buf, tries = 0;
	void *map;

again:
	before = counters(_metadata, self->name);
	buf = heap_alloc(self->heap, len - 1);
	ASSERT_LE(0, buf);
	held = counters(_metadata, self->name);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(buf);
	mapped = counters(_metadata, self->name);
	munmap(map, len);
	after = counters(_metadata, self->name);
	/* too large a length is a failure, an invalid one is not */
	if (too_much())
		EXPECT_ERRNO(ENOMEM, heap_alloc(self->heap, too_much()));
	EXPECT_ERRNO(EINVAL, heap_alloc(self->heap, 0));
	failed = counters(_metadata, self->name);
	/* retry if others used the heap meanwhile */
	if ((held.buffers != before.buffers + 1 || held.bytes != before.bytes + len ||
	     mapped.bytes != held.bytes || after.bytes != before.bytes ||
	     after.peak != held.peak || after.failures != before.failures ||
	     failed.buffers != before.buffers ||
	     failed.failures != before.failures + !!too_much()) &&
	    ++tries < 10)
		goto again;

	EXPECT_EQ(before.buffers + 1, held.buffers);
	EXPECT_EQ(before.bytes + len, held.bytes);
	EXPECT_LE(held.bytes, held.peak);
	EXPECT_EQ(held.buffers, mapped.buffers);
	EXPECT_EQ(held.bytes, mapped.bytes);
	EXPECT_EQ(before.buffers, after.buffers);
	EXPECT_EQ(before.bytes, after.bytes);
	EXPECT_EQ(held.peak, after.peak);
	EXPECT_EQ(before.failures, after.failures);
	EXPECT_EQ(before.failures + !!too_much(), failed.failures);
	EXPECT_EQ(before.buffers, failed.buffers);
	if (tries)
		TH_LOG("%d tries", tries + 1);
	if (!too_much())
		TH_LOG("no allocation was made to fail: DMABUF_DISRUPT=1 does that");
}

TEST_F(heap, properties)
{
	static const struct {
		const char *heap, *properties;
	} known[] = {
		{ .heap = "system", .properties = "properties:\n" },
		{ .heap = "default_cma_region", .properties = "properties: contiguous\n" },
		{ .heap = "system-uncached", .properties = "properties: write-combined\n" },
		{
			.heap = "default_cma_region-uncached",
			.properties = "properties: contiguous write-combined\n",
		},
	};
	const char *properties = "properties:";
	char path[300], text[512];
	unsigned int i;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/dma_heap/%s", self->name);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcmp(self->name, known[i].heap))
			properties = known[i].properties;
	}
	/* the properties of other heaps are unknown */
	EXPECT_NE(NULL, strstr(text, properties)) {
		TH_LOG("%s", text);
	}
}

/* The next line about our heap and that length. */
static bool next_event(FILE *trace, const char *heap, unsigned long long len, int *ret,
		       long long *duration, char reason[16], unsigned long long *largest)
{
	char line[1024], want[400];
	const char *p;

	snprintf(want, sizeof(want), "dma_heap_alloc: name=%s len=%llu ", heap, len);
	while (fgets(line, sizeof(line), trace)) {
		p = strstr(line, want);
		p = p ? strstr(p, " ret=") : NULL;
		if (p && sscanf(p, " ret=%d duration=%lld reason=%15s largest=%llu", ret, duration,
				reason, largest) == 4)
			return true;
	}

	return false;
}

/* Each allocation causes one event, with its result. */
TEST_F(heap, tracepoint)
{
	const unsigned long long len = 5 * self->page, huge = too_much();
	struct dma_heap_info info = {};
	unsigned long long largest;
	long long duration, fine;
	struct timespec tick;
	char path[160], reason[16];
	const char *heap;
	FILE *trace;
	int ret;

	ASSERT_EQ(0, clock_getres(CLOCK_MONOTONIC, &tick));
	fine = !tick.tv_sec && tick.tv_nsec <= 1000;

	snprintf(path, sizeof(path), TRACEFS "instances/dmabuf-heaps-%d", getpid());
	if (mkdir(path, 0700))
		SKIP(return, "no instance of tracefs: %s", strerror(errno));
	strcpy(self->own.path, path);
	snprintf(path, sizeof(path), "%s/events/dma_heap/dma_heap_alloc/enable", self->own.path);
	self->own.fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, self->own.fd);
	ASSERT_EQ(1, write(self->own.fd, "1", 1));

	ret = heap_alloc(self->heap, len - 1);
	ASSERT_LE(0, ret);
	heap = buffer_heap(ret);
	close(ret);
	if (huge)
		EXPECT_ERRNO(ENOMEM, heap_alloc(self->heap, huge));
	ASSERT_EQ(1, pwrite(self->own.fd, "0", 1, 0));
	/* the event is disabled */
	ret = heap_alloc(self->heap, len);
	ASSERT_LE(0, ret);
	close(ret);

	snprintf(path, sizeof(path), "%s/trace", self->own.path);
	trace = fopen(path, "r");
	ASSERT_NE(NULL, trace);
	EXPECT_TRUE(next_event(trace, heap, len, &ret, &duration, reason, &largest));
	EXPECT_EQ(0, ret);
	EXPECT_STREQ("none", reason);
	EXPECT_EQ(0, largest);
	/* a clock that ticks in milliseconds may show nothing */
	EXPECT_LE(fine, duration);
	if (huge) {
		EXPECT_TRUE(next_event(trace, heap, (huge + self->page - 1) / self->page *
				       self->page, &ret, &duration, reason, &largest));
		EXPECT_EQ(-ENOMEM, ret);
		/* a heap need not report its memory */
		ioctl(self->heap, DMA_HEAP_IOCTL_GET_INFO, &info);
		if (info.size) {
			EXPECT_STREQ("memory", reason);
			EXPECT_LT(0, largest);
		}
		EXPECT_GT(huge, largest);
	}
	EXPECT_FALSE(next_event(trace, heap, len, &ret, &duration, reason, &largest));
	fclose(trace);
}

/* Number of lines of the trace that contain both strings */
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

/* Allocation and release have the same inode number; release is at the end. */
TEST_F(heap, release_tracepoint)
{
	const unsigned long long len = 7 * self->page;
	char path[160], alloc[400], release[400], ino[32];
	struct stat st;
	void *map;
	int buf;

	snprintf(path, sizeof(path), TRACEFS "instances/dmabuf-heaps-%d", getpid());
	if (mkdir(path, 0700))
		SKIP(return, "no instance of tracefs: %s", strerror(errno));
	strcpy(self->own.path, path);
	snprintf(path, sizeof(path), "%s/events/dma_heap/enable", self->own.path);
	self->own.fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, self->own.fd);
	ASSERT_EQ(1, write(self->own.fd, "1", 1));

	buf = heap_alloc(self->heap, len);
	ASSERT_LE(0, buf);
	ASSERT_EQ(0, fstat(buf, &st));
	snprintf(ino, sizeof(ino), " ino=%llu\n", (unsigned long long)st.st_ino);
	snprintf(alloc, sizeof(alloc), "dma_heap_alloc: name=%s len=%llu ", buffer_heap(buf), len);
	snprintf(release, sizeof(release), "dma_heap_release: name=%s len=%llu ",
		 buffer_heap(buf), len);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(buf);
	EXPECT_EQ(1, count_events(self->own.path, alloc, ino));
	EXPECT_EQ(0, count_events(self->own.path, release, ino));
	munmap(map, len);
	EXPECT_EQ(1, count_events(self->own.path, release, ino));
}

TEST_HARNESS_MAIN
