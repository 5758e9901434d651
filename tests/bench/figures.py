# SPDX-License-Identifier: GPL-2.0
"""The arithmetic of the benchmarks: from the lines that cells.py printed to the figures of
bench.json. Pure: nothing is read or run here; test_figures.py tests it.

Medians with quartiles, as single runs differ by a factor of two under emulation; ratios round
by round, as what both of a pair have met in one round is the same weather."""
import math
import statistics

import plan

MB = 1e6
# The figures of one run that ratios are made of: the peer's over ours.
RATIOS = ("cpu_us_per_mb", "side_us_per_mb", "guest_us_per_mb", "system_us_per_mb", "p50_us", "p99_us")


def spread(values):
    """Median, quartiles and ends of what is there; nothing of nothing."""
    values = sorted(value for value in values if value is not None)
    if not values:
        return None
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median, "q1": q1, "q3": q3, "least": values[0], "most": values[-1], "runs": len(values)}


def of_run(result):
    """The figures of one run, each by what was moved."""
    size = result["bytes"]
    told = result["mapped"] + result["copied"]
    figures = {
        "cpu_us_per_mb": (result["user_us"] + result["system_us"]) * MB / size,
        "system_us_per_mb": result["system_us"] * MB / size,
        "guest_us_per_mb": result["guest_us"] * MB / size,
        "mb_per_s": size / result["wall_us"] if result["wall_us"] else None,
        "calls_per_mb": result["calls"] * MB / size,
        "faults_per_mb": result["faults"] * MB / size,
        "mapped_percent": 100 * result["mapped"] / told if told else None,
    }
    if "side_ns" in result:
        figures["side_us_per_mb"] = result["side_ns"] / 1000 * MB / size
        figures["own_us_per_mb"] = (result["side_ns"] - result["card_ns"]) / 1000 * MB / size
        if result["job"] == "relay_udp":
            figures["datagrams_per_cpu_s"] = size / result["size"] / (result["side_ns"] / 1e9)
    if result.get("lost"):
        figures["lost_percent"] = 100 * result["lost"] / (result["lost"] + size / result["size"])
    for name in ("p50", "p99", "p999"):
        if name + "_ns" in result:
            figures[name + "_us"] = result[name + "_ns"] / 1000
    if result.get("requests"):
        figures["cpu_us_per_request"] = (result["user_us"] + result["system_us"]) / result["requests"]
    return figures


def summary(runs):
    """Of the figures of a way's runs: each one's spread."""
    names = {name: None for run in runs for name in run}
    return {name: spread([run.get(name) for run in runs]) for name in names}


def ratios(ours, peers):
    """Both: figures by number of round. The peer's over ours, of rounds that both have."""
    both = sorted(set(ours) & set(peers))
    found = {}
    for name in RATIOS:
        couples = [(peers[n].get(name), ours[n].get(name)) for n in both]
        found[name] = spread([peer / our for peer, our in couples if peer is not None and our])
    return {name: value for name, value in found.items() if value}


def crossing(points):
    """Where a curve of (size, ratio) comes to 1 for good: the size, on logarithmic scales
    between two points; None if it is not there at its end, the first size if it always is."""
    points = sorted(points)
    if not points or points[-1][1] < 1:
        return None
    above = len(points) - 1
    while above > 0 and points[above - 1][1] >= 1:
        above -= 1
    if above == 0:
        return points[0][0]
    (size, ratio), (next_size, next_ratio) = points[above - 1], points[above]
    part = -math.log(ratio) / (math.log(next_ratio) - math.log(ratio)) if ratio > 0 else 1
    return round(size * (next_size / size) ** part)


def crossover(points):
    """Of (size, spread of the ratio): where the median crosses 1, and the quartiles: from what
    size on it may pay, and from what size on it surely does."""
    return {"size": crossing([(size, r["median"]) for size, r in points]),
            "from": crossing([(size, r["q3"]) for size, r in points]),
            "to": crossing([(size, r["q1"]) for size, r in points]),
            "sizes": sorted(size for size, _ in points)}


def key_of(cell):
    names = ("job", "size", "connections", "sender", "pages", "room", "threads")
    return tuple(cell[name] for name in names)


class Collected:
    """What the lines of one guest say, by cell and way."""

    def __init__(self, lines):
        self.cells = {}         # key: the cell as it was run
        self.ways = {}          # (key, way): what is known of it
        for line in lines:
            if "cell" not in line:
                continue
            key = key_of(line["cell"])
            self.cells.setdefault(key, line["cell"])
            way = self.ways.setdefault((key, line["way"]), {"rounds": {}})
            if "unable" in line or "failed" in line:
                way.update((name, line[name]) for name in ("unable", "failed") if name in line)
            elif line["kind"] == "check":
                way["checked"] = True
            elif line["kind"] == "counted":
                way["counted"] = line["counted"]
            elif line["kind"] == "instructions":
                way.setdefault("instructions", []).append(line["result"])
            else:
                way["rounds"][line["round"]] = of_run(line["result"])

    def of_cell(self, key):
        return {name: way for (at, name), way in self.ways.items() if at == key}


