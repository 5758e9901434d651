// SPDX-License-Identifier: GPL-2.0
/*
 * Splices in network namespaces of the tests' own: from one into the other, when their devices
 * or their names go; and when a namespace ends with all that is in it while bytes move.
 * timeout: 300
 */
#include <sys/prctl.h>

#include "splice.h"
#include "splice_spaces.h"

#define BYTES	100000
#define ROUNDS	25

FIXTURE(spaces)
{
	struct sp sp;
};

/* From zta through two sockets of ztb to ztc. */
FIXTURE_SETUP(spaces)
{
	static struct lasting in, out;
	struct sp *sp = &self->sp;

	SHELL(UNWIRE WIRE);
	in = (struct lasting) { .path = way_in };
	out = (struct lasting) { .path = way_out };
	open_pair(_metadata, &in);
	open_pair(_metadata, &out);
	*sp = (struct sp) {
		.ctx = zcio_open(), .handle = -1,
		.from = in.z.tx, .source = in.z.rx, .drain = out.z.rx, .to = out.z.tx,
	};
	ASSERT_NE(NULL, sp->ctx);
	sp_start(_metadata, sp, 0, 0);
	sp_send(_metadata, sp, BYTES);
	sp_recv(_metadata, sp, sp->to, BYTES);
}

FIXTURE_TEARDOWN(spaces)
{
	zcio_close(self->sp.ctx);
	SHELL(UNWIRE);
}

/* They live on with their sockets. */
TEST_F_TIMEOUT(spaces, names_that_go_change_nothing, 60)
{
	struct sp *sp = &self->sp;

	SHELL(UNWIRE);
	sp_send(_metadata, sp, BYTES);
	sp_recv(_metadata, sp, sp->to, BYTES);
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, 2 * BYTES);
}

/* What was taken is in the drain's queue, as with send(); what was not is at the source. */
TEST_F_TIMEOUT(spaces, drain_whose_device_is_deleted, 60)
{
	struct sp *sp = &self->sp;
	struct zcio_splice_status status;
	uint64_t moved;

	SHELL("ip -n ztb link del ztb1");
	sp_send(_metadata, sp, BYTES);
	while (sp_status(_metadata, sp, sp->handle).moved == BYTES)
		usleep(1000);
	ASSERT_EQ(0, sp_stop(sp, sp->handle, &moved));
	status = sp_status(_metadata, sp, sp->handle);
	ASSERT_EQ(ZCIO_SPLICE_STOPPED, status.state);
	ASSERT_EQ(moved, status.moved);
	ASSERT_GE(2 * BYTES, moved);
	sp->got = moved;
	sp_recv(_metadata, sp, sp->source, 2 * BYTES - moved);
	sp_no_ulp(_metadata, sp->drain);
}

TEST_F_TIMEOUT(spaces, source_whose_device_is_deleted, 60)
{
	struct sp *sp = &self->sp;

	SHELL("ip -n ztb link del ztb0");
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->handle).state);
	ASSERT_EQ(0, close(sp->source));
	sp_ends(_metadata, sp, ZCIO_SPLICE_CLOSED, 0, BYTES);
	zt_send(_metadata, sp->drain, 10, 5);
	zt_recv(_metadata, sp->to, 10, 5);
}

/*
 * A program with a namespace of its own is killed at any moment: sockets, splices and
 * namespace go together. Its context is also this program's, so that a splice that outlived
 * its sockets would be here.
 */
TEST_F_TIMEOUT(spaces, namespace_that_ends_with_its_splices, 200)
{
	struct sp *sp = &self->sp;
	uint64_t seed = 7;

	for (int round = 0; round < ROUNDS; round++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			struct zt_stream in = { .sends = true, .len = 1 << 30 }, out = { .len = 1 << 30 };
			int ends[4];

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (!own_namespace())
				_exit(1);
			zt_tcp(_metadata, ZT_LO4, &ends[1], &ends[0]);
			zt_tcp(_metadata, ZT_LO6, &ends[2], &ends[3]);
			if (sp_call(sp, ends[1], ends[2], 0, 0, 0) || sp_call(sp, ends[2], ends[1], 0, 0, 0))
				_exit(1);
			in.fd = ends[0];
			out.fd = ends[3];
			zt_stream_start(_metadata, &in);
			zt_stream_start(_metadata, &out);
			usleep(zt_draw(&seed, 3000));
			kill(getpid(), SIGKILL);
		}
		zt_draw(&seed, 1 + round);
		int status;

		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	/* The one of before has not noticed. */
	sp_send(_metadata, sp, BYTES);
	sp_recv(_metadata, sp, sp->to, BYTES);
	ASSERT_EQ(2 * BYTES, sp_status(_metadata, sp, sp->handle).moved);
}

TEST_HARNESS_MAIN
