// SPDX-License-Identifier: GPL-2.0
/*
 * Moving a datagram: what was received is sent, the skb and all that it refers to, with other
 * headers where the old ones were. Nothing is allocated, nothing copied.
 *
 * That is how an ordinary datagram goes, wherever its receiver's callback runs. What is
 * unusual, of the drain or of the datagram, waits for a task, which sends references to its
 * pages as any program with MSG_SPLICE_PAGES would.
 */
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/dst.h>
#include <net/sock.h>
#include <net/udp.h>

#include "frame.h"
#include "splice_batch.h"
#include "splice_party.h"
#include "splice_udp.h"

#define PASSED(what, ...) ((struct zcio_passed) { .result = ZCIO_PASS_##what, ##__VA_ARGS__ })

bool zcio_udp_ordinary(struct sk_buff *skb)
{
	if (skb_shared(skb) || skb_zcopy(skb))
		return false;
	return skb_is_gso(skb) ? skb_shinfo(skb)->gso_type & SKB_GSO_UDP_L4 :
				 !skb_has_frag_list(skb);
}

/* Is there room in the drain's send buffer? If not, it will be told of. */
static bool has_room(struct zcio_party *drain)
{
	struct sock *sk = drain->sk;

	if (sk_wmem_alloc_get(sk) < READ_ONCE(sk->sk_sndbuf))
		return true;
	WRITE_ONCE(drain->wants_space, true);
	smp_mb(); /* its callback frees first, then looks whether anybody waits */
	if (sk_wmem_alloc_get(sk) >= READ_ONCE(sk->sk_sndbuf))
		return false;
	WRITE_ONCE(drain->wants_space, false);
	return true;
}

/*
 * Order. What goes to a receiver of this machine over loopback or veth waits in a queue of the
 * processor that sent it, its backlog. Who sends the next one on another processor would overtake
 * it, unless it has arrived: receive packet steering counts what was queued there, and what was
 * taken off, for the same reason. (Without it, in no distribution's kernel, there is no order
 * between processors.)
 */
static bool overtakes(const struct zcio_party *drain)
{
#ifdef CONFIG_RPS
	int cpu = drain->last_cpu;

	return cpu >= 0 && cpu != raw_smp_processor_id() &&
	       (s32)(READ_ONCE(per_cpu(softnet_data, cpu).input_queue_head) - drain->last_tail) < 0;
#else
	return false;
#endif
}

/* Something was sent, here. */
static void note_last(struct zcio_party *drain)
{
#ifdef CONFIG_RPS
	local_bh_disable();
	drain->last_cpu = smp_processor_id();
	drain->last_tail = READ_ONCE(this_cpu_ptr(&softnet_data)->input_queue_tail);
	local_bh_enable();
#endif
}

/*
 * Room for other headers, and none of it shared with a clone that a tap got. Returns how many
 * bytes were copied for that, or -ENOMEM.
 */
static int make_room(struct sk_buff *skb, const struct dst_entry *dst, bool v4)
{
	u32 room, have = skb_headroom(skb), linear = skb_headlen(skb);

	rcu_read_lock();
	room = LL_RESERVED_SPACE(dst_dev_rcu(dst)) + dst->header_len +
	       (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct udphdr);
	rcu_read_unlock();
	if (have >= room && !skb_cloned(skb))
		return 0;
	if (pskb_expand_head(skb, room > have ? SKB_DATA_ALIGN(room - have) : 0, 0, GFP_ATOMIC))
		return -ENOMEM;
	return linear;
}

/* Nothing is left of how it came. */
static void strip(struct sk_buff *skb, u32 hops)
{
	skb->dev = NULL; /* UDP has kept notes there */
	skb_orphan(skb);
	skb_scrub_packet(skb, true);
	skb_clear_hash(skb);
	__vlan_hwaccel_clear_tag(skb);
	skb_reset_redirect(skb);
	skb_set_queue_mapping(skb, 0);
#if defined(CONFIG_NET_RX_BUSY_POLL) || defined(CONFIG_XPS)
	skb->sender_cpu = 0;
#endif
	memset(skb->cb, 0, sizeof(skb->cb));
	skb_reset_csum_not_inet(skb);
	skb->ip_summed = CHECKSUM_NONE;
	skb->csum_valid = 0;
	skb->csum_complete_sw = 0;
	skb->csum_level = 0;
	skb->encapsulation = 0;
	skb->encap_hdr_csum = 0;
	skb->dst_pending_confirm = 0;
#ifdef CONFIG_SKB_DECRYPTED
	skb->decrypted = 0;
#endif
	skb_metadata_clear(skb);
	skb_gso_reset(skb);
	*skb_hwtstamps(skb) = (struct skb_shared_hwtstamps) {};
	skb_shinfo(skb)->tx_flags = 0;
	skb_shinfo(skb)->tskey = ZCIO_HOPS_MARK | hops;
}

