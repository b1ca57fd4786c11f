// SPDX-License-Identifier: GPL-2.0
/*
 * Who pays for the buffers of the system heaps: the cgroup of the task that
 * allocates them, when the kernel is booted with dma_heap.mem_accounting=1.
 */

#define _GNU_SOURCE
#include <sys/mount.h>
#include <sys/wait.h>

#include "fixture.h"

#define PARAMETER "/sys/module/dma_heap/parameters/mem_accounting"
#define BUFFER (16 << 20)

/* A cgroup of our own, in a mount of our own of the one hierarchy there is. */
#define TEMPLATE "/tmp/dmabuf-heaps.XXXXXX"

static char top[sizeof(TEMPLATE)], group[2 * sizeof(TEMPLATE)];
static bool mounted;

static bool write_group(const char *dir, const char *file, const char *text)
{
	char path[256];
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

/* The number behind a key of a file of the cgroup, or the file's only one. */
static long long read_group(const char *file, const char *key)
{
	long long value = -1;
	char path[256], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	f = fopen(path, "re");
	while (f && value < 0 && fgets(line, sizeof(line), f)) {
		if (!key)
			value = atoll(line);
		else if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ' ')
			value = atoll(line + strlen(key));
	}
	if (f)
		fclose(f);

	return value;
}

static bool group_make(void)
{
	memcpy(top, TEMPLATE, sizeof(top));
	group[0] = '\0';
	if (!mkdtemp(top)) {
		top[0] = '\0';
		return false;
	}
	mounted = !mount("none", top, "cgroup2", 0, NULL);
	if (!mounted || !write_group(top, "cgroup.subtree_control", "+memory"))
		return false;
	snprintf(group, sizeof(group), "%s/dmabuf-heaps.XXXXXX", top);
	if (!mkdtemp(group)) {
		group[0] = '\0';
		return false;
	}

	return read_group("memory.current", NULL) >= 0;
}

static void group_remove(void)
{
	int i;

	/* its last task may be on its way out */
	for (i = 0; group[0] && i < 50 && rmdir(group) && errno == EBUSY; i++)
		usleep(20000);
	if (mounted)
		umount(top);
	mounted = false;
	if (top[0])
		rmdir(top);
}

static bool accounted(void)
{
	FILE *f = fopen(PARAMETER, "re");
	int c = f ? fgetc(f) : 'N';

	if (f)
		fclose(f);

	return c == 'Y' || c == '1';
}

/* What the buffers in a child of that cgroup come to: 0 or an errno for each. */
static int child_allocates(int heap, unsigned int n, int *current_pipe)
{
	unsigned int i;
	int buf, go[2], status = -1;
	pid_t pid;
	char c = 0;

	if (pipe(go))
		return -1;
	pid = fork();
	if (!pid) {
		close(go[1]);
		if (!write_group(group, "cgroup.procs", "0"))
			_exit(255);
		for (i = 0; i < n; i++) {
			buf = heap_alloc(heap, BUFFER);
			if (buf < 0)
				_exit(errno);
		}
		/* hold them until somebody has looked */
		if (current_pipe && (write(current_pipe[1], &c, 1) != 1 || read(go[0], &c, 1) < 0))
			_exit(254);
		_exit(0);
	}
	close(go[0]);
	if (current_pipe) {
		close(current_pipe[1]);
		if (read(current_pipe[0], &c, 1) == 1)
			status = 0;
		close(current_pipe[0]);
		if (!status)
			current_pipe[0] = read_group("memory.current", NULL) >> 10;
	}
	close(go[1]);
	waitpid(pid, &status, 0);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A cgroup to test with, or the reason why there is nothing to test. */
static const char *set_up(const char *heap)
{
	if (strncmp(heap, "system", 6))
		return "memory of this heap is not charged";
	if (!accounted())
		return "not booted with dma_heap.mem_accounting=1";
	/* mounting it sets its options for everybody, and the controller stays on */
	if (!may_disrupt())
		return "not without DMABUF_DISRUPT=1";
	if (!group_make()) {
		group_remove();
		return "no cgroup2 with a memory controller here";
	}

	return NULL;
}

/* The allocator's cgroup has them in memory.current, for as long as they live. */
TEST_F(heap, follows)
{
	const char *reason;
	int pipes[2], i;
	long long before;

	reason = set_up(self->name);
	if (reason)
		SKIP(return, "%s", reason);
	before = read_group("memory.current", NULL);
	EXPECT_EQ(0, pipe2(pipes, O_CLOEXEC));
	EXPECT_EQ(0, child_allocates(self->heap, 2, pipes));
	/* in KiB */
	EXPECT_LE((before + 2 * BUFFER) >> 10, pipes[0]);
	EXPECT_GT((before + 3 * BUFFER) >> 10, pipes[0]);
	for (i = 0; i < 100 && read_group("memory.current", NULL) >= before + BUFFER; i++)
		usleep(20000);
	EXPECT_GT(before + BUFFER, read_group("memory.current", NULL));
	group_remove();
}

/* What the limit does not allow is ENOMEM, and nobody is killed for it. */
TEST_F(heap, limit)
{
	const char *reason;

	reason = set_up(self->name);
	if (reason)
		SKIP(return, "%s", reason);
	EXPECT_TRUE(write_group(group, "memory.max", "24M"));
	EXPECT_EQ(0, child_allocates(self->heap, 1, NULL));
	EXPECT_EQ(ENOMEM, child_allocates(self->heap, 2, NULL));
	EXPECT_EQ(0, read_group("memory.events", "oom_kill"));
	EXPECT_LT(0, read_group("memory.events", "max"));
	group_remove();
}

TEST_HARNESS_MAIN
