// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table that are about the descriptor and the state of the
 * connection, for zc_readv and zc_writev alike: what is no socket, what is a socket of
 * another kind, what is not connected, what is over or was reset.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/tls.h>

#include "refused.h"

FIXTURE(fd)
{
	struct zt z;
	struct iovec region[1];
	struct iovec area[1][2];
};

FIXTURE_SETUP(fd)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, 8, 8);
	zt_fill(z->pool, ZT_PAGES(8), 0);
	self->region[0] = zt_iov(z->win, ZT_PAGE);
	self->area[0][0] = zt_iov(z->pool, ZT_PAGE);
	/* With room for a head, where the socket needs one. */
	self->area[0][1] = zt_iov(z->pool + 2000, 1000);
	zt_remember(_metadata, z, ZT_PAGES(8));
}

FIXTURE_TEARDOWN(fd)
{
	zcio_close(self->z.ctx);
}

static void read_fails(struct __test_metadata *_metadata, FIXTURE_DATA(fd) *self, int fd, int err)
{
	struct zcio_readv call = { .fd = fd, .iovcnt = 1, .iov = ZT_PTR(self->region) };

	zt_readv_fails(_metadata, &self->z, call, err, -1, self->region, sizeof(self->region));
	ASSERT_EQ(-1, zc_readv(fd, self->region, 1));
	ASSERT_EQ(err, errno);
}

static void write_fails(struct __test_metadata *_metadata, FIXTURE_DATA(fd) *self, int fd, int err)
{
	struct zcio_writev call = {
		.fd = fd, .iovcnt = 1, .iov = ZT_PTR(self->area), .flags = ZCIO_NOSIGNAL,
	};

	zt_writev_fails(_metadata, &self->z, call, err, -1, self->area, sizeof(self->area));
	ASSERT_EQ(-1, zcio_writev(NULL, &call));
	ASSERT_EQ(err, errno);
}

static void both_fail(struct __test_metadata *_metadata, FIXTURE_DATA(fd) *self, int fd, int err)
{
	read_fails(_metadata, self, fd, err);
	write_fails(_metadata, self, fd, err);
}

TEST_F(fd, not_open_is_EBADF)
{
	both_fail(_metadata, self, 1000, EBADF);
	both_fail(_metadata, self, INT32_MAX, EBADF);
}

TEST_F(fd, closed_is_EBADF)
{
	int rx, tx;

	zt_tcp(_metadata, ZT_LO4, &rx, &tx);
	close(rx);
	both_fail(_metadata, self, rx, EBADF);
}

TEST_F(fd, negative_is_EBADF)
{
	both_fail(_metadata, self, -1, EBADF);
	both_fail(_metadata, self, AT_FDCWD, EBADF);
	both_fail(_metadata, self, INT32_MIN, EBADF);
}

TEST_F(fd, path_only_is_EBADF)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	ASSERT_LE(0, fd);
	both_fail(_metadata, self, fd, EBADF);
}

TEST_F(fd, file_is_ENOTSOCK)
{
	int fd = memfd_create("zt", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	both_fail(_metadata, self, fd, ENOTSOCK);
}

TEST_F(fd, pipe_is_ENOTSOCK)
{
	int p[2];

	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	both_fail(_metadata, self, p[0], ENOTSOCK);
	both_fail(_metadata, self, p[1], ENOTSOCK);
}

TEST_F(fd, device_itself_is_ENOTSOCK)
{
	both_fail(_metadata, self, self->z.dev, ENOTSOCK);
}

/* zc_readv needs no connection there: errors_rx.c. */
TEST_F(fd, sending_on_udp_that_is_not_connected_is_ENOTCONN)
{
	struct sockaddr_in none = { .sin_family = AF_UNSPEC };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd6;

	ASSERT_LE(0, fd);
	write_fails(_metadata, self, fd, ENOTCONN);
	ASSERT_EQ(0, bind(fd, (void *)&a, len));
	write_fails(_metadata, self, fd, ENOTCONN);
	ASSERT_EQ(0, getsockname(fd, (void *)&a, &len));
	ASSERT_EQ(0, connect(fd, (void *)&a, len));
	ASSERT_EQ(0, connect(fd, (void *)&none, sizeof(none)));
	write_fails(_metadata, self, fd, ENOTCONN);
	zt_nothing(_metadata, fd);
	fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd6);
	write_fails(_metadata, self, fd6, ENOTCONN);
}

