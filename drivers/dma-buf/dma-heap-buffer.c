// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers of DMA-BUF heaps: one implementation of dma_buf_ops for every heap
 */

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cacheinfo.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/iosys-map.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/barrier.h>
#include <trace/events/dma_heap.h>

#include "dma-heap-private.h"

/**
 * DOC: heap buffers
 *
 * A heap allocates memory, describes it in the scatterlist of a struct
 * dma_heap_buffer, and calls dma_heap_buffer_export(). From then on, the code
 * here handles the buffer until it calls the heap's release callback. It treats
 * the buffers of all heaps alike. A chunk is an entry of the scatterlist.
 *
 * - Each attachment has its own copy of the scatterlist, which is mapped with
 *   the DMA attributes of the buffer. The mapping for a device that only writes
 *   is DMA_BIDIRECTIONAL, to preserve data that the CPU has written, unless the
 *   buffer has DMA_ATTR_SKIP_CPU_SYNC or DMA_ATTR_UNCACHED.
 * - The start of a CPU access waits for the fences of the buffer. The start and
 *   the end sync every mapping in the direction of the mapping. At the end of an
 *   access that only reads, a bidirectional mapping is synced DMA_FROM_DEVICE, to
 *   preserve data that the device may have written in the meantime.
 * - Userspace mappings must be shared. A fault maps a PMD if one chunk covers
 *   it and the virtual and the physical address are equal modulo PMD_SIZE. If
 *   not, it maps the pages around the address, within one page table and at
 *   most 2 MiB. mmap() itself maps locked memory, page by page: a change to a
 *   part of a huge page would unmap all of it.
 * - The kernel uses the direct map for a cached buffer that is one chunk of low
 *   memory, unless the data cache has aliases. It maps all other buffers into
 *   the vmalloc area.
 *
 * Buffers of a heap with the property DMA_HEAP_WRITE_COMBINED are mapped
 * write-combined for the CPU, and with DMA_ATTR_UNCACHED for devices. There are
 * no caches to sync, so CPU accesses only wait for fences and order memory
 * accesses. The heap must have called dma_uncached_prepare() for the pages.
 *
 * Buffers of a heap with the property DMA_HEAP_PROTECTED are for devices only:
 * mmap() and vmap() fail with -EINVAL, CPU accesses sync nothing, and a device
 * that needs a bounce buffer cannot map them.
 *
 * The scatterlist of the buffer does not change and needs no lock. A mutex of
 * the buffer serializes CPU accesses against map and unmap. It is held during
 * calls of the DMA API and cache maintenance. The callers of map, unmap and
 * vmap hold the reservation lock. CPU accesses do not take it, because others
 * hold it while they wait for fences or for memory. Fault handlers take neither
 * lock.
 *
 * Lock order: reservation lock -> mutex of the buffer
 */

/* An attachment; protected by the reservation lock */
struct dma_heap_attachment {
	struct device *dev;
	/* Copy of the buffer's table with DMA addresses; made at first map */
	struct sg_table table;
	/* How often the importer has mapped the attachment */
	unsigned int nr_maps;
	/* Direction of the mapping, if there is one */
	enum dma_data_direction dir;
	/* Entry in buffer->mappings while mapped; protected by buffer->lock */
	struct list_head node;
};

static struct dma_heap_buffer *to_heap_buffer(const struct dma_buf *dmabuf)
{
	return dmabuf->priv;
}

static bool is_write_combined(const struct dma_heap_buffer *buffer)
{
	return buffer->dma_attrs & DMA_ATTR_UNCACHED;
}

static pgprot_t dma_heap_buffer_pgprot(const struct dma_heap_buffer *buffer, pgprot_t prot)
{
	if (is_write_combined(buffer))
		prot = pgprot_writecombine(prot);

	return buffer->dma_attrs & DMA_ATTR_CC_SHARED ? pgprot_decrypted(prot) : prot;
}

static int dma_heap_buffer_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attachment)
{
	struct dma_heap_attachment *a;

	a = kzalloc_obj(*a);
	if (!a)
		return -ENOMEM;
	a->dev = attachment->dev;
	attachment->priv = a;

	return 0;
}

static void dma_heap_buffer_unmap_now(struct dma_heap_buffer *buffer,
				      struct dma_heap_attachment *a)
{
	mutex_lock(&buffer->lock);
	list_del(&a->node);
	dma_unmap_sgtable(a->dev, &a->table, a->dir, buffer->dma_attrs);
	mutex_unlock(&buffer->lock);
}

