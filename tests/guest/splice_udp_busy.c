// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing UDP sockets that have much to do: small and large buffers, senders on two processors,
 * and one that is busy all the time beside others. Every datagram that arrives is looked at: it
 * is one that was sent, whole, and later than its sender's last one.
 * timeout: 600
 */
#include "splice_udp_link.h"

/* ---- buffers ---- */

FIXTURE(ways)
{
	struct link l;
};

FIXTURE_VARIANT(ways)
{
	enum zt_path in, out;
};

FIXTURE_VARIANT_ADD(ways, lo4_to_lo4) { ZT_LO4, ZT_LO4 };
FIXTURE_VARIANT_ADD(ways, lo6_to_wire4) { ZT_LO6, ZT_WIRE4 };
FIXTURE_VARIANT_ADD(ways, wire4_to_lo6) { ZT_WIRE4, ZT_LO6 };
FIXTURE_VARIANT_ADD(ways, wire6_to_wire6) { ZT_WIRE6, ZT_WIRE6 };

FIXTURE_SETUP(ways)
{
	su_open(_metadata, &self->l.su, variant->in, variant->out);
	self->l.name = 1;
	self->l.most = 1400;
}

FIXTURE_TEARDOWN(ways)
{
	zcio_close(self->l.su.sp.ctx);
}

static void buffers(struct __test_metadata *_metadata, struct sp *sp, int size)
{
	int fds[] = { sp->from, sp->source, sp->drain, sp->to };

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
		ASSERT_EQ(0, setsockopt(fds[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	}
}

/* How many a full buffer cost. */
static uint32_t dropped(struct __test_metadata *_metadata, int fd)
{
	uint32_t info[16] = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[8];		/* SK_MEMINFO_DROPS */
}

/*
 * A sender who does not wait, and a reader who is slow: some are dropped, at one of the two
 * sockets that receive, which count them. Nothing else is lost, and the drain's buffer, which
 * holds one or two, is waited for.
 */
TEST_F_TIMEOUT(ways, tiny_buffers, 120)
{
	struct link *l = &self->l;
	struct sp *sp = &l->su.sp;
	uint64_t came = 0, lost = 0;
	time_t end;

	buffers(_metadata, sp, 1);
	sp_start(_metadata, sp, 0, 0);
	while (l->sent < 3000) {
		for (int i = 0; i < 5; i++)
			link_send(l, su_buffer);
		came += link_read(_metadata, l, sp->to, true) >= 0;
	}
	/* The last ones are on their way. */
	for (end = time(NULL) + PATIENCE; came + lost < l->sent && time(NULL) < end; usleep(1000)) {
		while (link_read(_metadata, l, sp->to, true) >= 0)
			came++;
		lost = dropped(_metadata, sp->source) + dropped(_metadata, sp->to);
	}
	ASSERT_EQ(l->sent, came + lost);
	ASSERT_LT(0, came);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->handle).state);
}

/*
 * One that even an empty buffer has no room for: a program that sends it is told so, and so is
 * who splices.
 */
TEST_F(ways, datagram_that_is_too_large_for_the_drains_buffer)
{
	struct su *su = &self->l.su;
	struct sp *sp = &su->sp;
	struct zcio_splice_status status;
	int tiny = 1, large = 60000;

	if (variant->out < ZT_WIRE4)
		SKIP(return, "what is sent in one piece goes into any buffer");
	ASSERT_EQ(0, setsockopt(sp->drain, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny)));
	ASSERT_EQ(-1, send(sp->drain, su_buffer, large, 0));
	ASSERT_EQ(ENOBUFS, errno);
	sp_start(_metadata, sp, 0, 0);
	su_pass(_metadata, su, 1000);
	su_send(_metadata, su, large);
	link_wait(_metadata, sp->handle, "the end");
	status = sp_end(_metadata, sp);
	ASSERT_EQ(ZCIO_SPLICE_FAILED, status.state);
	ASSERT_EQ(ENOBUFS, status.error);
	ASSERT_EQ(ENOBUFS, sp_error(_metadata, sp->source));
	ASSERT_EQ(1000, status.moved);
	su_recv(_metadata, su, sp->source, large);
}

/* Datagrams in bunches of any size, read in bunches of any size. */
TEST_F_TIMEOUT(ways, huge_buffers, 120)
{
	bool wire = variant->in >= ZT_WIRE4 || variant->out >= ZT_WIRE4;
	struct link *l = &self->l;
	struct sp *sp = &l->su.sp;
	uint64_t seed = 5, bunch = wire ? 20 : 1000;

	buffers(_metadata, sp, 256 << 20);
	l->most = wire ? 4000 : 30000;
	sp_start(_metadata, sp, 0, 0);
	while (l->next < 10000) {
		for (int n = zt_draw(&seed, bunch); n && l->sent < 10000 && l->sent < l->next + bunch; n--)
			ASSERT_TRUE(link_send(l, su_buffer));
		for (int n = zt_draw(&seed, bunch); n && link_take(_metadata, l); n--)
			;
		if (l->sent == l->next + bunch || (l->sent == 10000 && l->next < 10000))
			link_wait(_metadata, sp->to, "what was sent");
	}
	ASSERT_EQ(0, dropped(_metadata, sp->source) + dropped(_metadata, sp->to));
	shutdown(sp->source, SHUT_RD);
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, l->arrived);
}

