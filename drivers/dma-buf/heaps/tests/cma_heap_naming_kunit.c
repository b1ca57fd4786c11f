// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the names of CMA heaps, by a table of regions.
 */

#include <kunit/test.h>

#include <linux/err.h>
#include <linux/module.h>
#include <linux/string.h>

#include "../cma_heap.h"

struct naming_case {
	const char *region;
	bool is_default;
	bool legacy;
	/* the names in order, up to the first NULL */
	const char *names[2];
	int error;
};

static const struct naming_case cases[] = {
	/* the command line or the configuration */
	{ "reserved", true, true, { "default_cma_region", "reserved" } },
	{ "reserved", true, false, { "default_cma_region" } },
	/* the device tree */
	{ "linux,cma", true, true, { "default_cma_region", "linux,cma" } },
	{ "linux,cma", true, false, { "default_cma_region" } },
	{ "default-pool", true, true, { "default_cma_region", "default-pool" } },
	{ "linux,cma@48000000", true, true, { "default_cma_region", "linux,cma@48000000" } },
	{ "video@42000000", false, true, { "video@42000000" } },
	{ "video@42000000", false, false, { "video@42000000" } },
	{ "linux,cma", false, true, { "linux,cma" } },
	{ "reserved", false, false, { "reserved" } },
	/* no region gets to be known as what it is not */
	{ "default_cma_region", true, true, { "default_cma_region" } },
	{ "default_cma_region", true, false, { "default_cma_region" } },
	{ "default_cma_region", false, true, {}, -EEXIST },
	{ "default_cma_region", false, false, {}, -EEXIST },
	{ "system", false, true, {}, -EEXIST },
	{ "system_cc_shared", false, false, {}, -EEXIST },
	{ "system-uncached", false, true, {}, -EEXIST },
	{ "system-uncached", true, true, { "default_cma_region" } },
	{ "default_cma_region-uncached", false, false, {}, -EEXIST },
	{ "default_cma_region-uncached", true, true, { "default_cma_region" } },
	{ "system", true, true, { "default_cma_region" } },
	/* what only begins like that is another name */
	{ "system@80000000", false, true, { "system@80000000" } },
	{ "default_cma_region2", false, true, { "default_cma_region2" } },
};

static void naming_desc(const struct naming_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s%s%s", c->region,
		 c->is_default ? ", default" : "", c->legacy ? ", legacy" : "");
}

KUNIT_ARRAY_PARAM(naming, cases, naming_desc);

static void cma_heap_naming(struct kunit *test)
{
	const struct naming_case *c = test->param_value;
	unsigned int n;

	if (c->error) {
		KUNIT_EXPECT_PTR_EQ(test, cma_heap_name(c->region, c->is_default, c->legacy, 0),
				    (const char *)ERR_PTR(c->error));
		KUNIT_EXPECT_NULL(test, cma_heap_name(c->region, c->is_default, c->legacy, 1));
		return;
	}
	for (n = 0; n < 2; n++) {
		const char *name = cma_heap_name(c->region, c->is_default, c->legacy, n);

		KUNIT_ASSERT_FALSE(test, IS_ERR(name));
		if (c->names[n])
			KUNIT_EXPECT_STREQ(test, name, c->names[n]);
		else
			KUNIT_EXPECT_NULL(test, name);
	}
	KUNIT_EXPECT_NULL(test, cma_heap_name(c->region, c->is_default, c->legacy, 2));
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
