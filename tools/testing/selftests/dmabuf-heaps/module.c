// SPDX-License-Identifier: GPL-2.0
/*
 * Heap modules: loading and unloading with open nodes, with buffers in use, and
 * during allocations.  Needs the right to load modules, modules that are not
 * compressed, and DMABUF_DISRUPT=1 in the environment.
 */

#define _GNU_SOURCE
#include <linux/netlink.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "heap.h"
#include "kselftest_harness.h"

/* DMABUF_MODULE_ROUNDS in the environment overrides it. */
#define ROUNDS 1000

FIXTURE(module)
{
	char path[512];
	bool ours;
	long page;
	int fds;
};

FIXTURE_VARIANT(module)
{
	const char *module;
	const char *heap;
};

FIXTURE_VARIANT_ADD(module, system)
{
	.module = "system_heap",
	.heap = "system",
};

FIXTURE_VARIANT_ADD(module, default_cma_region)
{
	.module = "cma_heap",
	.heap = "default_cma_region",
};

static int load(const char *path)
{
	int fd, ret;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, "", 0);
	close(fd);

	return ret;
}

static int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK);
}

/* Every test begins with the module unloaded. */
FIXTURE_SETUP(module)
{
	bool loaded;
	int heap;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	module_path(self->path, sizeof(self->path), variant->module);
	if (access(self->path, R_OK))
		SKIP(return, "%s: %s", self->path, strerror(errno));
	loaded = !unload(variant->module);
	if (!loaded && errno != ENOENT)
		SKIP(return, "cannot unload %s: %s", variant->module, strerror(errno));
	if (load(self->path)) {
		ASSERT_FALSE(loaded) {
			TH_LOG("cannot load %s again: %s", variant->module, strerror(errno));
		}
		SKIP(return, "cannot load %s: %s", variant->module, strerror(errno));
	}
	self->ours = true;
	heap = heap_open(variant->heap);
	if (heap < 0)
		SKIP(return, "%s brings no heap %s here", variant->module, variant->heap);
	close(heap);
	ASSERT_EQ(0, unload(variant->module));

	self->page = sysconf(_SC_PAGESIZE);
	self->fds = count_fds();
	ASSERT_LT(0, self->fds);
}

FIXTURE_TEARDOWN(module)
{
	if (!self->ours)
		return;
	if (self->fds)
		EXPECT_EQ(self->fds, count_fds());
	/* other tests need the heap */
	if (load(self->path))
		EXPECT_EQ(EEXIST, errno);
}

/* An open node does not prevent unloading, and fails with ENODEV after that. */
TEST_F(module, node_open)
{
	char again[64], path[300];
	int heap, counters;

	ASSERT_EQ(0, load(self->path));
	heap = heap_open(variant->heap);
	ASSERT_LE(0, heap);
	snprintf(path, sizeof(path), "/sys/kernel/debug/dma_heap/%s", variant->heap);
	counters = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(0, unload(variant->module)) {
		TH_LOG("%s", strerror(errno));
	}

	/* the file in debugfs holds the counters, if there is debugfs */
	if (counters >= 0) {
		EXPECT_LT(0, read(counters, path, sizeof(path)));
		close(counters);
	}

	EXPECT_ERRNO(ENODEV, heap_alloc(heap, self->page));
	EXPECT_ERRNO(ENODEV, ioctl(heap, 0, NULL));
	EXPECT_ERRNO(ENOENT, heap_open(variant->heap));
	/* open it again through its inode */
	snprintf(again, sizeof(again), "/proc/self/fd/%d", heap);
	EXPECT_ERRNO(ENODEV, open(again, O_RDONLY | O_CLOEXEC));

	/* the open file does not refer to the new heap */
	ASSERT_EQ(0, load(self->path));
	EXPECT_ERRNO(ENODEV, heap_alloc(heap, self->page));
	close(heap);
	EXPECT_EQ(0, unload(variant->module));
}

/* A buffer prevents unloading, and the heap still allocates. */
TEST_F(module, buffer_in_use)
{
	int heap, buf, more;
	char *map;

	ASSERT_EQ(0, load(self->path));
	heap = heap_open(variant->heap);
	ASSERT_LE(0, heap);
	buf = heap_alloc(heap, self->page);
	ASSERT_LE(0, buf);
	map = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(buf);

	/* a mapping keeps the buffer in use without an fd */
	EXPECT_ERRNO(EWOULDBLOCK, unload(variant->module));
	memset(map, 0x5a, self->page);
	EXPECT_EQ(0x5a, map[self->page - 1]);
	more = heap_alloc(heap, self->page);
	EXPECT_LE(0, more);
	close(more);
	close(heap);

	munmap(map, self->page);
	EXPECT_EQ(0, unload(variant->module)) {
		TH_LOG("%s", strerror(errno));
	}
}

