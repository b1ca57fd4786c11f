// SPDX-License-Identifier: GPL-2.0
/*
 * differ HEAP SEED EPISODES [--only EPISODE]
 *
 * A random walk through the system calls that programs make on the buffers of
 * a heap. It prints each call with its result, in a form that two kernels can
 * be compared by: nothing that is printed, and nothing that is done next,
 * depends on an address that the kernel chose.
 *
 * An episode is a process of its own and begins with nothing. SEED and the
 * number of the episode decide what it does, so an episode can be repeated
 * alone. A line is "CALL ARGUMENTS -> RESULT".
 *
 * Places in memory are printed in pages. "a+7" is page 7 of the arena, a range
 * of fixed addresses that is full of PROT_NONE memory at first. "m2+7" is page 7
 * of mapping 2, which is where the kernel wanted it. A hole that is made in
 * such a mapping is filled at once, so that the kernel cannot choose it again.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

#define PAGE		4096L
#define ARENA		((char *)0x100000000000)
#define ARENA_PAGES	16384L
#define FDS		5
#define MAPS		10
/* of all buffers of an episode, so that a region of 64 MiB never runs out */
#define BUDGET		7168
#define COUNT(a)	(sizeof(a) / sizeof(*(a)))
#define PICK(a)		((a)[below(COUNT(a))])

struct map {
	char *addr;	/* NULL where there is none */
	long pages;
};

static struct { int fd; long pages; } fds[FDS];
static struct map maps[MAPS];
static int heap, sync_fd;
static long budget;
static uint64_t state, stamp;
/* Calls that are known to differ: an episode makes those of one kind, or none. */
static enum { NOT_ODD, PRIVATE, ACCESS_MODE, COMMANDS, RESIDENCY, ODD_KINDS } odd;
static bool in_child, lock_future, lock_onfault;
/* shared with children */
static uint64_t *board;

/* ---- random numbers and output ------------------------------------------- */

/* xorshift*: the same numbers on every machine */
static uint64_t next(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;

	return state * 2685821657736338717ULL;
}

static long below(long n) { return (long)((next() >> 33) % n); }
static bool one_in(long n) { return !below(n); }

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;

	return h ^ h >> 29;
}

/* The call is printed before it is made, in case nobody returns from it. */
__attribute__((format(printf, 1, 2)))
static void call(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (in_child)
		fputs("child: ", stdout);
	vprintf(format, ap);
	va_end(ap);
	fputs(" -> ", stdout);
	fflush(stdout);
}

/* A number, or an error by its name. */
static long result(long r)
{
	if (r < 0)
		printf("%s\n", strerrorname_np(errno) ?: "an unknown error");
	else
		printf("%ld\n", r);

	return r;
}

/* ---- where things are ------------------------------------------------------ */

static bool in_arena(const char *p) { return p >= ARENA && p < ARENA + ARENA_PAGES * PAGE; }

/* "a+7" or "m2+7"; the strings of the last four calls are valid */
static const char *name(const struct map *m, const char *p)
{
	static char names[4][32];
	static int n;
	char *s = names[n++ % 4];

	if (in_arena(p))
		snprintf(s, sizeof(names[0]), "a+%ld", (p - ARENA) / PAGE);
	else
		snprintf(s, sizeof(names[0]), "m%d+%ld", (int)(m - maps), (p - m->addr) / PAGE);

	return s;
}

/* Any live mapping, or NULL. */
static struct map *some_map(void)
{
	int i, n = below(MAPS);

	for (i = 0; i < MAPS; i++) {
		struct map *m = &maps[(n + i) % MAPS];

		if (m->addr)
			return m;
	}

	return NULL;
}

/*
 * Part of a mapping, often all of it. In the arena it may go on behind the
 * mapping: what is there does not depend on the kernel.
 */
static char *part_of(const struct map *m, long *pages)
{
	long first = 0;

	*pages = m->pages;
	if (one_in(2)) {
		first = below(m->pages);
		*pages = 1 + below(one_in(2) ? m->pages - first : 1);
	}
	if (in_arena(m->addr) && one_in(4) && m->addr + (first + *pages + 64) * PAGE < ARENA + ARENA_PAGES * PAGE)
		*pages += 1 + below(64);

	return m->addr + first * PAGE;
}

/* Room for so many pages in the arena: free, next to a mapping, or over one. */
static char *spot(long pages)
{
	static const int offsets[] = { 0, 0, 1, 7, 511, 512, 513 };
	long at = (1 + below(14)) * 1024 + PICK(offsets);
	struct map *m = some_map();

	if (m && in_arena(m->addr)) {
		long there = (m->addr - ARENA) / PAGE;

		switch (below(4)) {
		case 0:
			at = there + m->pages;
			break;
		case 1:
			at = there - pages;
			break;
		case 2:
			at = there + below(m->pages);
			break;
		}
	}
	if (at < 2)
		at = 2;
	if (at + pages > ARENA_PAGES - 2)
		at = ARENA_PAGES - 2 - pages;

	return ARENA + at * PAGE;
}

static void plug(char *addr, long pages, int how)
{
	mmap(addr, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | how, -1, 0);
}

/* A call that failed may have unmapped something first. */
static void mend(struct map *m)
{
	long i;

	for (i = 0; !in_arena(m->addr) && i < m->pages; i++)
		plug(m->addr + i * PAGE, 1, MAP_FIXED_NOREPLACE);
}

