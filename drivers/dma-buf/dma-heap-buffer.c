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
 * dma_heap_buffer, and calls dma_heap_buffer_export(). The code here does the
 * rest, until it calls the heap's release callback. It does the same for every
 * heap:
 *
 * - Each attachment has its own copy of the scatterlist, which is mapped with
 *   the DMA attributes of the buffer. A device that only writes is mapped
 *   DMA_BIDIRECTIONAL, so that what the CPU has written stays, unless the buffer
 *   has DMA_ATTR_SKIP_CPU_SYNC.
 * - A CPU access waits for the fences of the buffer, then syncs every mapping in
 *   the direction of the mapping. After an access that only read, a bidirectional
 *   mapping is synced DMA_FROM_DEVICE: the device may have written in the meantime,
 *   and that must stay.
 * - Userspace can have shared mappings only. A fault maps a PMD where a chunk
 *   covers one and the addresses agree, and otherwise what shares a page table with
 *   its address, 2 MiB at most. Memory that is locked is mapped by mmap(), page by
 *   page, as a huge page is unmapped when a part of it changes.
 * - The kernel uses the linear address of a buffer that is one chunk of low
 *   memory, and maps other buffers into the vmalloc area. So it does with all
 *   buffers where caches can have aliases.
 *
 * Buffers of a heap with the property DMA_HEAP_WRITE_COMBINED are mapped
 * write-combined for the CPU, and with DMA_ATTR_UNCACHED by devices. There are no
 * caches to sync, so CPU accesses only order memory accesses. The heap must have
 * prepared the pages by dma_uncached_prepare().
 *
 * Buffers of a heap with the property DMA_HEAP_PROTECTED are for devices only:
 * mmap() and vmap() fail with -EINVAL, CPU accesses sync nothing, and a device
 * that needs a bounce buffer cannot map them.
 *
 * The scatterlist of the buffer does not change and needs no lock, so faults take
 * none. A mutex of the buffer makes mappings and CPU accesses exclude each other.
 * It is taken inside the reservation lock, which the callers of map, unmap and
 * vmap hold, and is held for calls of the DMA API and cache maintenance. CPU
 * accesses do not take the reservation lock: others hold it while they wait for
 * fences or for memory.
 */

/* An attachment; protected by the reservation lock */
struct dma_heap_attachment {
	struct device *dev;
	/* Copy of the buffer's table with DMA addresses; made by the first map */
	struct sg_table table;
	/* How often the importer has mapped the attachment */
	unsigned int nr_maps;
	/* Direction of the mapping, if there is one */
	enum dma_data_direction dir;
	/* In the mappings of the buffer, if there is one; under the buffer's mutex */
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

	ret = sg_alloc_table(to, from->orig_nents, GFP_KERNEL | __GFP_RETRY_MAYFAIL |
						   __GFP_NOWARN | dma_heap_gfp_account());
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

	/* See DOC: heap buffers. Memory that the CPU leaves alone needs no sync. */
	if (dir == DMA_FROM_DEVICE && !(buffer->dma_attrs & DMA_ATTR_SKIP_CPU_SYNC))
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

	/* A CPU access that has ended before needs no sync, one that ends later has it. */
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
	 * A sync does not cover what a device has yet to write. A fence that is
	 * added with an attachment after this check belongs to later writes.
	 */
	if (!list_empty(&dmabuf->attachments)) {
		ret = dma_resv_wait_timeout(dmabuf->resv,
					    dma_resv_usage_rw(dir != DMA_FROM_DEVICE),
					    true, MAX_SCHEDULE_TIMEOUT);
		if (ret < 0)
			return ret;
	}

	if (is_write_combined(buffer)) {
		/* Read nothing that was read before the fences signalled. */
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
		/* Drain write-combining buffers before a device is told. */
		wmb();
		return 0;
	}

	mutex_lock(&buffer->lock);
	if (buffer->vaddr)
		flush_kernel_vmap_range(buffer->vaddr, buffer->len);
	list_for_each_entry(a, &buffer->mappings, node) {
		/* What the device may have written since must stay, see above. */
		if (a->dir == DMA_BIDIRECTIONAL && dir == DMA_FROM_DEVICE)
			dma_sync_sgtable_for_device(a->dev, &a->table, DMA_FROM_DEVICE);
		else
			dma_sync_sgtable_for_device(a->dev, &a->table, a->dir);
	}
	mutex_unlock(&buffer->lock);

