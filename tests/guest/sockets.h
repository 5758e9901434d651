/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connected sockets, over the loopback device and over the guest's own, and waiting for what
 * goes through them.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base.h"

enum zt_path {
	ZT_LO4,		/* the loopback device */
	ZT_LO6,
	ZT_WIRE4,	/* the guest's two network devices; the peer in its own namespace */
	ZT_WIRE6,
};

/* Whether what @path brings has pieces of a page's length, if it is sent in one. */
ZT_UNUSED static bool zt_brings_pages(enum zt_path path)
{
	const char *nic = getenv("ZCIO_NIC");

	return path == ZT_LO4 || path == ZT_LO6 || !strcmp(nic, "lo") || !strcmp(nic, "veth") ||
	       (!strcmp(nic, "e1000e") && atoi(getenv("ZCIO_MTU")) >= 9000);
}

struct zt_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

ZT_UNUSED static struct zt_addr zt_addr(struct __test_metadata *_metadata,
					enum zt_path path, bool peer)
{
	bool v6 = path == ZT_LO6 || path == ZT_WIRE6;
	struct zt_addr a = {};
	const char *text;

	if (path == ZT_LO4 || path == ZT_LO6)
		text = v6 ? "::1" : "127.0.0.1";
	else if (peer)
		text = getenv(v6 ? "ZCIO_PEER6" : "ZCIO_PEER4");
	else
		text = getenv(v6 ? "ZCIO_LOCAL6" : "ZCIO_LOCAL4");
	ASSERT_NE(NULL, text);
	a.sa.sa_family = v6 ? AF_INET6 : AF_INET;
	a.len = v6 ? sizeof(a.in6) : sizeof(a.in);
	ASSERT_EQ(1, inet_pton(a.sa.sa_family, text,
			       v6 ? (void *)&a.in6.sin6_addr : (void *)&a.in.sin_addr));
	return a;
}

/* A socket at one end: with devices wired together the peer has a namespace. */
ZT_UNUSED static int zt_socket_of(struct __test_metadata *_metadata, int family, enum zt_path path,
				  bool peer, int type)
{
	const char *exec = getenv("ZCIO_PEER_EXEC");
	bool away = peer && path >= ZT_WIRE4 && exec && *exec;
	int home = -1, ns, fd;

	if (away) {
		home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, home);
		ns = open("/run/netns/peer", O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, ns);
		ASSERT_EQ(0, setns(ns, CLONE_NEWNET));
		close(ns);
	}
	fd = socket(family, type | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	if (away) {
		ASSERT_EQ(0, setns(home, CLONE_NEWNET));
		close(home);
	}
	return fd;
}

ZT_UNUSED static int zt_socket(struct __test_metadata *_metadata, enum zt_path path,
			       bool peer, int type)
{
	bool v6 = path == ZT_LO6 || path == ZT_WIRE6;

	return zt_socket_of(_metadata, v6 ? AF_INET6 : AF_INET, path, peer, type);
}

/* An AF_PACKET socket on the device at one end, for frames of @protocol. */
ZT_UNUSED static int zt_packet_socket(struct __test_metadata *_metadata, enum zt_path path,
				      bool peer, int type, int protocol)
{
	const char *exec = getenv("ZCIO_PEER_EXEC");
	bool away = peer && exec && *exec;
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol) };
	int fd = zt_socket_of(_metadata, AF_PACKET, path, peer, type);
	struct ifreq name = {};

	snprintf(name.ifr_name, sizeof(name.ifr_name), "%s",
		 path < ZT_WIRE4 || !strcmp(getenv("ZCIO_NIC"), "lo") ? "lo" : away ? "zc1" : "zc0");
	ASSERT_EQ(0, ioctl(fd, SIOCGIFINDEX, &name)) TH_LOG("no device %s", name.ifr_name);
	a.sll_ifindex = name.ifr_ifindex;
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

