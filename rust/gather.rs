// SPDX-License-Identifier: GPL-2.0

//! What a receiving call takes off a queue: pages to map and bytes to copy, decided and
//! prepared, with nothing consumed and nothing shown yet.

use crate::context::Moved;
use crate::ground::page::{OwnedPage, PageList, PageRef, Run as Pages};
use crate::ground::skb::Segment;
use crate::ground::socket::Bytes;
use crate::plan::lay::{lay, Sink};
use crate::plan::ownership::Why;
use crate::plan::queue::{self, Part, Seg};
use crate::plan::receive::Planner;
use crate::plan::PAGE_SIZE;
use crate::region::Region;
use crate::spares::Spares;
use core::ops::Range;
use kernel::prelude::*;

/// Most pages that one call places; what is behind them waits for the next call.
pub(crate) const MAX_PAGES: usize = 1 << 14;

/// How many segments or payloads a list has room for at first. It grows where there are more:
/// what is allocated is also cleared, on most kernels, and most calls need little.
const AT_FIRST: usize = 8;

/// A segment that comes next.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'q> {
    /// Its bytes.
    segment: Segment<'q>,
    /// Number of the datagram it belongs to; 0 in a stream.
    datagram: u32,
    /// `fact::*` bits that the queue does not know of.
    also: u32,
    /// It begins its datagram.
    starts: bool,
}

impl<'q> Incoming<'q> {
    /// One of datagram number `datagram` (0 in a stream), which it begins (`starts`) or does
    /// not; `also` are `fact::*` bits that the queue does not know of.
    pub(crate) fn new(segment: Segment<'q>, datagram: u32, starts: bool, also: u32) -> Self {
        Self {
            segment,
            datagram,
            also,
            starts,
        }
    }

    /// The same, with more bits.
    pub(crate) fn with(mut self, bits: u32) -> Self {
        self.also |= bits;
        self
    }

    /// What the planning is to know of it.
    fn seen(&self) -> Seg {
        let seen = self.segment.seen();
        Seg {
            bits: seen.bits | self.also,
            starts: self.starts,
            ..seen
        }
    }
}

/// One payload: where its bytes lie.
pub(crate) struct Placed {
    /// Index of the region.
    pub(crate) region: usize,
    /// First byte in it.
    pub(crate) offset: usize,
    /// Number of its datagram.
    pub(crate) datagram: u32,
    /// How many were mapped, how many copied.
    pub(crate) moved: Moved,
}

/// What one call takes off the queue, ready to be mapped.
pub(crate) struct Batch<'q> {
    /// To be mapped: the queue's, and new ones with copied bytes.
    pages: PageList<'q>,
    /// For each region in use, which of them are its pages, from its first page on.
    regions: KVVec<Range<usize>>,
    /// In the order of the queue; regions rise.
    pub(crate) payloads: KVVec<Placed>,
    /// Nothing was left over for want of room.
    pub(crate) all: bool,
    /// Where the bytes end in the last page, if what is behind them is still another
    /// payload's.
    stale: Option<usize>,
}

impl<'q> Batch<'q> {
    fn with_capacity(pages: usize, regions: usize) -> Result<Self> {
        Ok(Self {
            pages: PageList::with_capacity(pages)?,
            regions: KVVec::with_capacity(regions.min(AT_FIRST), GFP_KERNEL)?,
            payloads: KVVec::with_capacity(regions.min(AT_FIRST), GFP_KERNEL)?,
            all: true,
            stale: None,
        })
    }

