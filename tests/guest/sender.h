/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What race_writev.c and race_datagram_tx.c share: the fixture, with all that others can do to
 * a pool, a socket, a context and an array while zc_writev uses them; and what must hold
 * afterwards whatever the socket. Whatever the moment: the peer gets what the call says was
 * taken, no byte more; the rest is still there; what somebody writes to an area meanwhile is
 * either sent or still there, and never both; a page that two send goes to one of the two; no
 * memory is touched that is not the pool's, and nothing is left behind.
 */
#ifndef SENDER_H
#define SENDER_H

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
	size_t head;		/* room in an area before its payload */
	size_t half, each;	/* bytes of an area, and of its payload */
	int reset[2];		/* what may be said when the peer is gone */
	struct zcio_writev args;
	int ret, ret2;
	/* What came, where it lay in the areas; so many bytes of it. */
	char got[ZT_PAGES(MOST_PAGES + GUARD_PAGES)], got2[ZT_PAGES(MOST_PAGES)];
	size_t gotten;
};

/* What is asked of a kind of sockets; there are several, by number. */
struct way {
	void (*prepare)(struct __test_metadata *_metadata, struct race *r, int number);
	/* All that comes at the other end, until the call is over and nothing is on its way. */
	void (*collect)(struct __test_metadata *_metadata, struct race *r, struct side *call);
	/* What must hold when another has sent behind the call. */
	void (*behind)(struct __test_metadata *_metadata, struct race *r, bool waited);
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

/* Another sender, of one payload in one area. */
static void send_also(struct race *r, int fd, char *from, size_t len)
{
	struct iovec iov[1][2] = { { zt_iov(from, len), zt_iov(from + r->head, len - r->head) } };

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

/* The pool; the sockets are opened next. */
static void sender_open(struct __test_metadata *_metadata, struct race *r, size_t pages)
{
	zt_open(_metadata, &r->s.z, 0, pages + 2 * GUARD_PAGES);
	scene_open(_metadata, &r->s);
	r->rx2 = -1;
	r->tx2 = -1;
	r->s.map = r->s.z.pool;
	r->s.map_len = ZT_PAGES(pages + 2 * GUARD_PAGES);
	r->s.at = r->s.z.pool + ZT_PAGES(GUARD_PAGES);
	r->s.len = ZT_PAGES(pages);
	r->s.less = PROT_READ;
	r->s.shut = SHUT_WR;
}

/* The areas, and the call, on the sockets that are open now. */
static void sender_areas(struct race *r, size_t head)
{
	r->head = head;
	r->half = r->s.len / 2;
	r->each = r->half - head;
	r->behind = r->s.at + r->s.len;
	memset(r->s.z.pool, GUARD, ZT_PAGES(GUARD_PAGES));
	zt_fill(r->s.at, r->s.len, 0);
	zt_fill(r->behind, ZT_PAGES(GUARD_PAGES), OTHER_POS);
	r->iov = r->s.array;
	for (int i = 0; i < 2; i++) {
		r->iov[i][0] = zt_iov(r->s.at + i * r->half, r->half);
		r->iov[i][1] = zt_iov(r->s.at + i * r->half + head, r->each);
	}
	r->args = (struct zcio_writev){
		.fd = r->s.z.rx, .iov = ZT_PTR(r->iov), .iovcnt = 2, .flags = ZCIO_NOSIGNAL,
	};
	r->ret2 = 0;
	r->gotten = 0;
}

static void finish(struct __test_metadata *_metadata, struct race *r)
{
	close(r->rx2);
	close(r->tx2);
	scene_close(_metadata, &r->s);
}

/* ---- what must hold ---- */

static void collect_other(struct __test_metadata *_metadata, struct race *r)
{
	size_t want = (r->s.does == SENDS_SAME ? r->s.len : r->half) - r->head;

	if (r->s.does != SENDS_SAME && r->s.does != SENDS_OVERLAP)
		return;
	ASSERT_EQ(1, r->ret2);
	for (char *to = r->got2 + r->head; want;) {
		ssize_t n = recv(r->tx2, to, want, 0);

		ASSERT_LT(0, n) TH_LOG("%m");
		to += n;
		want -= n;
	}
	zt_nothing(_metadata, r->tx2);
}

/* What the call may answer instead of how much it sent. */
static void may_fail(struct __test_metadata *_metadata, struct race *r)
{
	static const int also[] = {
		[UNMAPS_ALL] = EFAULT, [UNMAPS_LAST] = EFAULT, [PUTS_MEMORY] = EFAULT,
		[PUTS_POOL] = EFAULT, [PROTECTS] = EFAULT, [CLOSES_CONTEXT] = EBADF,
		[CLOSES_SOCKET] = EBADF, [SHUTS_DOWN] = EPIPE, [UNMAPS_ARRAY] = EFAULT,
		[SENDS_BEHIND] = 0,
	};
	int err = -r->ret;

	if (r->ret >= 0) {
		ASSERT_EQ(r->args.taken / r->each, r->ret);
		ASSERT_TRUE(r->args.taken == 2 * r->each || r->s.does == SHUTS_DOWN || r->s.does == RESETS ||
			    (r->s.does == UNMAPS_LAST && r->args.taken == r->each));
		return;
	}
	ASSERT_TRUE(err == also[r->s.does] ||
		    (r->s.does == RESETS && (err == r->reset[0] || err == r->reset[1]))) {
		TH_LOG("it failed: %s", strerror(err));
	}
	ASSERT_EQ(0, r->args.taken);
}

/* Where in the areas a page's payload begins, if it is payload of an area from @from on. */
static size_t behind_head(const struct race *r, size_t page, size_t from)
{
	return page == from ? page + r->head : page;
}

/* The areas' bytes, of which somebody may have made marks. */
static void sent_or_there(struct __test_metadata *_metadata, struct race *r)
{
	for (size_t i = 0; i < r->s.len; i++) {
		unsigned char got = r->got[i], mem = r->s.at[i], own = zt_byte(i);

		if (i % r->half < r->head)
			got = mem ? own : MARK;
		ASSERT_TRUE((got == MARK && !mem) || (got == own && mem == MARK)) {
			TH_LOG("byte %zu: %#x was sent, %#x is there, %#x was before", i, got, mem, own);
		}
	}
}

/* One pool's pages or the other's were sent, and no page twice. */
static void one_pool_or_the_other(struct __test_metadata *_metadata, struct race *r)
{
	size_t sent = r->gotten ? r->s.len : 0;

	for (size_t i = 0; i < sent; i += ZT_PAGE) {
		size_t at = behind_head(r, i, i / r->half * r->half), len = i + ZT_PAGE - at;

		ASSERT_TRUE(zt_same(r->got + at, len, at) == len || zt_zeros(r->got + at, len) == len);
	}
	ASSERT_EQ(r->s.len, zt_zeros(r->s.at, r->s.len));
}

/* Each page went to one of two, and zeros to the other, who sent what is from @from to @to. */
static void one_of_two(struct __test_metadata *_metadata, struct race *r, size_t from, size_t to)
{
	for (size_t i = 0; i < r->s.len; i += ZT_PAGE) {
		size_t at = behind_head(r, i, i / r->half * r->half), len = i + ZT_PAGE - at;
		size_t at2 = behind_head(r, i, from), len2 = i + ZT_PAGE - at2;
		bool here = zt_same(r->got + at, len, at) == len;
		char *there = r->got2 + (at2 - from);

		if (i < from || i >= to) {
			ASSERT_TRUE(here);
		} else if (here) {
			ASSERT_EQ(len2, zt_zeros(there, len2));
		} else {
			ASSERT_EQ(len, zt_zeros(r->got + at, len));
			ASSERT_EQ(len2, zt_same(there, len2, at2));
		}
	}
	ASSERT_EQ(r->s.len, zt_zeros(r->s.at, r->s.len));
}

/* What came is what was there; and what was not sent still is, the rest being zeros. */
static void rest_is_there(struct __test_metadata *_metadata, struct race *r)
{
	for (int i = 0; i < 2; i++) {
		size_t at = i * r->half + r->head, before = i * r->each, sent;
		const char *area = r->s.at + i * r->half;

		sent = r->args.taken < before ? 0 : r->args.taken - before;
		if (sent > r->each)
			sent = r->each;
		if (r->s.does != RESETS)
			ASSERT_EQ(sent, zt_same(r->got + at, sent, at));
		if (r->s.does == UNMAPS_ALL || (i && r->s.does == UNMAPS_LAST))
			continue;
		/* Of the room before it only what was sent away is certain. */
		for (size_t j = 0; j < r->head; j++)
			ASSERT_TRUE(!area[j] || (!sent && (unsigned char)area[j] == zt_byte(i * r->half + j)));
		ASSERT_EQ(sent, zt_zeros(area + r->head, sent));
		ASSERT_EQ(r->each - sent, zt_same(area + r->head + sent, r->each - sent, at + sent));
	}
}

static void look(struct __test_metadata *_metadata, struct race *r, const struct way *way, bool waited)
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
		one_pool_or_the_other(_metadata, r);
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
		ASSERT_EQ(1, r->ret2);
		ASSERT_EQ(r->s.len + ZT_PAGES(GUARD_PAGES),
			  zt_zeros(r->s.at, r->s.len + ZT_PAGES(GUARD_PAGES)));
		way->behind(_metadata, r, waited);
		break;
	default:
		rest_is_there(_metadata, r);
	}
	if (r->s.does != UNMAPS_ALL) {
		ASSERT_TRUE(all_bytes(r->s.z.pool, ZT_PAGES(GUARD_PAGES), GUARD));
		ASSERT_TRUE(r->s.does == SENDS_BEHIND ||
			    zt_same(r->behind, ZT_PAGES(GUARD_PAGES), OTHER_POS) == ZT_PAGES(GUARD_PAGES));
	}
}

