// SPDX-License-Identifier: GPL-2.0
/*
 * Charging of buffers to cgroups: the attribute charged_to, and the limits of
 * the memory and the dmem controller
 */

#define _GNU_SOURCE
#include <grp.h>
#include <limits.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "heap.h"
#include "kselftest_harness.h"

#define PARAMETER "/sys/module/dma_heap/parameters/mem_accounting"
#define MIB (1024LL * 1024)

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, size, f);

	if (f)
		fclose(f);
	if (ok)
		line[strcspn(line, "\n")] = '\0';

	return ok;
}

/* The attribute charged_to of a heap */
static bool heap_charged_to(const char *heap, char *line, size_t size)
{
	char path[300];

	snprintf(path, sizeof(path), "/sys/class/dma_heap/%s/charged_to", heap);

	return read_line(path, line, size);
}

static bool accounted(void)
{
	char line[8];

	return read_line(PARAMETER, line, sizeof(line)) && (line[0] == 'Y' || line[0] == '1');
}

/* ---- files of cgroups ---------------------------------------------------- */

static bool write_file(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);

	return ok;
}

/* The number after a key of a file, or its only number; -1 if there is none. */
static long long read_number(const char *dir, const char *file, const char *key)
{
	char path[PATH_MAX], line[512];
	size_t n = key ? strlen(key) : 0;
	long long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "re");
	while (f && value < 0 && fgets(line, sizeof(line), f)) {
		if (!key)
			value = atoll(line);
		else if (!strncmp(line, key, n) && line[n] == ' ')
			value = atoll(line + n);
	}
	if (f)
		fclose(f);

	return value;
}

/* memory.stat may be two seconds late. */
static long long wait_for_stat(const char *group, const char *key, unsigned long long wanted)
{
	long long value;
	int i;

	for (i = 0; i < 200; i++) {
		value = read_number(group, "memory.stat", key);
		if (value == (long long)wanted)
			break;
		usleep(20000);
	}

	return value;
}

/*
 * A cgroup, and an inner one for the tasks.  Charges of the inner one stay in
 * the outer one when the inner one is removed.
 */
struct heap_group {
	/* where cgroups are mounted, and our folder for that, if any */
	char top[PATH_MAX / 2];
	char folder[32];
	char outer[PATH_MAX / 2 + 32];
	char inner[PATH_MAX / 2 + 48];
	/* the controller that was enabled for it */
	char controller[16];
	bool mounted;
};

/* Retry: its last task may not be gone yet. */
static bool remove_folder(const char *group)
{
	int i;

	for (i = 0; i < 50; i++) {
		if (!rmdir(group))
			return true;
		if (errno != EBUSY)
			break;
		usleep(20000);
	}

	return false;
}

static bool group_remove(struct heap_group *group)
{
	bool ok = true;
	char off[32];

	if (group->inner[0] && !access(group->inner, F_OK))
		ok &= remove_folder(group->inner);
	if (group->outer[0])
		ok &= remove_folder(group->outer);
	if (group->controller[0]) {
		snprintf(off, sizeof(off), "-%s", group->controller);
		ok &= write_file(group->top, "cgroup.subtree_control", off);
	}
	if (group->mounted)
		ok &= !umount(group->folder);
	if (group->folder[0])
		ok &= !rmdir(group->folder);
	memset(group, 0, sizeof(*group));

	return ok;
}

/* Find the mount point of cgroup2, or mount it in a folder of our own. */
static bool group_mount(struct heap_group *group)
{
	char line[PATH_MAX], where[PATH_MAX / 2], type[32];
	FILE *f;

	/* a second mount would change the options of the first */
	f = fopen("/proc/mounts", "re");
	while (f && !group->top[0] && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %2000s %31s", where, type) == 2 && !strcmp(type, "cgroup2"))
			strcpy(group->top, where);
	}
	if (f)
		fclose(f);
	if (group->top[0])
		return true;

	strcpy(group->folder, "/tmp/dmabuf-heaps.XXXXXX");
	if (!mkdtemp(group->folder)) {
		group->folder[0] = '\0';
		return false;
	}
	group->mounted = !mount("none", group->folder, "cgroup2", 0, NULL);
	strcpy(group->top, group->folder);

	return group->mounted;
}

/* Is that word in the file? */
static bool has_word(const char *dir, const char *file, const char *word)
{
	char path[PATH_MAX], line[512] = "", *token, *rest = line;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (!read_line(path, line, sizeof(line)))
		return false;
	while ((token = strsep(&rest, " "))) {
		if (!strcmp(token, word))
			return true;
	}

	return false;
}

