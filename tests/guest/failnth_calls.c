// SPDX-License-Identifier: GPL-2.0
/*
 * zc_readv and zc_writev with their memory failing (failnth.h): a call that fails says
 * why with a proper errno, and whether it failed or got along without, nothing is
 * consumed, lost or half-sent. The bytes at both ends are compared.
 *
 * Needs a kernel with fault injection (KERNEL=debug); skipped elsewhere.
 *
 * timeout: 600
 */
#include <linux/sockios.h>

#include "failnth.h"

FIXTURE(path)
{
	struct fail f;
};

FIXTURE_VARIANT(path)
{
	enum zt_path path;
	enum how how;
};

FIXTURE_VARIANT_ADD(path, lo_one) { .path = ZT_LO4, .how = ONE };
FIXTURE_VARIANT_ADD(path, lo_all) { .path = ZT_LO6, .how = ALL };
FIXTURE_VARIANT_ADD(path, wire_one) { .path = ZT_WIRE6, .how = ONE };
FIXTURE_VARIANT_ADD(path, wire_all) { .path = ZT_WIRE4, .how = ALL };

FIXTURE_SETUP(path)
{
	struct fail *f = &self->f;

	if (!fail_setup(_metadata, f, variant->how))
		SKIP(return, FAIL_SKIP);
	zt_open(_metadata, &f->z, 0, 0);
	zt_tcp(_metadata, variant->path, &f->z.rx, &f->z.tx);
}

FIXTURE_TEARDOWN(path)
{
	struct fail *f = &self->f;

	if (!f->watch)
		return;
	close(f->z.rx);
	close(f->z.tx);
	zcio_close(f->z.ctx);
	fail_teardown(_metadata, f);
}

static int queued(struct __test_metadata *_metadata, int fd)
{
	int n = -1;

	ASSERT_EQ(0, ioctl(fd, FIONREAD, &n));
	return n;
}

/* ---- receiving ---- */

#define REGIONS		4
#define REGION_PAGES	5
#define QUEUED		50000
#define WINDOW_PAGES	(REGIONS * REGION_PAGES)

struct reading {
	char *win;
	struct iovec iov[REGIONS], old[REGIONS];
	struct zcio_payload info[REGIONS];
	struct zcio_readv call;
	bool extended;		/* with payloads, and regions in another order */
	uint64_t sent, pos;
	char *kept;		/* what the last call left, from where in the stream */
	size_t kept_len;
	uint64_t kept_pos;
};

static void readv_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct reading *r = f->call;

	if (r->sent < r->pos + QUEUED) {
		zt_send(_metadata, f->z.tx, r->pos + QUEUED - r->sent, r->sent);
		r->sent = r->pos + QUEUED;
	}
	zt_arrived(_metadata, f->z.rx, QUEUED);
	for (int i = 0; i < REGIONS; i++) {
		int place = r->extended ? REGIONS - 1 - i : i;

		r->iov[i] = zt_iov(r->win + ZT_PAGES(place * REGION_PAGES), ZT_PAGES(REGION_PAGES));
	}
	memcpy(r->old, r->iov, sizeof(r->iov));
	r->call = (struct zcio_readv){
		.fd = f->z.rx, .iov = ZT_PTR(r->iov), .iovcnt = REGIONS,
		.payloads = r->extended ? ZT_PTR(r->info) : 0, .error_index = 12345,
	};
}

static long readv_call(struct fail *f)
{
	struct reading *r = f->call;

	return ioctl(f->z.dev, ZCIO_IOC_READV, &r->call);
}

/*
 * The queue is as it was and the elements are untouched; what the regions held may be
 * gone (zeros then), but nothing else comes to stand there.
 */
