// SPDX-License-Identifier: GPL-2.0
//! Parts of a list of pages (`plan::parts`) against a plain list of booleans.

use proptest::prelude::*;
use std::ops::Range;
use std::slice::from_ref;
use zcio_plan::invariants::parts::{cover_all, in_both};
use zcio_plan::plan::parts::{common, parts};

fn listed(all: Range<usize>, in_place: &[Range<usize>]) -> Vec<(Range<usize>, bool)> {
    parts(all, in_place).collect()
}

#[test]
fn nothing_in_place_is_one_part() {
    assert_eq!(listed(3..7, &[]), [(3..7, false)]);
    assert_eq!(listed(3..3, &[]), []);
}

#[test]
fn ranges_are_cut_at_both_ends() {
    assert_eq!(listed(3..7, from_ref(&(0..20))), [(3..7, true)]);
    assert_eq!(
        listed(3..7, &[0..4, 6..9]),
        [(3..4, true), (4..6, false), (6..7, true)]
    );
    assert_eq!(listed(3..7, &[0..3, 7..8]), [(3..7, false)]);
    assert_eq!(
        listed(3..7, from_ref(&(5..6))),
        [(3..5, false), (5..6, true), (6..7, false)]
    );
}

#[test]
fn ranges_that_share_nothing_have_nothing_in_common() {
    assert!(common(3..7, 7..9).is_empty());
    assert!(common(3..7, 0..0).is_empty());
    assert_eq!(common(3..7, 0..100), 3..7);
    assert_eq!(common(3..7, 4..5), 4..5);
}

fn range() -> impl Strategy<Value = Range<usize>> {
    (0usize..60, 0usize..60).prop_map(|(a, b)| a.min(b)..a.max(b))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 6 } else { 256 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn parts_cover_all_and_say_what_is_in_place(
        all in range(),
        steps in prop::collection::vec((1usize..9, 1usize..9), 0..10),
    ) {
        let mut at = 0;
        let in_place: Vec<_> = steps.iter().map(|(gap, len)| {
            let start = at + gap;
            at = start + len;
            start..at
        }).collect();
        cover_all(all, &in_place);
    }

    #[test]
    fn what_is_in_both(a in range(), b in range()) {
        in_both(a, b);
    }
}
