/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tells of pages on their way: counters of a context that are in /proc/self/fdinfo only,
 * and what the network still holds back.
 */
#ifndef FDINFO_H
#define FDINFO_H

#include "zt.h"

/* The number behind "@name:". */
ZT_UNUSED static uint64_t zt_fdinfo(struct __test_metadata *_metadata, const struct zt *z,
				    const char *name)
{
	char path[64], line[128];
	size_t len = strlen(name);
	uint64_t value = 0;
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", z->dev);
	file = fopen(path, "re");
	ASSERT_NE(NULL, file);
	while (!found && fgets(line, sizeof(line), file)) {
		found = !strncmp(line, name, len) && line[len] == ':';
		if (found)
			value = strtoull(line + len + 1, NULL, 10);
	}
	fclose(file);
	ASSERT_TRUE(found) TH_LOG("no %s in %s", name, path);
	return value;
}

/* What a pool in steady state must not change: pages held, on their way, ever allocated. */
struct pool_pages {
	uint64_t held, leaving, allocated;
};

ZT_UNUSED static struct pool_pages zt_pool_pages(struct __test_metadata *_metadata,
						 const struct zt *z)
{
	struct zcio_info info = zt_info(_metadata, z->ctx);
	struct pool_pages p = {
		.held = info.pool_pages,
		.leaving = info.pool_leaving,
		.allocated = zt_fdinfo(_metadata, z, "zcio-pool-allocated"),
	};

	ASSERT_EQ(p.leaving, zt_fdinfo(_metadata, z, "zcio-pool-leaving"));
	ASSERT_EQ(p.held, zt_fdinfo(_metadata, z, "zcio-pool-pages"));
	return p;
}

/*
 * How many skbs a processor may leave to another one to free when it finds the time (which
 * can be long, if nothing else is going on). Returns what it was.
 */
ZT_UNUSED static int zt_defer(struct __test_metadata *_metadata, int max)
{
	FILE *file = fopen("/proc/sys/net/core/skb_defer_max", "r+e");
	int old = 0;

	ASSERT_NE(NULL, file);
	ASSERT_EQ(1, fscanf(file, "%d", &old));
	rewind(file);
	ASSERT_LT(0, fprintf(file, "%d\n", max));
	ASSERT_EQ(0, fclose(file));
	return old;
}

#endif /* FDINFO_H */
