/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Network namespaces of the tests' own, for splices from one into the other: zta - ztb - ztc, with
 * a device at each end of both wires. The splices are in ztb.
 */
#ifndef SPLICE_SPACES_H
#define SPLICE_SPACES_H

#include "lifetime.h"

ZT_UNUSED static const struct path way_in = {
	.near = { .ns = "ztb", .device = "ztb0", .address = "10.78.0.2" },
	.far = { .ns = "zta", .device = "zta0", .address = "10.78.0.1" },
};

ZT_UNUSED static const struct path way_out = {
	.near = { .ns = "ztb", .device = "ztb1", .address = "10.79.0.2" },
	.far = { .ns = "ztc", .device = "ztc0", .address = "10.79.0.3" },
};

#define WIRE_IN \
	"ip -n zta link add zta0 mtu 9000 type veth peer name ztb0 mtu 9000 netns ztb\n" \
	"ip -n zta addr add 10.78.0.1/24 dev zta0; ip -n ztb addr add 10.78.0.2/24 dev ztb0\n" \
	"ip -n zta link set zta0 up; ip -n ztb link set ztb0 up\n"
#define WIRE_OUT \
	"ip -n ztc link add ztc0 mtu 9000 type veth peer name ztb1 mtu 9000 netns ztb\n" \
	"ip -n ztc addr add 10.79.0.3/24 dev ztc0; ip -n ztb addr add 10.79.0.2/24 dev ztb1\n" \
	"ip -n ztc link set ztc0 up; ip -n ztb link set ztb1 up\n"
#define WIRE \
	"for ns in zta ztb ztc; do ip netns add $ns; done\n" WIRE_IN WIRE_OUT
#define UNWIRE \
	"for ns in zta ztb ztc; do if [ -e /run/netns/$ns ]; then ip netns del $ns; fi; done\n"

/* The process goes into a namespace of its own, in which there is loopback. */
ZT_UNUSED static bool own_namespace(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, err;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	err = ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return !err;
}

#endif /* SPLICE_SPACES_H */
