// SPDX-License-Identifier: GPL-2.0

//! Ranges of addresses, areas and batches: edges by name, and any numbers there are, against
//! `invariants::ranges` and `invariants::transmit`.

use proptest::prelude::*;
use zcio_plan::invariants::ranges::{self as invariants, overlap_in};
use zcio_plan::invariants::transmit;
use zcio_plan::plan::area::{check, Rooms};
use zcio_plan::plan::span::{check_region, find_overlap, Span};
use zcio_plan::plan::transmit::{fate, Fate};
use zcio_plan::plan::PAGE_SIZE;

/// Miri is a thousand times slower.
const CASES: u32 = if cfg!(miri) { 6 } else { 4000 };
const MOST: usize = if cfg!(miri) { 20 } else { 1024 };

fn span(base: usize, len: usize) -> Span {
    Span { base, len }
}

/// Any number, often one near zero, a page boundary or the end of the address space.
fn any_number() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..4 * PAGE_SIZE,
        (0usize..20, 0usize..4).prop_map(|(pages, more)| pages * PAGE_SIZE + more),
        (1usize..20, 0usize..4).prop_map(|(pages, less)| pages * PAGE_SIZE - less),
        (0usize..4 * PAGE_SIZE).prop_map(|less| usize::MAX - less),
        (0usize..20).prop_map(|pages| pages.wrapping_neg().wrapping_mul(PAGE_SIZE)),
        any::<usize>(),
    ]
}

fn any_span() -> impl Strategy<Value = Span> {
    (any_number(), any_number()).prop_map(|(base, len)| span(base, len))
}

#[test]
fn regions_at_the_end_of_the_address_space() {
    let last = usize::MAX - PAGE_SIZE + 1;
    assert_eq!(span(last, PAGE_SIZE - 1).whole_pages(), Some((last, 0)));
    assert_eq!(span(last, PAGE_SIZE).whole_pages(), None);
    assert_eq!(span(last + 1, 10).whole_pages(), None);
    assert_eq!(
        span(last - PAGE_SIZE, PAGE_SIZE).whole_pages(),
        Some((last - PAGE_SIZE, 1))
    );
    assert_eq!(
        check_region(&span(last - PAGE_SIZE, PAGE_SIZE), PAGE_SIZE),
        Some((last - PAGE_SIZE, 1))
    );
    assert_eq!(check_region(&span(usize::MAX, usize::MAX), 1), None);
    assert_eq!(check_region(&span(usize::MAX, 0), 0), None);
    assert_eq!(check_region(&span(0, usize::MAX), usize::MAX), None);
}

#[test]
fn ranges_of_32_bits_wrap_as_they_do_there() {
    let last = u32::MAX - PAGE_SIZE as u32 + 1;
    for (base, len, good) in [
        (0, 0, true),
        (0, u32::MAX, true),
        (last, PAGE_SIZE as u32 - 1, true),
        (last, PAGE_SIZE as u32, false),
        (last, 2 * PAGE_SIZE as u32, false),
        (1, u32::MAX, false),
        (u32::MAX, u32::MAX, false),
    ] {
        let wide = Span::of_32_bits(base, len);
        assert_eq!(wide.base, base as usize);
        let end = good.then(|| base as usize + len as usize);
        assert_eq!(wide.end(), end, "{base:#x} and {len:#x} bytes");
    }
}

#[test]
fn a_region_needs_whole_pages() {
    for (base, len, pages) in [
        (0x4000, 4096, Some((0x4000, 1))),
        (0x4001, 4096, None),
        (0x4001, 8190, None),
        (0x4001, 8191, Some((0x5000, 1))),
        (0x4fff, 4097, Some((0x5000, 1))),
        (0x4fff, 4096, None),
        (0x4000, 0xa000, Some((0x4000, 10))),
        (0x4000, 4095, None),
        (0x4000, 0, None),
    ] {
        assert_eq!(
            check_region(&span(base, len), PAGE_SIZE),
            pages,
            "{base:#x} + {len}"
        );
        assert_eq!(
            check_region(&span(base, len), 0),
            pages,
            "one page at least"
        );
    }
    assert_eq!(check_region(&span(0, 8192), 4097), Some((0, 2)));
    assert_eq!(check_region(&span(0, 8192), 8193), None);
}

#[test]
fn neighbours_do_not_overlap_and_the_same_does() {
    let three = [span(0, 4096), span(4096, 4096), span(8192, 1)];
    assert_eq!(overlap_in(&three), None);
    let reverse = [three[2], three[1], three[0]];
    assert_eq!(overlap_in(&reverse), None);
    let touching = [span(8191, 2), span(0, 4096), span(8192, 1)];
    assert!(matches!(overlap_in(&touching), Some(0 | 2)));
    assert_eq!(overlap_in(&[three[0], three[0]]), Some(1));
    assert_eq!(overlap_in(&three[..1]), None);
    assert_eq!(overlap_in(&[]), None);
}

/// Without room to sort, the call fails; in rising order none is needed.
#[test]
fn no_scratch_is_an_error_only_where_it_is_needed() {
    let none = |_| Err::<Vec<u16>, _>("no memory");
    assert_eq!(find_overlap(&[span(0, 1), span(1, 1)], none), Ok(None));
    assert_eq!(
        find_overlap(&[span(1, 1), span(0, 1)], none),
        Err("no memory")
    );
}

/// A span that holds others is found, though its neighbour in order is another one's.
#[test]
fn one_inside_another() {
    let spans = [span(100, 10), span(50, 10), span(0, 1000), span(20, 5)];
    assert!(overlap_in(&spans).is_some());
}

