// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table about waiting, for zc_writev: EAGAIN, EINTR, SO_SNDTIMEO; and
 * what a call that waits on a connection is told of it. No test measures time: where a call
 * must wait, the test waits until it is asleep; where it must not, it would hang. (Waiting
 * to receive, on all kinds of sockets: errors_wait.c.)
 */
#include <linux/sockios.h>

#include "caller.h"
#include "refused.h"

FIXTURE(wait)
{
	struct zt z;
	struct iovec region[1];
	struct iovec area[1][2];
};

FIXTURE_VARIANT(wait)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(wait, v4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(wait, v6) { .path = ZT_LO6 };

FIXTURE_SETUP(wait)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, 8, 8);
	zt_tcp(_metadata, variant->path, &z->rx, &z->tx);
	zt_fill(z->pool, ZT_PAGES(8), 0);
	self->region[0] = zt_iov(z->win, ZT_PAGES(2));
	self->area[0][0] = zt_iov(z->pool, ZT_PAGE);
	self->area[0][1] = zt_iov(z->pool + 100, 1000);
	zt_remember(_metadata, z, ZT_PAGES(8));
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
static size_t fill_up(struct __test_metadata *_metadata, struct zt *z)
{
	unsigned char buf[8192];
	size_t sent = 0;
	int small = 16384;

	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
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

TEST_F(wait, write_on_O_NONBLOCK_is_EAGAIN)
{
	size_t sent = fill_up(_metadata, &self->z);

	zt_nonblock(_metadata, self->z.rx, true);
	WRITE_FAILS(EAGAIN, 0);
	ASSERT_EQ(-1, zc_writev(self->z.rx, self->area, 1));
	ASSERT_EQ(EAGAIN, errno);
	zt_recv(_metadata, self->z.tx, sent, 0);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_with_DONTWAIT_is_EAGAIN)
{
	size_t sent = fill_up(_metadata, &self->z);

	WRITE_FAILS(EAGAIN, ZCIO_DONTWAIT);
	zt_recv(_metadata, self->z.tx, sent, 0);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_after_SO_SNDTIMEO_is_EAGAIN)
{
	struct timeval t = { .tv_usec = 20000 };
	size_t sent = fill_up(_metadata, &self->z);

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)));
	WRITE_FAILS(EAGAIN, 0);
	zt_recv(_metadata, self->z.tx, sent, 0);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_interrupted_is_EINTR)
{
	struct caller c = CALLER_WRITEV(&self->z, self->area, 1);
	size_t sent = fill_up(_metadata, &self->z);

	caller_catches(_metadata, false);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	ASSERT_EQ(-EINTR, caller_join(_metadata, &c));
	ASSERT_EQ(-1, c.writev.error_index);
	zt_unchanged(_metadata, &self->z);
	zt_recv(_metadata, self->z.tx, sent, 0);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_with_SA_RESTART_goes_on)
{
	struct caller c = CALLER_WRITEV(&self->z, self->area, 1);
	size_t sent = fill_up(_metadata, &self->z);

	caller_catches(_metadata, true);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	zt_asleep(_metadata, c.tid);
	zt_recv(_metadata, self->z.tx, sent, 0);
	zt_recv(_metadata, self->z.tx, 1000, 100);
	ASSERT_EQ(1, caller_join(_metadata, &c));
	zt_nothing(_metadata, self->z.tx);
	ASSERT_EQ(ZT_PAGE, zt_zeros(self->z.pool, ZT_PAGE));
}

TEST_F(wait, read_waiting_sees_the_end_of_the_stream)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, shutdown(self->z.tx, SHUT_WR));
	ASSERT_EQ(0, caller_join(_metadata, &c));
}

TEST_F(wait, read_waiting_sees_a_reset)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_start(_metadata, &c);
	zt_reset(_metadata, self->z.tx);
	ASSERT_EQ(-ECONNRESET, caller_join(_metadata, &c));
}

TEST_F(wait, read_waiting_sees_shutdown_by_another_thread)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, shutdown(self->z.rx, SHUT_RD));
	ASSERT_EQ(0, caller_join(_metadata, &c));
}

TEST_F(wait, write_waiting_sees_a_reset)
{
	struct caller c = CALLER_WRITEV(&self->z, self->area, 1);

	signal(SIGPIPE, SIG_IGN);
	fill_up(_metadata, &self->z);
	caller_start(_metadata, &c);
	zt_reset(_metadata, self->z.tx);
	ASSERT_EQ(-ECONNRESET, caller_join(_metadata, &c));
	zt_unchanged(_metadata, &self->z);
}

/* poll() and the calls agree. */
TEST_F(wait, poll_says_when_a_call_goes_through)
{
	struct pollfd p = { .fd = self->z.rx, .events = POLLIN | POLLOUT };

	ASSERT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(POLLOUT, p.revents);
	zt_send(_metadata, self->z.tx, 5000, 0);
	zt_arrived(_metadata, self->z.rx, 5000);
	ASSERT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(POLLIN | POLLOUT, p.revents);
	zt_zc_recv(_metadata, self->z.dev, self->z.rx, self->z.win, 2, 5000, 0);
	ASSERT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(POLLOUT, p.revents);
}

TEST_HARNESS_MAIN
