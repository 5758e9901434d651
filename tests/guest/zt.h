/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest's tests share: connected sockets, windows and pools, and the calls with
 * what they return. (Calls that must fail: refused.h; that wait: caller.h.)
 *
 * Every helper that can fail takes the harness's _metadata and asserts by itself.
 * struct zt is what most fixtures hold: a socket pair and memory of one context.
 */
#ifndef ZT_H
#define ZT_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zcio.h>

#include "kselftest_harness.h"

/* The debug kernel (KERNEL=debug) checks all that it does, which takes its time. */
static inline bool zt_debug(void)
{
	const char *kernel = getenv("ZCIO_KERNEL"), *end = kernel ? strrchr(kernel, '-') : NULL;

	return end && !strcmp(end, "-debug");
}

/* There a test has four times its time. */
static inline void zt_patience(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;

	if (zt_debug())
		for (f = __fixture_list; f; f = f->next)
			for (t = f->tests; t; t = t->next)
				t->timeout *= 4;
}

#undef TEST_HARNESS_MAIN
#define TEST_HARNESS_MAIN						\
	int main(int argc, char **argv)					\
	{								\
		zt_patience();						\
		return test_harness_run(argc, argv);			\
	}

#define ZT_PAGE		4096UL
#define ZT_PAGES(n)	((size_t)(n) * ZT_PAGE)
#define ZT_PTR(p)	((uint64_t)(uintptr_t)(p))
#define ZT_UNUSED	__attribute__((unused))

/* ---- bytes that say where in the stream they belong ---- */

/* Never 0, so that a byte of payload is never taken for an empty one. */
static inline unsigned char zt_byte(uint64_t pos)
{
	return 1 + ((uint32_t)(pos * 2654435761u) >> 11) % 255;
}

ZT_UNUSED static void zt_fill(void *buf, size_t len, uint64_t pos)
{
	unsigned char *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = zt_byte(pos + i);
}

/* How many of the @len bytes are the stream's from @pos on. */
ZT_UNUSED static size_t zt_same(const void *buf, size_t len, uint64_t pos)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != zt_byte(pos + i))
			break;
	return i;
}

/* How many zeros @buf starts with. */
ZT_UNUSED static size_t zt_zeros(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i])
			break;
	return i;
}

/* ---- sockets ---- */

