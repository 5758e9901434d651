// SPDX-License-Identifier: GPL-2.0
/*
 * Splices that something holds up, and others beside them: programs that keep the lock of a
 * socket, as one can by sending from memory that is not there yet; bytes that go round in a
 * circle. All is on one processor, whose splices share their workers.
 * timeout: 300
 */
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "race.h"
#include "splice.h"

#define HELD	40		/* more than there are workers for a processor */
#define SENT	100		/* bytes of the program that keeps a lock */
#define QUEUED	5000		/* bytes of the stream */

FIXTURE(held)
{
	struct sp sp;
	struct sp held[HELD];
	char *pages;
	int uffd;
	pthread_t threads[HELD];
};

FIXTURE_SETUP(held)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(first), &first));
	sp_open(_metadata, &self->sp, ZT_LO4, ZT_LO4);
	self->pages = mmap(NULL, ZT_PAGES(HELD), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->pages);
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, self->uffd);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_API, &api));
	range.range.start = (uintptr_t)self->pages;
	range.range.len = ZT_PAGES(HELD);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &range));
}

FIXTURE_TEARDOWN(held)
{
	zcio_close(self->sp.ctx);
}

struct keeper {
	int fd;
	char *page;
};

static void *keep(void *arg)
{
	struct keeper *k = arg;

	return send(k->fd, k->page, SENT, MSG_NOSIGNAL) == SENT ? NULL : k;
}

/* The lock of @fd is kept until let_go(). */
static void hold(struct __test_metadata *_metadata, FIXTURE_DATA(held) *self, int i, int fd)
{
	static struct keeper keepers[HELD];
	struct uffd_msg msg;

	keepers[i] = (struct keeper) { .fd = fd, .page = self->pages + ZT_PAGES(i) };
	ASSERT_EQ(0, pthread_create(&self->threads[i], NULL, keep, &keepers[i]));
	/* It is in the middle of sending: whoever asks for the page has the lock. */
	ASSERT_EQ((ssize_t)sizeof(msg), read(self->uffd, &msg, sizeof(msg)));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);
}

static void let_go(struct __test_metadata *_metadata, FIXTURE_DATA(held) *self, int count)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)self->pages, .len = ZT_PAGES(HELD) },
	};
	void *failed;

	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_ZEROPAGE, &zero));
	for (int i = 0; i < count; i++) {
		ASSERT_EQ(0, pthread_join(self->threads[i], &failed));
		ASSERT_EQ(NULL, failed);
	}
}

static void zeros(struct __test_metadata *_metadata, int fd)
{
	char buf[SENT];

	ASSERT_EQ(SENT, recv(fd, buf, SENT, MSG_WAITALL));
	ASSERT_EQ(SENT, zt_zeros(buf, SENT));
}

/* One that has nothing to do with it goes on, whatever the others do. */
static void others_go_on(struct __test_metadata *_metadata, struct sp *sp)
{
	for (int i = 0; i < 20; i++) {
		sp_send(_metadata, sp, 20000);
		sp_recv(_metadata, sp, sp->to, 20000);
	}
}

static void open_all(struct __test_metadata *_metadata, FIXTURE_DATA(held) *self)
{
	for (int i = 0; i < HELD; i++)
		sp_open(_metadata, &self->held[i], ZT_LO4, ZT_LO6);
}

static void close_all(FIXTURE_DATA(held) *self)
{
	for (int i = 0; i < HELD; i++)
		zcio_close(self->held[i].ctx);
}

TEST_F_TIMEOUT(held, drains_whose_locks_are_kept_hold_up_no_other_splice, 100)
{
	struct sp *sp = &self->sp;

	open_all(_metadata, self);
	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < HELD; i++) {
		sp_start(_metadata, &self->held[i], 0, 0);
		hold(_metadata, self, i, self->held[i].drain);
	}
	for (int i = 0; i < HELD; i++)
		sp_send(_metadata, &self->held[i], QUEUED);
	others_go_on(_metadata, sp);
	let_go(_metadata, self, HELD);
	/* What was kept back comes, behind what the program was sending. */
	for (int i = 0; i < HELD; i++) {
		zeros(_metadata, self->held[i].to);
		sp_recv(_metadata, &self->held[i], self->held[i].to, QUEUED);
	}
	close_all(self);
}

TEST_F_TIMEOUT(held, sources_whose_locks_are_kept_hold_up_no_other_splice, 100)
{
	struct sp *sp = &self->sp;

	open_all(_metadata, self);
	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < HELD; i++) {
		sp_start(_metadata, &self->held[i], 0, 0);
		hold(_metadata, self, i, self->held[i].source);
	}
	/* They are to end, but what their sources have must be looked at first. */
	for (int i = 0; i < HELD; i++)
		ASSERT_EQ(0, shutdown(self->held[i].drain, SHUT_WR));
	others_go_on(_metadata, sp);
	for (int i = 0; i < HELD; i++)
		ASSERT_EQ(0, sp_poll(_metadata, self->held[i].handle, POLLIN));
	let_go(_metadata, self, HELD);
	for (int i = 0; i < HELD; i++) {
		struct sp *h = &self->held[i];

		sp_ends(_metadata, h, ZCIO_SPLICE_DRAIN, EPIPE, 0);
		ASSERT_EQ(EPIPE, sp_error(_metadata, h->source));
		zeros(_metadata, h->from);
		sp_queue(_metadata, h, QUEUED);
		sp_recv(_metadata, h, h->source, QUEUED);
		sp_no_ulp(_metadata, h->source);
	}
	close_all(self);
}