/* Return NULL, or the reason why there is no group. */
static const char *group_make(struct heap_group *group, const char *controller)
{
	char on[32];

	memset(group, 0, sizeof(*group));
	/* this enables a controller, and may mount the hierarchy */
	if (!may_disrupt())
		return "not without DMABUF_DISRUPT=1";
	snprintf(on, sizeof(on), "+%s", controller);
	if (!group_mount(group) || !has_word(group->top, "cgroup.controllers", controller))
		goto err;
	if (!has_word(group->top, "cgroup.subtree_control", controller)) {
		if (!write_file(group->top, "cgroup.subtree_control", on))
			goto err;
		strcpy(group->controller, controller);
	}
	snprintf(group->outer, sizeof(group->outer), "%s/dmabuf-heaps.XXXXXX", group->top);
	if (!mkdtemp(group->outer)) {
		group->outer[0] = '\0';
		goto err;
	}
	snprintf(group->inner, sizeof(group->inner), "%s/inner", group->outer);
	if (write_file(group->outer, "cgroup.subtree_control", on) && !mkdir(group->inner, 0755))
		return NULL;
	group->inner[0] = '\0';
err:
	group_remove(group);

	return "no cgroup2 with this controller here";
}

/* ---- a task in a cgroup that executes orders ----------------------------- */

struct order {
	enum { ALLOC, FREE, SEND, FORK, FILL, USER } what;
	char heap[256];
	uint64_t len;
	/* which of the kernel's allocations fails, counted from 1, or 0 for none */
	unsigned int fail_nth;
};

/* Added to the errno: the fault was hit. */
#define FAULT_HIT 0x10000

struct member {
	pid_t pid;
	int sock;
};

#define MAX_BUFFERS 64

/* Send a reply, and a buffer with it if there is one. */
static bool reply(int sock, int error, int buf)
{
	struct iovec iov = { .iov_base = &error, .iov_len = sizeof(error) };
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (buf >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &buf, sizeof(int));
	}

	return sendmsg(sock, &msg, MSG_NOSIGNAL) == sizeof(error);
}

/* Use pages that reclaim can take at any time, like page cache. */
static int fill(size_t len)
{
	const size_t step = 4 * MIB;
	size_t done;
	char *map;

	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return errno;
	madvise(map, len, MADV_NOHUGEPAGE);
	for (done = 0; done < len; done += step) {
		memset(map + done, 1, step);
		if (madvise(map + done, step, MADV_FREE))
			return errno;
	}

	return 0;
}

/* Allocate a buffer while the nth allocation of the kernel fails. */
static int alloc_with_fault(int heap, uint64_t len, unsigned int nth, bool *hit)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC), buf, error, n;
	char text[16];

	n = snprintf(text, sizeof(text), "%u", nth);
	if (fd < 0 || pwrite(fd, text, n, 0) != n)
		_exit(1);
	buf = heap_alloc(heap, len);
	error = errno;
	/* what is left of the count; the fault may hit these calls, once */
	*hit = pread(fd, text, sizeof(text), 0) > 0 && text[0] == '0';
	if (!*hit && pwrite(fd, "0", 1, 0) != 1 && pwrite(fd, "0", 1, 0) != 1)
		_exit(1);
	close(fd);
	errno = error;

	return buf;
}

static void member_run(int sock)
{
	int bufs[MAX_BUFFERS], n = 0, heap, error;
	struct order order;
	pid_t pid;
	bool hit;

	while (recv(sock, &order, sizeof(order), 0) == sizeof(order)) {
		error = 0;
		hit = false;
		switch (order.what) {
		case ALLOC:
			heap = heap_open(order.heap);
			error = EMFILE;
			if (heap < 0)
				error = errno;
			else if (n < MAX_BUFFERS && order.fail_nth)
				error = ERRNO_OF(bufs[n] = alloc_with_fault(heap, order.len,
									    order.fail_nth, &hit));
			else if (n < MAX_BUFFERS)
				error = ERRNO_OF(bufs[n] = heap_alloc(heap, order.len));
			n += !error;
			if (heap >= 0)
				close(heap);
			break;
		case FREE:
			while (n)
				close(bufs[--n]);
			break;
		case SEND:
			if (!reply(sock, 0, bufs[n - 1]))
				_exit(1);
			continue;
		case FORK:
			/* the child inherits the socket and all buffers */
			pid = fork();
			if (pid > 0)
				_exit(0);
			if (pid < 0)
				error = errno;
			break;
		case FILL:
			error = fill(order.len);
			break;
		case USER:
			error = ERRNO_OF(setgroups(0, NULL)) ?: ERRNO_OF(setgid(order.len)) ?:
				ERRNO_OF(setuid(65534));
			break;
		}
		if (!reply(sock, error | (hit ? FAULT_HIT : 0), -1))
			_exit(1);
	}
	_exit(0);
}

