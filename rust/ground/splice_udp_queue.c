// SPDX-License-Identifier: GPL-2.0
/*
 * A UDP source's queue: looking at its first datagram, taking it off, putting it back.
 *
 * As with recvmsg() there are two: datagrams come into sk_receive_queue, and who reads moves
 * all of them to reader_queue at once. What they are charged to the socket is given back when
 * a run is over, for all that it took (zcio_udp_settle()), and not to the last page: what
 * comes next needs it again.
 *
 * BH are disabled, and one at a time is here, but for zcio_udp_put_back().
 */
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <net/sock.h>
#include <net/udp.h>

#include "frame.h"
#include "splice_party.h"
#include "splice_udp.h"

/* Memory that a source keeps for what comes next. */
#define KEEP	(8 << 10)

void zcio_bh_disable(void)
{
	local_bh_disable();
}

void zcio_bh_enable(void)
{
	local_bh_enable();
}

/* How often splices have moved it: see splice_udp.h. */
u32 zcio_udp_hops(const struct sk_buff *skb)
{
	const struct skb_shared_info *info = skb_shinfo(skb);

	if ((info->tx_flags & SKBTX_ANY_TSTAMP) || (info->tskey & ~ZCIO_HOPS) != ZCIO_HOPS_MARK)
		return 0;
	return info->tskey & ZCIO_HOPS;
}

/* Under the reader queue's lock. */
static void unlink_first(struct zcio_party *party, struct sk_buff *skb)
{
	__skb_unlink(skb, &udp_sk(party->sk)->reader_queue);
	party->owed += skb->truesize;
}

/* The first datagram whose checksum is right. Under the reader queue's lock. */
static struct sk_buff *first(struct zcio_party *party)
{
	struct sock *sk = party->sk;
	struct sk_buff_head *queue = &udp_sk(sk)->reader_queue;
	struct sk_buff *skb;

	for (;;) {
		skb = skb_peek(queue);
		if (!skb && !skb_queue_empty_lockless(&sk->sk_receive_queue)) {
			spin_lock(&sk->sk_receive_queue.lock);
			skb_queue_splice_tail_init(&sk->sk_receive_queue, queue);
			spin_unlock(&sk->sk_receive_queue.lock);
			skb = skb_peek(queue);
		}
		if (!skb || zcio_udp_intact(skb))
			return skb;
		zcio_udp_count(sk, skb, UDP_MIB_CSUMERRORS);
		zcio_udp_count(sk, skb, UDP_MIB_INERRORS);
		sk_drops_inc(sk);
		unlink_first(party, skb);
		kfree_skb_reason(skb, SKB_DROP_REASON_UDP_CSUM);
	}
}

void zcio_udp_look(struct zcio_party *source, struct zcio_datagram_seen *seen)
{
	struct sock *sk = source->sk;
	struct sk_buff_head *queue = &udp_sk(sk)->reader_queue;
	struct sk_buff *skb;

	*seen = (struct zcio_datagram_seen) {};
	if (skb_queue_empty_lockless(queue) && skb_queue_empty_lockless(&sk->sk_receive_queue))
		goto none;
	spin_lock(&queue->lock);
	skb = first(source);
	if (skb) {
		seen->skb = skb;
		seen->len = skb->len;
		seen->segment = skb_shinfo(skb)->gso_size;
		seen->hops = zcio_udp_hops(skb);
		seen->unreadable = !skb_frags_readable(skb);
		seen->unusual = !zcio_udp_ordinary(skb);
	}
	spin_unlock(&queue->lock);
	if (skb)
		return;
none:
	seen->error = READ_ONCE(sk->sk_err);
	seen->finished = READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN;
}

/*
 * Takes that datagram off. NULL if it is not the first one any more: a recv() that waited
 * since before the splice can take one. Not even if another one has its address now.
 */
struct sk_buff *zcio_udp_take(struct zcio_party *source, const struct zcio_datagram_seen *seen)
{
	struct sk_buff_head *queue = &udp_sk(source->sk)->reader_queue;
	struct sk_buff *skb;

