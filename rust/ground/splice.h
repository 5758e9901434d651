/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the Rust side calls to splice sockets: a socket's part in it (splice.c, splice_ops.c),
 * moving the bytes of TCP (splice_tcp.c) and datagrams (splice_udp*.c), a queue and timers
 * (splice_work.c), files that tell of an end (splice_handle.c).
 */
#ifndef ZCIO_SPLICE_H
#define ZCIO_SPLICE_H

#include <linux/types.h>

struct file;
struct sk_buff;
struct poll_table_struct;
struct sock;
struct socket;
struct workqueue_struct;
struct zcio_alarm;
struct zcio_batch;
struct zcio_party;

/* The two sides of a splice; a socket can be on each of them once. */
#define ZCIO_SIDE_SOURCE	0
#define ZCIO_SIDE_DRAIN		1

/* What a splice is woken for. */
#define ZCIO_EVENT_DATA		0	/* the source has more to read */
#define ZCIO_EVENT_SPACE	1	/* the drain takes more */
#define ZCIO_EVENT_STATE	2	/* one of them is connected, shut down, reset, … */
#define ZCIO_EVENT_ALARM	3	/* the time asked for is over */

/* What is called of a splice; @splice is what was given with the calls. */
struct zcio_splice_calls {
	/* From any context but hard interrupts; the splice is there as long as it lasts. */
	void (*woken)(void *splice, u32 event);
	/* One more reference; likewise. */
	void *(*get)(void *splice);
	/* A socket of it is being closed; takes over a reference, may sleep. */
	void (*closed)(void *splice);
	/* UDP: there may be something to move. With BH disabled; takes over a reference. */
	void (*moves)(void *splice);
};

/* The kinds of sockets that are spliced. */
#define ZCIO_SPLICE_TCP		1
#define ZCIO_SPLICE_UDP		2

int zcio_splice_init(void);
void zcio_splice_exit(void);
struct workqueue_struct *zcio_splice_queue(u32 kind);

/* Sockets that take part. */
int zcio_splice_kind(struct socket *sock);
int zcio_splice_allowed(struct socket *source, struct socket *drain);
void zcio_splice_identity(struct socket *sock, u64 *number, u64 *address);
struct zcio_party *zcio_party_join(struct socket *sock, u32 side,
				   const struct zcio_splice_calls *calls, void *splice, int *err);
void *zcio_party_leave(struct zcio_party *party, u32 side, int err, bool patient);
void *zcio_party_splice(struct socket *sock, const struct zcio_splice_calls *calls);
bool zcio_party_lock(struct zcio_party *party, bool patient);
void zcio_party_unlock(struct zcio_party *party);

/* For recvmsg() and its like: waits until the socket is no source. */
bool zcio_splice_is_source(struct sock *sk);
int zcio_splice_wait(struct sock *sk, bool nonblock);
int zcio_splice_wait_locked(struct sock *sk, bool nonblock);
bool zcio_splice_is_ours(const struct sock *sk);

/* What can be said of a source … */
struct zcio_source_seen {
	u32 ready;		/* bytes that can be moved now, in order */
	bool urgent;		/* the first of them is urgent */
	bool finished;		/* there will be no more */
	bool gone;		/* it is not connected any more */
	s32 error;		/* the socket's, positive, or 0 */
};

/* … and of a drain. */
struct zcio_drain_seen {
	bool connected;
	bool connecting;
	bool shut;		/* for sending */
	s32 error;
};

/* What became of a batch that was sent. */
struct zcio_sent {
	s64 taken;		/* bytes, or an errno below 0 */
	u64 copied;		/* of these */
	bool short_of_memory;	/* that is why it was not all: no space will be told of */
};

/* TCP. Under the socket's lock but the batch's own. */
struct zcio_batch *zcio_batch_alloc(void);
void zcio_batch_free(struct zcio_batch *batch);
void zcio_source_look(struct zcio_party *party, struct zcio_source_seen *seen);
long zcio_source_gather(struct zcio_party *party, struct zcio_batch *batch, u32 max);
void zcio_source_consume(struct zcio_party *party, const struct zcio_batch *batch, u32 len);
void zcio_drain_look(struct zcio_party *party, struct zcio_drain_seen *seen);
void zcio_drain_send(struct zcio_party *party, struct zcio_batch *batch, bool urgent,
		     bool keep_error, struct zcio_sent *sent);

/* UDP: the first datagram that a source has … */
struct zcio_datagram_seen {
	struct sk_buff *skb;	/* no reference: it can be gone as soon as others run; or NULL */
	u32 len;
	u32 segment;		/* the size of the datagrams that it was joined from, or 0 */
	u32 hops;		/* how often splices of this machine have moved it */
	bool unreadable;	/* device memory */
	bool unusual;		/* it takes a task to send it */
	bool finished;		/* after it there will be no more */
	s32 error;
};

/* … and what became of it. */
#define ZCIO_PASS_MOVED		0
#define ZCIO_PASS_FULL		1	/* no room: space will be told of */
#define ZCIO_PASS_GONE		2	/* it is not the first one any more */
#define ZCIO_PASS_UNUSUAL	3	/* it takes a task to send it */
#define ZCIO_PASS_AGAIN		4	/* memory was short, or the drain is corked */
#define ZCIO_PASS_FAILED	5
#define ZCIO_PASS_BEHIND	6	/* it would overtake others: try again at once, in a task */

struct zcio_passed {
	u32 result;		/* ZCIO_PASS_* */
	s32 error;		/* an errno below 0, if it failed */
	u32 copied;		/* bytes that were copied on the way */
};

/* With BH disabled. */
void zcio_udp_look(struct zcio_party *source, struct zcio_datagram_seen *seen);
void zcio_udp_pass(struct zcio_party *source, struct zcio_party *drain,
		   const struct zcio_datagram_seen *seen, struct zcio_passed *passed);
struct sk_buff *zcio_udp_take(struct zcio_party *source, const struct zcio_datagram_seen *seen);
void zcio_udp_put_back(struct zcio_party *source, struct sk_buff *skb);
int zcio_udp_split(struct zcio_party *source, const struct zcio_datagram_seen *seen);
void zcio_udp_settle(struct zcio_party *source);
void zcio_bh_disable(void);
void zcio_bh_enable(void);

/* In a task. */
void zcio_udp_send_taken(struct zcio_party *drain, struct sk_buff *skb, struct zcio_batch *batch,
			 bool keep_error, struct zcio_passed *passed);
void zcio_udp_sent(struct zcio_party *source, struct sk_buff *skb);
void zcio_udp_drop(struct sk_buff *skb);

/* A timer; freeing it waits until it does not run. */
struct zcio_alarm *zcio_alarm_alloc(const struct zcio_splice_calls *calls, void *splice);
void zcio_alarm_free(struct zcio_alarm *alarm);
void zcio_alarm_set(struct zcio_alarm *alarm, u64 ticks);
u64 zcio_ticks(void);
u64 zcio_ticks_of(u64 ns);

/* Files that belong to one splice each. */
struct zcio_handle_calls {
	/* Adds whoever polls; says whether the splice is over. */
	bool (*poll)(void *splice, struct file *file, struct poll_table_struct *table);
	/* The file is closed; takes over the reference that it had. */
	void (*release)(void *splice);
};

int zcio_handle_new(const struct zcio_handle_calls *calls, void *splice, struct file **file);
void zcio_handle_install(int fd, struct file *file);
void zcio_handle_abandon(int fd, struct file *file);
void *zcio_handle_find(int fd, const struct zcio_handle_calls *calls, struct file **file);
void zcio_handle_put(struct file *file);

#endif
