// SPDX-License-Identifier: GPL-2.0
/*
 * Steady state: who sends the same again and again allocates nothing, and what a pool holds
 * is bounded and can be seen.
 *
 * timeout: 240
 */
#include "area.h"
#include "fdinfo.h"

#define POOL	64
#define STEADY	100	/* rounds in which nothing may change */
#define ROUNDS	1000	/* at most, until there are so many */

FIXTURE(steady)
{
	struct zt z;	/* the local end sends, the peer receives */
	int defer;
};

FIXTURE_VARIANT(steady)
{
	enum zt_path path;
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(steady, lo_swap) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(steady, lo_keep) { .path = ZT_LO6, .flags = ZCIO_KEEP };
FIXTURE_VARIANT_ADD(steady, wire_swap) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(steady, wire_keep) { .path = ZT_WIRE6, .flags = ZCIO_KEEP };

FIXTURE_SETUP(steady)
{
	struct zcio_target t = {};

	zt_open(_metadata, &self->z, 0, 0);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	t.fd = self->z.rx;
	ASSERT_EQ(0, ioctl(self->z.dev, ZCIO_IOC_TARGET, &t));
	self->z.pool = zt_pool(_metadata, self->z.ctx, POOL);
	self->defer = zt_defer(_metadata, 0);
}

FIXTURE_TEARDOWN(steady)
{
	zt_defer(_metadata, self->defer);
}

static bool same(const struct pool_pages *a, const struct pool_pages *b)
{
	return !memcmp(a, b, sizeof(*a));
}

TEST_F(steady, nothing_is_allocated)
{
	struct zt *z = &self->z;
	struct pool_pages last = zt_pool_pages(_metadata, z), now;
	int since = 0, round;

	ASSERT_EQ(POOL, last.held);
	ASSERT_EQ(POOL, last.allocated);
	ASSERT_EQ(0, last.leaving);
	for (round = 0; since < STEADY; round++) {
		uint64_t pos = round * 100000ULL;
		pair iov[4];

		ASSERT_GT(ROUNDS, round) {
			TH_LOG("held %llu, leaving %llu, allocated %llu", (unsigned long long)last.held,
			       (unsigned long long)last.leaving, (unsigned long long)last.allocated);
		}
		for (int i = 0; i < 4; i++)
			zt_area(z, iov[i], 8 * i, 8, 100, 25000, pos + 25000 * i);
		ASSERT_EQ(4, zt_writev(z->dev, z->rx, iov, 4, NULL, variant->flags, NULL));
		zt_recv(_metadata, z->tx, 100000, pos);
		zt_acked(_metadata, z->rx);
		for (size_t done = 0; variant->flags && done < POOL;) {
			struct zcio_kept k = { .base = ZT_PTR(z->pool), .len = ZT_PAGES(POOL) };

			ASSERT_EQ(0, ioctl(z->dev, ZCIO_IOC_KEPT, &k));
			done = k.done;
		}
		now = zt_pool_pages(_metadata, z);
		since = same(&now, &last) ? since + 1 : 0;
		last = now;
	}
	ASSERT_EQ(now.held, now.allocated);
	if (variant->flags) {
		/* Not a single page stood in for another. */
		ASSERT_EQ(POOL, now.allocated);
		ASSERT_EQ(0, now.leaving);
	} else {
		/* Those of the last call, which may be back. */
		ASSERT_LE(4 * 7, now.leaving);
		ASSERT_GE(now.held - POOL, now.leaving);
	}
	ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(POOL)));
	now = zt_pool_pages(_metadata, z);
	ASSERT_EQ(0, now.held);
	ASSERT_EQ(0, now.leaving);
	ASSERT_EQ(last.allocated, now.allocated);
}

TEST_HARNESS_MAIN
