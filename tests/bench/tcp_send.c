// SPDX-License-Identifier: GPL-2.0
/* Sending a TCP stream: who takes it, and the ways to send. */
#include <stdlib.h>
#include <sys/sendfile.h>

#include "send.h"

/* Bytes that the peer takes with one call, at most. */
#define TAKEN_AT_ONCE	(256 << 10)

static void peer(struct bench *b)
{
	char *buf = memory(TAKEN_AT_ONCE);
	ssize_t n;

	while (b->moved < b->bytes) {
		n = recv(b->fds[0], buf, TAKEN_AT_ONCE, 0);
		if (n <= 0)
			die("the peer's recv");
		if (b->check)
			data_take(b, buf, b->moved, n);
		b->moved += n;
	}
}

static void by_writev(struct bench *b)
{
	char *buf = memory(b->size);
	ssize_t n;

	bench_start(b);
	while (b->moved < b->bytes) {
		struct iovec iov = { buf, request_len(b) };

		request_make(b, buf, iov.iov_len);
		b->payloads++;
		for (; iov.iov_len; iov.iov_base = (char *)iov.iov_base + n, iov.iov_len -= n) {
			n = writev(b->fds[0], &iov, 1);
			if (n < 0)
				die("writev");
			b->moved += n;
			b->calls++;
		}
	}
	bench_stop(b);
	b->copied = b->moved;
}

/*
 * A file's content cannot be new for each request without writing it, which would be a copy:
 * this is for what does not change. The peer gets references to the page cache; whether the
 * device made the stack copy is not told, so neither mapped nor copied is counted.
 */
static void by_sendfile(struct bench *b)
{
	int file = file_of_data(content_len(b));
	ssize_t n;

	bench_start(b);
	while (b->moved < b->bytes) {
		off_t at = content_at(b);

		b->payloads++;
		for (size_t left = request_len(b); left; left -= n) {
			n = sendfile(b->fds[0], file, &at, left);
			if (n <= 0)
				die("sendfile");
			b->moved += n;
			b->calls++;
		}
	}
	bench_stop(b);
}

static const struct way ways[] = {
	{ "writev", "writev from one buffer", by_writev },
	{ "zerocopy", "send with MSG_ZEROCOPY from buffers in turn", tcp_send_zerocopy },
	{ "send_zc", "io_uring: SEND_ZC from registered buffers in turn", tcp_send_uring },
	{ "vmsplice", "vmsplice of buffers in turn into a pipe, splice from there", tcp_send_vmsplice },
	{ "sendfile", "sendfile from a file in memory; static content", by_sendfile },
	{ "zc_writev", "zcio_writev of one area, which is written again at once", tcp_send_zc_writev },
	{ "zc_writev_swap", "the same with a copy threshold of 0: pages are swapped however little they hold",
	  tcp_send_zc_writev_swap },
	{ "zc_writev_many", "the same, a request being elements of 16 KB", tcp_send_zc_writev_many },
	{ "zc_keep", "zcio_writev with ZCIO_KEEP; static content", tcp_send_zc_keep },
};

const struct job tcp_send = {
	.name = "tcp_send",
	.about = "send a TCP stream in requests of --size",
	.type = SOCK_STREAM,
	.peer = peer,
	.threads = true,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
