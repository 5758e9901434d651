// SPDX-License-Identifier: GPL-2.0
/*
 * ZCIO_KEEP, and what others do meanwhile to its pool: whatever the moment, what the call
 * says was taken arrives, no page is freed or changed under the stack, a page that is sent
 * away meanwhile reaches its peer whole, and nothing is left behind.
 *
 * timeout: 200
 */
#include "meanwhile.h"

#define PAGES	16

enum {
	SENDS_AWAY = DOES_MORE,
	KEEPS_TOO,
	ASKS,
};

struct race {
	struct scene s;		/* keeps on rx, the peer is tx */
	int rx2, tx2;		/* where another sender sends to */
	struct iovec (*iov)[2];
	struct zcio_writev args;
	struct zcio_kept kept;
	int ret, ret2;
	char got[ZT_PAGES(PAGES)];
};

FIXTURE(keeper)
{
	struct race *r;
	uint64_t seed;
};

FIXTURE_VARIANT(keeper)
{
	int does;
};

FIXTURE_VARIANT_ADD(keeper, pool_unmapped) { UNMAPS_ALL };
FIXTURE_VARIANT_ADD(keeper, area_unmapped) { UNMAPS_LAST };
FIXTURE_VARIANT_ADD(keeper, other_memory_put_there) { PUTS_MEMORY };
FIXTURE_VARIANT_ADD(keeper, pool_protected) { PROTECTS };
FIXTURE_VARIANT_ADD(keeper, pool_dropped) { DROPS };
FIXTURE_VARIANT_ADD(keeper, context_closed) { CLOSES_CONTEXT };
FIXTURE_VARIANT_ADD(keeper, process_forked) { FORKS };
FIXTURE_VARIANT_ADD(keeper, area_sent_away) { SENDS_AWAY };
FIXTURE_VARIANT_ADD(keeper, area_kept_by_another) { KEEPS_TOO };
FIXTURE_VARIANT_ADD(keeper, asked_whether_it_is_in_use) { ASKS };

FIXTURE_SETUP(keeper)
{
	self->r = calloc(1, sizeof(*self->r));
	ASSERT_NE(NULL, self->r);
	self->r->s.does = variant->does;
	self->seed = 20261121 + variant->does;
}

FIXTURE_TEARDOWN(keeper)
{
	free(self->r);
}

static void other_side(void *arg)
{
	struct race *r = arg;
	struct iovec area = zt_iov(r->s.at, r->s.len), iov[1][2] = { { area, area } };
	int dev = zcio_ctx_fd(r->s.another);

	switch (r->s.does) {
	case SENDS_AWAY:
	case KEEPS_TOO:
		r->ret2 = zt_writev(dev, r->rx2, iov, 1, NULL,
				    ZCIO_NOSIGNAL | (r->s.does == KEEPS_TOO ? ZCIO_KEEP : 0), NULL);
		break;
	case ASKS:
		r->kept = (struct zcio_kept){ .base = ZT_PTR(r->s.at), .len = r->s.len };
		r->ret2 = ioctl(dev, ZCIO_IOC_KEPT, &r->kept) ? -errno : 1;
		break;
	default:
		meanwhile(&r->s);
	}
}

static void call_side(void *arg)
{
	struct race *r = arg;

	r->ret = zt_writev_raw(r->s.z.dev, &r->args);
}

static void prepare(struct __test_metadata *_metadata, struct race *r, enum zt_path path)
{
	int buffer = 1 << 20;

	zt_open(_metadata, &r->s.z, 0, PAGES);
	scene_open(_metadata, &r->s);
	zt_tcp(_metadata, path, &r->s.z.rx, &r->s.z.tx);
	zt_tcp(_metadata, path, &r->rx2, &r->tx2);
	ASSERT_EQ(0, setsockopt(r->s.z.rx, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer)));
	r->s.map = r->s.z.pool;
	r->s.map_len = ZT_PAGES(PAGES);
	r->s.at = r->s.map;
	r->s.len = r->s.map_len;
	r->s.less = PROT_NONE;
	zt_fill(r->s.at, r->s.len, 0);
	r->iov = r->s.array;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			r->iov[i][j] = zt_iov(r->s.at + i * r->s.len / 2, r->s.len / 2);
	r->args = (struct zcio_writev){
		.fd = r->s.z.rx, .iov = ZT_PTR(r->iov), .iovcnt = 2, .flags = ZCIO_NOSIGNAL | ZCIO_KEEP,
	};
	r->ret2 = 0;
}

