/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of sockets that keep boundaries share: datagrams that can be told apart,
 * the sockets they go through, and a call of zc_readv with all that must hold after it.
 *
 * Datagram k holds the bytes that zt_fill() makes from k * DG_STEP on.
 */
#ifndef DATAGRAM_H
#define DATAGRAM_H

#include <netinet/udp.h>

#include "zt.h"

#define DG_STEP		65536ULL
#define DG_WINDOW	1024		/* pages of the window */
#define DG_MOST		8192		/* datagrams of one test */

struct dg {
	struct zt z;
	struct zt_addr from;		/* what recvfrom() says of the sender */
	size_t len[DG_MOST];		/* of datagram k */
	size_t sent, got;		/* datagrams */
	uint64_t mapped, copied;	/* bytes, of all calls */
	size_t calls, payloads;
	uint32_t why;			/* of the last call */
	bool truncated;			/* the last call's last datagram was */
	struct zcio_payload last;	/* what it said of its last payload */
};

enum dg_kind {
	DG_PLAIN,			/* the local socket is bound only */
	DG_CONNECTED,			/* to the peer */
	DG_MAPPED,			/* of version 6, the peer of version 4 */
};

/* ---- sockets ---- */

/* ::ffff:A.B.C.D for an address of version 4. */
ZT_UNUSED static struct zt_addr dg_mapped(const struct zt_addr *a)
{
	struct zt_addr m = { .in6 = { .sin6_family = AF_INET6, .sin6_port = a->in.sin_port },
			     .len = sizeof(m.in6) };

	m.in6.sin6_addr.s6_addr[10] = 0xff;
	m.in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&m.in6.sin6_addr.s6_addr[12], &a->in.sin_addr, 4);
	return m;
}

/* A UDP socket at one end with an address of its own, which goes to @at. */
ZT_UNUSED static int dg_bound(struct __test_metadata *_metadata, enum zt_path path, bool peer,
			      struct zt_addr *at)
{
	int fd = zt_socket(_metadata, path, peer, SOCK_DGRAM);
	int size = 16 << 20;

	*at = zt_addr(_metadata, path, peer);
	ASSERT_EQ(0, bind(fd, &at->sa, at->len));
	ASSERT_EQ(0, getsockname(fd, &at->sa, &at->len));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	return fd;
}

ZT_UNUSED static void dg_open(struct __test_metadata *_metadata, struct dg *d, enum zt_path path,
			      enum dg_kind kind)
{
	struct zt_addr here;
	int size = 16 << 20;

