// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_readv promises of a good call: where the bytes end up and what is around them,
 * order beside recv(), SO_RCVLOWAT, urgent data, writable windows, senders whose pages
 * must not be shown, the copy threshold, and the counters. Over the loopback device and
 * over the guest's network devices.
 */
#include <linux/sockios.h>
#include <sys/sendfile.h>

#include "caller.h"

#define WINDOW	1100

FIXTURE(rx)
{
	struct zt z;
	uint64_t sent, got;		/* positions in the stream */
	uint64_t mapped, copied, calls, payloads;
	uint64_t why[16];
	uint32_t seen;			/* all reasons of the last call */
};

FIXTURE_VARIANT(rx)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(rx, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(rx, lo6) { .path = ZT_LO6 };
FIXTURE_VARIANT_ADD(rx, wire4) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(rx, wire6) { .path = ZT_WIRE6 };

FIXTURE_SETUP(rx)
{
	zt_open(_metadata, &self->z, WINDOW, 0);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(rx)
{
	zcio_close(self->z.ctx);
}

typedef FIXTURE_DATA(rx) rx;

static void put(struct __test_metadata *_metadata, rx *self, size_t len)
{
	zt_send(_metadata, self->z.tx, len, self->sent);
	self->sent += len;
	zt_arrived(_metadata, self->z.rx, self->sent - self->got);
}

/*
 * One call. Every payload must lie inside the whole pages of a region, hold the right
 * bytes, and have zeros around it there; the other regions are empty and their
 * elements untouched. Returns the bytes received.
 */
static size_t take(struct __test_metadata *_metadata, rx *self, struct iovec *iov, int count)
{
	struct iovec *regions = malloc(count * sizeof(*iov));
	struct zcio_payload *info = calloc(count, sizeof(*info));
	size_t bytes = 0;
	int n;

	memcpy(regions, iov, count * sizeof(*iov));
	n = zt_take(_metadata, self->z.dev, self->z.rx, regions, count, iov, info, 0);
	ASSERT_LT(0, n) TH_LOG("%s", strerror(-n));
	self->seen = 0;
	for (int i = 0; i < n; i++) {
		char *at = iov[i].iov_base;
		size_t len = iov[i].iov_len;

		ASSERT_EQ(len, info[i].mapped + info[i].copied);
		ASSERT_EQ(!info[i].copied, !info[i].why);
		ASSERT_EQ(0, info[i].flags);
		ASSERT_EQ(sizeof(info->reserved), zt_zeros(info[i].reserved, sizeof(info->reserved)));
		ASSERT_EQ(len, zt_same(at, len, self->got));
		self->got += len;
		self->mapped += info[i].mapped;
		self->copied += info[i].copied;
		self->seen |= info[i].why;
		bytes += len;
	}
	ASSERT_GE(self->sent, self->got);
	self->calls++;
	self->payloads += n;
	free(regions);
	free(info);
	return bytes;
}

/* Takes all there is into @pages pages from page @page on. */
static void take_all(struct __test_metadata *_metadata, rx *self, size_t page, size_t pages)
{
	while (self->got < self->sent) {
		struct iovec iov[4];

		for (int i = 0; i < 4; i++)
			iov[i] = zt_iov(self->z.win + ZT_PAGES(page + i * pages / 4),
					ZT_PAGES(pages / 4));
		take(_metadata, self, iov, 4);
	}
}

TEST_F(rx, data_ends_up_in_the_region)
{
	static const size_t sizes[] = { 1, 2, 1000, 1448, 4095, 4096, 4097, 8192, 9000, 20000, 65536 };

	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		put(_metadata, self, sizes[i]);
		take_all(_metadata, self, 0, 80);
	}
}

TEST_F(rx, unaligned_region_uses_its_whole_pages)
{
	char *w = self->z.win;
	struct iovec iov[2] = { zt_iov(w + ZT_PAGES(8) + 100, ZT_PAGES(4) - 100),
				zt_iov(w + ZT_PAGES(16) + 4095, ZT_PAGES(4) + 5) };
	char *before, *behind;

	/* Payloads right before and right behind stay. */
	put(_metadata, self, 3000);
	take_all(_metadata, self, 4, 4);
	put(_metadata, self, 3000);
	take_all(_metadata, self, 12, 4);
	before = malloc(ZT_PAGES(4));
	behind = malloc(ZT_PAGES(4));
	memcpy(before, w + ZT_PAGES(4), ZT_PAGES(4));
	memcpy(behind, w + ZT_PAGES(12), ZT_PAGES(4));
	put(_metadata, self, 10000);
	take(_metadata, self, iov, 2);
	ASSERT_EQ(0, memcmp(before, w + ZT_PAGES(4), ZT_PAGES(4)));
	ASSERT_EQ(0, memcmp(behind, w + ZT_PAGES(12), ZT_PAGES(4)));
	take_all(_metadata, self, 20, 16);
}

TEST_F(rx, elements_without_a_payload_are_untouched)
{
	struct iovec iov[8];

	for (int i = 0; i < 8; i++)
		iov[i] = zt_iov(self->z.win + ZT_PAGES(4 * i), ZT_PAGES(4) - i);
	put(_metadata, self, 100);
	ASSERT_EQ(100, take(_metadata, self, iov, 8));
	ASSERT_EQ(1, self->payloads);
}

TEST_F(rx, older_content_of_all_regions_is_gone)
{
	char *w = self->z.win;
	struct iovec iov[4];

	for (int i = 0; i < 8; i++) {
		put(_metadata, self, 6000);
		take_all(_metadata, self, 4 * i, 4);
	}
	zt_regions(iov, w, 4, 8);
	put(_metadata, self, 10);
	/* take() looks for zeros everywhere else. */
	ASSERT_EQ(10, take(_metadata, self, iov, 4));
	ASSERT_EQ(1, zt_info(_metadata, self->z.ctx).window_pages);
}

/* What lies in the other part of such a page lasts: its region was not given. */
TEST_F(rx, page_that_a_region_cuts_is_left_as_it_is)
{
	static char before[ZT_PAGE];
	char *w = self->z.win;
	struct iovec iov[1] = { zt_iov(w + 10, ZT_PAGES(2)) };

	put(_metadata, self, 1000);
	take_all(_metadata, self, 0, 4);
	memcpy(before, w, ZT_PAGE);
	put(_metadata, self, 10);
	take(_metadata, self, iov, 1);
	ASSERT_EQ(0, memcmp(before, w, ZT_PAGE));
}

TEST_F(rx, regions_that_are_full_leave_the_rest_queued)
{
	struct iovec iov[1] = { zt_iov(self->z.win, ZT_PAGE) };

	put(_metadata, self, 30000);
	ASSERT_GE(ZT_PAGE, take(_metadata, self, iov, 1));
	zt_recv(_metadata, self->z.rx, 100, self->got);
	self->got += 100;
	take_all(_metadata, self, 16, 8);
	zt_nothing(_metadata, self->z.rx);
}

TEST_F(rx, count_1024)
{
	static struct iovec iov[ZCIO_MAX_ELEMENTS];
	struct zt_stream s = { .fd = self->z.tx, .sends = true, .len = 2 << 20 };

	zt_stream_start(_metadata, &s);
	self->sent = 2 << 20;
	while (self->got < self->sent) {
		zt_regions(iov, self->z.win, ZCIO_MAX_ELEMENTS, 1);
		take(_metadata, self, iov, ZCIO_MAX_ELEMENTS);
	}
	zt_stream_join(_metadata, &s);
}

TEST_F(rx, order_beside_recv_is_kept)
{
	struct zt_stream s = { .fd = self->z.tx, .sends = true, .len = 600000 };
	size_t step = 1;

	zt_stream_start(_metadata, &s);
	self->sent = 600000;
	while (self->got < self->sent) {
		struct iovec iov[3];
		size_t plain = step = (step * 31 + 7) % 9001 + 1;

		if (plain > self->sent - self->got)
			plain = self->sent - self->got;
		zt_recv(_metadata, self->z.rx, plain, self->got);
		self->got += plain;
		if (self->got == self->sent)
			break;
		for (int i = 0; i < 3; i++)
			iov[i] = zt_iov(self->z.win + ZT_PAGES(10 * i), ZT_PAGES(1 + step % 7));
		take(_metadata, self, iov, 3);
	}
	zt_stream_join(_metadata, &s);
}

TEST_F(rx, recv_with_MSG_PEEK_takes_nothing_away)
{
	char buf[2000];

	put(_metadata, self, 9000);
	ASSERT_EQ(2000, recv(self->z.rx, buf, sizeof(buf), MSG_PEEK));
	ASSERT_EQ(2000, zt_same(buf, 2000, 0));
	take_all(_metadata, self, 0, 16);
	zt_nothing(_metadata, self->z.rx);
}

TEST_F(rx, SO_RCVLOWAT_is_respected)
{
	struct iovec iov[8];
	struct caller c = CALLER_READV(&self->z, iov, 8);
	int low = 6000, n;
	size_t got = 0;

	zt_regions(iov, self->z.win, 8, 4);
	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)));
	put(_metadata, self, 1000);
	caller_start(_metadata, &c);
	put(_metadata, self, 1000);
	zt_asleep(_metadata, c.tid);
	zt_send(_metadata, self->z.tx, 4000, self->sent);
	n = caller_join(_metadata, &c);
	ASSERT_LT(0, n);
	for (int i = 0; i < n; i++) {
		ASSERT_EQ(iov[i].iov_len, zt_same(iov[i].iov_base, iov[i].iov_len, got));
		got += iov[i].iov_len;
	}
	ASSERT_EQ(6000, got);
}

