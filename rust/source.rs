// SPDX-License-Identifier: GPL-2.0

//! Where a pool's pages come from: memory that a device reaches.

use crate::ground::page::OwnedPage;
use crate::plan::dma::{zone, Zone};
use kernel::prelude::*;

/// Memory up to an address.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    reach: u64,
    zone: Zone,
}

impl Source {
    /// Pages at or below address `reach`; ERANGE if there is no memory that certainly is.
    pub(crate) fn new(reach: u64) -> Result<Self> {
        let zone = zone(reach).ok_or(ERANGE)?;
        Ok(Self { reach, zone })
    }

    /// A page of zeros from there. ENOMEM also if this kernel does not have the zone.
    pub(crate) fn page(&self) -> Result<OwnedPage> {
        let page = OwnedPage::to_send(self.zone)?;
        match page.within(self.reach) {
            true => Ok(page),
            false => Err(ENOMEM),
        }
    }

    /// Whether all pages from there lie at or below an address.
    pub(crate) fn is_within(&self, reach: u64) -> bool {
        self.reach <= reach
    }
}

#[kunit_tests(zcio_source)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_where_they_are_to() -> Result {
        let four_gib = u64::from(u32::MAX);
        for reach in [four_gib, 1 << 40, u64::MAX] {
            let source = Source::new(reach)?;
            assert!(source.page()?.within(reach));
            assert!(source.is_within(reach) && source.is_within(u64::MAX));
            assert!(!source.is_within(four_gib - 1));
        }
        Ok(())
    }

    #[test]
    fn reach_below_every_zone_is_refused() {
        assert!(Source::new(0xfffff).is_err_and(|e| e == ERANGE));
    }
}
