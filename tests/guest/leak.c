// SPDX-License-Identifier: GPL-2.0
/*
 * No leak: what lies in a region outside the payloads reads zero, and nobody else's
 * bytes are ever in one.
 *
 * A stream of over 100,000 payloads is received while canaries are planted wherever
 * a page of it may come from: in packets that the same device received before and at the
 * same time (UDP, another connection), in the page frags that the sending task fills for
 * its sockets one after the other, around the payload in the sender's areas and in
 * memory that it splices, in another pool, and in memory that was given back to the
 * kernel. Every byte of a payload must be the stream's, every other byte zero.
 *
 * The kernel's allocator usually clears the pages it gives out; started with
 * init_on_alloc=0 it does not, and old contents reach the device's pages: tests/guest/
 * suite.txt has a guest for that.
 *
 * timeout: 400
 */
#include "zt.h"

#define CANARY		0xc5
#define PERIOD		65521
#define WINDOW_PAGES	1024
#define MOST		48000		/* bytes in one message */

static unsigned char stream[PERIOD + WINDOW_PAGES * 4096];

/* Neither 0 nor the canary, and no two places of a page have the same neighbours. */
static void make_stream(void)
{
	for (size_t i = 0; i < sizeof(stream); i++) {
		stream[i] = zt_byte(i % PERIOD);
		if (stream[i] == CANARY)
			stream[i] ^= 0x3f;
	}
}

/* What the processes tell each other. */
struct shared {
	volatile bool stop;
	volatile uint64_t messages, areas, spliced, udp, other_bytes, poisoned;
};

/* ---- the sender, and all that plants canaries ---- */

struct sender {
	struct shared *shared;
	int fd;			/* the stream */
	int other;		/* another connection, all canary */
	int udp;
	int pipe[2];
	struct zt_addr udp_to;
	int dev;
	char *pool, *other_pool;
	uint64_t seed, pos;
};

#define AREA_PAGES	16

static uint32_t draw_len(uint64_t *seed)
{
	switch (zt_draw(seed, 8)) {
	case 0: case 1:
		return 1 + zt_draw(seed, 200);
	case 2: case 3: case 4:
		return 1 + zt_draw(seed, 4096);
	case 5: case 6:
		return 1 + zt_draw(seed, 9000);
	default:
		return 1 + zt_draw(seed, MOST);
	}
}

static void all(struct __test_metadata *_metadata, int fd, const void *buf, size_t len, int flags)
{
	while (len) {
		ssize_t n = send(fd, buf, len, flags | MSG_NOSIGNAL);

		ASSERT_LT(0, n);
		buf = (const char *)buf + n;
		len -= n;
	}
}

static void send_area(struct __test_metadata *_metadata, struct sender *s, size_t len)
{
	char *area = s->pool + ZT_PAGES(zt_draw(&s->seed, 4) * AREA_PAGES);
	size_t head = zt_draw(&s->seed, ZT_PAGES(AREA_PAGES) - len);
	struct iovec iov[1][2] = { { zt_iov(area, ZT_PAGES(AREA_PAGES)), zt_iov(area + head, len) } };

	memset(area, CANARY, ZT_PAGES(AREA_PAGES));
	memcpy(area + head, stream + s->pos % PERIOD, len);
	ASSERT_EQ(1, zt_writev(s->dev, s->fd, iov, 1, NULL, ZCIO_NOSIGNAL, NULL));
	s->shared->areas++;
}

/* Memory that goes to the socket by reference, canary around; unmapped at once. */
static void send_spliced(struct __test_metadata *_metadata, struct sender *s, size_t len)
{
	size_t size = ZT_PAGES(AREA_PAGES), head = zt_draw(&s->seed, ZT_PAGE);
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec v = zt_iov(map + head, len);

	ASSERT_NE(MAP_FAILED, map);
	memset(map, CANARY, size);
	memcpy(map + head, stream + s->pos % PERIOD, len);
	ASSERT_EQ((ssize_t)len, vmsplice(s->pipe[1], &v, 1, 0));
	munmap(map, size);
	while (len) {
		ssize_t n = splice(s->pipe[0], NULL, s->fd, NULL, len, 0);

		ASSERT_LT(0, n);
		len -= n;
	}
	s->shared->spliced++;
}

