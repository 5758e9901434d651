// SPDX-License-Identifier: GPL-2.0
/* A relay that waits by epoll: both ways of all connections, by read and write or by splice(2). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "relay.h"
#include "send.h"

/* What a way of a connection holds at most: its buffer; its pipe, a page of which may be little used. */
#define ROOM		(64UL << 10)
#define PIPE_ROOM	(256UL << 10)

/* One way of a connection. */
struct stream {
	int from, to;
	int ends[2];			/* of its pipe */
	char *buf;			/* or this */
	size_t at, len;			/* of what was read and is not written yet */
};

/* One leg: what comes from it, and what goes to it. */
struct leg {
	struct stream *in, *out;
};

struct relay {
	struct bench *b;
	bool pipes;
	int epoll;
};

/* Writes what is held; false if it does not all go now. */
static bool flush(struct relay *r, struct stream *s)
{
	ssize_t n;

	for (; s->len; s->at += n, s->len -= n) {
		if (r->pipes)
			n = splice(s->ends[0], NULL, s->to, NULL, s->len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		else
			n = write(s->to, s->buf + s->at, s->len);
		r->b->calls++;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0)
			die("writing to a leg");
	}
	s->at = 0;
	return true;
}

/* Moves what there is. */
static void pump(struct relay *r, struct stream *s)
{
	ssize_t n;

	while (flush(r, s)) {
		if (r->pipes)
			n = splice(s->from, NULL, s->ends[1], NULL, PIPE_ROOM, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		else
			n = read(s->from, s->buf, ROOM);
		r->b->calls++;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die("reading from a leg");
		if (!n)
			return;
		s->len = n;
		r->b->moved += n;
	}
}

static void add(struct relay *r, int fd, struct leg *leg)
{
	struct epoll_event e = { EPOLLIN | EPOLLOUT | EPOLLET, { .ptr = leg } };

	if (fcntl(fd, F_SETFL, O_NONBLOCK) || epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e))
		die("the relay's legs");
}

static void stream_open(struct relay *r, struct stream *s, int from, int to)
{
	*s = (struct stream) { .from = from, .to = to };
	if (!r->pipes)
		s->buf = memory(ROOM);
	else if (pipe2(s->ends, O_CLOEXEC | O_NONBLOCK) || fcntl(s->ends[1], F_SETPIPE_SZ, PIPE_ROOM) < 0)
		die("a pipe");
}

static void run(struct relay *r)
{
	struct epoll_event events[64];
	struct leg *leg;
	int n;

	for (;;) {
		n = epoll_wait(r->epoll, events, ARRAY_SIZE(events), -1);
		r->b->calls++;
		if (n < 0)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			leg = events[i].data.ptr;
			if (!leg)
				return;		/* the peer is done */
			if (events[i].events & EPOLLOUT && leg->out->len)
				pump(r, leg->out);
			if (events[i].events & EPOLLIN)
				pump(r, leg->in);
		}
	}
}

void relay_by_epoll(struct bench *b, bool pipes)
{
	struct relay r = { .b = b, .pipes = pipes, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct stream (*streams)[2] = calloc(b->connections, sizeof(*streams));
	struct leg (*legs)[2] = calloc(b->connections, sizeof(*legs));
	struct epoll_event e = { EPOLLIN, { .ptr = NULL } };

	if (r.epoll < 0 || !streams || !legs || epoll_ctl(r.epoll, EPOLL_CTL_ADD, b->say, &e))
		die("memory");
	for (unsigned int i = 0; i < b->connections; i++) {
		stream_open(&r, &streams[i][0], from_source(b, i), to_sink(b, i));
		stream_open(&r, &streams[i][1], to_sink(b, i), from_source(b, i));
		legs[i][0] = (struct leg) { &streams[i][0], &streams[i][1] };
		legs[i][1] = (struct leg) { &streams[i][1], &streams[i][0] };
		add(&r, from_source(b, i), &legs[i][0]);
		add(&r, to_sink(b, i), &legs[i][1]);
	}
	b->calls = 0;
	bench_start(b);
	run(&r);
	bench_stop(b);
}
