// SPDX-License-Identifier: GPL-2.0
/*
 * What a program can do to the address space of windows and pools: fork, mremap, partial
 * munmap, mprotect, madvise, mlock, and closing what they came from. Payloads that are
 * not concerned stay as they are, and the counts of pages follow.
 *
 * widths: 64, 32
 */
#include <sys/prctl.h>

#include "flow.h"

#define WINDOW	64
#define POOL	16
#define MOST	6000	/* bytes of each payload: two pages, if a frame may be as large */

/* A message in the window, and where in the stream it was. */
struct kept {
	struct iovec v;
	uint64_t pos;
};

/* Payloads lie in pages 0, 16 and 32 of the window; the pool has a pattern in it. */
FIXTURE(map)
{
	struct zt z;		/* the connection is there to send on */
	struct flow f;		/* what payloads come by */
	struct kept kept[3];
};

FLOW_PAGES(map);

typedef FIXTURE_DATA(map) map;

static void put(struct __test_metadata *_metadata, map *self)
{
	flow_put(_metadata, &self->f, self->f.most < MOST ? self->f.most : MOST);
}

static struct kept receive(struct __test_metadata *_metadata, map *self, void *at)
{
	struct kept k = { .pos = self->f.pos[self->f.sent] };

	put(_metadata, self);
	k.v = flow_receive(_metadata, &self->f, self->z.dev, at, 4);
	return k;
}

FIXTURE_SETUP(map)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, WINDOW, POOL);
	zt_tcp(_metadata, ZT_LO4, &z->rx, &z->tx);
	flow_open(_metadata, &self->f, variant->kind, variant->wire);
	for (int i = 0; i < 3; i++)
		self->kept[i] = receive(_metadata, self, z->win + ZT_PAGES(16 * i));
	zt_fill(z->pool, ZT_PAGES(POOL), 1000000);
}

FIXTURE_TEARDOWN(map)
{
}

static bool same(const map *self, const struct kept *k)
{
	size_t own = k->v.iov_len - self->f.header;

	return zt_same((char *)k->v.iov_base + self->f.header, own, k->pos) == own;
}

static bool intact(const map *self, int i)
{
	return same(self, &self->kept[i]);
}

/* In how many pages it lies. */
static size_t pages_of(const struct kept *k)
{
	return (zt_up((char *)k->v.iov_base + k->v.iov_len) - zt_down(k->v.iov_base)) / ZT_PAGE;
}

static void all_intact(struct __test_metadata *_metadata, map *self)
{
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(intact(self, i)) {
			TH_LOG("payload %d", i);
		}
	}
	ASSERT_EQ(ZT_PAGES(POOL), zt_same(self->z.pool, ZT_PAGES(POOL), 1000000));
}

#define ALL_INTACT() all_intact(_metadata, self)

/* The window and the pool still do what they are for. */
static void usable(struct __test_metadata *_metadata, map *self, int page)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGE), zt_iov(z->pool, 500) } };

	receive(_metadata, self, z->win + ZT_PAGES(page));
	zt_fill(z->pool, 500, 42);
	ASSERT_EQ(1, zc_writev(z->rx, area, 1));
	zt_recv(_metadata, z->tx, 500, 42);
	ASSERT_EQ(500, zt_zeros(z->pool, 500));
}

/* What signal a child gets that touches @addr. */
static int child_signal(struct __test_metadata *_metadata, volatile char *addr)
{
	pid_t pid = fork();
	int status;

	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_DUMPABLE, 0);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		_exit(*addr ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static uint64_t window_pages(struct __test_metadata *_metadata, struct zt *z)
{
	return zt_info(_metadata, z->ctx).window_pages;
}

static uint64_t pool_pages(struct __test_metadata *_metadata, struct zt *z)
{
	return zt_info(_metadata, z->ctx).pool_pages;
}

TEST_F(map, fork_does_not_inherit)
{
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, self->kept[0].v.iov_base));
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, self->z.win + ZT_PAGES(WINDOW - 1)));
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, self->z.pool));
	ALL_INTACT();
	usable(_metadata, self, 40);
}

TEST_F(map, fork_inheritance_cannot_be_asked_for)
{
	ASSERT_EQ(-1, madvise(self->z.win, ZT_PAGES(WINDOW), MADV_DOFORK));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, madvise(self->z.pool, ZT_PAGES(POOL), MADV_DOFORK));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, self->kept[0].v.iov_base));
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, self->z.pool));
}

