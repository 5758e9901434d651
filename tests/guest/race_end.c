// SPDX-License-Identifier: GPL-2.0
/*
 * A process that ends, or becomes another, while one of its threads is in a call; and
 * page faults and munmap() that others overtake. What the stream says afterwards fits to
 * a call that was made or was not, and nothing is left behind. (kill.c kills processes
 * at any moment; here they are at a certain one.)
 *
 * timeout: 300
 */
#include "race.h"

#define PAGES	8
#define LEN	ZT_PAGES(PAGES)

enum ends {
	EXITS,
	EXECS,
	KILLED,
};

FIXTURE(ending)
{
	struct zt z;
	int told[2];		/* a pipe: the child is to end */
	uint64_t seed;
	bool *begun;		/* shared: the call begins */
};

FIXTURE_VARIANT(ending)
{
	enum ends how;
	bool sends;
};

FIXTURE_VARIANT_ADD(ending, exit_while_receiving) { EXITS, false };
FIXTURE_VARIANT_ADD(ending, exec_while_receiving) { EXECS, false };
FIXTURE_VARIANT_ADD(ending, kill_while_receiving) { KILLED, false };
FIXTURE_VARIANT_ADD(ending, exit_while_sending) { EXITS, true };
FIXTURE_VARIANT_ADD(ending, exec_while_sending) { EXECS, true };
FIXTURE_VARIANT_ADD(ending, kill_while_sending) { KILLED, true };

FIXTURE_SETUP(ending)
{
	zt_open(_metadata, &self->z, 0, 0);
	self->seed = 1 + variant->how;
	self->begun = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->begun);
}

FIXTURE_TEARDOWN(ending)
{
	zcio_close(self->z.ctx);
}

struct call {
	bool sends;
	bool *begun;
	int fd, dev;
	char *at;
};

static void *in_call(void *arg)
{
	struct call *c = arg;
	struct iovec area[1][2] = { { zt_iov(c->at, LEN), zt_iov(c->at, LEN) } };
	struct iovec region = zt_iov(c->at, LEN);

	*c->begun = true;
	if (c->sends)
		zt_writev(c->dev, c->fd, area, 1, NULL, ZCIO_NOSIGNAL, NULL);
	else
		zt_readv(c->dev, c->fd, &region, 1, NULL, 0);
	return NULL;
}

/* Ends when it is told to, whatever its other thread is doing. */
static void child(int fd, int told, bool sends, enum ends how, bool *begun)
{
	struct zcio_ctx *ctx = zt_context();
	struct call c = { .sends = sends, .fd = fd, .begun = begun };
	pthread_t thread;
	char byte;

	if (!ctx)
		_exit(1);
	c.dev = zcio_ctx_fd(ctx);
	c.at = sends ? zcio_pool(ctx, LEN) : zcio_window(ctx, LEN, 0);
	if (!c.at)
		_exit(1);
	if (sends)
		zt_fill(c.at, LEN, 0);
	if (pthread_create(&thread, NULL, in_call, &c))
		_exit(1);
	if (read(told, &byte, 1) != 1)
		_exit(1);
	if (how == EXECS)
		execl("/bin/true", "true", NULL);
	if (how == EXITS)
		_exit(0);
	pause();
}

/* The thread that ends the process is dead, or asleep: it waits for the other. */
static bool waits(pid_t pid)
{
	char path[64], stat[512] = "", *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, stat, sizeof(stat) - 1) <= 0)
		stat[0] = 0;
	close(fd);
	state = strrchr(stat, ')');
	return !state || strchr("ZXSD", state[2]);
}

/* Whether the call took its bytes or not: all of it, or none. */
static void look(struct __test_metadata *_metadata, int here, int peer, bool sends)
{
	static char buf[LEN];
	size_t n = 0;
	ssize_t got;

	if (sends) {
		close(here);
		while ((got = recv(peer, buf + n, sizeof(buf) - n, 0)) > 0)
			n += got;
		ASSERT_EQ(0, got);
		ASSERT_EQ(n, zt_same(buf, n, 0));
		return;
	}
	while ((got = recv(here, buf + n, sizeof(buf) - n, MSG_DONTWAIT)) > 0)
		n += got;
	ASSERT_EQ(n, zt_same(buf, n, LEN - n));
	close(here);
}

static bool end_it(struct __test_metadata *_metadata, FIXTURE_DATA(ending) *self,
		   enum ends how, bool sends, enum zt_path path, const char *point)
{
	int here, peer, told[2], status;
	uint64_t before = 0;
	bool held = true;
	pid_t pid;

