// SPDX-License-Identifier: GPL-2.0
/*
 * What allocation does at the upper end: what exceeds a heap fails with
 * -ENOMEM, and neither that nor being killed in the middle costs anybody
 * anything.
 *
 * Two cases want a machine of their own: one with a CMA region of more than
 * 2 GiB, and one with little memory, all of which is asked for.  They are
 * skipped elsewhere.
 */

#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "heap.h"
#include "kselftest_harness.h"

#define MIB 1048576ULL
#define GIB (1024 * MIB)

/* How often a task had to reclaim memory itself, in all zones together. */
static unsigned long long direct_reclaims(void)
{
	unsigned long long sum = 0;
	char line[128], *value;
	FILE *f = fopen("/proc/vmstat", "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		value = strchr(line, ' ');
		if (value && !strncmp(line, "allocstall_", 11))
			sum += strtoull(value, NULL, 10);
	}
	fclose(f);

	return sum;
}

FIXTURE(alloc)
{
	int heap;
	int log;
};

FIXTURE_VARIANT(alloc)
{
	const char *name;
	const char *total;
};

FIXTURE_VARIANT_ADD(alloc, system)
{
	.name = "system",
	.total = "MemTotal",
};

FIXTURE_VARIANT_ADD(alloc, default_cma_region)
{
	.name = "default_cma_region",
	.total = "CmaTotal",
};

FIXTURE_SETUP(alloc)
{
	self->heap = heap_open(variant->name);
	if (self->heap < 0)
		SKIP(return, "cannot open heap %s: %s", variant->name, strerror(errno));
	self->log = log_open();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(alloc)
{
	if (self->heap < 0)
		return;
	close(self->log);
	close(self->heap);
}

/*
 * More than there is fails at once, without trying to reclaim it, and says
 * nothing in the kernel log, which whoever may use the heap could fill.
 */
TEST_F(alloc, more_than_there_is)
{
	const unsigned long long total = mem_bytes(variant->total);
	const __u64 lens[] = { total + 1, 2 * total, 1ULL << 40, 1ULL << 63 };
	unsigned long long reclaims = direct_reclaims();
	unsigned int i, round;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < ARRAY_SIZE(lens); i++) {
			EXPECT_EQ(-1, heap_alloc(self->heap, lens[i]));
			/* what does not even fit a size_t is not for the heap to say */
			EXPECT_EQ(lens[i] > SIZE_MAX - 65536 ? EINVAL : ENOMEM, errno);
		}
	}
	EXPECT_EQ(reclaims, direct_reclaims());
	EXPECT_FALSE(log_has(self->log, "cma"));
}

/* A child that allocates and frees half of the heap until it is killed. */
static pid_t start_eater(int heap, __u64 len)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (;;) {
		int buf = heap_alloc(heap, len);

		if (buf >= 0)
			close(buf);
	}
}

/* However often a task is killed while it allocates, nothing is lost. */
TEST_F_TIMEOUT(alloc, killed, 120)
{
	unsigned long long len = mem_bytes(variant->total) / 4, before, after = 0;
	unsigned int i;
	int status, buf;
	pid_t pid;

	/* the first one moves what others keep in the region out of it */
	close(heap_alloc(self->heap, len));
	before = mem_bytes("MemAvailable");

	for (i = 0; i < 30; i++) {
		pid = start_eater(self->heap, len);
		ASSERT_LT(0, pid);
		usleep(1000 * (5 + 7 * i));
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}

	/* buffers are freed by whoever drops the last reference, soon */
	for (i = 0; i < 50 && after < before - before / 20; i++) {
		usleep(100000);
		after = mem_bytes("MemAvailable");
	}
	EXPECT_LE(before - before / 20, after) {
		TH_LOG("MemAvailable was %llu KiB and is %llu KiB", before / 1024, after / 1024);
	}
	/* half of what there is, which a few lost buffers would not leave */
	buf = heap_alloc(self->heap, 2 * len);
	EXPECT_LE(0, buf);
	close(buf);
}

/*
 * A buffer of more than 2 GiB: no part of the heap's own bookkeeping may need
 * contiguous memory in proportion to it.
 */
TEST(cma_more_than_2g)
{
	unsigned long long len = 2 * GIB + 64 * MIB;
	unsigned char *last;
	int heap, buf;

	if (sizeof(long) < 8 || mem_bytes("CmaFree") < len + 64 * MIB)
		SKIP(return, "needs a CMA region of 2.2 GiB (boot with cma=2304M)");
	heap = heap_open("default_cma_region");
	ASSERT_LE(0, heap);

	buf = heap_alloc(heap, len);
	ASSERT_LE(0, buf) {
		TH_LOG("2 GiB and 64 MiB: %s", strerror(errno));
	}
	EXPECT_EQ(len, lseek(buf, 0, SEEK_END));

	last = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, buf,
		    len - getpagesize());
	ASSERT_NE(MAP_FAILED, last);
	EXPECT_EQ(0, *last);
	*last = 0xa5;
	munmap(last, getpagesize());
	close(buf);
	close(heap);
}

/* Keeps its memory warm, so that it is what an OOM killer would look at. */
static pid_t start_victim(size_t size)
{
	pid_t pid = fork();
	char *p, i = 0;

	if (pid)
		return pid;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_exit(1);
	for (;;) {
		memset(p, i++, size);
		usleep(1000);
	}
}

/*
 * All of memory, asked for again and again beside a process that uses some:
 * each request fails with -ENOMEM, none has the OOM killer called for it, and
 * in the end there is as much memory as before.
 */
TEST_F_TIMEOUT(alloc, all_of_memory, 600)
{
	unsigned long long total = mem_bytes("MemTotal"), before, after = 0;
	pid_t victim;
	int i, status;

	if (strcmp(variant->name, "system"))
		SKIP(return, "a CMA region is not all of memory");
	if (total > 640 * MIB)
		SKIP(return, "asks for all of memory: only on a machine of 512 MiB");

	victim = start_victim(64 * MIB);
	ASSERT_LT(0, victim);
	usleep(500000);
	before = mem_bytes("MemAvailable");

	for (i = 0; i < 100; i++) {
		EXPECT_EQ(-1, heap_alloc(self->heap, total - 16 * MIB));
		EXPECT_EQ(ENOMEM, errno);
	}

	/* "COMM invoked oom-killer: ..." */
	EXPECT_FALSE(log_has(self->log, "alloc invoked oom-killer"));
	EXPECT_EQ(0, waitpid(victim, &status, WNOHANG));
	for (i = 0; i < 50 && after < before - before / 20; i++) {
		usleep(100000);
		after = mem_bytes("MemAvailable");
	}
	EXPECT_LE(before - before / 20, after) {
		TH_LOG("MemAvailable was %llu KiB and is %llu KiB", before / 1024, after / 1024);
	}
	kill(victim, SIGKILL);
	waitpid(victim, &status, 0);
}

TEST_HARNESS_MAIN
