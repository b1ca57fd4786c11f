// SPDX-License-Identifier: GPL-2.0
/*
 * Make each allocation of the kernel fail in turn: the call fails with a
 * sensible errno, or succeeds nevertheless, and nothing is left behind.
 *
 * Needs CONFIG_FAULT_INJECTION with CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and
 * CONFIG_FAULT_INJECTION_DEBUG_FS; CONFIG_FAULT_INJECTION_USERCOPY adds copies
 * from and to userspace.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <drm/drm.h>

#define NR_SETTINGS	8

/* Faults that were hit, calls that failed, and the original settings */
struct sweep {
	int fd;
	unsigned int fired;
	unsigned int failed;
	char saved[NR_SETTINGS][16];
};

#define HEAP_FIXTURE_OWN struct sweep
#include "fixture.h"

#define DEBUGFS "/sys/kernel/debug/"

/* Limit of a sweep, which ends with the first fault that is not hit */
#define MAX_NTH 20000

static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';

	return n > 0;
}

/* Let all allocations of the task fail, without messages. */
static const struct {
	const char *path, *value;
} settings[NR_SETTINGS] = {
	{ .path = DEBUGFS "failslab/ignore-gfp-wait", .value = "N" },
	{ .path = DEBUGFS "failslab/verbose", .value = "0" },
	{ .path = DEBUGFS "fail_page_alloc/ignore-gfp-wait", .value = "N" },
	{ .path = DEBUGFS "fail_page_alloc/ignore-gfp-highmem", .value = "N" },
	{ .path = DEBUGFS "fail_page_alloc/min-order", .value = "0" },
	{ .path = DEBUGFS "fail_page_alloc/verbose", .value = "0" },
	/* some kernels have the others, but not this one */
	{ .path = DEBUGFS "fail_usercopy/verbose", .value = "0" },
	/* no pool, whose chunks need no allocation */
	{ .path = "/sys/module/dma_heap_pool/parameters/percent", .value = "0" },
};

static bool faults_set_up(struct sweep *sweep)
{
	unsigned int i;

	for (i = 0; i < NR_SETTINGS; i++) {
		if (read_file(settings[i].path, sweep->saved[i], sizeof(sweep->saved[i])) &&
		    write_text(settings[i].path, settings[i].value))
			continue;
		if (i < NR_SETTINGS - 2)
			return false;
	}

	return true;
}

static void faults_restore(const struct sweep *sweep)
{
	unsigned int i;

	for (i = 0; i < NR_SETTINGS; i++) {
		if (sweep->saved[i][0])
			write_text(settings[i].path, sweep->saved[i]);
	}
}

static int open_vgem(void)
{
	char path[32], name[8];
	struct drm_version version;
	int fd, i;

	for (i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		memset(&version, 0, sizeof(version));
		version.name = name;
		version.name_len = sizeof(name);
		if (!ioctl(fd, DRM_IOCTL_VERSION, &version) && version.name_len == 4 &&
		    !memcmp(name, "vgem", 4))
			return fd;
		close(fd);
	}

	return -1;
}

static void own_begin(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	self->own.fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (self->own.fd < 0)
		SKIP(return, "no fail-nth in this kernel");
	if (!faults_set_up(&self->own)) {
		faults_restore(&self->own);
		SKIP(return, "cannot set up the faults below " DEBUGFS);
	}
}

static void own_end(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	if (self->own.fd >= 0)
		close(self->own.fd);
	faults_restore(&self->own);
}

static bool arm(int fd, unsigned int nth)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", nth);

	return pwrite(fd, text, n, 0) == n;
}

/* Has the fault been hit?  Nothing fails from here on. */
static bool disarm(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return false;
	if (text[0] == '0')
		return true;
	arm(fd, 0);

	return false;
}

/*
 * End a round: nothing fails any more.  The call may have failed only if the
 * fault was hit, and with ENOMEM or EFAULT.  Return true after the last round,
 * in which no fault was hit.
 */
static bool last_round(struct __test_metadata *_metadata, struct sweep *sweep,
		       unsigned int nth, bool ok, int error)
{
	bool fired = disarm(sweep->fd);

	sweep->fired += fired;
	if (!ok) {
		sweep->failed++;
		EXPECT_TRUE(fired) {
			TH_LOG("failed without a fault: %s", strerror(error));
		}
		EXPECT_TRUE(error == ENOMEM || error == EFAULT) {
			TH_LOG("fault %u: %s", nth, strerror(error));
		}
	}

	return !fired;
}

