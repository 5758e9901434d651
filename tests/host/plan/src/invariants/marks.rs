// SPDX-License-Identifier: GPL-2.0

//! Sets of page numbers (`plan::marks`) against a plain list of booleans.

use super::std::{vec, vec::Vec};
use crate::plan::marks::{bounds, count, insert, remove, words};
use core::ops::Range;

/// Puts ranges into a set of `pages` (true) or takes them out, and asks for one of them.
pub fn like_a_list(pages: usize, changes: &[(bool, Range<usize>)], asked: Range<usize>) {
    let len = words(pages);
    assert!(len * 64 >= pages && len * 64 < pages + 64);
    let mut set = vec![0u64; len];
    let mut model = vec![false; len * 64];
    for (put, range) in changes {
        let end = range.end.min(model.len());
        model[range.start.min(end)..end].fill(*put);
        if *put {
            insert(&mut set, range.clone());
        } else {
            remove(&mut set, range.clone());
        }
    }
    let inside = |page: &usize| *page < model.len() && model[*page];
    let asked = asked.start..asked.end.min(model.len() + 64);
    let hits: Vec<usize> = asked.clone().filter(inside).collect();
    assert_eq!(count(&set, asked.clone()), hits.len());
    let expected = hits
        .first()
        .zip(hits.last())
        .map(|(first, last)| *first..last + 1);
    assert_eq!(bounds(&set, asked), expected);
}
