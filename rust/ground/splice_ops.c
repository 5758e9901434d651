// SPDX-License-Identifier: GPL-2.0
/*
 * The operations of a struct socket while it is in a splice: the kernel's own, but for those
 * that would read from a source, and those that tell that the socket's connection goes away.
 *
 * Who is in one keeps the module; see zcio_splice_exit() for who is on the way in or out.
 */
#include <linux/delay.h>
#include <linux/in6.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/wait.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "splice_party.h"

/* For each table of the kernel's there is one of ours. They are made when first needed. */
static struct operations {
	struct proto_ops ours;
	const struct proto_ops *base;
} tables[4];
static DEFINE_MUTEX(tables_lock);

/* Calls that are in one of our operations. */
static atomic_t inside = ATOMIC_INIT(0);

static void enter(void)
{
	atomic_inc(&inside);
	__module_get(THIS_MODULE);
}

static void leave(void)
{
	module_put(THIS_MODULE);
	atomic_dec(&inside);
}

static const struct operations *table_of(const struct proto_ops *ops)
{
	for (int i = 0; i < ARRAY_SIZE(tables); i++)
		if (ops == &tables[i].ours)
			return &tables[i];
	return NULL;
}

/* Are these ours? */
bool zcio_splice_operates(const struct proto_ops *ops)
{
	return table_of(ops);
}

/* What the kernel would have called. */
static const struct proto_ops *plain(struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);
	const struct operations *table = table_of(ops);

	return table ? table->base : ops;
}

/*
 * Waits as recvmsg() does until the socket is not the source of a splice: signals,
 * O_NONBLOCK, SO_RCVTIMEO.
 */
int zcio_splice_wait(struct sock *sk, bool nonblock)
{
	long timeo = sock_rcvtimeo(sk, nonblock);
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err = 0;

	if (!zcio_splice_is_source(sk))
		return 0;
	add_wait_queue(sk_sleep(sk), &wait);
	while (zcio_splice_is_source(sk)) {
		if (!timeo)
			err = -EAGAIN;
		else if (signal_pending(current))
			err = sock_intr_errno(timeo);
		if (err)
			break;
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
	}
	remove_wait_queue(sk_sleep(sk), &wait);
	return err;
}

/* The same under the socket lock, which is let go of meanwhile. */
int zcio_splice_wait_locked(struct sock *sk, bool nonblock)
{
	int err = 0;

	while (!err && zcio_splice_is_source(sk)) {
		release_sock(sk);
		err = zcio_splice_wait(sk, nonblock);
		lock_sock(sk);
	}
	return err;
}

/* Errors and urgent bytes out of line are not of the stream. */
static int op_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)
{
	int err = 0;

	enter();
	if (!(flags & (MSG_ERRQUEUE | MSG_OOB)))
		err = zcio_splice_wait(sock->sk, flags & MSG_DONTWAIT);
	if (!err)
		err = plain(sock)->recvmsg(sock, msg, size, flags);
	leave();
	return err;
}

static ssize_t op_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe,
			      size_t len, unsigned int flags)
{
	const struct proto_ops *base;
	ssize_t ret;

	enter();
	ret = zcio_splice_wait(sock->sk, sock->file->f_flags & O_NONBLOCK);
	base = plain(sock);
	if (!ret)
		ret = base->splice_read ? base->splice_read(sock, pos, pipe, len, flags) : -EINVAL;
	leave();
	return ret;
}

/*
 * Of a source, only what concerns writing is told, and what waits beside the stream: whatever
 * has happened on its other side, the splice has not come there yet.
 */
static __poll_t op_poll(struct file *file, struct socket *sock, struct poll_table_struct *table)
{
	struct sock *sk = sock->sk;
	__poll_t mask;

	enter();
	mask = plain(sock)->poll(file, sock, table);
	if (zcio_splice_is_source(sk))
		mask &= EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | EPOLLPRI |
			(skb_queue_empty_lockless(&sk->sk_error_queue) ? 0 : EPOLLERR);
	leave();
	return mask;
}

static int op_release(struct socket *sock)
{
	int ret;

	enter();
	if (sock->sk)
		zcio_party_close(sock->sk);
	ret = plain(sock)->release(sock);
	leave();
	return ret;
}

static int op_connect(struct socket *sock, struct sockaddr_unsized *addr, int len, int flags)
{
	int ret;

	enter();
	if (len >= (int)sizeof(sa_family_t) && ((struct sockaddr *)addr)->sa_family == AF_UNSPEC)
		zcio_party_close(sock->sk);
	ret = plain(sock)->connect(sock, addr, len, flags);
	leave();
	return ret;
}

/* IPV6_ADDRFORM would give the socket other operations. */
static int op_setsockopt(struct socket *sock, int level, int name, sockptr_t value,
			 unsigned int len)
{
	int ret = -EBUSY;

	enter();
	if (level != SOL_IPV6 || name != IPV6_ADDRFORM)
		ret = plain(sock)->setsockopt(sock, level, name, value, len);
	leave();
	return ret;
}

static bool reads(struct sock *sk, int level, int name)
{
	return level == SOL_TCP && name == TCP_ZEROCOPY_RECEIVE && zcio_splice_is_source(sk);
}

static int op_getsockopt(struct socket *sock, int level, int name, char __user *value,
			 int __user *len)
{
	int ret = -EAGAIN;

	enter();
	if (!reads(sock->sk, level, name))
		ret = plain(sock)->getsockopt(sock, level, name, value, len);
	leave();
	return ret;
}

/* Our table for those operations; NULL if there are more kinds than are known. */
const struct proto_ops *zcio_splice_operations(const struct proto_ops *base)
{
	const struct proto_ops *found = NULL;

	mutex_lock(&tables_lock);
	for (int i = 0; i < ARRAY_SIZE(tables) && !found; i++) {
		struct operations *table = &tables[i];

		if (!table->base) {
			table->ours = *base;
			table->ours.recvmsg = op_recvmsg;
			table->ours.splice_read = base->splice_read ? op_splice_read : NULL;
			table->ours.poll = op_poll;
			table->ours.release = op_release;
			table->ours.connect = op_connect;
			table->ours.setsockopt = op_setsockopt;
			table->ours.getsockopt = op_getsockopt;
			table->base = base;
		}
		if (table->base == base)
			found = &table->ours;
	}
	mutex_unlock(&tables_lock);
	return found;
}

/*
 * Nothing is hooked any more. Somebody may still be on the way into one of them, which he had
 * looked up before, or on the way out.
 */
void zcio_splice_operations_exit(void)
{
	do {
		while (atomic_read(&inside))
			msleep(20);
		synchronize_rcu_tasks();
	} while (atomic_read(&inside));
}
