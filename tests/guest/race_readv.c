// SPDX-License-Identifier: GPL-2.0
/*
 * zc_readv, and what others do meanwhile to its window, its socket, its context and its
 * arrays. Whatever the moment: every byte of the stream is delivered once and in order,
 * or still there; a call that fails has taken nothing; no memory is written to that is
 * not the window's, and nothing is left behind.
 *
 * timeout: 300
 */
#include <linux/sockios.h>
#include <sys/uio.h>

#include "meanwhile.h"

#define KEPT		1000	/* bytes received before, into the first region */
#define LEN		20000	/* bytes to receive */
#define REGIONS		2
#define REGION_PAGES	4
#define AT		8	/* where the call's regions begin, in pages */
#define OTHER_AT	16	/* and another reader's */
#define WINDOW_PAGES	24
#define SENDING_PAGES	5

enum {
	PUTS_WINDOW = DOES_MORE,
	PUTS_WRITABLE_WINDOW,
	READS_ELSEWHERE,
	READS_THERE,
	RECEIVES,
};

struct race {
	struct scene s;
	struct zcio_ctx *sender;
	char *sending;		/* the sender's pool */
	uint64_t sent[SENDING_PAGES];	/* the frames that it last sent */
	struct iovec kept;
	struct zcio_readv args;
	struct iovec *iov;
	int ret;
	/* what the other side took, if anything */
	struct iovec others[REGIONS];
	char taken[LEN];
	int took;
};

FIXTURE(reader)
{
	struct race r;
	uint64_t seed;
};

FIXTURE_VARIANT(reader)
{
	int does;
};

FIXTURE_VARIANT_ADD(reader, window_unmapped) { UNMAPS_ALL };
FIXTURE_VARIANT_ADD(reader, region_unmapped) { UNMAPS_LAST };
FIXTURE_VARIANT_ADD(reader, other_memory_put_there) { PUTS_MEMORY };
FIXTURE_VARIANT_ADD(reader, other_window_put_there) { PUTS_WINDOW };
FIXTURE_VARIANT_ADD(reader, writable_window_put_there) { PUTS_WRITABLE_WINDOW };
FIXTURE_VARIANT_ADD(reader, window_protected) { PROTECTS };
FIXTURE_VARIANT_ADD(reader, window_moved) { MOVES };
FIXTURE_VARIANT_ADD(reader, window_dropped) { DROPS };
FIXTURE_VARIANT_ADD(reader, context_closed) { CLOSES_CONTEXT };
FIXTURE_VARIANT_ADD(reader, socket_closed) { CLOSES_SOCKET };
FIXTURE_VARIANT_ADD(reader, socket_shut_down) { SHUTS_DOWN };
FIXTURE_VARIANT_ADD(reader, connection_reset) { RESETS };
FIXTURE_VARIANT_ADD(reader, another_reader) { READS_ELSEWHERE };
FIXTURE_VARIANT_ADD(reader, another_reader_into_the_same) { READS_THERE };
FIXTURE_VARIANT_ADD(reader, recv) { RECEIVES };
FIXTURE_VARIANT_ADD(reader, window_touched) { TOUCHES };
FIXTURE_VARIANT_ADD(reader, context_tuned) { TUNES };
FIXTURE_VARIANT_ADD(reader, array_unmapped) { UNMAPS_ARRAY };
FIXTURE_VARIANT_ADD(reader, process_forked) { FORKS };

FIXTURE_SETUP(reader)
{
	self->seed = 20261121 + variant->does;
}

FIXTURE_TEARDOWN(reader)
{
}

/* ---- what is done meanwhile ---- */

#define CALL_LEN	ZT_PAGES(REGIONS * REGION_PAGES)

static void read_to(struct race *r, char *to)
{
	struct iovec *iov = r->others;
	int n;

	zt_regions(iov, to, REGIONS, REGION_PAGES);
	n = zt_readv(zcio_ctx_fd(r->s.another), r->s.z.rx, iov, REGIONS, NULL, ZCIO_DONTWAIT);
	for (int i = 0; i < n; i++)
		r->took += iov[i].iov_len;
	/* The other may empty the regions before this is looked at. */
	if (n > 0 && r->s.does == READS_ELSEWHERE)
		for (int i = 0, at = 0; i < n; at += iov[i++].iov_len)
			memcpy(r->taken + at, iov[i].iov_base, iov[i].iov_len);
}

