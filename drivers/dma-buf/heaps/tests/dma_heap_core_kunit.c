// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the heap core: adding heaps, the checks before an allocation,
 * and the effect of removing a heap on files, buffers and callers.
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/linux/dma-heap.h>

#include "../../dma-heap-private.h"
#include "heap_kunit_helpers.h"

static struct fake_heap *fake_heap(struct kunit *test, const char *name)
{
	return heap_kunit_fake(test, name, 0);
}

static void fake_heap_remove_now(struct kunit *test, struct fake_heap *fake)
{
	kunit_release_action(test, heap_kunit_remove_heap, fake->heap);
}

static void fake_put(struct dma_buf *dmabuf)
{
	__fput_sync(dmabuf->file);
}

struct length_case {
	const char *desc;
	u64 len;
	int error;
	u64 size;
};

static const struct length_case length_cases[] = {
	{ .desc = "0", .len = 0, .error = -EINVAL },
	{ .desc = "1", .len = 1, .size = PAGE_SIZE },
	{ .desc = "page", .len = PAGE_SIZE, .size = PAGE_SIZE },
	{ .desc = "page + 1", .len = PAGE_SIZE + 1, .size = 2 * PAGE_SIZE },
	{ .desc = "last that fits", .len = PAGE_ALIGN_DOWN(SIZE_MAX),
	  .size = PAGE_ALIGN_DOWN(SIZE_MAX) },
	{ .desc = "first that does not", .len = (u64)PAGE_ALIGN_DOWN(SIZE_MAX) + 1,
	  .error = -EINVAL },
	{ .desc = "SIZE_MAX", .len = SIZE_MAX, .error = -EINVAL },
#if BITS_PER_LONG == 32
	{ .desc = "4 GiB", .len = SZ_4G, .error = -EINVAL },
	{ .desc = "4 GiB + page", .len = SZ_4G + PAGE_SIZE, .error = -EINVAL },
#endif
#if BITS_PER_LONG == 64
	{ .desc = "2^63", .len = 1ULL << 63, .size = 1ULL << 63 },
#endif
	{ .desc = "2^64 - 1", .len = U64_MAX, .error = -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(length, length_cases, desc);

/* Lengths are rounded up to pages; a heap never gets an invalid one. */
static void dma_heap_core_length(struct kunit *test)
{
	const struct length_case *param = test->param_value;
	struct fake_heap *fake = fake_heap(test, "kunit-length");
	struct dma_buf *dmabuf;

	/* do not export a dma-buf of such a size */
	if (param->size > SZ_1G)
		fake->error = -ENOMEM;

	dmabuf = dma_heap_buffer_alloc(fake->heap, param->len, O_RDWR | O_CLOEXEC, 0);
	KUNIT_EXPECT_EQ(test, fake->len, param->size);
	if (param->error || fake->error) {
		KUNIT_EXPECT_PTR_EQ(test, dmabuf, ERR_PTR(param->error ?: fake->error));
	} else {
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
		KUNIT_EXPECT_EQ(test, dmabuf->size, param->size);
	}
	if (!IS_ERR_OR_NULL(dmabuf))
		fake_put(dmabuf);
}

struct flags_case {
	const char *desc;
	u32 fd_flags;
	u64 heap_flags;
	int error;
};

static const struct flags_case flags_cases[] = {
	{ .desc = "O_RDONLY", .fd_flags = O_RDONLY },
	{ .desc = "O_WRONLY", .fd_flags = O_WRONLY },
	{ .desc = "O_RDWR", .fd_flags = O_RDWR },
	{ .desc = "O_RDWR | O_CLOEXEC", .fd_flags = O_RDWR | O_CLOEXEC },
	{ .desc = "O_WRONLY | O_RDWR", .fd_flags = O_WRONLY | O_RDWR, .error = -EINVAL },
	{ .desc = "O_WRONLY | O_RDWR | O_CLOEXEC", .fd_flags = O_WRONLY | O_RDWR | O_CLOEXEC,
	  .error = -EINVAL },
	{ .desc = "O_NONBLOCK", .fd_flags = O_RDWR | O_NONBLOCK, .error = -EINVAL },
	{ .desc = "all fd_flags", .fd_flags = ~0U, .error = -EINVAL },
	{ .desc = "first heap flag", .fd_flags = O_RDWR, .heap_flags = 1, .error = -EINVAL },
	{ .desc = "last heap flag", .fd_flags = O_RDWR, .heap_flags = 1ULL << 63,
	  .error = -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(flags, flags_cases, desc);

/* Invalid flags are refused. */
static void dma_heap_core_flags(struct kunit *test)
{
	const struct flags_case *param = test->param_value;
	struct fake_heap *fake = fake_heap(test, "kunit-flags");
	struct dma_buf *dmabuf;

	dmabuf = dma_heap_buffer_alloc(fake->heap, PAGE_SIZE, param->fd_flags,
				       param->heap_flags);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(dmabuf), param->error);
	if (!IS_ERR(dmabuf)) {
		KUNIT_EXPECT_EQ(test, dmabuf->file->f_flags & O_ACCMODE,
				param->fd_flags & O_ACCMODE);
		fake_put(dmabuf);
	}
}

static struct dma_buf *no_allocate(struct dma_heap *heap, unsigned long len,
				   u32 fd_flags, u64 heap_flags)
{
	return ERR_PTR(-ENOMEM);
}

static const struct dma_heap_ops no_ops = {
	.allocate = no_allocate,
};

static void expect_refused(struct kunit *test, const struct dma_heap_export_info *info, int error)
{
	struct dma_heap *heap = dma_heap_add(info);

	KUNIT_EXPECT_PTR_EQ(test, heap, ERR_PTR(error));
	/* clean up after an unexpected success */
	if (!IS_ERR(heap))
		dma_heap_remove(heap);
}

/* A name in use is -EEXIST.  200 such failures lose none of the 128 minors. */
static void dma_heap_core_duplicate(struct kunit *test)
{
	const struct dma_heap_export_info info = { .name = "kunit-duplicate", .ops = &no_ops };
	struct fake_heap *fake = fake_heap(test, "kunit-duplicate");
	struct dma_heap *heap;
	int i;

	for (i = 0; i < 200; i++)
		expect_refused(test, &info, -EEXIST);
	heap = dma_heap_find("kunit-duplicate");
	KUNIT_EXPECT_PTR_EQ(test, heap, fake->heap);
	dma_heap_put(heap);
}

struct name_case {
	const char *desc;
	const char *name;
};

static const char long_name[] = { [0 ... NAME_MAX] = 'x', '\0' };

static const struct name_case name_cases[] = {
	{ "none", NULL },
	{ "empty", "" },
	{ "this folder", "." },
	{ "folder above", ".." },
	{ "folder", "kunit/heap" },
	{ "absolute", "/kunit" },
	{ "space", "kunit heap" },
	{ "line feed", "kunit\n" },
	{ "control character", "kunit\x7f" },
	{ "Latin-1", "kunit\xe9" },
	{ "256 characters", long_name },
};

KUNIT_ARRAY_PARAM_DESC(name, name_cases, desc);

/* A name that is unfit for a device node is -EINVAL. */
static void dma_heap_core_name(struct kunit *test)
{
	const struct name_case *param = test->param_value;
	const struct dma_heap_export_info info = { .name = param->name, .ops = &no_ops };

	expect_refused(test, &info, -EINVAL);
}

/*
 * A heap needs an allocate operation and known properties only.  A dmem region
 * needs a size, and is not for memory of the page allocator.
 */
static void dma_heap_core_incomplete(struct kunit *test)
{
	const u32 all = DMA_HEAP_CONTIGUOUS | DMA_HEAP_WRITE_COMBINED | DMA_HEAP_PROTECTED |
			DMA_HEAP_CC_SHARED | DMA_HEAP_DEDICATED;
	static const struct dma_heap_ops empty_ops;
	const struct dma_heap_export_info infos[] = {
		{ .name = "kunit-incomplete", .ops = NULL },
		{ .name = "kunit-incomplete", .ops = &empty_ops },
		{ .name = "kunit-incomplete", .ops = &no_ops, .properties = ~0U },
		{ .name = "kunit-incomplete", .ops = &no_ops, .dmem = "kunit/incomplete" },
		{ .name = "kunit-incomplete", .ops = &no_ops, .dmem = "kunit/incomplete",
		  .size = PAGE_SIZE, .memory = true },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(infos); i++)
		expect_refused(test, &infos[i], -EINVAL);
	for (i = 0; i < 32; i++) {
		struct dma_heap_export_info info = infos[2];

		info.properties = BIT(i);
		if (info.properties & ~all)
			expect_refused(test, &info, -EINVAL);
	}
	KUNIT_EXPECT_NULL(test, dma_heap_find("kunit-incomplete"));
}

/* Arguments of the last charge, calls, and buffers freed before uncharging */
static struct {
	int error;
	size_t size;
	unsigned int charged;
	unsigned int uncharged;
	struct fake_heap *fake;
	int freed;
} charges;

static int fake_charge(struct dma_heap *heap, size_t size, struct dma_heap_charge *charge)
{
	*charge = (struct dma_heap_charge) { .size = size, .objcg = (void *)&charges };
	charges.size = size;
	charges.charged++;

	return charges.error;
}

static void fake_uncharge(struct dma_heap_charge *charge)
{
	/* the buffer must have kept the charge */
	if (charge->size == charges.size && charge->objcg == (void *)&charges)
		charges.uncharged++;
	charges.freed = atomic_read(&charges.fake->freed);
}

/*
 * A buffer is charged in whole pages before its heap allocates it.  It is
 * uncharged when the allocation fails, or after the heap has freed it.
 */
static void dma_heap_core_charged(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test, "kunit-charged");
	struct dma_buf *dmabuf;

	memset(&charges, 0, sizeof(charges));
	charges.fake = fake;
	kunit_activate_static_stub(test, dma_heap_charge, fake_charge);
	kunit_activate_static_stub(test, dma_heap_uncharge, fake_uncharge);

	charges.error = -ENOMEM;
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(fake->heap, 1, O_RDWR, 0),
			    ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_EQ(test, charges.size, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, charges.charged, 1);
	KUNIT_EXPECT_EQ(test, charges.uncharged, 0);
	KUNIT_EXPECT_EQ(test, fake->len, 0);

	charges.error = 0;
	fake->error = -EIO;
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(fake->heap, 1, O_RDWR, 0),
			    ERR_PTR(-EIO));
	KUNIT_EXPECT_EQ(test, charges.charged, 2);
	KUNIT_EXPECT_EQ(test, charges.uncharged, 1);

	fake->error = 0;
	dmabuf = dma_heap_buffer_alloc(fake->heap, PAGE_SIZE + 1, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_EXPECT_EQ(test, charges.size, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, charges.uncharged, 1);
	__fput_sync(dmabuf->file);
	KUNIT_EXPECT_EQ(test, charges.uncharged, 2);
	KUNIT_EXPECT_EQ(test, charges.freed, 1);
}

/* A request larger than the heap fails without a call of the heap. */
static void dma_heap_core_size(struct kunit *test)
{
	const struct dma_heap_export_info info = { .name = "kunit-size", .size = 4 * PAGE_SIZE };
	struct fake_heap *fake = heap_kunit_fake_info(test, info);

	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(fake->heap, 4 * PAGE_SIZE + 1, O_RDWR, 0),
			    ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_EQ(test, fake->len, 0);
	heap_kunit_put_later(test, dma_heap_buffer_alloc(fake->heap, 4 * PAGE_SIZE, O_RDWR, 0));
	KUNIT_EXPECT_EQ(test, fake->len, 4 * PAGE_SIZE);
}

/*
 * Heaps that name the same dmem region share it.  A buffer keeps the region
 * until it is freed, also if all heaps are removed first.
 */
static void dma_heap_core_dmem(struct kunit *test)
{
	struct dma_heap_export_info info = {
		.name = "kunit-dmem",
		.ops = &no_ops,
		.size = 4 * PAGE_SIZE,
		.dmem = "kunit/dmem",
	};
	struct fake_heap *fake, *second;
	struct dma_buf *dmabuf;

	if (!IS_ENABLED(CONFIG_CGROUP_DMEM))
		kunit_skip(test, "this kernel has no dmem controller");

	fake = heap_kunit_fake_info(test, info);
	info.name = "kunit-dmem-too";
	info.size++;
	expect_refused(test, &info, -EINVAL);
	info.size--;
	second = heap_kunit_fake_info(test, info);
	fake->error = -EIO;
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(fake->heap, PAGE_SIZE, O_RDWR, 0),
			    ERR_PTR(-EIO));
	dmabuf = dma_heap_buffer_alloc(second->heap, PAGE_SIZE, O_RDWR, 0);
	heap_kunit_put_later(test, dmabuf);
	KUNIT_EXPECT_NOT_NULL(test, dma_heap_buffer_of(dmabuf)->charge.dmem);

	fake_heap_remove_now(test, fake);
	fake_heap_remove_now(test, second);
	kunit_release_action(test, heap_kunit_put, dmabuf);
	KUNIT_EXPECT_EQ(test, atomic_read(&second->freed), 1);

	/* the region is gone, so its name can be used with another size */
	info.size++;
	heap_kunit_fake_info(test, info);
}

/* A heap is found by its name, which is copied, until it is removed. */
static void dma_heap_core_find(struct kunit *test)
{
	char name[] = "kunit-find";
	struct fake_heap *fake = fake_heap(test, name);
	struct dma_heap *heap;

	memset(name, 'x', sizeof(name) - 1);
	KUNIT_EXPECT_NULL(test, dma_heap_find(name));
	heap = dma_heap_find("kunit-find");
	KUNIT_EXPECT_PTR_EQ(test, heap, fake->heap);
	KUNIT_EXPECT_STREQ(test, dma_heap_get_name(heap), "kunit-find");
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_get_drvdata(heap), fake);

	fake_heap_remove_now(test, fake);
	KUNIT_EXPECT_NULL(test, dma_heap_find("kunit-find"));
	/* dma_heap_find() does not delay the release operation */
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 1);
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(heap, PAGE_SIZE, O_RDWR, 0),
			    ERR_PTR(-ENODEV));
	KUNIT_EXPECT_STREQ(test, dma_heap_get_name(heap), "kunit-find");
	dma_heap_put(heap);
	dma_heap_put(NULL);
}

