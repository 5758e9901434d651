# SPDX-License-Identifier: GPL-2.0
"""What 'make matrix' runs in each guest: every kind of sender, protocol and size of read on
this guest's network, and how much of what came was mapped. Prints one JSON object a line.

Each cell compares all bytes: a stream by its SHA-256, datagrams one by one with the file.
Datagrams that were lost on the way are counted; none may be wrong."""
import contextlib
import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

import zc

ENV = os.environ
TOP = ENV["ZCIO_TOP"]
PEER = ENV.get("ZCIO_PEER_EXEC", "").split()
ADDRESS = ENV["ZCIO_LOCAL4"]
HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 7100
MIB = int(ENV.get("MATRIX_MIB") or 16)
TIMEOUT = 60
SO_RCVBUFFORCE = 33
ETH_P_IP = 0x0800

# Name, kind of sender, bytes of its writes, and of the receiver: regions, bytes of each,
# and SO_RCVLOWAT.
STREAMS = [
    ("zc_writev 256K", "zc", 256 << 10, 64, 64 << 10, 256 << 10),
    ("write 64K, read 64K", "send", 64 << 10, 1, 64 << 10, 64 << 10),
    ("write 64K, read 1M", "send", 64 << 10, 64, 64 << 10, 1 << 20),
    ("write 4K, read 256K", "send", 4 << 10, 16, 64 << 10, 256 << 10),
    ("sendfile", "sendfile", 256 << 10, 64, 64 << 10, 256 << 10),
    ("splice", "splice", 64 << 10, 64, 64 << 10, 256 << 10),
    ("MSG_ZEROCOPY", "zerocopy", 256 << 10, 64, 64 << 10, 256 << 10),
]
# Name, kind of sender, and bytes of a datagram.
DATAGRAMS = [
    ("send 8K", "udp", 8 << 10),
    ("send 1400", "udp", 1400),
    ("zc_writev 8K", "zc_udp", 8 << 10),
    ("zc_writev 1400", "zc_udp", 1400),
]


@contextlib.contextmanager
def sending(kind, path, size):
    """A sender at the peer; what it does after the block has TIMEOUT seconds."""
    if kind == "zc":
        command = [os.path.join(TOP, "build", "userspace", "zcio"), "send", "-q", "--no-hash",
                   "--chunk", str(size), "--elements", "4", f"{ADDRESS}:{PORT}", path]
    else:
        command = [sys.executable, "-B", os.path.join(HERE, "send.py"), kind, ADDRESS, str(PORT),
                   path, str(size)]
    with subprocess.Popen(PEER + command) as process:
        try:
            yield process
            process.wait(TIMEOUT)
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"{kind}: the sender ended with status {process.returncode}")


def stream(lib, path, cell):
    """A TCP stream, by its SHA-256."""
    _, kind, size, count, region, lowat = cell
    with zc.listen(ADDRESS, PORT) as listener, sending(kind, path, size):
        listener.settimeout(TIMEOUT)
        sock, _ = listener.accept()
        with sock:
            sock.setblocking(True)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, lowat)
            receiver = zc.Receiver(lib, sock, count, region)
            digest = hashlib.sha256()
            while payloads := receiver.receive():
                for _, data in payloads:
                    digest.update(data)
            result = receiver.counters()
            receiver.close()
    with open(path, "rb") as file:
        good = hashlib.file_digest(file, "sha256").digest() == digest.digest()
    return good, 0, result


def numbered(path, size):
    """A file whose chunks begin with their number."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    count = len(data) // size
    for i in range(count):
        struct.pack_into("<Q", data, i * size, i)
    with open(path, "wb") as file:
        file.write(data[:count * size])
    return bytes(data[:count * size])


def datagrams(lib, sock, path, cell, strip):
    """Datagrams, one by one; `strip` finds what was sent in one (None: not of ours)."""
    _, kind, size = cell
    sent = numbered(path, size)
    expected = len(sent) // size
    seen, wrong = set(), 0
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    receiver = zc.Receiver(lib, sock, 256, 64 << 10)
    with sending(kind, path, size) as sender:
        last = time.monotonic()
        while len(seen) < expected and time.monotonic() < last + 3:
            try:
                payloads = receiver.receive(zc.DONTWAIT)
            except BlockingIOError:
                if sender.poll() is None:
                    last = time.monotonic()
                time.sleep(0.01)
                continue
            last = time.monotonic()
            whole = b""
            for told, data in payloads:
                whole += data
                if not told.flags & zc.END:
                    continue
                bytes_sent, whole = strip(whole), b""
                if bytes_sent is None:
                    continue
                number = int.from_bytes(bytes_sent[:8], "little")
                if bytes_sent != sent[number * size:(number + 1) * size] or number in seen:
                    wrong += 1
                seen.add(number)
    result = receiver.counters()
    receiver.close()
    return wrong == 0 and bool(seen), expected - len(seen), result


def udp(lib, path, cell):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((ADDRESS, PORT))
        return datagrams(lib, sock, path, cell, lambda data: data)


def frames(lib, path, cell):
    """The same datagrams as frames of the device, whole ones only."""
    size = cell[2]
    device = "lo" if ENV["ZCIO_NIC"] == "lo" else "zc0"

    def payload_of(frame):
        ip = frame[14:]
        ours = len(ip) == 28 + size and ip[9] == socket.IPPROTO_UDP
        return ip[28:] if ours and ip[22:24] == struct.pack("!H", PORT) else None

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) as sock:
        port.bind((ADDRESS, PORT))
        sock.bind((device, ETH_P_IP))
        return datagrams(lib, sock, path, cell, payload_of)


def cells(mtu):
    for cell in STREAMS:
        yield "TCP", cell, stream
    for cell in DATAGRAMS:
        yield "UDP", cell, udp
        # A larger datagram comes in fragments, each a frame of its own.
        if cell[2] + 28 <= mtu:
            yield "AF_PACKET", cell, frames


def main():
    lib = zc.load(TOP)
    mtu = int(ENV["ZCIO_MTU"])
    only = ENV.get("MATRIX_ONLY", "")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "data")
        for protocol, cell, run in cells(mtu):
            if only not in f"{protocol} {cell[0]}":
                continue
            with open(path, "wb") as file:
                file.write(random.Random(1).randbytes(MIB << 20))
            good, lost, (mapped, copied, reasons) = run(lib, path, cell)
            bad += not good
            print(json.dumps({
                "nic": ENV["ZCIO_NIC"], "mtu": mtu, "protocol": protocol, "sender": cell[0],
                "mapped": mapped, "copied": copied, "reasons": reasons,
                "bytes_equal": good, "datagrams_lost": lost}), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
