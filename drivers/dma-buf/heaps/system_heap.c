// SPDX-License-Identifier: GPL-2.0
/*
 * The system heap: pages of the page allocator, the largest first
 *
 * Copyright (C) 2011 Google, Inc.
 * Copyright (C) 2019, 2020 Linaro Ltd.
 *
 * Portions based off of Andrew Davis' SRAM heap:
 * Copyright (C) 2019 Texas Instruments Incorporated - http://www.ti.com/
 *	Andrew F. Davis <afd@ti.com>
 */

#define pr_fmt(fmt) "system_heap: " fmt

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cc_platform.h>
#include <linux/dma-heap.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/set_memory.h>
#include <linux/slab.h>

#include "heap-uncached.h"
#include "system_heap.h"

/*
 * What chunks are tried, as orders of pages, which are those that something maps
 * with one entry: with pages of 4 KiB, 2 MiB are an entry of most CPUs' and
 * IOMMUs' tables, and 1 MiB and 64 KiB are entries of some. What is larger would
 * shorten the scatterlist and nothing else.
 */
static const unsigned int orders[] = { 9, 8, 4, 0 };

/* Do not look far for a large chunk: there is always a smaller one. */
#define LARGE_GFP ((GFP_HIGHUSER | __GFP_ZERO | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY) & \
		   ~__GFP_RECLAIM)
/*
 * Reclaim as long as it gets anywhere, then fail. One request may be for all
 * of memory: it must not have other tasks killed for it, nor fill the log.
 */
#define MAYFAIL_GFP (__GFP_RETRY_MAYFAIL | __GFP_NOWARN)

struct system_heap {
	struct dma_heap *heap;
	/* buffers are decrypted, to be shared with the host of this machine */
	bool cc_shared;
};

static struct system_heap system_heap, system_heap_uncached,
			  system_heap_cc_shared = { .cc_shared = true };

VISIBLE_IF_KUNIT int system_heap_set_page_decrypted(struct page *page)
{
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(system_heap_set_page_decrypted, page);

	ret = set_memory_decrypted((unsigned long)page_address(page), compound_nr(page));
	if (ret)
		pr_warn_ratelimited("cannot decrypt %zu bytes: %d\n", page_size(page), ret);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(system_heap_set_page_decrypted);

VISIBLE_IF_KUNIT int system_heap_set_page_encrypted(struct page *page)
{
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(system_heap_set_page_encrypted, page);

	ret = set_memory_encrypted((unsigned long)page_address(page), compound_nr(page));
	if (ret)
		pr_warn_ratelimited("cannot encrypt %zu bytes again, lost: %d\n",
				    page_size(page), ret);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(system_heap_set_page_encrypted);

static bool is_cc_shared(const struct dma_heap_buffer *buffer)
{
	return IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED) &&
	       (buffer->dma_attrs & DMA_ATTR_CC_SHARED);
}

static bool is_uncached(const struct dma_heap_buffer *buffer)
{
	return IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_UNCACHED) &&
	       (buffer->dma_attrs & DMA_ATTR_UNCACHED);
}

/*
 * Make every chunk shared, and zero: what a page reads as after it was decrypted
 * is up to the platform. On failure, none is left that is shared and in use.
 * Those that were decrypted are encrypted again. The one that failed is lost, as
 * nobody knows how far it got. The rest was never touched and must not be
 * encrypted, which a platform may treat as an attack. The buffer has no chunks
 * then.
 */
static int system_heap_decrypt(struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned int done;
	int i, ret = 0;

	for_each_sgtable_sg(table, sg, i) {
		ret = system_heap_set_page_decrypted(sg_page(sg));
		if (ret)
			break;
		clear_pages(page_address(sg_page(sg)), PFN_DOWN(sg->length));
		cond_resched();
	}
	if (!ret)
		return 0;

	done = i;
	for_each_sgtable_sg(table, sg, i) {
		struct page *page = sg_page(sg);

		if (i < done && system_heap_set_page_encrypted(page))
			continue;
		if (i != done)
			__free_pages(page, compound_order(page));
	}
	sg_free_table(table);

	return ret;
}

static void system_heap_free_buffer(struct dma_heap_buffer *buffer)
{
	struct scatterlist *sg;
	unsigned int i;

	if (is_uncached(buffer))
		heap_make_cached(&buffer->table);

	for_each_sgtable_sg(&buffer->table, sg, i) {
		struct page *page = sg_page(sg);

		/* lost, as it stays uncached */
		if (!page)
			continue;
		/* lost rather than used as if they were private */
		if (is_cc_shared(buffer) && system_heap_set_page_encrypted(page))
			continue;
		__free_pages(page, compound_order(page));
	}
	sg_free_table(&buffer->table);
	kfree(buffer);
}

