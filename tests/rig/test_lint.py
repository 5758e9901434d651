# SPDX-License-Identifier: GPL-2.0
"""The tree's own rules: each sees what it is for, and nothing else."""
import unittest

import lint_tree


class Rules(unittest.TestCase):
    def found(self, rule, files, *more):
        return list(rule(files, *more))

    def test_long_files(self):
        self.assertEqual(self.found(lint_tree.long_files, {"a.c": "x\n" * 600, "LICENSE/GPL": "x\n" * 900}), [])
        self.assertEqual(len(self.found(lint_tree.long_files, {"a.c": "x\n" * 601})), 1)

    def test_spdx(self):
        good = "#!/bin/sh\n# SPDX-License-Identifier: MIT\n"
        self.assertEqual(self.found(lint_tree.spdx, {"run": good, "x.md": "", "LICENSE/MIT": ""}), [])
        self.assertEqual(len(self.found(lint_tree.spdx, {"run": "\n\n\n" + good, "x.c": ""})), 2)

    def test_unsafe(self):
        home = {"rust/ground/page.rs": "unsafe {}\n", "userspace/x.rs": "unsafe {}\n"}
        self.assertEqual(self.found(lint_tree.unsafe, home), [])
        words = "// unsafe\nlet a = \"unsafe\";\n#![deny(unsafe_code)]\n"
        self.assertEqual(self.found(lint_tree.unsafe, {"rust/pool.rs": words}), [])
        for bad in ("unsafe { f() }", "pub unsafe fn f() {}", "#[allow(unsafe_code)]\nmod ground;",
                    "#[allow(dead_code, unsafe_code)]\nmod x;"):
            self.assertEqual(len(self.found(lint_tree.unsafe, {"rust/pool.rs": bad})), 1, bad)
        root = "#[allow(unsafe_code)]\nmod ground;\n#[allow(unsafe_code, missing_docs)]\nmod entry {\n"
        self.assertEqual(self.found(lint_tree.unsafe, {"rust/zcio.rs": root}), [])
        self.assertEqual(len(self.found(lint_tree.unsafe, {"rust/zcio.rs": "#[allow(unsafe_code)]\nmod pool;"})), 1)

    def test_foreign_names(self):
        good = "see build/work/x, $HOME/root/y, ../root/x, 192.0.2.1 and self.network\nhttp://www.w3.org/2000/svg\n"
        self.assertEqual(self.found(lint_tree.foreign_names, {"a": good}), [])
        # Put together here, or this file itself would be found.
        http, org, work = "http", "org", "work"
        for bad in (f"from mirror.{org}", f"{http}://mirror/x", f"ls /{work}/main", f"cat '/{work}/a'"):
            self.assertEqual(len(self.found(lint_tree.foreign_names, {"a": bad})), 1, bad)

    def test_links(self):
        text = "[x](b.md) [y](../README.md#the-rig) [z](https:x)\n```\n[no](no.md)\n```\n[s](#own)\n# Own\n"
        files = {"D/a.md": text, "D/b.md": "", "README.md": "# x\n## The rig\n"}
        self.assertEqual(self.found(lint_tree.links, files, files.__contains__), [])
        files["D/b.md"] = "[a](c.md) [b](a.md#none) [c](#none)"
        self.assertEqual(len(self.found(lint_tree.links, files, files.__contains__)), 3)

    def test_named_tests(self):
        table = "## The contract's rows, test by test\n\n`no` | \n| a | `p`: `one`, `two`, `v` |\n## B\n| `no` |\n"
        files = {"Documentation/testing.md": table,
                 "tests/guest/p.c": "TEST_F_TIMEOUT(f, one, 5)\nTEST(two)\nFIXTURE_VARIANT_ADD(f, v) {\n"}
        self.assertEqual(self.found(lint_tree.named_tests, files), [])
        files["tests/guest/p.c"] = "TEST_F(f, one)\n"
        self.assertEqual(len(self.found(lint_tree.named_tests, files)), 2)


if __name__ == "__main__":
    unittest.main()
