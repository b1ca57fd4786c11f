// SPDX-License-Identifier: GPL-2.0
/*
 * The page pool of the system heaps: reused pages are zero, and memory in the
 * pool is available to others.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "heap.h"
#include "kselftest_harness.h"

#define PERCENT	"/sys/module/dma_heap_pool/parameters/percent"
#define DEBUGFS	"/sys/kernel/debug/dma_heap_pool/"
#define MIB	(1024UL * 1024)
#define MAX_BUFS	32

static bool booted_with(const char *argument)
{
	char line[4096] = "";
	FILE *f = fopen("/proc/cmdline", "re");

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		fclose(f);
	}

	return strstr(line, argument);
}

/* Number of chunks in the pool, or -1 if that is unknown */
static long pool_chunks(void)
{
	unsigned long clean, dirty;
	long sum = 0;
	char line[128];
	FILE *f;

	f = fopen(DEBUGFS "chunks", "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d %*u %*u %*u %lu %lu", &clean, &dirty) == 2)
			sum += clean + dirty;
	}
	fclose(f);

	return sum;
}

/* Number of events since boot, or -1; @event is a column of the file. */
static long pool_events(const char *event)
{
	char line[256], *word, *save;
	unsigned int column = 0, n;
	long sum = 0;
	FILE *f = fopen(DEBUGFS "events", "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		word = strtok_r(line, "\n ", &save);
		for (n = 0; word; n++, word = strtok_r(NULL, "\n ", &save)) {
			if (!strcmp(word, event))
				column = n;
			else if (column && n == column)
				sum += atol(word);
		}
	}
	fclose(f);

	return column ? sum : -1;
}

/* Memory that others can have, including the pool */
static unsigned long long available(void)
{
	return mem_bytes("MemAvailable");
}

/* Tolerance: free pages on per-CPU lists do not count as free. */
static unsigned long long some_memory(void)
{
	return mem_bytes("MemTotal") / 32;
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;

	return *state;
}

/*
 * Allocate a buffer, check that it is zero, and fill it.  Return the fd, or -1
 * with errno set: EBADMSG if there was data of others in it.
 */
static int use_buffer(int heap, size_t len)
{
	int buf = heap_alloc(heap, len), error = 0;
	uint64_t *map;
	size_t i;

	if (buf < 0)
		return -1;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	if (map == MAP_FAILED) {
		error = errno;
	} else {
		for (i = 0; i < len / sizeof(*map); i++) {
			if (map[i])
				error = EBADMSG;
		}
		memset(map, 0xa5, len);
		munmap(map, len);
	}
	if (error) {
		close(buf);
		errno = error;
		return -1;
	}

	return buf;
}

FIXTURE(pool)
{
	int heap;
	/* the original parameter, if it was changed */
	char percent[16];
};

FIXTURE_VARIANT(pool)
{
	const char *heap;
};

FIXTURE_VARIANT_ADD(pool, system) { .heap = "system" };
FIXTURE_VARIANT_ADD(pool, system_uncached) { .heap = "system-uncached" };
FIXTURE_VARIANT_ADD(pool, system_dma32) { .heap = "system-dma32" };
FIXTURE_VARIANT_ADD(pool, system_uncached_dma32) { .heap = "system-uncached-dma32" };

FIXTURE_SETUP(pool)
{
	int buf, fd;

	self->heap = heap_open(variant->heap);
	if (self->heap < 0)
		SKIP(return, "cannot open %s: %s", variant->heap, strerror(errno));
	buf = heap_alloc(self->heap, 4 * MIB);
	if (buf < 0)
		SKIP(return, "%s has no memory: %s", variant->heap, strerror(errno));
	close(buf);
	/* enable the pool, if permitted */
	fd = may_disrupt() ? open(PERCENT, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		if (read(fd, self->percent, sizeof(self->percent) - 1) <= 0 ||
		    !write_text(PERCENT, "25"))
			self->percent[0] = '\0';
		close(fd);
	}
}

FIXTURE_TEARDOWN(pool)
{
	if (self->percent[0])
		write_text(PERCENT, self->percent);
	if (self->heap >= 0)
		close(self->heap);
}

/* Buffers of any size are zero, one after the other and several at a time. */
TEST_F_TIMEOUT(pool, zeroed, 300)
{
	const long page = sysconf(_SC_PAGESIZE);
	uint64_t state = 0x9e3779b97f4a7c15;
	int bufs[4] = { -1, -1, -1, -1 };
	unsigned int i, slot;

	for (i = 0; i < 60; i++) {
		slot = next(&state) % 4;
		if (bufs[slot] >= 0)
			close(bufs[slot]);
		bufs[slot] = use_buffer(self->heap, (next(&state) % (3 * MIB) / page + 1) * page);
		ASSERT_GE(bufs[slot], 0) {
			TH_LOG("buffer %u: %s", i, strerror(errno));
		}
		/* give the kernel time to clear some chunks */
		if (i % 20 == 19)
			usleep(50000);
	}
	for (slot = 0; slot < 4; slot++)
		close(bufs[slot]);
}

