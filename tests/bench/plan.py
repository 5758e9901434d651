# SPDX-License-Identifier: GPL-2.0
"""What is measured: the one table of networks, and of each job's sizes, connections and bytes.
Which ways there are to do a job is asked of `zcio-bench --list`.

A line of the table: sizes of a request, numbers of connections, bytes moved in one run, kinds
of sender ("" where the job has no choice), and whether the cell belongs to `make bench-quick`
as well. A size that does not fit into one packet of a path's MTU is left out of the jobs of
datagrams."""
import fnmatch

KIB, MIB = 1 << 10, 1 << 20

# Driver and MTU. Quick ones are those of the first line.
PATHS = {
    "quick": [("e1000e", 9000), ("veth", 9000)],
    "full": [("e1000e", 9000), ("virtio-net-pci", 1500), ("virtio-net-pci", 9000), ("veth", 9000),
             ("lo", 65536)],
}
ROUNDS = {"quick": 3, "full": 5}
# Where the noise-free figures are taken: what the mechanisms do is the same on the others.
COUNTED_PATHS = {"quick": [("veth", 9000)],
                 "full": [("e1000e", 9000), ("veth", 9000)]}

# Rounds of the kernel's own tool, of four runs each, and the seconds of one; on the last path.
CALIBRATION = {"quick": (1, 2), "full": (3, 3)}

# Bytes at most of a quick run; of one that compares what came; of one that is counted by the observer.
QUICK_BYTES = 32 * MIB
CHECKED_BYTES = 8 * MIB
COUNTED_BYTES = 16 * MIB

# What is before the payload of a datagram, at least: Ethernet's header is not of the MTU.
IP_AND_UDP = 28
# The MTU that a page with the headers of IP and TCP takes.
ONE_PAGE = 4096 + 52
DATAGRAM_JOBS = ("udp_receive", "udp_send")


class Line:
    def __init__(self, sizes, mib, connections=(1,), senders=("",), quick=(), pages=False):
        self.sizes, self.bytes, self.connections, self.senders = sizes, mib * MIB, connections, senders
        self.pages = pages      # TCP segments of whole pages for all ways, not only for those that need it
        self.quick = quick      # the sizes that make bench-quick takes, with the first connections


PLAN = {
    "tcp_receive": [
        Line((4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB), 64, senders=("send",),
             quick=(16 * KIB, 256 * KIB)),
        Line((64 * KIB, 512 * KIB), 64, senders=("send", "zerocopy", "zc"), pages=True),
    ],
    "tcp_send": [
        Line((4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB), 64, quick=(16 * KIB, 256 * KIB)),
    ],
    "fanout": [
        Line((64 * KIB,), 64, connections=(8, 1, 32, 128), quick=(64 * KIB,)),
        Line((1 * MIB,), 64, connections=(8,)),
    ],
    "udp_receive": [
        Line((1400, 8 * KIB), 16, senders=("send",), quick=(8 * KIB,)),
        Line((1400, 8 * KIB), 16, senders=("gso", "zc")),
    ],
    "udp_send": [
        Line((1400, 8 * KIB), 16, quick=(8 * KIB,)),
    ],
    "rr": [
        Line((4 * KIB, 64 * KIB), 16, connections=(8, 1, 64), quick=(64 * KIB,)),
    ],
    "rr_upload": [
        Line((64 * KIB, 1 * MIB), 64, connections=(8, 1, 64), quick=(64 * KIB,)),
    ],
}
# A job that is not in the table (yet) is measured like this.
UNPLANNED = [Line((64 * KIB,), 64, quick=(64 * KIB,))]

# The way that copies, which users have today: what the crossover is taken against.
COPYING = {"tcp_receive": "readv", "tcp_send": "writev", "fanout": "write", "udp_receive": "recvmmsg",
           "udp_send": "sendmmsg", "rr": "epoll", "rr_upload": "epoll"}


def is_ours(way):
    return way == "zc" or way.startswith("zc_")


def copying_way(job, ways):
    """The job's way that copies; else the first that is not ours."""
    others = [way for way in ways if not is_ours(way)]
    return COPYING.get(job) if COPYING.get(job) in others else others[0] if others else None


def fits(job, size, mtu):
    return job not in DATAGRAM_JOBS or size + IP_AND_UDP <= mtu


def cells_of(job, level, mtu):
    for line in PLAN.get(job, UNPLANNED):
        sizes = line.quick if level == "quick" else line.sizes
        connections = line.connections[:1] if level == "quick" else sorted(line.connections)
        for size in sizes:
            if not fits(job, size, mtu) or line.pages and mtu < ONE_PAGE:
                continue
            for number in connections:
                for sender in line.senders:
                    yield {"job": job, "size": size, "connections": number, "bytes": line.bytes,
                           "sender": sender, "pages": line.pages}


def wanted(job, only):
    return not only or any(fnmatch.fnmatch(job, pattern) for pattern in only.split())


def cells(jobs, level, mtu, only="", mib=None):
    """All cells of one path, in the order in which they are run; `mib`: less bytes, for a try."""
    most = mib * MIB if mib else QUICK_BYTES if level == "quick" else None
    found = [cell for job in jobs if wanted(job, only) for cell in cells_of(job, level, mtu)]
    return [{**cell, "bytes": min(cell["bytes"], most or cell["bytes"])} for cell in found]


def ordinary(cell):
    """Nothing is special about how the peer sends."""
    return cell["sender"] in ("", "send") and not cell["pages"]


def reference(found):
    """Of one job's cells the one that stands for it where there is room for one: 64 KiB or next
    to it, the fewest connections that quick has, the ordinary sender."""
    def distance(cell):
        lines = PLAN.get(cell["job"], UNPLANNED)
        return (not ordinary(cell), abs(cell["size"] - 64 * KIB),
                cell["connections"] != lines[0].connections[0])
    return min(found, key=distance)
