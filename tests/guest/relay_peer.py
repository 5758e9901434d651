# SPDX-License-Identifier: GPL-2.0
"""What the programs in namespace 'peer' use that talk to a relay in the tests of 'zcio relay'."""
import os
import random
import socket

# See relay_world.py.
FOREVER = 300 if os.environ.get("ZCIO_KERNEL", "").endswith("-debug") else 80
SO_RCVBUFFORCE = 33
LOCAL, PEER = os.environ["ZCIO_LOCAL4"], os.environ["ZCIO_PEER4"]


def connect(port):
    client = socket.create_connection((LOCAL, port))
    client.settimeout(FOREVER)
    return client


def room(socket_):
    """Lets a socket have all that comes at once: each small datagram may take a page."""
    socket_.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)


def udp(port):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    room(client)
    client.settimeout(FOREVER)
    client.connect((LOCAL, port))
    return client


def pattern(count):
    return random.Random(7).randbytes((count + 3) & ~3)[:count]


def read_all(client):
    """What comes until the end of file."""
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


def read_exactly(client, count):
    have = b""
    while len(have) < count:
        piece = client.recv(count - len(have))
        if not piece:
            raise EOFError(f"{len(have)} of {count} bytes")
        have += piece
    return have


def is_reset(client):
    """Whether the connection ends by a reset, and not by an end of file."""
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


def answer(client):
    """Status, headers and body of an answer whose length is told; its bytes are all that is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(client, 1)
    first, *lines = head.decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    body = read_exactly(client, int(headers.get("content-length", 0)))
    return int(first.split()[1]), headers, body


def ask(client, request):
    client.sendall(request if isinstance(request, bytes) else request.encode())
    return answer(client)
