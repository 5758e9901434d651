// SPDX-License-Identifier: GPL-2.0

//! `zc_readv`: from a socket's receive queue into windows.
//!
//! Under the socket lock: look at the queue without consuming, prepare every page,
//! put the pages into the windows, tell user space where the payloads lie; and only when
//! nothing can fail any more, consume exactly what was placed. Whatever fails before
//! that leaves the windows' regions empty and the queue as it was.

use crate::context::Moved;
use crate::ground::page::{OwnedPage, PageRef};
use crate::ground::socket::{Locked, Segment, Socket};
use crate::ground::uapi::{self, IoVec, Payload, Readv};
use crate::ground::vma::{self, Found};
use crate::plan::ownership::{judge, Verdict, Why};
use crate::plan::receive::{Piece, Planner, Step};
use crate::plan::span::{check_region, find_overlap, Span};
use crate::plan::PAGE_SIZE;
use crate::window::Window;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Bytes of whole pages that a region for TCP must have: a stream can be cut anywhere,
/// so one page always holds a payload.
pub(crate) const MIN_REGION: usize = PAGE_SIZE;

/// Most pages that one call places; what is behind them waits for the next call.
const MAX_PAGES: usize = 1 << 14;

/// The whole pages of a region.
#[derive(Clone, Copy)]
struct Region {
    first: usize,
    pages: usize,
}

impl Region {
    fn end(&self) -> usize {
        self.first + self.pages * PAGE_SIZE
    }
}

/// Runs the call. On an error, `args.error_index` says which element it is about.
pub(crate) fn readv(args: &mut Readv) -> Result<usize> {
    args.error_index = -1;
    let count = args.iovcnt as usize;
    if count == 0
        || args.iovcnt > uapi::MAX_ELEMENTS
        || args.flags & !uapi::DONTWAIT != 0
        || args.reserved != [0; 4]
    {
        return Err(EINVAL);
    }
    let iov = uapi::read_array::<IoVec>(args.iov as usize, count)?;
    let regions = check_regions(&iov, &mut args.error_index)?;
    // Both arrays must be writable before anything happens.
    uapi::write_array(args.iov as usize, &iov)?;
    if args.payloads != 0 {
        let none = KVVec::from_elem(Payload::default(), count, GFP_KERNEL)?;
        uapi::write_array(args.payloads as usize, &none)?;
    }

    let socket = Socket::from_fd(args.fd)?;
    let tcp = socket.tcp()?;
    tcp.check_connected()?;
    let target = find_windows(&regions, &mut args.error_index)?;
    tcp.check_receive()?;

    let mut locked = tcp.lock()?;
    let nonblock = args.flags & uapi::DONTWAIT != 0 || socket.nonblocking();
    let capacity = regions.iter().map(|r| r.pages * PAGE_SIZE).sum();
    let ready = locked.wait_data(capacity, nonblock)?;
    if ready == 0 {
        return Ok(0);
    }

    let (taken, payloads) = {
        let small = (ready as u64) < target.context.threshold();
        let batch = Batch::gather(&locked, &regions, target.writable, small, ready)?;
        batch.place(&regions)?;
        if let Err(e) = batch.report(args, &regions) {
            empty(&regions);
            return Err(e);
        }
        (batch.moved, batch.payloads.len())
    };
    locked.consume(taken.bytes() as usize);
    target.context.rx.count(payloads, &taken);
    Ok(payloads)
}

fn check_regions(iov: &[IoVec], error_index: &mut i32) -> Result<KVVec<Region>> {
    let mut spans = KVVec::with_capacity(iov.len(), GFP_KERNEL)?;
    let mut regions = KVVec::with_capacity(iov.len(), GFP_KERNEL)?;
    for (i, v) in iov.iter().enumerate() {
        let span = Span::from(*v);
        let Some((first, pages)) = check_region(&span, MIN_REGION) else {
            *error_index = i as i32;
            return Err(EINVAL);
        };
        spans.push(span, GFP_KERNEL)?;
        regions.push(Region { first, pages }, GFP_KERNEL)?;
    }
    let overlap = find_overlap(&spans, |n| KVVec::from_elem(0, n, GFP_KERNEL))?;
    if let Some(i) = overlap {
        *error_index = i as i32;
        return Err(EINVAL);
    }
    Ok(regions)
}

