// SPDX-License-Identifier: GPL-2.0
/*
 * Which devices accept buffers of a heap?
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/types.h>
#include <linux/videodev2.h>

#include "dmaheap.h"

/*
 * From include/uapi/drm/drm.h, which is not installed on every machine. This is
 * the ABI of all DRM drivers.
 */
struct prime_handle {
	__u32 handle;
	__u32 flags;
	__s32 fd;
};

struct gem_close {
	__u32 handle;
	__u32 pad;
};

#define PRIME_FD_TO_HANDLE	_IOWR('d', 0x2e, struct prime_handle)
#define GEM_CLOSE		_IOW('d', 0x09, struct gem_close)
#define DROP_MASTER		_IO('d', 0x1f)

static const struct column columns[] = {
	{ "DEVICE", "device", COLUMN_TEXT },
	{ "WHAT", "what", COLUMN_TEXT },
	{ "TAKES IT", "takes", COLUMN_FLAG },
	{ "WHY", "why", COLUMN_TEXT },
};

/* Results that are not an errno of a device */
#define NOT_TRIED	-1
#define NO_BUFFER	-2
#define NO_QUEUE	-3

#define DRM_SIZE	((9 << 20) + 4096)

static const char *meaning(int error)
{
	switch (error) {
	case NOT_TRIED:
		return "not tried: it has no format yet, or one with several planes";
	case NO_BUFFER:
		return "not tried: the heap has no memory for a buffer";
	case NO_QUEUE:
		return "not tried: it has no queue of video";
	case EACCES:
	case EPERM:
		return "not tried: this user may not";
	case EBUSY:
		return "not tried: somebody else is using it";
	case EBADR:
		return "not tried: it takes buffers with a request only";
	case EINVAL:
		return "it cannot map such a buffer, or does not import DMA-BUFs";
	case ENOTTY:
		return "it does not import DMA-BUFs";
	case EOPNOTSUPP:
		return "it does not import DMA-BUFs, or snoops caches and the buffer is uncached";
	case ENOMEM:
		return "no memory, no room in the IOMMU or in swiotlb, or not contiguous for it";
	case EIO:
		return "its DMA mapping failed: not reachable for it";
	case EFAULT:
		return "not contiguous for a device without an IOMMU";
	case ENXIO:
	case ENODEV:
		return "not tried: there is no such device";
	default:
		return "something else is wrong";
	}
}

/* A device that could not be tried at all */
static void not_tried(const char *device, int error)
{
	char text[200];

	snprintf(text, sizeof(text), "not tried: %s", strerror(error));
	put_text(device);
	put_text("");
	put_flag(-1);
	put_text(text);
}

/* How many devices accepted a buffer, and how many rejected one */
static unsigned int nr_yes, nr_no;

static void result(const char *device, const char *what, int error)
{
	char text[200];

	put_text(device);
	put_text(what);
	if (error && !strncmp(meaning(error), "not tried", 9)) {
		put_flag(-1);
	} else {
		put_flag(!error);
		*(error ? &nr_no : &nr_yes) += 1;
	}
	if (error < 0)
		snprintf(text, sizeof(text), "%s", meaning(error));
	else if (error)
		snprintf(text, sizeof(text), "%s (%s)", meaning(error), strerror(error));
	put_text(error ? text : "");
}

/* The size of a buffer for the current format of the queue, or 0 */
static __u32 queue_size(int fd, __u32 type)
{
	struct v4l2_format format = { .type = type };

	if (ioctl(fd, VIDIOC_G_FMT, &format))
		return 0;
	if (V4L2_TYPE_IS_MULTIPLANAR(type))
		return format.fmt.pix_mp.num_planes == 1 ?
		       format.fmt.pix_mp.plane_fmt[0].sizeimage : 0;

	return format.fmt.pix.sizeimage;
}

static int queue_buffer(int fd, __u32 type, int heap)
{
	struct v4l2_requestbuffers request = {
		.count = 1, .type = type, .memory = V4L2_MEMORY_DMABUF,
	};
	struct v4l2_plane plane = {};
	struct v4l2_buffer buffer = { .type = type, .memory = V4L2_MEMORY_DMABUF };
	__u32 size = queue_size(fd, type);
	int dmabuf, error = size ? 0 : NOT_TRIED;

	if (error)
		return error;
	dmabuf = alloc_buffer(heap, size);
	if (dmabuf < 0)
		return NO_BUFFER;
	if (ioctl(fd, VIDIOC_REQBUFS, &request)) {
		error = errno;
		close(dmabuf);
		return error;
	}
	if (V4L2_TYPE_IS_MULTIPLANAR(type)) {
		buffer.m.planes = &plane;
		buffer.length = 1;
		plane.m.fd = dmabuf;
		plane.length = size;
		plane.bytesused = size;
	} else {
		buffer.m.fd = dmabuf;
		buffer.length = size;
		buffer.bytesused = size;
	}
	if (V4L2_TYPE_IS_OUTPUT(type))
		buffer.field = V4L2_FIELD_NONE;
	/* This maps it, too, and also works for queues that require requests. */
	if (ioctl(fd, VIDIOC_PREPARE_BUF, &buffer)) {
		error = errno;
		if (error == ENOTTY && !ioctl(fd, VIDIOC_QBUF, &buffer))
			error = 0;
		else if (error == ENOTTY)
			error = errno;
	}
	request.count = 0;
	ioctl(fd, VIDIOC_REQBUFS, &request);
	close(dmabuf);

	return error;
}

