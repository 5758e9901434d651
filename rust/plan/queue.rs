// SPDX-License-Identifier: GPL-2.0

//! Reading a receive queue page by page.
//!
//! A queue hands out segments: runs of bytes in one frag. A page can hold bytes of several
//! of them: of frames that a driver wrote behind each other, or of a sender's page that
//! was cut into two packets. Whether a page may be shown or zeroed depends on all of them
//! together, so segments are taken by folio (a [`run`] of them), and cut into [`Group`]s:
//! what follows each other in the queue *and* in one page. Pages that one segment alone fills
//! are judged together.

use super::ownership::{fact, judge, Facts, Verdict};
use super::PAGE_SIZE;

/// Bytes that lie in one frag, or beside the headers of an skb. None at all: an empty
/// datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seg {
    /// Number of the folio's first page.
    pub folio: u64,
    /// Number of the page that holds the first byte.
    pub page: u64,
    /// Where in that page it begins.
    pub offset: usize,
    /// How many; they may go on in the pages behind.
    pub len: usize,
    /// `fact::*` bits.
    pub bits: u32,
    /// References to the folio that the kernel's own code holds.
    pub refs: i32,
    /// A datagram begins here, so a payload must.
    pub starts: bool,
}

impl Seg {
    pub(super) fn linear(&self) -> bool {
        self.bits & fact::LINEAR != 0
    }

    /// Whether it has bytes in one of so many pages from `page` on.
    fn touches(&self, page: u64, pages: usize) -> bool {
        let last = self.page + ((self.offset + self.len).saturating_sub(1) / PAGE_SIZE) as u64;
        self.page < page + pages as u64 && page <= last
    }
}

/// Whether `next` belongs to the same run as the segment before it: the same folio.
pub fn joins(last: &Seg, next: &Seg) -> bool {
    let paged = |seg: &Seg| !seg.linear() && seg.len > 0;
    paged(last) && paged(next) && last.folio == next.folio
}

/// The most payloads that a datagram can become in regions of `pages` pages and more: any
/// page may be one of its own, next to others that must be copied.
pub fn most_payloads(segs: impl Iterator<Item = Seg>, pages: usize) -> usize {
    let payloads = segs.map(|seg| {
        let spans = (seg.offset + seg.len).div_ceil(PAGE_SIZE);
        spans.div_ceil(if seg.linear() { pages.max(1) } else { 1 })
    });
    payloads.sum::<usize>().max(1)
}

/// Most segments that a run has: more are not taken together.
pub const MAX_RUN: usize = 128;

/// Bytes that lie in one page and follow each other in the queue, at rising offsets; or
/// those of several pages that follow each other, all of them one segment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Index of the first segment in the run.
    pub first: usize,
    /// Its first byte that is meant.
    pub at: usize,
    /// How many segments have bytes here.
    pub count: usize,
    /// How many pages; more than one only if they are `whole` and of one segment.
    pub pages: usize,
    /// Whether all bytes of the page are here, without a gap.
    pub whole: bool,
    /// What may be done with the page.
    pub verdict: Verdict,
}

/// The bytes of one segment in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the segment in the run.
    pub seg: usize,
    /// First byte in the segment.
    pub at: usize,
    /// Where it lies in its page.
    pub offset: usize,
    /// How many bytes, not 0. Those of linear data, and of a group of several pages, are
    /// more than a page's.
    pub len: usize,
    /// A datagram begins here.
    pub starts: bool,
}

/// What segment `seg` has from byte `at` on in the page that holds it.
fn part(run: &[Seg], seg: usize, at: usize) -> Option<Part> {
    let s = run.get(seg)?;
    let left = s.len.checked_sub(at).filter(|&left| left > 0)?;
    let (offset, len) = if s.linear() {
        (0, left)
    } else {
        let offset = (s.offset + at) % PAGE_SIZE;
        (offset, left.min(PAGE_SIZE - offset))
    };
    Some(Part {
        seg,
        at,
        offset,
        len,
        starts: s.starts && at == 0,
    })
}

