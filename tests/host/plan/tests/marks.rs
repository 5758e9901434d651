// SPDX-License-Identifier: GPL-2.0
//! Sets of page numbers (`plan::marks`) against a plain list of booleans.

use proptest::prelude::*;
use std::ops::Range;
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
    #[test]
    fn the_same_as_a_list_of_booleans(
        changes in prop::collection::vec((any::<bool>(), range()), 0..12),
        asked in range(),
    ) {
        let len = words(PAGES);
        let mut set = vec![0u64; len];
        let mut model = vec![false; len * 64];
        for (put, pages) in changes {
            let end = pages.end.min(model.len());
            let inside = pages.start.min(end)..end;
            model[inside].fill(put);
            if put { insert(&mut set, pages) } else { remove(&mut set, pages) }
        }
        let hits: Vec<usize> = asked.clone().filter(|&i| i < model.len() && model[i]).collect();
        prop_assert_eq!(count(&set, asked.clone()), hits.len());
        let expected = hits.first().map(|&first| first..hits.last().unwrap() + 1);
        prop_assert_eq!(bounds(&set, asked), expected);
    }
}
