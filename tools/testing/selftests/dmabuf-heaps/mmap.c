// SPDX-License-Identifier: GPL-2.0
/*
 * Where the pages of a buffer are in a program's memory, whatever the program
 * does with its mappings of it: the same for every heap.
 */

#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "heap.h"
#include "kselftest_harness.h"

#define HUGE_SIZE_FILE "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

/* where the kernel maps huge pages for drivers, and for programs of 64 bits */
#if defined(__x86_64__) && !defined(__ILP32__) || defined(__aarch64__) || \
	defined(__riscv) && __riscv_xlen == 64
#define HUGE_PFNMAP 1
#else
#define HUGE_PFNMAP 0
#endif

/* a few huge pages and a little more, and an address that is none of them */
#define BUFFER_PAGES	(4 * self->huge / self->page + 3)

FIXTURE(mmap)
{
	int heap;
	int buf;
	size_t page;
	/* what a huge page is, or would be */
	size_t huge;
	size_t pages;
	size_t size;
	unsigned char *map;
	/* room to map at a chosen address, on a huge page's boundary */
	unsigned char *room;
	unsigned char *room_start;
};

FIXTURE_VARIANT(mmap)
{
	const char *name;
};

FIXTURE_VARIANT_ADD(mmap, system)
{
	.name = "system",
};

FIXTURE_VARIANT_ADD(mmap, default_cma_region)
{
	.name = "default_cma_region",
};

FIXTURE_VARIANT_ADD(mmap, system_uncached)
{
	.name = "system-uncached",
};

FIXTURE_VARIANT_ADD(mmap, default_cma_region_uncached)
{
	.name = "default_cma_region-uncached",
};

static size_t huge_page_size(void)
{
	unsigned long size = 0;
	FILE *f = fopen(HUGE_SIZE_FILE, "re");

	if (f) {
		if (fscanf(f, "%lu", &size) != 1)
			size = 0;
		fclose(f);
	}

	return size;
}

/* Each page has its number in front, plus that. */
static void stamp(unsigned char *map, size_t pages, size_t page, unsigned long plus)
{
	size_t i;

	for (i = 0; i < pages; i++)
		__atomic_store_n((unsigned long *)(map + i * page), i + plus, __ATOMIC_RELAXED);
}

/* How many of the pages from @map on are not those from number @first on? */
static size_t wrong(const unsigned char *map, size_t pages, size_t page, unsigned long first)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++) {
		const unsigned long *p = (const void *)(map + i * page);

		n += __atomic_load_n(p, __ATOMIC_RELAXED) != first + i;
	}

	return n;
}

FIXTURE_SETUP(mmap)
{
	self->buf = -1;
	self->map = MAP_FAILED;
	self->room_start = MAP_FAILED;
	self->page = sysconf(_SC_PAGESIZE);
	self->huge = huge_page_size() ?: 2 << 20;
	/* with large base pages, a huge page is more than a test should have */
	if (self->huge > 4 << 20)
		self->huge = 2 << 20;
	self->pages = BUFFER_PAGES;
	self->size = self->pages * self->page;
	self->heap = heap_open(variant->name);
	if (self->heap < 0)
		SKIP(return, "cannot open heap %s: %s", variant->name, strerror(errno));
	self->buf = heap_alloc(self->heap, self->size);
	if (self->buf < 0)
		SKIP(return, "%s has no %zu bytes: %s", variant->name, self->size, strerror(errno));
	self->room_start = mmap(NULL, 2 * self->size + self->huge, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->room_start);
	self->room = (void *)(((unsigned long)self->room_start + self->huge - 1) &
			      ~(self->huge - 1));
	self->map = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, self->buf, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	stamp(self->map, self->pages, self->page, 0);
}

FIXTURE_TEARDOWN(mmap)
{
	if (self->map != MAP_FAILED)
		munmap(self->map, self->size);
	if (self->room_start != MAP_FAILED)
		munmap(self->room_start, 2 * self->size + self->huge);
	if (self->buf >= 0)
		close(self->buf);
	if (self->heap >= 0)
		close(self->heap);
}

/* Does a child that reads or writes there die of SIGSEGV? */
static bool faults(unsigned char *p, bool write)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (write)
			__atomic_store_n(p, 1, __ATOMIC_RELAXED);
		else
			(void)__atomic_load_n(p, __ATOMIC_RELAXED);
		_exit(0);
	}
	waitpid(pid, &status, 0);

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

