// SPDX-License-Identifier: GPL-2.0
/*
 * zc_writev, and what others do meanwhile to its pool, its socket, its context and its
 * array. Whatever the moment: the peer gets what the call says was taken, no byte more;
 * the rest is still there; what somebody writes to an area meanwhile is either sent or
 * still there, and never both; a page that two send goes to one of the two; no memory is
 * touched that is not the pool's, and nothing is left behind.
 *
 * timeout: 300
 */
#include "meanwhile.h"

#define GUARD_PAGES	4
#define GUARD		0x77
#define MARK		0xb6	/* what is written to the areas meanwhile */
#define MOST_PAGES	64	/* in the two areas together */
#define OTHER_POS	(1ULL << 24)	/* where in the stream another sender's bytes are from */

enum {
	PUTS_POOL = DOES_MORE,
	WRITES,
	SENDS_SAME,
	SENDS_OVERLAP,
	SENDS_BEHIND,
};

struct race {
	struct scene s;		/* sends on rx, the peer is tx */
	int rx2, tx2;		/* where another sender sends to */
	char *behind;		/* the other sender's own area */
	struct iovec (*iov)[2];
	struct zcio_writev args;
	int ret, ret2;
	char got[ZT_PAGES(MOST_PAGES + GUARD_PAGES)], got2[ZT_PAGES(MOST_PAGES)];
	size_t gotten;
};

FIXTURE(sender)
{
	struct race *r;
	uint64_t seed;
};

FIXTURE_VARIANT(sender)
{
	int does;
};

FIXTURE_VARIANT_ADD(sender, pool_unmapped) { UNMAPS_ALL };
FIXTURE_VARIANT_ADD(sender, area_unmapped) { UNMAPS_LAST };
FIXTURE_VARIANT_ADD(sender, other_memory_put_there) { PUTS_MEMORY };
FIXTURE_VARIANT_ADD(sender, other_pool_put_there) { PUTS_POOL };
FIXTURE_VARIANT_ADD(sender, pool_protected) { PROTECTS };
FIXTURE_VARIANT_ADD(sender, pool_moved) { MOVES };
FIXTURE_VARIANT_ADD(sender, pool_dropped) { DROPS };
FIXTURE_VARIANT_ADD(sender, context_closed) { CLOSES_CONTEXT };
FIXTURE_VARIANT_ADD(sender, socket_closed) { CLOSES_SOCKET };
FIXTURE_VARIANT_ADD(sender, socket_shut_down) { SHUTS_DOWN };
FIXTURE_VARIANT_ADD(sender, connection_reset) { RESETS };
FIXTURE_VARIANT_ADD(sender, area_written) { WRITES };
FIXTURE_VARIANT_ADD(sender, area_read) { TOUCHES };
FIXTURE_VARIANT_ADD(sender, same_areas_sent) { SENDS_SAME };
FIXTURE_VARIANT_ADD(sender, overlapping_area_sent) { SENDS_OVERLAP };
FIXTURE_VARIANT_ADD(sender, another_sender) { SENDS_BEHIND };
FIXTURE_VARIANT_ADD(sender, context_tuned) { TUNES };
FIXTURE_VARIANT_ADD(sender, array_unmapped) { UNMAPS_ARRAY };
FIXTURE_VARIANT_ADD(sender, process_forked) { FORKS };

FIXTURE_SETUP(sender)
{
	self->r = calloc(1, sizeof(*self->r));
	ASSERT_NE(NULL, self->r);
	self->r->s.does = variant->does;
	self->seed = 20261121 + variant->does;
}

FIXTURE_TEARDOWN(sender)
{
	free(self->r);
}

/* ---- what is done meanwhile ---- */

static void send_also(struct race *r, int fd, char *from, size_t len)
{
	struct iovec iov[1][2] = { { zt_iov(from, len), zt_iov(from, len) } };

	r->ret2 = zt_writev(zcio_ctx_fd(r->s.another), fd, iov, 1, NULL, ZCIO_NOSIGNAL, NULL);
}

static void other_side(void *arg)
{
	struct race *r = arg;
	struct scene *s = &r->s;

	switch (s->does) {
	case PUTS_POOL:
		scene_put(s, PROT_READ | PROT_WRITE, MAP_SHARED, zcio_ctx_fd(s->another), ZCIO_MMAP_POOL);
		break;
	case WRITES:
		memset(s->at, MARK, s->len);
		break;
	case SENDS_SAME:
		send_also(r, r->rx2, s->at, s->len);
		break;
	case SENDS_OVERLAP:
		send_also(r, r->rx2, s->at + s->len / 4, s->len / 2);
		break;
	case SENDS_BEHIND:
		send_also(r, s->z.rx, r->behind, ZT_PAGES(GUARD_PAGES));
		break;
	default:
		meanwhile(s);
	}
}

