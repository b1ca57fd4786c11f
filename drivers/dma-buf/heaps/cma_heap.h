/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suite of the CMA heaps sees of them.
 */

#ifndef _CMA_HEAP_H
#define _CMA_HEAP_H

#if IS_ENABLED(CONFIG_KUNIT)
struct page;

int cma_heap_clear_pages(struct page *page, unsigned long nr_pages);
#endif

#endif /* _CMA_HEAP_H */
