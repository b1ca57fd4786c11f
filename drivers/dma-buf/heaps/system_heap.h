/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of the system heap for its KUnit suite
 */

#ifndef _SYSTEM_HEAP_H
#define _SYSTEM_HEAP_H

#include <linux/types.h>

#if IS_ENABLED(CONFIG_KUNIT)
struct dma_buf;
struct dma_heap;
struct page;

struct page *system_heap_alloc_pages(gfp_t gfp, unsigned int order);
int system_heap_set_page_decrypted(struct page *page);
int system_heap_set_page_encrypted(struct page *page);
struct dma_buf *system_heap_alloc_buffer(struct dma_heap *heap, size_t len,
					 u32 fd_flags, bool cc_shared);
#endif

#endif /* _SYSTEM_HEAP_H */
