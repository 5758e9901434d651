// SPDX-License-Identifier: GPL-2.0
/*
 * poll() on a context: writable as long as a send finds pages to stand in for its own. An
 * ordinary user's pages that are on their way to a peer are charged until they come home,
 * so zc_writev is ENOBUFS at the limit, and the context becomes writable when the peer
 * has read.
 *
 * timeout: 200
 */
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "zt.h"

#define LIMIT	64	/* pages that the user may have */
#define POOL	16
#define AREA	4	/* pages of one send */

FIXTURE(full)
{
	struct zt z;
	struct zcio_ctx *root;	/* whom no limit binds */
	uint64_t sent;		/* bytes */
	uint64_t got;
};

FIXTURE_VARIANT(full)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(full, lo) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(full, wire) { .path = ZT_WIRE4 };

FIXTURE_SETUP(full)
{
	struct zt *z = &self->z, sockets;
	int big = 2 << 20, small = 65536;

	self->root = zt_context();
	ASSERT_NE(NULL, self->root);
	zt_tcp(_metadata, variant->path, &sockets.rx, &sockets.tx);
	ASSERT_EQ(0, setsockopt(sockets.rx, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big)));
	ASSERT_EQ(0, setsockopt(sockets.tx, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
	zt_limited(_metadata, LIMIT);
	zt_open(_metadata, z, 0, POOL);
	z->rx = sockets.rx;
	z->tx = sockets.tx;
}

FIXTURE_TEARDOWN(full)
{
	zcio_close(self->z.ctx);
	zcio_close(self->root);
}

/* Sends @pages pages; what the call returns. */
static int send_pages(struct __test_metadata *_metadata, FIXTURE_DATA(full) *self, size_t pages)
{
	struct iovec area[1][2] = { { zt_iov(self->z.pool, ZT_PAGES(pages)),
				      zt_iov(self->z.pool, ZT_PAGES(pages)) } };
	int ret;

	zt_fill(self->z.pool, ZT_PAGES(pages), self->sent);
	ret = zt_writev(self->z.dev, self->z.rx, area, 1, NULL, ZCIO_DONTWAIT, NULL);
	if (ret == 1)
		self->sent += ZT_PAGES(pages);
	else
		ASSERT_EQ(ZT_PAGES(pages), zt_same(self->z.pool, ZT_PAGES(pages), self->sent));
	return ret;
}

/*
 * Fills the limit up to its last page, until nothing comes home any more: the peer does not
 * read. All that its window let through is acknowledged, and the window is closed: while
 * there is a byte of it left, the timer that probes it sends that byte, and may bring a
 * page home.
 */
static void fill_limit(struct __test_metadata *_metadata, FIXTURE_DATA(full) *self)
{
	for (int same = 0; same < 20;) {
		struct tcp_info info = zt_tcp_info(_metadata, self->z.rx);
		int ret = send_pages(_metadata, self, AREA);

		if (ret == -ENOBUFS)
			ret = send_pages(_metadata, self, 1);
		if (ret == 1) {
			same = 0;
			continue;
		}
		ASSERT_EQ(-ENOBUFS, ret) TH_LOG("%s", strerror(-ret));
		/* The device may still have what is acknowledged already. */
		same = info.tcpi_unacked || info.tcpi_snd_wnd ? 0 : same + 1;
		usleep(2000);
	}
	/* This is what poll() now waits for. */
	ASSERT_EQ(-ENOBUFS, send_pages(_metadata, self, AREA));
	ASSERT_LT(0, self->sent);
}

/* The peer reads all. */
static void read_all(struct __test_metadata *_metadata, FIXTURE_DATA(full) *self)
{
	zt_recv(_metadata, self->z.tx, self->sent - self->got, self->got);
	self->got = self->sent;
}

static int writable(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	int n = poll(&p, 1, timeout);

	return n == 1 ? p.revents : n;
}

TEST_F(full, limit_is_ENOBUFS_and_not_writable)
{
	struct zt *z = &self->z;

	ASSERT_EQ(POLLOUT, writable(z->dev, 0));
	fill_limit(_metadata, self);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, writable(z->dev, 0));
		ASSERT_EQ(0, writable(z->dev, 30));
		ASSERT_EQ(-ENOBUFS, send_pages(_metadata, self, AREA));
	}
	/* On their way they are charged, and seen. */
	ASSERT_EQ(LIMIT, zt_info(_metadata, z->ctx).pool_pages);
	read_all(_metadata, self);
	ASSERT_EQ(POLLOUT, writable(z->dev, -1));
	ASSERT_EQ(1, send_pages(_metadata, self, AREA));
	read_all(_metadata, self);
	zt_nothing(_metadata, z->tx);
}

