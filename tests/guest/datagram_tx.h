/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of zc_writev to sockets that keep boundaries share: areas with payloads
 * that can be told apart, and what must hold of an area after a call.
 */
#ifndef DATAGRAM_TX_H
#define DATAGRAM_TX_H

#include <linux/filter.h>

#include "area.h"
#include "flow.h"

#define TX_POOL		4096		/* pages of the pool */
#define TX_JUNK		0xa5		/* of zt_area() */

/* The room that the socket asks for before a payload. */
ZT_UNUSED static size_t tx_head(struct __test_metadata *_metadata, struct zcio_ctx *ctx, int fd)
{
	struct zcio_info info;

	ASSERT_EQ(0, zcio_info(ctx, fd, &info)) TH_LOG("%m");
	ASSERT_LT(0, info.head_room);
	ASSERT_GT(ZT_PAGE / 4, info.head_room);
	ASSERT_EQ(0, info.tail_room);
	return info.head_room;
}

/* From now on in a network namespace where nobody else sends. */
ZT_UNUSED static void tx_alone(struct __test_metadata *_metadata)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
}

/*
 * Sockets of any kind, over loopback: zc_writev works on @z's rx, what it sends comes out at tx.
 * That gets all frames but those of IP, so they can have any bytes for a link header; nobody
 * else may send such.
 */
ZT_UNUSED static void tx_pair(struct __test_metadata *_metadata, struct zt *z, enum flow_kind kind)
{
	int type = kind == RAW ? SOCK_RAW : SOCK_DGRAM, one = 1, size = 64 << 20;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog filter = { ARRAY_SIZE(code), code };
	struct flow f;

	if (kind != RAW && kind != COOKED) {
		flow_open(_metadata, &f, kind, false);
		z->rx = f.from;
		z->tx = f.to;
		return;
	}
	z->rx = zt_packet_socket(_metadata, ZT_LO4, false, type, 0);
	z->tx = zt_packet_socket(_metadata, ZT_LO4, false, type, ETH_P_ALL);
	ASSERT_EQ(0, setsockopt(z->tx, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)));
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
}

ZT_UNUSED static void tx_open(struct __test_metadata *_metadata, struct zt *z, enum flow_kind kind)
{
	tx_alone(_metadata);
	tx_pair(_metadata, z, kind);
}

/* The same room for any kind of socket. */
ZT_UNUSED static size_t tx_room(struct __test_metadata *_metadata, const struct zt *z,
				enum flow_kind kind)
{
	return kind == TCP4 || kind == TCP6 ? 0 : tx_head(_metadata, z->ctx, z->rx);
}

/* An area of as many pages as it takes, from @page on; returns the next page. */
ZT_UNUSED static size_t tx_place(struct zt *z, pair iov, size_t page, size_t offset, size_t len,
				 uint64_t pos)
{
	size_t pages = (offset + len + ZT_PAGE - 1) / ZT_PAGE;

	zt_area(z, iov, page, pages, offset, len, pos);
	return page + pages;
}

/* What was sent is gone from its area. */
ZT_UNUSED static void tx_gone(struct __test_metadata *_metadata, const struct iovec *iov)
{
	size_t zeros = zt_zeros(iov[0].iov_base, iov[0].iov_len);

	ASSERT_EQ(iov[0].iov_len, zeros) {
		TH_LOG("byte %zu of an area of %zu, payload of %zu at %zu", zeros, iov[0].iov_len,
		       iov[1].iov_len, (char *)iov[1].iov_base - (char *)iov[0].iov_base);
	}
}

/*
 * What was not sent is still there. If the kernel had begun with it, bytes of the head room
 * may read zero now, but nothing else.
 */
ZT_UNUSED static void tx_still(struct __test_metadata *_metadata, const struct iovec *iov,
			       uint64_t pos, bool begun)
{
	unsigned char *base = iov[0].iov_base, *at = iov[1].iov_base;
	unsigned char *end = base + iov[0].iov_len, *tail = at + iov[1].iov_len;

	if (iov[1].iov_len)
		ASSERT_EQ(iov[1].iov_len, zt_same(at, iov[1].iov_len, pos));
	for (unsigned char *p = base; p < end; p++) {
		if (p == at)
			p = tail;
		if (p == end)
			break;
		if (begun && p < at && !*p)
			continue;
		ASSERT_EQ(TX_JUNK, *p) TH_LOG("at %zd from the payload", p - at);
	}
}

