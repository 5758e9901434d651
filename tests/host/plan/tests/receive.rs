// SPDX-License-Identifier: GPL-2.0

//! Where received bytes go. `receive::Planner` is driven as the module drives it, over
//! pages that are full of other people's bytes, and the regions that come out of it are
//! compared with the stream, byte by byte.

use proptest::prelude::*;
use zcio_plan::plan::ownership::{Verdict, Why};
use zcio_plan::plan::receive::{Piece, Planner, Step};
use zcio_plan::plan::PAGE_SIZE;

/// What lies around payload in a queued page, and must never be seen.
const FOREIGN: u8 = 0;
/// What a page of a region has where there is no payload.
const ZERO: u8 = 1;
/// Bytes of the stream are 2 to 255.
fn stream(at: usize) -> u8 {
    2 + (at.wrapping_mul(2_654_435_761) >> 7) as u8 % 254
}

/// A page of a region: its bytes, and whether bytes may be added to it.
struct Page {
    bytes: Vec<u8>,
    may_add: bool,
}

/// A payload, as user space would be told.
#[derive(Debug)]
struct Payload {
    offset: usize,
    len: usize,
}

/// The regions after a call, in the order of the array.
struct Regions {
    /// Whole pages of each.
    room: Vec<usize>,
    /// The pages that are in, from the first of the region on.
    pages: Vec<Vec<Page>>,
    payloads: Vec<Payload>,
    /// Bytes placed in all.
    placed: usize,
    /// Where it stopped: the piece that did not go in, and how much of it was left.
    full: Option<(usize, usize)>,
}

impl Regions {
    /// Lays `pieces` into regions of `room` pages, and checks each step.
    fn lay(room: &[usize], pieces: &[Piece]) -> Self {
        let mut this = Regions {
            room: room.to_vec(),
            pages: room.iter().map(|_| Vec::new()).collect(),
            payloads: Vec::new(),
            placed: 0,
            full: None,
        };
        let mut planner = Planner::new(room);
        for (i, piece) in pieces.iter().enumerate() {
            let mut left = *piece;
            while left.len > 0 {
                let could_join = this.could_join(&left);
                match planner.place(&left) {
                    Step::Full => {
                        assert!(!could_join, "piece {i} could have continued the payload");
                        assert_eq!(this.payloads.len(), room.len(), "there is a region left");
                        this.full = Some((i, left.len));
                        return this;
                    }
                    step => {
                        let n = this.take(step, &left, could_join);
                        left.len -= n;
                        left.offset += n;
                    }
                }
            }
        }
        this
    }

    /// Whether a piece can continue the last payload.
    fn could_join(&self, piece: &Piece) -> bool {
        let Some(last) = self.payloads.last() else { return false };
        let region = self.payloads.len() - 1;
        let used = self.pages[region].len();
        let end = last.offset + last.len;
        let copy = matches!(piece.verdict, Verdict::Copy(_));
        if end % PAGE_SIZE != 0 {
            return copy && self.pages[region][used - 1].may_add;
        }
        used < self.room[region] && (copy || piece.offset == 0)
    }

    /// Does what `step` says; returns how many bytes of the piece that was.
    fn take(&mut self, step: Step, piece: &Piece, could_join: bool) -> usize {
        let (region, page, at, len, begins) = match step {
            Step::Map { region, page, begins } => {
                assert!(!matches!(piece.verdict, Verdict::Copy(_)), "a page to be copied is mapped");
                (region, page, piece.offset, piece.len, begins)
            }
            Step::Fill { region, page, offset, len, begins, why, .. } => {
                assert_eq!(piece.verdict, Verdict::Copy(why), "not the reason that was given");
                assert_eq!(len, piece.len.min(PAGE_SIZE - offset), "the page has room for more");
                (region, page, offset, len, begins)
            }
            Step::Full => unreachable!(),
        };
        assert!(len > 0 && at + len <= PAGE_SIZE, "{len} bytes at {at} of a page");
        assert!(len <= piece.len);
        // The module counts on it: payload `i` lies in region `i`.
        assert_eq!(begins, !could_join, "payloads begin only where none can go on");
        if begins {
            self.payloads.push(Payload { offset: at, len: 0 });
        }
        assert_eq!(region, self.payloads.len() - 1, "a payload is in the region of its own");
        assert!(page < self.room[region], "page {page} is behind the region");

        let pages = &mut self.pages[region];
        let payload = self.payloads.last_mut().expect("a payload begins first");
        // The module counts on it: each new page follows the one before, from the first on.
        match step {
            Step::Map { .. } => {
                assert_eq!(page, pages.len(), "a page is used twice, or left out");
                let around = if piece.verdict == Verdict::Owned { ZERO } else { FOREIGN };
                pages.push(Page {
                    bytes: vec![around; PAGE_SIZE],
                    may_add: piece.verdict == Verdict::Owned,
                });
            }
            Step::Fill { fresh: true, .. } => {
                assert_eq!(page, pages.len(), "a page is used twice, or left out");
                pages.push(Page { bytes: vec![ZERO; PAGE_SIZE], may_add: true });
            }
            _ => {
                assert_eq!(page + 1, pages.len(), "only the last page can be filled up");
                assert!(pages[page].may_add, "a page that others read is written to");
            }
        }
        assert_eq!(payload.offset + payload.len, page * PAGE_SIZE + at, "a gap in the payload");
        let to = &mut pages[page].bytes[at..at + len];
        for (i, byte) in to.iter_mut().enumerate() {
            assert!(*byte <= ZERO, "a byte of payload is overwritten");
            *byte = stream(self.placed + i);
        }
        payload.len += len;
        self.placed += len;
        if matches!(step, Step::Map { .. }) {
            assert_eq!(len, piece.len, "a mapped piece is done at once");
        }
        len
    }