/* An end frees the drain first. */
TEST_F_TIMEOUT(held, ends_come_when_the_locks_are_let_go_of, 100)
{
	struct sp *sp = &self->sp;
	char c;

	open_all(_metadata, self);
	sp_start(_metadata, sp, 0, 0);
	for (int i = 0; i < HELD; i++) {
		sp_start(_metadata, &self->held[i], 0, 0);
		hold(_metadata, self, i, self->held[i].drain);
	}
	for (int i = 0; i < HELD; i++)
		ASSERT_EQ(0, shutdown(self->held[i].from, SHUT_WR));
	others_go_on(_metadata, sp);
	for (int i = 0; i < HELD; i++)
		ASSERT_EQ(0, sp_poll(_metadata, self->held[i].handle, POLLIN));
	let_go(_metadata, self, HELD);
	for (int i = 0; i < HELD; i++) {
		struct sp *h = &self->held[i];

		sp_ends(_metadata, h, ZCIO_SPLICE_EOF, 0, 0);
		ASSERT_EQ(0, recv(h->source, &c, 1, 0));
		zeros(_metadata, h->to);
		sp_no_ulp(_metadata, h->source);
		sp_no_ulp(_metadata, h->drain);
	}
	close_all(self);
}

/*
 * All is sent, when a program takes the source's lock: the end is there, but cannot be told
 * yet. The idle time that is over meanwhile is not the reason.
 */
TEST_F_TIMEOUT(held, maximum_stays_the_reason_while_a_lock_is_kept, 100)
{
	struct sp *sp = &self->sp;
	uint64_t before;

	if (!points())
		SKIP(return, RACE_SKIP);
	before = point_hits(_metadata, "splice_sent");
	point_hold(_metadata, "splice_sent", true);
	sp_start(_metadata, sp, QUEUED, 300);
	sp_send(_metadata, sp, QUEUED);
	while (point_hits(_metadata, "splice_sent") == before)
		usleep(500);
	hold(_metadata, self, 0, sp->source);
	point_hold(_metadata, "splice_sent", false);
	sp_recv(_metadata, sp, sp->to, QUEUED);
	usleep(600000);
	let_go(_metadata, self, 1);
	sp_ends(_metadata, sp, ZCIO_SPLICE_MAX, EFBIG, QUEUED);
	ASSERT_EQ(EFBIG, sp_error(_metadata, sp->source));
	zeros(_metadata, sp->from);
	/* It was moved once: nothing of it is left, and nothing is missing. */
	zt_nothing(_metadata, sp->source);
	zt_nothing(_metadata, sp->to);
	sp_send(_metadata, sp, 100);
	sp_recv(_metadata, sp, sp->source, 100);
}

/* Ends that take both locks: the maximum, while others write to the source all the time. */
TEST_F_TIMEOUT(held, sources_that_are_written_to_all_the_time, 100)
{
	struct sp *sp = &self->sp;
	struct zt_stream back = { .fd = sp->source, .sends = true, .len = 32 << 20 };
	struct zt_stream drop = { .fd = sp->from, .len = 32 << 20 };

	zt_stream_start(_metadata, &back);
	zt_stream_start(_metadata, &drop);
	for (int i = 0; i < 30; i++) {
		sp_start(_metadata, sp, 3000, 0);
		sp_send(_metadata, sp, 3000);
		sp_ends(_metadata, sp, ZCIO_SPLICE_MAX, EFBIG, 3000);
		sp_recv(_metadata, sp, sp->to, 3000);
		/* The sender is told the error, or this asks first: it is told once. */
		sp_error(_metadata, sp->source);
		if (back.err == EFBIG) {
			ASSERT_EQ(0, pthread_join(back.thread, NULL));
			zt_stream_start(_metadata, &back);
		}
		close(sp->handle);
	}
	shutdown(sp->source, SHUT_WR);
	pthread_join(back.thread, NULL);
	pthread_join(drop.thread, NULL);
	ASSERT_NE(ENOMSG, drop.err);
}

/*
 * TCP has no mark for bytes that have been here before, so a circle is not an error (a UDP loop
 * is): but it takes nothing from others but time, can be stopped, and holds what it held.
 */
TEST_F_TIMEOUT(held, bytes_in_a_circle_leave_others_alone, 100)
{
	struct sp *sp = &self->sp, *circle = &self->held[0];
	uint64_t one = 0, other = 0;
	int n, all = 0;

	sp_open(_metadata, circle, ZT_LO4, ZT_LO4);
	sp_start(_metadata, sp, 0, 0);
	sp_start(_metadata, circle, 0, 0);
	ASSERT_EQ(0, sp_call(circle, circle->to, circle->from, 0, 0, 0));
	zt_send(_metadata, circle->from, 1000, 0);
	do {
		one = sp_status(_metadata, circle, circle->source).moved;
		other = sp_status(_metadata, circle, circle->to).moved;
	} while (one < 20000 || other < 20000);
	others_go_on(_metadata, sp);
	ASSERT_EQ(0, sp_stop(circle, circle->source, &one));
	/* Now all of them come to a rest at the source. */
	zt_arrived(_metadata, circle->source, 1000);
	ASSERT_EQ(0, sp_stop(circle, circle->to, &other));
	ASSERT_EQ(one, other);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, ioctl(i ? circle->to : circle->source, FIONREAD, &n));
		all += n;
	}
	ASSERT_EQ(1000, all);
	zcio_close(circle->ctx);
}

TEST_HARNESS_MAIN
