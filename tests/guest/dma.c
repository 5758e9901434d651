// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the device reaches: ZCIO_IOC_TARGET makes pools of it, a pool that is not of
 * it is refused, and what the bus copies anyway (swiotlb=force) is said. Worth it on a
 * device that reaches 4 GiB only (NIC=e1000), in a guest with memory above them.
 */
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>

#include "area.h"
#include "fdinfo.h"

#define POOL	64
#define ALL	(~0ULL)

FIXTURE(dma)
{
	struct zt z;	/* the local end sends, the peer receives */
	uint64_t mask;	/* of the device; 0: none is known */
	bool bounces;
	uint32_t why;	/* whatever it is sent is copied */
	int defer;
};

/* Whether the kernel was told to copy whatever is sent by DMA. */
static bool bounced(struct __test_metadata *_metadata)
{
	char line[4096] = "";
	FILE *file = fopen("/proc/cmdline", "re");

	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(line, sizeof(line), file));
	fclose(file);
	return strstr(line, "swiotlb=force");
}

static uint64_t mask_for(struct __test_metadata *_metadata, const struct zt *z, int fd)
{
	struct zcio_info info;

	ASSERT_EQ(0, zcio_info(z->ctx, fd, &info));
	return info.dma_mask;
}

static int target(const struct zt *z, int fd, struct zcio_target *t)
{
	*t = (struct zcio_target){ .fd = fd };
	return ioctl(z->dev, ZCIO_IOC_TARGET, t) ? -errno : 0;
}

/* Sets the target, and maps the pool for it. */
static uint64_t pool_for(struct __test_metadata *_metadata, struct zt *z, int fd)
{
	struct zcio_target t;

	ASSERT_EQ(0, target(z, fd, &t));
	z->pool = zt_pool(_metadata, z->ctx, POOL);
	return t.dma_mask;
}

FIXTURE_SETUP(dma)
{
	self->defer = zt_defer(_metadata, 0);
	zt_open(_metadata, &self->z, POOL, 0);
	zt_tcp(_metadata, ZT_WIRE4, &self->z.rx, &self->z.tx);
	self->mask = mask_for(_metadata, &self->z, self->z.rx);
	/* Without a device nothing bounces. */
	self->bounces = self->mask && bounced(_metadata);
	self->why = !zt_gathers(ZT_WIRE4) ? ZCIO_WHY_DEVICE : self->bounces ? ZCIO_WHY_DMA : 0;
}

FIXTURE_TEARDOWN(dma)
{
	zt_defer(_metadata, self->defer);
}

/* How many of the pool's pages lie above @mask; they are touched first. */
static int above(struct __test_metadata *_metadata, char *pool, uint64_t mask)
{
	uint64_t pfns[POOL];
	int n = 0;

	for (int i = 0; i < POOL; i++)
		((volatile char *)pool)[ZT_PAGES(i)] = pool[ZT_PAGES(i)];
	zt_pfns(_metadata, pool, pfns, POOL);
	for (int i = 0; i < POOL; i++) {
		ASSERT_NE(0, pfns[i]);
		n += pfns[i] * ZT_PAGE > mask;
	}
	return n;
}

#define LIMITED(self) ({ \
	if (!(self)->mask || (self)->mask > UINT32_MAX) \
		SKIP(return, "the device reaches more than 4 GiB"); \
})

/* What the kernel itself says of the device, in sysfs. */
TEST_F(dma, mask_is_the_device_s)
{
	FILE *file = fopen("/sys/class/net/zc0/device/dma_mask_bits", "re");
	int bits = 0, lo, lo_peer;

	if (file) {
		ASSERT_EQ(1, fscanf(file, "%d", &bits));
		fclose(file);
		ASSERT_EQ(bits == 64 ? ALL : (1ULL << bits) - 1, self->mask);
	} else {
		/* No PCI device of its own: virtio, veth, lo. */
		ASSERT_EQ(0, self->mask);
	}
	zt_tcp(_metadata, ZT_LO4, &lo, &lo_peer);
	ASSERT_EQ(0, mask_for(_metadata, &self->z, lo));
	ASSERT_EQ(0, mask_for(_metadata, &self->z, -1));
}