/* Minor faults of this process so far. */
static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);

	return usage.ru_minflt;
}

/* Page tables of this process, in bytes. */
static long page_tables(void)
{
	long kib = -1;
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmPTE: %ld", &kib) == 1)
			break;
	}
	fclose(f);

	return kib < 0 ? -1 : kib * 1024;
}

TEST_F(mmap, offset)
{
	const size_t per_huge = self->huge / self->page;
	const size_t first[] = {
		0, 1, 3, 15, 16, per_huge - 1, per_huge, per_huge + 1, self->pages - 1,
	};
	unsigned char *p;
	unsigned int i;
	size_t n;

	for (i = 0; i < ARRAY_SIZE(first); i++) {
		n = self->pages - first[i];
		p = mmap(NULL, n * self->page, PROT_READ | PROT_WRITE, MAP_SHARED, self->buf,
			 first[i] * self->page);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, wrong(p, n, self->page, first[i])) {
			TH_LOG("from page %zu on", first[i]);
		}
		munmap(p, n * self->page);
	}
}

/* Nothing is mapped that is not of the buffer, now or later. */
TEST_F(mmap, past_the_end)
{
	const int prot = PROT_READ | PROT_WRITE;
	unsigned char *p;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->size + self->page, prot, MAP_SHARED, self->buf, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, prot, MAP_SHARED, self->buf, self->size));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * self->page, prot, MAP_SHARED, self->buf,
				   self->size - self->page));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->huge, prot, MAP_SHARED, self->buf,
				   LONG_MAX & ~(self->huge - 1)));
	EXPECT_TRUE(errno == EINVAL || errno == EOVERFLOW);

	p = mmap(NULL, self->page, prot, MAP_SHARED, self->buf, self->size - self->page);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(MAP_FAILED, mremap(p, self->page, 2 * self->page, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, wrong(p, 1, self->page, self->pages - 1));
	EXPECT_NE(0, remap_file_pages(p, self->page, 0, self->pages, 0));
	EXPECT_EQ(EINVAL, errno);
	munmap(p, self->page);
}

/* At every address that a page can have, and without its neighbours' noticing. */
TEST_F(mmap, fixed)
{
	const size_t per_huge = self->huge / self->page;
	const size_t at[] = { 0, 1, 2, per_huge / 2, per_huge / 2 + 1, per_huge - 1, per_huge };
	unsigned char *p, *q;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		p = mmap(self->room + at[i] * self->page, self->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, self->buf, 0);
		ASSERT_EQ(self->room + at[i] * self->page, p);
		EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
		/* one page in the middle becomes another one */
		q = p + self->huge + self->page;
		ASSERT_EQ(q, mmap(q, self->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				  self->buf, 0));
		EXPECT_EQ(0, wrong(q, 1, self->page, 0));
		EXPECT_EQ(0, wrong(p, per_huge + 1, self->page, 0));
		EXPECT_EQ(0, wrong(q + self->page, self->pages - per_huge - 2, self->page,
				   per_huge + 2));
		/* and the room is empty again */
		ASSERT_NE(MAP_FAILED, mmap(self->room, 2 * self->size, PROT_NONE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
					   -1, 0));
	}
}

TEST_F(mmap, mprotect)
{
	const size_t middle = self->pages / 2;
	unsigned char *p = self->map + middle * self->page;

	ASSERT_EQ(0, mprotect(p, self->page, PROT_READ));
	EXPECT_TRUE(faults(p, true));
	EXPECT_FALSE(faults(p, false));
	EXPECT_FALSE(faults(p - self->page, true));
	EXPECT_FALSE(faults(p + self->page, true));
	ASSERT_EQ(0, mprotect(p, self->page, PROT_READ | PROT_WRITE));
	EXPECT_FALSE(faults(p, true));
}

