// SPDX-License-Identifier: GPL-2.0
/*
 * Sending UDP. A datagram goes one of two ways, and its payload is copied on neither:
 *
 * - As a rule its headers are built here, in the area's head room, as udp_sendmsg() would.
 * - Whatever is unusual is left to the socket's own sendmsg(), which takes pages as well
 *   (MSG_SPLICE_PAGES) and builds the headers in memory of its own: see zcio_udp_route().
 */
#include <linux/bvec.h>
#include <linux/net.h>
#include <linux/net_tstamp.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/udp.h>

#include "frame.h"

/* By the address it is connected to: a socket of version 6 can have one of version 4. */
bool zcio_udp_is_v4(const struct sock *sk)
{
	return sk->sk_family == AF_INET || ipv6_addr_v4mapped(&sk->sk_v6_daddr);
}

/*
 * MSG_PROBE: all the way through the security modules' hooks and the look for a route, which
 * the socket keeps for the datagrams that follow; but nothing is sent. Were there something
 * pending, MSG_MORE would let it stay so.
 */
int zcio_udp_may_send(struct socket *sock)
{
	struct msghdr msg = { .msg_flags = MSG_PROBE | MSG_MORE | MSG_DONTWAIT };
	int err;

	if (READ_ONCE(sock->sk->sk_state) != TCP_ESTABLISHED)
		return -ENOTCONN;
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, NULL, 0, 0);
	err = sock_sendmsg(sock, &msg);
	return err > 0 ? 0 : err;
}

/* The way of an ordinary datagram: what is sent now, alone, with nothing but a UDP header. */
static bool ordinary(const struct sock *sk, bool v4, u32 how)
{
	const struct inet_sock *inet = inet_sk(sk);

	/* Joined with other calls' bytes into one datagram. */
	if ((how & ZCIO_SEND_MORE) || READ_ONCE(udp_sk(sk)->pending) || udp_test_bit(CORK, sk))
		return false;
	/* Somebody wants to know when it left. */
	if ((READ_ONCE(sk->sk_tsflags) & SOF_TIMESTAMPING_TX_RECORD_MASK) ||
	    sock_flag(sk, SOCK_WIFI_STATUS))
		return false;
	/* Has a route of its own each time. */
	if (sock_flag(sk, SOCK_LOCALROUTE))
		return false;
	/* IP options, extension headers; IPV6_V6ONLY forbids an address of version 4. */
	if (rcu_access_pointer(inet->inet_opt))
		return false;
	if (sk->sk_family == AF_INET6)
		return v4 ? !ipv6_only_sock(sk) : !rcu_access_pointer(inet6_sk(sk)->opt) &&
						  !ipv6_addr_is_multicast(&sk->sk_v6_daddr);
	return true;
}

/* A route does not keep its device: it may be another one by now. */
static u32 device_mtu(const struct dst_entry *dst)
{
	u32 mtu;

	rcu_read_lock();
	mtu = READ_ONCE(dst_dev_rcu(dst)->mtu);
	rcu_read_unlock();
	return mtu;
}

bool zcio_udp_gathers(const struct dst_entry *dst, bool v4, u32 how)
{
	bool does;

	rcu_read_lock();
	does = zcio_frame_gathers(dst_dev_rcu(dst), v4, how);
	rcu_read_unlock();
	return does;
}

static u32 path_mtu(const struct sock *sk, const struct dst_entry *dst, bool v4)
{
	u32 mtu, frag_size;

	if (v4) {
		mtu = ip_sk_use_pmtu(sk) ? dst_mtu(dst) : device_mtu(dst);
		return min_t(u32, mtu, IP_MAX_MTU);
	}
	mtu = READ_ONCE(inet6_sk(sk)->pmtudisc) >= IPV6_PMTUDISC_PROBE ?
		device_mtu(dst) : dst_mtu(dst);
	frag_size = READ_ONCE(inet6_sk(sk)->frag_size);
	if (frag_size && frag_size < mtu)
		mtu = frag_size;
	return min_t(u32, mtu, IP6_MAX_MTU);
}

