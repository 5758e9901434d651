// SPDX-License-Identifier: GPL-2.0
/*
 * A TCP stream by io_uring's SEND_ZC from registered memory. Each send has two completions: that
 * it was done, which the next one waits for, as a stream has an order; and a notification
 * that its memory may be written again.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "send.h"
#include "uring.h"

/* As for MSG_ZEROCOPY: what a connection's send buffer holds, and no more than so many pieces. */
#define IN_TURN		(4 << 20)
#define MOST		1024

struct uring {
	struct io_uring ring;
	struct turns turns;
	size_t *busy;		/* bytes of each buffer that the kernel may still read */
	size_t notices;		/* that are still to come */
	ssize_t sent;		/* what the last send gave, or -1: not done yet */
};

static void open_ring(struct bench *b, struct uring *u)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
		.cq_entries = 2 * MOST,
	};
	struct iovec all = { u->turns.memory, u->turns.count * u->turns.stride };
	struct io_uring_probe *probe;
	int err = io_uring_queue_init_params(8, &u->ring, &p);

	if (err)
		unable(b, "io_uring cannot be set up: %s", strerror(-err));
	probe = io_uring_get_probe_ring(&u->ring);
	if (!probe || !io_uring_opcode_supported(probe, IORING_OP_SEND_ZC))
		unable(b, "this kernel's io_uring has no SEND_ZC");
	io_uring_free_probe(probe);
	err = io_uring_register_buffers(&u->ring, &all, 1);
	if (err)
		unable(b, "the buffers cannot be registered with io_uring: %s", strerror(-err));
	/* The socket and the ring as well, which saves looking them up in each call. */
	err = io_uring_register_files(&u->ring, b->fds, 1);
	if (err)
		unable(b, "the socket cannot be registered with io_uring: %s", strerror(-err));
	io_uring_register_ring_fd(&u->ring);
}

/* Submits what is to be, waits for something, and takes all that is there. */
static void turn_over(struct bench *b, struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	uring_turn(b, &u->ring);
	io_uring_for_each_cqe(&u->ring, head, cqe) {
		seen++;
		if (cqe->flags & IORING_CQE_F_NOTIF) {
			bool copied = (uint32_t)cqe->res & IORING_NOTIF_USAGE_ZC_COPIED;

			*(copied ? &b->copied : &b->mapped) += u->busy[cqe->user_data];
			u->busy[cqe->user_data] = 0;
			u->notices--;
			continue;
		}
		if (cqe->res < 0) {
			errno = -cqe->res;
			die("SEND_ZC");
		}
		u->sent = cqe->res;
		/* Without that flag no notification comes: nothing is read any more. */
		if (cqe->flags & IORING_CQE_F_MORE)
			u->notices++;
		else
			u->busy[cqe->user_data] = 0;
	}
	io_uring_cq_advance(&u->ring, seen);
}

void tcp_send_uring(struct bench *b)
{
	struct uring u = {};

	turns_open(b, &u.turns, 4, IN_TURN < MOST * b->size ? IN_TURN : MOST * b->size);
	u.busy = calloc(u.turns.count, sizeof(*u.busy));
	if (!u.busy)
		die("memory");
	open_ring(b, &u);
	bench_start(b);
	for (size_t i = 0; b->moved < b->bytes; i = (i + 1) % u.turns.count) {
		size_t len = request_len(b);
		char *from = turn(&u.turns, i);
		struct io_uring_sqe *sqe;

		while (u.busy[i])
			turn_over(b, &u);
		request_make(b, from, len);
		sqe = io_uring_get_sqe(&u.ring);
		/* MSG_WAITALL: it is done when all is taken, and then only. */
		io_uring_prep_send_zc_fixed(sqe, 0, from, len, MSG_WAITALL,
					    IORING_SEND_ZC_REPORT_USAGE, 0);
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
		io_uring_sqe_set_data64(sqe, i);
		u.busy[i] = len;
		u.sent = -1;
		while (u.sent < 0)
			turn_over(b, &u);
		if ((size_t)u.sent != len) {
			errno = EIO;
			die("SEND_ZC took a part only");
		}
		b->payloads++;
		b->moved += len;
	}
	while (u.notices)
		turn_over(b, &u);
	bench_stop(b);
	io_uring_queue_exit(&u.ring);
}
