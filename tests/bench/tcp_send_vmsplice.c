// SPDX-License-Identifier: GPL-2.0
/*
 * A TCP stream by vmsplice into a pipe and splice from there into the socket. The stack has
 * references to the very pages of the buffers, and nobody tells when they are gone: SIOCOUTQ says
 * how many bytes the peer has not acknowledged, which on a wire is enough.
 *
 * A peer on this machine has the pages themselves in its receive queue, and acknowledges
 * them when they get there; what is written to them before it has read them is what it reads.
 * Then a buffer rests until so many bytes later are acknowledged as that queue can hold.
 *
 * Without SPLICE_F_GIFT, as memory that is a gift may never be written again. Whether the device
 * made the stack copy is not told, so neither mapped nor copied is counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "send.h"

/* What a receive queue may have more than its limit: a whole last packet. */
#define BEYOND_LIMIT	(1 << 20)

struct splicer {
	struct turns turns;
	int pipe[2];
	uint64_t unread;	/* acknowledged bytes that may not be read yet, at most */
	uint64_t acked;		/* bytes of the stream, when it was last looked */
};

/* The most bytes a TCP socket's buffer has by itself: the third number of its sysctl. */
static size_t buffer_limit(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t most;

	if (!file || fscanf(file, "%*u %*u %zu", &most) != 1)
		die(path);
	fclose(file);
	return most;
}

static void splicer_open(struct bench *b, struct splicer *s)
{
	size_t in_flight = buffer_limit("/proc/sys/net/ipv4/tcp_wmem"), most = 1 << 20;

	if (peer_is_local())
		s->unread = buffer_limit("/proc/sys/net/ipv4/tcp_rmem") + BEYOND_LIMIT;
	/* So many that it is the connection that is waited for, and not a buffer. */
	turns_open(b, &s->turns, 4, in_flight + s->unread + 2 * b->size);
	if (pipe2(s->pipe, O_CLOEXEC))
		die("a pipe");
	/* All of a request in one go, if a pipe may have that size. */
	if (fcntl(s->pipe[1], F_SETPIPE_SZ, PAGES(b->size) < most ? PAGES(b->size) : most) < 0)
		die("the pipe's size");
}

/* Waits until the stream's bytes before @end are gone from wherever this side's pages are. */
static void wait_gone(struct bench *b, struct splicer *s, uint64_t end)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	struct pollfd p = { .fd = b->fds[0] };
	int queued;

	while (s->acked < end + s->unread) {
		if (ioctl(b->fds[0], SIOCOUTQ, &queued))
			die("SIOCOUTQ");
		b->calls++;
		s->acked = b->moved - queued;
		if (s->acked >= end + s->unread)
			return;
		/* There is no event to wait for, but the connection's end is one. */
		if (ppoll(&p, 1, &moment, NULL)) {
			errno = ECONNRESET;
			die("waiting for acknowledgements");
		}
		b->calls++;
	}
}

static void send_pages(struct bench *b, struct splicer *s, char *from, size_t len)
{
	while (len) {
		struct iovec iov = { from, len };
		ssize_t in = vmsplice(s->pipe[1], &iov, 1, 0), out;

		if (in < 0)
			die("vmsplice");
		b->calls++;
		from += in;
		len -= in;
		for (; in; in -= out) {
			out = splice(s->pipe[0], NULL, b->fds[0], NULL, in, len ? SPLICE_F_MORE : 0);
			if (out <= 0)
				die("splice");
			b->calls++;
			b->moved += out;
		}
	}
}

void tcp_send_vmsplice(struct bench *b)
{
	struct splicer s = {};

	splicer_open(b, &s);
	bench_start(b);
	for (uint64_t request = 0; b->moved < b->bytes; request++) {
		size_t len = request_len(b);
		char *from = turn(&s.turns, request % s.turns.count);

		if (request >= s.turns.count)
			wait_gone(b, &s, (request - s.turns.count + 1) * b->size);
		request_make(b, from, len);
		send_pages(b, &s, from, len);
		b->payloads++;
	}
	bench_stop(b);
}
