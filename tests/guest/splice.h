/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of splicing share: two connections, of which this program has the middle,
 *
 *	from --> source ==> drain --> to
 *
 * and the calls on them, with what they return.
 */
#ifndef SPLICE_H
#define SPLICE_H

#include "zt.h"

struct sp {
	struct zcio_ctx *ctx;
	int dev;
	int from, source, drain, to;
	int handle;		/* of the last splice that got one, or -1 */
	uint64_t sent, got;	/* of the stream */
};

ZT_UNUSED static void sp_open(struct __test_metadata *_metadata, struct sp *sp,
			      enum zt_path in, enum zt_path out)
{
	*sp = (struct sp) { .handle = -1 };
	sp->ctx = zcio_open();
	ASSERT_NE(NULL, sp->ctx) TH_LOG("/dev/zcio: %m");
	sp->dev = zcio_ctx_fd(sp->ctx);
	zt_tcp(_metadata, in, &sp->source, &sp->from);
	zt_tcp(_metadata, out, &sp->drain, &sp->to);
}

/* What starting says: 0, a handle, or -errno. */
ZT_UNUSED static int sp_call(struct sp *sp, int source, int drain, int64_t max, int64_t idle,
			     unsigned int flags)
{
	struct zcio_splice call = {
		.source = source, .drain = drain, .max = max, .idle = idle, .flags = flags,
	};
	int ret = zcio_splice(sp->ctx, &call);

	return ret < 0 ? -errno : ret;
}

/* With a handle. @idle in milliseconds. */
ZT_UNUSED static void sp_start(struct __test_metadata *_metadata, struct sp *sp, int64_t max,
			       int64_t idle)
{
	sp->handle = sp_call(sp, sp->source, sp->drain, max, idle * 1000000, ZCIO_SPLICE_HANDLE);
	ASSERT_LE(0, sp->handle) TH_LOG("splice: %s", strerror(-sp->handle));
}

ZT_UNUSED static struct zcio_splice_status sp_status(struct __test_metadata *_metadata,
						     struct sp *sp, int fd)
{
	struct zcio_splice_status status = { .fd = fd };

	ASSERT_EQ(0, zcio_splice_status(sp->ctx, &status)) TH_LOG("status: %m");
	return status;
}

ZT_UNUSED static int sp_stop(struct sp *sp, int fd, uint64_t *moved)
{
	struct zcio_splice_status status = { .fd = fd };
	int ret = zcio_unsplice(sp->ctx, &status);

	if (moved)
		*moved = status.moved;
	return ret < 0 ? -errno : ret;
}

/* Waits for the end of a splice that has a handle. */
ZT_UNUSED static struct zcio_splice_status sp_end(struct __test_metadata *_metadata, struct sp *sp)
{
	struct pollfd p = { .fd = sp->handle, .events = POLLIN };

	ASSERT_EQ(1, poll(&p, 1, -1));
	ASSERT_EQ(POLLIN, p.revents);
	return sp_status(_metadata, sp, sp->handle);
}

/* … which must be this one, after so many bytes. */
ZT_UNUSED static void sp_ends(struct __test_metadata *_metadata, struct sp *sp, unsigned int state,
			      int error, uint64_t moved)
{
	struct zcio_splice_status status = sp_end(_metadata, sp);

	ASSERT_EQ(state, status.state);
	ASSERT_EQ(error, status.error);
	ASSERT_EQ(moved, status.moved);
	ASSERT_GE(status.moved, status.copied);
}

/*
 * Nothing of the last splice was copied. (A segment of a few bytes that is sent again, while it is
 * still on its way, has a buffer of its own, into whose head the kernel may have moved them.)
 */
ZT_UNUSED static void sp_not_copied(struct __test_metadata *_metadata, struct sp *sp)
{
	if (!zt_resent(_metadata, sp->from))
		ASSERT_EQ(0, sp_status(_metadata, sp, sp->handle).copied);
}

/* Bytes of the stream, on their way in and out. */
ZT_UNUSED static void sp_send(struct __test_metadata *_metadata, struct sp *sp, size_t len)
{
	zt_send(_metadata, sp->from, len, sp->sent);
	sp->sent += len;
}

ZT_UNUSED static void sp_recv(struct __test_metadata *_metadata, struct sp *sp, int fd, size_t len)
{
	zt_recv(_metadata, fd, len, sp->got);
	sp->got += len;
}

/* Bytes that are queued at the source. */
ZT_UNUSED static void sp_queue(struct __test_metadata *_metadata, struct sp *sp, size_t len)
{
	sp_send(_metadata, sp, len);
	zt_arrived(_metadata, sp->source, len);
}

ZT_UNUSED static int sp_error(struct __test_metadata *_metadata, int fd)
{
	socklen_t len = sizeof(int);
	int err = -1;

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len));
	return err;
}

/* What poll() says at once. */
ZT_UNUSED static int sp_poll(struct __test_metadata *_metadata, int fd, int events)
{
	struct pollfd p = { .fd = fd, .events = events };

	ASSERT_LE(0, poll(&p, 1, 0));
	return p.revents;
}

/* The upper layer that a socket has, by name. */
ZT_UNUSED static void sp_no_ulp(struct __test_metadata *_metadata, int fd)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	ASSERT_EQ(0, getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len));
	ASSERT_EQ(0, len) TH_LOG("it is still %s", name);
}

/* Sends without waiting until no more is taken, twice in a row. Returns how much. */
ZT_UNUSED static size_t sp_fill(struct __test_metadata *_metadata, struct sp *sp)
{
	unsigned char buf[16384];
	size_t all = 0;
	int full = 0;

	while (full < 20) {
		ssize_t n;

		zt_fill(buf, sizeof(buf), sp->sent);
		n = send(sp->from, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			full++;
			usleep(20000);
			continue;
		}
		full = 0;
		sp->sent += n;
		all += n;
	}
	return all;
}

#endif /* SPLICE_H */
