// SPDX-License-Identifier: GPL-2.0
/*
 * DMA_HEAP_IOCTL_ALLOC as an interface: which commands, structures, flags and
 * lengths it takes, with which errno it refuses the others, and that what it
 * refuses leaves nothing behind.
 */

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "heap.h"
#include "kselftest_harness.h"

FIXTURE(abi)
{
	int heap;
	int fds;
	long page;
};

FIXTURE_VARIANT(abi)
{
	const char *name;
};

FIXTURE_VARIANT_ADD(abi, system)
{
	.name = "system",
};

FIXTURE_VARIANT_ADD(abi, default_cma_region)
{
	.name = "default_cma_region",
};

FIXTURE_VARIANT_ADD(abi, system_uncached)
{
	.name = "system-uncached",
};

FIXTURE_VARIANT_ADD(abi, default_cma_region_uncached)
{
	.name = "default_cma_region-uncached",
};

FIXTURE_SETUP(abi)
{
	self->page = sysconf(_SC_PAGESIZE);
	self->heap = heap_open(variant->name);
	if (self->heap < 0)
		SKIP(return, "cannot open heap %s: %s", variant->name, strerror(errno));
	self->fds = count_fds();
	ASSERT_LT(0, self->fds);
}

FIXTURE_TEARDOWN(abi)
{
	if (self->heap < 0)
		return;
	/* whatever a test did, it closed what it was given */
	EXPECT_EQ(self->fds, count_fds());
	close(self->heap);
}

/* A command of another number, type or direction is not this device's. */
TEST_F(abi, other_commands)
{
	const unsigned int size = sizeof(struct dma_heap_allocation_data);
	const unsigned int others[] = {
		_IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 1, size),
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
		EXPECT_EQ(-1, ioctl(self->heap, others[i], &data)) {
			TH_LOG("command %#x", others[i]);
		}
		EXPECT_EQ(ENOTTY, errno);
		EXPECT_EQ(0, data.fd);
		EXPECT_EQ(self->fds, count_fds());
	}
}

/*
 * The structure may be older (shorter; what is missing is zero) or newer
 * (longer; what is not known is ignored), but has room for the fd.
 */
TEST_F(abi, structure_sizes)
{
	union {
		struct dma_heap_allocation_data data;
		unsigned char bytes[128];
	} arg;
	unsigned int size;
	int ret;

	for (size = 0; size <= sizeof(arg); size++) {
		memset(&arg, 0xa5, sizeof(arg));
		arg.data = (struct dma_heap_allocation_data) {
			.len = self->page,
			.fd_flags = O_RDWR | O_CLOEXEC,
		};
		errno = 0;
		ret = ioctl(self->heap, _IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 0, size),
			    &arg);
		if (size < offsetof(struct dma_heap_allocation_data, fd) + sizeof(__u32)) {
			EXPECT_EQ(-1, ret) {
				TH_LOG("size %u", size);
			}
			EXPECT_EQ(EINVAL, errno);
			EXPECT_EQ(0, arg.data.fd);
		} else {
			EXPECT_EQ(0, ret) {
				TH_LOG("size %u: %s", size, strerror(errno));
			}
			EXPECT_EQ(self->page, lseek(arg.data.fd, 0, SEEK_END));
			close(arg.data.fd);
			/* beyond the known members nothing is written */
			if (size > sizeof(arg.data))
				EXPECT_EQ(0xa5, arg.bytes[size - 1]);
		}
		EXPECT_EQ(self->fds, count_fds());
	}
}

/* Newer structures may be as long as a command can say. */
TEST_F(abi, large_structures)
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
		EXPECT_EQ(0, ioctl(self->heap, _IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 0,
						    sizes[i]), data));
		EXPECT_EQ(self->page, lseek(data->fd, 0, SEEK_END));
		close(data->fd);
	}
	free(data);
}

