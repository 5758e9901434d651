// SPDX-License-Identifier: GPL-2.0

//! `zc_writev` of few bytes to a stream: the socket copies them, as it does for `sendmsg`,
//! and the areas are cleared where they lie. That takes less than to swap their pages.
//!
//! Not of pages that somebody else reads (a send with `ZCIO_KEEP`, say): these must not
//! change, so they are swapped.

use super::{place, Outcome};
use crate::context::Moved;
use crate::ground::debug::{reached, Point};
use crate::ground::socket::{SendFlags, Tcp};
use crate::ground::uapi::IoVec;
use crate::ground::vma::{self, Kept};
use crate::plan::area::Area;
use crate::plan::ownership::Why;
use crate::plan::PAGE_SIZE;
use crate::pool::Pool;
use crate::stretch::Slots;
use kernel::prelude::*;

/// Where the areas lie.
pub(super) type Places = KVVec<(Kept<Pool>, Slots)>;

/// Where areas lie whose pages nobody holds but their pools; `None` if that is not so.
pub(super) fn places(areas: &[Area]) -> Result<Option<Places>> {
    let mut places = KVVec::with_capacity(areas.len(), GFP_KERNEL)?;
    let task = kernel::current!();
    let mm = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    for area in areas {
        let found = vma::find::<Pool>(&mm, area.base).ok_or(EFAULT)?;
        let slots = place(&found, area);
        if found.object().at_rest(slots.area.clone())? < slots.area.len() {
            return Ok(None);
        }
        // There is room for all of them.
        let _ = places.push_within_capacity((found.keep(), slots));
    }
    Ok(Some(places))
}

/// Sends and clears what `iov`, pairs of an area and its payload, says. An error only if nothing
/// was taken.
pub(super) fn send(
    tcp: Tcp<'_>,
    areas: &[Area],
    mut iov: KVVec<IoVec>,
    places: Places,
    flags: SendFlags,
    mut moved: KVVec<Moved>,
) -> Result<Outcome> {
    for (i, area) in areas.iter().enumerate() {
        let base = area.base + area.first * PAGE_SIZE + area.offset;
        let len = area.len;
        if let Some(payload) = iov.get_mut(i) {
            *payload = IoVec { base, len };
        }
    }
    iov.truncate(areas.len());
    reached(Point::WritevChecked);
    let bytes = tcp.send_user(&iov, flags)?;
    reached(Point::WritevSent);
    let (mut left, mut whole) = (bytes, 0);
    for ((area, (pool, slots)), moved) in areas.iter().zip(&places).zip(&mut moved) {
        let taken = left.min(area.len);
        left -= taken;
        moved.copied[Why::Small as usize] += taken as u64;
        if taken == area.len {
            pool.clear(slots.area.clone());
            whole += 1;
        } else {
            pool.zero(slots.payload.start, area.offset, taken);
        }
    }
    Ok(Outcome {
        whole,
        bytes,
        moved,
    })
}
