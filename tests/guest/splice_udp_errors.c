// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing UDP: what bad input gets, and what starting and stopping say.
 * widths: 64, 32
 */
#include "splice_udp.h"

FIXTURE(errors)
{
	struct su su;
};

FIXTURE_SETUP(errors)
{
	su_open(_metadata, &self->su, ZT_LO4, ZT_LO6);
}

FIXTURE_TEARDOWN(errors)
{
	zcio_close(self->su.sp.ctx);
}

/* The same answer twice; and the sockets are as they were. */
static void refused(struct __test_metadata *_metadata, struct su *su, int source, int drain, int err)
{
	for (int round = 0; round < 2; round++)
		ASSERT_EQ(-err, sp_call(&su->sp, source, drain, 0, 0, 0));
	su_send(_metadata, su, 10);
	su_recv(_metadata, su, su->sp.source, 10);
}

TEST_F(errors, not_open_is_EBADF)
{
	struct su *su = &self->su;

	refused(_metadata, su, -1, su->sp.drain, EBADF);
	refused(_metadata, su, su->sp.source, -1, EBADF);
	refused(_metadata, su, su->sp.source, 999, EBADF);
}

TEST_F(errors, not_a_socket_is_ENOTSOCK)
{
	struct su *su = &self->su;

	refused(_metadata, su, su->sp.dev, su->sp.drain, ENOTSOCK);
	refused(_metadata, su, su->sp.source, su->sp.dev, ENOTSOCK);
}

TEST_F(errors, negative_maximum_or_idle_time_is_EINVAL)
{
	struct su *su = &self->su;

	ASSERT_EQ(-EINVAL, sp_call(&su->sp, su->sp.source, su->sp.drain, -1, 0, 0));
	ASSERT_EQ(-EINVAL, sp_call(&su->sp, su->sp.source, su->sp.drain, 0, -1, 0));
	ASSERT_EQ(-EINVAL, sp_call(&su->sp, su->sp.source, su->sp.drain, 0, 0, 2));
	su_send(_metadata, su, 10);
	su_recv(_metadata, su, su->sp.source, 10);
}

TEST_F(errors, drain_that_is_not_connected_is_ENOTCONN)
{
	struct su *su = &self->su;
	struct zt_addr at;
	int fresh = zt_socket(_metadata, ZT_LO4, false, SOCK_DGRAM);
	int bound = su_socket(_metadata, ZT_LO4, false, &at);

	refused(_metadata, su, su->sp.source, fresh, ENOTCONN);
	refused(_metadata, su, su->sp.source, bound, ENOTCONN);
	/* The source need not be. */
	ASSERT_EQ(0, sp_call(&su->sp, bound, su->sp.drain, 0, 0, 0));
}

TEST_F(errors, other_protocols_are_EPROTONOSUPPORT)
{
	struct su *su = &self->su;
	int tcp, peer;

	zt_tcp(_metadata, ZT_LO4, &tcp, &peer);
	refused(_metadata, su, su->sp.source, tcp, EPROTONOSUPPORT);
	refused(_metadata, su, tcp, su->sp.drain, EPROTONOSUPPORT);
	refused(_metadata, su, su->sp.source, socket(AF_INET, SOCK_RAW, IPPROTO_UDP), EPROTONOSUPPORT);
	refused(_metadata, su, socket(AF_UNIX, SOCK_DGRAM, 0), su->sp.drain, EPROTONOSUPPORT);
}

