// SPDX-License-Identifier: GPL-2.0
/*
 * The row of the error table about limits: RLIMIT_MEMLOCK binds a user without
 * CAP_IPC_LOCK, by ENOBUFS, and nothing is lost; what is given back can be used again.
 */
#include "zt.h"

#define LIMIT	64	/* pages */

FIXTURE(limit)
{
	struct zt z;
};

FIXTURE_SETUP(limit)
{
	zt_limited(_metadata, LIMIT);
	zt_open(_metadata, &self->z, 1024, 0);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(limit)
{
	zcio_close(self->z.ctx);
}

static uint64_t window_pages(struct __test_metadata *_metadata, struct zt *z)
{
	return zt_info(_metadata, z->ctx).window_pages;
}

/* Receives one page into page @page of the window. */
static int receive_page(struct __test_metadata *_metadata, struct zt *z, size_t page, uint64_t pos)
{
	struct iovec iov = zt_iov(z->win + ZT_PAGES(page), ZT_PAGE);
	int n = zt_readv(z->dev, z->rx, &iov, 1, NULL, ZCIO_DONTWAIT);

	if (n == 1)
		ASSERT_EQ(iov.iov_len, zt_same(iov.iov_base, iov.iov_len, pos));
	return n;
}

TEST_F(limit, any_user_may_open_and_use_it)
{
	struct zt *z = &self->z;
	struct iovec area[1][2];

	z->pool = zt_pool(_metadata, z->ctx, 8);
	zt_fill(z->pool, 1000, 0);
	area[0][0] = zt_iov(z->pool, ZT_PAGE);
	area[0][1] = zt_iov(z->pool, 1000);
	ASSERT_EQ(1, zc_writev(z->tx, area, 1));
	zt_zc_recv(_metadata, z->dev, z->rx, z->win, 1, 1000, 0);
}

TEST_F(limit, payloads_at_the_limit_are_ENOBUFS)
{
	struct zt *z = &self->z;
	struct zcio_info before;
	struct iovec iov, old;
	uint64_t page = 0;
	int n;

	/* Each payload of its own is one page of a window. */
	for (; page < LIMIT; page++) {
		zt_send(_metadata, z->tx, 10, page * 10);
		zt_arrived(_metadata, z->rx, 10);
		ASSERT_EQ(1, receive_page(_metadata, z, page, page * 10));
	}
	ASSERT_EQ(LIMIT, window_pages(_metadata, z));
	zt_send(_metadata, z->tx, 10, page * 10);
	zt_arrived(_metadata, z->rx, 10);
	before = zt_info(_metadata, z->ctx);
	for (int round = 0; round < 3; round++) {
		struct zcio_info after;

		old = zt_iov(z->win + ZT_PAGES(LIMIT), ZT_PAGE);
		iov = old;
		n = zt_readv(z->dev, z->rx, &iov, 1, NULL, 0);
		ASSERT_EQ(-ENOBUFS, n);
		ASSERT_EQ(0, memcmp(&iov, &old, sizeof(iov)));
		after = zt_info(_metadata, z->ctx);
		ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
		ASSERT_EQ(ZT_PAGE, zt_zeros(iov.iov_base, ZT_PAGE));
	}
	/* All that was there is still there. */
	for (uint64_t i = 0; i < LIMIT; i++)
		ASSERT_EQ(10, zt_same(z->win + ZT_PAGES(i), 10, i * 10));
	/* A region given again needs no more pages. */
	ASSERT_EQ(1, receive_page(_metadata, z, 7, page * 10));
	ASSERT_EQ(LIMIT, window_pages(_metadata, z));
}

TEST_F(limit, unmapping_payloads_makes_room)
{
	struct zt *z = &self->z;
	uint64_t page = 0;

	for (; page < LIMIT; page++) {
		zt_send(_metadata, z->tx, 10, page * 10);
		zt_arrived(_metadata, z->rx, 10);
		ASSERT_EQ(1, receive_page(_metadata, z, page, page * 10));
	}
	zt_send(_metadata, z->tx, 10, page * 10);
	zt_arrived(_metadata, z->rx, 10);
	ASSERT_EQ(-ENOBUFS, receive_page(_metadata, z, LIMIT, page * 10));
	ASSERT_EQ(0, munmap(z->win, ZT_PAGE));
	ASSERT_EQ(LIMIT - 1, window_pages(_metadata, z));
	ASSERT_EQ(1, receive_page(_metadata, z, LIMIT, page * 10));
}

TEST_F(limit, payload_array_at_the_limit_loses_nothing)
{
	struct zt *z = &self->z;
	size_t bytes = ZT_PAGES(2 * LIMIT), got = 0;
	struct iovec iov = zt_iov(z->win, ZT_PAGES(1024));
	int big = 4 << 20, n;

	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big)));
	zt_send(_metadata, z->tx, bytes, 0);
	zt_arrived(_metadata, z->rx, bytes);
	n = zt_readv(z->dev, z->rx, &iov, 1, NULL, 0);
	if (n == 1)
		got = iov.iov_len;
	else
		ASSERT_EQ(-ENOBUFS, n);
	ASSERT_GE(LIMIT, window_pages(_metadata, z));
	zt_recv(_metadata, z->rx, bytes - got, got);
	zt_nothing(_metadata, z->rx);
}

