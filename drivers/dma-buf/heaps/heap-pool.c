// SPDX-License-Identifier: GPL-2.0
/*
 * Page pool of the DMA-BUF heaps
 */

#define pr_fmt(fmt) "heap_pool: " fmt

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/cpuset.h>
#include <linux/debugfs.h>
#include <linux/dma-uncached.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mempolicy.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/percpu.h>
#include <linux/pfn.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/shrinker.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/suspend.h>
#include <linux/swap.h>
#include <linux/topology.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <trace/events/dma_heap.h>

#include "heap-pool.h"

/**
 * DOC: page pool
 *
 * Clearing pages takes nearly all of the time of an allocation. An uncached
 * buffer takes even longer on x86, because all CPUs flush their TLBs when the
 * attributes of its pages change. The pool keeps the chunks of freed buffers
 * for later buffers, and clears them in the background.
 *
 * Each NUMA node has lists of chunks by order, kind, and state:
 *
 * - *Dirty* chunks hold the data of their last user. Freed chunks are dirty.
 * - *Clean* chunks are cleared. A work item with nice 19 clears dirty chunks.
 *
 * A heap takes a clean chunk if there is one. Otherwise it takes a dirty chunk
 * and clears it, or else allocates one from the page allocator. It does not
 * wait for dirty chunks to become clean. It gets a chunk of exactly the order
 * that it requests, because large requests need the large chunks. If the page
 * allocator has no chunk of that order, the pool gives back a chunk of any kind
 * that is at least as large.
 *
 * The size of the pool is bounded:
 *
 * - It holds at most dma_heap_pool.percent of the pages of a node. Half of that
 *   may be dirty. Of a zone, it holds at most twice that share. Chunks above
 *   these limits are freed at once. So are all chunks of a zone that has fewer
 *   free pages than reclaim tries to keep free.
 * - Chunks that are not reused for some seconds are freed.
 * - A shrinker frees chunks when memory is short: dirty ones first, and last
 *   those that only a work item can free. While these are on their way, the OOM
 *   killer is held off: for at most MAX_AGE, and for OOM_PATIENCE without
 *   progress.
 *
 * The pages count as reclaimable kernel memory (KReclaimable in /proc/meminfo),
 * and therefore in MemAvailable. They are not charged to any cgroup: the core
 * charges buffers, not pages.
 *
 * A task with a memory policy does not use the pool, and a task whose cpuset
 * excludes a node does not use its chunks: the task neither takes them nor adds
 * them when it drops the last reference to a buffer. The pool does not accept
 * pages of nodes without an online CPU, pages with other references, or pages
 * with memory errors. With init_on_free, it clears chunks as they are freed.
 * debug_pagealloc and page_poison disable the pool, because they must see pages
 * freed. KASAN does not report accesses to pages in the pool: boot with
 * dma_heap_pool.percent=0 to find those.
 *
 * The pool is emptied before hibernation: its pages would only enlarge the
 * image, and uncached pages would prevent it. It is also emptied before
 * suspend, because drivers that allocate then cannot count on the OOM killer.
 * Pages in the pool cannot be migrated, like pages of buffers, but the memory
 * of an idle pool can be offlined after some seconds.
 */

/*
 * A restarted queue needs as many buffers as before. It frees all of them at
 * once, so they must fit into the limit of dirty chunks: an eighth of a phone's
 * 4 GiB is 512 MiB, or 20 frames of 10-bit 4K video. A larger pool is not worth
 * the reclaim that it takes to get the memory back.
 */
static unsigned int percent = 25;

/*
 * Long enough to restart a camera or to change its mode. The pool of an idle
 * machine is empty.
 */
#define MAX_AGE		(5 * HZ)
#define AGE_INTERVAL	HZ

/* Bytes to clear between scheduling points */
#define MAX_CLEAR	SZ_2M
/* Bytes to clear per node and run: the freezer waits for a run to end. */
#define MAX_WORK	SZ_32M

/* Chunks to make cached at a time with a table on the stack */
#define RESTORE_BATCH	16
/* Pages and chunks to take off a list at a time, to be freed */
#define MAX_LEAVING	(SZ_32M / PAGE_SIZE)
#define MAX_TAKEN	512
/* How long to hold off the OOM killer while no leaving chunk becomes free */
#define OOM_PATIENCE	HZ
/* Chunks of a list to search for one of a suitable zone */
#define MAX_LOOK	32

enum heap_pool_state {
	HEAP_POOL_CLEAN,
	HEAP_POOL_DIRTY,
	HEAP_POOL_STATES,
};

/**
 * struct heap_pool_list - chunks of one state, kind and order
 * @chunks:	the latest first, linked by &page.lru; &page.private has the time in
 *		jiffies at which the chunk was freed
 * @nr:		number of chunks
 */
struct heap_pool_list {
	struct list_head chunks;
	unsigned long nr;
};

/**
 * struct heap_pool_node - the chunks of a NUMA node
 * @lock:	protects all members; innermost
 * @lists:	by state, kind and order
 * @pages:	number of pages in these lists, and dirty ones that are being cleared
 * @zones:	the same by zone, in any state
 * @leaving:	uncached chunks that the shrinker left to free_leaving()
 * @nr_leaving:	number of their pages until they are free; not in @pages, @zones
 */
struct heap_pool_node {
	/* innermost */
	spinlock_t lock;
	struct heap_pool_list lists[HEAP_POOL_STATES][HEAP_POOL_KINDS][NR_PAGE_ORDERS];
	unsigned long pages[HEAP_POOL_STATES];
	unsigned long zones[MAX_NR_ZONES];
	struct list_head leaving[HEAP_POOL_KINDS];
	unsigned long nr_leaving;
};

/* Indexed by node; NULL if there is no pool */
static struct heap_pool_node *nodes;

