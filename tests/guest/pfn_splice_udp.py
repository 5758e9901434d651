#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""No copy, of datagrams that are spliced: the pages that a device is given to send behind a splice
are the very pages that the driver handed up to the splice's source, at the same place in them. Both
sides are seen by the demo's eBPF observer (tests/demo), which knows nothing of zcio. The datagrams
come from the peer and go back to it, by the same device. Some drivers (virtio_net) leave less room
for headers than the network stack wants to have: then it copies, and the splice tells so.
"""
# timeout: 240
import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import pfn  # noqa: E402
import pfn_splice  # noqa: E402

OBJECT = f"{pfn.OBSERVER.parent}/observe_udp.bpf.o"
BEHIND = pfn.PORT + 1
BYTES = 12 << 20
AT_ONCE = 16
LENGTH = 8000 if int(os.environ["ZCIO_MTU"]) >= 9000 else 1400
RUNNING = 1                                             # ZCIO_SPLICE_RUNNING


def peer():
    """Sends all datagrams, some at once, and compares what comes back; prints how many did."""
    here, there = (os.environ[name] for name in ("ZCIO_PEER4", "ZCIO_LOCAL4"))
    noise = random.Random(13)
    back = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((here, BEHIND))
        receiver.settimeout(20)
        sender.connect((there, pfn.PORT))
        print("ready", flush=True)
        sys.stdin.readline()
        for first in range(0, BYTES, LENGTH * AT_ONCE):
            sent = [struct.pack("<Q", at) + noise.randbytes(LENGTH - 8)
                    for at in range(first, min(first + LENGTH * AT_ONCE, BYTES), LENGTH)]
            for datagram in sent:
                sender.send(datagram)
            for datagram in sent:
                back += receiver.recv(1 << 16) == datagram
    print(back)


@contextlib.contextmanager
def observer(program, port, output):
    """One that notes what it sees in a file when this is over."""
    with subprocess.Popen([pfn.OBSERVER, OBJECT, pfn.DEVICE, str(port), str(BYTES), output, program],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the observer does not start")
        yield
        seen, _ = process.communicate()
        print(f"# {program}: {seen.strip()}")


def run(work):
    """Gives what the splice says, how many datagrams came back, and what was seen of both sides."""
    here = os.environ["ZCIO_LOCAL4"]
    device = os.open("/dev/zcio", os.O_RDWR)
    with subprocess.Popen([*pfn.PEER_EXEC, sys.executable, __file__, "peer"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as drain:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the peer does not start")
        source.bind((here, pfn.PORT))
        drain.bind((here, 0))
        drain.connect((os.environ["ZCIO_PEER4"], BEHIND))
        handle = pfn_splice.start(device, source, drain)
        with observer("arrives", pfn.PORT, work / "in"), observer("leaves", BEHIND, work / "out"):
            back, _ = process.communicate("go\n")
        said = pfn_splice.look(device, handle)
    os.close(device)
    return said, int(back or 0), pfn.pages.read(work / "in"), pfn.pages.read(work / "out")


def elsewhere(arrived, left):
    """Bytes that leave in another place than they arrived in."""
    seen = pfn.pages.Observed(arrived)
    return sum(length for offset, page, at, length in left if seen.place(offset) not in (None, (page, at)))


def main():
    print("TAP version 13")
    if not pfn.OBSERVER.exists():
        print("1..0 # SKIP the observer is not built: make -C tests/demo")
        return 4
    with tempfile.TemporaryDirectory() as work:
        said, back, arrived, left = run(Path(work))
    checked, equal, different = pfn.pages.compare(arrived, left)
    count = len(range(0, BYTES, LENGTH))
    print(f"# {len(arrived)} pieces arrived, {len(left)} left, {checked} compared, {equal} the same; {said}")
    split = os.environ["ZCIO_NIC"] == "e1000e" and int(os.environ["ZCIO_MTU"]) >= 9000
    cases = [("all came back, each as it was sent", back == count, back),
             ("all was moved", (said["state"], said["error"], said["moved"]) == (RUNNING, 0, count * LENGTH), said)]
    if split or checked:
        cases += [("what is not copied leaves in the page that the driver handed up",
                   elsewhere(arrived, left) <= said["copied"], different)]
    if split:
        cases += [("so does each piece", equal == checked, different),
                  ("no byte was copied on the way", not said["copied"], said),
                  ("all of them are compared", checked >= 2 * count, checked)]
    return pfn.report(cases)


if __name__ == "__main__":
    sys.exit(peer() if sys.argv[1:] == ["peer"] else main())
