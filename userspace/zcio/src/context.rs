// SPDX-License-Identifier: MIT
//! Contexts: one open of `/dev/zcio`, its settings and its counters.

use crate::error::Operation;
use crate::pool::Pool;
use crate::transfer::Why;
use crate::window::Window;
use crate::{abi, sys, Error, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// One open of `/dev/zcio`. Clones are the same context; windows and pools keep it open.
#[derive(Clone, Debug)]
pub struct Context {
    device: Arc<OwnedFd>,
    /// Held while a pool is mapped: which memory it is made of is a setting of the device's.
    mapping: Arc<Mutex<()>>,
}

impl Context {
    /// Opens `/dev/zcio`.
    ///
    /// # Errors
    /// [`NotFound`](std::io::ErrorKind::NotFound) if the module is not loaded,
    /// [`PermissionDenied`](std::io::ErrorKind::PermissionDenied) if the user may not.
    pub fn open() -> Result<Context> {
        let device = sys::open().map_err(|error| Error::new(Operation::Open, error))?;
        Ok(Context { device: Arc::new(device), mapping: Arc::default() })
    }

    /// Maps a window of `regions` regions, each of `region_len` bytes (rounded up to
    /// whole pages). Takes no memory until payloads arrive. One region holds one
    /// payload, so its length bounds a payload's; 64 KiB is a good length.
    pub fn window(&self, regions: usize, region_len: usize) -> Result<Window> {
        Window::new(self, regions, whole_pages(region_len))
    }

    /// Maps a pool of `areas` areas, each of `area_len` bytes (rounded up to whole
    /// pages), for sockets that need no room around a payload. The memory is
    /// allocated now and counts towards `RLIMIT_MEMLOCK`.
    pub fn pool(&self, areas: usize, area_len: usize) -> Result<Pool> {
        let _mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        Pool::new(self, areas, whole_pages(area_len), 0, 0)
    }

    /// Maps a pool whose areas keep the head and tail room that `socket` needs free;
    /// they hold so much less than `area_len`. If the socket is connected, its memory is such
    /// that the device reaches it which the socket sends through.
    pub fn pool_for(&self, socket: impl AsFd, areas: usize, area_len: usize) -> Result<Pool> {
        let socket = socket.as_fd();
        let info = self.info_for(socket)?;
        let _mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        let _any = self.target(socket)?;
        Pool::new(self, areas, whole_pages(area_len), info.head_room, info.tail_room)
    }

    /// What the module can do in general, and this context's counters.
    pub fn info(&self) -> Result<Info> {
        self.ask(None)
    }

    /// The same for one socket: its room, its smallest region. Fails if it cannot be
    /// served.
    pub fn info_for(&self, socket: impl AsFd) -> Result<Info> {
        self.ask(Some(socket.as_fd()))
    }

    /// Lets calls that move fewer than `bytes` bytes copy them; 0 copies only what must be.
    pub fn set_copy_threshold(&self, bytes: u64) -> Result<()> {
        let tune = abi::Tune { copy_threshold: bytes, ..Default::default() };
        sys::tune(self.device(), tune).map_err(|error| Error::new(Operation::Control, error))
    }

    /// Until what is returned is dropped, pools are made for the socket's device.
    fn target(&self, socket: BorrowedFd<'_>) -> Result<Target<'_>> {
        match sys::target(self.device(), Some(socket)) {
            Ok(()) => Ok(Target(self)),
            // No device is known yet.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTCONN | libc::ENETUNREACH)) => {
                Ok(Target(self))
            }
            Err(error) => Err(Error::new(Operation::Control, error)),
        }
    }

    fn ask(&self, socket: Option<BorrowedFd<'_>>) -> Result<Info> {
        let info = sys::info(self.device(), socket);
        info.map(Info::from).map_err(|error| Error::new(Operation::Control, error))
    }

    pub(crate) fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Pools are made for a device; when this is dropped, of any memory again.
struct Target<'a>(&'a Context);

impl Drop for Target<'_> {
    fn drop(&mut self) {
        // It takes no memory and cannot fail; at worst, later pools are made for the device too.
        let _ = sys::target(self.0.device(), None);
    }
}

