// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing TCP to TCP: what readers of the source see, urgent data, others who want the
 * sockets.
 * timeout: 300
 */
#include <linux/bpf.h>
#include <linux/kcm.h>
#include <sys/syscall.h>

#include "splice.h"

FIXTURE(readers)
{
	struct sp sp;
};

FIXTURE_VARIANT(readers)
{
	enum zt_path in, out;
};

FIXTURE_VARIANT_ADD(readers, lo4_to_lo4) { ZT_LO4, ZT_LO4 };
FIXTURE_VARIANT_ADD(readers, lo4_to_lo6) { ZT_LO4, ZT_LO6 };
FIXTURE_VARIANT_ADD(readers, wire6_to_lo4) { ZT_WIRE6, ZT_LO4 };
FIXTURE_VARIANT_ADD(readers, wire4_to_wire6) { ZT_WIRE4, ZT_WIRE6 };

FIXTURE_SETUP(readers)
{
	sp_open(_metadata, &self->sp, variant->in, variant->out);
}

FIXTURE_TEARDOWN(readers)
{
	zcio_close(self->sp.ctx);
}

/* ---- what readers see ---- */

TEST_F(readers, source_is_not_readable_while_the_drain_is_slow)
{
	struct sp *sp = &self->sp;
	struct iovec iov = { 0 };
	char c, *win = zt_window(_metadata, sp->ctx, 16);
	int n, pipes[2];

	sp_start(_metadata, sp, 0, 0);
	sp_fill(_metadata, sp);
	zt_arrived(_metadata, sp->source, 1);
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	ASSERT_EQ(POLLOUT, sp_poll(_metadata, sp->source, POLLIN | POLLRDHUP | POLLOUT));
	ASSERT_EQ(-1, recv(sp->source, &c, 1, MSG_DONTWAIT));
	ASSERT_EQ(EAGAIN, errno);
	ASSERT_EQ(-1, recv(sp->source, &c, 1, MSG_DONTWAIT | MSG_PEEK));
	ASSERT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, pipe(pipes));
	zt_nonblock(_metadata, sp->source, true);
	ASSERT_EQ(-1, splice(sp->source, NULL, pipes[1], NULL, 100, 0));
	ASSERT_EQ(EAGAIN, errno);
	iov = zt_iov(win, ZT_PAGES(16));
	n = zt_readv(sp->dev, sp->source, &iov, 1, NULL, ZCIO_DONTWAIT);
	ASSERT_EQ(-EAGAIN, n);
	/* All of it goes its way, in order. */
	sp_recv(_metadata, sp, sp->to, sp->sent);
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, sp->sent);
	ASSERT_EQ(0, recv(sp->source, &c, 1, 0));
}

TEST_F(readers, window_holds_the_sender_back)
{
	struct sp *sp = &self->sp;
	size_t most = 0;
	int fds[] = { sp->from, sp->source, sp->drain, sp->to };
	int names[] = { SO_SNDBUF, SO_RCVBUF, SO_SNDBUF, SO_RCVBUF };
	int size = 100000;

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, setsockopt(fds[i], SOL_SOCKET, names[i], &size, sizeof(size)));
		most += 2 * size;
	}
	sp_start(_metadata, sp, 0, 0);
	/* No more than the buffers hold, which each may exceed by a segment of 64 KiB. */
	ASSERT_GE(2 * most, sp_fill(_metadata, sp));
	sp_recv(_metadata, sp, sp->to, sp->sent);
	sp_fill(_metadata, sp);
	sp_recv(_metadata, sp, sp->to, sp->sent - sp->got);
}

TEST_F(readers, reader_waits_for_the_end)
{
	struct sp *sp = &self->sp;
	struct zt_stream reader = { .fd = sp->source, .len = 100, .pos = 5000 };
	struct timespec soon = { .tv_nsec = 20000000 };

	sp_start(_metadata, sp, 0, 0);
	zt_stream_start(_metadata, &reader);
	sp_send(_metadata, sp, 5000);
	sp_recv(_metadata, sp, sp->to, 5000);
	nanosleep(&soon, NULL);
	ASSERT_EQ(EBUSY, pthread_tryjoin_np(reader.thread, NULL));
	ASSERT_EQ(0, sp_stop(sp, sp->handle, NULL));
	sp_send(_metadata, sp, 100);
	zt_stream_join(_metadata, &reader);
}

