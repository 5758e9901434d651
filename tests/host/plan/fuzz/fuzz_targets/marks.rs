// SPDX-License-Identifier: GPL-2.0

//! Sets of page numbers: any changes of any set, against a list of booleans.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use zcio_plan::invariants::marks::like_a_list;

#[derive(Arbitrary, Debug)]
struct Change {
    put: bool,
    from: u16,
    to: u16,
}

#[derive(Arbitrary, Debug)]
struct Calls {
    pages: u16,
    changes: Vec<Change>,
    asked: (u16, u16),
}

fuzz_target!(|calls: Calls| {
    let pages = usize::from(calls.pages % 1025);
    // Often inside the set and at its edges, sometimes behind its end.
    let at = |n: u16| usize::from(n) % (pages + 130);
    let range = |a, b| at(a).min(at(b))..at(a).max(at(b));
    let change = |c: &Change| (c.put, range(c.from, c.to));
    let changes: Vec<_> = calls.changes.iter().take(64).map(change).collect();
    like_a_list(pages, &changes, range(calls.asked.0, calls.asked.1));
});
