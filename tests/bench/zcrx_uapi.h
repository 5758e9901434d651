/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What of the kernel's io_uring zero-copy receive tests/bench uses, with the values and layouts
 * of Linux 7.3's include/uapi/linux/io_uring.h and io_uring/zcrx.h (7.2's are the same). Debian
 * 13's liburing and kernel headers are older. Names are the kernel's but for the prefix, so that
 * newer headers do no harm.
 */
#ifndef ZCRX_UAPI_H
#define ZCRX_UAPI_H

#include <linux/types.h>

#define BENCH_OP_RECV_ZC		58	/* IORING_OP_RECV_ZC */
#define BENCH_REGISTER_ZCRX_IFQ		32	/* IORING_REGISTER_ZCRX_IFQ */
#define BENCH_REGISTER_ZCRX_CTRL	36	/* IORING_REGISTER_ZCRX_CTRL */

#define BENCH_ZCRX_REG_NODEV		2	/* ZCRX_REG_NODEV: no device, all data is copied */
#define BENCH_ZCRX_CTRL_FLUSH_RQ	0	/* ZCRX_CTRL_FLUSH_RQ: take what was given back */
#define BENCH_ZCRX_AREA_MASK		(~((1ULL << 48) - 1))	/* IORING_ZCRX_AREA_MASK */

/* struct io_uring_zcrx_rqe: a buffer is given back */
struct bench_zcrx_rqe {
	__u64 off;
	__u32 len;
	__u32 pad;
};

/* struct io_uring_zcrx_cqe: the second half of a completion */
struct bench_zcrx_cqe {
	__u64 off;
	__u64 pad;
};

/* struct io_uring_zcrx_offsets */
struct bench_zcrx_offsets {
	__u32 head;
	__u32 tail;
	__u32 rqes;
	__u32 reserved2;
	__u64 reserved[2];
};

/* struct io_uring_zcrx_area_reg */
struct bench_zcrx_area_reg {
	__u64 addr;
	__u64 len;
	__u64 rq_area_token;
	__u32 flags;
	__u32 dmabuf_fd;
	__u64 reserved2[2];
};

/* struct io_uring_zcrx_ifq_reg */
struct bench_zcrx_ifq_reg {
	__u32 if_idx;
	__u32 if_rxq;
	__u32 rq_entries;
	__u32 flags;
	__u64 area_ptr;
	__u64 region_ptr;
	struct bench_zcrx_offsets offsets;
	__u32 zcrx_id;
	__u32 rx_buf_len;
	__u64 event_desc;
	__u64 reserved[2];
};

/* struct zcrx_ctrl, as large as with the largest of its operations' arguments */
struct bench_zcrx_ctrl {
	__u32 zcrx_id;
	__u32 op;
	__u64 reserved[2];
	__u64 argument[6];
};

#endif /* ZCRX_UAPI_H */
