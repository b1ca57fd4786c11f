// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the CMA heaps.  Cases that allocate use the default CMA
 * region, and are skipped without one (boot with cma=64M).
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/cma.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/iosys-map.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

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

/* Clearing fails with -EINTR in a killed task, before it changes a page. */
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

static int killed_while_clearing(struct page *page, unsigned long nr_pages)
{
	return -EINTR;
}

/*
 * Pages are released when clearing them fails: 256 leaks of 8 MiB would exhaust
 * a region of 2 GiB.
 */
static void cma_heap_clear_fails(struct kunit *test)
{
	struct dma_heap *heap = heap_kunit_find(test, CMA_HEAP);
	const unsigned int rounds = 256;
	const size_t len = SZ_8M;
	struct dma_buf *dmabuf;
	unsigned int i;

	dmabuf = dma_heap_buffer_alloc(heap, len, O_RDWR, 0);
	if (dmabuf == ERR_PTR(-ENOMEM))
		kunit_skip(test, "the region has no 8 MiB to give");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	__fput_sync(dmabuf->file);

	kunit_activate_static_stub(test, cma_heap_clear_pages, killed_while_clearing);
	for (i = 0; i < rounds; i++) {
		dmabuf = dma_heap_buffer_alloc(heap, len, O_RDWR, 0);
		KUNIT_ASSERT_PTR_EQ_MSG(test, dmabuf, ERR_PTR(-EINTR), "round %u", i);
	}
	kunit_deactivate_static_stub(test, cma_heap_clear_pages);
	heap_kunit_alloc(test, CMA_HEAP, len);
}

/* A buffer is zero from end to end, also when it is cleared in several steps. */
static void cma_heap_zeroed_large(struct kunit *test)
{
	struct dma_heap *heap = heap_kunit_find(test, CMA_HEAP);
	const size_t len = SZ_32M + SZ_4M;
	struct dma_buf *dmabuf;
	struct iosys_map map;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		dmabuf = dma_heap_buffer_alloc(heap, len, O_RDWR, 0);
		if (!i && dmabuf == ERR_PTR(-ENOMEM))
			kunit_skip(test, "the region has no 36 MiB to give");
		heap_kunit_put_later(test, dmabuf);
		KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
		KUNIT_EXPECT_NULL_MSG(test, memchr_inv(map.vaddr, 0, len), "buffer %u", i);
		memset(map.vaddr, 0xa5, len);
		dma_buf_vunmap_unlocked(dmabuf, &map);
		kunit_release_action(test, heap_kunit_put, dmabuf);
	}
}

/* A buffer larger than UINT_MAX has several scatterlist entries. */
static void cma_heap_large_table(struct kunit *test)
{
	const size_t entry = ALIGN_DOWN(UINT_MAX, PAGE_SIZE);
	/* the pages after it are not accessed */
	struct page *page = ZERO_PAGE(0);
	struct scatterlist *sg;
	struct sg_table table;
	unsigned long at = 0;
	unsigned int i;
	size_t len;

	if (sizeof(size_t) <= 4)
		kunit_skip(test, "no buffer has 4 GiB where a size_t has 32 bits");

	len = 2 * entry + 3 * PAGE_SIZE;
	KUNIT_ASSERT_EQ(test, cma_heap_alloc_table(page, len, &table), 0);
	KUNIT_EXPECT_EQ(test, table.orig_nents, 3);
	for_each_sgtable_sg(&table, sg, i) {
		KUNIT_EXPECT_PTR_EQ_MSG(test, sg_page(sg), page + at, "entry %u", i);
		KUNIT_EXPECT_EQ_MSG(test, sg->length, i < 2 ? entry : 3 * PAGE_SIZE, "entry %u", i);
		at += PFN_DOWN(sg->length);
	}
	KUNIT_EXPECT_EQ(test, at, PFN_DOWN(len));
	sg_free_table(&table);
}

