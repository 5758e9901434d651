// SPDX-License-Identifier: GPL-2.0
/*
 * Requests and answers over TCP: the measured side, a server of one thread that waits by epoll.
 *
 * Its ways differ in how the large of the two goes: by read and write, or by zcio_readv and
 * zcio_writev. 64 bytes are read and written by either.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rr.h"
#include "zcio.h"

/* Bytes of one read. */
#define READ_AT_ONCE	(256UL << 10)

/* Regions for payloads: larger than those of one packet, and more than there are of a request. */
#define REGION		(8 * PAGE)
#define REGION_FOR	8192

struct connection {
	int fd;
	uint64_t number;		/* of the request; as far as it has come */
	size_t got;			/* bytes of it */
	char *answer;			/* where it lies while it is being sent, or NULL */
	size_t sent;			/* bytes of it */
	int low;			/* SO_RCVLOWAT */
	bool starved;			/* in the server's list of such */
};

struct server {
	struct bench *b;
	struct rr rr;
	int epoll;
	uint64_t answered;
	struct connection *all;

	char *buf;			/* for reading */
	char **unused;			/* places for answers, the last one used on top */
	size_t unused_count, room;	/* bytes of each */

	struct zcio_ctx *ctx;		/* or NULL */
	char *win;
	size_t regions;
	struct connection **starved;	/* there were no pages for their answers */
	size_t starved_count;
};

/* ---- requests ---- */

/* The next bytes of a request. */
static void take(struct server *s, struct connection *c, const char *from, size_t len)
{
	size_t head = 0;

	if (len > s->rr.request - c->got) {
		errno = EMSGSIZE;
		die("a request");
	}
	if (c->got < sizeof(c->number)) {
		head = sizeof(c->number) - c->got < len ? sizeof(c->number) - c->got : len;
		memcpy((char *)&c->number + c->got, from, head);
	}
	data_take(s->b, from + head, c->number * RR_STEP + c->got + head, len - head);
	c->got += len;
}

/* Reads what there is; returns the bytes, or -1 if there is nothing. */
static ssize_t receive_copied(struct server *s, struct connection *c)
{
	ssize_t n = read(c->fd, s->buf, READ_AT_ONCE);

	if (n > 0)
		take(s, c, s->buf, n);
	return n;
}

static ssize_t receive_mapped(struct server *s, struct connection *c)
{
	struct iovec iov[ZCIO_MAX_ELEMENTS];
	struct zcio_readv call = { .fd = c->fd, .iovcnt = s->regions, .iov = (uintptr_t)iov,
				   .flags = ZCIO_DONTWAIT };
	ssize_t sum = 0;
	int n;

	for (size_t i = 0; i < s->regions; i++)
		iov[i] = (struct iovec){ s->win + i * REGION, REGION };
	n = zcio_readv(s->ctx, &call);
	if (n <= 0)
		return n;
	for (int i = 0; i < n; i++) {
		take(s, c, iov[i].iov_base, iov[i].iov_len);
		sum += iov[i].iov_len;
	}
	s->b->payloads += n;
	return sum;
}

/* An event is to come when this much is there; a part of a large request is none. */
static void want(struct server *s, struct connection *c, int bytes)
{
	if (!s->rr.upload || c->low == bytes)
		return;
	c->low = bytes;
	s->b->calls++;
	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)))
		die("SO_RCVLOWAT");
}

/* Is the request whole now? If not, an event comes when there is more. */
static bool receive(struct server *s, struct connection *c)
{
	ssize_t n;

	while (c->got < s->rr.request) {
		n = s->ctx && s->rr.upload ? receive_mapped(s, c) : receive_copied(s, c);
		s->b->calls++;
		if (n > 0)
			continue;
		if (!n || errno != EAGAIN)
			die(n ? "receiving a request" : "the client has ended");
		want(s, c, s->rr.request - c->got);
		return false;
	}
	want(s, c, s->rr.request);
	return true;
}

/* ---- answers ---- */

static void make(struct server *s, struct connection *c)
{
	c->answer = s->unused[--s->unused_count];
	c->sent = 0;
	memcpy(c->answer, &c->number, sizeof(c->number));
	if (s->b->check || !s->b->untouched)
		data_fill(c->answer + sizeof(c->number), c->number * RR_STEP + sizeof(c->number),
			  s->rr.answer - sizeof(c->number));
}

/* Hands over what is left of an answer; returns how much was taken, or -1. */
static ssize_t send_mapped(struct server *s, struct connection *c)
{
	size_t done = c->sent / PAGE * PAGE;
	struct iovec area[2] = {
		{ c->answer + done, s->room - done },
		{ c->answer + c->sent, s->rr.answer - c->sent },
	};
	struct zcio_writev call = { .fd = c->fd, .iovcnt = 1, .iov = (uintptr_t)area, .flags = ZCIO_DONTWAIT };

	return zcio_writev(s->ctx, &call) < 0 ? -1 : (ssize_t)call.taken;
}

static void wait_for_room(struct server *s, bool wait)
{
	struct epoll_event e = { wait ? EPOLLOUT : 0, { .ptr = NULL } };

	s->b->calls++;
	if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, zcio_ctx_fd(s->ctx), &e))
		die("waiting for pages");
}

