# SPDX-License-Identifier: GPL-2.0
"""The verdict on a guest with planted bugs: nothing may be missing, nothing may be too much."""
import os
import unittest

os.environ.setdefault("ZCIO_TOP", "/nonexistent")
import planted  # noqa: E402
import splat  # noqa: E402

FIRST = {
    "lock-inversion": "WARNING: possible circular locking dependency detected",
    "sleep-in-atomic": "BUG: sleeping function called from invalid context at include/linux/sched/mm.h:321",
    "use-after-free": "BUG: KASAN: slab-use-after-free in _RNvNtNtNtC4zcio6ground5debug5plant14use_after_free+0x1/0x2",
    "page-use-after-put": "BUG: KASAN: use-after-free in zcio_page_copy+0x5b/0x90 [zcio]",
    "leak": "unreferenced object 0xffff888004a3c000 (size 96):",
}


def log(without=(), during=None, unnamed=(), more=""):
    """A guest's log with all bugs but those of 'without'; those of 'unnamed' show no function."""
    text = ""
    for bug in planted.BUGS:
        test = planted.LATER.get(bug, bug)
        text += f"zcio-rig: test {during if during and bug == 'use-after-free' else test}\n"
        if bug not in without:
            text += FIRST[bug].split("_RNv")[0] + "\n"
            if bug not in unnamed:
                text += f" _RNvNtNtNtC4zcio6ground5debug{planted.function(bug)}+0x1b2/0x2c0 [zcio]\n"
    return splat.scan((text + more).splitlines())


def failures(splats):
    return [f"planted: the kernel's log during {found.test}: {found[0]}" for found in splats]


class Judge(unittest.TestCase):
    def failed(self, splats, texts=None, status=planted.SPLAT):
        cases = planted.judge(failures(splats) if texts is None else texts, splats, status)
        self.assertEqual(len(cases.passed) + len(cases.failed), len(planted.BUGS) + 2)
        return [text.split()[0] for text in cases.failed]

    def test_all_found(self):
        self.assertEqual(self.failed(log()), [])

    def test_one_not_found(self):
        for bug in planted.BUGS:
            self.assertEqual(self.failed(log(without=[bug])), [bug])

    def test_found_during_another(self):
        self.assertEqual(self.failed(log(during="sleep-in-atomic")), ["use-after-free", "nothing"])

    def test_not_named(self):
        self.assertEqual(self.failed(log(unnamed=["leak"])), ["leak"])

    def test_run_did_not_fail(self):
        self.assertEqual(self.failed(log(), texts=[]), list(planted.BUGS))

    def test_failed_for_something_else(self):
        self.assertEqual(self.failed(log(more="zcio-rig: test unload\nBUG: Bad page state in process rmmod\n")),
                         ["nothing"])
        self.assertEqual(self.failed(log(), texts=failures(log()) + ["planted unload: timed out"]), ["nothing"])

    def test_status_of_a_lost_guest(self):
        self.assertEqual(self.failed(log(), status=125), ["the"])


if __name__ == "__main__":
    unittest.main()
