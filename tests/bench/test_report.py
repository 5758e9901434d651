# SPDX-License-Identifier: GPL-2.0
"""Unit tests of report.py, targets.py, plots.py and counted.py, with invented figures of a whole bench."""
import copy
import os
import random
import tempfile
import unittest

import added
import counted
import figures
import plan
import plots
import report
import targets

WAYS = {
    "tcp_receive": ["readv", "zc_readv", "zc_readv_one", "tcp_zerocopy", "io_uring", "zcrx"],
    "tcp_send": ["writev", "zerocopy", "send_zc", "vmsplice", "sendfile", "zc_writev", "zc_writev_many", "zc_keep"],
    "fanout": ["write", "zerocopy", "sendfile", "zc_keep"],
    "udp_receive": ["recvmmsg", "recvmmsg_plain", "zc_readv", "zc_readv_plain", "packet_v3", "af_xdp"],
    "udp_send": ["sendmmsg", "sendmmsg_gso", "zc_writev", "zc_writev_gso", "packet_tx", "af_xdp"],
    "rr": ["epoll", "zc"],
    "rr_upload": ["epoll", "zc"],
    "relay_tcp": ["read_write", "splice", "sockmap", "zc_splice"],
    "relay_rr": ["epoll", "splice", "sockmap", "zc_splice"],
    "relay_udp": ["mmsg", "mmsg_gro", "zc_splice"],
}
COUNTS = {"to_reader": 0, "from_writer": 10, "in_kernel": 5, "made": 4, "zapped": 4, "zaps": 1, "flushes": 1,
          "remote": 0, "pages": 2, "all_pages": 9}
CALIBRATED = {"calibration": "tcp_mmap", "nic": "lo", "mtu": 65536, "mode": "mmap", "sender": "zerocopy", "round": 0,
              "mapped_percent": 99.5}
MOST_LINES = 600        # as for all files of the tree


def invented_cost(way, cell, rng):
    """Copying costs by the byte, mapping by the request."""
    size = cell["size"]
    cost = 300 + 2e6 / size + 6e6 / size * cell["connections"] ** 0.2 if plan.is_ours(way) else 900 + 3e6 / size
    return cost * rng.uniform(0.8, 1.3) * (1 + 0.15 * (sum(map(ord, way)) % 7))


def invented_lines(nic, mtu):
    rng = random.Random(f"{nic}{mtu}")
    yield {"guest": {}}
    found = plan.cells(WAYS, "full", (nic, mtu))
    instructed = plan.instructed(found) if (nic, mtu) in plan.INSTRUCTED_PATHS["full"] else []
    counted_cells = [plan.reference([cell for cell in found if cell["job"] == job])
                     for job in dict.fromkeys(cell["job"] for cell in found)]
    for cell in found:
        for way in plan.ways_of(cell, WAYS[cell["job"]]):
            if way in ("zcrx", "af_xdp"):
                yield {"cell": cell, "way": way, "kind": "unable", "unable": "no | queue of its own"}
                continue
            size = cell["bytes"]
            result = {"bytes": size, "wall_us": size / 400, "faults": 9, "calls": size // cell["size"],
                      "mapped": size if plan.is_ours(way) or way == "tcp_zerocopy" else 0, "copied": 0,
                      "payloads": size // cell["size"] if plan.is_ours(way) else 0, "way": way, "job": cell["job"],
                      "size": cell["size"]}
            relay = cell["job"] in plan.RELAY_JOBS
            if cell["job"] in ("rr", "rr_upload", "relay_rr"):
                result.update(requests=100, p50_ns=1e6 * rng.random() + 1e6, p99_ns=9e6 * cell["connections"])
            for number in range(3):
                cost = invented_cost(way, cell, rng) * size / 1e6
                side = {"side_ns": cost * 5000, "card_ns": cost * 1000} if relay and nic != "lo" else {}
                yield {"cell": cell, "way": way, "kind": "run", "round": number,
                       "result": {**result, "user_us": cost / 3, "system_us": cost * 2 / 3, "guest_us": cost * 2,
                                  **side}}
            yield {"cell": cell, "way": way, "kind": "check", "result": result}
            if cell in instructed:
                yield {"cell": cell, "way": way, "kind": "instructions",
                       "result": {**result, "user_us": size / 1000, "system_us": size / 1000,
                                  **({"side_ns": 7 * size, "card_ns": 2 * size} if relay else {})}}
            if (nic, mtu) in plan.COUNTED_PATHS["full"] and cell in counted_cells:
                yield {"cell": cell, "way": way, "kind": "counted",
                       "counted": {**counted.figures(COUNTS, result), "missing": ["gone"]}}


