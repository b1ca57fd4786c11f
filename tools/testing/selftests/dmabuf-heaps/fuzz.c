// SPDX-License-Identifier: GPL-2.0
/*
 * Random calls on heaps and their buffers, with arguments that are often nearly
 * right.  The kernel must survive, report each new fd, and leave no file open.
 *
 * DMABUF_FUZZ_CALLS sets the number of calls.  DMABUF_FUZZ_SEED repeats a run;
 * the log has the seed.  Lengths that no machine has are used with
 * DMABUF_DISRUPT=1 only.  The random numbers of a call depend on the seed and
 * on the number of the call alone: a call with another result, perhaps for lack
 * of memory, does not change those of later calls.
 */

#define _GNU_SOURCE
#include <linux/sync_file.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#include "heap.h"
#include "kselftest_harness.h"

#define CALLS	100000
#define FDS	48
#define MAPS	16
#define HEAPS	32

/* the main process; tests run in grandchildren of it */
static pid_t harness;

struct map {
	void *addr;
	size_t size;
};

struct walk {
	__u64 state;
	int heaps[HEAPS];
	unsigned int nr_heaps;
	/* buffers, sync files and copies of them; -1 where there is none */
	int fds[FDS];
	struct map maps[MAPS];
	/* a page for arguments, with nothing mapped after it */
	char *args;
	size_t page;
	/* calls that were made, those that succeeded, and buffers allocated */
	unsigned long calls, good, buffers;
	/* unexpected fds, and fds that were not reported */
	unsigned long strays;
};

/* xorshift*: the same numbers on every machine */
static __u64 next(struct walk *w)
{
	w->state ^= w->state >> 12;
	w->state ^= w->state << 25;
	w->state ^= w->state >> 27;

	return w->state * 2685821657736338717ULL;
}

static unsigned int below(struct walk *w, unsigned int n)
{
	return (next(w) >> 33) % n;
}

/* Mostly small, as memory must last; sometimes too large for any machine */
static __u64 length(struct walk *w)
{
	__u64 too_much;

	switch (below(w, 8)) {
	case 0:
		/* a kernel may try it; draw always, to keep the order */
		too_much = next(w) | 1ULL << 44;
		return may_disrupt() ? too_much : 0;
	case 1:
		return below(w, 4) * 1ULL - 1;
	case 2:
		return below(w, 512 << 10);
	default:
		return below(w, 64 << 10);
	}
}

static __u64 flags(struct walk *w, __u64 right)
{
	switch (below(w, 8)) {
	case 0:
		return next(w);
	case 1:
		return right ^ 1ULL << below(w, 64);
	default:
		return right;
	}
}

static int *slot(struct walk *w)
{
	return &w->fds[below(w, FDS)];
}

/* The fd that the next new file gets. */
static int next_fd(struct walk *w)
{
	int fd = dup(w->heaps[0]);

	close(fd);

	return fd;
}

static void put(struct walk *w, int fd)
{
	int *s = slot(w);

	if (*s >= 0)
		close(*s);
	*s = fd;
}

/* @cmd, or sometimes a command that differs from it */
static unsigned long command(struct walk *w, unsigned long cmd)
{
	switch (below(w, 16)) {
	case 0:
		return cmd ^ 1UL << below(w, 32);
	case 1:
		return _IOC(_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd), below(w, 256));
	case 2:
		return (__u32)next(w);
	default:
		return cmd;
	}
}

/* Place the argument at the end of the page, partly beyond it, or nowhere. */
static void *argument(struct walk *w, const void *data, size_t size)
{
	char *p;

	switch (below(w, 32)) {
	case 0:
		return NULL;
	case 1:
		return (void *)next(w);
	case 2:
		p = w->args + w->page - below(w, size + 1);
		memcpy(p, data, w->args + w->page - p);
		return p;
	default:
		p = w->args + w->page - size;
		memcpy(p, data, size);
		return p;
	}
}

/*
 * Keep the file that a call created, if any, and check that the call reported
 * its fd as @fd, or no fd as -1.
 */
static void keep(struct walk *w, int expected, int fd)
{
	const bool made = fcntl(expected, F_GETFD) >= 0;

	w->good++;
	if (made ? fd != expected : fd >= 0)
		w->strays++;
	if (made)
		put(w, expected);
}

