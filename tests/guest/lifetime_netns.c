// SPDX-License-Identifier: GPL-2.0
/*
 * Lasting, with network namespaces of the tests' own: payloads stay when the pair of virtual
 * devices that they came through, the sender's or their own namespace is gone. A context
 * and its window belong to no namespace.
 *
 * timeout: 300
 */
#include "lifetime.h"

#define BYTES	(256 << 10)

static const struct path veth = {
	.near = { .ns = "zta", .device = "zta0", .address = "10.78.0.1" },
	.far = { .ns = "ztb", .device = "ztb0", .address = "10.78.0.2" },
	.unit = 8000,
};

#define WIRE \
	"ip netns add zta; ip netns add ztb\n" \
	"ip -n zta link add zta0 mtu 9000 type veth peer name ztb0 mtu 9000 netns ztb\n" \
	"ip -n zta addr add 10.78.0.1/24 dev zta0; ip -n ztb addr add 10.78.0.2/24 dev ztb0\n" \
	"ip -n zta link set zta0 up; ip -n ztb link set ztb0 up\n"
#define UNWIRE \
	"for ns in zta ztb; do if [ -e /run/netns/$ns ]; then ip netns del $ns; fi; done\n"

FIXTURE(veth)
{
	struct lasting l;
};

FIXTURE_VARIANT(veth)
{
	enum kind kind;
	unsigned int flags;		/* of the window */
};

FIXTURE_VARIANT_ADD(veth, tcp) { .kind = TCP };
FIXTURE_VARIANT_ADD(veth, tcp_writable) { .kind = TCP, .flags = ZCIO_WINDOW_WRITABLE };
FIXTURE_VARIANT_ADD(veth, udp) { .kind = UDP };
FIXTURE_VARIANT_ADD(veth, packet) { .kind = PACKET };

FIXTURE_SETUP(veth)
{
	struct zt *z = &self->l.z;

	SHELL(UNWIRE WIRE);
	open_lasting(_metadata, &self->l, variant->kind, veth);
	ASSERT_EQ(0, zcio_unmap(z->win, ZT_PAGES(WINDOW)));
	z->win = zcio_window(z->ctx, ZT_PAGES(WINDOW), variant->flags);
	ASSERT_NE(NULL, z->win);
	keep(_metadata, &self->l, BYTES);
	TH_LOG("%zu payloads, %llu bytes mapped, %llu copied", self->l.count,
	       (unsigned long long)self->l.mapped, (unsigned long long)self->l.copied);
	/* A datagram lies beside its headers there. */
	if (variant->kind != UDP)
		ASSERT_LT(0, self->l.mapped);
}

FIXTURE_TEARDOWN(veth)
{
	SHELL(UNWIRE);
}

/* Everything is made again, and used with the context and the window of before. */
static void works_in_new_ones(struct __test_metadata *_metadata, struct lasting *l)
{
	SHELL(UNWIRE WIRE);
	open_pair(_metadata, l);
	pass(_metadata, l, BYTES);
	still_there(_metadata, l);
	keep(_metadata, l, BYTES);
	still_there(_metadata, l);
	goes_back(_metadata, l);
}

/* The sockets know nothing of it but that nothing comes any more. */
TEST_F_TIMEOUT(veth, when_the_pair_of_devices_is_deleted, 60)
{
	struct lasting *l = &self->l;

	SHELL("ip -n ztb link del ztb0; if ip -n zta link show zta0 2>/dev/null; then false; fi");
	still_there(_metadata, l);
	close_pair(_metadata, l);
	still_there(_metadata, l);
	works_in_new_ones(_metadata, l);
}

/* It goes when nothing is in it any more: the other end of its device goes with it. */
TEST_F_TIMEOUT(veth, when_the_receivers_namespace_is_gone, 60)
{
	struct lasting *l = &self->l;

	close_pair(_metadata, l);
	SHELL("ip netns del zta; while ip -n ztb link show ztb0 >/dev/null 2>&1; do sleep 0.1; done");
	still_there(_metadata, l);
	works_in_new_ones(_metadata, l);
}

TEST_F_TIMEOUT(veth, when_the_senders_namespace_is_gone, 60)
{
	struct lasting *l = &self->l;

	close_pair(_metadata, l);
	SHELL("ip netns del ztb; while ip -n zta link show zta0 >/dev/null 2>&1; do sleep 0.1; done");
	still_there(_metadata, l);
	works_in_new_ones(_metadata, l);
}

/* A namespace without a name lives on with its sockets. */
TEST_F_TIMEOUT(veth, when_the_namespaces_have_lost_their_names, 60)
{
	struct lasting *l = &self->l;

	SHELL("ip netns del zta; ip netns del ztb");
	still_there(_metadata, l);
	keep(_metadata, l, BYTES);
	still_there(_metadata, l);
	close_pair(_metadata, l);
	works_in_new_ones(_metadata, l);
}

/* One window holds payloads of several at once; some of them go, the others stay. */
TEST_F_TIMEOUT(veth, of_several_namespaces_in_one_window, 60)
{
	struct lasting *l = &self->l, *own = calloc(1, sizeof(*own));

	/* Beside what came by zta: what comes by this process's own, through lo. */
	own->kind = variant->kind == PACKET ? UDP : variant->kind;
	own->path = (struct path){ .near = { .address = "127.0.0.1" }, .far = { .address = "127.0.0.1" },
				   .unit = 8000 };
	own->z = l->z;
	own->pages = l->pages;
	open_pair(_metadata, own);
	keep(_metadata, own, BYTES);
	keep(_metadata, own, BYTES);
	close_pair(_metadata, l);
	SHELL(UNWIRE);
	keep(_metadata, own, BYTES);
	still_there(_metadata, l);
	still_there(_metadata, own);
	goes_back(_metadata, own);
}

TEST_HARNESS_MAIN
