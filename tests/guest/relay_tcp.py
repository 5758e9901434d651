#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""'zcio relay tcp' with real clients: curl, iperf3, and programs that break off, wait, or are many."""
# timeout: 400
import json
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from relay_world import (FOREVER, HERE, LOCAL, LOCAL6, PEER, ZCIO, Relay, case, check, contexts, curl,  # noqa: E402
                         in_peer, main, origin, pattern, peer_python, server, sha256)

PORT, SERVER = 7700, 7701


def relay(*options, listen=f"{LOCAL}:{PORT}"):
    return Relay("tcp", listen, f"{PEER}:{SERVER}", *options)


def echo(what):
    return server(sys.executable, "-B", HERE / "relay_echo.py", PEER, str(SERVER), what)


def url(path):
    return f"http://{LOCAL}:{PORT}/{path}"


@case
def two_files_over_one_connection(work):
    with origin(SERVER), relay() as running:
        said = curl("-w", "%{num_connects}\n", "-o", work / "a", url("bytes/9000001"),
                    "-o", work / "b", url("bytes/70000"))
        check(said.split() == ["1", "0"], said)
        check((work / "a").read_bytes() == pattern(9000001), "the first file is another one")
        check((work / "b").read_bytes() == pattern(70000), "the second file is another one")
        summary = running.end()
    check(summary["clients"] == 1 and not summary["failed"], summary)
    check(summary["to_client"] > 9070001 and 0 < summary["to_server"] < 2000, summary)


@case
def a_range_of_a_file(work):
    with origin(SERVER), relay():
        curl("-r", "1234567-2345678", "-o", work / "part", url("bytes/5000000"))
    check((work / "part").read_bytes() == pattern(5000000)[1234567:2345679], "another range")


@case
def files_sent_whole_and_in_chunks(work):
    data = pattern(6000001)
    (work / "data").write_bytes(data)
    wanted = f"{len(data)} {sha256(data)}\n"
    with origin(SERVER), relay() as running:
        said = curl("--data-binary", f"@{work}/data", url("upload"))
        check(said == wanted, said)
        said = curl("-T", work / "data", "-H", "Transfer-Encoding: chunked", url("upload"))
        check(said == wanted, said)
        check(running.end()["to_server"] > 2 * len(data), running.summary)


@case
def from_ipv6_to_ipv4(work):
    with origin(SERVER), relay(listen=f"[{LOCAL6}]:{PORT}"):
        curl("-o", work / "a", f"http://[{LOCAL6}]:{PORT}/bytes/300000")
    check((work / "a").read_bytes() == pattern(300000), "another file")