static void plant(struct __test_metadata *_metadata, struct sender *s, const void *canary)
{
	size_t len = draw_len(&s->seed);
	uint32_t kind = zt_draw(&s->seed, 1000);

	if (kind == 0) {
		/* Free memory full of canary, for whoever allocates next. */
		size_t size = 32 << 20;
		void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_NE(MAP_FAILED, map);
		memset(map, CANARY, size);
		munmap(map, size);
		s->shared->poisoned += size;
	} else if (kind < 300) {
		/* To an unread socket: most are received by the device and dropped. */
		if (sendto(s->udp, canary, len < 8900 ? len : 8900, 0, &s->udp_to.sa, s->udp_to.len) > 0)
			s->shared->udp++;
	} else if (kind < 400) {
		all(_metadata, s->other, canary, len, MSG_EOR);
		s->shared->other_bytes += len;
	} else if (kind < 440) {
		struct iovec iov[1][2] = { { zt_iov(s->other_pool, ZT_PAGES(AREA_PAGES)),
					     zt_iov(s->other_pool, len) } };

		memset(s->other_pool, CANARY, ZT_PAGES(AREA_PAGES));
		ASSERT_EQ(1, zt_writev(s->dev, s->other, iov, 1, NULL, ZCIO_NOSIGNAL, NULL));
		s->shared->other_bytes += len;
	}
}

static void send_all(struct __test_metadata *_metadata, struct sender *s)
{
	struct zcio_ctx *ctx = zt_context(), *another = zt_context();
	char *canary = malloc(MOST + 1);

	ASSERT_NE(NULL, ctx);
	ASSERT_NE(NULL, another);
	ASSERT_EQ(0, pipe2(s->pipe, O_CLOEXEC));
	s->dev = zcio_ctx_fd(ctx);
	s->pool = zt_pool(_metadata, ctx, 4 * AREA_PAGES);
	s->other_pool = zt_pool(_metadata, another, AREA_PAGES);
	memset(canary, CANARY, MOST + 1);
	while (!s->shared->stop) {
		size_t len = draw_len(&s->seed);
		uint32_t kind = zt_draw(&s->seed, 64);

		plant(_metadata, s, canary);
		if (kind < 16)
			send_area(_metadata, s, len);
		else if (kind < 17)
			send_spliced(_metadata, s, len);
		else	/* MSG_EOR: a packet ends here, in the middle of a page */
			all(_metadata, s->fd, stream + s->pos % PERIOD, len, MSG_EOR);
		s->pos += len;
		s->shared->messages++;
	}
	free(canary);
}

/* Somebody else, who reads what comes on the other connection. */
static void stranger(int fd)
{
	char *buf = malloc(1 << 16);

	while (recv(fd, buf, 1 << 16, 0) > 0)
		;
	memset(buf, CANARY, 1 << 16);
	_exit(0);
}

/* ---- the receiver ---- */

FIXTURE(leak) {
	struct zt z;
	struct shared *shared;
	int other[2], udp[2];
	struct sender sender;
	uint64_t seed, pos;
	uint64_t payloads, mapped, copied;
	uint64_t tails;		/* payloads whose last page is mapped and only partly payload */
};

FIXTURE_VARIANT(leak) {
	enum zt_path path;
	unsigned int flags;
	uint64_t payloads;
};

FIXTURE_VARIANT_ADD(leak, wire) { .path = ZT_WIRE4, .payloads = 100000 };
FIXTURE_VARIANT_ADD(leak, wire_writable) {
	.path = ZT_WIRE6, .flags = ZCIO_WINDOW_WRITABLE, .payloads = 15000,
};

FIXTURE_VARIANT_ADD(leak, lo) { .path = ZT_LO6, .payloads = 10000 };
FIXTURE_VARIANT_ADD(leak, lo_writable) {
	.path = ZT_LO4, .flags = ZCIO_WINDOW_WRITABLE, .payloads = 5000,
};

