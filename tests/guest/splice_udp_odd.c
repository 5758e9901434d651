// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing UDP to UDP: what is joined, large or slow, drains that want more than a plain
 * datagram, circles.
 * timeout: 300
 */
#include <netinet/ip.h>
#include <sys/prctl.h>

#include "splice_udp.h"

#ifndef UDP_GRO
#define UDP_GRO		104
#endif

FIXTURE(odd)
{
	struct su su;
};

FIXTURE_VARIANT(odd)
{
	enum zt_path in, out;
};

FIXTURE_VARIANT_ADD(odd, lo4_to_lo4) { ZT_LO4, ZT_LO4 };
FIXTURE_VARIANT_ADD(odd, lo6_to_lo4) { ZT_LO6, ZT_LO4 };
FIXTURE_VARIANT_ADD(odd, lo4_to_wire6) { ZT_LO4, ZT_WIRE6 };
FIXTURE_VARIANT_ADD(odd, wire4_to_wire4) { ZT_WIRE4, ZT_WIRE4 };

FIXTURE_SETUP(odd)
{
	su_open(_metadata, &self->su, variant->in, variant->out);
}

FIXTURE_TEARDOWN(odd)
{
	zcio_close(self->su.sp.ctx);
}

static void set(struct __test_metadata *_metadata, int fd, int level, int name, int value)
{
	ASSERT_EQ(0, setsockopt(fd, level, name, &value, sizeof(value))) TH_LOG("%d: %m", name);
}

/* ---- joined datagrams ---- */

/* @count datagrams of @len bytes in one send, the last one with @last. */
static void send_joined(struct __test_metadata *_metadata, struct su *su, int count, size_t len,
			size_t last)
{
	size_t all = (count - 1) * len + last;

	set(_metadata, su->sp.from, SOL_UDP, UDP_SEGMENT, len);
	for (int i = 0; i < count; i++)
		zt_fill(su_buffer + i * len, i < count - 1 ? len : last, su->sent++ * SU_STEP);
	ASSERT_EQ((ssize_t)all, send(su->sp.from, su_buffer, all, 0)) TH_LOG("%m");
	set(_metadata, su->sp.from, SOL_UDP, UDP_SEGMENT, 0);
}

static void joined(struct __test_metadata *_metadata, struct su *su, bool source_joins)
{
	if (source_joins)
		set(_metadata, su->sp.source, SOL_UDP, UDP_GRO, 1);
	sp_start(_metadata, &su->sp, 0, 0);
	for (int round = 0; round < 10; round++) {
		/* A frame that is padded is overtaken by none, but overtakes what is joined. */
		send_joined(_metadata, su, 40, 1000 + round, 77);
		for (int i = 0; i < 39; i++)
			su_recv(_metadata, su, su->sp.to, 1000 + round);
		su_recv(_metadata, su, su->sp.to, 77);
	}
	su_nothing(_metadata, su->sp.to);
}

TEST_F(odd, joined_datagrams_arrive_one_by_one)
{
	joined(_metadata, &self->su, true);
}

TEST_F(odd, what_the_source_does_not_join_arrives_too)
{
	joined(_metadata, &self->su, false);
}

