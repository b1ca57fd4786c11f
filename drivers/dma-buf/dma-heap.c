// SPDX-License-Identifier: GPL-2.0
/*
 * DMA-BUF heaps: named heaps that userspace and drivers allocate dma-bufs from
 *
 * Copyright (C) 2011 Google, Inc.
 * Copyright (C) 2019 Linaro Ltd.
 */

#define pr_fmt(fmt) "dma_heap: " fmt

#include <kunit/visibility.h>
#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/cdev.h>
#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>
#include <uapi/linux/dma-heap.h>

#include "dma-heap-private.h"

#define CREATE_TRACE_POINTS
#include <trace/events/dma_heap.h>

#define DEVNAME "dma_heap"

/**
 * DOC: heap lifetime
 *
 * A heap exists from dma_heap_add() until its owner calls dma_heap_remove().
 * These things can be in use when the heap is removed:
 *
 * - A call of the heap's allocate or get_info operation. dma_heap_remove()
 *   waits until it returns. Later calls fail with -ENODEV. dma_heap_remove()
 *   does not wait for the copies of an ioctl from and to userspace, which
 *   userspace can block indefinitely.
 * - An open file of the heap's device node. It stays open, and its ioctls fail
 *   with -ENODEV. It holds struct dma_heap, which belongs to the core, but not
 *   the owner: the owner's module can be unloaded.
 * - A heap that a driver has from dma_heap_find(). The driver holds struct
 *   dma_heap and pins the owner's module. dma_heap_buffer_alloc() fails with
 *   -ENODEV.
 * - A buffer exported with dma_heap_buffer_export(). It holds the heap and pins
 *   the owner's module until its release callback has returned. The owner must
 *   hold its own dependencies, as the TEE heaps hold the TEE device.
 *
 * The core calls the owner's release operation when the heap was removed and
 * its last buffer was released. The owner's data must stay valid until then.
 */

/* Maximum number of heaps and aliases, including removed ones in use */
#define DMA_HEAP_MINORS 128

#define DMA_HEAP_PROPERTIES	DMA_HEAP_CONTIGUOUS
#define DMA_HEAP_RESTRICTIONS \
	(DMA_HEAP_PROTECTED | DMA_HEAP_WRITE_COMBINED | DMA_HEAP_CC_SHARED | \
	 DMA_HEAP_DEDICATED)

/**
 * struct dma_heap - a heap of memory from which buffers can be allocated
 * @dev:	device of the heap; holds its name, and its reference count
 *		keeps this structure in memory
 * @cdev:	character device; an open file holds @dev through it
 * @users:	held by the owner, until dma_heap_remove(), and by each buffer;
 *		dropping the last one calls the release operation and puts @dev
 * @busy:	held for reading while a buffer is charged and allocated, and
 *		during get_info; dma_heap_remove() takes it for writing to wait
 * @list:	entry in the list of heaps
 * @real:	for an alias, the heap that it refers to, whose device it holds;
 *		otherwise the heap itself. An alias has no operations and does
 *		not use its counters
 * @owner:	module that @ops belongs to
 * @ops:	operations of the owner
 * @priv:	data of the owner
 * @properties:	bits of &enum dma_heap_property and &enum dma_heap_restriction
 * @memory:	buffers are pages of the page allocator
 * @size:	size of the heap in bytes or an upper limit of it, or 0
 * @dmem:	dmem region that buffers are charged to, or NULL
 * @dmem_name:	its name; an alias still shows it after @dmem was put
 * @counters:	buffers and failures, shown in debugfs
 * @counters_lock: protects @counters
 * @debugfs:	file that shows @counters
 * @removed:	the heap was removed, or was not added completely; written
 *		under dma_heaps_lock
 *
 * Lock order:
 *
 * - @busy -> any lock that the owner's operations take
 * - dma_heaps_lock -> dmem_lock
 *
 * The owner must not hold a lock that its operations take when it removes the
 * heap. dma_heaps_lock and @busy are not nested. Userspace memory is not
 * accessed under @busy.
 */
struct dma_heap {
	struct device dev;
	struct cdev cdev;
	struct kref users;
	struct rw_semaphore busy;
	struct list_head list;
	struct dma_heap *real;
	struct module *owner;
	const struct dma_heap_ops *ops;
	void *priv;
	u32 properties;
	bool memory;
	u64 size;
	struct dma_heap_dmem *dmem;
	const char *dmem_name;
	struct dma_heap_counters counters;
	/* protects counters */
	spinlock_t counters_lock;
	struct dentry *debugfs;
	bool removed;
};

/*
 * Protects the list and the names in it. Held from the lookup of a name until
 * the heap is on the list, and while a device node is opened: a node cannot be
 * opened before its heap is complete.
 */
