// SPDX-License-Identifier: GPL-2.0
//! Coverage by KCOV: which places of the module each thread of a program came by. Only
//! the debug kernel has it, and only the module is instrumented there.

use crate::program::THREADS;
use crate::sys;
use std::collections::{BTreeSet, HashSet};
use std::os::fd::RawFd;

const INIT_TRACE: libc::Ioctl = 0x8008_6301;
const ENABLE: libc::Ioctl = 0x6364;
const DISABLE: libc::Ioctl = 0x6365;
const TRACE_PC: usize = 0;
/// Places that one thread can record, and the count before them.
const WORDS: usize = 1 << 16;
/// One buffer for each thread, and one for the set-up and the end.
pub const BUFFERS: usize = THREADS + 1;

/// A set of numbers that is quick where many are looked up, most of them again and again.
struct Seen(Vec<bool>);

impl Seen {
    const BITS: u32 = 22;

    fn new() -> Self {
        Self(vec![false; 1 << Self::BITS])
    }

    /// True if it was not there.
    fn insert(&mut self, n: u64) -> bool {
        let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - Self::BITS);
        !std::mem::replace(&mut self.0[hash as usize], true)
    }
}

pub struct Kcov {
    buffers: Vec<(RawFd, &'static [std::sync::atomic::AtomicU64])>,
    /// Where the module's sections lie, highest first.
    sections: Vec<(u64, String)>,
    /// Places seen so far, as the host can find them in zcio.ko.
    pub places: BTreeSet<String>,
    /// Places, and pairs that followed each other, by a hash: two with the same are taken for
    /// one, which does not matter with so few.
    pcs: Seen,
    edges: Seen,
}

impl Kcov {
    /// `None` on a kernel without.
    pub fn new() -> Option<Self> {
        let buffers = (0..BUFFERS).map(|_| buffer()).collect::<Option<_>>()?;
        Some(Self { buffers, sections: sections()?, places: BTreeSet::new(), pcs: Seen::new(), edges: Seen::new() })
    }

    pub fn clear(&self) {
        for (_, words) in &self.buffers {
            words[0].store(0, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// From here on the current thread's way is recorded.
    pub fn enable(&self, thread: usize) {
        // SAFETY: Plain arguments.
        unsafe { libc::ioctl(self.buffers[thread].0, ENABLE, TRACE_PC) };
    }

    pub fn disable(&self, thread: usize) {
        // SAFETY: Plain arguments.
        unsafe { libc::ioctl(self.buffers[thread].0, DISABLE, 0) };
    }

    /// What the last program reached: how many places and ways between them are new.
    pub fn collect(&mut self) -> usize {
        let mut new = 0;
        let mut places = Vec::new();
        for (_, words) in &self.buffers {
            let load = |i: usize| words[i].load(std::sync::atomic::Ordering::Relaxed);
            let mut last = 0u64;
            for i in 1..=(load(0) as usize).min(WORDS - 1) {
                let pc = load(i);
                if self.pcs.insert(pc) {
                    places.push(pc);
                }
                new += usize::from(self.edges.insert(last.rotate_left(32) ^ pc));
                last = pc;
            }
        }
        for pc in places {
            let section = self.sections.iter().find(|(base, _)| *base <= pc);
            if let Some((base, name)) = section {
                self.places.insert(format!("{name}+{:#x}", pc - base));
            }
        }
        new
    }

    /// The places that the last program reached.
    pub fn last(&self) -> HashSet<u64> {
        let mut seen = HashSet::new();
        for (_, words) in &self.buffers {
            let load = |i: usize| words[i].load(std::sync::atomic::Ordering::Relaxed);
            seen.extend((1..=(load(0) as usize).min(WORDS - 1)).map(load));
        }
        seen
    }
}

fn buffer() -> Option<(RawFd, &'static [std::sync::atomic::AtomicU64])> {
    let fd = sys::open("/sys/kernel/debug/kcov", libc::O_RDWR);
    if fd < 0 {
        return None;
    }
    // SAFETY: The mapping has WORDS words and is never unmapped; the kernel writes whole words.
    unsafe {
        if libc::ioctl(fd, INIT_TRACE, WORDS) != 0 {
            return None;
        }
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let map = libc::mmap(std::ptr::null_mut(), WORDS * 8, prot, libc::MAP_SHARED, fd, 0);
        (map != libc::MAP_FAILED).then(|| (fd, std::slice::from_raw_parts(map.cast(), WORDS)))
    }
}

fn sections() -> Option<Vec<(u64, String)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir("/sys/module/zcio/sections").ok()? {
        let entry = entry.ok()?;
        let text = std::fs::read_to_string(entry.path()).ok()?;
        let base = u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()?;
        out.push((base, entry.file_name().to_string_lossy().into_owned()));
    }
    out.sort_unstable_by(|a, b| b.cmp(a));
    Some(out)
}
