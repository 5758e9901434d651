// SPDX-License-Identifier: GPL-2.0
//! Sets of page numbers (`plan::marks`) against a plain list of booleans.

use proptest::prelude::*;
use std::ops::Range;
use zcio_plan::invariants::marks::like_a_list;
use zcio_plan::plan::marks::{bounds, count, insert, remove, words};

const PAGES: usize = 300;

fn range() -> impl Strategy<Value = Range<usize>> {
    // Beyond the end too: what is not there is not in the set.
    (0..PAGES + 90, 0..PAGES + 90).prop_map(|(a, b)| a.min(b)..a.max(b))
}

#[test]
fn a_set_has_words_for_all_its_pages() {
    assert_eq!((words(0), words(1), words(64), words(65)), (0, 1, 1, 2));
}

#[test]
fn the_edges_of_words() {
    let mut set = [0u64; 3];
    insert(&mut set, 63..65);
    assert_eq!(set, [1 << 63, 1, 0]);
    assert_eq!(bounds(&set, 0..192), Some(63..65));
    assert_eq!(bounds(&set, 64..64), None);
    assert_eq!(count(&set, 64..192), 1);
    insert(&mut set, 0..192);
    assert_eq!(set, [u64::MAX; 3]);
    remove(&mut set, 64..128);
    assert_eq!(set, [u64::MAX, 0, u64::MAX]);
    assert_eq!(bounds(&set, 10..130), Some(10..130));
    assert_eq!(bounds(&set, 64..128), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 6 } else { 256 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_same_as_a_list_of_booleans(
        changes in prop::collection::vec((any::<bool>(), range()), 0..12),
        asked in range(),
    ) {
        like_a_list(PAGES, &changes, asked);
    }
}
