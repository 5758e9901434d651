// SPDX-License-Identifier: GPL-2.0

//! Stretches of a pool: pages whose places in the page tables change together.

use crate::ground::page::{OwnedPage, PageRef};
use crate::ground::vma::Found;
use crate::pool::Pool;
use core::ops::Range;
use kernel::prelude::*;

/// An area's place in the mapping: its pages, and those of them that hold payload.
#[derive(Clone)]
pub(crate) struct Slots {
    pub(crate) area: Range<usize>,
    pub(crate) payload: Range<usize>,
}

/// Pages whose slots have changed: to be taken out of the page tables and put in again,
/// neighbours at once.
#[derive(Default)]
pub(crate) struct Stretch {
    /// What has to be mapped again.
    pages: Range<usize>,
    /// Where a neighbour may begin.
    neighbours: Range<usize>,
}

impl Stretch {
    /// Whether what begins at `index` is a neighbour of what was added last.
    pub(crate) fn goes_on_at(&self, index: usize) -> bool {
        self.neighbours.contains(&index)
    }

    /// Adds pages; a neighbour of them begins at `next`.
    pub(crate) fn add(&mut self, pages: Range<usize>, next: usize) {
        if self.pages.is_empty() {
            self.pages = pages;
        } else {
            self.pages.end = pages.end;
        }
        self.neighbours = next..next + 1;
    }

    /// One zap and one insert; what cannot be inserted, the fault handler does later.
    pub(crate) fn map_again(&mut self, at: &Found<'_, Pool>, slots: &[Option<OwnedPage>]) {
        let pages = core::mem::take(self).pages;
        if pages.is_empty() {
            return;
        }
        at.zap(pages.clone());
        let Ok(mut refs) = KVVec::<PageRef<'_>>::with_capacity(pages.len(), GFP_KERNEL) else {
            return;
        };
        for page in slots.get(pages.clone()).into_iter().flatten() {
            let Some(page) = page else { return };
            let _ = refs.push_within_capacity(page.borrow());
        }
        let _ = at.insert(pages.start, &refs);
    }
}
