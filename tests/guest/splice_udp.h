/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of splicing UDP share: two pairs of sockets, of which this program has the
 * middle,
 *
 *	from --> source ==> drain --> to
 *
 * and datagrams that can be told apart: datagram k holds what zt_fill() makes from k * SU_STEP on.
 */
#ifndef SPLICE_UDP_H
#define SPLICE_UDP_H

#include <netinet/udp.h>

#include "datagram_tx.h"
#include "splice.h"

#define SU_STEP		65536ULL
#define SU_LARGEST	65507

struct su {
	struct sp sp;
	struct zt_addr at_source, at_to, at_drain;
	uint64_t sent, got;	/* datagrams */
};

/* A bound socket at one end, with large buffers. */
ZT_UNUSED static int su_socket(struct __test_metadata *_metadata, enum zt_path path, bool peer,
			       struct zt_addr *at)
{
	return dg_bound(_metadata, path, peer, at);
}

ZT_UNUSED static void su_connect(struct __test_metadata *_metadata, int fd, const struct zt_addr *to)
{
	ASSERT_EQ(0, connect(fd, &to->sa, to->len));
}

/* A drain at this end, and who gets what it sends. */
ZT_UNUSED static void su_drain(struct __test_metadata *_metadata, struct su *su, enum zt_path out,
			       int *drain, int *to)
{
	*to = su_socket(_metadata, out, true, &su->at_to);
	*drain = su_socket(_metadata, out, false, &su->at_drain);
	su_connect(_metadata, *drain, &su->at_to);
	su_connect(_metadata, *to, &su->at_drain);
}

ZT_UNUSED static void su_open(struct __test_metadata *_metadata, struct su *su, enum zt_path in,
			      enum zt_path out)
{
	struct zt_addr from;
	struct sp *sp = &su->sp;

	*su = (struct su) { .sp.handle = -1 };
	sp->ctx = zcio_open();
	ASSERT_NE(NULL, sp->ctx) TH_LOG("/dev/zcio: %m");
	sp->dev = zcio_ctx_fd(sp->ctx);
	sp->source = su_socket(_metadata, in, false, &su->at_source);
	sp->from = su_socket(_metadata, in, true, &from);
	su_connect(_metadata, sp->from, &su->at_source);
	su_drain(_metadata, su, out, &sp->drain, &sp->to);
}

ZT_UNUSED static unsigned char su_buffer[1 << 17];

/* Sends datagram @k on @fd. */
ZT_UNUSED static void su_put(struct __test_metadata *_metadata, int fd, uint64_t k, size_t len)
{
	zt_fill(su_buffer, len, k * SU_STEP);
	ASSERT_EQ((ssize_t)len, send(fd, su_buffer, len, 0)) TH_LOG("send %zu: %m", len);
}

/* The next one that comes to @fd is datagram @k, all of it and no more. */
ZT_UNUSED static void su_get(struct __test_metadata *_metadata, int fd, uint64_t k, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	ASSERT_EQ(1, poll(&p, 1, 20000)) TH_LOG("datagram %llu does not come", (unsigned long long)k);
	n = recv(fd, su_buffer, sizeof(su_buffer), MSG_DONTWAIT);
	ASSERT_EQ((ssize_t)len, n) TH_LOG("datagram %llu: %m", (unsigned long long)k);
	ASSERT_EQ(len, zt_same(su_buffer, len, k * SU_STEP));
}

ZT_UNUSED static void su_send(struct __test_metadata *_metadata, struct su *su, size_t len)
{
	su_put(_metadata, su->sp.from, su->sent++, len);
}

ZT_UNUSED static void su_recv(struct __test_metadata *_metadata, struct su *su, int fd, size_t len)
{
	su_get(_metadata, fd, su->got++, len);
}

/* One goes through. */
ZT_UNUSED static void su_pass(struct __test_metadata *_metadata, struct su *su, size_t len)
{
	su_send(_metadata, su, len);
	su_recv(_metadata, su, su->sp.to, len);
}

/* Nothing is there, nor comes: what a datagram that was sent later shows. */
ZT_UNUSED static void su_nothing(struct __test_metadata *_metadata, int fd)
{
	char c;

	ASSERT_EQ(-1, recv(fd, &c, 1, MSG_DONTWAIT));
	ASSERT_EQ(EAGAIN, errno);
}

/* Waits until datagrams of so many bytes are queued at a socket that is no source. */
ZT_UNUSED static void su_queued(struct __test_metadata *_metadata, int fd, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = -1;

	ASSERT_EQ(1, poll(&p, 1, 20000));
	ASSERT_EQ(0, ioctl(fd, FIONREAD, &n));
	ASSERT_EQ(len, (size_t)n);
}

/* Bytes of memory that what is queued at a socket takes. */
ZT_UNUSED static uint32_t su_held(struct __test_metadata *_metadata, int fd)
{
	uint32_t info[16] = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[0];		/* SK_MEMINFO_RMEM_ALLOC */
}

/* Waits until a splice has moved so many bytes. */
ZT_UNUSED static void su_moved(struct __test_metadata *_metadata, struct su *su, int fd, uint64_t moved)
{
	while (sp_status(_metadata, &su->sp, fd).moved != moved)
		usleep(1000);
}

#endif /* SPLICE_UDP_H */
