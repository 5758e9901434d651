// SPDX-License-Identifier: GPL-2.0

//! `zc_writev`: from pools to a socket.
//!
//! Under the socket lock, batch by batch: swap the payload's pages for pages of zeros
//! first, so that nobody can write to them any more, then hand them to the stack, and
//! last give back what it did not take. A page that somebody else still holds (a read in
//! flight, say) is copied: only then is it certain that nobody changes what is sent.
//!
//! With `ZCIO_KEEP` the stack gets references to the pages where they are, and nothing is
//! swapped or given back. It is told that they may change.
//!
//! What differs for sockets that keep boundaries is in `datagram`, for few bytes in `small`;
//! what is found out before anything is sent, in `areas`.

mod areas;
mod datagram;
mod small;

use crate::context::{Done, Moved};
use crate::ground::debug::{reached, Point};
use crate::ground::errno;
use crate::ground::frame;
use crate::ground::page::OwnedPage;
use crate::ground::route::Route;
use crate::ground::socket::{Kind, Locked, PageVec, SendFlags, Socket, Tcp};
use crate::ground::uapi::{self, Payload, Writev};
use crate::ground::vma::{self, Found, Kept};
use crate::plan::area::{self, Area, Rooms};
use crate::plan::ownership::Why;
use crate::plan::small::call_is_small;
use crate::plan::transmit::{batch, fate, Fate};
use crate::plan::PAGE_SIZE;
use crate::pool::Pool;
use crate::stretch::Slots;
use areas::{check_areas, check_reach, find_pools, first_pool, payload_pages};
use kernel::prelude::*;
use kernel::time::Jiffies;

pub(crate) use areas::kept;

/// The room that a kind of socket needs around a payload. TCP keeps its headers elsewhere.
pub(crate) fn rooms(kind: &Kind<'_>) -> Rooms {
    let head = match kind {
        Kind::Datagrams(_) => area::head_room(frame::head_size()),
        Kind::Stream(_) => 0,
    };
    Rooms { head, tail: 0 }
}

/// Most pages swapped and sent at once (4 MiB), unless one payload alone has more.
const BATCH_PAGES: usize = 1024;

const FLAGS: u32 = uapi::DONTWAIT | uapi::NOSIGNAL | uapi::MORE | uapi::KEEP;

/// What became of the payloads.
struct Outcome {
    /// Taken whole: so many of them, the first ones.
    whole: usize,
    /// Bytes taken in all.
    bytes: usize,
    /// Per payload, what was taken of it.
    moved: KVVec<Moved>,
}

