# SPDX-License-Identifier: GPL-2.0
"""A part measured anew: its cells beside those of an earlier bench.json ('BENCH_ADD=1 make bench')."""
import figures


def place(cell):
    return cell["nic"], cell["mtu"], figures.key_of(cell)


def differences(old, new):
    """In what two runs differ that must be the same for one table."""
    said = []
    for name in ("level", "rounds"):
        if old["made"][name] != new["made"][name]:
            said.append(f"{name}: {old['made'][name]} then, {new['made'][name]} now")
    if old["rig"]["kernel"] != new["rig"]["kernel"] or old["rig"]["host"] != new["rig"]["host"]:
        said.append("another kernel or host")
    before, now = (bench["rig"].get("guest") for bench in (old, new))
    if before and now and any(before.get(name) != now.get(name) for name in ("cpus", "memory", "cpu", "accelerator")):
        said.append("another guest")
    return said


def added(old, new):
    """All that both found; what both have, as the new one has it."""
    again = {place(cell) for cell in new["cells"]}
    there = {(path["nic"], path["mtu"]) for path in old["paths"]}
    kept = [cell for cell in old["cells"] if place(cell) not in again]
    cells = kept + new["cells"]
    wrong = list(figures.incomplete(kept, old["made"]["rounds"], old["jobs"]))
    return {**new, "made": {**old["made"], "then": [*old["made"].get("then", []), new["made"]]},
            "rig": {**new["rig"], **old["rig"]}, "jobs": {**old["jobs"], **new["jobs"]},
            "calibration": old["calibration"] or new["calibration"],
            "paths": old["paths"] + [path for path in new["paths"] if (path["nic"], path["mtu"]) not in there],
            "cells": cells, "crossovers": figures.crossovers(cells), "wrong": wrong + new["wrong"]}
