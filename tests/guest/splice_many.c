// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing many sockets at once: small and large buffers, slow ends, connections that come
 * late, and ends of every kind at any moment. Every byte that arrives is looked at.
 * timeout: 600
 */
#include <linux/sockios.h>
#include <time.h>

#include "splice.h"

#define LINKS	60		/* more with ZCIO_SPLICES=, … */
#define MOST_LINKS	2000
#define STEPS	4000		/* … for so long: ZCIO_SECONDS= */

FIXTURE(many)
{
	struct sp sp;
};

FIXTURE_SETUP(many)
{
	struct rlimit files = { 30000, 30000 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	sp_open(_metadata, &self->sp, ZT_LO4, ZT_LO4);
}

FIXTURE_TEARDOWN(many)
{
	zcio_close(self->sp.ctx);
}

/* ---- buffers, slow ends ---- */

static void buffers(struct __test_metadata *_metadata, struct sp *sp, int size)
{
	int fds[] = { sp->from, sp->source, sp->drain, sp->to };

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
		ASSERT_EQ(0, setsockopt(fds[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	}
}

/* Bytes in pieces of any size, read in pieces of any size. */
static void pieces(struct __test_metadata *_metadata, struct sp *sp, size_t all, uint32_t most)
{
	static unsigned char buf[300000];
	uint64_t seed = most;

	sp_start(_metadata, sp, 0, 0);
	while (sp->got < all) {
		uint32_t in = 1 + zt_draw(&seed, most), out = 1 + zt_draw(&seed, most);
		ssize_t n;

		if (in > all - sp->sent)
			in = all - sp->sent;
		zt_fill(buf, in, sp->sent);
		n = send(sp->from, buf, in, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sp->sent += n;
		n = recv(sp->to, buf, out, MSG_DONTWAIT);
		if (n > 0) {
			ASSERT_EQ(n, zt_same(buf, n, sp->got));
			sp->got += n;
		} else {
			ASSERT_EQ(-1, n);
			ASSERT_EQ(EAGAIN, errno);
			sched_yield();
		}
	}
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, all);
}

TEST_F(many, tiny_buffers)
{
	buffers(_metadata, &self->sp, 1);
	pieces(_metadata, &self->sp, 100000, 3000);
}

TEST_F(many, huge_buffers)
{
	buffers(_metadata, &self->sp, 16 << 20);
	pieces(_metadata, &self->sp, 20 << 20, 300000);
}

TEST_F(many, single_bytes)
{
	pieces(_metadata, &self->sp, 1000, 1);
}

TEST_F_TIMEOUT(many, slow_reader, 120)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	sp_fill(_metadata, sp);
	while (sp->got < sp->sent) {
		size_t n = sp->sent - sp->got < 100000 ? sp->sent - sp->got : 100000;

		sp_recv(_metadata, sp, sp->to, n);
		usleep(1000);
	}
}

/* ---- connections that come late ---- */

/* A connection to @listener whose queue is full: it is not there yet. */
static int late(struct __test_metadata *_metadata, const struct zt_addr *to)
{
	int fd = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);

	zt_nonblock(_metadata, fd, true);
	ASSERT_EQ(-1, connect(fd, &to->sa, to->len));
	ASSERT_EQ(EINPROGRESS, errno);
	return fd;
}

TEST_F(many, drain_that_connects_late)
{
	struct sp *sp = &self->sp;
	struct zt_addr here = zt_addr(_metadata, ZT_LO4, false);
	int listener = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);
	int fds[4], n = 0, to = -1;
	struct zcio_splice_status status;
	struct pollfd p;

	ASSERT_EQ(0, bind(listener, &here.sa, here.len));
	ASSERT_EQ(0, listen(listener, 0));
	ASSERT_EQ(0, getsockname(listener, &here.sa, &here.len));
	/* Connect until one stays on its way. */
	do {
		fds[n] = late(_metadata, &here);
		p = (struct pollfd) { .fd = fds[n++], .events = POLLOUT };
	} while (poll(&p, 1, 200) == 1 && n < 4);
	sp->drain = fds[n - 1];
	sp_queue(_metadata, sp, 5000);
	sp_start(_metadata, sp, 0, 0);
	status = sp_status(_metadata, sp, sp->handle);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, status.state);
	for (int i = 0; i < n; i++)
		to = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	sp_recv(_metadata, sp, to, 5000);
	zt_send(_metadata, sp->from, 500, 5000);
	zt_recv(_metadata, to, 500, 5000);
}

TEST_F(many, drain_that_is_refused)
{
	struct sp *sp = &self->sp;
	struct zt_addr here = zt_addr(_metadata, ZT_LO4, false);
	int listener = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);
	int fds[4], n = 0;
	struct pollfd p;

	ASSERT_EQ(0, bind(listener, &here.sa, here.len));
	ASSERT_EQ(0, listen(listener, 0));
	ASSERT_EQ(0, getsockname(listener, &here.sa, &here.len));
	do {
		fds[n] = late(_metadata, &here);
		p = (struct pollfd) { .fd = fds[n++], .events = POLLOUT };
	} while (poll(&p, 1, 200) == 1 && n < 4);
	sp->drain = fds[n - 1];
	sp_queue(_metadata, sp, 5000);
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, close(listener));
	sp_ends(_metadata, sp, ZCIO_SPLICE_DRAIN, EPIPE, 0);
	ASSERT_EQ(ECONNREFUSED, sp_error(_metadata, sp->drain));
	sp_recv(_metadata, sp, sp->source, 5000);
}

/* ---- many ---- */

struct link {
	struct sp sp;
	bool open;
};

