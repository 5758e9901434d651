// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that more than one party has bytes in: several frames in one page of a driver,
 * several connections in one page of a sender. Each receiver sees its own bytes and zeros,
 * and what it has been shown stays; where all of a page is its own, the page is mapped.
 * (Kinds of senders one by one: stable_kept.c; frames in a ring: stable_ring.c.)
 *
 * timeout: 300
 */

#include "datagram.h"

#define SCRIBBLE	0xee
#define PAGES		2048		/* of each window */

/* ---- receiving on several connections ---- */

/* A connection, and what was received on it. */
struct side {
	int rx, tx;
	uint64_t sent, got;
	char *win;
	size_t page;			/* of the window that is free */
	struct iovec kept[ZCIO_MAX_ELEMENTS];
	uint64_t at[ZCIO_MAX_ELEMENTS];	/* where in the stream */
	size_t count;
	uint64_t mapped, copied;
	uint32_t why;
};

FIXTURE(two)
{
	struct zt z;
	struct side side[2];
};

FIXTURE_VARIANT(two)
{
	enum zt_path path;
	unsigned int flags;		/* of the windows */
};

FIXTURE_VARIANT_ADD(two, lo) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(two, lo_writable) { .path = ZT_LO6, .flags = ZCIO_WINDOW_WRITABLE };
FIXTURE_VARIANT_ADD(two, wire) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(two, wire_writable) { .path = ZT_WIRE6, .flags = ZCIO_WINDOW_WRITABLE };

static void open_side(struct __test_metadata *_metadata, struct zt *z, struct side *s,
		      enum zt_path path, unsigned int flags)
{
	int size = 8 << 20;

