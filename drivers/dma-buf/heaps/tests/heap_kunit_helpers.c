// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers shared by the KUnit suites of the DMA-BUF heaps: a device whose DMA
 * operations record their arguments, a heap that a test controls, buffers and
 * attachments that are released when the test ends, and cases for every heap.
 */

#include <kunit/device.h>
#include <kunit/resource.h>
#include <kunit/test.h>
#include <kunit/visibility.h>

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/container_of.h>
#include <linux/delay.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/iosys-map.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sprintf.h>
#include <linux/string.h>

#include "../../dma-heap-private.h"
#include "heap_kunit_helpers.h"

#ifdef CONFIG_ARCH_HAS_DMA_OPS
static struct heap_kunit_importer *to_importer(struct device *dev)
{
	return dev_get_drvdata(dev);
}

static int importer_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			   enum dma_data_direction dir, unsigned long attrs)
{
	struct heap_kunit_importer *importer = to_importer(dev);
	unsigned int before = importer->accesses ? READ_ONCE(*importer->accesses) : 0;
	struct scatterlist *sg;
	int i;

	if (importer->map_error)
		return importer->map_error;

	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = sg_phys(sg);
		sg_dma_len(sg) = sg->length;
	}

	importer->maps++;
	WRITE_ONCE(importer->mapped, true);
	importer->map_dir = dir;
	importer->map_attrs = attrs;

	/* wait long enough for CPU accesses that the lock does not keep out */
	if (importer->accesses) {
		usleep_range(200, 400);
		/* one may have ended before, without having been counted */
		if (READ_ONCE(*importer->accesses) - before > 1)
			importer->missed++;
	}

	return nents;
}

static void importer_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			      enum dma_data_direction dir, unsigned long attrs)
{
	struct heap_kunit_importer *importer = to_importer(dev);

	importer->unmaps++;
	WRITE_ONCE(importer->mapped, false);
	importer->unmap_dir = dir;
	importer->unmap_attrs = attrs;
}

static void importer_sync_sg(struct device *dev, struct scatterlist *sgl, int nents,
			     enum dma_data_direction dir)
{
	struct heap_kunit_importer *importer = to_importer(dev);

	/* wait long enough for a mapping that is not locked to go away */
	if (!READ_ONCE(importer->mapped))
		importer->strays++;
	usleep_range(20, 40);
	if (!READ_ONCE(importer->mapped))
		importer->strays++;

	WRITE_ONCE(importer->syncs, importer->syncs + 1);
	importer->sync_dir = dir;
}

static int importer_dma_supported(struct device *dev, u64 mask)
{
	return 1;
}

static const struct dma_map_ops importer_dma_ops = {
	.map_sg = importer_map_sg,
	.unmap_sg = importer_unmap_sg,
	.sync_sg_for_cpu = importer_sync_sg,
	.sync_sg_for_device = importer_sync_sg,
	.dma_supported = importer_dma_supported,
};

static void importer_set_ops(struct device *dev)
{
	set_dma_ops(dev, &importer_dma_ops);
}
#else
static void importer_set_ops(struct device *dev)
{
}
#endif

/* A device that can reach all of memory; lives as long as the test. */
struct heap_kunit_importer *heap_kunit_importer(struct kunit *test, const char *name)
{
	static atomic_t nr;
	struct heap_kunit_importer *importer;
	struct device *dev;
	char unique[32];

	importer = kunit_kzalloc(test, sizeof(*importer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, importer);

	/* the previous device of this name may not be gone yet */
	snprintf(unique, sizeof(unique), "%s-%d", name, atomic_inc_return(&nr));
	dev = kunit_device_register(test, unique);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	dev_set_drvdata(dev, importer);
	importer_set_ops(dev);
	dev->dma_mask = &dev->coherent_dma_mask;
	dev->dma_parms = kunit_kzalloc(test, sizeof(*dev->dma_parms), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev->dma_parms);
	KUNIT_ASSERT_EQ(test, dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
	dma_set_max_seg_size(dev, UINT_MAX);

	importer->dev = dev;
	importer->map_dir = DMA_NONE;
	importer->unmap_dir = DMA_NONE;
	importer->sync_dir = DMA_NONE;

	return importer;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_importer);

/* The action that puts a buffer */
void heap_kunit_put(void *data)
{
	struct dma_buf *dmabuf = data;

	__fput_sync(dmabuf->file);
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_put);

/* Put a buffer when the test ends, or when it releases heap_kunit_put(). */
void heap_kunit_put_later(struct kunit *test, struct dma_buf *dmabuf)
{
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_put, dmabuf), 0);
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_put_later);

static void heap_kunit_put_heap(void *heap)
{
	dma_heap_put(heap);
}

/* Find a heap; put it when the test ends.  Skip the test without it. */
struct dma_heap *heap_kunit_find(struct kunit *test, const char *name)
{
	struct dma_heap *heap = dma_heap_find(name);