TEST_F(mmap, mprotect_all)
{
	const int prots[] = { PROT_READ, PROT_NONE };
	unsigned int i, touched;

	for (touched = 0; touched < 2; touched++) {
		for (i = 0; i < ARRAY_SIZE(prots); i++) {
			if (!touched) {
				/* a mapping in which nothing is mapped yet */
				munmap(self->map, self->size);
				self->map = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
						 MAP_SHARED, self->buf, 0);
				ASSERT_NE(MAP_FAILED, self->map);
			}
			ASSERT_EQ(0, mprotect(self->map, self->size, prots[i]));
			EXPECT_TRUE(faults(self->map, true));
			EXPECT_TRUE(faults(self->map + self->size - 1, true));
			EXPECT_EQ(prots[i] == PROT_NONE, faults(self->map + self->huge, false));
			if (prots[i] == PROT_READ)
				EXPECT_EQ(0, wrong(self->map, self->pages, self->page, 0));
			ASSERT_EQ(0, mprotect(self->map, self->size, PROT_READ | PROT_WRITE));
			EXPECT_EQ(0, wrong(self->map, self->pages, self->page, 0));
			stamp(self->map, self->pages, self->page, 1);
			EXPECT_EQ(0, wrong(self->map, self->pages, self->page, 1));
			stamp(self->map, self->pages, self->page, 0);
		}
	}
}

TEST_F(mmap, munmap_part)
{
	/* holes in two huge pages */
	const size_t a = self->huge / self->page * 3 / 2, b = a + self->huge / self->page;
	unsigned char *hole_a = self->map + a * self->page, *hole_b = self->map + b * self->page;

	ASSERT_EQ(0, munmap(hole_a, self->page));
	ASSERT_EQ(0, munmap(hole_b, self->page));
	/* what is mapped again behind a hole, or before one, is not mapped across it */
	EXPECT_EQ(0, wrong(hole_a + self->page, b - a - 1, self->page, a + 1));
	EXPECT_TRUE(faults(hole_a, false));
	EXPECT_TRUE(faults(hole_b, false));
	EXPECT_EQ(0, wrong(self->map, a, self->page, 0));
	EXPECT_EQ(0, wrong(hole_b + self->page, self->pages - b - 1, self->page, b + 1));
	EXPECT_TRUE(faults(hole_a, false));
	EXPECT_TRUE(faults(hole_b, false));
}

TEST_F(mmap, mremap)
{
	const size_t per_huge = self->huge / self->page;
	unsigned char *p;

	/* to where huge pages cannot be mapped, and back to where they can */
	p = mremap(self->map, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   self->room + self->page);
	ASSERT_EQ(self->room + self->page, p);
	EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
	p = mremap(p, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED, self->map);
	ASSERT_EQ(self->map, p);
	EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));

	/* a part that begins and ends within huge pages */
	p = mremap(self->map + self->page, self->huge, self->huge, MREMAP_MAYMOVE | MREMAP_FIXED,
		   self->room);
	ASSERT_EQ(self->room, p);
	EXPECT_EQ(0, wrong(p, per_huge, self->page, 1));
	EXPECT_EQ(0, wrong(self->map, 1, self->page, 0));
	EXPECT_EQ(0, wrong(self->map + self->page + self->huge, self->pages - per_huge - 1,
			   self->page, per_huge + 1));

	/* smaller */
	p = mremap(p, self->huge, self->page, 0);
	ASSERT_EQ(self->room, p);
	EXPECT_EQ(0, wrong(p, 1, self->page, 1));
	EXPECT_TRUE(faults(p + self->page, false));
}

/* A child has the same memory, and its own mappings of it. */
TEST_F(mmap, fork)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		if (wrong(self->map, self->pages, self->page, 0))
			_exit(1);
		stamp(self->map, self->pages, self->page, 7);
		munmap(self->map, self->huge + self->page);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0, wrong(self->map, self->pages, self->page, 7));
}

/* The buffer lives as long as a mapping of it. */
TEST_F(mmap, fd_closed)
{
	unsigned char *p;

	p = mmap(NULL, self->size, PROT_READ, MAP_SHARED, self->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	munmap(self->map, self->size);
	self->map = MAP_FAILED;
	close(self->buf);
	self->buf = -1;
	EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
	munmap(p, self->size);
}

struct toucher {
	pthread_t thread;
	unsigned char *map;
	size_t pages, page, step, first, wrong;
	bool write;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;
	size_t i, at = t->first;

	for (i = 0; i < t->pages; i++) {
		unsigned long *p = (void *)(t->map + at * t->page);

		t->wrong += __atomic_load_n(p, __ATOMIC_RELAXED) != at;
		if (t->write)
			__atomic_store_n(p, at, __ATOMIC_RELAXED);
		at = (at + t->step) % t->pages;
	}

	return NULL;
}

/* Many threads fault at once, in one order and another. */
TEST_F(mmap, threads)
{
	const size_t steps[] = { 1, 1, 5, 13 };
	struct toucher t[ARRAY_SIZE(steps)];
	unsigned int i, round;

	for (round = 0; round < 20; round++) {
		munmap(self->map, self->size);
		self->map = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 self->buf, 0);
		ASSERT_NE(MAP_FAILED, self->map);
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			t[i] = (struct toucher){
				.map = self->map, .pages = self->pages, .page = self->page,
				.step = steps[i], .first = i * self->pages / ARRAY_SIZE(t),
				.write = i & 1,
			};
			ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, touch, &t[i]));
		}
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			pthread_join(t[i].thread, NULL);
			EXPECT_EQ(0, t[i].wrong);
		}
	}
	EXPECT_EQ(0, wrong(self->map, self->pages, self->page, 0));
}

