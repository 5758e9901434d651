// SPDX-License-Identifier: GPL-2.0
/*
 * Frames of an AF_PACKET ring, which its owner can write to while they are read, and which
 * is not even mapped by anybody where the owner maps it again later. For UDP the kernel
 * makes copies of its own, which are the receiver's; an AF_PACKET socket that is alone in
 * receiving a frame gets the ring's very pages. Either way, what was received stays.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "datagram.h"

#define PROTOCOL	0x88b5		/* for experiments */
#define SCRIBBLE	0xee
#define BLOCK		65536
#define FRAME		16384
#define FRAMES		16
#define DATA		(TPACKET2_HDRLEN - sizeof(struct sockaddr_ll))
#define LEN		12000		/* bytes of a datagram */

FIXTURE(ring)
{
	int fd;
	char *map;
	struct sockaddr_ll to;
	int next;			/* frame that the kernel sends next */
	struct dg d;
};

FIXTURE_VARIANT(ring)
{
	bool packet;			/* received by AF_PACKET */
};

FIXTURE_VARIANT_ADD(ring, udp) { };
FIXTURE_VARIANT_ADD(ring, packet) { .packet = true };

typedef FIXTURE_DATA(ring) ring;

static void write_file(struct __test_metadata *_metadata, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", path);
	ASSERT_EQ((ssize_t)strlen(text), write(fd, text, strlen(text)));
	close(fd);
}

static void map_ring(struct __test_metadata *_metadata, ring *self)
{
	self->map = mmap(NULL, FRAME * FRAMES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
}

static void unmap_ring(struct __test_metadata *_metadata, ring *self)
{
	ASSERT_EQ(0, munmap(self->map, FRAME * FRAMES));
}

/* A network of its own, whose loopback device takes frames that are made by hand. */
FIXTURE_SETUP(ring)
{
	struct tpacket_req req = { .tp_block_size = BLOCK, .tp_frame_size = FRAME,
				   .tp_block_nr = FRAMES * FRAME / BLOCK, .tp_frame_nr = FRAMES };
	int version = TPACKET_V2, one = 1;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, system("ip link set lo up"));
	write_file(_metadata, "/proc/sys/net/ipv4/conf/lo/route_localnet", "1");
	write_file(_metadata, "/proc/sys/net/ipv4/conf/lo/accept_local", "1");
	dg_open(_metadata, &self->d, ZT_LO4, DG_PLAIN);
	self->to = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_halen = ETH_ALEN,
					 .sll_protocol = htons(variant->packet ? PROTOCOL : ETH_P_IP),
					 .sll_ifindex = if_nametoindex("lo") };
	if (variant->packet) {
		self->d.z.rx = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ASSERT_LE(0, self->d.z.rx);
		ASSERT_EQ(0, bind(self->d.z.rx, (struct sockaddr *)&self->to, sizeof(self->to)));
	}
	self->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, setsockopt(self->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)));
	ASSERT_EQ(0, setsockopt(self->fd, SOL_PACKET, PACKET_LOSS, &one, sizeof(one)));
	ASSERT_EQ(0, setsockopt(self->fd, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)));
	map_ring(_metadata, self);
}

FIXTURE_TEARDOWN(ring)
{
	zcio_close(self->d.z.ctx);
}

/* The headers of a datagram of UDP, and where its bytes go. */
static void *udp_headers(struct __test_metadata *_metadata, ring *self, struct ethhdr *eth)
{
	struct zt_addr from = { .len = sizeof(from.in6) }, to = { .len = sizeof(to.in6) };
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	uint32_t sum = 0;

	ASSERT_EQ(0, getsockname(self->d.z.tx, &from.sa, &from.len));
	ASSERT_EQ(0, getpeername(self->d.z.tx, &to.sa, &to.len));
	*ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP,
			      .tot_len = htons(sizeof(*ip) + sizeof(*udp) + LEN),
			      .saddr = from.in.sin_addr.s_addr, .daddr = to.in.sin_addr.s_addr };
	for (int w = 0; w < 10; w++)
		sum += ((uint16_t *)ip)[w];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
	*udp = (struct udphdr){ .source = from.in.sin_port, .dest = to.in.sin_port,
				.len = htons(sizeof(*udp) + LEN) };
	return udp + 1;
}

static struct tpacket2_hdr *header(ring *self, int frame)
{
	return (void *)(self->map + frame % FRAMES * FRAME);
}

