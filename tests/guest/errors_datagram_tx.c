// SPDX-License-Identifier: GPL-2.0
/*
 * What zc_writev says of UDP when a datagram cannot go: too little room, a full send buffer,
 * a peer that is not there, a filter that drops it. What is not sent stays in its area, and
 * nothing of the kernel's ever shows there, also when somebody else has seen the datagram.
 *
 * timeout: 120
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/syscall.h>

#include "caller.h"
#include "datagram_tx.h"

FIXTURE(udp)
{
	struct dg d;
	size_t head;
	bool rigged;		/* the device has something to be taken off */
};

FIXTURE_VARIANT(udp)
{
	enum zt_path path;
};

FIXTURE_VARIANT_ADD(udp, lo4) { .path = ZT_LO4 };
FIXTURE_VARIANT_ADD(udp, lo6) { .path = ZT_LO6 };
FIXTURE_VARIANT_ADD(udp, wire4) { .path = ZT_WIRE4 };
FIXTURE_VARIANT_ADD(udp, wire6) { .path = ZT_WIRE6 };

FIXTURE_SETUP(udp)
{
	struct dg *d = &self->d;

	dg_open(_metadata, d, variant->path, DG_CONNECTED);
	d->z.pool = zt_pool(_metadata, d->z.ctx, 512);
	self->head = tx_head(_metadata, d->z.ctx, d->z.rx);
}

/* Whether a line of the shell went well. */
static bool shell(const char *line)
{
	return !system(line);
}

FIXTURE_TEARDOWN(udp)
{
	if (self->rigged)
		shell("{ tc qdisc del dev zc0 root; tc qdisc del dev zc0 clsact; ip link del zcdrop; "
		      "ip neigh flush dev zc0 nud permanent; } 2>&1");
	zcio_close(self->d.z.ctx);
}

/* A datagram of @len bytes, from wherever it lies, fails with @err. */
static void fails(struct __test_metadata *_metadata, FIXTURE_DATA(udp) *self, size_t len,
		  struct zcio_writev call, int err, bool begun)
{
	pair iov[1];

	for (int i = 0; i < TX_OFFSETS; i++) {
		tx_place(&self->d.z, iov[0], 0, tx_offset(self->head, i), len, 3);
		tx_fails(_metadata, &self->d.z, iov[0], call, 3, err, begun);
	}
}

/* All is well: a datagram goes, and it is the only one that comes. */
static void works(struct __test_metadata *_metadata, FIXTURE_DATA(udp) *self)
{
	struct zt *z = &self->d.z;
	pair iov[1];

	tx_place(z, iov[0], 0, self->head, 800, 1);
	ASSERT_EQ(1, zc_writev(z->rx, iov, 1)) TH_LOG("%m");
	tx_arrives(_metadata, z->tx, 800, 1);
	zt_nothing(_metadata, z->tx);
}

TEST_F(udp, segment_that_is_no_size_is_EINVAL)
{
	fails(_metadata, self, 1000, (struct zcio_writev){ .segment = 65536 }, EINVAL, false);
	fails(_metadata, self, 1000, (struct zcio_writev){ .segment = UINT32_MAX }, EINVAL, false);
	works(_metadata, self);
}

/* An error after the first payload ends the call, which says how many went. */
TEST_F(udp, datagram_too_large_ends_the_call)
{
	struct zt *z = &self->d.z;
	struct zcio_payload info[3];
	uint64_t taken;
	pair iov[3];

	tx_place(z, iov[0], 0, self->head, 700, 0);
	tx_place(z, iov[1], 8, self->head, 70000, 10);
	tx_place(z, iov[2], 40, self->head, 700, 20);
	ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 3, info, 0, &taken));
	ASSERT_EQ(700, taken);
	ASSERT_EQ(700, info[0].mapped + info[0].copied);
	ASSERT_EQ(0, info[1].mapped + info[1].copied + info[2].mapped + info[2].copied);
	tx_gone(_metadata, iov[0]);
	tx_still(_metadata, iov[1], 10, false);
	tx_still(_metadata, iov[2], 20, false);
	tx_arrives(_metadata, z->tx, 700, 0);
	works(_metadata, self);
}

TEST_F(udp, shut_down_for_writing_is_EPIPE)
{
	ASSERT_EQ(0, shutdown(self->d.z.rx, SHUT_WR));
	fails(_metadata, self, 1000, (struct zcio_writev){}, EPIPE, false);
	zt_nothing(_metadata, self->d.z.tx);
}

