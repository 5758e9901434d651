// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing many UDP sockets at once, with ends of every kind at any moment while datagrams flow.
 * Every datagram that arrives, or stays, is looked at: it is the one that was sent next, whole.
 * timeout: 600
 */
#include "splice_udp_link.h"

#define MOST_LINKS	1000

/* More of them with ZCIO_SPLICES=, for so long: ZCIO_SECONDS= (make soak-splice PROGRAM=splice_udp_many). */
#define LINKS		200
#define STEPS		500

#define PAIRS		1000	/* of sockets that are spliced and have nothing to do */
#define GROUPS		4	/* contexts that are closed now and then; one more has most links */
#define WINDOW		6	/* datagrams of a link that are on their way: none is dropped */

/* What can happen to a link. */
enum end {
	STOPPED,
	HANDLE_CLOSED,
	SOURCE_CLOSED,
	SOURCE_SHUT,
	DRAIN_CLOSED,
	DRAIN_SHUT,
	DISCONNECTED,
	RECEIVER_CLOSED,
	MAXIMUM,
	IDLE,
	ENDS,
};

static const struct {
	const char *name;
	unsigned int state;
	int error;		/* of the splice; the source is told */
} ends[ENDS] = {
	[STOPPED] = { "stopped by hand", ZCIO_SPLICE_STOPPED },
	[HANDLE_CLOSED] = { "handle closed", ZCIO_SPLICE_STOPPED },
	[SOURCE_CLOSED] = { "source closed", ZCIO_SPLICE_CLOSED },
	[SOURCE_SHUT] = { "source shut down", ZCIO_SPLICE_EOF },
	[DRAIN_CLOSED] = { "drain closed", ZCIO_SPLICE_CLOSED },
	[DRAIN_SHUT] = { "drain shut down", ZCIO_SPLICE_DRAIN, EPIPE },
	[DISCONNECTED] = { "drain disconnected", ZCIO_SPLICE_CLOSED },
	[RECEIVER_CLOSED] = { "receiver closed", ZCIO_SPLICE_DRAIN, EPIPE },
	[MAXIMUM] = { "maximum", ZCIO_SPLICE_MAX, EFBIG },
	[IDLE] = { "idle time", ZCIO_SPLICE_IDLE, ETIMEDOUT },
};

FIXTURE(many)
{
	struct zcio_ctx *ctx;
};

FIXTURE_SETUP(many)
{
	struct rlimit files = { 30000, 30000 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->ctx = zcio_open();
	ASSERT_NE(NULL, self->ctx) TH_LOG("/dev/zcio: %m");
}

FIXTURE_TEARDOWN(many)
{
	zcio_close(self->ctx);
}

static struct {
	unsigned long long opened, sent, arrived, stayed, copied, contexts, ends[ENDS];
} total;

static struct link links[MOST_LINKS];
static long count;
static _Atomic bool enough;

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? atol(text) : otherwise;
}

/* What becomes of it is known from the start, as some ends have to be asked for. */
static void link_open(struct __test_metadata *_metadata, struct link *l, struct zcio_ctx *ctx,
		      uint64_t *seed)
{
	bool wire = total.opened++ % 8 == 0;
	enum zt_path out = wire ? ZT_WIRE4 : total.opened % 2 ? ZT_LO6 : ZT_LO4;
	struct su *su = &l->su;
	struct zt_addr from;

	l->plan = zt_draw(seed, ENDS);
	/* Who answers for a port over the wire does so only so often. */
	if (l->plan == RECEIVER_CLOSED && wire)
		l->plan = DRAIN_SHUT;
	l->name = total.opened;
	l->most = wire ? 4000 : 20000;
	l->sent = 0;
	l->next = 0;
	l->arrived = 0;
	l->stayed = 0;
	*su = (struct su) { .sp = { .ctx = ctx, .dev = zcio_ctx_fd(ctx), .handle = -1 } };
	su->sp.source = su_socket(_metadata, wire ? ZT_WIRE6 : ZT_LO4, false, &su->at_source);
	su->sp.from = su_socket(_metadata, wire ? ZT_WIRE6 : ZT_LO4, true, &from);
	su_connect(_metadata, su->sp.from, &su->at_source);
	su_drain(_metadata, su, out, &su->sp.drain, &su->sp.to);
	sp_start(_metadata, &su->sp, l->plan == MAXIMUM ? 1 + zt_draw(seed, 100000) : 0,
		 l->plan == IDLE ? 50 : 0);
	ASSERT_EQ(0, pthread_mutex_lock(&l->sends));
	l->hasty = false;
	l->flows = true;
	ASSERT_EQ(0, pthread_mutex_unlock(&l->sends));
}