static void dma_heap_buffer_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attachment)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);
	struct dma_heap_attachment *a = attachment->priv;

	/* The importer forgot to unmap, and the memory may soon be freed. */
	if (WARN_ON_ONCE(a->nr_maps))
		dma_heap_buffer_unmap_now(buffer, a);
	sg_free_table(&a->table);
	kfree(a);
}

VISIBLE_IF_KUNIT int dma_heap_buffer_copy_table(const struct sg_table *from, struct sg_table *to)
{
	struct scatterlist *sg, *new;
	unsigned int i;
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(dma_heap_buffer_copy_table, from, to);

	ret = sg_alloc_table(to, from->orig_nents, GFP_KERNEL);
	if (ret)
		return ret;

	new = to->sgl;
	for_each_sgtable_sg(from, sg, i) {
		sg_set_page(new, sg_page(sg), sg->length, 0);
		new = sg_next(new);
	}

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_buffer_copy_table);

static struct sg_table *dma_heap_buffer_map(struct dma_buf_attachment *attachment,
					    enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(attachment->dmabuf);
	struct dma_heap_attachment *a = attachment->priv;
	int ret;

	dma_resv_assert_held(attachment->dmabuf->resv);

	/* Preserve what the CPU wrote, see DOC: heap buffers. */
	if (dir == DMA_FROM_DEVICE &&
	    !(buffer->dma_attrs & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_UNCACHED)))
		dir = DMA_BIDIRECTIONAL;

	if (a->nr_maps) {
		if (a->dir != DMA_BIDIRECTIONAL && a->dir != dir)
			return ERR_PTR(-EBUSY);
		a->nr_maps++;
		return &a->table;
	}

	if (!a->table.sgl) {
		ret = dma_heap_buffer_copy_table(&buffer->table, &a->table);
		if (ret)
			return ERR_PTR(ret);
	}

	/* Covers CPU accesses that have ended. Those that end later sync @a. */
	mutex_lock(&buffer->lock);
	ret = dma_map_sgtable(a->dev, &a->table, dir, buffer->dma_attrs);
	if (!ret) {
		a->dir = dir;
		list_add(&a->node, &buffer->mappings);
	}
	mutex_unlock(&buffer->lock);
	if (ret)
		return ERR_PTR(ret);
	a->nr_maps = 1;

	return &a->table;
}

static void dma_heap_buffer_unmap(struct dma_buf_attachment *attachment, struct sg_table *table,
				  enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(attachment->dmabuf);
	struct dma_heap_attachment *a = attachment->priv;

	dma_resv_assert_held(attachment->dmabuf->resv);

	/* The importer unmaps more often than it has mapped. */
	if (WARN_ON_ONCE(!a->nr_maps))
		return;
	if (!--a->nr_maps)
		dma_heap_buffer_unmap_now(buffer, a);
}

static int dma_heap_buffer_begin_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);
	struct dma_heap_attachment *a;
	long ret;

	/*
	 * Wait first: a sync does not cover later writes of a device. The check
	 * needs no lock: a later attachment adds fences of later writes only.
	 */
	if (!list_empty(&dmabuf->attachments)) {
		ret = dma_resv_wait_timeout(dmabuf->resv,
					    dma_resv_usage_rw(dir != DMA_FROM_DEVICE),
					    true, MAX_SCHEDULE_TIMEOUT);
		if (ret < 0)
			return ret;
	}

	if (is_write_combined(buffer)) {
		/* Order reads of the buffer after the wait for the fences. */
		rmb();
		return 0;
	}

	mutex_lock(&buffer->lock);
	if (buffer->vaddr)
		invalidate_kernel_vmap_range(buffer->vaddr, buffer->len);
	list_for_each_entry(a, &buffer->mappings, node)
		dma_sync_sgtable_for_cpu(a->dev, &a->table, a->dir);
	mutex_unlock(&buffer->lock);

	return 0;
}

