// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the heap core: what it refuses before a heap is asked, and
 * which heaps it refuses.  Heaps cannot be removed, so only registrations that
 * must fail are tried.
 */

#include <kunit/test.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "heap_kunit_helpers.h"

static struct dma_heap *system_heap(struct kunit *test)
{
	struct dma_heap *heap = dma_heap_kunit_find("system");

	if (!heap)
		kunit_skip(test, "the system heap is not built in");

	return heap;
}

struct length_case {
	const char *desc;
	u64 len;
	int error;
	u64 size;
};

static const struct length_case length_cases[] = {
	{ "0", 0, -EINVAL },
	{ "1", 1, 0, PAGE_SIZE },
	{ "page", PAGE_SIZE, 0, PAGE_SIZE },
	{ "page + 1", PAGE_SIZE + 1, 0, 2 * PAGE_SIZE },
	{ "last that fits", PAGE_ALIGN_DOWN(SIZE_MAX), -ENOMEM },
	{ "first that does not", (u64)PAGE_ALIGN_DOWN(SIZE_MAX) + 1, -EINVAL },
	{ "SIZE_MAX", SIZE_MAX, -EINVAL },
#if BITS_PER_LONG == 32
	{ "4 GiB", SZ_4G, -EINVAL },
	{ "4 GiB + page", SZ_4G + PAGE_SIZE, -EINVAL },
#endif
	{ "2^63", 1ULL << 63, BITS_PER_LONG == 32 ? -EINVAL : -ENOMEM },
	{ "2^64 - 1", U64_MAX, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(length, length_cases, desc);

/* Every length gives a buffer of at least that length, or an error. */
static void dma_heap_core_length(struct kunit *test)
{
	const struct length_case *param = test->param_value;
	struct dma_buf *dmabuf;

	if (param->error == -ENOMEM && PHYS_PFN(param->len) <= totalram_pages())
		kunit_skip(test, "this machine has that much memory");

	dmabuf = dma_heap_kunit_alloc(system_heap(test), param->len, O_RDWR | O_CLOEXEC, 0);
	if (param->error) {
		KUNIT_EXPECT_PTR_EQ(test, dmabuf, ERR_PTR(param->error));
	} else {
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
		KUNIT_EXPECT_EQ(test, dmabuf->size, param->size);
	}
	if (!IS_ERR_OR_NULL(dmabuf))
		dma_buf_put(dmabuf);
}

struct flags_case {
	const char *desc;
	u32 fd_flags;
	u64 heap_flags;
	int error;
};

static const struct flags_case flags_cases[] = {
	{ "O_RDONLY", O_RDONLY },
	{ "O_WRONLY", O_WRONLY },
	{ "O_RDWR", O_RDWR },
	{ "O_RDWR | O_CLOEXEC", O_RDWR | O_CLOEXEC },
	{ "O_WRONLY | O_RDWR", O_WRONLY | O_RDWR, 0, -EINVAL },
	{ "O_WRONLY | O_RDWR | O_CLOEXEC", O_WRONLY | O_RDWR | O_CLOEXEC, 0, -EINVAL },
	{ "O_NONBLOCK", O_RDWR | O_NONBLOCK, 0, -EINVAL },
	{ "all fd_flags", ~0U, 0, -EINVAL },
	{ "first heap flag", O_RDWR, 1, -EINVAL },
	{ "last heap flag", O_RDWR, 1ULL << 63, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(flags, flags_cases, desc);

/* Flags that mean nothing are refused. */
static void dma_heap_core_flags(struct kunit *test)
{
	const struct flags_case *param = test->param_value;
	struct dma_buf *dmabuf;

	dmabuf = dma_heap_kunit_alloc(system_heap(test), PAGE_SIZE, param->fd_flags,
				      param->heap_flags);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(dmabuf), param->error);
	if (!IS_ERR(dmabuf)) {
		KUNIT_EXPECT_EQ(test, dmabuf->file->f_flags & O_ACCMODE,
				param->fd_flags & O_ACCMODE);
		dma_buf_put(dmabuf);
	}
}

static struct dma_buf *no_allocate(struct dma_heap *heap, unsigned long len,
				   u32 fd_flags, u64 heap_flags)
{
	return ERR_PTR(-ENOMEM);
}

static const struct dma_heap_ops no_ops = {
	.allocate = no_allocate,
};

/*
 * A name that is taken is -EEXIST, any number of times (there are 128 minors:
 * none may be lost to it), and says nothing in the log.
 */
static void dma_heap_core_duplicate(struct kunit *test)
{
	const struct dma_heap_export_info info = { .name = "system", .ops = &no_ops };
	struct dma_heap *heap = system_heap(test);
	int i;

	for (i = 0; i < 200; i++)
		KUNIT_ASSERT_PTR_EQ(test, dma_heap_add(&info), ERR_PTR(-EEXIST));
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_kunit_find("system"), heap);
}

/* A heap needs a name and a way to allocate. */
static void dma_heap_core_incomplete(struct kunit *test)
{
	static const struct dma_heap_ops empty_ops;
	const struct dma_heap_export_info infos[] = {
		{ .name = NULL, .ops = &no_ops },
		{ .name = "", .ops = &no_ops },
		{ .name = "kunit-incomplete", .ops = NULL },
		{ .name = "kunit-incomplete", .ops = &empty_ops },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(infos); i++)
		KUNIT_EXPECT_PTR_EQ(test, dma_heap_add(&infos[i]), ERR_PTR(-EINVAL));
	KUNIT_EXPECT_NULL(test, dma_heap_kunit_find("kunit-incomplete"));
}

static struct kunit_case dma_heap_core_cases[] = {
	KUNIT_CASE_PARAM(dma_heap_core_length, length_gen_params),
	KUNIT_CASE_PARAM(dma_heap_core_flags, flags_gen_params),
	KUNIT_CASE(dma_heap_core_duplicate),
	KUNIT_CASE(dma_heap_core_incomplete),
	{}
};

static struct kunit_suite dma_heap_core_suite = {
	.name = "dma_heap_core",
	.test_cases = dma_heap_core_cases,
};

kunit_test_suite(dma_heap_core_suite);

MODULE_DESCRIPTION("KUnit suite of the DMA-BUF heap core");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
