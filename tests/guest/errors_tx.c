// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table that are about the arguments of zc_writev, for every kind of
 * socket. The helper checks that a call fails twice in the same way and changes neither the
 * pool nor any count; the end of each test that the peer got nothing of it.
 *
 * widths: 64, 32
 */
#include "datagram_tx.h"
#include "refused.h"

FIXTURE(tx)
{
	struct zt z;		/* zc_writev works on rx; tx gets what comes from there */
	enum flow_kind kind;
	size_t head;		/* room that a payload needs before it */
};

FLOW_KINDS(tx);

FIXTURE_SETUP(tx)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, 8, 64);
	tx_open(_metadata, z, variant->kind);
	self->kind = variant->kind;
	self->head = tx_room(_metadata, z, variant->kind);
	zt_fill(z->pool, ZT_PAGES(64), 0);
	zt_remember(_metadata, z, ZT_PAGES(8));
}

/* Pages [@page, @page + @pages) of the pool, payload of @len bytes at @offset in them. */
#define AREA(page, pages, offset, len) \
	{ zt_iov(self->z.pool + ZT_PAGES(page), ZT_PAGES(pages)), \
	  zt_iov(self->z.pool + ZT_PAGES(page) + (offset), (len)) }

#define GOOD(page) AREA(page, 1, self->head + 100, 1000)

/* The peer gets the payload that GOOD() makes of a page. */
static void comes(struct __test_metadata *_metadata, FIXTURE_DATA(tx) *self, size_t page)
{
	tx_comes(_metadata, self->kind, self->z.tx, 1000, ZT_PAGES(page) + self->head + 100);
}

FIXTURE_TEARDOWN(tx)
{
	pair iov[] = { GOOD(0) };

	/* Had anything been sent, it would come before this. */
	zt_fill(self->z.pool, ZT_PAGE, 0);
	ASSERT_EQ(1, zc_writev(self->z.rx, iov, 1));
	comes(_metadata, self, 0);
	zt_nothing(_metadata, self->z.tx);
}

TEST_F(tx, count_0_is_EINVAL)
{
	pair iov[] = { GOOD(0) };

	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, iov, 0), EINVAL, -1, iov, sizeof(iov));
}

TEST_F(tx, count_negative_is_EINVAL)
{
	static const int counts[] = { 0, -1, -1024, INT32_MIN };
	pair iov[] = { GOOD(0) };

	for (int i = 0; i < ARRAY_SIZE(counts); i++) {
		EXPECT_EQ(-1, zc_writev(self->z.rx, iov, counts[i]));
		EXPECT_EQ(EINVAL, errno);
		zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, iov, counts[i]), EINVAL, -1,
				iov, sizeof(iov));
	}
}

TEST_F(tx, count_above_1024_is_EINVAL)
{
	static pair iov[ZCIO_MAX_ELEMENTS + 1];
	char *pool = zt_pool(_metadata, self->z.ctx, ARRAY_SIZE(iov));

	for (int i = 0; i < ARRAY_SIZE(iov); i++) {
		iov[i][0] = zt_iov(pool + ZT_PAGES(i), ZT_PAGE);
		iov[i][1] = zt_iov(pool + ZT_PAGES(i) + self->head, 10);
	}
	WRITE_REFUSED(EINVAL, -1, iov);
	EXPECT_EQ(-1, zc_writev(self->z.rx, iov, ARRAY_SIZE(iov)));
	EXPECT_EQ(EINVAL, errno);
}

static void overlap(struct __test_metadata *_metadata, struct zt *z, const pair *iov,
		    unsigned int n, int one, int other)
{
	struct zcio_writev call = zt_writev_call(z, iov, n);

	ASSERT_EQ(-EINVAL, zt_writev_raw(z->dev, &call));
	one_of(_metadata, call.error_index, one, other);
	zt_writev_fails(_metadata, z, zt_writev_call(z, iov, n), EINVAL, call.error_index, iov,
			n * sizeof(*iov));
}

TEST_F(tx, overlap_identical_is_EINVAL)
{
	pair iov[] = { GOOD(0), GOOD(0) };

	overlap(_metadata, &self->z, iov, 2, 0, 1);
}

