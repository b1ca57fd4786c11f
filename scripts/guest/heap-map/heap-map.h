/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices of debugfs' heap_device, see heap-map.c.  The argument of each
 * call is a number.  -1 with an errno means failure, as always.
 */
#ifndef HEAP_MAP_H
#define HEAP_MAP_H

#include <linux/ioctl.h>

/* the bits of a DMA address; 32 at first; -EBUSY when attached */
#define HEAP_DEVICE_MASK	_IO('H', 0)
/* attach to the dma-buf of this file descriptor; -EBUSY when attached */
#define HEAP_DEVICE_ATTACH	_IO('H', 1)
/* map in this enum dma_data_direction, and keep the mapping; -EBUSY when mapped */
#define HEAP_DEVICE_MAP		_IO('H', 2)
/* the number of pages that have a copy in a bounce buffer; -ENXIO when not mapped */
#define HEAP_DEVICE_BOUNCED	_IO('H', 3)
/* -ENXIO when not mapped */
#define HEAP_DEVICE_UNMAP	_IO('H', 4)
/* unmap if mapped, detach; -ENXIO when not attached */
#define HEAP_DEVICE_DETACH	_IO('H', 5)

#endif
