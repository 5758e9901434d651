// SPDX-License-Identifier: GPL-2.0
/*
 * Datagrams and frames whose headers are built in the head room of a pool's area: the skb's
 * linear part and its skb_shared_info lie there, the payload's pages are its frags.
 *
 * That page must be out of every page table, and nobody but the pool may hold it: what the
 * kernel writes there are pointers of its own. The skb takes a reference for its head and
 * one for each frag, so the page's count says when all are gone.
 */
#include <linux/bvec.h>
#include <linux/netdevice.h>

#include "frame.h"

u32 zcio_frame_head(void)
{
	return ZCIO_HEADERS + SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
}

/*
 * Waits as sendmsg() does until the send buffer takes one more: the kernel's own function
 * waits, looks for the socket's error and at signals. The buffer it allocates isn't needed.
 */
int zcio_frame_wait(struct sock *sk, bool nonblock)
{
	struct sk_buff *skb;
	int err;

	if (sk_wmem_alloc_get(sk) < READ_ONCE(sk->sk_sndbuf) && !READ_ONCE(sk->sk_err) &&
	    !(READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN))
		return 0;
	skb = sock_alloc_send_skb(sk, 0, nonblock, &err);
	if (!skb)
		return err;
	consume_skb(skb);
	return 0;
}

/* An skb without bytes, whose head lies in the frame's page if it has one. */
static struct sk_buff *empty_skb(struct zcio_frame *frame)
{
	struct sk_buff *skb;

	if (!frame->head)
		return alloc_skb(ZCIO_HEADERS, GFP_KERNEL);
	skb = build_skb(page_address(frame->head) + frame->head_offset, zcio_frame_head());
	if (skb) {
		get_page(frame->head);
		frame->begun = true;
	}
	return skb;
}

/* Do pages reach the device without a copy? What may change is copied to be summed up. */
bool zcio_frame_gathers(const struct net_device *dev, bool v4, u32 how)
{
	netdev_features_t sums = NETIF_F_HW_CSUM | (v4 ? NETIF_F_IP_CSUM : NETIF_F_IPV6_CSUM);

	return (dev->features & NETIF_F_SG) &&
	       ((how & ZCIO_SEND_SEALED) || (dev->features & sums));
}

/*
 * The skb of a frame: @room bytes for headers to be pushed, then the first @linear bytes of
 * the payload, copied. The others are frags. NULL if there is no memory.
 */
struct sk_buff *zcio_frame_skb(struct sock *sk, struct zcio_frame *frame, u32 room, u32 linear,
			       u32 how)
{
	struct sk_buff *skb = empty_skb(frame);
	u32 copied = 0;
	int frags = 0;

	if (!skb)
		return NULL;
	if (!(how & ZCIO_SEND_SEALED))
		skb_shinfo(skb)->flags |= SKBFL_SHARED_FRAG;
	skb_reserve(skb, room);
	for (u32 i = 0; i < frame->count; i++) {
		const struct bio_vec *piece = &frame->pieces[i];
		u32 copy = min(linear - copied, piece->bv_len);
		u32 rest = piece->bv_len - copy;

		if (copy) {
			memcpy_from_page(skb_put(skb, copy), piece->bv_page,
					 piece->bv_offset, copy);
			copied += copy;
		}
		if (rest) {
			get_page(piece->bv_page);
			skb_fill_page_desc(skb, frags++, piece->bv_page, piece->bv_offset + copy,
					   rest);
			skb->len += rest;
			skb->data_len += rest;
			skb->truesize += PAGE_SIZE;
		}
	}
	frame->linear = copied;
	skb_set_owner_w(skb, sk);
	return skb;
}

/*
 * What sendmsg() would object to, security modules above all, without sending anything.
 * -ENOTCONN for a socket that has nowhere to send to.
 */
int zcio_frame_may_send(struct socket *sock)
{
	return sock->sk->sk_family == AF_PACKET ? zcio_packet_may_send(sock) :
						  zcio_udp_may_send(sock);
}

/*
 * Sends one datagram, or frame; what is left to say of it stands in @frame afterwards.
 * @how is ZCIO_SEND_*.
 */
int zcio_frame_send(struct socket *sock, struct zcio_frame *frame, u16 segment, u32 how)
{
	frame->linear = 0;
	frame->begun = false;
	frame->gathers = true;
	return sock->sk->sk_family == AF_PACKET ? zcio_packet_send(sock, frame, how) :
						  zcio_udp_send(sock, frame, segment, how);
}
