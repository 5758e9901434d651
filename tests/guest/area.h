/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Areas of a pool, to be sent.
 */
#ifndef AREA_H
#define AREA_H

#include "zt.h"

/* An area, and the payload in it. */
typedef struct iovec pair[2];

/*
 * The @pages pages of the pool from @page on get junk, and at @offset @len bytes of the
 * stream from @pos on; @iov tells of them.
 */
ZT_UNUSED static void zt_area(struct zt *z, pair iov, size_t page, size_t pages, size_t offset,
			      size_t len, uint64_t pos)
{
	char *base = z->pool + ZT_PAGES(page);

	memset(base, 0xa5, ZT_PAGES(pages));
	zt_fill(base + offset, len, pos);
	iov[0] = zt_iov(base, ZT_PAGES(pages));
	iov[1] = zt_iov(base + offset, len);
}

/* Whether what is sent on @path leaves without the stack copying it, kept or not. */
ZT_UNUSED static bool zt_gathers(enum zt_path path)
{
	return path == ZT_LO4 || path == ZT_LO6 || access("/sys/class/net/zc0", F_OK) ||
	       !system("f=$(ethtool -k zc0) && echo \"$f\" | grep -q '^scatter-gather: on' &&"
		       "echo \"$f\" | grep -q '^tx-checksumming: on'");
}

#endif /* AREA_H */