    /// Compares what user space would see with the stream.
    fn check(&self, pieces: &[Piece]) {
        let mut at = 0;
        for (region, payload) in self.payloads.iter().enumerate() {
            let seen: Vec<u8> = self.pages[region].iter().flat_map(|p| p.bytes.clone()).collect();
            let inside = payload.offset..payload.offset + payload.len;
            assert!(payload.len > 0 && payload.offset < PAGE_SIZE);
            assert!(seen.len() < inside.end + PAGE_SIZE, "a page without payload");
            for (i, byte) in seen.iter().enumerate() {
                if inside.contains(&i) {
                    assert_eq!(*byte, stream(at), "byte {at} of the stream");
                    at += 1;
                } else {
                    assert_eq!(*byte, ZERO, "byte {i} of region {region} is nobody's to see");
                }
            }
        }
        let all: usize = pieces.iter().map(|p| p.len).sum();
        assert_eq!(at, self.placed);
        match self.full {
            None => assert_eq!(at, all),
            Some((piece, left)) => {
                let before: usize = pieces[..piece].iter().map(|p| p.len).sum();
                assert_eq!(at, before + pieces[piece].len - left, "not a prefix of the stream");
            }
        }
    }
}

fn owned(offset: usize, len: usize) -> Piece {
    Piece { offset, len, verdict: Verdict::Owned }
}

fn show() -> Piece {
    Piece { offset: 0, len: PAGE_SIZE, verdict: Verdict::Show }
}

fn copy(len: usize) -> Piece {
    Piece { offset: 0, len, verdict: Verdict::Copy(Why::Shared) }
}

/// The lengths of the payloads that come of it.
fn payloads(room: &[usize], pieces: &[Piece]) -> Vec<usize> {
    let regions = Regions::lay(room, pieces);
    regions.check(pieces);
    regions.payloads.iter().map(|p| p.len).collect()
}

/// The same where bytes around payload are seen, which is not the planner's to prevent.
fn payloads_only(room: &[usize], pieces: &[Piece]) -> Vec<usize> {
    Regions::lay(room, pieces).payloads.iter().map(|p| p.len).collect()
}

#[test]
fn a_split_frame_is_one_payload() {
    // e1000e, MTU 9000: two whole pages and a part.
    let frame = [owned(0, 4096), owned(0, 4096), owned(0, 756)];
    assert_eq!(payloads(&[16], &frame), [8948]);
}

#[test]
fn the_next_frame_begins_the_next_region() {
    let frames = [owned(0, 4096), owned(0, 756), owned(0, 4096), owned(0, 756)];
    assert_eq!(payloads(&[16, 16], &frames), [4852, 4852]);
    assert_eq!(payloads(&[16], &frames), [4852]);
}

#[test]
fn whole_pages_join_across_frames() {
    assert_eq!(payloads(&[16], &[show(), show(), owned(0, 4096), show()]), [4 * 4096]);
}

#[test]
fn a_region_that_is_full_hands_over_to_the_next() {
    assert_eq!(payloads(&[2, 1, 3], &[show(), show(), show(), show()]), [8192, 4096, 4096]);
}

#[test]
fn copied_bytes_fill_up_an_owned_page_but_not_a_shown_one() {
    assert_eq!(payloads(&[2], &[owned(100, 200), copy(50)]), [250]);
    assert_eq!(payloads(&[2], &[show(), copy(50)]), [4146]);
    assert_eq!(payloads(&[1, 1], &[show(), copy(50)]), [4096, 50]);
}

