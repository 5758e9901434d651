// SPDX-License-Identifier: MIT
//! What `<linux/zcio.h>` has about splices, field by field. That header says what each means.

use crate::abi::ioc;

pub const HANDLE: u32 = 1 << 0;

pub const NONE: u32 = 0;
pub const RUNNING: u32 = 1;
pub const EOF: u32 = 2;
pub const STOPPED: u32 = 3;
pub const MAX: u32 = 4;
pub const IDLE: u32 = 5;
pub const DRAIN: u32 = 6;
pub const SOURCE: u32 = 7;
pub const CLOSED: u32 = 8;

#[derive(Debug, Default)]
#[repr(C)]
pub struct Splice {
    pub source: i32,
    pub drain: i32,
    pub max: i64,
    pub idle: i64,
    pub flags: u32,
    pub reserved32: u32,
    pub reserved: [u64; 4],
}

#[derive(Debug, Default)]
#[repr(C)]
pub struct Status {
    pub fd: i32,
    pub flags: u32,
    pub state: u32,
    pub error: i32,
    pub moved: u64,
    pub copied: u64,
    pub reserved: [u64; 4],
}

pub const IOC_SPLICE: u32 = ioc(1, 6, size_of::<Splice>());
pub const IOC_UNSPLICE: u32 = ioc(3, 7, size_of::<Status>());
pub const IOC_STATUS: u32 = ioc(3, 8, size_of::<Status>());

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as the C header has them.
    #[test]
    fn layout() {
        assert_eq!(size_of::<Splice>(), 64);
        assert_eq!(size_of::<Status>(), 64);
        assert_eq!(std::mem::offset_of!(Splice, flags), 24);
        assert_eq!(std::mem::offset_of!(Status, moved), 16);
    }
}
