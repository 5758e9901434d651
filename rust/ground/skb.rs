// SPDX-License-Identifier: GPL-2.0

//! Received bytes: the segments of skbs, and the pages they lie in.

use super::page::PageRef;
use super::shim;
use crate::plan::ownership::fact;
use crate::plan::queue::Seg;
use crate::plan::PAGE_SIZE;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// How many segments are fetched at once.
const SEGMENTS: usize = 18;

/// Segments on their way from the C side, and where it goes on there.
pub(super) struct Buffer {
    cursor: shim::zcio_cursor,
    segs: [shim::zcio_seg; SEGMENTS],
    filled: usize,
    next: usize,
}

impl Buffer {
    /// An empty one.
    pub(super) fn new(cursor: shim::zcio_cursor) -> Self {
        Self {
            cursor,
            segs: [shim::zcio_seg::default(); SEGMENTS],
            filled: 0,
            next: 0,
        }
    }

    /// The next segment; `fill` gets room for so many more.
    pub(super) fn next(
        &mut self,
        fill: impl FnOnce(&mut shim::zcio_cursor, *mut shim::zcio_seg, u32) -> u32,
    ) -> Option<shim::zcio_seg> {
        if self.next == self.filled {
            let n = fill(&mut self.cursor, self.segs.as_mut_ptr(), SEGMENTS as u32);
            self.filled = (n as usize).min(SEGMENTS);
            self.next = 0;
        }
        let seg = *self.segs.get(self.next..self.filled)?.first()?;
        self.next += 1;
        Some(seg)
    }
}

/// A run of received bytes in one frag (or in the linear part) of a queued skb.
///
/// # Invariants
///
/// The skb stays as it is, and the frag holds its pages, for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    seg: shim::zcio_seg,
    _queue: PhantomData<&'a ()>,
}

impl<'a> Segment<'a> {
    /// # Safety
    ///
    /// `seg` must be of the C side, and its skb must neither change nor go for `'a`.
    pub(super) unsafe fn from_raw(seg: shim::zcio_seg) -> Self {
        // INVARIANT: By the safety requirement.
        Self {
            seg,
            _queue: PhantomData,
        }
    }

    /// No bytes at all, for an empty datagram.
    pub(crate) fn empty() -> Self {
        // INVARIANT: There is no skb and no page that could go.
        Self {
            seg: shim::zcio_seg {
                facts: fact::LINEAR,
                ..Default::default()
            },
            _queue: PhantomData,
        }
    }

    /// What the planning needs to know of it.
    pub(crate) fn seen(&self) -> Seg {
        Seg {
            folio: self.seg.folio,
            page: self.seg.pfn,
            offset: self.seg.offset as usize,
            len: self.seg.len as usize,
            bits: self.seg.facts,
            refs: self.seg.refs,
            starts: false,
        }
    }

    /// The page that holds the byte `at` of this segment; `None` for linear data.
    pub(crate) fn page(&self, at: usize) -> Option<PageRef<'a>> {
        if self.seg.facts & fact::LINEAR != 0 || at >= self.seg.len as usize {
            return None;
        }
        // SAFETY: By the type invariant the frag keeps its pages for `'a`.
        let first = unsafe { PageRef::from_raw(NonNull::new(self.seg.page)?) };
        match (self.seg.offset as usize + at) / PAGE_SIZE {
            0 => Some(first),
            // SAFETY: The byte lies inside the frag, so its page is one of the folio's.
            n => Some(unsafe { first.nth(n) }),
        }
    }

    /// Copies `len` bytes from byte `at` on to `offset` of `to`.
    pub(crate) fn copy(&self, at: usize, to: PageRef<'_>, offset: usize, len: usize) -> Result {
        if at + len > self.seg.len as usize || offset + len > PAGE_SIZE {
            return Err(EINVAL);
        }
        // SAFETY: The skb is there by the type invariant and holds these bytes; the
        // range lies inside the page.
        to_result(unsafe {
            shim::zcio_skb_copy(
                self.seg.skb,
                self.seg.skb_offset + at as u32,
                to.as_ptr(),
                offset as u32,
                len as u32,
            )
        })
    }
}
