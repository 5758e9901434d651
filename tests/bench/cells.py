# SPDX-License-Identifier: GPL-2.0
"""What 'make bench' runs in each guest: every cell of the plan for this guest's network, each
in all ways that zcio-bench knows. Prints one JSON object a line; progress goes to stderr.

In a cell each way is gone once with --check, all bytes compared; then rounds of all ways in
turn, every other one in reverse, so that what changes in the guest meanwhile meets all of
them. A way that says it cannot be gone here is recorded with its reason and left alone. A run
that fails fails the whole bench; the rest is measured nevertheless. Nothing is measured by a
clock that runs wrong.

    BENCH_LEVEL=full|quick BENCH_ONLY="tcp_* rr" BENCH_ROUNDS=5 BENCH_MIB=64 BENCH_CALIBRATE=1

With BENCH_PART=relays only the jobs of relays are run, and the two sides' work is kept apart, for which
the guest needs the kernel's parameter thread_backlog_napi; with BENCH_PART=ends only the others.

With BENCH_INSTRUCTIONS=1 the guest is one whose clock counts instructions (accelerator icount of
tests/rig/qemu.py): a few rounds of what plan.instructed() says, and nothing else."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import clock
import counted
import plan

ENV = os.environ
TOP = ENV["ZCIO_TOP"]
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(TOP, "tests", "rig"))

import in_guest  # noqa: E402

BENCH = os.path.join(TOP, "build", "bench", "zcio-bench")
RUN_SECONDS = 90
CALIBRATE_SECONDS = 300
FLAGS = ("erms", "fsrm", "fsrs", "avx2", "avx512f")

started = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - started:6.1f}s] {text}", file=sys.stderr, flush=True)


def tell(**line):
    print(json.dumps(line), flush=True)


def run(command, seconds):
    """Status (None: it took too long), output and what it said of a command, which gets a group
    of its own to be ended with all that it began."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=seconds)
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            return None, out, err


def jobs():
    """What `zcio-bench --list` says: of each job what it is about, and its ways."""
    status, out, err = run([BENCH, "--list"], RUN_SECONDS)
    if status != 0:
        sys.exit(f"zcio-bench --list: status {status}: {err}")
    found = {}
    for line in out.splitlines():
        if job := re.match(r"(\w+): (.*)", line):
            ways = {}
            found[job[1]] = {"about": job[2], "ways": ways}
        elif way := re.match(r" +(\w+) +(.*)", line):
            ways[way[1]] = way[2]
    return found


def guest(apart):
    """What this guest is."""
    text = in_guest.cpuinfo()
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"MemTotal: +(\d+)", file.read())[1]) << 10
    return {"kernel": os.uname().release, "cpus": os.cpu_count(), "memory": memory,
            "accelerator": ENV.get("ZCIO_ACCEL", "?"), "cpu": ENV.get("ZCIO_CPU", "?"),
            "cpu_model": re.search(r"^model name\s*: (.*)", text, re.M)[1],
            "flags": in_guest.cpu_flags(FLAGS, text),
            "drivers_apart": apart, "pmu": os.path.isdir("/sys/bus/event_source/devices/cpu")}


class Cell:
    """One cell's ways, and what became of them."""

    def __init__(self, cell, ways, sides_apart=False):
        self.cell = cell
        self.apart = sides_apart and cell["job"] in plan.RELAY_JOBS
        self.able = plan.ways_of(cell, ways)
        self.failed = False

    def command(self, way, size_of_run, *more):
        cell = self.cell
        return [BENCH, cell["job"], way, "--size", str(cell["size"]), "--bytes", str(size_of_run),
                "--connections", str(cell["connections"]),
                *(["--sender", cell["sender"]] if cell["sender"] else []),
                *(["--apart"] if self.apart else []),
                *(["--whole-pages"] if cell["pages"] else []),
                *(["--room", str(cell["room"])] if cell["room"] else []),
                *(["--threads", str(cell["threads"])] if cell["threads"] else []), *more]

    def go(self, way, command):
        """The result of one run; None if there is none, and this way is gone no more."""
        status, out, err = run(command, RUN_SECONDS)
        lines = [line for line in out.splitlines() if line.startswith("{")]
        try:
            result = json.loads(lines[-1]) if status == 0 and lines else None
        except ValueError:
            result = None
        if result and "unable" in result:
            say(f"  {way}: unable: {result['unable']}")
            tell(cell=self.cell, way=way, kind="unable", unable=result["unable"])
        elif result and result.get("bytes"):
            return result
        else:
            what = f"status {status}" if status is not None else f"not done after {RUN_SECONDS} s"
            text = " ".join((out + err).split())[-500:]
            say(f"  {way}: FAILED: {what}: {text}")
            tell(cell=self.cell, way=way, kind="failed", failed=f"{what}: {text}")
            self.failed = True
        self.able.remove(way)
        return None

    def check(self):
        for way in list(self.able):
            result = self.go(way, self.command(way, plan.checked_bytes(self.cell), "--check"))
            if result:
                tell(cell=self.cell, way=way, kind="check", result=result)

    def rounds(self, many):
        for number in range(many):
            costs = []
            for way in self.able[:] if number % 2 == 0 else self.able[::-1]:
                result = self.go(way, self.command(way, self.cell["bytes"]))
                if result:
                    tell(cell=self.cell, way=way, kind="run", round=number, result=result)
                    cost = result.get("side_ns", (result["user_us"] + result["system_us"]) * 1000)
                    cost *= 1000 / result["bytes"]
                    costs.append(f"{way} {cost:.0f}")
            say(f"  round {number + 1}, us of CPU per MB: " + ", ".join(sorted(costs)))

    def instructions(self, many):
        for _ in range(many):
            for way in list(self.able):
                result = self.go(way, self.command(way, min(self.cell["bytes"], plan.INSTRUCTED_BYTES)))
                if result:
                    tell(cell=self.cell, way=way, kind="instructions", result=result)

    def be_counted(self, observer):
        for way in list(self.able):
            observer.forget()
            size = min(self.cell["bytes"], plan.COUNTED_BYTES)
            result = self.go(way, self.command(way, size))
            if result:
                tell(cell=self.cell, way=way, kind="counted", counted=observer.figures(result))

    def title(self):
        sender = f", sender {self.cell['sender']}" if self.cell["sender"] else ""
        pages = ", whole pages" if self.cell["pages"] else ""
        more = "".join(f", {name} {self.cell[name]}" for name in ("room", "threads") if self.cell[name])
        return f"{self.cell['job']}, size {self.cell['size']}, connections {self.cell['connections']}" \
            f"{sender}{pages}{more}"