TEST_F(rx, SO_RCVLOWAT_above_the_regions_does_not_wait_for_ever)
{
	struct iovec iov[1] = { zt_iov(self->z.win, ZT_PAGE) };
	int low = 100000;

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)));
	put(_metadata, self, 5000);
	take(_metadata, self, iov, 1);
}

/* The same bytes in the same pieces as recv(), on a second connection. */
static void urgent(struct __test_metadata *_metadata, rx *self, enum zt_path path, int in_line)
{
	struct iovec iov[8];
	char mark[2], buf[20000];
	int rx2, tx2, n, at, at2;

	zt_tcp(_metadata, path, &rx2, &tx2);
	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof(in_line)));
	ASSERT_EQ(0, setsockopt(rx2, SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof(in_line)));
	for (int i = 0; i < 2; i++) {
		int fd = i ? tx2 : self->z.tx;

		zt_fill(buf, 12001, 0);
		ASSERT_EQ(6001, send(fd, buf, 6001, MSG_OOB));
		ASSERT_EQ(6000, send(fd, buf + 6001, 6000, 0));
		zt_acked(_metadata, fd);
	}
	for (int piece = 0; piece < 2; piece++) {
		size_t got = 0;

		/* recv() stops at the mark; so must zc_readv, however many regions it takes. */
		n = recv(rx2, buf, sizeof(buf), 0);
		ASSERT_LT(0, n);
		while (got < n) {
			struct iovec regions[8];
			int count;

			zt_regions(regions, self->z.win, 8, 4);
			count = zt_take(_metadata, self->z.dev, self->z.rx, regions, 8, iov, NULL, 0);
			ASSERT_LT(0, count);
			for (int i = 0; i < count; i++) {
				ASSERT_GE(n - got, iov[i].iov_len);
				ASSERT_EQ(0, memcmp(iov[i].iov_base, buf + got, iov[i].iov_len));
				got += iov[i].iov_len;
			}
		}
		ASSERT_EQ(0, ioctl(self->z.rx, SIOCATMARK, &at));
		ASSERT_EQ(0, ioctl(rx2, SIOCATMARK, &at2));
		ASSERT_EQ(at2, at);
		if (!piece && !in_line) {
			ASSERT_EQ(recv(rx2, &mark[0], 1, MSG_OOB), recv(self->z.rx, &mark[1], 1, MSG_OOB));
			ASSERT_EQ(mark[0], mark[1]);
		}
	}
	zt_nothing(_metadata, rx2);
	zt_nothing(_metadata, self->z.rx);
}

