// SPDX-License-Identifier: GPL-2.0

//! `zc_writev` to sockets that keep boundaries: one datagram, or frame, for each payload.
//!
//! Each leaves whole or not at all. Its headers are built in the area's head room, in a page
//! that has been taken out of the area with the payload's, so the kernel's pointers never
//! lie where user space can see them: such a page comes back only after it was cleared.

use super::{count, is_copied, Batch, Outcome};
use crate::context::Moved;
use crate::ground::datagram::DatagramSocket;
use crate::ground::debug::{reached, Point};
use crate::ground::frame::{head_size, Head, Told};
use crate::ground::page::OwnedPage;
use crate::ground::route::Route;
use crate::ground::socket::{PageVec, SendFlags};
use crate::plan::area::Area;
use crate::plan::ownership::Why;
use crate::plan::PAGE_SIZE;
use core::ops::Range;
use kernel::prelude::*;

/// Whether the socket can be sent to, in datagrams of `segment` bytes if that is not 0.
pub(super) fn check(socket: DatagramSocket<'_>, segment: u32) -> Result {
    if segment != 0 && (!socket.segments() || segment > u32::from(u16::MAX)) {
        return Err(EINVAL);
    }
    socket.check_send()
}

/// Sends payload after payload until all went, or one could not. An error only if it was the
/// first one's.
pub(super) fn send(
    socket: DatagramSocket<'_>,
    areas: &[Area],
    segment: u16,
    flags: SendFlags,
    route: Route,
    moved: KVVec<Moved>,
) -> Result<Outcome> {
    reached(Point::WritevChecked);
    let mut sender = Sender {
        socket,
        segment,
        flags,
        route,
        moved,
        whole: 0,
    };
    let result = sender.send_all(areas);
    let Sender { moved, whole, .. } = sender;
    if whole == 0 {
        result?;
    }
    Ok(Outcome {
        whole,
        bytes: areas.iter().take(whole).map(|a| a.len).sum(),
        moved,
    })
}

/// A call in progress.
struct Sender<'a> {
    socket: DatagramSocket<'a>,
    segment: u16,
    flags: SendFlags,
    route: Route,
    /// Per payload, what was taken of it.
    moved: KVVec<Moved>,
    /// Payloads that went.
    whole: usize,
}

/// One datagram's pages in a batch that could not be sent.
struct Failed {
    pages: Range<usize>,
    /// Where the head begins in the first, if the kernel has written to it.
    begun: Option<usize>,
}

impl Sender<'_> {
    fn send_all(&mut self, areas: &[Area]) -> Result {
        while self.whole < areas.len() {
            let rest = areas.get(self.whole..).ok_or(EINVAL)?;
            self.send_batch(Batch::new(rest, self.flags)?)?;
        }
        Ok(())
    }

    /// Sends what has been swapped out. What could not be sent is back in its area.
    fn send_batch(&mut self, batch: Batch<'_>) -> Result {
        let before = self.whole;
        let mut failed = Failed {
            pages: 0..0,
            begun: None,
        };
        let copies = batch.seal(self.flags);
        let result = match &copies {
            Ok(copies) => self.send_each(&batch, copies, &mut failed),
            Err(e) => Err(*e),
        };
        reached(Point::WritevSent);
        let gone = failed.pages.start;
        let all = result.is_ok();
        let copies = copies.unwrap_or_default();
        let kept = failed.kept(&batch, &copies);
        batch.settle(self.whole - before, copies, |page, _| {
            if all || page < gone {
                Some((0, 0))
            } else if kept && failed.pages.contains(&page) {
                let from = if page == gone { failed.behind() } else { 0 };
                Some((from, PAGE_SIZE - from))
            } else {
                None
            }
        });
        result
    }

    /// Sends the datagrams of a batch in order. On an error, `failed` is the one that could
    /// not be sent; those before it went.
    fn send_each(
        &mut self,
        batch: &Batch<'_>,
        copies: &[Option<OwnedPage>],
        failed: &mut Failed,
    ) -> Result {
        let most = batch.areas.iter().map(|area| area.used).max();
        let mut vec = PageVec::with_capacity(most.unwrap_or(0))?;
        let mut pieces = Batch::pieces(batch.areas).enumerate();
        for area in batch.areas {
            *failed = Failed {
                pages: failed.pages.end..failed.pages.end + area.used,
                begun: None,
            };
            let page = |n: usize| {
                let copy = copies.get(n).and_then(Option::as_ref);
                copy.or(batch.pages.get(n)).ok_or(EINVAL)
            };
            vec.clear();
            let of_it = pieces.by_ref().take(area.used);
            for (n, piece) in of_it.filter(|(_, piece)| piece.len > 0) {
                vec.push(page(n)?.borrow(), piece.offset, piece.len)?;
            }
            // What can still be written to has no place for the kernel's own.
            let head = match self.flags.sealed {
                true => Some(Head::new(page(failed.pages.start)?, area.head)?),
                false => None,
            };
            let (told, result) = self.socket.send(head, &mut vec, self.segment, self.flags);
            failed.begun = told.begun.then_some(area.head);
            result?;
            let moved = self.moved.get_mut(self.whole).ok_or(EINVAL)?;
            account(moved, area, &told, |n| {
                let page = failed.pages.start + n;
                batch.why_copied(copies, page, told.gathers, &self.route)
            });
            self.whole += 1;
        }
        Ok(())
    }
}

impl Failed {
    /// Where the head ends in the first page.
    fn behind(&self) -> usize {
        let end = self.begun.map_or(0, |offset| offset + head_size());
        end.min(PAGE_SIZE)
    }

    /// After an error: whether the stack, or whoever saw the datagram before it was dropped,
    /// still holds a page of it. Then its pages stay with them, and what is behind the head
    /// moves to others. Else nothing of the headers is left in the head room.
    fn kept(&self, batch: &Batch<'_>, copies: &[Option<OwnedPage>]) -> bool {
        let Some(offset) = self.begun else {
            return false;
        };
        let handed = |n: &usize| !is_copied(copies, *n);
        let held = |n: usize| batch.pages.get(n).is_some_and(|page| page.refs() != 1);
        if self.pages.clone().filter(handed).any(held) {
            return true;
        }
        if let Some(page) = batch.pages.get(self.pages.start) {
            page.zero(offset, head_size());
        }
        false
    }
}

/// Counts the bytes of a datagram that went.
fn account(moved: &mut Moved, area: &Area, told: &Told, why: impl Fn(usize) -> Option<Why>) {
    let mut linear = told.linear;
    for n in 0..area.used {
        let (_, len) = area.piece(n);
        let beside = linear.min(len);
        linear -= beside;
        moved.copied[Why::Linear as usize] += beside as u64;
        count(moved, len - beside, why(n));
    }
}