/// What the regions' windows have in common.
struct Target {
    context: Arc<crate::context::Context>,
    /// Any of them can be written to.
    writable: bool,
}

/// EFAULT for a region outside every window.
fn find_windows(regions: &[Region], error_index: &mut i32) -> Result<Target> {
    let task = kernel::current!();
    let mm = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    let mut target: Option<(Target, Found<'_, Window>)> = None;
    for (i, region) in regions.iter().enumerate() {
        let inside = |f: &Found<'_, Window>| f.contains(region.first, region.pages * PAGE_SIZE);
        // As a rule all regions lie in one window.
        if target.as_ref().is_some_and(|(_, last)| inside(last)) {
            continue;
        }
        let Some(found) = vma::find::<Window>(&mm, region.first).filter(inside) else {
            *error_index = i as i32;
            return Err(EFAULT);
        };
        let writable = found.may_be_written();
        target = Some(match target {
            Some((target, _)) => (
                Target {
                    writable: target.writable | writable,
                    ..target
                },
                found,
            ),
            None => (
                Target {
                    context: found.object().context.clone(),
                    writable,
                },
                found,
            ),
        });
    }
    target.map(|(target, _)| target).ok_or(EINVAL)
}

/// A page about to be mapped: the queue's, or a new one with copied bytes.
enum Source<'q> {
    Queue(PageRef<'q>),
    Copy(OwnedPage),
}

impl Source<'_> {
    fn page(&self) -> PageRef<'_> {
        match self {
            Source::Queue(page) => *page,
            Source::Copy(page) => page.borrow(),
        }
    }
}

/// One payload: its pages in the batch, and where its bytes lie in the region.
struct Placed {
    first_page: usize,
    pages: usize,
    offset: usize,
    moved: Moved,
}

/// What one call takes off the queue, ready to be mapped. Payload `i` goes to region `i`.
struct Batch<'q> {
    sources: KVVec<Source<'q>>,
    payloads: KVVec<Placed>,
    moved: Moved,
}

impl<'q> Batch<'q> {
    /// Lays what is queued into the regions: decides, zeroes, copies. Consumes nothing.
    fn gather(
        locked: &'q Locked<'_>,
        regions: &[Region],
        writable: bool,
        small: bool,
        ready: usize,
    ) -> Result<Self> {
        let mut pages = KVVec::with_capacity(regions.len(), GFP_KERNEL)?;
        for region in regions {
            pages.push(region.pages, GFP_KERNEL)?;
        }
        let room = pages.iter().sum::<usize>();
        let guess = (ready / PAGE_SIZE * 3 / 2 + 2).min(room).min(MAX_PAGES);
        let mut batch = Batch {
            sources: KVVec::with_capacity(guess, GFP_KERNEL)?,
            payloads: KVVec::with_capacity(regions.len(), GFP_KERNEL)?,
            moved: Moved::default(),
        };
        let mut planner = Planner::new(&pages);
        for segment in locked.queue() {
            if !batch.add(&mut planner, &segment, writable, small)? {
                break;
            }
        }
        for placed in &batch.payloads {
            batch.moved.add(&placed.moved);
        }
        if batch.payloads.is_empty() {
            // Device memory, which the CPU cannot read: what recvmsg() says.
            return Err(EFAULT);
        }
        Ok(batch)
    }

