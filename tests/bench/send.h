/* SPDX-License-Identifier: GPL-2.0 */
/* What the jobs that send share, beside what is in bench.h. */
#ifndef SEND_H
#define SEND_H

#include "bench.h"
#include "zcio.h"

#define PAGES(len)	(((len) + PAGE - 1) / PAGE * PAGE)	/* bytes, up to whole pages */

/* ---- content.c: where what is sent lies ---- */

/* Bytes of the next request of a stream: --size, or what is left. */
size_t request_len(const struct bench *b);
/* Makes the content of the next request, as an application does each time anew. */
void request_make(const struct bench *b, void *to, size_t len);

/* Buffers that are used in turn, where one must not be written while the kernel may read it. */
struct turns {
	char *memory;
	size_t stride;		/* from one to the next */
	size_t count;
};

/* At least @least buffers of a request each, for requests of at least @bytes in all. */
void turns_open(const struct bench *b, struct turns *t, size_t least, size_t bytes);
static inline char *turn(const struct turns *t, size_t i)
{
	return t->memory + i * t->stride;
}

/* Anonymous memory that is there already. */
void *memory(size_t len);
/* A file in memory (tmpfs) with @len bytes of the data from position 0 on. */
int file_of_data(size_t len);

/* Content that stays: its length, and where in it the next request of a stream lies. */
size_t content_len(const struct bench *b);
size_t content_at(const struct bench *b);

/* ---- zerocopy.c: MSG_ZEROCOPY and its completions ---- */

struct zerocopy {
	int fd;
	uint32_t next;		/* the kernel's number of the next send */
	uint32_t done;		/* all sends before this one are complete */
	uint32_t room;		/* of sends that are not */
	struct zerocopy_send {
		uint32_t len;
		bool complete;
	} *sends;		/* by number % room */
};

/* Switches it on; @room is a power of two. */
void zerocopy_open(struct bench *b, struct zerocopy *z, int fd, uint32_t room);
/* Sends it all; the buffer may be written again when z->done has come to what z->next is then. */
void zerocopy_send(struct bench *b, struct zerocopy *z, const char *from, size_t len);
/*
 * Takes one range of completions, most often all that wait, as the kernel joins them; says
 * whether there was one.
 */
bool zerocopy_reap(struct bench *b, struct zerocopy *z);
/* Waits until all sends before number @until are complete. */
void zerocopy_wait(struct bench *b, struct zerocopy *z, uint32_t until);

/* ---- zc_send.c: a context with a pool ---- */

struct zc_sender {
	struct zcio_ctx *ctx;
	char *pool;
};

/* Its pool has memory that the device reaches which @fd sends through. */
void zc_sender_open(struct zc_sender *z, int fd, size_t len);
/* Sends all elements; @iov does not keep what it held. */
void zc_send(struct bench *b, struct zc_sender *z, int fd, struct iovec (*iov)[2], size_t count,
	     unsigned int flags);
/* Moves what the context counted into the result. */
void zc_sender_count(struct bench *b, struct zc_sender *z);

/* ---- ways of tcp_send that have a file of their own ---- */

void tcp_send_zerocopy(struct bench *b);
void tcp_send_uring(struct bench *b);
void tcp_send_vmsplice(struct bench *b);
void tcp_send_zc_writev(struct bench *b);
void tcp_send_zc_writev_swap(struct bench *b);
void tcp_send_zc_writev_many(struct bench *b);
void tcp_send_zc_keep(struct bench *b);

#endif /* SEND_H */