	if (!heap)
		kunit_skip(test, "this machine has no heap '%s'", name);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_put_heap, heap), 0);

	return heap;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_find);

/* Allocate a buffer from a heap; put it when the test ends. */
struct dma_buf *heap_kunit_alloc(struct kunit *test, const char *name, u64 len)
{
	struct dma_buf *dmabuf;

	dmabuf = dma_heap_buffer_alloc(heap_kunit_find(test, name), len, O_RDWR | O_CLOEXEC, 0);
	heap_kunit_put_later(test, dmabuf);

	return dmabuf;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_alloc);

struct fake_buffer {
	struct dma_heap_buffer base;
	struct fake_heap *fake;
};

static void fake_free(struct fake_buffer *buffer)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(&buffer->base.table, sg, i) {
		if (sg_page(sg))
			free_pages_exact(page_address(sg_page(sg)), sg->length);
	}
	sg_free_table(&buffer->base.table);
	kfree(buffer);
}

static void fake_buffer_release(struct dma_heap_buffer *base)
{
	struct fake_buffer *buffer = container_of(base, struct fake_buffer, base);

	atomic_inc(&buffer->fake->freed);
	fake_free(buffer);
}

static struct dma_buf *fake_allocate(struct dma_heap *heap, unsigned long len,
				     u32 fd_flags, u64 heap_flags)
{
	struct fake_heap *fake = dma_heap_get_drvdata(heap);
	unsigned long left = PFN_DOWN(len);
	struct fake_buffer *buffer;
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	unsigned int i, n;
	void *p;

	fake->len = len;
	if (fake->block) {
		complete(&fake->entered);
		wait_for_completion(&fake->resume);
	}
	if (fake->error)
		return ERR_PTR(fake->error);

	buffer = kzalloc_obj(*buffer);
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	buffer->fake = fake;
	buffer->base.len = len;
	buffer->base.dma_attrs = fake->dma_attrs;
	buffer->base.release = fake_buffer_release;

	for (n = 0; n < FAKE_MAX_CHUNKS && fake->chunks[n] && left > fake->chunks[n]; n++)
		left -= fake->chunks[n];
	if (sg_alloc_table(&buffer->base.table, n + 1, GFP_KERNEL)) {
		kfree(buffer);
		return ERR_PTR(-ENOMEM);
	}
	for_each_sgtable_sg(&buffer->base.table, sg, i) {
		unsigned long pages = i < n ? fake->chunks[i] : left;

		p = alloc_pages_exact(pages * PAGE_SIZE, GFP_KERNEL | __GFP_ZERO);
		if (!p) {
			fake_free(buffer);
			return ERR_PTR(-ENOMEM);
		}
		sg_set_page(sg, virt_to_page(p), pages * PAGE_SIZE, 0);
	}

	dmabuf = dma_heap_buffer_export(heap, &buffer->base, fd_flags);
	if (IS_ERR(dmabuf))
		fake_free(buffer);

	return dmabuf;
}

static void fake_last_put(struct kref *users)
{
	kfree(container_of(users, struct fake_heap, users));
}

static void fake_put(void *data)
{
	struct fake_heap *fake = data;

	kref_put(&fake->users, fake_last_put);
}

static void fake_release(struct dma_heap *heap)
{
	struct fake_heap *fake = dma_heap_get_drvdata(heap);

	atomic_inc(&fake->released);
	fake_put(fake);
}

static const struct dma_heap_ops fake_ops = {
	.allocate = fake_allocate,
	.release = fake_release,
};

/* The action that removes a heap or an alias */
void heap_kunit_remove_heap(void *heap)
{
	dma_heap_remove(heap);
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_remove_heap);

/*
 * Add a fake heap with the members of @info except ops and priv.  It is removed
 * when the test ends, or when the test releases heap_kunit_remove_heap().
 */
struct fake_heap *heap_kunit_fake_info(struct kunit *test, struct dma_heap_export_info info)
{
	struct fake_heap *fake;

	fake = kzalloc_obj(*fake);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	kref_init(&fake->users);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, fake_put, fake), 0);
	init_completion(&fake->entered);
	init_completion(&fake->resume);
	fake->owner = THIS_MODULE;
	info.ops = &fake_ops;
	info.priv = fake;
	fake->heap = dma_heap_add(&info);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fake->heap);
	/* the heap's reference: buffers may outlive a failed test */
	kref_get(&fake->users);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_remove_heap, fake->heap),
			0);

	return fake;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_fake_info);

struct fake_heap *heap_kunit_fake(struct kunit *test, const char *name, u32 properties)
{
	const struct dma_heap_export_info info = {
		.name = name,
		.properties = properties,
	};

	return heap_kunit_fake_info(test, info);
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_fake);

