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

/* splice_ops.c */
const struct proto_ops *zcio_splice_operations(const struct proto_ops *base);
bool zcio_splice_operates(const struct proto_ops *ops);
void zcio_splice_operations_exit(void);

#endif
