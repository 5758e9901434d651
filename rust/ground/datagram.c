// SPDX-License-Identifier: GPL-2.0
/*
 * Sockets that keep boundaries: UDP and AF_PACKET. A datagram is taken off the queue
 * as recvmsg() does it; one that could not be delivered is put back where it was.
 */
#include <linux/if_packet.h>
#include <linux/if_vlan.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/skmsg.h>
#include <net/ipv6.h>
#include <net/sock.h>
#include <net/udp.h>

#include "frame.h"
#include "splice.h"

/* UDP with a BPF sockmap behind it is not ours: data is taken from it elsewhere. */
bool zcio_socket_is_udp(struct socket *sock)
{
	struct sock *sk = sock->sk;
	bool bpf;

	if (!sk || !sk_is_udp(sk))
		return false;
	rcu_read_lock();
	bpf = sk_psock(sk);
	rcu_read_unlock();
	return !bpf;
}

/* Is an option of AF_PACKET set, or may be: only af_packet.c knows the fields. */
bool zcio_packet_option(struct socket *sock, int name)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);
	int on = 0;
	struct kvec to = { &on, sizeof(on) };
	sockopt_t opt = { .optlen = sizeof(on) };

	iov_iter_kvec(&opt.iter_in, ITER_SOURCE, &to, 1, sizeof(on));
	iov_iter_kvec(&opt.iter_out, ITER_DEST, &to, 1, sizeof(on));
	return !ops->getsockopt_iter || ops->getsockopt_iter(sock, SOL_PACKET, name, &opt) || on;
}

/* With PACKET_VNET_HDR what is sent and received has virtio's header before each frame. */
bool zcio_socket_is_packet(struct socket *sock)
{
	return sock->sk && sock->sk->sk_family == AF_PACKET &&
	       (sock->type == SOCK_RAW || sock->type == SOCK_DGRAM) &&
	       !zcio_packet_option(sock, PACKET_VNET_HDR);
}

/* The same counter as recvmsg(): by the datagram's version, not the socket's. */
void zcio_udp_count(struct sock *sk, struct sk_buff *skb, int what)
{
	SNMP_INC_STATS(__UDPX_MIB(sk, skb->protocol == htons(ETH_P_IP)), what);
}

/*
 * Is its checksum right? Having been summed up it must not be again: the pseudo header's
 * part is gone from skb->csum, and a datagram that was put back would look damaged.
 */
bool zcio_udp_intact(struct sk_buff *skb)
{
	if (udp_skb_csum_unnecessary(skb))
		return true;
	if (__udp_lib_checksum_complete(skb))
		return false;
#if BITS_PER_LONG == 64
	if (!skb_shared(skb))
		udp_skb_scratch(skb)->csum_unnecessary = true;
#endif
	return true;
}

/*
 * Takes the next datagram, waiting for it as recvmsg() does unless @nonblock. NULL with
 * *@err == 0 after a shutdown.
 */
static struct sk_buff *take(struct socket *sock, bool nonblock, int *err)
{
	struct sock *sk = sock->sk;
	int flags = nonblock ? MSG_DONTWAIT : 0;
	struct sk_buff *skb;
	int offset = 0;

	if (sk->sk_family == AF_PACKET)
		return skb_recv_datagram(sk, flags, err);

	while ((skb = __skb_recv_udp(sk, flags, &offset, err))) {
		if (zcio_udp_intact(skb))
			return skb;
		zcio_udp_count(sk, skb, UDP_MIB_CSUMERRORS);
		zcio_udp_count(sk, skb, UDP_MIB_INERRORS);
		kfree_skb_reason(skb, SKB_DROP_REASON_UDP_CSUM);
		cond_resched();
	}
	return NULL;
}

/*
 * With @more, for one after the first: an error is not the call's then, and the socket
 * keeps it for the next one.
 */
struct sk_buff *zcio_datagram_take(struct socket *sock, bool nonblock, bool more, int *err)
{
	struct sk_buff *skb = NULL;

	/* A source of a splice is not read from. */
	*err = zcio_splice_wait(sock->sk, nonblock || more);
	if (!*err)
		skb = take(sock, nonblock || more, err);
	if (!skb && more && *err && *err != -EAGAIN)
		cmpxchg(&sock->sk->sk_err, 0, -*err);
	return skb;
}

/*
 * Puts a datagram back in front of the others. UDP has given back what it was charged
 * to the socket; it must be charged again, or it would be given back twice.
 */
void zcio_udp_queue_first(struct sock *sk, struct sk_buff *skb)
{
	struct sk_buff_head *queue = &udp_sk(sk)->reader_queue;
	int size = skb->truesize;
	bool charged = true;

	spin_lock_bh(&queue->lock);
	spin_lock(&sk->sk_receive_queue.lock);
	if (size > sk->sk_forward_alloc)
		charged = __sk_mem_schedule(sk, size - sk->sk_forward_alloc, SK_MEM_RECV);
	if (charged) {
		sk_forward_alloc_add(sk, -size);
		atomic_add(size, &sk->sk_rmem_alloc);
		__skb_queue_head(queue, skb);
		/* A reader that is about to sleep looks at this queue alone. */
		skb_queue_splice_init(queue, &sk->sk_receive_queue);
	}
	spin_unlock(&sk->sk_receive_queue.lock);
	spin_unlock_bh(&queue->lock);
	if (!charged) {
		/* No memory for sockets at all: what the stack does then. */
		sk_drops_inc(sk);
		kfree_skb_reason(skb, SKB_DROP_REASON_PROTO_MEM);
	}
}

