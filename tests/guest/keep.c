// SPDX-License-Identifier: GPL-2.0
/*
 * ZCIO_KEEP and ZCIO_IOC_KEPT: areas that stay as they are while they are sent, to many
 * sockets from one set of pages; how long they are in use; and that a receiver on this
 * machine never gets to see such a page itself, whatever the sender does with its pool.
 *
 * timeout: 300
 */
#include "area.h"
#include "fdinfo.h"

#define POOL	1024

FIXTURE(keep)
{
	struct zt z;	/* the local end sends, the peer receives */
	int defer;
};

FIXTURE_VARIANT(keep)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(keep, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(keep, lo6) { .path = ZT_LO6 };
FIXTURE_VARIANT_ADD(keep, wire4) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(keep, wire6) { .path = ZT_WIRE6 };

FIXTURE_SETUP(keep)
{
	struct rlimit files = { 4096, 4096 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->defer = zt_defer(_metadata, 0);
	zt_open(_metadata, &self->z, POOL, POOL);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(keep)
{
	zt_defer(_metadata, self->defer);
	zcio_close(self->z.ctx);
}

/* Whether what @path's sender holds is what its receiver gets: no NIC between them. */
static bool same_pages(enum zt_path path)
{
	return path == ZT_LO4 || path == ZT_LO6 || access("/sys/class/net/zc0/device", F_OK);
}

static int kept(const struct zt *z, const void *base, size_t len, struct zcio_kept *k)
{
	*k = (struct zcio_kept){ .base = ZT_PTR(base), .len = len };
	return ioctl(z->dev, ZCIO_IOC_KEPT, k) ? -errno : 0;
}

/* How many of the pages are in use. */
static size_t in_use(struct __test_metadata *_metadata, const struct zt *z, const void *base,
		     size_t pages)
{
	struct zcio_kept k;

	ASSERT_EQ(0, kept(z, base, ZT_PAGES(pages), &k));
	ASSERT_EQ(pages, k.pages);
	ASSERT_GE(pages, k.done);
	ASSERT_EQ(0, k.reserved[0]);
	return pages - k.done;
}

/* Waits until none of the pages is in use: the network's last references go a moment later. */
static void until_done(struct __test_metadata *_metadata, const struct zt *z, const void *base,
		       size_t pages)
{
	while (in_use(_metadata, z, base, pages))
		usleep(1000);
}

/* Sends the area @iov, which stays as it is. */
static void send_kept(struct __test_metadata *_metadata, struct zt *z, pair iov[1])
{
	struct zcio_payload info[1];
	uint64_t taken;

	ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, ZCIO_KEEP, &taken));
	ASSERT_EQ(iov[0][1].iov_len, taken);
	ASSERT_EQ(iov[0][1].iov_len, info[0].mapped + info[0].copied);
	ASSERT_EQ(0, info[0].why & ~ZCIO_WHY_DEVICE);
}

/* @len bytes with zc_readv; none of them in a page that its sender can still write to. */
static void receive_copies(struct __test_metadata *_metadata, struct zt *z, bool same, size_t len,
			   uint64_t pos)
{
	char *to = z->win;

	while (len) {
		struct iovec iov = zt_iov(to, z->win + ZT_PAGES(POOL) - to);
		struct zcio_payload info;

		ASSERT_EQ(1, zt_readv(z->dev, z->tx, &iov, 1, &info, 0));
		ASSERT_GE(len, iov.iov_len);
		ASSERT_EQ(iov.iov_len, zt_same(iov.iov_base, iov.iov_len, pos));
		if (same) {
			ASSERT_EQ(0, info.mapped);
			ASSERT_EQ(ZCIO_WHY_WRITABLE, info.why & ZCIO_WHY_WRITABLE);
		}
		pos += iov.iov_len;
		len -= iov.iov_len;
		to += (iov.iov_len + ZT_PAGE) / ZT_PAGE * ZT_PAGE + ZT_PAGE;
	}
}

/* ---- sending ---- */

TEST_F(keep, area_stays_as_it_is_and_can_be_sent_again)
{
	static const size_t offsets[] = { 0, 1, 54, 4095 };
	static const size_t lengths[] = { 1, 4096, 5000, 30000 };
	struct zt *z = &self->z;
	uint64_t pfn[10], now[10];
	char *before = malloc(ZT_PAGES(10));
	pair iov[1];

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		zt_area(z, iov[0], 0, 10, offsets[i], lengths[i], 0);
		memcpy(before, z->pool, ZT_PAGES(10));
		zt_pfns(_metadata, z->pool, pfn, 10);
		for (int round = 0; round < 3; round++) {
			send_kept(_metadata, z, iov);
			zt_recv(_metadata, z->tx, lengths[i], 0);
		}
		ASSERT_EQ(0, memcmp(before, z->pool, ZT_PAGES(10)));
		zt_pfns(_metadata, z->pool, now, 10);
		ASSERT_EQ(0, memcmp(pfn, now, sizeof(pfn)));
		until_done(_metadata, z, z->pool, 10);
	}
	zt_nothing(_metadata, z->tx);
	free(before);
}

