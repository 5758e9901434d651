// SPDX-License-Identifier: GPL-2.0
/*
 * Moving the bytes of TCP from one socket to another, in three steps, each under one socket's
 * lock: references to pages are gathered from the source's queue; the drain takes what it
 * takes of them; that much is consumed at the source. What was not taken is still there.
 *
 * Nobody else reads from a source meanwhile, but for one who was already waiting inside of
 * recvmsg() when it became one. So what is consumed goes by the sequence number.
 */
#include <linux/skbuff.h>
#include <linux/uio.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "splice_batch.h"
#include "splice_party.h"

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

	zcio_batch_clear(b);
	seq = tcp_sk(sk)->copied_seq;
	b->seq = seq;
	skb = tcp_recv_skb(sk, seq, &offset);
	while (skb && b->bytes < max) {
		if (offset < skb->len) {
			u32 want = min(max - b->bytes, skb->len - offset);

			n = skb_frags_readable(skb) ? zcio_batch_add(b, skb, offset, want) : -EIO;
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
