// SPDX-License-Identifier: GPL-2.0
/*
 * Datagrams by way of an AF_XDP socket in copy mode, as no device of the rig can do more: what
 * comes is taken before the stack by a program in SKB mode (af_xdp.bpf.c); what is sent goes to the
 * driver. One queue: the rig's devices have one.
 */
#include <errno.h>
#include <limits.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/xsk.h>

#include "datagram.h"
#include "send.h"

/* One frame can lie in several chunks, which are adjacent where we choose. */
#define CHUNK	4096UL
#define CHUNKS	4096UL
#define RING	4096

/* Newer than the headers: how many chunks one call sends. */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET	9
#endif

struct xdp {
	char *area;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons comp, rx;
	int fd;

	/* Sending: groups of chunks that have one frame each. */
	size_t each;			/* chunks of one */
	size_t done[CHUNKS];		/* chunks of the group that came back */
	uint32_t unused[CHUNKS];	/* groups that can be filled */
	size_t unused_count;
};

static struct xdp x;

static void xdp_open(struct bench *b, bool sends)
{
	/* The kernel says later that it took chunks than that there is something in them. */
	struct xsk_umem_config rings = { .fill_size = 2 * RING, .comp_size = RING, .frame_size = CHUNK };
	struct xsk_socket_config config = {
		.rx_size = RING,
		.tx_size = RING,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.xdp_flags = XDP_FLAGS_SKB_MODE,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP | XDP_USE_SG,
	};
	int err, room = 32 << 20;

	frames_fit(b);
	x.area = memory(CHUNKS * CHUNK);
	if (xsk_umem__create(&x.umem, x.area, CHUNKS * CHUNK, &x.fill, &x.comp, &rings))
		die("memory for AF_XDP");
	err = xsk_socket__create(&x.socket, device_of(false), 0, x.umem, sends ? NULL : &x.rx,
				 sends ? &x.tx : NULL, &config);
	if (err)
		unable(b, "AF_XDP socket on %s in copy mode: %s", device_of(false), strerror(-err));
	x.fd = xsk_socket__fd(x.socket);
	if (setsockopt(x.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		die("the AF_XDP socket's buffer");
}

/* ---- receiving ---- */

/* It stays until this process ends. */
static void program_attach(struct bench *b)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_SKB_MODE);
	struct bpf_program *program;
	struct bpf_object *object;
	struct bpf_map *constants;
	char name[PATH_MAX];
	uint32_t *port;
	size_t size;

	beside("af_xdp.bpf.o", name, sizeof(name));
	object = bpf_object__open_file(name, NULL);
	if (!object)
		die(name);
	constants = bpf_object__find_map_by_name(object, ".rodata");
	port = constants ? bpf_map__initial_value(constants, &size) : NULL;
	program = bpf_object__find_program_by_name(object, "to_socket");
	if (!port || size < sizeof(*port) || !program)
		die("the XDP program's parts");
	*port = port_of(b, false);
	if (bpf_object__load(object))
		die("loading the XDP program");
	if (xsk_socket__update_xskmap(x.socket, bpf_object__find_map_fd_by_name(object, "sockets")))
		die("giving the XDP program its socket");
	if (bpf_link_create(bpf_program__fd(program), if_nametoindex(device_of(false)), BPF_XDP, &options) < 0)
		unable(b, "XDP program on %s in SKB mode: %s", device_of(false), strerror(errno));
}

void udp_receive_xdp(struct bench *b)
{
	struct pollfd p = { .events = POLLIN };
	bool first = true;
	uint32_t at, to;
	struct flow f;

	flow_open(&f, b);
	xdp_open(b, false);
	program_attach(b);
	p.fd = x.fd;
	if (xsk_ring_prod__reserve(&x.fill, CHUNKS, &to) != CHUNKS)
		die("filling the ring");
	for (size_t i = 0; i < CHUNKS; i++)
		*xsk_ring_prod__fill_addr(&x.fill, to++) = i * CHUNK;
	xsk_ring_prod__submit(&x.fill, CHUNKS);
	bench_start(b);
	while (flow_more(&f)) {
		uint32_t n = xsk_ring_cons__peek(&x.rx, BATCH, &at);

		if (!n) {
			b->calls++;
			if (!poll(&p, 1, QUIET_MS))
				flow_quiet(&f);
			continue;
		}
		for (uint32_t i = 0; i < n; i++) {
			const struct xdp_desc *d = xsk_ring_cons__rx_desc(&x.rx, at + i);
			size_t head = first ? FRAME_HEAD : 0;

			flow_take(&f, x.area + d->addr + head, d->len - head);
			first = !(d->options & XDP_PKT_CONTD);
			if (!first)
				continue;
			flow_whole(&f);
			b->payloads++;
		}
		flow_taken(&f);
		/* The ring has room for all chunks twice. */
		if (xsk_ring_prod__reserve(&x.fill, n, &to) != n)
			die("filling the ring");
		for (uint32_t i = 0; i < n; i++)
			*xsk_ring_prod__fill_addr(&x.fill, to + i) = xsk_ring_cons__rx_desc(&x.rx, at + i)->addr;
		xsk_ring_prod__submit(&x.fill, n);
		xsk_ring_cons__release(&x.rx, n);
	}
	b->lost = flow_end(&f);
	bench_stop(b);
	b->copied = b->moved;
}

