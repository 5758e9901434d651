// SPDX-License-Identifier: GPL-2.0
/*
 * Relaying datagrams, one way: who sends and takes them, and the ways to relay. The source is never
 * far ahead of the sink (datagram.h), so what is lost is the relay's loss.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "datagram.h"
#include "relay.h"
#include "send.h"

/* A process that relays is told the end by a datagram of this length, which is none of the job's. */
#define END	1

static void source(struct bench *b)
{
	send_mmsg(b, false, !strcmp(b->sender, "gso"));
	if (send(b->fds[0], "", END, 0) != END)
		die("the end");
}

static void sink(struct bench *b)
{
	receive_mmsg(b, false, false);
}

static void peer(struct bench *b)
{
	relay_sides(b, source, sink);
}

static bool known(const char *kind)
{
	return !strcmp(kind, "send") || !strcmp(kind, "gso");
}

/* Says what cannot be before the other side begins. */
static void fits(struct bench *b)
{
	struct flow f;

	flow_open(&f, b);
	free(f.seen);
	if (!strcmp(b->sender, "gso"))
		frames_fit(b);
}

/* ---- recvmmsg, sendmmsg ---- */

/* Bytes of one that is not joined, at most; what a relay would have room for. */
#define ROOM		9216UL
#define ROOM_JOINED	65536UL

struct messages {
	struct mmsghdr all[BATCH];
	struct iovec iov[BATCH];
	char control[BATCH][CMSG_SPACE(sizeof(int))];
	size_t room;			/* of each */
	bool joined;
};

/* Before they are received: room for each. */
static void clear(struct messages *m)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		m->iov[i].iov_len = m->room;
		m->all[i].msg_hdr.msg_control = m->joined ? m->control[i] : NULL;
		m->all[i].msg_hdr.msg_controllen = m->joined ? sizeof(m->control[i]) : 0;
	}
}

/* How long the datagrams are that came as one; 0: it is one. */
static uint16_t segment(struct msghdr *h, size_t len)
{
	int size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return (size_t)size < len ? size : 0;
	}
	return 0;
}

/* What came is to be sent, cut as it was. False: there is the end. */
static bool turn_round(struct messages *m, int n)
{
	for (int i = 0; i < n; i++) {
		struct msghdr *h = &m->all[i].msg_hdr;
		size_t len = m->all[i].msg_len;
		uint16_t cut = m->joined ? segment(h, len) : 0;

		if (len == END)
			return false;
		if (h->msg_flags & MSG_TRUNC) {
			errno = EMSGSIZE;
			die("a datagram that came");
		}
		m->iov[i].iov_len = len;
		h->msg_controllen = 0;
		if (cut) {
			struct cmsghdr *c = (struct cmsghdr *)m->control[i];

			*c = (struct cmsghdr) {
				.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(cut)),
			};
			memcpy(CMSG_DATA(c), &cut, sizeof(cut));
			h->msg_controllen = CMSG_SPACE(sizeof(cut));
		}
	}
	return true;
}

/* Should the end have been lost: the peer has said so. */
static bool peer_is_done(struct bench *b)
{
	struct pollfd p = { .fd = b->say, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void by_mmsg(struct bench *b, bool joined)
{
	struct messages *m = calloc(1, sizeof(*m));
	struct timeval quiet = { .tv_usec = QUIET_MS * 1000 };
	int from = from_source(b, 0), to = to_sink(b, 0), on = 1, n, sent;
	char *buf;

	fits(b);
	if (!m)
		die("memory");
	m->joined = joined;
	m->room = joined ? ROOM_JOINED : ROOM;
	buf = memory(BATCH * m->room);
	for (unsigned int i = 0; i < BATCH; i++) {
		m->iov[i].iov_base = buf + i * m->room;
		m->all[i].msg_hdr.msg_iov = &m->iov[i];
		m->all[i].msg_hdr.msg_iovlen = 1;
	}
	if ((joined && setsockopt(from, SOL_UDP, UDP_GRO, &on, sizeof(on))) ||
	    setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet)))
		die("the relay's socket");
	bench_start(b);
	for (;;) {
		clear(m);
		n = recvmmsg(from, m->all, BATCH, MSG_WAITFORONE, NULL);
		b->calls++;
		if (n < 0 && errno == EAGAIN) {
			if (peer_is_done(b))
				break;
			continue;
		}
		if (n < 0)
			die("recvmmsg");
		if (!turn_round(m, n))
			break;
		for (int done = 0; done < n; done += sent) {
			sent = sendmmsg(to, m->all + done, n - done, 0);
			b->calls++;
			if (sent < 0)
				die("sendmmsg");
		}
		for (int i = 0; i < n; i++)
			b->moved += m->iov[i].iov_len;
		b->payloads += n;
	}
	bench_stop(b);
	b->copied = b->moved;
	b->lost = relay_lost();
}

static void by_mmsg_plain(struct bench *b)
{
	by_mmsg(b, false);
}

static void by_mmsg_gro(struct bench *b)
{
	by_mmsg(b, true);
}

/* ---- zcio ---- */

static void by_zc(struct bench *b)
{
	fits(b);
	relay_by_zc(b, false);
	b->lost = relay_lost();
}

static const struct way ways[] = {
	{ "mmsg", "recvmmsg of 64, sendmmsg of them", by_mmsg_plain },
	{ "mmsg_gro", "the same, joined by UDP_GRO and cut again by UDP_SEGMENT", by_mmsg_gro },
	{ "zc_splice", "zcio_splice of the two sockets", by_zc },
};

const struct job relay_udp = {
	.name = "relay_udp",
	.about = "relay datagrams of --size from one socket to another (the source sends by sendmmsg; --sender gso)",
	.type = SOCK_DGRAM,
	.legs = 2,
	.prepare = relay_prepare,
	.busy = relay_busy,
	.peer = peer,
	.senders = known,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
