// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the uncached heaps: memory types in page tables, and which
 * devices can map the buffers
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/cma.h>
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-heap.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-uncached.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/iommu-dma.h>
#include <linux/iosys-map.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pgtable.h>
#include <linux/scatterlist.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/suspend.h>
#include <linux/swiotlb.h>
#include <linux/uaccess.h>

#include "../../dma-heap-private.h"
#include "../heap-pool.h"
#include "heap_kunit_helpers.h"

struct uncached_case {
	const char *heap;
	/* a cached heap of the same memory */
	const char *cached;
	u32 properties;
};

static const struct uncached_case uncached_cases[] = {
	{ "system-uncached", "system", DMA_HEAP_WRITE_COMBINED },
	{ "default_cma_region-uncached", "default_cma_region",
	  DMA_HEAP_WRITE_COMBINED | DMA_HEAP_CONTIGUOUS },
};

static void uncached_desc(const struct uncached_case *c, char *desc)
{
	strscpy(desc, c->heap, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(uncached, uncached_cases, uncached_desc);

/* Is an entry of a page table, at any level, write-combined? */
static bool is_write_combined(pgprot_t prot)
{
#ifdef CONFIG_X86
	const unsigned long mask = _PAGE_PWT | _PAGE_PCD;

	return (pgprot_val(prot) & mask) == pgprot_val(pgprot_writecombine(__pgprot(0)));
#else
	return (pgprot_val(prot) & PTE_ATTRINDX_MASK) == PTE_ATTRINDX(MT_NORMAL_NC);
#endif
}

/* How many pages of a buffer are mapped write-combined at @addr of this process. */
static unsigned long user_pages(struct kunit *test, unsigned long addr, size_t len)
{
	struct follow_pfnmap_args args = {};
	unsigned long i, n = 0;

	for (i = 0; i < len; i += PAGE_SIZE) {
		u32 value = ~0;

		KUNIT_EXPECT_EQ(test, get_user(value, (u32 __user *)(addr + i)), 0);
		KUNIT_EXPECT_EQ(test, value, 0);

		mmap_read_lock(current->mm);
		args.vma = vma_lookup(current->mm, addr + i);
		args.address = addr + i;
		if (args.vma && !follow_pfnmap_start(&args)) {
			n += is_write_combined(args.pgprot);
			follow_pfnmap_end(&args);
		} else {
			KUNIT_FAIL(test, "page %lu is not mapped", i / PAGE_SIZE);
		}
		mmap_read_unlock(current->mm);
	}

	return n;
}

static unsigned long map_user(struct kunit *test, struct dma_buf *dmabuf)
{
	unsigned long addr = kunit_vm_mmap(test, dmabuf->file, 0, dmabuf->size,
					   PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));

	return addr;
}

/* Userspace mappings are write-combined, those of the cached heap are not. */
static void uncached_mmap(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	/* enough for a PMD and some pages */
	const size_t len = SZ_4M + 3 * PAGE_SIZE;
	struct dma_buf *dmabuf;

	dmabuf = heap_kunit_alloc(test, c->heap, len);
	KUNIT_EXPECT_EQ(test, user_pages(test, map_user(test, dmabuf), len), PFN_DOWN(len));
	KUNIT_EXPECT_EQ(test, user_pages(test, map_user(test, dmabuf), len), PFN_DOWN(len));

	dmabuf = heap_kunit_alloc(test, c->cached, len);
	KUNIT_EXPECT_EQ(test, user_pages(test, map_user(test, dmabuf), len), 0);
}

static int count_kernel_page(pte_t *pte, unsigned long addr, void *data)
{
	unsigned long *n = data;

	*n += is_write_combined(pte_pgprot(ptep_get(pte)));

	return 0;
}

/* Kernel mappings are write-combined, also for a single chunk. */
static void uncached_vmap(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	static const size_t lengths[] = { PAGE_SIZE, SZ_4M + 3 * PAGE_SIZE };
	struct dma_buf *dmabuf;
	struct iosys_map map;
	unsigned long n, i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		dmabuf = heap_kunit_alloc(test, c->heap, lengths[i]);
		KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(map.vaddr, 0, lengths[i]));
		n = 0;
		KUNIT_EXPECT_EQ(test, apply_to_existing_page_range(&init_mm,
								   (unsigned long)map.vaddr,
								   lengths[i],
								   count_kernel_page, &n), 0);
		KUNIT_EXPECT_EQ(test, n, PFN_DOWN(lengths[i]));
		dma_buf_vunmap_unlocked(dmabuf, &map);
	}
}