/* A name is free again as soon as its heap is removed, any number of times. */
static void dma_heap_core_again(struct kunit *test)
{
	const struct dma_heap_export_info info = { .name = "kunit-again", .ops = &no_ops };
	struct fake_heap *fake;
	int i;

	if (IS_ENABLED(CONFIG_DEBUG_KOBJECT_RELEASE))
		kunit_skip(test, "minors come back late here");

	for (i = 0; i < 200; i++) {
		fake = fake_heap(test, "kunit-again");
		expect_refused(test, &info, -EEXIST);
		/* finding and putting it does not keep the minor either */
		dma_heap_put(dma_heap_find("kunit-again"));
		fake_heap_remove_now(test, fake);
	}
}

/* A name of NAME_MAX characters is valid. */
static void dma_heap_core_longest_name(struct kunit *test)
{
	char *name = kunit_kzalloc(test, NAME_MAX + 1, GFP_KERNEL);
	struct fake_heap *fake;

	KUNIT_ASSERT_NOT_NULL(test, name);
	memset(name, 'x', NAME_MAX);
	fake = fake_heap(test, name);
	KUNIT_EXPECT_STREQ(test, dma_heap_get_name(fake->heap), name);
}

/* There can be 128 heaps; one more is -ENOSPC, and harms none of them. */
static void dma_heap_core_too_many(struct kunit *test)
{
	struct dma_heap_export_info info = { .ops = &no_ops };
	struct dma_heap *heaps[129];
	unsigned int n, i, last = 0;
	char name[32];

	if (IS_ENABLED(CONFIG_DEBUG_KOBJECT_RELEASE))
		kunit_skip(test, "minors come back late here");

	info.name = name;
	for (n = 0; n < ARRAY_SIZE(heaps); n++) {
		snprintf(name, sizeof(name), "kunit-%u", n);
		heaps[n] = dma_heap_add(&info);
		if (IS_ERR(heaps[n]))
			break;
		last = max(last, MINOR(dma_heap_kunit_devt(heaps[n])));
	}
	KUNIT_EXPECT_LT(test, n, ARRAY_SIZE(heaps));
	/* together with the machine's own heaps */
	KUNIT_EXPECT_EQ(test, last, 127);
	if (n < ARRAY_SIZE(heaps))
		KUNIT_EXPECT_PTR_EQ(test, heaps[n], ERR_PTR(-ENOSPC));
	KUNIT_EXPECT_NULL(test, dma_heap_find(name));

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "kunit-%u", i);
		KUNIT_EXPECT_STREQ(test, dma_heap_get_name(heaps[i]), name);
		dma_heap_remove(heaps[i]);
	}
	/* the minors are free again */
	fake_heap(test, "kunit-too-many");
}

