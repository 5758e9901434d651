// SPDX-License-Identifier: GPL-2.0
/* Datagrams by way of an AF_PACKET socket with a ring that is shared with the kernel. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "datagram.h"

/* A number that is a power of two, and at least @n. */
static size_t power(size_t n)
{
	size_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

/* Without a protocol, so that nothing comes before all is prepared. */
static int packet_socket(int version)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)))
		die("an AF_PACKET socket");
	return fd;
}

static void packet_bind(int fd, int protocol)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol),
				  .sll_ifindex = if_nametoindex(device_of(false)) };

	if (bind(fd, (struct sockaddr *)&to, sizeof(to)))
		die("binding the AF_PACKET socket");
}

static void *ring_map(int fd, size_t len)
{
	void *ring = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

	if (ring == MAP_FAILED)
		die("mapping the ring");
	return ring;
}

/* ---- receiving ---- */

/* Blocks of the ring; all together hold more than can be on the way. */
#define BLOCKS	32

/* Of frames from the device, those of IPv4 and UDP to this port, that are no fragments. */
static void packet_filter(int fd, uint16_t port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 0, 8),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 4, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { ARRAY_SIZE(code), code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)))
		die("the AF_PACKET socket's filter");
}

static void take_block(struct flow *f, struct tpacket_block_desc *block)
{
	struct tpacket3_hdr *h = (void *)((char *)block + block->hdr.bh1.offset_to_first_pkt);

	for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
		if (h->tp_snaplen != h->tp_len || h->tp_snaplen < FRAME_HEAD) {
			errno = EMSGSIZE;
			die("a frame in the ring");
		}
		flow_take(f, (char *)h + h->tp_mac + FRAME_HEAD, h->tp_snaplen - FRAME_HEAD);
		flow_whole(f);
		h = (void *)((char *)h + h->tp_next_offset);
	}
	f->b->payloads += block->hdr.bh1.num_pkts;
	flow_taken(f);
}

void udp_receive_packet(struct bench *b)
{
	/*
	 * A block is handed over when it is full, or after a while. The sender waits for what it
	 * sent to be taken, so a block is to be full with what it may send, and the while short.
	 */
	size_t size = power(BATCH * (b->size + FRAME_HEAD + TPACKET3_HDRLEN));
	struct tpacket_req3 req = { .tp_frame_size = 2048, .tp_block_nr = BLOCKS, .tp_retire_blk_tov = 1 };
	int fd = packet_socket(TPACKET_V3);
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLERR };
	struct flow f;
	char *ring;

	frames_fit(b);
	flow_open(&f, b);
	/* With --sender gso, frames can come joined, of up to 64 KiB. */
	if (!strcmp(b->sender, "gso") && size < 128 << 10)
		size = 128 << 10;
	req.tp_block_size = size;
	req.tp_frame_nr = size / req.tp_frame_size * BLOCKS;
	if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		die("PACKET_RX_RING");
	packet_filter(fd, ntohs(port_of(b, false)));
	ring = ring_map(fd, size * BLOCKS);
	packet_bind(fd, ETHERTYPE_IP);
	stack_drops(b);
	bench_start(b);
	for (size_t i = 0; flow_more(&f);) {
		struct tpacket_block_desc *block = (void *)(ring + i * size);
		uint32_t *status = &block->hdr.bh1.block_status;

		if (!(__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
			b->calls++;
			if (!poll(&p, 1, QUIET_MS))
				flow_quiet(&f);
			continue;
		}
		take_block(&f, block);
		__atomic_store_n(status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		i = (i + 1) % BLOCKS;
	}
	b->lost = flow_end(&f);
	bench_stop(b);
	b->copied = b->moved;
}

/* ---- sending ---- */

#define FRAMES		1024U
#define FRAME_OFFSET	(TPACKET2_HDRLEN - sizeof(struct sockaddr_ll))

/* How long to wait for the kernel; it should not take that long. */
#define KERNEL_MS	10

static uint32_t status_of(struct tpacket2_hdr *h)
{
	return __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
}

/* The kernel looks at the ring until it has begun with @last. */
static void kick(struct bench *b, int fd, struct tpacket2_hdr *last)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	for (;;) {
		b->calls++;
		/* ENOBUFS: it dropped one; that is for the receiver to find. */
		if (send(fd, NULL, 0, MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != ENOBUFS)
			die("send of the ring");
		if (status_of(last) != TP_STATUS_SEND_REQUEST)
			return;
		b->calls++;
		poll(&p, 1, KERNEL_MS);
	}
}

void udp_send_packet(struct bench *b)
{
	size_t size = power(FRAME_OFFSET + FRAME_HEAD + b->size), block = size < 65536 ? 65536 : size;
	struct tpacket_req req = { .tp_frame_size = size, .tp_frame_nr = FRAMES, .tp_block_size = block,
				   .tp_block_nr = FRAMES * size / block };
	int fd = packet_socket(TPACKET_V2), room = 32 << 20;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	unsigned char head[FRAME_HEAD];
	struct tpacket2_hdr *h = NULL;
	struct flow f;
	char *ring;
	size_t n;

	frames_fit(b);
	flow_open(&f, b);
	loopback_accepts();
	if (setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		die("PACKET_TX_RING");
	ring = ring_map(fd, FRAMES * size);
	packet_bind(fd, 0);
	frame_head(b, head);
	bench_start(b);
	while ((n = flow_may(&f, BATCH))) {
		for (size_t i = 0; i < n; i++) {
			h = (void *)(ring + (f.moved + i) % FRAMES * size);
			/* Still on its way? */
			while (status_of(h) & (TP_STATUS_SEND_REQUEST | TP_STATUS_SENDING)) {
				b->calls++;
				poll(&p, 1, KERNEL_MS);
			}
			if (status_of(h) & TP_STATUS_WRONG_FORMAT) {
				errno = EPROTO;
				die("a frame of the ring");
			}
			h->tp_len = FRAME_HEAD + b->size;
			memcpy((char *)h + FRAME_OFFSET, head, FRAME_HEAD);
			datagram_make(&f, (char *)h + FRAME_OFFSET + FRAME_HEAD, f.moved + i, makes_content(b));
			__atomic_store_n(&h->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
		}
		kick(b, fd, h);
		f.moved += n;
	}
	b->moved = f.moved * b->size;
	b->payloads = f.moved;
	b->lost = flow_finish(&f);
	bench_stop(b);
}