/* A buffer is aligned to its order, at most CONFIG_CMA_ALIGNMENT. */
static void cma_heap_aligned(struct kunit *test)
{
	const size_t len = max_t(size_t, SZ_64K, PAGE_SIZE);
	const unsigned int align = min(get_order(len), CONFIG_CMA_ALIGNMENT);
	struct dma_heap_buffer *buffer;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		unsigned long pfn;

		heap_kunit_alloc(test, CMA_HEAP, PAGE_SIZE);
		buffer = dma_heap_buffer_of(heap_kunit_alloc(test, CMA_HEAP, len));
		pfn = page_to_pfn(sg_page(buffer->table.sgl));
		KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED(pfn, 1 << align), "page %#lx", pfn);
	}
}

static void cma_heap_zeroed(struct kunit *test)
{
	heap_kunit_test_zeroed(test, CMA_HEAP);
}

/* dma_heap_find() pins the module of the heap until dma_heap_put(). */
static void cma_heap_pinned(struct kunit *test)
{
#ifdef CONFIG_MODULE_UNLOAD
	struct module *owner;
	struct dma_buf *dmabuf;
	struct dma_heap *heap;
	int before;

	dmabuf = heap_kunit_alloc(test, CMA_HEAP, PAGE_SIZE);
	owner = dmabuf->owner;
	if (!owner)
		kunit_skip(test, "the heap is built in");

	before = module_refcount(owner);
	heap = dma_heap_find(CMA_HEAP);
	KUNIT_EXPECT_EQ(test, module_refcount(owner), before + 1);
	dma_heap_put(heap);
	KUNIT_EXPECT_EQ(test, module_refcount(owner), before);
#else
	kunit_skip(test, "modules stay in this kernel");
#endif
}

/* A buffer larger than the region fails with -ENOMEM. */
static void cma_heap_too_large(struct kunit *test)
{
	struct dma_heap *heap = heap_kunit_find(test, CMA_HEAP);
	u64 ram = (u64)totalram_pages() << PAGE_SHIFT;

	if (ram >= SIZE_MAX)
		kunit_skip(test, "no size_t is too large for this machine's memory");

	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(heap, ram, O_RDWR, 0), ERR_PTR(-ENOMEM));
}

/* A device maps the buffer as one segment. */
static void cma_heap_one_run(struct kunit *test)
{
	const size_t len = SZ_1M + PAGE_SIZE;
	struct dma_buf *dmabuf = heap_kunit_alloc(test, CMA_HEAP, len);
	struct heap_kunit_importer *importer = heap_kunit_importer(test, "heap-importer");
	struct dma_buf_attachment *attach = heap_kunit_attach(test, dmabuf, importer->dev);
	struct sg_table *sgt;

	if (!heap_kunit_importer_records() && is_swiotlb_force_bounce(importer->dev))
		kunit_skip(test, "so large a run has no bounce buffer");

	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	KUNIT_EXPECT_EQ(test, sgt->nents, 1);
	KUNIT_EXPECT_EQ(test, sg_dma_len(sgt->sgl), len);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
}

/* A region has a heap unless its name is taken or CMA did not activate it. */
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
		heap = dma_heap_find(name);
		KUNIT_EXPECT_EQ_MSG(test, !!heap, !!cma_get_size(cma),
				    "region %s of %lu bytes, heap %s",
				    cma_get_name(cma), cma_get_size(cma), name);
		dma_heap_put(heap);
	}
	if (!regions)
		kunit_skip(test, "this machine has no CMA region; try cma=64M");
}

static struct kunit_case cma_heap_cases[] = {
	KUNIT_CASE(cma_heap_killed),
	KUNIT_CASE(cma_heap_clear_killed),
	KUNIT_CASE(cma_heap_clear_fails),
	KUNIT_CASE(cma_heap_zeroed_large),
	KUNIT_CASE(cma_heap_large_table),
	KUNIT_CASE(cma_heap_aligned),
	KUNIT_CASE(cma_heap_zeroed),
	KUNIT_CASE(cma_heap_pinned),
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