/* Buffers have no data of a process that was killed. */
TEST_F_TIMEOUT(pool, other_process, 300)
{
	int i, status, buf, pipes[2];
	char c;

	for (i = 0; i < 3; i++) {
		pid_t pid;

		ASSERT_EQ(0, pipe(pipes));
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			if (use_buffer(self->heap, 4 * MIB) < 0)
				_exit(1);
			if (write(pipes[1], "x", 1) != 1)
				_exit(1);
			pause();
		}
		close(pipes[1]);
		ASSERT_EQ(1, read(pipes[0], &c, 1));
		close(pipes[0]);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		buf = use_buffer(self->heap, 4 * MIB);
		ASSERT_GE(buf, 0) {
			TH_LOG("%s", strerror(errno));
		}
		close(buf);
	}
}

/* Freed buffers are available memory at once, and free after some seconds. */
TEST_F_TIMEOUT(pool, given_back, 300)
{
	const unsigned long long slack = some_memory();
	unsigned long long free_before, available_before;
	int buf, i;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	drain_pool();
	free_before = mem_bytes("MemFree");
	available_before = available();
	if (2 * slack > 512 * MIB)
		SKIP(return, "so much memory that a buffer does not show");
	buf = use_buffer(self->heap, 2 * slack / MIB * MIB);
	ASSERT_GE(buf, 0);
	close(buf);
	/* MemAvailable does not count all memory that can be reclaimed */
	EXPECT_GE(available() + slack + slack / 2, available_before);
	for (i = 0; i < 100 && mem_bytes("MemFree") + slack < free_before; i++)
		usleep(100000);
	EXPECT_GE(mem_bytes("MemFree") + slack, free_before);
}

/* Did the pool refuse chunks, for example because memory is short? */
static bool has_refused(long before)
{
	return !pool_chunks() && pool_events("refused") > before;
}

/* Draining empties the pool. */
TEST_F_TIMEOUT(pool, drained, 300)
{
	const unsigned long long slack = some_memory();
	const long refused = pool_events("refused");
	unsigned long long before;
	int buf;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	if (pool_chunks() < 0)
		SKIP(return, "no pool in debugfs");
	drain_pool();
	EXPECT_EQ(0, pool_chunks());
	before = mem_bytes("MemFree");
	buf = use_buffer(self->heap, (2 * slack > 256 * MIB ? 256 * MIB : 2 * slack) / MIB * MIB);
	ASSERT_GE(buf, 0);
	close(buf);
	if (has_refused(refused))
		SKIP(return, "the pool refused the chunks");
	EXPECT_GT(pool_chunks(), 0);
	drain_pool();
	EXPECT_EQ(0, pool_chunks());
	EXPECT_GE(mem_bytes("MemFree") + slack, before);
}

/* With dma_heap_pool.percent=0, the pool keeps nothing. */
TEST_F_TIMEOUT(pool, switched_off, 300)
{
	long refused = pool_events("refused");
	int buf;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	if (!self->percent[0] || pool_chunks() < 0)
		SKIP(return, "no pool");

	buf = use_buffer(self->heap, 8 * MIB);
	ASSERT_GE(buf, 0);
	close(buf);
	if (has_refused(refused))
		SKIP(return, "the pool refused the chunks");
	EXPECT_GT(pool_chunks(), 0);
	EXPECT_TRUE(write_text(PERCENT, "0"));
	EXPECT_EQ(0, pool_chunks());
	buf = use_buffer(self->heap, 8 * MIB);
	EXPECT_GE(buf, 0);
	close(buf);
	EXPECT_EQ(0, pool_chunks());
	EXPECT_FALSE(write_text(PERCENT, "101"));
	EXPECT_EQ(EINVAL, errno);
}

/* With init_on_free=1, chunks are cleared before they are in the pool. */
TEST_F_TIMEOUT(pool, cleared_on_free, 300)
{
	long cleared, refused = pool_events("refused");
	int buf;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	if (!booted_with("init_on_free=1"))
		SKIP(return, "not booted with init_on_free=1");
	cleared = pool_events("cleared");
	if (cleared < 0 || pool_chunks() < 0)
		SKIP(return, "no pool");
	buf = use_buffer(self->heap, 8 * MIB);
	ASSERT_GE(buf, 0);
	close(buf);
	if (has_refused(refused))
		SKIP(return, "the pool refused the chunks");
	EXPECT_GT(pool_chunks(), 0);
	usleep(500000);
	EXPECT_EQ(cleared, pool_events("cleared"));
	buf = use_buffer(self->heap, 8 * MIB);
	EXPECT_GE(buf, 0);
	close(buf);
}

