// SPDX-License-Identifier: GPL-2.0
/*
 * zc_writev to a stream, and what others do meanwhile to its pool, its socket, its context and
 * its array: sender.h. Of a stream a payload can also be sent in part.
 *
 * timeout: 300
 */
#include "sender.h"

static const enum zt_path paths[] = { ZT_WIRE4, ZT_LO6 };

static void prepare(struct __test_metadata *_metadata, struct race *r, enum zt_path path,
		    size_t pages, int buffer)
{
	int all = 1 << 20;	/* of the other sender's: nobody reads while it sends */

	sender_open(_metadata, r, pages);
	zt_tcp(_metadata, path, &r->s.z.rx, &r->s.z.tx);
	zt_tcp(_metadata, path, &r->rx2, &r->tx2);
	setsockopt(r->s.z.rx, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(r->rx2, SOL_SOCKET, SO_SNDBUFFORCE, &all, sizeof(all));
	r->reset[0] = EPIPE;
	r->reset[1] = ECONNRESET;
	sender_areas(r, 0);
}

static void prepare_some(struct __test_metadata *_metadata, struct race *r, int number)
{
	prepare(_metadata, r, paths[number % 2], 8, 1 << 20);
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

/* One after the other; unless the first had to wait. */
static void one_after_the_other(struct __test_metadata *_metadata, struct race *r, bool waited)
{
	size_t behind = ZT_PAGES(GUARD_PAGES), at;

	ASSERT_EQ(r->s.len + behind, r->gotten);
	at = zt_same(r->got, r->s.len, 0);
	ASSERT_TRUE(waited || at == 0 || at == r->s.len);
	ASSERT_EQ(behind, zt_same(r->got + at, behind, OTHER_POS));
	ASSERT_EQ(r->s.len - at, zt_same(r->got + at + behind, r->s.len - at, at));
}

static const struct way tcp = { prepare_some, collect, one_after_the_other };

TEST_F(sender, at_some_moment)
{
	at_some_moments(_metadata, self->r, &tcp, 8, &self->seed);
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
		look(_metadata, r, &tcp, true);
		finish(_metadata, r);
	}
}

TEST_F_TIMEOUT(sender, at_each_point, 120)
{
	if (!points())
		SKIP(return, RACE_SKIP);
	at_all_points(_metadata, self->r, &tcp);
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
