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
#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/cc_platform.h>
#include <linux/cpuset.h>
#include <linux/dma-heap.h>
#include <linux/dma-mapping.h>
#include <linux/dma-uncached.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "heap-pool.h"
#include "system_heap.h"

/* Do not reclaim for a large chunk: the next smaller size will do. */
#define LARGE_GFP ((GFP_USER | __GFP_ZERO | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY) & \
		   ~__GFP_RECLAIM)
/*
 * Reclaim, but do not invoke the OOM killer: one request may be for all of
 * memory. Do not warn: the caller gets an errno.
 */
#define MAYFAIL_GFP (__GFP_RETRY_MAYFAIL | __GFP_NOWARN)

struct system_heap {
	const char *name;
	struct dma_heap *heap;
	/* buffers are decrypted, to be shared with the host of this machine */
	bool cc_shared;
	/* the CPU maps buffers write-combined */
	bool uncached;
	/* buffers are below 4 GiB */
	bool dma32;
};

static struct system_heap system_heaps[] = {
	{ .name = "system" },
	{ .name = "system-uncached", .uncached = true },
	{ .name = "system-dma32", .dma32 = true },
	{ .name = "system-uncached-dma32", .uncached = true, .dma32 = true },
	{ .name = "system_cc_shared", .cc_shared = true },
};

VISIBLE_IF_KUNIT int system_heap_set_page_decrypted(struct page *page)
{
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(system_heap_set_page_decrypted, page);

	/* Not every architecture exports set_memory_decrypted(). */
	if (!IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED))
		return -EOPNOTSUPP;

	ret = set_memory_decrypted((unsigned long)page_address(page), compound_nr(page));
	if (ret)
		pr_warn_ratelimited("cannot decrypt %lu bytes, lost: %d\n", page_size(page), ret);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(system_heap_set_page_decrypted);

VISIBLE_IF_KUNIT int system_heap_set_page_encrypted(struct page *page)
{
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(system_heap_set_page_encrypted, page);

	if (!IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED))
		return -EOPNOTSUPP;

	ret = set_memory_encrypted((unsigned long)page_address(page), compound_nr(page));
	if (ret)
		pr_warn_ratelimited("cannot encrypt %lu bytes again, lost: %d\n",
				    page_size(page), ret);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(system_heap_set_page_encrypted);

static bool is_cc_shared(const struct dma_heap_buffer *buffer)
{
	return IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED) &&
	       (buffer->dma_attrs & DMA_ATTR_CC_SHARED);
}

/*
 * Decrypt all chunks of the table and clear them.
 *
 * On failure, the chunks before the one that failed are encrypted again and
 * freed. The one that failed is leaked, as its state is unknown. The chunks
 * after it are freed as they are: they were not decrypted, and a platform may
 * treat a second encryption of a page as an attack. The table is freed.
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
		/* Decryption can change the contents of the page. */
		memset(page_address(sg_page(sg)), 0, sg->length);
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

static unsigned int pool_kind(const struct system_heap *system)
{
	return (system->uncached ? HEAP_POOL_UNCACHED : 0) |
	       (system->dma32 ? HEAP_POOL_DMA32 : 0);
}

/* Leak a chunk that stays shared: nobody must use it as private memory. */
static void system_heap_encrypt_and_free(struct dma_heap_buffer *buffer)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(&buffer->table, sg, i) {
		if (!system_heap_set_page_encrypted(sg_page(sg)))
			__free_pages(sg_page(sg), compound_order(sg_page(sg)));
	}
}

static void system_heap_free(const struct system_heap *system, struct dma_heap_buffer *buffer)
{
	struct scatterlist *sg;
	LIST_HEAD(chunks);
	unsigned int i;

	if (is_cc_shared(buffer)) {
		system_heap_encrypt_and_free(buffer);
	} else {
		for_each_sgtable_sg(&buffer->table, sg, i)
			list_add_tail(&sg_page(sg)->lru, &chunks);
		heap_pool_put(pool_kind(system), &chunks);
	}
	sg_free_table(&buffer->table);
	kfree(buffer);
}

