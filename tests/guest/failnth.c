// SPDX-License-Identifier: GPL-2.0
/*
 * Contexts and mappings with their memory failing (failnth.h): what fails says why with
 * a proper errno and leaves nothing behind, what was there stays and works, and letting
 * go never fails.
 *
 * Needs a kernel with fault injection (KERNEL=debug); skipped elsewhere. fork() is not
 * here: the kernel leaves these mappings out of a child without asking the module.
 *
 * timeout: 600
 */
#include "failnth.h"

FIXTURE(nth)
{
	struct fail f;
};

FIXTURE_VARIANT(nth)
{
	enum how how;
};

FIXTURE_VARIANT_ADD(nth, one) { .how = ONE };
FIXTURE_VARIANT_ADD(nth, all) { .how = ALL };

FIXTURE_SETUP(nth)
{
	if (!fail_setup(_metadata, &self->f, variant->how))
		SKIP(return, FAIL_SKIP);
}

FIXTURE_TEARDOWN(nth)
{
	fail_teardown(_metadata, &self->f);
}

static void nothing(struct __test_metadata *_metadata, struct fail *f)
{
}

/* ---- contexts ---- */

static long open_device(struct fail *f)
{
	f->z.dev = open("/dev/zcio", O_RDWR | O_CLOEXEC);
	return f->z.dev;
}

static void no_context(struct __test_metadata *_metadata, struct fail *f)
{
	ASSERT_EQ(f->base.total_contexts, zt_info(_metadata, f->watch).total_contexts);
}

static void close_device(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	ASSERT_EQ(f->base.total_contexts + 1, zt_info(_metadata, f->watch).total_contexts);
	close(f->z.dev);
}

TEST_F(nth, open)
{
	sweep(_metadata, &self->f, &(struct attempt){
		.what = "open", .before = nothing, .call = open_device,
		.failed = no_context, .done = close_device,
	});
}

static void info_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct zcio_info *info = f->call;

	*info = (struct zcio_info){ .fd = info->fd };
}

static long info_call(struct fail *f)
{
	return ioctl(f->z.dev, ZCIO_IOC_INFO, f->call);
}

static void info_failed(struct __test_metadata *_metadata, struct fail *f)
{
	info_before(_metadata, f);
}

static void info_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct zcio_info *info = f->call, now = zt_info(_metadata, f->z.ctx);

	ASSERT_EQ(ZCIO_ABI_VERSION, info->version);
	ASSERT_EQ(4, now.window_pages + now.pool_pages);
	ASSERT_EQ(0, now.rx.calls + now.tx.calls);
}

TEST_F(nth, info)
{
	struct zcio_info info = { .fd = -1 };
	struct fail *f = &self->f;
	struct attempt a = {
		.what = "info", .before = info_before, .call = info_call,
		.failed = info_failed, .done = info_done,
	};

	f->call = &info;
	zt_open(_metadata, &f->z, 4, 4);
	zt_tcp(_metadata, ZT_LO4, &f->z.rx, &f->z.tx);
	sweep(_metadata, f, &a);
	info.fd = f->z.rx;
	a.what = "info of a socket";
	sweep(_metadata, f, &a);
	munmap(f->z.win, ZT_PAGES(4));
	munmap(f->z.pool, ZT_PAGES(4));
	zcio_close(f->z.ctx);
}

static long tune_call(struct fail *f)
{
	return ioctl(f->z.dev, ZCIO_IOC_TUNE, &(struct zcio_tune){ .copy_threshold = 77 });
}

static void tune_before(struct __test_metadata *_metadata, struct fail *f)
{
	ASSERT_EQ(0, ioctl(f->z.dev, ZCIO_IOC_TUNE, &(struct zcio_tune){ .copy_threshold = 5 }));
}

static void tune_failed(struct __test_metadata *_metadata, struct fail *f)
{
	ASSERT_EQ(5, zt_info(_metadata, f->z.ctx).copy_threshold);
}

static void tune_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	ASSERT_EQ(77, zt_info(_metadata, f->z.ctx).copy_threshold);
}

TEST_F(nth, tune)
{
	zt_open(_metadata, &self->f.z, 0, 0);
	sweep(_metadata, &self->f, &(struct attempt){
		.what = "tune", .before = tune_before, .call = tune_call,
		.failed = tune_failed, .done = tune_done,
	});
	zcio_close(self->f.z.ctx);
}

/* ---- mappings ---- */

struct mapping {
	size_t pages;
	int prot;
	uint64_t offset;
	char *at;
};

static long map_call(struct fail *f)
{
	struct mapping *m = f->call;

	m->at = mmap(NULL, ZT_PAGES(m->pages), m->prot, MAP_SHARED, f->z.dev, (off_t)m->offset);
	return m->at == MAP_FAILED ? -1 : 0;
}

static void holds(struct __test_metadata *_metadata, struct fail *f, uint64_t pages)
{
	struct zcio_info info = zt_info(_metadata, f->z.ctx);

	ASSERT_EQ(pages, info.pool_pages + info.window_pages);
}

static void map_failed(struct __test_metadata *_metadata, struct fail *f)
{
	holds(_metadata, f, 0);
}

