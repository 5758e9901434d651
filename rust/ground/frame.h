/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of datagrams and frames share; the Rust side knows shim.h only.
 */
#ifndef ZCIO_FRAME_H
#define ZCIO_FRAME_H

#include <linux/skbuff.h>
#include <net/sock.h>

#include "shim.h"

/* Room for headers in a head: of the devices, of tunnels, IPv6 and UDP. */
#define ZCIO_HEADERS	SKB_DATA_ALIGN(MAX_HEADER + 40 + 8)

int zcio_frame_wait(struct sock *sk, bool nonblock);
struct sk_buff *zcio_frame_skb(struct sock *sk, struct zcio_frame *frame, u32 room, u32 linear,
			       u32 how);
bool zcio_frame_gathers(const struct net_device *dev, bool v4, u32 how);

/* datagram.c */
void zcio_udp_count(struct sock *sk, struct sk_buff *skb, int what);
bool zcio_udp_intact(struct sk_buff *skb);
void zcio_udp_queue_first(struct sock *sk, struct sk_buff *skb);

/* udp_send.c */
bool zcio_udp_is_v4(const struct sock *sk);
struct dst_entry *zcio_udp_route(struct sock *sk, bool v4, u32 len, u32 segment, u32 how);
bool zcio_udp_gathers(const struct dst_entry *dst, bool v4, u32 how);
int zcio_udp_transmit(struct sk_buff *skb, struct dst_entry *dst, bool v4, u32 segment);

bool zcio_packet_option(struct socket *sock, int name);

int zcio_udp_send(struct socket *sock, struct zcio_frame *frame, u16 segment, u32 how);
int zcio_packet_send(struct socket *sock, struct zcio_frame *frame, u32 how);
int zcio_udp_may_send(struct socket *sock);
int zcio_packet_may_send(struct socket *sock);

#endif
