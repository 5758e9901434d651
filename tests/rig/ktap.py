# SPDX-License-Identifier: GPL-2.0
"""Read the kernel's test protocol (KTAP, and TAP as kselftest prints it)."""
import re

RESULT = re.compile(r"^( *)(not )?ok\b ?(\d+)?(?: -)? ?([^#]*?) *(?:# *(\w+)(.*))?$")
PLAN = re.compile(r"^( *)1\.\.(\d+)(?: *# *(SKIP\b.*))?$", re.I)


class Cases:
    """The cases of one program: names by outcome, and what kept the account from being whole."""

    def __init__(self):
        self.passed, self.failed, self.skipped, self.problems = [], [], [], []


def parse(text):
    """Count each innermost case once; a suite's own line counts only if it fails by itself."""
    cases = Cases()
    plans = {0: None}
    counts = {}         # results seen per indentation since that level began
    child_failed = {}   # whether a case below that indentation failed
    for line in text.splitlines():
        plan = PLAN.match(line)
        if plan:
            depth = len(plan[1])
            plans[depth] = int(plan[2])
            counts.setdefault(depth, 0)
            if depth == 0 and plan[3]:
                cases.skipped.append(plan[3])
            continue
        match = RESULT.match(line)
        if not match:
            continue
        depth, bad = len(match[1]), bool(match[2])
        name, directive = match[4].strip() or f"case {match[3]}", (match[5] or "").upper()
        deeper = [d for d in counts if d > depth]
        for d in deeper:
            complete(cases, plans.pop(d, None), counts.pop(d), f"{name}: ")
        counts[depth] = counts.get(depth, 0) + 1
        if deeper:
            failed_below = child_failed.pop(depth, False)
            if bad and not failed_below:
                cases.failed.append(name)
                failed_below = True
        elif directive in ("SKIP", "XFAIL"):
            cases.skipped.append(name + (match[6] or ""))
            continue
        elif bad:
            cases.failed.append(name)
            failed_below = True
        else:
            cases.passed.append(name)
            continue
        if failed_below:
            for d in range(depth):
                child_failed[d] = True
    for depth in sorted(counts, reverse=True):
        complete(cases, plans.get(depth), counts[depth], "")
    if 0 not in counts:
        cases.problems.append("no plan and no result")
    return cases


def complete(cases, plan, count, where):
    """A plan must be there and be kept."""
    if plan is None:
        cases.problems.append(f"{where}no plan")
    elif plan != count:
        cases.problems.append(f"{where}{plan} cases planned, {count} reported")


def judge(text, status, timed_out=False):
    """The cases of a program that ended with this status (negative: a signal)."""
    if status == 4 and not re.search(r"^ *(not )?ok\b", text, re.M):
        cases = Cases()
        cases.skipped.append("the whole program")
        return cases
    cases = parse(text)
    if timed_out:
        cases.problems.append("timed out")
    elif status < 0:
        cases.problems.append(f"killed by signal {-status}")
    elif status not in (0, 4) and not cases.failed:
        cases.problems.append(f"exit status {status}, though no case failed")
    return cases


def reasons(text, most=8):
    """What a program said before each case that failed: the last lines since the case before."""
    said, shown = [], []
    for line in text.splitlines():
        match = RESULT.match(line)
        if not match:
            said.append(line)
            continue
        if match[2] and said:
            shown += [*said[-most:], line]
        said = []
    # Of a program that died, what it said last.
    return shown or said[-most:]