/* Kernel and userspace see each other's writes; CPU accesses succeed. */
static void uncached_contents(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	const size_t len = SZ_64K;
	struct dma_buf *dmabuf;
	struct iosys_map map;
	unsigned long addr;
	char *page;

	page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, page);
	dmabuf = heap_kunit_alloc(test, c->heap, len);
	addr = map_user(test, dmabuf);
	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);

	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	memset(map.vaddr, 0x5a, len);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, copy_from_user(page, (void __user *)addr, PAGE_SIZE), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(page, 0x5a, PAGE_SIZE));

	memset(page, 0xc3, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, copy_to_user((void __user *)addr, page, PAGE_SIZE), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(map.vaddr, 0xc3, PAGE_SIZE));
	dma_buf_vunmap_unlocked(dmabuf, &map);
}

static void uncached_zeroed(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;

	heap_kunit_test_zeroed(test, c->heap);
}

static void uncached_killed(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;

	heap_kunit_test_killed(test, c->heap);
}

static void uncached_properties(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, dma_heap_properties(heap_kunit_find(test, c->heap)),
			c->properties);
}

/* A device with that DMA mask, which uses the direct mapping. */
static struct device *plain_device(struct kunit *test, const char *name, u64 mask)
{
	struct heap_kunit_importer *importer = heap_kunit_importer(test, name);

#ifdef CONFIG_ARCH_HAS_DMA_OPS
	set_dma_ops(importer->dev, NULL);
#endif
	if (get_dma_ops(importer->dev))
		kunit_skip(test, "this machine has DMA operations of its own");
	KUNIT_ASSERT_EQ(test, dma_set_mask_and_coherent(importer->dev, mask), 0);

	return importer->dev;
}

static bool is_copy(struct device *dev, dma_addr_t addr)
{
	return swiotlb_find_pool(dev, dma_to_phys(dev, addr));
}

/*
 * Map a buffer of a heap for a device.  Return 0, 1 if it was bounced, or a
 * negative errno.
 */
static int try_map(struct kunit *test, const char *heap, struct device *dev)
{
	struct dma_buf *dmabuf = heap_kunit_alloc(test, heap, SZ_64K);
	struct dma_buf_attachment *attach = heap_kunit_attach(test, dmabuf, dev);
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i;
	int ret = 0;

	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (is_copy(dev, sg_dma_address(sg)))
			ret = 1;
	}
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);

	return ret;
}

/* A non-snooping device (on x86, any) that reaches the memory can map it. */
static void uncached_device(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	struct device *dev = plain_device(test, "heap-device", DMA_BIT_MASK(64));

	dev_assign_dma_coherent(dev, IS_ENABLED(CONFIG_X86));
	if (is_swiotlb_force_bounce(dev))
		kunit_skip(test, "all devices work on copies here");

	KUNIT_EXPECT_EQ(test, try_map(test, c->heap, dev), 0);
	KUNIT_EXPECT_EQ(test, try_map(test, c->cached, dev), 0);
}

/* Mapping an uncached buffer fails where a cached one would be bounced. */
static void uncached_bounce(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	struct device *dev = plain_device(test, "heap-device", DMA_BIT_MASK(32));
	int cached;

	dev_assign_dma_coherent(dev, IS_ENABLED(CONFIG_X86));
	if (!is_swiotlb_active(dev))
		kunit_skip(test, "no device works on copies here");
	cached = try_map(test, c->cached, dev);
	if (!cached)
		kunit_skip(test, "a device with a 32-bit mask reaches all of this memory");

	KUNIT_EXPECT_EQ(test, cached, 1);
	KUNIT_EXPECT_EQ(test, try_map(test, c->heap, dev), -EIO);
}

/*
 * A device that snoops and has no IOMMU cannot map an uncached buffer, except
 * on x86, where snooping does no harm.
 */
static void uncached_snooping(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	struct device *dev = plain_device(test, "heap-device", DMA_BIT_MASK(64));

	dev_assign_dma_coherent(dev, true);
	if (is_swiotlb_force_bounce(dev))
		kunit_skip(test, "all devices work on copies here");

	KUNIT_EXPECT_EQ(test, try_map(test, c->heap, dev),
			IS_ENABLED(CONFIG_X86) ? 0 : -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, try_map(test, c->cached, dev), 0);
}

/* The same rules apply to dma_map_phys(). */
static void uncached_range(struct kunit *test)
{
	struct device *dev = plain_device(test, "heap-device", DMA_BIT_MASK(64));
	void *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	dma_addr_t addr;
	phys_addr_t phys;
	bool snoops;

	KUNIT_ASSERT_NOT_NULL(test, page);
	phys = virt_to_phys(page);
	/* DMA_ATTR_UNCACHED is not for allocations */
	KUNIT_EXPECT_NULL(test, dma_alloc_attrs(dev, PAGE_SIZE, &addr, GFP_KERNEL,
						DMA_ATTR_UNCACHED));

	for (snoops = false; ; snoops = true) {
		dev_assign_dma_coherent(dev, snoops);
		addr = dma_map_phys(dev, phys, PAGE_SIZE, DMA_BIDIRECTIONAL, DMA_ATTR_UNCACHED);
		if (is_swiotlb_force_bounce(dev) || (snoops && !IS_ENABLED(CONFIG_X86))) {
			KUNIT_EXPECT_NE(test, dma_mapping_error(dev, addr), 0);
		} else {
			KUNIT_EXPECT_EQ(test, dma_mapping_error(dev, addr), 0);
			KUNIT_EXPECT_FALSE(test, is_copy(dev, addr));
			dma_unmap_phys(dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, DMA_ATTR_UNCACHED);
		}
		if (snoops)
			break;
	}
}

