# SPDX-License-Identifier: GPL-2.0
"""What is measured: the one table of networks, and of each job's sizes, connections, rooms and
threads. Which ways there are to do a job is asked of `zcio-bench --list`. By itself it says what
that comes to:

    python3 tests/bench/plan.py [full|quick]

A size that does not fit into one packet of a path's MTU is left out of the jobs of datagrams."""
import fnmatch
import itertools
import sys

KIB, MIB = 1 << 10, 1 << 20

# Driver and MTU.
E1000E, VIRTIO_1500, VIRTIO_9000 = ("e1000e", 9000), ("virtio-net-pci", 1500), ("virtio-net-pci", 9000)
VETH, LO = ("veth", 9000), ("lo", 65536)
PATHS = {"quick": [E1000E, VETH], "full": [E1000E, VETH, LO, VIRTIO_1500, VIRTIO_9000]}
# All is measured on a wire and on what copies nothing by itself; of the others there is
# what they have of their own: the curve of mapping against copying, and all ways at one size.
MAIN, SIDE = (E1000E, VETH), (VIRTIO_1500, VIRTIO_9000, LO)

ROUNDS = {"quick": 3, "full": 5}
# Where the noise-free figures are taken: what the mechanisms do is the same on the others.
COUNTED_PATHS = {"quick": [VETH], "full": [E1000E, VETH]}

# Where instructions are counted as well, in a guest that is slower and knows no other time; rounds
# of it, and the bytes of a run at most.
INSTRUCTED_PATHS = {"quick": [], "full": [E1000E]}
INSTRUCTED_ROUNDS = 3
INSTRUCTED_BYTES = 16 * MIB

# Rounds of the kernel's own tool, of four runs each, and the seconds of one; and on which path:
# its authors measured it over loopback.
CALIBRATED = {"quick": VETH, "full": LO}
CALIBRATION = {"quick": (1, 2), "full": (3, 3)}

# How long a run is to take beside its beginning and end: long enough for ticks of 4 ms to say
# how much of it is the system's.
RUN_SECONDS = 0.3
# What makes it so: of each job the seconds of a request and of a MB, as they are under emulation;
# bytes are chosen by these, and nothing else.
COSTS = {"tcp_receive": (10e-6, 3e-3), "tcp_send": (20e-6, 3e-3), "fanout": (20e-6, 3e-3),
         "udp_receive": (20e-6, 3e-3), "udp_send": (20e-6, 3e-3), "rr": (60e-6, 3e-3),
         "rr_upload": (60e-6, 3e-3),
         "relay_tcp": (10e-6, 6e-3), "relay_rr": (500e-6, 6e-3), "relay_udp": (50e-6, 6e-3)}
# Bytes at most of any run; of a quick one; of one that compares what came; of one that is counted.
MOST_BYTES = 64 * MIB
QUICK_BYTES = 32 * MIB
CHECKED_BYTES = 8 * MIB
COUNTED_BYTES = 16 * MIB
# Requests of each connection, at least: its first ones cost more than others. Of small ones, many.
LEAST_REQUESTS, LEAST_SMALL, SMALL = 2, 8, 4 * KIB

# The estimate's: seconds of a run's beginning and end, of a connection, of a guest's boot, of an
# observer's start.
START, CONNECT, BOOT, OBSERVER = 0.35, 0.5e-3, 20, 60

# What is before the payload of a datagram, at least: Ethernet's header is not of the MTU.
IP_AND_UDP = 28
# The MTU that a page with the headers of IP and TCP takes.
ONE_PAGE = 4096 + 52
DATAGRAM_JOBS = ("udp_receive", "udp_send", "relay_udp")
# They have a guest of their own, where the two sides' work is kept apart (tests/bench/relay.c). What
# they cost is what their side of the guest does; where the sides are one device, what all of it does.
RELAY_JOBS = ("relay_tcp", "relay_rr", "relay_udp")
# What one guest runs of a path's jobs.
PARTS = ("ends", "relays")
# Where make bench-quick measures them.
QUICK_RELAYS = VETH

# The ways of a curve: ours that are meant for a stream, and the one that copies.
RECEIVE_CURVE = ("readv", "zc_readv", "zc_readv_map")
SEND_CURVE = ("writev", "zc_writev", "zc_writev_swap", "zc_writev_many", "zc_keep")
SEND_SWAP = ("writev", "zc_writev")
# Of these only the one that copies goes by the size of a read.
RELAY_CURVE = ("read_write", "zc_splice")


