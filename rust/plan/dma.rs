// SPDX-License-Identifier: GPL-2.0

//! Which memory a device reaches.

use super::PAGE_SIZE;

/// What part of memory a page is to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Zone {
    /// Any.
    All = 0,
    /// Below 4 GiB.
    Dma32 = 1,
    /// Below 16 MiB.
    Dma = 2,
}

/// The highest address in each of the zones that has a limit.
const DMA32_END: u64 = (1 << 32) - 1;
const DMA_END: u64 = (1 << 24) - 1;

/// The largest zone all of whose pages lie at or below address `reach`; `u64::MAX`: every
/// page does. `None` if there is no such zone.
pub fn zone(reach: u64) -> Option<Zone> {
    match reach {
        u64::MAX => Some(Zone::All),
        DMA32_END.. => Some(Zone::Dma32),
        DMA_END.. => Some(Zone::Dma),
        _ => None,
    }
}

/// Whether all of page `pfn` lies at or below address `reach`.
pub fn reaches(reach: u64, pfn: u64) -> bool {
    let pages = match reach.checked_add(1) {
        Some(bytes) => bytes / PAGE_SIZE as u64,
        None => return true,
    };
    pfn < pages
}