/* Chunks that x86 changes in three steps: one as a range, the others in two batches. */
#define RANGE_ORDER	7
#define SINGLES		70
#define STEPS		3

static void some_chunks(struct kunit *test, struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, sg_alloc_table(table, 1 + SINGLES, GFP_KERNEL), 0);
	for_each_sgtable_sg(table, sg, i) {
		unsigned int order = i ? 0 : RANGE_ORDER;
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO, order);

		KUNIT_ASSERT_NOT_NULL(test, page);
		sg_set_page(sg, page, PAGE_SIZE << order, 0);
	}
}

static void free_chunks(struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(table, sg, i)
		__free_pages(sg_page(sg), get_order(sg->length));
	sg_free_table(table);
}

static int prepare(void *table)
{
	return dma_uncached_prepare(table);
}

/* Preparing memory stops with -EINTR when the task is killed. */
static void uncached_prepare_killed(struct kunit *test)
{
	struct sg_table table;
	unsigned int nr;

	some_chunks(test, &table);
	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, prepare, &table), -EINTR);
	/* the same for the first chunk, which is changed as a range */
	nr = table.orig_nents;
	table.orig_nents = 1;
	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, prepare, &table), -EINTR);
	table.orig_nents = nr;
	KUNIT_EXPECT_EQ(test, dma_uncached_prepare(&table), 0);
	dma_uncached_restore(&table);
	free_chunks(&table);
}

/* Calls of the architecture, and how many pages they were for */
struct steps {
	unsigned int calls;
	unsigned long pages;
};

#ifdef CONFIG_X86
static int count_range(struct page *page, unsigned int nr, bool uncached)
{
	struct steps *steps = kunit_get_current_test()->priv;

	steps->calls++;
	steps->pages += nr;

	return 0;
}
#else
static void count_clean(struct page *page, unsigned int nr)
{
	struct steps *steps = kunit_get_current_test()->priv;

	steps->calls++;
	steps->pages += nr;
}
#endif

/* A chunk of more than 64 MiB takes several steps, which are stubs here. */
static void uncached_large_chunk(struct kunit *test)
{
	const unsigned int len = 2 * SZ_64M + PAGE_SIZE;
	struct scatterlist sg;
	struct sg_table table = { .sgl = &sg, .nents = 1, .orig_nents = 1 };
	struct steps steps = {};

	sg_init_table(&sg, 1);
	sg_set_page(&sg, ZERO_PAGE(0), len, 0);
	test->priv = &steps;
#ifdef CONFIG_X86
	kunit_activate_static_stub(test, dma_uncached_change_range, count_range);
#else
	kunit_activate_static_stub(test, dma_uncached_clean, count_clean);
#endif
	KUNIT_EXPECT_EQ(test, dma_uncached_prepare(&table), 0);
	KUNIT_EXPECT_EQ(test, steps.calls, 3);
	KUNIT_EXPECT_EQ(test, steps.pages, PFN_DOWN(len));
	dma_uncached_restore(&table);
	if (IS_ENABLED(CONFIG_X86))
		KUNIT_EXPECT_EQ(test, steps.pages, 2 * PFN_DOWN(len));
}

/* ZONE_DMA32 has memory below 4 GiB: the heap must find some, too. */
static bool have_low_page(void)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_DMA32 | __GFP_NOWARN);
	const bool low = page && page_to_phys(page) < SZ_4G;

	if (page)
		__free_page(page);

	return low;
}

