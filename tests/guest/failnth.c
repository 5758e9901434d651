// SPDX-License-Identifier: GPL-2.0
/*
 * Every call with every one of its allocations and copies failing once: the kernel's
 * fail-nth makes the n-th of them fail, n rising from 1 until a call needed fewer. A
 * call that fails says why with a proper errno; and whether it failed or got along
 * without, afterwards nothing is leaked, lost or half-sent.
 *
 * Needs a kernel with fault injection (KERNEL=debug); skipped elsewhere.
 *
 * timeout: 600
 */
#include <linux/sockios.h>

#include "zt.h"

/* No call comes near this; what does has an endless loop. */
#define MOST	2000

static const char *const debugfs = "/sys/kernel/debug/";

static bool set(const char *name, const char *value)
{
	char path[128];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%s%s", debugfs, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = write(fd, value, strlen(value));
		close(fd);
	}
	return n > 0;
}

/* By default the allocations that may wait, which are nearly all, never fail. */
static bool prepare(void)
{
	return set("failslab/ignore-gfp-wait", "N") && set("failslab/verbose", "0") &&
	       set("fail_page_alloc/ignore-gfp-wait", "N") &&
	       set("fail_page_alloc/ignore-gfp-highmem", "N") &&
	       set("fail_page_alloc/min-order", "0") && set("fail_page_alloc/verbose", "0") &&
	       set("fail_usercopy/verbose", "0");
}

FIXTURE(nth)
{
	struct zt z;
	int fd;			/* fail-nth of this process */
	unsigned int n;
	unsigned int errors;	/* calls that failed */
	struct zcio_ctx *watch;	/* another context, to see what all hold together */
	struct zcio_info base;	/* what they held before the test */
};

FIXTURE_SETUP(nth)
{
	self->fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (self->fd < 0)
		SKIP(return, "the kernel has no /proc/PID/fail-nth (CONFIG_FAULT_INJECTION)");
	if (!prepare())
		SKIP(return, "failslab, fail_page_alloc or fail_usercopy is not in debugfs");
	self->watch = zcio_open();
	ASSERT_NE(NULL, self->watch);
	self->base = zt_info(_metadata, self->watch);
}

/* Waits a little (pages may be on their way) until all hold what they held before. */
static void settled(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self)
{
	struct zcio_info info;

	for (int i = 0; i < 500; i++) {
		info = zt_info(_metadata, self->watch);
		if (info.total_window_pages == self->base.total_window_pages &&
		    info.total_pool_pages == self->base.total_pool_pages)
			return;
		usleep(10000);
	}
	ASSERT_EQ(self->base.total_window_pages, info.total_window_pages) {
		TH_LOG("failure %u: pages leaked", self->n);
	}
	ASSERT_EQ(self->base.total_pool_pages, info.total_pool_pages) {
		TH_LOG("failure %u: pages leaked", self->n);
	}
}

/* All that was opened and mapped is gone, and with it what was held for it. */
FIXTURE_TEARDOWN(nth)
{
	if (!self->watch)
		return;
	settled(_metadata, self);
	EXPECT_EQ(self->base.total_contexts, zt_info(_metadata, self->watch).total_contexts);
	zcio_close(self->watch);
}

static void arm(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	ASSERT_GT(MOST, n) TH_LOG("the call needs more than %u allocations and copies?", MOST);
	self->n = n;
	ASSERT_EQ(len, pwrite(self->fd, text, len, 0));
}

/*
 * No more failures from here on. True if the one that was asked for has happened in the
 * call: its count is then at zero. Asking is a copy too, which can be the n-th.
 */
static bool disarm(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self)
{
	char text[16] = "";
	int saved = errno;
	bool after = false;
	ssize_t n = pread(self->fd, text, sizeof(text) - 1, 0);

	if (n < 0 && errno == EFAULT)
		after = true;
	else
		ASSERT_LT(0, n);
	if (pwrite(self->fd, "0", 1, 0) != 1) {
		ASSERT_EQ(EFAULT, errno);
		after = true;
		ASSERT_EQ(1, pwrite(self->fd, "0", 1, 0));
	}
	errno = saved;
	return !after && !strcmp(text, "0\n");
}