/* A range of @m is no longer mapped there. */
static void forget(struct map *m, char *addr, long pages)
{
	if (addr <= m->addr && addr + pages * PAGE >= m->addr + m->pages * PAGE)
		m->addr = NULL;
	else if (!in_arena(addr))
		plug(addr, pages, MAP_FIXED_NOREPLACE);
}

static struct map *remember(char *addr, long pages)
{
	struct map *m;

	for (m = maps; m < maps + MAPS; m++) {
		if (!m->addr)
			break;
	}
	if (m == maps + MAPS) {
		m = &maps[below(MAPS)];
		munmap(m->addr, m->pages * PAGE);
	}
	m->addr = addr;
	m->pages = pages;

	return m;
}

/* ---- touching memory -------------------------------------------------------- */

static __thread sigjmp_buf *trap;

static void on_signal(int sig)
{
	if (trap)
		siglongjmp(*trap, sig);
	signal(sig, SIG_DFL);
}

/* Read or write a word: 0, or the signal that came of it. */
static int touch_word(char *p, uint64_t *value, bool write)
{
	sigjmp_buf env;
	int sig;

	trap = &env;
	sig = sigsetjmp(env, 0);
	if (!sig) {
		if (write)
			*(volatile uint64_t *)p = *value;
		else
			*value = *(volatile uint64_t *)p;
	}
	trap = NULL;

	return sig;
}

/* A word of a page that is not always the first one. */
static char *word(char *addr, long i) { return addr + i * PAGE + i * 264 % PAGE / 8 * 8; }

/*
 * What is seen from there on, in a number. @fully: each word. Of many pages that
 * cannot be read, it tries every eighth, because signals take long.
 */
static uint64_t look(char *addr, long pages, bool fully)
{
	long i, j, bad = 0;
	uint64_t h = 1, v;
	int sig;

	for (i = 0; i < pages; i += bad > 8 ? 8 : 1) {
		sig = touch_word(addr + i * PAGE, &v, false);
		bad = sig ? bad + 1 : 0;
		h = mix(h, sig ? (uint64_t)sig : v);
		if (!sig && !touch_word(word(addr, i), &v, false))
			h = mix(h, v);
		for (j = 0; !sig && fully && j < PAGE / 8; j++)
			h = mix(h, ((volatile uint64_t *)(addr + i * PAGE))[j]);
	}

	return h;
}

struct touch {
	char *addr;
	long pages, first, step;
	bool write;
	uint64_t stamp, hash;
	long ok, segv, bus;
};

static void *touch(void *arg)
{
	struct touch *t = arg;
	long i, at = t->first;
	uint64_t v;
	int sig;

	for (i = 0; i < t->pages; i++) {
		v = t->stamp + i;
		sig = touch_word(word(t->addr, at), &v, t->write);
		t->ok += !sig;
		t->segv += sig == SIGSEGV;
		t->bus += sig == SIGBUS;
		t->hash = mix(t->hash, sig ? 0 : v);
		at = (at + t->step) % t->pages;
	}

	return NULL;
}

static void op_touch(void)
{
	struct touch t = { .write = one_in(2), .stamp = stamp += 10000 };
	bool thread = one_in(6);
	struct map *m = some_map();
	pthread_attr_t attr;
	pthread_t other;

	if (!m)
		return;
	t.addr = part_of(m, &t.pages);
	if (t.pages > 64 && !one_in(8))
		t.pages = 64;
	/* forwards, backwards, or jumping; each page once if the step allows */
	t.step = one_in(3) ? 1 : one_in(2) ? t.pages - 1 : 13;
	if (!t.step)
		t.step = 1;
	t.first = below(t.pages);
	call("touch %s %ld %s from %ld step %ld%s", name(m, t.addr), t.pages, t.write ? "write" : "read",
	     t.first, t.step, thread ? " thread" : "");
	if (thread) {
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 128 << 10);
		pthread_create(&other, &attr, touch, &t);
		pthread_join(other, NULL);
	} else {
		touch(&t);
	}
	printf("ok %ld segv %ld bus %ld %016lx\n", t.ok, t.segv, t.bus, t.hash);
}

