# SPDX-License-Identifier: GPL-2.0
"""An HTTP/1.1 server for the tests of 'zcio relay': address and port are its arguments.

  GET /bytes/N        N bytes of a pattern, ranges too; ?chunk=K: in chunks of K bytes;
                      ?eof: until the connection ends
  POST, PUT anything  the number and SHA-256 of the bytes that came
  GET /head           the request's own head, as it came
  GET /port           the client's port: the same for all requests of a connection
  GET /status/N       an answer of that status, without a body
  GET /early          an interim answer (103) before the answer
  GET /cut            a body that ends before it is all there
  GET /upgrade        101, and then an echo until the end
"""
import hashlib
import random
import re
import socket
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST = 10 << 20
BYTES = random.Random(7).randbytes(MOST)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    close_connection = False

    def log_message(self, *_):
        """Nobody reads it."""

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        _, what, *rest = url.path.split("/")
        if what == "bytes":
            self.bytes(BYTES[:int(rest[0])], query)
        elif what == "head":
            self.answer(f"{self.requestline}\r\n{self.headers}".encode())
        elif what == "port":
            self.answer(str(self.client_address[1]).encode())
        elif what == "status":
            self.send_response(int(rest[0]))
            self.end_headers()
        elif what == "early":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
            self.answer(b"late\n")
        elif what == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(BYTES[:60000])
            self.close_connection = True
        elif what == "upgrade":
            self.upgrade()
        else:
            self.answer(b"not here\n", 404)

    do_HEAD = do_GET

    def bytes(self, body, query):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), int(wanted[2])
            self.answer(body[first:last + 1], 206, Content_Range=f"bytes {first}-{last}/{len(body)}")
        elif "chunk" in query:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            step = int(query["chunk"][0])
            for at in range(0, len(body), step):
                piece = body[at:at + step]
                self.wfile.write(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\nX-Trailer: 1\r\n\r\n")
        elif "eof" in query:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True
        else:
            self.answer(body)

    def body(self):
        """The pieces of a request's body."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self):
        count, digest = 0, hashlib.sha256()
        for piece in self.body():
            count += len(piece)
            digest.update(piece)
        self.answer(f"{count} {digest.hexdigest()}\n".encode())

    do_PUT = do_POST

    def upgrade(self):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "echo")
        self.end_headers()
        while piece := self.rfile.read1(65536):
            self.wfile.write(piece)
        self.connection.shutdown(socket.SHUT_WR)
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A relay that breaks off is what some tests want."""


def main():
    server = Server((sys.argv[1], int(sys.argv[2])), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
