// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the page pool: what it keeps, what it gives out, and its bounds
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/cpumask.h>
#include <linux/cpuset.h>
#include <linux/delay.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-uncached.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mempolicy.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/set_memory.h>
#include <linux/shrinker.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/suspend.h>
#include <linux/topology.h>
#include <linux/vmstat.h>

#include "../../dma-heap-private.h"
#include "../heap-pool.h"
#include "../system_heap.h"
#include "heap_kunit_helpers.h"

#define ORDER	4

static bool can_be_uncached(void)
{
	return IS_ENABLED(CONFIG_DMA_UNCACHED);
}

/*
 * Allocate a chunk like a heap: in a zone of its kind, and prepared if it is
 * uncached.  Fill it with data.
 */
static struct page *new_chunk(struct kunit *test, unsigned int kind, unsigned int order)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP |
					(kind & HEAP_POOL_DMA32 ? GFP_DMA32 : 0), order);
	struct scatterlist sg;
	struct sg_table table = { .sgl = &sg, .nents = 1, .orig_nents = 1 };

	KUNIT_ASSERT_NOT_NULL(test, page);
	if (kind & HEAP_POOL_UNCACHED) {
		sg_init_table(&sg, 1);
		sg_set_page(&sg, page, page_size(page), 0);
		KUNIT_ASSERT_EQ(test, dma_uncached_prepare(&table), 0);
	}
	memset(page_address(page), 0xa5, page_size(page));

	return page;
}

static void put_chunk(unsigned int kind, struct page *page)
{
	LIST_HEAD(chunks);

	list_add(&page->lru, &chunks);
	heap_pool_put(kind, &chunks);
}

static void give_back(unsigned int kind, struct page *page)
{
	LIST_HEAD(chunks);

	list_add(&page->lru, &chunks);
	heap_pool_give_back(kind, &chunks);
}

static unsigned long dirty(unsigned int kind, unsigned int order)
{
	return heap_pool_kunit_chunks(kind, order, false);
}

static unsigned long clean(unsigned int kind, unsigned int order)
{
	return heap_pool_kunit_chunks(kind, order, true);
}

static bool is_zero(struct page *page)
{
	return !memchr_inv(page_address(page), 0, page_size(page));
}

static void pool_desc(const unsigned int *kind, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s%s",
		 *kind & HEAP_POOL_UNCACHED ? "uncached" : "cached",
		 *kind & HEAP_POOL_DMA32 ? ", dma32" : "");
}

static const unsigned int pool_kinds[] = {
	0, HEAP_POOL_UNCACHED, HEAP_POOL_DMA32, HEAP_POOL_UNCACHED | HEAP_POOL_DMA32,
};

KUNIT_ARRAY_PARAM(pool, pool_kinds, pool_desc);

/* The kind under test; skip if this kernel does not have it. */
static unsigned int pool_kind(struct kunit *test)
{
	const unsigned int kind = *(const unsigned int *)test->param_value;

	if ((kind & HEAP_POOL_UNCACHED) && !can_be_uncached())
		kunit_skip(test, "this kernel has no uncached memory");

	return kind;
}

/*
 * A chunk comes back cleared, by the work item or by heap_pool_get(), and only
 * for a request of its kind and order.
 */
static void pool_cleared(struct kunit *test)
{
	const unsigned int orders[] = { 0, ORDER, min(9, MAX_PAGE_ORDER - 1) };
	const unsigned int kind = pool_kind(test);
	unsigned int i, other, order;
	struct page *page;
	int by_work;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		order = orders[i];
		for (by_work = 0; by_work < 2; by_work++) {
			page = new_chunk(test, kind, order);
			put_chunk(kind, page);
			KUNIT_ASSERT_EQ(test, dirty(kind, order), 1);
			if (by_work) {
				heap_pool_kunit_resume();
				heap_pool_kunit_pause();
				KUNIT_ASSERT_EQ(test, dirty(kind, order), 0);
				KUNIT_ASSERT_EQ(test, clean(kind, order), 1);
				/* before heap_pool_get() could clear it */
				KUNIT_EXPECT_TRUE(test, is_zero(page));
			}
			for (other = 0; other < HEAP_POOL_KINDS; other++) {
				if (other != kind)
					KUNIT_EXPECT_NULL(test, heap_pool_get(other, order));
			}
			KUNIT_EXPECT_NULL(test, heap_pool_get(kind, order + 1));
			KUNIT_EXPECT_NULL(test, heap_pool_get(kind, order ? order - 1 : 3));

			KUNIT_ASSERT_PTR_EQ(test, heap_pool_get(kind, order), page);
			KUNIT_EXPECT_TRUE(test, is_zero(page));
			KUNIT_EXPECT_EQ(test, page_private(page), 0);
			KUNIT_EXPECT_EQ(test, page_count(page), 1);
			KUNIT_EXPECT_NULL(test, heap_pool_get(kind, order));
			give_back(kind, page);
		}
	}
}

/* A clean chunk is preferred to a dirty one. */
static void pool_clean_first(struct kunit *test)
{
	struct page *first = new_chunk(test, 0, ORDER), *second = new_chunk(test, 0, ORDER);

	put_chunk(0, first);
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	put_chunk(0, second);
	KUNIT_EXPECT_EQ(test, clean(0, ORDER), 1);
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 1);
	KUNIT_EXPECT_PTR_EQ(test, heap_pool_get(0, ORDER), first);
	KUNIT_EXPECT_PTR_EQ(test, heap_pool_get(0, ORDER), second);
	give_back(0, first);
	give_back(0, second);
}

