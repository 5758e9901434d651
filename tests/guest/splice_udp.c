// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing UDP to UDP: what moves, what ends it and what is told.
 * timeout: 300
 */
#include "splice_udp.h"

FIXTURE(udp)
{
	struct su su;
};

FIXTURE_VARIANT(udp)
{
	enum zt_path in, out;
};

FIXTURE_VARIANT_ADD(udp, lo4_to_lo4) { ZT_LO4, ZT_LO4 };
FIXTURE_VARIANT_ADD(udp, lo4_to_lo6) { ZT_LO4, ZT_LO6 };
FIXTURE_VARIANT_ADD(udp, wire6_to_lo4) { ZT_WIRE6, ZT_LO4 };
FIXTURE_VARIANT_ADD(udp, wire4_to_wire6) { ZT_WIRE4, ZT_WIRE6 };
FIXTURE_VARIANT_ADD(udp, lo6_to_wire4) { ZT_LO6, ZT_WIRE4 };

FIXTURE_SETUP(udp)
{
	su_open(_metadata, &self->su, variant->in, variant->out);
}

FIXTURE_TEARDOWN(udp)
{
	zcio_close(self->su.sp.ctx);
}

/* ---- what moves ---- */

TEST_F(udp, queued_datagrams_move_at_once)
{
	struct su *su = &self->su;

	for (int i = 0; i < 20; i++)
		su_send(_metadata, su, 100 + i);
	su_queued(_metadata, su->sp.source, 100);
	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 20; i++)
		su_recv(_metadata, su, su->sp.to, 100 + i);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &su->sp, su->sp.source).state);
}

TEST_F(udp, boundaries_are_kept_whatever_the_size)
{
	static const size_t sizes[] = {
		0, 1, 2, 7, 100, 511, 1400, 1452, 1453, 1471, 1472, 1473, 2000, 2952, 4095, 4096, 4097,
		8191, 8952, 8972, 8973, 10000, 16384, 20001, 32768, 40000, 60000, 65000, SU_LARGEST - 1,
		SU_LARGEST,
	};
	struct su *su = &self->su;
	uint64_t all = 0;

	sp_start(_metadata, &su->sp, 0, 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
			su_pass(_metadata, su, sizes[i]);
			all += sizes[i];
		}
	}
	su_moved(_metadata, su, su->sp.source, all);
}

TEST_F(udp, every_byte_arrives_in_order)
{
	struct su *su = &self->su;
	uint64_t seed = 7, all = 0;
	size_t len[50];

	sp_start(_metadata, &su->sp, 0, 0);
	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < 50; i++) {
			len[i] = zt_draw(&seed, zt_draw(&seed, 4) ? 1400 : 20000);
			all += len[i];
			su_send(_metadata, su, len[i]);
		}
		for (int i = 0; i < 50; i++)
			su_recv(_metadata, su, su->sp.to, len[i]);
	}
	ASSERT_EQ(0, sp_stop(&su->sp, su->sp.source, NULL));
	ASSERT_EQ(all, sp_status(_metadata, &su->sp, su->sp.handle).moved);
	/* What goes on as it came takes no memory; version 6 needs more room before it. */
	if (variant->in == ZT_LO4 && variant->out == ZT_LO4)
		ASSERT_EQ(0, sp_status(_metadata, &su->sp, su->sp.handle).copied);
}

TEST_F(udp, both_ways)
{
	struct su *su = &self->su;
	struct zt_addr from = { .len = sizeof(from.in6) };

	/* The source answers to who has sent. */
	ASSERT_EQ(0, getsockname(su->sp.from, &from.sa, &from.len));
	su_connect(_metadata, su->sp.source, &from);
	sp_start(_metadata, &su->sp, 0, 0);
	ASSERT_EQ(0, sp_call(&su->sp, su->sp.drain, su->sp.source, 0, 0, 0));
	for (int i = 0; i < 200; i++) {
		su_pass(_metadata, su, 1 + i * 7);
		su_put(_metadata, su->sp.to, i, 1 + i);
		su_get(_metadata, su->sp.from, i, 1 + i);
	}
}