/* Sends to every other link, one datagram each, on and on. */
static void *send_on(void *arg)
{
	static __thread unsigned char buf[1 << 16];
	struct sender *s = arg;

	while (!enough) {
		bool any = false;

		for (long i = s->number; i < count; i += SENDERS) {
			struct link *l = &links[i];

			if (pthread_mutex_trylock(&l->sends))
				continue;
			if (l->flows && (l->hasty || l->sent < l->next + WINDOW)) {
				if (link_send(l, buf))
					any = true;
				else if (errno != ECONNREFUSED)	/* its source is closed */
					l->trouble = errno;
			}
			pthread_mutex_unlock(&l->sends);
		}
		if (!any)
			usleep(100);
	}
	return NULL;
}

/* From now on nothing more is sent, or as much as can be. */
static void link_flow(struct __test_metadata *_metadata, struct link *l, bool flows)
{
	ASSERT_EQ(0, pthread_mutex_lock(&l->sends));
	l->flows = flows;
	l->hasty = flows;
	ASSERT_EQ(0, pthread_mutex_unlock(&l->sends));
}

static void link_disturb(struct __test_metadata *_metadata, struct link *l)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sp *sp = &l->su.sp;

	switch (l->plan) {
	case STOPPED:
		ASSERT_EQ(0, sp_stop(sp, sp->source, NULL));
		break;
	case HANDLE_CLOSED:
		ASSERT_EQ(0, close(sp->handle));
		sp->handle = -1;
		break;
	case SOURCE_CLOSED:
		ASSERT_EQ(0, close(sp->source));
		sp->source = -1;
		break;
	case SOURCE_SHUT:
		shutdown(sp->source, SHUT_RD);	/* ENOTCONN, but that it is */
		break;
	case DRAIN_CLOSED:
		ASSERT_EQ(0, close(sp->drain));
		sp->drain = -1;
		break;
	case DRAIN_SHUT:
		ASSERT_EQ(0, shutdown(sp->drain, SHUT_WR));
		break;
	case DISCONNECTED:
		ASSERT_EQ(0, connect(sp->drain, &none, sizeof(none)));
		break;
	case RECEIVER_CLOSED:
		while (link_take(_metadata, l))
			;
		ASSERT_EQ(0, close(sp->to));
		sp->to = -1;
		link_flow(_metadata, l, true);
		break;
	case IDLE:
		link_flow(_metadata, l, false);
		break;
	default:
		break;
	}
}

/* Until the splice is over datagrams flow, and are read; then no more. */
static struct zcio_splice_status link_over(struct __test_metadata *_metadata, struct link *l)
{
	struct sp *sp = &l->su.sp;
	struct pollfd p[] = {
		{ .fd = sp->handle, .events = POLLIN },
		{ .fd = sp->to, .events = POLLIN },
	};
	struct zcio_splice_status status;

	while (sp->handle >= 0 && !p[0].revents) {
		ASSERT_LE(1, poll(p, 2, PATIENCE * 1000)) TH_LOG("it does not end: %s", ends[l->plan].name);
		while (sp->to >= 0 && link_take(_metadata, l))
			;
	}
	status = sp_status(_metadata, sp, sp->handle >= 0 ? sp->handle : sp->source);
	link_flow(_metadata, l, false);
	ASSERT_EQ(0, l->trouble) TH_LOG("send: %s", strerror(l->trouble));
	return status;
}

