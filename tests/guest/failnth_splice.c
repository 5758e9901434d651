// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing with memory failing (failnth.h): a call that fails says why with a proper errno and
 * leaves both sockets as they were; the count is not lost; and what moves the bytes, in workers
 * of the kernel, goes on when there is memory again, with every byte in its place.
 *
 * Needs a kernel with fault injection (KERNEL=debug); skipped elsewhere.
 *
 * timeout: 600
 */
#include <dirent.h>

#include "failnth.h"
#include "splice.h"

FIXTURE(splice)
{
	struct fail f;
	struct sp sp;
};

FIXTURE_VARIANT(splice)
{
	enum zt_path in, out;
	enum how how;
};

FIXTURE_VARIANT_ADD(splice, lo_one) { ZT_LO4, ZT_LO6, ONE };
FIXTURE_VARIANT_ADD(splice, lo_all) { ZT_LO4, ZT_LO6, ALL };
FIXTURE_VARIANT_ADD(splice, wire_one) { ZT_WIRE6, ZT_LO4, ONE };
FIXTURE_VARIANT_ADD(splice, wire_all) { ZT_WIRE4, ZT_WIRE6, ALL };

FIXTURE_SETUP(splice)
{
	if (!fail_setup(_metadata, &self->f, variant->how))
		SKIP(return, FAIL_SKIP);
	sp_open(_metadata, &self->sp, variant->in, variant->out);
}

FIXTURE_TEARDOWN(splice)
{
	struct sp *sp = &self->sp;

	if (!self->f.watch)
		return;
	close(sp->from);
	close(sp->source);
	close(sp->drain);
	close(sp->to);
	zcio_close(sp->ctx);
	fail_teardown(_metadata, &self->f);
}

/* ---- the calls ---- */

struct splicing {
	struct sp *sp;
	unsigned int flags;
	struct zcio_splice call;
	struct zcio_splice_status status;
};

static void start_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct splicing *s = f->call;

	s->call = (struct zcio_splice) {
		.source = s->sp->source, .drain = s->sp->drain, .max = 5000, .idle = 60000000000,
		.flags = s->flags,
	};
}

static long start_call(struct fail *f)
{
	struct splicing *s = f->call;

	return ioctl(s->sp->dev, ZCIO_IOC_SPLICE, &s->call);
}

static void start_failed(struct __test_metadata *_metadata, struct fail *f)
{
	struct splicing *s = f->call;
	struct sp *sp = s->sp;

	sp_no_ulp(_metadata, sp->source);
	sp_no_ulp(_metadata, sp->drain);
	ASSERT_NE(ZCIO_SPLICE_RUNNING, sp_status(_metadata, sp, sp->source).state);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
}

static void start_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct splicing *s = f->call;
	struct sp *sp = s->sp;
	int fd = s->flags ? (int)ret : sp->source;
	struct zcio_splice_status status;

	ASSERT_EQ(s->flags != 0, ret > 0);
	sp_send(_metadata, sp, 5000);
	sp_recv(_metadata, sp, sp->to, 5000);
	do
		status = sp_status(_metadata, sp, fd);
	while (status.state == ZCIO_SPLICE_RUNNING);
	ASSERT_EQ(ZCIO_SPLICE_MAX, status.state);
	ASSERT_EQ(5000, status.moved);
	ASSERT_EQ(EFBIG, sp_error(_metadata, sp->source));
	sp_no_ulp(_metadata, sp->source);
	if (s->flags)
		close(ret);
}

TEST_F_TIMEOUT(splice, start, 500)
{
	struct splicing s = { .sp = &self->sp };

	self->f.call = &s;
	sweep(_metadata, &self->f, &(struct attempt) {
		"splice", start_before, start_call, start_failed, start_done });
}

TEST_F_TIMEOUT(splice, start_with_a_handle, 500)
{
	struct splicing s = { .sp = &self->sp, .flags = ZCIO_SPLICE_HANDLE };

	self->f.call = &s;
	/* No file for the handle is ENFILE. */
	sweep(_metadata, &self->f, &(struct attempt) {
		"splice with a handle", start_before, start_call, start_failed, start_done,
		.also = ENFILE });
}

