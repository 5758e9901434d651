// SPDX-License-Identifier: GPL-2.0
/*
 * Lasting: payloads stay as they were received while the device that wrote them uses its
 * ring again, is stopped, gets another MTU, or loses its driver; and when their sender is
 * killed. After that the device works as before, and the pages go back. Each test leaves
 * the devices as the rig had wired them.
 *
 * timeout: 600
 */
#include "lifetime.h"

#define BYTES	(256 << 10)
/* Through all of a ring, and many times; the debug kernel takes its time. */
#define SOME	(zt_debug() ? 1 << 20 : 4 << 20)
#define MUCH	(3 * SOME)

FIXTURE(wire)
{
	struct lasting l;
	bool changed;			/* the devices are not as they were */
};

FIXTURE_VARIANT(wire)
{
	enum kind kind;
};

FIXTURE_VARIANT_ADD(wire, tcp) { .kind = TCP };
FIXTURE_VARIANT_ADD(wire, udp) { .kind = UDP };
FIXTURE_VARIANT_ADD(wire, packet) { .kind = PACKET };

typedef FIXTURE_DATA(wire) wire;

FIXTURE_SETUP(wire)
{
	struct path path = {
		.near = { .device = "zc0", .address = getenv("ZCIO_LOCAL4") },
		.far = { .ns = "peer", .device = "zc1", .address = getenv("ZCIO_PEER4") },
		.unit = atoi(getenv("ZCIO_MTU")) - 100,
	};

	if (!strcmp(getenv("ZCIO_NIC"), "lo"))
		SKIP(return, "no device of its own");
	ASSERT_EQ(0, access("/sys/class/net/zc0", F_OK)) TH_LOG("a test before has lost the device");
	open_lasting(_metadata, &self->l, variant->kind, path);
	keep(_metadata, &self->l, BYTES);
	TH_LOG("%zu payloads, %llu bytes mapped, %llu copied", self->l.count,
	       (unsigned long long)self->l.mapped, (unsigned long long)self->l.copied);
	/* Else it would be about copies only. */
	if (path.unit > ZT_PAGES(2) && strcmp(getenv("ZCIO_NIC"), "veth"))
		ASSERT_LT(0, self->l.mapped);
}

FIXTURE_TEARDOWN(wire)
{
	if (self->changed)
		SHELL("if [ -e /sys/class/net/zc0 ]; then net_addresses; else net_wire; fi");
}

TEST_F_TIMEOUT(wire, while_the_ring_is_used_again, 90)
{
	pass(_metadata, &self->l, MUCH);
	still_there(_metadata, &self->l);
	goes_back(_metadata, &self->l);
}

TEST_F_TIMEOUT(wire, when_the_device_is_down_and_up, 90)
{
	struct lasting *l = &self->l;

	self->changed = true;
	SHELL("ip link set zc0 down");
	still_there(_metadata, l);
	close_pair(_metadata, l);
	still_there(_metadata, l);
	SHELL("net_addresses");
	self->changed = false;
	open_pair(_metadata, l);
	pass(_metadata, l, SOME);
	still_there(_metadata, l);
	goes_back(_metadata, l);
}

/* A socket that lives on sees the rest of its stream, with the payloads of before. */
TEST_F_TIMEOUT(wire, of_a_socket_that_sees_its_device_down_and_up, 90)
{
	struct lasting *l = &self->l;

	self->changed = true;
	SHELL("ip link set zc0 down");
	SHELL("net_addresses");
	self->changed = false;
	if (variant->kind == PACKET) {
		struct iovec iov = zt_iov(l->z.win + ZT_PAGES(l->pages), ZT_PAGES(16));

		/* As recvmsg() tells it, once. */
		ASSERT_EQ(-ENETDOWN, zt_readv(l->z.dev, l->z.rx, &iov, 1, NULL, 0));
	}
	keep(_metadata, l, BYTES);
	still_there(_metadata, l);
	goes_back(_metadata, l);
}

/* The ring is made anew, for frames of another size, and then again. */
TEST_F_TIMEOUT(wire, when_the_mtu_changes, 90)
{
	struct lasting *l = &self->l;

	self->changed = true;
	SHELL("if [ $ZCIO_MTU = 1500 ]; then mtu=2000; else mtu=1500; fi; ip link set zc0 mtu $mtu || ip link set zc0 mtu 1400");
	still_there(_metadata, l);
	SHELL("net_addresses");
	self->changed = false;
	pass(_metadata, l, SOME);
	still_there(_metadata, l);
	goes_back(_metadata, l);
}