/* ---- senders on two processors ---- */

static void *send_count(void *arg)
{
	static __thread unsigned char buf[1 << 16];
	struct sender *s = arg;

	while (s->l.sent < s->count && !s->l.trouble) {
		if (s->l.sent >= s->l.next + 64)
			sched_yield();
		else if (!link_send(&s->l, buf))
			s->l.trouble = errno;
	}
	return NULL;
}

/* Whatever comes between, the datagrams of each of them stay in their order, and all arrive. */
TEST_F_TIMEOUT(ways, two_processors_send_to_one_source, 120)
{
	static struct sender senders[SENDERS];
	struct su *su = &self->l.su;
	uint64_t left = 0, bytes = 0;

	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < SENDERS; i++) {
		struct sender *s = &senders[i];
		struct zt_addr at;

		*s = (struct sender) { .number = i, .count = 5000 };
		s->l.name = i;
		s->l.most = 1400;
		s->l.su.sp.from = su_socket(_metadata, variant->in, true, &at);
		su_connect(_metadata, s->l.su.sp.from, &su->at_source);
		left += s->count;
	}
	for (int i = 0; i < SENDERS; i++)
		sender_start(_metadata, &senders[i], send_count);
	for (; left; left--) {
		struct head head;
		struct link *l;
		ssize_t n;

		link_wait(_metadata, su->sp.to, "datagrams of two senders");
		n = recv(su->sp.to, su_buffer, sizeof(su_buffer), MSG_DONTWAIT);
		ASSERT_LE((ssize_t)sizeof(head), n);
		memcpy(&head, su_buffer, sizeof(head));
		ASSERT_GT(SENDERS, head.link);
		l = &senders[head.link].l;
		ASSERT_EQ((uint64_t)l->next, link_look(_metadata, l, su_buffer, n)) {
			TH_LOG("of sender %llu", (unsigned long long)head.link);
		}
		l->next++;
		bytes += n;
	}
	for (int i = 0; i < SENDERS; i++) {
		ASSERT_EQ(0, pthread_join(senders[i].thread, NULL));
		ASSERT_EQ(0, senders[i].l.trouble);
	}
	shutdown(su->sp.source, SHUT_RD);
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_EOF, 0, bytes);
}

/* ---- one that is busy ---- */

FIXTURE(busy)
{
	struct su su;
};

FIXTURE_SETUP(busy)
{
	cpu_set_t one = processor(_metadata, 0);

	su_open(_metadata, &self->su, ZT_LO4, ZT_LO4);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
}

FIXTURE_TEARDOWN(busy)
{
	zcio_close(self->su.sp.ctx);
}

static _Atomic bool enough;

static void *flood(void *arg)
{
	static unsigned char buf[1400];
	struct sender *s = arg;

	while (!enough)
		if (send(s->l.su.sp.from, buf, sizeof(buf), 0) == sizeof(buf))
			s->count++;
	return NULL;
}

/* On one processor, as long as a flood comes to the one that is busy, others of its context move. */
static void others_move(struct __test_metadata *_metadata, struct su *su)
{
	enum { OTHERS = 30, TIMES = 30 };
	struct sender s = { .number = 0, .l.su = *su };
	static struct su others[OTHERS];
	uint64_t before, after;

	for (int i = 0; i < OTHERS; i++) {
		struct su *o = &others[i];

		su_open(_metadata, o, i % 2 ? ZT_LO6 : ZT_WIRE4, i % 3 ? ZT_LO4 : ZT_WIRE6);
		zcio_close(o->sp.ctx);
		o->sp.ctx = su->sp.ctx;
		sp_start(_metadata, &o->sp, 0, 0);
	}
	sender_start(_metadata, &s, flood);
	/* It has much to do when it begins, and always gets more. */
	for (int i = 0; i < 5000; i++)
		su_send(_metadata, su, 10);
	sp_start(_metadata, &su->sp, 0, 0);
	before = sp_status(_metadata, &su->sp, su->sp.handle).moved;
	for (int t = 0; t < TIMES; t++)
		for (int i = 0; i < OTHERS; i++)
			su_pass(_metadata, &others[i], 20 + t * i);
	/* So does the one that is busy. */
	do {
		after = sp_status(_metadata, &su->sp, su->sp.handle).moved;
	} while (before == after);
	enough = true;
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	TH_LOG("%d datagrams of others, and %llu bytes of the one that is busy", OTHERS * TIMES,
	       (unsigned long long)(after - before));
}

TEST_F_TIMEOUT(busy, splice_leaves_others_their_turns, 120)
{
	others_move(_metadata, &self->su);
}

/* The same, of one whose datagrams a task has to send. */
TEST_F_TIMEOUT(busy, task_leaves_others_their_turns, 120)
{
	static const unsigned char nops[4] = { 1, 1, 1, 1 };

	ASSERT_EQ(0, setsockopt(self->su.sp.drain, SOL_IP, IP_OPTIONS, nops, sizeof(nops)));
	others_move(_metadata, &self->su);
}

TEST_HARNESS_MAIN
