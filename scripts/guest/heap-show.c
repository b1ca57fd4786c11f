// SPDX-License-Identifier: GPL-2.0
/*
 * Shows every DMA-BUF heap at work: allocate a buffer, map, fill, sync and
 * verify it, give it to the importers of this machine, free it, and print a
 * line about it.  Exit status 1 when a heap failed at anything it should do.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <drm/drm.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>

#define HEAPS "/dev/dma_heap"

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int sync_buf(int buf, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_RW };

	return ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync);
}

/* What is no fault of a heap that does not promise contiguous buffers. */
static const char not_contiguous[] = "not contiguous";

/* NULL, or what went wrong */
static const char *fill_and_verify(int buf, size_t size)
{
	uint32_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	const char *bad = NULL;
	size_t i, n = size / sizeof(*p);

	if (p == MAP_FAILED)
		return "mmap";
	if (sync_buf(buf, DMA_BUF_SYNC_START))
		bad = "sync start";
	for (i = 0; i < n && !bad; i++)
		if (p[i])
			bad = "not zeroed";
	for (i = 0; i < n; i++)
		p[i] = i * 2654435761u;
	if (!bad && (sync_buf(buf, DMA_BUF_SYNC_END) || sync_buf(buf, DMA_BUF_SYNC_START)))
		bad = "sync";
	for (i = 0; i < n && !bad; i++)
		if (p[i] != (uint32_t)(i * 2654435761u))
			bad = "contents";
	if (!bad && sync_buf(buf, DMA_BUF_SYNC_END))
		bad = "sync end";
	munmap(p, size);
	return bad;
}

/* vgem takes the buffer by its handle; it attaches and does not map it. */
static const char *import_vgem(int buf)
{
	struct drm_prime_handle prime = { .fd = buf };
	int drm = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
	const char *result = "ok";

	if (drm < 0)
		return "-";
	if (ioctl(drm, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime))
		result = strerror(errno);
	close(drm);
	return result;
}

/*
 * vivid's virtual camera maps the buffer for DMA and writes frames to it.  It
 * wants one contiguous run.
 */
static const char *camera_frame(const char *video, int heap)
{
	struct v4l2_format fmt = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	struct v4l2_requestbuffers req = {
		.count = 1, .type = fmt.type, .memory = V4L2_MEMORY_DMABUF,
	};
	struct v4l2_buffer vb = { .type = fmt.type, .memory = V4L2_MEMORY_DMABUF };
	struct dma_heap_allocation_data alloc = { .fd_flags = O_RDWR | O_CLOEXEC };
	int dev = open(video, O_RDWR | O_CLOEXEC), bufs[2] = { -1, -1 };
	const char *result = NULL;
	unsigned char *p;
	unsigned int i;

	if (dev < 0)
		return "-";
	if (ioctl(dev, VIDIOC_G_FMT, &fmt) || ioctl(dev, VIDIOC_REQBUFS, &req)) {
		result = "no such camera";
		goto out;
	}
	if (req.count > 2)
		req.count = 2;
	for (i = 0; i < req.count && !result; i++) {
		alloc.fd = 0;
		alloc.len = fmt.fmt.pix.sizeimage;
		if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &alloc)) {
			result = "allocation failed";
			break;
		}
		bufs[i] = alloc.fd;
		vb.index = i;
		vb.m.fd = alloc.fd;
		vb.length = alloc.len;
		if (ioctl(dev, VIDIOC_QBUF, &vb))
			result = not_contiguous;
	}
	if (result)
		goto out;
	if (ioctl(dev, VIDIOC_STREAMON, &fmt.type) || ioctl(dev, VIDIOC_DQBUF, &vb)) {
		result = "no frame";
		goto out;
	}
	p = mmap(NULL, alloc.len, PROT_READ, MAP_SHARED, bufs[vb.index], 0);
	result = "frame is empty";
	if (p == MAP_FAILED) {
		result = "mmap";
		goto out;
	}
	for (i = 0; i < alloc.len; i++)
		if (p[i] && p[i] != p[0])
			result = "ok";
	munmap(p, alloc.len);
out:
	close(dev);
	for (i = 0; i < 2; i++)
		if (bufs[i] >= 0)
			close(bufs[i]);
	return result;
}

/* The first capture device of the driver vivid. */
static const char *find_camera(void)
{
	static char path[32];
	struct v4l2_capability cap;
	int i, fd, ok;

	for (i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), "/dev/video%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		ok = !ioctl(fd, VIDIOC_QUERYCAP, &cap) && !strcmp((char *)cap.driver, "vivid") &&
		     (cap.device_caps & V4L2_CAP_VIDEO_CAPTURE);
		close(fd);
		if (ok)
			return path;
	}
	return "/dev/null/none";
}

static int show(const char *name, size_t size)
{
	struct dma_heap_allocation_data alloc = {
		.len = size, .fd_flags = O_RDWR | O_CLOEXEC,
	};
	const char *bad, *vgem, *camera;
	char path[300];
	double start;
	int heap;

	snprintf(path, sizeof(path), HEAPS "/%s", name);
	heap = open(path, O_RDONLY | O_CLOEXEC);
	if (heap < 0) {
		printf("%-28s %8s  cannot be opened: %s\n", name, "", strerror(errno));
		return 1;
	}
	start = now_ms();
	if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &alloc)) {
		printf("%-28s %5zu KiB  allocation: %s\n", name, size >> 10, strerror(errno));
		close(heap);
		return 1;
	}
	bad = fill_and_verify(alloc.fd, size);
	start = now_ms() - start;
	vgem = import_vgem(alloc.fd);
	close(alloc.fd);
	camera = camera_frame(find_camera(), heap);
	close(heap);
	printf("%-28s %5zu KiB  %-10s %8.2f ms  %-8s %s\n", name, size >> 10,
	       bad ? bad : "ok", start, vgem, camera);
	return bad || (strcmp(vgem, "ok") && strcmp(vgem, "-")) ||
	       (strcmp(camera, "ok") && strcmp(camera, "-") && camera != not_contiguous);
}

int main(void)
{
	static const size_t sizes[] = { 4 << 10, 1 << 20, 8 << 20 };
	struct dirent **names;
	int n = scandir(HEAPS, &names, NULL, alphasort), heaps = 0, rc = 0;
	unsigned int s;

	if (n < 0) {
		perror(HEAPS);
		return 1;
	}
	printf("%-28s %9s  %-10s %11s  %-8s %s\n", "HEAP", "SIZE", "RESULT", "TIME", "VGEM", "VIVID CAMERA");
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] == '.')
			continue;
		heaps++;
		for (s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
			rc |= show(names[i]->d_name, sizes[s]);
	}
	if (!heaps)
		printf("there is no heap in " HEAPS "\n");
	return rc || !heaps;
}
