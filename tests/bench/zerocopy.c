// SPDX-License-Identifier: GPL-2.0
/*
 * MSG_ZEROCOPY: sends are numbered by the kernel, which tells on the socket's error queue of
 * ranges of numbers whose memory it does not read any more, and whether it had copied them.
 */
#include <errno.h>
#include <time.h>		/* before errqueue.h, which needs it */
#include <linux/errqueue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "send.h"

void zerocopy_open(struct bench *b, struct zerocopy *z, int fd, uint32_t room)
{
	int one = 1;

	*z = (struct zerocopy) { .fd = fd, .room = room, .sends = calloc(room, sizeof(*z->sends)) };
	if (!z->sends)
		die("memory");
	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		unable(b, "SO_ZEROCOPY: %s", strerror(errno));
}

/* One range. What two ranges report that the kernel joined is what the first of them had. */
static void complete(struct bench *b, struct zerocopy *z, const struct sock_extended_err *err)
{
	bool copied = err->ee_code & SO_EE_CODE_ZEROCOPY_COPIED;

	if (err->ee_origin != SO_EE_ORIGIN_ZEROCOPY || err->ee_errno ||
	    err->ee_info - z->done >= z->next - z->done || err->ee_data - z->done >= z->next - z->done) {
		fprintf(stderr, "bench: the error queue tells of something else than sends on their way\n");
		exit(1);
	}
	for (uint32_t i = err->ee_info; i != err->ee_data + 1; i++) {
		struct zerocopy_send *s = &z->sends[i % z->room];

		*(copied ? &b->copied : &b->mapped) += s->len;
		s->complete = true;
	}
	/* They come in order but for retransmissions. */
	while (z->done != z->next && z->sends[z->done % z->room].complete)
		z->done++;
}

bool zerocopy_reap(struct bench *b, struct zerocopy *z)
{
	char control[128];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };

	b->calls++;
	if (recvmsg(z->fd, &msg, MSG_ERRQUEUE) < 0) {
		if (errno != EAGAIN)
			die("the error queue");
		return false;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
		    (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
			complete(b, z, (void *)CMSG_DATA(c));
	return true;
}

/* Waits for at least one completion. */
static void wait_some(struct bench *b, struct zerocopy *z)
{
	struct pollfd p = { .fd = z->fd };
	socklen_t len = sizeof(errno);

	while (!zerocopy_reap(b, z)) {
		b->calls++;
		if (poll(&p, 1, -1) < 0)
			die("waiting for completions");
		/* A broken connection is POLLERR as well, and tells of nothing else. */
		if (getsockopt(z->fd, SOL_SOCKET, SO_ERROR, &errno, &len) || errno)
			die("the connection");
	}
}

void zerocopy_wait(struct bench *b, struct zerocopy *z, uint32_t until)
{
	while ((int32_t)(z->done - until) < 0)
		wait_some(b, z);
}

void zerocopy_send(struct bench *b, struct zerocopy *z, const char *from, size_t len)
{
	while (len) {
		ssize_t n;

		if (z->next - z->done == z->room)
			zerocopy_wait(b, z, z->done + 1);
		n = send(z->fd, from, len, MSG_ZEROCOPY);
		b->calls++;
		/* So many sends are on their way that there is no memory to tell of more. */
		if (n < 0 && errno == ENOBUFS && z->next != z->done) {
			wait_some(b, z);
			continue;
		}
		if (n < 0)
			die("send with MSG_ZEROCOPY");
		z->sends[z->next++ % z->room] = (struct zerocopy_send) { .len = n };
		b->payloads++;
		from += n;
		len -= n;
	}
}
