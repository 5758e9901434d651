/* SPDX-License-Identifier: GPL-2.0 */
/* The observer: what its two halves, in the kernel and outside, have in common. */
#ifndef OBSERVE_H
#define OBSERVE_H

#define OBSERVE_RECORDS	(1 << 18)

/* What to look at; set before the program is loaded. */
struct config {
	__u32 ifindex;	/* the device that receives */
	__u16 port;	/* the TCP port that is sent to, in host order */
	__u64 limit;	/* bytes of the stream; what comes behind is not looked at */
};

#define OBSERVE_UNKNOWN	0	/* in place of a page's number */

/* One piece of a page that a packet's payload lies in. */
struct record {
	__u64 offset;	/* of its first byte in the stream */
	__u64 pfn;	/* number of the physical page; OBSERVE_UNKNOWN beside the headers */
	__u32 in_page;	/* where in the page it begins */
	__u32 len;
};

struct state {
	__u32 first;	/* sequence number of the stream's first byte */
	__u32 connected;
	__u64 packets;
	__u64 records;	/* counts on when the map is full */
	__u64 linear;	/* payload bytes that lay beside the headers */
};

#endif
