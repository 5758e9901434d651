// SPDX-License-Identifier: GPL-2.0
/*
 * A job by many threads at once: a connection for each, and all that the way takes, a context and
 * memory of its own among it. They begin together, and the job ends with the last of them; what it
 * cost is that of the process. The peer has as many threads.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "bench.h"

struct group {
	struct bench *whole;
	void (*run)(struct bench *b);
	pthread_barrier_t barrier;
};

void threads_meet(struct bench *b, void (*what)(struct bench *b))
{
	if (!b->group) {
		what(b);
		return;
	}
	if (pthread_barrier_wait(&b->group->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
		what(b->group->whole);
	pthread_barrier_wait(&b->group->barrier);
}

static void *thread(void *part)
{
	struct bench *b = part;

	b->group->run(b);
	return NULL;
}

/* Each has its connection and its share of the bytes. */
static struct bench part_of(struct group *g, unsigned int i)
{
	struct bench part = *g->whole;
	uint64_t share = part.bytes / part.threads;

	part.fds += i;
	part.connections = 1;
	part.bytes = i ? share : part.bytes - share * (part.threads - 1);
	part.group = g;
	return part;
}

static void add(struct bench *whole, const struct bench *part)
{
	whole->moved += part->moved;
	whole->calls += part->calls;
	whole->payloads += part->payloads;
	whole->mapped += part->mapped;
	whole->copied += part->copied;
}

void threads_run(struct bench *b, void (*run)(struct bench *b))
{
	struct group g = { .whole = b, .run = run };
	pthread_t *threads;
	struct bench *parts;

	if (!b->threads) {
		run(b);
		return;
	}
	threads = calloc(b->threads, sizeof(*threads));
	parts = calloc(b->threads, sizeof(*parts));
	if (!threads || !parts || pthread_barrier_init(&g.barrier, NULL, b->threads))
		die("memory");
	for (unsigned int i = 0; i < b->threads; i++) {
		parts[i] = part_of(&g, i);
		errno = pthread_create(&threads[i], NULL, thread, &parts[i]);
		if (errno)
			die("a thread");
	}
	for (unsigned int i = 0; i < b->threads; i++) {
		pthread_join(threads[i], NULL);
		add(b, &parts[i]);
	}
}