static void told_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct splicing *s = f->call;
	struct sp *sp = s->sp;

	if (sp_status(_metadata, sp, sp->source).state != ZCIO_SPLICE_RUNNING) {
		ASSERT_EQ(0, sp_call(sp, sp->source, sp->drain, 0, 0, 0));
		sp_send(_metadata, sp, 3000);
		sp_recv(_metadata, sp, sp->to, 3000);
	}
	s->status = (struct zcio_splice_status) { .fd = sp->source };
}

static long status_call(struct fail *f)
{
	struct splicing *s = f->call;

	return ioctl(s->sp->dev, ZCIO_IOC_SPLICE_STATUS, &s->status);
}

static long stop_call(struct fail *f)
{
	struct splicing *s = f->call;

	return ioctl(s->sp->dev, ZCIO_IOC_UNSPLICE, &s->status);
}

static void told_failed(struct __test_metadata *_metadata, struct fail *f)
{
	struct splicing *s = f->call;
	struct sp *sp = s->sp;
	struct zcio_splice_status status = sp_status(_metadata, sp, sp->source);

	/* It could not be told, but the count is there. */
	ASSERT_EQ(3000, status.moved);
	told_before(_metadata, f);
}

static void status_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct splicing *s = f->call;

	ASSERT_EQ(ZCIO_SPLICE_RUNNING, s->status.state);
	ASSERT_EQ(3000, s->status.moved);
}

static void stop_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct splicing *s = f->call;
	struct sp *sp = s->sp;

	ASSERT_EQ(ZCIO_SPLICE_STOPPED, s->status.state);
	ASSERT_EQ(3000, s->status.moved);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
}

TEST_F_TIMEOUT(splice, status, 500)
{
	struct splicing s = { .sp = &self->sp };

	self->f.call = &s;
	sweep(_metadata, &self->f, &(struct attempt) {
		"splice status", told_before, status_call, told_failed, status_done });
}

TEST_F_TIMEOUT(splice, stop, 500)
{
	struct splicing s = { .sp = &self->sp };

	self->f.call = &s;
	sweep(_metadata, &self->f, &(struct attempt) {
		"unsplice", told_before, stop_call, told_failed, stop_done });
}

/* ---- what moves the bytes ---- */

/* Whether allocations of the workers that belong to one processor fail. */
static int workers_fail(struct __test_metadata *_metadata, bool on)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		char path[300], name[64] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, name, sizeof(name) - 1) < 0)
			name[0] = 0;
		close(fd);
		if (strncmp(name, "kworker/", 8) || name[8] == 'u')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/make-it-fail", entry->d_name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		count += write(fd, on ? "1" : "0", 1) == 1;
		close(fd);
	}
	closedir(dir);
	return count;
}

FIXTURE(worker)
{
	struct fail f;
	struct sp sp;
};

FIXTURE_SETUP(worker)
{
	if (!fail_setup(_metadata, &self->f, ONE))
		SKIP(return, FAIL_SKIP);
	sp_open(_metadata, &self->sp, ZT_LO4, ZT_LO4);
}

FIXTURE_TEARDOWN(worker)
{
	if (!self->f.watch)
		return;
	workers_fail(_metadata, false);
	zcio_close(self->sp.ctx);
	fail_teardown(_metadata, &self->f);
}

/*
 * Pieces come and arrive while now few, now many of the workers' allocations fail. Each waits
 * for the one before: nothing else would tell a splice to go on.
 */
TEST_F_TIMEOUT(worker, goes_on_when_there_is_memory, 400)
{
	static const char *const probabilities[] = { "5", "20", "40" };
	struct sp *sp = &self->sp;
	uint64_t seed = 1;

	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < 24; i++) {
		size_t n = 1 + zt_draw(&seed, i % 2 ? 400 : 15000);
		const char *probability = probabilities[i % 3];

		ASSERT_LT(0, workers_fail(_metadata, true));
		ASSERT_TRUE(fail_set("failslab/probability", probability));
		ASSERT_TRUE(fail_set("fail_page_alloc/probability", probability));
		sp_send(_metadata, sp, n);
		sp_recv(_metadata, sp, sp->to, n);
	}
	fail_prepare(ONE);
	workers_fail(_metadata, false);
	ASSERT_EQ(0, shutdown(sp->from, SHUT_WR));
	sp_ends(_metadata, sp, ZCIO_SPLICE_EOF, 0, sp->sent);
	close(sp->handle);
}

TEST_HARNESS_MAIN
