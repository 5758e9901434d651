// SPDX-License-Identifier: GPL-2.0
/* How the peer of a receiving job sends its stream: copied, with MSG_ZEROCOPY, or from a pool. */
#include <string.h>

#include "send.h"

/* Bytes of one write. */
#define SENT_AT_ONCE	(256 << 10)

static size_t left(const struct bench *b)
{
	return b->bytes - b->moved < SENT_AT_ONCE ? b->bytes - b->moved : SENT_AT_ONCE;
}

static void by_send(struct bench *b, int fd)
{
	char *buf = memory(SENT_AT_ONCE);
	ssize_t n;

	data_fill(buf, 0, SENT_AT_ONCE);
	while (b->moved < b->bytes) {
		size_t len = left(b);

		/* The same bytes again and again cost less; only --check needs others. */
		if (b->check)
			data_fill(buf, b->moved, len);
		for (size_t done = 0; done < len; done += n) {
			n = send(fd, buf + done, len - done, 0);
			if (n < 0)
				die("the peer's send");
		}
		b->moved += len;
	}
}

/* A buffer is written to again when what was sent from it is complete. */
#define BUFFERS		16

static void by_zerocopy(struct bench *b, int fd)
{
	char *all = memory(BUFFERS * SENT_AT_ONCE);
	uint32_t until[BUFFERS] = {};
	struct zerocopy z;

	zerocopy_open(b, &z, fd, 1024);
	data_fill(all, 0, BUFFERS * SENT_AT_ONCE);
	for (unsigned int i = 0; b->moved < b->bytes; i = (i + 1) % BUFFERS) {
		char *buf = all + i * SENT_AT_ONCE;
		size_t len = left(b);

		zerocopy_wait(b, &z, until[i]);
		if (b->check)
			data_fill(buf, b->moved, len);
		zerocopy_send(b, &z, buf, len);
		until[i] = z.next;
		b->moved += len;
	}
	zerocopy_wait(b, &z, z.next);
}

static void by_zc_writev(struct bench *b, int fd)
{
	struct zc_sender z;

	zc_sender_open(&z, fd, SENT_AT_ONCE);
	data_fill(z.pool, 0, SENT_AT_ONCE);
	while (b->moved < b->bytes) {
		size_t len = left(b);
		struct iovec iov[1][2] = { { { z.pool, SENT_AT_ONCE }, { z.pool, len } } };

		/* What was sent reads as zeros, which do where nobody compares. */
		if (b->check)
			data_fill(z.pool, b->moved, len);
		zc_send(b, &z, fd, iov, 1, 0);
		b->moved += len;
	}
}

static const struct {
	const char *name;
	void (*run)(struct bench *b, int fd);
} senders[] = {
	{ "send", by_send },
	{ "zerocopy", by_zerocopy },
	{ "zc", by_zc_writev },
};

bool sender_known(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(senders); i++)
		if (!strcmp(senders[i].name, kind))
			return true;
	return false;
}

void send_stream(struct bench *b, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(senders); i++)
		if (!strcmp(senders[i].name, b->sender))
			senders[i].run(b, fd);
}
