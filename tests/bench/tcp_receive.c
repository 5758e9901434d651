// SPDX-License-Identifier: GPL-2.0
/* Receiving a TCP stream: the job, and the way that all others are compared with. */
#include <unistd.h>

#include "tcp_receive.h"

static void peer(struct bench *b)
{
	send_stream(b, b->fds[0]);
	/* The stream's end comes with the process's. */
}

void want(struct bench *b)
{
	int low = b->size;

	if (setsockopt(b->fds[0], SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)))
		die("SO_RCVLOWAT");
}

static void by_readv(struct bench *b)
{
	char *buf = memory(b->size);
	ssize_t n;

	want(b);
	bench_start(b);
	while (b->moved < b->bytes) {
		struct iovec iov = { buf, b->size };

		n = readv(b->fds[0], &iov, 1);
		if (n <= 0)
			die("readv");
		data_take(b, buf, b->moved, n);
		b->moved += n;
		b->calls++;
	}
	bench_stop(b);
	b->copied = b->moved;
}

static const struct way ways[] = {
	{ "readv", "readv into one buffer", by_readv },
	{ "zc_readv", "zc_readv of what is queued, into regions of a window for two requests and more",
	  receive_by_zc_readv },
	{ "zc_readv_map", "the same with a copy threshold of 0: all is mapped that can be",
	  receive_by_zc_readv_map },
	{ "zc_readv_one", "the same into regions for one request (a page at least): about as much a call as readv takes",
	  receive_by_zc_readv_one },
	{ "tcp_zerocopy", "getsockopt(TCP_ZEROCOPY_RECEIVE), readv of what it cannot map",
	  receive_by_tcp_zerocopy, .whole_pages = true },
	{ "io_uring", "io_uring: recv, multishot, in bundles, into a ring of provided buffers",
	  receive_by_io_uring },
	{ "zcrx", "io_uring: zero-copy receive without a device, which copies into its area",
	  receive_by_zcrx },
};

const struct job tcp_receive = {
	.name = "tcp_receive",
	.about = "receive a TCP stream in requests of --size",
	.type = SOCK_STREAM,
	.peer = peer,
	.threads = true,
	.senders = sender_known,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
