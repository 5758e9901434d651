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

impl From<Area> for Span {
    fn from(area: Area) -> Self {
        Self {
            base: area.base,
            len: area.pages * PAGE_SIZE,
        }
    }
}

/// How the kernel's own part before a payload is aligned.
const HEAD_ALIGN: usize = 64;

/// The room before a payload that surely holds a head of `size` bytes in one page.
pub const fn head_room(size: usize) -> usize {
    size + HEAD_ALIGN - 1
}

/// A pair that passed: where the payload's bytes lie, counted in pages of the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Page-aligned first address.
    pub base: usize,
    /// Pages.
    pub pages: usize,
    /// First page that leaves the area: it holds payload, or the head.
    pub first: usize,
    /// Pages that leave it.
    pub used: usize,
    /// Where the payload begins, counted from the start of the first of them.
    pub offset: usize,
    /// Payload bytes.
    pub len: usize,
    /// Where in the first of them the head begins, if there is one.
    pub head: usize,
}

/// Checks one pair: the area is whole pages, the payload is not empty, lies inside and
/// leaves the rooms free. `None`: EINVAL.
pub fn check(area: &Span, payload: &Span, rooms: Rooms) -> Option<Area> {
    let before = inside(area, payload, rooms).filter(|_| payload.len > 0)?;
    let first = before / PAGE_SIZE;
    Some(Area {
        base: area.base,
        pages: area.len / PAGE_SIZE,
        first,
        used: (before + payload.len).div_ceil(PAGE_SIZE) - first,
        offset: before % PAGE_SIZE,
        len: payload.len,
        head: 0,
    })
}

/// The same for a target whose headers are built in a head of `size` bytes before the
/// payload, which can be empty. `rooms.head` must be `head_room(size)` at least.
///
/// The head lies in one page: right before the payload if the page that the payload begins
/// in has so much room, else at the end of the page before.
pub fn check_headed(area: &Span, payload: &Span, rooms: Rooms, size: usize) -> Option<Area> {
    let before = inside(area, payload, rooms)?;
    let (page, offset) = (before / PAGE_SIZE, before % PAGE_SIZE);
    let end = offset - offset % HEAD_ALIGN;
    let (first, offset, end) = if end >= size {
        (page, offset, end)
    } else {
        (page.checked_sub(1)?, offset + PAGE_SIZE, PAGE_SIZE)
    };
    Some(Area {
        base: area.base,
        pages: area.len / PAGE_SIZE,
        first,
        used: match payload.len {
            0 => 1,
            len => (offset + len).div_ceil(PAGE_SIZE),
        },
        offset,
        len: payload.len,
        head: end.checked_sub(size)?,
    })
}

/// What both have in common. Returns how many bytes lie before the payload.
fn inside(area: &Span, payload: &Span, rooms: Rooms) -> Option<usize> {
    let end = area.end()?;
    let payload_end = payload.end()?;
    let aligned = area.base % PAGE_SIZE == 0 && area.len % PAGE_SIZE == 0;
    if !aligned || area.len == 0 || !area.contains(payload) {
        return None;
    }
    let before = payload.base - area.base;
    (before >= rooms.head && end - payload_end >= rooms.tail).then_some(before)
}

impl Area {
    /// The payload's bytes in the `n`th page that leaves: where they begin, and how many.
    pub fn piece(&self, n: usize) -> (usize, usize) {
        let page = n.saturating_mul(PAGE_SIZE);
        let from = self.offset.max(page);
        let to = (self.offset + self.len).min(page.saturating_add(PAGE_SIZE));
        if from < to {
            (from - page, to - from)
        } else {
            (0, 0)
        }
    }
}