/* Put @nr chunks into the pool; false if there is not enough memory. */
static bool put_many(gfp_t gfp, unsigned long nr, struct zone **zone)
{
	struct page *page, *next;
	LIST_HEAD(chunks);
	unsigned long i;

	for (i = 0; i < nr; i++) {
		page = alloc_pages_node(numa_mem_id(), gfp | __GFP_COMP | __GFP_THISNODE |
					__GFP_NOWARN | __GFP_NORETRY, ORDER);
		if (!page)
			break;
		*zone = page_zone(page);
		list_add(&page->lru, &chunks);
	}
	if (i == nr) {
		heap_pool_put(0, &chunks);
		return list_empty(&chunks);
	}
	list_for_each_entry_safe(page, next, &chunks, lru)
		__free_pages(page, ORDER);

	return false;
}

/* The limits are a share of a node, and half of that for dirty chunks. */
static void pool_bounded(struct kunit *test)
{
	const unsigned long max = mult_frac(node_present_pages(numa_mem_id()), 1, 100);
	const unsigned long nr = (max >> ORDER) + 2;
	struct zone *zone;

	heap_pool_kunit_set_percent(1);
	if (!put_many(GFP_KERNEL, nr, &zone))
		kunit_skip(test, "not enough memory");
	if (mult_frac(zone_managed_pages(zone), 2, 100) < max + max / 4)
		kunit_skip(test, "the zone has the lower limit");
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), max / 2 >> ORDER);
	KUNIT_EXPECT_EQ(test, clean(0, ORDER), 0);

	/* clean chunks leave room for dirty ones, up to the common limit */
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	KUNIT_EXPECT_EQ(test, clean(0, ORDER), max / 2 >> ORDER);
	KUNIT_EXPECT_TRUE(test, put_many(GFP_KERNEL, nr, &zone));
	KUNIT_EXPECT_EQ(test, clean(0, ORDER), max / 2 >> ORDER);
	KUNIT_EXPECT_LE(test, clean(0, ORDER) + dirty(0, ORDER), max >> ORDER);
	KUNIT_EXPECT_GE(test, clean(0, ORDER) + dirty(0, ORDER) + 2, max >> ORDER);

	/* clean chunks alone can reach the limit */
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	KUNIT_EXPECT_TRUE(test, put_many(GFP_KERNEL, nr, &zone));
	KUNIT_EXPECT_LE(test, clean(0, ORDER) + dirty(0, ORDER), max >> ORDER);
}

/* The pool keeps nothing while the zone is below its watermark. */
static void pool_scarce(struct kunit *test)
{
	struct page *page = new_chunk(test, 0, ORDER);
	struct zone *zone = page_zone(page);
	const unsigned long mark = zone->_watermark[WMARK_HIGH];

	WRITE_ONCE(zone->_watermark[WMARK_HIGH], mark + zone_managed_pages(zone));
	put_chunk(0, page);
	WRITE_ONCE(zone->_watermark[WMARK_HIGH], mark);
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
	put_chunk(0, new_chunk(test, 0, ORDER));
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 1);
}

#if defined(CONFIG_DMA_UNCACHED) && !defined(CONFIG_X86)
static unsigned int nr_cleaned;

static void note_clean(struct page *page, unsigned int nr)
{
	/* data written after this would stay in the cache */
	if (!memchr_inv(page_address(page), 0, (size_t)nr * PAGE_SIZE))
		nr_cleaned += nr;
}

/*
 * Zeroes that were written through a cached mapping must be in memory before an
 * uncached mapping can read the old data.
 */
static void pool_cleaned(struct kunit *test)
{
	const unsigned int kind = HEAP_POOL_UNCACHED, nr = 1 << ORDER;
	struct page *page = new_chunk(test, kind, ORDER);
	int by_work;

	for (by_work = 0; by_work < 2; by_work++) {
		memset(page_address(page), 0xa5, (size_t)nr * PAGE_SIZE);
		put_chunk(kind, page);
		nr_cleaned = 0;
		kunit_activate_static_stub(test, dma_uncached_clean, note_clean);
		if (by_work) {
			heap_pool_kunit_resume();
			heap_pool_kunit_pause();
		}
		KUNIT_EXPECT_PTR_EQ(test, heap_pool_get(kind, ORDER), page);
		kunit_deactivate_static_stub(test, dma_uncached_clean);
		KUNIT_EXPECT_EQ(test, nr_cleaned, nr);
	}
	give_back(kind, page);
}
#endif

/* The chunks that were cleared, in order, in the cases below */
static struct page *cleared[4];
static unsigned int nr_cleared;

static void note_cleared(unsigned int kind, struct page *page)
{
	if (nr_cleared < ARRAY_SIZE(cleared))
		cleared[nr_cleared++] = page;
	/* Clear it nevertheless: it may be the chunk of another task. */
	memset(page_address(page), 0, PAGE_SIZE << compound_order(page));
}

/* The largest chunks are cleared first, and among them the oldest. */
static void pool_order(struct kunit *test)
{
	struct page *small = new_chunk(test, 0, 0), *first = new_chunk(test, 0, ORDER);
	struct page *second = new_chunk(test, 0, ORDER);

	nr_cleared = 0;
	put_chunk(0, small);
	put_chunk(0, first);
	put_chunk(0, second);
	kunit_activate_static_stub(test, heap_pool_clear_chunk, note_cleared);
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	kunit_deactivate_static_stub(test, heap_pool_clear_chunk);
	KUNIT_EXPECT_EQ(test, nr_cleared, 3);
	KUNIT_EXPECT_PTR_EQ(test, cleared[0], first);
	KUNIT_EXPECT_PTR_EQ(test, cleared[1], second);
	KUNIT_EXPECT_PTR_EQ(test, cleared[2], small);
	/* so the latest is taken first */
	KUNIT_EXPECT_PTR_EQ(test, heap_pool_get(0, ORDER), second);
	KUNIT_EXPECT_PTR_EQ(test, heap_pool_get(0, ORDER), first);
	give_back(0, first);
	give_back(0, second);
}

