# SPDX-License-Identifier: GPL-2.0
"""'make bench' and 'make bench-quick': boot a guest for each network of tests/bench/plan.py, run
tests/bench/cells.py there, and write what came of it to build/results/bench.json, which
'make bench-report' makes Documentation/benchmarks.md of.

    [KERNEL=7.3] [NIC=… MTU=…] [BENCH_ONLY="tcp_* rr"] [BENCH_ROUNDS=5] [BENCH_MIB=64] [BENCH_ADD=1] make bench

With BENCH_ADD the figures are added to those that bench.json has, in place of the same cells' there.
Exit status 0 only if every cell of every network has the figures of all its ways, or the
reason why a way cannot be gone there."""
import datetime
import json
import os
import re
import subprocess
import sys
import time

TOP = os.environ["ZCIO_TOP"]
RESULTS = os.path.join(TOP, "build", "results")
RIG = os.path.join(TOP, "tests", "rig")
LEVEL = os.environ.get("ZCIO_BENCH_LEVEL") or "full"
ONLY = os.environ.get("ZCIO_BENCH_ONLY") or ""
MIB = os.environ.get("ZCIO_BENCH_MIB") or ""
FOUND = os.path.join(RESULTS, "bench.json")
# A guest with all jobs takes a while; this is for one that hangs.
TIMEOUT = {"quick": 900, "full": 7200}

sys.path.insert(0, os.path.join(TOP, "tests", "bench"))

import added  # noqa: E402
import figures  # noqa: E402
import in_guest  # noqa: E402
import plan  # noqa: E402


def paths():
    if os.environ.get("ZCIO_NIC"):
        return [(os.environ["ZCIO_NIC"], int(os.environ.get("ZCIO_MTU") or 9000))]
    return [path for path in plan.PATHS[LEVEL] if plan.cells(plan.listed(), LEVEL, path, ONLY)]


def rounds():
    return int(os.environ.get("ZCIO_BENCH_ROUNDS") or plan.ROUNDS[LEVEL])


