// SPDX-License-Identifier: GPL-2.0
/*
 * Killing a receiver (of any kind of socket) or a sender at any moment leaves nothing
 * behind: no page, no context, no socket, and the module can be unloaded.
 *
 * Two accounts are looked at. The module's own counters, which must be zero. And the
 * kernel's: of all memory, what is neither free nor in use by anybody the kernel knows
 * of. A page that the module took and lost shows there.
 *
 * timeout: 900
 */
#include <limits.h>

#include "flow.h"

#define WINDOW_PAGES	512
#define POOL_PAGES	256

/* Sends without end, areas of all sizes, several in each call. */
static void send_on(int fd, volatile uint32_t *calls)
{
	struct zcio_ctx *ctx = zt_context();
	char *pool = ctx ? zcio_pool(ctx, ZT_PAGES(POOL_PAGES)) : NULL;
	uint64_t seed = fd;

	if (!pool)
		_exit(1);
	for (;;) {
		struct iovec iov[8][2];
		size_t page = 0;

		for (int i = 0; i < 8; i++) {
			size_t pages = 1 + zt_draw(&seed, POOL_PAGES / 8);

			iov[i][0] = zt_iov(pool + ZT_PAGES(page), ZT_PAGES(pages));
			iov[i][1] = zt_iov(pool + ZT_PAGES(page) + zt_draw(&seed, 2000),
					   ZT_PAGES(pages) - 2000);
			*(char *)iov[i][1].iov_base = 1;
			page += pages;
		}
		++*calls;
		if (zt_writev(zcio_ctx_fd(ctx), fd, iov, 1 + zt_draw(&seed, 8), NULL, ZCIO_NOSIGNAL, NULL) < 0)
			_exit(0);
	}
}

/* The same by send(), for sockets that keep boundaries; what finds no room is lost. */
static void send_plainly_on(struct flow *f, volatile uint32_t *calls)
{
	uint64_t seed = 7;

	for (;;) {
		++*calls;
		flow_send(f, 1 + zt_draw(&seed, f->most), 0);
	}
}

/* Receives without end, and touches what it got. */
static void receive_on(int fd, unsigned int flags, volatile uint32_t *calls)
{
	struct zcio_ctx *ctx = zt_context();
	char *win = ctx ? zcio_window(ctx, ZT_PAGES(WINDOW_PAGES), flags) : NULL;
	uint64_t seed = fd;
	volatile char sum = 0;

	if (!win)
		_exit(1);
	for (;;) {
		uint32_t pages = 1 + zt_draw(&seed, 8), count = WINDOW_PAGES / pages;
		struct iovec iov[WINDOW_PAGES];
		int n;

		count = 1 + zt_draw(&seed, count);
		zt_regions(iov, win, count, pages);
		++*calls;
		n = zt_readv(zcio_ctx_fd(ctx), fd, iov, count, NULL, 0);
		if (n <= 0)
			_exit(0);
		for (int i = 0; i < n; i++)
			sum += *(char *)iov[i].iov_base;
		sum += win[ZT_PAGES(zt_draw(&seed, WINDOW_PAGES))];
		if (flags)
			win[zt_draw(&seed, ZT_PAGES(WINDOW_PAGES))] = sum;
	}
}

