// SPDX-License-Identifier: GPL-2.0
/*
 * zc_readv in an event loop: what epoll says of a socket, and what the call gives then,
 * level- and edge-triggered, with SO_RCVLOWAT, at the end of a stream and after a reset;
 * and one socket that several processes read.
 */
#include <sys/epoll.h>

#include "udp.h"

struct loop {
	struct zt *z;
	int epoll;
	size_t got;		/* bytes of the stream, or datagrams */
};

static void watch(struct __test_metadata *_metadata, struct loop *l, uint32_t extra)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | extra };

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, l->epoll);
	ASSERT_EQ(0, epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->z->rx, &e));
}

static uint32_t next(struct loop *l, int timeout)
{
	struct epoll_event e = {};

	return epoll_wait(l->epoll, &e, 1, timeout) == 1 ? e.events : 0;
}

/* Receives until the call would wait; what it returned last. */
static int drain(struct __test_metadata *_metadata, struct loop *l)
{
	int n;

	for (;;) {
		struct iovec iov = zt_iov(l->z->win, ZT_PAGES(2));

		n = zt_readv(l->z->dev, l->z->rx, &iov, 1, NULL, ZCIO_DONTWAIT);
		if (n <= 0)
			return n;
		ASSERT_EQ(iov.iov_len, zt_same(iov.iov_base, iov.iov_len, l->got));
		l->got += iov.iov_len;
	}
}

FIXTURE(tcp)
{
	struct zt z;
	struct loop l;
};

FIXTURE_VARIANT(tcp)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(tcp, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(tcp, wire6) { .path = ZT_WIRE6 };

FIXTURE_SETUP(tcp)
{
	zt_open(_metadata, &self->z, 64, 0);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	self->l.z = &self->z;
}

FIXTURE_TEARDOWN(tcp)
{
	zcio_close(self->z.ctx);
}

TEST_F(tcp, level_triggered_epoll_goes_on_until_all_is_taken)
{
	struct loop *l = &self->l;

	watch(_metadata, l, 0);
	ASSERT_EQ(0, next(l, 0));
	zt_send(_metadata, self->z.tx, 50000, 0);
	zt_arrived(_metadata, self->z.rx, 50000);
	while (l->got < 50000) {
		struct iovec iov = zt_iov(self->z.win, ZT_PAGES(2));

		ASSERT_EQ(EPOLLIN, next(l, 0));
		ASSERT_EQ(1, zt_readv(self->z.dev, self->z.rx, &iov, 1, NULL, 0));
		l->got += iov.iov_len;
	}
	ASSERT_EQ(0, next(l, 0));
}

TEST_F(tcp, edge_triggered_epoll_tells_of_what_comes_after_EAGAIN)
{
	struct loop *l = &self->l;

	watch(_metadata, l, EPOLLET);
	for (int round = 1; round <= 20; round++) {
		zt_send(_metadata, self->z.tx, 7001, (round - 1) * 7001);
		while (l->got < round * 7001) {
			ASSERT_EQ(EPOLLIN, next(l, -1));
			ASSERT_EQ(-EAGAIN, drain(_metadata, l));
		}
		zt_nothing(_metadata, self->z.rx);
	}
}

TEST_F(tcp, SO_RCVLOWAT_is_the_same_for_epoll_and_the_call)
{
	struct loop *l = &self->l;
	int low = 6000;

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)));
	watch(_metadata, l, 0);
	zt_send(_metadata, self->z.tx, low - 1, 0);
	zt_arrived(_metadata, self->z.rx, low - 1);
	ASSERT_EQ(0, next(l, 0));
	zt_send(_metadata, self->z.tx, 1, low - 1);
	ASSERT_EQ(EPOLLIN, next(l, -1));
	ASSERT_EQ(-EAGAIN, drain(_metadata, l));
	ASSERT_EQ(low, l->got);
	ASSERT_EQ(0, next(l, 0));
}

TEST_F(tcp, end_of_the_stream_is_told_behind_its_bytes)
{
	struct loop *l = &self->l;

	watch(_metadata, l, 0);
	zt_send(_metadata, self->z.tx, 9000, 0);
	ASSERT_EQ(0, shutdown(self->z.tx, SHUT_WR));
	while (!(next(l, -1) & EPOLLRDHUP))
		;
	ASSERT_EQ(0, drain(_metadata, l));
	ASSERT_EQ(9000, l->got);
	/* And stays so. */
	ASSERT_EQ(EPOLLIN | EPOLLRDHUP, next(l, -1));
	ASSERT_EQ(0, drain(_metadata, l));
}

