// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of heap buffers: mappings for devices and for the kernel, on a
 * fake heap whose chunk sizes each test chooses.  The kselftests cover
 * userspace mappings.
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/atomic.h>
#include <linux/cacheinfo.h>
#include <linux/completion.h>
#include <linux/container_of.h>
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-resv.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/iosys-map.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swiotlb.h>
#include <linux/workqueue.h>

#include "../../dma-heap-private.h"
#include "heap_kunit_helpers.h"

#define HEAP_NAME	"kunit-buffer"

/* pages of a 2 MiB PMD, or fewer if the page allocator has no such chunks */
#define PMD_PAGES	(SZ_2M / PAGE_SIZE > MAX_ORDER_NR_PAGES ? MAX_ORDER_NR_PAGES : \
			 SZ_2M / PAGE_SIZE)

/* The address at which a device that maps pages directly sees a page in its reach */
static dma_addr_t direct_addr(struct kunit *test, struct device *dev, struct page *page)
{
	dma_addr_t addr = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_TO_DEVICE);

	if (dma_mapping_error(dev, addr))
		KUNIT_FAIL(test, "a page cannot be mapped");
	else
		dma_unmap_page(dev, addr, PAGE_SIZE, DMA_TO_DEVICE);

	return addr;
}

static struct fake_heap *fake_heap_props(struct kunit *test, u32 properties)
{
	return heap_kunit_fake(test, HEAP_NAME, properties);
}

static struct fake_heap *fake_heap(struct kunit *test)
{
	return fake_heap_props(test, 0);
}

static struct dma_buf *fake_buffer(struct kunit *test, unsigned long pages)
{
	return heap_kunit_alloc(test, HEAP_NAME, pages * PAGE_SIZE);
}

static struct sg_table *map(struct kunit *test, struct dma_buf_attachment *attach,
			    enum dma_data_direction dir)
{
	struct sg_table *sgt = dma_buf_map_attachment_unlocked(attach, dir);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);

	return sgt;
}

static void unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
		  enum dma_data_direction dir)
{
	dma_buf_unmap_attachment_unlocked(attach, sgt, dir);
}

/* An invalid buffer; its table has up to two entries. */
struct invalid_case {
	const char *name;
	size_t len;
	unsigned int nents;
	unsigned int offset[2];
	unsigned int length[2];
	/* index of one of three adjacent pages */
	unsigned int page[2];
	bool no_release;
	bool no_page;
	bool contiguous;
};

static const struct invalid_case invalid_cases[] = {
	{ .name = "no length", .nents = 1, .length = { PAGE_SIZE } },
	{ .name = "part of a page", .len = PAGE_SIZE - 1, .nents = 1,
	  .length = { PAGE_SIZE - 1 } },
	{ .name = "no table", .len = PAGE_SIZE },
	{ .name = "no release", .len = PAGE_SIZE, .nents = 1, .length = { PAGE_SIZE },
	  .no_release = true },
	{ .name = "empty entry", .len = PAGE_SIZE, .nents = 2, .length = { PAGE_SIZE, 0 } },
	{ .name = "offset", .len = PAGE_SIZE, .nents = 1, .offset = { SZ_1K },
	  .length = { PAGE_SIZE } },
	{ .name = "offset in the second entry", .len = 2 * PAGE_SIZE, .nents = 2,
	  .offset = { 0, SZ_1K }, .length = { PAGE_SIZE, PAGE_SIZE } },
	{ .name = "parts of pages", .len = 2 * PAGE_SIZE, .nents = 2,
	  .length = { PAGE_SIZE - SZ_1K, PAGE_SIZE + SZ_1K } },
	{ .name = "less than the length", .len = 3 * PAGE_SIZE, .nents = 2,
	  .length = { PAGE_SIZE, PAGE_SIZE } },
	{ .name = "more than the length", .len = PAGE_SIZE, .nents = 2,
	  .length = { PAGE_SIZE, PAGE_SIZE } },
	{ .name = "one entry too long", .len = PAGE_SIZE, .nents = 1,
	  .length = { 2 * PAGE_SIZE } },
	{ .name = "no page", .len = 2 * PAGE_SIZE, .nents = 2,
	  .length = { PAGE_SIZE, PAGE_SIZE }, .no_page = true },
	{ .name = "twice the same page", .len = 2 * PAGE_SIZE, .nents = 2,
	  .length = { PAGE_SIZE, PAGE_SIZE }, .contiguous = true },
	{ .name = "a gap", .len = 2 * PAGE_SIZE, .nents = 2, .page = { 0, 2 },
	  .length = { PAGE_SIZE, PAGE_SIZE }, .contiguous = true },
	{ .name = "downwards", .len = 2 * PAGE_SIZE, .nents = 2, .page = { 1, 0 },
	  .length = { PAGE_SIZE, PAGE_SIZE }, .contiguous = true },
};

KUNIT_ARRAY_PARAM_DESC(invalid, invalid_cases, name);

static void no_release(struct dma_heap_buffer *buffer)
{
}

static void free_pages_action(void *page)
{
	__free_pages(page, get_order(3 * PAGE_SIZE));
}

static void refused_release(struct dma_heap_buffer *buffer)
{
	KUNIT_FAIL(kunit_get_current_test(), "the refused buffer was given back");
}

/* Export refuses an invalid buffer, and does not release it. */
static void dma_heap_buffer_invalid(struct kunit *test)
{
	const struct invalid_case *param = test->param_value;
	struct fake_heap *fake = fake_heap_props(test, param->contiguous ? DMA_HEAP_CONTIGUOUS : 0);
	struct dma_heap_buffer buffer = { .len = param->len };
	struct scatterlist sgl[2];
	struct page *page;
	unsigned int i;

	page = alloc_pages(GFP_KERNEL, get_order(3 * PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, page);
	if (!param->no_release)
		buffer.release = refused_release;
	if (param->nents) {
		sg_init_table(sgl, param->nents);
		for (i = 0; i < param->nents; i++)
			sg_set_page(&sgl[i], page + param->page[i], param->length[i],
				    param->offset[i]);
		if (param->no_page)
			sg_assign_page(&sgl[1], NULL);
		buffer.table = (struct sg_table){
			.sgl = sgl, .nents = param->nents, .orig_nents = param->nents,
		};
	}
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_export(fake->heap, &buffer, O_RDWR),
			    ERR_PTR(-EINVAL));
	__free_pages(page, get_order(3 * PAGE_SIZE));
}