TEST_F(fd, unix_socket_is_EOPNOTSUPP)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

	for (int i = 0; i < ARRAY_SIZE(types); i++) {
		int s[2];
		char c;

		ASSERT_EQ(0, socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, s));
		ASSERT_EQ(1, send(s[1], "x", 1, 0));
		both_fail(_metadata, self, s[0], EOPNOTSUPP);
		ASSERT_EQ(1, recv(s[0], &c, 1, 0));
		zt_nothing(_metadata, s[1]);
	}
}

TEST_F(fd, raw_socket_is_EOPNOTSUPP)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);

	ASSERT_LE(0, fd);
	both_fail(_metadata, self, fd, EOPNOTSUPP);
}

TEST_F(fd, sending_on_a_packet_socket_of_no_device_is_ENOTCONN)
{
	static const int types[] = { SOCK_RAW, SOCK_DGRAM };

	for (int i = 0; i < ARRAY_SIZE(types); i++) {
		int fd = socket(AF_PACKET, types[i] | SOCK_CLOEXEC, htons(ETH_P_ALL));

		ASSERT_LE(0, fd);
		write_fails(_metadata, self, fd, ENOTCONN);
	}
}

/* The old kind, without addresses. */
TEST_F(fd, packet_socket_of_type_SOCK_PACKET_is_EOPNOTSUPP)
{
	int fd = socket(AF_PACKET, SOCK_PACKET | SOCK_CLOEXEC, htons(ETH_P_ALL));

	ASSERT_LE(0, fd);
	both_fail(_metadata, self, fd, EOPNOTSUPP);
}

TEST_F(fd, netlink_socket_is_EOPNOTSUPP)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

	ASSERT_LE(0, fd);
	both_fail(_metadata, self, fd, EOPNOTSUPP);
}

TEST_F(fd, mptcp_socket_is_EOPNOTSUPP)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262 /* IPPROTO_MPTCP */);

	if (fd < 0)
		SKIP(return, "this kernel has no MPTCP");
	both_fail(_metadata, self, fd, EOPNOTSUPP);
}

