// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_writev promises of a good call: payloads of every offset and size, areas that
 * read as zeros afterwards and can be written without the peer seeing it, what a call
 * says that could take only a part, ZCIO_MORE, pages that someone else holds, and the
 * counters. Over the loopback device and over the guest's network devices.
 *
 * timeout: 240
 */
#include <linux/sockios.h>

#include "area.h"
#include "caller.h"

#define POOL	2048

FIXTURE(tx)
{
	struct zt z;	/* the local end sends, the peer receives */
};

FIXTURE_VARIANT(tx)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(tx, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(tx, lo6) { .path = ZT_LO6 };
FIXTURE_VARIANT_ADD(tx, wire4) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(tx, wire6) { .path = ZT_WIRE6 };

FIXTURE_SETUP(tx)
{
	zt_open(_metadata, &self->z, 0, POOL);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(tx)
{
	zcio_close(self->z.ctx);
}

/* Sends one payload, checks the area and what the call says. */
static void send_one(struct __test_metadata *_metadata, struct zt *z, size_t pages, size_t offset,
		     size_t len, uint64_t pos)
{
	struct zcio_payload info[1];
	uint64_t taken;
	pair iov[1];

	zt_area(z, iov[0], 0, pages, offset, len, pos);
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, &taken));
	ASSERT_EQ(len, taken);
	ASSERT_EQ(len, info[0].mapped + info[0].copied);
	ASSERT_EQ(0, info[0].why & ~ZCIO_WHY_DEVICE);
	ASSERT_EQ(ZT_PAGES(pages), zt_zeros(z->pool, ZT_PAGES(pages))) {
		TH_LOG("offset %zu length %zu", offset, len);
	}
}

TEST_F(tx, lengths_around_a_page_at_many_offsets)
{
	static const size_t lengths[] = { 1, 4095, 4096, 4097 };
	static const size_t offsets[] = { 0, 1, 54, 2048, 4094, 4095 };
	uint64_t pos = 0;

	for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (int j = 0; j < ARRAY_SIZE(offsets); j++) {
			send_one(_metadata, &self->z, 3, offsets[j], lengths[i], pos);
			zt_recv(_metadata, self->z.tx, lengths[i], pos);
			pos += lengths[i];
		}
	}
}

TEST_F(tx, one_mebibyte_and_several)
{
	static const size_t lengths[] = { 1 << 20, 3 << 20, (5 << 20) + 123 };
	struct zt_stream s = { .fd = self->z.tx };
	uint64_t pos = 0;

	for (int i = 0; i < ARRAY_SIZE(lengths); i++)
		s.len += lengths[i];
	zt_stream_start(_metadata, &s);
	for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
		send_one(_metadata, &self->z, lengths[i] / ZT_PAGE + 3, 4000, lengths[i], pos);
		pos += lengths[i];
	}
	zt_stream_join(_metadata, &s);
}

TEST_F(tx, count_1024)
{
	static struct zcio_payload info[ZCIO_MAX_ELEMENTS];
	static pair iov[ZCIO_MAX_ELEMENTS];
	struct zt_stream s = { .fd = self->z.tx };
	uint64_t pos = 0, taken;

	for (int i = 0; i < ZCIO_MAX_ELEMENTS; i++) {
		size_t len = 1 + (i * 37) % 5000;

		zt_area(&self->z, iov[i], 2 * i, 2, i % 3000, len, pos);
		pos += len;
	}
	s.len = pos;
	zt_stream_start(_metadata, &s);
	ASSERT_EQ(ZCIO_MAX_ELEMENTS, zt_writev(self->z.dev, self->z.rx, iov, ZCIO_MAX_ELEMENTS,
					       info, 0, &taken));
	ASSERT_EQ(pos, taken);
	for (int i = 0; i < ZCIO_MAX_ELEMENTS; i++)
		ASSERT_EQ(iov[i][1].iov_len, info[i].mapped + info[i].copied);
	ASSERT_EQ(ZT_PAGES(POOL), zt_zeros(self->z.pool, ZT_PAGES(POOL)));
	zt_stream_join(_metadata, &s);
}

