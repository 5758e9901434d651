// SPDX-License-Identifier: GPL-2.0

//! Who may see a page: every rule of `ownership::judge` by name, and what must hold for
//! every combination of facts there is.

use zcio_plan::plan::ownership::{fact, judge, Facts, Verdict, Why, WHYS};
use Verdict::{Copy, Owned, Show};

/// A fact, and the verdict on a page of one reference of which it is the only fact: whole
/// and read-only, whole and writable, part of a page.
const ALONE: &[(&str, u32, [Verdict; 3])] = &[
    ("nothing known", 0, [Owned; 3]),
    ("LINEAR", fact::LINEAR, [Copy(Why::Linear); 3]),
    ("CLONED", fact::CLONED, [Copy(Why::Cloned); 3]),
    ("SHARED_FRAG", fact::SHARED_FRAG, [Copy(Why::Writable); 3]),
    ("ZEROCOPY", fact::ZEROCOPY, [Copy(Why::Writable); 3]),
    ("COMPOUND", fact::COMPOUND, [Copy(Why::Shared); 3]),
    ("ANON", fact::ANON, [Copy(Why::Writable); 3]),
    ("FILE", fact::FILE, [Copy(Why::File); 3]),
    ("TYPED", fact::TYPED, [Copy(Why::Kernel); 3]),
    ("MAPPED", fact::MAPPED, [Copy(Why::Writable); 3]),
    ("PAGE_POOL", fact::PAGE_POOL, [Show, Copy(Why::Shared), Copy(Why::Shared)]),
    ("CUT", fact::CUT, [Owned, Owned, Copy(Why::Shared)]),
    ("OURS", fact::OURS, [Owned; 3]),
];

/// The same with a second reference to the page.
const SHARED: &[(&str, u32, [Verdict; 3])] = &[
    ("nothing known", 0, [Copy(Why::Shared); 3]),
    ("LINEAR", fact::LINEAR, [Copy(Why::Linear); 3]),
    ("CLONED", fact::CLONED, [Copy(Why::Cloned); 3]),
    ("SHARED_FRAG", fact::SHARED_FRAG, [Copy(Why::Writable); 3]),
    ("ZEROCOPY", fact::ZEROCOPY, [Copy(Why::Writable); 3]),
    ("COMPOUND", fact::COMPOUND, [Copy(Why::Shared); 3]),
    ("ANON", fact::ANON, [Copy(Why::Writable); 3]),
    ("FILE", fact::FILE, [Copy(Why::File); 3]),
    ("TYPED", fact::TYPED, [Copy(Why::Kernel); 3]),
    ("MAPPED", fact::MAPPED, [Copy(Why::Writable); 3]),
    ("PAGE_POOL", fact::PAGE_POOL, [Show, Copy(Why::Shared), Copy(Why::Shared)]),
    ("CUT", fact::CUT, [Copy(Why::Shared); 3]),
    ("OURS", fact::OURS, [Show, Copy(Why::Shared), Copy(Why::Shared)]),
];

const CASES: [(bool, bool); 3] = [(true, false), (true, true), (false, false)];

