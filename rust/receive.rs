// SPDX-License-Identifier: GPL-2.0

//! `zc_readv`: from a socket's receive queue into windows.
//!
//! Look at the queue without consuming, prepare every page, put the pages into the
//! windows, tell user space where the payloads lie; and only when nothing can fail any
//! more, consume exactly what was placed. Whatever fails before that leaves the windows'
//! regions empty and the queue as it was. A stream is held still by the socket lock;
//! datagrams are taken off their queue first, and put back if something fails.

use crate::context::{Done, Moved};
use crate::gather::{Batch, Incoming, MAX_PAGES};
use crate::ground::datagram::{Datagram, DatagramSocket, Description, Taken};
use crate::ground::debug::{reached, Point};
use crate::ground::page::Run;
use crate::ground::skb::Segment;
use crate::ground::socket::{Kind, Socket, Tcp};
use crate::ground::uapi::{self, IoVec, Payload, Readv};
use crate::ground::vma::{self, Found};
use crate::plan::ownership::fact;
use crate::plan::queue::most_payloads;
use crate::plan::small::{datagram_is_small, stream_is_small};
use crate::plan::PAGE_SIZE;
use crate::region::{check_regions, Region};
use crate::spares::Spares;
use crate::window::Window;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Runs the call. On an error, `args.error_index` says which element it is about.
pub(crate) fn readv(args: &mut Readv) -> Result<Done> {
    let count = args.iovcnt as usize;
    if count == 0
        || args.iovcnt > uapi::MAX_ELEMENTS
        || args.flags & !uapi::DONTWAIT != 0
        || args.reserved != [0; 4]
    {
        return Err(EINVAL);
    }
    let iov = uapi::read_iovecs(args.iov as usize, count)?;
    let regions = check_regions(&iov, &mut args.error_index)?;
    // Both arrays must be writable before anything happens.
    uapi::write_iovecs(args.iov as usize, &iov)?;
    if args.payloads != 0 {
        uapi::clear_array::<Payload>(args.payloads as usize, count)?;
    }

    let socket = Socket::from_fd(args.fd)?;
    let nonblock = args.flags & uapi::DONTWAIT != 0 || socket.nonblocking();
    let kind = socket.kind()?;
    if let Kind::Stream(tcp) = kind {
        tcp.check_connected()?;
    }
    let target = find_windows(&regions, &mut args.error_index)?;
    socket.check_receive()?;
    reached(Point::ReadvChecked);

    let mut call = Call {
        args,
        iov,
        regions,
        target,
        nonblock,
    };
    let (moved, payloads) = match kind {
        Kind::Stream(tcp) => call.stream(tcp)?,
        Kind::Datagrams(datagrams) => call.messages(datagrams)?,
    };
    if payloads > 0 {
        call.target.context.rx.count(payloads, &moved);
    }
    // The arrays have been written by now.
    Ok(Done {
        count: payloads,
        count_says_all: true,
    })
}

/// A call whose arguments are good.
struct Call<'a> {
    args: &'a Readv,
    /// What was offered; from its first on, what is to be told.
    iov: KVVec<IoVec>,
    regions: KVVec<Region>,
    target: Target,
    nonblock: bool,
}

