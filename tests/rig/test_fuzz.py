# SPDX-License-Identifier: GPL-2.0
"""The fuzzer's host side: which program a guest found something with, what guests add up
to, and what the account of coverage says."""
import json
import os
import tempfile
import unittest
from unittest import mock

import fuzz
import fuzz_coverage

SPLAT = """[   10.0] zcio-rig: test fuzz program 16
[   10.1] zcio-rig: test fuzz program 17
[   10.2] BUG: KASAN: slab-use-after-free in zcio_readv+0x10/0x20
[   10.3] Call Trace:
"""


class Judging(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_folder = folder.name
        os.mkdir(os.path.join(folder.name, "last"))
        for n in range(fuzz.LAST):
            self.write(f"last/{n:02d}.json", {"n": n})

    def write(self, name, content):
        with open(os.path.join(self.run_folder, name), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))

    def judge(self, log, finished=True, status=0):
        self.write("console.log", log)
        return fuzz.judge(self.run_folder, finished, status)

    def test_nothing(self):
        self.assertIsNone(self.judge("[ 1.0] zcio-rig: test fuzz program 3\n"))

    def test_splat_names_the_program_that_ran(self):
        what, number, program = self.judge(SPLAT)
        self.assertIn("KASAN", what)
        self.assertEqual((number, program), (17, {"n": 1}))

    def test_splat_before_any_program(self):
        what, number, program = self.judge("[ 1.0] WARNING: something\n")
        self.assertIn("WARNING", what)
        self.assertEqual((number, program), (None, None))

    def test_what_the_guest_found_itself(self):
        self.write("finding.json", {"what": "a lost byte", "number": 40, "program": {"n": 40}})
        self.assertEqual(self.judge("", status=3), ("a lost byte", 40, {"n": 40}))

    def test_a_splat_is_told_first(self):
        self.write("finding.json", {"what": "a lost byte", "number": 17, "program": {"n": "own"}})
        what, _, program = self.judge(SPLAT, status=3)
        self.assertIn("KASAN", what)
        self.assertEqual(program, {"n": "own"})

    def test_a_guest_that_is_lost(self):
        log = "[ 1.0] zcio-rig: test fuzz program 5\n[ 1.1] zcio-rig: test fuzz program 6\n"
        what, number, program = self.judge(log, finished=False, status=None)
        self.assertIn("lost", what)
        self.assertEqual((number, program), (6, {"n": 6}))

    def test_a_status_without_a_finding(self):
        what, _, _ = self.judge("[ 1.0] zcio-rig: test fuzz program 2\n", status=101)
        self.assertIn("101", what)

    def test_sum(self):
        self.write("state.json", {"seconds": 5.5, "programs": 7, "calls": {"readv": {"0": 3, "14": 1}}})
        self.write("places", ".text+0x10\n.text+0x20")
        total = fuzz.Sum()
        self.assertEqual(total.add(self.run_folder), 5.5)
        total.add(self.run_folder)
        self.assertEqual(total.numbers["programs"], 14)
        self.assertEqual(total.calls, {"readv": {"0": 6, "14": 2}})
        self.assertEqual(total.places, {".text+0x10", ".text+0x20"})


class Coverage(unittest.TestCase):
    def test_instrumented(self):
        listing = """RELOCATION RECORDS FOR [.text]:
OFFSET           TYPE              VALUE
000000000000000e R_X86_64_PLT32    __sanitizer_cov_trace_pc-0x0000000000000004
0000000000000020 R_X86_64_PLT32    printk-0x0000000000000004

RELOCATION RECORDS FOR [.init.text]:
0000000000000001 R_X86_64_PLT32    __sanitizer_cov_trace_pc-0x0000000000000004
"""
        self.assertEqual(fuzz_coverage.instrumented(listing), {".text+0x12", ".init.text+0x5"})

    def test_frame(self):
        def frame(name, line):
            return {"FileName": name, "Line": line, "FunctionName": "f"}

        with tempfile.TemporaryDirectory() as top, mock.patch.object(fuzz_coverage, "TOP", top):
            os.mkdir(os.path.join(top, "rust"))
            with open(os.path.join(top, "rust", "a.rs"), "w", encoding="utf-8") as file:
                file.write("fn f() {}\n#[kunit_tests(a)]\nmod tests {}\n")
            ours, core = frame(f"{top}/rust/a.rs", 1), frame("/lib/core.rs", 9)
            self.assertEqual(fuzz_coverage.frame([ours]), ("rust/a.rs", 1, "f", True))
            self.assertEqual(fuzz_coverage.frame([core, ours]), ("rust/a.rs", 1, "f", False))
            self.assertIsNone(fuzz_coverage.frame([core]))
            self.assertIsNone(fuzz_coverage.frame([frame(f"{top}/rust/a.rs", 2)]))
            self.assertIsNone(fuzz_coverage.frame([frame(f"{top}/rust/ground/debug/plant.rs", 1)]))

    def test_report(self):
        where = {"a": ("x.rs", 1, "f", True), "b": ("x.rs", 2, "f", True), "c": ("x.rs", 5, "g", True),
                 "d": ("x.rs", 2, "f", False), "e": None}
        text, numbers = fuzz_coverage.report(set("abcde"), {"a", "d"}, where)
        self.assertEqual(numbers, {"places": 4, "reached": 2, "own_places": 3, "own_reached": 1})
        self.assertIn("Functions never reached:\n  x.rs: g\n", text)
        self.assertIn("     1    2  x.rs: f\n", text)
        self.assertIn("  x.rs: 2 5\n", text)


if __name__ == "__main__":
    unittest.main()
