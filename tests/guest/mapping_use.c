// SPDX-License-Identifier: GPL-2.0
/*
 * Windows and pools in use from elsewhere: other threads in the same calls, ordinary
 * system calls on their memory, other processes that look at it, pages that someone
 * still holds, exec and exit, and removal of the module.
 */
#include <linux/fs.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "caller.h"

#define WINDOW	64
#define POOL	64
#define SIZE	6000

FIXTURE(use)
{
	struct zt z;
	struct iovec payload;	/* SIZE bytes at most, position 0 of the stream */
};

FIXTURE_SETUP(use)
{
	struct zt *z = &self->z;

	zt_open(_metadata, z, WINDOW, POOL);
	zt_tcp(_metadata, ZT_LO4, &z->rx, &z->tx);
	zt_send(_metadata, z->tx, SIZE, 0);
	zt_arrived(_metadata, z->rx, SIZE);
	self->payload = zt_iov(z->win, ZT_PAGES(4));
	ASSERT_EQ(1, zt_readv(z->dev, z->rx, &self->payload, 1, NULL, 0));
	zt_recv(_metadata, z->rx, SIZE - self->payload.iov_len, self->payload.iov_len);
}

FIXTURE_TEARDOWN(use)
{
}

static bool intact(FIXTURE_DATA(use) *self)
{
	return zt_same(self->payload.iov_base, self->payload.iov_len, 0) == self->payload.iov_len;
}

/* ---- threads ---- */

#define ROUNDS	150

struct racer {
	int dev, fd, peer;
	char *region;
	uint64_t from;		/* its stream */
	struct iovec last;
	size_t got;
	int bad;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	static __thread unsigned char buf[SIZE];

	for (int i = 0; i < ROUNDS; i++) {
		size_t left = SIZE;

		zt_fill(buf, SIZE, r->from + r->got);
		if (send(r->peer, buf, SIZE, 0) != SIZE)
			r->bad = -errno;
		while (left && !r->bad) {
			int n;

			r->last = zt_iov(r->region, ZT_PAGES(4));
			n = zt_readv(r->dev, r->fd, &r->last, 1, NULL, 0);
			if (n != 1 || r->last.iov_len > left) {
				r->bad = n < 0 ? n : -ENOMSG;
				break;
			}
			left -= r->last.iov_len;
			r->got += r->last.iov_len;
		}
	}
	return NULL;
}

TEST_F(use, two_threads_and_one_region)
{
	struct zt *z = &self->z;
	struct racer r[2] = {
		{ .dev = z->dev, .fd = z->rx, .peer = z->tx, .from = 0 },
		{ .dev = z->dev, .from = 1ULL << 20 },
	};
	struct iovec *a = &r[0].last, *b = &r[1].last;
	bool first, second;

	zt_tcp(_metadata, ZT_LO6, &r[1].fd, &r[1].peer);
	for (int i = 0; i < 2; i++) {
		r[i].region = z->win + ZT_PAGES(8);
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, race, &r[i]));
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(r[i].thread, NULL));
		ASSERT_EQ(0, r[i].bad);
		ASSERT_EQ((size_t)ROUNDS * SIZE, r[i].got);
	}
	/* What the region holds is the last payload of one of the two. */
	first = zt_same(a->iov_base, a->iov_len, r[0].from + r[0].got - a->iov_len) == a->iov_len;
	second = zt_same(b->iov_base, b->iov_len, r[1].from + r[1].got - b->iov_len) == b->iov_len;
	ASSERT_TRUE(first || second);
	ASSERT_TRUE(intact(self));
	ASSERT_EQ(0, munmap(z->win, ZT_PAGES(WINDOW)));
	ASSERT_EQ(0, zt_info(_metadata, z->ctx).window_pages);
}

/* ---- ordinary system calls on the memory ---- */