static bool member_start(struct member *member, const char *group)
{
	int socks[2];

	member->pid = 0;
	member->sock = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return false;
	member->pid = fork();
	if (!member->pid) {
		close(socks[0]);
		if (!write_file(group, "cgroup.procs", "0"))
			_exit(1);
		member_run(socks[1]);
	}
	close(socks[1]);
	member->sock = socks[0];

	return member->pid > 0;
}

/* Return 0, the errno of the task, or -1 if the task is gone. */
static int member_do(struct member *member, const struct order *order, int *buf)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	int error = -1;
	struct iovec iov = { .iov_base = &error, .iov_len = sizeof(error) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;

	if (send(member->sock, order, sizeof(*order), MSG_NOSIGNAL) != sizeof(*order) ||
	    recvmsg(member->sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(error))
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (buf && cmsg)
		memcpy(buf, CMSG_DATA(cmsg), sizeof(*buf));

	return error;
}

static int member_alloc(struct member *member, const char *heap, uint64_t len)
{
	struct order order = { .what = ALLOC, .len = len };

	snprintf(order.heap, sizeof(order.heap), "%s", heap);

	return member_do(member, &order, NULL);
}

static int member_simply(struct member *member, int what, uint64_t len)
{
	const struct order order = { .what = what, .len = len };

	return member_do(member, &order, NULL);
}

static void member_end(struct member *member)
{
	if (member->sock >= 0)
		close(member->sock);
	if (member->pid > 0)
		waitpid(member->pid, NULL, 0);
	member->sock = -1;
	member->pid = 0;
}

/* ---- the attribute charged_to -------------------------------------------- */

/* Does @option of the command line have @value in its list? */
static bool on_command_line(const char *option, const char *value)
{
	char line[4096], *word, *words = line, *token;
	size_t n = strlen(option);

	if (!read_line("/proc/cmdline", line, sizeof(line)))
		return false;
	while ((word = strsep(&words, " "))) {
		if (strncmp(word, option, n) || word[n] != '=')
			continue;
		word += n + 1;
		while ((token = strsep(&word, ","))) {
			if (!strcmp(token, value))
				return true;
		}
	}

	return false;
}

/* Is the controller enabled?  1, 0, or -1 if unknown. */
static int controller_enabled(const char *name)
{
	struct heap_group group;
	const char *reason;

	if (on_command_line("cgroup_disable", name) ||
	    (!strcmp(name, "memory") && on_command_line("cgroup.memory", "nokmem")))
		return 0;
	reason = group_make(&group, name);
	group_remove(&group);

	return reason ? -1 : 1;
}

/* charged_to of each heap is one of the documented values, and true. */
TEST(attribute)
{
	const int memory = accounted() ? controller_enabled("memory") : 0;
	const int dmem = controller_enabled("dmem");
	char line[512], real[512];
	struct dirent *entry;
	unsigned int n = 0, mute = 0;
	DIR *dir;
	int heap, buf;

	dir = opendir("/sys/class/dma_heap");
	if (!dir)
		SKIP(return, "no heaps here");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		if (!heap_charged_to(entry->d_name, line, sizeof(line))) {
			mute++;
			continue;
		}
		if (!strncmp(entry->d_name, "system", 6)) {
			if (memory >= 0)
				EXPECT_STREQ(memory ? "memory" : "none", line);
			EXPECT_TRUE(!strcmp(line, "memory") || !strcmp(line, "none"));
		} else if (!strncmp(entry->d_name, "default_cma_region", 18) && dmem > 0) {
			EXPECT_STREQ("dmem:cma/default_cma_region", line);
		} else if (strcmp(line, "none")) {
			EXPECT_EQ(0, strncmp(line, "dmem:", 5));
			EXPECT_NE(0, dmem);
		}

		/* an alias has the value of its heap */
		heap = heap_open(entry->d_name);
		buf = heap < 0 ? -1 : heap_alloc(heap, 1);
		if (buf >= 0) {
			EXPECT_TRUE(heap_charged_to(buffer_heap(buf), real, sizeof(real)) &&
				    !strcmp(real, line));
			close(buf);
		}
		if (heap >= 0)
			close(heap);
	}
	closedir(dir);
	if (!n)
		SKIP(return, "no heaps here");
	if (mute == n)
		SKIP(return, "heaps of this kernel do not say what buffers are charged to");
	EXPECT_EQ(0, mute);
}