TEST_F(tx, head_and_tail_room_read_as_zeros)
{
	send_one(_metadata, &self->z, 9, ZT_PAGES(4) + 5, 1000, 0);
	send_one(_metadata, &self->z, 9, 0, 10, 1000);
	send_one(_metadata, &self->z, 9, ZT_PAGES(9) - 10, 10, 1010);
	zt_recv(_metadata, self->z.tx, 1020, 0);
}

/* Nothing written to an area after the call can change what the peer reads later. */
TEST_F(tx, writes_after_the_call_are_not_sent)
{
	struct zt *z = &self->z;
	pair iov[8];

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 8; i++)
			zt_area(z, iov[i], 2 * i, 2, 77, 5000, round * 40000 + i * 5000);
		ASSERT_EQ(8, zc_writev(z->rx, iov, 8));
		memset(z->pool, 0x5a, ZT_PAGES(16));
	}
	zt_recv(_metadata, z->tx, 160000, 0);
	for (size_t i = 0; i < ZT_PAGES(16); i++)
		ASSERT_EQ(0x5a, z->pool[i]);
}

/* Pages are used again and again while the peer is late. */
TEST_F(tx, recycled_pages_never_change_what_is_queued)
{
	struct zt *z = &self->z;
	uint64_t pos = 0, read = 0;

	for (int i = 0; i < 300; i++) {
		size_t len = 1 + (i * 997) % ZT_PAGES(8);
		pair iov[1];

		zt_area(z, iov[0], (i % 2) * 16, 9, i % 4096, len, pos);
		ASSERT_EQ(1, zc_writev(z->rx, iov, 1));
		pos += len;
		/* No more than the buffers hold. */
		if (pos - read > 60000) {
			zt_recv(_metadata, z->tx, 30000, read);
			read += 30000;
		}
	}
	zt_recv(_metadata, z->tx, pos - read, read);
}

/* A socket that takes little at a time. */
static void narrow(struct __test_metadata *_metadata, struct zt *z)
{
	int size = 30000;

	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
}

/*
 * What a call says that took @taken of the payloads @iov: the whole ones, the bytes that
 * read as zeros, and those that are still there. Returns how many were taken whole.
 */
static int check_partial(struct __test_metadata *_metadata, pair *iov, int count, uint64_t taken,
			 uint64_t pos, const struct zcio_payload *info)
{
	int whole = 0;

	for (int i = 0; i < count; i++) {
		char *base = iov[i][0].iov_base, *at = iov[i][1].iov_base;
		size_t size = iov[i][0].iov_len, len = iov[i][1].iov_len;
		size_t went = taken < len ? taken : len;

		ASSERT_EQ(went, info[i].mapped + info[i].copied);
		ASSERT_EQ(went, zt_zeros(at, went));
		ASSERT_EQ(len - went, zt_same(at + went, len - went, pos + went));
		if (went == len) {
			ASSERT_EQ(size, zt_zeros(base, size));
			whole++;
		}
		taken -= went;
		pos += len;
	}
	ASSERT_EQ(0, taken);
	return whole;
}

TEST_F(tx, part_taken_on_a_non_blocking_socket)
{
	struct zt *z = &self->z;
	size_t len = (1 << 20) + 77, sent = 0;
	int parts = 0;
	pair iov[1];

	narrow(_metadata, z);
	zt_nonblock(_metadata, z->rx, true);
	zt_area(z, iov[0], 0, 300, 4001, len, 0);
	while (sent < len) {
		struct zcio_payload info[1];
		uint64_t taken;
		int n = zt_writev(z->dev, z->rx, iov, 1, info, 0, &taken);

		if (n == -EAGAIN) {
			ASSERT_EQ(0, taken);
		} else {
			ASSERT_EQ(n, check_partial(_metadata, iov, 1, taken, sent, info));
			ASSERT_LT(0, taken);
			parts += n == 0;
			sent += taken;
			iov[0][1].iov_base += taken;
			iov[0][1].iov_len -= taken;
			zt_recv(_metadata, z->tx, taken, sent - taken);
		}
	}
	ASSERT_LT(0, parts);
	zt_nothing(_metadata, z->tx);
}

