/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The harness, pages, and bytes that say where in a stream they belong.
 */
#ifndef BASE_H
#define BASE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

/* The debug kernel (KERNEL=debug) checks all that it does, which takes its time. */
static inline bool zt_debug(void)
{
	const char *kernel = getenv("ZCIO_KERNEL"), *end = kernel ? strrchr(kernel, '-') : NULL;

	return end && !strcmp(end, "-debug");
}

/* There a test has four times its time. */
static inline void zt_patience(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;

	if (zt_debug())
		for (f = __fixture_list; f; f = f->next)
			for (t = f->tests; t; t = t->next)
				t->timeout *= 4;
}

#undef TEST_HARNESS_MAIN
#define TEST_HARNESS_MAIN						\
	int main(int argc, char **argv)					\
	{								\
		zt_patience();						\
		return test_harness_run(argc, argv);			\
	}

#define ZT_PAGE		4096UL
#define ZT_PAGES(n)	((size_t)(n) * ZT_PAGE)
#define ZT_PTR(p)	((uint64_t)(uintptr_t)(p))
#define ZT_UNUSED	__attribute__((unused))

/* ---- bytes that say where in the stream they belong ---- */

/* Never 0, so that a byte of payload is never taken for an empty one. */
static inline unsigned char zt_byte(uint64_t pos)
{
	return 1 + ((uint32_t)(pos * 2654435761u) >> 11) % 255;
}

ZT_UNUSED static void zt_fill(void *buf, size_t len, uint64_t pos)
{
	unsigned char *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = zt_byte(pos + i);
}

/* How many of the @len bytes are the stream's from @pos on. */
ZT_UNUSED static size_t zt_same(const void *buf, size_t len, uint64_t pos)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != zt_byte(pos + i))
			break;
	return i;
}

/* How many zeros @buf starts with: by words, as some have much to look at. */
ZT_UNUSED static size_t zt_zeros(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	size_t i = 0;

	for (; i < len && (uintptr_t)(p + i) % 64; i++)
		if (p[i])
			return i;
	for (; i + 64 <= len; i += 64) {
		const uint64_t *w = (const uint64_t *)(p + i);

		if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
			break;
	}
	while (i < len && !p[i])
		i++;
	return i;
}

/* A number below @below: the same ones from the same seed. */
static inline uint32_t zt_draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*seed >> 33) % below;
}

#endif /* BASE_H */
