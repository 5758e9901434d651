// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of the error table about waiting, for zc_readv on every kind of socket: EAGAIN,
 * EINTR, SO_RCVTIMEO, and what happens to the memory while a call waits: then the message
 * that comes stays in the socket. No test measures time: where a call must wait, the test
 * waits until it is asleep; where it must not, it would hang.
 */
#include "caller.h"
#include "flow.h"
#include "refused.h"

#define PAGES	4		/* of each of the two regions that may be given */

FIXTURE(wait)
{
	struct zt z;
	struct flow f;
	struct iovec *region;	/* in a page of its own */
};

FLOW_KINDS(wait);

typedef FIXTURE_DATA(wait) waiting;

static void *page(struct __test_metadata *_metadata)
{
	void *p = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	return p;
}

FIXTURE_SETUP(wait)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, 64, 0);
	flow_open(_metadata, &self->f, variant->kind, false);
	z->rx = self->f.to;
	self->region = page(_metadata);
	zt_regions(self->region, z->win, 2, PAGES);
	flow_put(_metadata, &self->f, 3000);
	flow_receive(_metadata, &self->f, z->dev, z->win, PAGES);
	zt_remember(_metadata, z, ZT_PAGES(8));
}

FIXTURE_TEARDOWN(wait)
{
	zcio_close(self->z.ctx);
}

static void fails(struct __test_metadata *_metadata, waiting *self, int err, unsigned int flags)
{
	struct zcio_readv call = zt_readv_call(&self->z, self->region, 1);

	call.flags = flags;
	zt_readv_fails(_metadata, &self->z, call, err, -1, self->region, sizeof(*self->region));
}

/* A call that has ended got the message that was put, and no more came. */
static void got_it(struct __test_metadata *_metadata, waiting *self)
{
	struct zcio_payload whole = { .flags = flow_streams(&self->f) ? 0 : ZCIO_PAYLOAD_END };

	flow_took(_metadata, &self->f, self->region, &whole, 1);
	ASSERT_EQ(self->f.sent, self->f.got);
	zt_nothing(_metadata, self->z.rx);
}

TEST_F(wait, read_on_O_NONBLOCK_is_EAGAIN)
{
	zt_nonblock(_metadata, self->z.rx, true);
	fails(_metadata, self, EAGAIN, 0);
	ASSERT_EQ(-1, zc_readv(self->z.rx, self->region, 1));
	ASSERT_EQ(EAGAIN, errno);
}

TEST_F(wait, read_with_DONTWAIT_is_EAGAIN)
{
	struct pollfd p = { .fd = self->z.rx, .events = POLLIN };

	fails(_metadata, self, EAGAIN, ZCIO_DONTWAIT);
	flow_put(_metadata, &self->f, 10);
	ASSERT_EQ(1, poll(&p, 1, -1));
	ASSERT_EQ(1, zt_readv(self->z.dev, self->z.rx, self->region, 1, NULL, ZCIO_DONTWAIT));
	got_it(_metadata, self);
}

TEST_F(wait, read_after_SO_RCVTIMEO_is_EAGAIN)
{
	struct timeval t = { .tv_usec = 20000 };

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	fails(_metadata, self, EAGAIN, 0);
}

TEST_F(wait, read_interrupted_is_EINTR)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);
	struct iovec before = self->region[0];

	caller_catches(_metadata, false);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	ASSERT_EQ(-EINTR, caller_join(_metadata, &c));
	ASSERT_EQ(-1, c.readv.error_index);
	ASSERT_EQ(0, memcmp(&before, self->region, sizeof(before)));
	zt_unchanged(_metadata, &self->z);
	flow_put(_metadata, &self->f, 100);
	flow_drain(_metadata, &self->f);
}

TEST_F(wait, read_with_SA_RESTART_goes_on)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_catches(_metadata, true);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	zt_asleep(_metadata, c.tid);
	flow_put(_metadata, &self->f, 100);
	ASSERT_EQ(1, caller_join(_metadata, &c));
	got_it(_metadata, self);
}

/* With a time-out even SA_RESTART does not restart, as with recv(): signal(7). */
TEST_F(wait, read_with_time_out_interrupted_is_EINTR)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);
	struct timeval t = { .tv_sec = 1000 };

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	caller_catches(_metadata, true);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	ASSERT_EQ(-EINTR, caller_join(_metadata, &c));
}

TEST_F(wait, read_waits_for_data)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_start(_metadata, &c);
	flow_put(_metadata, &self->f, 7);
	ASSERT_EQ(1, caller_join(_metadata, &c));
	got_it(_metadata, self);
}