/* What memory and copies that fail may be answered with. */
static void proper(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self, int err)
{
	self->errors++;
	ASSERT_TRUE(err == ENOMEM || err == EFAULT || err == ENOBUFS) {
		TH_LOG("failure %u: %s", self->n, strerror(err));
	}
}

/* Had nothing failed, this would have tested nothing. */
static void swept(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self, const char *what)
{
	TH_LOG("%s: %u places, of which %u failed the call", what, self->n - 1, self->errors);
	EXPECT_LT(0, self->errors);
	self->errors = 0;
}

/* Calls @call with each failure, after @before; @failed looks at what a failure left. */
#define SWEEP(what, before, call, failed, done) do {			\
	bool hit_;							\
	unsigned int n_ = 0;						\
									\
	do {								\
		long ret_;						\
									\
		before;							\
		arm(_metadata, self, ++n_);				\
		ret_ = (long)(call);					\
		hit_ = disarm(_metadata, self);				\
		if (ret_ < 0) {						\
			int err_ = errno;				\
									\
			ASSERT_TRUE(hit_) TH_LOG("%s: %s", what, strerror(err_)); \
			proper(_metadata, self, err_);			\
			failed;						\
		} else {						\
			done;						\
		}							\
	} while (hit_);							\
	swept(_metadata, self, what);					\
} while (0)

TEST_F(nth, open)
{
	int fd;

	SWEEP("open", , fd = open("/dev/zcio", O_RDWR | O_CLOEXEC),
	      ASSERT_EQ(self->base.total_contexts, zt_info(_metadata, self->watch).total_contexts),
	      close(fd));
}

TEST_F(nth, info)
{
	struct zcio_info before, info;

	zt_open(_metadata, &self->z, 4, 4);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
	before = zt_info(_metadata, self->z.ctx);
	SWEEP("info", info = (struct zcio_info){ .fd = -1 },
	      ioctl(self->z.dev, ZCIO_IOC_INFO, &info),
	      , ASSERT_EQ(-1, info.fd));
	SWEEP("info of a socket", info = (struct zcio_info){ .fd = self->z.rx },
	      ioctl(self->z.dev, ZCIO_IOC_INFO, &info),
	      , ASSERT_EQ(self->z.rx, info.fd));
	info = zt_info(_metadata, self->z.ctx);
	EXPECT_EQ(0, memcmp(&before, &info, sizeof(info)));
	munmap(self->z.win, ZT_PAGES(4));
	munmap(self->z.pool, ZT_PAGES(4));
	zcio_close(self->z.ctx);
}

TEST_F(nth, tune)
{
	struct zcio_tune tune = { .copy_threshold = 77 };

	zt_open(_metadata, &self->z, 0, 0);
	SWEEP("tune", , ioctl(self->z.dev, ZCIO_IOC_TUNE, &tune),
	      ASSERT_NE(77, zt_info(_metadata, self->z.ctx).copy_threshold), );
	EXPECT_EQ(77, zt_info(_metadata, self->z.ctx).copy_threshold);
	zcio_close(self->z.ctx);
}

/* A mapping that failed holds nothing, one that did not works, and goes as a whole. */
static void mapping(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self, const char *what,
		    size_t pages, int prot, uint64_t offset)
{
	uint64_t kept = offset == ZCIO_MMAP_POOL ? pages : 0;
	struct zcio_info info;
	char *p;

	zt_open(_metadata, &self->z, 0, 0);
	SWEEP(what, , ((p = mmap(NULL, ZT_PAGES(pages), prot, MAP_SHARED, self->z.dev,
			       (off_t)offset)) == MAP_FAILED ? -1 : 0),
	      settled(_metadata, self),
	      ({
		      info = zt_info(_metadata, self->z.ctx);
		      ASSERT_EQ(kept, info.pool_pages + info.window_pages);
		      ASSERT_EQ(ZT_PAGES(pages), zt_zeros(p, ZT_PAGES(pages)));
		      if (prot & PROT_WRITE)
			      memset(p, 1, ZT_PAGES(pages));
		      ASSERT_EQ(0, munmap(p, ZT_PAGES(pages)));
		      settled(_metadata, self);
	      }));
	zcio_close(self->z.ctx);
}

