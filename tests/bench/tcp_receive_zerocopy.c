// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving a TCP stream by TCP_ZEROCOPY_RECEIVE, as the kernel's tools/testing/selftests/net/
 * tcp_mmap.c does it: wait until much is there, map, unmap what was read right away, and read
 * what could not be mapped. In addition, a small buffer that the call itself copies to
 * (copybuf), and the hint that nothing is mapped any more.
 */
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tcp_receive.h"

/*
 * More than is ever there: a call that ends inside a packet, as there is no more room, copies the
 * next bytes of it to copybuf, also those that the next call could map. Takes no memory.
 */
#define MOST		(64UL << 20)

/* The page-table lock of 2 MiB is not shared with other memory that is mapped all the time. */
#define ALIGNMENT	(2UL << 20)

/* If no more than this is there, all of it is copied: mapping so little costs more. */
#define COPYBUF		(16 << 10)

struct area {
	char *pages;		/* where payloads are mapped */
	size_t pages_len;
	char *copybuf;
	char *rest;		/* for what is read: what cannot be mapped is told of for one packet */
	size_t rest_len;
};

static void make(struct bench *b, struct area *a)
{
	void *at;

	a->pages_len = MOST;
	at = mmap(NULL, a->pages_len + ALIGNMENT, PROT_READ, MAP_SHARED, b->fds[0], 0);
	if (at == MAP_FAILED)
		die("mmap of the socket");
	a->pages = (char *)(((uintptr_t)at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
	a->copybuf = memory(COPYBUF);
	a->rest_len = room(b) > LONGEST ? room(b) : LONGEST;
	a->rest = memory(a->rest_len);
}

static void got(struct bench *b, const char *from, size_t len)
{
	if (!len)
		return;
	data_take(b, from, b->moved, len);
	b->moved += len;
	b->payloads++;
}

/* Waits, as the call itself does not. */
static void await(struct bench *b)
{
	struct pollfd readable = { .fd = b->fds[0], .events = POLLIN };

	if (poll(&readable, 1, -1) < 0)
		die("poll");
	b->calls++;
}

static void read_rest(struct bench *b, struct area *a, size_t len)
{
	struct iovec iov = { a->rest, len < a->rest_len ? len : a->rest_len };
	ssize_t n = readv(b->fds[0], &iov, 1);

	if (n <= 0)
		die("readv");
	got(b, a->rest, n);
	b->copied += n;
	b->calls++;
}

/* What one call gives, in the stream's order; returns how much is there still. */
static size_t take(struct bench *b, struct area *a)
{
	struct tcp_zerocopy_receive zc = {
		.address = (uintptr_t)a->pages,
		.length = a->pages_len,
		.copybuf_address = (uintptr_t)a->copybuf,
		.copybuf_len = COPYBUF,
		.flags = TCP_RECEIVE_ZEROCOPY_FLAG_TLB_CLEAN_HINT,
	};
	socklen_t len = sizeof(zc);

	if (getsockopt(b->fds[0], IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &len) || zc.err || zc.copybuf_len < 0)
		die("TCP_ZEROCOPY_RECEIVE");
	b->calls++;
	got(b, a->pages, zc.length);
	b->mapped += zc.length;
	if (zc.length) {
		if (madvise(a->pages, zc.length, MADV_DONTNEED))
			die("madvise");
		b->calls++;
	}
	got(b, a->copybuf, zc.copybuf_len);
	b->copied += zc.copybuf_len;
	if (!zc.recv_skip_hint)
		return zc.inq;
	read_rest(b, a, zc.recv_skip_hint);
	return zc.inq > zc.recv_skip_hint ? zc.inq - zc.recv_skip_hint : 0;
}

void receive_by_tcp_zerocopy(struct bench *b)
{
	size_t there = 0;
	struct area a;

	make(b, &a);
	want(b);
	bench_start(b);
	while (b->moved < b->bytes) {
		if (there < b->size)
			await(b);
		there = take(b, &a);
	}
	bench_stop(b);
}
