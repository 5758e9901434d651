# SPDX-License-Identifier: GPL-2.0
"""A TCP server (of datagrams: UDP) for the tests of 'zcio relay': address, port and what it does are its arguments.

  echo    sends back what comes, until the end of file
  after   reads all, then sends as many bytes of a pattern as it got, and the same bytes
  flood   sends a pattern until it cannot any more
  datagrams  sends each of them back
  hold    accepts, and says so on stdout; sends and reads nothing
"""
import socket
import socketserver
import sys

from relay_peer import pattern, read_all, room


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        getattr(self, sys.argv[3])()

    def echo(self):
        while piece := self.request.recv(1 << 16):
            self.request.sendall(piece)

    def after(self):
        came = read_all(self.request)
        self.request.sendall(pattern(len(came)) + came)

    def flood(self):
        piece = pattern(1 << 16)
        try:
            while True:
                self.request.sendall(piece)
        except OSError:
            print("over", flush=True)

    def hold(self):
        print("accepted", flush=True)
        try:
            self.server.held.append(self.request.recv(1))
        except OSError as error:
            print(type(error).__name__, flush=True)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024
    held = []

    def handle_error(self, request, client_address):
        """A relay that breaks off is what some tests want."""


def datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as socket_:
        room(socket_)
        socket_.bind((sys.argv[1], int(sys.argv[2])))
        print("ready", flush=True)
        while True:
            socket_.sendto(*socket_.recvfrom(65535))


if __name__ == "__main__":
    if sys.argv[3] == "datagrams":
        datagrams()
    with Server((sys.argv[1], int(sys.argv[2])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
