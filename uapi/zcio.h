/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * zcio: zero-copy socket and storage I/O. The interface of /dev/zcio.
 *
 * Installed as <linux/zcio.h>. Most programs use libzcio (<zcio.h>) or the
 * Rust crate `zcio` and never include this file.
 *
 * One open of /dev/zcio is a *context*: it holds limits and counters. Memory is
 * mapped from it with mmap(): a *window* receives payload pages, a *pool* holds
 * pages to send. A mapping remembers the context it came from, so the calls name
 * only the socket: they may be issued on any descriptor of /dev/zcio.
 *
 * poll(), select() and epoll on a context: POLLOUT when a send from one of its pools
 * would find pages to stand in for those it takes: one, or after a ZCIO_IOC_WRITEV that
 * found too few as many as the first payload not taken needs (but not more than can come
 * home). Without a pool: when a pool of one page could be mapped. Never POLLIN. An edge
 * (EPOLLET) comes after ENOBUFS, or after it was seen not to be writable.
 *
 * Every structure has a fixed layout, the same on 32- and 64-bit machines.
 * Every field named "reserved" and every flag not defined here must be zero, or
 * the call fails with EINVAL: that is how later versions can give them meaning.
 */
#ifndef _LINUX_ZCIO_H
#define _LINUX_ZCIO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Rises when something is added; nothing that was there ever changes. */
#define ZCIO_ABI_VERSION	1

/* The most elements one call takes. */
#define ZCIO_MAX_ELEMENTS	1024

/*
 * What mmap() of a context makes is chosen by its offset argument. The mapping
 * must be MAP_SHARED; its length must be a multiple of the page size and at most
 * what struct zcio_info says. It is not inherited by fork(), cannot be moved or
 * grown by mremap(), and can be unmapped in part.
 *
 * Window: PROT_READ, or PROT_READ | PROT_WRITE (fewer payloads can be mapped into
 * a writable window: only pages that nobody else holds). Takes no memory until
 * payloads arrive. Pages that hold no payload read as zeros.
 *
 * Pool: PROT_READ | PROT_WRITE. Its pages are allocated and charged to
 * RLIMIT_MEMLOCK when it is mapped, and read as zeros.
 */
#define ZCIO_MMAP_WINDOW	0x0ULL
#define ZCIO_MMAP_POOL		0x10000000000ULL

/* Flags of ZCIO_IOC_READV and ZCIO_IOC_WRITEV. */
#define ZCIO_DONTWAIT		(1U << 0)	/* as MSG_DONTWAIT: EAGAIN instead of waiting */
#define ZCIO_NOSIGNAL		(1U << 1)	/* writev: EPIPE without SIGPIPE */
#define ZCIO_MORE		(1U << 2)	/* writev: as MSG_MORE */
#define ZCIO_KEEP		(1U << 3)	/* writev: the areas stay as they are, see there */

/*
 * Why payload bytes were copied and not mapped (bits: one payload can have many):
 * SMALL	the call moves fewer bytes than the context's copy threshold, or a stream
 *		comes in pieces below a page
 * LINEAR	the driver put them beside the headers, not in pages; writev: a frame's
 *		link header, which the kernel wants beside its own
 * SHARED	part of a page whose other bytes may be a stranger's
 * CLONED	part of a page that a packet tap or the sender's retransmit queue
 *		still reads
 * WRITABLE	someone can still write to the page (splice, vmsplice)
 * FILE		the page belongs to a file's page cache
 * KERNEL	the page has a type that can't be mapped (slab)
 * PINNED	writev: someone still holds the pool page
 * DEVICE	writev: the device can't gather, the stack copies
 * ELEMENTS	readv: its page holds more payloads than there were elements left, or
 *		the datagram fits into the regions only if it is copied
 * DMA		writev: the device can't reach the page, or its bus doesn't let it: it
 *		goes through a bounce buffer (swiotlb). With EINVAL: the pool was not made
 *		for that device, see ZCIO_IOC_TARGET
 */