static void try_video(const char *path, int heap)
{
	static const struct {
		__u32 type;
		__u32 caps;
		const char *what;
	} queues[] = {
		{ V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_M2M,
		  "capture" },
		{ V4L2_BUF_TYPE_VIDEO_OUTPUT, V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_M2M,
		  "output" },
		{ V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
		  V4L2_CAP_VIDEO_CAPTURE_MPLANE | V4L2_CAP_VIDEO_M2M_MPLANE, "capture" },
		{ V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE,
		  V4L2_CAP_VIDEO_OUTPUT_MPLANE | V4L2_CAP_VIDEO_M2M_MPLANE, "output" },
	};
	struct v4l2_capability cap = {};
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	bool any = false;
	char what[100];
	__u32 caps;
	size_t i;

	if (fd < 0 || ioctl(fd, VIDIOC_QUERYCAP, &cap)) {
		not_tried(path, errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	caps = cap.capabilities & V4L2_CAP_DEVICE_CAPS ? cap.device_caps : cap.capabilities;
	for (i = 0; i < ARRAY_SIZE(queues); i++) {
		if (!(caps & queues[i].caps))
			continue;
		any = true;
		snprintf(what, sizeof(what), "%.31s %s", (const char *)cap.driver, queues[i].what);
		result(path, what, queue_buffer(fd, queues[i].type, heap));
	}
	if (!any)
		result(path, (const char *)cap.driver, NO_QUEUE);
	close(fd);
}

static void try_drm(const char *path, int heap)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), dmabuf, error = 0;
	struct prime_handle prime = {};
	struct gem_close gem = {};

	if (fd < 0) {
		not_tried(path, errno);
		return;
	}
	/* The first opener is DRM master, which would block a display server. */
	ioctl(fd, DROP_MASTER);
	/* too large for one chunk, unless the heap is contiguous */
	dmabuf = alloc_buffer(heap, DRM_SIZE);
	if (dmabuf < 0) {
		error = NO_BUFFER;
	} else {
		prime.fd = dmabuf;
		if (ioctl(fd, PRIME_FD_TO_HANDLE, &prime)) {
			error = errno;
		} else {
			gem.handle = prime.handle;
			ioctl(fd, GEM_CLOSE, &gem);
		}
		close(dmabuf);
	}
	result(path, "display or GPU", error);
	close(fd);
}

static unsigned int try_all(const char *folder, const char *prefix, int heap,
			    void (*try)(const char *path, int heap))
{
	struct dirent **entries;
	int i, nr = scandir(folder, &entries, NULL, versionsort);
	unsigned int tried = 0;
	char path[600];

	for (i = 0; i < nr; i++) {
		if (!strncmp(entries[i]->d_name, prefix, strlen(prefix))) {
			snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
			try(path, heap);
			tried++;
		}
		free(entries[i]);
	}
	if (nr >= 0)
		free(entries);

	return tried;
}

int cmd_import(int argc, char **argv)
{
	unsigned int tried;
	int heap;

	if (!only_common_options(argc, argv))
		return EXIT_USAGE;
	if (argc - optind != 1) {
		fputs("dmaheap: import takes a heap, see --help\n", stderr);
		return EXIT_USAGE;
	}
	out_begin("import");
	heap = open_heap(argv[optind]);
	if (heap < 0)
		die(EXIT_NO, "cannot open heap %s: %s; see dmaheap why", argv[optind],
		    strerror(errno));
	out_table("devices", columns, 4);
	tried = try_all("/dev", "video", heap, try_video);
	tried += try_all("/dev/dri", "card", heap, try_drm);
	tried += try_all("/dev/dri", "render", heap, try_drm);
	if (!tried)
		out_note("there is no /dev/video* and no /dev/dri/*");
	out_end();
	close(heap);

	return nr_yes ? 0 : nr_no || !tried ? EXIT_NO : EXIT_UNKNOWN;
}
