// SPDX-License-Identifier: GPL-2.0
/*
 * What mmap() and the ioctls of /dev/zcio refuse. The rows of the error table about
 * zc_readv are in errors_rx.c, about zc_writev in errors_tx.c, and those about
 * sockets and limits, for both, in errors_socket.c and errors_limit.c.
 *
 * widths: 64, 32
 */
#include "zt.h"

FIXTURE(dev)
{
	struct zt z;
};

FIXTURE_SETUP(dev)
{
	zt_open(_metadata, &self->z, 0, 0);
}

FIXTURE_TEARDOWN(dev)
{
	zcio_close(self->z.ctx);
}

static int map_error(int dev, size_t len, int prot, int flags, uint64_t offset)
{
	void *p = mmap(NULL, len, prot, flags, dev, (off_t)offset);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, len);
	return 0;
}

#define RW	(PROT_READ | PROT_WRITE)
#define RX	(PROT_READ | PROT_EXEC)

TEST_F(dev, mmap_good_ones_succeed)
{
	int dev = self->z.dev;

	EXPECT_EQ(0, map_error(dev, ZT_PAGE, PROT_READ, MAP_SHARED, ZCIO_MMAP_WINDOW));
	EXPECT_EQ(0, map_error(dev, ZT_PAGE, RW, MAP_SHARED, ZCIO_MMAP_WINDOW));
	EXPECT_EQ(0, map_error(dev, ZT_PAGE, RW, MAP_SHARED, ZCIO_MMAP_POOL));
}

TEST_F(dev, mmap_private_is_EINVAL)
{
	int dev = self->z.dev;

	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGE, PROT_READ, MAP_PRIVATE, ZCIO_MMAP_WINDOW));
	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGE, RW, MAP_PRIVATE, ZCIO_MMAP_WINDOW));
	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGE, RW, MAP_PRIVATE, ZCIO_MMAP_POOL));
}

TEST_F(dev, mmap_executable_is_EINVAL)
{
	int dev = self->z.dev;

	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGE, RX, MAP_SHARED, ZCIO_MMAP_WINDOW));
	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGE, RX | PROT_WRITE, MAP_SHARED, ZCIO_MMAP_POOL));
}

TEST_F(dev, mmap_unreadable_window_is_EINVAL)
{
	int dev = self->z.dev;

	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGE, PROT_NONE, MAP_SHARED, ZCIO_MMAP_WINDOW));
}

TEST_F(dev, mmap_pool_that_cannot_be_written_is_EINVAL)
{
	EXPECT_EQ(EINVAL, map_error(self->z.dev, ZT_PAGE, PROT_READ, MAP_SHARED, ZCIO_MMAP_POOL));
}

TEST_F(dev, mmap_unknown_offset_is_EINVAL)
{
	static const uint64_t offsets[] = {
		ZT_PAGE, ZCIO_MMAP_POOL - ZT_PAGE, ZCIO_MMAP_POOL + ZT_PAGE,
		2 * ZCIO_MMAP_POOL, 1ULL << 62,
	};

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		EXPECT_EQ(EINVAL, map_error(self->z.dev, ZT_PAGE, RW, MAP_SHARED, offsets[i])) {
			TH_LOG("offset %llx", (unsigned long long)offsets[i]);
		}
	}
}

TEST_F(dev, mmap_larger_than_info_says_is_EINVAL)
{
	struct zcio_info info = zt_info(_metadata, self->z.ctx);
	int dev = self->z.dev;

	EXPECT_EQ(EINVAL, map_error(dev, info.max_pool + ZT_PAGE, RW, MAP_SHARED,
				    ZCIO_MMAP_POOL));
	if (info.max_window >= SIZE_MAX)
		return;		/* more than 32 bits can ask for */
	EXPECT_EQ(0, map_error(dev, info.max_window, PROT_READ, MAP_SHARED, ZCIO_MMAP_WINDOW));
	EXPECT_EQ(EINVAL, map_error(dev, info.max_window + ZT_PAGE, PROT_READ, MAP_SHARED,
				    ZCIO_MMAP_WINDOW));
}

TEST_F(dev, mmap_that_failed_leaves_no_page)
{
	struct zcio_info before = zt_info(_metadata, self->z.ctx), after;
	int dev = self->z.dev;

	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGES(16), RW, MAP_PRIVATE, ZCIO_MMAP_POOL));
	EXPECT_EQ(EINVAL, map_error(dev, ZT_PAGES(16), RX | RW, MAP_SHARED, ZCIO_MMAP_POOL));
	after = zt_info(_metadata, self->z.ctx);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
}

