// SPDX-License-Identifier: GPL-2.0
/*
 * Information on heaps: DMA_HEAP_IOCTL_GET_INFO, and the attributes in sysfs
 */

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define HEAP_FIXTURE_OWN struct dma_heap_info
#include "fixture.h"

/* minimum size of the structure */
#define LEAST	(offsetof(struct dma_heap_info, restrictions) + \
		 sizeof(((struct dma_heap_info *)NULL)->restrictions))
#define GET_INFO(size)	_IOC(_IOC_READ | _IOC_WRITE, DMA_HEAP_IOC_MAGIC, 1, size)

static int get_info(int heap, struct dma_heap_info *info)
{
	memset(info, 0, sizeof(*info));

	return ioctl(heap, DMA_HEAP_IOCTL_GET_INFO, info);
}

/* An attribute of the heap, or "" if there is no such one. */
static const char *attribute(const char *heap, const char *name)
{
	static char value[256];
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/dma_heap/%s/%s", heap, name);
	*value = '\0';
	f = fopen(path, "re");
	if (!f)
		return value;
	if (!fgets(value, sizeof(value), f))
		*value = '\0';
	fclose(f);
	value[strcspn(value, "\n")] = '\0';

	return value;
}

/* The expected attribute for these bits */
static const char *words(unsigned int bits)
{
	static const char * const names[] = {
		"contiguous", "protected", "write-combined", "cc-shared", "dedicated",
	};
	static char text[256];
	unsigned int i;

	*text = '\0';
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(bits & (1 << i)))
			continue;
		if (*text)
			strcat(text, " ");
		strcat(text, names[i]);
	}

	return *text ? text : "none";
}

/* Bits of the highest address of RAM, or 0 if that is unknown */
static unsigned int ram_bits(void)
{
	unsigned long long start, end, last = 0;
	unsigned int bits = 0;
	char line[256];
	FILE *f;

	f = fopen("/proc/iomem", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx : System RAM", &start, &end) == 2 && end > last &&
		    strstr(line, "System RAM"))
			last = end;
	}
	if (f)
		fclose(f);
	for (; last; last >>= 1)
		bits++;

	return bits;
}

static void own_begin(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
	/* kernels have either both or neither */
	if (get_info(self->heap, &self->own) && !*attribute(self->name, "properties"))
		SKIP(return, "this kernel has no DMA_HEAP_IOCTL_GET_INFO");
}

static void own_end(struct __test_metadata *_metadata, FIXTURE_DATA(heap) * self)
{
}

TEST_F(heap, numbers)
{
	struct dma_heap_info info;

	ASSERT_EQ(0, get_info(self->heap, &info));
	/* not EXPECT: a skip later would hide the failure */
	ASSERT_EQ(self->page, info.granule);
	if (!info.size)
		SKIP(return, "the heap does not tell");
	EXPECT_LE(info.largest, info.free);
	EXPECT_LE(info.free, info.size);
	EXPECT_GE(64, info.address_bits);
	/* 0 for memory that is shared with a host */
	if (!(info.restrictions & DMA_HEAP_CC_SHARED))
		EXPECT_LE(12, info.address_bits);
	/* fewer if the highest memory is movable */
	if (ram_bits())
		EXPECT_GE(ram_bits(), info.address_bits);
	if (strstr(self->own_name, "dma32"))
		EXPECT_GE(32, info.address_bits);
	/* the system heaps cannot use memory of CMA regions */
	if (!strncmp(self->own_name, "system", 6))
		EXPECT_LE(info.size, mem_bytes("MemTotal") - mem_bytes("CmaTotal"));
}

/*
 * The structure can be shorter or longer: the kernel fills in the members that
 * fit, whatever they were before.  The rest must be zero, and stays so.
 */
