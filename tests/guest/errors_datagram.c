// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table for sockets that keep boundaries, UDP and AF_PACKET: wrong
 * arguments, nothing there, interrupted, limits, and what happens to the memory while a
 * call waits. Calls fail with datagrams queued and an older payload in the window; the
 * helper checks that they fail twice in the same way and change nothing, the end of each
 * test that every datagram can still be received, in order.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "caller.h"
#include "datagram.h"
#include "refused.h"

#define PROTOCOL	0x88b5	/* for experiments */
#define OLD		3000	/* bytes in the window before */

enum kind { UDP4, UDP6, RAW, COOKED };

FIXTURE(rx)
{
	struct zt z;
	size_t header;		/* bytes before a datagram's own */
	size_t len[8];
	size_t queued, got;
};

FIXTURE_VARIANT(rx)
{
	enum kind kind;
};

FIXTURE_VARIANT_ADD(rx, udp4) { .kind = UDP4 };
FIXTURE_VARIANT_ADD(rx, udp6) { .kind = UDP6 };
FIXTURE_VARIANT_ADD(rx, packet_raw) { .kind = RAW };
FIXTURE_VARIANT_ADD(rx, packet_dgram) { .kind = COOKED };

typedef FIXTURE_DATA(rx) rx;

static int packet_socket(struct __test_metadata *_metadata, int type)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(PROTOCOL),
				 .sll_ifindex = if_nametoindex("lo") };
	int fd = socket(AF_PACKET, type | SOCK_CLOEXEC, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void pair(struct __test_metadata *_metadata, enum kind kind, struct zt *z)
{
	struct zt_addr here, there;

	if (kind == RAW || kind == COOKED) {
		z->rx = packet_socket(_metadata, kind == RAW ? SOCK_RAW : SOCK_DGRAM);
		z->tx = packet_socket(_metadata, SOCK_DGRAM);
		return;
	}
	z->rx = dg_bound(_metadata, kind == UDP4 ? ZT_LO4 : ZT_LO6, false, &here);
	z->tx = dg_bound(_metadata, kind == UDP4 ? ZT_LO4 : ZT_LO6, true, &there);
	ASSERT_EQ(0, connect(z->tx, &here.sa, here.len));
	ASSERT_EQ(0, connect(z->rx, &there.sa, there.len));
}

static void put(struct __test_metadata *_metadata, rx *self, size_t len)
{
	unsigned char buf[9000];

	zt_fill(buf, len, dg_pos(self->queued));
	ASSERT_EQ((ssize_t)len, send(self->z.tx, buf, len, 0)) TH_LOG("%m");
	self->len[self->queued++] = len;
}

static void get(struct __test_metadata *_metadata, rx *self)
{
	unsigned char buf[9000];
	size_t len = self->len[self->got];

	ASSERT_EQ((ssize_t)(self->header + len), recv(self->z.rx, buf, sizeof(buf), 0));
	ASSERT_EQ(len, zt_same(buf + self->header, len, dg_pos(self->got)));
	self->got++;
}

FIXTURE_SETUP(rx)
{
	struct zt *z = &self->z;
	struct iovec old[2];

	zt_open(_metadata, z, 64, 8);
	pair(_metadata, variant->kind, z);
	self->header = variant->kind == RAW ? ETH_HLEN : 0;
	put(_metadata, self, OLD);
	old[0] = zt_iov(z->win, ZT_PAGES(2));
	old[1] = zt_iov(z->win + ZT_PAGES(2), ZT_PAGES(2));
	ASSERT_EQ(1, zt_readv(z->dev, z->rx, old, 2, NULL, 0));
	self->got++;
	put(_metadata, self, 1000);
	put(_metadata, self, 500);
	put(_metadata, self, 8000);
	zt_remember(_metadata, z, ZT_PAGES(8));
}

FIXTURE_TEARDOWN(rx)
{
	while (self->got < self->queued)
		get(_metadata, self);
	zt_nothing(_metadata, self->z.rx);
}

/* ---- arguments ---- */

TEST_F(rx, wrong_counts_flags_and_reserved_fields_are_EINVAL)
{
	static struct iovec iov[ZCIO_MAX_ELEMENTS + 1];
	struct zcio_readv call = zt_readv_call(&self->z, iov, 1);

	for (int i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = zt_iov(self->z.win + ZT_PAGES(i % 64), ZT_PAGE);
	call.iovcnt = 0;
	zt_readv_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	call.iovcnt = ZCIO_MAX_ELEMENTS + 1;
	zt_readv_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	call.iovcnt = (uint32_t)-1;
	zt_readv_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	call.iovcnt = 1;
	call.flags = ZCIO_MORE;
	zt_readv_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	call.flags = 0;
	call.reserved[3] = 1;
	zt_readv_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
}

TEST_F(rx, wrong_regions_are_EINVAL)
{
	char *w = self->z.win;
	struct iovec small[] = { zt_iov(w, ZT_PAGE), zt_iov(w + ZT_PAGE, ZT_PAGE - 1) };
	struct iovec cut[] = { zt_iov(w + 1, ZT_PAGES(2) - 2) };
	struct iovec overlap[] = { zt_iov(w, ZT_PAGES(2)), zt_iov(w + ZT_PAGE, ZT_PAGES(2)) };
	struct iovec wraps[] = { zt_iov(w, SIZE_MAX - 100) };

	READ_REFUSED(EINVAL, 1, small);
	READ_REFUSED(EINVAL, 0, cut);
	READ_REFUSED(EINVAL, 1, overlap);
	READ_REFUSED(EINVAL, 0, wraps);
}

TEST_F(rx, regions_outside_windows_are_EFAULT)
{
	char *heap = aligned_alloc(ZT_PAGE, ZT_PAGE), *w = self->z.win;
	struct iovec plain[] = { zt_iov(w, ZT_PAGE), zt_iov(heap, ZT_PAGE) };
	struct iovec pool[] = { zt_iov(self->z.pool, ZT_PAGE) };
	struct iovec behind[] = { zt_iov(w + ZT_PAGES(63), ZT_PAGES(2)) };
	struct iovec gone[] = { zt_iov(w, ZT_PAGE), zt_iov(w + ZT_PAGES(16), ZT_PAGES(4)) };

	READ_REFUSED(EFAULT, 1, plain);
	READ_REFUSED(EFAULT, 0, pool);
	READ_REFUSED(EFAULT, 0, behind);
	ASSERT_EQ(0, munmap(w + ZT_PAGES(18), ZT_PAGE));
	READ_REFUSED(EFAULT, 1, gone);
	free(heap);
}

static void *read_only(struct __test_metadata *_metadata, const void *what, size_t len)
{
	void *p = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	memcpy(p, what, len);
	ASSERT_EQ(0, mprotect(p, ZT_PAGE, PROT_READ));
	return p;
}

TEST_F(rx, arrays_that_cannot_be_read_or_written_are_EFAULT)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGE), zt_iov(self->z.win + ZT_PAGE, ZT_PAGE) };
	struct iovec *fixed = read_only(_metadata, iov, sizeof(iov));
	struct zcio_readv call = zt_readv_call(&self->z, (void *)16, 2);

	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, "", 0);
	call = zt_readv_call(&self->z, fixed, 2);
	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, fixed, sizeof(iov));
	call = zt_readv_call(&self->z, iov, 2);
	call.payloads = 16;
	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
	call.payloads = ZT_PTR(fixed);
	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
}

