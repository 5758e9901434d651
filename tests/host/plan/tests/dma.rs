// SPDX-License-Identifier: GPL-2.0
//! Which memory a device reaches (`plan::dma`), and when a page is at rest.

use proptest::prelude::*;
use zcio_plan::invariants::dma;
use zcio_plan::plan::dma::{reaches, zone, Zone};
use zcio_plan::plan::transmit::at_rest;

#[test]
fn masks_of_real_devices() {
    for (bits, expected) in [
        (20, None),
        (23, None),
        (24, Some(Zone::Dma)),
        (30, Some(Zone::Dma)),
        (31, Some(Zone::Dma)),
        (32, Some(Zone::Dma32)),
        (40, Some(Zone::Dma32)),
        (63, Some(Zone::Dma32)),
        (64, Some(Zone::All)),
    ] {
        let mask = u64::MAX >> (64 - bits);
        assert_eq!(zone(mask), expected, "{bits} bits");
    }
    assert_eq!(zone(0), None);
}

#[test]
fn pages_at_the_edge() {
    let four_gib = u64::from(u32::MAX);
    assert!(reaches(four_gib, 0xfffff));
    assert!(!reaches(four_gib, 0x100000));
    // Half a page is none.
    assert!(!reaches(0x1ffe, 1) && reaches(0x1fff, 1));
    assert!(!reaches(0, 0) && !reaches(0xffe, 0) && reaches(0xfff, 0));
    assert!(reaches(u64::MAX, u64::MAX));
}

#[test]
fn page_is_at_rest_when_only_its_pool_holds_it() {
    for holders in [i32::MIN, -1, 0, 2, 3, i32::MAX] {
        assert!(!at_rest(holders), "{holders}");
    }
    assert!(at_rest(1));
}

/// Any number, often one beside a power of two.
fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u32..64, 0u64..3)
            .prop_map(|(bit, more)| (1u64 << bit).wrapping_add(more).wrapping_sub(2)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 6 } else { 4000 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn zones_are_as_large_as_they_can_be(reach in any_number()) {
        dma::largest_zone(reach);
    }

    #[test]
    fn pages_are_reached_with_their_last_byte(reach in any_number(), pfn in any_number()) {
        dma::page(reach, pfn);
        dma::page(reach, (reach / 4096).wrapping_sub(1));
        dma::page(reach, reach / 4096);
    }
}