#define MANY		1000
#define SHARED		4	/* pages that all of them get */

TEST_F_TIMEOUT(keep, thousand_connections_get_one_set_of_pages, 200)
{
	static int local[MANY], peer[MANY];
	/* Under the checks of the debug kernel, fewer must do. */
	int many = zt_debug() ? MANY / 10 : MANY;
	struct zt *z = &self->z;
	struct pool_pages before, after;
	uint64_t pfn[SHARED], now[SHARED], copied = 0;
	pair iov[1];

	zt_area(z, iov[0], 3, SHARED, 0, ZT_PAGES(SHARED), 0);
	zt_pfns(_metadata, z->pool + ZT_PAGES(3), pfn, SHARED);
	before = zt_pool_pages(_metadata, z);
	ASSERT_EQ(POOL, before.held);
	for (int i = 0; i < many; i++) {
		struct zcio_payload info[1];

		zt_tcp(_metadata, variant->path, &local[i], &peer[i]);
		ASSERT_EQ(1, zt_writev(z->dev, local[i], iov, 1, info, ZCIO_KEEP, NULL));
		ASSERT_EQ(ZT_PAGES(SHARED), info[0].mapped + info[0].copied);
		copied += info[0].copied;
	}
	ASSERT_EQ(copied, zt_info(_metadata, z->ctx).tx.copied);
	if (zt_gathers(variant->path)) {
		ASSERT_EQ(0, copied);
		ASSERT_EQ((uint64_t)many * ZT_PAGES(SHARED), zt_info(_metadata, z->ctx).tx.mapped);
	}
	if (same_pages(variant->path))
		ASSERT_EQ(SHARED, in_use(_metadata, z, z->pool + ZT_PAGES(3), SHARED));
	for (int i = 0; i < many; i++) {
		zt_recv(_metadata, peer[i], ZT_PAGES(SHARED), 0);
		zt_nothing(_metadata, peer[i]);
	}
	after = zt_pool_pages(_metadata, z);
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
	zt_pfns(_metadata, z->pool + ZT_PAGES(3), now, SHARED);
	ASSERT_EQ(0, memcmp(pfn, now, sizeof(pfn)));
	until_done(_metadata, z, z->pool + ZT_PAGES(3), SHARED);
	for (int i = 0; i < many; i++) {
		close(local[i]);
		close(peer[i]);
	}
}

