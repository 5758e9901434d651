// SPDX-License-Identifier: GPL-2.0

//! What becomes of payloads: areas are sent batch by batch, the socket stops taking at any
//! byte, and what the peer got and what the areas still hold is all there was.

use super::std::{vec, vec::Vec};
use crate::plan::area::Area;
use crate::plan::transmit::{batch, fate, Fate};
use crate::plan::PAGE_SIZE;
use core::ops::Range;

/// As many payloads as fit, at least one, and never one more.
pub fn batch_is_largest(pages: &[usize], most: usize) {
    let count = batch(pages.iter().copied(), most);
    let sum = |n: usize| pages[..n].iter().map(|p| *p as u128).sum::<u128>();
    let largest = (1..=pages.len()).filter(|n| sum(*n) <= most as u128).max();
    assert_eq!(count, largest.unwrap_or(pages.len().min(1)));
}

/// Pages by what went of them: whole ones, at most one in part, then none. `sent` is no
/// more than all of `lens`.
pub fn fates_add_up(lens: &[usize], sent: usize) {
    let mut left = sent;
    let mut rest = false;
    for len in lens {
        let bytes = match fate(*len, left) {
            Fate::Gone => *len,
            Fate::Split(n) => {
                assert!(n > 0 && n < *len);
                n
            }
            Fate::Back => 0,
        };
        assert!(!rest || bytes == 0, "bytes went behind bytes that did not");
        rest |= bytes < *len;
        left -= bytes;
    }
    assert_eq!(left, 0, "less went than was sent");
}

/// Sends areas that lie apart, `most` pages in a batch, until the socket has taken `take`
/// bytes; compares the addresses of the bytes that went, in order, and of those that stay.
pub fn send(areas: &[Area], most: usize, take: usize) {
    let bytes = |area: &Area| {
        let from = area.base + area.first * PAGE_SIZE + area.offset;
        from..from + area.len
    };
    let mut went = Vec::new();
    let mut stay = Vec::new();
    let mut from = 0;
    let mut left = take;
    while from < areas.len() {
        let rest = &areas[from..];
        let count = batch(rest.iter().map(|a| a.used), most);
        assert!(count >= 1 && count <= rest.len(), "a batch of {count}");
        let want: usize = rest[..count].iter().map(|a| a.len).sum();
        let mut sent = left.min(want);
        left -= sent;
        for area in &rest[..count] {
            for n in 0..area.used {
                let (offset, len) = area.piece(n);
                let at = area.base + (area.first + n) * PAGE_SIZE + offset;
                let gone = match fate(len, sent) {
                    Fate::Gone => len,
                    Fate::Split(n) => {
                        assert!(n > 0 && n < len, "{n} bytes of {len} are not a part");
                        n
                    }
                    Fate::Back => 0,
                };
                sent -= gone;
                join(&mut went, at..at + gone);
                join(&mut stay, at + gone..at + len);
            }
        }
        assert_eq!(sent, 0, "the socket took bytes of no piece");
        from += count;
    }
    let (mut first, mut others) = (Vec::new(), Vec::new());
    let mut left = take;
    for area in areas {
        let all = bytes(area);
        let cut = all.start + left.min(area.len);
        left -= cut - all.start;
        join(&mut first, all.start..cut);
        join(&mut others, cut..all.end);
    }
    assert_eq!((went, stay), (first, others), "{areas:?} at byte {take}");
}

/// Appends a range, to the last one where it continues that.
fn join(ranges: &mut Vec<Range<usize>>, next: Range<usize>) {
    if next.is_empty() {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.extend(vec![next]),
    }
}
