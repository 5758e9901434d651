// SPDX-License-Identifier: GPL-2.0
/* Receiving datagrams: what the peer sends, and the ways to take them from a UDP socket. */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "datagram.h"
#include "send.h"

static void peer(struct bench *b)
{
	if (!strcmp(b->sender, "zc"))
		send_zc(b, false, false);
	else
		send_mmsg(b, false, !strcmp(b->sender, "gso"));
}

static bool known(const char *kind)
{
	return !strcmp(kind, "send") || !strcmp(kind, "gso") || !strcmp(kind, "zc");
}

/* What UDP_SEGMENT makes is never fragmented. */
static void peer_can_send(struct bench *b)
{
	if (!strcmp(b->sender, "gso"))
		frames_fit(b);
}

/* A call that waits ends when nothing comes for a while. */
static void ends_when_quiet(int fd)
{
	struct timeval t = { .tv_usec = QUIET_MS * 1000 };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)))
		die("SO_RCVTIMEO");
}

static void join(int fd)
{
	int on = 1;

	if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)))
		die("UDP_GRO");
}

/* ---- recvmmsg ---- */

struct message {
	struct iovec iov;
	char control[CMSG_SPACE(sizeof(int))];
};

/* How long the datagrams are that came as this message. */
static size_t segment(struct msghdr *h, size_t len)
{
	int size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return size;
	}
	return len;
}

static void take_message(struct flow *f, struct mmsghdr *m, bool joined)
{
	const char *from = m->msg_hdr.msg_iov->iov_base;
	size_t len = m->msg_len, step = joined ? segment(&m->msg_hdr, len) : len;

	if (m->msg_hdr.msg_flags & MSG_TRUNC) {
		errno = EMSGSIZE;
		die("a datagram that came");
	}
	for (size_t at = 0; at < len; at += step) {
		flow_take(f, from + at, len - at < step ? len - at : step);
		flow_whole(f);
	}
}

void receive_mmsg(struct bench *b, bool measured, bool joined)
{
	size_t room = joined ? 65536 : (b->size + 63) / 64 * 64;
	struct mmsghdr messages[BATCH] = {};
	struct message parts[BATCH];
	struct flow f;
	char *buf;
	int n;

	flow_open(&f, b);
	buf = memory(BATCH * room);
	for (unsigned int i = 0; i < BATCH; i++) {
		parts[i].iov = (struct iovec){ buf + i * room, room };
		messages[i].msg_hdr.msg_iov = &parts[i].iov;
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_control = joined ? parts[i].control : NULL;
	}
	if (joined)
		join(b->fds[0]);
	ends_when_quiet(b->fds[0]);
	if (measured)
		bench_start(b);
	while (flow_more(&f)) {
		for (unsigned int i = 0; i < BATCH && joined; i++)
			messages[i].msg_hdr.msg_controllen = sizeof(parts[i].control);
		n = recvmmsg(b->fds[0], messages, BATCH, MSG_WAITFORONE, NULL);
		b->calls++;
		if (n < 0 && errno == EAGAIN) {
			flow_quiet(&f);
			continue;
		}
		if (n < 0)
			die("recvmmsg");
		for (int i = 0; i < n; i++)
			take_message(&f, &messages[i], joined);
		flow_taken(&f);
		b->payloads += n;
	}
	b->lost = flow_end(&f);
	if (measured)
		bench_stop(b);
	b->copied = b->moved;
}

static void by_recvmmsg(struct bench *b)
{
	peer_can_send(b);
	receive_mmsg(b, true, true);
}

static void by_recvmmsg_plain(struct bench *b)
{
	peer_can_send(b);
	receive_mmsg(b, true, false);
}

/* ---- zcio_readv ---- */

/* More than datagrams of a batch, as one may come in several payloads. */
#define REGIONS	(2 * BATCH)

static void by_zc(struct bench *b, bool joined)
{
	/* Payloads can begin anywhere in a page. */
	size_t region = ((b->size + PAGE - 1) / PAGE + 1) * PAGE;
	struct zcio_ctx *ctx = zcio_open();
	struct zcio_payload told[REGIONS];
	struct iovec iov[REGIONS];
	struct zcio_info info = {};
	struct flow f;
	char *win;

	peer_can_send(b);
	flow_open(&f, b);
	if (!ctx || zcio_info(ctx, b->fds[0], &info))
		die("a context");
	if (region < info.min_region)
		region = info.min_region;
	win = zcio_window(ctx, REGIONS * region, 0);
	if (!win)
		die("a window");
	if (joined)
		join(b->fds[0]);
	ends_when_quiet(b->fds[0]);
	bench_start(b);
	while (flow_more(&f)) {
		struct zcio_readv call = { .fd = b->fds[0], .iovcnt = REGIONS, .iov = (uintptr_t)iov,
					   .payloads = (uintptr_t)told };
		int n;

		for (size_t i = 0; i < REGIONS; i++)
			iov[i] = (struct iovec){ win + i * region, region };
		n = zcio_readv(ctx, &call);
		b->calls++;
		if (n < 0 && errno == EAGAIN) {
			flow_quiet(&f);
			continue;
		}
		if (n < 0)
			die("zcio_readv");
		for (int i = 0; i < n; i++) {
			/* A joined one is cut by flow_take(): they all have one size. */
			flow_take(&f, iov[i].iov_base, iov[i].iov_len);
			if (told[i].flags & ZCIO_PAYLOAD_END)
				flow_whole(&f);
		}
		flow_taken(&f);
		b->payloads += n;
	}
	b->lost = flow_end(&f);
	bench_stop(b);
	if (zcio_info(ctx, -1, &info))
		die("zcio_info");
	b->mapped = info.rx.mapped;
	b->copied = info.rx.copied;
}

static void by_zc_readv(struct bench *b)
{
	by_zc(b, true);
}

static void by_zc_readv_plain(struct bench *b)
{
	by_zc(b, false);
}

/* ---- around the stack ---- */

static void by_packet(struct bench *b)
{
	peer_can_send(b);
	udp_receive_packet(b);
}

static void by_xdp(struct bench *b)
{
	peer_can_send(b);
	udp_receive_xdp(b);
}

static const struct way ways[] = {
	{ "recvmmsg", "recvmmsg of 64, with UDP_GRO", by_recvmmsg },
	{ "recvmmsg_plain", "recvmmsg of 64", by_recvmmsg_plain },
	{ "zc_readv", "zcio_readv into 128 regions, with UDP_GRO", by_zc_readv },
	{ "zc_readv_plain", "zcio_readv into 128 regions", by_zc_readv_plain },
	{ "packet_v3", "AF_PACKET, a TPACKET_V3 ring, filtered to the flow", by_packet },
	{ "af_xdp", "AF_XDP, copy mode, the program in SKB mode", by_xdp },
};

const struct job udp_receive = {
	.name = "udp_receive",
	.about = "receive datagrams of --size (the peer sends by sendmmsg; --sender gso: UDP_SEGMENT; zc)",
	.type = SOCK_DGRAM,
	.peer = peer,
	.senders = known,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