static void dma_heap_core_properties(struct kunit *test)
{
	const u32 all = DMA_HEAP_CONTIGUOUS | DMA_HEAP_WRITE_COMBINED | DMA_HEAP_PROTECTED |
			DMA_HEAP_CC_SHARED | DMA_HEAP_DEDICATED;
	struct fake_heap *fake;
	u32 properties;

	for (properties = 0; properties <= all; properties++) {
		fake = heap_kunit_fake(test, "kunit-properties", properties);
		KUNIT_EXPECT_EQ(test, dma_heap_properties(fake->heap), properties);
		fake_heap_remove_now(test, fake);
	}
}

/* The caller gets the errno of the heap, and the failure is counted. */
static void dma_heap_core_errors(struct kunit *test)
{
	static const int errors[] = { -ENOMEM, -EINTR, -EIO, -ENODEV, -EBUSY, -EAGAIN };
	struct fake_heap *fake = fake_heap(test, "kunit-errors");
	struct dma_heap_counters c;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		fake->error = errors[i];
		KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(fake->heap, PAGE_SIZE, O_RDWR, 0),
				    ERR_PTR(errors[i]));
		dma_heap_kunit_counters(fake->heap, &c);
		KUNIT_EXPECT_EQ(test, c.failures, i + 1);
		KUNIT_EXPECT_EQ(test, c.buffers, 0);
	}

	/* an invalid request is no failure of the heap */
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(fake->heap, 0, O_RDWR, 0),
			    ERR_PTR(-EINVAL));
	dma_heap_kunit_counters(fake->heap, &c);
	KUNIT_EXPECT_EQ(test, c.failures, i);
}

