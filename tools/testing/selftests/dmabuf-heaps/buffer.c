// SPDX-License-Identifier: GPL-2.0
/*
 * Operations of programs on a buffer, which are the same for every heap
 */

#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "fixture.h"

/*
 * A private mapping is refused, whatever the size of the buffer, the mode of
 * the fd and the protection asked for.
 */
TEST_F(heap, private_mapping)
{
	const size_t sizes[] = { self->page, 16 * self->page, 1 << 20, (1 << 20) + self->page };
	const int prots[] = { PROT_READ, PROT_READ | PROT_WRITE };
	const int modes[] = { O_RDONLY, O_RDWR };
	unsigned int s, p, m;
	void *map;
	int buf;

	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (m = 0; m < ARRAY_SIZE(modes); m++) {
			buf = heap_alloc_flags(self->heap, sizes[s], modes[m] | O_CLOEXEC, 0);
			ASSERT_LE(0, buf);
			for (p = 0; p < ARRAY_SIZE(prots); p++) {
				map = mmap(NULL, sizes[s], prots[p], MAP_PRIVATE, buf, 0);
				EXPECT_EQ(MAP_FAILED, map) {
					TH_LOG("%zu bytes, mode %d, prot %d", sizes[s], modes[m],
					       prots[p]);
					munmap(map, sizes[s]);
				}
				EXPECT_EQ(EINVAL, errno);
			}
			close(buf);
		}
	}
}

/* Shared mappings share the memory, and obey the access mode of the fd. */
TEST_F(heap, shared_mapping)
{
	const size_t size = (1 << 20) + self->page;
	unsigned char *a, *b;
	int buf;

	buf = heap_alloc_flags(self->heap, size, O_RDONLY | O_CLOEXEC, 0);
	ASSERT_LE(0, buf);
	a = mmap(NULL, size, PROT_READ, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, a);
	EXPECT_EQ(0, a[size - 1]);
	munmap(a, size);
	EXPECT_ERRNO(EACCES, mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0));
	close(buf);

	buf = heap_alloc(self->heap, size);
	ASSERT_LE(0, buf);
	a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	b = mmap(NULL, self->page, PROT_READ, MAP_SHARED, buf, size - self->page);
	ASSERT_NE(MAP_FAILED, a);
	ASSERT_NE(MAP_FAILED, b);
	a[size - 1] = 0xa5;
	EXPECT_EQ(0xa5, b[self->page - 1]);
	munmap(a, size);
	munmap(b, self->page);
	close(buf);
}

/* lseek() accepts only offset 0, with SEEK_SET or, for the size, SEEK_END. */
TEST_F(heap, size)
{
	const off_t size = 3 * self->page;
	struct stat st;
	int buf;

	buf = heap_alloc(self->heap, size);
	ASSERT_LE(0, buf);
	EXPECT_EQ(size, lseek(buf, 0, SEEK_END));
	EXPECT_EQ(0, lseek(buf, 0, SEEK_SET));
	EXPECT_ERRNO(EINVAL, lseek(buf, 1, SEEK_SET));
	EXPECT_ERRNO(EINVAL, lseek(buf, -1, SEEK_END));
	EXPECT_ERRNO(EINVAL, lseek(buf, 0, SEEK_CUR));
	EXPECT_EQ(0, fstat(buf, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(-1, ftruncate(buf, 0));
	EXPECT_ERRNO(EINVAL, read(buf, &st, 1));
	EXPECT_ERRNO(EINVAL, write(buf, &st, 1));
	close(buf);
}

/* Valid flags are read, write or both, with start or end. */
TEST_F(heap, sync_flags)
{
	struct dma_buf_sync sync;
	unsigned int bit;
	int buf;

	buf = heap_alloc(self->heap, 2 * self->page);
	ASSERT_LE(0, buf);
	for (sync.flags = 0; sync.flags < 256; sync.flags++) {
		bool good = !(sync.flags & ~DMA_BUF_SYNC_VALID_FLAGS_MASK) &&
			    (sync.flags & DMA_BUF_SYNC_RW);

		errno = 0;
		EXPECT_EQ(good ? 0 : -1, ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync)) {
			TH_LOG("flags %#llx", (unsigned long long)sync.flags);
		}
		EXPECT_EQ(good ? 0 : EINVAL, errno);
	}
	for (bit = 3; bit < 64; bit++) {
		sync.flags = DMA_BUF_SYNC_RW | 1ULL << bit;
		EXPECT_ERRNO(EINVAL, ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync));
	}
	EXPECT_ERRNO(EFAULT, ioctl(buf, DMA_BUF_IOCTL_SYNC, NULL));
	close(buf);
}

