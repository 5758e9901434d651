/* SPDX-License-Identifier: MIT */
/*
 * libzcio: zero-copy socket I/O. See zcio(7), zc_readv(3), zc_writev(3).
 *
 * The two calls of the "[RFC] Extension to POSIX API for zero-copy data
 * transfers" with its own prototypes, the memory they work on, and an extended
 * form of each. All functions may be called from any thread. Those that return
 * int return -1, those that return a pointer NULL, and set errno, on failure.
 *
 * The structures and constants come from the kernel module's <linux/zcio.h>.
 */
#ifndef ZCIO_H
#define ZCIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <linux/zcio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A context: one open of /dev/zcio, with its own limits and counters. */
struct zcio_ctx;

/* Flags of zcio_window(). */
#define ZCIO_WINDOW_WRITABLE	1U	/* the application may write to received payloads */

/*
 * zc_readv - receive payloads without copying them
 *
 * In: each element is a region of a window, in which one payload may lie.
 * Out: the first N elements say where payloads lie, N being the return value;
 * the others are untouched. Blocks as readv() does. Whatever the regions held
 * before is gone on success, also in the untouched ones; what lies in other
 * regions stays as it is.
 *
 * Returns N, or 0 at the end of the stream, or -1 with errno; then nothing has
 * left the socket, nothing is mapped, and iov is as it was.
 */
int zc_readv(int fd, struct iovec *iov, int iovcnt);

/*
 * zc_writev - send payloads without copying them
 *
 * iov[i][0] is a whole area of a pool (page-aligned, whole pages), iov[i][1] the
 * payload in it. When the call returns, the areas of the payloads taken read as
 * zeros and may be written at once: that cannot change what the peer gets.
 *
 * Returns how many payloads were taken whole; fewer than iovcnt on a non-blocking
 * socket, or if a signal, a time-out or an error came after the first bytes. The next one
 * may have been taken in part: see zcio_writev(), which says how far. -1 with errno:
 * nothing was sent, and every area is as it was.
 */
int zc_writev(int fd, const struct iovec (*iov)[2], int iovcnt);

/*
 * zcio_open - open a context
 * ENODEV: there is no /dev/zcio (the module is not loaded).
 */
struct zcio_ctx *zcio_open(void);

/*
 * zcio_close - close a context; NULL is allowed
 * Its windows and pools stay mapped, and usable, until they are unmapped.
 */
void zcio_close(struct zcio_ctx *ctx);

/* zcio_ctx_fd - the context's descriptor, for ioctl(); it stays the library's */
int zcio_ctx_fd(const struct zcio_ctx *ctx);

/*
 * zcio_window - map a window of len bytes (a multiple of the page size)
 *
 * Takes no memory until payloads arrive. Starts at a multiple of 2 MiB, so that
 * threads with a window each do not contend for a page table (at any page, if threads
 * that map at the same time take all such places). Reads as zeros
 * where no payload lies. flags: 0 or ZCIO_WINDOW_WRITABLE.
 */
void *zcio_window(struct zcio_ctx *ctx, size_t len, unsigned int flags);

/*
 * zcio_pool - map a pool of len bytes (a multiple of the page size)
 *
 * To send through a device that does not reach all memory, call zcio_target() before.
 * Its pages are allocated and charged to RLIMIT_MEMLOCK (ENOMEM, ENOBUFS at the
 * limit) and read as zeros. Starts where a window would.
 */
void *zcio_pool(struct zcio_ctx *ctx, size_t len);

/* zcio_unmap - unmap a window or pool, or whole pages of one */
int zcio_unmap(void *addr, size_t len);

/*
 * zcio_info - what can be done here, and the context's counters
 * fd: a socket to ask about (head and tail room, smallest region), or -1.
 */
int zcio_info(struct zcio_ctx *ctx, int fd, struct zcio_info *info);

/*
 * zcio_tune - change the context's settings
 * copy_threshold: calls that move fewer bytes copy them, as do those that receive a stream of
 * pieces below a page; 0 copies only what must be.
 */
int zcio_tune(struct zcio_ctx *ctx, const struct zcio_tune *tune);

/*
 * zcio_readv, zcio_writev - the extended form of the calls
 *
 * They tell of each payload whether it was mapped or copied and why, which
 * element an error is about, how far a payload was taken, and have flags; see
 * <linux/zcio.h>. ctx may be NULL, and need not be the one that the memory
 * belongs to.
 */
int zcio_readv(struct zcio_ctx *ctx, struct zcio_readv *call);
int zcio_writev(struct zcio_ctx *ctx, struct zcio_writev *call);

/*
 * zcio_kept - is an area that was sent with ZCIO_KEEP still in use?
 *
 * addr, len: whole pages of a pool. Returns how many of them somebody still reads;
 * when it is 0, they may be changed. ctx may be NULL.
 */
int zcio_kept(struct zcio_ctx *ctx, const void *addr, size_t len);

/*
 * zcio_target - what pools are to be made for
 *
 * Pools that are mapped from ctx afterwards have memory that the device reaches which
 * fd sends through, a connected socket or a bound AF_PACKET socket; -1: any memory.
 * ERANGE: no memory is certain to be within its reach.
 */
int zcio_target(struct zcio_ctx *ctx, int fd);

/*
 * zc_splice - splice two TCP sockets, or two UDP sockets
 *
 * What comes to source, or is queued there, is sent on drain by the kernel, without a copy,
 * until one of them ends it, max bytes were moved (0: no maximum), or nothing was moved for
 * idle (NULL or 0: no limit). One way; call it twice for both. Then the source becomes
 * readable, and its error (SO_ERROR) says why: 0 at the end of file, EPIPE when the drain
 * cannot send, EFBIG at the maximum, ETIMEDOUT. The splice lasts as long as the process, or
 * until the first of them is closed.
 */
int zc_splice(int source, int drain, int64_t max, const struct timeval *idle);

/*
 * zc_unsplice - stop the splice that source is the source of
 * When it returns, nothing moves any more. EPROTO: there is none, or it has ended.
 */
int zc_unsplice(int source);

/* zc_splice_len - bytes moved by the splice that source is the source of, or was last */
int64_t zc_splice_len(int source);

/*
 * zcio_splice, zcio_unsplice, zcio_splice_status - the extended form
 *
 * zcio_splice() returns 0, or with ZCIO_SPLICE_HANDLE a descriptor that poll() tells to be
 * readable when the splice has ended; closing it ends the splice. The splice ends with ctx,
 * and ctx knows how it ended; NULL: the process. See <linux/zcio.h>.
 */
int zcio_splice(struct zcio_ctx *ctx, const struct zcio_splice *call);
int zcio_unsplice(struct zcio_ctx *ctx, struct zcio_splice_status *status);
int zcio_splice_status(struct zcio_ctx *ctx, struct zcio_splice_status *status);

/*
 * zcio_hint - what to do about an errno that one of these functions gave
 * One sentence, never NULL, not to be freed; "" if there is nothing to say.
 */
const char *zcio_hint(int err);

/* zcio_why - short name of a reason, by its bit number; NULL from ZCIO_WHY_BITS on */
const char *zcio_why(unsigned int bit);

#ifdef __cplusplus
}
#endif

#endif /* ZCIO_H */
