// SPDX-License-Identifier: GPL-2.0

//! The areas that a call names: are they good, in which pools do they lie, can the device
//! reach them, and which of their pages are in use?

use crate::context::{Context, Done};
use crate::ground::frame;
use crate::ground::poll::free_read;
use crate::ground::uapi::{IoVec, KeptArea};
use crate::ground::vma::{self, Found, Kept};
use crate::plan::area::{self, Area, Rooms};
use crate::plan::span::{find_overlap, Span};
use crate::plan::PAGE_SIZE;
use crate::pool::Pool;
use core::ops::Range;
use kernel::mm::MmapReadGuard;
use kernel::prelude::*;
use kernel::sync::Arc;

/// How many of an area's pages are in use; see `zcio_kept`.
pub(crate) fn kept(args: &mut KeptArea) -> Result<Done> {
    let (base, len) = (args.base as usize, args.len as usize);
    let whole = len > 0 && base % PAGE_SIZE == 0 && len % PAGE_SIZE == 0;
    if !whole || base.checked_add(len).is_none() || args.reserved != [0; 4] {
        return Err(EINVAL);
    }
    free_read();
    let task = kernel::current!();
    let mm = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    let found = vma::find::<Pool>(&mm, base).filter(|found| found.contains(base, len));
    let found = found.ok_or(EFAULT)?;
    let first = found.index(base);
    let pages = len / PAGE_SIZE;
    args.done = found.object().at_rest(first..first + pages)? as u64;
    args.pages = pages as u64;
    Ok(Done {
        count: 0,
        count_says_all: false,
    })
}

/// Checks the pairs by themselves. Without any room for a head, the payloads are a stream's.
pub(super) fn check_areas(
    iov: &[IoVec],
    rooms: Rooms,
    error_index: &mut i32,
) -> Result<KVVec<Area>> {
    let mut areas = KVVec::with_capacity(iov.len() / 2, GFP_KERNEL)?;
    for (i, pair) in iov.chunks_exact(2).enumerate() {
        let (span, payload) = (Span::from(pair[0]), Span::from(pair[1]));
        let good = match rooms.head {
            0 => area::check(&span, &payload, rooms),
            _ => area::check_headed(&span, &payload, rooms, frame::head_size()),
        };
        let Some(area) = good else {
            *error_index = i as i32;
            return Err(EINVAL);
        };
        areas.push(area, GFP_KERNEL)?;
    }
    let overlap = find_overlap(&areas, |n| KVVec::from_elem(0, n, GFP_KERNEL))?;
    if let Some(i) = overlap {
        *error_index = i as i32;
        return Err(EINVAL);
    }
    Ok(areas)
}

/// EFAULT for an area outside every pool, or in one that is not writable now (for `keep`:
/// readable).
pub(super) fn find_pools(
    areas: &[Area],
    keep: bool,
    error_index: &mut i32,
) -> Result<Arc<Context>> {
    let task = kernel::current!();
    let mm = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    let mut context = None;
    for (i, area) in areas.iter().enumerate() {
        let len = area.pages * PAGE_SIZE;
        let found = vma::find::<Pool>(&mm, area.base).filter(|found| match keep {
            false => found.contains_writable(area.base, len),
            true => found.contains_readable(area.base, len),
        });
        let Some(found) = found else {
            *error_index = i as i32;
            return Err(EFAULT);
        };
        context.get_or_insert_with(|| found.object().context.clone());
    }
    context.ok_or(EINVAL)
}

/// EINVAL for an area with payload where the device cannot reach it.
pub(super) fn check_reach(areas: &[Area], reach: u64, error_index: &mut i32) -> Result {
    if reach == u64::MAX {
        return Ok(());
    }
    let task = kernel::current!();
    let mm = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    for (i, area) in areas.iter().enumerate() {
        let found = vma::find::<Pool>(&mm, area.base).ok_or(EFAULT)?;
        let pool = found.object();
        if !pool.source.is_within(reach) && !pool.are_within(payload_pages(&found, area), reach) {
            *error_index = i as i32;
            return Err(EINVAL);
        }
    }
    Ok(())
}

/// The first areas that lie in one pool, at most `most`: all, as a rule.
pub(super) fn first_pool<'a>(
    lock: &MmapReadGuard<'_>,
    areas: &'a [Area],
    most: usize,
) -> Result<(Kept<Pool>, &'a [Area])> {
    let base = areas.first().ok_or(EINVAL)?.base;
    let found = vma::find::<Pool>(lock, base).ok_or(EFAULT)?;
    let inside = |a: &&Area| found.contains(a.base, a.pages * PAGE_SIZE);
    let count = areas.iter().take(most).take_while(inside).count();
    Ok((found.keep(), areas.get(..count).ok_or(EINVAL)?))
}

/// The pages of a mapping that an area's payload lies in.
pub(super) fn payload_pages(found: &Found<'_, Pool>, area: &Area) -> Range<usize> {
    let first = found.index(area.base) + area.first;
    first..first + area.used
}

#[kunit_tests(zcio_areas)]
mod tests {
    use super::super::Batch;
    use super::*;

    /// An area of `pages` pages with a payload of `len` bytes from `offset` on.
    fn pair(page: usize, pages: usize, offset: usize, len: usize) -> [IoVec; 2] {
        let base = page * PAGE_SIZE;
        let area = IoVec {
            base,
            len: pages * PAGE_SIZE,
        };
        let payload = IoVec {
            base: base + offset,
            len,
        };
        [area, payload]
    }

    #[test]
    fn payloads_are_cut_at_pages() -> Result {
        let iov = [
            pair(10, 4, 100, 3 * PAGE_SIZE),
            pair(20, 2, 0, 2 * PAGE_SIZE),
        ];
        let areas = check_areas(iov.as_flattened(), Rooms::default(), &mut -1)?;
        let expected = [
            (0, 0, 100, PAGE_SIZE - 100),
            (0, 1, 0, PAGE_SIZE),
            (0, 2, 0, PAGE_SIZE),
            (0, 3, 0, 100),
            (1, 0, 0, PAGE_SIZE),
            (1, 1, 0, PAGE_SIZE),
        ];
        let pieces = Batch::pieces(&areas).map(|p| (p.payload, p.nth, p.offset, p.len));
        assert!(pieces.eq(expected));
        Ok(())
    }

    #[test]
    fn wrong_area_is_named() -> Result {
        let good = pair(10, 1, 0, 1);
        for bad in [
            pair(20, 1, 0, 0),
            pair(20, 1, 1, PAGE_SIZE),
            pair(20, 0, 0, 1),
        ] {
            let mut wrong = -1;
            let iov = [good, bad];
            assert!(
                check_areas(iov.as_flattened(), Rooms::default(), &mut wrong)
                    .is_err_and(|e| e == EINVAL)
            );
            assert_eq!(wrong, 1);
        }
        Ok(())
    }

    #[test]
    fn areas_that_overlap_are_refused_in_any_order() {
        let (one, other) = (pair(10, 4, 0, 1), pair(13, 4, 0, 1));
        for iov in [[one, other], [other, one]] {
            let mut wrong = -1;
            assert!(
                check_areas(iov.as_flattened(), Rooms::default(), &mut wrong)
                    .is_err_and(|e| e == EINVAL)
            );
            assert!(wrong >= 0);
        }
        assert!(check_areas(
            [one, pair(14, 4, 0, 1)].as_flattened(),
            Rooms::default(),
            &mut -1
        )
        .is_ok());
    }
}
