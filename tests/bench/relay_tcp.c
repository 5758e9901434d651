// SPDX-License-Identifier: GPL-2.0
/* Relaying a TCP stream, one way: who sends and takes it, and the ways to relay. */
#include <fcntl.h>
#include <unistd.h>

#include "relay.h"
#include "send.h"

/* Bytes that the sink takes with one call, at most. */
#define TAKEN_AT_ONCE	(256 << 10)

/* Of the pipe: the most that a user gets without being root (fs.pipe-max-size). */
#define PIPE_ROOM	(1 << 20)

static void source(struct bench *b)
{
	send_stream(b, b->fds[0]);
	if (shutdown(b->fds[0], SHUT_WR))
		die("the source's end");
}

static void sink(struct bench *b)
{
	char *buf = memory(TAKEN_AT_ONCE);
	ssize_t n;

	while (b->moved < b->bytes) {
		n = recv(b->fds[0], buf, TAKEN_AT_ONCE, 0);
		if (n <= 0)
			die("the sink's recv");
		if (b->check)
			data_take(b, buf, b->moved, n);
		b->moved += n;
	}
}

static void peer(struct bench *b)
{
	relay_sides(b, source, sink);
}

/* One connection, so it can wait in read() and in write(): nothing is cheaper. */
static void by_read_write(struct bench *b)
{
	int from = from_source(b, 0), to = to_sink(b, 0);
	char *buf = memory(b->size);
	ssize_t n, m;

	bench_start(b);
	for (;;) {
		n = read(from, buf, b->size);
		b->calls++;
		if (n < 0)
			die("read");
		if (!n)
			break;
		for (ssize_t done = 0; done < n; done += m) {
			m = write(to, buf + done, n - done);
			if (m < 0)
				die("write");
			b->calls++;
		}
		b->moved += n;
	}
	bench_stop(b);
	b->copied = b->moved;
}

/* What was copied on the way, nobody tells. */
static void by_splice(struct bench *b)
{
	int from = from_source(b, 0), to = to_sink(b, 0), ends[2];
	ssize_t n, m;

	if (pipe2(ends, O_CLOEXEC) || fcntl(ends[1], F_SETPIPE_SZ, PIPE_ROOM) < 0)
		die("the pipe");
	bench_start(b);
	for (;;) {
		n = splice(from, NULL, ends[1], NULL, PIPE_ROOM, SPLICE_F_MOVE);
		b->calls++;
		if (n < 0)
			die("splice into the pipe");
		if (!n)
			break;
		for (ssize_t done = 0; done < n; done += m) {
			m = splice(ends[0], NULL, to, NULL, n - done, SPLICE_F_MOVE);
			if (m <= 0)
				die("splice out of the pipe");
			b->calls++;
		}
		b->moved += n;
	}
	bench_stop(b);
}

static void by_zc(struct bench *b)
{
	relay_by_zc(b, false);
}

static const struct way ways[] = {
	{ "read_write", "read into one buffer of --size, write from there", by_read_write },
	{ "splice", "splice(2) into a pipe of 1 MiB, and from there", by_splice },
	{ "sockmap", "BPF sockmap: a program at the source's socket redirects to the sink's", relay_by_sockmap },
	{ "zc_splice", "zcio_splice of the two sockets", by_zc },
};

const struct job relay_tcp = {
	.name = "relay_tcp",
	.about = "relay a TCP stream from one connection to another (--size: of the reads that copy)",
	.type = SOCK_STREAM,
	.legs = 2,
	.prepare = relay_prepare,
	.busy = relay_busy,
	.peer = peer,
	.senders = sender_known,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};
