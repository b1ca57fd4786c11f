/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixture for tests that run on every heap: those with well-known names, and
 * the one that DMABUF_HEAP names in the environment.  It opens the heap, and
 * checks at the end that no fd and no buffer is left.
 *
 * A program with more data for its tests defines HEAP_FIXTURE_OWN to the type
 * of it before it includes this file, and provides own_begin() and own_end().
 * If own_begin() skips the test, the harness calls neither own_end() nor the
 * teardown.
 */

#ifndef _SELFTESTS_DMABUF_HEAP_FIXTURE_H
#define _SELFTESTS_DMABUF_HEAP_FIXTURE_H

#include "heap.h"
#include "kselftest_harness.h"

FIXTURE(heap)
{
	const char *name;
	/* exporter name of its buffers; not an alias */
	char own_name[256];
	int heap;
	int fds;
	long page;
	/* debugfs shows that nobody has a buffer of the heap */
	bool alone;
#ifdef HEAP_FIXTURE_OWN
	HEAP_FIXTURE_OWN own;
#endif
};

#ifdef HEAP_FIXTURE_OWN
static void own_begin(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self);
static void own_end(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self);
#endif

FIXTURE_VARIANT(heap)
{
	const char *name;
};

FIXTURE_VARIANT_ADD(heap, system)
{
	.name = "system",
};

FIXTURE_VARIANT_ADD(heap, default_cma_region)
{
	.name = "default_cma_region",
};

FIXTURE_VARIANT_ADD(heap, system_uncached)
{
	.name = "system-uncached",
};

FIXTURE_VARIANT_ADD(heap, default_cma_region_uncached)
{
	.name = "default_cma_region-uncached",
};

FIXTURE_VARIANT_ADD(heap, named)
{
};

FIXTURE_SETUP(heap)
{
	unsigned long long buffers;
	int buf;

	self->heap = -1;
	self->page = sysconf(_SC_PAGESIZE);
	self->name = variant->name ?: getenv("DMABUF_HEAP");
	if (!self->name)
		SKIP(return, "DMABUF_HEAP names no heap");
	if (heap_is_secret(self->name))
		SKIP(return, "nobody can look into buffers of %s", self->name);
	self->heap = heap_open(self->name);
	if (self->heap < 0) {
		/* the heap that DMABUF_HEAP names must exist */
		ASSERT_TRUE(variant->name || errno == EACCES || errno == EPERM) {
			TH_LOG("cannot open heap %s: %s", self->name, strerror(errno));
		}
		SKIP(return, "cannot open heap %s: %s", self->name, strerror(errno));
	}
	die_first();
	buf = heap_alloc(self->heap, 2 << 20);
	if (buf < 0 && errno == ENOMEM)
		SKIP(return, "heap %s has less than 2 MiB to give", self->name);
	ASSERT_LE(0, buf);
	strcpy(self->own_name, buffer_heap(buf));
	close(buf);
	self->alone = heap_counter(self->name, "buffers", &buffers) && !buffers;
	self->fds = count_fds();
	ASSERT_LT(0, self->fds);
#ifdef HEAP_FIXTURE_OWN
	own_begin(_metadata, self);
#endif
}

FIXTURE_TEARDOWN(heap)
{
	unsigned long long bytes = 0;
	int i;

	if (self->heap < 0)
		return;
#ifdef HEAP_FIXTURE_OWN
	own_end(_metadata, self);
#endif
	/* the test closed all its fds */
	EXPECT_EQ(self->fds, count_fds());
	/* the kernel may free the last buffers a moment later */
	for (i = 0; self->alone && i < 100; i++) {
		ASSERT_TRUE(heap_counter(self->name, "bytes", &bytes));
		if (!bytes)
			break;
		usleep(20000);
	}
	if (bytes && heap_used_by_others(self->own_name)) {
		TH_LOG("others began to use %s: no telling what is left", self->name);
	} else if (bytes) {
		/* read again: other users may have exited just now */
		ASSERT_TRUE(heap_counter(self->name, "bytes", &bytes));
		EXPECT_EQ(0, bytes);
	}
	close(self->heap);
}

#endif /* _SELFTESTS_DMABUF_HEAP_FIXTURE_H */
