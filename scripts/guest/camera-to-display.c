// SPDX-License-Identifier: GPL-2.0
/*
 * usage: camera-to-display [--copy|--mirror] HEAP FRAMES
 *
 * vivid's camera writes frames into buffers of a heap, and a display shows the
 * same buffers, page flip by page flip. Prints a line: frames, frames per second,
 * bytes that this program copied for each frame, mappings of buffers that it has,
 * page faults that it took in all, and nanoseconds of the CPU for each frame.
 *
 *   --copy     for comparison, without shared buffers: the program maps what the
 *              camera wrote, and copies it into the display's own memory
 *   --mirror   vim2m, which stands for a scaler or codec, reads what the camera
 *              wrote and writes it mirrored into other buffers of the heap, which
 *              the display shows
 *
 * Exit status 0 when all frames were shown, 1 when something failed, and 2 when one
 * of the devices does not take the buffers of this heap.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>

#define WIDTH	640
#define HEIGHT	480
#define BUFFERS	4
/* vim2m's control of how long a frame takes, which is no part of the uapi */
#define VIM2M_MSEC	(V4L2_CID_USER_BASE + 0x1000)

enum path { DIRECT, COPY, MIRROR };

static const char * const path_names[] = { "shared", "copied", "mirrored" };

struct buffer {
	int fd;
	uint32_t fb;
	/* of what the camera writes, with --copy */
	void *map;
};

static struct {
	enum path path;
	int camera, mirror, display, heap;
	uint32_t crtc, connector;
	struct drm_mode_modeinfo mode;
	uint32_t pitch, size;
	/* what the camera writes; without --copy and --mirror the display shows them */
	struct buffer buffers[BUFFERS];
	/* with --mirror, what the display shows */
	struct buffer mirrored[BUFFERS];
	/* with --copy, the display's own */
	struct buffer own[2];
	unsigned long long copied;
} s = { .camera = -1, .mirror = -1, .display = -1, .heap = -1 };

static const char *heap_name;

static void out(int status, const char *what)
{
	if (errno)
		printf("%-28s %s: %s\n", heap_name, what, strerror(errno));
	else
		printf("%-28s %s\n", heap_name, what);
	exit(status);
}

/* The device needs contiguous buffers, and the heap does not promise them. */
static void refused(const char *what)
{
	char text[200];

	snprintf(text, sizeof(text), "%s refuses buffers that are not contiguous", what);
	out(2, text);
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);

	return t.tv_sec + t.tv_nsec / 1e9;
}

/* The first video device of that driver which can do that */
static int open_video(const char *driver, uint32_t caps)
{
	struct v4l2_capability cap;
	char path[32];
	int i, fd;

	for (i = 0; i < 64; i++) {
		snprintf(path, sizeof(path), "/dev/video%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!ioctl(fd, VIDIOC_QUERYCAP, &cap) && !strcmp((char *)cap.driver, driver) &&
		    (cap.device_caps & caps))
			return fd;
		close(fd);
	}
	errno = 0;
	out(1, driver);

	return -1;
}

/* Set the format, and take BUFFERS buffers of others. vim2m has no format of 32 bits. */
static void set_up(int video, uint32_t type)
{
	struct v4l2_format fmt = { .type = type };
	struct v4l2_requestbuffers req = {
		.count = BUFFERS, .type = type, .memory = V4L2_MEMORY_DMABUF,
	};
	uint32_t format = s.path == MIRROR ? V4L2_PIX_FMT_RGB565 : V4L2_PIX_FMT_XBGR32;

	fmt.fmt.pix.width = WIDTH;
	fmt.fmt.pix.height = HEIGHT;
	fmt.fmt.pix.pixelformat = format;
	fmt.fmt.pix.field = V4L2_FIELD_NONE;
	if (ioctl(video, VIDIOC_S_FMT, &fmt))
		out(1, "a video device's format");
	if (fmt.fmt.pix.width != WIDTH || fmt.fmt.pix.height != HEIGHT ||
	    fmt.fmt.pix.pixelformat != format || (s.size && fmt.fmt.pix.sizeimage != s.size)) {
		errno = 0;
		out(1, "a video device does not have the format");
	}
	s.pitch = fmt.fmt.pix.bytesperline;
	s.size = fmt.fmt.pix.sizeimage;
	if (ioctl(video, VIDIOC_REQBUFS, &req) || req.count != BUFFERS)
		out(1, "a video device's queue");
}