/* Is the answer on its way? If not, an event comes when there is room for more. */
static bool answer(struct server *s, struct connection *c)
{
	ssize_t n;

	while (c->sent < s->rr.answer) {
		if (s->ctx && !s->rr.upload)
			n = send_mapped(s, c);
		else
			n = write(c->fd, c->answer + c->sent, s->rr.answer - c->sent);
		s->b->calls++;
		if (n < 0 && errno == ENOBUFS && s->ctx) {
			if (!s->starved_count)
				wait_for_room(s, true);
			c->starved = true;
			s->starved[s->starved_count++] = c;
			return false;
		}
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0)
			die("sending an answer");
		c->sent += n;
	}
	s->unused[s->unused_count++] = c->answer;
	c->answer = NULL;
	c->got = 0;
	s->answered++;
	return true;
}

/* ---- all of it ---- */

static void on_event(struct server *s, struct connection *c, uint32_t events)
{
	if (c->answer) {
		if (events & EPOLLOUT && !c->starved)
			answer(s, c);
		return;
	}
	if (events & EPOLLIN && receive(s, c)) {
		make(s, c);
		answer(s, c);
	}
}

/* There are pages again. */
static void on_room(struct server *s)
{
	size_t count = s->starved_count;

	s->starved_count = 0;
	wait_for_room(s, false);
	/* Those that starve again go to the front, where there is nothing left to be read. */
	for (size_t i = 0; i < count; i++) {
		struct connection *c = s->starved[i];

		c->starved = false;
		answer(s, c);
	}
}

static void serve(struct server *s)
{
	struct epoll_event events[64];
	int n;

	while (s->answered < s->rr.count) {
		n = epoll_wait(s->epoll, events, ARRAY_SIZE(events), -1);
		s->b->calls++;
		if (n < 0)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				on_event(s, events[i].data.ptr, events[i].events);
			else if (events[i].events & EPOLLOUT)
				on_room(s);
		}
	}
}

/* Memory for the context's side: windows or a pool, and the event of its room. */
static char *context(struct server *s)
{
	struct epoll_event e = { 0, { .ptr = NULL } };
	char *memory;

	s->ctx = zcio_open();
	if (!s->ctx || epoll_ctl(s->epoll, EPOLL_CTL_ADD, zcio_ctx_fd(s->ctx), &e))
		die("a context");
	if (s->rr.upload) {
		s->regions = s->rr.request / REGION_FOR + 4;
		if (s->regions > ZCIO_MAX_ELEMENTS)
			s->regions = ZCIO_MAX_ELEMENTS;
		s->win = zcio_window(s->ctx, s->regions * REGION, 0);
		if (!s->win)
			die("a window");
		return NULL;
	}
	if (zcio_target(s->ctx, s->b->fds[0]))
		die("zcio_target");
	memory = zcio_pool(s->ctx, s->unused_count * s->room);
	if (!memory)
		die("a pool");
	return memory;
}

static void run(struct bench *b, bool zc, bool measured)
{
	struct server s = { .b = b, .rr = rr_of(b), .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct zcio_info info;
	char *memory = NULL;
	int on = 1;

	s.room = (s.rr.answer + PAGE - 1) / PAGE * PAGE;
	s.unused_count = b->connections;
	s.unused = calloc(s.unused_count, sizeof(*s.unused));
	s.starved = calloc(b->connections, sizeof(struct connection *));
	s.all = calloc(b->connections, sizeof(*s.all));
	s.buf = malloc(READ_AT_ONCE);
	if (s.epoll < 0 || !s.unused || !s.starved || !s.all || !s.buf)
		die("memory");
	if (zc)
		memory = context(&s);
	if (!memory)
		memory = mmap(NULL, s.unused_count * s.room, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("memory for answers");
	memset(memory, 0, s.unused_count * s.room);
	for (size_t i = 0; i < s.unused_count; i++)
		s.unused[i] = memory + i * s.room;
	for (unsigned int i = 0; i < b->connections; i++) {
		struct epoll_event e = { EPOLLIN | EPOLLOUT | EPOLLET, { .ptr = &s.all[i] } };

		s.all[i] = (struct connection){ .fd = b->fds[i], .low = 1 };
		want(&s, &s.all[i], s.rr.request);
		if (fcntl(b->fds[i], F_SETFL, O_NONBLOCK) ||
		    setsockopt(b->fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
		    epoll_ctl(s.epoll, EPOLL_CTL_ADD, b->fds[i], &e))
			die("the server's connections");
	}
	b->calls = 0;
	if (!measured) {
		serve(&s);
		return;
	}
	bench_start(b);
	serve(&s);
	bench_stop(b);
	b->moved = s.rr.count * b->size;
	b->copied = b->moved;
	rr_latencies(b);
	if (!zc)
		return;
	if (zcio_info(s.ctx, -1, &info))
		die("zcio_info");
	b->mapped = s.rr.upload ? info.rx.mapped : info.tx.mapped;
	b->copied = s.rr.upload ? info.rx.copied : info.tx.copied;
	b->payloads = s.rr.upload ? info.rx.payloads : info.tx.payloads;
}

void rr_serve_epoll(struct bench *b)
{
	run(b, false, true);
}

void rr_serve_zc(struct bench *b)
{
	run(b, true, true);
}

void rr_serve_relayed(struct bench *b)
{
	run(b, false, false);
}