static DEFINE_MUTEX(dma_heaps_lock);
static LIST_HEAD(dma_heaps);
static DEFINE_IDA(dma_heap_minors);
static dev_t dma_heap_devt;
static struct dentry *dma_heap_debugfs;

bool dma_heap_mem_accounting __ro_after_init =
	IS_ENABLED(CONFIG_DMABUF_HEAPS_MEM_ACCOUNTING);
module_param_named(mem_accounting, dma_heap_mem_accounting, bool, 0444);
MODULE_PARM_DESC(mem_accounting,
		 "Charge the memory of buffers to the cgroup of the task that allocates them (default: CONFIG_DMABUF_HEAPS_MEM_ACCOUNTING)");

static void dma_heap_count_buffer(struct dma_heap *heap, size_t size)
{
	struct dma_heap_counters *c = &heap->counters;

	guard(spinlock)(&heap->counters_lock);
	c->buffers++;
	c->bytes += size;
	c->peak = max(c->peak, c->bytes);
}

static void dma_heap_uncount_buffer(struct dma_heap *heap, size_t size)
{
	struct dma_heap_counters *c = &heap->counters;

	guard(spinlock)(&heap->counters_lock);
	c->buffers--;
	c->bytes -= size;
}

static void dma_heap_count_failure(struct dma_heap *heap, enum dma_heap_failure reason)
{
	guard(spinlock)(&heap->counters_lock);
	heap->counters.reasons[reason]++;
	if (reason != DMA_HEAP_FAILURE_ARGUMENT)
		heap->counters.failures++;
}

/* Properties and restrictions by their bits */
static const char * const dma_heap_property_names[] = {
	[ilog2(DMA_HEAP_CONTIGUOUS)] = "contiguous",
	[ilog2(DMA_HEAP_PROTECTED)] = "protected",
	[ilog2(DMA_HEAP_WRITE_COMBINED)] = "write-combined",
	[ilog2(DMA_HEAP_CC_SHARED)] = "cc-shared",
	[ilog2(DMA_HEAP_DEDICATED)] = "dedicated",
};

static const char * const dma_heap_failures[] = {
	[DMA_HEAP_FAILURE_ARGUMENT] = "argument",
	[DMA_HEAP_FAILURE_LIMIT] = "limit",
	[DMA_HEAP_FAILURE_MEMORY] = "memory",
	[DMA_HEAP_FAILURE_CONTIGUOUS] = "contiguous",
	[DMA_HEAP_FAILURE_KILLED] = "killed",
	[DMA_HEAP_FAILURE_OTHER] = "other",
};

static int dma_heap_counters_show(struct seq_file *s, void *unused)
{
	struct dma_heap *heap = s->private;
	const unsigned long bits = heap->properties;
	struct dma_heap_counters c;
	unsigned int i;

	scoped_guard(spinlock, &heap->counters_lock)
		c = heap->counters;

	seq_printf(s, "buffers: %llu\n", c.buffers);
	seq_printf(s, "bytes: %llu\n", c.bytes);
	seq_printf(s, "peak: %llu\n", c.peak);
	seq_printf(s, "failures: %llu\n", c.failures);
	seq_puts(s, "properties:");
	for_each_set_bit(i, &bits, ARRAY_SIZE(dma_heap_property_names))
		seq_printf(s, " %s", dma_heap_property_names[i]);
	seq_putc(s, '\n');
	for (i = 0; i < DMA_HEAP_FAILURES; i++)
		seq_printf(s, "failures_%s: %llu\n", dma_heap_failures[i], c.reasons[i]);

	return 0;
}

/* debugfs_remove() waits for open(), but not for read(): the file holds the heap. */
static int dma_heap_counters_open(struct inode *inode, struct file *file)
{
	struct dma_heap *heap = inode->i_private;
	int ret = single_open(file, dma_heap_counters_show, heap);

	if (!ret)
		get_device(&heap->dev);

	return ret;
}

static int dma_heap_counters_release(struct inode *inode, struct file *file)
{
	struct seq_file *s = file->private_data;
	struct dma_heap *heap = s->private;

	put_device(&heap->dev);

	return single_release(inode, file);
}

static const struct file_operations dma_heap_counters_fops = {
	.owner = THIS_MODULE,
	.open = dma_heap_counters_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = dma_heap_counters_release,
};

static int dma_heap_open(struct inode *inode, struct file *file)
{
	struct dma_heap *heap = container_of(inode->i_cdev, struct dma_heap, cdev);

	scoped_cond_guard(mutex_kill, return -EINTR, &dma_heaps_lock) {
		if (heap->removed || heap->real->removed)
			return -ENODEV;
	}
	file->private_data = heap;

	return nonseekable_open(inode, file);
}

