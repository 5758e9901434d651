// SPDX-License-Identifier: GPL-2.0
/*
 * The row of the error table about limits, for what is sent, whatever by: pages on their way
 * are charged to RLIMIT_MEMLOCK until they are home. At the limit a send is ENOBUFS, and
 * nothing was sent.
 */
#include "datagram_tx.h"
#include "refused.h"

#define LIMIT		64	/* pages */
#define AREA_PAGES	8
#define AREAS		(LIMIT / AREA_PAGES)

FIXTURE(limit)
{
	struct zt z;		/* zc_writev works on rx; tx gets what comes from there */
	pair iov[AREAS];
	size_t head, len;	/* of a payload: the room before it, and its bytes */
};

FLOW_KINDS(limit);

FIXTURE_SETUP(limit)
{
	struct zt *z = &self->z, sockets;

	tx_open(_metadata, &sockets, variant->kind);
	zt_limited(_metadata, LIMIT);
	zt_open(_metadata, z, 0, 0);
	z->rx = sockets.rx;
	z->tx = sockets.tx;
	self->head = tx_room(_metadata, z, variant->kind);
	self->len = ZT_PAGES(AREA_PAGES) - self->head;
}

FIXTURE_TEARDOWN(limit)
{
	zt_nothing(_metadata, self->z.tx);
	zcio_close(self->z.ctx);
}

/* The pool's first @count areas; the payloads are the stream's from @pos on. */
static void prepare(FIXTURE_DATA(limit) *self, int count, uint64_t pos)
{
	for (int i = 0; i < count; i++)
		zt_area(&self->z, self->iov[i], AREA_PAGES * i, AREA_PAGES, self->head, self->len,
			pos + i * self->len);
}

/* A send needs stand-ins; without room for them it fails, and nothing was sent. */
TEST_F(limit, send_at_the_limit_is_ENOBUFS)
{
	struct zt *z = &self->z;
	struct zcio_writev call;

	z->pool = zt_pool(_metadata, z->ctx, LIMIT);
	prepare(self, AREAS, 0);
	zt_remember(_metadata, z, ZT_PAGES(LIMIT));
	for (int count = 1; count <= AREAS; count++) {
		call = zt_writev_call(z, self->iov, count);
		zt_writev_fails(_metadata, z, call, ENOBUFS, -1, self->iov, sizeof(self->iov));
	}
	zt_nothing(_metadata, z->tx);
	/* Half of the pool unmapped is room for the other half. */
	ASSERT_EQ(0, munmap(z->pool + ZT_PAGES(LIMIT / 2), ZT_PAGES(LIMIT / 2)));
	ASSERT_EQ(AREAS / 2, zc_writev(z->rx, self->iov, AREAS / 2));
	for (int i = 0; i < AREAS / 2; i++)
		tx_comes(_metadata, variant->kind, z->tx, self->len, i * self->len);
}

/* What is on its way is charged, whoever's buffer it waits in, until the peer has it. */
TEST_F(limit, sent_pages_are_charged_until_they_are_home)
{
	enum { EACH = 2 };
	struct zt *z = &self->z;
	int sent, got = 0;

	z->pool = zt_pool(_metadata, z->ctx, EACH * AREA_PAGES);
	for (sent = 0;; sent += EACH) {
		prepare(self, EACH, sent * self->len);
		if (zc_writev(z->rx, self->iov, EACH) < 0)
			break;
		ASSERT_GE(LIMIT, zt_info(_metadata, z->ctx).pool_pages);
	}
	ASSERT_EQ(ENOBUFS, errno);
	ASSERT_EQ(AREAS - EACH, sent);
	for (int i = 0; i < EACH; i++)
		tx_still(_metadata, self->iov[i], (sent + i) * self->len, false);
	for (; got < sent; got++)
		tx_comes(_metadata, variant->kind, z->tx, self->len, got * self->len);
	if (variant->kind == TCP4 || variant->kind == TCP6)
		zt_acked(_metadata, z->rx);
	ASSERT_EQ(1, poll(&(struct pollfd){ .fd = z->dev, .events = POLLOUT }, 1, -1));
	ASSERT_EQ(EACH, zc_writev(z->rx, self->iov, EACH));
	for (; got < sent + EACH; got++)
		tx_comes(_metadata, variant->kind, z->tx, self->len, got * self->len);
}

TEST_HARNESS_MAIN