TEST_F(tx, overlap_partial_is_EINVAL)
{
	pair iov[] = { AREA(0, 2, self->head, 10), AREA(1, 2, ZT_PAGE + self->head, 10) };

	overlap(_metadata, &self->z, iov, 2, 0, 1);
}

TEST_F(tx, overlap_inside_is_EINVAL)
{
	pair iov[] = { AREA(0, 8, self->head, 10), AREA(5, 1, self->head, 10) };

	overlap(_metadata, &self->z, iov, 2, 0, 1);
}

TEST_F(tx, overlap_in_falling_order_is_EINVAL)
{
	pair iov[] = { GOOD(7), AREA(3, 2, self->head, 10), AREA(2, 2, self->head, 10), GOOD(0) };

	overlap(_metadata, &self->z, iov, 4, 1, 2);
}

TEST_F(tx, overlap_of_first_and_last_is_EINVAL)
{
	pair iov[33];

	for (int i = 0; i < 33; i++) {
		pair one = GOOD(i % 32);

		memcpy(iov[i], one, sizeof(one));
	}
	overlap(_metadata, &self->z, iov, 33, 0, 32);
}

TEST_F(tx, adjacent_areas_in_any_order_are_good)
{
	pair iov[] = { GOOD(10), GOOD(8), GOOD(9) };

	ASSERT_EQ(3, zc_writev(self->z.rx, iov, 3));
	comes(_metadata, self, 10);
	comes(_metadata, self, 8);
	comes(_metadata, self, 9);
}

TEST_F(tx, wrap_around_is_EINVAL)
{
	char *p = self->z.pool, *at = p + self->head;
	pair area[] = { { zt_iov(p, -ZT_PAGE), zt_iov(at, 10) } };
	pair top[] = { GOOD(1), { zt_iov(-ZT_PAGE, ZT_PAGES(2)), zt_iov(-ZT_PAGE + self->head, 10) } };
	pair payload[] = { { zt_iov(p, ZT_PAGE), zt_iov(at + 10, SIZE_MAX) } };
	pair back[] = { GOOD(0), { zt_iov(p + ZT_PAGE, ZT_PAGE), zt_iov(at + ZT_PAGE + 50, -40UL) } };

	WRITE_REFUSED(EINVAL, 0, area);
	WRITE_REFUSED(EINVAL, 1, top);
	WRITE_REFUSED(EINVAL, 0, payload);
	WRITE_REFUSED(EINVAL, 1, back);
}

TEST_F(tx, area_not_page_aligned_is_EINVAL)
{
	char *p = self->z.pool, *at = p + self->head;
	pair base[] = { { zt_iov(p + 1, ZT_PAGE), zt_iov(at + 10, 10) } };
	pair length[] = { GOOD(0), { zt_iov(p + ZT_PAGE, ZT_PAGE - 1), zt_iov(at + ZT_PAGE, 10) } };
	pair longer[] = { { zt_iov(p, ZT_PAGE + 512), zt_iov(at, 10) } };
	pair both[] = { { zt_iov(p + 2048, 2048), zt_iov(at + 2048, 10) } };

	WRITE_REFUSED(EINVAL, 0, base);
	WRITE_REFUSED(EINVAL, 1, length);
	WRITE_REFUSED(EINVAL, 0, longer);
	WRITE_REFUSED(EINVAL, 0, both);
}

TEST_F(tx, area_empty_is_EINVAL)
{
	pair iov[] = { GOOD(0), AREA(1, 0, 0, 0) };

	WRITE_REFUSED(EINVAL, 1, iov);
}

