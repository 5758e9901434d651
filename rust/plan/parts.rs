// SPDX-License-Identifier: GPL-2.0

//! Pages of which some lie already where they are to be: cutting a list of them into parts,
//! those to be put there and those to be left.

use core::ops::Range;

/// The parts of `all`, in order, and of each whether it is `in_place`: ranges that
/// rise and do not touch.
pub fn parts(
    all: Range<usize>,
    in_place: &[Range<usize>],
) -> impl Iterator<Item = (Range<usize>, bool)> + '_ {
    let behind = in_place.partition_point(|range| range.end <= all.start);
    let mut ranges = in_place.get(behind..).unwrap_or(&[]).iter().peekable();
    let mut at = all.start;
    core::iter::from_fn(move || {
        if at >= all.end {
            return None;
        }
        let from = at;
        let there = match ranges.peek() {
            Some(range) if range.start <= from => {
                at = range.end.min(all.end);
                ranges.next();
                true
            }
            next => {
                at = next.map_or(all.end, |range| range.start.min(all.end));
                false
            }
        };
        Some((from..at, there))
    })
}

/// What two ranges have in common; empty, but within the first, if that is nothing.
pub fn common(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start).min(a.end);
    start..a.end.min(b.end).max(start)
}
