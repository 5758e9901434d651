// SPDX-License-Identifier: GPL-2.0
/* What a run costs: time of the process and of the whole guest, faults, latencies; as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

uint64_t nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t microseconds(struct timeval t)
{
	return t.tv_sec * 1000000ULL + t.tv_usec;
}

/* Of all processors: what /proc/stat's first line says, without idle and waiting. */
static uint64_t guest_busy(void)
{
	uint64_t ticks[8] = {};
	FILE *file = fopen("/proc/stat", "re");

	if (!file || fscanf(file, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
			    " %" SCNu64 " %" SCNu64 " %" SCNu64, &ticks[0], &ticks[1], &ticks[2], &ticks[3],
			    &ticks[4], &ticks[5], &ticks[6], &ticks[7]) != 8)
		die("/proc/stat");
	fclose(file);
	return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) * 1000000 / sysconf(_SC_CLK_TCK);
}

static struct usage now(void)
{
	struct rusage self;

	getrusage(RUSAGE_SELF, &self);
	return (struct usage) {
		.wall = nanoseconds() / 1000,
		.user = microseconds(self.ru_utime),
		.system = microseconds(self.ru_stime),
		.guest = guest_busy(),
		.faults = self.ru_minflt,
	};
}

static void start(struct bench *b)
{
	b->before = now();
	/* Last here, and first at the end: what it takes to look is not the side's. */
	if (b->job->busy)
		b->job->busy(b, &b->before);
	if (write(b->say, "g", 1) != 1)
		die("telling the peer to begin");
}

void bench_start(struct bench *b)
{
	threads_meet(b, start);
}

static void stop(struct bench *b)
{
	struct usage side = {};
	uint64_t end;
	char done;

	if (!b->job->busy)
		b->after = now();
	/* The time until the peer has all counts, the process's does not; of a relay it is all one. */
	if (read(b->say, &done, 1) != 1)
		die("the peer did not come to its end");
	end = nanoseconds() / 1000;
	if (b->job->busy) {
		b->job->busy(b, &side);
		b->after = now();
		b->after.side = side.side;
		b->after.card = side.card;
	}
	b->after.wall = end;
	b->after.guest = guest_busy();
}

void bench_stop(struct bench *b)
{
	threads_meet(b, stop);
}

void bench_latency(struct bench *b, uint64_t ns)
{
	if (b->latencies_count == b->latencies_room) {
		b->latencies_room = b->latencies_room ? 2 * b->latencies_room : 4096;
		b->latencies = realloc(b->latencies, b->latencies_room * sizeof(*b->latencies));
		if (!b->latencies)
			die("memory");
	}
	b->latencies[b->latencies_count++] = ns;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void field(const char *name, uint64_t value)
{
	printf(", \"%s\": %" PRIu64, name, value);
}

void bench_print(const struct bench *b)
{
	const struct usage *from = &b->before, *to = &b->after;

	printf("{\"job\": \"%s\", \"way\": \"%s\"", b->job->name, b->way->name);
	if (b->job->senders) {
		printf(", \"sender\": \"%s\"", b->sender);
		field("segment", b->segment);
	}
	field("size", b->size);
	field("connections", b->connections);
	field("threads", b->threads);
	field("room", b->room);
	field("bytes", b->moved);
	field("lost", b->lost);
	field("wall_us", to->wall - from->wall);
	field("user_us", to->user - from->user);
	field("system_us", to->system - from->system);
	field("guest_us", to->guest - from->guest);
	if (to->side) {
		field("side_ns", to->side - from->side);
		field("card_ns", to->card - from->card);
	}
	field("faults", to->faults - from->faults);
	field("calls", b->calls);
	field("payloads", b->payloads);
	field("mapped", b->mapped);
	field("copied", b->copied);
	field("checked", b->check);
	if (b->latencies_count) {
		uint64_t *all = b->latencies;
		size_t n = b->latencies_count;

		qsort(all, n, sizeof(*all), by_size);
		field("requests", n);
		field("p50_ns", all[n / 2]);
		field("p99_ns", all[n - 1 - n / 100]);
		field("p999_ns", all[n - 1 - n / 1000]);
	}
	printf("}\n");
	fflush(stdout);
}
