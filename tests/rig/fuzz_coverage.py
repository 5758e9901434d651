# SPDX-License-Identifier: GPL-2.0
"""Which instrumented places of zcio.ko a fuzzer reached, and which of its lines it did not.

A place is where a call of __sanitizer_cov_trace_pc returns to, named as the guest names it:
section+0xoffset. Places are in the project's own lines, or in library code that was inlined
into them. Those of the module's tests, and of library functions by themselves, do not count.
"""
import functools
import json
import math
import os
import re
import subprocess

TOP = os.environ.get("ZCIO_TOP", "")
# Code of the module that is there for its tests only.
TESTING = "rust/ground/debug"
# An x86 call: the relocation is its last four bytes, and the place is behind it.
BEHIND = 4


def instrumented(listing):
    """All places, from what objdump -r says of a module."""
    places, section = set(), None
    for line in listing.splitlines():
        header = re.match(r"RELOCATION RECORDS FOR \[(.*)\]:", line)
        if header:
            section = header[1]
        elif "__sanitizer_cov_trace_pc-" in line:
            places.add(f"{section}+{int(line.split()[0], 16) + BEHIND:#x}")
    return places


def locate(module, places):
    """For each place of .text: (file, line, function, own) of the project's code, or None."""
    text = sorted(place for place in places if place.startswith(".text+"))
    # The call itself, not what follows it.
    ask = "".join(f"{int(place.split('+')[1], 16) - 1:#x}\n" for place in text)
    # Short names come from the debugging information. The long ones would be looked up in the
    # table of symbols, where all sections of a module begin at 0.
    answer = subprocess.run(["llvm-symbolizer", f"--obj={module}", "--output-style=JSON",
                             "--functions=short"],
                            input=ask, capture_output=True, text=True, check=True)
    return {place: frame(json.loads(line)["Symbol"]) for place, line in zip(text, answer.stdout.splitlines())}


@functools.cache
def first_test_line(name):
    """Where in a file its KUnit tests begin, which no user reaches."""
    with open(os.path.join(TOP, name), encoding="utf-8") as file:
        return next((n for n, line in enumerate(file, 1) if line.startswith("#[kunit_tests(")), math.inf)


def frame(frames):
    """The innermost frame that is the project's, if it is no test's; own: nothing was inlined into it there."""
    for n, one in enumerate(frames):
        name = os.path.relpath(one["FileName"], TOP) if one["FileName"].startswith(TOP + "/") else ""
        if name.startswith("rust/") and one["Line"]:
            if name.startswith(TESTING) or one["Line"] >= first_test_line(name):
                return None
            return name, one["Line"], one["FunctionName"], n == 0
    return None


def report(places, reached, where):
    """The account as a text, and its numbers."""
    places = {place for place in places if where.get(place)}
    own = {place for place in places if where[place][3]}
    numbers = {"places": len(places), "reached": len(places & reached),
               "own_places": len(own), "own_reached": len(own & reached)}
    functions, lines = {}, {}
    for place in own:
        file, line, function, _ = where[place]
        counts = functions.setdefault((file, function), [0, 0])
        counts[place in reached] += 1
        lines.setdefault((file, line), []).append(place in reached)
    out = [f"{numbers['reached']} of {numbers['places']} instrumented places reached,",
           f"{numbers['own_reached']} of {numbers['own_places']} in the project's own lines; the others are library",
           "code that was inlined (checks of arithmetic and of indices among it).", "",
           "Functions never reached:"]
    out += [f"  {file}: {function}" for (file, function), (_, hits) in sorted(functions.items()) if not hits]
    out += ["", "Functions reached in part (places not reached, all):"]
    out += [f"  {misses:4} {misses + hits:4}  {file}: {function}"
            for (file, function), (misses, hits) in sorted(functions.items()) if misses and hits]
    out += ["", "Lines with a place that was never reached:"]
    missed = {}
    for (file, line), hits in sorted(lines.items()):
        if not all(hits):
            missed.setdefault(file, []).append(str(line) + ("" if not any(hits) else "*"))
    out += [f"  {file}: {' '.join(numbers)}" for file, numbers in missed.items()]
    out += ["  (* other places of that line were)"]
    return "\n".join(out) + "\n", numbers


def write(module, reached, path):
    """Writes the account; its numbers."""
    listing = subprocess.run(["objdump", "-r", module], capture_output=True, text=True, check=True).stdout
    places = instrumented(listing)
    text, numbers = report(places, reached, locate(module, places))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return numbers