/* … and stay joined where both ends want them so. */
TEST_F(odd, joined_datagrams_move_whole)
{
	struct su *su = &self->su;
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { su_buffer, sizeof(su_buffer) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;

	if (variant->in >= ZT_WIRE4 || variant->out >= ZT_WIRE4)
		SKIP(return, "whether a wire's driver joins them is its own affair");
	set(_metadata, su->sp.source, SOL_UDP, UDP_GRO, 1);
	set(_metadata, su->sp.to, SOL_UDP, UDP_GRO, 1);
	sp_start(_metadata, &su->sp, 0, 0);
	send_joined(_metadata, su, 50, 1200, 33);
	ASSERT_EQ(49 * 1200 + 33, recvmsg(su->sp.to, &msg, 0));
	c = CMSG_FIRSTHDR(&msg);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(UDP_GRO, c->cmsg_type);
	ASSERT_EQ(1200, *(int *)CMSG_DATA(c));
	for (int i = 0; i < 50; i++)
		ASSERT_EQ(i < 49 ? 1200 : 33, zt_same(su_buffer + i * 1200, i < 49 ? 1200 : 33, i * SU_STEP));
}

/* Segments that are larger than the drain's packets. */
TEST_F(odd, joined_datagrams_that_have_to_be_fragmented)
{
	struct su *su = &self->su;
	bool wire = variant->in >= ZT_WIRE4;

	if (wire)
		SKIP(return, "nothing larger comes from there");
	set(_metadata, su->sp.source, SOL_UDP, UDP_GRO, 1);
	sp_start(_metadata, &su->sp, 0, 0);
	for (int round = 0; round < 5; round++) {
		send_joined(_metadata, su, 4, 15000, 200);
		for (int i = 0; i < 3; i++)
			su_recv(_metadata, su, su->sp.to, 15000);
		su_recv(_metadata, su, su->sp.to, 200);
	}
}

/* Those that may still be moved are. */
TEST_F(odd, maximum_inside_of_joined_datagrams)
{
	struct su *su = &self->su;

	set(_metadata, su->sp.source, SOL_UDP, UDP_GRO, 1);
	sp_start(_metadata, &su->sp, 10500, 0);
	send_joined(_metadata, su, 40, 1000, 1000);
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_MAX, EFBIG, 10000);
	ASSERT_EQ(EFBIG, sp_error(_metadata, su->sp.source));
	for (int i = 0; i < 10; i++)
		su_recv(_metadata, su, su->sp.to, 1000);
	su_nothing(_metadata, su->sp.to);
	set(_metadata, su->sp.source, SOL_UDP, UDP_GRO, 0);
	if (variant->in < ZT_WIRE4)
		for (int i = 0; i < 30; i++)
			su_recv(_metadata, su, su->sp.source, 1000);
}

/* ---- drains ---- */

TEST_F(odd, drain_that_cuts_what_programs_send)
{
	struct su *su = &self->su;

	set(_metadata, su->sp.drain, SOL_UDP, UDP_SEGMENT, 500);
	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 50; i++)
		su_pass(_metadata, su, 100 * i);
}

TEST_F(odd, drain_with_options)
{
	static const unsigned char nops[4] = { 1, 1, 1, 1 };
	struct su *su = &self->su;
	uint64_t all = 0;

	if (variant->out == ZT_LO6 || variant->out == ZT_WIRE6)
		set(_metadata, su->sp.drain, SOL_SOCKET, SO_DONTROUTE, 1);
	else
		ASSERT_EQ(0, setsockopt(su->sp.drain, SOL_IP, IP_OPTIONS, nops, sizeof(nops)));
	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 50; i++) {
		su_pass(_metadata, su, 300 * i);
		all += 300 * i;
	}
	su_moved(_metadata, su, su->sp.source, all);
}

/* Nothing is added to what a program has corked. */
TEST_F(odd, corked_drain_is_waited_for)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 100);
	zt_fill(su_buffer, 200, 1000 * SU_STEP);
	ASSERT_EQ(100, send(su->sp.drain, su_buffer, 100, MSG_MORE));
	for (int i = 0; i < 5; i++)
		su_send(_metadata, su, 200);
	usleep(20000);
	zt_fill(su_buffer, 200, 1000 * SU_STEP);
	ASSERT_EQ(100, send(su->sp.drain, su_buffer + 100, 100, 0));
	su_get(_metadata, su->sp.to, 1000, 200);
	for (int i = 0; i < 5; i++)
		su_recv(_metadata, su, su->sp.to, 200);
}

TEST_F(odd, datagram_that_the_drain_may_not_fragment)
{
	struct su *su = &self->su;
	bool v6 = variant->out == ZT_LO6 || variant->out == ZT_WIRE6;

	if (variant->out < ZT_WIRE4)
		SKIP(return, "everything fits");
	set(_metadata, su->sp.drain, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
	    IP_PMTUDISC_DO);
	if (v6)
		set(_metadata, su->sp.drain, SOL_IPV6, IPV6_DONTFRAG, 1);
	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 1000);
	su_send(_metadata, su, 20000);
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_FAILED, EMSGSIZE, 1000);
	ASSERT_EQ(EMSGSIZE, sp_error(_metadata, su->sp.source));
	su_recv(_metadata, su, su->sp.source, 20000);
}

