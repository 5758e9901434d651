// SPDX-License-Identifier: GPL-2.0
/*
 * No copy, of what is spliced: the page frames that a sender's payload lay in are those that a
 * receiver behind a splice, or behind a chain of them, has in its window.
 * (Frames that a device has written: pfn_splice.py.)
 */
#include "area.h"
#include "splice.h"

#define MOST	12	/* pages of a payload: one segment */

FIXTURE(nocopy)
{
	struct sp sp;
	struct zt z;
};

FIXTURE_VARIANT(nocopy)
{
	enum zt_path in, out;
};

FIXTURE_VARIANT_ADD(nocopy, lo4_to_lo4) { ZT_LO4, ZT_LO4 };
FIXTURE_VARIANT_ADD(nocopy, lo4_to_lo6) { ZT_LO4, ZT_LO6 };
FIXTURE_VARIANT_ADD(nocopy, lo6_to_lo4) { ZT_LO6, ZT_LO4 };

FIXTURE_SETUP(nocopy)
{
	sp_open(_metadata, &self->sp, variant->in, variant->out);
	zt_open(_metadata, &self->z, MOST + 1, MOST);
}

FIXTURE_TEARDOWN(nocopy)
{
	zcio_close(self->z.ctx);
	zcio_close(self->sp.ctx);
}

/* @count pages from one end to the other; their frames, and the bytes, are the same. */
static void pass(struct __test_metadata *_metadata, struct zt *z, int from, int to, int count)
{
	struct iovec region = zt_iov(z->win, ZT_PAGES(MOST + 1));
	uint64_t sent[MOST], now[MOST];
	struct zcio_payload info;
	struct iovec iov[1][2];

	iov[0][0] = zt_iov(z->pool, ZT_PAGES(count));
	iov[0][1] = iov[0][0];
	zt_fill((unsigned char *)z->pool, ZT_PAGES(count), 1);
	zt_pfns(_metadata, z->pool, sent, count);
	ASSERT_EQ(1, zt_writev(z->dev, from, iov, 1, &info, 0, NULL)) TH_LOG("%m");
	ASSERT_EQ(ZT_PAGES(count), info.mapped);
	zt_arrived(_metadata, to, ZT_PAGES(count));
	ASSERT_EQ(1, zt_readv(z->dev, to, &region, 1, &info, 0));
	ASSERT_EQ(ZT_PAGES(count), region.iov_len);
	ASSERT_EQ(ZT_PAGES(count), info.mapped);
	zt_pfns(_metadata, region.iov_base, now, count);
	ASSERT_EQ(0, memcmp(sent, now, count * sizeof(*sent)));
	ASSERT_EQ(ZT_PAGES(count), zt_same(region.iov_base, ZT_PAGES(count), 1));
	/* And nobody can write to them any more, though they went through other hands. */
	memset(z->pool, 0x5a, ZT_PAGES(count));
	ASSERT_EQ(ZT_PAGES(count), zt_same(region.iov_base, ZT_PAGES(count), 1));
}

TEST_F(nocopy, page_frames_are_those_that_were_sent)
{
	static const int counts[] = { 1, 2, 7, MOST };
	struct sp *sp = &self->sp;
	uint64_t all = 0;

	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < ARRAY_SIZE(counts); i++) {
		pass(_metadata, &self->z, sp->from, sp->to, counts[i]);
		all += ZT_PAGES(counts[i]);
	}
	ASSERT_EQ(all, sp_status(_metadata, sp, sp->handle).moved);
	sp_not_copied(_metadata, sp);
}

TEST_F(nocopy, through_a_chain_of_splices)
{
	struct sp *sp = &self->sp;
	int end = sp->to;

	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < 5; i++) {
		int drain, to;

		zt_tcp(_metadata, i % 2 ? variant->in : variant->out, &drain, &to);
		ASSERT_EQ(0, sp_call(sp, end, drain, 0, 0, 0));
		end = to;
	}
	pass(_metadata, &self->z, sp->from, end, 5);
	pass(_metadata, &self->z, sp->from, end, MOST);
}

/* One page of the sender's own, as it is, through a splice. */
static void pass_own(struct __test_metadata *_metadata, struct sp *sp, char *page)
{
	struct iovec from = zt_iov(page, ZT_PAGES(1));
	int p[2];

	ASSERT_NE(MAP_FAILED, (void *)page);
	zt_fill((unsigned char *)page, ZT_PAGES(1), 1);
	ASSERT_EQ(0, pipe(p));
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ((ssize_t)ZT_PAGES(1), vmsplice(p[1], &from, 1, 0));
	ASSERT_EQ((ssize_t)ZT_PAGES(1), splice(p[0], NULL, sp->from, NULL, ZT_PAGES(1), 0));
	zt_arrived(_metadata, sp->to, ZT_PAGES(1));
}

/* It is received as a copy, because it can still be written to. */
static char *got_copy(struct __test_metadata *_metadata, struct sp *sp, struct zt *z)
{
	struct iovec region = zt_iov(z->win, ZT_PAGES(MOST + 1));
	struct zcio_payload info;

	ASSERT_EQ(1, zt_readv(z->dev, sp->to, &region, 1, &info, 0));
	ASSERT_EQ(ZT_PAGES(1), info.copied);
	ASSERT_EQ(ZCIO_WHY_WRITABLE, info.why);
	return region.iov_base;
}

/* What the sender can still write to is not shown to a receiver behind a splice either. */
TEST_F(nocopy, pages_that_can_still_change_are_copied_for_the_receiver)
{
	char *page = mmap(NULL, ZT_PAGES(1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *got;

	pass_own(_metadata, &self->sp, page);
	got = got_copy(_metadata, &self->sp, &self->z);
	memset(page, 0x5a, ZT_PAGES(1));
	ASSERT_EQ(ZT_PAGES(1), zt_same(got, ZT_PAGES(1), 1));
}

/*
 * Nor is what nobody has mapped, while its owner can map it again: nothing in the page says so,
 * but a mark in the packet, which has to go along.
 */
TEST_F(nocopy, pages_that_are_mapped_again_later_are_copied_for_the_receiver)
{
	struct tpacket_req req = { .tp_block_size = ZT_PAGE, .tp_frame_size = ZT_PAGE,
				   .tp_block_nr = 1, .tp_frame_nr = 1 };
	int ring = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	char *page, *got;

	ASSERT_LE(0, ring);
	ASSERT_EQ(0, setsockopt(ring, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)));
	page = mmap(NULL, ZT_PAGES(1), PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
	pass_own(_metadata, &self->sp, page);
	ASSERT_EQ(0, munmap(page, ZT_PAGES(1)));
	got = got_copy(_metadata, &self->sp, &self->z);
	page = mmap(NULL, ZT_PAGES(1), PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
	ASSERT_NE(MAP_FAILED, (void *)page);
	memset(page, 0x5a, ZT_PAGES(1));
	ASSERT_EQ(ZT_PAGES(1), zt_same(got, ZT_PAGES(1), 1));
}

TEST_HARNESS_MAIN