/* What the mapping shows; seen by a child, it leaves our page tables alone. */
static void contents(struct map *m, bool aside, bool fully)
{
	pid_t pid;

	call("contents %s %ld%s%s", name(m, m->addr), m->pages, aside ? " aside" : "", fully ? " fully" : "");
	if (!aside) {
		printf("%016lx\n", look(m->addr, m->pages, fully));
		return;
	}
	board[0] = 0;
	pid = fork();
	if (!pid) {
		board[0] = look(m->addr, m->pages, fully);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	printf("%016lx\n", board[0]);
}

static void op_contents(void)
{
	struct map *m = some_map();
	bool aside = one_in(2), fully = one_in(16);

	if (m)
		contents(m, aside, fully);
}

/* Does touching every page of it fault? Asked only where that is known. */
static void faults(struct map *m, bool write)
{
	struct touch t = { .addr = m->addr, .pages = m->pages, .step = 1, .write = write, .stamp = stamp += 10000 };
	struct touch before = { .addr = (char *)board + PAGE, .pages = 1, .step = 1, .write = true };
	struct rusage a, b;

	call("faults %s %ld %s", name(m, m->addr), m->pages, write ? "write" : "read");
	/* the code and the stack that this takes */
	touch(&before);
	getrusage(RUSAGE_THREAD, &a);
	getrusage(RUSAGE_THREAD, &a);
	touch(&t);
	getrusage(RUSAGE_THREAD, &b);
	printf("%s segv %ld bus %ld\n", a.ru_minflt == b.ru_minflt ? "none" : "some", t.segv, t.bus);
}

/* ---- the list of mappings ----------------------------------------------------- */

struct vma {
	/* in the order of mappings, not of the addresses that the kernel chose */
	const struct map *m;
	unsigned long start;
	char text[200];
};

static int by_mapping(const void *a, const void *b)
{
	const struct vma *v = a, *w = b;

	if (v->m != w->m)
		return v->m < w->m ? -1 : 1;
	return v->start < w->start ? -1 : 1;
}

/* Those of dma-bufs: where, how long, permissions, offset, flags. */
static void op_vmas(void)
{
	static char text[1 << 20];
	static struct vma vmas[300];
	int i, nr = 0;
	unsigned long start, end, offset;
	char *line, *rest = text, perms[8], *s;
	struct map *m = NULL;
	bool ours = false;
	ssize_t n, len = 0;
	int fd;

	call("vmas");
	fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	while ((line = strsep(&rest, "\n")) && nr < (int)COUNT(vmas)) {
		if (sscanf(line, "%lx-%lx %7s %lx", &start, &end, perms, &offset) == 4) {
			ours = strstr(line, "dmabuf");
			for (m = maps; ours && !in_arena((char *)start) && m < maps + MAPS; m++) {
				if (m->addr && (char *)start >= m->addr && (char *)start < m->addr + m->pages * PAGE)
					break;
			}
			/* one that nobody has: a slot was needed for another */
			if (m == maps + MAPS)
				ours = false;
			if (!ours)
				continue;
			vmas[nr].m = in_arena((char *)start) ? NULL : m;
			vmas[nr].start = start;
			/* the offset of a private mapping of a heap is where it is in memory */
			snprintf(vmas[nr].text, sizeof(vmas[nr].text), "%s %lu %s %lu", name(m, (char *)start),
				 (end - start) / PAGE, perms, perms[3] == 's' ? offset / PAGE : 0);
		} else if (ours && !strncmp(line, "VmFlags:", 8)) {
			/* soft-dirty comes and goes */
			s = strstr(line, " sd");
			if (s)
				memmove(s, s + 3, strlen(s + 3) + 1);
			s = vmas[nr].text;
			snprintf(s + strlen(s), sizeof(vmas[nr].text) - strlen(s), "%s; ", line + 8);
			nr++;
		}
	}
	qsort(vmas, nr, sizeof(*vmas), by_mapping);
	for (i = 0; i < nr; i++)
		fputs(vmas[i].text, stdout);
	putchar('\n');
}

/* ---- calls on heaps and files --------------------------------------------------- */

static int some_slot(void)
{
	int i, n = below(FDS);

	for (i = 0; i < FDS && !one_in(24); i++) {
		if (fds[(n + i) % FDS].fd >= 0)
			return (n + i) % FDS;
	}

	return n;
}

/* Mostly a buffer, now and then a closed one, or the heap. */
static int some_fd(const char **which, long *pages)
{
	static char text[16];
	int slot = some_slot();

	*which = text;
	*pages = fds[slot].pages;
	if (one_in(48)) {
		strcpy(text, "heap");
		return heap;
	}
	snprintf(text, sizeof(text), "b%d", slot);

	return fds[slot].fd;
}

static long some_pages(void)
{
	static const int special[] = { 511, 512, 513, 1024, 1025, 1536, 2048 };

	switch (below(10)) {
	case 0 ... 4:
		return 1 + below(16);
	case 5 ... 6:
		return 17 + below(240);
	case 7 ... 8:
		return 257 + below(800);
	default:
		return PICK(special);
	}
}

static void keep_fd(int slot, int fd, long pages)
{
	if (fds[slot].fd >= 0)
		close(fds[slot].fd);
	fds[slot].fd = fd;
	fds[slot].pages = pages;
}

static void op_alloc(void)
{
	/* too long for a size_t, or for an aligned one */
	static const uint64_t lengths[] = { 0, -1ULL, -4095ULL, -4096ULL };
	static const uint32_t bad_flags[] = { O_APPEND, O_NONBLOCK, O_CREAT, O_SYNC, 1u << 31, 4 };
	struct dma_heap_allocation_data data = { .fd_flags = O_RDWR | O_CLOEXEC };
	int slot = below(FDS);
	long pages = some_pages(), r;

	if (pages > budget)
		pages = 1 + below(4);
	budget -= pages;
	data.len = pages * PAGE - (one_in(4) ? below(PAGE) : 0);
	if (one_in(8))
		data.fd_flags = below(3) | (one_in(2) ? O_CLOEXEC : 0);
	if (odd == ACCESS_MODE && one_in(2))
		data.fd_flags |= O_ACCMODE;
	switch (below(40)) {
	case 0:
		data.len = PICK(lengths);
		/* such lengths may have the OOM killer called */
		if (data.len == -4096ULL)
			data.len = 0;
		break;
	case 1:
		data.fd = 1 + below(9);
		break;
	case 2:
		data.fd_flags |= PICK(bad_flags);
		break;
	case 3:
		data.heap_flags = 1ULL << below(64);
		break;
	}
	call("alloc b%d len %#llx fd %u fd_flags %#x heap_flags %#llx", slot, data.len, data.fd,
	     data.fd_flags, data.heap_flags);
	r = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data);
	if (!result(r))
		keep_fd(slot, data.fd, pages);
}

