// SPDX-License-Identifier: GPL-2.0

//! What must hold of every decision, whatever is asked: each function here panics if it
//! does not. Models are plain and slow, with numbers that cannot wrap.

// Here and not at the crate's root: `plan` must not come by it.
extern crate std;

pub mod dma;
pub mod marks;
pub mod ownership;
pub mod parts;
pub mod ranges;
pub mod receive;
pub mod splice;
pub mod transmit;
