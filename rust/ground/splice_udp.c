// SPDX-License-Identifier: GPL-2.0
/*
 * A UDP socket's part in splices: what is other than with TCP (splice.c).
 *
 * A party is in sk_user_data, which keeps tunnels and BPF sockmaps away. Callbacks and
 * operations change under sk_callback_lock alone, so that no end of a splice waits for a
 * socket lock: a program can keep one for as long as it likes.
 *
 * Datagrams move where they come in, in the callback itself. Nothing of ours is locked then:
 * sending can call us back at once. Not so where they have left: a driver may free them with
 * its transmit queue locked, as virtio_net does, and a qdisc with its own lock held, which
 * sending would take again.
 */
#include <linux/rcupdate.h>
#include <linux/skmsg.h>
#include <net/sock.h>
#include <net/udp.h>

#include "splice_party.h"

static void on_data_ready(struct sock *sk);

/*
 * Under RCU. Whose pointer it is says the callback: it is set after the pointer, and put back
 * before the pointer goes. The pointer is read again, as all of that may have happened, and
 * be undone, between the two.
 */
struct zcio_party *zcio_udp_party(struct sock *sk)
{
	struct zcio_party *party = rcu_dereference_sk_user_data(sk);

	if (!party)
		return NULL;
	smp_rmb(); /* pairs with smp_wmb() in hook() and unhook() */
	if (READ_ONCE(sk->sk_data_ready) != on_data_ready)
		return NULL;
	smp_rmb(); /* as above */
	return party == rcu_dereference_sk_user_data(sk) ? party : NULL;
}

/* No tunnel, no BPF sockmap: those take datagrams elsewhere. */
bool zcio_udp_allowed(struct socket *sock)
{
	return zcio_socket_is_udp(sock);
}

bool zcio_udp_connected(const struct sock *sk)
{
	return READ_ONCE(sk->sk_state) == TCP_ESTABLISHED;
}

/* Lets the splice that this is the source of move what it can. False if there is none. */
static bool moves(struct zcio_party *party)
{
	const struct zcio_splice_calls *calls;
	void *splice;

	local_bh_disable();
	spin_lock(&party->lock);
	calls = party->calls;
	splice = party->splices[ZCIO_SIDE_SOURCE];
	if (splice)
		splice = calls->get(splice);
	spin_unlock(&party->lock);
	if (splice)
		calls->moves(splice);
	local_bh_enable();
	return splice;
}

/* ---- the socket's callbacks ---- */

/* The readers are not woken: what has come is not theirs. */
static void on_data_ready(struct sock *sk)
{
	struct zcio_party *party;

	rcu_read_lock();
	party = zcio_udp_party(sk);
	if (!party)
		zcio_call_present(sk, READ_ONCE(sk->sk_data_ready), on_data_ready);
	else if (!READ_ONCE(party->splices[ZCIO_SIDE_SOURCE]) || !moves(party))
		party->data_ready(sk);
	rcu_read_unlock();
}

/* For each datagram that has left: quick, unless the splice waits for it. A task goes on. */
static void on_write_space(struct sock *sk)
{
	struct zcio_party *party;

	rcu_read_lock();
	party = zcio_udp_party(sk);
	if (!party) {
		zcio_call_present(sk, READ_ONCE(sk->sk_write_space), on_write_space);
	} else {
		if (READ_ONCE(party->wants_space) && sock_writeable(sk) &&
		    xchg(&party->wants_space, false))
			zcio_party_tell(party, ZCIO_SIDE_DRAIN, ZCIO_EVENT_SPACE);
		party->write_space(sk);
	}
	rcu_read_unlock();
}

/* ---- taking part, and ceasing to ---- */