TEST_F(use, payload_written_to_a_pipe_and_sent_on)
{
	char *at = self->payload.iov_base;
	size_t n = self->payload.iov_len;
	char copy[SIZE];
	int p[2], a, b;

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ((ssize_t)n, write(p[1], at, n));
	ASSERT_EQ((ssize_t)n, read(p[0], copy, n));
	ASSERT_EQ(n, zt_same(copy, n, 0));
	zt_tcp(_metadata, ZT_LO4, &a, &b);
	ASSERT_EQ((ssize_t)n, send(a, at, n, 0));
	zt_recv(_metadata, b, n, 0);
	ASSERT_TRUE(intact(self));
}

/* Pages that a pipe got by reference stay what they were, also when the region is reused. */
TEST_F(use, payload_vmspliced_and_its_region_given_again)
{
	struct zt *z = &self->z;
	struct iovec v = self->payload;
	char copy[SIZE];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ((ssize_t)v.iov_len, vmsplice(p[1], &v, 1, 0));
	zt_send(_metadata, z->tx, 3000, 99);
	zt_zc_recv(_metadata, z->dev, z->rx, z->win, 4, 3000, 99);
	ASSERT_EQ((ssize_t)v.iov_len, read(p[0], copy, v.iov_len));
	ASSERT_EQ(v.iov_len, zt_same(copy, v.iov_len, 0));
}

TEST_F(use, read_into_a_window_is_EFAULT)
{
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(5, write(p[1], "hello", 5));
	ASSERT_EQ(-1, read(p[0], self->payload.iov_base, 5));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_TRUE(intact(self));
}

TEST_F(use, read_into_a_pool_then_send)
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

TEST_F(use, direct_io_into_a_pool_then_send)
{
	struct zt *z = &self->z;
	struct iovec area[1][2] = { { zt_iov(z->pool, ZT_PAGES(8)), zt_iov(z->pool, ZT_PAGES(8)) } };
	struct zcio_payload info[1];
	char *buf;
	int fd;

	fd = system("modprobe brd rd_nr=1 rd_size=4096 2>/dev/null") ? -1 :
		open("/dev/ram0", O_RDWR | O_DIRECT | O_CLOEXEC);
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
	/* And a payload goes to the disk as it is. */
	zt_fill(z->pool, ZT_PAGES(2), 13);
	area[0][0].iov_len = ZT_PAGES(2);
	area[0][1].iov_len = ZT_PAGES(2);
	ASSERT_EQ(1, zc_writev(z->tx, area, 1));
	zt_zc_recv(_metadata, z->dev, z->rx, z->win + ZT_PAGES(8), 4, ZT_PAGES(2), 13);
	ASSERT_EQ((ssize_t)ZT_PAGE, pwrite(fd, z->win + ZT_PAGES(8), ZT_PAGE, 0));
	ASSERT_EQ((ssize_t)ZT_PAGE, pread(fd, buf, ZT_PAGE, 0));
	ASSERT_EQ(ZT_PAGE, zt_same(buf, ZT_PAGE, zt_same(z->win + ZT_PAGES(8), ZT_PAGE, 13) ==
				   ZT_PAGE ? 13 : 13 + ZT_PAGE));
}

/* ---- pages that someone still holds ---- */

TEST_F(use, pool_page_in_a_pipe_is_copied)
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

static void look_at(struct __test_metadata *_metadata, pid_t pid, struct iovec there, uint64_t pos)
{
	char copy[SIZE], path[64];
	struct iovec here = zt_iov(copy, there.iov_len);
	uint64_t word, zero = 0;
	int mem;

	ASSERT_EQ((ssize_t)there.iov_len, process_vm_readv(pid, &here, 1, &there, 1, 0));
	ASSERT_EQ(there.iov_len, zt_same(copy, there.iov_len, pos));
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, there.iov_base, NULL);
	ASSERT_EQ(0, errno);
	ASSERT_EQ(8, zt_same(&word, 8, pos));
	/* A debugger may look at what the kernel may still share, and not touch it. */
	ASSERT_EQ(-1, ptrace(PTRACE_POKEDATA, pid, there.iov_base, zero));
	ASSERT_EQ(-1, process_vm_writev(pid, &(struct iovec){ &zero, 8 }, 1, &there, 1, 0));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	ASSERT_EQ((ssize_t)there.iov_len, pread(mem, copy, there.iov_len,
						(off_t)(uintptr_t)there.iov_base));
	ASSERT_EQ(there.iov_len, zt_same(copy, there.iov_len, pos));
	ASSERT_EQ(-1, pwrite(mem, &zero, 8, (off_t)(uintptr_t)there.iov_base));
	close(mem);
	ASSERT_EQ((ssize_t)there.iov_len, process_vm_readv(pid, &here, 1, &there, 1, 0));
	ASSERT_EQ(there.iov_len, zt_same(copy, there.iov_len, pos));
}

