/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of zc_writev to sockets that keep boundaries share: areas with payloads
 * that can be told apart, and what must hold of an area after a call.
 */
#ifndef DATAGRAM_TX_H
#define DATAGRAM_TX_H

#include "area.h"
#include "datagram.h"

#define TX_POOL		4096		/* pages of the pool */
#define TX_JUNK		0xa5		/* of zt_area() */

/* The room that the socket asks for before a payload. */
ZT_UNUSED static size_t tx_head(struct __test_metadata *_metadata, struct zcio_ctx *ctx, int fd)
{
	struct zcio_info info;

	ASSERT_EQ(0, zcio_info(ctx, fd, &info)) TH_LOG("%m");
	ASSERT_LT(0, info.head_room);
	ASSERT_GT(ZT_PAGE / 4, info.head_room);
	ASSERT_EQ(0, info.tail_room);
	return info.head_room;
}

/* An area of as many pages as it takes, from @page on; returns the next page. */
ZT_UNUSED static size_t tx_place(struct zt *z, pair iov, size_t page, size_t offset, size_t len,
				 uint64_t pos)
{
	size_t pages = (offset + len + ZT_PAGE - 1) / ZT_PAGE;

	zt_area(z, iov, page, pages, offset, len, pos);
	return page + pages;
}

/* What was sent is gone from its area. */
ZT_UNUSED static void tx_gone(struct __test_metadata *_metadata, const struct iovec *iov)
{
	size_t zeros = zt_zeros(iov[0].iov_base, iov[0].iov_len);

	ASSERT_EQ(iov[0].iov_len, zeros) {
		TH_LOG("byte %zu of an area of %zu, payload of %zu at %zu", zeros, iov[0].iov_len,
		       iov[1].iov_len, (char *)iov[1].iov_base - (char *)iov[0].iov_base);
	}
}

/*
 * What was not sent is still there. If the kernel had begun with it, bytes of the head room
 * may read zero now, but nothing else.
 */
ZT_UNUSED static void tx_still(struct __test_metadata *_metadata, const struct iovec *iov,
			       uint64_t pos, bool begun)
{
	unsigned char *base = iov[0].iov_base, *at = iov[1].iov_base;
	unsigned char *end = base + iov[0].iov_len, *tail = at + iov[1].iov_len;

	if (iov[1].iov_len)
		ASSERT_EQ(iov[1].iov_len, zt_same(at, iov[1].iov_len, pos));
	for (unsigned char *p = base; p < end; p++) {
		if (p == at)
			p = tail;
		if (p == end)
			break;
		if (begun && p < at && !*p)
			continue;
		ASSERT_EQ(TX_JUNK, *p) TH_LOG("at %zd from the payload", p - at);
	}
}

/* The next datagram at @fd. */
ZT_UNUSED static void tx_arrives(struct __test_metadata *_metadata, int fd, size_t len,
				 uint64_t pos)
{
	static unsigned char buf[DG_STEP + 1];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	ASSERT_EQ((ssize_t)len, n);
	ASSERT_EQ(len, zt_same(buf, len, pos)) TH_LOG("wrong at %zu", zt_same(buf, len, pos));
}

/* One payload, by a call that must fail with @err and change nothing. */
ZT_UNUSED static void tx_fails(struct __test_metadata *_metadata, struct zt *z, const pair iov,
			       struct zcio_writev call, uint64_t pos, int err, bool begun)
{
	struct zcio_info before = zt_info(_metadata, z->ctx), after;

	call.fd = z->rx;
	call.iovcnt = 1;
	call.iov = ZT_PTR(iov);
	ASSERT_EQ(-err, zt_writev_raw(z->dev, &call)) {
		TH_LOG("%zu bytes at %zu", iov[1].iov_len,
		       (char *)iov[1].iov_base - (char *)iov[0].iov_base);
	}
	ASSERT_EQ(0, call.taken);
	after = zt_info(_metadata, z->ctx);
	ASSERT_EQ(0, memcmp(&before.tx, &after.tx, sizeof(after.tx)));
	tx_still(_metadata, iov, pos, begun);
}

/* Offsets at which a payload can begin in an area: the head before it lies in many ways. */
ZT_UNUSED static size_t tx_offset(size_t head, unsigned int n)
{
	const size_t offsets[] = {
		head, head + 1, head + 63, 2048, ZT_PAGE - 1, ZT_PAGE, ZT_PAGE + 1,
		ZT_PAGE + head - 1, ZT_PAGE + head, 2 * ZT_PAGE - 64, 3 * ZT_PAGE,
	};

	return offsets[n % ARRAY_SIZE(offsets)];
}

#define TX_OFFSETS	11

#endif /* DATAGRAM_TX_H */
