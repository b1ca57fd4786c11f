// SPDX-License-Identifier: GPL-2.0
/*
 * What a program can do with a buffer of a heap: the same for every heap.
 */

#define _GNU_SOURCE
#include <sys/mman.h>

#include "heap.h"
#include "kselftest_harness.h"

FIXTURE(buffer)
{
	int heap;
	long page;
};

FIXTURE_VARIANT(buffer)
{
	const char *name;
};

FIXTURE_VARIANT_ADD(buffer, system)
{
	.name = "system",
};

FIXTURE_VARIANT_ADD(buffer, default_cma_region)
{
	.name = "default_cma_region",
};

FIXTURE_VARIANT_ADD(buffer, system_uncached)
{
	.name = "system-uncached",
};

FIXTURE_VARIANT_ADD(buffer, default_cma_region_uncached)
{
	.name = "default_cma_region-uncached",
};

FIXTURE_SETUP(buffer)
{
	self->page = sysconf(_SC_PAGESIZE);
	self->heap = heap_open(variant->name);
	if (self->heap < 0)
		SKIP(return, "cannot open heap %s: %s", variant->name, strerror(errno));
}

FIXTURE_TEARDOWN(buffer)
{
	if (self->heap >= 0)
		close(self->heap);
}

/*
 * A private mapping is refused, whatever the size of the buffer, the mode of
 * the fd and the protection asked for.
 */
TEST_F(buffer, private_mapping)
{
	const size_t sizes[] = { self->page, 16 * self->page, 4 << 20, (4 << 20) + self->page };
	const int prots[] = { PROT_READ, PROT_READ | PROT_WRITE };
	const int modes[] = { O_RDONLY, O_RDWR };
	unsigned int s, p, m;
	void *map;
	int buf;

	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (m = 0; m < ARRAY_SIZE(modes); m++) {
			buf = heap_alloc_flags(self->heap, sizes[s], modes[m] | O_CLOEXEC, 0);
			ASSERT_LE(0, buf);
			for (p = 0; p < ARRAY_SIZE(prots); p++) {
				map = mmap(NULL, sizes[s], prots[p], MAP_PRIVATE, buf, 0);
				EXPECT_EQ(MAP_FAILED, map) {
					TH_LOG("%zu bytes, mode %d, prot %d", sizes[s], modes[m],
					       prots[p]);
					munmap(map, sizes[s]);
				}
				EXPECT_EQ(EINVAL, errno);
			}
			close(buf);
		}
	}
}

/* Shared mappings show one memory, and only as the fd's mode allows. */
TEST_F(buffer, shared_mapping)
{
	const size_t size = (1 << 20) + self->page;
	unsigned char *a, *b;
	int buf;

	buf = heap_alloc_flags(self->heap, size, O_RDONLY | O_CLOEXEC, 0);
	ASSERT_LE(0, buf);
	a = mmap(NULL, size, PROT_READ, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, a);
	EXPECT_EQ(0, a[size - 1]);
	munmap(a, size);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0));
	EXPECT_EQ(EACCES, errno);
	close(buf);

	buf = heap_alloc(self->heap, size);
	ASSERT_LE(0, buf);
	a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	b = mmap(NULL, self->page, PROT_READ, MAP_SHARED, buf, size - self->page);
	ASSERT_NE(MAP_FAILED, a);
	ASSERT_NE(MAP_FAILED, b);
	a[size - 1] = 0xa5;
	EXPECT_EQ(0xa5, b[self->page - 1]);
	munmap(a, size);
	munmap(b, self->page);
	close(buf);
}

TEST_HARNESS_MAIN
