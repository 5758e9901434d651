// SPDX-License-Identifier: GPL-2.0
/* Sending datagrams: the ways to do it through a UDP socket, and the peer, which takes them. */
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "datagram.h"
#include "send.h"

static void peer(struct bench *b)
{
	receive_mmsg(b, false, false);
}

/* Datagrams that one message or area can have. */
static size_t joined_count(const struct bench *b)
{
	size_t n = JOINED_BYTES / b->size;

	return n < JOINED_COUNT ? n : JOINED_COUNT;
}

/* Messages or areas of one call: a batch, or as near to it as the window allows. */
static size_t messages_count(size_t each)
{
	size_t n = (BATCH + each - 1) / each;

	return n * each <= WINDOW / 2 ? n : WINDOW / 2 / each;
}

/* Whether all of each datagram is made anew. */
static bool whole(const struct bench *b, bool measured)
{
	return measured ? makes_content(b) : b->check;
}

/* ---- sendmmsg ---- */

void send_mmsg(struct bench *b, bool measured, bool joined)
{
	size_t each = joined ? joined_count(b) : 1, count = messages_count(each), n, done;
	size_t room = (each * b->size + 63) / 64 * 64;
	struct mmsghdr messages[BATCH] = {};
	struct iovec iov[BATCH];
	int size = b->size, sent;
	struct flow f;
	char *buf;

	flow_open(&f, b);
	buf = memory(count * room);
	for (size_t i = 0; i < count; i++) {
		iov[i].iov_base = buf + i * room;
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	if (joined && setsockopt(b->fds[0], SOL_UDP, UDP_SEGMENT, &size, sizeof(size)))
		die("UDP_SEGMENT");
	if (measured)
		bench_start(b);
	while ((n = flow_may(&f, count * each))) {
		size_t used = (n + each - 1) / each;

		for (size_t i = 0; i < n; i++)
			datagram_make(&f, buf + i / each * room + i % each * b->size, f.moved + i, whole(b, measured));
		for (size_t i = 0; i < used; i++)
			iov[i].iov_len = (i + 1 < used ? each : n - i * each) * b->size;
		for (done = 0; done < used; done += sent) {
			sent = sendmmsg(b->fds[0], messages + done, used - done, 0);
			b->calls++;
			if (sent < 0)
				die("sendmmsg");
		}
		f.moved += n;
		b->payloads += used;
	}
	b->moved = f.moved * b->size;
	b->lost = flow_finish(&f);
	if (measured)
		bench_stop(b);
	b->copied = b->moved;
}

static void by_sendmmsg(struct bench *b)
{
	send_mmsg(b, true, false);
}

static void by_sendmmsg_gso(struct bench *b)
{
	frames_fit(b);
	send_mmsg(b, true, true);
}

/* ---- zcio_writev ---- */

/* All areas of a call, one after the other; waits where there is no room. */
static void write_areas(struct bench *b, struct zcio_ctx *ctx, struct iovec (*areas)[2], size_t count,
			size_t segment)
{
	struct pollfd room = { .fd = zcio_ctx_fd(ctx), .events = POLLOUT };
	int n;

	for (size_t done = 0; done < count; done += n) {
		struct zcio_writev call = { .fd = b->fds[0], .iovcnt = count - done,
					    .iov = (uintptr_t)areas[done], .segment = segment };

		n = zcio_writev(ctx, &call);
		b->calls++;
		if (n >= 0)
			continue;
		if (errno != ENOBUFS)
			die("zcio_writev");
		n = 0;
		poll(&room, 1, -1);
		b->calls++;
	}
}

void send_zc(struct bench *b, bool measured, bool joined)
{
	size_t each = joined ? joined_count(b) : 1, count = messages_count(each), n;
	struct zc_sender z = { .ctx = zcio_open() };
	struct zcio_info info = {};
	struct iovec areas[BATCH][2];
	size_t offset, room;
	struct flow f;

	flow_open(&f, b);
	if (!z.ctx || zcio_target(z.ctx, b->fds[0]) || zcio_info(z.ctx, b->fds[0], &info))
		die("a context");
	/* Whole pages where there are any (a receiver on this machine maps those), else few. */
	offset = b->size < PAGE ? (info.head_room + 63) / 64 * 64 : PAGES(info.head_room);
	room = PAGES(offset + each * b->size + info.tail_room);
	z.pool = zcio_pool(z.ctx, count * room);
	if (!z.pool)
		die("a pool");
	memset(z.pool, 0, count * room);	/* no page is touched for the first time later */
	if (measured)
		bench_start(b);
	while ((n = flow_may(&f, count * each))) {
		size_t used = (n + each - 1) / each;

		for (size_t i = 0; i < n; i++)
			datagram_make(&f, z.pool + i / each * room + offset + i % each * b->size, f.moved + i,
				      whole(b, measured));
		for (size_t i = 0; i < used; i++) {
			areas[i][0] = (struct iovec){ z.pool + i * room, room };
			areas[i][1] = (struct iovec){ z.pool + i * room + offset,
						      (i + 1 < used ? each : n - i * each) * b->size };
		}
		write_areas(b, z.ctx, areas, used, joined ? b->size : 0);
		f.moved += n;
	}
	b->moved = f.moved * b->size;
	b->lost = flow_finish(&f);
	if (measured)
		bench_stop(b);
	zc_sender_count(b, &z);
}

static void by_zc_writev(struct bench *b)
{
	send_zc(b, true, false);
}

static void by_zc_writev_gso(struct bench *b)
{
	frames_fit(b);
	send_zc(b, true, true);
}

static const struct way ways[] = {
	{ "sendmmsg", "sendmmsg of 64", by_sendmmsg },
	{ "sendmmsg_gso", "sendmmsg of about 64, joined by UDP_SEGMENT", by_sendmmsg_gso },
	{ "zc_writev", "zcio_writev of 64 areas, a datagram each", by_zc_writev },
	{ "zc_writev_gso", "zcio_writev of about 64 datagrams, joined by its field 'segment'", by_zc_writev_gso },
	{ "packet_tx", "AF_PACKET, a TPACKET_V2 ring; without UDP's checksum", udp_send_packet },
	{ "af_xdp", "AF_XDP, copy mode; without UDP's checksum", udp_send_xdp },
};

const struct job udp_send = {
	.name = "udp_send",
	.about = "send datagrams of --size",
	.type = SOCK_DGRAM,
	.peer = peer,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
