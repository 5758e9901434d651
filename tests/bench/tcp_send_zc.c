// SPDX-License-Identifier: GPL-2.0
/* A TCP stream from a pool: areas that can be written again at once, and areas that stay. */
#include "send.h"

/* Bytes of one element, where a request has many. */
#define ELEMENT		(16UL << 10)

/* One area, which is written again at once; with --room as many in turn as that holds. */
static void in_elements(struct bench *b, size_t element, bool swap)
{
	size_t stride = PAGES(b->size), areas = b->room > stride ? b->room / stride : 1;
	struct zc_sender z;

	zc_sender_open(&z, b->fds[0], areas * stride);
	if (swap && zcio_tune(z.ctx, &(struct zcio_tune){}))
		die("the copy threshold");
	bench_start(b);
	for (size_t i = 0; b->moved < b->bytes; i = (i + 1) % areas) {
		struct iovec iov[ZCIO_MAX_ELEMENTS][2];
		size_t len = request_len(b), count = 0;
		char *from = z.pool + i * stride;

		request_make(b, from, len);
		for (size_t at = 0; at < len; at += element, count++) {
			size_t part = len - at < element ? len - at : element;

			iov[count][0] = (struct iovec){ from + at, PAGES(part) };
			iov[count][1] = (struct iovec){ from + at, part };
		}
		zc_send(b, &z, b->fds[0], iov, count, 0);
		b->moved += len;
	}
	bench_stop(b);
	zc_sender_count(b, &z);
}

void tcp_send_zc_writev(struct bench *b)
{
	in_elements(b, b->size, false);
}

void tcp_send_zc_writev_swap(struct bench *b)
{
	in_elements(b, b->size, true);
}

void tcp_send_zc_writev_many(struct bench *b)
{
	if (b->size > ZCIO_MAX_ELEMENTS * ELEMENT)
		unable(b, "a call has at most %d elements", ZCIO_MAX_ELEMENTS);
	in_elements(b, ELEMENT, false);
}

/*
 * Content that does not change, like a file's. Before it did, zcio_kept() would have to say that
 * nobody reads it any more; it is written once, before it is first sent.
 */
void tcp_send_zc_keep(struct bench *b)
{
	struct zc_sender z;

	zc_sender_open(&z, b->fds[0], content_len(b));
	data_fill(z.pool, 0, content_len(b));
	bench_start(b);
	while (b->moved < b->bytes) {
		size_t len = request_len(b), at = content_at(b), before = at % PAGE;
		struct iovec iov[1][2] = { {
			{ z.pool + at - before, PAGES(before + len) },
			{ z.pool + at, len },
		} };

		zc_send(b, &z, b->fds[0], iov, 1, ZCIO_KEEP);
		b->moved += len;
	}
	bench_stop(b);
	zc_sender_count(b, &z);
}
