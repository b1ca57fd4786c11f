// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings of a buffer: after any operation on them, each page of the buffer is
 * at the right address.  The same for every heap.
 */

#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define HUGE_SIZE_FILE "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

/* architectures with huge PFN mappings, in 64-bit programs */
#if defined(__x86_64__) && !defined(__ILP32__) || defined(__aarch64__) || \
	defined(__riscv) && __riscv_xlen == 64
#define HUGE_PFNMAP 1
#else
#define HUGE_PFNMAP 0
#endif

/* A buffer, mapped, with a number in each page. */
struct mapping {
	int buf;
	/* size of a huge page, or 2 MiB */
	size_t huge;
	size_t pages;
	size_t size;
	unsigned char *map;
	/* address space for fixed mappings, aligned to a huge page */
	unsigned char *room;
	unsigned char *room_start;
};

#define HEAP_FIXTURE_OWN struct mapping
#include "fixture.h"

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

/* Write to the start of each page: its number plus @plus. */
static void stamp(unsigned char *map, size_t pages, size_t page, unsigned long plus)
{
	size_t i;

	for (i = 0; i < pages; i++)
		__atomic_store_n((unsigned long *)(map + i * page), i + plus, __ATOMIC_RELAXED);
}

/* Count the pages whose number is wrong; the first one should have @first. */
static size_t wrong(const unsigned char *map, size_t pages, size_t page, unsigned long first)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++) {
		const unsigned long *p = (const void *)(map + i * page);

		n += __atomic_load_n(p, __ATOMIC_RELAXED) != first + i;
	}

	return n;
}

static void own_begin(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	struct mapping *m = &self->own;

	m->buf = -1;
	m->map = MAP_FAILED;
	m->room_start = MAP_FAILED;
	m->huge = huge_page_size() ?: 2 << 20;
	/* with large base pages, a huge page is too large for a test */
	if (m->huge > 4 << 20)
		m->huge = 2 << 20;
	/* four huge pages and three pages */
	m->pages = 4 * m->huge / self->page + 3;
	m->size = m->pages * self->page;
	m->buf = heap_alloc(self->heap, m->size);
	if (m->buf < 0 && errno == ENOMEM)
		SKIP(return, "%s has no %zu bytes", self->name, m->size);
	ASSERT_LE(0, m->buf);
	m->room_start = mmap(NULL, 2 * m->size + m->huge, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, m->room_start);
	m->room = (void *)(((unsigned long)m->room_start + m->huge - 1) & ~(m->huge - 1));
	m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->buf, 0);
	ASSERT_NE(MAP_FAILED, m->map);
	stamp(m->map, m->pages, self->page, 0);
}

static void own_end(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	struct mapping *m = &self->own;

	if (m->map != MAP_FAILED)
		munmap(m->map, m->size);
	if (m->room_start != MAP_FAILED)
		munmap(m->room_start, 2 * m->size + m->huge);
	if (m->buf >= 0)
		close(m->buf);
}

/* Does a child that reads or writes there die of SIGSEGV? */
static bool faults(unsigned char *p, bool write)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		/* no core dump */
		prctl(PR_SET_DUMPABLE, 0);
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

TEST_F(heap, offset)
{
	struct mapping *m = &self->own;
	const size_t per_huge = m->huge / self->page;
	const size_t first[] = {
		0, 1, 3, 15, 16, per_huge - 1, per_huge, per_huge + 1, m->pages - 1,
	};
	unsigned char *p;
	unsigned int i;
	size_t n;

	for (i = 0; i < ARRAY_SIZE(first); i++) {
		n = m->pages - first[i];
		p = mmap(NULL, n * self->page, PROT_READ | PROT_WRITE, MAP_SHARED, m->buf,
			 first[i] * self->page);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, wrong(p, n, self->page, first[i])) {
			TH_LOG("from page %zu on", first[i]);
		}
		munmap(p, n * self->page);
	}
}

