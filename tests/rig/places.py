#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Which lines of the module tests came by on the debug kernel, and which they never reached.

    tests/rig/enter python3 -B tests/rig/places.py build/modules/VERSION-debug/zcio.ko \\
        build/results/test/e1000e-9000/failnth*.places

The tests leave such files in their guest's folder (tests/guest/kcov.h); the module must be
the one that was tested.
"""
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["ZCIO_TOP"] = TOP

import fuzz_coverage  # noqa: E402 pylint: disable=wrong-import-position


def main(module, paths):
    reached = set()
    for path in paths:
        with open(path, encoding="ascii") as file:
            reached.update(file.read().split())
    fuzz_coverage.write(module, reached, "/dev/stdout")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