static void readv_failed(struct __test_metadata *_metadata, struct fail *f)
{
	struct reading *r = f->call;

	ASSERT_TRUE(r->call.error_index == -1 || r->call.error_index == 12345);
	ASSERT_EQ(0, memcmp(r->old, r->iov, sizeof(r->iov)));
	ASSERT_EQ(QUEUED, queued(_metadata, f->z.rx));
	if (zt_same(r->kept, r->kept_len, r->kept_pos) != r->kept_len) {
		ASSERT_EQ(ZT_PAGES(WINDOW_PAGES), zt_zeros(r->win, ZT_PAGES(WINDOW_PAGES)));
		ASSERT_EQ(0, zt_info(_metadata, f->z.ctx).window_pages);
	}
}

static void readv_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct reading *r = f->call;
	uint64_t start = r->pos;

	ASSERT_LT(0, ret);
	for (int i = 0; i < ret; i++) {
		size_t len = r->iov[i].iov_len;

		ASSERT_EQ(len, zt_same(r->iov[i].iov_base, len, r->pos));
		if (r->extended)
			ASSERT_EQ(len, r->info[i].mapped + r->info[i].copied);
		r->kept = r->iov[i].iov_base;
		r->kept_len = len;
		r->kept_pos = r->pos;
		r->pos += len;
	}
	ASSERT_LE(r->pos, r->sent);
	ASSERT_EQ(QUEUED - (r->pos - start), queued(_metadata, f->z.rx));
	ASSERT_EQ(0, memcmp(r->old + ret, r->iov + ret, (REGIONS - ret) * sizeof(*r->iov)));
}

TEST_F_TIMEOUT(path, readv, 150)
{
	struct fail *f = &self->f;
	struct reading r = { .win = zt_window(_metadata, f->z.ctx, WINDOW_PAGES) };
	struct attempt a = {
		.what = "readv", .before = readv_before, .call = readv_call,
		.failed = readv_failed, .done = readv_done,
	};

	f->call = &r;
	r.kept = r.win;
	sweep(_metadata, f, &a);
	a.what = "readv, extended";
	r.extended = true;
	sweep(_metadata, f, &a);
	zt_recv(_metadata, f->z.rx, r.sent - r.pos, r.pos);
	zt_nothing(_metadata, f->z.rx);
	ASSERT_EQ(0, munmap(r.win, ZT_PAGES(WINDOW_PAGES)));
}

/* ---- many small payloads, into a window that has no page tables yet ---- */

#define SMALL		200
#define SMALLS		12
#define FAR_PAGES	1200
#define FAR_REGIONS	(SMALLS + 2)

/* Each payload comes in a page that is the receiver's alone: the pool is gone. */
static void smalls_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct reading *r = f->call;
	struct zcio_ctx *ctx = zt_context();
	struct iovec iov[SMALLS][2];
	char *pool;

	ASSERT_NE(NULL, ctx);
	pool = zt_pool(_metadata, ctx, SMALLS);
	for (int i = 0; i < SMALLS; i++) {
		char *area = pool + ZT_PAGES(i);

		iov[i][0] = zt_iov(area, ZT_PAGE);
		iov[i][1] = zt_iov(area + 100, SMALL);
		zt_fill(area + 100, SMALL, r->sent);
		r->sent += SMALL;
	}
	ASSERT_EQ(SMALLS, zt_writev(zcio_ctx_fd(ctx), f->z.tx, iov, SMALLS, NULL, 0, NULL));
	ASSERT_EQ(0, zcio_unmap(pool, ZT_PAGES(SMALLS)));
	zcio_close(ctx);
	zt_arrived(_metadata, f->z.rx, SMALLS * SMALL);
	zt_acked(_metadata, f->z.tx);
	r->win = zt_window(_metadata, f->z.ctx, FAR_PAGES);
}