/* Begin to use the owner's operations; false if the heap was removed. */
static bool dma_heap_enter(struct dma_heap *heap)
{
	/* Fails only while dma_heap_remove() waits for it or holds it. */
	if (!down_read_trylock(&heap->busy))
		return false;
	if (!READ_ONCE(heap->removed))
		return true;
	up_read(&heap->busy);

	return false;
}

static void dma_heap_leave(struct dma_heap *heap)
{
	up_read(&heap->busy);
}

/*
 * Charge the caller before the owner allocates: a buffer that exceeds a limit
 * is refused before memory is allocated and cleared for it, and concurrent
 * callers cannot exceed the limit together.
 */
static struct dma_buf *dma_heap_allocate(struct dma_heap *heap, size_t size,
					 u32 fd_flags, u64 heap_flags, bool *charged)
{
	struct dma_heap_buffer *buffer;
	struct dma_heap_charge charge;
	struct dma_buf *dmabuf;
	int ret;

	ret = dma_heap_charge(heap, size, &charge);
	*charged = !ret;
	if (ret)
		return ERR_PTR(ret);

	dmabuf = heap->ops->allocate(heap, size, fd_flags, heap_flags);
	if (!IS_ERR(dmabuf)) {
		buffer = dma_heap_buffer_of(dmabuf);
		if (buffer) {
			buffer->charge = charge;
			return dmabuf;
		}
		/* there is nowhere to keep the charge */
		pr_err_once("%s: allocate must use dma_heap_buffer_export()\n",
			    dev_name(&heap->dev));
		dma_buf_put(dmabuf);
		dmabuf = ERR_PTR(-EINVAL);
	}
	dma_heap_uncharge(&charge);

	return dmabuf;
}

/* The caller has zeroed @info. */
static void dma_heap_fill_info(struct dma_heap *heap, struct dma_heap_info *info)
{
	info->properties = heap->properties & DMA_HEAP_PROPERTIES;
	info->restrictions = heap->properties & DMA_HEAP_RESTRICTIONS;
	info->granule = PAGE_SIZE;
	if (heap->ops->get_info) {
		info->size = heap->size;
		heap->ops->get_info(heap, info);
		/* dma_heap_buffer_alloc() refuses more. */
		info->largest = min_t(u64, info->largest, PAGE_ALIGN_DOWN(SIZE_MAX));
	}
}

/*
 * Find the reason of a failed allocation. The caller has zeroed *@largest. If
 * memory may be the reason, set it to the length of the largest buffer that
 * there is memory for now, or to 0 if the heap does not report that.
 */
static enum dma_heap_failure dma_heap_failure_reason(struct dma_heap *heap, size_t size,
						     int error, bool charged, u64 *largest)
{
	struct dma_heap_info info = {};

	if (error == -EINTR)
		return DMA_HEAP_FAILURE_KILLED;
	if (error != -ENOMEM)
		return DMA_HEAP_FAILURE_OTHER;
	if (!charged && dma_heap_can_hold(heap, size))
		return DMA_HEAP_FAILURE_LIMIT;
	/* Walks the bitmap of a CMA region, but only after a failure. */
	dma_heap_fill_info(heap, &info);
	*largest = info.largest;
	/* A heap that knows only its size has info.size 0. */
	if (!dma_heap_can_hold(heap, size))
		return DMA_HEAP_FAILURE_MEMORY;
	if (!info.size)
		return DMA_HEAP_FAILURE_OTHER;
	if (info.free < size)
		return DMA_HEAP_FAILURE_MEMORY;
	/* Fragmentation or unmovable pages are the likely reason. */
	if (heap->properties & DMA_HEAP_CONTIGUOUS)
		return DMA_HEAP_FAILURE_CONTIGUOUS;

	return DMA_HEAP_FAILURE_OTHER;
}

static struct dma_heap *dma_heap_lookup(const char *name)
{
	struct dma_heap *heap;

	lockdep_assert_held(&dma_heaps_lock);
	list_for_each_entry(heap, &dma_heaps, list) {
		if (!strcmp(dev_name(&heap->dev), name))
			return heap;
	}

	return NULL;
}

/**
 * dma_heap_find() - find a heap by its name
 * @name: name of the heap or of an alias
 *
 * Pins the module that provides the heap. The heap can still be removed, for
 * example with its device: dma_heap_buffer_alloc() fails with -ENODEV from then
 * on. Release the heap with dma_heap_put().
 *
 * A module or a device may add the heap later. Whether to wait for it is up to
 * the caller.
 *
 * Context: Process context. May sleep.
 * Return: The heap; for an alias, the heap that it refers to; or NULL if there
 * is none of that name or its module is being unloaded.
 */
struct dma_heap *dma_heap_find(const char *name)
{
	struct dma_heap *heap;