/* A child that only exits takes no page with it. */
TEST_F(map, fork_and_exit_of_the_child_change_nothing)
{
	uint64_t pages = window_pages(_metadata, &self->z);

	for (int i = 0; i < 5; i++)
		child_signal(_metadata, (char *)&pages);
	ASSERT_EQ(pages, window_pages(_metadata, &self->z));
	ASSERT_EQ(POOL, pool_pages(_metadata, &self->z));
	ALL_INTACT();
}

static void *elsewhere(struct __test_metadata *_metadata, size_t pages)
{
	void *p = mmap(NULL, ZT_PAGES(pages), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	munmap(p, ZT_PAGES(pages));
	return p;
}

TEST_F(map, mremap_move_is_refused)
{
	uint64_t pages = window_pages(_metadata, &self->z);
	void *to = elsewhere(_metadata, WINDOW);

	ASSERT_EQ(MAP_FAILED, mremap(self->z.win, ZT_PAGES(WINDOW), ZT_PAGES(WINDOW),
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ALL_INTACT();
	/* A part of it, with a payload in the middle of that. */
	ASSERT_EQ(MAP_FAILED, mremap(self->z.win + ZT_PAGES(15), ZT_PAGES(8), ZT_PAGES(8),
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ALL_INTACT();
	ASSERT_EQ(MAP_FAILED, mremap(self->z.pool, ZT_PAGES(POOL), ZT_PAGES(POOL),
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ASSERT_EQ(MAP_FAILED, mremap(self->z.pool + ZT_PAGE, ZT_PAGES(4), ZT_PAGES(4),
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ALL_INTACT();
	ASSERT_EQ(pages, window_pages(_metadata, &self->z));
	ASSERT_EQ(POOL, pool_pages(_metadata, &self->z));
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, to));
	usable(_metadata, self, 40);
}

TEST_F(map, mremap_grow_is_refused)
{
	ASSERT_EQ(MAP_FAILED, mremap(self->z.win, ZT_PAGES(WINDOW), ZT_PAGES(2 * WINDOW), 0));
	ASSERT_EQ(MAP_FAILED, mremap(self->z.win, ZT_PAGES(WINDOW), ZT_PAGES(2 * WINDOW),
				     MREMAP_MAYMOVE));
	ASSERT_EQ(MAP_FAILED, mremap(self->z.pool, ZT_PAGES(POOL), ZT_PAGES(2 * POOL),
				     MREMAP_MAYMOVE));
	ALL_INTACT();
	usable(_metadata, self, 40);
}

TEST_F(map, mremap_duplicate_is_refused)
{
	ASSERT_EQ(MAP_FAILED, mremap(self->z.win, 0, ZT_PAGES(WINDOW), MREMAP_MAYMOVE));
	ASSERT_EQ(MAP_FAILED, mremap(self->z.pool, 0, ZT_PAGES(POOL), MREMAP_MAYMOVE));
	ASSERT_EQ(MAP_FAILED, mremap(self->z.win, ZT_PAGES(WINDOW), ZT_PAGES(WINDOW),
				     MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	ASSERT_EQ(MAP_FAILED, mremap(self->z.pool, ZT_PAGES(POOL), ZT_PAGES(POOL),
				     MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	ALL_INTACT();
	usable(_metadata, self, 40);
}

TEST_F(map, mremap_shrink_is_munmap)
{
	uint64_t pages = window_pages(_metadata, &self->z);

	ASSERT_EQ((void *)self->z.win, mremap(self->z.win, ZT_PAGES(WINDOW), ZT_PAGES(24), 0));
	ASSERT_LT(window_pages(_metadata, &self->z), pages);
	ASSERT_TRUE(intact(self, 0));
	ASSERT_TRUE(intact(self, 1));
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, self->kept[2].v.iov_base));
	usable(_metadata, self, 8);
}

TEST_F(map, munmap_in_the_middle_of_a_window)
{
	struct zt *z = &self->z;
	uint64_t pages = window_pages(_metadata, z);

	/* Of what is unmapped only payload 1 holds pages. */
	ASSERT_EQ(0, munmap(z->win + ZT_PAGES(10), ZT_PAGES(10)));
	ASSERT_EQ(pages - pages_of(&self->kept[1]), window_pages(_metadata, z));
	ASSERT_TRUE(intact(self, 0));
	ASSERT_TRUE(intact(self, 2));
	usable(_metadata, self, 6);
	usable(_metadata, self, 20);
	ASSERT_TRUE(intact(self, 0));
	ASSERT_TRUE(intact(self, 2));
	/* And all of it, piece by piece, from the middle outward. */
	ASSERT_EQ(0, munmap(z->win + ZT_PAGES(20), ZT_PAGES(14)));
	ASSERT_EQ(0, munmap(z->win + ZT_PAGES(34), ZT_PAGES(WINDOW - 34)));
	ASSERT_EQ(0, munmap(z->win, ZT_PAGES(10)));
	ASSERT_EQ(0, window_pages(_metadata, z));
}

TEST_F(map, munmap_of_half_a_payload)
{
	struct zt *z = &self->z;
	uint64_t pages = window_pages(_metadata, z);
	struct kept *k = &self->kept[1];
	char *second = zt_down(k->v.iov_base) + ZT_PAGE;
	size_t gone = second - (char *)k->v.iov_base, rest = k->v.iov_len - gone;

	if (pages_of(k) < 2)
		SKIP(return, "a frame fits into one page");
	ASSERT_EQ(0, munmap(second - ZT_PAGE, ZT_PAGE));
	ASSERT_EQ(pages - 1, window_pages(_metadata, z));
	ASSERT_EQ(rest, zt_same(second, rest, k->pos + gone - self->f.header));
}

TEST_F(map, munmap_in_the_middle_of_a_pool)
{
	struct zt *z = &self->z;
	struct iovec area[2][2] = {
		{ zt_iov(z->pool + ZT_PAGES(8), ZT_PAGE), zt_iov(z->pool + ZT_PAGES(8), ZT_PAGE) },
		{ zt_iov(z->pool + ZT_PAGES(3), ZT_PAGE), zt_iov(z->pool + ZT_PAGES(3), ZT_PAGE) },
	};

	ASSERT_EQ(0, munmap(z->pool + ZT_PAGES(4), ZT_PAGES(4)));
	ASSERT_EQ(POOL - 4, pool_pages(_metadata, z));
	ASSERT_EQ(ZT_PAGES(4), zt_same(z->pool, ZT_PAGES(4), 1000000));
	ASSERT_EQ(ZT_PAGES(8), zt_same(z->pool + ZT_PAGES(8), ZT_PAGES(8), 1000000 + ZT_PAGES(8)));
	ASSERT_EQ(2, zc_writev(z->rx, area, 2));
	zt_recv(_metadata, z->tx, ZT_PAGE, 1000000 + ZT_PAGES(8));
	zt_recv(_metadata, z->tx, ZT_PAGE, 1000000 + ZT_PAGES(3));
	ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(4)));
	ASSERT_EQ(0, munmap(z->pool + ZT_PAGES(8), ZT_PAGES(8)));
	ASSERT_EQ(0, pool_pages(_metadata, z));
}

TEST_F(map, another_mapping_put_over_it)
{
	struct zt *z = &self->z;
	char *over = mmap(z->win + ZT_PAGES(16), ZT_PAGES(4), PROT_READ | PROT_WRITE,
			  MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = zt_iov(over, ZT_PAGE);

	ASSERT_NE(MAP_FAILED, over);
	ASSERT_EQ(ZT_PAGES(4), zt_zeros(over, ZT_PAGES(4)));
	ASSERT_EQ(-EFAULT, zt_readv(z->dev, z->rx, &iov, 1, NULL, ZCIO_DONTWAIT));
	ASSERT_TRUE(intact(self, 0));
	ASSERT_TRUE(intact(self, 2));
	usable(_metadata, self, 4);
}

TEST_F(map, mprotect_cannot_make_a_window_writable)
{
	ASSERT_EQ(-1, mprotect(self->z.win, ZT_PAGES(WINDOW), PROT_READ | PROT_WRITE));
	ASSERT_EQ(EACCES, errno);
	ASSERT_EQ(-1, mprotect(self->z.win, ZT_PAGES(WINDOW), PROT_READ | PROT_EXEC));
	ASSERT_EQ(EACCES, errno);
	ASSERT_EQ(-1, mprotect(self->z.pool, ZT_PAGES(POOL), PROT_READ | PROT_EXEC));
	ASSERT_EQ(EACCES, errno);
	ALL_INTACT();
}

TEST_F(map, mprotect_none_and_back)
{
	struct zt *z = &self->z;

	ASSERT_EQ(0, mprotect(z->win, ZT_PAGES(WINDOW), PROT_NONE));
	ASSERT_EQ(0, mprotect(z->pool, ZT_PAGES(POOL), PROT_NONE));
	ASSERT_EQ(0, mprotect(z->pool, ZT_PAGES(POOL), PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, mprotect(z->win, ZT_PAGES(WINDOW), PROT_READ));
	ALL_INTACT();
	usable(_metadata, self, 40);
}

TEST_F(map, mprotect_splits_a_window_and_joins_it)
{
	struct zt *z = &self->z;
	char *w = zcio_window(z->ctx, ZT_PAGES(32), ZCIO_WINDOW_WRITABLE);
	struct kept a, b;

	ASSERT_NE(NULL, w);
	a = receive(_metadata, self, w);
	b = receive(_metadata, self, w + ZT_PAGES(16));
	ASSERT_EQ(0, mprotect(w + ZT_PAGES(8), ZT_PAGES(12), PROT_READ));
	ASSERT_TRUE(same(self, &a) && same(self, &b));
	receive(_metadata, self, w + ZT_PAGES(8));
	receive(_metadata, self, w + ZT_PAGES(24));
	ASSERT_EQ(0, mprotect(w + ZT_PAGES(8), ZT_PAGES(12), PROT_READ | PROT_WRITE));
	ASSERT_TRUE(same(self, &a) && same(self, &b));
	*(char *)b.v.iov_base = 1;
	receive(_metadata, self, w + ZT_PAGES(8));
	ALL_INTACT();
}

/* It is one window to the application, however the kernel keeps it. */
TEST_F(map, region_across_what_mprotect_split)
{
	struct zt *z = &self->z;
	char *w = zcio_window(z->ctx, ZT_PAGES(32), ZCIO_WINDOW_WRITABLE);

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, mprotect(w + ZT_PAGES(8), ZT_PAGES(8), PROT_READ));
	ASSERT_EQ(0, mprotect(w + ZT_PAGES(8), ZT_PAGES(8), PROT_READ | PROT_WRITE));
	receive(_metadata, self, w + ZT_PAGES(7));
	receive(_metadata, self, w + ZT_PAGES(14));
}

TEST_F(map, area_across_what_mprotect_split)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(8)), zt_iov(z->pool, ZT_PAGES(8)) } };

	ASSERT_EQ(0, mprotect(z->pool + ZT_PAGES(4), ZT_PAGES(2), PROT_READ));
	ASSERT_EQ(0, mprotect(z->pool + ZT_PAGES(4), ZT_PAGES(2), PROT_READ | PROT_WRITE));
	ASSERT_EQ(1, zc_writev(z->rx, area, 1)) TH_LOG("%m");
	zt_recv(_metadata, z->tx, ZT_PAGES(8), 1000000);
	ASSERT_EQ(ZT_PAGES(8), zt_zeros(z->pool, ZT_PAGES(8)));
}

TEST_F(map, madvise_dontneed_empties_a_window)
{
	struct zt *z = &self->z;

	ASSERT_EQ(0, madvise(z->win + ZT_PAGES(16), ZT_PAGES(16), MADV_DONTNEED));
	ASSERT_EQ(ZT_PAGES(16), zt_zeros(z->win + ZT_PAGES(16), ZT_PAGES(16)));
	ASSERT_TRUE(intact(self, 0));
	ASSERT_TRUE(intact(self, 2));
	usable(_metadata, self, 16);
	ASSERT_EQ(0, munmap(z->win, ZT_PAGES(WINDOW)));
	ASSERT_EQ(0, window_pages(_metadata, z));
}

TEST_F(map, madvise_dontneed_keeps_what_a_pool_holds)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(4)), zt_iov(z->pool, ZT_PAGES(4)) } };

	ASSERT_EQ(0, madvise(z->pool, ZT_PAGES(POOL), MADV_DONTNEED));
	ASSERT_EQ(POOL, pool_pages(_metadata, z));
	ALL_INTACT();
	ASSERT_EQ(0, madvise(z->pool, ZT_PAGES(POOL), MADV_DONTNEED));
	ASSERT_EQ(1, zc_writev(z->rx, area, 1));
	zt_recv(_metadata, z->tx, ZT_PAGES(4), 1000000);
	ASSERT_EQ(ZT_PAGES(4), zt_zeros(z->pool, ZT_PAGES(4)));
}

