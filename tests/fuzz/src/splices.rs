// SPDX-License-Identifier: GPL-2.0
//! The calls about splices. What is spliced are descriptors whose bytes are not checked: the
//! guest tests look at every byte (tests/guest/splice_*.c). Here it is whatever else happens to
//! them meanwhile.

use crate::abi_splice as abi;
use crate::calls::put;
use crate::program::{Bend, Fd, Op};
use crate::shared::Call;
use crate::world::World;
use std::os::fd::RawFd;

impl World<'_> {
    pub fn splice(&self, op: &Op) -> Option<()> {
        let &Op::SpliceStart { ctx, source, drain, max, idle, flags, handle, bend } = op else {
            return None;
        };
        let (source, drain) = (self.any_fd(source)?, self.any_fd(drain)?);
        let _held = self.hold(bend.ranges(size_of::<abi::Splice>()))?;
        let mut splice = [abi::Splice { source, drain, max, idle, flags, ..Default::default() }];
        splice[0].reserved[3] = bend.reserved;
        let argument = put(&mut splice, bend.argument);
        let result = self.ioctl(Call::Splice, self.context(ctx), abi::IOC_SPLICE, argument);
        // What is said elsewhere may have changed before it was read.
        let known = bend.argument.is_none();
        match result {
            Ok(fd @ 1..) => self.replace_fd(handle, fd as RawFd),
            Ok(_) if known && (max < 0 || idle < 0 || flags != 0 || bend.reserved != 0) => {
                self.shared.violation(&format!("splice: this should have failed: {:?}", splice[0]))
            }
            _ => {}
        }
        Some(())
    }

    /// Asks how a splice stands, or stops it.
    pub fn splice_status(&self, stop: bool, ctx: u8, fd: Fd, flags: u32, bend: &Bend) -> Option<()> {
        let fd = self.any_fd(fd)?;
        let _held = self.hold(bend.ranges(size_of::<abi::Status>()))?;
        let mut status = [abi::Status { fd, flags, ..Default::default() }];
        status[0].reserved[3] = bend.reserved;
        let argument = put(&mut status, bend.argument);
        let (call, command) =
            if stop { (Call::Unsplice, abi::IOC_UNSPLICE) } else { (Call::SpliceStatus, abi::IOC_STATUS) };
        let result = self.ioctl(call, self.context(ctx), command, argument);
        let s = &status[0];
        let goes_on = stop && s.state == abi::RUNNING;
        if result.is_ok() && bend.argument.is_none() && (goes_on || s.copied > s.moved || s.moved >= 1 << 50) {
            self.shared.violation(&format!("splice: {s:?}"));
        }
        Some(())
    }
}
