// SPDX-License-Identifier: GPL-2.0
/*
 * Moving the bytes of TCP from one socket to another, in three steps, each under one socket's
 * lock: references to pages are gathered from the source's queue; the drain takes what it
 * takes of them; that much is consumed at the source. What was not taken is still there.
 *
 * Nobody else reads from a source meanwhile, but for one who was already waiting inside of
 * recvmsg() when it became one. So what is consumed goes by the sequence number.
 */
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/skbuff.h>
#include <linux/uio.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "splice_party.h"

#define PIECES		64

/* Pieces of pages that were gathered, each with a reference. */
struct zcio_batch {
	u32 seq;		/* of the first byte */
	u32 bytes;
	u32 count;
	bool may_change;	/* somebody can still write to some of them */
	u64 copied;		/* which pieces are copies */
	struct page *page;	/* for copies … */
	u32 used;		/* … and how much of it is used */
	struct bio_vec pieces[PIECES];
};

struct zcio_batch *zcio_batch_alloc(void)
{
	struct zcio_batch *b = kmalloc(sizeof(*b), GFP_KERNEL | __GFP_NOWARN);

	if (b) {
		b->count = 0;
		b->page = NULL;
	}
	return b;
}

static void batch_clear(struct zcio_batch *b)
{
	for (u32 i = 0; i < b->count; i++)
		put_page(b->pieces[i].bv_page);
	b->bytes = 0;
	b->count = 0;
	b->copied = 0;
	b->may_change = false;
}

void zcio_batch_free(struct zcio_batch *b)
{
	batch_clear(b);
	if (b->page)
		put_page(b->page);
	kfree(b);
}

/* ---- gathering ---- */

/* Do the bytes follow those of the last piece, in its folio? */
static bool follows(const struct zcio_batch *b, struct page *page, u32 offset)
{
	const struct bio_vec *last;

	if (!b->count || (b->copied >> (b->count - 1) & 1))
		return false;
	last = &b->pieces[b->count - 1];
	return page_folio(page) == page_folio(last->bv_page) &&
	       page_to_pfn(page) * PAGE_SIZE + offset ==
	       page_to_pfn(last->bv_page) * PAGE_SIZE + last->bv_offset + last->bv_len;
}

/* Adds a piece within one folio; false if there is no room. */
static bool add(struct zcio_batch *b, struct page *page, u32 offset, u32 len, bool copied)
{
	if (!copied && follows(b, page, offset)) {
		b->pieces[b->count - 1].bv_len += len;
	} else {
		if (b->count == PIECES)
			return false;
		get_page(page);
		b->pieces[b->count] = (struct bio_vec) {
			.bv_page = page, .bv_offset = offset, .bv_len = len,
		};
		b->copied |= (u64)copied << b->count++;
	}
	b->bytes += len;
	return true;
}

/* Adds @len bytes of pages that lie one behind the other. Returns how many. */
static int add_run(struct zcio_batch *b, struct page *page, u32 offset, u32 len)
{
	u32 done = 0;

	page += offset >> PAGE_SHIFT;
	offset = offset_in_page(offset);
	while (done < len) {
		struct folio *folio = page_folio(page);
		u32 inside = folio_size(folio) - folio_page_idx(folio, page) * PAGE_SIZE - offset;
		u32 n = min(len - done, inside);

		if (!add(b, page, offset, n, false))
			break;
		/* Of a file, or of a process: the mark that says so may have been lost. */
		if (READ_ONCE(folio->mapping))
			b->may_change = true;
		done += n;
		page += (offset + n) >> PAGE_SHIFT;
		offset = offset_in_page(offset + n);
	}
	return done;
}

/* The same with a copy of them. -ENOMEM if not even one byte could be. */
static int add_copy(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len)
{
	u32 done = 0;

	while (done < len && b->count < PIECES) {
		u32 n;

		if (b->page && b->used == PAGE_SIZE) {
			put_page(b->page);
			b->page = NULL;
		}
		if (!b->page) {
			b->page = alloc_page(GFP_KERNEL | __GFP_NOWARN);
			if (!b->page)
				return done ?: -ENOMEM;
			b->used = 0;
		}
		n = min_t(u32, len - done, PAGE_SIZE - b->used);
		if (skb_copy_bits(skb, offset + done, page_address(b->page) + b->used, n))
			return done ?: -EFAULT;
		if (!add(b, b->page, b->used, n, true))
			break;
		b->used += n;
		done += n;
	}
	return done;
}

