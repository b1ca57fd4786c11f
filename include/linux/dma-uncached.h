/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages that the CPU accesses uncached, to be mapped with DMA_ATTR_UNCACHED
 */

#ifndef _LINUX_DMA_UNCACHED_H
#define _LINUX_DMA_UNCACHED_H

#include <linux/errno.h>
#include <linux/types.h>

struct page;
struct sg_table;

#ifdef CONFIG_DMA_UNCACHED
int dma_uncached_prepare(struct sg_table *sgt);
void dma_uncached_restore(struct sg_table *sgt);
void dma_uncached_clear(struct page *page, unsigned int nr);
#else
static inline int dma_uncached_prepare(struct sg_table *sgt)
{
	return -EOPNOTSUPP;
}

static inline void dma_uncached_restore(struct sg_table *sgt)
{
}

static inline void dma_uncached_clear(struct page *page, unsigned int nr)
{
}
#endif

/* Can dma_uncached_restore() wait for other tasks? Reclaim must not wait. */
static inline bool dma_uncached_restore_waits(void)
{
	return IS_ENABLED(CONFIG_ARCH_HAS_DMA_UNCACHED_PREPARE);
}

/* For architectures that select ARCH_HAS_DMA_UNCACHED_PREPARE */
int arch_dma_uncached_prepare(struct sg_table *sgt);
void arch_dma_uncached_restore(struct sg_table *sgt);

#if IS_ENABLED(CONFIG_KUNIT)
void dma_uncached_clean(struct page *page, unsigned int nr);
int dma_uncached_change_range(struct page *page, unsigned int nr, bool uncached);
int dma_uncached_change_pages(struct page **pages, unsigned int nr, bool uncached);
int dma_uncached_pm_event(unsigned long event);
#endif

#endif /* _LINUX_DMA_UNCACHED_H */