	zt_tcp(_metadata, path, &here, &peer);
	if (!sends) {
		zt_send(_metadata, peer, LEN, 0);
		zt_arrived(_metadata, here, LEN);
	}
	ASSERT_EQ(0, pipe2(told, O_CLOEXEC));
	*self->begun = false;
	if (point) {
		before = point_hits(_metadata, point);
		point_hold(_metadata, point, true);
	}
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(peer);
		close(told[1]);
		child(here, told[0], sends, how, self->begun);
	}
	while (!*self->begun || (point && point_hits(_metadata, point) == before))
		usleep(200);
	if (!point)
		usleep(zt_draw(&self->seed, 2000));
	if (how == KILLED) {
		ASSERT_EQ(0, kill(pid, SIGKILL));
	} else {
		ASSERT_EQ(1, write(told[1], "", 1));
	}
	if (point) {
		for (int seen = 0; seen < 4; usleep(1000))
			seen = waits(pid) ? seen + 1 : 0;
		/* A process is there as long as one of its threads is in a call. */
		held = waitpid(pid, &status, WNOHANG) == 0;
		point_hold(_metadata, point, false);
	}
	if (held)
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(how == KILLED ? WIFSIGNALED(status) : status == 0) TH_LOG("status %#x", status);
	look(_metadata, here, peer, sends);
	close(peer);
	close(told[0]);
	close(told[1]);
	zt_settled(_metadata, self->z.ctx, 0, 0);
	ASSERT_EQ(1, zt_info(_metadata, self->z.ctx).total_contexts);
	return held;
}

TEST_F(ending, at_some_moment)
{
	for (int round = 0; round < 12; round++)
		end_it(_metadata, self, variant->how, variant->sends,
		       round % 2 ? ZT_LO6 : ZT_WIRE4, NULL);
}

TEST_F_TIMEOUT(ending, at_each_point, 120)
{
	static const char *const readv[] = {
		"readv_checked", "readv_gathered", "window_put", "readv_placed", "readv_reported",
		"ioctl_ran", NULL,
	};
	static const char *const writev[] = {
		"writev_checked", "writev_reserved", "pool_swap", "writev_swapped", "writev_sent",
		"writev_settling", "ioctl_ran", NULL,
	};

	if (!points())
		SKIP(return, RACE_SKIP);
	for (const char *const *point = variant->sends ? writev : readv; *point; point++)
		while (!end_it(_metadata, self, variant->how, variant->sends, ZT_WIRE4, *point))
			;
}

/* ---- faults and munmap, overtaken ---- */

struct fault {
	struct zt z;
	char *at;		/* the page that is touched */
	int pipe[2];
	bool writes;		/* to the page, by reading from the pipe; else the other way */
	int err;
	int other;		/* what the other side got */
};

/* An access by a system call, which says EFAULT where another would die. */
static void touch(void *arg)
{
	struct fault *f = arg;
	ssize_t n = f->writes ? read(f->pipe[0], f->at, 1) : write(f->pipe[1], f->at, 1);

	f->err = n == 1 ? 0 : errno;
}

static void unmap(void *arg)
{
	struct fault *f = arg;

	f->err = munmap(f->at, ZT_PAGE) ? errno : 0;
}

static void put_memory(void *arg)
{
	struct fault *f = arg;

	if (mmap(f->at, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0) != f->at)
		f->err = errno;
}

static void drop(void *arg)
{
	struct fault *f = arg;

	madvise(f->at, ZT_PAGE, MADV_DONTNEED);
}

/* A payload into the page, and its neighbour. */
static void receive(void *arg)
{
	struct fault *f = arg;
	struct iovec region = zt_iov(f->at, ZT_PAGES(2));

	f->other = zt_readv(f->z.dev, f->z.rx, &region, 1, NULL, 0);
}

/* The page, and its neighbour, to the peer. */
static void send_pages(void *arg)
{
	struct fault *f = arg;
	struct iovec iov[1][2] = { { zt_iov(f->at, ZT_PAGES(2)), zt_iov(f->at, ZT_PAGES(2)) } };

	f->other = zt_writev(f->z.dev, f->z.rx, iov, 1, NULL, 0, NULL);
}

FIXTURE(fault)
{
	struct fault f;
};

FIXTURE_VARIANT(fault)
{
	const char *point;
	bool pool;
	bool writable;
	void (*side)(void *f);
	void (*other)(void *f);
};

