// SPDX-License-Identifier: MIT
/*
 * libzcio: what to say to people. What an errno means here and what to do about
 * it, and the names of the reasons for a copy.
 */
#include <errno.h>
#include <stddef.h>

#include <zcio.h>

const char *zcio_hint(int err)
{
	switch (err) {
	case ENODEV:
		return "There is no /dev/zcio: load the module (modprobe zcio).";
	case EACCES:
	case EPERM:
		return "/dev/zcio may not be opened by this user: look at its owner and mode.";
	case ENOTTY:
		return "The zcio module that is loaded is older than this library.";
	case EINVAL:
		return "An element is wrong, or a flag or reserved field is not zero: regions must be at least "
		       "min_region bytes of whole pages, areas whole pages with the payload and its room inside, "
		       "no two may overlap, at most 1024 in a call. error_index says which element. If why says "
		       "dma, the device does not reach the pool: call zcio_target() before mapping it.";
	case ERANGE:
		return "The device reaches too little memory for a pool: send by ordinary calls.";
	case EFAULT:
		return "A region lies outside every window, an area outside every pool, or the array itself "
		       "cannot be read and written.";
	case EBADF:
	case ENOTSOCK:
		return "The descriptor is not an open socket.";
	case EOPNOTSUPP:
		return "This kind of socket is not supported: use TCP, UDP or AF_PACKET (without PACKET_VNET_HDR).";
	case ENOTCONN:
		return "The socket is not connected.";
	case ENOMEM:
	case ENOBUFS:
		return "A memory limit is reached: raise RLIMIT_MEMLOCK (ulimit -l), make the pool smaller, "
		       "or give regions back by unmapping them.";
	case EBUSY:
		return "The source is the source of a splice already, or the drain is the drain of one.";
	case EPROTO:
		return "The socket is not the source of a splice, or that has ended.";
	case EPROTONOSUPPORT:
		return "Only TCP sockets can be spliced.";
	case EAGAIN:
		return "Nothing is there yet: wait with poll().";
	case EINTR:
		return "A signal came before anything was moved: call again.";
	default:
		return "";
	}
}

const char *zcio_why(unsigned int bit)
{
	static const char *const names[ZCIO_WHY_BITS] = {
		"small", "linear", "shared", "cloned", "writable", "file", "kernel", "pinned",
		"device", "elements", "dma",
	};

	return bit < ZCIO_WHY_BITS ? names[bit] : NULL;
}