TEST_F(map, madvise_of_every_other_kind_keeps_all)
{
	static const int advice[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_FREE, MADV_REMOVE,
		MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK,
		MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE,
	};
	struct zt *z = &self->z;

	/* Most are refused; whatever they answer, nothing is lost. */
	for (int i = 0; i < ARRAY_SIZE(advice); i++) {
		madvise(z->win, ZT_PAGES(WINDOW), advice[i]);
		madvise(z->pool, ZT_PAGES(POOL), advice[i]);
		ALL_INTACT();
	}
	ASSERT_EQ(SIGSEGV, child_signal(_metadata, self->kept[0].v.iov_base));
	ASSERT_EQ(POOL, pool_pages(_metadata, z));
	usable(_metadata, self, 40);
}

TEST_F(map, mlock_changes_nothing)
{
	struct zt *z = &self->z;

	/* The kernel answers as it does for every device's memory. */
	mlock(z->win, ZT_PAGES(WINDOW));
	mlock(z->pool, ZT_PAGES(POOL));
	ALL_INTACT();
	usable(_metadata, self, 40);
	munlockall();
	ASSERT_EQ(0, munmap(z->win, ZT_PAGES(WINDOW)));
	ASSERT_EQ(0, window_pages(_metadata, z));
}

/* Touching where no payload is shows zeros, and in a read-only window costs nothing. */
TEST_F(map, touching_an_empty_window_takes_no_page)
{
	struct zt *z = &self->z;
	uint64_t pages = window_pages(_metadata, z);

	ASSERT_EQ(ZT_PAGES(8), zt_zeros(z->win + ZT_PAGES(48), ZT_PAGES(8)));
	ASSERT_EQ(pages, window_pages(_metadata, z));
	usable(_metadata, self, 48);
}

