// SPDX-License-Identifier: GPL-2.0
/*
 * Requests and answers over TCP. The peer is a client that asks on all connections, again as
 * soon as it is answered, and notes how long each request takes: from before its first byte is
 * written until its answer's last byte is read. These times are in memory that it shares with
 * the measured side.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rr.h"

/* Bytes of one read. */
#define READ_AT_ONCE	(256UL << 10)

struct rr rr_of(const struct bench *b)
{
	bool upload = b->job == &rr_upload;

	return (struct rr) {
		.count = (b->bytes + b->size - 1) / b->size,
		.request = upload ? b->size : SMALL,
		.answer = upload ? SMALL : b->size,
		.upload = upload,
	};
}

void rr_prepare(struct bench *b)
{
	/* A request begins with its number. */
	if (b->size < sizeof(uint64_t))
		unable(b, "requests and answers have at least %zu bytes", sizeof(uint64_t));
	b->shared = mmap(NULL, rr_of(b).count * sizeof(*b->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->shared == MAP_FAILED)
		die("memory for latencies");
}

/* ---- the client ---- */

struct caller {
	int fd;
	uint64_t number;		/* of its request */
	size_t sent, got;		/* bytes of the request; of its answer */
	uint64_t began;
};

struct client {
	struct bench *b;
	struct rr rr;
	uint64_t begun, ended;		/* requests */
	char *request;			/* bytes of any; its number changes, with --check all of it */
	char *buf;
};

static _Noreturn void wrong(const struct caller *c, const char *what)
{
	fprintf(stderr, "zcio-bench: the answer to request %llu, at byte %zu: %s\n",
		(unsigned long long)c->number, c->got, what);
	exit(1);
}

/* Writes as much of the request as can be. */
static void push(struct client *k, struct caller *c)
{
	ssize_t n;

	if (c->sent < sizeof(c->number))
		memcpy(k->request, &c->number, sizeof(c->number));
	if (k->b->check) {
		size_t from = c->sent < sizeof(c->number) ? sizeof(c->number) : c->sent;

		data_fill(k->request + from, c->number * RR_STEP + from, k->rr.request - from);
	}
	while (c->sent < k->rr.request) {
		n = write(c->fd, k->request + c->sent, k->rr.request - c->sent);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die("the client's write");
		c->sent += n;
	}
}

static void begin(struct client *k, struct caller *c)
{
	if (k->begun == k->rr.count)
		return;
	c->number = k->begun++;
	c->sent = 0;
	c->got = 0;
	c->began = nanoseconds();
	push(k, c);
}

/* Compares the next bytes of an answer. */
static void compare(struct client *k, struct caller *c, const char *from, size_t len)
{
	size_t head = 0;

	if (c->got < sizeof(c->number)) {
		head = sizeof(c->number) - c->got < len ? sizeof(c->number) - c->got : len;
		if (memcmp((char *)&c->number + c->got, from, head))
			wrong(c, "it is the answer to another one");
	}
	data_take(k->b, from + head, c->number * RR_STEP + c->got + head, len - head);
}

/* Reads what is there; when it was the whole answer, asks again. */
static void pull(struct client *k, struct caller *c)
{
	ssize_t n;

	while (c->sent == k->rr.request && c->got < k->rr.answer) {
		n = read(c->fd, k->buf, READ_AT_ONCE);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || (size_t)n > k->rr.answer - c->got)
			wrong(c, n < 0 ? strerror(errno) : n ? "it is too long" : "the server has ended");
		if (k->b->check)
			compare(k, c, k->buf, n);
		c->got += n;
		if (c->got == k->rr.answer) {
			k->b->shared[k->ended++] = nanoseconds() - c->began;
			begin(k, c);
			/* Its answer comes with an event of its own. */
			return;
		}
	}
}

void rr_client(struct bench *b)
{
	struct client k = { .b = b, .rr = rr_of(b) };
	struct caller *callers = calloc(b->connections, sizeof(*callers));
	int epoll = epoll_create1(EPOLL_CLOEXEC), n, on = 1;
	struct epoll_event events[64];

	k.request = malloc(k.rr.request);
	k.buf = malloc(READ_AT_ONCE);
	if (!callers || !k.request || !k.buf || epoll < 0)
		die("memory");
	data_fill(k.request, 0, k.rr.request);
	for (unsigned int i = 0; i < b->connections; i++) {
		struct epoll_event e = { EPOLLIN | EPOLLOUT | EPOLLET, { .ptr = &callers[i] } };

		callers[i] = (struct caller){ .fd = b->fds[i], .sent = k.rr.request, .got = k.rr.answer };
		if (fcntl(b->fds[i], F_SETFL, O_NONBLOCK) ||
		    setsockopt(b->fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, b->fds[i], &e))
			die("the client's connections");
	}
	for (unsigned int i = 0; i < b->connections; i++)
		begin(&k, &callers[i]);
	while (k.ended < k.rr.count) {
		n = epoll_wait(epoll, events, ARRAY_SIZE(events), -1);
		if (n < 0)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct caller *c = events[i].data.ptr;

			if (c->sent < k.rr.request)
				push(&k, c);
			pull(&k, c);
		}
	}
}

void rr_latencies(struct bench *b)
{
	for (uint64_t i = 0; i < rr_of(b).count; i++)
		bench_latency(b, b->shared[i]);
}

/* ---- the jobs ---- */

static const struct way ways[] = {
	{ "epoll", "epoll, read and write", rr_serve_epoll },
	{ "zc", "epoll, zcio_writev for answers", rr_serve_zc },
};

const struct job rr = {
	.name = "rr",
	.about = "answer requests of 64 bytes with --size bytes, on all connections",
	.type = SOCK_STREAM,
	.prepare = rr_prepare,
	.peer = rr_client,
	.ways = ways,
	.ways_count = ARRAY_SIZE(ways),
};

static const struct way upload_ways[] = {
	{ "epoll", "epoll, read and write", rr_serve_epoll },
	{ "zc", "epoll, zcio_readv for requests", rr_serve_zc },
};

const struct job rr_upload = {
	.name = "rr_upload",
	.about = "answer requests of --size bytes with 64 bytes, on all connections",
	.type = SOCK_STREAM,
	.prepare = rr_prepare,
	.peer = rr_client,
	.ways = upload_ways,
	.ways_count = ARRAY_SIZE(upload_ways),
};
