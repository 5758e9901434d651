// SPDX-License-Identifier: GPL-2.0
/*
 * What the jobs of relays share: the two processes on the other side, and what the relay's own
 * side costs.
 *
 * A relay in the kernel works in softirqs and work queues, so its process's time says nothing,
 * and the whole guest's has the other side in it, which is the larger part. With --apart the two
 * sides are told from each other:
 *
 * - By processors, if there are two: the rig lets this side's packets be looked after by processor
 *   0 only, the other side's by the others only (tests/rig/in_guest.py), the processes are bound
 *   likewise, and works run where the packets are. Then all that processor 0 does is the relay's.
 * - On one processor: of all that was done, that is the relay's which neither the other side's two
 *   processes did nor the thread of its device.
 *
 * What the processors did is the scheduler's account of tasks, in nanoseconds. Interrupts
 * that meet an idle processor are not in it; so the network's work has to be done in threads.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

/* What the other side's processes tell. */
static struct {
	uint64_t ns;			/* processor time */
	uint64_t lost;
} *theirs;

/* Of devices: those that look after them. */
static struct threads {
	char pids[8][16];
	size_t count;
} our_card, their_card;

static long processors(void)
{
	static long count;

	if (!count)
		count = sysconf(_SC_NPROCESSORS_ONLN);
	return count;
}

/* To the first processor, or to all others. */
static void bind_to(bool first)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (long i = first ? 0 : 1; i < (first ? 1 : processors()); i++)
		CPU_SET(i, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("binding to a processor");
}

/* ---- the other side ---- */

static uint64_t own_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* @before: what the process had taken when the run began. */
static void do_and_tell(struct bench *b, void (*side)(struct bench *b), uint64_t before)
{
	side(b);
	__atomic_add_fetch(&theirs->ns, own_ns() - before, __ATOMIC_RELAXED);
}

void relay_sides(struct bench *b, void (*source)(struct bench *b), void (*sink)(struct bench *b))
{
	uint64_t before = own_ns();
	struct bench end = *b;
	int say[2], status;
	pid_t child;

	if (b->apart && processors() > 1)
		bind_to(false);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, say))
		die("memory");
	child = fork();
	if (child < 0)
		die("fork");
	end.say = say[child ? 0 : 1];
	close(say[child ? 1 : 0]);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		end.fds += b->connections;
		do_and_tell(&end, sink, 0);
		_exit(0);
	}
	do_and_tell(&end, source, before);
	if (waitpid(child, &status, 0) != child || status) {
		fprintf(stderr, "zcio-bench: the relay's sink failed\n");
		exit(1);
	}
	theirs->lost = end.lost;
}

/* Whoever observes the run from outside takes bench_stop() for its end. */
void relay_wait(struct bench *b)
{
	struct pollfd p = { .fd = b->say, .events = POLLIN };

	if (poll(&p, 1, -1) != 1)
		die("waiting for the peer");
}

uint64_t relay_lost(void)
{
	return theirs->lost;
}

/* ---- what this side costs ---- */

/* Nanoseconds in which tasks ran, on processor @cpu, or on all if that is -1. */
static uint64_t tasks_ns(int cpu)
{
	FILE *file = fopen("/proc/schedstat", "re");
	uint64_t ns, sum = 0;
	char line[1024];
	int which;

	if (!file)
		die("/proc/schedstat");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "cpu%d %*u %*u %*u %*u %*u %*u %" SCNu64, &which, &ns) == 2 &&
		    (cpu < 0 || which == cpu))
			sum += ns;
	fclose(file);
	return sum;
}

/* The first line of /proc/@pid/@name; false if there is none (any more). */
static bool line_of(const char *pid, const char *name, char *line, int room)
{
	char path[300];
	FILE *file;
	bool there;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	file = fopen(path, "re");
	there = file && fgets(line, room, file);
	if (file)
		fclose(file);
	return there;
}

/*
 * The threads that look after a device: its own, or those of processor 0, where what comes over
 * the device waits with that of others.
 */
static void threads_find(struct threads *t, const char *device)
{
	char own[32], line[256];
	DIR *all = opendir("/proc");

	if (!all)
		die("/proc");
	snprintf(own, sizeof(own), "napi/%s-", device);
	for (struct dirent *e; (e = readdir(all)) && t->count < ARRAY_SIZE(t->pids);)
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9' && line_of(e->d_name, "comm", line, sizeof(line)) &&
		    (!strncmp(line, own, strlen(own)) || !strcmp(line, "backlog_napi/0\n")))
			snprintf(t->pids[t->count++], sizeof(t->pids[0]), "%.15s", e->d_name);
	closedir(all);
}

static uint64_t threads_ns(const struct threads *t)
{
	uint64_t one, sum = 0;
	char line[256];

	for (size_t i = 0; i < t->count; i++) {
		if (!line_of(t->pids[i], "schedstat", line, sizeof(line)) || sscanf(line, "%" SCNu64, &one) != 1)
			die("the time of a device's thread");
		sum += one;
	}
	return sum;
}

void relay_prepare(struct bench *b)
{
	theirs = mmap(NULL, sizeof(*theirs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (theirs == MAP_FAILED)
		die("memory");
	if (!b->apart)
		return;
	threads_find(&our_card, device_of(false));
	threads_find(&their_card, device_of(true));
	if (processors() > 1)
		bind_to(true);
}

void relay_busy(struct bench *b, struct usage *usage)
{
	if (!b->apart || (processors() == 1 && !their_card.count))
		return;
	/* A task's time is added when it gives the processor up: also ours so far. */
	usleep(1000);
	usage->side = processors() > 1 ? tasks_ns(0) : tasks_ns(-1) - threads_ns(&their_card) - theirs->ns;
	usage->card = threads_ns(&our_card);
}
