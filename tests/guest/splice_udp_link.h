/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of many or busy splices of UDP share: a *link* is one splice with its four
 * sockets, and datagrams that say of which link they are and which one, from which their length
 * and all their bytes follow.
 */
#ifndef SPLICE_UDP_LINK_H
#define SPLICE_UDP_LINK_H

#include <time.h>

#include "splice_udp.h"

#define PATIENCE	60	/* seconds, for what comes at once */

/* What a datagram begins with. */
struct head {
	uint64_t link, number;
};

struct link {
	struct su su;
	uint64_t name;
	size_t most;			/* bytes of a datagram */
	pthread_mutex_t sends;		/* protects, if there are threads that send: */
	bool flows, hasty;		/* datagrams are sent; however many are on their way */
	uint64_t sent;
	_Atomic uint64_t next;		/* number of the one that is to arrive next */
	uint64_t arrived, stayed;	/* bytes */
	int trouble;			/* errno of a send that should not have failed */
	int plan;			/* how it is to end */
};

static inline size_t link_length(const struct link *l, uint64_t number)
{
	uint64_t seed = l->name * 1000003 + number;
	bool large = !zt_draw(&seed, 8);

	return sizeof(struct head) + zt_draw(&seed, (large ? l->most : 1400) - sizeof(struct head));
}

static inline uint64_t link_position(const struct link *l, uint64_t number)
{
	return (l->name * 131 + number) * SU_STEP;
}

/* Sends the next one, made at @buf; false if that fails. */
ZT_UNUSED static bool link_send(struct link *l, unsigned char *buf)
{
	struct head head = { l->name, l->sent };
	size_t len = link_length(l, l->sent);

	memcpy(buf, &head, sizeof(head));
	zt_fill(buf + sizeof(head), len - sizeof(head), link_position(l, l->sent));
	if (send(l->su.sp.from, buf, len, MSG_DONTWAIT) != (ssize_t)len)
		return false;
	l->sent++;
	return true;
}

/* One that came, @n bytes of it: was it sent so, and which one is it? */
ZT_UNUSED static uint64_t link_look(struct __test_metadata *_metadata, const struct link *l,
				    const unsigned char *buf, ssize_t n)
{
	struct head head;

	ASSERT_LE((ssize_t)sizeof(head), n);
	memcpy(&head, buf, sizeof(head));
	ASSERT_EQ(l->name, head.link) TH_LOG("a datagram of another link");
	ASSERT_EQ((ssize_t)link_length(l, head.number), n) {
		TH_LOG("datagram %llu", (unsigned long long)head.number);
	}
	n -= sizeof(head);
	ASSERT_EQ((size_t)n, zt_same(buf + sizeof(head), n, link_position(l, head.number))) {
		TH_LOG("datagram %llu has others' bytes", (unsigned long long)head.number);
	}
	return head.number;
}

/*
 * Reads the next one at @fd, if there is one. Returns its bytes, or -1. Some before it may be
 * lost @after_a_gap.
 */
ZT_UNUSED static ssize_t link_read(struct __test_metadata *_metadata, struct link *l, int fd,
				   bool after_a_gap)
{
	ssize_t n = recv(fd, su_buffer, sizeof(su_buffer), MSG_DONTWAIT);
	uint64_t number;

	if (n < 0) {
		ASSERT_EQ(EAGAIN, errno);
		return -1;
	}
	number = link_look(_metadata, l, su_buffer, n);
	ASSERT_TRUE(number == l->next || (after_a_gap && number > l->next)) {
		TH_LOG("link %llu: %llu comes, not %llu", (unsigned long long)l->name,
		       (unsigned long long)number, (unsigned long long)l->next);
	}
	l->next = number + 1;
	return n;
}

/* The same, of the one behind the splice. */
ZT_UNUSED static bool link_take(struct __test_metadata *_metadata, struct link *l)
{
	ssize_t n = link_read(_metadata, l, l->su.sp.to, false);

	if (n < 0)
		return false;
	l->arrived += n;
	return true;
}

/* Waits until there is something to read. */
ZT_UNUSED static void link_wait(struct __test_metadata *_metadata, int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	ASSERT_EQ(1, poll(&p, 1, PATIENCE * 1000)) TH_LOG("%s: nothing comes", what);
}

/* ---- senders, each on a processor ---- */

#define SENDERS		2

struct sender {
	struct link l;			/* its own datagrams, if it has any */
	int number;
	uint64_t count;
	pthread_t thread;
};

/* The processor with this number among those there are. */
static inline cpu_set_t processor(struct __test_metadata *_metadata, int number)
{
	cpu_set_t all, one;
	int cpu = -1;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	number %= CPU_COUNT(&all);
	do {
		cpu++;
	} while (!CPU_ISSET(cpu, &all) || number--);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return one;
}

ZT_UNUSED static void sender_start(struct __test_metadata *_metadata, struct sender *s,
				   void *(*run)(void *))
{
	cpu_set_t where = processor(_metadata, s->number);
	pthread_attr_t attr;

	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setaffinity_np(&attr, sizeof(where), &where));
	ASSERT_EQ(0, pthread_create(&s->thread, &attr, run, s));
	pthread_attr_destroy(&attr);
}

#endif /* SPLICE_UDP_LINK_H */
