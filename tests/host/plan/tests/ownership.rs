// SPDX-License-Identifier: GPL-2.0

//! Who may see a page: every rule of `ownership::judge` by name, and what must hold for
//! every combination of facts there is.

use zcio_plan::invariants::ownership as invariants;
use zcio_plan::plan::ownership::{fact, judge, Facts, Verdict, Why, WHYS};
use Verdict::{Copy, Owned, Show};

/// A fact, and the verdict on a page with one frag and one reference of which it is the
/// only fact: whole and read-only, whole and writable, part of a page.
const ALONE: &[(&str, u32, [Verdict; 3])] = &[
    ("nothing known", 0, [Owned; 3]),
    ("LINEAR", fact::LINEAR, [Copy(Why::Linear); 3]),
    (
        "CLONED",
        fact::CLONED,
        [Show, Copy(Why::Cloned), Copy(Why::Cloned)],
    ),
    ("SHARED_FRAG", fact::SHARED_FRAG, [Copy(Why::Writable); 3]),
    ("ZEROCOPY", fact::ZEROCOPY, [Copy(Why::Writable); 3]),
    ("ANON", fact::ANON, [Copy(Why::Writable); 3]),
    ("FILE", fact::FILE, [Copy(Why::File); 3]),
    ("TYPED", fact::TYPED, [Copy(Why::Kernel); 3]),
    ("MAPPED", fact::MAPPED, [Copy(Why::Writable); 3]),
    ("PAGE_POOL", fact::PAGE_POOL, [Owned; 3]),
    ("CUT", fact::CUT, [Owned, Owned, Copy(Why::Shared)]),
    ("OURS", fact::OURS, [Owned; 3]),
    (
        "FOLIO_MAPPED",
        fact::FOLIO_MAPPED,
        [Show, Copy(Why::Shared), Copy(Why::Shared)],
    ),
    ("SMALL", fact::SMALL, [Copy(Why::Small); 3]),
    ("CROWDED", fact::CROWDED, [Copy(Why::Elements); 3]),
];

/// The same with a second reference to the page.
const SHARED: &[(&str, u32, [Verdict; 3])] = &[
    ("nothing known", 0, [Copy(Why::Shared); 3]),
    ("LINEAR", fact::LINEAR, [Copy(Why::Linear); 3]),
    ("CLONED", fact::CLONED, [Copy(Why::Cloned); 3]),
    ("SHARED_FRAG", fact::SHARED_FRAG, [Copy(Why::Writable); 3]),
    ("ZEROCOPY", fact::ZEROCOPY, [Copy(Why::Writable); 3]),
    ("ANON", fact::ANON, [Copy(Why::Writable); 3]),
    ("FILE", fact::FILE, [Copy(Why::File); 3]),
    ("TYPED", fact::TYPED, [Copy(Why::Kernel); 3]),
    ("MAPPED", fact::MAPPED, [Copy(Why::Writable); 3]),
    (
        "PAGE_POOL",
        fact::PAGE_POOL,
        [Show, Copy(Why::Shared), Copy(Why::Shared)],
    ),
    ("CUT", fact::CUT, [Copy(Why::Shared); 3]),
    (
        "OURS",
        fact::OURS,
        [Show, Copy(Why::Shared), Copy(Why::Shared)],
    ),
    ("FOLIO_MAPPED", fact::FOLIO_MAPPED, [Copy(Why::Shared); 3]),
    ("SMALL", fact::SMALL, [Copy(Why::Small); 3]),
    ("CROWDED", fact::CROWDED, [Copy(Why::Elements); 3]),
];

fn one_frag(bits: u32, refs: i32) -> Facts {
    Facts {
        bits,
        refs,
        frags: 1,
        inside: true,
    }
}

const CASES: [(bool, bool); 3] = [(true, false), (true, true), (false, false)];

fn check(table: &[(&str, u32, [Verdict; 3])], refs: i32) {
    for (name, bits, verdicts) in table {
        for ((whole, writable), verdict) in CASES.into_iter().zip(*verdicts) {
            let facts = one_frag(*bits, refs);
            assert_eq!(
                judge(facts, whole, writable),
                verdict,
                "{name}, {refs} references, whole: {whole}, writable: {writable}"
            );
        }
    }
}

#[test]
fn each_fact_alone_on_a_page_of_one_reference() {
    check(ALONE, 1);
}

#[test]
fn each_fact_alone_on_a_page_of_two_references() {
    check(SHARED, 2);
}

#[test]
fn the_table_has_every_fact() {
    let all = ALONE.iter().map(|row| row.1).fold(0, |all, bit| all | bit);
    assert_eq!(all, 0x3fff);
    assert_eq!(ALONE.len(), 15);
    assert!(ALONE.iter().all(|row| row.1.count_ones() <= 1));
}

