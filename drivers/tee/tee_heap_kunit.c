// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite of the TEE heaps, on a dummy TEE device.  Nothing accesses the
 * memory of its pools.
 */

#include <kunit/device.h>
#include <kunit/test.h>

#include <linux/atomic.h>
#include <linux/cc_platform.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-mapping.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/iosys-map.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/swiotlb.h>
#include <linux/tee_core.h>

#include "../dma-buf/dma-heap-private.h"
#include "tee_private.h"

#define HEAP_ID		TEE_DMA_HEAP_TRUSTED_UI
#define HEAP_NAME	"protected,trusted-ui"

static void no_version(struct tee_device *teedev, struct tee_ioctl_version_data *vers)
{
}

static int no_open(struct tee_context *ctx)
{
	return 0;
}

static void no_release(struct tee_context *ctx)
{
}

static const struct tee_driver_ops no_ops = {
	.get_version = no_version,
	.open = no_open,
	.release = no_release,
};

static const struct tee_desc no_desc = {
	.name = "kunit-tee",
	.ops = &no_ops,
	.owner = THIS_MODULE,
};

struct tee_heap_test {
	struct tee_device *teedev;
	struct dma_heap *heap;
	struct page *page;
};

/* Add a device and a heap that starts at a real page. */
static int tee_heap_init(struct kunit *test)
{
	const size_t size = sizeof(size_t) > 4 ? SZ_8G : SZ_64M;
	struct tee_heap_test *priv;
	struct tee_protmem_pool *pool;
	struct device *parent;
	static atomic_t nr;
	char name[32];
	int ret;

	priv = kunit_kzalloc(test, sizeof(*priv), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv);
	test->priv = priv;

	/* the previous device may not be gone yet */
	snprintf(name, sizeof(name), "kunit-tee-%d", atomic_inc_return(&nr));
	parent = kunit_device_register(test, name);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, parent);
	priv->page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv->page);

	pool = tee_protmem_static_pool_alloc(page_to_phys(priv->page), size);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);

	priv->teedev = tee_device_alloc(&no_desc, parent, NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, priv->teedev);
	ret = tee_device_register_dma_heap(priv->teedev, HEAP_ID, pool);
	if (ret)
		pool->ops->destroy_pool(pool);
	if (ret == -EBUSY)
		kunit_skip(test, "a real TEE has this heap");
	KUNIT_ASSERT_EQ(test, ret, 0);

	priv->heap = dma_heap_find(HEAP_NAME);
	KUNIT_ASSERT_NOT_NULL(test, priv->heap);

	return 0;
}

static void tee_heap_exit(struct kunit *test)
{
	struct tee_heap_test *priv = test->priv;

	if (!priv)
		return;
	dma_heap_put(priv->heap);
	/* returns when nobody uses the device any more */
	if (!IS_ERR(priv->teedev))
		tee_device_unregister(priv->teedev);
	if (priv->page)
		__free_page(priv->page);
}

static struct dma_buf *tee_heap_alloc(struct kunit *test, u64 len)
{
	struct tee_heap_test *priv = test->priv;

	return dma_heap_buffer_alloc(priv->heap, len, O_RDWR | O_CLOEXEC, 0);
}

static void tee_heap_put(struct dma_buf *dmabuf)
{
	__fput_sync(dmabuf->file);
}

/* The exporter name of a buffer is the name of its heap. */
static void tee_heap_exp_name(struct kunit *test)
{
	struct dma_buf *dmabuf = tee_heap_alloc(test, SZ_1M);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_EXPECT_STREQ(test, dmabuf->exp_name, HEAP_NAME);
	KUNIT_EXPECT_EQ(test, dmabuf->size, SZ_1M);
	tee_heap_put(dmabuf);
}

