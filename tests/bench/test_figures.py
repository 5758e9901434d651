# SPDX-License-Identifier: GPL-2.0
"""Unit tests of figures.py and plan.py: python3 -m unittest discover tests/bench"""
import unittest

import figures
import plan

CELL = {"job": "tcp_receive", "size": 65536, "connections": 1, "bytes": 1000000, "sender": "send", "pages": False,
        "room": 0, "threads": 0, "only": None}


JOBS = {"tcp_receive": {"ways": dict.fromkeys(("readv", "zc_readv"))}}


def result(cpu, **more):
    """Of a run that moved 1 MB."""
    return {"bytes": 1000000, "user_us": cpu / 4, "system_us": cpu * 3 / 4, "guest_us": 2 * cpu, "wall_us": 1000,
            "faults": 3, "calls": 16, "mapped": 0, "copied": 0, **more}


def runs(way, costs, cell=None):
    cell = cell or CELL
    lines = [{"cell": cell, "way": way, "kind": "check", "result": result(1)}]
    return lines + [{"cell": cell, "way": way, "kind": "run", "round": i, "result": result(cost)}
                    for i, cost in enumerate(costs)]


class Spread(unittest.TestCase):
    def test_five(self):
        found = figures.spread([5, 1, 3, 2, 4])
        self.assertEqual((found["median"], found["q1"], found["q3"]), (3, 2, 4))
        self.assertEqual((found["least"], found["most"], found["runs"]), (1, 5, 5))

    def test_one_and_none(self):
        self.assertEqual(figures.spread([7])["q1"], 7)
        self.assertIsNone(figures.spread([]))
        self.assertIsNone(figures.spread([None]))

    def test_what_is_missing_is_left_out(self):
        self.assertEqual(figures.spread([None, 2, 4])["median"], 3)


class OfRun(unittest.TestCase):
    def test_by_megabyte(self):
        found = figures.of_run(result(800))
        self.assertEqual(found["cpu_us_per_mb"], 800)
        self.assertEqual(found["system_us_per_mb"], 600)
        self.assertEqual(found["guest_us_per_mb"], 1600)
        self.assertEqual(found["mb_per_s"], 1000)
        self.assertIsNone(found["mapped_percent"])

    def test_mapped_and_latencies(self):
        found = figures.of_run(result(800, mapped=3, copied=1, p50_ns=2000, p99_ns=9000, requests=4))
        self.assertEqual(found["mapped_percent"], 75)
        self.assertEqual((found["p50_us"], found["p99_us"]), (2, 9))
        self.assertEqual(found["cpu_us_per_request"], 200)

    def test_of_a_relay(self):
        found = figures.of_run(result(800, side_ns=2000000, card_ns=500000, job="relay_udp", size=100))
        self.assertEqual((found["side_us_per_mb"], found["cpu_us_per_mb"]), (2000, 800))
        self.assertEqual(found["own_us_per_mb"], 1500)
        # 10,000 of them in 2 ms.
        self.assertEqual(found["datagrams_per_cpu_s"], 5e6)
        found = figures.of_run(result(800, side_ns=2000000, card_ns=500000, job="relay_tcp", size=100))
        self.assertNotIn("datagrams_per_cpu_s", found)

    def test_lost(self):
        found = figures.of_run(result(800, lost=1000, size=1000))
        self.assertEqual(found["lost_percent"], 50)


class Ratios(unittest.TestCase):
    def test_round_by_round(self):
        ours = {0: {"cpu_us_per_mb": 100}, 1: {"cpu_us_per_mb": 1000}, 2: {"cpu_us_per_mb": 200}}
        peer = {0: {"cpu_us_per_mb": 200}, 1: {"cpu_us_per_mb": 2000}, 2: {"cpu_us_per_mb": 400}}
        found = figures.ratios(ours, peer)["cpu_us_per_mb"]
        # The weather of the second round does not show.
        self.assertEqual((found["least"], found["most"]), (2, 2))

    def test_rounds_that_one_lacks(self):
        found = figures.ratios({0: {"cpu_us_per_mb": 1}, 1: {"cpu_us_per_mb": 1}}, {1: {"cpu_us_per_mb": 3}})
        self.assertEqual(found["cpu_us_per_mb"]["runs"], 1)

    def test_nothing_to_divide_by(self):
        self.assertEqual(figures.ratios({0: {"cpu_us_per_mb": 0}}, {0: {"cpu_us_per_mb": 3}}), {})


