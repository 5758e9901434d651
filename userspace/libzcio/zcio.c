// SPDX-License-Identifier: MIT
/*
 * libzcio: contexts, windows and pools, and the calls on them. All checking of
 * arguments is the kernel's; the library only finds a descriptor and an address.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64	/* pools begin where a 32-bit offset cannot reach */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zcio.h>

#define DEVICE		"/dev/zcio"
/* What one page of page table spans; windows and pools start at a multiple of it. */
#define ALIGNMENT	((size_t)2 << 20)
/* How often an aligned place is looked for, when other threads take it. */
#define TRIES		8

struct zcio_ctx {
	int fd;
};

static int open_device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENXIO))
		errno = ENODEV;
	return fd;
}

/*
 * The descriptor that calls without a context are issued on; -1 as long as it is
 * not open. It lives as long as the process.
 */
static atomic_int shared_fd = -1;

static int get_shared_fd(void)
{
	int none = -1;
	int fd = atomic_load(&shared_fd);

	if (fd >= 0)
		return fd;
	fd = open_device();
	if (fd < 0)
		return -1;
	if (atomic_compare_exchange_strong(&shared_fd, &none, fd))
		return fd;
	close(fd);	/* another thread was faster */
	return none;
}

/*
 * Programs that turn into daemons close every descriptor, ours too. It is not
 * closed here: the number may be someone else's by now. A module that is older than
 * the call does not know it either, but answers what every module does.
 */
static int shared_fd_lost(int fd, int err)
{
	struct zcio_info info = { .fd = -1 };

	if (err == ENOTTY) {
		if (ioctl(fd, ZCIO_IOC_INFO, &info) >= 0)
			return 0;
	} else if (err != EBADF || fcntl(fd, F_GETFD) >= 0) {
		return 0;
	}
	atomic_compare_exchange_strong(&shared_fd, &fd, -1);
	return 1;
}

static int issue(struct zcio_ctx *ctx, unsigned long request, void *arg)
{
	int fd, ret, err;

	if (ctx)
		return ioctl(ctx->fd, request, arg);
	fd = get_shared_fd();
	if (fd < 0)
		return -1;
	ret = ioctl(fd, request, arg);
	if (ret >= 0)
		return ret;
	err = errno;
	if (!shared_fd_lost(fd, err)) {
		errno = err;
		return -1;
	}
	fd = get_shared_fd();
	return fd < 0 ? -1 : ioctl(fd, request, arg);
}

struct zcio_ctx *zcio_open(void)
{
	struct zcio_ctx *ctx = malloc(sizeof(*ctx));
	int err;

	if (!ctx)
		return NULL;
	ctx->fd = open_device();
	if (ctx->fd >= 0)
		return ctx;
	err = errno;
	free(ctx);
	errno = err;
	return NULL;
}

void zcio_close(struct zcio_ctx *ctx)
{
	if (!ctx)
		return;
	close(ctx->fd);
	free(ctx);
}

int zcio_ctx_fd(const struct zcio_ctx *ctx)
{
	return ctx->fd;
}

/*
 * An aligned address where len bytes are free; NULL with errno. Another thread may
 * map there at any time.
 */
static void *find_room(size_t len)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *room = mmap(NULL, len + ALIGNMENT, PROT_NONE, flags, -1, 0);

	if (room == MAP_FAILED || munmap(room, len + ALIGNMENT))
		return NULL;
	return (void *)(((uintptr_t)room + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
}

/*
 * Maps where nothing is, aligned unless other threads are faster every time. It is not
 * mapped over a reservation: the kernel takes that away first, and if the device
 * refuses then, others may map there, and nobody can tell what to unmap.
 */
static void *map_aligned(int fd, size_t len, int prot, off_t offset)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *start;
	int i;

	if (!len || len % page || len > SIZE_MAX - ALIGNMENT) {
		errno = EINVAL;
		return NULL;
	}
	for (i = 0; i < TRIES; i++) {
		start = find_room(len);
		if (!start)
			return NULL;
		start = mmap(start, len, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, offset);
		if (start != MAP_FAILED)
			return start;
		if (errno != EEXIST)
			return NULL;
	}
	start = mmap(NULL, len, prot, MAP_SHARED, fd, offset);
	return start == MAP_FAILED ? NULL : start;
}

