// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the system heap, and of system_cc_shared with stubs that
 * replace decryption.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/cc_platform.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/dma-mapping.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/iosys-map.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../../dma-heap-private.h"
#include "../system_heap.h"
#include "heap_kunit_helpers.h"

#define SYSTEM_HEAP	"system"

static struct dma_heap *system_heap(struct kunit *test)
{
	struct dma_heap *heap = dma_heap_find(SYSTEM_HEAP);

	/* without its heap, the suite fails */
	KUNIT_ASSERT_NOT_NULL(test, heap);
	dma_heap_put(heap);

	return heap_kunit_find(test, SYSTEM_HEAP);
}

static void system_heap_killed(struct kunit *test)
{
	heap_kunit_test_killed(test, SYSTEM_HEAP);
}

/* A buffer is zero, whatever an earlier user left in its pages. */
static void system_heap_zeroed(struct kunit *test)
{
	heap_kunit_test_zeroed(test, SYSTEM_HEAP);
}

/* Freeing a buffer drops the heap's reference to each chunk. */
static void system_heap_freed(struct kunit *test)
{
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	struct sg_table *table;
	struct page **chunks;
	unsigned int i, nr;

	dmabuf = dma_heap_buffer_alloc(system_heap(test), SZ_1M + SZ_64K + PAGE_SIZE, O_RDWR, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
	table = &dma_heap_buffer_of(dmabuf)->table;
	nr = table->orig_nents;
	chunks = kunit_kcalloc(test, nr, sizeof(*chunks), GFP_KERNEL);
	if (chunks) {
		for_each_sgtable_sg(table, sg, i) {
			chunks[i] = sg_page(sg);
			get_page(chunks[i]);
		}
	}
	__fput_sync(dmabuf->file);
	KUNIT_ASSERT_NOT_NULL(test, chunks);

	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_EQ(test, page_count(chunks[i]), 1);
		put_page(chunks[i]);
	}
}

/* Number of 2 MiB chunks that must be free for the next test */
#define NR_LARGE	5

/* Does the page allocator have them now, without reclaim? */
static bool large_chunks_free(unsigned int order)
{
	struct page *pages[NR_LARGE];
	unsigned int i, n;

	for (n = 0; n < NR_LARGE; n++) {
		pages[n] = alloc_pages((GFP_HIGHUSER | __GFP_NOWARN) & ~__GFP_RECLAIM, order);
		if (!pages[n])
			break;
	}
	for (i = 0; i < n; i++)
		__free_pages(pages[i], order);

	return n == NR_LARGE;
}

/*
 * The largest chunks come first, and each is as large as the rest of the buffer
 * allows.  One of five buffers is enough, as other tasks allocate, too.  Skip
 * the test where memory is fragmented.
 */
static void system_heap_largest_first(struct kunit *test)
{
	const size_t len = SZ_8M + SZ_1M + SZ_64K + PAGE_SIZE % SZ_64K;
	unsigned int i, small, round, tries = 0;
	struct dma_buf *dmabuf;
	struct scatterlist *sg;
	size_t left, prev;

	if (get_order(SZ_2M) > MAX_PAGE_ORDER)
		kunit_skip(test, "the page allocator has no chunks of 2 MiB");

	for (round = 0; round < 5; round++) {
		if (!large_chunks_free(get_order(SZ_2M)))
			continue;
		tries++;
		dmabuf = heap_kunit_alloc(test, SYSTEM_HEAP, len);
		left = dmabuf->size;
		prev = left;
		small = 0;
		for_each_sgtable_sg(&dma_heap_buffer_of(dmabuf)->table, sg, i) {
			/* true for every buffer */
			KUNIT_EXPECT_LE_MSG(test, sg->length, prev, "chunk %u of buffer %u",
					    i, round);
			small += sg->length < min(rounddown_pow_of_two(left), SZ_2M);
			prev = sg->length;
			left -= sg->length;
		}
		KUNIT_EXPECT_EQ(test, left, 0);
		if (!small)
			return;
	}
	if (!tries)
		kunit_skip(test, "no %d chunks of 2 MiB are free", NR_LARGE);
	KUNIT_FAIL(test, "%u buffers of %zu bytes with small chunks, the last with %u",
		   tries, len, small);
}

