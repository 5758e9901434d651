// SPDX-License-Identifier: GPL-2.0
/* zcio-bench: does one job in one way, once, and says as JSON what that cost. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static const struct job *const jobs[] = {
	&tcp_receive, &tcp_send, &fanout, &udp_receive, &udp_send, &rr, &rr_upload,
	&relay_tcp, &relay_rr, &relay_udp,
};

void die(const char *what)
{
	fprintf(stderr, "zcio-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

void unable(struct bench *b, const char *format, ...)
{
	va_list args;

	printf("{\"job\": \"%s\", \"way\": \"%s\", \"size\": %zu, \"unable\": \"", b->job->name, b->way->name,
	       b->size);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\"}\n");
	exit(0);
}

void beside(const char *name, char *path, size_t room)
{
	ssize_t n = readlink("/proc/self/exe", path, room - 1);
	char *last;

	if (n < 0)
		die("/proc/self/exe");
	path[n] = '\0';
	last = strrchr(path, '/') + 1;
	if ((size_t)snprintf(last, room - (last - path), "%s", name) >= room - (last - path)) {
		errno = ENAMETOOLONG;
		die(name);
	}
}

static void list(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		printf("%s: %s\n", jobs[i]->name, jobs[i]->about);
		for (size_t j = 0; j < jobs[i]->ways_count; j++)
			printf("    %-14s %s\n", jobs[i]->ways[j].name, jobs[i]->ways[j].about);
	}
}

static void find(struct bench *b, struct argp_state *state, const char *job, const char *way)
{
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		if (!strcmp(jobs[i]->name, job))
			b->job = jobs[i];
	if (!b->job)
		argp_error(state, "there is no job '%s'; --list shows what there is", job);
	for (size_t i = 0; i < b->job->ways_count; i++)
		if (!strcmp(b->job->ways[i].name, way))
			b->way = &b->job->ways[i];
	if (!b->way)
		argp_error(state, "'%s' is no way to do '%s'; --list shows what there is", way, job);
	if (b->job->senders && !b->job->senders(b->sender))
		argp_error(state, "the peer of '%s' does not send by '%s'", job, b->sender);
	if (b->threads && !b->job->threads)
		argp_error(state, "'%s' is done by one thread", job);
	if (b->threads)
		b->connections = b->threads;
}

static uint64_t number(struct argp_state *state, const char *text, uint64_t most)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (!*text || *end || !value || value > most)
		argp_error(state, "'%s' is no number from 1 to %llu", text, (unsigned long long)most);
	return value;
}

static const char *names[2];

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct bench *b = state->input;

	switch (key) {
	case 's':
		b->size = number(state, arg, 1 << 30);
		return 0;
	case 'b':
		b->bytes = number(state, arg, 1ULL << 40);
		return 0;
	case 'c':
		b->connections = number(state, arg, 100000);
		return 0;
	case 'C':
		b->check = true;
		return 0;
	case 'u':
		b->untouched = true;
		return 0;
	case 'S':
		b->sender = arg;
		return 0;
	case 'r':
		b->room = number(state, arg, 1 << 30);
		return 0;
	case 't':
		b->threads = number(state, arg, 64);
		return 0;
	case 'a':
		b->apart = true;
		return 0;
	case 'w':
		b->whole_pages = true;
		return 0;
	case 'm':
		printf("%d\n", whole_pages() ? maxseg_of(whole_pages()) : 0);
		exit(0);
	case 'l':
		list();
		exit(0);
	case ARGP_KEY_ARG:
		if (state->arg_num >= ARRAY_SIZE(names))
			return ARGP_ERR_UNKNOWN;
		names[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < ARRAY_SIZE(names))
			argp_error(state, "a job and a way are needed; --list shows what there is");
		find(b, state, names[0], names[1]);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "size", 's', "BYTES", 0, "of one request (65536)" },
	{ "bytes", 'b', "BYTES", 0, "to move in all (67108864)" },
	{ "connections", 'c', "N", 0, "between the two sides (1)" },
	{ "check", 'C', NULL, 0, "compare every byte that comes; then the times mean nothing" },
	{ "untouched", 'u', NULL, 0, "do not look at what was received, or make what is sent" },
	{ "sender", 'S', "KIND", 0, "of jobs that receive: how the peer sends: send (default), zerocopy, zc, gso" },
	{ "whole-pages", 'w', NULL, 0, "TCP: the other side's segments carry whole pages, for every way" },
	{ "room", 'r', "BYTES", 0,
	  "what the window or pool of our ways of tcp_receive and tcp_send holds (what a request needs)" },
	{ "threads", 't', "N", 0, "of the TCP streams: a thread for each of so many connections" },
	{ "apart", 'a', NULL, 0,
	  "of relays: the rig keeps the two sides' network work apart, so tell what the relay's side takes" },
	{ "maxseg", 'm', NULL, 0, "say what TCP_MAXSEG makes segments of whole pages here; 0: nothing does" },
	{ "list", 'l', NULL, 0, "the jobs, and the ways to do each" },
	{ 0 },
};

static const struct argp argp = {
	options, parse, "JOB WAY",
	"Does one job in one way, once, in the rig's guest, and says as JSON what that cost the measured side.",
};

int main(int argc, char **argv)
{
	struct bench b = { .size = 65536, .bytes = 64 << 20, .connections = 1, .sender = "send" };
	int child, status;
	char go;

	argp_parse(&argp, argc, argv, 0, NULL, &b);
	/* A side whose other one failed says so, rather than to vanish. */
	signal(SIGPIPE, SIG_IGN);
	if (b.job->prepare)
		b.job->prepare(&b);
	child = ends_open(&b);
	if (!child) {
		if (read(b.say, &go, 1) != 1)
			return 0;	/* the way cannot be gone */
		threads_run(&b, b.job->peer);
		return write(b.say, "d", 1) != 1;
	}
	threads_run(&b, b.way->run);
	bench_print(&b);
	ends_close(&b);
	if (waitpid(child, &status, 0) != child || status)
		die("the peer failed");
	return 0;
}