/*
 * Bytes beside the headers. As in skb_splice_bits(): in a page of their own if the head is
 * one and no clone has it too; else, in memory of the slab allocator, they have to be copied.
 */
static int add_linear(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len)
{
	void *data = skb->data + offset;

	if (skb_head_is_locked(skb) || skb_zcopy(skb))
		return add_copy(b, skb, offset, len);
	return add_run(b, virt_to_page(data), offset_in_page(data), len);
}

/* Adds @len bytes of @skb, which they are in. Returns how many. */
static int add_skb(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len)
{
	u32 start = skb_headlen(skb), done = 0;
	struct sk_buff *child;
	int n;

	if (skb_has_shared_frag(skb))
		b->may_change = true;
	if (offset < start) {
		u32 want = min(len, start - offset);

		n = add_linear(b, skb, offset, want);
		if (n < (int)want)
			return n;
		done = n;
	}
	for (int i = 0; i < skb_shinfo(skb)->nr_frags && done < len; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];
		u32 size = skb_frag_size(frag), at = offset + done;

		if (at < start + size) {
			u32 want = min(len - done, start + size - at);

			if (skb_zcopy(skb) || !sendpage_ok(skb_frag_page(frag)))
				n = add_copy(b, skb, at, want);
			else
				n = add_run(b, skb_frag_page(frag),
					    skb_frag_off(frag) + at - start, want);
			if (n < 0)
				return done ?: n;
			done += n;
			if (n < (int)want)
				return done;
		}
		start += size;
	}
	skb_walk_frags(skb, child) {
		u32 at = offset + done;

		if (done == len)
			break;
		if (at < start + child->len) {
			u32 want = min(len - done, start + child->len - at);

			n = add_skb(b, child, at - start, want);
			if (n < 0)
				return done ?: n;
			done += n;
			if (n < (int)want)
				return done;
		}
		start += child->len;
	}
	return done;
}

/*
 * Gathers up to @max bytes that are queued: fewer if there are no more, or no more room.
 * Returns how many. -EIO for device memory, which no other device can be given.
 */
long zcio_source_gather(struct zcio_party *party, struct zcio_batch *b, u32 max)
{
	struct sock *sk = party->sk;
	struct sk_buff *skb;
	u32 offset, seq;
	int n = 0;

	batch_clear(b);
	seq = tcp_sk(sk)->copied_seq;
	b->seq = seq;
	skb = tcp_recv_skb(sk, seq, &offset);
	while (skb && b->bytes < max) {
		if (offset < skb->len) {
			u32 want = min(max - b->bytes, skb->len - offset);

			n = skb_frags_readable(skb) ? add_skb(b, skb, offset, want) : -EIO;
			if (n < (int)want)
				break;
		}
		if (skb_queue_is_last(&sk->sk_receive_queue, skb))
			break;
		skb = skb_queue_next(&sk->sk_receive_queue, skb);
		/* What is sent again may overlap: begin behind what the last one had. */
		offset = seq + b->bytes - TCP_SKB_CB(skb)->seq;
	}
	return b->bytes ?: min(n, 0);
}

/* ---- the source ---- */

/*
 * Urgent bytes as recvmsg() has them: in line with SO_OOBINLINE; else they are stepped over.
 * What is before the mark and what is behind it never go together.
 */
