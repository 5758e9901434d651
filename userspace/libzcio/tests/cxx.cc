// SPDX-License-Identifier: MIT
// The header as C++ sees it: compiled, not run.
#include <zcio.h>

int use(int fd)
{
	struct zcio_ctx *ctx = zcio_open();
	struct zcio_readv call = {};
	struct iovec iov[1] = {};
	const struct iovec areas[1][2] = {};

	call.fd = fd;
	return zc_readv(fd, iov, 1) + zc_writev(fd, areas, 1) + zcio_readv(ctx, &call);
}