/* A device with a 32-bit mask maps buffers of the dma32 heaps directly. */
static void uncached_dma32(struct kunit *test)
{
	static const char * const names[] = { "system-dma32", "system-uncached-dma32" };
	struct device *dev = plain_device(test, "heap-device", DMA_BIT_MASK(32));
	struct scatterlist *sg;
	struct dma_buf *dmabuf;
	struct dma_heap *heap;
	unsigned int i, j, found = 0;
	bool large;

	dev_assign_dma_coherent(dev, IS_ENABLED(CONFIG_X86));
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		heap = dma_heap_find(names[i]);
		if (!heap)
			continue;
		found++;
		dmabuf = dma_heap_buffer_alloc(heap, SZ_16M + PAGE_SIZE, O_RDWR, 0);
		large = dmabuf != ERR_PTR(-ENOMEM);
		if (!large && have_low_page())
			dmabuf = dma_heap_buffer_alloc(heap, PAGE_SIZE, O_RDWR, 0);
		dma_heap_put(heap);
		if (dmabuf == ERR_PTR(-ENOMEM) && !have_low_page())
			kunit_skip(test, "no memory is below 4 GiB");
		heap_kunit_put_later(test, dmabuf);
		for_each_sgtable_sg(&dma_heap_buffer_of(dmabuf)->table, sg, j)
			KUNIT_EXPECT_LE_MSG(test, sg_phys(sg) + sg->length, SZ_4G,
					    "chunk %u of %s", j, names[i]);
		if (large && !is_swiotlb_force_bounce(dev))
			KUNIT_EXPECT_EQ_MSG(test, try_map(test, names[i], dev), 0, "%s", names[i]);
	}
	if (!found)
		kunit_skip(test, "this machine has no such heap");
}

#if defined(CONFIG_PCI) && defined(CONFIG_IOMMU_DMA)
/* The prot of the last mapping in a domain that has map_pages() */
static struct {
	struct iommu_domain *domain;
	const struct iommu_domain_ops *real;
	struct iommu_domain_ops ops;
	bool watches;
	int prot;
	struct device *dev;
	unsigned int max_seg_size;
} spy;

static int spy_map_pages(struct iommu_domain *domain, unsigned long iova, phys_addr_t paddr,
			 size_t pgsize, size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	spy.prot = prot;

	return spy.real->map_pages(domain, iova, paddr, pgsize, pgcount, prot, gfp, mapped);
}

static void put_pci(void *pdev)
{
	pci_dev_put(pdev);
}

static void stop_spy(void *unused)
{
	spy.domain->ops = spy.real;
	dma_set_max_seg_size(spy.dev, spy.max_seg_size);
}

/*
 * Find a PCI device without a driver behind an IOMMU, and record its mappings.
 * IOMMUs with generic page tables, as on x86, have no map_pages() to record.
 */
static struct device *iommu_device(struct kunit *test)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		if (!use_dma_iommu(&pdev->dev) || pdev->dev.driver || pdev->untrusted)
			continue;
		KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, put_pci, pdev), 0);
		spy.domain = iommu_get_domain_for_dev(&pdev->dev);
		spy.real = spy.domain->ops;
		spy.watches = spy.real->map_pages;
		if (spy.watches) {
			spy.ops = *spy.real;
			spy.ops.map_pages = spy_map_pages;
			spy.domain->ops = &spy.ops;
		}
		spy.dev = &pdev->dev;
		spy.max_seg_size = dma_get_max_seg_size(spy.dev);
		dma_set_max_seg_size(spy.dev, UINT_MAX);
		KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_spy, NULL), 0);

		return &pdev->dev;
	}
	kunit_skip(test, "no PCI device without a driver is behind an IOMMU");

	return NULL;
}

/*
 * A device that snoops can map an uncached buffer if the IOMMU prevents it from
 * snooping, or on x86.  IOMMU_CACHE is set for a cached buffer only.
 */
static void uncached_iommu(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	struct device *dev = iommu_device(test);
	const bool possible = IS_ENABLED(CONFIG_X86) ||
			      device_iommu_capable(dev, IOMMU_CAP_OVERRIDE_SNOOP);
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;
	struct scatterlist *own;
	struct sg_table *sgt;
	dma_addr_t iova;
	unsigned int i;

	if (!dev_is_dma_coherent(dev))
		kunit_skip(test, "the device does not snoop");

	KUNIT_EXPECT_EQ(test, try_map(test, c->cached, dev), 0);
	if (spy.watches)
		KUNIT_EXPECT_EQ(test, spy.prot & IOMMU_CACHE, IOMMU_CACHE);

	dmabuf = heap_kunit_alloc(test, c->heap, SZ_1M + PAGE_SIZE);
	attach = heap_kunit_attach(test, dmabuf, dev);
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	if (!possible) {
		KUNIT_EXPECT_PTR_EQ(test, sgt, ERR_PTR(-EOPNOTSUPP));
		kunit_info(test, "refused, as the device would snoop\n");
		return;
	}
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	kunit_info(test, "mapped\n");
	if (spy.watches)
		KUNIT_EXPECT_EQ(test, spy.prot & (IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE |
						  IOMMU_MMIO), IOMMU_READ | IOMMU_WRITE);
	/* one segment for the device, whatever the chunks are */
	iova = sg_dma_address(sgt->sgl);
	KUNIT_EXPECT_EQ(test, sg_dma_len(sgt->sgl), dmabuf->size);
	for_each_sgtable_sg(&dma_heap_buffer_of(dmabuf)->table, own, i) {
		KUNIT_EXPECT_EQ_MSG(test, iommu_iova_to_phys(spy.domain, iova), sg_phys(own),
				    "chunk %u", i);
		iova += own->length;
	}
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(dmabuf, DMA_BIDIRECTIONAL), 0);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
}

