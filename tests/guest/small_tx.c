// SPDX-License-Identifier: GPL-2.0
/*
 * Sends below the context's threshold: the stack copies the bytes, and the area is cleared
 * where it is. To the program it is as if its pages had been swapped.
 */
#include "area.h"
#include "sockets.h"

#define POOL	64
#define JUNK	0xa5	/* of zt_area() */

FIXTURE(small_tx)
{
	struct zt z;
	uint64_t sent, got;
};

FIXTURE_VARIANT(small_tx)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(small_tx, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(small_tx, wire4) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(small_tx, wire6) { .path = ZT_WIRE6 };

typedef FIXTURE_DATA(small_tx) small_tx;

FIXTURE_SETUP(small_tx)
{
	zt_open(_metadata, &self->z, 0, POOL);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	zt_threshold(_metadata, self->z.ctx, 1 << 30);
}

FIXTURE_TEARDOWN(small_tx)
{
	zcio_close(self->z.ctx);
}

static void arrives(struct __test_metadata *_metadata, small_tx *self, size_t len)
{
	zt_recv(_metadata, self->z.rx, len, self->got);
	self->got += len;
}

TEST_F(small_tx, goes_as_a_copy_and_the_area_is_empty)
{
	static const size_t sizes[] = { 1, 100, 4096, 4097, 20000 };
	struct iovec iov[1][2];
	struct zcio_payload info;
	uint64_t before[8], now[8];

	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t offset = 0; offset < 9000; offset += 2999) {
			zt_area(&self->z, iov[0], 3, 8, offset, sizes[i], self->sent);
			zt_pfns(_metadata, self->z.pool + ZT_PAGES(3), before, 8);
			ASSERT_EQ(1, zt_writev(self->z.dev, self->z.tx, iov, 1, &info, 0, NULL));
			self->sent += sizes[i];
			ASSERT_EQ(0, info.mapped);
			ASSERT_EQ(sizes[i], info.copied);
			ASSERT_EQ(ZCIO_WHY_SMALL, info.why);
			ASSERT_EQ(ZT_PAGES(8), zt_zeros(iov[0][0].iov_base, ZT_PAGES(8)));
			zt_pfns(_metadata, self->z.pool + ZT_PAGES(3), now, 8);
			ASSERT_EQ(0, memcmp(before, now, sizeof(now)));
			/* What is written there now is the next payload's business. */
			memset(self->z.pool, 0x11, ZT_PAGES(POOL));
			arrives(_metadata, self, sizes[i]);
		}
	}
	zt_nothing(_metadata, self->z.rx);
	ASSERT_EQ(POOL, zt_info(_metadata, self->z.ctx).pool_pages);
}

TEST_F(small_tx, it_is_the_whole_calls_bytes_that_count)
{
	struct iovec iov[2][2];
	struct zcio_payload info[2];

	zt_threshold(_metadata, self->z.ctx, 8000);
	for (int more = 0; more < 2; more++) {
		zt_area(&self->z, iov[0], 0, 2, 0, 4000, self->sent);
		zt_area(&self->z, iov[1], 5, 2, 100, 3999 + more, self->sent + 4000);
		ASSERT_EQ(2, zt_writev(self->z.dev, self->z.tx, iov, 2, info, 0, NULL));
		self->sent += 7999 + more;
		for (int i = 0; i < 2; i++)
			ASSERT_EQ(!more, !!(info[i].why & ZCIO_WHY_SMALL));
		ASSERT_EQ(ZT_PAGES(2), zt_zeros(iov[0][0].iov_base, ZT_PAGES(2)));
		ASSERT_EQ(ZT_PAGES(2), zt_zeros(iov[1][0].iov_base, ZT_PAGES(2)));
		arrives(_metadata, self, 7999 + more);
	}
}

