// SPDX-License-Identifier: GPL-2.0

//! From a receive queue into regions, step by step: what `queue` says of the pages and
//! where `receive` has room for them become a few simple effects, which somebody else has.

use super::ownership::{fact, Verdict, Why};
use super::queue::{alone, groups, Group, Part, Seg};
use super::receive::{Fill, NoRoom, Planner, Room, Sheet};
use super::PAGE_SIZE;

/// Who carries out what was decided. The pages of a region come one after the other, from
/// its first on; bytes are always those of the page that came last.
pub trait Sink {
    /// What can go wrong; then nothing more is asked for.
    type Error;

    /// The next `pages` pages of `region` are the queue's, from the one on that holds the
    /// first byte of `part`.
    fn map(&mut self, region: usize, part: &Part, pages: usize) -> Result<(), Self::Error>;

    /// Bytes of a page just mapped are nobody's payload and must read as zeros.
    fn zero(&mut self, offset: usize, len: usize);

    /// The next page of `region` is a new one, full of zeros.
    fn fresh(&mut self, region: usize) -> Result<(), Self::Error>;

    /// A payload begins at `offset` of `region`, with segment `seg` of the run. That of an
    /// empty datagram has no page and no bytes.
    fn begin(&mut self, region: usize, offset: usize, seg: usize) -> Result<(), Self::Error>;

    /// The payload has `len` more bytes, in the pages just mapped.
    fn mapped(&mut self, len: usize) -> Result<(), Self::Error>;

    /// The payload has the bytes of `part` more, to be copied to `offset` of the page.
    fn copied(&mut self, part: &Part, offset: usize, why: Why) -> Result<(), Self::Error>;
}

