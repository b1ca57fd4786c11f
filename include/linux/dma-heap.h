/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the DMA-BUF heap core offers to owners of heaps and to drivers
 *
 * Copyright (C) 2011 Google, Inc.
 * Copyright (C) 2019 Linaro Ltd.
 */

#ifndef _DMA_HEAPS_H
#define _DMA_HEAPS_H

#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/types.h>
#include <uapi/linux/dma-heap.h>

struct dma_buf;
struct dma_heap;
struct dma_heap_index;
struct dmem_cgroup_pool_state;
struct module;
struct obj_cgroup;

/**
 * struct dma_heap_ops - operations of a heap
 */
struct dma_heap_ops {
	/**
	 * @allocate: make a buffer and export it with dma_heap_buffer_export()
	 *
	 * The length is in bytes, a multiple of the page size and not zero.
	 * The fd_flags are for &dma_buf_export_info.flags. The heap_flags are
	 * zero; there are none. Several calls may run at a time.
	 *
	 * Context: Process context. May sleep. Should check for fatal signals
	 * while it runs.
	 *
	 * Return: The dma-buf, or an error pointer: -ENOMEM when there is no
	 * memory for it, -EINTR when a fatal signal came in between.
	 */
	struct dma_buf *(*allocate)(struct dma_heap *heap, unsigned long len,
				    u32 fd_flags, u64 heap_flags);

	/**
	 * @get_info: fill in what the heap knows of its memory
	 *
	 * The core has filled in the properties, &dma_heap_export_info.size and the
	 * page size as the granule. The heap fills in how much is free, or sets the
	 * size to 0. Several calls may run at a time. Optional: without it, the
	 * size is 0.
	 *
	 * Context: Process context. May sleep. dma_heap_remove() waits for it.
	 */
	void (*get_info)(struct dma_heap *heap, struct dma_heap_info *info);

	/**
	 * @release: free what the heap is made of
	 *
	 * Called once, when the heap was removed and its last buffer is gone.
	 * Optional.
	 *
	 * Context: Process context. May sleep.
	 */
	void (*release)(struct dma_heap *heap);
};

/**
 * struct dma_heap_export_info - describes a heap to dma_heap_add()
 * @name:	name of the heap and of its node in /dev/dma_heap: 1 to 255
 *		visible ASCII characters, no '/', not "." or ".."
 * @ops:	operations of the heap; must stay until &dma_heap_ops.release
 * @priv:	data of the owner, for dma_heap_get_drvdata()
 * @properties:	bits of &enum dma_heap_property and &enum dma_heap_restriction
 * @memory:	buffers are pages of the page allocator, to be charged to the memory
 *		cgroup of who allocates them
 * @size:	how many bytes the heap has, or 0 if there is no such number; longer
 *		buffers are refused
 * @dmem:	name of the region of the dmem cgroup controller that buffers are
 *		charged to, or NULL; need not stay. For memory that is set aside,
 *		of @size bytes. Heaps that name the same region share it, and
 *		have the same size
 *
 * Initialise the whole structure: members that an owner does not know must be
 * zero.
 */
struct dma_heap_export_info {
	const char *name;
	const struct dma_heap_ops *ops;
	void *priv;
	u32 properties;
	bool memory;
	u64 size;
	const char *dmem;
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

struct dma_heap *dma_heap_add_alias(struct dma_heap *heap, const char *name);

/**
 * struct dma_heap_charge - what a cgroup is charged for a buffer
 * @size:	bytes
 * @objcg:	whom the memory controller charges, or NULL
 * @dmem:	whom the dmem controller charges, or NULL
 */
struct dma_heap_charge {
	size_t size;
	struct obj_cgroup *objcg;
	struct dmem_cgroup_pool_state *dmem;
};

/**
 * struct dma_heap_buffer - memory of a heap, for dma_heap_buffer_export()
 * @len:	length in bytes, whole pages
 * @table:	the chunks of the buffer in order: entries that start at a page and
 *		have whole pages, @len bytes in all. It belongs to the heap, and
 *		must not change until @release
 * @dma_attrs:	DMA_ATTR_* for every mapping of the buffer by a device.
 *		DMA_ATTR_SKIP_CPU_SYNC and DMA_ATTR_NO_BOUNCE are added for
 *		DMA_HEAP_PROTECTED.
 *		DMA_ATTR_CC_SHARED states that the pages are decrypted, which
 *		mappings for the CPU then are, too. DMA_ATTR_UNCACHED is added for
 *		DMA_HEAP_WRITE_COMBINED
 * @release:	frees the memory; called once, when no device and no CPU has it
 *		mapped. May sleep
 * @heap:	heap of the buffer; set by dma_heap_buffer_export()
 *
 * A heap embeds it in its own structure of a buffer, and fills in all but @heap.
 */
struct dma_heap_buffer {
	size_t len;
	struct sg_table table;
	unsigned long dma_attrs;
	void (*release)(struct dma_heap_buffer *buffer);
	struct dma_heap *heap;
	/* private: of the core */
	struct mutex lock;
	/* what is mapped for devices, under @lock */
	struct list_head mappings;
	/* where the kernel has mapped it in the vmalloc area, or NULL, under @lock */
	void *vaddr;
	/* inode number of the dma-buf, whose inode is gone in release */
	u64 ino;
	/* finds the chunk of a page; NULL if there is one chunk alone */
	struct dma_heap_index *index;
	/* who pays for it */
	struct dma_heap_charge charge;
};

struct dma_buf *dma_heap_buffer_export(struct dma_heap *heap,
				       struct dma_heap_buffer *buffer, u32 fd_flags);
struct dma_heap_buffer *dma_heap_buffer_of(struct dma_buf *dmabuf);

void *dma_heap_get_drvdata(struct dma_heap *heap);
const char *dma_heap_get_name(struct dma_heap *heap);

gfp_t dma_heap_gfp_account(void);

/* For drivers that allocate from heaps */
struct dma_heap *dma_heap_find(const char *name);
void dma_heap_put(struct dma_heap *heap);
u32 dma_heap_properties(struct dma_heap *heap);
struct dma_buf *dma_heap_buffer_alloc(struct dma_heap *heap, u64 len,
				      u32 fd_flags, u64 heap_flags);

#endif /* _DMA_HEAPS_H */
