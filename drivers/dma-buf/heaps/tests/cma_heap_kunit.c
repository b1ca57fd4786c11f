// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the CMA heaps, on the default region.  It needs a machine
 * that has one (cma=64M or so); every case is skipped elsewhere.
 */

#include <kunit/test.h>

#include <linux/cma.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/fcntl.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "../../dma-heap-private.h"
#include "../cma_heap.h"
#include "heap_kunit_helpers.h"

#define CMA_HEAP	"default_cma_region"

static void cma_heap_killed(struct kunit *test)
{
	heap_kunit_test_killed(test, CMA_HEAP);
}

static int clear_page_errno(void *page)
{
	return cma_heap_clear_pages(page, 1);
}

/* Pages are cleared for whoever is alive, and for nobody else. */
static void cma_heap_clear_killed(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	memset(page_address(page), 0xa5, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, clear_page_errno, page), -EINTR);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0xa5, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, clear_page_errno(page), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0, PAGE_SIZE));
	__free_page(page);
}

static void cma_heap_zeroed(struct kunit *test)
{
	heap_kunit_test_zeroed(test, CMA_HEAP);
}

/* More than the region holds is -ENOMEM. */
static void cma_heap_too_large(struct kunit *test)
{
	struct dma_heap *heap = heap_kunit_find(test, CMA_HEAP);
	u64 ram = (u64)totalram_pages() << PAGE_SHIFT;

	if (ram >= SIZE_MAX)
		kunit_skip(test, "no size_t is too large for this machine's memory");

	KUNIT_EXPECT_PTR_EQ(test, dma_heap_kunit_alloc(heap, ram, O_RDWR, 0), ERR_PTR(-ENOMEM));
}

/* A device sees the buffer as one run. */
static void cma_heap_one_run(struct kunit *test)
{
	const size_t len = SZ_1M + PAGE_SIZE;
	struct dma_buf *dmabuf = heap_kunit_alloc(test, CMA_HEAP, len);
	struct heap_kunit_importer *importer = heap_kunit_importer(test, "heap-importer");
	struct dma_buf_attachment *attach = heap_kunit_attach(test, dmabuf, importer->dev);
	struct sg_table *sgt;

	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	KUNIT_EXPECT_EQ(test, sgt->nents, 1);
	KUNIT_EXPECT_EQ(test, sg_dma_len(sgt->sgl), len);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
}

/* Each region has a heap, but for one that CMA could not activate, and has none. */
static void cma_heap_regions(struct kunit *test)
{
	struct cma *cma, *default_cma = dev_get_cma_area(NULL);
	unsigned int i, regions = 0;
	struct dma_heap *heap;
	const char *name;

	for (i = 0; (cma = dma_contiguous_get_area_by_idx(i)); i++) {
		name = cma_heap_name(cma_get_name(cma), cma == default_cma);
		if (!name)
			continue;
		regions++;
		heap = dma_heap_kunit_find(name);
		KUNIT_EXPECT_EQ_MSG(test, !!heap, !!cma_get_size(cma),
				    "region %s of %lu bytes, heap %s",
				    cma_get_name(cma), cma_get_size(cma), name);
		dma_heap_kunit_put(heap);
	}
	if (!regions)
		kunit_skip(test, "this machine has no CMA region; try cma=64M");
}

static struct kunit_case cma_heap_cases[] = {
	KUNIT_CASE(cma_heap_killed),
	KUNIT_CASE(cma_heap_clear_killed),
	KUNIT_CASE(cma_heap_zeroed),
	KUNIT_CASE(cma_heap_too_large),
	KUNIT_CASE(cma_heap_one_run),
	KUNIT_CASE(cma_heap_regions),
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
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
