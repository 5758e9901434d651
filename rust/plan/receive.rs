// SPDX-License-Identifier: GPL-2.0

//! Where received bytes go: laying pieces of payload into the regions offered.
//!
//! A payload is one run of consecutive bytes. A page that may be mapped keeps its bytes
//! where they are, so they continue the payload before them only if that one ends on a
//! page boundary and they start on one; else they begin the next region. A page with
//! several payloads is mapped once: they share the region, and the last one can go on in
//! the page behind. Copied bytes fit anywhere, also behind a mapped page's own bytes if
//! that page is solely owned. Those that begin a payload before a page that starts with its
//! next bytes go to the end of theirs, so that the two are one payload.

use super::PAGE_SIZE;

/// A page of the receive queue with bytes that follow each other in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Where the first byte lies in the page.
    pub offset: usize,
    /// Where the last one ends, not behind the page.
    pub end: usize,
    /// The first byte begins a payload.
    pub starts: bool,
    /// How many payloads begin behind it.
    pub more: usize,
    /// The rest of the page may be written to: nobody else has the page.
    pub owned: bool,
}

/// A page of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the region.
    pub region: usize,
    /// Page of the region.
    pub page: usize,
    /// A new payload begins with the first byte that goes there.
    pub begins: bool,
}

/// Where bytes go that are to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The page.
    pub place: Place,
    /// Where in the page.
    pub offset: usize,
    /// How many bytes; the others need another step.
    pub len: usize,
    /// The page is a new, zeroed one.
    pub fresh: bool,
}

/// Why a page cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The regions are used up: stop.
    Full,
    /// The page has more payloads than can be told of: its bytes can only be copied.
    Crowded,
}

/// A region that is offered, or just the number of its pages.
pub trait Room {
    /// How many whole pages it has.
    fn pages(&self) -> usize;
}

impl Room for usize {
    fn pages(&self) -> usize {
        *self
    }
}

/// Lays pages and copied bytes into regions, one step at a time.
pub struct Planner<'a, R> {
    /// There can be as many payloads as regions.
    regions: &'a [R],
    /// Payloads so far.
    payloads: usize,
    /// Pages that may still be used.
    left: usize,
    /// Region of the current payload.
    region: usize,
    /// Where the current payload ends in it; `None` before the first one.
    end: Option<usize>,
    /// Whether copied bytes may go behind `end` in the same page.
    room_in_page: bool,
}

impl<'a, R: Room> Planner<'a, R> {
    /// Starts with nothing laid, for at most `most` pages.
    pub fn new(regions: &'a [R], most: usize) -> Self {
        Self {
            regions,
            payloads: 0,
            left: most,
            region: 0,
            end: None,
            room_in_page: false,
        }
    }

    fn pages(&self, region: usize) -> usize {
        self.regions.get(region).map_or(0, Room::pages)
    }

    /// The page for bytes that begin a payload (`starts`) or do not, at `offset` of a page;
    /// `None` when the regions are used up.
    fn next_page(&self, offset: usize, starts: bool) -> Option<Place> {
        if self.left == 0 {
            return None;
        }
        let mut region = self.region;
        if let Some(end) = self.end {
            let page = end / PAGE_SIZE;
            if end % PAGE_SIZE == 0 && offset == 0 && !starts && page < self.pages(region) {
                return Some(Place {
                    region,
                    page,
                    begins: false,
                });
            }
            region += 1;
        }
        let free = self.payloads < self.regions.len() && self.pages(region) > 0;
        free.then_some(Place {
            region,
            page: 0,
            begins: true,
        })
    }

    /// Bytes up to `end` of a page have their place.
    fn advance(&mut self, place: Place, end: usize, room_in_page: bool) {
        self.payloads += usize::from(place.begins);
        self.region = place.region;
        self.end = Some(place.page * PAGE_SIZE + end);
        self.room_in_page = room_in_page && end < PAGE_SIZE;
    }

    /// Where a page goes that is to be mapped.
    pub fn map(&mut self, sheet: &Sheet) -> Result<Place, NoRoom> {
        let place = self
            .next_page(sheet.offset, sheet.starts)
            .ok_or(NoRoom::Full)?;
        if self.payloads + usize::from(place.begins) + sheet.more > self.regions.len() {
            return Err(NoRoom::Crowded);
        }
        self.left -= 1;
        self.payloads += sheet.more;
        self.advance(place, sheet.end, sheet.owned);
        Ok(place)
    }

    /// How many whole pages more, at most `most`, go behind the page that was just mapped,
    /// as part of its payload.
    pub fn go_on(&mut self, most: usize) -> usize {
        let Some(end) = self.end.filter(|end| end % PAGE_SIZE == 0) else {
            return 0;
        };
        let free = self.pages(self.region).saturating_sub(end / PAGE_SIZE);
        let more = most.min(free).min(self.left);
        self.left -= more;
        self.end = Some(end + more * PAGE_SIZE);
        more
    }

    /// Where the first of `want` bytes go that are to be copied, and that begin a payload or
    /// do not; call again with what is left. `None` when the regions are used up.
    ///
    /// `to_end`: should they begin a payload, the last of them goes to the end of a page.
    pub fn fill(&mut self, want: usize, starts: bool, to_end: bool) -> Option<Fill> {
        let (place, offset, fresh) = match self.end {
            Some(end) if self.room_in_page && !starts => {
                let place = Place {
                    region: self.region,
                    page: end / PAGE_SIZE,
                    begins: false,
                };
                (place, end % PAGE_SIZE, false)
            }
            _ => {
                let place = self.next_page(0, starts)?;
                let over = want % PAGE_SIZE;
                let offset = if to_end && place.begins && over > 0 {
                    PAGE_SIZE - over
                } else {
                    0
                };
                (place, offset, true)
            }
        };
        let len = want.min(PAGE_SIZE - offset);
        self.left -= usize::from(fresh);
        self.advance(place, offset + len, true);
        Some(Fill {
            place,
            offset,
            len,
            fresh,
        })
    }

    /// The region of an empty payload, which nothing follows there; `None` when the regions
    /// are used up.
    pub fn empty(&mut self) -> Option<usize> {
        let place = self.next_page(0, true)?;
        self.advance(place, self.pages(place.region) * PAGE_SIZE, false);
        Some(place.region)
    }
}
