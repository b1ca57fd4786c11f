// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers of DMA-BUF heaps: what a heap's memory is to devices and to the CPU
 */

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cleanup.h>
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
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <asm/barrier.h>
#include <trace/events/dma_heap.h>

#include "dma-heap-buffer.h"

/**
 * DOC: heap buffers
 *
 * A heap gets memory, describes it in the scatterlist of a struct
 * dma_heap_buffer, and hands that to dma_heap_buffer_export(). From there on
 * the buffer is this code's, until the release callback gives it back. What it
 * makes of the scatterlist is the same for every heap:
 *
 * - Devices map the buffer with the DMA attributes that the heap has set, one
 *   mapping an attachment at a time, each with a scatterlist of its own. A CPU
 *   access synchronises each mapping that there is, in a direction that the
 *   mapping has, after the fences of the buffer have signalled. What the CPU
 *   wrote is written back for every device that reads before anything is
 *   thrown away for one that does not.
 * - Userspace maps the buffer shared or not at all. mmap() itself maps
 *   nothing. A fault maps all that shares a page table with its address, or a
 *   PMD where a chunk covers one and the addresses agree.
 * - The kernel maps the buffer at the address that a lone chunk has anyway, or
 *   into the vmalloc area.
 *
 * Buffers of a heap whose property is DMA_HEAP_WRITE_COMBINED are mapped
 * write-combined wherever the CPU maps them, and by devices with
 * DMA_ATTR_UNCACHED. There are no caches to synchronise: CPU accesses are
 * ordered against what goes before and after them, no more. A buffer has one
 * such attribute for life. That no other mapping of its pages is in the way is
 * the heap's concern.
 *
 * A heap whose property is DMA_HEAP_PROTECTED has buffers for devices alone:
 * mmap() and vmap() fail with -EINVAL, and CPU accesses touch no cache.
 *
 * The scatterlist that the heap made does not change, and needs no lock. The
 * lock of a buffer protects the attachments, what each has mapped, and the
 * kernel's mapping. It nests inside the reservation lock of the dma-buf, which
 * a CPU access does not take: that may be part of signalling a fence, and
 * others wait for fences under the reservation lock. Nothing is called under
 * the buffer's lock but the DMA API, allocators and vmap(). Faults take neither.
 */

/* What an attachment has mapped; protected by the buffer's lock. */
struct dma_heap_attachment {
	struct list_head node;
	struct device *dev;
	/* the buffer's chunks with addresses of the device; empty at first */
	struct sg_table table;
	/* DMA_NONE unless mapped */
	enum dma_data_direction dir;
};

static bool is_write_combined(struct dma_heap_buffer *buffer)
{
	return buffer->dma_attrs & DMA_ATTR_UNCACHED;
}

static pgprot_t dma_heap_pgprot(struct dma_heap_buffer *buffer, pgprot_t prot)
{
	if (is_write_combined(buffer))
		prot = pgprot_writecombine(prot);

	return buffer->dma_attrs & DMA_ATTR_CC_SHARED ? pgprot_decrypted(prot) : prot;
}

static int dma_heap_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attachment)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;
	struct dma_heap_attachment *a;

	a = kzalloc_obj(*a);
	if (!a)
		return -ENOMEM;
	a->dev = attachment->dev;
	a->dir = DMA_NONE;
	attachment->priv = a;

	guard(mutex)(&buffer->lock);
	list_add(&a->node, &buffer->attachments);

	return 0;
}

static void dma_heap_unmap_attachment(struct dma_heap_buffer *buffer,
				      struct dma_heap_attachment *a)
{
	lockdep_assert_held(&buffer->lock);
	dma_unmap_sgtable(a->dev, &a->table, a->dir, buffer->dma_attrs);
	a->dir = DMA_NONE;
}

static void dma_heap_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attachment)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;
	struct dma_heap_attachment *a = attachment->priv;

	scoped_guard(mutex, &buffer->lock) {
		/* an importer that leaves its device with memory that is about to go */
		if (WARN_ON(a->dir != DMA_NONE))
			dma_heap_unmap_attachment(buffer, a);
		list_del(&a->node);
	}
	sg_free_table(&a->table);
	kfree(a);
}