static void dma_heap_core_counters(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test, "kunit-counters");
	struct dma_buf *a, *b;
	struct dma_heap_counters c;

	a = dma_heap_buffer_alloc(fake->heap, 2 * PAGE_SIZE, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a);
	b = dma_heap_buffer_alloc(fake->heap, 5 * PAGE_SIZE - 1, O_RDWR, 0);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, b);
	if (!IS_ERR(b)) {
		dma_heap_kunit_counters(fake->heap, &c);
		KUNIT_EXPECT_EQ(test, c.buffers, 2);
		KUNIT_EXPECT_EQ(test, c.bytes, 7 * PAGE_SIZE);
		fake_put(b);
	}
	dma_heap_kunit_counters(fake->heap, &c);
	KUNIT_EXPECT_EQ(test, c.buffers, 1);
	KUNIT_EXPECT_EQ(test, c.bytes, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, c.peak, 7 * PAGE_SIZE);
	fake_put(a);
	/* a lower usage does not change the peak */
	a = dma_heap_buffer_alloc(fake->heap, PAGE_SIZE, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a);
	dma_heap_kunit_counters(fake->heap, &c);
	KUNIT_EXPECT_EQ(test, c.bytes, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, c.peak, 7 * PAGE_SIZE);
	fake_put(a);
	dma_heap_kunit_counters(fake->heap, &c);
	KUNIT_EXPECT_EQ(test, c.buffers, 0);
	KUNIT_EXPECT_EQ(test, c.bytes, 0);
	KUNIT_EXPECT_EQ(test, c.peak, 7 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, c.failures, 0);
}

/* Without a get_info operation, the core reports a size of 0. */
static void dma_heap_core_info(struct kunit *test)
{
	const struct dma_heap_export_info exp_info = {
		.name = "kunit-info",
		.properties = DMA_HEAP_CONTIGUOUS | DMA_HEAP_WRITE_COMBINED | DMA_HEAP_CC_SHARED,
		.size = SZ_64M,
	};
	struct fake_heap *fake = heap_kunit_fake_info(test, exp_info);
	struct dma_heap_info info = {};
	struct dma_heap *heap;

	KUNIT_EXPECT_EQ(test, dma_heap_get_info(fake->heap, &info), 0);
	KUNIT_EXPECT_EQ(test, info.properties, DMA_HEAP_CONTIGUOUS);
	KUNIT_EXPECT_EQ(test, info.restrictions, DMA_HEAP_WRITE_COMBINED | DMA_HEAP_CC_SHARED);
	KUNIT_EXPECT_EQ(test, info.size, 0);
	KUNIT_EXPECT_EQ(test, info.granule, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, info.free, 0);
	KUNIT_EXPECT_EQ(test, info.largest, 0);
	KUNIT_EXPECT_EQ(test, info.address_bits, 0);

	heap = dma_heap_find("kunit-info");
	KUNIT_ASSERT_PTR_EQ(test, heap, fake->heap);
	fake_heap_remove_now(test, fake);
	KUNIT_EXPECT_EQ(test, dma_heap_get_info(heap, &info), -ENODEV);
	dma_heap_put(heap);
}

/* What get_info and allocate of the heap of the next tests return */
static struct {
	struct dma_heap_info info;
	bool unknown;
	int error;
} failing;

static struct dma_buf *failing_allocate(struct dma_heap *heap, unsigned long len, u32 fd_flags,
					u64 heap_flags)
{
	return ERR_PTR(failing.error);
}

static void failing_get_info(struct dma_heap *heap, struct dma_heap_info *info)
{
	if (failing.unknown) {
		info->size = 0;
		return;
	}
	info->free = failing.info.free;
	info->largest = failing.info.largest;
	info->address_bits = failing.info.address_bits;
}