static int dma_heap_buffer_end_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);
	struct dma_heap_attachment *a;

	if (is_write_combined(buffer)) {
		/* Drain write-combining buffers before a device is started. */
		mb();
		return 0;
	}

	mutex_lock(&buffer->lock);
	if (buffer->vaddr)
		flush_kernel_vmap_range(buffer->vaddr, buffer->len);
	list_for_each_entry(a, &buffer->mappings, node) {
		/* Preserve what the device wrote, see DOC: heap buffers. */
		if (a->dir == DMA_BIDIRECTIONAL && dir == DMA_FROM_DEVICE)
			dma_sync_sgtable_for_device(a->dev, &a->table, DMA_FROM_DEVICE);
		else
			dma_sync_sgtable_for_device(a->dev, &a->table, a->dir);
	}
	mutex_unlock(&buffer->lock);

	return 0;
}

/* For every DMA_HEAP_INDEX_STEP bytes, record the chunk where they start. */
static int dma_heap_buffer_add_index(struct dma_heap_buffer *buffer)
{
	struct dma_heap_index *index;
	struct scatterlist *sg;
	pgoff_t start = 0;
	unsigned int i;
	size_t n;

	if (buffer->table.orig_nents == 1)
		return 0;

	n = (buffer->len - 1) / DMA_HEAP_INDEX_STEP + 1;
	index = kvzalloc(struct_size(index, entry, n),
			 GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN | dma_heap_gfp_account());
	if (!index)
		return -ENOMEM;
	index->nr = n;

	n = 0;
	for_each_sgtable_sg(&buffer->table, sg, i) {
		while (n < index->nr && n * PFN_DOWN(DMA_HEAP_INDEX_STEP) <
					start + PFN_DOWN(sg->length)) {
			index->entry[n].sg = sg;
			index->entry[n].start = start;
			n++;
		}
		start += PFN_DOWN(sg->length);
	}
	buffer->index = index;

	return 0;
}

#ifdef CONFIG_MMU
/*
 * Find the chunk that contains page @pgoff of the buffer, or return NULL. Set
 * *@start to the offset in pages of the chunk. The index limits the walk to the
 * chunks of DMA_HEAP_INDEX_STEP bytes.
 */
VISIBLE_IF_KUNIT struct scatterlist *dma_heap_find_chunk(const struct dma_heap_buffer *buffer,
							 pgoff_t pgoff, pgoff_t *start)
{
	struct scatterlist *sg = buffer->table.sgl;
	size_t n = pgoff / PFN_DOWN(DMA_HEAP_INDEX_STEP);

	*start = 0;
	if (buffer->index) {
		if (n >= buffer->index->nr)
			return NULL;
		sg = buffer->index->entry[n].sg;
		*start = buffer->index->entry[n].start;
	}
	while (sg && pgoff - *start >= PFN_DOWN(sg->length)) {
		*start += PFN_DOWN(sg->length);
		sg = sg_next(sg);
	}

	return sg;
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_find_chunk);

/*
 * Map the pages around the address: those that share its page table, but at
 * most DMA_HEAP_INDEX_STEP bytes. A fault costs far more than the page table
 * entries that it sets. The limit bounds the time under the lock of a large
 * page table.
 */
static vm_fault_t dma_heap_buffer_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct dma_heap_buffer *buffer = vma->vm_private_data;
	const unsigned long mask = min(PMD_SIZE, DMA_HEAP_INDEX_STEP) - 1;
	unsigned long addr = max(vmf->address & ~mask, vma->vm_start);
	/* Where PMDs are folded, pmd_addr_end() does not round. */
	unsigned long last = min(vmf->address | mask, vma->vm_end - 1);
	pgprot_t prot = dma_heap_buffer_pgprot(buffer, vma->vm_page_prot);
	pgoff_t pgoff = linear_page_index(vma, addr), start;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct scatterlist *sg;
	unsigned long nr;

	for (sg = dma_heap_find_chunk(buffer, pgoff, &start); sg && addr < last; sg = sg_next(sg)) {
		nr = min(start + PFN_DOWN(sg->length) - pgoff, PFN_DOWN(last - addr) + 1);
		ret = vmf_insert_pfn_range(vmf, addr, page_to_pfn(sg_page(sg)) + (pgoff - start),
					   nr, prot);
		if (ret != VM_FAULT_NOPAGE)
			break;
		addr += nr * PAGE_SIZE;
		pgoff += nr;
		start += PFN_DOWN(sg->length);
	}

	/* An error after the page that faulted can wait for a fault there. */
	return addr > vmf->address ? VM_FAULT_NOPAGE : ret;
}

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
static bool can_map_huge(const struct dma_heap_buffer *buffer)
{
	/*
	 * vmf_insert_pfn_pmd() uses vma->vm_page_prot. Not all architectures
	 * keep the attribute of decrypted memory there. fork() does not deposit
	 * page tables for the PMDs of drivers.
	 */
	return !(buffer->dma_attrs & DMA_ATTR_CC_SHARED) && !arch_needs_pgtable_deposit();
}