/* ---- the memory controller --------------------------------------------------- */

FIXTURE(memory)
{
	struct heap_group group;
	struct member member;
	/* tolerance for charges in advance, and for other kernel memory */
	long long slack;
};

FIXTURE_VARIANT(memory)
{
	const char *heap;
};

FIXTURE_VARIANT_ADD(memory, system)
{
	.heap = "system",
};

FIXTURE_VARIANT_ADD(memory, system_uncached)
{
	.heap = "system-uncached",
};

FIXTURE_VARIANT_ADD(memory, system_dma32)
{
	.heap = "system-dma32",
};

FIXTURE_SETUP(memory)
{
	const char *reason;
	char line[512];
	int heap;

	heap = heap_open(variant->heap);
	if (heap < 0)
		SKIP(return, "cannot open heap %s: %s", variant->heap, strerror(errno));
	close(heap);
	if (!accounted())
		SKIP(return, "not booted with dma_heap.mem_accounting=1");
	if (heap_charged_to(variant->heap, line, sizeof(line)) && strcmp(line, "memory"))
		SKIP(return, "this kernel does not charge kernel memory");
	reason = group_make(&self->group, "memory");
	if (reason)
		SKIP(return, "%s", reason);
	self->slack = 2 * MIB + 64 * sysconf(_SC_PAGESIZE) * sysconf(_SC_NPROCESSORS_ONLN);
	ASSERT_TRUE(member_start(&self->member, self->group.inner)) {
		group_remove(&self->group);
	}
}

/* In the end no buffer is charged, and no task was killed. */
FIXTURE_TEARDOWN(memory)
{
	long long current;
	int i;

	if (!self->group.outer[0])
		return;
	member_end(&self->member);
	for (i = 0; i < 100; i++) {
		current = read_number(self->group.outer, "memory.current", NULL);
		if (current < self->slack)
			break;
		usleep(20000);
	}
	EXPECT_GT(self->slack, current);
	if (read_number("/proc", "vmstat", "nr_dma_heap") >= 0)
		EXPECT_EQ(0, wait_for_stat(self->group.outer, "dma_heap", 0));
	EXPECT_EQ(0, read_number(self->group.outer, "memory.events", "oom_kill"));
	EXPECT_TRUE(group_remove(&self->group));
}

/* If charged_to is "none", nothing is charged. */
TEST(not_charged)
{
	const char *reason;
	struct heap_group group;
	struct member member;
	char line[512];

	if (!heap_charged_to("system", line, sizeof(line)))
		SKIP(return, "there is no system heap, or it has no attribute charged_to");
	if (strcmp(line, "none"))
		SKIP(return, "buffers are charged");
	reason = group_make(&group, "memory");
	if (reason)
		SKIP(return, "%s", reason);
	EXPECT_TRUE(member_start(&member, group.inner));
	EXPECT_TRUE(write_file(group.inner, "memory.max", "12M"));
	EXPECT_EQ(0, member_alloc(&member, "system", 16 * MIB));
	EXPECT_GT(12 * MIB, read_number(group.inner, "memory.current", NULL));
	member_end(&member);
	EXPECT_TRUE(group_remove(&group));
}

/* memory.current and memory.stat count buffers until they are freed. */
TEST_F(memory, follows)
{
	const long long before = read_number(self->group.inner, "memory.current", NULL);
	const unsigned long long all = mem_bytes("DMAHeap");
	long long current;
	int i;

	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	current = read_number(self->group.inner, "memory.current", NULL);
	EXPECT_LE(before + 31 * MIB, current);
	EXPECT_GT(before + 32 * MIB + self->slack, current);
	if (read_number("/proc", "vmstat", "nr_dma_heap") >= 0) {
		EXPECT_EQ(32 * MIB, wait_for_stat(self->group.inner, "dma_heap", 32 * MIB));
		EXPECT_LE(all + 31 * MIB, mem_bytes("DMAHeap"));
	}
	ASSERT_EQ(0, member_simply(&self->member, FREE, 0));
	/* others may have buffers, and counting is not exact */
	for (i = 0; i < 100 && mem_bytes("DMAHeap") > all + MIB; i++)
		usleep(20000);
	EXPECT_GE(all + MIB, mem_bytes("DMAHeap"));
}