void zcio_datagram_put_back(struct socket *sock, struct sk_buff *skb)
{
	struct sock *sk = sock->sk;

	if (sk->sk_family == AF_PACKET)
		skb_queue_head(&sk->sk_receive_queue, skb);
	else
		zcio_udp_queue_first(sk, skb);
	sk->sk_data_ready(sk);
}

/*
 * Pages of @skb are shown. What a tap gets is a clone, and the stack goes on with the same
 * bytes: esp_input() decrypts in place what is neither cloned any more nor marked like this.
 */
void zcio_datagram_shown(struct socket *sock, struct sk_buff *skb)
{
	struct sk_buff *child;

	if (sock->sk->sk_family != AF_PACKET || !skb_cloned(skb))
		return;
	skb_shinfo(skb)->flags |= SKBFL_SHARED_FRAG;
	skb_walk_frags(skb, child)
		skb_shinfo(child)->flags |= SKBFL_SHARED_FRAG;
}

/* The datagram was delivered. */
void zcio_datagram_consume(struct socket *sock, struct sk_buff *skb)
{
	struct sock *sk = sock->sk;

	if (sk->sk_family != AF_PACKET) {
		zcio_udp_count(sk, skb, UDP_MIB_INDATAGRAMS);
		sk_peek_offset_bwd(sk, skb->len);
	}
	consume_skb(skb);
}

/* The start of its bytes; false for device memory, which the CPU cannot read. */
bool zcio_datagram_start(struct sk_buff *skb, struct zcio_cursor *cur)
{
	*cur = (struct zcio_cursor) { .head = skb, .left = skb->len };
	return skb_frags_readable(skb);
}

static void packet_name(struct sk_buff *skb, struct zcio_datagram *to)
{
	struct sockaddr_ll *name = (struct sockaddr_ll *)to->name;

	/* As af_packet.c leaves it: the first two fields hold the original length. */
	memcpy(name, skb->cb, sizeof(*name));
	name->sll_family = AF_PACKET;
	name->sll_protocol = skb->protocol;
	/* Behind the address nothing was written: somebody else's bytes. */
	if (name->sll_halen < sizeof(name->sll_addr))
		memset(name->sll_addr + name->sll_halen, 0,
		       sizeof(name->sll_addr) - name->sll_halen);
	to->name_len = sizeof(*name);
}

/*
 * A VLAN tag that no device took out, before the bytes of a SOCK_DGRAM socket: it is told
 * instead of one that was, and the protocol is the one behind it.
 */
static void packet_inner_vlan(struct sk_buff *skb, struct zcio_datagram *to)
{
	struct sockaddr_ll *name = (struct sockaddr_ll *)to->name;
	int offset = skb_mac_offset(skb) + ETH_HLEN;
	__be16 protocol = skb->protocol;
	const struct vlan_hdr *tag;
	struct vlan_hdr buf;

	while (eth_type_vlan(protocol)) {
		tag = skb_header_pointer(skb, offset, sizeof(buf), &buf);
		if (!tag)
			return;
		if (!to->vlan_tpid) {
			to->vlan_tci = ntohs(tag->h_vlan_TCI);
			to->vlan_tpid = ntohs(protocol);
		}
		offset += sizeof(buf);
		protocol = tag->h_vlan_encapsulated_proto;
	}
	name->sll_protocol = protocol;
}

static void udp_name(struct socket *sock, struct sk_buff *skb, struct zcio_datagram *to)
{
	if (sock->sk->sk_family == AF_INET) {
		struct sockaddr_in *name = (struct sockaddr_in *)to->name;

		name->sin_family = AF_INET;
		name->sin_port = udp_hdr(skb)->source;
		name->sin_addr.s_addr = ip_hdr(skb)->saddr;
		to->name_len = sizeof(*name);
	} else {
		struct sockaddr_in6 *name = (struct sockaddr_in6 *)to->name;

		name->sin6_family = AF_INET6;
		name->sin6_port = udp_hdr(skb)->source;
		if (skb->protocol == htons(ETH_P_IP)) {
			ipv6_addr_set_v4mapped(ip_hdr(skb)->saddr, &name->sin6_addr);
		} else {
			name->sin6_addr = ipv6_hdr(skb)->saddr;
			name->sin6_scope_id = ipv6_iface_scope_id(&name->sin6_addr,
								  inet6_iif(skb));
		}
		to->name_len = sizeof(*name);
	}
	if (skb_shinfo(skb)->gso_type & SKB_GSO_UDP_L4)
		to->segment = skb_shinfo(skb)->gso_size;
}

/* What recvmsg() would tell beside the bytes. */
void zcio_datagram_describe(struct socket *sock, struct sk_buff *skb,
			    struct zcio_datagram *to)
{
	*to = (struct zcio_datagram) { .len = skb->len };
	if (sock_flag(sock->sk, SOCK_RCVTSTAMP)) {
		if (!skb->tstamp)
			__net_timestamp(skb);
		to->timestamp = ktime_to_ns(skb->tstamp);
	}
	if (sock->sk->sk_family != AF_PACKET) {
		udp_name(sock, skb, to);
		return;
	}
	packet_name(skb, to);
	if (skb_is_gso(skb))
		to->segment = skb_shinfo(skb)->gso_size;
	if (skb_vlan_tag_present(skb)) {
		to->vlan_tci = skb_vlan_tag_get(skb);
		to->vlan_tpid = ntohs(skb->vlan_proto);
	}
	if (sock->type == SOCK_DGRAM)
		packet_inner_vlan(skb, to);
}
