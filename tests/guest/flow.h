/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two sockets of any kind that the calls serve, and messages that go from one to the other:
 * what the tests run over that ask the same of every protocol.
 *
 * The messages' bytes are a stream, so that the order shows: a message begins where the one
 * before it ends, also where the socket keeps boundaries.
 */
#ifndef FLOW_H
#define FLOW_H

#include <linux/if_ether.h>

#include "datagram.h"

#define FLOW_PROTOCOL	0x88b5	/* for experiments */
#define FLOW_MOST	256	/* messages of one test */
#define FLOW_LEN	16384	/* bytes of one */

enum flow_kind { TCP4, TCP6, UDP4, UDP6, RAW, COOKED };

/* The variants of a fixture: each kind of socket, over the loopback device. */
#define FLOW_KINDS(fixture)						\
	FIXTURE_VARIANT(fixture) { enum flow_kind kind; };		\
	FIXTURE_VARIANT_ADD(fixture, tcp4) { TCP4 };			\
	FIXTURE_VARIANT_ADD(fixture, tcp6) { TCP6 };			\
	FIXTURE_VARIANT_ADD(fixture, udp4) { UDP4 };			\
	FIXTURE_VARIANT_ADD(fixture, udp6) { UDP6 };			\
	FIXTURE_VARIANT_ADD(fixture, packet_raw) { RAW };		\
	FIXTURE_VARIANT_ADD(fixture, packet_dgram) { COOKED }

/* Each protocol over loopback, and over the wire, where the pages may be a driver's. */
#define FLOW_PAGES(fixture)						\
	FIXTURE_VARIANT(fixture) { enum flow_kind kind; bool wire; };	\
	FIXTURE_VARIANT_ADD(fixture, tcp_lo) { TCP4, false };		\
	FIXTURE_VARIANT_ADD(fixture, tcp_wire) { TCP6, true };		\
	FIXTURE_VARIANT_ADD(fixture, udp_lo) { UDP6, false };		\
	FIXTURE_VARIANT_ADD(fixture, udp_wire) { UDP4, true };		\
	FIXTURE_VARIANT_ADD(fixture, packet_lo) { COOKED, false };	\
	FIXTURE_VARIANT_ADD(fixture, packet_wire) { RAW, true }

struct flow {
	enum flow_kind kind;
	int from, to;
	struct sockaddr_ll all;		/* where frames go: to all stations */
	size_t most;			/* bytes of a message */
	size_t header;			/* bytes that come before a message's own */
	size_t len[FLOW_MOST];
	uint64_t pos[FLOW_MOST + 1];
	size_t sent, got;		/* messages */
};

static inline bool flow_streams(const struct flow *f)
{
	return f->kind == TCP4 || f->kind == TCP6;
}

/* @to is the end that is this program's, @from the peer; over loopback or the wire. */
ZT_UNUSED static void flow_open(struct __test_metadata *_metadata, struct flow *f,
				enum flow_kind kind, bool wire)
{
	bool v6 = kind == TCP6 || kind == UDP6;
	enum zt_path path = wire ? v6 ? ZT_WIRE6 : ZT_WIRE4 : v6 ? ZT_LO6 : ZT_LO4;
	struct sockaddr_ll at;
	socklen_t len = sizeof(at);
	struct zt_addr here, there;

	*f = (struct flow){ .kind = kind, .most = FLOW_LEN };
	switch (kind) {
	case TCP4:
	case TCP6:
		zt_tcp(_metadata, path, &f->to, &f->from);
		break;
	case UDP4:
	case UDP6:
		f->to = dg_bound(_metadata, path, false, &here);
		f->from = dg_bound(_metadata, path, true, &there);
		ASSERT_EQ(0, connect(f->from, &here.sa, here.len));
		ASSERT_EQ(0, connect(f->to, &there.sa, there.len));
		break;
	case RAW:
	case COOKED:
		f->header = kind == RAW ? ETH_HLEN : 0;
		f->most = wire ? atoi(getenv("ZCIO_MTU")) : FLOW_LEN;
		f->to = zt_packet_socket(_metadata, path, false, kind == RAW ? SOCK_RAW : SOCK_DGRAM,
					 FLOW_PROTOCOL);
		f->from = zt_packet_socket(_metadata, path, true, SOCK_DGRAM, 0);
		ASSERT_EQ(0, getsockname(f->from, (struct sockaddr *)&at, &len));
		f->all = (struct sockaddr_ll){
			.sll_family = AF_PACKET, .sll_protocol = htons(FLOW_PROTOCOL),
			.sll_ifindex = at.sll_ifindex, .sll_halen = ETH_ALEN,
			.sll_addr = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		};
		break;
	}
}

