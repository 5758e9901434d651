// SPDX-License-Identifier: GPL-2.0

//! Bugs on purpose, each of a kind that a checker of the debug kernel is there for. The
//! suite plants them (`tests/rig/planted.py`) and must then fail, or its net has a hole.

use super::super::page::OwnedPage;
use core::mem::{forget, ManuallyDrop};
use kernel::prelude::*;
use kernel::{new_mutex, new_spinlock};

/// Commits the bug of that name.
pub(super) fn plant(bug: &str) -> Result {
    match bug {
        "leak" => leak(),
        "lock-inversion" => lock_inversion(),
        "page-use-after-put" => page_use_after_put(),
        "sleep-in-atomic" => sleep_in_atomic(),
        "use-after-free" => use_after_free(),
        _ => Err(EINVAL),
    }
}

/// Memory that nothing points to.
#[inline(never)]
fn leak() -> Result {
    forget(KBox::new([1u64; 12], GFP_KERNEL)?);
    Ok(())
}

/// Two locks taken in one order, then in the other.
#[inline(never)]
fn lock_inversion() -> Result {
    let first = KBox::pin_init(new_mutex!((), "zcio_plant_first"), GFP_KERNEL)?;
    let second = KBox::pin_init(new_mutex!((), "zcio_plant_second"), GFP_KERNEL)?;
    {
        let _outer = first.lock();
        let _inner = second.lock();
    }
    let _outer = second.lock();
    let _inner = first.lock();
    Ok(())
}

/// A page that is read when its last reference has been given back.
#[inline(never)]
fn page_use_after_put() -> Result {
    let to = OwnedPage::to_receive()?;
    let mut page = ManuallyDrop::new(OwnedPage::to_receive()?);
    // SAFETY: There is none, that is the bug: the page is used once more.
    unsafe { ManuallyDrop::drop(&mut page) };
    to.copy_from(&page, 0, 64);
    Ok(())
}

/// An allocation that may sleep, with a spinlock held.
#[inline(never)]
fn sleep_in_atomic() -> Result {
    let lock = KBox::pin_init(new_spinlock!((), "zcio_plant_spin"), GFP_KERNEL)?;
    let _guard = lock.lock();
    KBox::new(0, GFP_KERNEL)?;
    Ok(())
}

/// Memory that is read when it has been freed.
#[inline(never)]
fn use_after_free() -> Result {
    let place = KBox::into_raw(KBox::new(0u64, GFP_KERNEL)?);
    // SAFETY: `into_raw` gave the pointer.
    drop(unsafe { KBox::from_raw(place) });
    // SAFETY: There is none, that is the bug.
    unsafe { place.read_volatile() };
    Ok(())
}
