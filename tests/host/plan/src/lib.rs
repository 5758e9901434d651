// SPDX-License-Identifier: GPL-2.0

//! The module's own planning files, compiled as they are for the host. Without `std` and
//! without `unsafe`, as in the kernel; the tests are in `tests/`.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[path = "../../../../rust/plan/mod.rs"]
pub mod plan;
