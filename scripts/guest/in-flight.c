// SPDX-License-Identifier: GPL-2.0
/*
 * usage: in-flight HEAP BYTES SECONDS [NAME [thread]]
 *
 * Has a buffer of a heap in a message that nobody receives, for some time: no process has
 * a file descriptor of it then. With a name, it has the buffer itself, under that name.
 * With "thread", its first thread ends, and another one waits.
 */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

static void *wait_for(void *seconds)
{
	sleep(atoi(seconds));
	exit(0);
}

int main(int argc, char **argv)
{
	struct dma_heap_allocation_data data = { .fd_flags = O_RDWR | O_CLOEXEC };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec text = { .iov_base = "x", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &text, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	int heap, pair[2], fd;
	pthread_t thread;

	if (argc < 4 || argc > 6)
		return 2;
	data.len = strtoull(argv[2], NULL, 0);
	heap = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (heap < 0 || ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
		perror(argv[1]);
		return 1;
	}
	fd = data.fd;
	control.header.cmsg_len = CMSG_LEN(sizeof(fd));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(pair[0], &message, 0) != 1) {
		perror("sendmsg");
		return 1;
	}
	if (argc > 4 && ioctl(fd, DMA_BUF_SET_NAME, argv[4])) {
		perror(argv[4]);
		return 1;
	}
	if (argc == 4)
		close(fd);
	puts("sent");
	fflush(stdout);
	if (argc == 6 && !pthread_create(&thread, NULL, wait_for, argv[3]))
		pthread_exit(NULL);
	sleep(atoi(argv[3]));

	return 0;
}
