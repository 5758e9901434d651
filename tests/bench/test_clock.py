# SPDX-License-Identifier: GPL-2.0
"""clock.py with clocks of its own."""
import unittest

import clock


class Machine:
    """A chip that is right, and a guest's clock at some rate; each look takes a millisecond."""

    def __init__(self, rate):
        self.time, self.rate = 100.3, rate

    def chip(self):
        self.time += 0.001
        return int(self.time)

    def now(self):
        return self.time * self.rate

    def pause(self, seconds):
        self.time += seconds / self.rate

    def edge(self):
        return clock.edge(self.chip, self.now, self.pause)


class Rate(unittest.TestCase):
    def judged(self, rate, seconds):
        machine = Machine(rate)
        begin = machine.edge()
        machine.time += seconds
        return clock.judge(begin, machine.edge())

    def test_right(self):
        self.assertAlmostEqual(self.judged(1, 1.5), 1, places=2)
        self.assertAlmostEqual(self.judged(1.005, 600), 1.005, places=3)

    def test_wrong(self):
        for rate in (36, 1 / 36, 1.2, 0.8):
            with self.assertRaisesRegex(clock.Wrong, "is wrong"):
                self.judged(rate, 1.5)

    def test_a_little_wrong_shows_in_a_while(self):
        with self.assertRaisesRegex(clock.Wrong, "is wrong"):
            self.judged(1.02, 600)

    def test_edge_is_where_the_second_begins(self):
        second, at = Machine(1).edge()
        self.assertEqual(second, 101)
        self.assertAlmostEqual(at, 101, delta=0.005)

    def test_chip_that_stands(self):
        machine = Machine(1)
        with self.assertRaisesRegex(clock.Wrong, "stood at 7"):
            clock.edge(lambda: 7, machine.now, machine.pause)

    def test_chip_that_goes_back(self):
        with self.assertRaisesRegex(clock.Wrong, "went on by -1 s"):
            clock.judge((5, 10.0), (4, 11.0))


if __name__ == "__main__":
    unittest.main()