/* Structures of another size, and commands that nobody has. */
static void op_heap_ioctl(void)
{
	struct { struct dma_heap_allocation_data data; char more[232]; } arg = {
		.data = { .len = PAGE, .fd_flags = O_RDWR | O_CLOEXEC },
	};
	static const int sizes[] = { 0, 4, 8, 12, 16, 20, 23, 25, 32, 128, 256 };
	unsigned int cmd = DMA_HEAP_IOCTL_ALLOC, size = PICK(sizes);
	bool tail = one_in(2);
	long r;

	switch (odd == COMMANDS ? below(6) : 0) {
	case 0 ... 2:
		/* without room for the fd the base loses it */
		if (size < 12 && odd != COMMANDS)
			size = 24;
		cmd = _IOC(_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd), size);
		break;
	case 3:
		cmd ^= 1u << below(8);
		break;
	case 4:
		cmd ^= 1u << (8 + below(8));
		break;
	case 5:
		cmd = _IOC(below(4), _IOC_TYPE(cmd), _IOC_NR(cmd), 24);
		break;
	}
	if (tail)
		memset(arg.more, 0xff, sizeof(arg.more));
	call("heap_ioctl nr %u type %u dir %u size %u%s", _IOC_NR(cmd), _IOC_TYPE(cmd), _IOC_DIR(cmd),
	     _IOC_SIZE(cmd), tail ? " tail" : "");
	r = ioctl(heap, cmd, &arg);
	if (!result(r) && arg.data.fd)
		close(arg.data.fd);
}

static void op_dup(void)
{
	int from = some_slot(), to = below(FDS), fd;
	long pages = fds[from].pages;

	call("dup b%d b%d", from, to);
	fd = fcntl(fds[from].fd, F_DUPFD_CLOEXEC, 0);
	if (result(fd < 0 ? -1 : 0) == 0)
		keep_fd(to, fd, pages);
}

static void op_close(void)
{
	int slot = some_slot();

	if (!one_in(3))
		return;
	call("close b%d", slot);
	result(close(fds[slot].fd));
	fds[slot].fd = -1;
}

static void op_sync(void)
{
	struct dma_buf_sync sync = { .flags = below(8) };
	const char *which;
	long pages;
	int fd = some_fd(&which, &pages);

	if (one_in(8))
		sync.flags |= 1ULL << (3 + below(61));
	if (fd == heap) {
		/* the base allocates a buffer of that length */
		sync.flags &= 7;
		if (odd != COMMANDS)
			return;
	}
	call("sync %s %#llx", which, sync.flags);
	result(ioctl(fd, DMA_BUF_IOCTL_SYNC, one_in(32) ? NULL : &sync));
}

static void op_buf_ioctl(void)
{
	struct dma_buf_export_sync_file get = { .flags = below(4), .fd = -1 };
	struct dma_buf_import_sync_file put = { .flags = below(4), .fd = sync_fd };
	char text[40] = "";
	const char *which;
	long pages, r;
	int fd = some_fd(&which, &pages);

	if (one_in(8))
		get.flags = put.flags = 1u << below(32);
	memset(board, 0, 24);
	if (fd == heap && odd != COMMANDS)
		return;
	switch (below(6)) {
	case 0 ... 1:
		memset(text, 'a' + below(26), below(36));
		call("set_name %s %s", which, text);
		result(ioctl(fd, one_in(2) ? DMA_BUF_SET_NAME_A : DMA_BUF_SET_NAME_B, text));
		break;
	case 2:
		call("export_sync_file %s %#x", which, get.flags);
		r = ioctl(fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &get);
		if (!result(r)) {
			if (sync_fd >= 0)
				close(sync_fd);
			sync_fd = get.fd;
		}
		break;
	case 3:
		if (one_in(4))
			put.fd = heap;
		call("import_sync_file %s %#x %s", which, put.flags,
		     put.fd == heap ? "heap" : put.fd < 0 ? "none" : "sync file");
		result(ioctl(fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &put));
		break;
	case 4:
		r = below(256);
		call("buf_ioctl %s nr %ld", which, r);
		result(ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, DMA_BUF_BASE, r, 24), board));
		break;
	default:
		r = PICK(((unsigned int[]) { FIONREAD, FIONBIO, FIOASYNC, FIGETBSZ, FS_IOC_GETFLAGS }));
		call("buf_ioctl %s %#lx", which, r);
		result(ioctl(fd, r, board));
		break;
	}
}

static void op_fdinfo(void)
{
	const char *which;
	char path[64], line[256];
	long pages;
	int fd = some_fd(&which, &pages);
	FILE *f;

	call("fdinfo %s", which);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = ' ';
		/* the inode's number tells how many buffers there were before */
		if (strncmp(line, "ino:", 4) && strncmp(line, "mnt_id:", 7))
			fputs(line, stdout);
	}
	if (f)
		fclose(f);
	putchar('\n');
}

