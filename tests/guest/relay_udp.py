#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""'zcio relay udp' with real clients: a resolver's question to dnsmasq, iperf3, and programs that are many."""
# timeout: 300
import json
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from relay_world import (HERE, LOCAL, LOCAL6, PEER, PEER_EXEC, Relay, case, check, contexts,  # noqa: E402
                         in_peer, main, peer_python, server)

PORT, SERVER = 7720, 7721


def relay(*options, kind="udp", listen=f"{LOCAL}:{PORT}"):
    return Relay(kind, listen, f"{PEER}:{SERVER}", *options)


def echo():
    return server(sys.executable, "-B", HERE / "relay_echo.py", PEER, str(SERVER), "datagrams")


@case
def datagrams_stay_what_they_are(_):
    with echo(), relay() as running:
        peer_python("""
client = udp(7720)
sent = 0
for size in [1, 0, 1472, 3, 8900, 60000, 0, 65000] + list(range(1, 200)):
    data = pattern(65000)[:size]
    client.send(data)
    assert client.recv(65535) == data, size
    sent += size
print(sent)
""")
        summary = running.end()
    check((summary["clients"], summary["failed"]) == (1, 0), summary)
    check(summary["to_server"] == summary["to_client"] > 0, summary)


@case
def joined_datagrams_come_one_by_one(_):
    with echo(), relay("--gro") as running:
        peer_python("""
UDP_SEGMENT = 103
client = udp(7720)
client.send(b'x')
assert client.recv(10) == b'x'
for round in range(20):
    data = pattern(64 * 500 + 100 + round)
    client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 500)
    client.send(data)
    want = [data[at:at + 500] for at in range(0, len(data), 500)]
    have = [client.recv(65535) for _ in want]
    assert have == want, (round, [want.index(piece) if piece in want else len(piece) for piece in have])
""")
        summary = running.end()
    sent = 1 + sum(64 * 500 + 100 + round for round in range(20))
    check(summary["to_server"] == summary["to_client"] == sent, summary)


@case
def a_question_to_a_name_server(_):
    names = server("sh", "-c", f"exec dnsmasq -k -d -C /dev/null -h -R -u root --pid-file= -p {SERVER} -a {PEER} -z "
                   "-A /www.zcio.test/192.0.2.77 2>&1")
    with names, relay() as running:
        said = in_peer("busybox", "nslookup", f"-port={PORT}", "-type=a", "www.zcio.test", LOCAL)
        check("192.0.2.77" in said, said)
        check(running.end()["to_client"] > 0, running.summary)


@case
def iperf3_with_datagrams(_):
    # It speaks TCP beside them, on the same port.
    with server("iperf3", "-s", "-B", PEER, "-p", str(SERVER), "--forceflush"), relay(kind="tcp"), relay() as running:
        for direction in ([], ["-R"]):
            said = in_peer("iperf3", "-c", LOCAL, "-p", str(PORT), "-u", "-b", "20M", "-l", "1400", "-n", "4M", "-J",
                           *direction)
            end = json.loads(said)["end"]["sum"]
            check(end["bytes"] >= 4 << 20 and end["lost_packets"] < end["packets"], end)
        summary = running.end()
    check(summary["to_server"] > 0 and summary["to_client"] > 0, summary)


@case
def from_ipv6_to_ipv4(_):
    with echo(), relay(listen=f"[{LOCAL6}]:{PORT}"):
        peer_python("""
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client.settimeout(FOREVER)
client.connect((os.environ['ZCIO_LOCAL6'], 7720))
for size in 5, 1400, 8000:
    client.send(pattern(size))
    assert client.recv(65535) == pattern(size)
""")


@case
def a_flow_that_is_idle_ends_and_the_next_datagram_begins_one(_):
    with echo(), relay("--idle", "0.3") as running:
        talk = [*PEER_EXEC, sys.executable, "-B", "-c", """
import sys
from relay_peer import *
client = udp(7720)
client.settimeout(3)
for _ in range(2):
    # As any client of UDP, it asks again.
    for _ in range(20):
        client.send(b'x')
        try:
            print(client.recv(10), flush=True)
            break
        except TimeoutError:
            pass
    sys.stdin.readline()
"""]
        with subprocess.Popen(talk, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONPATH": str(HERE)}) as client:
            check(client.stdout.readline() == "b'x'\n", "no echo")
            running.wait_for("idle for too long")
            client.stdin.write("\n")
            client.stdin.flush()
            check(client.stdout.readline() == "b'x'\n", "no echo after that")
            client.communicate("\n")
        check(running.end()["clients"] >= 2, running.summary)


@case
def server_that_is_away_and_comes(_):
    with relay() as running:
        peer_python("udp(7720).send(b'x')")
        line = running.wait_for("after")
        check("refused" in line or "takes no more" in line, line)
        with echo():
            peer_python("client = udp(7720); client.send(b'y'); assert client.recv(5) == b'y'")


@case
def killed_it_leaves_nothing_behind(_):
    before = contexts()
    with echo():
        with relay() as running:
            peer_python("client = udp(7720); client.send(b'y'); assert client.recv(5) == b'y'")
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
            check(contexts() == before, contexts())
        with relay():
            peer_python("client = udp(7720); client.send(b'y'); assert client.recv(5) == b'y'")


if __name__ == "__main__":
    sys.exit(main())