static void system_heap_release_buffer(struct dma_heap_buffer *buffer)
{
	system_heap_free(dma_heap_get_drvdata(buffer->heap), buffer);
}

/*
 * Chunks have sizes that CPUs or IOMMUs map with one entry, depending on the page
 * size and the architecture. More than 32 MiB take too long to clear at once.
 */
#ifdef CONFIG_MMU
#define PMD_CHUNK	(PMD_SIZE > SZ_2M && PMD_SIZE <= SZ_32M ? PMD_SIZE : 0)
#else
#define PMD_CHUNK	0
#endif

/*
 * &page.private of a chunk of the pool while a buffer is assembled. It is
 * already prepared if the heap is uncached. Fresh chunks have 0.
 */
#define PREPARED	1

/* Another task may take the chunk that the pool gives back. */
#define RECLAIM_TRIES	8

VISIBLE_IF_KUNIT struct page *system_heap_alloc_pages(gfp_t gfp, unsigned int order)
{
	KUNIT_STATIC_STUB_REDIRECT(system_heap_alloc_pages, gfp, order);

	return alloc_pages(gfp, order);
}
EXPORT_SYMBOL_IF_KUNIT(system_heap_alloc_pages);

/*
 * Get a chunk from the pool, or else from the page allocator. If that has none,
 * the pool gives back chunks of other kinds, orders or nodes.
 */
static struct page *system_heap_get_order(const struct system_heap *system, unsigned int order,
					  gfp_t gfp, bool pooled)
{
	struct page *page;
	unsigned int i;

	page = pooled ? heap_pool_get(pool_kind(system), order) : NULL;
	if (page) {
		set_page_private(page, PREPARED);
		return page;
	}

	gfp |= system->dma32 ? __GFP_DMA32 : __GFP_HIGHMEM;
	page = system_heap_alloc_pages(gfp, order);
	for (i = 0; i < RECLAIM_TRIES && !page && !fatal_signal_pending(current); i++) {
		if (!heap_pool_reclaim(gfp, order))
			break;
		page = system_heap_alloc_pages(gfp, order);
	}

	return page;
}

/* Get the largest chunk that is not larger than @size and @max_order. */
static struct page *system_heap_get_chunk(const struct system_heap *system, size_t size,
					  unsigned int max_order, bool pooled)
{
	const size_t sizes[] = { PMD_CHUNK, SZ_2M, SZ_1M, SZ_64K };
	unsigned int i, order;
	struct page *page;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (sizes[i] <= PAGE_SIZE || sizes[i] > size)
			continue;
		order = get_order(sizes[i]);
		if (order > max_order)
			continue;
		page = system_heap_get_order(system, order, LARGE_GFP, pooled);
		if (page)
			return page;
	}

	return system_heap_get_order(system, 0, GFP_USER | __GFP_ZERO | MAYFAIL_GFP, pooled);
}

/*
 * Prepare the @nr chunks that do not come from the pool. On failure, free them,
 * except those that cannot be restored and are lost.
 */
static int system_heap_prepare(struct list_head *chunks, unsigned int nr)
{
	struct page *page, *next;
	struct scatterlist *sg;
	struct sg_table table;
	LIST_HEAD(fresh);
	int ret;

	if (!nr)
		return 0;
	ret = -ENOMEM;
	if (sg_alloc_table(&table, nr, GFP_KERNEL | MAYFAIL_GFP | dma_heap_gfp_account()))
		goto err_free_fresh;

	sg = table.sgl;
	list_for_each_entry(page, chunks, lru) {
		if (page_private(page))
			continue;
		sg_set_page(sg, page, page_size(page), 0);
		sg = sg_next(sg);
	}
	ret = dma_uncached_prepare(&table);
	sg = table.sgl;
	list_for_each_entry_safe(page, next, chunks, lru) {
		if (page_private(page))
			continue;
		if (!ret)
			set_page_private(page, PREPARED);
		/* It could not be restored, so it is lost. */
		else if (!sg_page(sg))
			list_del(&page->lru);
		sg = sg_next(sg);
	}
	sg_free_table(&table);
	if (!ret)
		return 0;

err_free_fresh:
	list_for_each_entry_safe(page, next, chunks, lru) {
		if (!page_private(page))
			list_move(&page->lru, &fresh);
	}
	heap_pool_give_back(0, &fresh);

	return ret;
}

