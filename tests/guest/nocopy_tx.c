// SPDX-License-Identifier: GPL-2.0
/*
 * No copy, of what is sent: the page frames that the sender's payload lay in are those that a
 * receiver on this machine has in its window; and the sender's area has others, of zeros.
 * (Frames of a device that writes what it receives: pfn.py.)
 */
#include "datagram_tx.h"

#define MOST	15	/* whole pages of a payload: what fits into a frame */

FIXTURE(nocopy)
{
	struct zt z;		/* zc_writev works on rx; tx gets what comes from there */
	size_t head;
	size_t header;		/* bytes of a payload that are the link header, which is copied */
};

FIXTURE_VARIANT(nocopy)
{
	enum flow_kind kind;
	bool veth;
};

FIXTURE_VARIANT_ADD(nocopy, tcp4) { TCP4 };
FIXTURE_VARIANT_ADD(nocopy, tcp6) { TCP6 };
FIXTURE_VARIANT_ADD(nocopy, udp4) { UDP4 };
FIXTURE_VARIANT_ADD(nocopy, udp6) { UDP6 };
FIXTURE_VARIANT_ADD(nocopy, packet_raw) { RAW };
FIXTURE_VARIANT_ADD(nocopy, packet_dgram) { COOKED };
FIXTURE_VARIANT_ADD(nocopy, packet_veth) { RAW, .veth = true };

static void bind_to(struct __test_metadata *_metadata, int fd, const char *name, int protocol)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(protocol),
		.sll_ifindex = if_nametoindex(name),
	};

	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&at, sizeof(at))) TH_LOG("%s: %m", name);
}

FIXTURE_SETUP(nocopy)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, MOST + 2, 0);
	tx_open(_metadata, z, variant->kind);
	if (variant->veth) {
		if (system("ip link add zchere mtu 65535 type veth peer name zcthere mtu 65535 && "
			   "ip link set zchere up && ip link set zcthere up"))
			SKIP(return, "no veth devices");
		bind_to(_metadata, z->rx, "zchere", 0);
		bind_to(_metadata, z->tx, "zcthere", ETH_P_ALL);
	}
	self->head = tx_room(_metadata, z, variant->kind);
	self->header = variant->kind == RAW ? ETH_HLEN : 0;
	z->pool = zt_pool(_metadata, z->ctx, MOST + 2);
}

FIXTURE_TEARDOWN(nocopy)
{
	zcio_close(self->z.ctx);
}

/* None of @count frames is one of the others. */
static void are_others(struct __test_metadata *_metadata, const uint64_t *frames,
		       const uint64_t *others, int count)
{
	for (int i = 0; i < count; i++) {
		ASSERT_NE(0, frames[i]);
		for (int j = 0; j < count; j++)
			ASSERT_NE(others[j], frames[i]);
	}
}

TEST_F(nocopy, page_frames_are_those_that_were_sent)
{
	static const int counts[] = { 1, 2, 7, MOST };
	struct zt *z = &self->z;

	for (int i = 0; i < ARRAY_SIZE(counts); i++) {
		int count = counts[i];
		size_t len = self->header + ZT_PAGES(count), got;
		struct iovec region = zt_iov(z->win, ZT_PAGES(count + 1));
		uint64_t sent[MOST], now[MOST];
		struct zcio_payload info;
		pair iov[1];
		char *whole;

		/* The head is in the first page, and what there is of a link header. */
		zt_area(z, iov[0], 0, count + 2, ZT_PAGE - self->header, len, 1);
		whole = z->pool + ZT_PAGE;
		zt_pfns(_metadata, whole, sent, count);
		ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, &info, 0, NULL)) TH_LOG("%m");
		ASSERT_EQ(ZT_PAGES(count), info.mapped);
		ASSERT_EQ(self->header ? ZCIO_WHY_LINEAR : 0, info.why);

		if (variant->kind == TCP4 || variant->kind == TCP6)
			zt_arrived(_metadata, z->tx, len);
		ASSERT_EQ(1, zt_readv(z->dev, z->tx, &region, 1, &info, 0));
		got = region.iov_len;
		ASSERT_EQ(len, got);
		ASSERT_EQ(ZT_PAGES(count), info.mapped);
		zt_pfns(_metadata, (char *)region.iov_base + self->header, now, count);
		ASSERT_EQ(0, memcmp(sent, now, count * sizeof(*sent)));

		tx_gone(_metadata, iov[0]);
		zt_pfns(_metadata, whole, now, count);
		are_others(_metadata, now, sent, count);
		memset(z->pool, 0x5a, ZT_PAGES(count + 2));
		ASSERT_EQ(len, zt_same(region.iov_base, len, 1));
		/* The receiver's are still the same, and none of those that were written to. */
		zt_pfns(_metadata, whole, now, count);
		are_others(_metadata, now, sent, count);
	}
}

TEST_HARNESS_MAIN