VISIBLE_IF_KUNIT int dma_heap_copy_table(const struct sg_table *from, struct sg_table *to)
{
	struct scatterlist *sg, *new;
	unsigned int i;
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(dma_heap_copy_table, from, to);

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
EXPORT_SYMBOL_IF_KUNIT(dma_heap_copy_table);

static struct sg_table *dma_heap_map(struct dma_buf_attachment *attachment,
				     enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = attachment->dmabuf->priv;
	struct dma_heap_attachment *a = attachment->priv;
	int ret;

	dma_resv_assert_held(attachment->dmabuf->resv);

	/* A CPU access comes before the mapping or sees it, never in between. */
	guard(mutex)(&buffer->lock);
	if (a->dir != DMA_NONE)
		return ERR_PTR(-EBUSY);

	/* who attaches and never maps, as some do to scan out, needs none */
	if (!a->table.sgl) {
		ret = dma_heap_copy_table(&buffer->table, &a->table);
		if (ret)
			return ERR_PTR(ret);
	}
	ret = dma_map_sgtable(a->dev, &a->table, dir, buffer->dma_attrs);
	if (ret)
		return ERR_PTR(ret);
	a->dir = dir;

	return &a->table;
}

static void dma_heap_unmap(struct dma_buf_attachment *attachment, struct sg_table *table,
			   enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = attachment->dmabuf->priv;

	dma_resv_assert_held(attachment->dmabuf->resv);

	guard(mutex)(&buffer->lock);
	dma_heap_unmap_attachment(buffer, attachment->priv);
}

/*
 * A mapping is synchronised in the direction it was made for: what the CPU is
 * about to do can narrow a bidirectional one and nothing else.
 */
static enum dma_data_direction dma_heap_sync_dir(struct dma_heap_attachment *a,
						 enum dma_data_direction dir)
{
	return a->dir == DMA_BIDIRECTIONAL ? dir : a->dir;
}

static int dma_heap_begin_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;
	struct dma_heap_attachment *a;
	long ret;

	/*
	 * What a device has yet to write cannot be synchronised. A fence that
	 * comes with an attachment after this look comes after the access.
	 */
	if (!list_empty(&buffer->attachments)) {
		ret = dma_resv_wait_timeout(dmabuf->resv,
					    dma_resv_usage_rw(dir != DMA_FROM_DEVICE),
					    true, MAX_SCHEDULE_TIMEOUT);
		if (ret < 0)
			return ret;
	}

	if (is_write_combined(buffer)) {
		/* nothing is read that was there before the fences signalled */
		rmb();
		return 0;
	}

	guard(mutex)(&buffer->lock);
	if (buffer->vaddr)
		invalidate_kernel_vmap_range(buffer->vaddr, buffer->len);
	list_for_each_entry(a, &buffer->attachments, node) {
		if (a->dir != DMA_NONE)
			dma_sync_sgtable_for_cpu(a->dev, &a->table, dma_heap_sync_dir(a, dir));
	}

	return 0;
}

static int dma_heap_end_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;
	struct dma_heap_attachment *a;
	bool writers = false;

	if (is_write_combined(buffer)) {
		/* what waits to be combined is written before a device is told */
		wmb();
		return 0;
	}

	guard(mutex)(&buffer->lock);
	if (buffer->vaddr)
		flush_kernel_vmap_range(buffer->vaddr, buffer->len);
	list_for_each_entry(a, &buffer->attachments, node) {
		if (a->dir == DMA_FROM_DEVICE)
			writers = true;
		else if (a->dir != DMA_NONE)
			dma_sync_sgtable_for_device(a->dev, &a->table, dma_heap_sync_dir(a, dir));
	}
	if (!writers)
		return 0;

	/*
	 * Only now those that do nothing but write: where caches are not
	 * coherent, giving memory to them may throw lines away that the CPU
	 * has written for another.
	 */
	list_for_each_entry(a, &buffer->attachments, node) {
		if (a->dir == DMA_FROM_DEVICE)
			dma_sync_sgtable_for_device(a->dev, &a->table, a->dir);
	}

	return 0;
}

