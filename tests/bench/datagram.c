// SPDX-License-Identifier: GPL-2.0
/* Datagrams: what is in them, and how sender and receiver keep together; see datagram.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datagram.h"

/* What one side tells the other. */
struct word {
	uint64_t count;			/* datagrams taken; or sent, in all */
	uint64_t last;			/* this is the last word of this side */
};

/* How long a sender waits before it takes for lost what the receiver does not speak of. */
#define LOST_MS	5000

void flow_open(struct flow *f, struct bench *b)
{
	if (b->connections != 1)
		unable(b, "datagrams are of one flow");
	if (b->size < DATAGRAM_LEAST || b->size > DATAGRAM_MOST)
		unable(b, "datagrams have %u to %u bytes", DATAGRAM_LEAST, DATAGRAM_MOST);
	*f = (struct flow) { .b = b, .count = (b->bytes + b->size - 1) / b->size };
	if (b->check) {
		f->seen = calloc(f->count / 8 + 1, 1);
		if (!f->seen)
			die("memory");
	}
}

static void say(struct flow *f, uint64_t count, bool last)
{
	struct word word = { count, last };

	if (send(f->b->say, &word, sizeof(word), MSG_NOSIGNAL) != sizeof(word))
		die("telling the other side");
}

/* What the other side says next; false if that takes longer than @ms, or -1 for ever. */
static bool hear(struct flow *f, struct word *word, int ms)
{
	struct pollfd p = { .fd = f->b->say, .events = POLLIN };
	ssize_t n = recv(f->b->say, word, sizeof(*word), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN) {
		if (!ms || !poll(&p, 1, ms))
			return false;
		n = recv(f->b->say, word, sizeof(*word), 0);
	}
	if (n != sizeof(*word)) {
		errno = n < 0 ? errno : EPIPE;
		die("the other side has ended");
	}
	return true;
}

/* ---- the sender ---- */

size_t flow_may(struct flow *f, size_t most)
{
	struct word word;

	if (most > f->count - f->moved)
		most = f->count - f->moved;
	while (f->moved + most > f->told + WINDOW)
		f->told = hear(f, &word, LOST_MS) ? word.count : f->moved;
	return most;
}

bool makes_content(const struct bench *b)
{
	return b->check || !b->untouched;
}

void datagram_make(const struct flow *f, void *to, uint64_t number, bool whole)
{
	memcpy(to, &number, sizeof(number));
	if (whole)
		data_fill((char *)to + sizeof(number), number * DATAGRAM_STEP + sizeof(number),
			  f->b->size - sizeof(number));
}

uint64_t flow_finish(struct flow *f)
{
	struct word word;

	say(f, f->moved, true);
	do
		hear(f, &word, -1);
	while (!word.last);
	return f->moved - word.count;
}

/* ---- the receiver ---- */

bool flow_more(const struct flow *f)
{
	return f->moved < f->count && !f->over;
}

static _Noreturn void wrong(const struct flow *f, const char *what)
{
	fprintf(stderr, "zcio-bench: datagram %llu, the %lluth that came: %s\n",
		(unsigned long long)f->number, (unsigned long long)f->moved, what);
	exit(1);
}

/* Compares the next @len bytes of one datagram. */
static void compare(struct flow *f, const char *from, size_t len)
{
	size_t head = 0;

	if (f->at < sizeof(f->number)) {
		head = sizeof(f->number) - f->at < len ? sizeof(f->number) - f->at : len;
		memcpy((char *)&f->number + f->at, from, head);
		if (f->at + head == sizeof(f->number)) {
			if (f->number >= f->count)
				wrong(f, "there is no such number");
			if (f->seen[f->number / 8] & 1 << f->number % 8)
				wrong(f, "it came before");
			f->seen[f->number / 8] |= 1 << f->number % 8;
		}
	}
	data_take(f->b, from + head, f->number * DATAGRAM_STEP + f->at + head, len - head);
}

void flow_take(struct flow *f, const void *from, size_t len)
{
	size_t size = f->b->size, n;

	for (const char *p = from; len; p += n, len -= n) {
		n = len < size - f->at ? len : size - f->at;
		if (!f->at && n >= sizeof(f->number))
			f->last = p;
		if (f->b->check)
			compare(f, p, n);
		else
			data_take(f->b, p, 0, n);
		f->at += n;
		f->b->moved += n;
		if (f->at == size) {
			f->at = 0;
			f->moved++;
		}
	}
}

void flow_whole(const struct flow *f)
{
	if (f->at)
		wrong(f, "it has another length than it was sent with");
}

void flow_taken(struct flow *f)
{
	uint64_t number;

	if (!f->last)
		return;
	memcpy(&number, f->last, sizeof(number));
	f->last = NULL;
	/* They come in order, so those that are missing after the last one are lost. */
	if (number + 1 == f->count)
		f->over = true;
	if (number + 1 < f->told + WINDOW / 2)
		return;
	f->told = number + 1;
	say(f, f->told, false);
}

void flow_quiet(struct flow *f)
{
	struct word word;

	/* What was sent before that was said must have come by now. */
	if (f->said)
		f->over = true;
	else if (hear(f, &word, 0))
		f->said = true;
}

uint64_t flow_end(struct flow *f)
{
	struct word word;

	if (!f->said)
		hear(f, &word, -1);
	say(f, f->moved, true);
	return f->count - f->moved;
}
