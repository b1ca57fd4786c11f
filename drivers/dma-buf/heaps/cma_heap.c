// SPDX-License-Identifier: GPL-2.0
/*
 * The CMA heaps: each buffer is one contiguous run of pages of a CMA region
 *
 * Copyright (C) 2012, 2019, 2020 Linaro Ltd.
 * Author: <benjamin.gaignard@linaro.org> for ST-Ericsson.
 *
 * Also utilizing parts of Andrew Davis' SRAM heap:
 * Copyright (C) 2019 Texas Instruments Incorporated - http://www.ti.com/
 *	Andrew F. Davis <afd@ti.com>
 */

#define pr_fmt(fmt) "cma_heap: " fmt

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/bitops.h>
#include <linux/cma.h>
#include <linux/container_of.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dma-uncached.h>
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sprintf.h>
#include <linux/string.h>

#include "cma_heap.h"

struct cma_heap {
	struct list_head node;
	struct dma_heap *heap;
	/* Old name of the default region's heap, or NULL */
	struct dma_heap *alias;
	struct cma *cma;
	/* the CPU maps buffers write-combined */
	bool uncached;
};

struct cma_heap_buffer {
	struct dma_heap_buffer base;
	struct page *pages;
};

#define CMA_HEAP_DEFAULT_NAME	"default_cma_region"
#define CMA_HEAP_UNCACHED	"-uncached"

/* All CMA heaps; only changed by the module's init and exit. */
static LIST_HEAD(cma_heaps);

/* The length of a scatterlist entry is an unsigned int. */
#define CMA_HEAP_MAX_CHUNK	ALIGN_DOWN(UINT_MAX, PAGE_SIZE)

