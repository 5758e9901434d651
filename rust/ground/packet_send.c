// SPDX-License-Identifier: GPL-2.0
/*
 * Sending frames of AF_PACKET as packet_snd() does: to the device that the socket is bound
 * to. Of a raw frame the link header is copied, as it has to lie in the skb's linear part.
 */
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <linux/if_vlan.h>
#include <linux/ipv6.h>
#include <linux/net.h>
#include <linux/netdevice.h>

#include "frame.h"

/*
 * A name that is too short: the socket refuses it (EINVAL) before it does anything, which
 * comes after the security modules' hooks.
 */
int zcio_packet_may_send(struct socket *sock)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET };
	struct msghdr msg = {
		.msg_flags = MSG_DONTWAIT,
		.msg_name = &name,
		.msg_namelen = sizeof(name.sll_family),
	};
	struct sockaddr_storage bound = {};
	int err;

	/* Past the queues and filters: not by this way. */
	if (zcio_packet_option(sock, PACKET_QDISC_BYPASS))
		return -EOPNOTSUPP;
	err = READ_ONCE(sock->ops)->getname(sock, (struct sockaddr *)&bound, 0);
	if (err < 0)
		return err;
	if (!((struct sockaddr_ll *)&bound)->sll_ifindex)
		return -ENOTCONN;
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, NULL, 0, 0);
	err = sock_sendmsg(sock, &msg);
	return err == -EINVAL || err > 0 ? 0 : err;
}

/* As packet_parse_headers(). */
static void parse_headers(struct sk_buff *skb, struct socket *sock)
{
	int depth;

	skb_reset_mac_header(skb);
	if (!skb->protocol && sock->type == SOCK_RAW)
		skb->protocol = dev_parse_header_protocol(skb);
	skb_probe_transport_header(skb);
	if (skb->dev->type == ARPHRD_ETHER && eth_type_vlan(skb->protocol) &&
	    vlan_get_protocol_and_depth(skb, skb->protocol, &depth))
		skb_set_network_header(skb, depth);
}

/* Longer than the device's MTU: only with a VLAN tag. */
static bool longer_allowed(const struct net_device *dev, struct sk_buff *skb)
{
	if (dev->type != ARPHRD_ETHER)
		return false;
	skb_reset_mac_header(skb);
	return eth_hdr(skb)->h_proto == htons(ETH_P_8021Q);
}

/* The link header: written here (SOCK_DGRAM), or the frame's own, which is looked at. */
static int link_header(struct socket *sock, struct sk_buff *skb, __be16 protocol, u32 len, u32 most)
{
	struct net_device *dev = skb->dev;
	int pushed;

	if (sock->type == SOCK_DGRAM) {
		pushed = dev_hard_header(skb, dev, ntohs(protocol), NULL, NULL, len);
		/* The call names no address: only devices that need none can be sent to. */
		if (pushed < 0)
			return -EDESTADDRREQ;
	} else if (!dev_validate_header(dev, skb->data, len)) {
		return -EINVAL;
	}
	if (!skb->len)
		return -EINVAL;
	return len > most && !longer_allowed(dev, skb) ? -EMSGSIZE : 0;
}

static int send_to(struct socket *sock, struct net_device *dev, __be16 protocol,
		   struct zcio_frame *frame, u32 how)
{
	u32 header = READ_ONCE(dev->hard_header_len), room = LL_RESERVED_SPACE(dev);
	bool raw = sock->type == SOCK_RAW;
	struct sock *sk = sock->sk;
	struct sockcm_cookie cookie;
	u32 extra = 0, most, most_pieces;
	struct sk_buff *skb;
	int err;

	if (!(dev->flags & IFF_UP))
		return -ENETDOWN;
	if (sock_flag(sk, SOCK_NOFCS)) {
		if (!netif_supports_nofcs(dev))
			return -EPROTONOSUPPORT;
		extra = 4;
	}
	most = READ_ONCE(dev->mtu) + (raw ? header : 0) + extra;
	if (frame->len > most + VLAN_HLEN)
		return -EMSGSIZE;
	if (header > ZCIO_HEADERS)
		return -EOPNOTSUPP;
	/* The link header may have a piece of its own, which becomes no frag. */
	most_pieces = MAX_SKB_FRAGS;
	if (raw && frame->count && frame->pieces[0].bv_len <= header)
		most_pieces++;
	if (frame->count > most_pieces)
		return -EMSGSIZE;
	/* Room that a driver would like beyond this it makes by itself. */
	room = clamp_t(u32, room, header, ZCIO_HEADERS);

	err = zcio_frame_wait(sk, how & ZCIO_SEND_DONTWAIT);
	if (err)
		return err;
	skb = zcio_frame_skb(sk, frame, raw ? room - header : room,
			     raw ? min(frame->len, header) : 0, how);
	if (!skb)
		return -ENOBUFS;
	skb->dev = dev;
	/* Where the network header is, or, in a frame with no room for one, begins. */
	skb_set_network_header(skb, raw && !(frame->len < header + sizeof(struct ipv6hdr) &&
					     dev->min_header_len != header) ? header : 0);
	err = link_header(sock, skb, protocol, frame->len, most);
	if (err) {
		kfree_skb(skb);
		return err;
	}
	sockcm_init(&cookie, sk);
	skb_setup_tx_timestamp(skb, &cookie);
	if (protocol != htons(ETH_P_ALL))
		skb->protocol = protocol;
	skb->priority = cookie.priority;
	skb->mark = cookie.mark;
	skb->no_fcs = extra > 0;
	parse_headers(skb, sock);
	err = dev_queue_xmit(skb);
	return err > 0 ? net_xmit_errno(err) : err;
}

int zcio_packet_send(struct socket *sock, struct zcio_frame *frame, u32 how)
{
	struct sockaddr_storage name = {};
	struct sockaddr_ll *bound = (struct sockaddr_ll *)&name;
	struct net_device *dev;
	int err;

	err = READ_ONCE(sock->ops)->getname(sock, (struct sockaddr *)&name, 0);
	if (err < 0)
		return err;
	dev = dev_get_by_index(sock_net(sock->sk), bound->sll_ifindex);
	if (!dev)
		return -ENXIO;
	frame->gathers = dev->features & NETIF_F_SG;
	err = send_to(sock, dev, bound->sll_protocol, frame, how);
	dev_put(dev);
	return err;
}