static bool without_checksum(const struct sock *sk, bool v4)
{
	return v4 ? sk->sk_no_check_tx : udp_get_no_check6_tx(sk);
}

static u32 headers(bool v4)
{
	return (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct udphdr);
}

/* One packet, or datagrams that are cut by the device: nothing that IP has to fragment. */
static bool fits(const struct sock *sk, const struct dst_entry *dst, bool v4, u32 len,
		 u32 segment)
{
	u32 mtu = path_mtu(sk, dst, v4), most = v4 ? IP_MAX_MTU : IP6_MAX_MTU;

	if (!segment)
		return headers(v4) + len <= mtu;
	return !without_checksum(sk, v4) &&
	       headers(v4) + min(len, segment) <= mtu &&
	       headers(v4) + len <= most && len <= segment * UDP_MAX_SEGMENTS;
}

/*
 * The socket's route, if the datagram's headers can be built here. NULL leaves it to the
 * socket: it is unusual, or there is no route at hand, or it has to be fragmented (sendmsg()
 * makes fragments by reference, which ip_fragment() would copy), or is too large and the
 * like, where sendmsg() knows best what to say.
 */
struct dst_entry *zcio_udp_route(struct sock *sk, bool v4, u32 len, u32 segment, u32 how)
{
	struct dst_entry *dst;

	if (!ordinary(sk, v4, how))
		return NULL;
	dst = sk_dst_check(sk, v4 ? 0 : inet6_sk(sk)->dst_cookie);
	if (!dst)
		return NULL;
	if (dst->ops->family == (v4 ? AF_INET : AF_INET6) && !dst_xfrm(dst) &&
	    (!v4 || dst_rtable(dst)->rt_type == RTN_UNICAST ||
	     dst_rtable(dst)->rt_type == RTN_LOCAL) &&
	    fits(sk, dst, v4, len, segment))
		return dst;
	dst_release(dst);
	return NULL;
}

/* The UDP header, with the checksum left to the device, or to the stack before it. */
static void push_udp(struct sk_buff *skb, bool v4, u32 segment)
{
	const struct sock *sk = skb->sk;
	u32 payload = skb->len, len;
	struct udphdr *uh = skb_push(skb, sizeof(*uh));

	skb_reset_transport_header(skb);
	len = skb->len;
	*uh = (struct udphdr) {
		.source = inet_sk(sk)->inet_sport,
		.dest = inet_sk(sk)->inet_dport,
		.len = htons(len),
	};
	if (without_checksum(sk, v4))
		return;
	if (segment && payload > segment) {
		skb_shinfo(skb)->gso_size = segment;
		skb_shinfo(skb)->gso_type = SKB_GSO_UDP_L4;
		skb_shinfo(skb)->gso_segs = DIV_ROUND_UP(payload, segment);
	}
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct udphdr, check);
	uh->check = v4 ?
		~udp_v4_check(len, inet_sk(sk)->inet_saddr, inet_sk(sk)->inet_daddr, 0) :
		~udp_v6_check(len, &inet6_sk(sk)->saddr, &sk->sk_v6_daddr, 0);
}

/* As __ip_make_skb(). */
static void push_ipv4(struct sk_buff *skb, const struct dst_entry *dst)
{
	struct sock *sk = skb->sk;
	const struct inet_sock *inet = inet_sk(sk);
	struct iphdr *iph = skb_push(skb, sizeof(*iph));
	u8 pmtudisc = READ_ONCE(inet->pmtudisc);
	int ttl = READ_ONCE(inet->uc_ttl);

	skb_reset_network_header(skb);
	skb->ignore_df = ip_sk_ignore_df(sk);
	*iph = (struct iphdr) {
		.version = 4,
		.ihl = 5,
		.tos = READ_ONCE(inet->tos),
		.ttl = ttl < 0 ? ip4_dst_hoplimit(dst) : ttl,
		.protocol = IPPROTO_UDP,
		.saddr = inet->inet_saddr,
		.daddr = inet->inet_daddr,
	};
	if (pmtudisc == IP_PMTUDISC_DO || pmtudisc == IP_PMTUDISC_PROBE ||
	    (skb->len <= dst_mtu(dst) && ip_dont_fragment(sk, dst)))
		iph->frag_off = htons(IP_DF);
	ip_select_ident(sock_net(sk), skb, sk);
}