TEST_F(tx, part_taken_of_many_payloads)
{
	struct zt *z = &self->z;
	struct zcio_payload info[100];
	size_t len = 7000;
	uint64_t taken;
	pair iov[100];
	int n;

	narrow(_metadata, z);
	for (int i = 0; i < 100; i++)
		zt_area(z, iov[i], 3 * i, 3, i * 13, len, i * len);
	n = zt_writev(z->dev, z->rx, iov, 100, info, ZCIO_DONTWAIT, &taken);
	ASSERT_LT(0, n);
	ASSERT_GT(100, n);
	ASSERT_EQ(n, check_partial(_metadata, iov, 100, taken, 0, info));
	zt_recv(_metadata, z->tx, taken, 0);
	zt_nothing(_metadata, z->tx);
	/* The rest, one way or the other, and the stream is whole. */
	iov[n][1].iov_base += taken - n * len;
	iov[n][1].iov_len -= taken - n * len;
	{
		struct zt_stream s = { .fd = z->tx, .len = 100 * len - taken, .pos = taken };

		zt_stream_start(_metadata, &s);
		ASSERT_EQ(100 - n, zc_writev(z->rx, iov + n, 100 - n));
		zt_stream_join(_metadata, &s);
	}
	ASSERT_EQ(ZT_PAGES(300), zt_zeros(z->pool, ZT_PAGES(300)));
}

static void no_op(int sig)
{
}

/* A call that has taken a part of 3 MiB and waits for room for the rest. */
struct waiting {
	struct caller c;
	struct zcio_payload info;
	pair iov;
};

static void begin(struct __test_metadata *_metadata, struct zt *z, struct waiting *w)
{
	narrow(_metadata, z);
	zt_area(z, w->iov, 0, 800, 9, 3 << 20, 0);
	w->c = (struct caller)CALLER_WRITEV(z, &w->iov, 1);
	w->c.writev.payloads = ZT_PTR(&w->info);
	caller_start(_metadata, &w->c);
}

/* It says how much that was. */
static void part_taken(struct __test_metadata *_metadata, struct waiting *w)
{
	ASSERT_EQ(0, caller_join(_metadata, &w->c));
	ASSERT_LT(0, w->c.writev.taken);
	ASSERT_EQ(0, check_partial(_metadata, &w->iov, 1, w->c.writev.taken, 0, &w->info));
}

TEST_F(tx, part_taken_when_a_signal_comes)
{
	struct zt *z = &self->z;
	struct waiting w;

	caller_catches(_metadata, true);
	begin(_metadata, z, &w);
	caller_signal(_metadata, &w.c);
	part_taken(_metadata, &w);
	zt_recv(_metadata, z->tx, w.c.writev.taken, 0);
	zt_nothing(_metadata, z->tx);
}

TEST_F(tx, part_taken_when_SO_SNDTIMEO_is_over)
{
	struct timeval t = { .tv_usec = 50000 };
	struct zcio_payload info[1];
	struct zt *z = &self->z;
	size_t len = 3 << 20;
	uint64_t taken;
	pair iov[1];

	narrow(_metadata, z);
	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)));
	zt_area(z, iov[0], 0, 800, 9, len, 0);
	ASSERT_EQ(0, zt_writev(z->dev, z->rx, iov, 1, info, 0, &taken));
	ASSERT_LT(0, taken);
	ASSERT_EQ(0, check_partial(_metadata, iov, 1, taken, 0, info));
	zt_recv(_metadata, z->tx, taken, 0);
	zt_nothing(_metadata, z->tx);
}

TEST_F(tx, part_taken_when_the_peer_resets)
{
	struct zt *z = &self->z;
	struct waiting w;

	signal(SIGPIPE, no_op);
	begin(_metadata, z, &w);
	zt_reset(_metadata, z->tx);
	part_taken(_metadata, &w);
}

/*
 * A call of several areas waits, and the first one, which has gone, is unmapped: the others
 * come back all the same, as memory that can be written and sent.
 */
