// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_writev promises of UDP: datagrams of every size from every place in an area arrive
 * whole, in order and alone; their areas read as zeros and can be written without the peer
 * seeing it; pages come back. Of version 4, 6, and 4 in a socket of version 6; datagrams that
 * fit a packet, that are fragmented, that the device cuts (UDP_SEGMENT).
 *
 * timeout: 300
 */
#include "datagram_tx.h"

FIXTURE(udp_tx)
{
	struct dg d;		/* the local end, z.rx, sends; the peer receives */
	size_t head;
	size_t most;		/* bytes of the largest datagram */
};

FIXTURE_VARIANT(udp_tx)
{
	enum zt_path path;
	enum dg_kind kind;
};

FIXTURE_VARIANT_ADD(udp_tx, lo4) { .path = ZT_LO4, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(udp_tx, lo6) { .path = ZT_LO6, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(udp_tx, lo_mapped) { .path = ZT_LO4, .kind = DG_MAPPED };
FIXTURE_VARIANT_ADD(udp_tx, wire4) { .path = ZT_WIRE4, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(udp_tx, wire6) { .path = ZT_WIRE6, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(udp_tx, wire_mapped) { .path = ZT_WIRE4, .kind = DG_MAPPED };

FIXTURE_SETUP(udp_tx)
{
	struct dg *d = &self->d;

	dg_open(_metadata, d, variant->path, variant->kind);
	ASSERT_EQ(0, connect(d->z.rx, &d->from.sa, d->from.len));
	d->z.pool = zt_pool(_metadata, d->z.ctx, TX_POOL);
	self->head = tx_head(_metadata, d->z.ctx, d->z.rx);
	self->most = variant->path == ZT_LO6 || variant->path == ZT_WIRE6 ? 65527 : 65507;
}

FIXTURE_TEARDOWN(udp_tx)
{
	zt_nothing(_metadata, self->d.z.tx);
	zcio_close(self->d.z.ctx);
}

static void send_one(struct __test_metadata *_metadata, struct zt *z, size_t offset, size_t len,
		     uint64_t pos)
{
	struct zcio_payload info[1];
	uint64_t taken;
	pair iov[1];

	tx_place(z, iov[0], 0, offset, len, pos);
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, &taken)) {
		TH_LOG("%zu bytes at %zu", len, offset);
	}
	ASSERT_EQ(len, taken);
	ASSERT_EQ(len, info[0].mapped + info[0].copied);
	ASSERT_EQ(0, info[0].why & ~ZCIO_WHY_DEVICE);
	tx_gone(_metadata, iov[0]);
	tx_arrives(_metadata, z->tx, len, pos);
}

TEST_F(udp_tx, datagrams_of_every_size_from_every_place)
{
	const size_t lengths[] = {
		0, 1, 2, 63, 1000, 1472, 1473, 4095, 4096, 4097, 8192, 8972, 20000, self->most - 1,
		self->most,
	};

	for (int i = 0; i < ARRAY_SIZE(lengths); i++)
		for (int j = 0; j < TX_OFFSETS; j++)
			send_one(_metadata, &self->d.z, tx_offset(self->head, j), lengths[i],
				 i * 100000 + j * 1000);
}

TEST_F(udp_tx, many_payloads_a_call)
{
	static struct zcio_payload info[ZCIO_MAX_ELEMENTS];
	static pair iov[ZCIO_MAX_ELEMENTS];
	/* No more than a device's rings hold. */
	int count = variant->path < ZT_WIRE4 ? ZCIO_MAX_ELEMENTS : 100;
	struct zt *z = &self->d.z;
	uint64_t taken, sum = 0;
	size_t page = 0;

	for (int i = 0; i < count; i++) {
		size_t len = (i * 37) % 2000;

		page = tx_place(z, iov[i], page, tx_offset(self->head, i % 6), len, i * DG_STEP);
		sum += len;
	}
	ASSERT_GE(TX_POOL, page);
	ASSERT_EQ(count, zt_writev(z->dev, z->rx, iov, count, info, 0, &taken));
	ASSERT_EQ(sum, taken);
	ASSERT_EQ(ZT_PAGES(page), zt_zeros(z->pool, ZT_PAGES(page)));
	for (int i = 0; i < count; i++) {
		ASSERT_EQ(iov[i][1].iov_len, info[i].mapped + info[i].copied);
		tx_arrives(_metadata, z->tx, iov[i][1].iov_len, i * DG_STEP);
	}
}

/* Nothing written to an area after the call can change what the peer reads later. */
TEST_F(udp_tx, writes_after_the_call_are_not_sent)
{
	struct zt *z = &self->d.z;
	pair iov[8];

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 8; i++)
			tx_place(z, iov[i], 3 * i, tx_offset(self->head, i % 6), 5000,
				 (round * 8 + i) * DG_STEP);
		ASSERT_EQ(8, zc_writev(z->rx, iov, 8));
		memset(z->pool, 0x5a, ZT_PAGES(24));
	}
	for (int i = 0; i < 32; i++)
		tx_arrives(_metadata, z->tx, 5000, i * DG_STEP);
	for (size_t i = 0; i < ZT_PAGES(24); i++)
		ASSERT_EQ(0x5a, z->pool[i]);
}

/* In a steady state nothing is allocated: the pages that went are back. */
TEST_F(udp_tx, pages_come_back)
{
	struct zt *z = &self->d.z;
	uint64_t before = 0;
	pair iov[4];

	for (int round = 0; round < 400; round++) {
		for (int i = 0; i < 4; i++)
			tx_place(z, iov[i], 4 * i, tx_offset(self->head, round), 3000 + i, 0);
		ASSERT_EQ(4, zc_writev(z->rx, iov, 4));
		for (int i = 0; i < 4; i++)
			tx_arrives(_metadata, z->tx, 3000 + i, 0);
		if (round == 100)
			before = zt_info(_metadata, z->ctx).pool_pages;
	}
	/* On a wire the last few may not be known to be sent yet. */
	ASSERT_GE(before + 64, zt_info(_metadata, z->ctx).pool_pages);
}

