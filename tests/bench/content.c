// SPDX-License-Identifier: GPL-2.0
/* Where what is sent lies: buffers in turn, a file, and what of them the next request sends. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "send.h"

/* Bytes of content that stays; whole periods of the data, so that it can begin again. */
#define CONTENT		(64 * DATA_PERIOD)

size_t request_len(const struct bench *b)
{
	uint64_t left = b->bytes - b->moved;

	return left < b->size ? left : b->size;
}

void request_make(const struct bench *b, void *to, size_t len)
{
	if (b->check || !b->untouched)
		data_fill(to, b->moved, len);
}

void *memory(size_t len)
{
	void *m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (m == MAP_FAILED)
		die("memory");
	return m;
}

void turns_open(const struct bench *b, struct turns *t, size_t least, size_t bytes)
{
	/* Small ones share pages, as an allocator would have it; none shares a cache line. */
	t->stride = b->size < PAGE ? (b->size + 63) / 64 * 64 : PAGES(b->size);
	t->count = (bytes + b->size - 1) / b->size;
	if (t->count < least)
		t->count = least;
	t->memory = memory(t->count * t->stride);
}

int file_of_data(size_t len)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *map;

	if (fd < 0 || ftruncate(fd, len))
		die("a file in /dev/shm");
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die("mapping a file in /dev/shm");
	data_fill(map, 0, len);
	munmap(map, len);
	return fd;
}

size_t content_len(const struct bench *b)
{
	return PAGES(CONTENT + b->size);
}

/*
 * With --check a request must have the bytes of its position in the stream, so it goes on
 * where the last one ended, and somewhere in a page. Without, each begins with a page, as parts
 * of files and cached answers do: those are the times that count.
 */
size_t content_at(const struct bench *b)
{
	size_t stride = PAGES(b->size), count = CONTENT / stride;

	if (b->check)
		return b->moved % CONTENT;
	return count ? b->moved / b->size % count * stride : 0;
}