/* Get the value of a key in fdinfo. */
static bool fdinfo_has(int fd, const char *key, char *value, size_t size)
{
	const size_t n = strlen(key);
	char path[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, n) || line[n] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(value, size, "%s", line + n + 1 + strspn(line + n + 1, " \t"));
		found = true;
	}
	if (f)
		fclose(f);

	return found;
}

/* A buffer can have a name of at most 31 characters, which fdinfo shows. */
TEST_F(heap, set_name)
{
	char name[DMA_BUF_NAME_LEN + 1], seen[256] = "";
	int buf;

	buf = heap_alloc(self->heap, self->page);
	ASSERT_LE(0, buf);
	EXPECT_TRUE(fdinfo_has(buf, "size", seen, sizeof(seen)));
	EXPECT_EQ(self->page, atol(seen));
	EXPECT_EQ(0, ioctl(buf, DMA_BUF_SET_NAME, "a camera's"));
	EXPECT_TRUE(fdinfo_has(buf, "name", seen, sizeof(seen)));
	EXPECT_STREQ("a camera's", seen);

	memset(name, 'x', sizeof(name));
	name[DMA_BUF_NAME_LEN] = '\0';
	EXPECT_ERRNO(EINVAL, ioctl(buf, DMA_BUF_SET_NAME, name));
	EXPECT_ERRNO(EFAULT, ioctl(buf, DMA_BUF_SET_NAME, NULL));
	/* neither call changed the name */
	EXPECT_TRUE(fdinfo_has(buf, "name", seen, sizeof(seen)));
	EXPECT_STREQ("a camera's", seen);
	name[DMA_BUF_NAME_LEN - 1] = '\0';
	EXPECT_EQ(0, ioctl(buf, DMA_BUF_SET_NAME, name));
	EXPECT_TRUE(fdinfo_has(buf, "name", seen, sizeof(seen)));
	EXPECT_STREQ(name, seen);
	close(buf);
}

/* mmap() with each protection, length and offset, for fds of each mode */
TEST_F(heap, mmap_matrix)
{
	const size_t size = 4 * self->page;
	unsigned int mode, prot, pages;
	int buf, want;
	off_t offset;
	void *map;

	for (mode = O_RDONLY; mode <= O_RDWR; mode++) {
		buf = heap_alloc_flags(self->heap, size, mode | O_CLOEXEC, 0);
		ASSERT_LE(0, buf);
		for (prot = 0; prot <= (PROT_READ | PROT_WRITE); prot++) {
			want = 0;
			if (mode == O_WRONLY || (mode == O_RDONLY && (prot & PROT_WRITE)))
				want = EACCES;
			errno = 0;
			map = mmap(NULL, size, prot, MAP_SHARED, buf, 0);
			EXPECT_EQ(want, errno) {
				TH_LOG("mode %u, prot %u", mode, prot);
			}
			if (map != MAP_FAILED)
				munmap(map, size);
		}
		for (pages = 1; mode == O_RDWR && pages < 6; pages++) {
			for (offset = 0; offset < 6; offset++) {
				want = offset + pages > 4 ? EINVAL : 0;
				errno = 0;
				map = mmap(NULL, pages * self->page, PROT_READ, MAP_SHARED, buf,
					   offset * self->page);
				EXPECT_EQ(want, errno) {
					TH_LOG("%u pages from %d on", pages, (int)offset);
				}
				if (map != MAP_FAILED)
					munmap(map, pages * self->page);
			}
		}
		close(buf);
	}

	/* offsets that wrap */
	buf = heap_alloc(self->heap, size);
	ASSERT_LE(0, buf);
	for (pages = 1; pages < 6; pages++) {
		EXPECT_EQ(MAP_FAILED, mmap(NULL, pages * self->page, PROT_READ, MAP_SHARED, buf,
					   -(off_t)(pages * self->page)));
		EXPECT_TRUE(errno == EINVAL || errno == EOVERFLOW);
	}
	close(buf);
}

