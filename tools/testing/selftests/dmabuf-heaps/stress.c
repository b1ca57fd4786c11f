// SPDX-License-Identifier: GPL-2.0
/*
 * Stress test: processes with threads allocate, map, share and drop buffers of
 * all heaps, and are killed meanwhile; memory becomes scarce and is freed
 * again; a CPU goes offline and online.  In the end nothing is left.
 *
 * DMABUF_STRESS_SECONDS sets the duration; without it, the test is skipped.
 * Memory is made scarce and a CPU is switched off with DMABUF_DISRUPT=1 only.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "heap.h"
#include "kselftest_harness.h"

#define PROCESSES	4
#define THREADS		3
#define HEAPS		32
#define CPU		"/sys/devices/system/cpu/cpu1/online"

struct heap {
	char name[256];
	/* not an alias */
	char own_name[256];
	int fd;
	/* buffers before the test; all ones if unknown */
	unsigned long long buffers;
};

/* What the processes have done, in memory that they share. */
struct done {
	unsigned long allocs, failures, maps, kills, switches;
	/* wrong contents, and unexpected errnos */
	unsigned long wrong, errors;
};

/* the main process; tests run in grandchildren of it */
static pid_t harness;
static struct heap heaps[HEAPS];
static unsigned int nr_heaps;
static struct done *done;
static double deadline;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec + t.tv_nsec / 1e9;
}

static void count(unsigned long *what)
{
	__atomic_fetch_add(what, 1, __ATOMIC_RELAXED);
}

/* Allocate, map, use and free a buffer, with random steps. */
static void one_buffer(unsigned int *seed)
{
	static const unsigned int kib[] = { 4, 8, 64, 256, 1024, 2048, 4096 };
	const size_t page = sysconf(_SC_PAGESIZE);
	size_t size = kib[rand_r(seed) % ARRAY_SIZE(kib)] << 10, i;
	struct heap *heap = &heaps[rand_r(seed) % nr_heaps];
	struct dma_buf_sync sync = { DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };
	unsigned long *map;
	int buf, copy;
	bool fork_it = rand_r(seed) % 64 == 0;
	pid_t pid = 0;

	if (rand_r(seed) % 4 == 0)
		size += page * (rand_r(seed) % 16);
	/* round up, as the heap does */
	size = (size + page - 1) & ~(page - 1);
	buf = heap_alloc(heap->fd, size);
	if (buf < 0) {
		if (errno != ENOMEM)
			count(&done->errors);
		count(&done->failures);
		return;
	}
	count(&done->allocs);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	if (map == MAP_FAILED) {
		if (errno != ENOMEM)
			count(&done->errors);
		close(buf);
		return;
	}
	count(&done->maps);
	if (rand_r(seed) % 2) {
		copy = dup(buf);
		close(buf);
		buf = copy;
	}
	if (ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync) && errno != EINTR)
		count(&done->errors);
	for (i = 0; i < size / sizeof(*map); i += page / sizeof(*map) / 4) {
		if (__atomic_load_n(&map[i], __ATOMIC_RELAXED))
			count(&done->wrong);
		__atomic_store_n(&map[i], i + size, __ATOMIC_RELAXED);
	}
	if (fork_it)
		pid = fork();
	if (pid < 0)
		fork_it = false;
	for (i = 0; i < size / sizeof(*map); i += page / sizeof(*map) / 4) {
		if (__atomic_load_n(&map[i], __ATOMIC_RELAXED) != i + size)
			count(&done->wrong);
	}
	if (fork_it && !pid)
		_exit(0);
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
	if (ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync) && errno != EINTR)
		count(&done->errors);
	if (rand_r(seed) % 2) {
		close(buf);
		munmap(map, size);
	} else {
		munmap(map, size);
		close(buf);
	}
	if (fork_it)
		waitpid(pid, NULL, 0);
}

static void *worker_thread(void *arg)
{
	unsigned int seed = (uintptr_t)arg;

	while (now() < deadline)
		one_buffer(&seed);

	return NULL;
}

static void worker(unsigned int seed)
{
	pthread_t threads[THREADS];
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		/* if memory is scarce, use fewer threads */
		if (pthread_create(&threads[i], NULL, worker_thread,
				   (void *)(uintptr_t)(seed * THREADS + i)))
			break;
	}
	while (i--)
		pthread_join(threads[i], NULL);
	_exit(0);
}

/* Return 0 if there is not enough memory for another one. */
static pid_t start_worker(unsigned int seed)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		worker(seed);
	}

	return pid < 0 ? 0 : pid;
}

/* Use most of the available memory and free it, repeatedly. */
static void pressure(void)
{
	const size_t page = sysconf(_SC_PAGESIZE);

	while (now() < deadline) {
		size_t size = mem_bytes("MemAvailable") / 10 * 7 & ~(page - 1), i;
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			_exit(0);
		for (i = 0; i < size && now() < deadline; i += page)
			p[i] = 1;
		usleep(200000);
		munmap(p, size);
		usleep(200000);
	}
	_exit(0);
}

static bool cpu_is(char c)
{
	int fd = open(CPU, O_RDONLY | O_CLOEXEC);
	char now = 0;
	bool yes;

	if (fd < 0)
		return false;
	yes = read(fd, &now, 1) == 1 && now == c;
	close(fd);

	return yes;
}