/*
 * A buffer beyond the limit fails with ENOMEM, leaves no charge, and no task is
 * killed.  A smaller buffer can still be allocated.
 */
TEST_F(memory, limit)
{
	ASSERT_TRUE(write_file(self->group.inner, "memory.max", "24M"));
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, variant->heap, 16 * MIB));
	EXPECT_GT(16 * MIB + self->slack,
		  read_number(self->group.inner, "memory.current", NULL));
	if (read_number("/proc", "vmstat", "nr_dma_heap") >= 0)
		EXPECT_EQ(16 * MIB, wait_for_stat(self->group.inner, "dma_heap", 16 * MIB));
	EXPECT_LT(0, read_number(self->group.inner, "memory.events", "max"));
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 4 * MIB));
}

/* A buffer larger than the limit fails without reclaim. */
TEST_F(memory, beyond)
{
	ASSERT_TRUE(write_file(self->group.inner, "memory.max", "48M"));
	ASSERT_EQ(0, member_simply(&self->member, FILL, 32 * MIB));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, variant->heap, 64 * MIB));
	EXPECT_LE(32 * MIB, read_number(self->group.inner, "memory.current", NULL));
	/* the cgroup that has the limit counts the event */
	EXPECT_LT(0, read_number(self->group.inner, "memory.events", "max"));
}

/* The limit of the parent applies, too. */
TEST_F(memory, limit_above)
{
	ASSERT_TRUE(write_file(self->group.outer, "memory.max", "24M"));
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, variant->heap, 16 * MIB));
}

/* Bytes in compound pages that are not slab, anonymous or on an LRU list */
static long long large_chunks(void)
{
	enum { LRU = 5, SLAB = 7, ANON = 12, HEAD = 15, TAIL = 16 };
	static uint64_t flags[4096];
	long long pages = 0;
	bool large = false;
	ssize_t n = 0, i;
	off_t at = 0;
	int fd;

	fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = pread(fd, flags, sizeof(flags), at)) > 0) {
		at += n;
		for (i = 0; i < n / 8; i++) {
			if (!(flags[i] >> TAIL & 1))
				large = flags[i] >> HEAD & 1 && !(flags[i] >> SLAB & 1) &&
					!(flags[i] >> ANON & 1) && !(flags[i] >> LRU & 1);
			pages += large;
		}
	}
	if (fd >= 0)
		close(fd);

	return at ? pages * sysconf(_SC_PAGESIZE) : -1;
}

/*
 * A group that is full of reclaimable memory gets chunks as large as an empty
 * one.
 */
TEST_F_TIMEOUT(memory, full, 120)
{
	long long before, empty, full;

	if (mem_bytes("MemTotal") > 64ULL << 30)
		SKIP(return, "looking at all pages takes too long");
	ASSERT_TRUE(write_file(self->group.inner, "memory.max", "64M"));
	drain_pool();
	before = large_chunks();
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	empty = large_chunks() - before;
	ASSERT_EQ(0, member_simply(&self->member, FREE, 0));
	if (before < 0 || empty < 8 * MIB)
		SKIP(return, "memory is in pieces, or does not say so");

	ASSERT_EQ(0, member_simply(&self->member, FILL, 80 * MIB));
	EXPECT_LT(60 * MIB, read_number(self->group.inner, "memory.current", NULL));
	drain_pool();
	before = large_chunks();
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	full = large_chunks() - before;
	EXPECT_LE(empty / 2, full) {
		TH_LOG("%lld KiB in large chunks, %lld KiB in a full cgroup", empty >> 10,
		       full >> 10);
	}
}

/* memory.high makes the caller wait, but not for each chunk of a buffer. */
TEST_F_TIMEOUT(memory, high, 120)
{
	struct timespec begin, end;

	ASSERT_TRUE(write_file(self->group.inner, "memory.high", "16M"));
	ASSERT_TRUE(write_file(self->group.inner, "memory.max", "96M"));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 64 * MIB));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, variant->heap, 64 * MIB));
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* two seconds at most in a call, and two at its end */
	EXPECT_GT(15, end.tv_sec - begin.tv_sec);
	EXPECT_LT(0, read_number(self->group.inner, "memory.events", "high"));
	/* otherwise the task waits again, and does not end in time */
	ASSERT_TRUE(write_file(self->group.inner, "memory.high", "max"));
}