/* What the drain does not take stays, until the source's buffer is full; then all comes. */
TEST_F(odd, drain_that_is_slow)
{
	struct su *su = &self->su;
	int small = 20000, n = 0;
	char c;

	if (variant->in >= ZT_WIRE4 || variant->out < ZT_WIRE4)
		SKIP(return, "the device that is slowed down would be both");
	ASSERT_EQ(0, setsockopt(su->sp.drain, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	if (!tx_jam(variant->out))
		SKIP(return, "no netem");
	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 300; i++)
		su_send(_metadata, su, 1000);
	usleep(50000);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &su->sp, su->sp.handle).state);
	ASSERT_GT(300 * 1000, sp_status(_metadata, &su->sp, su->sp.handle).moved);
	ASSERT_LT(100 * 1000, su_held(_metadata, su->sp.source));
	/* Whom does it not concern? */
	ASSERT_EQ(0, sp_poll(_metadata, su->sp.source, POLLIN) & POLLIN);
	ASSERT_EQ(-1, recv(su->sp.source, &c, 1, MSG_DONTWAIT));
	ASSERT_EQ(EAGAIN, errno);
	tx_unjam(_metadata, variant->out);
	for (n = 0; n < 300; n++)
		su_recv(_metadata, su, su->sp.to, 1000);
	ASSERT_EQ(0, su_held(_metadata, su->sp.source));
}

TEST_F(odd, drain_that_is_slow_and_then_stopped)
{
	struct su *su = &self->su;
	uint64_t moved = 0;
	int small = 20000;

	if (variant->in >= ZT_WIRE4 || variant->out < ZT_WIRE4)
		SKIP(return, "the device that is slowed down would be both");
	ASSERT_EQ(0, setsockopt(su->sp.drain, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	if (!tx_jam(variant->out))
		SKIP(return, "no netem");
	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 100; i++)
		su_send(_metadata, su, 1000);
	ASSERT_EQ(0, sp_stop(&su->sp, su->sp.source, &moved));
	ASSERT_GT(100 * 1000, moved);
	su->got = moved / 1000;
	while (su->got < 100)
		su_recv(_metadata, su, su->sp.source, 1000);
	tx_unjam(_metadata, variant->out);
	su->got = 0;
	while (su->got < moved / 1000)
		su_recv(_metadata, su, su->sp.to, 1000);
}

/* ---- readers ---- */

static void *reader(void *arg)
{
	return (void *)(long)recv(*(int *)arg, su_buffer, sizeof(su_buffer), 0);
}

TEST_F(odd, reader_waits_for_the_end)
{
	struct su *su = &self->su;
	pthread_t thread;
	void *ret;

	sp_start(_metadata, &su->sp, 0, 0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, reader, &su->sp.source));
	for (int i = 0; i < 50; i++) {
		su_send(_metadata, su, 10);
		su_moved(_metadata, su, su->sp.source, (i + 1) * 10);
	}
	ASSERT_EQ(0, sp_stop(&su->sp, su->sp.source, NULL));
	su_send(_metadata, su, 77);
	ASSERT_EQ(0, pthread_join(thread, &ret));
	ASSERT_EQ(77, (long)ret);
}