TEST_F(dma, target_without_a_device_is_any)
{
	int lo, lo_peer;

	ASSERT_EQ(ALL, pool_for(_metadata, &self->z, -1));
	zt_tcp(_metadata, ZT_LO6, &lo, &lo_peer);
	ASSERT_EQ(ALL, pool_for(_metadata, &self->z, lo));
}

TEST_F(dma, target_is_as_the_device)
{
	struct zcio_target t;

	ASSERT_EQ(0, target(&self->z, self->z.rx, &t));
	/* A device that reaches every page of this machine needs no special ones. */
	ASSERT_EQ(self->mask && self->mask <= UINT32_MAX ? self->mask : ALL, t.dma_mask);
}

TEST_F(dma, target_that_cannot_be_is_refused)
{
	struct zt *z = &self->z;
	struct zcio_target t = { .fd = z->rx, .flags = 1 };
	int pipes[2], local[2];

	ASSERT_EQ(-1, ioctl(z->dev, ZCIO_IOC_TARGET, &t));
	ASSERT_EQ(EINVAL, errno);
	for (int i = 0; i < ARRAY_SIZE(t.reserved); i++) {
		t = (struct zcio_target){ .fd = z->rx };
		t.reserved[i] = 1;
		ASSERT_EQ(-1, ioctl(z->dev, ZCIO_IOC_TARGET, &t));
		ASSERT_EQ(EINVAL, errno);
	}
	ASSERT_EQ(-1, ioctl(z->dev, ZCIO_IOC_TARGET, NULL));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-EBADF, target(z, 1 << 20, &t));
	ASSERT_EQ(-EBADF, target(z, -2, &t));
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(-ENOTSOCK, target(z, pipes[0], &t));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, local));
	ASSERT_EQ(-EOPNOTSUPP, target(z, local[0], &t));
	ASSERT_EQ(-ENOTCONN, target(z, socket(AF_INET, SOCK_STREAM, 0), &t));
	ASSERT_EQ(-ENOTCONN, target(z, socket(AF_INET, SOCK_DGRAM, 0), &t));
	ASSERT_EQ(-ENOTCONN, target(z, socket(AF_PACKET, SOCK_RAW, 0), &t));
}

/* A frame socket's device, and what lies below it. */
static uint64_t target_of(struct __test_metadata *_metadata, const struct zt *z, const char *name)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct zcio_target t;

	ASSERT_NE(0, at.sll_ifindex) TH_LOG("no %s", name);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&at, sizeof(at)));
	ASSERT_EQ(0, target(z, fd, &t));
	close(fd);
	return t.dma_mask;
}

TEST_F(dma, device_is_looked_for_below_VLANs_and_bridges)
{
	struct zcio_target t;

	if (access("/sys/class/net/zc0", F_OK))
		SKIP(return, "no device of its own");
	ASSERT_EQ(0, target(&self->z, self->z.rx, &t));
	ASSERT_EQ(t.dma_mask, target_of(_metadata, &self->z, "zc0"));
	if (system("ip link add link zc0 name zc0.7 type vlan id 7 2>/dev/null"))
		SKIP(return, "this kernel has no VLANs");
	EXPECT_EQ(t.dma_mask, target_of(_metadata, &self->z, "zc0.7"));
	if (!system("ip link add zcbr7 type bridge 2>/dev/null")) {
		EXPECT_EQ(ALL, target_of(_metadata, &self->z, "zcbr7"));
		EXPECT_EQ(0, system("ip link set zc0.7 master zcbr7"));
		EXPECT_EQ(t.dma_mask, target_of(_metadata, &self->z, "zcbr7"));
		EXPECT_EQ(0, system("ip link del zcbr7"));
	}
	EXPECT_EQ(0, system("ip link del zc0.7"));
}