static const struct dma_heap_ops failing_ops = {
	.allocate = failing_allocate,
	.get_info = failing_get_info,
};

static struct dma_heap *failing_heap(struct kunit *test, const char *name, u32 properties)
{
	const struct dma_heap_export_info exp_info = {
		.name = name,
		.ops = &failing_ops,
		.properties = properties,
		.size = SZ_64M,
	};
	struct dma_heap *heap = dma_heap_add(&exp_info);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_remove_heap, heap), 0);

	return heap;
}

/* The caller gets the values of the get_info operation. */
static void dma_heap_core_heap_info(struct kunit *test)
{
	struct dma_heap *heap = failing_heap(test, "kunit-info", DMA_HEAP_CONTIGUOUS);
	struct dma_heap_info info = {};

	failing.unknown = false;
	failing.info = (struct dma_heap_info) {
		.free = SZ_32M, .largest = SZ_16M, .address_bits = 33,
	};
	KUNIT_EXPECT_EQ(test, dma_heap_get_info(heap, &info), 0);
	KUNIT_EXPECT_EQ(test, info.properties, DMA_HEAP_CONTIGUOUS);
	KUNIT_EXPECT_EQ(test, info.restrictions, 0);
	KUNIT_EXPECT_EQ(test, info.size, SZ_64M);
	KUNIT_EXPECT_EQ(test, info.free, SZ_32M);
	KUNIT_EXPECT_EQ(test, info.largest, SZ_16M);
	KUNIT_EXPECT_EQ(test, info.granule, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, info.address_bits, 33);

	/* largest is at most the largest valid length */
	failing.info.largest = U64_MAX;
	KUNIT_EXPECT_EQ(test, dma_heap_get_info(heap, &info), 0);
	KUNIT_EXPECT_EQ(test, info.largest, PAGE_ALIGN_DOWN(SIZE_MAX));
}

/* Each failure has one reason. */
static void dma_heap_core_reasons(struct kunit *test)
{
	static const struct {
		enum dma_heap_failure reason;
		u32 fd_flags;
		u64 len;
		int error;
		int charge_error;
		u64 free;
		u64 largest;
		bool unknown;
		bool scattered;
	} cases[] = {
		{ DMA_HEAP_FAILURE_ARGUMENT, O_ACCMODE, SZ_1M },
		{ DMA_HEAP_FAILURE_ARGUMENT, O_RDWR, 0 },
		{ DMA_HEAP_FAILURE_LIMIT, O_RDWR, SZ_1M, 0, -ENOMEM, SZ_1M, SZ_1M },
		{ DMA_HEAP_FAILURE_KILLED, O_RDWR, SZ_1M, 0, -EINTR, SZ_1M, SZ_1M },
		{ DMA_HEAP_FAILURE_MEMORY, O_RDWR, SZ_128M, 0, -ENOMEM, SZ_1M, SZ_1M },
		{ DMA_HEAP_FAILURE_MEMORY, O_RDWR, SZ_2M, -ENOMEM, 0, SZ_1M, SZ_1M },
		{ DMA_HEAP_FAILURE_CONTIGUOUS, O_RDWR, SZ_2M, -ENOMEM, 0, SZ_2M, SZ_1M },
		/* in one piece, but some of it could not be migrated */
		{ DMA_HEAP_FAILURE_CONTIGUOUS, O_RDWR, SZ_2M, -ENOMEM, 0, SZ_4M, SZ_4M },
		{ DMA_HEAP_FAILURE_KILLED, O_RDWR, SZ_1M, -EINTR, 0, SZ_1M, SZ_1M },
		{ DMA_HEAP_FAILURE_OTHER, O_RDWR, SZ_1M, -EIO, 0, SZ_1M, SZ_1M },
		/* the heap does not report how much is free */
		{ DMA_HEAP_FAILURE_OTHER, O_RDWR, SZ_2M, -ENOMEM, 0, 0, 0, true },
		{ DMA_HEAP_FAILURE_MEMORY, O_RDWR, SZ_128M, 0, -ENOMEM, 0, 0, true },
		/* enough is free, and need not be in one piece */
		{ DMA_HEAP_FAILURE_OTHER, O_RDWR, SZ_2M, -ENOMEM, 0, SZ_4M, SZ_4M, false, true },
		{ DMA_HEAP_FAILURE_MEMORY, O_RDWR, SZ_2M, -ENOMEM, 0, SZ_1M, SZ_1M, false, true },
	};
	struct dma_heap *heaps[] = {
		failing_heap(test, "kunit-failing", DMA_HEAP_CONTIGUOUS),
		failing_heap(test, "kunit-scattered", 0),
	};
	struct dma_heap_counters c, before;
	struct dma_heap *heap;
	struct dma_buf *dmabuf;
	unsigned int i, reason;

	charges.fake = fake_heap(test, "kunit-reasons");
	kunit_activate_static_stub(test, dma_heap_charge, fake_charge);
	kunit_activate_static_stub(test, dma_heap_uncharge, fake_uncharge);

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		charges.error = cases[i].charge_error;
		failing.error = cases[i].error;
		failing.info.free = cases[i].free;
		failing.info.largest = cases[i].largest;
		failing.unknown = cases[i].unknown;
		heap = heaps[cases[i].scattered];
		dma_heap_kunit_counters(heap, &before);
		dmabuf = dma_heap_buffer_alloc(heap, cases[i].len, cases[i].fd_flags, 0);
		KUNIT_EXPECT_TRUE_MSG(test, IS_ERR(dmabuf), "case %u", i);
		dma_heap_kunit_counters(heap, &c);
		for (reason = 0; reason < DMA_HEAP_FAILURES; reason++) {
			KUNIT_EXPECT_EQ_MSG(test, c.reasons[reason] - before.reasons[reason],
					    reason == cases[i].reason, "case %u, reason %u", i,
					    reason);
		}
		KUNIT_EXPECT_EQ_MSG(test, c.failures - before.failures,
				    cases[i].reason != DMA_HEAP_FAILURE_ARGUMENT, "case %u", i);
	}
	kunit_deactivate_static_stub(test, dma_heap_charge);
	kunit_deactivate_static_stub(test, dma_heap_uncharge);
}