/* A mapping cannot extend beyond the end of the buffer. */
TEST_F(heap, past_the_end)
{
	struct mapping *m = &self->own;
	const int prot = PROT_READ | PROT_WRITE;
	unsigned char *p;
	char flags[256];

	EXPECT_ERRNO(EINVAL, mmap(NULL, m->size + self->page, prot, MAP_SHARED, m->buf, 0));
	EXPECT_ERRNO(EINVAL, mmap(NULL, self->page, prot, MAP_SHARED, m->buf, m->size));
	EXPECT_ERRNO(EINVAL, mmap(NULL, 2 * self->page, prot, MAP_SHARED, m->buf,
				  m->size - self->page));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, m->huge, prot, MAP_SHARED, m->buf,
				   LONG_MAX & ~(m->huge - 1)));
	EXPECT_TRUE(errno == EINVAL || errno == EOVERFLOW);

	p = mmap(NULL, self->page, prot, MAP_SHARED, m->buf, m->size - self->page);
	ASSERT_NE(MAP_FAILED, p);
	/* without VM_DONTEXPAND, old kernels let the mapping grow */
	if (smaps_has(p, "VmFlags", flags, sizeof(flags)) && strstr(flags, " de "))
		EXPECT_ERRNO(EFAULT, mremap(p, self->page, 2 * self->page, MREMAP_MAYMOVE));
	EXPECT_EQ(0, wrong(p, 1, self->page, m->pages - 1));
	EXPECT_NE(0, remap_file_pages(p, self->page, 0, m->pages, 0));
	EXPECT_EQ(EINVAL, errno);
	munmap(p, self->page);
}

/* MAP_FIXED works at any page, and does not affect neighbouring pages. */
TEST_F(heap, fixed)
{
	struct mapping *m = &self->own;
	const size_t per_huge = m->huge / self->page;
	const size_t at[] = { 0, 1, 2, per_huge / 2, per_huge / 2 + 1, per_huge - 1, per_huge };
	unsigned char *p, *q;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		p = mmap(m->room + at[i] * self->page, m->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, m->buf, 0);
		ASSERT_EQ(m->room + at[i] * self->page, p);
		EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
		/* map the first page over one in the middle */
		q = p + m->huge + self->page;
		ASSERT_EQ(q, mmap(q, self->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				  m->buf, 0));
		EXPECT_EQ(0, wrong(q, 1, self->page, 0));
		EXPECT_EQ(0, wrong(p, per_huge + 1, self->page, 0));
		EXPECT_EQ(0, wrong(q + self->page, m->pages - per_huge - 2, self->page,
				   per_huge + 2));
		/* empty the address space again */
		ASSERT_NE(MAP_FAILED, mmap(m->room, 2 * m->size, PROT_NONE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
					   -1, 0));
	}
}

TEST_F(heap, mprotect)
{
	struct mapping *m = &self->own;
	const size_t middle = m->pages / 2;
	unsigned char *p = m->map + middle * self->page;

	ASSERT_EQ(0, mprotect(p, self->page, PROT_READ));
	EXPECT_TRUE(faults(p, true));
	EXPECT_FALSE(faults(p, false));
	EXPECT_FALSE(faults(p - self->page, true));
	EXPECT_FALSE(faults(p + self->page, true));
	ASSERT_EQ(0, mprotect(p, self->page, PROT_READ | PROT_WRITE));
	EXPECT_FALSE(faults(p, true));
}

TEST_F(heap, mprotect_all)
{
	struct mapping *m = &self->own;
	const int prots[] = { PROT_READ, PROT_NONE };
	unsigned int i, touched;

	for (touched = 0; touched < 2; touched++) {
		for (i = 0; i < ARRAY_SIZE(prots); i++) {
			if (!touched) {
				/* a new mapping that nothing has accessed */
				munmap(m->map, m->size);
				m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
					      MAP_SHARED, m->buf, 0);
				ASSERT_NE(MAP_FAILED, m->map);
			}
			ASSERT_EQ(0, mprotect(m->map, m->size, prots[i]));
			EXPECT_TRUE(faults(m->map, true));
			EXPECT_TRUE(faults(m->map + m->size - 1, true));
			EXPECT_EQ(prots[i] == PROT_NONE, faults(m->map + m->huge, false));
			if (prots[i] == PROT_READ)
				EXPECT_EQ(0, wrong(m->map, m->pages, self->page, 0));
			ASSERT_EQ(0, mprotect(m->map, m->size, PROT_READ | PROT_WRITE));
			EXPECT_EQ(0, wrong(m->map, m->pages, self->page, 0));
			stamp(m->map, m->pages, self->page, 1);
			EXPECT_EQ(0, wrong(m->map, m->pages, self->page, 1));
			stamp(m->map, m->pages, self->page, 0);
		}
	}
}

