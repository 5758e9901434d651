# SPDX-License-Identifier: GPL-2.0
"""What the tests of 'zcio relay' have in common: the relay here, its server and its clients in
namespace 'peer', so that every byte crosses the wire twice; and cases that print KTAP."""
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ZCIO = HERE.parents[1] / "build" / "userspace" / "zcio"
ENV = os.environ
LOCAL, PEER = ENV["ZCIO_LOCAL4"], ENV["ZCIO_PEER4"]
LOCAL6 = ENV["ZCIO_LOCAL6"]
PEER_EXEC = ENV.get("ZCIO_PEER_EXEC", "").split()
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
# Nothing here takes so long (with a debug kernel, either); who waits longer waits for what never
# comes.
FOREVER = 400 if os.environ.get("ZCIO_KERNEL", "").endswith("-debug") else 100
CASES = []


class Failed(Exception):
    """What was promised is not so."""


def check(kept, *seen):
    if not kept:
        raise Failed(*seen)


def case(test):
    """Makes a function a case: it gets a folder; its name is the promise."""
    CASES.append(test)
    return test


def too_long(*_):
    raise Failed("it waits for what never comes")


def main():
    """Runs the cases, or those that are named."""
    signal.signal(signal.SIGALRM, too_long)
    chosen = [test for test in CASES if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]]
    print(f"TAP version 13\n1..{len(chosen)}")
    bad = 0
    for number, test in enumerate(chosen, 1):
        said = ""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as work:
            signal.alarm(2 * FOREVER)
            try:
                test(Path(work))
            except (Failed, OSError, ValueError, KeyError, RuntimeError, subprocess.SubprocessError):
                said = traceback.format_exc()
            signal.alarm(0)
        print("".join(f"# {line}\n" for line in said.splitlines())
              + f"{'not ok' if said else 'ok'} {number} {test.__name__}", flush=True)
        bad += bool(said)
    return 1 if bad else 0


def pattern(count):
    """Bytes of which no part is where another one was expected."""
    return random.Random(7).randbytes((count + 3) & ~3)[:count]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def contexts():
    """How many contexts there are in the whole system."""
    said = subprocess.run([ZCIO, "info", "--json"], capture_output=True, check=True).stdout
    return json.loads(said)["total_contexts"]


class Relay:
    """A relay that runs; what it said, and what its summary is, once it has ended."""

    def __init__(self, kind, listen, connect, *options):
        command = [ZCIO, "relay", kind, "--listen", listen, "--connect", connect, "--json", *options]
        self.process = subprocess.Popen(command, **PIPES)
        self.said = self.process.stderr.readline()
        self.summary = None
        check(self.said.startswith("relaying "), self.said, self.process.poll())

    def wait_for(self, words):
        """Reads what it says until the words are there."""
        while True:
            line = self.process.stderr.readline()
            check(line, f"it never said '{words}'", self.said)
            self.said += line
            if words in line:
                return line

    def end(self, how=signal.SIGTERM):
        """Ends it by a signal; gives its summary."""
        if self.summary is None:
            self.process.send_signal(how)
            out, errors = self.process.communicate(timeout=FOREVER)
            self.said += errors
            check(self.process.returncode == 0, self.process.returncode, self.said)
            self.summary = json.loads(out)
        return self.summary

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.said += self.process.communicate()[1]
        if kind:
            print("".join(f"# relay: {line}\n" for line in self.said.splitlines()), end="")


def in_peer(*command, check_status=True, **options):
    """What a command in the peer's namespace prints."""
    done = subprocess.run([*PEER_EXEC, *command], capture_output=True, text=True, timeout=FOREVER, check=False,
                          **options)
    check(done.returncode == 0 or not check_status, command, done.returncode, done.stdout, done.stderr)
    return done.stdout


@contextlib.contextmanager
def server(*command):
    """A server in the peer's namespace; it has said a line when it listens."""
    with subprocess.Popen([*PEER_EXEC, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            check(process.stdout.readline(), "the server does not start", command)
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def origin(port):
    """The HTTP server of relay_origin.py."""
    with server(sys.executable, "-B", HERE / "relay_origin.py", PEER, str(port)) as process:
        yield process


def curl(*options):
    """curl in the peer's namespace, which must succeed."""
    return in_peer("curl", "-sS", "--fail", "--max-time", str(FOREVER), *options)


def peer_python(script, *arguments, **options):
    """A Python program in the peer's namespace; 'from relay_peer import *' is there."""
    program = "from relay_peer import *\n" + script
    return in_peer(sys.executable, "-B", "-c", program, *arguments, env={**ENV, "PYTHONPATH": str(HERE)}, **options)