TEST_F(tcp, reset_is_told_and_the_call_says_so_once)
{
	struct loop *l = &self->l;

	watch(_metadata, l, EPOLLET);
	zt_reset(_metadata, self->z.tx);
	while (!(next(l, -1) & EPOLLERR))
		;
	ASSERT_EQ(-ECONNRESET, drain(_metadata, l));
	ASSERT_EQ(0, drain(_metadata, l));
}

/* ---- UDP ---- */

TEST_F(udp, edge_triggered_epoll_tells_of_what_comes_after_EAGAIN)
{
	struct dg *d = &self->d;
	struct loop l = { .z = &d->z };

	watch(_metadata, &l, EPOLLET);
	for (int round = 0; round < 20; round++) {
		struct iovec iov = zt_iov(d->z.win, ZT_PAGES(32));

		dg_send(_metadata, d, 1 + 333 * round);
		dg_send(_metadata, d, 5000);
		while (d->got < d->sent) {
			ASSERT_EQ(EPOLLIN, next(&l, -1));
			while (recv(d->z.rx, NULL, 0, MSG_PEEK | MSG_DONTWAIT) == 0)
				dg_call(_metadata, d, 8, 4);
		}
		zt_nothing(_metadata, d->z.rx);
		ASSERT_EQ(-EAGAIN, zt_readv(d->z.dev, d->z.rx, &iov, 1, NULL, ZCIO_DONTWAIT));
	}
}

#define READERS		4
#define DATAGRAMS	2000

/* Each process has a window of its own, and says the number of each datagram that it got. */
static void read_numbers(struct zt *z, int say, int stop)
{
	char *win = mmap(NULL, ZT_PAGES(16), PROT_READ, MAP_SHARED, z->dev, ZCIO_MMAP_WINDOW);
	struct pollfd p[2] = { { .fd = z->rx, .events = POLLIN }, { .fd = stop, .events = POLLIN } };

	if (win == MAP_FAILED)
		_exit(2);
	while (poll(p, 2, -1) > 0) {
		struct iovec iov[4];
		int n;

		zt_regions(iov, win, 4, 4);
		n = zt_readv(z->dev, z->rx, iov, 4, NULL, ZCIO_DONTWAIT);
		if (n == -EAGAIN && p[1].revents)
			_exit(0);
		if (n == -EAGAIN)
			continue;
		if (n < 0)
			_exit(3);
		for (int i = 0; i < n; i++) {
			const uint32_t *number = iov[i].iov_base;

			if (iov[i].iov_len != 1000 ||
			    zt_same(number + 1, 996, *number) != 996 ||
			    write(say, number, 4) != 4)
				_exit(4);
		}
	}
	_exit(5);
}

TEST_F(udp, each_datagram_comes_to_one_of_several_processes)
{
	static unsigned char seen[DATAGRAMS];
	struct zt *z = &self->d.z;
	pid_t child[READERS];
	int say[2], stop[2], status;
	uint32_t number;

	ASSERT_EQ(0, pipe2(say, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(stop, O_CLOEXEC));
	for (int i = 0; i < READERS; i++) {
		child[i] = fork();
		ASSERT_LE(0, child[i]);
		if (!child[i]) {
			close(stop[1]);
			read_numbers(z, say[1], stop[0]);
		}
	}
	close(stop[0]);
	close(say[1]);
	for (uint32_t i = 0; i < DATAGRAMS; i++) {
		unsigned char buf[1000];

		memcpy(buf, &i, 4);
		zt_fill(buf + 4, 996, i);
		ASSERT_EQ(1000, send(z->tx, buf, 1000, 0));
		/* Their answers say how far they are, so that nothing is dropped. */
		if (i >= 100) {
			ASSERT_EQ(4, read(say[0], &number, 4));
			ASSERT_GT(DATAGRAMS, number);
			seen[number]++;
		}
	}
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(4, read(say[0], &number, 4));
		ASSERT_GT(DATAGRAMS, number);
		seen[number]++;
	}
	close(stop[1]);
	for (int i = 0; i < READERS; i++) {
		ASSERT_EQ(child[i], waitpid(child[i], &status, 0));
		ASSERT_EQ(0, status);
	}
	ASSERT_EQ(0, read(say[0], &number, 4)) TH_LOG("one more: %u", number);
	for (int i = 0; i < DATAGRAMS; i++) {
		ASSERT_EQ(1, seen[i]) TH_LOG("datagram %d", i);
	}
	zt_nothing(_metadata, z->rx);
}

TEST_HARNESS_MAIN
