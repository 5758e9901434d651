// SPDX-License-Identifier: MIT
/* receive PORT: waits for one connection and adds up the bytes that it sends. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zcio.h>

#define REGIONS 64
#define REGION_LEN 65536

static int fail(const char *what)
{
	fprintf(stderr, "%s: %m. %s\n", what, zcio_hint(errno));
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	unsigned long long bytes = 0, sum = 0;
	struct zcio_ctx *ctx = zcio_open();
	struct iovec iov[REGIONS];
	char *window;
	int sock, i, n;

	if (argc != 2)
		return fprintf(stderr, "usage: receive PORT\n"), 2;
	if (!ctx)
		return fail("zcio_open");
	window = zcio_window(ctx, REGIONS * REGION_LEN, 0);
	if (!window)
		return fail("zcio_window");

	addr.sin6_port = htons(atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1))
		return fail("bind");
	sock = accept(listener, NULL, NULL);
	if (sock < 0)
		return fail("accept");

	for (;;) {
		for (i = 0; i < REGIONS; i++)	/* giving a region again frees what it held */
			iov[i] = (struct iovec){ window + i * REGION_LEN, REGION_LEN };
		n = zc_readv(sock, iov, REGIONS);
		if (n <= 0)
			break;
		for (i = 0; i < n; i++) {
			const unsigned char *byte = iov[i].iov_base, *end = byte + iov[i].iov_len;

			bytes += iov[i].iov_len;
			while (byte < end)
				sum += *byte++;
		}
	}
	if (n < 0)
		return fail("zc_readv");
	printf("received %llu bytes, sum %llu\n", bytes, sum);
	return 0;
}