/* Under sk_callback_lock. */
static void hook(struct sock *sk, struct zcio_party *party, const struct proto_ops *ours)
{
	party->ops = READ_ONCE(sk->sk_socket->ops);
	party->data_ready = sk->sk_data_ready;
	party->write_space = sk->sk_write_space;
	party->state_change = sk->sk_state_change;
	party->error_report = sk->sk_error_report;
	rcu_assign_sk_user_data(sk, party);
	smp_wmb(); /* pairs with smp_rmb() in zcio_udp_party() */
	WRITE_ONCE(sk->sk_data_ready, on_data_ready);
	WRITE_ONCE(sk->sk_write_space, on_write_space);
	WRITE_ONCE(sk->sk_state_change, zcio_on_state_change);
	WRITE_ONCE(sk->sk_error_report, zcio_on_error_report);
	WRITE_ONCE(sk->sk_socket->ops, ours);
}

/* Likewise. Only what is still ours is put back. */
static void unhook(struct sock *sk, struct zcio_party *party)
{
	if (sk->sk_socket && zcio_splice_operates(READ_ONCE(sk->sk_socket->ops)))
		WRITE_ONCE(sk->sk_socket->ops, party->ops);
	if (sk->sk_write_space == on_write_space)
		WRITE_ONCE(sk->sk_write_space, party->write_space);
	if (sk->sk_state_change == zcio_on_state_change)
		WRITE_ONCE(sk->sk_state_change, party->state_change);
	if (sk->sk_error_report == zcio_on_error_report)
		WRITE_ONCE(sk->sk_error_report, party->error_report);
	if (sk->sk_data_ready == on_data_ready)
		WRITE_ONCE(sk->sk_data_ready, party->data_ready);
	smp_wmb(); /* pairs with smp_rmb() in zcio_udp_party() */
	if (rcu_access_pointer(__sk_user_data(sk)) == party)
		rcu_assign_sk_user_data(sk, NULL);
}

/*
 * Under the socket lock, which others who take over sk_user_data hold, too. Returns the
 * socket's party, which may be @fresh; NULL with *@err.
 */
struct zcio_party *zcio_udp_join(struct sock *sk, struct zcio_party *fresh, u32 side,
				 const struct zcio_splice_calls *calls, void *splice, int *err)
{
	const struct proto_ops *ours = NULL;
	struct zcio_party *party;

	if (sk->sk_socket) {
		ours = READ_ONCE(sk->sk_socket->ops);
		if (!zcio_splice_operates(ours))
			ours = zcio_splice_operations(ours);
	}

	write_lock_bh(&sk->sk_callback_lock);
	rcu_read_lock();
	party = zcio_udp_party(sk);
	rcu_read_unlock();
	if (!sk->sk_socket || sock_flag(sk, SOCK_DEAD)) {
		*err = -ENOTCONN;
	} else if (party) {
		spin_lock(&party->lock);
		if (party->splices[side])
			*err = -EBUSY;
		else
			WRITE_ONCE(party->splices[side], splice);
		spin_unlock(&party->lock);
	} else if (!ours || rcu_access_pointer(__sk_user_data(sk))) {
		*err = -EOPNOTSUPP;
	} else {
		party = fresh;
		party->calls = calls;
		party->splices[side] = splice;
		hook(sk, party, ours);
	}
	if (!*err)
		sock_hold(sk);
	write_unlock_bh(&sk->sk_callback_lock);
	return *err ? NULL : party;
}

/* See zcio_party_leave(). */
void *zcio_udp_leave(struct zcio_party *party, u32 side, int err)
{
	struct sock *sk = party->sk;
	void *splice;
	bool last;

	if (side == ZCIO_SIDE_SOURCE)
		zcio_udp_settle(party);
	rcu_read_lock(); /* the other side may free the party */
	write_lock_bh(&sk->sk_callback_lock);
	spin_lock(&party->lock);
	splice = party->splices[side];
	WRITE_ONCE(party->splices[side], NULL);
	last = !party->splices[!side];
	spin_unlock(&party->lock);
	if (last)
		unhook(sk, party);
	write_unlock_bh(&sk->sk_callback_lock);
	if (side == ZCIO_SIDE_SOURCE)
		zcio_party_told(party, err);
	rcu_read_unlock();
	sock_put(sk);
	if (last)
		kfree_rcu(party, rcu);
	return splice;
}