/* Called for an empty PMD, or for a write to a mapped one. */
static vm_fault_t dma_heap_buffer_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct dma_heap_buffer *buffer = vma->vm_private_data;
	unsigned long addr = vmf->address & PMD_MASK;
	struct scatterlist *sg;
	pgoff_t pgoff, start;
	unsigned long pfn;

	if (order != PMD_ORDER || addr < vma->vm_start || vma->vm_end - addr < PMD_SIZE)
		return VM_FAULT_FALLBACK;

	if (!can_map_huge(buffer))
		return VM_FAULT_FALLBACK;

	pgoff = linear_page_index(vma, addr);
	sg = dma_heap_find_chunk(buffer, pgoff, &start);
	if (!sg || start + PFN_DOWN(sg->length) - pgoff < 1 << PMD_ORDER)
		return VM_FAULT_FALLBACK;
	pfn = page_to_pfn(sg_page(sg)) + (pgoff - start);
	if (!IS_ALIGNED(pfn, 1 << PMD_ORDER))
		return VM_FAULT_FALLBACK;

	return vmf_insert_pfn_pmd(vmf, pfn, vmf->flags & FAULT_FLAG_WRITE);
}
#endif

static const struct vm_operations_struct dma_heap_buffer_vm_ops = {
	.fault = dma_heap_buffer_fault,
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	.huge_fault = dma_heap_buffer_huge_fault,
#endif
};

/*
 * If the first chunk is large enough, choose an address that equals the
 * physical one modulo PMD_SIZE. The memory itself need not be aligned then. The
 * address also fits later chunks if all chunks before them are whole PMDs.
 */
static unsigned long dma_heap_buffer_get_unmapped_area(struct dma_buf *dmabuf, unsigned long addr,
						       unsigned long len, unsigned long pgoff,
						       unsigned long flags)
{
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);
	struct scatterlist *sg = buffer->table.sgl;

	if (sg->length >= PMD_SIZE && can_map_huge(buffer))
		return thp_get_unmapped_area_pfn(dmabuf->file, addr, len, pgoff,
						 page_to_pfn(sg_page(sg)) + pgoff, flags);
#endif
	return mm_get_unmapped_area(dmabuf->file, addr, len, pgoff, flags);
}

/* Map all pages of the vma. */
static int dma_heap_buffer_populate(struct dma_heap_buffer *buffer, struct vm_area_struct *vma)
{
	pgprot_t prot = dma_heap_buffer_pgprot(buffer, vma->vm_page_prot);
	unsigned long addr = vma->vm_start, nr;
	pgoff_t pgoff = vma->vm_pgoff, start;
	struct scatterlist *sg;
	int ret;

	for (sg = dma_heap_find_chunk(buffer, pgoff, &start); sg && addr < vma->vm_end;
	     sg = sg_next(sg)) {
		nr = min(start + PFN_DOWN(sg->length) - pgoff, PFN_DOWN(vma->vm_end - addr));
		ret = remap_pfn_range(vma, addr, page_to_pfn(sg_page(sg)) + (pgoff - start),
				      nr * PAGE_SIZE, prot);
		if (ret)
			return ret;
		addr += nr * PAGE_SIZE;
		pgoff += nr;
		start += PFN_DOWN(sg->length);
	}

	return 0;
}

