// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that the CPU accesses write-combined, for heaps of such buffers
 */

#define pr_fmt(fmt) "dma_heap: " fmt

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/dma-map-ops.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/printk.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>

#include "heap-uncached.h"

/**
 * DOC: uncached heaps
 *
 * A buffer of a heap that is called something-uncached is write-combined: the
 * CPU does not cache what it reads or writes there. Its pages have another
 * mapping, the kernel's linear one, and what an architecture makes of two
 * mappings with different attributes decides whether it can have such heaps.
 *
 * - x86 allows no such two. The linear mapping is made write-combined before
 *   the buffer is handed out and write-back again before its pages are. A page
 *   for which the latter fails never gets to anybody else. A mapping of
 *   userspace cannot differ, as x86 tracks the type of each page of memory.
 *   Large pages of the linear mapping that were split stay so.
 * - arm64 allows them, if nobody writes through the cached one and no line is
 *   dirty: an access that is not cached does not look into the caches then.
 *   Caches are written back before the buffer is handed out, and the kernel
 *   does not touch its pages any more. That is how the DMA API makes coherent
 *   memory for devices that do not snoop.
 *
 * No other architecture has such heaps, until somebody shows that it can. A
 * machine with high memory cannot: its pages may be mapped elsewhere, and have
 * no linear mapping to change. Caches that are indexed by virtual address are
 * ruled out by the choice of architectures.
 */

/* At most so many bytes at a time, as others want to run. */
#define MAX_RANGE	SZ_64M

#ifdef CONFIG_X86
/*
 * Each change makes all CPUs flush their TLBs. That is worth it for a chunk of
 * so many pages, which is changed as a range: where it covers large pages of the
 * linear mapping, they stay large. Other chunks wait until there are so many
 * pages of them.
 */
#define BATCH_PAGES	64

VISIBLE_IF_KUNIT int heap_change_range(struct page *page, unsigned int nr, bool uncached)
{
	unsigned long addr = (unsigned long)page_address(page);

	KUNIT_STATIC_STUB_REDIRECT(heap_change_range, page, nr, uncached);

	return uncached ? set_memory_wc(addr, nr) : set_memory_wb(addr, nr);
}

VISIBLE_IF_KUNIT int heap_change_pages(struct page **pages, unsigned int nr, bool uncached)
{
	KUNIT_STATIC_STUB_REDIRECT(heap_change_pages, pages, nr, uncached);

	return uncached ? set_pages_array_wc(pages, nr) : set_pages_array_wb(pages, nr);
}

static int change_chunk(struct page *page, unsigned int nr, bool uncached)
{
	unsigned int n;
	int ret;

	for (; nr; page += n, nr -= n) {
		n = min(nr, PFN_DOWN(MAX_RANGE));
		if (uncached && fatal_signal_pending(current))
			return -EINTR;
		ret = heap_change_range(page, n, uncached);
		if (ret)
			return ret;
		cond_resched();
	}

	return 0;
}

static int change_batch(struct page **pages, unsigned int nr, bool uncached)
{
	if (uncached && fatal_signal_pending(current))
		return -EINTR;
	cond_resched();

	return heap_change_pages(pages, nr, uncached);
}

/* Stops at the first failure, after which some pages are changed. */
static int change_table(const struct sg_table *table, bool uncached)
{
	struct page *pages[BATCH_PAGES];
	struct scatterlist *sg;
	unsigned int i, j, n = 0;
	int ret;

	for_each_sgtable_sg(table, sg, i) {
		if (PFN_DOWN(sg->length) >= BATCH_PAGES) {
			ret = change_chunk(sg_page(sg), PFN_DOWN(sg->length), uncached);
			if (ret)
				return ret;
			continue;
		}
		for (j = 0; j < PFN_DOWN(sg->length); j++) {
			pages[n++] = sg_page(sg) + j;
			if (n < BATCH_PAGES)
				continue;
			ret = change_batch(pages, n, uncached);
			if (ret)
				return ret;
			n = 0;
		}
	}

	return n ? change_batch(pages, n, uncached) : 0;
}

static int make_uncached(const struct sg_table *table)
{
	return change_table(table, true);
}

static int make_cached(struct sg_table *table)
{
	struct scatterlist *sg;
	size_t lost = 0;
	unsigned int i;

	if (!change_table(table, false))
		return 0;

	/* something failed, and something else was not tried: one by one */
	for_each_sgtable_sg(table, sg, i) {
		if (!change_chunk(sg_page(sg), PFN_DOWN(sg->length), false))
			continue;
		lost += sg->length;
		sg_assign_page(sg, NULL);
	}
	if (!lost)
		return 0;
	pr_err_ratelimited("%zu bytes cannot be made cached again, lost\n", lost);

	return -ENOMEM;
}
#elif defined(CONFIG_ARM64)
VISIBLE_IF_KUNIT void heap_clean_range(struct page *page, unsigned int nr)
{
	KUNIT_STATIC_STUB_REDIRECT(heap_clean_range, page, nr);

	arch_dma_prep_coherent(page, (size_t)nr * PAGE_SIZE);
}

static int make_uncached(const struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned int i, n, nr;
	struct page *page;

	for_each_sgtable_sg(table, sg, i) {
		page = sg_page(sg);
		for (nr = PFN_DOWN(sg->length); nr; page += n, nr -= n) {
			n = min(nr, PFN_DOWN(MAX_RANGE));
			if (fatal_signal_pending(current))
				return -EINTR;
			heap_clean_range(page, n);
			cond_resched();
		}
	}

	return 0;
}

static int make_cached(struct sg_table *table)
{
	return 0;
}
#endif

/**
 * heap_make_uncached() - prepare chunks for write-combined mappings
 * @table: the chunks; zeroed, and nobody has them mapped
 *
 * From now on until heap_make_cached(), they must be accessed through
 * write-combined mappings alone.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINTR when the task is being killed, or -ENOMEM when page tables
 * cannot be changed. After a failure call heap_make_cached(), as some chunks may
 * be prepared.
 */
int heap_make_uncached(const struct sg_table *table)
{
	int ret = make_uncached(table);

	/* set_pages_array_wc() calls everything -EINVAL, which it is not here */
	return ret && ret != -EINTR ? -ENOMEM : ret;
}

/**
 * heap_make_cached() - undo what heap_make_uncached() did
 * @table: the chunks; nobody has them mapped any more
 *
 * A chunk for which it fails must not be freed, as whoever gets it would have it
 * uncached. It is lost, and its entry in the table has no page any more.
 *
 * Context: Process context. May sleep.
 * Return: 0, or -ENOMEM when a chunk is lost.
 */
int heap_make_cached(struct sg_table *table)
{
	return make_cached(table);
}