static void other_side(void *arg)
{
	struct race *r = arg;
	int window = zcio_ctx_fd(r->s.another);

	switch (r->s.does) {
	case PUTS_WINDOW:
		scene_put(&r->s, PROT_READ, MAP_SHARED, window, ZCIO_MMAP_WINDOW);
		break;
	case PUTS_WRITABLE_WINDOW:
		scene_put(&r->s, PROT_READ | PROT_WRITE, MAP_SHARED, window, ZCIO_MMAP_WINDOW);
		break;
	case READS_ELSEWHERE:
		read_to(r, r->s.map + ZT_PAGES(OTHER_AT));
		break;
	case READS_THERE:
		read_to(r, r->s.at);
		break;
	case RECEIVES:
		r->took = recv(r->s.z.rx, r->taken, 5000, MSG_DONTWAIT);
		if (r->took < 0)
			r->took = 0;
		break;
	default:
		meanwhile(&r->s);
	}
}

static void call_side(void *arg)
{
	struct race *r = arg;

	r->ret = zt_readv_raw(r->s.z.dev, &r->args);
}

/* ---- a round ---- */

/* The stream's next bytes: by send(), or whole pages that can be shown. */
static void feed(struct __test_metadata *_metadata, struct race *r, size_t len, uint64_t pos)
{
	struct iovec iov[1][2] = { { zt_iov(r->sending, ZT_PAGES(SENDING_PAGES)),
				     zt_iov(r->sending, len) } };

	if (!r->sender) {
		zt_send(_metadata, r->s.z.tx, len, pos);
		return;
	}
	zt_fill(r->sending, len, pos);
	for (int i = 0; i < SENDING_PAGES; i++)
		r->sent[i] = zt_pfn(_metadata, r->sending + ZT_PAGES(i));
	ASSERT_EQ(1, zt_writev(zcio_ctx_fd(r->sender), r->s.z.tx, iov, 1, NULL, 0, NULL));
}

static void prepare(struct __test_metadata *_metadata, struct race *r, enum zt_path path,
		    bool zero_copy, unsigned int flags)
{
	zt_open(_metadata, &r->s.z, WINDOW_PAGES, 0);
	zt_tcp(_metadata, path, &r->s.z.rx, &r->s.z.tx);
	scene_open(_metadata, &r->s);
	r->sender = NULL;
	if (zero_copy) {
		r->sender = zt_context();
		ASSERT_NE(NULL, r->sender);
		r->sending = zt_pool(_metadata, r->sender, SENDING_PAGES);
	}
	r->s.map = r->s.z.win;
	r->s.map_len = ZT_PAGES(WINDOW_PAGES);
	r->s.at = r->s.z.win + ZT_PAGES(AT);
	r->s.len = CALL_LEN;
	r->s.less = PROT_NONE;
	r->s.shut = SHUT_RD;
	r->iov = r->s.array;
	r->took = 0;
	memset(r->others, 0, sizeof(r->others));

	feed(_metadata, r, KEPT, 0);
	zt_arrived(_metadata, r->s.z.rx, KEPT);
	r->kept = zt_iov(r->s.z.win, ZT_PAGES(REGION_PAGES));
	ASSERT_EQ(1, zt_readv(r->s.z.dev, r->s.z.rx, &r->kept, 1, NULL, 0));
	ASSERT_EQ(KEPT, r->kept.iov_len);
	zt_regions(r->iov, r->s.at, REGIONS, REGION_PAGES);
	r->args = (struct zcio_readv){
		.fd = r->s.z.rx, .iov = ZT_PTR(r->iov), .iovcnt = REGIONS, .flags = flags,
	};
}

/* A payload's page is as it was delivered, or gone; nothing else may be there. */
static void page_is(struct __test_metadata *_metadata, struct race *r, char *page,
		    const char *from, size_t len, uint64_t pos)
{
	static char copy[ZT_PAGE];

	if (!peek_page(page, copy)) {
		ASSERT_TRUE(r->s.does == UNMAPS_ALL ||
			    (r->s.does == UNMAPS_LAST && page >= r->s.at + ZT_PAGES(REGION_PAGES)));
		return;
	}
	if (r->s.does == PUTS_MEMORY) {
		ASSERT_TRUE(all_bytes(copy, ZT_PAGE, PATTERN));
		return;
	}
	if (zt_same(copy + (from - page), len, pos) == len)
		return;
	ASSERT_TRUE(r->s.does == DROPS || r->s.does == PUTS_WINDOW || r->s.does == PUTS_WRITABLE_WINDOW) {
		TH_LOG("page %zd of the window is not what was delivered", (page - r->s.z.win) / ZT_PAGE);
	}
	ASSERT_EQ(ZT_PAGE, zt_zeros(copy, ZT_PAGE));
}

