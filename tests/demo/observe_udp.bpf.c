// SPDX-License-Identifier: GPL-2.0
/*
 * The same of datagrams: in which physical pages their payloads lie when a driver hands them to
 * the network stack, and when a device is given them to send. A payload begins with eight bytes
 * that say where in a stream it belongs. Bytes beside the headers are noted, too.
 */
#include "observe.bpf.h"

struct udp {
	__be16 from, to;
	__be16 len, check;
};

/* Physical address of what the kernel has at @at, in its mapping of all memory. */
static __u64 physical(const void *at)
{
	unsigned long base = 0;

	bpf_probe_read_kernel(&base, sizeof(base), &page_offset_base);
	return (unsigned long)at - base;
}

/* One packet, whose IP header is at @data, with @linear bytes from there on beside the headers. */
static void note_datagram(struct sk_buff *skb, unsigned char *data, __u32 linear)
{
	__u32 headers, payload, skip, piece = 0;
	struct place first = {};
	__u64 offset = 0, at;
	struct ip4 ip;
	struct udp udp;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), data) || ip.version_ihl >> 4 != 4 ||
	    ip.protocol != 17 || ip.fragment & bpf_htons(0x3fff))
		return;
	headers = (ip.version_ihl & 15) * 4;
	if (bpf_probe_read_kernel(&udp, sizeof(udp), data + headers) ||
	    udp.to != bpf_htons(config.port) || (linear && linear < headers + sizeof(udp)))
		return;
	headers += sizeof(udp);
	payload = bpf_ntohs(udp.len) - sizeof(udp);
	if (bpf_ntohs(udp.len) < sizeof(udp) + sizeof(offset))
		return;
	skip = linear ? 0 : headers;
	if (linear)
		piece = linear - headers < payload ? linear - headers : payload;
	if (piece >= sizeof(offset)) {
		bpf_probe_read_kernel(&offset, sizeof(offset), data + headers);
	} else {
		unsigned long base = 0;

		if (piece || !get_frag(skb, 0, &first))
			return;
		bpf_probe_read_kernel(&base, sizeof(base), &page_offset_base);
		bpf_probe_read_kernel(&offset, sizeof(offset), (void *)(base + first.start + skip));
	}
	if (offset >= config.limit)
		return;
	__sync_fetch_and_add(&state.packets, 1);
	__sync_fetch_and_add(&state.linear, piece);
	if (piece) {
		at = physical(data + headers);
		note(offset, at >> 12, at & 4095, piece);
	}
	note_frags(skb, offset + piece, skip, payload - piece);
}

SEC("tp_btf/napi_gro_receive_entry")
int BPF_PROG(arrives, struct sk_buff *skb)
{
	unsigned int linear = skb->len - skb->data_len;

	if (skb->dev->ifindex == config.ifindex)
		note_datagram(skb, headers_of(skb, linear), linear);
	return 0;
}

#define LINK_HEADER	14

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(leaves, struct sk_buff *skb, struct net_device *dev)
{
	unsigned int linear = skb->len - skb->data_len;

	if (dev->ifindex == config.ifindex && linear > LINK_HEADER)
		note_datagram(skb, skb->data + LINK_HEADER, linear - LINK_HEADER);
	return 0;
}