TEST_F(dev, ioctl_unknown_is_ENOTTY)
{
	static const unsigned long unknown[] = {
		_IOWR(ZCIO_IOC_MAGIC, 0x04, struct zcio_info), _IO(ZCIO_IOC_MAGIC, 0),
		_IOR(ZCIO_IOC_MAGIC, 0x01, struct zcio_readv), _IOWR(0xBC, 0, struct zcio_info),
		_IOWR(ZCIO_IOC_MAGIC, 0x01, char[64 + sizeof(struct zcio_readv)]), TCGETS,
	};
	struct zcio_info info = { .fd = -1 };

	for (int i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(-1, ioctl(self->z.dev, unknown[i], &info));
		EXPECT_EQ(ENOTTY, errno);
	}
}

TEST_F(dev, ioctl_bad_structure_address_is_EFAULT)
{
	static const unsigned long all[] = {
		ZCIO_IOC_INFO, ZCIO_IOC_READV, ZCIO_IOC_WRITEV, ZCIO_IOC_TUNE,
	};
	void *none = mmap(NULL, ZT_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, none);
	for (int i = 0; i < ARRAY_SIZE(all); i++) {
		EXPECT_EQ(-1, ioctl(self->z.dev, all[i], NULL));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ioctl(self->z.dev, all[i], none));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ioctl(self->z.dev, all[i], -4096L));
		EXPECT_EQ(EFAULT, errno);
	}
}

TEST_F(dev, ioctl_structure_that_cannot_be_written_is_EFAULT)
{
	struct zcio_info *info = mmap(NULL, ZT_PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, info);
	info->fd = -1;
	ASSERT_EQ(0, mprotect(info, ZT_PAGE, PROT_READ));
	EXPECT_EQ(-1, ioctl(self->z.dev, ZCIO_IOC_INFO, info));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(dev, info_flags_and_reserved_are_EINVAL)
{
	struct zcio_info info = { .fd = -1, .flags = 1 };

	EXPECT_EQ(-1, ioctl(self->z.dev, ZCIO_IOC_INFO, &info));
	EXPECT_EQ(EINVAL, errno);
	for (int i = 0; i < ARRAY_SIZE(info.reserved); i++) {
		info = (struct zcio_info){ .fd = -1 };
		info.reserved[i] = 1ULL << 63;
		EXPECT_EQ(-1, ioctl(self->z.dev, ZCIO_IOC_INFO, &info));
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST_F(dev, info_socket_errors)
{
	int local = socket(AF_UNIX, SOCK_STREAM, 0), raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	struct zcio_info info;

	EXPECT_EQ(-1, zcio_info(self->z.ctx, local, &info));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, zcio_info(self->z.ctx, raw, &info));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, zcio_info(self->z.ctx, self->z.dev, &info));
	EXPECT_EQ(ENOTSOCK, errno);
	EXPECT_EQ(-1, zcio_info(self->z.ctx, 1000, &info));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, zcio_info(self->z.ctx, -2, &info));
	EXPECT_EQ(EBADF, errno);
}

/* Of every kind that is served, in any state. */
TEST_F(dev, info_of_a_socket_says_what_its_regions_need)
{
	static const struct {
		int family, type, protocol;
	} kinds[] = {
		{ AF_INET, SOCK_STREAM, 0 }, { AF_INET6, SOCK_STREAM, 0 },
		{ AF_INET, SOCK_DGRAM, 0 }, { AF_INET6, SOCK_DGRAM, 0 },
		{ AF_PACKET, SOCK_RAW, 0 }, { AF_PACKET, SOCK_DGRAM, 0 },
	};

	for (int i = 0; i < ARRAY_SIZE(kinds); i++) {
		int fd = socket(kinds[i].family, kinds[i].type, kinds[i].protocol);
		struct zcio_info info;

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, zcio_info(self->z.ctx, fd, &info)) TH_LOG("kind %d: %m", i);
		EXPECT_EQ(fd, info.fd);
		EXPECT_EQ(ZCIO_ABI_VERSION, info.version);
		EXPECT_EQ(ZT_PAGE, info.min_region);
		close(fd);
	}
}

TEST_F(dev, info_says_limits)
{
	struct zcio_info info = zt_info(_metadata, self->z.ctx);

	EXPECT_EQ(ZCIO_ABI_VERSION, info.version);
	EXPECT_EQ(ZT_PAGE, info.page_size);
	EXPECT_EQ(ZCIO_MAX_ELEMENTS, info.max_elements);
	EXPECT_LE(1, info.total_contexts);
	EXPECT_EQ(0, info.window_pages);
	EXPECT_EQ(0, info.pool_pages);
	EXPECT_EQ(sizeof(info.reserved), zt_zeros(info.reserved, sizeof(info.reserved)));
}

TEST_F(dev, tune_reserved_is_EINVAL)
{
	uint64_t old = zt_info(_metadata, self->z.ctx).copy_threshold;

	for (int i = 0; i < ARRAY_SIZE(((struct zcio_tune *)0)->reserved); i++) {
		struct zcio_tune tune = { .copy_threshold = old + 1 };

		tune.reserved[i] = 1;
		EXPECT_EQ(-1, zcio_tune(self->z.ctx, &tune));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(old, zt_info(_metadata, self->z.ctx).copy_threshold);
}

TEST_HARNESS_MAIN