/* A buffer outlives its heap, and delays the release operation. */
static void dma_heap_core_buffer_stays(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test, "kunit-buffer");
	struct dma_buf *dmabuf;

	dmabuf = dma_heap_buffer_alloc(fake->heap, PAGE_SIZE, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);

	fake_heap_remove_now(test, fake);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 0);
	/* a new heap of the same name does not get the buffer */
	fake_heap(test, "kunit-buffer");
	KUNIT_EXPECT_STREQ(test, dmabuf->exp_name, "kunit-buffer");
	KUNIT_EXPECT_EQ(test, dmabuf->size, PAGE_SIZE);
	fake_put(dmabuf);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 1);
}

struct core_call {
	struct fake_heap *fake;
	struct dma_buf *dmabuf;
	struct completion done;
};

static int alloc_thread(void *data)
{
	struct core_call *call = data;

	call->dmabuf = dma_heap_buffer_alloc(call->fake->heap, PAGE_SIZE, O_RDWR, 0);
	kthread_complete_and_exit(&call->done, 0);
}

static int remove_thread(void *data)
{
	struct core_call *call = data;

	dma_heap_remove(call->fake->heap);
	kthread_complete_and_exit(&call->done, 0);
}

/*
 * A heap is removed during an allocation: the removal waits, later allocations
 * fail with -ENODEV at once, and the pending one succeeds.
 */
static void dma_heap_core_remove_busy(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test, "kunit-busy");
	struct core_call alloc = { .fake = fake }, removal = { .fake = fake };
	struct core_call late = { .fake = fake };
	struct dma_heap *heap = dma_heap_find("kunit-busy");
	struct task_struct *task;
	unsigned long removed, refused;
	bool started;
	unsigned int i;

	KUNIT_ASSERT_PTR_EQ(test, heap, fake->heap);
	init_completion(&alloc.done);
	init_completion(&removal.done);
	init_completion(&late.done);
	fake->block = true;
	task = kthread_run(alloc_thread, &alloc, "heap-kunit-alloc");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	if (!wait_for_completion_timeout(&fake->entered, 5 * HZ)) {
		KUNIT_FAIL(test, "the heap was not asked");
		complete_all(&fake->resume);
		wait_for_completion(&alloc.done);
		if (!IS_ERR_OR_NULL(alloc.dmabuf))
			fake_put(alloc.dmabuf);
		dma_heap_put(heap);
		return;
	}

	/* no assertion until all threads are done */
	kunit_remove_action(test, heap_kunit_remove_heap, heap);
	task = kthread_run(remove_thread, &removal, "heap-kunit-remove");
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, task);
	started = !IS_ERR(task);
	if (!started)
		complete(&removal.done);

	/* the name is removed first, then the removal waits */
	for (i = 0; i < 1000; i++) {
		struct dma_heap *found = dma_heap_find("kunit-busy");

		if (!found)
			break;
		dma_heap_put(found);
		schedule_timeout_uninterruptible(1);
	}
	KUNIT_EXPECT_LT(test, i, 1000);
	removed = wait_for_completion_timeout(&removal.done, HZ / 5);
	KUNIT_EXPECT_EQ(test, removed, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 0);

	task = kthread_run(alloc_thread, &late, "heap-kunit-late");
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, task);
	if (IS_ERR(task))
		complete(&late.done);
	refused = wait_for_completion_timeout(&late.done, 5 * HZ);
	KUNIT_EXPECT_NE(test, refused, 0);

	complete_all(&fake->resume);
	wait_for_completion(&alloc.done);
	if (!started)
		dma_heap_remove(heap);
	if (!removed)
		wait_for_completion(&removal.done);
	if (!refused)
		wait_for_completion(&late.done);
	KUNIT_EXPECT_PTR_EQ(test, late.dmabuf, ERR_PTR(-ENODEV));
	if (!IS_ERR_OR_NULL(late.dmabuf))
		fake_put(late.dmabuf);

	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 0);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, alloc.dmabuf);
	if (!IS_ERR_OR_NULL(alloc.dmabuf))
		fake_put(alloc.dmabuf);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 1);
	dma_heap_put(heap);
}

/*
 * A lookup of an alias returns its heap.  Removing the alias frees its name,
 * and does not affect the heap.
 */