/* One page for each, in the middle of the window. */
static long smalls_call(struct fail *f)
{
	struct reading *r = f->call;
	struct iovec iov[FAR_REGIONS];
	struct zcio_readv call = { .fd = f->z.rx, .iov = ZT_PTR(iov), .iovcnt = FAR_REGIONS };
	long n;

	zt_regions(iov, r->win + ZT_PAGES(FAR_PAGES / 2), FAR_REGIONS, 1);
	n = ioctl(f->z.dev, ZCIO_IOC_READV, &call);
	for (int i = 0; i < n; i++) {
		if (zt_same(iov[i].iov_base, iov[i].iov_len, r->pos) != iov[i].iov_len)
			r->pos = UINT64_MAX / 2;
		r->pos += iov[i].iov_len;
	}
	return n;
}

static void smalls_failed(struct __test_metadata *_metadata, struct fail *f)
{
	ASSERT_EQ(SMALLS * SMALL, queued(_metadata, f->z.rx));
	ASSERT_EQ(0, zt_info(_metadata, f->z.ctx).window_pages);
}

static void smalls_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct reading *r = f->call;

	ASSERT_EQ(r->sent, r->pos);
	ASSERT_EQ(0, munmap(r->win, ZT_PAGES(FAR_PAGES)));
	zt_nothing(_metadata, f->z.rx);
}

TEST_F_TIMEOUT(path, readv_of_small_payloads, 150)
{
	struct reading r = {};

	self->f.call = &r;
	sweep(_metadata, &self->f, &(struct attempt){
		.what = "readv of small payloads", .before = smalls_before, .call = smalls_call,
		.failed = smalls_failed, .done = smalls_done,
	});
}

/* ---- sending ---- */

#define AREAS		4
#define AREA_PAGES	4
#define HEAD		100
#define PAYLOAD		(3 * ZT_PAGE + 500)
#define ROOM		0xaa	/* around the payload */
#define HALF_PAGES	(AREAS / 2 * AREA_PAGES)

struct writing {
	char *pool[2];
	char *area[AREAS];	/* in the order that they are given in */
	struct iovec iov[AREAS][2];
	struct zcio_payload info[AREAS];
	struct zcio_writev call;
	bool extended;		/* with payloads; the areas in another order, in two pools */
	bool pinned;		/* somebody else holds a page */
	int pipe[2];
	uint64_t pos;
};

/* New pools each time, or all that a call needs would be left from the one before. */
static void writev_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct writing *w = f->call;
	struct iovec page;

	for (int i = 0; i < 2; i++) {
		w->pool[i] = zt_pool(_metadata, f->z.ctx, HALF_PAGES);
		memset(w->pool[i], ROOM, ZT_PAGES(HALF_PAGES));
	}
	for (int i = 0; i < AREAS; i++) {
		int place = w->extended ? AREAS - 1 - i : i;
		char *area = w->pool[place / 2] + ZT_PAGES(place % 2 * AREA_PAGES);

		w->area[i] = area;
		zt_fill(area + HEAD, PAYLOAD, w->pos + i * PAYLOAD);
		w->iov[i][0] = zt_iov(area, ZT_PAGES(AREA_PAGES));
		w->iov[i][1] = zt_iov(area + HEAD, PAYLOAD);
	}
	if (w->pinned) {
		page = zt_iov(w->area[1] + ZT_PAGE, ZT_PAGE);
		ASSERT_EQ(0, pipe2(w->pipe, O_CLOEXEC));
		ASSERT_EQ((ssize_t)ZT_PAGE, vmsplice(w->pipe[1], &page, 1, 0));
	}
	w->call = (struct zcio_writev){
		.fd = f->z.rx, .iov = ZT_PTR(w->iov), .iovcnt = AREAS,
		.payloads = w->extended ? ZT_PTR(w->info) : 0, .error_index = 12345,
		.taken = UINT64_MAX,
		/* The stack waits for memory, for ever if there is none. */
		.flags = f->how == ALL ? ZCIO_DONTWAIT : 0,
	};
}

static long writev_call(struct fail *f)
{
	struct writing *w = f->call;

	return ioctl(f->z.dev, ZCIO_IOC_WRITEV, &w->call);
}

