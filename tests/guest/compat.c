// SPDX-License-Identifier: GPL-2.0
/*
 * What is special where 32-bit processes run on a 64-bit kernel: how wide an array is, and
 * streams between processes of the two widths. This program is built in both widths, and each
 * runs the other as its peer.
 *
 * widths: 64, 32
 */
#include <limits.h>

#include "refused.h"

#define AREAS	8
#define REGIONS	16
#define LEN	65536
/* No multiple of anything. */
#define STREAM	(3000000 + 1237)

typedef struct iovec pair[2];

/* Of both widths, which makes the ioctls' numbers the same too. */
_Static_assert(sizeof(struct zcio_payload) == 96 && sizeof(struct zcio_readv) == 64 &&
	       sizeof(struct zcio_writev) == 64 && sizeof(struct zcio_info) == 480 &&
	       sizeof(struct zcio_tune) == 64 && sizeof(struct zcio_target) == 64 &&
	       sizeof(struct zcio_kept) == 64, "structures without pointers");

FIXTURE(arrays)
{
	struct zt z;
};

FIXTURE_SETUP(arrays)
{
	zt_open(_metadata, &self->z, 16, 16);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
	zt_remember(_metadata, &self->z, ZT_PAGES(16));
}

FIXTURE_TEARDOWN(arrays)
{
	zcio_close(self->z.ctx);
}

/* @bytes before a hole, and something before them. */
static void *before_a_hole(struct __test_metadata *_metadata, size_t bytes)
{
	char *p = two_pages_and_a_hole(_metadata);

	memset(p, 0x5a, ZT_PAGES(2));
	return p + ZT_PAGES(2) - bytes;
}

static bool untouched(const char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != 0x5a)
			return false;
	return true;
}

TEST_F(arrays, of_regions_are_as_wide_as_the_process)
{
	struct iovec *iov = before_a_hole(_metadata, 4 * sizeof(*iov)), old[4];

	for (int i = 0; i < 4; i++)
		iov[i] = zt_iov(self->z.win + ZT_PAGES(2 * i), ZT_PAGES(2));
	memcpy(old, iov, sizeof(old));
	zt_send(_metadata, self->z.tx, 1000, 0);
	zt_arrived(_metadata, self->z.rx, 1000);
	ASSERT_EQ(1, zt_readv(self->z.dev, self->z.rx, iov, 4, NULL, 0));
	ASSERT_EQ(1000, iov[0].iov_len);
	ASSERT_EQ(1000, zt_same(iov[0].iov_base, 1000, 0));
	ASSERT_LE((uintptr_t)old[0].iov_base, (uintptr_t)iov[0].iov_base);
	ASSERT_GE((uintptr_t)old[1].iov_base, (uintptr_t)iov[0].iov_base + 1000);
	ASSERT_EQ(0, memcmp(iov + 1, old + 1, 3 * sizeof(*iov)));
	ASSERT_TRUE(untouched((char *)iov - 256, 256));
}

TEST_F(arrays, of_areas_are_as_wide_as_the_process)
{
	pair *iov = before_a_hole(_metadata, 2 * sizeof(*iov));
	uint64_t taken = 0;

	for (int i = 0; i < 2; i++) {
		char *area = self->z.pool + ZT_PAGES(2 * i);

		zt_fill(area + 10, 1000, 1000 * i);
		iov[i][0] = zt_iov(area, ZT_PAGES(2));
		iov[i][1] = zt_iov(area + 10, 1000);
	}
	ASSERT_EQ(2, zt_writev(self->z.dev, self->z.rx, iov, 2, NULL, 0, &taken));
	ASSERT_EQ(2000, taken);
	ASSERT_EQ(ZT_PAGES(4), zt_zeros(self->z.pool, ZT_PAGES(4)));
	zt_recv(_metadata, self->z.tx, 2000, 0);
}

/* Only the last bytes of the last element are missing. */
TEST_F(arrays, that_end_in_a_hole_are_EFAULT)
{
	struct iovec *regions = before_a_hole(_metadata, 2 * sizeof(*regions) - 2);
	pair *areas = before_a_hole(_metadata, sizeof(*areas) - 2);
	struct iovec region = zt_iov(self->z.win, ZT_PAGE), area = zt_iov(self->z.pool, ZT_PAGE);

	memcpy(regions, &region, sizeof(region));
	memcpy(areas, &area, sizeof(area));
	zt_send(_metadata, self->z.tx, 100, 0);
	zt_arrived(_metadata, self->z.rx, 100);
	zt_readv_fails(_metadata, &self->z, zt_readv_call(&self->z, regions, 2), EFAULT, -1,
		       regions, 2 * sizeof(*regions) - 2);
	zt_writev_fails(_metadata, &self->z, zt_writev_call(&self->z, areas, 1), EFAULT, -1,
			areas, sizeof(*areas) - 2);
	zt_recv(_metadata, self->z.rx, 100, 0);
	zt_nothing(_metadata, self->z.tx);
}