static void dma_heap_core_alias(struct kunit *test)
{
	const struct dma_heap_export_info info = { .name = "kunit-other", .ops = &no_ops };
	struct fake_heap *fake = fake_heap(test, "kunit-alias");
	struct dma_heap *alias, *second, *heap;
	unsigned int i;

	if (IS_ENABLED(CONFIG_DEBUG_KOBJECT_RELEASE))
		kunit_skip(test, "minors come back late here");

	KUNIT_EXPECT_PTR_EQ(test, dma_heap_add_alias(fake->heap, "kunit-alias"),
			    ERR_PTR(-EEXIST));
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_add_alias(fake->heap, "a/b"), ERR_PTR(-EINVAL));

	/* 200 rounds lose none of the 128 minors */
	for (i = 0; i < 200; i++) {
		alias = heap_kunit_alias(test, fake->heap, "kunit-other");
		expect_refused(test, &info, -EEXIST);
		KUNIT_EXPECT_PTR_EQ(test, dma_heap_add_alias(fake->heap, "kunit-other"),
				    ERR_PTR(-EEXIST));
		heap = dma_heap_find("kunit-other");
		KUNIT_EXPECT_PTR_EQ(test, heap, fake->heap);
		dma_heap_put(heap);
		kunit_release_action(test, heap_kunit_remove_heap, alias);
		KUNIT_EXPECT_NULL(test, dma_heap_find("kunit-other"));
	}
	heap = dma_heap_find("kunit-alias");
	KUNIT_EXPECT_PTR_EQ(test, heap, fake->heap);
	dma_heap_put(heap);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 0);

	/* an alias of an alias refers to the heap, which may go first */
	alias = heap_kunit_alias(test, fake->heap, "kunit-other");
	second = heap_kunit_alias(test, alias, "kunit-second");
	heap = dma_heap_find("kunit-second");
	KUNIT_EXPECT_PTR_EQ(test, heap, fake->heap);
	fake_heap_remove_now(test, fake);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 1);
	if (heap)
		KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(heap, PAGE_SIZE, O_RDWR, 0),
				    ERR_PTR(-ENODEV));
	dma_heap_put(heap);
	KUNIT_EXPECT_NULL(test, dma_heap_find("kunit-other"));
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_add_alias(alias, "kunit-third"), ERR_PTR(-ENODEV));
	kunit_release_action(test, heap_kunit_remove_heap, second);
	kunit_release_action(test, heap_kunit_remove_heap, alias);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 1);
}

static void unmount(void *mnt)
{
	kern_unmount(mnt);
}

/* Open a device by its number, through a node that has no name. */
static struct file *open_devt(struct kunit *test, struct vfsmount *mnt, dev_t devt)
{
	struct path path = { .mnt = mnt };
	struct inode *inode;
	struct file *file;

	inode = new_inode(mnt->mnt_sb);
	KUNIT_ASSERT_NOT_NULL(test, inode);
	init_special_inode(inode, S_IFCHR | 0600, devt);
	path.dentry = d_obtain_alias(inode);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, path.dentry);
	file = dentry_open(&path, O_RDONLY, current_cred());
	dput(path.dentry);

	return file;
}

/* Once its heap is removed, an open file fails with -ENODEV. */
static void dma_heap_core_remove_open(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test, "kunit-open");
	dev_t devt = dma_heap_kunit_devt(fake->heap);
	/* of size 0, as a kernel thread has no userspace memory */
	const unsigned int cmd = DMA_HEAP_IOCTL_ALLOC & ~IOCSIZE_MASK;
	const struct file_operations *fops;
	struct file *file, *again;
	struct vfsmount *mnt;

	mnt = kern_mount(get_fs_type("ramfs"));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, unmount, mnt), 0);
	file = open_devt(test, mnt, devt);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	fops = file->f_op;
	KUNIT_EXPECT_EQ(test, fops->unlocked_ioctl(file, cmd, 0), -EINVAL);

	fake_heap_remove_now(test, fake);
	/* the file holds struct dma_heap, but not the owner */
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->released), 1);
	KUNIT_EXPECT_EQ(test, fops->unlocked_ioctl(file, cmd, 0), -ENODEV);
	KUNIT_EXPECT_EQ(test, fops->unlocked_ioctl(file, ~0U, 0), -ENODEV);

	/* by the inode, which still refers to the heap */
	again = dentry_open(&file->f_path, O_RDONLY, current_cred());
	KUNIT_EXPECT_PTR_EQ(test, again, ERR_PTR(-ENODEV));
	if (!IS_ERR(again))
		__fput_sync(again);
	/* by the number, which has no device: the errno is of the VFS */
	again = open_devt(test, mnt, devt);
	KUNIT_EXPECT_PTR_EQ(test, again, ERR_PTR(-ENXIO));
	if (!IS_ERR(again))
		__fput_sync(again);

	__fput_sync(file);
}

/* The file in debugfs lists the properties of the heap. */
static void dma_heap_core_properties_shown(struct kunit *test)
{
	static const struct {
		u32 properties;
		const char *line;
	} cases[] = {
		{ .properties = 0, .line = "properties:\n" },
		{ .properties = DMA_HEAP_CONTIGUOUS, .line = "properties: contiguous\n" },
		{ .properties = DMA_HEAP_PROTECTED, .line = "properties: protected\n" },
		{ .properties = DMA_HEAP_CONTIGUOUS | DMA_HEAP_PROTECTED,
		  .line = "properties: contiguous protected\n" },
		{ .properties = DMA_HEAP_WRITE_COMBINED,
		  .line = "properties: write-combined\n" },
		{ .properties = DMA_HEAP_CC_SHARED, .line = "properties: cc-shared\n" },
		{ .properties = DMA_HEAP_CONTIGUOUS | DMA_HEAP_DEDICATED,
		  .line = "properties: contiguous dedicated\n" },
	};
	struct dentry *dir, *dentry;
	struct seq_file *opened, s;
	struct vfsmount *mnt;
	struct fake_heap *fake;
	struct file *file;
	unsigned int i;
	char *buf;

	dir = debugfs_lookup("dma_heap", NULL);
	if (IS_ERR_OR_NULL(dir))
		kunit_skip(test, "this kernel has no debugfs");
	dput(dir);
	mnt = kern_mount(get_fs_type("debugfs"));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, unmount, mnt), 0);
	buf = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fake = heap_kunit_fake(test, "kunit-shown", cases[i].properties);
		dir = debugfs_lookup("dma_heap", NULL);
		dentry = debugfs_lookup("kunit-shown", dir);
		dput(dir);
		KUNIT_ASSERT_NOT_NULL_MSG(test, dentry, "case %u", i);
		file = dentry_open(&(struct path){ .mnt = mnt, .dentry = dentry }, O_RDONLY,
				   current_cred());
		dput(dentry);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);

		/* no userspace memory for read(): call show() */
		opened = file->private_data;
		s = (struct seq_file){
			.buf = buf, .size = PAGE_SIZE - 1, .private = opened->private,
		};
		memset(buf, 0, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, opened->op->show(&s, NULL), 0);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(buf, cases[i].line),
					  "%s is not in:\n%s", cases[i].line, buf);
		fake_heap_remove_now(test, fake);
		/* the open file holds the removed heap */
		KUNIT_EXPECT_EQ(test, opened->op->show(&s, NULL), 0);
		__fput_sync(file);
		dir = debugfs_lookup("dma_heap", NULL);
		dentry = debugfs_lookup("kunit-shown", dir);
		dput(dir);
		KUNIT_EXPECT_NULL_MSG(test, dentry, "case %u", i);
		dput(dentry);
	}
}