/* The next datagram at @fd. */
ZT_UNUSED static void tx_arrives(struct __test_metadata *_metadata, int fd, size_t len,
				 uint64_t pos)
{
	static unsigned char buf[DG_STEP + 1];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	ASSERT_EQ((ssize_t)len, n);
	ASSERT_EQ(len, zt_same(buf, len, pos)) TH_LOG("wrong at %zu", zt_same(buf, len, pos));
}

/* The same of any kind of socket: the next @len bytes, or the next message. */
ZT_UNUSED static void tx_comes(struct __test_metadata *_metadata, enum flow_kind kind, int fd,
			       size_t len, uint64_t pos)
{
	if (kind == TCP4 || kind == TCP6)
		zt_recv(_metadata, fd, len, pos);
	else
		tx_arrives(_metadata, fd, len, pos);
}

/* One payload, by a call that must fail with @err and change nothing. */
ZT_UNUSED static void tx_fails(struct __test_metadata *_metadata, struct zt *z, const pair iov,
			       struct zcio_writev call, uint64_t pos, int err, bool begun)
{
	struct zcio_info before = zt_info(_metadata, z->ctx), after;

	call.fd = z->rx;
	call.iovcnt = 1;
	call.iov = ZT_PTR(iov);
	ASSERT_EQ(-err, zt_writev_raw(z->dev, &call)) {
		TH_LOG("%zu bytes at %zu", iov[1].iov_len,
		       (char *)iov[1].iov_base - (char *)iov[0].iov_base);
	}
	ASSERT_EQ(0, call.taken);
	after = zt_info(_metadata, z->ctx);
	ASSERT_EQ(0, memcmp(&before.tx, &after.tx, sizeof(after.tx)));
	tx_still(_metadata, iov, pos, begun);
}

/* Offsets at which a payload can begin in an area: the head before it lies in many ways. */
ZT_UNUSED static size_t tx_offset(size_t head, unsigned int n)
{
	const size_t offsets[] = {
		head, head + 1, head + 63, 2048, ZT_PAGE - 1, ZT_PAGE, ZT_PAGE + 1,
		ZT_PAGE + head - 1, ZT_PAGE + head, 2 * ZT_PAGE - 64, 3 * ZT_PAGE,
	};

	return offsets[n % ARRAY_SIZE(offsets)];
}

#define TX_OFFSETS	11

/* ---- a device that does not send ---- */

static inline const char *tx_device(enum zt_path path)
{
	return path < ZT_WIRE4 ? "lo" : "zc0";
}

/*
 * The local device sends one packet more and then nothing, so that send buffers fill up. False
 * if it cannot be slowed down.
 */
ZT_UNUSED static bool tx_jam(enum zt_path path)
{
	char line[256];
	sigset_t set;

	/* The shell's end must not wake who waits. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	snprintf(line, sizeof(line), "modprobe -q sch_netem; "
		 "tc qdisc replace dev %s root netem limit 100000 slot 1000s packets 1 2>&1",
		 tx_device(path));
	return !system(line);
}

/* The device is fast again, and looks at its queue: one more packet makes it. */
ZT_UNUSED static void tx_unjam(struct __test_metadata *_metadata, enum zt_path path)
{
	struct zt_addr to = zt_addr(_metadata, path, true);
	int fd = zt_socket(_metadata, path, false, SOCK_DGRAM);
	char line[256];

	snprintf(line, sizeof(line), "tc qdisc change dev %s root netem limit 100000 slot 1us",
		 tx_device(path));
	ASSERT_EQ(0, system(line));
	to.in.sin_port = htons(9);
	ASSERT_EQ(1, sendto(fd, "x", 1, 0, &to.sa, to.len));
	close(fd);
}

#endif /* DATAGRAM_TX_H */
