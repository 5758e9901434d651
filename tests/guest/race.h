/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What race_*.c share: a call in one thread, and something that another thread does
 * meanwhile.
 *
 * When "meanwhile" is: at some moment, by chance (a round of race_by_chance()); or, where
 * the module has points to be held at (rust/ground/debug.rs: a debug kernel), exactly
 * when the call is at one (race_at()). What is done then may have to wait for the call;
 * it is let go on when the other is done or asleep. Nothing depends on a time: a round in
 * which the call was not held long enough is played again.
 */
#ifndef RACE_H
#define RACE_H

#include <sys/syscall.h>

#include "zt.h"

#define RACE_SKIP	"the module has no points to be held at (it has them on a debug kernel)"
#define RACE_HOLD	"10000000"	/* microseconds: the most that it allows */

/* A thread that does one thing, and how far it is. */
struct side {
	void (*act)(void *arg);
	void *arg;
	_Atomic pid_t tid;
	_Atomic bool go, begun, over;
	pthread_t thread;
};

static inline void *side_run(void *arg)
{
	struct side *s = arg;

	s->tid = syscall(SYS_gettid);
	while (!s->go)
		usleep(50);
	s->begun = true;
	s->act(s->arg);
	s->over = true;
	return NULL;
}

/* The thread is there and waits: one cannot be made while the mmap lock is held. */
static inline void side_make(struct __test_metadata *_metadata, struct side *s)
{
	s->tid = 0;
	s->go = false;
	s->begun = false;
	s->over = false;
	ASSERT_EQ(0, pthread_create(&s->thread, NULL, side_run, s));
	while (!s->tid)
		sched_yield();
}

static inline void side_go(struct side *s)
{
	s->go = true;
	while (!s->begun)
		sched_yield();
}

static inline void side_start(struct __test_metadata *_metadata, struct side *s)
{
	side_make(_metadata, s);
	side_go(s);
}

static inline void side_join(struct __test_metadata *_metadata, struct side *s)
{
	ASSERT_EQ(0, pthread_join(s->thread, NULL));
}

/* Sleeps, for a lock too; false also if it is gone. */
static inline bool sleeps(pid_t tid)
{
	char path[64], stat[512], *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return false;
	stat[n] = 0;
	state = strrchr(stat, ')');
	return state && (state[2] == 'S' || state[2] == 'D');
}

/* Waits until it is over, or asleep each time that it is looked at. */
static inline void side_settles(struct side *s)
{
	for (int seen = 0; seen < 4 && !s->over;) {
		seen = sleeps(s->tid) ? seen + 1 : 0;
		usleep(1000);
	}
}

/* ---- the module's points ---- */

static inline bool points(void)
{
	return access("/sys/kernel/debug/zcio/hits", F_OK) == 0;
}

static inline uint64_t point_hits(struct __test_metadata *_metadata, const char *point)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/zcio/hits/%s", point);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd) TH_LOG("no point %s", point);
	ASSERT_LT(0, read(fd, text, sizeof(text) - 1));
	close(fd);
	return strtoull(text, NULL, 10);
}

static inline void point_hold(struct __test_metadata *_metadata, const char *point, bool on)
{
	const char *text = on ? RACE_HOLD : "0";
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/zcio/delay_us/%s", point);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd) TH_LOG("no point %s", point);
	ASSERT_EQ((ssize_t)strlen(text), write(fd, text, strlen(text)));
	close(fd);
}

/* ---- one round ---- */

/*
 * @call comes to @point and is held there, while @other does what it does, as far as it
 * can. False if @call was not held until then: nothing was seen.
 */
static inline bool race_at(struct __test_metadata *_metadata, struct side *call,
			   struct side *other, const char *point)
{
	uint64_t before = point_hits(_metadata, point);
	bool held;

	side_make(_metadata, call);
	side_make(_metadata, other);
	point_hold(_metadata, point, true);
	side_go(call);
	while (point_hits(_metadata, point) == before && !call->over)
		usleep(500);
	ASSERT_NE(before, point_hits(_metadata, point)) {
		point_hold(_metadata, point, false);
		TH_LOG("the call did not come to %s", point);
	}
	side_go(other);
	/* Who comes to the same point is held there, too. */
	for (int seen = 0; seen < 4 && !other->over && point_hits(_metadata, point) == before + 1;) {
		seen = sleeps(other->tid) ? seen + 1 : 0;
		usleep(1000);
	}
	held = !call->over;
	point_hold(_metadata, point, false);
	side_join(_metadata, other);
	side_join(_metadata, call);
	return held;
}

/* Both begin at about the same time. */
static inline void race_by_chance(struct __test_metadata *_metadata, struct side *call,
				  struct side *other, uint64_t *seed)
{
	uint32_t wait = zt_draw(seed, 20000);

	side_make(_metadata, call);
	side_make(_metadata, other);
	call->go = true;
	for (volatile uint32_t i = 0; i < wait;)
		i++;
	other->go = true;
	side_join(_metadata, other);
	side_join(_metadata, call);
}

/* ---- looking at memory that may be gone ---- */

/* Copies a page that may not be there; false if it is not. */
static inline bool peek_page(const void *page, char *to)
{
	struct iovec local = { to, ZT_PAGE }, remote = { (void *)page, ZT_PAGE };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)ZT_PAGE;
}

static inline bool all_bytes(const char *p, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] != byte)
			return false;
	return true;
}

#endif /* RACE_H */
