// SPDX-License-Identifier: GPL-2.0
/*
 * Allocate buffers, and explain failures
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "dmaheap.h"

/* A new buffer's fd, or -1 */
int alloc_buffer(int heap, uint64_t size)
{
	struct dma_heap_allocation_data data = {
		.len = size,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -1 : (int)data.fd;
}

static void sync_buffer(int fd, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };

	while (ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync)) {
		if (errno != EINTR && errno != EAGAIN)
			die(EXIT_UNKNOWN, "cannot synchronize a buffer: %s", strerror(errno));
	}
}

/* Unique for each word of each buffer, because the factor is odd. */
static uint64_t pattern(unsigned int buffer, uint64_t word)
{
	return (((uint64_t)buffer + 1) << 40 | word) * 0x9e3779b97f4a7c15ULL;
}

/* Fill the buffer with the pattern, or check that it has the pattern. */
static bool access_buffer(int fd, unsigned int buffer, bool write)
{
	const uint64_t flags = write ? DMA_BUF_SYNC_WRITE : DMA_BUF_SYNC_READ;
	/* whole pages */
	const uint64_t size = lseek(fd, 0, SEEK_END);
	uint64_t i, *p;
	bool same = true;

	if (size > SIZE_MAX)
		die(EXIT_UNKNOWN, "cannot map a buffer: too large");

	p = mmap(NULL, size, write ? PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die(EXIT_UNKNOWN, "cannot map a buffer: %s", strerror(errno));
	sync_buffer(fd, DMA_BUF_SYNC_START | flags);
	for (i = 0; i < size / sizeof(*p); i++) {
		if (write)
			p[i] = pattern(buffer, i);
		else
			same &= p[i] == pattern(buffer, i);
	}
	sync_buffer(fd, DMA_BUF_SYNC_END | flags);
	munmap(p, size);

	return same;
}

/* The kernel limits a string of the environment to 32 pages. */
#define MAX_COMMAND_BUFFERS	10000

/*
 * Execute a command with the buffers open and their numbers in DMAHEAP_FDS. No
 * other process holds the buffers, so those that it closes are freed.
 */
static int run_command(char **argv, const int *fds, unsigned int nr)
{
	char list[12 * MAX_COMMAND_BUFFERS] = "";
	unsigned int i, at = 0;

	for (i = 0; i < nr; i++)
		at += snprintf(list + at, sizeof(list) - at, "%s%d", i ? " " : "", fds[i]);
	if (setenv("DMAHEAP_FDS", list, 1))
		die(EXIT_UNKNOWN, "out of memory");
	for (i = 0; i < nr; i++)
		fcntl(fds[i], F_SETFD, 0);
	execvp(argv[0], argv);
	i = errno == ENOENT ? 127 : 126;
	fprintf(stderr, "dmaheap: cannot run %s: %s\n", argv[0], strerror(errno));

	return i;
}

/* Raise the soft limit to the hard one; a command gets the limit @before. */
static void raise_fd_limit(struct rlimit *before)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, before);
	limit = *before;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Wait for a signal, at most for @time. SIGSTOP does not end the wait. */
static void hold_until(const sigset_t *signals, const struct timespec *time)
{
	struct timespec end, now, left;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += time->tv_sec;
	end.tv_nsec += time->tv_nsec;
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left.tv_sec = end.tv_sec - now.tv_sec;
		left.tv_nsec = end.tv_nsec - now.tv_nsec;
		for (; left.tv_nsec < 0; left.tv_sec--)
			left.tv_nsec += 1000000000;
		for (; left.tv_nsec >= 1000000000; left.tv_sec++)
			left.tv_nsec -= 1000000000;
		if (left.tv_sec < 0)
			return;
	} while (sigtimedwait(signals, NULL, &left) < 0 && errno == EINTR);
}

