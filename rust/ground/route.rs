// SPDX-License-Identifier: GPL-2.0

//! Where a socket's bytes leave the machine: what memory the device there reaches by DMA.

use super::shim;
use super::socket::Socket;
use kernel::error::to_result;
use kernel::prelude::*;

/// What the devices reach that a socket sends through now. Routes change: this is advice.
#[derive(Clone, Copy)]
pub(crate) struct Route(shim::zcio_route);

impl Route {
    /// ENOTCONN for a socket without a peer or device, ENETUNREACH if its device is not
    /// known at the moment.
    pub(crate) fn of(socket: &Socket) -> Result<Self> {
        let mut route = shim::zcio_route::default();
        // SAFETY: The socket is valid, and the result is written in full.
        to_result(unsafe { shim::zcio_route(socket.as_ptr(), &mut route) })?;
        Ok(Self(route))
    }

    /// A way of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Self(shim::zcio_route {
            mask: u64::MAX,
            reach: u64::MAX,
            ..Default::default()
        })
    }

    /// Highest address that the device could use; `None` if it is not known, or nothing is
    /// sent by DMA.
    pub(crate) fn mask(&self) -> Option<u64> {
        self.0.dma.then_some(self.0.mask)
    }

    /// Pages up to this address reach the device; all ones if every page of this machine
    /// does.
    pub(crate) fn reach(&self) -> u64 {
        self.0.reach
    }

    /// Whether its bus copies whatever is sent (`swiotlb=force`).
    pub(crate) fn bounces(&self) -> bool {
        self.0.bounces
    }
}
