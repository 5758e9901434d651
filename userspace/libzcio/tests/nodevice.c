// SPDX-License-Identifier: MIT
/*
 * What the library answers without the module, and the sizes of the structures,
 * which the Rust crate repeats.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <zcio.h>
#include "check.h"

int failed;

_Static_assert(sizeof(struct zcio_payload) == 96, "size");
_Static_assert(sizeof(struct zcio_readv) == 64, "size");
_Static_assert(sizeof(struct zcio_writev) == 64, "size");
_Static_assert(sizeof(struct zcio_counters) == 160, "size");
_Static_assert(sizeof(struct zcio_info) == 480, "size");
_Static_assert(sizeof(struct zcio_tune) == 64, "size");
_Static_assert(sizeof(struct zcio_target) == 64, "size");
_Static_assert(sizeof(struct zcio_kept) == 64, "size");
_Static_assert(sizeof(struct zcio_splice) == 64, "size");
_Static_assert(sizeof(struct zcio_splice_status) == 64, "size");
_Static_assert(offsetof(struct zcio_writev, taken) == 32, "offset");
_Static_assert(offsetof(struct zcio_info, rx) == 96, "offset");
_Static_assert(ZCIO_WHY_BITS == 11, "names in hint.c and in the Rust crate");
_Static_assert(ZCIO_MMAP_POOL == 0x10000000000ULL, "value");

int main(void)
{
	const struct iovec areas[1][2] = { 0 };
	struct iovec iov[1] = { 0 };
	unsigned int bit;

	errno = 0;
	CHECK(zc_readv(0, iov, 0) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(zc_readv(0, iov, -1) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(zc_writev(0, areas, 0) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(zc_writev(0, areas, -5) == -1 && errno == EINVAL);
	if (access("/dev/zcio", F_OK) < 0) {
		errno = 0;
		CHECK(!zcio_open() && errno == ENODEV);
		errno = 0;
		CHECK(zc_readv(0, iov, 1) == -1 && errno == ENODEV);
		errno = 0;
		CHECK(zcio_kept(NULL, iov, 4096) == -1 && errno == ENODEV);
		errno = 0;
		CHECK(zc_splice(0, 1, 0, NULL) == -1 && errno == ENODEV);
		errno = 0;
		CHECK(zc_unsplice(0) == -1 && errno == ENODEV);
		errno = 0;
		CHECK(zc_splice_len(0) == -1 && errno == ENODEV);
	}
	CHECK(strstr(zcio_hint(ENODEV), "modprobe"));
	CHECK(zcio_hint(0)[0] == '\0');
	for (bit = 0; bit < ZCIO_WHY_BITS; bit++)
		CHECK(zcio_why(bit));
	CHECK(!zcio_why(ZCIO_WHY_BITS));
	zcio_close(NULL);
	check_standin();
	return failed;
}