TEST_F(tx, first_area_unmapped_while_the_call_waits)
{
	enum { AREAS = 8, PAGES = 50 };
	struct zt *z = &self->z;
	pair iov[AREAS], last[1];
	struct caller c = CALLER_WRITEV(z, iov, AREAS);
	char *at = z->pool + ZT_PAGES((AREAS - 1) * PAGES);
	uint64_t taken;

	caller_catches(_metadata, true);
	narrow(_metadata, z);
	for (int i = 0; i < AREAS; i++)
		zt_area(z, iov[i], i * PAGES, PAGES, 0, ZT_PAGES(PAGES), i * ZT_PAGES(PAGES));
	caller_start(_metadata, &c);
	ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(PAGES)));
	caller_signal(_metadata, &c);
	caller_join(_metadata, &c);
	taken = c.writev.taken;
	ASSERT_LT(0, taken);
	ASSERT_GT(ZT_PAGES((AREAS - 1) * PAGES), taken);
	for (int i = 1; i < AREAS; i++)
		if (taken <= i * ZT_PAGES(PAGES))
			ASSERT_EQ(ZT_PAGES(PAGES), zt_same(iov[i][1].iov_base, ZT_PAGES(PAGES),
							   i * ZT_PAGES(PAGES)));
	zt_recv(_metadata, z->tx, taken, 0);
	/* What is written there now is what is sent. */
	zt_fill(at, ZT_PAGES(2), 12345);
	last[0][0] = zt_iov(at, ZT_PAGES(2));
	last[0][1] = last[0][0];
	ASSERT_EQ(1, zc_writev(z->rx, last, 1));
	zt_recv(_metadata, z->tx, ZT_PAGES(2), 12345);
	zt_nothing(_metadata, z->tx);
}

/* Held back by ZCIO_MORE until the next call; the kernel lets it go after a while. */
TEST_F(tx, MORE_holds_back_what_fills_no_segment)
{
	struct zt *z = &self->z;
	bool held = false;
	uint64_t pos = 0;

	for (int i = 0; i < 50 && !held; i++) {
		int unsent = 0;
		pair iov[1];

		zt_area(z, iov[0], 0, 1, 5, 100, pos);
		ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_MORE, NULL));
		ASSERT_EQ(0, ioctl(z->rx, SIOCOUTQNSD, &unsent));
		held = unsent == 100;
		zt_area(z, iov[0], 0, 1, 5, 100, pos + 100);
		ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, NULL, 0, NULL));
		zt_recv(_metadata, z->tx, 200, pos);
		pos += 200;
	}
	ASSERT_TRUE(held);
}

TEST_F(tx, order_beside_send_is_kept)
{
	struct zt_stream s = { .fd = self->z.tx, .len = 400000 };
	struct zt *z = &self->z;
	uint64_t pos = 0;
	size_t step = 1;

	zt_stream_start(_metadata, &s);
	while (pos < 400000) {
		size_t n = step = (step * 29 + 3) % 9973 + 1;
		pair iov[1];

		if (n > 400000 - pos)
			n = 400000 - pos;
		if (step & 1) {
			zt_send(_metadata, z->rx, n, pos);
		} else {
			zt_area(z, iov[0], 0, 4, step % 4096, n, pos);
			ASSERT_EQ(1, zc_writev(z->rx, iov, 1));
		}
		pos += n;
	}
	zt_stream_join(_metadata, &s);
}

TEST_F(tx, counters_are_what_was_moved)
{
	uint64_t mapped = 0, copied = 0, pos = 0;
	struct zt *z = &self->z;
	struct zcio_info info;

	for (int i = 0; i < 20; i++) {
		struct zcio_payload p[2];
		pair iov[2];

		zt_area(z, iov[0], 0, 3, i, 1000 + i, pos);
		zt_area(z, iov[1], 4, 3, 0, 5000, pos + 1000 + i);
		ASSERT_EQ(2, zt_writev(z->dev, z->rx, iov, 2, p, 0, NULL));
		mapped += p[0].mapped + p[1].mapped;
		copied += p[0].copied + p[1].copied;
		zt_recv(_metadata, z->tx, 6000 + i, pos);
		pos += 6000 + i;
	}
	info = zt_info(_metadata, z->ctx);
	ASSERT_EQ(pos, mapped + copied);
	ASSERT_EQ(mapped, info.tx.mapped);
	ASSERT_EQ(copied, info.tx.copied);
	ASSERT_EQ(20, info.tx.calls);
	ASSERT_EQ(40, info.tx.payloads);
	ASSERT_EQ(0, info.rx.calls);
}

