# SPDX-License-Identifier: GPL-2.0
"""The count of a guest's tests: nothing that went wrong may be left out."""
import json
import os
import tempfile
import types
import unittest
from unittest import mock

os.environ.setdefault("ZCIO_TOP", "/nonexistent")
import suite  # noqa: E402

GOOD = "TAP version 13\n1..2\nok 1 a\nok 2 b # SKIP no\n"


class Account(unittest.TestCase):
    def count(self, records, files, console="", status=0):
        tally = suite.Tally()
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "results.jsonl"), "w", encoding="utf-8") as file:
                file.write("".join(json.dumps(r) + "\n" for r in records))
            for name, text in {**files, "console.log": console}.items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            suite.account(tally, "guest", folder, status)
        return tally.passed, len(tally.failures), tally.skipped, tally.failures

    @staticmethod
    def ended(test, status=0):
        return [{"test": test, "started": True},
                {"test": test, "status": status, "timed_out": False, "seconds": 1}]

    def test_all_well(self):
        counts = self.count(self.ended("x") + [{"finished": True}], {"x.ktap": GOOD})
        self.assertEqual(counts[:3], (1, 0, 1))

    def test_lost_guest(self):
        counts = self.count(self.ended("x") + [{"test": "y", "started": True}],
                            {"x.ktap": GOOD, "y.ktap": ""}, status=125)
        self.assertEqual(counts[:3], (1, 2, 1))
        self.assertIn("y: the guest did not survive it", counts[3][0])

    def test_splat(self):
        counts = self.count(self.ended("x") + [{"finished": True}], {"x.ktap": GOOD},
                            "[    1.0] zcio-rig: test x\n[    1.5] BUG: Bad rss-counter state mm:0\n", 99)
        self.assertEqual(counts[:2], (1, 1))
        self.assertIn("during x: BUG: Bad rss-counter", counts[3][0])

    def test_never_booted(self):
        self.assertEqual(self.count([], {}, status=120)[:2], (0, 1))


class Repeat(unittest.TestCase):
    """A failure is set apart only if it is a case, and is never seen again."""
    FAILED = types.SimpleNamespace(passed=["a"], failed=["b"], skipped=[], problems=[])

    @staticmethod
    def again(tally, outcomes, times="3", booted=None):
        booted = [] if booted is None else booted

        def boot(name, programs):
            booted.append((name, programs))
            return outcomes[len(booted) - 1], 0

        def account(tally, _name, outcome, _status):
            for text in outcome:
                tally.fail(text)

        with mock.patch.dict(os.environ, ZCIO_AGAIN=times), mock.patch.object(suite, "account", account):
            suite.repeat(tally, "guest", boot)
        return len(tally.failures), len(tally.unsteady)

    def failed(self, *programs):
        tally = suite.Tally()
        for program in programs:
            tally.add(f"guest {program}", self.FAILED, program)
        return tally

    def test_never_seen_again(self):
        booted = []
        self.assertEqual(self.again(self.failed("y", "x"), [[], [], []], booted=booted), (0, 2))
        self.assertEqual(booted, [(f"guest-again-{n}", ["x", "y"]) for n in (1, 2, 3)])

    def test_seen_again(self):
        tally = self.failed("x")
        self.assertEqual(self.again(tally, [[], ["guest x: b"]]), (2, 0))
        self.assertIn("time 2 of 3", tally.failures[1])

    def test_not_asked_for(self):
        self.assertEqual(self.again(self.failed("x"), [], times=""), (1, 0))

    def test_splat_beside_it(self):
        tally = self.failed("x")
        tally.fail("guest: the kernel's log: BUG")
        self.assertEqual(self.again(tally, []), (2, 0))

    def test_too_many(self):
        self.assertEqual(self.again(self.failed("a", "b", "c", "d"), []), (4, 0))

    def test_left_behind(self):
        self.assertEqual(self.again(self.failed("final-check"), []), (1, 0))

    def test_nothing_failed(self):
        self.assertEqual(self.again(suite.Tally(), []), (0, 0))


if __name__ == "__main__":
    unittest.main()
