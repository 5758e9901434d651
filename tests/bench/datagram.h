/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the jobs with datagrams share: what is in one, and the agreement by which the sender is
 * never far ahead of the receiver, so that next to nothing is lost on the way.
 *
 * All datagrams of a run have --size bytes. Datagram k begins with its number, and goes on with
 * the bytes of the positions from k * DATAGRAM_STEP on.
 *
 * The sender is at most WINDOW datagrams ahead of what the receiver has told it to have taken;
 * the receiver tells it by one message (bench.say) for each half of that. At the end the
 * sender tells how many there were, and the receiver how many came. Which of the two is the
 * measured side depends on the job.
 */
#ifndef DATAGRAM_H
#define DATAGRAM_H

#include "bench.h"

#define DATAGRAM_STEP	65536ULL
#define DATAGRAM_LEAST	64
#define DATAGRAM_MOST	8192

/*
 * Fewer than a device can hold that nobody looks after: e1000e has 256 buffers to receive into
 * unless told otherwise, loopback and veth a backlog of 1000 (net.core.netdev_max_backlog).
 */
#define WINDOW		224U

/* Datagrams of one call, for all ways that take a number of them. */
#define BATCH		64U

/* The most bytes that UDP_SEGMENT cuts in one go; and datagrams (it would take 128). */
#define JOINED_BYTES	65507UL
#define JOINED_COUNT	((size_t)WINDOW / 2)

/* How long a receiver waits before it looks whether that was all. */
#define QUIET_MS	500

struct flow {
	struct bench *b;
	uint64_t count;			/* datagrams of the job */
	uint64_t moved;			/* sent; or taken */
	uint64_t told;			/* taken, as the receiver has said */
	bool said;			/* receiver: the sender has said that this is all */
	bool over;			/* receiver: and nothing more came */

	/* Receiver: the datagram that is being taken. */
	size_t at;			/* bytes of it so far */
	uint64_t number;		/* what it begins with; as far as it has come */
	const void *last;		/* where the last one begins, while it is there */
	unsigned char *seen;		/* with --check: a bit for each that came */
};

/* Both sides begin with this. Says unable() when the job cannot have that many bytes or flows. */
void flow_open(struct flow *f, struct bench *b);

/* ---- the sender ---- */

/*
 * How many datagrams may be sent now: @most (no more than half the window) or all that are
 * left, after waiting until the receiver is near enough. 0 when all are sent.
 */
size_t flow_may(struct flow *f, size_t most);
/* Writes datagram @number. @whole: all of it, else only what a receiver that does not check needs. */
void datagram_make(const struct flow *f, void *to, uint64_t number, bool whole);
/* Whether the measured side makes new content for each. */
bool makes_content(const struct bench *b);
/* When all are sent: waits for the receiver. Returns how many did not come. */
uint64_t flow_finish(struct flow *f);

/* ---- the receiver ---- */

/* Is there more to take? */
bool flow_more(const struct flow *f);
/* The next bytes of what came; where one datagram ends the next one begins. */
void flow_take(struct flow *f, const void *from, size_t len);
/* Datagrams end here. */
void flow_whole(const struct flow *f);
/* After all of one call was taken, and while it is there: lets the sender go on. */
void flow_taken(struct flow *f);
/* Nothing came for QUIET_MS. */
void flow_quiet(struct flow *f);
/* When flow_more() says no: tells the sender so. Returns how many did not come. */
uint64_t flow_end(struct flow *f);

/* ---- frames, for those who go around the stack ---- */

/* Ethernet, IPv4 and UDP headers. */
#define FRAME_HEAD	42UL

/* Says unable() if the datagrams are not one frame each. */
void frames_fit(struct bench *b);
/* The headers of a datagram of bench.size bytes from bench.fds[0] to its peer. */
void frame_head(struct bench *b, unsigned char head[FRAME_HEAD]);
/* The port of bench.fds[0], or its peer's, as in the header. */
uint16_t port_of(struct bench *b, bool peer);
/* The kernel's UDP drops what comes for bench.fds[0]: it is taken elsewhere. */
void stack_drops(struct bench *b);
/* The loopback device takes frames that come from its own addresses. */
void loopback_accepts(void);

/*
 * ---- The ways; as the measured side, or its peer, which need not make or look at content
 * unless there is --check ----
 */

/* udp_receive.c: @joined: with UDP_GRO. */
void receive_mmsg(struct bench *b, bool measured, bool joined);
/* udp_send.c: @joined: with UDP_SEGMENT, or the call's own field for it. */
void send_mmsg(struct bench *b, bool measured, bool joined);
void send_zc(struct bench *b, bool measured, bool joined);

/* packet_ring.c, af_xdp.c */

void udp_receive_packet(struct bench *b);
void udp_send_packet(struct bench *b);
void udp_receive_xdp(struct bench *b);
void udp_send_xdp(struct bench *b);

#endif /* DATAGRAM_H */
