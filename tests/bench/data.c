// SPDX-License-Identifier: GPL-2.0
/*
 * What is sent: the byte at a position of the stream is a function of that position, so that
 * each side knows what must come, wherever it begins. Written by memcpy() from a table, as an
 * application's own data would be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static unsigned char table[2 * DATA_PERIOD];

__attribute__((constructor)) static void make(void)
{
	uint64_t state = 88172645463325252ULL;

	for (size_t i = 0; i < DATA_PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		table[i] = state >> 24;
		table[i + DATA_PERIOD] = table[i];
	}
}

/* The longest piece that lies in the table as one. */
static size_t piece(size_t len)
{
	return len < DATA_PERIOD ? len : DATA_PERIOD;
}

void data_fill(void *to, uint64_t at, size_t len)
{
	for (size_t n; len; to = (char *)to + n, at += n, len -= n) {
		n = piece(len);
		memcpy(to, table + at % DATA_PERIOD, n);
	}
}

void data_take(struct bench *b, const void *from, uint64_t at, size_t len)
{
	const char *p = from;
	volatile char seen;

	if (!b->check) {
		for (size_t i = 0; i < len && !b->untouched; i += 64)
			seen = p[i];
		(void)seen;
		return;
	}
	for (size_t n; len; p += n, at += n, len -= n) {
		n = piece(len);
		if (!memcmp(p, table + at % DATA_PERIOD, n))
			continue;
		fprintf(stderr, "bench: a byte is wrong between %llu and %llu of what was sent\n",
			(unsigned long long)at, (unsigned long long)(at + n));
		exit(1);
	}
}
