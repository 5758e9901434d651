// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table about waiting: EAGAIN, EINTR, SO_RCVTIMEO and
 * SO_SNDTIMEO, for zc_readv and zc_writev. No test measures time: where a call must
 * wait, the test waits until it is asleep; where it must not, it would hang.
 */
#include <sys/syscall.h>

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

static volatile int signals;

static void count_signal(int sig)
{
	signals++;
}

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

#define READ_FAILS(err, call_flags) \
	zt_readv_fails(_metadata, &self->z, \
		       (struct zcio_readv){ .fd = self->z.rx, .iovcnt = 1, \
					    .iov = ZT_PTR(self->region), .flags = (call_flags) }, \
		       err, -1, self->region, sizeof(self->region))

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
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
	/* The peer may still take in what is on its way: try again until that is over. */
	for (int full = 0; full < 20;) {
		ssize_t n;

		zt_fill(buf, sizeof(buf), sent);
		n = send(z->rx, buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0) {
			sent += n;
			full = 0;
			continue;
		}
		ASSERT_EQ(EAGAIN, errno);
		full++;
		usleep(1000);
	}
	return sent;
}

TEST_F(wait, read_on_O_NONBLOCK_is_EAGAIN)
{
	zt_nonblock(_metadata, self->z.rx, true);
	READ_FAILS(EAGAIN, 0);
	ASSERT_EQ(-1, zc_readv(self->z.rx, self->region, 1));
	ASSERT_EQ(EAGAIN, errno);
}

TEST_F(wait, read_with_DONTWAIT_is_EAGAIN)
{
	READ_FAILS(EAGAIN, ZCIO_DONTWAIT);
	zt_send(_metadata, self->z.tx, 10, 0);
	zt_arrived(_metadata, self->z.rx, 10);
	ASSERT_EQ(1, zt_readv(self->z.dev, self->z.rx, self->region, 1, NULL, ZCIO_DONTWAIT));
	ASSERT_EQ(10, self->region[0].iov_len);
}