TEST_F(fd, ktls_is_EOPNOTSUPP)
{
	struct tls12_crypto_info_aes_gcm_128 key = {
		.info = { .version = TLS_1_2_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128 },
	};
	int rx, tx;

	zt_tcp(_metadata, ZT_LO4, &rx, &tx);
	if (setsockopt(rx, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		SKIP(return, "the module tls does not load: %s", strerror(errno));
	zt_send(_metadata, tx, 500, 0);
	zt_arrived(_metadata, rx, 500);
	both_fail(_metadata, self, rx, EOPNOTSUPP);
	zt_recv(_metadata, rx, 500, 0);
	ASSERT_EQ(0, setsockopt(rx, SOL_TLS, TLS_RX, &key, sizeof(key)));
	ASSERT_EQ(0, setsockopt(rx, SOL_TLS, TLS_TX, &key, sizeof(key)));
	both_fail(_metadata, self, rx, EOPNOTSUPP);
	zt_nothing(_metadata, tx);
}

FIXTURE(state)
{
	FIXTURE_DATA(fd) f;
	int rx, tx;
};

FIXTURE_VARIANT(state)
{
	enum zt_path path;
	int family;
};

FIXTURE_VARIANT_ADD(state, v4) { .path = ZT_LO4, .family = AF_INET };
FIXTURE_VARIANT_ADD(state, v6) { .path = ZT_LO6, .family = AF_INET6 };

FIXTURE_SETUP(state)
{
	fd_setup(_metadata, &self->f, NULL);
	zt_tcp(_metadata, variant->path, &self->rx, &self->tx);
}

FIXTURE_TEARDOWN(state)
{
	zcio_close(self->f.z.ctx);
}

TEST_F(state, fresh_is_ENOTCONN)
{
	int fd = socket(variant->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_LE(0, fd);
	both_fail(_metadata, &self->f, fd, ENOTCONN);
}

TEST_F(state, bound_is_ENOTCONN)
{
	struct zt_addr a = zt_addr(_metadata, variant->path, false);
	int fd = socket(variant->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_EQ(0, bind(fd, &a.sa, a.len));
	both_fail(_metadata, &self->f, fd, ENOTCONN);
}

TEST_F(state, listening_is_ENOTCONN)
{
	int fd = socket(variant->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_EQ(0, listen(fd, 1));
	both_fail(_metadata, &self->f, fd, ENOTCONN);
	zt_nonblock(_metadata, fd, true);
	both_fail(_metadata, &self->f, fd, ENOTCONN);
}

TEST_F(state, end_of_stream_is_0_again_and_again)
{
	zt_send(_metadata, self->tx, 100, 0);
	ASSERT_EQ(0, shutdown(self->tx, SHUT_WR));
	zt_zc_recv(_metadata, self->f.z.dev, self->rx, self->f.z.win, 1, 100, 0);
	for (int i = 0; i < 3; i++) {
		struct iovec before = self->f.region[0];

		ASSERT_EQ(0, zc_readv(self->rx, self->f.region, 1));
		ASSERT_EQ(0, memcmp(&before, self->f.region, sizeof(before)));
	}
}

TEST_F(state, end_of_stream_after_the_peer_closed_is_0)
{
	ASSERT_EQ(0, close(self->tx));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, zc_readv(self->rx, self->f.region, 1));
}

TEST_F(state, shut_down_for_reading_is_0)
{
	ASSERT_EQ(0, shutdown(self->rx, SHUT_RD));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, zc_readv(self->rx, self->f.region, 1));
}

static int pipes;

static void count_pipe(int sig)
{
	pipes++;
}

TEST_F(state, shut_down_for_writing_is_EPIPE_with_SIGPIPE)
{
	struct zcio_writev call = { .fd = self->rx, .iovcnt = 1, .iov = ZT_PTR(self->f.area) };

	signal(SIGPIPE, count_pipe);
	ASSERT_EQ(0, shutdown(self->rx, SHUT_WR));
	zt_writev_fails(_metadata, &self->f.z, call, EPIPE, -1, self->f.area, sizeof(self->f.area));
	ASSERT_EQ(2, pipes);
	ASSERT_EQ(-1, zc_writev(self->rx, self->f.area, 1));
	ASSERT_EQ(EPIPE, errno);
	ASSERT_EQ(3, pipes);
}

TEST_F(state, shut_down_for_writing_without_SIGPIPE_with_NOSIGNAL)
{
	signal(SIGPIPE, count_pipe);
	ASSERT_EQ(0, shutdown(self->rx, SHUT_WR));
	write_fails(_metadata, &self->f, self->rx, EPIPE);
	ASSERT_EQ(0, pipes);
}

TEST_F_SIGNAL(state, shut_down_for_writing_kills_by_default, SIGPIPE)
{
	ASSERT_EQ(0, shutdown(self->rx, SHUT_WR));
	zc_writev(self->rx, self->f.area, 1);
}

/* As with recv(): the error is told once, and after it comes the end. */
TEST_F(state, reset_is_ECONNRESET_once)
{
	struct zcio_readv call = { .fd = self->rx, .iovcnt = 1, .iov = ZT_PTR(self->f.region) };
	struct iovec before = self->f.region[0];

	zt_reset(_metadata, self->tx);
	ASSERT_EQ(-ECONNRESET, zt_readv_raw(self->f.z.dev, &call));
	ASSERT_EQ(-1, call.error_index);
	ASSERT_EQ(0, memcmp(&before, self->f.region, sizeof(before)));
	zt_unchanged(_metadata, &self->f.z);
	ASSERT_EQ(0, zc_readv(self->rx, self->f.region, 1));
	ASSERT_EQ(0, zc_readv(self->rx, self->f.region, 1));
}

TEST_F(state, reset_is_told_to_the_sender)
{
	signal(SIGPIPE, count_pipe);
	zt_reset(_metadata, self->tx);
	ASSERT_EQ(-1, zc_writev(self->rx, self->f.area, 1));
	ASSERT_EQ(ECONNRESET, errno);
	ASSERT_EQ(0, pipes);
	zt_unchanged(_metadata, &self->f.z);
	write_fails(_metadata, &self->f, self->rx, EPIPE);
	ASSERT_EQ(0, pipes);
}

/* What recv() does with data that came before a RST, zc_readv does. */
TEST_F(state, reset_loses_what_recv_would_lose)
{
	int rx, tx, plain, zero;
	char buf[100];

	zt_tcp(_metadata, variant->path, &rx, &tx);
	zt_send(_metadata, tx, 100, 0);
	zt_send(_metadata, self->tx, 100, 0);
	zt_arrived(_metadata, rx, 100);
	zt_arrived(_metadata, self->rx, 100);
	zt_reset(_metadata, tx);
	zt_reset(_metadata, self->tx);
	for (int i = 0; i < 3; i++) {
		plain = recv(rx, buf, sizeof(buf), 0);
		if (plain < 0)
			plain = -errno;
		zero = zt_readv(self->f.z.dev, self->rx, self->f.region, 1, NULL, 0);
		if (plain > 0) {
			ASSERT_EQ(1, zero);
			ASSERT_EQ(plain, self->f.region[0].iov_len);
			self->f.region[0] = zt_iov(self->f.z.win, ZT_PAGE);
		} else {
			ASSERT_EQ(plain, zero);
		}
	}
}

/* A connection request that was refused: the error, then what recv() and send() say. */
TEST_F(state, refused_connection_is_ECONNREFUSED_then_as_recv)
{
	struct zt_addr a = zt_addr(_metadata, variant->path, false);
	struct pollfd poll_for = { .events = POLLIN | POLLOUT };
	int port = socket(variant->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(variant->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* A port that nobody listens on. */
	ASSERT_EQ(0, bind(port, &a.sa, a.len));
	ASSERT_EQ(0, getsockname(port, &a.sa, &a.len));
	ASSERT_EQ(-1, connect(fd, &a.sa, a.len));
	if (errno == EINPROGRESS) {
		poll_for.fd = fd;
		ASSERT_EQ(1, poll(&poll_for, 1, -1));
		ASSERT_EQ(-ECONNREFUSED, zt_readv(self->f.z.dev, fd, self->f.region, 1, NULL, 0));
	} else {
		ASSERT_EQ(ECONNREFUSED, errno);
	}
}

/* ---- errors of sockets without a connection (UDP's: semantics_udp_queue.c) ---- */

TEST_F(fd, interface_that_goes_down_is_ENETDOWN_as_recv)
{
	int plain, zero;
	char c;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, system("ip link set lo up"));
	plain = zt_packet_socket(_metadata, ZT_LO4, false, SOCK_RAW, ETH_P_IP);
	zero = zt_packet_socket(_metadata, ZT_LO4, false, SOCK_RAW, ETH_P_IP);
	ASSERT_EQ(0, system("ip link set lo down"));
	ASSERT_EQ(-1, recv(plain, &c, 1, MSG_DONTWAIT));
	ASSERT_EQ(ENETDOWN, errno);
	ASSERT_EQ(-ENETDOWN, zt_readv(self->z.dev, zero, self->region, 1, NULL, ZCIO_DONTWAIT));
	zt_unchanged(_metadata, &self->z);
	/* It is told once. */
	zt_nothing(_metadata, plain);
	ASSERT_EQ(-EAGAIN, zt_readv(self->z.dev, zero, self->region, 1, NULL, ZCIO_DONTWAIT));
}

/* send() and zc_writev say @err, or send. */
static void both_send(struct __test_metadata *_metadata, FIXTURE_DATA(fd) *self, int plain, int zero,
		      int err)
{
	ASSERT_EQ(err ? -1 : 1000, send(plain, self->area[0][1].iov_base, 1000, 0));
	ASSERT_TRUE(!err || err == errno) TH_LOG("%m");
	ASSERT_EQ(err ? -1 : 1, zc_writev(zero, self->area, 1));
	ASSERT_TRUE(!err || err == errno) TH_LOG("%m");
	if (!err) {
		ASSERT_EQ(ZT_PAGE, zt_zeros(self->z.pool, ZT_PAGE));
		zt_fill(self->z.pool, ZT_PAGE, 0);
	}
	zt_unchanged(_metadata, &self->z);
}

TEST_F(fd, frame_to_an_interface_that_is_down_fails_as_with_send)
{
	/* When it is up again, that it was down is told once. */
	static const struct { const char *what; int errs[2]; } steps[] = {
		{ "add zcdown type dummy", { ENETDOWN, ENETDOWN } },
		{ "set zcdown up", { ENETDOWN, 0 } },
		{ "set zcdown down", { ENETDOWN, ENETDOWN } },
		{ "set zcdown up", { ENETDOWN, 0 } },
		{ "del zcdown", { ENXIO, ENXIO } },
	};
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_LOOP) };
	int sockets[2];

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	for (int i = 0; i < ARRAY_SIZE(steps); i++) {
		char line[64];

		snprintf(line, sizeof(line), "ip link %s", steps[i].what);
		if (system(line))
			SKIP(return, "no dummy device");
		for (int j = 0; !i && j < 2; j++) {
			sockets[j] = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
			at.sll_ifindex = if_nametoindex("zcdown");
			ASSERT_EQ(0, bind(sockets[j], (struct sockaddr *)&at, sizeof(at)));
		}
		for (int j = 0; j < 2; j++)
			both_send(_metadata, self, sockets[0], sockets[1], steps[i].errs[j]);
	}
}

TEST_HARNESS_MAIN
