/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers shared by the tests of the DMA-BUF heaps
 */

#ifndef _SELFTESTS_DMABUF_HEAP_H
#define _SELFTESTS_DMABUF_HEAP_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/types.h>

#define HEAP_DIR "/dev/dma_heap/"

static inline int heap_open(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), HEAP_DIR "%s", name);

	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The errno with which a system call fails, or 0 when it succeeds. */
#define ERRNO_OF(call) ({ errno = 0; (long)(call) == -1 ? errno : 0; })
#define EXPECT_ERRNO(error, call) EXPECT_EQ(error, ERRNO_OF(call))

/* The new dma-buf's fd, or -1 with errno set. */
static inline int heap_alloc_flags(int heap, __u64 len, __u32 fd_flags, __u64 heap_flags)
{
	struct dma_heap_allocation_data data = {
		.len = len,
		.fd_flags = fd_flags,
		.heap_flags = heap_flags,
	};

	if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) < 0)
		return -1;

	return data.fd;
}

static inline int heap_alloc(int heap, __u64 len)
{
	return heap_alloc_flags(heap, len, O_RDWR | O_CLOEXEC, 0);
}

static inline bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);

	return ok;
}

/*
 * Empty the page pool, where the system heaps keep freed memory.  Without
 * debugfs, wait until the pool gives it back.
 */
static inline void drain_pool(void)
{
	if (!write_text("/sys/kernel/debug/dma_heap_pool/drain", "1") &&
	    !access("/sys/module/dma_heap_pool", F_OK))
		sleep(7);
}

/* A value of /proc/meminfo in bytes, 0 when there is none of that name. */
static inline unsigned long long mem_bytes(const char *key)
{
	unsigned long long kib = 0;
	size_t n = strlen(key);
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, n) && line[n] == ':') {
			kib = strtoull(line + n + 1, NULL, 10);
			break;
		}
	}
	fclose(f);

	return kib * 1024;
}

/* A number of /sys/kernel/debug/dma_heap/<heap>. */
static inline bool heap_counter(const char *heap, const char *key, unsigned long long *value)
{
	size_t n = strlen(key);
	bool found = false;
	char line[512];
	FILE *f;

	snprintf(line, sizeof(line), "/sys/kernel/debug/dma_heap/%s", heap);
	f = fopen(line, "r");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, n) && line[n] == ':') {
			*value = strtoull(line + n + 1, NULL, 10);
			found = true;
		}
	}
	fclose(f);

	return found;
}

/* Does this kernel show heaps in debugfs?  Older ones do not. */
static inline bool heaps_in_debugfs(void)
{
	return !access("/sys/kernel/debug/dma_heap", F_OK);
}

/*
 * DMABUF_DISRUPT=1 in the environment permits tests to affect the whole machine:
 * for example to enable cgroup controllers, take most of the memory, unload
 * modules and switch CPUs off.
 */
static inline bool may_disrupt(void)
{
	const char *value = getenv("DMABUF_DISRUPT");

	return value && *value && strcmp(value, "0");
}

/* Does debugfs list the property for the heap? */
static inline bool heap_has_property(const char *heap, const char *property)
{
	bool yes = false;
	char line[512];
	FILE *f;

	snprintf(line, sizeof(line), "/sys/kernel/debug/dma_heap/%s", heap);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "properties:", 11))
			yes = strstr(line, property);
	}
	if (f)
		fclose(f);

	return yes;
}

/*
 * Is the memory protected, according to debugfs or to the name of the heap?
 * Accessing it may stop the machine.
 */
static inline bool heap_is_secret(const char *heap)
{
	static const char * const names[] = {
		"protected", "secure", "svp", "qseecom", "restricted", NULL,
	};
	const char * const *name;

	for (name = names; *name; name++) {
		if (strstr(heap, *name))
			return true;
	}

	return heap_has_property(heap, " protected");
}

/* Should a test that covers all heaps include this one? */
static inline bool heap_is_wanted(const char *heap)
{
	const char *only = getenv("DMABUF_HEAP");

	return heap[0] != '.' && !heap_is_secret(heap) && (!only || !strcmp(only, heap));
}

/* The name of the heap of a buffer; not an alias */
static inline const char *buffer_heap(int buf)
{
	static char name[256];
	char path[64], line[300];
	FILE *f;

	name[0] = '\0';
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", buf);
	f = fopen(path, "re");
	while (f && !name[0] && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "exp_name: %255s", name) != 1)
			name[0] = '\0';
	}
	if (f)
		fclose(f);

	return name;
}

/* According to debugfs or to the name of the heap */
static inline bool heap_is_contiguous(const char *heap)
{
	static const char * const names[] = {
		"default_cma_region", "default_cma_region-uncached", "reserved", "linux,cma",
		"default-pool", NULL,
	};
	const char * const *name;

	for (name = names; *name; name++) {
		if (!strcmp(heap, *name))
			return true;
	}

	return heap_has_property(heap, " contiguous");
}

/* Where the module of a heap is, when it is one. */
static inline void module_path(char *path, size_t size, const char *module)
{
	struct utsname uts = {};

	uname(&uts);
	snprintf(path, size, "/lib/modules/%s/%s/%s.ko", uts.release,
		 "kernel/drivers/dma-buf/heaps", module);
}

/* Make this process the first choice of the OOM killer. */
static inline void die_first(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1000", 4) != 4)
		fprintf(stderr, "# oom_score_adj: %s\n", strerror(errno));
	close(fd);
}

/* Number of fds in use, including those reserved without a file */
static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0, free, i;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	free = fcntl(dirfd(dir), F_DUPFD_CLOEXEC, 0);
	for (i = 0; i < free; i++)
		n += fcntl(i, F_GETFD) < 0;
	if (free >= 0)
		close(free);
	closedir(dir);

	return n;
}

/* Does another process have a buffer of the heap, as far as we may see? */
static inline bool heap_used_by_others(const char *heap)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "for d in /proc/[0-9]*/fdinfo; do case $d in /proc/%d/*|/proc/$$/*) ;; "
		 "*) grep -qrs '^exp_name:[[:space:]]*%s$' $d && exit 0 ;; esac; done; exit 1",
		 getpid(), heap);

	return system(command) == 0;
}

/* A line of smaps about the mapping at that address. */
static inline bool smaps_has(void *map, const char *key, char *value, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool here = false, found = false;
	const size_t n = strlen(key);
	unsigned long start, end;
	char line[240];

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			here = start == (unsigned long)map;
		} else if (here && !strncmp(line, key, n) && line[n] == ':') {
			line[strcspn(line, "\n")] = '\0';
			snprintf(value, size, "%s ", line + n + 1);
			found = true;
		}
	}
	if (f)
		fclose(f);

	return found;
}

/* The kernel log from now on; look into it with log_has(). */
static inline int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);

	return fd;
}

/* Does a record since log_open() or the last call contain @text? */
static inline bool log_has(int log, const char *text)
{
	char record[8192];
	bool found = false;
	ssize_t n;

	for (;;) {
		n = read(log, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE)
			continue;	/* older records were overwritten */
		if (n <= 0)
			return found;
		record[n] = '\0';
		if (strstr(record, text))
			found = true;
	}
}

#endif /* _SELFTESTS_DMABUF_HEAP_H */
