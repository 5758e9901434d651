// SPDX-License-Identifier: GPL-2.0

//! Sets of page numbers, kept as bits in words: to count, find, set and clear whole
//! ranges, 64 pages at a time. Pages behind the last word are never in the set.

use core::ops::Range;

const BITS: usize = u64::BITS as usize;

/// Words that a set of `pages` page numbers takes.
pub fn words(pages: usize) -> usize {
    pages.div_ceil(BITS)
}

/// The words that a range touches, each with a mask of the range's bits in it.
fn masks(len: usize, range: Range<usize>) -> impl DoubleEndedIterator<Item = (usize, u64)> {
    let end = range.end.min(len * BITS);
    let start = range.start.min(end);
    (start / BITS..end.div_ceil(BITS)).map(move |word| {
        let low = start.saturating_sub(word * BITS);
        let high = (end - word * BITS).min(BITS);
        let below = |n: usize| if n < BITS { (1u64 << n) - 1 } else { u64::MAX };
        (word, below(high) & !below(low))
    })
}

/// How many pages of the range are in the set.
pub fn count(set: &[u64], range: Range<usize>) -> usize {
    masks(set.len(), range)
        .map(|(word, mask)| (set.get(word).unwrap_or(&0) & mask).count_ones() as usize)
        .sum()
}

/// The part of the range from the first page in the set to the last one.
pub fn bounds(set: &[u64], range: Range<usize>) -> Option<Range<usize>> {
    let hit = |&(word, mask): &(usize, u64)| set.get(word).is_some_and(|bits| bits & mask != 0);
    let bits = |(word, mask): (usize, u64)| (word, set.get(word).unwrap_or(&0) & mask);
    let (first, low) = masks(set.len(), range.clone()).find(hit).map(bits)?;
    let (last, high) = masks(set.len(), range).rev().find(hit).map(bits)?;
    Some(
        first * BITS + low.trailing_zeros() as usize
            ..(last + 1) * BITS - high.leading_zeros() as usize,
    )
}

/// Puts the pages of the range into the set.
pub fn insert(set: &mut [u64], range: Range<usize>) {
    for (word, mask) in masks(set.len(), range) {
        if let Some(bits) = set.get_mut(word) {
            *bits |= mask;
        }
    }
}

/// Takes the pages of the range out of the set.
pub fn remove(set: &mut [u64], range: Range<usize>) {
    for (word, mask) in masks(set.len(), range) {
        if let Some(bits) = set.get_mut(word) {
            *bits &= !mask;
        }
    }
}