TEST_F(errors, spliced_already_is_EBUSY)
{
	struct su *su = &self->su, other;
	struct sp *sp = &su->sp;

	su_open(_metadata, &other, ZT_LO4, ZT_LO4);
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(-EBUSY, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(sp, sp->source, other.sp.drain, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(sp, other.sp.source, sp->drain, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(&other.sp, sp->source, other.sp.drain, 0, 0, ZCIO_SPLICE_HANDLE));
	/* On the other side there is room, once. */
	ASSERT_EQ(0, sp_call(sp, sp->drain, other.sp.drain, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(sp, sp->drain, other.sp.drain, 0, 0, 0));
	su_pass(_metadata, su, 500);
}

TEST_F(errors, stopping_what_is_not_spliced_is_EPROTO)
{
	struct su *su = &self->su;
	struct sp *sp = &su->sp;

	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->source, NULL));
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->drain, NULL));
	ASSERT_EQ(0, sp_stop(sp, sp->source, NULL));
	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->source, NULL));
	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->handle, NULL));
}

/* The descriptors are all that was changed: nothing is left of a splice at its sockets. */
TEST_F(errors, sockets_are_as_before)
{
	struct su *su = &self->su;
	struct sp *sp = &su->sp;

	for (int i = 0; i < 200; i++) {
		sp_start(_metadata, sp, 0, 0);
		su_pass(_metadata, su, i);
		ASSERT_EQ(0, sp_stop(sp, sp->handle, NULL));
		close(sp->handle);
		su_send(_metadata, su, i);
		ASSERT_TRUE(sp_poll(_metadata, sp->source, POLLIN) & POLLIN);
		su_recv(_metadata, su, sp->source, i);
	}
	ASSERT_EQ(0, su_held(_metadata, sp->source));
}

/* A socket cannot become another kind while its operations are ours. */
TEST_F(errors, version_stays_meanwhile)
{
	struct su *su = &self->su;
	int v4 = AF_INET;

	sp_start(_metadata, &su->sp, 0, 0);
	ASSERT_EQ(-1, setsockopt(su->sp.drain, SOL_IPV6, IPV6_ADDRFORM, &v4, sizeof(v4)));
	ASSERT_EQ(EBUSY, errno);
}

/* No descriptor, no splice. */
TEST_F(errors, no_room_for_a_handle_is_EMFILE)
{
	struct su *su = &self->su;
	struct rlimit before, limit;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	limit = before;
	limit.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(-EMFILE, sp_call(&su->sp, su->sp.source, su->sp.drain, 0, 0, ZCIO_SPLICE_HANDLE));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
	ASSERT_EQ(0, sp_call(&su->sp, su->sp.source, su->sp.drain, 0, 0, 0));
	su_pass(_metadata, su, 10);
}

/* Our own way of reading waits as any other. */
TEST_F(errors, zc_readv_of_a_source_is_EAGAIN)
{
	struct su *su = &self->su;
	struct zt z;
	struct iovec iov;

	zt_open(_metadata, &z, 32, 0);
	iov = zt_iov(z.win, ZT_PAGES(32));
	ASSERT_EQ(0, fcntl(su->sp.source, F_SETFL, O_NONBLOCK));
	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 100);
	ASSERT_EQ(-EAGAIN, zt_readv(z.dev, su->sp.source, &iov, 1, NULL, 0));
	/* Nor is what waits there for the drain, which a program has corked. */
	zt_fill(su_buffer, 20, 1000 * SU_STEP);
	ASSERT_EQ(10, send(su->sp.drain, su_buffer, 10, MSG_MORE));
	su_send(_metadata, su, 100);
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(-EAGAIN, zt_readv(z.dev, su->sp.source, &iov, 1, NULL, 0));
		usleep(1000);
	}
	zt_fill(su_buffer, 20, 1000 * SU_STEP);
	ASSERT_EQ(10, send(su->sp.drain, su_buffer + 10, 10, 0));
	su_get(_metadata, su->sp.to, 1000, 20);
	su_recv(_metadata, su, su->sp.to, 100);
	ASSERT_EQ(0, sp_stop(&su->sp, su->sp.source, NULL));
	su_send(_metadata, su, 100);
	ASSERT_EQ(1, zt_readv(z.dev, su->sp.source, &iov, 1, NULL, 0));
	ASSERT_EQ(100, iov.iov_len);
	zcio_close(z.ctx);
}

TEST_HARNESS_MAIN