/*
 * The physically contiguous run of pages that page @pgoff of the buffer starts,
 * up to the end of its chunk: its first pfn, and its length or 0 past the end.
 *
 * Most who touch a buffer go on where they were, so this does, too. Who does
 * not pays for a walk through the chunks.
 */
VISIBLE_IF_KUNIT unsigned long dma_heap_run(struct dma_heap_buffer *buffer, pgoff_t pgoff,
					    unsigned long *pfn)
{
	struct scatterlist *sg;
	pgoff_t start;

	scoped_guard(spinlock, &buffer->last_lock) {
		sg = buffer->last;
		start = buffer->last_pgoff;
	}
	if (!sg || pgoff < start) {
		sg = buffer->table.sgl;
		start = 0;
	}
	while (sg && pgoff - start >= PFN_DOWN(sg->length)) {
		start += PFN_DOWN(sg->length);
		sg = sg_next(sg);
	}
	if (!sg)
		return 0;

	scoped_guard(spinlock, &buffer->last_lock) {
		buffer->last = sg;
		buffer->last_pgoff = start;
	}
	*pfn = page_to_pfn(sg_page(sg)) + (pgoff - start);

	return PFN_DOWN(sg->length) - (pgoff - start);
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_run);

/*
 * Maps all that shares a page table with the address: filling one costs little
 * more than an entry of it does, and a fault a page would cost much more.
 */
static vm_fault_t dma_heap_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct dma_heap_buffer *buffer = vma->vm_private_data;
	unsigned long addr = max(vmf->address & PMD_MASK, vma->vm_start);
	/* not pmd_addr_end(), which knows no end where PMDs are folded */
	unsigned long last = min(vmf->address | ~PMD_MASK, vma->vm_end - 1);
	pgprot_t prot = dma_heap_pgprot(buffer, vma->vm_page_prot);
	vm_fault_t ret = VM_FAULT_NOPAGE;
	unsigned long nr, pfn;

	for (; addr < last; addr += nr * PAGE_SIZE) {
		nr = dma_heap_run(buffer, linear_page_index(vma, addr), &pfn);
		nr = min(nr, PFN_DOWN(last - addr) + 1);
		if (nr)
			ret = vmf_insert_pfn_range(vmf, addr, pfn, nr, prot,
						   vma->vm_flags & VM_WRITE);
		else
			ret = VM_FAULT_SIGBUS;
		if (ret != VM_FAULT_NOPAGE)
			break;
	}

	/* what lies behind the page that was asked for can wait */
	return addr > vmf->address ? VM_FAULT_NOPAGE : ret;
}

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
/* Called when nothing is mapped at the PMD yet, or to write to what is. */
static vm_fault_t dma_heap_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct dma_heap_buffer *buffer = vma->vm_private_data;
	unsigned long addr = vmf->address & PMD_MASK;
	unsigned long nr, pfn;

	if (order != PMD_ORDER || addr < vma->vm_start || vma->vm_end - addr < PMD_SIZE)
		return VM_FAULT_FALLBACK;

	/* vmf_insert_pfn_pmd() takes no other attributes than the vma's */
	if (buffer->dma_attrs & DMA_ATTR_CC_SHARED)
		return VM_FAULT_FALLBACK;

	nr = dma_heap_run(buffer, linear_page_index(vma, addr), &pfn);
	if (nr < 1 << PMD_ORDER || !IS_ALIGNED(pfn, 1 << PMD_ORDER))
		return VM_FAULT_FALLBACK;

	return vmf_insert_pfn_pmd(vmf, pfn, vma->vm_flags & VM_WRITE);
}
#endif

static const struct vm_operations_struct dma_heap_vm_ops = {
	.fault = dma_heap_fault,
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	.huge_fault = dma_heap_huge_fault,
#endif
};

