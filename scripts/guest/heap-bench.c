// SPDX-License-Identifier: GPL-2.0
/*
 * heap-bench [HEAP [BYTES [TIMES]]]: how long allocating and closing a buffer
 * takes.  Prints the best and the median of 11 batches, in ns a buffer.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/dma-heap.h>

#define BATCHES 11

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "system";
	const unsigned long long bytes = argc > 2 ? strtoull(argv[2], NULL, 0) : 4096;
	const int times = argc > 3 ? atoi(argv[3]) : 2000;
	double batch[BATCHES];
	char path[300];
	int heap, b, i;

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", name);
	heap = open(path, O_RDONLY | O_CLOEXEC);
	if (heap < 0 || times < 1) {
		fprintf(stderr, "heap-bench: %s: %s\n", path, strerror(errno));
		return 1;
	}

	for (b = 0; b < BATCHES; b++) {
		double start = now();

		for (i = 0; i < times; i++) {
			struct dma_heap_allocation_data data = {
				.len = bytes,
				.fd_flags = O_RDWR | O_CLOEXEC,
			};

			if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data)) {
				fprintf(stderr, "heap-bench: %s: %s\n", name, strerror(errno));
				return 1;
			}
			close(data.fd);
		}
		batch[b] = (now() - start) / times;
	}
	qsort(batch, BATCHES, sizeof(batch[0]), compare);
	printf("%.0f %.0f\n", batch[0], batch[BATCHES / 2]);

	return 0;
}
