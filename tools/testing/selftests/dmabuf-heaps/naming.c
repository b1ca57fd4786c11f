// SPDX-License-Identifier: GPL-2.0
/*
 * The names of CMA heaps match the command line, the device tree and the
 * configuration of the kernel.
 */

#define _GNU_SOURCE
#include <limits.h>
#include <sys/stat.h>

#include "heap.h"
#include "kselftest_harness.h"

#define REGIONS "/proc/device-tree/reserved-memory"
#define CMA_DEBUG "/sys/kernel/debug/cma"
#define DEFAULT_NAME "default_cma_region"
#define UNCACHED "-uncached"
#define MAX_NAMES 64

struct names {
	unsigned int nr;
	char *name[MAX_NAMES];
};

static void names_add(struct names *names, const char *name)
{
	if (names->nr == MAX_NAMES) {
		fprintf(stderr, "more than %u heaps\n", MAX_NAMES);
		exit(KSFT_FAIL);
	}
	names->name[names->nr++] = strdup(name);
}

static bool names_have(const struct names *names, const char *name)
{
	unsigned int i;

	for (i = 0; i < names->nr; i++) {
		if (!strcmp(names->name[i], name))
			return true;
	}

	return false;
}

/* Add the name with UNCACHED appended, unless another heap has that name. */
static void names_add_uncached(struct names *names, const char *name)
{
	char full[NAME_MAX + 1];

	snprintf(full, sizeof(full), "%s" UNCACHED, name);
	if (!names_have(names, full))
		names_add(names, full);
}

/* A line of the kernel's configuration that begins like that, or NULL. */
static char *config_line(const char *begin)
{
	static char line[256];
	FILE *f = popen("zcat /proc/config.gz 2>/dev/null", "r");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, begin, strlen(begin));
	if (f)
		pclose(f);

	return found ? line : NULL;
}

/* The size that cma= asks for, or -1 when it is not there. */
static long long cmdline_cma(void)
{
	char line[4096] = {}, *word, *save = NULL;
	FILE *f = fopen("/proc/cmdline", "re");
	long long size = -1;

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		fclose(f);
	}
	line[strcspn(line, "\n")] = '\0';
	for (word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (!strncmp(word, "cma=", 4))
			size = strtoll(word + 4, NULL, 0);
	}

	return size;
}

static bool has_property(const char *node, const char *property)
{
	char path[512];

	snprintf(path, sizeof(path), REGIONS "/%s/%s", node, property);

	return access(path, F_OK) == 0;
}

/* Is @value one of the strings of the property? */
static bool property_is(const char *node, const char *property, const char *value)
{
	char path[512], buf[512] = {}, *s;
	bool found = false;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), REGIONS "/%s/%s", node, property);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	for (s = buf; s < buf + n; s += strlen(s) + 1)
		found |= !strcmp(s, value);

	return found;
}

static bool is_region(const char *node)
{
	return property_is(node, "compatible", "shared-dma-pool") &&
	       has_property(node, "reusable") && !has_property(node, "no-map") &&
	       (!has_property(node, "status") || property_is(node, "status", "okay") ||
		property_is(node, "status", "ok"));
}

/* Names that are reserved for other heaps */
static bool is_taken(const char *name)
{
	static const char * const taken[] = {
		DEFAULT_NAME, DEFAULT_NAME UNCACHED, "system", "system" UNCACHED,
		"system-dma32", "system-uncached-dma32", "system_cc_shared",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(taken) && strcmp(name, taken[i]); i++)
		;

	return i < ARRAY_SIZE(taken) || !strncmp(name, "protected,", 10);
}

/* Is it a current or an old name of a CMA heap, with or without UNCACHED? */
static bool is_region_name(const char *name)
{
	static const char * const old[] = { DEFAULT_NAME, "reserved", "linux,cma", "default-pool" };
	char own[NAME_MAX + 1];
	unsigned int i;
	size_t n;

	/* reserved for the system and the protected heaps */
	if (is_taken(name) && strncmp(name, DEFAULT_NAME, strlen(DEFAULT_NAME)))
		return false;

	snprintf(own, sizeof(own), "%s", name);
	n = strlen(own);
	if (n > strlen(UNCACHED) && !strcmp(own + n - strlen(UNCACHED), UNCACHED))
		own[n - strlen(UNCACHED)] = '\0';
	for (i = 0; i < ARRAY_SIZE(old); i++) {
		if (!strcmp(own, old[i]))
			return true;
	}

	if (name[0] == '.')
		return false;

	return has_property(own, "compatible") || has_property(name, "compatible");
}

