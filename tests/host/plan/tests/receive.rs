// SPDX-License-Identifier: GPL-2.0

//! Where received bytes go: the layouts of known drivers and senders by name, and any that
//! there can be, against `invariants::receive`.

use proptest::prelude::*;
use zcio_plan::invariants::receive::{check, possible, what_is_taken_fits, Laid};
use zcio_plan::plan::ownership::fact;
use zcio_plan::plan::queue::Seg;

/// Miri is a thousand times slower.
const CASES: u32 = if cfg!(miri) { 16 } else { 3000 };

/// Bytes in a page of its own, with one reference.
fn page(number: u64, offset: usize, len: usize) -> Seg {
    Seg {
        folio: number,
        page: number,
        offset,
        len,
        bits: 0,
        refs: 1,
        starts: false,
    }
}

/// Bytes in the folio of eight pages that begins with page `folio`.
fn compound(folio: u64, offset: usize, len: usize, refs: i32) -> Seg {
    Seg {
        folio,
        page: folio + (offset / 4096) as u64,
        offset: offset % 4096,
        len,
        bits: 0,
        refs,
        starts: false,
    }
}

fn linear(len: usize) -> Seg {
    Seg {
        len,
        bits: fact::LINEAR,
        ..Seg::default()
    }
}

fn with(bits: u32, refs: i32, seg: Seg) -> Seg {
    Seg {
        bits: seg.bits | bits,
        refs,
        ..seg
    }
}

fn starting(seg: Seg) -> Seg {
    Seg {
        starts: true,
        ..seg
    }
}

fn lay<'s>(room: &[usize], segs: &'s [Seg], writable: bool) -> Laid<'s> {
    assert!(possible(segs));
    check(room, usize::MAX, segs, writable)
}

/// The payloads: region, offset, length, mapped bytes.
fn payloads(room: &[usize], segs: &[Seg]) -> Vec<(usize, usize, usize, usize)> {
    let laid = lay(room, segs, false);
    let all = laid.payloads.iter();
    all.map(|p| (p.region, p.offset, p.len, p.mapped)).collect()
}

#[test]
fn e1000e_with_9000_splits_a_frame_into_pages() {
    let frame = [page(1, 0, 4096), page(2, 0, 4096), page(3, 0, 756)];
    assert_eq!(payloads(&[16], &frame), [(0, 0, 8948, 8948)]);
    let next = [page(4, 0, 4096), page(5, 0, 756)];
    let both = [&frame[..], &next].concat();
    assert_eq!(
        payloads(&[16, 16], &both),
        [(0, 0, 8948, 8948), (1, 0, 4852, 4852)]
    );
    assert_eq!(payloads(&[16], &both), [(0, 0, 8948, 8948)]);
}

/// The third page holds the end of one frame and the beginning of the next.
#[test]
fn virtio_net_with_9000_shares_a_page_between_two_frames() {
    let pp = |seg, refs| with(fact::PAGE_POOL, refs, seg);
    let frames = [
        pp(page(1, 78, 4018), 1),
        pp(page(2, 0, 4096), 1),
        pp(page(3, 0, 834), 2),
        pp(page(3, 1614, 2482), 2),
        pp(page(4, 0, 4096), 1),
        pp(page(5, 0, 2370), 1),
    ];
    assert_eq!(
        payloads(&[16, 16], &frames),
        [(0, 78, 8948, 8948), (0, 8192 + 1614, 8948, 8948)]
    );
    // Where only the first frame has come, its last page is not ours alone.
    assert_eq!(payloads(&[16], &frames[..3]), [(0, 78, 8948, 8114)]);
}

#[test]
fn virtio_net_with_1500_has_two_frames_in_a_page() {
    let pp = |seg| with(fact::PAGE_POOL, 2, seg);
    let frames = [pp(page(1, 78, 1448)), pp(page(1, 1614, 1448))];
    assert_eq!(
        payloads(&[16, 16], &frames),
        [(0, 78, 1448, 1448), (0, 1614, 1448, 1448)]
    );
    // With one element there is no telling of two payloads.
    assert_eq!(payloads(&[16], &frames), [(0, 0, 2896, 0)]);
}

