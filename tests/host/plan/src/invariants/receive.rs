// SPDX-License-Identifier: GPL-2.0

//! Where received bytes go. A queue is laid into regions as the module does it, over pages
//! that are full of other people's bytes, and what user space would then see is compared
//! with the stream, byte by byte. So are the queue's pages: what was not received must
//! still be there.

use super::std::{collections::BTreeMap, sync::OnceLock, vec, vec::Vec};
use crate::plan::lay::{lay, Sink};
use crate::plan::ownership::{fact, Why};
use crate::plan::queue::{joins, most_payloads, Part, Seg, MAX_RUN};
use crate::plan::receive::Planner;
use crate::plan::PAGE_SIZE;
use core::convert::Infallible;
use core::ops::Range;

/// Bytes that a test may send in all.
const LONGEST: usize = 1 << 22;
/// A prime number: no multiple of it is one of the page size before that long.
const PERIOD: usize = 10_007;
/// What lies around payload in a queued page, and must never be seen.
const FOREIGN: u8 = 0;
/// What a page of a region has where there is no payload.
const ZERO: u8 = 1;
const ZEROS: [u8; PAGE_SIZE] = [ZERO; PAGE_SIZE];

/// A part of the stream, whose bytes are 2 to 255.
fn stream(part: Range<usize>) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let byte = |at: usize| 2 + (at.wrapping_mul(2_654_435_761) >> 7) as u8 % 254;
    // Again and again the same, but never the same in two pages at the same place.
    let bytes = || (0..PERIOD).map(byte).collect::<Vec<_>>();
    &BYTES.get_or_init(|| bytes().repeat(LONGEST / PERIOD + 1))[part]
}

/// A payload, as user space would be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its region.
    pub region: usize,
    /// Where it begins there.
    pub offset: usize,
    /// Its bytes.
    pub len: usize,
    /// How many of them were mapped.
    pub mapped: usize,
}

/// A page of a region.
enum Page {
    /// The queue's page of this number.
    Queue(u64),
    /// A new one.
    Fresh(Vec<u8>),
}

/// What came of a call.
pub struct Laid<'s> {
    segs: &'s [Seg],
    writable: bool,
    /// Bytes of the queue's pages.
    memory: BTreeMap<u64, Vec<u8>>,
    /// The pages of each region, from the first on.
    pages: Vec<Vec<Page>>,
    room: Vec<usize>,
    /// Index of the run's first segment, for the one that is being laid.
    run: usize,
    /// What user space would be told.
    pub payloads: Vec<Payload>,
    /// Bytes placed in all.
    pub placed: usize,
    /// All of the queue was placed.
    pub all: bool,
}

fn linear(seg: &Seg) -> bool {
    seg.bits & fact::LINEAR != 0
}

/// The bytes of a segment, page by page: number of the page and where in it.
fn places(seg: &Seg) -> impl Iterator<Item = (u64, Range<usize>)> {
    let (seg, end) = (*seg, seg.offset + seg.len);
    let pages = if linear(&seg) {
        0
    } else {
        end.div_ceil(PAGE_SIZE)
    };
    (seg.offset / PAGE_SIZE..pages).map(move |page| {
        let first = seg.offset.max(page * PAGE_SIZE);
        let last = end.min((page + 1) * PAGE_SIZE);
        let inside = first - page * PAGE_SIZE..last - page * PAGE_SIZE;
        (seg.page + page as u64, inside)
    })
}

/// Whether segments are as frags can be: no two claim one byte of memory, each holds a
/// reference to its folio, and an empty one is a datagram of its own.
pub fn possible(segs: &[Seg]) -> bool {
    let mut taken: BTreeMap<u64, Vec<Range<usize>>> = BTreeMap::new();
    let apart = |(page, here): (u64, Range<usize>)| {
        let others = taken.entry(page).or_default();
        let free = others
            .iter()
            .all(|o| o.end <= here.start || here.end <= o.start);
        others.push(here);
        free
    };
    let empty = |seg: &Seg| seg.len == 0 && !(seg.starts && linear(seg));
    let mut frags: BTreeMap<u64, i32> = BTreeMap::new();
    for seg in segs.iter().filter(|seg| !linear(seg)) {
        *frags.entry(seg.folio).or_default() += 1;
    }
    let held = |seg: &Seg| linear(seg) || seg.refs >= frags[&seg.folio];
    segs.iter().flat_map(places).all(apart)
        && segs
            .iter()
            .all(|seg| seg.offset < PAGE_SIZE && held(seg) && !empty(seg))
        && segs
            .windows(2)
            .all(|pair| pair[0].len > 0 || pair[1].starts)
        && segs.iter().map(|seg| seg.len).sum::<usize>() <= LONGEST
}