/// Shown pages are whole ones; if one were not, its rest would still be somebody else's.
#[test]
fn nothing_is_added_to_a_shown_page() {
    let part = Piece { offset: 0, len: 100, verdict: Verdict::Show };
    assert_eq!(payloads_only(&[2, 2], &[part, copy(50)]), [100, 50]);
}

#[test]
fn copied_bytes_go_on_in_the_page_behind() {
    let pieces = [owned(4000, 90), copy(10), copy(4096)];
    assert_eq!(payloads(&[2], &pieces), [4192]);
    let regions = Regions::lay(&[2], &pieces);
    assert_eq!((regions.payloads[0].offset, regions.pages[0].len()), (4000, 3 - 1));
}

#[test]
fn a_mapped_piece_keeps_its_offset() {
    let regions = Regions::lay(&[1, 1, 1], &[owned(78, 1448), owned(1614, 1448), owned(5, 1)]);
    let offsets: Vec<_> = regions.payloads.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, [78, 1614, 5]);
}

#[test]
fn what_does_not_fit_is_left() {
    let regions = Regions::lay(&[1], &[copy(5000)]);
    assert_eq!((regions.placed, regions.full), (4096, Some((0, 904))));
    let regions = Regions::lay(&[1], &[owned(8, 8), owned(8, 8)]);
    assert_eq!((regions.placed, regions.full), (8, Some((1, 8))));
    let regions = Regions::lay(&[], &[copy(1)]);
    assert_eq!((regions.placed, regions.full), (0, Some((0, 1))));
}

fn any_why() -> impl Strategy<Value = Why> {
    prop_oneof![
        Just(Why::Small),
        Just(Why::Linear),
        Just(Why::Shared),
        Just(Why::Cloned),
        Just(Why::Writable),
    ]
}

/// A part of a page, often one that touches its beginning or its end.
fn any_part() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        3 => (0..PAGE_SIZE).prop_flat_map(|at| (Just(at), 1..=PAGE_SIZE - at)),
        2 => (1..=PAGE_SIZE).prop_map(|len| (0, len)),
        2 => (0..PAGE_SIZE).prop_map(|at| (at, PAGE_SIZE - at)),
        1 => Just((0, PAGE_SIZE)),
    ]
}

/// Pieces as the module makes them: linear data can be longer than a page.
fn any_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        2 => Just(show()),
        4 => any_part().prop_map(|(offset, len)| owned(offset, len)),
        3 => (any_part(), any_why()).prop_map(|((offset, len), why)| Piece {
            offset,
            len,
            verdict: Verdict::Copy(why),
        }),
        1 => (1..4 * PAGE_SIZE).prop_map(|len| Piece {
            offset: 0,
            len,
            verdict: Verdict::Copy(Why::Linear),
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_pieces_in_any_regions(
        room in prop::collection::vec(1usize..6, 0..12),
        pieces in prop::collection::vec(any_piece(), 0..40),
    ) {
        Regions::lay(&room, &pieces).check(&pieces);
    }

    /// The same stream in one huge region per payload: all of it goes in.
    #[test]
    fn with_room_enough_nothing_is_left(pieces in prop::collection::vec(any_piece(), 0..20)) {
        let room = vec![100; pieces.len()];
        let regions = Regions::lay(&room, &pieces);
        prop_assert!(regions.full.is_none());
        regions.check(&pieces);
    }

    /// One page in each region is room enough for at least one byte of each.
    #[test]
    fn every_region_takes_a_payload(
        room in prop::collection::vec(1usize..3, 1..12),
        piece in any_piece(),
    ) {
        let pieces = vec![piece; 3 * room.len()];
        let regions = Regions::lay(&room, &pieces);
        prop_assert!(regions.full.is_none() || regions.payloads.len() == room.len());
        regions.check(&pieces);
    }

    /// Only whole pages and copies: one payload for each region, and each region is full.
    #[test]
    fn whole_pages_leave_no_gap(
        room in prop::collection::vec(1usize..5, 1..6),
        shown in prop::collection::vec(any::<bool>(), 40),
    ) {
        let pieces: Vec<_> = shown.iter().map(|s| if *s { show() } else { copy(PAGE_SIZE) }).collect();
        let regions = Regions::lay(&room, &pieces);
        regions.check(&pieces);
        let all: usize = room.iter().sum();
        prop_assert_eq!(regions.placed, all.min(40) * PAGE_SIZE);
    }
}
