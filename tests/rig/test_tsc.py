# SPDX-License-Identifier: GPL-2.0
"""The counter's rate is one that a processor has, and the same each time."""
import platform
import unittest

import tsc


@unittest.skipIf(platform.machine() != "x86_64", "no time stamp counter")
class Rate(unittest.TestCase):
    def test_is_plausible_and_steady(self):
        rates = [tsc.khz(seconds) for seconds in (0.02, 0.05, 0.1)]
        self.assertGreater(min(rates), 100_000)
        self.assertLess(max(rates), 10_000_000)
        self.assertLess(max(rates) / min(rates), 1.01)


if __name__ == "__main__":
    unittest.main()
