/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest's tests share: windows and pools, and the calls with what they return;
 * bytes (base.h) and connected sockets (sockets.h). Calls that must fail: refused.h; that
 * wait: caller.h.
 *
 * Every helper that can fail takes the harness's _metadata and asserts by itself.
 * struct zt is what most fixtures hold: a socket pair and memory of one context.
 */
#ifndef ZT_H
#define ZT_H

#include <grp.h>
#include <sys/resource.h>

#include <zcio.h>

#include "sockets.h"

/* ---- contexts, windows, pools ---- */

struct zt {
	int rx;			/* the local end of a connection */
	int tx;			/* its peer */
	struct zcio_ctx *ctx;
	int dev;		/* the context's descriptor */
	char *win;
	char *pool;
	char *shadow;		/* what @keep bytes at @win and @pool must stay like */
	size_t keep;
};

/* Calls of the context that move fewer bytes copy them. */
ZT_UNUSED static void zt_threshold(struct __test_metadata *_metadata, struct zcio_ctx *ctx,
				   size_t bytes)
{
	ASSERT_EQ(0, zcio_tune(ctx, &(struct zcio_tune){ .copy_threshold = bytes }));
}

/*
 * A context that maps and swaps however little there is: what tests are about, mostly.
 * Otherwise as zcio_open().
 */
ZT_UNUSED static struct zcio_ctx *zt_context(void)
{
	struct zcio_ctx *ctx = zcio_open();

	if (ctx && zcio_tune(ctx, &(struct zcio_tune){})) {
		zcio_close(ctx);
		return NULL;
	}
	return ctx;
}

ZT_UNUSED static char *zt_window(struct __test_metadata *_metadata, struct zcio_ctx *ctx,
				 size_t pages)
{
	char *p = zcio_window(ctx, ZT_PAGES(pages), 0);

	ASSERT_NE(NULL, p) TH_LOG("window: %m");
	return p;
}

ZT_UNUSED static char *zt_pool(struct __test_metadata *_metadata, struct zcio_ctx *ctx,
			       size_t pages)
{
	char *p = zcio_pool(ctx, ZT_PAGES(pages));

	ASSERT_NE(NULL, p) TH_LOG("pool: %m");
	return p;
}

ZT_UNUSED static void zt_open(struct __test_metadata *_metadata, struct zt *z,
			      size_t window_pages, size_t pool_pages)
{
	z->rx = -1;
	z->tx = -1;
	z->ctx = zt_context();
	ASSERT_NE(NULL, z->ctx) TH_LOG("/dev/zcio: %m");
	z->dev = zcio_ctx_fd(z->ctx);
	if (window_pages)
		z->win = zt_window(_metadata, z->ctx, window_pages);
	if (pool_pages)
		z->pool = zt_pool(_metadata, z->ctx, pool_pages);
}

ZT_UNUSED static struct zcio_info zt_info(struct __test_metadata *_metadata,
					  struct zcio_ctx *ctx)
{
	struct zcio_info info;

	ASSERT_EQ(0, zcio_info(ctx, -1, &info));
	return info;
}

/* Waits until no window and no pool in the whole system holds other pages than these. */
ZT_UNUSED static void zt_settled(struct __test_metadata *_metadata, struct zcio_ctx *ctx,
				 uint64_t window_pages, uint64_t pool_pages)
{
	struct zcio_info info;

	for (;;) {
		info = zt_info(_metadata, ctx);
		if (info.total_window_pages == window_pages &&
		    info.total_pool_pages == pool_pages)
			return;
		usleep(1000);
	}
}

/*
 * From now on an ordinary user, who may hold @pages pages; for contexts that are opened
 * after this. Each test is a process of its own, so it changes no other one.
 */
ZT_UNUSED static void zt_limited(struct __test_metadata *_metadata, size_t pages)
{
	struct rlimit limit = { ZT_PAGES(pages), ZT_PAGES(pages) };

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(0, setgroups(0, NULL));
	ASSERT_EQ(0, setresgid(65534, 65534, 65534));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
}