TEST_F(heap, info_sizes)
{
	struct dma_heap_info info, again;
	unsigned char bytes[256];
	size_t size, i, known;

	for (size = 0; size < sizeof(bytes); size++) {
		memset(bytes, 0xa5, sizeof(bytes));
		if (size < LEAST) {
			EXPECT_ERRNO(EINVAL, ioctl(self->heap, GET_INFO(size), bytes));
			known = 0;
			i = 0;
		} else {
			known = size < sizeof(info) ? size : sizeof(info);
			if (size > known) {
				EXPECT_ERRNO(E2BIG, ioctl(self->heap, GET_INFO(size), bytes));
				EXPECT_EQ(0xa5, bytes[0]);
				memset(bytes + known, 0, size - known);
				bytes[size - 1] = 1;
				EXPECT_ERRNO(E2BIG, ioctl(self->heap, GET_INFO(size), bytes));
				bytes[size - 1] = 0;
			}
			ASSERT_EQ(0, ioctl(self->heap, GET_INFO(size), bytes));
			/* compare only what cannot have changed */
			ASSERT_EQ(0, get_info(self->heap, &again));
			memcpy(&info, bytes, known);
			again.free = info.free;
			again.largest = info.largest;
			EXPECT_EQ(0, memcmp(&info, &again, known));
			for (i = known; i < size; i++)
				EXPECT_EQ(0, bytes[i]);
		}
		/* nothing after the structure is written */
		for (; i < sizeof(bytes); i++)
			ASSERT_EQ(0xa5, bytes[i]) {
				TH_LOG("byte %zu of %zu", i, size);
			}
	}
}