/* A buffer stays charged when its task and its group are gone. */
TEST_F(memory, outlives)
{
	const struct order order = { .what = SEND };
	int buf = -1;

	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	ASSERT_EQ(0, member_do(&self->member, &order, &buf));
	ASSERT_LE(0, buf);
	member_end(&self->member);
	EXPECT_LE(16 * MIB, read_number(self->group.inner, "memory.current", NULL));
	ASSERT_TRUE(remove_folder(self->group.inner));
	EXPECT_LE(16 * MIB, read_number(self->group.outer, "memory.current", NULL));
	EXPECT_EQ(16 * MIB, lseek(buf, 0, SEEK_END));
	close(buf);
}

/* A buffer stays charged until a child that inherited it frees it. */
TEST_F(memory, forked)
{
	ASSERT_EQ(0, member_alloc(&self->member, variant->heap, 16 * MIB));
	ASSERT_EQ(0, member_simply(&self->member, FORK, 0));
	waitpid(self->member.pid, NULL, 0);
	self->member.pid = 0;
	EXPECT_LE(16 * MIB, read_number(self->group.inner, "memory.current", NULL));
	ASSERT_EQ(0, member_simply(&self->member, FREE, 0));
}

/*
 * A user other than root is limited, too, and tasks outside the group can still
 * allocate.
 */
TEST_F(memory, user)
{
	char node[300];
	unsigned int n = 0;
	struct stat st;
	int heap, buf, error;

	snprintf(node, sizeof(node), HEAP_DIR "%s", variant->heap);
	ASSERT_EQ(0, stat(node, &st));
	if (!st.st_gid || !(st.st_mode & 0040))
		SKIP(return, "no group other than root's may open heap %s", variant->heap);
	ASSERT_TRUE(write_file(self->group.inner, "memory.max", "24M"));
	ASSERT_EQ(0, member_simply(&self->member, USER, st.st_gid));

	do {
		error = member_alloc(&self->member, variant->heap, MIB);
	} while (!error && ++n < 32);
	EXPECT_EQ(ENOMEM, error);
	EXPECT_LE(16, n);
	EXPECT_GT(24, n);

	/* root, of another group */
	heap = heap_open(variant->heap);
	buf = heap_alloc(heap, 16 * MIB);
	EXPECT_LE(0, buf);
	close(buf);
	close(heap);
}

/* ---- the dmem controller ------------------------------------------------------- */

FIXTURE(dmem)
{
	struct heap_group group;
	struct member member;
	char region[512];
	/* original settings of faults, if they were changed */
	char saved[4][16];
};

#define FAULTS "/sys/kernel/debug/"

/* Let all slab allocations of the task fail, without messages. */
static const struct {
	const char *dir, *file, *value;
} settings[4] = {
	{ .dir = FAULTS "failslab", .file = "ignore-gfp-wait", .value = "N" },
	{ .dir = FAULTS "failslab", .file = "verbose", .value = "0" },
	{ .dir = FAULTS "fail_page_alloc", .file = "verbose", .value = "0" },
	{ .dir = FAULTS "fail_usercopy", .file = "verbose", .value = "0" },
};

FIXTURE_VARIANT(dmem)
{
	const char *heap;
};

FIXTURE_VARIANT_ADD(dmem, default_cma_region)
{
	.heap = "default_cma_region",
};

FIXTURE_VARIANT_ADD(dmem, default_cma_region_uncached)
{
	.heap = "default_cma_region-uncached",
};

FIXTURE_VARIANT_ADD(dmem, named)
{
};

static long long dmem_current(const char *group, const char *region)
{
	return read_number(group, "dmem.current", region);
}

static bool dmem_set_limit(const char *group, const char *region, const char *limit)
{
	char text[600];

	snprintf(text, sizeof(text), "%s %s", region, limit);

	return write_file(group, "dmem.max", text);
}

static const char *dmem_heap(const char *variant)
{
	return variant ?: getenv("DMABUF_HEAP");
}