def lines_of(nic, mtu, part, calibrate=False, instructions=False):
    """What one guest says, and its status."""
    folder = os.path.join(RESULTS, f"bench-{nic}-{mtu}" + ("-instructions" if instructions else f"-{part}"))
    os.makedirs(folder, exist_ok=True)
    given = {"BENCH_LEVEL": LEVEL, "BENCH_ONLY": ONLY, "BENCH_ROUNDS": str(rounds()), "BENCH_MIB": MIB,
             "BENCH_CALIBRATE": "1" if calibrate else "", "BENCH_COUNT": os.environ.get("ZCIO_NIC", ""),
             "BENCH_PART": part, "BENCH_INSTRUCTIONS": "1" if instructions else ""}
    text = " ".join(f"{name}='{value}'" for name, value in given.items())
    env = {**os.environ, "ZCIO_RUN": folder, "ZCIO_NIC": nic, "ZCIO_MTU": str(mtu),
           "ZCIO_TIMEOUT": os.environ.get("ZCIO_TIMEOUT") or str(TIMEOUT[LEVEL]),
           **({"ZCIO_ACCEL": "icount", "ZCIO_CPUS": "1"} if instructions else {}),
           **({"ZCIO_KCMDLINE": f"{os.environ.get('ZCIO_KCMDLINE', '')} {in_guest.BACKLOG_THREADS}".strip()}
              if part == "relays" else {}),
           "ZCIO_CMD": f"{text} python3 -B tests/bench/cells.py"}
    done = subprocess.run([sys.executable, "-B", os.path.join(RIG, "boot.py")], cwd=TOP, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    with open(os.path.join(folder, "cells.jsonl"), "w", encoding="utf-8") as file:
        file.write(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{") and line.endswith("}")], \
        done.returncode


def all_lines_of(nic, mtu, calibrate):
    """What all guests of a path say, and the first status that is not 0."""
    lines, worst = [], 0
    for part in plan.parts(LEVEL, (nic, mtu), ONLY):
        more, status = lines_of(nic, mtu, part, calibrate and part == plan.PARTS[0])
        lines, worst = lines + more, worst or status
    if (nic, mtu) in plan.INSTRUCTED_PATHS[LEVEL]:
        more, status = lines_of(nic, mtu, "", instructions=True)
        lines, worst = lines + more, worst or status
    return lines, worst


def host():
    """What the guests ran on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)", file.read(), re.M)
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"MemTotal: +(\d+)", file.read())[1]) << 10
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=False).stdout
    return {"cpu": model[1] if model else "?", "cpus": os.cpu_count(), "memory": memory,
            "kernel": os.uname().release, "qemu": " ".join(qemu.splitlines()[:1])}


def commit():
    """Of what this was measured, where git is at hand."""
    asked = subprocess.run(["git", "-C", TOP, "describe", "--always", "--dirty"], capture_output=True,
                           text=True, check=False)
    return asked.stdout.strip() or None


class Bench:
    """What all guests said, and what is wrong with it."""

    def __init__(self, before):
        self.before = before
        self.found = {"made": {"level": LEVEL, "only": ONLY, "mib": MIB, "rounds": rounds(), "commit": commit(),
                               "when": datetime.datetime.now().astimezone().isoformat(timespec="seconds")},
                      "rig": {"kernel": os.environ["ZCIO_KERNEL"], "host": host()},
                      "jobs": {}, "calibration": [], "paths": [], "cells": []}
        self.wrong = []

    def add(self, nic, mtu, lines, status, seconds):
        path = {"nic": nic, "mtu": mtu, "seconds": round(seconds)}
        for line in lines:
            if "guest" in line:
                # Of the first of its guests.
                path.setdefault("drivers_apart", line["guest"].pop("drivers_apart"))
                self.found["rig"]["guest"] = line["guest"]
            elif "jobs" in line:
                self.found["jobs"] = line["jobs"]
            elif "clock" in line:
                path["clock"] = line["clock"]
            elif "wrong" in line:
                self.wrong.append(f"{nic} {mtu}: {line['wrong']}")
        self.found["paths"].append(path)
        self.found["calibration"] += figures.calibration(lines)
        cells = figures.cells(nic, mtu, lines)
        self.found["cells"] += cells
        if status:
            self.wrong.append(f"{nic} {mtu}: the guest ended with status {status}")
        expected = {figures.key_of(cell) for cell in plan.cells(self.found["jobs"], LEVEL, (nic, mtu), ONLY)}
        missing = expected - {figures.key_of(cell) for cell in cells}
        self.wrong += [f"{nic} {mtu}: nothing of {key}" for key in sorted(missing)]
        self.wrong += figures.incomplete(cells, rounds(), self.found["jobs"])
        if not cells:
            self.wrong.append(f"{nic} {mtu}: nothing was measured")

    def write(self, seconds):
        self.found["made"]["seconds"] = round(seconds)
        self.found["crossovers"] = figures.crossovers(self.found["cells"])
        self.found["wrong"] = self.wrong
        with open(FOUND + ".new", "w", encoding="utf-8") as file:
            json.dump(added.added(self.before, self.found) if self.before else self.found, file, indent=1)
            file.write("\n")
        os.replace(FOUND + ".new", FOUND)

    def differs(self):
        """Why what was measured cannot stand beside what was there before."""
        return added.differences(self.before, self.found) if self.before else []


def found_before():
    """What there is to add to."""
    if not os.environ.get("ZCIO_BENCH_ADD"):
        return None
    try:
        with open(FOUND, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        sys.exit(f"bench: BENCH_ADD, but there is no {os.path.relpath(FOUND, TOP)} to add to: run 'make bench' first")


def main():
    start = time.monotonic()
    os.makedirs(RESULTS, exist_ok=True)
    bench = Bench(found_before())
    for number, (nic, mtu) in enumerate(paths(), 1):
        began = time.monotonic()
        print(f"[{number}/{len(paths())}] {nic}, MTU {mtu}", file=sys.stderr, flush=True)
        calibrate = (nic, mtu) == plan.CALIBRATED[LEVEL] or len(paths()) == 1
        lines, status = all_lines_of(nic, mtu, calibrate)
        bench.add(nic, mtu, lines, status, time.monotonic() - began)
        if bench.differs():
            sys.exit(f"bench: cannot be added to what was measured before: {'; '.join(bench.differs())}")
        print(f"[{number}/{len(paths())}] {nic}, MTU {mtu}: status {status}, "
              f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        # Each time: what is stopped in the middle has what came before.
        bench.write(time.monotonic() - start)
    for text in bench.wrong:
        print(f"WRONG: {text}")
    ways = [way for cell in bench.found["cells"] for way in cell["ways"].values()]
    print(f"bench: {len(bench.found['cells'])} cells, {sum('figures' in way for way in ways)} ways with figures, "
          f"{sum('unable' in way for way in ways)} that cannot be gone there, {len(bench.wrong)} wrong; "
          f"{time.monotonic() - start:.0f} s; {os.path.relpath(FOUND, TOP)}")
    return 1 if bench.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