#[test]
fn vmxnet3_with_9000_begins_beside_the_headers() {
    let frame = [linear(3006), page(1, 0, 4096), page(2, 0, 1846)];
    assert_eq!(payloads(&[16, 16], &frame), [(0, 4096 - 3006, 8948, 5942)]);
    // A payload that began before ends in the middle of a page: the others go behind it.
    assert_eq!(
        payloads(&[16, 16], &[page(9, 0, 100), frame[0], frame[1]]),
        [(0, 0, 3106, 100), (1, 0, 4096, 4096)]
    );
}

/// A frame's header, or a first part of any size, ends where its page begins.
#[test]
fn what_is_beside_the_headers_joins_the_page_behind() {
    let next = page(1, 0, 1000);
    for len in [14, 4096, 5000, 8192] {
        let offset = (4096 - len % 4096) % 4096;
        let both = [starting(linear(len)), next];
        assert_eq!(payloads(&[4], &both), [(0, offset, len + 1000, 1000)]);
    }
    // No page behind it, not its first byte, another datagram; or all of it is to be copied.
    let at_0 = (0, 0, 14, 0);
    assert_eq!(payloads(&[4], &[linear(14)]), [at_0]);
    assert_eq!(payloads(&[4, 4], &[linear(14), page(1, 8, 50)])[0], at_0);
    assert_eq!(payloads(&[4, 4], &[linear(14), starting(next)])[0], at_0);
    let crowded = |seg| with(fact::CROWDED, 1, seg);
    let copies = [linear(14), next].map(crowded);
    assert_eq!(payloads(&[4], &copies), [(0, 0, 1014, 0)]);
}

/// A bulk sender on veth or loopback: 32 KiB at a time, cut into packets anywhere.
#[test]
fn a_page_cut_into_two_packets_is_whole_again() {
    let cut = [compound(8, 0, 10_000, 2), compound(8, 10_000, 22_768, 2)];
    assert_eq!(payloads(&[16], &cut), [(0, 0, 32_768, 32_768)]);
    // The retransmit queue shares the skbs: whole pages can still be shown.
    let cloned = cut.map(|seg| with(fact::CLONED, 2, seg));
    assert_eq!(payloads(&[16], &cloned), [(0, 0, 32_768, 32_768)]);
}

/// The sender still fills the folio, or somebody else has it: nothing is certain.
#[test]
fn a_folio_that_others_hold_is_copied() {
    let seg = [compound(8, 0, 32_768, 2)];
    assert_eq!(payloads(&[16], &seg), [(0, 0, 32_768, 0)]);
    let ours = with(fact::OURS, 2, page(1, 0, 4096));
    assert_eq!(payloads(&[16], &[ours]), [(0, 0, 4096, 4096)]);
}

#[test]
fn whole_pages_join_across_frames() {
    let pages = [page(7, 0, 4096), page(3, 0, 4096), page(5, 0, 4096)];
    assert_eq!(payloads(&[16], &pages), [(0, 0, 12_288, 12_288)]);
}

#[test]
fn a_region_that_is_full_hands_over_to_the_next() {
    let pages: Vec<_> = (1..5).map(|n| page(n, 0, 4096)).collect();
    assert_eq!(
        payloads(&[2, 1, 3], &pages),
        [(0, 0, 8192, 8192), (1, 0, 4096, 4096), (2, 0, 4096, 4096)]
    );
}

#[test]
fn copied_bytes_fill_up_an_owned_page_but_not_a_shown_one() {
    let part = [page(1, 100, 200), linear(50)];
    assert_eq!(payloads(&[2], &part), [(0, 100, 250, 200)]);
    let shown = with(fact::CLONED, 1, page(1, 0, 4096));
    assert_eq!(payloads(&[2], &[shown, linear(50)]), [(0, 0, 4146, 4096)]);
    assert_eq!(
        payloads(&[1, 1], &[shown, linear(50)]),
        [(0, 0, 4096, 4096), (1, 0, 50, 0)]
    );
}

