// SPDX-License-Identifier: GPL-2.0
//! Where the slots lie: at fixed addresses, the same in every run, far from where the
//! kernel puts other mappings, so that a program can unmap and map there as it likes.

use crate::program::{Addr, Span, SLOTS, SLOT_PAGES};

pub const PAGE: usize = 4096;
pub const SLOT_BYTES: usize = SLOT_PAGES * PAGE;
const ARENA: usize = 0x2000_0000_0000;

pub fn slot_base(slot: usize) -> usize {
    ARENA + (slot % SLOTS) * SLOT_BYTES
}

impl Addr {
    pub fn get(self) -> usize {
        match self {
            Addr::Slot { slot, page, delta } => {
                let base = slot_base(slot as usize) + page as usize % (2 * SLOT_PAGES) * PAGE;
                // Not further than a slot: nothing outside may be unmapped.
                base.wrapping_add_signed(delta as isize % SLOT_BYTES as isize)
            }
            Addr::Null => 0,
            Addr::Kernel => 0xffff_8880_0000_0000,
            Addr::Top { below } => usize::MAX - below as usize,
            Addr::Raw(raw) => raw as usize,
        }
    }

    /// The address, if mapping or unmapping there cannot hurt the fuzzer itself.
    pub fn harmless(self) -> Option<usize> {
        matches!(self, Addr::Slot { .. }).then(|| self.get())
    }
}

impl Span {
    pub fn base(&self) -> usize {
        self.at.get()
    }

    /// The same with a length that ends with the next slot at the latest, if it lies in one.
    pub fn harmless(&self) -> Option<(usize, usize)> {
        let len = (self.len as usize).min(2 * SLOT_BYTES);
        Some((self.at.harmless()?, len))
    }
}

/// The slots that a range reaches into.
pub fn slots_of(base: usize, len: usize) -> impl Iterator<Item = usize> {
    let end = base.saturating_add(len.max(1));
    (0..SLOTS).filter(move |&slot| {
        let start = slot_base(slot);
        base < start + SLOT_BYTES && end > start
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_know_their_slots() {
        let at = |slot, page| Addr::Slot { slot, page, delta: 0 };
        let last = SLOT_PAGES as u16 - 1;
        let slots = |at: Addr, len| slots_of(at.get(), len).collect::<Vec<_>>();
        assert_eq!(slots(at(1, 0), 1), [1]);
        assert_eq!(slots(at(1, last), 4097), [1, 2]);
        assert!(slots(Addr::Null, 9).is_empty());
        assert!(slots(Addr::Top { below: 9 }, usize::MAX).is_empty());
    }

    #[test]
    fn nothing_but_slots_is_harmless() {
        assert!(Addr::Raw(0x5000).harmless().is_none());
        assert!(Addr::Slot { slot: 3, page: 2, delta: -1 }.harmless().is_some());
    }
}
