// SPDX-License-Identifier: GPL-2.0
/*
 * The row of the error table about limits: RLIMIT_MEMLOCK binds a user without
 * CAP_IPC_LOCK, by ENOBUFS, and nothing is lost; what is given back can be used again.
 */
#include <linux/sockios.h>

#include "flow.h"
#include "refused.h"

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

/* Receives something into each of the pages at @at. */
static void fill_region(struct __test_metadata *_metadata, struct zt *z, char *at, int pages)
{
	for (int i = 0; i < pages; i++) {
		struct iovec iov = zt_iov(at + ZT_PAGES(i), ZT_PAGE);

		zt_send(_metadata, z->tx, 10, 0);
		zt_arrived(_metadata, z->rx, 10);
		ASSERT_EQ(1, zt_readv(z->dev, z->rx, &iov, 1, NULL, 0));
	}
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
	struct zcio_ctx *other = zt_context();

	ASSERT_NE(NULL, other);
	ASSERT_NE(NULL, zcio_pool(self->z.ctx, ZT_PAGES(LIMIT - 1)));
	ASSERT_EQ(NULL, zcio_pool(other, ZT_PAGES(2)));
	ASSERT_EQ(ENOBUFS, errno);
	ASSERT_NE(NULL, zcio_pool(other, ZT_PAGE));
}

/* Sends the pool's first page so often, then lets the peer read it all. */
static void burst(struct __test_metadata *_metadata, struct zt *z, int sends)
{
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGE), zt_iov(z->pool, ZT_PAGE) } };

	for (int i = 0; i < sends; i++) {
		zt_fill(z->pool, ZT_PAGE, ZT_PAGES(i));
		ASSERT_EQ(1, zc_writev(z->tx, area, 1));
	}
	zt_recv(_metadata, z->rx, ZT_PAGES(sends), 0);
	zt_acked(_metadata, z->tx);
}

/*
 * What a pool keeps to send from later is no page less for others of its context: it is let
 * go when they find the limit.
 */
TEST_F(limit, pages_kept_for_later_are_given_up_at_the_limit)
{
	enum { PAGES = 4, SENDS = LIMIT - PAGES - 2 };
	struct zt *z = &self->z;
	struct iovec region = zt_iov(z->win, ZT_PAGES(LIMIT - PAGES));
	int big = 4 << 20;
	char *other;

	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big)));
	z->pool = zt_pool(_metadata, z->ctx, PAGES);
	burst(_metadata, z, SENDS);
	ASSERT_EQ(PAGES + SENDS, zt_info(_metadata, z->ctx).pool_pages);
	/* Another pool, which was refused while they were on their way. */
	other = zcio_pool(z->ctx, ZT_PAGES(LIMIT - PAGES));
	ASSERT_NE(NULL, other);
	ASSERT_EQ(LIMIT, zt_info(_metadata, z->ctx).pool_pages);
	ASSERT_EQ(0, zcio_unmap(other, ZT_PAGES(LIMIT - PAGES)));

	burst(_metadata, z, SENDS);
	ASSERT_EQ(PAGES + SENDS, zt_info(_metadata, z->ctx).pool_pages);
	/* And payloads. */
	zt_send(_metadata, z->tx, ZT_PAGES(LIMIT / 2), 0);
	zt_arrived(_metadata, z->rx, ZT_PAGES(LIMIT / 2));
	ASSERT_EQ(1, zt_readv(z->dev, z->rx, &region, 1, NULL, 0));
	ASSERT_EQ(region.iov_len, zt_same(region.iov_base, region.iov_len, 0));
	/* More than there was room for. */
	ASSERT_LT(LIMIT - PAGES - SENDS, window_pages(_metadata, z));
}

/*
 * A call that finds the limit in the middle has emptied all its regions before it goes on, also
 * the one whose pages lay there already.
 */
