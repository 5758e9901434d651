// SPDX-License-Identifier: GPL-2.0
/*
 * Long streams that several have their hands on: two readers of one connection, in one
 * process or two, and a writer that never stops writing to what is being sent.
 *
 * timeout: 200
 */
#include "race.h"

/* ---- several readers of one stream: every byte comes to one of them, in order ---- */

#define STREAM		(4UL << 20)
#define READERS		3
#define REGIONS		16
#define REGION_PAGES	4
#define PIECES		8192	/* at most, in one call or another */

struct piece {
	uint64_t pos;
	size_t len;
};

/* Shared between processes. */
struct reader {
	int dev, fd;
	bool copies;		/* with recv() */
	int err;		/* errno, or ENOMSG for a wrong byte */
	size_t unknown;		/* bytes too few to know where they belong */
	size_t n;
	struct piece pieces[PIECES];
	pthread_t thread;
};

/* Where a byte belongs can be read off the stream: words of 4 times 7 bits, each word marked. */
static unsigned char numbered(uint64_t pos)
{
	uint64_t word = pos / 4;
	int byte = pos % 4;

	return (byte ? 0 : 0x80) | (word >> (21 - 7 * byte) & 0x7f);
}

/* False for too few bytes. */
static bool number_of(const unsigned char *p, size_t len, uint64_t *pos)
{
	size_t mark = 0;

	if (len < 8)
		return false;
	while (mark < 3 && !(p[mark] & 0x80))
		mark++;
	*pos = 4 * ((uint64_t)(p[mark] & 0x7f) << 21 | p[mark + 1] << 14 | p[mark + 2] << 7 | p[mark + 3]);
	*pos -= mark;
	return true;
}

static void note(struct reader *r, const unsigned char *p, size_t len)
{
	uint64_t pos;

	if (!number_of(p, len, &pos)) {
		r->unknown += len;
		return;
	}
	for (size_t i = 0; i < len; i++)
		if (p[i] != numbered(pos + i))
			r->err = ENOMSG;
	if (r->n == PIECES || (r->n && pos < r->pieces[r->n - 1].pos))
		r->err = ENOTUNIQ;
	else
		r->pieces[r->n++] = (struct piece){ pos, len };
}

static void *read_all(void *arg)
{
	struct reader *r = arg;
	size_t len = ZT_PAGES(REGIONS * REGION_PAGES);
	char *win = mmap(NULL, len, PROT_READ, MAP_SHARED, r->dev, ZCIO_MMAP_WINDOW);
	unsigned char buf[16384];
	struct iovec iov[REGIONS];
	int n = win == MAP_FAILED ? -errno : 1;

	while (n > 0 && !r->err) {
		if (r->copies) {
			n = recv(r->fd, buf, sizeof(buf), 0);
			if (n > 0)
				note(r, buf, n);
			continue;
		}
		zt_regions(iov, win, REGIONS, REGION_PAGES);
		n = zt_readv(r->dev, r->fd, iov, REGIONS, NULL, 0);
		for (int i = 0; i < n; i++)
			note(r, iov[i].iov_base, iov[i].iov_len);
	}
	if (n < 0)
		r->err = n == -1 ? errno : -n;
	munmap(win, len);
	return NULL;
}

static void send_stream(struct __test_metadata *_metadata, int fd)
{
	unsigned char buf[32768];

	for (uint64_t pos = 0; pos < STREAM; pos += sizeof(buf)) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = numbered(pos + i);
		ASSERT_EQ((ssize_t)sizeof(buf), send(fd, buf, sizeof(buf), MSG_NOSIGNAL));
	}
	ASSERT_EQ(0, shutdown(fd, SHUT_WR));
}

static int by_pos(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return (x->pos > y->pos) - (x->pos < y->pos);
}

FIXTURE(readers)
{
	struct zt z;
	struct reader *r;
	struct zcio_ctx *another;
};

FIXTURE_VARIANT(readers)
{
	enum zt_path path;
	bool processes;		/* the second in a process of its own */
	bool contexts;		/* and with a context of its own */
	bool copies;		/* a third one uses recv() */
	bool tuned;		/* and all the time the context is tuned and asked */
};

