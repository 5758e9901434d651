// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing TCP to TCP: what moves, what ends it and what is told.
 * timeout: 300
 */
#include "splice.h"

FIXTURE(tcp)
{
	struct sp sp;
};

FIXTURE_VARIANT(tcp)
{
	enum zt_path in, out;
};

FIXTURE_VARIANT_ADD(tcp, lo4_to_lo4) { ZT_LO4, ZT_LO4 };
FIXTURE_VARIANT_ADD(tcp, lo4_to_lo6) { ZT_LO4, ZT_LO6 };
FIXTURE_VARIANT_ADD(tcp, wire6_to_lo4) { ZT_WIRE6, ZT_LO4 };
FIXTURE_VARIANT_ADD(tcp, wire4_to_wire6) { ZT_WIRE4, ZT_WIRE6 };

FIXTURE_SETUP(tcp)
{
	sp_open(_metadata, &self->sp, variant->in, variant->out);
}

FIXTURE_TEARDOWN(tcp)
{
	zcio_close(self->sp.ctx);
}

/* ---- what moves ---- */

TEST_F(tcp, queued_data_moves_at_once)
{
	struct sp *sp = &self->sp;

	sp_queue(_metadata, sp, 50000);
	sp_start(_metadata, sp, 0, 0);
	sp_recv(_metadata, sp, sp->to, 50000);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->source).state);
}

TEST_F(tcp, every_byte_arrives_in_order)
{
	struct sp *sp = &self->sp;
	struct zt_stream in = { .fd = sp->from, .sends = true, .len = 8 << 20 };
	struct zt_stream out = { .fd = sp->to, .len = 8 << 20 };

	sp_start(_metadata, sp, 0, 0);
	zt_stream_start(_metadata, &in);
	zt_stream_start(_metadata, &out);
	zt_stream_join(_metadata, &in);
	zt_stream_join(_metadata, &out);
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, 8 << 20);
	/* A device may put some bytes beside the headers; loopback does not. */
	if (variant->in < ZT_WIRE4)
		sp_not_copied(_metadata, sp);
}

TEST_F(tcp, both_ways)
{
	struct sp *sp = &self->sp;
	struct zt_stream s[] = {
		{ .fd = sp->from, .sends = true, .len = 2 << 20 },
		{ .fd = sp->to, .len = 2 << 20 },
		{ .fd = sp->to, .sends = true, .len = 2 << 20, .pos = 77 },
		{ .fd = sp->from, .len = 2 << 20, .pos = 77 },
	};

	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, sp_call(sp, sp->drain, sp->source, 0, 0, 0));
	for (int i = 0; i < 4; i++)
		zt_stream_start(_metadata, &s[i]);
	for (int i = 0; i < 4; i++)
		zt_stream_join(_metadata, &s[i]);
}

TEST_F(tcp, small_messages_back_and_forth)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, sp_call(sp, sp->drain, sp->source, 0, 0, 0));
	for (int i = 0; i < 200; i++) {
		sp_send(_metadata, sp, 1 + i * 7);
		sp_recv(_metadata, sp, sp->to, 1 + i * 7);
		zt_send(_metadata, sp->to, 1 + i, i);
		zt_recv(_metadata, sp->from, 1 + i, i);
	}
}

/* A socket that is its own drain sends everything back. */
TEST_F(tcp, echo)
{
	struct sp *sp = &self->sp;

	ASSERT_EQ(0, sp_call(sp, sp->source, sp->source, 0, 0, 0));
	for (int i = 0; i < 20; i++) {
		sp_send(_metadata, sp, 3000);
		sp_recv(_metadata, sp, sp->from, 3000);
	}
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	while (sp_status(_metadata, sp, sp->source).state == ZCIO_SPLICE_RUNNING)
		usleep(1000);
	ASSERT_EQ(ZCIO_SPLICE_EOF, sp_status(_metadata, sp, sp->source).state);
	sp_no_ulp(_metadata, sp->source);
}

TEST_F(tcp, chain_of_splices)
{
	struct sp *sp = &self->sp, next;

	/* What comes out of the first one goes into the second one. */
	next = *sp;
	next.from = sp->to;
	zt_tcp(_metadata, variant->out, &next.drain, &next.to);
	ASSERT_EQ(0, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
	ASSERT_EQ(0, sp_call(sp, sp->to, next.drain, 0, 0, 0));
	sp_send(_metadata, sp, 200000);
	sp_recv(_metadata, sp, next.to, 200000);
}

/* ---- ends ---- */

TEST_F(tcp, end_of_file_leaves_the_drain_open)
{
	struct sp *sp = &self->sp;
	char c;

	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, 10000);
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, 10000);
	ASSERT_TRUE(sp_poll(_metadata, sp->source, POLLIN) & POLLIN);
	ASSERT_EQ(0, recv(sp->source, &c, 1, 0));
	ASSERT_EQ(0, sp_error(_metadata, sp->source));
	sp_recv(_metadata, sp, sp->to, 10000);
	zt_nothing(_metadata, sp->to);
	zt_send(_metadata, sp->drain, 10, 5);
	zt_recv(_metadata, sp->to, 10, 5);
	sp_no_ulp(_metadata, sp->source);
	sp_no_ulp(_metadata, sp->drain);
}