/* Compute the expected names.  Return the default region's name, or NULL. */
static char *expect(struct names *names, bool legacy, bool uncached)
{
	const long long cmdline = cmdline_cma();
	char *config = config_line("CONFIG_CMA_SIZE_MBYTES=");
	char *region = NULL;
	struct dirent *e;
	unsigned int i, nr;
	bool old;
	DIR *dir;

	if (cmdline > 0)
		region = strdup("reserved");
	dir = opendir(REGIONS);
	while (dir && (e = readdir(dir))) {
		if (!is_region(e->d_name))
			continue;
		if (has_property(e->d_name, "linux,cma-default")) {
			/* cma= overrides the device tree, even cma=0 */
			if (cmdline < 0)
				region = strdup(e->d_name);
			continue;
		}
		/* a name of more than 63 characters gets no heap */
		if (!is_taken(e->d_name) && strlen(e->d_name) < 64)
			names_add(names, e->d_name);
	}
	if (dir)
		closedir(dir);
	if (!region && cmdline < 0 && config && atoi(strchr(config, '=') + 1) > 0)
		region = strdup("reserved");
	if (region)
		names_add(names, DEFAULT_NAME);
	/* current names, then the old one, then those of uncached heaps */
	nr = names->nr;
	old = region && legacy && !is_taken(region) && strlen(region) < 63;
	if (old && !names_have(names, region))
		names_add(names, region);
	for (i = 0; uncached && i < nr; i++)
		names_add_uncached(names, names->name[i]);
	if (old && uncached)
		names_add_uncached(names, region);

	return region;
}

/* Does the first heap that can be opened accept a command of another type? */
static bool takes_any_command(void)
{
	struct dma_heap_allocation_data data = {};
	DIR *dir = opendir(HEAP_DIR);
	struct dirent *e;
	int heap = -1;
	bool takes;

	while (dir && heap < 0 && (e = readdir(dir))) {
		if (e->d_name[0] != '.')
			heap = heap_open(e->d_name);
	}
	/* a length of 0 is refused by all */
	takes = heap >= 0 && ERRNO_OF(ioctl(heap, _IOWR('X', 0, data), &data)) != ENOTTY;
	if (heap >= 0)
		close(heap);
	if (dir)
		closedir(dir);

	return takes;
}

FIXTURE(naming)
{
	struct names expected;
	struct names found;
	/* the name of the default region, if there is one */
	char *region;
	bool legacy;
};

FIXTURE_SETUP(naming)
{
	struct dirent *e;
	DIR *dir;

	if (!config_line("CONFIG_DMABUF_HEAPS_CMA="))
		SKIP(return, "no /proc/config.gz, or no CMA heaps in it");
	if (config_line("CONFIG_DMABUF_HEAPS_CMA=m") && access("/sys/module/cma_heap", F_OK))
		SKIP(return, "the module of the CMA heaps is not loaded");
	if (access(HEAP_DIR, F_OK))
		SKIP(return, "there is no " HEAP_DIR);
	if (!config_line("CONFIG_DMABUF_HEAPS_CMA_LEGACY=y") &&
	    !config_line("# CONFIG_DMABUF_HEAPS_CMA_LEGACY is not set"))
		SKIP(return, "this kernel has an older rule for the names of CMA heaps");
	/* some older kernels have the option, but accept any command type */
	if (takes_any_command())
		SKIP(return, "this kernel has an older rule for the names of CMA heaps");
	if (cmdline_cma() < 0 && !config_line("CONFIG_CMA_SIZE_SEL_MBYTES=y"))
		SKIP(return, "the size of the default region is a share of memory");
	self->legacy = config_line("CONFIG_DMABUF_HEAPS_CMA_LEGACY=y");
	self->region = expect(&self->expected, self->legacy,
			      config_line("CONFIG_DMABUF_HEAPS_CMA_UNCACHED=y"));

	dir = opendir(HEAP_DIR);
	while (dir && (e = readdir(dir))) {
		/* ignore heaps with names that no region has */
		if (is_region_name(e->d_name))
			names_add(&self->found, e->d_name);
	}
	if (dir)
		closedir(dir);
}