/* ---- the driver goes ---- */

/* Notes when a pool of a driver's pages is let go, and how many of them are still missing. */
#define WATCH_POOLS \
	"cd /sys/kernel/tracing; [ -e trace ] || mount -t tracefs nodev /sys/kernel/tracing\n" \
	"cd /sys/kernel/tracing; echo 1 >events/page_pool/page_pool_release/enable; echo >trace; cd - >/dev/null\n"

/*
 * Waits until none is missing: each pool's last line says so. What was received may wait in a
 * list of its processor to be freed, until something else is received there.
 */
#define NO_POOL_WAITS \
	"until awk \"/page_pool_release:/ { for (i = 1; i < NF; i++) if (\\$i ~ /^page_pool=/) left[\\$i] = \\$(i + 1) }" \
	" END { for (pool in left) if (left[pool] != \\\"inflight=0\\\") exit 1 }\" /sys/kernel/tracing/trace; do" \
	" for ((cpu = 0; cpu < $(nproc); cpu++)); do taskset -c $cpu ping -c 1 -q 127.0.0.1 >/dev/null; done; done\n" \
	"echo \"# pools let go, or looked at again: $(grep -c page_pool_release: /sys/kernel/tracing/trace)\"\n" \
	"echo 0 >/sys/kernel/tracing/events/page_pool/page_pool_release/enable\n"

/* What all of them do afterwards. */
static void works_as_before(struct __test_metadata *_metadata, wire *self)
{
	struct lasting *l = &self->l;

	self->changed = false;
	open_pair(_metadata, l);
	pass(_metadata, l, SOME);
	still_there(_metadata, l);
	goes_back(_metadata, l);
}

/* As when the card is pulled, or the device given to another driver; with the socket open. */
TEST_F_TIMEOUT(wire, when_the_driver_lets_go_of_the_device, 90)
{
	struct lasting *l = &self->l;

	if (access("/sys/class/net/zc0/device/driver", F_OK))
		SKIP(return, "no device with a driver");
	self->changed = true;
	SHELL(WATCH_POOLS
	      "device=$(readlink -f /sys/class/net/zc0/device) driver=$(readlink -f $device/driver)\n"
	      "echo ${device##*/} >$driver/unbind\n"
	      "[ ! -e /sys/class/net/zc0 ]\n"
	      NO_POOL_WAITS
	      "echo ${device##*/} >$driver/bind\n");
	still_there(_metadata, l);
	close_pair(_metadata, l);
	still_there(_metadata, l);
	SHELL("rename 52:54:00:77:00:01 zc0; net_addresses");
	works_as_before(_metadata, self);
}

TEST_F_TIMEOUT(wire, when_the_driver_is_unloaded, 90)
{
	struct lasting *l = &self->l;

	if (system("bash -c '. tests/rig/guest-net.sh; [ -e /sys/module/$(nic_module $ZCIO_NIC)/refcnt ]'"))
		SKIP(return, "the driver is no module");
	close_pair(_metadata, l);
	self->changed = true;
	SHELL(WATCH_POOLS
	      "rmmod $(nic_module $ZCIO_NIC)\n"
	      "[ ! -e /sys/class/net/zc0 ]\n"
	      NO_POOL_WAITS);
	still_there(_metadata, l);
	SHELL("net_wire");
	works_as_before(_metadata, self);
}

/* ---- the sender goes ---- */

TEST_F_TIMEOUT(wire, when_the_sender_is_killed, 60)
{
	struct lasting *l = &self->l;
	int ready[2];
	pid_t pid;
	char c;

	/* Its sockets, page frags and packets are the child's alone. */
	close_pair(_metadata, l);
	open_pair(_metadata, l);
	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(l->z.rx);
		for (int i = 0; i < 8; i++)
			put(_metadata, l);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(l->z.tx);
	l->z.tx = -1;
	ASSERT_EQ(1, read(ready[0], &c, 1));
	l->sent = l->kind == TCP ? 8 * l->path.unit : 8;
	while (l->got < l->sent)
		take(_metadata, l);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	still_there(_metadata, l);
	close_pair(_metadata, l);
	open_pair(_metadata, l);
	pass(_metadata, l, SOME);
	still_there(_metadata, l);
	goes_back(_metadata, l);
}

TEST_HARNESS_MAIN
