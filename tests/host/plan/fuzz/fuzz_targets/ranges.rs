// SPDX-License-Identifier: GPL-2.0

//! Arguments: arrays of any ranges of addresses, as regions, as areas with payloads, and
//! whether they overlap.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use zcio_plan::invariants::ranges;
use zcio_plan::plan::area::Rooms;
use zcio_plan::plan::span::Span;
use zcio_plan::plan::PAGE_SIZE;

/// Numbers, many of them where something changes.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Pages { pages: u16, more: i8 },
    BelowTop { pages: u16, more: u8 },
    Any(usize),
}

impl Number {
    fn get(self) -> usize {
        match self {
            Number::Pages { pages, more } => {
                (usize::from(pages) * PAGE_SIZE).wrapping_add_signed(isize::from(more))
            }
            Number::BelowTop { pages, more } => {
                usize::MAX - usize::from(pages) * PAGE_SIZE - usize::from(more)
            }
            Number::Any(number) => number,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Call {
    min: Number,
    head: Number,
    tail: Number,
    spans: Vec<(Number, Number)>,
}

fuzz_target!(|call: Call| {
    let span = |(base, len): &(Number, Number)| Span { base: base.get(), len: len.get() };
    let spans: Vec<Span> = call.spans.iter().take(64).map(span).collect();
    let rooms = Rooms { head: call.head.get(), tail: call.tail.get() };
    for pair in spans.windows(2) {
        ranges::region(&pair[0], call.min.get());
        ranges::contains(&pair[0], &pair[1]);
        ranges::area(&pair[0], &pair[1], rooms);
        ranges::area(&pair[0], &pair[1], Rooms::default());
        let size = (call.head.get() % 1024).next_multiple_of(64);
        ranges::headed_area(&pair[0], &pair[1], 0, size);
    }
    // Those that wrap or are empty have been refused before overlaps are looked for.
    let good = |s: &&Span| s.len > 0 && ranges::end(s).is_some();
    let good: Vec<Span> = spans.iter().filter(good).copied().collect();
    ranges::overlap(&good);
});