TEST_F(rx, urgent_byte_is_skipped)
{
	urgent(_metadata, self, variant->path, 0);
}

TEST_F(rx, urgent_byte_in_line_with_SO_OOBINLINE)
{
	urgent(_metadata, self, variant->path, 1);
}

TEST_F(rx, half_closed_connection_goes_on_the_other_way)
{
	struct iovec iov[1] = { zt_iov(self->z.win, ZT_PAGE) };

	put(_metadata, self, 5000);
	ASSERT_EQ(0, shutdown(self->z.tx, SHUT_WR));
	take_all(_metadata, self, 0, 16);
	ASSERT_EQ(0, zc_readv(self->z.rx, iov, 1));
	zt_send(_metadata, self->z.rx, 5000, 1);
	zt_recv(_metadata, self->z.tx, 5000, 1);
}

TEST_F(rx, writable_window_can_be_written_and_hurts_nobody)
{
	char *ro = self->z.win, *rw = zcio_window(self->z.ctx, ZT_PAGES(64), ZCIO_WINDOW_WRITABLE);

	ASSERT_NE(NULL, rw);
	for (int round = 0; round < 10; round++) {
		put(_metadata, self, 20000);
		self->z.win = ro;
		take_all(_metadata, self, 0, 16);
		put(_metadata, self, 20000);
		self->z.win = rw;
		while (self->got < self->sent) {
			struct iovec iov[1] = { zt_iov(rw, ZT_PAGES(8)) };

			take(_metadata, self, iov, 1);
			memset(iov[0].iov_base, 0xff, iov[0].iov_len);
			memset(rw, 0xff, ZT_PAGES(8));
		}
	}
	self->z.win = ro;
	put(_metadata, self, 60000);
	take_all(_metadata, self, 0, 80);
}

