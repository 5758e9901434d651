// SPDX-License-Identifier: GPL-2.0
/*
 * Stable and lasting, on the receiver's side: what zc_readv has given does not change,
 * whatever its sender does with the memory it came from, and stays when the socket or the
 * sender is gone. (What zc_writev has sent: stable.c; when the network device, its driver or
 * its namespace goes: lifetime.c.)
 *
 * timeout: 300
 */
#include <sys/sendfile.h>

#include "zt.h"

#define SCRIBBLE	0xee

#define KEEP_PAGES	(1 << 15)
#define KEEP_PAYLOADS	4096

FIXTURE(receiving) {
	struct zt z;
	struct iovec kept[KEEP_PAYLOADS];
	uint64_t sums[KEEP_PAYLOADS];
	size_t count;		/* payloads kept */
	size_t pages;		/* of the window that are used */
	size_t bytes;
	uint64_t mapped;
};

FIXTURE_VARIANT(receiving) {
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(receiving, lo) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(receiving, wire) { .path = ZT_WIRE4 };

FIXTURE_SETUP(receiving)
{
	zt_open(_metadata, &self->z, KEEP_PAGES, 0);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(receiving)
{
}

static uint64_t sum_of(const struct iovec *v)
{
	const unsigned char *p = v->iov_base;
	uint64_t sum = 14695981039346656037ULL;

	for (size_t i = 0; i < v->iov_len; i++)
		sum = (sum ^ p[i]) * 1099511628211ULL;
	return sum;
}

/* Receives up to @bytes more and keeps all of it; ends at the end of the stream too. */
static void keep(struct __test_metadata *_metadata, FIXTURE_DATA(receiving) *self, size_t bytes)
{
	struct zt *z = &self->z;
	size_t end = self->bytes + bytes;

	while (self->bytes < end && self->pages + 32 <= KEEP_PAGES) {
		struct zcio_payload info[4];
		struct iovec iov[4];
		int n;

		zt_regions(iov, z->win + ZT_PAGES(self->pages), 4, 8);
		n = zt_readv(z->dev, z->rx, iov, 4, info, 0);
		ASSERT_LE(0, n);
		if (!n)
			break;
		for (int i = 0; i < n; i++) {
			ASSERT_GT(KEEP_PAYLOADS, self->count);
			self->kept[self->count] = iov[i];
			self->sums[self->count++] = sum_of(&iov[i]);
			self->bytes += iov[i].iov_len;
			self->mapped += info[i].mapped;
		}
		/* Several payloads may lie in one region. */
		self->pages = ((char *)iov[n - 1].iov_base - z->win) / ZT_PAGES(8) * 8 + 8;
	}
}

/* What was kept is the stream that zt_fill makes. */
static void is_the_stream(struct __test_metadata *_metadata,
			  const FIXTURE_DATA(receiving) *self)
{
	uint64_t pos = 0;

	for (size_t i = 0; i < self->count; i++) {
		const struct iovec *v = &self->kept[i];

		ASSERT_EQ(v->iov_len, zt_same(v->iov_base, v->iov_len, pos)) {
			TH_LOG("payload %zu of %zu, at byte %zu", i, self->count,
			       zt_same(v->iov_base, v->iov_len, pos));
		}
		pos += v->iov_len;
	}
	ASSERT_EQ(self->bytes, pos);
}

/* Runs @send in a process of its own: it has the one end, this process the other. */
static pid_t sender(struct __test_metadata *_metadata, FIXTURE_DATA(receiving) *self,
		    void (*send)(struct __test_metadata *, int fd, int go, size_t bytes),
		    size_t bytes, int *go)
{
	int p[2];
	pid_t pid;

	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->z.rx);
		close(p[1]);
		send(_metadata, self->z.tx, p[0], bytes);
		_exit(0);
	}
	close(p[0]);
	close(self->z.tx);
	self->z.tx = -1;
	*go = p[1];
	return pid;
}

static void ended(struct __test_metadata *_metadata, pid_t pid)
{
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
}

/* The sender waits here until it is told to go on (the other end is closed). */
static void wait_go(int go)
{
	char c;

	while (read(go, &c, 1) > 0)
		;
}

/* A small pool, sent again and again, and after that written to all over. */
static void send_zc(struct __test_metadata *_metadata, int fd, int go, size_t bytes)
{
	struct zcio_ctx *ctx = zt_context();
	char *pool;

	ASSERT_NE(NULL, ctx);
	pool = zt_pool(_metadata, ctx, 64);
	for (size_t at = 0, round = 0; at < bytes; round++) {
		size_t len = round % 3 ? ZT_PAGES(16) : ZT_PAGES(15) + 1500;
		char *area = pool + ZT_PAGES(round % 4 * 16);
		struct iovec iov[1][2] = { { zt_iov(area, ZT_PAGES(16)), zt_iov(area, len) } };

		if (len > bytes - at)
			len = bytes - at;
		iov[0][1].iov_len = len;
		zt_fill(area, len, at);
		ASSERT_EQ(1, zt_writev(zcio_ctx_fd(ctx), fd, iov, 1, NULL, 0, NULL));
		memset(area, SCRIBBLE, ZT_PAGES(16));
		at += len;
	}
	wait_go(go);
	for (int round = 0; round < 4; round++)
		memset(pool, SCRIBBLE + round, ZT_PAGES(64));
}

