# SPDX-License-Identifier: GPL-2.0
"""Bugs on purpose: a run in which they happen must fail, and say which.

A guest of the debug kernel commits one bug after the other (rust/ground/debug/plant.rs).
Nothing fails in there but what the kernel's checkers write to its log. The code that
judges every guest of the suite judges this one; its verdict is judged here: failed, for
each bug with the splat of its kind, during that bug, and for nothing else.
"""
import os
import re

import ktap
import splat

NAME = "planted"
SPLAT = 99      # what a guest's status is when only its log shows that something is wrong

# What the first line of the splat says. Taints switch lockdep off, so it comes first.
BUGS = {
    "lock-inversion": r"WARNING: possible circular locking dependency detected",
    "sleep-in-atomic": r"BUG: sleeping function called from invalid context",
    "use-after-free": r"BUG: KASAN: slab-use-after-free in ",
    "page-use-after-put": r"BUG: KASAN: use-after-free in ",
    "leak": r"unreferenced object 0x|kmemleak: \d+ new suspected memory leaks",
}
# Found by the look for leaks at the end of the guest, not when it happens.
LATER = {"leak": "kmemleak"}


def function(bug):
    """The planting function, as its mangled name begins in the kernel's log."""
    name = bug.replace("-", "_")
    return f"5plant{len(name)}{name}"


def is_of(bug, found):
    """Whether a splat is of a bug's kind, and came when it was due."""
    return found.test == LATER.get(bug, bug) and bool(re.match(BUGS[bug], found[0]))


def judge(failures, splats, status):
    """The cases of this stage, from the suite's verdict on the guest."""
    cases = ktap.Cases()

    def case(good, text):
        (cases.passed if good else cases.failed).append(text)

    expected = set()
    for bug in BUGS:
        own = [found for found in splats if is_of(bug, found)]
        texts = {f"{NAME}: the kernel's log during {found.test}: {found[0]}" for found in own}
        expected |= texts
        named = any(function(bug) in line for found in own for line in found)
        case(named and texts and texts <= set(failures), f"{bug} fails the run, and is named")
    others = [text for text in failures if text not in expected]
    case(not others, "; ".join(["nothing else fails it", *others]))
    case(status == SPLAT, f"the guest's status says so: {SPLAT}" + ("" if status == SPLAT else f", not {status}"))
    return cases


def stage(boot, account, tally):
    """Boot the guest, have it judged into a tally of its own, and judge that."""
    folder, status = boot(NAME, "lo", "65536", "tests/rig/guest-planted " + " ".join(BUGS))
    account(tally, NAME, folder, status)
    return judge(tally.failures, splat.scan_file(os.path.join(folder, "console.log")), status)
