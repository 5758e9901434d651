// SPDX-License-Identifier: GPL-2.0
/*
 * The C side of the wrappers in this folder; see shim.h. Nothing here decides
 * anything: it reads fields, calls one kernel function, and says what it saw.
 */
#include <linux/bvec.h>
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/skbuff.h>
#include <linux/skmsg.h>
#include <linux/uio.h>
#include <net/inet_connection_sock.h>
#include <net/rps.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "shim.h"
#include "splice.h"

/* ---- sockets ---- */

struct socket *zcio_socket_get(int fd, int *err)
{
	return sockfd_lookup(fd, err);
}

void zcio_socket_put(struct socket *sock)
{
	sockfd_put(sock);
}

/*
 * Plain TCP only: an upper layer (kTLS, SMC) or a BPF sockmap has its own idea of what
 * the stream holds, and data must not be taken behind its back. The same goes for a
 * socket under repair. That it is spliced does not matter.
 */
bool zcio_socket_is_tcp(struct socket *sock)
{
	struct sock *sk = sock->sk;
	bool bpf;

	if (!sk || !sk_is_tcp(sk) ||
	    (sk->sk_family != AF_INET && sk->sk_family != AF_INET6))
		return false;
	rcu_read_lock();
	bpf = sk_psock(sk);
	rcu_read_unlock();
	return !bpf && (!inet_csk_has_ulp(sk) || zcio_splice_is_ours(sk)) && !tcp_sk(sk)->repair &&
	       READ_ONCE(sk->sk_prot)->sendmsg == tcp_sendmsg;
}

bool zcio_socket_nonblock(struct socket *sock)
{
	return sock->file->f_flags & O_NONBLOCK;
}

/*
 * An empty recvmsg()/sendmsg() through the socket layer runs what a module cannot
 * call by itself: the security modules' hooks, and the socket's own checks of its
 * state. MSG_PEEK keeps it from consuming a FIN or an urgent mark.
 *
 * On AF_PACKET even MSG_PEEK leaves a mark: it overwrites the length that the frame had
 * (tp_len of PACKET_AUXDATA), and the next MSG_PEEK steps over an empty datagram. And TCP
 * looks whether to send an ACK, before anything is taken that one could tell of. So there it
 * is MSG_OOB, too: packet_recvmsg() refuses that at once, with EINVAL; tcp_recv_urg() says
 * whether there is an urgent byte, and what else there is, zcio_tcp_wait_data() says.
 */
int zcio_socket_may_receive(struct socket *sock)
{
	bool tcp = sk_is_tcp(sock->sk), packet = sock->sk->sk_family == AF_PACKET;
	struct msghdr msg = {};
	int err;

	iov_iter_kvec(&msg.msg_iter, ITER_DEST, NULL, 0, 0);
	err = sock_recvmsg(sock, &msg, MSG_DONTWAIT | MSG_PEEK | (tcp || packet ? MSG_OOB : 0));
	if (err >= 0 || err == -EAGAIN)
		return 0;
	if ((tcp || packet) && err == -EINVAL)
		return 0;
	return tcp && err == -ENOTCONN ? 0 : err;
}

int zcio_socket_may_send(struct socket *sock, bool nonblock, bool nosignal)
{
	struct msghdr msg = {
		.msg_flags = (nonblock ? MSG_DONTWAIT : 0) |
			     (nosignal ? MSG_NOSIGNAL : 0),
	};
	int err;

	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, NULL, 0, 0);
	err = sock_sendmsg(sock, &msg);
	return err > 0 ? 0 : err;
}

void zcio_lock_sock(struct socket *sock)
{
	lock_sock(sock->sk);
}

void zcio_release_sock(struct socket *sock)
{
	release_sock(sock->sk);
}

/* ---- TCP ---- */