/* A page that a receiver still has is not used again, though the pool is small. */
TEST_F(receiving, pages_that_a_receiver_holds_are_not_sent_again)
{
	size_t bytes = 4 << 20;
	int go;
	pid_t pid = sender(_metadata, self, send_zc, bytes, &go);

	keep(_metadata, self, bytes);
	ASSERT_EQ(bytes, self->bytes);
	is_the_stream(_metadata, self);
	close(go);
	ended(_metadata, pid);
	is_the_stream(_metadata, self);
	if (variant->path == ZT_LO4) {
		ASSERT_LT(0, self->mapped) TH_LOG("nothing was mapped, so nothing was tested");
	}
}

/* Whether two payloads lie in pages of their own. */
static bool apart(const struct iovec *a, const struct iovec *b)
{
	return ((uintptr_t)a->iov_base + a->iov_len - 1) / ZT_PAGE < (uintptr_t)b->iov_base / ZT_PAGE;
}

/* The same while the receiver lets go of every other payload: those come back. */
TEST_F(receiving, pages_are_sent_again_only_when_let_go)
{
	struct zt *z = &self->z;
	size_t half = 2 << 20, count;
	uint64_t pos = 0, mapped = 0;
	int go;
	pid_t pid = sender(_metadata, self, send_zc, 4 * half, &go);

	keep(_metadata, self, half);
	count = self->count;
	for (size_t i = 1; i < count; i += 2) {
		const struct iovec *v = &self->kept[i];
		char *page = (char *)((uintptr_t)v->iov_base & ~(ZT_PAGE - 1));

		/* What shares a page with a payload that stays, stays too. */
		if (apart(v - 1, v) && (i + 1 == count || apart(v, v + 1)))
			ASSERT_EQ(0, madvise(page, v->iov_len, MADV_DONTNEED));
	}
	/* More comes, into pages of the window that the kept payloads do not use. */
	for (pos = self->bytes; pos < 4 * half;) {
		struct iovec iov = zt_iov(z->win + ZT_PAGES(KEEP_PAGES - 32), ZT_PAGES(32));
		struct zcio_payload info;

		ASSERT_GE(KEEP_PAGES - 32, self->pages);
		ASSERT_EQ(1, zt_readv(z->dev, z->rx, &iov, 1, &info, 0));
		ASSERT_EQ(iov.iov_len, zt_same(iov.iov_base, iov.iov_len, pos));
		pos += iov.iov_len;
		mapped += info.mapped;
	}
	for (size_t i = 0; i < count; i += 2) {
		ASSERT_EQ(self->sums[i], sum_of(&self->kept[i])) TH_LOG("payload %zu", i);
	}
	close(go);
	ended(_metadata, pid);
	for (size_t i = 0; i < count; i += 2) {
		ASSERT_EQ(self->sums[i], sum_of(&self->kept[i])) TH_LOG("payload %zu, in the end", i);
	}
	if (variant->path == ZT_LO4) {
		ASSERT_LT(0, mapped);
	}
}

/* ---- all kinds of senders, who write to what they sent as soon as it was received ---- */

static void send_plain(struct __test_metadata *_metadata, int fd, int go, size_t bytes)
{
	char *buf = malloc(bytes);

	zt_fill(buf, bytes, 0);
	for (size_t at = 0; at < bytes;) {
		ssize_t n = send(fd, buf + at, bytes - at, 0);

		ASSERT_LT(0, n);
		at += n;
	}
	wait_go(go);
	memset(buf, SCRIBBLE, bytes);
	/* Other data goes through the same pages of the socket's and the device's. */
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 64; i++)
		if (send(fd, buf, bytes < 65536 ? bytes : 65536, MSG_DONTWAIT) < 0)
			break;
}

static void send_zerocopy(struct __test_metadata *_metadata, int fd, int go, size_t bytes)
{
	int one = 1;
	char *buf = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, buf);
	zt_fill(buf, bytes, 0);
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
	for (size_t at = 0; at < bytes;) {
		size_t len = bytes - at < 65536 ? bytes - at : 65536;
		ssize_t n = send(fd, buf + at, len, MSG_ZEROCOPY);

		if (n < 0 && errno == ENOBUFS)	/* too many notifications are due */
			n = send(fd, buf + at, len, 0);
		ASSERT_LT(0, n);
		at += n;
	}
	wait_go(go);
	memset(buf, SCRIBBLE, bytes);
}

