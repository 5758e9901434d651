# SPDX-License-Identifier: GPL-2.0
"""Runs the kernel's own tcp_mmap, its reference for TCP_ZEROCOPY_RECEIVE, and says what it says:
the receiver's CPU per MB, copying and mapping. Published figures of the same pair from real
hardware exist, so this shows how far the machine at hand bends such a measurement, and whether
zcio-bench's own tcp_zerocopy does as well. In the rig's guest:

    tests/rig/enter --kernel VERSION make -C tests/bench all calibration
    NIC=lo MTU=65536 tests/rig/guest python3 -B tests/bench/calibrate.py

One JSON object on one line for each run."""
import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(TOP, "build", "bench", "tcp_mmap")
BENCH = os.path.join(TOP, "build", "bench", "zcio-bench")
PORT = 8787

RECEIVED = re.compile(r"received (\S+) MB \((\S+) % mmap'ed\)")
COST = re.compile(r"(\S+) usec per MB")


class Failed(Exception):
    pass


def segment(command=(BENCH, "--maxseg")):
    """Options that make each segment's payload whole pages, where the MTU allows any."""
    most = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return ["-M", most] if int(most) else []


def parse(text):
    """What the receiver printed, as numbers; None if it did not come to its end."""
    received, cost = RECEIVED.search(text), COST.search(text)
    if not received or not cost:
        return None
    return {"us_per_mb": float(cost[1]), "mapped_percent": float(received[2]), "mb": float(received[1])}


def listening():
    """Asked of the kernel, as a connection that only tries would count as one."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        return any(line.split()[1].endswith(f":{PORT:04X}") and line.split()[3] == "0A" for line in table)


def until(what, true, seconds, receiver):
    """Waits for it; a receiver that has ended won't do it any more."""
    end = time.monotonic() + seconds
    while not true():
        if receiver.poll() is not None:
            raise Failed(f"the receiver ended with {receiver.returncode} before {what}")
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def send(options, zerocopy, seconds):
    """It would send 32 GiB: it is ended after a while, and the receiver counts what came."""
    prefix = os.environ.get("ZCIO_PEER_EXEC", "").split()
    sender = subprocess.Popen([*prefix, TOOL, "-H", os.environ["ZCIO_LOCAL4"], *options, *["-z"] * zerocopy],
                              stderr=subprocess.DEVNULL)
    try:
        status = sender.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    finally:
        sender.kill()
        sender.wait()
    if status:
        raise Failed(f"the sender ended with {status}")


def run(mode, kind, segments, seconds):
    options = ["-4", "-p", str(PORT), *segments]
    with tempfile.TemporaryFile() as said:
        def text():
            return os.pread(said.fileno(), 1 << 16, 0).decode()

        receiver = subprocess.Popen(["stdbuf", "-oL", TOOL, "-s", *options, *["-z"] * (mode == "mmap")],
                                    stdout=said, stderr=subprocess.STDOUT)
        try:
            until("it listens", listening, 10, receiver)
            send(options, kind == "zerocopy", seconds)
            until("it says what came", lambda: parse(text()), 30, receiver)
            return parse(text())
        except Failed as failed:
            raise Failed(f"tcp_mmap, {mode}, {kind}: {failed}; it said: {text()!r}") from None
        finally:
            receiver.kill()
            receiver.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="all four combinations, so many times (1)")
    parser.add_argument("--seconds", type=float, default=3, help="how long each sends (3)")
    args = parser.parse_args()
    for tool in TOOL, BENCH:
        if not os.path.exists(tool):
            sys.exit(f"{tool} is not there: tests/rig/enter --kernel VERSION make -C tests/bench all calibration")
    segments = segment()
    nic, mtu = os.environ["ZCIO_NIC"], int(os.environ["ZCIO_MTU"])
    for number, mode, kind in itertools.product(range(args.rounds), ("copy", "mmap"), ("send", "zerocopy")):
        try:
            found = run(mode, kind, segments, args.seconds)
        except Failed as failed:
            sys.exit(str(failed))
        print(json.dumps({"calibration": "tcp_mmap", "mode": mode, "sender": kind, "nic": nic, "mtu": mtu,
                          "round": number, **found}), flush=True)


if __name__ == "__main__":
    main()
