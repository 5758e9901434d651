// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing many sockets at once: small and large buffers, slow ends, connections that come
 * late, and ends of every kind at any moment. Every byte that arrives is looked at.
 * timeout: 600
 */
#include <linux/sockios.h>
#include <time.h>

#include "splice.h"

/* More of them with ZCIO_SPLICES=, for so long: ZCIO_SECONDS= (make soak-splice). */
#define LINKS		60
#define MOST_LINKS	4000
#define STEPS		4000

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

/* What can happen to a link. */
enum end {
	FROM_CLOSED,
	FROM_RESET,
	SOURCE_CLOSED,
	SOURCE_SHUT,
	DRAIN_CLOSED,
	DRAIN_SHUT,
	TO_RESET,
	STOPPED,
	ENDS,
};

static const char *const end_names[ENDS] = {
	"sender closed", "sender reset", "source closed", "source shut down",
	"drain closed", "drain shut down", "receiver reset", "stopped by hand",
};

static struct {
	unsigned long long opened, sent, arrived, copied, ends[ENDS];
} total;

/* One in four comes and goes over the wire. */
static void link_open(struct __test_metadata *_metadata, struct sp *sp, struct zcio_ctx *ctx)
{
	bool wire = total.opened++ % 4 == 0;

	*sp = (struct sp) { .ctx = ctx, .dev = zcio_ctx_fd(ctx) };
	zt_tcp(_metadata, wire ? ZT_WIRE6 : ZT_LO4, &sp->source, &sp->from);
	zt_tcp(_metadata, wire ? ZT_WIRE4 : ZT_LO6, &sp->drain, &sp->to);
	sp_start(_metadata, sp, 0, 0);
}

/* What has arrived must be the stream. False at the end, or if there is nothing yet. */
static bool link_read(struct __test_metadata *_metadata, struct sp *sp, size_t most, int flags)
{
	static unsigned char buf[65536];
	ssize_t n = recv(sp->to, buf, most < sizeof(buf) ? most : sizeof(buf), flags);

	if (n <= 0)
		return false;
	ASSERT_EQ(n, zt_same(buf, n, sp->got)) {
		TH_LOG("byte %llu is not the stream's", (unsigned long long)sp->got);
	}
	sp->got += n;
	return true;
}

/* Some bytes in, some out. */
static void link_move(struct __test_metadata *_metadata, struct sp *sp, uint64_t *seed)
{
	static unsigned char buf[65536];
	ssize_t n = 1 + zt_draw(seed, sizeof(buf));

	zt_fill(buf, n, sp->sent);
	n = send(sp->from, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		sp->sent += n;
	link_read(_metadata, sp, 1 + zt_draw(seed, sizeof(buf)), MSG_DONTWAIT);
}

/* Reads until the splice is over, and then what was moved by then: all of it is there. */
static struct zcio_splice_status link_rest(struct __test_metadata *_metadata, struct sp *sp)
{
	struct pollfd p[] = {
		{ .fd = sp->handle, .events = POLLIN },
		{ .fd = sp->to, .events = POLLIN },
	};
	struct zcio_splice_status status;

	do {
		ASSERT_LE(1, poll(p, 2, -1));
		link_read(_metadata, sp, SIZE_MAX, MSG_DONTWAIT);
	} while (!p[0].revents);
	status = sp_status(_metadata, sp, sp->handle);
	while (sp->got < status.moved)
		ASSERT_TRUE(link_read(_metadata, sp, SIZE_MAX, 0));
	ASSERT_EQ(status.moved, sp->got);
	return status;
}

/* It ends: what was sent arrives, if that can be; never anything else, nor more. */
static void link_end(struct __test_metadata *_metadata, struct sp *sp, enum end how)
{
	static const unsigned int states[ENDS] = {
		[FROM_CLOSED] = ZCIO_SPLICE_EOF, [SOURCE_SHUT] = ZCIO_SPLICE_EOF,
		[FROM_RESET] = ZCIO_SPLICE_SOURCE, [STOPPED] = ZCIO_SPLICE_STOPPED,
		[SOURCE_CLOSED] = ZCIO_SPLICE_CLOSED, [DRAIN_CLOSED] = ZCIO_SPLICE_CLOSED,
		[DRAIN_SHUT] = ZCIO_SPLICE_DRAIN, [TO_RESET] = ZCIO_SPLICE_DRAIN,
	};
	struct zcio_splice_status status;

	switch (how) {
	case FROM_CLOSED:
		close(sp->from);
		sp->from = -1;
		break;
	case FROM_RESET:
		zt_reset(_metadata, sp->from);
		sp->from = -1;
		break;
	case SOURCE_CLOSED:
		close(sp->source);
		sp->source = -1;
		break;
	case SOURCE_SHUT:
		ASSERT_EQ(0, shutdown(sp->source, SHUT_RD));
		break;
	case DRAIN_CLOSED:
		close(sp->drain);
		sp->drain = -1;
		break;
	case DRAIN_SHUT:
		ASSERT_EQ(0, shutdown(sp->drain, SHUT_WR));
		break;
	case TO_RESET:
		zt_reset(_metadata, sp->to);
		sp->to = -1;
		break;
	default:
		ASSERT_EQ(0, sp_stop(sp, sp->handle, NULL));
		break;
	}
	status = sp->to < 0 ? sp_end(_metadata, sp) : link_rest(_metadata, sp);
	ASSERT_EQ(states[how], status.state) TH_LOG("after: %s", end_names[how]);
	if (how == FROM_CLOSED)
		ASSERT_EQ(sp->sent, sp->got);
	total.ends[how]++;
	total.sent += sp->sent;
	total.arrived += sp->got;
	total.copied += status.copied;
	close(sp->handle);
	close(sp->from);
	close(sp->source);
	close(sp->drain);
	close(sp->to);
}

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? atol(text) : otherwise;
}

/* Whoever runs the tests has a limit of time. */
TEST_F_TIMEOUT(many, ends_of_all_kinds_at_any_moment, 86400)
{
	long count = setting("ZCIO_SPLICES", LINKS), seconds = setting("ZCIO_SECONDS", 0);
	struct zcio_ctx *ctx = self->sp.ctx;
	static struct sp links[MOST_LINKS];
	uint64_t seed = time(NULL);
	long step = 0;
	time_t end;

	TH_LOG("seed %llu", (unsigned long long)seed);
	ASSERT_GE(MOST_LINKS, count);
	for (long i = 0; i < count; i++)
		link_open(_metadata, &links[i], ctx);
	TH_LOG("%ld splices run at once", count);
	end = time(NULL) + seconds;
	for (; seconds ? time(NULL) < end : step < STEPS; step++) {
		struct sp *sp = &links[zt_draw(&seed, count)];

		link_move(_metadata, sp, &seed);
		if (!zt_draw(&seed, 20)) {
			link_end(_metadata, sp, zt_draw(&seed, ENDS));
			link_open(_metadata, sp, ctx);
		}
	}
	TH_LOG("%llu were opened in all, %llu ended meanwhile, in %ld s and %ld steps",
	       total.opened, total.opened - count, seconds, step);
	for (int i = 0; i < ENDS; i++)
		TH_LOG("ended: %-16s %8llu", end_names[i], total.ends[i]);
	for (long i = 0; i < count; i++)
		link_end(_metadata, &links[i], FROM_CLOSED);
	TH_LOG("%llu bytes were sent, %llu arrived, each the stream's next; %llu of them copied",
	       total.sent, total.arrived, total.copied);
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