/* TEE heaps are protected and contiguous. */
static void tee_heap_properties(struct kunit *test)
{
	struct tee_heap_test *priv = test->priv;

	KUNIT_EXPECT_EQ(test, dma_heap_properties(priv->heap),
			DMA_HEAP_PROTECTED | DMA_HEAP_CONTIGUOUS);
}

/*
 * The heap is removed with its device.  Existing buffers stay and hold the
 * device; new allocations fail with -ENODEV.
 */
static void tee_heap_device_gone(struct kunit *test)
{
	struct tee_heap_test *priv = test->priv;
	struct dma_buf *dmabuf = tee_heap_alloc(test, SZ_1M);
	struct tee_protmem_pool *pool;
	struct dma_buf *late;
	int ret;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);

	/* what tee_device_unregister() does first */
	tee_device_put_all_dma_heaps(priv->teedev);
	KUNIT_EXPECT_NULL(test, dma_heap_find(HEAP_NAME));
	late = tee_heap_alloc(test, SZ_1M);
	KUNIT_EXPECT_PTR_EQ(test, late, ERR_PTR(-ENODEV));
	if (!IS_ERR(late))
		tee_heap_put(late);
	KUNIT_EXPECT_STREQ(test, dmabuf->exp_name, HEAP_NAME);

	/* the name is free, though the old heap still has a buffer */
	pool = tee_protmem_static_pool_alloc(page_to_phys(priv->page), SZ_1M);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, pool);
	if (!IS_ERR(pool)) {
		ret = tee_device_register_dma_heap(priv->teedev, HEAP_ID, pool);
		KUNIT_EXPECT_EQ(test, ret, 0);
		if (ret)
			pool->ops->destroy_pool(pool);
	}
	tee_heap_put(dmabuf);

	/* the old heap is not the new one */
	KUNIT_EXPECT_PTR_EQ(test, tee_heap_alloc(test, SZ_1M), ERR_PTR(-ENODEV));
}

/* A buffer larger than a scatterlist entry is refused, not truncated. */
static void tee_heap_too_large(struct kunit *test)
{
	struct dma_buf *dmabuf;

	if (sizeof(size_t) <= 4)
		kunit_skip(test, "no size is too large for a scatterlist here");

	dmabuf = tee_heap_alloc(test, SZ_4G + PAGE_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, dmabuf, ERR_PTR(-ENOMEM));
	if (!IS_ERR(dmabuf))
		tee_heap_put(dmabuf);

	/* the refused buffer took nothing from the pool */
	dmabuf = tee_heap_alloc(test, SZ_4G - PAGE_SIZE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	tee_heap_put(dmabuf);
}

/*
 * Only buffers of the device's own heaps are accepted: heaps of other devices
 * have the same dma_buf_ops.
 */
static void tee_heap_whose(struct kunit *test)
{
	struct tee_heap_test *priv = test->priv;
	struct tee_shm *parent = ERR_PTR(-ENOTRECOVERABLE);
	struct dma_buf *own = tee_heap_alloc(test, SZ_1M), *other;
	struct tee_shm shm = {};
	struct dma_heap *system;
	size_t offset = 0;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, own);
	KUNIT_EXPECT_EQ(test, tee_heap_update_from_dma_buf(priv->teedev, own, &offset, &shm,
							   &parent), 0);
	KUNIT_EXPECT_EQ(test, shm.size, SZ_1M);
	KUNIT_EXPECT_GE(test, shm.paddr, page_to_phys(priv->page));
	KUNIT_EXPECT_NULL(test, parent);

	memset(&shm, 0, sizeof(shm));
	system = dma_heap_find("system");
	if (system) {
		other = dma_heap_buffer_alloc(system, SZ_1M, O_RDWR, 0);
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, other);
		if (!IS_ERR(other)) {
			KUNIT_EXPECT_EQ(test, tee_heap_update_from_dma_buf(priv->teedev, other,
									   &offset, &shm, &parent),
					-EINVAL);
			KUNIT_EXPECT_EQ(test, shm.size, 0);
			tee_heap_put(other);
		}
		dma_heap_put(system);
	}

	/* also when its heap has been removed, but not for another device */
	tee_device_put_all_dma_heaps(priv->teedev);
	KUNIT_EXPECT_EQ(test, tee_heap_update_from_dma_buf(priv->teedev, own, &offset, &shm,
							   &parent), 0);
	KUNIT_EXPECT_EQ(test, tee_heap_update_from_dma_buf(NULL, own, &offset, &shm, &parent),
			-EINVAL);
	tee_heap_put(own);
	if (!system)
		kunit_info(test, "no system heap: no buffer of another heap was tried\n");
}

