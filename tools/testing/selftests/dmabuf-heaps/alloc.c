// SPDX-License-Identifier: GPL-2.0
/*
 * Large allocations: a buffer that exceeds a heap fails with ENOMEM, and
 * neither that nor a killed task loses memory.
 *
 * One case needs a CMA region of more than 2 GiB, and one a machine with little
 * memory, all of which it requests.  They are skipped elsewhere.
 */

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

struct limits {
	/* of /proc/meminfo */
	const char *total;
	const char *avail;
	int log;
};

#define HEAP_FIXTURE_OWN struct limits
#include "fixture.h"

#define MIB 1048576ULL
#define GIB (1024 * MIB)

/* CPU time of this thread */
static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);

	return t.tv_sec + t.tv_nsec / 1e9;
}

static void own_begin(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	/* other contiguous heaps may have their memory elsewhere */
	const bool cma = !strncmp(self->name, "default_cma_region", 18) && mem_bytes("CmaTotal");

	self->own.total = cma ? "CmaTotal" : "MemTotal";
	self->own.avail = cma ? "CmaFree" : "MemAvailable";
	self->own.log = log_open();
	if (self->own.log < 0)
		TH_LOG("what the kernel logs is not checked: %s", strerror(errno));
}

static void own_end(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	if (self->own.log >= 0)
		close(self->own.log);
}

/*
 * A buffer larger than the heap fails at once, without allocating memory first,
 * and without a message, with which any user of the heap could fill the log.
 */
TEST_F(heap, more_than_there_is)
{
	const unsigned long long total = mem_bytes(self->own.total);
	const __u64 lens[] = { total + 1, 2 * total, 100 * total, 1ULL << 63 };
	double start = cpu_seconds();
	unsigned int i, round;
	int error;

	/* older kernels allocate all memory, and invoke the OOM killer */
	if (!heap_is_contiguous(self->name) && !may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	for (round = 0; round < 4; round++) {
		for (i = 0; i < ARRAY_SIZE(lens); i++) {
			EXPECT_EQ(-1, heap_alloc(self->heap, lens[i]));
			/* the length does not fit a size_t of 32 bits */
			error = errno;
			if (sizeof(long) == 4 && lens[i] > UINT32_MAX && error == EINVAL)
				continue;
			EXPECT_EQ(ENOMEM, error);
		}
	}
	/* allocating all memory first would take seconds */
	EXPECT_GT(0.2, cpu_seconds() - start);
	EXPECT_FALSE(log_has(self->own.log, "alloc failed"));
}

/* A child that allocates and frees buffers until it is killed. */
static pid_t start_eater(int heap, __u64 len)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int buf = heap_alloc(heap, len);

		if (buf >= 0)
			close(buf);
	}
}

/* Tasks that are killed while they allocate lose no memory. */
TEST_F_TIMEOUT(heap, killed, 120)
{
	unsigned long long len = mem_bytes(self->own.avail) / 2, before, after = 0;
	int i, status, buf = -1;
	pid_t pid;

	if (len > (may_disrupt() ? 1024 : 64) * MIB)
		len = (may_disrupt() ? 1024 : 64) * MIB;
	/* the largest possible buffer, within a factor of two */
	for (; len >= MIB && buf < 0; len /= 2)
		buf = heap_alloc(self->heap, len);
	if (buf < 0)
		SKIP(return, "there is too little memory to try");
	close(buf);
	before = mem_bytes("MemAvailable");

	for (i = 0; i < 30; i++) {
		pid = start_eater(self->heap, len);
		ASSERT_LT(0, pid);
		usleep(1000 * (5 + 7 * i));
		kill(pid, SIGKILL);
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}

	/* the buffers may be freed a moment later */
	for (i = 0; i < 50 && after < before - before / 20; i++) {
		usleep(100000);
		after = mem_bytes("MemAvailable");
	}
	/* other tasks change MemAvailable, too */
	if (may_disrupt())
		EXPECT_LE(before - before / 20, after) {
			TH_LOG("MemAvailable was %llu KiB and is %llu KiB", before / 1024,
			       after / 1024);
		}
	/* as large as at first; fails if a few buffers were lost */
	for (i = 0, buf = -1; i < 10 && buf < 0; i++) {
		if (i)
			usleep(200000);
		buf = heap_alloc(self->heap, 2 * len);
	}
	EXPECT_LE(0, buf);
	close(buf);
}