/*
 * clear_lock is held while a chunk is off the lists to be cleared in the
 * background. free_lock is held while chunks are off the lists to be freed by
 * aging, draining, heap_pool_reclaim(), or free_leaving().
 *
 * clear_lock -> heap_pool_node.lock
 * free_lock -> heap_pool_node.lock
 */
static DEFINE_MUTEX(clear_lock);
static DEFINE_MUTEX(free_lock);

/*
 * For heap_pool_oom(), under oom_lock: time of the first and the last call of a
 * series, time of the last progress, and nr_left at that time
 */
static u64 oom_first;
static u64 oom_last;
static u64 oom_progress;
static unsigned long oom_left;

/*
 * Pages freed by aging, draining and free_leaving() since boot, written under
 * free_lock
 */
static unsigned long nr_left;

/* The machine is about to sleep. */
static bool stopped;

/* Events of chunks, counted by order */
enum heap_pool_event {
	TAKEN_CLEAN,
	TAKEN_DIRTY,
	MISSED,
	CLEARED,
	REFUSED,
	AGED,
	DRAINED,
	SHRUNK,
	OTHERS,
	HEAP_POOL_EVENTS,
};

static const char * const event_names[] = {
	[TAKEN_CLEAN] = "clean",
	[TAKEN_DIRTY] = "dirty",
	[MISSED] = "missed",
	[CLEARED] = "cleared",
	[REFUSED] = "refused",
	[AGED] = "aged",
	[DRAINED] = "drained",
	[SHRUNK] = "shrunk",
	[OTHERS] = "others",
};

struct heap_pool_events {
	unsigned long nr[NR_PAGE_ORDERS][HEAP_POOL_EVENTS];
};

static DEFINE_PER_CPU(struct heap_pool_events, heap_pool_events);

static struct workqueue_struct *clear_wq, *free_wq;
static struct shrinker *shrinker;

static void heap_pool_clear_dirty(struct work_struct *work);
static void heap_pool_age(struct work_struct *work);
static void heap_pool_leave(struct work_struct *work);
static unsigned long free_leaving(void);
static void free_all_leaving(void);

static DECLARE_WORK(clear_work, heap_pool_clear_dirty);
static DECLARE_DELAYED_WORK(age_work, heap_pool_age);
static DECLARE_WORK(leave_work, heap_pool_leave);

static unsigned int chunk_pages(struct page *page)
{
	return 1U << compound_order(page);
}

static void count_event(unsigned int order, enum heap_pool_event event)
{
	this_cpu_inc(heap_pool_events.nr[order][event]);
}

static void freed_chunk(unsigned int kind, struct page *page, enum heap_pool_event event)
{
	count_event(compound_order(page), event);
	trace_dma_heap_pool_free(kind, compound_order(page), page_to_nid(page),
				 event_names[event]);
}

static bool is_off(void)
{
	return !nodes || !READ_ONCE(percent) || READ_ONCE(stopped) ||
	       debug_pagealloc_enabled() || page_poisoning_enabled();
}

/*
 * Does the zone have fewer free pages than the high watermark plus the largest
 * lowmem_reserve? Then other users need them more.
 */
static bool is_scarce(struct zone *zone)
{
	unsigned long want = high_wmark_pages(zone);
	long reserve = 0;
	int i;

	for (i = 0; i < MAX_NR_ZONES; i++)
		reserve = max(reserve, READ_ONCE(zone->lowmem_reserve[i]));
	/* Heaps cannot use free pages of CMA regions. */
	want += reserve + zone_page_state(zone, NR_FREE_CMA_PAGES);

	return zone_page_state(zone, NR_FREE_PAGES) < want;
}

/* Is there room for one more chunk? */
static bool has_room(const struct heap_pool_node *node, struct page *page,
		     enum heap_pool_state state)
{
	const unsigned long share = READ_ONCE(percent);
	const unsigned long max = mult_frac(node_present_pages(page_to_nid(page)), share, 100);
	struct zone *zone = page_zone(page);
	const unsigned int nr = chunk_pages(page);

	if (is_off())
		return false;
	if (is_scarce(zone))
		return false;
	if (READ_ONCE(node->zones[zone_idx(zone)]) + nr >
	    mult_frac(zone_managed_pages(zone), min(2 * share, 100UL), 100))
		return false;
	if (state == HEAP_POOL_DIRTY && READ_ONCE(node->pages[HEAP_POOL_DIRTY]) + nr > max / 2)
		return false;

	return READ_ONCE(node->pages[HEAP_POOL_CLEAN]) + READ_ONCE(node->pages[HEAP_POOL_DIRTY]) +
	       READ_ONCE(node->nr_leaving) + nr <= max;
}

/* Is this the only reference, and is the memory free of errors? */
static bool is_usable(struct page *page)
{
	if (page_ref_count(page) != 1)
		return false;
#ifdef CONFIG_MEMORY_FAILURE
	if (!atomic_long_read(&num_poisoned_pages))
		return true;
	for (unsigned int i = 0; i < chunk_pages(page); i++) {
		if (PageHWPoison(page + i))
			return false;
	}
#endif

	return true;
}

VISIBLE_IF_KUNIT void heap_pool_clear_chunk(unsigned int kind, struct page *page)
{
	unsigned int i, n, nr = chunk_pages(page);

	KUNIT_STATIC_STUB_REDIRECT(heap_pool_clear_chunk, kind, page);

	if (kind & HEAP_POOL_UNCACHED) {
		dma_uncached_clear(page, nr);
		return;
	}
	for (i = 0; i < nr; i += n) {
		n = IS_ENABLED(CONFIG_HIGHMEM) ? 1 : min(nr - i, PFN_DOWN(MAX_CLEAR));
		if (IS_ENABLED(CONFIG_HIGHMEM))
			clear_highpage(page + i);
		else
			clear_pages(page_address(page + i), n);
		cond_resched();
	}
	/* The last mappings may have marked the folio clean in the D-cache. */
	flush_dcache_folio(page_folio(page));
}

