// SPDX-License-Identifier: GPL-2.0

//! Regions: where user space wants payloads, as it offers them in a call.

use crate::ground::uapi::IoVec;
use crate::plan::receive::Room;
use crate::plan::span::{check_region, find_overlap, Span};
use crate::plan::PAGE_SIZE;
use kernel::prelude::*;

/// Bytes of whole pages that a region must have: whatever comes can be cut anywhere, so
/// one page always holds a payload.
pub(crate) const MIN_REGION: usize = PAGE_SIZE;

/// The whole pages of a region.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    /// Address of the first.
    pub(crate) first: usize,
    /// How many.
    pub(crate) pages: usize,
}

impl Region {
    /// The address behind the last.
    pub(crate) fn end(&self) -> usize {
        self.first + self.pages * PAGE_SIZE
    }
}

impl Room for Region {
    fn pages(&self) -> usize {
        self.pages
    }
}

/// The regions that elements describe; EINVAL, with its index, for the first that has no whole
/// page or overlaps another.
pub(crate) fn check_regions(iov: &[IoVec], error_index: &mut i32) -> Result<KVVec<Region>> {
    let mut regions = KVVec::with_capacity(iov.len(), GFP_KERNEL)?;
    for (i, v) in iov.iter().enumerate() {
        let span = Span::from(*v);
        let Some((first, pages)) = check_region(&span, MIN_REGION) else {
            *error_index = i as i32;
            return Err(EINVAL);
        };
        regions.push(Region { first, pages }, GFP_KERNEL)?;
    }
    let overlap = find_overlap(iov, |n| KVVec::from_elem(0, n, GFP_KERNEL))?;
    if let Some(i) = overlap {
        *error_index = i as i32;
        return Err(EINVAL);
    }
    Ok(regions)
}

#[kunit_tests(zcio_region)]
mod tests {
    use super::*;
    use crate::ground::uapi;

    /// What becomes of regions at these pages, of two pages each; the wrong one's index.
    fn check(pages: &[usize]) -> core::result::Result<usize, (Error, i32)> {
        let mut wrong = -1;
        let mut check = || {
            let mut iov = KVVec::with_capacity(pages.len(), GFP_KERNEL)?;
            for page in pages {
                let base = page * PAGE_SIZE;
                let len = 2 * PAGE_SIZE;
                iov.push(IoVec { base, len }, GFP_KERNEL)?;
            }
            check_regions(&iov, &mut wrong)
        };
        match check() {
            Ok(regions) => Ok(regions.iter().map(|region| region.pages).sum()),
            Err(e) => Err((e, wrong)),
        }
    }

    #[test]
    fn neighbours_are_good_in_any_order() {
        assert_eq!(check(&[10]), Ok(2));
        assert_eq!(check(&[10, 12, 14, 16]), Ok(8));
        assert_eq!(check(&[16, 14, 12, 10]), Ok(8));
        assert_eq!(check(&[12, 16, 10, 14]), Ok(8));
    }

    #[test]
    fn overlap_is_found_in_any_order() {
        assert!(check(&[10, 10]).is_err());
        assert_eq!(check(&[10, 11]), Err((EINVAL, 1)));
        assert!(check(&[14, 10, 20, 13]).is_err_and(|(e, wrong)| e == EINVAL && wrong >= 0));
    }

    #[test]
    fn most_regions_are_sorted_for_it() -> Result {
        let most = uapi::MAX_ELEMENTS as usize;
        let mut pages = KVVec::with_capacity(most, GFP_KERNEL)?;
        for n in 0..most {
            // Each place once, in an order that is none.
            pages.push(n * 389 % most * 2, GFP_KERNEL)?;
        }
        assert_eq!(check(&pages), Ok(2 * most));
        if let Some(page) = pages.last_mut() {
            *page += 1;
        }
        assert!(check(&pages).is_err());
        Ok(())
    }

    #[test]
    fn region_without_a_whole_page_is_named() {
        let mut wrong = -1;
        let good = IoVec {
            base: 10 * PAGE_SIZE,
            len: PAGE_SIZE,
        };
        let cut = IoVec {
            base: 20 * PAGE_SIZE + 1,
            len: 2 * PAGE_SIZE - 2,
        };
        assert!(check_regions(&[good, cut], &mut wrong).is_err_and(|e| e == EINVAL));
        assert_eq!(wrong, 1);
    }
}