/* A connection that was there and is gone counts: there may be data, or an error. */
bool zcio_tcp_connected(struct socket *sock)
{
	struct sock *sk = sock->sk;

	switch (inet_sk_state_load(sk)) {
	case TCP_LISTEN:
		return false;
	case TCP_CLOSE:
		return sock_flag(sk, SOCK_DONE) || READ_ONCE(sk->sk_err) ||
		       READ_ONCE(sk->sk_shutdown);
	default:
		return true;
	}
}

/* Bytes that can be read before the urgent mark; steps over the mark if it is due. */
static u32 readable(struct sock *sk)
{
	struct tcp_sock *tp = tcp_sk(sk);
	u32 n, urg;

	for (;;) {
		if (inet_sk_state_load(sk) == TCP_SYN_SENT ||
		    inet_sk_state_load(sk) == TCP_SYN_RECV)
			return 0;
		n = tp->rcv_nxt - tp->copied_seq;
		if (n && sock_flag(sk, SOCK_DONE))
			n--;			/* the FIN */
		if (likely(!tp->urg_data))
			return n;
		urg = tp->urg_seq - tp->copied_seq;
		if (urg >= n)
			return n;
		if (urg)
			return urg;
		if (sock_flag(sk, SOCK_URGINLINE))
			return n;
		/* As tcp_recvmsg(): the urgent byte itself is not in the stream. */
		zcio_tcp_consume(sk->sk_socket, 1);
	}
}

/*
 * Waits as tcp_recvmsg() does until as much can be read as SO_RCVLOWAT asks (but
 * at most @capacity). Returns the number of bytes, 0 at the end of the stream.
 */
long zcio_tcp_wait_data(struct socket *sock, u32 capacity, bool nonblock)
{
	struct sock *sk = sock->sk;
	long timeo = sock_rcvtimeo(sk, nonblock);
	int target, err;
	u32 n;

	if (sk->sk_state == TCP_LISTEN)
		return -ENOTCONN;
	sock_rps_record_flow(sk);
	target = sock_rcvlowat(sk, false, min_t(u32, capacity, INT_MAX));

	for (;;) {
		bool over;

		err = zcio_splice_wait_locked(sk, nonblock);
		if (err)
			return err;
		over = sk->sk_err || sk->sk_state == TCP_CLOSE || (sk->sk_shutdown & RCV_SHUTDOWN);
		n = readable(sk);
		if (n && (n >= target || over || !timeo || signal_pending(current) ||
			  tcp_epollin_ready(sk, target)))
			return n;
		if (!n) {
			if (sock_flag(sk, SOCK_DONE))
				return 0;
			if (sk->sk_err)
				return sock_error(sk);
			if (sk->sk_shutdown & RCV_SHUTDOWN)
				return 0;
			if (sk->sk_state == TCP_CLOSE)
				return -ENOTCONN;
			if (!timeo)
				return -EAGAIN;
			if (signal_pending(current))
				return sock_intr_errno(timeo);
		}
		err = sk_wait_data(sk, &timeo, skb_peek_tail(&sk->sk_receive_queue));
		if (err < 0)
			return err;
	}
}

void zcio_tcp_start(struct socket *sock, struct zcio_cursor *cur, u32 limit)
{
	struct sock *sk = sock->sk;

	cur->offset = 0;
	cur->left = min(limit, readable(sk));
	cur->end = tcp_sk(sk)->copied_seq + cur->left;
	cur->head = tcp_recv_skb(sk, tcp_sk(sk)->copied_seq, &cur->offset);
}

/*
 * The skb that has the next bytes. NULL at the end, or when device memory comes that the CPU
 * cannot read.
 */