static void alloc(struct walk *w)
{
	struct dma_heap_allocation_data data = {};
	unsigned long cmd;
	int heap, expected;
	char *arg;
	bool ours;

	data.len = length(w);
	data.fd = flags(w, 0);
	data.fd_flags = O_RDWR | (below(w, 2) ? O_CLOEXEC : 0);
	data.fd_flags = flags(w, data.fd_flags);
	data.heap_flags = flags(w, 0);
	arg = argument(w, &data, sizeof(data));
	heap = w->heaps[below(w, w->nr_heaps)];
	if (!below(w, 16))
		heap = *slot(w);
	cmd = command(w, DMA_HEAP_IOCTL_ALLOC);
	ours = (cmd & ~IOCSIZE_MASK) == (DMA_HEAP_IOCTL_ALLOC & ~IOCSIZE_MASK);

	expected = next_fd(w);
	if (ioctl(heap, cmd, arg))
		return;
	w->buffers += ours;
	/* @arg may be misaligned, and end after the fd */
	if (ours)
		memcpy(&data.fd, arg + offsetof(struct dma_heap_allocation_data, fd),
		       sizeof(data.fd));
	keep(w, expected, ours ? (int)data.fd : -1);
}

static void other_ioctl(struct walk *w)
{
	union {
		struct dma_buf_sync sync;
		struct dma_buf_export_sync_file get;
		struct dma_buf_import_sync_file put;
		struct sync_merge_data merge;
		struct sync_file_info info;
		char name[DMA_BUF_NAME_LEN];
	} data = {};
	static const unsigned long cmds[] = {
		DMA_BUF_IOCTL_SYNC, DMA_BUF_SET_NAME_A, DMA_BUF_SET_NAME_B,
		DMA_BUF_IOCTL_EXPORT_SYNC_FILE, DMA_BUF_IOCTL_IMPORT_SYNC_FILE,
		SYNC_IOC_MERGE, SYNC_IOC_FILE_INFO,
	};
	unsigned int which = below(w, ARRAY_SIZE(cmds)), n, c;
	unsigned long cmd = command(w, cmds[which]);
	int fd = *slot(w), expected, reported = -1;
	char *arg;

	n = below(w, w->nr_heaps);
	if (!below(w, 16))
		fd = w->heaps[n];
	n = 1 + below(w, 3);
	switch (which) {
	case 0:
		n |= below(w, 2) << 2;
		data.sync.flags = flags(w, n);
		break;
	case 1:
	case 2:
		c = 'a' + below(w, 26);
		memset(&data, c, below(w, sizeof(data)));
		break;
	case 3:
		data.get.flags = flags(w, n);
		data.get.fd = -1;
		break;
	case 4:
		data.put.flags = flags(w, n);
		data.put.fd = *slot(w);
		break;
	case 5:
		data.merge.fd2 = *slot(w);
		break;
	default:
		data.info.num_fences = flags(w, 0);
		break;
	}
	arg = argument(w, &data, sizeof(data));
	expected = next_fd(w);
	if (ioctl(fd, cmd, arg))
		return;
	/* @arg may be misaligned */
	if (cmd == DMA_BUF_IOCTL_EXPORT_SYNC_FILE)
		memcpy(&reported, arg + offsetof(struct dma_buf_export_sync_file, fd),
		       sizeof(reported));
	else if (cmd == SYNC_IOC_MERGE)
		memcpy(&reported, arg + offsetof(struct sync_merge_data, fence), sizeof(reported));
	keep(w, expected, reported);
}

static void map(struct walk *w)
{
	struct map *m = &w->maps[below(w, MAPS)];
	unsigned char c;
	__u64 offset;
	size_t i;
	int how;

	if (m->addr) {
		/* mapped pages must be accessible */
		for (i = 0; i < m->size; i += w->page) {
			c = __atomic_load_n((unsigned char *)m->addr + i, __ATOMIC_RELAXED);
			__atomic_store_n((unsigned char *)m->addr + i, c + 1, __ATOMIC_RELAXED);
		}
		munmap(m->addr, m->size);
		m->addr = NULL;
		return;
	}
	m->size = (1 + below(w, 40)) * w->page;
	how = below(w, 8) ? MAP_SHARED : MAP_PRIVATE;
	offset = next(w);
	offset >>= below(w, 64);
	if (below(w, 4))
		offset = 0;
	m->addr = mmap(NULL, m->size, PROT_READ | PROT_WRITE, how, *slot(w),
		       (off_t)(offset * w->page));
	if (m->addr == MAP_FAILED)
		m->addr = NULL;
	else
		w->good++;
}

