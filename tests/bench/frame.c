// SPDX-License-Identifier: GPL-2.0
/* Frames of Ethernet, IPv4 and UDP, for ways that go around the stack: headers, and who gets them. */
#include <fcntl.h>
#include <linux/filter.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "datagram.h"

static struct address end_of(struct bench *b, bool peer)
{
	struct address a = { .len = sizeof(a.in6) };

	if (peer ? getpeername(b->fds[0], &a.sa, &a.len) : getsockname(b->fds[0], &a.sa, &a.len))
		die("the flow's addresses");
	return a;
}

uint16_t port_of(struct bench *b, bool peer)
{
	return end_of(b, peer).in.sin_port;
}

void frames_fit(struct bench *b)
{
	socklen_t len = sizeof(int);
	int mtu;

	if (getsockopt(b->fds[0], IPPROTO_IP, IP_MTU, &mtu, &len))
		die("IP_MTU");
	if (b->size + sizeof(struct iphdr) + sizeof(struct udphdr) > (size_t)mtu)
		unable(b, "at an MTU of %d, datagrams of %zu bytes are sent as fragments", mtu, b->size);
}

/* The hardware addresses, as the kernel knows them; all zeros on loopback. */
static void link_head(struct bench *b, struct ether_header *eth)
{
	struct ifreq own = {};
	struct address peer = end_of(b, true);
	struct arpreq other = {};

	eth->ether_type = htons(ETHERTYPE_IP);
	snprintf(own.ifr_name, sizeof(own.ifr_name), "%s", device_of(false));
	if (ioctl(b->fds[0], SIOCGIFHWADDR, &own))
		die("the device's hardware address");
	if (own.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK)
		return;
	memcpy(eth->ether_shost, own.ifr_hwaddr.sa_data, ETH_ALEN);
	snprintf(other.arp_dev, sizeof(other.arp_dev), "%s", device_of(false));
	peer.in.sin_port = 0;
	memcpy(&other.arp_pa, &peer.in, sizeof(peer.in));
	if (ioctl(b->fds[0], SIOCGARP, &other))
		die("the peer's hardware address");
	memcpy(eth->ether_dhost, other.arp_ha.sa_data, ETH_ALEN);
}

static uint16_t ip_sum(const struct iphdr *ip)
{
	const unsigned char *p = (const unsigned char *)ip;
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(*ip); i += 2)
		sum += p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

void frame_head(struct bench *b, unsigned char head[FRAME_HEAD])
{
	struct address from = end_of(b, false), to = end_of(b, true);
	struct ether_header eth = {};
	struct udphdr udp = {
		.source = from.in.sin_port,
		.dest = to.in.sin_port,
		.len = htons(sizeof(udp) + b->size),
		/* No checksum: IPv4 allows that, and no device makes one for frames such as these. */
	};
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons(sizeof(ip) + sizeof(udp) + b->size),
		.frag_off = htons(IP_DF),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = from.in.sin_addr.s_addr,
		.daddr = to.in.sin_addr.s_addr,
	};

	link_head(b, &eth);
	ip.check = ip_sum(&ip);
	memcpy(head, &eth, sizeof(eth));
	memcpy(head + sizeof(eth), &ip, sizeof(ip));
	memcpy(head + sizeof(eth) + sizeof(ip), &udp, sizeof(udp));
}

void stack_drops(struct bench *b)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog filter = { ARRAY_SIZE(code), code };

	if (setsockopt(b->fds[0], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)))
		die("a filter for the UDP socket");
}

void loopback_accepts(void)
{
	int fd;

	if (strcmp(device_of(false), "lo"))
		return;
	fd = open("/proc/sys/net/ipv4/conf/lo/accept_local", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		die("accept_local of the loopback device");
	close(fd);
}