/* Add an alias; removed like a fake heap. */
struct dma_heap *heap_kunit_alias(struct kunit *test, struct dma_heap *heap, const char *name)
{
	struct dma_heap *alias = dma_heap_add_alias(heap, name);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, alias);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_remove_heap, alias), 0);

	return alias;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_alias);

static void heap_kunit_detach(void *attach)
{
	struct dma_buf_attachment *attachment = attach;

	dma_buf_detach(attachment->dmabuf, attachment);
}

/* Attach a device; detached when the test ends.  The test must unmap it. */
struct dma_buf_attachment *heap_kunit_attach(struct kunit *test,
					     struct dma_buf *dmabuf,
					     struct device *dev)
{
	struct dma_buf_attachment *attach = dma_buf_attach(dmabuf, dev);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, attach);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_detach, attach), 0);

	return attach;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_attach);

/* The importer gets the errno with which its device fails to map. */
void heap_kunit_test_map_error(struct kunit *test, const char *name)
{
	static const int errors[] = { -EIO, -EINVAL, -ENOMEM };
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;
	unsigned int i;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	importer = heap_kunit_importer(test, "heap-importer");
	dmabuf = heap_kunit_alloc(test, name, SZ_64K);
	attach = heap_kunit_attach(test, dmabuf, importer->dev);

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		importer->map_error = errors[i];
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
		KUNIT_EXPECT_PTR_EQ_MSG(test, sgt, ERR_PTR(errors[i]), "errno %d", errors[i]);

		/* there is no mapping to synchronise */
		KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
		KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	}
	KUNIT_EXPECT_EQ(test, importer->maps, 0);
	KUNIT_EXPECT_EQ(test, importer->syncs, 0);

	importer->map_error = 0;
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_test_map_error);

/*
 * Each sync has the direction of the mapping, which is DMA_BIDIRECTIONAL for a
 * device that only writes.  Exception: a read access to a bidirectional mapping
 * ends with a sync DMA_FROM_DEVICE, to keep what the device has written.
 * Without a mapping, nothing is synced.
 */
void heap_kunit_test_sync_direction(struct kunit *test, const char *name)
{
	static const enum dma_data_direction dirs[] = {
		DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE,
	};
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	enum dma_data_direction mapped, end;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;
	unsigned int m, a;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	importer = heap_kunit_importer(test, "heap-importer");
	dmabuf = heap_kunit_alloc(test, name, SZ_64K);
	attach = heap_kunit_attach(test, dmabuf, importer->dev);

	for (m = 0; m < ARRAY_SIZE(dirs); m++) {
		mapped = dirs[m] == DMA_FROM_DEVICE ? DMA_BIDIRECTIONAL : dirs[m];
		sgt = dma_buf_map_attachment_unlocked(attach, dirs[m]);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
		KUNIT_EXPECT_EQ_MSG(test, importer->map_dir, mapped, "map %d", dirs[m]);

		for (a = 0; a < ARRAY_SIZE(dirs); a++) {
			end = mapped == DMA_BIDIRECTIONAL && dirs[a] == DMA_FROM_DEVICE ?
			      DMA_FROM_DEVICE : mapped;
			importer->syncs = 0;
			importer->sync_dir = DMA_NONE;
			KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, dirs[a]), 0);
			KUNIT_EXPECT_EQ_MSG(test, importer->syncs, 1,
					    "map %d, begin %d", dirs[m], dirs[a]);
			KUNIT_EXPECT_EQ_MSG(test, importer->sync_dir, mapped,
					    "map %d, begin %d", dirs[m], dirs[a]);
			importer->sync_dir = DMA_NONE;
			KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, dirs[a]), 0);
			KUNIT_EXPECT_EQ_MSG(test, importer->syncs, 2,
					    "map %d, end %d", dirs[m], dirs[a]);
			KUNIT_EXPECT_EQ_MSG(test, importer->sync_dir, end,
					    "map %d, end %d", dirs[m], dirs[a]);
		}

		dma_buf_unmap_attachment_unlocked(attach, sgt, dirs[m]);
		KUNIT_EXPECT_EQ_MSG(test, importer->unmap_dir, mapped, "map %d", dirs[m]);

		importer->syncs = 0;
		KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
		KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
		KUNIT_EXPECT_EQ_MSG(test, importer->syncs, 0, "unmapped, was %d", dirs[m]);
	}
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_test_sync_direction);

struct sync_thread {
	struct dma_buf *dmabuf;
	unsigned int accesses;
	int error;
};

static int sync_thread(void *data)
{
	struct sync_thread *sync = data;

	while (!kthread_should_stop()) {
		if (dma_buf_begin_cpu_access(sync->dmabuf, DMA_BIDIRECTIONAL) ||
		    dma_buf_end_cpu_access(sync->dmabuf, DMA_BIDIRECTIONAL))
			sync->error++;
		WRITE_ONCE(sync->accesses, sync->accesses + 1);
		cond_resched();
	}

	return 0;
}