/* A file in memory, written to later: its pages are in the page cache. */
static void send_file(struct __test_metadata *_metadata, int fd, int go, size_t bytes)
{
	int file = memfd_create("stable", MFD_CLOEXEC);
	off_t at = 0;
	char *map;

	ASSERT_EQ(0, ftruncate(file, bytes));
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, map);
	zt_fill(map, bytes, 0);
	while ((size_t)at < bytes) {
		ASSERT_LT(0, sendfile(fd, file, &at, bytes - at));
	}
	wait_go(go);
	memset(map, SCRIBBLE, bytes);
}

/* Memory put into a pipe and from there into the socket, by reference all the way. */
static void splice_all(struct __test_metadata *_metadata, int fd, char *buf, size_t bytes)
{
	int p[2];

	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	for (size_t at = 0; at < bytes;) {
		struct iovec v = zt_iov(buf + at, bytes - at);
		ssize_t n = vmsplice(p[1], &v, 1, 0);

		ASSERT_LT(0, n);
		at += n;
		while (n) {
			ssize_t m = splice(p[0], NULL, fd, NULL, n, 0);

			ASSERT_LT(0, m);
			n -= m;
		}
	}
	close(p[0]);
	close(p[1]);
}

static void send_splice(struct __test_metadata *_metadata, int fd, int go, size_t bytes)
{
	char *buf = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, buf);
	zt_fill(buf, bytes, 0);
	splice_all(_metadata, fd, buf, bytes);
	wait_go(go);
	memset(buf, SCRIBBLE, bytes);
}

/* A pool's page that is sent by an ordinary call: it stays in the pool, and writable. */
static void send_pool_plainly(struct __test_metadata *_metadata, int fd, int go, size_t bytes)
{
	struct zcio_ctx *ctx = zt_context();
	char *pool;

	ASSERT_NE(NULL, ctx);
	pool = zt_pool(_metadata, ctx, bytes / ZT_PAGE + 1);
	zt_fill(pool, bytes, 0);
	splice_all(_metadata, fd, pool, bytes);
	wait_go(go);
	memset(pool, SCRIBBLE, bytes);
}

FIXTURE(senders) {
	FIXTURE_DATA(receiving) r;
};

FIXTURE_VARIANT(senders) {
	enum zt_path path;
	void (*send)(struct __test_metadata *, int fd, int go, size_t bytes);
};

FIXTURE_VARIANT_ADD(senders, lo_zc) { .path = ZT_LO6, .send = send_zc };
FIXTURE_VARIANT_ADD(senders, lo_plain) { .path = ZT_LO6, .send = send_plain };
FIXTURE_VARIANT_ADD(senders, lo_zerocopy) { .path = ZT_LO6, .send = send_zerocopy };
FIXTURE_VARIANT_ADD(senders, lo_file) { .path = ZT_LO6, .send = send_file };
FIXTURE_VARIANT_ADD(senders, lo_splice) { .path = ZT_LO6, .send = send_splice };
FIXTURE_VARIANT_ADD(senders, lo_pool_plainly) { .path = ZT_LO6, .send = send_pool_plainly };
FIXTURE_VARIANT_ADD(senders, wire_zc) { .path = ZT_WIRE6, .send = send_zc };
FIXTURE_VARIANT_ADD(senders, wire_plain) { .path = ZT_WIRE6, .send = send_plain };
FIXTURE_VARIANT_ADD(senders, wire_zerocopy) { .path = ZT_WIRE6, .send = send_zerocopy };
FIXTURE_VARIANT_ADD(senders, wire_file) { .path = ZT_WIRE6, .send = send_file };

FIXTURE_SETUP(senders)
{
	zt_open(_metadata, &self->r.z, KEEP_PAGES, 0);
	zt_tcp(_metadata, variant->path, &self->r.z.rx, &self->r.z.tx);
}

FIXTURE_TEARDOWN(senders)
{
}

TEST_F(senders, payloads_stay_when_the_sender_writes_and_ends)
{
	size_t bytes = 1 << 20;
	int go;
	pid_t pid = sender(_metadata, &self->r, variant->send, bytes, &go);

	keep(_metadata, &self->r, bytes);
	ASSERT_EQ(bytes, self->r.bytes);
	is_the_stream(_metadata, &self->r);
	close(go);
	ended(_metadata, pid);
	is_the_stream(_metadata, &self->r);
	close(self->r.z.rx);
	is_the_stream(_metadata, &self->r);
	zcio_close(self->r.z.ctx);
	is_the_stream(_metadata, &self->r);
}

TEST_HARNESS_MAIN
