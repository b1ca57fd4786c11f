// SPDX-License-Identifier: GPL-2.0
/*
 * Charging buffers of DMA-BUF heaps to cgroups
 */

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cgroup.h>
#include <linux/cgroup_dmem.h>
#include <linux/cleanup.h>
#include <linux/container_of.h>
#include <linux/dma-heap.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/memcontrol.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/pfn.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmstat.h>

#include "dma-heap-private.h"

/**
 * struct dma_heap_dmem - a region of the dmem cgroup controller
 * @list:	entry in the list of regions
 * @heaps:	reference count, one for each heap that charges to it
 * @region:	the region
 * @size:	its size in bytes
 * @name:	its name
 */
struct dma_heap_dmem {
	struct list_head list;
	struct kref heaps;
	struct dmem_cgroup_region *region;
	u64 size;
	char name[];
};

/* Protects the list and the lifetime of regions. */
static DEFINE_MUTEX(dmem_lock);
static LIST_HEAD(dmem_regions);

/*
 * Heaps of the same memory share a region. Returns it, NULL without the dmem
 * controller, or an error pointer: -EINVAL if another heap registered it with
 * another size, or -ENOMEM.
 */
struct dma_heap_dmem *dma_heap_dmem_get(const char *name, u64 size)
{
	const struct dmem_cgroup_init init = { .size = size };
	struct dma_heap_dmem *dmem;
	int ret;

	if (!IS_ENABLED(CONFIG_CGROUP_DMEM))
		return NULL;

	guard(mutex)(&dmem_lock);
	list_for_each_entry(dmem, &dmem_regions, list) {
		if (strcmp(dmem->name, name))
			continue;
		if (dmem->size != size)
			return ERR_PTR(-EINVAL);
		kref_get(&dmem->heaps);
		return dmem;
	}

	dmem = kzalloc_flex(*dmem, name, strlen(name) + 1);
	if (!dmem)
		return ERR_PTR(-ENOMEM);
	memcpy(dmem->name, name, strlen(name) + 1);
	dmem->size = size;
	kref_init(&dmem->heaps);
	dmem->region = dmem_cgroup_register_region(&init, "%s", name);
	if (IS_ERR(dmem->region)) {
		ret = PTR_ERR(dmem->region);
		kfree(dmem);
		return ERR_PTR(ret);
	}
	list_add(&dmem->list, &dmem_regions);

	return dmem;
}

static void dmem_free(struct kref *heaps)
{
	struct dma_heap_dmem *dmem = container_of(heaps, struct dma_heap_dmem, heaps);

	lockdep_assert_held(&dmem_lock);
	list_del(&dmem->list);
	/* Must come before another heap can register the name. */
	dmem_cgroup_unregister_region(dmem->region);
	kfree(dmem);
}

void dma_heap_dmem_put(struct dma_heap_dmem *dmem)
{
	if (!dmem)
		return;

	guard(mutex)(&dmem_lock);
	kref_put(&dmem->heaps, dmem_free);
}

static int charge_dmem(struct dma_heap_charge *charge, struct dma_heap_dmem *dmem, size_t size)
{
	int ret = dmem_cgroup_try_charge(dmem->region, size, &charge->dmem, NULL);

	/* -EAGAIN asks to evict something and to try again. Heaps do not. */
	return ret == -EAGAIN ? -ENOMEM : ret;
}

#ifdef CONFIG_MEMCG
/*
 * memcg adds a charge before it checks the limit, so a large charge can make
 * concurrent ones fail. Charge at most the size of an x86 huge page at once.
 */
#define MAX_STEP	SZ_2M
/* Up to this size, memcg retries for as long as reclaim makes progress. */
#define MIN_STEP	(PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER)

static void count_memcg(struct obj_cgroup *objcg, int nr)
{
	guard(rcu)();
	mod_memcg_state(obj_cgroup_memcg(objcg), MEMCG_DMA_HEAP, nr);
}

static void uncharge_memcg(struct obj_cgroup *objcg, size_t size)
{
	size_t step;

	for (; size; size -= step) {
		step = min(size, MAX_STEP);
		count_memcg(objcg, -(int)PFN_DOWN(step));
		obj_cgroup_uncharge(objcg, step);
	}
}

/* If @size alone exceeds a limit, reclaim cannot make room for it. */
static bool within_limits(struct obj_cgroup *objcg, size_t size)
{
	struct mem_cgroup *memcg;

	guard(rcu)();
	for (memcg = obj_cgroup_memcg(objcg); memcg; memcg = parent_mem_cgroup(memcg)) {
		if (PFN_DOWN(size) > READ_ONCE(memcg->memory.max)) {
			memcg_memory_event(memcg, MEMCG_MAX);
			return false;
		}
	}

	return true;
}

/*
 * Reclaim at the limit, but do not invoke the OOM killer. Try a nonblocking
 * charge first: above memory.high, each blocking charge is throttled, while
 * nonblocking ones are throttled together, in the next blocking charge or when
 * the task returns to userspace.
 */