/*
 * A buffer of more than 2 GiB: the heap must not need contiguous memory for its
 * bookkeeping in proportion to the size.
 */
TEST(cma_more_than_2g)
{
	unsigned long long at, len = 2 * GIB + 64 * MIB;
	int heap, buf, half[2], i;
	unsigned char *map;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	if (sizeof(long) < 8 || mem_bytes("CmaFree") < len + 64 * MIB)
		SKIP(return, "needs a CMA region of 2.2 GiB (boot with cma=2304M)");
	heap = heap_open("default_cma_region");
	if (heap < 0)
		SKIP(return, "there is no default CMA region");

	/* CmaFree counts all regions: this one must have room for two halves */
	for (i = 0; i < 2; i++)
		half[i] = heap_alloc(heap, len / 2);
	for (i = 0; i < 2; i++)
		close(half[i]);
	if (half[0] < 0 || half[1] < 0)
		SKIP(return, "the default CMA region has less than 2.1 GiB free");

	/* what is written to the first buffer is not in the second one */
	for (i = 0; i < 2; i++) {
		buf = heap_alloc(heap, len);
		ASSERT_LE(0, buf) {
			TH_LOG("2 GiB and 64 MiB: %s", strerror(errno));
		}
		EXPECT_EQ(len, lseek(buf, 0, SEEK_END));

		map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
		ASSERT_NE(MAP_FAILED, map);
		/* in each part that is cleared at a time, and at the end */
		for (at = 0; at < len; at += 16 * MIB) {
			EXPECT_EQ(0, map[at]);
			map[at] = 0xa5;
		}
		EXPECT_EQ(0, map[len - 1]);
		map[len - 1] = 0xa5;
		munmap(map, len);
		close(buf);
	}
	close(heap);
}

/*
 * Start a process that keeps touching its memory, as a candidate for the OOM
 * killer.  It has all of its memory when this returns.
 */
static pid_t start_victim(size_t size)
{
	int ready[2];
	char *p, i = 0;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (pid) {
		close(ready[1]);
		if (read(ready[0], &i, 1) != 1)
			pid = -1;
		close(ready[0]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* log messages about it must not match what the test looks for */
	prctl(PR_SET_NAME, "victim");
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_exit(1);
	for (;;) {
		memset(p, i++, size);
		if (i == 1 && write(ready[1], &i, 1) != 1)
			_exit(1);
		usleep(1000);
	}
}

/*
 * Request all of memory repeatedly while another process uses some: each
 * request fails with ENOMEM without the OOM killer, and no memory is lost.
 */
TEST_F_TIMEOUT(heap, all_of_memory, 600)
{
	unsigned long long total = mem_bytes("MemTotal"), before, after = 0;
	pid_t victim;
	int i, status;

	if (strcmp(self->own.total, "MemTotal"))
		SKIP(return, "a CMA region is not all of memory");
	if (total > 640 * MIB)
		SKIP(return, "asks for all of memory: only on a machine of up to 640 MiB");
	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");

	victim = start_victim(64 * MIB);
	ASSERT_LT(0, victim);
	before = mem_bytes("MemAvailable");

	for (i = 0; i < 100; i++)
		EXPECT_ERRNO(ENOMEM, heap_alloc(self->heap, total - 16 * MIB));

	/* "COMM invoked oom-killer: ..." */
	EXPECT_FALSE(log_has(self->own.log, "alloc invoked oom-killer"));
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