	guard(mutex)(&dma_heaps_lock);
	heap = dma_heap_lookup(name);
	if (!heap || heap->real->removed)
		return NULL;
	heap = heap->real;
	if (!try_module_get(heap->owner))
		return NULL;
	get_device(&heap->dev);

	return heap;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_find, "DMA_BUF_HEAP");

/**
 * dma_heap_put() - release a heap from dma_heap_find()
 * @heap: heap, from dma_heap_find(); may be NULL
 *
 * Buffers that were allocated from the heap stay usable.
 *
 * Context: Process context. May sleep.
 */
void dma_heap_put(struct dma_heap *heap)
{
	if (!heap)
		return;

	module_put(heap->owner);
	put_device(&heap->dev);
}
EXPORT_SYMBOL_NS_GPL(dma_heap_put, "DMA_BUF_HEAP");

static bool dma_heap_args_valid(u64 len, u32 fd_flags, u64 heap_flags)
{
	if (fd_flags & ~DMA_HEAP_VALID_FD_FLAGS)
		return false;

	/* O_RDONLY, O_WRONLY and O_RDWR are values, not bits to combine. */
	if ((fd_flags & O_ACCMODE) == O_ACCMODE)
		return false;

	if (heap_flags & ~DMA_HEAP_VALID_HEAP_FLAGS)
		return false;

	/* The length, rounded up to pages, must fit in a size_t (32 bits on some). */
	return len && len <= PAGE_ALIGN_DOWN(SIZE_MAX);
}

/**
 * dma_heap_buffer_alloc() - allocate a buffer from a heap
 * @heap: heap, from dma_heap_find()
 * @len: length in bytes; rounded up to whole pages
 * @fd_flags: access mode of the dma-buf's file: O_RDONLY, O_WRONLY or O_RDWR.
 *	O_CLOEXEC is accepted and has no effect
 * @heap_flags: must be 0; no flags are defined
 *
 * Does the same as DMA_HEAP_IOCTL_ALLOC, but creates no fd. The buffer is
 * zeroed unless the heap has DMA_HEAP_PROTECTED. Release it with dma_buf_put().
 *
 * Context: Process context. May sleep.
 * Return: The dma-buf, or an error pointer: -EINVAL for invalid flags, a length
 * of 0, or a length that does not fit size_t; -ENODEV when the heap was
 * removed; -ENOMEM when memory is short or a cgroup is at its limit; -EINTR
 * when a fatal signal is pending; or another error of the heap.
 */
struct dma_buf *dma_heap_buffer_alloc(struct dma_heap *heap, u64 len,
				      u32 fd_flags, u64 heap_flags)
{
	enum dma_heap_failure reason;
	ktime_t start = 0, end = 0;
	const char *what = "none";
	struct dma_buf *dmabuf;
	u64 largest = 0;
	bool charged;
	size_t size;

	if (!dma_heap_args_valid(len, fd_flags, heap_flags)) {
		reason = DMA_HEAP_FAILURE_ARGUMENT;
		dma_heap_count_failure(heap, reason);
		trace_dma_heap_alloc(heap, len, fd_flags, heap_flags, -EINVAL, 0, 0,
				     dma_heap_failures[reason], 0);
		return ERR_PTR(-EINVAL);
	}

	size = PAGE_ALIGN((size_t)len);

	if (!dma_heap_enter(heap))
		return ERR_PTR(-ENODEV);
	if (trace_dma_heap_alloc_enabled())
		start = ktime_get();
	dmabuf = dma_heap_allocate(heap, size, fd_flags, heap_flags, &charged);
	if (start)
		end = ktime_get();
	if (IS_ERR(dmabuf)) {
		reason = dma_heap_failure_reason(heap, size, PTR_ERR(dmabuf), charged, &largest);
		dma_heap_count_failure(heap, reason);
		what = dma_heap_failures[reason];
	}
	/* Skip a call that began before the event was enabled. */
	if (start)
		trace_dma_heap_alloc(heap, size, fd_flags, heap_flags, PTR_ERR_OR_ZERO(dmabuf),
				     ktime_sub(end, start),
				     IS_ERR(dmabuf) ? 0 : file_inode(dmabuf->file)->i_ino,
				     what, largest);
	dma_heap_leave(heap);

	return dmabuf;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_buffer_alloc, "DMA_BUF_HEAP");

/*
 * The members that an older, shorter structure lacks count as zero. Those that
 * a newer, longer one adds are ignored. Only the fd is written, and the
 * structure must have room for it.
 */
static long dma_heap_ioctl_alloc(struct dma_heap *heap, size_t size,
				 struct dma_heap_allocation_data __user *udata)
{
	struct dma_heap_allocation_data data = {};
	struct dma_buf *dmabuf;
	int fd, ret;