int cmd_alloc(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "fill", no_argument, NULL, 'f' },
		{ "verify", no_argument, NULL, 'v' },
		{ "hold", required_argument, NULL, 'H' },
		OPTION_JSON,
		OPTION_BYTES,
		OPTION_HELP,
		{},
	};
	static const struct column columns[] = {
		{ "FD", "fd", COLUMN_NUMBER },
		{ "INODE", "inode", COLUMN_NUMBER },
		{ "SIZE", "size", COLUMN_BYTES },
	};
	bool fill = false, verify = false, hold = false, wrong = false;
	int heap, opt, *fds, ret = 0;
	uint64_t count = 1, size;
	unsigned int i, nr = 0;
	struct rlimit limit;
	struct timespec time;
	sigset_t signals;
	char **command;
	struct stat st;

	while ((opt = getopt_long(argc, argv, "+c:fvH:" COMMON_LETTERS, options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			if (!parse_size(optarg, &count) || !count || count > 1 << 20)
				goto usage;
			break;
		case 'f':
			fill = true;
			break;
		case 'v':
			fill = true;
			verify = true;
			break;
		case 'H':
			if (!parse_seconds(optarg, &time))
				goto usage;
			hold = true;
			break;
		default:
			if (!common_option(opt))
				return EXIT_USAGE;
		}
	}
	if (argc - optind < 2 || !parse_size(argv[optind + 1], &size)) {
usage:
		fputs("dmaheap: alloc takes a heap and a size, see --help\n", stderr);
		return EXIT_USAGE;
	}

	command = argv + optind + 2;
	if (*command && !strcmp(*command, "--")) {
		command++;
	} else if (*command && **command == '-') {
		fprintf(stderr, "dmaheap: options come before the heap: %s\n", *command);
		return EXIT_USAGE;
	}
	if (*command && count > MAX_COMMAND_BUFFERS) {
		fprintf(stderr, "dmaheap: a command can have %u buffers at most\n",
			MAX_COMMAND_BUFFERS);
		return EXIT_USAGE;
	}
	if (*command && hold) {
		fputs("dmaheap: a command holds the buffers for as long as it runs\n", stderr);
		return EXIT_USAGE;
	}

	out_begin("alloc");
	heap = open_heap(argv[optind]);
	if (heap < 0)
		die(EXIT_NO, "cannot open heap %s: %s; see dmaheap why", argv[optind],
		    strerror(errno));
	raise_fd_limit(&limit);
	fds = must(calloc(count, sizeof(*fds)));
	out_table("buffers", columns, 3);
	for (nr = 0; nr < count; nr++) {
		fds[nr] = alloc_buffer(heap, size);
		if (fds[nr] < 0) {
			if (errno == ENOMEM)
				out_note("buffer %u of %llu: %s; dmaheap why %s %s tells more",
					 nr + 1, (unsigned long long)count, strerror(errno),
					 argv[optind], argv[optind + 1]);
			else
				out_note("buffer %u of %llu: %s", nr + 1,
					 (unsigned long long)count, strerror(errno));
			ret = EXIT_NO;
			break;
		}
		if (fstat(fds[nr], &st))
			die(EXIT_UNKNOWN, "cannot look at a buffer: %s", strerror(errno));
		put_number(fds[nr]);
		put_number(st.st_ino);
		put_number(lseek(fds[nr], 0, SEEK_END));
	}
	close(heap);
	/* Fill all before verifying any, to find buffers that share memory. */
	for (i = 0; fill && i < nr; i++)
		access_buffer(fds[i], i, true);
	for (i = 0; verify && i < nr; i++) {
		if (!access_buffer(fds[i], i, false)) {
			out_note("buffer %u does not have what was written to it", i + 1);
			wrong = true;
			ret = EXIT_NO;
		}
	}
	if (!opt_json && verify && !ret)
		out_value("verified", "all buffers have what was written to them");
	out_flag("verified", !verify ? -1 : wrong ? 0 : ret ? -1 : 1);
	/* A signal ends the wait with status 0, as the timeout does. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (hold)
		sigprocmask(SIG_BLOCK, &signals, NULL);
	out_end();
	if (ret)
		return ret;

	if (*command) {
		setrlimit(RLIMIT_NOFILE, &limit);
		return run_command(command, fds, nr);
	}
	if (hold)
		hold_until(&signals, &time);

	return 0;
}

/* ---- why ---- */

static const struct column why_columns[] = {
	{ "CHECK", "check", COLUMN_TEXT },
	{ "OK", "ok", COLUMN_FLAG },
	{ "DETAIL", "detail", COLUMN_TEXT },
};

/* @ok: 1, 0, or -1 if it is not known */
static void check(const char *what, int ok, const char *format, ...)
	__printf(3, 4);

static void check(const char *what, int ok, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_text(what);
	put_flag(ok);
	put_text(text);
}

/* @possible: 1, 0, or -1 if it is not known */
static int verdict(int possible, const char *reason, const char *format, ...)
	__printf(3, 4);

static int verdict(int possible, const char *reason, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	out_flag("possible", possible);
	if (opt_json)
		out_value("reason", reason);
	out_value("verdict", text);
	out_end();

	return possible < 0 ? EXIT_UNKNOWN : possible ? 0 : EXIT_NO;
}

/* Read the line "@name value" of a file, or its only value; false for "max". */
static bool cgroup_value(const char *path, const char *name, uint64_t *value)
{
	char line[600], *p = line;
	bool found = false;
	FILE *f = fopen(path, "re");
	size_t n = name ? strlen(name) : 0;

	while (f && !found && fgets(line, sizeof(line), f)) {
		p = line;
		if (name) {
			if (strncmp(line, name, n) || line[n] != ' ')
				continue;
			p = line + n + 1;
		}
		found = true;
	}
	if (f)
		fclose(f);
	if (!found || *p < '0' || *p > '9')
		return false;
	*value = strtoull(p, NULL, 10);

	return true;
}

/* Usage of a cgroup, without memory that the kernel reclaims at the limit */
static uint64_t cgroup_current(const char *folder, const char *region)
{
	static const char * const files[] = { "active_file", "inactive_file" };
	uint64_t current, file;
	char path[4000];
	unsigned int i;

	snprintf(path, sizeof(path), "%s/%s.current", folder, region ? "dmem" : "memory");
	if (!cgroup_value(path, region, &current))
		return 0;
	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	for (i = 0; !region && i < ARRAY_SIZE(files); i++) {
		if (cgroup_value(path, files[i], &file))
			current -= file < current ? file : current;
	}

	return current;
}

static bool in_cgroup_namespace(void)
{
	struct stat st;

	/* the inode number of the initial namespace */
	return !stat("/proc/self/ns/cgroup", &st) && st.st_ino != 0xeffffffb;
}

/*
 * Find the cgroup of this process that leaves the least @room for buffers of
 * the heap. Returns 1, 0 if there is no limit, or -1 if that is unknown.
 */
static int cgroup_room(const char *charged_to, uint64_t *room, char *where, size_t size)
{
	const char *region = strncmp(charged_to, "dmem:", 5) ? NULL : charged_to + 5;
	const char *controller = region ? "dmem" : "memory";
	char line[3000], folder[3100], path[4000], *slash;
	uint64_t max, current;
	int limited = 0;
	bool last;
	FILE *f;

	*line = '\0';
	f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof(line), f) && strncmp(line, "0::", 3)) {
		slash = strchr(line, ':');
		if (slash && !strncmp(slash + 1, controller, strlen(controller)) &&
		    slash[1 + strlen(controller)] == ':')
			out_note("the limits of cgroup v1 were not looked at");
		*line = '\0';
	}
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
	/* The file is missing without cgroup v2, or outside of the namespace. */
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.procs", line + 3);
	if (strncmp(line, "0::/", 4) || !strncmp(line, "0::/..", 6) || access(path, F_OK))
		return -1;

	/* Include the root, which has limits in a namespace. */
	for (;;) {
		last = !line[4];
		snprintf(folder, sizeof(folder), "/sys/fs/cgroup%s", line + 3);
		snprintf(path, sizeof(path), "%s/%s.max", folder, controller);
		if (cgroup_value(path, region, &max)) {
			current = cgroup_current(folder, region);
			current = current > max ? max : current;
			if (limited <= 0 || max - current < *room) {
				limited = 1;
				*room = max - current;
				snprintf(where, size, "%s", line + 3);
			}
		}
		if (last)
			break;
		slash = strrchr(line, '/');
		slash[slash == line + 3] = '\0';
	}

	/* There may be limits above the namespace. */
	if (!limited && in_cgroup_namespace())
		return -1;

	return limited;
}