	spin_lock(&queue->lock);
	skb = skb_peek(queue);
	if (skb != seen->skb || skb->len != seen->len ||
	    skb_shinfo(skb)->gso_size != seen->segment || zcio_udp_hops(skb) != seen->hops ||
	    !zcio_udp_intact(skb))
		skb = NULL;
	if (skb)
		unlink_first(source, skb);
	spin_unlock(&queue->lock);
	return skb;
}

/* A run is over: the socket is given back what it was charged for what was taken. */
void zcio_udp_settle(struct zcio_party *source)
{
	struct sock *sk = source->sk;
	u32 size = source->owed;
	int more;

	if (!size)
		return;
	source->owed = 0;
	spin_lock_bh(&sk->sk_receive_queue.lock);
	sk_forward_alloc_add(sk, size);
	more = (sk->sk_forward_alloc - KEEP) & PAGE_MASK;
	if (more > 0)
		__sk_mem_reclaim(sk, more);
	atomic_sub(size, &sk->sk_rmem_alloc);
	spin_unlock_bh(&sk->sk_receive_queue.lock);
}

/* What was taken could not be sent. */
void zcio_udp_put_back(struct zcio_party *source, struct sk_buff *skb)
{
	zcio_udp_queue_first(source->sk, skb);
}

/* What was taken was sent. */
void zcio_udp_sent(struct zcio_party *source, struct sk_buff *skb)
{
	zcio_udp_count(source->sk, skb, UDP_MIB_INDATAGRAMS);
	consume_skb(skb);
}

void zcio_udp_drop(struct sk_buff *skb)
{
	kfree_skb(skb);
}

/* What udp_recvmsg() wants to know of a datagram that is queued. */
static void set_scratch(struct sk_buff *skb)
{
	struct udp_dev_scratch *scratch = udp_skb_scratch(skb);

	scratch->_tsize_state = skb->truesize;
#if BITS_PER_LONG == 64
	scratch->len = skb->len;
	scratch->is_linear = !skb_is_nonlinear(skb);
	scratch->csum_unnecessary = true;
#endif
}

/*
 * Makes those datagrams of it that it was joined from, in its place. 0, too, if it is gone;
 * without memory for that it stays.
 */
int zcio_udp_split(struct zcio_party *source, const struct zcio_datagram_seen *seen)
{
	struct sk_buff *skb = zcio_udp_take(source, seen), *segs, *next, *last = NULL;
	struct sock *sk = source->sk;
	u32 headers;

	if (!skb)
		return 0;
	/* From the link's header on, with the device that it came from: as udp_rcv_segment(). */
	headers = skb->data - skb_mac_header(skb);
	__skb_push(skb, headers);
	skb->dev = NULL;
	if (skb->pkt_type == PACKET_LOOPBACK)
		skb->ip_summed = CHECKSUM_PARTIAL;
	segs = __skb_gso_segment(skb, NETIF_F_SG | NETIF_F_IP_CSUM | NETIF_F_IPV6_CSUM, false);
	if (IS_ERR_OR_NULL(segs)) {
		/* Its headers lie at the same distance still, but maybe elsewhere. */
		__skb_pull(skb, skb_mac_header(skb) + headers - skb->data);
		set_scratch(skb);
		zcio_udp_queue_first(sk, skb);
		return segs ? PTR_ERR(segs) : -EINVAL;
	}
	consume_skb(skb);
	/* Each goes before those that are there, so the last one is the first. */
	skb_list_walk_safe(segs, skb, next) {
		__skb_pull(skb, skb_transport_offset(skb) + sizeof(struct udphdr));
		skb->ip_summed = CHECKSUM_UNNECESSARY;
		if (seen->hops) {
			skb_shinfo(skb)->tx_flags = 0;
			skb_shinfo(skb)->tskey = ZCIO_HOPS_MARK | seen->hops;
		}
		set_scratch(skb);
		skb->next = last;
		last = skb;
	}
	skb_list_walk_safe(last, skb, next) {
		skb_mark_not_on_list(skb);
		zcio_udp_queue_first(sk, skb);
	}
	return 0;
}
