// SPDX-License-Identifier: GPL-2.0

//! Who may see a page: what must hold of each verdict of `ownership::judge`.

use crate::plan::ownership::Verdict::{Copy, Owned, Show};
use crate::plan::ownership::{fact, judge, Facts, Why};

/// Few bytes, those that lie beside headers, in typed pages or in files, or that somebody
/// can write, are not even looked at further.
pub const NEVER: u32 = fact::SMALL
    | fact::CROWDED
    | fact::LINEAR
    | fact::TYPED
    | fact::FILE
    | fact::ANON
    | fact::MAPPED
    | fact::SHARED_FRAG
    | fact::ZEROCOPY;

/// All that must hold of one verdict.
pub fn holds(facts: Facts, whole: bool, writable: bool) {
    never_mapped(facts, whole, writable);
    owned_is_sole(facts, whole, writable);
    shown_is_certain(facts, whole, writable);
    copied_with_a_reason(facts, whole, writable);
    parts_are_alike(facts, whole, writable);
}

/// What somebody can write, or what is no page at all, is copied.
pub fn never_mapped(facts: Facts, whole: bool, writable: bool) {
    if facts.bits & NEVER != 0 {
        let verdict = judge(facts, whole, writable);
        assert!(matches!(verdict, Copy(_)), "{facts:?}");
    }
}

/// Nobody in the kernel has a reference to the page but frags of the queue.
fn alone(facts: Facts) -> bool {
    facts.refs >= 0 && facts.refs as usize == facts.frags
}

/// Owned is a page that nobody else has, and of which no bytes are still to come.
pub fn owned_is_sole(facts: Facts, whole: bool, writable: bool) {
    if judge(facts, whole, writable) == Owned {
        let others = NEVER | fact::CLONED | fact::FOLIO_MAPPED;
        assert!(alone(facts) && facts.inside, "{facts:?}");
        assert_eq!(facts.bits & others, 0, "{facts:?}");
        assert!(
            whole || facts.bits & fact::CUT == 0,
            "bytes to come would be zeroed: {facts:?}"
        );
    }
}

/// Shown are only whole pages, read-only, that nobody can write for certain.
pub fn shown_is_certain(facts: Facts, whole: bool, writable: bool) {
    if judge(facts, whole, writable) == Show {
        assert!(whole && !writable, "{facts:?}");
        assert!(
            alone(facts) || facts.bits & (fact::PAGE_POOL | fact::OURS) != 0,
            "{facts:?}"
        );
        assert_eq!(facts.bits & NEVER, 0, "{facts:?}");
    }
}

/// What may be mapped is mapped, and the reason for a copy is true.
pub fn copied_with_a_reason(facts: Facts, whole: bool, writable: bool) {
    let Copy(reason) = judge(facts, whole, writable) else {
        return;
    };
    let has = |bits: u32| facts.bits & bits != 0;
    let sole = alone(facts) && facts.inside && !has(fact::CLONED | fact::FOLIO_MAPPED);
    let certain = alone(facts) || has(fact::PAGE_POOL | fact::OURS);
    assert!(
        has(NEVER) || !(sole && (whole || !has(fact::CUT)) || whole && !writable && certain),
        "{facts:?} is copied, whole: {whole}, writable: {writable}"
    );
    let true_of_it = match reason {
        Why::Small => has(fact::SMALL),
        Why::Linear => has(fact::LINEAR),
        Why::Kernel => has(fact::TYPED),
        Why::File => has(fact::FILE),
        Why::Writable => has(fact::ANON | fact::MAPPED | fact::SHARED_FRAG | fact::ZEROCOPY),
        Why::Cloned => has(fact::CLONED),
        Why::Shared => !has(fact::CLONED) && (!sole || has(fact::CUT)),
        Why::Elements => has(fact::CROWDED),
        Why::Pinned | Why::Device | Why::Dma => false,
    };
    assert!(true_of_it, "{reason:?} is not why {facts:?} is copied");
}

/// A part of a page is treated the same for a writable window as for a read-only one.
pub fn parts_are_alike(facts: Facts, whole: bool, _: bool) {
    if !whole {
        let (writable, read_only) = (judge(facts, false, true), judge(facts, false, false));
        assert_eq!(writable, read_only, "{facts:?}");
    }
}