/* What is not taken is still there, to the byte. */
TEST_F(small_tx, taken_in_part)
{
	enum { PAYLOAD = 9001, COUNT = 12 };
	struct iovec iov[COUNT][2];
	struct zcio_payload info[COUNT];
	int small = 1, n, next = 0;
	uint64_t taken, whole = 0;

	ASSERT_EQ(0, setsockopt(self->z.tx, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	zt_nonblock(_metadata, self->z.tx, true);
	for (int i = 0; i < COUNT; i++)
		zt_area(&self->z, iov[i], 4 * i, 4, 33, PAYLOAD, (uint64_t)i * PAYLOAD);
	for (;;) {
		n = zt_writev(self->z.dev, self->z.tx, iov + next, COUNT - next, info, 0, &taken);
		if (n == -EAGAIN)
			break;
		ASSERT_LE(0, n);
		for (int i = 0; i < n; i++) {
			char *at = iov[next + i][0].iov_base;

			ASSERT_EQ(ZT_PAGES(4), zt_zeros(at, ZT_PAGES(4)));
			whole += iov[next + i][1].iov_len;
			taken -= iov[next + i][1].iov_len;
		}
		self->sent = whole + taken;
		next += n;
		if (next == COUNT)
			break;
		if (taken) {
			char *at = iov[next][1].iov_base;
			size_t left = iov[next][1].iov_len - taken;

			ASSERT_EQ(taken, info[n].copied);
			ASSERT_EQ(taken, zt_zeros(at, taken));
			ASSERT_EQ(left, zt_same(at + taken, left, self->sent));
			ASSERT_EQ(JUNK, ((unsigned char *)iov[next][0].iov_base)[32]);
			ASSERT_EQ(JUNK, (unsigned char)at[taken + left]);
			iov[next][1] = zt_iov(at + taken, left);
			whole = self->sent;
		}
	}
	ASSERT_LT(0, self->sent);
	arrives(_metadata, self, self->sent);
	zt_nothing(_metadata, self->z.rx);
}

/* A page that is on its way by ZCIO_KEEP must not be cleared under it. */
TEST_F(small_tx, not_where_the_page_is_still_read)
{
	struct iovec iov[1][2];
	struct zcio_payload info;

	zt_area(&self->z, iov[0], 0, 1, 0, 4096, 0);
	ASSERT_EQ(1, zt_writev(self->z.dev, self->z.tx, iov, 1, &info, ZCIO_KEEP, NULL));
	/* Nobody has acknowledged it: the peer's window is not the question, a reference is. */
	ASSERT_EQ(1, zt_writev(self->z.dev, self->z.tx, iov, 1, &info, 0, NULL));
	ASSERT_EQ(4096, zt_zeros(self->z.pool, 4096));
	zt_recv(_metadata, self->z.rx, 4096, 0);
	zt_recv(_metadata, self->z.rx, 4096, 0);
	zt_nothing(_metadata, self->z.rx);
}

/* A reader of the pool's memory holds the page: it must not change under them either. */
TEST_F(small_tx, not_where_a_pipe_has_the_page)
{
	struct iovec iov[1][2], part;
	struct zcio_payload info;
	char old[1000];
	int pipes[2];

	zt_area(&self->z, iov[0], 0, 1, 0, 1000, 0);
	part = iov[0][1];
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(1000, vmsplice(pipes[1], &part, 1, 0));
	ASSERT_EQ(1, zt_writev(self->z.dev, self->z.tx, iov, 1, &info, 0, NULL));
	ASSERT_EQ(ZCIO_WHY_PINNED, info.why);
	ASSERT_EQ(4096, zt_zeros(self->z.pool, 4096));
	zt_recv(_metadata, self->z.rx, 1000, 0);
	ASSERT_EQ(1000, read(pipes[0], old, sizeof(old)));
	ASSERT_EQ(1000, zt_same(old, 1000, 0));
}

TEST_F(small_tx, an_error_leaves_all_as_it_was)
{
	struct iovec iov[1][2];

	zt_area(&self->z, iov[0], 0, 2, 10, 3000, 0);
	ASSERT_EQ(0, shutdown(self->z.tx, SHUT_WR));
	ASSERT_EQ(-EPIPE, zt_writev(self->z.dev, self->z.tx, iov, 1, NULL, ZCIO_NOSIGNAL, NULL));
	ASSERT_EQ(3000, zt_same(iov[0][1].iov_base, 3000, 0));
	ASSERT_EQ(JUNK, (unsigned char)self->z.pool[9]);
}

/* What the documentation says of a context that was not tuned. */
TEST_F(small_tx, less_than_16_KiB_unless_tuned)
{
	struct zcio_ctx *ctx = zcio_open();
	struct iovec iov[1][2];
	struct zcio_payload info;

	ASSERT_NE(NULL, ctx);
	ASSERT_EQ(16384, zt_info(_metadata, ctx).copy_threshold);
	self->z.pool = zt_pool(_metadata, ctx, POOL);
	for (int more = 0; more < 2; more++) {
		zt_area(&self->z, iov[0], 0, 5, 0, 16383 + more, self->sent);
		ASSERT_EQ(1, zt_writev(self->z.dev, self->z.tx, iov, 1, &info, 0, NULL));
		self->sent += 16383 + more;
		ASSERT_EQ(!more, !!(info.why & ZCIO_WHY_SMALL));
		arrives(_metadata, self, 16383 + more);
	}
	zcio_close(ctx);
}

TEST_HARNESS_MAIN