TEST_F(rx, copy_threshold)
{
	uint32_t large = zt_brings_pages(variant->path) ? 0 : ZCIO_WHY_SMALL;

	zt_threshold(_metadata, self->z.ctx, 8000);
	ASSERT_EQ(8000, zt_info(_metadata, self->z.ctx).copy_threshold);
	put(_metadata, self, 7999);
	take(_metadata, self, &zt_iov(self->z.win, ZT_PAGES(4)), 1);
	ASSERT_EQ(0, self->mapped);
	ASSERT_EQ(7999, self->copied);
	ASSERT_EQ(ZCIO_WHY_SMALL, self->seen);
	put(_metadata, self, 20000);
	take(_metadata, self, &zt_iov(self->z.win, ZT_PAGES(4)), 1);
	ASSERT_EQ(large, self->seen & ZCIO_WHY_SMALL);
	/* However much there is: it is what the call can take that counts. */
	take_all(_metadata, self, 0, 80);
	put(_metadata, self, 20000);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(4096, take(_metadata, self, &zt_iov(self->z.win, ZT_PAGES(1)), 1));
		ASSERT_EQ(ZCIO_WHY_SMALL, self->seen);
	}
	take(_metadata, self, &zt_iov(self->z.win, ZT_PAGES(8)), 1);
	ASSERT_EQ(large, self->seen & ZCIO_WHY_SMALL);
}

TEST_F(rx, pieces_below_a_page_are_copied)
{
	ASSERT_EQ(0, setsockopt(self->z.tx, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)));
	for (int i = 0; i < 2; i++) {
		zt_threshold(_metadata, self->z.ctx, i ? 0 : 8000);
		take_all(_metadata, self, 0, 80);
		/* Each is there before the next is sent, so none are sent as one. */
		for (int j = 0; j < 10; j++)
			put(_metadata, self, 1000);
		take(_metadata, self, &zt_iov(self->z.win, ZT_PAGES(4)), 1);
		ASSERT_EQ(i ? 0 : ZCIO_WHY_SMALL, self->seen & ZCIO_WHY_SMALL);
		ASSERT_TRUE(i || self->sent == self->got);
	}
}