/// The device's descriptor, for calls that this crate does not have.
impl AsFd for Context {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device()
    }
}

/// Rounds up; a length that cannot be rounded stays, and mapping it fails.
fn whole_pages(len: usize) -> usize {
    len.checked_next_multiple_of(sys::page_size()).unwrap_or(len)
}

/// What can be done here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Version of the module's interface.
    pub version: u32,
    /// Bytes in a page.
    pub page_size: usize,
    /// Most payloads in a call.
    pub max_elements: usize,
    /// Bytes a region must have.
    pub min_region: usize,
    /// Bytes an area must have before its payload.
    pub head_room: usize,
    /// Bytes an area must have behind its payload.
    pub tail_room: usize,
    /// Most bytes of one window.
    pub max_window: u64,
    /// Most bytes of one pool.
    pub max_pool: u64,
    /// Calls that move fewer bytes copy them.
    pub copy_threshold: u64,
    /// Pages that this context's windows hold.
    pub window_pages: u64,
    /// Pages that this context's pools hold, also those on their way to a peer.
    pub pool_pages: u64,
    /// Of these, those that were sent and are not known to be back.
    pub pool_leaving: u64,
    /// The highest address that the socket's device reaches; `None` if it is not known, or
    /// nothing is sent by DMA there.
    pub dma_mask: Option<u64>,
    /// Contexts in the whole system.
    pub total_contexts: u64,
    /// Pages that all windows in the system hold.
    pub total_window_pages: u64,
    /// Pages that all pools in the system hold.
    pub total_pool_pages: u64,
    /// What this context has received.
    pub rx: Counters,
    /// What it has sent.
    pub tx: Counters,
}

/// One direction's totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls that moved something.
    pub calls: u64,
    /// Payloads moved.
    pub payloads: u64,
    /// Bytes moved without a copy.
    pub mapped: u64,
    /// Bytes copied.
    pub copied: u64,
    /// Copied bytes by reason, in the order of [`Why::NAMES`].
    pub why: [u64; Why::NAMES.len()],
}

impl Counters {
    /// Copied bytes by the name of the reason, without those that are zero.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Why::NAMES.into_iter().zip(self.why).filter(|(_, bytes)| *bytes > 0)
    }
}

impl From<abi::Counters> for Counters {
    fn from(raw: abi::Counters) -> Counters {
        let abi::Counters { calls, payloads, mapped, copied, why } = raw;
        Counters { calls, payloads, mapped, copied, why: std::array::from_fn(|bit| why[bit]) }
    }
}

impl From<abi::Info> for Info {
    fn from(raw: abi::Info) -> Info {
        Info {
            version: raw.version,
            page_size: raw.page_size as usize,
            max_elements: raw.max_elements as usize,
            min_region: raw.min_region as usize,
            head_room: raw.head_room as usize,
            tail_room: raw.tail_room as usize,
            max_window: raw.max_window,
            max_pool: raw.max_pool,
            copy_threshold: raw.copy_threshold,
            window_pages: raw.window_pages,
            pool_pages: raw.pool_pages,
            pool_leaving: raw.pool_leaving,
            dma_mask: (raw.dma_mask != 0).then_some(raw.dma_mask),
            total_contexts: raw.total_contexts,
            total_window_pages: raw.total_window_pages,
            total_pool_pages: raw.total_pool_pages,
            rx: raw.rx.into(),
            tx: raw.tx.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_names() {
        let mut why = [0; 16];
        why[1] = 7;
        let counters = Counters::from(abi::Counters { why, ..Default::default() });
        assert_eq!(counters.reasons().collect::<Vec<_>>(), [("linear", 7)]);
    }

    #[test]
    fn rounding() {
        assert_eq!(whole_pages(1), sys::page_size());
        assert_eq!(whole_pages(0), 0);
        assert_eq!(whole_pages(usize::MAX), usize::MAX);
    }
}
