/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What race_readv.c and race_writev.c share: a call that works on a piece of a window or a
 * pool, and what others can do meanwhile to that memory, to the socket, to the context and
 * to the call's array, whichever call it is.
 */
#ifndef MEANWHILE_H
#define MEANWHILE_H

#include "race.h"

#define PATTERN		0x5a	/* in memory that was put over the mapping */
#define ELSEWHERE	((void *)0x500000000000)	/* where nothing is ever mapped */

enum does {
	UNMAPS_ALL,
	UNMAPS_LAST,
	PUTS_MEMORY,
	PROTECTS,
	MOVES,
	DROPS,
	TOUCHES,
	CLOSES_CONTEXT,
	CLOSES_SOCKET,
	SHUTS_DOWN,
	RESETS,
	TUNES,
	UNMAPS_ARRAY,
	FORKS,
	DOES_MORE,	/* from here on: what only one of the two tests has */
};

/* The call is made on z.rx, into or from two elements of the same length. */
struct scene {
	struct zt z;
	struct zcio_ctx *another;
	char *map;		/* the window or the pool */
	size_t map_len;
	char *at;		/* where in it the elements begin */
	size_t len;		/* of both together */
	void *array;		/* in a page of its own */
	int less;		/* protection that forbids what the call does */
	int shut;		/* which half of the connection it uses */
	int does;
	bool moved;		/* what must not move has moved */
};

static inline void scene_open(struct __test_metadata *_metadata, struct scene *s)
{
	s->another = zt_context();
	ASSERT_NE(NULL, s->another);
	s->array = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, s->array);
	s->moved = false;
}

/* Something else is mapped where the elements are. */
static inline void scene_put(struct scene *s, int prot, int flags, int fd, uint64_t offset)
{
	char *p = mmap(s->at, s->len, prot, flags | MAP_FIXED, fd, (off_t)offset);

	if (p == s->at && s->does == PUTS_MEMORY)
		memset(p, PATTERN, s->len);
	s->moved |= p != s->at;
}

static inline void meanwhile(struct scene *s)
{
	volatile char sum = 0;
	pid_t child;

	switch (s->does) {
	case UNMAPS_ALL:
		munmap(s->map, s->map_len);
		break;
	case UNMAPS_LAST:
		munmap(s->at + s->len / 2, s->len / 2);
		break;
	case PUTS_MEMORY:
		scene_put(s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	case PROTECTS:
		mprotect(s->at, s->len, s->less);
		break;
	case MOVES:
		s->moved = mremap(s->map, s->map_len, s->map_len, MREMAP_MAYMOVE | MREMAP_FIXED,
				  ELSEWHERE) != MAP_FAILED;
		break;
	case DROPS:
		madvise(s->at, s->len, MADV_DONTNEED);
		break;
	case TOUCHES:
		for (size_t i = 0; i < s->len; i += ZT_PAGE)
			sum += s->at[i];
		break;
	case CLOSES_CONTEXT:
		zcio_close(s->z.ctx);
		break;
	case CLOSES_SOCKET:
		close(s->z.rx);
		break;
	case SHUTS_DOWN:
		shutdown(s->z.rx, s->shut);
		break;
	case RESETS:
		setsockopt(s->z.tx, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
			   sizeof(struct linger));
		close(s->z.tx);
		break;
	case TUNES:
		for (int i = 0; i < 20; i++)
			ioctl(zcio_ctx_fd(s->z.ctx), ZCIO_IOC_TUNE,
			      &(struct zcio_tune){ .copy_threshold = i % 2 ? 0 : 1 << 30 });
		break;
	case UNMAPS_ARRAY:
		munmap(s->array, ZT_PAGE);
		break;
	case FORKS:
		child = fork();
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
		break;
	}
}

/* Lets go of all, after which nothing is held by anybody. */
static inline void scene_close(struct __test_metadata *_metadata, struct scene *s)
{
	char *end = s->at + s->len;

	/* What was unmapped may be somebody else's by now. */
	if (s->does == UNMAPS_LAST) {
		munmap(s->map, s->at + s->len / 2 - s->map);
		munmap(end, s->map + s->map_len - end);
	} else if (s->does != UNMAPS_ALL) {
		munmap(s->map, s->map_len);
	}
	if (s->does != UNMAPS_ARRAY)
		munmap(s->array, ZT_PAGE);
	if (s->does != CLOSES_SOCKET)
		close(s->z.rx);
	if (s->does != RESETS)
		close(s->z.tx);
	zt_settled(_metadata, s->another, 0, 0);
	if (s->does != CLOSES_CONTEXT)
		zcio_close(s->z.ctx);
	ASSERT_EQ(1, zt_info(_metadata, s->another).total_contexts);
	zcio_close(s->another);
}

#endif /* MEANWHILE_H */