/* The next datagrams, as frames of the ring, to the socket. Does not wait for a receiver. */
static void put(struct __test_metadata *_metadata, ring *self, bool packet, int count)
{
	for (int i = 0; i < count; i++) {
		struct tpacket2_hdr *h = header(self, self->next++);
		struct ethhdr *eth = (void *)((char *)h + DATA);
		void *data = eth + 1;

		while (*(volatile uint32_t *)&h->tp_status != TP_STATUS_AVAILABLE)
			usleep(100);
		memset(eth, 0, sizeof(*eth));
		eth->h_proto = self->to.sll_protocol;
		if (!packet)
			data = udp_headers(_metadata, self, eth);
		zt_fill(data, LEN, dg_pos(self->d.sent));
		self->d.len[self->d.sent++] = LEN;
		h->tp_len = (char *)data - (char *)eth + LEN;
		__sync_synchronize();
		h->tp_status = TP_STATUS_SEND_REQUEST;
	}
	ASSERT_LT(0, sendto(self->fd, NULL, 0, MSG_DONTWAIT, (struct sockaddr *)&self->to,
			    sizeof(self->to)));
}

static void scribble(ring *self)
{
	for (int i = 0; i < FRAMES; i++)
		memset((char *)header(self, i) + TPACKET2_HDRLEN, SCRIBBLE, FRAME - TPACKET2_HDRLEN);
}

/* Receives what there is; @meanwhile is called then, and must not change any of it. */
static void take(struct __test_metadata *_metadata, ring *self,
		 void (*meanwhile)(struct __test_metadata *, ring *))
{
	struct dg *d = &self->d;
	struct iovec regions[64], iov[64];
	struct zcio_payload info[64];
	size_t first = d->got, at;
	int n;

	zt_regions(regions, d->z.win, 64, 4);
	n = zt_take(_metadata, d->z.dev, d->z.rx, regions, 64, iov, info, 0);
	ASSERT_LT(0, n);
	for (int again = 0; again < 2; again++) {
		d->got = first;
		at = 0;
		for (int i = 0; i < n; i++) {
			ASSERT_EQ(iov[i].iov_len, zt_same(iov[i].iov_base, iov[i].iov_len,
							  dg_pos(d->got) + at)) {
				TH_LOG("datagram %zu %s at %zu (mapped %llu, copied %llu, why %#x)", d->got,
				       again ? "has changed" : "is wrong", at,
				       (unsigned long long)info[i].mapped,
				       (unsigned long long)info[i].copied, info[i].why);
			}
			at += iov[i].iov_len;
			d->mapped += again ? 0 : info[i].mapped;
			d->copied += again ? 0 : info[i].copied;
			d->why |= info[i].why;
			if (info[i].flags & ZCIO_PAYLOAD_END)
				at = 0, d->got++;
		}
		if (!again)
			meanwhile(_metadata, self);
	}
}

static void write_it(struct __test_metadata *_metadata, ring *self)
{
	scribble(self);
}

static void map_and_write_it(struct __test_metadata *_metadata, ring *self)
{
	map_ring(_metadata, self);
	scribble(self);
}

static void nothing(struct __test_metadata *_metadata, ring *self)
{
	char *junk = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	/* What was given back is somebody else's now. */
	ASSERT_NE(MAP_FAILED, junk);
	memset(junk, SCRIBBLE, 32 << 20);
	munmap(junk, 32 << 20);
}

/* Frames that wait for AF_PACKET are the ring's own: the kernel has not given them back. */
static void are_the_rings(struct __test_metadata *_metadata, ring *self, int count)
{
	for (int i = 1; i <= count; i++)
		ASSERT_NE(0, header(self, self->next - i)->tp_status & TP_STATUS_SENDING) {
			TH_LOG("the kernel has copied the frame");
		}
}

/* None of their pages were mapped, as the ring's owner can write to them. */
static void were_copied(struct __test_metadata *_metadata, ring *self)
{
	ASSERT_EQ(0, self->d.mapped);
	ASSERT_LT(0, self->d.copied);
	ASSERT_NE(0, self->d.why & (ZCIO_WHY_WRITABLE | ZCIO_WHY_SHARED));
}

TEST_F(ring, that_is_mapped_can_be_written)
{
	for (int round = 0; round < 3; round++) {
		put(_metadata, self, variant->packet, FRAMES);
		if (variant->packet)
			are_the_rings(_metadata, self, FRAMES);
		while (self->d.got < self->d.sent)
			take(_metadata, self, write_it);
	}
	if (variant->packet)
		were_copied(_metadata, self);
}

/* Not mapped by anybody while it is received, and again after that. */
TEST_F(ring, that_is_mapped_again_later_can_be_written)
{
	for (int round = 0; round < 3; round++) {
		put(_metadata, self, variant->packet, FRAMES / 2);
		if (variant->packet)
			are_the_rings(_metadata, self, FRAMES / 2);
		while (self->d.got < self->d.sent) {
			unmap_ring(_metadata, self);
			take(_metadata, self, map_and_write_it);
		}
	}
	if (variant->packet)
		were_copied(_metadata, self);
}

TEST_F(ring, that_is_gone_leaves_its_frames)
{
	put(_metadata, self, variant->packet, FRAMES / 2);
	unmap_ring(_metadata, self);
	ASSERT_EQ(0, close(self->fd));
	while (self->d.got < self->d.sent)
		take(_metadata, self, nothing);
}

TEST_HARNESS_MAIN
