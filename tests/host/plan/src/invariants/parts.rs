// SPDX-License-Identifier: GPL-2.0

//! Parts of a list of pages (`plan::parts`) against a plain list of booleans.

use super::std::vec;
use crate::plan::parts::{common, parts};
use core::ops::Range;

/// Cuts `all` by ranges that are in place.
pub fn cover_all(all: Range<usize>, in_place: &[Range<usize>]) {
    let mut there = vec![false; all.end];
    for range in in_place {
        let end = range.end.min(all.end);
        there[range.start.min(end)..end].fill(true);
    }
    let mut at = all.start;
    for (part, is) in parts(all.clone(), in_place) {
        assert_eq!(part.start, at);
        assert!(!part.is_empty());
        assert!(there[part.clone()].iter().all(|&page| page == is));
        at = part.end;
    }
    assert_eq!(at, all.end.max(all.start));
}

/// What is in both ranges.
pub fn in_both(a: Range<usize>, b: Range<usize>) {
    let both = common(a.clone(), b.clone());
    let inside = |n: usize| a.contains(&n) && b.contains(&n);
    assert!(both.start >= a.start && both.end <= a.end);
    assert!(both.clone().all(inside));
    assert_eq!(both.len(), a.filter(|n| b.contains(n)).count());
}