/* One transfer, whose @victim (0: the receiver, 1: the sender) is killed at some moment. */
static void killed(struct __test_metadata *_metadata, enum flow_kind kind, bool wire, int victim,
		   uint64_t *seed, volatile uint32_t *calls)
{
	/* When it has begun so many calls (0: perhaps not even opened the device), and a bit. */
	uint32_t begun = zt_draw(seed, 4) ? zt_draw(seed, 16) : 0;
	useconds_t later = zt_draw(seed, 2) ? zt_draw(seed, 4000) : 0;
	unsigned int flags = zt_draw(seed, 4) ? 0 : ZCIO_WINDOW_WRITABLE;
	int ends[2], size = 1 << 20, status;
	struct flow f;
	pid_t child[2];

	calls[0] = 0;
	calls[1] = 0;
	flow_open(_metadata, &f, kind, wire);
	ends[0] = f.to;
	ends[1] = f.from;
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	for (int i = 0; i < 2; i++) {
		child[i] = fork();
		ASSERT_LE(0, child[i]);
		if (!child[i]) {
			close(ends[!i]);
			if (i && !flow_streams(&f))
				send_plainly_on(&f, &calls[1]);
			if (i)
				send_on(ends[1], &calls[1]);
			receive_on(ends[0], flags, &calls[0]);
		}
	}
	close(ends[0]);
	close(ends[1]);
	while (calls[victim] < begun && !waitid(P_PID, child[victim], &(siginfo_t){}, WEXITED | WNOHANG | WNOWAIT))
		usleep(200);
	usleep(later);
	ASSERT_EQ(0, kill(child[victim], SIGKILL));
	ASSERT_EQ(child[victim], waitpid(child[victim], &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status)) TH_LOG("it had ended by itself, with %#x", status);
	/* The other end hears of it (or not, if the connection has just died) and ends. */
	if (!flow_streams(&f)) {
		ASSERT_EQ(0, kill(child[!victim], SIGKILL));
		ASSERT_EQ(child[!victim], waitpid(child[!victim], &status, 0));
		return;
	}
	ASSERT_EQ(child[!victim], waitpid(child[!victim], &status, 0));
	ASSERT_EQ(0, status);
}

/* ---- the kernel's account ---- */

static long sum_lines(const char *path, const char *const *names)
{
	FILE *f = fopen(path, "re");
	char name[64];
	long sum = 0, n;

	while (f && fscanf(f, "%63s %ld%*[^\n]", name, &n) == 2)
		for (int i = 0; names[i]; i++)
			if (!strcmp(name, names[i]))
				sum += n;
	if (f)
		fclose(f);
	return sum;
}

/* Pages in the lists of free pages that each CPU keeps for itself. */
static long cpu_lists(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	char line[256];
	long sum = 0, n;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &n) == 1)
			sum += n;
	if (f)
		fclose(f);
	return sum;
}

/* Pages that are not free, and that no counter of the kernel says are in use. */
static long unaccounted(struct __test_metadata *_metadata)
{
	static const char *const used[] = {
		"nr_free_pages", "nr_file_pages", "nr_anon_pages", "nr_page_table_pages",
		"nr_sec_page_table_pages", NULL,
	};
	static const char *const slabs[] = {
		"nr_slab_reclaimable", "nr_slab_unreclaimable", NULL,
	};
	static const char *const kib[] = { "VmallocUsed:", "Percpu:", "KernelStack:", NULL };
	static const char *const total[] = { "MemTotal:", NULL };
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	ASSERT_EQ(1, write(fd, "3", 1));
	close(fd);
	/* Folds the CPUs' own parts of the counters into the totals. */
	fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);
	ASSERT_EQ(1, write(fd, "1", 1));
	close(fd);
	return sum_lines("/proc/meminfo", total) / 4 - sum_lines("/proc/vmstat", used) -
	       sum_lines("/proc/vmstat", slabs) - sum_lines("/proc/meminfo", kib) / 4 - cpu_lists();
}

FIXTURE(kills) {
	struct zt z;
	uint64_t seed;
	uint32_t *calls;
};

FIXTURE_VARIANT(kills) {
	enum flow_kind kind;
	bool wire;
	int victim;
	int times;
};

FIXTURE_VARIANT_ADD(kills, receiver) { TCP4, true, .victim = 0, .times = 200 };
FIXTURE_VARIANT_ADD(kills, sender) { TCP4, true, .victim = 1, .times = 200 };
FIXTURE_VARIANT_ADD(kills, receiver_lo) { TCP6, false, .victim = 0, .times = 50 };
FIXTURE_VARIANT_ADD(kills, sender_lo) { TCP6, false, .victim = 1, .times = 50 };
FIXTURE_VARIANT_ADD(kills, udp_receiver) { UDP4, true, .victim = 0, .times = 50 };
FIXTURE_VARIANT_ADD(kills, packet_receiver) { RAW, true, .victim = 0, .times = 50 };

FIXTURE_SETUP(kills)
{
	zt_open(_metadata, &self->z, 0, 0);
	self->seed = 2026 + variant->victim;
	self->calls = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->calls);
}