#define RW (PROT_READ | PROT_WRITE)

TEST_F(nth, mmap_window)
{
	mapping(_metadata, self, "window", 5, PROT_READ, ZCIO_MMAP_WINDOW);
}

TEST_F(nth, mmap_writable_window)
{
	mapping(_metadata, self, "writable window", 5, RW, ZCIO_MMAP_WINDOW);
}

TEST_F(nth, mmap_pool)
{
	mapping(_metadata, self, "pool", 5, RW, ZCIO_MMAP_POOL);
}

/* A page fault that finds no memory is tried again: no signal, and no page is lost. */
static void touch(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self, int prot)
{
	unsigned int n = 0;
	bool hit;

	zt_open(_metadata, &self->z, 0, 0);
	do {
		char *p = mmap(NULL, ZT_PAGES(600), prot, MAP_SHARED, self->z.dev,
			       (off_t)ZCIO_MMAP_WINDOW);
		volatile char *at = p + ZT_PAGES(300);
		struct zcio_info info;

		ASSERT_NE(MAP_FAILED, p);
		arm(_metadata, self, ++n);
		if (prot & PROT_WRITE)
			*at = 7;
		else
			ASSERT_EQ(0, *at);
		hit = disarm(_metadata, self);
		ASSERT_EQ(prot & PROT_WRITE ? 7 : 0, *at);
		info = zt_info(_metadata, self->z.ctx);
		ASSERT_EQ(prot & PROT_WRITE ? 1 : 0, info.window_pages);
		ASSERT_EQ(0, munmap(p, ZT_PAGES(600)));
		settled(_metadata, self);
	} while (hit);
	TH_LOG("%u places", n - 1);
	EXPECT_LT(1, n);
	zcio_close(self->z.ctx);
}

TEST_F(nth, fault_window)
{
	touch(_metadata, self, PROT_READ);
}

TEST_F(nth, fault_writable_window)
{
	touch(_metadata, self, RW);
}

/* Cutting a mapping in two needs memory; without it, all of it stays and works. */
TEST_F(nth, munmap_middle)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, 0, 9);
	SWEEP("munmap", , munmap(z->pool + ZT_PAGES(3), ZT_PAGE),
	      ({
		      ASSERT_EQ(9, zt_info(_metadata, z->ctx).pool_pages);
		      memset(z->pool, 5, ZT_PAGES(9));
	      }),
	      ({
		      ASSERT_EQ(8, zt_info(_metadata, z->ctx).pool_pages);
		      memset(z->pool, 6, ZT_PAGES(3));
		      memset(z->pool + ZT_PAGES(4), 6, ZT_PAGES(5));
		      ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(9)));
		      z->pool = zt_pool(_metadata, z->ctx, 9);
	      }));
	munmap(z->pool, ZT_PAGES(9));
	zcio_close(z->ctx);
}

/* Windows, pools and contexts can be let go whatever fails. */
TEST_F(nth, letting_go)
{
	unsigned int n = 0;
	bool hit;

	do {
		struct zt *z = &self->z;

		zt_open(_metadata, z, 4, 4);
		memset(z->pool, 1, ZT_PAGES(4));
		arm(_metadata, self, ++n);
		close(z->dev);
		hit = disarm(_metadata, self);
		ASSERT_EQ(0, munmap(z->win, ZT_PAGES(4)));
		ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(4)));
		free(z->ctx);
	} while (hit);
}

/* ---- the calls ---- */

FIXTURE(path)
{
	FIXTURE_DATA(nth) nth;
};

