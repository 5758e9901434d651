// SPDX-License-Identifier: GPL-2.0
/*
 * A sender that sends again may put more into a packet than before: then two packets of
 * the receive queue have bytes in common, which are one time in the stream. Made here
 * by a second socket that takes over the first one's connection (TCP_REPAIR) a bit
 * before the place where it was.
 */
#include "zt.h"

FIXTURE(overlap) {
	struct zt z;
};

FIXTURE_VARIANT(overlap) {
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(overlap, lo) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(overlap, wire) { .path = ZT_WIRE4 };

FIXTURE_SETUP(overlap)
{
	zt_open(_metadata, &self->z, 64, 0);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(overlap)
{
}

static int get(struct __test_metadata *_metadata, int fd, int option)
{
	socklen_t len = sizeof(int);
	int value;

	ASSERT_EQ(0, getsockopt(fd, IPPROTO_TCP, option, &value, &len));
	return value;
}

static void set(struct __test_metadata *_metadata, int fd, int option, int value)
{
	ASSERT_EQ(0, setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)))
		TH_LOG("option %d: %m", option);
}

/* Kinds of a TCP header's options (RFC 9293, RFC 7323). */
enum { OPTION_MSS = 2, OPTION_WINDOW_SCALE = 3, OPTION_TIMESTAMPS = 8 };

/* The connection goes on with another socket, @back bytes before where it was. */
static void take_over(struct __test_metadata *_metadata, enum zt_path path, struct zt *z, int back)
{
	struct tcp_repair_opt options[] = {
		{ OPTION_MSS, 60000 }, { OPTION_TIMESTAMPS, 0 }, { OPTION_WINDOW_SCALE, 7 | 7 << 16 },
	};
	struct tcp_repair_window window;
	struct sockaddr_in here, there;
	socklen_t len = sizeof(here), size = sizeof(window);
	int one = 1, sent, received, stamp, left;

	do {	/* until all of it has arrived */
		ASSERT_EQ(0, ioctl(z->tx, TIOCOUTQ, &left));
	} while (left);
	ASSERT_EQ(0, getsockname(z->tx, &here, &len));
	ASSERT_EQ(0, getpeername(z->tx, &there, &len));
	set(_metadata, z->tx, TCP_REPAIR, 1);
	set(_metadata, z->tx, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
	sent = get(_metadata, z->tx, TCP_QUEUE_SEQ);
	set(_metadata, z->tx, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
	received = get(_metadata, z->tx, TCP_QUEUE_SEQ);
	stamp = get(_metadata, z->tx, TCP_TIMESTAMP);
	ASSERT_EQ(0, getsockopt(z->tx, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &size));
	close(z->tx);	/* without a word to the peer */

	z->tx = zt_socket(_metadata, path, true, SOCK_STREAM);
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	set(_metadata, z->tx, TCP_REPAIR, 1);
	ASSERT_EQ(0, bind(z->tx, (struct sockaddr *)&here, len));
	set(_metadata, z->tx, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
	set(_metadata, z->tx, TCP_QUEUE_SEQ, sent - back);
	set(_metadata, z->tx, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
	set(_metadata, z->tx, TCP_QUEUE_SEQ, received);
	ASSERT_EQ(0, connect(z->tx, (struct sockaddr *)&there, len));
	ASSERT_EQ(0, setsockopt(z->tx, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, sizeof(options)));
	set(_metadata, z->tx, TCP_TIMESTAMP, stamp);
	ASSERT_EQ(0, setsockopt(z->tx, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, size));
	set(_metadata, z->tx, TCP_REPAIR, -1);	/* not asking for the peer's window */
}

/* @first bytes, then @again of them a second time with @more new ones. */
static void both(struct __test_metadata *_metadata, enum zt_path path, struct zt *z,
		 size_t first, size_t again, size_t more)
{
	zt_send(_metadata, z->tx, first, 0);
	zt_arrived(_metadata, z->rx, first);
	take_over(_metadata, path, z, again);
	zt_send(_metadata, z->tx, again + more, first - again);
	zt_arrived(_metadata, z->rx, first + more);
}

TEST_F(overlap, is_received_once)
{
	struct zt *z = &self->z;

	both(_metadata, variant->path, z, 300, 100, 150);
	zt_zc_recv(_metadata, z->dev, z->rx, z->win, 64, 450, 0);
	zt_nothing(_metadata, z->rx);
}

/* In two calls, of which the first ends before, in or behind what is there twice. */
TEST_F(overlap, is_received_once_in_pieces)
{
	struct zt *z = &self->z;
	char buf[350];

	both(_metadata, variant->path, z, 300, 100, 150);
	ASSERT_EQ(250, recv(z->rx, buf, 250, 0));
	ASSERT_EQ(250, zt_same(buf, 250, 0));
	zt_zc_recv(_metadata, z->dev, z->rx, z->win, 64, 200, 250);
	zt_nothing(_metadata, z->rx);
}

/* What has come twice and nothing behind it: larger than what a region holds. */
TEST_F(overlap, larger_than_a_region)
{
	struct zt *z = &self->z;
	uint64_t pos = 0;

	both(_metadata, variant->path, z, 9000, 5000, 300);
	while (pos < 9300) {
		struct iovec iov[2] = { zt_iov(z->win, ZT_PAGE), zt_iov(z->win + ZT_PAGE, ZT_PAGE) };
		int n = zt_readv(z->dev, z->rx, iov, 2, NULL, ZCIO_DONTWAIT);

		ASSERT_LE(1, n);
		for (int i = 0; i < n; i++) {
			ASSERT_EQ(iov[i].iov_len, zt_same(iov[i].iov_base, iov[i].iov_len, pos));
			pos += iov[i].iov_len;
		}
	}
	ASSERT_EQ(9300, pos);
	zt_nothing(_metadata, z->rx);
}

TEST_HARNESS_MAIN
