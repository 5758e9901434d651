# SPDX-License-Identifier: GPL-2.0
"""calibrate.py without a guest: what it reads, and which segments it asks for."""
import unittest

import calibrate

SAID = """MAP_HUGETLB attempt failed, look at /sys/kernel/mm/hugepages for optimal performance
received 1024.5 MB (99.9939 % mmap'ed) in 6.73792 s, 40.7956 Gbit
  cpu usage user:0.045 sys:2.827, 1.2e+03 usec per MB, 65532 c-switches, rcv_mss 8192
"""


class Parse(unittest.TestCase):
    def test_figures(self):
        self.assertEqual(calibrate.parse(SAID), {"us_per_mb": 1200.0, "mapped_percent": 99.9939, "mb": 1024.5})

    def test_not_at_its_end(self):
        for text in ("", SAID.splitlines()[0], "\n".join(SAID.splitlines()[:2])):
            self.assertIsNone(calibrate.parse(text))


class Segment(unittest.TestCase):
    def test_as_it_is_told(self):
        self.assertEqual(calibrate.segment(("echo", "8204")), ["-M", "8204"])
        self.assertEqual(calibrate.segment(("echo", "0")), [])


if __name__ == "__main__":
    unittest.main()
