/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suite of the buffers of heaps sees of them.
 */

#ifndef _DMA_HEAP_BUFFER_H
#define _DMA_HEAP_BUFFER_H

#include <linux/types.h>

#if IS_ENABLED(CONFIG_KUNIT)
struct dma_heap_buffer;
struct sg_table;

int dma_heap_copy_table(const struct sg_table *from, struct sg_table *to);
unsigned long dma_heap_run(struct dma_heap_buffer *buffer, pgoff_t pgoff, unsigned long *pfn);
void *dma_heap_map_kernel(struct dma_heap_buffer *buffer);
#endif

#endif /* _DMA_HEAP_BUFFER_H */
