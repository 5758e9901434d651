// SPDX-License-Identifier: GPL-2.0
/*
 * The observer's half in the kernel: at the moment a driver hands a packet to the
 * network stack, note in which physical pages its payload lies, by its place in the
 * TCP stream.
 */
#include "observe.bpf.h"

struct tcp {
	__be16 from, to;
	__be32 seq, ack;
	__u8 doff, flags;
};

#define TCP_SYN	0x02

SEC("tp_btf/napi_gro_receive_entry")
int BPF_PROG(packet, struct sk_buff *skb)
{
	unsigned int linear = skb->len - skb->data_len, headers, payload, skip;
	unsigned char *data = headers_of(skb, linear);
	__u64 offset;
	struct ip4 ip;
	struct tcp tcp;

	if (skb->dev->ifindex != config.ifindex)
		return 0;
	if (bpf_probe_read_kernel(&ip, sizeof(ip), data) || ip.version_ihl >> 4 != 4 || ip.protocol != 6)
		return 0;
	headers = (ip.version_ihl & 15) * 4;
	if (bpf_probe_read_kernel(&tcp, sizeof(tcp), data + headers) ||
	    tcp.to != bpf_htons(config.port))
		return 0;
	if (tcp.flags & TCP_SYN) {
		state.first = bpf_ntohl(tcp.seq) + 1;
		state.connected = 1;
		return 0;
	}
	headers += (tcp.doff >> 4) * 4;
	payload = bpf_ntohs(ip.len) - headers;
	if (!state.connected || bpf_ntohs(ip.len) <= headers || (linear && linear < headers))
		return 0;
	offset = bpf_ntohl(tcp.seq) - state.first;
	if (offset >= config.limit)
		return 0;
	__sync_fetch_and_add(&state.packets, 1);
	skip = linear ? 0 : headers;
	linear -= headers - skip;
	if (linear > payload)	/* padding of a short frame */
		linear = payload;
	__sync_fetch_and_add(&state.linear, linear);
	/* Where they lie is not told, but that they came; they may come again, in frags. */
	if (linear)
		note(offset, OBSERVE_UNKNOWN, 0, linear);
	note_frags(skb, offset + linear, skip, payload - linear);
	return 0;
}
