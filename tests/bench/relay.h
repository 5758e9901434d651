/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the jobs of relays share. The measured side is the relay: each connection of a job has two
 * legs, from the source (or client) to it and from it to the sink (or server). Both of these are
 * the peer's, two processes there; so all that the relay gets comes over the device, and all that
 * it sends leaves over it, as with a gateway.
 */
#ifndef RELAY_H
#define RELAY_H

#include "bench.h"

/* The two legs of connection @i: its source's, its sink's. */
static inline int from_source(const struct bench *b, unsigned int i)
{
	return b->fds[i];
}

static inline int to_sink(const struct bench *b, unsigned int i)
{
	return b->fds[b->connections + i];
}

/* ---- relay.c ---- */

/* Before the fork: memory for what the two processes tell, and the relay's processor. */
void relay_prepare(struct bench *b);
/*
 * The peer: two processes, each with its own legs as bench.fds, and with bench.say to the other.
 * Returns when both are done.
 */
void relay_sides(struct bench *b, void (*source)(struct bench *b), void (*sink)(struct bench *b));
/*
 * What this side took so far: the relay, what the kernel does for it in threads and works, and its
 * network; and of that, what its device's threads took. Nothing where that cannot be told from the
 * other side.
 */
void relay_busy(struct bench *b, struct usage *usage);
/* Waits until the peer is done, as a relay's process does that has nothing to do. */
void relay_wait(struct bench *b);
/* When all is done: datagrams that the sink missed. */
uint64_t relay_lost(void);

/* ---- relay_sockmap.c, relay_zc.c: relays that the kernel runs; the process only waits ---- */

/* Each leg's other one gets what comes, by a BPF program. */
void relay_by_sockmap(struct bench *b);
/* From all sources to all sinks; @both: and back. */
void relay_by_zc(struct bench *b, bool both);

/* ---- relay_epoll.c: both ways of all connections, by a process that waits by epoll ---- */

/* Until the peer is done. @pipes: by splice(2), else by read and write. */
void relay_by_epoll(struct bench *b, bool pipes);

#endif /* RELAY_H */