/* For an untrusted device, a part of a page is bounced, or refused. */
static void uncached_untrusted(struct kunit *test)
{
	const unsigned long attrs[] = { DMA_ATTR_NO_BOUNCE, DMA_ATTR_UNCACHED };
	struct device *dev = iommu_device(test);
	struct pci_dev *pdev = to_pci_dev(dev);
	void *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct dma_iova_state state;
	dma_addr_t addr;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	if (!is_swiotlb_active(dev))
		kunit_skip(test, "there are no bounce buffers");

	pdev->untrusted = 1;
	addr = dma_map_phys(dev, virt_to_phys(page) + SZ_1K, SZ_1K, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, dma_mapping_error(dev, addr), 0);
	if (!dma_mapping_error(dev, addr)) {
		KUNIT_EXPECT_NE(test, iommu_iova_to_phys(spy.domain, addr),
				virt_to_phys(page) + SZ_1K);
		dma_unmap_phys(dev, addr, SZ_1K, DMA_BIDIRECTIONAL, 0);
	}
	for (i = 0; i < ARRAY_SIZE(attrs); i++) {
		addr = dma_map_phys(dev, virt_to_phys(page) + SZ_1K, SZ_1K, DMA_BIDIRECTIONAL,
				    attrs[i]);
		KUNIT_EXPECT_NE_MSG(test, dma_mapping_error(dev, addr), 0, "attribute %#lx",
				    attrs[i]);
		if (!dma_mapping_error(dev, addr))
			dma_unmap_phys(dev, addr, SZ_1K, DMA_BIDIRECTIONAL, attrs[i]);
	}
	if (dma_iova_try_alloc(dev, &state, virt_to_phys(page) + SZ_1K, SZ_1K)) {
		KUNIT_EXPECT_EQ(test, dma_iova_link(dev, &state, virt_to_phys(page) + SZ_1K, 0,
						    SZ_1K, DMA_BIDIRECTIONAL, DMA_ATTR_NO_BOUNCE),
				-EPERM);
		KUNIT_EXPECT_EQ(test, dma_iova_link(dev, &state, virt_to_phys(page) + SZ_1K, 0,
						    SZ_1K, DMA_BIDIRECTIONAL, DMA_ATTR_UNCACHED),
				-EOPNOTSUPP);
		dma_iova_free(dev, &state);
	} else {
		KUNIT_FAIL(test, "no address in the domain");
	}
	pdev->untrusted = 0;
}
#endif

/* Uncached memory prevents hibernation; during it, allocations get -EBUSY. */
static void uncached_hibernate(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	struct dma_heap *heap = heap_kunit_find(test, c->heap);
	struct dma_buf *dmabuf;

	if (dma_uncached_pm_event(PM_HIBERNATION_PREPARE))
		kunit_skip(test, "somebody uses such memory");
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_POST_HIBERNATION), 0);

	dmabuf = dma_heap_buffer_alloc(heap, SZ_64K, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_HIBERNATION_PREPARE), -EBUSY);
	/* PM_POST_HIBERNATION after a failure is harmless */
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_POST_HIBERNATION), 0);
	__fput_sync(dmabuf->file);

	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_HIBERNATION_PREPARE), 0);
	dmabuf = dma_heap_buffer_alloc(heap, SZ_64K, O_RDWR, 0);
	KUNIT_EXPECT_PTR_EQ(test, dmabuf, ERR_PTR(-EBUSY));
	if (!IS_ERR(dmabuf))
		__fput_sync(dmabuf->file);
	KUNIT_EXPECT_EQ(test, dma_uncached_pm_event(PM_POST_HIBERNATION), 0);
	heap_kunit_alloc(test, c->heap, SZ_64K);
}

#ifdef CONFIG_ARM64
/* Allocating an uncached buffer writes back the caches of all its pages. */
static void uncached_cleaned(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	const size_t len = SZ_4M + 3 * PAGE_SIZE;
	struct steps steps = {};

	test->priv = &steps;
	kunit_activate_static_stub(test, dma_uncached_clean, count_clean);
	heap_kunit_alloc(test, c->cached, len);
	KUNIT_EXPECT_EQ(test, steps.pages, 0);
	heap_kunit_alloc(test, c->heap, len);
	KUNIT_EXPECT_EQ(test, steps.pages, PFN_DOWN(len));
}
#endif

#ifdef CONFIG_X86
static pgprot_t linear_prot(struct page *page, unsigned int *level)
{
	pte_t *pte = lookup_address((unsigned long)page_address(page), level);

	return __pgprot(pte ? pte_flags(*pte) : 0);
}