/* Allocate a buffer with chunks of several sizes. */
TEST_F_TIMEOUT(heap, allocate, 300)
{
	struct dma_heap_allocation_data data;
	unsigned int nth;
	int ret, error;

	for (nth = 1; nth < MAX_NTH && arm(self->own.fd, nth); nth++) {
		data = (struct dma_heap_allocation_data) {
			.len = (1 << 20) + (1 << 16) + 4096,
			.fd_flags = O_RDWR | O_CLOEXEC,
		};
		ret = ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, &data);
		error = errno;
		if (last_round(_metadata, &self->own, nth, !ret, error)) {
			EXPECT_EQ(0, ret);
			if (!ret)
				close(data.fd);
			break;
		}
		if (!ret)
			close(data.fd);
		ASSERT_EQ(self->fds + 1, count_fds()) {
			TH_LOG("fault %u", nth);
		}
	}
	TH_LOG("%u faults, %u failures", self->own.fired, self->own.failed);
	/* the buffer, its pages, the table, the dma-buf with its file and inode */
	EXPECT_LT(6, self->own.fired);
	EXPECT_LT(4, self->own.failed);
}

TEST_F_TIMEOUT(heap, open_node, 300)
{
	unsigned int nth;
	int fd, error;

	for (nth = 1; nth < MAX_NTH && arm(self->own.fd, nth); nth++) {
		fd = heap_open(self->name);
		error = errno;
		if (last_round(_metadata, &self->own, nth, fd >= 0, error)) {
			EXPECT_LE(0, fd);
			close(fd);
			break;
		}
		if (fd >= 0)
			close(fd);
	}
	TH_LOG("%u faults, %u failures", self->own.fired, self->own.failed);
	EXPECT_LT(0, self->own.failed);
}

TEST_F_TIMEOUT(heap, map, 300)
{
	const size_t len = 2 << 20;
	unsigned int nth;
	int buf, error;
	char *map;

	buf = heap_alloc(self->heap, len);
	ASSERT_LE(0, buf);
	for (nth = 1; nth < MAX_NTH && arm(self->own.fd, nth); nth++) {
		map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
		error = errno;
		if (last_round(_metadata, &self->own, nth, map != MAP_FAILED, error)) {
			EXPECT_NE(MAP_FAILED, map);
			munmap(map, len);
			break;
		}
		if (map != MAP_FAILED)
			munmap(map, len);
	}
	close(buf);
	TH_LOG("%u faults, %u failures", self->own.fired, self->own.failed);
	EXPECT_LT(0, self->own.failed);
}

/*
 * Accesses to a mapping succeed, whatever allocation fails.  The mapping leaves
 * out the first page, so that there is no room for a huge page, and a page
 * table is allocated.
 */
TEST_F_TIMEOUT(heap, touch, 300)
{
	const size_t len = 2 << 20;
	unsigned int nth, error = 0;
	const size_t page = sysconf(_SC_PAGESIZE);
	unsigned char *map, before;
	bool last = false;
	size_t i;
	int buf;

	buf = heap_alloc(self->heap, len);
	ASSERT_LE(0, buf);
	for (nth = 1; nth < MAX_NTH && !last; nth++) {
		map = mmap(NULL, len - page, PROT_READ | PROT_WRITE, MAP_SHARED, buf, page);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_TRUE(arm(self->own.fd, nth));
		for (i = 0; i < len - page; i += page) {
			before = __atomic_load_n(&map[i], __ATOMIC_RELAXED);
			__atomic_store_n(&map[i], nth, __ATOMIC_RELAXED);
			error |= before != (nth - 1) % 256;
		}
		last = last_round(_metadata, &self->own, nth, true, 0);
		munmap(map, len - page);
	}
	close(buf);
	ASSERT_EQ(0, error);
	TH_LOG("%u faults", self->own.fired);
	if (!self->own.fired)
		SKIP(return, "page faults allocate nothing here");
}

/* vgem attaches to the buffer, but does not map it. */
TEST_F_TIMEOUT(heap, attach, 300)
{
	struct drm_prime_handle prime = {};
	struct drm_gem_close gem = {};
	unsigned int nth;
	int drm, ret, error;

	drm = open_vgem();
	if (drm < 0)
		SKIP(return, "there is no vgem");
	for (nth = 1; nth < MAX_NTH; nth++) {
		/* a new buffer each time, as imports are cached */
		prime.fd = heap_alloc(self->heap, 1 << 20);
		ASSERT_LE(0, prime.fd);
		ASSERT_TRUE(arm(self->own.fd, nth));
		ret = ioctl(drm, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime);
		error = errno;
		if (!ret) {
			bool last = last_round(_metadata, &self->own, nth, true, 0);

			gem.handle = prime.handle;
			EXPECT_EQ(0, ioctl(drm, DRM_IOCTL_GEM_CLOSE, &gem));
			close(prime.fd);
			if (last)
				break;
			continue;
		}
		close(prime.fd);
		if (last_round(_metadata, &self->own, nth, false, error))
			break;
	}
	close(drm);
	TH_LOG("%u faults, %u failures", self->own.fired, self->own.failed);
	EXPECT_LT(0, self->own.failed);
}