TEST_F(keep, stays_in_use_until_the_peer_has_it)
{
	struct zt *z = &self->z;
	int theirs = 30000, ours = 1 << 20;
	size_t sent = 0;
	pair iov[1];

	/* More than the peer's buffer ever holds, so that some of it must wait in ours. */
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_RCVBUF, &theirs, sizeof(theirs)));
	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_SNDBUFFORCE, &ours, sizeof(ours)));
	zt_nonblock(_metadata, z->rx, true);
	zt_area(z, iov[0], 0, 16, 0, ZT_PAGES(16), 0);
	ASSERT_EQ(0, in_use(_metadata, z, z->pool, 16));
	while (sent < 512 << 10) {
		uint64_t taken;

		ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_KEEP, &taken));
		ASSERT_EQ(ZT_PAGES(16), taken);
		sent += taken;
	}
	for (int i = 0; i < 50; i++) {
		ASSERT_LT(0, in_use(_metadata, z, z->pool, 16));
		usleep(2000);
	}
	/* Pages of the pool that were not sent are not in use. */
	ASSERT_EQ(0, in_use(_metadata, z, z->pool + ZT_PAGES(16), POOL - 16));
	while (sent) {
		size_t n = sent < ZT_PAGES(16) ? sent : ZT_PAGES(16);

		zt_recv(_metadata, z->tx, n, 0);
		sent -= n;
	}
	until_done(_metadata, z, z->pool, 16);
}

TEST_F(keep, part_taken_on_a_non_blocking_socket)
{
	struct zt *z = &self->z;
	size_t len = ZT_PAGES(250) + 77, sent = 0;
	struct iovec whole;
	int parts = 0, size = 30000;
	pair iov[1];

	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	zt_nonblock(_metadata, z->rx, true);
	zt_area(z, iov[0], 0, 260, 4001, len, 0);
	whole = iov[0][1];
	while (sent < len) {
		struct zcio_payload info[1] = {};
		uint64_t taken;
		int n = zt_writev(z->dev, z->rx, iov, 1, info, ZCIO_KEEP, &taken);

		if (n == -EAGAIN) {
			ASSERT_EQ(0, taken);
		} else {
			ASSERT_EQ(taken == iov[0][1].iov_len, n);
			ASSERT_LT(0, taken);
			ASSERT_EQ(taken, info[0].mapped + info[0].copied);
			parts += n == 0;
			sent += taken;
			iov[0][1].iov_base += taken;
			iov[0][1].iov_len -= taken;
			zt_recv(_metadata, z->tx, taken, sent - taken);
		}
	}
	ASSERT_LT(0, parts);
	ASSERT_EQ(len, zt_same(whole.iov_base, len, 0));
	ASSERT_EQ((char)0xa5, z->pool[0]);
	zt_nothing(_metadata, z->tx);
	until_done(_metadata, z, z->pool, 260);
}

TEST_F(keep, order_beside_other_ways_of_sending)
{
	struct zt *z = &self->z;
	struct zt_stream s = { .fd = z->tx, .len = 400000 };
	uint64_t pos = 0;
	int way = 0;

	zt_stream_start(_metadata, &s);
	for (size_t step = 1; pos < 400000; way++) {
		size_t n = step = (step * 29 + 3) % 9973 + 1;
		size_t page = way % 64 * 4;
		pair iov[1];

		if (n > 400000 - pos)
			n = 400000 - pos;
		if (way % 3 == 0) {
			zt_send(_metadata, z->rx, n, pos);
		} else {
			/* What was kept there may be changed only when nobody reads it. */
			until_done(_metadata, z, z->pool + ZT_PAGES(page), 4);
			zt_area(z, iov[0], page, 4, step % 4096, n, pos);
			ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, NULL,
					       way % 3 == 1 ? ZCIO_KEEP : 0, NULL));
		}
		pos += n;
	}
	zt_stream_join(_metadata, &s);
}