/* One run of pages can be described by any number of entries. */
static void dma_heap_buffer_run(struct kunit *test)
{
	struct fake_heap *fake = fake_heap_props(test, DMA_HEAP_CONTIGUOUS);
	struct dma_heap_buffer buffer = { .len = 3 * PAGE_SIZE, .release = no_release };
	struct scatterlist *sg;
	struct dma_buf *dmabuf;
	struct page *page;
	unsigned int i;

	page = alloc_pages(GFP_KERNEL, get_order(3 * PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_pages_action, page), 0);
	KUNIT_ASSERT_EQ(test, sg_alloc_table(&buffer.table, 3, GFP_KERNEL), 0);
	for_each_sgtable_sg(&buffer.table, sg, i)
		sg_set_page(sg, page + i, PAGE_SIZE, 0);
	dmabuf = dma_heap_buffer_export(fake->heap, &buffer, O_RDWR);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, dmabuf);
	if (!IS_ERR(dmabuf))
		__fput_sync(dmabuf->file);
	sg_free_table(&buffer.table);
}

/*
 * Devices map a write-combined buffer with DMA_ATTR_UNCACHED, and CPU accesses
 * sync nothing.  The fake heap does not prepare its pages, so this case has no
 * CPU mapping of them.
 */
static void dma_heap_buffer_write_combined(struct kunit *test)
{
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	fake_heap_props(test, DMA_HEAP_WRITE_COMBINED);
	dmabuf = fake_buffer(test, 4);
	KUNIT_EXPECT_EQ(test, dma_heap_buffer_of(dmabuf)->dma_attrs, DMA_ATTR_UNCACHED);
	importer = heap_kunit_importer(test, "heap-importer");
	if (dev_is_dma_coherent(importer->dev) && !IS_ENABLED(CONFIG_ARCH_HAS_DMA_UNCACHED_SNOOP))
		kunit_skip(test, "all devices snoop here");
	attach = heap_kunit_attach(test, dmabuf, importer->dev);
	sgt = map(test, attach, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, importer->map_attrs,
			DMA_ATTR_UNCACHED | DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_NO_BOUNCE);
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, importer->syncs, 0);
	unmap(attach, sgt, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, importer->unmap_attrs, importer->map_attrs);
}

/* A buffer is released once, with its last reference. */
static void dma_heap_buffer_release(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test);
	struct dma_buf *dmabuf;

	dmabuf = dma_heap_buffer_alloc(fake->heap, 4 * PAGE_SIZE, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_EXPECT_EQ(test, dmabuf->size, 4 * PAGE_SIZE);
	KUNIT_EXPECT_STREQ(test, dmabuf->exp_name, HEAP_NAME);
	KUNIT_EXPECT_PTR_EQ(test, dmabuf->owner, fake->owner);
	get_dma_buf(dmabuf);
	__fput_sync(dmabuf->file);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->freed), 0);
	__fput_sync(dmabuf->file);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->freed), 1);
}

static struct sg_table *foreign_map(struct dma_buf_attachment *attachment,
				    enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void foreign_unmap(struct dma_buf_attachment *attachment, struct sg_table *sgt,
			  enum dma_data_direction dir)
{
}

static void foreign_release(struct dma_buf *dmabuf)
{
}

static const struct dma_buf_ops foreign_ops = {
	.map_dma_buf = foreign_map,
	.unmap_dma_buf = foreign_unmap,
	.release = foreign_release,
};

static struct dma_buf *foreign_allocate(struct dma_heap *heap, unsigned long len,
					u32 fd_flags, u64 heap_flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);

	info.ops = &foreign_ops;
	info.size = len;
	info.flags = fd_flags;
	info.priv = heap;

	return dma_buf_export(&info);
}

/* dma_heap_buffer_of() returns NULL for a dma-buf of another exporter. */
static void dma_heap_buffer_whose(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test);
	struct dma_heap_buffer *buffer;
	struct dma_buf *dmabuf;

	buffer = dma_heap_buffer_of(fake_buffer(test, 1));
	KUNIT_ASSERT_NOT_NULL(test, buffer);
	KUNIT_EXPECT_PTR_EQ(test, buffer->heap, fake->heap);

	dmabuf = foreign_allocate(fake->heap, PAGE_SIZE, O_RDWR, 0);
	heap_kunit_put_later(test, dmabuf);
	KUNIT_EXPECT_NULL(test, dma_heap_buffer_of(dmabuf));
}

static const struct dma_heap_ops foreign_heap_ops = {
	.allocate = foreign_allocate,
};

/* A heap that exports its buffers itself gets an error: nothing would uncharge them. */
static void dma_heap_buffer_foreign(struct kunit *test)
{
	const struct dma_heap_export_info info = {
		.name = "kunit-foreign",
		.ops = &foreign_heap_ops,
	};
	struct dma_heap *heap = dma_heap_add(&info);
	struct dma_heap_counters c;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_remove_heap, heap), 0);
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(heap, PAGE_SIZE, O_RDWR, 0),
			    ERR_PTR(-EINVAL));
	dma_heap_kunit_counters(heap, &c);
	KUNIT_EXPECT_EQ(test, c.buffers, 0);
	KUNIT_EXPECT_EQ(test, c.failures, 1);
}

struct layout {
	const char *name;
	unsigned long pages;
	unsigned int chunks[FAKE_MAX_CHUNKS];
};

static const struct layout layouts[] = {
	{ .name = "a page", .pages = 1 },
	{ .name = "two pages", .pages = 2 },
	{ .name = "two chunks", .pages = 2, .chunks = { 1 } },
	{ .name = "a chunk for a PMD, almost", .pages = PMD_PAGES - 1 },
	{ .name = "a chunk for a PMD", .pages = PMD_PAGES },
	{ .name = "a chunk for a PMD and a page", .pages = PMD_PAGES + 1, .chunks = { PMD_PAGES } },
	{ .name = "odd chunks", .pages = 33, .chunks = { 1, 2, 3, 4, 5, 6 } },
	{ .name = "large and small in turn", .pages = 58, .chunks = { 16, 1, 16, 1, 16, 1 } },
};

KUNIT_ARRAY_PARAM_DESC(layouts, layouts, name);

static struct dma_buf *layout_buffer(struct kunit *test)
{
	const struct layout *layout = test->param_value;
	struct fake_heap *fake = fake_heap(test);

	memcpy(fake->chunks, layout->chunks, sizeof(fake->chunks));

	return fake_buffer(test, layout->pages);
}

/*
 * The kernel mapping has all chunks in order.  A single chunk is mapped by its
 * linear address, unless caches can have aliases.  All users get the same
 * address.
 */