/// Lays a queue into regions of `room` pages, with at most `most` pages in all, for windows
/// that user space can write to or not, and checks each step and the outcome. The segments
/// must be [`possible`].
pub fn check<'s>(room: &[usize], most: usize, segs: &'s [Seg], writable: bool) -> Laid<'s> {
    let mut laid = Laid {
        segs,
        writable,
        memory: BTreeMap::new(),
        pages: room.iter().map(|_| Vec::new()).collect(),
        room: room.to_vec(),
        run: 0,
        payloads: Vec::new(),
        placed: 0,
        all: true,
    };
    let mut at = 0;
    for seg in segs {
        for (page, here) in places(seg) {
            let foreign = || vec![FOREIGN; PAGE_SIZE];
            let page = laid.memory.entry(page).or_insert_with(foreign);
            page[here.clone()].copy_from_slice(stream(at..at + here.len()));
            at += here.len();
        }
        at += if linear(seg) { seg.len } else { 0 };
    }

    let mut planner = Planner::new(room, most);
    let mut rest = segs;
    while let Some(first) = rest.first() {
        let more = rest[1..].iter().take(MAX_RUN - 1);
        let len = 1 + more.take_while(|next| joins(first, next)).count();
        let (run, behind) = rest.split_at(len);
        let Ok(done) = lay(&mut planner, run, behind.first(), writable, &mut laid);
        laid.run += len;
        rest = behind;
        if !done {
            laid.all = false;
            break;
        }
    }
    laid.outcome(most);
    laid
}

/// Datagrams of which the module would say that they certainly have room have it.
pub fn what_is_taken_fits(room: &[usize], segs: &[Seg]) {
    let starts = |seg: &Seg| seg.starts;
    let smallest = room.iter().copied().min().unwrap_or(1);
    let mut left = room.len();
    let mut taken = 0;
    for datagram in segs.chunk_by(|_, next| !starts(next)) {
        let needed = most_payloads(datagram.iter().copied(), smallest);
        if needed > left {
            break;
        }
        left -= needed;
        taken += datagram.len();
    }
    let most = segs[..taken].chunk_by(|_, next| !starts(next));
    let most = most
        .map(|datagram| most_payloads(datagram.iter().copied(), 1))
        .sum();
    for writable in [false, true] {
        assert!(check(room, most, &segs[..taken], writable).all);
    }
}

impl Laid<'_> {
    /// Nobody but this queue has the page: its other bytes may be zeroed, and user space may
    /// write to it.
    fn sole(&self, page: u64) -> bool {
        let on_page = |seg: &&Seg| places(seg).any(|(number, _)| number == page);
        let folio = self.segs.iter().find(on_page).map(|seg| seg.folio);
        let in_folio = |seg: &&Seg| !linear(seg) && Some(seg.folio) == folio;
        let frags = self.segs.iter().filter(in_folio);
        let others = fact::CLONED | fact::FOLIO_MAPPED | super::ownership::NEVER;
        let count = frags.clone().count();
        frags.clone().all(|seg| seg.refs as usize <= count)
            && self
                .segs
                .iter()
                .filter(on_page)
                .all(|seg| seg.bits & others == 0)
    }

    /// User space sees the stream and zeros; what was not received is where it was.
    fn outcome(&self, most: usize) {
        let seen = self.pages.iter().map(|pages| {
            let bytes = pages.iter().map(|page| match page {
                Page::Queue(number) => &self.memory[number][..],
                Page::Fresh(bytes) => &bytes[..],
            });
            bytes.collect::<Vec<_>>().concat()
        });
        let mut seen: Vec<Vec<u8>> = seen.collect();
        assert!(self.pages.iter().map(Vec::len).sum::<usize>() <= most);
        assert!(
            self.payloads.len() <= self.room.len(),
            "more payloads than elements"
        );
        assert!(self.payloads.is_sorted_by_key(|p| (p.region, p.offset)));
        let mut at = 0;
        for payload in &self.payloads {
            let inside = payload.offset..payload.offset + payload.len;
            let bytes = &mut seen[payload.region][inside];
            assert!(
                *bytes == *stream(at..at + payload.len),
                "{payload:?} is not the stream from byte {at}"
            );
            bytes.fill(ZERO);
            at += payload.len;
        }
        assert_eq!(at, self.placed);
        let strange = |page: &[u8]| *page != ZEROS[..];
        let strange = |bytes: &Vec<u8>| bytes.chunks(PAGE_SIZE).any(strange);
        let region = seen.iter().position(strange);
        assert_eq!(region, None, "a region has a byte that is nobody's to see");

        self.boundaries();
        let mut at = 0;
        for seg in self.segs {
            for (page, here) in places(seg) {
                let kept = self.memory[&page][here.clone()] == *stream(at..at + here.len());
                assert!(kept || at < self.placed, "byte {at} is lost");
                at += here.len();
            }
            at += if linear(seg) { seg.len } else { 0 };
        }
        assert!(self.all || at > self.placed || self.segs.last().is_some_and(|s| s.len == 0));
        assert!(!self.all || at == self.placed);
    }

    /// A payload lies in one datagram, and has bytes unless that has none.
    fn boundaries(&self) {
        let mut payloads = self.payloads.iter();
        for datagram in self.segs.chunk_by(|_, next| !next.starts) {
            let mut left: usize = datagram.iter().map(|seg| seg.len).sum();
            loop {
                let Some(payload) = payloads.next() else {
                    return;
                };
                assert_eq!(payload.len == 0, left == 0, "an empty payload");
                assert!(payload.len <= left, "a datagram is not told apart");
                left -= payload.len;
                if left == 0 {
                    break;
                }
            }
        }
        assert_eq!(payloads.next(), None);
    }

    /// The page that came last.
    fn last(&mut self) -> &mut Page {
        let pages = self.pages.iter_mut().rfind(|pages| !pages.is_empty());
        pages
            .and_then(|pages| pages.last_mut())
            .expect("a page comes first")
    }

    fn push(&mut self, region: usize, page: Page) {
        assert!(
            self.pages[region + 1..].iter().all(Vec::is_empty),
            "a page of a region that was left"
        );
        assert!(
            self.pages[region].len() < self.room[region],
            "the region is full"
        );
        self.pages[region].push(page);
    }

    /// Bytes of the payload that was begun last.
    fn more(&mut self, len: usize, mapped: usize) {
        let payload = self.payloads.last_mut().expect("a payload begins first");
        payload.len += len;
        payload.mapped += mapped;
        self.placed += len;
    }
}

