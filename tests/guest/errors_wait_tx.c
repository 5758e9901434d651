// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table about waiting, for zc_writev to every kind of socket: EAGAIN,
 * EINTR, SO_SNDTIMEO; and what a call that waits on a connection is told of it. No test measures time: where a call
 * must wait, the test waits until it is asleep; where it must not, it would hang. (Waiting
 * to receive, on all kinds of sockets: errors_wait.c.)
 */
#include <linux/sockios.h>

#include "caller.h"
#include "datagram_tx.h"
#include "refused.h"

FIXTURE(wait)
{
	struct zt z;
	enum flow_kind kind;
	size_t head;		/* room that a payload needs before it */
	struct iovec region[1];
	pair area[1];
	size_t filled;		/* bytes of a stream, or messages, that wait */
};

FLOW_KINDS(wait);

static void begin(struct __test_metadata *_metadata, FIXTURE_DATA(wait) *self, enum flow_kind kind)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, 8, 16);
	tx_open(_metadata, z, kind);
	self->kind = kind;
	self->head = tx_room(_metadata, z, kind);
	zt_fill(z->pool, ZT_PAGES(8), 0);
	self->region[0] = zt_iov(z->win, ZT_PAGES(2));
	self->area[0][0] = zt_iov(z->pool, ZT_PAGE);
	self->area[0][1] = zt_iov(z->pool + self->head + 100, 1000);
	zt_remember(_metadata, z, ZT_PAGES(8));
}

FIXTURE_SETUP(wait)
{
	begin(_metadata, self, variant->kind);
}

FIXTURE_TEARDOWN(wait)
{
	zcio_close(self->z.ctx);
}

#define WRITE_FAILS(err, call_flags) \
	zt_writev_fails(_metadata, &self->z, \
			(struct zcio_writev){ .fd = self->z.rx, .iovcnt = 1, \
					      .iov = ZT_PTR(self->area), .flags = (call_flags) }, \
			err, -1, self->area, sizeof(self->area))

/* Sends from the local end until it takes no more; returns how much that was. */
static size_t fill_stream(struct __test_metadata *_metadata, struct zt *z)
{
	unsigned char buf[8192];
	size_t sent = 0;

	/* The peer takes in what is on its way: over when the rest is held back by its window. */
	for (bool over = false;;) {
		int waiting, unsent;
		ssize_t n;

		zt_fill(buf, sizeof(buf), sent);
		n = send(z->rx, buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0) {
			sent += n;
			over = false;
			continue;
		}
		ASSERT_EQ(EAGAIN, errno);
		if (over)
			break;
		ASSERT_EQ(0, ioctl(z->rx, TIOCOUTQ, &waiting));
		ASSERT_EQ(0, ioctl(z->rx, SIOCOUTQNSD, &unsent));
		over = waiting == unsent;
		usleep(500);
	}
	return sent;
}

#define EACH	1200	/* bytes of a message that fills the buffer */

/* The same, by datagrams that the device holds back; from a place that nobody looks at. */
static size_t fill_messages(struct __test_metadata *_metadata, FIXTURE_DATA(wait) *self)
{
	struct zt *z = &self->z;
	size_t sent;
	pair iov[1];
	int n;

	for (sent = 0;; sent++) {
		zt_area(z, iov[0], 8, 1, self->head, EACH, dg_pos(sent));
		n = zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_DONTWAIT, NULL);
		if (n < 0)
			break;
		ASSERT_EQ(1, n);
	}
	ASSERT_EQ(-EAGAIN, n);
	return sent;
}

/* The socket takes no more. False if that cannot be done with this kind. */
static bool fill_up(struct __test_metadata *_metadata, FIXTURE_DATA(wait) *self)
{
	bool streams = self->kind == TCP4 || self->kind == TCP6;
	int small = 16384;

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	if (!streams && !tx_jam(ZT_LO4))
		return false;
	self->filled = streams ? fill_stream(_metadata, &self->z) : fill_messages(_metadata, self);
	ASSERT_LT(0, self->filled);
	return true;
}

#define FILL_UP()							\
	do {								\
		if (!fill_up(_metadata, self))				\
			SKIP(return, "no device that can be slowed down");	\
	} while (0)

/* What filled it up arrives; then there is room. */
static void make_room(struct __test_metadata *_metadata, FIXTURE_DATA(wait) *self)
{
	if (self->kind == TCP4 || self->kind == TCP6) {
		zt_recv(_metadata, self->z.tx, self->filled, 0);
		return;
	}
	tx_unjam(_metadata, ZT_LO4);
	for (size_t i = 0; i < self->filled; i++)
		tx_arrives(_metadata, self->z.tx, EACH, dg_pos(i));
}