/* Copies by the call go on where the last ones ended, in the page and from one to the next. */
TEST_F(rx, few_bytes_fill_the_regions_one_after_the_other)
{
	struct iovec iov[3];

	zt_threshold(_metadata, self->z.ctx, 1 << 30);
	for (int i = 0; i < 3; i++) {
		put(_metadata, self, 20000);
		for (int j = 0; j < 3; j++)
			iov[j] = zt_iov(self->z.win + ZT_PAGES(3 * j), ZT_PAGES(1 + j % 2));
		ASSERT_EQ(ZT_PAGES(4), take(_metadata, self, iov, 3));
		ASSERT_EQ(ZCIO_WHY_SMALL, self->seen);
		for (int j = 0; j < 3; j++) {
			ASSERT_EQ(self->z.win + ZT_PAGES(3 * j), (char *)iov[j].iov_base);
			ASSERT_EQ(ZT_PAGES(1 + j % 2), iov[j].iov_len);
		}
		for (int j = 0; j < 3; j++)
			iov[j] = zt_iov(self->z.win + ZT_PAGES(3 * j), ZT_PAGES(1 + j % 2));
		ASSERT_EQ(20000 - ZT_PAGES(4), take(_metadata, self, iov, 3));
		ASSERT_EQ(0, self->mapped);
	}
}

static uint64_t fdinfo(struct __test_metadata *_metadata, int fd, const char *name)
{
	char path[64], line[256];
	uint64_t value = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		size_t n = strlen(name);

		if (!strncmp(line, name, n) && line[n] == ':')
			value = strtoull(line + n + 1, NULL, 10);
	}
	fclose(f);
	return value;
}

TEST_F(rx, counters_are_what_was_moved)
{
	struct zt_stream s = { .fd = self->z.tx, .sends = true, .len = 400000 };
	uint64_t why = 0;
	struct zcio_info info;

	zt_stream_start(_metadata, &s);
	self->sent = 400000;
	take_all(_metadata, self, 0, 40);
	zt_stream_join(_metadata, &s);
	info = zt_info(_metadata, self->z.ctx);
	ASSERT_EQ(self->calls, info.rx.calls);
	ASSERT_EQ(self->payloads, info.rx.payloads);
	ASSERT_EQ(self->mapped, info.rx.mapped);
	ASSERT_EQ(self->copied, info.rx.copied);
	ASSERT_EQ(400000, info.rx.mapped + info.rx.copied);
	for (int i = 0; i < 16; i++) {
		char name[64];

		why += info.rx.why[i];
		if (info.rx.why[i]) {
			snprintf(name, sizeof(name), "zcio-rx-copied-%s", zcio_why(i));
			ASSERT_EQ(info.rx.why[i], fdinfo(_metadata, self->z.dev, name));
		}
	}
	ASSERT_EQ(self->copied, why);
	ASSERT_EQ(self->calls, fdinfo(_metadata, self->z.dev, "zcio-rx-calls"));
	ASSERT_EQ(self->payloads, fdinfo(_metadata, self->z.dev, "zcio-rx-payloads"));
	ASSERT_EQ(self->mapped, fdinfo(_metadata, self->z.dev, "zcio-rx-mapped"));
	ASSERT_EQ(self->copied, fdinfo(_metadata, self->z.dev, "zcio-rx-copied"));
	ASSERT_EQ(info.window_pages, fdinfo(_metadata, self->z.dev, "zcio-window-pages"));
	ASSERT_EQ(0, fdinfo(_metadata, self->z.dev, "zcio-tx-calls"));
}

/* ---- senders that can still write to what they sent; only over loopback do their
 * pages reach the receiver
 */

FIXTURE(sender)
{
	FIXTURE_DATA(rx) r;
};

FIXTURE_SETUP(sender)
{
	zt_open(_metadata, &self->r.z, WINDOW, 0);
	zt_tcp(_metadata, ZT_LO4, &self->r.z.rx, &self->r.z.tx);
}

FIXTURE_TEARDOWN(sender)
{
	zcio_close(self->r.z.ctx);
}

