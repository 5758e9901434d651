// SPDX-License-Identifier: GPL-2.0

//! Windows: where received payloads are mapped.
//!
//! A window knows of each of its pages whether there can be a page table entry. Pages
//! with none need no zapping, and a page that is read before a payload came shows zeros.
//!
//! Lock order: the window's mutex comes after the mmap lock, in the calls and in the
//! fault handler alike.

use crate::charge::Holder;
use crate::context::Context;
use crate::ground::page::{OwnedPage, PageRef};
use crate::ground::vma::{Found, Mapping};
use core::ops::Range;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};

/// Most pages in one window: 4 GiB.
pub(crate) const MAX_PAGES: usize = 1 << 20;

/// What a page of the window holds.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Slot {
    /// No page table entry.
    Empty,
    /// The kernel's page of zeros, at most.
    Zero,
    /// A page that is charged.
    Held,
}

/// The object behind one window mapping.
pub(crate) struct Window {
    /// The context that it was mapped from.
    pub(crate) context: Arc<Context>,
    slots: Pin<KBox<Mutex<KVVec<Slot>>>>,
}

impl Window {
    /// A window of `pages` pages, all empty.
    pub(crate) fn new(context: Arc<Context>, pages: usize) -> Result<Self> {
        let slots = KVVec::from_elem(Slot::Empty, pages, GFP_KERNEL_ACCOUNT)?;
        Ok(Self {
            context,
            slots: KBox::pin_init(new_mutex!(slots, "zcio_window"), GFP_KERNEL)?,
        })
    }

    /// Empties the pages `stretch`, then puts pages into it: `runs` are indices of the
    /// window with the pages that follow each other from there. All or nothing: after an
    /// error the stretch is empty.
    pub(crate) fn put<'p>(
        &self,
        at: &Found<'_, Self>,
        stretch: Range<usize>,
        runs: impl Iterator<Item = (usize, &'p [PageRef<'p>])> + Clone,
    ) -> Result {
        let mut guard = self.slots.lock();
        let slots = guard.get_mut(stretch.clone()).ok_or(EFAULT)?;
        let old = slots.iter().filter(|s| **s == Slot::Held).count();
        let new = runs.clone().map(|(_, pages)| pages.len()).sum::<usize>();
        self.context
            .account
            .charge(Holder::Window, new.saturating_sub(old))?;
        clear(at, slots, stretch.start);

        let fill = || {
            for (index, pages) in runs {
                let first = index.checked_sub(stretch.start).ok_or(EFAULT)?;
                let run = slots.get_mut(first..first + pages.len()).ok_or(EFAULT)?;
                run.fill(Slot::Held);
                at.insert(index, pages)?;
            }
            Ok(())
        };
        let result = fill();
        let spare = if result.is_err() {
            clear(at, slots, stretch.start);
            old.max(new)
        } else {
            old.saturating_sub(new)
        };
        self.context.account.uncharge(Holder::Window, spare);
        result
    }

    fn forget(&self, slots: &mut [Slot]) {
        let held = slots.iter().filter(|s| **s == Slot::Held).count();
        slots.fill(Slot::Empty);
        self.context.account.uncharge(Holder::Window, held);
    }
}

/// Empties pages, with one zap from the first that may be there to the last.
fn clear(at: &Found<'_, Window>, slots: &mut [Slot], start: usize) {
    let used = |s: &Slot| *s != Slot::Empty;
    let (Some(first), Some(last)) = (slots.iter().position(used), slots.iter().rposition(used))
    else {
        return;
    };
    at.zap(start + first..start + last + 1);
    slots.fill(Slot::Empty);
}

impl Mapping for Window {
    /// A page without a payload: zeros. In a read-only window all such pages are one; in a
    /// writable one it takes a page, which is charged.
    fn fault(&self, at: &Found<'_, Self>, index: usize) -> Result {
        if !at.may_be_written() {
            let zero = PageRef::zero().ok_or(ENOMEM)?;
            let mut slots = self.slots.lock();
            let slot = slots.get_mut(index).ok_or(EFAULT)?;
            if *slot == Slot::Empty {
                *slot = Slot::Zero;
            }
            return at.insert(index, &[zero]);
        }
        let page = OwnedPage::to_receive()?;
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(index).ok_or(EFAULT)?;
        // A page that was there and is not (MADV_DONTNEED) is still charged.
        let fresh = usize::from(*slot != Slot::Held);
        self.context.account.charge(Holder::Window, fresh)?;
        let result = at.insert(index, &[page.borrow()]);
        if result.is_ok() {
            *slot = Slot::Held;
        } else {
            self.context.account.uncharge(Holder::Window, fresh);
        }
        result
    }

    fn unmapped(&self, pages: Range<usize>) {
        let mut slots = self.slots.lock();
        if let Some(slots) = slots.get_mut(pages) {
            self.forget(slots);
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut slots = self.slots.lock();
        self.forget(&mut slots);
    }
}
