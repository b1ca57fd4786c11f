// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the CMA heaps, on the default region.  It needs a machine
 * that has one (cma=64M or so); every case is skipped elsewhere.
 */

#include <kunit/test.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/fcntl.h>
#include <linux/iosys-map.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "heap_kunit_helpers.h"

#define CMA_HEAP	"default_cma_region"

/* An importer is told why its device could not map the buffer. */
static void cma_heap_map_error(struct kunit *test)
{
	static const int errors[] = { -EIO, -EINVAL, -ENOMEM };
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	unsigned int i;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	importer = heap_kunit_importer(test);
	attach = heap_kunit_attach(test, heap_kunit_alloc(test, CMA_HEAP, SZ_64K),
				   importer->dev);

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		importer->map_error = errors[i];
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
		KUNIT_EXPECT_PTR_EQ(test, sgt, ERR_PTR(errors[i]));
	}
	KUNIT_EXPECT_EQ(test, importer->maps, 0);
}

static int cma_heap_alloc_errno(void *heap)
{
	struct dma_buf *dmabuf = dma_heap_kunit_alloc(heap, SZ_4M, O_RDWR | O_CLOEXEC, 0);

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	dma_buf_put(dmabuf);

	return 0;
}

/* A task that is being killed gets -EINTR, and soon. */
static void cma_heap_killed(struct kunit *test)
{
	struct dma_heap *heap = dma_heap_kunit_find(CMA_HEAP);

	if (!heap)
		kunit_skip(test, "this machine has no heap '" CMA_HEAP "'");

	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, cma_heap_alloc_errno, heap), -EINTR);
	/* nothing was lost to it: the same request goes through now */
	KUNIT_EXPECT_EQ(test, cma_heap_alloc_errno(heap), 0);
}

/* More than the region holds is -ENOMEM. */
static void cma_heap_too_large(struct kunit *test)
{
	struct dma_heap *heap = dma_heap_kunit_find(CMA_HEAP);

	if (!heap)
		kunit_skip(test, "this machine has no heap '" CMA_HEAP "'");

	KUNIT_EXPECT_PTR_EQ(test, dma_heap_kunit_alloc(heap, SZ_1G * 1024ULL * 64, O_RDWR, 0),
			    ERR_PTR(-ENOMEM));
}

/* The device sees one run, the kernel mapping the same bytes, all zero. */
static void cma_heap_one_run(struct kunit *test)
{
	const size_t len = SZ_1M + PAGE_SIZE;
	struct heap_kunit_importer *importer = heap_kunit_importer(test);
	struct dma_buf *dmabuf = heap_kunit_alloc(test, CMA_HEAP, len);
	struct dma_buf_attachment *attach = heap_kunit_attach(test, dmabuf, importer->dev);
	struct iosys_map map;
	struct sg_table *sgt;

	KUNIT_ASSERT_EQ(test, dmabuf->size, len);

	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	KUNIT_EXPECT_EQ(test, sgt->nents, 1);
	KUNIT_EXPECT_EQ(test, sg_dma_len(sgt->sgl), len);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);

	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(map.vaddr, 0, len));
	memset(map.vaddr, 0xa5, len);
	dma_buf_vunmap_unlocked(dmabuf, &map);

	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(map.vaddr, 0xa5, len));
	dma_buf_vunmap_unlocked(dmabuf, &map);
}

static struct kunit_case cma_heap_cases[] = {
	KUNIT_CASE(cma_heap_map_error),
	KUNIT_CASE(cma_heap_killed),
	KUNIT_CASE(cma_heap_too_large),
	KUNIT_CASE(cma_heap_one_run),
	{}
};

static struct kunit_suite cma_heap_suite = {
	.name = "cma_heap",
	.test_cases = cma_heap_cases,
};
kunit_test_suite(cma_heap_suite);

MODULE_DESCRIPTION("KUnit suite of the CMA heaps");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