    /// Lays what comes into regions of so many pages: decides, zeroes, copies. `guess` is
    /// how many pages it may be. Copies go into `spares`, as far as these reach: after an error,
    /// the regions have something of both. EFAULT if nothing could be laid: device memory,
    /// which the CPU cannot read.
    pub(crate) fn gather(
        mut incoming: impl Iterator<Item = Incoming<'q>>,
        regions: &[Region],
        guess: usize,
        writable: bool,
        spares: &mut Spares<'_>,
    ) -> Result<Self> {
        let most = regions
            .iter()
            .map(|r| r.pages)
            .sum::<usize>()
            .min(MAX_PAGES);
        let guess = guess.min(most);
        let mut batch = Self::with_capacity(guess, regions.len())?;
        let mut planner = Planner::new(regions, MAX_PAGES);
        let mut run = Run::new()?;
        let mut first = incoming.next();
        while let Some(segment) = first {
            run.restart(segment)?;
            let next = loop {
                first = incoming.next();
                let Some(behind) = &first else {
                    break None;
                };
                let seen = behind.seen();
                if !run.takes(&seen) {
                    break Some(seen);
                }
                run.push(*behind, seen)?;
            };
            let mut adding = Adding {
                batch: &mut batch,
                run: &run,
                spares,
                guess,
            };
            if !lay(
                &mut planner,
                &run.seen,
                next.as_ref(),
                writable,
                &mut adding,
            )? {
                batch.all = false;
                break;
            }
        }
        batch.finish()
    }

    /// Copies bytes, at most so many, to the regions one after the other: those of a call that
    /// has few of them. EFAULT as above.
    pub(crate) fn copy(
        mut from: Bytes<'q>,
        most: usize,
        regions: &[Region],
        spares: &mut Spares<'_>,
    ) -> Result<Self> {
        let pages = most.div_ceil(PAGE_SIZE).min(MAX_PAGES);
        let mut batch = Self::with_capacity(pages, regions.len())?;
        let mut left = most.min(pages * PAGE_SIZE);
        for (number, region) in regions.iter().enumerate() {
            let mut moved = Moved::default();
            for _ in 0..region.pages {
                let want = left.min(PAGE_SIZE);
                if want == 0 {
                    break;
                }
                let page = batch.fresh(number, spares, pages)?;
                let len = from.copy(page, want)?;
                batch.stale = batch.stale.map(|_| len);
                moved.copied[Why::Small as usize] += len as u64;
                // Less than was wanted: behind it comes device memory.
                left = if len < want { 0 } else { left - len };
            }
            if moved.bytes() == 0 {
                break;
            }
            let placed = Placed {
                region: number,
                offset: 0,
                datagram: 0,
                moved,
            };
            batch.payloads.push(placed, GFP_KERNEL)?;
        }
        batch.finish()
    }

    /// The pages to map into a region, from its first on; `None` behind the last one in use.
    pub(crate) fn of_region(&self, region: usize) -> Option<Pages<'_>> {
        self.pages.run(self.regions.get(region)?.clone())
    }

    /// What was moved in all.
    pub(crate) fn moved(&self) -> Moved {
        let mut sum = Moved::default();
        for placed in &self.payloads {
            sum.add(&placed.moved);
        }
        sum
    }

    fn finish(mut self) -> Result<Self> {
        if self.payloads.is_empty() {
            return Err(EFAULT);
        }
        self.end_page();
        Ok(self)
    }

    /// The next page of a region, to be written to: of `guess` pages in all. One that was there
    /// is stale up to where it is written to.
    fn fresh(
        &mut self,
        region: usize,
        spares: &mut Spares<'_>,
        guess: usize,
    ) -> Result<PageRef<'_>> {
        self.end_page();
        let left = guess.saturating_sub(self.pages.len());
        let range = self.region(region)?;
        let number = range.len();
        range.end += 1;
        match spares.take(region, number, left) {
            Some(page) => {
                self.stale = Some(0);
                self.pages.push_in_place(page)?;
            }
            None => self.pages.push_owned(OwnedPage::to_receive()?)?,
        }
        self.pages.last().ok_or(EINVAL)
    }

    /// Nothing more comes into the last page.
    fn end_page(&mut self) {
        if let Some((end, page)) = self.stale.take().zip(self.pages.last()) {
            page.zero(end, PAGE_SIZE.saturating_sub(end));
        }
    }

    /// The pages of a region, which is the last one in use or the next.
    fn region(&mut self, region: usize) -> Result<&mut Range<usize>> {
        let at = self.pages.len();
        if region == self.regions.len() {
            self.regions.push(at..at, GFP_KERNEL)?;
        }
        self.regions.last_mut().ok_or(EINVAL)
    }
}