/* ---- nothing there, interrupted ---- */

static void take_all(struct __test_metadata *_metadata, rx *self)
{
	while (self->got < self->queued)
		get(_metadata, self);
}

#define FAILS(err, call_flags) do { \
	struct iovec region_[] = { zt_iov(self->z.win, ZT_PAGES(2)) }; \
	struct zcio_readv call_ = zt_readv_call(&self->z, region_, 1); \
	call_.flags = (call_flags); \
	zt_readv_fails(_metadata, &self->z, call_, err, -1, region_, sizeof(region_)); \
} while (0)

TEST_F(rx, nothing_there_is_EAGAIN)
{
	struct timeval t = { .tv_usec = 20000 }, none = {};

	take_all(_metadata, self);
	FAILS(EAGAIN, ZCIO_DONTWAIT);
	zt_nonblock(_metadata, self->z.rx, true);
	FAILS(EAGAIN, 0);
	zt_nonblock(_metadata, self->z.rx, false);
	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	FAILS(EAGAIN, 0);
	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)));
	put(_metadata, self, 100);
	get(_metadata, self);
}

/* poll() and the call agree. */
TEST_F(rx, poll_says_when_there_is_something)
{
	struct pollfd p = { .fd = self->z.rx, .events = POLLIN };
	struct zcio_payload info[8];
	struct iovec iov[8];
	int n;

	zt_regions(iov, self->z.win + ZT_PAGES(8), 8, 4);
	ASSERT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(POLLIN, p.revents);
	n = zt_readv(self->z.dev, self->z.rx, iov, 8, info, 0);
	for (int i = 0; i < n; i++)
		self->got += info[i].flags & ZCIO_PAYLOAD_END;
	ASSERT_EQ(self->queued, self->got);
	ASSERT_EQ(0, poll(&p, 1, 0));
	put(_metadata, self, 10);
	ASSERT_EQ(1, poll(&p, 1, -1));
}

