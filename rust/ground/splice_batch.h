/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes on their way, as references to the pages that they lie in: see splice_batch.c.
 */
#ifndef ZCIO_SPLICE_BATCH_H
#define ZCIO_SPLICE_BATCH_H

#include <linux/bvec.h>
#include <linux/types.h>

#define ZCIO_PIECES	64

/* Pieces of pages, each with a reference. */
struct zcio_batch {
	u32 seq;		/* TCP: of the first byte */
	u32 bytes;
	u32 count;
	bool may_change;	/* somebody can still write to some of them */
	u64 copied;		/* which pieces are copies */
	struct page *page;	/* for copies … */
	u32 used;		/* … and how much of it is used */
	struct bio_vec pieces[ZCIO_PIECES];
};

void zcio_batch_clear(struct zcio_batch *b);
int zcio_batch_add(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len);
int zcio_batch_copy(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len);

#endif
