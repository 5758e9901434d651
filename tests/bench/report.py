# SPDX-License-Identifier: GPL-2.0
"""'make bench-report': Documentation/benchmarks.md with its plots, and for each job a file in
Documentation/benchmarks with the figures of all its cells, from build/results/bench.json. The
words are here, all figures are from there.

    tests/rig/enter python3 -B tests/bench/report.py [bench.json [FOLDER]]"""
import json
import os
import sys

import plan
import targets

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

HEAD = """# Benchmarks

Made by `make bench-report` from what `make bench` measured{level}; nothing in it is written by
hand.{left_out}

{rig}

{accelerator}

## How to read it

- A **job** is something that programs do with sockets, a **way** a set of calls to do it with.
  Ours are **bold**. All ways of a job do the same with the same peer, one after the other in
  {rounds} rounds, every other round in reverse. Before, each was run once with every byte compared.
- Figures are medians of the rounds, with the quartiles behind: 1200 (1150–1300). **×1.3** is the
  median of what the way takes divided by what the first of ours takes in the same round: above 1,
  zcio takes less.
- *15 calls* are system calls per MB. Ways differ in how much a call takes: `readv` one request,
  others what is queued. A comparison call by call is that with zc_readv_one.
- *CPU* is the processor time of the measured process, user and system, in µs per MB (10⁶ bytes) of
  payload, with the application reading one word of each cache line, or writing what it sends.
  {apart}
- Of relays, *CPU* is what their side of the guest takes. One in the kernel works in softirqs and work
  queues, so its process's time says nothing. Source and sink are both on the other side, so all comes
  over the device and leaves over it. The sides are kept apart: packets of this side are looked after by
  processor 0 only, in threads, those of the other side by the other processor, where source and sink
  are; so the figure is all that processor 0 did. The driver of its card is in that, where it has one,
  and is much of it for all ways; each job's file says what it is without. Over lo the sides cannot be
  told apart: it is the whole guest's time there, with source and sink in it.
- *From* a sender: how the peer sends, where there is a choice (see `zcio-bench --help`). *Whole pages*:
  the peer's TCP segments carry whole pages for all ways; else they do only for tcp_zerocopy, which
  maps nothing without.
- Here is one cell for each path, the nearest to 64 KiB. All of them, and the processor time of the whole
  guest, throughput, latencies, system calls, faults and shares mapped, are in a file for each job.
"""

JOB_HEAD = """# Benchmarks: {job}

Made by `make bench-report`, as [the page of all jobs](../benchmarks.md), which says on what and how.

The job: {about}.

## {cost}, µs per MB

"""

MORE_HEAD = """## What else was measured

Medians of the rounds, of one cell for each path.

- *guest*: the time of all processors, the other side's work and the drivers' included.
- *system*: the part of the process's time inside system calls, which the kernel samples every few
  milliseconds.
- *mapped*: the share of the bytes that came or went without a copy, as the way itself counts.

"""

SYSTEM_HEAD = """## Inside system calls, µs per MB

On a wire an emulated card's own work dominates: each access to one of its registers leaves the
emulated processor, and what its interrupts do meets whichever process runs. This is the part of the
above that the process spent inside system calls, without what the application does to the data
between them. The kernel samples it every few milliseconds.

"""

EMULATED = """The processor is **emulated** (QEMU's TCG). What a copy, a page-table update or a TLB flush costs
there is not what it costs on real hardware, so **timings here are ratios** between ways that ran side
by side, not predictions. An emulated processor copies memory about as fast as it does anything else,
while page tables cost it much: that setting understates what mapping is worth."""
UNBENT = " The figures that\nemulation does not bend are under [What the kernel did](#what-the-kernel-did)."

VIRTUAL = "The processor is the host's own, by KVM."


def number(value):
    """Three digits that mean something."""
    if value is None:
        return "–"
    if value >= 100 or value == 0:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 0.01 else f"{value:.1g}"


def spread(value, form=number):
    if not value:
        return "–"
    return f"{form(value['median'])} ({form(value['q1'])}–{form(value['q3'])})"


