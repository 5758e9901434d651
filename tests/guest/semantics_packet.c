// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_readv promises of AF_PACKET: beside each socket that it reads from is another
 * one, which gets the same frames and is read with recvmsg(). Bytes, address, VLAN tag
 * and timestamp must be the same. And as a frame is shared with all who see it, nothing
 * that zc_readv does to its pages may reach the other socket, or the TCP connection that
 * the frame belongs to.
 *
 * timeout: 180
 */
#include <poll.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <time.h>

#include "datagram.h"

#define PROTOCOL	0x88b5		/* for experiments */
#define WINDOW		4096		/* pages */
#define MOST		4096		/* frames */

/* A frame, or what is told of it. */
struct frame {
	unsigned char *bytes;
	size_t len;			/* as much as came */
	size_t whole;			/* its full length */
	struct sockaddr_ll from;
	uint64_t timestamp;
	uint16_t vlan_tci, vlan_tpid;
};

FIXTURE(packet)
{
	struct zt z;			/* rx: the socket that zc_readv reads from */
	int plain;			/* the other one */
	int tx;				/* sends frames */
	struct frame frames[MOST];	/* what zc_readv gave and the other has not yet */
	size_t first, count;
	size_t calls, payloads, seen;
	uint64_t mapped, copied;
	uint32_t why;
	uint64_t start;
};

FIXTURE_VARIANT(packet)
{
	bool lo;
	int type;
	unsigned int flags;		/* of the window */
};

FIXTURE_VARIANT_ADD(packet, lo_raw) { .lo = true, .type = SOCK_RAW };
FIXTURE_VARIANT_ADD(packet, lo_dgram) { .lo = true, .type = SOCK_DGRAM };
FIXTURE_VARIANT_ADD(packet, wire_raw) { .type = SOCK_RAW };
FIXTURE_VARIANT_ADD(packet, wire_dgram) { .type = SOCK_DGRAM };
FIXTURE_VARIANT_ADD(packet, wire_raw_writable) {
	.type = SOCK_RAW, .flags = ZCIO_WINDOW_WRITABLE,
};

typedef FIXTURE_DATA(packet) packet;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* An AF_PACKET socket on a device of this or the peer's namespace. */
static int on_device(struct __test_metadata *_metadata, bool lo, bool peer, int type, int protocol)
{
	int fd = zt_packet_socket(_metadata, lo ? ZT_LO4 : ZT_WIRE4, peer, type, protocol);
	int size = 64 << 20;

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	return fd;
}

/* A socket that gets frames of the protocols, and has got none yet. */
static int tap(struct __test_metadata *_metadata, bool lo, int type, int protocol, int other)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, protocol, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { ARRAY_SIZE(code), code };
	int fd = on_device(_metadata, lo, false, type, 0), one = 1;
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	socklen_t len = sizeof(a);

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
	ASSERT_EQ(0, setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)));
	ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)&a, &len));
	a.sll_protocol = htons(ETH_P_ALL);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void open_taps(struct __test_metadata *_metadata, packet *self, bool lo, int type,
		      unsigned int flags, int protocol, int other)
{
	zt_open(_metadata, &self->z, 0, 0);
	self->z.win = zcio_window(self->z.ctx, ZT_PAGES(WINDOW), flags);
	ASSERT_NE(NULL, self->z.win);
	self->z.rx = tap(_metadata, lo, type, protocol, other);
	self->plain = tap(_metadata, lo, type, protocol, other);
	self->start = now_ns();
}

FIXTURE_SETUP(packet)
{
	open_taps(_metadata, self, variant->lo, variant->type, variant->flags, PROTOCOL, ETH_P_8021Q);
	self->tx = on_device(_metadata, variant->lo, true, SOCK_RAW, 0);
}

FIXTURE_TEARDOWN(packet)
{
	zcio_close(self->z.ctx);
}

/* ---- reading both ---- */