static int out_ipv4(struct sk_buff *skb)
{
	struct net *net = sock_net(skb->sk);
	int err = ip_local_out(net, skb->sk, skb);

	if (err > 0)
		err = net_xmit_errno(err);
	if (err)
		IP_INC_STATS(net, IPSTATS_MIB_OUTDISCARDS);
	return err;
}

#if IS_ENABLED(CONFIG_IPV6)
/* As __ip6_make_skb(). */
static void push_ipv6(struct sk_buff *skb, struct dst_entry *dst)
{
	struct sock *sk = skb->sk;
	struct net *net = sock_net(sk);
	struct ipv6_pinfo *np = inet6_sk(sk);
	u32 tclass = READ_ONCE(np->tclass);
	struct flowi6 fl6 = {
		.flowi6_proto = IPPROTO_UDP,
		.saddr = np->saddr,
		.daddr = sk->sk_v6_daddr,
		.fl6_sport = inet_sk(sk)->inet_sport,
		.fl6_dport = inet_sk(sk)->inet_dport,
		.flowlabel = ip6_make_flowinfo(tclass, np->flow_label),
	};
	bool automatic = inet6_test_bit(AUTOFLOWLABEL_SET, sk) ?
		inet6_test_bit(AUTOFLOWLABEL, sk) : ip6_default_np_autolabel(net);
	struct ipv6hdr *hdr = skb_push(skb, sizeof(*hdr));

	skb_reset_network_header(skb);
	skb->ignore_df = ip6_sk_ignore_df(sk);
	skb->protocol = htons(ETH_P_IPV6);
	ip6_flow_hdr(hdr, tclass, ip6_make_flowlabel(net, skb, fl6.flowlabel, automatic, &fl6));
	hdr->hop_limit = ip6_sk_dst_hoplimit(np, &fl6, dst);
	hdr->nexthdr = IPPROTO_UDP;
	hdr->saddr = fl6.saddr;
	hdr->daddr = fl6.daddr;
	IP6_INC_STATS(net, dst_rt6_info(dst)->rt6i_idev, IPSTATS_MIB_OUTREQUESTS);
}

static int out_ipv6(struct sk_buff *skb)
{
	struct net *net = sock_net(skb->sk);
	struct rt6_info *rt = dst_rt6_info(skb_dst(skb));
	int err;

	rcu_read_lock();
	err = ip6_local_out(net, skb->sk, skb);
	if (err > 0)
		err = net_xmit_errno(err);
	if (err)
		IP6_INC_STATS(net, rt->rt6i_idev, IPSTATS_MIB_OUTDISCARDS);
	rcu_read_unlock();
	return err;
}
#else
static void push_ipv6(struct sk_buff *skb, struct dst_entry *dst)
{
}

static int out_ipv6(struct sk_buff *skb)
{
	kfree_skb(skb);
	return -EAFNOSUPPORT;
}
#endif

/*
 * Sends what is @skb's so far as one datagram, or as segments of it: its headers go into the
 * head room. Takes over the skb, whose owner is the socket, and the reference to @dst.
 */
