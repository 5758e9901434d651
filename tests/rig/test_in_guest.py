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

    def test_interrupts_of_one_device(self):
        text = ("           CPU0  CPU1\n  9:  0  0  IO-APIC  acpi\n 24:  5  0  PCI-MSIX-0  0-edge  zc0-rx-0\n"
                " 25:  1  0  PCI-MSIX-0  1-edge  zc0\n 26:  3  0  PCI-MSIX-1  0-edge  zc1-rx-0\n")
        self.assertEqual(in_guest.interrupts_of("zc0", text), ["24", "25"])
        self.assertEqual(in_guest.interrupts_of("zc", text), [])

    def test_sets_of_processors(self):
        self.assertEqual([in_guest.mask_of(one) for one in ({0}, {1, 2, 3}, set(range(1, 6)))], ["1", "e", "3e"])


if __name__ == "__main__":
    unittest.main()