FIXTURE_VARIANT_ADD(fault, window_received_into) { "window_fault", false, false, touch, receive };
FIXTURE_VARIANT_ADD(fault, window_unmapped) { "window_fault", false, false, touch, unmap };
FIXTURE_VARIANT_ADD(fault, window_replaced) { "window_fault", false, false, touch, put_memory };
FIXTURE_VARIANT_ADD(fault, window_dropped) { "window_fault", false, false, touch, drop };
FIXTURE_VARIANT_ADD(fault, window_touched_twice) { "window_fault", false, false, touch, touch };
FIXTURE_VARIANT_ADD(fault, writable_received_into) { "window_fault", false, true, touch, receive };
FIXTURE_VARIANT_ADD(fault, writable_unmapped) { "window_fault", false, true, touch, unmap };
FIXTURE_VARIANT_ADD(fault, writable_replaced) { "window_fault", false, true, touch, put_memory };
FIXTURE_VARIANT_ADD(fault, writable_dropped) { "window_fault", false, true, touch, drop };
FIXTURE_VARIANT_ADD(fault, pool_sent) { "pool_fault", true, true, touch, send_pages };
FIXTURE_VARIANT_ADD(fault, pool_unmapped) { "pool_fault", true, true, touch, unmap };
FIXTURE_VARIANT_ADD(fault, pool_replaced) { "pool_fault", true, true, touch, put_memory };
FIXTURE_VARIANT_ADD(fault, pool_dropped) { "pool_fault", true, true, touch, drop };
FIXTURE_VARIANT_ADD(fault, unmapping_window_received_into) { "window_unmapped", false, false, unmap, receive };
FIXTURE_VARIANT_ADD(fault, unmapping_window_touched) { "window_unmapped", false, true, unmap, touch };
FIXTURE_VARIANT_ADD(fault, unmapping_pool_sent) { "pool_unmapped", true, true, unmap, send_pages };
FIXTURE_VARIANT_ADD(fault, unmapping_pool_touched) { "pool_unmapped", true, true, unmap, touch };

FIXTURE_SETUP(fault)
{
}

FIXTURE_TEARDOWN(fault)
{
}

/* The mapping's other pages are what they were, and all comes back in the end. */
static bool overtake(struct __test_metadata *_metadata, struct fault *f,
		     const FIXTURE_VARIANT(fault) *v, bool writes)
{
	struct zcio_ctx *watch = zt_context();
	char *map;
	bool held;

	ASSERT_NE(NULL, watch);
	zt_open(_metadata, &f->z, 0, 0);
	zt_tcp(_metadata, ZT_LO4, &f->z.rx, &f->z.tx);
	map = v->pool ? zt_pool(_metadata, f->z.ctx, PAGES) :
	      zcio_window(f->z.ctx, LEN, v->writable ? ZCIO_WINDOW_WRITABLE : 0);
	ASSERT_NE(NULL, map);
	if (v->pool)
		memset(map, 0x77, ZT_PAGES(2));
	f->at = map + ZT_PAGES(3);
	f->writes = writes;
	f->err = 0;
	f->other = 0;
	ASSERT_EQ(0, pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK));
	ASSERT_EQ(2, write(f->pipe[1], "\x5a\x5a", 2));
	zt_send(_metadata, f->z.tx, 5000, 0);
	zt_arrived(_metadata, f->z.rx, 5000);

	held = race_at(_metadata, &(struct side){ v->side, f }, &(struct side){ v->other, f }, v->point);
	ASSERT_TRUE(f->err == 0 || f->err == EFAULT) TH_LOG("%s", strerror(f->err));
	if (v->other == receive) {
		ASSERT_TRUE(f->other == 1 || f->other == -EFAULT);
		if (f->other == 1 && !writes)
			ASSERT_EQ(ZT_PAGE, zt_same(f->at, ZT_PAGE, 0));
		if (f->other == -EFAULT)
			zt_recv(_metadata, f->z.rx, 5000, 0);
	}
	if (v->other == send_pages) {
		char got[ZT_PAGES(2)] = "";

		ASSERT_TRUE(f->other == 1 || f->other == -EFAULT);
		/* The byte that was written: sent, or still there. */
		if (f->other == 1) {
			ASSERT_EQ((ssize_t)sizeof(got), recv(f->z.tx, got, sizeof(got), MSG_WAITALL));
			if (v->side == touch && writes && !f->err)
				ASSERT_EQ(0x5a, got[0] + f->at[0]);
			ASSERT_EQ(sizeof(got) - 1, zt_zeros(got + 1, sizeof(got) - 1));
		}
		zt_nothing(_metadata, f->z.tx);
	}
	if (v->pool)
		ASSERT_TRUE(all_bytes(map, ZT_PAGES(2), 0x77));
	/* The page in the middle may be somebody else's by now. */
	munmap(map, f->at - map);
	munmap(f->at + ZT_PAGE, LEN - (f->at - map) - ZT_PAGE);
	if (v->side != unmap && v->other != unmap)
		munmap(f->at, ZT_PAGE);
	close(f->z.rx);
	close(f->z.tx);
	close(f->pipe[0]);
	close(f->pipe[1]);
	zcio_close(f->z.ctx);
	zt_settled(_metadata, watch, 0, 0);
	ASSERT_EQ(1, zt_info(_metadata, watch).total_contexts);
	zcio_close(watch);
	return held;
}

TEST_F(fault, is_overtaken)
{
	if (!points())
		SKIP(return, RACE_SKIP);
	while (!overtake(_metadata, &self->f, variant, false))
		;
	if (variant->writable)
		while (!overtake(_metadata, &self->f, variant, true))
			;
}

TEST_HARNESS_MAIN