	return 0;
}

/* Note for every DMA_HEAP_INDEX_STEP bytes of the buffer which chunk they start in. */
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
 * Find the chunk that has page @pgoff of the buffer, or return NULL. *@start
 * becomes the first page of the chunk. The walk is bounded by the pages that
 * share an entry of the index.
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
 * Map what is around the address, up to a page table, and not more than an entry
 * of the index stands for. A fault costs far more than the entries that it makes,
 * and 2 MiB bound the time under the lock of a page table that covers more.
 */
static vm_fault_t dma_heap_buffer_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct dma_heap_buffer *buffer = vma->vm_private_data;
	const unsigned long mask = min(PMD_SIZE, DMA_HEAP_INDEX_STEP) - 1;
	unsigned long addr = max(vmf->address & ~mask, vma->vm_start);
	/* pmd_addr_end() has no end where PMDs are folded. */
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

	/* The pages after the one that faulted can wait for faults of their own. */
	return addr > vmf->address ? VM_FAULT_NOPAGE : ret;
}

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
static bool can_map_huge(const struct dma_heap_buffer *buffer)
{
	/*
	 * vmf_insert_pfn_pmd() uses the attributes of the vma. Not all
	 * architectures keep that of decrypted memory there. fork() does not
	 * deposit page tables for the PMDs of drivers.
	 */
	return !(buffer->dma_attrs & DMA_ATTR_CC_SHARED) && !arch_needs_pgtable_deposit();
}

/* Called when nothing is mapped at the PMD yet, or to write to what is. */
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
 * Choose an address that equals the physical one modulo PMD_SIZE, if the first
 * chunk holds an aligned PMD. The memory needs no better alignment for that. The
 * address is right for the following chunks as well if those before them are
 * whole PMDs, as the largest chunks of the system heap are.
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
	/* For PMDs, which take the attributes of the vma. */
	vma->vm_page_prot = dma_heap_buffer_pgprot(buffer, vma->vm_page_prot);
	/* Importers may have set others, and leave the choice to the exporter. */
	vma->vm_ops = &dma_heap_buffer_vm_ops;
	vma->vm_private_data = buffer;

	/* A program that locks its memory does not want faults later. */
	if ((vma->vm_flags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED)
		return dma_heap_buffer_populate(buffer, vma);

	return 0;
}
#endif

/* The linear address of a cached buffer that is one chunk of low memory, or NULL */
static void *dma_heap_buffer_linear_address(const struct dma_heap_buffer *buffer)
{
	struct scatterlist *sg = buffer->table.sgl;

	/* CPU accesses maintain caches of aliases in the vmalloc area only. */
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

	/* vmap() is a BUG() there. */
	if (!IS_ENABLED(CONFIG_MMU))
		return NULL;

	/* vmap() needs an array, but only while it runs. */
	pages = kvmalloc_objs(*pages, total);
	if (!pages)
		return NULL;

	for_each_sgtable_sg(&buffer->table, sg, i) {
		for (j = 0; j < PFN_DOWN(sg->length); j++)
			pages[nr++] = sg_page(sg) + j;
	}
	vaddr = vmap(pages, total, VM_MAP, dma_heap_buffer_pgprot(buffer, PAGE_KERNEL));
	kvfree(pages);

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

/* Does the table describe @buffer->len bytes of whole pages, contiguous if so stated? */
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
 * @fd_flags: as they were given to &dma_heap_ops.allocate
 *
 * For the allocate operation of heaps. On success the buffer belongs to the
 * dma-buf, until &dma_heap_buffer.release is called. On failure it still
 * belongs to the caller. A heap with DMA_HEAP_WRITE_COMBINED has prepared the
 * memory by dma_uncached_prepare() before this call.
 *
 * Context: Process context. May sleep.
 * Return: The dma-buf, or an error pointer: -EINVAL when the release callback is
 * missing, or when the scatterlist does not describe whole pages of @buffer's
 * length, or not one run of them for a heap with DMA_HEAP_CONTIGUOUS; -ENODEV
 * when the owner's module is being unloaded; -ENOMEM, or what else
 * dma_buf_export() returned.
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
 * For the owner of a heap who is given a dma-buf and has to know if it is one
 * of its own: compare &dma_heap_buffer.release or &dma_heap_buffer.heap.
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