static void receive(struct __test_metadata *_metadata, struct race *r, int fd, size_t len)
{
	memset(r->got, 0, sizeof(r->got));
	ASSERT_EQ((ssize_t)len, len ? recv(fd, r->got, len, MSG_WAITALL) : 0);
	zt_nothing(_metadata, fd);
}

static void look(struct __test_metadata *_metadata, struct race *r)
{
	struct scene *s = &r->s;
	size_t len = r->ret < 0 ? 0 : s->len / 2 * r->ret;

	ASSERT_FALSE(s->moved);
	if (r->ret < 0) {
		ASSERT_TRUE(s->does == CLOSES_CONTEXT ? r->ret == -EBADF :
			    s->does <= DROPS && r->ret == -EFAULT) TH_LOG("%s", strerror(-r->ret));
	} else {
		/* Of an area that is gone the call has nothing to send. */
		ASSERT_TRUE(r->ret == 2 || (r->ret == 1 && s->does == UNMAPS_LAST));
	}
	ASSERT_EQ(len, r->args.taken);
	receive(_metadata, r, s->z.tx, len);
	if (s->does == SENDS_AWAY) {
		/* It was kept before or after: all of it, or the pages that stand in. */
		ASSERT_TRUE(zt_same(r->got, len, 0) == len || zt_zeros(r->got, len) == len);
		ASSERT_EQ(s->len, zt_zeros(s->at, s->len));
	} else {
		ASSERT_EQ(len, zt_same(r->got, len, 0));
	}
	if (s->does == SENDS_AWAY || s->does == KEEPS_TOO) {
		ASSERT_EQ(1, r->ret2);
		receive(_metadata, r, r->tx2, s->len);
		ASSERT_EQ(s->len, zt_same(r->got, s->len, 0));
	}
	if (s->does == ASKS) {
		ASSERT_EQ(1, r->ret2);
		ASSERT_EQ(PAGES, r->kept.pages);
		ASSERT_GE(PAGES, r->kept.done);
	}
	if (s->does == PUTS_MEMORY)
		ASSERT_TRUE(all_bytes(s->at, s->len, PATTERN));
	if (s->does == PROTECTS)
		ASSERT_EQ(0, mprotect(s->at, s->len, PROT_READ));
	if (s->does == KEEPS_TOO || s->does == ASKS || (s->does >= PROTECTS && s->does <= DROPS))
		ASSERT_EQ(s->len, zt_same(s->at, s->len, 0));
}

static void finish(struct __test_metadata *_metadata, struct race *r)
{
	close(r->rx2);
	close(r->tx2);
	scene_close(_metadata, &r->s);
}

static const enum zt_path paths[] = { ZT_WIRE4, ZT_LO6 };

TEST_F(keeper, at_some_moment)
{
	struct race *r = self->r;

	for (int round = 0; round < 8; round++) {
		struct side call = { call_side, r };

		prepare(_metadata, r, paths[round % 2]);
		race_by_chance(_metadata, &call, &(struct side){ other_side, r }, &self->seed);
		look(_metadata, r);
		finish(_metadata, r);
	}
}

static void held(struct __test_metadata *_metadata, struct race *r, const char *point)
{
	for (int i = 0; i < 2; i++) {
		bool seen = false;

		while (!seen) {
			struct side call = { call_side, r };

			prepare(_metadata, r, paths[i]);
			seen = race_at(_metadata, &call, &(struct side){ other_side, r }, point);
			look(_metadata, r);
			/* Whoever asks while the pages are with the call is told so. */
			if (seen && r->s.does == ASKS)
				ASSERT_EQ(strcmp(point, "writev_checked") ? 0 : PAGES, r->kept.done);
			finish(_metadata, r);
		}
	}
}

TEST_F(keeper, before_it_has_the_pages)
{
	if (!points())
		SKIP(return, RACE_SKIP);
	held(_metadata, self->r, "writev_checked");
}

TEST_F(keeper, when_it_has_the_pages)
{
	if (!points())
		SKIP(return, RACE_SKIP);
	held(_metadata, self->r, "writev_swapped");
}

TEST_F(keeper, when_the_stack_has_them)
{
	if (!points())
		SKIP(return, RACE_SKIP);
	held(_metadata, self->r, "writev_sent");
}

TEST_HARNESS_MAIN
