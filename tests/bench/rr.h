/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests and answers over TCP: what both sides know of them.
 *
 * One of the two has --size bytes, the other SMALL; the job says which. Request k begins with its
 * number, as does its answer; both go on with the bytes of the positions from k * RR_STEP on. A
 * connection has one request at a time.
 */
#ifndef RR_H
#define RR_H

#include "bench.h"

#define RR_STEP	65536ULL
#define SMALL	64UL

struct rr {
	uint64_t count;			/* requests, on all connections */
	size_t request, answer;		/* bytes */
	bool upload;			/* the request is the large one */
};

struct rr rr_of(const struct bench *b);

/* Before the fork: memory for latencies, which both sides have. */
void rr_prepare(struct bench *b);
/* The client, on all connections; notes the latencies. */
void rr_client(struct bench *b);
/* They become those of the result. */
void rr_latencies(struct bench *b);

/* ---- rr_serve.c: the measured side ---- */

void rr_serve_epoll(struct bench *b);
void rr_serve_zc(struct bench *b);
/* The server as the other side of a relay, as in rr_serve_epoll(), but not measured. */
void rr_serve_relayed(struct bench *b);

#endif /* RR_H */
