// SPDX-License-Identifier: GPL-2.0
/*
 * Ten thousand connections on one context: each one's payloads are received into one
 * window and sent from one pool, and all of them are there at the same time.
 *
 * timeout: 400
 */
#include <sys/resource.h>

#include "zt.h"

#define MANY		10000
#define MANY_DEBUG	2000	/* on the debug kernel, whose memory they fill */
#define LEN		1500	/* bytes each way and connection */

/* Where the stream of connection @i begins, in each direction. */
static uint64_t begins(int i, bool back)
{
	return (2ULL * i + back) * 100003;
}

static void wait_for(struct __test_metadata *_metadata, int fd)
{
	char c;

	ASSERT_EQ(1, read(fd, &c, 1));
}

static void tell(struct __test_metadata *_metadata, int fd)
{
	ASSERT_EQ(1, write(fd, "", 1));
}

/* The other process: connects, sends on all, and when all was sent back compares. */
static void peer(struct __test_metadata *_metadata, struct zt_addr to, int count, int go, int done)
{
	int *fd = malloc(count * sizeof(*fd));

	ASSERT_NE(NULL, fd);
	for (int i = 0; i < count; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ASSERT_LE(0, fd[i]) TH_LOG("socket %d: %m", i);
		ASSERT_EQ(0, connect(fd[i], &to.sa, to.len)) TH_LOG("connection %d: %m", i);
	}
	for (int i = 0; i < count; i++)
		zt_send(_metadata, fd[i], LEN, begins(i, false));
	tell(_metadata, done);
	wait_for(_metadata, go);
	for (int i = 0; i < count; i++) {
		zt_recv(_metadata, fd[i], LEN, begins(i, true));
		zt_nothing(_metadata, fd[i]);
	}
	free(fd);
}

/* One call takes all that came; it is in one page or two, which stay. */
static void receive(struct __test_metadata *_metadata, struct zt *z, int i)
{
	struct iovec iov[2] = { zt_iov(z->win + ZT_PAGES(2 * i), ZT_PAGE),
				zt_iov(z->win + ZT_PAGES(2 * i + 1), ZT_PAGE) };
	size_t got = 0;
	int n;

	zt_arrived(_metadata, z->rx, LEN);
	n = zt_readv(z->dev, z->rx, iov, 2, NULL, 0);
	ASSERT_LT(0, n) TH_LOG("connection %d: %s", i, strerror(-n));
	for (int k = 0; k < n; k++) {
		ASSERT_EQ(iov[k].iov_len, zt_same(iov[k].iov_base, iov[k].iov_len,
						  begins(i, false) + got)) TH_LOG("connection %d", i);
		got += iov[k].iov_len;
	}
	ASSERT_EQ(LEN, got);
}

/* Its payload is still where it was: found behind the zeros that the page begins with. */
static void still_there(struct __test_metadata *_metadata, struct zt *z, int i)
{
	size_t got = 0;

	for (int page = 0; page < 2; page++) {
		char *p = z->win + ZT_PAGES(2 * i + page);
		size_t at = zt_zeros(p, ZT_PAGE), left = ZT_PAGE - at;
		size_t n = zt_same(p + at, left < LEN - got ? left : LEN - got, begins(i, false) + got);

		got += n;
		ASSERT_EQ(left - n, zt_zeros(p + at + n, left - n));
	}
	ASSERT_EQ(LEN, got) TH_LOG("connection %d", i);
}

static void send_back(struct __test_metadata *_metadata, struct zt *z, int i)
{
	struct iovec area[1][2] = { { zt_iov(z->pool + ZT_PAGES(i % 16), ZT_PAGE),
				      zt_iov(z->pool + ZT_PAGES(i % 16) + i % 2000, LEN) } };
	int n;

	zt_fill(area[0][1].iov_base, LEN, begins(i, true));
	n = zt_writev(z->dev, z->rx, area, 1, NULL, 0, NULL);
	ASSERT_EQ(1, n) TH_LOG("connection %d: %s", i, strerror(-n));
}

FIXTURE(scale)
{
	int unused;
};

FIXTURE_SETUP(scale)
{
}

FIXTURE_TEARDOWN(scale)
{
}

TEST_F_TIMEOUT(scale, ten_thousand_connections_on_one_context, 350)
{
	int count = zt_debug() ? MANY_DEBUG : MANY;
	struct rlimit files = { 2 * MANY + 100, 2 * MANY + 100 };
	struct zt_addr at = zt_addr(_metadata, ZT_LO4, false);
	int *fd = malloc(count * sizeof(*fd)), go[2], done[2], listener, status;
	struct zcio_info info;
	struct zt z = {};
	pid_t child;

	ASSERT_NE(NULL, fd);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	listener = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);
	ASSERT_EQ(0, bind(listener, &at.sa, at.len));
	ASSERT_EQ(0, listen(listener, 4096));
	ASSERT_EQ(0, getsockname(listener, &at.sa, &at.len));
	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(done, O_CLOEXEC));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(listener);
		peer(_metadata, at, count, go[0], done[1]);
		_exit(0);
	}
	zt_open(_metadata, &z, 2 * count, 16);
	/* They were made one after the other, and come in that order. */
	for (int i = 0; i < count; i++) {
		fd[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ASSERT_LE(0, fd[i]) TH_LOG("connection %d: %m", i);
	}
	wait_for(_metadata, done[0]);

	for (int i = 0; i < count; i++) {
		z.rx = fd[i];
		receive(_metadata, &z, i);
	}
	info = zt_info(_metadata, z.ctx);
	ASSERT_EQ(count, info.rx.calls);
	ASSERT_EQ((uint64_t)count * LEN, info.rx.mapped + info.rx.copied);
	ASSERT_LE(count, info.window_pages);
	ASSERT_GE(2 * count, info.window_pages);
	for (int i = 0; i < count; i++) {
		z.rx = fd[i];
		send_back(_metadata, &z, i);
	}
	info = zt_info(_metadata, z.ctx);
	ASSERT_EQ(count, info.tx.payloads);
	ASSERT_EQ((uint64_t)count * LEN, info.tx.mapped + info.tx.copied);
	TH_LOG("%d connections: received %llu bytes mapped, %llu copied, into %llu pages; "
	       "sent %llu mapped, %llu copied; the pool has %llu pages", count,
	       (unsigned long long)info.rx.mapped, (unsigned long long)info.rx.copied,
	       (unsigned long long)info.window_pages, (unsigned long long)info.tx.mapped,
	       (unsigned long long)info.tx.copied, (unsigned long long)info.pool_pages);
	tell(_metadata, go[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);

	for (int i = 0; i < count; i++)
		still_there(_metadata, &z, i);
	for (int i = 0; i < count; i++)
		close(fd[i]);
	for (int i = 0; i < count; i++)
		still_there(_metadata, &z, i);
	ASSERT_EQ(0, zcio_unmap(z.win, ZT_PAGES(2 * count)));
	ASSERT_EQ(0, zcio_unmap(z.pool, ZT_PAGES(16)));
	zt_settled(_metadata, z.ctx, 0, 0);
	zcio_close(z.ctx);
	free(fd);
}

TEST_HARNESS_MAIN
