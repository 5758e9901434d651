// SPDX-License-Identifier: GPL-2.0

//! A splice's decisions: how much moves next, and when and why it is over.
//!
//! A splice is looked at in turns. In each, [`Course::next`] is told what was seen of the
//! source and of the drain, and says what to do; after a move [`Course::moved`] is told what
//! the drain took. Times are ticks of any clock that does not go back.

/// Why a splice is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that the source had was moved, and there will be no more.
    Eof,
    /// Somebody stopped it.
    Stopped,
    /// As many bytes as asked for were moved.
    Max,
    /// Nothing was moved for as long as asked for.
    Idle,
    /// The drain cannot send any more.
    Drain,
    /// The source has this error (positive), and all that came before was moved.
    Source(i32),
    /// One of the sockets is closed, or not connected any more.
    Closed,
    /// This error (positive) made it impossible to go on.
    Failed(i32),
}

/// Errors that the source is told.
pub mod errno {
    /// The drain cannot send.
    pub const EPIPE: i32 = 32;
    /// The maximum is reached.
    pub const EFBIG: i32 = 27;
    /// The idle time is over.
    pub const ETIMEDOUT: i32 = 110;
    /// A datagram goes round in circles.
    pub const ELOOP: i32 = 40;
    /// No processor can read it.
    pub const EIO: i32 = 5;
}

impl End {
    /// What the source's error becomes, 0 for none. Its own error it has already.
    pub fn told(self) -> i32 {
        match self {
            Self::Eof | Self::Stopped | Self::Closed | Self::Source(_) => 0,
            Self::Max => errno::EFBIG,
            Self::Idle => errno::ETIMEDOUT,
            Self::Drain => errno::EPIPE,
            Self::Failed(e) => e,
        }
    }

    /// The error that a program is told who asks for the splice, 0 for none.
    pub fn error(self) -> i32 {
        match self {
            Self::Source(e) => e,
            other => other.told(),
        }
    }
}

/// What was seen of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Bytes that can be moved now.
    pub ready: u32,
    /// The first of them is urgent, and goes alone.
    pub urgent: bool,
    /// There will be no more.
    pub finished: bool,
    /// It is not connected.
    pub gone: bool,
    /// Its error, positive, or 0.
    pub error: i32,
}

/// What was seen of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Bytes can be sent, if there is room.
    pub connected: bool,
    /// It will be so, or fail.
    pub connecting: bool,
    /// It was shut down for sending.
    pub shut: bool,
    /// Its error, positive, or 0.
    pub error: i32,
}

impl Drain {
    /// The error is one that it was told as the source of another splice: as long as it is
    /// connected, TCP itself has none of these.
    pub fn error_is_told(&self) -> bool {
        use errno::{EFBIG, ELOOP, EPIPE, ETIMEDOUT};
        self.connected && matches!(self.error, EFBIG | ELOOP | EPIPE | ETIMEDOUT)
    }

    /// Nothing can be sent, now or later.
    pub fn broken(&self) -> bool {
        let failed = self.error != 0 && !self.error_is_told();
        self.shut || failed || !(self.connected || self.connecting)
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Move so many bytes, but not 0; an urgent one alone.
    Move {
        /// At most so many.
        bytes: u32,
        /// It is one, and urgent.
        urgent: bool,
    },
    /// Let others have their turn, then go on.
    Yield,
    /// Nothing, until something happens.
    Wait,
    /// It is over.
    End(End),
}

/// What the drain did with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It took so many bytes.
    Taken(u32),
    /// It took so many, which may be none; then memory was short, of which nothing tells
    /// when there is some again.
    Short(u32),
    /// It has no room.
    Full,
    /// It failed.
    Failed,
}

/// What to do after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Go on.
    Go,
    /// Wait for the drain.
    WaitForDrain,
    /// Try again a little later: nothing will tell when there is memory.
    Retry,
    /// It is over.
    End(End),
}

impl After {
    /// The end, if it is one.
    pub fn end(self) -> Option<End> {
        match self {
            Self::End(end) => Some(end),
            _ => None,
        }
    }
}

/// The most bytes that one turn moves before others have theirs.
pub const TURN: u32 = 256 << 10;

/// The most datagrams that one turn moves.
pub const DATAGRAMS: u32 = 64;

/// A datagram that splices of one machine have moved so often goes round in circles.
pub const MOST_HOPS: u32 = 128;

/// What is known of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// Its bytes.
    pub len: u32,
    /// Those of each datagram that it was joined from, but maybe the last one; or 0.
    pub segment: u32,
    /// How often it has been moved already.
    pub hops: u32,
    /// Its bytes are a device's, and nobody else's.
    pub unreadable: bool,
}

/// What to do next with datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Move the first one, all of it.
    Pass,
    /// Make those datagrams of it that it was joined from: not all of them may be moved.
    Split,
    /// Let others have their turn, then go on.
    Yield,
    /// Nothing, until something happens.
    Wait,
    /// It is over.
    End(End),
}

