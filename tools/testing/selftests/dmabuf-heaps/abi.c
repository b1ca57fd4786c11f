// SPDX-License-Identifier: GPL-2.0
/*
 * The ABI of DMA_HEAP_IOCTL_ALLOC: which commands, structures, flags and
 * lengths are valid, the errno for others, and that a refused call leaves
 * nothing behind.
 */

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fixture.h"

/* A command with another number, type or direction is ENOTTY. */
TEST_F(heap, other_commands)
{
	const unsigned int size = sizeof(struct dma_heap_allocation_data);
	const unsigned int others[] = {
		_IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 2, size),
		_IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 255, size),
		_IOC(_IOC_READ | _IOC_WRITE, 'I', 0, size),
		_IOC(_IOC_READ | _IOC_WRITE, 0, 0, size),
		_IOC(_IOC_READ, DMA_HEAP_IOC_MAGIC, 0, size),
		_IOC(_IOC_WRITE, DMA_HEAP_IOC_MAGIC, 0, size),
		_IOC(_IOC_NONE, DMA_HEAP_IOC_MAGIC, 0, size),
		_IOC(_IOC_NONE, DMA_HEAP_IOC_MAGIC, 0, 0),
	};
	struct dma_heap_allocation_data data;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		data = (struct dma_heap_allocation_data) {
			.len = self->page,
			.fd_flags = O_RDWR | O_CLOEXEC,
		};
		EXPECT_ERRNO(ENOTTY, ioctl(self->heap, others[i], &data)) {
			TH_LOG("command %#x", others[i]);
		}
		EXPECT_EQ(0, data.fd);
		/* an unexpected buffer */
		if (data.fd)
			close(data.fd);
		EXPECT_EQ(self->fds, count_fds());
	}
}

/*
 * The structure may be shorter (missing members are zero) or longer (unknown
 * members are ignored), but must include the fd.
 */
TEST_F(heap, structure_sizes)
{
	union {
		struct dma_heap_allocation_data data;
		unsigned char bytes[128];
	} arg, before;
	unsigned char tail;
	unsigned int i, size, known;
	int ret;

	for (i = 0; i <= 2 * sizeof(arg); i++) {
		size = i / 2;
		known = size < sizeof(arg.data) ? size : sizeof(arg.data);
		tail = i % 2 ? 0xa5 : 0;
		arg.data = (struct dma_heap_allocation_data) {
			.len = self->page,
			.fd_flags = O_RDWR | O_CLOEXEC,
		};
		/* what the kernel does not know or must not access */
		memset(arg.bytes + known, tail, sizeof(arg) - known);
		before = arg;
		errno = 0;
		ret = ioctl(self->heap, _IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 0, size),
			    &arg);
		if (size < offsetof(struct dma_heap_allocation_data, fd) + sizeof(__u32)) {
			EXPECT_EQ(-1, ret) {
				TH_LOG("size %u", size);
			}
			EXPECT_EQ(EINVAL, errno);
		} else {
			EXPECT_EQ(0, ret) {
				TH_LOG("size %u: %s", size, strerror(errno));
			}
			if (!ret) {
				EXPECT_EQ(self->page, lseek(arg.data.fd, 0, SEEK_END));
				close(arg.data.fd);
				arg.data.fd = 0;
			}
		}
		/* and nothing but the fd is written */
		EXPECT_EQ(0, memcmp(&before, &arg, sizeof(arg))) {
			TH_LOG("size %u", size);
		}
		EXPECT_EQ(self->fds, count_fds());
	}
}

/* A structure may have any size that a command can encode. */
TEST_F(heap, large_structures)
{
	const unsigned int sizes[] = { 129, 4096, _IOC_SIZEMASK };
	struct dma_heap_allocation_data *data;
	unsigned int i;

	data = calloc(1, _IOC_SIZEMASK);
	ASSERT_NE(NULL, data);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		data->len = self->page;
		data->fd = 0;
		data->fd_flags = O_RDWR | O_CLOEXEC;
		ASSERT_EQ(0, ioctl(self->heap, _IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 0,
						    sizes[i]), data));
		EXPECT_EQ(self->page, lseek(data->fd, 0, SEEK_END));
		close(data->fd);
	}
	free(data);
}

