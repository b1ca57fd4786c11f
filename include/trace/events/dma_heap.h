/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dma_heap

#if !defined(_TRACE_DMA_HEAP_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DMA_HEAP_H

#include <linux/dma-heap.h>
#include <linux/ktime.h>
#include <linux/tracepoint.h>

/*
 * A request to allocate a buffer. len is in bytes, rounded up to pages. ret is
 * 0 or a negative errno. duration, in nanoseconds, covers the charge and the
 * heap's allocate operation. ino is the inode number of the dma-buf, as in
 * fstat() and fdinfo, or 0. reason is why the request failed, or "none". With
 * "argument", the heap was not called, and len is not rounded. largest is the
 * length in bytes of the largest buffer that there was memory for just after
 * the failure. It is 0 if the heap does not report it, if ret is not -ENOMEM, or
 * if reason is "limit".
 */
TRACE_EVENT(dma_heap_alloc,
	    TP_PROTO(struct dma_heap *heap, u64 len, u32 fd_flags, u64 heap_flags,
		     int ret, ktime_t duration, u64 ino, const char *reason, u64 largest),
	    TP_ARGS(heap, len, fd_flags, heap_flags, ret, duration, ino, reason, largest),
	    TP_STRUCT__entry(__string(name, dma_heap_get_name(heap))
			     __string(reason, reason)
			     __field(u64, largest)
			     __field(u64, len)
			     __field(u64, ino)
			     __field(u64, heap_flags)
			     __field(s64, duration)
			     __field(u32, fd_flags)
			     __field(int, ret)
	    ),
	    TP_fast_assign(__assign_str(name);
			   __assign_str(reason);
			   __entry->largest = largest;
			   __entry->len = len;
			   __entry->ino = ino;
			   __entry->heap_flags = heap_flags;
			   __entry->duration = ktime_to_ns(duration);
			   __entry->fd_flags = fd_flags;
			   __entry->ret = ret;
	    ),
	    TP_printk("name=%s len=%llu fd_flags=%#x heap_flags=%#llx ret=%d duration=%lld reason=%s largest=%llu ino=%llu",
		      __get_str(name), __entry->len, __entry->fd_flags, __entry->heap_flags,
		      __entry->ret, __entry->duration, __get_str(reason), __entry->largest,
		      __entry->ino)
);

/* A buffer was released. Its heap is about to free the memory. */
TRACE_EVENT(dma_heap_release,
	    TP_PROTO(struct dma_heap *heap, u64 len, u64 ino),
	    TP_ARGS(heap, len, ino),
	    TP_STRUCT__entry(__string(name, dma_heap_get_name(heap))
			     __field(u64, len)
			     __field(u64, ino)
	    ),
	    TP_fast_assign(__assign_str(name);
			   __entry->len = len;
			   __entry->ino = ino;
	    ),
	    TP_printk("name=%s len=%llu ino=%llu", __get_str(name), __entry->len, __entry->ino)
);

/*
 * A chunk of the page pool. kind is a mask: 1 for uncached, 2 for below 4 GiB.
 * If the pool had no chunk, order and nid are those of the request.
 */
DECLARE_EVENT_CLASS(dma_heap_pool_chunk,
		    TP_PROTO(unsigned int kind, unsigned int order, int nid, const char *what),
		    TP_ARGS(kind, order, nid, what),
		    TP_STRUCT__entry(__string(what, what)
				     __field(unsigned int, kind)
				     __field(unsigned int, order)
				     __field(int, nid)
		    ),
		    TP_fast_assign(__assign_str(what);
				   __entry->kind = kind;
				   __entry->order = order;
				   __entry->nid = nid;
		    ),
		    TP_printk("kind=%u order=%u nid=%d what=%s", __entry->kind,
			      __entry->order, __entry->nid, __get_str(what))
);

/* A heap requested a chunk. what is the state of the chunk, or "missed". */
DEFINE_EVENT(dma_heap_pool_chunk, dma_heap_pool_get,
	     TP_PROTO(unsigned int kind, unsigned int order, int nid, const char *what),
	     TP_ARGS(kind, order, nid, what)
);

/* A heap freed a chunk. what is its state in the pool, or "refused". */
DEFINE_EVENT(dma_heap_pool_chunk, dma_heap_pool_put,
	     TP_PROTO(unsigned int kind, unsigned int order, int nid, const char *what),
	     TP_ARGS(kind, order, nid, what)
);

/* The work item cleared a dirty chunk. */
DEFINE_EVENT(dma_heap_pool_chunk, dma_heap_pool_clear,
	     TP_PROTO(unsigned int kind, unsigned int order, int nid, const char *what),
	     TP_ARGS(kind, order, nid, what)
);

/*
 * A chunk left the pool. what is "aged", "drained", "others" for another
 * allocation, "refused" if it is unusable, or "shrunk" for the shrinker. An
 * uncached chunk that was shrunk may become free a moment later.
 */
DEFINE_EVENT(dma_heap_pool_chunk, dma_heap_pool_free,
	     TP_PROTO(unsigned int kind, unsigned int order, int nid, const char *what),
	     TP_ARGS(kind, order, nid, what)
);

#endif /* _TRACE_DMA_HEAP_H */

#include <trace/define_trace.h>
