// SPDX-License-Identifier: GPL-2.0

//! Sockets that keep boundaries, and the datagrams taken from them: each goes back to the
//! front of its queue unless it is said to have been delivered.

use super::shim;
use super::skb::{Buffer, Segment};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

pub(crate) use super::shim::zcio_datagram as Description;

/// A UDP or AF_PACKET socket.
///
/// # Invariants
///
/// The pointer is a valid socket of such a kind for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct DatagramSocket<'a>(NonNull<bindings::socket>, PhantomData<&'a ()>);

impl<'a> DatagramSocket<'a> {
    /// # Safety
    ///
    /// `sock` must be a valid UDP or AF_PACKET socket for `'a`.
    pub(super) unsafe fn from_raw(sock: NonNull<bindings::socket>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(sock, PhantomData)
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::socket {
        self.0.as_ptr()
    }

    /// Takes the next datagram off the queue, waiting for it as `recvmsg()` does unless
    /// `nonblock`; `None` after a shutdown.
    pub(crate) fn take(&self, nonblock: bool) -> Result<Option<Datagram<'a>>> {
        self.take_one(nonblock, false)
    }

    /// Takes one that is there behind others; an error stays with the socket.
    pub(crate) fn take_more(&self) -> Option<Datagram<'a>> {
        self.take_one(true, true).ok().flatten()
    }

    fn take_one(&self, nonblock: bool, more: bool) -> Result<Option<Datagram<'a>>> {
        let mut err = 0;
        // SAFETY: Valid by the type invariant; `err` is valid for writing. May sleep.
        let skb = unsafe { shim::zcio_datagram_take(self.0.as_ptr(), nonblock, more, &mut err) };
        match NonNull::new(skb) {
            // INVARIANT: The skb is off the queue, and ours.
            Some(skb) => Ok(Some(Datagram {
                socket: *self,
                skb: Some(skb),
            })),
            None => to_result(err).map(|()| None),
        }
    }
}

/// A datagram that was taken off its queue.
///
/// # Invariants
///
/// The skb is on no queue, and this value owns it until it is `None`.
pub(crate) struct Datagram<'a> {
    socket: DatagramSocket<'a>,
    skb: Option<NonNull<bindings::sk_buff>>,
}

impl Datagram<'_> {
    fn as_ptr(&self) -> *mut bindings::sk_buff {
        self.skb.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    /// What `recvmsg()` would tell beside the bytes.
    pub(crate) fn describe(&self) -> Description {
        let mut description = Description::default();
        // SAFETY: Socket and skb are valid by the type invariants.
        unsafe {
            shim::zcio_datagram_describe(self.socket.0.as_ptr(), self.as_ptr(), &mut description)
        };
        description
    }

    /// Its bytes, segment by segment; EFAULT for device memory.
    pub(crate) fn segments(&self) -> Result<Segments<'_>> {
        let mut cursor = shim::zcio_cursor::default();
        // SAFETY: The skb is valid by the type invariant.
        if !unsafe { shim::zcio_datagram_start(self.as_ptr(), &mut cursor) } {
            return Err(EFAULT);
        }
        Ok(Segments {
            datagram: self,
            buffer: Buffer::new(cursor),
        })
    }

    /// Pages of it will be shown: who else has the packet must not write to them.
    pub(crate) fn shown(&self) {
        // SAFETY: Socket and skb are valid by the type invariants.
        unsafe { shim::zcio_datagram_shown(self.socket.0.as_ptr(), self.as_ptr()) }
    }

    /// It was delivered: it is gone for good.
    pub(crate) fn consume(mut self) {
        if let Some(skb) = self.skb.take() {
            // SAFETY: By the type invariant the skb was ours; it is given away once.
            unsafe { shim::zcio_datagram_consume(self.socket.0.as_ptr(), skb.as_ptr()) }
        }
    }
}

impl Drop for Datagram<'_> {
    fn drop(&mut self) {
        if let Some(skb) = self.skb.take() {
            // SAFETY: By the type invariant the skb was ours; it is given away once.
            unsafe { shim::zcio_datagram_put_back(self.socket.0.as_ptr(), skb.as_ptr()) }
        }
    }
}

/// The bytes of a datagram, segment by segment.
pub(crate) struct Segments<'a> {
    datagram: &'a Datagram<'a>,
    buffer: Buffer,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let skb = self.datagram.as_ptr();
        let seg = self.buffer.next(|cursor, segs, max| {
            // SAFETY: The skb is valid by the type invariant; there is room for `max`.
            unsafe { shim::zcio_skb_segments(skb, cursor, segs, max) }
        })?;
        // SAFETY: The skb is neither consumed nor put back while it is borrowed for `'a`.
        Some(unsafe { Segment::from_raw(seg) })
    }
}

/// Datagrams in the order they were taken. Those that are left go back in that order.
pub(crate) struct Taken<'a>(KVVec<Datagram<'a>>);

impl<'a> Taken<'a> {
    /// Room for so many.
    pub(crate) fn with_capacity(n: usize) -> Result<Self> {
        Ok(Self(KVVec::with_capacity(n, GFP_KERNEL)?))
    }

    /// Adds the one taken last; ENOMEM if there is no room.
    pub(crate) fn push(&mut self, datagram: Datagram<'a>) -> Result {
        Ok(self.0.push(datagram, GFP_KERNEL)?)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Datagram<'a>] {
        &self.0
    }

    /// They were delivered.
    pub(crate) fn consume(mut self) {
        while let Some(datagram) = self.0.pop() {
            datagram.consume();
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // The last one first, so that the first comes to the front.
        while self.0.pop().is_some() {}
    }
}