/* The largest chunk of at most that many bytes and that order. */
static struct page *system_heap_get_chunk(size_t size, unsigned int max_order)
{
	gfp_t account = dma_heap_mem_accounting ? __GFP_ACCOUNT : 0;
	struct page *page;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(orders) - 1; i++) {
		if (orders[i] > max_order || PAGE_SIZE << orders[i] > size)
			continue;
		page = alloc_pages(LARGE_GFP | account, orders[i]);
		if (page)
			return page;
	}

	return alloc_page(GFP_HIGHUSER | __GFP_ZERO | MAYFAIL_GFP | account);
}

/* Fill the table with zeroed chunks of @len bytes in all. */
static int system_heap_get_chunks(struct sg_table *table, size_t len)
{
	unsigned int nents = 0, max_order = orders[0];
	struct page *page, *next;
	struct scatterlist *sg;
	LIST_HEAD(pages);
	size_t left;
	int ret;

	for (left = len; left; left -= page_size(page)) {
		ret = -EINTR;
		if (fatal_signal_pending(current))
			goto err_free_pages;

		ret = -ENOMEM;
		page = system_heap_get_chunk(left, max_order);
		if (!page)
			goto err_free_pages;
		list_add_tail(&page->lru, &pages);
		/* what could not be had a moment ago is not tried again */
		max_order = compound_order(page);
		nents++;
	}

	ret = sg_alloc_table(table, nents, GFP_KERNEL | MAYFAIL_GFP);
	if (ret)
		goto err_free_pages;

	sg = table->sgl;
	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		sg_set_page(sg, page, page_size(page), 0);
		sg = sg_next(sg);
	}

	return 0;

err_free_pages:
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_pages(page, compound_order(page));

	return ret;
}

VISIBLE_IF_KUNIT struct dma_buf *system_heap_alloc_buffer(struct dma_heap *heap, size_t len,
							  u32 fd_flags, bool cc_shared)
{
	struct dma_heap_buffer *buffer;
	struct dma_buf *dmabuf;
	int ret;

	/* What the machine does not have, no reclaim will find. */
	if (PFN_DOWN(len) > totalram_pages())
		return ERR_PTR(-ENOMEM);

	buffer = kzalloc_obj(*buffer);
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	buffer->len = len;
	buffer->dma_attrs = cc_shared && IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED) ?
			    DMA_ATTR_CC_SHARED : 0;
	if (dma_heap_properties(heap) & DMA_HEAP_WRITE_COMBINED)
		buffer->dma_attrs |= DMA_ATTR_UNCACHED;
	buffer->release = system_heap_free_buffer;

	ret = system_heap_get_chunks(&buffer->table, len);
	if (!ret && is_cc_shared(buffer))
		ret = system_heap_decrypt(&buffer->table);
	if (ret) {
		kfree(buffer);
		return ERR_PTR(ret);
	}

	if (is_uncached(buffer))
		ret = heap_make_uncached(&buffer->table);
	if (ret) {
		system_heap_free_buffer(buffer);
		return ERR_PTR(ret);
	}

	dmabuf = dma_heap_buffer_export(heap, buffer, fd_flags);
	if (IS_ERR(dmabuf))
		system_heap_free_buffer(buffer);

	return dmabuf;
}
EXPORT_SYMBOL_IF_KUNIT(system_heap_alloc_buffer);

static struct dma_buf *system_heap_allocate(struct dma_heap *heap, unsigned long len,
					    u32 fd_flags, u64 heap_flags)
{
	struct system_heap *system = dma_heap_get_drvdata(heap);

	return system_heap_alloc_buffer(heap, len, fd_flags, system->cc_shared);
}

static const struct dma_heap_ops system_heap_ops = {
	.allocate = system_heap_allocate,
};

static int __init system_heap_add(struct system_heap *system, const char *name, u32 properties)
{
	struct dma_heap_export_info exp_info = {
		.name = name,
		.ops = &system_heap_ops,
		.priv = system,
		.properties = properties,
	};
	struct dma_heap *heap = dma_heap_add(&exp_info);

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	system->heap = heap;

	return 0;
}

static int __init system_heap_init(void)
{
	int ret;

	ret = system_heap_add(&system_heap, "system", 0);
	if (ret)
		return ret;

	if (IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_UNCACHED)) {
		ret = system_heap_add(&system_heap_uncached, "system" HEAP_UNCACHED_SUFFIX,
				      DMA_HEAP_WRITE_COMBINED);
		/* no reason to do without the other one */
		if (ret)
			pr_err("no system" HEAP_UNCACHED_SUFFIX ": %d\n", ret);
	}

	if (IS_ENABLED(CONFIG_HIGHMEM) || !IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED) ||
	    !cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		return 0;

	ret = system_heap_add(&system_heap_cc_shared, "system_cc_shared", 0);
	if (ret)
		pr_err("no system_cc_shared: %d\n", ret);

	return 0;
}
module_init(system_heap_init);

static void __exit system_heap_exit(void)
{
	if (system_heap_cc_shared.heap)
		dma_heap_remove(system_heap_cc_shared.heap);
	dma_heap_remove(system_heap.heap);
}
module_exit(system_heap_exit);

MODULE_DESCRIPTION("DMA-BUF System Heap");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