static int dma_heap_buffer_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);

	/* Devices do not see the pages of a private copy. */
	if (!(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;

	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	/* vmf_insert_pfn_pmd() uses it. */
	vma->vm_page_prot = dma_heap_buffer_pgprot(buffer, vma->vm_page_prot);
	/* Replace those of an importer that calls dma_buf_mmap(). */
	vma->vm_ops = &dma_heap_buffer_vm_ops;
	vma->vm_private_data = buffer;

	/* A program that locks its memory does not want faults later. */
	if ((vma->vm_flags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED)
		return dma_heap_buffer_populate(buffer, vma);

	return 0;
}
#endif

/* Direct map address of a cached buffer that is one chunk of low memory */
static void *dma_heap_buffer_linear_address(const struct dma_heap_buffer *buffer)
{
	struct scatterlist *sg = buffer->table.sgl;

	/* CPU accesses maintain only the cache aliases of a vmalloc mapping. */
	if (cpu_dcache_is_aliasing())
		return NULL;
	/* If the last page is in low memory, all of them are. */
	if (sg->length != buffer->len || is_write_combined(buffer) ||
	    PageHighMem(sg_page(sg) + PFN_DOWN(buffer->len) - 1))
		return NULL;
	/* The linear mapping of decrypted memory is decrypted, too. */
	return page_address(sg_page(sg));
}

VISIBLE_IF_KUNIT void *dma_heap_buffer_map_kernel(struct dma_heap_buffer *buffer)
{
	unsigned long nr = 0, total = PFN_DOWN(buffer->len);
	struct scatterlist *sg;
	struct page **pages;
	unsigned int i, j;
	void *vaddr;

	KUNIT_STATIC_STUB_REDIRECT(dma_heap_buffer_map_kernel, buffer);

	/* Without an MMU, vmap() is a BUG(). */
	if (!IS_ENABLED(CONFIG_MMU))
		return NULL;

	/* vmap() needs an array while it runs. kvmalloc() fails above INT_MAX bytes. */
	pages = vmalloc_array(total, sizeof(*pages));
	if (!pages)
		return NULL;

	for_each_sgtable_sg(&buffer->table, sg, i) {
		for (j = 0; j < PFN_DOWN(sg->length); j++)
			pages[nr++] = sg_page(sg) + j;
	}
	vaddr = vmap(pages, total, VM_MAP, dma_heap_buffer_pgprot(buffer, PAGE_KERNEL));
	vfree(pages);

	return vaddr;
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_buffer_map_kernel);

/* Called for the first of several users; dma_buf_vmap() counts them. */
static int dma_heap_buffer_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);
	void *vaddr;

	dma_resv_assert_held(dmabuf->resv);

	vaddr = dma_heap_buffer_linear_address(buffer);
	if (!vaddr) {
		vaddr = dma_heap_buffer_map_kernel(buffer);
		if (!vaddr)
			return -ENOMEM;
		mutex_lock(&buffer->lock);
		buffer->vaddr = vaddr;
		mutex_unlock(&buffer->lock);
	}
	iosys_map_set_vaddr(map, vaddr);

	return 0;
}

static void dma_heap_buffer_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);

	dma_resv_assert_held(dmabuf->resv);

	if (buffer->vaddr) {
		mutex_lock(&buffer->lock);
		buffer->vaddr = NULL;
		mutex_unlock(&buffer->lock);
		vunmap(map->vaddr);
	}
	iosys_map_clear(map);
}

static void dma_heap_buffer_release(struct dma_buf *dmabuf)
{
	struct dma_heap_buffer *buffer = to_heap_buffer(dmabuf);
	struct dma_heap_charge charge = buffer->charge;
	struct dma_heap *heap = buffer->heap;

	trace_dma_heap_release(heap, dmabuf->size, buffer->ino);
	kvfree(buffer->index);
	dma_heap_count_pages(buffer, false);
	buffer->release(buffer);
	dma_heap_uncharge(&charge);
	dma_heap_unexport(heap, dmabuf->size);
}

static const struct dma_buf_ops dma_heap_buffer_ops = {
	.attach = dma_heap_buffer_attach,
	.detach = dma_heap_buffer_detach,
	.map_dma_buf = dma_heap_buffer_map,
	.unmap_dma_buf = dma_heap_buffer_unmap,
	.begin_cpu_access = dma_heap_buffer_begin_cpu_access,
	.end_cpu_access = dma_heap_buffer_end_cpu_access,
#ifdef CONFIG_MMU
	.mmap = dma_heap_buffer_mmap,
	.get_unmapped_area = dma_heap_buffer_get_unmapped_area,
#endif
	.vmap = dma_heap_buffer_vmap,
	.vunmap = dma_heap_buffer_vunmap,
	.release = dma_heap_buffer_release,
};

static const struct dma_buf_ops dma_heap_buffer_protected_ops = {
	.attach = dma_heap_buffer_attach,
	.detach = dma_heap_buffer_detach,
	.map_dma_buf = dma_heap_buffer_map,
	.unmap_dma_buf = dma_heap_buffer_unmap,
	.release = dma_heap_buffer_release,
};