/* ---- sending ---- */

/* The groups that the kernel is done with. */
static void reap(void)
{
	uint32_t at, n = xsk_ring_cons__peek(&x.comp, RING, &at);

	for (uint32_t i = 0; i < n; i++) {
		size_t group = *xsk_ring_cons__comp_addr(&x.comp, at + i) / CHUNK / x.each;

		if (++x.done[group] == x.each) {
			x.done[group] = 0;
			x.unused[x.unused_count++] = group;
		}
	}
	xsk_ring_cons__release(&x.comp, n);
}

/* The kernel takes what is in the ring. */
static void kick(struct bench *b)
{
	uint32_t end = *x.tx.producer, before = __atomic_load_n(x.tx.consumer, __ATOMIC_ACQUIRE), now;
	struct pollfd p = { .fd = x.fd, .events = POLLOUT };

	for (; before != end; before = now) {
		b->calls++;
		if (sendto(x.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN && errno != EBUSY &&
		    errno != ENOBUFS)
			die("sendto of the AF_XDP socket");
		now = __atomic_load_n(x.tx.consumer, __ATOMIC_ACQUIRE);
		if (now == before) {
			/* The ring of what is done, or the socket's buffer is full, or the device busy. */
			reap();
			b->calls++;
			poll(&p, 1, 1);
		}
	}
}

/* One frame's chunks into the ring, from @at on. */
static void describe(size_t group, uint32_t at, size_t len)
{
	for (size_t i = 0; i < x.each; i++) {
		struct xdp_desc *d = xsk_ring_prod__tx_desc(&x.tx, at + i);

		d->addr = (group * x.each + i) * CHUNK;
		d->len = i + 1 < x.each ? CHUNK : len - i * CHUNK;
		d->options = i + 1 < x.each ? XDP_PKT_CONTD : 0;
	}
}

void udp_send_xdp(struct bench *b)
{
	unsigned char head[FRAME_HEAD];
	struct flow f;
	uint32_t at = 0;
	int budget;
	size_t n;

	flow_open(&f, b);
	xdp_open(b, true);
	loopback_accepts();
	frame_head(b, head);
	x.each = (FRAME_HEAD + b->size + CHUNK - 1) / CHUNK;
	x.unused_count = CHUNKS / x.each;
	for (size_t i = 0; i < x.unused_count; i++)
		x.unused[i] = i;
	/* Kernels that do not know this send 32 chunks a call. */
	budget = BATCH * x.each;
	setsockopt(x.fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	bench_start(b);
	while ((n = flow_may(&f, BATCH))) {
		for (reap(); x.unused_count < n; reap()) {
			struct pollfd p = { .fd = x.fd };

			b->calls++;
			poll(&p, 1, 1);
		}
		if (xsk_ring_prod__reserve(&x.tx, n * x.each, &at) != n * x.each)
			die("room in the ring");
		for (size_t i = 0; i < n; i++) {
			size_t group = x.unused[--x.unused_count];
			char *to = x.area + group * x.each * CHUNK;

			memcpy(to, head, FRAME_HEAD);
			datagram_make(&f, to + FRAME_HEAD, f.moved + i, makes_content(b));
			describe(group, at + i * x.each, FRAME_HEAD + b->size);
		}
		xsk_ring_prod__submit(&x.tx, n * x.each);
		kick(b);
		f.moved += n;
	}
	b->moved = f.moved * b->size;
	b->payloads = f.moved;
	b->lost = flow_finish(&f);
	bench_stop(b);
	b->copied = b->moved;
}