class Line:
    """Sizes of a request, numbers of connections, and what else there is, on some paths: each
    with each."""

    def __init__(self, sizes, on=MAIN + SIDE, connections=(1,), senders=("",), rooms=(0,), threads=(0,),
                 pages=False, only=None, quick=()):
        self.sizes, self.on, self.connections, self.senders = sizes, on, connections, senders
        self.rooms = rooms      # what a window or pool holds, for ours; 0: what a request needs
        self.threads = threads  # with a connection each; 0: none, as in all but these
        self.pages = pages      # TCP segments of whole pages for all ways, not only for those that need it
        self.only = only        # these ways; None: all
        self.quick = quick      # the sizes that make bench-quick takes, with the first connections

    def is_on(self, path):
        """A path that is not planned is measured like the first."""
        return path in self.on or path not in PATHS["full"] and E1000E in self.on


PLAN = {
    "tcp_receive": [
        Line((1 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB), MAIN, senders=("send",),
             quick=(16 * KIB, 256 * KIB)),
        Line((64 * KIB,), SIDE, senders=("send",)),
        Line((1 * KIB, 4 * KIB, 16 * KIB, 256 * KIB, 1 * MIB), (VIRTIO_1500, LO), senders=("send",),
             only=RECEIVE_CURVE),
        Line((4 * KIB, 16 * KIB, 1 * MIB), (VIRTIO_9000,), senders=("send",), only=RECEIVE_CURVE),
        # What a sender on this machine sends can be mapped only if it came in single pages.
        Line((64 * KIB, 512 * KIB), (VETH,), senders=("zerocopy", "zc"), pages=True),
        Line((64 * KIB,), (E1000E,), senders=("send",), pages=True),
        Line((64 * KIB,), MAIN, senders=("send",), rooms=(64 * KIB, 512 * KIB, 4 * MIB), only=RECEIVE_CURVE),
        Line((64 * KIB,), (VETH,), senders=("send",), threads=(1, 2, 4), only=RECEIVE_CURVE),
    ],
    "tcp_send": [
        Line((1 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB), MAIN, quick=(16 * KIB, 256 * KIB)),
        Line((64 * KIB,), SIDE),
        Line((1 * KIB, 4 * KIB, 16 * KIB, 256 * KIB, 1 * MIB), (VIRTIO_1500, LO), only=SEND_CURVE),
        Line((4 * KIB, 16 * KIB, 1 * MIB), (VIRTIO_9000,), only=SEND_CURVE),
        Line((64 * KIB,), MAIN, rooms=(512 * KIB, 4 * MIB, 32 * MIB), only=SEND_SWAP),
        Line((64 * KIB,), (VETH,), threads=(1, 2, 4), only=SEND_SWAP),
    ],
    "fanout": [
        Line((64 * KIB,), MAIN, connections=(8, 1, 128, 1000), quick=(64 * KIB,)),
        Line((1 * MIB,), MAIN, connections=(8,)),
        Line((64 * KIB,), SIDE, connections=(8,)),
    ],
    "udp_receive": [
        Line((64, 512, 1400, 8 * KIB), (E1000E,), senders=("send",), quick=(8 * KIB,)),
        Line((64, 1400, 8 * KIB), (VETH,), senders=("send",), quick=(8 * KIB,)),
        Line((64, 1400), (VIRTIO_1500,), senders=("send",)),
        Line((64, 8 * KIB), (LO,), senders=("send",)),
        Line((8 * KIB,), (VIRTIO_9000,), senders=("send",)),
        Line((1400, 8 * KIB), (VETH,), senders=("gso",)),
        Line((8 * KIB,), (VETH,), senders=("zc",)),
    ],
    "udp_send": [
        Line((64, 512, 1400, 8 * KIB), (E1000E,), quick=(8 * KIB,)),
        Line((64, 1400, 8 * KIB), (VETH,), quick=(8 * KIB,)),
        Line((64, 1400), (VIRTIO_1500,)),
        Line((64, 8 * KIB), (LO,)),
        Line((8 * KIB,), (VIRTIO_9000,)),
    ],
    "rr": [
        Line((256, 64 * KIB), MAIN, connections=(64, 1, 1000), quick=(64 * KIB,)),
        Line((4 * KIB, 256 * KIB), MAIN, connections=(64, 1)),
        Line((256, 64 * KIB), SIDE, connections=(1000,)),
    ],
    "rr_upload": [
        Line((64 * KIB,), MAIN, connections=(64, 1, 1000), quick=(64 * KIB,)),
        Line((4 * KIB, 256 * KIB), MAIN, connections=(64,)),
        Line((64 * KIB,), SIDE, connections=(64,)),
    ],
    "relay_tcp": [
        Line((64 * KIB,), MAIN + (LO,), senders=("send",), quick=(64 * KIB,)),
        Line((4 * KIB, 256 * KIB, 1 * MIB), MAIN, senders=("send",), only=RELAY_CURVE),
    ],
    "relay_rr": [
        Line((256, 64 * KIB), MAIN + (LO,), connections=(1, 64)),
    ],
    "relay_udp": [
        Line((64, 1400, 8 * KIB), MAIN, senders=("send",), quick=(64,)),
        Line((64, 8 * KIB), (LO,), senders=("send",)),
        Line((1400, 8 * KIB), (VETH,), senders=("gso",)),
    ],
}
# A job that is not in the table (yet) is measured like this.
UNPLANNED = [Line((64 * KIB,), quick=(64 * KIB,))]

