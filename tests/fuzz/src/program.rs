// SPDX-License-Identifier: GPL-2.0
//! What a program is: the memory and descriptors that it begins with, and phases of
//! operations that several threads run at the same time. It is kept as JSON.

use serde::{Deserialize, Serialize};

/// Most threads of one program.
pub const THREADS: usize = 4;
/// Slots of memory; each can hold any kind of mapping.
pub const SLOTS: usize = 8;
/// Pages in one slot. Slots lie side by side, so a range can reach from one into the next.
pub const SLOT_PAGES: usize = 256;
/// Contexts that can be open at once.
pub const CONTEXTS: usize = 4;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    pub setup: Setup,
    pub phases: Vec<Phase>,
}

/// What is there before the first phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Run as a user without capabilities, with this RLIMIT_MEMLOCK in pages.
    pub memlock: Option<u32>,
    pub slots: Vec<Slot>,
    pub links: Vec<Link>,
    pub fds: Vec<FdKind>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    pub what: What,
    pub pages: u16,
    /// Nobody touches a checked slot while another operation works on it, so that what
    /// lies in it can be judged. In others everything happens at once.
    pub checked: bool,
}

/// Kinds of memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    Empty,
    Window,
    WritableWindow,
    Pool,
    Anonymous,
    /// Shared pages of a memfd.
    Shared,
    ReadOnly,
    /// PROT_NONE.
    Nothing,
    /// Faults wait for another thread, which answers them after a while.
    Userfault,
}

/// A TCP connection whose bytes are checked: both directions carry a known stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub path: Path,
    /// SO_RCVBUF of both ends; 0: as it is.
    pub rcvbuf: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Path {
    Lo4,
    Lo6,
    /// The guest's two network devices; the peer lives in its own namespace.
    Wire4,
    Wire6,
}

/// Descriptors whose bytes are not checked: everything may be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum FdKind {
    /// Two entries of the table, as for all pairs.
    Tcp(Path),
    Listening,
    Unconnected,
    Mptcp,
    Udp(Path),
    UnixStream,
    UnixDatagram,
    Packet,
    Pipe,
    Memfd,
    /// A file opened with O_DIRECT.
    Direct,
    Device,
    Epoll,
    Event,
    Closed,
}

/// Operations of a phase; all threads begin it together, and it is run `repeat` times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub repeat: u8,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub thread: u8,
    pub op: Op,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Addr {
    /// A page of a slot, and some bytes more or less.
    Slot {
        slot: u8,
        page: u16,
        delta: i32,
    },
    Null,
    /// In the kernel's half.
    Kernel,
    /// So near the end that any length wraps around.
    Top {
        below: u32,
    },
    Raw(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub at: Addr,
    pub len: u64,
}

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fd {
    /// An entry of the table.
    At(u8),
    Raw(i32),
    /// An end of a checked connection. Only the calls under test may name it.
    Link {
        link: u8,
        side: u8,
    },
}

/// What is unusual about a call's arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bend {
    /// Another count than there are elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Where the array of elements lies, if not in ordinary memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<Addr>,
    /// Where the array of payloads lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payloads: Option<Addr>,
    /// Where the argument itself lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<Addr>,
    #[serde(default)]
    pub reserved: u64,
}

