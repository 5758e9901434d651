#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""No copy, of what is spliced: the page that a receiver behind a splice sees a payload in is the
very page that the driver handed up to the splice's source, at the same place in it. Who observes
what is in pfn.py; between its sender and its receiver there is a splice here.
"""
# timeout: 240
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import pfn  # noqa: E402

BEHIND = pfn.PORT + 1
SPLICE = 1 << 30 | 64 << 16 | 0xBD << 8 | 6             # ZCIO_IOC_SPLICE
STATUS = 3 << 30 | 64 << 16 | 0xBD << 8 | 8             # ZCIO_IOC_SPLICE_STATUS
EOF = 2                                                 # ZCIO_SPLICE_EOF


def start(device, source, drain):
    """Splices two sockets; gives the handle."""
    call = struct.pack("iiqqII4Q", source.fileno(), drain.fileno(), 0, 0, 1, 0, 0, 0, 0, 0)
    return fcntl.ioctl(device, SPLICE, bytearray(call))


def look(device, handle):
    """What the splice says of itself."""
    status = bytearray(struct.pack("iIIiQQ4Q", handle, *[0] * 9))
    fcntl.ioctl(device, STATUS, status)
    return dict(zip(("state", "error", "moved", "copied"), struct.unpack_from("iIIiQQ", status)[2:]))


def relay(listener, said):
    """Splices one connection to the receiver until it ends; notes how."""
    source, _ = listener.accept()
    drain = socket.create_connection(("127.0.0.1", BEHIND))
    device = os.open("/dev/zcio", os.O_RDWR)
    handle = start(device, source, drain)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()
    said.update(look(device, handle))
    os.close(device)
    source.close()
    drain.close()


def transfer(work, here, data):
    """One transfer of the file; gives what the splice says, and the pieces the receiver noted."""
    noted, said = work / "noted", {}
    with socket.create_server((here, pfn.PORT)) as listener, \
            subprocess.Popen([pfn.ZCIO, "receive", "--listen", f"127.0.0.1:{BEHIND}", "--json",
                              "--copy-threshold", "0", "--pfn", noted, "--pfn-limit", str(pfn.BYTES)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as receiver:
        receiver.stderr.readline()      # "waiting": it listens
        thread = threading.Thread(target=relay, args=(listener, said), daemon=True)
        thread.start()
        subprocess.run([*pfn.PEER_EXEC, pfn.ZCIO, "send", f"{here}:{pfn.PORT}", data, "--json"],
                       check=True, stdout=subprocess.DEVNULL)
        thread.join()
        out, errors = receiver.communicate()
        if receiver.returncode:
            raise RuntimeError(f"zcio receive: {errors}")
    said["received"] = json.loads(out)
    return said, pfn.pages.read(noted)


def run(work):
    data, output = work / "data", work / "observed"
    data.write_bytes(random.Random(12).randbytes(pfn.BYTES))
    with subprocess.Popen([pfn.OBSERVER, f"{pfn.OBSERVER}.bpf.o", pfn.DEVICE, str(pfn.PORT), str(pfn.BYTES), output],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as observer:
        if observer.stdout.readline().strip() != "ready":
            raise RuntimeError("the observer does not start")
        said, noted = transfer(work, os.environ["ZCIO_LOCAL4"], data)
        seen, _ = observer.communicate()
    print(f"# the observer saw {seen.strip()}; {said}")
    return said, noted, pfn.pages.read(output)


def main():
    print("TAP version 13")
    if not pfn.OBSERVER.exists():
        print("1..0 # SKIP the observer is not built: make -C tests/demo")
        return 4
    with tempfile.TemporaryDirectory() as work:
        said, noted, observed = run(Path(work))
    checked, equal, different = pfn.pages.compare(observed, noted)
    print(f"# {len(noted)} pieces noted, {checked} compared, {equal} the same")
    split = os.environ["ZCIO_NIC"] == "e1000e" and int(os.environ["ZCIO_MTU"]) >= 9000
    cases = [("all was moved", (said["state"], said["error"], said["moved"]) == (EOF, 0, pfn.BYTES), said)]
    if split or checked:
        cases += [("each mapped piece is in the page that the driver handed up", equal == checked, different)]
    if split:
        cases += [("no byte was copied on the way", not said["copied"], said),
                  ("at least 1000 pieces are compared", checked >= 1000, checked)]
    return pfn.report(cases)


if __name__ == "__main__":
    sys.exit(main())