FIXTURE_SETUP(dmem)
{
	const char *name = dmem_heap(variant->heap), *reason;
	char line[512];
	int heap, buf;

	if (!name)
		SKIP(return, "DMABUF_HEAP names no heap");
	heap = heap_open(name);
	if (heap < 0)
		SKIP(return, "cannot open heap %s: %s", name, strerror(errno));
	buf = heap_alloc(heap, 8 * MIB);
	close(heap);
	if (buf < 0)
		SKIP(return, "heap %s has less than 8 MiB to give", name);
	close(buf);
	if (!heap_charged_to(name, line, sizeof(line)) ||
	    sscanf(line, "dmem:%500s", self->region) != 1)
		SKIP(return, "heap %s is not charged to the dmem controller", name);
	reason = group_make(&self->group, "dmem");
	if (reason)
		SKIP(return, "%s", reason);
	ASSERT_TRUE(member_start(&self->member, self->group.inner)) {
		group_remove(&self->group);
	}
}

FIXTURE_TEARDOWN(dmem)
{
	int i;

	if (!self->group.outer[0])
		return;
	for (i = 0; i < 4; i++) {
		if (self->saved[i][0])
			write_file(settings[i].dir, settings[i].file, self->saved[i]);
	}
	member_end(&self->member);
	for (i = 0; i < 100 && dmem_current(self->group.outer, self->region); i++)
		usleep(20000);
	EXPECT_EQ(0, dmem_current(self->group.outer, self->region));
	EXPECT_TRUE(group_remove(&self->group));
}

/* dmem.capacity covers the heap.  Buffers are charged until they are freed. */
TEST_F(dmem, follows)
{
	const unsigned long long all = mem_bytes("DMAHeap");
	const char *heap = dmem_heap(variant->heap);
	int i;

	EXPECT_LE(8 * MIB, read_number(self->group.top, "dmem.capacity", self->region));
	ASSERT_EQ(0, member_alloc(&self->member, heap, 4 * MIB));
	ASSERT_EQ(0, member_alloc(&self->member, heap, 1));
	EXPECT_EQ(4 * MIB + sysconf(_SC_PAGESIZE),
		  dmem_current(self->group.inner, self->region));
	if (read_number("/proc", "vmstat", "nr_dma_heap") >= 0)
		EXPECT_LE(all + 3 * MIB, mem_bytes("DMAHeap"));
	ASSERT_EQ(0, member_simply(&self->member, FREE, 0));
	for (i = 0; i < 100 && mem_bytes("DMAHeap") > all + MIB; i++)
		usleep(20000);
	EXPECT_GE(all + MIB, mem_bytes("DMAHeap"));
}

/* A buffer beyond the limit fails with ENOMEM; a smaller one does not. */
TEST_F(dmem, limit)
{
	const char *heap = dmem_heap(variant->heap);

	ASSERT_TRUE(dmem_set_limit(self->group.inner, self->region, "6M"));
	ASSERT_EQ(0, member_alloc(&self->member, heap, 4 * MIB));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, heap, 4 * MIB));
	EXPECT_EQ(4 * MIB, dmem_current(self->group.inner, self->region));
	ASSERT_EQ(0, member_alloc(&self->member, heap, 2 * MIB));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, heap, 1));
}

/* The limit of the parent applies, too. */
TEST_F(dmem, limit_above)
{
	const char *heap = dmem_heap(variant->heap);

	ASSERT_TRUE(dmem_set_limit(self->group.outer, self->region, "6M"));
	ASSERT_EQ(0, member_alloc(&self->member, heap, 4 * MIB));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, heap, 4 * MIB));
}

/* A limit below the usage frees no buffer. */
TEST_F(dmem, lowered)
{
	const char *heap = dmem_heap(variant->heap);

	ASSERT_EQ(0, member_alloc(&self->member, heap, 4 * MIB));
	ASSERT_TRUE(dmem_set_limit(self->group.inner, self->region, "2M"));
	EXPECT_EQ(4 * MIB, dmem_current(self->group.inner, self->region));
	ASSERT_EQ(ENOMEM, member_alloc(&self->member, heap, 1));
	ASSERT_EQ(0, member_simply(&self->member, FREE, 0));
	ASSERT_EQ(0, member_alloc(&self->member, heap, 2 * MIB));
}

/* All heaps and aliases of the same memory are charged to one region. */
TEST_F(dmem, shared)
{
	const char *heap = dmem_heap(variant->heap);
	unsigned int others = 0;
	struct dirent *entry;
	char line[512];
	DIR *dir;

	ASSERT_TRUE(dmem_set_limit(self->group.inner, self->region, "6M"));
	ASSERT_EQ(0, member_alloc(&self->member, heap, 4 * MIB));
	dir = opendir("/sys/class/dma_heap");
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, heap) ||
		    !heap_charged_to(entry->d_name, line, sizeof(line)) ||
		    strncmp(line, "dmem:", 5) || strcmp(line + 5, self->region))
			continue;
		others++;
		EXPECT_EQ(ENOMEM, member_alloc(&self->member, entry->d_name, 4 * MIB));
		EXPECT_EQ(4 * MIB, dmem_current(self->group.inner, self->region));
	}
	closedir(dir);
	if (!others)
		SKIP(return, "heap %s is the only one of its region", heap);
}

