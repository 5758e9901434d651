// SPDX-License-Identifier: GPL-2.0

//! Datagrams and frames to be sent: payload by reference, headers in the room before it.

use super::datagram::DatagramSocket;
use super::page::OwnedPage;
use super::shim;
use super::socket::{PageVec, SendFlags};
use crate::plan::PAGE_SIZE;
use kernel::error::to_result;
use kernel::prelude::*;

/// Bytes that the kernel's part before a payload takes: the headers, and what the stack
/// needs to know of the pages.
pub(crate) fn head_size() -> usize {
    // SAFETY: No preconditions.
    unsafe { shim::zcio_frame_head() as usize }
}

/// A place for the kernel's part: `head_size()` bytes in a page that nobody else reaches.
///
/// The kernel's own pointers will stand there, for as long as the skb lives. So a page that
/// was sent must not be shown to anybody before its count is back to one and it was cleared.
///
/// # Invariants
///
/// The bytes lie inside the page. When this was made, the page had one reference, that of the
/// `OwnedPage`: it is in no page table, and nobody reads or writes it.
pub(crate) struct Head<'a> {
    page: &'a OwnedPage,
    offset: usize,
}

impl<'a> Head<'a> {
    /// At `offset` of `page`; EINVAL if it does not fit there or somebody else holds the page.
    pub(crate) fn new(page: &'a OwnedPage, offset: usize) -> Result<Self> {
        let fits = offset.saturating_add(head_size()) <= PAGE_SIZE;
        if !fits || page.refs() != 1 {
            return Err(EINVAL);
        }
        // INVARIANT: Both were just checked. A page table's entry would hold a reference.
        Ok(Self { page, offset })
    }
}

/// What is to be said of a datagram after an attempt to send it.
#[derive(Default)]
pub(crate) struct Told {
    /// Payload bytes that were copied, as they must lie beside the headers.
    pub(crate) linear: usize,
    /// The kernel has written to the head room; its pointers may stand there.
    pub(crate) begun: bool,
    /// The device takes pages as they are.
    pub(crate) gathers: bool,
}

impl DatagramSocket<'_> {
    /// What `sendmsg()` would object to. ENOTCONN for a socket that is not connected, or of
    /// AF_PACKET not bound to a device; EOPNOTSUPP for one with options that are not served.
    pub(crate) fn check_send(&self) -> Result {
        // SAFETY: Valid by the type invariant, and not locked by us.
        to_result(unsafe { shim::zcio_frame_may_send(self.as_ptr()) })
    }

    /// Whether a payload can leave as several datagrams.
    pub(crate) fn segments(&self) -> bool {
        // SAFETY: Valid by the type invariant.
        unsafe { shim::zcio_socket_is_udp(self.as_ptr()) }
    }

    /// Sends one datagram, waiting for room as `sendmsg()` does. Its headers are built in
    /// `head`, or in memory of the kernel's. `segment`: bytes of the datagrams that it is cut into, or 0.
    pub(crate) fn send(
        &self,
        head: Option<Head<'_>>,
        payload: &mut PageVec<'_>,
        segment: u16,
        how: SendFlags,
    ) -> (Told, Result) {
        let (pieces, count, len) = payload.raw();
        let mut frame = shim::zcio_frame {
            head: head
                .as_ref()
                .map_or(core::ptr::null_mut(), |head| head.page.borrow().as_ptr()),
            head_offset: head.as_ref().map_or(0, |head| head.offset as u32),
            pieces,
            count: count as u32,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            ..Default::default()
        };
        let mut flags = 0;
        if how.nonblock {
            flags |= shim::ZCIO_SEND_DONTWAIT;
        }
        if how.more {
            flags |= shim::ZCIO_SEND_MORE;
        }
        if how.sealed {
            flags |= shim::ZCIO_SEND_SEALED;
        }
        // SAFETY: The socket is valid by the type invariant and not locked by us. The head is
        // good by its own. The pieces lie inside pages that stay alive during the call, and
        // the callee takes what references it needs.
        let err = unsafe { shim::zcio_frame_send(self.as_ptr(), &mut frame, segment, flags) };
        let told = Told {
            linear: frame.linear as usize,
            begun: frame.begun,
            gathers: frame.gathers,
        };
        (told, to_result(err))
    }
}