/* Advice that does not apply to PFN mappings is refused. */
TEST_F(heap, madvise)
{
	const int good[] = { MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTFORK };
	const int bad[] = { MADV_DONTNEED, MADV_FREE, MADV_MERGEABLE, MADV_DOFORK, MADV_DODUMP,
			    MADV_COLD, MADV_PAGEOUT };
	const size_t size = 4 * self->page;
	unsigned char *map;
	char value[256];
	unsigned int i;
	int buf;

	buf = heap_alloc(self->heap, size);
	ASSERT_LE(0, buf);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	if (smaps_has(map, "VmFlags", value, sizeof(value)) && !strstr(value, " pf ")) {
		munmap(map, size);
		close(buf);
		SKIP(return, "this kernel maps pages that are the process's own");
	}
	memset(map, 0xa5, size);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(0, madvise(map, size, good[i])) {
			TH_LOG("advice %d: %s", good[i], strerror(errno));
		}
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (bad[i] == MADV_MERGEABLE) {
			/* refused without KSM, and no effect with it */
			madvise(map, size, bad[i]);
			continue;
		}
		EXPECT_ERRNO(EINVAL, madvise(map, size, bad[i])) {
			TH_LOG("advice %d", bad[i]);
		}
	}
	/* a buffer has no holes */
	EXPECT_EQ(-1, madvise(map, size, MADV_REMOVE));
	for (i = 0; i < size; i++)
		ASSERT_EQ(0xa5, map[i]);
	munmap(map, size);
	close(buf);
}

/*
 * Pages of a mapping are not part of Rss, are not written to core dumps, and
 * cannot be accessed with process_vm_readv() or /proc/PID/mem.
 */
TEST_F(heap, seen_from_outside)
{
	const char * const flags[] = { " sh ", " pf ", " io ", " de ", " dd " };
	const size_t size = 4 * self->page;
	char value[256], copy[8];
	struct iovec here = { copy, sizeof(copy) }, there;
	unsigned char *map;
	unsigned int i;
	int buf, mem;

	buf = heap_alloc(self->heap, size);
	ASSERT_LE(0, buf);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	memset(map, 0xa5, size);
	/* without the right to lock memory, mlock() fails earlier */
	if (mlock(map, size))
		ASSERT_TRUE(errno == EPERM || errno == ENOMEM);

	if (smaps_has(map, "VmFlags", value, sizeof(value))) {
		if (!strstr(value, " pf ")) {
			munmap(map, size);
			close(buf);
			SKIP(return, "this kernel maps pages that are the process's own");
		}
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			EXPECT_NE(NULL, strstr(value, flags[i])) {
				TH_LOG("no%sin %s", flags[i], value);
			}
		}
		EXPECT_TRUE(smaps_has(map, "Rss", value, sizeof(value)));
		EXPECT_EQ(0, atoi(value));
	}

	there = (struct iovec) { map, sizeof(copy) };
	/* not every kernel has this system call */
	if (!process_vm_readv(getpid(), NULL, 0, NULL, 0, 0))
		EXPECT_ERRNO(EFAULT, process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, mem);
	EXPECT_ERRNO(EIO, pread(mem, copy, sizeof(copy), (unsigned long)map));
	close(mem);
	munmap(map, size);
	close(buf);
}

static bool send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = {}, c = 0;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));

	return sendmsg(sock, &msg, 0) == 1;
}

static int receive_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));

	return fd;
}

/*
 * A process can use a buffer that it received, without access to the heap, and
 * after the process that allocated it is gone.
 */
TEST_F(heap, given_away)
{
	const size_t size = (1 << 20) + self->page;
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };
	int pair[2], buf, status = -1;
	unsigned char *map;
	size_t i;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->heap);
		buf = heap_open(self->name);
		if (buf >= 0)
			buf = heap_alloc(buf, size);
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
		if (map == MAP_FAILED)
			_exit(1);
		memset(map, 0x3c, size);
		_exit(!send_fd(pair[1], buf));
	}
	waitpid(pid, &status, 0);
	ASSERT_EQ(0, status);
	buf = receive_fd(pair[0]);
	ASSERT_LE(0, buf);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < size; i++)
		ASSERT_EQ(0x3c, map[i]);
	munmap(map, size);

	/* pass it to a process without privileges */
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* a user namespace may not have this ID */
		if (!geteuid() && !setgid(65534) && setuid(65534))
			_exit(1);
		buf = receive_fd(pair[0]);
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
		if (map == MAP_FAILED)
			_exit(2);
		map[0] = 1;
		_exit(ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync) ? 3 : 0);
	}
	EXPECT_TRUE(send_fd(pair[1], buf));
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(1, map[0]);
	munmap(map, size);
	close(buf);
	close(pair[0]);
	close(pair[1]);
}