void *zcio_window(struct zcio_ctx *ctx, size_t len, unsigned int flags)
{
	int prot = PROT_READ;

	if (flags & ~ZCIO_WINDOW_WRITABLE) {
		errno = EINVAL;
		return NULL;
	}
	if (flags & ZCIO_WINDOW_WRITABLE)
		prot |= PROT_WRITE;
	return map_aligned(ctx->fd, len, prot, (off_t)ZCIO_MMAP_WINDOW);
}

void *zcio_pool(struct zcio_ctx *ctx, size_t len)
{
	return map_aligned(ctx->fd, len, PROT_READ | PROT_WRITE, (off_t)ZCIO_MMAP_POOL);
}

int zcio_unmap(void *addr, size_t len)
{
	return munmap(addr, len);
}

int zcio_info(struct zcio_ctx *ctx, int fd, struct zcio_info *info)
{
	memset(info, 0, sizeof(*info));
	info->fd = fd;
	return issue(ctx, ZCIO_IOC_INFO, info);
}

int zcio_tune(struct zcio_ctx *ctx, const struct zcio_tune *tune)
{
	return issue(ctx, ZCIO_IOC_TUNE, (void *)tune);
}

int zcio_kept(struct zcio_ctx *ctx, const void *addr, size_t len)
{
	struct zcio_kept kept = { .base = (uintptr_t)addr, .len = len };

	if (issue(ctx, ZCIO_IOC_KEPT, &kept) < 0)
		return -1;
	return (int)(kept.pages - kept.done);
}

int zcio_target(struct zcio_ctx *ctx, int fd)
{
	struct zcio_target target = { .fd = fd };

	return issue(ctx, ZCIO_IOC_TARGET, &target);
}

int zcio_readv(struct zcio_ctx *ctx, struct zcio_readv *call)
{
	return issue(ctx, ZCIO_IOC_READV, call);
}

int zcio_writev(struct zcio_ctx *ctx, struct zcio_writev *call)
{
	return issue(ctx, ZCIO_IOC_WRITEV, call);
}

int zc_readv(int fd, struct iovec *iov, int iovcnt)
{
	struct zcio_readv call = {
		.fd = fd,
		.iovcnt = (__u32)iovcnt,
		.iov = (uintptr_t)iov,
	};

	if (iovcnt <= 0) {
		errno = EINVAL;
		return -1;
	}
	return zcio_readv(NULL, &call);
}

int zc_writev(int fd, const struct iovec (*iov)[2], int iovcnt)
{
	struct zcio_writev call = {
		.fd = fd,
		.iovcnt = (__u32)iovcnt,
		.iov = (uintptr_t)iov,
	};

	if (iovcnt <= 0) {
		errno = EINVAL;
		return -1;
	}
	return zcio_writev(NULL, &call);
}

int zcio_splice(struct zcio_ctx *ctx, const struct zcio_splice *call)
{
	return issue(ctx, ZCIO_IOC_SPLICE, (void *)call);
}

int zcio_unsplice(struct zcio_ctx *ctx, struct zcio_splice_status *status)
{
	return issue(ctx, ZCIO_IOC_UNSPLICE, status);
}

int zcio_splice_status(struct zcio_ctx *ctx, struct zcio_splice_status *status)
{
	return issue(ctx, ZCIO_IOC_SPLICE_STATUS, status);
}

int zc_splice(int source, int drain, int64_t max, const struct timeval *idle)
{
	struct zcio_splice call = { .source = source, .drain = drain, .max = max };

	if (idle) {
		int64_t seconds = idle->tv_sec; /* a time_t may be narrower */

		if (seconds < 0 || seconds >= INT64_MAX / 1000000000 ||
		    idle->tv_usec < 0 || idle->tv_usec >= 1000000) {
			errno = EINVAL;
			return -1;
		}
		call.idle = seconds * 1000000000 + idle->tv_usec * INT64_C(1000);
	}
	return zcio_splice(NULL, &call);
}

int zc_unsplice(int source)
{
	struct zcio_splice_status status = { .fd = source };

	return zcio_unsplice(NULL, &status);
}

int64_t zc_splice_len(int source)
{
	struct zcio_splice_status status = { .fd = source };

	return zcio_splice_status(NULL, &status) < 0 ? -1 : (int64_t)status.moved;
}
