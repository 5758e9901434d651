// SPDX-License-Identifier: GPL-2.0

//! What becomes of pages after a send that took all, some, or none of their bytes.

/// The fate of one page of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All its bytes went: it stays with the stack, the area gets a zero page.
    Gone,
    /// Only the first `n` bytes went: as `Gone`, but the others move to the new page.
    Split(usize),
    /// Nothing went: the area gets it back.
    Back,
}

/// The fate of a page with `len` payload bytes of which `sent` (counted from the first
/// byte of this page, so possibly more than `len`) have gone.
pub fn fate(len: usize, sent: usize) -> Fate {
    if sent >= len {
        Fate::Gone
    } else if sent == 0 {
        Fate::Back
    } else {
        Fate::Split(sent)
    }
}

/// Whether a page that stays in its pool while it is sent may be changed: of the `holders`
/// (references that are not of user mappings) only the pool is left.
pub fn at_rest(holders: i32) -> bool {
    holders == 1
}

/// How many of the next payloads to hand over at once, given their sizes in pages: as
/// many as `most` pages hold, but always one. Bounds the pages that are needed to
/// stand in for those that leave.
pub fn batch(pages: impl Iterator<Item = usize>, most: usize) -> usize {
    let mut total = 0usize;
    let mut count = 0;
    for n in pages {
        total = total.saturating_add(n);
        if count > 0 && total > most {
            break;
        }
        count += 1;
    }
    count
}
