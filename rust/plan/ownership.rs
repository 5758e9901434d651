// SPDX-License-Identifier: GPL-2.0

//! Who may see a page: the rules that keep one party's bytes from another.
//!
//! Two questions, not one. *May it be shown?* A page may be mapped read-only, even
//! while somebody in the kernel still shares it, if nobody can write to it and each of its
//! bytes is payload of this socket: the kernel's other readers (a packet tap, the
//! retransmit queue) only read. That nobody can write is certain of a driver's page_pool
//! pages, of pages that `zc_writev` has sent, and of pages to which no more references
//! exist than those of frags in this very queue: whoever could map the page into a process
//! at a later time, an AF_PACKET ring say, would hold one of its own. *May the page's other
//! bytes be zeroed, or the page be written?* That takes sole ownership: no other
//! reference, no other skb, no mapping, and no other bytes that are still to be read.

/// What was seen of the page under payload, and of its folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `fact::*` bits, of all the frags that have payload here.
    pub bits: u32,
    /// References to the folio that the kernel's own code holds.
    pub refs: i32,
    /// Frags of this queue that hold one of them each.
    pub frags: usize,
    /// Every one of these frags that has bytes in the page has them in this payload.
    pub inside: bool,
}

/// The bits of [`Facts`]; the same values as `ZCIO_FACT_*` of the module's C side.
#[allow(missing_docs)]
pub mod fact {
    pub const LINEAR: u32 = 0x001;
    pub const CLONED: u32 = 0x002;
    pub const SHARED_FRAG: u32 = 0x004;
    pub const ZEROCOPY: u32 = 0x008;
    pub const FOLIO_MAPPED: u32 = 0x010;
    pub const ANON: u32 = 0x020;
    pub const FILE: u32 = 0x040;
    pub const TYPED: u32 = 0x080;
    pub const MAPPED: u32 = 0x100;
    pub const PAGE_POOL: u32 = 0x200;
    pub const CUT: u32 = 0x400;
    pub const OURS: u32 = 0x800;
    /// Not of the C side: the bytes are below the copy threshold.
    pub const SMALL: u32 = 0x1000;
    /// Not of the C side: as it lies, the datagram needs more elements than there are.
    pub const CROWDED: u32 = 0x2000;
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
    /// More payloads in one page, or in the datagram, than elements were left.
    Elements = 9,
    /// Sending: the device cannot reach the page, so its bus copies.
    Dma = 10,
}

/// How many reasons there are.
pub const WHYS: usize = 11;

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

    if has(fact::SMALL) {
        return Verdict::Copy(Why::Small);
    }
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
    if has(fact::CROWDED) {
        return Verdict::Copy(Why::Elements);
    }
    let alone = usize::try_from(facts.refs) == Ok(facts.frags);
    // A frag that goes on behind what may be read now (an urgent mark) keeps bytes in
    // the page that are still to come: they must be neither shown nor zeroed.
    let owned = alone
        && facts.inside
        && !has(fact::CLONED | fact::FOLIO_MAPPED)
        && (whole || !has(fact::CUT));
    if owned {
        Verdict::Owned
    } else if whole && !writable && (alone || has(fact::PAGE_POOL | fact::OURS)) {
        Verdict::Show
    } else if has(fact::CLONED) {
        Verdict::Copy(Why::Cloned)
    } else {
        Verdict::Copy(Why::Shared)
    }
}
