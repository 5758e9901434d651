// SPDX-License-Identifier: MIT
/*
 * The library and a device that is made up: a file in memory, and functions of this program
 * in the place of open(), mmap() and ioctl(). They fail as the kernel's do, and do what
 * another thread may do, at the very moment when it matters.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64	/* as in the library: the functions are those that it calls */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <zcio.h>
#include "check.h"

#define PAGE	4096UL
#define LEN	(3 * PAGE)
#define ALIGNED	((2UL << 20) - 1)

/* The file, or -1 as long as nothing is made up; how often it was opened, and as what. */
static int device = -1, opened, number;
/* What the device's mmap() fails with, and how many times. */
static int refusal, refusals;
/* Memory of other threads, mapped where the library wanted to map. */
static char *theirs[64];
static int their_count;

static int is_device(int fd)
{
	struct stat ours, it;

	return device >= 0 && !fstat(device, &ours) && !fstat(fd, &it) &&
		ours.st_dev == it.st_dev && ours.st_ino == it.st_ino;
}

int open(const char *path, int flags, ...)
{
	if (device < 0 || strcmp(path, "/dev/zcio"))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
	opened++;
	number = fcntl(device, F_DUPFD_CLOEXEC, 0);
	return number;
}

/* A module that knows ZCIO_IOC_INFO only. */
int ioctl(int fd, unsigned long request, ...)
{
	struct zcio_info *info;
	va_list args;

	if (fcntl(fd, F_GETFD) < 0)
		return -1;
	if (!is_device(fd) || request != ZCIO_IOC_INFO) {
		errno = ENOTTY;
		return -1;
	}
	va_start(args, request);
	info = va_arg(args, struct zcio_info *);
	va_end(args);
	info->version = ZCIO_ABI_VERSION;
	return 0;
}

static void *real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	char *page;

	if (!addr || !is_device(fd) || refusals == 0)
		return real_mmap(addr, len, prot, flags, fd, offset);
	refusals--;
	/* The kernel takes away what is there before it asks a driver, who may refuse. */
	if (flags & MAP_FIXED)
		munmap(addr, len);
	page = real_mmap(addr, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (page != MAP_FAILED) {
		memcpy(page, "theirs", sizeof("theirs"));
		theirs[their_count++] = page;
	}
	errno = refusal;
	return MAP_FAILED;
}

/* Maps and unmaps, the first times in vain. Tells whether it got aligned memory. */
static int map_in_spite_of(struct zcio_ctx *ctx, int err, int times)
{
	char *pool;
	int i, aligned;

	refusal = err;
	refusals = times;
	their_count = 0;
	pool = zcio_pool(ctx, LEN);
	aligned = pool && !((uintptr_t)pool & ALIGNED);
	if (pool) {
		memset(pool, 1, LEN);
		CHECK(!zcio_unmap(pool, LEN));
	} else {
		CHECK(errno == err);
	}
	CHECK(their_count > 0 || times == 0);
	for (i = 0; i < their_count; i++) {
		/* ENOMEM where nothing is mapped */
		if (msync(theirs[i], PAGE, MS_ASYNC)) {
			CHECK(!"the memory of others is there");
			continue;
		}
		CHECK(!strcmp(theirs[i], "theirs"));
		munmap(theirs[i], PAGE);
	}
	return pool ? aligned : -1;
}

static void check_mappings(void)
{
	struct zcio_ctx *ctx = zcio_open();

	CHECK(ctx);
	CHECK(map_in_spite_of(ctx, 0, 0) == 1);
	CHECK(map_in_spite_of(ctx, ENOBUFS, 1) == -1);
	CHECK(their_count == 1);
	/* Another thread was faster: another place. */
	CHECK(map_in_spite_of(ctx, EEXIST, 2) == 1);
	CHECK(their_count == 2);
	/* Always faster: any place. */
	CHECK(map_in_spite_of(ctx, EEXIST, 60) >= 0);
	zcio_close(ctx);
}

static void check_shared_descriptor(void)
{
	struct zcio_info info;
	int i, null, was;

	opened = 0;
	for (i = 0; i < 3; i++) {
		/* older than the library, but the descriptor is ours */
		errno = 0;
		CHECK(zcio_kept(NULL, &info, PAGE) == -1 && errno == ENOTTY);
	}
	CHECK(opened == 1);

	close(number);
	CHECK(!zcio_info(NULL, -1, &info) && info.version == ZCIO_ABI_VERSION);
	CHECK(opened == 2);

	was = number;
	null = open("/dev/null", O_RDWR);
	CHECK(dup2(null, was) == was);
	CHECK(!zcio_info(NULL, -1, &info) && info.version == ZCIO_ABI_VERSION);
	CHECK(opened == 3 && number != was);
	CHECK(fcntl(was, F_GETFD) >= 0 && !is_device(was));

	CHECK(dup2(null, number) == number);
	CHECK(zcio_kept(NULL, &info, PAGE) == -1 && errno == ENOTTY);
	CHECK(zcio_kept(NULL, &info, PAGE) == -1 && errno == ENOTTY);
	CHECK(opened == 4);
	close(was);
	close(null);
}

void check_standin(void)
{
	int fd = memfd_create("device", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, (off_t)ZCIO_MMAP_POOL + (1 << 20)));
	device = fd;
	check_mappings();
	check_shared_descriptor();
	device = -1;
	close(fd);
}