/// Runs the call. On an error, `args.error_index` says which element it is about.
pub(crate) fn writev(args: &mut Writev) -> Result<Done> {
    let count = args.iovcnt as usize;
    if count == 0
        || args.iovcnt > uapi::MAX_ELEMENTS
        || args.flags & !FLAGS != 0
        || args.reserved32 != 0
        || args.reserved != [0; 2]
    {
        return Err(EINVAL);
    }
    let iov = uapi::read_iovecs(args.iov as usize, 2 * count)?;
    let socket = Socket::from_fd(args.fd)?;
    let kind = socket.kind()?;
    let areas = check_areas(&iov, rooms(&kind), &mut args.error_index)?;
    let wanted = if args.payloads != 0 { count } else { 0 };
    let mut reports = KVVec::from_elem(Payload::default(), wanted, GFP_KERNEL)?;
    uapi::write_array(args.payloads as usize, &reports)?;

    match kind {
        Kind::Stream(_) if args.segment != 0 => return Err(EINVAL),
        Kind::Stream(tcp) => tcp.check_connected()?,
        Kind::Datagrams(socket) => datagram::check(socket, args.segment)?,
    }
    let keep = args.flags & uapi::KEEP != 0;
    let context = find_pools(&areas, keep, &mut args.error_index)?;
    let route = Route::of(&socket).unwrap_or(Route::unknown());
    if let Err(e) = check_reach(&areas, route.reach(), &mut args.error_index) {
        if let Some(report) = reports.get_mut(args.error_index as usize) {
            report.why = Why::Dma.bit();
            let _ = uapi::write_array(args.payloads as usize, &reports);
        }
        return Err(e);
    }
    let flags = SendFlags {
        nonblock: args.flags & uapi::DONTWAIT != 0 || socket.nonblocking(),
        more: args.flags & uapi::MORE != 0,
        nosignal: args.flags & uapi::NOSIGNAL != 0,
        sealed: !keep,
    };
    let moved = KVVec::from_elem(Moved::default(), count, GFP_KERNEL)?;
    let outcome = match kind {
        Kind::Stream(tcp) => {
            let bytes = areas.iter().map(|area| area.len as u64).sum();
            let places = match call_is_small(context.threshold(), bytes) && !keep {
                true => small::places(&areas)?,
                false => None,
            };
            match places {
                Some(places) => small::send(tcp, &areas, iov, places, flags, moved)?,
                None => stream(tcp, &areas, flags, route, moved)?,
            }
        }
        Kind::Datagrams(socket) => {
            datagram::send(socket, &areas, args.segment as u16, flags, route, moved)?
        }
    };

    let mut total = Moved::default();
    outcome.moved.iter().for_each(|m| total.add(m));
    context.tx.count(outcome.whole, &total);
    args.taken = outcome.bytes as u64;
    for (to, m) in reports.iter_mut().zip(&outcome.moved) {
        *to = m.report(Payload::default());
    }
    // The bytes are gone, so there is no way back; the array was writable before, and says
    // zero where it cannot be written now.
    let _ = uapi::write_array(args.payloads as usize, &reports);
    let in_whole = areas.iter().take(outcome.whole).map(|a| a.len);
    Ok(Done {
        count: outcome.whole,
        count_says_all: outcome.bytes == in_whole.sum::<usize>(),
    })
}

/// To a stream, under its lock. An error only if nothing was taken.
fn stream(
    tcp: Tcp<'_>,
    areas: &[Area],
    flags: SendFlags,
    route: Route,
    moved: KVVec<Moved>,
) -> Result<Outcome> {
    tcp.check_send(flags.nonblock, flags.nosignal)?;
    reached(Point::WritevChecked);
    let mut locked = tcp.lock()?;
    let since = locked.now();
    locked.wait_space(flags.nonblock)?;
    let mut sender = Sender {
        gathers: locked.gathers(flags.sealed),
        route,
        locked,
        since,
        flags,
        moved,
        bytes: 0,
    };
    let result = sender.send_all(areas);
    let Sender {
        mut locked,
        moved,
        bytes,
        ..
    } = sender;
    if bytes == 0 {
        result?;
    } else if let Err(e) = result {
        locked.error_stays(e);
        drop(locked);
        // The stack was told that more follows, and does not any longer.
        if !flags.more {
            tcp.push();
        }
    }
    let taken = |(area, m): &(&Area, &Moved)| m.bytes() == area.len as u64;
    let whole = areas.iter().zip(&moved).filter(taken).count();
    Ok(Outcome {
        whole,
        bytes,
        moved,
    })
}

/// A call in progress.
struct Sender<'a> {
    locked: Locked<'a>,
    /// When the call began to wait for room.
    since: Jiffies,
    gathers: bool,
    route: Route,
    flags: SendFlags,
    /// Per payload, what was taken of it.
    moved: KVVec<Moved>,
    /// Taken in all.
    bytes: usize,
}

impl Sender<'_> {
    /// Sends batch after batch until all is taken, or the socket takes no more.
    fn send_all(&mut self, areas: &[Area]) -> Result {
        let mut from = 0;
        while from < areas.len() {
            let rest = areas.get(from..).ok_or(EINVAL)?;
            self.locked.check()?;
            let batch = Batch::new(rest, self.flags)?;
            let next = from + batch.areas.len();
            let flags = SendFlags {
                more: self.flags.more || next < areas.len(),
                // SIGPIPE is for a call that could send nothing.
                nosignal: self.flags.nosignal || self.bytes > 0,
                // SO_SNDTIMEO is for all batches together.
                nonblock: self.flags.nonblock || self.locked.timed_out(self.since),
                ..self.flags
            };
            let want = batch.areas.iter().map(|a| a.len).sum::<usize>();
            let sent = batch.send(self, flags, from)?;
            from = next;
            self.bytes += sent;
            if sent < want {
                break;
            }
        }
        Ok(())
    }
}