/* A child with a context of its own: receives, says where, and waits. */
static pid_t child_with_payload(struct __test_metadata *_metadata, struct zt *z, struct iovec *at,
				const char *then)
{
	int p[2];
	pid_t pid;

	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	zt_send(_metadata, z->tx, 4000, 500);
	zt_arrived(_metadata, z->rx, 4000);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct zt own = {};
		struct iovec iov;

		zt_open(_metadata, &own, 16, 16);
		iov = zt_iov(own.win, ZT_PAGES(4));
		if (zt_readv(own.dev, z->rx, &iov, 1, NULL, 0) != 1 ||
		    write(p[1], &iov, sizeof(iov)) != sizeof(iov))
			_exit(1);
		if (then)
			execl(then, then, NULL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(zt_same(iov.iov_base, iov.iov_len, 500) == iov.iov_len ? 0 : 2);
	}
	close(p[1]);
	ASSERT_EQ((ssize_t)sizeof(*at), read(p[0], at, sizeof(*at)));
	close(p[0]);
	return pid;
}

TEST_F(use, another_process_reads_a_payload)
{
	struct iovec at;
	pid_t pid = child_with_payload(_metadata, &self->z, &at, NULL);
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	look_at(_metadata, pid, at, 500);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
}

TEST_F(use, exit_with_payloads_gives_all_back)
{
	struct zcio_info before = zt_info(_metadata, self->z.ctx), after;
	struct iovec at;
	pid_t pid = child_with_payload(_metadata, &self->z, &at, NULL);
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	after = zt_info(_metadata, self->z.ctx);
	ASSERT_LT(before.total_window_pages, after.total_window_pages);
	ASSERT_EQ(before.total_pool_pages + 16, after.total_pool_pages);
	ASSERT_EQ(before.total_contexts + 1, after.total_contexts);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	after = zt_info(_metadata, self->z.ctx);
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
}

TEST_F(use, exec_with_payloads_gives_all_back)
{
	struct zcio_info before = zt_info(_metadata, self->z.ctx), after;
	struct iovec at;
	pid_t pid = child_with_payload(_metadata, &self->z, &at, "/bin/true");
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	after = zt_info(_metadata, self->z.ctx);
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
}

/* ---- what is sent outlives all that it came from ---- */

TEST_F(use, pool_and_context_gone_before_the_peer_reads)
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

/* ---- the module ---- */

static int remove_module(void)
{
	return syscall(SYS_delete_module, "zcio", O_NONBLOCK) ? errno : 0;
}

TEST_F(use, module_removal_is_refused_while_a_context_is_open)
{
	munmap(self->z.win, ZT_PAGES(WINDOW));
	munmap(self->z.pool, ZT_PAGES(POOL));
	ASSERT_EQ(EWOULDBLOCK, remove_module());
	zt_info(_metadata, self->z.ctx);
}

TEST_F(use, module_removal_is_refused_while_a_payload_is_mapped)
{
	munmap(self->z.pool, ZT_PAGES(POOL));
	munmap(self->z.win + ZT_PAGES(4), ZT_PAGES(WINDOW - 4));
	zcio_close(self->z.ctx);
	ASSERT_EQ(EWOULDBLOCK, remove_module());
	ASSERT_TRUE(intact(self));
}

TEST_HARNESS_MAIN