static void dma_heap_buffer_vmap(struct kunit *test)
{
	const struct layout *layout = test->param_value;
	struct dma_buf *dmabuf = layout_buffer(test);
	struct sg_table *table = &dma_heap_buffer_of(dmabuf)->table;
	struct iosys_map map, again;
	struct scatterlist *sg;
	unsigned long page = 0;
	unsigned int i, j;
	void *vaddr;

	for_each_sgtable_sg(table, sg, i) {
		for (j = 0; j < sg->length; j += PAGE_SIZE, page++)
			*(unsigned long *)(sg_virt(sg) + j) = page + 1;
	}
	KUNIT_ASSERT_EQ(test, page, layout->pages);

	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
	KUNIT_EXPECT_FALSE(test, map.is_iomem);
	KUNIT_EXPECT_EQ(test, is_vmalloc_addr(map.vaddr),
			cpu_dcache_is_aliasing() || table->orig_nents > 1);
	for (page = 0; page < layout->pages; page++)
		KUNIT_EXPECT_EQ_MSG(test, *(unsigned long *)(map.vaddr + page * PAGE_SIZE),
				    page + 1, "page %lu", page);

	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &again), 0);
	KUNIT_EXPECT_PTR_EQ(test, again.vaddr, map.vaddr);
	dma_buf_vunmap_unlocked(dmabuf, &map);
	/* the mapping stays for the second user */
	memset(again.vaddr, 0x5a, layout->pages * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	dma_buf_vunmap_unlocked(dmabuf, &again);
	for_each_sgtable_sg(table, sg, i)
		KUNIT_EXPECT_NULL(test, memchr_inv(sg_virt(sg), 0x5a, sg->length));

	/* map again after the last user has unmapped */
	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(map.vaddr, 0x5a, layout->pages * PAGE_SIZE));
	vaddr = map.vaddr;
	dma_buf_vunmap_unlocked(dmabuf, &map);
	/* the mapping is gone; CPU accesses no longer maintain it */
	KUNIT_EXPECT_NULL(test, dma_heap_buffer_of(dmabuf)->vaddr);
	if (is_vmalloc_addr(vaddr))
		KUNIT_EXPECT_NULL(test, vmalloc_to_page(vaddr));
}

static void *no_kernel_mapping(struct dma_heap_buffer *buffer)
{
	return NULL;
}

/* A failed vmap() is -ENOMEM, and leaves no mapping behind. */
static void dma_heap_buffer_vmap_fails(struct kunit *test)
{
	struct fake_heap *fake = fake_heap(test);
	struct iosys_map map;
	struct dma_buf *dmabuf;

	fake->chunks[0] = 1;
	dmabuf = fake_buffer(test, 2);
	kunit_activate_static_stub(test, dma_heap_buffer_map_kernel, no_kernel_mapping);
	KUNIT_EXPECT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), -ENOMEM);
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	kunit_deactivate_static_stub(test, dma_heap_buffer_map_kernel);
	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
	dma_buf_vunmap_unlocked(dmabuf, &map);
}

static void free_table(struct dma_heap_buffer *buffer)
{
	sg_free_table(&buffer->table);
}

static void put_page_action(void *page)
{
	__free_page(page);
}

/*
 * Export a buffer of @nr chunks of @size bytes.  All chunks begin with the same
 * page.  The memory after it does not belong to the buffer: do not access it.
 */
static struct dma_buf *hollow_buffer(struct kunit *test, unsigned int nr, size_t size)
{
	struct fake_heap *fake = fake_heap(test);
	struct dma_heap_buffer *buffer;
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	struct page *page;
	unsigned int i;

	page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, put_page_action, page), 0);

	buffer = kunit_kzalloc(test, sizeof(*buffer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buffer);
	buffer->len = nr * size;
	buffer->release = free_table;
	KUNIT_ASSERT_EQ(test, sg_alloc_table(&buffer->table, nr, GFP_KERNEL), 0);
	for_each_sgtable_sg(&buffer->table, sg, i)
		sg_set_page(sg, page, size, 0);

	dmabuf = dma_heap_buffer_export(fake->heap, buffer, O_RDWR);
	if (IS_ERR(dmabuf))
		sg_free_table(&buffer->table);
	heap_kunit_put_later(test, dmabuf);

	return dmabuf;
}

/* vmap() refuses more pages than the machine has, with -ENOMEM as well. */
static void dma_heap_buffer_vmap_too_large(struct kunit *test)
{
	const u64 ram = (u64)totalram_pages() << PAGE_SHIFT;
	const unsigned int nr = (ram >> ilog2(SZ_1G)) + 2;
	struct dma_heap_buffer *buffer;
	struct dma_buf *dmabuf;
	struct iosys_map map;
	unsigned int i;

	if ((u64)nr * SZ_1G > SIZE_MAX)
		kunit_skip(test, "no buffer is larger than this machine's memory");
	if (ram > SZ_32G)
		kunit_skip(test, "takes long with so much memory");

	dmabuf = hollow_buffer(test, nr, SZ_1G);
	buffer = dma_heap_buffer_of(dmabuf);
	/* a second try would find a mapping that the first one left */
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ_MSG(test, dma_buf_vmap_unlocked(dmabuf, &map), -ENOMEM,
				    "try %u, %zu bytes", i, buffer->len);
		KUNIT_EXPECT_TRUE(test, iosys_map_is_null(&map));
		KUNIT_EXPECT_NULL(test, buffer->vaddr);
	}
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
}

/*
 * Expect the table, mapped for @dev, to have the pages of the buffer in order.
 * CONFIG_DMABUF_DEBUG hides the pages, but not the DMA addresses.
 */
static void expect_pages(struct kunit *test, struct dma_buf *dmabuf, struct device *dev,
			 struct sg_table *sgt)
{
	struct sg_table *own = &dma_heap_buffer_of(dmabuf)->table;
	struct scatterlist *sg, *o = own->sgl;
	unsigned int i;

	if (!IS_ENABLED(CONFIG_DMABUF_DEBUG)) {
		KUNIT_ASSERT_EQ(test, sgt->orig_nents, own->orig_nents);
		for_each_sgtable_sg(sgt, sg, i) {
			KUNIT_EXPECT_PTR_EQ_MSG(test, sg_page(sg), sg_page(o), "entry %u", i);
			KUNIT_EXPECT_EQ_MSG(test, sg->length, o->length, "entry %u", i);
			KUNIT_EXPECT_EQ_MSG(test, sg->offset, 0, "entry %u", i);
			o = sg_next(o);
		}
	}

	/* bounce buffers have other addresses */
	if (is_swiotlb_force_bounce(dev))
		return;
	o = own->sgl;
	KUNIT_ASSERT_EQ(test, sgt->nents, own->orig_nents);
	for_each_sgtable_dma_sg(sgt, sg, i) {
		dma_addr_t addr = heap_kunit_importer_records() ? sg_phys(o) :
				  direct_addr(test, dev, sg_page(o));

		KUNIT_EXPECT_EQ_MSG(test, sg_dma_address(sg), addr, "entry %u", i);
		KUNIT_EXPECT_EQ_MSG(test, sg_dma_len(sg), o->length, "entry %u", i);
		o = sg_next(o);
	}
}

static size_t dma_length(struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;
	size_t len = 0;

	for_each_sgtable_dma_sg(sgt, sg, i)
		len += sg_dma_len(sg);

	return len;
}