/* The CPU cannot map a protected buffer. */
static void tee_heap_no_cpu(struct kunit *test)
{
	struct dma_buf *dmabuf = tee_heap_alloc(test, SZ_1M);
	struct iosys_map map;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_EXPECT_NULL(test, dmabuf->ops->mmap);
	KUNIT_EXPECT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), -EINVAL);
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	tee_heap_put(dmabuf);
}

/* Registering a heap a second time fails with -EBUSY. */
static void tee_heap_busy(struct kunit *test)
{
	struct tee_heap_test *priv = test->priv;
	struct tee_protmem_pool *pool;

	pool = tee_protmem_static_pool_alloc(page_to_phys(priv->page), SZ_1M);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	KUNIT_EXPECT_EQ(test, tee_device_register_dma_heap(priv->teedev, HEAP_ID, pool), -EBUSY);
	pool->ops->destroy_pool(pool);
}

/*
 * Mapping fails with -EIO for a device that cannot reach the buffer, and for
 * all devices if bouncing is forced: protected memory is not bounced.
 */
static void tee_heap_bounce(struct kunit *test)
{
	struct tee_heap_test *priv = test->priv;
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;
	struct device *dev;
	struct sg_table *sgt;
	unsigned int i;

	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT))
		kunit_skip(test, "devices of a confidential guest cannot access private memory");

	dev = kunit_device_register(test, "kunit-tee-importer");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	dmabuf = tee_heap_alloc(test, SZ_64K);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	dev->dma_mask = &dev->coherent_dma_mask;

	for (i = 0; i < 2; i++) {
		const bool reaches = i > 0;

		dev->coherent_dma_mask = reaches ? DMA_BIT_MASK(64) :
					 page_to_phys(priv->page) - 1;
		attach = dma_buf_attach(dmabuf, dev);
		/* no assertion: the end of the test waits for the buffer */
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, attach);
		if (IS_ERR(attach))
			break;
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_TO_DEVICE);
		if (reaches && !is_swiotlb_force_bounce(dev))
			KUNIT_EXPECT_FALSE(test, IS_ERR(sgt));
		else
			KUNIT_EXPECT_PTR_EQ(test, sgt, ERR_PTR(-EIO));
		if (!IS_ERR(sgt))
			dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_TO_DEVICE);
		dma_buf_detach(dmabuf, attach);
	}
	tee_heap_put(dmabuf);
}

static struct kunit_case tee_heap_cases[] = {
	KUNIT_CASE(tee_heap_exp_name),
	KUNIT_CASE(tee_heap_properties),
	KUNIT_CASE(tee_heap_device_gone),
	KUNIT_CASE(tee_heap_too_large),
	KUNIT_CASE(tee_heap_busy),
	KUNIT_CASE(tee_heap_bounce),
	KUNIT_CASE(tee_heap_whose),
	KUNIT_CASE(tee_heap_no_cpu),
	{}
};

static struct kunit_suite tee_heap_suite = {
	.name = "tee_heap",
	.init = tee_heap_init,
	.exit = tee_heap_exit,
	.test_cases = tee_heap_cases,
};

kunit_test_suite(tee_heap_suite);

MODULE_DESCRIPTION("KUnit suite of the TEE heaps");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
