// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_readv leaves of a frame that it could not deliver, on AF_PACKET: to whoever
 * receives it next it is as if nobody had looked at it. And frames that come with virtio's
 * header are not for zc_readv.
 */
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>

#include "refused.h"

#define PROTOCOL	0x88b5		/* for experiments */
#define LEN		8000
#define SNAP		100		/* bytes that the filter lets through */

FIXTURE(frame)
{
	struct zt z;			/* rx: the socket that zc_readv reads from */
	int plain;			/* another one, that gets the same frames */
};

FIXTURE_VARIANT(frame)
{
	int type;
};

FIXTURE_VARIANT_ADD(frame, raw) { .type = SOCK_RAW };
FIXTURE_VARIANT_ADD(frame, dgram) { .type = SOCK_DGRAM };

typedef FIXTURE_DATA(frame) frame;

static int on_lo(struct __test_metadata *_metadata, int type)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(PROTOCOL),
				 .sll_ifindex = if_nametoindex("lo") };
	int fd = socket(AF_PACKET, type | SOCK_CLOEXEC, 0), one = 1;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)));
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

FIXTURE_SETUP(frame)
{
	int rx = on_lo(_metadata, variant->type), tx = on_lo(_metadata, SOCK_DGRAM);

	self->plain = on_lo(_metadata, variant->type);
	/* So each call comes to the frames, and can show none of them. */
	zt_limited(_metadata, 0);
	zt_open(_metadata, &self->z, 16, 0);
	self->z.rx = rx;
	self->z.tx = tx;
}

FIXTURE_TEARDOWN(frame)
{
	zcio_close(self->z.ctx);
}

static void put(struct __test_metadata *_metadata, frame *self, size_t len)
{
	unsigned char buf[LEN];

	zt_fill(buf, len, 0);
	ASSERT_EQ((ssize_t)len, send(self->z.tx, buf, len, 0)) TH_LOG("%m");
}

static void not_delivered(struct __test_metadata *_metadata, frame *self)
{
	struct iovec iov[] = { zt_iov(self->z.win, ZT_PAGES(4)), zt_iov(self->z.win + ZT_PAGES(4),
									ZT_PAGES(4)) };

	READ_REFUSED(ENOBUFS, -1, iov);
}

/* What recvmsg() tells of a frame. */
struct told {
	ssize_t len;
	struct sockaddr_ll from;
	struct tpacket_auxdata aux;
};