TEST_F(heap, munmap_part)
{
	struct mapping *m = &self->own;
	/* holes in two huge pages */
	const size_t a = m->huge / self->page * 3 / 2, b = a + m->huge / self->page;
	unsigned char *hole_a = m->map + a * self->page, *hole_b = m->map + b * self->page;

	ASSERT_EQ(0, munmap(hole_a, self->page));
	ASSERT_EQ(0, munmap(hole_b, self->page));
	/* faults next to a hole do not map pages in it */
	EXPECT_EQ(0, wrong(hole_a + self->page, b - a - 1, self->page, a + 1));
	EXPECT_TRUE(faults(hole_a, false));
	EXPECT_TRUE(faults(hole_b, false));
	EXPECT_EQ(0, wrong(m->map, a, self->page, 0));
	EXPECT_EQ(0, wrong(hole_b + self->page, m->pages - b - 1, self->page, b + 1));
	EXPECT_TRUE(faults(hole_a, false));
	EXPECT_TRUE(faults(hole_b, false));
}

TEST_F(heap, mremap)
{
	struct mapping *m = &self->own;
	const size_t per_huge = m->huge / self->page;
	unsigned char *p;

	/* to where huge pages cannot be mapped, and back to where they can */
	p = mremap(m->map, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   m->room + self->page);
	ASSERT_EQ(m->room + self->page, p);
	EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
	p = mremap(p, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED, m->map);
	ASSERT_EQ(m->map, p);
	EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));

	/* a part that begins and ends within huge pages */
	p = mremap(m->map + self->page, m->huge, m->huge, MREMAP_MAYMOVE | MREMAP_FIXED,
		   m->room);
	ASSERT_EQ(m->room, p);
	EXPECT_EQ(0, wrong(p, per_huge, self->page, 1));
	EXPECT_EQ(0, wrong(m->map, 1, self->page, 0));
	EXPECT_EQ(0, wrong(m->map + self->page + m->huge, m->pages - per_huge - 1,
			   self->page, per_huge + 1));

	/* smaller */
	p = mremap(p, m->huge, self->page, 0);
	ASSERT_EQ(m->room, p);
	EXPECT_EQ(0, wrong(p, 1, self->page, 1));
	EXPECT_TRUE(faults(p + self->page, false));
}

/* A child has the same memory, and its own mappings of it. */
TEST_F(heap, fork)
{
	struct mapping *m = &self->own;
	int status = 0;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		if (wrong(m->map, m->pages, self->page, 0))
			_exit(1);
		stamp(m->map, m->pages, self->page, 7);
		munmap(m->map, m->huge + self->page);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0, wrong(m->map, m->pages, self->page, 7));
}

/* The buffer lives as long as a mapping of it. */
TEST_F(heap, fd_closed)
{
	struct mapping *m = &self->own;
	unsigned char *p;

	p = mmap(NULL, m->size, PROT_READ, MAP_SHARED, m->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	munmap(m->map, m->size);
	m->map = MAP_FAILED;
	close(m->buf);
	m->buf = -1;
	EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
	munmap(p, m->size);
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

/* Threads fault at the same time, in different orders. */
TEST_F(heap, threads)
{
	struct mapping *m = &self->own;
	const size_t steps[] = { 1, 1, 5, 13 };
	struct toucher t[ARRAY_SIZE(steps)];
	unsigned int i, round;

	for (round = 0; round < 20; round++) {
		munmap(m->map, m->size);
		m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      m->buf, 0);
		ASSERT_NE(MAP_FAILED, m->map);
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			t[i] = (struct toucher){
				.map = m->map, .pages = m->pages, .page = self->page,
				.step = steps[i], .first = i * m->pages / ARRAY_SIZE(t),
				.write = i & 1,
			};
			ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, touch, &t[i]));
		}
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			pthread_join(t[i].thread, NULL);
			EXPECT_EQ(0, t[i].wrong);
		}
	}
	EXPECT_EQ(0, wrong(m->map, m->pages, self->page, 0));
}

/* if the CPU does not set dirty bits, the first write to a page faults */
#ifdef __x86_64__
#define SETS_DIRTY	1
#else
#define SETS_DIRTY	0
#endif

/* How this kernel maps buffers of the heap. */
enum how { EAGER, BY_PAGE, AROUND };

static enum how how_mapped(struct __test_metadata *_metadata, struct mapping *m, size_t page)
{
	const size_t pages = 16;
	long before, first, others;
	unsigned char *p;

