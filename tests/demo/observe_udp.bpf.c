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

/* Where the kernel maps all memory. */
static unsigned long all_memory(void)
{
	unsigned long base = 0;

	bpf_probe_read_kernel(&base, sizeof(base), &page_offset_base);
	return base;
}

/* A number, which can be reckoned with. */
static unsigned long data_of(struct sk_buff *skb)
{
	unsigned long data = 0;

	bpf_core_read(&data, sizeof(data), &skb->data);
	return data;
}

/* One packet, whose IP header is at @data, with @linear bytes from there on beside the headers. */
static void note_datagram(struct sk_buff *skb, unsigned long data, __u32 linear)
{
	__u32 headers, payload, skip, piece = 0;
	struct place first = {};
	__u64 offset = 0, at;
	struct ip4 ip;
	struct udp udp;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), (void *)data) || ip.version_ihl >> 4 != 4 ||
	    ip.protocol != 17 || ip.fragment & bpf_htons(0x3fff))
		return;
	headers = (ip.version_ihl & 15) * 4;
	if (bpf_probe_read_kernel(&udp, sizeof(udp), (void *)(data + headers)) ||
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
		bpf_probe_read_kernel(&offset, sizeof(offset), (void *)(data + headers));
	} else {
		if (piece || !get_frag(skb, 0, &first))
			return;
		bpf_probe_read_kernel(&offset, sizeof(offset), (void *)(all_memory() + first.start + skip));
	}
	if (offset >= config.limit)
		return;
	__sync_fetch_and_add(&state.packets, 1);
	__sync_fetch_and_add(&state.linear, piece);
	if (piece) {
		at = data + headers - all_memory();
		note(offset, at >> 12, at & 4095, piece);
	}
	note_frags(skb, offset + piece, skip, payload - piece);
}

SEC("tp_btf/napi_gro_receive_entry")
int BPF_PROG(arrives, struct sk_buff *skb)
{
	unsigned int linear = skb->len - skb->data_len;

	if (skb->dev->ifindex == config.ifindex)
		note_datagram(skb, linear ? data_of(skb) : (unsigned long)headers_of(skb, 0), linear);
	return 0;
}

#define LINK_HEADER	14

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(leaves, struct sk_buff *skb, struct net_device *dev)
{
	unsigned int linear = skb->len - skb->data_len;

	if (dev->ifindex == config.ifindex && linear > LINK_HEADER)
		note_datagram(skb, data_of(skb) + LINK_HEADER, linear - LINK_HEADER);
	return 0;
}