/* The three access modes, with or without O_CLOEXEC, and nothing else. */
TEST_F(abi, fd_flags)
{
	unsigned int mode, bit;
	int fd;

	for (mode = 0; mode < O_ACCMODE; mode++) {
		fd = heap_alloc_flags(self->heap, self->page, mode, 0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(mode, fcntl(fd, F_GETFL) & O_ACCMODE);
		EXPECT_EQ(0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);

		fd = heap_alloc_flags(self->heap, self->page, mode | O_CLOEXEC, 0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}

	for (bit = 0; bit < 32; bit++) {
		unsigned int flags = 1U << bit;

		if (flags & (O_ACCMODE | O_CLOEXEC))
			flags |= O_ACCMODE;	/* no mode at all */
		EXPECT_EQ(-1, heap_alloc_flags(self->heap, self->page, O_RDWR | flags, 0)) {
			TH_LOG("fd_flags %#x", O_RDWR | flags);
		}
		EXPECT_EQ(EINVAL, errno);
	}
}

/* There are no heap flags. */
TEST_F(abi, heap_flags)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		EXPECT_EQ(-1, heap_alloc_flags(self->heap, self->page, O_RDWR, 1ULL << bit));
		EXPECT_EQ(EINVAL, errno);
	}
}

/* The fd is an answer: it must be 0 in the question. */
TEST_F(abi, fd_not_zero)
{
	struct dma_heap_allocation_data data = {
		.len = self->page,
		.fd = 1,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	EXPECT_EQ(-1, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, &data));
	EXPECT_EQ(EINVAL, errno);
}

/* Lengths are rounded up to pages; none, and those that wrap, are refused. */
TEST_F(abi, lengths)
{
	const __u64 good[] = { 1, self->page - 1, self->page, self->page + 1, 1 << 20 };
	const __u64 bad[] = { 0, UINT64_MAX, UINT64_MAX - self->page + 2 };
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		fd = heap_alloc(self->heap, good[i]);
		ASSERT_LE(0, fd);
		EXPECT_EQ((good[i] + self->page - 1) / self->page * self->page,
			  lseek(fd, 0, SEEK_END));
		close(fd);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-1, heap_alloc(self->heap, bad[i]));
		EXPECT_EQ(EINVAL, errno);
	}
}

/* A structure that cannot be read, or not be written: no fd, no buffer. */
TEST_F(abi, bad_pointers)
{
	struct dma_heap_allocation_data *data;

	EXPECT_EQ(-1, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, NULL));
	EXPECT_EQ(EFAULT, errno);

	data = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, data);
	data->len = self->page;
	data->fd_flags = O_RDWR | O_CLOEXEC;
	ASSERT_EQ(0, mprotect(data, self->page, PROT_READ));
	EXPECT_EQ(-1, ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC, data));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(self->fds, count_fds());
	munmap(data, self->page);
}

#ifdef __x86_64__
/* A system call by the entry and the number that i386 has. */
static long compat_syscall(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("int $0x80" : "=a" (ret) : "a" (nr), "b" (a), "c" (b), "d" (c)
		     : "memory", "r8", "r9", "r10", "r11");

	return (int)ret;
}

/* Without CONFIG_IA32_EMULATION that is a fault. */
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

/* A 32-bit program on a 64-bit kernel means the same by the same bytes. */
TEST_F(abi, compat)
{
#ifdef __x86_64__
	struct dma_heap_allocation_data *data;

	if (!have_compat())
		SKIP(return, "this kernel runs no 32-bit programs");

	data = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, data);
	data->len = 2 * self->page;
	data->fd_flags = O_RDWR | O_CLOEXEC;
	EXPECT_EQ(0, compat_syscall(54, self->heap, DMA_HEAP_IOCTL_ALLOC, (long)data));
	EXPECT_EQ(2 * self->page, lseek(data->fd, 0, SEEK_END));
	close(data->fd);

	data->fd = 0;
	data->len = 0;
	EXPECT_EQ(-EINVAL, compat_syscall(54, self->heap, DMA_HEAP_IOCTL_ALLOC, (long)data));
	EXPECT_EQ(0, data->fd);
	munmap(data, self->page);
#else
	SKIP(return, "no other way into the kernel is known here");
#endif
}

TEST_HARNESS_MAIN