# The way that copies, which users have today: what the crossover is taken against.
COPYING = {"tcp_receive": "readv", "tcp_send": "writev", "fanout": "write", "udp_receive": "recvmmsg",
           "udp_send": "sendmmsg", "rr": "epoll", "rr_upload": "epoll", "relay_tcp": "read_write",
           "relay_rr": "epoll", "relay_udp": "mmsg"}


def is_ours(way):
    return way == "zc" or way.startswith("zc_")


def copying_way(job, ways):
    """The job's way that copies; else the first that is not ours."""
    others = [way for way in ways if not is_ours(way)]
    return COPYING.get(job) if COPYING.get(job) in others else others[0] if others else None


def cost(cell):
    """The figure that says what a job costs there."""
    if cell["job"] not in RELAY_JOBS:
        return "cpu_us_per_mb"
    return "guest_us_per_mb" if cell["nic"] == LO[0] else "side_us_per_mb"


def counts(level, path, part):
    """Whether a guest begins an observer, too: it takes its time to."""
    return path in COUNTED_PATHS[level] and (level, part) != ("quick", "relays")


def ways_of(cell, ways):
    """Those of a job's ways that a cell has."""
    return [way for way in ways if cell["only"] is None or way in cell["only"]]


def fits(job, size, mtu):
    return job not in DATAGRAM_JOBS or size + IP_AND_UDP <= mtu


def work(job, size, length):
    """About how long it takes to move so many bytes in requests of a size."""
    request, mb = COSTS.get(job, COSTS["tcp_send"])
    return length / size * request + length / 1e6 * mb