/*
 * Several devices map a buffer in any order: each gets all pages, in a table of
 * its own.  One device is coherent, if the architecture has both kinds.
 */
static void dma_heap_buffer_devices(struct kunit *test)
{
	struct dma_buf *dmabuf = layout_buffer(test);
	struct dma_buf_attachment *attach[3];
	struct sg_table *sgt[3];
	unsigned int i, j, round;

	for (i = 0; i < 3; i++) {
		static const char * const names[] = { "heap-one", "heap-two", "heap-three" };

		attach[i] = heap_kunit_attach(test, dmabuf,
					      heap_kunit_importer(test, names[i])->dev);
	}
	dev_set_dma_coherent(attach[0]->dev);
	if (!heap_kunit_importer_records() && is_swiotlb_force_bounce(attach[0]->dev))
		kunit_skip(test, "not every chunk has a bounce buffer");

	/* each round, another device maps first; it unmaps first or last */
	for (round = 0; round < 6; round++) {
		for (i = 0; i < 3; i++) {
			j = (round + i) % 3;
			sgt[j] = map(test, attach[j], DMA_BIDIRECTIONAL);
		}
		KUNIT_EXPECT_PTR_NE(test, sgt[0]->sgl, sgt[1]->sgl);
		KUNIT_EXPECT_PTR_NE(test, sgt[0]->sgl, sgt[2]->sgl);
		KUNIT_EXPECT_PTR_NE(test, sgt[1]->sgl, sgt[2]->sgl);
		for (i = 0; i < 3; i++) {
			expect_pages(test, dmabuf, attach[i]->dev, sgt[i]);
			KUNIT_EXPECT_EQ_MSG(test, dma_length(sgt[i]), dmabuf->size,
					    "round %u, device %u", round, i);
		}
		for (i = 0; i < 3; i++) {
			j = (round + (round & 1 ? i : 2 - i)) % 3;
			unmap(attach[j], sgt[j], DMA_BIDIRECTIONAL);
		}
	}
}

static int no_copy(const struct sg_table *from, struct sg_table *to)
{
	return -ENOMEM;
}

/* Mapping fails with -ENOMEM if the scatterlist cannot be copied. */
static void dma_heap_buffer_copy_fails(struct kunit *test)
{
	struct dma_buf_attachment *one, *two;
	struct sg_table *sgt, *late;
	struct dma_buf *dmabuf;

	fake_heap(test)->chunks[0] = 1;
	dmabuf = fake_buffer(test, 4);
	one = heap_kunit_attach(test, dmabuf, heap_kunit_importer(test, "heap-one")->dev);
	two = heap_kunit_attach(test, dmabuf, heap_kunit_importer(test, "heap-two")->dev);
	sgt = map(test, one, DMA_BIDIRECTIONAL);

	kunit_activate_static_stub(test, dma_heap_buffer_copy_table, no_copy);
	late = dma_buf_map_attachment_unlocked(two, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_PTR_EQ(test, late, ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	/* an attachment keeps its copy of the scatterlist */
	unmap(one, sgt, DMA_BIDIRECTIONAL);
	sgt = map(test, one, DMA_BIDIRECTIONAL);
	kunit_deactivate_static_stub(test, dma_heap_buffer_copy_table);

	late = map(test, two, DMA_BIDIRECTIONAL);
	expect_pages(test, dmabuf, two->dev, late);
	unmap(two, late, DMA_BIDIRECTIONAL);
	unmap(one, sgt, DMA_BIDIRECTIONAL);
}

/* A device that cannot map the buffer leaves everything as it was. */
static void dma_heap_buffer_map_error(struct kunit *test)
{
	fake_heap(test)->chunks[0] = 1;
	heap_kunit_test_map_error(test, HEAP_NAME);
}

/*
 * An attachment has one mapping.  Mapping it again returns the same one if its
 * direction covers the new one, or else -EBUSY.  The last unmap ends it.
 */
static void dma_heap_buffer_map_twice(struct kunit *test)
{
	struct dma_buf_attachment *attach;
	struct heap_kunit_importer *importer;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;

	fake_heap(test);
	dmabuf = fake_buffer(test, 4);
	importer = heap_kunit_importer(test, "heap-importer");
	attach = heap_kunit_attach(test, dmabuf, importer->dev);
	sgt = map(test, attach, DMA_TO_DEVICE);
	unmap(attach, map(test, attach, DMA_TO_DEVICE), DMA_TO_DEVICE);
	KUNIT_EXPECT_PTR_EQ(test, dma_buf_map_attachment_unlocked(attach, DMA_FROM_DEVICE),
			    ERR_PTR(-EBUSY));
	KUNIT_EXPECT_PTR_EQ(test, dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL),
			    ERR_PTR(-EBUSY));
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	unmap(attach, sgt, DMA_TO_DEVICE);
	if (heap_kunit_importer_records()) {
		KUNIT_EXPECT_EQ(test, importer->maps, 1);
		KUNIT_EXPECT_EQ(test, importer->unmaps, 1);
		KUNIT_EXPECT_EQ(test, importer->syncs, 1);
		KUNIT_EXPECT_EQ(test, importer->sync_dir, DMA_TO_DEVICE);
	}

	/* a bidirectional mapping covers each direction */
	sgt = map(test, attach, DMA_FROM_DEVICE);
	unmap(attach, map(test, attach, DMA_BIDIRECTIONAL), DMA_BIDIRECTIONAL);
	unmap(attach, map(test, attach, DMA_TO_DEVICE), DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	if (heap_kunit_importer_records()) {
		KUNIT_EXPECT_EQ(test, importer->maps, 2);
		KUNIT_EXPECT_EQ(test, importer->unmaps, 1);
		KUNIT_EXPECT_EQ(test, importer->sync_dir, DMA_BIDIRECTIONAL);
	}
	unmap(attach, sgt, DMA_FROM_DEVICE);
}

/* An extra unmap causes a warning only, and the importer can map again. */
static void dma_heap_buffer_unmap_twice(struct kunit *test)
{
	struct dma_buf_attachment *attach;
	struct heap_kunit_importer *importer;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;

	fake_heap(test);
	dmabuf = fake_buffer(test, 4);
	importer = heap_kunit_importer(test, "heap-importer");
	attach = heap_kunit_attach(test, dmabuf, importer->dev);

	/* bypass the core, which may wrap the table (CONFIG_DMABUF_DEBUG) */
	dma_resv_lock(dmabuf->resv, NULL);
	sgt = dmabuf->ops->map_dma_buf(attach, DMA_TO_DEVICE);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, sgt);
	if (!IS_ERR_OR_NULL(sgt)) {
		dmabuf->ops->unmap_dma_buf(attach, sgt, DMA_TO_DEVICE);
		kunit_warning_suppress(test)
			dmabuf->ops->unmap_dma_buf(attach, sgt, DMA_TO_DEVICE);
	}
	dma_resv_unlock(dmabuf->resv);
	unmap(attach, map(test, attach, DMA_TO_DEVICE), DMA_TO_DEVICE);
	if (heap_kunit_importer_records()) {
		KUNIT_EXPECT_EQ(test, importer->maps, 2);
		KUNIT_EXPECT_EQ(test, importer->unmaps, 2);
	}
}

/* Unmap uses the direction and the attributes of the mapping. */
static void dma_heap_buffer_unmap_as_mapped(struct kunit *test)
{
	struct dma_buf_attachment *attach;
	struct heap_kunit_importer *importer;
	struct fake_heap *fake = fake_heap(test);
	struct sg_table *sgt;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	fake->dma_attrs = DMA_ATTR_SKIP_CPU_SYNC;
	importer = heap_kunit_importer(test, "heap-importer");
	attach = heap_kunit_attach(test, fake_buffer(test, 4), importer->dev);
	sgt = map(test, attach, DMA_TO_DEVICE);
	unmap(attach, sgt, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, importer->map_attrs, DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_EXPECT_EQ(test, importer->unmap_attrs, DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_EXPECT_EQ(test, importer->unmap_dir, DMA_TO_DEVICE);
}

static void dma_heap_buffer_sync_direction(struct kunit *test)
{
	fake_heap(test);
	heap_kunit_test_sync_direction(test, HEAP_NAME);
}

static void dma_heap_buffer_map_sync_race(struct kunit *test)
{
	fake_heap(test);
	heap_kunit_test_map_sync_race(test, HEAP_NAME);
}

/* Begin and end of a CPU access each sync every existing mapping once. */
static void dma_heap_buffer_sync_each(struct kunit *test)
{
	struct heap_kunit_importer *importer[3];
	struct dma_buf_attachment *attach[3];
	struct sg_table *sgt[3];
	struct dma_buf *dmabuf;
	unsigned int i, mapped;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	fake_heap(test)->chunks[0] = 1;
	dmabuf = fake_buffer(test, 4);
	for (i = 0; i < 3; i++) {
		static const char * const names[] = { "heap-one", "heap-two", "heap-three" };

		importer[i] = heap_kunit_importer(test, names[i]);
		attach[i] = heap_kunit_attach(test, dmabuf, importer[i]->dev);
	}
	for (mapped = 0; mapped <= 3; mapped++) {
		for (i = 0; i < 3; i++)
			importer[i]->syncs = 0;
		KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
		for (i = 0; i < 3; i++)
			KUNIT_EXPECT_EQ_MSG(test, importer[i]->syncs, i < mapped ? 1 : 0,
					    "begin, device %u of %u", i, mapped);
		KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
		for (i = 0; i < 3; i++)
			KUNIT_EXPECT_EQ_MSG(test, importer[i]->syncs, i < mapped ? 2 : 0,
					    "end, device %u of %u", i, mapped);
		if (mapped < 3)
			sgt[mapped] = map(test, attach[mapped], DMA_BIDIRECTIONAL);
	}
	for (i = 0; i < 3; i++)
		unmap(attach[i], sgt[i], DMA_BIDIRECTIONAL);
}

/* Devices can map protected memory; the CPU cannot. */
static void dma_heap_buffer_protected(struct kunit *test)
{
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;
	struct iosys_map map_;
	struct sg_table *sgt;

	fake_heap_props(test, DMA_HEAP_PROTECTED);
	dmabuf = fake_buffer(test, 4);
	KUNIT_EXPECT_NOT_NULL(test, dma_heap_buffer_of(dmabuf));
	KUNIT_EXPECT_NULL(test, dmabuf->ops->mmap);
	KUNIT_EXPECT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map_), -EINVAL);

	importer = heap_kunit_importer(test, "heap-importer");
	/* no device maps protected memory where all bounce */
	if (!heap_kunit_importer_records() && is_swiotlb_force_bounce(importer->dev))
		return;
	attach = heap_kunit_attach(test, dmabuf, importer->dev);
	sgt = map(test, attach, DMA_FROM_DEVICE);
	KUNIT_EXPECT_EQ(test, dma_length(sgt), dmabuf->size);
	if (heap_kunit_importer_records()) {
		KUNIT_EXPECT_EQ(test, importer->map_attrs,
				DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_NO_BOUNCE);
		KUNIT_EXPECT_EQ(test, importer->map_dir, DMA_FROM_DEVICE);
	}
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, importer->syncs, 0);
	unmap(attach, sgt, DMA_FROM_DEVICE);
}

