// SPDX-License-Identifier: GPL-2.0
/*
 * zc_writev on sockets that keep boundaries with its memory failing (failnth.h): what the
 * call says went has arrived, and nothing else; the others are in their areas, where nothing
 * of the kernel's shows.
 *
 * Needs a kernel with fault injection (KERNEL=debug); skipped elsewhere.
 *
 * timeout: 600
 */
#include "datagram_tx.h"
#include "failnth.h"

#define COUNT	3

struct writing {
	struct zt *z;
	size_t head, segment;
	size_t least;		/* bytes of a payload */
	pair iov[COUNT];
	struct zcio_writev call;
};

/* Datagrams: one packet, one that is fragmented, an empty one. Frames: whole, all of them. */
static const size_t lengths[COUNT] = { 1400, 65507, 0 };

FIXTURE(datagram_tx)
{
	struct fail f;
};

FIXTURE_VARIANT(datagram_tx)
{
	enum flow_kind kind;
	enum how how;
	size_t segment;
	int flags;
};

FIXTURE_VARIANT_ADD(datagram_tx, one) { UDP4, ONE };
FIXTURE_VARIANT_ADD(datagram_tx, all) { UDP4, ALL };
FIXTURE_VARIANT_ADD(datagram_tx, segments_one) { UDP4, ONE, .segment = 1000 };
FIXTURE_VARIANT_ADD(datagram_tx, kept_one) { UDP4, ONE, .flags = ZCIO_KEEP };
FIXTURE_VARIANT_ADD(datagram_tx, packet_raw_one) { RAW, ONE };
FIXTURE_VARIANT_ADD(datagram_tx, packet_raw_all) { RAW, ALL };
FIXTURE_VARIANT_ADD(datagram_tx, packet_dgram_one) { COOKED, ONE };
FIXTURE_VARIANT_ADD(datagram_tx, packet_dgram_all) { COOKED, ALL };
FIXTURE_VARIANT_ADD(datagram_tx, packet_kept_one) { RAW, ONE, .flags = ZCIO_KEEP };

FIXTURE_SETUP(datagram_tx)
{
	struct fail *f = &self->f;

	if (!fail_setup(_metadata, f, variant->how))
		SKIP(return, FAIL_SKIP);
	zt_open(_metadata, &f->z, 0, 64);
	tx_open(_metadata, &f->z, variant->kind);
}

FIXTURE_TEARDOWN(datagram_tx)
{
	struct fail *f = &self->f;

	if (!f->watch)
		return;
	close(f->z.rx);
	close(f->z.tx);
	ASSERT_EQ(0, munmap(f->z.pool, ZT_PAGES(64)));
	zcio_close(f->z.ctx);
	fail_teardown(_metadata, f);
}

static void before(struct __test_metadata *_metadata, struct fail *f)
{
	struct writing *w = f->call;
	size_t page = 0;

	for (int i = 0; i < COUNT; i++) {
		size_t len = w->segment && i == 1 ? 60000 : lengths[i];

		page = tx_place(w->z, w->iov[i], page, tx_offset(w->head, 5 * i),
				len < w->least ? w->least : len, dg_pos(i));
	}
	w->call.taken = 0;
}

static long call(struct fail *f)
{
	struct writing *w = f->call;

	return ioctl(f->z.dev, ZCIO_IOC_WRITEV, &w->call);
}

/* Exactly the first @n payloads went. */
static void went(struct __test_metadata *_metadata, struct writing *w, int n)
{
	for (int i = 0; i < COUNT; i++) {
		size_t len = w->iov[i][1].iov_len, each = w->segment ? w->segment : 65536, at = 0;

		if (i >= n || (w->call.flags & ZCIO_KEEP)) {
			tx_still(_metadata, w->iov[i], dg_pos(i), i == n);
		} else {
			tx_gone(_metadata, w->iov[i]);
		}
		if (i >= n)
			continue;
		do {
			size_t part = len - at < each ? len - at : each;

			tx_arrives(_metadata, w->z->tx, part, dg_pos(i) + at);
			at += part;
		} while (at < len);
	}
	zt_nothing(_metadata, w->z->tx);
}

static void failed(struct __test_metadata *_metadata, struct fail *f)
{
	struct writing *w = f->call;

	ASSERT_EQ(0, w->call.taken);
	went(_metadata, w, 0);
}

static void done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct writing *w = f->call;

	ASSERT_LT(0, ret);
	went(_metadata, w, ret);
}

TEST_F_TIMEOUT(datagram_tx, writev, 250)
{
	struct fail *f = &self->f;
	struct writing w = {
		.z = &f->z, .head = tx_head(_metadata, f->z.ctx, f->z.rx),
		.segment = variant->segment, .least = variant->kind == RAW ? ETH_HLEN : 0,
		.call = {
			.fd = f->z.rx, .iovcnt = COUNT, .segment = variant->segment,
			.flags = variant->flags,
		},
	};

	w.call.iov = ZT_PTR(w.iov);
	f->call = &w;
	sweep(_metadata, f, &(struct attempt){
		.what = "writev", .before = before, .call = call, .failed = failed, .done = done,
	});
}

TEST_HARNESS_MAIN
