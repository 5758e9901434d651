// SPDX-License-Identifier: GPL-2.0

//! Errors that not every supported kernel's Rust has a name for, and bytes or an error.

use kernel::bindings;
use kernel::error::{Error, Result};
use kernel::ffi::c_long;

/// Another kind of socket than those that are served.
pub(crate) fn not_supported() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as i32))
}

/// A socket that is not connected.
pub(crate) fn not_connected() -> Error {
    Error::from_errno(-(bindings::ENOTCONN as i32))
}

/// A limit on memory is reached.
pub(crate) fn no_buffers() -> Error {
    Error::from_errno(-(bindings::ENOBUFS as i32))
}

/// What a function of C returns that counts bytes, or tells an error by a negative number.
pub(super) fn bytes(n: c_long) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::from_errno(n as i32))
}

/// What there is none of cannot be ended.
pub(crate) fn not_there() -> Error {
    Error::from_errno(-(bindings::EPROTO as i32))
}

/// Protocols that do not fit together.
pub(crate) fn wrong_protocol() -> Error {
    Error::from_errno(-(bindings::EPROTONOSUPPORT as i32))
}