def invented():
    """A bench.json of all that is planned."""
    guest = {"cpus": 2, "memory": 4 << 30, "cpu": "max", "accelerator": "tcg", "flags": {"erms": False}, "pmu": False}
    calibrated = [{**CALIBRATED, "us_per_mb": 700}, {**CALIBRATED, "us_per_mb": 701}]
    bench = {"made": {"when": "today", "seconds": 5000, "commit": None, "rounds": 3, "level": "full"},
             "rig": {"kernel": "7.3", "guest": guest,
                     "host": {"cpus": 2, "cpu": "one", "memory": 8 << 30, "kernel": "6", "qemu": "QEMU"}},
             "jobs": {job: {"about": f"{job} it", "ways": {way: "calls" for way in ways}}
                      for job, ways in WAYS.items()},
             "calibration": figures.calibration(calibrated),
             "paths": [{"nic": nic, "mtu": mtu, "drivers_apart": nic != "lo"} for nic, mtu in plan.PATHS["full"]],
             "wrong": []}
    bench["cells"] = [cell for nic, mtu in plan.PATHS["full"]
                      for cell in figures.cells(nic, mtu, list(invented_lines(nic, mtu)))]
    bench["crossovers"] = figures.crossovers(bench["cells"])
    return bench


class Added(unittest.TestCase):
    def setUp(self):
        self.old = invented()
        self.new = copy.deepcopy(self.old)
        self.new["made"].update({"when": "later", "only": "rr", "seconds": 60})
        self.new["cells"] = [cell for cell in self.new["cells"] if cell["job"] == "rr"]
        self.new.update({"calibration": [], "paths": self.new["paths"][:1], "jobs": {"rr": self.new["jobs"]["rr"]}})

    def test_what_is_new_is_in_the_place_of_what_was_there(self):
        for cell in self.new["cells"]:
            cell["mark"] = True
        both = added.added(self.old, self.new)
        self.assertEqual(len(both["cells"]), len(self.old["cells"]))
        self.assertTrue(all(("mark" in cell) == (cell["job"] == "rr") for cell in both["cells"]))
        self.assertEqual(both["paths"], self.old["paths"])
        self.assertEqual(both["jobs"], self.old["jobs"])
        self.assertIn("| then rr | later, 1 minutes |", report.rig_text(both))
        self.assertIn("| made | today, 83 minutes |", report.rig_text(both))

    def test_what_came_from_elsewhere_is_not_added(self):
        self.assertEqual(added.differences(self.old, self.new), [])
        self.new["rig"]["host"]["cpu"] = "another"
        self.new["made"]["rounds"] = 4
        self.assertEqual(len(added.differences(self.old, self.new)), 2)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bench = invented()
        names = [f"{kind}-{job}" for kind in report.PLOTS for job in WAYS]
        cls.text = report.render(cls.bench, names)
        cls.jobs = {job: report.render_job(cls.bench, job) for job in WAYS}
        cls.counted = report.counted(cls.bench)

    def test_whole(self):
        for job, ways in WAYS.items():
            self.assertIn(f"## {job}\n", self.text)
            for way in ways:
                self.assertIn(f"- {report.name_text(way)}: calls", self.text)
        for part in ("no \\| queue of its own", "**emulated**", "(benchmarks/kernel.md)", "Linux 7.3",
                     "| lo | mmap | zerocopy | 700 (700–701) |"):
            self.assertIn(part, self.text)
        for part in ("no performance counters", "no function gone",
                     "| veth 9000 | relay_tcp, 64 KiB | **zc_splice** |"):
            self.assertIn(part, self.counted)
        self.assertEqual(report.counted({**self.bench, "cells": []}), "")
        self.assertNotIn("went wrong", self.text)

    def test_length(self):
        self.assertLessEqual(self.text.count("\n"), MOST_LINES)
        for text in (self.counted, *self.jobs.values()):
            self.assertLessEqual(text.count("\n"), MOST_LINES)

    def test_jobs(self):
        for part in ("guest µs/MB", "| **zc_keep** |", "calls/MB", "| 64 KiB, room 512 KiB |",
                     "| 64 KiB, threads 2 |"):
            self.assertIn(part, self.jobs["tcp_send"])
        self.assertIn("p99 µs", self.jobs["rr"])
        # 2 ns for each byte, of an instruction each.
        self.assertRegex(self.jobs["tcp_send"], r"\| writev \| 2000 \| 2000 \|")
        self.assertRegex(self.jobs["tcp_send"], r"\| \*\*zc_writev\*\* \| 2000 \(2.0\) \| 2000 \(8.2\) \|")
        self.assertIn("| 256 B × 1000 |", self.jobs["rr"])

    def test_relays_by_their_side(self):
        # Five times the process's time, as invented; over lo twice, as nobody knows the side's.
        for job in plan.RELAY_JOBS:
            self.assertIn("## CPU of the relay's side", self.jobs[job])
            for cell in self.bench["cells"]:
                if cell["job"] == job:
                    found = cell["ways"]["zc_splice"]["figures"]
                    times = found[plan.cost(cell)]["median"] / found["cpu_us_per_mb"]["median"]
                    self.assertAlmostEqual(times, 2 if cell["nic"] == "lo" else 5)
                    self.assertEqual(cell["ways"]["zc_splice"]["rounds"][0][1],
                                     self.round_of(cell, "zc_splice", 0), (job, cell["nic"]))
        self.assertRegex(self.jobs["relay_tcp"], r"\| \*\*zc_splice\*\* \| 7000, own 5000 \|")
        self.assertIn("datagrams/CPU s", self.jobs["relay_udp"])
        self.assertIn("process µs/MB", self.jobs["relay_rr"])
        self.assertNotIn("process µs/MB", self.jobs["rr"])

    @staticmethod
    def round_of(cell, way, number):
        """What a round cost, as it was invented."""
        (line,) = [line for line in invented_lines(cell["nic"], cell["mtu"])
                   if line.get("round") == number and line["way"] == way
                   and figures.key_of(line["cell"]) == figures.key_of(cell)]
        return figures.of_run(line["result"])[plan.cost(cell)]

    def test_calls_are_beside_the_cost(self):
        row = next(line for line in self.jobs["tcp_receive"].splitlines() if line.startswith("| e1000e 9000 | 1 KiB |"))
        self.assertEqual(row.count(", 977 calls"), len(WAYS["tcp_receive"]) - 1)
        self.assertNotIn(" calls |", self.jobs["rr"])

    def test_system_calls_alone(self):
        part = self.jobs["tcp_receive"].partition("## Inside system calls")[2].partition("\n## ")[0]
        rows = [line for line in part.splitlines() if line.startswith("| ")]
        self.assertTrue(any(row.startswith("| e1000e 9000 | 1 MiB | ") for row in rows))
        self.assertFalse([row for row in rows if row.startswith(("| veth", "| lo"))])
        self.assertNotIn("Inside system calls", self.jobs["rr"])

    def test_plots_are_where_they_belong(self):
        job = self.text[self.text.index("## rr\n"):self.text.index("## rr_upload\n")]
        self.assertIn("(benchmarks/connections-rr.svg)", job)

    def test_tables_are_whole(self):
        for block in ("\n".join([self.text, self.counted, *self.jobs.values()])).split("\n\n"):
            lines = [line.replace("\\|", "") for line in block.splitlines()]
            if lines and lines[0].startswith("|"):
                self.assertEqual({line.count("|") for line in lines}, {lines[0].count("|")}, block)

    def test_what_went_wrong_is_told(self):
        self.assertIn("- veth: no\n", report.render({**self.bench, "wrong": ["veth: no"]}, []))