/*
 * A device cannot map protected memory if one of the chunks, whichever it is,
 * is out of its reach and would have to be bounced.
 */
static void dma_heap_buffer_protected_bounce(struct kunit *test)
{
	struct fake_heap *fake = fake_heap_props(test, DMA_HEAP_PROTECTED);
	struct heap_kunit_importer *importer = heap_kunit_importer(test, "heap-importer");
	struct dma_heap_buffer buffer = { .len = 3 * PAGE_SIZE, .release = no_release };
	struct dma_buf_attachment *attach;
	struct device *dev = importer->dev;
	struct page *page;
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i, at;

	set_dma_ops(dev, NULL);
	if (get_dma_ops(dev) || is_swiotlb_force_bounce(dev))
		kunit_skip(test, "the reach of a device is not all that counts here");

	page = alloc_pages(GFP_KERNEL, get_order(3 * PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_pages_action, page), 0);

	/* the page with the highest address is out of reach; it is entry @at */
	for (at = 0; at < 3; at++) {
		KUNIT_ASSERT_EQ(test, sg_alloc_table(&buffer.table, 3, GFP_KERNEL), 0);
		for_each_sgtable_sg(&buffer.table, sg, i)
			sg_set_page(sg, page + (i + 5 - at) % 3, PAGE_SIZE, 0);
		dmabuf = dma_heap_buffer_export(fake->heap, &buffer, O_RDWR);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
		attach = dma_buf_attach(dmabuf, dev);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, attach);

		dev->bus_dma_limit = direct_addr(test, dev, page + 2) - 1;
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_TO_DEVICE);
		KUNIT_EXPECT_PTR_EQ_MSG(test, sgt, ERR_PTR(-EIO), "entry %u is out of reach", at);

		dev->bus_dma_limit += PAGE_SIZE;
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_TO_DEVICE);
		KUNIT_EXPECT_FALSE_MSG(test, IS_ERR(sgt), "all in reach, order %u: %pe", at, sgt);
		if (!IS_ERR(sgt))
			unmap(attach, sgt, DMA_TO_DEVICE);
		dma_buf_detach(dmabuf, attach);
		__fput_sync(dmabuf->file);
		sg_free_table(&buffer.table);
	}
}