/*
 * Where a chunk has room for a PMD, have user addresses differ from physical
 * ones by whole PMDs: a PMD can be mapped wherever one is in the chunk. That
 * takes no better alignment of memory than the heap has, and is right for
 * further chunks if those before are whole PMDs, as the largest orders are.
 */
static unsigned long dma_heap_get_unmapped_area(struct dma_buf *dmabuf, unsigned long addr,
						unsigned long len, unsigned long pgoff,
						unsigned long flags)
{
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	struct dma_heap_buffer *buffer = dmabuf->priv;
	struct scatterlist *sg = buffer->table.sgl;
	unsigned long pfn = page_to_pfn(sg_page(sg));

	/* the offset is all that this function takes for the alignment */
	if (sg->length >= PMD_SIZE)
		return thp_get_unmapped_area(dmabuf->file, addr, len,
					     pgoff + pfn % (1 << PMD_ORDER), flags);
#endif
	return mm_get_unmapped_area(dmabuf->file, addr, len, pgoff, flags);
}

static int dma_heap_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;

	/* A private copy would not be the memory that devices see. */
	if (!(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;

	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_page_prot = dma_heap_pgprot(buffer, vma->vm_page_prot);
	vma->vm_ops = &dma_heap_vm_ops;
	vma->vm_private_data = buffer;

	return 0;
}

/* The address of a buffer that is one chunk, where it may be used without a mapping. */
static void *dma_heap_linear_address(struct dma_heap_buffer *buffer)
{
	struct scatterlist *sg = buffer->table.sgl;

	/* the last page is where high memory would begin */
	if (sg->length != buffer->len || is_write_combined(buffer) ||
	    PageHighMem(sg_page(sg) + PFN_DOWN(buffer->len) - 1))
		return NULL;

	return page_address(sg_page(sg));
}

VISIBLE_IF_KUNIT void *dma_heap_map_kernel(struct dma_heap_buffer *buffer)
{
	unsigned long nr = 0, total = PFN_DOWN(buffer->len);
	struct scatterlist *sg;
	struct page **pages;
	unsigned int i, j;
	void *vaddr;

	KUNIT_STATIC_STUB_REDIRECT(dma_heap_map_kernel, buffer);

	/* vmap() wants an array, and only while it runs */
	pages = kvmalloc_objs(*pages, total);
	if (!pages)
		return NULL;

	for_each_sgtable_sg(&buffer->table, sg, i) {
		for (j = 0; j < PFN_DOWN(sg->length); j++)
			pages[nr++] = sg_page(sg) + j;
	}
	vaddr = vmap(pages, total, VM_MAP, dma_heap_pgprot(buffer, PAGE_KERNEL));
	kvfree(pages);

	return vaddr;
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_map_kernel);

/* dma-buf counts who has it mapped, and calls for the first one */
static int dma_heap_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;

	dma_resv_assert_held(dmabuf->resv);

	guard(mutex)(&buffer->lock);
	buffer->vaddr = dma_heap_linear_address(buffer);
	if (!buffer->vaddr)
		buffer->vaddr = dma_heap_map_kernel(buffer);
	if (!buffer->vaddr)
		return -ENOMEM;
	iosys_map_set_vaddr(map, buffer->vaddr);

	return 0;
}

static void dma_heap_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;

	dma_resv_assert_held(dmabuf->resv);

	guard(mutex)(&buffer->lock);
	if (is_vmalloc_addr(buffer->vaddr))
		vunmap(buffer->vaddr);
	buffer->vaddr = NULL;
}

static void dma_heap_buffer_release(struct dma_buf *dmabuf)
{
	struct dma_heap_buffer *buffer = dmabuf->priv;
	struct dma_heap *heap = buffer->heap;

	trace_dma_heap_release(heap, buffer->len, buffer->ino);
	mutex_destroy(&buffer->lock);
	buffer->release(buffer);
	dma_heap_unexport(heap, dmabuf->size);
}