/* Both ways of sending refuse it, twice, and say why. */
static void refused(struct __test_metadata *_metadata, struct zt *z, pair *iov, int count)
{
	static const unsigned int flags[] = { 0, ZCIO_KEEP, 0, ZCIO_KEEP };

	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		struct zcio_payload info[2] = { { .why = 1 }, { .why = 1 } };
		struct zcio_writev call = zt_writev_call(z, iov, count);

		call.flags = flags[i];
		call.payloads = ZT_PTR(info);
		ASSERT_EQ(-EINVAL, zt_writev_raw(z->dev, &call));
		ASSERT_EQ(count - 1, call.error_index);
		ASSERT_EQ(0, call.taken);
		ASSERT_EQ(ZCIO_WHY_DMA, info[count - 1].why);
		ASSERT_EQ(0, info[count - 1].copied);
		ASSERT_EQ(0, info[0].mapped);
		if (count > 1)
			ASSERT_EQ(0, info[0].why);
		call.payloads = 0;
		ASSERT_EQ(-EINVAL, zt_writev_raw(z->dev, &call));
	}
}

TEST_F(dma, pool_out_of_reach_is_refused)
{
	struct zt *z = &self->z, lo = *z;
	char *far, *near;
	pair iov[2];

	LIMITED(self);
	pool_for(_metadata, z, z->rx);
	near = z->pool;
	pool_for(_metadata, z, -1);
	far = z->pool;
	ASSERT_EQ(POOL, above(_metadata, far, self->mask)) {
		TH_LOG("the guest needs more memory above 4 GiB");
	}
	zt_area(z, iov[0], 0, 4, 7, 9000, 0);
	refused(_metadata, z, iov, 1);
	/* It is about the second one. */
	zt_area(z, iov[1], 0, 4, 7, 9000, 9000);
	z->pool = near;
	zt_area(z, iov[0], 0, 4, 7, 9000, 0);
	refused(_metadata, z, iov, 2);
	ASSERT_EQ(9000, zt_same(far + 7, 9000, 9000));
	ASSERT_EQ(9000, zt_same(near + 7, 9000, 0));
	ASSERT_EQ(0, zt_info(_metadata, z->ctx).tx.calls);
	zt_nothing(_metadata, z->tx);
	ASSERT_EQ(1, zc_writev(z->rx, iov, 1));
	zt_recv(_metadata, z->tx, 9000, 0);
	/* Where no device is, it matters not. */
	zt_tcp(_metadata, ZT_LO4, &lo.rx, &lo.tx);
	ASSERT_EQ(1, zc_writev(lo.rx, iov + 1, 1));
	zt_recv(_metadata, lo.tx, 9000, 9000);
}

TEST_F(dma, pool_out_of_reach_is_refused_for_datagrams_too)
{
	struct zt_addr there = zt_addr(_metadata, ZT_WIRE4, true);
	struct zt udp = self->z;
	pair iov[1];

	LIMITED(self);
	there.in.sin_port = htons(9);
	udp.rx = zt_socket(_metadata, ZT_WIRE4, false, SOCK_DGRAM);
	ASSERT_EQ(0, connect(udp.rx, &there.sa, there.len));
	ASSERT_EQ(self->mask, mask_for(_metadata, &udp, udp.rx));
	pool_for(_metadata, &udp, -1);
	ASSERT_EQ(POOL, above(_metadata, udp.pool, self->mask));
	zt_area(&udp, iov[0], 0, 3, ZT_PAGE, 1000, 0);
	refused(_metadata, &udp, iov, 1);
	ASSERT_EQ(1000, zt_same(udp.pool + ZT_PAGE, 1000, 0));
	ASSERT_EQ(self->mask, pool_for(_metadata, &udp, udp.rx));
	zt_area(&udp, iov[0], 0, 3, ZT_PAGE, 1000, 0);
	ASSERT_EQ(1, zc_writev(udp.rx, iov, 1));
}

TEST_F(dma, target_holds_for_pools_mapped_afterwards)
{
	struct zt *z = &self->z;

	LIMITED(self);
	pool_for(_metadata, z, -1);
	ASSERT_EQ(POOL, above(_metadata, z->pool, self->mask));
	ASSERT_EQ(self->mask, pool_for(_metadata, z, z->rx));
	ASSERT_EQ(0, above(_metadata, z->pool, self->mask));
	pool_for(_metadata, z, -1);
	ASSERT_EQ(POOL, above(_metadata, z->pool, self->mask));
}

