#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the tests of the host and of the guests, and count them. See tests/run.

The last line says "N passed, N failed, N skipped"; exit status 1 if any failed.
What was printed lies in build/results/test/.
"""
import contextlib
import fnmatch
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import ktap
import lint
import planted
import splat

TOP = os.environ["ZCIO_TOP"]
RIG = os.path.join(TOP, "tests", "rig")
RESULTS = os.path.join(TOP, "build", "results", "test")


class Tally:
    def __init__(self):
        self.passed = self.skipped = 0
        self.failures = []
        self.cases = 0          # how many of the failures are cases of a guest's programs
        self.programs = set()   # and of which
        self.unsteady = []      # cases that failed, and then passed again and again

    def add(self, where, cases, program=None):
        self.passed += len(cases.passed)
        self.skipped += len(cases.skipped)
        for name in cases.failed + cases.problems:
            self.fail(f"{where}: {name}")
            if program:
                self.cases += 1
                self.programs.add(program)

    def fail(self, text):
        self.failures.append(text)

    def take(self, other):
        self.passed += other.passed
        self.skipped += other.skipped
        self.failures += other.failures
        self.unsteady += other.unsteady


class Clock:
    """How long the parts took."""

    def __init__(self):
        self.parts = []

    @contextlib.contextmanager
    def part(self, name):
        start = time.monotonic()
        try:
            yield
        finally:
            self.parts.append((name, time.monotonic() - start))

    def table(self):
        rows = [*self.parts, ("together", sum(seconds for _, seconds in self.parts))]
        return "\n".join(f"  {name:<28}{seconds:8.0f} s" for name, seconds in rows)


CLOCK = Clock()


def say(text):
    print(text, flush=True)


def run(command, log, **more):
    """Run a command with its output in a log; its status and output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, check=False, **more)
    with open(os.path.join(RESULTS, log), "w", encoding="utf-8") as file:
        file.write(done.stdout)
    return done.returncode, done.stdout


def report(name, start, bad, output):
    say(f"  {'FAIL' if bad else 'ok  '} {name}, {time.monotonic() - start:.1f} s")
    if bad:
        say("\n".join("    | " + line for line in output.splitlines()[-25:]))


def python_tests(tally):
    """Whatever lies in tests/*/test_*.py."""
    for folder in sorted({os.path.dirname(p) for p in glob.glob(os.path.join(TOP, "tests", "*", "test_*.py"))}):
        name = os.path.relpath(folder, TOP)
        log = name.replace("/", "-") + ".log"
        start = time.monotonic()
        status, output = run([sys.executable, "-B", "-m", "unittest", "discover", "-s", folder], log)
        ran = re.search(r"^Ran (\d+) tests?", output, re.M)
        if status == 0 and ran:
            tally.passed += int(ran[1])
        else:
            tally.fail(f"{name}/test_*.py: see build/results/test/{log}")
        report(f"{name}/test_*.py: {ran[1] if ran else 0} ran", start, status, output)


def lint_checks(tally):
    for name, check in lint.checks():
        start = time.monotonic()
        said = check()
        if said:
            log = "lint-" + re.sub(r"\W+", "-", name) + ".log"
            with open(os.path.join(RESULTS, log), "w", encoding="utf-8") as file:
                file.write(said)
            tally.fail(f"lint: {name}: see build/results/test/{log}")
        else:
            tally.passed += 1
        report(name, start, said, said)


def cargo_tests(tally):
    env = {**os.environ, "CARGO_TARGET_DIR": os.path.join(TOP, "build", "cargo")}
    hosts = glob.glob(os.path.join(TOP, "tests", "host", "*", ""))
    for folder in [*sorted(hosts), os.path.join(TOP, "tests", "fuzz", "")]:
        if os.path.exists(os.path.join(folder, "Cargo.toml")):
            cargo_test(tally, folder, ["cargo", "test", "--offline", "--workspace", "--no-fail-fast"], env)
    userspace = os.path.join(TOP, "userspace")
    if os.path.exists(os.path.join(userspace, "Makefile")):
        cargo_test(tally, userspace, ["make", "--no-print-directory", "check-c", "check-rust"], env)