/* One call; what it gave goes to the end of the list. Returns how many frames, or -errno. */
static int take(struct __test_metadata *_metadata, packet *self, int count, size_t pages,
		unsigned int flags)
{
	struct iovec regions[128], iov[128];
	struct zcio_payload info[128];
	struct frame *f = NULL;
	size_t before = self->count;
	int n;

	ASSERT_GE(128, count);
	ASSERT_GE(WINDOW, count * pages);
	zt_regions(regions, self->z.win, count, pages);
	n = zt_take(_metadata, self->z.dev, self->z.rx, regions, count, iov, info, flags);
	if (n < 0)
		return n;
	ASSERT_LT(0, n);
	for (int i = 0; i < n; i++) {
		const struct zcio_payload *p = &info[i];

		ASSERT_EQ(iov[i].iov_len, p->mapped + p->copied);
		ASSERT_EQ(!p->copied, !p->why);
		ASSERT_EQ(sizeof(struct sockaddr_ll), p->name_len);
		if (!f) {
			ASSERT_GT(MOST, self->first + self->count);
			f = &self->frames[self->first + self->count++];
			*f = (struct frame){ .bytes = malloc(p->datagram + 1), .whole = p->datagram,
					     .timestamp = p->timestamp, .vlan_tci = p->vlan_tci,
					     .vlan_tpid = p->vlan_tpid };
			memcpy(&f->from, p->name, sizeof(f->from));
		}
		/* Each payload of a frame says the same. */
		ASSERT_EQ(f->whole, p->datagram);
		ASSERT_EQ(f->timestamp, p->timestamp);
		ASSERT_EQ(0, memcmp(&f->from, p->name, sizeof(f->from)));
		ASSERT_GE(f->whole, f->len + iov[i].iov_len);
		memcpy(f->bytes + f->len, iov[i].iov_base, iov[i].iov_len);
		f->len += iov[i].iov_len;
		self->mapped += p->mapped;
		self->copied += p->copied;
		self->why |= p->why;
		if (p->flags & ZCIO_PAYLOAD_END) {
			ASSERT_EQ(f->len < f->whole, !!(p->flags & ZCIO_PAYLOAD_TRUNCATED));
			f = NULL;
		} else {
			ASSERT_EQ(0, p->flags);
		}
	}
	ASSERT_EQ(NULL, f);
	self->calls++;
	self->payloads += n;
	return self->count - before;
}

/*
 * A frame of the list that holds these bytes, with which it changes places with the first:
 * frames that two processors have at the same time come to the two sockets in any order.
 */
static bool find(packet *self, const unsigned char *buf, size_t len, const struct sockaddr_ll *from)
{
	struct frame *first = &self->frames[self->first];

	for (struct frame *f = first; f < first + self->count; f++) {
		struct frame found = *f;

		if (f->whole != len || memcmp(buf, f->bytes, f->len) ||
		    memcmp(&f->from, from, sizeof(*from)))
			continue;
		memmove(first + 1, first, (f - first) * sizeof(*f));
		*first = found;
		return true;
	}
	return false;
}

/* For the log: how the other socket's frame differs from the first of the list. */
static void differs(struct __test_metadata *_metadata, packet *self, const unsigned char *buf,
		    size_t len, const struct sockaddr_ll *from)
{
	struct frame *f = &self->frames[self->first];
	size_t i = 0;

	while (i < f->len && i < len && buf[i] == f->bytes[i])
		i++;
	TH_LOG("frame %zu: %zu bytes and %zu, different from %zu on", self->seen, len, f->whole, i);
	TH_LOG("type %d and %d, protocol %#x and %#x, address of %d and %d bytes", from->sll_pkttype,
	       f->from.sll_pkttype, ntohs(from->sll_protocol), ntohs(f->from.sll_protocol),
	       from->sll_halen, f->from.sll_halen);
}

/* The next frame of the other socket is in the list. */
static void compare(struct __test_metadata *_metadata, packet *self)
{
	static unsigned char buf[128 << 10];
	char control[512];
	struct sockaddr_ll from;
	struct iovec v = zt_iov(buf, sizeof(buf));
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &v,
			      .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	uint16_t tci = 0, tpid = 0;
	uint64_t timestamp = 0;
	struct frame *f;
	ssize_t n;

	memset(&from, 0, sizeof(from));
	n = recvmsg(self->plain, &msg, 0);
	ASSERT_LT(0, n);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
			struct tpacket_auxdata *aux = (void *)CMSG_DATA(c);

			tci = aux->tp_vlan_tci;
			tpid = aux->tp_vlan_tpid;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec *t = (void *)CMSG_DATA(c);

			timestamp = t->tv_sec * 1000000000ULL + t->tv_nsec;
		}
	}
	/* The last ones may have come to this socket in another order, or are about to. */
	while (!find(self, buf, n, &from)) {
		struct pollfd here = { .fd = self->z.rx, .events = POLLIN };

		ASSERT_EQ(1, poll(&here, 1, 5000)) {
			differs(_metadata, self, buf, n, &from);
		}
		ASSERT_LT(0, take(_metadata, self, 48, 20, ZCIO_DONTWAIT));
	}
	f = &self->frames[self->first];
	ASSERT_EQ(tci, f->vlan_tci);
	ASSERT_EQ(tpid, f->vlan_tpid);
	/* Each socket has its own, of the moment when the frame came to it. */
	ASSERT_LE(self->start, timestamp);
	ASSERT_LE(self->start, f->timestamp);
	ASSERT_GE(now_ns(), f->timestamp);
	free(f->bytes);
	self->seen++;
	self->count--;
	self->first = self->count ? self->first + 1 : 0;
}