enum zt_path {
	ZT_LO4,		/* the loopback device */
	ZT_LO6,
	ZT_WIRE4,	/* the guest's two network devices; the peer in its own namespace */
	ZT_WIRE6,
};

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
ZT_UNUSED static int zt_socket(struct __test_metadata *_metadata, enum zt_path path,
			       bool peer, int type)
{
	const char *exec = getenv("ZCIO_PEER_EXEC");
	bool v6 = path == ZT_LO6 || path == ZT_WIRE6;
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
	fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	if (away) {
		ASSERT_EQ(0, setns(home, CLONE_NEWNET));
		close(home);
	}
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

/* Waits until the peer has all that was sent on @fd. */
ZT_UNUSED static void zt_acked(struct __test_metadata *_metadata, int fd)
{
	int n = -1;

	for (;;) {
		ASSERT_EQ(0, ioctl(fd, TIOCOUTQ, &n));
		if (!n)
			return;
		usleep(500);
	}
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

/* ---- contexts, windows, pools ---- */

struct zt {
	int rx;			/* the local end of a connection */
	int tx;			/* its peer */
	struct zcio_ctx *ctx;
	int dev;		/* the context's descriptor */
	char *win;
	char *pool;
	char *shadow;		/* what @keep bytes at @win and @pool must stay like */
	size_t keep;
};

ZT_UNUSED static char *zt_window(struct __test_metadata *_metadata, struct zcio_ctx *ctx,
				 size_t pages)
{
	char *p = zcio_window(ctx, ZT_PAGES(pages), 0);

	ASSERT_NE(NULL, p) TH_LOG("window: %m");
	return p;
}

ZT_UNUSED static char *zt_pool(struct __test_metadata *_metadata, struct zcio_ctx *ctx,
			       size_t pages)
{
	char *p = zcio_pool(ctx, ZT_PAGES(pages));

	ASSERT_NE(NULL, p) TH_LOG("pool: %m");
	return p;
}

ZT_UNUSED static void zt_open(struct __test_metadata *_metadata, struct zt *z,
			      size_t window_pages, size_t pool_pages)
{
	z->rx = -1;
	z->tx = -1;
	z->ctx = zcio_open();
	ASSERT_NE(NULL, z->ctx) TH_LOG("/dev/zcio: %m");
	z->dev = zcio_ctx_fd(z->ctx);
	if (window_pages)
		z->win = zt_window(_metadata, z->ctx, window_pages);
	if (pool_pages)
		z->pool = zt_pool(_metadata, z->ctx, pool_pages);
}

ZT_UNUSED static struct zcio_info zt_info(struct __test_metadata *_metadata,
					  struct zcio_ctx *ctx)
{
	struct zcio_info info;

	ASSERT_EQ(0, zcio_info(ctx, -1, &info));
	return info;
}

/* Waits until no window and no pool in the whole system holds other pages than these. */
ZT_UNUSED static void zt_settled(struct __test_metadata *_metadata, struct zcio_ctx *ctx,
				 uint64_t window_pages, uint64_t pool_pages)
{
	struct zcio_info info;

	for (;;) {
		info = zt_info(_metadata, ctx);
		if (info.total_window_pages == window_pages &&
		    info.total_pool_pages == pool_pages)
			return;
		usleep(1000);
	}
}

/* The page frame behind @addr, 0 if there is none; root only. */
ZT_UNUSED static uint64_t zt_pfn(struct __test_metadata *_metadata, const void *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	ASSERT_LE(0, fd);
	ASSERT_EQ((ssize_t)sizeof(entry),
		  pread(fd, &entry, sizeof(entry), (uintptr_t)addr / ZT_PAGE * sizeof(entry)));
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* ---- the calls: what they return, or -errno ---- */

#define zt_iov(base, len) ((struct iovec){ (void *)(base), (len) })

/* A call on the local end, to be changed or made. */
static inline struct zcio_readv zt_readv_call(const struct zt *z, const void *iov, unsigned int n)
{
	return (struct zcio_readv){ .fd = z->rx, .iovcnt = n, .iov = ZT_PTR(iov) };
}

static inline struct zcio_writev zt_writev_call(const struct zt *z, const void *iov,
						unsigned int n)
{
	return (struct zcio_writev){ .fd = z->rx, .iovcnt = n, .iov = ZT_PTR(iov) };
}

ZT_UNUSED static int zt_readv_raw(int dev, struct zcio_readv *call)
{
	int ret = ioctl(dev, ZCIO_IOC_READV, call);

	return ret < 0 ? -errno : ret;
}

ZT_UNUSED static int zt_writev_raw(int dev, struct zcio_writev *call)
{
	int ret = ioctl(dev, ZCIO_IOC_WRITEV, call);

	return ret < 0 ? -errno : ret;
}

ZT_UNUSED static int zt_readv(int dev, int fd, struct iovec *iov, unsigned int n,
			      struct zcio_payload *info, unsigned int flags)
{
	struct zcio_readv call = {
		.fd = fd, .iov = ZT_PTR(iov), .iovcnt = n, .payloads = ZT_PTR(info),
		.flags = flags,
	};

	return zt_readv_raw(dev, &call);
}

ZT_UNUSED static int zt_writev(int dev, int fd, const struct iovec (*iov)[2], unsigned int n,
			       struct zcio_payload *info, unsigned int flags, uint64_t *taken)
{
	struct zcio_writev call = {
		.fd = fd, .iov = ZT_PTR(iov), .iovcnt = n, .payloads = ZT_PTR(info),
		.flags = flags,
	};
	int ret = zt_writev_raw(dev, &call);

	if (taken)
		*taken = call.taken;
	return ret;
}

/*
 * Receives exactly @len bytes with zc_readv into @pages pages at @win, as one region,
 * and compares. Returns how many of them were mapped.
 */
ZT_UNUSED static uint64_t zt_zc_recv(struct __test_metadata *_metadata, int dev, int fd,
				     char *win, size_t pages, size_t len, uint64_t pos)
{
	uint64_t mapped = 0;

	while (len) {
		size_t room = len / ZT_PAGE + 1 < pages ? len / ZT_PAGE + 1 : pages;
		struct iovec iov = zt_iov(win, ZT_PAGES(room));
		struct zcio_payload info;
		int n = zt_readv(dev, fd, &iov, 1, &info, 0);

		ASSERT_EQ(1, n);
		ASSERT_EQ(iov.iov_len, info.mapped + info.copied);
		ASSERT_GE(len, iov.iov_len);
		ASSERT_EQ(iov.iov_len, zt_same(iov.iov_base, iov.iov_len, pos));
		mapped += info.mapped;
		pos += iov.iov_len;
		len -= iov.iov_len;
	}
	return mapped;
}

#endif /* ZT_H */