def cargo_test(tally, folder, command, env):
    """Run cargo's tests; a check among them that is no test counts as one when it fails."""
    name = os.path.relpath(folder, TOP)
    log = name.replace("/", "-") + ".log"
    start = time.monotonic()
    status, output = run(command, log, cwd=folder, env=env)
    found = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", output, re.M)
    passed, failed, ignored = (sum(int(row[n]) for row in found) for n in range(3))
    tally.passed += passed
    tally.skipped += ignored
    for case in re.findall(r"^test (.+) \.\.\. FAILED$", output, re.M):
        tally.fail(f"{name}: {case}")
    if status and not failed:
        tally.fail(f"{name}: {' '.join(command[:2])} failed; see build/results/test/{log}")
    report(f"{' '.join(command)} in {name}: {passed} passed", start, status, output)


FUZZ_RUNS = 10000
MOST_UNSTEADY = 3
# What the runner looks at last: what is wrong there was left behind by some program.
AFTERWARDS = {"final-check", "unload"}


def host_fuzzing(tally):
    """Each fuzz target for a number of runs, always the same ones."""
    for target in sorted(glob.glob(os.path.join(TOP, "tests", "host", "plan", "fuzz", "fuzz_targets", "*.rs"))):
        name = os.path.basename(target).removesuffix(".rs")
        once(tally, f"fuzz target {name}, {FUZZ_RUNS} runs", f"fuzz-{name}.log",
             [os.path.join(TOP, "tests", "host", "fuzz"), "--runs", str(FUZZ_RUNS), name])


def sanitizers(tally):
    script = os.path.join(TOP, "tests", "host", "sanitize")
    for part in ("crate-asan", "crate-valgrind", "libzcio-asan", "libzcio-valgrind"):
        once(tally, f"sanitize {part}", f"sanitize-{part}.log", [script, part])


def once(tally, name, log, command):
    """A command that is one test."""
    start = time.monotonic()
    status, output = run(command, log)
    if status:
        tally.fail(f"{name}: see build/results/test/{log}")
    else:
        tally.passed += 1
    report(name, start, status, output)


def configurations():
    """NIC, MTU, test patterns and kernel options of each guest to boot."""
    if os.environ.get("ZCIO_NIC"):
        yield os.environ["ZCIO_NIC"], os.environ.get("ZCIO_MTU") or "9000", ["*"], []
        return
    with open(os.path.join(TOP, "tests", "guest", "suite.txt"), encoding="utf-8") as file:
        for line in file:
            words = line.partition("#")[0].split()
            if words:
                options = [word for word in words[2:] if "=" in word]
                patterns = [word for word in words[2:] if "=" not in word]
                yield words[0], words[1], patterns or ["*"], options


def has_driver(nic):
    """Whether the kernel has the device's driver."""
    module = {"virtio-net-pci": "virtio_net"}.get(nic, nic)
    command = ["modprobe", "--set-version", os.environ["ZCIO_KERNEL"], "--show-depends", module]
    return nic == "lo" or subprocess.run(command, check=False, capture_output=True).returncode == 0


def narrowed(patterns):
    """The patterns, or those of TESTS that name a test the patterns allow."""
    only = os.environ.get("ZCIO_TESTS", "").split()
    if not only:
        return patterns
    names = {os.path.splitext(os.path.basename(p))[0] for p in glob.glob(os.path.join(TOP, "tests", "guest", "*.*"))}
    names |= {n + "-32" for n in names}     # those that there are, the runner knows
    return [n for n in sorted(names) if any(fnmatch.fnmatch(n, p) for p in patterns)
            and any(fnmatch.fnmatch(n, p) for p in only)]


def boot(name, nic, mtu, command, options=()):
    """Run a command in a guest; the folder with what it left, and its status."""
    folder = os.path.join(RESULTS, name)
    os.makedirs(folder)
    say(f"guest {name}:")
    env = {**os.environ, "ZCIO_RUN": folder, "ZCIO_NIC": nic, "ZCIO_MTU": mtu, "ZCIO_CMD": command,
           "ZCIO_KCMDLINE": " ".join([*options, os.environ.get("ZCIO_KCMDLINE", "")]).strip(),
           "ZCIO_TIMEOUT": os.environ["ZCIO_SUITE_TIMEOUT"]}
    with CLOCK.part(f"guest {name}"):
        status = subprocess.run([sys.executable, "-B", os.path.join(RIG, "boot.py")], cwd=TOP, env=env,
                                stdin=subprocess.DEVNULL, check=False).returncode
    return folder, status


