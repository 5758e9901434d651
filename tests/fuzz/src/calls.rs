// SPDX-License-Identifier: GPL-2.0
//! The calls under test, with any arguments. On a checked connection each result is
//! compared with what the interface promises: the bytes, the zeros around them, and that
//! a call that fails has changed nothing.

use crate::abi;
use crate::layout::PAGE;
use crate::memory::{self, bytes_of};
use crate::pattern::{PIECE, ROOM};
use crate::program::{Area, Bend, Common, Fd, Readv, Span, Writev};
use crate::shared::Call;
use crate::sys;
use crate::timer;
use crate::world::{look, Stream, World};
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering::Relaxed;

/// Space behind an array, for calls that say a larger count than there is.
const ELEMENTS: usize = abi::MAX_ELEMENTS + 2;
/// How often to ask whether what is kept was read.
const KEPT_TRIES: usize = 50;
/// Largest area that is filled.
const MOST: usize = 256 << 10;

/// Argument or array: in ordinary memory, or wherever the program wants it. What cannot
/// be written there is not there.
pub fn put<T>(ordinary: &mut [T], elsewhere: Option<crate::program::Addr>) -> usize {
    match elsewhere {
        Some(addr) => {
            memory::write(addr.harmless().unwrap_or(0), bytes_of(ordinary));
            addr.get()
        }
        None => ordinary.as_mut_ptr() as usize,
    }
}

impl Bend {
    /// Somebody else may change the arguments meanwhile, or they are not what was meant.
    fn elsewhere(&self) -> bool {
        self.count.is_some() || self.ranges(0).next().is_some()
    }

    pub fn ranges(&self, bytes: usize) -> impl Iterator<Item = (usize, usize)> {
        [self.array, self.payloads, self.argument].into_iter().flatten().map(move |a| (a.get(), bytes))
    }
}

impl Common {
    /// Where the call is to tell of the payloads.
    fn payloads(&self, ordinary: &mut Vec<abi::Payload>) -> u64 {
        ordinary.resize(ELEMENTS, abi::Payload::default());
        match self.bend.payloads {
            Some(addr) => addr.get() as u64,
            None if self.report => ordinary.as_mut_ptr() as u64,
            None => 0,
        }
    }

    fn count(&self, elements: usize) -> u32 {
        self.bend.count.unwrap_or(elements as u32)
    }

    fn run<T>(&self, world: &World<'_>, call: Call, command: u32, argument: &mut T) -> Result<i64, i32> {
        let argument = put(std::slice::from_mut(argument), self.bend.argument);
        timer::limited(self.timer, || world.ioctl(call, world.context(self.ctx), command, argument))
    }
}

fn ranges<'a>(spans: impl Iterator<Item = &'a Span> + 'a) -> impl Iterator<Item = (usize, usize)> + 'a {
    spans.map(|s| (s.base(), s.len as usize))
}

/// The whole pages of a region.
fn whole_pages(region: &libc::iovec) -> Range<usize> {
    let base = region.iov_base as usize;
    let start = base.next_multiple_of(PAGE);
    start..((base + region.iov_len) & !(PAGE - 1)).max(start)
}