/// What was moved in a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Datagrams.
    pub datagrams: u32,
    /// Bytes of them.
    pub bytes: u32,
}

impl Moved {
    /// One more.
    pub fn add(&mut self, len: u32) {
        self.datagrams += 1;
        self.bytes = self.bytes.saturating_add(len);
    }

    /// It is as much as others wait for.
    fn is_a_turn(&self) -> bool {
        self.datagrams >= DATAGRAMS || self.bytes >= TURN
    }
}

/// Where a splice stands.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    moved: u64,
    copied: u64,
    max: Option<u64>,
    idle: Option<u64>,
    last: u64,
}

impl Course {
    /// A new one that ends after `max` bytes, and when `idle` ticks pass without a move;
    /// `None`: never for that reason.
    pub fn new(max: Option<u64>, idle: Option<u64>, now: u64) -> Self {
        Self {
            moved: 0,
            copied: 0,
            max,
            idle,
            last: now,
        }
    }

    /// Bytes moved.
    pub fn bytes(&self) -> u64 {
        self.moved
    }

    /// Of these, bytes that had to be copied.
    pub fn copied(&self) -> u64 {
        self.copied
    }

    /// Bytes that may still be moved.
    fn left(&self) -> u64 {
        self.max.map_or(u64::MAX, |max| max - self.moved)
    }

    /// What to do, `turn` bytes having been moved since others had their turn.
    ///
    /// A source at its end ends the splice before a broken drain does, if nothing is lost.
    pub fn next(&self, source: &Source, drain: &Drain, turn: u32) -> Next {
        if self.left() == 0 {
            return Next::End(End::Max);
        }
        if source.ready == 0 {
            if source.finished {
                return Next::End(End::Eof);
            }
            if source.error != 0 {
                return Next::End(End::Source(source.error));
            }
            if source.gone {
                return Next::End(End::Closed);
            }
        }
        if drain.broken() {
            return Next::End(End::Drain);
        }
        if source.ready == 0 || drain.connecting {
            return Next::Wait;
        }
        if turn >= TURN {
            return Next::Yield;
        }
        let most = if source.urgent { 1 } else { TURN - turn };
        let bytes = u64::from(source.ready.min(most)).min(self.left());
        Next::Move {
            bytes: bytes as u32,
            urgent: source.urgent,
        }
    }

    /// Of `gathered` bytes the drain did this, `copied` having been copied of those it took.
    pub fn moved(&mut self, gathered: u32, sent: Sent, copied: u64, now: u64) -> After {
        match sent {
            Sent::Taken(n) | Sent::Short(n) => {
                let n = n.min(gathered);
                self.moved += u64::from(n);
                self.copied += copied.min(u64::from(n));
                if n > 0 {
                    self.last = now;
                }
                if self.left() == 0 {
                    After::End(End::Max)
                } else if n == gathered {
                    After::Go
                } else if matches!(sent, Sent::Short(_)) {
                    After::Retry
                } else {
                    After::WaitForDrain
                }
            }
            Sent::Full => After::WaitForDrain,
            Sent::Failed => After::End(End::Drain),
        }
    }

    /// What to do with a source of datagrams: `first` is the first one that is queued, if any;
    /// `turn` has been moved since others had their turn.
    ///
    /// Its end comes when nothing is queued; one that is not moved stays there.
    pub fn step(
        &self,
        first: Option<&Datagram>,
        source: &Source,
        drain: &Drain,
        turn: &Moved,
    ) -> Step {
        let Some(first) = first else {
            return match self.next(source, drain, 0) {
                Next::End(end) => Step::End(end),
                _ => Step::Wait,
            };
        };
        if self.left() == 0 {
            return Step::End(End::Max);
        }
        if drain.broken() {
            return Step::End(End::Drain);
        }
        if first.unreadable {
            return Step::End(End::Failed(errno::EIO));
        }
        if first.hops >= MOST_HOPS {
            return Step::End(End::Failed(errno::ELOOP));
        }
        if u64::from(first.len) > self.left() {
            let joined = first.segment > 0 && first.segment < first.len;
            return match joined && u64::from(first.segment) <= self.left() {
                true => Step::Split,
                false => Step::End(End::Max),
            };
        }
        match turn.is_a_turn() {
            true => Step::Yield,
            false => Step::Pass,
        }
    }

    /// A datagram was moved.
    pub fn passed(&mut self, len: u32, copied: u32, now: u64) -> Option<End> {
        self.moved += u64::from(len);
        self.copied += u64::from(copied.min(len));
        self.last = now;
        (self.left() == 0).then_some(End::Max)
    }

    /// How many ticks there are until the idle time is over if nothing is moved; 0 if it is.
    pub fn until_idle(&self, now: u64) -> Option<u64> {
        let idle = self.idle?;
        Some(idle.saturating_sub(now.saturating_sub(self.last)))
    }
}
