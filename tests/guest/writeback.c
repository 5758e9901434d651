// SPDX-License-Identifier: GPL-2.0
/*
 * The structure of a call, or its array, that could be written when the call began and
 * cannot be when it ends: another thread protects its page while the call waits. What
 * is returned is the truth all the same, or EFAULT.
 */
#include "race.h"

#define POOL	800

/* Lies in a page of its own. */
struct args {
	struct zcio_readv readv;
	struct zcio_writev writev;
	struct zcio_info info;
	struct iovec iov[2];
};

FIXTURE(late)
{
	struct zt z;
	struct args *args;
	struct side call;
	unsigned long request;
	void *arg;
	int ret;		/* what the call returns, or -errno */
};

static void no_op(int sig)
{
}

FIXTURE_SETUP(late)
{
	struct sigaction act = { .sa_handler = no_op };

	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	zt_open(_metadata, &self->z, 8, POOL);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
	self->args = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->args);
}

FIXTURE_TEARDOWN(late)
{
	zcio_close(self->z.ctx);
}

static void issue(void *arg)
{
	FIXTURE_DATA(late) *self = arg;

	self->ret = ioctl(self->z.dev, self->request, self->arg);
	if (self->ret < 0)
		self->ret = -errno;
}

static void set_call(FIXTURE_DATA(late) *self, unsigned long request, void *arg)
{
	self->call = (struct side){ .act = issue, .arg = self };
	self->request = request;
	self->arg = arg;
}

/* Begins the call and waits until it waits. */
static void start(struct __test_metadata *_metadata, FIXTURE_DATA(late) *self,
		  unsigned long request, void *arg)
{
	set_call(self, request, arg);
	side_start(_metadata, &self->call);
	zt_asleep(_metadata, self->call.tid);
}

static void protect(struct __test_metadata *_metadata, FIXTURE_DATA(late) *self)
{
	ASSERT_EQ(0, mprotect(self->args, ZT_PAGE, PROT_READ));
}

/* Sends more than the buffers take, with the structure in the page. */
static void start_writev(struct __test_metadata *_metadata, FIXTURE_DATA(late) *self,
			 struct iovec (*iov)[2], size_t len)
{
	struct zt *z = &self->z;
	int small = 16384;

	ASSERT_EQ(0, setsockopt(z->rx, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	ASSERT_EQ(0, setsockopt(z->tx, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
	zt_fill(z->pool, len, 0);
	iov[0][0] = zt_iov(z->pool, ZT_PAGES(POOL));
	iov[0][1] = zt_iov(z->pool, len);
	self->args->writev = (struct zcio_writev){
		.fd = z->rx, .iov = ZT_PTR(iov), .iovcnt = 1,
		.error_index = 12345, .taken = 12345,
	};
	start(_metadata, self, ZCIO_IOC_WRITEV, &self->args->writev);
}

/* A count of 0 would look as if nothing had gone: the same bytes would be sent again. */
TEST_F(late, part_that_cannot_be_told_is_EFAULT)
{
	size_t len = 3 << 20, went;
	struct iovec iov[1][2];
	struct zt *z = &self->z;

	start_writev(_metadata, self, iov, len);
	protect(_metadata, self);
	ASSERT_EQ(0, pthread_kill(self->call.thread, SIGUSR1));
	side_join(_metadata, &self->call);
	ASSERT_EQ(-EFAULT, self->ret);
	ASSERT_EQ(-1, self->args->writev.error_index);
	ASSERT_EQ(0, self->args->writev.taken);
	/* The bytes sent read as zeros, and no others: none of the stream is one. */
	went = zt_zeros(z->pool, len);
	ASSERT_LT(0, went);
	ASSERT_EQ(len - went, zt_same(z->pool + went, len - went, went));
	zt_recv(_metadata, z->tx, went, 0);
	zt_nothing(_metadata, z->tx);
}

TEST_F(late, count_of_all_that_was_sent_is_returned)
{
	size_t len = 3 << 20;
	struct iovec iov[1][2];
	struct zt *z = &self->z;

	start_writev(_metadata, self, iov, len);
	protect(_metadata, self);
	zt_recv(_metadata, z->tx, len, 0);
	side_join(_metadata, &self->call);
	ASSERT_EQ(1, self->ret);
	ASSERT_EQ(-1, self->args->writev.error_index);
	ASSERT_EQ(0, self->args->writev.taken);
	zt_nothing(_metadata, z->tx);
}

static void start_readv(struct __test_metadata *_metadata, FIXTURE_DATA(late) *self,
			struct zcio_readv *call, struct iovec *iov)
{
	*iov = zt_iov(self->z.win, ZT_PAGES(4));
	*call = (struct zcio_readv){
		.fd = self->z.rx, .iov = ZT_PTR(iov), .iovcnt = 1, .error_index = 12345,
	};
	start(_metadata, self, ZCIO_IOC_READV, call);
}

TEST_F(late, received_payload_needs_no_structure)
{
	struct iovec iov;

	start_readv(_metadata, self, &self->args->readv, &iov);
	protect(_metadata, self);
	zt_send(_metadata, self->z.tx, 1000, 0);
	side_join(_metadata, &self->call);
	ASSERT_EQ(1, self->ret);
	ASSERT_EQ(-1, self->args->readv.error_index);
	ASSERT_EQ(1000, iov.iov_len);
	ASSERT_EQ(1000, zt_same(iov.iov_base, 1000, 0));
	zt_nothing(_metadata, self->z.rx);
}

TEST_F(late, payload_that_cannot_be_told_is_not_received)
{
	struct zcio_readv call;

	start_readv(_metadata, self, &call, self->args->iov);
	protect(_metadata, self);
	zt_send(_metadata, self->z.tx, 1000, 0);
	side_join(_metadata, &self->call);
	ASSERT_EQ(-EFAULT, self->ret);
	ASSERT_EQ(ZT_PAGES(4), self->args->iov[0].iov_len);
	ASSERT_EQ(ZT_PAGES(8), zt_zeros(self->z.win, ZT_PAGES(8)));
	zt_recv(_metadata, self->z.rx, 1000, 0);
	zt_nothing(_metadata, self->z.rx);
}

static void protect_by_another(void *arg)
{
	if (mprotect(arg, ZT_PAGE, PROT_READ))
		abort();
}

/* This call does not wait by itself. */
TEST_F(late, info_that_cannot_be_told_is_EFAULT)
{
	struct side other = { .act = protect_by_another, .arg = self->args };

	if (!points())
		SKIP(return, RACE_SKIP);
	do {
		ASSERT_EQ(0, mprotect(self->args, ZT_PAGE, PROT_READ | PROT_WRITE));
		self->args->info = (struct zcio_info){ .fd = -1 };
		set_call(self, ZCIO_IOC_INFO, &self->args->info);
	} while (!race_at(_metadata, &self->call, &other, "ioctl_ran"));
	ASSERT_EQ(-EFAULT, self->ret);
	ASSERT_EQ(0, self->args->info.version);
}

TEST_HARNESS_MAIN
