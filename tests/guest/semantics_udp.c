// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_readv promises of UDP: one datagram per payload, its boundaries, its sender and
 * what else recvmsg() would tell; how many a call takes, and what stays; truncation.
 * What the network layer joins or drops: semantics_udp_layer.c; waiting, errors and the
 * socket's memory: semantics_udp_queue.c.
 *
 * timeout: 180
 * widths: 64, 32
 */
#include <time.h>

#include "udp.h"

TEST_F(udp, one_datagram_is_one_payload_or_ends_with_one)
{
	static const size_t sizes[] = { 1, 2, 100, 1400, 1472, 1473, 4095, 4096, 4097, 8192, 8900,
					9000, 20000, 60000 };
	struct dg *d = &self->d;

	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		dg_send(_metadata, d, sizes[i]);
		/* As many regions as a datagram of 64 KiB can have pages: it comes whole. */
		ASSERT_EQ(1, dg_call(_metadata, d, 48, 17));
		ASSERT_FALSE(d->truncated);
	}
	zt_nothing(_metadata, d->z.rx);
	ASSERT_EQ(d->calls, zt_info(_metadata, d->z.ctx).rx.calls);
	ASSERT_EQ(d->payloads, zt_info(_metadata, d->z.ctx).rx.payloads);
	ASSERT_EQ(d->mapped, zt_info(_metadata, d->z.ctx).rx.mapped);
	ASSERT_EQ(d->copied, zt_info(_metadata, d->z.ctx).rx.copied);
}

/* dg_recv() takes recvfrom()'s word and compares; a second sender is told apart. */
TEST_F(udp, sender_is_the_one_that_recvfrom_names)
{
	struct dg *d = &self->d;
	struct zt_addr first = d->from, second, to;
	int tx = d->z.tx, other;

	dg_send(_metadata, d, 100);
	dg_send(_metadata, d, 100);
	dg_recv(_metadata, d, 0);
	ASSERT_EQ(1, dg_call(_metadata, d, 1, 1));
	if (variant->kind == DG_CONNECTED)
		return;
	other = dg_bound(_metadata, variant->path, true, &second);
	to.len = sizeof(to.in6);
	ASSERT_EQ(0, getpeername(tx, &to.sa, &to.len));
	ASSERT_EQ(0, connect(other, &to.sa, to.len));
	if (variant->kind == DG_MAPPED)
		second = dg_mapped(&second);
	for (int i = 0; i < 4; i++) {
		d->z.tx = i & 1 ? other : tx;
		dg_send(_metadata, d, 200);
		d->from = i & 1 ? second : first;
		ASSERT_EQ(1, dg_call(_metadata, d, 2, 1));
	}
	d->z.tx = tx;
}

TEST_F(udp, empty_datagrams_are_payloads_of_no_bytes_and_no_end)
{
	static const size_t sizes[] = { 0, 5, 0, 0, 7000, 0, 1 };
	struct dg *d = &self->d;

	dg_send(_metadata, d, 0);
	ASSERT_EQ(1, dg_call(_metadata, d, 1, 1));
	ASSERT_EQ(ZCIO_PAYLOAD_END, d->last.flags);
	ASSERT_EQ(0, d->last.datagram);
	for (int i = 0; i < ARRAY_SIZE(sizes); i++)
		dg_send(_metadata, d, sizes[i]);
	dg_arrived(_metadata, d);
	ASSERT_EQ(ARRAY_SIZE(sizes), dg_call(_metadata, d, 32, 2));
	zt_nothing(_metadata, d->z.rx);
}

TEST_F(udp, several_in_one_call_come_in_order)
{
	struct dg *d = &self->d;

	for (int i = 0; i < 20; i++)
		dg_send(_metadata, d, i * 397 % 1400 + 1);
	dg_arrived(_metadata, d);
	ASSERT_EQ(20, dg_call(_metadata, d, 128, 1));
	ASSERT_EQ(20, d->got);
	zt_nothing(_metadata, d->z.rx);
}

/* Beside recvfrom() and MSG_PEEK, with few elements: none lost, none twice, all in order. */
TEST_F(udp, what_the_elements_do_not_hold_stays_in_order)
{
	static const size_t sizes[] = { 900, 0, 3, 5000, 1400, 1, 8192, 40 };
	struct dg *d = &self->d;

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 24; i++)
			dg_send(_metadata, d, sizes[(i * 5 + round) % ARRAY_SIZE(sizes)]);
		dg_arrived(_metadata, d);
		for (int step = round; d->got < d->sent; step++) {
			size_t came;

			switch (step % 4) {
			case 0:
				dg_recv(_metadata, d, 0);
				break;
			case 1:
				dg_recv(_metadata, d, MSG_PEEK);
				break;
			default:
				came = dg_call(_metadata, d, 4, 4);
				ASSERT_FALSE(d->truncated);
				ASSERT_GE(4, came);
			}
		}
		zt_nothing(_metadata, d->z.rx);
	}
}