/* Sends @len bytes of the stream from @pos on, as one message; what send() says. */
static inline ssize_t flow_send(struct flow *f, size_t len, uint64_t pos)
{
	unsigned char buf[FLOW_LEN];

	zt_fill(buf, len, pos);
	if (flow_streams(f) || f->kind == UDP4 || f->kind == UDP6)
		return send(f->from, buf, len, MSG_NOSIGNAL);
	return sendto(f->from, buf, len, 0, (struct sockaddr *)&f->all, sizeof(f->all));
}

/* The next message is sent. */
ZT_UNUSED static void flow_put(struct __test_metadata *_metadata, struct flow *f, size_t len)
{
	ASSERT_GT(FLOW_MOST, f->sent);
	ASSERT_GE(f->most, len);
	ASSERT_EQ((ssize_t)len, flow_send(f, len, f->pos[f->sent])) TH_LOG("%m");
	f->len[f->sent++] = len;
	f->pos[f->sent] = f->pos[f->sent - 1] + len;
	if (flow_streams(f))
		zt_acked(_metadata, f->from);
}

/* So many bytes of the stream have come, from @data on; an end, if the socket tells of one. */
static inline void flow_came(struct __test_metadata *_metadata, struct flow *f, const void *data,
			     size_t len, bool end)
{
	while (len || end) {
		size_t n;

		ASSERT_GT(f->sent, f->got) TH_LOG("more messages than were sent");
		n = len < f->len[f->got] ? len : f->len[f->got];
		ASSERT_EQ(n, zt_same(data, n, f->pos[f->got])) TH_LOG("message %zu", f->got);
		data = (const char *)data + n;
		len -= n;
		f->len[f->got] -= n;
		f->pos[f->got] += n;
		if (f->len[f->got])
			break;
		f->got++;
		end = false;
	}
	ASSERT_EQ(0, len);
	ASSERT_FALSE(end) TH_LOG("message %zu has ended too early", f->got);
}

/* The next message, or what is left of it, comes by recv(). */
ZT_UNUSED static void flow_get(struct __test_metadata *_metadata, struct flow *f)
{
	static unsigned char buf[FLOW_LEN + ETH_HLEN];
	size_t len;

	ASSERT_GT(f->sent, f->got);
	len = f->header + f->len[f->got];
	ASSERT_EQ((ssize_t)len, recv(f->to, buf, flow_streams(f) ? len : sizeof(buf),
				     flow_streams(f) ? MSG_WAITALL : 0)) {
		TH_LOG("message %zu: %m", f->got);
	}
	flow_came(_metadata, f, buf + f->header, len - f->header, !flow_streams(f));
}

/* All that was sent is there, and nothing else. */
ZT_UNUSED static void flow_drain(struct __test_metadata *_metadata, struct flow *f)
{
	while (f->got < f->sent)
		flow_get(_metadata, f);
	zt_nothing(_metadata, f->to);
}

/* When all that was sent has come: as many messages again, further on in the stream. */
static inline void flow_rewind(struct flow *f)
{
	f->pos[0] = f->pos[f->sent];
	f->sent = 0;
	f->got = 0;
}

/* What a call of zc_readv gave: whole messages, except of a stream. */
ZT_UNUSED static void flow_took(struct __test_metadata *_metadata, struct flow *f,
				const struct iovec *iov, const struct zcio_payload *info, int n)
{
	size_t skip = f->header;

	for (int i = 0; i < n; i++) {
		const char *p = iov[i].iov_base;
		size_t len = iov[i].iov_len, head = skip < len ? skip : len;
		bool end = info[i].flags & ZCIO_PAYLOAD_END;

		ASSERT_EQ(0, info[i].flags & ZCIO_PAYLOAD_TRUNCATED);
		flow_came(_metadata, f, p + head, len - head, end);
		skip = end ? f->header : skip - head;
	}
}

/*
 * The next message, by one zc_readv into one region, where it stays. What of a stream's did
 * not go there is taken by recv().
 */
ZT_UNUSED static struct iovec flow_receive(struct __test_metadata *_metadata, struct flow *f,
					   int dev, void *at, size_t pages)
{
	struct iovec iov = zt_iov(at, ZT_PAGES(pages));
	struct zcio_payload info;
	size_t number = f->got;

	ASSERT_EQ(1, zt_readv(dev, f->to, &iov, 1, &info, 0));
	flow_took(_metadata, f, &iov, &info, 1);
	if (f->got == number)
		flow_get(_metadata, f);
	return iov;
}

#endif /* FLOW_H */
