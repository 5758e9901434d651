// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_writev promises of AF_PACKET: a payload is a frame (SOCK_RAW), or what comes behind
 * a link header that the kernel writes (SOCK_DGRAM, where the device needs no address). It
 * leaves as send() would send it, whole; only the link header of a raw frame is copied.
 *
 * timeout: 120
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "datagram_tx.h"

#define PROTOCOL	0x88b5		/* for experiments */
#define TAG		4		/* bytes of a VLAN tag */

FIXTURE(packet_tx)
{
	struct zt z;		/* z.rx sends; z.tx gets raw frames at the other end */
	size_t head, mtu;
	size_t header;		/* bytes of a payload that are the link header */
};

FIXTURE_VARIANT(packet_tx)
{
	enum zt_path path;
	int type;
};

FIXTURE_VARIANT_ADD(packet_tx, lo_raw) { .path = ZT_LO4, .type = SOCK_RAW };
FIXTURE_VARIANT_ADD(packet_tx, lo_dgram) { .path = ZT_LO4, .type = SOCK_DGRAM };
FIXTURE_VARIANT_ADD(packet_tx, wire_raw) { .path = ZT_WIRE4, .type = SOCK_RAW };

FIXTURE_SETUP(packet_tx)
{
	struct zt *z = &self->z;
	struct sockaddr_ll at;
	socklen_t len = sizeof(at);
	struct ifreq name = {};
	int size = 64 << 20;

	zt_open(_metadata, z, 0, TX_POOL);
	z->rx = zt_packet_socket(_metadata, variant->path, false, variant->type, PROTOCOL);
	z->tx = zt_packet_socket(_metadata, variant->path, true, SOCK_RAW, PROTOCOL);
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, getsockname(z->rx, (struct sockaddr *)&at, &len));
	name.ifr_ifindex = at.sll_ifindex;
	ASSERT_EQ(0, ioctl(z->rx, SIOCGIFNAME, &name));
	ASSERT_EQ(0, ioctl(z->rx, SIOCGIFMTU, &name));
	self->mtu = name.ifr_mtu;
	self->head = tx_head(_metadata, z->ctx, z->rx);
	self->header = variant->type == SOCK_RAW ? ETH_HLEN : 0;
}

FIXTURE_TEARDOWN(packet_tx)
{
	zt_nothing(_metadata, self->z.tx);
	zcio_close(self->z.ctx);
}

/* An area with a frame of @len bytes, the link header included, and maybe a VLAN tag. */
static size_t place(struct zt *z, pair iov, size_t page, size_t offset, size_t len, size_t header,
		    bool tagged, uint64_t pos)
{
	size_t next = tx_place(z, iov, page, offset, len, pos);
	unsigned char *at = iov[1].iov_base;

	if (header) {
		memset(at, 0xff, 2 * ETH_ALEN);
		at += 2 * ETH_ALEN;
		if (tagged) {
			memcpy(at, "\x81\x00\x00\x05", TAG);
			at += TAG;
		}
		at[0] = PROTOCOL >> 8;
		at[1] = PROTOCOL & 0xff;
	}
	return next;
}

/* The next frame at the other end; those that are shorter than Ethernet allows get longer. */
static void arrives(struct __test_metadata *_metadata, int fd, size_t len, size_t header,
		    uint64_t pos)
{
	static unsigned char buf[DG_STEP + 100];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	size_t most = len - header + ETH_HLEN;

	ASSERT_LE((ssize_t)most, n);
	ASSERT_GE((ssize_t)(most > ETH_ZLEN ? most : ETH_ZLEN), n);
	ASSERT_EQ(PROTOCOL >> 8, buf[12]);
	ASSERT_EQ(PROTOCOL & 0xff, buf[13]);
	ASSERT_EQ(len - header, zt_same(buf + ETH_HLEN, len - header, pos + header));
}

static void send_one(struct __test_metadata *_metadata, struct zt *z, size_t offset, size_t len,
		     size_t header, uint64_t pos)
{
	struct zcio_payload info[1];
	uint64_t taken;
	pair iov[1];

	place(z, iov[0], 0, offset, len, header, false, pos);
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, &taken)) {
		TH_LOG("%zu bytes at %zu", len, offset);
	}
	ASSERT_EQ(len, taken);
	ASSERT_EQ(len, info[0].mapped + info[0].copied);
	if (!(info[0].why & ZCIO_WHY_DEVICE))
		ASSERT_EQ(header, info[0].copied);
	ASSERT_EQ(header ? ZCIO_WHY_LINEAR : 0, info[0].why & ~ZCIO_WHY_DEVICE);
	tx_gone(_metadata, iov[0]);
	arrives(_metadata, z->tx, len, header, pos);
}

TEST_F(packet_tx, frames_of_every_size_from_every_place)
{
	const size_t lengths[] = {
		1, 40, 46, 100, 1000, 1500, 4000, 4096, 4097, 8000, self->mtu - 1, self->mtu,
	};

	for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
		if (lengths[i] > self->mtu)
			continue;
		for (int j = 0; j < TX_OFFSETS; j++)
			send_one(_metadata, &self->z, tx_offset(self->head, j),
				 self->header + lengths[i], self->header, i * 100000 + j * 1000);
	}
}