	zt_tcp(_metadata, path, &s->rx, &s->tx);
	ASSERT_EQ(0, setsockopt(s->rx, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(s->tx, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	s->win = zcio_window(z->ctx, ZT_PAGES(PAGES), flags);
	ASSERT_NE(NULL, s->win);
}

FIXTURE_SETUP(two)
{
	zt_open(_metadata, &self->z, 0, 0);
	for (int i = 0; i < 2; i++) {
		open_side(_metadata, &self->z, &self->side[i], variant->path, variant->flags);
		/* Their bytes differ. */
		self->side[i].sent = (uint64_t)i << 40;
		self->side[i].got = self->side[i].sent;
	}
}

FIXTURE_TEARDOWN(two)
{
	zcio_close(self->z.ctx);
}

static void put(struct __test_metadata *_metadata, struct side *s, size_t len)
{
	zt_send(_metadata, s->tx, len, s->sent);
	s->sent += len;
}

/* One call into unused pages; all that it gives is looked at and kept. */
static void take(struct __test_metadata *_metadata, struct zt *z, struct side *s, int count,
		 size_t pages)
{
	static struct iovec regions[ZCIO_MAX_ELEMENTS], iov[ZCIO_MAX_ELEMENTS];
	static struct zcio_payload info[ZCIO_MAX_ELEMENTS];
	int n;

	ASSERT_GE(ZCIO_MAX_ELEMENTS, count);
	ASSERT_GE(PAGES, s->page + count * pages);
	zt_regions(regions, s->win + ZT_PAGES(s->page), count, pages);
	n = zt_take(_metadata, z->dev, s->rx, regions, count, iov, info, 0);
	ASSERT_LT(0, n);
	for (int i = 0; i < n; i++) {
		ASSERT_EQ(iov[i].iov_len, zt_same(iov[i].iov_base, iov[i].iov_len, s->got)) {
			TH_LOG("byte %llu of the stream", (unsigned long long)s->got);
		}
		ASSERT_GT(ARRAY_SIZE(s->kept), s->count);
		s->kept[s->count] = iov[i];
		s->at[s->count++] = s->got;
		s->got += iov[i].iov_len;
		s->mapped += info[i].mapped;
		s->copied += info[i].copied;
		s->why |= info[i].why;
	}
	s->page += n * pages;
}

static void still_there(struct __test_metadata *_metadata, struct side *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct iovec *v = &s->kept[i];

		ASSERT_EQ(v->iov_len, zt_same(v->iov_base, v->iov_len, s->at[i])) {
			TH_LOG("payload %zu of %zu has changed", i, s->count);
		}
	}
}

/* Forgets what it kept, and writes over it if it can. */
static void let_go(struct side *s, unsigned int flags)
{
	if (flags & ZCIO_WINDOW_WRITABLE)
		for (size_t i = 0; i < s->count; i++)
			memset(zt_down(s->kept[i].iov_base), SCRIBBLE,
			       zt_up((char *)s->kept[i].iov_base + s->kept[i].iov_len) -
			       zt_down(s->kept[i].iov_base));
	s->count = 0;
	s->page = 0;
}

/*
 * One task sends on both in turns: its page frags, and the pages of the device's ring, hold
 * bytes of both. One receiver has its pages mapped, zeroed and written over before the
 * other has read.
 */
TEST_F(two, connections_in_one_page_see_their_own_bytes)
{
	static const size_t pieces[] = { 100, 1448, 3000, 700, 4096, 60, 9000, 2000 };
	struct side *a = &self->side[0], *b = &self->side[1];

	for (int round = 0; round < 24; round++) {
		for (int i = 0; i < 16; i++) {
			put(_metadata, a, pieces[(i + round) % ARRAY_SIZE(pieces)]);
			put(_metadata, b, pieces[(i * 3 + round) % ARRAY_SIZE(pieces)]);
		}
		zt_acked(_metadata, a->tx);
		zt_acked(_metadata, b->tx);
		while (a->got < a->sent)
			take(_metadata, &self->z, a, 1 + round % 12, 2);
		still_there(_metadata, a);
		/* Sometimes a's pages are written over before b has read, sometimes not. */
		if (round % 2)
			let_go(a, variant->flags);
		if (round % 3) {
			while (b->got < b->sent)
				take(_metadata, &self->z, b, 16, 4);
		} else {
			zt_recv(_metadata, b->rx, b->sent - b->got, b->got);
			b->got = b->sent;
		}
		still_there(_metadata, a);
		still_there(_metadata, b);
		let_go(a, variant->flags);
		let_go(b, variant->flags);
	}
	for (int i = 0; i < 2; i++) {
		struct side *s = &self->side[i];

		TH_LOG("connection %d: %.1f %% mapped, why %#x", i,
		       100.0 * s->mapped / (s->mapped + s->copied), s->why);
		zt_nothing(_metadata, s->rx);
	}
}

/*
 * Frames that a driver put behind each other in one page: taken a few at a time, so that
 * others of the same page are still to be read.
 */
TEST_F(two, frames_in_one_page_are_right_when_read_in_parts)
{
	struct side *a = &self->side[0], *b = &self->side[1];
	uint64_t seed = 4711;

	for (int round = 0; round < 30; round++) {
		put(_metadata, a, 40000);
		put(_metadata, b, 1400);
		zt_acked(_metadata, a->tx);
		while (a->got < a->sent) {
			if (zt_draw(&seed, 4) == 0) {
				size_t len = 1 + zt_draw(&seed, 3000);

				if (len > a->sent - a->got)
					len = a->sent - a->got;
				zt_recv(_metadata, a->rx, len, a->got);
				a->got += len;
			} else {
				take(_metadata, &self->z, a, 1 + zt_draw(&seed, 5), 1 + zt_draw(&seed, 4));
			}
			still_there(_metadata, a);
			let_go(a, variant->flags);
		}
		zt_recv(_metadata, b->rx, b->sent - b->got, b->got);
		b->got = b->sent;
	}
	TH_LOG("%.1f %% mapped, why %#x", 100.0 * a->mapped / (a->mapped + a->copied), a->why);
}

/* ---- a page that is all one connection's is mapped ---- */

#define CHUNK	(1UL << 20)
#define CHUNKS	16
#define FOLIO	ZT_PAGES(8)		/* what a task's sockets fill one after the other */
#define HEADER	256			/* bytes that e1000e puts beside the headers at most */

/*
 * How many bytes of a chunk may be copied. All of it has been acknowledged when it is read,
 * and one call takes it, so that what holds its pages is known:
 *
 * The loopback device and veth bring the folios that the sender filled. Those in the middle
 * of the chunk have no other bytes, and nobody else holds them. The last one is still being
 * filled; the first one is the last one of the chunk before, whose frames the kernel may
 * give back as late as it likes.
 *
 * e1000e with jumbo frames puts each frame into pages of its own, but the payload of a small
 * frame beside its headers: the last of a chunk may be one, as the others are full (Nagle).
 * With standard frames, and vmxnet3 with all, the driver itself copies: nothing is asked for.
 *
 * virtio-net puts each frame behind the one before. So a page is this connection's, unless
 * somebody else's frame (a neighbour's solicitation, say) lies in it; and it copies the first
 * bytes of some. How many these are is not ours to say, but they are few: half is asked for.
 */
static size_t may_be_copied(enum zt_path path)
{
	const char *nic = getenv("ZCIO_NIC");
	bool jumbo = atoi(getenv("ZCIO_MTU")) >= 9000;

	if (path == ZT_LO4 || !strcmp(nic, "veth") || !strcmp(nic, "lo"))
		return 2 * FOLIO;
	if (!strcmp(nic, "e1000e") && jumbo)
		return HEADER;
	if (!strcmp(nic, "virtio-net-pci"))
		return CHUNK / 2;
	return CHUNK;
}

FIXTURE(bulk)
{
	struct zt z;
	struct side side;
};

FIXTURE_VARIANT(bulk)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(bulk, lo) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(bulk, wire) { .path = ZT_WIRE4 };

FIXTURE_SETUP(bulk)
{
	zt_open(_metadata, &self->z, 0, 0);
	open_side(_metadata, &self->z, &self->side, variant->path, 0);
}

FIXTURE_TEARDOWN(bulk)
{
	zcio_close(self->z.ctx);
}

/* An ACK that is put off makes the sender send again: it must not be. */
static void all_acked(struct __test_metadata *_metadata, struct side *s)
{
	int one = 1, left;

	do {
		ASSERT_EQ(0, setsockopt(s->rx, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one)));
		ASSERT_EQ(0, ioctl(s->tx, TIOCOUTQ, &left));
	} while (left);
	zt_acked(_metadata, s->tx);
}

TEST_F_TIMEOUT(bulk, of_an_ordinary_sender_is_mapped, 60)
{
	const char *nic = variant->path == ZT_LO4 ? "lo" : getenv("ZCIO_NIC");
	struct side *s = &self->side;
	unsigned char *chunk = malloc(CHUNK);
	int again = 0, zero = 0;

	ASSERT_EQ(0, setsockopt(s->tx, IPPROTO_TCP, TCP_NODELAY, &zero, sizeof(zero)));
	for (int i = 0; i < CHUNKS;) {
		uint64_t copied = s->copied;
		uint32_t resent = zt_resent(_metadata, s->tx);

		zt_fill(chunk, CHUNK, s->sent);
		ASSERT_EQ((ssize_t)CHUNK, send(s->tx, chunk, CHUNK, 0));
		s->sent += CHUNK;
		all_acked(_metadata, s);
		take(_metadata, &self->z, s, ZCIO_MAX_ELEMENTS, PAGES / ZCIO_MAX_ELEMENTS);
		ASSERT_EQ(s->sent, s->got);
		let_go(s, 0);
		copied = s->copied - copied;
		/* What is sent twice may be held twice: such a chunk does not count. */
		if (resent != zt_resent(_metadata, s->tx)) {
			again++;
			continue;
		}
		ASSERT_GE(may_be_copied(variant->path), copied) TH_LOG("why %#x", s->why);
		i++;
	}
	TH_LOG("%s: %.2f %% mapped, why %#x; %d chunks with bytes that were sent again", nic,
	       100.0 * s->mapped / (s->mapped + s->copied), s->why, again);
	free(chunk);
}

/* ---- datagrams of senders who can still write to them ---- */

FIXTURE(writer)
{
	struct dg d;
	char *own;			/* the memory that is sent */
	int p[2];
};

FIXTURE_SETUP(writer)
{
	dg_open(_metadata, &self->d, ZT_LO4, DG_PLAIN);
	ASSERT_EQ(0, pipe2(self->p, O_CLOEXEC));
}

FIXTURE_TEARDOWN(writer)
{
	zcio_close(self->d.z.ctx);
}

#define OWN	(8 * ZT_PAGE)

/* The pipe's pages become a datagram; then they are written to. */
static void sent_and_written(struct __test_metadata *_metadata, FIXTURE_DATA(writer) *self,
			     uint32_t why)
{
	struct dg *d = &self->d;
	struct iovec regions[16];
	uint64_t copied;

	ASSERT_EQ((ssize_t)OWN, splice(self->p[0], NULL, d->z.tx, NULL, OWN, 0));
	d->len[d->sent++] = OWN;
	zt_regions(regions, d->z.win, 16, 16);
	ASSERT_EQ(1, dg_take(_metadata, d, regions, 16));
	copied = d->copied;
	ASSERT_EQ(0, d->mapped);
	ASSERT_EQ(OWN, copied);
	ASSERT_NE(0, d->why & why) TH_LOG("why %#x", d->why);
	memset(self->own, SCRIBBLE, OWN);
	/* Nothing of it is in the regions: they hold only what was sent. */
	for (int i = 0; i < 16; i++) {
		ASSERT_EQ(NULL, memchr(d->z.win + ZT_PAGES(16 * i), SCRIBBLE, 64)) {
			TH_LOG("region %d", i);
		}
	}
	for (size_t at = 0, i = 0; at < OWN && i < 16; i++) {
		size_t n = zt_same(regions[i].iov_base, OWN - at, at);

		at += n;
		ASSERT_EQ(OWN, at) TH_LOG("changed at %zu", at);
	}
}

TEST_F(writer, vmspliced_datagram_is_copied)
{
	struct iovec v;

	self->own = mmap(NULL, OWN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->own);
	zt_fill(self->own, OWN, 0);
	v = zt_iov(self->own, OWN);
	ASSERT_EQ((ssize_t)OWN, vmsplice(self->p[1], &v, 1, 0));
	sent_and_written(_metadata, self, ZCIO_WHY_WRITABLE);
}

TEST_F(writer, datagram_of_a_file_is_copied)
{
	int fd = memfd_create("zt", MFD_CLOEXEC);
	loff_t at = 0;

	ASSERT_EQ(0, ftruncate(fd, OWN));
	self->own = mmap(NULL, OWN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, self->own);
	zt_fill(self->own, OWN, 0);
	ASSERT_EQ((ssize_t)OWN, splice(fd, &at, self->p[1], NULL, OWN, 0));
	sent_and_written(_metadata, self, ZCIO_WHY_FILE);
}

TEST_HARNESS_MAIN