impl Sink for Laid<'_> {
    type Error = Infallible;

    fn map(&mut self, region: usize, part: &Part, pages: usize) -> Result<(), Infallible> {
        let seg = &self.segs[self.run + part.seg];
        assert_eq!(
            seg.bits & super::ownership::NEVER,
            0,
            "must never be mapped"
        );
        let first = seg.page + ((seg.offset + part.at) / PAGE_SIZE) as u64;
        for page in first..first + pages as u64 {
            assert!(!self.writable || self.sole(page), "others have the page");
            self.push(region, Page::Queue(page));
        }
        Ok(())
    }

    fn zero(&mut self, offset: usize, len: usize) {
        assert!(len > 0 && offset + len <= PAGE_SIZE);
        let Page::Queue(page) = *self.last() else {
            panic!("a fresh page needs no zeroing");
        };
        assert!(self.sole(page), "others have the page");
        self.memory.get_mut(&page).unwrap()[offset..offset + len].fill(ZERO);
    }

    fn fresh(&mut self, region: usize) -> Result<(), Infallible> {
        self.push(region, Page::Fresh(vec![ZERO; PAGE_SIZE]));
        Ok(())
    }

    fn begin(&mut self, region: usize, offset: usize, seg: usize) -> Result<(), Infallible> {
        let before: usize = self.segs[..self.run + seg].iter().map(|s| s.len).sum();
        let inside = before..before + self.segs[self.run + seg].len.max(1);
        assert!(inside.contains(&self.placed), "begins with another segment");
        let last = self.payloads.last();
        let used = last.map_or(0, |last| last.region + 1);
        assert!(region == used || region + 1 == used, "a region is left out");
        self.payloads.push(Payload {
            region,
            offset,
            len: 0,
            mapped: 0,
        });
        Ok(())
    }

    fn mapped(&mut self, len: usize) -> Result<(), Infallible> {
        self.more(len, len);
        Ok(())
    }

    fn copied(&mut self, part: &Part, offset: usize, why: Why) -> Result<(), Infallible> {
        let seg = self.segs[self.run + part.seg];
        // All of a page that holds small datagrams' bytes is copied.
        let small = |seg: &Seg| seg.bits & fact::SMALL != 0;
        assert!(!small(&seg) || why == Why::Small);
        assert!(why != Why::Small || self.segs[self.run..].iter().any(small));
        let before = self.segs[..self.run + part.seg].iter();
        let at = before.map(|seg| seg.len).sum::<usize>() + part.at;
        assert_eq!(at, self.placed, "not the next bytes of the stream");
        let to = match self.last() {
            Page::Fresh(page) => page,
            Page::Queue(page) => {
                let page = *page;
                assert!(self.sole(page), "a page that others have is written to");
                self.memory.get_mut(&page).unwrap()
            }
        };
        let to = &mut to[offset..offset + part.len];
        assert!(*to == ZEROS[..part.len], "something is overwritten");
        to.copy_from_slice(stream(at..at + part.len));
        self.more(part.len, 0);
        Ok(())
    }
}