/* What was moved has arrived, what came after it is at the source, and that is all. */
static void link_rest(struct __test_metadata *_metadata, struct link *l, uint64_t moved)
{
	struct sp *sp = &l->su.sp;
	bool after_a_gap = sp->to < 0;

	while (sp->to >= 0 && l->arrived < moved) {
		link_wait(_metadata, sp->to, "what was moved");
		ASSERT_TRUE(link_take(_metadata, l));
	}
	if (sp->to >= 0) {
		ASSERT_EQ(moved, l->arrived);
		su_nothing(_metadata, sp->to);
	}
	if (sp->source < 0)
		return;
	for (time_t end = time(NULL) + PATIENCE; l->next < l->sent;) {
		ssize_t n = link_read(_metadata, l, sp->source, after_a_gap);

		if (n >= 0) {
			l->stayed += n;
			after_a_gap = false;
			continue;
		}
		/* What was moved to nobody may have been the last one. */
		if (after_a_gap)
			break;
		ASSERT_GT(end, time(NULL)) TH_LOG("what was not moved is not there");
		usleep(1000);
	}
	su_nothing(_metadata, sp->source);
	ASSERT_EQ(0, su_held(_metadata, sp->source));
}

/* It ends, as planned, or because its context was @closed. */
static void link_end(struct __test_metadata *_metadata, struct link *l, struct zcio_ctx *ctx,
		     bool closed)
{
	struct zcio_splice_status status;
	struct sp *sp = &l->su.sp;
	bool by_itself = l->plan == MAXIMUM || l->plan == IDLE;

	if (closed)
		sp->ctx = ctx;
	else
		link_disturb(_metadata, l);
	status = link_over(_metadata, l);
	if (closed && !(by_itself && status.state == ends[l->plan].state)) {
		ASSERT_EQ(ZCIO_SPLICE_STOPPED, status.state);
		l->plan = STOPPED;
	} else {
		ASSERT_EQ(ends[l->plan].state, status.state) TH_LOG("after: %s", ends[l->plan].name);
		total.ends[l->plan]++;
	}
	ASSERT_EQ(ends[l->plan].error, status.error);
	if (sp->source >= 0)
		ASSERT_EQ(ends[l->plan].error, sp_error(_metadata, sp->source));
	link_rest(_metadata, l, status.moved);
	total.sent += l->sent;
	total.arrived += l->arrived;
	total.stayed += l->stayed;
	total.copied += status.copied;
	for (int *fd = (int[]){ sp->handle, sp->from, sp->source, sp->drain, sp->to, -2 }; *fd != -2; fd++)
		if (*fd >= 0)
			ASSERT_EQ(0, close(*fd));
}

/* Two sockets that are connected to each other. */
static void couple(struct __test_metadata *_metadata, enum zt_path path, int fd[2])
{
	struct zt_addr at[2];

	for (int i = 0; i < 2; i++)
		fd[i] = su_socket(_metadata, path, false, &at[i]);
	for (int i = 0; i < 2; i++)
		su_connect(_metadata, fd[i], &at[!i]);
}