FIXTURE_SETUP(leak)
{
	struct zt_addr here = zt_addr(_metadata, variant->path, false);
	int size = 4 << 20;

	make_stream();
	zt_open(_metadata, &self->z, 0, 0);
	self->z.win = zcio_window(self->z.ctx, ZT_PAGES(WINDOW_PAGES), variant->flags);
	ASSERT_NE(NULL, self->z.win);
	self->shared = mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	zt_tcp(_metadata, variant->path, &self->z.rx, &self->z.tx);
	zt_tcp(_metadata, variant->path, &self->other[0], &self->other[1]);
	setsockopt(self->z.rx, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	self->udp[0] = zt_socket(_metadata, variant->path, false, SOCK_DGRAM);
	self->udp[1] = zt_socket(_metadata, variant->path, true, SOCK_DGRAM);
	ASSERT_EQ(0, bind(self->udp[0], &here.sa, here.len));
	ASSERT_EQ(0, getsockname(self->udp[0], &here.sa, &here.len));
	self->seed = 20261120 + variant->payloads;
	self->sender = (struct sender) {
		.shared = self->shared, .fd = self->z.tx, .other = self->other[1],
		.udp = self->udp[1], .udp_to = here, .seed = ~self->seed,
	};
}

FIXTURE_TEARDOWN(leak)
{
}

/* For the log: where a payload differs, and what is there instead. */
static void differs(struct __test_metadata *_metadata, const struct iovec *v, uint64_t pos,
		    const struct zcio_payload *info)
{
	const unsigned char *got = v->iov_base, *want = stream + pos % PERIOD;
	size_t first = 0, last = v->iov_len, zero, from;

	while (got[first] == want[first])
		first++;
	while (got[last - 1] == want[last - 1])
		last--;
	zero = zt_zeros(got + first, last - first);
	for (from = 0; from < PERIOD; from++)
		if (!memcmp(got + first, stream + from, last - first < 16 ? last - first : 16))
			break;
	TH_LOG("%zu bytes at offset %#lx of its page, mapped %llu, copied %llu because of %#x",
	       v->iov_len, (uintptr_t)got % ZT_PAGE, (unsigned long long)info->mapped,
	       (unsigned long long)info->copied, info->why);
	TH_LOG("differs from byte %zu to %zu, %zu zeros first, then %02x %02x %02x %02x", first, last,
	       zero, got[first], got[first + 1], got[first + 2], got[first + 3]);
	TH_LOG("the stream is at %llu of its period, what is there belongs to %zu of it%s",
	       (unsigned long long)(pos + first) % PERIOD, from, from == PERIOD ? " (nowhere)" : "");
	TH_LOG("%s", memchr(got, CANARY, v->iov_len) ? "the canary is in it" : "no canary is in it");
}

/* Looks at one region and the payloads in it, of which there are @n at most: how many. */
static int look(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self,
		const struct iovec *region, const struct iovec *payloads,
		const struct zcio_payload *info, int n, bool all)
{
	int count = zt_region(_metadata, region, payloads, n, all);

	for (int i = 0; i < count; i++) {
		const struct iovec *payload = &payloads[i];

		ASSERT_EQ(0, memcmp(payload->iov_base, stream + self->pos % PERIOD, payload->iov_len)) {
			TH_LOG("payload %llu is not the stream", (unsigned long long)self->payloads);
			differs(_metadata, payload, self->pos, &info[i]);
		}
		self->pos += payload->iov_len;
	}
	return count;
}

/* One call over regions that differ in size from call to call. */
static bool receive(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self)
{
	static const unsigned char sizes[] = { 1, 2, 3, 3, 4, 16 };
	struct iovec regions[128], iov[128];
	struct zcio_payload info[128];
	uint32_t pages = sizes[zt_draw(&self->seed, ARRAY_SIZE(sizes))];
	uint32_t count = 1 + zt_draw(&self->seed, WINDOW_PAGES / pages < 128 ? WINDOW_PAGES / pages : 128);
	uint32_t first = zt_draw(&self->seed, WINDOW_PAGES - count * pages + 1);
	bool every = zt_draw(&self->seed, 64) == 0;
	uint32_t sample = zt_draw(&self->seed, count);
	int n, seen = 0;

	for (uint32_t i = 0; i < count; i++) {
		/* Some do not begin or end at a page: their whole pages count. */
		uint32_t cut = pages > 1 && zt_draw(&self->seed, 4) == 0 ? 1 + zt_draw(&self->seed, 4095) : 0;

		regions[i] = zt_iov(self->z.win + ZT_PAGES(first + i * pages) + cut, ZT_PAGES(pages) - cut);
	}
	memcpy(iov, regions, sizeof(iov));
	n = zt_readv(self->z.dev, self->z.rx, iov, count, info, 0);
	ASSERT_LE(0, n);
	for (int i = 0; i < n; i++) {
		ASSERT_EQ(iov[i].iov_len, info[i].mapped + info[i].copied);
		self->payloads++;
		self->mapped += info[i].mapped;
		self->copied += info[i].copied;
		self->tails += info[i].mapped && !info[i].copied &&
			((uintptr_t)iov[i].iov_base + iov[i].iov_len) % ZT_PAGE;
	}
	for (uint32_t i = 0; n && i < count; i++)
		seen += look(_metadata, self, &regions[i], iov + seen, info + seen, n - seen,
			     every || i == sample);
	ASSERT_EQ(n, seen);
	return n;
}

/* The device that puts headers and payload into different pages. */
static bool splits(void)
{
	return !strcmp(getenv("ZCIO_NIC"), "e1000e") && atoi(getenv("ZCIO_MTU")) >= 9000;
}

/* Whether there was something to find: enough of all that others had in their pages. */
static bool enough(const struct shared *shared)
{
	return shared->areas > 500 && shared->spliced > 20 && shared->udp > 500 &&
	       shared->other_bytes > 1000000 && shared->poisoned;
}

TEST_F_TIMEOUT(leak, no_canary_and_nothing_but_zeros_around_payloads, 300)
{
	struct shared *shared = self->shared;
	uint64_t target = variant->payloads;
	pid_t child[2];
	int status;

	/* All of them where pages are mapped; where all is copied, some will do. */
	if (!splits())
		target = target < 30000 ? target : 30000;
	/* A debug kernel looks at each of them more closely, and takes ten times as long. */
	if (zt_debug())
		target = target / 10 > 3000 ? target / 10 : 3000;

	child[0] = fork();
	ASSERT_LE(0, child[0]);
	if (!child[0]) {
		close(self->z.rx);
		close(self->other[0]);
		send_all(_metadata, &self->sender);
		_exit(0);
	}
	close(self->z.tx);
	close(self->other[1]);
	child[1] = fork();
	ASSERT_LE(0, child[1]);
	if (!child[1]) {
		close(self->z.rx);
		stranger(self->other[0]);
	}
	close(self->other[0]);

	while (receive(_metadata, self))
		if (self->payloads >= target && enough(shared))
			shared->stop = true;
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(child[i], waitpid(child[i], &status, 0));
		ASSERT_EQ(0, status);
	}
	TH_LOG("%llu payloads, %llu MB mapped, %llu MB copied, %llu mapped with a tail",
	       (unsigned long long)self->payloads, (unsigned long long)self->mapped / 1000000,
	       (unsigned long long)self->copied / 1000000, (unsigned long long)self->tails);
	TH_LOG("%llu messages, %llu areas, %llu spliced; canary: %llu datagrams, %llu MB beside, %llu MB freed",
	       (unsigned long long)shared->messages, (unsigned long long)shared->areas,
	       (unsigned long long)shared->spliced, (unsigned long long)shared->udp,
	       (unsigned long long)shared->other_bytes / 1000000,
	       (unsigned long long)shared->poisoned / 1000000);
	ASSERT_LE(target, self->payloads);
	ASSERT_TRUE(enough(shared));
	if (variant->path == ZT_WIRE4 && splits()) {
		ASSERT_LT(self->payloads / 2, self->tails);
	}
}