/* A swap of a page that is still being read copies it; afterwards it does not. */
TEST_F(keep, sending_it_away_meanwhile_copies)
{
	struct zt *z = &self->z;
	struct zcio_payload info[1];
	pair iov[1];

	zt_area(z, iov[0], 0, 8, 0, ZT_PAGES(8), 0);
	send_kept(_metadata, z, iov);
	if (same_pages(variant->path)) {
		ASSERT_EQ(8, in_use(_metadata, z, z->pool, 8));
		ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, NULL));
		ASSERT_EQ(ZCIO_WHY_PINNED, info[0].why);
		ASSERT_EQ(ZT_PAGES(8), info[0].copied);
		ASSERT_EQ(ZT_PAGES(8), zt_zeros(z->pool, ZT_PAGES(8)));
		/* Nobody but the pool has the pages that stand in. */
		ASSERT_EQ(0, in_use(_metadata, z, z->pool, 8));
		memset(z->pool, 0x5a, ZT_PAGES(8));
		zt_recv(_metadata, z->tx, ZT_PAGES(8), 0);
	}
	zt_recv(_metadata, z->tx, ZT_PAGES(8), 0);

	zt_area(z, iov[0], 0, 8, 0, ZT_PAGES(8), 0);
	send_kept(_metadata, z, iov);
	zt_recv(_metadata, z->tx, ZT_PAGES(8), 0);
	until_done(_metadata, z, z->pool, 8);
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, NULL));
	ASSERT_EQ(zt_gathers(variant->path) ? 0 : ZCIO_WHY_DEVICE, info[0].why);
	/* A page sent away can be shown again, though it had been kept. */
	if (same_pages(variant->path)) {
		ASSERT_EQ(ZT_PAGES(8), zt_zc_recv(_metadata, z->dev, z->tx, z->win, 16,
						  ZT_PAGES(8), 0));
	} else {
		zt_recv(_metadata, z->tx, ZT_PAGES(8), 0);
	}
	ASSERT_EQ(0, in_use(_metadata, z, z->pool, 8));
}

TEST_F(keep, area_that_is_read_only_can_be_kept_but_not_sent_away)
{
	struct zt *z = &self->z;
	pair iov[1];

	zt_area(z, iov[0], 0, 4, 9, 12000, 0);
	ASSERT_EQ(0, mprotect(z->pool, ZT_PAGES(2), PROT_READ));
	ASSERT_EQ(-EFAULT, zt_writev(z->dev, z->rx, iov, 1, NULL, 0, NULL));
	send_kept(_metadata, z, iov);
	ASSERT_EQ(0, mprotect(z->pool + ZT_PAGE, ZT_PAGE, PROT_NONE));
	ASSERT_EQ(-EFAULT, zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_KEEP, NULL));
	zt_recv(_metadata, z->tx, 12000, 0);
	zt_nothing(_metadata, z->tx);
}

TEST_F(keep, connection_that_is_reset_lets_go)
{
	struct zt *z = &self->z;
	pair iov[1];

	signal(SIGPIPE, SIG_IGN);
	zt_area(z, iov[0], 0, 16, 0, ZT_PAGES(16), 0);
	send_kept(_metadata, z, iov);
	zt_reset(_metadata, z->tx);
	until_done(_metadata, z, z->pool, 16);
	ASSERT_EQ(ZT_PAGES(16), zt_same(z->pool, ZT_PAGES(16), 0));
	for (int i = 0; i < 2; i++)
		ASSERT_GT(0, zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_KEEP, NULL));
	ASSERT_EQ(0, in_use(_metadata, z, z->pool, 16));
}

/* ---- what a receiver gets ---- */

TEST_F(keep, receiver_gets_copies_that_never_change)
{
	struct zt *z = &self->z;
	pair iov[1];

	zt_area(z, iov[0], 0, 32, 0, ZT_PAGES(32), 0);
	send_kept(_metadata, z, iov);
	receive_copies(_metadata, z, same_pages(variant->path), ZT_PAGES(32), 0);
	until_done(_metadata, z, z->pool, 32);
	{
		char *copy = malloc(ZT_PAGES(POOL));

		memcpy(copy, z->win, ZT_PAGES(POOL));
		memset(z->pool, 0x5a, ZT_PAGES(32));
		send_kept(_metadata, z, iov);
		memset(z->pool, 0x6b, ZT_PAGES(32));
		ASSERT_EQ(0, memcmp(copy, z->win, ZT_PAGES(POOL)));
		free(copy);
	}
}

static void unmap(struct __test_metadata *_metadata, char *pool)
{
	ASSERT_EQ(0, munmap(pool, ZT_PAGES(32)));
}

static void dontneed(struct __test_metadata *_metadata, char *pool)
{
	ASSERT_EQ(0, madvise(pool, ZT_PAGES(32), MADV_DONTNEED));
}