/* Repeat the above, so that a leak in each round shows. */
TEST_F_TIMEOUT(module, again_and_again, 900)
{
	const char *rounds = getenv("DMABUF_MODULE_ROUNDS");
	const int nr = rounds ? atoi(rounds) : ROUNDS;
	int heap, buf, i;
	char *map;

	for (i = 0; i < nr; i++) {
		ASSERT_EQ(0, load(self->path)) {
			TH_LOG("round %d: %s", i, strerror(errno));
		}
		heap = heap_open(variant->heap);
		ASSERT_LE(0, heap);
		buf = heap_alloc(heap, self->page);
		ASSERT_LE(0, buf);
		map = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
		ASSERT_NE(MAP_FAILED, map);
		close(buf);
		ASSERT_EQ(-1, unload(variant->module));
		*map = 1;
		munmap(map, self->page);
		ASSERT_EQ(0, unload(variant->module));
		ASSERT_EQ(-1, heap_alloc(heap, self->page));
		ASSERT_EQ(ENODEV, errno);
		close(heap);
	}
}

struct hammer {
	const char *heap;
	long page;
	atomic_bool stop;
	unsigned long allocated;
	unsigned long refused;
	int error;
};

static void *hammer(void *data)
{
	struct hammer *h = data;
	int heap, buf;

	while (!atomic_load(&h->stop)) {
		heap = heap_open(h->heap);
		if (heap < 0) {
			if (errno != ENOENT && errno != ENXIO && errno != ENODEV)
				h->error = errno;
			continue;
		}
		while (!atomic_load(&h->stop)) {
			buf = heap_alloc(heap, h->page);
			if (buf < 0) {
				if (errno != ENODEV)
					h->error = errno;
				h->refused++;
				break;
			}
			h->allocated++;
			close(buf);
		}
		close(heap);
	}

	return NULL;
}

/* A thread that allocates meanwhile gets buffers or ENODEV. */
TEST_F_TIMEOUT(module, while_allocating, 300)
{
	struct hammer h = { .heap = variant->heap, .page = self->page };
	int i, tries, unloaded = 0;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, hammer, &h));
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, load(self->path));
		/* unloading fails while a buffer exists, as one mostly does */
		for (tries = 0; tries < 20000; tries++) {
			if (!unload(variant->module)) {
				unloaded++;
				break;
			}
			ASSERT_EQ(EWOULDBLOCK, errno);
		}
		if (tries == 20000)
			break;
	}
	atomic_store(&h.stop, true);
	pthread_join(thread, NULL);
	if (unloaded < 200)
		EXPECT_EQ(0, unload(variant->module));

	EXPECT_EQ(0, h.error) {
		TH_LOG("%s", strerror(h.error));
	}
	TH_LOG("%d times unloaded, %lu buffers, %lu times refused", unloaded, h.allocated,
	       h.refused);
	EXPECT_LT(0, unloaded);
	EXPECT_LT(0, h.allocated);
}

/* Wait for an event of the heap's device. */
static bool event(int sock, const char *action, const char *heap)
{
	char want[300], msg[8192];
	ssize_t n;

	snprintf(want, sizeof(want), "%s@/devices/virtual/dma_heap/%s", action, heap);
	for (;;) {
		n = recv(sock, msg, sizeof(msg) - 1, 0);
		if (n < 0)
			return false;
		msg[n] = '\0';
		if (!strcmp(msg, want))
			return true;
	}
}

/* Adding and removing a heap send uevents. */
TEST_F(module, events)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	struct timeval timeout = { .tv_sec = 5 };
	int sock;

	sock = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	if (sock < 0)
		SKIP(return, "no socket for events: %s", strerror(errno));
	ASSERT_EQ(0, setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
	ASSERT_EQ(0, bind(sock, (struct sockaddr *)&addr, sizeof(addr)));

	ASSERT_EQ(0, load(self->path));
	EXPECT_TRUE(event(sock, "add", variant->heap));
	ASSERT_EQ(0, unload(variant->module));
	EXPECT_TRUE(event(sock, "remove", variant->heap));
	close(sock);
}

TEST_HARNESS_MAIN
