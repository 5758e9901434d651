// SPDX-License-Identifier: GPL-2.0

//! Ranges of addresses and areas, as user space offers them.

use super::std::vec;
use crate::plan::area::{check, check_headed, head_room, Area, Rooms};
use crate::plan::span::{check_region, find_overlap, Span};
use crate::plan::PAGE_SIZE;

const PAGE: u128 = PAGE_SIZE as u128;
const TOP: u128 = usize::MAX as u128;

/// The span's end, where it does not wrap.
pub fn end(s: &Span) -> Option<u128> {
    let end = s.base as u128 + s.len as u128;
    (end <= TOP).then_some(end)
}

/// The whole pages of a span: the first one's address, and how many.
fn whole(s: &Span) -> Option<(u128, u128)> {
    let end = end(s)?;
    let first = (s.base as u128).div_ceil(PAGE) * PAGE;
    (first <= TOP).then_some((first, end.saturating_sub(first) / PAGE))
}

/// A span's end and whole pages, and whether it will do as a region of `min` bytes.
pub fn region(s: &Span, min: usize) {
    let wide = |(first, n): (usize, usize)| (first as u128, n as u128);
    assert_eq!(s.end().map(|e| e as u128), end(s));
    assert_eq!(s.whole_pages().map(wide), whole(s));
    let wanted = whole(s).filter(|(_, n)| *n >= 1 && *n * PAGE >= min as u128);
    let got = check_region(s, min);
    assert_eq!(got.map(wide), wanted);
    if let Some((base, n)) = got {
        let pages = Span {
            base,
            len: n * PAGE_SIZE,
        };
        assert!(s.contains(&pages), "{s:?} is not where its pages are");
    }
}

/// Whether one span lies inside another.
pub fn contains(a: &Span, b: &Span) {
    let inside = match (end(a), end(b)) {
        (Some(a_end), Some(b_end)) => a.base <= b.base && b_end <= a_end,
        _ => false,
    };
    assert_eq!(a.contains(b), inside, "{b:?} in {a:?}");
    assert_eq!(a.contains(a), end(a).is_some());
}

/// What `find_overlap` says, with scratch space for the asking.
pub fn overlap_in(spans: &[Span]) -> Option<usize> {
    find_overlap(spans, |n| Ok::<_, ()>(vec![0; n])).expect("there is scratch space")
}

/// Overlaps are found as by comparing all pairs. The spans must not wrap, nor be empty.
pub fn overlap(spans: &[Span]) {
    let share = |a: &Span, b: &Span| {
        let (a_end, b_end) = (end(a).expect("no wrap"), end(b).expect("no wrap"));
        (a.base as u128) < b_end && (b.base as u128) < a_end
    };
    let hit = |i: usize| (0..spans.len()).any(|j| i != j && share(&spans[i], &spans[j]));
    let found = overlap_in(spans);
    assert_eq!(found.is_some(), (0..spans.len()).any(hit), "{spans:?}");
    if let Some(i) = found {
        assert!(hit(i), "{i} of {spans:?} overlaps none");
    }
}

/// A pair passes if and only if each single condition holds, and then its pieces are the
/// payload's bytes, page by page.
pub fn area(area: &Span, payload: &Span, rooms: Rooms) {
    let good = good(area, payload, rooms) && payload.len > 0;
    let got = check(area, payload, rooms);
    assert_eq!(got.is_some(), good, "{area:?} {payload:?} {rooms:?}");
    let Some(got) = got else { return };
    pieces(&got, area, payload);
    assert!(got.offset < PAGE_SIZE, "{got:?} leaves too many pages");
}

/// The same with a head of `size` bytes: it lies in the first page that leaves, in the area,
/// before the payload and aligned, and no page leaves that holds neither it nor payload.
pub fn headed_area(area: &Span, payload: &Span, tail: usize, size: usize) {
    let rooms = Rooms {
        head: head_room(size),
        tail,
    };
    let got = check_headed(area, payload, rooms, size);
    assert_eq!(
        got.is_some(),
        good(area, payload, rooms),
        "{area:?} {payload:?} {rooms:?}"
    );
    let Some(got) = got else { return };
    pieces(&got, area, payload);
    assert!(got.head + size <= PAGE_SIZE.min(got.offset), "{got:?}");
    assert_eq!((got.head + size) % 64, 0, "{got:?} is not aligned");
    assert!(got.offset < 2 * PAGE_SIZE, "{got:?} leaves too many pages");
}

fn good(area: &Span, payload: &Span, rooms: Rooms) -> bool {
    let (Some(area_end), Some(payload_end)) = (end(area), end(payload)) else {
        return false;
    };
    area.base % PAGE_SIZE == 0
        && area.len % PAGE_SIZE == 0
        && area.len > 0
        && payload.base >= area.base
        && payload_end <= area_end
        && payload.base - area.base >= rooms.head
        && area_end - payload_end >= rooms.tail as u128
}

/// The pieces of a pair that passed are the payload's bytes, page by page.
fn pieces(got: &Area, area: &Span, payload: &Span) {
    assert_eq!(
        (got.base, got.pages, got.len),
        (area.base, area.len / PAGE_SIZE, payload.len)
    );
    assert!(
        got.used >= 1 && got.first + got.used <= got.pages,
        "{got:?}"
    );
    let payload_end = payload.base + payload.len;
    // Each page by itself: all of a small area, both ends of one that never ends.
    for n in (0..got.used.min(20)).chain(got.used.saturating_sub(20)..got.used) {
        let page = got.base + (got.first + n) * PAGE_SIZE;
        let from = payload.base.max(page);
        let to = payload_end.min(page.saturating_add(PAGE_SIZE));
        let expected = if from < to {
            (from - page, to - from)
        } else {
            (0, 0)
        };
        assert!(
            n == 0 || expected.1 > 0,
            "page {n} of {got:?} has no payload"
        );
        assert_eq!(got.piece(n), expected, "{n} of {got:?}");
    }
    assert_eq!(got.piece(got.used).1, 0, "{got:?}");
}
