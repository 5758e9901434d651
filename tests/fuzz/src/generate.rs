// SPDX-License-Identifier: GPL-2.0
//! Making programs up. Most calls are nearly right: the module's checks are passed often
//! enough that what lies behind them is reached, and missed by one often enough too.

use crate::abi;
use crate::layout::PAGE;
use crate::program::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::Rng;

const PAGES: [u16; 12] = [1, 2, 3, 8, 8, 16, 16, 16, 24, 32, 64, 256];
const LENGTHS: [u32; 12] = [1, 7, 100, 1448, 4095, 4096, 4096, 8192, 9000, 16384, 65536, 200_000];
const TIMERS: [u16; 5] = [1, 2, 5, 10, 30];

/// Makes operations for a given set-up.
pub struct Generator<'r> {
    pub rng: &'r mut StdRng,
    pub setup: Setup,
}

pub fn program(rng: &mut StdRng) -> Program {
    let setup = setup(rng);
    let mut generator = Generator { rng, setup };
    let phases = (0..generator.rng.gen_range(1..=5)).map(|_| generator.phase()).collect();
    Program { setup: generator.setup, phases }
}

fn setup(rng: &mut StdRng) -> Setup {
    use What::*;
    // One program in two is mostly about bytes, the other about races.
    let careful = rng.gen_bool(0.5);
    let mut slots = Vec::new();
    for i in 0..SLOTS {
        let what = match i {
            0 => weighted(rng, &[(2, Window), (1, WritableWindow)]),
            1 => Pool,
            _ => {
                let ours = [(2, Window), (2, WritableWindow), (3, Pool)];
                let others = [Empty, Anonymous, Shared, ReadOnly, Nothing, Userfault].map(|what| (1, what));
                weighted(rng, &[&ours[..], &others].concat())
            }
        };
        let pages = *PAGES.choose(rng).expect("one");
        let ours = matches!(what, Window | WritableWindow | Pool);
        slots.push(Slot { what, pages, checked: ours && rng.gen_bool(if careful { 0.9 } else { 0.2 }) });
    }
    let path = |rng: &mut StdRng| {
        *[Path::Wire4, Path::Wire4, Path::Wire4, Path::Wire6, Path::Lo4, Path::Lo4, Path::Lo6].choose(rng).expect("one")
    };
    let links = if careful { 1..=2 } else { 0..=1 };
    let links = (0..rng.gen_range(links))
        .map(|_| Link { path: path(rng), rcvbuf: *[0, 0, 0, 4096, 65536].choose(rng).expect("one") })
        .collect();
    // Those that the calls serve come first.
    let mut fds = vec![FdKind::Tcp(path(rng)), FdKind::Udp(path(rng))];
    if rng.gen_bool(0.3) {
        fds.push(FdKind::Packet);
    }
    // More than one pair, to splice them.
    if rng.gen_bool(0.4) {
        fds.extend([FdKind::Tcp(path(rng)), FdKind::Udp(path(rng))]);
    }
    for _ in 0..rng.gen_range(0..5) {
        fds.push(fd_kind(rng));
    }
    let memlock = rng.gen_bool(0.25).then(|| *[0, 16, 100, 300, 2000, 100_000].choose(rng).expect("one"));
    Setup { memlock, slots, links, fds }
}

pub fn fd_kind(rng: &mut StdRng) -> FdKind {
    use FdKind::*;
    let sockets = [Listening, Unconnected, Mptcp, UnixStream, UnixDatagram, Packet];
    match rng.gen_range(0..19) {
        0..=2 => Tcp(weighted(rng, &[(1, Path::Lo4), (1, Path::Lo6), (1, Path::Wire4)])),
        3..=4 => Udp(weighted(rng, &[(1, Path::Lo4), (1, Path::Wire6)])),
        5..=10 => *sockets.choose(rng).expect("one"),
        _ => *[Pipe, Pipe, Memfd, Direct, Device, Epoll, Event, Closed].choose(rng).expect("one"),
    }
}

