// SPDX-License-Identifier: GPL-2.0
/*
 * A user who receives and never lets go stops at the limit, and stops only himself: what
 * another user receives over the same network device comes complete, before and after. When
 * he is killed, all comes back.
 *
 * timeout: 300
 */
#include <sys/resource.h>

#include "zt.h"

#define PAGES		4096		/* the hoarder's limit */
#define REGION		4		/* pages, in each of which there is one at least */
#define WINDOW		(REGION * PAGES)
#define BULK		(zt_debug() ? 4UL << 20 : 16UL << 20)	/* bytes of a transfer */
#define CGROUP		"/sys/fs/cgroup/zcio-oom"	/* splat.py knows the name */

enum limit {
	MEMLOCK,		/* RLIMIT_MEMLOCK: received pages are charged to it */
	MEMCG,			/* memory.max: pages that are allocated for copies are */
};

FIXTURE(hoard)
{
	struct zt z;		/* the other user's */
	int rx, tx;		/* the hoarder's connection */
};

FIXTURE_VARIANT(hoard)
{
	enum limit limit;
};

FIXTURE_VARIANT_ADD(hoard, memlock) { .limit = MEMLOCK };
FIXTURE_VARIANT_ADD(hoard, memcg) { .limit = MEMCG };

FIXTURE_SETUP(hoard)
{
	zt_tcp(_metadata, ZT_WIRE4, &self->rx, &self->tx);
	zt_open(_metadata, &self->z, 512, 0);
	zt_tcp(_metadata, ZT_WIRE4, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(hoard)
{
	zcio_close(self->z.ctx);
	rmdir(CGROUP);
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

/* In a group that may have as much memory as the other variant may lock. */
static bool make_cgroup(void)
{
	char text[32];

	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return false;
	snprintf(text, sizeof(text), "%lu", ZT_PAGES(PAGES));
	return put(CGROUP "/memory.max", text) &&
	       (access(CGROUP "/memory.swap.max", F_OK) || put(CGROUP "/memory.swap.max", "0"));
}

/* How many of the group the kernel has killed for lack of memory. */
static long killed(struct __test_metadata *_metadata)
{
	FILE *file = fopen(CGROUP "/memory.events", "re");
	char line[64];
	long n = -1;

	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "oom_kill %ld", &n);
	fclose(file);
	ASSERT_LE(0, n);
	return n;
}

struct told {
	int err;		/* what stopped him */
	size_t bytes;		/* that he had by then */
};

/* Receives until that is refused, says so, and keeps it all. */
static void hoard(struct __test_metadata *_metadata, int rx, enum limit limit, int say)
{
	struct told told = {};
	struct zt z = {};

	if (limit == MEMLOCK) {
		zt_limited(_metadata, PAGES);
	} else {
		ASSERT_TRUE(put(CGROUP "/cgroup.procs", "0"));
		zt_limited(_metadata, 2 * WINDOW);
	}
	zt_open(_metadata, &z, WINDOW + REGION, 0);
	if (limit == MEMCG)
		zt_threshold(_metadata, z.ctx, 1 << 30);
	for (size_t at = 0; !told.err; at += REGION) {
		struct iovec iov = zt_iov(z.win + ZT_PAGES(at), ZT_PAGES(REGION));
		int n;

		/* Each call fills a page at least, so the limit comes before the window's end. */
		ASSERT_GE(WINDOW, at);
		n = zt_readv(z.dev, rx, &iov, 1, NULL, 0);
		if (n == 1)
			told.bytes += iov.iov_len;
		else
			told.err = n < 0 ? -n : ENODATA;
	}
	ASSERT_EQ((ssize_t)sizeof(told), write(say, &told, sizeof(told)));
	for (;;)
		pause();
}

/* The whole transfer, compared. */
static void bulk(struct __test_metadata *_metadata, struct zt *z)
{
	struct zt_stream s = { .fd = z->tx, .sends = true, .len = BULK };
	uint64_t mapped;

	zt_stream_start(_metadata, &s);
	mapped = zt_zc_recv(_metadata, z->dev, z->rx, z->win, 512, BULK, 0);
	zt_stream_join(_metadata, &s);
	TH_LOG("%lu MiB came, %llu %% of it mapped", BULK >> 20,
	       (unsigned long long)(mapped * 100 / BULK));
}

TEST_F_TIMEOUT(hoard, stops_only_himself, 250)
{
	struct zt_stream feed = { .fd = self->tx, .sends = true, .len = SIZE_MAX / 2 };
	struct told told = {};
	struct zcio_info info;
	int say[2], status;
	long before = 0;
	ssize_t n;
	pid_t him;

	if (variant->limit == MEMCG) {
		if (!make_cgroup())
			SKIP(return, "no memory controller in " CGROUP);
		before = killed(_metadata);
	}
	ASSERT_EQ(0, pipe2(say, O_CLOEXEC));
	him = fork();
	ASSERT_LE(0, him);
	if (!him) {
		close(self->z.rx);
		close(self->tx);
		hoard(_metadata, self->rx, variant->limit, say[1]);
	}
	close(say[1]);
	close(self->rx);
	zt_stream_start(_metadata, &feed);
	/* While he takes, and when he has all that he gets. */
	bulk(_metadata, &self->z);
	n = read(say[0], &told, sizeof(told));
	if (n == sizeof(told)) {
		TH_LOG("he has %zu KiB, then: %s", told.bytes >> 10, strerror(told.err));
		ASSERT_EQ(variant->limit == MEMLOCK ? ENOBUFS : ENOMEM, told.err);
		info = zt_info(_metadata, self->z.ctx);
		/* What he has goes with him, if the kernel kills him now: a fault is refused nothing. */
		if (variant->limit == MEMLOCK || killed(_metadata) == before)
			ASSERT_LT(0, info.total_window_pages - info.window_pages);
		if (variant->limit == MEMLOCK)
			ASSERT_GE(PAGES, info.total_window_pages - info.window_pages);
	} else {
		/* The kernel can also kill somebody for lack of memory: of his group. */
		ASSERT_EQ(0, n);
		ASSERT_EQ(MEMCG, variant->limit);
		TH_LOG("the kernel has killed him");
	}
	for (int i = 0; i < 2; i++)
		bulk(_metadata, &self->z);

	kill(him, SIGKILL);
	ASSERT_EQ(him, waitpid(him, &status, 0));
	ASSERT_EQ(SIGKILL, WTERMSIG(status));
	pthread_join(feed.thread, NULL);
	bulk(_metadata, &self->z);
	ASSERT_EQ(0, zcio_unmap(self->z.win, ZT_PAGES(512)));
	zt_settled(_metadata, self->z.ctx, 0, 0);
}

TEST_HARNESS_MAIN