int zcio_udp_transmit(struct sk_buff *skb, struct dst_entry *dst, bool v4, u32 segment)
{
	struct sock *sk = skb->sk;
	bool recverr;
	int err;

	skb_dst_set(skb, dst);
	skb->priority = READ_ONCE(sk->sk_priority);
	skb->mark = READ_ONCE(sk->sk_mark);
	push_udp(skb, v4, segment);
	if (v4)
		push_ipv4(skb, dst);
	else
		push_ipv6(skb, dst);
	err = v4 ? out_ipv4(skb) : out_ipv6(skb);
	if (!err) {
		SNMP_INC_STATS(__UDPX_MIB(sk, v4), UDP_MIB_OUTDATAGRAMS);
		return 0;
	}
	if (err != -ENOBUFS)
		return err;
	/* A full queue is no error to who did not ask to be told. */
	recverr = v4 ? inet_test_bit(RECVERR, sk) : inet6_test_bit(RECVERR6, sk);
	SNMP_INC_STATS(__UDPX_MIB(sk, v4), UDP_MIB_SNDBUFERRORS);
	return recverr ? err : 0;
}

/* Here: the headers in the head room. Takes over the caller's reference to @dst. */
static int send_own(struct socket *sock, struct zcio_frame *frame, struct dst_entry *dst, bool v4,
		    u32 segment, u32 how)
{
	struct sock *sk = sock->sk;
	struct sk_buff *skb;
	int err;

	err = zcio_frame_wait(sk, how & ZCIO_SEND_DONTWAIT);
	if (!err) {
		skb = zcio_frame_skb(sk, frame, ZCIO_HEADERS, 0, how);
		if (skb)
			return zcio_udp_transmit(skb, dst, v4, segment);
		err = -ENOBUFS;
	}
	dst_release(dst);
	if (err == -ENOBUFS || test_bit(SOCK_NOSPACE, &sock->flags))
		SNMP_INC_STATS(__UDPX_MIB(sk, v4), UDP_MIB_SNDBUFERRORS);
	return err;
}

/* As the socket does it, with headers elsewhere. */
static int send_general(struct socket *sock, struct zcio_frame *frame, u16 segment, u32 how)
{
	struct {
		struct cmsghdr header;
		u16 segment;
	} control = {
		.header = {
			.cmsg_level = SOL_UDP,
			.cmsg_type = UDP_SEGMENT,
			.cmsg_len = CMSG_LEN(sizeof(segment)),
		},
		.segment = segment,
	};
	struct msghdr msg = {
		.msg_flags = MSG_SPLICE_PAGES | MSG_NOSIGNAL |
			     (how & ZCIO_SEND_SEALED ? MSG_NO_SHARED_FRAGS : 0) |
			     (how & ZCIO_SEND_DONTWAIT ? MSG_DONTWAIT : 0) |
			     (how & ZCIO_SEND_MORE ? MSG_MORE : 0),
	};
	struct dst_entry *dst;
	int err;

	BUILD_BUG_ON(offsetof(typeof(control), segment) != CMSG_LEN(0));
	if (segment) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, frame->pieces, frame->count, frame->len);
	err = sock_sendmsg(sock, &msg);
	/* Without a device that gathers the stack copied. */
	dst = sk_dst_get(sock->sk);
	frame->gathers = !dst || zcio_udp_gathers(dst, zcio_udp_is_v4(sock->sk), how);
	dst_release(dst);
	return err < 0 ? err : 0;
}

int zcio_udp_send(struct socket *sock, struct zcio_frame *frame, u16 segment, u32 how)
{
	struct sock *sk = sock->sk;
	u32 size = segment ?: READ_ONCE(udp_sk(sk)->gso_size);
	bool v4 = zcio_udp_is_v4(sk);
	struct dst_entry *dst;

	if (READ_ONCE(sk->sk_state) != TCP_ESTABLISHED)
		return -ENOTCONN;
	dst = frame->count <= MAX_SKB_FRAGS ? zcio_udp_route(sk, v4, frame->len, size, how) : NULL;
	if (!dst)
		return send_general(sock, frame, segment, how);
	frame->gathers = zcio_udp_gathers(dst, v4, how);
	return send_own(sock, frame, dst, v4, size, how);
}