void zcio_source_look(struct zcio_party *party, struct zcio_source_seen *seen)
{
	struct sock *sk = party->sk;
	struct tcp_sock *tp = tcp_sk(sk);
	int state = sk->sk_state;

	*seen = (struct zcio_source_seen) {};
	if (sock_flag(sk, SOCK_DEAD) || state == TCP_LISTEN) {
		seen->gone = true;
		return;
	}
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return;
	for (;;) {
		u32 n = tp->rcv_nxt - tp->copied_seq, urgent;

		if (n && sock_flag(sk, SOCK_DONE))
			n--;			/* the FIN */
		seen->ready = n;
		if (likely(!tp->urg_data))
			break;
		urgent = tp->urg_seq - tp->copied_seq;
		if (urgent >= n)
			break;
		seen->ready = urgent;
		if (urgent)
			break;
		if (sock_flag(sk, SOCK_URGINLINE)) {
			seen->ready = 1;
			seen->urgent = true;
			break;
		}
		/* Until more comes it is there for recv() with MSG_OOB. */
		if (n == 1)
			break;
		zcio_tcp_consume(sk->sk_socket, 1);
	}
	/* In the order of recvmsg(): a FIN, an error, a shutdown, which comes with errors too. */
	seen->error = sk->sk_err;
	seen->finished = sock_flag(sk, SOCK_DONE) ||
			 (!sk->sk_err && (sk->sk_shutdown & RCV_SHUTDOWN));
	seen->gone = state == TCP_CLOSE;
}

void zcio_source_consume(struct zcio_party *party, const struct zcio_batch *b, u32 len)
{
	struct sock *sk = party->sk;
	s32 left = b->seq + len - tcp_sk(sk)->copied_seq;

	if (left > 0 && left <= len && !sock_flag(sk, SOCK_DEAD))
		zcio_tcp_consume(sk->sk_socket, left);
}

/* ---- the drain ---- */

/* Without the lock this is what was, or will be. */
void zcio_drain_look(struct zcio_party *party, struct zcio_drain_seen *seen)
{
	struct sock *sk = party->sk;
	int state = 1 << inet_sk_state_load(sk);
	bool dead = sock_flag(sk, SOCK_DEAD);

	*seen = (struct zcio_drain_seen) {
		.connected = !dead && (state & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)),
		.connecting = !dead && (state & (TCPF_SYN_SENT | TCPF_SYN_RECV)),
		.shut = READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN,
		.error = READ_ONCE(sk->sk_err),
	};
}

/* Of the first @len bytes, those that were copied; all, if the drain's device cannot gather. */
static u64 count_copied(const struct sock *sk, const struct zcio_batch *b, u64 len)
{
	u64 copied = 0, at = 0;

	if (!(sk->sk_route_caps & NETIF_F_SG))
		return len;
	for (u32 i = 0; i < b->count && at < len; i++) {
		u64 n = min_t(u64, b->pieces[i].bv_len, len - at);

		if (b->copied >> i & 1)
			copied += n;
		at += n;
	}
	return copied;
}

/*
 * Sends what was gathered. The last byte is the urgent one if @urgent. An error that the
 * socket has to tell as the source of another splice is no reason not to send: with
 * @keep_error it is put aside meanwhile.
 */
void zcio_drain_send(struct zcio_party *party, struct zcio_batch *b, bool urgent,
		     bool keep_error, struct zcio_sent *sent)
{
	struct msghdr msg = {
		.msg_flags = MSG_SPLICE_PAGES | MSG_DONTWAIT | MSG_NOSIGNAL |
			     (b->may_change ? 0 : MSG_NO_SHARED_FRAGS) | (urgent ? MSG_OOB : 0),
	};
	struct sock *sk = party->sk;
	int err = keep_error ? sk->sk_err : 0;

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, b->pieces, b->count, b->bytes);
	if (err)
		WRITE_ONCE(sk->sk_err, 0);
	sent->taken = tcp_sendmsg_locked(sk, &msg, b->bytes);
	if (err)
		cmpxchg(&sk->sk_err, 0, err);
	sent->copied = sent->taken > 0 ? count_copied(sk, b, sent->taken) : 0;
	sent->short_of_memory = sent->taken == -ENOMEM || sent->taken == -ENOBUFS ||
		((sent->taken == -EAGAIN || (sent->taken >= 0 && sent->taken < b->bytes)) &&
		 sk_stream_memory_free(sk));
}
