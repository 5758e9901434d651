// SPDX-License-Identifier: GPL-2.0
//! A running program's resources. Several threads use them at once: what is not checked
//! without any order, what is checked under its lock, and where that is taken, not at all.

use crate::abi;
use crate::layout::{slot_base, slots_of, PAGE};
use crate::pattern::{forbidden, Pattern};
use crate::program::{Fd, FdKind, Program, What, CONTEXTS, SLOTS, THREADS};
use crate::shared::{Call, Shared};
use crate::sockets::Net;
use crate::userfault::Userfault;
use crate::{memory, sys};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// What all programs share; made once.
pub struct Env {
    pub shared: &'static Shared,
    pub net: Net,
    pub pattern: Pattern,
    /// The pattern's table as a file.
    pub table: RawFd,
}

impl Env {
    pub fn new() -> Self {
        let pattern = Pattern::new();
        // SAFETY: A file of our own, written from memory of our own.
        let table = unsafe {
            let fd = libc::memfd_create(c"pattern".as_ptr(), libc::MFD_CLOEXEC);
            libc::write(fd, pattern.table().as_ptr().cast(), pattern.table().len());
            fd
        };
        Self { shared: Shared::new(), net: Net::new(), pattern, table }
    }
}

#[derive(Default)]
pub struct SlotState {
    pub checked: bool,
    /// A read-only window since the beginning: nothing that the program itself wrote is in it.
    pub window: AtomicBool,
    lock: Mutex<()>,
}

/// One direction of a checked connection.
#[derive(Default)]
pub struct Stream {
    /// Bytes sent, and bytes received, so far.
    pub tx: Mutex<u64>,
    pub rx: Mutex<u64>,
    /// Bytes that nobody knows were sent: from here on nothing is compared.
    pub blind: AtomicBool,
    /// The sender has ended it, or the connection was reset.
    pub ended: AtomicBool,
    pub reset: AtomicBool,
    pub pipe: [RawFd; 2],
}

pub struct LinkState {
    pub fds: [RawFd; 2],
    /// `streams[s]` is sent by end `s`.
    pub streams: [Stream; 2],
}

impl LinkState {
    /// From here on bytes may get lost, and either end may see an end.
    pub fn broken(&self) {
        for stream in &self.streams {
            stream.reset.store(true, Relaxed);
            stream.ended.store(true, Relaxed);
        }
    }
}

pub struct World<'e> {
    pub env: &'e Env,
    pub shared: &'static Shared,
    pub contexts: [AtomicI32; CONTEXTS],
    pub slots: [SlotState; SLOTS],
    pub links: Vec<LinkState>,
    pub fds: Vec<AtomicI32>,
    pub threads: [AtomicI32; THREADS],
    pub memfd: RawFd,
    pub userfault: Option<Userfault>,
    /// In a forked child: what it does with connections its parent would not know.
    pub forked: AtomicU32,
}

