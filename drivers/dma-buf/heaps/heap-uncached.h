/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages that the CPU accesses write-combined, for heaps of such buffers
 */

#ifndef _HEAP_UNCACHED_H
#define _HEAP_UNCACHED_H

#include <linux/errno.h>
#include <linux/types.h>

struct page;
struct sg_table;

/* what the name of a heap ends with */
#define HEAP_UNCACHED_SUFFIX	"-uncached"

#ifdef CONFIG_DMABUF_HEAPS_UNCACHED
int heap_make_uncached(const struct sg_table *table);
int heap_make_cached(struct sg_table *table);
#else
static inline int heap_make_uncached(const struct sg_table *table)
{
	return -EOPNOTSUPP;
}

static inline int heap_make_cached(struct sg_table *table)
{
	return 0;
}
#endif

#if IS_ENABLED(CONFIG_KUNIT)
int heap_change_range(struct page *page, unsigned int nr, bool uncached);
int heap_change_pages(struct page **pages, unsigned int nr, bool uncached);
void heap_clean_range(struct page *page, unsigned int nr);
#endif

#endif /* _HEAP_UNCACHED_H */