impl Group {
    /// The first of its parts.
    pub(super) fn part(&self, run: &[Seg]) -> Option<Part> {
        let part = part(run, self.first, self.at)?;
        Some(Part {
            len: part.len + (self.pages - 1) * PAGE_SIZE,
            ..part
        })
    }

    /// Its parts, in the order of the queue.
    pub fn parts<'s>(&self, run: &'s [Seg]) -> impl Iterator<Item = Part> + Clone + 's {
        let Self {
            first,
            at,
            count,
            pages,
            ..
        } = *self;
        (first..first + count).filter_map(move |seg| {
            let part = part(run, seg, if seg == first { at } else { 0 })?;
            Some(Part {
                len: part.len + (pages - 1) * PAGE_SIZE,
                ..part
            })
        })
    }
}

/// The groups of a run, in the order of the queue.
pub struct Groups<'s> {
    run: &'s [Seg],
    writable: bool,
    /// The most that any segment saw of what is the folio's: they were looked at one after
    /// the other.
    refs: i32,
    mapped: u32,
    seg: usize,
    at: usize,
}

/// The group of a run that is one segment in one page.
pub(super) fn alone(run: &[Seg], writable: bool) -> Option<Group> {
    let [seg] = run else {
        return None;
    };
    let end = seg.offset + seg.len;
    if seg.linear() || seg.len == 0 || end > PAGE_SIZE {
        return None;
    }
    let facts = Facts {
        bits: seg.bits,
        refs: seg.refs,
        frags: 1,
        inside: true,
    };
    let whole = seg.len == PAGE_SIZE;
    Some(Group {
        first: 0,
        at: 0,
        count: 1,
        pages: 1,
        whole,
        verdict: judge(facts, whole, writable),
    })
}

/// Cuts a run into groups and judges each, for windows that user space can write to
/// (`writable`) or not.
pub fn groups(run: &[Seg], writable: bool) -> Groups<'_> {
    Groups {
        run,
        writable,
        refs: run.iter().map(|seg| seg.refs).max().unwrap_or(i32::MAX),
        mapped: run
            .iter()
            .fold(0, |bits, seg| bits | seg.bits & fact::FOLIO_MAPPED),
        seg: 0,
        at: 0,
    }
}

impl Iterator for Groups<'_> {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        let first = part(self.run, self.seg, self.at)?;
        let head = self.run.get(first.seg)?;
        let page = head.page + ((head.offset + first.at) / PAGE_SIZE) as u64;

        let mut bits = head.bits | self.mapped;
        let mut end = first.offset + first.len;
        let mut gaps = first.offset > 0;
        let mut count = 1;
        let mut last = first;
        // The segment's bytes end here: the page may go on in the next one.
        while last.at + last.len == self.run.get(last.seg).map_or(0, |s| s.len) {
            let next = last.seg + 1;
            let Some((seg, part)) = self.run.get(next).zip(part(self.run, next, 0)) else {
                break;
            };
            if !joins(head, seg) || seg.page != page || part.offset < end {
                break;
            }
            bits |= seg.bits;
            gaps |= part.offset > end;
            end = part.offset + part.len;
            count += 1;
            last = part;
        }
        let whole = !head.linear() && !gaps && end == PAGE_SIZE;
        let touching = |pages| self.run.iter().filter(|s| s.touches(page, pages)).count();
        // What holds of this page holds of those behind it that the segment fills as well,
        // if it alone has bytes there.
        let mut pages = 1;
        if whole && count == 1 {
            pages = (head.len.saturating_sub(first.at) / PAGE_SIZE).max(1);
            if pages > 1 && touching(pages) > 1 {
                pages = 1;
            }
        }
        let behind = last.at + last.len + (pages - 1) * PAGE_SIZE;
        (self.seg, self.at) = match self.run.get(last.seg) {
            Some(s) if behind < s.len => (last.seg, behind),
            _ => (last.seg + 1, 0),
        };

        let facts = Facts {
            bits,
            refs: self.refs,
            frags: self.run.len(),
            inside: touching(pages) == count,
        };
        Some(Group {
            first: first.seg,
            at: first.at,
            count,
            pages,
            whole,
            verdict: judge(facts, whole, self.writable),
        })
    }
}
