// SPDX-License-Identifier: GPL-2.0

//! zcio: zero-copy socket and storage I/O.
//!
//! Dependencies point one way, from the face inward:
//!
//! - `device`: the face. `/dev/zcio`, its calls, its numbers.
//! - `receive`, `transmit`, `splice`: the paths, one per call.
//! - `region`, `spares`, `context`, `window`, `pool`, `source`, `fifo`, `stretch`, `writable`,
//!   `charge`: the objects that the paths work on.
//! - `ground`: thin wrappers over kernel C, the only place with `unsafe`.
//! - `plan`: decisions that need no kernel; the host's tests compile it too.
//!
//! # Lock order
//!
//! 1. the socket lock (`ground::socket::Locked`),
//! 2. the mmap lock (`ground::vma`), also held around every page fault,
//! 3. the mutex of a context's list of pools,
//! 4. the mutex of one window or one pool.
//!
//! A splice's mutex comes before the socket lock, and is held with nothing else of these.
//!
//! Never a socket lock inside a fault handler; never two sockets, windows or pools at
//! once. User memory (iovec arrays) is touched under the first at most.

#![crate_name = "zcio"]
#![deny(unsafe_code)]
#![deny(missing_docs)]

mod charge;
mod context;
mod device;
mod fifo;
mod gather;
#[allow(unsafe_code)]
mod ground;
// The host's tests are another crate, which needs what is `pub` here.
#[allow(unreachable_pub, dead_code)]
mod plan;
mod pool;
mod receive;
mod region;
mod source;
mod spares;
mod splice;
mod stretch;
mod transmit;
mod window;
mod writable;

// The macro's own code registers the module with the kernel: unsafe, and not ours.
#[allow(unsafe_code, missing_docs)]
mod entry {
    use kernel::prelude::*;

    module! {
        type: Zcio,
        name: "zcio",
        authors: ["the zcio authors"],
        description: "Zero-copy socket and storage I/O",
        license: "GPL",
    }

    struct Zcio {
        _device: super::ground::chardev::Registration<super::device::Open>,
        _debug: super::ground::debug::Files,
        // After the device, which asks for splices.
        _splices: super::ground::splice::Machinery,
    }

    impl kernel::Module for Zcio {
        fn init(module: &'static ThisModule) -> Result<Self> {
            let splices = super::ground::splice::Machinery::new()?;
            Ok(Zcio {
                _splices: splices,
                _device: super::ground::chardev::Registration::new(module, c"zcio")?,
                _debug: super::ground::debug::Files::new()?,
            })
        }
    }
}
