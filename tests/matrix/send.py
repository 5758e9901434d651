# SPDX-License-Identifier: GPL-2.0
"""Senders of every kind, run at the peer: send.py KIND ADDRESS PORT FILE CHUNK."""
import errno
import os
import socket
import struct
import sys
import time

import zc

SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000


def chunks(file, size):
    while data := file.read(size):
        yield data


def send(sock, file, size):
    """Ordinary writes."""
    for data in chunks(file, size):
        sock.sendall(data)


def sendfile(sock, file, size):
    """Pages of the page cache."""
    left = os.fstat(file.fileno()).st_size
    while left:
        left -= os.sendfile(sock.fileno(), file.fileno(), None, min(size, left))


def splice(sock, file, size):
    """The same through a pipe."""
    source, sink = os.pipe()
    while n := os.splice(file.fileno(), sink, size):
        while n:
            n -= os.splice(source, sock.fileno(), n)


def zerocopy(sock, file, size):
    """Pages of this process, which stay as they are until all are acknowledged."""
    sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    data = memoryview(file.read())
    calls = done = sent = 0
    while sent < len(data):
        try:
            sent += sock.send(data[sent:sent + size], MSG_ZEROCOPY)
            calls += 1
        except OSError:
            done += completions(sock)
    sock.shutdown(socket.SHUT_WR)
    while done < calls:
        done += completions(sock)


def completions(sock):
    """How many calls are done with: ranges of their numbers come through the error queue."""
    try:
        control = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)[1]
    except BlockingIOError:
        time.sleep(0.001)
        return 0
    first, last = struct.unpack_from("=8xII", control[0][2])
    return last - first + 1


def udp(sock, file, size):
    """One datagram for each chunk."""
    for data in chunks(file, size):
        while True:
            try:
                sock.send(data)
                break
            except OSError:
                pass


def zc_udp(sock, file, size):
    """The same with zc_writev, 16 at a time."""
    sender = zc.Sender(zc.load(os.environ["ZCIO_TOP"]), sock, 16, size)
    waiting = list(chunks(file, size))
    while waiting:
        try:
            del waiting[:sender.send(waiting[:16])]
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise


def main():
    kind, address, port, path, size = sys.argv[1:]
    sort = socket.SOCK_DGRAM if kind in ("udp", "zc_udp") else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, sort) as sock, open(path, "rb") as file:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        sock.connect((address, int(port)))
        globals()[kind](sock, file, int(size))


if __name__ == "__main__":
    main()