/* As recvmsg(): what does not fit is gone, and what comes next is whole. */
TEST_F(udp, datagram_larger_than_the_regions_is_truncated)
{
	struct dg *d = &self->d;

	for (int round = 0; round < 4; round++) {
		dg_send(_metadata, d, 20000);
		dg_send(_metadata, d, 500);
		ASSERT_EQ(1, dg_call(_metadata, d, 1 + round % 2, 2));
		ASSERT_TRUE(d->truncated);
		ASSERT_EQ(ZCIO_PAYLOAD_END | ZCIO_PAYLOAD_TRUNCATED, d->last.flags);
		ASSERT_EQ(20000, d->last.datagram);
		ASSERT_EQ(1, dg_call(_metadata, d, 1, 2));
		ASSERT_FALSE(d->truncated);
	}
	zt_nothing(_metadata, d->z.rx);
}

TEST_F(udp, datagram_that_the_regions_hold_is_not_truncated)
{
	static const size_t sizes[] = { 4097, 8000, 8192 };
	struct dg *d = &self->d;

	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		dg_send(_metadata, d, sizes[i]);
		ASSERT_EQ(1, dg_call(_metadata, d, 2, 1));
		ASSERT_FALSE(d->truncated) TH_LOG("%zu bytes in two regions of a page", sizes[i]);
		dg_send(_metadata, d, sizes[i]);
		ASSERT_EQ(1, dg_call(_metadata, d, 1, 2));
		ASSERT_FALSE(d->truncated) TH_LOG("%zu bytes in one region of two pages", sizes[i]);
	}
}

TEST_F(udp, larger_datagram_behind_another_stays)
{
	struct dg *d = &self->d;

	dg_send(_metadata, d, 300);
	dg_send(_metadata, d, 20000);
	dg_send(_metadata, d, 301);
	dg_arrived(_metadata, d);
	ASSERT_EQ(1, dg_call(_metadata, d, 2, 2));
	ASSERT_EQ(300, d->last.datagram);
	ASSERT_FALSE(d->truncated);
	dg_recv(_metadata, d, MSG_PEEK);
	ASSERT_EQ(1, dg_call(_metadata, d, 2, 2));
	ASSERT_TRUE(d->truncated);
	ASSERT_EQ(1, dg_call(_metadata, d, 2, 2));
	ASSERT_EQ(301, d->last.datagram);
	zt_nothing(_metadata, d->z.rx);
}