TEST_F(udp, peer_not_there_is_ECONNREFUSED)
{
	struct pollfd p = { .fd = self->d.z.rx };
	struct zt *z = &self->d.z;
	pair iov[1];

	close(z->tx);
	for (int i = 0; i < 3; i++) {
		tx_place(z, iov[0], 0, self->head, 500, 0);
		ASSERT_EQ(1, zc_writev(z->rx, iov, 1));
		ASSERT_EQ(1, poll(&p, 1, -1));
		tx_place(z, iov[0], 0, self->head, 500, 3);
		tx_fails(_metadata, z, iov[0], (struct zcio_writev){}, 3, ECONNREFUSED,
			 false);
	}
}

/* A page that somebody holds is copied; so they never see the kernel's headers in it. */
TEST_F(udp, page_that_somebody_holds_is_copied)
{
	struct zt *z = &self->d.z;
	struct zcio_payload info[1];
	unsigned char page[ZT_PAGE];
	struct iovec held;
	uint64_t taken;
	pair iov[1];
	int p[2];

	for (int i = 0; i < TX_OFFSETS; i++) {
		size_t offset = tx_offset(self->head, i);

		for (size_t n = 0; n <= offset / ZT_PAGE; n++) {
			bool payload = n == offset / ZT_PAGE;

			tx_place(z, iov[0], 0, offset, 1200, 40);
			held = zt_iov(z->pool + ZT_PAGES(n), ZT_PAGE);
			ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
			ASSERT_EQ((ssize_t)ZT_PAGE, vmsplice(p[1], &held, 1, 0));
			ASSERT_EQ(1, zt_writev(z->dev, z->rx, iov, 1, info, 0, &taken));
			ASSERT_EQ(payload, !!(info[0].why & ZCIO_WHY_PINNED));
			ASSERT_EQ(1200, info[0].mapped + info[0].copied);
			tx_gone(_metadata, iov[0]);
			ASSERT_EQ((ssize_t)ZT_PAGE, read(p[0], page, ZT_PAGE));
			for (size_t at = 0; at < ZT_PAGE; at++) {
				size_t from = ZT_PAGES(n) + at - offset;

				/* A page that has no part in it is cleared where it is. */
				if (ZT_PAGES(n) + at < offset && !page[at])
					continue;
				ASSERT_EQ(ZT_PAGES(n) + at >= offset && from < 1200 ?
					  zt_byte(40 + from) : TX_JUNK, page[at]);
			}
			tx_arrives(_metadata, z->tx, 1200, 40);
			close(p[0]);
			close(p[1]);
		}
	}
}

/* ---- dropped on the way ---- */

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* This process goes to a cgroup that no packet leaves. */
static void drop_all(struct __test_metadata *_metadata)
{
	static const char path[] = "/sys/fs/cgroup/zcio-drop";
	/* return 0: drop it */
	struct bpf_insn code[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_CGROUP_SKB,
		.expected_attach_type = BPF_CGROUP_INET_EGRESS,
		.insns = ZT_PTR(code), .insn_cnt = ARRAY_SIZE(code), .license = ZT_PTR("GPL"),
	};
	union bpf_attr attach = { .attach_type = BPF_CGROUP_INET_EGRESS };
	int dir, procs;

	ASSERT_TRUE(!mkdir(path, 0755) || errno == EEXIST);
	dir = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, dir);
	attach.target_fd = dir;
	attach.attach_bpf_fd = bpf(BPF_PROG_LOAD, &load);
	ASSERT_LE(0, (int)attach.attach_bpf_fd) TH_LOG("%m");
	ASSERT_EQ(0, bpf(BPF_PROG_ATTACH, &attach)) TH_LOG("%m");
	procs = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, procs);
	ASSERT_EQ(1, write(procs, "0", 1));
	close(procs);
	close(dir);
}

/*
 * A filter drops what was complete, headers and all: nothing of these shows afterwards. The
 * socket belongs to the cgroup that it was made in.
 */
