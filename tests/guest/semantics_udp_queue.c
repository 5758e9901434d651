// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_readv does to a UDP socket's queue and memory: datagrams that are taken and put
 * back stay in order, are charged once, and are all given back in the end; the socket's
 * errors and its shutdown are told as recvmsg() tells them. (What a good call delivers:
 * semantics_udp.c.)
 *
 * timeout: 180
 */
#include <linux/sock_diag.h>

#include "caller.h"
#include "datagram.h"

FIXTURE(queue)
{
	struct dg d;
};

FIXTURE_VARIANT(queue)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(queue, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(queue, lo6) { .path = ZT_LO6 };
FIXTURE_VARIANT_ADD(queue, wire4) { .path = ZT_WIRE4 };

FIXTURE_SETUP(queue)
{
	dg_open(_metadata, &self->d, variant->path, DG_CONNECTED);
}

FIXTURE_TEARDOWN(queue)
{
	zcio_close(self->d.z.ctx);
}

/* ---- memory ---- */

static uint32_t charged(struct __test_metadata *_metadata, int fd)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[SK_MEMINFO_RMEM_ALLOC];
}

static uint32_t dropped(struct __test_metadata *_metadata, int fd)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[SK_MEMINFO_DROPS];
}

/* Pages that all UDP sockets hold together. */
static long udp_pages(struct __test_metadata *_metadata)
{
	FILE *f = fopen("/proc/net/sockstat", "r");
	char line[256];
	long inuse, pages = -1;

	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "UDP: inuse %ld mem %ld", &inuse, &pages);
	fclose(f);
	ASSERT_LE(0, pages);
	return pages;
}

/* Another context, of a user who may hold @pages pages. */
static void become_limited(struct __test_metadata *_metadata, struct dg *d, size_t pages)
{
	zt_limited(_metadata, pages);
	zcio_close(d->z.ctx);
	d->z.ctx = zt_context();
	ASSERT_NE(NULL, d->z.ctx);
	d->z.dev = zcio_ctx_fd(d->z.ctx);
	d->z.win = zt_window(_metadata, d->z.ctx, DG_WINDOW);
}

/*
 * Every call that fails takes all datagrams off the queue and puts them back. A charge
 * that went wrong by a page each time would show in what all sockets hold, and the kernel
 * warns of a socket that is closed with a charge left.
 */
TEST_F_TIMEOUT(queue, datagrams_put_back_again_and_again_are_charged_once, 60)
{
	struct dg *d = &self->d;
	struct iovec iov[32];
	long before, after;
	size_t puts = 0;
	uint32_t full;

	become_limited(_metadata, d, 0);
	before = udp_pages(_metadata);
	for (int round = 0; round < 10; round++) {
		/* Not an empty one first: that needs no page, so a call for it alone is good. */
		for (int i = 0; i < 24; i++)
			dg_send(_metadata, d, i % 8 == 7 ? 0 : 1300 + 100 * i);
		/* Not dg_arrived(): it would mark the empty ones. */
		for (struct pollfd p = { .fd = d->z.rx, .events = POLLIN }; poll(&p, 1, -1) != 1;)
			;
		full = 0;
		for (int call = 0; call < 20; call++) {
			zt_regions(iov, d->z.win, 32, 4);
			ASSERT_EQ(-ENOBUFS, zt_readv(d->z.dev, d->z.rx, iov, 32, NULL, 0));
			puts++;
			/* More may have come meanwhile, but nothing went. */
			ASSERT_LE(full, charged(_metadata, d->z.rx));
			full = charged(_metadata, d->z.rx);
		}
		while (d->got < d->sent)
			dg_recv(_metadata, d, 0);
		zt_nothing(_metadata, d->z.rx);
		ASSERT_EQ(0, charged(_metadata, d->z.rx));
	}
	ASSERT_EQ(0, dropped(_metadata, d->z.rx));
	after = udp_pages(_metadata);
	/* Each processor may keep up to 256 pages to itself: far less than a mistake makes. */
	TH_LOG("%zu calls failed; UDP held %ld pages before, %ld after", puts, before, after);
	ASSERT_GT(before + 256 * sysconf(_SC_NPROCESSORS_ONLN) + 1, after);
	ASSERT_LT(before - 256 * sysconf(_SC_NPROCESSORS_ONLN) - 1, after);
}

/* Bytes of a datagram that comes in one piece, and so as one payload. */
static size_t one_piece(void)
{
	return atoi(getenv("ZCIO_MTU")) >= 9000 ? 5000 : 1400;
}

