/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers shared by the KUnit suites of the DMA-BUF heaps
 */

#ifndef _HEAP_KUNIT_HELPERS_H
#define _HEAP_KUNIT_HELPERS_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/dma-direction.h>
#include <linux/kref.h>
#include <linux/types.h>

struct device;
struct dma_buf;
struct dma_buf_attachment;
struct dma_heap;
struct dma_heap_export_info;
struct kunit;
struct module;

/**
 * struct heap_kunit_importer - a device that records its DMA calls
 * @dev:	the device to attach
 * @map_error:	negative errno with which mapping fails, 0 for none
 * @maps:	number of map calls
 * @unmaps:	number of unmap calls
 * @syncs:	number of syncs, for the CPU and for the device
 * @map_dir:	direction of the last mapping
 * @unmap_dir:	direction of the last unmapping
 * @sync_dir:	direction of the last synchronisation
 * @map_attrs:	DMA_ATTR_* of the last mapping
 * @unmap_attrs: DMA_ATTR_* of the last unmapping
 * @mapped:	a mapping exists
 * @strays:	how often a sync found no mapping, at its start or at its end
 * @accesses:	number of CPU accesses of another thread, or NULL
 * @missed:	how many mappings were made while such an access began and ended
 *
 * Only @dev is used on architectures where a device cannot have its own DMA
 * operations; see heap_kunit_importer_records().
 */
struct heap_kunit_importer {
	struct device *dev;
	int map_error;
	unsigned int maps;
	unsigned int unmaps;
	unsigned int syncs;
	enum dma_data_direction map_dir;
	enum dma_data_direction unmap_dir;
	enum dma_data_direction sync_dir;
	unsigned long map_attrs;
	unsigned long unmap_attrs;
	bool mapped;
	unsigned int strays;
	unsigned int *accesses;
	unsigned int missed;
};

static inline bool heap_kunit_importer_records(void)
{
	return IS_ENABLED(CONFIG_ARCH_HAS_DMA_OPS);
}

#define FAKE_MAX_CHUNKS	8

/**
 * struct fake_heap - a heap that a test controls
 * @heap:	the heap
 * @users:	references of the test, and of the heap until it is released
 * @owner:	module of the heap's operations
 * @chunks:	sizes of the chunks of every buffer, in pages; the rest of the
 *		buffer is one more chunk
 * @dma_attrs:	DMA_ATTR_* of every buffer
 * @len:	length in bytes of the last call of the allocate operation
 * @error:	negative errno that the allocate operation returns, or 0
 * @block:	the allocate operation completes @entered, and waits for @resume
 * @entered:	completed by the allocate operation
 * @resume:	to be completed by the test
 * @freed:	number of buffers that were released
 * @released:	calls of the heap's release operation
 */
struct fake_heap {
	struct dma_heap *heap;
	struct kref users;
	struct module *owner;
	unsigned int chunks[FAKE_MAX_CHUNKS];
	unsigned long dma_attrs;
	u64 len;
	int error;
	bool block;
	struct completion entered;
	struct completion resume;
	atomic_t freed;
	atomic_t released;
};

struct fake_heap *heap_kunit_fake_info(struct kunit *test, struct dma_heap_export_info info);
struct fake_heap *heap_kunit_fake(struct kunit *test, const char *name, u32 properties);
struct dma_heap *heap_kunit_alias(struct kunit *test, struct dma_heap *heap, const char *name);
void heap_kunit_remove_heap(void *heap);
struct heap_kunit_importer *heap_kunit_importer(struct kunit *test, const char *name);
void heap_kunit_put_later(struct kunit *test, struct dma_buf *dmabuf);
void heap_kunit_put(void *data);
struct dma_heap *heap_kunit_find(struct kunit *test, const char *name);
struct dma_buf *heap_kunit_alloc(struct kunit *test, const char *name, u64 len);
struct dma_buf_attachment *heap_kunit_attach(struct kunit *test,
					     struct dma_buf *dmabuf,
					     struct device *dev);
int heap_kunit_run_killed(struct kunit *test, int (*fn)(void *arg), void *arg);

/* Cases that are the same for every heap. */
void heap_kunit_test_map_error(struct kunit *test, const char *name);
void heap_kunit_test_sync_direction(struct kunit *test, const char *name);
void heap_kunit_test_map_sync_race(struct kunit *test, const char *name);
void heap_kunit_test_killed(struct kunit *test, const char *name);
void heap_kunit_test_zeroed(struct kunit *test, const char *name);

#endif /* _HEAP_KUNIT_HELPERS_H */