TEST_F(limit, copies_in_place_when_the_limit_is_found)
{
	enum { PAGES = 4, SPARES = 4, SENDS = LIMIT - PAGES - 2 * SPARES };
	struct zt *z = &self->z;
	struct iovec iov[] = { zt_iov(z->win, ZT_PAGES(SPARES)),
			       zt_iov(z->win + ZT_PAGES(100), ZT_PAGES(20)) };
	struct iovec now[2];
	int big = 4 << 20;

	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big)));
	z->pool = zt_pool(_metadata, z->ctx, PAGES);
	burst(_metadata, z, SENDS);
	zt_threshold(_metadata, z->ctx, 1 << 30);
	zt_send(_metadata, z->tx, ZT_PAGES(SPARES), 0);
	zt_arrived(_metadata, z->rx, ZT_PAGES(SPARES));
	ASSERT_EQ(1, zt_take(_metadata, z->dev, z->rx, iov, 2, now, NULL, 0));
	ASSERT_EQ(LIMIT - SPARES, zt_info(_metadata, z->ctx).pool_pages + window_pages(_metadata, z));
	zt_send(_metadata, z->tx, ZT_PAGES(20), 7);
	zt_arrived(_metadata, z->rx, ZT_PAGES(20));
	ASSERT_EQ(2, zt_take(_metadata, z->dev, z->rx, iov, 2, now, NULL, 0));
	ASSERT_EQ(now[0].iov_len, zt_same(now[0].iov_base, now[0].iov_len, 7));
	ASSERT_EQ(now[1].iov_len, zt_same(now[1].iov_base, now[1].iov_len, 7 + now[0].iov_len));
	ASSERT_EQ(20, window_pages(_metadata, z));
}

/* Which of the regions holds what is missing for the others does not matter. */
TEST_F(limit, regions_that_free_each_other_in_any_order)
{
	enum { PAGES = LIMIT / 2 };
	struct zt *z = &self->z;
	char *at = z->win;

	/* The limit is full, by halves with a hole between. */
	for (int round = 0; round < 6; round++) {
		/* Two stretches: the one that is empty first, then the one that is full. */
		char *empty = at + ZT_PAGES(3 * PAGES * (round % 2));
		char *full = at + ZT_PAGES(3 * PAGES * (1 - round % 2));
		struct iovec iov[] = { zt_iov(empty, ZT_PAGES(PAGES)), zt_iov(full, ZT_PAGES(PAGES)) };

		fill_region(_metadata, z, at + ZT_PAGES(6 * PAGES), PAGES);
		fill_region(_metadata, z, full, PAGES);
		ASSERT_EQ(LIMIT, window_pages(_metadata, z));
		zt_send(_metadata, z->tx, ZT_PAGE, 0);
		zt_arrived(_metadata, z->rx, ZT_PAGE);
		ASSERT_EQ(1, zt_readv(z->dev, z->rx, iov, 2, NULL, 0));
		ASSERT_EQ(ZT_PAGE, iov[0].iov_len);
		ASSERT_EQ(ZT_PAGE, zt_same(iov[0].iov_base, ZT_PAGE, 0));
	}
}

/* A copy that is sent in place of a page that somebody holds is as much on its way. */
TEST_F(limit, copies_of_pinned_pages_are_charged)
{
	struct zt *z = &self->z;
	struct iovec area[1][2], page;
	struct zcio_payload info;
	char copy[ZT_PAGE];
	int sent = 0, n, p[2];

	ASSERT_EQ(0, pipe(p));
	z->pool = zt_pool(_metadata, z->ctx, 4);
	page = zt_iov(z->pool, ZT_PAGE);
	area[0][0] = page;
	area[0][1] = zt_iov(z->pool, 1);
	for (;; sent++) {
		zt_fill(z->pool, 1, sent);
		ASSERT_EQ((ssize_t)ZT_PAGE, vmsplice(p[1], &page, 1, 0));
		n = zt_writev(z->dev, z->tx, area, 1, &info, 0, NULL);
		ASSERT_EQ((ssize_t)ZT_PAGE, read(p[0], copy, ZT_PAGE));
		if (n != 1)
			break;
		ASSERT_EQ(ZCIO_WHY_PINNED, info.why);
		ASSERT_GE(LIMIT, sent);
	}
	ASSERT_EQ(-ENOBUFS, n) TH_LOG("%s", strerror(-n));
	ASSERT_LT(LIMIT / 4, sent);
	ASSERT_GE(LIMIT, zt_info(_metadata, z->ctx).pool_pages);
	ASSERT_EQ(1, zt_same(z->pool, 1, sent));
	zt_recv(_metadata, z->rx, sent, 0);
	zt_acked(_metadata, z->tx);
	ASSERT_EQ(1, poll(&(struct pollfd){ .fd = z->dev, .events = POLLOUT }, 1, -1));
	ASSERT_EQ(1, zt_writev(z->dev, z->tx, area, 1, &info, 0, NULL));
	zt_recv(_metadata, z->rx, 1, sent);
	close(p[0]);
	close(p[1]);
}

