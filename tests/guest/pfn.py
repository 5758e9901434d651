#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""No copy: the page that user space sees a payload in is the very page that the
driver handed up, at the same place in it. The driver's side is seen by the demo's
eBPF observer (tests/demo), which knows nothing of zcio; user space's side is
what /proc/PID/pagemap says, noted by 'zcio receive --pfn'.
"""
# timeout: 240
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOP / "tests" / "demo"))
import pages  # noqa: E402

ZCIO = TOP / "build" / "userspace" / "zcio"
OBSERVER = TOP / "build" / "demo" / "observe"
BYTES = 24 << 20
PORT = 7300
ENV = os.environ
PEER_EXEC = ENV.get("ZCIO_PEER_EXEC", "").split()
DEVICE = "lo" if ENV["ZCIO_NIC"] == "lo" else "zc0"


def transfer(work, here, data):
    """One transfer of the file; gives what the receiver says, and the pieces it noted."""
    noted = work / "noted"
    with subprocess.Popen([ZCIO, "receive", "--listen", f"{here}:{PORT}", "--json", "--copy-threshold", "0",
                           "--pfn", noted, "--pfn-limit", str(BYTES)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as receiver:
        receiver.stderr.readline()      # "waiting": it listens
        subprocess.run([*PEER_EXEC, ZCIO, "send", f"{here}:{PORT}", data, "--json"],
                       check=True, stdout=subprocess.DEVNULL)
        said, errors = receiver.communicate()
        if receiver.returncode:
            raise RuntimeError(f"zcio receive: {errors}")
    return json.loads(said), pages.read(noted)


def run(work):
    data, output = work / "data", work / "observed"
    data.write_bytes(random.Random(11).randbytes(BYTES))
    with subprocess.Popen([OBSERVER, f"{OBSERVER}.bpf.o", DEVICE, str(PORT), str(BYTES), output],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as observer:
        if observer.stdout.readline().strip() != "ready":
            raise RuntimeError("the observer does not start")
        said, noted = transfer(work, ENV["ZCIO_LOCAL4"], data)
        seen, _ = observer.communicate()
    print(f"# the observer saw {seen.strip()}; received: {said['mapped']} mapped, {said['copied']} copied")
    return said, noted, pages.read(output)


def report(cases):
    """Prints names, whether it is so, and if not what was seen; gives the exit status."""
    print(f"1..{len(cases)}")
    for number, (name, good, why) in enumerate(cases, 1):
        if not good:
            print(f"# {why}")
        print(f"{'ok' if good else 'not ok'} {number} {name}")
    return 0 if all(good for _, good, _ in cases) else 1


def main():
    print("TAP version 13")
    if not OBSERVER.exists():
        print("1..0 # SKIP the observer is not built: make -C tests/demo")
        return 4
    with tempfile.TemporaryDirectory() as work:
        said, noted, observed = run(Path(work))
    checked, equal, different = pages.compare(observed, noted)
    print(f"# {len(noted)} pieces noted, {checked} compared, {equal} the same")
    split = ENV["ZCIO_NIC"] == "e1000e" and int(ENV["ZCIO_MTU"]) >= 9000
    if not checked and not split:
        print("1..0 # SKIP nothing of what this device receives is mapped, or seen by the observer")
        return 4
    cases = [("each mapped piece is in the page that the driver handed up", equal == checked, different)]
    if split:
        cases += [("at least 1000 pieces are compared", checked >= 1000, checked),
                  ("at least 99 % are mapped", said["mapped"] >= 0.99 * BYTES, said)]
    return report(cases)


if __name__ == "__main__":
    sys.exit(main())
