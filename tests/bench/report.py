# SPDX-License-Identifier: GPL-2.0
"""'make bench-report': Documentation/benchmarks.md, its plots and Documentation/benchmarks/more.md
with what else was measured, from build/results/bench.json. The words are here, all figures are
from there.

    tests/rig/enter python3 -B tests/bench/report.py [bench.json [FOLDER]]"""
import json
import os
import sys

import plan

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

HEAD = """# Benchmarks

Made by `make bench-report` from what `make bench` measured{level}; nothing in it is written by hand.

{rig}

{accelerator}

## How to read it

- A **job** is something that programs do with sockets, a **way** a set of calls to do it with.
  Ours are **bold**. All ways of a job do the same with the same peer, one after the other in
  {rounds} rounds, every other round in reverse. Before, each was run once with every byte compared.
- Figures are medians of the rounds, with the quartiles behind: 1200 (1150–1300). **×1.3** is the
  median of what the way takes divided by what the first of ours takes in the same round: above 1,
  zcio takes less.
- *CPU* is the processor time of the measured process, user and system, in µs per MB (10⁶ bytes) of
  payload, with the application reading one word of each cache line, or writing what it sends.
  {apart}
- *From* a sender: how the peer sends, where there is a choice (see `zcio-bench --help`). *Whole pages*:
  the peer's TCP segments carry whole pages for all ways; else they do only for tcp_zerocopy, which
  maps nothing without.
- The processor time of the whole guest, throughput, latencies, system calls, faults and shares
  mapped are in [another file](benchmarks/more.md).
"""

MORE_HEAD = """# Benchmarks: what else was measured

Made by `make bench-report`, as [the other file](../benchmarks.md), which says on what and how. Of each job
one cell for each path; medians of the rounds.

- *guest*: the time of all processors, the other side's work and the drivers' included.
- *system*: the part of the process's time inside system calls, which the kernel samples every few
  milliseconds.
- *mapped*: the share of the bytes that came or went without a copy, as the way itself counts.
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
    if cell["connections"] > 1:
        text += f" × {cell['connections']}"
    return text + sender_text(cell)


def sender_text(cell):
    text = f", from {cell['sender']}" if cell["sender"] not in ("", "send") else ""
    return text + (", whole pages" if cell["pages"] else "")


def name_text(way):
    return f"**{way}**" if plan.is_ours(way) else way


def table(heads, rows, left=2):
    """Markdown; the first columns to the left, numbers to the right."""
    lines = ["| " + " | ".join(heads) + " |",
             "| " + " | ".join("---" if i < left else "---:" for i in range(len(heads))) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def rig_text(bench):
    rig, guest, host = bench["rig"], bench["rig"].get("guest", {}), bench["rig"]["host"]
    flags = " ".join(f"{name}={'on' if there else 'off'}" for name, there in guest.get("flags", {}).items())
    rows = [("kernel", f"Linux {rig['kernel']}, as the distribution built it"),
            ("guest", f"{guest.get('cpus', '?')} processors, {guest.get('memory', 0) / 2 ** 30:.1f} GiB, "
                      f"CPU `{guest.get('cpu', '?')}` ({flags})"),
            ("accelerator", guest.get("accelerator", "?")),
            ("host", f"{host['cpus']} × {host['cpu']}, {host['memory'] / 2 ** 30:.0f} GiB, Linux {host['kernel']}, "
                     f"{host['qemu']}"),
            ("made", f"{bench['made']['when']}, {bench['made']['seconds'] / 60:.0f} minutes"
                     + (f", zcio {bench['made']['commit']}" if bench["made"]["commit"] else ""))]
    return table(("", ""), rows).rstrip()


def apart_text(bench):
    apart = [path_text(path) for path in bench["paths"] if path.get("drivers_apart")]
    mixed = [path_text(path) for path in bench["paths"] if not path.get("drivers_apart")]
    text = []
    if apart:
        text.append(f"Drivers do their own work in threads (threaded NAPI) on {', '.join(apart)}: it counts for "
                    "the guest, not for the process.")
    if mixed:
        text.append(f"On {', '.join(mixed)} there are no such threads: some of the network's work counts for "
                    "the process.")
    return " ".join(text)


def head(bench):
    emulated = bench["rig"].get("guest", {}).get("accelerator") == "tcg"
    level = bench["made"]["level"]
    unbent = UNBENT if any("counted" in way for cell in bench["cells"] for way in cell["ways"].values()) else ""
    return HEAD.format(rig=rig_text(bench), apart=apart_text(bench),
                       accelerator=EMULATED + unbent if emulated else VIRTUAL,
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


def cost_text(cell, way, ours):
    """A way's cost in one cell, and its ratio to ours."""
    found = cell["ways"].get(way)
    if not found:
        return ""
    if "figures" not in found:
        return "cannot" if "unable" in found else "failed"
    text = spread(found["figures"]["cpu_us_per_mb"])
    for pair in cell["ratios"]:
        ratio = pair["peer_over_ours"].get("cpu_us_per_mb")
        if (pair["ours"], pair["peer"]) == (ours, way) and ratio:
            text += f" ×{ratio['median']:.2f} ({ratio['q1']:.2f}–{ratio['q3']:.2f})"
    return text