/// Calls `f` with every combination of facts, reference counts and questions (Miri, a
/// thousand times slower, with some).
fn every(f: impl Fn(Facts, bool, bool)) {
    let counts = [
        (-1, 1),
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
        (i32::MAX, 9),
    ];
    for bits in (0..0x4000).step_by(if cfg!(miri) { 331 } else { 1 }) {
        for ((refs, frags), inside) in counts.into_iter().flat_map(|c| [(c, true), (c, false)]) {
            let facts = Facts {
                bits,
                refs,
                frags,
                inside,
            };
            for (whole, writable) in [(true, false), (true, true), (false, false), (false, true)] {
                f(facts, whole, writable);
            }
        }
    }
}

#[test]
fn for_a_part_of_a_page_the_window_makes_no_difference() {
    every(invariants::parts_are_alike);
}

#[test]
fn what_somebody_can_write_or_no_page_at_all_is_never_mapped() {
    every(invariants::never_mapped);
}

#[test]
fn owned_means_that_nobody_else_has_the_page() {
    every(invariants::owned_is_sole);
}

#[test]
fn shown_are_only_whole_pages_read_only_that_are_certain() {
    every(invariants::shown_is_certain);
}

/// What may be mapped is mapped: nothing is copied without need.
#[test]
fn nothing_is_copied_without_a_reason_of_the_list() {
    every(invariants::copied_with_a_reason);
}

/// The most telling reason comes first: what is no page at all, then what it is, then who
/// can write it, then who else has it.
#[test]
fn reasons_have_an_order() {
    let order = [
        (fact::SMALL, Why::Small),
        (fact::LINEAR, Why::Linear),
        (fact::TYPED, Why::Kernel),
        (fact::FILE, Why::File),
        (fact::ANON, Why::Writable),
        (fact::CROWDED, Why::Elements),
        (fact::CLONED, Why::Cloned),
        (0, Why::Shared),
    ];
    for from in 0..order.len() {
        let bits = order[from..].iter().map(|o| o.0).sum();
        assert_eq!(judge(one_frag(bits, 9), false, false), Copy(order[from].1));
    }
}

/// The numbers are the interface's (`ZCIO_WHY_*` of the header).
#[test]
fn the_reasons_are_numbered_as_the_header_says() {
    let header = include_str!("../../../../uapi/zcio.h");
    let number = |name: &str| -> u32 {
        let line = header
            .lines()
            .find(|line| {
                line.starts_with("#define") && line.split_whitespace().nth(1) == Some(name)
            })
            .unwrap_or_else(|| panic!("{name} is not in the header"));
        let shift = line.split("<<").nth(1).expect("a shift");
        1 << shift
            .trim()
            .split(')')
            .next()
            .unwrap()
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    let all = [
        ("ZCIO_WHY_SMALL", Why::Small),
        ("ZCIO_WHY_LINEAR", Why::Linear),
        ("ZCIO_WHY_SHARED", Why::Shared),
        ("ZCIO_WHY_CLONED", Why::Cloned),
        ("ZCIO_WHY_WRITABLE", Why::Writable),
        ("ZCIO_WHY_FILE", Why::File),
        ("ZCIO_WHY_KERNEL", Why::Kernel),
        ("ZCIO_WHY_PINNED", Why::Pinned),
        ("ZCIO_WHY_DEVICE", Why::Device),
        ("ZCIO_WHY_ELEMENTS", Why::Elements),
        ("ZCIO_WHY_DMA", Why::Dma),
    ];
    assert_eq!(all.len(), WHYS);
    for (name, why) in all {
        assert_eq!(why.bit(), number(name), "{name}");
    }
    assert!(header.contains(&format!("#define ZCIO_WHY_BITS\t\t{WHYS}")));
}

/// So are those of the facts (`ZCIO_FACT_*` of the module's C side).
#[test]
fn the_facts_are_numbered_as_the_c_side_says() {
    let shim = include_str!("../../../../rust/ground/shim.h");
    let words: Vec<&str> = shim.split_whitespace().collect();
    let number = |name: &str| -> u32 {
        let at = words
            .iter()
            .position(|word| *word == name)
            .unwrap_or_else(|| panic!("{name} is not in shim.h"));
        let value = words[at + 1..]
            .iter()
            .find(|w| w.starts_with("0x"))
            .expect("a number");
        u32::from_str_radix(value.trim_start_matches("0x").trim_end_matches(','), 16).unwrap()
    };
    let of_c = |row: &&(&str, u32, [Verdict; 3])| row.1 & (fact::SMALL | fact::CROWDED) == 0;
    for (name, bits, _) in ALONE[1..].iter().filter(of_c) {
        assert_eq!(*bits, number(&format!("ZCIO_FACT_{name}")), "{name}");
    }
}
