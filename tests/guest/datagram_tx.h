/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of zc_writev to sockets that keep boundaries share: areas with payloads
 * that can be told apart, and what must hold of an area after a call.
 */
#ifndef DATAGRAM_TX_H
#define DATAGRAM_TX_H

#include "datagram.h"

typedef struct iovec pair[2];

#define TX_POOL		4096		/* pages of the pool */
#define TX_JUNK		0xa5

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

/* Fills pages [@page, @page + @pages) of the pool with junk and the payload at @offset. */
ZT_UNUSED static void tx_prepare(struct zt *z, pair iov, size_t page, size_t pages, size_t offset,
				 size_t len, uint64_t pos)
{
	char *base = z->pool + ZT_PAGES(page);

	memset(base, TX_JUNK, ZT_PAGES(pages));
	zt_fill(base + offset, len, pos);
	iov[0] = zt_iov(base, ZT_PAGES(pages));
	iov[1] = zt_iov(base + offset, len);
}

/* The same in as many pages as it takes; the next page that is free. */
ZT_UNUSED static size_t tx_place(struct zt *z, pair iov, size_t page, size_t offset, size_t len,
				 uint64_t pos)
{
	size_t pages = (offset + len + ZT_PAGE - 1) / ZT_PAGE;

	tx_prepare(z, iov, page, pages, offset, len, pos);
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
 * What was not sent is still there. If the kernel had begun with it, the head room reads
 * zero in part, but nothing else was ever there.
 */
ZT_UNUSED static void tx_still(struct __test_metadata *_metadata, const struct iovec *iov,
			       size_t head, uint64_t pos, bool begun)
{
	unsigned char *base = iov[0].iov_base, *at = iov[1].iov_base;
	unsigned char *end = base + iov[0].iov_len, *tail = at + iov[1].iov_len;
	unsigned char *page = (unsigned char *)zt_down(at);
	/* The head is in the payload's page or in the one before. */
	unsigned char *from = at - page >= (ssize_t)head ? at - head : page - head;

	if (iov[1].iov_len)
		ASSERT_EQ(iov[1].iov_len, zt_same(at, iov[1].iov_len, pos));
	for (unsigned char *p = base; p < end; p++) {
		if (p == at)
			p = tail;
		if (p == end)
			break;
		if (begun && p >= from && p < at && !*p)
			continue;
		ASSERT_EQ(TX_JUNK, *p) TH_LOG("at %zd from the payload", p - at);
	}
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