/* A buffer larger than the region fails, and is never charged. */
TEST_F(dmem, too_large)
{
	const long long all = read_number(self->group.top, "dmem.capacity", self->region);
	const char *heap = dmem_heap(variant->heap);
	const uint64_t lengths[] = { all + 1, 2 * all, INT64_MAX, 0 };
	unsigned int i;

	ASSERT_LT(0, all);
	for (i = 0; lengths[i]; i++) {
		/* a 32-bit kernel may return EINVAL */
		if (lengths[i] > SIZE_MAX)
			continue;
		EXPECT_EQ(ENOMEM, member_alloc(&self->member, heap, lengths[i]));
		EXPECT_EQ(0, dmem_current(self->group.inner, self->region));
	}
	EXPECT_EQ(0, read_number(self->group.inner, "dmem.peak", self->region));
}

/* A buffer stays charged when its task and its group are gone. */
TEST_F(dmem, outlives)
{
	const struct order order = { .what = SEND };
	int buf = -1;

	ASSERT_EQ(0, member_alloc(&self->member, dmem_heap(variant->heap), 4 * MIB));
	ASSERT_EQ(0, member_do(&self->member, &order, &buf));
	ASSERT_LE(0, buf);
	member_end(&self->member);
	EXPECT_EQ(4 * MIB, dmem_current(self->group.inner, self->region));
	ASSERT_TRUE(remove_folder(self->group.inner));
	EXPECT_EQ(4 * MIB, dmem_current(self->group.outer, self->region));
	EXPECT_EQ(4 * MIB, lseek(buf, 0, SEEK_END));
	close(buf);
}

/* A buffer stays charged until a child that inherited it frees it. */
TEST_F(dmem, forked)
{
	ASSERT_EQ(0, member_alloc(&self->member, dmem_heap(variant->heap), 4 * MIB));
	ASSERT_EQ(0, member_simply(&self->member, FORK, 0));
	waitpid(self->member.pid, NULL, 0);
	self->member.pid = 0;
	EXPECT_EQ(4 * MIB, dmem_current(self->group.inner, self->region));
	ASSERT_EQ(0, member_simply(&self->member, FREE, 0));
	EXPECT_EQ(0, dmem_current(self->group.inner, self->region));
}

/*
 * Each allocation fails in turn while a group is charged for the first time.
 * The group is charged if and only if there is a buffer.
 */
TEST_F_TIMEOUT(dmem, faults, 300)
{
	struct order order = { .what = ALLOC, .len = 4 * MIB };
	unsigned int failed = 0;
	char path[128];
	int result, i;

	if (access("/proc/self/fail-nth", F_OK))
		SKIP(return, "no fail-nth in this kernel");
	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", settings[i].dir, settings[i].file);
		/* not every kernel has all kinds of faults */
		if (read_line(path, self->saved[i], sizeof(self->saved[i])))
			write_file(settings[i].dir, settings[i].file, settings[i].value);
	}
	if (!self->saved[0][0])
		SKIP(return, "no fail-nth in this kernel");
	snprintf(order.heap, sizeof(order.heap), "%s", dmem_heap(variant->heap));

	do {
		/* a new group that was never charged */
		member_end(&self->member);
		EXPECT_TRUE(remove_folder(self->group.inner));
		EXPECT_EQ(0, mkdir(self->group.inner, 0755));
		EXPECT_TRUE(member_start(&self->member, self->group.inner));
		/* its reply shows that it is in the group */
		EXPECT_EQ(0, member_simply(&self->member, FREE, 0));
		order.fail_nth++;
		result = member_do(&self->member, &order, NULL);
		EXPECT_EQ(result & ~FAULT_HIT ? 0 : 4 * MIB,
			  dmem_current(self->group.inner, self->region));
		failed += result == (ENOMEM | FAULT_HIT);
	} while (result != -1 && result & FAULT_HIT && order.fail_nth < 1000);
	EXPECT_EQ(0, result);
	EXPECT_LT(0, failed);
}

TEST_HARNESS_MAIN
