/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of the CMA heaps for their KUnit suite
 */

#ifndef _CMA_HEAP_H
#define _CMA_HEAP_H

#include <linux/types.h>

#if IS_ENABLED(CONFIG_KUNIT)
struct page;
struct sg_table;

const char *cma_heap_name(const char *region, bool is_default);
const char *cma_heap_legacy_name(const char *region);
int cma_heap_clear_pages(struct page *page, unsigned long nr_pages);
int cma_heap_alloc_table(struct page *page, size_t len, struct sg_table *table);
#endif

#endif /* _CMA_HEAP_H */