/* Number of pages that are write-combined in the linear mapping */
static unsigned long linear_pages(struct page *page, unsigned long nr)
{
	unsigned long i, n = 0;
	unsigned int level;

	for (i = 0; i < nr; i++)
		n += is_write_combined(linear_prot(page + i, &level));

	return n;
}

/* Number of pages that are not write-back in the linear mapping */
static unsigned long linear_uncached(struct page *page, unsigned long nr)
{
	unsigned long i, n = 0;
	unsigned int level;

	for (i = 0; i < nr; i++)
		n += !!(pgprot_val(linear_prot(page + i, &level)) & (_PAGE_PWT | _PAGE_PCD));

	return n;
}

static unsigned long linear_table(struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned long n = 0;
	unsigned int i;

	for_each_sgtable_sg(table, sg, i) {
		if (sg_page(sg))
			n += linear_uncached(sg_page(sg), PFN_DOWN(sg->length));
	}

	return n;
}

/* Copy the table of a buffer, to look at its pages after it is freed. */
static void copy_chunks(struct kunit *test, struct dma_buf *dmabuf, struct sg_table *copy)
{
	struct dma_heap_buffer *buffer = dma_heap_buffer_of(dmabuf);
	struct scatterlist *orig = buffer->table.sgl, *sg;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, sg_alloc_table(copy, buffer->table.orig_nents, GFP_KERNEL), 0);
	for_each_sgtable_sg(copy, sg, i) {
		sg_set_page(sg, sg_page(orig), orig->length, 0);
		orig = sg_next(orig);
	}
}

/* The linear mapping is write-combined only while the buffer exists. */
static void uncached_linear(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	const size_t len = SZ_4M + 3 * PAGE_SIZE;
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	struct sg_table copy;
	unsigned int i;

	dmabuf = dma_heap_buffer_alloc(heap_kunit_find(test, c->heap), len, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	copy_chunks(test, dmabuf, &copy);
	for_each_sgtable_sg(&copy, sg, i)
		KUNIT_EXPECT_EQ(test, linear_pages(sg_page(sg), PFN_DOWN(sg->length)),
				PFN_DOWN(sg->length));

	__fput_sync(dmabuf->file);
	KUNIT_EXPECT_EQ(test, linear_table(&copy), 0);
	sg_free_table(&copy);
}

/* Preparing and restoring a chunk does not split a large page. */
static void uncached_large_page(struct kunit *test)
{
	unsigned int before, level;
	struct scatterlist sg;
	struct sg_table table = { .sgl = &sg, .nents = 1, .orig_nents = 1 };
	struct page *page;

	page = alloc_pages(GFP_KERNEL, get_order(PMD_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, page);
	linear_prot(page, &before);
	if (before != PG_LEVEL_2M) {
		__free_pages(page, get_order(PMD_SIZE));
		kunit_skip(test, "no large page there");
	}
	sg_init_table(&sg, 1);
	sg_set_page(&sg, page, PMD_SIZE, 0);
	KUNIT_EXPECT_EQ(test, dma_uncached_prepare(&table), 0);
	KUNIT_EXPECT_TRUE(test, is_write_combined(linear_prot(page, &level)));
	KUNIT_EXPECT_EQ(test, level, PG_LEVEL_2M);
	dma_uncached_restore(&table);
	KUNIT_EXPECT_EQ(test, linear_table(&table), 0);
	linear_prot(page, &level);
	KUNIT_EXPECT_EQ(test, level, PG_LEVEL_2M);
	__free_pages(page, get_order(PMD_SIZE));
}

struct uncached_stub {
	/* the first step to uncached that fails */
	unsigned int fail_at;
	unsigned int uncached_calls;
	unsigned int cached_calls;
	/* a page that cannot be restored */
	struct page *stuck;
	/* pages that a failed step has changed */
	unsigned int left;
};

static bool stub_fails(struct uncached_stub *stub, bool uncached, struct page **pages,
		       unsigned int nr)
{
	unsigned int step = uncached ? stub->uncached_calls++ : stub->cached_calls++;
	unsigned int i;

	if (uncached)
		return step >= stub->fail_at;
	for (i = 0; i < nr; i++) {
		if (pages[i] == stub->stuck)
			return true;
	}

	return false;
}

static int stub_range(struct page *page, unsigned int nr, bool uncached)
{
	struct uncached_stub *stub = kunit_get_current_test()->priv;
	unsigned long addr = (unsigned long)page_address(page);

	if (!stub_fails(stub, uncached, &page, 1))
		return uncached ? set_memory_wc(addr, nr) : set_memory_wb(addr, nr);

	/* a failed step changes half of the pages, to UC instead of WC */
	if (uncached) {
		set_memory_uc(addr, nr / 2);
		stub->left += linear_uncached(page, nr);
	}

	return -ENOMEM;
}

static int stub_pages(struct page **pages, unsigned int nr, bool uncached)
{
	struct uncached_stub *stub = kunit_get_current_test()->priv;
	unsigned int i;

	if (!stub_fails(stub, uncached, pages, nr))
		return uncached ? set_pages_array_wc(pages, nr) : set_pages_array_wb(pages, nr);

	if (uncached) {
		set_pages_array_uc(pages, nr / 2);
		for (i = 0; i < nr; i++)
			stub->left += linear_uncached(pages[i], 1);
	}

	return -EINVAL;
}

static struct uncached_stub *stub_steps(struct kunit *test, unsigned int fail_at)
{
	struct uncached_stub *stub = kunit_kzalloc(test, sizeof(*stub), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, stub);
	stub->fail_at = fail_at;
	test->priv = stub;
	kunit_activate_static_stub(test, dma_uncached_change_range, stub_range);
	kunit_activate_static_stub(test, dma_uncached_change_pages, stub_pages);

	return stub;
}

/* Whichever step fails, all pages become write-back again. */
static void uncached_step_fails(struct kunit *test)
{
	struct uncached_stub *stub;
	struct sg_table table;
	unsigned int step;

	some_chunks(test, &table);
	for (step = 0; step < STEPS; step++) {
		stub = stub_steps(test, step);
		KUNIT_EXPECT_EQ(test, dma_uncached_prepare(&table), -ENOMEM);
		KUNIT_EXPECT_EQ(test, stub->uncached_calls, step + 1);
		/* the failed step did change some pages */
		KUNIT_EXPECT_GT(test, stub->left, 0);
		KUNIT_EXPECT_EQ(test, linear_table(&table), 0);
	}
	stub = stub_steps(test, STEPS);
	KUNIT_EXPECT_EQ(test, dma_uncached_prepare(&table), 0);
	KUNIT_EXPECT_EQ(test, stub->uncached_calls, STEPS);
	KUNIT_EXPECT_EQ(test, linear_table(&table), SINGLES + (1 << RANGE_ORDER));
	dma_uncached_restore(&table);
	KUNIT_EXPECT_EQ(test, stub->cached_calls, STEPS);
	KUNIT_EXPECT_EQ(test, linear_table(&table), 0);
	free_chunks(&table);
}

static int restore(void *table)
{
	dma_uncached_restore(table);

	return 0;
}

/* dma_uncached_restore() does not stop when the task is killed. */
static void uncached_restore_killed(struct kunit *test)
{
	struct sg_table table;

	some_chunks(test, &table);
	KUNIT_ASSERT_EQ(test, dma_uncached_prepare(&table), 0);
	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, restore, &table), 0);
	KUNIT_EXPECT_EQ(test, linear_table(&table), 0);
	free_chunks(&table);
}

