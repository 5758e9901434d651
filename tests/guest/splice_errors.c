// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing: what bad input gets, and what starting and stopping say.
 * widths: 64, 32
 */
#include <sys/un.h>

#include "splice.h"

FIXTURE(errors)
{
	struct sp sp;
};

FIXTURE_SETUP(errors)
{
	sp_open(_metadata, &self->sp, ZT_LO4, ZT_LO6);
}

FIXTURE_TEARDOWN(errors)
{
	zcio_close(self->sp.ctx);
}

/* The same answer twice, from either side; and the sockets are as they were. */
static void refused(struct __test_metadata *_metadata, struct sp *sp, int source, int drain, int err)
{
	for (int round = 0; round < 2; round++)
		ASSERT_EQ(-err, sp_call(sp, source, drain, 0, 0, 0));
	sp_no_ulp(_metadata, sp->source);
	sp_no_ulp(_metadata, sp->drain);
	sp_send(_metadata, sp, 10);
	sp_recv(_metadata, sp, sp->source, 10);
}

TEST_F(errors, not_open_is_EBADF)
{
	struct sp *sp = &self->sp;

	refused(_metadata, sp, -1, sp->drain, EBADF);
	refused(_metadata, sp, sp->source, -1, EBADF);
	refused(_metadata, sp, sp->source, 999, EBADF);
}

TEST_F(errors, not_a_socket_is_ENOTSOCK)
{
	struct sp *sp = &self->sp;
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);

	refused(_metadata, sp, file, sp->drain, ENOTSOCK);
	refused(_metadata, sp, sp->source, file, ENOTSOCK);
	refused(_metadata, sp, sp->source, sp->dev, ENOTSOCK);
}

TEST_F(errors, negative_maximum_or_idle_time_is_EINVAL)
{
	struct sp *sp = &self->sp;
	struct timeval idle = { .tv_sec = -1 };

	ASSERT_EQ(-EINVAL, sp_call(sp, sp->source, sp->drain, -1, 0, 0));
	ASSERT_EQ(-EINVAL, sp_call(sp, sp->source, sp->drain, INT64_MIN, 0, 0));
	ASSERT_EQ(-EINVAL, sp_call(sp, sp->source, sp->drain, 0, -1, 0));
	ASSERT_EQ(-1, zc_splice(sp->source, sp->drain, 0, &idle));
	ASSERT_EQ(EINVAL, errno);
	idle = (struct timeval) { .tv_usec = 1000000 };
	ASSERT_EQ(-1, zc_splice(sp->source, sp->drain, 0, &idle));
	ASSERT_EQ(EINVAL, errno);
	sp_no_ulp(_metadata, sp->source);
}

TEST_F(errors, unknown_flags_and_reserved_fields_are_EINVAL)
{
	struct sp *sp = &self->sp;
	struct zcio_splice call = { .source = sp->source, .drain = sp->drain };
	struct zcio_splice_status status = { .fd = sp->source };

	for (int bit = 1; bit < 32; bit++)
		ASSERT_EQ(-EINVAL, sp_call(sp, sp->source, sp->drain, 0, 0, 1U << bit));
	call.reserved32 = 1;
	ASSERT_EQ(-1, zcio_splice(sp->ctx, &call));
	ASSERT_EQ(EINVAL, errno);
	call.reserved32 = 0;
	for (int i = 0; i < 4; i++) {
		call.reserved[i] = 1;
		ASSERT_EQ(-1, zcio_splice(sp->ctx, &call));
		ASSERT_EQ(EINVAL, errno);
		call.reserved[i] = 0;
		status.reserved[i] = 1;
		ASSERT_EQ(-1, zcio_splice_status(sp->ctx, &status));
		ASSERT_EQ(EINVAL, errno);
		ASSERT_EQ(-1, zcio_unsplice(sp->ctx, &status));
		ASSERT_EQ(EINVAL, errno);
		status.reserved[i] = 0;
	}
	status.flags = 1;
	ASSERT_EQ(-1, zcio_splice_status(sp->ctx, &status));
	ASSERT_EQ(EINVAL, errno);
	sp_no_ulp(_metadata, sp->source);
}

TEST_F(errors, unreadable_structure_is_EFAULT)
{
	ASSERT_EQ(-1, ioctl(self->sp.dev, ZCIO_IOC_SPLICE, NULL));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-1, ioctl(self->sp.dev, ZCIO_IOC_UNSPLICE, NULL));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-1, ioctl(self->sp.dev, ZCIO_IOC_SPLICE_STATUS, NULL));
	ASSERT_EQ(EFAULT, errno);
}

/* A status that cannot be written: nothing is stopped. */
TEST_F(errors, read_only_structure_stops_nothing)
{
	struct sp *sp = &self->sp;
	struct zcio_splice_status *status = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	sp_start(_metadata, sp, 0, 0);
	status->fd = sp->source;
	ASSERT_EQ(0, mprotect(status, ZT_PAGE, PROT_READ));
	ASSERT_EQ(-1, zcio_unsplice(sp->ctx, status));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->handle).state);
}

