# SPDX-License-Identifier: GPL-2.0
"""The KTAP reader, fed with what kselftest, KUnit and broken programs print."""
import unittest

import ktap

HARNESS = """TAP version 13
1..3
# Starting 3 tests from 2 test cases.
#  RUN           global.opens ...
#            OK  global.opens
ok 1 global.opens
#  RUN           global.closes ...
# device.c:21:closes:Expected 0 (0) == close(fd) (-1)
# closes: Test terminated by assertion
#          FAIL  global.closes
not ok 2 global.closes
#  RUN           window.v6.maps ...
#      SKIP      no IPv6 here
#            OK  window.v6.maps
ok 3 window.v6.maps # SKIP no IPv6 here
# FAILED: 2 / 3 tests passed.
# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0
"""

NESTED = """KTAP version 1
1..2
  KTAP version 1
  # Subtest: outer
  1..2
    KTAP version 1
    1..2
    ok 1 a
    not ok 2 b
  not ok 1 inner
  ok 2 c
not ok 1 outer
ok 2 - d
"""


class Parse(unittest.TestCase):
    def test_harness(self):
        cases = ktap.judge(HARNESS, 1)
        self.assertEqual(cases.passed, ["global.opens"])
        self.assertEqual(cases.failed, ["global.closes"])
        self.assertEqual(cases.skipped, ["window.v6.maps no IPv6 here"])
        self.assertEqual(cases.problems, [])

    def test_nested_cases_count_once(self):
        cases = ktap.judge(NESTED, 1)
        self.assertEqual((cases.passed, cases.failed, cases.problems), (["a", "c", "d"], ["b"], []))

    def test_suite_that_fails_by_itself(self):
        cases = ktap.judge("KTAP version 1\n1..1\n  1..1\n  ok 1 a\nnot ok 1 suite\n", 1)
        self.assertEqual((cases.passed, cases.failed), (["a"], ["suite"]))

    def test_plan_not_kept(self):
        cases = ktap.judge("TAP version 13\n1..3\nok 1 a\n", 0)
        self.assertEqual(cases.problems, ["3 cases planned, 1 reported"])

    def test_nested_plan_not_kept(self):
        cases = ktap.judge("1..1\n  1..2\n  ok 1 a\nok 1 suite\n", 0)
        self.assertEqual(cases.problems, ["suite: 2 cases planned, 1 reported"])

    def test_no_plan(self):
        self.assertEqual(ktap.judge("ok 1 a\n", 0).problems, ["no plan"])

    def test_silence(self):
        self.assertEqual(ktap.judge("", 0).problems, ["no plan and no result"])

    def test_crash(self):
        cases = ktap.judge("1..2\nok 1 a\n", -11)
        self.assertIn("killed by signal 11", cases.problems)

    def test_bad_status_with_no_failed_case(self):
        self.assertEqual(ktap.judge("1..1\nok 1 a\n", 1).problems, ["exit status 1, though no case failed"])

    def test_timeout(self):
        self.assertIn("timed out", ktap.judge("1..2\nok 1 a\n", -9, timed_out=True).problems)

    def test_skip_of_the_whole(self):
        for text, status in (("1..0 # SKIP no device\n", 4), ("# nothing to do\n", 4)):
            cases = ktap.judge(text, status)
            self.assertEqual((len(cases.skipped), cases.failed, cases.problems), (1, [], []))
        cases = ktap.judge("1..0 # SKIP no device\n", 0)
        self.assertEqual((len(cases.skipped), cases.problems), (1, []))

    def test_reasons(self):
        shown = ktap.reasons(HARNESS)
        self.assertIn("global.closes", shown[-1])
        self.assertTrue(any("Expected" in line for line in shown), shown)
        self.assertFalse(any("global.opens" in line for line in shown), shown)
        self.assertEqual(ktap.reasons("ok 1 a\n# Segmentation fault\n"), ["# Segmentation fault"])
        self.assertEqual(ktap.reasons("1..1\nok 1 a\n"), [])


if __name__ == "__main__":
    unittest.main()