/* Failing and good calls, recvfrom() and MSG_PEEK in turns: all there, in order. */
TEST_F(queue, nothing_is_lost_between_failing_calls)
{
	struct dg *d = &self->d;
	struct iovec iov[16];
	int failed = 0, good = 0;

	/* Room for a few pages: calls for much fail, calls for little do not. */
	become_limited(_metadata, d, 6);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 12; i++)
			dg_send(_metadata, d, 200 + i * 337 % (one_piece() - 200));
		for (int step = round; d->got < d->sent; step++) {
			int n;

			if (step % 3 == 0) {
				dg_recv(_metadata, d, step % 2 ? MSG_PEEK : 0);
				continue;
			}
			zt_regions(iov, d->z.win, 16, 4);
			n = zt_readv(d->z.dev, d->z.rx, iov, 16, NULL, ZCIO_DONTWAIT);
			if (n == -ENOBUFS) {
				failed++;
				ASSERT_EQ(0, madvise(d->z.win, ZT_PAGES(64), MADV_DONTNEED));
				ASSERT_EQ(1, dg_call(_metadata, d, 1, 3));
				continue;
			}
			if (n == -EAGAIN)
				continue;
			ASSERT_LT(0, n);
			for (int i = 0; i < n; i++, d->got++) {
				ASSERT_EQ(d->len[d->got], iov[i].iov_len);
				ASSERT_EQ(iov[i].iov_len, zt_same(iov[i].iov_base, iov[i].iov_len,
								  dg_pos(d->got)));
			}
			good++;
		}
	}
	zt_nothing(_metadata, d->z.rx);
	ASSERT_EQ(0, charged(_metadata, d->z.rx));
	ASSERT_LT(0, failed);
	ASSERT_LT(0, good);
}

TEST_F_TIMEOUT(queue, thousands_of_datagrams_leave_no_charge, 60)
{
	struct dg *d = &self->d;
	long before = udp_pages(_metadata);

	while (d->sent < 3000) {
		for (int i = 0; i < 30; i++)
			dg_send(_metadata, d, i * 53 % 1400);
		while (d->got < d->sent)
			dg_call(_metadata, d, 48, 1);
	}
	zt_nothing(_metadata, d->z.rx);
	ASSERT_EQ(0, charged(_metadata, d->z.rx));
	ASSERT_EQ(0, dropped(_metadata, d->z.rx));
	ASSERT_GT(before + 256 * sysconf(_SC_NPROCESSORS_ONLN) + 1, udp_pages(_metadata));
}

/* A socket that is closed while datagrams were put back: the kernel looks at its charge. */
TEST_F(queue, closed_with_datagrams_put_back)
{
	struct dg *d = &self->d;
	struct iovec iov[8];

	become_limited(_metadata, d, 0);
	for (int i = 0; i < 10; i++)
		dg_send(_metadata, d, 1000 + 500 * i);
	zt_regions(iov, d->z.win, 8, 4);
	ASSERT_EQ(-ENOBUFS, zt_readv(d->z.dev, d->z.rx, iov, 8, NULL, 0));
	ASSERT_LT(0, charged(_metadata, d->z.rx));
	ASSERT_EQ(0, close(d->z.rx));
}

/* ---- errors of the socket ---- */

/* The peer is gone: its host says so. */
static void refuse(struct __test_metadata *_metadata, struct dg *d)
{
	struct pollfd p = { .fd = d->z.rx };

	if (d->z.tx >= 0)
		ASSERT_EQ(0, close(d->z.tx));
	d->z.tx = -1;
	ASSERT_EQ(1, send(d->z.rx, "x", 1, 0));
	ASSERT_EQ(1, poll(&p, 1, -1));
	ASSERT_NE(0, p.revents & POLLERR);
}

TEST_F(queue, refused_is_told_once)
{
	struct dg *d = &self->d;
	struct iovec iov = zt_iov(d->z.win, ZT_PAGE), before = iov;

	refuse(_metadata, d);
	ASSERT_EQ(-ECONNREFUSED, zt_readv(d->z.dev, d->z.rx, &iov, 1, NULL, 0));
	ASSERT_EQ(0, memcmp(&before, &iov, sizeof(iov)));
	ASSERT_EQ(-EAGAIN, zt_readv(d->z.dev, d->z.rx, &iov, 1, NULL, ZCIO_DONTWAIT));
}

/* As with recvmsg(): before the datagrams, which stay. */
TEST_F(queue, refused_is_told_before_datagrams)
{
	struct dg *d = &self->d;
	struct iovec iov = zt_iov(d->z.win, ZT_PAGES(4));

	dg_send(_metadata, d, 1000);
	dg_send(_metadata, d, 2000);
	dg_arrived(_metadata, d);
	refuse(_metadata, d);
	ASSERT_EQ(-ECONNREFUSED, zt_readv(d->z.dev, d->z.rx, &iov, 1, NULL, 0));
	ASSERT_EQ(1, dg_call(_metadata, d, 1, 4));
	refuse(_metadata, d);
	ASSERT_EQ(-ECONNREFUSED, zt_readv(d->z.dev, d->z.rx, &iov, 1, NULL, 0));
	dg_drain(_metadata, d);
}

TEST_F(queue, refused_while_waiting)
{
	struct dg *d = &self->d;
	struct iovec iov = zt_iov(d->z.win, ZT_PAGE);
	struct caller c = CALLER_READV(&d->z, &iov, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, close(d->z.tx));
	ASSERT_EQ(1, send(d->z.rx, "x", 1, 0));
	ASSERT_EQ(-ECONNREFUSED, caller_join(_metadata, &c));
}

