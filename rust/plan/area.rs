// SPDX-License-Identifier: GPL-2.0

//! Checking what `zc_writev` is given: areas and the payloads in them.

use super::span::Span;
use super::PAGE_SIZE;

/// Bytes a target needs before and behind each payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rooms {
    /// Before it.
    pub head: usize,
    /// Behind it.
    pub tail: usize,
}

/// A pair that passed: where the payload's bytes lie, counted in pages of the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Page-aligned first address.
    pub base: usize,
    /// Pages.
    pub pages: usize,
    /// First page that holds payload.
    pub first: usize,
    /// Pages that hold payload.
    pub used: usize,
    /// Where the payload begins in its first page.
    pub offset: usize,
    /// Payload bytes.
    pub len: usize,
}

/// Checks one pair: the area is whole pages, the payload is not empty, lies inside and
/// leaves the rooms free. `None`: EINVAL.
pub fn check(area: &Span, payload: &Span, rooms: Rooms) -> Option<Area> {
    let end = area.end()?;
    let payload_end = payload.end()?;
    let aligned = area.base % PAGE_SIZE == 0 && area.len % PAGE_SIZE == 0;
    if !aligned || area.len == 0 || payload.len == 0 || !area.contains(payload) {
        return None;
    }
    let head = payload.base - area.base;
    if head < rooms.head || end - payload_end < rooms.tail {
        return None;
    }
    let first = head / PAGE_SIZE;
    Some(Area {
        base: area.base,
        pages: area.len / PAGE_SIZE,
        first,
        used: (head + payload.len).div_ceil(PAGE_SIZE) - first,
        offset: head % PAGE_SIZE,
        len: payload.len,
    })
}

impl Area {
    /// The payload's bytes in its `n`th page: where they begin, and how many.
    pub fn piece(&self, n: usize) -> (usize, usize) {
        let offset = if n == 0 { self.offset } else { 0 };
        let before = (n * PAGE_SIZE).saturating_sub(self.offset);
        (
            offset,
            (PAGE_SIZE - offset).min(self.len.saturating_sub(before)),
        )
    }
}
