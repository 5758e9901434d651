// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table that are about the arguments of zc_readv, for every kind of
 * socket that it serves. Every call is made with messages queued and an older payload in the
 * window; the helper checks that it fails twice in the same way and changes nothing, the
 * end of each test that every message can still be received, in order.
 *
 * widths: 64, 32
 */
#include "flow.h"
#include "refused.h"

FIXTURE(rx)
{
	struct zt z;
	struct flow f;
};

FLOW_KINDS(rx);

FIXTURE_SETUP(rx)
{
	static const size_t queued[] = { 1000, 500, 8000 };
	struct zt *z = &self->z;
	struct flow *f = &self->f;

	zt_open(_metadata, z, 64, 8);
	flow_open(_metadata, f, variant->kind, false);
	z->rx = f->to;
	flow_put(_metadata, f, 3000);
	flow_receive(_metadata, f, z->dev, z->win, 2);
	for (int i = 0; i < ARRAY_SIZE(queued); i++)
		flow_put(_metadata, f, queued[i]);
	zt_remember(_metadata, z, ZT_PAGES(8));
}

FIXTURE_TEARDOWN(rx)
{
	flow_drain(_metadata, &self->f);
}

TEST_F(rx, count_0_is_EINVAL)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGE) };

	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, iov, 0), EINVAL, -1, iov, sizeof(iov));
}

TEST_F(rx, count_negative_is_EINVAL)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGE) };
	static const int counts[] = { 0, -1, -1024, INT32_MIN };

	for (int i = 0; i < ARRAY_SIZE(counts); i++) {
		EXPECT_EQ(-1, zc_readv(self->z.rx, iov, counts[i]));
		EXPECT_EQ(EINVAL, errno);
		zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, iov, counts[i]), EINVAL, -1,
			       iov, sizeof(iov));
	}
}

TEST_F(rx, count_above_1024_is_EINVAL)
{
	static struct iovec iov[ZCIO_MAX_ELEMENTS + 1];
	char *win = zt_window(_metadata, self->z.ctx, ARRAY_SIZE(iov));

	zt_regions(iov, win, ARRAY_SIZE(iov), 1);
	READ_REFUSED(EINVAL, -1, iov);
	EXPECT_EQ(-1, zc_readv(self->z.rx, iov, ARRAY_SIZE(iov)));
	EXPECT_EQ(EINVAL, errno);
}

static void overlap(struct __test_metadata *_metadata, struct zt *z, const struct iovec *iov,
		    unsigned int n, int one, int other)
{
	struct zcio_readv call = zt_readv_call(z, iov, n);

	ASSERT_EQ(-EINVAL, zt_readv_raw(z->dev, &call));
	one_of(_metadata, call.error_index, one, other);
	zt_readv_fails(_metadata, z, zt_readv_call(z, iov, n), EINVAL, call.error_index, iov,
		       n * sizeof(*iov));
}

TEST_F(rx, overlap_identical_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec iov[] = { zt_iov(w, ZT_PAGE), zt_iov(w, ZT_PAGE) };

	overlap(_metadata, &self->z, iov, 2, 0, 1);
}

TEST_F(rx, overlap_partial_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec iov[] = { zt_iov(w, ZT_PAGES(2)), zt_iov(w + ZT_PAGE, ZT_PAGES(2)) };

	overlap(_metadata, &self->z, iov, 2, 0, 1);
}

TEST_F(rx, overlap_inside_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec iov[] = { zt_iov(w, ZT_PAGES(8)), zt_iov(w + ZT_PAGES(3), ZT_PAGE) };

	overlap(_metadata, &self->z, iov, 2, 0, 1);
}

TEST_F(rx, overlap_of_one_byte_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec iov[] = { zt_iov(w, ZT_PAGE + 1), zt_iov(w + ZT_PAGE, ZT_PAGE) };

	overlap(_metadata, &self->z, iov, 2, 0, 1);
}

TEST_F(rx, overlap_in_falling_order_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec iov[] = {
		zt_iov(w + ZT_PAGES(6), ZT_PAGE), zt_iov(w + ZT_PAGES(3), ZT_PAGES(2)),
		zt_iov(w + ZT_PAGES(2), ZT_PAGES(2)), zt_iov(w, ZT_PAGE),
	};

	overlap(_metadata, &self->z, iov, 4, 1, 2);
}

TEST_F(rx, overlap_of_first_and_last_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec iov[33];

	zt_regions(iov, w, 32, 1);
	iov[32] = iov[0];
	overlap(_metadata, &self->z, iov, 33, 0, 32);
}

