// SPDX-License-Identifier: GPL-2.0
/*
 * An importer for measurements: what is written to debugfs' heap_map does
 * something with a dma-buf, so many times.
 *
 *	map FD TIMES	attach, map, unmap, detach
 *	vmap FD TIMES	map for the kernel, unmap
 *	hold FD TIMES	attach and map that many times, until "drop"
 *	drop		take down what is held
 *
 * And devices for tests of coherence.  Each open file of debugfs' heap_device
 * is a device, which the calls of heap-map.h attach to a dma-buf and map.
 * What is then read from the file, or written to it, the device reads from the
 * buffer or writes to it, at the same offset.  The access goes to the memory at
 * the DMA address: that is the bounce buffer where there is one.  The device is
 * taken down when the file is closed.
 */

#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/iommu-dma.h>
#include <linux/iosys-map.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "heap-map.h"

#define MAX_HELD 64

struct mapping {
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
};

static struct platform_device *pdev;
static struct dentry *dir, *device_dir;
static struct mapping held[MAX_HELD];
static struct dma_buf *held_buffer;

static int make(struct dma_buf *dmabuf, struct mapping *m)
{
	m->attach = dma_buf_attach(dmabuf, &pdev->dev);
	if (IS_ERR(m->attach))
		return PTR_ERR(m->attach);
	m->sgt = dma_buf_map_attachment_unlocked(m->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(m->sgt)) {
		dma_buf_detach(dmabuf, m->attach);
		return PTR_ERR(m->sgt);
	}

	return 0;
}

static void take_down(struct dma_buf *dmabuf, struct mapping *m)
{
	dma_buf_unmap_attachment_unlocked(m->attach, m->sgt, DMA_BIDIRECTIONAL);
	dma_buf_detach(dmabuf, m->attach);
}

static void drop(void)
{
	int i;

	if (!held_buffer)
		return;
	for (i = 0; i < MAX_HELD && held[i].attach; i++) {
		take_down(held_buffer, &held[i]);
		held[i].attach = NULL;
	}
	dma_buf_put(held_buffer);
	held_buffer = NULL;
}

static int run(const char *what, struct dma_buf *dmabuf, unsigned int times)
{
	struct iosys_map map;
	struct mapping m;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < times && !ret; i++) {
		if (!strcmp(what, "map")) {
			ret = make(dmabuf, &m);
			if (!ret)
				take_down(dmabuf, &m);
		} else if (!strcmp(what, "vmap")) {
			ret = dma_buf_vmap_unlocked(dmabuf, &map);
			if (!ret)
				dma_buf_vunmap_unlocked(dmabuf, &map);
		} else if (!strcmp(what, "hold") && i < MAX_HELD) {
			ret = make(dmabuf, &held[i]);
			if (ret)
				held[i].attach = NULL;
		} else {
			ret = -EINVAL;
		}
	}

	return ret;
}