/* Take a chunk off the list for each entry of the table, and free these. */
static void restore_and_free(struct list_head *chunks, struct sg_table *table)
{
	struct scatterlist *sg;
	struct page *page;
	unsigned int i;

	for_each_sgtable_sg(table, sg, i) {
		page = list_first_entry(chunks, struct page, lru);
		list_del(&page->lru);
		set_page_private(page, 0);
		sg_set_page(sg, page, page_size(page), 0);
	}
	dma_uncached_restore(table);
	for_each_sgtable_sg(table, sg, i) {
		/* It could not be restored, so it is lost. */
		if (sg_page(sg))
			__free_pages(sg_page(sg), compound_order(sg_page(sg)));
		cond_resched();
	}
}

/* Use one table for all chunks if possible: CPUs flush TLBs less often. */
static void give_back_uncached(struct list_head *chunks)
{
	struct scatterlist sgl[RESTORE_BATCH];
	struct sg_table table;
	size_t nr = list_count_nodes(chunks);

	if (nr > RESTORE_BATCH && !sg_alloc_table(&table, nr, GFP_NOWAIT)) {
		restore_and_free(chunks, &table);
		sg_free_table(&table);
		return;
	}
	for (; nr; nr -= table.nents) {
		table.nents = min(nr, RESTORE_BATCH);
		table.orig_nents = table.nents;
		table.sgl = sgl;
		sg_init_table(sgl, table.nents);
		restore_and_free(chunks, &table);
	}
}

/**
 * heap_pool_give_back() - give chunks back to the page allocator
 * @kind: bits of &enum heap_pool_kind of the chunks
 * @chunks: list of the chunks by &page.lru; empty afterwards
 *
 * Context: Process context. May sleep.
 */
void heap_pool_give_back(unsigned int kind, struct list_head *chunks)
{
	struct page *page, *next;

	KUNIT_STATIC_STUB_REDIRECT(heap_pool_give_back, kind, chunks);

	if (kind & HEAP_POOL_UNCACHED) {
		give_back_uncached(chunks);
		return;
	}
	list_for_each_entry_safe(page, next, chunks, lru) {
		list_del(&page->lru);
		set_page_private(page, 0);
		__free_pages(page, compound_order(page));
		cond_resched();
	}
}
EXPORT_SYMBOL_NS_GPL(heap_pool_give_back, "DMA_BUF_HEAP");

static void link_chunk(struct heap_pool_node *node, unsigned int kind, struct page *page,
		       enum heap_pool_state state)
{
	struct heap_pool_list *list = &node->lists[state][kind][compound_order(page)];

	lockdep_assert_held(&node->lock);
	list_add(&page->lru, &list->chunks);
	list->nr++;
}

static void unlink_chunk(struct heap_pool_node *node, unsigned int kind, struct page *page,
			 enum heap_pool_state state)
{
	lockdep_assert_held(&node->lock);
	list_del(&page->lru);
	node->lists[state][kind][compound_order(page)].nr--;
}

static void count_pages(struct heap_pool_node *node, struct page *page,
			enum heap_pool_state state, long nr)
{
	lockdep_assert_held(&node->lock);
	node->pages[state] += nr;
	node->zones[page_zonenum(page)] += nr;
	mod_node_page_state(page_pgdat(page), NR_KERNEL_MISC_RECLAIMABLE, nr);
}

/* Put a chunk into a list. Return false if there is no room for it. */
static bool add_chunk(unsigned int kind, struct page *page, enum heap_pool_state state)
{
	struct heap_pool_node *node = &nodes[page_to_nid(page)];

	guard(spinlock)(&node->lock);
	if (!has_room(node, page, state))
		return false;
	set_page_private(page, jiffies);
	link_chunk(node, kind, page, state);
	count_pages(node, page, state, chunk_pages(page));
	/* Trace it before another task can take it. */
	trace_dma_heap_pool_put(kind, compound_order(page), page_to_nid(page),
				state == HEAP_POOL_DIRTY ? "dirty" : "clean");

	return true;
}

static void remove_chunk(struct heap_pool_node *node, unsigned int kind, struct page *page,
			 enum heap_pool_state state)
{
	unlink_chunk(node, kind, page, state);
	count_pages(node, page, state, -(long)chunk_pages(page));
}

/* Does the memory policy or the cpuset of the task exclude the node? */
static bool is_forbidden(int nid)
{
#ifdef CONFIG_NUMA
	const struct mempolicy *policy = current->mempolicy;

	if (policy && policy->mode == MPOL_BIND && !node_isset(nid, policy->nodes))
		return true;
#endif

	return !node_isset(nid, cpuset_current_mems_allowed);
}

/*
 * May this task take chunks of the node, and add them for others? Nodes without
 * a CPU are excluded, because no task would take their chunks.
 */
static bool is_allowed(int nid)
{
#ifdef CONFIG_NUMA
	if (current->mempolicy || !node_state(nid, N_CPU))
		return false;
#endif

	return !is_forbidden(nid);
}

/* The node that the page allocator would look at first */
static int preferred_node(unsigned int kind)
{
	const gfp_t gfp = kind & HEAP_POOL_DMA32 ? GFP_USER | GFP_DMA32 : GFP_HIGHUSER;
	struct zoneref *z;

	z = first_zones_zonelist(node_zonelist(numa_mem_id(), gfp), gfp_zone(gfp), NULL);

	return zonelist_zone(z) ? zonelist_node_idx(z) : numa_mem_id();
}

/**
 * heap_pool_put() - give chunks of a buffer to the pool
 * @kind: bits of &enum heap_pool_kind of the chunks
 * @chunks: list of the chunks by &page.lru; empty afterwards
 *
 * Chunks that the pool does not accept go to the page allocator.
 *
 * Context: Process context. May sleep.
 */