impl World<'_> {
    /// One of the device's ioctls.
    pub fn ioctl(&self, call: Call, fd: RawFd, command: u32, argument: usize) -> Result<i64, i32> {
        // SAFETY: The arguments are ours, or in the slots, or nothing.
        let result = sys::result(unsafe { libc::ioctl(fd, command as libc::Ioctl, argument) });
        self.shared.count(call, result.err().unwrap_or(0));
        result
    }

    pub fn readv(&self, op: &Readv) -> Option<()> {
        let bytes = op.regions.len() * size_of::<abi::Payload>();
        let _held = self.hold(ranges(op.regions.iter()).chain(op.common.bend.ranges(bytes)))?;
        let Fd::Link { link, side } = op.common.fd else {
            let fd = self.any_fd(op.common.fd)?;
            let _ = ReadvCall::new(op, fd).run(self, op);
            return Some(());
        };
        let number = link as usize % self.links.len().max(1);
        let (side, from) = (side as usize % 2, 1 - side as usize % 2);
        let link = self.link(link)?;
        let stream = &link.streams[from];
        let mut rx = stream.rx.try_lock().ok()?;
        let mut call = ReadvCall::new(op, link.fds[side]);
        let ended = stream.ended.load(Relaxed);
        let judge = JudgeReadv { world: self, stream, index: 2 * number + from };
        match call.run(self, op) {
            Ok(0) if !ended && !stream.ended.load(Relaxed) => {
                self.shared.violation(&format!("readv: link {number} ended at {rx}, but its sender did not end it"))
            }
            Ok(0) => {}
            Ok(_) if op.common.bend.elsewhere() => stream.blind.store(true, Relaxed),
            Ok(n) => judge.success(&call, n as usize, &mut rx),
            Err(_) => judge.failure(&call, op),
        }
        Some(())
    }

    pub fn writev(&self, op: &Writev) -> Option<()> {
        let bytes = op.areas.len() * 2 * size_of::<libc::iovec>();
        let spans = op.areas.iter().flat_map(|a| [&a.area, &a.payload]);
        let _held = self.hold(ranges(spans).chain(op.common.bend.ranges(bytes)))?;
        let Fd::Link { link, side } = op.common.fd else {
            let fd = self.any_fd(op.common.fd)?;
            let _ = WritevCall::new(op, fd).run(self, op);
            return Some(());
        };
        let number = link as usize % self.links.len().max(1);
        let side = side as usize % 2;
        let link = self.link(link)?;
        let stream = &link.streams[side];
        let mut tx = stream.tx.try_lock().ok()?;
        let judge = JudgeWritev { world: self, stream: 2 * number + side };
        let filled = judge.fill(&op.areas, *tx);
        // What was not filled, nobody can compare: the receiver must not be at it.
        let known = filled.iter().all(|f| *f) && !op.common.bend.elsewhere();
        let _rx = if known { None } else { Some(stream.rx.try_lock().ok()?) };
        let mut call = WritevCall::new(op, link.fds[side]);
        match call.run(self, op) {
            Ok(_) if !known => stream.blind.store(true, Relaxed),
            Ok(n) => {
                judge.success(&call, op, n as usize, &mut tx, stream.blind.load(Relaxed));
                // What is written to the areas from now on may reach the peer.
                if op.keeps() && !self.all_read(op) {
                    stream.blind.store(true, Relaxed);
                }
            }
            Err(errno) => judge.failure(op, &filled, *tx, errno),
        }
        Some(())
    }
}

struct ReadvCall {
    argument: abi::Readv,
    /// As they were given, and as they came back.
    regions: Vec<libc::iovec>,
    iov: Vec<libc::iovec>,
    payloads: Vec<abi::Payload>,
}

impl ReadvCall {
    fn regions(&self) -> Vec<Range<usize>> {
        self.regions.iter().map(whole_pages).collect()
    }

    fn new(op: &Readv, fd: RawFd) -> Self {
        let regions: Vec<_> = op.regions.iter().map(|r| sys::iovec(r.base(), r.len as usize)).collect();
        let mut call = Self { argument: abi::Readv::default(), iov: regions.clone(), regions, payloads: Vec::new() };
        call.iov.resize(ELEMENTS, sys::iovec(0, 0));
        call.argument = abi::Readv {
            fd,
            iovcnt: op.common.count(op.regions.len()),
            iov: put(&mut call.iov[..], op.common.bend.array) as u64,
            payloads: op.common.payloads(&mut call.payloads),
            flags: op.common.flags,
            reserved: [op.common.bend.reserved, 0, 0, 0],
            ..Default::default()
        };
        call
    }

    fn run(&mut self, world: &World<'_>, op: &Readv) -> Result<i64, i32> {
        op.common.run(world, Call::Readv, abi::IOC_READV, &mut self.argument)
    }
}

struct JudgeReadv<'w> {
    world: &'w World<'w>,
    stream: &'w Stream,
    index: usize,
}