static const char *fence_name(struct dma_fence *fence)
{
	return "heap-kunit";
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = fence_name,
	.get_timeline_name = fence_name,
};

/* A device uses the buffer until the fence signals. */
static struct dma_fence *add_fence(struct kunit *test, struct dma_buf *dmabuf,
				   enum dma_resv_usage usage)
{
	struct dma_fence *fence = kzalloc_obj(*fence);

	KUNIT_ASSERT_NOT_NULL(test, fence);
	dma_fence_init64(fence, &fence_ops, NULL, dma_fence_context_alloc(1), 1);
	dma_resv_lock(dmabuf->resv, NULL);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(dmabuf->resv, 1), 0);
	dma_resv_add_fence(dmabuf->resv, fence, usage);
	dma_resv_unlock(dmabuf->resv);

	return fence;
}

struct access {
	struct dma_buf *dmabuf;
	enum dma_data_direction dir;
	struct completion done;
	int ret;
};

static int access_thread(void *data)
{
	struct access *access = data;

	access->ret = dma_buf_begin_cpu_access(access->dmabuf, access->dir);
	kthread_complete_and_exit(&access->done, 0);
}

/* begin_cpu_access() waits for conflicting fences, and syncs after that. */
static void dma_heap_buffer_sync_after_fence(struct kunit *test)
{
	static const struct {
		enum dma_resv_usage usage;
		enum dma_data_direction dir;
		bool waits;
	} accesses[] = {
		{ .usage = DMA_RESV_USAGE_WRITE, .dir = DMA_FROM_DEVICE, .waits = true },
		{ .usage = DMA_RESV_USAGE_WRITE, .dir = DMA_TO_DEVICE, .waits = true },
		{ .usage = DMA_RESV_USAGE_READ, .dir = DMA_FROM_DEVICE, .waits = false },
		{ .usage = DMA_RESV_USAGE_READ, .dir = DMA_TO_DEVICE, .waits = true },
		{ .usage = DMA_RESV_USAGE_READ, .dir = DMA_BIDIRECTIONAL, .waits = true },
	};
	struct access access = { .done = COMPLETION_INITIALIZER_ONSTACK(access.done) };
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct task_struct *task;
	struct dma_fence *fence;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;
	unsigned long early;
	unsigned int i;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");

	fake_heap(test);
	dmabuf = fake_buffer(test, 4);
	importer = heap_kunit_importer(test, "heap-importer");
	attach = heap_kunit_attach(test, dmabuf, importer->dev);
	sgt = map(test, attach, DMA_FROM_DEVICE);
	access.dmabuf = dmabuf;

	for (i = 0; i < ARRAY_SIZE(accesses); i++) {
		fence = add_fence(test, dmabuf, accesses[i].usage);
		importer->syncs = 0;
		reinit_completion(&access.done);
		access.dir = accesses[i].dir;
		task = kthread_run(access_thread, &access, "heap-kunit-access");
		if (!IS_ERR(task)) {
			early = wait_for_completion_timeout(&access.done,
							    accesses[i].waits ? HZ / 10 : 5 * HZ);
			KUNIT_EXPECT_EQ_MSG(test, !early, accesses[i].waits,
					    "direction %d, fence of usage %d", accesses[i].dir,
					    accesses[i].usage);
			KUNIT_EXPECT_EQ_MSG(test, READ_ONCE(importer->syncs),
					    accesses[i].waits ? 0 : 1,
					    "direction %d, fence of usage %d", accesses[i].dir,
					    accesses[i].usage);
			dma_fence_signal(fence);
			if (!early)
				wait_for_completion(&access.done);
			KUNIT_EXPECT_EQ(test, access.ret, 0);
			KUNIT_EXPECT_EQ(test, importer->syncs, 1);
		} else {
			KUNIT_FAIL(test, "no thread");
			dma_fence_signal(fence);
		}
		dma_fence_put(fence);
	}
	unmap(attach, sgt, DMA_FROM_DEVICE);
}

struct late_fence {
	struct dma_fence *fence;
	struct delayed_work work;
};

static void signal_late(struct work_struct *work)
{
	dma_fence_signal(container_of(to_delayed_work(work), struct late_fence, work)->fence);
}

static int begin_errno(void *dmabuf)
{
	return dma_buf_begin_cpu_access(dmabuf, DMA_FROM_DEVICE);
}

/*
 * A task that is killed while it waits for a fence gets -ERESTARTSYS, and has
 * synced nothing.  The next access succeeds.
 */
static void dma_heap_buffer_fence_killed(struct kunit *test)
{
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct late_fence late;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;

	fake_heap(test);
	dmabuf = fake_buffer(test, 4);
	importer = heap_kunit_importer(test, "heap-importer");
	attach = heap_kunit_attach(test, dmabuf, importer->dev);
	sgt = map(test, attach, DMA_FROM_DEVICE);
	late.fence = add_fence(test, dmabuf, DMA_RESV_USAGE_WRITE);

	/* ends a wait that is not interrupted, which then returns 0 */
	INIT_DELAYED_WORK_ONSTACK(&late.work, signal_late);
	schedule_delayed_work(&late.work, 10 * HZ);
	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, begin_errno, dmabuf), -ERESTARTSYS);
	KUNIT_EXPECT_EQ(test, importer->syncs, 0);
	cancel_delayed_work_sync(&late.work);
	destroy_delayed_work_on_stack(&late.work);

	dma_fence_signal(late.fence);
	dma_fence_put(late.fence);
	KUNIT_EXPECT_EQ(test, begin_errno(dmabuf), 0);
	if (heap_kunit_importer_records())
		KUNIT_EXPECT_EQ(test, importer->syncs, 1);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_FROM_DEVICE), 0);
	unmap(attach, sgt, DMA_FROM_DEVICE);
}

/*
 * An importer detaches without unmapping: this removes the mapping with a
 * warning, and later syncs do not use it.
 */
static void dma_heap_buffer_detach_mapped(struct kunit *test)
{
	struct heap_kunit_importer *importer, *other;
	struct dma_buf_attachment *attach, *stays;
	struct dma_buf *dmabuf;
	struct sg_table *sgt;

	fake_heap(test);
	dmabuf = fake_buffer(test, 4);
	importer = heap_kunit_importer(test, "heap-importer");
	other = heap_kunit_importer(test, "heap-other");
	stays = heap_kunit_attach(test, dmabuf, other->dev);
	unmap(stays, map(test, stays, DMA_BIDIRECTIONAL), DMA_BIDIRECTIONAL);
	attach = dma_buf_attach(dmabuf, importer->dev);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, attach);

	/* bypass the core, which may wrap the table (CONFIG_DMABUF_DEBUG) */
	dma_resv_lock(dmabuf->resv, NULL);
	sgt = dmabuf->ops->map_dma_buf(attach, DMA_TO_DEVICE);
	dma_resv_unlock(dmabuf->resv);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, sgt);
	kunit_warning_suppress(test)
		dma_buf_detach(dmabuf, attach);
	if (heap_kunit_importer_records()) {
		KUNIT_EXPECT_EQ(test, importer->unmaps, 1);
		KUNIT_EXPECT_EQ(test, importer->unmap_dir, DMA_TO_DEVICE);
	}

	sgt = map(test, stays, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	unmap(stays, sgt, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, importer->syncs, 0);
	if (heap_kunit_importer_records())
		KUNIT_EXPECT_EQ(test, other->syncs, 2);
}

