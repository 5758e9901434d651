// SPDX-License-Identifier: GPL-2.0

//! What tests ask for on a debug kernel (`CONFIG_FAULT_INJECTION`). The module of any
//! other kernel has nothing of it.
//!
//! In `/sys/kernel/debug/zcio`, with POINT the name of a [`Point`] as `readv_checked`:
//!
//! - `hits/POINT`: how often it was reached since the module was loaded.
//! - `delay_us/POINT`: how long whoever reaches it is held there, in microseconds; 0, as at
//!   first, for not at all; at most 10 s. The hit is counted before. Who is held looks
//!   again every millisecond, so that writing 0 lets go. So a test sets a long delay, waits
//!   for a hit, does what is to happen meanwhile, and writes 0.
//! - `plant`: writing the name of a bug commits it (`debug/plant.rs`).

#[cfg(CONFIG_FAULT_INJECTION)]
mod files;
#[cfg(CONFIG_FAULT_INJECTION)]
mod plant;

#[cfg(CONFIG_FAULT_INJECTION)]
pub(crate) use files::Files;

/// The files in debugfs, of which there are none here.
#[cfg(not(CONFIG_FAULT_INJECTION))]
pub(crate) struct Files;

#[cfg(not(CONFIG_FAULT_INJECTION))]
impl Files {
    pub(crate) fn new() -> kernel::error::Result<Self> {
        Ok(Self)
    }
}

/// Places where it could matter what others do meanwhile. All of them may sleep. The socket
/// lock is a stream's: datagrams are off their queue, and no lock of the socket is held.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    /// `readv_checked`: the arguments are good and the regions lie in windows. No lock.
    ReadvChecked,
    /// `readv_gathered`: pages are judged and zeroed around their payload, copies made;
    /// nothing is mapped. Socket lock.
    ReadvGathered,
    /// `readv_placed`: the payloads are mapped; user space has not been told. Socket lock.
    ReadvPlaced,
    /// `readv_reported`: user space has been told; nothing is consumed. Socket lock.
    ReadvReported,
    /// `window_put`: the regions of a stretch are empty, the pages not in. Mmap lock (and
    /// the socket lock, unless regions are emptied after a failure), the window's mutex.
    WindowPut,
    /// `window_fault`: a page is there to be put in, if still needed. Mmap or VMA lock.
    WindowFault,
    /// `window_unmapped`: a part of the window is gone, its marks and charges are not. Mmap
    /// lock for writing.
    WindowUnmapped,
    /// `writev_checked`: the arguments are good and the areas lie in pools. No lock.
    WritevChecked,
    /// `writev_reserved`: the pages to stand in are there; nothing is swapped. Socket lock.
    WritevReserved,
    /// `pool_swap`: the slots have other pages, the page tables not yet. Socket lock, mmap
    /// lock, the pool's mutex.
    PoolSwap,
    /// `writev_swapped`: payload pages are out of the mapping, and none is with the stack.
    /// Socket lock.
    WritevSwapped,
    /// `writev_sent`: the stack took what it takes; no page has gone its way. Socket lock.
    WritevSent,
    /// `writev_settling`: pages that went are in line; others not back yet. Socket lock.
    WritevSettling,
    /// `pool_fault`: somebody touched a page that is not in the page tables. Mmap or VMA
    /// lock.
    PoolFault,
    /// `pool_unmapped`: a part of the pool is gone, its pages are not. Mmap lock for writing.
    PoolUnmapped,
    /// `ioctl_ran`: a call with a structure is done; the structure has not been written
    /// back. No lock.
    IoctlRan,
    /// `splice_gathered`: bytes are gathered at the source. The splice's mutex.
    SpliceGathered,
    /// `splice_sent`: the drain took what it takes; nothing is consumed. The splice's mutex.
    SpliceSent,
}

/// Somebody is at this point: counts it, and holds them as long as a test wants.
#[cfg(CONFIG_FAULT_INJECTION)]
pub(crate) fn reached(point: Point) {
    files::hold(point);
}

/// Nothing but a place in the source.
#[cfg(not(CONFIG_FAULT_INJECTION))]
#[inline(always)]
pub(crate) fn reached(_: Point) {}