static void open_camera(void)
{
	struct v4l2_streamparm parm = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .parm.capture.timeperframe = { 1, 30 },
	};

	s.camera = open_video("vivid", V4L2_CAP_VIDEO_CAPTURE);
	set_up(s.camera, V4L2_BUF_TYPE_VIDEO_CAPTURE);
	if (ioctl(s.camera, VIDIOC_S_PARM, &parm))
		out(1, "the camera's frames per second");
}

static void open_mirror(void)
{
	struct v4l2_control flip = { .id = V4L2_CID_HFLIP, .value = 1 };
	struct v4l2_control fast = { .id = VIM2M_MSEC, .value = 1 };

	s.mirror = open_video("vim2m", V4L2_CAP_VIDEO_M2M);
	set_up(s.mirror, V4L2_BUF_TYPE_VIDEO_OUTPUT);
	set_up(s.mirror, V4L2_BUF_TYPE_VIDEO_CAPTURE);
	if (ioctl(s.mirror, VIDIOC_S_CTRL, &flip) || ioctl(s.mirror, VIDIOC_S_CTRL, &fast))
		out(1, "vim2m does not mirror");
}

/* The first mode of that size, of a connector with a display */
static bool find_mode(uint32_t connector)
{
	struct drm_mode_get_connector c = { .connector_id = connector };
	struct drm_mode_modeinfo modes[64];
	uint32_t i;

	if (ioctl(s.display, DRM_IOCTL_MODE_GETCONNECTOR, &c))
		return false;
	c.modes_ptr = (uintptr_t)modes;
	if (c.count_modes > 64)
		c.count_modes = 64;
	c.count_props = 0;
	c.count_encoders = 0;
	if (ioctl(s.display, DRM_IOCTL_MODE_GETCONNECTOR, &c))
		return false;
	/* "connected" */
	for (i = 0; c.connection == 1 && i < c.count_modes && i < 64; i++) {
		if (modes[i].hdisplay == WIDTH && modes[i].vdisplay == HEIGHT) {
			s.mode = modes[i];
			s.connector = connector;
			return true;
		}
	}

	return false;
}

static void open_display(void)
{
	struct drm_mode_card_res res;
	uint32_t crtcs[8], connectors[8], i;
	char path[32];
	int card;

	for (card = 0; card < 8; card++) {
		snprintf(path, sizeof(path), "/dev/dri/card%d", card);
		s.display = open(path, O_RDWR | O_CLOEXEC);
		if (s.display < 0)
			continue;
		memset(&res, 0, sizeof(res));
		res.crtc_id_ptr = (uintptr_t)crtcs;
		res.connector_id_ptr = (uintptr_t)connectors;
		res.count_crtcs = 8;
		res.count_connectors = 8;
		if (!ioctl(s.display, DRM_IOCTL_MODE_GETRESOURCES, &res) && res.count_crtcs) {
			for (i = 0; i < res.count_connectors && i < 8; i++) {
				s.crtc = crtcs[0];
				if (find_mode(connectors[i]))
					return;
			}
		}
		close(s.display);
		s.display = -1;
	}
	errno = 0;
	out(1, "there is no display with 640x480");
}

static void add_fb(struct buffer *b, uint32_t handle, uint32_t pitch)
{
	struct drm_mode_fb_cmd2 fb = {
		.width = WIDTH, .height = HEIGHT,
		.pixel_format = s.path == MIRROR ? DRM_FORMAT_RGB565 : DRM_FORMAT_XRGB8888,
		.handles = { handle }, .pitches = { pitch },
	};

	if (ioctl(s.display, DRM_IOCTL_MODE_ADDFB2, &fb))
		out(1, "the display does not take the format");
	b->fb = fb.fb_id;
}

