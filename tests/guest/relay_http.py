#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""'zcio relay http' with curl, and with programs that send what curl would not."""
# timeout: 400
import subprocess
import sys

sys.dont_write_bytecode = True
from relay_world import (ENV, FOREVER, LOCAL, PEER, PEER_EXEC, ZCIO, Relay, case, check, curl, in_peer,  # noqa: E402
                         main, origin, pattern, peer_python, sha256)

PORT, SERVER = 7710, 7711


def relay(*options):
    return Relay("http", f"{LOCAL}:{PORT}", f"{PEER}:{SERVER}", *options)


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
    check((summary["clients"], summary["requests"], summary["failed"]) == (1, 2, 0), summary)
    if ENV["ZCIO_NIC"] == "e1000e" and int(ENV["ZCIO_MTU"]) >= 9000:
        check(summary["copied"] < summary["to_client"] // 50, "bodies are copied", summary)


@case
def server_keeps_its_connection_too(_):
    with origin(SERVER), relay():
        said = curl(url("port"), "-w", "\n", url("port"), url("status/204"), url("port"))
        ports = said.split()
        check(len(ports) == 3 and len(set(ports)) == 1, said)


@case
def a_range_and_a_head_alone(work):
    with origin(SERVER), relay():
        curl("-r", "1234567-2345678", "-o", work / "part", url("bytes/5000000"))
        check((work / "part").read_bytes() == pattern(5000000)[1234567:2345679], "another range")
        # Behind an answer without a body, another one on the same connection.
        said = curl("-I", url("bytes/5000000"), "--next", "-sS", "-w", "%{num_connects}",
                    "-o", work / "a", url("bytes/10"))
        check("Content-Length: 5000000" in said and said.endswith("0"), said)


@case
def files_sent_whole_and_in_chunks(work):
    with origin(SERVER):
        for size, least in (5, "16K"), (5, "1"), (20001, "1"), (4000001, "16K"):
            data = pattern(size)
            (work / "data").write_bytes(data)
            wanted = f"{len(data)} {sha256(data)}\n"
            with relay("--splice-from", least):
                said = curl("--data-binary", f"@{work}/data", url("upload"))
                check(said == wanted, said, size)
                said = curl("-T", work / "data", "-H", "Transfer-Encoding: chunked", url("upload"))
                check(said == wanted, said, size)


@case
def the_server_is_asked_whether_to_go_on(work):
    data = pattern(300000)
    (work / "data").write_bytes(data)
    with origin(SERVER), relay():
        said = curl("-i", "-H", "Expect: 100-continue", "--expect100-timeout", "60",
                    "--data-binary", f"@{work}/data", url("upload"))
    check(said.startswith("HTTP/1.1 100 ") and said.endswith(f"300000 {sha256(data)}\n"), said)


@case
def chunks_of_every_size(work):
    with origin(SERVER):
        for count, step, least in (3000000, 65536, "16K"), (60000, 1000, "16K"), (20000, 100, "1"):
            with relay("--splice-from", least):
                said = curl("-D", "-", "-o", work / "a", url(f"bytes/{count}?chunk={step}"))
            check((work / "a").read_bytes() == pattern(count), "another file", count, step)
            check("Transfer-Encoding: chunked" in said and "X-Trailer" not in said, said)


@case
def bodies_until_the_end_and_old_clients(work):
    with origin(SERVER), relay():
        curl("-o", work / "a", url("bytes/2000000?eof"))
        check((work / "a").read_bytes() == pattern(2000000), "another file")
        for path in "bytes/100000?chunk=30000", "bytes/100000":
            said = curl("-0", "-D", "-", "-o", work / "a", url(path))
            check((work / "a").read_bytes() == pattern(100000), "another file", path)
            check("Transfer-Encoding" not in said and "Connection: close" in said, said)


@case
def answers_without_a_body(_):
    with origin(SERVER), relay():
        for status in 204, 304:
            said = curl("-D", "-", "-w", "%{num_connects}", url(f"status/{status}"), url(f"status/{status}"))
            check(said.count(f"HTTP/1.1 {status} ") == 2 and said.endswith("0"), said)
        said = curl("-i", url("early"))
        check(said.startswith("HTTP/1.1 103 ") and "Link: </style.css>" in said and said.endswith("late\n"), said)


@case
def headers_as_they_are_asked_for(_):
    rules = ["--set-header", "X-New: new", "--remove-header", "Cookie", "--set-header", "User-Agent: hidden",
             "--remove-answer-header", "Server", "--set-answer-header", "Strict: yes"]
    with origin(SERVER), relay(*rules):
        said = curl("-D", "-", "-H", "Cookie: secret", "-H", "Connection: X-Hop", "-H", "X-Hop: 1", "-H", "X-Stays: 1",
                    "-H", "Keep-Alive: 3", url("head"))
    answer, _, request = said.partition("\n\n")
    answer, request = answer.splitlines(), request.splitlines()
    check("Strict: yes" in answer and "Via: 1.1 zcio" in answer, said)
    check(not any(line.startswith("Server:") for line in answer), said)
    for line in "X-New: new", "User-Agent: hidden", "X-Stays: 1", "Via: 1.1 zcio", f"Host: {LOCAL}:{PORT}":
        check(request.count(line) == 1, line, said)
    for word in "Cookie", "X-Hop", "Connection", "Keep-Alive", "curl":
        check(not any(word in line for line in request), word, said)


@case
def requests_at_once_are_answered_in_turn(_):
    with origin(SERVER), relay() as running:
        peer_python(r"""
import hashlib
client = connect(7710)
body = pattern(50000)
# All in one: the bodies, and the requests behind them.
client.sendall(b'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello'
               b'\r\nGET /bytes/7 HTTP/1.1\r\nHost: h\r\n\r\n'
               b'POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'
               b'c350;x=y\r\n' + body + b'\r\n3\r\nabc\r\n0\r\nA-Trailer: x\r\n\r\n'
               b'POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n' + body +
               b'HEAD /bytes/9 HTTP/1.1\r\nHost: h\r\n\r\n')
def summed(data):
    return f'{len(data)} {hashlib.sha256(data).hexdigest()}\n'.encode()
assert answer(client)[2] == summed(b'hello')
assert answer(client)[2] == pattern(8)[:7]
assert answer(client)[2] == summed(body + b'abc')
assert answer(client)[2] == summed(body)
client.shutdown(socket.SHUT_WR)
assert b'200 OK' in (last := read_all(client)) and last.endswith(b'\r\n\r\n'), last
""")
        check(running.end()["requests"] == 5, running.summary)


@case
def what_has_two_meanings_is_refused(_):
    with origin(SERVER), relay() as running:
        peer_python(r"""
start = 'POST / HTTP/1.1\r\nHost: h\r\n'
smuggled = 'GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n'
for wanted, request in [
        (400, start + 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' + smuggled),
        (400, start + 'Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello' + smuggled),
        (400, start + 'A: b\r\n folded\r\n\r\n' + smuggled),
        (400, start + 'Transfer-Encoding : chunked\r\n\r\n' + smuggled),
        (400, start + 'Transfer-Encoding: chunked, identity\r\n\r\n' + smuggled),
        (501, start + 'Transfer-Encoding: gzip, chunked\r\n\r\n' + smuggled),
        (400, 'GET / HTTP/1.1\nHost: h\n\n' + smuggled),
        (400, 'GET / HTTP/1.1\r\n\r\n' + smuggled),
        (505, 'GET / HTTP/3.0\r\nHost: h\r\n\r\n' + smuggled),
        (431, 'GET / HTTP/1.1\r\nHost: h\r\nA: ' + 'a' * 40000 + '\r\n\r\n' + smuggled)]:
    client = connect(7710)
    status, headers, body = ask(client, request)
    assert (status, headers['connection']) == (wanted, 'close'), (status, request)
    assert read_all(client) == b'', request
# Wrong only between the chunks: the server must not take what came for all.
for chunks in '5\nhello\n0\n\n', '5\r\nhelloX\r\n0\r\n\r\n', 'x\r\n', '\r\n', '0x5\r\nhello\r\n0\r\n\r\n':
    client = connect(7710)
    client.sendall((start + 'Transfer-Encoding: chunked\r\n\r\n' + chunks + smuggled).encode())
    assert is_reset(client), chunks
""")
        summary = running.end()
    check((summary["requests"], summary["failed"]) == (0, 15), summary)
    check("smuggled" not in running.said, running.said)


@case
def another_protocol_goes_both_ways(_):
    with origin(SERVER), relay() as running:
        peer_python(r"""
client = connect(7710)
status, headers, _ = ask(client, 'GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
assert (status, headers['upgrade'], headers['connection']) == (101, 'echo', 'Upgrade'.lower()), headers
data = pattern(100000)
for _ in range(3):
    client.sendall(data)
    assert read_exactly(client, len(data)) == data
client.shutdown(socket.SHUT_WR)
assert read_all(client) == b''
# What HTTP/2 would make of it is nothing that could be looked at.
client = connect(7710)
status, _, head = ask(client, 'GET /head HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n'
                              'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n')
assert status == 200 and b'h2c' not in head and b'HTTP2' not in head, head
""")
        check(running.end()["to_server"] > 300000, running.summary)


@case
def answer_that_is_cut_off_is_not_taken_for_all(work):
    with origin(SERVER), relay() as running:
        done = subprocess.run([*PEER_EXEC, "curl", "-sS", "-o", work / "a", url("cut")],
                              capture_output=True, text=True, check=False)
        check(done.returncode in (18, 56), done)
        running.wait_for("it ended in the middle of a message")


@case
def server_that_is_away_is_502(_):
    with relay() as running:
        said = in_peer("curl", "-sS", "-i", url("bytes/5"))
        check(said.startswith("HTTP/1.1 502 Bad Gateway\n") and PEER not in said, said)
        line = running.wait_for("cannot connect to")
        check("does the server run" in line, line)
        with origin(SERVER):
            check(curl(url("head")).startswith("GET /head "), "it does not go on")


@case
def server_that_came_again_gets_the_request(_):
    with relay(), origin(SERVER) as first:
        second = f"""
import subprocess, sys
client = connect({PORT})
request = b'GET /bytes/5 HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n'
assert ask(client, request)[0] == 200
print('first', flush=True)
sys.stdin.readline()
assert ask(client, request)[0] == 200
print('second')
"""
        command = [*PEER_EXEC, sys.executable, "-B", "-c", "from relay_peer import *\n" + second]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env={**ENV, "PYTHONPATH": sys.path[0]}) as client:
            check(client.stdout.readline() == "first\n", "no first answer")
            first.kill()
            first.wait()
            with origin(SERVER):
                check(client.communicate("\n", timeout=FOREVER)[0] == "second\n", "no second answer")


