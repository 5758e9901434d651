// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving a TCP stream by zc_readv, as userspace/examples/receive.c does: what is queued is
 * taken, as far as there are regions. And by regions for one request's bytes: about as many as a
 * readv of the same size takes, which says what a call costs beside it.
 */
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

/* Payload of a segment as the peer sends it. */
static size_t segment(const struct bench *b)
{
	socklen_t len = sizeof(int);
	int mss;

	if (getsockopt(b->fds[0], IPPROTO_TCP, TCP_MAXSEG, &mss, &len))
		die("TCP_MAXSEG");
	return b->segment ? b->segment : (size_t)mss;
}

/*
 * Regions for so many bytes. A payload is at least a segment, where there is as much, and often
 * no more, so that is how many elements are needed. It begins anywhere in a page, and so may
 * need a page more than it has bytes; a longer one goes on in the next region. Where payloads
 * are long, a call takes what regions of that length hold.
 */
static void plan(const struct bench *b, struct regions *r)
{
	size_t pages = PAGES(b->size < LONGEST ? b->size : LONGEST), shortest = segment(b);

	if (shortest > pages)
		shortest = pages;
	r->len = pages + PAGE;
	r->count = (b->room ? b->room : room(b)) / shortest + 2;
}

/*
 * Regions that one request's bytes fill. On a wire a payload is a segment, and there are regions
 * for as many as come nearest to a request; else payloads are long, and fill whatever pages there
 * are. There is no region of less than a page.
 */
static void plan_one(const struct bench *b, struct regions *r)
{
	size_t longest = peer_is_local() ? LONGEST : segment(b);

	if (b->size <= longest) {
		r->len = PAGES(b->size);
		r->count = 1;
		return;
	}
	r->len = peer_is_local() ? LONGEST : PAGES(longest) + PAGE;
	r->count = (b->size + longest / 2) / longest;
}

static void make(struct zcio_ctx *ctx, struct regions *r)
{
	if (r->count > ZCIO_MAX_ELEMENTS)
		r->count = ZCIO_MAX_ELEMENTS;
	r->window = zcio_window(ctx, r->count * r->len, 0);
	r->iov = calloc(r->count, sizeof(*r->iov));
	if (!r->window || !r->iov)
		die("a window");
}

static void receive(struct bench *b, void (*how)(const struct bench *b, struct regions *r), bool all)
{
	struct zcio_ctx *ctx = zcio_open();
	struct zcio_info info = {};
	struct regions r;

	if (!ctx || (all && zcio_tune(ctx, &(struct zcio_tune){})))
		die("a context");
	how(b, &r);
	make(ctx, &r);
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

void receive_by_zc_readv(struct bench *b)
{
	receive(b, plan, false);
}

/* However little it is, it is mapped. */
void receive_by_zc_readv_map(struct bench *b)
{
	receive(b, plan, true);
}

void receive_by_zc_readv_one(struct bench *b)
{
	receive(b, plan_one, false);
}