/* A buffer of the heap, which the display is to show, or the program to read */
static void add_buffer(struct buffer *b, bool shown, bool mapped)
{
	struct dma_heap_allocation_data alloc = { .len = s.size, .fd_flags = O_RDWR | O_CLOEXEC };
	struct drm_prime_handle prime = {};

	if (ioctl(s.heap, DMA_HEAP_IOCTL_ALLOC, &alloc))
		out(1, "allocation");
	b->fd = alloc.fd;
	if (mapped) {
		b->map = mmap(NULL, s.size, PROT_READ, MAP_SHARED, b->fd, 0);
		if (b->map == MAP_FAILED)
			out(1, "mmap");
	}
	if (shown) {
		prime.fd = b->fd;
		if (ioctl(s.display, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime))
			refused("the display");
		add_fb(b, prime.handle, s.pitch);
	}
}

static void add_own(struct buffer *b)
{
	struct drm_mode_create_dumb dumb = { .width = WIDTH, .height = HEIGHT, .bpp = 32 };
	struct drm_mode_map_dumb map = {};

	if (ioctl(s.display, DRM_IOCTL_MODE_CREATE_DUMB, &dumb))
		out(1, "the display's memory");
	map.handle = dumb.handle;
	if (ioctl(s.display, DRM_IOCTL_MODE_MAP_DUMB, &map))
		out(1, "the display's memory");
	b->map = mmap(NULL, dumb.size, PROT_READ | PROT_WRITE, MAP_SHARED, s.display, map.offset);
	if (b->map == MAP_FAILED)
		out(1, "mmap of the display's memory");
	add_fb(b, dumb.handle, dumb.pitch);
	if (dumb.pitch != s.pitch) {
		errno = 0;
		out(1, "the display has longer lines");
	}
}

static void queue(int video, uint32_t type, const struct buffer *buffers, unsigned int i)
{
	struct v4l2_buffer vb = {
		.type = type, .memory = V4L2_MEMORY_DMABUF, .index = i, .m.fd = buffers[i].fd,
		.length = s.size, .bytesused = s.size, .field = V4L2_FIELD_NONE,
	};

	if (ioctl(video, VIDIOC_QBUF, &vb))
		refused(video == s.camera ? "the camera" : "vim2m");
}

static unsigned int dequeue(int video, uint32_t type)
{
	struct v4l2_buffer vb = { .type = type, .memory = V4L2_MEMORY_DMABUF };

	if (ioctl(video, VIDIOC_DQBUF, &vb))
		out(1, "no frame");

	return vb.index;
}

static void start(int video, int type)
{
	if (ioctl(video, VIDIOC_STREAMON, &type))
		out(1, "a video device does not start");
}

/* Copy a frame into the display's memory, with the CPU. */
static void copy_frame(struct buffer *to, const struct buffer *from)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };

	if (ioctl(from->fd, DMA_BUF_IOCTL_SYNC, &sync))
		out(1, "sync");
	memcpy(to->map, from->map, s.size);
	s.copied += s.size;
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
	if (ioctl(from->fd, DMA_BUF_IOCTL_SYNC, &sync))
		out(1, "sync");
}

/* Show it from the next vertical blanking on; the first one sets the mode. */
static void show(uint32_t fb)
{
	struct drm_mode_crtc_page_flip flip = {
		.crtc_id = s.crtc, .fb_id = fb, .flags = DRM_MODE_PAGE_FLIP_EVENT,
	};
	struct drm_mode_crtc crtc = {
		.crtc_id = s.crtc, .fb_id = fb, .mode_valid = 1, .count_connectors = 1,
		.set_connectors_ptr = (uintptr_t)&s.connector, .mode = s.mode,
	};
	static bool is_on;
	char events[256];

	if (!is_on) {
		is_on = true;
		if (ioctl(s.display, DRM_IOCTL_MODE_SETCRTC, &crtc))
			out(1, "the display does not show the buffer");
		return;
	}
	if (ioctl(s.display, DRM_IOCTL_MODE_PAGE_FLIP, &flip))
		out(1, "page flip");
	if (read(s.display, events, sizeof(events)) <= 0)
		out(1, "no event of the page flip");
}