def of_ways(costs, **cell):
    """A cell of bench.json whose ways cost that much in each round."""
    return {"nic": "e1000e", "mtu": 9000, "job": "tcp_send", "size": 65536, "connections": 1, "sender": "",
            "pages": False, "room": 0, "threads": 0, **cell,
            "ways": {way: {"rounds": [[i, cost] for i, cost in enumerate(values)]} for way, values in costs.items()}}


def target_of(cell, word):
    """What is said of one target, found by a word of its text, in one cell."""
    (found,) = [seen for target, seen in targets.judged([cell]) if word in target.text]
    return found


class Targets(unittest.TestCase):
    def test_ratio_round_by_round(self):
        # The peer that is better on the whole, not the one that is in a round.
        cell = of_ways({"zc_writev": [60, 120, 80], "zerocopy": [100, 200, 100], "send_zc": [150, 90, 160]})
        (one,) = target_of(cell, "64 KiB to 1 MiB")
        self.assertEqual((one["ours"], one["peer"], one["ratio"]["median"], one["met"]),
                         ("zc_writev", "zerocopy", 0.6, True))
        (one,) = target_of(of_ways({"zc_writev": [88], "zc_writev_many": [84], "zerocopy": [100]}), "64 KiB to 1 MiB")
        self.assertEqual((one["ours"], one["met"]), ("zc_writev_many", False))
        self.assertAlmostEqual(one["over"], 0.04)

    def test_which_cells(self):
        costs = {"zc_writev": [1], "zc_keep": [1], "zerocopy": [1], "writev": [1]}
        small = of_ways(costs, size=16384)
        self.assertEqual(target_of(small, "64 KiB to 1 MiB"), [])
        self.assertEqual(len(target_of(small, "pages kept")), 1)
        self.assertEqual(len(target_of(small, "Sending, at any size")), 1)
        self.assertEqual(target_of(of_ways(costs, room=1 << 20), "Sending, at any size"), [])

    def test_only_where_the_peer_maps(self):
        cell = of_ways({"zc_readv": [1], "tcp_zerocopy": [1]}, job="tcp_receive")
        self.assertEqual(target_of(cell, "maps anything"), [])
        for share, number in ((0, 0), (4, 1)):
            cell["ways"]["tcp_zerocopy"]["figures"] = {"mapped_percent": {"median": share}}
            self.assertEqual(len(target_of(cell, "maps anything")), number)

    def test_relays(self):
        costs = {"read_write": [100], "splice": [60], "sockmap": [50], "zc_splice": [45]}
        cell = of_ways(costs, job="relay_tcp")
        (one,) = target_of(cell, "beside `read` and `write`")
        self.assertEqual((one["ratio"]["median"], one["met"]), (0.45, True))
        (one,) = target_of(cell, "the better of `splice(2)`")
        self.assertEqual((one["peer"], one["ratio"]["median"], one["met"]), ("sockmap", 0.9, False))
        # Over lo nobody knows what the relay's side takes.
        self.assertEqual(target_of({**cell, "nic": "lo"}, "beside `read` and `write`"), [])

    def test_six_times_the_datagrams(self):
        for cost, met in ((100, True), (101, False)):
            cell = of_ways({"mmsg": [600], "mmsg_gro": [300], "zc_splice": [cost]}, job="relay_udp", size=64)
            (one,) = target_of(cell, "datagrams of 64 bytes")
            self.assertEqual((one["peer"], one["met"]), ("mmsg", met))
        self.assertEqual(target_of({**cell, "size": 1400}, "datagrams of 64 bytes"), [])

    def test_not_measured(self):
        cell = of_ways({"zc": [1]}, job="rr", size=256, connections=1000)
        self.assertEqual(target_of(cell, "256 bytes"), [])
        self.assertIn("| not measured |", report.target_text({"cells": [cell]}))

    def test_text(self):
        cells = [of_ways({"zc": [90, 91, 92], "epoll": [100] * 3}, job="rr", size=256, connections=1000),
                 of_ways({"zc": [90] * 3, "epoll": [100] * 3}, job="rr", connections=1000)]
        text = report.target_text({"cells": cells})
        self.assertIn("0.91 (0.91–0.92) met", text)
        self.assertIn("0.90 (0.90–0.90) **missed by 0.10**", text)
        self.assertIn("| 0 of 1 | 0.90 (e1000e 9000, 64 KiB) | – |", text)

    def test_by_instructions(self):
        cell = of_ways({"zc": [90], "epoll": [100]}, job="rr", connections=1000)
        for way, count in (("zc", 300), ("epoll", 400)):
            cell["ways"][way]["instructions"] = {"per_mb": {"median": count}}
        text = report.target_text({"cells": [cell]})
        self.assertIn("| 0.90 (e1000e 9000, 64 KiB) | 1 of 1, worst 0.75 |", text)
        self.assertIn("**missed by 0.10**, instructions 0.75 |", text)

    def test_all_are_there(self):
        text = report.render(invented(), [])
        for target in targets.TARGETS:
            self.assertIn(f"### {target.text}: at most {target.most:.2f}\n", text)


