# SPDX-License-Identifier: GPL-2.0
"""Unit tests of instructions.py."""
import unittest

import instructions

TEXT = """{"bytes": 1}
@on: 0
@looks[
    memset_orig+12
    zcio_page_zero+40
    __x64_sys_ioctl+99
]: 3
@looks[
    e1000e_poll+1
    handle_softirqs+2
    memset_orig+3
]: 4
@looks[
]: 2
"""


class Parts(unittest.TestCase):
    def test_stacks(self):
        looks = list(instructions.looks_of(TEXT))
        self.assertEqual(looks[0], (["memset_orig", "zcio_page_zero", "__x64_sys_ioctl"], 3))
        self.assertEqual(looks[2], ([], 2))

    def test_each_look_counts_once(self):
        found = dict(instructions.parts(instructions.looks_of(TEXT)))
        self.assertEqual(sum(found.values()), 9)
        self.assertEqual(found[instructions.USER], 2)
        self.assertEqual(found["clearing pages, and parts of them"], 3)
        self.assertEqual(found[instructions.PARTS[0][0]], 4)

    def test_of_what_is_known(self):
        for stack, part in ((["zap_vma_range", "zcio_zap"], "page tables: taking out"),
                            (["segments", "zcio_skb_segments"], "zcio's own decisions"),
                            (["kfree", "_RNv4zcio"], "allocating and freeing"),
                            (["lock_sock_nested"], instructions.PARTS[-1][0])):
            self.assertEqual(instructions.part_of(stack), part)

    def test_functions_with_what_they_call(self):
        found = dict(instructions.functions(instructions.looks_of(TEXT)))
        self.assertEqual(found["memset_orig"], 7)
        self.assertEqual(found["__x64_sys_ioctl"], 3)


if __name__ == "__main__":
    unittest.main()