/* Mappings of buffers or of video devices that this program has */
static int mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, "dmabuf") || strstr(line, "/dev/video") || strstr(line, "/dev/dri");
	if (f)
		fclose(f);

	return n;
}

/*
 * Get a frame and show it. What the display leaves then, by the index that this
 * returned for the frame before, goes back to whoever writes it.
 */
static unsigned int next_frame(unsigned int frame, unsigned int shown)
{
	const uint32_t in = V4L2_BUF_TYPE_VIDEO_OUTPUT, capture = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	unsigned int i = dequeue(s.camera, capture), j;

	switch (s.path) {
	case COPY:
		copy_frame(&s.own[frame % 2], &s.buffers[i]);
		queue(s.camera, capture, s.buffers, i);
		show(s.own[frame % 2].fb);
		return UINT_MAX;
	case MIRROR:
		queue(s.mirror, in, s.buffers, i);
		j = dequeue(s.mirror, capture);
		dequeue(s.mirror, in);
		queue(s.camera, capture, s.buffers, i);
		show(s.mirrored[j].fb);
		if (shown != UINT_MAX)
			queue(s.mirror, capture, s.mirrored, shown);
		return j;
	default:
		show(s.buffers[i].fb);
		if (shown != UINT_MAX)
			queue(s.camera, capture, s.buffers, shown);
		return i;
	}
}

int main(int argc, char **argv)
{
	unsigned int i, frame, frames, shown = UINT_MAX;
	double begin = 0, cpu = 0, took;
	struct rusage a, b;
	char path[300];

	if (argc == 4 && !strcmp(argv[1], "--copy"))
		s.path = COPY;
	else if (argc == 4 && !strcmp(argv[1], "--mirror"))
		s.path = MIRROR;
	if (argc != 3 + (s.path != DIRECT)) {
		fprintf(stderr, "usage: %s [--copy|--mirror] HEAP FRAMES\n", argv[0]);
		return 1;
	}
	heap_name = argv[argc - 2];
	frames = atoi(argv[argc - 1]);
	snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap_name);
	s.heap = open(path, O_RDWR | O_CLOEXEC);
	if (s.heap < 0)
		out(1, path);
	open_display();
	open_camera();
	if (s.path == MIRROR)
		open_mirror();
	for (i = 0; i < BUFFERS; i++) {
		add_buffer(&s.buffers[i], s.path == DIRECT, s.path == COPY);
		queue(s.camera, V4L2_BUF_TYPE_VIDEO_CAPTURE, s.buffers, i);
	}
	for (i = 0; i < BUFFERS && s.path == MIRROR; i++) {
		add_buffer(&s.mirrored[i], true, false);
		queue(s.mirror, V4L2_BUF_TYPE_VIDEO_CAPTURE, s.mirrored, i);
	}
	for (i = 0; i < 2 && s.path == COPY; i++)
		add_own(&s.own[i]);
	start(s.camera, V4L2_BUF_TYPE_VIDEO_CAPTURE);
	if (s.path == MIRROR) {
		start(s.mirror, V4L2_BUF_TYPE_VIDEO_OUTPUT);
		start(s.mirror, V4L2_BUF_TYPE_VIDEO_CAPTURE);
	}

	/* the first one sets the mode, and is not counted */
	for (frame = 0; frame <= frames; frame++) {
		if (frame == 1) {
			begin = seconds(CLOCK_MONOTONIC);
			cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
			getrusage(RUSAGE_SELF, &a);
			s.copied = 0;
		}
		shown = next_frame(frame, shown);
	}
	took = seconds(CLOCK_MONOTONIC) - begin;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	getrusage(RUSAGE_SELF, &b);
	printf("%-28s %-8s %6u %6.1f %12llu %8d %6ld %19.0f\n", heap_name, path_names[s.path],
	       frames, frames / took, s.copied / frames, mappings(),
	       b.ru_minflt - a.ru_minflt + b.ru_majflt - a.ru_majflt, cpu / frames * 1e9);

	return 0;
}