impl JudgeReadv<'_> {
    fn wrong(&self, text: String) -> ! {
        self.world.shared.violation(&format!("readv: {text}"))
    }

    /// Payloads are the stream's next bytes, inside the regions and in their order, with zeros
    /// around. A region can hold several of them.
    fn success(&self, call: &ReadvCall, n: usize, rx: &mut u64) {
        if n > call.regions.len() {
            self.wrong(format!("{n} payloads in {} regions", call.regions.len()));
        }
        let mut regions = call.regions.iter().map(whole_pages);
        let mut region = regions.next().unwrap_or_default();
        // Up to here the region is known to be right.
        let mut seen = region.start;
        for (i, iov) in call.iov.iter().take(n).enumerate() {
            let start = iov.iov_base as usize;
            let payload = start..start + iov.iov_len;
            while payload.start < seen || payload.end > region.end {
                self.zeros(seen..region.end, &region);
                let Some(next) = regions.next() else {
                    self.wrong(format!("payload {i} at {payload:x?} is not inside the regions {:x?}", call.regions()))
                };
                (seen, region) = (next.start, next);
            }
            self.zeros(seen..payload.start, &region);
            seen = payload.end;
            let report = &call.payloads[i];
            let reported = call.argument.payloads != 0 && call.argument.payloads == call.payloads.as_ptr() as u64;
            if payload.is_empty() || reported && report.mapped + report.copied != payload.len() as u64 {
                self.wrong(format!("payload {i} of {} bytes is reported as {report:?}", payload.len()));
            }
            self.content(payload.clone(), *rx, report);
            *rx += payload.len() as u64;
        }
        self.zeros(seen..region.end, &region);
        regions.for_each(|region| self.zeros(region.clone(), &region));
    }

    fn content(&self, payload: Range<usize>, pos: u64, report: &abi::Payload) {
        if !self.world.checked(payload.start, payload.len()) || self.stream.blind.load(Relaxed) {
            return;
        }
        let mut at = payload.start;
        while at < payload.end {
            let len = (payload.end - at).min(PIECE);
            let Some(bytes) = look(at, len) else { return };
            let pos = pos + (at - payload.start) as u64;
            if let Some(text) = self.world.env.pattern.differs(self.index, pos, &bytes) {
                self.wrong(format!("{text}, in a payload at {payload:x?}: {report:?}"));
            }
            at += len;
        }
        self.world.shared.payloads.fetch_add(1, Relaxed);
        self.world.shared.checked.fetch_add(payload.len() as u64, Relaxed);
    }

    fn zeros(&self, part: Range<usize>, region: &Range<usize>) {
        if part.is_empty() || !self.world.checked(part.start, part.len()) {
            return;
        }
        // A large region is looked at near the payload only.
        let Some(bytes) = look(part.start, part.len().min(MOST)) else { return };
        if let Some(at) = bytes.iter().position(|b| *b != 0) {
            let byte = bytes[at];
            self.wrong(format!("byte {byte:#x} at {:#x}, outside the payloads in region {region:x?}", part.start + at));
        }
    }

    /// The array is as it was. That nothing has left the socket, the next receiver sees.
    fn failure(&self, call: &ReadvCall, op: &Readv) {
        let same = |a: &libc::iovec, b: &libc::iovec| a.iov_base == b.iov_base && a.iov_len == b.iov_len;
        if op.common.bend.array.is_none() && !call.regions.iter().zip(&call.iov).all(|(a, b)| same(a, b)) {
            self.wrong("it failed and changed the array".into());
        }
    }
}

struct WritevCall {
    argument: abi::Writev,
    iov: Vec<libc::iovec>,
    payloads: Vec<abi::Payload>,
}

impl WritevCall {
    fn new(op: &Writev, fd: RawFd) -> Self {
        let pair = |a: &Area| [a.area, a.payload].map(|s| sys::iovec(s.base(), s.len as usize));
        let mut call = Self {
            argument: abi::Writev::default(),
            iov: op.areas.iter().flat_map(pair).collect(),
            payloads: Vec::new(),
        };
        call.iov.resize(2 * ELEMENTS, sys::iovec(0, 0));
        let reserved = op.common.bend.reserved;
        call.argument = abi::Writev {
            fd,
            iovcnt: op.common.count(op.areas.len()),
            iov: put(&mut call.iov[..], op.common.bend.array) as u64,
            payloads: op.common.payloads(&mut call.payloads),
            flags: op.common.flags,
            segment: op.segment,
            reserved32: reserved as u32,
            reserved: [reserved >> 32, 0],
            ..Default::default()
        };
        call
    }

