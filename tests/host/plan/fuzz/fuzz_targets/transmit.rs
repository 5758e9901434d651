// SPDX-License-Identifier: GPL-2.0

//! Sending: payloads anywhere in areas, in batches of any size, to a socket that stops
//! taking at any byte. Each byte is either gone, in order, or still there.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use zcio_plan::invariants::{ranges, transmit};
use zcio_plan::plan::area::{check, Rooms};
use zcio_plan::plan::span::Span;
use zcio_plan::plan::PAGE_SIZE;

#[derive(Arbitrary, Debug)]
struct Pair {
    gap: u8,
    pages: u8,
    before: u16,
    len: u32,
}

#[derive(Arbitrary, Debug)]
struct Call {
    head: u8,
    tail: u8,
    most: u16,
    take: u32,
    pairs: Vec<Pair>,
}

fuzz_target!(|call: Call| {
    let rooms = Rooms { head: usize::from(call.head), tail: usize::from(call.tail) };
    let mut at = PAGE_SIZE;
    let mut areas = Vec::new();
    for pair in call.pairs.iter().take(32) {
        let area = Span {
            base: at + usize::from(pair.gap) * PAGE_SIZE,
            len: usize::from(pair.pages % 33) * PAGE_SIZE,
        };
        let payload = Span {
            base: area.base + usize::from(pair.before),
            len: pair.len as usize % (area.len + 2),
        };
        ranges::area(&area, &payload, rooms);
        areas.extend(check(&area, &payload, rooms));
        at = area.base + area.len;
    }
    let sizes: Vec<usize> = areas.iter().map(|area| area.used).collect();
    let most = usize::from(call.most);
    transmit::batch_is_largest(&sizes, most);
    let all: usize = areas.iter().map(|area| area.len).sum();
    transmit::send(&areas, most, call.take as usize % (all + 1));
});