struct worker {
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	unsigned int rounds;
	unsigned int errors;
	struct completion done;
};

static int worker_thread(void *data)
{
	struct worker *w = data;
	struct iosys_map map;
	struct sg_table *sgt;
	unsigned int i;

	for (i = 0; i < w->rounds; i++) {
		if (w->attach) {
			sgt = dma_buf_map_attachment_unlocked(w->attach, DMA_BIDIRECTIONAL);
			if (IS_ERR(sgt)) {
				w->errors++;
				continue;
			}
			if (dma_length(sgt) != w->dmabuf->size)
				w->errors++;
			if (dma_buf_begin_cpu_access(w->dmabuf, DMA_TO_DEVICE) ||
			    dma_buf_end_cpu_access(w->dmabuf, DMA_TO_DEVICE))
				w->errors++;
			dma_buf_unmap_attachment_unlocked(w->attach, sgt, DMA_BIDIRECTIONAL);
		} else {
			if (dma_buf_vmap_unlocked(w->dmabuf, &map)) {
				w->errors++;
				continue;
			}
			if (memchr_inv(map.vaddr, 0, w->dmabuf->size))
				w->errors++;
			dma_buf_vunmap_unlocked(w->dmabuf, &map);
		}
		cond_resched();
	}
	kthread_complete_and_exit(&w->done, 0);
}

/*
 * Three devices map, sync and unmap while the kernel maps and unmaps: each sees
 * the whole buffer, and no mapping goes away during a sync.
 */
static void dma_heap_buffer_threads(struct kunit *test)
{
	static const char * const names[] = { "heap-one", "heap-two", "heap-three" };
	struct heap_kunit_importer *importer[3];
	struct worker *w;
	unsigned int i;

	fake_heap(test)->chunks[0] = 1;
	w = kunit_kcalloc(test, 4, sizeof(*w), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, w);
	w[3].dmabuf = fake_buffer(test, 4);
	for (i = 0; i < 3; i++) {
		importer[i] = heap_kunit_importer(test, names[i]);
		w[i].dmabuf = w[3].dmabuf;
		w[i].attach = heap_kunit_attach(test, w[i].dmabuf, importer[i]->dev);
	}
	for (i = 0; i < 4; i++) {
		w[i].rounds = 30;
		init_completion(&w[i].done);
		if (IS_ERR(kthread_run(worker_thread, &w[i], "heap-kunit-%u", i))) {
			w[i].errors++;
			complete(&w[i].done);
		}
	}
	for (i = 0; i < 4; i++) {
		wait_for_completion(&w[i].done);
		KUNIT_EXPECT_EQ_MSG(test, w[i].errors, 0, "thread %u", i);
		if (i < 3)
			KUNIT_EXPECT_EQ_MSG(test, importer[i]->strays, 0, "thread %u", i);
	}
}

/*
 * Chunks of almost 4 GiB, the limit of a scatterlist entry: the lookup of a
 * page does not overflow 32 bits, in any order.
 */
static void dma_heap_buffer_large(struct kunit *test)
{
	static const unsigned int order[] = { 0, 1, 2, 2, 1, 0, 2, 0, 1 };
	const size_t size = ALIGN_DOWN(UINT_MAX, PMD_SIZE);
	const pgoff_t chunk = PFN_DOWN(size);
	const struct dma_heap_buffer *buffer;
	struct scatterlist *sgs[3], *sg;
	unsigned int i, j;
	pgoff_t start;

	if (sizeof(size_t) <= 4)
		kunit_skip(test, "no buffer has 4 GiB where a size_t has 32 bits");

	buffer = dma_heap_buffer_of(hollow_buffer(test, 3, size));
	for_each_sgtable_sg(&buffer->table, sg, i)
		sgs[i] = sg;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		const pgoff_t at = order[i] * chunk, pages[] = { at, at + 5, at + chunk - 1 };

		for (j = 0; j < ARRAY_SIZE(pages); j++) {
			KUNIT_EXPECT_PTR_EQ_MSG(test, dma_heap_find_chunk(buffer, pages[j], &start),
						sgs[order[i]], "page %lu", pages[j]);
			KUNIT_EXPECT_EQ_MSG(test, start, at, "page %lu", pages[j]);
		}
		KUNIT_EXPECT_NULL(test, dma_heap_find_chunk(buffer, 3 * chunk, &start));
		KUNIT_EXPECT_NULL(test, dma_heap_find_chunk(buffer, ULONG_MAX, &start));
	}
}

/*
 * A fault maps the right page of such a chunk, also beyond 2 and 4 GiB.  The
 * memory may not exist or belong to others: the test does not access it, and
 * unmaps it at its end.
 */
static void dma_heap_buffer_fault_large(struct kunit *test)
{
	const size_t size = ALIGN_DOWN(UINT_MAX, PMD_SIZE);
	const size_t offsets[] = {
		0, SZ_64M, SZ_2G - PAGE_SIZE, SZ_2G, size - PAGE_SIZE,
		size, (size_t)SZ_4G - PAGE_SIZE, (size_t)SZ_4G, 2 * size - PAGE_SIZE,
	};
	struct follow_pfnmap_args args = {};
	const struct dma_heap_buffer *buffer;
	struct dma_buf *dmabuf;
	unsigned long addr, pfn, found;
	unsigned int i;
	int ret;

	if (sizeof(size_t) <= 4)
		kunit_skip(test, "no buffer has 4 GiB where a size_t has 32 bits");
	/* on other architectures, the CPU may speculate through the mapping */
	if (!IS_ENABLED(CONFIG_UML) && !IS_ENABLED(CONFIG_X86))
		kunit_skip(test, "what is not memory must not be mapped like it here");
	if (IS_ENABLED(CONFIG_PAGE_TABLE_CHECK))
		kunit_skip(test, "this kernel checks who maps whose memory");

	dmabuf = hollow_buffer(test, 2, size);
	buffer = dma_heap_buffer_of(dmabuf);
	pfn = page_to_pfn(sg_page(buffer->table.sgl));
	addr = kunit_vm_mmap(test, dmabuf->file, 0, dmabuf->size, PROT_READ, MAP_SHARED, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		mmap_read_lock(current->mm);
		ret = fixup_user_fault(current->mm, addr + offsets[i], 0, NULL);
		KUNIT_EXPECT_EQ_MSG(test, ret, 0, "fault at %#zx", offsets[i]);
		args.vma = vma_lookup(current->mm, addr);
		args.address = addr + offsets[i];
		ret = follow_pfnmap_start(&args);
		KUNIT_EXPECT_EQ_MSG(test, ret, 0, "nothing is mapped at %#zx", offsets[i]);
		if (!ret) {
			found = args.pfn;
			/* a report may sleep, so unlock before it */
			follow_pfnmap_end(&args);
			KUNIT_EXPECT_EQ_MSG(test, found, pfn + PFN_DOWN(offsets[i] % size),
					    "page at %#zx", offsets[i]);
		}
		mmap_read_unlock(current->mm);
	}
	/* KUnit would unmap it only after the buffer's table is freed */
	vm_munmap(addr, dmabuf->size);
}