    fn run(&mut self, world: &World<'_>, op: &Writev) -> Result<i64, i32> {
        op.common.run(world, Call::Writev, abi::IOC_WRITEV, &mut self.argument)
    }
}

struct JudgeWritev<'w> {
    world: &'w World<'w>,
    stream: usize,
}

impl JudgeWritev<'_> {
    fn wrong(&self, text: String) -> ! {
        self.world.shared.violation(&format!("writev: {text}"))
    }

    /// Writes the stream's next bytes into the payloads, with other bytes around them.
    /// Which payloads hold them.
    fn fill(&self, areas: &[Area], tx: u64) -> Vec<bool> {
        for area in areas {
            let (base, len) = (area.area.base(), area.area.len as usize);
            if area.area.harmless().is_some() && len <= MOST && self.world.checked(base, len) {
                memory::write(base, &vec![ROOM; len]);
            }
        }
        let mut pos = tx;
        let fill = |area: &Area| {
            let (base, len) = (area.payload.base(), area.payload.len as usize);
            let good = area.payload.harmless().is_some()
                && len <= MOST
                && self.world.checked(base, len)
                && memory::write(base, self.world.env.pattern.bytes(self.stream, pos, len));
            pos = pos.wrapping_add(len as u64);
            good
        };
        areas.iter().map(fill).collect()
    }

    /// What was taken reads as zeros, in whole areas, unless it is kept; what was not taken is
    /// still there.
    fn success(&self, call: &WritevCall, op: &Writev, n: usize, tx: &mut u64, blind: bool) {
        let taken = call.argument.taken;
        let whole: u64 = op.areas.iter().take(n).map(|a| a.payload.len).sum();
        let next = op.areas.get(n).map_or(0, |a| a.payload.len);
        if n > op.areas.len() || taken < whole || taken - whole >= next.max(1) {
            self.wrong(format!("it took {n} payloads of {whole} bytes, but says {taken} bytes"));
        }
        let mut pos = *tx;
        *tx += taken;
        if blind {
            return;
        }
        for (i, area) in op.areas.iter().enumerate() {
            let sent = match op.keeps() {
                true => 0,
                false => (*tx).saturating_sub(pos).min(area.payload.len) as usize,
            };
            let (base, len) = (area.payload.base(), area.payload.len as usize);
            let zeros = match i {
                i if i < n && !op.keeps() => (area.area.base(), area.area.len as usize),
                _ => (base, sent),
            };
            self.zeros(zeros, i);
            self.still_there(base + sent, len - sent, pos + sent as u64, i, "it did not take that");
            pos += len as u64;
        }
        self.world.shared.payloads.fetch_add(n as u64, Relaxed);
    }

    fn zeros(&self, (base, len): (usize, usize), i: usize) {
        let Some(bytes) = look(base, len.min(MOST)) else { return };
        if let Some(at) = bytes.iter().position(|b| *b != 0) {
            self.wrong(format!("byte {:#x} at {:#x}, in area {i} that was sent", bytes[at], base + at));
        }
    }

    fn still_there(&self, base: usize, len: usize, pos: u64, i: usize, why: &str) {
        let Some(bytes) = look(base, len) else { return };
        if let Some(text) = self.world.env.pattern.differs(self.stream, pos, &bytes) {
            self.wrong(format!("{why}, but payload {i} at {base:#x} is not as it was: {text}"));
        }
    }

    fn failure(&self, op: &Writev, filled: &[bool], tx: u64, errno: i32) {
        let lengths: u64 = op.areas.iter().map(|a| a.payload.len).fold(0, u64::saturating_add);
        // Payloads may lie over each other, or over the arrays: the last one that was written is there.
        if !filled.iter().all(|f| *f) || lengths as usize > PIECE || overlap(op) || op.common.bend.ranges(1).count() > 0
        {
            return;
        }
        let mut pos = tx;
        for (i, area) in op.areas.iter().enumerate() {
            let (base, len) = (area.payload.base(), area.payload.len as usize);
            self.still_there(base, len, pos, i, &format!("it failed with errno {errno}"));
            pos += len as u64;
        }
    }
}

