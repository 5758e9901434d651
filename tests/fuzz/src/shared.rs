// SPDX-License-Identifier: GPL-2.0
//! What a running program tells the fuzzer, in memory that both see: the program may be
//! killed at any moment.

use crate::program::THREADS;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering::*};

pub const ERRNOS: usize = 134;
const TEXT: usize = 2000;

/// The calls under test.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(usize)]
pub enum Call {
    Readv,
    Writev,
    Info,
    Tune,
    Target,
    Kept,
    Splice,
    Unsplice,
    SpliceStatus,
    Other,
    Mmap,
}

pub const CALLS: usize = 11;
pub const CALL_NAMES: [&str; CALLS] =
    ["readv", "writev", "info", "tune", "target", "kept", "splice", "unsplice", "splice_status", "other", "mmap"];

#[repr(C)]
pub struct Shared {
    /// How often each call ended with which errno; 0 is success.
    pub results: [[AtomicU64; ERRNOS]; CALLS],
    /// Bytes on checked connections that were compared.
    pub checked: AtomicU64,
    /// Payloads that were compared.
    pub payloads: AtomicU64,
    pub operations: AtomicU64,
    /// Programs that ran to their end and whose connections had every byte.
    pub drained: AtomicU64,
    /// What each thread is doing: one more than its place in the program.
    pub doing: [AtomicU32; THREADS],
    found: AtomicU32,
    len: AtomicU32,
    text: [AtomicU8; TEXT],
}

impl Shared {
    pub fn new() -> &'static Self {
        // SAFETY: Fresh memory, never unmapped; zeros are a value of every field.
        unsafe {
            let map = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(map, libc::MAP_FAILED, "no memory");
            &*map.cast()
        }
    }

    pub fn count(&self, call: Call, errno: i32) {
        if let Some(n) = self.results[call as usize].get(errno as usize) {
            n.fetch_add(1, Relaxed);
        }
    }

    /// Something that must not be. The first such text is kept, and the program ends.
    pub fn violation(&self, text: &str) -> ! {
        if self.found.swap(1, Relaxed) == 0 {
            for (to, from) in self.text.iter().zip(text.bytes()) {
                to.store(from, Relaxed);
            }
            self.len.store(text.len().min(TEXT) as u32, Release);
        }
        // SAFETY: Ends the process.
        unsafe { libc::_exit(VIOLATION) }
    }

    /// The violation, if there was one; to be asked when the program is over.
    pub fn verdict(&self) -> Option<String> {
        let len = self.len.load(Acquire) as usize;
        let text: Vec<u8> = self.text[..len].iter().map(|b| b.load(Relaxed)).collect();
        (self.found.load(Relaxed) != 0).then(|| String::from_utf8_lossy(&text).into_owned())
    }

    /// Forgets the last program; the totals stay.
    pub fn reset(&self) {
        self.found.store(0, Relaxed);
        self.len.store(0, Relaxed);
        for doing in &self.doing {
            doing.store(0, Relaxed);
        }
    }
}

/// The exit status of a program that saw one.
pub const VIOLATION: i32 = 77;