/* The part after the known members need not be accessible. */
TEST_F(heap, inaccessible_tail)
{
	const unsigned int cmd = _IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 0, 4096);
	struct dma_heap_allocation_data *data;
	char *map;

	map = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mprotect(map + self->page, self->page, PROT_NONE));
	data = (void *)(map + self->page - sizeof(*data));
	data->len = self->page;
	data->fd_flags = O_RDWR | O_CLOEXEC;
	EXPECT_EQ(0, ioctl(self->heap, cmd, data)) {
		TH_LOG("%s", strerror(errno));
	}
	if (data->fd)
		close(data->fd);
	munmap(map, 2 * self->page);
}

/* The three access modes, with or without O_CLOEXEC, and nothing else. */
TEST_F(heap, fd_flags)
{
	/* not O_ACCMODE, to which some libraries add O_PATH */
	const unsigned int accmode = O_RDONLY | O_WRONLY | O_RDWR;
	unsigned int mode, bit, other;
	int fd;

	for (mode = O_RDONLY; mode <= O_RDWR; mode++) {
		fd = heap_alloc_flags(self->heap, self->page, mode, 0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(mode, fcntl(fd, F_GETFL) & accmode);
		EXPECT_EQ(0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);

		fd = heap_alloc_flags(self->heap, self->page, mode | O_CLOEXEC, 0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}

	for (bit = 0; bit < 32; bit++) {
		unsigned int flags = 1U << bit;

		if (flags & (accmode | O_CLOEXEC))
			flags |= accmode;	/* not a mode */
		fd = heap_alloc_flags(self->heap, self->page, O_RDWR | flags, 0);
		EXPECT_EQ(-1, fd) {
			TH_LOG("fd_flags %#x", O_RDWR | flags);
			close(fd);
		}
		EXPECT_EQ(EINVAL, errno);
	}

	/* all pairs of bits */
	for (bit = 0; bit < 32; bit++) {
		for (other = 0; other <= bit; other++) {
			unsigned int flags = 1U << bit | 1U << other;
			bool good = !(flags & ~(accmode | O_CLOEXEC)) &&
				    (flags & accmode) != accmode;

			errno = 0;
			fd = heap_alloc_flags(self->heap, self->page, flags, 0);
			EXPECT_EQ(good, fd >= 0) {
				TH_LOG("fd_flags %#x", flags);
			}
			EXPECT_EQ(good ? 0 : EINVAL, errno);
			if (fd >= 0)
				close(fd);
		}
	}
}

/* There are no heap flags. */
TEST_F(heap, heap_flags)
{
	unsigned int bit, other;

	for (bit = 0; bit < 64; bit++) {
		for (other = 0; other <= bit; other++) {
			EXPECT_ERRNO(EINVAL, heap_alloc_flags(self->heap, self->page, O_RDWR,
							      1ULL << bit | 1ULL << other)) {
				TH_LOG("bits %u and %u", bit, other);
			}
		}
	}
	EXPECT_ERRNO(EINVAL, heap_alloc_flags(self->heap, self->page, O_RDWR, ~0ULL));
}

/* The fd is an output: it must be 0 in the argument. */
TEST_F(heap, fd_not_zero)
{
	struct dma_heap_allocation_data data = {
		.len = self->page,
		.fd = 1,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	EXPECT_ERRNO(EINVAL, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, &data));
}

/*
 * Lengths are rounded up to pages.  0 and lengths that wrap are refused.
 * Lengths of more than 1/8 of the available memory need DMABUF_DISRUPT=1.
 */
TEST_F_TIMEOUT(heap, lengths, 600)
{
	const __u64 good[] = { 1, self->page - 1, self->page, self->page + 1, 1 << 20 };
	const __u64 large[] = {
		1ULL << 31, 1ULL << 32, (1ULL << 32) + self->page, 1ULL << 40,
		1ULL << 63, UINT64_MAX - self->page + 1,
	};
	const __u64 bad[] = { 0, UINT64_MAX, UINT64_MAX - self->page + 2 };
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		fd = heap_alloc(self->heap, good[i]);
		ASSERT_LE(0, fd) {
			TH_LOG("%llu bytes: %s", good[i], strerror(errno));
		}
		EXPECT_EQ((good[i] + self->page - 1) / self->page * self->page,
			  lseek(fd, 0, SEEK_END));
		close(fd);
	}
	/* the whole length or nothing */
	for (i = 0; i < ARRAY_SIZE(large); i++) {
		if (!may_disrupt() && large[i] > mem_bytes("MemAvailable") / 8)
			continue;
		fd = heap_alloc(self->heap, large[i]);
		if (fd < 0) {
			EXPECT_TRUE(errno == ENOMEM || (errno == EINVAL && large[i] > SIZE_MAX)) {
				TH_LOG("%#llx: %s", large[i], strerror(errno));
			}
			continue;
		}
		EXPECT_EQ(large[i], lseek(fd, 0, SEEK_END));
		close(fd);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_ERRNO(EINVAL, heap_alloc(self->heap, bad[i])) {
			TH_LOG("%#llx", bad[i]);
		}
	}
}

/* Write an argument to an address that may be misaligned. */
static void fill(void *to, size_t len)
{
	const struct dma_heap_allocation_data data = {
		.len = len,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	memcpy(to, &data, sizeof(data));
}

/* The fd in an argument that may be misaligned */
static int fd_at(const void *from)
{
	struct dma_heap_allocation_data data;

	memcpy(&data, from, sizeof(data));

	return data.fd;
}

/* A structure that cannot be read or written: no fd and no buffer is left. */
TEST_F(heap, bad_pointers)
{
	const unsigned long kernel[] = { ~0UL, ~0UL - self->page, 1UL << (sizeof(long) * 8 - 1) };
	const size_t size = sizeof(struct dma_heap_allocation_data);
	unsigned long before;
	char *pages, *data;
	unsigned int i;

	EXPECT_ERRNO(EFAULT, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, NULL));
	for (i = 0; i < ARRAY_SIZE(kernel); i++) {
		EXPECT_ERRNO(EFAULT, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, kernel[i])) {
			TH_LOG("%#lx", kernel[i]);
		}
	}

	pages = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, pages);

	/* readable, but not writable */
	data = pages;
	fill(data, self->page);
	ASSERT_EQ(0, mprotect(pages, self->page, PROT_READ));
	EXPECT_ERRNO(EFAULT, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, data));
	EXPECT_EQ(self->fds, count_fds());
	ASSERT_EQ(0, mprotect(pages, self->page, PROT_READ | PROT_WRITE));

	/* across two pages */
	data = pages + self->page - 12;
	fill(data, self->page);
	ASSERT_EQ(0, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, data));
	EXPECT_EQ(self->page, lseek(fd_at(data), 0, SEEK_END));
	close(fd_at(data));

	/* the second page is not writable, and then unmapped */
	for (before = 1; before < size; before++) {
		data = pages + self->page - before;
		fill(data, self->page);
		ASSERT_EQ(0, mprotect(pages + self->page, self->page, PROT_READ));
		if (ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, data)) {
			EXPECT_EQ(EFAULT, errno);
		} else {
			/* nothing but the fd needs to be written */
			EXPECT_LE(offsetof(struct dma_heap_allocation_data, fd_flags), before);
			close(fd_at(data));
		}
		EXPECT_EQ(self->fds, count_fds());
		ASSERT_EQ(0, mprotect(pages + self->page, self->page, PROT_READ | PROT_WRITE));
	}
	ASSERT_EQ(0, munmap(pages + self->page, self->page));
	for (before = 1; before < size; before++) {
		data = pages + self->page - before;
		EXPECT_ERRNO(EFAULT, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, data));
		EXPECT_EQ(self->fds, count_fds());
	}
	munmap(pages, self->page);
}