TEST_F(udp, recvmmsg_beside_it_gets_the_rest)
{
	struct dg *d = &self->d;
	static unsigned char buf[4][2048];
	struct mmsghdr msgs[4] = {};
	struct iovec v[4];

	for (int i = 0; i < 8; i++)
		dg_send(_metadata, d, 1000 + i);
	dg_arrived(_metadata, d);
	ASSERT_EQ(4, dg_call(_metadata, d, 4, 1));
	for (int i = 0; i < 4; i++) {
		v[i] = zt_iov(buf[i], sizeof(buf[i]));
		msgs[i].msg_hdr.msg_iov = &v[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	ASSERT_EQ(4, recvmmsg(d->z.rx, msgs, 4, 0, NULL));
	for (int i = 0; i < 4; i++, d->got++) {
		ASSERT_EQ(d->len[d->got], msgs[i].msg_len);
		ASSERT_EQ(d->len[d->got], zt_same(buf[i], d->len[d->got], dg_pos(d->got)));
	}
	zt_nothing(_metadata, d->z.rx);
}

/* What SO_PEEK_OFF counts goes back by what zc_readv takes, as with recvmsg(). */
TEST_F(udp, SO_PEEK_OFF_follows)
{
	struct dg *d = &self->d;
	int off = 0, now = -1;
	socklen_t len = sizeof(now);
	char buf[1000];

	for (int i = 0; i < 3; i++)
		dg_send(_metadata, d, 1000);
	ASSERT_EQ(0, setsockopt(d->z.rx, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	ASSERT_EQ(1000, recv(d->z.rx, buf, 1000, MSG_PEEK));
	ASSERT_EQ(1000, recv(d->z.rx, buf, 1000, MSG_PEEK));
	ASSERT_EQ(1, dg_call(_metadata, d, 1, 1));
	ASSERT_EQ(0, getsockopt(d->z.rx, SOL_SOCKET, SO_PEEK_OFF, &now, &len));
	ASSERT_EQ(1000, now);
	ASSERT_EQ(1000, recv(d->z.rx, buf, 1000, MSG_PEEK));
	ASSERT_EQ(1000, zt_same(buf, 1000, dg_pos(2)));
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

TEST_F(udp, timestamp_is_told_if_asked_for)
{
	static const int options[] = { SO_TIMESTAMP, SO_TIMESTAMPNS };
	struct dg *d = &self->d;
	uint64_t before;

	dg_send(_metadata, d, 100);
	dg_call(_metadata, d, 1, 1);
	ASSERT_EQ(0, d->last.timestamp);
	for (int i = 0; i < ARRAY_SIZE(options); i++) {
		int one = 1, zero = 0;

		ASSERT_EQ(0, setsockopt(d->z.rx, SOL_SOCKET, options[i], &one, sizeof(one)));
		before = now_ns();
		dg_send(_metadata, d, 100);
		dg_call(_metadata, d, 1, 1);
		ASSERT_LE(before, d->last.timestamp);
		ASSERT_GE(now_ns(), d->last.timestamp);
		ASSERT_EQ(0, setsockopt(d->z.rx, SOL_SOCKET, options[i], &zero, sizeof(zero)));
		dg_send(_metadata, d, 100);
		dg_call(_metadata, d, 1, 1);
		ASSERT_EQ(0, d->last.timestamp);
	}
}

TEST_F(udp, copy_threshold_is_about_the_call_and_the_page)
{
	struct dg *d = &self->d;

	zt_threshold(_metadata, d->z.ctx, 20000);
	/* In sum less than the threshold. */
	dg_send(_metadata, d, 4998);
	dg_arrived(_metadata, d);
	dg_call(_metadata, d, 8, 2);
	ASSERT_EQ(ZCIO_WHY_SMALL, d->why);
	/* In sum more: those that are less than a page are copied still. */
	for (int i = 0; i < 6; i++)
		dg_send(_metadata, d, 4095);
	dg_arrived(_metadata, d);
	while (d->got < d->sent) {
		dg_call(_metadata, d, 16, 2);
		ASSERT_EQ(ZCIO_WHY_SMALL, d->why);
	}
	ASSERT_EQ(0, d->mapped);
	for (int i = 0; i < 6; i++)
		dg_send(_metadata, d, 5000);
	dg_arrived(_metadata, d);
	ASSERT_EQ(6, dg_call(_metadata, d, 32, 2));
	ASSERT_EQ(0, d->why & ZCIO_WHY_SMALL);
	/* One as large as the threshold. */
	dg_send(_metadata, d, 20000);
	dg_arrived(_metadata, d);
	dg_call(_metadata, d, 16, 2);
	ASSERT_EQ(0, d->why & ZCIO_WHY_SMALL);
}

TEST_F(udp, writable_window_can_be_written_and_hurts_nobody)
{
	struct dg *d = &self->d;
	char *ro = d->z.win, *rw = zcio_window(d->z.ctx, ZT_PAGES(DG_WINDOW), ZCIO_WINDOW_WRITABLE);

	ASSERT_NE(NULL, rw);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 4; i++)
			dg_send(_metadata, d, 1300 + 1000 * i);
		d->z.win = round & 1 ? ro : rw;
		dg_call(_metadata, d, 2, 4);
		if (d->z.win == rw)
			memset(rw, 0xff, ZT_PAGES(8));
		while (d->got < d->sent)
			dg_call(_metadata, d, 16, 4);
	}
	d->z.win = ro;
	zt_nothing(_metadata, d->z.rx);
}

/* ---- two sockets with one datagram ---- */

/*
 * A multicast datagram goes to both sockets by reference, in fragments too. What one
 * process writes to in its writable window, the other must not get to see.
 */
static void multicast(struct __test_metadata *_metadata, size_t len)
{
	struct sockaddr_in group = { .sin_family = AF_INET };
	struct zt_addr local = zt_addr(_metadata, ZT_WIRE4, false), peer;
	struct ip_mreqn join = { .imr_address = local.in.sin_addr };
	static unsigned char buf[DG_STEP];
	int rx[2], tx, one = 1;
	struct zcio_payload info[32];
	struct iovec iov[32];
	struct zt z = {};
	size_t at = 0;
	char *win;
	int n;

	ASSERT_EQ(1, inet_pton(AF_INET, "239.77.0.1", &group.sin_addr));
	join.imr_multiaddr = group.sin_addr;
	group.sin_port = htons(7788);
	for (int i = 0; i < 2; i++) {
		rx[i] = zt_socket(_metadata, ZT_WIRE4, false, SOCK_DGRAM);
		ASSERT_EQ(0, setsockopt(rx[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
		ASSERT_EQ(0, bind(rx[i], (struct sockaddr *)&group, sizeof(group)));
		ASSERT_EQ(0, setsockopt(rx[i], IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)));
	}
	tx = dg_bound(_metadata, ZT_WIRE4, true, &peer);
	ASSERT_EQ(0, setsockopt(tx, IPPROTO_IP, IP_MULTICAST_IF, &peer.in.sin_addr,
				sizeof(peer.in.sin_addr)));
	zt_fill(buf, len, 0);
	/* A device may take its time to let the group in. */
	do {
		ASSERT_EQ((ssize_t)len,
			  sendto(tx, buf, len, 0, (struct sockaddr *)&group, sizeof(group)));
	} while (poll(&(struct pollfd){ .fd = rx[0], .events = POLLIN }, 1, 200) != 1 ||
		 poll(&(struct pollfd){ .fd = rx[1], .events = POLLIN }, 1, 200) != 1);

	zt_open(_metadata, &z, 0, 0);
	win = zcio_window(z.ctx, ZT_PAGES(32 * 16), ZCIO_WINDOW_WRITABLE);
	ASSERT_NE(NULL, win);
	zt_regions(iov, win, 32, 16);
	n = zt_readv(z.dev, rx[0], iov, 32, info, 0);
	ASSERT_LT(0, n);
	/* There may be more than one. */
	for (int i = 0; i < n && at < len; i++) {
		ASSERT_EQ(iov[i].iov_len, zt_same(iov[i].iov_base, iov[i].iov_len, at));
		at += iov[i].iov_len;
		memset(zt_down(iov[i].iov_base), 0xee,
		       zt_up((char *)iov[i].iov_base + iov[i].iov_len) - zt_down(iov[i].iov_base));
	}
	ASSERT_EQ(len, at);
	TH_LOG("the first payload: mapped %llu, copied %llu, why %#x", (unsigned long long)info[0].mapped,
	       (unsigned long long)info[0].copied, info[0].why);
	ASSERT_EQ((ssize_t)len, recv(rx[1], buf, sizeof(buf), 0));
	ASSERT_EQ(len, zt_same(buf, len, 0)) {
		TH_LOG("the other socket has %#x at %zu", buf[zt_same(buf, len, 0)],
		       zt_same(buf, len, 0));
	}
}

TEST(multicast_is_not_shared_with_a_writable_window)
{
	multicast(_metadata, 1400);
	multicast(_metadata, 8000);
}

TEST(multicast_in_fragments_is_not_shared_with_a_writable_window)
{
	multicast(_metadata, 30000);
	multicast(_metadata, 60000);
}

/* ---- how much is mapped ---- */

TEST(share_of_8_KB_datagrams_that_is_mapped)
{
	bool splits = !strcmp(getenv("ZCIO_NIC"), "e1000e") && atoi(getenv("ZCIO_MTU")) >= 9000;
	struct dg *d = calloc(1, sizeof(*d));
	struct zcio_info info;
	double share;

	dg_open(_metadata, d, ZT_WIRE4, DG_PLAIN);
	while (d->got < 1000) {
		for (int i = 0; i < 16; i++)
			dg_send(_metadata, d, 8192);
		while (d->got < d->sent)
			dg_call(_metadata, d, 64, 4);
	}
	info = zt_info(_metadata, d->z.ctx);
	share = 100.0 * d->mapped / (d->mapped + d->copied);
	TH_LOG("%s %s: %.2f %% of %zu datagrams mapped, %zu calls, %zu payloads", getenv("ZCIO_NIC"),
	       getenv("ZCIO_MTU"), share, d->got, d->calls, d->payloads);
	for (int i = 0; i < ZCIO_WHY_BITS; i++)
		if (info.rx.why[i])
			TH_LOG("  copied as %s: %.2f %%", zcio_why(i),
			       100.0 * info.rx.why[i] / (d->mapped + d->copied));
	if (splits) {
		ASSERT_LE(99.0, share);
	}
}

TEST_HARNESS_MAIN
