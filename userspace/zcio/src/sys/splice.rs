// SPDX-License-Identifier: MIT
//! The calls that start, stop and look at splices.

use super::plain_ioctl;
use crate::abi_splice as abi;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Starts a splice, and gives its handle.
pub(crate) fn splice(
    device: BorrowedFd<'_>,
    source: BorrowedFd<'_>,
    drain: BorrowedFd<'_>,
    max: i64,
    idle: i64,
) -> io::Result<OwnedFd> {
    let mut call = abi::Splice {
        source: source.as_raw_fd(),
        drain: drain.as_raw_fd(),
        max,
        idle,
        flags: abi::HANDLE,
        ..Default::default()
    };
    let fd = plain_ioctl(device, abi::IOC_SPLICE, &mut call)?;
    // SAFETY: with this flag, what the call returns is a descriptor that it made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Stops the splice of a handle.
pub(crate) fn unsplice(device: BorrowedFd<'_>, handle: BorrowedFd<'_>) -> io::Result<()> {
    let mut status = abi::Status { fd: handle.as_raw_fd(), ..Default::default() };
    plain_ioctl(device, abi::IOC_UNSPLICE, &mut status).map(drop)
}

/// How the splice of a handle stands.
pub(crate) fn splice_status(
    device: BorrowedFd<'_>,
    handle: BorrowedFd<'_>,
) -> io::Result<abi::Status> {
    let mut status = abi::Status { fd: handle.as_raw_fd(), ..Default::default() };
    plain_ioctl(device, abi::IOC_STATUS, &mut status)?;
    Ok(status)
}

/// Waits until a descriptor is readable, or a signal comes.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>) -> io::Result<()> {
    super::poll(fd, libc::POLLIN, -1).map(drop)
}