/* A call that ends early at the limit holds back nothing, as no more follows. */
TEST_F(limit, what_went_before_the_limit_is_not_held_back)
{
	struct zt *z = &self->z;
	struct iovec area[2][2];
	int unsent = -1;

	z->pool = zt_pool(_metadata, z->ctx, LIMIT - 1);
	zt_fill(z->pool, 10, 0);
	for (int i = 0; i < 2; i++) {
		area[i][0] = zt_iov(z->pool + ZT_PAGES(i), ZT_PAGE);
		area[i][1] = zt_iov(z->pool + ZT_PAGES(i), 10);
	}
	ASSERT_EQ(1, zt_writev(z->dev, z->tx, area, 2, NULL, 0, NULL));
	ASSERT_EQ(0, ioctl(z->tx, SIOCOUTQNSD, &unsent));
	ASSERT_EQ(0, unsent);
	zt_recv(_metadata, z->rx, 10, 0);
}

TEST_F(limit, leaving_gives_all_back)
{
	struct zt *z = &self->z;
	struct zcio_ctx *other = zt_context();

	ASSERT_NE(NULL, other);
	z->pool = zt_pool(_metadata, z->ctx, LIMIT - 1);
	zt_send(_metadata, z->tx, 10, 0);
	zt_arrived(_metadata, z->rx, 10);
	zt_zc_recv(_metadata, z->dev, z->rx, z->win, 1, 10, 0);
	ASSERT_EQ(NULL, zcio_pool(other, ZT_PAGE));
	ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(LIMIT - 1)));
	ASSERT_EQ(0, munmap(z->win, ZT_PAGES(1024)));
	ASSERT_NE(NULL, zcio_pool(other, ZT_PAGES(LIMIT)));
}

/* ---- payloads, whatever they come by ---- */

#define LEN	10	/* bytes of a message: it takes a page */

FIXTURE(window)
{
	struct zt z;
	struct flow f;
};

FLOW_KINDS(window);

typedef FIXTURE_DATA(window) window;

FIXTURE_SETUP(window)
{
	struct zt *z = &self->z;

	/* Some of them an ordinary user may not open. */
	flow_open(_metadata, &self->f, variant->kind, false);
	zt_limited(_metadata, LIMIT);
	zt_open(_metadata, z, 1024, 0);
	z->rx = self->f.to;
	for (size_t page = 0; page < LIMIT; page++) {
		flow_put(_metadata, &self->f, LEN);
		flow_receive(_metadata, &self->f, z->dev, z->win + ZT_PAGES(page), 1);
	}
	ASSERT_EQ(LIMIT, window_pages(_metadata, z));
	flow_put(_metadata, &self->f, LEN);
	zt_remember(_metadata, z, ZT_PAGES(LIMIT + 1));
}

FIXTURE_TEARDOWN(window)
{
	zt_nothing(_metadata, self->f.to);
	zcio_close(self->z.ctx);
}

TEST_F(window, payloads_at_the_limit_are_ENOBUFS)
{
	struct zt *z = &self->z;
	struct iovec iov[] = { zt_iov(z->win + ZT_PAGES(LIMIT), ZT_PAGE) };

	READ_REFUSED(ENOBUFS, -1, iov);
	/* A region given again needs no more pages. */
	flow_receive(_metadata, &self->f, z->dev, z->win + ZT_PAGES(7), 1);
	ASSERT_EQ(LIMIT, window_pages(_metadata, z));
}

TEST_F(window, message_at_the_limit_stays)
{
	struct iovec iov[] = { zt_iov(self->z.win + ZT_PAGES(LIMIT), ZT_PAGES(8)) };

	flow_put(_metadata, &self->f, 8000);
	READ_REFUSED(ENOBUFS, -1, iov);
	flow_drain(_metadata, &self->f);
}

TEST_F(window, unmapping_payloads_makes_room)
{
	struct zt *z = &self->z;
	struct iovec iov[] = { zt_iov(z->win + ZT_PAGES(LIMIT), ZT_PAGE) };

	READ_REFUSED(ENOBUFS, -1, iov);
	ASSERT_EQ(0, munmap(z->win, ZT_PAGE));
	ASSERT_EQ(LIMIT - 1, window_pages(_metadata, z));
	flow_receive(_metadata, &self->f, z->dev, iov[0].iov_base, 1);
	ASSERT_EQ(LIMIT, window_pages(_metadata, z));
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
