# SPDX-License-Identifier: GPL-2.0
"""Figures that no load and no emulation changes: what the kernel did for one run of zcio-bench,
as observe.bt counts it, by what was moved."""
import json
import os
import queue
import re
import subprocess
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
READY_SECONDS = 400
LINE_SECONDS = 20
MB = 1e6

# What the observer counts from its own beginning on.
TOTALS = ("in_kernel", "all_pages")
# Ways some of whose copies are a memcpy() in the middle of a function, which nothing can see.
UNSEEN = {("udp_send", "af_xdp"): "the kernel copies all but the first chunk of a frame by a memcpy() of its own"}
# A probe on one line.
PROBE = re.compile(r"^(?:fentry|fexit|kprobe):(\w+) .*\}$")


def usable(text, functions):
    """The observer's program without the probes of functions that the kernel lacks; and these."""
    missing = []
    lines = []
    for line in text.splitlines(True):
        probe = PROBE.match(line.rstrip())
        if probe and probe[1] not in functions:
            missing.append(probe[1])
        else:
            lines.append(line)
    return "".join(lines), missing


def kernel_functions():
    with open("/proc/kallsyms", encoding="ascii") as file:
        return {line.split()[2] for line in file}


def figures(counts, result):
    """From the observer's counts and the run's own result; pure."""
    size = result["bytes"]
    copied = counts["to_reader"] + counts["from_writer"] + counts["in_kernel"]
    unseen = UNSEEN.get((result["job"], result["way"]))
    return {
        **({"unseen": unseen} if unseen else {}),
        "bytes": size,
        "copied_per_byte": None if unseen else copied / size,
        "copied_in_kernel_per_byte": counts["in_kernel"] / size,
        "ptes_made_per_mb": counts["made"] * MB / size,
        "ptes_zapped_per_mb": counts["zapped"] * MB / size,
        "zaps_per_mb": counts["zaps"] * MB / size,
        "tlb_flushes_per_mb": counts["flushes"] * MB / size,
        "tlb_remote_per_mb": counts["remote"] * MB / size,
        "pages_per_mb": counts["pages"] * MB / size,
        "guest_pages_per_mb": counts["all_pages"] * MB / size,
        "calls_per_mb": result["calls"] * MB / size,
    }


def since(before, line):
    """One run's counts, of a line of the observer's and the totals before it."""
    return {name: value - before.get(name, 0) if name in TOTALS else value for name, value in line.items()}


class Unwell(Exception):
    """The observer does not start, or says nothing."""


class Observer:
    """bpftrace with observe.bt, from its being ready to the end of the block."""

    def __init__(self, bench):
        with open(os.path.join(HERE, "observe.bt"), encoding="utf-8") as file:
            text, self.missing = usable(file.read().replace("@BENCH@", bench), kernel_functions())
        self.program = tempfile.NamedTemporaryFile("w", suffix=".bt", dir="/dev/shm")
        self.program.write(text)
        self.program.flush()
        self.log = tempfile.TemporaryFile("w+", dir="/dev/shm")
        self.process = subprocess.Popen(["bpftrace", "-B", "line", self.program.name], text=True,
                                        stdout=subprocess.PIPE, stderr=self.log)
        self.before = {}
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())
        self.lines.put(None)

    def line(self, seconds):
        """The next line; None at its end, or if none comes in time."""
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def __enter__(self):
        line = ""
        while line is not None and line != "ready":
            line = self.line(READY_SECONDS)
        if line is None:
            self.log.seek(0)
            said = self.log.read()
            self.__exit__()
            raise Unwell(f"the observer does not start: {said}")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.program.close()

    def forget(self):
        """Whatever it said of runs before."""
        while not self.lines.empty():
            line = self.lines.get()
            if line and line.startswith("{"):
                self.before = json.loads(line)

    def figures(self, result):
        """Of the run that has just ended."""
        line = self.line(LINE_SECONDS)
        while line is not None and not line.startswith("{"):
            line = self.line(LINE_SECONDS)
        if line is None:
            raise Unwell("the observer said nothing of a run")
        said = json.loads(line)
        counts, self.before = since(self.before, said), said
        return {**figures(counts, result), "missing": self.missing}