fn check(table: &[(&str, u32, [Verdict; 3])], refs: i32) {
    for (name, bits, verdicts) in table {
        for ((whole, writable), verdict) in CASES.into_iter().zip(*verdicts) {
            let facts = Facts { bits: *bits, refs };
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

/// A part of a page is treated the same for a writable window as for a read-only one.
#[test]
fn for_a_part_of_a_page_the_window_makes_no_difference() {
    every(|facts, whole, _| {
        if !whole {
            assert_eq!(judge(facts, false, true), judge(facts, false, false), "{facts:?}");
        }
    });
}

#[test]
fn the_table_has_every_fact() {
    let all = ALONE.iter().map(|row| row.1).fold(0, |all, bit| all | bit);
    assert_eq!(all, 0xfff);
    assert_eq!(ALONE.len(), 13);
    assert!(ALONE.iter().all(|row| row.1.count_ones() <= 1));
}

/// Calls `f` with every combination of facts, reference counts and questions.
fn every(f: impl Fn(Facts, bool, bool)) {
    for bits in 0..0x1000 {
        for refs in [-1, 0, 1, 2, 3, 0xffff, i32::MAX] {
            for (whole, writable) in [(true, false), (true, true), (false, false), (false, true)] {
                f(Facts { bits, refs }, whole, writable);
            }
        }
    }
}

/// Bytes that lie beside headers, in typed pages or in files are not even looked at further.
const NEVER: u32 = fact::LINEAR
    | fact::TYPED
    | fact::FILE
    | fact::ANON
    | fact::MAPPED
    | fact::SHARED_FRAG
    | fact::ZEROCOPY;

#[test]
fn what_somebody_can_write_or_no_page_at_all_is_never_mapped() {
    every(|facts, whole, writable| {
        if facts.bits & NEVER != 0 {
            assert!(matches!(judge(facts, whole, writable), Copy(_)), "{facts:?}");
        }
    });
}

#[test]
fn owned_means_the_only_reference_to_a_plain_page() {
    every(|facts, whole, writable| {
        if judge(facts, whole, writable) == Owned {
            assert_eq!(facts.refs, 1, "{facts:?}");
            assert_eq!(
                facts.bits & (NEVER | fact::CLONED | fact::COMPOUND | fact::PAGE_POOL),
                0,
                "{facts:?}"
            );
            assert!(whole || facts.bits & fact::CUT == 0, "bytes to come would be zeroed: {facts:?}");
        }
    });
}

#[test]
fn shown_are_only_whole_pages_read_only_that_are_certain() {
    every(|facts, whole, writable| {
        if judge(facts, whole, writable) == Show {
            assert!(whole && !writable, "{facts:?}");
            assert!(facts.bits & (fact::PAGE_POOL | fact::OURS) != 0, "{facts:?}");
            assert_eq!(facts.bits & NEVER, 0, "{facts:?}");
        }
    });
}

/// What may be mapped is mapped: nothing is copied without need.
#[test]
fn nothing_is_copied_without_a_reason_of_the_list() {
    every(|facts, whole, writable| {
        let has = |bits: u32| facts.bits & bits != 0;
        let sole = facts.refs == 1 && !has(fact::CLONED | fact::COMPOUND | fact::PAGE_POOL);
        let certain = has(fact::PAGE_POOL | fact::OURS);
        let reason = match judge(facts, whole, writable) {
            Copy(reason) => reason,
            _ => return,
        };
        assert!(
            has(NEVER) || !(sole && (whole || !has(fact::CUT)) || whole && !writable && certain),
            "{facts:?} is copied, whole: {whole}, writable: {writable}"
        );
        let true_of_it = match reason {
            Why::Linear => has(fact::LINEAR),
            Why::Kernel => has(fact::TYPED),
            Why::File => has(fact::FILE),
            Why::Writable => {
                has(fact::ANON | fact::MAPPED | fact::SHARED_FRAG | fact::ZEROCOPY)
            }
            Why::Cloned => has(fact::CLONED),
            Why::Shared => !has(fact::CLONED) && (!sole || has(fact::CUT)),
            Why::Small | Why::Pinned | Why::Device => false,
        };
        assert!(true_of_it, "{reason:?} is not why {facts:?} is copied");
    });
}

/// The most telling reason comes first: what is no page at all, then what it is, then who
/// can write it, then who else has it.
#[test]
fn reasons_have_an_order() {
    let order = [
        (fact::LINEAR, Why::Linear),
        (fact::TYPED, Why::Kernel),
        (fact::FILE, Why::File),
        (fact::ANON, Why::Writable),
        (fact::CLONED, Why::Cloned),
        (fact::COMPOUND, Why::Shared),
    ];
    for from in 0..order.len() {
        let bits = order[from..].iter().map(|o| o.0).sum();
        assert_eq!(judge(Facts { bits, refs: 9 }, false, false), Copy(order[from].1));
    }
}

/// The numbers are the interface's (`ZCIO_WHY_*` of the header).
#[test]
fn the_reasons_are_numbered_as_the_header_says() {
    let header = include_str!("../../../../uapi/zcio.h");
    let number = |name: &str| -> u32 {
        let line = header
            .lines()
            .find(|line| line.starts_with("#define") && line.split_whitespace().nth(1) == Some(name))
            .unwrap_or_else(|| panic!("{name} is not in the header"));
        let shift = line.split("<<").nth(1).expect("a shift");
        1 << shift.trim().split(')').next().unwrap().trim().parse::<u32>().unwrap()
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
        let value = words[at + 1..].iter().find(|w| w.starts_with("0x")).expect("a number");
        u32::from_str_radix(value.trim_start_matches("0x").trim_end_matches(','), 16).unwrap()
    };
    for (name, bits, _) in &ALONE[1..] {
        assert_eq!(*bits, number(&format!("ZCIO_FACT_{name}")), "{name}");
    }
}