	zt_open(_metadata, &d->z, DG_WINDOW, 0);
	d->z.tx = dg_bound(_metadata, path, true, &d->from);
	if (kind == DG_MAPPED) {
		here = zt_addr(_metadata, path, false);
		here = dg_mapped(&here);
		d->z.rx = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ASSERT_LE(0, d->z.rx);
		ASSERT_EQ(0, bind(d->z.rx, &here.sa, here.len));
		ASSERT_EQ(0, getsockname(d->z.rx, &here.sa, &here.len));
		ASSERT_EQ(0, setsockopt(d->z.rx, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
		d->from = dg_mapped(&d->from);
		/* Where the peer sends to. */
		here = (struct zt_addr){ .in = { .sin_family = AF_INET, .sin_port = here.in6.sin6_port },
					 .len = sizeof(here.in) };
		here.in.sin_addr = zt_addr(_metadata, path, false).in.sin_addr;
	} else {
		d->z.rx = dg_bound(_metadata, path, false, &here);
	}
	if (kind == DG_CONNECTED)
		ASSERT_EQ(0, connect(d->z.rx, &d->from.sa, d->from.len));
	ASSERT_EQ(0, connect(d->z.tx, &here.sa, here.len));
}

/* ---- datagrams ---- */

static inline uint64_t dg_pos(size_t number)
{
	return number * DG_STEP;
}

ZT_UNUSED static void dg_send(struct __test_metadata *_metadata, struct dg *d, size_t len)
{
	static unsigned char buf[DG_STEP];

	ASSERT_GT(DG_MOST, d->sent);
	ASSERT_GT(DG_STEP, len);
	zt_fill(buf, len, dg_pos(d->sent));
	ASSERT_EQ((ssize_t)len, send(d->z.tx, buf, len, 0)) TH_LOG("%zu bytes: %m", len);
	d->len[d->sent++] = len;
}

/*
 * Waits until all that was sent is queued. To be called once for each batch, and never for
 * AF_PACKET: looking at an empty datagram marks it, and it is stepped over the next time.
 */
ZT_UNUSED static void dg_arrived(struct __test_metadata *_metadata, struct dg *d)
{
	static unsigned char buf[DG_STEP];
	int from = 0, off = -1;

	ASSERT_EQ(0, setsockopt(d->z.rx, SOL_SOCKET, SO_PEEK_OFF, &from, sizeof(from)));
	for (size_t i = d->got; i < d->sent; i++) {
		ASSERT_EQ((ssize_t)d->len[i], recv(d->z.rx, buf, sizeof(buf), MSG_PEEK)) {
			TH_LOG("datagram %zu", i);
		}
		ASSERT_EQ(d->len[i], zt_same(buf, d->len[i], dg_pos(i)));
	}
	ASSERT_EQ(0, setsockopt(d->z.rx, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
}

/* The next datagram with recvfrom(). */
ZT_UNUSED static void dg_recv(struct __test_metadata *_metadata, struct dg *d, int flags)
{
	static unsigned char buf[DG_STEP];
	struct zt_addr from = { .len = sizeof(from.in6) };

	ASSERT_EQ((ssize_t)d->len[d->got],
		  recvfrom(d->z.rx, buf, sizeof(buf), flags, &from.sa, &from.len)) {
		TH_LOG("datagram %zu: %m", d->got);
	}
	ASSERT_EQ(d->len[d->got], zt_same(buf, d->len[d->got], dg_pos(d->got)));
	ASSERT_EQ(d->from.len, from.len);
	ASSERT_EQ(0, memcmp(&d->from.in6, &from.in6, from.len));
	if (!(flags & MSG_PEEK))
		d->got++;
}

/* ---- a call ---- */

/*
 * One call that must give something. Checks what must hold of every call, and each
 * datagram's bytes, length, end and sender. Returns how many datagrams came.
 */
ZT_UNUSED static size_t dg_take(struct __test_metadata *_metadata, struct dg *d,
				const struct iovec *regions, int count)
{
	struct zcio_payload *info = malloc(count * sizeof(*info));
	struct iovec *iov = malloc(count * sizeof(*iov));
	size_t before = d->got, at = 0, room = 0;
	int n;

	memset(info, 0xaa, count * sizeof(*info));
	n = zt_take(_metadata, d->z.dev, d->z.rx, regions, count, iov, info, 0);
	ASSERT_LT(0, n) TH_LOG("%s", strerror(-n));
	d->why = 0;
	for (int i = 0; i < n; i++) {
		const struct zcio_payload *p = &info[i];
		size_t len = iov[i].iov_len, want;

		ASSERT_GT(d->sent, d->got) TH_LOG("more datagrams than were sent");
		want = d->len[d->got];
		ASSERT_EQ(len, p->mapped + p->copied);
		ASSERT_EQ(!p->copied, !p->why);
		ASSERT_EQ(0, p->flags & ~(ZCIO_PAYLOAD_END | ZCIO_PAYLOAD_TRUNCATED));
		ASSERT_EQ(sizeof(p->reserved), zt_zeros(p->reserved, sizeof(p->reserved)));
		ASSERT_EQ(want, p->datagram) TH_LOG("datagram %zu", d->got);
		ASSERT_EQ(d->from.len, p->name_len);
		ASSERT_EQ(0, memcmp(&d->from.in6, p->name, p->name_len)) {
			TH_LOG("datagram %zu has another sender", d->got);
		}
		ASSERT_EQ(sizeof(p->name) - p->name_len,
			  zt_zeros(p->name + p->name_len, sizeof(p->name) - p->name_len));
		ASSERT_GE(want, at + len);
		ASSERT_EQ(len, zt_same(iov[i].iov_base, len, dg_pos(d->got) + at)) {
			TH_LOG("datagram %zu of %zu bytes: wrong at %zu (payload %d of %d at %#lx, mapped %llu, copied %llu, why %#x)",
			       d->got, want, at + zt_same(iov[i].iov_base, len, dg_pos(d->got) + at),
			       i, n, (uintptr_t)iov[i].iov_base % ZT_PAGE, (unsigned long long)p->mapped,
			       (unsigned long long)p->copied, p->why);
		}
		at += len;
		d->mapped += p->mapped;
		d->copied += p->copied;
		d->why |= p->why;
		d->truncated = p->flags & ZCIO_PAYLOAD_TRUNCATED;
		if (d->truncated) {
			/* Only the first datagram can be, and then it is the only one. */
			ASSERT_EQ(before, d->got);
			ASSERT_EQ(n - 1, i);
			ASSERT_NE(0, p->flags & ZCIO_PAYLOAD_END);
			ASSERT_LT(at, want);
			/* As much as there is room for, as with recvmsg(). */
			for (int r = 0; r < count; r++)
				room += zt_down((char *)regions[r].iov_base + regions[r].iov_len) -
					zt_up(regions[r].iov_base);
			ASSERT_EQ(room, at);
		} else {
			ASSERT_EQ(at == want, !!(p->flags & ZCIO_PAYLOAD_END)) {
				TH_LOG("datagram %zu of %zu bytes at %zu", d->got, want, at);
			}
		}
		if (p->flags & ZCIO_PAYLOAD_END) {
			d->got++;
			at = 0;
		}
	}
	ASSERT_EQ(0, at) TH_LOG("datagram %zu has no end", d->got);
	d->last = info[n - 1];
	d->calls++;
	d->payloads += n;
	free(info);
	free(iov);
	return d->got - before;
}

/* The same, with @count regions of @pages pages each, from the window's start on. */
ZT_UNUSED static size_t dg_call(struct __test_metadata *_metadata, struct dg *d, int count,
				size_t pages)
{
	struct iovec regions[ZCIO_MAX_ELEMENTS];

	ASSERT_GE(DG_WINDOW, count * pages);
	zt_regions(regions, d->z.win, count, pages);
	return dg_take(_metadata, d, regions, count);
}

/* Takes all that was sent. */
ZT_UNUSED static void dg_drain(struct __test_metadata *_metadata, struct dg *d)
{
	while (d->got < d->sent)
		dg_call(_metadata, d, 32, 17);
	zt_nothing(_metadata, d->z.rx);
}

#endif /* DATAGRAM_H */