/* Whoever it comes from. */
TEST_F(udp, senders_of_all_kinds)
{
	struct su *su = &self->su;
	struct zt_addr at;

	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 20; i++) {
		int fd = su_socket(_metadata, variant->in, true, &at);

		su_connect(_metadata, fd, &su->at_source);
		su_put(_metadata, fd, su->got, 50 + i);
		su_recv(_metadata, su, su->sp.to, 50 + i);
		close(fd);
	}
}

TEST_F(udp, chain_of_splices)
{
	struct su *su = &self->su, other = *su;
	int drain, to;

	ASSERT_EQ(0, sp_call(&su->sp, su->sp.source, su->sp.drain, 0, 0, 0));
	/* What comes out goes in again elsewhere. */
	su_drain(_metadata, &other, ZT_LO4, &drain, &to);
	ASSERT_EQ(0, sp_call(&su->sp, su->sp.to, drain, 0, 0, 0));
	for (int i = 0; i < 100; i++) {
		su_send(_metadata, su, i * 100);
		su_recv(_metadata, su, to, i * 100);
	}
}

/* ---- ends ---- */

TEST_F(udp, shut_down_source_is_the_end_of_file)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 1000);
	shutdown(su->sp.source, SHUT_RD);
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_EOF, 0, 1000);
	ASSERT_EQ(0, sp_error(_metadata, su->sp.source));
}

TEST_F(udp, maximum_that_is_reached)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 3000, 0);
	for (int i = 0; i < 4; i++)
		su_send(_metadata, su, 1000);
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_MAX, EFBIG, 3000);
	ASSERT_EQ(EFBIG, sp_error(_metadata, su->sp.source));
	ASSERT_EQ(0, sp_error(_metadata, su->sp.source));
	for (int i = 0; i < 3; i++)
		su_recv(_metadata, su, su->sp.to, 1000);
	su_recv(_metadata, su, su->sp.source, 1000);
	su_nothing(_metadata, su->sp.to);
}

TEST_F(udp, datagram_above_the_maximum_stays)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 2999, 0);
	su_send(_metadata, su, 1000);
	su_send(_metadata, su, 1000);
	su_send(_metadata, su, 1000);
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_MAX, EFBIG, 2000);
	ASSERT_TRUE(sp_poll(_metadata, su->sp.source, POLLIN) & POLLERR);
	ASSERT_EQ(EFBIG, sp_error(_metadata, su->sp.source));
	su_recv(_metadata, su, su->sp.to, 1000);
	su_recv(_metadata, su, su->sp.to, 1000);
	su_recv(_metadata, su, su->sp.source, 1000);
	su_nothing(_metadata, su->sp.to);
}

TEST_F(udp, idle_time)
{
	struct su *su = &self->su;

	su_send(_metadata, su, 700);
	sp_start(_metadata, &su->sp, 0, 50);
	ASSERT_EQ(ZCIO_SPLICE_IDLE, sp_end(_metadata, &su->sp).state);
	ASSERT_EQ(ETIMEDOUT, sp_error(_metadata, su->sp.source));
	su_send(_metadata, su, 10);
}

TEST_F(udp, drain_shut_down_is_EPIPE)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 100);
	ASSERT_EQ(0, shutdown(su->sp.drain, SHUT_WR));
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_DRAIN, EPIPE, 100);
	ASSERT_EQ(EPIPE, sp_error(_metadata, su->sp.source));
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
}

/* Nobody is there: an ICMP error comes back. */
TEST_F(udp, drain_that_is_refused_is_EPIPE_and_keeps_its_error)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	close(su->sp.to);
	su_send(_metadata, su, 100);
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_DRAIN, EPIPE, 100);
	ASSERT_EQ(EPIPE, sp_error(_metadata, su->sp.source));
	ASSERT_EQ(ECONNREFUSED, sp_error(_metadata, su->sp.drain));
}