/* One that did not fail works, and goes as a whole. */
static void map_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct mapping *m = f->call;
	size_t len = ZT_PAGES(m->pages);

	holds(_metadata, f, m->offset == ZCIO_MMAP_POOL ? m->pages : 0);
	ASSERT_EQ(len, zt_zeros(m->at, len));
	if (m->prot & PROT_WRITE)
		memset(m->at, 1, len);
	ASSERT_EQ(0, munmap(m->at, len));
	fail_settled(_metadata, f);
}

static void sweep_mmap(struct __test_metadata *_metadata, struct fail *f, struct mapping m)
{
	f->call = &m;
	zt_open(_metadata, &f->z, 0, 0);
	sweep(_metadata, f, &(struct attempt){
		.what = "mmap", .before = nothing, .call = map_call,
		.failed = map_failed, .done = map_done,
	});
	zcio_close(f->z.ctx);
}

#define RW (PROT_READ | PROT_WRITE)

TEST_F(nth, mmap_window)
{
	sweep_mmap(_metadata, &self->f, (struct mapping){ 5, PROT_READ, ZCIO_MMAP_WINDOW });
}

TEST_F(nth, mmap_writable_window)
{
	sweep_mmap(_metadata, &self->f, (struct mapping){ 5, RW, ZCIO_MMAP_WINDOW });
}

TEST_F(nth, mmap_pool)
{
	sweep_mmap(_metadata, &self->f, (struct mapping){ 5, RW, ZCIO_MMAP_POOL });
}

/* ---- faults ---- */

/* So large that the page tables of its middle are its own. */
#define FAR_PAGES	1200
#define MIDDLE(p)	((p) + ZT_PAGES(FAR_PAGES / 2))

static void far_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct mapping *m = f->call;

	m->at = mmap(NULL, ZT_PAGES(FAR_PAGES), m->prot, MAP_SHARED, f->z.dev, (off_t)m->offset);
	ASSERT_NE(MAP_FAILED, m->at);
}

static long populate(struct fail *f)
{
	struct mapping *m = f->call;

	return madvise(MIDDLE(m->at), ZT_PAGE,
		       m->prot & PROT_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

static uint64_t held_untouched(const struct mapping *m)
{
	return m->offset == ZCIO_MMAP_POOL ? FAR_PAGES : 0;
}

static void populate_failed(struct __test_metadata *_metadata, struct fail *f)
{
	holds(_metadata, f, held_untouched(f->call));
}

static void populate_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct mapping *m = f->call;
	bool takes = m->offset == ZCIO_MMAP_WINDOW && m->prot & PROT_WRITE;

	holds(_metadata, f, held_untouched(m) + takes);
	ASSERT_EQ(ZT_PAGE, zt_zeros(MIDDLE(m->at), ZT_PAGE));
	ASSERT_EQ(0, munmap(m->at, ZT_PAGES(FAR_PAGES)));
	fail_settled(_metadata, f);
}

/* A page that is wanted and cannot be had: ENOMEM where there is somebody to tell. */
static void sweep_populate(struct __test_metadata *_metadata, struct fail *f, struct mapping m)
{
	f->call = &m;
	zt_open(_metadata, &f->z, 0, 0);
	sweep(_metadata, f, &(struct attempt){
		.what = "populate", .before = far_before, .call = populate,
		.failed = populate_failed, .done = populate_done,
	});
	zcio_close(f->z.ctx);
}

TEST_F(nth, populate_window)
{
	sweep_populate(_metadata, &self->f, (struct mapping){ 0, PROT_READ, ZCIO_MMAP_WINDOW });
}

TEST_F(nth, populate_writable_window)
{
	sweep_populate(_metadata, &self->f, (struct mapping){ 0, RW, ZCIO_MMAP_WINDOW });
}

TEST_F(nth, populate_pool)
{
	sweep_populate(_metadata, &self->f, (struct mapping){ 0, RW, ZCIO_MMAP_POOL });
}

FIXTURE(access)
{
	struct fail f;
};

/* Only ONE: an access that never finds memory would be made again for ever. */
FIXTURE_SETUP(access)
{
	if (!fail_setup(_metadata, &self->f, ONE))
		SKIP(return, FAIL_SKIP);
}

FIXTURE_TEARDOWN(access)
{
	fail_teardown(_metadata, &self->f);
}

/* An access that finds no memory is made again: no signal, and no page is lost. */
static void touch(struct __test_metadata *_metadata, struct fail *f, struct mapping m)
{
	unsigned int n = 0;

	f->call = &m;
	zt_open(_metadata, &f->z, 0, 0);
	do {
		volatile char *at;

		far_before(_metadata, f);
		at = MIDDLE(m.at);
		fail_arm(_metadata, f, ++n);
		if (m.prot & PROT_WRITE)
			*at = 7;
		else
			ASSERT_EQ(0, *at);
		fail_disarm(_metadata, f);
		ASSERT_EQ(m.prot & PROT_WRITE ? 7 : 0, *at);
		if (m.prot & PROT_WRITE)
			*at = 0;
		populate_done(_metadata, f, 0);
	} while (f->hit);
	TH_LOG("%u places", n - 1);
	EXPECT_LT(1, n);
	zcio_close(f->z.ctx);
}

TEST_F(access, touch_window)
{
	touch(_metadata, &self->f, (struct mapping){ 0, PROT_READ, ZCIO_MMAP_WINDOW });
}

TEST_F(access, touch_writable_window)
{
	touch(_metadata, &self->f, (struct mapping){ 0, RW, ZCIO_MMAP_WINDOW });
}

/* ---- cutting, protecting, moving ---- */

#define POOL_PAGES 9

static void pool_before(struct __test_metadata *_metadata, struct fail *f)
{
	f->z.pool = zt_pool(_metadata, f->z.ctx, POOL_PAGES);
	memset(f->z.pool, 4, ZT_PAGES(POOL_PAGES));
}

/* All of it is there, with what was in it, and can be written to. */
static void pool_is_whole(struct __test_metadata *_metadata, struct fail *f)
{
	holds(_metadata, f, POOL_PAGES);
	for (size_t i = 0; i < ZT_PAGES(POOL_PAGES); i++)
		ASSERT_EQ(4, f->z.pool[i]);
	memset(f->z.pool, 4, ZT_PAGES(POOL_PAGES));
}

static void pool_after(struct __test_metadata *_metadata, struct fail *f)
{
	ASSERT_EQ(0, munmap(f->z.pool, ZT_PAGES(POOL_PAGES)));
	fail_settled(_metadata, f);
}

static void sweep_pool(struct __test_metadata *_metadata, struct fail *f, const struct attempt *a)
{
	zt_open(_metadata, &f->z, 0, 0);
	sweep(_metadata, f, a);
	zcio_close(f->z.ctx);
}

static long cut(struct fail *f)
{
	return munmap(f->z.pool + ZT_PAGES(3), ZT_PAGE);
}

static void cut_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	holds(_metadata, f, POOL_PAGES - 1);
	memset(f->z.pool, 6, ZT_PAGES(3));
	memset(f->z.pool + ZT_PAGES(4), 6, ZT_PAGES(5));
	pool_after(_metadata, f);
}

