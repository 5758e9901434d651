// SPDX-License-Identifier: MIT
//! The structures of `<linux/zcio.h>`, field by field. That header says what each means.

/// Raises when the kernel interface gains something.
pub const ABI_VERSION: u32 = 1;
pub const MAX_ELEMENTS: usize = 1024;
pub const MMAP_WINDOW: i64 = 0;
pub const MMAP_POOL: i64 = 0x100_0000_0000;

pub const DONTWAIT: u32 = 1 << 0;
pub const NOSIGNAL: u32 = 1 << 1;
pub const MORE: u32 = 1 << 2;
pub const KEEP: u32 = 1 << 3;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Payload {
    pub flags: u32,
    pub why: u32,
    pub mapped: u64,
    pub copied: u64,
    pub timestamp: u64,
    pub datagram: u32,
    pub segment: u32,
    pub vlan_tci: u16,
    pub vlan_tpid: u16,
    pub name_len: u32,
    pub name: [u8; 28],
    pub reserved: [u32; 5],
}

#[derive(Debug, Default)]
#[repr(C)]
pub struct Readv {
    pub fd: i32,
    pub iovcnt: u32,
    pub iov: u64,
    pub payloads: u64,
    pub flags: u32,
    pub error_index: i32,
    pub reserved: [u64; 4],
}

#[derive(Debug, Default)]
#[repr(C)]
pub struct Writev {
    pub fd: i32,
    pub iovcnt: u32,
    pub iov: u64,
    pub payloads: u64,
    pub flags: u32,
    pub error_index: i32,
    pub taken: u64,
    pub segment: u32,
    pub reserved32: u32,
    pub reserved: [u64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Counters {
    pub calls: u64,
    pub payloads: u64,
    pub mapped: u64,
    pub copied: u64,
    pub why: [u64; 16],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Info {
    pub fd: i32,
    pub flags: u32,
    pub version: u32,
    pub page_size: u32,
    pub max_elements: u32,
    pub min_region: u32,
    pub head_room: u32,
    pub tail_room: u32,
    pub max_window: u64,
    pub max_pool: u64,
    pub copy_threshold: u64,
    pub window_pages: u64,
    pub pool_pages: u64,
    pub total_contexts: u64,
    pub total_window_pages: u64,
    pub total_pool_pages: u64,
    pub rx: Counters,
    pub tx: Counters,
    pub pool_leaving: u64,
    pub dma_mask: u64,
    pub reserved: [u64; 6],
}

#[derive(Debug, Default)]
#[repr(C)]
pub struct Tune {
    pub copy_threshold: u64,
    pub reserved: [u64; 7],
}

#[derive(Debug, Default)]
#[repr(C)]
pub struct Target {
    pub fd: i32,
    pub flags: u32,
    pub dma_mask: u64,
    pub reserved: [u64; 6],
}

#[derive(Debug, Default)]
#[repr(C)]
pub struct Kept {
    pub base: u64,
    pub len: u64,
    pub pages: u64,
    pub done: u64,
    pub reserved: [u64; 4],
}

/// `_IOC(dir, 0xBD, nr, size)`; `dir` is 1 for `_IOW`, 3 for `_IOWR`.
pub(crate) const fn ioc(dir: u32, nr: u32, size: usize) -> u32 {
    (dir << 30) | ((size as u32) << 16) | (0xBD << 8) | nr
}

pub const IOC_INFO: u32 = ioc(3, 0, size_of::<Info>());
pub const IOC_READV: u32 = ioc(3, 1, size_of::<Readv>());
pub const IOC_WRITEV: u32 = ioc(3, 2, size_of::<Writev>());
pub const IOC_TUNE: u32 = ioc(1, 3, size_of::<Tune>());
pub const IOC_TARGET: u32 = ioc(3, 4, size_of::<Target>());
pub const IOC_KEPT: u32 = ioc(3, 5, size_of::<Kept>());

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as the C header has them; userspace/Makefile compares the header itself.
    #[test]
    fn layout() {
        assert_eq!(size_of::<Payload>(), 96);
        assert_eq!(size_of::<Readv>(), 64);
        assert_eq!(size_of::<Writev>(), 64);
        assert_eq!(size_of::<Counters>(), 160);
        assert_eq!(size_of::<Info>(), 480);
        assert_eq!(size_of::<Tune>(), 64);
        assert_eq!(size_of::<Target>(), 64);
        assert_eq!(size_of::<Kept>(), 64);
        assert_eq!(std::mem::offset_of!(Writev, taken), 32);
        assert_eq!(std::mem::offset_of!(Info, rx), 96);
    }
}
