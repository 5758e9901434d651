# SPDX-License-Identifier: GPL-2.0
"""zc_readv and zc_writev for Python, over the C library: just what the matrix needs."""
import ctypes
import os
import socket

WHY_BITS = 11
END, TRUNCATED = 1, 2
DONTWAIT = 1
TUNE_BYTES = 64       # of struct zcio_tune: a threshold of 0, and zeros


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_uint64), ("len", ctypes.c_uint64)]


class Payload(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint32), ("why", ctypes.c_uint32),
                ("mapped", ctypes.c_uint64), ("copied", ctypes.c_uint64),
                ("timestamp", ctypes.c_uint64),
                ("datagram", ctypes.c_uint32), ("segment", ctypes.c_uint32),
                ("vlan_tci", ctypes.c_uint16), ("vlan_tpid", ctypes.c_uint16),
                ("name_len", ctypes.c_uint32), ("name", ctypes.c_uint8 * 28),
                ("reserved", ctypes.c_uint32 * 5)]


class Readv(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int32), ("iovcnt", ctypes.c_uint32),
                ("iov", ctypes.c_uint64), ("payloads", ctypes.c_uint64),
                ("flags", ctypes.c_uint32), ("error_index", ctypes.c_int32),
                ("reserved", ctypes.c_uint64 * 4)]

    def __init__(self, sock, iov, told):
        super().__init__(fd=sock.fileno(), iovcnt=len(iov), iov=ctypes.addressof(iov),
                         payloads=ctypes.addressof(told))
        self.flags = 0


class Writev(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int32), ("iovcnt", ctypes.c_uint32),
                ("iov", ctypes.c_uint64), ("payloads", ctypes.c_uint64),
                ("flags", ctypes.c_uint32), ("error_index", ctypes.c_int32),
                ("taken", ctypes.c_uint64), ("segment", ctypes.c_uint32),
                ("reserved32", ctypes.c_uint32), ("reserved", ctypes.c_uint64 * 2)]


class Counters(ctypes.Structure):
    _fields_ = [("calls", ctypes.c_uint64), ("payloads", ctypes.c_uint64),
                ("mapped", ctypes.c_uint64), ("copied", ctypes.c_uint64),
                ("why", ctypes.c_uint64 * 16)]


class Info(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int32), ("_flags", ctypes.c_uint32),
                ("numbers", ctypes.c_uint32 * 4), ("head_room", ctypes.c_uint32),
                ("tail_room", ctypes.c_uint32), ("more", ctypes.c_uint64 * 8),
                ("rx", Counters), ("tx", Counters), ("reserved", ctypes.c_uint64 * 8)]


def load(top):
    lib = ctypes.CDLL(os.path.join(top, "build", "userspace", "libzcio.so"), use_errno=True)
    lib.zcio_open.restype = lib.zcio_window.restype = lib.zcio_pool.restype = ctypes.c_void_p
    lib.zcio_window.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint]
    lib.zcio_pool.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    lib.zcio_close.argtypes = [ctypes.c_void_p]
    lib.zcio_readv.argtypes = lib.zcio_writev.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.zcio_tune.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    lib.zcio_info.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    lib.zcio_why.restype = ctypes.c_char_p
    return lib


def failed(what):
    error = ctypes.get_errno()
    return OSError(error, f"{what}: {os.strerror(error)}")


def context_of(lib):
    """A context for which the question is what can be mapped, not what is worth it."""
    context = lib.zcio_open()
    if not context or lib.zcio_tune(context, bytes(TUNE_BYTES)):
        raise failed("a context")
    return context


class Receiver:
    """A window of `count` regions of `size` bytes, and a socket to read from."""

    def __init__(self, lib, sock, count, size):
        self.lib, self.sock, self.count, self.size = lib, sock, count, size
        self.context = context_of(lib)
        self.window = lib.zcio_window(self.context, count * size, 0)
        if not self.window:
            raise failed("zcio_window")
        self.iov = (Iovec * count)()
        self.told = (Payload * count)()
        self.call = Readv(sock, self.iov, self.told)

    def receive(self, flags=0):
        """The payloads of one call: what is told of each, and its bytes."""
        for i in range(self.count):
            self.iov[i] = Iovec(self.window + i * self.size, self.size)
        self.call.flags = flags
        number = self.lib.zcio_readv(self.context, ctypes.byref(self.call))
        if number < 0:
            raise failed("zcio_readv")
        return [(self.told[i], ctypes.string_at(self.iov[i].base, self.iov[i].len))
                for i in range(number)]

    def counters(self):
        """Bytes mapped, bytes copied, and the copied ones by reason."""
        info = Info(fd=-1)
        if self.lib.zcio_info(self.context, -1, ctypes.byref(info)):
            raise failed("zcio_info")
        names = [self.lib.zcio_why(bit).decode() for bit in range(WHY_BITS)]
        reasons = {name: info.rx.why[bit] for bit, name in enumerate(names) if info.rx.why[bit]}
        return info.rx.mapped, info.rx.copied, reasons

    def close(self):
        self.lib.zcio_close(self.context)


class Sender:
    """A pool of `count` areas, each for a payload of `size` bytes, and a socket to send to."""

    def __init__(self, lib, sock, count, size):
        self.lib, self.sock, self.page = lib, sock, os.sysconf("SC_PAGESIZE")
        self.context = context_of(lib)
        info = Info(fd=sock.fileno())
        if lib.zcio_info(self.context, sock.fileno(), ctypes.byref(info)):
            raise failed("zcio_info")
        # A payload that begins with a page: a receiver on this machine can map whole pages.
        self.head = -(-info.head_room // self.page) * self.page
        self.area = -(-(self.head + size + info.tail_room) // self.page) * self.page
        self.pool = lib.zcio_pool(self.context, count * self.area)
        if not self.pool:
            raise failed("zcio_pool")
        self.iov = (Iovec * (2 * count))()

    def send(self, payloads):
        """Sends some; returns how many of them were taken."""
        for i, data in enumerate(payloads):
            area = self.pool + i * self.area
            ctypes.memmove(area + self.head, data, len(data))
            self.iov[2 * i:2 * i + 2] = Iovec(area, self.area), Iovec(area + self.head, len(data))
        call = Writev(fd=self.sock.fileno(), iovcnt=len(payloads), iov=ctypes.addressof(self.iov))
        number = self.lib.zcio_writev(self.context, ctypes.byref(call))
        if number < 0:
            raise failed("zcio_writev")
        return number


def listen(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(1)
    return sock