TEST_F(errors, other_protocols_are_EPROTONOSUPPORT)
{
	struct sp *sp = &self->sp;
	int udp = zt_socket(_metadata, ZT_LO4, false, SOCK_DGRAM);
	int unix_ends[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, unix_ends));
	refused(_metadata, sp, udp, sp->drain, EPROTONOSUPPORT);
	refused(_metadata, sp, sp->source, udp, EPROTONOSUPPORT);
	refused(_metadata, sp, unix_ends[0], sp->drain, EPROTONOSUPPORT);
	refused(_metadata, sp, sp->source, unix_ends[0], EPROTONOSUPPORT);
	refused(_metadata, sp, unix_ends[0], unix_ends[1], EPROTONOSUPPORT);
}

TEST_F(errors, listening_is_EOPNOTSUPP)
{
	struct sp *sp = &self->sp;
	int fd = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);

	ASSERT_EQ(0, listen(fd, 1));
	refused(_metadata, sp, fd, sp->drain, EOPNOTSUPP);
	refused(_metadata, sp, sp->source, fd, EOPNOTSUPP);
}

TEST_F(errors, not_connected_is_ENOTCONN)
{
	struct sp *sp = &self->sp;
	struct zt_addr any = zt_addr(_metadata, ZT_LO4, false);
	int fd = zt_socket(_metadata, ZT_LO4, false, SOCK_STREAM);

	refused(_metadata, sp, fd, sp->drain, ENOTCONN);
	refused(_metadata, sp, sp->source, fd, ENOTCONN);
	ASSERT_EQ(0, bind(fd, &any.sa, any.len));
	refused(_metadata, sp, fd, sp->drain, ENOTCONN);
	refused(_metadata, sp, sp->source, fd, ENOTCONN);
}

TEST_F(errors, upper_layer_is_EOPNOTSUPP)
{
	struct sp *sp = &self->sp;

	if (setsockopt(sp->drain, IPPROTO_TCP, TCP_ULP, "tls", 4))
		SKIP(return, "no kTLS: %m");
	ASSERT_EQ(-EOPNOTSUPP, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
	ASSERT_EQ(-EOPNOTSUPP, sp_call(sp, sp->drain, sp->source, 0, 0, 0));
	sp_no_ulp(_metadata, sp->source);
}

TEST_F(errors, spliced_already_is_EBUSY)
{
	struct sp *sp = &self->sp, other;

	sp_open(_metadata, &other, ZT_LO4, ZT_LO4);
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(-EBUSY, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(sp, sp->source, other.drain, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(sp, other.source, sp->drain, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(&other, sp->source, other.drain, 0, 0, ZCIO_SPLICE_HANDLE));
	sp_no_ulp(_metadata, other.source);
	sp_no_ulp(_metadata, other.drain);
	/* On the other side there is room, once. */
	ASSERT_EQ(0, sp_call(sp, sp->drain, other.drain, 0, 0, 0));
	ASSERT_EQ(0, sp_call(sp, other.source, sp->source, 0, 0, 0));
	ASSERT_EQ(-EBUSY, sp_call(sp, sp->drain, sp->source, 0, 0, 0));
	sp_send(_metadata, sp, 5000);
	sp_recv(_metadata, sp, sp->to, 5000);
}

TEST_F(errors, stopping_what_is_not_spliced_is_EPROTO)
{
	struct sp *sp = &self->sp;

	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->source, NULL));
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->drain, NULL));
	ASSERT_EQ(0, sp_stop(sp, sp->source, NULL));
	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->source, NULL));
	ASSERT_EQ(-EPROTO, sp_stop(sp, sp->handle, NULL));
	ASSERT_EQ(-EBADF, sp_stop(sp, -1, NULL));
	ASSERT_EQ(-ENOTSOCK, sp_stop(sp, sp->dev, NULL));
}

TEST_F(errors, status_of_what_was_never_spliced_is_none)
{
	struct sp *sp = &self->sp;
	struct zcio_splice_status status = sp_status(_metadata, sp, sp->source);

	ASSERT_EQ(ZCIO_SPLICE_NONE, status.state);
	ASSERT_EQ(0, status.moved);
	ASSERT_EQ(0, zc_splice_len(sp->source));
}

/* Without a descriptor left there is no handle, and no splice. */
TEST_F(errors, no_room_for_a_handle_is_EMFILE)
{
	struct sp *sp = &self->sp;
	struct rlimit limit = { 0, 0 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(-EMFILE, sp_call(sp, sp->source, sp->drain, 0, 0, ZCIO_SPLICE_HANDLE));
	sp_no_ulp(_metadata, sp->source);
	sp_no_ulp(_metadata, sp->drain);
	ASSERT_EQ(0, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
}

/* By the library's short form, on the process's own context. */
TEST_F(errors, short_form)
{
	struct sp *sp = &self->sp;
	struct timeval idle = { .tv_sec = 1000 };

	ASSERT_EQ(-1, zc_splice_len(-1));
	ASSERT_EQ(EBADF, errno);
	ASSERT_EQ(0, zc_splice(sp->source, sp->drain, 1 << 20, &idle));
	sp_send(_metadata, sp, 3000);
	sp_recv(_metadata, sp, sp->to, 3000);
	ASSERT_EQ(0, zc_unsplice(sp->source));
	ASSERT_EQ(3000, zc_splice_len(sp->source));
	ASSERT_EQ(-1, zc_unsplice(sp->source));
	ASSERT_EQ(EPROTO, errno);
	ASSERT_EQ(3000, zc_splice_len(sp->source));
	/* Only that context knows. */
	ASSERT_EQ(ZCIO_SPLICE_NONE, sp_status(_metadata, sp, sp->source).state);
}

TEST_HARNESS_MAIN