TEST_F(wait, read_after_SO_RCVTIMEO_is_EAGAIN)
{
	struct timeval t = { .tv_usec = 20000 };

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	READ_FAILS(EAGAIN, 0);
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

/* A call in a thread of its own, which signals are sent to. */
struct caller {
	struct zt *z;
	struct iovec *region;
	struct iovec (*area)[2];	/* if not NULL, zc_writev */
	_Atomic pid_t tid;
	int ret;
	int index;
	pthread_t thread;
};

static void *run(void *arg)
{
	struct caller *c = arg;

	c->tid = syscall(SYS_gettid);
	if (c->area) {
		struct zcio_writev call = { .fd = c->z->rx, .iovcnt = 1, .iov = ZT_PTR(c->area) };

		c->ret = zt_writev_raw(c->z->dev, &call);
		c->index = call.error_index;
	} else {
		struct zcio_readv call = { .fd = c->z->rx, .iovcnt = 1, .iov = ZT_PTR(c->region) };

		c->ret = zt_readv_raw(c->z->dev, &call);
		c->index = call.error_index;
	}
	return NULL;
}

static void start(struct __test_metadata *_metadata, struct caller *c, bool restart)
{
	struct sigaction act = { .sa_handler = count_signal, .sa_flags = restart ? SA_RESTART : 0 };

	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	ASSERT_EQ(0, pthread_create(&c->thread, NULL, run, c));
	while (!c->tid)
		usleep(100);
	zt_asleep(_metadata, c->tid);
}

static void send_signal(struct __test_metadata *_metadata, struct caller *c)
{
	int before = signals;

	ASSERT_EQ(0, pthread_kill(c->thread, SIGUSR1));
	while (signals == before)
		usleep(100);
}

TEST_F(wait, read_interrupted_is_EINTR)
{
	struct caller c = { .z = &self->z, .region = self->region };
	struct iovec before = self->region[0];

	start(_metadata, &c, false);
	send_signal(_metadata, &c);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(-EINTR, c.ret);
	ASSERT_EQ(-1, c.index);
	ASSERT_EQ(0, memcmp(&before, self->region, sizeof(before)));
	zt_unchanged(_metadata, &self->z);
	zt_send(_metadata, self->z.tx, 100, 0);
	zt_recv(_metadata, self->z.rx, 100, 0);
}

TEST_F(wait, read_with_SA_RESTART_goes_on)
{
	struct caller c = { .z = &self->z, .region = self->region };

	start(_metadata, &c, true);
	send_signal(_metadata, &c);
	zt_asleep(_metadata, c.tid);
	zt_send(_metadata, self->z.tx, 100, 0);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(1, c.ret);
	ASSERT_EQ(100, self->region[0].iov_len);
	ASSERT_EQ(100, zt_same(self->region[0].iov_base, 100, 0));
}

/* With a time-out even SA_RESTART does not restart, as with recv(): signal(7). */
TEST_F(wait, read_with_time_out_interrupted_is_EINTR)
{
	struct caller c = { .z = &self->z, .region = self->region };
	struct timeval t = { .tv_sec = 1000 };

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	start(_metadata, &c, true);
	send_signal(_metadata, &c);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(-EINTR, c.ret);
}

TEST_F(wait, write_interrupted_is_EINTR)
{
	struct caller c = { .z = &self->z, .area = self->area };
	size_t sent = fill_up(_metadata, &self->z);

	start(_metadata, &c, false);
	send_signal(_metadata, &c);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(-EINTR, c.ret);
	ASSERT_EQ(-1, c.index);
	zt_unchanged(_metadata, &self->z);
	zt_recv(_metadata, self->z.tx, sent, 0);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(wait, write_with_SA_RESTART_goes_on)
{
	struct caller c = { .z = &self->z, .area = self->area };
	size_t sent = fill_up(_metadata, &self->z);

	start(_metadata, &c, true);
	send_signal(_metadata, &c);
	zt_asleep(_metadata, c.tid);
	zt_recv(_metadata, self->z.tx, sent, 0);
	zt_recv(_metadata, self->z.tx, 1000, 100);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(1, c.ret);
	zt_nothing(_metadata, self->z.tx);
	ASSERT_EQ(ZT_PAGE, zt_zeros(self->z.pool, ZT_PAGE));
}

TEST_F(wait, read_waits_for_data)
{
	struct caller c = { .z = &self->z, .region = self->region };

	start(_metadata, &c, false);
	zt_send(_metadata, self->z.tx, 7, 0);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(1, c.ret);
	ASSERT_EQ(7, self->region[0].iov_len);
	ASSERT_EQ(7, zt_same(self->region[0].iov_base, 7, 0));
}

TEST_F(wait, read_waiting_sees_the_end_of_the_stream)
{
	struct caller c = { .z = &self->z, .region = self->region };

	start(_metadata, &c, false);
	ASSERT_EQ(0, shutdown(self->z.tx, SHUT_WR));
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(0, c.ret);
}

TEST_F(wait, read_waiting_sees_a_reset)
{
	struct caller c = { .z = &self->z, .region = self->region };

	start(_metadata, &c, false);
	zt_reset(_metadata, self->z.tx);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(-ECONNRESET, c.ret);
}

TEST_F(wait, read_waiting_sees_shutdown_by_another_thread)
{
	struct caller c = { .z = &self->z, .region = self->region };

	start(_metadata, &c, false);
	ASSERT_EQ(0, shutdown(self->z.rx, SHUT_RD));
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(0, c.ret);
}

TEST_F(wait, write_waiting_sees_a_reset)
{
	struct caller c = { .z = &self->z, .area = self->area };

	signal(SIGPIPE, SIG_IGN);
	fill_up(_metadata, &self->z);
	start(_metadata, &c, false);
	zt_reset(_metadata, self->z.tx);
	ASSERT_EQ(0, pthread_join(c.thread, NULL));
	ASSERT_EQ(-ECONNRESET, c.ret);
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