static void op_file(void)
{
	static const int whence[] = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 5 };
	static const int getters[] = { F_GETFD, F_GETFL, F_GET_SEALS, F_GETOWN, F_GETLEASE, F_GETPIPE_SZ };
	static const int setfl[] = { 0, O_NONBLOCK, O_APPEND, O_DIRECT, O_NOATIME };
	const long offsets[] = { 0, 0, 0, 1, -1, PAGE, -PAGE, LONG_MAX, LONG_MIN, 1L << 40 };
	struct pollfd ready = { .events = below(16) };
	const char *which;
	char buf[256] = "", path[64];
	struct stat st;
	loff_t off = 0;
	long pages, o = PICK(offsets), n = below(sizeof(buf) + 1), r;
	int fd = some_fd(&which, &pages), how, pipes[2];

	ready.fd = fd;
	how = below(22);
	switch (how) {
	case 0 ... 2:
		r = PICK(whence);
		if (one_in(3))
			o = pages * PAGE + below(3) - 1;
		call("lseek %s %ld %ld", which, o, r);
		result(lseek(fd, o, r));
		break;
	case 3 ... 4:
		call("poll %s %#x", which, ready.events);
		r = poll(&ready, 1, 0);
		printf("%#x ", ready.revents);
		result(r);
		break;
	case 5:
		call("read %s %ld", which, n);
		result(read(fd, buf, n));
		break;
	case 6:
		call("write %s %ld", which, n);
		result(write(fd, buf, n));
		break;
	case 7:
		call("pread %s %ld %ld", which, n, o);
		result(pread(fd, buf, n, o));
		break;
	case 8:
		call("pwrite %s %ld %ld", which, n, o);
		result(pwrite(fd, buf, n, o));
		break;
	case 9:
	case 10:
		if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK))
			abort();
		call("splice %s %s %ld", which, how == 9 ? "out" : "in", n);
		if (write(pipes[1], buf, 64) != 64)
			abort();
		result(how == 9 ? splice(fd, NULL, pipes[1], NULL, n, 0) : splice(pipes[0], NULL, fd, NULL, n, 0));
		close(pipes[0]);
		close(pipes[1]);
		break;
	case 11:
		call("sendfile %s %ld", which, n);
		result(sendfile(fds[0].fd, fd, &off, n));
		break;
	case 12:
		call("copy_file_range %s %ld", which, n);
		result(copy_file_range(fd, NULL, fds[0].fd, NULL, n, 0));
		break;
	case 13:
		call("ftruncate %s %ld", which, o);
		result(ftruncate(fd, o));
		break;
	case 14:
		r = below(8);
		call("fallocate %s mode %ld", which, r);
		result(fallocate(fd, r, 0, PAGE));
		break;
	case 15:
		call("fsync %s", which);
		result(one_in(2) ? fsync(fd) : fdatasync(fd));
		break;
	case 16:
		call("fstat %s", which);
		r = fstat(fd, &st);
		if (!r)
			printf("size %ld blocks %ld mode %o ", st.st_size, st.st_blocks, st.st_mode);
		result(r);
		break;
	case 17:
		r = PICK(getters);
		call("fcntl %s %ld", which, r);
		result(fcntl(fd, r));
		break;
	case 18:
		r = PICK(setfl);
		call("fcntl %s F_SETFL %#lx", which, r);
		result(fcntl(fd, F_SETFL, r));
		break;
	case 19:
		call("fcntl %s F_ADD_SEALS", which);
		result(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
		break;
	case 20:
		r = PICK(((int[]) { O_RDONLY, O_RDWR, O_WRONLY }));
		call("reopen %s %ld", which, r);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		fd = open(path, r | O_CLOEXEC);
		result(fd < 0 ? -1 : 0);
		if (fd >= 0)
			close(fd);
		break;
	default:
		call("fadvise %s", which);
		r = posix_fadvise(fd, 0, pages * PAGE, below(6));
		errno = r;
		result(r ? -1 : 0);
		break;
	}
}

/* ---- calls on mappings ------------------------------------------------------------ */