static const struct dma_buf_ops dma_heap_buffer_ops = {
	.attach = dma_heap_attach,
	.detach = dma_heap_detach,
	.map_dma_buf = dma_heap_map,
	.unmap_dma_buf = dma_heap_unmap,
	.begin_cpu_access = dma_heap_begin_cpu_access,
	.end_cpu_access = dma_heap_end_cpu_access,
	.mmap = dma_heap_mmap,
	.get_unmapped_area = dma_heap_get_unmapped_area,
	.vmap = dma_heap_vmap,
	.vunmap = dma_heap_vunmap,
	.release = dma_heap_buffer_release,
};

/* for memory that the CPU must not touch */
static const struct dma_buf_ops dma_heap_protected_ops = {
	.attach = dma_heap_attach,
	.detach = dma_heap_detach,
	.map_dma_buf = dma_heap_map,
	.unmap_dma_buf = dma_heap_unmap,
	.release = dma_heap_buffer_release,
};

/**
 * dma_heap_buffer_export() - export a buffer of a heap
 * @heap: heap that was asked for the buffer
 * @buffer: what it is made of; see &struct dma_heap_buffer
 * @fd_flags: as they were given to &dma_heap_ops.allocate
 *
 * For the allocate operation of heaps. On success the buffer belongs to the
 * dma-buf, until &dma_heap_buffer.release is called; on failure it is still the
 * caller's. A heap that has stated DMA_HEAP_WRITE_COMBINED sees to it that no
 * cache has anything of the chunks to write back, from now on until release, and
 * that the architecture allows for its pages to be mapped like that.
 *
 * Context: Process context. May sleep.
 * Return: The dma-buf, or an error pointer: -EINVAL for a buffer of no length,
 * no chunk, no release callback or part of a page, -ENODEV when the owner's
 * module is being unloaded, -ENOMEM, or what else dma_buf_export() returned.
 */
struct dma_buf *dma_heap_buffer_export(struct dma_heap *heap,
				       struct dma_heap_buffer *buffer, u32 fd_flags)
{
	const u32 properties = dma_heap_properties(heap);
	struct dma_buf_export_info exp_info = {
		.ops = properties & DMA_HEAP_PROTECTED ? &dma_heap_protected_ops :
							 &dma_heap_buffer_ops,
		.size = buffer->len,
		.flags = fd_flags,
		.priv = buffer,
	};
	struct dma_buf *dmabuf;

	if (!buffer->len || !PAGE_ALIGNED(buffer->len) || !buffer->table.sgl || !buffer->release)
		return ERR_PTR(-EINVAL);

	if (properties & DMA_HEAP_WRITE_COMBINED)
		buffer->dma_attrs |= DMA_ATTR_UNCACHED;
	buffer->heap = heap;
	INIT_LIST_HEAD(&buffer->attachments);
	mutex_init(&buffer->lock);
	buffer->vaddr = NULL;
	spin_lock_init(&buffer->last_lock);
	buffer->last = NULL;

	dmabuf = dma_heap_export(heap, &exp_info);
	/* the file is no more when the buffer is released */
	if (!IS_ERR(dmabuf))
		buffer->ino = file_inode(dmabuf->file)->i_ino;

	return dmabuf;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_buffer_export, "DMA_BUF_HEAP");

/**
 * dma_heap_buffer_of() - find the heap buffer that a dma-buf is
 * @dmabuf: the dma-buf; the caller holds a reference
 *
 * For a heap's owner who is given a dma-buf and wants to know if it is one of
 * its own: compare &dma_heap_buffer.heap with the heaps it has added.
 *
 * Context: Any context.
 * Return: The buffer, or NULL when it was not dma_heap_buffer_export() that
 * made the dma-buf.
 */
struct dma_heap_buffer *dma_heap_buffer_of(struct dma_buf *dmabuf)
{
	if (dmabuf->ops != &dma_heap_buffer_ops && dmabuf->ops != &dma_heap_protected_ops)
		return NULL;

	return dmabuf->priv;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_buffer_of, "DMA_BUF_HEAP");
