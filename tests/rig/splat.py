#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Find in a kernel log what a healthy kernel never says.

    splat.py LOG...     prints each splat with the lines after it; exit status 1 if any
"""
import re
import sys

# What starts a splat, after the timestamp. Each is a text the kernel prints itself.
STARTS = [re.compile(pattern) for pattern in (
    r"BUG: ",                                   # null dereference, KASAN, KFENCE, soft lockup, Bad page …
    r"Oops: ",
    r"Kernel panic - not syncing",
    r"kernel BUG at ",
    r"WARNING: ",                               # WARN_ON, lockdep, suspicious RCU usage
    r"general protection fault",
    r"(stack segment|invalid opcode|divide error|double fault)[:,]",
    r"Unable to handle kernel",
    r"unable to handle page fault",
    r"INFO: task .* blocked for more than",
    r"INFO: (task )?.*lockup",
    r"INFO: possible (recursive locking|circular locking|irq lock inversion)",
    r"INFO: trying to register non-static key",
    r"INFO: rcu\w* .*(stall|self-detected)",
    r"rcu: INFO: rcu\w* .*(stall|self-detected)",
    r"rcu: INFO: ",
    r"refcount_t: ",
    r"unregister_netdevice: waiting for .* to become free",
    r"list_(add|del) corruption",
    r"page:\S+ .*is uninitialized and poisoned",
    r"Object .* freed|Slab .* invalid object|=+ BUG \S+ .*: ",
    r"UBSAN: ",
    r"KCSAN: ",
    r"kmemleak: \d+ new suspected memory leaks",
    r"^unreferenced object 0x",                 # kmemleak's report, by guest-kmemleak
    r"kmemleak: (Cannot allocate|Memory pool empty|Kernel memory leak detector disabled)",
    r"INFO: lockdep is turned off",             # from here on it sees nothing
    r"ODEBUG: ",
    r"pagealloc: (memory corruption|single bit error)",
    r"# \S+: (EXPECTATION|ASSERTION) FAILED at ",  # KUnit
    r"watchdog: BUG: soft lockup",
    r"[Ww]atchdog.* hard LOCKUP",
    r"INFO: Object \S+|Poison overwritten|Redzone overwritten",
    r"rust_kernel: panicked|rust: .*panicked|panicked at ",
    r"Memory cgroup out of memory|Out of memory: Killed process|invoked oom-killer",
    r"page allocation failure",
    r"scheduling while atomic",
    r"Trying to vfree\(\) (bad address|nonexistent)",
    r"Freeing .* with active|module .* still in use",
    r"DEBUG_LOCKS_WARN_ON|bad unlock balance|held lock freed|Invalid wait context",
)]

# Lines that look like a splat but are not. Keep it tiny; give the reason.
ALLOWED = [re.compile(pattern) for pattern in (
    r"ACPI BIOS (Warning|Error)",                # QEMU's tables, before anything of ours runs
)]

# The OOM killer's account of a kill in a memory cgroup that a test has made for it.
OOM = re.compile(r"invoked oom-killer|Memory cgroup out of memory")
MEANT = re.compile(r"^oom-kill:constraint=CONSTRAINT_MEMCG\b.*\boom_memcg=/zcio-oom,")
OOM_LINES = 200     # in which it says which cgroup it is

STAMP = re.compile(r"^(<\d+>)?\[\s*\d+\.\d+\](\[\s*[TC]\d+\])?\s?")
MARKER = "zcio-rig: test "   # what the runner writes before each test
AFTER = 40      # lines shown after the first
END = re.compile(r"---\[ end (trace|Kernel panic)|^</TASK>$")


def text_of(line):
    """A log line without its timestamp and caller."""
    return STAMP.sub("", line.rstrip("\r\n"))


def starts(text):
    return (any(p.search(text) for p in STARTS)
            and not any(p.search(text) for p in ALLOWED))


def meant_oom(lines, n):
    """The last line of the OOM killer's account that begins at line n, if a test meant it; or None."""
    for m in range(n, min(n + OOM_LINES, len(lines))) if OOM.search(lines[n]) else ():
        if lines[m].startswith("oom-kill:"):
            killed = m + 1 < len(lines) and OOM.search(lines[m + 1])
            return m + bool(killed) if MEANT.search(lines[m]) else None
    return None


class Splat(list):
    """The lines of one splat; the first says what it is. 'test' is the test that was running."""

    test = None


def scan(lines):
    """The splats of a log."""
    lines = [text_of(line) for line in lines]
    found = []
    test = None
    last = -1
    for n, text in enumerate(lines):
        if text.startswith(MARKER):
            test = text.removeprefix(MARKER)
        if n <= last or not starts(text):
            continue
        meant = meant_oom(lines, n)
        if meant is not None:
            last = meant
            continue
        last = min(n + AFTER, len(lines) - 1)
        for m in range(n + 1, last + 1):
            if lines[m].startswith(MARKER):
                last = m - 1
                break
            if END.search(lines[m].strip()):
                last = m
                break
        splat = Splat(lines[n:last + 1])
        splat.test = test
        found.append(splat)
    return found


def scan_file(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return scan(file)


def show(found, lines=12):
    """A short account: the first lines of each splat."""
    out = []
    for splat in found:
        out += ["    | " + line for line in splat[:lines]]
        if len(splat) > lines:
            out.append(f"    | … {len(splat) - lines} more lines")
    return "\n".join(out)


def main(paths):
    status = 0
    for path in paths:
        found = scan_file(path)
        if found:
            status = 1
            print(f"{path}: {len(found)} splat(s)")
            print(show(found, AFTER))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