static void stop_and_clear(unsigned int kind, struct page *page)
{
	nr_cleared++;
	heap_pool_kunit_stop(true);
}

/* A chunk is not kept if the pool is switched off while it is cleared. */
static void pool_off_meanwhile(struct kunit *test)
{
	nr_cleared = 0;
	put_chunk(0, new_chunk(test, 0, ORDER));
	kunit_activate_static_stub(test, heap_pool_clear_chunk, stop_and_clear);
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	kunit_deactivate_static_stub(test, heap_pool_clear_chunk);
	heap_pool_kunit_stop(false);
	KUNIT_EXPECT_EQ(test, nr_cleared, 1);
	KUNIT_EXPECT_EQ(test, clean(0, ORDER) + dirty(0, ORDER), 0);
}

/* A zone's limit is twice the share, so that a small zone is not emptied. */
static void pool_zone_bounded(struct kunit *test)
{
#ifdef CONFIG_ZONE_DMA
	unsigned long max;
	struct zone *zone;

	heap_pool_kunit_set_percent(1);
	if (!put_many(GFP_KERNEL | __GFP_DMA, 1, &zone))
		kunit_skip(test, "no memory for ISA devices");
	if (!dirty(0, ORDER))
		kunit_skip(test, "all of it is kept for others");
	max = mult_frac(zone_managed_pages(zone), 2, 100);
	if (max >= mult_frac(node_present_pages(numa_mem_id()), 1, 100) / 2)
		kunit_skip(test, "the node has the lower limit");
	if (!put_many(GFP_KERNEL | __GFP_DMA, (max >> ORDER) + 2, &zone))
		kunit_skip(test, "not enough memory for ISA devices");
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), max >> ORDER);
#else
	kunit_skip(test, "no memory for ISA devices");
#endif
}

/* With percent 0, the pool is drained and keeps nothing. */
static void pool_off(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);

	put_chunk(kind, new_chunk(test, kind, ORDER));
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	put_chunk(kind, new_chunk(test, kind, ORDER));
	KUNIT_EXPECT_EQ(test, clean(kind, ORDER) + dirty(kind, ORDER), 2);
	heap_pool_kunit_set_percent(0);
	KUNIT_EXPECT_EQ(test, clean(kind, ORDER) + dirty(kind, ORDER), 0);
	put_chunk(kind, new_chunk(test, kind, ORDER));
	KUNIT_EXPECT_EQ(test, clean(kind, ORDER) + dirty(kind, ORDER), 0);
}

/* Is NR_KERNEL_MISC_RECLAIMABLE within @slack of @before? */
static bool same_reclaimable(unsigned long before, unsigned long slack)
{
	const unsigned long now = global_node_page_state(NR_KERNEL_MISC_RECLAIMABLE);

	return now <= before + slack && before <= now + slack;
}

/* Pages in the pool count as reclaimable until they have left it. */
static void pool_reclaimable(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);
	/* so large that the per-CPU deltas of the counter do not matter */
	const unsigned int order = min(9, MAX_PAGE_ORDER);
	const unsigned long nr = 1UL << order;
	unsigned long before = global_node_page_state(NR_KERNEL_MISC_RECLAIMABLE);
	struct page *page;

	put_chunk(kind, new_chunk(test, kind, order));
	put_chunk(kind, new_chunk(test, kind, order));
	KUNIT_EXPECT_TRUE(test, same_reclaimable(before + 2 * nr, nr / 2));
	page = heap_pool_get(kind, order);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, same_reclaimable(before + nr, nr / 2));
	heap_pool_kunit_scan(page_to_nid(page), nr);
	KUNIT_EXPECT_TRUE(test, same_reclaimable(before, nr / 2));
	put_chunk(kind, page);
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	KUNIT_EXPECT_TRUE(test, same_reclaimable(before + nr, nr / 2));
	heap_pool_drain();
	KUNIT_EXPECT_TRUE(test, same_reclaimable(before, nr / 2));
}

/* The pool does not keep pages that others have a reference to. */
static void pool_referenced(struct kunit *test)
{
	struct page *page = new_chunk(test, 0, ORDER);

	get_page(page);
	put_chunk(0, page);
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	put_page(page);

	/* a reference that is taken while the chunk is in the pool */
	page = new_chunk(test, 0, ORDER);
	put_chunk(0, page);
	get_page(page);
	KUNIT_EXPECT_NULL(test, heap_pool_get(0, ORDER));
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	put_page(page);

	/* the work item does not touch it either */
	page = new_chunk(test, 0, ORDER);
	put_chunk(0, page);
	get_page(page);
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	KUNIT_EXPECT_EQ(test, clean(0, ORDER) + dirty(0, ORDER), 0);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0xa5, page_size(page)));
	put_page(page);
}

#ifdef CONFIG_MEMORY_FAILURE
/* The chunk given back last, which is not freed while it has an error */
static struct page *given_back;

static void keep_given_back(unsigned int kind, struct list_head *chunks)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, chunks, lru) {
		list_del(&page->lru);
		set_page_private(page, 0);
		given_back = page;
	}
}