TEST_F(tx, payload_outside_its_area_is_EINVAL)
{
	char *p = self->z.pool;
	pair before[] = { { zt_iov(p + ZT_PAGE, ZT_PAGE), zt_iov(p, 100) } };
	pair behind[] = { GOOD(0), AREA(1, 1, ZT_PAGE + self->head, 100) };
	pair across_start[] = { { zt_iov(p + ZT_PAGE, ZT_PAGE), zt_iov(p + ZT_PAGE - 1, 100) } };
	pair across_end[] = { AREA(0, 1, ZT_PAGE - 99, 100) };
	pair around[] = { { zt_iov(p + ZT_PAGE, ZT_PAGE), zt_iov(p, ZT_PAGES(3)) } };
	pair elsewhere[] = { { zt_iov(p, ZT_PAGE), zt_iov("elsewhere", 9) } };

	WRITE_REFUSED(EINVAL, 0, before);
	WRITE_REFUSED(EINVAL, 1, behind);
	WRITE_REFUSED(EINVAL, 0, across_start);
	WRITE_REFUSED(EINVAL, 0, across_end);
	WRITE_REFUSED(EINVAL, 0, around);
	WRITE_REFUSED(EINVAL, 0, elsewhere);
}

TEST_F(tx, head_room_too_small_is_EINVAL)
{
	const size_t offsets[] = { 0, 1, 64, self->head - 64, self->head - 1 };

	if (!self->head)
		SKIP(return, "TCP has its headers elsewhere");
	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		pair iov[] = { GOOD(0), AREA(4, 1, offsets[i], 500) };

		WRITE_REFUSED(EINVAL, 1, iov);
	}
}

TEST_F(tx, payload_empty_is_EINVAL)
{
	pair start[] = { AREA(0, 1, 0, 0) };
	pair middle[] = { GOOD(0), AREA(1, 1, 500, 0) };
	pair end[] = { AREA(0, 1, ZT_PAGE, 0) };

	if (self->head)
		SKIP(return, "an empty datagram is one, too");
	WRITE_REFUSED(EINVAL, 0, start);
	WRITE_REFUSED(EINVAL, 1, middle);
	WRITE_REFUSED(EINVAL, 0, end);
}

TEST_F(tx, unknown_flag_is_EINVAL)
{
	pair iov[] = { GOOD(0) };

	for (int bit = 4; bit < 32; bit++) {
		struct zcio_writev call = zt_writev_call(&self->z, iov, 1);

		call.flags = 1U << bit;
		zt_writev_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	}
}

TEST_F(tx, reserved_field_is_EINVAL)
{
	pair iov[] = { GOOD(0) };
	struct zcio_writev call = zt_writev_call(&self->z, iov, 1);

	for (int i = 0; i < ARRAY_SIZE(call.reserved); i++) {
		call = zt_writev_call(&self->z, iov, 1);
		call.reserved[i] = 1ULL << (i * 16);
		zt_writev_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	}
	call = zt_writev_call(&self->z, iov, 1);
	call.reserved32 = 1;
	zt_writev_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
}

TEST_F(tx, array_unreadable_is_EFAULT)
{
	char *p = two_pages_and_a_hole(_metadata);

	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, NULL, 1), EFAULT, -1, "", 0);
	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, (void *)-ZT_PAGE, 1), EFAULT, -1, "", 0);
	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, p + ZT_PAGES(2), 1), EFAULT, -1, "", 0);
	ASSERT_EQ(0, mprotect(p, ZT_PAGES(2), PROT_NONE));
	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, p, 1), EFAULT, -1, "", 0);
}

TEST_F(tx, array_half_unmapped_is_EFAULT)
{
	char *end = two_pages_and_a_hole(_metadata) + ZT_PAGES(2);
	pair iov[] = { GOOD(0) };

	memcpy(end - sizeof(pair), iov, sizeof(pair));
	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, end - sizeof(pair), 2), EFAULT, -1,
			end - sizeof(pair), sizeof(pair));
	memcpy(end - sizeof(pair) / 2, iov, sizeof(pair) / 2);
	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, end - sizeof(pair) / 2, 1), EFAULT, -1,
			end - sizeof(pair) / 2, sizeof(pair) / 2);
}

TEST_F(tx, array_that_cannot_be_written_is_good)
{
	char *p = two_pages_and_a_hole(_metadata);
	pair iov[] = { GOOD(8) };

	memcpy(p, iov, sizeof(iov));
	ASSERT_EQ(0, mprotect(p, ZT_PAGE, PROT_READ));
	ASSERT_EQ(1, zc_writev(self->z.rx, (void *)p, 1));
	comes(_metadata, self, 8);
}

