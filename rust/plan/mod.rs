// SPDX-License-Identifier: GPL-2.0

//! Decisions that need no kernel.
//!
//! What may be shown to user space, where a payload goes, which arguments are good:
//! pure functions over plain numbers. The module and the host's tests compile the
//! very same files (`tests/host/plan`), so they use `core` only, never allocate, and
//! know nothing of pages or sockets.

pub mod area;
pub mod dma;
pub mod lay;
pub mod marks;
pub mod ownership;
pub mod parts;
pub mod queue;
pub mod receive;
pub mod small;
pub mod span;
pub mod splice;
pub mod transmit;

/// Bytes in a page. The module checks that the kernel agrees.
pub const PAGE_SIZE: usize = 4096;
