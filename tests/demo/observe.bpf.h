/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the observer's programs in the kernel share: where a packet's bytes lie in physical
 * memory. They know nothing of zcio.
 */
#ifndef OBSERVE_BPF_H
#define OBSERVE_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "observe.h"

char LICENSE[] SEC("license") = "GPL";

/* The fields that are read; where they lie is taken from the running kernel's BTF. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct net_device {
	__u32 ifindex;
};

struct sk_buff {
	struct net_device *dev;
	unsigned char *head;
	unsigned char *data;
	unsigned int end;
	unsigned int len;
	unsigned int data_len;
};

struct skb_frag {
	unsigned long netmem;
	unsigned int len;
	unsigned int offset;
};

struct skb_shared_info {
	__u8 nr_frags;
	struct skb_frag frags[17];
};

struct page {
	unsigned long flags;
};

#pragma clang attribute pop

extern const void vmemmap_base __ksym;
extern const void page_offset_base __ksym;

const volatile struct config config;
struct state state;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OBSERVE_RECORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");

struct ip4 {
	__u8 version_ihl, tos;
	__be16 len;
	__be16 id, fragment;
	__u8 ttl, protocol;
	__be16 check;
	__be32 from, to;
};

static void note(__u64 offset, __u64 pfn, __u32 in_page, __u32 len)
{
	__u32 index = __sync_fetch_and_add(&state.records, 1);
	struct record *record = bpf_map_lookup_elem(&records, &index);

	if (!record)
		return;
	record->offset = offset;
	record->pfn = pfn;
	record->in_page = in_page;
	record->len = len;
}

/* One frag's place in physical memory. */
struct place {
	__u64 start;
	__u32 len;
};

/* Frag @i of the packet; false if there is none, or not of pages. */
static bool get_frag(struct sk_buff *skb, int i, struct place *place)
{
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);
	unsigned long vmemmap = 0, netmem = 0;
	unsigned int offset = 0;
	__u8 count = 0;

	bpf_core_read(&count, sizeof(count), &shared->nr_frags);
	if (i >= count || i >= 17)
		return false;
	bpf_core_read(&netmem, sizeof(netmem), &shared->frags[i].netmem);
	bpf_core_read(&place->len, sizeof(place->len), &shared->frags[i].len);
	bpf_core_read(&offset, sizeof(offset), &shared->frags[i].offset);
	bpf_probe_read_kernel(&vmemmap, sizeof(vmemmap), &vmemmap_base);
	place->start = ((netmem - vmemmap) / bpf_core_type_size(struct page) << 12) + offset;
	return !(netmem & 1);
}

/*
 * The payload's pieces, one for each frag; @offset is where in the stream they begin,
 * @skip is what lies before the payload in the first frag.
 */
static void note_frags(struct sk_buff *skb, __u64 offset, __u32 skip, __u32 left)
{
	struct place place = {};
	int i;

	for (i = 0; i < 17 && get_frag(skb, i, &place); i++) {
		if (skip > place.len)
			return;
		place.start += skip;
		place.len -= skip;
		skip = 0;
		if (place.len > left)
			place.len = left;
		if (place.len)
			note(offset, place.start >> 12, place.start & 4095, place.len);
		offset += place.len;
		left -= place.len;
	}
}

/* Where the IP header is: some drivers leave it in the first frag. */
static unsigned char *headers_of(struct sk_buff *skb, unsigned int linear)
{
	struct place first = {};
	unsigned long base = 0;

	if (linear)
		return skb->data;
	if (!get_frag(skb, 0, &first))
		return NULL;
	bpf_probe_read_kernel(&base, sizeof(base), &page_offset_base);
	return (unsigned char *)(base + first.start);
}

#endif