class Crossing(unittest.TestCase):
    def test_between(self):
        self.assertEqual(figures.crossing([(4, 0.5), (16, 2)]), 8)

    def test_always_and_never(self):
        self.assertEqual(figures.crossing([(4, 1.5), (16, 2)]), 4)
        self.assertIsNone(figures.crossing([(4, 0.5), (16, 0.9)]))
        self.assertIsNone(figures.crossing([(4, 1.5), (16, 0.9)]))
        self.assertIsNone(figures.crossing([]))

    def test_for_good(self):
        self.assertEqual(figures.crossing([(1, 2), (4, 0.5), (16, 2), (64, 3)]), 8)

    def test_quartiles(self):
        low = {"q1": 0.25, "median": 0.5, "q3": 1}
        high = {"q1": 1, "median": 2, "q3": 4}
        found = figures.crossover([(16, high), (4, low)])
        self.assertEqual((found["from"], found["size"], found["to"]), (4, 8, 16))


class Instructions(unittest.TestCase):
    def test_by_what_was_moved(self):
        lines = [{"cell": CELL, "way": "zc_readv", "kind": "instructions", "result": result(cost, payloads=10)}
                 for cost in (100, 400, 200)]
        found = figures.cells("veth", 9000, lines)[0]["ways"]["zc_readv"]["instructions"]
        self.assertEqual(found["per_mb"]["median"], 200000)
        self.assertEqual(found["per_payload"]["median"], 20000)

    def test_without_payloads(self):
        found = figures.instructions([result(100, payloads=0)])
        self.assertEqual(found["per_mb"]["median"], 100000)
        self.assertNotIn("per_payload", found)

    def test_which_cells(self):
        ways = {"tcp_receive": 3, "rr": 2}
        found = plan.instructed(plan.cells(ways, "full", plan.E1000E))
        self.assertEqual([cell["size"] for cell in found if cell["job"] == "rr"], [65536])
        sizes = [cell["size"] for cell in found if cell["job"] == "tcp_receive"]
        self.assertEqual(sizes, [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20])


class Cells(unittest.TestCase):
    def test_figures_and_ratios(self):
        lines = runs("readv", [400, 440, 480]) + runs("zc_readv", [200, 220, 240])
        cell = figures.cells("veth", 9000, lines)[0]
        self.assertEqual(cell["copying"], "readv")
        self.assertTrue(cell["ways"]["zc_readv"]["ours"])
        self.assertEqual(cell["ways"]["readv"]["figures"]["cpu_us_per_mb"]["median"], 440)
        pair = cell["ratios"][0]
        self.assertEqual((pair["ours"], pair["peer"]), ("zc_readv", "readv"))
        self.assertEqual(pair["peer_over_ours"]["cpu_us_per_mb"]["median"], 2)
        self.assertEqual(list(figures.incomplete([cell], 3, JOBS)), [])

    def test_unable_is_complete(self):
        lines = runs("zc_readv", [1, 2, 3])
        lines.append({"cell": CELL, "way": "readv", "kind": "unable", "unable": "no such NIC"})
        cell = figures.cells("veth", 9000, lines)[0]
        self.assertEqual(cell["ways"]["readv"]["unable"], "no such NIC")
        self.assertNotIn("figures", cell["ways"]["readv"])
        self.assertEqual(cell["ratios"], [])
        self.assertEqual(list(figures.incomplete([cell], 3, JOBS)), [])

    def test_what_is_incomplete(self):
        lines = runs("zc_readv", [1, 2]) + runs("readv", [1, 2, 3])[1:]
        lines.append({"cell": CELL, "way": "io_uring", "kind": "failed", "failed": "status 1: no"})
        cell = figures.cells("veth", 9000, lines)[0]
        jobs = {"tcp_receive": {"ways": ["readv", "zc_readv", "io_uring", "new"]}}
        said = " ".join(figures.incomplete([cell], 3, jobs))
        # What a cell does not have is not missed.
        one = {**cell, "only": ["zc_readv"]}
        self.assertNotIn("new", " ".join(figures.incomplete([one], 3, jobs)))
        for part in ("new: 0 of 3 rounds", "zc_readv: 2 of 3 rounds", "readv: its bytes were not checked",
                     "io_uring: failed: status 1: no"):
            self.assertIn(part, said)

    def test_crossovers(self):
        lines = []
        for size, cost in ((4096, 400), (16384, 100)):
            cell = {**CELL, "size": size}
            lines += runs("readv", [200], cell) + runs("zc_readv", [cost], cell)
        found = figures.crossovers(figures.cells("veth", 9000, lines))[0]
        self.assertEqual((found["size"], found["ours"], found["peer"]), (8192, "zc_readv", "readv"))


class Calibration(unittest.TestCase):
    def test_over_rounds(self):
        line = {"calibration": "tcp_mmap", "nic": "lo", "mtu": 65536, "mode": "copy", "sender": "send"}
        found = figures.calibration([{"guest": {}}] + [{**line, "us_per_mb": cost, "mapped_percent": 0}
                                                       for cost in (1, 2, 6)])
        self.assertEqual([(c["mode"], c["us_per_mb"]["median"]) for c in found], [("copy", 2)])


