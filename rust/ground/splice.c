// SPDX-License-Identifier: GPL-2.0
/*
 * A socket's part in splices: struct zcio_party, one for each socket that is the source of a
 * splice, the drain of one, or both.
 *
 * While it lasts, the socket's callbacks (sk_data_ready and its like) and the operations of
 * its struct socket are ours. The callbacks wake the splice. The operations hold back who
 * reads from a source, and tell of a close or a disconnect before it happens, when nothing is
 * locked. When the socket is in no splice any more, all is put back as it was.
 *
 * TCP: a party is what is in the slot of an upper layer (ULP). That keeps kTLS and BPF
 * sockmaps away, which would have copied our operations; and its release() is called when the
 * connection is destroyed, should a close ever come another way. It is in sk_user_data, too:
 * who takes callbacks over (KCM) looks at that, and would put ours back after we are gone. The
 * slot, the callbacks and the operations change under the socket lock only.
 *
 * Locks: the socket lock, then sk_callback_lock, then party->lock, under which nothing sleeps
 * and no other lock is taken but a work queue's. A party is found under RCU, and freed after a
 * grace period. It holds a reference to its struct sock for each side, and one to each splice.
 *
 * The operations are in splice_ops.c. How UDP differs is in splice_udp.c.
 */
#include <linux/net.h>
#include <linux/rcupdate.h>
#include <linux/skmsg.h>
#include <linux/slab.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "splice_party.h"

/* ---- who takes part ---- */

static void ulp_release(struct sock *sk);

static struct tcp_ulp_ops party_ulp __read_mostly = {
	.name = "zcio-splice",
	.release = ulp_release,
};

bool zcio_splice_is_ours(const struct sock *sk)
{
	return READ_ONCE(inet_csk(sk)->icsk_ulp_ops) == &party_ulp;
}

/*
 * Under RCU. The data first: another upper layer can come after us, which then has ops of its
 * own, but none can have been before us.
 */
static struct zcio_party *party_of(struct sock *sk)
{
	struct zcio_party *party;

	if (sk_is_udp(sk))
		return zcio_udp_party(sk);
	if (!sk_is_tcp(sk))
		return NULL;
	party = rcu_dereference(inet_csk(sk)->icsk_ulp_data);
	smp_rmb(); /* pairs with smp_wmb() in hook() */
	return zcio_splice_is_ours(sk) ? party : NULL;
}

/* Is there a splice on that side, which knows of it now? */
bool zcio_party_tell(struct zcio_party *party, u32 side, u32 event)
{
	void *splice;

	spin_lock_bh(&party->lock);
	splice = party->splices[side];
	if (splice)
		party->calls->woken(splice, event);
	spin_unlock_bh(&party->lock);
	return splice;
}

static void tell_both(struct zcio_party *party)
{
	zcio_party_tell(party, ZCIO_SIDE_SOURCE, ZCIO_EVENT_STATE);
	zcio_party_tell(party, ZCIO_SIDE_DRAIN, ZCIO_EVENT_STATE);
}

bool zcio_splice_is_source(struct sock *sk)
{
	struct zcio_party *party;
	bool is;

	rcu_read_lock();
	party = party_of(sk);
	is = party && READ_ONCE(party->splices[ZCIO_SIDE_SOURCE]);
	rcu_read_unlock();
	return is;
}

/* A reference to the splice that the socket is the source of, if it has these calls. */
void *zcio_party_splice(struct socket *sock, const struct zcio_splice_calls *calls)
{
	struct zcio_party *party;
	void *splice = NULL;

	rcu_read_lock();
	party = sock->sk ? party_of(sock->sk) : NULL;
	if (party) {
		spin_lock_bh(&party->lock);
		splice = party->splices[ZCIO_SIDE_SOURCE];
		if (splice && party->calls == calls)
			splice = calls->get(splice);
		else
			splice = NULL;
		spin_unlock_bh(&party->lock);
	}
	rcu_read_unlock();
	return splice;
}

