/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page pool of the DMA-BUF heaps
 */

#ifndef _HEAP_POOL_H
#define _HEAP_POOL_H

#include <linux/bits.h>
#include <linux/types.h>

struct list_head;
struct page;
struct zone;

/**
 * enum heap_pool_kind - kind of a chunk; chunks of one kind are interchangeable
 * @HEAP_POOL_UNCACHED: prepared with dma_uncached_prepare()
 * @HEAP_POOL_DMA32: below 4 GiB
 * @HEAP_POOL_KINDS: number of combinations of these bits
 */
enum heap_pool_kind {
	HEAP_POOL_UNCACHED	= BIT(0),
	HEAP_POOL_DMA32		= BIT(1),
	HEAP_POOL_KINDS		= BIT(2),
};

struct page *heap_pool_get(unsigned int kind, unsigned int order);
void heap_pool_put(unsigned int kind, struct list_head *chunks);
void heap_pool_give_back(unsigned int kind, struct list_head *chunks);
bool heap_pool_reclaim(gfp_t gfp, unsigned int order);
unsigned long heap_pool_zone_pages(struct zone *zone);
void heap_pool_drain(void);

#if IS_ENABLED(CONFIG_KUNIT) && !IS_ENABLED(CONFIG_DMABUF_HEAPS_POOL)
static inline unsigned int heap_pool_kunit_set_percent(unsigned int new_percent)
{
	return new_percent;
}
#elif IS_ENABLED(CONFIG_KUNIT)
unsigned int heap_pool_kunit_set_percent(unsigned int new_percent);
unsigned long heap_pool_kunit_chunks(unsigned int kind, unsigned int order, bool clean);
void heap_pool_kunit_hide(bool hide);
void heap_pool_kunit_pause(void);
void heap_pool_kunit_resume(void);
void heap_pool_kunit_age(void);
void heap_pool_clear_chunk(unsigned int kind, struct page *page);
bool heap_pool_kunit_exists(void);
void heap_pool_kunit_stop(bool stop);
unsigned long heap_pool_kunit_oom(bool leave);
unsigned long heap_pool_kunit_count(int nid);
unsigned long heap_pool_kunit_scan(int nid, unsigned long nr);
void heap_pool_kunit_pm_event(unsigned long event);
#endif

#endif /* _HEAP_POOL_H */
