// SPDX-License-Identifier: GPL-2.0
/*
 * zc_writev to sockets that keep boundaries, and what others do meanwhile to its pool, its
 * socket, its context and its array: sender.h. A datagram goes whole or not at all, and nothing
 * of its head is ever seen in its area.
 *
 * timeout: 300
 */
#include "datagram_tx.h"
#include "sender.h"

/* Those that are held at points come first. */
static const enum flow_kind kinds[] = { UDP4, RAW, UDP6, COOKED };

static void prepare(struct __test_metadata *_metadata, struct race *r, int number)
{
	enum flow_kind kind = kinds[number % ARRAY_SIZE(kinds)];
	static bool alone;
	struct zt other;

	if (!alone)
		tx_alone(_metadata);
	alone = true;
	sender_open(_metadata, r, 8);
	tx_pair(_metadata, &r->s.z, kind);
	if (r->s.does == SENDS_SAME || r->s.does == SENDS_OVERLAP) {
		tx_open(_metadata, &other, kind);
		r->rx2 = other.rx;
		r->tx2 = other.tx;
	}
	r->reset[0] = kind == UDP4 || kind == UDP6 ? ECONNREFUSED : 0;
	sender_areas(r, tx_head(_metadata, r->s.z.ctx, r->s.z.rx));
}

/* As many datagrams as were said to have gone, those of the call in their order. */
static void collect(struct __test_metadata *_metadata, struct race *r, struct side *call)
{
	size_t behind = ZT_PAGES(GUARD_PAGES) - r->head;
	int count = r->ret > 0 ? r->ret : 0, own = 0;

	ASSERT_EQ(count * r->each, r->args.taken);
	if (r->s.does == RESETS)
		return;
	if (r->s.does == SENDS_BEHIND)
		count++;
	for (int i = 0; i < count; i++) {
		char *to = r->got + own * r->half + r->head;

		ASSERT_EQ((ssize_t)r->each, recv(r->s.z.tx, to, sizeof(r->got) - (to - r->got), 0));
		own += r->s.does != SENDS_BEHIND || zt_same(to, behind, OTHER_POS + r->head) != behind;
	}
	r->gotten = own * r->each;
	zt_nothing(_metadata, r->s.z.tx);
}

/* Before both, between them, or after; each of them is whole. */
static void in_any_order(struct __test_metadata *_metadata, struct race *r, bool waited)
{
	ASSERT_EQ(2, r->ret);
	ASSERT_EQ(2 * r->each, r->gotten);
	for (size_t at = r->head; at < r->s.len; at += r->half)
		ASSERT_EQ(r->each, zt_same(r->got + at, r->each, at));
}

static const struct way datagrams = { prepare, collect, in_any_order };

TEST_F(sender, at_some_moment)
{
	at_some_moments(_metadata, self->r, &datagrams, ARRAY_SIZE(kinds), &self->seed);
}

TEST_F_TIMEOUT(sender, at_each_point, 120)
{
	if (!points())
		SKIP(return, RACE_SKIP);
	at_all_points(_metadata, self->r, &datagrams);
}

TEST_HARNESS_MAIN