/// What wraps around must not come here; if it did, it would not pass.
#[test]
fn a_range_that_wraps_overlaps() {
    let wraps = span(usize::MAX - 5, 100);
    assert!(overlap_in(&[span(0, 10), wraps, span(usize::MAX - 1, 1)]).is_some());
    assert!(overlap_in(&[wraps, span(usize::MAX - 1, 1), span(0, 10)]).is_some());
}

/// Up to 1024 ranges of whole pages in any order: what the module is given.
fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let few = prop::collection::vec((0usize..300, 1usize..12), 0..14);
    let many = prop::collection::vec((0usize..40_000, 1usize..3), 0..60);
    prop_oneof![few, many].prop_map(|list| {
        list.iter()
            .map(|(at, pages)| span(at * 512, pages * 512))
            .collect()
    })
}

/// Ranges that follow each other, some with gaps, in any order: none overlap.
fn apart() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec((0usize..3, 1usize..5), 0..MOST).prop_map(|list| {
        let mut at = 0;
        let step = |(gap, len): &(usize, usize)| {
            let s = span(at + gap * 4096, len * 4096);
            at = s.base + s.len;
            s
        };
        list.iter().map(step).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn ends_and_whole_pages(s in any_span(), min in any_number()) {
        invariants::region(&s, min);
    }

    #[test]
    fn contains_is_what_it_says(a in any_span(), b in any_span()) {
        invariants::contains(&a, &b);
    }

    #[test]
    fn overlaps_as_found_by_comparing_all_pairs(spans in any_spans()) {
        invariants::overlap(&spans);
    }

    #[test]
    fn an_overlap_is_found_wherever_it_is(
        (spans, moved) in apart().prop_flat_map(|s| (Just(s.clone()).prop_shuffle(), Just(s.len()))),
        (from, to) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        prop_assert_eq!(overlap_in(&spans), None);
        if moved < 2 {
            return Ok(());
        }
        let (from, to) = (from.index(moved), to.index(moved));
        if from != to {
            let mut spans = spans;
            spans[from] = span(spans[to].base + spans[to].len - 1, 1);
            prop_assert!(overlap_in(&spans).is_some());
        }
    }

    /// A pair passes if and only if each single condition holds, and its pieces are the
    /// payload's bytes.
    #[test]
    fn areas_pass_as_their_conditions_say(
        (area, payload) in prop_oneof![(any_span(), any_span()), small_pair()],
        head in prop_oneof![0usize..200, any_number()],
        tail in prop_oneof![0usize..200, any_number()],
    ) {
        invariants::area(&area, &payload, Rooms { head, tail });
    }

    /// So do those with a head, which lies in one page before the payload.
    #[test]
    fn heads_lie_in_one_page(
        (area, payload) in prop_oneof![(any_span(), any_span()), small_pair()],
        tail in 0usize..200,
        size in 1usize..1024,
    ) {
        invariants::headed_area(&area, &payload, tail, size.next_multiple_of(64));
    }

    /// Pages by what went of them: whole ones, at most one in part, then none.
    #[test]
    fn fates_add_up(lens in prop::collection::vec(1usize..5000, 1..20), share in 0.0f64..=1.0) {
        let all: usize = lens.iter().sum();
        let sent = (all as f64 * share) as usize;
        transmit::fates_add_up(&lens, sent);
    }

    /// Whatever the socket takes, each byte is either gone, in order, or still there.
    #[test]
    fn what_went_and_what_stays_is_all(
        pairs in prop::collection::vec(small_pair(), 1..8),
        most in 0usize..20,
        share in 0.0f64..=1.0,
    ) {
        let areas: Vec<_> = pairs.iter().filter_map(|(a, p)| check(a, p, Rooms::default())).collect();
        let all: usize = areas.iter().map(|a| a.len).sum();
        transmit::send(&areas, most, (all as f64 * share) as usize);
    }

    /// As many payloads as fit, at least one, and never one more.
    #[test]
    fn batches_are_as_large_as_they_can_be(
        pages in prop::collection::vec(prop_oneof![1usize..40, Just(usize::MAX)], 0..40),
        most in 0usize..200,
    ) {
        transmit::batch_is_largest(&pages, most);
    }
}

/// Areas of a few pages, and payloads that often lie inside them and touch their ends.
fn small_pair() -> impl Strategy<Value = (Span, Span)> {
    let edge = || {
        prop_oneof![
            0usize..9 * PAGE_SIZE,
            (0usize..9).prop_map(|pages| pages * PAGE_SIZE),
            (1usize..9).prop_map(|pages| pages * PAGE_SIZE - 1),
            (0usize..9).prop_map(|pages| pages * PAGE_SIZE + 1),
        ]
    };
    (1usize..4, 1usize..9, edge(), edge()).prop_map(|(first, pages, a, b)| {
        let area = span(first * PAGE_SIZE, pages * PAGE_SIZE);
        (area, span(area.base + a.min(b), a.max(b) - a.min(b)))
    })
}

#[test]
fn fates_at_the_edges() {
    assert_eq!(fate(4096, 4096), Fate::Gone);
    assert_eq!(fate(4096, 9999), Fate::Gone);
    assert_eq!(fate(4096, 4095), Fate::Split(4095));
    assert_eq!(fate(4096, 1), Fate::Split(1));
    assert_eq!(fate(4096, 0), Fate::Back);
}