@case
def who_takes_too_long_is_told(_):
    with origin(SERVER), relay("--head-timeout", "0.3", "--idle", "0.5"):
        peer_python(r"""
client = connect(7710)
assert ask(client, 'GET / HTTP/1.1\r\nHost:')[0] == 408
assert read_all(client) == b''
# Silence is ended without a word.
client = connect(7710)
assert read_all(client) == b''
# A body that does not come: broken off, and the server sees it.
client = connect(7710)
client.sendall(b'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc')
assert is_reset(client)
""")


@case
def many_at_once(_):
    with origin(SERVER), relay() as running:
        said = curl("--parallel", "--parallel-max", "30", "-o", "/dev/null", "-w", "%{size_download}\n",
                    url("bytes/[100001-100120]"))
        check(sorted(map(int, said.split())) == list(range(100001, 100121)), said)
        check(running.end()["requests"] == 120, running.summary)


@case
def rules_that_would_break_messages_are_refused(_):
    there = ["--listen", f"{LOCAL}:{PORT}", "--connect", f"{PEER}:{SERVER}"]
    for rule in "Content-Length: 5", "no colon", "A: x\r\nB: y":
        done = subprocess.run([ZCIO, "relay", "http", *there, "--set-header", rule],
                              capture_output=True, text=True, check=False)
        check(done.returncode == 2 and "--set-header" in done.stderr, done)


if __name__ == "__main__":
    sys.exit(main())