@case
def iperf3_both_directions(_):
    with server("iperf3", "-s", "-B", PEER, "-p", str(SERVER), "--forceflush"), relay() as running:
        moved = 0
        for direction in ([], ["-R"]):
            said = in_peer("iperf3", "-c", LOCAL, "-p", str(PORT), "-n", "24M", "-P", "2", "-J", *direction)
            end = json.loads(said)["end"]
            moved += end["sum_sent"]["bytes"]
            check(end["sum_received"]["bytes"] > 0, end)
        summary = running.end()
    # The test's end may cut off what was on its way.
    check(summary["to_server"] + summary["to_client"] > moved // 2 > 0, moved, summary)


@case
def end_of_file_is_passed_on_and_the_way_back_goes_on(_):
    with echo("after"), relay() as running:
        peer_python("""
client = connect(7700)
client.sendall(pattern(700001))
client.shutdown(socket.SHUT_WR)
assert read_all(client) == 2 * pattern(700001)
""")
        running.wait_for("both sides are done")
        summary = running.end()
    check((summary["to_server"], summary["to_client"]) == (700001, 1400002), summary)


@case
def server_that_is_away_resets_its_clients(_):
    with relay() as running:
        peer_python("assert is_reset(connect(7700))")
        line = running.wait_for("cannot connect to")
        check("refused" in line and "does the server run" in line, line)
        # The relay is still there for others.
        with echo("echo"):
            peer_python("client = connect(7700); client.sendall(b'x'); assert client.recv(1) == b'x'")
        check(running.end()["failed"] == 1, running.summary)


@case
def client_that_breaks_off_is_told_to_the_server(_):
    with echo("hold") as waiting, relay() as running:
        peer_python("""
client = connect(7700)
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')
client.close()
""")
        check(waiting.stdout.readline() == "accepted\n", "the server was not connected to")
        check(waiting.stdout.readline() == "ConnectionResetError\n", "the server was not told")
        running.wait_for("the client broke off")


@case
def client_that_has_broken_off_before_it_is_served(_):
    with echo("echo"), relay("--connections", "1") as running:
        peer_python("""
first = connect(7700)
first.sendall(b'x')
assert first.recv(1) == b'x'
# This one waits, until it does not any more.
second = connect(7700)
second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')
second.close()
first.close()
""")
        running.wait_for("the client broke off")
        peer_python("client = connect(7700); client.sendall(b'x'); assert client.recv(1) == b'x'")
        check(running.end()["failed"] == 0, running.summary)


@case
def what_is_idle_ends(_):
    with echo("echo"), relay("--idle", "0.5") as running:
        peer_python("""
client = connect(7700)
client.sendall(b'hello')
assert read_exactly(client, 5) == b'hello'
assert read_all(client) == b''
""")
        running.wait_for("idle for too long")


@case
def one_way_that_moves_keeps_the_other_one_open(_):
    # The longest time between two arrivals says whether the relay had a reason to end it.
    with echo("flood"), relay("--idle", "1"):
        peer_python("""
import time
client, last, longest, start = connect(7700), time.monotonic(), 0, time.monotonic()
while last - start < 4:
    came = client.recv(1 << 16)
    now = time.monotonic()
    longest, last = max(longest, now - last), now
    if not came:
        assert longest > 0.5, f'ended after {now - start} s, and never more than {longest} s between bytes'
        break
""")


@case
def maximum_of_bytes(_):
    with echo("flood"), relay("--max-bytes", "100001") as running:
        peer_python("assert read_all(connect(7700)) == (2 * pattern(1 << 16))[:100001]")
        running.wait_for("as many bytes as it may")
        check(running.end()["to_client"] == 100001, running.summary)


@case
def many_connections_at_once(_):
    with echo("echo"), relay() as running:
        peer_python("""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
clients = [connect(7700) for _ in range(250)]
for number, client in enumerate(clients):
    client.sendall(number.to_bytes(4, 'big') * 500)
for number, client in enumerate(clients):
    assert read_exactly(client, 2000) == number.to_bytes(4, 'big') * 500
for client in clients:
    client.shutdown(socket.SHUT_WR)
for client in clients:
    assert read_all(client) == b''
""")
        summary = running.end()
    check((summary["clients"], summary["failed"]) == (250, 0), summary)
    check(summary["to_server"] == summary["to_client"] == 250 * 2000, summary)


@case
def no_more_connections_than_asked_for(_):
    with echo("echo"), relay("--connections", "2"):
        peer_python("""
clients = [connect(7700) for _ in range(3)]
for client in clients:
    client.sendall(b'x')
for client in clients[:2]:
    assert client.recv(1) == b'x'
# The third one waits until another one is done.
clients[2].setblocking(False)
try:
    assert not clients[2].recv(1), 'it was served'
except BlockingIOError:
    pass
clients[0].close()
clients[2].settimeout(FOREVER)
assert clients[2].recv(1) == b'x'
""")


@case
def signals_end_it_and_all_connections(_):
    for how in signal.SIGINT, signal.SIGTERM:
        with echo("echo"), relay() as running:
            client = subprocess.Popen([sys.executable, "-B", "-c", f"""
import socket
client = socket.create_connection(("{LOCAL}", {PORT}))
client.sendall(b'x' * 10)
print(len(client.recv(10, socket.MSG_WAITALL)), flush=True)
try:
    print('end of file' if not client.recv(1) else 'more')
except ConnectionResetError:
    print('reset')
"""], stdout=subprocess.PIPE, text=True)
            check(client.stdout.readline() == "10\n", "no echo")
            summary = running.end(how)
            check((summary["to_server"], summary["to_client"]) == (10, 10), summary)
            check("relayed 1 connections" in running.said, running.said)
            check(client.communicate(timeout=FOREVER)[0] == "reset\n", "the client takes it for all")


@case
def killed_it_leaves_nothing_behind(_):
    before = contexts()
    with echo("flood") as flooding, relay() as running:
        reader = f"import socket\nclient = socket.create_connection(('{LOCAL}', {PORT}))"
        client = subprocess.Popen([sys.executable, "-B", "-c", reader + """
print(len(client.recv(1000, socket.MSG_WAITALL)), flush=True)
try:
    while client.recv(1 << 16):
        pass
except ConnectionResetError:
    pass
print('over')
"""], stdout=subprocess.PIPE, text=True)
        check(client.stdout.readline() == "1000\n", "nothing came")
        check(contexts() == before + 1, contexts())
        running.process.kill()
        running.process.wait()
        # Both ends see it, and the port is free at once.
        check(client.communicate(timeout=FOREVER)[0] == "over\n", "the client was not told")
        check(flooding.stdout.readline() == "over\n", "the server was not told")
        check(contexts() == before, contexts())
    with echo("echo"), relay():
        peer_python("client = connect(7700); client.sendall(b'x'); assert client.recv(1) == b'x'")


@case
def what_cannot_be_says_what_to_do(_):
    def fails(*options):
        done = subprocess.run([ZCIO, "relay", "tcp", *options], capture_output=True, text=True, check=False,
                              timeout=FOREVER)
        check(done.returncode != 0, options)
        return done.stderr

    there = ["--connect", f"{PEER}:{SERVER}"]
    check("no such address" in fails("--listen", "192.0.2.1:80", *there), "listen")
    check("127.0.0.1:80" in fails("--listen", "nonsense", *there), "name")
    with relay():
        check("another program listens" in fails("--listen", f"{LOCAL}:{PORT}", *there), "twice")


if __name__ == "__main__":
    sys.exit(main())