TEST_F(udp, disconnected_drain)
{
	struct su *su = &self->su;
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	sp_start(_metadata, &su->sp, 0, 0);
	ASSERT_EQ(0, connect(su->sp.drain, &none, sizeof(none)));
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_CLOSED, 0, 0);
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
}

/* … and one that is connected elsewhere sends there. */
TEST_F(udp, drain_that_is_connected_elsewhere)
{
	struct su *su = &self->su;
	int before = su->sp.to;

	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 100);
	su->sp.to = su_socket(_metadata, variant->out, true, &su->at_to);
	su_connect(_metadata, su->sp.drain, &su->at_to);
	for (int i = 0; i < 10; i++)
		su_pass(_metadata, su, 100);
	su_nothing(_metadata, before);
}

TEST_F(udp, stopped_by_hand)
{
	struct su *su = &self->su;
	uint64_t moved = 0;

	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 5000);
	ASSERT_EQ(0, sp_stop(&su->sp, su->sp.source, &moved));
	ASSERT_EQ(5000, moved);
	ASSERT_EQ(-EPROTO, sp_stop(&su->sp, su->sp.source, &moved));
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_STOPPED, 0, 5000);
	ASSERT_EQ(0, sp_error(_metadata, su->sp.source));
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
	close(su->sp.handle);
	sp_start(_metadata, &su->sp, 0, 0);
	ASSERT_EQ(0, sp_status(_metadata, &su->sp, su->sp.source).moved);
	su_pass(_metadata, su, 10);
}

/* What was moved until then, and what was not, are all. */
TEST_F(udp, stopped_during_traffic)
{
	struct su *su = &self->su;

	for (int round = 0; round < 30; round++) {
		uint64_t moved = 0;
		int n;

		sp_start(_metadata, &su->sp, 0, 0);
		for (int i = 0; i < 60; i++) {
			su_send(_metadata, su, 1000);
			if (i == round * 2)
				ASSERT_EQ(0, sp_stop(&su->sp, su->sp.handle, &moved));
		}
		close(su->sp.handle);
		ASSERT_EQ(0, moved % 1000);
		n = moved / 1000;
		ASSERT_GE(60, n);
		for (int i = 0; i < n; i++)
			su_recv(_metadata, su, su->sp.to, 1000);
		for (int i = n; i < 60; i++)
			su_recv(_metadata, su, su->sp.source, 1000);
		su_nothing(_metadata, su->sp.to);
		su_nothing(_metadata, su->sp.source);
	}
}

TEST_F(udp, source_closed)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 100);
	ASSERT_EQ(0, close(su->sp.source));
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_CLOSED, 0, 100);
	su_put(_metadata, su->sp.drain, su->got, 10);
	su_recv(_metadata, su, su->sp.to, 10);
}

TEST_F(udp, drain_closed)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	su_pass(_metadata, su, 100);
	ASSERT_EQ(0, close(su->sp.drain));
	sp_ends(_metadata, &su->sp, ZCIO_SPLICE_CLOSED, 0, 100);
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
}

TEST_F(udp, handle_closed)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	ASSERT_EQ(0, close(su->sp.handle));
	ASSERT_EQ(ZCIO_SPLICE_STOPPED, sp_status(_metadata, &su->sp, su->sp.source).state);
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
}

TEST_F(udp, context_closed)
{
	struct su *su = &self->su;

	sp_start(_metadata, &su->sp, 0, 0);
	zcio_close(su->sp.ctx);
	su->sp.ctx = zcio_open();
	ASSERT_EQ(ZCIO_SPLICE_STOPPED, sp_end(_metadata, &su->sp).state);
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
}

TEST_HARNESS_MAIN
