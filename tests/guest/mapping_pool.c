// SPDX-License-Identifier: GPL-2.0
/*
 * Pools in use from elsewhere: ordinary system calls on their memory, pages that someone
 * still holds, other processes that look at it, exec and exit, and removal of the module.
 * (Windows: mapping_use.c; address space: mapping.c; registered buffers: mapping_pin.c.)
 */
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "zt.h"

#define POOL	64

FIXTURE(pool)
{
	struct zt z;		/* what is sent on rx comes to tx */
};

FIXTURE_SETUP(pool)
{
	zt_open(_metadata, &self->z, 16, POOL);
	zt_tcp(_metadata, ZT_LO4, &self->z.rx, &self->z.tx);
}

FIXTURE_TEARDOWN(pool)
{
}

/* ---- ordinary system calls on the memory ---- */

TEST_F(pool, read_into_a_pool_then_send)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(2)), zt_iov(z->pool + 54, 5000) } };
	int fd = memfd_create("zt", 0);
	char buf[5000];

	zt_fill(buf, sizeof(buf), 7);
	ASSERT_EQ(5000, write(fd, buf, 5000));
	ASSERT_EQ(5000, pread(fd, z->pool + 54, 5000, 0));
	ASSERT_EQ(1, zc_writev(z->rx, area, 1));
	zt_recv(_metadata, z->tx, 5000, 7);
	ASSERT_EQ(ZT_PAGES(2), zt_zeros(z->pool, ZT_PAGES(2)));
}

TEST_F(pool, direct_io_into_a_pool_then_send)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(8)), zt_iov(z->pool, ZT_PAGES(8)) } };
	struct zcio_payload info[1];
	int fd = zt_ram_disk();
	char *buf;

	if (fd < 0)
		SKIP(return, "there is no RAM disk (module brd)");
	buf = aligned_alloc(ZT_PAGE, ZT_PAGES(8));
	zt_fill(buf, ZT_PAGES(8), 11);
	ASSERT_EQ((ssize_t)ZT_PAGES(8), pwrite(fd, buf, ZT_PAGES(8), 0));
	ASSERT_EQ((ssize_t)ZT_PAGES(8), pread(fd, z->pool, ZT_PAGES(8), 0));
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, area, 1, info, 0, NULL));
	/* The disk is done with the pages: none had to be copied. */
	ASSERT_EQ(ZT_PAGES(8), info[0].mapped);
	zt_recv(_metadata, z->tx, ZT_PAGES(8), 11);
	free(buf);
}

TEST_F(pool, pool_written_to_a_pipe_stays)
{
	struct zt *z = &self->z;
	char copy[5000];
	int p[2];

	zt_fill(z->pool, sizeof(copy), 9);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ((ssize_t)sizeof(copy), write(p[1], z->pool, sizeof(copy)));
	ASSERT_EQ((ssize_t)sizeof(copy), read(p[0], copy, sizeof(copy)));
	ASSERT_EQ(sizeof(copy), zt_same(copy, sizeof(copy), 9));
	ASSERT_EQ(sizeof(copy), zt_same(z->pool, sizeof(copy), 9));
}

/* ---- pages that someone still holds ---- */

TEST_F(pool, pool_page_in_a_pipe_is_copied)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(3)), zt_iov(z->pool, ZT_PAGES(3)) } };
	struct iovec middle = zt_iov(z->pool + ZT_PAGE, ZT_PAGE);
	struct zcio_payload info[1];
	char copy[ZT_PAGE];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	zt_fill(z->pool, ZT_PAGES(3), 0);
	ASSERT_EQ((ssize_t)ZT_PAGE, vmsplice(p[1], &middle, 1, 0));
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, area, 1, info, 0, NULL));
	ASSERT_EQ(ZCIO_WHY_PINNED, info[0].why);
	ASSERT_EQ(ZT_PAGE, info[0].copied);
	ASSERT_EQ(ZT_PAGES(2), info[0].mapped);
	ASSERT_EQ(ZT_PAGES(3), zt_zeros(z->pool, ZT_PAGES(3)));
	memset(z->pool, 0xee, ZT_PAGES(3));
	ASSERT_EQ((ssize_t)ZT_PAGE, read(p[0], copy, ZT_PAGE));
	ASSERT_EQ(ZT_PAGE, zt_same(copy, ZT_PAGE, ZT_PAGE));
	zt_recv(_metadata, z->tx, ZT_PAGES(3), 0);
}

/* ---- other processes ---- */