#define ZCIO_WHY_SMALL		(1U << 0)
#define ZCIO_WHY_LINEAR		(1U << 1)
#define ZCIO_WHY_SHARED		(1U << 2)
#define ZCIO_WHY_CLONED		(1U << 3)
#define ZCIO_WHY_WRITABLE	(1U << 4)
#define ZCIO_WHY_FILE		(1U << 5)
#define ZCIO_WHY_KERNEL		(1U << 6)
#define ZCIO_WHY_PINNED		(1U << 7)
#define ZCIO_WHY_DEVICE		(1U << 8)
#define ZCIO_WHY_ELEMENTS	(1U << 9)
#define ZCIO_WHY_DMA		(1U << 10)
#define ZCIO_WHY_BITS		11		/* how many reasons there are */

/* Flags of struct zcio_payload, for sockets that keep boundaries. */
#define ZCIO_PAYLOAD_END	(1U << 0)	/* the datagram ends with this payload */
#define ZCIO_PAYLOAD_TRUNCATED	(1U << 1)	/* it was larger than all the regions */

/**
 * struct zcio_payload - what the extended form says of one payload
 * @flags: ZCIO_PAYLOAD_*
 * @why: ZCIO_WHY_* bits for the copied bytes, 0 if all were mapped
 * @mapped: bytes of the payload that lie in the very page the NIC wrote (or,
 *	for writev, bytes whose page itself was handed to the stack)
 * @copied: bytes of it that were copied; mapped + copied is its length
 * @timestamp: nanoseconds since 1970 when it was received, if the socket has
 *	SO_TIMESTAMP or SO_TIMESTAMPNS; else 0
 * @datagram: bytes of the whole datagram that it belongs to; 0 for a stream
 * @segment: size of the datagrams that the stack joined into this one (UDP_GRO;
 *	frames of AF_PACKET likewise), or 0
 * @vlan_tci: of AF_PACKET: the VLAN tag that the device took out of the frame, …
 * @vlan_tpid: … and its protocol; 0 if there was none
 * @name_len: bytes of @name, 0 for a stream
 * @name: sender: struct sockaddr_in, sockaddr_in6 or sockaddr_ll
 * @reserved: zero
 *
 * Of a datagram in several payloads, each says the same beside its own @flags,
 * @why, @mapped and @copied.
 */
struct zcio_payload {
	__u32 flags;
	__u32 why;
	__u64 mapped;
	__u64 copied;
	__u64 timestamp;
	__u32 datagram;
	__u32 segment;
	__u16 vlan_tci;
	__u16 vlan_tpid;
	__u32 name_len;
	__u8 name[28];
	__u32 reserved[5];
};

/**
 * struct zcio_readv - argument of ZCIO_IOC_READV
 * @fd: the socket
 * @iovcnt: elements of @iov, 1 to ZCIO_MAX_ELEMENTS
 * @iov: pointer to struct iovec[@iovcnt]. In: regions of windows, each with room
 *	for at least zcio_info.min_region bytes of whole pages. Out: the first N
 *	are where payloads lie, N being what the ioctl returns; the others are
 *	untouched. Payloads come in the order of the stream, and of the regions; a
 *	region can hold several, where the driver wrote them into one page, and
 *	then payload i lies before region i. What any of the regions held before is
 *	gone on success, also in the elements that are untouched. Only whole pages
 *	of a region count: a page that it cuts is left as it is, with what may lie
 *	in the other part.
 * @payloads: pointer to struct zcio_payload[@iovcnt] to be filled for the first N,
 *	or 0
 * @flags: ZCIO_DONTWAIT
 * @error_index: out, on an error: the element it is about, or -1. Written if at
 *	all possible, also when the ioctl fails.
 * @reserved: zero
 *
 * Returns the number of payloads, 0 at the end of the stream, or -1 with errno;
 * then nothing has left the socket, nothing is mapped, and @iov is as it was. After
 * ENOBUFS, ENOMEM and EFAULT the regions may read as zeros; after any other error they
 * hold what they held.
 */
struct zcio_readv {
	__s32 fd;
	__u32 iovcnt;
	__u64 iov;
	__u64 payloads;
	__u32 flags;
	__s32 error_index;
	__u64 reserved[4];
};