TEST_F(packet_tx, many_frames_a_call)
{
	struct zt *z = &self->z;
	size_t page = 0;
	pair iov[100];

	for (int i = 0; i < 100; i++)
		page = place(z, iov[i], page, tx_offset(self->head, i % 6), 60 + i * 10,
			     self->header, false, i * DG_STEP);
	ASSERT_EQ(100, zc_writev(z->rx, iov, 100));
	ASSERT_EQ(ZT_PAGES(page), zt_zeros(z->pool, ZT_PAGES(page)));
	memset(z->pool, 0x5a, ZT_PAGES(page));
	for (int i = 0; i < 100; i++)
		arrives(_metadata, z->tx, 60 + i * 10, self->header, i * DG_STEP);
}

TEST_F(packet_tx, pages_come_back)
{
	struct zt *z = &self->z;
	uint64_t before = 0;
	pair iov[1];

	for (int round = 0; round < 400; round++) {
		place(z, iov[0], 0, tx_offset(self->head, round), 1200, self->header, false, 0);
		ASSERT_EQ(1, zc_writev(z->rx, iov, 1));
		arrives(_metadata, z->tx, 1200, self->header, 0);
		if (round == 100)
			before = zt_info(_metadata, z->ctx).pool_pages;
	}
	/* On a wire the last few may not be known to be sent yet. */
	ASSERT_GE(before + 64, zt_info(_metadata, z->ctx).pool_pages);
}

/* A tag may make a frame longer than the device's MTU. */
TEST_F(packet_tx, tagged_frames_may_be_longer)
{
	struct zt *z = &self->z;
	char c;
	pair iov[1];

	if (!self->header)
		SKIP(return, "there is no link header of one's own");
	if (variant->path == ZT_LO4)
		SKIP(return, "the loopback device takes no tag off");
	for (int j = 0; j < TX_OFFSETS; j++) {
		place(z, iov[0], 0, tx_offset(self->head, j), ETH_HLEN + TAG + self->mtu,
		      self->header, true, 9);
		ASSERT_EQ(1, zc_writev(z->rx, iov, 1)) TH_LOG("%m");
		tx_gone(_metadata, iov[0]);
	}
	/* Whether the other end takes such frames is up to the device. */
	while (recv(z->tx, &c, 1, MSG_DONTWAIT) > 0)
		;
}

static void fails(struct __test_metadata *_metadata, struct zt *z, size_t head, size_t len,
		  int err, bool begun)
{
	pair iov[1];

	for (int i = 0; i < TX_OFFSETS; i++) {
		tx_place(z, iov[0], 0, tx_offset(head, i), len, 3);
		tx_fails(_metadata, z, iov[0], (struct zcio_writev){}, 3, err, begun);
	}
}

TEST_F(packet_tx, too_large_is_EMSGSIZE)
{
	fails(_metadata, &self->z, self->head, self->header + self->mtu + 5, EMSGSIZE, false);
	fails(_metadata, &self->z, self->head, 1 << 20, EMSGSIZE, false);
	/* So much only with a VLAN tag, which is seen in the finished frame. */
	fails(_metadata, &self->z, self->head, self->header + self->mtu + 4, EMSGSIZE, true);
}

TEST_F(packet_tx, too_short_for_a_link_header_is_EINVAL)
{
	if (!self->header)
		SKIP(return, "there is no link header of one's own");
	fails(_metadata, &self->z, self->head, 0, EINVAL, true);
	fails(_metadata, &self->z, self->head, 1, EINVAL, true);
	fails(_metadata, &self->z, self->head, ETH_HLEN - 1, EINVAL, true);
}

TEST_F(packet_tx, segments_are_EINVAL)
{
	struct zt *z = &self->z;
	pair iov[1];

	tx_place(z, iov[0], 0, self->head, 1000, 3);
	tx_fails(_metadata, z, iov[0], (struct zcio_writev){ .segment = 500 }, 3, EINVAL,
		 false);
}

TEST_F(packet_tx, socket_past_the_queues_is_EOPNOTSUPP)
{
	int one = 1;

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)));
	fails(_metadata, &self->z, self->head, 1000, EOPNOTSUPP, false);
}

/* The call names no address, and a socket of AF_PACKET has none of a peer. */
TEST(frame_that_needs_an_address_is_EDESTADDRREQ)
{
	struct zt z = {};
	size_t head;

	if (!strcmp(getenv("ZCIO_NIC"), "lo"))
		SKIP(return, "the loopback device needs none");
	zt_open(_metadata, &z, 0, 64);
	z.rx = zt_packet_socket(_metadata, ZT_WIRE4, false, SOCK_DGRAM, PROTOCOL);
	head = tx_head(_metadata, z.ctx, z.rx);
	fails(_metadata, &z, head, 1000, EDESTADDRREQ, true);
	zcio_close(z.ctx);
}

TEST_HARNESS_MAIN
