// SPDX-License-Identifier: GPL-2.0
/*
 * Where a socket's bytes leave the machine, and what memory the device there reaches; see
 * shim.h.
 */
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/if_packet.h>
#include <linux/iommu-dma.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/swiotlb.h>
#include <linux/virtio_config.h>
#include <net/dst.h>
#include <net/inet_sock.h>
#include <net/sock.h>

#include "shim.h"

/* Such a virtio device is told of memory by its address: no DMA in the kernel's sense. */
static bool takes_addresses(struct device *dev)
{
	return dev->bus && !strcmp(dev->bus->name, "virtio") &&
	       !__virtio_test_bit(dev_to_virtio(dev), VIRTIO_F_ACCESS_PLATFORM);
}

/* Adds what the device under @dev, if there is one, reaches. */
static void add(struct net_device *dev, struct zcio_route *route)
{
	struct device *parent = dev->dev.parent;
	u64 mask;

	while (parent && !parent->dma_mask) {
		if (takes_addresses(parent))
			return;
		parent = parent->parent;
	}
	if (!parent)
		return;
	mask = min_not_zero(dma_get_mask(parent), parent->bus_dma_limit);
	route->dma = true;
	route->mask = min(route->mask, mask);
	/* Behind an IOMMU every page has an address that the device reaches. */
	if (dma_addressing_limited(parent) && !use_dma_iommu(parent))
		route->reach = min(route->reach, mask);
	route->bounces |= is_swiotlb_force_bounce(parent);
}

static int add_lower(struct net_device *dev, struct netdev_nested_priv *priv)
{
	add(dev, priv->data);
	return 0;
}

/* The device that @sock's bytes are handed to; the caller holds rcu_read_lock(). */
static struct net_device *device_of(struct socket *sock, int *err)
{
	struct sock *sk = sock->sk;
	struct net_device *dev;

	if (sk->sk_family == AF_PACKET) {
		struct sockaddr_storage name = {};

		*err = kernel_getsockname(sock, (struct sockaddr *)&name);
		if (*err < 0)
			return NULL;
		dev = dev_get_by_index_rcu(sock_net(sk),
					   ((struct sockaddr_ll *)&name)->sll_ifindex);
		*err = -ENOTCONN;
	} else {
		struct dst_entry *dst = __sk_dst_get(sk);

		dev = dst ? dst_dev_rcu(dst) : NULL;
		*err = inet_sk_state_load(sk) == TCP_ESTABLISHED ? -ENETUNREACH : -ENOTCONN;
	}
	return dev;
}

int zcio_route(struct socket *sock, struct zcio_route *route)
{
	struct netdev_nested_priv priv = { .data = route };
	struct net_device *dev;
	int err;

	*route = (struct zcio_route){ .mask = U64_MAX, .reach = U64_MAX };
	rcu_read_lock();
	dev = device_of(sock, &err);
	if (dev) {
		add(dev, route);
		/* VLANs, bonds, bridges: one of those below them sends. */
		netdev_walk_all_lower_dev_rcu(dev, add_lower, &priv);
	}
	rcu_read_unlock();
	return dev ? 0 : err;
}