    /// Adds a segment, page by page; false when there is no room for all of it.
    fn add(
        &mut self,
        planner: &mut Planner<'_>,
        segment: &Segment<'q>,
        writable: bool,
        small: bool,
    ) -> Result<bool> {
        let mut at = 0;
        while at < segment.len() {
            let left = segment.len() - at;
            let page = segment.page(at);
            let (offset, len) = match page {
                Some(_) => {
                    let offset = (segment.offset() + at) % PAGE_SIZE;
                    (offset, left.min(PAGE_SIZE - offset))
                }
                None => (0, left),
            };
            let verdict = if small {
                Verdict::Copy(Why::Small)
            } else {
                judge(segment.facts(), len == PAGE_SIZE, writable)
            };
            if self.sources.len() >= MAX_PAGES {
                return Ok(false);
            }
            let piece = Piece {
                offset,
                len,
                verdict,
            };
            match (planner.place(&piece), page) {
                (Step::Map { begins, .. }, Some(page)) => {
                    if verdict == Verdict::Owned {
                        page.zero_around(offset, len);
                    }
                    self.begin(begins, offset)?;
                    self.push(Source::Queue(page))?;
                    self.last()?.mapped += len as u64;
                    at += len;
                }
                (
                    Step::Fill {
                        offset,
                        len,
                        fresh,
                        begins,
                        why,
                        ..
                    },
                    _,
                ) => {
                    self.begin(begins, offset)?;
                    if fresh {
                        self.push(Source::Copy(OwnedPage::to_receive()?))?;
                    }
                    let to = self.sources.last().ok_or(EINVAL)?.page();
                    segment.copy(at, to, offset, len)?;
                    self.last()?.copied[why as usize] += len as u64;
                    at += len;
                }
                (Step::Full, _) | (Step::Map { .. }, None) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn begin(&mut self, begins: bool, offset: usize) -> Result {
        if begins {
            let placed = Placed {
                first_page: self.sources.len(),
                pages: 0,
                offset,
                moved: Moved::default(),
            };
            self.payloads.push(placed, GFP_KERNEL)?;
        }
        Ok(())
    }

    fn push(&mut self, source: Source<'q>) -> Result {
        self.sources.push(source, GFP_KERNEL)?;
        if let Some(placed) = self.payloads.last_mut() {
            placed.pages += 1;
        }
        Ok(())
    }

    fn last(&mut self) -> Result<&mut Moved> {
        Ok(&mut self.payloads.last_mut().ok_or(EINVAL)?.moved)
    }

    /// Empties all the regions and maps the payloads' pages; on an error they are empty.
    fn place(&self, regions: &[Region]) -> Result {
        let mut pages = KVVec::with_capacity(self.sources.len(), GFP_KERNEL)?;
        for source in &self.sources {
            pages.push(source.page(), GFP_KERNEL)?;
        }
        let runs = |i: usize| {
            let placed = self.payloads.get(i)?;
            pages.get(placed.first_page..placed.first_page + placed.pages)
        };
        let result = put_all(regions, runs);
        if result.is_err() {
            empty(regions);
        }
        result
    }

    /// Tells user space where the payloads lie.
    fn report(&self, args: &Readv, regions: &[Region]) -> Result {
        let count = self.payloads.len();
        if args.payloads != 0 {
            let mut info = KVVec::with_capacity(count, GFP_KERNEL)?;
            for placed in &self.payloads {
                info.push(placed.moved.report(), GFP_KERNEL)?;
            }
            uapi::write_array(args.payloads as usize, &info)?;
        }
        let mut iov = KVVec::with_capacity(count, GFP_KERNEL)?;
        for (region, placed) in regions.iter().zip(&self.payloads) {
            let place = IoVec {
                base: region.first + placed.offset,
                len: placed.moved.bytes() as usize,
            };
            iov.push(place, GFP_KERNEL)?;
        }
        uapi::write_array(args.iov as usize, &iov)
    }
}

/// Empties regions and puts in the pages that `runs` gives for each of them, with one
/// zap for every stretch of regions that follow each other.
fn put_all<'p>(regions: &[Region], runs: impl Fn(usize) -> Option<&'p [PageRef<'p>]>) -> Result {
    let task = kernel::current!();
    let mm = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    let mut next = 0;
    while let Some((first, others)) = regions.get(next..).and_then(|r| r.split_first()) {
        let found = vma::find::<Window>(&mm, first.first)
            .filter(|f| f.contains(first.first, first.pages * PAGE_SIZE))
            .ok_or(EFAULT)?;
        let mut end = first.end();
        let mut count = 1;
        for other in others {
            if other.first != end || !found.contains(end, other.pages * PAGE_SIZE) {
                break;
            }
            end = other.end();
            count += 1;
        }
        let stretch = found.index(first.first)..found.index(end);
        let puts = regions.iter().enumerate().skip(next).take(count);
        let puts = puts.filter_map(|(i, region)| Some((found.index(region.first), runs(i)?)));
        found.object().put(&found, stretch, puts)?;
        next += count;
    }
    Ok(())
}

/// Empties regions after a failure; what is not a window any more needs no emptying.
fn empty(regions: &[Region]) {
    for region in regions {
        let _ = put_all(core::slice::from_ref(region), |_| None);
    }
}