static void op_mmap(void)
{
	static const struct { int flag; const char *name; int one_in; } extras[] = {
		{ MAP_LOCKED, " LOCKED", 10 }, { MAP_POPULATE, " POPULATE", 10 },
		{ MAP_NORESERVE, " NORESERVE", 10 }, { MAP_NONBLOCK, " NONBLOCK", 20 },
		{ MAP_STACK, " STACK", 30 }, { MAP_GROWSDOWN, " GROWSDOWN", 60 },
		{ MAP_HUGETLB, " HUGETLB", 60 }, { MAP_SYNC, " SYNC", 40 },
#ifdef MAP_32BIT
		{ MAP_32BIT, " 32BIT", 16 },
#endif
	};
	const long wrong_offsets[] = { 1, 1L << 40, LONG_MAX / PAGE, -1, LONG_MAX / PAGE - 1 };
	int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED;
	const char *which, *where = "anywhere";
	long size, first = 0, pages;
	char *want = NULL, *got, text[160];
	int fd = some_fd(&which, &size), len;
	struct map *m;
	unsigned int i;

	pages = size ?: 1;
	if (one_in(4)) {
		first = below(pages);
		pages -= first;
	}
	if (one_in(4))
		pages = 1 + below(pages);
	/* past the end, by a page or by far */
	if (one_in(16))
		pages += 1 + below(3);
	if (one_in(24))
		first = one_in(2) ? size : PICK(wrong_offsets);
	if (one_in(4))
		prot = below(one_in(4) ? 8 : 4);
	if (one_in(6))
		flags = MAP_SHARED_VALIDATE;
	if (odd == PRIVATE && one_in(3))
		flags = MAP_PRIVATE;
	len = snprintf(text, sizeof(text), "%s", flags == MAP_PRIVATE ? "PRIVATE" :
		       flags == MAP_SHARED ? "SHARED" : "SHARED_VALIDATE");
	for (i = 0; i < COUNT(extras); i++) {
		if (!one_in(extras[i].one_in))
			continue;
		flags |= extras[i].flag;
		len += snprintf(text + len, sizeof(text) - len, "%s", extras[i].name);
	}

	switch (below(12)) {
	case 0 ... 3:
		break;
	case 4 ... 6:
		where = "fixed";
		want = spot(pages);
		flags |= MAP_FIXED;
		break;
	case 7:
		where = "noreplace";
		want = spot(pages);
		flags |= MAP_FIXED_NOREPLACE;
		break;
	case 8:
		/* what else may be at the ends is gone */
		where = "hint exact";
		want = spot(pages);
		plug(want - PAGE, pages + 2, MAP_FIXED);
		munmap(want, pages * PAGE);
		break;
	case 9:
		where = "hint roomy";
		want = spot(pages + 600);
		munmap(want, (pages + 600) * PAGE);
		break;
	case 10:
		where = "hint occupied";
		want = spot(pages);
		plug(want + (pages - 1) * PAGE, 1, MAP_FIXED);
		if (pages > 1)
			munmap(want, (pages - 1) * PAGE);
		break;
	default:
		where = "hint unaligned";
		want = spot(pages);
		munmap(want, pages * PAGE);
		want += 1 + below(PAGE - 1);
		break;
	}
	call("mmap %s %ld pages %ld prot %d %s %s%s%s", which, first, pages, prot, text, where,
	     want ? " " : "", want ? name(NULL, want) : "");
	got = mmap(want, pages * PAGE, prot, flags, fd, (off_t)((uint64_t)first * PAGE));
	if (got == MAP_FAILED) {
		result(-1);
		return;
	}
	m = remember(got, pages);
	if (want && got == want - ((uintptr_t)want & (PAGE - 1)))
		printf("m%d as %s\n", (int)(m - maps), where[0] == 'h' ? "hinted" : "asked");
	else if (in_arena(got))
		printf("m%d %s\n", (int)(m - maps), name(m, got));
	else
		printf("m%d elsewhere%s\n", (int)(m - maps), (uintptr_t)got >> 31 ? "" : ", below 2 GiB");
	if ((((flags & MAP_LOCKED) && !lock_onfault) || lock_future) && (prot & (PROT_READ | PROT_WRITE)))
		faults(m, prot & PROT_WRITE && one_in(2));
}

static void op_munmap(void)
{
	struct map *m = some_map();
	char *addr;
	long pages;

	if (!m)
		return;
	addr = part_of(m, &pages);
	call("munmap %s %ld", name(m, addr), pages);
	if (!result(munmap(addr, pages * PAGE)))
		forget(m, addr, pages);
}

static void op_mprotect(void)
{
	struct map *m = some_map();
	int prot = one_in(2) ? PROT_READ | PROT_WRITE : below(one_in(4) ? 8 : 4);
	char *addr;
	long pages;

	if (!m)
		return;
	addr = part_of(m, &pages);
	if (one_in(60))
		prot |= 1 << (3 + below(5));
	if (one_in(60))
		addr++;
	call("mprotect %s %ld %#x%s", name(m, addr), pages, prot, (uintptr_t)addr % PAGE ? " unaligned" : "");
	result(mprotect(addr, pages * PAGE, prot));
}

static void op_mremap(void)
{
	int flags = 0, how = below(10);
	struct map *m = some_map(), *n;
	long old, new;
	char *addr, *got, *want = NULL;

	if (!m)
		return;
	addr = part_of(m, &old);
	new = old;
	switch (how) {
	case 0:
		new = 1 + below(old);
		flags = one_in(2) ? MREMAP_MAYMOVE : 0;
		break;
	case 1:
		new = old + 1 + below(8);
		flags = one_in(2) ? MREMAP_MAYMOVE : 0;
		break;
	case 2:
		flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
		if (one_in(2)) {
			flags |= MREMAP_FIXED;
			want = spot(new);
		}
		break;
	case 3:
		old = 0;
		flags = MREMAP_MAYMOVE;
		break;
	case 4:
		/* flags that do not go together, or that nobody knows */
		flags = below(16);
		want = spot(new);
		break;
	default:
		flags = MREMAP_MAYMOVE | MREMAP_FIXED;
		if (one_in(4))
			new = one_in(2) ? 1 + below(old) : old + 1 + below(8);
		want = spot(new);
		if (one_in(40))
			want++;
		break;
	}
	call("mremap %s %ld to %ld flags %d %s%s", name(m, addr), old, new, flags, want ? name(NULL, want) : "anywhere",
	     (uintptr_t)want % PAGE ? " unaligned" : "");
	got = mremap(addr, old * PAGE, new * PAGE, flags, want);
	if (got == MAP_FAILED) {
		result(-1);
		mend(m);
		return;
	}
	if (got == addr) {
		puts("in place");
		if (new < old)
			forget(m, addr + new * PAGE, old - new);
		return;
	}
	if (!(flags & MREMAP_DONTUNMAP) && old)
		forget(m, addr, old);
	n = remember(got, new);
	printf("m%d %s\n", (int)(n - maps), got == want ? "as asked" : in_arena(got) ? name(n, got) : "elsewhere");
}

