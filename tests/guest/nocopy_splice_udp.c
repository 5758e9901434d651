// SPDX-License-Identifier: GPL-2.0
/*
 * No copy, of datagrams that are spliced: the page frames that a sender's payload lay in are those
 * that a receiver behind a splice has in its window, whichever way they were sent on.
 */
#include "area.h"
#include "splice_udp.h"

#define MOST	12	/* pages of a payload */

FIXTURE(nocopy)
{
	struct su su;
	struct zt z;
};

FIXTURE_VARIANT(nocopy)
{
	enum zt_path in, out;
	bool unusual;		/* the drain has options: a task sends */
};

FIXTURE_VARIANT_ADD(nocopy, lo4_to_lo4) { ZT_LO4, ZT_LO4 };
FIXTURE_VARIANT_ADD(nocopy, lo4_to_lo6) { ZT_LO4, ZT_LO6 };
FIXTURE_VARIANT_ADD(nocopy, lo6_to_lo4) { ZT_LO6, ZT_LO4 };
FIXTURE_VARIANT_ADD(nocopy, lo6_to_lo4_with_options) { ZT_LO6, ZT_LO4, true };

FIXTURE_SETUP(nocopy)
{
	static const unsigned char nops[4] = { 1, 1, 1, 1 };

	su_open(_metadata, &self->su, variant->in, variant->out);
	zt_open(_metadata, &self->z, MOST + 1, MOST + 1);
	if (variant->unusual)
		ASSERT_EQ(0, setsockopt(self->su.sp.drain, SOL_IP, IP_OPTIONS, nops, sizeof(nops)));
}

FIXTURE_TEARDOWN(nocopy)
{
	zcio_close(self->z.ctx);
	zcio_close(self->su.sp.ctx);
}

/* @count pages from one end to the other; their frames, and the bytes, are the same. */
static void pass(struct __test_metadata *_metadata, struct zt *z, int from, int to, int count)
{
	struct iovec region = zt_iov(z->win, ZT_PAGES(MOST + 1));
	uint64_t sent[MOST], now[MOST];
	struct zcio_payload info;
	struct iovec iov[1][2];
	struct pollfd p = { .fd = to, .events = POLLIN };
	char *whole = z->pool + ZT_PAGE;

	/* Headers are built before the payload. */
	iov[0][0] = zt_iov(z->pool, ZT_PAGES(count + 1));
	iov[0][1] = zt_iov(whole, ZT_PAGES(count));
	zt_fill((unsigned char *)whole, ZT_PAGES(count), 1);
	zt_pfns(_metadata, whole, sent, count);
	ASSERT_EQ(1, zt_writev(z->dev, from, iov, 1, &info, 0, NULL)) TH_LOG("%m");
	ASSERT_EQ(ZT_PAGES(count), info.mapped);
	ASSERT_EQ(1, poll(&p, 1, 20000));
	ASSERT_EQ(1, zt_readv(z->dev, to, &region, 1, &info, 0));
	ASSERT_EQ(ZT_PAGES(count), region.iov_len);
	ASSERT_EQ(ZT_PAGES(count), info.mapped);
	zt_pfns(_metadata, region.iov_base, now, count);
	ASSERT_EQ(0, memcmp(sent, now, count * sizeof(*sent)));
	ASSERT_EQ(ZT_PAGES(count), zt_same(region.iov_base, ZT_PAGES(count), 1));
	/* And nobody can write to them any more, though they went through other hands. */
	memset(z->pool, 0x5a, ZT_PAGES(count + 1));
	ASSERT_EQ(ZT_PAGES(count), zt_same(region.iov_base, ZT_PAGES(count), 1));
}

TEST_F(nocopy, page_frames_are_those_that_were_sent)
{
	static const int counts[] = { 1, 2, 7, MOST };
	struct sp *sp = &self->su.sp;
	uint64_t all = 0;

	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < ARRAY_SIZE(counts); i++) {
		pass(_metadata, &self->z, sp->from, sp->to, counts[i]);
		all += ZT_PAGES(counts[i]);
	}
	su_moved(_metadata, &self->su, sp->handle, all);
	ASSERT_EQ(0, sp_status(_metadata, sp, sp->handle).copied);
}

TEST_F(nocopy, through_a_chain_of_splices)
{
	struct su next = self->su;
	struct sp *sp = &self->su.sp;
	int end = sp->to;

	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < 5; i++) {
		int drain, to;

		su_drain(_metadata, &next, i % 2 ? variant->in : variant->out, &drain, &to);
		ASSERT_EQ(0, sp_call(sp, end, drain, 0, 0, 0));
		end = to;
	}
	pass(_metadata, &self->z, sp->from, end, 5);
	pass(_metadata, &self->z, sp->from, end, MOST);
}

TEST_HARNESS_MAIN
