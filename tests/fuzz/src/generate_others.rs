// SPDX-License-Identifier: GPL-2.0
//! Making up what surrounds the calls: memory, descriptors, the device's other sides,
//! processes.

use crate::abi;
use crate::abi_splice;
use crate::generate::Generator;
use crate::layout::PAGE;
use crate::program::*;
use rand::Rng;

const MAPPINGS: [What; 3] = [What::Window, What::WritableWindow, What::Pool];

impl Generator<'_> {
    fn mapping(&mut self) -> Span {
        let slot = self.slot(&MAPPINGS);
        let mut span = self.part(slot);
        if self.chance(0.15) {
            self.bend_span(&mut span);
        }
        span
    }

    fn prot(&mut self) -> i32 {
        self.one(&[0, 1, 1, 2, 3, 3, 3, 4, 5, 7, 0x0100_0003])
    }

    pub fn on_memory(&mut self) -> Op {
        let at = if self.chance(0.75) { self.mapping() } else { self.anywhere() };
        match self.rng.gen_range(0..24) {
            0 => Op::Map { at, what: self.what() },
            1..=3 => Op::Munmap { at },
            4..=5 => Op::Mremap {
                at,
                len: self.one(&[0, 4096, 8192, 65536, 1 << 20]),
                flags: self.rng.gen_range(0..8),
                to: self.anywhere().at,
            },
            6..=8 => Op::Mprotect { at, prot: self.prot() },
            9..=12 => {
                let advice = match self.rng.gen_range(0..4) {
                    0 => libc::MADV_DONTNEED,
                    // Not MADV_HWPOISON and MADV_SOFT_OFFLINE, which damage the machine's memory.
                    1 => self.one(&[102, 103]),
                    _ => self.rng.gen_range(0..26),
                };
                Op::Madvise { at, advice }
            }
            13 => Op::Mlock { at, lock: self.rng.gen() },
            14 => Op::Msync { at, flags: self.rng.gen_range(0..8) },
            15..=16 => Op::ProcessVm { from: self.anywhere(), to: at },
            _ => Op::Touch { at, write: self.rng.gen() },
        }
    }

    fn what(&mut self) -> What {
        use What::*;
        self.one(&[Window, WritableWindow, Pool, Anonymous, Shared, ReadOnly, Nothing, Userfault])
    }

    pub fn on_device(&mut self) -> Op {
        let ctx = self.one(&[0, 0, 0, 1, 2, 3]);
        match self.rng.gen_range(0..24) {
            0..=1 => Op::Open { ctx },
            2 => Op::CloseContext { ctx },
            3..=5 => self.about_fd(|fd, flags, bend| Op::Info { ctx, fd, flags, bend }),
            6..=8 => Op::Tune { ctx, threshold: self.one(&[0, 1, 2000, 9000, 1 << 20, u64::MAX]), bend: self.bend() },
            9..=11 => Op::Ioctl { ctx, command: self.command(), argument: self.hostile() },
            12 => Op::MmapLarge { ctx, len: self.large(), offset: self.offset() },
            13 => Op::ReadFdinfo { ctx },
            14..=15 => self.about_fd(|fd, flags, bend| Op::Target { ctx, fd, flags, bend }),
            16..=17 => Op::Kept { ctx, at: self.mapping(), bend: self.bend() },
            _ => {
                let kinds = [0x01, 0x01, 0x01, 0x02, 0x03, 0x8001, 0x2001, 0x4001, 0x0008_0003, 0x101, 0x4_0001];
                Op::MmapDevice {
                    ctx,
                    at: self.mapping(),
                    offset: self.offset(),
                    prot: self.prot(),
                    flags: self.one(&kinds),
                }
            }
        }
    }

    pub fn on_splice(&mut self) -> Op {
        let ctx = self.one(&[0, 0, 0, 1]);
        match self.rng.gen_range(0..10) {
            0..=5 => Op::SpliceStart {
                ctx,
                source: self.spliced(),
                drain: self.spliced(),
                max: self.one(&[0, 0, 0, 0, 1, 1000, 70_000, -1, i64::MIN, i64::MAX]),
                idle: self.one(&[0, 0, 0, 0, 1, 100_000, 20_000_000, -1, i64::MIN, i64::MAX]),
                flags: self.one(&[0, 0, 1, 1, 1, 2, u32::MAX]),
                handle: self.small(),
                bend: self.bend(),
            },
            6..=7 => {
                let fd = self.spliced();
                Op::SpliceStop { ctx, fd, flags: self.one(&[0, 0, 0, 0, 1]), bend: self.bend() }
            }
            _ => {
                let fd = self.spliced();
                Op::SpliceStatus { ctx, fd, flags: self.one(&[0, 0, 0, 0, 1]), bend: self.bend() }
            }
        }
    }

    fn spliced(&mut self) -> Fd {
        if self.chance(0.9) {
            Fd::At(self.rng.gen_range(0..8))
        } else {
            self.target()
        }
    }

    fn about_fd(&mut self, op: impl Fn(Fd, u32, Bend) -> Op) -> Op {
        let fd = if self.chance(0.3) { Fd::Raw(-1) } else { self.target() };
        op(fd, self.one(&[0, 0, 0, 1, u32::MAX]), self.bend())
    }

    fn large(&mut self) -> u64 {
        let (window, pool) = (1u64 << 32, 1u64 << 30);
        let page = PAGE as u64;
        self.one(&[window, window + page, window - page, pool + page, 8 << 20, 1 << 40, 0, 1 << 46])
    }

    fn offset(&mut self) -> Offset {
        match self.rng.gen_range(0..8) {
            0..=2 => Offset::Window,
            3..=5 => Offset::Pool,
            6 => Offset::Raw(abi::MMAP_POOL + self.one(&[PAGE as i64, -(PAGE as i64), 1, abi::MMAP_POOL])),
            _ => Offset::Raw(self.one(&[1, PAGE as i64, -(PAGE as i64), i64::MIN, i64::MAX, i64::MAX - 4095])),
        }
    }

    /// A known command with another size, direction or number, or another device's.
    fn command(&mut self) -> u32 {
        let (info, readv, writev) = (abi::IOC_INFO, abi::IOC_READV, abi::IOC_WRITEV);
        let known = self.one(&[
            info,
            readv,
            writev,
            abi::IOC_TUNE,
            abi::IOC_TARGET,
            abi::IOC_KEPT,
            abi_splice::IOC_SPLICE,
            abi_splice::IOC_UNSPLICE,
            abi_splice::IOC_STATUS,
        ]);
        match self.rng.gen_range(0..6) {
            0 => known & !(0x3fff << 16) | (self.one(&[0, 1, 8, 63, 65, 128, 0x3fff]) << 16),
            1 => known ^ (1 << self.rng.gen_range(30..32)),
            2 => known & !0xff | self.rng.gen_range(0..12),
            3 => known ^ (1 << self.rng.gen_range(0..32)),
            4 => self.one(&[0x5421, 0x5452, 0x541b, 0x5450, 0x5451, 0]),
            _ => self.one(&[abi::IOC_INFO, abi::IOC_TUNE, abi::IOC_TARGET, abi::IOC_KEPT]),
        }
    }

    pub fn on_descriptor(&mut self) -> Op {
        let (fd, timer) =
            (if self.chance(0.5) { self.rng.gen_range(0..4) } else { self.small() }, self.one(&[1, 2, 5, 10]));
        let span = if self.chance(0.6) { self.mapping() } else { self.anywhere() };
        let len = self.one(&[1, 100, 4096, 65536, 1 << 20]);
        let message = [0, 0, 0x40, 0x02, 0x01, 0x40 | 0x02, 0x20, 0x8000, 0x80, 0x100, 0x0400_0000];
        match self.rng.gen_range(0..34) {
            0..=5 => Op::Send { fd, from: span, flags: self.one(&message), timer },
            6..=8 => Op::Recv { fd, to: span, flags: self.one(&message), timer },
            9..=10 => Op::Read { fd, to: span, offset: self.one(&[0, 4096, 512, 1]), timer },
            11..=12 => Op::Write { fd, from: span, offset: self.one(&[0, 4096, 512, 1]), timer },
            13..=15 => Op::Vmsplice { fd, from: span, flags: self.rng.gen_range(0..16), timer },
            16..=18 => Op::Splice { from: fd, to: self.small(), len, flags: self.rng.gen_range(0..16), timer },
            19 => Op::Sendfile { from: fd, to: self.small(), len, timer },
            20 => Op::Shutdown { fd, how: self.rng.gen_range(0..4) },
            21 => Op::Reset { fd },
            22..=24 => Op::SetSockopt { fd, option: self.sockopt(), value: self.value() },
            25 => Op::Nonblock { fd, on: self.rng.gen() },
            26 => Op::Poll { fds: (0..self.rng.gen_range(1..4)).map(|_| self.small()).collect(), timer },
            27 => Op::EpollAdd { epoll: fd, fd: self.small() },
            28 => Op::Dup { from: fd, to: self.small() },
            29 => Op::Dup2 { from: fd, to: self.small() },
            30 => Op::DupContext { ctx: self.one(&[0, 1]), to: fd },
            31 => Op::Close { fd },
            32 => Op::Reopen { fd, kind: crate::generate::fd_kind(self.rng) },
            _ if self.rng.gen() => Op::Pass { through: fd, fd: self.small(), leave: self.rng.gen() },
            _ => Op::PassContext { through: fd, ctx: self.one(&[0, 1]), leave: self.rng.gen() },
        }
    }

    pub fn on_process(&mut self) -> Op {
        match self.rng.gen_range(0..40) {
            0..=9 => Op::Fork { ops: (0..self.rng.gen_range(0..5)).map(|_| self.in_child()).collect() },
            10..=27 => Op::Signal { thread: self.rng.gen_range(0..THREADS as u8), restart: self.rng.gen() },
            28..=32 => Op::Memlock { pages: self.one(&[0, 1, 20, 200, 5000]) },
            33 => Op::Kill,
            34 => Op::Exec,
            _ => Op::Yield,
        }
    }

    fn in_child(&mut self) -> Op {
        loop {
            match self.op() {
                Op::Fork { .. } | Op::Reopen { .. } => {}
                op => return op,
            }
        }
    }
}
