// SPDX-License-Identifier: GPL-2.0
/*
 * Splices of UDP in network namespaces of the tests' own: from one into the other, when their
 * devices go, and come back, or their names go; and when a namespace ends with all that is in it
 * while datagrams move.
 * timeout: 300
 */
#include <sys/prctl.h>

#include "splice_spaces.h"
#include "splice_udp_link.h"

#define ROUNDS	25

FIXTURE(spaces)
{
	struct link l;
};

/* From zta through two sockets of ztb to ztc. */
FIXTURE_SETUP(spaces)
{
	struct lasting *in = calloc(1, sizeof(*in)), *out = calloc(1, sizeof(*out));
	struct su *su = &self->l.su;
	struct zt_addr *to = &su->at_to;

	SHELL(UNWIRE WIRE);
	in->kind = UDP;
	in->path = way_in;
	out->kind = UDP;
	out->path = way_out;
	open_pair(_metadata, in);
	open_pair(_metadata, out);
	*su = (struct su) { .sp = {
		.ctx = zcio_open(), .handle = -1,
		.from = in->z.tx, .source = in->z.rx, .drain = out->z.rx, .to = out->z.tx,
	} };
	ASSERT_NE(NULL, su->sp.ctx);
	to->len = sizeof(to->in6);
	ASSERT_EQ(0, getsockname(su->sp.to, &to->sa, &to->len));
	su_connect(_metadata, su->sp.drain, to);
	sp_start(_metadata, &su->sp, 0, 0);
	/* Neighbours are asked for by the first one. */
	su_pass(_metadata, su, 8000);
	free(in);
	free(out);
}

FIXTURE_TEARDOWN(spaces)
{
	zcio_close(self->l.su.sp.ctx);
	SHELL(UNWIRE);
}

static void passes(struct __test_metadata *_metadata, struct su *su)
{
	for (int i = 0; i < 100; i++)
		su_pass(_metadata, su, 50 * i);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &su->sp, su->sp.handle).state);
}

/* What ended it is what a program that sends is told. */
static void failed(struct __test_metadata *_metadata, struct sp *sp)
{
	struct zcio_splice_status status = sp_end(_metadata, sp);

	ASSERT_EQ(ZCIO_SPLICE_FAILED, status.state);
	ASSERT_EQ(status.error, sp_error(_metadata, sp->source));
	ASSERT_EQ(-1, send(sp->drain, "x", 1, MSG_DONTWAIT));
	ASSERT_EQ(status.error, errno) TH_LOG("%s, but: %m", strerror(status.error));
}

/* They live on with their sockets. */
TEST_F_TIMEOUT(spaces, names_that_go_change_nothing, 60)
{
	SHELL(UNWIRE);
	passes(_metadata, &self->l.su);
}

/* What cannot be sent stays. */
TEST_F_TIMEOUT(spaces, drain_whose_device_is_deleted, 60)
{
	struct su *su = &self->l.su;

	SHELL("ip -n ztb link del ztb1");
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &su->sp, su->sp.handle).state);
	su_send(_metadata, su, 5000);
	failed(_metadata, &su->sp);
	ASSERT_EQ(8000, sp_status(_metadata, &su->sp, su->sp.handle).moved);
	su_recv(_metadata, su, su->sp.source, 5000);
	su_send(_metadata, su, 10);
	su_recv(_metadata, su, su->sp.source, 10);
}

/* Whom nothing was sent to meanwhile does not notice. */
TEST_F_TIMEOUT(spaces, drain_whose_device_comes_back, 60)
{
	struct su *su = &self->l.su;

	for (int i = 0; i < 3; i++) {
		SHELL("ip -n ztb link del ztb1");
		SHELL(WIRE_OUT);
		passes(_metadata, su);
	}
}

TEST_F_TIMEOUT(spaces, source_whose_device_is_deleted, 60)
{
	struct su *su = &self->l.su;

	SHELL("ip -n ztb link del ztb0");
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &su->sp, su->sp.handle).state);
	ASSERT_EQ(0, close(su->sp.source));
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_CLOSED, 0, 8000);
	su_put(_metadata, su->sp.drain, su->got, 10);
	su_recv(_metadata, su, su->sp.to, 10);
}

TEST_F_TIMEOUT(spaces, source_whose_device_comes_back, 60)
{
	struct su *su = &self->l.su;

	for (int i = 0; i < 3; i++) {
		SHELL("ip -n ztb link del ztb0");
		SHELL(WIRE_IN);
		passes(_metadata, su);
	}
}

static _Atomic bool enough;

static void *send_on(void *arg)
{
	static unsigned char buf[1 << 16];
	struct sender *s = arg;

	while (!enough)
		link_send(&s->l, buf);
	return NULL;
}

/* What was on its way is lost; before it and after it nothing is. */
TEST_F_TIMEOUT(spaces, drain_whose_device_is_deleted_meanwhile, 60)
{
	struct sender s = { .l.su = self->l.su, .l.name = 1, .l.most = 8000 };
	struct sp *sp = &s.l.su.sp;
	uint64_t arrived = 0, stayed = 0;

	sender_start(_metadata, &s, send_on);
	for (; arrived < 100; arrived++) {
		link_wait(_metadata, sp->to, "what flows");
		link_read(_metadata, &s.l, sp->to, true);
	}
	SHELL("ip -n ztb link del ztb1");
	failed(_metadata, sp);
	enough = true;
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	while (link_read(_metadata, &s.l, sp->to, true) >= 0)
		arrived++;
	while (link_read(_metadata, &s.l, sp->source, true) >= 0)
		stayed++;
	ASSERT_LT(0, stayed);
	ASSERT_GE(s.l.sent, arrived + stayed);
	TH_LOG("of %llu datagrams %llu arrived, %llu stayed", (unsigned long long)s.l.sent,
	       (unsigned long long)arrived, (unsigned long long)stayed);
	ASSERT_EQ(0, su_held(_metadata, sp->source));
}

static void *receive_on(void *arg)
{
	static unsigned char buf[1 << 16];

	for (;;)
		recv(*(int *)arg, buf, sizeof(buf), 0);
	return NULL;
}

/*
 * A program with a namespace of its own is killed at any moment: sockets, splices and
 * namespace go together. Its context is also this program's, so that a splice that outlived
 * its sockets would be here.
 */
TEST_F_TIMEOUT(spaces, namespace_that_ends_with_its_splices, 200)
{
	struct su *su = &self->l.su;
	uint64_t seed = 7;

	for (int round = 0; round < ROUNDS; round++) {
		pid_t pid = fork();
		int status;

		ASSERT_LE(0, pid);
		if (!pid) {
			struct sender s = { .l.name = 1, .l.most = 20000 };
			struct sp *sp = &s.l.su.sp;
			pthread_t reader;

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (!own_namespace())
				_exit(1);
			su_open(_metadata, &s.l.su, ZT_LO4, ZT_LO6);
			zcio_close(sp->ctx);
			sp->ctx = su->sp.ctx;
			if (sp_call(sp, sp->source, sp->drain, 0, 0, 0))
				_exit(1);
			sender_start(_metadata, &s, send_on);
			if (pthread_create(&reader, NULL, receive_on, &sp->to))
				_exit(1);
			usleep(zt_draw(&seed, 3000));
			kill(getpid(), SIGKILL);
		}
		zt_draw(&seed, 1 + round);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	/* The one of before has not noticed. */
	passes(_metadata, su);
}

TEST_HARNESS_MAIN