fn overlap(op: &Writev) -> bool {
    let mut spans: Vec<_> = ranges(op.areas.iter().map(|a| &a.payload)).collect();
    spans.sort_unstable();
    spans.windows(2).any(|w| w[0].0 + w[0].1 > w[1].0)
}

impl Writev {
    fn keeps(&self) -> bool {
        self.common.flags & abi::KEEP != 0
    }
}

impl World<'_> {
    /// Waits a little for what was sent and kept to be over.
    fn all_read(&self, op: &Writev) -> bool {
        let over = |area: &Area| {
            let mut kept = abi::Kept { base: area.area.base() as u64, len: area.area.len, ..Default::default() };
            let argument = std::ptr::from_mut(&mut kept) as usize;
            let known = self.ioctl(Call::Kept, self.context(op.common.ctx), abi::IOC_KEPT, argument).is_ok();
            known && kept.done == kept.pages
        };
        (0..KEPT_TRIES).any(|_| {
            std::thread::yield_now();
            op.areas.iter().all(over)
        })
    }

    pub fn make_for(&self, ctx: u8, fd: RawFd, flags: u32, bend: &Bend) -> Option<()> {
        let _held = self.hold(bend.ranges(size_of::<abi::Target>()))?;
        let mut target = [abi::Target { fd, flags, ..Default::default() }];
        target[0].reserved[5] = bend.reserved;
        let argument = put(&mut target, bend.argument);
        let result = self.ioctl(Call::Target, self.context(ctx), abi::IOC_TARGET, argument);
        if result.is_ok() && bend.argument.is_none() && (target[0].dma_mask as usize) < PAGE {
            self.shared.violation(&format!("target: {:?}", target[0]));
        }
        Some(())
    }

    pub fn kept(&self, ctx: u8, at: &Span, bend: &Bend) -> Option<()> {
        let _held = self.hold(bend.ranges(size_of::<abi::Kept>()))?;
        let mut kept = [abi::Kept { base: at.base() as u64, len: at.len, ..Default::default() }];
        kept[0].reserved[3] = bend.reserved;
        let argument = put(&mut kept, bend.argument);
        let result = self.ioctl(Call::Kept, self.context(ctx), abi::IOC_KEPT, argument);
        let wrong = |k: &abi::Kept| k.pages != at.len / PAGE as u64 || k.done > k.pages;
        if result.is_ok() && bend.argument.is_none() && wrong(&kept[0]) {
            self.shared.violation(&format!("kept: {:?}", kept[0]));
        }
        Some(())
    }

    pub fn info(&self, ctx: u8, fd: RawFd, flags: u32, bend: &Bend) -> Option<()> {
        let _held = self.hold(bend.ranges(size_of::<abi::Info>()))?;
        let mut info = [abi::Info { fd, flags, ..Default::default() }];
        info[0].reserved[0] = bend.reserved;
        let argument = put(&mut info, bend.argument);
        let result = self.ioctl(Call::Info, self.context(ctx), abi::IOC_INFO, argument);
        if result.is_ok() && bend.argument.is_none() {
            let i = &info[0];
            if i.version != abi::ABI_VERSION || i.page_size as usize != PAGE || i.reserved != [0; 6] {
                self.shared.violation(&format!("info: {i:?}"));
            }
            let ours = [i.window_pages, i.pool_pages, i.pool_leaving];
            let all = [i.total_contexts, i.total_window_pages, i.total_pool_pages];
            if ours.into_iter().chain(all).any(|n| n >= 1 << 40) {
                self.shared.violation(&format!("info: a counter fell below zero: {i:?}"));
            }
        }
        Some(())
    }

    pub fn tune(&self, ctx: u8, copy_threshold: u64, bend: &Bend) -> Option<()> {
        let _held = self.hold(bend.ranges(64))?;
        let mut tune = [abi::Tune { copy_threshold, ..Default::default() }];
        tune[0].reserved[6] = bend.reserved;
        let argument = put(&mut tune, bend.argument);
        let _ = self.ioctl(Call::Tune, self.context(ctx), abi::IOC_TUNE, argument);
        Some(())
    }
}
