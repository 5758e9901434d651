/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which places of the module calls came by (KCOV; only a debug kernel has it, and there
 * only the module is instrumented). Those of all tests of a program are added up in
 * $ZCIO_RUN/NAME.places, of which tests/rig/places makes an account by source line.
 */
#ifndef KCOV_H
#define KCOV_H

#include <linux/kcov.h>

#include "zt.h"

#define KCOV_WORDS	(1 << 16)	/* that one call can record */
#define KCOV_BYTES	(1 << 20)	/* of the module's code, at most */

struct kcov {
	int fd;
	uint64_t *pcs;		/* how many there are, then each */
	uint64_t text;		/* where the module's code begins */
	bool *seen;
};

/* Without KCOV, the others do nothing. */
static inline void kcov_open(struct kcov *k)
{
	FILE *f = fopen("/sys/module/zcio/sections/.text", "re");

	k->seen = NULL;
	k->fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (k->fd < 0 || !f || fscanf(f, "%lx", &k->text) != 1)
		goto out;
	if (ioctl(k->fd, KCOV_INIT_TRACE, KCOV_WORDS))
		goto out;
	k->pcs = mmap(NULL, KCOV_WORDS * sizeof(*k->pcs), PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (k->pcs != MAP_FAILED)
		k->seen = calloc(KCOV_BYTES, 1);
out:
	if (f)
		fclose(f);
}

static inline void kcov_begin(struct kcov *k)
{
	if (!k->seen)
		return;
	k->pcs[0] = 0;
	if (ioctl(k->fd, KCOV_ENABLE, KCOV_TRACE_PC))
		k->seen = NULL;
}

static inline void kcov_end(struct kcov *k)
{
	int saved = errno;

	if (!k->seen)
		return;
	ioctl(k->fd, KCOV_DISABLE, 0);
	for (uint64_t i = 1; i <= k->pcs[0]; i++)
		if (k->pcs[i] - k->text < KCOV_BYTES)
			k->seen[k->pcs[i] - k->text] = true;
	errno = saved;
}

static inline void kcov_save(struct kcov *k)
{
	const char *run = getenv("ZCIO_RUN");
	char path[256];
	FILE *f;

	if (!k->seen || !run)
		return;
	snprintf(path, sizeof(path), "%s/%s.places", run, program_invocation_short_name);
	f = fopen(path, "ae");
	for (size_t i = 0; f && i < KCOV_BYTES; i++)
		if (k->seen[i])
			fprintf(f, ".text+0x%zx\n", i);
	if (f)
		fclose(f);
	free(k->seen);
	k->seen = NULL;
}

#endif /* KCOV_H */