/* a CPU that does not set the dirty bit of a page faults to write it first */
#ifdef __x86_64__
#define SETS_DIRTY	1
#else
#define SETS_DIRTY	0
#endif

/* How often reading each page faults, and writing it. */
static long touch_faults(unsigned char *p, size_t pages, size_t page)
{
	long before = minor_faults(), faults;

	if (wrong(p, pages, page, 0))
		return -1;
	faults = minor_faults() - before;
	before = minor_faults();
	stamp(p, pages, page, 0);

	return SETS_DIRTY ? faults + minor_faults() - before : faults;
}

/*
 * A program that locks its memory takes no faults when it touches a buffer, as
 * real-time programs have to rely on.
 */
TEST_F(mmap, locked)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	int status = 0, how;
	unsigned char *p;
	long faults;
	pid_t pid;

	for (how = 0; how < 2; how++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (pid == 0) {
			setrlimit(RLIMIT_MEMLOCK, &all);
			/* what the functions themselves need */
			touch_faults(self->map, self->pages, self->page);
			if (how && mlockall(MCL_FUTURE))
				_exit(4);
			p = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
				 MAP_SHARED | (how ? 0 : MAP_LOCKED), self->buf, 0);
			if (p == MAP_FAILED)
				_exit(4);
			faults = touch_faults(p, self->pages, self->page);
			_exit(faults ? 1 : 0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		if (WEXITSTATUS(status) == 4)
			SKIP(return, "this process may not lock its memory");
		EXPECT_EQ(0, WEXITSTATUS(status)) {
			TH_LOG("faults after %s", how ? "mlockall()" : "MAP_LOCKED");
		}
	}
}

/* Make a hole of exactly the buffer's size in the room. */
static unsigned char *make_hole(struct __test_metadata *_metadata, unsigned char *at, size_t size)
{
	EXPECT_EQ(0, munmap(at, size));

	return at;
}

static void close_hole(struct __test_metadata *_metadata, unsigned char *at, size_t size)
{
	EXPECT_EQ(at, mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			   MAP_FIXED, -1, 0));
}

/* An address that a program asks for is the one it gets, if there is room. */
TEST_F(mmap, hint)
{
	const size_t at[] = { 0, 1, self->huge / self->page - 1 };
	const int prot = PROT_READ | PROT_WRITE;
	unsigned char *hole, *p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		hole = make_hole(_metadata, self->room + at[i] * self->page, self->size);
		p = mmap(hole, self->size, prot, MAP_SHARED, self->buf, 0);
		EXPECT_EQ(hole, p) {
			TH_LOG("the hole begins %zu pages after a huge page", at[i]);
		}
		if (p != MAP_FAILED) {
			EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
			if (p != hole)
				munmap(p, self->size);
		}
		close_hole(_metadata, hole, self->size);
	}

	/* a hint without room is none */
	p = mmap(self->room, self->size, prot, MAP_SHARED, self->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_NE(self->room, p);
	munmap(p, self->size);
}

TEST_F(mmap, fixed_noreplace)
{
	const int prot = PROT_READ | PROT_WRITE;
	unsigned char *hole, *p;

	EXPECT_EQ(MAP_FAILED, mmap(self->room, self->size, prot,
				   MAP_SHARED | MAP_FIXED_NOREPLACE, self->buf, 0));
	EXPECT_EQ(EEXIST, errno);
	hole = make_hole(_metadata, self->room + self->page, self->size);
	p = mmap(hole, self->size, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, self->buf, 0);
	EXPECT_EQ(hole, p);
	if (p == hole)
		EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
	close_hole(_metadata, hole, self->size);
}