static void op_advise(void)
{
	struct map *m = some_map();
	/* 100 and 101 would take pages away from the machine */
	int advice = one_in(12) ? 102 + below(3) : below(28);
	char *addr;
	long pages;

	if (!m)
		return;
	/* a child would have a hole there */
	if (advice == MADV_DONTFORK && !in_arena(m->addr))
		advice = MADV_DOFORK;
	addr = part_of(m, &pages);
	call("madvise %s %ld advice %d", name(m, addr), pages, advice);
	result(madvise(addr, pages * PAGE, advice));
}

static void op_lock(void)
{
	struct map *m = some_map();
	int how = below(12), flags;
	char *addr;
	long pages;

	if (!m)
		return;
	addr = part_of(m, &pages);
	switch (how) {
	case 0 ... 2:
		call("mlock %s %ld", name(m, addr), pages);
		result(mlock(addr, pages * PAGE));
		break;
	case 3 ... 4:
		flags = one_in(8) ? 2 : below(2);
		call("mlock2 %s %ld flags %d", name(m, addr), pages, flags);
		result(mlock2(addr, pages * PAGE, flags));
		break;
	case 5 ... 7:
		call("munlock %s %ld", name(m, addr), pages);
		result(munlock(addr, pages * PAGE));
		break;
	case 8 ... 9:
		flags = one_in(4) ? below(9) : MCL_FUTURE;
		call("mlockall %d", flags);
		/* MCL_ONFAULT has nothing mapped by mmap(), also with MAP_LOCKED */
		if (!result(mlockall(flags))) {
			lock_future = (flags & (MCL_FUTURE | MCL_ONFAULT)) == MCL_FUTURE;
			lock_onfault = (flags & MCL_FUTURE) && (flags & MCL_ONFAULT);
		}
		break;
	default:
		call("munlockall");
		lock_future = lock_onfault = false;
		result(munlockall());
		break;
	}
}

/* How much of it the page tables have is seen in odd episodes alone. */
static void op_mincore(void)
{
	static unsigned char vec[ARENA_PAGES];
	struct map *m = some_map();
	long pages, i, n = 0, r;
	char *addr;

	if (!m)
		return;
	addr = part_of(m, &pages);
	call("mincore %s %ld", name(m, addr), pages);
	r = mincore(addr, pages * PAGE, vec);
	for (i = 0; odd == RESIDENCY && !r && i < pages; i++)
		n += vec[i] & 1;
	if (odd == RESIDENCY)
		printf("%s ", !n ? "none" : n == pages ? "all" : "some");
	result(r);
}

static void op_msync(void)
{
	struct map *m = some_map();
	int flags = below(8);
	char *addr;
	long pages;

	if (!m)
		return;
	addr = part_of(m, &pages);
	call("msync %s %ld flags %d", name(m, addr), pages, flags);
	result(msync(addr, pages * PAGE, flags));
}

static void op_remap_file_pages(void)
{
	struct map *m = some_map();
	long pages, first;
	char *addr;

	if (!m)
		return;
	addr = part_of(m, &pages);
	first = below(one_in(3) ? 2048 : 8);
	call("remap_file_pages %s %ld from %ld", name(m, addr), pages, first);
	if (result(remap_file_pages(addr, pages * PAGE, 0, first, one_in(8) ? MAP_NONBLOCK : 0)))
		mend(m);
}

/* Our memory through another door: process_vm_*, /proc/PID/mem, pipes, futex. */
static void op_other_door(void)
{
	static char copy[4 * 4096];
	struct map *m = some_map();
	struct iovec ours = { copy, 0 }, there;
	pid_t pid = in_child ? getppid() : getpid();
	char *addr, path[64];
	int how = below(9), fd, pipes[2];
	uint64_t h = 0;
	long pages, i;
	ssize_t n;

	if (!m)
		return;
	addr = part_of(m, &pages);
	if (pages > 4)
		pages = 4;
	ours.iov_len = pages * PAGE;
	there = (struct iovec) { addr, pages * PAGE };
	for (i = 0; i < pages * PAGE; i++)
		copy[i] = how + i;
	switch (how) {
	case 0:
		call("process_vm_readv %s %ld", name(m, addr), pages);
		result(process_vm_readv(pid, &ours, 1, &there, 1, 0));
		break;
	case 1:
		call("process_vm_writev %s %ld", name(m, addr), pages);
		result(process_vm_writev(pid, &ours, 1, &there, 1, 0));
		break;
	case 2:
		/* from memory that any door leads to */
		call("process_vm_readv into %s %ld", name(m, addr), pages);
		result(process_vm_readv(getpid(), &there, 1, &ours, 1, 0));
		break;
	case 3:
		call("process_vm_writev from %s %ld", name(m, addr), pages);
		result(process_vm_writev(getpid(), &there, 1, &ours, 1, 0));
		break;
	case 4:
	case 5:
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		fd = open(path, O_RDWR | O_CLOEXEC);
		call("mem %s %s %ld", how == 4 ? "read" : "write", name(m, addr), pages);
		result(how == 4 ? pread(fd, copy, pages * PAGE, (off_t)addr) :
				  pwrite(fd, copy, pages * PAGE, (off_t)addr));
		close(fd);
		break;
	case 6:
		call("pipe from %s %ld", name(m, addr), pages);
		if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK))
			abort();
		result(write(pipes[1], addr, pages * PAGE));
		n = read(pipes[0], copy, sizeof(copy));
		for (i = 0; i < n; i++)
			h = mix(h, copy[i]);
		call("pipe has");
		printf("%zd %016lx\n", n, h);
		close(pipes[0]);
		close(pipes[1]);
		break;
	case 7:
		call("pipe into %s %ld", name(m, addr), pages);
		if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) ||
		    write(pipes[1], copy, pages * PAGE) != pages * PAGE)
			abort();
		result(read(pipes[0], addr, pages * PAGE));
		close(pipes[0]);
		close(pipes[1]);
		break;
	default:
		call("futex %s", name(m, addr));
		result(syscall(SYS_futex, addr, FUTEX_WAKE, 1, NULL, NULL, 0));
		break;
	}
}