/* The pool neither keeps nor returns memory with errors. */
static void pool_poisoned(struct kunit *test)
{
	struct page *page = new_chunk(test, 0, ORDER), *got;

	kunit_activate_static_stub(test, heap_pool_give_back, keep_given_back);
	atomic_long_inc(&num_poisoned_pages);

	given_back = NULL;
	SetPageHWPoison(page + 3);
	put_chunk(0, page);
	ClearPageHWPoison(page + 3);
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
	KUNIT_EXPECT_PTR_EQ(test, given_back, page);

	/* heap_pool_get() finds a later error */
	put_chunk(0, page);
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 1);
	given_back = NULL;
	SetPageHWPoison(page + 3);
	got = heap_pool_get(0, ORDER);
	ClearPageHWPoison(page + 3);
	KUNIT_EXPECT_NULL(test, got);
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
	KUNIT_EXPECT_PTR_EQ(test, given_back, page);

	/* and so does the work item */
	put_chunk(0, page);
	given_back = NULL;
	SetPageHWPoison(page + 3);
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	ClearPageHWPoison(page + 3);
	KUNIT_EXPECT_EQ(test, clean(0, ORDER) + dirty(0, ORDER), 0);
	KUNIT_EXPECT_PTR_EQ(test, given_back, page);

	atomic_long_dec(&num_poisoned_pages);
	kunit_deactivate_static_stub(test, heap_pool_give_back);
	give_back(0, page);
}
#endif

/* Only chunks that were unused for some seconds are given back. */
static void pool_ages(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);
	struct page *old = new_chunk(test, kind, ORDER), *latest = new_chunk(test, kind, ORDER);

	put_chunk(kind, old);
	put_chunk(kind, latest);
	heap_pool_kunit_age();
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 2);
	set_page_private(old, jiffies - 5 * HZ - 1);
	heap_pool_kunit_age();
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 1);
	KUNIT_EXPECT_PTR_EQ(test, heap_pool_get(kind, ORDER), latest);
	give_back(kind, latest);
}

/*
 * Chunks are cleared, and given back later, by the work items alone: an idle
 * machine has none.
 */
static void pool_idle(struct kunit *test)
{
	struct page *pages[2] = { new_chunk(test, 0, ORDER), new_chunk(test, 0, ORDER) };
	unsigned long start;

	heap_pool_kunit_resume();
	start = jiffies;
	put_chunk(0, pages[0]);
	put_chunk(0, pages[1]);
	while (clean(0, ORDER) < 2 && time_before(jiffies, start + 4 * HZ))
		msleep(20);
	KUNIT_EXPECT_EQ(test, clean(0, ORDER), 2);
	while (clean(0, ORDER) && time_before(jiffies, start + 20 * HZ))
		msleep(100);
	KUNIT_EXPECT_EQ(test, clean(0, ORDER), 0);
	KUNIT_EXPECT_TRUE(test, time_after(jiffies, start + 4 * HZ));
	heap_pool_kunit_pause();
}

/*
 * The shrinker takes dirty chunks first, and as many as requested.  Chunks that
 * it cannot free itself do not count as freed.
 */
static void pool_shrinks(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);
	const unsigned long nr = 1UL << ORDER;
	struct page *page = new_chunk(test, kind, ORDER);
	const int nid = page_to_nid(page);
	unsigned long freed = nr;

	if ((kind & HEAP_POOL_UNCACHED) && dma_uncached_restore_waits())
		freed = 0;
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_count(nid), SHRINK_EMPTY);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_scan(nid, 1), SHRINK_STOP);
	put_chunk(kind, page);
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	put_chunk(kind, new_chunk(test, kind, ORDER));
	put_chunk(kind, new_chunk(test, kind, ORDER));

	KUNIT_EXPECT_EQ(test, heap_pool_kunit_count(nid), 3 * nr);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_scan(nid, nr), freed);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_count(nid), 2 * nr);
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 1);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_scan(nid, 1), freed);
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 0);
	KUNIT_EXPECT_EQ(test, clean(kind, ORDER), 1);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_scan(nid, 1000 * nr), freed);
	KUNIT_EXPECT_EQ(test, clean(kind, ORDER), 0);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_count(nid), SHRINK_EMPTY);
}

/* Uncached chunks that the shrinker cannot free itself are taken last. */
static void pool_shrinks_mixed(struct kunit *test)
{
	const unsigned long nr = 1UL << ORDER;
	const bool leave = dma_uncached_restore_waits();
	const int nid = numa_mem_id();

	if (!can_be_uncached())
		kunit_skip(test, "this kernel has no uncached memory");
	put_chunk(0, new_chunk(test, 0, ORDER));
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	put_chunk(HEAP_POOL_UNCACHED, new_chunk(test, HEAP_POOL_UNCACHED, ORDER));
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_scan(nid, nr), nr);
	KUNIT_EXPECT_EQ(test, dirty(HEAP_POOL_UNCACHED, ORDER), leave);
	KUNIT_EXPECT_EQ(test, clean(0, ORDER), !leave);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_scan(nid, nr), leave ? 0 : nr);
	KUNIT_EXPECT_EQ(test, dirty(HEAP_POOL_UNCACHED, ORDER) + clean(0, ORDER), 0);
}

/*
 * The OOM notifier reports the pages that it freed, 1 while chunks are still
 * leaving, and 0 when there are none.
 */
static void pool_oom(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);
	unsigned long freed = (1 << ORDER) + 1;

	if ((kind & HEAP_POOL_UNCACHED) && dma_uncached_restore_waits())
		freed = 1;
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_oom(true), 0);
	put_chunk(kind, new_chunk(test, kind, ORDER));
	heap_pool_kunit_resume();
	heap_pool_kunit_pause();
	put_chunk(kind, new_chunk(test, kind, 0));
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_oom(true), freed);
	KUNIT_EXPECT_EQ(test, clean(kind, ORDER) + dirty(kind, 0), 0);
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_oom(true), 0);
}