TEST_F(odd, reader_with_a_time_out)
{
	struct su *su = &self->su;
	struct timeval tv = { .tv_usec = 20000 };
	char c;

	sp_start(_metadata, &su->sp, 0, 0);
	ASSERT_EQ(0, setsockopt(su->sp.source, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	su_pass(_metadata, su, 10);
	ASSERT_EQ(-1, recv(su->sp.source, &c, 1, MSG_PEEK));
	ASSERT_EQ(EAGAIN, errno);
	su_pass(_metadata, su, 10);
}

TEST_F(odd, killed_with_its_context)
{
	struct su *su = &self->su;
	int ready[2], status;
	pid_t child;
	char c = 0;

	ASSERT_EQ(0, pipe(ready));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct sp sp = su->sp;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sp.ctx = zcio_open();
		if (!sp.ctx || sp_call(&sp, sp.source, sp.drain, 0, 0, 0))
			_exit(1);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	su_pass(_metadata, su, 100);
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
}

/* A child's copy of the context keeps the splice. */
TEST_F(odd, forked_child_keeps_it)
{
	struct su *su = &self->su;
	pid_t child;

	ASSERT_EQ(0, sp_call(&su->sp, su->sp.source, su->sp.drain, 0, 0, 0));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	zcio_close(su->sp.ctx);
	su->sp.ctx = NULL;
	su_pass(_metadata, su, 100);
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
	su->sp.ctx = zcio_open();
}

/* ---- circles ---- */

/* Two sockets that are connected to each other, each its own drain. */
static void circle(struct __test_metadata *_metadata, struct sp *sp, enum zt_path path, bool away)
{
	struct zt_addr at[2];
	uint64_t moved = 0;
	int fd[2], handle[2];
	struct pollfd p[2];

	fd[0] = su_socket(_metadata, path, false, &at[0]);
	fd[1] = su_socket(_metadata, path, away, &at[1]);
	for (int i = 0; i < 2; i++) {
		su_connect(_metadata, fd[i], &at[!i]);
		handle[i] = sp_call(sp, fd[i], fd[i], 0, 0, ZCIO_SPLICE_HANDLE);
		ASSERT_LE(0, handle[i]);
		p[i] = (struct pollfd) { .fd = handle[i], .events = POLLIN };
	}
	ASSERT_EQ(64, send(fd[0], su_buffer, 64, 0));
	ASSERT_LE(1, poll(p, 2, -1));
	for (int i = 0; i < 2; i++)
		moved += sp_status(_metadata, sp, handle[i]).moved;
	/* What was moved is counted, not what was tried. */
	ASSERT_EQ(128 * 64, moved);
	for (int i = 0; i < 2; i++) {
		struct zcio_splice_status s = sp_status(_metadata, sp, handle[i]);

		if (s.state == ZCIO_SPLICE_RUNNING)
			continue;
		ASSERT_EQ(ZCIO_SPLICE_FAILED, s.state);
		ASSERT_EQ(ELOOP, s.error);
		ASSERT_EQ(ELOOP, sp_error(_metadata, fd[i]));
		ASSERT_EQ(64, recv(fd[i], su_buffer, 100, MSG_DONTWAIT));
	}
	for (int i = 0; i < 2; i++) {
		close(handle[i]);
		close(fd[i]);
	}
}

TEST_F(odd, datagram_in_a_circle_is_ELOOP)
{
	for (int i = 0; i < 10; i++) {
		circle(_metadata, &self->su.sp, ZT_LO4, false);
		circle(_metadata, &self->su.sp, ZT_LO6, false);
	}
}

/* Between the versions, by a socket that is connected to itself in the end. */
TEST_F(odd, datagram_in_a_circle_of_both_versions_is_ELOOP)
{
	struct sp *sp = &self->su.sp;
	struct zt_addr at[4];
	int fd[4], handle[2];
	struct pollfd p[2];

	for (int i = 0; i < 4; i++)
		fd[i] = su_socket(_metadata, i < 2 ? ZT_LO4 : ZT_LO6, false, &at[i]);
	su_connect(_metadata, fd[0], &at[1]);
	su_connect(_metadata, fd[1], &at[0]);
	su_connect(_metadata, fd[2], &at[3]);
	su_connect(_metadata, fd[3], &at[2]);
	/* What comes to 1 goes out at 2, to 3; from there at 0, to 1. */
	handle[0] = sp_call(sp, fd[1], fd[2], 0, 0, ZCIO_SPLICE_HANDLE);
	handle[1] = sp_call(sp, fd[3], fd[0], 0, 0, ZCIO_SPLICE_HANDLE);
	for (int i = 0; i < 2; i++) {
		ASSERT_LE(0, handle[i]);
		p[i] = (struct pollfd) { .fd = handle[i], .events = POLLIN };
	}
	ASSERT_EQ(1, send(fd[0], "x", 1, 0));
	ASSERT_LE(1, poll(p, 2, -1));
	ASSERT_EQ(ELOOP, sp_status(_metadata, sp, handle[p[0].revents ? 0 : 1]).error);
	ASSERT_EQ(128, sp_status(_metadata, sp, handle[0]).moved + sp_status(_metadata, sp, handle[1]).moved);
}

/* As often as one likes, if it is no circle. */
TEST_F(odd, many_datagrams_are_no_circle)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 1000; i++)
		su_pass(_metadata, su, 20);
}

TEST_HARNESS_MAIN