/* Get cleared chunks of @len bytes in all, and the table. */
static int system_heap_get_chunks(const struct system_heap *system, struct sg_table *table,
				  size_t len, bool pooled)
{
	unsigned int nents = 0, fresh = 0, max_order = MAX_PAGE_ORDER;
	struct page *page, *next;
	struct scatterlist *sg;
	LIST_HEAD(chunks);
	size_t left;
	int ret;

	for (left = len; left; left -= page_size(page)) {
		ret = -EINTR;
		if (fatal_signal_pending(current))
			goto err_unprepared;

		ret = -ENOMEM;
		page = system_heap_get_chunk(system, left, max_order, pooled);
		if (!page)
			goto err_unprepared;
		list_add_tail(&page->lru, &chunks);
		fresh += !page_private(page);
		/* ZONE_DMA replaces an empty ZONE_DMA32, at any address. */
		if (system->dma32 && (u64)page_to_phys(page) + page_size(page) > SZ_4G)
			goto err_unprepared;
		/* An order that just failed is not tried again. */
		max_order = compound_order(page);
		nents++;
	}

	if (system->uncached) {
		ret = system_heap_prepare(&chunks, fresh);
		if (ret)
			goto err_free_chunks;
	}
	/* -EINVAL where scatterlists cannot be chained: too many chunks */
	ret = -ENOMEM;
	if (sg_alloc_table(table, nents, GFP_KERNEL | MAYFAIL_GFP | dma_heap_gfp_account()))
		goto err_free_chunks;

	sg = table->sgl;
	list_for_each_entry_safe(page, next, &chunks, lru) {
		list_del(&page->lru);
		set_page_private(page, 0);
		sg_set_page(sg, page, page_size(page), 0);
		sg = sg_next(sg);
	}

	return 0;

err_unprepared:
	list_for_each_entry_safe(page, next, &chunks, lru) {
		if (page_private(page))
			continue;
		list_del(&page->lru);
		__free_pages(page, compound_order(page));
	}
err_free_chunks:
	heap_pool_give_back(pool_kind(system), &chunks);

	return ret;
}

VISIBLE_IF_KUNIT struct dma_buf *system_heap_alloc_buffer(struct dma_heap *heap, size_t len,
							  u32 fd_flags, bool cc_shared)
{
	struct system_heap *system = dma_heap_get_drvdata(heap);
	struct dma_heap_buffer *buffer;
	struct dma_buf *dmabuf;
	int ret;

	buffer = kzalloc_obj(*buffer, GFP_KERNEL | MAYFAIL_GFP | dma_heap_gfp_account());
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	buffer->len = len;
	buffer->dma_attrs = cc_shared && IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED) ?
			    DMA_ATTR_CC_SHARED : 0;
	buffer->release = system_heap_release_buffer;

	/* Decryption changes the contents: cleared chunks are wasted. */
	ret = system_heap_get_chunks(system, &buffer->table, len, !is_cc_shared(buffer));
	if (!ret && is_cc_shared(buffer))
		ret = system_heap_decrypt(&buffer->table);
	if (ret) {
		kfree(buffer);
		return ERR_PTR(ret);
	}

	dmabuf = dma_heap_buffer_export(heap, buffer, fd_flags);
	if (IS_ERR(dmabuf))
		system_heap_free(system, buffer);

	return dmabuf;
}
EXPORT_SYMBOL_IF_KUNIT(system_heap_alloc_buffer);

static struct dma_buf *system_heap_allocate(struct dma_heap *heap, unsigned long len,
					    u32 fd_flags, u64 heap_flags)
{
	struct system_heap *system = dma_heap_get_drvdata(heap);

	return system_heap_alloc_buffer(heap, len, fd_flags, system->cc_shared);
}

/*
 * Estimate the pages of a zone that buffers can have, like MemAvailable: free
 * pages, pages of the pool, and most of the page cache. Free pages of CMA
 * regions, the high watermark, and the lowmem_reserve against allocations from
 * @highest do not count. Some of the page cache may be in CMA regions.
 */
