// SPDX-License-Identifier: GPL-2.0
/*
 * Relaying requests and answers over TCP, both ways of all connections. Client and server are those
 * of the job rr; so a latency is that of a request that goes through the relay twice.
 */
#include <netinet/tcp.h>

#include "relay.h"
#include "rr.h"

static void prepare(struct bench *b)
{
	rr_prepare(b);
	relay_prepare(b);
}

static void peer(struct bench *b)
{
	relay_sides(b, rr_client, rr_serve_relayed);
}

/* Every relay of requests wants what is little to go at once. */
static void hurry(struct bench *b)
{
	int on = 1;

	for (unsigned int i = 0; i < ends_count(b); i++)
		if (setsockopt(b->fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
			die("TCP_NODELAY");
}

/* All ways are to be told by what the answers are. */
static void count(struct bench *b)
{
	b->moved = rr_of(b).count * b->size;
	rr_latencies(b);
}

static void by_epoll(struct bench *b)
{
	hurry(b);
	relay_by_epoll(b, false);
	b->copied = b->moved;
	count(b);
}

static void by_splice(struct bench *b)
{
	hurry(b);
	relay_by_epoll(b, true);
	count(b);
}

static void by_sockmap(struct bench *b)
{
	hurry(b);
	relay_by_sockmap(b);
	count(b);
}

static void by_zc(struct bench *b)
{
	hurry(b);
	relay_by_zc(b, true);
	count(b);
}

static const struct way ways[] = {
	{ "epoll", "epoll, read and write", by_epoll },
	{ "splice", "epoll, splice(2) into a pipe of 256 KiB for each way, and from there", by_splice },
	{ "sockmap", "BPF sockmap: a program at each socket redirects to the other", by_sockmap },
	{ "zc_splice", "zcio_splice of the two sockets, both ways", by_zc },
};

const struct job relay_rr = {
	.name = "relay_rr",
	.about = "relay requests of 64 bytes and answers of --size bytes, on all connections",
	.type = SOCK_STREAM,
	.legs = 2,
	.prepare = prepare,
	.busy = relay_busy,
	.peer = peer,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
