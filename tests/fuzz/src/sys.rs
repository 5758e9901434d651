// SPDX-License-Identifier: GPL-2.0
//! System calls with results that Rust understands.

use std::ffi::CString;
use std::os::fd::RawFd;

/// The result of a system call, -1 being an error.
pub fn result(n: impl Into<i64>) -> Result<i64, i32> {
    match n.into() {
        -1 => Err(errno()),
        n => Ok(n),
    }
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub fn open(path: &str, flags: i32) -> RawFd {
    let path = CString::new(path).expect("no zero in a path");
    // SAFETY: A valid string.
    unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) }
}

pub fn close(fd: RawFd) {
    // SAFETY: The fuzzer's own descriptors are never in its tables.
    unsafe { libc::close(fd) };
}

pub fn setsockopt<T: Copy>(fd: RawFd, level: i32, name: i32, value: &T) -> i32 {
    // SAFETY: The pointer and the length describe `value`.
    unsafe { libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as u32) }
}

/// What FIONREAD, TIOCOUTQ and the like say.
pub fn queued(fd: RawFd, request: libc::Ioctl) -> Option<i32> {
    let mut n = 0i32;
    // SAFETY: `n` can be written.
    (unsafe { libc::ioctl(fd, request, &mut n) } == 0).then_some(n)
}

pub fn set_nonblock(fd: RawFd, on: bool) {
    // SAFETY: Changes flags only.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
        libc::fcntl(fd, libc::F_SETFL, flags);
    }
}

pub fn iovec(base: usize, len: usize) -> libc::iovec {
    libc::iovec { iov_base: base as *mut libc::c_void, iov_len: len }
}

/// Writes all of a text to a file, on the host's disk when it returns.
pub fn store(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