static void compare_all(struct __test_metadata *_metadata, packet *self)
{
	while (self->count)
		compare(_metadata, self);
}

/* No frame was dropped for want of room. */
static void none_dropped(struct __test_metadata *_metadata, packet *self)
{
	int fds[2] = { self->z.rx, self->plain };

	for (int i = 0; i < 2; i++) {
		struct tpacket_stats stats;
		socklen_t len = sizeof(stats);

		ASSERT_EQ(0, getsockopt(fds[i], SOL_PACKET, PACKET_STATISTICS, &stats, &len));
		ASSERT_EQ(0, stats.tp_drops);
	}
}

/* ---- frames made by hand ---- */

/* A frame with @len bytes behind its header, with a VLAN tag if @tci. */
static void put(struct __test_metadata *_metadata, int fd, size_t len, uint16_t tci)
{
	static unsigned char buf[70000];
	size_t at = 12;

	memset(buf, 0xff, 6);
	memset(buf + 6, 0x52, 6);
	if (tci) {
		buf[at++] = 0x81;
		buf[at++] = 0;
		buf[at++] = tci >> 8;
		buf[at++] = tci;
	}
	buf[at++] = PROTOCOL >> 8;
	buf[at++] = PROTOCOL & 0xff;
	zt_fill(buf + at, len, len);
	ASSERT_EQ((ssize_t)(at + len), send(fd, buf, at + len, 0)) TH_LOG("%zu bytes: %m", at + len);
}

static size_t mtu(bool lo)
{
	return lo ? 60000 : atoi(getenv("ZCIO_MTU"));
}

TEST_F(packet, frames_are_what_recvmsg_gives)
{
	static const size_t sizes[] = { 46, 100, 1000, 1400, 1500, 4000, 8000, 9000, 30000 };
	int sent = 0, got = 0;

	for (int round = 0; round < 3; round++)
		for (int i = 0; i < ARRAY_SIZE(sizes); i++)
			if (sizes[i] <= mtu(variant->lo))
				put(_metadata, self->tx, sizes[i], 0), sent++;
	while (got < sent) {
		int n = take(_metadata, self, 32, 16, 0);

		ASSERT_LT(0, n);
		got += n;
		compare_all(_metadata, self);
	}
	while (take(_metadata, self, 32, 16, ZCIO_DONTWAIT) > 0)
		compare_all(_metadata, self);
	none_dropped(_metadata, self);
}

TEST_F(packet, frame_larger_than_the_regions_is_truncated)
{
	size_t len = mtu(variant->lo) < 8000 ? mtu(variant->lo) : 8000;
	/* Over the loopback device a frame is seen twice, as it goes and as it comes. */
	size_t copies = variant->lo || !strcmp(getenv("ZCIO_NIC"), "lo") ? 2 : 1;

	if (len < ZT_PAGES(1))
		SKIP(return, "no frame is larger than a page");
	put(_metadata, self->tx, len, 0);
	put(_metadata, self->tx, 100, 0);
	for (size_t i = 0; i < 2 * copies; i++) {
		ASSERT_EQ(1, take(_metadata, self, 1, 1, 0));
		ASSERT_EQ(i < copies ? ZT_PAGE : self->frames[i].whole, self->frames[i].len);
	}
	compare_all(_metadata, self);
	zt_nothing(_metadata, self->z.rx);
}

