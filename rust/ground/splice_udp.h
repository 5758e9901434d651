/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files that move datagrams share.
 */
#ifndef ZCIO_SPLICE_UDP_H
#define ZCIO_SPLICE_UDP_H

#include <linux/types.h>

struct sk_buff;
struct sock;

/*
 * A datagram that goes round in circles on this machine is the same skb each time, as OpenBSD's
 * is the same mbuf. How often it was moved stands in a field of skb_shared_info that has a
 * meaning only if the sender wants to be told when it left (SKBTX_*), and that is 0 in what a
 * driver hands up. Wires do not carry it.
 */
#define ZCIO_HOPS	0xffffU
#define ZCIO_HOPS_MARK	0x5a430000U

u32 zcio_udp_hops(const struct sk_buff *skb);

/* Can it be sent as it is? Not if others have it, too, or it would be made one piece first. */
bool zcio_udp_ordinary(struct sk_buff *skb);

#endif
