#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fuzz /dev/zcio: guest after guest, until enough seconds were spent or one program was
replayed. Runs inside the rig's root (see tests/fuzz/run for the way in).

The guest's side is tests/fuzz (zcio-fuzz). It writes each program to disk before it runs
it and names it in the kernel's log; here is watched what that log says. After a finding
the guest is thrown away: what was found lies in build/results/fuzz/KERNEL/finding-N.
Exit status 1 if anything was found.
"""
import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time

import boot
import fuzz_coverage
import qemu
import splat

TOP = os.environ.get("ZCIO_TOP", "")
BINARY = "build/tests/zcio-fuzz"
CORPUS = os.path.join(TOP, "tests", "fuzz", "corpus")
# What earlier runs kept, for the next ones.
KEPT = os.path.join(TOP, "build", "fuzz", "corpus")
# The guest keeps so many of its last programs.
LAST = 16
# A splat is many lines.
REST_OF_SPLAT = 5
# Boot, and at the end the look for leaks, on a machine that is busy.
SLACK = 1800


class Watched(boot.Guest):
    """A guest whose kernel log is read as it comes."""

    splat_at = None
    line = b""

    def move(self, name):
        before = self.console.tell() if name == "console" else 0
        alive = super().move(name)
        if name == "console":
            self.console.flush()
            with open(self.console.name, "rb") as file:
                file.seek(before)
                self.read_log(file.read())
        return alive

    def read_log(self, data):
        *lines, self.line = (self.line + data).split(b"\n")
        for line in lines:
            if self.splat_at is None and splat.starts(splat.text_of(line.decode(errors="replace"))):
                self.splat_at = time.monotonic()

    def watch(self, seconds):
        """Until it is off, or has shown a splat, or the time is over; True if it is off."""
        deadline = self.start + seconds
        while time.monotonic() < deadline:
            if self.pump(min(deadline, time.monotonic() + 1)):
                return True
            if self.splat_at and time.monotonic() > self.splat_at + REST_OF_SPLAT:
                return False
        self.ask_for_tasks()
        return False


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def program_of(run, number):
    """A program by its number, if the guest still has it on disk."""
    return read_json(os.path.join(run, "last", f"{number % LAST:02d}.json"))


def last_number(lines):
    """The last program that the kernel's log names."""
    numbers = re.findall(r"zcio-rig: test fuzz program (\d+)", "\n".join(lines))
    return int(numbers[-1]) if numbers else None


def judge(run, finished, status):
    """What a guest found: (what, number of the program, program) or None."""
    own = read_json(os.path.join(run, "finding.json"))
    log = os.path.join(run, "console.log")
    found = splat.scan_file(log)
    if found:
        named = re.match(r"fuzz program (\d+)$", found[0].test or "")
        number = int(named[1]) if named else None
        what = "the kernel's log: " + found[0][0]
    elif own:
        number, what = own["number"], own["what"]
    elif finished and status == 0:
        return None
    else:
        with open(log, encoding="utf-8", errors="replace") as file:
            number = last_number(file)
        what = f"the guest ended with status {status}" if status else "the guest was lost, or hung"
    if own and own["number"] == number:
        return what, number, own["program"]
    return what, number, None if number is None else program_of(run, number)


class Sum:
    """What all guests did."""

    def __init__(self):
        self.numbers = {}
        self.calls = {}
        self.places = set()

    def add(self, run):
        state = read_json(os.path.join(run, "state.json")) or {}
        for name, value in state.items():
            if isinstance(value, (int, float)):
                self.numbers[name] = self.numbers.get(name, 0) + value
        for call, results in state.get("calls", {}).items():
            mine = self.calls.setdefault(call, {})
            for errno, count in results.items():
                mine[errno] = mine.get(errno, 0) + count
        try:
            with open(os.path.join(run, "places"), encoding="ascii") as file:
                self.places.update(file.read().split())
        except OSError:
            pass
        return state.get("seconds", 0)


def keep_corpus(run):
    """By what is in them, so that no program is there twice."""
    os.makedirs(KEPT, exist_ok=True)
    for path in glob.glob(os.path.join(run, "corpus", "*.json")):
        if read_json(path):
            with open(path, "rb") as file:
                name = hashlib.sha256(file.read()).hexdigest()[:16]
            shutil.copyfile(path, os.path.join(KEPT, name + ".json"))