static void protect(struct __test_metadata *_metadata, char *pool)
{
	ASSERT_EQ(0, mprotect(pool, ZT_PAGES(16), PROT_NONE));
	ASSERT_EQ(0, mprotect(pool + ZT_PAGES(16), ZT_PAGES(16), PROT_READ));
}

/* As long as a page can be written to again, it is not shown: not mapped is not enough. */
TEST_F(keep, receiver_gets_copies_whatever_becomes_of_the_pool)
{
	void (*const acts[])(struct __test_metadata *, char *) = { dontneed, protect, unmap };
	struct zt *z = &self->z;
	pair iov[1];

	for (int i = 0; i < ARRAY_SIZE(acts); i++) {
		zt_area(z, iov[0], 0, 32, 0, ZT_PAGES(32), 0);
		send_kept(_metadata, z, iov);
		acts[i](_metadata, z->pool);
		receive_copies(_metadata, z, same_pages(variant->path), ZT_PAGES(32), 0);
		if (acts[i] == dontneed) {
			until_done(_metadata, z, z->pool, 32);
			ASSERT_EQ(ZT_PAGES(32), zt_same(z->pool, ZT_PAGES(32), 0));
			ASSERT_EQ(0, in_use(_metadata, z, z->pool, 32));
		}
		if (acts[i] == protect) {
			until_done(_metadata, z, z->pool, 32);
			ASSERT_EQ(0, mprotect(z->pool, ZT_PAGES(32), PROT_READ | PROT_WRITE));
		}
	}
	ASSERT_EQ(POOL - 32, zt_info(_metadata, z->ctx).pool_pages);
}

TEST_F(keep, peer_gets_all_when_the_sender_is_killed)
{
	struct zt *z = &self->z;
	struct zcio_info info;
	int ready[2];
	char c;
	pid_t pid;

	zcio_unmap(z->pool, ZT_PAGES(POOL));
	info = zt_info(_metadata, z->ctx);
	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct zt own = *z;
		pair iov[1];

		zt_open(_metadata, &own, 0, 16);
		own.rx = z->rx;
		zt_area(&own, iov[0], 0, 16, 0, ZT_PAGES(16), 0);
		send_kept(_metadata, &own, iov);
		ASSERT_EQ(1, write(ready[1], "", 1));
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	zt_settled(_metadata, z->ctx, info.total_window_pages, info.total_pool_pages);
	zt_recv(_metadata, z->tx, ZT_PAGES(16), 0);
	zt_nothing(_metadata, z->tx);
}

/* ---- one device is enough for this ---- */

FIXTURE(every)
{
	struct zt z;
};