TEST_F(dma, pool_for_the_device_is_sent_without_a_copy)
{
	struct zt *z = &self->z;
	uint64_t pos = 0, mask = pool_for(_metadata, z, z->rx);
	size_t len = ZT_PAGES(16);

	for (int round = 0; round < 60; round++) {
		struct zcio_payload info[2];
		pair iov[2];

		zt_area(z, iov[0], round % 3 * 16, 16, 0, len, pos);
		zt_area(z, iov[1], 48, 1, 9, 1000, pos + len);
		ASSERT_EQ(2, zt_writev(z->dev, z->rx, iov, 2, info, round & 1 ? ZCIO_KEEP : 0, NULL));
		ASSERT_EQ(self->why, info[0].why);
		ASSERT_EQ(self->why ? len : 0, info[0].copied);
		ASSERT_EQ(self->why ? 0 : len, info[0].mapped);
		zt_recv(_metadata, z->tx, len + 1000, pos);
		pos += len + 1000;
		/* What was kept may not be changed before. */
		for (struct zcio_kept k = {}; k.done < POOL || !k.pages;) {
			k = (struct zcio_kept){ .base = ZT_PTR(z->pool), .len = ZT_PAGES(POOL) };
			ASSERT_EQ(0, ioctl(z->dev, ZCIO_IOC_KEPT, &k));
		}
		/* The pages that stood in, too. */
		ASSERT_EQ(0, above(_metadata, z->pool, mask));
	}
	ASSERT_EQ(self->bounces ? pos : 0, zt_info(_metadata, z->ctx).tx.why[10]);
}

/* The copies of pages that somebody else holds, like any other page of the pool. */
TEST_F(dma, copies_of_pinned_pages_reach_the_device)
{
	struct zt *z = &self->z;
	struct zcio_payload info[1];
	struct iovec v;
	int p[2];
	pair iov[1];

	pool_for(_metadata, z, z->rx);
	ASSERT_EQ(0, pipe(p));
	v = zt_iov(z->pool, ZT_PAGES(2));
	ASSERT_EQ(ZT_PAGES(2), vmsplice(p[1], &v, 1, 0));
	zt_area(z, iov[0], 0, 4, 0, ZT_PAGES(4), 0);
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, NULL));
	ASSERT_EQ(ZCIO_WHY_PINNED | self->why, info[0].why);
	ASSERT_EQ(self->why ? ZT_PAGES(4) : ZT_PAGES(2), info[0].copied);
	zt_recv(_metadata, z->tx, ZT_PAGES(4), 0);
}

TEST_F(dma, what_the_bus_copies_is_said)
{
	struct zt *z = &self->z, lo = *z;
	struct zcio_payload info[1];
	pair iov[1];

	if (!self->bounces)
		SKIP(return, "the kernel does not have swiotlb=force, or there is no device");
	pool_for(_metadata, z, -1);
	for (int i = 0; i < 2; i++) {
		zt_area(z, iov[0], 0, 4, 77, 12000, 0);
		ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, i ? ZCIO_KEEP : 0, NULL));
		ASSERT_EQ(ZCIO_WHY_DMA, info[0].why);
		ASSERT_EQ(12000, info[0].copied);
		ASSERT_EQ(0, info[0].mapped);
		zt_recv(_metadata, z->tx, 12000, 0);
	}
	ASSERT_EQ(24000, zt_info(_metadata, z->ctx).tx.why[10]);
	ASSERT_EQ(24000, zt_fdinfo(_metadata, z, "zcio-tx-copied-dma"));
	zt_tcp(_metadata, ZT_LO4, &lo.rx, &lo.tx);
	zt_area(z, iov[0], 8, 4, 77, 12000, 0);
	ASSERT_EQ(1, zt_writev(z->dev, lo.rx, iov, 1, info, 0, NULL));
	ASSERT_EQ(12000, info[0].mapped);
}

TEST_HARNESS_MAIN