def size_text(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= 4 * unit or size == unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


def path_text(at):
    return "lo" if at["nic"] == "lo" else f"{at['nic']} {at['mtu']}"


def cell_text(cell):
    """A cell beside its path and job."""
    text = size_text(cell["size"])
    if cell["connections"] > 1 and not cell["threads"]:
        text += f" × {cell['connections']}"
    return text + sender_text(cell)


def sender_text(cell):
    """What is not ordinary of it."""
    text = f", from {cell['sender']}" if cell["sender"] not in ("", "send") else ""
    text += ", whole pages" if cell["pages"] else ""
    text += f", room {size_text(cell['room'])}" if cell["room"] else ""
    return text + (f", threads {cell['threads']}" if cell["threads"] else "")


def name_text(way):
    return f"**{way}**" if plan.is_ours(way) else way


def table(heads, rows, left=2):
    """Markdown; the first columns to the left, numbers to the right."""
    lines = ["| " + " | ".join(heads) + " |",
             "| " + " | ".join("---" if i < left else "---:" for i in range(len(heads))) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def made_text(made):
    commit = f", zcio {made['commit']}" if made["commit"] else ""
    return f"{made['when']}, {made['seconds'] / 60:.0f} minutes{commit}"


def rig_text(bench):
    rig, guest, host = bench["rig"], bench["rig"].get("guest", {}), bench["rig"]["host"]
    flags = " ".join(f"{name}={'on' if there else 'off'}" for name, there in guest.get("flags", {}).items())
    rows = [("kernel", f"Linux {rig['kernel']}, as the distribution built it"),
            ("guest", f"{guest.get('cpus', '?')} processors, {guest.get('memory', 0) / 2 ** 30:.1f} GiB, "
                      f"CPU `{guest.get('cpu', '?')}` ({flags})"),
            ("accelerator", guest.get("accelerator", "?")),
            ("host", f"{host['cpus']} × {host['cpu']}, {host['memory'] / 2 ** 30:.0f} GiB, Linux {host['kernel']}, "
                     f"{host['qemu']}"),
            ("made", made_text(bench["made"]))]
    rows += [(f"then {made['only'] or 'all'}", made_text(made)) for made in bench["made"].get("then", [])]
    return table(("", ""), rows).rstrip()


def apart_text(bench):
    apart = [path_text(path) for path in bench["paths"] if path.get("drivers_apart")]
    mixed = [path_text(path) for path in bench["paths"] if not path.get("drivers_apart")]
    text = []
    if apart:
        text.append(f"Drivers do their own work in threads (threaded NAPI) on {', '.join(apart)}:\n"
                    "  it counts for the guest, not for the process.")
    if mixed:
        text.append(f"On {', '.join(mixed)} there are no such threads:\n"
                    "  some of the network's work counts for the process.")
    return " ".join(text)


def left_out(bench):
    """What the plan has and this run had not."""
    there = {(path["nic"], path["mtu"]) for path in bench["paths"]}
    paths = [path_text({"nic": nic, "mtu": mtu}) for nic, mtu in plan.PATHS.get(bench["made"]["level"], [])
             if (nic, mtu) not in there]
    done = {cell["job"] for cell in bench["cells"]}
    jobs = [job for job in plan.PLAN if job not in done]
    parts = [f"the {what} {', '.join(names)}" for what, names in (("paths", paths), ("jobs", jobs)) if names]
    return f" Not measured in that run: {' and '.join(parts)}." if parts else ""


def head(bench):
    emulated = bench["rig"].get("guest", {}).get("accelerator") == "tcg"
    level = bench["made"]["level"]
    unbent = UNBENT if any("counted" in way for cell in bench["cells"] for way in cell["ways"].values()) else ""
    return HEAD.format(rig=rig_text(bench), apart=apart_text(bench),
                       accelerator=EMULATED + unbent if emulated else VIRTUAL, left_out=left_out(bench),
                       rounds=bench["made"]["rounds"], level="" if level == "full" else f" (`make bench-{level}`)")


def calibration(bench):
    """What the kernel's own tool said."""
    if not bench["calibration"]:
        return ""
    rows = [[path_text(line), line["mode"], line["sender"], spread(line["us_per_mb"]),
             spread(line["mapped_percent"])] for line in bench["calibration"]]
    return ("## Calibration\n\nThe kernel's own pair of copying and mapping (its self-test `tcp_mmap`, the receiver's "
            "CPU), in the same\nguest. On real hardware its authors saw mapping take 0.4 to 0.5 of what copying "
            "takes, with a sender\nwhose pages can be mapped: how far the pair here is from that is how far this "
            "rig bends all that is\ncompared with copying.\n\n"
            + table(["path", "receiver", "sender", "µs/MB", "mapped %"], rows, 3))


def ways_of(cells):
    return list(dict.fromkeys(way for cell in cells for way in cell["ways"]))


def first_of_ours(ways):
    return next((way for way in ways if plan.is_ours(way)), None)


# Jobs of which the ways differ in how much one call takes.
STREAMS = ("tcp_receive", "tcp_send")


def cost_text(cell, way, ours):
    """A way's cost in one cell, and its ratio to ours."""
    found = cell["ways"].get(way)
    if not found:
        return ""
    if "figures" not in found:
        return "cannot" if "unable" in found else "failed"
    text = spread(found["figures"].get(plan.cost(cell)))
    for pair in cell["ratios"]:
        ratio = pair["peer_over_ours"].get(plan.cost(cell))
        if (pair["ours"], pair["peer"]) == (ours, way) and ratio:
            text += f" ×{ratio['median']:.2f} ({ratio['q1']:.2f}–{ratio['q3']:.2f})"
    if cell["job"] in STREAMS:
        text += f", {number(found['figures']['calls_per_mb']['median'])} calls"
    return text


def costs(cells):
    """CPU of all ways in all cells of a job."""
    ways = ways_of(cells)
    ours = first_of_ours(ways)
    rows = [[path_text(cell), cell_text(cell)] + [cost_text(cell, way, ours) for way in ways] for cell in cells]
    return table(["path", "request"] + [name_text(way) for way in ways], rows)


def system_text(cell, way):
    found = cell["ways"].get(way)
    return spread(found.get("figures", {}).get("system_us_per_mb")) if found else ""


def system_costs(cells):
    """The same of what is spent inside system calls, on the paths that have a card."""
    cells = [cell for cell in cells if cell["nic"] not in ("veth", "lo")]
    ways = ways_of(cells)
    rows = [[path_text(cell), cell_text(cell)] + [system_text(cell, way) for way in ways] for cell in cells]
    return SYSTEM_HEAD + table(["path", "request"] + [name_text(way) for way in ways], rows) if rows else ""


MORE = [("cpu_us_per_mb", "process µs/MB"), ("own_us_per_mb", "without the card's threads µs/MB"),
        ("guest_us_per_mb", "guest µs/MB"), ("system_us_per_mb", "system µs/MB"), ("mb_per_s", "MB/s"),
        ("calls_per_mb", "calls/MB"), ("faults_per_mb", "faults/MB"), ("mapped_percent", "mapped %"),
        ("lost_percent", "lost %"), ("datagrams_per_cpu_s", "datagrams/CPU s"),
        ("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("p999_us", "p99.9 µs")]


def references(cells):
    """For each path the cell that stands for the job."""
    paths = dict.fromkeys((cell["nic"], cell["mtu"]) for cell in cells)
    return [plan.reference([cell for cell in cells if (cell["nic"], cell["mtu"]) == path]) for path in paths]


def details(cells):
    """All other figures, of one cell for each path."""
    chosen = references(cells)
    measured = {name for cell in chosen for way in cell["ways"].values() for name, value in
                way.get("figures", {}).items() if value}
    # What the tables above tell is not told again.
    columns = [(name, label) for name, label in MORE if name in measured - {plan.cost(chosen[0])}]
    rows = []
    for cell in chosen:
        for name, way in cell["ways"].items():
            if "figures" in way:
                rows.append([f"{path_text(cell)}, {cell_text(cell)}", name_text(name)] +
                            [number((way["figures"].get(column) or {}).get("median")) for column, _ in columns])
    return table(["where", "way"] + [label for _, label in columns], rows)


PLOTS = {"cpu": "processor time", "instructions": "instructions", "ratio": "ratios to the peers",
         "connections": "more connections", "room": "larger windows and pools", "threads": "more threads"}


def cost_name(job):
    if job in plan.RELAY_JOBS:
        return "CPU of the relay's side (over lo: of the whole guest)"
    return "CPU of the process"


def job_text(bench, job, names):
    cells = [cell for cell in bench["cells"] if cell["job"] == job]
    told = bench["jobs"].get(job, {"about": "", "ways": {}})
    lines = [f"## {job}", "", f"The job: {told['about']}.", ""]
    lines += [f"- {name_text(way)}: {told['ways'].get(way, '')}" for way in ways_of(cells)]
    lines.append("")
    for name in names:
        kind, _, rest = name.partition("-")
        if rest == job:
            lines += [f"![{job}: {PLOTS[kind]}](benchmarks/{name}.svg)", ""]
    lines += [f"{cost_name(job)}, µs per MB ([all cells and other figures](benchmarks/{job}.md)):", "",
              costs(references(cells))]
    return "\n".join(lines)


def crossing_text(size):
    return size_text(size) if size else "none"


def crossovers(bench):
    rows = []
    for c in filter(plan.ordinary, bench["crossovers"]):
        where = c["job"] + (f", {c['connections']} connections" if c["connections"] > 1 else "") + sender_text(c)
        sizes = f"{size_text(c['sizes'][0])} to {size_text(c['sizes'][-1])}"
        size = "≤ " + size_text(c["size"]) if c["size"] == c["sizes"][0] else crossing_text(c["size"])
        rows.append([path_text(c), where, f"{name_text(c['ours'])} against {c['peer']}", size,
                     f"{crossing_text(c['from'])} – {crossing_text(c['to'])}", sizes])
    if not rows:
        return ""
    return ("## From what size on mapping beats copying\n\nThe size of a request from which on ours takes less "
            "processor time than the way that copies: where\nthe median of the ratios crosses 1 for good, and "
            "where its quartiles do. \"None\": not among the sizes\nmeasured.\n\n"
            + table(["path", "job", "ways", "from", "quartiles", "sizes measured"], rows, 3))


TARGET_HEAD = """## Targets

What zcio is meant to take at most, as a part of what the peer takes: processor time of the process (of
relays: of their side) by that of the peer's, in the same round; medians, with quartiles behind. A target
is met where the median is not above it. Where several of ours or of the peers are meant, it is the one
with the lowest median. *By instructions*: the same of what was executed, where that was counted. An
emulated card does its work in the time of whoever writes to its registers, which is no instruction of
anybody's; nor is it the time of a processor that a card of its own would be beside.
"""


def target_cell(one, named):
    """What became of a target at one size; with the ways, if there was a choice."""
    text = f"{one['ratio']['median']:.2f} ({one['ratio']['q1']:.2f}–{one['ratio']['q3']:.2f}) "
    text += "met" if one["met"] else f"**missed by {one['over']:.2f}**"
    if one["instructions"]:
        text += f", instructions {one['instructions']:.2f}"
    return text + (f", {one['ours']} by {one['peer']}" if named else "")


def target_table(target, seen):
    """Paths below each other, sizes beside each other."""
    sizes = sorted({one["size"] for one in seen})
    rows = {}
    for one in seen:
        where = path_text(one) + sender_text({**one, "room": 0, "threads": 0})
        rows.setdefault(where, {})[one["size"]] = target_cell(one, len(target.ours) + len(target.peers) > 2)
    return table(["path"] + [size_text(size) for size in sizes],
                 [[where] + [found.get(size, "") for size in sizes] for where, found in rows.items()], 1)


def target_text(bench):
    found = targets.judged(bench["cells"])
    rows = []
    for target, seen in found:
        worst = max(seen, key=lambda one: one["over"], default=None)
        row = [target.text, f"{target.most:.2f}"]
        if worst:
            row += [f"{sum(one['met'] for one in seen)} of {len(seen)}",
                    f"{worst['ratio']['median']:.2f} ({path_text(worst)}, {size_text(worst['size'])})"]
        row += [] if worst else ["not measured", "–"]
        counts = [one["instructions"] for one in seen if one["instructions"]]
        row += [f"{sum(count <= target.most for count in counts)} of {len(counts)}, worst {max(counts):.2f}"
                if counts else "–"]
        rows.append(row)
    parts = [TARGET_HEAD, table(["target", "at most", "met", "worst", "by instructions"], rows, 1)]
    parts += [f"### {target.text}: at most {target.most:.2f}\n\n{target_table(target, seen)}"
              for target, seen in found if seen]
    return "\n".join(parts)


COUNTED = [("copied_per_byte", "copied/byte"), ("ptes_made_per_mb", "PTEs made/MB"),
           ("ptes_zapped_per_mb", "PTEs zapped/MB"), ("tlb_flushes_per_mb", "TLB flushes/MB"),
           ("tlb_remote_per_mb", "to other CPUs/MB"), ("pages_per_mb", "pages alloc./MB"),
           ("guest_pages_per_mb", "same, guest/MB"), ("calls_per_mb", "calls/MB")]


COUNTED_HEAD = """# Benchmarks: what the kernel did

Made by `make bench-report`, as [the page of all jobs](../benchmarks.md), which says on what and how.

"""

COUNTED_LINK = """## What the kernel did

Counted in one run of each way, the same under any load and emulation: [bytes copied, page-table entries made
and zapped, TLB flushes, pages allocated](benchmarks/kernel.md).
"""


def counted(bench):
    """A page of its own; empty, if nothing was counted."""
    rows, missing, unseen = [], {}, {}
    for cell in bench["cells"]:
        for name, way in cell["ways"].items():
            if "counted" in way:
                found = way["counted"]
                missing.update(dict.fromkeys(found["missing"]))
                if "unseen" in found:
                    unseen[f"{cell['job']} by {name}"] = found["unseen"]
                rows.append([path_text(cell), f"{cell['job']}, {cell_text(cell)}", name_text(name)] +
                            [number(found[column]) for column, _ in COUNTED])
    if not rows:
        return ""
    text = (COUNTED_HEAD + "Counted by an eBPF observer in one run of each way, the same under any "
            "load and emulation: bytes that the\nprocessor copied for each byte of payload (in the measured "
            "process and, for relays, the kernel's threads;\nand for them, from kernel to kernel, wherever that "
            "happened), page-table entries, TLB flushes,\nand pages allocated (by the process; and in the whole "
            "guest, drivers and the other side included).\nZapped entries are those of the ranges that were "
            "zapped. ")
    if not bench["rig"].get("guest", {}).get("pmu"):
        text += ("Instructions are counted in a guest of their own, see each job's file; cache misses are not: the "
                 "guest's processor has no performance counters. ")
    text += "".join(f"A dash for {what}: {why}. " for what, why in unseen.items())
    if missing:
        text += f"This kernel has no function {', '.join(missing)}: copies there, if any, are not seen. "
    return text.rstrip() + "\n\n" + table(["path", "job", "way"] + [label for _, label in COUNTED], rows, 3)


def instructions_text(way):
    """Thousands for each MB, and for each payload."""
    found = way.get("instructions")
    if not found:
        return ""
    if "own_per_mb" in found:
        return f"{found['per_mb']['median'] / 1000:.0f}, own {found['own_per_mb']['median'] / 1000:.0f}"
    payload = found.get("per_payload")
    return f"{found['per_mb']['median'] / 1000:.0f}" + (f" ({payload['median'] / 1000:.1f})" if payload else "")


def instructed(cells):
    """Of each path: a row a way, a column a cell."""
    found = {}
    for cell in cells:
        if any("instructions" in way for way in cell["ways"].values()):
            found.setdefault(path_text(cell), []).append(cell)
    if not found:
        return ""
    where = "the measured\nprocess for"
    if cells[0]["job"] in plan.RELAY_JOBS:
        where = ("the relay's\nside (all but source, sink and the thread of their card; *own*: also without "
                 "that of its own card) for")
    text = ("## Instructions\n\nIn another guest, of one processor, whose clock counts its instructions: thousands "
            f"of them in {where} each MB, in brackets for each payload; medians of "
            f"{plan.INSTRUCTED_ROUNDS} rounds, the same under any load. An instruction that\ncopies moves "
            "8 bytes here, and is as much as any other: that a copy waits for memory is not seen.\n\n")
    for path, there in found.items():
        ways = dict.fromkeys(name for cell in there for name in cell["ways"])
        rows = [[name_text(name)] + [instructions_text(cell["ways"].get(name, {})) for cell in there] for name in ways]
        text += f"{path}:\n\n" + table(["way"] + [cell_text(cell) for cell in there], rows, 1) + "\n"
    return text.rstrip() + "\n"


def unable(bench):
    """Who could not be run where, and why; the same reason once."""
    found = {}
    for cell in bench["cells"]:
        for name, way in cell["ways"].items():
            if "unable" in way:
                where = found.setdefault((cell["job"], name, way["unable"]), {})
                where.setdefault(path_text(cell), []).append(cell_text(cell))
    if not found:
        return ""
    rows = [[job, name_text(name), ", ".join(where), why.replace("|", "\\|")]
            for (job, name, why), where in found.items()]
    return "## What cannot be run here\n\n" + table(["job", "way", "path", "why"], rows, 4)


def wrong(bench):
    if not bench["wrong"]:
        return ""
    return "## What went wrong\n\n" + "".join(f"- {text}\n" for text in bench["wrong"])


def joined(parts):
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def jobs_of(bench):
    return list(dict.fromkeys(cell["job"] for cell in bench["cells"]))


def render(bench, names):
    """The text of benchmarks.md; `names` are the plots that there are."""
    return joined([head(bench), calibration(bench), target_text(bench), crossovers(bench),
                   *(job_text(bench, job, names) for job in jobs_of(bench)),
                   COUNTED_LINK if counted(bench) else "", unable(bench), wrong(bench)])


def render_job(bench, job):
    """The text of benchmarks/JOB.md."""
    cells = [cell for cell in bench["cells"] if cell["job"] == job]
    about = bench["jobs"].get(job, {"about": ""})["about"]
    return joined([JOB_HEAD.format(job=job, about=about, cost=cost_name(job)) + costs(cells),
                   system_costs(cells) if job in STREAMS else "", instructed(cells), MORE_HEAD + details(cells)])


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main(source=os.path.join(TOP, "build", "results", "bench.json"), folder=os.path.join(TOP, "Documentation")):
    import plots        # pylint: disable=import-outside-toplevel # needs a library that render() does not
    try:
        with open(source, encoding="utf-8") as file:
            bench = json.load(file)
    except FileNotFoundError:
        sys.exit(f"{source} is not there: run 'make bench' first")
    drawn = os.path.join(folder, "benchmarks")
    os.makedirs(drawn, exist_ok=True)
    for old in os.listdir(drawn):
        if old.endswith((".svg", ".md")):
            os.unlink(os.path.join(drawn, old))
    names = plots.draw(bench, drawn)
    write(os.path.join(folder, "benchmarks.md"), render(bench, names))
    for job in jobs_of(bench):
        write(os.path.join(drawn, f"{job}.md"), render_job(bench, job))
    if counted(bench):
        write(os.path.join(drawn, "kernel.md"), joined([counted(bench)]))
    print(f"{os.path.join(folder, 'benchmarks.md')}, {len(names)} plots")


if __name__ == "__main__":
    main(*sys.argv[1:])
