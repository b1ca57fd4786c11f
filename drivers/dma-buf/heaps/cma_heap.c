// SPDX-License-Identifier: GPL-2.0
/*
 * The CMA heaps: one contiguous run of pages a buffer, from a region set aside
 *
 * Copyright (C) 2012, 2019, 2020 Linaro Ltd.
 * Author: <benjamin.gaignard@linaro.org> for ST-Ericsson.
 *
 * Also utilizing parts of Andrew Davis' SRAM heap:
 * Copyright (C) 2019 Texas Instruments Incorporated - http://www.ti.com/
 *	Andrew F. Davis <afd@ti.com>
 */

#define pr_fmt(fmt) "cma_heap: " fmt

#include <kunit/visibility.h>
#include <linux/cma.h>
#include <linux/container_of.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
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
#include "heap-uncached.h"

struct cma_heap {
	struct list_head node;
	struct dma_heap *heap;
	/* its old name, if it has one */
	struct dma_heap *alias;
	struct cma *cma;
};

struct cma_heap_buffer {
	struct dma_heap_buffer base;
	struct page *pages;
};

#define CMA_HEAP_DEFAULT_NAME	"default_cma_region"

/* All of them, for the end; changed by the module's init and exit alone. */
static LIST_HEAD(cma_heaps);

/*
 * A scatterlist entry counts its bytes in an unsigned int. The next one is to
 * begin where a PMD can.
 */
#define CMA_HEAP_MAX_CHUNK	ALIGN_DOWN(UINT_MAX, PMD_SIZE)