/// The copies that go in the place of a batch's pages: `None` for those that go themselves,
/// nothing at all if all of them do.
type Copies = KVVec<Option<OwnedPage>>;

/// The payload bytes in one page.
struct Piece {
    /// Index of the payload in its batch.
    payload: usize,
    /// Which of the payload's pages.
    nth: usize,
    offset: usize,
    len: usize,
}

/// The payload pages of consecutive areas of one pool.
struct Batch<'a> {
    areas: &'a [Area],
    pool: Kept<Pool>,
    /// Where each of the areas lies in the mapping, if their pages were swapped out. Empty
    /// if they stay, and `pages` are further references to them.
    slots: KVVec<Slots>,
    /// The payload's pages, area by area.
    pages: KVVec<OwnedPage>,
}

impl<'a> Batch<'a> {
    /// As many of `areas` as go into one batch: swapped out, unless they are to stay.
    fn new(areas: &'a [Area], flags: SendFlags) -> Result<Self> {
        let batch = match flags.sealed {
            true => Self::swap_out(areas)?,
            false => Self::share(areas)?,
        };
        reached(Point::WritevSwapped);
        Ok(batch)
    }

    /// Takes references to the pages of as many of `areas` as go into one batch; the pages
    /// stay where they are.
    fn share(areas: &'a [Area]) -> Result<Self> {
        let task = kernel::current!();
        let mm = task.mm().ok_or(EFAULT)?;
        let most = batch(areas.iter().map(|a| a.used), BATCH_PAGES);
        let need = areas.iter().take(most).map(|a| a.used).sum::<usize>();
        let mut pages = KVVec::with_capacity(need, GFP_KERNEL)?;

        let lock = mm.mmap_read_lock();
        let (pool, areas) = first_pool(&lock, areas, most)?;
        let base = areas.first().ok_or(EFAULT)?.base;
        let found = vma::find::<Pool>(&lock, base).ok_or(EFAULT)?;
        pool.share(
            areas.iter().flat_map(|area| payload_pages(&found, area)),
            &mut pages,
        )?;
        Ok(Self {
            areas,
            pool,
            slots: KVVec::new(),
            pages,
        })
    }

    /// Swaps out as many of `areas` as go into one batch. On an error nothing is swapped.
    fn swap_out(areas: &'a [Area]) -> Result<Self> {
        let task = kernel::current!();
        let mm = task.mm().ok_or(EFAULT)?;
        let most = batch(areas.iter().map(|a| a.used), BATCH_PAGES);
        let (pool, areas) = first_pool(&mm.mmap_read_lock(), areas, most)?;
        let base = areas.first().ok_or(EFAULT)?.base;
        // Before the pages that stand in, which have to be given back after an error.
        let mut slots = KVVec::with_capacity(areas.len(), GFP_KERNEL)?;
        let need = areas.iter().map(|a| a.used).sum();
        let mut pages = KVVec::with_capacity(need, GFP_KERNEL)?;
        let (areas, mut stand_ins) = Self::reserve(&pool, areas)?;
        reached(Point::WritevReserved);

        let result = {
            let lock = mm.mmap_read_lock();
            match vma::find::<Pool>(&lock, base).filter(|found| found.is(&pool)) {
                Some(found) => {
                    for place in areas.iter().map(|area| place(&found, area)) {
                        // There is room for all of them.
                        let _ = slots.push_within_capacity(place);
                    }
                    pool.swap(&found, slots.iter().cloned(), &mut stand_ins, &mut pages)
                }
                None => Err(EFAULT),
            }
        };
        pool.give_back(stand_ins);
        result?;
        Ok(Self {
            areas,
            pool,
            slots,
            pages,
        })
    }

