// SPDX-License-Identifier: GPL-2.0
/* Receiving a TCP stream: what the peer sends, and the ways to take it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "zcio.h"

/* Bytes of one write of the peer. */
#define SENT_AT_ONCE	(256 << 10)

static void peer(struct bench *b)
{
	char *buf = malloc(SENT_AT_ONCE);
	ssize_t n;

	if (!buf)
		die("memory");
	while (b->moved < b->bytes) {
		size_t len = b->bytes - b->moved < SENT_AT_ONCE ? b->bytes - b->moved : SENT_AT_ONCE;

		/* The same bytes again and again cost less; only --check needs others. */
		if (b->check || !b->moved)
			data_fill(buf, b->moved, len);
		for (size_t done = 0; done < len; done += n) {
			n = send(b->fds[0], buf + done, len - done, 0);
			if (n < 0)
				die("the peer's send");
		}
		b->moved += len;
	}
	/* Its end comes with the process's. */
}

/* How much is wanted of one call; less comes only at the end. */
static void want(struct bench *b)
{
	int low = b->size;

	if (setsockopt(b->fds[0], SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)))
		die("SO_RCVLOWAT");
}

static void by_readv(struct bench *b)
{
	char *buf = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ssize_t n;

	if (buf == MAP_FAILED)
		die("memory");
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

/* Regions of one page more than a request's pages need, as payloads begin anywhere. */
#define REGION	(64 << 10)

static void by_zc_readv(struct bench *b)
{
	size_t count = (b->size + REGION - 1) / REGION * 4;
	struct zcio_ctx *ctx = zcio_open();
	struct zcio_info info = {};
	char *win;

	if (count > ZCIO_MAX_ELEMENTS)
		count = ZCIO_MAX_ELEMENTS;
	win = ctx ? zcio_window(ctx, count * REGION, 0) : NULL;
	if (!win)
		die("a window");
	want(b);
	bench_start(b);
	while (b->moved < b->bytes) {
		struct iovec iov[ZCIO_MAX_ELEMENTS];
		struct zcio_readv call = { .fd = b->fds[0], .iovcnt = count, .iov = (uintptr_t)iov };
		int n;

		for (size_t i = 0; i < count; i++)
			iov[i] = (struct iovec){ win + i * REGION, REGION };
		n = zcio_readv(ctx, &call);
		if (n <= 0)
			die("zcio_readv");
		for (int i = 0; i < n; i++) {
			data_take(b, iov[i].iov_base, b->moved, iov[i].iov_len);
			b->moved += iov[i].iov_len;
		}
		b->payloads += n;
		b->calls++;
	}
	bench_stop(b);
	if (zcio_info(ctx, -1, &info) && zcio_info(ctx, b->fds[0], &info))
		die("zcio_info");
	b->mapped = info.rx.mapped;
	b->copied = info.rx.copied;
}

static const struct way ways[] = {
	{ "readv", "readv into one buffer", by_readv },
	{ "zc_readv", "zcio_readv into regions of a window", by_zc_readv },
};

const struct job tcp_receive = {
	.name = "tcp_receive",
	.about = "receive a TCP stream in requests of --size",
	.type = SOCK_STREAM,
	.peer = peer,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