	if (size < offsetofend(typeof(data), fd))
		return -EINVAL;
	if (copy_from_user(&data, udata, min(size, sizeof(data))))
		return -EFAULT;
	if (data.fd)
		return -EINVAL;

	dmabuf = dma_heap_buffer_alloc(heap, data.len, data.fd_flags, data.heap_flags);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);

	fd = get_unused_fd_flags(data.fd_flags);
	if (fd < 0) {
		ret = fd;
		goto err_put_buffer;
	}
	if (put_user(fd, &udata->fd)) {
		ret = -EFAULT;
		goto err_put_fd;
	}
	dma_buf_fd_install(dmabuf, fd);

	return 0;

err_put_fd:
	put_unused_fd(fd);
err_put_buffer:
	dma_buf_put(dmabuf);

	return ret;
}

/* The caller has zeroed @info. Returns -ENODEV if the heap was removed. */
VISIBLE_IF_KUNIT int dma_heap_get_info(struct dma_heap *heap, struct dma_heap_info *info)
{
	if (!dma_heap_enter(heap))
		return -ENODEV;
	dma_heap_fill_info(heap, info);
	dma_heap_leave(heap);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_get_info);

/*
 * An older, shorter structure gets what fits. All members are outputs. Members
 * that a newer, longer structure adds can be inputs, so they must be 0.
 */
static long dma_heap_ioctl_get_info(struct dma_heap *heap, size_t size, void __user *argp)
{
	struct dma_heap_info info = {};
	int ret;

	if (size < offsetofend(typeof(info), restrictions))
		return -EINVAL;
	if (size > sizeof(info)) {
		ret = check_zeroed_user(argp + sizeof(info), size - sizeof(info));
		if (ret <= 0)
			return ret ?: -E2BIG;
	}
	ret = dma_heap_get_info(heap, &info);
	if (ret)
		return ret;

	return copy_struct_to_user(argp, size, &info, sizeof(info), NULL);
}

static long dma_heap_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct dma_heap *heap = file->private_data;
	void __user *argp = (void __user *)arg;

	if (READ_ONCE(heap->removed) || READ_ONCE(heap->real->removed))
		return -ENODEV;

	switch (cmd & ~IOCSIZE_MASK) {
	case DMA_HEAP_IOCTL_ALLOC & ~IOCSIZE_MASK:
		return dma_heap_ioctl_alloc(heap->real, _IOC_SIZE(cmd), argp);
	case DMA_HEAP_IOCTL_GET_INFO & ~IOCSIZE_MASK:
		return dma_heap_ioctl_get_info(heap->real, _IOC_SIZE(cmd), argp);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations dma_heap_fops = {
	.owner = THIS_MODULE,
	.open = dma_heap_open,
	.unlocked_ioctl = dma_heap_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/**
 * dma_heap_get_drvdata() - get the data of the heap's owner
 * @heap: the heap
 *
 * Context: Any context.
 * Return: &dma_heap_export_info.priv.
 */
void *dma_heap_get_drvdata(struct dma_heap *heap)
{
	return heap->priv;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_get_drvdata, "DMA_BUF_HEAP");

/**
 * dma_heap_properties() - get the properties of a heap
 * @heap: heap, from dma_heap_find()
 *
 * For drivers that need a property. A name does not guarantee it: machines can
 * have different heaps of the same name.
 *
 * Context: Any context.
 * Return: Bits of &enum dma_heap_property and &enum dma_heap_restriction.
 */
u32 dma_heap_properties(struct dma_heap *heap)
{
	return heap->properties;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_properties, "DMA_BUF_HEAP");

bool dma_heap_is_memory(struct dma_heap *heap)
{
	return heap->memory;
}

bool dma_heap_is_set_aside(struct dma_heap *heap)
{
	return heap->dmem_name;
}

u64 dma_heap_size(struct dma_heap *heap)
{
	return heap->size;
}

struct dma_heap_dmem *dma_heap_dmem(struct dma_heap *heap)
{
	return heap->dmem;
}

/**
 * dma_heap_get_name() - get the name of a heap
 * @heap: the heap
 *
 * Context: Any context.
 * Return: The name, valid for as long as the heap exists.
 */
const char *dma_heap_get_name(struct dma_heap *heap)
{
	return dev_name(&heap->dev);
}
EXPORT_SYMBOL_NS_GPL(dma_heap_get_name, "DMA_BUF_HEAP");

static ssize_t charged_to_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct dma_heap *heap = container_of(dev, struct dma_heap, dev)->real;

	if (heap->memory && dma_heap_memory_charged())
		return sysfs_emit(buf, "memory\n");
	if (heap->dmem_name && dma_heap_dmem_charged())
		return sysfs_emit(buf, "dmem:%s\n", heap->dmem_name);

	return sysfs_emit(buf, "none\n");
}
static DEVICE_ATTR_RO(charged_to);

/* One word for each bit that is set, separated by spaces, or "none" */
static ssize_t emit_properties(char *buf, unsigned long bits)
{
	unsigned int bit;
	ssize_t at = 0;

	for_each_set_bit(bit, &bits, ARRAY_SIZE(dma_heap_property_names))
		at += sysfs_emit_at(buf, at, "%s%s", at ? " " : "", dma_heap_property_names[bit]);

	return at + sysfs_emit_at(buf, at, "%s\n", at ? "" : "none");
}

static ssize_t properties_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct dma_heap *heap = container_of(dev, struct dma_heap, dev)->real;

	return emit_properties(buf, heap->properties & DMA_HEAP_PROPERTIES);
}
static DEVICE_ATTR_RO(properties);