/* Sends the first datagram that the source has; see splice.h for what can become of it. */
void zcio_udp_pass(struct zcio_party *source, struct zcio_party *drain,
		   const struct zcio_datagram_seen *seen, struct zcio_passed *passed)
{
	struct sock *sk = drain->sk;
	bool v4 = zcio_udp_is_v4(sk);
	struct dst_entry *dst;
	struct sk_buff *skb;
	int copied, err;

	if (overtakes(drain)) {
		*passed = PASSED(BEHIND);
		return;
	}
	if (!has_room(drain)) {
		*passed = PASSED(FULL);
		return;
	}
	dst = seen->unusual ? NULL : zcio_udp_route(sk, v4, seen->len, seen->segment, 0);
	if (!dst) {
		*passed = PASSED(UNUSUAL);
		return;
	}
	skb = zcio_udp_take(source, seen);
	if (!skb) {
		*passed = PASSED(GONE);
		goto out;
	}
	if (!zcio_udp_ordinary(skb)) {
		zcio_udp_queue_first(source->sk, skb);
		*passed = PASSED(UNUSUAL);
		goto out;
	}
	copied = make_room(skb, dst, v4);
	if (copied < 0) {
		zcio_udp_queue_first(source->sk, skb);
		*passed = PASSED(AGAIN);
		goto out;
	}
	if (!zcio_udp_gathers(dst, v4, ZCIO_SEND_SEALED))
		copied += skb->data_len;
	zcio_udp_count(source->sk, skb, UDP_MIB_INDATAGRAMS);
	strip(skb, seen->hops + 1);
	skb_set_owner_w(skb, sk);
	err = zcio_udp_transmit(skb, dst, v4, seen->segment);
	note_last(drain);
	if (err && err != -ENOBUFS)
		*passed = PASSED(FAILED, .error = err);
	else
		*passed = PASSED(MOVED, .copied = copied);
	return;
out:
	dst_release(dst);
}

/* ---- in a task ---- */

/* All of it, in no more pieces than one packet can have if @few, be it by copying. */
static int gather(struct zcio_batch *b, struct sk_buff *skb, bool few)
{
	int n;

	zcio_batch_clear(b);
	n = zcio_batch_add(b, skb, 0, skb->len);
	if (n == -ENOMEM)
		return n;
	if (n == skb->len && !(few && b->count > MAX_SKB_FRAGS))
		return 0;
	zcio_batch_clear(b);
	n = zcio_batch_copy(b, skb, 0, skb->len);
	return n == skb->len ? 0 : n < 0 ? n : -ENOMEM;
}

static int send_batch(struct sock *sk, struct zcio_batch *b)
{
	/* Not in segments, whatever the drain has been set to: it is one datagram. */
	struct {
		struct cmsghdr header;
		u16 segment;
	} control = {
		.header = {
			.cmsg_level = SOL_UDP,
			.cmsg_type = UDP_SEGMENT,
			.cmsg_len = CMSG_LEN(sizeof(control.segment)),
		},
	};
	struct msghdr msg = {
		.msg_flags = MSG_SPLICE_PAGES | MSG_DONTWAIT | MSG_NOSIGNAL |
			     (b->may_change ? 0 : MSG_NO_SHARED_FRAGS),
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	BUILD_BUG_ON(offsetof(typeof(control), segment) != CMSG_LEN(0));
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, b->pieces, b->count, b->bytes);
	return READ_ONCE(sk->sk_prot)->sendmsg(sk, &msg, b->bytes);
}

static u32 count_copied(struct sock *sk, const struct zcio_batch *b)
{
	struct dst_entry *dst = sk_dst_get(sk);
	u32 copied = 0;

	if (dst && !zcio_udp_gathers(dst, zcio_udp_is_v4(sk), ZCIO_SEND_SEALED))
		copied = b->bytes;
	dst_release(dst);
	for (u32 i = 0; !copied && i < b->count; i++)
		copied += b->copied >> i & 1 ? b->pieces[i].bv_len : 0;
	return copied;
}

/*
 * In fragments, what is larger than the buffer has no room even when that is empty, and never
 * will: it is the program's, who made the buffer so small, to be told.
 */
static bool never_fits(const struct sock *sk, const struct zcio_batch *b, bool empty)
{
	return empty && b->bytes > READ_ONCE(sk->sk_sndbuf);
}

/*
 * Sends a datagram that was taken; it stays the caller's. What a program has corked is not
 * to be added to: it is waited for. An error that the drain has to tell as the source of
 * another splice is put aside meanwhile with @keep_error.
 */
void zcio_udp_send_taken(struct zcio_party *drain, struct sk_buff *skb, struct zcio_batch *b,
			 bool keep_error, struct zcio_passed *passed)
{
	struct sock *sk = drain->sk;
	int told = keep_error ? READ_ONCE(sk->sk_err) : 0, err;
	bool empty;

	if (READ_ONCE(udp_sk(sk)->pending) || udp_test_bit(CORK, sk)) {
		*passed = PASSED(AGAIN);
		return;
	}
	if (!has_room(drain)) {
		*passed = PASSED(FULL);
		return;
	}
	empty = !sk_wmem_alloc_get(sk);
	if (told)
		cmpxchg(&sk->sk_err, told, 0);
	err = gather(b, skb, false);
	if (!err) {
		err = send_batch(sk, b);
		/* Pages of many fragments, that go on in one packet. */
		if (err == -EMSGSIZE && b->count > MAX_SKB_FRAGS) {
			err = gather(b, skb, true);
			if (!err)
				err = send_batch(sk, b);
		}
	}
	note_last(drain);
	if (told)
		cmpxchg(&sk->sk_err, 0, told);
	if (err >= 0)
		*passed = PASSED(MOVED, .copied = count_copied(sk, b));
	else if (err == -EAGAIN || err == -ENOMEM || (err == -ENOBUFS && !never_fits(sk, b, empty)))
		*passed = PASSED(AGAIN);
	else
		*passed = PASSED(FAILED, .error = err);
	zcio_batch_clear(b);
}
