// SPDX-License-Identifier: GPL-2.0

//! Memory for devices: what a zone promises, and which pages a device reaches.

use crate::plan::dma::{reaches, zone, Zone};
use crate::plan::PAGE_SIZE;

/// The last address in a zone.
fn end(zone: Zone) -> u128 {
    match zone {
        Zone::All => u128::MAX,
        Zone::Dma32 => (1 << 32) - 1,
        Zone::Dma => (1 << 24) - 1,
    }
}

/// A page is reached if its last byte is; all ones reach everything.
pub fn page(reach: u64, pfn: u64) {
    let last = (u128::from(pfn) + 1) * PAGE_SIZE as u128 - 1;
    let good = reach == u64::MAX || last <= u128::from(reach);
    assert_eq!(reaches(reach, pfn), good, "page {pfn:#x}, reach {reach:#x}");
}

/// The zone for a device is the largest that lies within its reach.
pub fn largest_zone(reach: u64) {
    let within = |z: &Zone| reach == u64::MAX || end(*z) <= u128::from(reach);
    let best = [Zone::All, Zone::Dma32, Zone::Dma].into_iter().find(within);
    assert_eq!(zone(reach), best, "reach {reach:#x}");
}