/* poll() and the call agree. */
TEST_F(wait, poll_says_when_there_is_something)
{
	struct pollfd p = { .fd = self->z.rx, .events = POLLIN };
	struct zcio_payload info[2];
	int n;

	ASSERT_EQ(0, poll(&p, 1, 0));
	flow_put(_metadata, &self->f, 5000);
	ASSERT_EQ(1, poll(&p, 1, -1));
	ASSERT_EQ(POLLIN, p.revents);
	n = zt_readv(self->z.dev, self->z.rx, self->region, 2, info, ZCIO_DONTWAIT);
	ASSERT_LT(0, n);
	flow_took(_metadata, &self->f, self->region, info, n);
	ASSERT_EQ(0, poll(&p, 1, 0));
}

/* ---- what happens to the memory while a call waits ---- */

/* The call fails, holds nothing, and both messages that come are still to be had. */
static void woken(struct __test_metadata *_metadata, waiting *self, struct caller *c, int err,
		  uint64_t pages)
{
	flow_put(_metadata, &self->f, 3000);
	flow_put(_metadata, &self->f, 200);
	ASSERT_EQ(-err, caller_join(_metadata, c));
	ASSERT_EQ(pages, zt_info(_metadata, self->z.ctx).window_pages);
	flow_drain(_metadata, &self->f);
}

TEST_F(wait, window_unmapped_while_waiting_is_EFAULT)
{
	struct caller c = CALLER_READV(&self->z, self->region, 2);
	struct iovec before[2];

	memcpy(before, self->region, sizeof(before));
	caller_start(_metadata, &c);
	ASSERT_EQ(0, munmap(self->region[1].iov_base, ZT_PAGES(PAGES)));
	woken(_metadata, self, &c, EFAULT, 0);
	ASSERT_EQ(0, memcmp(before, self->region, sizeof(before)));
}

/* What took the place of the window is not written to. */
TEST_F(wait, other_memory_put_there_while_waiting_is_EFAULT)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);
	char *at = self->region[0].iov_base;

	caller_start(_metadata, &c);
	ASSERT_EQ(at, mmap(at, ZT_PAGES(PAGES), PROT_READ | PROT_WRITE,
			   MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memset(at, 9, ZT_PAGES(PAGES));
	woken(_metadata, self, &c, EFAULT, 0);
	for (size_t i = 0; i < ZT_PAGES(PAGES); i++)
		ASSERT_EQ(9, at[i]);
}

/* The array was there when the call began, and is gone when the data comes. */
TEST_F(wait, array_unmapped_while_waiting_is_EFAULT)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, munmap(self->region, ZT_PAGE));
	woken(_metadata, self, &c, EFAULT, 0);
	ASSERT_EQ(ZT_PAGES(PAGES), zt_zeros(self->z.win, ZT_PAGES(PAGES)));
}

TEST_F(wait, array_write_protected_while_waiting_is_EFAULT)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_start(_metadata, &c);
	ASSERT_EQ(0, mprotect(self->region, ZT_PAGE, PROT_READ));
	woken(_metadata, self, &c, EFAULT, 0);
}

TEST_F(wait, payload_array_write_protected_while_waiting_is_EFAULT)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);
	struct iovec before = self->region[0];
	void *info = page(_metadata);

	c.readv.payloads = ZT_PTR(info);
	caller_start(_metadata, &c);
	ASSERT_EQ(0, mprotect(info, ZT_PAGE, PROT_READ));
	woken(_metadata, self, &c, EFAULT, 0);
	ASSERT_EQ(0, memcmp(&before, self->region, sizeof(before)));
}

TEST_F(wait, socket_closed_while_waiting_is_read_to_the_end)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);
	struct zcio_payload whole = { .flags = flow_streams(&self->f) ? 0 : ZCIO_PAYLOAD_END };

	caller_start(_metadata, &c);
	ASSERT_EQ(0, close(self->z.rx));
	flow_put(_metadata, &self->f, 1000);
	ASSERT_EQ(1, caller_join(_metadata, &c));
	flow_took(_metadata, &self->f, self->region, &whole, 1);
	ASSERT_EQ(self->f.sent, self->f.got);
}

TEST_F(wait, context_closed_while_waiting_changes_nothing)
{
	struct caller c = CALLER_READV(&self->z, self->region, 1);

	caller_start(_metadata, &c);
	zcio_close(self->z.ctx);
	flow_put(_metadata, &self->f, 1000);
	ASSERT_EQ(1, caller_join(_metadata, &c));
	got_it(_metadata, self);
	self->z.ctx = zt_context();
	ASSERT_NE(NULL, self->z.ctx);
}

TEST_HARNESS_MAIN
