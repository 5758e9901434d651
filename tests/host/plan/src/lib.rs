// SPDX-License-Identifier: GPL-2.0

//! The module's own planning files, compiled as they are for the host: without `std` and
//! without `unsafe`, as in the kernel. `invariants` is what must hold of them; the property
//! tests in `tests/` and the fuzz targets in `fuzz/` look for what breaks it.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod invariants;
#[path = "../../../../rust/plan/mod.rs"]
pub mod plan;
