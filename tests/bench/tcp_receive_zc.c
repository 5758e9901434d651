// SPDX-License-Identifier: GPL-2.0
/* Receiving a TCP stream by zc_readv, as userspace/examples/receive.c does. */
#include <netinet/tcp.h>
#include <stdlib.h>

#include "tcp_receive.h"

struct regions {
	char *window;
	size_t len;		/* of one */
	int count;
	struct iovec *iov;
};

static void offer(struct regions *r, int n)
{
	for (int i = 0; i < n; i++)
		r->iov[i] = (struct iovec){ r->window + i * r->len, r->len };
}

/*
 * Regions for so many bytes. A payload is at least a segment, where there is as much, and often
 * no more, so that is how many elements are needed. It begins anywhere in a page, and so may
 * need a page more than it has bytes; a longer one goes on in the next region. Where payloads
 * are long, a call takes what regions of that length hold.
 */
static void make(struct bench *b, struct zcio_ctx *ctx, struct regions *r)
{
	size_t pages = PAGES(b->size < LONGEST ? b->size : LONGEST), shortest;
	socklen_t len = sizeof(int);
	int mss;

	if (getsockopt(b->fds[0], IPPROTO_TCP, TCP_MAXSEG, &mss, &len))
		die("TCP_MAXSEG");
	shortest = b->segment ? b->segment : (size_t)mss;
	if (shortest > pages)
		shortest = pages;
	r->len = pages + PAGE;
	r->count = room(b) / shortest + 2;
	if (r->count > ZCIO_MAX_ELEMENTS)
		r->count = ZCIO_MAX_ELEMENTS;
	r->window = zcio_window(ctx, r->count * r->len, 0);
	r->iov = calloc(r->count, sizeof(*r->iov));
	if (!r->window || !r->iov)
		die("a window");
}

void receive_by_zc_readv(struct bench *b)
{
	struct zcio_ctx *ctx = zcio_open();
	struct zcio_info info = {};
	struct regions r;

	if (!ctx)
		die("/dev/zcio");
	make(b, ctx, &r);
	want(b);
	offer(&r, r.count);
	bench_start(b);
	while (b->moved < b->bytes) {
		int n = zc_readv(b->fds[0], r.iov, r.count);

		if (n <= 0)
			die("zc_readv");
		for (int i = 0; i < n; i++) {
			data_take(b, r.iov[i].iov_base, b->moved, r.iov[i].iov_len);
			b->moved += r.iov[i].iov_len;
		}
		/* The elements behind these are as they were. */
		offer(&r, n);
		b->payloads += n;
		b->calls++;
	}
	bench_stop(b);
	if (zcio_info(ctx, -1, &info))
		die("zcio_info");
	b->mapped = info.rx.mapped;
	b->copied = info.rx.copied;
}