FIXTURE_TEARDOWN(kills)
{
	zcio_close(self->z.ctx);
}

/* No connection is left that is not closed or about to time out. */
static int connections(void)
{
	FILE *f = popen("{ ss -Htn state connected exclude time-wait; "
			"[ ! -e /run/netns/peer ] || ip netns exec peer ss -Htn state connected exclude time-wait; }"
			" | wc -l", "re");
	int n = -1;

	if (f && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		pclose(f);
	return n;
}

/* Waits until nothing of the killed ones is there any more; what the kernel cannot account for. */
static long settled(struct __test_metadata *_metadata, struct zt *z, long hoped)
{
	long now = 0;

	zt_settled(_metadata, z->ctx, 0, 0);
	ASSERT_EQ(1, zt_info(_metadata, z->ctx).total_contexts);
	while (connections())
		usleep(10000);
	/* Some pages are given back a little later (RCU, a CPU's list of buffers to free). */
	for (int tries = 0; tries < 50; tries++) {
		now = unaccounted(_metadata);
		if (now <= hoped)
			break;
		usleep(20000);
	}
	return now;
}

/*
 * The module's own account is exact. The kernel's is not: caches (a driver's page_pool,
 * rings, sockets) fill up and are emptied while this runs. But what is lost at each kill is
 * lost in every round, and caches do not grow in every round by a page for two kills.
 */
#define ROUNDS	4

TEST_F_TIMEOUT(kills, leave_nothing_behind, 400)
{
	int times = variant->times / ROUNDS;
	long least = LONG_MAX, before, after;

	/* A debug kernel has other ways, too, to see what is lost at a kill. */
	if (zt_debug())
		times = times / 4 > 8 ? times / 4 : 8;
	for (int i = 0; i < (zt_debug() ? 10 : 20); i++)
		killed(_metadata, variant->kind, variant->wire, variant->victim, &self->seed, self->calls);
	before = settled(_metadata, &self->z, LONG_MAX);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < times; i++)
			killed(_metadata, variant->kind, variant->wire, variant->victim, &self->seed, self->calls);
		after = settled(_metadata, &self->z, before + times / 2);
		TH_LOG("pages that nobody accounts for: %ld before, %ld after", before, after);
		if (after - before < least)
			least = after - before;
		before = after;
	}
	ASSERT_GE(times / 2, least);
}

/* ---- and the module can go, and come back ---- */

TEST(unloads_and_loads_again)
{
	const char *path = getenv("ZCIO_MODULE");

	ASSERT_NE(NULL, path);
	ASSERT_EQ(0, system("rmmod zcio"));
	EXPECT_NE(0, access("/sys/module/zcio", F_OK));
	EXPECT_NE(0, access("/dev/zcio", F_OK));
	ASSERT_EQ(0, system("insmod \"$ZCIO_MODULE\" $ZCIO_MODULE_PARAMS"));
	while (access("/dev/zcio", F_OK))
		usleep(1000);
	EXPECT_EQ(0, system("rmmod zcio && insmod \"$ZCIO_MODULE\" $ZCIO_MODULE_PARAMS"));
}

/* A context in use holds the module. */
TEST(does_not_unload_in_use)
{
	struct zt z = {};

	zt_open(_metadata, &z, 4, 4);
	EXPECT_NE(0, system("rmmod zcio 2>/dev/null"));
	zcio_close(z.ctx);
	EXPECT_NE(0, system("rmmod zcio 2>/dev/null")) TH_LOG("its mappings were forgotten");
	z.pool[0] = 1;
	ASSERT_EQ(0, z.win[0]);
	ASSERT_EQ(0, zcio_unmap(z.pool, ZT_PAGES(4)));
	EXPECT_NE(0, system("rmmod zcio 2>/dev/null"));
	ASSERT_EQ(0, zcio_unmap(z.win, ZT_PAGES(4)));
	EXPECT_EQ(0, system("rmmod zcio && insmod \"$ZCIO_MODULE\" $ZCIO_MODULE_PARAMS"));
}

TEST_HARNESS_MAIN