class Session:
    """One run of the fuzzer, in as many guests as it takes."""

    def __init__(self, results):
        self.results = results
        self.guests = 0
        self.sum = Sum()
        self.findings = []

    def guest(self, command, seconds):
        """Boots a guest for one command; whether it found nothing, and how long it fuzzed."""
        run = os.path.join(self.results, f"guest-{self.guests:03d}")
        self.guests += 1
        os.makedirs(run)
        os.environ["ZCIO_RUN"] = run
        os.environ["ZCIO_CMD"] = command
        config = boot.configuration(run)
        guest = Watched(config, run)
        try:
            finished = guest.watch(seconds + SLACK)
        finally:
            guest.kill()
            spent = self.sum.add(run)
            keep_corpus(run)
        if guest.broken or guest.ready is None:
            raise SystemExit(f"zcio: the guest was not ready: {guest.broken or 'see ' + run}/console.log")
        found = judge(run, finished, guest.status)
        if found:
            # A guest that is lost has not said how long it lived.
            spent = max(spent, time.monotonic() - guest.start - guest.ready)
            self.save(run, *found)
        return not found, spent

    def save(self, run, what, number, program):
        folder = os.path.join(self.results, f"finding-{len(self.findings) + 1}")
        os.makedirs(folder)
        for name in ("console.log", "finding.json", "guest.env"):
            if os.path.exists(os.path.join(run, name)):
                shutil.copyfile(os.path.join(run, name), os.path.join(folder, name))
        shutil.copytree(os.path.join(run, "last"), os.path.join(folder, "last"), dirs_exist_ok=True)
        with open(os.path.join(folder, "what.txt"), "w", encoding="utf-8") as file:
            file.write(f"{what}\nprogram {number} of {os.path.basename(run)}\n")
        path = os.path.relpath(os.path.join(folder, "program.json"), TOP)
        if program:
            with open(os.path.join(folder, "program.json"), "w", encoding="utf-8") as file:
                json.dump(program, file)
        self.findings.append({"folder": os.path.relpath(folder, TOP), "what": what})
        kernel = "debug" if boot.setting("KERNEL").endswith("-debug") else boot.setting("KERNEL")
        print(f"zcio: FOUND {what}\n      kept in {os.path.relpath(folder, TOP)}; again with:\n"
              f"      make fuzz KERNEL={kernel} NIC={boot.setting('NIC', 'e1000e')} REPLAY={path}", flush=True)


def fuzz(session, seconds, seed):
    spent, most = 0, int(boot.setting("FINDINGS", "10"))
    while spent < seconds and len(session.findings) < most:
        left = max(1, round(seconds - spent))
        corpora = [folder for folder in (CORPUS, KEPT) if os.path.isdir(folder)]
        command = shlex.join([BINARY, "run", "--seconds", str(left), "--seed", str(seed + session.guests),
                              *(word for folder in corpora for word in ("--corpus", os.path.relpath(folder, TOP))),
                              "--out"]) + " $ZCIO_RUN"
        spent += session.guest(command, left)[1]


def replay(session, path, times):
    here = os.path.join(session.results, "replay.json")
    shutil.copyfile(path, here)
    command = f"{BINARY} replay --times {times} {shlex.quote(os.path.relpath(here, TOP))} --out $ZCIO_RUN"
    session.guest(command, 3600)


def summary(session, seed, seconds):
    total = session.sum
    out = {
        "kernel": boot.setting("KERNEL"), "nic": boot.setting("NIC", "e1000e"), "seed": seed,
        "wanted_seconds": seconds, "guests": session.guests, **total.numbers,
        "device_calls": sum(sum(results.values()) for results in total.calls.values()),
        "calls": total.calls, "findings": session.findings,
    }
    if total.places:
        out["coverage"] = fuzz_coverage.write(boot.setting("MODULE"), total.places,
                                              os.path.join(session.results, "coverage.txt"))
    with open(os.path.join(session.results, "summary.json"), "w", encoding="utf-8") as file:
        json.dump(out, file, indent=1)
    reached = out.get("coverage")
    print(f"fuzz: {out.get('seconds', 0):.0f} s in {session.guests} guests, {out.get('programs', 0)} programs, "
          f"{out.get('operations', 0)} operations, {out['device_calls']} calls of the device, "
          + (f"{reached['reached']} of {reached['places']} places reached, " if reached else "")
          + f"{len(session.findings)} findings")


def main():
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = os.path.join(TOP, "build", "results", "fuzz", boot.setting("KERNEL"))
    path = boot.setting("REPLAY")
    if path:
        results += "-replay"
        path = os.path.abspath(path)
        if not read_json(path):
            raise SystemExit(f"zcio: {path} is not a program: REPLAY= takes a finding's program.json")
    shutil.rmtree(results, ignore_errors=True)
    os.makedirs(results)
    os.environ["ZCIO_ACCEL"] = boot.setting("ACCEL") or qemu.choose_accel(
        {"KERNEL": boot.setting("KERNEL"), "CACHE": boot.setting("CACHE"), "CPUS": "2", "MEM": "4G"}, results)
    session = Session(results)
    seed = int(boot.setting("SEED") or time.time())
    seconds = float(boot.setting("SECONDS", "300"))
    print(f"zcio: {'replaying ' + path if path else f'fuzzing for {seconds:.0f} s from seed {seed}'}")
    try:
        if path:
            replay(session, path, int(boot.setting("TIMES", "300")))
        else:
            fuzz(session, seconds, seed)
    except KeyboardInterrupt:
        print("zcio: stopped")
    summary(session, seed, seconds)
    return 1 if session.findings else 0


if __name__ == "__main__":
    sys.exit(main())
