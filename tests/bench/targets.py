# SPDX-License-Identifier: GPL-2.0
"""What zcio's calls are meant to cost beside what else there is, and whether they do: for each
target and each cell that it is about, what ours costs over what the peer does, round by round.
Pure; test_targets.py tests it.

Where a target names several of ours or of the peers, it is the one of the lower median that is
taken: a user would pick one and stay with it."""
import statistics

import figures
import plan

KIB, MIB = plan.KIB, plan.MIB


class Target:
    def __init__(self, text, job, ours, peers, most, where):
        self.text, self.job, self.ours, self.peers, self.most, self.where = text, job, ours, peers, most, where

    def cells(self, found):
        return [cell for cell in found if cell["job"] == self.job and not cell["room"] and not cell["threads"]
                and self.where(cell)]


def anywhere(_cell):
    return True


def maps(cell):
    """Whether TCP_ZEROCOPY_RECEIVE maps anything there."""
    mapped = cell["ways"].get("tcp_zerocopy", {}).get("figures", {}).get("mapped_percent")
    return bool(mapped) and mapped["median"] > 0


def apart(cell):
    """Whether the relay's side can be told from the other."""
    return plan.cost(cell) == "side_us_per_mb"


SWAPPED, ZERO_COPY = ("zc_writev", "zc_writev_many"), ("zerocopy", "send_zc")

TARGETS = [
    Target("Receiving, wherever TCP_ZEROCOPY_RECEIVE maps anything, beside it", "tcp_receive", ("zc_readv",),
           ("tcp_zerocopy",), 0.8, maps),
    Target("Receiving by 64 KiB and more from a card that writes payloads to pages of their own, beside `readv`",
           "tcp_receive", ("zc_readv",), ("readv",), 0.7,
           lambda cell: (cell["nic"], cell["mtu"]) == plan.E1000E and cell["size"] >= 64 * KIB),
    Target("Receiving, at any size, beside `readv`", "tcp_receive", ("zc_readv",), ("readv",), 1.05, anywhere),
    Target("Sending 64 KiB to 1 MiB, pages swapped, beside the better of MSG_ZEROCOPY and SEND_ZC", "tcp_send",
           SWAPPED, ZERO_COPY, 0.8, lambda cell: 64 * KIB <= cell["size"] <= MIB),
    Target("Sending 16 KiB and more, pages kept, beside the better of MSG_ZEROCOPY and SEND_ZC", "tcp_send",
           ("zc_keep",), ZERO_COPY, 0.3, lambda cell: cell["size"] >= 16 * KIB),
    Target("Sending, at any size, pages swapped, beside `writev`", "tcp_send", SWAPPED, ("writev",), 1.05, anywhere),
    Target("Answers of 256 bytes on 1000 connections, beside epoll with `write`", "rr", ("zc",), ("epoll",), 1.0,
           lambda cell: (cell["size"], cell["connections"]) == (256, 1000)),
    Target("Answers of 64 KiB on 1000 connections, beside epoll with `write`", "rr", ("zc",), ("epoll",), 0.8,
           lambda cell: (cell["size"], cell["connections"]) == (64 * KIB, 1000)),
    Target("Relaying a TCP stream, beside `read` and `write`", "relay_tcp", ("zc_splice",), ("read_write",), 0.5,
           apart),
    Target("Relaying a TCP stream, beside the better of `splice(2)` and a sockmap", "relay_tcp", ("zc_splice",),
           ("splice", "sockmap"), 0.8, apart),
    # Six times the datagrams for each second of the processor.
    Target("Relaying datagrams of 64 bytes, beside `recvmmsg` and `sendmmsg`", "relay_udp", ("zc_splice",), ("mmsg",),
           1 / 6, lambda cell: apart(cell) and cell["size"] == 64),
]


def best(cell, names):
    """The way of these with the lowest median, and its rounds; or none."""
    rounds = {name: dict(map(tuple, cell["ways"][name]["rounds"])) for name in names
              if cell["ways"].get(name, {}).get("rounds")}
    name = min(rounds, key=lambda one: statistics.median(rounds[one].values()), default=None)
    return name, rounds.get(name, {})


def by_instructions(cell, ours, peers):
    """The least that ours execute by the least that the peers do; None where it was not counted."""
    def least(names):
        found = [cell["ways"].get(name, {}).get("instructions") for name in names]
        return min((one["per_mb"]["median"] for one in found if one), default=None)
    (our, their) = least(ours), least(peers)
    return our / their if our and their else None


def judge(target, cell):
    """Ours over the peer's in one cell; None where one of the two could not be measured."""
    (ours, our), (peer, their) = best(cell, target.ours), best(cell, target.peers)
    ratio = figures.spread([our[number] / their[number] for number in our if their.get(number)])
    if not ratio:
        return None
    return {"nic": cell["nic"], "mtu": cell["mtu"], "size": cell["size"], "sender": cell["sender"],
            "pages": cell["pages"], "connections": cell["connections"], "ours": ours, "peer": peer,
            "ratio": ratio,
            "met": ratio["median"] <= target.most, "over": ratio["median"] - target.most,
            "instructions": by_instructions(cell, target.ours, target.peers)}


def judged(found):
    """Each target with what was seen of it."""
    return [(target, [one for one in (judge(target, cell) for cell in target.cells(found)) if one])
            for target in TARGETS]
