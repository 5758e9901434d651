/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the Rust side calls of the kernel's C: inline functions, and every field
 * of struct sock and tcp_sock that is touched. Version differences of the kernel
 * end here. bindgen turns this header into Rust declarations, so that the two
 * sides cannot drift apart; struct types are taken from kernel::bindings.
 */
#ifndef ZCIO_SHIM_H
#define ZCIO_SHIM_H

#include <linux/types.h>

struct bio_vec;
struct file;
struct iovec;
struct page;
struct poll_table_struct;
struct sk_buff;
struct sock;
struct socket;
struct user_struct;
struct vm_area_struct;
struct vm_fault;
struct vm_operations_struct;
struct zcio_waiters;

/* What is known of a page that holds received bytes, for plan/ownership.rs. */
#define ZCIO_FACT_LINEAR	0x001	/* not in a page frag at all */
#define ZCIO_FACT_CLONED	0x002	/* another skb reads the same data */
#define ZCIO_FACT_SHARED_FRAG	0x004	/* came by splice: somebody may still write */
#define ZCIO_FACT_ZEROCOPY	0x008	/* user pages of a MSG_ZEROCOPY sender */
#define ZCIO_FACT_FOLIO_MAPPED	0x010	/* some page of its folio is mapped by some user */
#define ZCIO_FACT_ANON		0x020	/* anonymous user memory */
#define ZCIO_FACT_FILE		0x040	/* in a page cache */
#define ZCIO_FACT_TYPED		0x080	/* slab or another page type; or reserved */
#define ZCIO_FACT_MAPPED	0x100	/* this very page is mapped by some user */
#define ZCIO_FACT_PAGE_POOL	0x200	/* belongs to a driver's page_pool */
#define ZCIO_FACT_CUT		0x400	/* the frag goes on behind what may be read now */
#define ZCIO_FACT_OURS		0x800	/* a pool's page, sealed: nobody can write to it */

/* A run of received bytes that lies in one place. */
struct zcio_seg {
	struct sk_buff *skb;	/* where to copy it from … */
	u32 skb_offset;		/* … and at which offset */
	struct page *page;	/* first page (NULL: linear) */
	u32 offset;		/* in that page, below PAGE_SIZE */
	u32 len;		/* may go on into the following pages of one folio */
	u32 facts;
	s32 refs;		/* references to the folio that are not of user mappings */
	u64 pfn;		/* of the first page */
	u64 folio;		/* pfn of its folio's first page */
};

/* A place in a receive queue (valid while the socket is locked) or in one skb. */
struct zcio_cursor {
	struct sk_buff *head;	/* skb on the queue */
	u32 offset;		/* in it */
	u32 left;		/* bytes that may still be looked at */
	u32 end;		/* sequence number behind them */
};

/* What is told of a datagram beside its bytes. */
struct zcio_datagram {
	u32 len;
	u32 segment;		/* bytes of the datagrams that it was joined from, or 0 */
	u64 timestamp;		/* ns since 1970, or 0 */
	u16 vlan_tci;
	u16 vlan_tpid;		/* 0: no VLAN tag */
	u32 name_len;
	u8 name[28] __aligned(4);	/* sockaddr of the sender */
};

/* A datagram to be sent, or a frame. */
struct zcio_frame {
	struct page *head;	/* the page that its headers are built in (or NULL) … */
	struct bio_vec *pieces;	/* the payload, none of them empty */
	u32 head_offset;	/* … and where: zcio_frame_head() bytes */
	u32 count;
	u32 len;		/* bytes of payload */
	u32 linear;		/* out: of these, copied into the head */
	bool begun;		/* out: the kernel has written to the head room */
	bool gathers;		/* out: the device takes pages as they are */
};

#define ZCIO_SEND_DONTWAIT	0x1
#define ZCIO_SEND_MORE		0x2
#define ZCIO_SEND_SEALED	0x4	/* nobody can write to the payload any more */

/* What the devices reach by DMA that a socket sends through. */
struct zcio_route {
	u64 mask;		/* highest address that all of them could use */
	u64 reach;		/* the same, ~0 if every page has an address that they reach */
	bool dma;		/* at least one of them is known to do DMA */
	bool bounces;		/* whatever is sent is copied on the way (swiotlb=force) */
};

/* Sockets. */
struct socket *zcio_socket_get(int fd, int *err);
void zcio_socket_put(struct socket *sock);
bool zcio_socket_is_tcp(struct socket *sock);
bool zcio_socket_nonblock(struct socket *sock);
int zcio_socket_may_receive(struct socket *sock);
int zcio_socket_may_send(struct socket *sock, bool nonblock, bool nosignal);
void zcio_lock_sock(struct socket *sock);
void zcio_release_sock(struct socket *sock);

/* TCP, all under the socket lock but the first. */
bool zcio_tcp_connected(struct socket *sock);
long zcio_tcp_wait_data(struct socket *sock, u32 capacity, bool nonblock);
void zcio_tcp_start(struct socket *sock, struct zcio_cursor *cur, u32 limit);
u32 zcio_tcp_segments(struct socket *sock, struct zcio_cursor *cur,
		      struct zcio_seg *segs, u32 max);
