# SPDX-License-Identifier: GPL-2.0
"""in_guest.py without a guest."""
import unittest

import in_guest

TEXT = "processor\t: 0\nflags\t\t: fpu erms avx2\nbugs\t\t: fsrm\n\nprocessor\t: 1\nflags\t\t: fpu\n"


class Flags(unittest.TestCase):
    def test_whole_words_of_the_flags(self):
        found = in_guest.cpu_flags(("erms", "fsrm", "avx"), TEXT)
        self.assertEqual(found, {"erms": True, "fsrm": False, "avx": False})
        self.assertEqual(in_guest.flags_text(found), "erms=on fsrm=off avx=off")


if __name__ == "__main__":
    unittest.main()
