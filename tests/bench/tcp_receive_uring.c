// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving a TCP stream by io_uring in the way that liburing's documentation recommends: one
 * multishot request stays armed and fills buffers of a ring, several at once (a bundle), as far
 * as there are bytes (incremental buffers); they are given back when they were read.
 */
#include <errno.h>
#include <liburing.h>
#include <string.h>

#include "tcp_receive.h"
#include "uring.h"

/* With two, one request fits in while another one was not given back to the last byte. */
#define BUFFERS	2
#define GROUP	0

struct ring {
	struct io_uring uring;
	struct io_uring_buf_ring *buffers;
	char *memory;
	size_t taken[BUFFERS];		/* bytes of each that were received into and read */
};

static void give(struct bench *b, struct ring *r, int id)
{
	r->taken[id] = 0;
	io_uring_buf_ring_add(r->buffers, r->memory + id * b->size, b->size, id,
			      io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(r->buffers, 1);
}

static void make(struct bench *b, struct ring *r)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	int err = io_uring_queue_init_params(8, &r->uring, &params);

	if (err < 0)
		unable(b, "io_uring cannot be set up: %s", strerror(-err));
	if (!(params.features & IORING_FEAT_RECVSEND_BUNDLE))
		unable(b, "the kernel's io_uring cannot receive in bundles");
	r->buffers = io_uring_setup_buf_ring(&r->uring, BUFFERS, GROUP, IOU_PBUF_RING_INC, &err);
	if (!r->buffers)
		unable(b, "io_uring has no ring of incremental buffers: %s", strerror(-err));
	r->memory = memory(BUFFERS * b->size);
	for (int i = 0; i < BUFFERS; i++)
		give(b, r, i);
}

/* Asks for all that comes, at most a request's bytes at a time, and waits for SO_RCVLOWAT first. */
static void arm(struct bench *b, struct ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	io_uring_prep_recv_multishot(sqe, b->fds[0], NULL, 0, 0);
	sqe->len = b->size;
	sqe->ioprio |= IORING_RECVSEND_BUNDLE | IORING_RECVSEND_POLL_FIRST;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
}

/* @len bytes were received, from where buffer @id was filled to, and on in those behind it. */
static void take(struct bench *b, struct ring *r, int id, size_t len)
{
	while (len) {
		size_t n = b->size - r->taken[id];

		if (n > len)
			n = len;
		data_take(b, r->memory + id * b->size + r->taken[id], b->moved, n);
		b->moved += n;
		b->payloads++;
		len -= n;
		r->taken[id] += n;
		if (r->taken[id] == b->size)
			give(b, r, id);
		id = (id + 1) % BUFFERS;
	}
}

/* All that completed; whether the request is armed still. */
static bool reap(struct bench *b, struct ring *r)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	bool armed = true;

	io_uring_for_each_cqe(&r->uring, head, cqe) {
		if (!(cqe->flags & IORING_CQE_F_MORE))
			armed = false;
		n++;
		if (cqe->res == -ENOBUFS)	/* no buffer was left; those read were given back */
			continue;
		if (!cqe->res && b->moved == b->bytes)	/* the stream's end */
			continue;
		if (cqe->res <= 0) {
			errno = -cqe->res;
			die("recv by io_uring");
		}
		take(b, r, cqe->flags >> IORING_CQE_BUFFER_SHIFT, cqe->res);
	}
	io_uring_cq_advance(&r->uring, n);
	return armed;
}

void receive_by_io_uring(struct bench *b)
{
	bool armed = false;
	struct ring r = {};

	make(b, &r);
	want(b);
	bench_start(b);
	while (b->moved < b->bytes) {
		if (!armed)
			arm(b, &r);
		uring_turn(b, &r.uring);
		armed = reap(b, &r);
	}
	bench_stop(b);
	b->copied = b->moved;
}
