// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_readv promises of UDP where the network layer has a hand in it: segments that
 * it cuts or joins (UDP_SEGMENT, UDP_GRO), bad checksums that it must drop, and what it
 * counts.
 */
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include "udp.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT	103
#define UDP_GRO		104
#endif

/* ---- what the network layer joins ---- */

/* @count times @size bytes in one call of send(): the stack cuts them. */
static void send_segments(struct __test_metadata *_metadata, struct dg *d, size_t size, size_t count)
{
	static unsigned char buf[DG_STEP];
	char control[CMSG_SPACE(sizeof(uint16_t))] = {};
	struct iovec v = zt_iov(buf, size * count);
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
	*(uint16_t *)CMSG_DATA(c) = size;
	for (size_t i = 0; i < count; i++) {
		zt_fill(buf + i * size, size, dg_pos(d->sent));
		d->len[d->sent++] = size;
	}
	ASSERT_EQ((ssize_t)(size * count), sendmsg(d->z.tx, &msg, 0));
}

TEST_F(udp, segments_of_a_sender_come_one_by_one)
{
	struct dg *d = &self->d;

	send_segments(_metadata, d, 1200, 10);
	send_segments(_metadata, d, 1001, 3);
	dg_drain(_metadata, d);
	ASSERT_EQ(13, d->got);
}

/*
 * With UDP_GRO: several at once, with their size. How many are joined is the stack's
 * affair, except on the loopback device, where they are never cut.
 */
TEST_F(udp, UDP_GRO_tells_the_size_of_segments)
{
	size_t size = 1200, count = 10, got = 0, joined = 0, calls = 0;
	struct dg *d = &self->d;
	int one = 1;

	ASSERT_EQ(0, setsockopt(d->z.rx, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)));
	send_segments(_metadata, d, size, count);
	while (got < count) {
		struct zcio_payload info[32];
		struct iovec regions[32], iov[32];
		size_t at = 0;
		int n;

		zt_regions(regions, d->z.win, 32, 8);
		n = zt_take(_metadata, d->z.dev, d->z.rx, regions, 32, iov, info, 0);
		ASSERT_LT(0, n);
		calls++;
		for (int i = 0; i < n; i++) {
			const unsigned char *p = iov[i].iov_base;

			/* One is not joined with anything: it may say so or not. */
			ASSERT_EQ(0, info[i].datagram % size);
			if (info[i].datagram > size || info[i].segment)
				ASSERT_EQ(size, info[i].segment);
			for (size_t b = 0; b < iov[i].iov_len; b++, at++)
				ASSERT_EQ(zt_byte(dg_pos(got + at / size) + at % size), p[b]);
			if (info[i].flags & ZCIO_PAYLOAD_END) {
				ASSERT_EQ(info[i].datagram, at);
				joined += at / size > 1;
				got += at / size;
				at = 0;
			}
		}
		ASSERT_EQ(0, at);
	}
	ASSERT_EQ(count, got);
	TH_LOG("%zu joined ones in %zu calls", joined, calls);
	if (variant->path == ZT_LO4 || variant->path == ZT_LO6) {
		ASSERT_EQ(1, calls);
		ASSERT_EQ(1, joined);
	}
	zt_nothing(_metadata, d->z.rx);
}

/* ---- what must not be delivered ---- */