static void link_open(struct __test_metadata *_metadata, struct link *l, struct zcio_ctx *ctx)
{
	l->sp = (struct sp) { .ctx = ctx, .dev = zcio_ctx_fd(ctx) };
	zt_tcp(_metadata, ZT_LO4, &l->sp.source, &l->sp.from);
	zt_tcp(_metadata, ZT_LO6, &l->sp.drain, &l->sp.to);
	sp_start(_metadata, &l->sp, 0, 0);
	l->open = true;
}

/* Some bytes in, some out. */
static void link_move(struct __test_metadata *_metadata, struct link *l, uint64_t *seed)
{
	static unsigned char buf[65536];
	ssize_t n = zt_draw(seed, sizeof(buf));

	zt_fill(buf, n, l->sp.sent);
	n = send(l->sp.from, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		l->sp.sent += n;
	n = recv(l->sp.to, buf, zt_draw(seed, sizeof(buf)), MSG_DONTWAIT);
	if (n > 0) {
		ASSERT_EQ(n, zt_same(buf, n, l->sp.got));
		l->sp.got += n;
	}
}

/* What arrives after an end is still the stream, and no more than was told. */
static void link_close(struct __test_metadata *_metadata, struct link *l, uint64_t *seed)
{
	static unsigned char buf[65536];
	struct zcio_splice_status status;
	struct sp *sp = &l->sp;
	int how = zt_draw(seed, 8);
	ssize_t n;

	switch (how) {
	case 0:
		close(sp->from);
		sp->from = -1;
		break;
	case 1:
		close(sp->source);
		sp->source = -1;
		break;
	case 2:
		close(sp->drain);
		sp->drain = -1;
		break;
	case 3:
		zt_reset(_metadata, sp->from);
		sp->from = -1;
		break;
	case 4:
		zt_reset(_metadata, sp->to);
		sp->to = -1;
		break;
	case 5:
		shutdown(sp->drain, SHUT_WR);
		break;
	case 6:
		shutdown(sp->source, SHUT_RD);
		break;
	default:
		ASSERT_EQ(0, sp_stop(sp, sp->handle, NULL));
		break;
	}
	if (sp->to >= 0 && how != 0 && how != 3 && how != 6) {
		status = sp_end(_metadata, sp);
		while (sp->got < status.moved) {
			n = recv(sp->to, buf, sizeof(buf), 0);
			/* An end that discards what is queued resets the connection. */
			if (n <= 0)
				break;
			ASSERT_EQ(n, zt_same(buf, n, sp->got));
			sp->got += n;
			ASSERT_GE(status.moved, sp->got);
		}
		if (how == 7)
			ASSERT_EQ(status.moved, sp->got);
	}
	close(sp->handle);
	close(sp->from);
	close(sp->source);
	close(sp->drain);
	close(sp->to);
	l->open = false;
}

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? atol(text) : otherwise;
}

TEST_F_TIMEOUT(many, ends_of_all_kinds_at_any_moment, 900)
{
	long count = setting("ZCIO_SPLICES", LINKS), seconds = setting("ZCIO_SECONDS", 0);
	unsigned long long opened = 0, closed = 0, bytes = 0;
	struct zcio_ctx *ctx = self->sp.ctx;
	static struct link links[MOST_LINKS];
	uint64_t seed = time(NULL);
	time_t end = seed + seconds;

	TH_LOG("seed %llu", (unsigned long long)seed);
	ASSERT_GE(MOST_LINKS, count);
	for (long step = 0; seconds ? time(NULL) < end : step < STEPS; step++) {
		struct link *l = &links[zt_draw(&seed, count)];

		if (!l->open) {
			link_open(_metadata, l, ctx);
			opened++;
		} else if (!zt_draw(&seed, 20)) {
			link_close(_metadata, l, &seed);
			closed++;
			bytes += l->sp.got;
		} else {
			link_move(_metadata, l, &seed);
		}
	}
	TH_LOG("%llu splices were opened, %llu closed, which had moved %llu bytes", opened, closed, bytes);
	for (int i = 0; i < count; i++)
		if (links[i].open)
			link_close(_metadata, &links[i], &seed);
}

/* Each socket is the source of one and the drain of another: a context holds ten thousand. */
TEST_F_TIMEOUT(many, ten_thousand, 250)
{
	enum { PAIRS = 5000 };
	struct sp *sp = &self->sp;
	static int fds[2 * PAIRS];
	struct zt_addr here = zt_addr(_metadata, ZT_LO4, false);
	int listener = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);

	ASSERT_EQ(0, bind(listener, &here.sa, here.len));
	ASSERT_EQ(0, listen(listener, 10));
	ASSERT_EQ(0, getsockname(listener, &here.sa, &here.len));
	for (int i = 0; i < 2 * PAIRS; i += 2) {
		fds[i] = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);
		ASSERT_EQ(0, connect(fds[i], &here.sa, here.len));
		fds[i + 1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ASSERT_LE(0, fds[i + 1]);
	}
	/* A chain through all of them: in at the first connection, out at the last one. */
	for (int i = 1; i + 1 < 2 * PAIRS; i += 2) {
		ASSERT_EQ(0, sp_call(sp, fds[i], fds[i + 1], 0, 0, 0));
		ASSERT_EQ(0, sp_call(sp, fds[i + 1], fds[i], 0, 0, 0));
	}
	zt_send(_metadata, fds[0], 1000, 0);
	zt_recv(_metadata, fds[2 * PAIRS - 1], 1000, 0);
	zt_send(_metadata, fds[2 * PAIRS - 1], 1000, 7);
	zt_recv(_metadata, fds[0], 1000, 7);
	/* All at once, with the context. */
	zcio_close(sp->ctx);
	sp->ctx = zcio_open();
	for (int i = 0; i < 2 * PAIRS; i++)
		sp_no_ulp(_metadata, fds[i]);
}

TEST_HARNESS_MAIN