TEST_F(rx, adjacent_regions_in_any_order_are_good)
{
	char *w = self->z.win;
	struct iovec iov[] = {
		zt_iov(w + ZT_PAGES(2), ZT_PAGE), zt_iov(w, ZT_PAGE), zt_iov(w + ZT_PAGE, ZT_PAGE),
	};
	struct zcio_payload info[3];
	int n = zt_readv(self->z.dev, self->z.rx, iov, 3, info, 0);

	ASSERT_LT(0, n);
	flow_took(_metadata, &self->f, iov, info, n);
}

TEST_F(rx, wrap_around_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec all[] = { zt_iov(w, SIZE_MAX) };
	struct iovec past[] = { zt_iov(w, ZT_PAGE), zt_iov(-ZT_PAGE, ZT_PAGES(2)) };
	struct iovec back[] = { zt_iov(w, ZT_PAGE), zt_iov(w + ZT_PAGE, -ZT_PAGE) };

	READ_REFUSED(EINVAL, 0, all);
	READ_REFUSED(EINVAL, 1, past);
	READ_REFUSED(EINVAL, 1, back);
}

TEST_F(rx, region_too_small_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec none[] = { zt_iov(w, 0) };
	struct iovec one[] = { zt_iov(w, ZT_PAGES(2)), zt_iov(w + ZT_PAGES(2), 1) };
	struct iovec almost[] = { zt_iov(w, ZT_PAGE - 1) };
	struct zcio_info info;

	READ_REFUSED(EINVAL, 0, none);
	READ_REFUSED(EINVAL, 1, one);
	READ_REFUSED(EINVAL, 0, almost);
	ASSERT_EQ(0, zcio_info(self->z.ctx, self->z.rx, &info));
	EXPECT_EQ(ZT_PAGE, info.min_region);
}

TEST_F(rx, region_without_a_whole_page_is_EINVAL)
{
	char *w = self->z.win;
	struct iovec across[] = { zt_iov(w + 1, ZT_PAGES(2) - 2) };
	struct iovec inside[] = { zt_iov(w + 100, 100) };
	struct iovec shifted[] = { zt_iov(w + 1, ZT_PAGE) };

	READ_REFUSED(EINVAL, 0, across);
	READ_REFUSED(EINVAL, 0, inside);
	READ_REFUSED(EINVAL, 0, shifted);
}

TEST_F(rx, unknown_flag_is_EINVAL)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGE) };

	for (int bit = 0; bit < 32; bit++) {
		struct zcio_readv call = zt_readv_call(&self->z, iov, 1);

		call.flags = 1U << bit;
		if (call.flags != ZCIO_DONTWAIT)
			zt_readv_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	}
}

TEST_F(rx, reserved_field_is_EINVAL)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGE) };
	struct zcio_readv call = zt_readv_call(&self->z, iov, 1);

	for (int i = 0; i < ARRAY_SIZE(call.reserved); i++) {
		call = zt_readv_call(&self->z, iov, 1);
		call.reserved[i] = 1ULL << (i * 16);
		zt_readv_fails(_metadata, &self->z, call, EINVAL, -1, iov, sizeof(iov));
	}
}

TEST_F(rx, array_unreadable_is_EFAULT)
{
	char *p = two_pages_and_a_hole(_metadata);

	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, NULL, 1), EFAULT, -1, "", 0);
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, (void *)-ZT_PAGE, 1), EFAULT, -1, "", 0);
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, p + ZT_PAGES(2), 1), EFAULT, -1, "", 0);
	ASSERT_EQ(0, mprotect(p, ZT_PAGES(2), PROT_NONE));
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, p, 1), EFAULT, -1, "", 0);
}

TEST_F(rx, array_half_unmapped_is_EFAULT)
{
	char *p = two_pages_and_a_hole(_metadata);
	struct iovec *iov = (void *)(p + ZT_PAGES(2) - sizeof(*iov));

	iov[0] = zt_iov(self->z.win, ZT_PAGE);
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, iov, 2), EFAULT, -1, iov, sizeof(*iov));
	iov = (void *)(p + ZT_PAGES(2) - sizeof(*iov) / 2);
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, iov, 1), EFAULT, -1, iov,
		       sizeof(*iov) / 2);
}

TEST_F(rx, array_that_cannot_be_written_is_EFAULT)
{
	char *p = two_pages_and_a_hole(_metadata);
	struct iovec *iov = (void *)(p + ZT_PAGE - sizeof(*iov));

	iov[0] = zt_iov(self->z.win, ZT_PAGE);
	iov[1] = zt_iov(self->z.win + ZT_PAGE, ZT_PAGE);
	ASSERT_EQ(0, mprotect(p + ZT_PAGE, ZT_PAGE, PROT_READ));
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, iov, 2), EFAULT, -1, iov,
		       2 * sizeof(*iov));
	ASSERT_EQ(0, mprotect(p, ZT_PAGE, PROT_READ));
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, iov, 1), EFAULT, -1, iov, sizeof(*iov));
}