/* ---- shutdown ---- */

TEST_F(queue, shutdown_while_waiting_is_0)
{
	struct dg *d = &self->d;
	struct iovec iov = zt_iov(d->z.win, ZT_PAGE), before = iov;
	struct caller c = CALLER_READV(&d->z, &iov, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, shutdown(d->z.rx, SHUT_RD));
	ASSERT_EQ(0, caller_join(_metadata, &c));
	ASSERT_EQ(0, memcmp(&before, &iov, sizeof(iov)));
}

/* What recv() says after a shutdown, zc_readv says: first what is queued, then 0. */
TEST_F(queue, after_shutdown_as_recv)
{
	struct dg *d = &self->d;
	struct iovec iov = zt_iov(d->z.win, ZT_PAGE);
	char c;

	dg_send(_metadata, d, 1000);
	dg_arrived(_metadata, d);
	ASSERT_EQ(0, shutdown(d->z.rx, SHUT_RD));
	ASSERT_EQ(1, dg_call(_metadata, d, 1, 1));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, recv(d->z.rx, &c, 1, 0));
		ASSERT_EQ(0, zt_readv(d->z.dev, d->z.rx, &iov, 1, NULL, 0));
		ASSERT_EQ(-1, recv(d->z.rx, &c, 1, MSG_DONTWAIT));
		ASSERT_EQ(-errno, zt_readv(d->z.dev, d->z.rx, &iov, 1, NULL, ZCIO_DONTWAIT));
	}
}

/* ---- several readers ---- */

struct reader {
	struct zt *z;
	char *win;
	const size_t *len;
	uint64_t *seen;		/* one bit for each datagram */
	volatile bool *stop;
	int bad;
	volatile size_t count;
	pthread_t thread;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;

	while (!*r->stop && !r->bad) {
		struct iovec iov[4];
		int n;

		zt_regions(iov, r->win, 4, 2);
		n = zt_readv(r->z->dev, r->z->rx, iov, 4, NULL, 0);
		if (n == -EAGAIN)	/* SO_RCVTIMEO: to look at *stop */
			continue;
		if (n < 0) {
			r->bad = 1;
			break;
		}
		for (int i = 0; i < n; i++) {
			/* The first bytes are its number. */
			const uint32_t *p = iov[i].iov_base;
			uint32_t k = iov[i].iov_len < 8 ? UINT32_MAX : p[0];

			if (k >= DG_MOST || iov[i].iov_len != r->len[k] ||
			    zt_same((char *)(p + 1), iov[i].iov_len - 4, dg_pos(k)) != iov[i].iov_len - 4)
				r->bad = 2;
			else if (__atomic_fetch_or(&r->seen[k / 64], 1ULL << k % 64, __ATOMIC_SEQ_CST) >>
				 k % 64 & 1)
				r->bad = 3;	/* twice */
			else
				r->count++;
			if (r->bad)
				break;
		}
	}
	return NULL;
}

/* Each datagram goes to one of them, whole. */
TEST_F_TIMEOUT(queue, several_readers_get_each_datagram_once, 60)
{
	static uint64_t seen[DG_MOST / 64];
	struct timeval t = { .tv_usec = 50000 };
	struct dg *d = &self->d;
	static unsigned char buf[DG_STEP];
	volatile bool stop = false;
	struct reader r[3] = {};
	size_t total = 2000, got;

	ASSERT_EQ(0, setsockopt(d->z.rx, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	for (size_t k = 0; k < total; k++)
		d->len[k] = 8 + k * 61 % (one_piece() - 8);
	for (int i = 0; i < 3; i++) {
		r[i] = (struct reader){ .z = &d->z, .win = d->z.win + ZT_PAGES(16 * i), .len = d->len,
					.seen = seen, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, read_on, &r[i]));
	}
	for (uint32_t k = 0; k < total;) {
		memcpy(buf, &k, 4);
		zt_fill(buf + 4, d->len[k] - 4, dg_pos(k));
		ASSERT_EQ((ssize_t)d->len[k], send(d->z.tx, buf, d->len[k], 0));
		k++;
		/* No more under way than the socket holds. */
		do {
			got = r[0].count + r[1].count + r[2].count;
			if (r[0].bad || r[1].bad || r[2].bad)
				break;
			if (k - got > 64 || k == total)
				usleep(200);
		} while (k - got > 64 || (k == total && got < total));
		if (r[0].bad || r[1].bad || r[2].bad)
			break;
	}
	stop = true;
	for (int i = 0; i < 3; i++) {
		pthread_join(r[i].thread, NULL);
		ASSERT_EQ(0, r[i].bad);
	}
	ASSERT_EQ(total, r[0].count + r[1].count + r[2].count);
	ASSERT_EQ(0, charged(_metadata, d->z.rx));
}

TEST_HARNESS_MAIN