TEST_F(nth, munmap_middle)
{
	sweep_pool(_metadata, &self->f, &(struct attempt){
		.what = "munmap of the middle", .before = pool_before, .call = cut,
		.failed = pool_is_whole, .done = cut_done,
	});
}

static long protect(struct fail *f)
{
	return mprotect(f->z.pool + ZT_PAGES(3), ZT_PAGE, PROT_READ);
}

static void protect_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	ASSERT_EQ(0, mprotect(f->z.pool, ZT_PAGES(POOL_PAGES), RW));
	pool_is_whole(_metadata, f);
	pool_after(_metadata, f);
}

TEST_F(nth, mprotect_middle)
{
	sweep_pool(_metadata, &self->f, &(struct attempt){
		.what = "mprotect of the middle", .before = pool_before, .call = protect,
		.failed = pool_is_whole, .done = protect_done,
	});
}

/* Moving is refused; the kernel finds out late, with a second mapping already made. */
static long move(struct fail *f)
{
	void *p = mremap(f->z.pool, ZT_PAGES(POOL_PAGES), ZT_PAGES(POOL_PAGES),
			 MREMAP_MAYMOVE | MREMAP_FIXED, f->call);

	return p == MAP_FAILED && errno != EINVAL ? -1 : p != MAP_FAILED;
}

static void move_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	ASSERT_EQ(0, ret);
	pool_is_whole(_metadata, f);
	pool_after(_metadata, f);
}

TEST_F(nth, mremap)
{
	self->f.call = mmap(NULL, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->f.call);
	self->f.call = (char *)self->f.call + (32 << 20);
	sweep_pool(_metadata, &self->f, &(struct attempt){
		.what = "mremap", .before = pool_before, .call = move,
		.failed = pool_is_whole, .done = move_done,
	});
}

/* ---- letting go ---- */

/* Windows, pools and contexts can be let go whatever fails. */
TEST_F(nth, letting_go)
{
	struct fail *f = &self->f;
	unsigned int n = 0;

	do {
		struct zt *z = &f->z;
		int closed, window, pool;

		zt_open(_metadata, z, 4, 4);
		memset(z->pool, 1, ZT_PAGES(4));
		fail_arm(_metadata, f, ++n);
		closed = close(z->dev);
		window = munmap(z->win, ZT_PAGES(4));
		pool = munmap(z->pool, ZT_PAGES(4));
		fail_disarm(_metadata, f);
		ASSERT_EQ(0, closed);
		/* munmap() itself needs a little; without it, all is as it was. */
		if (window) {
			ASSERT_TRUE(f->hit);
			ASSERT_EQ(0, munmap(z->win, ZT_PAGES(4)));
		}
		if (pool) {
			ASSERT_TRUE(f->hit);
			ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(4)));
		}
		free(z->ctx);
		fail_settled(_metadata, f);
		no_context(_metadata, f);
	} while (f->hit);
	EXPECT_LT(1, n);
}

TEST_HARNESS_MAIN