/* A device maps the buffer, by a module with the file heap_map in debugfs. */
TEST_F_TIMEOUT(heap, device, 300)
{
	int buf, len, ret, error, importer = open(DEBUGFS "heap_map", O_WRONLY | O_CLOEXEC);
	unsigned int nth, i;
	char cmd[32];

	if (importer < 0)
		SKIP(return, "nothing maps buffers here");
	buf = heap_alloc(self->heap, (1 << 20) + (1 << 16) + 4096);
	ASSERT_LE(0, buf);
	len = snprintf(cmd, sizeof(cmd), "map %d 1", buf);
	/* debug options may allocate, too, and shift the count: repeat */
	for (i = 0; i < 4; i++) {
		for (nth = 1; nth < MAX_NTH && arm(self->own.fd, nth); nth++) {
			ret = write(importer, cmd, len);
			error = errno;
			if (last_round(_metadata, &self->own, nth, ret == len, error)) {
				EXPECT_EQ(len, ret);
				break;
			}
		}
	}
	close(buf);
	close(importer);
	TH_LOG("%u faults, %u failures", self->own.fired, self->own.failed);
	/* the attachment and its table at least */
	EXPECT_LT(2, self->own.failed);
}

/* Read a file into memory that the caller frees.  NULL and errno on failure. */
static void *read_whole(const char *path, size_t *size)
{
	void *data = NULL;
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st))
		data = malloc(st.st_size);
	if (data && read(fd, data, st.st_size) != st.st_size) {
		free(data);
		data = NULL;
		errno = EIO;
	}
	close(fd);
	*size = st.st_size;

	return data;
}

/*
 * Loading the module: the heap exists, or the module is not loaded.  Use
 * init_module(), because a failing finit_module() writes a lot to the log.
 */
TEST_F_TIMEOUT(heap, load, 900)
{
	static const struct {
		const char *heap, *module;
	} modules[] = {
		{ .heap = "system", .module = "system_heap" },
		{ .heap = "system-uncached", .module = "system_heap" },
		{ .heap = "default_cma_region", .module = "cma_heap" },
		{ .heap = "default_cma_region-uncached", .module = "cma_heap" },
	};
	char path[512], node[300];
	unsigned int nth, i;
	int ret, error;
	size_t size;
	void *ko;

	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	for (i = 0; i < ARRAY_SIZE(modules) && strcmp(self->name, modules[i].heap); i++)
		;
	if (i == ARRAY_SIZE(modules))
		SKIP(return, "which module has heap %s is not known", self->name);
	module_path(path, sizeof(path), modules[i].module);
	ko = read_whole(path, &size);
	if (!ko)
		SKIP(return, "%s: %s", path, strerror(errno));
	snprintf(node, sizeof(node), HEAP_DIR "%s", self->name);
	if (syscall(SYS_delete_module, modules[i].module, O_NONBLOCK)) {
		free(ko);
		SKIP(return, "cannot unload %s: %s", modules[i].module, strerror(errno));
	}

	for (nth = 1; nth < MAX_NTH && arm(self->own.fd, nth); nth++) {
		ret = syscall(SYS_init_module, ko, size, "");
		error = errno;
		if (last_round(_metadata, &self->own, nth, !ret, error)) {
			EXPECT_EQ(0, ret);
			EXPECT_EQ(0, access(node, F_OK));
			break;
		}
		if (ret) {
			ASSERT_EQ(-1, access(node, F_OK)) {
				TH_LOG("fault %u: %s is there", nth, node);
			}
			continue;
		}
		ASSERT_EQ(0, syscall(SYS_delete_module, modules[i].module, O_NONBLOCK)) {
			TH_LOG("fault %u: %s", nth, strerror(errno));
		}
	}
	free(ko);
	TH_LOG("%u faults, %u failures", self->own.fired, self->own.failed);
	EXPECT_LT(20, self->own.failed);
}

TEST_HARNESS_MAIN