impl Call<'_> {
    /// From a stream. Returns what was moved, in how many payloads: none at its end.
    fn stream(&mut self, tcp: Tcp<'_>) -> Result<(Moved, usize)> {
        let mut locked = tcp.lock()?;
        let capacity = pages(&self.regions) * PAGE_SIZE;
        let ready = locked.wait_data(capacity, self.nonblock)?;
        if ready == 0 {
            return Ok((Moved::default(), 0));
        }
        let done = {
            let threshold = self.target.context.threshold();
            let bytes = ready.min(capacity);
            let queued = locked.bytes();
            let batch = if stream_is_small(threshold, bytes as u64, || queued.largest_frag()) {
                let mut spares = Spares::new(&self.regions);
                Batch::copy(queued, bytes, &self.regions, &mut spares)
                    .inspect_err(|_| empty(&self.regions))?
            } else {
                let incoming = locked.queue();
                let incoming = incoming.map(|segment| Incoming::new(segment, 0, false, 0));
                self.gather(incoming, bytes / PAGE_SIZE * 3 / 2 + 2)?
            };
            self.deliver(&batch, |_| Payload::default())?;
            (batch.moved(), batch.payloads.len())
        };
        locked.consume(done.0.bytes() as usize);
        Ok(done)
    }

    /// From a socket that keeps boundaries: whole datagrams only, unless the first alone is
    /// larger than all regions.
    fn messages(&mut self, socket: DatagramSocket<'_>) -> Result<(Moved, usize)> {
        let (taken, guess) = take(socket, self.nonblock, &self.regions)?;
        if taken.all().is_empty() {
            // Shut down.
            return Ok((Moved::default(), 0));
        }
        let mut incoming = KVVec::with_capacity(taken.all().len(), GFP_KERNEL)?;
        let mut told = KVVec::with_capacity(taken.all().len(), GFP_KERNEL)?;
        for datagram in taken.all() {
            told.push(datagram.describe(), GFP_KERNEL)?;
        }
        let all = told
            .iter()
            .map(|one: &Description| u64::from(one.len))
            .sum();
        let threshold = self.target.context.threshold();
        for (number, (datagram, description)) in (0..).zip(taken.all().iter().zip(&told)) {
            let len = u64::from(description.len);
            let also = small(datagram_is_small(threshold, all, len));
            let empty = (description.len == 0).then(Segment::empty);
            let segments = Iterator::chain(datagram.segments()?, empty);
            for (i, segment) in segments.enumerate() {
                let next = Incoming::new(segment, number, i == 0, also);
                incoming.push(next, GFP_KERNEL)?;
            }
        }
        let gather = |also| {
            let incoming = incoming.iter().map(|next: &Incoming<'_>| next.with(also));
            self.gather(incoming, guess)
        };
        let done = {
            let mut batch = gather(0)?;
            if !batch.all && told.len() > 1 {
                // Never so: what was taken has room. Nothing must be lost all the same.
                return Err(EINVAL);
            }
            if !batch.all {
                // As it lies it takes more room than it has bytes: copies fill all there is.
                batch = gather(fact::CROWDED)?;
            }
            if batch.moved().mapped > 0 {
                taken.all().iter().for_each(Datagram::shown);
            }
            self.deliver(&batch, |i| {
                let number = |i: usize| batch.payloads.get(i).map(|placed| placed.datagram);
                let description = number(i).and_then(|number| told.get(number as usize));
                let mut payload = description.map_or_else(Payload::default, describe);
                if number(i) != number(i + 1) {
                    payload.flags |= uapi::PAYLOAD_END;
                    if !batch.all {
                        payload.flags |= uapi::PAYLOAD_TRUNCATED;
                    }
                }
                payload
            })?;
            (batch.moved(), batch.payloads.len())
        };
        drop(incoming);
        taken.consume();
        Ok(done)
    }

    /// Prepares what comes, about `guess` pages. On an error the regions are empty.
    fn gather<'q>(
        &self,
        incoming: impl Iterator<Item = Incoming<'q>>,
        guess: usize,
    ) -> Result<Batch<'q>> {
        let mut spares = Spares::new(&self.regions);
        let writable = self.target.writable;
        Batch::gather(incoming, &self.regions, guess, writable, &mut spares)
            .inspect_err(|_| empty(&self.regions))
    }

    /// Maps the pages of a batch and tells user space where the payloads lie, with what
    /// `told` says of each beside. On an error the regions are empty.
    fn deliver(&mut self, batch: &Batch<'_>, told: impl Fn(usize) -> Payload) -> Result {
        reached(Point::ReadvGathered);
        let mut emptied = false;
        let placed = self.target.context.within_limit(|| {
            let all_new = emptied;
            let run = |i: usize| match batch.of_region(i) {
                Some(run) if all_new => Some(run.all_new()),
                run => run,
            };
            let placed = put_all(&self.regions, self.target.writable, run);
            // At the limit, the regions whose turn had not come may hold what is missing.
            placed.inspect_err(|_| {
                empty(&self.regions);
                emptied = true;
            })
        });
        let result = placed.and_then(|()| {
            reached(Point::ReadvPlaced);
            self.report(batch, told)
        });
        if result.is_err() {
            empty(&self.regions);
        } else {
            reached(Point::ReadvReported);
        }
        result
    }

    fn report(&mut self, batch: &Batch<'_>, told: impl Fn(usize) -> Payload) -> Result {
        let count = batch.payloads.len();
        if self.args.payloads != 0 {
            let mut info = KVVec::with_capacity(count, GFP_KERNEL)?;
            for (i, placed) in batch.payloads.iter().enumerate() {
                info.push(placed.moved.report(told(i)), GFP_KERNEL)?;
            }
            uapi::write_array(self.args.payloads as usize, &info)?;
        }
        let places = self.iov.get_mut(..count).ok_or(EINVAL)?;
        for (place, placed) in places.iter_mut().zip(&batch.payloads) {
            let region = self.regions.get(placed.region).ok_or(EINVAL)?;
            *place = IoVec {
                base: region.first + placed.offset,
                len: placed.moved.bytes() as usize,
            };
        }
        uapi::write_iovecs(self.args.iov as usize, places)
    }
}

