// SPDX-License-Identifier: GPL-2.0
/*
 * What the KUnit suites of the DMA-BUF heaps have in common: a device whose
 * DMA operations note their arguments, and buffers and attachments that go
 * away with the test.
 */

#include <kunit/device.h>
#include <kunit/resource.h>
#include <kunit/test.h>
#include <kunit/visibility.h>

#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/fcntl.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>

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
	struct scatterlist *sg;
	int i;

	if (importer->map_error)
		return importer->map_error;

	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = sg_phys(sg);
		sg_dma_len(sg) = sg->length;
	}

	importer->maps++;
	importer->map_dir = dir;
	importer->map_attrs = attrs;

	return nents;
}

static void importer_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			      enum dma_data_direction dir, unsigned long attrs)
{
	struct heap_kunit_importer *importer = to_importer(dev);

	importer->unmaps++;
	importer->unmap_dir = dir;
	importer->unmap_attrs = attrs;
}

static void importer_sync_sg(struct device *dev, struct scatterlist *sgl, int nents,
			     enum dma_data_direction dir)
{
	struct heap_kunit_importer *importer = to_importer(dev);

	importer->syncs++;
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
struct heap_kunit_importer *heap_kunit_importer(struct kunit *test)
{
	struct heap_kunit_importer *importer;
	struct device *dev;

	importer = kunit_kzalloc(test, sizeof(*importer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, importer);

	dev = kunit_device_register(test, "heap-importer");
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

KUNIT_DEFINE_ACTION_WRAPPER(heap_kunit_put, dma_buf_put, struct dma_buf *);

/* A buffer of a heap that must exist; put when the test ends. */
struct dma_buf *heap_kunit_alloc(struct kunit *test, const char *name, u64 len)
{
	struct dma_heap *heap = dma_heap_kunit_find(name);
	struct dma_buf *dmabuf;

	if (!heap)
		kunit_skip(test, "this machine has no heap '%s'", name);

	dmabuf = dma_heap_kunit_alloc(heap, len, O_RDWR | O_CLOEXEC, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_put, dmabuf), 0);

	return dmabuf;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_alloc);

static void heap_kunit_detach(void *attach)
{
	struct dma_buf_attachment *attachment = attach;

	dma_buf_detach(attachment->dmabuf, attachment);
}

/* An attachment, detached when the test ends; unmap it before that. */
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
	call->ret = fatal_signal_pending(current) ? call->fn(call->arg) : -ENOTRECOVERABLE;
	flush_signals(current);
	complete(&call->done);

	return 0;
}

/* Call fn(arg) from a thread that has a SIGKILL pending; its result. */
int heap_kunit_run_killed(struct kunit *test, int (*fn)(void *arg), void *arg)
{
	struct killed_call call = { .fn = fn, .arg = arg };
	struct task_struct *task;

	init_completion(&call.done);
	task = kthread_run(killed_thread, &call, "heap-kunit-killed");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	wait_for_completion(&call.done);

	return call.ret;
}
EXPORT_SYMBOL_IF_KUNIT(heap_kunit_run_killed);

MODULE_DESCRIPTION("Helpers of the DMA-BUF heaps' KUnit suites");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
