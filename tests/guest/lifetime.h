/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the lifetime tests share: two ends of a path, each in a network namespace, over
 * which TCP, UDP or AF_PACKET sockets talk, and payloads that are kept and looked at again.
 *
 * A message is a part of the stream for TCP, a datagram else; message k of the others holds
 * the bytes of zt_fill() from k * MESSAGE on.
 */
#ifndef LIFETIME_H
#define LIFETIME_H

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "zt.h"

#define PROTOCOL	0x88b5		/* for experiments */
#define MESSAGE		65536ULL	/* at most so many bytes, and what lies between two */
#define WINDOW		(1 << 14)	/* pages */
#define KEPT		4096		/* payloads */

/* Runs what must succeed, with the functions of the rig that wire the guest's devices. */
#define SHELL(commands) ({ \
	int status_ = system("exec bash -ec '. tests/rig/guest-net.sh\n" commands "' >&2"); \
	ASSERT_EQ(0, status_) TH_LOG("%s", commands); \
})

enum kind { TCP, UDP, PACKET };

struct end {
	const char *ns;			/* name of its namespace, NULL: this one */
	const char *device;
	const char *address;
};

struct path {
	struct end near, far;
	size_t unit;			/* bytes of a message */
};

struct lasting {
	struct zt z;			/* rx near, tx far */
	enum kind kind;
	struct path path;
	struct sockaddr_ll to;		/* of AF_PACKET */
	struct iovec kept[KEPT];
	uint64_t at[KEPT];		/* where in the stream */
	size_t count, pages;		/* payloads, and pages of the window in use */
	uint64_t sent, got;		/* messages; bytes for TCP */
	uint64_t mapped, copied;
};

/* ---- sockets ---- */

/* A socket in a namespace. */
ZT_UNUSED static int socket_in(struct __test_metadata *_metadata, const char *ns, int family, int type)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), there = -1, fd, size = 8 << 20;
	char name[64];

	ASSERT_LE(0, home);
	if (ns) {
		snprintf(name, sizeof(name), "/run/netns/%s", ns);
		there = open(name, O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, there) TH_LOG("%s: %m", name);
		ASSERT_EQ(0, setns(there, CLONE_NEWNET));
		close(there);
	}
	fd = socket(family, type | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setns(home, CLONE_NEWNET));
	close(home);
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	return fd;
}

static inline struct sockaddr_in address_of(const struct end *end)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(end->address) };
}

static inline int packet_in(struct __test_metadata *_metadata, const struct end *end, int protocol,
			    struct sockaddr_ll *at)
{
	int fd = socket_in(_metadata, end->ns, AF_PACKET, SOCK_DGRAM);
	struct ifreq r = {};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", end->device);
	ASSERT_EQ(0, ioctl(fd, SIOCGIFINDEX, &r)) TH_LOG("%s: %m", end->device);
	*at = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_protocol = htons(protocol),
				    .sll_ifindex = r.ifr_ifindex };
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)at, sizeof(*at)));
	return fd;
}