/// Lays a run of segments of one folio, behind which comes `next`, into windows that user
/// space can write to (`writable`) or not; false when there was not room for all of it.
pub fn lay<R: Room, S: Sink>(
    planner: &mut Planner<'_, R>,
    run: &[Seg],
    next: Option<&Seg>,
    writable: bool,
    sink: &mut S,
) -> Result<bool, S::Error> {
    if let [Seg { len: 0, .. }] = run {
        return empty(planner, sink);
    }
    // What drivers mostly write: a page for each frame, or several.
    if let Some(group) = alone(run, writable) {
        return lay_group(planner, run, &group, next, sink);
    }
    for group in groups(run, writable) {
        if !lay_group(planner, run, &group, next, sink)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lay_group<R: Room, S: Sink>(
    planner: &mut Planner<'_, R>,
    run: &[Seg],
    group: &Group,
    next: Option<&Seg>,
    sink: &mut S,
) -> Result<bool, S::Error> {
    let owned = match group.verdict {
        Verdict::Copy(why) => {
            let to_end = why == Why::Linear && next.is_some_and(begins_a_page);
            return copy(planner, run, group, why, to_end, sink);
        }
        Verdict::Owned => true,
        Verdict::Show => false,
    };
    if group.pages > 1 {
        map_many(planner, run, group, sink)
    } else if group.count > 1 {
        map(planner, run, group, owned, sink)
    } else {
        map_part(planner, run, group, owned, sink)
    }
}

/// Its first byte is that of a page, and goes on in the payload before it. (Where room is
/// short, no page may be left empty in part.)
fn begins_a_page(seg: &Seg) -> bool {
    !seg.starts && !seg.linear() && seg.offset == 0 && seg.bits & fact::CROWDED == 0
}

/// A page as it is, with bytes of one segment only.
fn map_part<R: Room, S: Sink>(
    planner: &mut Planner<'_, R>,
    run: &[Seg],
    group: &Group,
    owned: bool,
    sink: &mut S,
) -> Result<bool, S::Error> {
    let Some(part) = group.part(run) else {
        return Ok(true);
    };
    let end = part.offset + part.len;
    let sheet = Sheet {
        offset: part.offset,
        end,
        starts: part.starts,
        more: 0,
        owned,
    };
    // One payload in the page: there is room for all of it, or for none.
    let Ok(place) = planner.map(&sheet) else {
        return Ok(false);
    };
    sink.map(place.region, &part, 1)?;
    if owned && part.offset > 0 {
        sink.zero(0, part.offset);
    }
    if place.begins {
        sink.begin(place.region, place.page * PAGE_SIZE + part.offset, part.seg)?;
    }
    sink.mapped(part.len)?;
    if owned && end < PAGE_SIZE {
        sink.zero(end, PAGE_SIZE - end);
    }
    Ok(true)
}

/// A page as it is, with all the payloads in it.
fn map<R: Room, S: Sink>(
    planner: &mut Planner<'_, R>,
    run: &[Seg],
    group: &Group,
    owned: bool,
    sink: &mut S,
) -> Result<bool, S::Error> {
    let parts = group.parts(run);
    let Some(first) = parts.clone().next() else {
        return Ok(true);
    };
    let mut end = first.offset + first.len;
    let mut more = 0;
    for part in parts.clone().skip(1) {
        more += usize::from(part.starts || part.offset > end);
        end = part.offset + part.len;
    }
    let sheet = Sheet {
        offset: first.offset,
        end,
        starts: first.starts,
        more,
        owned,
    };
    let place = match planner.map(&sheet) {
        Ok(place) => place,
        Err(NoRoom::Crowded) => return copy(planner, run, group, Why::Elements, false, sink),
        Err(NoRoom::Full) => return Ok(false),
    };
    sink.map(place.region, &first, 1)?;
    let mut begins = place.begins;
    let mut end = 0;
    for part in parts {
        if part.offset > end && owned {
            sink.zero(end, part.offset - end);
        }
        if begins || (end > 0 && (part.starts || part.offset > end)) {
            sink.begin(place.region, place.page * PAGE_SIZE + part.offset, part.seg)?;
            begins = false;
        }
        sink.mapped(part.len)?;
        end = part.offset + part.len;
    }
    if owned && end < PAGE_SIZE {
        sink.zero(end, PAGE_SIZE - end);
    }
    Ok(true)
}

/// Whole pages of one segment as they are: as many in each region as go on there.
fn map_many<R: Room, S: Sink>(
    planner: &mut Planner<'_, R>,
    run: &[Seg],
    group: &Group,
    sink: &mut S,
) -> Result<bool, S::Error> {
    let Some(mut part) = group.part(run) else {
        return Ok(true);
    };
    let mut left = group.pages;
    while left > 0 {
        let sheet = Sheet {
            offset: 0,
            end: PAGE_SIZE,
            starts: part.starts,
            more: 0,
            owned: false,
        };
        // One payload in the page: there is room for all of it, or for none.
        let Ok(place) = planner.map(&sheet) else {
            return Ok(false);
        };
        let pages = 1 + planner.go_on(left - 1);
        let len = pages * PAGE_SIZE;
        sink.map(place.region, &part, pages)?;
        if place.begins {
            sink.begin(place.region, place.page * PAGE_SIZE, part.seg)?;
        }
        sink.mapped(len)?;
        part.at += len;
        part.len -= len;
        part.starts = false;
        left -= pages;
    }
    Ok(true)
}

/// Copies of bytes; `to_end`: up to the end of a page, if they begin a payload.
fn copy<R: Room, S: Sink>(
    planner: &mut Planner<'_, R>,
    run: &[Seg],
    group: &Group,
    why: Why,
    to_end: bool,
    sink: &mut S,
) -> Result<bool, S::Error> {
    for mut part in group.parts(run) {
        while part.len > 0 {
            let Some(Fill {
                place,
                offset,
                len,
                fresh,
            }) = planner.fill(part.len, part.starts, to_end)
            else {
                return Ok(false);
            };
            if fresh {
                sink.fresh(place.region)?;
            }
            if place.begins {
                sink.begin(place.region, place.page * PAGE_SIZE + offset, part.seg)?;
            }
            sink.copied(&Part { len, ..part }, offset, why)?;
            part.at += len;
            part.len -= len;
            part.starts = false;
        }
    }
    Ok(true)
}

/// An empty datagram is a payload without bytes.
fn empty<R: Room, S: Sink>(planner: &mut Planner<'_, R>, sink: &mut S) -> Result<bool, S::Error> {
    let Some(region) = planner.empty() else {
        return Ok(false);
    };
    sink.begin(region, 0, 0)?;
    Ok(true)
}
