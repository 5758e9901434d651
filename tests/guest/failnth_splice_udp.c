// SPDX-License-Identifier: GPL-2.0
/*
 * Splicing UDP with memory failing (failnth.h): a call that fails says why with a proper errno
 * and leaves both sockets as they were; and what moves datagrams in workers of the kernel goes on
 * when there is memory again, with every datagram in its place.
 *
 * Needs a kernel with fault injection (KERNEL=debug); skipped elsewhere.
 *
 * timeout: 600
 */
#include <dirent.h>
#include <netinet/ip.h>

#include "failnth.h"
#include "splice_udp.h"

FIXTURE(splice)
{
	struct fail f;
	struct su su;
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
	su_open(_metadata, &self->su, variant->in, variant->out);
}

static void all_closed(struct __test_metadata *_metadata, struct fail *f, struct sp *sp)
{
	close(sp->from);
	close(sp->source);
	close(sp->drain);
	close(sp->to);
	zcio_close(sp->ctx);
	fail_teardown(_metadata, f);
}

FIXTURE_TEARDOWN(splice)
{
	if (self->f.watch)
		all_closed(_metadata, &self->f, &self->su.sp);
}

struct splicing {
	struct su *su;
	unsigned int flags;
	struct zcio_splice call;
};

static void start_before(struct __test_metadata *_metadata, struct fail *f)
{
	struct splicing *s = f->call;

	s->call = (struct zcio_splice) {
		.source = s->su->sp.source, .drain = s->su->sp.drain, .max = 5000, .idle = 60000000000,
		.flags = s->flags,
	};
}

static long start_call(struct fail *f)
{
	struct splicing *s = f->call;

	return ioctl(s->su->sp.dev, ZCIO_IOC_SPLICE, &s->call);
}

static void start_failed(struct __test_metadata *_metadata, struct fail *f)
{
	struct splicing *s = f->call;
	struct su *su = s->su;

	ASSERT_NE(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &su->sp, su->sp.source).state);
	su_send(_metadata, su, 100);
	su_recv(_metadata, su, su->sp.source, 100);
}

static void start_done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct splicing *s = f->call;
	struct su *su = s->su;
	struct sp *sp = &su->sp;
	int fd = s->flags ? (int)ret : sp->source;

	ASSERT_EQ(s->flags != 0, ret > 0);
	su_pass(_metadata, su, 2000);
	su_pass(_metadata, su, 3000);
	while (sp_status(_metadata, sp, fd).state == ZCIO_SPLICE_RUNNING)
		;
	ASSERT_EQ(ZCIO_SPLICE_MAX, sp_status(_metadata, sp, fd).state);
	ASSERT_EQ(EFBIG, sp_error(_metadata, sp->source));
	if (s->flags)
		close(ret);
}

TEST_F_TIMEOUT(splice, start, 500)
{
	struct splicing s = { .su = &self->su };

	self->f.call = &s;
	sweep(_metadata, &self->f, &(struct attempt) {
		"splice", start_before, start_call, start_failed, start_done });
}

TEST_F_TIMEOUT(splice, start_with_a_handle, 500)
{
	struct splicing s = { .su = &self->su, .flags = ZCIO_SPLICE_HANDLE };

	self->f.call = &s;
	/* No file for the handle is ENFILE. */
	sweep(_metadata, &self->f, &(struct attempt) {
		"splice with a handle", start_before, start_call, start_failed, start_done,
		.also = ENFILE });
}

/* ---- what moves datagrams in workers ---- */

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
	struct su su;
};

FIXTURE_SETUP(worker)
{
	if (!fail_setup(_metadata, &self->f, ONE))
		SKIP(return, FAIL_SKIP);
	su_open(_metadata, &self->su, ZT_LO4, ZT_LO4);
}

FIXTURE_TEARDOWN(worker)
{
	if (!self->f.watch)
		return;
	workers_fail(_metadata, false);
	all_closed(_metadata, &self->f, &self->su.sp);
}

/*
 * Each waits for the one before: nothing else would tell a splice to go on. The drain has
 * options, which are what workers are for.
 */
TEST_F_TIMEOUT(worker, goes_on_when_there_is_memory, 400)
{
	static const char *const probabilities[] = { "5", "20", "40" };
	static const unsigned char nops[4] = { 1, 1, 1, 1 };
	struct su *su = &self->su;
	uint64_t seed = 1;

	ASSERT_EQ(0, setsockopt(su->sp.drain, SOL_IP, IP_OPTIONS, nops, sizeof(nops)));
	sp_start(_metadata, &su->sp, 0, 0);
	for (int i = 0; i < 24; i++) {
		size_t n = zt_draw(&seed, i % 2 ? 400 : 15000);
		const char *probability = probabilities[i % 3];

		ASSERT_LT(0, workers_fail(_metadata, true));
		ASSERT_TRUE(fail_set("failslab/probability", probability));
		ASSERT_TRUE(fail_set("fail_page_alloc/probability", probability));
		su_pass(_metadata, su, n);
	}
	fail_prepare(ONE);
	workers_fail(_metadata, false);
	ASSERT_EQ(ZCIO_SPLICE_RUNNING, sp_status(_metadata, &su->sp, su->sp.handle).state);
	close(su->sp.handle);
}

TEST_HARNESS_MAIN