TEST_F(rx, interrupted_is_EINTR)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGES(2)) }, before = iov[0];
	struct caller c = CALLER_READV(&self->z, iov, 1);

	take_all(_metadata, self);
	caller_catches(_metadata, false);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	ASSERT_EQ(-EINTR, caller_join(_metadata, &c));
	ASSERT_EQ(-1, c.readv.error_index);
	ASSERT_EQ(0, memcmp(&before, iov, sizeof(before)));
	zt_unchanged(_metadata, &self->z);
	put(_metadata, self, 100);
}

TEST_F(rx, interrupted_with_SA_RESTART_goes_on)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGES(2)) };
	struct caller c = CALLER_READV(&self->z, iov, 1);

	take_all(_metadata, self);
	caller_catches(_metadata, true);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	zt_asleep(_metadata, c.tid);
	put(_metadata, self, 100);
	ASSERT_EQ(1, caller_join(_metadata, &c));
	ASSERT_EQ(self->header + 100, iov[0].iov_len);
	ASSERT_EQ(100, zt_same((char *)iov[0].iov_base + self->header, 100, dg_pos(self->got)));
	self->got++;
}

/* ---- what happens while a call waits: the datagram that comes stays in the socket ---- */

static void woken(struct __test_metadata *_metadata, rx *self, struct caller *c, int err)
{
	put(_metadata, self, 3000);
	put(_metadata, self, 200);
	ASSERT_EQ(-err, caller_join(_metadata, c));
	ASSERT_EQ(0, zt_info(_metadata, self->z.ctx).window_pages);
	take_all(_metadata, self);
	zt_nothing(_metadata, self->z.rx);
}

TEST_F(rx, window_unmapped_while_waiting_is_EFAULT)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGES(2)),
			       zt_iov(self->z.win + ZT_PAGES(8), ZT_PAGES(2)) };
	struct caller c = CALLER_READV(&self->z, iov, 2);

	take_all(_metadata, self);
	caller_start(_metadata, &c);
	ASSERT_EQ(0, munmap(self->z.win + ZT_PAGES(8), ZT_PAGES(2)));
	woken(_metadata, self, &c, EFAULT);
}

TEST_F(rx, array_write_protected_while_waiting_is_EFAULT)
{
	struct iovec *iov = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
	struct caller c = CALLER_READV(&self->z, iov, 1);

	iov[0] = zt_iov(self->z.win, ZT_PAGES(4));
	take_all(_metadata, self);
	caller_start(_metadata, &c);
	ASSERT_EQ(0, mprotect(iov, ZT_PAGE, PROT_READ));
	woken(_metadata, self, &c, EFAULT);
}

TEST_F(rx, payload_array_write_protected_while_waiting_is_EFAULT)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGES(4)) }, before = iov[0];
	void *info = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct caller c = CALLER_READV(&self->z, iov, 1);

	c.readv.payloads = ZT_PTR(info);
	take_all(_metadata, self);
	caller_start(_metadata, &c);
	ASSERT_EQ(0, mprotect(info, ZT_PAGE, PROT_READ));
	woken(_metadata, self, &c, EFAULT);
	ASSERT_EQ(0, memcmp(&before, iov, sizeof(before)));
}

/* ---- limits ---- */

TEST_F(rx, limit_of_locked_memory_is_ENOBUFS)
{
	struct iovec iov[2];

	zt_limited(_metadata, 0);
	/* Who opens the context is charged. */
	zcio_close(self->z.ctx);
	self->z.ctx = zcio_open();
	ASSERT_NE(NULL, self->z.ctx);
	self->z.dev = zcio_ctx_fd(self->z.ctx);
	self->z.win = zt_window(_metadata, self->z.ctx, 64);
	self->z.keep = 0;
	iov[0] = zt_iov(self->z.win + ZT_PAGES(8), ZT_PAGES(2));
	iov[1] = zt_iov(self->z.win + ZT_PAGES(10), ZT_PAGES(2));
	READ_REFUSED(ENOBUFS, -1, iov);
}

TEST_HARNESS_MAIN