VISIBLE_IF_KUNIT int cma_heap_alloc_table(struct page *page, size_t len, struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	/* DIV_ROUND_UP() would overflow a size_t of 32 bits. */
	ret = sg_alloc_table(table, (len - 1) / CMA_HEAP_MAX_CHUNK + 1, GFP_KERNEL);
	if (ret)
		return ret;

	for_each_sgtable_sg(table, sg, i) {
		unsigned int chunk = min(len, CMA_HEAP_MAX_CHUNK);

		sg_set_page(sg, page, chunk, 0);
		page += PFN_DOWN(chunk);
		len -= chunk;
	}

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(cma_heap_alloc_table);

/*
 * Clearing a large region takes seconds: reschedule, and stop when the caller
 * has been killed.
 */
VISIBLE_IF_KUNIT int cma_heap_clear_pages(struct page *page, unsigned long nr_pages)
{
	KUNIT_STATIC_STUB_REDIRECT(cma_heap_clear_pages, page, nr_pages);

	while (nr_pages) {
		unsigned int i, n = min(nr_pages, PROCESS_PAGES_NON_PREEMPT_BATCH);

		if (fatal_signal_pending(current))
			return -EINTR;

		if (PageHighMem(page)) {
			for (i = 0; i < n; i++)
				clear_highpage(page + i);
		} else {
			clear_pages(page_address(page), n);
		}

		page += n;
		nr_pages -= n;
		cond_resched();
	}

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(cma_heap_clear_pages);

static void cma_heap_free_pages(struct cma_heap *cma_heap, struct cma_heap_buffer *buffer)
{
	struct dma_heap_buffer *base = &buffer->base;
	struct scatterlist *sg;
	bool lost = false;
	unsigned int i;

	if (base->dma_attrs & DMA_ATTR_UNCACHED)
		dma_uncached_restore(&base->table);
	for_each_sgtable_sg(&base->table, sg, i)
		lost |= !sg_page(sg);

	/* If a page could not be restored, the whole buffer is lost. */
	if (!lost)
		cma_release(cma_heap->cma, buffer->pages, PFN_DOWN(base->len));
	sg_free_table(&base->table);
	kfree(buffer);
}

static void cma_heap_free_buffer(struct dma_heap_buffer *base)
{
	cma_heap_free_pages(dma_heap_get_drvdata(base->heap),
			    container_of(base, struct cma_heap_buffer, base));
}

static struct dma_buf *cma_heap_allocate(struct dma_heap *heap, unsigned long len,
					 u32 fd_flags, u64 heap_flags)
{
	struct cma_heap *cma_heap = dma_heap_get_drvdata(heap);
	unsigned int align = min(get_order(len), CONFIG_CMA_ALIGNMENT);
	struct cma_heap_buffer *buffer;
	struct dma_buf *dmabuf;
	int ret;

	buffer = kzalloc_obj(*buffer);
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	buffer->base.len = len;
	buffer->base.release = cma_heap_free_buffer;

	buffer->pages = cma_alloc(cma_heap->cma, PFN_DOWN(len), align, true);
	if (!buffer->pages) {
		/* cma_alloc() gives up when its caller is being killed. */
		ret = fatal_signal_pending(current) ? -EINTR : -ENOMEM;
		goto err_free_buffer;
	}

	ret = cma_heap_clear_pages(buffer->pages, PFN_DOWN(len));
	if (ret)
		goto err_release_pages;

	ret = cma_heap_alloc_table(buffer->pages, len, &buffer->base.table);
	if (ret)
		goto err_release_pages;

	if (cma_heap->uncached) {
		ret = dma_uncached_prepare(&buffer->base.table);
		if (ret) {
			cma_heap_free_pages(cma_heap, buffer);
			return ERR_PTR(ret);
		}
		buffer->base.dma_attrs = DMA_ATTR_UNCACHED;
	}

	dmabuf = dma_heap_buffer_export(heap, &buffer->base, fd_flags);
	if (IS_ERR(dmabuf))
		cma_heap_free_pages(cma_heap, buffer);

	return dmabuf;

err_release_pages:
	cma_release(cma_heap->cma, buffer->pages, PFN_DOWN(len));
err_free_buffer:
	kfree(buffer);

	return ERR_PTR(ret);
}

static void cma_heap_get_info(struct dma_heap *heap, struct dma_heap_info *info)
{
	struct cma_heap *cma_heap = dma_heap_get_drvdata(heap);
	const u64 end = (u64)cma_get_base(cma_heap->cma) + cma_get_size(cma_heap->cma);
	unsigned long free, largest;

	free = cma_get_free(cma_heap->cma, CONFIG_CMA_ALIGNMENT, &largest);
	info->free = (u64)free << PAGE_SHIFT;
	info->largest = (u64)largest << PAGE_SHIFT;
	info->address_bits = fls64(end - 1);
}

static void cma_heap_release(struct dma_heap *heap)
{
	kfree(dma_heap_get_drvdata(heap));
}

static const struct dma_heap_ops cma_heap_ops = {
	.allocate = cma_heap_allocate,
	.get_info = cma_heap_get_info,
	.release = cma_heap_release,
};

/* Names are ABI: do programs know another heap by this name? */
static bool cma_heap_name_taken(const char *name)
{
	static const char * const taken[] = {
		CMA_HEAP_DEFAULT_NAME, CMA_HEAP_DEFAULT_NAME CMA_HEAP_UNCACHED,
		"system", "system-uncached", "system-dma32", "system-uncached-dma32",
		"system_cc_shared",
	};

	return match_string(taken, ARRAY_SIZE(taken), name) >= 0 ||
	       str_has_prefix(name, "protected,");
}

/* The name for the heap of a region, or NULL if there must be none. */
VISIBLE_IF_KUNIT const char *cma_heap_name(const char *region, bool is_default)
{
	if (is_default)
		return CMA_HEAP_DEFAULT_NAME;

	return cma_heap_name_taken(region) ? NULL : region;
}
EXPORT_SYMBOL_IF_KUNIT(cma_heap_name);

/* The old name for the heap of the default region, or NULL. */
VISIBLE_IF_KUNIT const char *cma_heap_legacy_name(const char *region)
{
	/* CMA truncates names: one of the maximum length may be incomplete. */
	if (cma_heap_name_taken(region) || strlen(region) >= CMA_MAX_NAME - 1)
		return NULL;

	return region;
}
EXPORT_SYMBOL_IF_KUNIT(cma_heap_legacy_name);

/* Room for the name of a region and a suffix */
#define CMA_HEAP_NAME_SIZE	(CMA_MAX_NAME + sizeof(CMA_HEAP_UNCACHED))

static void __init cma_heap_full_name(char *full_name, const char *name, bool uncached)
{
	snprintf(full_name, CMA_HEAP_NAME_SIZE, "%s%s", name,
		 uncached ? CMA_HEAP_UNCACHED : "");
}

static int __init cma_heap_add(struct cma *cma, bool is_default, bool uncached)
{
	struct dma_heap_export_info exp_info = {
		.ops = &cma_heap_ops,
		.properties = DMA_HEAP_CONTIGUOUS | (uncached ? DMA_HEAP_WRITE_COMBINED : 0) |
			      (is_default ? 0 : DMA_HEAP_DEDICATED),
		.size = cma_get_size(cma),
	};
	const char *name = cma_heap_name(cma_get_name(cma), is_default);
	char full_name[CMA_HEAP_NAME_SIZE], dmem[CMA_HEAP_NAME_SIZE];
	struct cma_heap *cma_heap;
	int ret;

	if (!name)
		return -EEXIST;
	/* CMA could not activate the region. */
	if (!cma_get_size(cma))
		return -ENODEV;

	cma_heap = kzalloc_obj(*cma_heap);
	if (!cma_heap)
		return -ENOMEM;
	cma_heap->cma = cma;
	cma_heap->uncached = uncached;
	cma_heap_full_name(full_name, name, uncached);
	exp_info.name = full_name;
	/* The cached and the uncached heap allocate from the same memory. */
	snprintf(dmem, sizeof(dmem), "cma/%s", name);
	exp_info.dmem = dmem;
	exp_info.priv = cma_heap;

	cma_heap->heap = dma_heap_add(&exp_info);
	if (IS_ERR(cma_heap->heap)) {
		ret = PTR_ERR(cma_heap->heap);
		kfree(cma_heap);
		return ret;
	}
	list_add(&cma_heap->node, &cma_heaps);

	return 0;
}

/* Add the name that the heap of the default region had before Linux 6.17. */
static void __init cma_heap_add_legacy_name(struct cma *cma, bool uncached)
{
	const char *name = cma_heap_legacy_name(cma_get_name(cma));
	char full_name[CMA_HEAP_NAME_SIZE];
	struct cma_heap *cma_heap;
	struct dma_heap *alias;

	list_for_each_entry(cma_heap, &cma_heaps, node) {
		if (cma_heap->cma != cma || cma_heap->uncached != uncached)
			continue;
		if (!name) {
			if (!uncached && strcmp(cma_get_name(cma), CMA_HEAP_DEFAULT_NAME))
				pr_info("the default heap cannot have the name %s as well\n",
					cma_get_name(cma));
			continue;
		}
		cma_heap_full_name(full_name, name, uncached);
		alias = dma_heap_add_alias(cma_heap->heap, full_name);
		if (IS_ERR(alias))
			pr_info("cannot add %s as a name of %s: %pe\n", full_name,
				dma_heap_get_name(cma_heap->heap), alias);
		else
			cma_heap->alias = alias;
	}
}

static void __init cma_heap_add_all(struct cma *default_cma, bool uncached)
{
	const char *kind = uncached ? "an uncached heap" : "a heap";
	struct cma *cma;
	unsigned int i;
	int ret;

	if (default_cma) {
		ret = cma_heap_add(default_cma, true, uncached);
		if (ret)
			pr_warn("cannot add %s for the default region: %pe\n", kind, ERR_PTR(ret));
	}

	for (i = 0; (cma = dma_contiguous_get_area_by_idx(i)); i++) {
		if (cma == default_cma)
			continue;
		/* The first pass has logged why the region has no heap. */
		if (uncached && (!cma_heap_name(cma_get_name(cma), false) || !cma_get_size(cma)))
			continue;
		ret = cma_heap_add(cma, false, uncached);
		if (ret)
			pr_warn("cannot add %s for region %s: %pe\n", kind, cma_get_name(cma),
				ERR_PTR(ret));
	}

	/* Last, so that another region of that name keeps it. */
	if (IS_ENABLED(CONFIG_DMABUF_HEAPS_CMA_LEGACY) && default_cma)
		cma_heap_add_legacy_name(default_cma, uncached);
}

static int __init cma_heap_init(void)
{
	struct cma *default_cma = dev_get_cma_area(NULL);

	/* Cached heaps first, so that no uncached heap takes their names. */
	cma_heap_add_all(default_cma, false);
	if (IS_ENABLED(CONFIG_DMABUF_HEAPS_CMA_UNCACHED))
		cma_heap_add_all(default_cma, true);

	return 0;
}
module_init(cma_heap_init);

static void __exit cma_heap_exit(void)
{
	struct cma_heap *cma_heap, *next;

	/* The release operation may free the entry. */
	list_for_each_entry_safe(cma_heap, next, &cma_heaps, node) {
		if (cma_heap->alias)
			dma_heap_remove(cma_heap->alias);
		dma_heap_remove(cma_heap->heap);
	}
}
module_exit(cma_heap_exit);

MODULE_DESCRIPTION("DMA-BUF CMA Heap");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("DMA_UNCACHED");