/*
 * Pages that a pool sent and does not know any more: the receiver has the only reference
 * and may map them, and what the sender had around the payload must be gone from them.
 */
TEST_F(leak, areas_of_a_pool_that_is_gone)
{
	struct sender *s = &self->sender;
	uint64_t mapped = 0;

	for (int round = 0; round < (zt_debug() ? 25 : 100); round++) {
		struct zcio_ctx *ctx = zt_context();
		size_t total = 0;

		ASSERT_NE(NULL, ctx);
		s->dev = zcio_ctx_fd(ctx);
		s->pool = zt_pool(_metadata, ctx, 4 * AREA_PAGES);
		for (int i = 0; i < 4; i++) {
			size_t len = draw_len(&s->seed) % 9000 + 1;

			send_area(_metadata, s, len);
			s->pos += len;
			total += len;
		}
		ASSERT_EQ(0, zcio_unmap(s->pool, ZT_PAGES(4 * AREA_PAGES)));
		zcio_close(ctx);
		zt_arrived(_metadata, self->z.rx, total);
		zt_acked(_metadata, s->fd);	/* nor does its retransmit queue know them */
		while (self->pos < s->pos) {
			uint64_t before = self->mapped;

			ASSERT_TRUE(receive(_metadata, self));
			mapped += self->mapped - before;
		}
	}
	if (variant->path == ZT_LO4 || variant->path == ZT_LO6) {
		ASSERT_LT(0, mapped);
		ASSERT_LT(0, self->tails);
	}
}

TEST_HARNESS_MAIN