static uint16_t sum16(const void *p, size_t len, uint32_t sum)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? b[i] : b[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* A datagram of @len bytes with a good or a bad checksum, made by hand. */
static void send_by_hand(struct __test_metadata *_metadata, struct dg *d, enum zt_path path,
			 size_t len, bool good)
{
	bool v6 = path == ZT_LO6 || path == ZT_WIRE6;
	struct zt_addr from = { .len = sizeof(from.in6) }, to = { .len = sizeof(to.in6) };
	unsigned char packet[2048] = {};
	struct udphdr *udp = (struct udphdr *)packet;
	const void *a[2];
	size_t alen = v6 ? 16 : 4;
	uint32_t sum = IPPROTO_UDP + sizeof(*udp) + len;
	int raw = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);

	ASSERT_LE(0, raw);
	if (path >= ZT_WIRE4 && *getenv("ZCIO_PEER_EXEC")) {
		close(raw);
		raw = -1;
	}
	ASSERT_EQ(0, getsockname(d->z.tx, &from.sa, &from.len));
	ASSERT_EQ(0, getpeername(d->z.tx, &to.sa, &to.len));
	a[0] = v6 ? (void *)&from.in6.sin6_addr : (void *)&from.in.sin_addr;
	a[1] = v6 ? (void *)&to.in6.sin6_addr : (void *)&to.in.sin_addr;
	udp->source = v6 ? from.in6.sin6_port : from.in.sin_port;
	udp->dest = v6 ? to.in6.sin6_port : to.in.sin_port;
	udp->len = htons(sizeof(*udp) + len);
	zt_fill(packet + sizeof(*udp), len, dg_pos(d->sent));
	sum = sum16(a[0], alen, sum);
	sum = sum16(a[1], alen, sum);
	sum = ~sum16(packet, sizeof(*udp) + len, sum) & 0xffff;
	udp->check = htons(good ? sum : sum ^ 0x5a5a);
	if (raw < 0) {
		/* In the peer's namespace. */
		int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		int ns = open("/run/netns/peer", O_RDONLY | O_CLOEXEC);

		ASSERT_EQ(0, setns(ns, CLONE_NEWNET));
		raw = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
		ASSERT_LE(0, raw);
		ASSERT_EQ(0, setns(home, CLONE_NEWNET));
		close(ns);
		close(home);
	}
	if (v6) {
		int off = -1;

		/* The kernel would put in the right one. */
		ASSERT_EQ(0, setsockopt(raw, IPPROTO_IPV6, IPV6_CHECKSUM, &off, sizeof(off)));
		to.in6.sin6_port = 0;
		from.in6.sin6_port = 0;
		ASSERT_EQ(0, bind(raw, (struct sockaddr *)&from.in6, sizeof(from.in6)));
	} else {
		from.in.sin_port = 0;
		ASSERT_EQ(0, bind(raw, (struct sockaddr *)&from.in, sizeof(from.in)));
	}
	ASSERT_EQ((ssize_t)(sizeof(*udp) + len),
		  sendto(raw, packet, sizeof(*udp) + len, 0, &to.sa, to.len));
	close(raw);
	if (good)
		d->len[d->sent++] = len;
}

static uint64_t snmp(struct __test_metadata *_metadata, bool v6, const char *name)
{
	static const char ends[] = { ' ', '\n', 0 };
	char line[1024], values[1024];
	uint64_t value = UINT64_MAX;
	FILE *f = fopen(v6 ? "/proc/net/snmp6" : "/proc/net/snmp", "r");

	ASSERT_NE(NULL, f);
	if (v6) {
		char want[64];

		snprintf(want, sizeof(want), "Udp6%s", name);
		while (fgets(line, sizeof(line), f)) {
			char key[64];
			unsigned long long v;

			if (sscanf(line, "%63s %llu", key, &v) == 2 && !strcmp(key, want))
				value = v;
		}
	} else {
		while (fgets(line, sizeof(line), f)) {
			char *k, *v, *ks, *vs;

			if (strncmp(line, "Udp:", 4) || !fgets(values, sizeof(values), f))
				continue;
			k = strtok_r(line, ends, &ks);
			v = strtok_r(values, ends, &vs);
			while (k && v) {
				if (!strcmp(k, name))
					value = strtoull(v, NULL, 10);
				k = strtok_r(NULL, ends, &ks);
				v = strtok_r(NULL, ends, &vs);
			}
		}
	}
	fclose(f);
	ASSERT_NE(UINT64_MAX, value) TH_LOG("no counter %s", name);
	return value;
}

/* The bad ones lie between good ones, so that it is this call that has to see them. */
TEST_F(udp, bad_checksum_is_dropped_and_counted)
{
	bool v6 = variant->path == ZT_LO6 || variant->path == ZT_WIRE6;
	struct dg *d = &self->d;
	uint64_t errors = snmp(_metadata, v6, "InCsumErrors");

	send_by_hand(_metadata, d, variant->path, 1000, true);
	send_by_hand(_metadata, d, variant->path, 1000, false);
	send_by_hand(_metadata, d, variant->path, 900, false);
	send_by_hand(_metadata, d, variant->path, 800, true);
	send_by_hand(_metadata, d, variant->path, 700, false);
	dg_send(_metadata, d, 1300);
	while (d->got < d->sent)
		dg_call(_metadata, d, 16, 1);
	ASSERT_EQ(3, d->got);
	zt_nothing(_metadata, d->z.rx);
	ASSERT_EQ(errors + 3, snmp(_metadata, v6, "InCsumErrors"));
}

/* UDP's own counter of what was delivered: that of the datagram's version. */
TEST_F(udp, delivered_datagrams_are_counted_once)
{
	bool v6 = variant->path == ZT_LO6 || variant->path == ZT_WIRE6;
	struct dg *d = &self->d;
	uint64_t in = snmp(_metadata, v6, "InDatagrams");

	for (int i = 0; i < 10; i++)
		dg_send(_metadata, d, 500 * i);
	dg_arrived(_metadata, d);
	dg_call(_metadata, d, 4, 2);
	dg_drain(_metadata, d);
	ASSERT_EQ(in + 10, snmp(_metadata, v6, "InDatagrams"));
}

TEST_HARNESS_MAIN