/* Without a free fd, allocation fails with EMFILE; with one, it works again. */
TEST_F(heap, fd_table_full)
{
	struct rlimit old, full;
	int fd;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	/* the lowest fd that is free */
	fd = dup(self->heap);
	ASSERT_LE(0, fd);
	close(fd);
	full = (struct rlimit) { fd, old.rlim_max };
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &full));
	EXPECT_ERRNO(EMFILE, heap_alloc(self->heap, self->page));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));

	fd = heap_alloc(self->heap, self->page);
	EXPECT_LE(0, fd);
	close(fd);
}

/* Any access mode of the node permits allocation; O_PATH does not. */
TEST_F(heap, open_modes)
{
	const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	char path[300], c = 0;
	unsigned int i;
	int heap, fd;

	snprintf(path, sizeof(path), HEAP_DIR "%s", self->name);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		heap = open(path, modes[i] | O_CLOEXEC);
		/* the permissions of the node may not allow it */
		if (heap < 0 && (errno == EACCES || errno == EPERM))
			continue;
		ASSERT_LE(0, heap);
		fd = heap_alloc(heap, self->page);
		EXPECT_LE(0, fd);
		close(fd);

		/* no operation other than the ioctls */
		EXPECT_ERRNO(modes[i] == O_WRONLY ? EBADF : EINVAL, read(heap, &c, 1));
		EXPECT_ERRNO(modes[i] == O_RDONLY ? EBADF : EINVAL, write(heap, &c, 1));
		EXPECT_ERRNO(modes[i] == O_WRONLY ? EACCES : ENODEV,
			     mmap(NULL, self->page, PROT_READ, MAP_SHARED, heap, 0));
		close(heap);
	}

	heap = open(path, O_PATH | O_CLOEXEC);
	ASSERT_LE(0, heap);
	EXPECT_ERRNO(EBADF, heap_alloc(heap, self->page));
	close(heap);
}