/* POLLOUT means that the same send finds its pages now, however little the peer has read. */
TEST_F(full, writable_means_that_the_send_goes_through)
{
	size_t lens[] = { 1, AREA, POOL };
	int refused = 0;

	fill_limit(_metadata, self);
	for (int round = 0; round < 120; round++) {
		size_t pages = lens[round % 3];
		int ret = send_pages(_metadata, self, pages);

		while (ret == -ENOBUFS) {
			refused++;
			/* When all is read, the last pages are still on their way home. */
			if (writable(self->z.dev, self->got < self->sent ? 0 : -1)) {
				ret = send_pages(_metadata, self, pages);
				ASSERT_EQ(1, ret) TH_LOG("writable, but %s", strerror(-ret));
				break;
			}
			zt_recv(_metadata, self->z.tx, ZT_PAGE, self->got);
			self->got += ZT_PAGE;
		}
	}
	ASSERT_LT(0, refused);
	read_all(_metadata, self);
}

/* More than will ever be there is not waited for: the send that fails says so again. */
TEST_F(full, more_than_there_can_be_is_not_waited_for)
{
	struct zt *z = &self->z;
	char *more = zt_pool(_metadata, z->ctx, LIMIT - POOL - AREA);

	ASSERT_EQ(-ENOBUFS, send_pages(_metadata, self, POOL));
	ASSERT_EQ(POLLOUT, writable(z->dev, 0));
	ASSERT_EQ(1, send_pages(_metadata, self, AREA));
	/* Nothing but what is on its way can make room now. */
	ASSERT_EQ(-ENOBUFS, send_pages(_metadata, self, POOL));
	read_all(_metadata, self);
	ASSERT_EQ(POLLOUT, writable(z->dev, -1));
	ASSERT_EQ(0, zcio_unmap(more, ZT_PAGES(LIMIT - POOL - AREA)));
	ASSERT_EQ(1, send_pages(_metadata, self, POOL));
	read_all(_metadata, self);
}

/* One call takes as many payloads as there are pages for, and says how many. */
TEST_F(full, many_payloads_go_as_far_as_the_limit)
{
	enum { MORE = LIMIT - POOL - AREA };
	struct zt *z = &self->z;
	struct iovec iov[POOL][2];
	int ret;

	ASSERT_NE(NULL, zt_pool(_metadata, z->ctx, MORE));
	zt_fill(z->pool, ZT_PAGES(POOL), 0);
	for (int i = 0; i < POOL; i++) {
		iov[i][0] = zt_iov(z->pool + ZT_PAGES(i), ZT_PAGE);
		iov[i][1] = iov[i][0];
	}
	ret = zt_writev(z->dev, z->rx, iov, POOL, NULL, 0, NULL);
	ASSERT_LE(1, ret) TH_LOG("%s", strerror(-ret));
	ASSERT_EQ(ZT_PAGES(ret), zt_zeros(z->pool, ZT_PAGES(ret)));
	ASSERT_EQ(ZT_PAGES(POOL - ret),
		  zt_same(z->pool + ZT_PAGES(ret), ZT_PAGES(POOL - ret), ZT_PAGES(ret)));
	zt_recv(_metadata, z->tx, ZT_PAGES(ret), 0);
	zt_nothing(_metadata, z->tx);
}

