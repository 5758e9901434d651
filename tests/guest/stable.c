// SPDX-License-Identifier: GPL-2.0
/*
 * Stable, on the sender's side: when zc_writev returns, the area reads as zeros and can
 * be written to, and nothing written to it changes what the peer gets, however late it
 * reads. (What zc_readv gives: stable_kept.c.)
 *
 * timeout: 180
 */
#include "zt.h"

#define SCRIBBLE	0xee

/* How many of @len bytes from @buf on are @byte. */
static size_t run_of(const void *buf, size_t len, unsigned char byte)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len && p[i] == byte; i++)
		;
	return i;
}

/* An area of some pages, and where in it the payload lies. */
struct shape {
	size_t pages, head, tail;
};

static const struct shape shapes[] = {
	{ 1, 0, 0 }, { 1, 64, 0 }, { 1, 0, 4000 }, { 1, 2000, 2000 }, { 2, 0, 0 },
	{ 3, 4096, 4096 }, { 3, 100, 50 }, { 4, 5000, 5000 }, { 16, 0, 1 }, { 5, 4095, 1 },
};

static size_t shape_len(const struct shape *s)
{
	return ZT_PAGES(s->pages) - s->head - s->tail;
}

/* Fills the payload with the stream, all else with bytes that must not be sent. */
static void fill_area(char *area, const struct shape *s, uint64_t pos)
{
	memset(area, SCRIBBLE, ZT_PAGES(s->pages));
	zt_fill(area + s->head, shape_len(s), pos);
}

/* Reads exactly @len bytes: with recv(), or with zc_readv into @win. */
static void drain(struct __test_metadata *_metadata, const struct zt *z, bool zc, size_t len,
		  uint64_t pos)
{
	if (zc)
		zt_zc_recv(_metadata, z->dev, z->rx, z->win, 64, len, pos);
	else
		zt_recv(_metadata, z->rx, len, pos);
}

/* ---- sending ---- */

FIXTURE(sending) {
	struct zt z;
};

FIXTURE_VARIANT(sending) {
	enum zt_path path;
	bool zc;
};

FIXTURE_VARIANT_ADD(sending, lo_recv) { .path = ZT_LO4, .zc = false };
FIXTURE_VARIANT_ADD(sending, lo_zc_readv) { .path = ZT_LO6, .zc = true };
FIXTURE_VARIANT_ADD(sending, wire_recv) { .path = ZT_WIRE4, .zc = false };
FIXTURE_VARIANT_ADD(sending, wire_zc_readv) { .path = ZT_WIRE6, .zc = true };

FIXTURE_SETUP(sending)
{
	int size = 4 << 20;

	zt_open(_metadata, &self->z, 64, 256);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	setsockopt(self->z.tx, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
}

FIXTURE_TEARDOWN(sending)
{
}

TEST_F(sending, the_area_reads_zero_and_can_be_written)
{
	struct zt *z = &self->z;
	uint64_t pos = 0;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
			const struct shape *s = &shapes[i];
			size_t all = ZT_PAGES(s->pages), len = shape_len(s);
			struct iovec iov[1][2] = { { zt_iov(z->pool, all),
						     zt_iov(z->pool + s->head, len) } };

			fill_area(z->pool, s, pos);
			ASSERT_EQ(1, zt_writev(z->dev, z->tx, iov, 1, NULL, 0, NULL));
			ASSERT_EQ(all, zt_zeros(z->pool, all)) TH_LOG("shape %zu", i);
			memset(z->pool, 0x77, all);
			ASSERT_EQ(all, run_of(z->pool, all, 0x77));
			drain(_metadata, z, variant->zc, len, pos);
			ASSERT_EQ(all, run_of(z->pool, all, 0x77));
			pos += len;
		}
	}
}

/*
 * The peer reads nothing until the areas were written to again: what it gets lies in
 * queues till then. Many rounds, so that pages that were sent come back and are sent
 * again; each round uses the pool in another order.
 */
