/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of zcio-bench share: a job (something users do with sockets), the ways to do
 * it (ours, and what they would take instead), and what is counted while one does.
 *
 * One run does one job in one way, once. It forks: the parent, in the namespace at home, is
 * the side that is measured; the child, in the peer's, is what it talks to, always the same
 * for all ways of a job. Who runs what in which order is for tests/bench/cells.py.
 */
#ifndef BENCH_H
#define BENCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PAGE		4096UL
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct bench;
struct group;
struct usage;

/* One way to do a job. */
struct way {
	const char *name;
	const char *about;		/* one line: which calls */
	/*
	 * Does the job with bench.fds. Prepares, calls bench_start(), does it, calls
	 * bench_stop(); what is outside of these two is not measured.
	 */
	void (*run)(struct bench *b);
	/* Those who take this way have TCP segments with whole pages of payload (see ends.c). */
	bool whole_pages;
};

struct job {
	const char *name;
	const char *about;
	void (*prepare)(struct bench *b);	/* before the fork; or NULL */
	int type;			/* SOCK_STREAM: connected pairs are made; SOCK_DGRAM: bound ones */
	unsigned int legs;		/* of a connection: 1, or 2 of a relay's; 0 is 1 */
	/* Fills usage.side and usage.card, if anybody knows; NULL: the measured side is the process. */
	void (*busy)(struct bench *b, struct usage *usage);
	/*
	 * The child: what the measured side talks to, over bench.fds of its own. Called after
	 * bench_start() of the parent; returns when all is done.
	 */
	void (*peer)(struct bench *b);
	/* Whether that peer can send so; NULL if it does not go by --sender. */
	bool (*senders)(const char *kind);
	bool threads;			/* it goes by fds[0] alone, so that each thread can have one */
	const struct way *ways;
	size_t ways_count;
};

/* What is counted. Times are microseconds. */
struct usage {
	uint64_t wall, user, system;	/* of the measured process */
	uint64_t guest;			/* all processors' time that was not idle */
	/* Nanoseconds that the measured side took so far, and the threads of its device of that. */
	uint64_t side, card;
	uint64_t faults;		/* minor page faults */
};

struct bench {
	/* What is asked for. */
	const struct job *job;
	const struct way *way;
	size_t size;			/* bytes of a request */
	uint64_t bytes;			/* to be moved, in all */
	unsigned int connections;
	bool check;			/* compare every byte; then times mean nothing */
	bool untouched;			/* the application does not look at the data */
	const char *sender;		/* how the peer of a receiving job sends */
	bool whole_pages;		/* TCP segments of the peer carry whole pages, also if the way says nothing */
	size_t room;			/* bytes that the window or pool of our ways holds; 0: what a request needs */
	unsigned int threads;		/* with a connection each; 0: just this one */
	bool apart;			/* the rig keeps the two sides' network work apart, see relay.c */

	/* What there is to work with. */
	int *fds;			/* connections of them, of each leg: the first legs, the second ones */
	int say;			/* to the other process, see bench_start() */
	struct group *group;		/* of threads, see threads.c; or NULL */
	size_t segment;			/* most payload of the peer's TCP segments; 0: what the path has */

	/* What came of it; the way counts it. */
	uint64_t moved;			/* bytes */
	uint64_t lost;			/* datagrams that were sent and did not come */
	uint64_t calls;			/* system calls for it */
	uint64_t payloads;		/* mapped or copied pieces, if the way tells them */
	uint64_t mapped, copied;	/* bytes, if the way tells them */
	uint64_t *latencies;		/* nanoseconds, of requests, see bench_latency() */
	size_t latencies_count, latencies_room;
	uint64_t *shared;		/* of a job's prepare(): memory that the child has too */
	struct usage before, after;
};

/* ---- main.c ---- */

/* Ends the run: something failed that should not have. @what is followed by errno's text. */
_Noreturn void die(const char *what);
/* Ends the run: this way cannot be gone here, and why. Says so as the result. */
_Noreturn void unable(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The path of file @name that lies beside this program; @room bytes for it. */
void beside(const char *name, char *path, size_t room);

/* ---- measure.c ---- */

/* From here on it counts, and the child begins. */
void bench_start(struct bench *b);
/* Waits until the child has all; up to here it counts. */
void bench_stop(struct bench *b);
uint64_t nanoseconds(void);
/* Notes how long one request took. */
void bench_latency(struct bench *b, uint64_t ns);
/* Prints the result: one JSON object on one line. */
void bench_print(const struct bench *b);

/* ---- threads.c: a job by many threads at once ---- */

/* Does @run, of a way or a peer, with --threads if there are to be any. */
void threads_run(struct bench *b, void (*run)(struct bench *b));
/* Does @what once, when all threads have come here; or at once, where there is but one. */
void threads_meet(struct bench *b, void (*what)(struct bench *b));

/* ---- data.c: what is sent, byte by byte, from its position in the stream ---- */

/* It begins again after so many bytes: a prime, so that no page has the same bytes as the last. */
#define DATA_PERIOD	65521UL

/* Writes the bytes of positions @at to @at + @len. */
void data_fill(void *to, uint64_t at, size_t len);
/* Reads as an application does: one word of each cache line; or, with --check, all of it. */
void data_take(struct bench *b, const void *from, uint64_t at, size_t len);

/* ---- ends.c: sockets of both sides ---- */

struct address {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

/* The address of the measured side, or of its peer; port 0. */
struct address address_of(bool peer);
/* The device of the measured side, or of its peer. */
const char *device_of(bool peer);
/* Whether what is sent stays in this machine's memory: no device has a copy of its own. */
bool peer_is_local(void);
/* What TCP_MAXSEG is to be for segments with so much payload. */
int maxseg_of(size_t payload);
/* The most payload of a segment here that is whole pages; 0: the path has no room for a page. */
size_t whole_pages(void);
/* Sockets of either side. */
static inline unsigned int ends_count(const struct bench *b)
{
	return b->connections * (b->job->legs ? b->job->legs : 1);
}

/* Moves this process into the peer's network namespace, if it has one of its own. */
void enter_peer(void);
/* All connections between parent and child, into bench.fds of each; forks. Returns 0 in the child. */
int ends_open(struct bench *b);
/* The parent's end of each is closed, so that nothing of them stays; the child has come to its end. */
void ends_close(struct bench *b);

/* ---- senders.c: how the peer of a receiving job sends its stream ---- */

/* Whether there is such a kind of sender. */
bool sender_known(const char *kind);
/* Sends bench.bytes over @fd in the way of bench.sender; all have left when it returns. */
void send_stream(struct bench *b, int fd);

/* ---- jobs, one file each ---- */

extern const struct job tcp_receive;
extern const struct job tcp_send;
extern const struct job fanout;
extern const struct job udp_receive;
extern const struct job udp_send;
extern const struct job rr;
extern const struct job rr_upload;
extern const struct job relay_tcp;
extern const struct job relay_rr;
extern const struct job relay_udp;

#endif /* BENCH_H */