#[test]
fn copied_bytes_go_on_in_the_page_behind() {
    let segs = [page(1, 4000, 90), linear(10), linear(4096)];
    assert_eq!(payloads(&[2], &segs), [(0, 4000, 4192, 90)]);
}

#[test]
fn what_does_not_fit_is_left() {
    assert_eq!(lay(&[1], &[linear(5000)], false).placed, 4096);
    assert_eq!(lay(&[1], &[page(1, 8, 8), page(2, 8, 8)], false).placed, 8);
    assert_eq!(lay(&[], &[linear(1)], false).placed, 0);
    let pages: Vec<_> = (1..9).map(|n| page(n, 0, 4096)).collect();
    assert_eq!(check(&[9], 3, &pages, false).placed, 3 * 4096);
}

/// A page whose bytes come in another order than they lie is not mapped in parts.
#[test]
fn a_page_in_the_wrong_order_is_copied() {
    let swapped = [1614, 78].map(|at| with(fact::PAGE_POOL, 2, page(1, at, 1448)));
    assert_eq!(payloads(&[4, 4], &swapped), [(0, 0, 2896, 0)]);
}

/// Bytes behind an urgent mark are still to come: their page must not be zeroed.
#[test]
fn a_cut_page_is_copied() {
    let cut = with(fact::CUT, 1, page(1, 0, 100));
    assert_eq!(payloads(&[4], &[cut]), [(0, 0, 100, 0)]);
}

#[test]
fn a_writable_window_takes_only_what_nobody_else_has() {
    let cloned = [with(fact::CLONED, 1, page(1, 0, 4096))];
    assert_eq!(lay(&[1], &cloned, false).payloads[0].mapped, 4096);
    assert_eq!(lay(&[1], &cloned, true).payloads[0].mapped, 0);
    assert_eq!(lay(&[1], &[page(1, 5, 6)], true).payloads[0].mapped, 6);
    let small = with(fact::SMALL, 1, page(1, 5, 6));
    assert_eq!(lay(&[1], &[small], false).payloads[0].mapped, 0);
}

#[test]
fn datagrams_are_told_apart() {
    let pp = |seg| starting(with(fact::PAGE_POOL, 2, seg));
    // Two in one page, even if they touch; copies each in a region of their own.
    let touching = [pp(page(1, 0, 2048)), pp(page(1, 2048, 2048))];
    assert_eq!(
        payloads(&[1, 1], &touching),
        [(0, 0, 2048, 2048), (0, 2048, 2048, 2048)]
    );
    let copies = [starting(linear(10)), starting(linear(20)), linear(5)];
    assert_eq!(payloads(&[1, 1], &copies), [(0, 0, 10, 0), (1, 0, 25, 0)]);
}

#[test]
fn an_empty_datagram_is_a_payload() {
    let segs = [
        starting(linear(9)),
        starting(linear(0)),
        starting(linear(7)),
    ];
    assert_eq!(
        payloads(&[1, 1, 1], &segs),
        [(0, 0, 9, 0), (1, 0, 0, 0), (2, 0, 7, 0)]
    );
}