void heap_pool_put(unsigned int kind, struct list_head *chunks)
{
	enum heap_pool_state state = HEAP_POOL_DIRTY;
	struct page *page, *next;
	LIST_HEAD(refused);
	bool added = false;

	if (is_off()) {
		heap_pool_give_back(kind, chunks);
		return;
	}

	if (want_init_on_free())
		state = HEAP_POOL_CLEAN;
	list_for_each_entry_safe(page, next, chunks, lru) {
		cond_resched();
		list_del(&page->lru);
		if (is_usable(page) && is_allowed(page_to_nid(page)) &&
		    has_room(&nodes[page_to_nid(page)], page, state)) {
			if (state == HEAP_POOL_CLEAN)
				heap_pool_clear_chunk(kind, page);
			if (add_chunk(kind, page, state)) {
				added = true;
				continue;
			}
		}
		list_add(&page->lru, &refused);
		count_event(compound_order(page), REFUSED);
		trace_dma_heap_pool_put(kind, compound_order(page), page_to_nid(page),
					event_names[REFUSED]);
	}
	if (added) {
		if (state == HEAP_POOL_DIRTY)
			queue_work(clear_wq, &clear_work);
		queue_delayed_work(free_wq, &age_work, AGE_INTERVAL);
	}
	heap_pool_give_back(kind, &refused);
}
EXPORT_SYMBOL_NS_GPL(heap_pool_put, "DMA_BUF_HEAP");

/* Take the latest chunk, a clean one if there is any. */
static struct page *take_latest(struct heap_pool_node *node, unsigned int kind,
				unsigned int order, enum heap_pool_state *state)
{
	struct page *page;

	/* Unlocked: if this misses a chunk, the page allocator provides one. */
	if (!READ_ONCE(node->pages[HEAP_POOL_CLEAN]) && !READ_ONCE(node->pages[HEAP_POOL_DIRTY]))
		return NULL;

	guard(spinlock)(&node->lock);
	for (*state = 0; *state < HEAP_POOL_STATES; (*state)++) {
		page = list_first_entry_or_null(&node->lists[*state][kind][order].chunks,
						struct page, lru);
		if (page) {
			remove_chunk(node, kind, page, *state);
			return page;
		}
	}

	return NULL;
}

/**
 * heap_pool_get() - take a chunk from the pool
 * @kind: bits of &enum heap_pool_kind
 * @order: the order of the chunk
 *
 * The chunk is cleared. With HEAP_POOL_UNCACHED, it is also prepared by
 * dma_uncached_prepare(). It is of the node that the page allocator would look
 * at first.
 *
 * Context: Process context. May sleep.
 * Return: The chunk, which is a compound page unless @order is 0, or NULL.
 */
struct page *heap_pool_get(unsigned int kind, unsigned int order)
{
	const int nid = preferred_node(kind);
	enum heap_pool_event event;
	enum heap_pool_state state;
	struct heap_pool_node *node;
	struct page *page;
	LIST_HEAD(unusable);

	if (is_off() || !is_allowed(nid))
		return NULL;

	node = &nodes[nid];
	while ((page = take_latest(node, kind, order, &state)) && !is_usable(page)) {
		freed_chunk(kind, page, REFUSED);
		list_add(&page->lru, &unusable);
	}
	heap_pool_give_back(kind, &unusable);
	event = !page ? MISSED : state == HEAP_POOL_CLEAN ? TAKEN_CLEAN : TAKEN_DIRTY;
	count_event(order, event);
	trace_dma_heap_pool_get(kind, order, nid, event_names[event]);
	if (!page)
		return NULL;

	set_page_private(page, 0);
	if (state == HEAP_POOL_DIRTY)
		heap_pool_clear_chunk(kind, page);

	return page;
}
EXPORT_SYMBOL_NS_GPL(heap_pool_get, "DMA_BUF_HEAP");

/*
 * Take the oldest of the largest dirty chunks off its list. It still counts as
 * dirty. The oldest goes first, so that clean lists have the latest first.
 */
static struct page *take_dirty(struct heap_pool_node *node, unsigned int *kind)
{
	struct list_head *chunks;
	struct page *page;
	int order;

	guard(spinlock)(&node->lock);
	for (order = MAX_PAGE_ORDER; order >= 0; order--) {
		for (*kind = 0; *kind < HEAP_POOL_KINDS; (*kind)++) {
			chunks = &node->lists[HEAP_POOL_DIRTY][*kind][order].chunks;
			if (list_empty(chunks))
				continue;
			page = list_last_entry(chunks, struct page, lru);
			unlink_chunk(node, *kind, page, HEAP_POOL_DIRTY);
			return page;
		}
	}

	return NULL;
}

/*
 * Put a chunk back as clean. Return false if it is not @usable, or if the pool
 * was switched off meanwhile.
 */
static bool put_clean(struct heap_pool_node *node, unsigned int kind, struct page *page,
		      bool usable)
{
	const long nr = chunk_pages(page);

	guard(spinlock)(&node->lock);
	count_pages(node, page, HEAP_POOL_DIRTY, -nr);
	if (!usable || is_off())
		return false;
	link_chunk(node, kind, page, HEAP_POOL_CLEAN);
	count_pages(node, page, HEAP_POOL_CLEAN, nr);

	return true;
}

/* Clear a dirty chunk of the node. Return its size in bytes, or 0 if none. */
static size_t clear_one(int nid)
{
	struct heap_pool_node *node = &nodes[nid];
	LIST_HEAD(refused);
	struct page *page;
	unsigned int kind;
	bool usable;
	size_t size;

	guard(mutex)(&clear_lock);
	page = take_dirty(node, &kind);
	if (!page)
		return 0;
	size = page_size(page);
	usable = is_usable(page);
	if (usable) {
		heap_pool_clear_chunk(kind, page);
		count_event(compound_order(page), CLEARED);
		trace_dma_heap_pool_clear(kind, compound_order(page), nid, event_names[CLEARED]);
	}
	if (!put_clean(node, kind, page, usable)) {
		freed_chunk(kind, page, REFUSED);
		list_add(&page->lru, &refused);
		heap_pool_give_back(kind, &refused);
	}

	return size;
}