class Plan(unittest.TestCase):
    def test_datagrams_fit(self):
        sizes = {cell["size"] for cell in plan.cells(["udp_send"], "full", ("new", 1500))}
        self.assertEqual(sizes, {64, 512, 1400})

    def test_whole_pages_need_room(self):
        def pages(mtu):
            return any(cell["pages"] for cell in plan.cells(["tcp_receive"], "full", ("new", mtu)))
        self.assertTrue(pages(9000))
        self.assertFalse(pages(1500))

    def test_only(self):
        jobs = ["tcp_send", "tcp_receive", "rr"]
        self.assertEqual({cell["job"] for cell in plan.cells(jobs, "quick", plan.VETH, "tcp_r* rr")},
                         {"tcp_receive", "rr"})

    def test_quick_is_part_of_full(self):
        for job in plan.PLAN:
            for path in plan.PATHS["quick"]:
                if job in plan.RELAY_JOBS and (path != plan.QUICK_RELAYS or job == "relay_rr"):
                    continue
                full = {figures.key_of(cell) for cell in plan.cells([job], "full", path)}
                quick = {figures.key_of(cell) for cell in plan.cells([job], "quick", path)}
                self.assertTrue(quick and quick <= full, (job, path))

    def test_every_cell_once(self):
        for path in plan.PATHS["full"]:
            keys = [figures.key_of(cell) for cell in plan.cells(plan.PLAN, "full", path)]
            self.assertEqual(len(keys), len(set(keys)), path)

    def test_every_job_on_every_path(self):
        for path in plan.PATHS["full"]:
            there = {cell["job"] for cell in plan.cells(plan.PLAN, "full", path) if not cell["only"]}
            relays = plan.RELAY_JOBS if path in plan.MAIN + (plan.LO,) else ()
            self.assertEqual(there, set(plan.PLAN) - set(plan.RELAY_JOBS) | set(relays), path)

    def test_parts(self):
        self.assertEqual(plan.parts("full", plan.VETH), ["ends", "relays"])
        self.assertEqual(plan.parts("full", plan.VETH, "relay_udp"), ["relays"])
        self.assertEqual(plan.parts("full", plan.VIRTIO_1500), ["ends"])
        self.assertEqual(plan.parts("full", plan.VETH, "nothing"), ["ends"])
        found = [{figures.key_of(cell) for cell in plan.cells(plan.PLAN, "full", plan.VETH, part=part)}
                 for part in plan.PARTS + ("",)]
        self.assertTrue(found[0] and found[1] and not found[0] & found[1])
        self.assertEqual(found[0] | found[1], found[2])

    def test_quick_observes_one_guest_a_path(self):
        self.assertTrue(plan.counts("full", plan.VETH, "relays") and plan.counts("quick", plan.VETH, "ends"))
        self.assertFalse(plan.counts("quick", plan.VETH, "relays") or plan.counts("full", plan.LO, "ends"))

    def test_small_requests_move_less(self):
        found = {size: plan.bytes_of("tcp_send", size, 1, plan.MOST_BYTES) for size in (1024, 4096, 1 << 20)}
        self.assertTrue(found[1024] < found[4096] < found[1 << 20] == plan.MOST_BYTES, found)

    def test_each_connection_has_as_much(self):
        for cell in plan.cells(plan.PLAN, "full", plan.VETH):
            self.assertEqual(cell["bytes"] % (cell["size"] * cell["connections"]), 0, cell)
            self.assertGreaterEqual(cell["bytes"], plan.LEAST_REQUESTS * cell["size"] * cell["connections"])

    def test_less_for_a_try(self):
        for cell in plan.cells(["tcp_send"], "full", plan.VETH, mib=1):
            self.assertLessEqual(cell["bytes"], max(1 << 20, plan.LEAST_REQUESTS * cell["size"] * cell["connections"]))

    def test_time(self):
        for level, minutes in (("full", 60), ("quick", 6)):
            spent = sum(plan.estimate(level, path)[2] for path in plan.PATHS[level])
            self.assertLess(spent / 60, minutes, level)

    def test_some_ways_only(self):
        self.assertEqual(plan.ways_of({"only": ["a", "b"]}, {"b": 1, "c": 2}), ["b"])
        self.assertEqual(plan.ways_of({"only": None}, ["b", "c"]), ["b", "c"])

    def test_a_job_that_is_not_planned(self):
        self.assertEqual(len(plan.cells(["new"], "full", plan.VETH)), 1)

    def test_ours(self):
        self.assertTrue(plan.is_ours("zc_keep") and plan.is_ours("zc"))
        self.assertFalse(plan.is_ours("zcrx") or plan.is_ours("send_zc"))

    def test_reference(self):
        found = plan.reference(plan.cells(["rr"], "full", plan.VETH))
        self.assertEqual((found["size"], found["connections"]), (65536, 64))


if __name__ == "__main__":
    unittest.main()
