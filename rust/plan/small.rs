// SPDX-License-Identifier: GPL-2.0

//! What is copied though it could be mapped, as a copy takes less than page tables do.
//!
//! To take pages out and put others in has a price for the call (a flush), and one for each
//! page. So what a call moves must be worth the first, and what comes in pages of its own the
//! second. The pieces of a stream come by hundreds, so they must be worth it, too.

use super::PAGE_SIZE;

/// Whether a call that moves `all` bytes copies them, where the context's threshold is
/// `threshold`.
pub fn call_is_small(threshold: u64, all: u64) -> bool {
    all < threshold
}

/// Whether a call that receives `all` bytes of a stream copies them. `largest` is the longest
/// piece in one place of what comes first: where not even that is a page, drivers write little
/// pieces behind each other, and a page would be mapped for each two or three of them.
pub fn stream_is_small(threshold: u64, all: u64, largest: impl FnOnce() -> usize) -> bool {
    call_is_small(threshold, all) || threshold > 0 && largest() < PAGE_SIZE
}

/// Whether a datagram of `len` bytes, received by a call with `all`, is copied: it has pages of
/// its own.
pub fn datagram_is_small(threshold: u64, all: u64, len: u64) -> bool {
    call_is_small(threshold, all) || len < threshold.min(PAGE_SIZE as u64)
}
