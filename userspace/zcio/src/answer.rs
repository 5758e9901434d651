// SPDX-License-Identifier: MIT
//! What the kernel answers, checked before it is believed: where a payload lies, and what
//! a sending call took. Plain numbers, so that tests can give any answer.

use std::ops::Range;

/// Where a payload lies in the slot of `len` bytes at `start`, if it lies in it.
pub(crate) fn place(start: usize, len: usize, base: usize, bytes: usize) -> Option<Range<usize>> {
    let first = base.checked_sub(start)?;
    let end = first.checked_add(bytes).filter(|end| *end <= len)?;
    Some(first..end)
}

/// How many bytes were taken of the payload behind the `whole` ones, given what all have
/// and that `bytes` were taken; `None` if no call can have taken that.
pub(crate) fn part(lens: &[usize], whole: usize, bytes: u64) -> Option<usize> {
    let before: usize = lens.get(..whole)?.iter().sum();
    let part = usize::try_from(bytes).ok()?.checked_sub(before)?;
    let fits = match lens.get(whole) {
        Some(len) => part < *len || part == 0,
        None => part == 0,
    };
    fits.then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_its_slot() {
        assert_eq!(place(100, 50, 100, 50), Some(0..50));
        assert_eq!(place(100, 50, 149, 1), Some(49..50));
        assert_eq!(place(100, 50, 149, 2), None);
        assert_eq!(place(100, 50, 99, 1), None);
        assert_eq!(place(100, 50, 101, usize::MAX), None);
    }

    #[test]
    fn taken_in_part() {
        assert_eq!(part(&[10, 20], 1, 10), Some(0));
        assert_eq!(part(&[10, 20], 1, 29), Some(19));
        assert_eq!(part(&[10, 20], 2, 30), Some(0));
        for (whole, bytes) in [(1, 9), (1, 30), (2, 31), (3, 30), (0, u64::MAX)] {
            assert_eq!(part(&[10, 20], whole, bytes), None, "{whole}, {bytes}");
        }
    }
}