static ssize_t restrictions_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct dma_heap *heap = container_of(dev, struct dma_heap, dev)->real;

	return emit_properties(buf, heap->properties & DMA_HEAP_RESTRICTIONS);
}
static DEVICE_ATTR_RO(restrictions);

static ssize_t alias_of_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct dma_heap *heap = container_of(dev, struct dma_heap, dev);

	return sysfs_emit(buf, "%s\n", dma_heap_get_name(heap->real));
}
static DEVICE_ATTR_RO(alias_of);

static struct attribute *dma_heap_attrs[] = {
	&dev_attr_alias_of.attr,
	&dev_attr_charged_to.attr,
	&dev_attr_properties.attr,
	&dev_attr_restrictions.attr,
	NULL
};

static umode_t dma_heap_attr_is_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	const struct dma_heap *heap = container_of(kobj_to_dev(kobj), struct dma_heap, dev);

	return attr == &dev_attr_alias_of.attr && heap->real == heap ? 0 : attr->mode;
}

static const struct attribute_group dma_heap_group = {
	.attrs = dma_heap_attrs,
	.is_visible = dma_heap_attr_is_visible,
};
__ATTRIBUTE_GROUPS(dma_heap);

static char *dma_heap_devnode(const struct device *dev, umode_t *mode)
{
	return kasprintf(GFP_KERNEL, DEVNAME "/%s", dev_name(dev));
}

static const struct class dma_heap_class = {
	.name = DEVNAME,
	.devnode = dma_heap_devnode,
	.dev_groups = dma_heap_groups,
};

static void dma_heap_dev_release(struct device *dev)
{
	struct dma_heap *heap = container_of(dev, struct dma_heap, dev);

	ida_free(&dma_heap_minors, MINOR(dev->devt));
	if (heap->real != heap)
		put_device(&heap->real->dev);
	kfree(heap->dmem_name);
	kfree(heap);
}

/*
 * A name is a file name in /dev/dma_heap and in sysfs, and appears in uevents
 * and in tables: one path component of visible ASCII characters.
 */
