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

    def test_relays_by_their_own_parts(self):
        for stack, part in ((["e1000_xmit_frame", "__dev_queue_xmit", "tcp_write_xmit"], "the card's driver and its"),
                            (["tcp_ack", "tcp_v4_rcv", "napi_threaded_poll"], "receiving: TCP, UDP and IP"),
                            (["zcio_source_gather", "process_one_work"], "zcio's own decisions")):
            self.assertIn(part, instructions.part_of(stack, instructions.RELAY_PARTS))

    def test_threads_of_a_kind_together(self):
        text = "@who[kworker/0:1]: 3\n@who[kworker/0:2H]: 1\n@who[napi/zc0-8193]: 9\n@who[zcio-bench]: 2\n"
        self.assertEqual(instructions.threads_of(text), [("napi/zc", 9), ("kworker", 4), ("zcio-bench", 2)])

    def test_functions_with_what_they_call(self):
        found = dict(instructions.functions(instructions.looks_of(TEXT)))
        self.assertEqual(found["memset_orig"], 7)
        self.assertEqual(found["__x64_sys_ioctl"], 3)


if __name__ == "__main__":
    unittest.main()
