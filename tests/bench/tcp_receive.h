/* SPDX-License-Identifier: GPL-2.0 */
/* What the ways of the job tcp_receive share; each is in a file of its own. */
#ifndef TCP_RECEIVE_H
#define TCP_RECEIVE_H

#include "send.h"

/* The most that the stack joins to one packet, and so most payloads' longest. */
#define LONGEST	(64UL << 10)

/*
 * The room of ways that can take more at once than is wanted: two requests. readv has a
 * buffer for one: that is what a request means there.
 */
static inline size_t room(const struct bench *b)
{
	return 2 * b->size;
}

/* Sets how much is to be there before the socket is readable; less comes only at the end. */
void want(struct bench *b);

void receive_by_zc_readv(struct bench *b);
void receive_by_zc_readv_map(struct bench *b);
void receive_by_zc_readv_one(struct bench *b);
void receive_by_tcp_zerocopy(struct bench *b);
void receive_by_io_uring(struct bench *b);
void receive_by_zcrx(struct bench *b);

#endif /* TCP_RECEIVE_H */
