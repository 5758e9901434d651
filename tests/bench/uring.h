/* SPDX-License-Identifier: GPL-2.0 */
/* What the ways that use io_uring share. */
#ifndef URING_H
#define URING_H

#include <errno.h>
#include <liburing.h>

#include "bench.h"

/* Submits what is to be, and waits for a completion at least. */
static inline void uring_turn(struct bench *b, struct io_uring *ring)
{
	int err = io_uring_submit_and_wait(ring, 1);

	b->calls++;
	if (err < 0) {
		errno = -err;
		die("io_uring_enter");
	}
}

#endif /* URING_H */