#ifdef MAP_32BIT
TEST_F(mmap, map_32bit)
{
	unsigned char *p;

	p = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_32BIT, self->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_GT(1UL << 31, (unsigned long)p + self->size - 1);
	EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
	munmap(p, self->size);
}
#endif

/* A range that has become two mappings moves like one. */
TEST_F(mmap, mremap_two)
{
	const size_t size = 2 * self->page;
	unsigned char *p, *to = self->room + self->page;

	/* Linux can do that from 6.17 on */
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p, self->page, PROT_READ));
	p = mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (p == MAP_FAILED)
		SKIP(return, "this kernel moves one mapping at a time");
	close_hole(_metadata, to, size);

	ASSERT_EQ(0, mprotect(self->map + self->page, self->page, PROT_READ));
	p = mremap(self->map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_EQ(to, p) {
		TH_LOG("%s", strerror(errno));
	}
	EXPECT_EQ(0, wrong(p, 2, self->page, 0));
	EXPECT_FALSE(faults(p, true));
	EXPECT_TRUE(faults(p + self->page, true));
	EXPECT_EQ(0, wrong(self->map + size, self->pages - 2, self->page, 2));
}

/*
 * A fault maps everything that shares a page table with its address, so there
 * are no more faults than page tables. Writing to what was read may fault once
 * for each huge page.
 */
TEST_F(mmap, faults)
{
	/* for each huge page, and for the stack and libc */
	const long slack = 8;
	long before, reads, writes;
	unsigned char *p;

	p = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, self->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	before = minor_faults();
	EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
	reads = minor_faults() - before;
	before = minor_faults();
	stamp(p, self->pages, self->page, 0);
	writes = minor_faults() - before;
	TH_LOG("%ld faults to read %zu pages, %ld to write them", reads, self->pages, writes);
	EXPECT_LE(reads, self->size / self->huge + 2 + slack);
	EXPECT_LE(writes, slack);
	munmap(p, self->size);
}

/*
 * Where the kernel picks the address, a contiguous buffer is mapped by huge
 * pages, for which there are no page tables.
 */
TEST_F(mmap, huge)
{
	long before, after;
	unsigned char *p;

	if (!HUGE_PFNMAP)
		SKIP(return, "not known to map huge pages for drivers on this architecture");
	if (huge_page_size() != self->huge)
		SKIP(return, "no transparent huge pages, or very large ones");
	if (strcmp(variant->name, "system") == 0)
		SKIP(return, "how large the chunks of %s are is a matter of luck", variant->name);

	before = page_tables();
	p = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, self->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	stamp(p, self->pages, self->page, 0);
	after = page_tables();
	ASSERT_LE(0, before);
	TH_LOG("%ld bytes of page tables for %zu bytes", after - before, self->size);
	/* one before the first huge page and one after the last, and theirs */
	EXPECT_LE(after - before, 3 * (long)self->page);
	EXPECT_EQ(0, wrong(p, self->pages, self->page, 0));
	munmap(p, self->size);
}

struct switcher {
	pthread_t thread;
	bool stop;
};

static void *switch_thp(void *arg)
{
	struct switcher *s = arg;
	bool off = false;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		off = !off;
		prctl(PR_SET_THP_DISABLE, off, 0, 0, 0);
	}
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);

	return NULL;
}

/*
 * Some threads fault for a huge page while others fault for a page of it, as
 * huge pages are switched on and off. The kernel must not complain.
 */
TEST_F_TIMEOUT(mmap, thp_disable, 120)
{
	const int log = log_open();
	struct switcher s = {};
	struct toucher t[4];
	unsigned int i, round;

	if (log < 0)
		SKIP(return, "the kernel log cannot be read");
	ASSERT_EQ(0, pthread_create(&s.thread, NULL, switch_thp, &s));
	for (round = 0; round < 300; round++) {
		munmap(self->map, self->size);
		self->map = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 self->buf, 0);
		ASSERT_NE(MAP_FAILED, self->map);
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			t[i] = (struct toucher){
				.map = self->map, .pages = self->pages, .page = self->page,
				.step = self->huge / self->page, .write = true,
			};
			ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, touch, &t[i]));
		}
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			pthread_join(t[i].thread, NULL);
			EXPECT_EQ(0, t[i].wrong);
		}
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(s.thread, NULL);
	EXPECT_FALSE(log_has(log, "insert_pmd"));
	close(log);
}

TEST_HARNESS_MAIN