/* A lone chunk needs no index. */
static void dma_heap_buffer_no_index(struct kunit *test)
{
	const struct dma_heap_buffer *buffer;
	pgoff_t start;

	buffer = dma_heap_buffer_of(hollow_buffer(test, 1, SZ_1G));
	KUNIT_EXPECT_NULL(test, buffer->index);
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_find_chunk(buffer, PFN_DOWN(SZ_1G) - 1, &start),
			    buffer->table.sgl);
	KUNIT_EXPECT_EQ(test, start, 0);
	KUNIT_EXPECT_NULL(test, dma_heap_find_chunk(buffer, PFN_DOWN(SZ_1G), &start));
}

/* 2^20 chunks of a page each, or 1 GiB of them if size_t has 32 bits */
#define MANY_CHUNKS	(sizeof(size_t) > 4 ? 1U << 20 : PFN_DOWN(SZ_1G))

struct finder {
	const struct dma_heap_buffer *buffer;
	/* up from the first page, or down from the last one */
	bool up;
	unsigned int wrong;
	struct completion done;
};

static int finder_thread(void *data)
{
	struct finder *f = data;
	unsigned int i;
	pgoff_t start, at;

	/* every 61st page: few lookups, at all distances from an index entry */
	for (i = 0; i < MANY_CHUNKS; i += 61) {
		at = f->up ? i : MANY_CHUNKS - 1 - i;
		if (!dma_heap_find_chunk(f->buffer, at, &start) || start != at)
			f->wrong++;
		cond_resched();
	}
	kthread_complete_and_exit(&f->done, 0);
}

/*
 * With many chunks, a lookup walks only those that share an entry of the index,
 * also while another thread looks up in the opposite direction.
 */
static void dma_heap_buffer_many(struct kunit *test)
{
	struct finder f[2];
	struct dma_heap_buffer *buffer;
	struct scatterlist *sg;
	unsigned int i;
	pgoff_t start;

	/* room for the scatterlist */
	if (si_mem_available() < PFN_DOWN(SZ_128M))
		kunit_skip(test, "too little memory");
	buffer = dma_heap_buffer_of(hollow_buffer(test, MANY_CHUNKS, PAGE_SIZE));

	for (i = 0; i < ARRAY_SIZE(f); i++) {
		f[i] = (struct finder){ .buffer = buffer, .up = i };
		init_completion(&f[i].done);
		if (IS_ERR(kthread_run(finder_thread, &f[i], "heap-kunit-find"))) {
			f[i].wrong = 1;
			complete(&f[i].done);
		}
	}
	for (i = 0; i < ARRAY_SIZE(f); i++) {
		wait_for_completion(&f[i].done);
		KUNIT_EXPECT_EQ_MSG(test, f[i].wrong, 0, "%s", f[i].up ? "up" : "down");
	}

	/* end the list early: the index must still lead to later chunks */
	sg = dma_heap_find_chunk(buffer, PFN_DOWN(DMA_HEAP_INDEX_STEP) - 1, &start);
	KUNIT_ASSERT_NOT_NULL(test, sg);
	sg_mark_end(sg);
	KUNIT_EXPECT_NOT_NULL(test, dma_heap_find_chunk(buffer, PFN_DOWN(DMA_HEAP_INDEX_STEP),
							&start));
	KUNIT_EXPECT_NOT_NULL(test, dma_heap_find_chunk(buffer, MANY_CHUNKS - 1, &start));
	KUNIT_EXPECT_EQ(test, start, MANY_CHUNKS - 1);
	sg_unmark_end(sg);
}

static struct kunit_case dma_heap_buffer_cases[] = {
	KUNIT_CASE_PARAM(dma_heap_buffer_invalid, invalid_gen_params),
	KUNIT_CASE(dma_heap_buffer_run),
	KUNIT_CASE(dma_heap_buffer_write_combined),
	KUNIT_CASE(dma_heap_buffer_release),
	KUNIT_CASE(dma_heap_buffer_whose),
	KUNIT_CASE(dma_heap_buffer_foreign),
	KUNIT_CASE_PARAM(dma_heap_buffer_vmap, layouts_gen_params),
	KUNIT_CASE(dma_heap_buffer_vmap_fails),
	KUNIT_CASE(dma_heap_buffer_vmap_too_large),
	KUNIT_CASE_PARAM(dma_heap_buffer_devices, layouts_gen_params),
	KUNIT_CASE(dma_heap_buffer_copy_fails),
	KUNIT_CASE(dma_heap_buffer_map_error),
	KUNIT_CASE(dma_heap_buffer_map_twice),
	KUNIT_CASE(dma_heap_buffer_unmap_twice),
	KUNIT_CASE(dma_heap_buffer_unmap_as_mapped),
	KUNIT_CASE(dma_heap_buffer_sync_direction),
	KUNIT_CASE(dma_heap_buffer_sync_each),
	KUNIT_CASE(dma_heap_buffer_sync_after_fence),
	KUNIT_CASE(dma_heap_buffer_fence_killed),
	KUNIT_CASE(dma_heap_buffer_detach_mapped),
	KUNIT_CASE(dma_heap_buffer_map_sync_race),
	KUNIT_CASE(dma_heap_buffer_threads),
	KUNIT_CASE(dma_heap_buffer_protected),
	KUNIT_CASE(dma_heap_buffer_protected_bounce),
	KUNIT_CASE(dma_heap_buffer_large),
	KUNIT_CASE(dma_heap_buffer_fault_large),
	KUNIT_CASE(dma_heap_buffer_no_index),
	KUNIT_CASE(dma_heap_buffer_many),
	{}
};

static struct kunit_suite dma_heap_buffer_suite = {
	.name = "dma_heap_buffer",
	.test_cases = dma_heap_buffer_cases,
};

kunit_test_suite(dma_heap_buffer_suite);

MODULE_DESCRIPTION("KUnit suite of the buffers of DMA-BUF heaps");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
