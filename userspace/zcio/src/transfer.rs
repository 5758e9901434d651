// SPDX-License-Identifier: MIT
//! What a call tells of a payload, and the flags of the calls.

use crate::abi;
use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// Why bytes were copied and not mapped: a set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Why(u32);

impl Why {
    /// Names of the reasons, by bit number.
    pub const NAMES: [&'static str; 11] = [
        "small", "linear", "shared", "cloned", "writable", "file", "kernel", "pinned", "device",
        "elements", "dma",
    ];

    /// The reasons as the kernel's bits (`ZCIO_WHY_*` in `<linux/zcio.h>`).
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether there is no reason: all bytes were mapped.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the reasons in the set: `small` (below the copy threshold), `linear`
    /// (beside the headers), `shared` (part of a page with a stranger's bytes), `cloned`
    /// (part of a page that a packet tap or the sender still reads), `writable` (someone
    /// can still write to the page), `file` (page cache), `kernel` (a page that cannot be
    /// mapped), `pinned` (sending: someone holds the page), `device` (sending: the
    /// device cannot gather pages), `elements` (its page holds more payloads than regions
    /// were left), `dma` (sending: the device's bus copies).
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..Self::NAMES.len())
            .filter(move |bit| (self.0 >> bit) & 1 == 1)
            .map(|bit| Self::NAMES[bit])
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

/// How a payload was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes moved as pages, without a copy.
    pub mapped: u64,
    /// Bytes copied.
    pub copied: u64,
    /// Why those were copied.
    pub why: Why,
}

impl Transfer {
    /// Bytes moved.
    pub fn bytes(&self) -> u64 {
        self.mapped + self.copied
    }
}

impl From<abi::Payload> for Transfer {
    fn from(info: abi::Payload) -> Transfer {
        Transfer { mapped: info.mapped, copied: info.copied, why: Why(info.why) }
    }
}

/// Flags of a call; `Flags::default()` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Fail with `WouldBlock` instead of waiting.
    pub const DONTWAIT: Flags = Flags(abi::DONTWAIT);
    /// Sending: no `SIGPIPE` (Rust programs ignore it anyway).
    pub const NOSIGNAL: Flags = Flags(abi::NOSIGNAL);
    /// Sending: more will follow at once, a last short segment may wait for it.
    pub const MORE: Flags = Flags(abi::MORE);

    /// The flags as the kernel's bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_by_name() {
        assert_eq!(Why(0b1000_0001).to_string(), "small,pinned");
        assert!(Why(0).is_empty());
    }
}