/* What the call delivered, from @pos of the stream on. */
static size_t delivered(struct __test_metadata *_metadata, struct race *r, uint64_t pos, bool look)
{
	size_t sum = 0;

	for (int i = 0; i < r->ret; i++) {
		char *from = r->iov[i].iov_base, *end = from + r->iov[i].iov_len;

		ASSERT_LE((char *)r->s.at, from);
		ASSERT_GE((char *)r->s.at + CALL_LEN, end);
		while (look && from < end) {
			char *page = (char *)((uintptr_t)from & ~(ZT_PAGE - 1));
			size_t len = page + ZT_PAGE < end ? page + ZT_PAGE - from : end - from;

			page_is(_metadata, r, page, from, len, pos + sum);
			from += len;
			sum += len;
		}
		if (!look)
			sum += r->iov[i].iov_len;
	}
	return sum;
}

static bool others_intact(struct race *r, uint64_t pos)
{
	for (int left = r->took, i = 0; left > 0 && i < REGIONS; left -= r->others[i++].iov_len) {
		struct iovec *v = &r->others[i];

		if (zt_same(v->iov_base, v->iov_len, pos) != v->iov_len)
			return false;
		pos += v->iov_len;
	}
	return true;
}

static bool calls_intact(struct race *r, uint64_t pos)
{
	for (int i = 0; i < r->ret; i++) {
		if (zt_same(r->iov[i].iov_base, r->iov[i].iov_len, pos) != r->iov[i].iov_len)
			return false;
		pos += r->iov[i].iov_len;
	}
	return true;
}

/* Two into the same regions: what is there now is what one of the two got. */
static uint64_t same_regions(struct __test_metadata *_metadata, struct race *r)
{
	size_t mine = delivered(_metadata, r, 0, false);
	uint64_t first = KEPT;

	if (!r->took || r->ret <= 0) {
		ASSERT_TRUE(calls_intact(r, first) && others_intact(r, first));
	} else {
		ASSERT_TRUE(others_intact(r, first) || calls_intact(r, first) ||
			    others_intact(r, first + mine) || calls_intact(r, first + r->took));
	}
	return first + mine + r->took;
}

/* Which of the two was first shows in what the other side got. */
static uint64_t both(struct __test_metadata *_metadata, struct race *r)
{
	bool other_first = r->took && zt_same(r->taken, r->took, KEPT) == (size_t)r->took;
	uint64_t pos = KEPT;

	if (other_first)
		pos += r->took;
	pos += delivered(_metadata, r, pos, true);
	if (!other_first && r->took) {
		ASSERT_EQ((size_t)r->took, zt_same(r->taken, r->took, pos));
		pos += r->took;
	}
	return pos;
}

/* What the call may answer if it does not deliver. */
static void may_fail(struct __test_metadata *_metadata, struct race *r)
{
	static const int also[] = {
		[UNMAPS_ALL] = EFAULT, [UNMAPS_LAST] = EFAULT, [PUTS_MEMORY] = EFAULT,
		[PUTS_WINDOW] = EFAULT, [PUTS_WRITABLE_WINDOW] = EFAULT,
		[CLOSES_CONTEXT] = EBADF, [CLOSES_SOCKET] = EBADF,
		[UNMAPS_ARRAY] = EFAULT, [RESETS] = ECONNRESET, [FORKS] = 0,
	};

	if (r->ret > 0 || (r->ret == -EAGAIN && r->took))
		return;
	ASSERT_TRUE(r->ret ? also[r->s.does] == -r->ret : r->s.does == SHUTS_DOWN) {
		TH_LOG("it returned %d", r->ret);
	}
}

/* A page that the sender's pool still holds must not come to stand in a writable window. */
static void nobody_elses(struct __test_metadata *_metadata, struct race *r)
{
	for (size_t at = 0; at < CALL_LEN; at += ZT_PAGE) {
		uint64_t pfn = zt_pfn(_metadata, r->s.at + at);

		for (int i = 0; pfn && i < SENDING_PAGES; i++)
			ASSERT_NE(r->sent[i], pfn) {
				TH_LOG("a page that is not the window's alone can be written to in it");
			}
	}
}

