// SPDX-License-Identifier: GPL-2.0
/* The sockets of both sides, over the network that the rig made: its addresses come from there. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

/* Descriptors beside the connections', at most. */
#define OTHER_FDS	64

struct address address_of(bool peer)
{
	const char *text = getenv(peer ? "ZCIO_PEER4" : "ZCIO_LOCAL4");
	struct address a = { .in = { .sin_family = AF_INET }, .len = sizeof(a.in) };

	if (!text || inet_pton(AF_INET, text, &a.in.sin_addr) != 1)
		die("ZCIO_LOCAL4 and ZCIO_PEER4 are not set: run this in the rig's guest");
	return a;
}

const char *device_of(bool peer)
{
	const char *nic = getenv("ZCIO_NIC");

	return nic && !strcmp(nic, "lo") ? "lo" : peer ? "zc1" : "zc0";
}

bool peer_is_local(void)
{
	const char *nic = getenv("ZCIO_NIC");

	return nic && (!strcmp(nic, "lo") || !strcmp(nic, "veth"));
}

void enter_peer(void)
{
	const char *exec = getenv("ZCIO_PEER_EXEC");
	int ns;

	if (!exec || !*exec)
		return;
	ns = open("/run/netns/peer", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		die("the peer's namespace");
	close(ns);
}

/* Each process has its end of all connections. */
static void room_for(unsigned int fds)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("RLIMIT_NOFILE");
	if (limit.rlim_cur >= fds)
		return;
	limit.rlim_cur = fds;
	if (limit.rlim_max < fds)
		limit.rlim_max = fds;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("RLIMIT_NOFILE");
}

/*
 * An MTU less the headers of IPv4 and TCP and the time stamp option, which all segments of a
 * connection have (net.ipv4.tcp_timestamps, on by default), rounded down to pages. TCP_MAXSEG
 * takes no more than 32767 bytes. It counts that option, as the headers that it leaves out are
 * those without options.
 */
#define TIMESTAMPS	12
#define HEADERS		(20 + 20 + TIMESTAMPS)
#define MAXSEG_MOST	32767

int maxseg_of(size_t payload)
{
	return payload + TIMESTAMPS;
}

size_t whole_pages(void)
{
	struct ifreq req = {};
	size_t most;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", device_of(false));
	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &req))
		die("the device's MTU");
	close(fd);
	most = req.ifr_mtu - HEADERS;
	if (most > MAXSEG_MOST - TIMESTAMPS)
		most = MAXSEG_MOST - TIMESTAMPS;
	return most / PAGE * PAGE;
}

static int bound(const struct job *job, struct address *at)
{
	int fd = socket(AF_INET, job->type | SOCK_CLOEXEC, 0), size = 32 << 20;

	if (fd < 0 || bind(fd, &at->sa, at->len) || getsockname(fd, &at->sa, &at->len))
		die("a socket of one side");
	/* Datagrams: what was sent and not read yet is not to be lost. */
	if (job->type == SOCK_DGRAM &&
	    (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	     setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size))))
		die("the socket's buffers");
	return fd;
}

/* Takes effect only before the connection is made. */
static void limit_segment(int fd, size_t payload)
{
	int mss = maxseg_of(payload);

	if (payload && setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss)))
		die("TCP_MAXSEG");
}

/* The child's end of each: a connection to where the parent listens, or a datagram socket. */
static void peer_open(struct bench *b, const struct address *to)
{
	struct address here;

	for (unsigned int i = 0; i < ends_count(b); i++) {
		here = address_of(true);
		b->fds[i] = bound(b->job, &here);
		limit_segment(b->fds[i], b->segment);
		if (b->job->type == SOCK_DGRAM && write(b->say, &here, sizeof(here)) != sizeof(here))
			die("telling where the peer is");
		if (connect(b->fds[i], &to[b->job->type == SOCK_DGRAM ? i : 0].sa, to->len))
			die("connecting to the measured side");
	}
}

int ends_open(struct bench *b)
{
	bool stream = b->job->type == SOCK_STREAM;
	struct address *at = calloc(ends_count(b), sizeof(*at)), there;
	int say[2], listener = -1;
	pid_t child;

	b->fds = calloc(ends_count(b), sizeof(*b->fds));
	if (!b->fds || !at || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, say))
		die("memory");
	room_for(ends_count(b) + OTHER_FDS);
	at[0] = address_of(false);
	if (stream && (b->whole_pages || b->way->whole_pages))
		b->segment = whole_pages();
	if (stream) {
		listener = bound(b->job, at);
		if (listen(listener, SOMAXCONN))
			die("listen");
	} else {
		for (unsigned int i = 0; i < ends_count(b); i++) {
			at[i] = address_of(false);
			b->fds[i] = bound(b->job, &at[i]);
		}
	}
	child = fork();
	if (child < 0)
		die("fork");
	b->say = say[child ? 0 : 1];
	close(say[child ? 1 : 0]);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		enter_peer();
		peer_open(b, at);
		return 0;
	}
	for (unsigned int i = 0; i < ends_count(b); i++) {
		if (stream) {
			b->fds[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (b->fds[i] < 0)
				die("accept");
		} else if (read(b->say, &there, sizeof(there)) != sizeof(there) ||
			   connect(b->fds[i], &there.sa, there.len)) {
			die("connecting to the peer");
		}
	}
	return child;
}

/*
 * By a reset: else whichever side closes first keeps each connection's port for a minute, and
 * runs with many connections would soon find none.
 */
void ends_close(struct bench *b)
{
	struct linger at_once = { .l_onoff = 1 };

	close(b->say);
	for (unsigned int i = 0; i < ends_count(b); i++) {
		if (b->job->type == SOCK_STREAM &&
		    setsockopt(b->fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)))
			die("SO_LINGER");
		close(b->fds[i]);
	}
}