/// Pages of all regions.
fn pages(regions: &[Region]) -> usize {
    regions.iter().map(|region| region.pages).sum()
}

/// What is to be known of bytes that are copied for being few, or are not.
fn small(is: bool) -> u32 {
    if is {
        fact::SMALL
    } else {
        0
    }
}

/// Takes the first datagram, waiting for it, and as many more as certainly have room. Tells
/// how many pages they need at most.
fn take<'s>(
    socket: DatagramSocket<'s>,
    nonblock: bool,
    regions: &[Region],
) -> Result<(Taken<'s>, usize)> {
    let smallest = regions.iter().map(|r| r.pages).min().unwrap_or(1);
    let mut payloads = regions.len();
    let mut pages = MAX_PAGES;
    let mut taken = Taken::with_capacity(regions.len())?;
    let mut first = true;
    while payloads > 0 && pages > 0 {
        let next = if first {
            socket.take(nonblock)?
        } else {
            socket.take_more()
        };
        let Some(datagram) = next else {
            break;
        };
        let needed = most_payloads(datagram.segments()?.map(|s| s.seen()), smallest);
        let most = most_payloads(datagram.segments()?.map(|s| s.seen()), 1);
        if !first && (needed > payloads || most > pages) {
            // Dropped, it goes back to the front of the queue.
            break;
        }
        payloads = payloads.saturating_sub(needed);
        pages = pages.saturating_sub(most);
        taken.push(datagram)?;
        first = false;
    }
    Ok((taken, MAX_PAGES - pages))
}

/// What is told of the datagram that a payload belongs to.
fn describe(description: &Description) -> Payload {
    Payload {
        datagram: description.len,
        segment: description.segment,
        timestamp: description.timestamp,
        vlan_tci: description.vlan_tci,
        vlan_tpid: description.vlan_tpid,
        name_len: description.name_len,
        name: description.name,
        ..Default::default()
    }
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

/// Empties regions and puts in the pages that `runs` gives for each of them, with one
/// zap for every stretch of regions that follow each other.
///
/// Unless the pages may be `writable`, EFAULT for a window that can be written to: it has
/// taken the place of the one that they were judged for.
fn put_all<'p>(
    regions: &[Region],
    writable: bool,
    runs: impl Fn(usize) -> Option<Run<'p>>,
) -> Result {
    let task = kernel::current!();
    let mm = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    let mut next = 0;
    while let Some((first, others)) = regions.get(next..).and_then(|r| r.split_first()) {
        let found = vma::find::<Window>(&mm, first.first)
            .filter(|f| f.contains(first.first, first.pages * PAGE_SIZE))
            .filter(|f| writable || !f.may_be_written())
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

/// Empties regions after a failure, whatever of them is in a window still.
fn empty(regions: &[Region]) {
    let task = kernel::current!();
    let Some(mm) = task.mm().map(|mm| mm.mmap_read_lock()) else {
        return;
    };
    for region in regions {
        let mut from = region.first;
        while from < region.end() {
            let Some(found) = vma::find::<Window>(&mm, from) else {
                from += PAGE_SIZE;
                continue;
            };
            let to = region.end().min(found.part_end());
            let part = found.index(from)..found.index(to);
            let _ = found.object().put(&found, part, core::iter::empty());
            from = to;
        }
    }
}