TEST_F(map, touching_an_empty_writable_window_is_charged)
{
	struct zt *z = &self->z;
	uint64_t pages = window_pages(_metadata, z);
	char *w = zcio_window(z->ctx, ZT_PAGES(8), ZCIO_WINDOW_WRITABLE);

	ASSERT_NE(NULL, w);
	w[0] = 1;
	ASSERT_EQ(ZT_PAGE, zt_zeros(w + ZT_PAGES(2), ZT_PAGE));
	ASSERT_EQ(pages + 2, window_pages(_metadata, z));
	receive(_metadata, self, w);
	ASSERT_EQ(0, zcio_unmap(w, ZT_PAGES(8)));
	ASSERT_EQ(pages, window_pages(_metadata, z));
}

TEST_F(map, context_closed_while_mapped)
{
	struct zt *z = &self->z;
	struct zcio_ctx *other = zt_context();
	struct zcio_info before, after;

	ASSERT_NE(NULL, other);
	/* The library opens a context of its own for the calls that name none. */
	ASSERT_EQ(-1, zc_readv(-1, &self->kept[0].v, 1));
	before = zt_info(_metadata, other);
	zcio_close(z->ctx);
	z->dev = zcio_ctx_fd(other);
	ALL_INTACT();
	usable(_metadata, self, 40);
	after = zt_info(_metadata, other);
	/* The mappings keep the context. */
	ASSERT_EQ(before.total_contexts, after.total_contexts);
	ASSERT_EQ(0, after.window_pages);
	ASSERT_EQ(0, after.rx.calls);
	ASSERT_EQ(0, zcio_unmap(z->win, ZT_PAGES(WINDOW)));
	ASSERT_EQ(0, zcio_unmap(z->pool, ZT_PAGES(POOL)));
	after = zt_info(_metadata, other);
	ASSERT_EQ(before.total_contexts - 1, after.total_contexts);
	ASSERT_EQ(0, after.total_window_pages);
	ASSERT_EQ(0, after.total_pool_pages);
}

