// SPDX-License-Identifier: MIT
//! Where the device is mapped: at an aligned address, and never over anything.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

/// Mappings start at a multiple of this, what one page of page table spans, so that
/// threads with a mapping each do not wait for each other's page-table locks.
const ALIGNMENT: usize = 2 << 20;

/// How often an aligned place is looked for, when other threads take it.
const TRIES: usize = 8;

/// Mapped memory; unmapped when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    pub start: NonNull<u8>,
    pub len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: `&Mapping` gives only the address; access goes through slots.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the device at `offset`.
    pub fn new(device: BorrowedFd<'_>, len: usize, prot: i32, offset: i64) -> io::Result<Mapping> {
        let map = |at, flags| {
            // SAFETY: at an address of the kernel's choice, or with MAP_FIXED_NOREPLACE where
            // nothing is: either way no memory is changed that was there before.
            address(unsafe {
                let flags = libc::MAP_SHARED | flags;
                libc::mmap64(at, len, prot, flags, device.as_raw_fd(), offset)
            })
        };
        Ok(Mapping { start: place(len, map)?, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and no slot, hence no reference, is left: slots
        // keep the `Arena` alive that owns this mapping.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// What `mmap` returned.
fn address(mapped: *mut libc::c_void) -> io::Result<NonNull<u8>> {
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(mapped.cast()).expect("mmap gives no null"))
}

/// Lets `map`, given an address and flags, map `len` bytes: aligned, unless other threads are
/// faster every time.
///
/// It does not map over a reservation: the kernel takes that away before it asks the
/// device, and if the device refuses, others may map there. So after an error there is
/// nothing to unmap.
fn place(
    len: usize,
    mut map: impl FnMut(*mut libc::c_void, i32) -> io::Result<NonNull<u8>>,
) -> io::Result<NonNull<u8>> {
    for _ in 0..TRIES {
        match map(find_room(len)?, libc::MAP_FIXED_NOREPLACE) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            result => return result,
        }
    }
    map(ptr::null_mut(), 0)
}

/// An aligned address where `len` bytes are free; another thread may map there at any time.
fn find_room(len: usize) -> io::Result<*mut libc::c_void> {
    let total = len.checked_add(ALIGNMENT).ok_or(io::ErrorKind::InvalidInput)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice harms nobody.
    let room = unsafe { libc::mmap64(ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0) };
    let room = address(room)?;
    // SAFETY: mapped just now, and nobody else knows of it.
    if unsafe { libc::munmap(room.as_ptr().cast(), total) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(room.as_ptr().map_addr(|at| at.next_multiple_of(ALIGNMENT)).cast())
}

#[cfg(test)]
#[cfg(not(miri))] // which maps no files
mod tests {
    use super::*;
    use crate::sys::{page_size, tests::device};
    use std::os::fd::AsFd;

    /// Memory that another thread maps at this very address. None if there is one that did:
    /// tests run in threads.
    fn theirs(at: *mut libc::c_void) -> Option<Mapping> {
        let len = page_size();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: replaces nothing.
        let start = address(unsafe { libc::mmap64(at, len, prot, flags, -1, 0) }).ok()?;
        // SAFETY: a byte of the new mapping.
        unsafe { start.write(7) };
        Some(Mapping { start, len })
    }

    fn assert_theirs(mapping: &Mapping) {
        let (start, len) = (mapping.start.as_ptr().cast(), mapping.len);
        // SAFETY: an address that is not mapped is an error.
        assert_eq!(unsafe { libc::msync(start, len, libc::MS_ASYNC) }, 0, "it was unmapped");
        // SAFETY: mapped, as just seen.
        assert_eq!(unsafe { mapping.start.read() }, 7);
    }

    #[test]
    fn a_failure_takes_nobodys_memory() {
        let mut mapped = None;
        while mapped.is_none() {
            let error = place(3 * page_size(), |at, _| {
                mapped = theirs(at);
                Err(io::Error::from_raw_os_error(libc::ENOBUFS))
            });
            assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ENOBUFS));
        }
        assert_theirs(&mapped.unwrap());
    }

    /// Maps the device where other threads are faster so many times, and tells how often it
    /// asked for an address.
    fn map_behind(times: usize) -> usize {
        let (device, len) = (device(), 3 * page_size());
        let (mut mapped, mut asked) = (Vec::new(), 0);
        let map = |at: *mut libc::c_void, flags| {
            asked += usize::from(!at.is_null());
            assert_eq!(at.addr() % ALIGNMENT, 0);
            if asked <= times && !at.is_null() {
                mapped.extend(theirs(at));
                // Not left to the kernel: valgrind takes the address for a hint.
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            let flags = libc::MAP_SHARED | flags;
            // SAFETY: replaces nothing.
            address(unsafe {
                libc::mmap64(at, len, libc::PROT_READ, flags, device.as_fd().as_raw_fd(), 0)
            })
        };
        drop(Mapping { start: place(len, map).unwrap(), len });
        mapped.iter().for_each(assert_theirs);
        asked
    }

    #[test]
    fn where_others_are_faster() {
        assert!(map_behind(0) >= 1);
        assert!(map_behind(TRIES - 1) >= TRIES);
        // Then any place is good.
        assert_eq!(map_behind(TRIES), TRIES);
    }

    #[test]
    fn offsets_need_more_than_32_bits() {
        let device = device();
        let offset = crate::abi::MMAP_POOL;
        let mapping = Mapping::new(device.as_fd(), page_size(), libc::PROT_READ, offset).unwrap();
        let shown = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = |line: &&str| line.starts_with(&format!("{:08x}-", mapping.start.addr()));
        let found = shown.lines().find(line).expect("it is mapped");
        assert_eq!(found.split_whitespace().nth(2), Some(&*format!("{offset:08x}")));
    }
}
