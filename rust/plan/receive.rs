// SPDX-License-Identifier: GPL-2.0

//! Where received bytes go: laying pieces of payload into the regions offered.
//!
//! A payload is one run of consecutive bytes in one region. A piece whose page may be
//! mapped keeps its offset in the page, so it continues the payload before it only if
//! that one ends on a page boundary and the piece starts on one; else it begins the
//! next region. Copied bytes fit anywhere, also behind a mapped page's own bytes if
//! that page is solely owned.

use super::ownership::{Verdict, Why};
use super::PAGE_SIZE;

/// Bytes of one page of the receive queue, in stream order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where they begin in their page.
    pub offset: usize,
    /// How many, not 0; they end inside the page.
    pub len: usize,
    /// What may be done with the page.
    pub verdict: Verdict,
}

/// What to do with (the first bytes of) a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Map the piece's page as page `page` of region `region`; the piece is done.
    Map {
        /// Index of the region.
        region: usize,
        /// Page of the region.
        page: usize,
        /// A new payload begins here.
        begins: bool,
    },
    /// Copy the first `len` bytes of the piece to `offset` of page `page`.
    Fill {
        /// Index of the region.
        region: usize,
        /// Page of the region.
        page: usize,
        /// Where in the page.
        offset: usize,
        /// How many bytes; the others need another step.
        len: usize,
        /// The page is a new, zeroed one.
        fresh: bool,
        /// A new payload begins here.
        begins: bool,
        /// Why it is a copy.
        why: Why,
    },
    /// No room in the regions for this piece: stop.
    Full,
}

/// Lays pieces into regions, one step at a time.
pub struct Planner<'a> {
    /// Whole pages of each region.
    regions: &'a [usize],
    /// Region of the current payload.
    region: usize,
    /// Where the current payload ends in it; `None` before the first one.
    end: Option<usize>,
    /// Whether copied bytes may go behind `end` in the same page.
    room_in_page: bool,
}

impl<'a> Planner<'a> {
    /// Starts with nothing laid.
    pub fn new(regions: &'a [usize]) -> Self {
        Self {
            regions,
            region: 0,
            end: None,
            room_in_page: false,
        }
    }

    fn pages(&self, region: usize) -> usize {
        self.regions.get(region).copied().unwrap_or(0)
    }

    /// The page for a piece that starts at `offset` of a page, and whether a new payload
    /// begins there; `None` when the regions are used up.
    fn next_page(&mut self, offset: usize) -> Option<(usize, bool)> {
        if let Some(end) = self.end {
            let page = end.div_ceil(PAGE_SIZE);
            let joins = end % PAGE_SIZE == 0 && offset == 0;
            if joins && page < self.pages(self.region) {
                return Some((page, false));
            }
            self.region += 1;
        }
        (self.pages(self.region) > 0).then_some((0, true))
    }

    /// Decides the next step for `piece`. After `Fill`, call again with what is left.
    pub fn place(&mut self, piece: &Piece) -> Step {
        match piece.verdict {
            Verdict::Owned | Verdict::Show => {
                let Some((page, begins)) = self.next_page(piece.offset) else {
                    return Step::Full;
                };
                let end = page * PAGE_SIZE + piece.offset + piece.len;
                self.end = Some(end);
                self.room_in_page = piece.verdict == Verdict::Owned && end % PAGE_SIZE != 0;
                Step::Map {
                    region: self.region,
                    page,
                    begins,
                }
            }
            Verdict::Copy(why) => self.fill(piece.len, why),
        }
    }

    fn fill(&mut self, want: usize, why: Why) -> Step {
        let (page, offset, fresh, begins) = match self.end {
            Some(end) if self.room_in_page => (end / PAGE_SIZE, end % PAGE_SIZE, false, false),
            _ => match self.next_page(0) {
                Some((page, begins)) => (page, 0, true, begins),
                None => return Step::Full,
            },
        };
        let len = want.min(PAGE_SIZE - offset);
        let end = page * PAGE_SIZE + offset + len;
        self.end = Some(end);
        self.room_in_page = end % PAGE_SIZE != 0;
        Step::Fill {
            region: self.region,
            page,
            offset,
            len,
            fresh,
            begins,
            why,
        }
    }
}
