// SPDX-License-Identifier: GPL-2.0
/*
 * Payloads in use from elsewhere, received by every kind of socket: another thread that
 * receives into the same region, ordinary system calls on their memory, other processes that
 * look at it, exec and exit, and removal of the module. (Pools: mapping_pool.c.)
 */
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "flow.h"

#define WINDOW	64
#define POOL	16
#define MOST	6000		/* bytes of a message, if a frame may be as large */

FIXTURE(use)
{
	struct zt z;
	struct flow f;
	size_t size;		/* of a message */
	struct iovec payload;	/* one of them, without a frame's header */
};

FLOW_PAGES(use);

typedef FIXTURE_DATA(use) use;

FIXTURE_SETUP(use)
{
	struct zt *z = &self->z;
	struct flow *f = &self->f;

	zt_open(_metadata, z, WINDOW, POOL);
	flow_open(_metadata, f, variant->kind, variant->wire);
	self->size = f->most < MOST ? f->most : MOST;
	flow_put(_metadata, f, self->size);
	self->payload = flow_receive(_metadata, f, z->dev, z->win, 4);
	self->payload.iov_base += f->header;
	self->payload.iov_len -= f->header;
}

FIXTURE_TEARDOWN(use)
{
}

static bool intact(const use *self)
{
	return zt_same(self->payload.iov_base, self->payload.iov_len, 0) == self->payload.iov_len;
}

/* ---- threads ---- */

#define ROUNDS	150

/* Sends to itself and receives. */
struct racer {
	struct flow *f;
	int dev;
	char *region;
	size_t size;
	uint64_t pos;		/* of its stream */
	struct iovec last;	/* a payload, without a header */
	int bad;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	for (int i = 0; i < ROUNDS; i++) {
		size_t left = r->size;

		if (flow_send(r->f, r->size, r->pos) != r->size)
			r->bad = -errno;
		while (left && !r->bad) {
			int n;

			r->last = zt_iov(r->region, ZT_PAGES(4));
			n = zt_readv(r->dev, r->f->to, &r->last, 1, NULL, 0);
			r->last.iov_base += r->f->header;
			r->last.iov_len -= r->f->header;
			if (n != 1 || r->last.iov_len > left) {
				r->bad = n < 0 ? n : -ENOMSG;
				break;
			}
			left -= r->last.iov_len;
			r->pos += r->last.iov_len;
		}
	}
	return NULL;
}

/* The region holds the racer's last payload. */
static bool has_it(const struct racer *r)
{
	const struct iovec *v = &r->last;

	return zt_same(v->iov_base, v->iov_len, r->pos - v->iov_len) == v->iov_len;
}

TEST_F(use, two_threads_and_one_region)
{
	struct zt *z = &self->z;
	struct flow other;
	struct racer r[2] = {
		{ .f = &self->f, .size = self->size, .pos = self->size },
		{ .f = &other, .size = MOST, .pos = 1ULL << 20 },
	};

	flow_open(_metadata, &other, TCP6, false);
	for (int i = 0; i < 2; i++) {
		r[i].dev = z->dev;
		r[i].region = z->win + ZT_PAGES(8);
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, race, &r[i]));
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(r[i].thread, NULL));
		ASSERT_EQ(0, r[i].bad) TH_LOG("racer %d", i);
	}
	ASSERT_EQ((ROUNDS + 1) * self->size, r[0].pos);
	ASSERT_TRUE(has_it(&r[0]) || has_it(&r[1]));
	ASSERT_TRUE(intact(self));
	ASSERT_EQ(0, munmap(z->win, ZT_PAGES(WINDOW)));
	ASSERT_EQ(0, zt_info(_metadata, z->ctx).window_pages);
}

/* ---- ordinary system calls on the memory ---- */