static ssize_t heap_map_write(struct file *file, const char __user *ubuf, size_t count,
			      loff_t *pos)
{
	char buf[64] = {}, what[8];
	struct dma_buf *dmabuf;
	unsigned int times;
	int fd, ret;

	if (copy_from_user(buf, ubuf, min(count, sizeof(buf) - 1)))
		return -EFAULT;
	drop();
	if (!strncmp(buf, "drop", 4))
		return count;
	if (sscanf(buf, "%7s %d %u", what, &fd, &times) != 3)
		return -EINVAL;
	dmabuf = dma_buf_get(fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	ret = run(what, dmabuf, times);
	if (!strcmp(what, "hold"))
		held_buffer = dmabuf;
	else
		dma_buf_put(dmabuf);

	return ret ?: count;
}

static const struct file_operations heap_map_fops = {
	.owner = THIS_MODULE,
	.write = heap_map_write,
};

struct heap_device {
	/* orders the calls on one file */
	struct mutex lock;
	struct platform_device *pdev;
	/* NULL unless attached */
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	/* NULL unless mapped */
	struct sg_table *sgt;
	enum dma_data_direction dir;
};

static int heap_device_set_mask(struct heap_device *d, unsigned long bits)
{
	if (d->dmabuf)
		return -EBUSY;
	if (!bits || bits > 64)
		return -EINVAL;

	return dma_set_mask_and_coherent(&d->pdev->dev, DMA_BIT_MASK(bits));
}

static int heap_device_attach(struct heap_device *d, int fd)
{
	struct dma_buf *dmabuf;

	if (d->dmabuf)
		return -EBUSY;
	dmabuf = dma_buf_get(fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	d->attach = dma_buf_attach(dmabuf, &d->pdev->dev);
	if (IS_ERR(d->attach)) {
		dma_buf_put(dmabuf);
		return PTR_ERR(d->attach);
	}
	d->dmabuf = dmabuf;

	return 0;
}

static int heap_device_map(struct heap_device *d, unsigned long dir)
{
	struct device *dev = &d->pdev->dev;
	struct sg_table *sgt;

	if (!d->dmabuf)
		return -ENXIO;
	if (d->sgt)
		return -EBUSY;
	if (dir != DMA_BIDIRECTIONAL && dir != DMA_TO_DEVICE && dir != DMA_FROM_DEVICE)
		return -EINVAL;
	/* dma_to_phys() knows direct mappings only */
	if (use_dma_iommu(dev) || get_dma_ops(dev))
		return -EOPNOTSUPP;

	sgt = dma_buf_map_attachment_unlocked(d->attach, dir);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	d->sgt = sgt;
	d->dir = dir;

	return 0;
}

static int heap_device_unmap(struct heap_device *d)
{
	if (!d->sgt)
		return -ENXIO;
	dma_buf_unmap_attachment_unlocked(d->attach, d->sgt, d->dir);
	d->sgt = NULL;

	return 0;
}

static int heap_device_detach(struct heap_device *d)
{
	if (!d->dmabuf)
		return -ENXIO;
	if (d->sgt)
		heap_device_unmap(d);
	dma_buf_detach(d->dmabuf, d->attach);
	dma_buf_put(d->dmabuf);
	d->dmabuf = NULL;

	return 0;
}

/*
 * The CPU's pages come from a kernel mapping: with CONFIG_DMABUF_DEBUG the
 * scatterlist of an importer has none.
 */
static int heap_device_bounced(struct heap_device *d)
{
	struct sg_dma_page_iter iter;
	struct iosys_map map;
	int ret, bounced = 0;
	struct page *page;
	void *vaddr;

	if (!d->sgt)
		return -ENXIO;
	ret = dma_buf_vmap_unlocked(d->dmabuf, &map);
	if (ret)
		return ret;
	vaddr = map.vaddr;
	for_each_sgtable_dma_page(d->sgt, &iter, 0) {
		page = is_vmalloc_addr(vaddr) ? vmalloc_to_page(vaddr) : virt_to_page(vaddr);
		if (dma_to_phys(&d->pdev->dev, sg_page_iter_dma_address(&iter)) !=
		    page_to_phys(page))
			bounced++;
		vaddr += PAGE_SIZE;
	}
	dma_buf_vunmap_unlocked(d->dmabuf, &map);

	return bounced;
}

static long heap_device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct heap_device *d = file->private_data;
	int ret;

	mutex_lock(&d->lock);
	switch (cmd) {
	case HEAP_DEVICE_MASK:
		ret = heap_device_set_mask(d, arg);
		break;
	case HEAP_DEVICE_ATTACH:
		ret = heap_device_attach(d, arg);
		break;
	case HEAP_DEVICE_MAP:
		ret = heap_device_map(d, arg);
		break;
	case HEAP_DEVICE_BOUNCED:
		ret = heap_device_bounced(d);
		break;
	case HEAP_DEVICE_UNMAP:
		ret = heap_device_unmap(d);
		break;
	case HEAP_DEVICE_DETACH:
		ret = heap_device_detach(d);
		break;
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&d->lock);

	return ret;
}

/* Of what is asked for, access the part in the chunk that begins at @start of the buffer. */
static ssize_t heap_device_access_chunk(struct heap_device *d, struct scatterlist *sg,
					loff_t start, char __user *ubuf, size_t count,
					loff_t pos, bool write)
{
	dma_addr_t addr = sg_dma_address(sg) + (pos - start);
	size_t n = min_t(size_t, count, sg_dma_len(sg) - (pos - start));
	unsigned long left;
	void *mem;

	mem = memremap(dma_to_phys(&d->pdev->dev, addr), n, MEMREMAP_WB);
	if (!mem)
		return -ENOMEM;
	left = write ? copy_from_user(mem, ubuf, n) : copy_to_user(ubuf, mem, n);
	memunmap(mem);

	return left ? -EFAULT : n;
}

static ssize_t heap_device_access(struct heap_device *d, char __user *ubuf, size_t count,
				  loff_t *pos, bool write)
{
	enum dma_data_direction other = write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	struct scatterlist *sg;
	loff_t start = 0;
	size_t done = 0;
	ssize_t ret = 0;
	unsigned int i;

	mutex_lock(&d->lock);
	if (!d->sgt)
		ret = -ENXIO;
	else if (d->dir == other)
		ret = -EACCES;
	if (ret)
		goto out_unlock;

	for_each_sgtable_dma_sg(d->sgt, sg, i) {
		if (done == count)
			break;
		if (*pos < start + sg_dma_len(sg)) {
			ret = heap_device_access_chunk(d, sg, start, ubuf + done, count - done,
						       *pos, write);
			if (ret < 0)
				break;
			done += ret;
			*pos += ret;
		}
		start += sg_dma_len(sg);
	}
	if (!done && !ret && count && write)
		ret = -ENOSPC;

out_unlock:
	mutex_unlock(&d->lock);

	return done ?: ret;
}

static ssize_t heap_device_read(struct file *file, char __user *ubuf, size_t count, loff_t *pos)
{
	return heap_device_access(file->private_data, ubuf, count, pos, false);
}

static ssize_t heap_device_write(struct file *file, const char __user *ubuf, size_t count,
				 loff_t *pos)
{
	return heap_device_access(file->private_data, (char __user *)ubuf, count, pos, true);
}

static int heap_device_open(struct inode *inode, struct file *file)
{
	struct heap_device *d;
	int ret;

	d = kzalloc_obj(*d);
	if (!d)
		return -ENOMEM;
	d->pdev = platform_device_register_simple("heap-device", PLATFORM_DEVID_AUTO, NULL, 0);
	if (IS_ERR(d->pdev)) {
		ret = PTR_ERR(d->pdev);
		kfree(d);
		return ret;
	}
	dma_set_max_seg_size(&d->pdev->dev, UINT_MAX);
	mutex_init(&d->lock);
	file->private_data = d;

	return 0;
}

static int heap_device_release(struct inode *inode, struct file *file)
{
	struct heap_device *d = file->private_data;

	heap_device_detach(d);
	platform_device_unregister(d->pdev);
	mutex_destroy(&d->lock);
	kfree(d);

	return 0;
}

/* an open file keeps the module, and so its device */
static const struct file_operations heap_device_fops = {
	.owner = THIS_MODULE,
	.open = heap_device_open,
	.release = heap_device_release,
	.read = heap_device_read,
	.write = heap_device_write,
	.unlocked_ioctl = heap_device_ioctl,
	.llseek = default_llseek,
};

static int __init heap_map_init(void)
{
	pdev = platform_device_register_simple("heap-map", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	pdev->dev.dma_parms = kzalloc(sizeof(*pdev->dev.dma_parms), GFP_KERNEL);
	if (!pdev->dev.dma_parms) {
		platform_device_unregister(pdev);
		return -ENOMEM;
	}
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	dir = debugfs_create_file("heap_map", 0200, NULL, NULL, &heap_map_fops);
	device_dir = debugfs_create_file("heap_device", 0600, NULL, NULL, &heap_device_fops);

	return 0;
}
module_init(heap_map_init);

static void __exit heap_map_exit(void)
{
	debugfs_remove(device_dir);
	debugfs_remove(dir);
	drop();
	kfree(pdev->dev.dma_parms);
	pdev->dev.dma_parms = NULL;
	platform_device_unregister(pdev);
}
module_exit(heap_map_exit);

MODULE_DESCRIPTION("An importer of dma-bufs for measurements and tests");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