/* A chunk that cannot be restored loses its page; the others are restored. */
static void uncached_stuck(struct kunit *test)
{
	struct uncached_stub *stub;
	struct scatterlist *sg;
	struct sg_table table;
	struct page *page;
	unsigned int i, j;

	some_chunks(test, &table);
	for (i = 0; i <= SINGLES; i += SINGLES / 2) {
		stub = stub_steps(test, UINT_MAX);
		KUNIT_ASSERT_EQ(test, dma_uncached_prepare(&table), 0);
		sg = table.sgl;
		for (j = 0; j < i; j++)
			sg = sg_next(sg);
		page = sg_page(sg);
		stub->stuck = page;

		dma_uncached_restore(&table);
		KUNIT_EXPECT_NULL(test, sg_page(sg));
		KUNIT_EXPECT_EQ(test, linear_table(&table), 0);
		KUNIT_EXPECT_EQ(test, linear_pages(page, PFN_DOWN(sg->length)),
				PFN_DOWN(sg->length));

		/* restore the lost chunk, to free it */
		KUNIT_ASSERT_EQ(test, set_memory_wb((unsigned long)page_address(page),
						    PFN_DOWN(sg->length)), 0);
		sg_assign_page(sg, page);
	}

	/* the same after a failed prepare */
	stub = stub_steps(test, STEPS - 1);
	page = sg_page(table.sgl);
	stub->stuck = page;
	KUNIT_EXPECT_EQ(test, dma_uncached_prepare(&table), -ENOMEM);
	KUNIT_EXPECT_NULL(test, sg_page(table.sgl));
	KUNIT_EXPECT_EQ(test, linear_table(&table), 0);
	KUNIT_ASSERT_EQ(test, set_memory_wb((unsigned long)page_address(page), 1 << RANGE_ORDER),
			0);
	sg_assign_page(table.sgl, page);
	free_chunks(&table);
}