/* Both splices of a socket end: it is closed, or loses its connection. */
void zcio_party_close(struct sock *sk)
{
	const struct zcio_splice_calls *calls = NULL;
	void *splices[2] = {};
	struct zcio_party *party;

	rcu_read_lock();
	party = party_of(sk);
	if (party) {
		spin_lock_bh(&party->lock);
		calls = party->calls;
		for (int side = 0; side < 2; side++)
			if (party->splices[side])
				splices[side] = calls->get(party->splices[side]);
		spin_unlock_bh(&party->lock);
	}
	rcu_read_unlock();
	for (int side = 0; side < 2; side++)
		if (splices[side])
			calls->closed(splices[side]);
}

/* ---- the socket's callbacks ---- */

/* The readers are not woken: what has come is not theirs. */
static void on_data_ready(struct sock *sk)
{
	struct zcio_party *party;

	rcu_read_lock();
	party = party_of(sk);
	if (!party)
		zcio_call_present(sk, READ_ONCE(sk->sk_data_ready), on_data_ready);
	else if (!zcio_party_tell(party, ZCIO_SIDE_SOURCE, ZCIO_EVENT_DATA))
		party->data_ready(sk);
	rcu_read_unlock();
}

/* The splice waits as a writer in poll() would: until a good part of the buffer is free. */
static void on_write_space(struct sock *sk)
{
	struct zcio_party *party;

	rcu_read_lock();
	party = party_of(sk);
	if (!party) {
		zcio_call_present(sk, READ_ONCE(sk->sk_write_space), on_write_space);
	} else {
		if (__sk_stream_is_writeable(sk, 1))
			zcio_party_tell(party, ZCIO_SIDE_DRAIN, ZCIO_EVENT_SPACE);
		party->write_space(sk);
	}
	rcu_read_unlock();
}

void zcio_on_state_change(struct sock *sk)
{
	struct zcio_party *party;

	rcu_read_lock();
	party = party_of(sk);
	if (!party) {
		zcio_call_present(sk, READ_ONCE(sk->sk_state_change), zcio_on_state_change);
	} else {
		tell_both(party);
		party->state_change(sk);
	}
	rcu_read_unlock();
}

void zcio_on_error_report(struct sock *sk)
{
	struct zcio_party *party;

	rcu_read_lock();
	party = party_of(sk);
	if (!party) {
		zcio_call_present(sk, READ_ONCE(sk->sk_error_report), zcio_on_error_report);
	} else {
		tell_both(party);
		party->error_report(sk);
	}
	rcu_read_unlock();
}

/* The connection is destroyed. Who is told finds the socket dead. */
static void ulp_release(struct sock *sk)
{
	struct zcio_party *party;

	rcu_read_lock();
	party = party_of(sk);
	if (party)
		tell_both(party);
	rcu_read_unlock();
}

/* ---- taking part, and ceasing to ---- */

/* Under the socket lock. */
static int hook(struct sock *sk, struct zcio_party *party)
{
	struct inet_connection_sock *icsk = inet_csk(sk);
	struct socket *sock = sk->sk_socket;
	const struct proto_ops *ours;

	if (!sock || sock_flag(sk, SOCK_DEAD))
		return -ENOTCONN;
	if (!zcio_socket_is_tcp(sock) || icsk->icsk_ulp_ops ||
	    rcu_access_pointer(icsk->icsk_ulp_data) || sk->sk_user_data)
		return -EOPNOTSUPP;
	ours = zcio_splice_operations(READ_ONCE(sock->ops));
	if (!ours)
		return -EOPNOTSUPP;

	write_lock_bh(&sk->sk_callback_lock);
	party->ops = READ_ONCE(sock->ops);
	party->data_ready = sk->sk_data_ready;
	party->write_space = sk->sk_write_space;
	party->state_change = sk->sk_state_change;
	party->error_report = sk->sk_error_report;
	rcu_assign_pointer(icsk->icsk_ulp_data, party);
	smp_wmb(); /* pairs with smp_rmb() in party_of() */
	WRITE_ONCE(icsk->icsk_ulp_ops, &party_ulp);
	rcu_assign_sk_user_data(sk, party);
	WRITE_ONCE(sk->sk_data_ready, on_data_ready);
	WRITE_ONCE(sk->sk_write_space, on_write_space);
	WRITE_ONCE(sk->sk_state_change, zcio_on_state_change);
	WRITE_ONCE(sk->sk_error_report, zcio_on_error_report);
	WRITE_ONCE(sock->ops, ours);
	write_unlock_bh(&sk->sk_callback_lock);
	return 0;
}