/* What a process on this machine has received and keeps is charged to its window. */
TEST_F(full, what_a_receiver_keeps_is_not_the_senders)
{
	struct zt *z = &self->z;
	size_t at = 0;
	char *win;

	if (variant->path != ZT_LO4)
		SKIP(return, "the peer gets other pages");
	win = zt_window(_metadata, self->root, 1024);
	for (int round = 0; round < 40; round++) {
		struct zcio_payload info;
		struct iovec iov;

		ASSERT_EQ(1, send_pages(_metadata, self, AREA)) TH_LOG("round %d", round);
		while (self->got < self->sent) {
			iov = zt_iov(win + at, ZT_PAGES(AREA));
			ASSERT_EQ(1, zt_readv(z->dev, z->tx, &iov, 1, &info, 0));
			ASSERT_EQ(0, info.copied);
			ASSERT_EQ(iov.iov_len, zt_same(iov.iov_base, iov.iov_len, self->got));
			self->got += iov.iov_len;
			at += ZT_PAGES(AREA);
		}
		ASSERT_EQ(POLLOUT, writable(z->dev, 0));
	}
	ASSERT_LT(LIMIT, zt_info(_metadata, self->root).window_pages);
}

/* ---- who waits, and how ---- */

enum how {
	POLL,
	SELECT,
	LEVEL,
	EDGE,
	ONESHOT,
	NESTED,			/* an epoll in an epoll */
	HOWS
};

struct waiter {
	enum how how;
	int fd;
	int epoll, outer;
	uint32_t seen;		/* what came */
	_Atomic pid_t tid;
	pthread_t thread;
};

static void watch(struct __test_metadata *_metadata, struct waiter *w)
{
	uint32_t extra = w->how == EDGE || w->how == NESTED ? EPOLLET :
			 w->how == ONESHOT ? EPOLLONESHOT : 0;
	struct epoll_event e = { .events = EPOLLOUT | extra };

	if (w->how == POLL || w->how == SELECT)
		return;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, w->epoll);
	ASSERT_EQ(0, epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->fd, &e));
	if (w->how != NESTED)
		return;
	w->outer = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, w->outer);
	e.events = EPOLLIN;
	ASSERT_EQ(0, epoll_ctl(w->outer, EPOLL_CTL_ADD, w->epoll, &e));
}

/* One wait; 0 if the time was over. */
static uint32_t await(struct waiter *w, int timeout)
{
	struct timeval t = { .tv_usec = timeout * 1000 };
	struct epoll_event e = {};
	fd_set out;
	int n;

	switch (w->how) {
	case POLL:
		return writable(w->fd, timeout);
	case SELECT:
		FD_ZERO(&out);
		FD_SET(w->fd, &out);
		n = select(w->fd + 1, NULL, &out, NULL, timeout < 0 ? NULL : &t);
		return n == 1 && FD_ISSET(w->fd, &out) ? EPOLLOUT : 0;
	case NESTED:
		if (epoll_wait(w->outer, &e, 1, timeout) != 1)
			return 0;
		timeout = 0;
		break;
	default:
		break;
	}
	n = epoll_wait(w->epoll, &e, 1, timeout);
	return n == 1 ? e.events : 0;
}

static void *wait_run(void *arg)
{
	struct waiter *w = arg;

	w->tid = syscall(SYS_gettid);
	do {
		w->seen = await(w, -1);
	} while (!w->seen && w->how == NESTED);
	return NULL;
}

/* It is there, and sleeps. */
static void wait_start(struct __test_metadata *_metadata, struct waiter *w)
{
	w->tid = 0;
	w->seen = 0;
	ASSERT_EQ(0, pthread_create(&w->thread, NULL, wait_run, w));
	while (!w->tid)
		usleep(100);
	zt_asleep(_metadata, w->tid);
}

static void wait_join(struct __test_metadata *_metadata, struct waiter *w)
{
	ASSERT_EQ(0, pthread_join(w->thread, NULL));
	ASSERT_EQ(EPOLLOUT, w->seen);
}

static void arm_again(struct __test_metadata *_metadata, struct waiter *w)
{
	struct epoll_event e = { .events = EPOLLOUT | EPOLLONESHOT };

	if (w->how == ONESHOT)
		ASSERT_EQ(0, epoll_ctl(w->epoll, EPOLL_CTL_MOD, w->fd, &e));
}

FIXTURE(how)
{
	FIXTURE_DATA(full) full;
};

FIXTURE_VARIANT(how)
{
	enum how how;
};

FIXTURE_VARIANT_ADD(how, poll) { .how = POLL };
FIXTURE_VARIANT_ADD(how, select) { .how = SELECT };
FIXTURE_VARIANT_ADD(how, level) { .how = LEVEL };
FIXTURE_VARIANT_ADD(how, edge) { .how = EDGE };
FIXTURE_VARIANT_ADD(how, oneshot) { .how = ONESHOT };
FIXTURE_VARIANT_ADD(how, nested) { .how = NESTED };