static int set_segment(int fd, int size)
{
	return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
}

/* @len bytes leave as datagrams of @size, the last one shorter. */
static void cut(struct __test_metadata *_metadata, struct zt *z, size_t offset, size_t len,
		size_t size, bool by_call)
{
	struct zcio_writev call;
	pair iov[1];

	tx_place(z, iov[0], 0, offset, len, 7);
	call = zt_writev_call(z, iov, 1);
	if (by_call)
		call.segment = size;
	ASSERT_EQ(1, zt_writev_raw(z->dev, &call)) TH_LOG("%zu in %zu", len, size);
	ASSERT_EQ(len, call.taken);
	tx_gone(_metadata, iov[0]);
	for (size_t at = 0; at < len; at += size)
		tx_arrives(_metadata, z->tx, len - at < size ? len - at : size, 7 + at);
}

TEST_F(udp_tx, segments_of_a_size)
{
	static const struct { size_t len, size; } cuts[] = {
		{ 1, 1 }, { 128, 1 }, { 1000, 1000 }, { 1001, 1000 }, { 999, 1000 },
		{ 65000, 1400 }, { 60000, 1408 }, { 12345, 97 }, { 65507, 1200 },
	};
	struct zt *z = &self->d.z;

	for (int i = 0; i < ARRAY_SIZE(cuts); i++)
		cut(_metadata, z, tx_offset(self->head, i), cuts[i].len, cuts[i].size, true);
	ASSERT_EQ(0, set_segment(z->rx, 700));
	cut(_metadata, z, self->head, 20000, 700, false);
	/* What the call says comes first. */
	cut(_metadata, z, self->head, 20000, 900, true);
	cut(_metadata, z, self->head, 20000, 700, false);
}

/* @len bytes, wherever they lie, are refused. */
static void fails(struct __test_metadata *_metadata, struct zt *z, size_t head, size_t len,
		  size_t segment, int err)
{
	struct zcio_writev call = { .segment = segment };
	pair iov[1];

	for (int i = 0; i < TX_OFFSETS; i++) {
		tx_place(z, iov[0], 0, tx_offset(head, i), len, 3);
		tx_fails(_metadata, z, iov[0], call, 3, err, false);
	}
}

TEST_F(udp_tx, too_large_is_EMSGSIZE)
{
	fails(_metadata, &self->d.z, self->head, self->most + 1, 0, EMSGSIZE);
	fails(_metadata, &self->d.z, self->head, 65536, 0, EMSGSIZE);
	fails(_metadata, &self->d.z, self->head, 1 << 20, 0, EMSGSIZE);
}

/* With path MTU discovery nothing is fragmented, so the MTU is the limit. */
TEST_F(udp_tx, larger_than_the_mtu_is_EMSGSIZE_if_not_to_be_fragmented)
{
	bool v6 = variant->path == ZT_LO6 || variant->path == ZT_WIRE6;
	int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	struct zt *z = &self->d.z;
	int on = IP_PMTUDISC_DO, mtu = 0;
	socklen_t size = sizeof(mtu);

	ASSERT_EQ(0, setsockopt(z->rx, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &on,
				sizeof(on)));
	ASSERT_EQ(0, getsockopt(z->rx, level, v6 ? IPV6_MTU : IP_MTU, &mtu, &size));
	mtu -= v6 ? 48 : 28;
	if (mtu >= (int)self->most)
		SKIP(return, "the device takes the largest datagram");
	send_one(_metadata, z, self->head, mtu, 1);
	fails(_metadata, z, self->head, mtu + 1, 0, EMSGSIZE);
}

TEST_F(udp_tx, segments_that_cannot_be_are_refused)
{
	struct zt *z = &self->d.z;
	int one = 1;

	/* More than there may be; larger than a packet. */
	fails(_metadata, z, self->head, 129, 1, EINVAL);
	if (variant->path == ZT_WIRE4 || variant->path == ZT_WIRE6)
		fails(_metadata, z, self->head, 60000, 30000, EMSGSIZE);
	/* The device that cuts makes the checksums. */
	if (variant->kind == DG_CONNECTED && (variant->path == ZT_LO4 || variant->path == ZT_WIRE4)) {
		ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)));
		fails(_metadata, z, self->head, 3000, 1000, EINVAL);
	}
}

TEST_F(udp_tx, reader_that_maps_gets_the_same_bytes)
{
	static const size_t lengths[] = { 1, 100, 4096, 8192, 12288, 20000, 40000 };
	struct dg *d = &self->d, other = { .z = d->z };
	pair iov[1];

	/* The peer's own view: datagrams of the local end. */
	other.z.rx = d->z.tx;
	other.from.len = sizeof(other.from.in6);
	ASSERT_EQ(0, getpeername(d->z.tx, &other.from.sa, &other.from.len));
	for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (int j = 0; j < TX_OFFSETS; j++) {
			tx_place(&d->z, iov[0], 0, tx_offset(self->head, j), lengths[i],
				 dg_pos(other.sent));
			ASSERT_EQ(1, zc_writev(d->z.rx, iov, 1));
			other.len[other.sent++] = lengths[i];
			/* dg_take() looks at every byte around the payloads. */
			ASSERT_EQ(1, dg_call(_metadata, &other, 1, 17));
		}
	}
	TH_LOG("mapped %llu, copied %llu", (unsigned long long)other.mapped,
	       (unsigned long long)other.copied);
}

TEST_HARNESS_MAIN