TEST_F(readers, reader_that_waits_is_woken_by_the_error)
{
	struct sp *sp = &self->sp;
	struct zt_stream reader = { .fd = sp->source, .len = 100 };

	sp_start(_metadata, sp, 1000, 0);
	zt_stream_start(_metadata, &reader);
	sp_send(_metadata, sp, 1000);
	ASSERT_EQ(0, pthread_join(reader.thread, NULL));
	ASSERT_EQ(EFBIG, reader.err);
}

TEST_F(readers, reader_waits_as_long_as_SO_RCVTIMEO_says)
{
	struct sp *sp = &self->sp;
	struct timeval t = { .tv_usec = 30000 };
	char c;

	ASSERT_EQ(0, setsockopt(sp->source, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(-1, recv(sp->source, &c, 1, 0));
	ASSERT_EQ(EAGAIN, errno);
}

TEST_F(readers, poll_on_the_source_waits_for_the_end)
{
	struct sp *sp = &self->sp;
	struct zt_stream in = { .fd = sp->from, .sends = true, .len = 1 << 20 };
	struct zt_stream out = { .fd = sp->to, .len = 1 << 20 };
	struct pollfd p = { .fd = sp->source, .events = POLLIN };

	sp_start(_metadata, sp, 1 << 20, 0);
	zt_stream_start(_metadata, &in);
	zt_stream_start(_metadata, &out);
	ASSERT_EQ(1, poll(&p, 1, -1));
	ASSERT_NE(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->source).state);
	ASSERT_EQ(EFBIG, sp_error(_metadata, sp->source));
	zt_stream_join(_metadata, &in);
	zt_stream_join(_metadata, &out);
}

/* An error that the program has not asked for yet does not end the way back. */
TEST_F(readers, error_that_is_told_leaves_the_other_way_alone)
{
	struct sp *sp = &self->sp;

	ASSERT_EQ(0, sp_call(sp, sp->drain, sp->source, 0, 0, 0));
	sp_start(_metadata, sp, 10, 0);
	sp_send(_metadata, sp, 10);
	sp_ends(_metadata, sp, ZCIO_SPLICE_MAX, EFBIG, 10);
	zt_send(_metadata, sp->to, 5000, 3);
	zt_recv(_metadata, sp->from, 5000, 3);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->drain).state);
	ASSERT_TRUE(sp_poll(_metadata, sp->source, 0) & POLLERR);
	/* Lost it is not; but asked for while something is sent it may seem so. */
	while (!sp_error(_metadata, sp->source))
		;
}

/* ---- urgent data ---- */