FIXTURE_SETUP(how)
{
	static const FIXTURE_VARIANT(full) lo = { .path = ZT_LO4 };

	full_setup(_metadata, &self->full, &lo);
}

FIXTURE_TEARDOWN(how)
{
	static const FIXTURE_VARIANT(full) lo = { .path = ZT_LO4 };

	full_teardown(_metadata, &self->full, &lo);
}

TEST_F(how, wakes_each_time_that_the_peer_reads)
{
	struct waiter w = { .how = variant->how, .fd = self->full.z.dev };

	watch(_metadata, &w);
	ASSERT_EQ(EPOLLOUT, await(&w, -1));
	/* An edge is told once. */
	ASSERT_EQ(w.how < EDGE ? EPOLLOUT : 0, await(&w, 0));
	for (int round = 0; round < 5; round++) {
		arm_again(_metadata, &w);
		fill_limit(_metadata, &self->full);
		ASSERT_EQ(0, await(&w, w.how == NESTED ? 0 : 20));
		wait_start(_metadata, &w);
		read_all(_metadata, &self->full);
		wait_join(_metadata, &w);
	}
}

/* Nobody waits when the pages come home: who comes later is told all the same. */
TEST_F(how, room_that_came_before_the_wait_is_seen)
{
	struct waiter w = { .how = variant->how, .fd = self->full.z.dev };

	watch(_metadata, &w);
	ASSERT_EQ(EPOLLOUT, await(&w, -1));
	for (int round = 0; round < 5; round++) {
		arm_again(_metadata, &w);
		fill_limit(_metadata, &self->full);
		read_all(_metadata, &self->full);
		zt_acked(_metadata, self->full.z.rx);
		/* Of an epoll in an epoll both may have to be asked for. */
		while (await(&w, -1) != EPOLLOUT)
			ASSERT_EQ(NESTED, w.how);
	}
}

TEST_F(how, added_when_it_is_full)
{
	struct waiter w = { .how = variant->how, .fd = self->full.z.dev };

	fill_limit(_metadata, &self->full);
	watch(_metadata, &w);
	wait_start(_metadata, &w);
	read_all(_metadata, &self->full);
	wait_join(_metadata, &w);
}

/* Room can also come from other memory of the user's that is given back. */
TEST_F(how, memory_given_back_elsewhere_wakes)
{
	struct waiter w = { .how = variant->how, .fd = self->full.z.dev };
	enum { OTHERS = LIMIT - POOL };
	struct zcio_ctx *other = zt_context();
	char *pool;

	ASSERT_NE(NULL, other);
	pool = zt_pool(_metadata, other, OTHERS);
	ASSERT_EQ(-ENOBUFS, send_pages(_metadata, &self->full, 1));
	watch(_metadata, &w);
	wait_start(_metadata, &w);
	ASSERT_EQ(0, zcio_unmap(pool, ZT_PAGES(OTHERS)));
	wait_join(_metadata, &w);
	zcio_close(other);
	ASSERT_EQ(1, send_pages(_metadata, &self->full, 1));
	read_all(_metadata, &self->full);
}

/* ---- several, and those who go ---- */

TEST_F(full, several_waiters_are_all_woken)
{
	struct waiter w[2 * HOWS];

	fill_limit(_metadata, self);
	for (int i = 0; i < 2 * HOWS; i++) {
		w[i] = (struct waiter){ .how = i % HOWS, .fd = self->z.dev };
		watch(_metadata, &w[i]);
		wait_start(_metadata, &w[i]);
	}
	read_all(_metadata, self);
	for (int i = 0; i < 2 * HOWS; i++)
		wait_join(_metadata, &w[i]);
}

/* poll() looks again, and sees it. */
TEST_F(full, context_closed_while_it_is_polled)
{
	struct waiter w = { .how = POLL, .fd = self->z.dev };

	fill_limit(_metadata, self);
	wait_start(_metadata, &w);
	zcio_close(self->z.ctx);
	self->z.ctx = NULL;
	ASSERT_EQ(0, pthread_join(w.thread, NULL));
	ASSERT_EQ(POLLNVAL, w.seen);
	read_all(_metadata, self);
}