    /// Pages to stand in for those of `areas`; where that is too much at the limit, for fewer.
    fn reserve(pool: &Pool, mut areas: &'a [Area]) -> Result<(&'a [Area], KVVec<OwnedPage>)> {
        loop {
            match pool.reserve(areas.iter().map(|a| a.used).sum()) {
                Err(e) if e == errno::no_buffers() && areas.len() > 1 => {
                    areas = areas.get(..areas.len() / 2).ok_or(EINVAL)?;
                }
                result => return result.map(|stand_ins| (areas, stand_ins)),
            }
        }
    }

    /// Hands the pages to the stack. Returns the bytes it took; what it did not take is
    /// back in its area.
    fn send(self, sender: &mut Sender<'_>, flags: SendFlags, from: usize) -> Result<usize> {
        let copies = self.seal(flags);
        let result = match &copies {
            Ok(copies) => self.hand_over(&mut sender.locked, flags, copies),
            Err(e) => Err(*e),
        };
        reached(Point::WritevSent);
        let sent = result.unwrap_or(0);
        let pinned = copies.unwrap_or_default();
        for (page, (piece, bytes)) in Self::taken(self.areas, sent).enumerate() {
            if let Some(moved) = sender.moved.get_mut(from + piece.payload) {
                let why = self.why_copied(&pinned, page, sender.gathers, &sender.route);
                count(moved, bytes, why);
            }
        }
        // Those that went come first: whole, and at most one in part.
        let mut went = Self::taken(self.areas, sent);
        let whole = whole(self.areas, sent);
        self.settle(whole, pinned, |_, piece| {
            let (_, bytes) = went.next()?;
            Some((piece.offset + bytes, piece.len - bytes))
        });
        result
    }

    /// Why the payload's part in a page is copied on its way, if it is: because it had been
    /// copied before, as the device `gathers` no pages, or as its bus copies. (What the device
    /// cannot reach was refused, but another call can have brought such pages here since.)
    fn why_copied(
        &self,
        copies: &[Option<OwnedPage>],
        page: usize,
        gathers: bool,
        route: &Route,
    ) -> Option<Why> {
        let reach = route.reach();
        let reached = || self.pages.get(page).is_some_and(|page| page.within(reach));
        if is_copied(copies, page) {
            Some(Why::Pinned)
        } else if !gathers {
            Some(Why::Device)
        } else if route.bounces() || !(self.pool.source.is_within(reach) || reached()) {
            Some(Why::Dma)
        } else {
            None
        }
    }

