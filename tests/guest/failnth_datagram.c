// SPDX-License-Identifier: GPL-2.0
/*
 * zc_readv on sockets that keep boundaries with its memory failing (failnth.h): a call that
 * fails says why, has put back every datagram, in order, and leaves the elements alone.
 *
 * Needs a kernel with fault injection (KERNEL=debug); skipped elsewhere.
 *
 * timeout: 600
 */
#include "failnth.h"
#include "flow.h"

#define REGIONS		4
#define REGION_PAGES	5

struct reading {
	struct flow *flow;
	char *win;
	struct iovec iov[REGIONS], old[REGIONS];
	struct zcio_payload info[REGIONS];
	struct zcio_readv call;
};

FIXTURE(datagram)
{
	struct fail f;
	struct flow flow;
};

FIXTURE_VARIANT(datagram)
{
	enum flow_kind kind;
	bool wire;
	enum how how;
};

FIXTURE_VARIANT_ADD(datagram, udp_one) { UDP4, true, ONE };
FIXTURE_VARIANT_ADD(datagram, udp_all) { UDP6, true, ALL };
FIXTURE_VARIANT_ADD(datagram, packet_one) { RAW, false, ONE };
FIXTURE_VARIANT_ADD(datagram, packet_all) { COOKED, false, ALL };

FIXTURE_SETUP(datagram)
{
	struct fail *f = &self->f;

	if (!fail_setup(_metadata, f, variant->how))
		SKIP(return, FAIL_SKIP);
	zt_open(_metadata, &f->z, 0, 0);
	flow_open(_metadata, &self->flow, variant->kind, variant->wire);
}

FIXTURE_TEARDOWN(datagram)
{
	struct fail *f = &self->f;

	if (!f->watch)
		return;
	close(self->flow.to);
	close(self->flow.from);
	zcio_close(f->z.ctx);
	fail_teardown(_metadata, f);
}

static void before(struct __test_metadata *_metadata, struct fail *f)
{
	static const size_t messages[] = { 100, 5000, 9000 };
	struct reading *r = f->call;

	flow_drain(_metadata, r->flow);
	flow_rewind(r->flow);
	for (int i = 0; i < ARRAY_SIZE(messages); i++)
		flow_put(_metadata, r->flow, messages[i]);
	ASSERT_EQ(1, poll(&(struct pollfd){ .fd = r->flow->to, .events = POLLIN }, 1, -1));
	zt_regions(r->iov, r->win, REGIONS, REGION_PAGES);
	memcpy(r->old, r->iov, sizeof(r->iov));
	r->call = (struct zcio_readv){
		.fd = r->flow->to, .iov = ZT_PTR(r->iov), .iovcnt = REGIONS,
		.payloads = ZT_PTR(r->info), .error_index = 12345,
	};
}

static long call(struct fail *f)
{
	struct reading *r = f->call;

	return ioctl(f->z.dev, ZCIO_IOC_READV, &r->call);
}

static void failed(struct __test_metadata *_metadata, struct fail *f)
{
	struct reading *r = f->call;

	ASSERT_TRUE(r->call.error_index == -1 || r->call.error_index == 12345);
	ASSERT_EQ(0, memcmp(r->old, r->iov, sizeof(r->iov)));
}

/* What a call before it had put back comes now. */
static void done(struct __test_metadata *_metadata, struct fail *f, long ret)
{
	struct reading *r = f->call;

	ASSERT_LT(0, ret);
	flow_took(_metadata, r->flow, r->iov, r->info, ret);
	ASSERT_EQ(0, memcmp(r->old + ret, r->iov + ret, (REGIONS - ret) * sizeof(*r->iov)));
}

TEST_F_TIMEOUT(datagram, readv, 150)
{
	struct fail *f = &self->f;
	struct reading r = {
		.flow = &self->flow, .win = zt_window(_metadata, f->z.ctx, REGIONS * REGION_PAGES),
	};

	f->call = &r;
	sweep(_metadata, f, &(struct attempt){
		.what = "readv", .before = before, .call = call, .failed = failed, .done = done,
	});
	flow_drain(_metadata, r.flow);
	ASSERT_EQ(0, munmap(r.win, ZT_PAGES(REGIONS * REGION_PAGES)));
}

TEST_HARNESS_MAIN
