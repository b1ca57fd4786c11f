// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers that devices use: a camera that needs contiguous memory (vivid with
 * allocators=1), and a converter that reads one buffer and writes another
 * through kernel mappings (vim2m)
 */

#define _GNU_SOURCE
#include <linux/udmabuf.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <sys/mman.h>

#include "fixture.h"

#define WIDTH	320
#define HEIGHT	240

/* Open a video node of a driver with @caps; -1 if there is none. */
static int open_video(const char *driver, __u32 caps)
{
	struct v4l2_capability cap;
	char path[32];
	int fd, i;

	for (i = 0; i < 32; i++) {
		snprintf(path, sizeof(path), "/dev/video%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			continue;
		if (!ioctl(fd, VIDIOC_QUERYCAP, &cap) &&
		    !strcmp((char *)cap.driver, driver) && (cap.device_caps & caps) == caps)
			return fd;
		close(fd);
	}

	return -1;
}

/* Return the size of a picture in bytes, or 0. */
static size_t set_format(int video, __u32 type, __u32 pixels)
{
	struct v4l2_format format = {
		.type = type,
		.fmt.pix = {
			.width = WIDTH,
			.height = HEIGHT,
			.pixelformat = pixels,
			.field = V4L2_FIELD_NONE,
		},
	};

	return ioctl(video, VIDIOC_S_FMT, &format) ? 0 : format.fmt.pix.sizeimage;
}

static int request(int video, __u32 type, unsigned int count)
{
	struct v4l2_requestbuffers buffers = {
		.type = type,
		.memory = V4L2_MEMORY_DMABUF,
		.count = count,
	};

	return ioctl(video, VIDIOC_REQBUFS, &buffers);
}

static int queue(int video, __u32 type, int index, int buf, size_t used)
{
	struct v4l2_buffer buffer = {
		.type = type,
		.memory = V4L2_MEMORY_DMABUF,
		.index = index,
		.m.fd = buf,
		.bytesused = used,
	};

	return ioctl(video, VIDIOC_QBUF, &buffer);
}

/* The index of a buffer that is done, or -1 when none is within ten seconds. */
static int dequeue(int video, __u32 type)
{
	struct v4l2_buffer buffer = { .type = type, .memory = V4L2_MEMORY_DMABUF };
	struct pollfd ready = { video, POLLIN };
	int i;

	for (i = 0; i < 1000; i++) {
		if (!ioctl(video, VIDIOC_DQBUF, &buffer))
			return buffer.flags & V4L2_BUF_FLAG_ERROR ? -1 : (int)buffer.index;
		if (errno != EAGAIN)
			return -1;
		/* poll() may return early: give the device some time */
		if (poll(&ready, 1, 10) == 1)
			usleep(10000);
	}

	return -1;
}

static int stream(int video, int type, bool on)
{
	return ioctl(video, on ? VIDIOC_STREAMON : VIDIOC_STREAMOFF, &type);
}

static int sync_buf(int buf, __u64 flags)
{
	return ioctl(buf, DMA_BUF_IOCTL_SYNC, &(struct dma_buf_sync) { .flags = flags });
}

/* How many values of 32 bits differ from the one before them. */
static size_t changes(const unsigned int *map, size_t bytes)
{
	size_t i, n = 0;

	for (i = 1; i < bytes / sizeof(*map); i++)
		n += map[i] != map[i - 1];

	return n;
}

/* Does the parameter of a module begin with @first? */
static bool parameter_begins(const char *module, const char *parameter, char first)
{
	char path[128];
	bool is = false;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, parameter);
	f = fopen(path, "re");
	if (f) {
		is = fgetc(f) == first;
		fclose(f);
	}

	return is;
}

/*
 * The camera writes its picture to a buffer of a contiguous heap.  It takes a
 * buffer of another heap only if that is contiguous by chance.
 */
TEST_F(heap, camera)
{
	const __u32 type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	int video = open_video("vivid", V4L2_CAP_VIDEO_CAPTURE), bufs[2], i, round, error;
	unsigned int *maps[2];
	size_t size;

	if (video < 0)
		SKIP(return, "there is no vivid");
	/* otherwise it accesses buffers through kernel mappings */
	if (!parameter_begins("vivid", "allocators", '1')) {
		close(video);
		SKIP(return, "vivid was not loaded with allocators=1");
	}
	/* PCs with 3 GiB have some of it above 4 GiB */
	if (mem_bytes("MemTotal") > 2ULL << 30) {
		close(video);
		SKIP(return, "vivid reaches the first 4 GiB only, and pictures do not bounce");
	}
	/* the driver may choose another size */
	size = set_format(video, type, V4L2_PIX_FMT_RGB32);
	if (!size || request(video, type, 2)) {
		close(video);
		SKIP(return, "vivid cannot take dma-bufs: %s", strerror(errno));
	}
	for (i = 0; i < 2; i++) {
		bufs[i] = heap_alloc(self->heap, size);
		ASSERT_LE(0, bufs[i]);
		maps[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bufs[i], 0);
		ASSERT_NE(MAP_FAILED, maps[i]);
		EXPECT_EQ(0, changes(maps[i], size));
	}
	if (queue(video, type, 0, bufs[0], 0)) {
		error = errno;
		EXPECT_FALSE(heap_is_contiguous(self->name)) {
			TH_LOG("refused: %s", strerror(error));
		}
		EXPECT_TRUE(error == EFAULT || error == EINVAL || error == EIO);
		goto out;
	}
	if (queue(video, type, 1, bufs[1], 0)) {
		EXPECT_FALSE(heap_is_contiguous(self->name));
		goto out;
	}
	ASSERT_EQ(0, stream(video, type, true));
	for (round = 0; round < 4; round++) {
		i = dequeue(video, type);
		ASSERT_LE(0, i);
		EXPECT_EQ(0, sync_buf(bufs[i], DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW));
		/* colour bars in every line */
		EXPECT_LT(HEIGHT, changes(maps[i], size));
		memset(maps[i], 0, size);
		EXPECT_EQ(0, sync_buf(bufs[i], DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW));
		ASSERT_EQ(0, queue(video, type, i, bufs[i], 0));
	}
	EXPECT_EQ(0, stream(video, type, false));
out:
	/* drops the references and mappings of the camera */
	EXPECT_EQ(0, request(video, type, 0));
	close(video);
	for (i = 0; i < 2; i++) {
		munmap(maps[i], size);
		close(bufs[i]);
	}
}