/* Alone in receiving it, one has the frame's pages, and its header right before them. */
TEST(header_and_pages_of_a_frame_are_one_payload)
{
	int tx = on_device(_metadata, true, true, SOCK_RAW, 0);
	struct iovec regions[4], iov[4];
	struct zcio_payload info[4];
	struct zt z;

	zt_open(_metadata, &z, 16, 0);
	z.rx = on_device(_metadata, true, false, SOCK_RAW, PROTOCOL);
	zt_regions(regions, z.win, 4, 4);
	put(_metadata, tx, 8000, 0);
	ASSERT_EQ(1, zt_take(_metadata, z.dev, z.rx, regions, 4, iov, info, 0));
	ASSERT_EQ(ETH_HLEN + 8000, iov[0].iov_len);
	ASSERT_EQ(8000, zt_same((char *)iov[0].iov_base + ETH_HLEN, 8000, 8000));
	ASSERT_EQ(8000, info[0].mapped);
	ASSERT_EQ(ZCIO_WHY_LINEAR, info[0].why);
}

TEST_F(packet, timestamp_is_0_unless_asked_for)
{
	int off = 0;

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_TIMESTAMPNS, &off, sizeof(off)));
	put(_metadata, self->tx, 100, 0);
	ASSERT_EQ(1, take(_metadata, self, 1, 1, 0));
	ASSERT_EQ(0, self->frames[0].timestamp);
}

/* ---- VLAN tags ---- */

FIXTURE(vlan)
{
	FIXTURE_DATA(packet) p;
};

FIXTURE_VARIANT(vlan)
{
	int type;
};

FIXTURE_VARIANT_ADD(vlan, raw) { .type = SOCK_RAW };
FIXTURE_VARIANT_ADD(vlan, dgram) { .type = SOCK_DGRAM };

FIXTURE_SETUP(vlan)
{
	struct packet_mreq all = { .mr_type = PACKET_MR_PROMISC, .mr_ifindex = if_nametoindex("zc0") };
	struct pollfd probe = { .events = POLLIN };
	int tx;

	if (!strcmp(getenv("ZCIO_NIC"), "lo"))
		SKIP(return, "the loopback device takes no VLANs");
	/* A device drops frames of a VLAN that nobody asked for, and hears of it late. */
	probe.fd = tap(_metadata, false, SOCK_RAW, PROTOCOL, ETH_P_8021Q);
	ASSERT_EQ(0, setsockopt(probe.fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)));
	tx = on_device(_metadata, false, true, SOCK_RAW, 0);
	do {
		put(_metadata, tx, 500, 0x2077);
	} while (!poll(&probe, 1, 50));
	open_taps(_metadata, &self->p, false, variant->type, 0, PROTOCOL, ETH_P_8021Q);
	self->p.tx = tx;
}

FIXTURE_TEARDOWN(vlan)
{
}

TEST_F(vlan, tag_is_what_recvmsg_gives)
{
	packet *p = &self->p;
	int got = 0;

	put(_metadata, p->tx, 500, 0x2077);
	put(_metadata, p->tx, 502, 0);
	put(_metadata, p->tx, 501, 0x0001);
	while (got < 3) {
		int n = take(_metadata, p, 8, 2, 0);

		ASSERT_LT(0, n);
		got += n;
	}
	/* In any order: the peer's processors do not wait for each other. */
	for (int i = 0; i < 3; i++) {
		const struct frame *f = &p->frames[i];
		size_t len = f->whole - (variant->type == SOCK_RAW ? ETH_HLEN : 0);

		ASSERT_EQ(len == 500 ? 0x2077 : len == 501 ? 1 : 0, f->vlan_tci);
		ASSERT_EQ(len == 502 ? 0 : ETH_P_8021Q, f->vlan_tpid);
	}
	compare_all(_metadata, p);
}

/* A tag in the frame itself: what this end sends, as its own sockets see it. */
TEST_F(vlan, tag_in_the_frame_is_what_recvmsg_gives)
{
	int tx = on_device(_metadata, false, false, SOCK_RAW, 0), got = 0;
	packet *p = &self->p;

	put(_metadata, tx, 300, 0x3012);
	put(_metadata, tx, 301, 0);
	while (got < 2) {
		int n = take(_metadata, p, 8, 2, 0);

		ASSERT_LT(0, n);
		got += n;
	}
	for (int i = 0; i < 2 && variant->type == SOCK_DGRAM; i++) {
		ASSERT_EQ(p->frames[i].whole == 300 ? 0x3012 : 0, p->frames[i].vlan_tci);
		ASSERT_EQ(PROTOCOL, ntohs(p->frames[i].from.sll_protocol));
	}
	compare_all(_metadata, p);
}

/* ---- frames of a TCP connection ---- */