static void call_side(void *arg)
{
	struct race *r = arg;

	r->ret = zt_writev_raw(r->s.z.dev, &r->args);
}

/* ---- a round ---- */

static void prepare(struct __test_metadata *_metadata, struct race *r, enum zt_path path,
		    size_t pages, int buffer)
{
	zt_open(_metadata, &r->s.z, 0, pages + 2 * GUARD_PAGES);
	scene_open(_metadata, &r->s);
	zt_tcp(_metadata, path, &r->s.z.rx, &r->s.z.tx);
	zt_tcp(_metadata, path, &r->rx2, &r->tx2);
	setsockopt(r->s.z.rx, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	r->s.map = r->s.z.pool;
	r->s.map_len = ZT_PAGES(pages + 2 * GUARD_PAGES);
	r->s.at = r->s.z.pool + ZT_PAGES(GUARD_PAGES);
	r->s.len = ZT_PAGES(pages);
	r->s.less = PROT_READ;
	r->s.shut = SHUT_WR;
	r->behind = r->s.at + r->s.len;
	memset(r->s.z.pool, GUARD, ZT_PAGES(GUARD_PAGES));
	zt_fill(r->s.at, r->s.len, 0);
	zt_fill(r->behind, ZT_PAGES(GUARD_PAGES), OTHER_POS);
	r->iov = r->s.array;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			r->iov[i][j] = zt_iov(r->s.at + i * r->s.len / 2, r->s.len / 2);
	r->args = (struct zcio_writev){
		.fd = r->s.z.rx, .iov = ZT_PTR(r->iov), .iovcnt = 2, .flags = ZCIO_NOSIGNAL,
	};
	r->ret2 = 0;
	r->gotten = 0;
}

/* All that comes out at the other end, until @call is over and nothing is on its way. */
static void collect(struct __test_metadata *_metadata, struct race *r, struct side *call)
{
	while (r->s.does != RESETS) {
		bool over = call->over;
		int left = 0;
		ssize_t n;

		if (over && r->s.does != CLOSES_SOCKET)
			ASSERT_EQ(0, ioctl(r->s.z.rx, TIOCOUTQ, &left));
		n = recv(r->s.z.tx, r->got + r->gotten, sizeof(r->got) - r->gotten, MSG_DONTWAIT);
		if (n > 0) {
			r->gotten += n;
			continue;
		}
		/* Its end, or (where it stays open) all that was sent. */
		if (n == 0 || (over && !left && r->s.does != CLOSES_SOCKET))
			return;
		ASSERT_EQ(EAGAIN, errno);
		usleep(500);
	}
}

static void collect_other(struct __test_metadata *_metadata, struct race *r)
{
	size_t want = r->s.does == SENDS_SAME ? r->s.len : r->s.len / 2;

	if (r->s.does != SENDS_SAME && r->s.does != SENDS_OVERLAP)
		return;
	ASSERT_EQ(1, r->ret2);
	ASSERT_EQ((ssize_t)want, recv(r->tx2, r->got2, want, MSG_WAITALL));
	zt_nothing(_metadata, r->tx2);
}

/* What the call may answer instead of how much it sent. */
static void may_fail(struct __test_metadata *_metadata, struct race *r)
{
	static const int also[][2] = {
		[UNMAPS_ALL] = { EFAULT }, [UNMAPS_LAST] = { EFAULT }, [PUTS_MEMORY] = { EFAULT },
		[PUTS_POOL] = { EFAULT }, [PROTECTS] = { EFAULT }, [CLOSES_CONTEXT] = { EBADF },
		[CLOSES_SOCKET] = { EBADF }, [SHUTS_DOWN] = { EPIPE },
		[RESETS] = { EPIPE, ECONNRESET }, [UNMAPS_ARRAY] = { EFAULT }, [FORKS] = {},
	};
	const int *err = also[r->s.does];

	if (r->ret >= 0) {
		ASSERT_EQ(r->args.taken / (r->s.len / 2), r->ret);
		ASSERT_TRUE(r->args.taken == r->s.len || r->s.does == SHUTS_DOWN || r->s.does == RESETS ||
			    (r->s.does == UNMAPS_LAST && r->args.taken == r->s.len / 2));
		return;
	}
	ASSERT_TRUE(err[0] == -r->ret || err[1] == -r->ret) TH_LOG("it failed: %s", strerror(-r->ret));
	ASSERT_EQ(0, r->args.taken);
}

/* The bytes from @pos on, of which somebody may have made marks. */
static void sent_or_there(struct __test_metadata *_metadata, struct race *r)
{
	for (size_t i = 0; i < r->args.taken; i++) {
		unsigned char got = r->got[i], mem = r->s.at[i], own = zt_byte(i);

		ASSERT_TRUE((got == MARK && !mem) || (got == own && mem == MARK)) {
			TH_LOG("byte %zu: %#x was sent, %#x is there, %#x was before", i, got, mem, own);
		}
	}
}

/* Each page went to one of two, and zeros to the other. */
static void one_of_two(struct __test_metadata *_metadata, struct race *r, size_t from, size_t to)
{
	for (size_t i = 0; i < r->s.len; i += ZT_PAGE) {
		bool here = zt_same(r->got + i, ZT_PAGE, i) == ZT_PAGE;
		char *there = r->got2 + (i - from);

		if (i < from || i >= to) {
			ASSERT_TRUE(here);
		} else if (here) {
			ASSERT_EQ(ZT_PAGE, zt_zeros(there, ZT_PAGE));
		} else {
			ASSERT_EQ(ZT_PAGE, zt_zeros(r->got + i, ZT_PAGE));
			ASSERT_EQ(ZT_PAGE, zt_same(there, ZT_PAGE, i));
		}
	}
	ASSERT_EQ(r->s.len, zt_zeros(r->s.at, r->s.len));
}

/* One after the other; unless the first had to wait. */
static void one_after_the_other(struct __test_metadata *_metadata, struct race *r, bool waited)
{
	size_t behind = ZT_PAGES(GUARD_PAGES), at;

	ASSERT_EQ(1, r->ret2);
	ASSERT_EQ(r->s.len + behind, r->gotten);
	at = zt_same(r->got, r->s.len, 0);
	ASSERT_TRUE(waited || at == 0 || at == r->s.len);
	ASSERT_EQ(behind, zt_same(r->got + at, behind, OTHER_POS));
	ASSERT_EQ(r->s.len - at, zt_same(r->got + at + behind, r->s.len - at, at));
	ASSERT_EQ(r->s.len + behind, zt_zeros(r->s.at, r->s.len + behind));
}

/* The areas: zeros where it was sent, and what it was where not. */
static void rest_is_there(struct __test_metadata *_metadata, struct race *r)
{
	size_t taken = r->args.taken, len = r->s.does == UNMAPS_LAST ? r->s.len / 2 : r->s.len;

	if (taken > len)
		taken = len;
	ASSERT_EQ(taken, zt_zeros(r->s.at, taken));
	ASSERT_EQ(len - taken, zt_same(r->s.at + taken, len - taken, taken));
}

static void look(struct __test_metadata *_metadata, struct race *r, bool waited)
{
	ASSERT_FALSE(r->s.moved);
	may_fail(_metadata, r);
	collect_other(_metadata, r);
	if (r->s.does != RESETS && r->s.does != SENDS_BEHIND)
		ASSERT_EQ(r->args.taken, r->gotten);
	switch (r->s.does) {
	case PUTS_MEMORY:
		ASSERT_TRUE(all_bytes(r->s.at, r->s.len, PATTERN));
		break;
	case PUTS_POOL:
		/* One pool's pages or the other's, and no page twice. */
		for (size_t i = 0; i < r->gotten; i += ZT_PAGE)
			ASSERT_TRUE(zt_same(r->got + i, ZT_PAGE, i) == ZT_PAGE ||
				    zt_zeros(r->got + i, ZT_PAGE) == ZT_PAGE);
		ASSERT_EQ(r->s.len, zt_zeros(r->s.at, r->s.len));
		break;
	case WRITES:
		sent_or_there(_metadata, r);
		break;
	case SENDS_SAME:
		one_of_two(_metadata, r, 0, r->s.len);
		break;
	case SENDS_OVERLAP:
		one_of_two(_metadata, r, r->s.len / 4, r->s.len / 4 * 3);
		break;
	case SENDS_BEHIND:
		one_after_the_other(_metadata, r, waited);
		break;
	default:
		ASSERT_EQ(r->gotten, zt_same(r->got, r->gotten, 0));
		if (r->s.does != UNMAPS_ALL)
			rest_is_there(_metadata, r);
	}
	if (r->s.does != UNMAPS_ALL) {
		ASSERT_TRUE(all_bytes(r->s.z.pool, ZT_PAGES(GUARD_PAGES), GUARD));
		ASSERT_TRUE(r->s.does == SENDS_BEHIND ||
			    zt_same(r->behind, ZT_PAGES(GUARD_PAGES), OTHER_POS) == ZT_PAGES(GUARD_PAGES));
	}
}

static void finish(struct __test_metadata *_metadata, struct race *r)
{
	close(r->rx2);
	close(r->tx2);
	scene_close(_metadata, &r->s);
}

/* ---- the moments ---- */

static const enum zt_path paths[] = { ZT_WIRE4, ZT_LO6 };

TEST_F(sender, at_some_moment)
{
	struct race *r = self->r;

	for (int round = 0; round < 8; round++) {
		struct side call = { call_side, r };

		prepare(_metadata, r, paths[round % 2], 8, 1 << 20);
		race_by_chance(_metadata, &call, &(struct side){ other_side, r }, &self->seed);
		collect(_metadata, r, &call);
		look(_metadata, r, false);
		finish(_metadata, r);
	}
}

/* The call waits for room in the socket's buffers, its pages taken out. */
TEST_F(sender, while_it_waits)
{
	struct race *r = self->r;

	for (int i = 0; i < (int)ARRAY_SIZE(paths); i++) {
		struct side call = { call_side, r }, other = { other_side, r };

		prepare(_metadata, r, paths[i], MOST_PAGES, 8192);
		side_start(_metadata, &call);
		zt_asleep(_metadata, call.tid);
		side_start(_metadata, &other);
		side_settles(&other);
		collect(_metadata, r, &call);
		side_join(_metadata, &other);
		side_join(_metadata, &call);
		/* What the other sent behind it. */
		collect(_metadata, r, &other);
		look(_metadata, r, true);
		finish(_metadata, r);
	}
}

static const char *const call_points[] = {
	"writev_checked", "writev_reserved", "pool_swap", "writev_swapped", "writev_sent",
	"writev_settling", "ioctl_ran",
};

TEST_F_TIMEOUT(sender, at_each_point, 120)
{
	struct race *r = self->r;

	if (!points())
		SKIP(return, RACE_SKIP);
	for (int i = 0; i < (int)ARRAY_SIZE(call_points); i++) {
		for (int path = 0; path < (int)ARRAY_SIZE(paths); path++) {
			bool held;

			do {
				struct side call = { call_side, r };

				prepare(_metadata, r, paths[path], 8, 1 << 20);
				held = race_at(_metadata, &call, &(struct side){ other_side, r },
					       call_points[i]);
				collect(_metadata, r, &call);
				look(_metadata, r, false);
				finish(_metadata, r);
			} while (!held);
		}
	}
}

/* ---- a page between two payloads goes ---- */

static void unmap_room(void *arg)
{
	struct race *r = arg;

	munmap(r->s.at + r->s.len / 2 - ZT_PAGE, ZT_PAGE);
}

/* The tail room of the first area: what lies behind it is swapped out all the same. */
TEST(room_unmapped_at_each_point)
{
	struct race *r = calloc(1, sizeof(*r));

	ASSERT_NE(NULL, r);
	if (!points())
		SKIP(return, RACE_SKIP);
	for (int i = 0; i < (int)ARRAY_SIZE(call_points); i++) {
		struct side call = { call_side, r };
		size_t half, first;

		r->s.does = DOES_MORE;
		prepare(_metadata, r, ZT_LO4, 8, 1 << 20);
		half = r->s.len / 2;
		first = half - ZT_PAGE;
		r->iov[0][1].iov_len = first;
		race_at(_metadata, &call, &(struct side){ unmap_room, r }, call_points[i]);
		collect(_metadata, r, &call);
		ASSERT_EQ(r->gotten, r->args.taken);
		ASSERT_TRUE(r->ret == 2 || r->ret == -EFAULT) TH_LOG("%d at %s", r->ret, call_points[i]);
		if (r->ret == 2) {
			ASSERT_EQ(first, zt_same(r->got, first, 0));
			ASSERT_EQ(half, zt_same(r->got + first, half, half));
			ASSERT_EQ(first, zt_zeros(r->s.at, first));
			ASSERT_EQ(half, zt_zeros(r->s.at + half, half));
		} else {
			ASSERT_EQ(first, zt_same(r->s.at, first, 0));
			ASSERT_EQ(half, zt_same(r->s.at + half, half, half));
		}
		/* What is written there now is what is sent. */
		zt_fill(r->s.at + half, half, OTHER_POS);
		ASSERT_EQ(1, zt_writev(r->s.z.dev, r->s.z.rx, r->iov + 1, 1, NULL, 0, NULL));
		zt_recv(_metadata, r->s.z.tx, half, OTHER_POS);
		finish(_metadata, r);
	}
	free(r);
}

TEST_HARNESS_MAIN