/* The page frames behind the @count pages at @addr, 0 where there is none; root only. */
ZT_UNUSED static void zt_pfns(struct __test_metadata *_metadata, const void *addr,
			      uint64_t *pfns, int count)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ((ssize_t)(count * sizeof(*pfns)),
		  pread(fd, pfns, count * sizeof(*pfns), (uintptr_t)addr / ZT_PAGE * sizeof(*pfns)));
	close(fd);
	for (int i = 0; i < count; i++)
		pfns[i] = pfns[i] >> 63 ? pfns[i] & ((1ULL << 55) - 1) : 0;
}

/* The same for one page. */
ZT_UNUSED static uint64_t zt_pfn(struct __test_metadata *_metadata, const void *addr)
{
	uint64_t pfn;

	zt_pfns(_metadata, addr, &pfn, 1);
	return pfn;
}

/* A disk that direct I/O goes to, or -1. */
ZT_UNUSED static int zt_ram_disk(void)
{
	return system("modprobe brd rd_nr=1 rd_size=4096 2>/dev/null") ? -1 :
		open("/dev/ram0", O_RDWR | O_DIRECT | O_CLOEXEC);
}

/* ---- the calls: what they return, or -errno ---- */

#define zt_iov(base, len) ((struct iovec){ (void *)(base), (len) })

/* A call on the local end, to be changed or made. */
static inline struct zcio_readv zt_readv_call(const struct zt *z, const void *iov, unsigned int n)
{
	return (struct zcio_readv){ .fd = z->rx, .iovcnt = n, .iov = ZT_PTR(iov) };
}

static inline struct zcio_writev zt_writev_call(const struct zt *z, const void *iov,
						unsigned int n)
{
	return (struct zcio_writev){ .fd = z->rx, .iovcnt = n, .iov = ZT_PTR(iov) };
}

ZT_UNUSED static int zt_readv_raw(int dev, struct zcio_readv *call)
{
	int ret = ioctl(dev, ZCIO_IOC_READV, call);

	return ret < 0 ? -errno : ret;
}

ZT_UNUSED static int zt_writev_raw(int dev, struct zcio_writev *call)
{
	int ret = ioctl(dev, ZCIO_IOC_WRITEV, call);

	return ret < 0 ? -errno : ret;
}

ZT_UNUSED static int zt_readv(int dev, int fd, struct iovec *iov, unsigned int n,
			      struct zcio_payload *info, unsigned int flags)
{
	struct zcio_readv call = {
		.fd = fd, .iov = ZT_PTR(iov), .iovcnt = n, .payloads = ZT_PTR(info),
		.flags = flags,
	};

	return zt_readv_raw(dev, &call);
}

ZT_UNUSED static int zt_writev(int dev, int fd, const struct iovec (*iov)[2], unsigned int n,
			       struct zcio_payload *info, unsigned int flags, uint64_t *taken)
{
	struct zcio_writev call = {
		.fd = fd, .iov = ZT_PTR(iov), .iovcnt = n, .payloads = ZT_PTR(info),
		.flags = flags,
	};
	int ret = zt_writev_raw(dev, &call);

	if (taken)
		*taken = call.taken;
	return ret;
}

/* ---- where payloads lie ---- */

/* @count regions of @pages pages each, from @at on. */
static inline void zt_regions(struct iovec *iov, char *at, int count, size_t pages)
{
	for (int i = 0; i < count; i++)
		iov[i] = zt_iov(at + ZT_PAGES(i * pages), ZT_PAGES(pages));
}

static inline char *zt_up(const void *p)
{
	return (char *)(((uintptr_t)p + ZT_PAGE - 1) & ~(ZT_PAGE - 1));
}

static inline char *zt_down(const void *p)
{
	return (char *)((uintptr_t)p & ~(ZT_PAGE - 1));
}