    /// The pieces of payload in stream order.
    fn pieces(areas: &'a [Area]) -> impl Iterator<Item = Piece> + 'a {
        areas.iter().enumerate().flat_map(|(payload, area)| {
            (0..area.used).map(move |nth| {
                let (offset, len) = area.piece(nth);
                Piece {
                    payload,
                    nth,
                    offset,
                    len,
                }
            })
        })
    }

    /// The pieces that have been taken when `sent` bytes were, with the bytes of each.
    fn taken(areas: &'a [Area], sent: usize) -> impl Iterator<Item = (Piece, usize)> + 'a {
        Self::pieces(areas).scan(sent, |left, piece| {
            let bytes = match fate(piece.len, *left) {
                Fate::Gone => piece.len,
                Fate::Split(bytes) => bytes,
                Fate::Back => return None,
            };
            *left -= bytes;
            Some((piece, bytes))
        })
    }

    /// Seals the pages that are out of the mapping, and copies those that somebody else
    /// holds; `None` for all others.
    fn seal(&self, flags: SendFlags) -> Result<Copies> {
        if !flags.sealed {
            return Ok(KVVec::new());
        }
        let mut copies = KVVec::new();
        let mut pinned = KVVec::new();
        for (n, page) in self.pages.iter().enumerate() {
            if page.refs() == 1 {
                page.seal();
            } else {
                pinned.push(n, GFP_KERNEL)?;
            }
        }
        if pinned.is_empty() {
            return Ok(copies);
        }
        // Before the pages that are reserved, which would have to be given back.
        for _ in 0..self.pages.len() {
            copies.push(None, GFP_KERNEL)?;
        }
        let reserved = self.pool.reserve(pinned.len());
        if reserved.is_err() {
            self.pool.wants(self.pages.len() + pinned.len());
        }
        for (n, copy) in pinned.iter().zip(reserved?) {
            if let (Some(page), Some(place)) = (self.pages.get(*n), copies.get_mut(*n)) {
                copy.copy_from(page, 0, PAGE_SIZE);
                copy.seal();
                *place = Some(copy);
            }
        }
        Ok(copies)
    }

    fn hand_over(
        &self,
        locked: &mut Locked<'_>,
        flags: SendFlags,
        copies: &[Option<OwnedPage>],
    ) -> Result<usize> {
        let mut vec = PageVec::with_capacity(self.pages.len())?;
        for (n, (piece, own)) in Self::pieces(self.areas).zip(&self.pages).enumerate() {
            let page = copies.get(n).and_then(Option::as_ref).unwrap_or(own);
            vec.push(page.borrow(), piece.offset, piece.len)?;
        }
        locked.send(&mut vec, flags)
    }

    /// Gives every page that was swapped out its due, after the first `whole` payloads went,
    /// and the `copies` that went in the place of some.
    /// `gone` says of each page whether it stays with the stack, and then which of its bytes
    /// (offset, bytes) move to the page that stands in; from the first `None` on, the pages go
    /// back.
    fn settle(
        self,
        whole: usize,
        copies: Copies,
        mut gone: impl FnMut(usize, &Piece) -> Option<(usize, usize)>,
    ) {
        let Self {
            areas,
            pool,
            slots,
            pages,
        } = self;
        if slots.is_empty() {
            return;
        }
        pool.went(copies.into_iter().flatten());
        let place = |piece: &Piece| {
            let slots = slots.get(piece.payload);
            slots.map_or(0, |slots| slots.payload.start) + piece.nth
        };
        let mut rest = Self::pieces(areas).zip(pages).enumerate();
        let mut back = None;
        pool.sent(core::iter::from_fn(|| {
            let (page, (piece, own)) = rest.next()?;
            let behind = gone(page, &piece);
            if behind.is_none() {
                back = Some((piece, own));
                return None;
            }
            behind.map(|behind| (place(&piece), own, behind))
        }));
        reached(Point::WritevSettling);
        if back.is_some() {
            let task = kernel::current!();
            let lock = task.mm().map(|mm| mm.mmap_read_lock());
            let find = |index| lock.as_ref().and_then(|lock| pool.at(lock, index));
            let all = Iterator::chain(back.into_iter(), rest.map(|(_, next)| next));
            pool.restore(find, all.map(|(piece, own)| (place(&piece), own)));
        }
        // What was not swapped of an area that is done: head and tail room.
        for slots in slots.iter().take(whole) {
            pool.clear(slots.area.start..slots.payload.start);
            pool.clear(slots.payload.end..slots.area.end);
        }
    }
}

/// Where an area lies in its pool.
fn place(found: &Found<'_, Pool>, area: &Area) -> Slots {
    let start = found.index(area.base);
    Slots {
        area: start..start + area.pages,
        payload: payload_pages(found, area),
    }
}

/// How many payloads are whole in the first `bytes`.
fn whole(areas: &[Area], bytes: usize) -> usize {
    let mut sum = 0;
    areas
        .iter()
        .take_while(|area| {
            sum += area.len;
            sum <= bytes
        })
        .count()
}

/// Whether a copy was sent in place of the `page`th one.
fn is_copied(copies: &[Option<OwnedPage>], page: usize) -> bool {
    matches!(copies.get(page), Some(Some(_)))
}

/// Counts payload bytes that went, with their page or copied for a reason.
fn count(moved: &mut Moved, bytes: usize, why: Option<Why>) {
    match why {
        Some(why) => moved.copied[why as usize] += bytes as u64,
        None => moved.mapped += bytes as u64,
    }
}