class Numbers(unittest.TestCase):
    def test_digits(self):
        self.assertEqual([report.number(v) for v in (None, 0, 12345.6, 12.34, 0.1234, 0.00012)],
                         ["–", "0", "12346", "12.3", "0.123", "0.0001"])

    def test_sizes(self):
        self.assertEqual([report.size_text(v) for v in (1400, 65536, 11000, 1 << 20)],
                         ["1400 B", "64 KiB", "10.7 KiB", "1 MiB"])


class Plots(unittest.TestCase):
    def test_all_are_drawn(self):
        bench = invented()
        bench["cells"] = [cell for cell in bench["cells"] if cell["job"] in ("tcp_receive", "rr")
                          and cell["nic"] in ("e1000e", "veth", "lo") and cell["size"] != 1024]
        with tempfile.TemporaryDirectory() as folder:
            names = plots.draw(bench, folder)
            self.assertEqual(names, ["cpu-tcp_receive", "instructions-tcp_receive", "ratio-tcp_receive",
                                     "threads-tcp_receive", "room-tcp_receive", "cpu-rr", "ratio-rr",
                                     "connections-rr"])
            for name in names:
                self.assertGreater(os.path.getsize(os.path.join(folder, name + ".svg")), 1000)


class Counted(unittest.TestCase):
    def test_by_what_was_moved(self):
        result = {"bytes": 2000000, "calls": 8, "job": "rr", "way": "zc"}
        found = counted.figures({**COUNTS, "to_reader": 2000000}, result)
        self.assertAlmostEqual(found["copied_per_byte"], 1, places=4)
        self.assertEqual(found["ptes_made_per_mb"], 2)
        self.assertEqual(found["calls_per_mb"], 4)

    def test_what_cannot_be_seen_is_not_zero(self):
        found = counted.figures(COUNTS, {"bytes": 1000, "calls": 8, "job": "udp_send", "way": "af_xdp"})
        self.assertIsNone(found["copied_per_byte"])
        self.assertIn("memcpy()", found["unseen"])

    def test_totals_are_subtracted(self):
        first = counted.since({}, COUNTS)
        self.assertEqual(first, COUNTS)
        self.assertEqual(counted.since(COUNTS, {**COUNTS, "in_kernel": 12})["in_kernel"], 7)
        self.assertEqual(counted.since(COUNTS, COUNTS)["made"], COUNTS["made"])

    def test_probes_of_functions_that_are_not_there(self):
        text = "BEGIN\n{\n}\nfentry:here /@pid/ { @a += 1; }\nkprobe:gone /@pid/ { @a += 1; }\nfexit:kept\n{\n}\n"
        left, missing = counted.usable(text, {"here"})
        self.assertEqual(missing, ["gone"])
        self.assertEqual(left, text.replace("kprobe:gone /@pid/ { @a += 1; }\n", ""))


if __name__ == "__main__":
    unittest.main()