static struct sk_buff *next_skb(struct sock *sk, struct zcio_cursor *cur)
{
	while (cur->head && cur->left) {
		struct sk_buff *skb = cur->head;

		if (cur->offset < skb->len)
			return skb_frags_readable(skb) ? skb : NULL;
		cur->head = skb_queue_is_last(&sk->sk_receive_queue, skb) ?
			    NULL : skb_queue_next(&sk->sk_receive_queue, skb);
		/* What is sent again may overlap: begin behind what the last one had. */
		if (cur->head)
			cur->offset = cur->end - cur->left - TCP_SKB_CB(cur->head)->seq;
	}
	return NULL;
}

/* Fills @segs with the next segments and moves @cur behind them. Returns how many. */
u32 zcio_tcp_segments(struct socket *sock, struct zcio_cursor *cur,
		      struct zcio_seg *segs, u32 max)
{
	struct sk_buff *skb = next_skb(sock->sk, cur);

	return skb ? zcio_skb_segments(skb, cur, segs, max) : 0;
}

/* Bytes in the largest frag of the skb that @cur is at; 0 if it has none. */
u32 zcio_tcp_largest_frag(const struct zcio_cursor *cur)
{
	const struct skb_shared_info *info = cur->head ? skb_shinfo(cur->head) : NULL;
	u32 largest = 0;

	for (int i = 0; info && i < info->nr_frags; i++)
		largest = max(largest, skb_frag_size(&info->frags[i]));
	return largest;
}

/*
 * Copies the next bytes, at most @len, to the beginning of @page and moves @cur behind them.
 * Returns how many.
 */
long zcio_tcp_copy(struct socket *sock, struct zcio_cursor *cur, struct page *page, u32 len)
{
	struct sk_buff *skb;
	u32 done = 0;

	while (done < len && (skb = next_skb(sock->sk, cur))) {
		u32 n = min3(len - done, cur->left, skb->len - cur->offset);
		int err = zcio_skb_copy(skb, cur->offset, page, done, n);

		if (err)
			return err;
		cur->offset += n;
		cur->left -= n;
		done += n;
	}
	return done;
}

void zcio_tcp_consume(struct socket *sock, u32 len)
{
	struct sock *sk = sock->sk;
	struct tcp_sock *tp = tcp_sk(sk);

	sk_peek_offset_bwd(sk, len);
	tcp_read_done(sk, len);
	if (unlikely(tp->urg_data) && after(tp->copied_seq, tp->urg_seq)) {
		WRITE_ONCE(tp->urg_data, 0);
		tcp_fast_path_check(sk);
	}
}

/* Waits until the send buffer takes at least something, or sending would fail anyhow. */
int zcio_tcp_wait_space(struct socket *sock, bool nonblock)
{
	struct sock *sk = sock->sk;
	long timeo = sock_sndtimeo(sk, nonblock);

	while (!sk_stream_memory_free(sk)) {
		int err;

		if (sk->sk_err || (sk->sk_shutdown & SEND_SHUTDOWN))
			return 0;
		set_bit(SOCK_NOSPACE, &sock->flags);
		err = sk_stream_wait_memory(sk, &timeo);
		if (err)
			return err == -EPIPE ? 0 : err;
	}
	return 0;
}

unsigned long zcio_now(void)
{
	return jiffies;
}

/* Is SO_SNDTIMEO over, for a call that waits @since then? */
bool zcio_tcp_timed_out(struct socket *sock, unsigned long since)
{
	long timeo = READ_ONCE(sock->sk->sk_sndtimeo);

	return timeo != MAX_SCHEDULE_TIMEOUT && time_after_eq(jiffies, since + timeo);
}

/*
 * A send took @err from the socket, and the call does not return it, as it has sent
 * something before: the next call is told. The others are not the socket's.
 */
void zcio_tcp_error_stays(struct socket *sock, int err)
{
	switch (err) {
	case -EAGAIN:
	case -EINTR:
	case -ERESTARTSYS:
	case -EPIPE:
	case -ENOMEM:
	case -ENOBUFS:
	case -EFAULT:
	case -EINVAL:
	case -EOPNOTSUPP:
		return;
	}
	cmpxchg(&sock->sk->sk_err, 0, -err);
}