/* An address is not cut down to the width of the process. */
TEST_F(arrays, beyond_all_memory_are_EFAULT)
{
	struct iovec region = zt_iov(self->z.win, ZT_PAGE);
	pair area = { zt_iov(self->z.pool, ZT_PAGE), zt_iov(self->z.pool, 1) };
	struct zcio_readv readv = zt_readv_call(&self->z, &region, 1);
	struct zcio_writev writev = zt_writev_call(&self->z, &area, 1);

	readv.iov |= 1ULL << 62;
	zt_readv_fails(_metadata, &self->z, readv, EFAULT, -1, &region, sizeof(region));
	writev.iov |= 1ULL << 62;
	zt_writev_fails(_metadata, &self->z, writev, EFAULT, -1, &area, sizeof(area));
}

/* The last page that an address of this width can name: its end is beyond. */
TEST_F(arrays, whose_ranges_wrap_around_are_EINVAL)
{
	void *last = (void *)-ZT_PAGE;
	char *win = self->z.win, *pool = self->z.pool;
	struct iovec whole[] = { zt_iov(win, ZT_PAGE), zt_iov(last, ZT_PAGE) };
	struct iovec beyond[] = { zt_iov(win, ZT_PAGE), zt_iov(last, ZT_PAGES(2)) };
	struct iovec all[] = { zt_iov(win, ZT_PAGE), zt_iov(win + ZT_PAGE, SIZE_MAX) };
	pair area[] = { { zt_iov(last, ZT_PAGES(2)), zt_iov(last, 1) } };
	pair payload[] = {
		{ zt_iov(pool, ZT_PAGE), zt_iov(pool, 1) },
		{ zt_iov(pool + ZT_PAGE, ZT_PAGE), zt_iov(pool + ZT_PAGE, -ZT_PAGE) },
	};

	READ_REFUSED(EINVAL, 1, whole);
	READ_REFUSED(EINVAL, 1, beyond);
	READ_REFUSED(EINVAL, 1, all);
	WRITE_REFUSED(EINVAL, 0, area);
	WRITE_REFUSED(EINVAL, 1, payload);
}

TEST_F(arrays, need_not_be_there_for_settings_and_counters)
{
	struct zcio_tune tune = { .copy_threshold = 4096 };
	struct iovec iov = zt_iov(self->z.win, ZT_PAGE);
	struct zcio_payload payload;
	struct zcio_info info;
	char path[64], text[2048];
	ssize_t len;
	int fd;

	ASSERT_EQ(0, zcio_tune(self->z.ctx, &tune));
	zt_send(_metadata, self->z.tx, 1000, 0);
	zt_arrived(_metadata, self->z.rx, 1000);
	ASSERT_EQ(1, zt_readv(self->z.dev, self->z.rx, &iov, 1, &payload, 0));
	ASSERT_EQ(1000, payload.copied);
	ASSERT_NE(0, payload.why & ZCIO_WHY_SMALL);
	ASSERT_EQ(0, zcio_info(self->z.ctx, self->z.rx, &info));
	ASSERT_EQ(ZCIO_ABI_VERSION, info.version);
	ASSERT_EQ(4096, info.copy_threshold);
	ASSERT_EQ(1, info.window_pages);
	ASSERT_EQ(16, info.pool_pages);
	ASSERT_EQ(1, info.rx.payloads);
	ASSERT_EQ(1000, info.rx.why[0]);
	ASSERT_EQ(0, info.tx.calls);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->z.dev);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	ASSERT_LT(0, len);
	text[len] = 0;
	ASSERT_NE(NULL, strstr(text, "zcio-window-pages:\t1\n"));
	ASSERT_NE(NULL, strstr(text, "zcio-rx-copied-small:\t1000\n"));
}

/* ---- streams ---- */