FIXTURE_SETUP(every)
{
	zt_open(_metadata, &self->z, 16, 16);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(every)
{
}

TEST_F(every, KEPT_of_what_is_no_area)
{
	struct zt *z = &self->z;
	struct zcio_kept k;

	ASSERT_EQ(0, kept(z, z->pool, ZT_PAGES(16), &k));
	ASSERT_EQ(16, k.pages);
	ASSERT_EQ(16, k.done);
	ASSERT_EQ(0, kept(z, z->pool + ZT_PAGES(15), ZT_PAGE, &k));
	ASSERT_EQ(1, k.pages);

	ASSERT_EQ(-EINVAL, kept(z, z->pool, 0, &k));
	ASSERT_EQ(-EINVAL, kept(z, z->pool + 1, ZT_PAGE, &k));
	ASSERT_EQ(-EINVAL, kept(z, z->pool, ZT_PAGE - 1, &k));
	ASSERT_EQ(-EINVAL, kept(z, z->pool, -ZT_PAGE, &k));
	for (int i = 0; i < ARRAY_SIZE(k.reserved); i++) {
		k = (struct zcio_kept){ .base = ZT_PTR(z->pool), .len = ZT_PAGE };
		k.reserved[i] = 1ULL << (16 * i);
		ASSERT_EQ(-1, ioctl(z->dev, ZCIO_IOC_KEPT, &k));
		ASSERT_EQ(EINVAL, errno);
	}

	ASSERT_EQ(-EFAULT, kept(z, z->win, ZT_PAGE, &k));
	ASSERT_EQ(-EFAULT, kept(z, NULL, ZT_PAGE, &k));
	ASSERT_EQ(-EFAULT, kept(z, z->pool, ZT_PAGES(17), &k));
	ASSERT_EQ(-1, ioctl(z->dev, ZCIO_IOC_KEPT, NULL));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(0, munmap(z->pool + ZT_PAGES(8), ZT_PAGE));
	ASSERT_EQ(-EFAULT, kept(z, z->pool, ZT_PAGES(16), &k));
	ASSERT_EQ(0, kept(z, z->pool, ZT_PAGES(8), &k));
	ASSERT_EQ(0, kept(z, z->pool + ZT_PAGES(9), ZT_PAGES(7), &k));
	ASSERT_EQ(7, k.done);
}

/* Of whoever: a page that somebody else reads is in use. */
TEST_F(every, KEPT_knows_of_other_readers)
{
	struct zt *z = &self->z;
	struct iovec v = zt_iov(z->pool, ZT_PAGES(3));
	static char buf[ZT_PAGES(3)];
	int p[2];

	zt_fill(z->pool, ZT_PAGES(3), 0);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(ZT_PAGES(3), vmsplice(p[1], &v, 1, 0));
	ASSERT_EQ(3, in_use(_metadata, z, z->pool, 16));
	ASSERT_EQ(sizeof(buf), read(p[0], buf, sizeof(buf)));
	until_done(_metadata, z, z->pool, 16);
}

TEST_F(every, kept_call_that_fails_changes_nothing)
{
	struct zt *z = &self->z;
	pair iov[2];

	zt_area(z, iov[0], 0, 2, 0, 5000, 0);
	zt_area(z, iov[1], 2, 2, 0, 5000, 5000);
	iov[1][0].iov_base = z->win;
	iov[1][1].iov_base = z->win;
	{
		struct zcio_writev call = zt_writev_call(z, iov, 2);

		call.flags = ZCIO_KEEP;
		ASSERT_EQ(-EFAULT, zt_writev_raw(z->dev, &call));
		ASSERT_EQ(1, call.error_index);
		ASSERT_EQ(0, call.taken);
	}
	ASSERT_EQ(-EINVAL, zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_KEEP | 1 << 31, NULL));
	ASSERT_EQ(0, shutdown(z->rx, SHUT_WR));
	ASSERT_EQ(-EPIPE, zt_writev(z->dev, z->rx, iov, 1, NULL, ZCIO_KEEP | ZCIO_NOSIGNAL, NULL));
	ASSERT_EQ(0, in_use(_metadata, z, z->pool, 16));
	ASSERT_EQ(5000, zt_same(z->pool, 5000, 0));
}

/* Bytes that may change are copied before the stack makes their checksum, and that is said. */
TEST_F(every, device_without_checksums_is_said)
{
	struct zt *z = &self->z;
	struct zcio_payload info[1];
	bool gathers = zt_gathers(ZT_WIRE4);
	pair iov[1];

	if (system("ethtool -K zc0 tx off >/dev/null 2>&1"))
		SKIP(return, "there is no zc0 that can leave checksums to the stack");
	zt_tcp(_metadata, ZT_WIRE4, &z->rx, &z->tx);
	zt_area(z, iov[0], 0, 4, 100, 9000, 0);
	EXPECT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, ZCIO_KEEP, NULL));
	if (gathers) {
		EXPECT_EQ(0, system("ethtool -K zc0 tx on >/dev/null 2>&1"));
		/* Switching it off took these with it, where the device has them. */
		EXPECT_LE(0, system("ethtool -K zc0 sg on tso on gso on >/dev/null 2>&1"));
	}
	EXPECT_EQ(ZCIO_WHY_DEVICE, info[0].why);
	EXPECT_EQ(9000, info[0].copied);
	zt_recv(_metadata, z->tx, 9000, 0);
}

TEST_HARNESS_MAIN
