# SPDX-License-Identifier: GPL-2.0
"""The count of a guest's tests: nothing that went wrong may be left out."""
import json
import os
import tempfile
import unittest

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


if __name__ == "__main__":
    unittest.main()