/**
 * struct zcio_writev - argument of ZCIO_IOC_WRITEV
 * @fd: the socket
 * @iovcnt: pairs in @iov, 1 to ZCIO_MAX_ELEMENTS
 * @iov: pointer to struct iovec[@iovcnt][2]: the area (page-aligned, whole pages of
 *	a pool), then the payload inside it with at least the head and tail room
 *	that ZCIO_IOC_INFO reports for @fd
 * @payloads: pointer to struct zcio_payload[@iovcnt] to be filled for the first N
 *	(and for a payload taken in part), or 0. On EINVAL, the @why of the one that
 *	@error_index names says more, if there is more to say
 * @flags: ZCIO_DONTWAIT, ZCIO_NOSIGNAL, ZCIO_MORE, ZCIO_KEEP
 * @error_index: out, as for readv
 * @taken: out: payload bytes taken in all, also of a payload taken in part
 * @segment: UDP only: each payload leaves as datagrams of this many bytes, the last
 *	one perhaps shorter (as UDP_SEGMENT); 0: one datagram, or what the socket's own
 *	UDP_SEGMENT says
 * @reserved32: zero
 * @reserved: zero
 *
 * Returns how many payloads were taken whole: not all on a non-blocking socket, or
 * when a signal, a time-out or an error came after the first bytes. If the next one
 * was taken in part (never of UDP and AF_PACKET; on a blocking socket only when a signal
 * or a time-out came, or the connection was reset or shut down), @taken says how far: it
 * is more than the whole ones add up to. The return value can be 0 then. Areas of
 * payloads taken whole read as zeros; of a payload taken in part, the bytes sent read as
 * zeros and the others are still there. On -1 with errno nothing was sent and every area
 * is as it was; but if a payload was taken in part and this structure cannot be written
 * any more by then, the ioctl fails with EFAULT.
 *
 * Once the call returns, nothing that is written to an area can change what the
 * peer gets.
 *
 * With ZCIO_KEEP the areas stay as they are, to be sent again and again, to this
 * socket or others. Then what is written to one while ZCIO_IOC_KEPT says that it is in
 * use may reach the peer, as with MSG_ZEROCOPY. A receiver on this machine gets a copy.
 */
struct zcio_writev {
	__s32 fd;
	__u32 iovcnt;
	__u64 iov;
	__u64 payloads;
	__u32 flags;
	__s32 error_index;
	__u64 taken;
	__u32 segment;
	__u32 reserved32;
	__u64 reserved[2];
};

/**
 * struct zcio_counters - one direction's totals
 * @calls: calls that moved something
 * @payloads: payloads moved
 * @mapped: payload bytes moved without a copy
 * @copied: payload bytes copied
 * @why: copied bytes by reason, indexed by the bit number of ZCIO_WHY_*
 */
struct zcio_counters {
	__u64 calls;
	__u64 payloads;
	__u64 mapped;
	__u64 copied;
	__u64 why[16];
};

/**
 * struct zcio_info - argument of ZCIO_IOC_INFO: what can be done here
 * @fd: in: a socket to ask about, or -1
 * @flags: in: zero
 * @version: ZCIO_ABI_VERSION of the module
 * @page_size: bytes in a page, the unit of regions and areas
 * @max_elements: most elements a call takes
 * @min_region: bytes of whole pages a region must have for @fd
 * @head_room: bytes an area must have before its payload for @fd
 * @tail_room: bytes it must have behind it
 * @max_window: most bytes one window can have
 * @max_pool: most bytes one pool can have
 * @copy_threshold: a call that moves fewer bytes than this copies (see ZCIO_IOC_TUNE)
 * @window_pages: pages this context's windows hold now
 * @pool_pages: pages this context's pools hold now, those on their way to a peer
 *	included
 * @total_contexts: contexts in the whole system
 * @total_window_pages: pages all windows in the system hold
 * @total_pool_pages: pages all pools in the system hold
 * @pool_leaving: of @pool_pages, those that were sent and are not known to be back
 * @dma_mask: highest address that the device @fd sends through reaches; 0 if it is not
 *	known, or nothing is sent by DMA there (loopback)
 * @rx: what this context has received
 * @tx: what it has sent
 * @reserved: zero
 *
 * With a socket: ENOTSOCK, EBADF or EOPNOTSUPP if it can't be served.
 */