impl<'e> World<'e> {
    pub fn new(env: &'e Env, program: &Program) -> Self {
        let setup = &program.setup;
        let links = setup.links.iter().map(|link| {
            let fds = env.net.tcp(link.path, link.rcvbuf);
            for fd in fds {
                sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ZEROCOPY, &1i32);
            }
            let stream = || {
                let pipe = env.net.make(FdKind::Pipe);
                Stream { pipe: [pipe[0], pipe[1]], ..Default::default() }
            };
            LinkState { fds, streams: [stream(), stream()] }
        });
        let links = links.collect();
        let fds = setup.fds.iter().flat_map(|kind| env.net.make(*kind)).map(AtomicI32::new).collect();
        let userfault = setup.slots.iter().any(|s| s.what == What::Userfault).then(Userfault::new).flatten();
        let memfd = env.net.make(FdKind::Memfd)[0];
        if let Some(pages) = setup.memlock {
            become_nobody();
            limit_memlock(pages);
        }
        let world = Self {
            env,
            shared: env.shared,
            contexts: Default::default(),
            slots: Default::default(),
            links,
            fds,
            threads: Default::default(),
            memfd,
            userfault,
            forked: AtomicU32::new(0),
        };
        world.contexts.iter().for_each(|c| c.store(-1, Relaxed));
        world.contexts[0].store(sys::open("/dev/zcio", libc::O_RDWR), Relaxed);
        world.with_slots(program)
    }

    fn with_slots(mut self, program: &Program) -> Self {
        for (i, slot) in program.setup.slots.iter().enumerate() {
            self.slots[i].checked = slot.checked;
            self.slots[i].window = AtomicBool::new(slot.what == What::Window);
            let _ = self.map(slot_base(i), slot.pages as usize * PAGE, slot.what, 0);
        }
        self
    }

    /// Puts memory of some kind at an address in the slots.
    pub fn map(&self, base: usize, len: usize, what: What, ctx: u8) -> Result<i64, i32> {
        const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
        const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let device = self.context(ctx);
        let (prot, flags, fd, offset) = match what {
            What::Empty => return Ok(0),
            What::Window => (libc::PROT_READ, libc::MAP_SHARED, device, abi::MMAP_WINDOW),
            What::WritableWindow => (RW, libc::MAP_SHARED, device, abi::MMAP_WINDOW),
            What::Pool => (RW, libc::MAP_SHARED, device, abi::MMAP_POOL),
            What::Anonymous | What::Userfault => (RW, ANON, -1, 0),
            What::Shared => (RW, libc::MAP_SHARED, self.memfd, 0),
            What::ReadOnly => (libc::PROT_READ, ANON, -1, 0),
            What::Nothing => (libc::PROT_NONE, ANON, -1, 0),
        };
        let result = self.mmap(base, len, prot, flags | libc::MAP_FIXED, fd, offset);
        if let (What::Userfault, Ok(_), Some(userfault)) = (what, &result, &self.userfault) {
            userfault.watch(base, len);
        }
        result
    }

    pub fn mmap(&self, base: usize, len: usize, prot: i32, flags: i32, fd: RawFd, offset: i64) -> Result<i64, i32> {
        // SAFETY: The address is one of the slots', where Rust has nothing.
        let at = unsafe { libc::mmap(base as *mut libc::c_void, len, prot, flags, fd, offset) };
        let result = sys::result(at as i64);
        if fd >= 0 && fd != self.memfd {
            self.shared.count(Call::Mmap, result.err().unwrap_or(0));
        }
        result
    }

    pub fn context(&self, ctx: u8) -> RawFd {
        self.contexts[ctx as usize % CONTEXTS].load(Relaxed)
    }

    fn entry(&self, fd: u8) -> Option<&AtomicI32> {
        self.fds.get(fd as usize % self.fds.len().max(1))
    }

    pub fn fd(&self, fd: u8) -> RawFd {
        self.entry(fd).map_or(-1, |fd| fd.load(Relaxed))
    }

    /// Replaces an entry of the table, and closes what was there.
    pub fn replace_fd(&self, at: u8, fd: RawFd) {
        let old = self.entry(at).map_or(fd, |entry| entry.swap(fd, Relaxed));
        if old >= 0 {
            sys::close(old);
        }
    }

    pub fn link(&self, link: u8) -> Option<&LinkState> {
        (self.forked.load(Relaxed) == 0).then(|| self.links.get(link as usize % self.links.len().max(1)))?
    }

    /// A descriptor of a call under test that is not a checked connection's.
    pub fn any_fd(&self, fd: Fd) -> Option<RawFd> {
        match fd {
            Fd::At(fd) => Some(self.fd(fd)),
            // Not those of the fuzzer itself.
            Fd::Raw(fd @ 0..1000) => Some(fd + 1_000_000),
            Fd::Raw(fd) => Some(fd),
            Fd::Link { .. } => None,
        }
    }

    /// The checked ones of the slots that some ranges reach into, for the current thread
    /// alone; `None` if another one has them.
    pub fn hold(&self, ranges: impl Iterator<Item = (usize, usize)>) -> Option<Vec<MutexGuard<'_, ()>>> {
        let mut wanted = [false; SLOTS];
        for (base, len) in ranges {
            slots_of(base, len).for_each(|slot| wanted[slot] = true);
        }
        let slots = self.slots.iter().zip(wanted).filter(|(slot, wanted)| slot.checked && *wanted);
        slots.map(|(slot, _)| slot.lock.try_lock().ok()).collect()
    }

    /// Whether what lies there is ours alone while `hold` holds it.
    pub fn checked(&self, base: usize, len: usize) -> bool {
        let (mut slots, mut bytes) = (true, 0);
        for slot in slots_of(base, len) {
            slots &= self.slots[slot].checked;
            bytes += 1;
        }
        slots && bytes > 0
    }

    /// Memory that may hold what the program itself wrote.
    pub fn taint(&self, base: usize, len: usize) {
        slots_of(base, len).for_each(|slot| self.slots[slot].window.store(false, Relaxed));
    }

    /// Looks at bytes that came from a read-only window: nobody else's may be there.
    pub fn inspect(&self, base: usize, bytes: &[u8]) {
        let windows = || slots_of(base, bytes.len()).all(|slot| self.slots[slot].window.load(Relaxed));
        if let (true, Some((at, byte))) = (windows(), forbidden(bytes)) {
            // Somebody may have mapped something else meanwhile, but said so before.
            if windows() {
                self.shared.violation(&format!("a window shows foreign memory: {byte:#x} from {:#x} on", base + at));
            }
        }
    }

    /// Every byte that was sent on a connection that still stands arrives.
    pub fn drain(&self) {
        for (number, link) in self.links.iter().enumerate() {
            for (side, stream) in link.streams.iter().enumerate() {
                let over = || stream.reset.load(Relaxed) || stream.blind.load(Relaxed);
                let (Ok(tx), Ok(mut rx), false) = (stream.tx.try_lock(), stream.rx.try_lock(), over()) else {
                    continue;
                };
                let (from, to) = (link.fds[side], link.fds[1 - side]);
                sys::setsockopt(from, libc::IPPROTO_TCP, libc::TCP_CORK, &0i32);
                sys::setsockopt(to, libc::SOL_SOCKET, libc::SO_RCVLOWAT, &1i32);
                let wait = libc::timeval { tv_sec: 1, tv_usec: 0 };
                sys::setsockopt(to, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &wait);
                sys::set_nonblock(to, false);
                let mut buffer = vec![0u8; 1 << 16];
                while *rx < *tx {
                    // SAFETY: Room for all of it.
                    let got = unsafe { libc::recv(to, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
                    if got > 0 {
                        let got = &buffer[..got as usize];
                        if let Some(text) = self.env.pattern.differs(2 * number + side, *rx, got) {
                            self.shared.violation(&format!("link {number}, at its end: {text}"));
                        }
                        *rx += got.len() as u64;
                    } else if sys::queued(from, libc::TIOCOUTQ) != Some(0) {
                        break; // still on its way, or it cannot get there any more
                    } else if sys::queued(to, libc::FIONREAD) == Some(0) && !over() {
                        self.shared.violation(&format!(
                            "link {number}: {} of {} bytes from end {side} were lost",
                            *tx - *rx,
                            *tx
                        ));
                    }
                }
                if *rx == *tx {
                    self.shared.drained.fetch_add(1, Relaxed);
                }
            }
        }
    }
}

/// A user without capabilities.
pub const NOBODY: u32 = 4242;

pub fn become_nobody() {
    // SAFETY: Changes the credentials of this process.
    unsafe {
        libc::setgroups(0, std::ptr::null());
        libc::setresgid(NOBODY, NOBODY, NOBODY);
        libc::setresuid(NOBODY, NOBODY, NOBODY);
    }
}

pub fn limit_memlock(pages: u32) {
    let bytes = u64::from(pages) * PAGE as u64;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: A valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
}

/// Bytes at an address, or `None` where they cannot be read.
pub fn look(base: usize, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    memory::read(base, &mut bytes).then_some(bytes)
}