/* Take so much memory, and touch all of it. */
static bool take_memory(size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) != MAP_FAILED;
}

/*
 * A process that needs more than the free memory gets that in the pool, without
 * the OOM killer.
 */
TEST_F_TIMEOUT(pool, reclaimed, 300)
{
	/* a tenth of memory, in buffers of 8 MiB */
	const unsigned long long total = mem_bytes("MemTotal"), nr = total / 10 / (8 * MIB);
	const unsigned long long left = total / 20;
	int bufs[MAX_BUFS], ready[2], go[2], status;
	long shrunk = pool_events("shrunk"), aged = pool_events("aged");
	long refused = pool_events("refused");
	unsigned long long taken;
	bool none_kept;
	unsigned int i;
	pid_t pid;
	char c;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	if (nr < 1 || nr > MAX_BUFS)
		SKIP(return, "not on a machine with so much memory, or so little");
	drain_pool();
	for (i = 0; i < nr; i++) {
		bufs[i] = use_buffer(self->heap, 8 * MIB);
		ASSERT_GE(bufs[i], 0);
	}
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		die_first();
		for (i = 0; i < nr; i++)
			close(bufs[i]);
		close(go[1]);
		if (!take_memory(available() - left) || write(ready[1], "x", 1) != 1 ||
		    read(go[0], &c, 1) != 1)
			_exit(1);
		/* Use half of the pool, and more until the shrinker ran. */
		for (taken = 0; taken < left + nr * 8 * MIB; taken += MIB) {
			if (taken >= left + nr * 4 * MIB &&
			    (shrunk < 0 || pool_events("shrunk") != shrunk))
				break;
			if (!take_memory(MIB))
				_exit(1);
		}
		_exit(0);
	}
	close(ready[1]);
	EXPECT_EQ(1, read(ready[0], &c, 1));
	for (i = 0; i < nr; i++)
		close(bufs[i]);
	none_kept = has_refused(refused);
	EXPECT_EQ(1, write(go[1], "x", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/* unless chunks were refused, or were too old before, on a slow machine */
	if (shrunk >= 0 && !none_kept && pool_events("aged") == aged)
		EXPECT_GT(pool_events("shrunk"), shrunk);
	close(ready[0]);
	close(go[0]);
	close(go[1]);
}

static bool stop;

struct worker {
	pthread_t thread;
	int heap;
	uint64_t seed;
	int error;
};

static void *use_buffers(void *data)
{
	const long page = sysconf(_SC_PAGESIZE);
	struct worker *worker = data;
	int bufs[3] = { -1, -1, -1 };
	unsigned int slot;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED) && !worker->error) {
		slot = next(&worker->seed) % 3;
		if (bufs[slot] >= 0)
			close(bufs[slot]);
		bufs[slot] = use_buffer(worker->heap,
					(next(&worker->seed) % MIB / page + 1) * page);
		if (bufs[slot] < 0)
			worker->error = errno;
	}
	for (slot = 0; slot < 3; slot++) {
		if (bufs[slot] >= 0)
			close(bufs[slot]);
	}

	return NULL;
}

/* Threads allocate, fill, check and free, while the pool is shrunk, drained and limited. */
TEST_F_TIMEOUT(pool, threads, 900)
{
	const char *seconds = getenv("DMABUF_STRESS_SECONDS");
	const time_t end = time(NULL) + 1 + (seconds ? atoi(seconds) / 4 : 2);
	struct worker workers[4] = {};
	unsigned int i;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++) {
		workers[i].heap = self->heap;
		workers[i].seed = i + 1;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, use_buffers, &workers[i]));
	}
	for (i = 0; time(NULL) < end; i++) {
		usleep(20000);
		switch (i % 5) {
		case 0:
			drain_pool();
			break;
		case 1:
			/* calls the shrinkers */
			write_text("/proc/sys/vm/drop_caches", "2");
			break;
		case 2:
			if (self->percent[0])
				EXPECT_TRUE(write_text(PERCENT, i % 2 ? "1" : "0"));
			break;
		case 3:
			pool_chunks();
			break;
		case 4:
			if (self->percent[0])
				EXPECT_TRUE(write_text(PERCENT, "25"));
			break;
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].error);
	}
}

TEST_HARNESS_MAIN
