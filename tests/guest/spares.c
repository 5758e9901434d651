// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes that are copied go into pages that lie in the window already: the same page frames
 * call after call, never with anything of an earlier payload in them, and never into a page
 * that somebody else still has.
 */
#include <sys/utsname.h>

#include "caller.h"

#define WINDOW	64

FIXTURE(spares)
{
	struct zt z;
	uint64_t sent, got;
	bool writable;
};

FIXTURE_VARIANT(spares)
{
	enum zt_path path;
	bool writable;
};

FIXTURE_VARIANT_ADD(spares, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(spares, lo4_writable) { .path = ZT_LO4, .writable = true };
FIXTURE_VARIANT_ADD(spares, wire4) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(spares, wire6) { .path = ZT_WIRE6 };

typedef FIXTURE_DATA(spares) spares;

FIXTURE_SETUP(spares)
{
	zt_open(_metadata, &self->z, 0, 0);
	self->writable = variant->writable;
	self->z.win = zcio_window(self->z.ctx, ZT_PAGES(WINDOW),
				  variant->writable ? ZCIO_WINDOW_WRITABLE : 0);
	ASSERT_NE(NULL, self->z.win);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	zt_threshold(_metadata, self->z.ctx, 1 << 30);
}

FIXTURE_TEARDOWN(spares)
{
	zcio_close(self->z.ctx);
}

/*
 * Sends so many bytes, and receives them into @count regions: by one call if they are copied
 * for being few, else perhaps by more. All around the bytes must be zeros.
 */
static void through(struct __test_metadata *_metadata, spares *self, size_t len,
		    const struct iovec *regions, int count)
{
	struct iovec iov[4];

	zt_send(_metadata, self->z.tx, len, self->sent);
	self->sent += len;
	zt_arrived(_metadata, self->z.rx, len);
	while (self->got < self->sent) {
		struct zcio_payload info[4] = {};
		int n = zt_take(_metadata, self->z.dev, self->z.rx, regions, count, iov, info, 0);

		ASSERT_LT(0, n) TH_LOG("%s", strerror(-n));
		for (int i = 0; i < n; i++) {
			ASSERT_EQ(iov[i].iov_len,
				  zt_same(iov[i].iov_base, iov[i].iov_len, self->got));
			self->got += iov[i].iov_len;
		}
		if (info[0].why & ZCIO_WHY_SMALL)
			ASSERT_EQ(self->sent, self->got);
	}
}

/* What is charged. (Looking at an empty page of a writable window makes one.) */
static void holds(struct __test_metadata *_metadata, spares *self, uint64_t pages)
{
	uint64_t now = zt_info(_metadata, self->z.ctx).window_pages;

	if (self->writable) {
		ASSERT_LE(pages, now);
	} else {
		ASSERT_EQ(pages, now);
	}
}

/*
 * On 7.2, get_user_pages_fast_only() does not give them: there copies get new pages each
 * time.
 */
static bool kernel_finds_them(void)
{
	struct utsname name;

	uname(&name);
	return strncmp(name.release, "7.2.", 4);
}

TEST_F(spares, are_the_same_frames_call_after_call)
{
	struct iovec region = zt_iov(self->z.win, ZT_PAGES(20));
	uint64_t first[19], now[19];

	if (!kernel_finds_them())
		SKIP(return, "this kernel does not find such pages");
	through(_metadata, self, ZT_PAGES(18) + 5, &region, 1);
	/* The page behind is none of the payload's: a writable window gets one when looked at. */
	zt_pfns(_metadata, self->z.win, first, 19);
	ASSERT_NE(0, first[18]);
	for (int i = 0; i < 10; i++) {
		through(_metadata, self, ZT_PAGES(18) + 5 + i, &region, 1);
		zt_pfns(_metadata, self->z.win, now, 19);
		ASSERT_EQ(0, memcmp(first, now, sizeof(first)));
	}
	holds(_metadata, self, 19);
}

TEST_F(spares, hold_nothing_of_an_earlier_payload)
{
	static const size_t sizes[] = { 9000, 100, 1, 4095, 8192, 5000, 4096, 3, 30000, 12288, 7 };
	struct iovec region = zt_iov(self->z.win, ZT_PAGES(16));

	/* That there are zeros behind is looked at each time. */
	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		through(_metadata, self, sizes[i], &region, 1);
		holds(_metadata, self, (sizes[i] + ZT_PAGE - 1) / ZT_PAGE);
	}
}