static unsigned long zone_available(struct zone *zone, enum zone_type highest)
{
	const unsigned long kept = high_wmark_pages(zone) +
				   READ_ONCE(zone->lowmem_reserve[highest]);
	unsigned long files, available;

	available = zone_page_state(zone, NR_FREE_PAGES);
	available -= min(available, zone_page_state(zone, NR_FREE_CMA_PAGES) + kept);
	files = zone_page_state(zone, NR_ZONE_ACTIVE_FILE) +
		zone_page_state(zone, NR_ZONE_INACTIVE_FILE);

	return available + files - min(files / 2, kept) + heap_pool_zone_pages(zone);
}

static void system_heap_get_info(struct dma_heap *heap, struct dma_heap_info *info)
{
	const struct system_heap *system = dma_heap_get_drvdata(heap);
	const enum zone_type highest = gfp_zone(system->dma32 ? __GFP_DMA32 : __GFP_HIGHMEM);
	unsigned long size = 0, available = 0, end = 0;
	nodemask_t allowed;
	struct zone *zone;
	int nid, i;

	/* Read without a lock: the result is an estimate. */
	allowed = cpuset_current_mems_allowed;
	for_each_online_node(nid) {
		if (!node_isset(nid, allowed))
			continue;
		/* highest is below ZONE_MOVABLE, as buffers are not movable */
		for (i = 0; i <= highest; i++) {
			zone = &NODE_DATA(nid)->node_zones[i];
			if (!managed_zone(zone))
				continue;
			if (system->dma32 && PFN_PHYS((u64)zone_end_pfn(zone)) > SZ_4G)
				continue;
			size += zone_managed_pages(zone) - zone_cma_pages(zone);
			available += zone_available(zone, highest);
			end = max(end, zone_end_pfn(zone));
		}
	}

	info->size = (u64)size << PAGE_SHIFT;
	info->free = (u64)min(available, size) << PAGE_SHIFT;
	info->largest = info->free;
	/* Devices may have to set an address bit for shared memory. */
	info->address_bits = end && !system->cc_shared ? fls64(PFN_PHYS((u64)end) - 1) : 0;
}

static const struct dma_heap_ops system_heap_ops = {
	.allocate = system_heap_allocate,
	.get_info = system_heap_get_info,
};

static bool __init system_heap_wanted(const struct system_heap *system)
{
	if (system->uncached && !IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_UNCACHED))
		return false;
	if (system->dma32 && !IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_DMA32))
		return false;
	if (system->cc_shared && (!IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED) ||
				  IS_ENABLED(CONFIG_HIGHMEM) ||
				  !cc_platform_has(CC_ATTR_MEM_ENCRYPT)))
		return false;

	return true;
}

static int __init system_heap_add(struct system_heap *system)
{
	struct dma_heap_export_info exp_info = {
		.name = system->name,
		.ops = &system_heap_ops,
		.priv = system,
		.properties = (system->uncached ? DMA_HEAP_WRITE_COMBINED : 0) |
			      (system->cc_shared ? DMA_HEAP_CC_SHARED : 0),
		.memory = true,
		.size = system->dma32 ? SZ_4G : 0,
	};
	struct dma_heap *heap = dma_heap_add(&exp_info);

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	system->heap = heap;

	return 0;
}

static int __init system_heap_init(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(system_heaps); i++) {
		if (!system_heap_wanted(&system_heaps[i]))
			continue;
		ret = system_heap_add(&system_heaps[i]);
		/* The system heap, which is the first, works without the others. */
		if (ret && !i)
			return ret;
		if (ret)
			pr_err("cannot add %s: %d\n", system_heaps[i].name, ret);
	}

	return 0;
}
module_init(system_heap_init);

static void __exit system_heap_exit(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(system_heaps); i++) {
		if (system_heaps[i].heap)
			dma_heap_remove(system_heaps[i].heap);
	}
	heap_pool_drain();
}
module_exit(system_heap_exit);

MODULE_DESCRIPTION("DMA-BUF System Heap");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("DMA_UNCACHED");
