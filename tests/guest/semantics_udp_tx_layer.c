// SPDX-License-Identifier: GPL-2.0
/*
 * The datagrams of zc_writev are those that sendmsg() makes: a packet tap sees the same bytes,
 * headers included, whatever options the socket has, and the same counters rise. Also on the
 * ways where the socket builds them itself: corked, with IP options, with time stamps.
 *
 * timeout: 120
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>

#include "datagram_tx.h"

FIXTURE(layer)
{
	struct dg d;
	size_t head;
	int tap;		/* gets the network layer of what leaves */
	bool v6;
	bool plain;		/* the devices are without what they could do */
};

FIXTURE_VARIANT(layer)
{
	enum zt_path path;
	enum dg_kind kind;
};

FIXTURE_VARIANT_ADD(layer, lo4) { .path = ZT_LO4, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(layer, lo6) { .path = ZT_LO6, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(layer, wire4) { .path = ZT_WIRE4, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(layer, wire6) { .path = ZT_WIRE6, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(layer, mapped) { .path = ZT_WIRE4, .kind = DG_MAPPED };

FIXTURE_SETUP(layer)
{
	struct dg *d = &self->d;

	dg_open(_metadata, d, variant->path, variant->kind);
	ASSERT_EQ(0, connect(d->z.rx, &d->from.sa, d->from.len));
	d->z.pool = zt_pool(_metadata, d->z.ctx, 64);
	self->head = tx_head(_metadata, d->z.ctx, d->z.rx);
	self->v6 = variant->path == ZT_LO6 || variant->path == ZT_WIRE6;
	self->tap = zt_packet_socket(_metadata, variant->path, false, SOCK_DGRAM, ETH_P_ALL);
}

FIXTURE_TEARDOWN(layer)
{
	if (self->plain && system("ethtool -K zc0 tx on sg on && ip netns exec peer ethtool -K zc1 rx on"))
		TH_LOG("the devices stay as they are");
	zt_nothing(_metadata, self->d.z.tx);
	zcio_close(self->d.z.ctx);
}

/* The next UDP packet of the fixture's socket that leaves, without what differs each time. */
static size_t leaves(struct __test_metadata *_metadata, FIXTURE_DATA(layer) *self,
		     unsigned char *buf, size_t size)
{
	struct zt_addr to = { .len = sizeof(to.in6) };

	ASSERT_EQ(0, getpeername(self->d.z.rx, &to.sa, &to.len));
	for (;;) {
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(self->tap, buf, size, 0, (struct sockaddr *)&from, &len);
		size_t header = self->v6 ? 40 : (buf[0] & 15) * 4;

		ASSERT_LT(0, n);
		if (from.sll_pkttype != PACKET_OUTGOING || n < 28 ||
		    from.sll_protocol != htons(self->v6 ? ETH_P_IPV6 : ETH_P_IP) ||
		    buf[self->v6 ? 6 : 9] != IPPROTO_UDP ||
		    memcmp(buf + header + 2, &to.in.sin_port, 2))
			continue;
		if (!self->v6) {
			memset(buf + 4, 0, 2);		/* identification */
			memset(buf + 10, 0, 2);		/* header checksum */
		}
		return n;
	}
}

/* OutDatagrams of this version of IP. */
static long counted(struct __test_metadata *_metadata, bool v6)
{
	FILE *f = fopen(v6 ? "/proc/net/snmp6" : "/proc/net/snmp", "r");
	char line[1024];
	long n = -1, values[4];
	bool names = true;

	ASSERT_NE(NULL, f);
	while (n < 0 && fgets(line, sizeof(line), f)) {
		if (v6) {
			if (sscanf(line, "Udp6OutDatagrams %ld", &n) != 1)
				continue;
		} else if (!strncmp(line, "Udp:", 4)) {
			if (!names && sscanf(line, "Udp: %ld %ld %ld %ld", &values[0], &values[1],
					     &values[2], &values[3]) == 4)
				n = values[3];
			names = false;
		}
	}
	fclose(f);
	ASSERT_LE(0, n);
	return n;
}

/* One datagram by send(), one by zc_writev: the same packet leaves. */
static void same(struct __test_metadata *_metadata, FIXTURE_DATA(layer) *self, size_t len,
		 bool arrive)
{
	static unsigned char expected[DG_STEP + 100], got[DG_STEP + 100], data[DG_STEP];
	long before = counted(_metadata, self->v6), between;
	struct zt *z = &self->d.z;
	pair iov[1];
	size_t n;

	zt_fill(data, len, 5);
	ASSERT_EQ((ssize_t)len, send(z->rx, data, len, 0)) TH_LOG("%m");
	between = counted(_metadata, self->v6);
	n = leaves(_metadata, self, expected, sizeof(expected));
	for (int i = 0; i < TX_OFFSETS; i++) {
		tx_place(z, iov[0], 0, tx_offset(self->head, i), len, 5);
		ASSERT_EQ(1, zc_writev(z->rx, iov, 1)) TH_LOG("%m");
		ASSERT_EQ(n, leaves(_metadata, self, got, sizeof(got)));
		for (size_t at = 0; at < n; at++) {
			ASSERT_EQ(expected[at], got[at]) {
				TH_LOG("byte %zu of %zu", at, n);
			}
		}
	}
	ASSERT_LE((between - before) * TX_OFFSETS, counted(_metadata, self->v6) - between);
	for (int i = 0; arrive && i < 1 + TX_OFFSETS; i++)
		tx_arrives(_metadata, z->tx, len, 5);
}

static void set(struct __test_metadata *_metadata, int fd, int level, int name, int value)
{
	ASSERT_EQ(0, setsockopt(fd, level, name, &value, sizeof(value))) TH_LOG("%d: %m", name);
}

TEST_F(layer, packets_are_those_of_sendmsg)
{
	static const size_t lengths[] = { 0, 1, 1000, 1400 };

	for (int i = 0; i < ARRAY_SIZE(lengths); i++)
		same(_metadata, self, lengths[i], true);
}

TEST_F(layer, with_every_option)
{
	int fd = self->d.z.rx;

	if (self->v6) {
		set(_metadata, fd, IPPROTO_IPV6, IPV6_TCLASS, 0x48);
		same(_metadata, self, 100, true);
		set(_metadata, fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 7);
		same(_metadata, self, 100, true);
		set(_metadata, fd, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0);
		same(_metadata, self, 100, true);
		set(_metadata, fd, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 1);
		same(_metadata, self, 100, true);
		for (int how = IPV6_PMTUDISC_DONT; how <= IPV6_PMTUDISC_OMIT; how++) {
			set(_metadata, fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, how);
			same(_metadata, self, 1000, true);
		}
		return;
	}
	set(_metadata, fd, IPPROTO_IP, IP_TOS, 0x48);
	same(_metadata, self, 100, true);
	set(_metadata, fd, IPPROTO_IP, IP_TTL, 7);
	same(_metadata, self, 100, true);
	for (int how = IP_PMTUDISC_DONT; how <= IP_PMTUDISC_OMIT; how++) {
		set(_metadata, fd, IPPROTO_IP, IP_MTU_DISCOVER, how);
		same(_metadata, self, 1000, true);
	}
	set(_metadata, fd, SOL_SOCKET, SO_NO_CHECK, 1);
	same(_metadata, self, 1000, true);
}

TEST_F(layer, without_checksum_in_version_6)
{
	if (!self->v6)
		SKIP(return, "version 4 is among the options");
	set(_metadata, self->d.z.rx, IPPROTO_UDP, UDP_NO_CHECK6_TX, 1);
	set(_metadata, self->d.z.tx, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
	same(_metadata, self, 1000, true);
}

TEST_F(layer, with_ip_options)
{
	static const unsigned char nops[] = { 1, 1, 1, 0 };

	if (self->v6)
		SKIP(return, "of version 4");
	ASSERT_EQ(0, setsockopt(self->d.z.rx, IPPROTO_IP, IP_OPTIONS, nops, sizeof(nops)));
	same(_metadata, self, 1000, true);
}

/* Payloads are joined to one datagram as the messages of sendmsg() are. */
TEST_F(layer, more_joins_payloads)
{
	struct zcio_payload info[2];
	struct zt *z = &self->d.z;
	uint64_t taken;
	pair iov[2];

	for (int corked = 0; corked < 2; corked++) {
		set(_metadata, z->rx, IPPROTO_UDP, UDP_CORK, corked);
		tx_place(z, iov[0], 0, self->head, 500, 0);
		tx_place(z, iov[1], 4, self->head, 300, 500);
		ASSERT_EQ(2, zt_writev(z->dev, z->rx, iov, 2, info, corked ? 0 : ZCIO_MORE, &taken));
		ASSERT_EQ(800, taken);
		tx_gone(_metadata, iov[0]);
		tx_gone(_metadata, iov[1]);
		zt_nothing(_metadata, z->tx);
		tx_place(z, iov[0], 0, self->head + 50, 200, 800);
		ASSERT_EQ(1, zc_writev(z->rx, iov, 1));
		if (corked)
			set(_metadata, z->rx, IPPROTO_UDP, UDP_CORK, 0);
		tx_arrives(_metadata, z->tx, 1000, 0);
	}
}

TEST_F(layer, time_stamps_are_told)
{
	struct zt *z = &self->d.z;
	char control[512], data[2000];
	struct iovec to = zt_iov(data, sizeof(data));
	struct msghdr msg = { .msg_iov = &to, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct pollfd p = { .fd = z->rx };
	pair iov[1];

	set(_metadata, z->rx, SOL_SOCKET, SO_TIMESTAMPING,
	    SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE);
	tx_place(z, iov[0], 0, self->head, 700, 0);
	ASSERT_EQ(1, zc_writev(z->rx, iov, 1));
	tx_arrives(_metadata, z->tx, 700, 0);
	ASSERT_EQ(1, poll(&p, 1, -1));
	ASSERT_LT(0, recvmsg(z->rx, &msg, MSG_ERRQUEUE)) TH_LOG("%m");
}

/* Without the devices' help the sums are right as well; and what can't be gathered is copied. */
TEST_F(layer, devices_that_neither_sum_nor_gather)
{
	static const size_t lengths[] = { 0, 1, 999, 1400, 20000 };
	struct zcio_payload info[1];
	struct zt *z = &self->d.z;
	pair iov[1];

	if (variant->path < ZT_WIRE4 || !strcmp(getenv("ZCIO_NIC"), "lo"))
		SKIP(return, "needs a device of its own");
	self->plain = true;
	for (int gathers = 1; gathers >= 0; gathers--) {
		if (system(gathers ? "ethtool -K zc0 tx off && ip netns exec peer ethtool -K zc1 rx off" :
				     "ethtool -K zc0 sg off"))
			SKIP(return, "the devices cannot do without");
		for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
			for (int j = 0; j < TX_OFFSETS; j++) {
				tx_place(z, iov[0], 0, tx_offset(self->head, j), lengths[i], 21);
				ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, NULL));
				tx_arrives(_metadata, z->tx, lengths[i], 21);
				ASSERT_EQ(gathers || !lengths[i] ? 0 : ZCIO_WHY_DEVICE, info[0].why);
				ASSERT_EQ(gathers ? 0 : lengths[i], info[0].copied);
				tx_gone(_metadata, iov[0]);
			}
		}
	}
}

/* Others may write to an area that stays: no header is built there. */
TEST_F(layer, kept_areas_stay)
{
	static const size_t lengths[] = { 0, 1, 1000, 1400, 5000, 60000 };
	struct zt *z = &self->d.z;
	pair iov[1];

	for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (int j = 0; j < TX_OFFSETS; j++) {
			tx_place(z, iov[0], 0, tx_offset(self->head, j), lengths[i], 11);
			for (int again = 0; again < 2; again++) {
				ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_KEEP, NULL));
				tx_still(_metadata, iov[0], 11, false);
				tx_arrives(_metadata, z->tx, lengths[i], 11);
			}
		}
	}
}

TEST_HARNESS_MAIN