TEST_F(tx, payload_array_that_cannot_be_written_is_EFAULT)
{
	char *p = two_pages_and_a_hole(_metadata);
	pair iov[] = { GOOD(0), GOOD(1) };
	struct zcio_writev call = zt_writev_call(&self->z, iov, 2);

	call.payloads = 16;
	zt_writev_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
	call.payloads = ZT_PTR(p + ZT_PAGES(2) - sizeof(struct zcio_payload));
	zt_writev_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
	ASSERT_EQ(0, mprotect(p, ZT_PAGES(2), PROT_READ));
	call.payloads = ZT_PTR(p);
	zt_writev_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
}

TEST_F(tx, area_outside_every_pool_is_EFAULT)
{
	char *heap = aligned_alloc(ZT_PAGE, ZT_PAGES(4)), *hole = two_pages_and_a_hole(_metadata);
	size_t head = self->head, kernel_half = (size_t)0xffff888000000000ULL;
	pair plain[] = { GOOD(0), { zt_iov(heap, ZT_PAGE), zt_iov(heap + head, 100) } };
	pair window[] = { { zt_iov(self->z.win, ZT_PAGE), zt_iov(self->z.win + head, 100) } };
	pair nothing[] = {
		{ zt_iov(hole + ZT_PAGES(2), ZT_PAGE), zt_iov(hole + ZT_PAGES(2) + head, 100) },
	};
	pair null[] = { { zt_iov(NULL, ZT_PAGE), zt_iov(head, 100) } };
	pair kernel[] = {
		{ zt_iov(kernel_half, ZT_PAGE), zt_iov(kernel_half + head, 100) },
	};

	memset(heap, 7, ZT_PAGES(4));
	WRITE_REFUSED(EFAULT, 1, plain);
	WRITE_REFUSED(EFAULT, 0, window);
	WRITE_REFUSED(EFAULT, 0, nothing);
	WRITE_REFUSED(EFAULT, 0, null);
	WRITE_REFUSED(EFAULT, 0, kernel);
	for (size_t i = 0; i < ZT_PAGES(4); i++)
		ASSERT_EQ(7, heap[i]);
	free(heap);
}

TEST_F(tx, area_half_outside_its_pool_is_EFAULT)
{
	pair behind[] = { GOOD(0), AREA(63, 2, self->head, 100) };
	pair before[] = { AREA(-1, 2, ZT_PAGE, 100) };
	pair large[] = { AREA(0, 1 << 10, self->head, 100) };

	WRITE_REFUSED(EFAULT, 1, behind);
	WRITE_REFUSED(EFAULT, 0, before);
	WRITE_REFUSED(EFAULT, 0, large);
}

TEST_F(tx, area_with_an_unmapped_middle_is_EFAULT)
{
	pair across[] = { AREA(16, 5, self->head, ZT_PAGES(5) - self->head) };
	pair gone[] = { GOOD(17), GOOD(18) };

	ASSERT_EQ(0, munmap(self->z.pool + ZT_PAGES(18), ZT_PAGE));
	WRITE_REFUSED(EFAULT, 0, across);
	WRITE_REFUSED(EFAULT, 1, gone);
}

/* What the application may not write at the moment is not taken away from it either. */
TEST_F(tx, area_that_cannot_be_written_is_EFAULT)
{
	pair iov[] = { GOOD(0), GOOD(20) };

	ASSERT_EQ(0, mprotect(self->z.pool + ZT_PAGES(20), ZT_PAGE, PROT_READ));
	WRITE_REFUSED(EFAULT, 1, iov);
}

TEST_F(tx, area_of_the_parent_is_EFAULT_in_the_child)
{
	pair iov[] = { GOOD(0) };
	pid_t pid = fork();
	int status;

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(zt_writev(self->z.dev, self->z.rx, iov, 1, NULL, 0, NULL) == -EFAULT ? 0 : 1);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	zt_unchanged(_metadata, &self->z);
}

TEST_F(tx, first_wrong_element_is_named)
{
	pair iov[] = { GOOD(0), GOOD(1), AREA(2, 1, 0, 0), AREA(3, 1, 4000, 4000) };

	WRITE_REFUSED(EINVAL, 2, iov);
}

TEST_HARNESS_MAIN
