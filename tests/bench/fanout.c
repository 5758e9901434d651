// SPDX-License-Identifier: GPL-2.0
/*
 * The same content to many connections: a block of --size bytes goes to one after the other, round
 * after round, until --bytes were sent in all. The peer takes what comes, of all at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "send.h"

/* Bytes that the peer takes with one call, at most. */
#define TAKEN_AT_ONCE	(256 << 10)
#define EVENTS		64

/* Blocks in all; the last one is whole, too. */
static uint64_t blocks(const struct bench *b)
{
	return (b->bytes + b->size - 1) / b->size;
}

/* Whose turn it is. */
static unsigned int next(const struct bench *b)
{
	return b->moved / b->size % b->connections;
}

/* Whether there is a block to be sent still. */
static bool more(const struct bench *b)
{
	return b->moved < b->bytes;
}

/* Compares what came of a connection from position @at on, which is blocks. */
static void check(struct bench *b, const char *from, uint64_t at, size_t len)
{
	for (size_t n; len; from += n, at += n, len -= n) {
		n = b->size - at % b->size;
		if (n > len)
			n = len;
		data_take(b, from, at % b->size, n);
	}
}

static void peer(struct bench *b)
{
	uint64_t total = blocks(b) * b->size, *got = calloc(b->connections, sizeof(*got));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	char *buf = memory(TAKEN_AT_ONCE);
	struct epoll_event events[EVENTS];

	if (epoll < 0 || !got)
		die("the peer's epoll");
	for (unsigned int i = 0; i < b->connections; i++) {
		events[0] = (struct epoll_event) { .events = EPOLLIN, .data.u32 = i };
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, b->fds[i], &events[0]))
			die("the peer's epoll");
	}
	while (b->moved < total) {
		int ready = epoll_wait(epoll, events, EVENTS, -1);

		if (ready < 0)
			die("the peer's epoll");
		for (int i = 0; i < ready; i++) {
			unsigned int which = events[i].data.u32;
			ssize_t n = recv(b->fds[which], buf, TAKEN_AT_ONCE, 0);

			if (n <= 0)
				die("the peer's recv");
			if (b->check)
				check(b, buf, got[which], n);
			got[which] += n;
			b->moved += n;
		}
	}
	/* Each its share, and no more: the first ones have a block more than the others. */
	for (unsigned int i = 0; i < b->connections; i++)
		if (got[i] != (blocks(b) + b->connections - 1 - i) / b->connections * b->size) {
			fprintf(stderr, "bench: connection %u got %llu bytes\n", i,
				(unsigned long long)got[i]);
			exit(1);
		}
}

static void by_write(struct bench *b)
{
	char *block = memory(b->size);
	ssize_t n;

	data_fill(block, 0, b->size);
	bench_start(b);
	for (; more(b); b->payloads++) {
		int fd = b->fds[next(b)];

		for (size_t done = 0; done < b->size; done += n) {
			n = write(fd, block + done, b->size - done);
			if (n < 0)
				die("write");
			b->calls++;
		}
		b->moved += b->size;
	}
	bench_stop(b);
	b->copied = b->moved;
}

/* Completions are looked for every so many sends of a connection; so many may be without. */
#define LOOK_EVERY	8
#define ROOM		64

/* As the block does not change, nothing waits for completions; but they have to be taken. */
static void by_zerocopy(struct bench *b)
{
	struct zerocopy *z = calloc(b->connections, sizeof(*z));
	char *block = memory(b->size);

	if (!z)
		die("memory");
	data_fill(block, 0, b->size);
	for (unsigned int i = 0; i < b->connections; i++)
		zerocopy_open(b, &z[i], b->fds[i], ROOM);
	bench_start(b);
	while (more(b)) {
		struct zerocopy *to = &z[next(b)];

		zerocopy_send(b, to, block, b->size);
		if (to->next % LOOK_EVERY == 0)
			zerocopy_reap(b, to);
		b->moved += b->size;
	}
	for (unsigned int i = 0; i < b->connections; i++)
		zerocopy_wait(b, &z[i], z[i].next);
	bench_stop(b);
}

/* As in tcp_send, nobody tells what was copied. */
static void by_sendfile(struct bench *b)
{
	int file = file_of_data(b->size);
	ssize_t n;

	bench_start(b);
	for (; more(b); b->payloads++) {
		int fd = b->fds[next(b)];
		off_t at = 0;

		for (size_t left = b->size; left; left -= n) {
			n = sendfile(fd, file, &at, left);
			if (n <= 0)
				die("sendfile");
			b->calls++;
		}
		b->moved += b->size;
	}
	bench_stop(b);
}

static void by_zc_keep(struct bench *b)
{
	struct zc_sender z;

	zc_sender_open(&z, b->fds[0], b->size);
	data_fill(z.pool, 0, b->size);
	bench_start(b);
	while (more(b)) {
		struct iovec iov[1][2] = { { { z.pool, PAGES(b->size) }, { z.pool, b->size } } };

		zc_send(b, &z, b->fds[next(b)], iov, 1, ZCIO_KEEP);
		b->moved += b->size;
	}
	bench_stop(b);
	zc_sender_count(b, &z);
}

static const struct way ways[] = {
	{ "write", "write from one buffer", by_write },
	{ "zerocopy", "send with MSG_ZEROCOPY from one buffer", by_zerocopy },
	{ "sendfile", "sendfile from a file in memory", by_sendfile },
	{ "zc_keep", "zcio_writev with ZCIO_KEEP from one area", by_zc_keep },
};

const struct job fanout = {
	.name = "fanout",
	.about = "send the same block of --size to --connections, again and again",
	.type = SOCK_STREAM,
	.peer = peer,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