#ifdef __x86_64__
/* A system call of i386 */
static long compat_syscall(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("int $0x80" : "=a" (ret) : "a" (nr), "b" (a), "c" (b), "d" (c)
		     : "memory", "r8", "r9", "r10", "r11");

	return (int)ret;
}

/* Without CONFIG_IA32_EMULATION, int $0x80 is a fault. */
static bool have_compat(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(compat_syscall(20, 0, 0, 0) == getpid() ? 0 : 1);
	waitpid(pid, &status, 0);

	return status == 0;
}
#endif

/* The ioctls of a 32-bit program work on a 64-bit kernel. */
TEST_F(heap, compat)
{
#ifdef __x86_64__
	struct dma_heap_allocation_data *data;
	struct dma_heap_info *info, native = {};

	if (!have_compat())
		SKIP(return, "this kernel runs no 32-bit programs");

	data = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, data);
	data->len = 2 * self->page;
	data->fd_flags = O_RDWR | O_CLOEXEC;
	ASSERT_EQ(0, compat_syscall(54, self->heap, DMA_HEAP_IOCTL_ALLOC, (long)data));
	EXPECT_EQ(2 * self->page, lseek(data->fd, 0, SEEK_END));
	close(data->fd);

	data->fd = 0;
	data->len = 0;
	EXPECT_EQ(-EINVAL, compat_syscall(54, self->heap, DMA_HEAP_IOCTL_ALLOC, (long)data));
	EXPECT_EQ(0, data->fd);

	/* older kernels do not have it */
	if (!ioctl(self->heap, DMA_HEAP_IOCTL_GET_INFO, &native)) {
		info = (struct dma_heap_info *)data;
		memset(info, 0, sizeof(*info));
		EXPECT_EQ(0, compat_syscall(54, self->heap, DMA_HEAP_IOCTL_GET_INFO, (long)info));
		EXPECT_EQ(native.properties, info->properties);
		EXPECT_EQ(native.restrictions, info->restrictions);
		EXPECT_EQ(native.size, info->size);
		EXPECT_EQ(native.granule, info->granule);
		EXPECT_EQ(native.address_bits, info->address_bits);
	}
	munmap(data, self->page);
#else
	SKIP(return, "this program has to be built for 32 bits to see that here");
#endif
}

TEST_HARNESS_MAIN