TEST_F(spares, of_many_regions)
{
	struct iovec regions[4];

	for (int i = 0; i < 4; i++)
		regions[i] = zt_iov(self->z.win + ZT_PAGES(16 * i), ZT_PAGES(2 + i));
	for (int i = 0; i < 8; i++)
		through(_metadata, self, i % 2 ? ZT_PAGES(13) : 9000, regions, 4);
	holds(_metadata, self, 13);
}

/* Copies and pages of the network take turns in the same places. */
TEST_F(spares, beside_mapped_pages)
{
	struct iovec region = zt_iov(self->z.win, ZT_PAGES(40));

	for (int i = 0; i < 12; i++) {
		zt_threshold(_metadata, self->z.ctx, i % 3 ? 1 << 30 : 0);
		through(_metadata, self, 20000 + 4096 * (i % 5), &region, 1);
	}
}

TEST_F(spares, not_while_a_pipe_has_the_page)
{
	struct iovec region = zt_iov(self->z.win, ZT_PAGES(2)), half;
	uint64_t before = self->got, pfn;
	char old[1000];
	int pipes[2];

	through(_metadata, self, 1000, &region, 1);
	pfn = zt_pfn(_metadata, self->z.win);
	half = zt_iov(self->z.win, 1000);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(1000, vmsplice(pipes[1], &half, 1, 0));
	through(_metadata, self, 2000, &region, 1);
	ASSERT_NE(pfn, zt_pfn(_metadata, self->z.win));
	ASSERT_EQ(1000, read(pipes[0], old, sizeof(old)));
	ASSERT_EQ(1000, zt_same(old, 1000, before));

	/* And when the pipe has given it back, the page that came instead is as good. */
	pfn = zt_pfn(_metadata, self->z.win);
	through(_metadata, self, 3000, &region, 1);
	if (kernel_finds_them())
		ASSERT_EQ(pfn, zt_pfn(_metadata, self->z.win));
}

TEST_F(spares, that_were_thrown_away_are_made_anew)
{
	struct iovec region = zt_iov(self->z.win, ZT_PAGES(8));

	through(_metadata, self, 20000, &region, 1);
	ASSERT_EQ(0, madvise(self->z.win + ZT_PAGE, ZT_PAGE, MADV_DONTNEED));
	through(_metadata, self, 20001, &region, 1);
	ASSERT_EQ(0, madvise(self->z.win, ZT_PAGES(8), MADV_DONTNEED));
	/* The pages of zeros that are read in their place are not to be written to. */
	ASSERT_EQ(ZT_PAGES(8), zt_zeros(self->z.win, ZT_PAGES(8)));
	through(_metadata, self, 20002, &region, 1);
	ASSERT_EQ(ZT_PAGES(8), zt_zeros(self->z.win + ZT_PAGES(8), ZT_PAGES(8)));
	/* A part of the window goes, and comes back as another one. */
	ASSERT_EQ(0, munmap(self->z.win, ZT_PAGES(WINDOW)));
	self->z.win = zt_window(_metadata, self->z.ctx, WINDOW);
	region = zt_iov(self->z.win, ZT_PAGES(8));
	through(_metadata, self, 20003, &region, 1);
}

/* What the program itself wrote into a page of a writable window is gone, too. */
TEST_F(spares, that_were_written_to)
{
	struct iovec region = zt_iov(self->z.win, ZT_PAGES(3));

	if (!variant->writable)
		SKIP(return, "the window cannot be written to");
	for (int i = 0; i < 4; i++) {
		through(_metadata, self, 4000 + i, &region, 1);
		memset(self->z.win, 0x5a, ZT_PAGES(3));
	}
}

/* A call that fails after the copies were made leaves nothing of them, and loses nothing. */
TEST_F(spares, after_an_error)
{
	struct iovec region = zt_iov(self->z.win, ZT_PAGES(4)), *told;
	struct caller c = CALLER_READV(&self->z, NULL, 1);

	told = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)told);
	through(_metadata, self, 10000, &region, 1);
	*told = region;
	c.readv.iov = ZT_PTR(told);
	caller_start(_metadata, &c);
	/* Where the payload lies can be told no more. */
	ASSERT_EQ(0, mprotect(told, ZT_PAGE, PROT_READ));
	zt_send(_metadata, self->z.tx, 9000, self->sent);
	ASSERT_EQ(-EFAULT, caller_join(_metadata, &c));
	ASSERT_EQ(ZT_PAGES(4), zt_zeros(self->z.win, ZT_PAGES(4)));
	zt_recv(_metadata, self->z.rx, 9000, self->sent);
	self->sent += 9000;
	self->got += 9000;
	through(_metadata, self, 11000, &region, 1);
}

TEST_HARNESS_MAIN