/* The notifier reports 0 after a while, though there are chunks to free. */
static void pool_oom_ends(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);
	const unsigned long start = jiffies;
	unsigned long freed;

	do {
		put_chunk(kind, new_chunk(test, kind, ORDER));
		freed = heap_pool_kunit_oom(false);
		msleep(20);
	} while (freed && time_before(jiffies, start + 10 * HZ));
	KUNIT_EXPECT_EQ(test, freed, 0);
	KUNIT_EXPECT_TRUE(test, time_after_eq(jiffies, start + HZ));
	/* a call that reports 0 frees nothing */
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 1);
	/* chunks that have not left yet are not lost */
	heap_pool_drain();
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_oom(true), 0);
}

/* It takes longer until it reports 0 while chunks leave, but not forever. */
static void pool_oom_progress(struct kunit *test)
{
	const unsigned long start = jiffies;
	const unsigned int kind = HEAP_POOL_UNCACHED;
	unsigned long freed;

	if (!can_be_uncached() || !dma_uncached_restore_waits())
		kunit_skip(test, "the shrinker frees all chunks itself");
	do {
		put_chunk(kind, new_chunk(test, kind, ORDER));
		freed = heap_pool_kunit_oom(true);
		msleep(20);
	} while (freed && time_before(jiffies, start + 10 * HZ));
	KUNIT_EXPECT_EQ(test, freed, 0);
	KUNIT_EXPECT_TRUE(test, time_after(jiffies, start + 3 * HZ));
}

/* heap_pool_reclaim() frees one chunk of at least the order. */
static void pool_reclaim(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);

	KUNIT_EXPECT_FALSE(test, heap_pool_reclaim(GFP_KERNEL, 0));
	put_chunk(kind, new_chunk(test, kind, ORDER));
	put_chunk(kind, new_chunk(test, kind, ORDER));
	put_chunk(kind, new_chunk(test, kind, 0));
	KUNIT_EXPECT_FALSE(test, heap_pool_reclaim(GFP_KERNEL, ORDER + 1));
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 2);
	KUNIT_EXPECT_TRUE(test, heap_pool_reclaim(GFP_KERNEL, ORDER));
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 1);
	KUNIT_EXPECT_EQ(test, dirty(kind, 0), 1);
	KUNIT_EXPECT_TRUE(test, heap_pool_reclaim(GFP_KERNEL, 0));
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 1);
	KUNIT_EXPECT_EQ(test, dirty(kind, 0), 0);
	KUNIT_EXPECT_TRUE(test, heap_pool_reclaim(GFP_KERNEL, 0));
	KUNIT_EXPECT_FALSE(test, heap_pool_reclaim(GFP_KERNEL, 0));
}

/* It frees none of a higher zone, or of a node that is not allowed. */
static void pool_reclaim_fits(struct kunit *test)
{
	struct page *page = new_chunk(test, 0, ORDER);
#ifdef CONFIG_CPUSETS
	nodemask_t allowed = current->mems_allowed;
	bool reclaimed;
#endif

	put_chunk(0, page);
#ifdef CONFIG_ZONE_DMA
	if (page_zonenum(page) > ZONE_DMA)
		KUNIT_EXPECT_FALSE(test, heap_pool_reclaim(GFP_KERNEL | __GFP_DMA, ORDER));
#endif
#ifdef CONFIG_CPUSETS
	nodes_clear(current->mems_allowed);
	reclaimed = heap_pool_reclaim(GFP_KERNEL, ORDER);
	current->mems_allowed = allowed;
	KUNIT_EXPECT_FALSE(test, reclaimed);
#endif
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 1);
	KUNIT_EXPECT_TRUE(test, heap_pool_reclaim(GFP_KERNEL, ORDER));
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
	if (!IS_ENABLED(CONFIG_ZONE_DMA) && !IS_ENABLED(CONFIG_CPUSETS))
		kunit_skip(test, "this kernel has neither zones nor cpusets");
}

/* It frees the chunks that the shrinker left to the work item. */
static void pool_reclaim_leaving(struct kunit *test)
{
	const unsigned int kind = HEAP_POOL_UNCACHED;

	if (!can_be_uncached() || !dma_uncached_restore_waits())
		kunit_skip(test, "the shrinker frees all chunks itself");
	put_chunk(kind, new_chunk(test, kind, ORDER));
	KUNIT_EXPECT_EQ(test, heap_pool_kunit_oom(false), 1);
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 0);
	KUNIT_EXPECT_TRUE(test, heap_pool_reclaim(GFP_KERNEL, 0));
	KUNIT_EXPECT_FALSE(test, heap_pool_reclaim(GFP_KERNEL, 0));
}

/* Suspend and restore empty the pool, and keep it empty until they end. */
static void pool_sleeps(struct kunit *test)
{
	static const unsigned long events[][2] = {
		{ PM_RESTORE_PREPARE, PM_POST_RESTORE }, { PM_SUSPEND_PREPARE, PM_POST_SUSPEND },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		put_chunk(0, new_chunk(test, 0, ORDER));
		heap_pool_kunit_pm_event(events[i][0]);
		KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
		put_chunk(0, new_chunk(test, 0, ORDER));
		KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 0);
		heap_pool_kunit_pm_event(events[i][1]);
		put_chunk(0, new_chunk(test, 0, ORDER));
		KUNIT_EXPECT_EQ(test, dirty(0, ORDER), 1);
		heap_pool_drain();
	}
}

/* Hibernation empties the pool, and keeps it empty until it ends. */
static void pool_hibernates(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);

