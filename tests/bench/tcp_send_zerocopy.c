// SPDX-License-Identifier: GPL-2.0
/* A TCP stream by MSG_ZEROCOPY: each buffer rests until the completion of what it was sent with. */
#include <stdlib.h>

#include "send.h"

/*
 * As many bytes as a connection's send buffer holds if it grows as far as it may by default,
 * so that it is the connection that a sender waits for, and not a buffer.
 */
#define IN_TURN		(4 << 20)
/* More buffers would be more sends on their way than the kernel has memory to tell of. */
#define MOST		1024

void tcp_send_zerocopy(struct bench *b)
{
	struct zerocopy z;
	struct turns t;
	uint32_t *until;

	turns_open(b, &t, 4, IN_TURN < MOST * b->size ? IN_TURN : MOST * b->size);
	until = calloc(t.count, sizeof(*until));
	if (!until)
		die("memory");
	zerocopy_open(b, &z, b->fds[0], 2 * MOST);
	bench_start(b);
	for (size_t i = 0; b->moved < b->bytes; i = (i + 1) % t.count) {
		size_t len = request_len(b);

		zerocopy_wait(b, &z, until[i]);
		request_make(b, turn(&t, i), len);
		zerocopy_send(b, &z, turn(&t, i), len);
		until[i] = z.next;
		b->moved += len;
	}
	zerocopy_wait(b, &z, z.next);
	bench_stop(b);
}