/* A duplicate keeps it open; an epoll goes on by either. */
TEST_F(full, descriptor_closed_while_another_is_there)
{
	struct waiter w = { .how = EDGE, .fd = self->z.dev };
	int other = dup(self->z.dev);

	ASSERT_LE(0, other);
	fill_limit(_metadata, self);
	watch(_metadata, &w);
	wait_start(_metadata, &w);
	zcio_close(self->z.ctx);
	self->z.ctx = NULL;
	zt_asleep(_metadata, w.tid);
	read_all(_metadata, self);
	wait_join(_metadata, &w);
	close(other);
}

/* A context that is gone while the tick is on its way takes it along. */
TEST_F(full, context_and_pool_gone_while_epoll_waits)
{
	struct waiter w = { .how = EDGE, .fd = self->z.dev };

	fill_limit(_metadata, self);
	watch(_metadata, &w);
	ASSERT_EQ(2, zt_info(_metadata, self->root).total_contexts);
	ASSERT_EQ(0, zcio_unmap(self->z.pool, ZT_PAGES(POOL)));
	zcio_close(self->z.ctx);
	self->z.ctx = NULL;
	ASSERT_EQ(1, zt_info(_metadata, self->root).total_contexts);
	zt_settled(_metadata, self->root, 0, 0);
	ASSERT_EQ(0, await(&w, 20));
	read_all(_metadata, self);
}

/* Many contexts come and go with somebody who polls them at the limit. */
TEST_F(full, contexts_come_and_go_while_polled)
{
	struct pollfd p[8] = {};

	fill_limit(_metadata, self);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 8; i++) {
			struct zcio_ctx *c = zt_context();

			ASSERT_NE(NULL, c);
			p[i] = (struct pollfd){ .fd = zcio_ctx_fd(c), .events = POLLOUT };
			free(c);
		}
		ASSERT_EQ(0, poll(p, 8, round % 8));
		for (int i = 0; i < 8; i++)
			close(p[i].fd);
	}
	ASSERT_EQ(2, zt_info(_metadata, self->root).total_contexts);
	read_all(_metadata, self);
}

TEST_F(full, poller_killed)
{
	struct waiter w = { .how = POLL, .fd = self->z.dev };
	pid_t child;
	int status;

	fill_limit(_metadata, self);
	for (int how = 0; how < HOWS; how++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			w.how = how;
			watch(_metadata, &w);
			wait_run(&w);
			_exit(1);
		}
		zt_asleep(_metadata, child);
		ASSERT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	w.how = POLL;
	wait_start(_metadata, &w);
	read_all(_metadata, self);
	wait_join(_metadata, &w);
}

/* A child has the descriptor, though not the pool; it waits as well as anybody. */
TEST_F(full, child_polls_what_it_inherited)
{
	struct waiter w = { .how = POLL, .fd = self->z.dev };
	pid_t child;
	int status;

	fill_limit(_metadata, self);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		wait_run(&w);
		_exit(w.seen != EPOLLOUT);
	}
	zt_asleep(_metadata, child);
	read_all(_metadata, self);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
}

/* ---- without a pool, and without a limit ---- */

TEST(context_without_a_pool_is_writable_while_one_could_be_mapped)
{
	struct zt z = {}, other = {};
	char *pool;

	zt_limited(_metadata, LIMIT);
	zt_open(_metadata, &z, 0, 0);
	zt_open(_metadata, &other, 0, 0);
	ASSERT_EQ(POLLOUT, writable(z.dev, -1));
	pool = zt_pool(_metadata, other.ctx, LIMIT);
	ASSERT_EQ(0, writable(z.dev, 10));
	ASSERT_EQ(NULL, zcio_pool(z.ctx, ZT_PAGE));
	ASSERT_EQ(ENOBUFS, errno);
	ASSERT_EQ(0, zcio_unmap(pool, ZT_PAGES(LIMIT)));
	ASSERT_EQ(POLLOUT, writable(z.dev, -1));
}

TEST(capable_user_is_always_writable)
{
	struct rlimit none = { 0, 0 };
	struct zt z = {};

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	zt_open(_metadata, &z, 0, 16);
	ASSERT_EQ(POLLOUT, writable(z.dev, -1));
}

TEST_HARNESS_MAIN