/* Under the socket lock. Only what is still ours is put back. */
static void unhook(struct sock *sk, struct zcio_party *party)
{
	struct inet_connection_sock *icsk = inet_csk(sk);

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket && zcio_splice_operates(READ_ONCE(sk->sk_socket->ops)))
		WRITE_ONCE(sk->sk_socket->ops, party->ops);
	if (sk->sk_data_ready == on_data_ready)
		WRITE_ONCE(sk->sk_data_ready, party->data_ready);
	if (sk->sk_write_space == on_write_space)
		WRITE_ONCE(sk->sk_write_space, party->write_space);
	if (sk->sk_state_change == zcio_on_state_change)
		WRITE_ONCE(sk->sk_state_change, party->state_change);
	if (sk->sk_error_report == zcio_on_error_report)
		WRITE_ONCE(sk->sk_error_report, party->error_report);
	if (icsk->icsk_ulp_ops == &party_ulp)
		WRITE_ONCE(icsk->icsk_ulp_ops, NULL);
	if (rcu_access_pointer(icsk->icsk_ulp_data) == party)
		RCU_INIT_POINTER(icsk->icsk_ulp_data, NULL);
	if (rcu_access_pointer(__sk_user_data(sk)) == party)
		rcu_assign_sk_user_data(sk, NULL);
	write_unlock_bh(&sk->sk_callback_lock);
}

/*
 * The kind of a socket: ZCIO_SPLICE_*. -EPROTONOSUPPORT for a protocol that is not known,
 * -EOPNOTSUPP for one with an upper layer.
 */
int zcio_splice_kind(struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (sk && sk_is_udp(sk))
		return zcio_udp_allowed(sock) ? ZCIO_SPLICE_UDP : -EOPNOTSUPP;
	if (!sk || !sk_is_tcp(sk) || sk->sk_protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	return zcio_socket_is_tcp(sock) ? ZCIO_SPLICE_TCP : -EOPNOTSUPP;
}

static int state_allows(struct socket *sock, u32 side)
{
	if (sk_is_udp(sock->sk))
		return side == ZCIO_SIDE_SOURCE || zcio_udp_connected(sock->sk) ? 0 : -ENOTCONN;
	if (inet_sk_state_load(sock->sk) == TCP_LISTEN)
		return -EOPNOTSUPP;
	return zcio_tcp_connected(sock) ? 0 : -ENOTCONN;
}

/* What security modules object to. Errors of the sockets themselves are for the splice. */
static int refused(int err)
{
	return err == -EACCES || err == -EPERM ? err : 0;
}

/* May one read from @source and write to @drain? -EOPNOTSUPP for those that listen. */
int zcio_splice_allowed(struct socket *source, struct socket *drain)
{
	int err = state_allows(source, ZCIO_SIDE_SOURCE) ?: state_allows(drain, ZCIO_SIDE_DRAIN);

	if (err)
		return err;
	if (sk_is_udp(source->sk)) {
		/* It would take an error away that is the program's to be told. */
		if (!READ_ONCE(source->sk->sk_err))
			err = refused(zcio_socket_may_receive(source));
		return err ?: refused(zcio_frame_may_send(drain));
	}
	err = refused(zcio_socket_may_receive(source));
	/* Likewise. */
	if (!err && !READ_ONCE(drain->sk->sk_err))
		err = refused(zcio_socket_may_send(drain, true, true));
	return err;
}

/* Two numbers that no other socket has, as long as it is open. */
void zcio_splice_identity(struct socket *sock, u64 *number, u64 *address)
{
	*number = SOCK_INODE(sock)->i_ino;
	*address = (unsigned long)sock->sk;
}

/*
 * The socket takes part in @splice on @side. With what is returned a reference to the splice
 * has been taken over. NULL with *@err: -EBUSY if there is one on that side already.
 */
struct zcio_party *zcio_party_join(struct socket *sock, u32 side,
				   const struct zcio_splice_calls *calls, void *splice, int *err)
{
	struct zcio_party *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT), *party;
	struct sock *sk = sock->sk;

	*err = -ENOMEM;
	if (!fresh)
		return NULL;
	fresh->sk = sk;
	fresh->last_cpu = -1;
	spin_lock_init(&fresh->lock);

	lock_sock(sk);
	*err = state_allows(sock, side);
	if (sk_is_udp(sk)) {
		party = *err ? NULL : zcio_udp_join(sk, fresh, side, calls, splice, err);
		release_sock(sk);
		if (party != fresh)
			kfree(fresh);
		return party;
	}
	party = zcio_splice_is_ours(sk) ?
		rcu_dereference_protected(inet_csk(sk)->icsk_ulp_data, lockdep_sock_is_held(sk)) :
		NULL;
	if (!*err && !party) {
		*err = hook(sk, fresh);
		party = fresh;
		if (!*err)
			fresh = NULL;
	}
	if (!*err) {
		spin_lock_bh(&party->lock);
		if (party->splices[side]) {
			*err = -EBUSY;
		} else {
			sock_hold(sk);
			party->calls = calls;
			WRITE_ONCE(party->splices[side], splice);
		}
		spin_unlock_bh(&party->lock);
	}
	release_sock(sk);
	kfree(fresh);
	return *err ? NULL : party;
}