FIXTURE_TEARDOWN(naming)
{
	unsigned int i;

	for (i = 0; i < self->expected.nr; i++)
		free(self->expected.name[i]);
	for (i = 0; i < self->found.nr; i++)
		free(self->found.name[i]);
	free(self->region);
}

/*
 * May this be a heap of the region that the configuration creates?  Some
 * architectures create it even if the default node has a fixed address.
 */
static bool is_config_region(const char *name, const char *region)
{
	return region && strcmp(region, "reserved") && has_property(region, "reg") &&
	       !strncmp(name, "reserved", strlen("reserved"));
}

/* All expected heaps exist, and no others. */
TEST_F(naming, nodes)
{
	unsigned int i;

	for (i = 0; i < self->expected.nr; i++) {
		EXPECT_TRUE(names_have(&self->found, self->expected.name[i])) {
			TH_LOG("there is no %s", self->expected.name[i]);
		}
	}
	for (i = 0; i < self->found.nr; i++) {
		if (is_config_region(self->found.name[i], self->region))
			continue;
		EXPECT_TRUE(names_have(&self->expected, self->found.name[i])) {
			TH_LOG("there should be no %s", self->found.name[i]);
		}
	}
	TH_LOG("%u heaps, default region %s, legacy %s", self->found.nr,
	       self->region ?: "none", self->legacy ? "y" : "n");
}

/* The kernel log from its start, or NULL if that is not there any more. */
static char *kernel_log(void)
{
	size_t size = 8 << 20, n = 0;
	char *log = calloc(1, size);
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t got;

	while (log && fd >= 0 && n + 8192 < size) {
		got = read(fd, log + n, 8191);
		if (got > 0)
			n += got;
		else if (got == 0 || errno != EPIPE)
			break;
	}
	if (fd >= 0)
		close(fd);
	if (!log || !strstr(log, "Linux version ")) {
		free(log);
		return NULL;
	}

	return log;
}

/* The log names the regions that should have a heap and have none. */
TEST_F(naming, messages)
{
	char text[NAME_MAX + 64], *log = kernel_log();
	struct dirent *e;
	DIR *dir;

	if (!log)
		SKIP(return, "the log cannot be read, or has lost its beginning");
	dir = opendir(REGIONS);
	if (!dir) {
		free(log);
		SKIP(return, "there are no regions in a device tree");
	}
	while ((e = readdir(dir))) {
		bool region = e->d_name[0] != '.' && is_region(e->d_name) &&
			      !has_property(e->d_name, "linux,cma-default");
		bool heap = names_have(&self->found, e->d_name);

		if (is_taken(e->d_name))
			heap = false;
		snprintf(text, sizeof(text), "cannot add a heap for region %s:", e->d_name);
		if (strlen(e->d_name) >= 64)
			snprintf(text, sizeof(text), "%s: name too long", e->d_name);
		EXPECT_EQ(region && !heap, !!strstr(log, text)) {
			TH_LOG("%s", text);
		}
	}
	closedir(dir);
	free(log);
}

/* Each heap can allocate. */
TEST_F(naming, allocate)
{
	unsigned int i, opened = 0, full = 0;
	int heap, buf;

	for (i = 0; i < self->found.nr; i++) {
		heap = heap_open(self->found.name[i]);
		if (heap < 0 && (errno == EACCES || errno == EPERM))
			continue;
		ASSERT_LE(0, heap);
		opened++;
		buf = heap_alloc(heap, 4096);
		/* others may have taken all of a region */
		full += buf < 0 && errno == ENOMEM;
		/* not EXPECT: a skip later would hide the failure */
		ASSERT_TRUE(buf >= 0 || errno == ENOMEM) {
			TH_LOG("%s: %s", self->found.name[i], strerror(errno));
		}
		close(buf);
		close(heap);
	}
	if (!opened)
		SKIP(return, "there is no heap that can be opened");
	if (full)
		SKIP(return, "%u heaps have nothing to give", full);
}

