# SPDX-License-Identifier: GPL-2.0
"""Compares the pages that the observer saw with those that user space saw.

Both sides note pieces of pages as lines: offset of the piece's first byte in the
TCP stream, number of the physical page, offset in the page, length. Of bytes that lay
beside the headers the observer notes page 0: they came, but nothing else is known of them.
"""
from bisect import bisect_right

PAGE = 4096
UNKNOWN = 0


def read(path):
    """The pieces in a file, as tuples of four numbers."""
    with open(path, encoding="ascii") as lines:
        return [tuple(map(int, line.split())) for line in lines]


class Observed:
    """Where the bytes of the stream lay when the driver handed them up."""

    def __init__(self, pieces):
        self.pieces = sorted(set(pieces))
        self.starts = [piece[0] for piece in self.pieces]
        # Bytes that came twice (sent again) lay in two places: nothing follows from them.
        self.twice = set()
        reached, last = 0, None
        for index, (start, _, _, length) in enumerate(self.pieces):
            if start < reached:
                self.twice.update((last, index))
            if start + length > reached:
                reached, last = start + length, index

    def place(self, offset):
        """Physical page and offset in it of one byte, None if not known for certain."""
        index = bisect_right(self.starts, offset) - 1
        if index < 0 or index in self.twice:
            return None
        start, pfn, in_page, length = self.pieces[index]
        if offset >= start + length or pfn == UNKNOWN:
            return None
        byte = in_page + offset - start
        return pfn + byte // PAGE, byte % PAGE


def compare(observed, noted):
    """How many of user space's pieces the observer knows, how many of those lie in
    the same page at the same place, and the first that does not."""
    seen = Observed(observed)
    checked = equal = 0
    different = None
    for offset, pfn, in_page, length in noted:
        first, last = seen.place(offset), seen.place(offset + length - 1)
        if first is None or last is None:
            continue
        checked += 1
        if first == (pfn, in_page) and last == (pfn, in_page + length - 1):
            equal += 1
        elif different is None:
            different = f"byte {offset} of the stream: user space has page {pfn} at {in_page}, " \
                f"the driver had {first[0]} at {first[1]}"
    return checked, equal, different
