// SPDX-License-Identifier: GPL-2.0

//! Who may see a page: the rules that keep one party's bytes from another.
//!
//! Two questions, not one. *May it be shown?* A page may be mapped read-only, even
//! while the kernel still shares it, if nobody can write to it and each of its bytes is
//! payload of this socket: the kernel's other readers (a packet tap, the retransmit
//! queue) only read. That nobody can write is certain of two kinds of shared pages: a
//! driver's page_pool pages, and pages that `zc_writev` has sent. Of others it is not: a
//! frag of an AF_PACKET ring, say, looks like a sender's page frag, and its owner may map
//! it again at any time. *May the page's other bytes be zeroed, or the page be written?*
//! That takes sole ownership: the one reference is the one that the queued frag holds.

/// What was seen of the page under a piece of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `fact::*` bits.
    pub bits: u32,
    /// Reference count of the page (meaningless for compound pages).
    pub refs: i32,
}

/// The bits of [`Facts`]; the same values as `ZCIO_FACT_*` of the module's C side.
#[allow(missing_docs)]
pub mod fact {
    pub const LINEAR: u32 = 0x001;
    pub const CLONED: u32 = 0x002;
    pub const SHARED_FRAG: u32 = 0x004;
    pub const ZEROCOPY: u32 = 0x008;
    pub const COMPOUND: u32 = 0x010;
    pub const ANON: u32 = 0x020;
    pub const FILE: u32 = 0x040;
    pub const TYPED: u32 = 0x080;
    pub const MAPPED: u32 = 0x100;
    pub const PAGE_POOL: u32 = 0x200;
    pub const CUT: u32 = 0x400;
    pub const OURS: u32 = 0x800;
}

/// Why bytes were copied; the bit numbers of `ZCIO_WHY_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// Fewer bytes than the copy threshold.
    Small = 0,
    /// Beside the headers, not in a page frag.
    Linear = 1,
    /// Part of a page whose other bytes may be a stranger's.
    Shared = 2,
    /// Part of a page that somebody else still reads.
    Cloned = 3,
    /// Somebody can still write to the page.
    Writable = 4,
    /// In a file's page cache.
    File = 5,
    /// A page of a type that cannot be mapped.
    Kernel = 6,
    /// Sending: somebody else still holds the pool page.
    Pinned = 7,
    /// Sending: the device cannot gather, so the stack copies.
    Device = 8,
}

/// How many reasons there are.
pub const WHYS: usize = 9;

impl Why {
    /// The `ZCIO_WHY_*` bit.
    pub fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Solely owned: the rest may be zeroed, and it may be mapped writable.
    Owned,
    /// May be mapped read-only as it is: every byte is payload.
    Show,
    /// Must be copied.
    Copy(Why),
}

/// Judges a page of which the payload covers all (`whole`) or a part, for a window
/// that user space can write to (`writable`) or not.
pub fn judge(facts: Facts, whole: bool, writable: bool) -> Verdict {
    let has = |bits: u32| facts.bits & bits != 0;

    if has(fact::LINEAR) {
        return Verdict::Copy(Why::Linear);
    }
    if has(fact::TYPED) {
        return Verdict::Copy(Why::Kernel);
    }
    if has(fact::FILE) {
        return Verdict::Copy(Why::File);
    }
    if has(fact::ANON | fact::MAPPED | fact::SHARED_FRAG | fact::ZEROCOPY) {
        return Verdict::Copy(Why::Writable);
    }
    // A frag that goes on behind what may be read now (an urgent mark) keeps bytes in
    // the page that are still to come: they must be neither shown nor zeroed.
    let sole = facts.refs == 1
        && !has(fact::CLONED | fact::COMPOUND | fact::PAGE_POOL)
        && (whole || !has(fact::CUT));
    if sole {
        Verdict::Owned
    } else if whole && !writable && has(fact::PAGE_POOL | fact::OURS) {
        Verdict::Show
    } else if has(fact::CLONED) {
        Verdict::Copy(Why::Cloned)
    } else {
        Verdict::Copy(Why::Shared)
    }
}