/* Whole pages, @buffer->len bytes in all, contiguous for DMA_HEAP_CONTIGUOUS */
static bool dma_heap_buffer_table_valid(const struct dma_heap_buffer *buffer, u32 properties)
{
	struct scatterlist *sg, *prev = NULL;
	size_t left = buffer->len;
	unsigned int i;

	for_each_sgtable_sg(&buffer->table, sg, i) {
		if (!sg_page(sg) || sg->offset || !sg->length || !PAGE_ALIGNED(sg->length) ||
		    sg->length > left)
			return false;
		if ((properties & DMA_HEAP_CONTIGUOUS) && prev &&
		    sg_phys(prev) + prev->length != sg_phys(sg))
			return false;
		left -= sg->length;
		prev = sg;
	}

	return !left;
}

/**
 * dma_heap_buffer_export() - export a buffer of a heap
 * @heap: heap that the buffer was allocated from
 * @buffer: the memory; see &struct dma_heap_buffer
 * @fd_flags: the flags that &dma_heap_ops.allocate got
 *
 * For the allocate operation of heaps. On success, the buffer belongs to the
 * dma-buf, until &dma_heap_buffer.release is called. On failure, it still
 * belongs to the caller. A heap with DMA_HEAP_WRITE_COMBINED must call
 * dma_uncached_prepare() for the memory before.
 *
 * Context: Process context. May sleep.
 * Return: The dma-buf, or an error pointer: -EINVAL when the release callback
 * is missing, or when the scatterlist does not describe @buffer->len bytes in
 * whole pages, or is not contiguous for a heap with DMA_HEAP_CONTIGUOUS;
 * -ENODEV when the owner's module is being unloaded; -ENOMEM; or another error
 * of dma_buf_export().
 */
struct dma_buf *dma_heap_buffer_export(struct dma_heap *heap,
				       struct dma_heap_buffer *buffer, u32 fd_flags)
{
	const u32 properties = dma_heap_properties(heap);
	struct dma_buf_export_info exp_info = {
		.ops = properties & DMA_HEAP_PROTECTED ? &dma_heap_buffer_protected_ops :
							 &dma_heap_buffer_ops,
		.size = buffer->len,
		.flags = fd_flags,
		.priv = buffer,
	};
	struct dma_buf *dmabuf;
	int ret;

	if (!buffer->len || !buffer->table.sgl || !buffer->release ||
	    !dma_heap_buffer_table_valid(buffer, properties))
		return ERR_PTR(-EINVAL);

	if (properties & DMA_HEAP_PROTECTED)
		buffer->dma_attrs |= DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_NO_BOUNCE;
	if (properties & DMA_HEAP_WRITE_COMBINED)
		buffer->dma_attrs |= DMA_ATTR_UNCACHED;
	buffer->heap = heap;
	mutex_init(&buffer->lock);
	INIT_LIST_HEAD(&buffer->mappings);
	buffer->vaddr = NULL;
	buffer->index = NULL;
	buffer->charge = (struct dma_heap_charge) {};

	ret = dma_heap_buffer_add_index(buffer);
	if (ret)
		return ERR_PTR(ret);

	dmabuf = dma_heap_export(heap, &exp_info);
	if (IS_ERR(dmabuf)) {
		kvfree(buffer->index);
		return dmabuf;
	}
	buffer->ino = file_inode(dmabuf->file)->i_ino;
	dma_heap_count_pages(buffer, true);

	return dmabuf;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_buffer_export, "DMA_BUF_HEAP");

/**
 * dma_heap_buffer_of() - get the heap buffer behind a dma-buf
 * @dmabuf: the dma-buf; the caller holds a reference
 *
 * For the owner of a heap. To check that a dma-buf is its own, the owner
 * compares &dma_heap_buffer.release or &dma_heap_buffer.heap of the result.
 *
 * Context: Any context.
 * Return: The buffer, or NULL when the dma-buf was not exported by
 * dma_heap_buffer_export().
 */
struct dma_heap_buffer *dma_heap_buffer_of(struct dma_buf *dmabuf)
{
	if (dmabuf->ops != &dma_heap_buffer_ops && dmabuf->ops != &dma_heap_buffer_protected_ops)
		return NULL;

	return to_heap_buffer(dmabuf);
}
EXPORT_SYMBOL_NS_GPL(dma_heap_buffer_of, "DMA_BUF_HEAP");
