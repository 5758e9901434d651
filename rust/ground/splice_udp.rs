// SPDX-License-Identifier: GPL-2.0

//! Datagrams of a UDP source: the first one that is queued, looked at and moved ([`First`]), or
//! taken off to be sent by a task ([`Taken`]).

use super::shim;
use super::softlock::BhOff;
use super::splice::{Batch, Party, Spliced, DRAIN, SOURCE};
use crate::plan::splice::{Datagram, Source};
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// The first datagram of a source, or that there is none. It stays queued.
pub(crate) struct First(shim::zcio_datagram_seen);

/// What became of a datagram.
pub(crate) enum Passed {
    /// It was sent, and so many bytes of it were copied on the way.
    Moved(u32),
    /// The drain has no room; it will tell when it has.
    Full,
    /// It is not the first one any more.
    Gone,
    /// It takes a task to send it.
    Unusual,
    /// Try again a little later: nothing will tell when.
    Later,
    /// What was moved last, by another processor, has not arrived yet: it would be overtaken.
    Behind,
    /// It cannot be sent; this error says why.
    Failed(i32),
}

impl From<shim::zcio_passed> for Passed {
    fn from(passed: shim::zcio_passed) -> Self {
        match passed.result {
            shim::ZCIO_PASS_MOVED => Self::Moved(passed.copied),
            shim::ZCIO_PASS_FULL => Self::Full,
            shim::ZCIO_PASS_GONE => Self::Gone,
            shim::ZCIO_PASS_UNUSUAL => Self::Unusual,
            shim::ZCIO_PASS_AGAIN => Self::Later,
            shim::ZCIO_PASS_BEHIND => Self::Behind,
            _ => Self::Failed(-passed.error),
        }
    }
}

impl First {
    /// What is known of it.
    pub(crate) fn datagram(&self) -> Option<Datagram> {
        (!self.0.skb.is_null()).then_some(Datagram {
            len: self.0.len,
            segment: self.0.segment,
            hops: self.0.hops,
            unreadable: self.0.unreadable,
        })
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> u32 {
        self.0.len
    }

    /// It was joined from several.
    pub(crate) fn is_joined(&self) -> bool {
        self.0.segment > 0
    }

    /// What is seen of the source.
    pub(crate) fn source(&self) -> Source {
        Source {
            ready: 0,
            urgent: false,
            finished: self.0.finished,
            gone: false,
            error: self.0.error,
        }
    }
}

impl<T: Spliced> Party<T, SOURCE> {
    /// Looks at the first datagram that is queued.
    pub(crate) fn first(&mut self, _: &BhOff) -> First {
        let mut seen = shim::zcio_datagram_seen::default();
        // SAFETY: Valid by the type invariant; only we look at the queue.
        unsafe { shim::zcio_udp_look(self.party.as_ptr(), &mut seen) };
        First(seen)
    }

    /// Sends it on the drain, without waiting.
    pub(crate) fn pass(&mut self, first: &First, drain: &Party<T, DRAIN>, _: &BhOff) -> Passed {
        let mut passed = shim::zcio_passed::default();
        let (source, drain) = (self.party.as_ptr(), drain.party.as_ptr());
        // SAFETY: Both are valid by the type invariant. The skb is compared with the one that
        // is queued before anything else.
        unsafe { shim::zcio_udp_pass(source, drain, &first.0, &mut passed) };
        passed.into()
    }

    /// Makes several of it, as it was joined from several.
    pub(crate) fn split(&mut self, first: &First, _: &BhOff) -> Result {
        // SAFETY: As above.
        to_result(unsafe { shim::zcio_udp_split(self.party.as_ptr(), &first.0) })
    }

    /// Takes it off the queue; `None` if it is not there any more.
    pub(crate) fn take(&mut self, first: &First, _: &BhOff) -> Option<Taken> {
        // SAFETY: As above. INVARIANT: What is returned is ours.
        NonNull::new(unsafe { shim::zcio_udp_take(self.party.as_ptr(), &first.0) }).map(Taken)
    }

    /// Puts it back where it was.
    pub(crate) fn put_back(&mut self, taken: Taken, _: &BhOff) {
        let taken = core::mem::ManuallyDrop::new(taken);
        // SAFETY: By the type invariant it is ours to give away, once.
        unsafe { shim::zcio_udp_put_back(self.party.as_ptr(), taken.0.as_ptr()) }
    }

    /// It was sent.
    pub(crate) fn sent(&mut self, taken: Taken) {
        let taken = core::mem::ManuallyDrop::new(taken);
        // SAFETY: As above.
        unsafe { shim::zcio_udp_sent(self.party.as_ptr(), taken.0.as_ptr()) }
    }

    /// Gives back what the socket was charged for what was taken off.
    pub(crate) fn settle(&mut self, _: &BhOff) {
        // SAFETY: Valid by the type invariant.
        unsafe { shim::zcio_udp_settle(self.party.as_ptr()) }
    }
}

/// A datagram that is on no queue.
///
/// # Invariants
///
/// The skb is ours.
pub(crate) struct Taken(NonNull<bindings::sk_buff>);

// SAFETY: An skb belongs to no thread.
unsafe impl Send for Taken {}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { shim::zcio_udp_drop(self.0.as_ptr()) }
    }
}

impl<T: Spliced> Party<T, DRAIN> {
    /// Sends references to its pages, without waiting for room.
    pub(crate) fn send_taken(&self, taken: &Taken, batch: &mut Batch, keep_error: bool) -> Passed {
        let mut passed = shim::zcio_passed::default();
        let (drain, skb, batch) = (self.party.as_ptr(), taken.0.as_ptr(), batch.0.as_ptr());
        // SAFETY: All are valid, skb and batch nobody else's; may sleep.
        unsafe { shim::zcio_udp_send_taken(drain, skb, batch, keep_error, &mut passed) };
        passed.into()
    }
}