static void look(struct __test_metadata *_metadata, struct race *r)
{
	uint64_t pos = KEPT;

	ASSERT_FALSE(r->s.moved);
	may_fail(_metadata, r);
	if (r->s.does == PROTECTS)
		ASSERT_EQ(0, mprotect(r->s.at, CALL_LEN, PROT_READ));
	if (r->s.does == UNMAPS_ARRAY) {
		/* How much was taken shows in what is left, once all has come. */
		int left = -1, coming = -1;

		for (int i = 0; coming && i < 10000; i++) {
			ASSERT_EQ(0, ioctl(r->s.z.tx, SIOCOUTQ, &coming));
			usleep(coming ? 1000 : 0);
		}
		ASSERT_EQ(0, coming);
		ASSERT_EQ(0, ioctl(r->s.z.rx, FIONREAD, &left));
		ASSERT_EQ(r->ret < 0, left == LEN);
		pos = KEPT + LEN - left;
	} else if (r->s.does == READS_THERE) {
		pos = same_regions(_metadata, r);
	} else {
		pos = both(_metadata, r);
	}
	if (r->s.does == PUTS_MEMORY)
		ASSERT_TRUE(all_bytes(r->s.at, CALL_LEN, PATTERN));
	if (r->s.does == PUTS_WRITABLE_WINDOW && r->sender)
		nobody_elses(_metadata, r);
	if (r->s.does != CLOSES_SOCKET && r->s.does != RESETS) {
		zt_recv(_metadata, r->s.z.rx, KEPT + LEN - pos, pos);
		if (r->s.does != SHUTS_DOWN)
			zt_nothing(_metadata, r->s.z.rx);
	}
	if (r->s.does != UNMAPS_ALL)
		ASSERT_EQ(KEPT, zt_same(r->kept.iov_base, KEPT, 0));
}

static void finish(struct __test_metadata *_metadata, struct race *r)
{
	if (r->sender) {
		zcio_unmap(r->sending, ZT_PAGES(SENDING_PAGES));
		zcio_close(r->sender);
	}
	scene_close(_metadata, &r->s);
}

/* ---- the moments ---- */

static const struct {
	enum zt_path path;
	bool zero_copy;
} ways[] = { { ZT_WIRE4, false }, { ZT_LO6, true } };

TEST_F(reader, at_some_moment)
{
	struct race *r = &self->r;

	r->s.does = variant->does;
	for (int round = 0; round < 8; round++) {
		int way = round % ARRAY_SIZE(ways);

		prepare(_metadata, r, ways[way].path, ways[way].zero_copy, ZCIO_DONTWAIT);
		feed(_metadata, r, LEN, KEPT);
		zt_arrived(_metadata, r->s.z.rx, LEN);
		race_by_chance(_metadata, &(struct side){ call_side, r },
			       &(struct side){ other_side, r }, &self->seed);
		look(_metadata, r);
		finish(_metadata, r);
	}
}

/* The call waits for data, which comes when the other is done. */
TEST_F(reader, while_it_waits)
{
	struct race *r = &self->r;

	r->s.does = variant->does;
	for (int way = 0; way < (int)ARRAY_SIZE(ways); way++) {
		struct side call = { call_side, r };

		prepare(_metadata, r, ways[way].path, ways[way].zero_copy, 0);
		side_start(_metadata, &call);
		zt_asleep(_metadata, call.tid);
		other_side(r);
		if (r->s.does == SHUTS_DOWN)
			side_join(_metadata, &call);
		/* Little enough for one call, after which nobody would take the rest. */
		if (r->s.does != RESETS)
			feed(_metadata, r, r->s.does == CLOSES_SOCKET ? KEPT : LEN, KEPT);
		if (r->s.does == SHUTS_DOWN)
			zt_arrived(_metadata, r->s.z.rx, LEN);
		else
			side_join(_metadata, &call);
		look(_metadata, r);
		finish(_metadata, r);
	}
}

static const char *const call_points[] = {
	"readv_checked", "readv_gathered", "window_put", "readv_placed", "readv_reported", "ioctl_ran",
};

TEST_F_TIMEOUT(reader, at_each_point, 120)
{
	struct race *r = &self->r;

	if (!points())
		SKIP(return, RACE_SKIP);
	r->s.does = variant->does;
	for (int i = 0; i < (int)ARRAY_SIZE(call_points); i++) {
		for (int way = 0; way < (int)ARRAY_SIZE(ways); way++) {
			bool held;

			do {
				prepare(_metadata, r, ways[way].path, ways[way].zero_copy, ZCIO_DONTWAIT);
				feed(_metadata, r, LEN, KEPT);
				zt_arrived(_metadata, r->s.z.rx, LEN);
				held = race_at(_metadata, &(struct side){ call_side, r },
					       &(struct side){ other_side, r }, call_points[i]);
				look(_metadata, r);
				finish(_metadata, r);
			} while (!held);
		}
	}
}

TEST_HARNESS_MAIN