/* A child with a pool of its own: says where, waits, and sends what is in it then. */
static pid_t child_with_pool(struct __test_metadata *_metadata, struct zt *z, char **at,
			     const char *then)
{
	int p[2];
	pid_t pid;

	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct iovec area[1][2];
		struct zt own = {};

		zt_open(_metadata, &own, 0, 8);
		zt_fill(own.pool, ZT_PAGES(8), 0);
		if (write(p[1], &own.pool, sizeof(own.pool)) != sizeof(own.pool))
			_exit(1);
		if (then)
			execl(then, then, NULL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		area[0][0] = zt_iov(own.pool, ZT_PAGES(8));
		area[0][1] = area[0][0];
		_exit(zt_writev(own.dev, z->rx, area, 1, NULL, 0, NULL) == 1 ? 0 : 2);
	}
	close(p[1]);
	ASSERT_EQ((ssize_t)sizeof(*at), read(p[0], at, sizeof(*at)));
	close(p[0]);
	return pid;
}

/* It is the owner's memory as any other: what they write is sent. */
TEST_F(pool, another_process_reads_and_writes_a_pool)
{
	struct zt *z = &self->z;
	char copy[ZT_PAGE], path[64], *at;
	struct iovec here = zt_iov(copy, ZT_PAGE), there;
	pid_t pid = child_with_pool(_metadata, z, &at, NULL);
	uint64_t word;
	int status, mem;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	there = zt_iov(at, ZT_PAGE);
	ASSERT_EQ((ssize_t)ZT_PAGE, process_vm_readv(pid, &here, 1, &there, 1, 0));
	ASSERT_EQ(ZT_PAGE, zt_same(copy, ZT_PAGE, 0));
	zt_fill(copy, ZT_PAGE, 5 << 20);
	ASSERT_EQ((ssize_t)ZT_PAGE, process_vm_writev(pid, &here, 1, &there, 1, 0));
	zt_fill(&word, sizeof(word), 6 << 20);
	ASSERT_EQ(0, ptrace(PTRACE_POKEDATA, pid, at + ZT_PAGE, word));
	zt_fill(copy, 100, 7 << 20);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	ASSERT_EQ(100, pwrite(mem, copy, 100, (off_t)(uintptr_t)(at + ZT_PAGES(2))));
	close(mem);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	zt_recv(_metadata, z->tx, ZT_PAGE, 5 << 20);
	zt_recv(_metadata, z->tx, sizeof(word), 6 << 20);
	zt_recv(_metadata, z->tx, ZT_PAGE - sizeof(word), ZT_PAGE + sizeof(word));
	zt_recv(_metadata, z->tx, 100, 7 << 20);
	zt_recv(_metadata, z->tx, ZT_PAGES(6) - 100, ZT_PAGES(2) + 100);
	zt_nothing(_metadata, z->tx);
}

TEST_F(pool, exit_with_a_pool_gives_all_back)
{
	struct zcio_info before = zt_info(_metadata, self->z.ctx), after;
	char *at;
	pid_t pid = child_with_pool(_metadata, &self->z, &at, NULL);
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(before.total_pool_pages + 8, zt_info(_metadata, self->z.ctx).total_pool_pages);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	after = zt_info(_metadata, self->z.ctx);
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
}

TEST_F(pool, exec_with_a_pool_gives_all_back)
{
	struct zcio_info before = zt_info(_metadata, self->z.ctx), after;
	char *at;
	pid_t pid = child_with_pool(_metadata, &self->z, &at, "/bin/true");
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	after = zt_info(_metadata, self->z.ctx);
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
}

/* ---- what is sent outlives all that it came from ---- */

TEST_F(pool, pool_and_context_gone_before_the_peer_reads)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(8)), zt_iov(z->pool, ZT_PAGES(8)) } };

	zt_fill(z->pool, ZT_PAGES(8), 3);
	ASSERT_EQ(1, zc_writev(z->rx, area, 1));
	ASSERT_EQ(0, munmap(z->pool, ZT_PAGES(POOL)));
	ASSERT_EQ(0, zt_info(_metadata, z->ctx).pool_pages);
	/* Their pages may be given to others now, and must not be. */
	for (int i = 0; i < 4; i++) {
		char *p = zt_pool(_metadata, z->ctx, POOL);

		memset(p, 0xaa, ZT_PAGES(POOL));
		munmap(p, ZT_PAGES(POOL));
	}
	close(z->rx);
	zt_recv(_metadata, z->tx, ZT_PAGES(8), 3);
}

TEST_F(pool, module_removal_is_refused_while_a_pool_is_mapped)
{
	munmap(self->z.win, ZT_PAGES(16));
	zcio_close(self->z.ctx);
	ASSERT_EQ(-1, syscall(SYS_delete_module, "zcio", O_NONBLOCK));
	ASSERT_EQ(EWOULDBLOCK, errno);
	self->z.pool[0] = 1;
}

TEST_HARNESS_MAIN