static bool dma_heap_name_valid(const char *name)
{
	const char *c;

	if (!name || !*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;

	for (c = name; *c; c++) {
		if (!isascii(*c) || !isgraph(*c) || *c == '/')
			return false;
	}

	return c - name <= NAME_MAX;
}

static void dma_heap_release(struct kref *users)
{
	struct dma_heap *heap = container_of(users, struct dma_heap, users);

	dma_heap_dmem_put(heap->dmem);
	if (heap->ops && heap->ops->release)
		heap->ops->release(heap);
	put_device(&heap->dev);
}

/* Create a heap, or an alias of @real. It is not visible yet. */
static struct dma_heap *dma_heap_create(const char *name, struct dma_heap *real)
{
	struct dma_heap *heap;
	int minor, ret;

	lockdep_assert_held(&dma_heaps_lock);
	if (dma_heap_lookup(name))
		return ERR_PTR(-EEXIST);

	heap = kzalloc_obj(*heap);
	if (!heap)
		return ERR_PTR(-ENOMEM);

	minor = ida_alloc_max(&dma_heap_minors, DMA_HEAP_MINORS - 1, GFP_KERNEL);
	if (minor < 0) {
		pr_err("%s: no minor number: %d\n", name, minor);
		kfree(heap);
		return ERR_PTR(minor);
	}

	kref_init(&heap->users);
	init_rwsem(&heap->busy);
	spin_lock_init(&heap->counters_lock);
	heap->real = real ?: heap;
	if (real)
		get_device(&real->dev);
	device_initialize(&heap->dev);
	heap->dev.class = &dma_heap_class;
	heap->dev.devt = MKDEV(MAJOR(dma_heap_devt), minor);
	heap->dev.release = dma_heap_dev_release;
	cdev_init(&heap->cdev, &dma_heap_fops);
	heap->cdev.owner = THIS_MODULE;

	ret = dev_set_name(&heap->dev, "%s", name);
	if (ret) {
		pr_err("%s: cannot create a device: %d\n", name, ret);
		put_device(&heap->dev);
		return ERR_PTR(ret);
	}

	return heap;
}

/* Create the device of a heap. The heap is freed on failure. */
static int dma_heap_publish(struct dma_heap *heap)
{
	int ret;

	lockdep_assert_held(&dma_heaps_lock);
	ret = cdev_device_add(&heap->cdev, &heap->dev);
	if (ret) {
		pr_err("%s: cannot create a device: %d\n", dev_name(&heap->dev), ret);
		/* dma_heap_open() may be waiting for the lock. */
		heap->removed = true;
		put_device(&heap->dev);
		return ret;
	}
	list_add(&heap->list, &dma_heaps);

	return 0;
}

/**
 * __dma_heap_add() - add a heap
 * @exp_info: describes the heap; it and its strings are not used after the call
 * @owner: module of the operations, NULL when they are built in
 *
 * Use dma_heap_add(), which passes the module of its caller.
 *
 * Creates the device node of the heap. Userspace can open it and allocate
 * before this function returns, so everything that the operations need must be
 * ready before the call. A module_init function must add its heaps last: if it
 * fails afterwards, the module is freed even if it is in use.
 *
 * Context: Process context. May sleep.
 * Return: The heap, or an error pointer: -EINVAL when the name is invalid, the
 * allocate operation is missing, a property is unknown, or a dmem region is
 * given for pages of the page allocator, without a size, or with a size other
 * than that of another heap; -EEXIST when a heap or an alias has the name;
 * -ENOSPC when there are 128 of them; -ENOMEM; or an error of adding the
 * device.
 */
struct dma_heap *__dma_heap_add(const struct dma_heap_export_info *exp_info,
				struct module *owner)
{
	struct dma_heap_dmem *dmem = NULL;
	struct dma_heap *heap;
	int ret;

	if (!dma_heap_name_valid(exp_info->name)) {
		pr_err("cannot add a heap with an invalid name\n");
		return ERR_PTR(-EINVAL);
	}
	if (!exp_info->ops || !exp_info->ops->allocate) {
		pr_err("%s: cannot add a heap that does not allocate\n", exp_info->name);
		return ERR_PTR(-EINVAL);
	}
	if (exp_info->properties & ~(DMA_HEAP_PROPERTIES | DMA_HEAP_RESTRICTIONS)) {
		pr_err("%s: cannot add a heap with unknown properties\n", exp_info->name);
		return ERR_PTR(-EINVAL);
	}
	if (exp_info->dmem && (!exp_info->size || exp_info->memory)) {
		pr_err("%s: cannot charge buffers to %s\n", exp_info->name, exp_info->dmem);
		return ERR_PTR(-EINVAL);
	}

	guard(mutex)(&dma_heaps_lock);
	heap = dma_heap_create(exp_info->name, NULL);
	if (IS_ERR(heap))
		return heap;

	heap->owner = owner;
	heap->ops = exp_info->ops;
	heap->priv = exp_info->priv;
	heap->properties = exp_info->properties;
	heap->memory = exp_info->memory;
	heap->size = exp_info->size;
	if (exp_info->dmem) {
		heap->dmem_name = kstrdup(exp_info->dmem, GFP_KERNEL);
		if (!heap->dmem_name) {
			put_device(&heap->dev);
			return ERR_PTR(-ENOMEM);
		}
		dmem = dma_heap_dmem_get(exp_info->dmem, exp_info->size);
		if (IS_ERR(dmem)) {
			pr_err("%s: cannot register %s: %pe\n", exp_info->name, exp_info->dmem,
			       dmem);
			put_device(&heap->dev);
			return ERR_CAST(dmem);
		}
		heap->dmem = dmem;
	}

	ret = dma_heap_publish(heap);
	if (ret) {
		dma_heap_dmem_put(dmem);
		return ERR_PTR(ret);
	}
	heap->debugfs = debugfs_create_file_unsafe(dev_name(&heap->dev), 0444,
						   dma_heap_debugfs, heap,
						   &dma_heap_counters_fops);

	return heap;
}
EXPORT_SYMBOL_NS_GPL(__dma_heap_add, "DMA_BUF_HEAP");

/**
 * dma_heap_add_alias() - add another name for a heap
 * @heap: a heap or an alias, which the caller has not removed
 * @name: the name; not used after the call
 *
 * For a heap that programs open by an old name. The alias has its own device
 * node. A buffer allocated through it belongs to @heap: it has the name of
 * @heap and is counted there.
 *
 * Remove the alias with dma_heap_remove(), before or after @heap. This does not
 * wait: calls that began through the alias are calls of its heap. When @heap
 * was removed, opening the alias and allocating from an open file fail with
 * -ENODEV.
 *
 * Context: Process context. May sleep.
 * Return: The alias, for dma_heap_remove() and dma_heap_add_alias() only, or an
 * error pointer: -EINVAL when the name is invalid; -ENODEV when @heap is an
 * alias of a removed heap; -EEXIST when a heap or an alias has the name; -ENOSPC
 * when there are 128 of them; -ENOMEM; or an error of adding the device.
 */
struct dma_heap *dma_heap_add_alias(struct dma_heap *heap, const char *name)
{
	struct dma_heap *alias;
	int ret;

	if (!dma_heap_name_valid(name))
		return ERR_PTR(-EINVAL);

	guard(mutex)(&dma_heaps_lock);
	if (heap->real->removed)
		return ERR_PTR(-ENODEV);
	alias = dma_heap_create(name, heap->real);
	if (IS_ERR(alias))
		return alias;

	ret = dma_heap_publish(alias);
	if (ret)
		return ERR_PTR(ret);
	alias->debugfs = debugfs_create_symlink(name, dma_heap_debugfs,
						dev_name(&heap->real->dev));

	return alias;
}
EXPORT_SYMBOL_NS_GPL(dma_heap_add_alias, "DMA_BUF_HEAP");

/**
 * dma_heap_remove() - remove a heap
 * @heap: the heap, as dma_heap_add() or dma_heap_add_alias() returned it
 *
 * Removes the heap's name and its device node, makes later ioctls on open files
 * fail with -ENODEV, and waits for calls of the heap's allocate and get_info
 * operations to return. It does not wait for buffers: the core calls the
 * release operation when the last one was released, which may be before this
 * function returns. The caller must not use the heap any more. See DOC: heap
 * lifetime.
 *
 * Context: Process context. May sleep for the time it takes to charge and
 * allocate a buffer. The caller must not hold a lock that the allocate or the
 * get_info operation takes.
 */
void dma_heap_remove(struct dma_heap *heap)
{
	/* Must be done before the name can be reused. */
	debugfs_remove(heap->debugfs);

	scoped_guard(mutex, &dma_heaps_lock) {
		list_del(&heap->list);
		cdev_device_del(&heap->cdev, &heap->dev);
		WRITE_ONCE(heap->removed, true);
	}

	/* From here on, dma_heap_enter() sees that the heap is removed. */
	down_write(&heap->busy);
	up_write(&heap->busy);

	kref_put(&heap->users, dma_heap_release);
}
EXPORT_SYMBOL_NS_GPL(dma_heap_remove, "DMA_BUF_HEAP");

/*
 * Like dma_buf_export(), but set the name and the module of the exporter, and
 * hold the heap. Returns -ENODEV when the owner's module is being unloaded.
 */
struct dma_buf *dma_heap_export(struct dma_heap *heap,
				struct dma_buf_export_info *exp_info)
{
	struct dma_buf *dmabuf;

	exp_info->exp_name = dev_name(&heap->dev);
	exp_info->owner = heap->owner;

	kref_get(&heap->users);
	dmabuf = dma_buf_export(exp_info);
	if (IS_ERR(dmabuf)) {
		kref_put(&heap->users, dma_heap_release);
		/* -ENOENT means that the module is being unloaded. */
		return dmabuf == ERR_PTR(-ENOENT) ? ERR_PTR(-ENODEV) : dmabuf;
	}
	dma_heap_count_buffer(heap, exp_info->size);

	return dmabuf;
}

/* Drop a buffer's reference to its heap, which may release the heap. */
void dma_heap_unexport(struct dma_heap *heap, size_t size)
{
	dma_heap_uncount_buffer(heap, size);
	kref_put(&heap->users, dma_heap_release);
}

#if IS_ENABLED(CONFIG_KUNIT)
dev_t dma_heap_kunit_devt(struct dma_heap *heap)
{
	return heap->dev.devt;
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_kunit_devt);

void dma_heap_kunit_counters(struct dma_heap *heap, struct dma_heap_counters *counters)
{
	guard(spinlock)(&heap->counters_lock);
	*counters = heap->counters;
}
EXPORT_SYMBOL_IF_KUNIT(dma_heap_kunit_counters);
#endif

static int __init dma_heap_init(void)
{
	int ret;

	ret = alloc_chrdev_region(&dma_heap_devt, 0, DMA_HEAP_MINORS, DEVNAME);
	if (ret)
		return ret;

	ret = class_register(&dma_heap_class);
	if (ret) {
		unregister_chrdev_region(dma_heap_devt, DMA_HEAP_MINORS);
		return ret;
	}
	dma_heap_debugfs = debugfs_create_dir(DEVNAME, NULL);

	return 0;
}
subsys_initcall(dma_heap_init);