/* A heap that cannot make a buffer uncached frees the pages, and works on. */
static void uncached_heap_fails(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	struct dma_heap *heap = heap_kunit_find(test, c->heap);
	struct dma_heap_counters before, after;
	struct uncached_stub *stub;

	dma_heap_kunit_counters(heap, &before);
	stub = stub_steps(test, 0);
	KUNIT_EXPECT_PTR_EQ(test, dma_heap_buffer_alloc(heap, SZ_1M, O_RDWR, 0),
			    ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_EQ(test, stub->uncached_calls, 1);
	KUNIT_EXPECT_GE(test, stub->cached_calls, 1);
	dma_heap_kunit_counters(heap, &after);
	KUNIT_EXPECT_LT(test, before.failures, after.failures);
	kunit_deactivate_static_stub(test, dma_uncached_change_range);
	kunit_deactivate_static_stub(test, dma_uncached_change_pages);

	heap_kunit_alloc(test, c->heap, SZ_1M);
}

/* A heap does not free a chunk that it cannot make cached again. */
static void uncached_heap_loses(struct kunit *test)
{
	const struct uncached_case *c = test->param_value;
	struct dma_heap *heap = heap_kunit_find(test, c->heap);
	struct uncached_stub *stub = stub_steps(test, UINT_MAX);
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	struct sg_table copy;
	struct page *page;
	unsigned int i;

	/* one chunk of either heap, or several where memory is in pieces */
	dmabuf = dma_heap_buffer_alloc(heap, SZ_64K, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	copy_chunks(test, dmabuf, &copy);
	page = sg_page(copy.sgl);
	stub->stuck = page;
	__fput_sync(dmabuf->file);

	KUNIT_EXPECT_EQ(test, linear_pages(page, PFN_DOWN(copy.sgl->length)),
			PFN_DOWN(copy.sgl->length));
	for_each_sgtable_sg(&copy, sg, i) {
		if (i)
			KUNIT_EXPECT_EQ(test, linear_uncached(sg_page(sg),
							      PFN_DOWN(sg->length)), 0);
	}
	/* not freed; if it was, stop here rather than free it twice */
	KUNIT_ASSERT_EQ(test, page_count(page), 1);

	KUNIT_ASSERT_EQ(test, set_memory_wb((unsigned long)page_address(page),
					    PFN_DOWN(copy.sgl->length)), 0);
	if (IS_ENABLED(CONFIG_CMA) && c->properties & DMA_HEAP_CONTIGUOUS)
		KUNIT_EXPECT_TRUE(test, cma_release(dev_get_cma_area(NULL), page,
						    PFN_DOWN(copy.sgl->length)));
	else
		__free_pages(page, compound_order(page));
	sg_free_table(&copy);
}
#endif

static struct kunit_case uncached_kunit_cases[] = {
	KUNIT_CASE_PARAM(uncached_properties, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_mmap, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_vmap, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_contents, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_zeroed, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_killed, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_device, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_bounce, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_snooping, uncached_gen_params),
	KUNIT_CASE(uncached_range),
	KUNIT_CASE(uncached_prepare_killed),
	KUNIT_CASE(uncached_large_chunk),
	KUNIT_CASE(uncached_dma32),
	KUNIT_CASE_PARAM(uncached_hibernate, uncached_gen_params),
#if defined(CONFIG_PCI) && defined(CONFIG_IOMMU_DMA)
	KUNIT_CASE_PARAM(uncached_iommu, uncached_gen_params),
	KUNIT_CASE(uncached_untrusted),
#endif
#ifdef CONFIG_ARM64
	KUNIT_CASE_PARAM(uncached_cleaned, uncached_gen_params),
#endif
#ifdef CONFIG_X86
	KUNIT_CASE_PARAM(uncached_linear, uncached_gen_params),
	KUNIT_CASE(uncached_large_page),
	KUNIT_CASE(uncached_step_fails),
	KUNIT_CASE(uncached_restore_killed),
	KUNIT_CASE(uncached_stuck),
	KUNIT_CASE_PARAM(uncached_heap_fails, uncached_gen_params),
	KUNIT_CASE_PARAM(uncached_heap_loses, uncached_gen_params),
#endif
	{}
};

static unsigned int percent;

/* Without the pool, freed pages are made cached at once. */
static int uncached_suite_init(struct kunit_suite *suite)
{
	percent = heap_pool_kunit_set_percent(0);

	return 0;
}

static void uncached_suite_exit(struct kunit_suite *suite)
{
	heap_pool_kunit_set_percent(percent);
}

static struct kunit_suite uncached_suite = {
	.name = "dma_heap_uncached",
	.suite_init = uncached_suite_init,
	.suite_exit = uncached_suite_exit,
	.test_cases = uncached_kunit_cases,
};

kunit_test_suite(uncached_suite);

MODULE_DESCRIPTION("KUnit suite of the uncached heaps");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
