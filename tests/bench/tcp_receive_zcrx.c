// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving a TCP stream by io_uring's zero-copy receive in its mode without a device: no NIC
 * here can give it a queue. The application's side is the same as with one (tools/testing/
 * selftests/drivers/net/hw/iou-zcrx.c of the kernel), but the kernel copies every byte into the
 * area, and takes back what was read only when it is told to.
 */
#include <errno.h>
#include <liburing.h>
#include <string.h>

#include "tcp_receive.h"
#include "uring.h"
#include "zcrx_uapi.h"

/* Pages of the area: a frame's payload takes one at least, however short it is. */
#define PAGES_LEAST	512
#define PAGES_MOST	16384

struct zcrx {
	struct io_uring uring;
	char *area;
	unsigned int pages;		/* of it, a power of two */
	__u64 token;			/* of the area */
	__u32 id;
	unsigned int *tail;		/* of the ring by which pages are given back, … */
	unsigned int given;		/* … what it is to be, … */
	struct bench_zcrx_rqe *rqes;	/* … and its entries, as many as pages */
	unsigned int unflushed;		/* pages given back that the kernel was not told of */
};

static void make_ring(struct bench *b, struct zcrx *z)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQE32 | IORING_SETUP_CQSIZE,
	};
	int err;

	z->pages = PAGES_LEAST;
	while (z->pages < PAGES_MOST && z->pages * PAGE < 4 * room(b))
		z->pages *= 2;
	params.cq_entries = 2 * z->pages;
	err = io_uring_queue_init_params(8, &z->uring, &params);
	if (err < 0)
		unable(b, "io_uring cannot be set up: %s", strerror(-err));
}

static void make(struct bench *b, struct zcrx *z)
{
	size_t ring_len = PAGES(z->pages * sizeof(struct bench_zcrx_rqe) + PAGE);
	char *ring = memory(ring_len);
	struct io_uring_region_desc region = {
		.user_addr = (uintptr_t)ring, .size = ring_len, .flags = IORING_MEM_REGION_TYPE_USER,
	};
	struct bench_zcrx_area_reg area = { .len = z->pages * PAGE };
	struct bench_zcrx_ifq_reg reg = {
		.rq_entries = z->pages,
		.flags = BENCH_ZCRX_REG_NODEV,
		.area_ptr = (uintptr_t)&area,
		.region_ptr = (uintptr_t)&region,
	};
	int err;

	z->area = memory(area.len);
	area.addr = (uintptr_t)z->area;
	err = io_uring_register(z->uring.ring_fd, BENCH_REGISTER_ZCRX_IFQ, &reg, 1);
	if (err < 0)
		unable(b, "the kernel gives no zero-copy receive without a device: %s", strerror(-err));
	z->token = area.rq_area_token;
	z->id = reg.zcrx_id;
	z->tail = (unsigned int *)(ring + reg.offsets.tail);
	z->rqes = (struct bench_zcrx_rqe *)(ring + reg.offsets.rqes);
}

/* Multishot is all there is; waits for SO_RCVLOWAT first. */
static void arm(struct bench *b, struct zcrx *z)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&z->uring);

	io_uring_prep_rw(BENCH_OP_RECV_ZC, sqe, b->fds[0], NULL, 0, 0);
	sqe->ioprio |= IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
	sqe->file_index = z->id;	/* the kernel's zcrx_ifq_idx, in the same union */
}

static void take(struct bench *b, struct zcrx *z, struct io_uring_cqe *cqe)
{
	struct bench_zcrx_cqe *more = (struct bench_zcrx_cqe *)(cqe + 1);
	__u64 offset = more->off & ~BENCH_ZCRX_AREA_MASK;
	struct bench_zcrx_rqe *back = &z->rqes[z->given & (z->pages - 1)];

	data_take(b, z->area + offset, b->moved, cqe->res);
	b->moved += cqe->res;
	b->payloads++;
	*back = (struct bench_zcrx_rqe){ .off = offset | z->token, .len = cqe->res };
	io_uring_smp_store_release(z->tail, ++z->given);
	z->unflushed++;
}

/* With a device, its driver takes pages off the ring; without, they lie there until this. */
static void flush(struct bench *b, struct zcrx *z)
{
	struct bench_zcrx_ctrl ctrl = { .zcrx_id = z->id, .op = BENCH_ZCRX_CTRL_FLUSH_RQ };

	if (io_uring_register(z->uring.ring_fd, BENCH_REGISTER_ZCRX_CTRL, &ctrl, 0) < 0)
		die("flushing the ring of zero-copy receive");
	z->unflushed = 0;
	b->calls++;
}

/* All that completed; whether the request is armed still. */
static bool reap(struct bench *b, struct zcrx *z)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	bool armed = true;

	io_uring_for_each_cqe(&z->uring, head, cqe) {
		n++;
		if (cqe->flags & IORING_CQE_F_MORE) {
			take(b, z, cqe);
			continue;
		}
		armed = false;
		if (!cqe->res && b->moved == b->bytes)	/* the stream's end */
			continue;
		/* The area was full, or the queue of completions: it goes on when they are empty. */
		if (cqe->res != -ENOMEM && cqe->res != -ENOSPC) {
			errno = -cqe->res;
			die("zero-copy receive by io_uring");
		}
	}
	io_uring_cq_advance(&z->uring, n);
	return armed;
}

void receive_by_zcrx(struct bench *b)
{
	bool armed = false;
	struct zcrx z = {};

	make_ring(b, &z);
	make(b, &z);
	want(b);
	bench_start(b);
	while (b->moved < b->bytes) {
		if (!armed)
			arm(b, &z);
		uring_turn(b, &z.uring);
		armed = reap(b, &z);
		if (!armed || z.unflushed >= z.pages / 2)
			flush(b, &z);
	}
	bench_stop(b);
	b->copied = b->moved;
}