/// One of these, each as often as the number before it says.
fn weighted<T: Copy>(rng: &mut StdRng, of: &[(u32, T)]) -> T {
    of.choose_weighted(rng, |(weight, _)| *weight).expect("one").1
}

impl Generator<'_> {
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(self.rng).expect("a choice")
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.rng.gen_bool(p)
    }

    pub fn small(&mut self) -> u8 {
        self.rng.gen_range(0..12)
    }

    pub fn phase(&mut self) -> Phase {
        let threads = self.rng.gen_range(1..=THREADS as u8);
        let repeat = if self.chance(0.6) { 1 } else { self.rng.gen_range(2..=8) };
        let steps = (0..self.rng.gen_range(2..=14)).map(|_| self.step(threads)).collect();
        Phase { repeat, steps }
    }

    pub fn step(&mut self, threads: u8) -> Step {
        Step { thread: self.rng.gen_range(0..threads), op: self.op() }
    }

    pub fn op(&mut self) -> Op {
        match self.rng.gen_range(0..100) {
            0..=16 => Op::Readv(self.readv()),
            17..=32 => Op::Writev(self.writev()),
            33..=49 if !self.setup.links.is_empty() => self.on_link(),
            33..=56 => self.on_descriptor(),
            57..=76 => self.on_memory(),
            77..=86 => self.on_device(),
            87..=93 => self.on_splice(),
            _ => self.on_process(),
        }
    }

    // ---- addresses ----

    /// A slot that was set up as one of these kinds, if there is one.
    pub fn slot(&mut self, kinds: &[What]) -> u8 {
        let fits: Vec<u8> =
            (0u8..).zip(&self.setup.slots).filter(|(_, s)| kinds.contains(&s.what)).map(|(i, _)| i).collect();
        match fits.choose(self.rng) {
            Some(slot) if !self.rng.gen_bool(0.04) => *slot,
            _ => self.rng.gen_range(0..SLOTS as u8),
        }
    }

    fn pages(&self, slot: u8) -> u16 {
        self.setup.slots.get(slot as usize).map_or(1, |s| s.pages)
    }

    /// Some whole pages of a slot.
    pub fn part(&mut self, slot: u8) -> Span {
        let all = self.pages(slot);
        let page = if self.chance(0.3) { 0 } else { self.rng.gen_range(0..all) };
        let most = all - page;
        let pages = if self.chance(0.3) { most } else { self.rng.gen_range(1..=most.min(16)) };
        Span { at: Addr::Slot { slot, page, delta: 0 }, len: u64::from(pages) * PAGE as u64 }
    }

    /// Memory of any kind, seldom not quite right.
    pub fn anywhere(&mut self) -> Span {
        let slot = self.rng.gen_range(0..SLOTS as u8);
        let mut span = self.part(slot);
        if self.chance(0.15) {
            self.bend_span(&mut span);
        }
        span
    }

    pub fn hostile(&mut self) -> Addr {
        match self.rng.gen_range(0..9) {
            0 => Addr::Null,
            1 => Addr::Kernel,
            2 => Addr::Top { below: self.one(&[0, 1, 15, 63, 4095, 4096, 70000]) },
            3 => Addr::Raw(self.one(&[0x7fff_ffff_f000, 0x8000_0000_0000, 1 << 40, 4096, 1 << 63])),
            _ => {
                let slot = self.rng.gen_range(0..SLOTS as u8);
                let page = self.rng.gen_range(0..=self.pages(slot));
                let delta = self.one(&[0, 0, 8, -8, -16, -60, 4000, 4094, 1]);
                Addr::Slot { slot, page, delta }
            }
        }
    }

    /// Makes a range wrong, or only unusual.
    pub fn bend_span(&mut self, span: &mut Span) {
        let page = PAGE as u64;
        match self.rng.gen_range(0..10) {
            0 => span.len = 0,
            1 => span.len = self.one(&[u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 40, u64::MAX - 4095, 1 << 32]),
            2 => span.len = span.len.wrapping_add(self.one(&[1, page, u64::MAX, page.wrapping_neg(), 2])),
            3 => span.len = span.len.wrapping_add(page * u64::from(self.rng.gen_range(0..512u32))),
            4 => span.at = self.hostile(),
            _ => {
                let by = self.one(&[1, -1, 8, 512, 4095, -4095, 4096, -4096]);
                if let Addr::Slot { delta, .. } = &mut span.at {
                    *delta = delta.wrapping_add(by);
                }
            }
        }
    }

    pub fn bend(&mut self) -> Bend {
        let mut bend = Bend::default();
        if self.chance(0.85) {
            return bend;
        }
        match self.rng.gen_range(0..6) {
            0 => bend.count = Some(self.one(&[0, 1, 2, 3, 1023, 1024, 1025, 4096, i32::MAX as u32, 1 << 31, u32::MAX])),
            1 => bend.array = Some(self.hostile()),
            2 => bend.payloads = Some(self.hostile()),
            3 => bend.argument = Some(self.hostile()),
            4 => bend.reserved = self.one(&[1, u64::MAX, 1 << 63]),
            _ => {
                bend.array = Some(self.hostile());
                bend.payloads = Some(self.hostile());
            }
        }
        bend
    }

    pub fn target(&mut self) -> Fd {
        let links = self.setup.links.len() as u8;
        if links > 0 && self.chance(0.6) {
            return Fd::Link { link: self.rng.gen_range(0..links), side: self.rng.gen_range(0..2) };
        }
        match self.rng.gen_range(0..10) {
            0 => Fd::Raw(self.one(&[-1, -2, i32::MIN, i32::MAX, 5000])),
            1..=7 => Fd::At(self.rng.gen_range(0..5)),
            _ => Fd::At(self.small()),
        }
    }

    fn flags(&mut self, known: u32) -> u32 {
        let flags = if self.chance(0.4) { abi::DONTWAIT } else { 0 };
        match self.rng.gen_range(0..20) {
            0 => flags | (1 << self.rng.gen_range(0..32)),
            1..=6 => flags | self.rng.gen_range(0..16) & known,
            _ => flags,
        }
    }

    // ---- the calls ----

    fn common(&mut self, known_flags: u32) -> Common {
        Common {
            ctx: 0,
            fd: self.target(),
            report: self.chance(0.7),
            flags: self.flags(known_flags),
            timer: self.one(&TIMERS),
            bend: self.bend(),
        }
    }

    fn readv(&mut self) -> Readv {
        let slot = self.slot(&[What::Window, What::WritableWindow]);
        let pages = self.pages(slot);
        let each = self.one(&[1, 1, 1, 1, 2, 3, 16, 64]).min(pages);
        let most = (pages / each).max(1);
        let count = self.one(&[1, 1, 2, 3, 4, 8, 16, 256]).min(most);
        let first = self.rng.gen_range(0..=pages - (count * each).min(pages));
        let mut regions: Vec<Span> = (0..count)
            .map(|i| Span {
                at: Addr::Slot { slot, page: first + i * each, delta: 0 },
                len: u64::from(each) * PAGE as u64,
            })
            .collect();
        if self.chance(0.1) {
            regions.shuffle(self.rng);
        }
        if each > 1 && self.chance(0.1) {
            // A page that a region cuts does not count.
            for region in &mut regions {
                let cut = self.rng.gen_range(0..PAGE as u64);
                region.len -= cut;
                if let (true, Addr::Slot { delta, .. }) = (self.rng.gen(), &mut region.at) {
                    *delta = cut as i32;
                }
            }
        }
        for _ in 0..if self.chance(0.2) { self.rng.gen_range(1..3) } else { 0 } {
            let i = self.rng.gen_range(0..regions.len());
            match self.rng.gen_range(0..5) {
                0 => regions.push(regions[i]),
                1 => {
                    let other = self.slot(&[What::Window, What::WritableWindow]);
                    let part = self.part(other);
                    regions.push(part);
                }
                2 => {
                    let part = self.anywhere();
                    regions.insert(i, part);
                }
                _ => self.bend_span(&mut regions[i]),
            }
        }
        Readv { common: self.common(abi::DONTWAIT), regions }
    }

    fn writev(&mut self) -> Writev {
        let slot = self.slot(&[What::Pool]);
        let pages = self.pages(slot);
        let each = self.one(&[1, 1, 1, 1, 2, 2, 3, 4, 16, 64]).min(pages);
        let most = (pages / each).max(1);
        let count = self.one(&[1, 1, 1, 2, 2, 3, 4, 8, 16, 128]).min(most);
        let first = self.rng.gen_range(0..=pages - (count * each).min(pages));
        let bytes = u64::from(each) * PAGE as u64;
        let mut areas = Vec::new();
        for i in 0..count {
            let page = first + i * each;
            let start = if self.chance(0.5) { 0 } else { self.rng.gen_range(0..bytes) };
            let len = if self.chance(0.4) { bytes - start } else { self.rng.gen_range(1..=bytes - start) };
            areas.push(Area {
                area: Span { at: Addr::Slot { slot, page, delta: 0 }, len: bytes },
                payload: Span { at: Addr::Slot { slot, page, delta: start as i32 }, len },
            });
        }
        if self.chance(0.1) {
            areas.shuffle(self.rng);
        }
        for _ in 0..if self.chance(0.2) { self.rng.gen_range(1..3) } else { 0 } {
            let i = self.rng.gen_range(0..areas.len());
            match self.rng.gen_range(0..6) {
                0 => areas.push(areas[i]),
                1 => {
                    let other = self.slot(&[What::Pool]);
                    let part = self.part(other);
                    areas.push(Area { area: part, payload: part });
                }
                2 => {
                    let part = self.anywhere();
                    areas.insert(i, Area { area: part, payload: part });
                }
                3 => self.bend_span(&mut areas[i].area),
                _ => self.bend_span(&mut areas[i].payload),
            }
        }
        let common = self.common(abi::DONTWAIT | abi::NOSIGNAL | abi::MORE | abi::KEEP);
        // On a stream it is refused.
        let segment = if self.chance(0.85) { 0 } else { self.one(&[1, 2, 1000, 1400, 1 << 16, 1 << 31, u32::MAX]) };
        Writev { common, areas, segment }
    }

    fn on_link(&mut self) -> Op {
        let (link, side) = (self.rng.gen_range(0..self.setup.links.len() as u8), self.rng.gen_range(0..2));
        let len = self.one(&LENGTHS);
        match self.rng.gen_range(0..40) {
            0..=20 => {
                use SendHow::*;
                let how = self.one(&[Copy, Copy, Copy, More, EndOfRecord, ZeroCopy, Sendfile, Vmsplice]);
                Op::LinkSend { link, side, len, how }
            }
            21..=30 => {
                let how = self.one(&[RecvHow::Copy, RecvHow::Copy, RecvHow::Peek, RecvHow::Truncate]);
                Op::LinkRecv { link, side, len, how, timer: self.one(&TIMERS) }
            }
            31 => Op::LinkShutdown { link, side, how: self.rng.gen_range(0..3) },
            32 => Op::LinkReset { link, side },
            33..=35 => Op::LinkNonblock { link, side, on: self.rng.gen() },
            _ => Op::LinkSockopt { link, side, option: self.sockopt(), value: self.value() },
        }
    }

    pub fn sockopt(&mut self) -> Sockopt {
        use Sockopt::*;
        self.one(&[
            RcvBuf, SndBuf, RcvLowat, RcvLowat, RcvTimeo, SndTimeo, NoDelay, Cork, OobInline, ZeroCopy, PeekOff,
            Linger, BusyPoll, Ulp, Repair,
        ])
    }

    pub fn value(&mut self) -> i32 {
        self.one(&[0, 1, -1, 2, 4096, 65536, 1 << 20, i32::MAX])
    }
}
