// SPDX-License-Identifier: GPL-2.0

//! Pages that lie in the regions of a call already, and that nobody else has: bytes that are
//! to be copied go straight into them. So a program that receives small payloads touches no
//! page table: a copy is all that it pays for, as with `readv`.
//!
//! On Linux 7.2 `get_user_pages_fast_only()` does not give them, and copies get new pages.
//!
//! What such a page held is gone before the call is over, on success as on failure: the
//! regions were offered. Whoever uses it must write to all of it.

use crate::ground::page::OwnedPage;
use crate::ground::vma;
use crate::plan::PAGE_SIZE;
use crate::region::Region;
use crate::window::Window;

/// How many are looked for at once.
const AT_ONCE: usize = 16;

/// The pages of a call's regions that can be used again.
pub(crate) struct Spares<'r> {
    regions: &'r [Region],
    /// The region that was looked at last, and from which of its pages on.
    region: usize,
    first: usize,
    /// How many of its pages were looked at.
    looked: usize,
    found: [Option<OwnedPage>; AT_ONCE],
}

impl<'r> Spares<'r> {
    /// Those of these regions; nothing is looked at yet.
    pub(crate) fn new(regions: &'r [Region]) -> Self {
        Self {
            regions,
            region: 0,
            first: 0,
            looked: 0,
            found: [const { None }; AT_ONCE],
        }
    }

    /// Page `page` of region `region`, if it can be used again; each is given once. About
    /// `left` pages more will be wanted, this one included.
    pub(crate) fn take(&mut self, region: usize, page: usize, left: usize) -> Option<OwnedPage> {
        let seen = self.first..self.first + self.looked;
        if region != self.region || !seen.contains(&page) {
            self.look(region, page, left);
        }
        self.found.get_mut(page.checked_sub(self.first)?)?.take()
    }

    fn look(&mut self, region: usize, page: usize, left: usize) {
        self.found = [const { None }; AT_ONCE];
        let Some(place) = self.regions.get(region) else {
            return;
        };
        self.region = region;
        self.first = page;
        self.looked = place.pages.saturating_sub(page).min(left).clamp(1, AT_ONCE);
        let task = kernel::current!();
        let Some(mm) = task.mm().map(|mm| mm.mmap_read_lock()) else {
            return;
        };
        let first = place.first + page * PAGE_SIZE;
        if let Some(found) = vma::find::<Window>(&mm, first) {
            let places = self.found.get_mut(..self.looked).unwrap_or(&mut []);
            found.sole_pages(found.index(first), places);
        }
    }
}