static int cma_heap_describe(struct page *page, size_t len, struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	/* DIV_ROUND_UP() would wrap where a size_t has 32 bits */
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

/*
 * Clearing a large region takes seconds: let others run, and stop when the
 * caller has been killed and nobody will read the pages.
 */
VISIBLE_IF_KUNIT int cma_heap_clear_pages(struct page *page, unsigned long nr_pages)
{
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

static bool is_uncached(const struct dma_heap_buffer *buffer)
{
	return IS_ENABLED(CONFIG_DMABUF_HEAPS_CMA_UNCACHED) &&
	       (buffer->dma_attrs & DMA_ATTR_UNCACHED);
}

static void cma_heap_free_pages(struct cma_heap *cma_heap, struct cma_heap_buffer *buffer)
{
	struct dma_heap_buffer *base = &buffer->base;

	/* lost to the region if they stay uncached */
	if (!is_uncached(base) || !heap_make_cached(&base->table))
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
		/* cma_alloc() gives up when its caller is being killed */
		ret = fatal_signal_pending(current) ? -EINTR : -ENOMEM;
		goto err_free_buffer;
	}

	ret = cma_heap_clear_pages(buffer->pages, PFN_DOWN(len));
	if (ret)
		goto err_release_pages;

	ret = cma_heap_describe(buffer->pages, len, &buffer->base.table);
	if (ret)
		goto err_release_pages;

	if (dma_heap_properties(heap) & DMA_HEAP_WRITE_COMBINED)
		buffer->base.dma_attrs = DMA_ATTR_UNCACHED;
	if (is_uncached(&buffer->base))
		ret = heap_make_uncached(&buffer->base.table);
	dmabuf = ret ? ERR_PTR(ret) : dma_heap_buffer_export(heap, &buffer->base, fd_flags);
	if (IS_ERR(dmabuf))
		cma_heap_free_pages(cma_heap, buffer);

	return dmabuf;

err_release_pages:
	cma_release(cma_heap->cma, buffer->pages, PFN_DOWN(len));
err_free_buffer:
	kfree(buffer);

	return ERR_PTR(ret);
}

static void cma_heap_release(struct dma_heap *heap)
{
	kfree(dma_heap_get_drvdata(heap));
}

static const struct dma_heap_ops cma_heap_ops = {
	.allocate = cma_heap_allocate,
	.release = cma_heap_release,
};

/*
 * Names are ABI.  That of the default region's heap does not depend on what made
 * the region.  Before v6.17 it did: it was the region's own name, "reserved" or
 * that of a device tree node.  With CONFIG_DMABUF_HEAPS_CMA_LEGACY the heap has
 * that name as well, @n being which of the names is asked for.
 *
 * Every other region has one heap, of the region's name, which is the full name
 * of its node.  It cannot be one that programs know as another heap's.
 *
 * Where there is an uncached heap as well, HEAP_UNCACHED_SUFFIX follows each of
 * the names.
 *
 * Returns NULL when there is no such name, and an error pointer for a name that
 * a region cannot have.
 */
VISIBLE_IF_KUNIT const char *cma_heap_name(const char *region, bool is_default,
					   bool legacy, unsigned int n)
{
	static const char * const taken[] = {
		CMA_HEAP_DEFAULT_NAME, CMA_HEAP_DEFAULT_NAME HEAP_UNCACHED_SUFFIX,
		"system", "system" HEAP_UNCACHED_SUFFIX, "system_cc_shared",
	};
	bool is_taken = match_string(taken, ARRAY_SIZE(taken), region) >= 0;

	if (is_default && n == 0)
		return CMA_HEAP_DEFAULT_NAME;
	if (is_default)
		return legacy && n == 1 && !is_taken ? region : NULL;
	if (n > 0)
		return NULL;

	return is_taken ? ERR_PTR(-EEXIST) : region;
}
EXPORT_SYMBOL_IF_KUNIT(cma_heap_name);

/* a region's name, with its end, and what may follow */
#define CMA_HEAP_NAME_SIZE	(CMA_MAX_NAME + sizeof(HEAP_UNCACHED_SUFFIX))

static void __init cma_heap_full_name(char *full_name, const char *name, bool uncached)
{
	snprintf(full_name, CMA_HEAP_NAME_SIZE, "%s%s", name,
		 uncached ? HEAP_UNCACHED_SUFFIX : "");
}

static int __init cma_heap_add(struct cma *cma, bool is_default, bool uncached)
{
	struct dma_heap_export_info exp_info = {
		.ops = &cma_heap_ops,
		.properties = DMA_HEAP_CONTIGUOUS | (uncached ? DMA_HEAP_WRITE_COMBINED : 0),
	};
	const char *name = cma_heap_name(cma_get_name(cma), is_default, false, 0);
	char full_name[CMA_HEAP_NAME_SIZE];
	struct cma_heap *cma_heap;
	int ret;

	if (IS_ERR(name))
		return PTR_ERR(name);
	/* what CMA could not make usable has no size left */
	if (!cma_get_size(cma))
		return -ENODEV;

	cma_heap = kzalloc_obj(*cma_heap);
	if (!cma_heap)
		return -ENOMEM;
	cma_heap->cma = cma;
	cma_heap_full_name(full_name, name, uncached);
	exp_info.name = full_name;
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

/* The name that the heap of the default region had, where nobody else has it. */
static void __init cma_heap_add_old_name(struct cma *cma, bool uncached)
{
	const char *name = cma_heap_name(cma_get_name(cma), true,
					 IS_ENABLED(CONFIG_DMABUF_HEAPS_CMA_LEGACY), 1);
	char full_name[CMA_HEAP_NAME_SIZE];
	struct cma_heap *cma_heap;
	struct dma_heap *alias;

	if (!name)
		return;
	cma_heap_full_name(full_name, name, uncached);

	list_for_each_entry(cma_heap, &cma_heaps, node) {
		u32 properties = dma_heap_properties(cma_heap->heap);

		if (cma_heap->cma != cma || !!(properties & DMA_HEAP_WRITE_COMBINED) != uncached)
			continue;
		alias = dma_heap_add_alias(cma_heap->heap, full_name);
		if (IS_ERR(alias))
			pr_err("%s is not there as %s: %pe\n",
			       dma_heap_get_name(cma_heap->heap), full_name, alias);
		else
			cma_heap->alias = alias;
	}
}

/* A heap for each region. A region's own name comes before the old one of another. */
static void __init cma_heap_add_all(struct cma *default_cma, bool uncached)
{
	const char *kind = uncached ? "uncached heap" : "heap";
	struct cma *cma;
	unsigned int i;
	int ret;

	if (default_cma) {
		ret = cma_heap_add(default_cma, true, uncached);
		if (ret)
			pr_err("no %s for the default region: %pe\n", kind, ERR_PTR(ret));
	}

	for (i = 0; (cma = dma_contiguous_get_area_by_idx(i)); i++) {
		if (cma == default_cma)
			continue;
		ret = cma_heap_add(cma, false, uncached);
		if (ret)
			pr_err("no %s for region %s: %pe\n", kind, cma_get_name(cma),
			       ERR_PTR(ret));
	}

	if (default_cma)
		cma_heap_add_old_name(default_cma, uncached);
}

static int __init cma_heap_init(void)
{
	struct cma *default_cma = dev_get_cma_area(NULL);

	/* an uncached heap does not take the name from one that is not */
	cma_heap_add_all(default_cma, false);
	if (IS_ENABLED(CONFIG_DMABUF_HEAPS_CMA_UNCACHED))
		cma_heap_add_all(default_cma, true);

	return 0;
}
module_init(cma_heap_init);

static void __exit cma_heap_exit(void)
{
	struct cma_heap *cma_heap, *next;

	/* the release operation frees what the list is made of */
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