/*
 * Without its heap, an alias cannot be opened, and its open files fail with
 * -ENODEV, whether the heap or the alias is removed first.  200 rounds lose
 * none of the 128 minors.
 */
static void dma_heap_core_alias_open(struct kunit *test)
{
	struct dma_heap_allocation_data data = { .len = PAGE_SIZE, .fd_flags = O_RDWR };
	struct dma_heap *alias, *held;
	struct file *file, *again;
	struct fake_heap *fake;
	struct vfsmount *mnt;
	unsigned long addr;
	unsigned int i;
	long ret;

	if (IS_ENABLED(CONFIG_DEBUG_KOBJECT_RELEASE))
		kunit_skip(test, "minors come back late here");

	mnt = kern_mount(get_fs_type("ramfs"));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, unmount, mnt), 0);
	addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	KUNIT_ASSERT_EQ(test, copy_to_user((void __user *)addr, &data, sizeof(data)), 0);

	for (i = 0; i < 200; i++) {
		const bool heap_first = i & 1;

		fake = fake_heap(test, "kunit-heap");
		alias = heap_kunit_alias(test, fake->heap, "kunit-alias");
		file = open_devt(test, mnt, dma_heap_kunit_devt(alias));
		KUNIT_ASSERT_NOT_ERR_OR_NULL_MSG(test, file, "round %u", i);
		held = dma_heap_find("kunit-alias");
		KUNIT_EXPECT_PTR_EQ_MSG(test, held, fake->heap, "round %u", i);

		if (heap_first)
			fake_heap_remove_now(test, fake);
		else
			kunit_release_action(test, heap_kunit_remove_heap, alias);
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&fake->released), heap_first, "round %u", i);
		KUNIT_EXPECT_NULL_MSG(test, dma_heap_find("kunit-alias"), "round %u", i);
		/* the file of the alias fails without it or its heap */
		ret = file->f_op->unlocked_ioctl(file, DMA_HEAP_IOCTL_ALLOC, addr);
		KUNIT_EXPECT_EQ_MSG(test, ret, -ENODEV, "round %u", i);
		again = dentry_open(&file->f_path, O_RDONLY, current_cred());
		KUNIT_EXPECT_PTR_EQ_MSG(test, again, ERR_PTR(-ENODEV), "round %u", i);
		if (!IS_ERR(again))
			__fput_sync(again);

		if (heap_first)
			kunit_release_action(test, heap_kunit_remove_heap, alias);
		else
			fake_heap_remove_now(test, fake);
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&fake->released), 1, "round %u", i);
		KUNIT_EXPECT_PTR_EQ_MSG(test, dma_heap_buffer_alloc(held, PAGE_SIZE, O_RDWR, 0),
					ERR_PTR(-ENODEV), "round %u", i);
		dma_heap_put(held);
		__fput_sync(file);
	}
}

static struct kunit_case dma_heap_core_cases[] = {
	KUNIT_CASE_PARAM(dma_heap_core_length, length_gen_params),
	KUNIT_CASE_PARAM(dma_heap_core_flags, flags_gen_params),
	KUNIT_CASE(dma_heap_core_duplicate),
	KUNIT_CASE_PARAM(dma_heap_core_name, name_gen_params),
	KUNIT_CASE(dma_heap_core_incomplete),
	KUNIT_CASE(dma_heap_core_charged),
	KUNIT_CASE(dma_heap_core_size),
	KUNIT_CASE(dma_heap_core_dmem),
	KUNIT_CASE(dma_heap_core_find),
	KUNIT_CASE(dma_heap_core_again),
	KUNIT_CASE(dma_heap_core_longest_name),
	KUNIT_CASE(dma_heap_core_too_many),
	KUNIT_CASE(dma_heap_core_properties),
	KUNIT_CASE(dma_heap_core_properties_shown),
	KUNIT_CASE(dma_heap_core_errors),
	KUNIT_CASE(dma_heap_core_counters),
	KUNIT_CASE(dma_heap_core_info),
	KUNIT_CASE(dma_heap_core_heap_info),
	KUNIT_CASE(dma_heap_core_reasons),
	KUNIT_CASE(dma_heap_core_buffer_stays),
	KUNIT_CASE(dma_heap_core_alias),
	KUNIT_CASE(dma_heap_core_alias_open),
	KUNIT_CASE(dma_heap_core_remove_busy),
	KUNIT_CASE(dma_heap_core_remove_open),
	{}
};

static struct kunit_suite dma_heap_core_suite = {
	.name = "dma_heap_core",
	.test_cases = dma_heap_core_cases,
};

kunit_test_suite(dma_heap_core_suite);

MODULE_DESCRIPTION("KUnit suite of the DMA-BUF heap core");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