/// A batch, while the segments of a run are added to it.
struct Adding<'b, 'q, 'r> {
    batch: &'b mut Batch<'q>,
    run: &'b Run<'q>,
    spares: &'b mut Spares<'r>,
    /// How many pages it may be in all.
    guess: usize,
}

impl<'q> Adding<'_, 'q, '_> {
    fn incoming(&self, seg: usize) -> Result<&Incoming<'q>> {
        self.run.incoming.get(seg).ok_or(EINVAL)
    }

    /// The payload that was begun last.
    fn last(&mut self) -> Result<&mut Moved> {
        let placed = self.batch.payloads.last_mut().ok_or(EINVAL)?;
        Ok(&mut placed.moved)
    }
}

impl Sink for Adding<'_, '_, '_> {
    type Error = Error;

    fn map(&mut self, region: usize, part: &Part, pages: usize) -> Result {
        let segment = &self.run.incoming.get(part.seg).ok_or(EINVAL)?.segment;
        self.batch.end_page();
        self.batch.region(region)?.end += pages;
        for page in 0..pages {
            let page = segment.page(part.at + page * PAGE_SIZE).ok_or(EINVAL)?;
            self.batch.pages.push(page)?;
        }
        Ok(())
    }

    fn zero(&mut self, offset: usize, len: usize) {
        if let Some(page) = self.batch.pages.last() {
            page.zero(offset, len);
        }
    }

    fn fresh(&mut self, region: usize) -> Result {
        self.batch.fresh(region, self.spares, self.guess).map(drop)
    }

    fn begin(&mut self, region: usize, offset: usize, seg: usize) -> Result {
        let placed = Placed {
            region,
            offset,
            datagram: self.incoming(seg)?.datagram,
            moved: Moved::default(),
        };
        self.batch.region(region)?;
        Ok(self.batch.payloads.push(placed, GFP_KERNEL)?)
    }

    fn mapped(&mut self, len: usize) -> Result {
        self.last()?.mapped += len as u64;
        Ok(())
    }

    fn copied(&mut self, part: &Part, offset: usize, why: Why) -> Result {
        let to = self.batch.pages.last().ok_or(EINVAL)?;
        let from = &self.incoming(part.seg)?.segment;
        from.copy(part.at, to, offset, part.len)?;
        if let Some(end) = self.batch.stale {
            // What begins a payload may begin anywhere.
            to.zero(end, offset.saturating_sub(end));
            self.batch.stale = Some(offset + part.len);
        }
        if let Some(copied) = self.last()?.copied.get_mut(why as usize) {
            *copied += part.len as u64;
        }
        Ok(())
    }
}

/// Segments that follow each other in the queue and lie in one folio.
struct Run<'q> {
    incoming: KVVec<Incoming<'q>>,
    /// The same, for the planning.
    seen: KVVec<Seg>,
}

impl<'q> Run<'q> {
    fn new() -> Result<Self> {
        Ok(Self {
            incoming: KVVec::with_capacity(AT_FIRST, GFP_KERNEL)?,
            seen: KVVec::with_capacity(AT_FIRST, GFP_KERNEL)?,
        })
    }

    fn restart(&mut self, first: Incoming<'q>) -> Result {
        self.incoming.clear();
        self.seen.clear();
        self.push(first, first.seen())
    }

    fn push(&mut self, next: Incoming<'q>, seen: Seg) -> Result {
        self.seen.push(seen, GFP_KERNEL)?;
        Ok(self.incoming.push(next, GFP_KERNEL)?)
    }

    /// Whether the next segment belongs to the run.
    fn takes(&self, next: &Seg) -> bool {
        self.seen.len() < queue::MAX_RUN
            && self
                .seen
                .last()
                .is_some_and(|last| queue::joins(last, next))
    }
}
