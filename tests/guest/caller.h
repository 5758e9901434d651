/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A call in a thread of its own, for calls that have to wait: it is asleep when the test
 * goes on, and can be sent signals. (A call, and what happens at any moment of it: race.h.)
 */
#ifndef CALLER_H
#define CALLER_H

#include <sys/syscall.h>

#include "zt.h"

struct caller {
	int dev;
	bool writes;
	struct zcio_readv readv;	/* the call, and what it said */
	struct zcio_writev writev;
	_Atomic pid_t tid;
	int ret;			/* or -errno */
	pthread_t thread;
};

/* A call on the local end; what else it is to say goes to .readv or .writev. */
#define CALLER_READV(z, iov, n) \
	{ .dev = (z)->dev, .readv = zt_readv_call(z, iov, n) }

#define CALLER_WRITEV(z, iov, n) \
	{ .dev = (z)->dev, .writes = true, .writev = zt_writev_call(z, iov, n) }

static inline void *caller_run(void *arg)
{
	struct caller *c = arg;

	c->tid = syscall(SYS_gettid);
	c->ret = c->writes ? zt_writev_raw(c->dev, &c->writev) : zt_readv_raw(c->dev, &c->readv);
	return NULL;
}

static volatile int caller_signals;

static inline void caller_count(int sig)
{
	caller_signals++;
}

/* How the signals that caller_signal() sends are caught. */
ZT_UNUSED static void caller_catches(struct __test_metadata *_metadata, bool restart)
{
	struct sigaction act = { .sa_handler = caller_count, .sa_flags = restart ? SA_RESTART : 0 };

	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
}

/* Returns when the call waits. */
ZT_UNUSED static void caller_start(struct __test_metadata *_metadata, struct caller *c)
{
	ASSERT_EQ(0, pthread_create(&c->thread, NULL, caller_run, c));
	while (!c->tid)
		usleep(100);
	zt_asleep(_metadata, c->tid);
}

/* Returns when the signal has been caught. */
ZT_UNUSED static void caller_signal(struct __test_metadata *_metadata, struct caller *c)
{
	int before = caller_signals;

	ASSERT_EQ(0, pthread_kill(c->thread, SIGUSR1));
	while (caller_signals == before)
		usleep(100);
}

/* What the call returned. */
ZT_UNUSED static int caller_join(struct __test_metadata *_metadata, struct caller *c)
{
	int err = pthread_join(c->thread, NULL);

	ASSERT_EQ(0, err);
	return c->ret;
}

#endif /* CALLER_H */