def instructions(results):
    """Of the process, or of the relay's side, by what was moved: time in nanoseconds, of an instruction each."""
    def each(by):
        return spread([one.get("side_ns", (one["user_us"] + one["system_us"]) * 1000) / by(one) for one in results])
    found = {"per_mb": each(lambda one: one["bytes"] / 1e6)}
    if all("card_ns" in one for one in results):
        found["own_per_mb"] = spread([(one["side_ns"] - one["card_ns"]) * MB / one["bytes"] for one in results])
    if all(one["payloads"] for one in results):
        found["per_payload"] = each(lambda one: one["payloads"])
    return found


def way_figures(name, way, cost):
    found = {"ours": plan.is_ours(name), "checked": way.get("checked", False)}
    for state in ("unable", "failed"):
        if state in way:
            found[state] = way[state]
    if way["rounds"] and "unable" not in way:
        found["figures"] = summary(list(way["rounds"].values()))
        # As they were, for whoever wants ratios of other pairs: [number, us of CPU per MB].
        found["rounds"] = [[number, way["rounds"][number][cost]] for number in sorted(way["rounds"])
                           if cost in way["rounds"][number]]
    if "counted" in way:
        found["counted"] = way["counted"]
    if "instructions" in way:
        found["instructions"] = instructions(way["instructions"])
    return found


def pairs(ways):
    """Each of ours with each of the others, where both have figures."""
    able = {name: way["rounds"] for name, way in ways.items() if way["rounds"] and "unable" not in way}
    return [{"ours": ours, "peer": peer, "peer_over_ours": ratios(able[ours], able[peer])}
            for ours in able if plan.is_ours(ours) for peer in able if not plan.is_ours(peer)]


def cells(nic, mtu, lines):
    """The cells of one path, as they stand in bench.json."""
    collected = Collected(lines)
    found = []
    for key, cell in collected.cells.items():
        ways = collected.of_cell(key)
        found.append({"nic": nic, "mtu": mtu, **cell, "copying": plan.copying_way(cell["job"], ways),
                      "ways": {name: way_figures(name, way, plan.cost({**cell, "nic": nic}))
                               for name, way in ways.items()},
                      "ratios": pairs(ways)})
    return found


def crossovers(found):
    """For each path, job and way of ours: from what size on it beats the way that copies. Relays have
    no size but that of a read of one way."""
    curves = {}
    for cell in (cell for cell in found if cell["job"] not in plan.RELAY_JOBS):
        for pair in cell["ratios"]:
            ratio = pair["peer_over_ours"].get(plan.cost(cell))
            if pair["peer"] == cell["copying"] and ratio:
                key = (cell["nic"], cell["mtu"], cell["job"], cell["connections"], cell["sender"],
                       cell["pages"], cell["room"], cell["threads"], pair["ours"], pair["peer"])
                curves.setdefault(key, []).append((cell["size"], ratio))
    names = ("nic", "mtu", "job", "connections", "sender", "pages", "room", "threads", "ours", "peer")
    return [{**dict(zip(names, key)), **crossover(points)} for key, points in curves.items() if len(points) > 1]


def calibration(lines):
    """Of what calibrate.py printed: each pair of receiver and sender, over its rounds."""
    found = {}
    for line in lines:
        if "calibration" in line:
            found.setdefault((line["nic"], line["mtu"], line["mode"], line["sender"]), []).append(line)
    return [{**dict(zip(("nic", "mtu", "mode", "sender"), key)),
             **{name: spread([line[name] for line in rounds]) for name in ("us_per_mb", "mapped_percent")}}
            for key, rounds in found.items()]


def incomplete(found, rounds, jobs):
    """The cells' ways that have neither figures of all rounds nor a reason, as text. `jobs`: all ways of each."""
    for cell in found:
        where = f"{cell['nic']} {cell['mtu']} {cell['job']} size {cell['size']} connections {cell['connections']}"
        for name in plan.ways_of(cell, jobs[cell["job"]]["ways"]):
            way = cell["ways"].get(name, {"checked": False})
            if "unable" in way:
                continue
            done = way.get("figures", {}).get("cpu_us_per_mb", {}).get("runs", 0)
            if "failed" in way:
                yield f"{where}, {name}: failed: {way['failed']}"
            elif done < rounds:
                yield f"{where}, {name}: {done} of {rounds} rounds"
            elif not way["checked"]:
                yield f"{where}, {name}: its bytes were not checked"