/* The errno for a buffer that is larger than the memory of the machine */
static int too_large_errno(void *heap)
{
	u64 ram = (u64)totalram_pages() << PAGE_SHIFT;
	struct dma_buf *dmabuf = dma_heap_buffer_alloc(heap, ram + PAGE_SIZE, O_RDWR, 0);

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	__fput_sync(dmabuf->file);

	return 0;
}

/* -ENOMEM comes before any page is allocated, even for a killed task. */
static void system_heap_too_large(struct kunit *test)
{
	u64 ram = (u64)totalram_pages() << PAGE_SHIFT;
	struct dma_heap *heap = system_heap(test);

	if (ram >= SIZE_MAX)
		kunit_skip(test, "no size_t is too large for this machine's memory");

	KUNIT_EXPECT_EQ(test, too_large_errno(heap), -ENOMEM);
	KUNIT_EXPECT_EQ(test, heap_kunit_run_killed(test, too_large_errno, heap), -ENOMEM);
}

/* A buffer is unmapped with the attributes of its mapping. */
static void system_heap_unmap_attrs(struct kunit *test)
{
	struct heap_kunit_importer *importer;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	int cc_shared;

	if (!heap_kunit_importer_records())
		kunit_skip(test, "devices have no DMA operations of their own here");
	if (IS_ENABLED(CONFIG_HIGHMEM))
		kunit_skip(test, "this kernel cannot have system_cc_shared");

	importer = heap_kunit_importer(test, "heap-importer");
	for (cc_shared = 0; cc_shared < 2; cc_shared++) {
		struct dma_buf *dmabuf;

		dmabuf = system_heap_alloc_buffer(system_heap(test), SZ_64K, O_RDWR, cc_shared);
		heap_kunit_put_later(test, dmabuf);
		attach = heap_kunit_attach(test, dmabuf, importer->dev);
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
		dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);

		if (IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED))
			KUNIT_EXPECT_EQ(test, importer->map_attrs,
					cc_shared ? DMA_ATTR_CC_SHARED : 0);
		KUNIT_EXPECT_EQ(test, importer->unmap_attrs, importer->map_attrs);
		KUNIT_EXPECT_EQ(test, importer->unmaps, cc_shared + 1);
	}
}

/* Minimum and maximum number of chunks of a buffer in the tests below */
#define CC_CHUNKS	5
#define CC_PAGES	20

/* Calls of the functions that decrypt and encrypt a chunk */
struct cc_calls {
	struct page *decrypted[CC_PAGES];
	unsigned int nr_decrypted;
	unsigned int fail_at;
	unsigned int encrypted[CC_PAGES];
	unsigned int nr_strangers;
	int encrypt_error;
};

static int fake_decrypt(struct page *page)
{
	struct cc_calls *calls = kunit_get_current_test()->priv;
	unsigned int n = calls->nr_decrypted;

	if (n < CC_PAGES) {
		calls->decrypted[n] = page;
		/* one reference of ours tells freed pages from leaked ones */
		get_page(page);
	}
	calls->nr_decrypted++;
	memset(page_address(page), 0xa5, page_size(page));

	return n == calls->fail_at ? -EIO : 0;
}

static int fake_encrypt(struct page *page)
{
	struct cc_calls *calls = kunit_get_current_test()->priv;
	unsigned int i;

	for (i = 0; i < calls->nr_decrypted && i < CC_PAGES; i++) {
		if (calls->decrypted[i] == page) {
			calls->encrypted[i]++;
			return calls->encrypt_error;
		}
	}
	calls->nr_strangers++;

	return 0;
}

static struct cc_calls *cc_calls(struct kunit *test, unsigned int fail_at)
{
	struct cc_calls *calls;

	if (!IS_ENABLED(CONFIG_DMABUF_HEAPS_SYSTEM_CC_SHARED) || IS_ENABLED(CONFIG_HIGHMEM))
		kunit_skip(test, "this kernel cannot have system_cc_shared");

	calls = kunit_kzalloc(test, sizeof(*calls), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, calls);
	calls->fail_at = fail_at;
	test->priv = calls;
	kunit_activate_static_stub(test, system_heap_set_page_decrypted, fake_decrypt);
	kunit_activate_static_stub(test, system_heap_set_page_encrypted, fake_encrypt);

	return calls;
}