/*
 * One thread maps and unmaps while another syncs for the CPU: no mapping goes
 * away during a sync, and no access misses a mapping that is being made.
 * Each mapping stays until it was synced once, so that unmap races with the
 * next sync.
 */
void heap_kunit_test_map_sync_race(struct kunit *test, const char *name)
{
	const unsigned int rounds = 200;
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct sync_thread sync = {};
	struct task_struct *task;
	unsigned int i, syncs, met = 0;
	unsigned long timeout;
	struct sg_table *sgt;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	importer = heap_kunit_importer(test, "heap-importer");
	sync.dmabuf = heap_kunit_alloc(test, name, SZ_64K);
	attach = heap_kunit_attach(test, sync.dmabuf, importer->dev);

	importer->accesses = &sync.accesses;
	task = kthread_run(sync_thread, &sync, "heap-kunit-sync");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	for (i = 0; i < rounds && met == i; i++) {
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
		if (IS_ERR(sgt))
			break;
		syncs = READ_ONCE(importer->syncs);
		timeout = jiffies + 5 * HZ;
		while (READ_ONCE(importer->syncs) == syncs && time_before(jiffies, timeout))
			usleep_range(10, 20);
		met += READ_ONCE(importer->syncs) != syncs;
		dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
	}
	kthread_stop(task);
	importer->accesses = NULL;

	KUNIT_EXPECT_EQ(test, sync.error, 0);
	KUNIT_EXPECT_EQ(test, met, rounds);
	KUNIT_EXPECT_EQ(test, importer->strays, 0);
	KUNIT_EXPECT_EQ(test, importer->missed, 0);
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_test_map_sync_race);

struct killed_call {
	int (*fn)(void *arg);
	void *arg;
	int ret;
	struct completion done;
};

static int killed_thread(void *data)
{
	struct killed_call *call = data;

	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	if (fatal_signal_pending(current))
		call->ret = call->fn(call->arg);
	flush_signals(current);
	kthread_complete_and_exit(&call->done, 0);
}

/* Return the result of fn(arg) in a task with a pending fatal signal. */
int heap_kunit_run_killed(struct kunit *test, int (*fn)(void *arg), void *arg)
{
	struct killed_call call = {
		.fn = fn,
		.arg = arg,
		.ret = -ENOTRECOVERABLE,
		.done = COMPLETION_INITIALIZER_ONSTACK(call.done),
	};
	struct task_struct *task;

	task = kthread_run(killed_thread, &call, "heap-kunit-killed");
	if (IS_ERR(task)) {
		/* no assertion: the caller may have something to undo */
		KUNIT_FAIL(test, "no thread: %pe", task);
		return PTR_ERR(task);
	}
	wait_for_completion(&call.done);

	return call.ret;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_run_killed);

static int alloc_errno(void *heap)
{
	struct dma_buf *dmabuf = dma_heap_buffer_alloc(heap, SZ_4M, O_RDWR | O_CLOEXEC, 0);

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	__fput_sync(dmabuf->file);

	return 0;
}

/* Allocation fails with -EINTR in a killed task, and works afterwards. */
void heap_kunit_test_killed(struct kunit *test, const char *name)
{
	struct dma_heap *heap = heap_kunit_find(test, name);

	if (alloc_errno(heap) == -ENOMEM)
		kunit_skip(test, "heap %s has less than 4 MiB to give", name);
	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, alloc_errno, heap), -EINTR);
	KUNIT_EXPECT_EQ(test, alloc_errno(heap), 0);
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_test_killed);

/* A new buffer is zero and keeps its data; the next one is zero again. */
void heap_kunit_test_zeroed(struct kunit *test, const char *name)
{
	struct dma_heap *heap = heap_kunit_find(test, name);
	const size_t len = SZ_1M + PAGE_SIZE;
	struct dma_buf *dmabuf;
	struct iosys_map map;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		dmabuf = dma_heap_buffer_alloc(heap, len, O_RDWR, 0);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
		KUNIT_EXPECT_EQ(test, dmabuf->size, len);

		KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
		KUNIT_EXPECT_NULL_MSG(test, memchr_inv(map.vaddr, 0, len), "buffer %u", i);
		memset(map.vaddr, 0xa5, len);
		dma_buf_vunmap_unlocked(dmabuf, &map);

		KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
		KUNIT_EXPECT_NULL_MSG(test, memchr_inv(map.vaddr, 0xa5, len), "buffer %u", i);
		dma_buf_vunmap_unlocked(dmabuf, &map);
		__fput_sync(dmabuf->file);
	}
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_test_zeroed);

MODULE_DESCRIPTION("Helpers of the DMA-BUF heaps' KUnit suites");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