/* Return 0 if the fd is open after execl(), 1 if not, 127 without a shell. */
static int fd_after_exec(int fd)
{
	char path[64];
	int status = -1;
	pid_t pid;

	snprintf(path, sizeof(path), "test -e /proc/self/fd/%d", fd);
	pid = fork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", path, NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(heap, exec)
{
	int buf, copy;

	if (fd_after_exec(0) == 127)
		SKIP(return, "there is no /bin/sh");
	buf = heap_alloc_flags(self->heap, self->page, O_RDWR | O_CLOEXEC, 0);
	ASSERT_LE(0, buf);
	EXPECT_EQ(1, fd_after_exec(buf));
	copy = dup(buf);
	ASSERT_LE(0, copy);
	EXPECT_EQ(0, fd_after_exec(copy));
	close(buf);
	/* the copy still refers to the buffer */
	EXPECT_EQ(self->page, lseek(copy, 0, SEEK_END));
	close(copy);

	buf = heap_alloc_flags(self->heap, self->page, O_RDWR, 0);
	ASSERT_LE(0, buf);
	EXPECT_EQ(0, fd_after_exec(buf));
	close(buf);
}

/* A new buffer has no fences: it is ready, and its sync file is signalled. */
TEST_F(heap, fences)
{
	struct dma_buf_export_sync_file get = { .flags = DMA_BUF_SYNC_RW, .fd = -1 };
	struct dma_buf_import_sync_file put = { .flags = DMA_BUF_SYNC_WRITE };
	struct pollfd ready = { .events = POLLIN | POLLOUT };
	int buf;

	buf = heap_alloc(self->heap, self->page);
	ASSERT_LE(0, buf);
	ready.fd = buf;
	ASSERT_EQ(1, poll(&ready, 1, 0));
	ASSERT_EQ(POLLIN | POLLOUT, ready.revents);

	if (ioctl(buf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &get) && errno == ENOTTY) {
		close(buf);
		SKIP(return, "this kernel has no sync files for dma-bufs");
	}
	ASSERT_LE(0, get.fd);
	ready = (struct pollfd) { .fd = get.fd, .events = POLLIN };
	EXPECT_EQ(1, poll(&ready, 1, 0));
	EXPECT_EQ(POLLIN, ready.revents);
	put.fd = get.fd;
	EXPECT_EQ(0, ioctl(buf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &put));
	close(get.fd);
	put.fd = self->heap;
	EXPECT_ERRNO(EINVAL, ioctl(buf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &put));
	get.flags = DMA_BUF_SYNC_END;
	EXPECT_ERRNO(EINVAL, ioctl(buf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &get));
	close(buf);
}

/* A new buffer has no data of other processes. */
TEST_F(heap, zero_after_others)
{
	const size_t sizes[] = { self->page, 16 * self->page, 1 << 20, 4 << 20 };
	unsigned int round, i, seen = 0;
	unsigned char *map;
	int buf, status;
	size_t n;
	pid_t pid;

	for (round = 0; round < 8; round++) {
		pid = fork();
		ASSERT_LE(0, pid);
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			buf = heap_alloc(self->heap, sizes[i]);
			/* only the first must fit into a small region */
			if (buf < 0 && i)
				break;
			map = mmap(NULL, sizes[i], PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
			if (map == MAP_FAILED) {
				seen++;
				break;
			}
			for (n = 0; n < sizes[i]; n++)
				seen += map[n] != 0;
			if (seen)
				TH_LOG("round %u, %zu bytes: %u not zero", round, sizes[i], seen);
			memset(map, 0xff, sizes[i]);
			if (pid) {
				munmap(map, sizes[i]);
				close(buf);
			}
		}
		/* exit with buffers that are still open and mapped */
		if (!pid)
			_exit(seen ? 1 : 0);
		waitpid(pid, &status, 0);
		EXPECT_EQ(0, status);
		EXPECT_EQ(0, seen);
	}
}

TEST_HARNESS_MAIN