TEST_F(tcp, end_of_file_was_there_before)
{
	struct sp *sp = &self->sp;

	sp_queue(_metadata, sp, 100);
	ASSERT_EQ(0, close(sp->from));
	sp_start(_metadata, sp, 0, 0);
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, 100);
	sp_recv(_metadata, sp, sp->to, 100);
}

TEST_F(tcp, maximum_in_the_middle_of_a_segment)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 1234, 0);
	sp_send(_metadata, sp, 5000);
	sp_ends(_metadata, sp, ZCIO_SPLICE_MAX, EFBIG, 1234);
	ASSERT_TRUE(sp_poll(_metadata, sp->source, POLLIN) & POLLERR);
	ASSERT_EQ(EFBIG, sp_error(_metadata, sp->source));
	ASSERT_EQ(0, sp_error(_metadata, sp->source));
	sp_recv(_metadata, sp, sp->to, 1234);
	zt_nothing(_metadata, sp->to);
	/* The rest is the program's. */
	sp_recv(_metadata, sp, sp->source, 5000 - 1234);
	ASSERT_EQ(1234, sp_status(_metadata, sp, sp->source).moved);
}

TEST_F(tcp, maximum_again_and_again)
{
	struct sp *sp = &self->sp;

	sp_queue(_metadata, sp, 30000);
	for (int i = 0; i < 10; i++) {
		char head[100];

		/* A head that the program reads, a body that is spliced. */
		ASSERT_EQ(100, recv(sp->source, head, 100, MSG_WAITALL));
		ASSERT_EQ(100, zt_same(head, 100, sp->got));
		sp->got += 100;
		sp_start(_metadata, sp, 2900, 0);
		sp_ends(_metadata, sp, ZCIO_SPLICE_MAX, EFBIG, 2900);
		ASSERT_EQ(EFBIG, sp_error(_metadata, sp->source));
		sp_recv(_metadata, sp, sp->to, 2900);
		close(sp->handle);
	}
	zt_nothing(_metadata, sp->source);
}

TEST_F(tcp, maximum_that_is_all_there_is)
{
	struct sp *sp = &self->sp;

	sp_queue(_metadata, sp, 1000);
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	sp_start(_metadata, sp, 1000, 0);
	sp_ends(_metadata, sp, ZCIO_SPLICE_MAX, EFBIG, 1000);
	sp_recv(_metadata, sp, sp->to, 1000);
}

TEST_F(tcp, idle_time)
{
	struct sp *sp = &self->sp;

	sp_queue(_metadata, sp, 700);
	sp_start(_metadata, sp, 0, 50);
	sp_ends(_metadata, sp, ZCIO_SPLICE_IDLE, ETIMEDOUT, 700);
	sp_recv(_metadata, sp, sp->to, 700);
	ASSERT_EQ(ETIMEDOUT, sp_error(_metadata, sp->source));
	/* Both connections are there. */
	sp_send(_metadata, sp, 10);
	sp_recv(_metadata, sp, sp->source, 10);
	zt_send(_metadata, sp->drain, 10, 5);
	zt_recv(_metadata, sp->to, 10, 5);
}

TEST_F(tcp, idle_time_with_a_drain_that_is_full)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 300);
	sp_fill(_metadata, sp);
	ASSERT_EQ(ZCIO_SPLICE_IDLE, sp_end(_metadata, sp).state);
	ASSERT_EQ(ETIMEDOUT, sp_error(_metadata, sp->source));
}

TEST_F(tcp, drain_shut_down_is_EPIPE)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->to, 100);
	ASSERT_EQ(0, shutdown(sp->drain, SHUT_WR));
	sp_ends(_metadata, sp, ZCIO_SPLICE_DRAIN, EPIPE, 100);
	ASSERT_EQ(EPIPE, sp_error(_metadata, sp->source));
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
}

TEST_F(tcp, drain_shut_down_before_is_EPIPE)
{
	struct sp *sp = &self->sp;

	ASSERT_EQ(0, shutdown(sp->drain, SHUT_WR));
	sp_start(_metadata, sp, 0, 0);
	sp_ends(_metadata, sp, ZCIO_SPLICE_DRAIN, EPIPE, 0);
}

TEST_F(tcp, drain_reset_is_EPIPE_and_the_drain_keeps_its_error)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	zt_reset(_metadata, sp->to);
	sp_ends(_metadata, sp, ZCIO_SPLICE_DRAIN, EPIPE, 0);
	ASSERT_EQ(EPIPE, sp_error(_metadata, sp->source));
	ASSERT_EQ(ECONNRESET, sp_error(_metadata, sp->drain));
}