#ifdef CONFIG_DMA_UNCACHED
	if (dma_uncached_pm_event(PM_HIBERNATION_PREPARE))
		kunit_skip(test, "somebody uses uncached memory");
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_POST_HIBERNATION), 0);
#endif
	put_chunk(kind, new_chunk(test, kind, ORDER));
	heap_pool_kunit_pm_event(PM_HIBERNATION_PREPARE);
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 0);
	put_chunk(kind, new_chunk(test, kind, ORDER));
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 0);
#ifdef CONFIG_DMA_UNCACHED
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_HIBERNATION_PREPARE), 0);
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_POST_HIBERNATION), 0);
#endif
	heap_pool_kunit_pm_event(PM_POST_HIBERNATION);
	put_chunk(kind, new_chunk(test, kind, ORDER));
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 1);
}

/* The pool obeys the memory policy and the cpuset of the task. */
static void pool_policy(struct kunit *test)
{
#ifdef CONFIG_NUMA
	struct mempolicy bind = { .mode = MPOL_BIND, .nodes = node_states[N_MEMORY] };
	struct mempolicy *policy = current->mempolicy;
	struct page *other = new_chunk(test, 0, ORDER + 1);
	bool reclaimed;
#endif
#ifdef CONFIG_CPUSETS
	nodemask_t allowed = current->mems_allowed;
#endif
	struct page *page = new_chunk(test, 0, ORDER), *got;

	put_chunk(0, page);
#ifdef CONFIG_NUMA
	current->mempolicy = &bind;
	got = heap_pool_get(0, ORDER);
	/* chunks that such a task frees are not kept either */
	put_chunk(0, other);
	/* it does not reclaim from nodes that its policy excludes */
	nodes_clear(bind.nodes);
	reclaimed = heap_pool_reclaim(GFP_KERNEL, ORDER);
	current->mempolicy = policy;
	KUNIT_EXPECT_NULL(test, got);
	KUNIT_EXPECT_EQ(test, dirty(0, ORDER + 1), 0);
	KUNIT_EXPECT_FALSE(test, reclaimed);
#endif
#ifdef CONFIG_CPUSETS
	nodes_clear(current->mems_allowed);
	got = heap_pool_get(0, ORDER);
	current->mems_allowed = allowed;
	KUNIT_EXPECT_NULL(test, got);
#endif
	got = heap_pool_get(0, ORDER);
	KUNIT_ASSERT_PTR_EQ(test, got, page);
	give_back(0, page);
	if (!IS_ENABLED(CONFIG_NUMA) && !IS_ENABLED(CONFIG_CPUSETS))
		kunit_skip(test, "this kernel has neither policies nor cpusets");
}

static const char * const pool_heaps[] = {
	"system", "system-uncached", "system-dma32", "system-uncached-dma32",
};