static void heap_pool_clear_dirty(struct work_struct *work)
{
	size_t size, done;
	bool more = false;
	int nid;

	for_each_node(nid) {
		done = 0;
		while (done < MAX_WORK && (size = clear_one(nid))) {
			done += size;
			cond_resched();
		}
		more |= done >= MAX_WORK;
	}
	if (more)
		queue_work(clear_wq, &clear_work);
}

/*
 * Take some of the oldest chunks that were freed before @since off a list.
 * Return the number of their pages.
 */
static unsigned long take_older(struct heap_pool_node *node, unsigned int kind,
				unsigned int order, enum heap_pool_state state,
				unsigned long since, struct list_head *old)
{
	struct list_head *chunks = &node->lists[state][kind][order].chunks;
	unsigned long nr = 0, taken;
	struct page *page;

	guard(spinlock)(&node->lock);
	for (taken = 0; taken < MAX_TAKEN && nr < MAX_LEAVING && !list_empty(chunks); taken++) {
		page = list_last_entry(chunks, struct page, lru);
		if (time_after(page_private(page), since))
			break;
		nr += chunk_pages(page);
		remove_chunk(node, kind, page, state);
		list_add_tail(&page->lru, old);
	}

	return nr;
}

/* Give back some of the chunks that take_older() takes. Return their pages. */
static unsigned long trim_some(struct heap_pool_node *node, unsigned int kind,
			       unsigned int order, enum heap_pool_state state,
			       unsigned long since, enum heap_pool_event event)
{
	unsigned long nr;
	struct page *page;
	LIST_HEAD(old);

	guard(mutex)(&free_lock);
	nr = take_older(node, kind, order, state, since, &old);
	list_for_each_entry(page, &old, lru)
		freed_chunk(kind, page, event);
	heap_pool_give_back(kind, &old);
	WRITE_ONCE(nr_left, nr_left + nr);

	return nr;
}

/* Give back all chunks that were freed before @since. */
static void trim(unsigned long since, enum heap_pool_event event)
{
	unsigned int state, kind, order;
	int nid;

	for_each_node(nid) {
		for (state = 0; state < HEAP_POOL_STATES; state++) {
			for (kind = 0; kind < HEAP_POOL_KINDS; kind++) {
				for (order = 0; order < NR_PAGE_ORDERS; order++) {
					while (trim_some(&nodes[nid], kind, order, state, since,
							 event))
						;
				}
			}
		}
	}
}

static bool is_empty(void)
{
	int nid;

	for_each_node(nid) {
		if (READ_ONCE(nodes[nid].pages[HEAP_POOL_CLEAN]) ||
		    READ_ONCE(nodes[nid].pages[HEAP_POOL_DIRTY]) ||
		    READ_ONCE(nodes[nid].nr_leaving))
			return false;
	}

	return true;
}

static void heap_pool_age(struct work_struct *work)
{
	trim(jiffies - MAX_AGE, AGED);
	if (!is_empty())
		queue_delayed_work(free_wq, &age_work, AGE_INTERVAL);
}

/**
 * heap_pool_zone_pages() - get how many pages of a zone are in the pool
 * @zone: the zone
 *
 * Context: Any context.
 * Return: Number of pages.
 */
unsigned long heap_pool_zone_pages(struct zone *zone)
{
	return nodes ? READ_ONCE(nodes[zone_to_nid(zone)].zones[zone_idx(zone)]) : 0;
}
EXPORT_SYMBOL_NS_GPL(heap_pool_zone_pages, "DMA_BUF_HEAP");

/**
 * heap_pool_drain() - give all chunks back to the page allocator
 *
 * Chunks that are put into the pool meanwhile may stay.
 *
 * Context: Process context. May sleep.
 */
void heap_pool_drain(void)
{
	if (!nodes)
		return;

	trim(jiffies, DRAINED);
	/*
	 * One chunk may be on its way from one list to another. Do not wait for
	 * the work item itself: it runs as long as there are dirty chunks.
	 */
	mutex_lock(&clear_lock);
	mutex_unlock(&clear_lock);
	trim(jiffies, DRAINED);
	/* The shrinker may have left chunks to the work item. */
	free_all_leaving();
}
EXPORT_SYMBOL_NS_GPL(heap_pool_drain, "DMA_BUF_HEAP");

/*
 * Take a chunk of at least @order from zones up to @zone: the smallest, of the
 * first kind that has one, a dirty one if possible.
 */
static struct page *take_fitting(struct heap_pool_node *node, unsigned int order,
				 enum zone_type zone, unsigned int *kind)
{
	struct list_head *chunks;
	unsigned int state, n;
	struct page *page;

	guard(spinlock)(&node->lock);
	for (; order < NR_PAGE_ORDERS; order++) {
		for (*kind = 0; *kind < HEAP_POOL_KINDS; (*kind)++) {
			for (state = HEAP_POOL_STATES; state--;) {
				n = 0;
				chunks = &node->lists[state][*kind][order].chunks;
				list_for_each_entry_reverse(page, chunks, lru) {
					if (page_zonenum(page) <= zone) {
						remove_chunk(node, *kind, page, state);
						return page;
					}
					if (++n == MAX_LOOK)
						break;
				}
			}
		}
	}

	return NULL;
}

static bool reclaim_from(int nid, gfp_t gfp, unsigned int order)
{
	struct page *page;
	unsigned int kind;
	LIST_HEAD(chunk);

	if (is_forbidden(nid))
		return false;
	page = take_fitting(&nodes[nid], order, gfp_zone(gfp), &kind);
	if (!page)
		return false;
	freed_chunk(kind, page, OTHERS);
	list_add(&page->lru, &chunk);
	heap_pool_give_back(kind, &chunk);

	return true;
}