TEST_F(limit, pool_at_the_limit_is_ENOBUFS)
{
	struct zt *z = &self->z;
	char *pool = zcio_pool(z->ctx, ZT_PAGES(LIMIT));

	ASSERT_NE(NULL, pool);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(NULL, zcio_pool(z->ctx, ZT_PAGE));
		ASSERT_EQ(ENOBUFS, errno);
	}
	ASSERT_EQ(LIMIT, zt_info(_metadata, z->ctx).pool_pages);
	ASSERT_EQ(0, zcio_unmap(pool, ZT_PAGES(LIMIT)));
	ASSERT_EQ(0, zt_info(_metadata, z->ctx).pool_pages);
	pool = zcio_pool(z->ctx, ZT_PAGES(LIMIT));
	ASSERT_NE(NULL, pool);
}

TEST_F(limit, pool_above_the_limit_is_ENOBUFS)
{
	ASSERT_EQ(NULL, zcio_pool(self->z.ctx, ZT_PAGES(LIMIT + 1)));
	ASSERT_EQ(ENOBUFS, errno);
	ASSERT_EQ(0, zt_info(_metadata, self->z.ctx).pool_pages);
}

/* The limit is the user's, not the context's. */
TEST_F(limit, another_context_has_no_other_limit)
{
	struct zcio_ctx *other = zcio_open();

	ASSERT_NE(NULL, other);
	ASSERT_NE(NULL, zcio_pool(self->z.ctx, ZT_PAGES(LIMIT - 1)));
	ASSERT_EQ(NULL, zcio_pool(other, ZT_PAGES(2)));
	ASSERT_EQ(ENOBUFS, errno);
	ASSERT_NE(NULL, zcio_pool(other, ZT_PAGE));
}

/* A send needs stand-ins; without room for them it fails, and nothing was sent. */
TEST_F(limit, send_at_the_limit_is_ENOBUFS)
{
	struct zt *z = &self->z;
	struct iovec area[1][2];

	z->pool = zt_pool(_metadata, z->ctx, LIMIT);
	zt_fill(z->pool, ZT_PAGES(LIMIT), 0);
	area[0][0] = zt_iov(z->pool, ZT_PAGES(LIMIT));
	area[0][1] = zt_iov(z->pool, ZT_PAGES(LIMIT));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(-1, zc_writev(z->tx, area, 1));
		ASSERT_EQ(ENOBUFS, errno);
		ASSERT_EQ(ZT_PAGES(LIMIT), zt_same(z->pool, ZT_PAGES(LIMIT), 0));
		ASSERT_EQ(LIMIT, zt_info(_metadata, z->ctx).pool_pages);
	}
	zt_nothing(_metadata, z->rx);
	/* Half of the pool unmapped is room for the other half. */
	ASSERT_EQ(0, munmap(z->pool + ZT_PAGES(LIMIT / 2), ZT_PAGES(LIMIT / 2)));
	area[0][0].iov_len = ZT_PAGES(LIMIT / 2);
	area[0][1].iov_len = ZT_PAGES(LIMIT / 2);
	ASSERT_EQ(1, zc_writev(z->tx, area, 1));
	zt_recv(_metadata, z->rx, ZT_PAGES(LIMIT / 2), 0);
}

/* What waits in the send buffer is that one's to bound: the pool lets go of it. */
TEST_F(limit, sent_pages_do_not_use_up_the_limit)
{
	enum { PAGES = LIMIT / 4, ROUNDS = 12 };
	struct zt *z = &self->z;
	struct iovec area[1][2];

	z->pool = zt_pool(_metadata, z->ctx, PAGES);
	area[0][0] = zt_iov(z->pool, ZT_PAGES(PAGES));
	area[0][1] = area[0][0];
	for (uint64_t i = 0; i < ROUNDS; i++) {
		zt_fill(z->pool, ZT_PAGES(PAGES), i * ZT_PAGES(PAGES));
		ASSERT_EQ(1, zc_writev(z->tx, area, 1));
		ASSERT_LE(zt_info(_metadata, z->ctx).pool_pages, (uint64_t)LIMIT);
	}
	zt_recv(_metadata, z->rx, ROUNDS * ZT_PAGES(PAGES), 0);
}

TEST_F(limit, leaving_gives_all_back)
{
	struct zt *z = &self->z;
	struct zcio_ctx *other = zcio_open();

	ASSERT_NE(NULL, other);
	z->pool = zt_pool(_metadata, z->ctx, LIMIT - 1);
	zt_send(_metadata, z->tx, 10, 0);
	zt_arrived(_metadata, z->rx, 10);
	ASSERT_EQ(1, receive_page(_metadata, z, 0, 0));
	ASSERT_EQ(NULL, zcio_pool(other, ZT_PAGE));
	ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(LIMIT - 1)));
	ASSERT_EQ(0, munmap(z->win, ZT_PAGES(1024)));
	ASSERT_NE(NULL, zcio_pool(other, ZT_PAGES(LIMIT)));
}

/* CAP_IPC_LOCK: no limit binds. */
TEST(capable_user_is_not_limited)
{
	struct rlimit none = { 0, 0 };
	struct zt z = {};

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	zt_open(_metadata, &z, 16, 16);
	zt_tcp(_metadata, ZT_LO4, &z.rx, &z.tx);
	zt_send(_metadata, z.tx, 5000, 0);
	zt_zc_recv(_metadata, z.dev, z.rx, z.win, 16, 5000, 0);
}

TEST_HARNESS_MAIN