/*
 * A program can keep a socket's lock for as long as it likes: it sends from memory that a page
 * fault brings when another program has an answer. Whoever works for all splices of a processor
 * must not wait for that. So this waits as lock_sock() does, but for a while only, and not at
 * all if that was in vain the last time. (The lock is taken as lock_sock() takes it.)
 */
static bool lock_soon(struct zcio_party *party)
{
	long patience = READ_ONCE(party->kept) ? 0 : msecs_to_jiffies(20) + 1;
	struct sock *sk = party->sk;
	DEFINE_WAIT(wait);
	bool kept;

	spin_lock_bh(&sk->sk_lock.slock);
	while (sock_owned_by_user_nocheck(sk) && patience) {
		prepare_to_wait_exclusive(&sk->sk_lock.wq, &wait, TASK_UNINTERRUPTIBLE);
		spin_unlock_bh(&sk->sk_lock.slock);
		patience = schedule_timeout(patience);
		spin_lock_bh(&sk->sk_lock.slock);
	}
	finish_wait(&sk->sk_lock.wq, &wait);
	kept = sock_owned_by_user_nocheck(sk);
	if (!kept) {
		mutex_acquire(&sk->sk_lock.dep_map, 0, 1, _RET_IP_);
		sk->sk_lock.owned = 1;
	}
	spin_unlock_bh(&sk->sk_lock.slock);
	WRITE_ONCE(party->kept, kept);
	return !kept;
}

/* Takes the socket's lock; false, unless @patient, if a program keeps it. */
bool zcio_party_lock(struct zcio_party *party, bool patient)
{
	if (!patient)
		return lock_soon(party);
	lock_sock(party->sk);
	return true;
}

void zcio_party_unlock(struct zcio_party *party)
{
	release_sock(party->sk);
}

/* A source is free again: tells @err, if it is not 0, and wakes whoever waits. */
void zcio_party_told(struct zcio_party *party, int err)
{
	struct sock *sk = party->sk;

	if (sock_flag(sk, SOCK_DEAD))
		return;
	if (err && !cmpxchg(&sk->sk_err, 0, err))
		party->error_report(sk); /* after a barrier: poll() reads the error last */
	party->state_change(sk);
	party->data_ready(sk);
}

/*
 * It does not any more. Returns the splice, with the reference that join() took over; NULL,
 * unless @patient, if a program keeps the socket's lock. Of a source, @err becomes the
 * socket's error, and whoever waits for it is woken.
 */
void *zcio_party_leave(struct zcio_party *party, u32 side, int err, bool patient)
{
	struct sock *sk = party->sk;
	void *splice;
	bool last;

	if (sk_is_udp(sk))
		return zcio_udp_leave(party, side, err);
	if (!zcio_party_lock(party, patient))
		return NULL;
	spin_lock_bh(&party->lock);
	splice = party->splices[side];
	WRITE_ONCE(party->splices[side], NULL);
	last = !party->splices[!side];
	spin_unlock_bh(&party->lock);
	if (last)
		unhook(sk, party);
	if (side == ZCIO_SIDE_SOURCE)
		zcio_party_told(party, err);
	release_sock(sk);
	sock_put(sk);
	if (last)
		kfree_rcu(party, rcu);
	return splice;
}
