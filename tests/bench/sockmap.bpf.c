// SPDX-License-Identifier: GPL-2.0
/* What comes to a socket of the map goes to the one that is under its peer's port. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* By the port of a connection's other end: the socket that is to send what comes from there. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} others SEC(".maps");

SEC("sk_skb/stream_verdict")
int to_other(struct __sk_buff *skb)
{
	__u32 port = bpf_ntohl(skb->remote_port);

	return bpf_sk_redirect_hash(skb, &others, &port, 0);
}
