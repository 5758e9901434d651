// SPDX-License-Identifier: GPL-2.0
/* Relays by zcio's splices: they are started, and then the kernel does it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay.h"
#include "zcio.h"

static void begin(struct bench *b, struct zcio_ctx *ctx, int source, int drain)
{
	struct zcio_splice call = { .source = source, .drain = drain };

	if (!zcio_splice(ctx, &call))
		return;
	if (errno == EPROTONOSUPPORT)
		unable(b, "the module does not splice such sockets");
	die("zcio_splice");
}

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_STREAM;
}

/*
 * May it have ended so, while both of its sockets are open? A sink of datagrams that has had all
 * of them goes, and is not there any more for the one that says that there are no more; what was
 * lost before that is counted by the sink.
 */
static bool in_order(uint32_t state, int source)
{
	return state == ZCIO_SPLICE_RUNNING || state == ZCIO_SPLICE_EOF ||
	       (state == ZCIO_SPLICE_DRAIN && !is_stream(source));
}

/* Adds what became of a splice. */
static uint64_t end(struct bench *b, struct zcio_ctx *ctx, int source)
{
	struct zcio_splice_status status = { .fd = source };

	if (zcio_splice_status(ctx, &status))
		die("zcio_splice_status");
	if (!in_order(status.state, source)) {
		fprintf(stderr, "zcio-bench: a splice has ended in state %u: %s\n", status.state,
			strerror(status.error));
		exit(1);
	}
	b->mapped += status.moved - status.copied;
	b->copied += status.copied;
	return status.moved;
}

void relay_by_zc(struct bench *b, bool both)
{
	struct zcio_ctx *ctx = zcio_open();
	uint64_t moved = 0;

	if (!ctx)
		die("a context");
	for (unsigned int i = 0; i < b->connections; i++) {
		begin(b, ctx, from_source(b, i), to_sink(b, i));
		if (both)
			begin(b, ctx, to_sink(b, i), from_source(b, i));
	}
	bench_start(b);
	relay_wait(b);
	bench_stop(b);
	for (unsigned int i = 0; i < b->connections; i++) {
		moved += end(b, ctx, from_source(b, i));
		if (both)
			moved += end(b, ctx, to_sink(b, i));
	}
	b->moved = moved;
}