static void suggest(const struct heaps *heaps, const char *name)
{
	const struct heap *other = instead_of(heaps, name);
	unsigned int i;
	char list[800] = "";

	if (other) {
		check("other name", 1, "%s is a heap like that; dmaheap udev prints a link",
		      other->name);
		return;
	}
	for (i = 0; i < heaps->nr; i++) {
		if (!heaps->heap[i].node_errno)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
				 *list ? ", " : "", heaps->heap[i].name);
	}
	check("other name", !!*list, "there is %s", *list ? list : "no heap with a node");
}

/* Is this process root of the machine, not only of a user namespace? */
static bool is_root(void)
{
	char line[200];
	unsigned long long inside, outside, nr;

	return !geteuid() && (!read_line("/proc/self/uid_map", line, sizeof(line)) ||
			      (sscanf(line, "%llu %llu %llu", &inside, &outside, &nr) == 3 &&
			       !inside && !outside && nr == UINT32_MAX));
}

static bool is_in_group(gid_t gid)
{
	gid_t groups[NGROUPS_MAX];
	int i, nr = getgroups(NGROUPS_MAX, groups);

	for (i = 0; i < nr; i++) {
		if (groups[i] == gid)
			return true;
	}

	return getegid() == gid;
}

/* Does the mode let this user read? Ignores ACLs and security modules. */
static bool mode_allows(const struct stat *st)
{
	if (is_root())
		return true;
	if (st->st_uid == geteuid())
		return st->st_mode & 0400;
	if (is_in_group(st->st_gid))
		return st->st_mode & 040;

	return st->st_mode & 04;
}