def guest_tests(tally):
    for nic, mtu, patterns, options in configurations():
        patterns = narrowed(patterns)
        if not patterns:
            continue
        name = f"{nic}-{mtu}"
        if os.path.exists(os.path.join(RESULTS, name)):
            name = "-".join([name, *options])
        if not has_driver(nic):
            say(f"guest {name}: left out, this kernel has no driver for {nic}")
            tally.skipped += 1
        else:
            one = Tally()
            account(one, name, *boot(name, nic, mtu, runner(patterns), options))
            repeat(one, name, lambda again, only, nic=nic, mtu=mtu, options=options:
                   boot(again, nic, mtu, runner(only), options))
            tally.take(one)


def runner(patterns):
    return "tests/guest/runner " + " ".join(f"'{p}'" for p in patterns)


def repeat(tally, name, boot_again):
    """With AGAIN=N: tell a case that failed once from one that fails.

    Programs of which a case failed run N times more, each time in a new guest. Failures that
    are not seen again are set apart as unsteady: they are no passes, and are printed. Only a
    few cases are looked at so, and never a splat, a leak or a guest that was lost.
    """
    times = int(os.environ.get("ZCIO_AGAIN") or 0)
    only_cases = 0 < tally.cases == len(tally.failures) <= MOST_UNSTEADY
    if not times or not only_cases or tally.programs & AFTERWARDS:
        return
    for turn in range(1, times + 1):
        more = Tally()
        account(more, name, *boot_again(f"{name}-again-{turn}", sorted(tally.programs)))
        if more.failures:
            for text in more.failures:
                tally.fail(f"{text} (run again, time {turn} of {times})")
            return
    tally.unsteady, tally.failures = tally.failures, []


def planted_bugs(tally):
    """On the debug kernel: its checkers, and the suite, find bugs that are there on purpose."""
    only = os.environ.get("ZCIO_TESTS", "").split()
    wanted = any(fnmatch.fnmatch(planted.NAME, p) for p in only) if only else not os.environ.get("ZCIO_NIC")
    if wanted and os.environ["ZCIO_KERNEL"].endswith("-debug"):
        cases = planted.stage(boot, account, Tally())
        say(f"  {'FAIL' if cases.failed else 'ok  '} these bugs were planted: {len(cases.passed)} checks "
            f"of what was made of them are good, {len(cases.failed)} bad")
        tally.add(planted.NAME, cases)


def account(tally, name, folder, status):
    """Count what a guest left behind: its programs' cases, splats, and whether it lived to the end."""
    started, ended, finished = [], {}, False
    try:
        with open(os.path.join(folder, "results.jsonl"), encoding="utf-8") as file:
            records = [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        records = []
    for record in records:
        if "status" in record:
            ended[record["test"]] = record
        elif "started" in record:
            started.append(record["test"])
        finished |= "finished" in record
    for test in started:
        with open(os.path.join(folder, test + ".ktap"), encoding="utf-8", errors="replace") as file:
            text = file.read()
        end = ended.get(test)
        if end:
            tally.add(f"{name} {test}", ktap.judge(text, end["status"], end["timed_out"]), test)
        else:
            tally.fail(f"{name} {test}: the guest did not survive it")
    if not finished:
        tally.fail(f"{name}: the guest did not come to the end of its tests (status {status})")
    found = splat.scan_file(os.path.join(folder, "console.log")) if os.path.exists(
        os.path.join(folder, "console.log")) else []
    for lines in found:
        during = f" during {lines.test}" if lines.test else ""
        tally.fail(f"{name}: the kernel's log{during}: {lines[0]}")


def main():
    shutil.rmtree(RESULTS, ignore_errors=True)
    os.makedirs(RESULTS)
    only = os.environ.get("ZCIO_ONLY", "")
    tally = Tally()
    if only in ("", "host"):
        for part in (lint_checks, python_tests, cargo_tests, host_fuzzing, sanitizers):
            name = part.__name__.replace("_", " ")
            say(f"{name}:")
            with CLOCK.part(name):
                part(tally)
    if only in ("", "guest"):
        guest_tests(tally)
        planted_bugs(tally)
    say("\nhow long it took:\n" + CLOCK.table())
    if tally.failures:
        say("\nfailed:")
        for text in tally.failures:
            say("  " + text)
    if tally.unsteady:
        say("\nunsteady (failed, and then passed each time it was run again; to be mended):")
        for text in tally.unsteady:
            say("  " + text)
    say(f"\n{tally.passed} passed, {len(tally.failures)} failed, {tally.skipped} skipped")
    return 1 if tally.failures or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