/* Waits until the peer has acknowledged everything; gives what it can read. */
static int arrived(struct __test_metadata *_metadata, struct fail *f)
{
	zt_acked(_metadata, f->z.rx);
	return queued(_metadata, f->z.tx);
}

static void is_all(struct __test_metadata *_metadata, const char *p, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++)
		ASSERT_EQ(byte, (unsigned char)p[i]);
}

static void writev_failed(struct __test_metadata *_metadata, struct fail *f)
{
	struct writing *w = f->call;

	ASSERT_TRUE(w->call.error_index == -1 || w->call.error_index == 12345);
	ASSERT_TRUE(w->call.taken == 0 || w->call.taken == UINT64_MAX);
	ASSERT_EQ(0, arrived(_metadata, f));
	/* From here on there is memory to wait for. */
	w->call.flags = 0;
	for (int i = 0; i < AREAS; i++) {
		char *area = w->area[i];

		is_all(_metadata, area, HEAD, ROOM);
		ASSERT_EQ(PAYLOAD, zt_same(area + HEAD, PAYLOAD, w->pos + i * PAYLOAD));
		is_all(_metadata, area + HEAD + PAYLOAD, ZT_PAGES(AREA_PAGES) - HEAD - PAYLOAD, ROOM);
	}
}

/*
 * What the call says it took is what the peer gets, no byte more or less; that much of
 * the areas is zeros, and the rest still there.
 */
static void writev_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct writing *w = f->call;
	int got = arrived(_metadata, f);

	/* Telling it may have been what failed, when all was done: the count said it all. */
	ASSERT_TRUE(w->call.taken == got || (f->hit && w->call.taken == 0 && ret * PAYLOAD == got));
	ASSERT_EQ(ret, got / PAYLOAD);
	ASSERT_TRUE(ret == AREAS || f->hit || w->call.flags & ZCIO_DONTWAIT);
	zt_recv(_metadata, f->z.tx, got, w->pos);
	for (int i = 0; i < AREAS; i++) {
		char *area = w->area[i];
		long gone = got - i * (long)PAYLOAD;

		if (gone >= (long)PAYLOAD) {
			ASSERT_EQ(ZT_PAGES(AREA_PAGES), zt_zeros(area, ZT_PAGES(AREA_PAGES)));
			continue;
		}
		if (gone < 0)
			gone = 0;
		ASSERT_LE(gone, zt_zeros(area + HEAD, PAYLOAD));
		ASSERT_EQ(PAYLOAD - gone, zt_same(area + HEAD + gone, PAYLOAD - gone,
						  w->pos + i * PAYLOAD + gone));
	}
	w->pos += got;
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, munmap(w->pool[i], ZT_PAGES(HALF_PAGES)));
	if (w->pinned)
		close(w->pipe[0]), close(w->pipe[1]);
}

static void sweep_writev(struct __test_metadata *_metadata, struct fail *f, const char *what,
			 struct writing *w)
{
	f->call = w;
	sweep(_metadata, f, &(struct attempt){
		.what = what, .before = writev_before, .call = writev_call,
		.failed = writev_failed, .done = writev_done,
		.also = f->how == ALL ? EAGAIN : 0,
	});
	zt_nothing(_metadata, f->z.tx);
}

TEST_F_TIMEOUT(path, writev, 150)
{
	sweep_writev(_metadata, &self->f, "writev", &(struct writing){});
}

TEST_F_TIMEOUT(path, writev_extended, 150)
{
	sweep_writev(_metadata, &self->f, "writev, extended", &(struct writing){ .extended = true });
}

TEST_F_TIMEOUT(path, writev_of_a_pinned_page, 150)
{
	sweep_writev(_metadata, &self->f, "writev, pinned", &(struct writing){ .pinned = true });
}

TEST_HARNESS_MAIN