def count(measured):
    """The noise-free figures, of each job's reference cell; the observer is at work only now.
    Gives whether it could be done."""
    references = [plan.reference([one.cell for one in measured if one.cell["job"] == job])
                  for job in dict.fromkeys(one.cell["job"] for one in measured)]
    say("counting: the observer begins")
    try:
        with counted.Observer(BENCH) as observer:
            for one in measured:
                if one.cell in references and one.able:
                    say(f"counting: {one.title()}")
                    one.be_counted(observer)
    except counted.Unwell as error:
        say(f"counting: FAILED: {error}")
        return False
    return True


def calibrate(rounds, seconds):
    """The kernel's own pair of copying and mapping, in this guest; gives whether it could be run."""
    status, out, err = run([sys.executable, "-B", os.path.join(HERE, "calibrate.py"), "--rounds", str(rounds),
                            "--seconds", str(seconds)], CALIBRATE_SECONDS)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    for line in lines:
        print(line, flush=True)
    say(f"calibration: status {status}, {len(lines)} lines {err.strip()[-300:]}")
    return status == 0 and bool(lines)


def count_instructions(there, cells):
    """In a guest whose time is instructions. Gives whether all could be run."""
    apart = in_guest.sides_apart()
    good = bool(cells)
    for number, cell in enumerate(cells, 1):
        one = Cell(cell, there[cell["job"]]["ways"], apart)
        say(f"instructions, {number} of {len(cells)}: {one.title()}")
        one.instructions(plan.INSTRUCTED_ROUNDS)
        good &= not one.failed
    return good


def main():
    level = ENV.get("BENCH_LEVEL") or "full"
    rounds = int(ENV.get("BENCH_ROUNDS") or plan.ROUNDS[level])
    path = (ENV["ZCIO_NIC"], int(ENV["ZCIO_MTU"]))
    apart = in_guest.drivers_apart()
    if ENV.get("BENCH_INSTRUCTIONS"):
        there = jobs()
        todo = plan.cells(there, level, path, ENV.get("BENCH_ONLY", ""))
        return 0 if count_instructions(there, plan.instructed(todo)) else 1
    begun = clock.look()
    say("the drivers' own work is " + ("in threads, not counted for the process" if apart else
                                       "not apart: it counts for whichever process it interrupts"))
    tell(guest=guest(apart))
    there = jobs()
    tell(jobs=there)
    part = ENV.get("BENCH_PART", "")
    todo = plan.cells(there, level, path, ENV.get("BENCH_ONLY", ""), int(ENV.get("BENCH_MIB") or 0), part)
    sides_apart = part == "relays" and in_guest.sides_apart()
    good = calibrate(*plan.CALIBRATION[level]) if ENV.get("BENCH_CALIBRATE") else True
    measured = []
    for number, cell in enumerate(todo, 1):
        one = Cell(cell, there[cell["job"]]["ways"], sides_apart)
        say(f"{number} of {len(todo)}: {one.title()}")
        one.check()
        one.rounds(rounds)
        measured.append(one)
    if plan.counts(level, path, part) or ENV.get("BENCH_COUNT"):
        good &= count(measured)
    good &= bool(todo) and not any(one.failed for one in measured)
    rate = clock.judge(begun, clock.edge())
    tell(clock={"source": clock.source(), "rate": round(rate, 5)})
    say("done" if good else "done, but something FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except clock.Wrong as wrong:
        tell(wrong=str(wrong))
        sys.exit(str(wrong))