static int why_closed(const struct heaps *heaps, const struct heap *heap, const char *name)
{
	char path[300];
	struct stat st;
	int error = heap ? heap->node_errno : 0;

	if (!heap && strlen(name) < 256) {
		snprintf(path, sizeof(path), DEV_DIR "/%s", name);
		error = stat(path, &st) ? errno : ENOENT;
	} else if (!heap) {
		error = ENOENT;
	}
	if (error == EACCES || error == EPERM) {
		check("heap", -1, DEV_DIR "/%s: %s", name, strerror(error));
		return verdict(0, "permission", "This user may not look into " DEV_DIR ".");
	}
	if (error) {
		check("heap", 0, "%s", heap ? "it has no node in " DEV_DIR :
		      "there is none of that name");
		suggest(heaps, name);
		return verdict(0, "missing", heap ? "Heap %s has no node here." :
			       "There is no heap %s.", name);
	}
	check("heap", 1, DEV_DIR "/%s%s%s", name, *heap->target ? " is " : "", heap->target);
	check("permission", 0, "%s: mode %04o, user %u, group %s", strerror(heap->open_errno),
	      heap->st.st_mode & 07777, heap->st.st_uid, group_name(heap->st.st_gid));
	if (heap->open_errno != EACCES && heap->open_errno != EPERM)
		return verdict(0, "open", "Heap %s cannot be opened: %s.", name,
			       strerror(heap->open_errno));
	if (mode_allows(&heap->st))
		return verdict(0, "permission",
			       "The mode of heap %s allows it: an ACL, a cgroup's devices, or a security policy does not.",
			       name);
	if (heap->st.st_gid && (heap->st.st_mode & 040))
		return verdict(0, "permission",
			       "Only root and group %s may open heap %s: join that group.",
			       group_name(heap->st.st_gid), name);

	return verdict(0, "permission",
		       "Only root may open heap %s: a rule of udev can let a group, see dmaheap udev.",
		       name);
}

/* The counter that changed since the call with @before, or NULL; for root */
static const char *failure_reason(const char *name, bool before)
{
	static const char * const reasons[] = {
		"limit", "memory", "contiguous", "killed", "other",
	};
	static unsigned long long counts[5];
	char path[600], line[200], key[32];
	const char *reason = NULL;
	unsigned long long count;
	unsigned int i;
	FILE *f;

	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s", name);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "failures_%30[^:]: %llu", key, &count) != 2)
			continue;
		for (i = 0; i < 5; i++) {
			if (strcmp(key, reasons[i]))
				continue;
			if (!before && count != counts[i])
				reason = reasons[i];
			counts[i] = count;
		}
	}
	if (f)
		fclose(f);

	return reason;
}

/* MemAvailable of /proc/meminfo in bytes, or 0 */
static uint64_t available_memory(void)
{
	unsigned long long kib = 0;
	char line[200];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && !kib && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) != 1)
			kib = 0;
	}
	if (f)
		fclose(f);

	return kib << 10;
}