TEST_F(udp, dropped_by_a_filter_is_EPERM)
{
	struct zt *z = &self->d.z;
	pair iov[3];
	int fd, local = z->rx;
	char c = 'x';

	drop_all(_metadata);
	fd = socket(self->d.from.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, connect(fd, &self->d.from.sa, self->d.from.len));
	ASSERT_EQ(-1, send(fd, &c, 1, 0));
	ASSERT_EQ(EPERM, errno);
	z->rx = fd;
	fails(_metadata, self, 0, (struct zcio_writev){}, EPERM, true);
	fails(_metadata, self, 1000, (struct zcio_writev){}, EPERM, true);
	fails(_metadata, self, 60000, (struct zcio_writev){}, EPERM, true);
	fails(_metadata, self, 1000, (struct zcio_writev){ .flags = ZCIO_KEEP }, EPERM, false);
	/* Those behind it have not been begun. */
	for (int i = 0; i < 3; i++)
		tx_place(z, iov[i], 4 * i, self->head + i * 64, 600, i);
	ASSERT_EQ(-1, zc_writev(fd, iov, 3));
	ASSERT_EQ(EPERM, errno);
	for (int i = 0; i < 3; i++)
		tx_still(_metadata, iov[i], i, i == 0);
	zt_nothing(_metadata, z->tx);
	z->rx = local;
	works(_metadata, self);
}

/*
 * The device's filter sends a copy elsewhere, where a tap holds it, and then drops the
 * datagram: an error for a socket that wants to know. The tap's copy has the same pages, head
 * included: they cannot go back to the area.
 */