TEST_F(map, sockets_closed_while_payloads_are_mapped)
{
	put(_metadata, self);
	close(self->f.to);
	close(self->f.from);
	ALL_INTACT();
	flow_open(_metadata, &self->f, variant->kind, variant->wire);
	usable(_metadata, self, 40);
}

/* Two windows, two contexts, one call. */
TEST_F(map, one_call_into_two_windows)
{
	struct zt *z = &self->z;
	struct zcio_ctx *other = zt_context();
	char *w = zt_window(_metadata, other, 4);
	struct iovec iov[2] = { zt_iov(w, ZT_PAGE), zt_iov(z->win + ZT_PAGES(40), ZT_PAGES(3)) };
	struct zcio_payload info[2];

	if (self->f.most <= ZT_PAGE)
		SKIP(return, "a frame fits into one page");
	put(_metadata, self);
	if (flow_streams(&self->f))
		zt_arrived(_metadata, self->f.to, MOST);
	ASSERT_EQ(2, zt_readv(z->dev, self->f.to, iov, 2, info, 0));
	flow_took(_metadata, &self->f, iov, info, 2);
	flow_drain(_metadata, &self->f);
	ASSERT_EQ(1, zt_info(_metadata, other).window_pages);
	ALL_INTACT();
}

TEST_HARNESS_MAIN