/* Sends the stream, in payloads of many lengths. NULL, or what went wrong. */
static const char *send_stream(struct zcio_ctx *ctx, int fd)
{
	char *pool = zcio_pool(ctx, AREAS * LEN);
	size_t pos = 0;

	if (!pool)
		return "no pool";
	while (pos < STREAM) {
		pair iov[AREAS];
		size_t bytes = 0;
		int n = 0;

		for (; n < AREAS && pos + bytes < STREAM; n++) {
			size_t start = (pos + n) % 5000, len = 1 + (pos + 7919 * n) % (LEN - 5000);
			char *area = pool + n * LEN;

			if (len > STREAM - pos - bytes)
				len = STREAM - pos - bytes;
			zt_fill(area + start, len, pos + bytes);
			iov[n][0] = zt_iov(area, LEN);
			iov[n][1] = zt_iov(area + start, len);
			bytes += len;
		}
		if (zc_writev(fd, iov, n) != n)
			return "zc_writev";
		if (zt_zeros(pool, n * LEN) != n * LEN)
			return "an area was not swapped";
		pos += bytes;
	}
	return shutdown(fd, SHUT_WR) ? "shutdown" : NULL;
}

/* Receives it, and compares. */
static const char *receive_stream(struct zcio_ctx *ctx, int fd)
{
	char *win = zcio_window(ctx, REGIONS * LEN, 0);
	size_t pos = 0;
	int n;

	if (!win)
		return "no window";
	do {
		struct iovec iov[REGIONS];

		for (int i = 0; i < REGIONS; i++)
			iov[i] = zt_iov(win + i * LEN, LEN);
		n = zc_readv(fd, iov, REGIONS);
		for (int i = 0; i < n; i++) {
			char *at = iov[i].iov_base;

			if (at < win || at + iov[i].iov_len > win + REGIONS * LEN)
				return "a payload outside the window";
			if (zt_same(at, iov[i].iov_len, pos) != iov[i].iov_len)
				return "a wrong byte";
			pos += iov[i].iov_len;
		}
	} while (n > 0);
	return n ? "zc_readv" : pos == STREAM ? NULL : "bytes are missing";
}

/* One side of a stream, on socket @fd. */
static int side(bool sends, int fd)
{
	struct zcio_ctx *ctx = zcio_open();
	const char *wrong = !ctx ? "no context" : sends ? send_stream(ctx, fd) : receive_stream(ctx, fd);

	if (wrong)
		printf("# %zu-bit %s: %s (%m)\n", 8 * sizeof(void *), sends ? "sender" : "receiver", wrong);
	return wrong ? 1 : 0;
}

/* This program in the other width: …/compat and …/32/compat. */
static void other_width(struct __test_metadata *_metadata, char *path)
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - sizeof("/32/compat"));
	char *name;

	ASSERT_LT(0, len);
	path[len] = 0;
	name = strrchr(path, '/');
	memcpy(name, sizeof(void *) == 4 ? "/../compat" : "/32/compat", sizeof("/32/compat"));
}

FIXTURE(stream)
{
	int here, there;
};

FIXTURE_VARIANT(stream)
{
	enum zt_path path;
	bool sends;
};

FIXTURE_VARIANT_ADD(stream, sent_lo) { .path = ZT_LO4, .sends = true };
FIXTURE_VARIANT_ADD(stream, received_lo) { .path = ZT_LO6, .sends = false };
FIXTURE_VARIANT_ADD(stream, sent_wire) { .path = ZT_WIRE6, .sends = true };
FIXTURE_VARIANT_ADD(stream, received_wire) { .path = ZT_WIRE4, .sends = false };

FIXTURE_SETUP(stream)
{
	zt_tcp(_metadata, variant->path, &self->here, &self->there);
}

FIXTURE_TEARDOWN(stream)
{
	close(self->here);
}

/* A peer that cannot be run ends with these. */
#define NO_OTHER_WIDTH	4
#define NO_PEER		5

TEST_F(stream, to_or_from_the_other_width)
{
	char path[PATH_MAX], fd[12];
	int status, wrong;
	pid_t peer;

	other_width(_metadata, path);
	snprintf(fd, sizeof(fd), "%d", self->there);
	peer = fork();
	ASSERT_LE(0, peer);
	if (!peer) {
		close(self->here);
		fcntl(self->there, F_SETFD, 0);
		execl(path, path, variant->sends ? "receives" : "sends", fd, NULL);
		_exit(errno == ENOEXEC ? NO_OTHER_WIDTH : NO_PEER);
	}
	close(self->there);
	wrong = side(variant->sends, self->here);
	/* A receiver that gave up must not leave its peer waiting. */
	close(self->here);
	ASSERT_EQ(peer, waitpid(peer, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_OTHER_WIDTH)
		SKIP(return, "this kernel has no 32-bit programs, or they are off (ia32_emulation=)");
	ASSERT_EQ(0, WEXITSTATUS(status));
	ASSERT_EQ(0, wrong);
}

int main(int argc, char **argv)
{
	if (argc == 3 && argv[1][0] != '-')
		return side(!strcmp(argv[1], "sends"), atoi(argv[2]));
	zt_patience();
	return test_harness_run(argc, argv);
}