static void op_fork(void);

static const struct {
	void (*op)(void);
	int weight;
	/* children change nothing that decides where the kernel puts things */
	bool in_child;
} ops[] = {
	{ op_alloc, 6, false },
	{ op_heap_ioctl, 1, false },
	{ op_dup, 2, true },
	{ op_close, 4, true },
	{ op_mmap, 20, false },
	{ op_munmap, 5, true },
	{ op_mprotect, 10, true },
	{ op_mremap, 10, false },
	{ op_touch, 16, true },
	{ op_contents, 6, true },
	{ op_vmas, 2, true },
	{ op_advise, 4, true },
	{ op_lock, 3, false },
	{ op_mincore, 1, true },
	{ op_msync, 1, true },
	{ op_remap_file_pages, 2, true },
	{ op_other_door, 5, true },
	{ op_sync, 3, true },
	{ op_buf_ioctl, 3, true },
	{ op_fdinfo, 2, true },
	{ op_file, 6, true },
	{ op_fork, 3, false },
};

static void walk(int calls)
{
	int i, n, total = 0;

	for (i = 0; i < (int)COUNT(ops); i++)
		total += in_child && !ops[i].in_child ? 0 : ops[i].weight;
	while (calls--) {
		if (odd == COMMANDS && !in_child && one_in(4))
			op_heap_ioctl();
		if (odd == RESIDENCY && one_in(4))
			op_mincore();
		n = below(total);
		for (i = 0; ; i++) {
			if (in_child && !ops[i].in_child)
				continue;
			n -= ops[i].weight;
			if (n < 0)
				break;
		}
		ops[i].op();
	}
}

static const char *ended(int status)
{
	static char text[32];

	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "exit %d", WEXITSTATUS(status));

	return text;
}

static void op_fork(void)
{
	int status = 0, calls = 1 + below(6);
	pid_t pid;

	next();
	pid = fork();
	if (!pid) {
		in_child = true;
		state ^= 0x5555;
		walk(calls);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	call("fork");
	puts(ended(status));
}

/* ---- episodes ------------------------------------------------------------------------ */

static void episode(const char *heap_name, uint64_t seed, long number)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	char path[300];
	int i;

	state = mix(mix(seed + 1, number), 7) | 1;
	for (i = 0; i < 4; i++)
		next();
	alarm(300);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap_name);
	heap = open(path, O_RDONLY | O_CLOEXEC);
	plug(ARENA, ARENA_PAGES, MAP_FIXED_NOREPLACE);
	for (i = 0; i < FDS; i++)
		fds[i].fd = -1;
	sync_fd = -1;
	budget = BUDGET;
	odd = one_in(12) ? 1 + below(ODD_KINDS - 1) : NOT_ODD;

	op_alloc();
	op_mmap();
	if (one_in(2))
		op_alloc();
	walk(20 + below(30));
	for (i = 0; i < MAPS; i++) {
		if (maps[i].addr)
			contents(&maps[i], false, false);
	}
	op_vmas();
	_exit(0);
}

int main(int argc, char **argv)
{
	long first = 0, last, i;
	uint64_t seed;
	int status;
	pid_t pid;

	if (argc != 4 && (argc != 6 || strcmp(argv[4], "--only"))) {
		fprintf(stderr, "usage: differ HEAP SEED EPISODES [--only EPISODE]\n");
		return 2;
	}
	seed = strtoull(argv[2], NULL, 0);
	last = atol(argv[3]);
	if (argc == 6) {
		first = atol(argv[5]);
		last = first + 1;
	}
	board = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return 1;
	setlinebuf(stdout);
	printf("heap %s seed %s\n", argv[1], argv[2]);
	for (i = first; i < last; i++) {
		printf("episode %ld\n", i);
		fflush(stdout);
		pid = fork();
		if (!pid)
			episode(argv[1], seed, i);
		if (pid < 0)
			return 1;
		waitpid(pid, &status, 0);
		printf("end -> %s\n", ended(status));
	}
	printf("done %ld\n", last - first);

	return 0;
}