FIXTURE_VARIANT_ADD(readers, threads) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(readers, threads_lo) { .path = ZT_LO6, .contexts = true };
FIXTURE_VARIANT_ADD(readers, and_recv) { .path = ZT_WIRE6, .copies = true };
FIXTURE_VARIANT_ADD(readers, processes) { .path = ZT_WIRE4, .processes = true };
FIXTURE_VARIANT_ADD(readers, tuned) { .path = ZT_WIRE4, .tuned = true };

FIXTURE_SETUP(readers)
{
	zt_open(_metadata, &self->z, 0, 0);
	self->another = zt_context();
	ASSERT_NE(NULL, self->another);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	self->r = mmap(NULL, READERS * sizeof(*self->r), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->r);
	for (int i = 0; i < READERS; i++) {
		self->r[i].fd = self->z.rx;
		self->r[i].dev = i && variant->contexts ? zcio_ctx_fd(self->another) : self->z.dev;
	}
	self->r[2].copies = true;
}

FIXTURE_TEARDOWN(readers)
{
	zt_settled(_metadata, self->z.ctx, 0, 0);
	zcio_close(self->another);
	zcio_close(self->z.ctx);
}

struct tuner {
	struct zcio_ctx *ctx;
	volatile bool stop;
	uint64_t bytes;		/* that the context says it has received */
	bool back;		/* it was more before */
};

static void tune_and_ask(void *arg)
{
	struct tuner *t = arg;

	for (int i = 0; !t->stop; i++) {
		struct zcio_info info;

		ioctl(zcio_ctx_fd(t->ctx), ZCIO_IOC_TUNE,
		      &(struct zcio_tune){ .copy_threshold = i % 2 ? 0 : 1 << 30 });
		if (zcio_info(t->ctx, -1, &info))
			break;
		t->back |= info.rx.mapped + info.rx.copied < t->bytes;
		t->bytes = info.rx.mapped + info.rx.copied;
	}
}

TEST_F_TIMEOUT(readers, every_byte_comes_to_one_of_them, 60)
{
	struct reader *r = self->r;
	int readers = variant->copies ? 3 : 2, status;
	struct tuner tuner = { .ctx = self->z.ctx };
	struct side side = { tune_and_ask, &tuner };
	static struct piece all[READERS * PIECES];
	size_t n = 0, unknown = 0, missing = 0;
	pid_t child = -1;
	uint64_t pos = 0;

	if (variant->processes) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			close(self->z.tx);
			read_all(&r[1]);
			_exit(0);
		}
	}
	for (int i = 0; i < readers; i++)
		if (i != 1 || !variant->processes)
			ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, read_all, &r[i]));
	if (variant->tuned)
		side_start(_metadata, &side);
	send_stream(_metadata, self->z.tx);
	for (int i = 0; i < readers; i++)
		if (i != 1 || !variant->processes)
			ASSERT_EQ(0, pthread_join(r[i].thread, NULL));
	if (variant->processes) {
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(0, status);
	}
	if (variant->tuned) {
		tuner.stop = true;
		side_join(_metadata, &side);
		ASSERT_FALSE(tuner.back);
	}

	for (int i = 0; i < readers; i++) {
		ASSERT_EQ(0, r[i].err) TH_LOG("reader %d: %s", i, strerror(r[i].err));
		memcpy(all + n, r[i].pieces, r[i].n * sizeof(*all));
		n += r[i].n;
		unknown += r[i].unknown;
		TH_LOG("reader %d had %zu pieces", i, r[i].n);
	}
	qsort(all, n, sizeof(*all), by_pos);
	for (size_t i = 0; i < n; i++) {
		ASSERT_LE(pos, all[i].pos) TH_LOG("bytes at %llu came twice", (unsigned long long)all[i].pos);
		missing += all[i].pos - pos;
		pos = all[i].pos + all[i].len;
	}
	missing += STREAM - pos;
	ASSERT_EQ(unknown, missing);
}

/* ---- a writer that never stops: every write is sent, or still there; none is in both ---- */

#define AREA_PAGES	4
#define WORDS		(ZT_PAGE / sizeof(uint64_t))
#define SENDS		100