FIXTURE(stream)
{
	FIXTURE_DATA(packet) p;
	int rx, tx;			/* the connection */
	struct zcio_ctx *ctx;
	char *win;
};

FIXTURE_VARIANT(stream)
{
	bool lo;
	bool out;			/* this end sends: the frames are of its retransmit queue */
	bool zc;			/* the connection is read with zc_readv, too */
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(stream, in) { };
FIXTURE_VARIANT_ADD(stream, in_zc) { .zc = true };
FIXTURE_VARIANT_ADD(stream, in_writable) { .flags = ZCIO_WINDOW_WRITABLE };
FIXTURE_VARIANT_ADD(stream, out) { .out = true };
FIXTURE_VARIANT_ADD(stream, out_writable) { .out = true, .flags = ZCIO_WINDOW_WRITABLE };
FIXTURE_VARIANT_ADD(stream, lo_zc) { .lo = true, .zc = true };
FIXTURE_VARIANT_ADD(stream, lo_writable) { .lo = true, .flags = ZCIO_WINDOW_WRITABLE };

FIXTURE_SETUP(stream)
{
	enum zt_path path = variant->lo ? ZT_LO4 : ZT_WIRE4;
	int local, peer, size = 8 << 20;

	zt_tcp(_metadata, path, &local, &peer);
	self->rx = variant->out ? peer : local;
	self->tx = variant->out ? local : peer;
	ASSERT_EQ(0, setsockopt(self->rx, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(self->tx, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	open_taps(_metadata, &self->p, variant->lo, SOCK_RAW, variant->flags, ETH_P_IP, ETH_P_IP);
	self->ctx = zt_context();
	ASSERT_NE(NULL, self->ctx);
	self->win = zt_window(_metadata, self->ctx, 512);
}

FIXTURE_TEARDOWN(stream)
{
	zcio_close(self->p.z.ctx);
	zcio_close(self->ctx);
}

/* Takes all frames there are, and writes over them if it can. */
static void take_frames(struct __test_metadata *_metadata, packet *p, unsigned int flags)
{
	while (take(_metadata, p, 48, 20, ZCIO_DONTWAIT) > 0)
		if (flags & ZCIO_WINDOW_WRITABLE)
			memset(p->z.win, 0xee, ZT_PAGES(48 * 20));
}

/*
 * The frames are taken while the connection has not been read, nor the other socket: what
 * zc_readv does to their pages would be seen in both.
 */
TEST_F(stream, nobody_else_who_has_the_frames_sees_a_change)
{
	packet *p = &self->p;
	uint64_t pos = 0;
	size_t len = 256 << 10;

	for (int round = 0; round < 8; round++) {
		zt_send(_metadata, self->tx, len, pos);
		zt_acked(_metadata, self->tx);
		take_frames(_metadata, p, variant->flags);
		ASSERT_LT(0, p->count);
		if (variant->zc)
			zt_zc_recv(_metadata, zcio_ctx_fd(self->ctx), self->rx, self->win, 64, len, pos);
		else
			zt_recv(_metadata, self->rx, len, pos);
		compare_all(_metadata, p);
		pos += len;
	}
	none_dropped(_metadata, p);
	TH_LOG("%zu frames, %zu payloads, %llu KB mapped, %llu KB copied, why %#x", p->seen, p->payloads,
	       (unsigned long long)p->mapped >> 10, (unsigned long long)p->copied >> 10, p->why);
	ASSERT_LE(pos, p->mapped + p->copied);
}

/* The same with everything at once. */
TEST_F(stream, while_the_connection_is_read_all_the_time)
{
	size_t total = 3 << 20;
	struct zt_stream s = { .fd = self->tx, .sends = true, .len = total };
	struct zt_stream r = { .fd = self->rx, .len = total };
	packet *p = &self->p;

	zt_stream_start(_metadata, &s);
	zt_stream_start(_metadata, &r);
	while (p->mapped + p->copied < total) {
		int n = take(_metadata, p, 48, 20, 0);

		ASSERT_LT(0, n);
		if (variant->flags & ZCIO_WINDOW_WRITABLE)
			memset(p->z.win, 0xee, ZT_PAGES(48 * 20));
		compare_all(_metadata, p);
	}
	zt_stream_join(_metadata, &s);
	zt_stream_join(_metadata, &r);
	take_frames(_metadata, p, variant->flags);
	compare_all(_metadata, p);
	none_dropped(_metadata, p);
}

TEST_HARNESS_MAIN
