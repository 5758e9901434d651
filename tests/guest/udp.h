/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of the tests of UDP: two sockets, over each kind of path and in each way that
 * they can know of each other.
 */
#ifndef UDP_H
#define UDP_H

#include "datagram.h"

FIXTURE(udp)
{
	struct dg d;
};

FIXTURE_VARIANT(udp)
{
	enum zt_path path;
	enum dg_kind kind;
};

FIXTURE_VARIANT_ADD(udp, lo4) { .path = ZT_LO4, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(udp, lo6) { .path = ZT_LO6, .kind = DG_PLAIN };
FIXTURE_VARIANT_ADD(udp, wire4) { .path = ZT_WIRE4, .kind = DG_PLAIN };
FIXTURE_VARIANT_ADD(udp, wire6_connected) { .path = ZT_WIRE6, .kind = DG_CONNECTED };
FIXTURE_VARIANT_ADD(udp, wire_mapped) { .path = ZT_WIRE4, .kind = DG_MAPPED };

FIXTURE_SETUP(udp)
{
	dg_open(_metadata, &self->d, variant->path, variant->kind);
}

FIXTURE_TEARDOWN(udp)
{
	zcio_close(self->d.z.ctx);
}

#endif /* UDP_H */
