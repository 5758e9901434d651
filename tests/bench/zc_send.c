// SPDX-License-Identifier: GPL-2.0
/* Sending from a pool with zcio_writev, until all is taken. */
#include <errno.h>
#include <poll.h>

#include "send.h"

void zc_sender_open(struct zc_sender *z, int fd, size_t len)
{
	z->ctx = zcio_open();
	if (!z->ctx || zcio_target(z->ctx, fd))
		die("a context");
	z->pool = zcio_pool(z->ctx, PAGES(len));
	if (!z->pool)
		die("a pool");
}

void zc_send(struct bench *b, struct zc_sender *z, int fd, struct iovec (*iov)[2], size_t count,
	     unsigned int flags)
{
	struct pollfd p = { .fd = zcio_ctx_fd(z->ctx), .events = POLLOUT };

	while (count) {
		struct zcio_writev call = { .fd = fd, .iovcnt = count, .iov = (uintptr_t)iov, .flags = flags };
		int n = zcio_writev(z->ctx, &call);

		b->calls++;
		if (n < 0) {
			/* At the limit of locked memory, pages have to come home first. */
			if (errno != ENOBUFS || poll(&p, 1, -1) < 0)
				die("zcio_writev");
			b->calls++;
			continue;
		}
		for (; n; n--, iov++, count--)
			call.taken -= iov[0][1].iov_len;
		/* What an error left of the next one. */
		if (call.taken) {
			iov[0][1].iov_base = (char *)iov[0][1].iov_base + call.taken;
			iov[0][1].iov_len -= call.taken;
		}
	}
}

void zc_sender_count(struct bench *b, struct zc_sender *z)
{
	struct zcio_info info = {};

	if (zcio_info(z->ctx, -1, &info))
		die("zcio_info");
	b->payloads = info.tx.payloads;
	b->mapped = info.tx.mapped;
	b->copied = info.tx.copied;
}
