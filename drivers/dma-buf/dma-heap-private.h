/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Internals of the DMA-BUF heap core, also used by KUnit suites
 */

#ifndef _DMA_HEAP_PRIVATE_H
#define _DMA_HEAP_PRIVATE_H

#include <linux/sizes.h>
#include <linux/types.h>

struct dma_buf;
struct dma_buf_export_info;
struct dma_heap;
struct dma_heap_buffer;
struct dma_heap_charge;
struct dma_heap_dmem;
struct dma_heap_info;
struct scatterlist;
struct sg_table;

/**
 * enum dma_heap_failure - why a buffer was not allocated
 * @DMA_HEAP_FAILURE_ARGUMENT:	flags or a length that are invalid for any heap;
 *				the heap was not called
 * @DMA_HEAP_FAILURE_LIMIT:	the limit of a cgroup
 * @DMA_HEAP_FAILURE_MEMORY:	not enough memory is free
 * @DMA_HEAP_FAILURE_CONTIGUOUS: enough memory is free, but not in one piece, or
 *				some of it could probably not be migrated
 * @DMA_HEAP_FAILURE_KILLED:	a fatal signal
 * @DMA_HEAP_FAILURE_OTHER:	any other error, or -ENOMEM although enough
 *				memory is free or the heap does not report how
 *				much is
 * @DMA_HEAP_FAILURES:		number of reasons
 */
enum dma_heap_failure {
	DMA_HEAP_FAILURE_ARGUMENT,
	DMA_HEAP_FAILURE_LIMIT,
	DMA_HEAP_FAILURE_MEMORY,
	DMA_HEAP_FAILURE_CONTIGUOUS,
	DMA_HEAP_FAILURE_KILLED,
	DMA_HEAP_FAILURE_OTHER,
	DMA_HEAP_FAILURES,
};

/**
 * struct dma_heap_counters - usage of a heap
 * @buffers:	number of buffers
 * @bytes:	sum of the sizes of these buffers
 * @peak:	highest value that @bytes has had
 * @failures:	number of allocations that failed in the heap or at a limit
 * @reasons:	failures by reason; only those of arguments are not in @failures
 */
struct dma_heap_counters {
	u64 buffers;
	u64 bytes;
	u64 peak;
	u64 failures;
	u64 reasons[DMA_HEAP_FAILURES];
};

/* Bytes of a buffer for each entry of struct dma_heap_index */
#define DMA_HEAP_INDEX_STEP	SZ_2M

/**
 * struct dma_heap_index - index of the chunks of a buffer by page
 * @nr:		number of entries
 * @entry:	for every DMA_HEAP_INDEX_STEP bytes of the buffer, the chunk
 *		that contains the first of them
 * @entry.sg:	scatterlist entry of that chunk
 * @entry.start: offset of that chunk in the buffer, in pages
 */
struct dma_heap_index {
	size_t nr;
	struct {
		struct scatterlist *sg;
		pgoff_t start;
	} entry[] __counted_by(nr);
};

extern bool dma_heap_mem_accounting;

/* Are buffers pages of the page allocator? */
bool dma_heap_is_memory(struct dma_heap *heap);
/* Did the owner name a dmem region? True even without the controller. */
bool dma_heap_is_set_aside(struct dma_heap *heap);
/* Size in bytes or an upper limit of it, or 0 */
u64 dma_heap_size(struct dma_heap *heap);
/* The dmem region that buffers are charged to, or NULL */
struct dma_heap_dmem *dma_heap_dmem(struct dma_heap *heap);

bool dma_heap_can_hold(struct dma_heap *heap, size_t size);
bool dma_heap_dmem_charged(void);
struct dma_heap_dmem *dma_heap_dmem_get(const char *name, u64 size);
void dma_heap_dmem_put(struct dma_heap_dmem *dmem);
bool dma_heap_memory_charged(void);
int dma_heap_charge(struct dma_heap *heap, size_t size, struct dma_heap_charge *charge);
void dma_heap_uncharge(struct dma_heap_charge *charge);
void dma_heap_count_pages(const struct dma_heap_buffer *buffer, bool add);

struct dma_buf *dma_heap_export(struct dma_heap *heap,
				struct dma_buf_export_info *exp_info);
void dma_heap_unexport(struct dma_heap *heap, size_t size);

#if IS_ENABLED(CONFIG_KUNIT)
dev_t dma_heap_kunit_devt(struct dma_heap *heap);
int dma_heap_get_info(struct dma_heap *heap, struct dma_heap_info *info);
void dma_heap_kunit_counters(struct dma_heap *heap, struct dma_heap_counters *counters);

int dma_heap_buffer_copy_table(const struct sg_table *from, struct sg_table *to);
void *dma_heap_buffer_map_kernel(struct dma_heap_buffer *buffer);
struct scatterlist *dma_heap_find_chunk(const struct dma_heap_buffer *buffer,
					pgoff_t pgoff, pgoff_t *start);
#endif

#endif /* _DMA_HEAP_PRIVATE_H */