def bytes_of(job, size, connections, most):
    """The bytes of a run: a power of two that takes about RUN_SECONDS, in whole requests, as many on
    each connection."""
    length = MOST_BYTES
    while length > size and work(job, size, length) > RUN_SECONDS:
        length //= 2
    least = LEAST_SMALL if size < SMALL else LEAST_REQUESTS
    each = max(min(length, most) // (size * connections), least)
    return each * size * connections


def cells_of(job, level, path, most):
    for line in PLAN.get(job, UNPLANNED):
        quick = level == "quick"
        if quick and job in RELAY_JOBS and path != QUICK_RELAYS:
            continue
        if not line.is_on(path) or line.pages and path[1] < ONE_PAGE:
            continue
        sizes = [size for size in (line.quick if quick else line.sizes) if fits(job, size, path[1])]
        connections = line.connections[:1] if quick else sorted(line.connections)
        for size, number, sender, room, threads in itertools.product(sizes, connections, line.senders, line.rooms,
                                                                     line.threads):
            number = threads or number
            yield {"job": job, "size": size, "connections": number, "bytes": bytes_of(job, size, number, most),
                   "sender": sender, "pages": line.pages, "room": room, "threads": threads,
                   "only": list(line.only) if line.only else None}


def wanted(job, only):
    return not only or any(fnmatch.fnmatch(job, pattern) for pattern in only.split())


def in_part(job, part):
    """Of PARTS: relays, or the jobs that end here; all, if that is none."""
    return not part or (part == "relays") == (job in RELAY_JOBS)


def parts(level, path, only=""):
    """Those of which a path has cells; the first, if of none."""
    return [part for part in PARTS if cells(PLAN, level, path, only, part=part)] or [PARTS[0]]


def cells(jobs, level, path, only="", mib=None, part=""):
    """All cells of one path, in the order in which they are run; `mib`: less bytes, for a try."""
    most = mib * MIB if mib else QUICK_BYTES if level == "quick" else MOST_BYTES
    return [cell for job in jobs if wanted(job, only) and in_part(job, part)
            for cell in cells_of(job, level, path, most)]


def checked_bytes(cell):
    """Of the run that compares what came: each connection has some."""
    return min(cell["bytes"], max(CHECKED_BYTES, LEAST_REQUESTS * cell["size"] * cell["connections"]))


def ordinary(cell):
    """Nothing is special about how the peer sends, or about the measured side's room or threads."""
    return cell["sender"] in ("", "send") and not (cell["pages"] or cell["room"] or cell["threads"])


def reference(found):
    """Of one job's cells the one that stands for it where there is room for one: 64 KiB or next
    to it, the fewest connections that quick has, the ordinary sender."""
    def distance(cell):
        lines = PLAN.get(cell["job"], UNPLANNED)
        return (not ordinary(cell), abs(cell["size"] - 64 * KIB),
                cell["connections"] != lines[0].connections[0])
    return min(found, key=distance)


def instructed(found):
    """Of one path's cells those whose instructions are counted: the curves of the ways that do a
    stream, and what stands for each of the other jobs."""
    jobs = dict.fromkeys(cell["job"] for cell in found)
    stand = [reference([cell for cell in found if cell["job"] == job]) for job in jobs]
    return [cell for cell in found
            if cell in stand or cell["job"].startswith(("tcp_", "relay_")) and ordinary(cell)]


# ---- the estimate ----

def listed():
    """How many ways a job has, for the estimate; zcio-bench is the one who knows."""
    return {"tcp_receive": 6, "tcp_send": 8, "fanout": 4, "udp_receive": 6, "udp_send": 6, "rr": 2, "rr_upload": 2,
            "relay_tcp": 4, "relay_rr": 4, "relay_udp": 3}


def seconds(cell, ways, rounds):
    """Of all runs of a cell."""
    run = START + cell["connections"] * CONNECT
    once = work(cell["job"], cell["size"], checked_bytes(cell)) + run
    return ways * (once + rounds * (work(cell["job"], cell["size"], cell["bytes"]) + run))


def estimate(level, path):
    """Cells, runs and seconds of one path."""
    ways, rounds = listed(), ROUNDS[level]
    found = cells(ways, level, path)
    many = [len(cell["only"]) if cell["only"] else ways[cell["job"]] for cell in found]
    spent = BOOT * len(parts(level, path)) + sum(seconds(cell, number, rounds) for cell, number in zip(found, many))
    for part in parts(level, path):
        jobs = {cell["job"] for cell in found if in_part(cell["job"], part)}
        if counts(level, path, part):
            spent += OBSERVER + sum(ways[job] for job in jobs) * (START + RUN_SECONDS)
    if path in INSTRUCTED_PATHS[level]:
        runs = sum(ways[cell["job"]] for cell in instructed(found)) * INSTRUCTED_ROUNDS
        spent += BOOT + runs * (START + RUN_SECONDS)
    if path == PATHS[level][-1]:
        spent += CALIBRATION[level][0] * 4 * (CALIBRATION[level][1] + 2)
    return len(found), sum(many) * (rounds + 1), spent


def main(level="full"):
    total = 0
    for path in PATHS[level]:
        number, runs, spent = estimate(level, path)
        total += spent
        print(f"{path[0]:<15} {path[1]:>5}  {number:>3} cells  {runs:>5} runs  {spent / 60:5.1f} minutes")
    print(f"{level}: {total / 60:.1f} minutes")


if __name__ == "__main__":
    main(*sys.argv[1:])