TEST_F(heap, info_bad_pointers)
{
	void *map;

	EXPECT_ERRNO(EFAULT, ioctl(self->heap, DMA_HEAP_IOCTL_GET_INFO, NULL));
	map = mmap(NULL, self->page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_ERRNO(EFAULT, ioctl(self->heap, DMA_HEAP_IOCTL_GET_INFO, map));
	munmap(map, self->page);
}

/* A buffer reduces the free memory of a region by its size. */
TEST_F(heap, info_free)
{
	struct dma_heap_info before, with, after;
	const size_t len = 1 << 20;
	int buf, tries = 0;

	if (!(self->own.properties & DMA_HEAP_CONTIGUOUS))
		SKIP(return, "what is free of all memory changes all the time");
	if (!self->own.size)
		SKIP(return, "the heap does not tell");
	if (!self->alone)
		SKIP(return, "no debugfs, or others have buffers of the heap");
again:
	ASSERT_EQ(0, get_info(self->heap, &before));
	buf = heap_alloc(self->heap, len);
	ASSERT_LE(0, buf);
	ASSERT_EQ(0, get_info(self->heap, &with));
	close(buf);
	ASSERT_EQ(0, get_info(self->heap, &after));
	/* drivers and the page allocator may allocate from a region, or free, meanwhile */
	if ((with.free != before.free - len || after.free != before.free) && ++tries < 10)
		goto again;
	EXPECT_EQ(before.free - len, with.free);
	EXPECT_EQ(before.free, after.free);
}

/* A buffer longer than the largest free run of a region fails. */
TEST_F(heap, info_largest)
{
	unsigned long long before = 0, failures = 0;
	struct dma_heap_info info;
	int buf, hole[2], i;

	if (!(self->own.properties & DMA_HEAP_CONTIGUOUS))
		SKIP(return, "buffers need not be contiguous");
	if (!self->own.size)
		SKIP(return, "the heap does not tell");
	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	/* the second one separates the first, which is freed, from the rest */
	for (i = 0; i < 2; i++) {
		hole[i] = heap_alloc(self->heap, 1 << 20);
		ASSERT_LE(0, hole[i]);
	}
	close(hole[0]);
	ASSERT_EQ(0, get_info(self->heap, &info));
	EXPECT_LT(info.largest, info.free);
	heap_counter(self->own_name, "failures_contiguous", &before);
	buf = heap_alloc(self->heap, info.largest + info.granule);
	EXPECT_EQ(-1, buf);
	EXPECT_EQ(ENOMEM, errno);
	if (buf >= 0)
		close(buf);
	/* it is counted as a failure for lack of contiguous memory */
	if (heap_counter(self->own_name, "failures_contiguous", &failures))
		EXPECT_LT(before, failures);
	close(hole[1]);
}

/* A buffer as long as the largest free run succeeds, despite its alignment. */
TEST_F(heap, info_aligned)
{
	int page, buf, other[256], others = 0, tries = 0;
	struct dma_heap_info info;

	if (!(self->own.properties & DMA_HEAP_CONTIGUOUS))
		SKIP(return, "buffers need not be contiguous");
	if (!self->own.size)
		SKIP(return, "the heap does not tell");
	if (!may_disrupt())
		SKIP(return, "not without DMABUF_DISRUPT=1");
	/* allocate the longest run, and then all others */
	ASSERT_EQ(0, get_info(self->heap, &info));
	buf = heap_alloc(self->heap, info.largest);
	do {
		ASSERT_EQ(0, get_info(self->heap, &info));
		other[others] = info.largest ? heap_alloc(self->heap, info.largest) : -1;
	} while (other[others] >= 0 && ++others < 256);
	if (buf >= 0)
		close(buf);
	/* the free run after this page is not aligned */
	page = heap_alloc(self->heap, self->page);
	ASSERT_LE(0, page);
	do {
		ASSERT_EQ(0, get_info(self->heap, &info));
		EXPECT_LT(0, info.largest);
		buf = heap_alloc(self->heap, info.largest);
		/* some pages may not be movable at the moment */
		if (buf < 0)
			usleep(50000);
	} while (buf < 0 && ++tries < 20);
	EXPECT_LE(0, buf) {
		TH_LOG("%llu bytes: %s", (unsigned long long)info.largest, strerror(errno));
	}
	if (buf >= 0)
		close(buf);
	close(page);
	while (others)
		close(other[--others]);
}

/* The attributes match the ioctl, without opening the heap. */
TEST_F(heap, attributes)
{
	struct dma_heap_info info, own;
	int heap;

	ASSERT_EQ(0, get_info(self->heap, &info));
	/* not EXPECT: a skip later would hide the failure */
	ASSERT_STREQ(words(info.properties), attribute(self->name, "properties"));
	ASSERT_STREQ(words(info.restrictions), attribute(self->name, "restrictions"));
	/* an alias has the name of its heap */
	ASSERT_STREQ(strcmp(self->name, self->own_name) ? self->own_name : "",
		     attribute(self->name, "alias_of"));
	/* the heap has the same info under its own name */
	heap = heap_open(self->own_name);
	if (heap < 0 && (errno == EACCES || errno == EPERM))
		SKIP(return, "cannot open heap %s", self->own_name);
	ASSERT_LE(0, heap);
	ASSERT_EQ(0, get_info(heap, &own));
	EXPECT_EQ(info.properties, own.properties);
	EXPECT_EQ(info.restrictions, own.restrictions);
	EXPECT_EQ(info.size, own.size);
	close(heap);
}

/* System heaps, the default region, and regions of the device tree */
static bool is_known(const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "/proc/device-tree/reserved-memory/%s", name);
	/* an uncached heap has the name of its region before that */
	if (strstr(path, "-uncached"))
		*strstr(path, "-uncached") = '\0';

	return !strncmp(name, "system", 6) || !strncmp(name, "default_cma_region", 18) ||
	       !access(path, F_OK);
}

/* Properties of heaps with well-known names */
TEST_F(heap, properties)
{
	const bool uncached = !!strstr(self->own_name, "-uncached");
	struct dma_heap_info info;

	if (!is_known(self->own_name))
		SKIP(return, "a heap of another driver");
	ASSERT_EQ(0, get_info(self->heap, &info));
	EXPECT_EQ(!!strncmp(self->own_name, "system", 6),
		  !!(info.properties & DMA_HEAP_CONTIGUOUS));
	EXPECT_EQ(uncached, !!(info.restrictions & DMA_HEAP_WRITE_COMBINED));
	EXPECT_EQ(0, info.restrictions & DMA_HEAP_PROTECTED);
	EXPECT_EQ(!strcmp(self->own_name, "system_cc_shared"),
		  !!(info.restrictions & DMA_HEAP_CC_SHARED));
	/* only regions other than the default one are dedicated */
	EXPECT_EQ((info.properties & DMA_HEAP_CONTIGUOUS) &&
		  strncmp(self->own_name, "default_cma_region", 18),
		  !!(info.restrictions & DMA_HEAP_DEDICATED));
}

TEST_HARNESS_MAIN
