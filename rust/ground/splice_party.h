/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the C files of splicing share: a socket's part in splices; see splice.c.
 */
#ifndef ZCIO_SPLICE_PARTY_H
#define ZCIO_SPLICE_PARTY_H

#include <linux/spinlock.h>
#include <linux/types.h>

#include "shim.h"
#include "splice.h"

struct zcio_party {
	struct sock *sk;
	spinlock_t lock;			/* protects: */
	void *splices[2];			/* by side; each with a reference */
	const struct zcio_splice_calls *calls;
	bool kept;				/* a program keeps the socket lock */
	bool wants_space;			/* UDP: the splice waits for this drain */
	u32 owed;				/* UDP: bytes taken off, still charged */

	/* UDP: where this drain sent last, and how far that processor's backlog was then. */
	int last_cpu;
	u32 last_tail;

	/* As they were. */
	const struct proto_ops *ops;
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
	void (*error_report)(struct sock *sk);

	struct rcu_head rcu;
};

/* Both splices of a socket end: it is about to be closed, or to lose its connection. */
void zcio_party_close(struct sock *sk);

/* Is there a splice on that side, which knows of it now (ZCIO_EVENT_*)? */
bool zcio_party_tell(struct zcio_party *party, u32 side, u32 event);

/* Tells a source that is free again how it ended. */
void zcio_party_told(struct zcio_party *party, int err);

/* Callbacks that all kinds of sockets have. */
typedef void (*zcio_callback)(struct sock *sk);

void zcio_on_state_change(struct sock *sk);
void zcio_on_error_report(struct sock *sk);

/* Whoever read a callback before it was put back: the one that is there now. */
static inline void zcio_call_present(struct sock *sk, zcio_callback present, zcio_callback ours)
{
	if (present != ours)
		present(sk);
}

/* splice_udp.c */
struct zcio_party *zcio_udp_party(struct sock *sk);
bool zcio_udp_allowed(struct socket *sock);
bool zcio_udp_connected(const struct sock *sk);
struct zcio_party *zcio_udp_join(struct sock *sk, struct zcio_party *fresh, u32 side,
				 const struct zcio_splice_calls *calls, void *splice, int *err);
void *zcio_udp_leave(struct zcio_party *party, u32 side, int err);

/* splice_ops.c */
const struct proto_ops *zcio_splice_operations(const struct proto_ops *base);
bool zcio_splice_operates(const struct proto_ops *ops);
void zcio_splice_operations_exit(void);

#endif
