/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A call with its memory failing: what failnth*.c share.
 *
 * The kernel counts the allocations and the copies from and to user space that a task
 * makes, and lets the n-th fail (/proc/PID/fail-nth). That is one way here, ONE. But
 * most of the module's arrays ask twice or, if they are large, in two ways; so there is
 * ALL, too: from the n-th on, every allocation fails. For the kernel looks at failslab's
 * and fail_page_alloc's probability only when it does not count: with 100 for tasks that
 * have /proc/PID/make-it-fail, the count says when that begins.
 *
 * What a test itself touches while ALL fails must be there: a page fault that finds no
 * memory comes back for ever. So sweep() makes each call once beforehand.
 */
#ifndef FAILNTH_H
#define FAILNTH_H

#include "kcov.h"
#include "zt.h"

/* No call comes near this; what does has an endless loop. */
#define MOST	2000

enum how {
	ONE,
	ALL,
};

struct fail {
	struct zt z;
	enum how how;
	int nth;		/* fail-nth of this process */
	int make;		/* its make-it-fail */
	unsigned int n;		/* where it fails */
	bool hit;		/* it came to that */
	struct zcio_ctx *watch;	/* another context, to see what all hold together */
	struct zcio_info base;	/* what they held before the test */
	void *call;		/* what the test knows of its call */
	struct kcov kcov;	/* which of the module's failures it came by */
};

/* A call: what to do before it, and what must hold when it failed and when it did not. */
struct attempt {
	const char *what;
	void (*before)(struct __test_metadata *_metadata, struct fail *f);
	long (*call)(struct fail *f);
	void (*failed)(struct __test_metadata *_metadata, struct fail *f);
	void (*done)(struct __test_metadata *_metadata, struct fail *f, long ret);
	int also;		/* an errno that lack of memory may have, too */
};

static inline bool fail_set(const char *name, const char *value)
{
	char path[128];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = write(fd, value, strlen(value));
		close(fd);
	}
	return n > 0;
}

/* By default the allocations that may wait, which are nearly all, never fail. */
static inline bool fail_prepare(enum how how)
{
	const char *probability = how == ALL ? "100" : "0";

	return fail_set("failslab/task-filter", "Y") &&
	       fail_set("failslab/times", "-1") &&
	       fail_set("failslab/ignore-gfp-wait", "N") &&
	       fail_set("failslab/verbose", "0") &&
	       fail_set("failslab/probability", probability) &&
	       fail_set("fail_page_alloc/task-filter", "Y") &&
	       fail_set("fail_page_alloc/times", "-1") &&
	       fail_set("fail_page_alloc/ignore-gfp-wait", "N") &&
	       fail_set("fail_page_alloc/ignore-gfp-highmem", "N") &&
	       fail_set("fail_page_alloc/min-order", "0") &&
	       fail_set("fail_page_alloc/verbose", "0") &&
	       fail_set("fail_page_alloc/probability", probability) &&
	       fail_set("fail_usercopy/verbose", "0");
}

/* False, and nothing to tear down, where the kernel cannot do it. */
static inline bool fail_setup(struct __test_metadata *_metadata, struct fail *f, enum how how)
{
	f->how = how;
	f->nth = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	f->make = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	if (f->nth < 0 || f->make < 0 || !fail_prepare(how))
		return false;
	f->watch = zt_context();
	ASSERT_NE(NULL, f->watch);
	f->base = zt_info(_metadata, f->watch);
	kcov_open(&f->kcov);
	return true;
}

#define FAIL_SKIP	"the kernel cannot fail on purpose (failslab, fail_page_alloc, fail_usercopy)"

/* Waits a little (pages may be on their way) until all hold what they held before. */
static inline void fail_settled(struct __test_metadata *_metadata, struct fail *f)
{
	struct zcio_info info;

	for (int i = 0; i < 500; i++) {
		info = zt_info(_metadata, f->watch);
		if (info.total_window_pages == f->base.total_window_pages &&
		    info.total_pool_pages == f->base.total_pool_pages)
			return;
		usleep(10000);
	}
	ASSERT_EQ(f->base.total_window_pages, info.total_window_pages) {
		TH_LOG("failure %u: pages leaked", f->n);
	}
	ASSERT_EQ(f->base.total_pool_pages, info.total_pool_pages) {
		TH_LOG("failure %u: pages leaked", f->n);
	}
}

