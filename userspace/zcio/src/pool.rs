// SPDX-License-Identifier: MIT
//! Sending: pools, and the areas in them.

use crate::error::Operation;
use crate::kept::Kept;
use crate::transfer::{Flags, Transfer};
use crate::{abi, answer, sys, Context, Error, Result};
use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroU16;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Memory with payloads to send, divided into areas. All methods take `&self`.
///
/// A pool may be dropped before its areas: its memory is unmapped with the last.
#[derive(Debug)]
pub struct Pool {
    context: Context,
    arena: Arc<sys::Arena<sys::Pool>>,
    head: usize,
    tail: usize,
}

impl Pool {
    pub(crate) fn new(
        context: &Context,
        areas: usize,
        area_len: usize,
        head: usize,
        tail: usize,
    ) -> Result<Pool> {
        let fail = |error| Error::new(Operation::MapPool, error);
        if head.saturating_add(tail) >= area_len {
            return Err(fail(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        let arena = sys::Arena::new(context.device(), areas, area_len).map_err(fail)?;
        Ok(Pool { context: context.clone(), arena, head, tail })
    }

    /// Takes an empty area.
    ///
    /// # Errors
    /// [`Operation::Take`] if all are in use, also by peers of payloads that were
    /// [kept](Pool::keep).
    pub fn area(&self) -> Result<Area> {
        self.arena.wake(self.context.device());
        match self.arena.take(1).pop() {
            Some(slot) => {
                Ok(Area { slot, start: self.head, len: 0, head: self.head, tail: self.tail })
            }
            None => Err(Error::new(Operation::Take, io::ErrorKind::OutOfMemory.into())),
        }
    }

    /// Makes the payload of an area one that stays while it is sent, again and again.
    pub fn keep(&self, area: Area) -> Kept {
        Kept::new(self.context.clone(), area)
    }

    /// Sends the areas' payloads in one call, without a copy. A blocking socket takes
    /// them all, unless a signal, a time-out or an error (a limit of memory, a reset; a
    /// datagram that cannot go) comes behind the first bytes: [`Sent::rest`] has the others,
    /// and [`send_all`](Pool::send_all) goes on with them.
    /// On UDP and AF_PACKET each is a datagram, or a frame; on TCP none may be empty.
    /// The pool must be one [for the socket](Context::pool_for). There may be at most
    /// [`MAX_PAYLOADS`](crate::MAX_PAYLOADS).
    ///
    /// The areas may be of any pool. What is done to them afterwards cannot change
    /// what the peer gets.
    ///
    /// # Errors
    /// Then nothing was sent, and the error has the areas as they were.
    pub fn send(&self, socket: impl AsFd, areas: Vec<Area>) -> Result<Sent, SendError> {
        self.send_with(socket, areas, Flags::default())
    }

    /// [`send`](Pool::send) with flags.
    pub fn send_with(
        &self,
        socket: impl AsFd,
        areas: Vec<Area>,
        flags: Flags,
    ) -> Result<Sent, SendError> {
        self.call(socket, areas, flags, 0)
    }

    /// The same on UDP, where each payload leaves as datagrams of `segment` bytes, the
    /// last one perhaps shorter.
    ///
    /// # Errors
    /// `InvalidInput` for more than 128 datagrams of a payload, or another kind of socket.
    pub fn send_segments(
        &self,
        socket: impl AsFd,
        areas: Vec<Area>,
        segment: NonZeroU16,
        flags: Flags,
    ) -> Result<Sent, SendError> {
        self.call(socket, areas, flags, u32::from(segment.get()))
    }

    fn call(
        &self,
        socket: impl AsFd,
        mut areas: Vec<Area>,
        flags: Flags,
        segment: u32,
    ) -> Result<Sent, SendError> {
        let parts = areas.iter_mut().map(|area| {
            let payload = area.start..area.start + area.len;
            (&mut area.slot, payload)
        });
        match sys::writev(self.context.device(), socket.as_fd(), parts, flags.bits(), segment) {
            Ok(taken) => Ok(Sent::new(areas, taken)),
            Err(failure) => Err(SendError {
                error: Error::at(Operation::Send, failure),
                sent: Sent { rest: areas, ..Sent::default() },
            }),
        }
    }

    /// Sends all payloads, with as many calls as that takes; signals do not stop it. At the
    /// limit of locked memory a blocking socket waits until pages that were sent come home.
    /// (`ENOBUFS` can have other reasons, as a full queue: nothing waits for these.)
    ///
    /// # Errors
    /// The error says what was sent before, and has the areas that were not.
    pub fn send_all(&self, socket: impl AsFd, areas: Vec<Area>) -> Result<Sent, SendError> {
        let socket = socket.as_fd();
        let mut total = Sent { rest: areas, ..Sent::default() };
        let mut in_vain = false;
        while !total.rest.is_empty() {
            let mut batch = std::mem::take(&mut total.rest);
            let later = batch.split_off(batch.len().min(abi::MAX_ELEMENTS));
            match self.send(socket, batch) {
                Ok(sent) => {
                    total.add(sent);
                    in_vain = false;
                }
                Err(SendError { error, sent }) => {
                    total.add(sent);
                    let again = match error.raw_os_error() {
                        Some(libc::EINTR) => true,
                        Some(libc::ENOBUFS) => self.wait_room(socket, &mut in_vain),
                        _ => false,
                    };
                    if !again {
                        total.rest.extend(later);
                        return Err(SendError { error, sent: total });
                    }
                }
            }
            total.rest.extend(later);
        }
        Ok(total)
    }

    /// After ENOBUFS: waits for room, if pages are on their way that can make some. Says whether
    /// to try again: once at most where there is room already, which is no use if the error
    /// has another reason. `in_vain` says that it was tried.
    fn wait_room(&self, socket: BorrowedFd<'_>, in_vain: &mut bool) -> bool {
        let device = self.context.device();
        let leaving = || sys::info(device, None).is_ok_and(|info| info.pool_leaving > 0);
        if !sys::is_blocking(socket) || !leaving() {
            return false;
        }
        if sys::has_room(device) {
            return !std::mem::replace(in_vain, true);
        }
        *in_vain = false;
        match sys::wait_room(device) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    /// How many areas are free.
    pub fn free(&self) -> usize {
        self.arena.free()
    }

    /// How many areas there are.
    pub fn areas(&self) -> usize {
        self.arena.total()
    }

    /// The most bytes that a payload can have.
    pub fn capacity(&self) -> usize {
        self.arena.slot_len() - self.head - self.tail
    }

    /// The context it belongs to.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

/// A part of a pool with one payload in it, at first an empty one. It is written in
/// place, moved into a sending call, and handed back by it as zeros and empty.
/// Dropping it frees it.
///
/// [`Write`] appends to the payload; `Deref` gives the payload as a slice. What an area
/// taken anew holds is zeros, or what this process had in it before.
pub struct Area {
    slot: sys::Slot<sys::Pool>,
    start: usize,
    len: usize,
    head: usize,
    tail: usize,
}

impl Area {
    /// The most bytes that its payload can have.
    pub fn capacity(&self) -> usize {
        self.slot.len() - self.head - self.tail
    }

    /// Makes the payload `len` bytes long, to be written through `DerefMut`. Bytes that
    /// were not in it before are whatever the area holds.
    ///
    /// # Panics
    /// If there is no room for them behind the payload's start.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.end() - self.start, "the area has no room for {len} bytes");
        self.len = len;
    }

    /// Makes the payload empty, and all of the capacity available again.
    pub fn clear(&mut self) {
        self.start = self.head;
        self.len = 0;
    }

    /// Appends what one `read` of `source` gives, at most what fits; 0 is its end, or
    /// that nothing fits.
    pub fn fill_from(&mut self, mut source: impl Read) -> io::Result<usize> {
        let (from, to) = (self.start + self.len, self.end());
        if from == to {
            return Ok(0);
        }
        let count = source.read(self.slot.bytes_mut(from..to))?;
        self.len += count.min(to - from);
        Ok(count)
    }

    /// Where payload bytes end at most.
    fn end(&self) -> usize {
        self.slot.len() - self.tail
    }

    /// The slot, and where in it the payload lies from its byte `from` on.
    pub(crate) fn part(&self, from: usize) -> (&sys::Slot<sys::Pool>, Range<usize>) {
        assert!(from <= self.len, "the payload has {} bytes", self.len);
        (&self.slot, self.start + from..self.start + self.len)
    }

    /// Lets go of it, as soon as nobody reads its pages.
    pub(crate) fn rest(self) {
        self.slot.rest();
    }

    /// The first `bytes` of the payload are gone.
    fn advance(&mut self, bytes: usize) {
        debug_assert!(bytes < self.len);
        self.start += bytes;
        self.len -= bytes;
    }
}

impl Deref for Area {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.slot.bytes(self.start..self.start + self.len)
    }
}

impl DerefMut for Area {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.slot.bytes_mut(self.start..self.start + self.len)
    }
}

impl AsRef<[u8]> for Area {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Area {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// Appends to the payload; writes 0 bytes when the area is full.
impl Write for Area {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fill_from(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Area").field("address", &self.as_ptr()).field("len", &self.len).finish()
    }
}

/// What a sending call did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Sent {
    /// Payload bytes taken.
    pub bytes: u64,
    /// How each payload was moved: one for each that was taken, whole or in part.
    pub transfers: Vec<Transfer>,
    /// The areas whose payloads were taken whole: zeros, and empty.
    pub areas: Vec<Area>,
    /// The other areas, in order. If the first was taken in part, only the bytes not
    /// yet sent are left in its payload.
    pub rest: Vec<Area>,
}

impl Sent {
    fn new(mut areas: Vec<Area>, taken: sys::Taken) -> Sent {
        let lens: Vec<usize> = areas.iter().map(|area| area.len).collect();
        let part = answer::part(&lens, taken.whole, taken.bytes)
            .expect("the kernel took what it was not given");
        let mut rest = areas.split_off(taken.whole);
        let count = areas.len() + usize::from(part > 0);
        if part > 0 {
            rest[0].advance(part);
        }
        for area in &mut areas {
            area.clear();
        }
        let transfers = taken.infos.into_iter().take(count).map(Transfer::from).collect();
        Sent { bytes: taken.bytes, transfers, areas, rest }
    }

    fn add(&mut self, more: Sent) {
        self.bytes += more.bytes;
        self.transfers.extend(more.transfers);
        self.areas.extend(more.areas);
        self.rest = more.rest;
    }
}

/// A failed sending call.
#[derive(Debug)]
#[non_exhaustive]
pub struct SendError {
    /// What failed.
    pub error: Error,
    /// What was sent before; `rest` has the areas that were not.
    pub sent: Sent,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        error.error
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> io::Error {
        error.error.into()
    }
}

#[cfg(test)]
#[cfg(not(miri))] // which maps no files
mod tests {
    use super::*;

    /// Areas with room for 100 bytes less than a page, and payloads of these lengths.
    fn areas(lens: &[usize]) -> Vec<Area> {
        let device = sys::tests::device();
        let arena = sys::Arena::new(device.as_fd(), lens.len(), sys::page_size()).unwrap();
        let area = |(slot, len): (_, &usize)| {
            let mut area = Area { slot, start: 60, len: 0, head: 60, tail: 40 };
            area.write_all(&vec![7; *len]).unwrap();
            area
        };
        arena.take(lens.len()).into_iter().zip(lens).map(area).collect()
    }

    fn taken(whole: usize, bytes: u64, count: usize) -> sys::Taken {
        sys::Taken { whole, bytes, infos: vec![abi::Payload::default(); count] }
    }

    #[test]
    fn an_area_takes_what_fits() {
        let mut area = areas(&[0]).remove(0);
        let most = sys::page_size() - 100;
        assert_eq!((area.capacity(), area.write(&vec![1; 2 * most]).unwrap()), (most, most));
        assert_eq!((area.write(&[1]).unwrap(), area.len()), (0, most));
        area.clear();
        assert_eq!(area.fill_from(&b"abc"[..]).unwrap(), 3);
        assert_eq!(*area, *b"abc");
    }

    #[test]
    fn what_was_taken_in_part_keeps_its_rest() {
        let sent = Sent::new(areas(&[10, 20, 30]), taken(1, 25, 3));
        assert_eq!((sent.bytes, sent.transfers.len()), (25, 2));
        assert_eq!((sent.areas.len(), sent.areas[0].len()), (1, 0));
        let rest: Vec<usize> = sent.rest.iter().map(|area| area.len()).collect();
        assert_eq!(rest, [5, 30]);
    }

    #[test]
    #[should_panic(expected = "what it was not given")]
    fn more_than_there_was() {
        Sent::new(areas(&[10]), taken(1, 11, 1));
    }
}