/* Opens the two sockets (again), and begins at the first message. */
ZT_UNUSED static void open_pair(struct __test_metadata *_metadata, struct lasting *l)
{
	struct sockaddr_in near = address_of(&l->path.near), far = address_of(&l->path.far);
	socklen_t len = sizeof(near);
	struct zt *z = &l->z;
	struct sockaddr_ll here;
	int fd, one = 1;

	l->sent = 0;
	l->got = 0;
	if (l->kind == PACKET) {
		z->rx = packet_in(_metadata, &l->path.near, PROTOCOL, &here);
		z->tx = packet_in(_metadata, &l->path.far, 0, &l->to);
		l->to.sll_protocol = htons(PROTOCOL);
		l->to.sll_halen = ETH_ALEN;
		memset(l->to.sll_addr, 0xff, ETH_ALEN);
		return;
	}
	fd = socket_in(_metadata, l->path.near.ns, AF_INET, l->kind == TCP ? SOCK_STREAM : SOCK_DGRAM);
	z->tx = socket_in(_metadata, l->path.far.ns, AF_INET, l->kind == TCP ? SOCK_STREAM : SOCK_DGRAM);
	ASSERT_EQ(0, bind(fd, (void *)&near, len));
	ASSERT_EQ(0, getsockname(fd, (void *)&near, &len));
	ASSERT_EQ(0, bind(z->tx, (void *)&far, len));
	z->rx = fd;
	if (l->kind == TCP)
		ASSERT_EQ(0, listen(fd, 1));
	ASSERT_EQ(0, connect(z->tx, (void *)&near, len)) TH_LOG("%m");
	if (l->kind == TCP) {
		z->rx = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		ASSERT_LE(0, z->rx);
		close(fd);
		ASSERT_EQ(0, setsockopt(z->tx, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	}
}

/* Closes them so that nothing of them stays: neither a state that waits nor its namespace. */
ZT_UNUSED static void close_pair(struct __test_metadata *_metadata, struct lasting *l)
{
	int *fds[] = { &l->z.tx, &l->z.rx };

	for (int i = 0; i < 2; i++) {
		if (*fds[i] >= 0 && l->kind == TCP)
			zt_reset(_metadata, *fds[i]);
		else if (*fds[i] >= 0)
			ASSERT_EQ(0, close(*fds[i]));
		*fds[i] = -1;
	}
}

/* ---- messages ---- */

ZT_UNUSED static void put(struct __test_metadata *_metadata, struct lasting *l)
{
	static unsigned char buf[MESSAGE];
	bool packet = l->kind == PACKET;
	size_t len = l->path.unit;

	zt_fill(buf, len, l->kind == TCP ? l->sent : l->sent * MESSAGE);
	ASSERT_EQ((ssize_t)len, sendto(l->z.tx, buf, len, MSG_NOSIGNAL, packet ? (void *)&l->to : NULL,
				       packet ? sizeof(l->to) : 0)) TH_LOG("%m");
	l->sent += l->kind == TCP ? len : 1;
}

/* One call, into the regions of the window from @pages on; the payloads are kept. */
static inline void take(struct __test_metadata *_metadata, struct lasting *l)
{
	size_t region = l->path.unit / ZT_PAGE + 3, within = 0;
	struct zcio_payload info[16];
	struct iovec regions[16], iov[16];
	int n;

	ASSERT_GE(WINDOW, l->pages + 16 * region);
	zt_regions(regions, l->z.win + ZT_PAGES(l->pages), 16, region);
	n = zt_take(_metadata, l->z.dev, l->z.rx, regions, 16, iov, info, 0);
	ASSERT_LT(0, n) TH_LOG("%s", strerror(-n));
	for (int i = 0; i < n; i++) {
		uint64_t at = l->kind == TCP ? l->got : l->got * MESSAGE + within;

		ASSERT_GT(KEPT, l->count);
		l->kept[l->count] = iov[i];
		l->at[l->count++] = at;
		ASSERT_EQ(iov[i].iov_len, zt_same(iov[i].iov_base, iov[i].iov_len, at));
		l->mapped += info[i].mapped;
		l->copied += info[i].copied;
		within += iov[i].iov_len;
		if (l->kind == TCP)
			l->got += iov[i].iov_len;
		else if (info[i].flags & ZCIO_PAYLOAD_END)
			l->got++, within = 0;
	}
	l->pages = ((char *)iov[n - 1].iov_base - l->z.win) / ZT_PAGE + region;
}

/* Sends and receives so many bytes more, and keeps them. */
ZT_UNUSED static void keep(struct __test_metadata *_metadata, struct lasting *l, size_t bytes)
{
	for (size_t at = 0; at < bytes;) {
		for (int i = 0; i < 8; i++, at += l->path.unit)
			put(_metadata, l);
		while (l->got < l->sent)
			take(_metadata, l);
	}
}

/* Sends and receives so many bytes with recv(). */
ZT_UNUSED static void pass(struct __test_metadata *_metadata, struct lasting *l, size_t bytes)
{
	static unsigned char buf[MESSAGE];

	for (size_t at = 0; at < bytes;) {
		for (int i = 0; i < 8; i++, at += l->path.unit)
			put(_metadata, l);
		while (l->got < l->sent) {
			ssize_t n = recv(l->z.rx, buf, sizeof(buf), 0);

			ASSERT_LT(0, n) TH_LOG("%m");
			ASSERT_EQ((size_t)n, zt_same(buf, n, l->kind == TCP ? l->got : l->got * MESSAGE));
			l->got += l->kind == TCP ? n : 1;
		}
	}
}

ZT_UNUSED static void still_there(struct __test_metadata *_metadata, const struct lasting *l)
{
	ASSERT_LT(0, l->count);
	for (size_t i = 0; i < l->count; i++) {
		const struct iovec *v = &l->kept[i];

		ASSERT_EQ(v->iov_len, zt_same(v->iov_base, v->iov_len, l->at[i])) {
			TH_LOG("payload %zu of %zu has changed", i, l->count);
		}
	}
}

/*
 * Something new takes the place of all that is kept: with it every other page is given
 * back, and this one when the window goes.
 */
ZT_UNUSED static void goes_back(struct __test_metadata *_metadata, struct lasting *l)
{
	struct iovec all = zt_iov(l->z.win, ZT_PAGES(WINDOW));
	struct zt *z = &l->z;

	put(_metadata, l);
	ASSERT_EQ(1, zt_readv(z->dev, z->rx, &all, 1, NULL, 0));
	ASSERT_EQ(all.iov_len, zt_same(all.iov_base, all.iov_len, l->kind == TCP ? l->got :
				       l->got * MESSAGE));
	ASSERT_GE(l->path.unit / ZT_PAGE + 2, zt_info(_metadata, z->ctx).window_pages);
	ASSERT_EQ(0, zcio_unmap(z->win, ZT_PAGES(WINDOW)));
	ASSERT_EQ(0, zt_info(_metadata, z->ctx).window_pages);
}

ZT_UNUSED static void open_lasting(struct __test_metadata *_metadata, struct lasting *l,
				   enum kind kind, struct path path)
{
	l->kind = kind;
	l->path = path;
	zt_open(_metadata, &l->z, WINDOW, 0);
	open_pair(_metadata, l);
}

#endif /* LIFETIME_H */