/* Sends what MSG_MORE held back; TCP_CORK still does. Takes the socket lock. */
void zcio_tcp_push(struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);

	if (ops->splice_eof)
		ops->splice_eof(sock);
}

/*
 * Can the device send from many pages, or does the stack copy before it? Bytes that may
 * change (not @sealed) are also copied where the device leaves checksums to the stack.
 */
bool zcio_tcp_gathers(struct socket *sock, bool sealed)
{
	struct sock *sk = sock->sk;
	struct dst_entry *dst = __sk_dst_get(sk);
	netdev_features_t sums = NETIF_F_HW_CSUM, features;

	if (!(sk->sk_route_caps & NETIF_F_SG))
		return false;
	if (!dst)
		return true;
	sums |= dst->ops->family == AF_INET6 ? NETIF_F_IPV6_CSUM : NETIF_F_IP_CSUM;
	rcu_read_lock();
	features = READ_ONCE(dst_dev_rcu(dst)->features);
	rcu_read_unlock();
	return (features & NETIF_F_SG) && (sealed || (features & sums));
}

/*
 * MSG_NO_SHARED_FRAGS: the pages were taken from the application before this call,
 * nobody can write to them any more. Without it the stack marks the bytes as ones that
 * may change, and copies them where they must not.
 */
long zcio_tcp_send_pages(struct socket *sock, struct bio_vec *vecs, u32 n,
			 size_t len, bool nonblock, bool more, bool nosignal, bool sealed)
{
	struct msghdr msg = {
		.msg_flags = MSG_SPLICE_PAGES |
			     (sealed ? MSG_NO_SHARED_FRAGS : 0) |
			     (nonblock ? MSG_DONTWAIT : 0) |
			     (more ? MSG_MORE : 0) |
			     (nosignal ? MSG_NOSIGNAL : 0),
	};

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, vecs, n, len);
	return tcp_sendmsg_locked(sock->sk, &msg, len);
}

/* As sendmsg() of the same memory. Takes the socket lock. */
long zcio_send_user(struct socket *sock, const struct iovec *vecs, u32 n, size_t len,
		    bool nonblock, bool more, bool nosignal)
{
	struct msghdr msg = {
		.msg_flags = (nonblock ? MSG_DONTWAIT : 0) |
			     (more ? MSG_MORE : 0) |
			     (nosignal ? MSG_NOSIGNAL : 0),
	};

	iov_iter_init(&msg.msg_iter, ITER_SOURCE, vecs, n, len);
	return sock_sendmsg(sock, &msg);
}

/* ---- 32-bit processes ---- */

bool zcio_clear_user(unsigned long addr, unsigned long len)
{
	return !clear_user((void __user *)addr, len);
}

bool zcio_in_compat_syscall(void)
{
	return in_compat_syscall();
}

/* ---- charging ---- */

struct user_struct *zcio_user_get(void)
{
	return get_uid(current_user());
}

void zcio_user_put(struct user_struct *user)
{
	free_uid(user);
}

bool zcio_user_unlimited(void)
{
	return capable(CAP_IPC_LOCK);
}

/* The same counter that io_uring, MSG_ZEROCOPY and RDMA charge. */
bool zcio_user_charge(struct user_struct *user, unsigned long pages)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	long old = atomic_long_read(&user->locked_vm);

	do {
		if (pages > limit || old > (long)(limit - pages))
			return false;
	} while (!atomic_long_try_cmpxchg(&user->locked_vm, &old, old + pages));
	return true;
}

void zcio_user_uncharge(struct user_struct *user, unsigned long pages)
{
	atomic_long_sub(pages, &user->locked_vm);
}

/* How many pages may still be charged. */
unsigned long zcio_user_room(struct user_struct *user)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	unsigned long used = atomic_long_read(&user->locked_vm);

	return limit > used ? limit - used : 0;
}