/* Create a udmabuf of @size bytes. */
static int anonymous(size_t size)
{
	struct udmabuf_create create = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), buf = -1;

	create.memfd = memfd_create("device", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (dev >= 0 && (int)create.memfd >= 0 && !ftruncate(create.memfd, size) &&
	    !fcntl(create.memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		buf = ioctl(dev, UDMABUF_CREATE, &create);
	if (dev >= 0)
		close(dev);
	if ((int)create.memfd >= 0)
		close(create.memfd);

	return buf;
}

/*
 * The CPU writes one buffer, the converter copies it to the other, and the CPU
 * reads that.  Close both.  An fd of -1 fails the test.
 */
static void convert(struct __test_metadata *_metadata, size_t size, int from, int to)
{
	const __u32 out = V4L2_BUF_TYPE_VIDEO_OUTPUT, in = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	int video = open_video("vim2m", V4L2_CAP_VIDEO_M2M);
	unsigned int *source, *target;
	size_t i;

	ASSERT_LE(0, video);
	ASSERT_LE(0, from);
	ASSERT_LE(0, to);
	ASSERT_EQ(size, set_format(video, out, V4L2_PIX_FMT_RGB565));
	ASSERT_EQ(size, set_format(video, in, V4L2_PIX_FMT_RGB565));
	source = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, from, 0);
	target = mmap(NULL, size, PROT_READ, MAP_SHARED, to, 0);
	ASSERT_NE(MAP_FAILED, source);
	ASSERT_NE(MAP_FAILED, target);

	EXPECT_EQ(0, sync_buf(from, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE));
	for (i = 0; i < size / sizeof(*source); i++)
		source[i] = i * 2654435761U;
	EXPECT_EQ(0, sync_buf(from, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE));

	ASSERT_EQ(0, request(video, out, 1));
	ASSERT_EQ(0, request(video, in, 1));
	ASSERT_EQ(0, queue(video, out, 0, from, size));
	ASSERT_EQ(0, queue(video, in, 0, to, 0));
	ASSERT_EQ(0, stream(video, out, true));
	ASSERT_EQ(0, stream(video, in, true));
	EXPECT_EQ(0, dequeue(video, in));
	EXPECT_EQ(0, sync_buf(to, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, memcmp(source, target, size));
	EXPECT_EQ(0, sync_buf(to, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, stream(video, out, false));
	EXPECT_EQ(0, stream(video, in, false));
	EXPECT_EQ(0, request(video, out, 0));
	EXPECT_EQ(0, request(video, in, 0));
	munmap(source, size);
	munmap(target, size);
	close(from);
	close(to);
	close(video);
}

/* Return the size of the converter's buffers, or 0 if it cannot copy. */
static size_t convertible(void)
{
	int video = open_video("vim2m", V4L2_CAP_VIDEO_M2M);
	size_t size = 0;

	if (video < 0)
		return 0;
	size = set_format(video, V4L2_BUF_TYPE_VIDEO_OUTPUT, V4L2_PIX_FMT_RGB565);
	if (set_format(video, V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_PIX_FMT_RGB565) != size)
		size = 0;
	close(video);

	return size;
}

/* From the heap to the heap. */
TEST_F(heap, converter)
{
	const size_t size = convertible();

	if (!size)
		SKIP(return, "there is no vim2m, or it does not copy");
	convert(_metadata, size, heap_alloc(self->heap, size), heap_alloc(self->heap, size));
}

/* From udmabuf to the heap, and from the heap to udmabuf. */
TEST_F(heap, converter_and_udmabuf)
{
	const size_t size = convertible(), pages = (size + self->page - 1) / self->page;

	if (!size)
		SKIP(return, "there is no vim2m, or it does not copy");
	if (access("/dev/udmabuf", R_OK | W_OK))
		SKIP(return, "there is no udmabuf to use");
	convert(_metadata, size, anonymous(pages * self->page), heap_alloc(self->heap, size));
	convert(_metadata, size, heap_alloc(self->heap, size), anonymous(pages * self->page));
}

TEST_HARNESS_MAIN