/// What the calls under test have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Common {
    pub ctx: u8,
    pub fd: Fd,
    pub report: bool,
    pub flags: u32,
    /// Milliseconds after which a signal interrupts it, again and again.
    pub timer: u16,
    #[serde(default)]
    pub bend: Bend,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readv {
    #[serde(flatten)]
    pub common: Common,
    pub regions: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Area {
    pub area: Span,
    pub payload: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Writev {
    #[serde(flatten)]
    pub common: Common,
    pub areas: Vec<Area>,
    #[serde(default)]
    pub segment: u32,
}

/// How ordinary senders and receivers work on a checked connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum SendHow {
    Copy,
    More,
    EndOfRecord,
    ZeroCopy,
    Sendfile,
    Vmsplice,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecvHow {
    Copy,
    Peek,
    Truncate,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Offset {
    Window,
    Pool,
    Raw(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Sockopt {
    RcvBuf,
    SndBuf,
    RcvLowat,
    RcvTimeo,
    SndTimeo,
    NoDelay,
    Cork,
    OobInline,
    ZeroCopy,
    PeekOff,
    Linger,
    BusyPoll,
    Timestamp,
    UdpGro,
    UdpSegment,
    VnetHeader,
    /// TCP_ULP "tls".
    Ulp,
    Repair,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    // ---- the device ----
    Open {
        ctx: u8,
    },
    CloseContext {
        ctx: u8,
    },
    Info {
        ctx: u8,
        fd: Fd,
        flags: u32,
        bend: Bend,
    },
    Tune {
        ctx: u8,
        threshold: u64,
        bend: Bend,
    },
    Target {
        ctx: u8,
        fd: Fd,
        flags: u32,
        bend: Bend,
    },
    Kept {
        ctx: u8,
        at: Span,
        bend: Bend,
    },
    Readv(Readv),
    Writev(Writev),
    /// Of descriptors that are not checked; a handle goes into that entry of the table.
    SpliceStart {
        ctx: u8,
        source: Fd,
        drain: Fd,
        max: i64,
        idle: i64,
        flags: u32,
        handle: u8,
        bend: Bend,
    },
    SpliceStop {
        ctx: u8,
        fd: Fd,
        flags: u32,
        bend: Bend,
    },
    SpliceStatus {
        ctx: u8,
        fd: Fd,
        flags: u32,
        bend: Bend,
    },
    /// Any command with any argument.
    Ioctl {
        ctx: u8,
        command: u32,
        argument: Addr,
    },
    MmapDevice {
        ctx: u8,
        at: Span,
        offset: Offset,
        prot: i32,
        flags: i32,
    },
    /// Anywhere, up to the limits of size; unmapped at once.
    MmapLarge {
        ctx: u8,
        len: u64,
        offset: Offset,
    },
    ReadFdinfo {
        ctx: u8,
    },

    // ---- memory ----
    Map {
        at: Span,
        what: What,
    },
    Munmap {
        at: Span,
    },
    Mremap {
        at: Span,
        len: u64,
        flags: i32,
        to: Addr,
    },
    Mprotect {
        at: Span,
        prot: i32,
    },
    Madvise {
        at: Span,
        advice: i32,
    },
    Mlock {
        at: Span,
        lock: bool,
    },
    Msync {
        at: Span,
        flags: i32,
    },
    Touch {
        at: Span,
        write: bool,
    },
    ProcessVm {
        from: Span,
        to: Span,
    },

    // ---- checked connections ----
    LinkSend {
        link: u8,
        side: u8,
        len: u32,
        how: SendHow,
    },
    LinkRecv {
        link: u8,
        side: u8,
        len: u32,
        how: RecvHow,
        timer: u16,
    },
    LinkShutdown {
        link: u8,
        side: u8,
        how: i32,
    },
    LinkReset {
        link: u8,
        side: u8,
    },
    LinkSockopt {
        link: u8,
        side: u8,
        option: Sockopt,
        value: i32,
    },
    LinkNonblock {
        link: u8,
        side: u8,
        on: bool,
    },

    // ---- other descriptors ----
    Send {
        fd: u8,
        from: Span,
        flags: i32,
        timer: u16,
    },
    Recv {
        fd: u8,
        to: Span,
        flags: i32,
        timer: u16,
    },
    Read {
        fd: u8,
        to: Span,
        offset: u32,
        timer: u16,
    },
    Write {
        fd: u8,
        from: Span,
        offset: u32,
        timer: u16,
    },
    Vmsplice {
        fd: u8,
        from: Span,
        flags: u32,
        timer: u16,
    },
    Splice {
        from: u8,
        to: u8,
        len: u32,
        flags: u32,
        timer: u16,
    },
    Sendfile {
        from: u8,
        to: u8,
        len: u32,
        timer: u16,
    },
    Shutdown {
        fd: u8,
        how: i32,
    },
    /// Closed with a RST.
    Reset {
        fd: u8,
    },
    SetSockopt {
        fd: u8,
        option: Sockopt,
        value: i32,
    },
    Nonblock {
        fd: u8,
        on: bool,
    },
    Poll {
        fds: Vec<u8>,
        timer: u16,
    },
    EpollAdd {
        epoll: u8,
        fd: u8,
    },
    Dup {
        from: u8,
        to: u8,
    },
    /// dup2() over an open descriptor.
    Dup2 {
        from: u8,
        to: u8,
    },
    DupContext {
        ctx: u8,
        to: u8,
    },
    Close {
        fd: u8,
    },
    Reopen {
        fd: u8,
        kind: FdKind,
    },
    /// SCM_RIGHTS: into a socket, and back out unless `leave`.
    Pass {
        through: u8,
        fd: u8,
        leave: bool,
    },
    PassContext {
        through: u8,
        ctx: u8,
        leave: bool,
    },

    // ---- the process ----
    /// A child does these and exits.
    Fork {
        ops: Vec<Op>,
    },
    Exec,
    Signal {
        thread: u8,
        restart: bool,
    },
    Memlock {
        pages: u32,
    },
    Yield,
    /// The whole process, in the middle of everything.
    Kill,
}

impl Op {
    /// The name, as it stands in the JSON.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        text[..end].to_owned()
    }
}

impl Program {
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a program is plain data")
    }

    /// Bounds that the executor relies on; what a mutation left outside is cut off.
    pub fn trim(&mut self) {
        self.setup.slots.truncate(SLOTS);
        self.setup.links.truncate(3);
        self.setup.fds.truncate(12);
        self.phases.truncate(12);
        for slot in &mut self.setup.slots {
            slot.pages = slot.pages.clamp(1, SLOT_PAGES as u16);
        }
        for phase in &mut self.phases {
            phase.repeat = phase.repeat.clamp(1, 16);
            phase.steps.truncate(24);
            for step in &mut phase.steps {
                step.thread %= THREADS as u8;
            }
        }
    }
}
