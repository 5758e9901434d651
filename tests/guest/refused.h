/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the error table share: a call that must fail gives the same answer
 * twice, and changes nothing.
 */
#ifndef REFUSED_H
#define REFUSED_H

#include "zt.h"

/* Notes what @bytes at the window and at the pool hold now. */
ZT_UNUSED static void zt_remember(struct __test_metadata *_metadata, struct zt *z, size_t bytes)
{
	z->keep = bytes;
	z->shadow = malloc(2 * bytes);
	ASSERT_NE(NULL, z->shadow);
	if (z->win)
		memcpy(z->shadow, z->win, bytes);
	if (z->pool)
		memcpy(z->shadow + bytes, z->pool, bytes);
}

ZT_UNUSED static void zt_unchanged(struct __test_metadata *_metadata, struct zt *z)
{
	if (z->win && z->keep)
		ASSERT_EQ(0, memcmp(z->shadow, z->win, z->keep));
	if (z->pool && z->keep)
		ASSERT_EQ(0, memcmp(z->shadow + z->keep, z->pool, z->keep));
}

/* @watch: the array, if its @len bytes can be read. */
ZT_UNUSED static void zt_readv_fails(struct __test_metadata *_metadata, struct zt *z,
				     struct zcio_readv call, int err, int index,
				     const void *watch, size_t len)
{
	struct zcio_info before = zt_info(_metadata, z->ctx), after;
	void *old = malloc(len + 1);

	memcpy(old, watch, len);
	for (int round = 0; round < 2; round++) {
		struct zcio_readv now = call;

		now.error_index = 12345;
		ASSERT_EQ(-err, zt_readv_raw(z->dev, &now));
		ASSERT_EQ(index, now.error_index);
		now.error_index = call.error_index;
		ASSERT_EQ(0, memcmp(&now, &call, sizeof(call)));
		ASSERT_EQ(0, memcmp(old, watch, len));
		after = zt_info(_metadata, z->ctx);
		ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
		zt_unchanged(_metadata, z);
	}
	free(old);
}

ZT_UNUSED static void zt_writev_fails(struct __test_metadata *_metadata, struct zt *z,
				      struct zcio_writev call, int err, int index,
				      const void *watch, size_t len)
{
	struct zcio_info before = zt_info(_metadata, z->ctx), after;
	void *old = malloc(len + 1);

	memcpy(old, watch, len);
	for (int round = 0; round < 2; round++) {
		struct zcio_writev now = call;

		now.error_index = 12345;
		now.taken = 0;
		ASSERT_EQ(-err, zt_writev_raw(z->dev, &now));
		ASSERT_EQ(index, now.error_index);
		ASSERT_EQ(0, now.taken);
		ASSERT_EQ(0, memcmp(old, watch, len));
		after = zt_info(_metadata, z->ctx);
		ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
		zt_unchanged(_metadata, z);
	}
	free(old);
}

/* The fixture's call with the elements @iov, an array, fails with @err because of @index. */
#define READ_REFUSED(err, index, iov) \
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, iov, ARRAY_SIZE(iov)), err, \
		       index, iov, sizeof(iov))

#define WRITE_REFUSED(err, index, iov) \
	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, iov, ARRAY_SIZE(iov)), err, \
			index, iov, sizeof(iov))

/* Which of two elements that overlap is said to be wrong is free, but one of the two. */
ZT_UNUSED static void one_of(struct __test_metadata *_metadata, int index, int one, int other)
{
	ASSERT_TRUE(index == one || index == other) TH_LOG("error_index %d", index);
}

/* Two pages, then a hole: arrays can end exactly there, or lie across. */
ZT_UNUSED static char *two_pages_and_a_hole(struct __test_metadata *_metadata)
{
	char *p = mmap(NULL, ZT_PAGES(3), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p + ZT_PAGES(2), ZT_PAGE));
	return p;
}

#endif /* REFUSED_H */
