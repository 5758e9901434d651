// SPDX-License-Identifier: GPL-2.0

//! What a receiving call takes off a queue: pages to map and bytes to copy, decided and
//! prepared, with nothing consumed and nothing shown yet.

use crate::context::Moved;
use crate::ground::page::{OwnedPage, PageList, Run as Pages};
use crate::ground::skb::Segment;
use crate::plan::lay::{lay, Sink};
use crate::plan::ownership::Why;
use crate::plan::queue::{self, Part, Seg};
use crate::plan::receive::Planner;
use crate::plan::PAGE_SIZE;
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
    /// What the planning is to know of it.
    seen: Seg,
    /// Number of the datagram it belongs to; 0 in a stream.
    datagram: usize,
}

impl<'q> Incoming<'q> {
    /// One of datagram number `datagram` (0 in a stream), which it begins (`starts`) or does
    /// not; `also` are `fact::*` bits that the queue does not know of.
    pub(crate) fn new(segment: Segment<'q>, datagram: usize, starts: bool, also: u32) -> Self {
        let seen = segment.seen();
        let seen = Seg {
            bits: seen.bits | also,
            starts,
            ..seen
        };
        Self {
            segment,
            seen,
            datagram,
        }
    }

    /// The same, with more bits.
    pub(crate) fn with(mut self, bits: u32) -> Self {
        self.seen.bits |= bits;
        self
    }
}

/// One payload: where its bytes lie.
pub(crate) struct Placed {
    /// Index of the region.
    pub(crate) region: usize,
    /// First byte in it.
    pub(crate) offset: usize,
    /// Number of its datagram.
    pub(crate) datagram: usize,
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
    /// Lays what comes into regions of so many pages: decides, zeroes, copies. `guess` is
    /// how many pages it may be. Copies go into `spares`, as far as these reach: after an error,
    /// the regions have something of both. EFAULT if nothing could be laid: device memory,
    /// which the CPU cannot read.
    pub(crate) fn gather(
        incoming: impl Iterator<Item = Incoming<'q>>,
        room: &[usize],
        guess: usize,
        writable: bool,
        spares: &mut Spares<'_>,
    ) -> Result<Self> {
        let most = room.iter().sum::<usize>().min(MAX_PAGES);
        let guess = guess.min(most);
        let mut batch = Batch {
            pages: PageList::with_capacity(guess)?,
            regions: KVVec::with_capacity(room.len().min(AT_FIRST), GFP_KERNEL)?,
            payloads: KVVec::with_capacity(room.len().min(AT_FIRST), GFP_KERNEL)?,
            all: true,
            stale: None,
        };
        let mut planner = Planner::new(room, MAX_PAGES);
        let mut incoming = incoming.peekable();
        let mut run = Run::new()?;
        while let Some(first) = incoming.next() {
            run.restart(first)?;
            while run.seen.len() < queue::MAX_RUN {
                let Some(next) = incoming.next_if(|next| run.joins(next)) else {
                    break;
                };
                run.push(next)?;
            }
            let next = incoming.peek().map(|next| next.seen);
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
        if batch.payloads.is_empty() {
            return Err(EFAULT);
        }
        batch.end_page();
        Ok(batch)
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
        let segment = self.incoming(part.seg)?.segment;
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
        self.batch.end_page();
        let left = self.guess.saturating_sub(self.batch.pages.len());
        let range = self.batch.region(region)?;
        let number = range.len();
        range.end += 1;
        let Some(page) = self.spares.take(region, number, left) else {
            return self.batch.pages.push_owned(OwnedPage::to_receive()?);
        };
        self.batch.stale = Some(0);
        self.batch.pages.push_in_place(page)
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
        self.push(first)
    }

    fn push(&mut self, next: Incoming<'q>) -> Result {
        self.seen.push(next.seen, GFP_KERNEL)?;
        Ok(self.incoming.push(next, GFP_KERNEL)?)
    }

    fn joins(&self, next: &Incoming<'q>) -> bool {
        self.seen
            .last()
            .is_some_and(|last| queue::joins(last, &next.seen))
    }
}