	p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, m->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	before = minor_faults();
	wrong(p, 1, page, 0);
	first = minor_faults() - before;
	before = minor_faults();
	wrong(p + page, pages - 1, page, 1);
	others = minor_faults() - before;
	munmap(p, pages * page);
	if (others >= (long)pages - 1)
		return BY_PAGE;

	return first ? AROUND : EAGER;
}

/* Number of faults when each page is read and written; -1 for wrong data */
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
 * A program that locks its memory takes no faults on a buffer.  Real-time
 * programs rely on that.  With MCL_ONFAULT, it does.
 */
TEST_F(heap, locked)
{
	struct mapping *m = &self->own;
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	int status = 0, how;
	unsigned char *p;
	long faults;
	pid_t pid;

	if (how_mapped(_metadata, m, self->page) == BY_PAGE) {
		ASSERT_FALSE(variant->name && heaps_in_debugfs());
		SKIP(return, "this kernel maps a page a fault, whatever is locked");
	}
	for (how = 0; how < 3; how++) {
		const bool onfault = how == 2;

		/* MCL_ONFAULT asks for faults, unless mmap() maps all in any case */
		if (onfault && how_mapped(_metadata, m, self->page) == EAGER)
			break;
		pid = fork();
		ASSERT_LE(0, pid);
		if (pid == 0) {
			setrlimit(RLIMIT_MEMLOCK, &all);
			/* fault in what the functions themselves need */
			touch_faults(m->map, m->pages, self->page);
			if (how && mlockall(MCL_FUTURE | (onfault ? MCL_ONFAULT : 0)))
				_exit(4);
			p = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
				 MAP_SHARED | (how ? 0 : MAP_LOCKED), m->buf, 0);
			if (p == MAP_FAILED)
				_exit(errno == EPERM || errno == EAGAIN ? 4 : 2);
			faults = touch_faults(p, m->pages, self->page);
			_exit(onfault ? faults <= 0 : faults != 0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		if (WEXITSTATUS(status) == 4)
			SKIP(return, "this process may not lock its memory");
		ASSERT_EQ(0, WEXITSTATUS(status)) {
			TH_LOG("faults after %s", how == 2 ? "MCL_ONFAULT: none" :
			       how ? "mlockall()" : "MAP_LOCKED");
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

/* mmap() uses the address of a hint if there is room. */
TEST_F(heap, hint)
{
	struct mapping *m = &self->own;
	const size_t at[] = { 0, 1, m->huge / self->page - 1 };
	const int prot = PROT_READ | PROT_WRITE;
	unsigned char *hole, *p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		hole = make_hole(_metadata, m->room + at[i] * self->page, m->size);
		p = mmap(hole, m->size, prot, MAP_SHARED, m->buf, 0);
		EXPECT_EQ(hole, p) {
			TH_LOG("the hole begins %zu pages after a huge page", at[i]);
		}
		if (p != MAP_FAILED) {
			EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
			if (p != hole)
				munmap(p, m->size);
		}
		close_hole(_metadata, hole, m->size);
	}

	/* a hint without room is ignored */
	p = mmap(m->room, m->size, prot, MAP_SHARED, m->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_NE(m->room, p);
	munmap(p, m->size);
}

TEST_F(heap, fixed_noreplace)
{
	struct mapping *m = &self->own;
	const int prot = PROT_READ | PROT_WRITE;
	unsigned char *hole, *p;

	EXPECT_ERRNO(EEXIST, mmap(m->room, m->size, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, m->buf,
				  0));
	hole = make_hole(_metadata, m->room + self->page, m->size);
	p = mmap(hole, m->size, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, m->buf, 0);
	EXPECT_EQ(hole, p);
	if (p == hole)
		EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
	close_hole(_metadata, hole, m->size);
}

/* only in 64-bit programs */
#if defined(MAP_32BIT) && __SIZEOF_POINTER__ == 8
TEST_F(heap, map_32bit)
{
	struct mapping *m = &self->own;
	unsigned char *p;

	p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_32BIT, m->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_GT(1UL << 31, (unsigned long)p + m->size - 1);
	EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
	munmap(p, m->size);
}
#endif

/* mremap() can move a range of two mappings. */
TEST_F(heap, mremap_two)
{
	struct mapping *m = &self->own;
	const size_t size = 2 * self->page;
	unsigned char *p, *to = m->room + self->page;

	/* Linux can do that from 6.17 on */
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p, self->page, PROT_READ));
	p = mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (p == MAP_FAILED)
		SKIP(return, "this kernel moves one mapping at a time");
	close_hole(_metadata, to, size);

	ASSERT_EQ(0, mprotect(m->map + self->page, self->page, PROT_READ));
	p = mremap(m->map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_EQ(to, p) {
		TH_LOG("%s", strerror(errno));
	}
	EXPECT_EQ(0, wrong(p, 2, self->page, 0));
	EXPECT_FALSE(faults(p, true));
	EXPECT_TRUE(faults(p + self->page, true));
	EXPECT_EQ(0, wrong(m->map + size, m->pages - 2, self->page, 2));
}

/*
 * A fault maps all pages that share a page table with its address, so there are
 * no more faults than page tables.  The first write after reads may fault once
 * for each huge page.
 */
TEST_F(heap, faults)
{
	struct mapping *m = &self->own;
	/* for each huge page, and for the stack and libc */
	const long slack = 8;
	long before, reads, writes;
	unsigned char *p;
	enum how how;

	how = how_mapped(_metadata, m, self->page);
	if (how == BY_PAGE) {
		ASSERT_FALSE(variant->name && heaps_in_debugfs());
		SKIP(return, "this kernel maps a page a fault");
	}
	p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	before = minor_faults();
	EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
	reads = minor_faults() - before;
	before = minor_faults();
	stamp(p, m->pages, self->page, 0);
	writes = minor_faults() - before;
	TH_LOG("%ld faults to read %zu pages, %ld to write them", reads, m->pages, writes);
	EXPECT_LE(reads, m->size / m->huge + 2 + slack);
	/* older kernels leave the dirty bits to the CPU */
	if (SETS_DIRTY || how == AROUND)
		EXPECT_LE(writes, slack);
	munmap(p, m->size);
}

/*
 * If the kernel chooses the address, a contiguous buffer is mapped by huge
 * pages, which need no page tables.
 */
TEST_F(heap, huge)
{
	struct mapping *m = &self->own;
	long before, after;
	unsigned char *p;

	if (!HUGE_PFNMAP)
		SKIP(return, "not known to map huge pages for drivers on this architecture");
	if (huge_page_size() != m->huge)
		SKIP(return, "no transparent huge pages, or very large ones");
	if (!heap_is_contiguous(self->name))
		SKIP(return, "how large the chunks of %s are is a matter of luck", self->name);
	if (how_mapped(_metadata, m, self->page) != AROUND) {
		ASSERT_FALSE(variant->name && heaps_in_debugfs());
		SKIP(return, "this kernel maps buffers by page");
	}

	before = page_tables();
	p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	stamp(p, m->pages, self->page, 0);
	after = page_tables();
	ASSERT_LE(0, before);
	TH_LOG("%ld bytes of page tables for %zu bytes", after - before, m->size);
	/* two page tables around the huge pages, and one table above */
	EXPECT_LE(after - before, 3 * (long)self->page);
	EXPECT_EQ(0, wrong(p, m->pages, self->page, 0));
	munmap(p, m->size);
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

/* Re-arm warnings that the kernel prints once a boot, if permitted. */
static void warn_again(void)
{
	int fd = may_disrupt() ? open("/sys/kernel/debug/clear_warn_once", O_WRONLY | O_CLOEXEC) :
				 -1;

	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		perror("# clear_warn_once");
	close(fd);
}

/*
 * Some threads fault in a huge page while others fault in a page of it, as huge
 * pages are switched on and off.  The kernel must not warn.
 */
TEST_F_TIMEOUT(heap, thp_disable, 120)
{
	struct mapping *m = &self->own;
	const int log = log_open();
	struct switcher s = {};
	struct toucher t[4];
	unsigned int i, round;

	if (log < 0)
		TH_LOG("what the kernel logs is not checked: %s", strerror(errno));
	warn_again();
	ASSERT_EQ(0, pthread_create(&s.thread, NULL, switch_thp, &s));
	for (round = 0; round < 300; round++) {
		munmap(m->map, m->size);
		m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      m->buf, 0);
		ASSERT_NE(MAP_FAILED, m->map);
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			t[i] = (struct toucher){
				.map = m->map, .pages = m->pages, .page = self->page,
				.step = m->huge / self->page, .write = true,
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
	if (log >= 0)
		close(log);
}

TEST_HARNESS_MAIN