u32 zcio_tcp_largest_frag(const struct zcio_cursor *cur);
long zcio_tcp_copy(struct socket *sock, struct zcio_cursor *cur, struct page *page, u32 len);
void zcio_tcp_consume(struct socket *sock, u32 len);
int zcio_tcp_wait_space(struct socket *sock, bool nonblock);
unsigned long zcio_now(void);
bool zcio_tcp_timed_out(struct socket *sock, unsigned long since);
void zcio_tcp_error_stays(struct socket *sock, int err);
void zcio_tcp_push(struct socket *sock);
bool zcio_tcp_gathers(struct socket *sock, bool sealed);
long zcio_tcp_send_pages(struct socket *sock, struct bio_vec *vecs, u32 n,
			 size_t len, bool nonblock, bool more, bool nosignal, bool sealed);
long zcio_send_user(struct socket *sock, const struct iovec *vecs, u32 n, size_t len,
		    bool nonblock, bool more, bool nosignal);

/* UDP and AF_PACKET. */
bool zcio_socket_is_udp(struct socket *sock);
bool zcio_socket_is_packet(struct socket *sock);
struct sk_buff *zcio_datagram_take(struct socket *sock, bool nonblock, bool more, int *err);
void zcio_datagram_put_back(struct socket *sock, struct sk_buff *skb);
void zcio_datagram_shown(struct socket *sock, struct sk_buff *skb);
void zcio_datagram_consume(struct socket *sock, struct sk_buff *skb);
bool zcio_datagram_start(struct sk_buff *skb, struct zcio_cursor *cur);
void zcio_datagram_describe(struct socket *sock, struct sk_buff *skb,
			    struct zcio_datagram *to);

/* … to send. */
u32 zcio_frame_head(void);
int zcio_frame_may_send(struct socket *sock);
int zcio_frame_send(struct socket *sock, struct zcio_frame *frame, u16 segment, u32 how);

/* Where a socket's bytes leave the machine. */
int zcio_route(struct socket *sock, struct zcio_route *route);

/* Received bytes. */
u32 zcio_skb_segments(struct sk_buff *skb, struct zcio_cursor *cur,
		      struct zcio_seg *segs, u32 max);
int zcio_skb_copy(struct sk_buff *skb, u32 offset, struct page *page,
		  u32 page_offset, u32 len);

/* Pages. */
struct page *zcio_page_alloc(u8 zone, bool fault);
u64 zcio_page_pfn(struct page *page);
void zcio_page_get(struct page *page);
void zcio_page_put(struct page *page);
int zcio_page_refs(struct page *page);
int zcio_page_holders(struct page *page);
bool zcio_page_mapped(struct page *page);
void zcio_page_seal(struct page *page, bool sealed);
bool zcio_page_sealed(struct page *page);
void zcio_page_clear(struct page *page);
void zcio_page_zero(struct page *page, u32 offset, u32 len);
void zcio_page_copy(struct page *to, struct page *from, u32 offset, u32 len);
struct page *zcio_page_nth(struct page *page, u32 n);
struct page *zcio_zero_page(void);

/* Mappings. */
struct vm_area_struct *zcio_fault_vma(struct vm_fault *vmf);
unsigned long zcio_fault_address(struct vm_fault *vmf);
unsigned long zcio_vma_pgoff(struct vm_area_struct *vma);
void zcio_vma_install(struct vm_area_struct *vma,
		      const struct vm_operations_struct *ops, void *private_data);
bool zcio_vma_is(struct vm_area_struct *vma, const struct vm_operations_struct *ops);
void *zcio_vma_private(struct vm_area_struct *vma);
void zcio_zap(struct vm_area_struct *vma, unsigned long addr, unsigned long size);
u32 zcio_pages_in_place(unsigned long addr, u32 n, struct page **pages);

/* Whether the system call was made as 32-bit processes make theirs. */
bool zcio_clear_user(unsigned long addr, unsigned long len);
bool zcio_in_compat_syscall(void);

/* Charging pinned pages to a user, as RLIMIT_MEMLOCK wants it. */
struct user_struct *zcio_user_get(void);
void zcio_user_put(struct user_struct *user);
bool zcio_user_unlimited(void);
bool zcio_user_charge(struct user_struct *user, unsigned long pages);
void zcio_user_uncharge(struct user_struct *user, unsigned long pages);
unsigned long zcio_user_room(struct user_struct *user);

/* Those who poll a context. */
struct zcio_waiters *zcio_waiters_alloc(void);
void zcio_waiters_free(struct zcio_waiters *w);
void zcio_waiters_add(struct zcio_waiters *w, struct file *file,
		      struct poll_table_struct *table);
void zcio_waiters_wake(struct zcio_waiters *w);
void zcio_waiters_look_soon(struct zcio_waiters *w);
void zcio_free_read_skbs(void);

#endif