FIXTURE_VARIANT(path)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(path, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(path, wire4) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(path, wire6) { .path = ZT_WIRE6 };

FIXTURE_SETUP(path)
{
	nth_setup(_metadata, &self->nth, NULL);
	if (!self->nth.watch)
		return;
	zt_open(_metadata, &self->nth.z, 0, 0);
	zt_tcp(_metadata, variant->path, &self->nth.z.rx, &self->nth.z.tx);
}

FIXTURE_TEARDOWN(path)
{
	if (!self->nth.watch)
		return;
	close(self->nth.z.rx);
	close(self->nth.z.tx);
	zcio_close(self->nth.z.ctx);
	nth_teardown(_metadata, &self->nth, NULL);
}

#define REGIONS		4
#define REGION_PAGES	5
#define QUEUED		50000
#define WINDOW_PAGES	(REGIONS * REGION_PAGES)

static int queued(struct __test_metadata *_metadata, int fd)
{
	int n = -1;

	ASSERT_EQ(0, ioctl(fd, FIONREAD, &n));
	return n;
}

/*
 * A receive that fails leaves the queue as it was and the elements untouched; what its
 * regions held may be gone (zeros then), but nothing else comes to stand there.
 */
static void sweep_readv(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self)
{
	struct zt *z = &self->z;
	char *win = zt_window(_metadata, z->ctx, WINDOW_PAGES);
	struct zcio_payload info[REGIONS];
	struct iovec iov[REGIONS], old[REGIONS];
	struct zcio_readv call;
	uint64_t sent = 0, pos = 0, oldpos = 0;
	size_t oldlen = 0;
	char *oldat = win;

	for (int mode = 0; mode < 2; mode++) {
		SWEEP(mode ? "readv, extended" : "readv", ({
			if (sent < pos + QUEUED) {
				zt_send(_metadata, z->tx, pos + QUEUED - sent, sent);
				sent = pos + QUEUED;
			}
			zt_arrived(_metadata, z->rx, QUEUED);
			for (int i = 0; i < REGIONS; i++)
				iov[i] = zt_iov(win + ZT_PAGES(i * REGION_PAGES), ZT_PAGES(REGION_PAGES));
			memcpy(old, iov, sizeof(iov));
			call = (struct zcio_readv){
				.fd = z->rx, .iov = ZT_PTR(iov), .iovcnt = REGIONS,
				.payloads = mode ? ZT_PTR(info) : 0, .error_index = 12345,
			};
		}), ioctl(z->dev, ZCIO_IOC_READV, &call), ({
			size_t same;

			ASSERT_TRUE(call.error_index == -1 || call.error_index == 12345);
			ASSERT_EQ(0, memcmp(old, iov, sizeof(iov)));
			ASSERT_EQ(QUEUED, queued(_metadata, z->rx));
			same = zt_same(oldat, oldlen, oldpos);
			if (same != oldlen) {
				ASSERT_EQ(ZT_PAGES(WINDOW_PAGES), zt_zeros(win, ZT_PAGES(WINDOW_PAGES)));
				ASSERT_EQ(0, zt_info(_metadata, z->ctx).window_pages);
			}
		}), ({
			uint64_t start = pos;

			ASSERT_LT(0, ret_);
			for (int i = 0; i < ret_; i++) {
				size_t len = iov[i].iov_len;

				ASSERT_EQ(len, zt_same(iov[i].iov_base, len, pos));
				if (mode)
					ASSERT_EQ(len, info[i].mapped + info[i].copied);
				oldat = iov[i].iov_base;
				oldlen = len;
				oldpos = pos;
				pos += len;
			}
			ASSERT_LE(pos, sent);
			ASSERT_EQ(QUEUED - (pos - start), queued(_metadata, z->rx));
			ASSERT_EQ(0, memcmp(old + ret_, iov + ret_, (REGIONS - ret_) * sizeof(*iov)));
		}));
	}
	zt_recv(_metadata, z->rx, sent - pos, pos);
	zt_nothing(_metadata, z->rx);
	ASSERT_EQ(0, munmap(win, ZT_PAGES(WINDOW_PAGES)));
}

TEST_F_TIMEOUT(path, readv, 150)
{
	sweep_readv(_metadata, &self->nth);
}

#define AREAS		4
#define AREA_PAGES	4
#define HEAD		100
#define PAYLOAD		(3 * ZT_PAGE + 500)
#define ROOM		0xaa	/* around the payload */
#define POOL_PAGES	(AREAS * AREA_PAGES)

/* Waits until the peer has acknowledged everything; gives what it can read. */
static int arrived(struct __test_metadata *_metadata, int from, int to)
{
	int left = -1;

	for (;;) {
		ASSERT_EQ(0, ioctl(from, SIOCOUTQ, &left));
		if (!left)
			return queued(_metadata, to);
		usleep(500);
	}
}

static void is_all(struct __test_metadata *_metadata, const char *p, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++)
		ASSERT_EQ(byte, (unsigned char)p[i]);
}

