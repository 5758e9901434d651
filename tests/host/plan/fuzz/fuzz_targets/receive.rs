// SPDX-License-Identifier: GPL-2.0

//! Receiving: any facts about any pages of a queue, of a stream or of datagrams, laid into
//! any regions. What user space sees is what was sent, and no byte besides.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use zcio_plan::invariants::receive::{check, possible, what_is_taken_fits};
use zcio_plan::plan::ownership::fact;
use zcio_plan::plan::queue::Seg;
use zcio_plan::plan::PAGE_SIZE;

#[derive(Arbitrary, Debug)]
struct Queued {
    /// Bytes from the end of the one before in the folio to its beginning.
    skip: u16,
    len: u16,
    /// The lengths above are numbers of pages.
    pages: bool,
    /// It begins a new folio.
    folio: bool,
    starts: bool,
    linear: bool,
}

#[derive(Arbitrary, Debug)]
struct Call {
    writable: bool,
    datagrams: bool,
    most: u8,
    regions: Vec<u8>,
    queue: Vec<Queued>,
    /// Of each folio: numbers of two facts (those there are not are none), and references
    /// that are not of the queue.
    folios: Vec<([u8; 2], u8)>,
    /// Two segments that come in the wrong order.
    swap: (u8, u8),
}

/// Pages that a folio has at most.
const FOLIO: usize = 16;

fn segments(call: &Call) -> Vec<Seg> {
    let mut segs: Vec<Seg> = Vec::new();
    let (mut folio, mut end) = (1, 0);
    for queued in call.queue.iter().take(24) {
        let unit = if queued.pages { PAGE_SIZE } else { 1 };
        let most = if queued.pages { 4 } else { PAGE_SIZE };
        let starts = call.datagrams && (queued.starts || segs.is_empty());
        if queued.linear {
            let len = usize::from(queued.len) % most * unit;
            let len = if starts { len } else { len.max(1) };
            segs.push(Seg { len, bits: fact::LINEAR, starts, ..Seg::default() });
            continue;
        }
        let at = end + usize::from(queued.skip) % most * unit;
        let len = 1 + (usize::from(queued.len) % most * unit).saturating_sub(1);
        let fits = !queued.folio && at + len <= FOLIO * PAGE_SIZE;
        let at = if fits { at } else { at % PAGE_SIZE };
        folio += u64::from(!fits);
        end = at + len;
        segs.push(Seg {
            folio: folio * FOLIO as u64,
            page: folio * FOLIO as u64 + (at / PAGE_SIZE) as u64,
            offset: at % PAGE_SIZE,
            len,
            bits: 0,
            refs: 0,
            starts,
        });
    }
    for i in 0..segs.len() {
        if segs[i].bits & fact::LINEAR == 0 {
            let same = |seg: &&Seg| seg.folio == segs[i].folio;
            let (facts, others) = call.folios.get(i % 8).copied().unwrap_or_default();
            let bit = |number: u8| (1 << (number % 16)) & 0x3fff & !fact::LINEAR;
            segs[i].refs = segs.iter().filter(same).count() as i32 + i32::from(others % 4 == 3);
            segs[i].bits = bit(facts[0]) | bit(facts[1]);
        }
    }
    if !call.datagrams && !segs.is_empty() {
        let (a, b) = (usize::from(call.swap.0), usize::from(call.swap.1));
        let (a, b) = (a % segs.len(), b % segs.len());
        segs.swap(a, b);
    }
    segs
}

fuzz_target!(|call: Call| {
    let room: Vec<usize> = call.regions.iter().take(32).map(|n| 1 + usize::from(n % 6)).collect();
    let segs = segments(&call);
    let most = if call.most < 64 { usize::from(call.most) } else { usize::MAX };
    if possible(&segs) {
        check(&room, most, &segs, call.writable);
        if call.datagrams {
            what_is_taken_fits(&room, &segs);
        }
    }
});