/* ---- the moments ---- */

static void at_some_moments(struct __test_metadata *_metadata, struct race *r, const struct way *way,
			    int rounds, uint64_t *seed)
{
	for (int round = 0; round < rounds; round++) {
		struct side call = { call_side, r };

		way->prepare(_metadata, r, round);
		race_by_chance(_metadata, &call, &(struct side){ other_side, r }, seed);
		way->collect(_metadata, r, &call);
		look(_metadata, r, way, false);
		finish(_metadata, r);
	}
}

static const char *const call_points[] = {
	"writev_checked", "writev_reserved", "pool_swap", "writev_swapped", "writev_sent",
	"writev_settling", "ioctl_ran",
};

/* On two kinds of sockets. */
static void at_all_points(struct __test_metadata *_metadata, struct race *r, const struct way *way)
{
	for (int i = 0; i < 2 * (int)ARRAY_SIZE(call_points); i++) {
		bool held;

		do {
			struct side call = { call_side, r };

			way->prepare(_metadata, r, i % 2);
			held = race_at(_metadata, &call, &(struct side){ other_side, r },
				       call_points[i / 2]);
			way->collect(_metadata, r, &call);
			look(_metadata, r, way, false);
			finish(_metadata, r);
		} while (!held);
	}
}

#endif /* SENDER_H */