/*
 * What the call says it took is what the peer gets, no byte more or less; that much of
 * the areas is zeros, and the rest still there.
 */
static void sweep_writev(struct __test_metadata *_metadata, FIXTURE_DATA(nth) *self)
{
	struct zt *z = &self->z;
	char *pool = zt_pool(_metadata, z->ctx, POOL_PAGES);
	struct zcio_payload info[AREAS];
	struct iovec iov[AREAS][2];
	struct zcio_writev call;
	uint64_t pos = 0;

	for (int mode = 0; mode < 2; mode++) {
		SWEEP(mode ? "writev, extended" : "writev", ({
			memset(pool, ROOM, ZT_PAGES(POOL_PAGES));
			for (int i = 0; i < AREAS; i++) {
				char *area = pool + ZT_PAGES(i * AREA_PAGES);

				zt_fill(area + HEAD, PAYLOAD, pos + i * PAYLOAD);
				iov[i][0] = zt_iov(area, ZT_PAGES(AREA_PAGES));
				iov[i][1] = zt_iov(area + HEAD, PAYLOAD);
			}
			call = (struct zcio_writev){
				.fd = z->rx, .iov = ZT_PTR(iov), .iovcnt = AREAS,
				.payloads = mode ? ZT_PTR(info) : 0, .error_index = 12345,
				.taken = UINT64_MAX,
			};
		}), ioctl(z->dev, ZCIO_IOC_WRITEV, &call), ({
			ASSERT_TRUE(call.error_index == -1 || call.error_index == 12345);
			ASSERT_TRUE(call.taken == 0 || call.taken == UINT64_MAX);
			ASSERT_EQ(0, arrived(_metadata, z->rx, z->tx));
			for (int i = 0; i < AREAS; i++) {
				char *area = pool + ZT_PAGES(i * AREA_PAGES);

				is_all(_metadata, area, HEAD, ROOM);
				ASSERT_EQ(PAYLOAD, zt_same(area + HEAD, PAYLOAD, pos + i * PAYLOAD));
				is_all(_metadata, area + HEAD + PAYLOAD,
				       ZT_PAGES(AREA_PAGES) - HEAD - PAYLOAD, ROOM);
			}
		}), ({
			int got = arrived(_metadata, z->rx, z->tx);

			/* Telling it may have been what failed, when all was done. */
			ASSERT_TRUE(call.taken == got || (hit_ && call.taken == UINT64_MAX));
			ASSERT_EQ(ret_, got / PAYLOAD);
			ASSERT_TRUE(hit_ || ret_ == AREAS);
			zt_recv(_metadata, z->tx, got, pos);
			for (int i = 0; i < AREAS; i++) {
				char *area = pool + ZT_PAGES(i * AREA_PAGES);
				long gone = got - i * (long)PAYLOAD;

				if (gone >= (long)PAYLOAD) {
					ASSERT_EQ(ZT_PAGES(AREA_PAGES),
						  zt_zeros(area, ZT_PAGES(AREA_PAGES)));
					continue;
				}
				if (gone < 0)
					gone = 0;
				ASSERT_LE(gone, zt_zeros(area + HEAD, PAYLOAD));
				ASSERT_EQ(PAYLOAD - gone,
					  zt_same(area + HEAD + gone, PAYLOAD - gone,
						  pos + i * PAYLOAD + gone));
			}
			pos += got;
		}));
	}
	zt_nothing(_metadata, z->tx);
	ASSERT_EQ(0, munmap(pool, ZT_PAGES(POOL_PAGES)));
}

TEST_F_TIMEOUT(path, writev, 150)
{
	sweep_writev(_metadata, &self->nth);
}

TEST_HARNESS_MAIN