/**
 * heap_pool_reclaim() - give a chunk back to the page allocator
 * @gfp: flags of the allocation that failed, which select the zones
 * @order: minimum order of the chunk
 *
 * Call this when the page allocator has no chunk of @order. The pool may have
 * chunks of other kinds, orders or nodes.
 *
 * Context: Process context. May sleep.
 * Return: True if the allocation is worth another try: this task gave a chunk
 * back, or another task may have.
 */
bool heap_pool_reclaim(gfp_t gfp, unsigned int order)
{
	bool reclaimed = false;
	int nid;

	if (!nodes)
		return false;

	/* Another task frees chunks. Wait only if no smaller order is left. */
	if (!mutex_trylock(&free_lock)) {
		if (order || mutex_lock_killable(&free_lock))
			return false;
		reclaimed = true;
	}
	reclaimed = reclaimed || free_leaving() || reclaim_from(numa_mem_id(), gfp, order);
	for_each_node(nid) {
		if (reclaimed)
			break;
		reclaimed = reclaim_from(nid, gfp, order);
	}
	mutex_unlock(&free_lock);

	return reclaimed;
}
EXPORT_SYMBOL_NS_GPL(heap_pool_reclaim, "DMA_BUF_HEAP");

/* Free some of the leaving chunks. Return the number of pages. */
static unsigned long free_leaving_of(struct heap_pool_node *node, unsigned int kind)
{
	unsigned long nr = 0, taken;
	LIST_HEAD(leaving);
	struct page *page;
	int nid;

	lockdep_assert_held(&free_lock);
	scoped_guard(spinlock, &node->lock) {
		for (taken = 0; taken < MAX_TAKEN && nr < MAX_LEAVING; taken++) {
			page = list_first_entry_or_null(&node->leaving[kind], struct page, lru);
			if (!page)
				break;
			nid = page_to_nid(page);
			nr += chunk_pages(page);
			list_move_tail(&page->lru, &leaving);
		}
	}
	if (!nr)
		return 0;
	heap_pool_give_back(kind, &leaving);
	WRITE_ONCE(nr_left, nr_left + nr);
	scoped_guard(spinlock, &node->lock)
		node->nr_leaving -= nr;
	mod_node_page_state(NODE_DATA(nid), NR_KERNEL_MISC_RECLAIMABLE, -(long)nr);

	return nr;
}

static unsigned long free_leaving(void)
{
	unsigned long nr = 0;
	unsigned int kind;
	int nid;

	for_each_node(nid) {
		for (kind = 0; kind < HEAP_POOL_KINDS; kind++)
			nr += free_leaving_of(&nodes[nid], kind);
	}

	return nr;
}

static void free_all_leaving(void)
{
	unsigned long nr;

	do {
		guard(mutex)(&free_lock);
		nr = free_leaving();
	} while (nr);
}

static void heap_pool_leave(struct work_struct *work)
{
	free_all_leaving();
}

static unsigned long heap_pool_count(struct shrinker *shrinker, struct shrink_control *sc)
{
	const struct heap_pool_node *node = &nodes[sc->nid];

	return READ_ONCE(node->pages[HEAP_POOL_CLEAN]) +
	       READ_ONCE(node->pages[HEAP_POOL_DIRTY]) ?: SHRINK_EMPTY;
}

/*
 * Must the work item free these chunks? Restoring pages takes mutexes on x86,
 * and may wait for work items that reclaim must not wait for.
 */
static bool must_leave(unsigned int kind)
{
	return (kind & HEAP_POOL_UNCACHED) && dma_uncached_restore_waits();
}

/*
 * Take the oldest of the smallest chunks, which are of the least use. It is of
 * the first kind that has any; @leave selects the kinds that must leave. A
 * chunk that must leave counts as reclaimable until it is free.
 */
static struct page *take_for_shrinker(struct heap_pool_node *node, enum heap_pool_state state,
				      bool leave, unsigned long max_leaving,
				      unsigned int *kind, unsigned int *nr)
{
	struct list_head *chunks;
	unsigned int order;
	struct page *page;

	guard(spinlock)(&node->lock);
	for (*kind = 0; *kind < HEAP_POOL_KINDS; (*kind)++) {
		if (must_leave(*kind) != leave || (leave && node->nr_leaving >= max_leaving))
			continue;
		for (order = 0; order < NR_PAGE_ORDERS; order++) {
			chunks = &node->lists[state][*kind][order].chunks;
			if (list_empty(chunks))
				continue;
			page = list_last_entry(chunks, struct page, lru);
			*nr = chunk_pages(page);
			remove_chunk(node, *kind, page, state);
			freed_chunk(*kind, page, SHRUNK);
			if (leave) {
				list_add_tail(&page->lru, &node->leaving[*kind]);
				node->nr_leaving += *nr;
				mod_node_page_state(page_pgdat(page), NR_KERNEL_MISC_RECLAIMABLE,
						    *nr);
			}
			return page;
		}
	}

	return NULL;
}

/* Free or queue @nr_to_scan pages. Return the number of pages freed here. */
static unsigned long shrink(struct heap_pool_node *node, unsigned long nr_to_scan,
			    unsigned long max_leaving, unsigned long *scanned)
{
	enum heap_pool_state state = HEAP_POOL_DIRTY;
	bool leave = false, leaving = false;
	unsigned long freed = 0;
	unsigned int kind, nr;
	struct page *page;
	LIST_HEAD(chunk);

	*scanned = 0;
	while (*scanned < nr_to_scan) {
		page = take_for_shrinker(node, state, leave, max_leaving, &kind, &nr);
		if (!page) {
			if (state == HEAP_POOL_DIRTY) {
				state = HEAP_POOL_CLEAN;
			} else if (!leave) {
				/* Chunks for the work item come last. */
				state = HEAP_POOL_DIRTY;
				leave = true;
			} else {
				break;
			}
			continue;
		}
		*scanned += nr;
		/* Do not touch the chunk: it may be free by now. */
		if (leave) {
			leaving = true;
			continue;
		}
		freed += nr;
		list_add(&page->lru, &chunk);
		heap_pool_give_back(kind, &chunk);
	}
	if (leaving)
		queue_work(free_wq, &leave_work);

	return freed;
}

