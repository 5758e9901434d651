// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that io_uring holds as registered buffers. It can write to them at any time, so
 * zc_writev must not send such a page itself; and a window's pages, which the kernel
 * may still share, must not become a buffer to write to.
 */
#include <liburing.h>

#include "zt.h"

FIXTURE(pin)
{
	struct zt z;
	struct io_uring ring;
};

FIXTURE_SETUP(pin)
{
	zt_open(_metadata, &self->z, 16, 16);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
	ASSERT_EQ(0, io_uring_queue_init(4, &self->ring, 0));
}

FIXTURE_TEARDOWN(pin)
{
	io_uring_queue_exit(&self->ring);
}

TEST_F(pin, writes_through_a_pin_do_not_reach_the_peer)
{
	struct zt *z = &self->z;
	struct iovec buffer = zt_iov(z->pool, ZT_PAGES(4));
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(8)), zt_iov(z->pool, ZT_PAGES(8)) } };
	struct zcio_payload info[1];
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int fd = memfd_create("zt", 0);
	char junk[ZT_PAGES(4)];

	memset(junk, 0xee, sizeof(junk));
	ASSERT_EQ((ssize_t)sizeof(junk), write(fd, junk, sizeof(junk)));
	zt_fill(z->pool, ZT_PAGES(8), 0);
	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &buffer, 1));
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, area, 1, info, 0, NULL));
	ASSERT_EQ(ZCIO_WHY_PINNED, info[0].why);
	ASSERT_EQ(ZT_PAGES(4), info[0].copied);
	ASSERT_EQ(ZT_PAGES(4), info[0].mapped);
	ASSERT_EQ(ZT_PAGES(8), zt_zeros(z->pool, ZT_PAGES(8)));

	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_read_fixed(sqe, fd, z->pool, ZT_PAGES(4), 0, 0);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, io_uring_wait_cqe(&self->ring, &cqe));
	ASSERT_EQ((int)ZT_PAGES(4), cqe->res);
	io_uring_cqe_seen(&self->ring, cqe);

	zt_recv(_metadata, z->tx, ZT_PAGES(8), 0);
	/* The buffer was not the area's page any more. */
	ASSERT_EQ(ZT_PAGES(8), zt_zeros(z->pool, ZT_PAGES(8)));
}

/* Once unregistered, the pages are the pool's own again. */
TEST_F(pin, a_pin_that_is_gone_costs_nothing)
{
	struct zt *z = &self->z;
	struct iovec buffer = zt_iov(z->pool, ZT_PAGES(4));
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(4)), zt_iov(z->pool, ZT_PAGES(4)) } };
	struct zcio_payload info[1];

	zt_fill(z->pool, ZT_PAGES(4), 0);
	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &buffer, 1));
	ASSERT_EQ(0, io_uring_unregister_buffers(&self->ring));
	/* io_uring lets go of them a moment later. */
	for (uint64_t pos = 0;; pos += ZT_PAGES(4)) {
		zt_fill(z->pool, ZT_PAGES(4), pos);
		ASSERT_EQ(1, zt_writev(z->dev, z->rx, area, 1, info, 0, NULL));
		zt_recv(_metadata, z->tx, ZT_PAGES(4), pos);
		if (!info[0].why)
			break;
		usleep(1000);
	}
	ASSERT_EQ(ZT_PAGES(4), info[0].mapped);
}

TEST_F(pin, a_window_cannot_be_a_registered_buffer)
{
	struct iovec buffer = zt_iov(self->z.win, ZT_PAGES(4));

	zt_send(_metadata, self->z.tx, 5000, 0);
	zt_zc_recv(_metadata, self->z.dev, self->z.rx, self->z.win, 4, 5000, 0);
	ASSERT_EQ(-EFAULT, io_uring_register_buffers(&self->ring, &buffer, 1));
}

TEST_HARNESS_MAIN