struct zcio_info {
	__s32 fd;
	__u32 flags;
	__u32 version;
	__u32 page_size;
	__u32 max_elements;
	__u32 min_region;
	__u32 head_room;
	__u32 tail_room;
	__u64 max_window;
	__u64 max_pool;
	__u64 copy_threshold;
	__u64 window_pages;
	__u64 pool_pages;
	__u64 total_contexts;
	__u64 total_window_pages;
	__u64 total_pool_pages;
	struct zcio_counters rx;
	struct zcio_counters tx;
	__u64 pool_leaving;
	__u64 dma_mask;
	__u64 reserved[6];
};

/**
 * struct zcio_tune - argument of ZCIO_IOC_TUNE: change a context's settings
 * @copy_threshold: a call that moves fewer bytes than this copies them: that receives so
 *	much at once, or is to send so much over TCP without ZCIO_KEEP. Of many datagrams
 *	received at once those are copied that are smaller than it and than a page; of a
 *	TCP stream whatever a call takes, if the packet that is next has no page's length in
 *	one place. 0 copies only what cannot be mapped. A new context has 16384
 * @reserved: zero
 */
struct zcio_tune {
	__u64 copy_threshold;
	__u64 reserved[7];
};

/**
 * struct zcio_target - argument of ZCIO_IOC_TARGET: what pools are to be made for
 * @fd: a connected socket, or an AF_PACKET socket that is bound to a device; -1: any
 * @flags: zero
 * @dma_mask: out: highest address in a page of such a pool; ~0 if any will do
 * @reserved: zero
 *
 * Pools that are mapped from this context afterwards have pages which the device that
 * @fd sends through reaches by DMA, as do the pages that stand in for them. Those which
 * are mapped already stay as they are.
 *
 * ENOTCONN: not connected, or not bound; ENETUNREACH: without a route at the moment; ERANGE:
 * no memory is certain to be within the device's reach (@dma_mask says what is).
 */
struct zcio_target {
	__s32 fd;
	__u32 flags;
	__u64 dma_mask;
	__u64 reserved[6];
};

/**
 * struct zcio_kept - argument of ZCIO_IOC_KEPT: may an area be changed?
 * @base: of whole pages of a pool
 * @len: bytes
 * @pages: out: how many pages these are
 * @done: out: how many of them nobody reads any more; when it is @pages, all that was
 *	sent with ZCIO_KEEP from there is over, and they may be changed
 * @reserved: zero
 *
 * EINVAL: not whole pages, or none; EFAULT: not in a pool.
 */
struct zcio_kept {
	__u64 base;
	__u64 len;
	__u64 pages;
	__u64 done;
	__u64 reserved[4];
};

/* Flags of ZCIO_IOC_SPLICE. */
#define ZCIO_SPLICE_HANDLE	(1U << 0)	/* return a descriptor for the splice */

/**
 * struct zcio_splice - argument of ZCIO_IOC_SPLICE: splice two sockets
 * @source: whatever comes to this TCP or UDP socket from now on, or is queued already …
 * @drain: … is sent on this one, of the same kind, by the kernel, until the splice ends
 * @max: it ends after so many bytes; 0: never for that reason
 * @idle: it ends when nothing was moved for so many nanoseconds; 0: never for that reason
 * @flags: ZCIO_SPLICE_HANDLE
 * @reserved32: zero
 * @reserved: zero
 *
 * One way; done twice, with the sockets exchanged, for both. A socket can be the source of one
 * splice and the drain of one. As long as it is a source, it is not readable to poll(), and who
 * reads from it waits (or gets EAGAIN) until the splice has ended. What the drain does not take
 * stays queued at the source, of UDP as long as its receive buffer has room.
 *
 * A datagram stays one. One that would make it more than @max ends the splice and stays queued.
 *
 * The splice ends for the reasons that ZCIO_SPLICE_* below give. Then the source becomes
 * readable if there is something, or its error (SO_ERROR, POLLERR) says why, and both sockets
 * are as if there had never been a splice. It ends as well when the context is closed that it
 * was asked for on; and its handle, if it has one.
 *
 * A handle is a descriptor (with close-on-exec) that is readable to poll() when the splice has
 * ended, and that can stand in place of the source in struct zcio_splice_status.
 *
 * Returns 0, or the handle. EBADF, ENOTSOCK; EINVAL: @max or @idle is negative;
 * EPROTONOSUPPORT: they are not both TCP, nor both UDP; EOPNOTSUPP: one listens, or has an upper
 * layer (kTLS, …); ENOTCONN: one is not connected, nor connecting (of UDP only the drain has to
 * be); EBUSY: one is in a splice already, on that side; ENOBUFS: the context has too many.
 */
