/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dma_heap

#if !defined(_TRACE_DMA_HEAP_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DMA_HEAP_H

#include <linux/dma-heap.h>
#include <linux/ktime.h>
#include <linux/tracepoint.h>

/*
 * One call of a heap's allocate operation. len is the length that the heap was
 * asked for, in bytes and rounded up to pages. ret is 0 or a negative errno.
 * duration is in nanoseconds. ino is the inode number of the dma-buf, which
 * fstat() and fdinfo show, or 0 if there is none.
 */
TRACE_EVENT(dma_heap_alloc,
	    TP_PROTO(struct dma_heap *heap, u64 len, u32 fd_flags, u64 heap_flags,
		     int ret, ktime_t duration, u64 ino),
	    TP_ARGS(heap, len, fd_flags, heap_flags, ret, duration, ino),
	    TP_STRUCT__entry(__string(name, dma_heap_get_name(heap))
			     __field(u64, len)
			     __field(u64, ino)
			     __field(u64, heap_flags)
			     __field(s64, duration)
			     __field(u32, fd_flags)
			     __field(int, ret)
	    ),
	    TP_fast_assign(__assign_str(name);
			   __entry->len = len;
			   __entry->ino = ino;
			   __entry->heap_flags = heap_flags;
			   __entry->duration = ktime_to_ns(duration);
			   __entry->fd_flags = fd_flags;
			   __entry->ret = ret;
	    ),
	    TP_printk("name=%s len=%llu fd_flags=%#x heap_flags=%#llx ret=%d duration=%lld ino=%llu",
		      __get_str(name), __entry->len, __entry->fd_flags, __entry->heap_flags,
		      __entry->ret, __entry->duration, __entry->ino)
);

/* A buffer was released; its heap is about to free the memory. */
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

#endif /* _TRACE_DMA_HEAP_H */

#include <trace/define_trace.h>