/* It writes the round's number to all words of a page, in order, page after page. */
struct stamper {
	volatile uint64_t *area;
	volatile bool stop;
	volatile uint64_t round;
};

static void stamp(void *arg)
{
	struct stamper *s = arg;

	while (!s->stop) {
		uint64_t round = s->round + 1;

		for (size_t i = 0; i < AREA_PAGES * WORDS; i++)
			s->area[i] = round;
		s->round = round;
	}
}

/* Waits until all has been written once more; with what. */
static uint64_t one_more_round(struct stamper *s)
{
	uint64_t round = s->round + 2;

	while (s->round < round)
		sched_yield();
	return round;
}

/* The last write to a page that can be seen in it. */
struct last {
	uint64_t round;
	size_t word;
};

static bool later(uint64_t round, size_t word, struct last than)
{
	return round > than.round || (round == than.round && word > than.word);
}

/*
 * Of a page that was taken out, all is known: the last write in it; every one before that,
 * up to the last one that the page before it had; and zeros.
 */
static void check_page(struct __test_metadata *_metadata, const uint64_t *page, struct last *before)
{
	struct last last = *before;

	for (size_t i = 0; i < WORDS; i++)
		if (page[i] && page[i] >= last.round)
			last = (struct last){ page[i], i };
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t round = i <= last.word ? last.round : last.round - 1;
		uint64_t want = last.round && later(round, i, *before) ? round : 0;

		ASSERT_EQ(want, page[i]) {
			TH_LOG("word %zu; last seen: %llu at %zu, before: %llu at %zu", i,
			       (unsigned long long)last.round, last.word,
			       (unsigned long long)before->round, before->word);
		}
	}
	*before = last;
}

FIXTURE(stamped)
{
	struct zt z;
};

FIXTURE_VARIANT(stamped)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(stamped, wire) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(stamped, lo) { .path = ZT_LO6 };

FIXTURE_SETUP(stamped)
{
	zt_open(_metadata, &self->z, 0, AREA_PAGES + 2);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	memset(self->z.pool, 0x77, ZT_PAGES(AREA_PAGES + 2));
	memset(self->z.pool + ZT_PAGE, 0, ZT_PAGES(AREA_PAGES));
}

FIXTURE_TEARDOWN(stamped)
{
	zcio_unmap(self->z.pool, ZT_PAGES(AREA_PAGES + 2));
	zt_settled(_metadata, self->z.ctx, 0, 0);
	zcio_close(self->z.ctx);
}

TEST_F_TIMEOUT(stamped, every_write_is_sent_or_still_there, 60)
{
	struct zt *z = &self->z;
	char *area = z->pool + ZT_PAGE;
	size_t len = ZT_PAGES(AREA_PAGES);
	struct stamper s = { .area = (uint64_t *)area };
	struct side side = { stamp, &s };
	struct last before[AREA_PAGES] = {};
	static uint64_t got[AREA_PAGES * WORDS];

	side_start(_metadata, &side);
	for (int i = 0; i < SENDS; i++) {
		struct iovec iov[1][2] = { { zt_iov(area, len), zt_iov(area, len) } };
		uint64_t written = one_more_round(&s);

		ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, NULL, 0, NULL));
		ASSERT_EQ((ssize_t)len, recv(z->tx, got, len, MSG_WAITALL));
		for (int page = 0; page < AREA_PAGES; page++) {
			check_page(_metadata, got + page * WORDS, &before[page]);
			ASSERT_LE(written, before[page].round) TH_LOG("what was written is not sent");
		}
	}
	one_more_round(&s);
	s.stop = true;
	side_join(_metadata, &side);
	for (int page = 0; page < AREA_PAGES; page++) {
		check_page(_metadata, (uint64_t *)area + page * WORDS, &before[page]);
		ASSERT_EQ(s.round, before[page].round);
	}
	TH_LOG("%llu rounds of writing while it was sent %d times",
	       (unsigned long long)s.round, SENDS);
	ASSERT_TRUE(all_bytes(z->pool, ZT_PAGE, 0x77));
	ASSERT_TRUE(all_bytes(area + len, ZT_PAGE, 0x77));
}

TEST_HARNESS_MAIN
