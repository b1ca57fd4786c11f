/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the DMA-BUF heap core offers to owners of heaps and to drivers
 *
 * Copyright (C) 2011 Google, Inc.
 * Copyright (C) 2019 Linaro Ltd.
 */

#ifndef _DMA_HEAPS_H
#define _DMA_HEAPS_H

#include <linux/bits.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct dma_buf;
struct dma_buf_export_info;
struct dma_heap;
struct module;

/**
 * struct dma_heap_ops - what the owner of a heap does
 */
struct dma_heap_ops {
	/**
	 * @allocate: make a buffer and export it with dma_heap_buffer_export()
	 *
	 * Or with dma_heap_export(), for a buffer with operations of its own.
	 *
	 * The length is in bytes, a multiple of the page size and not zero.
	 * The fd_flags are for &dma_buf_export_info.flags. The heap_flags are
	 * zero; there are none. Several calls may run at a time.
	 *
	 * Context: Process context. May sleep. A task that is being killed
	 * waits for it: look for fatal signals now and then.
	 *
	 * Return: The dma-buf, or an error pointer: -ENOMEM when there is no
	 * memory for it, -EINTR when a fatal signal came in between.
	 */
	struct dma_buf *(*allocate)(struct dma_heap *heap, unsigned long len,
				    u32 fd_flags, u64 heap_flags);

	/**
	 * @release: the heap and all of its buffers are gone
	 *
	 * Called once, after dma_heap_remove(), or in it. Optional.
	 *
	 * Context: Process context. May sleep.
	 */
	void (*release)(struct dma_heap *heap);
};

/**
 * enum dma_heap_property - what every buffer of a heap is
 * @DMA_HEAP_CONTIGUOUS: one run of physical addresses, so that a device
 *	without an IOMMU, and without a scatterlist, can use it
 * @DMA_HEAP_WRITE_COMBINED: mapped write-combined for the CPU, in userspace
 *	and in the kernel, and for devices without cache maintenance; a device
 *	that cannot use it like that, nor without SWIOTLB, cannot map it
 * @DMA_HEAP_PROTECTED: not accessible to the CPU; it can neither be mapped
 *	nor be cleared by the kernel
 *
 * Bits of &dma_heap_export_info.properties and of what
 * dma_heap_properties() returns. A heap promises what it states for each
 * of its buffers and for good; what it does not state it may do or not.
 */
enum dma_heap_property {
	DMA_HEAP_CONTIGUOUS	= BIT(0),
	DMA_HEAP_WRITE_COMBINED	= BIT(1),
	DMA_HEAP_PROTECTED	= BIT(2),
};

/**
 * struct dma_heap_counters - what happens to a heap
 * @buffers:	buffers there are
 * @bytes:	the sum of their sizes
 * @peak:	the most that @bytes has been
 * @failures:	allocations that the heap's owner has failed
 */
struct dma_heap_counters {
	u64 buffers;
	u64 bytes;
	u64 peak;
	u64 failures;
};

/**
 * struct dma_heap_export_info - a heap to be added
 * @name:	name of the heap and of its node in /dev/dma_heap: 1 to 255
 *		visible ASCII characters, no '/', not "." or ".."
 * @ops:	operations of the heap; must stay until &dma_heap_ops.release
 * @priv:	data of the owner, for dma_heap_get_drvdata()
 * @properties:	bits of &enum dma_heap_property
 *
 * Members that an owner does not know of must be zero: initialise the whole
 * structure.
 */
struct dma_heap_export_info {
	const char *name;
	const struct dma_heap_ops *ops;
	void *priv;
	u32 properties;
};

struct dma_heap *__dma_heap_add(const struct dma_heap_export_info *exp_info,
				struct module *owner);
void dma_heap_remove(struct dma_heap *heap);

/**
 * dma_heap_add() - add a heap
 * @exp_info: what to add; need not stay, nor need the name it points to
 *
 * As __dma_heap_add(), for a heap whose operations are part of the caller's
 * module.
 */
#define dma_heap_add(exp_info) __dma_heap_add(exp_info, THIS_MODULE)

/* for owners of heaps */
struct dma_heap *dma_heap_add_alias(struct dma_heap *heap, const char *name);
struct dma_buf *dma_heap_export(struct dma_heap *heap,
				struct dma_buf_export_info *exp_info);
void dma_heap_unexport(struct dma_heap *heap, size_t size);

/**
 * struct dma_heap_buffer - memory of a heap, for dma_heap_buffer_export()
 * @len:	length in bytes, whole pages
 * @table:	the chunks it is made of, in order: entries that begin with a page
 *		and have whole pages, @len in all. It must stay as it is until
 *		@release, and is the heap's to free
 * @dma_attrs:	DMA_ATTR_* for every mapping by a device. DMA_ATTR_CC_SHARED
 *		says that the pages are decrypted, to the CPU as well.
 *		DMA_ATTR_UNCACHED is added for DMA_HEAP_WRITE_COMBINED
 * @release:	gives the memory back; called once, when neither a device nor the
 *		CPU has it mapped. May sleep
 * @heap:	heap that the buffer is of; set by dma_heap_buffer_export()
 *
 * A heap embeds it in what it knows of a buffer. The first four members are
 * the heap's to fill in.
 */
struct dma_heap_buffer {
	size_t len;
	struct sg_table table;
	unsigned long dma_attrs;
	void (*release)(struct dma_heap_buffer *buffer);
	struct dma_heap *heap;
	/* private: of dma-heap-buffer.c */
	/* protects attachments, what they have mapped, and vaddr */
	struct mutex lock;
	struct list_head attachments;
	/* of the inode of the dma-buf */
	u64 ino;
	/* the kernel mapping, while there is one */
	void *vaddr;
	/* protects last and last_pgoff */
	spinlock_t last_lock;
	/* the chunk that was asked for last, and its first page in the buffer */
	struct scatterlist *last;
	pgoff_t last_pgoff;
};

struct dma_buf *dma_heap_buffer_export(struct dma_heap *heap,
				       struct dma_heap_buffer *buffer, u32 fd_flags);
struct dma_heap_buffer *dma_heap_buffer_of(struct dma_buf *dmabuf);

void *dma_heap_get_drvdata(struct dma_heap *heap);
const char *dma_heap_get_name(struct dma_heap *heap);

/* for drivers that allocate from heaps */
struct dma_heap *dma_heap_find(const char *name);
void dma_heap_put(struct dma_heap *heap);
u32 dma_heap_properties(struct dma_heap *heap);
struct dma_buf *dma_heap_buffer_alloc(struct dma_heap *heap, u64 len,
				      u32 fd_flags, u64 heap_flags);

#if IS_ENABLED(CONFIG_KUNIT)
dev_t dma_heap_kunit_devt(struct dma_heap *heap);
void dma_heap_kunit_counters(struct dma_heap *heap, struct dma_heap_counters *counters);
#endif

/* parameter dma_heap.mem_accounting: charge buffers to who allocates them? */
extern bool dma_heap_mem_accounting;

#endif /* _DMA_HEAPS_H */