TEST_F(sender, pages_of_a_file_are_never_shown)
{
	struct zt *z = &self->r.z;
	int fd = memfd_create("zt", MFD_CLOEXEC);
	char *file;
	off_t at = 0;

	ASSERT_EQ(0, ftruncate(fd, ZT_PAGES(8)));
	file = mmap(NULL, ZT_PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, file);
	zt_fill(file, ZT_PAGES(8), 0);
	ASSERT_EQ((ssize_t)ZT_PAGES(8), sendfile(z->tx, fd, &at, ZT_PAGES(8)));
	self->r.sent = ZT_PAGES(8);
	zt_arrived(_metadata, z->rx, ZT_PAGES(8));
	take(_metadata, &self->r, &zt_iov(z->win, ZT_PAGES(16)), 1);
	ASSERT_EQ(ZT_PAGES(8), self->r.got);
	ASSERT_EQ(0, self->r.mapped);
	ASSERT_EQ(ZCIO_WHY_FILE, self->r.seen);
	for (int i = 0; i < 16; i++) {
		uint64_t pfn = zt_pfn(_metadata, z->win + ZT_PAGES(i));

		for (int j = 0; j < 8; j++) {
			ASSERT_TRUE(!pfn || pfn != zt_pfn(_metadata, file + ZT_PAGES(j)));
		}
	}
	memset(file, 0xff, ZT_PAGES(8));
	ASSERT_EQ(ZT_PAGES(8), zt_same(z->win, ZT_PAGES(8), 0));
}

TEST_F(sender, pages_that_the_sender_can_write_are_never_shown)
{
	struct zt *z = &self->r.z;
	char *own = mmap(NULL, ZT_PAGES(8), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct iovec v = zt_iov(own, ZT_PAGES(8));
	int p[2];

	ASSERT_NE(MAP_FAILED, own);
	zt_fill(own, ZT_PAGES(8), 0);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ((ssize_t)ZT_PAGES(8), vmsplice(p[1], &v, 1, 0));
	ASSERT_EQ((ssize_t)ZT_PAGES(8), splice(p[0], NULL, z->tx, NULL, ZT_PAGES(8), 0));
	self->r.sent = ZT_PAGES(8);
	zt_arrived(_metadata, z->rx, ZT_PAGES(8));
	take(_metadata, &self->r, &zt_iov(z->win, ZT_PAGES(16)), 1);
	ASSERT_EQ(ZT_PAGES(8), self->r.got);
	ASSERT_EQ(0, self->r.mapped);
	ASSERT_EQ(ZCIO_WHY_WRITABLE, self->r.seen);
	memset(own, 0xff, ZT_PAGES(8));
	ASSERT_EQ(ZT_PAGES(8), zt_same(z->win, ZT_PAGES(8), 0));
}

/* A pool page that went into a pipe by reference can be written by its owner. */
TEST_F(sender, pool_pages_spliced_by_the_sender_are_never_shown)
{
	struct zt *z = &self->r.z;
	struct iovec v;
	int p[2];

	z->pool = zt_pool(_metadata, z->ctx, 8);
	v = zt_iov(z->pool, ZT_PAGES(8));
	zt_fill(z->pool, ZT_PAGES(8), 0);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ((ssize_t)ZT_PAGES(8), vmsplice(p[1], &v, 1, 0));
	ASSERT_EQ((ssize_t)ZT_PAGES(8), splice(p[0], NULL, z->tx, NULL, ZT_PAGES(8), 0));
	self->r.sent = ZT_PAGES(8);
	zt_arrived(_metadata, z->rx, ZT_PAGES(8));
	take(_metadata, &self->r, &zt_iov(z->win, ZT_PAGES(16)), 1);
	ASSERT_EQ(0, self->r.mapped);
	memset(z->pool, 0xff, ZT_PAGES(8));
	ASSERT_EQ(ZT_PAGES(8), zt_same(z->win, ZT_PAGES(8), 0));
}

TEST_F(sender, MSG_ZEROCOPY_writes_afterwards_are_not_seen)
{
	struct zt *z = &self->r.z;
	char *own = mmap(NULL, ZT_PAGES(8), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int one = 1;

	ASSERT_NE(MAP_FAILED, own);
	zt_fill(own, ZT_PAGES(8), 0);
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
	ASSERT_EQ((ssize_t)ZT_PAGES(8), send(z->tx, own, ZT_PAGES(8), MSG_ZEROCOPY));
	self->r.sent = ZT_PAGES(8);
	zt_arrived(_metadata, z->rx, ZT_PAGES(8));
	take_all(_metadata, &self->r, 0, 64);
	/* take_all() may reuse its regions: the last payload is what counts. */
	memset(own, 0xff, ZT_PAGES(8));
	put(_metadata, &self->r, 100);
	take_all(_metadata, &self->r, 64, 4);
}

TEST_HARNESS_MAIN