struct zcio_splice {
	__s32 source;
	__s32 drain;
	__s64 max;
	__s64 idle;
	__u32 flags;
	__u32 reserved32;
	__u64 reserved[4];
};

/* How a splice stands: @state of struct zcio_splice_status. */
#define ZCIO_SPLICE_NONE	0	/* there was none that this context knows of */
#define ZCIO_SPLICE_RUNNING	1
#define ZCIO_SPLICE_EOF		2	/* end of file on the source */
#define ZCIO_SPLICE_STOPPED	3	/* by ZCIO_IOC_UNSPLICE, or with its context or handle */
#define ZCIO_SPLICE_MAX		4	/* the maximum is reached: the source got EFBIG */
#define ZCIO_SPLICE_IDLE	5	/* the idle time is over: ETIMEDOUT */
#define ZCIO_SPLICE_DRAIN	6	/* the drain cannot send any more: EPIPE */
#define ZCIO_SPLICE_SOURCE	7	/* the source's own error, which it still has to tell */
#define ZCIO_SPLICE_CLOSED	8	/* one of them was closed, or disconnected */
#define ZCIO_SPLICE_FAILED	9	/* another error, which the source got: ELOOP, … */

/**
 * struct zcio_splice_status - argument of ZCIO_IOC_SPLICE_STATUS and ZCIO_IOC_UNSPLICE
 * @fd: in: the source, or a handle
 * @flags: in: zero
 * @state: out: ZCIO_SPLICE_*
 * @error: out: the errno that belongs to @state, or 0
 * @moved: out: bytes moved
 * @copied: out: of these, bytes that were copied on the way: a driver had put them beside the
 *	headers, or the drain's device cannot gather
 * @reserved: zero
 *
 * ZCIO_IOC_SPLICE_STATUS tells of the splice that the socket is the source of, or was last: of
 * one that has ended only the context knows that it was asked for on, and as long as no more
 * than some ten thousand have followed it.
 *
 * ZCIO_IOC_UNSPLICE stops it first; when it returns, nothing moves any more. EPROTO: there is
 * none, or it has ended already.
 */
struct zcio_splice_status {
	__s32 fd;
	__u32 flags;
	__u32 state;
	__s32 error;
	__u64 moved;
	__u64 copied;
	__u64 reserved[4];
};

#define ZCIO_IOC_MAGIC	0xBD
#define ZCIO_IOC_INFO	_IOWR(ZCIO_IOC_MAGIC, 0x00, struct zcio_info)
#define ZCIO_IOC_READV	_IOWR(ZCIO_IOC_MAGIC, 0x01, struct zcio_readv)
#define ZCIO_IOC_WRITEV	_IOWR(ZCIO_IOC_MAGIC, 0x02, struct zcio_writev)
#define ZCIO_IOC_TUNE	_IOW(ZCIO_IOC_MAGIC, 0x03, struct zcio_tune)
#define ZCIO_IOC_TARGET	_IOWR(ZCIO_IOC_MAGIC, 0x04, struct zcio_target)
#define ZCIO_IOC_KEPT	_IOWR(ZCIO_IOC_MAGIC, 0x05, struct zcio_kept)
#define ZCIO_IOC_SPLICE	_IOW(ZCIO_IOC_MAGIC, 0x06, struct zcio_splice)
#define ZCIO_IOC_UNSPLICE	_IOWR(ZCIO_IOC_MAGIC, 0x07, struct zcio_splice_status)
#define ZCIO_IOC_SPLICE_STATUS	_IOWR(ZCIO_IOC_MAGIC, 0x08, struct zcio_splice_status)

#endif /* _LINUX_ZCIO_H */
