// SPDX-License-Identifier: MIT
//! Receiving: windows, and the payloads in them.

use crate::error::Operation;
use crate::transfer::{Flags, Transfer};
use crate::{abi, datagram, sys, Context, Datagram, Error, Result};
use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::os::fd::AsFd;
use std::sync::Arc;

/// Address space into which received payloads are mapped, divided into regions. All
/// methods take `&self`: threads may share a window, or better have one each.
///
/// A window may be dropped before its payloads: its memory is unmapped with the last.
#[derive(Debug)]
pub struct Window {
    context: Context,
    arena: Arc<sys::Arena<sys::Window>>,
}

impl Window {
    pub(crate) fn new(context: &Context, regions: usize, region_len: usize) -> Result<Window> {
        let arena = sys::Arena::new(context.device(), regions, region_len)
            .map_err(|error| Error::new(Operation::MapWindow, error))?;
        Ok(Window { context: context.clone(), arena })
    }

    /// Receives up to `max` payloads, waiting for the first as `read` does. They come in
    /// the order of the stream, without gaps; none is the end of the stream.
    ///
    /// On UDP and AF_PACKET each datagram is one payload or several, and comes whole: see
    /// [`Payload::is_end`]. If the first does not fit into all regions together, the rest of
    /// it is lost: [`Payload::is_truncated`]. An empty one is an empty payload.
    ///
    /// No more are received than [`free`](Window::free) says, nor than
    /// [`MAX_PAYLOADS`](crate::MAX_PAYLOADS).
    ///
    /// # Errors
    /// Then nothing has left the socket. [`Operation::Take`] if no region is free;
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) and
    /// [`Interrupted`](io::ErrorKind::Interrupted) as of any socket.
    pub fn recv(&self, socket: impl AsFd, max: usize) -> Result<Vec<Payload>> {
        self.recv_with(socket, max, Flags::default())
    }

    /// [`recv`](Window::recv) with flags.
    pub fn recv_with(&self, socket: impl AsFd, max: usize, flags: Flags) -> Result<Vec<Payload>> {
        let mut slots = self.arena.take(max.min(abi::MAX_ELEMENTS));
        if slots.is_empty() && max > 0 {
            return Err(Error::new(Operation::Take, io::ErrorKind::OutOfMemory.into()));
        }
        let device = self.context.device();
        let placed = sys::readv(device, socket.as_fd(), &mut slots, flags.bits())
            .map_err(|failure| Error::at(Operation::Receive, failure))?;
        let slots: Vec<_> = slots.into_iter().map(Arc::new).collect();
        let payload = |placed: sys::Placed| Payload {
            slot: Arc::clone(&slots[placed.slot]),
            range: placed.range,
            info: placed.info,
        };
        Ok(placed.into_iter().map(payload).collect())
    }

    /// How many regions hold no payload.
    pub fn free(&self) -> usize {
        self.arena.free()
    }

    /// How many regions there are.
    pub fn regions(&self) -> usize {
        self.arena.total()
    }

    /// Bytes in a region.
    pub fn region_len(&self) -> usize {
        self.arena.slot_len()
    }

    /// The context it belongs to.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

/// A received payload, in the pages that the network card wrote where that was
/// possible. Its bytes never change. Its region is free again when it and all others
/// that came with it in the same page are dropped; the pages themselves stay until the
/// region is received into again or the window is unmapped.
///
/// It may be sent to another thread, and outlives its socket and its [`Window`].
pub struct Payload {
    slot: Arc<sys::Slot<sys::Window>>,
    range: Range<usize>,
    info: abi::Payload,
}

impl Payload {
    /// How much of it was mapped, how much copied, and why.
    pub fn transfer(&self) -> Transfer {
        self.info.into()
    }

    /// Whether a datagram ends with this payload. Never so of a stream.
    pub fn is_end(&self) -> bool {
        self.info.flags & datagram::END != 0
    }

    /// Whether a datagram ends with this payload because it was larger than all the regions:
    /// the rest of it is lost.
    pub fn is_truncated(&self) -> bool {
        self.info.flags & datagram::TRUNCATED != 0
    }

    /// The datagram or frame that it belongs to: its length, who sent it, when it came. All
    /// payloads of one say the same. `None` for a stream.
    pub fn datagram(&self) -> Option<Datagram> {
        Datagram::of(&self.info)
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.slot.bytes(self.range.clone())
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("address", &self.as_ptr())
            .field("len", &self.len())
            .field("transfer", &self.transfer())
            .finish()
    }
}