static bool charge_step(struct obj_cgroup *objcg, size_t step)
{
	if (obj_cgroup_charge(objcg, GFP_NOWAIT, step) &&
	    obj_cgroup_charge(objcg, GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN, step))
		return false;
	count_memcg(objcg, PFN_DOWN(step));

	return true;
}

static int charge_memcg(struct dma_heap_charge *charge, size_t size)
{
	size_t done, step, max_step = MAX_STEP;
	struct obj_cgroup *objcg;
	int ret = -ENOMEM;

	objcg = get_obj_cgroup_from_current();
	if (!objcg || obj_cgroup_is_root(objcg)) {
		obj_cgroup_put(objcg);
		return 0;
	}

	if (!within_limits(objcg, size))
		goto err_put;
	for (done = 0; done < size;) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			goto err_uncharge;
		}
		step = min(size - done, max_step);
		if (charge_step(objcg, step))
			done += step;
		else if (step > MIN_STEP)
			max_step = MIN_STEP;
		else
			goto err_uncharge;
		cond_resched();
	}
	charge->objcg = objcg;

	return 0;

err_uncharge:
	uncharge_memcg(objcg, done);
err_put:
	obj_cgroup_put(objcg);

	return ret;
}
#else
static void uncharge_memcg(struct obj_cgroup *objcg, size_t size)
{
}

static int charge_memcg(struct dma_heap_charge *charge, size_t size)
{
	return 0;
}
#endif

/* Add the pages of a buffer to NR_DMA_HEAP of their nodes, or subtract them. */
void dma_heap_count_pages(const struct dma_heap_buffer *buffer, bool add)
{
	struct pglist_data *pgdat = NULL;
	struct scatterlist *sg;
	unsigned int i;
	long nr = 0;

	if (!dma_heap_is_memory(buffer->heap) && !dma_heap_is_set_aside(buffer->heap))
		return;
	if (dma_heap_properties(buffer->heap) & DMA_HEAP_PROTECTED)
		return;

	for_each_sgtable_sg(&buffer->table, sg, i) {
		if (page_pgdat(sg_page(sg)) != pgdat && nr) {
			mod_node_page_state(pgdat, NR_DMA_HEAP, add ? nr : -nr);
			nr = 0;
		}
		pgdat = page_pgdat(sg_page(sg));
		nr += PFN_DOWN(sg->length);
	}
	if (nr)
		mod_node_page_state(pgdat, NR_DMA_HEAP, add ? nr : -nr);
}

/* Does the kernel charge pages of the page allocator to memory cgroups? */
bool dma_heap_memory_charged(void)
{
	return dma_heap_mem_accounting && !mem_cgroup_disabled() && !mem_cgroup_kmem_disabled();
}

/* Could the heap ever have a buffer of that size? */
bool dma_heap_can_hold(struct dma_heap *heap, size_t size)
{
	if (dma_heap_size(heap) && size > dma_heap_size(heap))
		return false;

	return !dma_heap_is_memory(heap) || PFN_DOWN(size) <= totalram_pages();
}

/*
 * Charge the cgroup of the caller for a buffer of @size bytes. Returns 0,
 * -ENOMEM when a limit or the size of the heap does not allow it, or -EINTR
 * when the task is being killed.
 */
int dma_heap_charge(struct dma_heap *heap, size_t size, struct dma_heap_charge *charge)
{
	KUNIT_STATIC_STUB_REDIRECT(dma_heap_charge, heap, size, charge);

	*charge = (struct dma_heap_charge) { .size = size };
	/*
	 * Check this first: the dmem controller adds a charge before it checks
	 * the limit, and memcg would reclaim in vain.
	 */
	if (!dma_heap_can_hold(heap, size))
		return -ENOMEM;
	if (dma_heap_dmem(heap))
		return charge_dmem(charge, dma_heap_dmem(heap), size);
	if (!dma_heap_is_memory(heap))
		return 0;
	if (!dma_heap_memory_charged())
		return 0;

	return charge_memcg(charge, size);
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_charge);

/* Undo dma_heap_charge(), from any task, even if the cgroup was removed. */
void dma_heap_uncharge(struct dma_heap_charge *charge)
{
	KUNIT_STATIC_STUB_REDIRECT(dma_heap_uncharge, charge);

	dmem_cgroup_uncharge(charge->dmem, charge->size);
	if (!charge->objcg)
		return;
	uncharge_memcg(charge->objcg, charge->size);
	obj_cgroup_put(charge->objcg);
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_uncharge);

/* Does the kernel charge buffers to dmem regions? */
bool dma_heap_dmem_charged(void)
{
#ifdef CONFIG_CGROUP_DMEM
	return cgroup_subsys_enabled(dmem_cgrp_subsys);
#else
	return false;
#endif
}

/**
 * dma_heap_gfp_account() - get the flag for memory that describes a buffer
 *
 * For memory that grows with a buffer, such as its scatterlist. The core
 * charges the buffer itself.
 *
 * Context: Any context.
 * Return: __GFP_ACCOUNT if memory is charged to cgroups, or 0.
 */
gfp_t dma_heap_gfp_account(void)
{
	return dma_heap_mem_accounting ? __GFP_ACCOUNT : 0;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_gfp_account, "DMA_BUF_HEAP");