TEST_F(wait, write_on_O_NONBLOCK_is_EAGAIN)
{
	FILL_UP();
	zt_nonblock(_metadata, self->z.rx, true);
	WRITE_FAILS(EAGAIN, 0);
	ASSERT_EQ(-1, zc_writev(self->z.rx, self->area, 1));
	ASSERT_EQ(EAGAIN, errno);
	make_room(_metadata, self);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_with_DONTWAIT_is_EAGAIN)
{
	FILL_UP();
	WRITE_FAILS(EAGAIN, ZCIO_DONTWAIT);
	make_room(_metadata, self);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_after_SO_SNDTIMEO_is_EAGAIN)
{
	struct timeval t = { .tv_usec = 20000 };

	FILL_UP();
	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)));
	WRITE_FAILS(EAGAIN, 0);
	make_room(_metadata, self);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_interrupted_is_EINTR)
{
	struct caller c = CALLER_WRITEV(&self->z, self->area, 1);

	FILL_UP();
	caller_catches(_metadata, false);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	ASSERT_EQ(-EINTR, caller_join(_metadata, &c));
	ASSERT_EQ(-1, c.writev.error_index);
	zt_unchanged(_metadata, &self->z);
	make_room(_metadata, self);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_with_SA_RESTART_goes_on)
{
	struct caller c = CALLER_WRITEV(&self->z, self->area, 1);

	FILL_UP();
	caller_catches(_metadata, true);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	zt_asleep(_metadata, c.tid);
	make_room(_metadata, self);
	tx_comes(_metadata, variant->kind, self->z.tx, 1000, self->head + 100);
	ASSERT_EQ(1, caller_join(_metadata, &c));
	zt_nothing(_metadata, self->z.tx);
	ASSERT_EQ(ZT_PAGE, zt_zeros(self->z.pool, ZT_PAGE));
}

/* ---- of a connection ---- */

FIXTURE(connection)
{
	FIXTURE_DATA(wait) w;
};

FIXTURE_VARIANT(connection)
{
	enum flow_kind kind;
};

FIXTURE_VARIANT_ADD(connection, v4) { TCP4 };
FIXTURE_VARIANT_ADD(connection, v6) { TCP6 };

FIXTURE_SETUP(connection)
{
	begin(_metadata, &self->w, variant->kind);
}

FIXTURE_TEARDOWN(connection)
{
	zcio_close(self->w.z.ctx);
}

TEST_F(connection, read_waiting_sees_the_end_of_the_stream)
{
	struct caller c = CALLER_READV(&self->w.z, self->w.region, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, shutdown(self->w.z.tx, SHUT_WR));
	ASSERT_EQ(0, caller_join(_metadata, &c));
}

TEST_F(connection, read_waiting_sees_a_reset)
{
	struct caller c = CALLER_READV(&self->w.z, self->w.region, 1);

	caller_start(_metadata, &c);
	zt_reset(_metadata, self->w.z.tx);
	ASSERT_EQ(-ECONNRESET, caller_join(_metadata, &c));
}

TEST_F(connection, read_waiting_sees_shutdown_by_another_thread)
{
	struct caller c = CALLER_READV(&self->w.z, self->w.region, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, shutdown(self->w.z.rx, SHUT_RD));
	ASSERT_EQ(0, caller_join(_metadata, &c));
}

TEST_F(connection, write_waiting_sees_a_reset)
{
	struct caller c = CALLER_WRITEV(&self->w.z, self->w.area, 1);

	signal(SIGPIPE, SIG_IGN);
	ASSERT_TRUE(fill_up(_metadata, &self->w));
	caller_start(_metadata, &c);
	zt_reset(_metadata, self->w.z.tx);
	ASSERT_EQ(-ECONNRESET, caller_join(_metadata, &c));
	zt_unchanged(_metadata, &self->w.z);
}

/* poll() and the calls agree. */
TEST_F(connection, poll_says_when_a_call_goes_through)
{
	struct pollfd p = { .fd = self->w.z.rx, .events = POLLIN | POLLOUT };

	ASSERT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(POLLOUT, p.revents);
	zt_send(_metadata, self->w.z.tx, 5000, 0);
	zt_arrived(_metadata, self->w.z.rx, 5000);
	ASSERT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(POLLIN | POLLOUT, p.revents);
	zt_zc_recv(_metadata, self->w.z.dev, self->w.z.rx, self->w.z.win, 2, 5000, 0);
	ASSERT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(POLLOUT, p.revents);
}

TEST_HARNESS_MAIN