static bool write_cpu(char c)
{
	int fd = open(CPU, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, &c, 1) == 1;
	close(fd);

	return ok;
}

/* Switch a CPU off for a moment; try hard to switch it on again. */
static bool switch_cpu(void)
{
	int i;

	if (!cpu_is('1') || !write_cpu('0'))
		return false;
	usleep(50000);
	for (i = 0; i < 200 && !write_cpu('1'); i++)
		usleep(50000);

	return true;
}

static void open_heaps(void)
{
	DIR *dir = opendir(HEAP_DIR);
	struct dirent *e;
	int fd, buf;

	while (dir && nr_heaps < HEAPS && (e = readdir(dir))) {
		if (!heap_is_wanted(e->d_name))
			continue;
		fd = heap_open(e->d_name);
		if (fd < 0)
			continue;
		snprintf(heaps[nr_heaps].name, sizeof(heaps[0].name), "%s", e->d_name);
		heaps[nr_heaps].fd = fd;
		buf = heap_alloc(fd, 1);
		strcpy(heaps[nr_heaps].own_name, buf < 0 ? e->d_name : buffer_heap(buf));
		if (buf >= 0)
			close(buf);
		if (!heap_counter(e->d_name, "buffers", &heaps[nr_heaps].buffers))
			heaps[nr_heaps].buffers = ~0ULL;
		nr_heaps++;
	}
	if (dir)
		closedir(dir);
}

FIXTURE(stress)
{
};

FIXTURE_SETUP(stress)
{
	const char *seconds = getenv("DMABUF_STRESS_SECONDS");

	if (!seconds || atoi(seconds) <= 0)
		SKIP(return, "DMABUF_STRESS_SECONDS does not say for how long");
	open_heaps();
	if (!nr_heaps)
		SKIP(return, "there is no heap that can be opened");
	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, done);
}

FIXTURE_TEARDOWN(stress)
{
}

TEST_F_TIMEOUT(stress, everything, 36000)
{
	unsigned long long buffers, before, after = 0;
	const bool disrupt = may_disrupt();
	pid_t pids[PROCESSES], hog = 0;
	unsigned int i, n = 0, tries;
	bool cpu;
	int status;

	before = mem_bytes("MemAvailable");
	deadline = now() + atoi(getenv("DMABUF_STRESS_SECONDS"));
	die_first();
	cpu = cpu_is('1');
	if (disrupt) {
		hog = fork();
		ASSERT_LE(0, hog);
		if (!hog) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pressure();
		}
	}
	for (i = 0; i < PROCESSES; i++)
		pids[i] = start_worker(++n);
	while (now() < deadline) {
		usleep(150000);
		/* kill a worker, and start another one */
		i = n % PROCESSES;
		if (pids[i]) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
			count(&done->kills);
		}
		pids[i] = start_worker(++n);
		if (disrupt && n % 3 == 0 && switch_cpu())
			count(&done->switches);
		/* a timeout ended the harness only; the workers exit with us */
		if (kill(harness, 0))
			_exit(1);
	}
	for (i = 0; i < PROCESSES; i++) {
		if (!pids[i])
			continue;
		waitpid(pids[i], &status, 0);
		EXPECT_EQ(0, status);
	}
	/* the OOM killer may have killed it */
	if (disrupt) {
		waitpid(hog, &status, 0);
		EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	}
	EXPECT_EQ(cpu, cpu_is('1'));

	TH_LOG("%u heaps: %lu buffers, %lu failures, %lu mappings, %lu kills, %lu CPU switches",
	       nr_heaps, done->allocs, done->failures, done->maps, done->kills, done->switches);
	EXPECT_LT(0, done->allocs);
	EXPECT_LT(0, done->maps);
	EXPECT_LT(0, done->kills);
	EXPECT_EQ(0, done->wrong);
	EXPECT_EQ(0, done->errors);
	/* children of killed workers may exit a moment later */
	for (i = 0; i < nr_heaps; i++) {
		for (tries = 0; heaps[i].buffers != ~0ULL && tries < 250; tries++) {
			ASSERT_TRUE(heap_counter(heaps[i].name, "buffers", &buffers));
			if (buffers <= heaps[i].buffers)
				break;
			usleep(20000);
		}
		if (heaps[i].buffers != ~0ULL && !heap_used_by_others(heaps[i].own_name))
			EXPECT_LE(buffers, heaps[i].buffers) {
				TH_LOG("%s has %llu buffers more", heaps[i].name,
				       buffers - heaps[i].buffers);
			}
		close(heaps[i].fd);
	}
	if (!disrupt)
		return;
	/* free pages on per-CPU lists do not count as available */
	for (tries = 0; tries < 200; tries++) {
		after = mem_bytes("MemAvailable");
		if (after >= before - before / 8)
			break;
		usleep(50000);
	}
	EXPECT_LE(before - before / 8, after) {
		TH_LOG("MemAvailable was %llu KiB and is %llu KiB", before / 1024, after / 1024);
	}
}

int main(int argc, char **argv)
{
	harness = getpid();

	return test_harness_run(argc, argv);
}