/* Two ends of a TCP connection. */
ZT_UNUSED static void zt_tcp(struct __test_metadata *_metadata, enum zt_path path,
			     int *local, int *peer)
{
	struct zt_addr here = zt_addr(_metadata, path, false);
	struct zt_addr there = zt_addr(_metadata, path, true);
	int listener = zt_socket(_metadata, path, false, SOCK_STREAM);
	int one = 1;

	ASSERT_EQ(0, bind(listener, &here.sa, here.len));
	ASSERT_EQ(0, listen(listener, 1));
	ASSERT_EQ(0, getsockname(listener, &here.sa, &here.len));
	*peer = zt_socket(_metadata, path, true, SOCK_STREAM);
	ASSERT_EQ(0, bind(*peer, &there.sa, there.len));
	ASSERT_EQ(0, connect(*peer, &here.sa, here.len));
	*local = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_LE(0, *local);
	ASSERT_EQ(0, setsockopt(*peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	ASSERT_EQ(0, setsockopt(*local, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	close(listener);
}

/* The next close() of @fd sends a RST. */
ZT_UNUSED static void zt_reset(struct __test_metadata *_metadata, int fd)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
	ASSERT_EQ(0, close(fd));
}

ZT_UNUSED static void zt_nonblock(struct __test_metadata *_metadata, int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	ASSERT_EQ(0, fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

/* Sends @len bytes of the stream from @pos on, blocking. */
ZT_UNUSED static void zt_send(struct __test_metadata *_metadata, int fd, size_t len,
			      uint64_t pos)
{
	unsigned char buf[16384];

	while (len) {
		size_t n = len < sizeof(buf) ? len : sizeof(buf);

		zt_fill(buf, n, pos);
		ASSERT_EQ((ssize_t)n, send(fd, buf, n, MSG_NOSIGNAL));
		pos += n;
		len -= n;
	}
}

/* Receives exactly @len bytes with recv() and compares them. */
ZT_UNUSED static void zt_recv(struct __test_metadata *_metadata, int fd, size_t len,
			      uint64_t pos)
{
	unsigned char buf[16384];

	while (len) {
		ssize_t n = recv(fd, buf, len < sizeof(buf) ? len : sizeof(buf), 0);

		ASSERT_LT(0, n);
		ASSERT_EQ((size_t)n, zt_same(buf, n, pos)) {
			TH_LOG("wrong byte in the stream at %llu",
			       (unsigned long long)(pos + zt_same(buf, n, pos)));
		}
		pos += n;
		len -= n;
	}
}

/* The same in a thread of its own, for more than the sockets' buffers hold. */
struct zt_stream {
	int fd;
	bool sends;
	size_t len;
	uint64_t pos;
	int err;		/* errno, or ENOMSG for a wrong byte */
	pthread_t thread;
};

static inline void *zt_stream_run(void *arg)
{
	struct zt_stream *s = arg;
	unsigned char buf[32768];

	while (s->len && !s->err) {
		size_t want = s->len < sizeof(buf) ? s->len : sizeof(buf);
		ssize_t n;

		if (s->sends)
			zt_fill(buf, want, s->pos);
		n = s->sends ? send(s->fd, buf, want, MSG_NOSIGNAL) : recv(s->fd, buf, want, 0);
		if (n <= 0)
			s->err = n ? errno : ENODATA;
		else if (!s->sends && zt_same(buf, n, s->pos) != (size_t)n)
			s->err = ENOMSG;
		else
			s->len -= n, s->pos += n;
	}
	return NULL;
}

ZT_UNUSED static void zt_stream_start(struct __test_metadata *_metadata, struct zt_stream *s)
{
	s->err = 0;
	ASSERT_EQ(0, pthread_create(&s->thread, NULL, zt_stream_run, s));
}

ZT_UNUSED static void zt_stream_join(struct __test_metadata *_metadata, struct zt_stream *s)
{
	ASSERT_EQ(0, pthread_join(s->thread, NULL));
	ASSERT_EQ(0, s->err) {
		TH_LOG("%s at %llu of the stream", strerror(s->err), (unsigned long long)s->pos);
	}
}

/* Nothing is there to be read. */
ZT_UNUSED static void zt_nothing(struct __test_metadata *_metadata, int fd)
{
	char c;

	ASSERT_EQ(-1, recv(fd, &c, 1, MSG_DONTWAIT));
	ASSERT_EQ(EAGAIN, errno);
}

/* Waits until @fd has at least @bytes to read. */
ZT_UNUSED static void zt_arrived(struct __test_metadata *_metadata, int fd, int bytes)
{
	int n = -1;

	for (;;) {
		ASSERT_EQ(0, ioctl(fd, FIONREAD, &n));
		if (n >= bytes)
			return;
		usleep(500);
	}
}

ZT_UNUSED static struct tcp_info zt_tcp_info(struct __test_metadata *_metadata, int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info;
}

/* Segments that were sent again on this connection. */
ZT_UNUSED static uint32_t zt_resent(struct __test_metadata *_metadata, int fd)
{
	return zt_tcp_info(_metadata, fd).tcpi_total_retrans;
}

/* Waits until the peer has all that was sent on @fd, and this end has let go of it. */
ZT_UNUSED static void zt_acked(struct __test_metadata *_metadata, int fd)
{
	int n = -1;

	for (;;) {
		ASSERT_EQ(0, ioctl(fd, TIOCOUTQ, &n));
		if (!n)
			break;
		usleep(500);
	}
	/* That looked without the lock; this takes it, behind who frees what was acknowledged. */
	zt_resent(_metadata, fd);
}

/* Waits until thread or process @tid sleeps. */
ZT_UNUSED static void zt_asleep(struct __test_metadata *_metadata, pid_t tid)
{
	char path[64], stat[512], *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	for (int seen = 0; seen < 3;) {
		ssize_t n;

		fd = open(path, O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		n = read(fd, stat, sizeof(stat) - 1);
		close(fd);
		ASSERT_LT(0, n);
		stat[n] = 0;
		state = strrchr(stat, ')');
		ASSERT_NE(NULL, state);
		seen = state[2] == 'S' ? seen + 1 : 0;
		usleep(2000);
	}
}

#endif /* SOCKETS_H */