/* The old name refers to the same heap, and shows the same counters. */
TEST_F(naming, old_name)
{
	unsigned long long before, after, alias;
	int heap, buf, tries;

	/* nor has a name that is taken, or too long for a heap */
	if (!self->region || !self->legacy || is_taken(self->region) ||
	    strlen(self->region) > 62)
		SKIP(return, "the default region has no old name here");

	heap = heap_open(self->region);
	if (heap < 0 && (errno == EACCES || errno == EPERM))
		SKIP(return, "cannot open heap %s", self->region);
	ASSERT_LE(0, heap);
	buf = heap_alloc(heap, 1 << 20);
	if (buf < 0 && errno == ENOMEM)
		SKIP(return, "heap %s has nothing to give", self->region);
	ASSERT_LE(0, buf);
	/* not EXPECT: a skip later would hide the failure */
	ASSERT_STREQ(DEFAULT_NAME, buffer_heap(buf));
	close(buf);
	if (!heap_counter(DEFAULT_NAME, "bytes", &before))
		SKIP(return, "no debugfs");
	/* again if others allocate meanwhile */
	for (tries = 0; tries < 10; tries++) {
		ASSERT_TRUE(heap_counter(DEFAULT_NAME, "bytes", &before));
		buf = heap_alloc(heap, 1 << 20);
		ASSERT_LE(0, buf);
		ASSERT_TRUE(heap_counter(DEFAULT_NAME, "bytes", &after));
		ASSERT_TRUE(heap_counter(self->region, "bytes", &alias));
		close(buf);
		if (after == before + (1 << 20) && alias == after)
			break;
	}
	EXPECT_EQ(before + (1 << 20), after);
	EXPECT_EQ(after, alias);
	close(heap);
}

static bool cma_debug(const char *region, const char *what, unsigned long long *value)
{
	char path[512];
	bool ok = false;
	FILE *f;

	snprintf(path, sizeof(path), CMA_DEBUG "/%s/%s", region, what);
	f = fopen(path, "re");
	if (f) {
		ok = fscanf(f, "%llu", value) == 1;
		fclose(f);
	}

	return ok;
}

/* An allocation longer than the longest free run in debugfs fails. */
TEST_F(naming, largest_free_run)
{
	const long page = sysconf(_SC_PAGESIZE);
	unsigned long long run, count, used, used_now;
	int heap, buf, tries, error;

	if (!self->region)
		SKIP(return, "there is no default region");
	if (!cma_debug(self->region, "maxchunk", &run) || !cma_debug(self->region, "count", &count))
		SKIP(return, "no CMA in debugfs");

	heap = heap_open(DEFAULT_NAME);
	if (heap < 0 && (errno == EACCES || errno == EPERM))
		SKIP(return, "cannot open heap %s", DEFAULT_NAME);
	ASSERT_LE(0, heap);
	/* not EXPECT: a skip later would hide the failure */
	ASSERT_LE(run, count);
	/* again if others allocate or free meanwhile */
	for (tries = 0; tries < 10; tries++) {
		ASSERT_TRUE(cma_debug(self->region, "maxchunk", &run));
		buf = heap_alloc(heap, (run + 1) * page);
		error = errno;
		if (buf < 0)
			break;
		close(buf);
	}
	ASSERT_EQ(-1, buf);
	ASSERT_EQ(ENOMEM, error);
	for (tries = 0; tries < 10; tries++) {
		ASSERT_TRUE(cma_debug(self->region, "used", &used));
		buf = heap_alloc(heap, 16 * page);
		if (buf < 0 && errno == ENOMEM)
			SKIP(return, "heap %s has nothing to give", DEFAULT_NAME);
		ASSERT_LE(0, buf);
		ASSERT_TRUE(cma_debug(self->region, "used", &used_now));
		close(buf);
		if (used_now == used + 16)
			break;
	}
	EXPECT_EQ(used + 16, used_now);
	close(heap);
}

TEST_HARNESS_MAIN