TEST_F(use, payload_written_to_a_pipe_and_sent_on)
{
	char *at = self->payload.iov_base;
	size_t n = self->payload.iov_len;
	char copy[MOST];
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
	char copy[MOST];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ((ssize_t)v.iov_len, vmsplice(p[1], &v, 1, 0));
	flow_put(_metadata, &self->f, 1300);
	flow_receive(_metadata, &self->f, z->dev, z->win, 4);
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

/* What a read changes is this window's alone: the next message is not affected. */
TEST_F(use, read_into_a_writable_window)
{
	char *w = zcio_window(self->z.ctx, ZT_PAGES(8), ZCIO_WINDOW_WRITABLE);
	struct iovec v;
	int p[2];

	ASSERT_NE(NULL, w);
	flow_put(_metadata, &self->f, self->size);
	v = flow_receive(_metadata, &self->f, self->z.dev, w, 4);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(5, write(p[1], "hello", 5));
	ASSERT_EQ(5, read(p[0], v.iov_base, 5));
	ASSERT_EQ(0, memcmp(v.iov_base, "hello", 5));
	flow_put(_metadata, &self->f, self->size);
	flow_receive(_metadata, &self->f, self->z.dev, w + ZT_PAGES(4), 4);
	ASSERT_TRUE(intact(self));
}

/* A payload goes to a disk from where it lies; from a disk nothing comes to lie on it. */
TEST_F(use, direct_io_of_a_payload)
{
	char *page = zt_down(self->payload.iov_base), *buf = aligned_alloc(ZT_PAGE, ZT_PAGE);
	int fd = zt_ram_disk();

	if (fd < 0)
		SKIP(return, "there is no RAM disk (module brd)");
	ASSERT_EQ((ssize_t)ZT_PAGE, pwrite(fd, page, ZT_PAGE, 0));
	ASSERT_EQ((ssize_t)ZT_PAGE, pread(fd, buf, ZT_PAGE, 0));
	ASSERT_EQ(0, memcmp(page, buf, ZT_PAGE));
	ASSERT_EQ(-1, pread(fd, page, ZT_PAGE, 0));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_TRUE(intact(self));
	free(buf);
}

/* ---- other processes ---- */

static void look_at(struct __test_metadata *_metadata, pid_t pid, struct iovec there, uint64_t pos)
{
	char copy[MOST], path[64];
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

/* A child with a context of its own: receives the second message, says where, and waits. */
static pid_t child_with_payload(struct __test_metadata *_metadata, use *self, struct iovec *at,
				const char *then)
{
	struct flow *f = &self->f;
	int p[2];
	pid_t pid;

	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	flow_put(_metadata, f, self->size);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct zt own = {};
		struct iovec iov;

		zt_open(_metadata, &own, 16, 16);
		iov = zt_iov(own.win, ZT_PAGES(4));
		if (zt_readv(own.dev, f->to, &iov, 1, NULL, 0) != 1)
			_exit(1);
		iov.iov_base += f->header;
		iov.iov_len -= f->header;
		if (write(p[1], &iov, sizeof(iov)) != sizeof(iov))
			_exit(1);
		if (then)
			execl(then, then, NULL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(zt_same(iov.iov_base, iov.iov_len, self->size) == iov.iov_len ? 0 : 2);
	}
	close(p[1]);
	ASSERT_EQ((ssize_t)sizeof(*at), read(p[0], at, sizeof(*at)));
	close(p[0]);
	return pid;
}

TEST_F(use, another_process_reads_a_payload)
{
	struct iovec at;
	pid_t pid = child_with_payload(_metadata, self, &at, NULL);
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	look_at(_metadata, pid, at, self->size);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
}

TEST_F(use, exit_with_payloads_gives_all_back)
{
	struct zcio_info before = zt_info(_metadata, self->z.ctx), after;
	struct iovec at;
	pid_t pid = child_with_payload(_metadata, self, &at, NULL);
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
	pid_t pid = child_with_payload(_metadata, self, &at, "/bin/true");
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	after = zt_info(_metadata, self->z.ctx);
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(after)));
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