static unsigned long heap_pool_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long freed = shrink(&nodes[sc->nid], sc->nr_to_scan, MAX_LEAVING,
				     &sc->nr_scanned);

	mm_account_reclaimed_pages(freed);

	/* Stop if the work item has enough to free. */
	return sc->nr_scanned ? freed : SHRINK_STOP;
}

/*
 * Hold off the OOM killer while the work items free chunks: reclaim does not
 * wait for them. Do not wait here, because the work item may need memory
 * itself. Report freed pages instead, so that the allocation is retried.
 *
 * Pause if aging, draining and free_leaving() have freed nothing for
 * OOM_PATIENCE, even if the notifier itself has, until they free something.
 * Stop after MAX_AGE: the memory may be useless to the task, and the pool may be
 * refilled meanwhile. Start again when MAX_AGE has passed without a call. Until
 * then, reclaim still gets what the shrinker can free.
 */
static int heap_pool_oom(struct notifier_block *nb, unsigned long unused, void *freed)
{
	unsigned long *nr = freed, scanned, all = 0;
	const u64 now = get_jiffies_64();
	int nid;

	if (is_empty() && !mutex_is_locked(&free_lock))
		return NOTIFY_OK;

	if (!oom_last || now > oom_last + MAX_AGE) {
		oom_first = now;
		oom_progress = now;
	}
	oom_last = now;
	if (oom_left != READ_ONCE(nr_left)) {
		oom_left = READ_ONCE(nr_left);
		oom_progress = now;
	}
	if (now >= oom_progress + OOM_PATIENCE || now >= oom_first + MAX_AGE)
		return NOTIFY_OK;
	for_each_node(nid)
		all += shrink(&nodes[nid], MAX_LEAVING, ULONG_MAX, &scanned);
	*nr += all ?: 1;

	return NOTIFY_OK;
}

static struct notifier_block heap_pool_oom_nb = {
	.notifier_call = heap_pool_oom,
};

static int heap_pool_set_percent(const char *val, const struct kernel_param *kp)
{
	int ret = param_set_uint_minmax(val, kp, 0, 100);

	if (!ret)
		heap_pool_drain();

	return ret;
}

static const struct kernel_param_ops percent_ops = {
	.set = heap_pool_set_percent,
	.get = param_get_uint,
};

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "dma_heap_pool."
module_param_cb(percent, &percent_ops, &percent, 0644);
MODULE_PARM_DESC(percent, "Percentage of the memory of a node that may be in the pool, 0 for none");

static int heap_pool_pm_notify(struct notifier_block *nb, unsigned long event, void *unused)
{
	switch (event) {
	case PM_HIBERNATION_PREPARE:
	case PM_RESTORE_PREPARE:
	case PM_SUSPEND_PREPARE:
		WRITE_ONCE(stopped, true);
		heap_pool_drain();
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_RESTORE:
	case PM_POST_SUSPEND:
		WRITE_ONCE(stopped, false);
		break;
	}

	return NOTIFY_DONE;
}

static int heap_pool_chunks_show(struct seq_file *m, void *unused)
{
	struct heap_pool_list (*lists)[HEAP_POOL_KINDS][NR_PAGE_ORDERS];
	unsigned int kind, order;
	unsigned long clean, dirty;
	int nid;

	seq_puts(m, "node order uncached dma32      clean      dirty\n");
	for_each_node(nid) {
		lists = nodes[nid].lists;
		for (order = 0; order < NR_PAGE_ORDERS; order++) {
			for (kind = 0; kind < HEAP_POOL_KINDS; kind++) {
				clean = READ_ONCE(lists[HEAP_POOL_CLEAN][kind][order].nr);
				dirty = READ_ONCE(lists[HEAP_POOL_DIRTY][kind][order].nr);
				if (!clean && !dirty)
					continue;
				seq_printf(m, "%4d %5u %8u %5u %10lu %10lu\n", nid, order,
					   !!(kind & HEAP_POOL_UNCACHED),
					   !!(kind & HEAP_POOL_DMA32), clean, dirty);
			}
		}
	}

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(heap_pool_chunks);

static unsigned long sum_events(unsigned int order, unsigned int event)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(heap_pool_events, cpu).nr[order][event];

	return sum;
}