/// A folio of up to four pages with bytes of the queue in it, and bits and references of
/// which most are good ones.
fn any_folio() -> impl Strategy<Value = Vec<Seg>> {
    let cuts = prop::collection::vec(
        prop_oneof![(0usize..4 * 4096), (0usize..5).prop_map(|p| p * 4096)],
        2..9,
    );
    let bits = prop_oneof![
        6 => Just(0),
        2 => Just(fact::PAGE_POOL),
        2 => Just(fact::CLONED),
        1 => Just(fact::FOLIO_MAPPED),
        1 => Just(fact::OURS),
        1 => Just(fact::SMALL),
        1 => Just(fact::CUT),
        1 => prop::sample::select(vec![
            fact::SHARED_FRAG, fact::ZEROCOPY, fact::ANON, fact::FILE, fact::TYPED, fact::MAPPED,
        ]),
    ];
    (cuts, bits, 0i32..2, any::<u8>(), any::<u8>()).prop_map(
        |(mut cuts, bits, more, holes, swap)| {
            cuts.sort_unstable();
            cuts.dedup();
            let mut segs: Vec<Seg> = Vec::new();
            for (i, ends) in cuts.windows(2).enumerate() {
                if holes & (1 << i) == 0 || i == 0 {
                    segs.push(compound(0, ends[0], ends[1] - ends[0], 0));
                }
            }
            if swap < 32 && segs.len() > 1 {
                segs.swap(0, 1);
            }
            // The last one alone can be cut, and reference counts are mostly the true ones.
            let refs = segs.len() as i32 + i32::from(holes % 3 == 0) * more;
            let last = segs.len();
            for (i, seg) in segs.iter_mut().enumerate() {
                seg.refs = refs;
                if bits != fact::CUT || i + 1 == last {
                    seg.bits |= bits;
                }
            }
            segs
        },
    )
}

/// Folios and linear data; sometimes what is left of a folio that others read before.
fn any_queue() -> impl Strategy<Value = Vec<Seg>> {
    let item = prop_oneof![
        5 => any_folio(),
        1 => (1usize..3 * 4096).prop_map(|len| vec![linear(len)]),
        3 => Just(vec![compound(0, 0, 4096, 1)]),
    ];
    prop::collection::vec(item, 0..8).prop_map(|items| {
        let number = |(i, segs): (usize, Vec<Seg>)| {
            let base = 16 * (i as u64 + 1);
            segs.into_iter().map(move |seg| Seg {
                folio: base,
                page: base + seg.page,
                ..seg
            })
        };
        items.into_iter().enumerate().flat_map(number).collect()
    })
}

/// The same as datagrams, some of them in several segments, some of them empty.
fn any_datagrams() -> impl Strategy<Value = Vec<Seg>> {
    (any_queue(), any::<u32>(), any::<u32>()).prop_map(|(segs, starts, empty)| {
        let mut all = Vec::new();
        for (i, seg) in segs.into_iter().enumerate() {
            if (empty >> (i % 32)) & 7 == 0 {
                all.push(starting(linear(0)));
            }
            let starts = all.is_empty() || (starts >> (i % 32)) & 1 == 0;
            let starts = starts || all.last().is_some_and(|last| last.len == 0);
            all.push(Seg { starts, ..seg });
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_queue_in_any_regions(
        room in prop::collection::vec(1usize..6, 0..12),
        segs in any_queue(),
        writable in any::<bool>(),
        most in prop_oneof![3 => Just(usize::MAX), 1 => 0usize..12],
    ) {
        prop_assert!(possible(&segs));
        check(&room, most, &segs, writable);
    }

    #[test]
    fn any_datagrams_in_any_regions(
        room in prop::collection::vec(1usize..6, 0..24),
        segs in any_datagrams(),
        writable in any::<bool>(),
    ) {
        prop_assert!(possible(&segs));
        check(&room, usize::MAX, &segs, writable);
    }

    #[test]
    fn datagrams_that_are_taken_fit(
        room in prop::collection::vec(1usize..6, 1..24),
        segs in any_datagrams(),
    ) {
        what_is_taken_fits(&room, &segs);
    }

    /// With a large region and many elements nothing is left.
    #[test]
    fn with_room_enough_nothing_is_left(segs in any_queue(), writable in any::<bool>()) {
        let room = vec![100; 8 * segs.len()];
        prop_assert!(check(&room, usize::MAX, &segs, writable).all);
    }

    /// One page in each region is room enough for at least one byte: a call gets on.
    #[test]
    fn something_is_always_placed(segs in any_queue(), writable in any::<bool>()) {
        let laid = check(&[1], usize::MAX, &segs, writable);
        prop_assert!(laid.placed > 0 || segs.is_empty());
    }
}