/* Whoever runs the tests has a limit of time. */
TEST_F_TIMEOUT(many, ends_of_all_kinds_at_any_moment, 86400)
{
	long seconds = setting("ZCIO_SECONDS", 0), step = 0;
	struct zcio_ctx *groups[GROUPS], *of[MOST_LINKS];
	struct sender senders[SENDERS];
	uint64_t seed = time(NULL);
	static int idle[PAIRS][2];
	time_t end;

	count = setting("ZCIO_SPLICES", LINKS);
	TH_LOG("seed %llu", (unsigned long long)seed);
	ASSERT_GE(MOST_LINKS, count);
	for (int i = 0; i < GROUPS; i++) {
		groups[i] = zcio_open();
		ASSERT_NE(NULL, groups[i]);
	}
	for (int i = 0; i < PAIRS; i++) {
		struct sp sp = { .ctx = self->ctx };

		couple(_metadata, i % 2 ? ZT_LO6 : ZT_LO4, idle[i]);
		ASSERT_EQ(0, sp_call(&sp, idle[i][0], idle[i][1], 0, 0, 0));
		ASSERT_EQ(0, sp_call(&sp, idle[i][1], idle[i][0], 0, 0, 0));
	}
	for (long i = 0; i < count; i++) {
		links[i] = (struct link) { .sends = PTHREAD_MUTEX_INITIALIZER };
		of[i] = i % (2 * GROUPS) < GROUPS ? groups[i % GROUPS] : self->ctx;
		link_open(_metadata, &links[i], of[i], &seed);
	}
	TH_LOG("%ld splices run at once, beside %d that have nothing to do", count, 2 * PAIRS);
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender) { .number = i };
		sender_start(_metadata, &senders[i], send_on);
	}
	end = time(NULL) + seconds;
	for (; seconds ? time(NULL) < end : step < STEPS; step++) {
		long which = zt_draw(&seed, count), group = zt_draw(&seed, 50);

		for (long i = 0; i < count; i++)
			while (link_take(_metadata, &links[i]))
				;
		if (group < GROUPS) {
			struct zcio_ctx *before = groups[group];

			zcio_close(before);
			groups[group] = zcio_open();
			ASSERT_NE(NULL, groups[group]);
			total.contexts++;
			for (long i = 0; i < count; i++) {
				if (of[i] != before)
					continue;
				of[i] = groups[group];
				link_end(_metadata, &links[i], of[i], true);
				link_open(_metadata, &links[i], of[i], &seed);
			}
		}
		link_end(_metadata, &links[which], of[which], false);
		link_open(_metadata, &links[which], of[which], &seed);
	}
	TH_LOG("%llu were opened in all, in %ld s and %ld steps", total.opened, seconds, step);
	for (int i = 0; i < ENDS; i++)
		TH_LOG("ended: %-18s %8llu", ends[i].name, total.ends[i]);
	TH_LOG("contexts closed: %llu", total.contexts);
	for (long i = 0; i < count; i++)
		link_end(_metadata, &links[i], of[i], false);
	enough = true;
	for (int i = 0; i < SENDERS; i++)
		ASSERT_EQ(0, pthread_join(senders[i].thread, NULL));
	TH_LOG("%llu datagrams were sent, each the next; %llu bytes arrived, %llu stayed; %llu copied",
	       total.sent, total.arrived, total.stayed, total.copied);
	/* Those that had nothing to do have noticed nothing. */
	for (int i = 0; i < PAIRS; i++) {
		struct sp sp = { .ctx = self->ctx };

		for (int j = 0; j < 2; j++) {
			ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &sp, idle[i][j]).state);
			ASSERT_EQ(0, sp_status(_metadata, &sp, idle[i][j]).moved);
		}
	}
	for (int i = 0; i < GROUPS; i++)
		zcio_close(groups[i]);
	ASSERT_EQ(1, zt_info(_metadata, self->ctx).total_contexts);
}

/* Chains, each as long as a datagram may go: a context holds ten thousand, and ends them at once. */
TEST_F_TIMEOUT(many, ten_thousand, 250)
{
	enum { CHAINS = 50, LONG = 100, SOCKETS = 2 * (LONG + 1) };
	static int fds[CHAINS][SOCKETS];
	struct sp sp = { .ctx = self->ctx };

	for (int c = 0; c < CHAINS; c++) {
		for (int i = 0; i < SOCKETS; i += 2)
			couple(_metadata, c % 2 ? ZT_LO6 : ZT_LO4, &fds[c][i]);
		for (int i = 1; i + 1 < SOCKETS; i += 2) {
			ASSERT_EQ(0, sp_call(&sp, fds[c][i], fds[c][i + 1], 0, 0, 0));
			ASSERT_EQ(0, sp_call(&sp, fds[c][i + 1], fds[c][i], 0, 0, 0));
		}
	}
	/* In at the first socket of each, out at the last; and back. */
	for (int c = 0; c < CHAINS; c++) {
		su_put(_metadata, fds[c][0], c, 1000);
		su_put(_metadata, fds[c][SOCKETS - 1], c + 7, 1000);
	}
	for (int c = 0; c < CHAINS; c++) {
		su_get(_metadata, fds[c][SOCKETS - 1], c, 1000);
		su_get(_metadata, fds[c][0], c + 7, 1000);
	}
	/* With the context. */
	zcio_close(self->ctx);
	self->ctx = zcio_open();
	for (int c = 0; c < CHAINS; c++) {
		for (int i = 0; i < SOCKETS; i += 2) {
			su_put(_metadata, fds[c][i], i, 100);
			su_put(_metadata, fds[c][i + 1], i + 1, 100);
			su_get(_metadata, fds[c][i + 1], i, 100);
			su_get(_metadata, fds[c][i], i + 1, 100);
		}
	}
}

TEST_HARNESS_MAIN
