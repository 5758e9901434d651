// SPDX-License-Identifier: GPL-2.0
//! What is copied for being small (`plan::small`).

use zcio_plan::plan::small::{call_is_small, datagram_is_small, stream_is_small};
use zcio_plan::plan::PAGE_SIZE;

const PAGE: u64 = PAGE_SIZE as u64;

#[test]
fn nothing_is_small_without_a_threshold() {
    assert!(!call_is_small(0, 0) && !call_is_small(0, 1));
    assert!(!datagram_is_small(0, 0, 0) && !datagram_is_small(0, 1, 1));
}

#[test]
fn a_call_is_small_below_the_threshold_only() {
    assert!(call_is_small(5000, 4999));
    assert!(!call_is_small(5000, 5000));
}

#[test]
fn a_stream_in_pieces_below_a_page_is_small() {
    let all = 1 << 20;
    assert!(stream_is_small(1, all, || PAGE_SIZE - 1));
    assert!(!stream_is_small(1, all, || PAGE_SIZE));
    assert!(!stream_is_small(0, all, || 1));
    // Not looked at where it does not matter.
    assert!(stream_is_small(2, 1, || unreachable!()));
    assert!(!stream_is_small(0, 1, || unreachable!()));
}

#[test]
fn a_datagram_among_many_is_small_below_a_page() {
    let all = 1 << 20;
    assert!(datagram_is_small(4 * PAGE, all, PAGE - 1));
    assert!(!datagram_is_small(4 * PAGE, all, PAGE));
    // A threshold below a page is the datagram's, too.
    assert!(datagram_is_small(100, all, 99));
    assert!(!datagram_is_small(100, all, 100));
}

#[test]
fn a_datagram_alone_is_a_call() {
    for len in [0, 1, PAGE, 4 * PAGE - 1, 4 * PAGE] {
        assert_eq!(
            datagram_is_small(4 * PAGE, len, len),
            call_is_small(4 * PAGE, len)
        );
    }
}