ZT_UNUSED static void zt_all_zero(struct __test_metadata *_metadata, const char *from,
				  const char *to, const char *what)
{
	size_t len = to - from, n = zt_zeros(from, len);

	ASSERT_EQ(len, n) {
		TH_LOG("byte %zu of %zu %s is %#x", n, len, what, (unsigned char)from[n]);
	}
}

/*
 * Looks at one region and those of the @n payloads that lie in it: they must be in its whole
 * pages, in rising order, and every other byte reads zero. Returns how many they are.
 * Without @all, pages behind them, in which none can lie, are not looked at.
 */
ZT_UNUSED static int zt_region(struct __test_metadata *_metadata, const struct iovec *region,
			       const struct iovec *iov, int n, bool all)
{
	char *at = zt_up(region->iov_base);
	char *end = zt_down((char *)region->iov_base + region->iov_len);
	int count = 0;

	for (; count < n && (char *)iov[count].iov_base < end; count++) {
		char *base = iov[count].iov_base;

		ASSERT_LE((void *)at, (void *)base);
		ASSERT_LE((void *)(base + iov[count].iov_len), (void *)end);
		zt_all_zero(_metadata, at, base, "before a payload");
		at = base + iov[count].iov_len;
	}
	if (!all)
		end = count ? zt_up(at) : at;
	zt_all_zero(_metadata, at, end, count ? "behind a payload" : "of a region without one");
	return count;
}

/* The same for all the regions of a call, which must rise, and all its payloads. */
ZT_UNUSED static void zt_around(struct __test_metadata *_metadata, const struct iovec *regions,
				int count, const struct iovec *iov, int n)
{
	int p = 0;

	for (int r = 0; r < count; r++) {
		int here = zt_region(_metadata, &regions[r], iov + p, n - p, true);

		/* A region can hold several, so payload p is never behind region p. */
		if (here)
			ASSERT_LE(r, p);
		p += here;
	}
	ASSERT_EQ(n, p);
}

/*
 * A call into @regions, which rise; they stay as they are, @iov says where payloads lie.
 * What must be around these is looked at. Returns how many, or -errno.
 */
ZT_UNUSED static int zt_take(struct __test_metadata *_metadata, int dev, int fd,
			     const struct iovec *regions, int count, struct iovec *iov,
			     struct zcio_payload *info, unsigned int flags)
{
	int n;

	memcpy(iov, regions, count * sizeof(*iov));
	n = zt_readv(dev, fd, iov, count, info, flags);
	ASSERT_GE(count, n);
	if (n > 0) {
		zt_around(_metadata, regions, count, iov, n);
		iov += n, regions += n, count -= n;
	}
	ASSERT_EQ(0, memcmp(iov, regions, count * sizeof(*iov)));
	return n;
}

/*
 * Receives exactly @len bytes with zc_readv into @pages pages at @win, as one region,
 * and compares. Returns how many of them were mapped.
 */
ZT_UNUSED static uint64_t zt_zc_recv(struct __test_metadata *_metadata, int dev, int fd,
				     char *win, size_t pages, size_t len, uint64_t pos)
{
	uint64_t mapped = 0;

	while (len) {
		size_t room = len / ZT_PAGE + 1 < pages ? len / ZT_PAGE + 1 : pages;
		struct iovec iov = zt_iov(win, ZT_PAGES(room));
		struct zcio_payload info;
		int n = zt_readv(dev, fd, &iov, 1, &info, 0);

		ASSERT_EQ(1, n);
		ASSERT_EQ(iov.iov_len, info.mapped + info.copied);
		ASSERT_GE(len, iov.iov_len);
		ASSERT_EQ(iov.iov_len, zt_same(iov.iov_base, iov.iov_len, pos));
		mapped += info.mapped;
		pos += iov.iov_len;
		len -= iov.iov_len;
	}
	return mapped;
}

#endif /* ZT_H */