TEST_F(sending, writing_after_the_call_does_not_reach_the_peer)
{
	struct zt *z = &self->z;
	uint64_t sent = 0, got = 0;

	for (int round = 0; round < 40; round++) {
		size_t page = round * 7 % 16;
		bool full = false;

		while (page < 256) {
			const struct shape *s = &shapes[(page + round) % ARRAY_SIZE(shapes)];
			size_t all = ZT_PAGES(s->pages), len = shape_len(s);
			char *area = z->pool + ZT_PAGES(page);
			struct iovec iov[1][2] = { { zt_iov(area, all), zt_iov(area + s->head, len) } };
			uint64_t taken;
			int n;

			if (page + s->pages > 256)
				break;
			fill_area(area, s, sent);
			n = zt_writev(z->dev, z->tx, iov, 1, NULL, ZCIO_DONTWAIT, &taken);
			if (n == -EAGAIN) {
				full = true;
				break;
			}
			ASSERT_LE(0, n);
			ASSERT_EQ(n == 1, taken == len);
			/* What was not sent is still there, and is not written to by the peer's copy. */
			ASSERT_EQ(taken, zt_zeros(area + s->head, taken));
			ASSERT_EQ(len - taken, zt_same(area + s->head + taken, len - taken, sent + taken));
			memset(area, SCRIBBLE, all);
			sent += taken;
			page += s->pages;
			if (!n) {
				full = true;
				break;
			}
		}
		memset(z->pool, SCRIBBLE, ZT_PAGES(256));
		ASSERT_LT(got, sent);
		/* Sometimes all is read, sometimes it piles up until the socket takes no more. */
		if (full || round % 4 == 3) {
			drain(_metadata, z, variant->zc, sent - got, got);
			got = sent;
		}
	}
	drain(_metadata, z, variant->zc, sent - got, got);
	ASSERT_LT(ZT_PAGES(256), sent) TH_LOG("the pool was never used a second time");
}

struct writer {
	char *at;
	size_t len;
	volatile bool stop;
	volatile unsigned long sweeps;
};

static void *scribble(void *arg)
{
	struct writer *w = arg;
	unsigned char byte = 0;

	while (!w->stop) {
		memset(w->at, ++byte, w->len);
		w->sweeps++;
	}
	return NULL;
}

/* A thread that never stops writing: what it wrote in time is sent, and nothing later. */
TEST_F(sending, a_thread_that_never_stops_writing)
{
	struct zt *z = &self->z;
	size_t all = ZT_PAGES(8);
	struct writer w = { .at = z->pool, .len = all };
	char *first = malloc(all), *then = malloc(all);
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &w));
	for (int round = 0; round < 60; round++) {
		struct iovec iov[1][2] = { { zt_iov(z->pool, all), zt_iov(z->pool, all) } };
		unsigned long sweeps;

		ASSERT_EQ(1, zt_writev(z->dev, z->tx, iov, 1, NULL, 0, NULL));
		zt_arrived(_metadata, z->rx, all);
		ASSERT_EQ((ssize_t)all, recv(z->rx, first, all, MSG_PEEK | MSG_WAITALL));
		sweeps = w.sweeps;
		while (w.sweeps < sweeps + 2)
			sched_yield();
		ASSERT_EQ((ssize_t)all, recv(z->rx, then, all, MSG_WAITALL));
		ASSERT_EQ(0, memcmp(first, then, all)) TH_LOG("round %d", round);
	}
	w.stop = true;
	pthread_join(thread, NULL);
	free(first);
	free(then);
}

/* A read into the area that ends only after the call: the page is copied, not shared. */
TEST_F(sending, a_page_that_somebody_else_holds_is_copied)
{
	struct zt *z = &self->z;
	struct iovec iov[1][2] = { { zt_iov(z->pool, ZT_PAGE), zt_iov(z->pool, ZT_PAGE) } };
	struct iovec user = { z->pool, ZT_PAGE };
	struct zcio_payload info;
	char byte;
	int p[2];

	/* A pipe that holds the page itself: it reads what the page has when it is read. */
	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	zt_fill(z->pool, ZT_PAGE, 0);
	ASSERT_EQ((ssize_t)ZT_PAGE, vmsplice(p[1], &user, 1, 0));
	ASSERT_EQ(1, zt_writev(z->dev, z->tx, iov, 1, &info, 0, NULL));
	ASSERT_EQ(ZT_PAGE, info.copied);
	ASSERT_EQ(ZCIO_WHY_PINNED, info.why);
	memset(z->pool, SCRIBBLE, ZT_PAGE);
	ASSERT_EQ(1, read(p[0], &byte, 1));
	drain(_metadata, z, variant->zc, ZT_PAGE, 0);
	close(p[0]);
	close(p[1]);
}

TEST_HARNESS_MAIN