static struct told receive(struct __test_metadata *_metadata, int fd)
{
	struct told t = {};
	char buf[LEN + 100], control[CMSG_SPACE(sizeof(t.aux))];
	struct iovec v = zt_iov(buf, sizeof(buf));
	struct msghdr msg = { .msg_name = &t.from, .msg_namelen = sizeof(t.from), .msg_iov = &v,
			      .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	t.len = recvmsg(fd, &msg, 0);
	ASSERT_LE(0, t.len);
	c = CMSG_FIRSTHDR(&msg);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(PACKET_AUXDATA, c->cmsg_type);
	memcpy(&t.aux, CMSG_DATA(c), sizeof(t.aux));
	return t;
}

static void same_as_on_the_other(struct __test_metadata *_metadata, frame *self)
{
	struct told here = receive(_metadata, self->z.rx);
	struct told there = receive(_metadata, self->plain);

	ASSERT_EQ(there.len, here.len);
	ASSERT_EQ(there.aux.tp_len, here.aux.tp_len);
	ASSERT_EQ(0, memcmp(&there.aux, &here.aux, sizeof(here.aux)));
	ASSERT_EQ(0, memcmp(&there.from, &here.from, sizeof(here.from)));
}

TEST_F(frame, keeps_its_length_and_address)
{
	put(_metadata, self, LEN);
	put(_metadata, self, 60);
	not_delivered(_metadata, self);
	same_as_on_the_other(_metadata, self);
	same_as_on_the_other(_metadata, self);
	zt_nothing(_metadata, self->z.rx);
}

/* Lets so many bytes of each frame through. */
static void let_through(struct __test_metadata *_metadata, frame *self, uint32_t bytes)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, bytes);
	struct sock_fprog filter = { 1, &code };

	ASSERT_EQ(0, setsockopt(self->z.rx, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
}

/* Of which a filter lets only a part through: tp_len is all of it. */
TEST_F(frame, keeps_the_length_before_the_filter)
{
	struct told t;

	let_through(_metadata, self, SNAP);
	put(_metadata, self, LEN);
	not_delivered(_metadata, self);
	t = receive(_metadata, self->z.rx);
	ASSERT_EQ(SNAP, t.len);
	ASSERT_EQ(SNAP, t.aux.tp_snaplen);
	ASSERT_EQ(LEN + (variant->type == SOCK_RAW ? ETH_HLEN : 0), t.aux.tp_len);
}

/* An empty one (of SOCK_DGRAM; without a filter it would not come) is there for MSG_PEEK. */
TEST_F(frame, that_is_empty_is_not_stepped_over)
{
	ssize_t header = variant->type == SOCK_RAW ? ETH_HLEN : 0;
	char buf[200];

	let_through(_metadata, self, UINT32_MAX);
	put(_metadata, self, 0);
	put(_metadata, self, 100);
	not_delivered(_metadata, self);
	ASSERT_EQ(header, recv(self->z.rx, buf, sizeof(buf), MSG_PEEK));
	ASSERT_EQ(header, recv(self->z.rx, buf, sizeof(buf), 0));
	ASSERT_EQ(header + 100, recv(self->z.rx, buf, sizeof(buf), 0));
}

/* ---- PACKET_VNET_HDR ---- */

static void not_served(struct __test_metadata *_metadata, struct zt *z)
{
	struct iovec region[] = { zt_iov(z->win, ZT_PAGES(4)) };
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGE), zt_iov(z->pool, 100) } };
	struct zcio_info info;

	zt_readv_fails(_metadata, z, zt_readv_call(z, region, 1), EOPNOTSUPP, -1, region,
		       sizeof(region));
	zt_writev_fails(_metadata, z, zt_writev_call(z, area, 1), EOPNOTSUPP, -1, area, sizeof(area));
	ASSERT_EQ(-1, zcio_info(z->ctx, z->rx, &info));
	ASSERT_EQ(EOPNOTSUPP, errno);
}

/* Whether there is a frame or not, and only as long as the option is on. */
TEST(frames_with_virtios_header_are_EOPNOTSUPP)
{
	static const int options[][2] = {
		{ PACKET_VNET_HDR, 1 },
		{ PACKET_VNET_HDR_SZ, sizeof(struct virtio_net_hdr_mrg_rxbuf) },
	};
	frame f = {};
	struct zt *z = &f.z;
	char buf[LEN];
	int off = 0;

	zt_open(_metadata, z, 16, 1);
	z->rx = on_lo(_metadata, SOCK_RAW);
	z->tx = on_lo(_metadata, SOCK_DGRAM);
	for (int i = 0; i < ARRAY_SIZE(options); i++) {
		const int *o = options[i];
		struct iovec region = zt_iov(z->win, ZT_PAGES(4));
		struct zcio_info info;

		ASSERT_EQ(0, setsockopt(z->rx, SOL_PACKET, o[0], &o[1], sizeof(o[1])));
		not_served(_metadata, z);
		put(_metadata, &f, 500);
		not_served(_metadata, z);
		ASSERT_EQ((i ? o[1] : 10) + ETH_HLEN + 500, recv(z->rx, buf, sizeof(buf), 0));
		ASSERT_EQ(0, setsockopt(z->rx, SOL_PACKET, o[0], &off, sizeof(off)));
		put(_metadata, &f, 500);
		ASSERT_EQ(1, zt_readv(z->dev, z->rx, &region, 1, NULL, 0));
		ASSERT_EQ(ETH_HLEN + 500, region.iov_len);
		ASSERT_EQ(0, zcio_info(z->ctx, z->rx, &info));
	}
}

TEST_HARNESS_MAIN
