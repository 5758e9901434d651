// SPDX-License-Identifier: MIT
/* send HOST PORT [BYTES]: connects and sends BYTES bytes (1 MiB) of a pattern. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <zcio.h>

#define AREA_LEN 65536

static int fail(const char *what)
{
	fprintf(stderr, "%s: %m. %s\n", what, zcio_hint(errno));
	return 1;
}

int main(int argc, char **argv)
{
	size_t total = argc > 3 ? strtoull(argv[3], NULL, 0) : 1 << 20, done = 0, len;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai;
	struct zcio_ctx *ctx = zcio_open();
	unsigned long long sum = 0;
	unsigned char *area;
	int sock;

	if (argc < 3)
		return fprintf(stderr, "usage: send HOST PORT [BYTES]\n"), 2;
	if (!ctx)
		return fail("zcio_open");
	area = zcio_pool(ctx, AREA_LEN);
	if (!area)
		return fail("zcio_pool");
	if (getaddrinfo(argv[1], argv[2], &hints, &ai))
		return fprintf(stderr, "%s: no such host or port\n", argv[1]), 1;
	sock = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, ai->ai_addr, ai->ai_addrlen))
		return fail("connect");

	while (done < total) {
		for (len = 0; len < AREA_LEN && done < total; done++) {
			area[len] = done % 251;
			sum += area[len++];
		}
		const struct iovec iov[1][2] = { { { area, AREA_LEN }, { area, len } } };

		if (zc_writev(sock, iov, 1) != 1)	/* in part only if the peer is lost */
			return fail("zc_writev");
		if (area[0] || area[len - 1])		/* zero pages now, to be filled anew */
			return fprintf(stderr, "the area was not swapped\n"), 1;
	}
	printf("sent %zu bytes, sum %llu\n", done, sum);
	return 0;
}