def costs(cells):
    """CPU of all ways in all cells of a job."""
    ways = ways_of(cells)
    ours = first_of_ours(ways)
    rows = [[path_text(cell), cell_text(cell)] + [cost_text(cell, way, ours) for way in ways] for cell in cells]
    return table(["path", "request"] + [name_text(way) for way in ways], rows)


MORE = [("guest_us_per_mb", "guest µs/MB"), ("system_us_per_mb", "system µs/MB"), ("mb_per_s", "MB/s"),
        ("calls_per_mb", "calls/MB"), ("faults_per_mb", "faults/MB"), ("mapped_percent", "mapped %"),
        ("lost_percent", "lost %"),
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
    columns = [(name, label) for name, label in MORE if name in measured]
    rows = []
    for cell in chosen:
        for name, way in cell["ways"].items():
            if "figures" in way:
                rows.append([f"{path_text(cell)}, {cell_text(cell)}", name_text(name)] +
                            [number((way["figures"].get(column) or {}).get("median")) for column, _ in columns])
    return table(["where", "way"] + [label for _, label in columns], rows)


def job_text(bench, job, names):
    cells = [cell for cell in bench["cells"] if cell["job"] == job]
    told = bench["jobs"].get(job, {"about": "", "ways": {}})
    lines = [f"## {job}", "", f"The job: {told['about']}.", ""]
    lines += [f"- {name_text(way)}: {told['ways'].get(way, '')}" for way in ways_of(cells)]
    lines.append("")
    for name in names:
        kind, _, rest = name.partition("-")
        if rest == job:
            about = {"cpu": "processor time", "ratio": "ratios to the peers", "connections": "more connections"}[kind]
            lines += [f"![{job}: {about}](benchmarks/{name}.svg)", ""]
    lines += ["CPU of the process, µs per MB:", "", costs(cells)]
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


COUNTED = [("copied_per_byte", "copied/byte"), ("ptes_made_per_mb", "PTEs made/MB"),
           ("ptes_zapped_per_mb", "PTEs zapped/MB"), ("tlb_flushes_per_mb", "TLB flushes/MB"),
           ("tlb_remote_per_mb", "to other CPUs/MB"), ("pages_per_mb", "pages alloc./MB"),
           ("guest_pages_per_mb", "same, guest/MB"), ("calls_per_mb", "calls/MB")]


def counted(bench):
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
    text = ("## What the kernel did\n\nCounted by an eBPF observer in one run of each way, the same under any "
            "load and emulation: bytes that the\nprocessor copied for each byte of payload (in the measured "
            "process; and for it, from kernel to kernel,\nwherever that happened), page-table entries, TLB "
            "flushes, and pages allocated (by the process; and in the\nwhole guest, drivers and the other side "
            "included). Zapped entries are those of the ranges that were\nzapped. ")
    if not bench["rig"].get("guest", {}).get("pmu"):
        text += ("Instructions and cache misses are not counted: the guest's processor has no performance "
                 "counters. ")
    text += "".join(f"A dash for {what}: {why}. " for what, why in unseen.items())
    if missing:
        text += f"This kernel has no function {', '.join(missing)}: copies there, if any, are not seen. "
    return text.rstrip() + "\n\n" + table(["path", "job", "way"] + [label for _, label in COUNTED], rows, 3)


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
    return joined([head(bench), calibration(bench), crossovers(bench),
                   *(job_text(bench, job, names) for job in jobs_of(bench)),
                   counted(bench), unable(bench), wrong(bench)])


def render_more(bench):
    """The text of benchmarks/more.md."""
    return joined([MORE_HEAD] + [f"## {job}\n\n{details([c for c in bench['cells'] if c['job'] == job])}"
                                 for job in jobs_of(bench)])


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
        if old.endswith(".svg"):
            os.unlink(os.path.join(drawn, old))
    names = plots.draw(bench, drawn)
    write(os.path.join(folder, "benchmarks.md"), render(bench, names))
    write(os.path.join(drawn, "more.md"), render_more(bench))
    print(f"{os.path.join(folder, 'benchmarks.md')}, {len(names)} plots")


if __name__ == "__main__":
    main(*sys.argv[1:])