/* ---- one device is enough for this ---- */
#define BATCH	1024	/* pages that the module hands over at once */

FIXTURE(every)
{
	struct zt z;
};

FIXTURE_SETUP(every)
{
	zt_open(_metadata, &self->z, 0, 16);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(every)
{
}

TEST_F_TIMEOUT(every, offset_in_the_page, 200)
{
	static const size_t lengths[] = { 1, 4095, 4096, 4097 };
	uint64_t pos = 0;

	for (size_t offset = 0; offset < ZT_PAGE; offset++) {
		size_t len = lengths[(offset / 3) % 4];

		send_one(_metadata, &self->z, 3, offset, len, pos);
		zt_recv(_metadata, self->z.tx, len, pos);
		pos += len;
	}
}

/* A device that cannot gather: the stack copies, and that is said. */
TEST_F(every, device_that_cannot_gather_is_said)
{
	struct zt *z = &self->z;
	struct zcio_payload info[1];
	bool gathered;
	pair iov[1];

	gathered = !system("ethtool -k zc0 2>/dev/null | grep -q '^scatter-gather: on'");
	if (system("ethtool -K zc0 sg off >/dev/null 2>&1"))
		SKIP(return, "there is no zc0 that can switch gathering off");
	zt_tcp(_metadata, ZT_WIRE4, &z->rx, &z->tx);
	zt_area(z, iov[0], 0, 4, 100, 9000, 0);
	EXPECT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, NULL));
	if (gathered) {
		EXPECT_EQ(0, system("ethtool -K zc0 sg on >/dev/null 2>&1"));
		/* Switching it off took these with it, where the device has them. */
		EXPECT_LE(0, system("ethtool -K zc0 tso on >/dev/null 2>&1"));
		EXPECT_LE(0, system("ethtool -K zc0 gso on >/dev/null 2>&1"));
	}
	EXPECT_EQ(ZCIO_WHY_DEVICE, info[0].why);
	EXPECT_EQ(9000, info[0].copied);
	zt_recv(_metadata, z->tx, 9000, 0);
}

/*
 * The error that ended a call which had sent something before is told to the next one. (That
 * the buffer is full just between two batches of the module's has not been brought about.)
 */
TEST_F(every, reset_behind_what_was_taken_is_told_later)
{
	struct zt *z = &self->z;
	char *pool = zt_pool(_metadata, z->ctx, 2 * BATCH);
	pair iov[2];

	for (int i = 0; i < 2; i++) {
		iov[i][0] = zt_iov(pool + ZT_PAGES(BATCH * i), ZT_PAGES(BATCH));
		iov[i][1] = iov[i][0];
	}
	for (int i = 0; i < 4; i++) {
		int size = (1 << 20) + i * (500 << 10), small = 4096, error = 0;
		struct caller c = CALLER_WRITEV(z, iov, 2);
		socklen_t len = sizeof(error);
		struct zt pair;

		zt_tcp(_metadata, ZT_LO4, &pair.rx, &pair.tx);
		ASSERT_EQ(0, setsockopt(pair.rx, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
		ASSERT_EQ(0, setsockopt(pair.tx, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
		c.writev.fd = pair.rx;
		zt_fill(pool, ZT_PAGES(2 * BATCH), 0);
		caller_start(_metadata, &c);
		zt_reset(_metadata, pair.tx);
		caller_join(_metadata, &c);
		ASSERT_LT(0, c.writev.taken);
		ASSERT_GT(ZT_PAGES(2 * BATCH), c.writev.taken);
		ASSERT_EQ(0, getsockopt(pair.rx, SOL_SOCKET, SO_ERROR, &error, &len));
		ASSERT_EQ(ECONNRESET, error);
		close(pair.rx);
	}
	ASSERT_EQ(0, zcio_unmap(pool, ZT_PAGES(2 * BATCH)));
}

TEST_HARNESS_MAIN