/*
 * Decryption changes the contents of a page, but the buffer is zero.  Each page
 * is encrypted again before it is freed, and leaked when that fails.
 */
static void system_heap_cc_zeroed(struct kunit *test)
{
	const size_t len = CC_PAGES * PAGE_SIZE;
	struct cc_calls *calls;
	struct dma_buf *dmabuf;
	struct iosys_map map;
	unsigned int i;
	int leaked;

	/* vmap() would map the pages decrypted, which the stubs do not do */
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		kunit_skip(test, "memory is encrypted");

	for (leaked = 0; leaked < 2; leaked++) {
		calls = cc_calls(test, UINT_MAX);
		calls->encrypt_error = leaked ? -EIO : 0;
		dmabuf = system_heap_alloc_buffer(system_heap(test), len, O_RDWR, true);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dmabuf);
		KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(dmabuf, &map), 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(map.vaddr, 0, len));
		dma_buf_vunmap_unlocked(dmabuf, &map);
		__fput_sync(dmabuf->file);

		KUNIT_EXPECT_EQ(test, calls->nr_strangers, 0);
		KUNIT_EXPECT_GT(test, calls->nr_decrypted, 0);
		for (i = 0; i < calls->nr_decrypted && i < CC_PAGES; i++) {
			KUNIT_EXPECT_EQ_MSG(test, calls->encrypted[i], 1, "chunk %u", i);
			KUNIT_EXPECT_EQ_MSG(test, page_count(calls->decrypted[i]), 1 + leaked,
					    "chunk %u", i);
			put_page(calls->decrypted[i]);
			/* free what the heap had to leak */
			if (leaked)
				put_page(calls->decrypted[i]);
		}
		kunit_deactivate_static_stub(test, system_heap_set_page_decrypted);
		kunit_deactivate_static_stub(test, system_heap_set_page_encrypted);
	}
}

/*
 * Decryption fails at each chunk in turn, and every second round encryption
 * fails as well.  Chunks before the failed one are encrypted and freed, or
 * leaked. The failed one is leaked.  Later ones are not encrypted.
 */
static void system_heap_cc_decrypt_fails(struct kunit *test)
{
	unsigned int round, i, n = 0;

	for (round = 0; round < 2 * CC_CHUNKS; round++) {
		unsigned int fail_at = round / 2;
		struct cc_calls *calls = cc_calls(test, fail_at);
		struct dma_buf *dmabuf;

		calls->encrypt_error = round & 1 ? -EIO : 0;
		/* 16 pages and four single ones, or more chunks if memory is fragmented */
		dmabuf = system_heap_alloc_buffer(system_heap(test), CC_PAGES * PAGE_SIZE,
						  O_RDWR, true);
		KUNIT_ASSERT_PTR_EQ(test, dmabuf, ERR_PTR(-EIO));
		KUNIT_ASSERT_EQ(test, calls->nr_decrypted, fail_at + 1);
		KUNIT_EXPECT_EQ(test, calls->nr_strangers, 0);

		for (i = 0; i <= fail_at; i++) {
			struct page *page = calls->decrypted[i];
			bool leaked = i == fail_at || calls->encrypt_error;

			KUNIT_EXPECT_EQ(test, calls->encrypted[i], i < fail_at);
			KUNIT_EXPECT_EQ(test, page_count(page), leaked ? 2 : 1);
			/* free what the heap had to leak */
			for (n = page_count(page); n; n--)
				put_page(page);
		}
		kunit_deactivate_static_stub(test, system_heap_set_page_decrypted);
		kunit_deactivate_static_stub(test, system_heap_set_page_encrypted);
	}
}

static struct kunit_case system_heap_cases[] = {
	KUNIT_CASE(system_heap_killed),
	KUNIT_CASE(system_heap_zeroed),
	KUNIT_CASE(system_heap_freed),
	KUNIT_CASE(system_heap_largest_first),
	KUNIT_CASE(system_heap_too_large),
	KUNIT_CASE(system_heap_unmap_attrs),
	KUNIT_CASE(system_heap_cc_zeroed),
	KUNIT_CASE(system_heap_cc_decrypt_fails),
	{}
};

static struct kunit_suite system_heap_suite = {
	.name = "system_heap",
	.test_cases = system_heap_cases,
};

kunit_test_suite(system_heap_suite);

MODULE_DESCRIPTION("KUnit suite of the system heap");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