TEST_F(rx, payload_array_that_cannot_be_written_is_EFAULT)
{
	char *p = two_pages_and_a_hole(_metadata);
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGE), zt_iov(self->z.win + ZT_PAGE, ZT_PAGE) };
	struct zcio_readv call = zt_readv_call(&self->z, iov, 2);

	call.payloads = 16;
	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
	call.payloads = ZT_PTR(p + ZT_PAGES(2) - sizeof(struct zcio_payload));
	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
	ASSERT_EQ(0, mprotect(p, ZT_PAGES(2), PROT_READ));
	call.payloads = ZT_PTR(p);
	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
}

/* A window that was mapped read-only. */
TEST_F(rx, payload_array_in_a_window_is_EFAULT)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGE) };
	struct zcio_readv call = zt_readv_call(&self->z, iov, 1);

	call.payloads = ZT_PTR(self->z.win + ZT_PAGES(8));
	zt_readv_fails(_metadata, &self->z, call, EFAULT, -1, iov, sizeof(iov));
}

TEST_F(rx, region_outside_every_window_is_EFAULT)
{
	char *heap = aligned_alloc(ZT_PAGE, ZT_PAGES(4)), *hole = two_pages_and_a_hole(_metadata);
	struct iovec plain[] = { zt_iov(self->z.win, ZT_PAGE), zt_iov(heap, ZT_PAGE) };
	struct iovec pool[] = { zt_iov(self->z.pool, ZT_PAGE) };
	struct iovec nothing[] = { zt_iov(hole + ZT_PAGES(2), ZT_PAGE) };
	struct iovec null[] = { zt_iov(NULL, ZT_PAGE) };
	struct iovec kernel[] = { zt_iov(0xffff888000000000UL, ZT_PAGE) };

	memset(heap, 7, ZT_PAGES(4));
	READ_REFUSED(EFAULT, 1, plain);
	READ_REFUSED(EFAULT, 0, pool);
	READ_REFUSED(EFAULT, 0, nothing);
	READ_REFUSED(EFAULT, 0, null);
	READ_REFUSED(EFAULT, 0, kernel);
	for (size_t i = 0; i < ZT_PAGES(4); i++)
		ASSERT_EQ(7, heap[i]);
	free(heap);
}

TEST_F(rx, region_half_outside_its_window_is_EFAULT)
{
	char *w = self->z.win;
	struct iovec behind[] = { zt_iov(w, ZT_PAGE), zt_iov(w + ZT_PAGES(63), ZT_PAGES(2)) };
	struct iovec before[] = { zt_iov(w - ZT_PAGE, ZT_PAGES(2)) };
	struct iovec large[] = { zt_iov(w, ZT_PAGES(1) << (sizeof(void *) == 8 ? 30 : 10)) };

	READ_REFUSED(EFAULT, 1, behind);
	READ_REFUSED(EFAULT, 0, before);
	READ_REFUSED(EFAULT, 0, large);
}

TEST_F(rx, region_with_an_unmapped_middle_is_EFAULT)
{
	char *w = self->z.win + ZT_PAGES(16);
	struct iovec across[] = { zt_iov(w, ZT_PAGES(5)) };
	struct iovec gone[] = { zt_iov(w + ZT_PAGES(2), ZT_PAGE) };

	ASSERT_EQ(0, munmap(w + ZT_PAGES(2), ZT_PAGE));
	READ_REFUSED(EFAULT, 0, across);
	READ_REFUSED(EFAULT, 0, gone);
}

/* The window of a process is no window of another one's. */
TEST_F(rx, region_of_the_parent_is_EFAULT_in_the_child)
{
	pid_t pid = fork();
	int status;

	ASSERT_LE(0, pid);
	if (!pid) {
		struct iovec iov = zt_iov(self->z.win, ZT_PAGE);

		_exit(zt_readv(self->z.dev, self->z.rx, &iov, 1, NULL, 0) == -EFAULT ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	zt_unchanged(_metadata, &self->z);
}

/* What is wrong with the arguments is said before anything about the descriptor. */
TEST_F(rx, first_wrong_element_is_named)
{
	char *w = self->z.win;
	struct iovec iov[] = {
		zt_iov(w, ZT_PAGE), zt_iov(w + ZT_PAGE, ZT_PAGE), zt_iov(w + ZT_PAGES(2), 5),
		zt_iov(w + ZT_PAGES(3), 0),
	};

	READ_REFUSED(EINVAL, 2, iov);
}

TEST_HARNESS_MAIN