static void other_call(struct walk *w)
{
	struct pollfd ready = { .events = POLLIN | POLLOUT };
	int *s = slot(w);
	char buf[64] = {};
	__u64 offset;
	bool ok;

	switch (below(w, 8)) {
	case 0:
		offset = flags(w, 0);
		ok = lseek(*s, offset, below(w, 5)) >= 0;
		break;
	case 1:
		ready.fd = *s;
		ok = poll(&ready, 1, 0) >= 0;
		break;
	case 2:
		ok = read(*s, buf, below(w, sizeof(buf))) >= 0;
		break;
	case 3:
		ok = write(*s, buf, below(w, sizeof(buf))) >= 0;
		break;
	case 4:
		put(w, dup(*s));
		ok = true;
		break;
	case 5:
		ok = !ftruncate(*s, length(w));
		break;
	default:
		ok = !close(*s);
		*s = -1;
		break;
	}
	w->good += ok;
}

static unsigned long long env(const char *name, unsigned long long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static void open_heaps(struct walk *w)
{
	struct dirent **names;
	int n, i, fd;

	n = scandir(HEAP_DIR, &names, NULL, alphasort);
	for (i = 0; i < n; i++) {
		fd = heap_is_wanted(names[i]->d_name) ? heap_open(names[i]->d_name) : -1;
		if (fd >= 0 && w->nr_heaps < HEAPS)
			w->heaps[w->nr_heaps++] = fd;
		else if (fd >= 0)
			close(fd);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

FIXTURE(fuzz)
{
};

FIXTURE_SETUP(fuzz)
{
}

FIXTURE_TEARDOWN(fuzz)
{
}

TEST_F_TIMEOUT(fuzz, walk, 3600)
{
	const unsigned long calls = env("DMABUF_FUZZ_CALLS", CALLS);
	const unsigned long long seed = env("DMABUF_FUZZ_SEED", time(NULL));
	const int fds = count_fds();
	struct walk w = { .page = sysconf(_SC_PAGESIZE) };
	unsigned int i;

	open_heaps(&w);
	if (!w.nr_heaps)
		SKIP(return, "there is no heap that can be opened");
	w.args = mmap(NULL, 2 * w.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, w.args);
	ASSERT_EQ(0, munmap(w.args + w.page, w.page));
	memset(w.fds, -1, sizeof(w.fds));
	TH_LOG("DMABUF_FUZZ_SEED=%llu DMABUF_FUZZ_CALLS=%lu, %u heaps", seed, calls, w.nr_heaps);

	die_first();
	for (w.calls = 0; w.calls < calls; w.calls++) {
		/* a timeout ended the harness only */
		if (!(w.calls % 1024) && kill(harness, 0))
			_exit(1);
		w.state = (seed + w.calls * 0x9e3779b97f4a7c15ULL) | 1;
		/* similar states begin with similar numbers */
		for (i = 0; i < 4; i++)
			next(&w);
		switch (below(&w, 8)) {
		case 0:
			alloc(&w);
			break;
		case 1:
		case 2:
		case 3:
		case 4:
			other_ioctl(&w);
			break;
		case 5:
			map(&w);
			break;
		default:
			other_call(&w);
			break;
		}
	}

	for (i = 0; i < MAPS; i++) {
		if (w.maps[i].addr)
			munmap(w.maps[i].addr, w.maps[i].size);
	}
	for (i = 0; i < FDS; i++) {
		if (w.fds[i] >= 0)
			close(w.fds[i]);
	}
	for (i = 0; i < w.nr_heaps; i++)
		close(w.heaps[i]);
	munmap(w.args, w.page);
	TH_LOG("%lu calls, %lu succeeded, %lu buffers", w.calls, w.good, w.buffers);
	EXPECT_EQ(fds, count_fds());
	EXPECT_EQ(0, w.strays);
	/* some calls of a long run must have succeeded */
	if (calls >= 10000) {
		EXPECT_LT(calls / 10, w.good);
		/* one is enough, as heaps may be full */
		EXPECT_LT(0, w.buffers);
	}
}

int main(int argc, char **argv)
{
	harness = getpid();

	return test_harness_run(argc, argv);
}