/* All that was opened and mapped is gone, and with it what was held for it. */
static inline void fail_teardown(struct __test_metadata *_metadata, struct fail *f)
{
	if (!f->watch)
		return;
	fail_prepare(ONE);
	kcov_save(&f->kcov);
	fail_settled(_metadata, f);
	EXPECT_EQ(f->base.total_contexts, zt_info(_metadata, f->watch).total_contexts);
	zcio_close(f->watch);
}

static inline void fail_arm(struct __test_metadata *_metadata, struct fail *f, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	ASSERT_GE(MOST, n) TH_LOG("the call needs more than %u allocations and copies?", MOST);
	f->n = n;
	if (f->how == ALL)
		ASSERT_EQ(1, pwrite(f->make, "1", 1, 0));
	ASSERT_EQ(len, pwrite(f->nth, text, len, 0));
}

/*
 * No more failures from here on. It was hit if the count is then at zero. Asking is a
 * copy too, which can be the n-th.
 */
static inline void fail_disarm(struct __test_metadata *_metadata, struct fail *f)
{
	char text[16] = "";
	int saved = errno;
	bool after = false;
	ssize_t n = pread(f->nth, text, sizeof(text) - 1, 0);

	if (n < 0 && errno == EFAULT)
		after = true;
	else
		ASSERT_LT(0, n);
	if (pwrite(f->nth, "0", 1, 0) != 1) {
		ASSERT_EQ(EFAULT, errno);
		after = true;
		ASSERT_EQ(1, pwrite(f->nth, "0", 1, 0));
	}
	ASSERT_EQ(1, pwrite(f->make, "0", 1, 0));
	errno = saved;
	f->hit = !after && !strcmp(text, "0\n");
}

/* The call with the n-th failing, or all from the n-th on: what it returns, or -errno. */
static inline long fail_call(struct __test_metadata *_metadata, struct fail *f,
			     const struct attempt *a, unsigned int n)
{
	long ret;

	kcov_begin(&f->kcov);
	fail_arm(_metadata, f, n);
	ret = a->call(f);
	fail_disarm(_metadata, f);
	kcov_end(&f->kcov);
	return ret < 0 ? -errno : ret;
}

/*
 * The call with failures from each place on, until it needs no more of them. After a
 * failure, the same call goes through.
 */
static inline void sweep(struct __test_metadata *_metadata, struct fail *f,
			 const struct attempt *a)
{
	unsigned int errors = 0;
	long ret;

	a->before(_metadata, f);
	ret = fail_call(_metadata, f, a, MOST);
	ASSERT_FALSE(f->hit);
	ASSERT_LE(0, ret) TH_LOG("%s: %s", a->what, strerror(-ret));
	a->done(_metadata, f, ret);
	for (unsigned int n = 1; n == 1 || f->hit; n++) {
		bool hit;

		a->before(_metadata, f);
		ret = fail_call(_metadata, f, a, n);
		hit = f->hit;
		if (ret < 0) {
			ASSERT_TRUE(hit) TH_LOG("%s: %s", a->what, strerror(-ret));
			ASSERT_TRUE(ret == -ENOMEM || ret == -EFAULT || ret == -ENOBUFS || ret == -a->also) {
				TH_LOG("%s: failure %u: %s", a->what, n, strerror(-ret));
			}
			errors++;
			a->failed(_metadata, f);
			f->hit = false;
			ret = a->call(f);
			ASSERT_LE(0, ret) {
				TH_LOG("%s: after failure %u it does not go through: %m", a->what, n);
			}
		}
		a->done(_metadata, f, ret);
		f->hit = hit;
	}
	TH_LOG("%s: %u places, of which %u failed the call", a->what, f->n - 1, errors);
	/* Had nothing failed, this would have tested nothing. */
	EXPECT_LT(0, errors);
}

#endif /* FAILNTH_H */
