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
	{ "reserved", true, "default_cma_region", "reserved" },
	/* the devicetree */
	{ "linux,cma", true, "default_cma_region", "linux,cma" },
	{ "default-pool", true, "default_cma_region", "default-pool" },
	{ "linux,cma@48000000", true, "default_cma_region", "linux,cma@48000000" },
	{ "video@42000000", false, "video@42000000" },
	{ "linux,cma", false, "linux,cma" },
	{ "reserved", false, "reserved" },
	/* no region has the name of another heap */
	{ "default_cma_region", true, "default_cma_region" },
	{ "default_cma_region", false },
	{ "system", false },
	{ "system", true, "default_cma_region" },
	{ "system_cc_shared", false },
	{ "system-uncached", false },
	{ "system-uncached", true, "default_cma_region" },
	{ "default_cma_region-uncached", false },
	{ "default_cma_region-uncached", true, "default_cma_region" },
	{ "protected,trusted-ui", false },
	{ "protected,", false },
	{ "protected,secure-video", true, "default_cma_region" },
	/* CMA keeps 63 characters, and more were cut */
	{ LONG_NAME, true, "default_cma_region" },
	{ LONG_NAME, false, LONG_NAME },
	/* a name that only begins like that is another name */
	{ "system@80000000", false, "system@80000000" },
	{ "default_cma_region2", false, "default_cma_region2" },
	{ "protected@80000000", false, "protected@80000000" },
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