int cmd_why(int argc, char **argv)
{
	char where[3000] = "", s[6][40];
	const char *name, *real, *reason = NULL;
	const struct heaps *heaps;
	bool fits = true;
	const struct heap *heap;
	uint64_t size, room = 0;
	int fd, buffer, error, limited;

	if (!only_common_options(argc, argv))
		return EXIT_USAGE;
	argv += optind;
	if (argc - optind != 2 || !parse_size(argv[1], &size)) {
		fputs("dmaheap: why takes a heap and a size, see --help\n", stderr);
		return EXIT_USAGE;
	}
	name = argv[0];
	heaps = find_heaps();
	heap = find_heap(heaps, name);
	out_begin("why");
	out_table("checks", why_columns, 3);
	if (!heap || heap->open_errno)
		return why_closed(heaps, heap, name);

	real = *heap->target ? heap->target : name;
	check("heap", 1, DEV_DIR "/%s%s%s", name, *heap->target ? " is " : "", heap->target);
	check("permission", 1, "mode %04o, user %u, group %s", heap->st.st_mode & 07777,
	      heap->st.st_uid, group_name(heap->st.st_gid));
	snprintf(s[0], sizeof(s[0]), "%s", show_bytes(size));
	snprintf(s[1], sizeof(s[1]), "%s", show_bytes(heap->info.size));
	snprintf(s[2], sizeof(s[2]), "%s", show_bytes(heap->info.free));
	snprintf(s[3], sizeof(s[3]), "%s", show_bytes(heap->info.largest));
	if (heap->has_info && heap->info.size) {
		fits = size <= heap->info.size;
		check("size", fits, "the heap has %s", s[1]);
		check("free", size <= heap->info.free, "%s are free", s[2]);
		check("largest", size <= heap->info.largest,
		      "the largest buffer that there is memory for has %s", s[3]);
	} else {
		check("size", -1, "%s", heap->has_info ? "the heap does not tell" :
						   "this kernel has no DMA_HEAP_IOCTL_GET_INFO");
	}
	if (!*heap->charged_to)
		limited = -1;
	else if (!strcmp(heap->charged_to, "none"))
		limited = 0;
	else
		limited = cgroup_room(heap->charged_to, &room, where, sizeof(where));
	snprintf(s[4], sizeof(s[4]), "%s", show_bytes(room));
	if (limited > 0)
		check("limit", size <= room, "%s leaves %s of %s", where, s[4], heap->charged_to);
	else if (!limited && !strcmp(heap->charged_to, "none"))
		check("limit", 1, "buffers are not charged to a cgroup");
	else if (!limited)
		check("limit", 1, "no cgroup that is visible here has one for %s",
		      heap->charged_to);
	else
		check("limit", -1, "not known%s%s", *heap->charged_to ? " for " :
		      ", nor is what buffers are charged to", heap->charged_to);

	/* System heaps of older kernels invoke the OOM killer. */
	if (!heap->has_info && !strncmp(real, "system", 6) && available_memory() &&
	    size > available_memory()) {
		snprintf(s[2], sizeof(s[2]), "%s", show_bytes(available_memory()));
		check("allocation", -1, "not tried: this kernel may kill processes for it");
		return verdict(-1, "not_tried", "Only %s of memory are available.", s[2]);
	}

	failure_reason(real, true);
	fd = open_heap(name);
	buffer = fd < 0 ? -1 : alloc_buffer(fd, size);
	error = errno;
	if (fd >= 0)
		close(fd);
	if (buffer >= 0) {
		close(buffer);
		check("allocation", 1, "a buffer of %s was allocated, and freed", s[0]);
		return verdict(1, "none", "%s can be had from heap %s.", s[0], name);
	}
	check("allocation", 0, "%s", strerror(error));
	reason = failure_reason(real, false);
	if (!size)
		return verdict(0, "argument", "No heap allocates 0 bytes.");
	if (error == EMFILE || error == ENFILE || error == EINTR)
		return verdict(-1, "other", "The answer is unknown: %s.", strerror(error));
	if (error == ENODEV)
		return verdict(0, "missing", "Heap %s has just been removed.", name);
	if (error != ENOMEM)
		return verdict(0, "other", "Heap %s fails: %s.", name, strerror(error));
	if (!fits)
		return verdict(0, "memory", "Heap %s has only %s.", name, s[1]);
	if (limited > 0 && size > room && (!reason || !strcmp(reason, "limit")))
		return verdict(0, "limit", "The cgroup %s may have only %s more.", where, s[4]);
	if (reason && !strcmp(reason, "limit"))
		return verdict(0, "limit", "A cgroup has reached its limit.");
	if (!heap->has_info || !heap->info.size)
		return verdict(0, reason ?: "memory",
			       "Heap %s has not enough memory, or not in one piece.", name);
	if (size > heap->info.free)
		return verdict(0, "memory", "Only %s of heap %s are free.", s[2], name);
	if (size > heap->info.largest)
		return verdict(0, "contiguous",
			       "%s are free, but in pieces: the largest buffer that there is memory for has %s.",
			       s[2], s[3]);

	/* Neither a check nor a counter explains the failure. */
	if (!reason && limited < 0)
		return verdict(0, "other",
			       "%s are free: a limit of a cgroup that is not visible here, or a memory policy, may be the reason.",
			       s[2]);
	if (!has_word(heap->properties, "contiguous"))
		return verdict(0, reason ?: "other",
			       "%s are free: a memory policy may be the reason, or it was taken meanwhile.",
			       s[2]);

	return verdict(0, reason ?: "contiguous",
		       "%s are free, but some of it cannot be moved out of the way, or was taken meanwhile.",
		       s[2]);
}
