/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interface of the DMA-BUF heap core for owners of heaps and for drivers
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
	 * @allocate: allocate a buffer, export it with dma_heap_buffer_export()
	 *
	 * The length is in bytes, a multiple of the page size and not zero.
	 * Pass the fd_flags to dma_heap_buffer_export(). The heap_flags are
	 * zero; no flags are defined. Several calls may run at a time.
	 *
	 * Context: Process context. May sleep. Should check for fatal signals
	 * while it runs.
	 *
	 * Return: The dma-buf, or an error pointer: -ENOMEM when memory is
	 * short, -EINTR when a fatal signal is pending, or another errno.
	 */
	struct dma_buf *(*allocate)(struct dma_heap *heap, unsigned long len,
				    u32 fd_flags, u64 heap_flags);

	/**
	 * @get_info: report how much memory the heap has, and where
	 *
	 * The core has set the properties, the restrictions, the size to
	 * &dma_heap_export_info.size, and the granule to the page size. The
	 * heap sets free, largest and address_bits, or the size to 0 if it
	 * cannot. Several calls may run at a time. Optional: without it, the
	 * size is 0.
	 *
	 * Context: Process context. May sleep. dma_heap_remove() waits for it.
	 */
	void (*get_info)(struct dma_heap *heap, struct dma_heap_info *info);

	/**
	 * @release: free the owner's data of the heap
	 *
	 * Called once, when the heap was removed and its last buffer was
	 * released. Optional.
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
 * @memory:	buffers are pages of the page allocator, to be charged to the
 *		memory cgroup of the task that allocates the buffer
 * @size:	size of the heap in bytes or an upper limit of it, or 0 if
 *		neither is known; longer buffers are refused
 * @dmem:	name of the region of the dmem cgroup controller that buffers
 *		are charged to, or NULL. For memory of @size bytes that is set
 *		aside. Heaps with the same name share the region and must have
 *		the same @size
 *
 * Members that the owner does not set must be zero.
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
 * @exp_info: describes the heap; it and its strings are not used after the call
 *
 * Like __dma_heap_add(), for operations that are part of the caller's module.
 */
#define dma_heap_add(exp_info) __dma_heap_add(exp_info, THIS_MODULE)

struct dma_heap *dma_heap_add_alias(struct dma_heap *heap, const char *name);

/**
 * struct dma_heap_charge - charge of a buffer to a cgroup
 * @size:	length of the buffer in bytes
 * @objcg:	object cgroup that the memory controller charged, or NULL
 * @dmem:	pool state that the dmem controller charged, or NULL
 */
struct dma_heap_charge {
	size_t size;
	struct obj_cgroup *objcg;
	struct dmem_cgroup_pool_state *dmem;
};

/**
 * struct dma_heap_buffer - memory of a heap, for dma_heap_buffer_export()
 * @len:	length in bytes, whole pages
 * @table:	the memory of the buffer in order: page-aligned entries of whole
 *		pages, @len bytes in all. It belongs to the heap and must not
 *		change until @release
 * @dma_attrs:	DMA_ATTR_* for every mapping of the buffer for a device. With
 *		DMA_ATTR_CC_SHARED, the pages are decrypted, and CPU mappings
 *		are made decrypted, too. The core adds DMA_ATTR_SKIP_CPU_SYNC
 *		and DMA_ATTR_NO_BOUNCE for DMA_HEAP_PROTECTED, and
 *		DMA_ATTR_UNCACHED for DMA_HEAP_WRITE_COMBINED
 * @release:	frees the memory; called once, when no device and no CPU has it
 *		mapped. May sleep
 * @heap:	heap of the buffer; set by dma_heap_buffer_export()
 *
 * A heap allocates this zeroed, alone or as part of a structure of its own, and
 * sets @len, @table, @release and, if it needs any, @dma_attrs.
 */
struct dma_heap_buffer {
	size_t len;
	struct sg_table table;
	unsigned long dma_attrs;
	void (*release)(struct dma_heap_buffer *buffer);
	struct dma_heap *heap;
	/* private: of the core */
	struct mutex lock;
	/* mapped attachments; protected by @lock */
	struct list_head mappings;
	/* address in the vmalloc area, or NULL; protected by @lock */
	void *vaddr;
	/* inode number of the dma-buf; the inode is gone before @release */
	u64 ino;
	/* finds the chunk of a page; NULL if there is only one chunk */
	struct dma_heap_index *index;
	/* to be uncharged after @release */
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
