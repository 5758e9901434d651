// SPDX-License-Identifier: GPL-2.0
//! Memory whose faults wait: a call that reads or writes it stops in the middle, with its
//! locks, until another thread answers after a moment.

use crate::layout::PAGE;
use crate::sys;
use std::os::fd::RawFd;
use std::time::Duration;

// From <linux/userfaultfd.h>.
const UFFDIO_API: u64 = 0xc018aa3f;
const UFFDIO_REGISTER: u64 = 0xc020aa00;
const UFFDIO_ZEROPAGE: u64 = 0xc020aa04;
const API: u64 = 0xaa;
const MODE_MISSING: u64 = 1;
const DELAY: Duration = Duration::from_millis(2);

pub struct Userfault(RawFd);

impl Userfault {
    /// With the thread that answers; it lives as long as the process.
    pub fn new() -> Option<Self> {
        // SAFETY: The structures are as the header has them.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) as RawFd;
            let mut api = [API, 0, 0];
            if fd < 0 || libc::ioctl(fd, UFFDIO_API, api.as_mut_ptr()) != 0 {
                return None;
            }
            fd
        };
        std::thread::spawn(move || answer(fd));
        Some(Self(fd))
    }

    pub fn watch(&self, base: usize, len: usize) {
        let mut range = [base as u64, len as u64, MODE_MISSING, 0];
        // SAFETY: As above.
        unsafe { libc::ioctl(self.0, UFFDIO_REGISTER, range.as_mut_ptr()) };
    }
}

fn answer(fd: RawFd) {
    // struct uffd_msg: the event, flags, and for a page fault its address.
    let mut message = [0u64; 4];
    // SAFETY: Room for one message.
    while unsafe { libc::read(fd, message.as_mut_ptr().cast(), size_of_val(&message)) } > 0
        || sys::errno() == libc::EINTR
    {
        std::thread::sleep(DELAY);
        let mut page = [message[2] & !(PAGE as u64 - 1), PAGE as u64, 0, 0];
        // SAFETY: As above.
        unsafe { libc::ioctl(fd, UFFDIO_ZEROPAGE, page.as_mut_ptr()) };
    }
}