static void heap_desc(const char * const *name, char *desc)
{
	strscpy(desc, *name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(heap, pool_heaps, heap_desc);

static struct dma_heap *pool_heap_of(struct kunit *test)
{
	return heap_kunit_find(test, *(const char * const *)test->param_value);
}

#define MAX_CHUNKS	16

/*
 * Allocate a buffer, record its chunks, fill it, and free it.  All chunks are
 * in the pool then.  Return their number.
 */
static unsigned int use_buffer(struct kunit *test, struct dma_heap *heap, size_t len,
			       struct page **chunks)
{
	struct dma_buf *dmabuf = dma_heap_buffer_alloc(heap, len, O_RDWR, 0);
	unsigned int i, kind, order, nr;
	struct sg_table *table;
	struct scatterlist *sg;
	unsigned long kept = 0;

	if (IS_ERR(dmabuf))
		kunit_skip(test, "no memory for a buffer");
	table = &dma_heap_buffer_of(dmabuf)->table;
	nr = table->orig_nents;
	for_each_sgtable_sg(table, sg, i) {
		memset(page_address(sg_page(sg)), 0x5a, sg->length);
		if (i < MAX_CHUNKS)
			chunks[i] = sg_page(sg);
	}
	__fput_sync(dmabuf->file);
	if (nr > MAX_CHUNKS)
		kunit_skip(test, "memory is in pieces");
	for (kind = 0; kind < HEAP_POOL_KINDS; kind++) {
		for (order = 0; order < NR_PAGE_ORDERS; order++)
			kept += dirty(kind, order);
	}
	KUNIT_ASSERT_EQ(test, kept, nr);

	return nr;
}

#if defined(CONFIG_X86) && defined(CONFIG_DMA_UNCACHED)
/* Number of attribute changes, and the first one that fails */
struct pool_changes {
	unsigned int nr;
	unsigned int fail_at;
};

static int change_range(struct page *page, unsigned int nr, bool uncached)
{
	struct pool_changes *changes = kunit_get_current_test()->priv;
	unsigned long addr = (unsigned long)page_address(page);

	if (changes->nr++ >= changes->fail_at && uncached)
		return -ENOMEM;

	return uncached ? set_memory_wc(addr, nr) : set_memory_wb(addr, nr);
}

static int change_pages(struct page **pages, unsigned int nr, bool uncached)
{
	struct pool_changes *changes = kunit_get_current_test()->priv;

	if (changes->nr++ >= changes->fail_at && uncached)
		return -ENOMEM;

	return uncached ? set_pages_array_wc(pages, nr) : set_pages_array_wb(pages, nr);
}

/* The stubs stay until after pool_exit(), which changes pages back. */
static struct pool_changes *watch_changes(struct kunit *test, unsigned int fail_at)
{
	struct pool_changes *changes = kunit_kzalloc(test, sizeof(*changes), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, changes);
	changes->fail_at = fail_at;
	test->priv = changes;
	kunit_activate_static_stub(test, dma_uncached_change_range, change_range);
	kunit_activate_static_stub(test, dma_uncached_change_pages, change_pages);

	return changes;
}
#endif

/* A heap gets its chunks back from the pool, still prepared. */
static void pool_heap(struct kunit *test)
{
	const size_t len = SZ_2M + SZ_64K + PAGE_SIZE % SZ_64K;
	struct dma_heap *heap = pool_heap_of(test);
	struct page *chunks[MAX_CHUNKS];
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	unsigned int i, j, nr;
#if defined(CONFIG_X86) && defined(CONFIG_DMA_UNCACHED)
	struct pool_changes *changes;
#endif

	nr = use_buffer(test, heap, len, chunks);
#if defined(CONFIG_X86) && defined(CONFIG_DMA_UNCACHED)
	changes = watch_changes(test, UINT_MAX);
#endif
	dmabuf = dma_heap_buffer_alloc(heap, len, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_EXPECT_EQ(test, dma_heap_buffer_of(dmabuf)->table.orig_nents, nr);
	for_each_sgtable_sg(&dma_heap_buffer_of(dmabuf)->table, sg, i) {
		KUNIT_EXPECT_TRUE(test, is_zero(sg_page(sg)));
		for (j = 0; j < nr && chunks[j] != sg_page(sg); j++)
			;
		KUNIT_EXPECT_LT_MSG(test, j, nr, "chunk %u is not of the pool", i);
	}
#if defined(CONFIG_X86) && defined(CONFIG_DMA_UNCACHED)
	KUNIT_EXPECT_EQ(test, changes->nr, 0);
#endif
	__fput_sync(dmabuf->file);
}

/* Calls of short_of_pages(), which fails until the pool gives back chunks */
static unsigned int asked;

static struct page *short_of_pages(gfp_t gfp, unsigned int order)
{
	/* the first chunk that the pool gives back goes to another task */
	if (order || ++asked < 3)
		return NULL;

	return alloc_pages(gfp | __GFP_COMP, order);
}

/* If a heap gets no page, the pool gives chunks to the page allocator. */
static void pool_heap_reclaims(struct kunit *test)
{
	struct dma_heap *heap = pool_heap_of(test);
	/* all heaps can use the memory, but do not request this order */
	const unsigned int kind = HEAP_POOL_DMA32;
	struct dma_buf *dmabuf;
	unsigned int i;

	for (i = 0; i < 3; i++)
		put_chunk(kind, new_chunk(test, kind, ORDER));
	asked = 0;
	kunit_activate_static_stub(test, system_heap_alloc_pages, short_of_pages);
	dmabuf = dma_heap_buffer_alloc(heap, PAGE_SIZE, O_RDWR, 0);
	kunit_deactivate_static_stub(test, system_heap_alloc_pages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_EXPECT_EQ(test, asked, 3);
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 1);
	__fput_sync(dmabuf->file);
}

/*
 * get_info counts pages in the pool as free.  A cpuset that allows no node
 * leaves nothing.
 */
static void pool_heap_info(struct kunit *test)
{
	/* per-CPU lists hold chunks of 2 MiB, which do not count as free */
	const unsigned int order = min(get_order(SZ_1M), MAX_PAGE_ORDER);
	/* of a zone that all heaps allocate from */
	const unsigned int kind = HEAP_POOL_DMA32, nr = 16;
	/* tolerance for allocations of other tasks */
	const u64 half = nr * (PAGE_SIZE << order) / 2;
	struct dma_heap_info before = {}, with = {}, after = {};
	struct dma_heap *heap = pool_heap_of(test);
#ifdef CONFIG_CPUSETS
	nodemask_t allowed = current->mems_allowed;
	struct dma_heap_info none = {};
#endif
	LIST_HEAD(chunks);
	unsigned int i;

#ifdef CONFIG_CPUSETS
	nodes_clear(current->mems_allowed);
	KUNIT_EXPECT_EQ(test, dma_heap_get_info(heap, &none), 0);
	current->mems_allowed = allowed;
	KUNIT_EXPECT_EQ(test, none.size, 0);
	KUNIT_EXPECT_EQ(test, none.free, 0);
#endif
	KUNIT_ASSERT_EQ(test, dma_heap_get_info(heap, &before), 0);
	for (i = 0; i < nr; i++)
		list_add(&new_chunk(test, kind, order)->lru, &chunks);
	KUNIT_ASSERT_EQ(test, dma_heap_get_info(heap, &with), 0);
	heap_pool_put(kind, &chunks);
	if (dirty(kind, order) < nr)
		kunit_skip(test, "not enough memory");
	KUNIT_ASSERT_EQ(test, dma_heap_get_info(heap, &after), 0);
	KUNIT_EXPECT_LT(test, with.free + half, before.free);
	KUNIT_EXPECT_GT(test, after.free, with.free + half);
	KUNIT_EXPECT_EQ(test, after.size, before.size);
	KUNIT_EXPECT_EQ(test, after.largest, after.free);
}

#if defined(CONFIG_X86) && defined(CONFIG_DMA_UNCACHED)
/*
 * Some chunks of a buffer are from the pool, and the others cannot be prepared.
 * All are given back, and the machine can hibernate afterwards.
 */
static void pool_heap_fails(struct kunit *test)
{
	struct dma_heap *heap = pool_heap_of(test);
	struct page *chunks[MAX_CHUNKS];
	struct pool_changes *changes;

	if (!(dma_heap_properties(heap) & DMA_HEAP_WRITE_COMBINED))
		kunit_skip(test, "nothing is prepared for this heap");
	if (dma_uncached_pm_event(PM_HIBERNATION_PREPARE))
		kunit_skip(test, "somebody uses uncached memory");
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_POST_HIBERNATION), 0);

	use_buffer(test, heap, SZ_64K, chunks);
	changes = watch_changes(test, 0);
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(heap, SZ_2M + SZ_64K, O_RDWR, 0),
			    ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_GT(test, changes->nr, 0);
	heap_pool_drain();
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_HIBERNATION_PREPARE), 0);
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_POST_HIBERNATION), 0);
	changes->fail_at = UINT_MAX;
	use_buffer(test, heap, SZ_64K, chunks);
}
#endif