static int heap_pool_events_show(struct seq_file *m, void *unused)
{
	unsigned int order, event;

	seq_puts(m, "order");
	for (event = 0; event < HEAP_POOL_EVENTS; event++)
		seq_printf(m, " %10s", event_names[event]);
	seq_putc(m, '\n');
	for (order = 0; order < NR_PAGE_ORDERS; order++) {
		seq_printf(m, "%5u", order);
		for (event = 0; event < HEAP_POOL_EVENTS; event++)
			seq_printf(m, " %10lu", sum_events(order, event));
		seq_putc(m, '\n');
	}

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(heap_pool_events);

static int heap_pool_drain_set(void *unused, u64 val)
{
	heap_pool_drain();

	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(heap_pool_drain_fops, NULL, heap_pool_drain_set, "%llu\n");

static void __init heap_pool_init_debugfs(void)
{
	struct dentry *dir;

	/* There is no pool. */
	if (debug_pagealloc_enabled() || page_poisoning_enabled())
		return;
	dir = debugfs_create_dir("dma_heap_pool", NULL);
	debugfs_create_file("chunks", 0444, dir, NULL, &heap_pool_chunks_fops);
	debugfs_create_file("events", 0444, dir, NULL, &heap_pool_events_fops);
	debugfs_create_file_unsafe("drain", 0200, dir, NULL, &heap_pool_drain_fops);
}

#if IS_ENABLED(CONFIG_KUNIT)
/* Are chunks kept when they are freed? */
bool heap_pool_kunit_exists(void)
{
	return nodes && !debug_pagealloc_enabled() && !page_poisoning_enabled();
}

/* Return the old value. */
unsigned int heap_pool_kunit_set_percent(unsigned int new_percent)
{
	unsigned int old = percent;

	WRITE_ONCE(percent, new_percent);
	heap_pool_drain();

	return old;
}

unsigned long heap_pool_kunit_chunks(unsigned int kind, unsigned int order, bool clean)
{
	const unsigned int state = clean ? HEAP_POOL_CLEAN : HEAP_POOL_DIRTY;
	unsigned long nr = 0;
	int nid;

	for_each_node(nid)
		nr += READ_ONCE(nodes[nid].lists[state][kind][order].nr);

	return nr;
}

static unsigned long count_none(struct shrinker *shrinker, struct shrink_control *sc)
{
	return SHRINK_EMPTY;
}

/* Hide chunks from reclaim, which also runs while memory is free. */
void heap_pool_kunit_hide(bool hide)
{
	WRITE_ONCE(shrinker->count_objects, hide ? count_none : heap_pool_count);
}

/* Keep chunks in their state until heap_pool_kunit_resume(). */
void heap_pool_kunit_pause(void)
{
	disable_work_sync(&clear_work);
	disable_delayed_work_sync(&age_work);
	oom_last = 0;
}

/* All dirty chunks are clean when it returns. */
void heap_pool_kunit_resume(void)
{
	int nid;

	/* Stubs work in this task only. A run is bounded, so repeat it. */
	for_each_node(nid) {
		while (READ_ONCE(nodes[nid].pages[HEAP_POOL_DIRTY]))
			heap_pool_clear_dirty(NULL);
	}
	enable_work(&clear_work);
	enable_delayed_work(&age_work);
	queue_delayed_work(free_wq, &age_work, AGE_INTERVAL);
}

void heap_pool_kunit_age(void)
{
	trim(jiffies - MAX_AGE, AGED);
}

unsigned long heap_pool_kunit_count(int nid)
{
	struct shrink_control sc = { .nid = nid };

	return heap_pool_count(shrinker, &sc);
}

/* Return when the work item has freed its chunks. */
unsigned long heap_pool_kunit_scan(int nid, unsigned long nr)
{
	struct shrink_control sc = { .nid = nid, .nr_to_scan = nr };
	unsigned long freed = heap_pool_scan(shrinker, &sc);

	flush_work(&leave_work);

	return freed;
}

/* Return the pages reported to the OOM killer. @leave: run the work item. */
unsigned long heap_pool_kunit_oom(bool leave)
{
	unsigned long freed = 0;

	if (!leave)
		disable_work_sync(&leave_work);
	scoped_guard(mutex, &oom_lock)
		heap_pool_oom(NULL, 0, &freed);
	flush_work(&leave_work);
	if (!leave)
		enable_work(&leave_work);

	return freed;
}

/* Switch the pool off, but do not drain it. */
void heap_pool_kunit_stop(bool stop)
{
	WRITE_ONCE(stopped, stop);
}

void heap_pool_kunit_pm_event(unsigned long event)
{
	heap_pool_pm_notify(NULL, event, NULL);
}
#endif

static int __init heap_pool_init_wq(void)
{
	struct workqueue_attrs *attrs;

	/* WQ_SYSFS lets the administrator choose CPUs and priority. */
	clear_wq = alloc_workqueue("dma_heap_pool", WQ_UNBOUND | WQ_FREEZABLE | WQ_SYSFS, 1);
	/* Not WQ_MEM_RECLAIM: restoring may wait for work items without it. */
	free_wq = alloc_workqueue("dma_heap_pool_free", WQ_UNBOUND | WQ_SYSFS, 1);
	attrs = alloc_workqueue_attrs();
	if (!clear_wq || !free_wq || !attrs) {
		free_workqueue_attrs(attrs);
		return -ENOMEM;
	}
	attrs->nice = MAX_NICE;
	/* Not fatal: clearing then takes more CPU time from other tasks. */
	if (apply_workqueue_attrs(clear_wq, attrs))
		pr_warn("cannot lower the priority\n");
	free_workqueue_attrs(attrs);

	return 0;
}

static void __init init_node(struct heap_pool_node *node)
{
	unsigned int state, kind, order;

	spin_lock_init(&node->lock);
	for (kind = 0; kind < HEAP_POOL_KINDS; kind++) {
		INIT_LIST_HEAD(&node->leaving[kind]);
		for (state = 0; state < HEAP_POOL_STATES; state++) {
			for (order = 0; order < NR_PAGE_ORDERS; order++)
				INIT_LIST_HEAD(&node->lists[state][kind][order].chunks);
		}
	}
}

static int __init heap_pool_init(void)
{
	struct heap_pool_node *all;
	unsigned int i;

	all = kvzalloc_objs(*all, nr_node_ids);
	shrinker = shrinker_alloc(SHRINKER_NUMA_AWARE, "dma-heap-pool");
	if (!all || !shrinker || heap_pool_init_wq())
		goto err_free;
	for (i = 0; i < nr_node_ids; i++)
		init_node(&all[i]);

	shrinker->count_objects = heap_pool_count;
	shrinker->scan_objects = heap_pool_scan;
	/* Replacing a chunk takes no I/O, unlike most reclaimable memory. */
	shrinker->seeks = 0;
	nodes = all;
	shrinker_register(shrinker);
	register_oom_notifier(&heap_pool_oom_nb);
	/* Uncached pages must be gone when dma_uncached_pm_event() looks for them. */
	pm_notifier(heap_pool_pm_notify, 1);
	heap_pool_init_debugfs();

	return 0;

err_free:
	/* Heaps work without the pool. */
	pr_warn("no memory for the pool\n");
	if (clear_wq)
		destroy_workqueue(clear_wq);
	if (free_wq)
		destroy_workqueue(free_wq);
	shrinker_free(shrinker);
	kvfree(all);

	return -ENOMEM;
}
subsys_initcall(heap_pool_init);
