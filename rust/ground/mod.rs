// SPDX-License-Identifier: GPL-2.0

//! Thin wrappers over kernel C: the only part with `unsafe`.
//!
//! Each type here owns or borrows one kernel object and makes its rules the compiler's:
//! a page reference is given back when it is dropped, pages of a receive queue can be
//! looked at only while the socket is locked and before anything is consumed, a VMA only
//! under the mmap lock. What stands above this folder is safe Rust.

pub(crate) mod chardev;
pub(crate) mod datagram;
pub(crate) mod debug;
pub(crate) mod errno;
pub(crate) mod frame;
pub(crate) mod page;
pub(crate) mod poll;
pub(crate) mod route;
pub(crate) mod skb;
pub(crate) mod socket;
pub(crate) mod softlock;
pub(crate) mod splice;
pub(crate) mod splice_udp;
pub(crate) mod uapi;
pub(crate) mod user;
pub(crate) mod vma;

/// Declarations of `shim.c` and structures of `uapi/zcio.h`, made by bindgen.
#[allow(
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod shim {
    use kernel::bindings::{
        bio_vec, file, page, poll_table_struct, sk_buff, sock, socket, user_struct, vm_area_struct,
        vm_fault, vm_operations_struct, workqueue_struct,
    };
    use kernel::ffi;
    include!(concat!(env!("ZCIO_OBJ"), "/shim_generated.rs"));
}