static unsigned int percent;

/* Start with an empty pool, which only the case itself changes. */
static int pool_init(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_HIGHMEM))
		kunit_skip(test, "pages may have no address");
	if (!heap_pool_kunit_exists() || want_init_on_free())
		kunit_skip(test, "the pool is off, or init_on_free clears chunks at once");
	/* The pool gives chunks of the node that the task runs on. */
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	heap_pool_kunit_hide(true);
	percent = heap_pool_kunit_set_percent(25);
	heap_pool_kunit_pause();

	return 0;
}

static void pool_exit(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_HIGHMEM) || !heap_pool_kunit_exists() || want_init_on_free())
		return;
	heap_pool_kunit_resume();
	heap_pool_kunit_set_percent(percent);
	heap_pool_kunit_hide(false);
}

static struct kunit_case pool_cases[] = {
	KUNIT_CASE_PARAM(pool_cleared, pool_gen_params),
#if defined(CONFIG_DMA_UNCACHED) && !defined(CONFIG_X86)
	KUNIT_CASE(pool_cleaned),
#endif
	KUNIT_CASE(pool_clean_first),
	KUNIT_CASE(pool_bounded),
	KUNIT_CASE(pool_zone_bounded),
	KUNIT_CASE(pool_scarce),
	KUNIT_CASE(pool_order),
	KUNIT_CASE(pool_off_meanwhile),
	KUNIT_CASE_PARAM(pool_off, pool_gen_params),
	KUNIT_CASE_PARAM(pool_reclaimable, pool_gen_params),
	KUNIT_CASE(pool_referenced),
#ifdef CONFIG_MEMORY_FAILURE
	KUNIT_CASE(pool_poisoned),
#endif
	KUNIT_CASE_PARAM(pool_ages, pool_gen_params),
	KUNIT_CASE_SLOW(pool_idle),
	KUNIT_CASE_PARAM(pool_shrinks, pool_gen_params),
	KUNIT_CASE(pool_shrinks_mixed),
	KUNIT_CASE_PARAM(pool_oom, pool_gen_params),
	KUNIT_CASE_PARAM(pool_oom_ends, pool_gen_params),
	KUNIT_CASE_SLOW(pool_oom_progress),
	KUNIT_CASE_PARAM(pool_reclaim, pool_gen_params),
	KUNIT_CASE(pool_reclaim_fits),
	KUNIT_CASE(pool_reclaim_leaving),
	KUNIT_CASE_PARAM(pool_hibernates, pool_gen_params),
	KUNIT_CASE(pool_sleeps),
	KUNIT_CASE(pool_policy),
	KUNIT_CASE_PARAM(pool_heap, heap_gen_params),
	KUNIT_CASE_PARAM(pool_heap_reclaims, heap_gen_params),
	KUNIT_CASE_PARAM(pool_heap_info, heap_gen_params),
#if defined(CONFIG_X86) && defined(CONFIG_DMA_UNCACHED)
	KUNIT_CASE_PARAM(pool_heap_fails, heap_gen_params),
#endif
	{}
};

static struct kunit_suite pool_suite = {
	.name = "dma_heap_pool",
	.init = pool_init,
	.exit = pool_exit,
	.test_cases = pool_cases,
};

/* With init_on_free, chunks are cleared when they are freed. */
static void pool_freed(struct kunit *test)
{
	const unsigned int kind = pool_kind(test);
	struct page *page = new_chunk(test, kind, ORDER);

	put_chunk(kind, page);
	KUNIT_EXPECT_EQ(test, dirty(kind, ORDER), 0);
	KUNIT_EXPECT_EQ(test, clean(kind, ORDER), 1);
	KUNIT_EXPECT_TRUE(test, is_zero(page));
	KUNIT_EXPECT_PTR_EQ(test, heap_pool_get(kind, ORDER), page);
	give_back(kind, page);
}

static int pool_freed_init(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_HIGHMEM))
		kunit_skip(test, "pages may have no address");
	if (!want_init_on_free() || !heap_pool_kunit_exists())
		kunit_skip(test, "not without init_on_free=1 and a pool");
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	heap_pool_kunit_hide(true);
	percent = heap_pool_kunit_set_percent(25);

	return 0;
}

static void pool_freed_exit(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_HIGHMEM) || !want_init_on_free() || !heap_pool_kunit_exists())
		return;
	heap_pool_kunit_set_percent(percent);
	heap_pool_kunit_hide(false);
}

static struct kunit_case pool_freed_cases[] = {
	KUNIT_CASE_PARAM(pool_freed, pool_gen_params),
	{}
};

static struct kunit_suite pool_freed_suite = {
	.name = "dma_heap_pool_freed",
	.init = pool_freed_init,
	.exit = pool_freed_exit,
	.test_cases = pool_freed_cases,
};

kunit_test_suites(&pool_suite, &pool_freed_suite);

MODULE_DESCRIPTION("KUnit suite of the page pool of the DMA-BUF heaps");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("DMA_UNCACHED");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
