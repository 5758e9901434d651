// SPDX-License-Identifier: GPL-2.0

//! Checking the ranges of addresses that user space offers.

use super::PAGE_SIZE;
use core::ops::DerefMut;

/// A range of user addresses: one element of an iovec array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First address.
    pub base: usize,
    /// Bytes.
    pub len: usize,
}

impl Span {
    /// A range as a 32-bit process names it. One that wraps around there does so here too.
    pub fn of_32_bits(base: u32, len: u32) -> Span {
        let wraps = base.checked_add(len).is_none();
        Span {
            base: base as usize,
            len: if wraps { usize::MAX } else { len as usize },
        }
    }

    /// First address behind the range, or `None` where it wraps around.
    pub fn end(&self) -> Option<usize> {
        self.base.checked_add(self.len)
    }

    /// The whole pages inside the range: their first address and their number.
    pub fn whole_pages(&self) -> Option<(usize, usize)> {
        let end = self.end()?;
        let first = self.base.checked_next_multiple_of(PAGE_SIZE)?;
        Some((first, end.saturating_sub(first) / PAGE_SIZE))
    }

    /// Whether `other` lies inside this range.
    pub fn contains(&self, other: &Span) -> bool {
        match (self.end(), other.end()) {
            (Some(end), Some(other_end)) => self.base <= other.base && other_end <= end,
            _ => false,
        }
    }
}

/// Looks for two ranges that share a byte; returns the index of one of them.
///
/// Ranges that wrap around must have been refused before. Arrays in rising order, the
/// usual case, are checked in one pass; for others `scratch` gives that many numbers of
/// scratch space, or fails.
pub fn find_overlap<T: Copy + Into<Span>, S: DerefMut<Target = [u16]>, E>(
    spans: &[T],
    scratch: impl FnOnce(usize) -> Result<S, E>,
) -> Result<Option<usize>, E> {
    let touches = |a: Span, b: Span| a.end().is_none_or(|end| end > b.base);
    if spans.is_sorted_by_key(|&s| s.into().base) {
        let found = spans
            .windows(2)
            .position(|w| touches(w[0].into(), w[1].into()));
        return Ok(found.map(|at| at + 1));
    }
    let mut order = scratch(spans.len())?;
    for (i, slot) in order.iter_mut().enumerate() {
        *slot = i as u16;
    }
    let at = |i: u16| {
        let span = spans.get(usize::from(i)).copied();
        span.map(Into::into).unwrap_or_default()
    };
    heap_sort(&mut order, |i| at(i).base);
    let found = order.windows(2).find(|w| touches(at(w[0]), at(w[1])));
    Ok(found.map(|w| usize::from(w[1])))
}

/// Sorts by `key`. `core`'s own sorts contain a panic for keys that contradict each other,
/// which a kernel module should not have.
fn heap_sort(items: &mut [u16], key: impl Fn(u16) -> usize) {
    let len = items.len();
    for root in (0..len / 2).rev() {
        sift_down(items, root, &key);
    }
    for end in (1..len).rev() {
        items.swap(0, end);
        if let Some(rest) = items.get_mut(..end) {
            sift_down(rest, 0, &key);
        }
    }
}

fn sift_down(heap: &mut [u16], mut root: usize, key: &impl Fn(u16) -> usize) {
    let at = |heap: &[u16], i: usize| heap.get(i).map(|&item| key(item));
    loop {
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let child = if at(heap, right) > at(heap, left) {
            right
        } else {
            left
        };
        // `None` (no such child) is less than any key.
        if at(heap, child) <= at(heap, root) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

/// Checks one region offered to `zc_readv`: it must not wrap and must have room for
/// at least `min` bytes of whole pages. Returns its whole pages.
pub fn check_region(region: &Span, min: usize) -> Option<(usize, usize)> {
    let (first, pages) = region.whole_pages()?;
    (pages >= min.div_ceil(PAGE_SIZE).max(1)).then_some((first, pages))
}