TEST_F(readers, urgent_byte_in_line_stays_urgent)
{
	struct sp *sp = &self->sp;
	unsigned char byte, buf[200];
	int one = 1;

	ASSERT_EQ(0, setsockopt(sp->source, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	sp_send(_metadata, sp, 100);
	byte = 'u';
	ASSERT_EQ(1, send(sp->from, &byte, 1, MSG_OOB));
	zt_arrived(_metadata, sp->source, 101);
	zt_send(_metadata, sp->from, 50, 100);
	zt_arrived(_metadata, sp->source, 101);
	sp_start(_metadata, sp, 0, 0);
	sp_recv(_metadata, sp, sp->to, 100);
	/* Out of line at the far end, and at its place: a read stops there. */
	while (recv(sp->to, &byte, 1, MSG_OOB) != 1)
		usleep(1000);
	ASSERT_EQ('u', byte);
	ASSERT_EQ(50, recv(sp->to, buf, sizeof(buf), 0));
	ASSERT_EQ(50, zt_same(buf, 50, 100));
	ASSERT_EQ(151, sp_status(_metadata, sp, sp->source).moved);
}

TEST_F(readers, urgent_byte_out_of_line_is_not_moved)
{
	struct sp *sp = &self->sp;
	unsigned char byte = 'u';

	sp_send(_metadata, sp, 100);
	ASSERT_EQ(1, send(sp->from, &byte, 1, MSG_OOB));
	while (!(sp_poll(_metadata, sp->source, POLLPRI) & POLLPRI))
		usleep(1000);
	sp_start(_metadata, sp, 0, 0);
	sp_recv(_metadata, sp, sp->to, 100);
	/* It is there for the program, until what follows it has gone. */
	ASSERT_TRUE(sp_poll(_metadata, sp->source, POLLPRI) & POLLPRI);
	byte = 0;
	ASSERT_EQ(1, recv(sp->source, &byte, 1, MSG_OOB));
	ASSERT_EQ('u', byte);
	sp_send(_metadata, sp, 50);
	sp_recv(_metadata, sp, sp->to, 50);
	zt_nothing(_metadata, sp->to);
	ASSERT_EQ(150, sp_status(_metadata, sp, sp->source).moved);
}

/* ---- others who want the sockets ---- */

TEST_F(readers, no_other_upper_layer_meanwhile)
{
	struct sp *sp = &self->sp;
	int v4 = AF_INET;

	sp_start(_metadata, sp, 0, 0);
	ASSERT_EQ(-1, setsockopt(sp->source, IPPROTO_TCP, TCP_ULP, "tls", 4));
	ASSERT_EQ(EEXIST, errno);
	ASSERT_EQ(-1, setsockopt(sp->drain, IPPROTO_TCP, TCP_ULP, "tls", 4));
	ASSERT_EQ(EEXIST, errno);
	if (variant->in == ZT_WIRE6) {
		ASSERT_EQ(-1, setsockopt(sp->source, IPPROTO_IPV6, IPV6_ADDRFORM, &v4, sizeof(v4)));
		ASSERT_EQ(EBUSY, errno);
	}
	ASSERT_EQ(0, sp_stop(sp, sp->source, NULL));
	if (setsockopt(sp->source, IPPROTO_TCP, TCP_ULP, "tls", 4))
		ASSERT_EQ(ENOENT, errno);
}

/* One would take the callbacks over, and put them back when the module may be gone. */
TEST_F(readers, no_multiplexer_meanwhile)
{
	struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = ZT_PTR(code), .insn_cnt = 2,
		.license = ZT_PTR("GPL"),
	};
	struct sp *sp = &self->sp;
	int kcm = socket(AF_KCM, SOCK_SEQPACKET | SOCK_CLOEXEC, KCMPROTO_CONNECTED);
	struct kcm_attach attach;

	if (kcm < 0)
		SKIP(return, "the kernel has no KCM");
	attach.bpf_fd = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	ASSERT_LE(0, attach.bpf_fd) TH_LOG("%m");
	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < 2; i++) {
		attach.fd = i ? sp->drain : sp->source;
		ASSERT_EQ(-1, ioctl(kcm, SIOCKCMATTACH, &attach));
		ASSERT_EQ(EALREADY, errno);
	}
	sp_send(_metadata, sp, 1000);
	sp_recv(_metadata, sp, sp->to, 1000);
	ASSERT_EQ(0, sp_stop(sp, sp->source, NULL));
	attach.fd = sp->source;
	ASSERT_EQ(0, ioctl(kcm, SIOCKCMATTACH, &attach)) TH_LOG("%m");
	/* And the other way round. */
	ASSERT_EQ(-EOPNOTSUPP, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
	close(kcm);
}

/* What the program sends on the drain itself goes between. */
TEST_F(readers, program_may_send_on_both)
{
	struct sp *sp = &self->sp;

	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, 1000);
	sp_recv(_metadata, sp, sp->to, 1000);
	zt_send(_metadata, sp->drain, 300, 9);
	zt_recv(_metadata, sp->to, 300, 9);
	zt_send(_metadata, sp->source, 300, 8);
	zt_recv(_metadata, sp->from, 300, 8);
	zt_send(_metadata, sp->to, 300, 7);
	zt_recv(_metadata, sp->drain, 300, 7);
}

/* Two programs, one of which is killed: the sockets live on in the other, the splice not. */
TEST_F(readers, killed_with_its_context)
{
	struct sp *sp = &self->sp;
	int status, ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct zcio_ctx *own = zcio_open();
		struct zcio_splice call = { .source = sp->source, .drain = sp->drain };

		if (!own || zcio_splice(own, &call) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	sp_send(_metadata, sp, 5000);
	sp_recv(_metadata, sp, sp->to, 5000);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->source).state);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(ZCIO_SPLICE_NONE, sp_status(_metadata, sp, sp->source).state);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
}

TEST_F(readers, forked_child_keeps_it)
{
	struct sp *sp = &self->sp;
	int ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(read(ready[0], &c, 1) != 1);
	ASSERT_EQ(0, close(sp->source));
	ASSERT_EQ(0, close(sp->drain));
	sp_send(_metadata, sp, 5000);
	sp_recv(_metadata, sp, sp->to, 5000);
	ASSERT_EQ(1, write(ready[1], "x", 1));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_EQ(0, recv(sp->from, &c, 1, 0));
	ASSERT_EQ(0, recv(sp->to, &c, 1, 0));
}

TEST_HARNESS_MAIN
