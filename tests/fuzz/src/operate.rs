// SPDX-License-Identifier: GPL-2.0
//! Carrying out operations. One that cannot be done now (another thread has what it
//! needs) is left out.

use crate::abi;
use crate::abi_splice;
use crate::layout::{slot_base, PAGE};
use crate::memory;
use crate::program::{Fd, Offset, Op, Span, CONTEXTS, THREADS};
use crate::shared::Call;
use crate::sys;
use crate::timer;
use crate::world::{limit_memlock, look, World};
use std::sync::atomic::Ordering::Relaxed;

/// Byte that operations write into memory that is not checked.
const TOUCH: u8 = 0x11;
/// How long a forked child may take, in ticks of its parent's timer.
const CHILD_TICKS: u32 = 100;

impl World<'_> {
    /// `None` if it was left out.
    pub fn operate(&self, op: &Op) -> Option<()> {
        self.shared.operations.fetch_add(1, Relaxed);
        match op {
            Op::Open { ctx } => self.set_context(*ctx, sys::open("/dev/zcio", libc::O_RDWR)),
            Op::CloseContext { ctx } => self.set_context(*ctx, -1),
            Op::Info { ctx, fd, flags, bend } => {
                self.info(*ctx, self.link_or_fd(*fd)?, *flags, bend)?;
            }
            Op::Target { ctx, fd, flags, bend } => self.make_for(*ctx, self.link_or_fd(*fd)?, *flags, bend)?,
            Op::Kept { ctx, at, bend } => self.kept(*ctx, at, bend)?,
            Op::Tune { ctx, threshold, bend } => self.tune(*ctx, *threshold, bend)?,
            Op::SpliceStart { .. } => self.splice(op)?,
            Op::SpliceStop { ctx, fd, flags, bend } => self.splice_status(true, *ctx, *fd, *flags, bend)?,
            Op::SpliceStatus { ctx, fd, flags, bend } => self.splice_status(false, *ctx, *fd, *flags, bend)?,
            Op::Readv(call) => self.readv(call)?,
            Op::Writev(call) => self.writev(call)?,
            Op::Ioctl { ctx, command, argument } => self.any_ioctl(*ctx, *command, argument.get())?,
            Op::MmapDevice { ctx, at, offset, prot, flags } => {
                let (base, len) = at.harmless()?;
                let _held = self.hold([(base, len)].into_iter())?;
                self.taint(base, len);
                // At that place or nowhere: what lies elsewhere is the fuzzer's.
                let flags = flags & !libc::MAP_FIXED_NOREPLACE | libc::MAP_FIXED;
                let _ = self.mmap(base, len, *prot, flags, self.context(*ctx), offset.get());
            }
            Op::MmapLarge { ctx, len, offset } => self.mmap_large(*ctx, *len as usize, *offset),
            Op::ReadFdinfo { ctx } => {
                let _ = std::fs::read(format!("/proc/self/fdinfo/{}", self.context(*ctx)));
            }
            Op::Map { .. }
            | Op::Munmap { .. }
            | Op::Mremap { .. }
            | Op::Mprotect { .. }
            | Op::Madvise { .. }
            | Op::Mlock { .. }
            | Op::Msync { .. }
            | Op::Touch { .. }
            | Op::ProcessVm { .. } => self.memory(op)?,
            Op::Fork { ops } => self.fork(ops),
            // SAFETY: Ends this program; the other threads are killed in the middle of theirs.
            Op::Exec => unsafe {
                let argv = [c"true".as_ptr(), std::ptr::null()];
                libc::execv(c"/bin/true".as_ptr(), argv.as_ptr());
            },
            Op::Signal { thread, restart } => {
                let tid = self.threads[*thread as usize % THREADS].load(Relaxed);
                let signal = if *restart { libc::SIGUSR2 } else { libc::SIGUSR1 };
                // SAFETY: A signal that does nothing but interrupt.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) };
            }
            Op::Memlock { pages } => limit_memlock(*pages),
            Op::Yield => std::thread::yield_now(),
            // SAFETY: The fuzzer expects it.
            Op::Kill => unsafe {
                libc::kill(libc::getpid(), libc::SIGKILL);
            },
            other => self.descriptors(other)?,
        }
        Some(())
    }

    /// For what takes nothing from a checked connection.
    fn link_or_fd(&self, fd: Fd) -> Option<i32> {
        match fd {
            Fd::Link { link, side } => Some(self.link(link)?.fds[side as usize % 2]),
            other => self.any_fd(other),
        }
    }

    fn set_context(&self, ctx: u8, fd: i32) {
        let old = self.contexts[ctx as usize % CONTEXTS].swap(fd, Relaxed);
        if old >= 0 {
            sys::close(old);
        }
    }

    fn any_ioctl(&self, ctx: u8, command: u32, argument: usize) -> Option<()> {
        // The calls by other numbers could take from a checked connection; by their own they
        // have operations. An argument in a slot is whatever lies there.
        if [abi::IOC_READV, abi::IOC_WRITEV, abi_splice::IOC_SPLICE].contains(&command) {
            return None;
        }
        let _held = self.hold([(argument, PAGE)].into_iter())?;
        let _ = self.ioctl(Call::Other, self.context(ctx), command, argument);
        Some(())
    }

    fn mmap_large(&self, ctx: u8, len: usize, offset: Offset) {
        const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
        if let Ok(at) = self.mmap(0, len, RW, libc::MAP_SHARED, self.context(ctx), offset.get()) {
            // SAFETY: Mapped just now, known to nobody else.
            unsafe { libc::munmap(at as *mut libc::c_void, len) };
        }
    }

    fn memory(&self, op: &Op) -> Option<()> {
        let span = |at: &Span| at.harmless();
        match op {
            Op::Map { at, what } => {
                let (base, len) = span(at)?;
                let _held = self.hold([(base, len)].into_iter())?;
                self.taint(base, len);
                let _ = self.map(base, len, *what, 0);
            }
            Op::Mremap { at, len, flags, to } => {
                let ((base, old), to, len) = (span(at)?, to.harmless()?, (*len as usize).min(1 << 20));
                let _held = self.hold([(base, old.max(len)), (to, len)].into_iter())?;
                self.taint(base, old.max(len));
                self.taint(to, len);
                // To a place in the slots, or not at all.
                let fixed = if flags & libc::MREMAP_MAYMOVE != 0 { libc::MREMAP_FIXED } else { 0 };
                // SAFETY: Source and target are slots.
                unsafe { libc::mremap(base as *mut libc::c_void, old, len, flags | fixed, to) };
            }
            Op::ProcessVm { from, to } => {
                let _held = self.hold([from, to].iter().map(|s| (s.base(), s.len as usize)))?;
                let (base, len) = span(to)?;
                let (local, remote) = (sys::iovec(base, len), sys::iovec(from.base(), from.len as usize));
                // SAFETY: What is written is a slot.
                unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
            }
            Op::Touch { at, write } => {
                let (base, len) = span(at)?;
                let _held = self.hold([(base, len)].into_iter())?;
                self.touch(base, len, *write);
            }
            Op::Munmap { at }
            | Op::Mprotect { at, .. }
            | Op::Madvise { at, .. }
            | Op::Mlock { at, .. }
            | Op::Msync { at, .. } => {
                let (base, len) = span(at)?;
                let _held = self.hold([(base, len)].into_iter())?;
                let start = base as *mut libc::c_void;
                // SAFETY: Nothing of Rust lies in the slots.
                unsafe {
                    match op {
                        Op::Munmap { .. } => libc::munmap(start, len),
                        Op::Mprotect { prot, .. } => libc::mprotect(start, len, *prot),
                        Op::Madvise { advice, .. } => libc::madvise(start, len, *advice),
                        Op::Mlock { lock: true, .. } => libc::mlock(start, len),
                        Op::Mlock { .. } => libc::munlock(start, len),
                        Op::Msync { flags, .. } => libc::msync(start, len, *flags),
                        _ => 0,
                    }
                };
            }
            _ => {}
        }
        Some(())
    }

    /// Page by page, as the processor does it; nothing happens where nothing is.
    fn touch(&self, base: usize, len: usize, write: bool) {
        let end = base + len;
        let mut at = base;
        while at < end {
            let part = (end - at).min(PAGE - at % PAGE);
            if write {
                memory::write(at, &[TOUCH; 16][..part.min(16)]);
            } else if let Some(bytes) = look(at, part) {
                self.inspect(at, &bytes);
            }
            at += part;
        }
    }

    fn fork(&self, ops: &[Op]) {
        // SAFETY: The child does what a signal handler may, and locks only what is free.
        let child = unsafe { libc::fork() };
        if child == 0 {
            self.forked.store(1, Relaxed);
            timer::create();
            self.not_inherited();
            for op in ops {
                if !matches!(op, Op::Fork { .. }) {
                    self.operate(op);
                }
            }
            // SAFETY: Ends the child.
            unsafe { libc::_exit(0) };
        }
        for tick in 0.. {
            let mut status = 0;
            // SAFETY: A child of ours.
            let ended = timer::limited(20, || sys::result(unsafe { libc::waitpid(child, &mut status, 0) }));
            if ended != Err(libc::EINTR) {
                break;
            }
            if tick == CHILD_TICKS {
                // SAFETY: A child of ours, not yet waited for.
                unsafe { libc::kill(child, libc::SIGKILL) };
            }
        }
    }

    /// A child has none of its parent's mappings of the device.
    fn not_inherited(&self) {
        for (i, slot) in self.slots.iter().enumerate() {
            if slot.window.load(Relaxed) && slot.checked && look(slot_base(i), 1).is_some() {
                self.shared.violation(&format!("the window in slot {i} is there after fork()"));
            }
        }
    }
}

impl Offset {
    fn get(self) -> i64 {
        match self {
            Offset::Window => abi::MMAP_WINDOW,
            Offset::Pool => abi::MMAP_POOL,
            Offset::Raw(raw) => raw,
        }
    }
}