TEST_F(udp, dropped_when_somebody_has_a_copy_leaves_them_the_pages)
{
	bool v6 = variant->path == ZT_WIRE6;
	int one = 1, size = 64 << 20, tap;
	struct zt *z = &self->d.z;
	static unsigned char buf[DG_STEP];
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct ifreq name = { .ifr_name = "zcdrop" };
	pair iov[1];

	if (variant->path < ZT_WIRE4 || !strcmp(getenv("ZCIO_NIC"), "lo"))
		SKIP(return, "needs a device of its own");
	self->rigged = true;
	if (!shell("modprobe -a dummy sch_ingress cls_matchall act_mirred act_gact && "
		   "ip link add zcdrop type dummy && ip link set zcdrop up && "
		   "tc qdisc add dev zc0 clsact"))
		SKIP(return, "no dummy device, or no filters");
	tap = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(0, ioctl(tap, SIOCGIFINDEX, &name));
	at.sll_ifindex = name.ifr_ifindex;
	ASSERT_EQ(0, bind(tap, (struct sockaddr *)&at, sizeof(at)));
	ASSERT_EQ(0, setsockopt(tap, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(z->rx, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
				v6 ? IPV6_RECVERR : IP_RECVERR, &one, sizeof(one)));
	ASSERT_EQ(0, system("tc filter add dev zc0 egress matchall action mirred egress mirror "
			    "dev zcdrop action drop"));

	for (int i = 0; i < TX_OFFSETS; i++) {
		size_t header = v6 ? 48 : 28;
		ssize_t n;

		tx_place(z, iov[0], 0, tx_offset(self->head, i), 1300, 3);
		tx_fails(_metadata, z, iov[0], (struct zcio_writev){}, 3, ENOBUFS, true);
		/* What is written now cannot be in what the tap holds. */
		memset(iov[0][0].iov_base, 0x5a, iov[0][0].iov_len);
		do {
			n = recv(tap, buf, sizeof(buf), 0);
			ASSERT_LT(0, n);
		} while (n != (ssize_t)header + 1300);
		ASSERT_EQ(v6 ? 0x60 : 0x45, buf[0]);
		ASSERT_EQ(1300, zt_same(buf + header, 1300, 3));
		for (size_t at = 0; at < iov[0][0].iov_len; at++)
			ASSERT_EQ(0x5a, ((unsigned char *)iov[0][0].iov_base)[at]);
	}
	ASSERT_EQ(0, system("tc qdisc del dev zc0 clsact"));
	works(_metadata, self);
}

/* ---- a full send buffer ---- */

#define WAITING	64		/* payloads of a call */
#define EACH	1200		/* bytes of each */

/* A device that sends next to nothing, behind a small send buffer. */
static bool jam(struct __test_metadata *_metadata, FIXTURE_DATA(udp) *self, enum zt_path path)
{
	int size = 40000;

	if (path < ZT_WIRE4 || !strcmp(getenv("ZCIO_NIC"), "lo"))
		return false;
	self->rigged = true;
	if (!tx_jam(path))
		return false;
	/* Nobody asks for the peer's address behind what waits. */
	ASSERT_EQ(0, system("mac=$(ip -n peer -o link show zc1 | sed -E 's/.*ether ([^ ]*).*/\\1/'); "
			    "for a in $ZCIO_PEER4 $ZCIO_PEER6; do "
			    "ip neigh replace $a lladdr $mac dev zc0 nud permanent || exit 1; done"));
	ASSERT_EQ(0, setsockopt(self->d.z.rx, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	return true;
}

static void prepare(FIXTURE_DATA(udp) *self, pair *iov)
{
	for (int i = 0; i < WAITING; i++)
		tx_place(&self->d.z, iov[i], 2 * i, tx_offset(self->head, i % 4), EACH, dg_pos(i));
}

/* Of a call's payloads exactly the first @n went. */
static void went(struct __test_metadata *_metadata, FIXTURE_DATA(udp) *self, pair *iov, int n)
{
	for (int i = 0; i < WAITING; i++) {
		if (i < n)
			tx_gone(_metadata, iov[i]);
		else
			tx_still(_metadata, iov[i], dg_pos(i), false);
	}
}

TEST_F(udp, full_send_buffer_ends_a_call_that_may_not_wait)
{
	struct zt *z = &self->d.z;
	int took[100], calls = 0;
	pair iov[WAITING];
	uint64_t taken;

	if (!jam(_metadata, self, variant->path))
		SKIP(return, "no device that can be slowed down");
	/* What the device sends before it is slow makes a little room now and then. */
	for (;;) {
		int n;

		ASSERT_GT(ARRAY_SIZE(took), calls);
		prepare(self, iov);
		zt_nonblock(_metadata, z->rx, calls % 2);
		n = zt_writev(z->dev, z->rx, iov, WAITING, NULL, calls % 2 ? 0 : ZCIO_DONTWAIT,
			      &taken);
		if (n == -EAGAIN)
			break;
		ASSERT_LT(0, n);
		ASSERT_GT(WAITING, n);
		ASSERT_EQ((uint64_t)n * EACH, taken);
		went(_metadata, self, iov, n);
		took[calls++] = n;
	}
	ASSERT_LT(0, calls);
	ASSERT_EQ(0, taken);
	went(_metadata, self, iov, 0);
	tx_unjam(_metadata, variant->path);
	for (int i = 0; i < calls; i++)
		for (int j = 0; j < took[i]; j++)
			tx_arrives(_metadata, z->tx, EACH, dg_pos(j));
	zt_nothing(_metadata, z->tx);
}

TEST_F(udp, signal_ends_a_call_that_waits)
{
	struct zt *z = &self->d.z;
	pair iov[WAITING];
	struct caller c = CALLER_WRITEV(z, iov, WAITING), again = CALLER_WRITEV(z, iov, WAITING);

	if (!jam(_metadata, self, variant->path))
		SKIP(return, "no device that can be slowed down");
	caller_catches(_metadata, false);
	prepare(self, iov);
	caller_start(_metadata, &c);
	caller_signal(_metadata, &c);
	caller_join(_metadata, &c);
	ASSERT_LT(0, c.ret);
	ASSERT_GT(WAITING, c.ret);
	ASSERT_EQ((uint64_t)c.ret * EACH, c.writev.taken);
	went(_metadata, self, iov, c.ret);
	/* As long as nothing was taken, with an error. */
	do {
		again.writev.taken = 0;
		again.tid = 0;
		prepare(self, iov);
		caller_start(_metadata, &again);
		caller_signal(_metadata, &again);
		caller_join(_metadata, &again);
		went(_metadata, self, iov, again.ret < 0 ? 0 : again.ret);
	} while (again.ret > 0);
	ASSERT_EQ(-EINTR, again.ret);
	tx_unjam(_metadata, variant->path);
	for (int i = 0; i < c.ret; i++)
		tx_arrives(_metadata, z->tx, EACH, dg_pos(i));
}

TEST_F(udp, call_that_waits_sends_all_when_there_is_room)
{
	struct zt *z = &self->d.z;
	pair iov[WAITING];
	struct caller c = CALLER_WRITEV(z, iov, WAITING);

	if (!jam(_metadata, self, variant->path))
		SKIP(return, "no device that can be slowed down");
	prepare(self, iov);
	caller_start(_metadata, &c);
	tx_unjam(_metadata, variant->path);
	caller_join(_metadata, &c);
	ASSERT_EQ(WAITING, c.ret);
	went(_metadata, self, iov, WAITING);
	for (int i = 0; i < WAITING; i++)
		tx_arrives(_metadata, z->tx, EACH, dg_pos(i));
}

TEST_HARNESS_MAIN
