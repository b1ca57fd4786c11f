// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the names of CMA heaps
 */

#include <kunit/test.h>

#include <linux/module.h>
#include <linux/string.h>

#include "../cma_heap.h"

struct naming_case {
	const char *region;
	bool is_default;
	/* name of the heap and old name of the default one; NULL if there is none */
	const char *name;
	const char *legacy;
};

#define LONG_NAME	"buffers-of-the-second-camera-at-the-left-front-door-is@12345678"

static const struct naming_case cases[] = {
	/* the command line or the configuration */
	{ .region = "reserved", .is_default = true, .name = "default_cma_region",
	  .legacy = "reserved" },
	/* the devicetree */
	{ .region = "linux,cma", .is_default = true, .name = "default_cma_region",
	  .legacy = "linux,cma" },
	{ .region = "default-pool", .is_default = true, .name = "default_cma_region",
	  .legacy = "default-pool" },
	{ .region = "linux,cma@48000000", .is_default = true, .name = "default_cma_region",
	  .legacy = "linux,cma@48000000" },
	{ .region = "video@42000000", .name = "video@42000000" },
	{ .region = "linux,cma", .name = "linux,cma" },
	{ .region = "reserved", .name = "reserved" },
	/* a region cannot take the name of another heap */
	{ .region = "default_cma_region", .is_default = true, .name = "default_cma_region" },
	{ .region = "default_cma_region" },
	{ .region = "system" },
	{ .region = "system", .is_default = true, .name = "default_cma_region" },
	{ .region = "system_cc_shared" },
	{ .region = "system-uncached" },
	{ .region = "system-dma32" },
	{ .region = "system-uncached-dma32" },
	{ .region = "system-uncached", .is_default = true, .name = "default_cma_region" },
	{ .region = "default_cma_region-uncached" },
	{ .region = "default_cma_region-uncached", .is_default = true,
	  .name = "default_cma_region" },
	{ .region = "protected,trusted-ui" },
	{ .region = "protected," },
	{ .region = "protected,secure-video", .is_default = true, .name = "default_cma_region" },
	/* CMA truncates names to 63 characters: this may be a part of a name */
	{ .region = LONG_NAME, .is_default = true, .name = "default_cma_region" },
	{ .region = LONG_NAME, .name = LONG_NAME },
	/* similar names are allowed */
	{ .region = "system@80000000", .name = "system@80000000" },
	{ .region = "default_cma_region2", .name = "default_cma_region2" },
	{ .region = "protected@80000000", .name = "protected@80000000" },
};

static void naming_desc(const struct naming_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s%s", c->region, c->is_default ? ", default" : "");
}

KUNIT_ARRAY_PARAM(naming, cases, naming_desc);

static void expect_name(struct kunit *test, const char *name, const char *want)
{
	if (want)
		KUNIT_EXPECT_STREQ(test, name, want);
	else
		KUNIT_EXPECT_NULL(test, name);
}

static void cma_heap_naming(struct kunit *test)
{
	const struct naming_case *c = test->param_value;

	expect_name(test, cma_heap_name(c->region, c->is_default), c->name);
	if (c->is_default)
		expect_name(test, cma_heap_legacy_name(c->region), c->legacy);
}

static struct kunit_case naming_cases[] = {
	KUNIT_CASE_PARAM(cma_heap_naming, naming_gen_params),
	{}
};

static struct kunit_suite naming_suite = {
	.name = "cma_heap_naming",
	.test_cases = naming_cases,
};

kunit_test_suite(naming_suite);

MODULE_DESCRIPTION("KUnit suite of the names of CMA heaps");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
