// SPDX-License-Identifier: GPL-2.0
/*
 * An importer for measurements: what is written to debugfs' heap_map does
 * something with a dma-buf, so many times.
 *
 *	map FD TIMES	attach, map, unmap, detach
 *	vmap FD TIMES	map for the kernel, unmap
 *	hold FD TIMES	attach and map that many times, until "drop"
 *	drop		take down what is held
 */

#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/iosys-map.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define MAX_HELD 64

struct mapping {
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
};

static struct platform_device *pdev;
static struct dentry *dir;
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

	return 0;
}
module_init(heap_map_init);

static void __exit heap_map_exit(void)
{
	debugfs_remove(dir);
	drop();
	kfree(pdev->dev.dma_parms);
	pdev->dev.dma_parms = NULL;
	platform_device_unregister(pdev);
}
module_exit(heap_map_exit);

MODULE_DESCRIPTION("An importer of dma-bufs for measurements");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
