# SPDX-License-Identifier: GPL-2.0
"""Unit tests of pages.py: python3 -m unittest discover tests/demo"""
import unittest

from pages import compare


class Compare(unittest.TestCase):
    observed = [(0, 10, 0, 4096), (4096, 11, 0, 756), (4852, 12, 100, 50)]

    def test_same(self):
        self.assertEqual(compare(self.observed, self.observed), (3, 3, None))

    def test_another_page(self):
        checked, equal, different = compare(self.observed, [(0, 10, 0, 4096), (4096, 99, 0, 756)])
        self.assertEqual((checked, equal), (2, 1))
        self.assertIn("byte 4096", different)

    def test_another_place_in_the_page(self):
        self.assertEqual(compare(self.observed, [(4852, 12, 0, 50)])[:2], (1, 0))

    def test_part_of_a_piece(self):
        self.assertEqual(compare(self.observed, [(4860, 12, 108, 10)]), (1, 1, None))

    def test_piece_that_spans_two(self):
        self.assertEqual(compare([(0, 5, 0, 100), (100, 5, 100, 50)], [(0, 5, 0, 150)]), (1, 1, None))
        self.assertEqual(compare([(0, 5, 0, 100), (100, 6, 100, 50)], [(0, 5, 0, 150)])[:2], (1, 0))

    def test_not_observed(self):
        self.assertEqual(compare(self.observed, [(5000, 1, 0, 10), (4852, 12, 100, 51)]), (0, 0, None))

    def test_frag_longer_than_a_page(self):
        self.assertEqual(compare([(0, 8, 0, 8192)], [(4096, 9, 0, 4096)]), (1, 1, None))

    def test_sent_again(self):
        again = self.observed + [(4096, 77, 0, 756)]
        self.assertEqual(compare(again, self.observed), (2, 2, None))
        self.assertEqual(compare([(0, 1, 0, 200), (100, 2, 0, 50)], [(0, 1, 0, 10)]), (0, 0, None))

    def test_beside_the_headers(self):
        beside = self.observed + [(4902, 0, 0, 100)]
        self.assertEqual(compare(beside, [(4902, 7, 0, 100), (0, 10, 0, 4096)]), (1, 1, None))

    def test_sent_again_beside_the_headers(self):
        again = self.observed + [(4096, 0, 0, 756)]
        self.assertEqual(compare(again, [(4096, 77, 0, 756), (0, 10, 0, 4096)]), (1, 1, None))


if __name__ == "__main__":
    unittest.main()