TEST_F(tcp, source_reset)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, 3000);
	sp_recv(_metadata, sp, sp->to, 3000);
	zt_reset(_metadata, sp->from);
	sp_ends(_metadata, sp, ZCIO_SPLICE_SOURCE, ECONNRESET, 3000);
	ASSERT_EQ(ECONNRESET, sp_error(_metadata, sp->source));
	/* The drain is not touched. */
	zt_send(_metadata, sp->drain, 10, 5);
	zt_recv(_metadata, sp->to, 10, 5);
}

TEST_F(tcp, source_shut_down_for_reading)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, shutdown(sp->source, SHUT_RD));
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, 0);
}

TEST_F(tcp, disconnect_ends_it)
{
	struct sp *sp = &self->sp;
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, connect(sp->source, &none, sizeof(none)));
	sp_ends(_metadata, sp, ZCIO_SPLICE_CLOSED, 0, 0);
	sp_no_ulp(_metadata, sp->source);
	sp_no_ulp(_metadata, sp->drain);
	ASSERT_EQ(0, listen(sp->source, 1));
}

TEST_F(tcp, stopped_by_hand)
{
	struct sp *sp = &self->sp;
	uint64_t moved = 0;

	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, 5000);
	sp_recv(_metadata, sp, sp->to, 5000);
	ASSERT_EQ(0, sp_stop(sp, sp->source, &moved));
	ASSERT_EQ(5000, moved);
	sp_ends(_metadata, sp, ZCIO_SPLICE_STOPPED, 0, 5000);
	ASSERT_EQ(0, sp_error(_metadata, sp->source));
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
	ASSERT_EQ(5000, sp_status(_metadata, sp, sp->source).moved);
	close(sp->handle);
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, sp_status(_metadata, sp, sp->source).moved);
}

/* What was moved until then, and what was not, are the whole stream. */
TEST_F(tcp, stopped_during_traffic)
{
	struct sp *sp = &self->sp;

	for (int round = 0; round < 20; round++) {
		struct zt_stream in = {
			.fd = sp->from, .sends = true, .len = 300000, .pos = sp->sent,
		};
		uint64_t moved = 0;

		sp_start(_metadata, sp, 0, 0);
		zt_stream_start(_metadata, &in);
		usleep(round * 300);
		ASSERT_EQ(0, sp_stop(sp, sp->handle, &moved));
		close(sp->handle);
		ASSERT_GE(300000, moved);
		sp_recv(_metadata, sp, sp->to, moved);
		zt_nothing(_metadata, sp->to);
		sp_recv(_metadata, sp, sp->source, 300000 - moved);
		zt_stream_join(_metadata, &in);
		sp->sent += 300000;
	}
}

TEST_F(tcp, source_closed)
{
	struct sp *sp = &self->sp;
	char c;

	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->to, 100);
	ASSERT_EQ(0, close(sp->source));
	sp_ends(_metadata, sp, ZCIO_SPLICE_CLOSED, 0, 100);
	ASSERT_EQ(0, recv(sp->from, &c, 1, 0));
	zt_send(_metadata, sp->drain, 10, 5);
	zt_recv(_metadata, sp->to, 10, 5);
	sp_no_ulp(_metadata, sp->drain);
}

TEST_F(tcp, drain_closed)
{
	struct sp *sp = &self->sp;
	char c;

	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->to, 100);
	ASSERT_EQ(0, close(sp->drain));
	sp_ends(_metadata, sp, ZCIO_SPLICE_CLOSED, 0, 100);
	ASSERT_EQ(0, recv(sp->to, &c, 1, 0));
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
	sp_no_ulp(_metadata, sp->source);
}

TEST_F(tcp, both_closed_during_traffic)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, sp_call(sp, sp->drain, sp->source, 0, 0, 0));
	sp_fill(_metadata, sp);
	ASSERT_EQ(0, close(sp->source));
	ASSERT_EQ(0, close(sp->drain));
	ASSERT_EQ(ZCIO_SPLICE_CLOSED, sp_end(_metadata, sp).state);
}

TEST_F(tcp, handle_closed)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(0, close(sp->handle));
	ASSERT_EQ(ZCIO_SPLICE_STOPPED, sp_status(_metadata, sp, sp->source).state);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
}

TEST_F(tcp, context_closed)
{
	struct sp *sp = &self->sp;
	struct pollfd p;

	sp_start(_metadata, sp, 0, 0);
	zcio_close(sp->ctx);
	p = (struct pollfd) { .fd = sp->handle, .events = POLLIN };
	ASSERT_EQ(1, poll(&p, 1, -1));
	sp->ctx = zcio_open();
	ASSERT_EQ(ZCIO_SPLICE_STOPPED, sp_status(_metadata, sp, sp->handle).state);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
}

TEST_HARNESS_MAIN
