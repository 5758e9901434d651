// SPDX-License-Identifier: GPL-2.0

//! Splices: what comes to one socket, the source, is sent on another one, the drain, until
//! something ends it.
//!
//! # Who owns what
//!
//! A splice owns its part in both sockets, and each of these owns a reference to the splice:
//! a circle, which its end breaks. An end happens once ([`Splice::finish`]) and undoes all
//! that a splice did to its sockets, drain first; what is left is how it ended. The table of
//! the context that it was asked for on ([`Table`]) and its handle have references as well,
//! and both end it when they go. Neither socket is kept open.
//!
//! # Who moves
//!
//! Callbacks of the sockets ask for work, which runs on the processor where that happened, one
//! turn at a time; after `plan::splice::TURN` bytes it goes to the end of the line. Without
//! an event nothing runs: the timer is set only for an idle time, and when memory was short.
//!
//! Datagrams do not wait for work: they move in the callbacks themselves, see [`flow`].
//!
//! # Locks
//!
//! 1. a splice's mutex: held for a turn, and for its end, so that nothing moves any more
//!    when an end is over;
//! 2. one socket's lock: the source's to gather, the drain's to send, the source's to
//!    consume, one after the other and never two. Of datagrams, the flow's spinlock instead.
//!
//! A table's mutex is not held together with these.

mod flow;
mod table;

pub(crate) use table::Table;

use crate::context::Done;
use crate::ground::debug::{reached, Point};
use crate::ground::errno;
use crate::ground::poll::{Poller, Waiters};
use crate::ground::socket::Socket;
use crate::ground::splice::{
    check, identity, now, ticks, Alarm, Batch, Event, Kind, NewHandle, Party, Patience, Spliced,
    Worked, DRAIN, SOURCE,
};
use crate::ground::uapi::{splice_state, SpliceCall, SpliceStatus, SPLICE_HANDLE};
use crate::plan::splice::{After, Course, End, Next, Sent};
use core::mem::replace;
use flow::{Core, Flow};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};
use kernel::sync::{Arc, ArcBorrow, Mutex};

/// When there was no memory, or a program kept a socket's lock, it is tried again after so many
/// nanoseconds; after twice as many the next time, and so on …
const RETRY: u64 = 10_000_000;

/// … until it is this many times as long.
const LONGEST: u32 = 6;

/// A splice that others can refer to.
pub(crate) type Shared = Arc<Worked<Splice>>;

/// Two sockets, and what moves from one to the other.
pub(crate) struct Splice {
    state: Pin<KBox<Mutex<State>>>,
    /// The drain is full: more data at the source changes nothing. Set under the drain's lock
    /// before it is tried, so that the callback that says there is room again cannot be missed.
    blocked: Atomic<u32>,
    /// The alarm rang.
    rang: Atomic<u32>,
    /// It has ended, and both sockets are free again.
    over: Atomic<u32>,
    /// Who waits for that, by its handle.
    waiters: Option<Waiters>,
    /// Of datagrams: what moves.
    flow: Option<Flow>,
}

enum State {
    /// Its sockets are about to join.
    Starting,
    Running(Running),
    /// Likewise, with datagrams: its flow moves.
    Flowing(Flowing),
    Over(Report),
}

/// What the work of a splice of datagrams needs.
struct Flowing {
    alarm: Alarm<Splice>,
    batch: Option<Batch>,
    /// How often in a row it was tried again.
    retries: u32,
}

impl Flowing {
    /// When to try again, in ticks.
    fn later(&mut self) -> u64 {
        backoff(&mut self.retries)
    }
}

struct Running {
    source: Party<Splice, SOURCE>,
    /// Gone if the end has begun, but could not be completed.
    drain: Option<Party<Splice, DRAIN>>,
    alarm: Alarm<Splice>,
    course: Course,
    /// What the drain took, and the source still has: a program kept its lock.
    rest: Option<Rest>,
    /// It is to end so, but a program keeps a lock.
    ending: Option<End>,
    /// How often in a row it was tried again.
    retries: u32,
}

/// What is left to do of a move.
struct Rest {
    batch: Batch,
    taken: u32,
    after: After,
}

/// How a splice stands.
#[derive(Clone, Copy, Default)]
struct Report {
    end: Option<End>,
    moved: u64,
    copied: u64,
}

/// What a turn came to.
enum Turn {
    /// There may be more to do at once.
    Again,
    /// Something must happen first.
    Wait,
    /// Memory was short, or a lock kept.
    Retry,
    End(End),
}

impl Running {
    fn report(&self, end: Option<End>) -> Report {
        Report {
            end,
            moved: self.course.bytes(),
            copied: self.course.copied(),
        }
    }

    /// Moves as much as there is, or as one turn may.
    fn turn(&mut self, blocked: &Atomic<u32>) -> Turn {
        let Some(drain) = &mut self.drain else {
            return Turn::Retry;
        };
        let mut in_turn = 0;
        loop {
            let Some(mut source) = self.source.lock(Patience::Little) else {
                return Turn::Retry;
            };
            let mut batch = None;
            if let Some(rest) = self.rest.take() {
                source.consume(&rest.batch, rest.taken);
                match rest.after {
                    After::Go => {}
                    After::WaitForDrain => return Turn::Wait,
                    After::Retry => return Turn::Retry,
                    After::End(end) => return Turn::End(end),
                }
                batch = Some(rest.batch);
            }
            let seen = source.look();
            let (most, urgent) = match self.course.next(&seen, &drain.look(), in_turn) {
                Next::Move { bytes, urgent } => (bytes, urgent),
                Next::Yield => return Turn::Again,
                Next::Wait => return Turn::Wait,
                Next::End(end) => return Turn::End(end),
            };
            let Some(mut batch) = batch.or_else(Batch::new) else {
                return Turn::Retry;
            };
            let gathered = match source.gather(&mut batch, most) {
                Ok(0) => return Turn::Wait,
                Ok(n) => n,
                Err(e) if e == ENOMEM => return Turn::Retry,
                Err(e) => return Turn::End(End::Failed(-e.to_errno())),
            };
            drop(source);
            reached(Point::SpliceGathered);

            let Some(mut drain) = drain.lock(Patience::Little) else {
                return Turn::Retry;
            };
            let seen = drain.look();
            let (sent, copied) = if seen.broken() {
                (Sent::Failed, 0)
            } else if !seen.connected {
                (Sent::Full, 0)
            } else {
                blocked.store(1, Relaxed);
                drain.send(&mut batch, urgent, seen.error_is_told())
            };
            if sent == Sent::Taken(gathered) {
                blocked.store(0, Relaxed);
            }
            drop(drain);
            reached(Point::SpliceSent);

            let taken = match sent {
                Sent::Taken(n) | Sent::Short(n) => n.min(gathered),
                _ => 0,
            };
            in_turn += taken;
            let after = self.course.moved(gathered, sent, copied, now());
            self.rest = Some(Rest {
                batch,
                taken,
                after,
            });
        }
    }

    /// Frees the drain, and takes off the source what was moved. False if a lock was not to be
    /// had.
    fn wind_up(&mut self, patience: Patience) -> bool {
        if let Some(drain) = self.drain.take() {
            self.drain = drain.leave(0, patience).err();
        }
        if self.drain.is_some() {
            return false;
        }
        if self.rest.is_some() {
            let Some(mut source) = self.source.lock(patience) else {
                return false;
            };
            if let Some(rest) = self.rest.take() {
                source.consume(&rest.batch, rest.taken);
            }
        }
        true
    }

    /// When to try again, in ticks.
    fn later(&mut self) -> u64 {
        backoff(&mut self.retries)
    }
}

/// How long to wait before the next one of so many tries, in ticks.
fn backoff(retries: &mut u32) -> u64 {
    let times = (*retries).min(LONGEST);
    *retries += 1;
    ticks(RETRY << times)
}

impl Splice {
    fn new(waiters: bool, flow: Option<Flow>) -> Result<Shared> {
        Worked::new(Self {
            state: KBox::pin_init(
                new_mutex!(State::Starting, "zcio_splice"),
                GFP_KERNEL_ACCOUNT,
            )?,
            blocked: Atomic::new(0),
            rang: Atomic::new(0),
            over: Atomic::new(0),
            waiters: waiters.then(Waiters::new).transpose()?,
            flow,
        })
    }

    fn ask(this: &Shared) {
        Worked::ask(this.clone());
    }

    /// Splices two sockets. They are at once told to tell it what happens; what is queued
    /// already moves as soon as its work begins.
    fn start(splice: &Shared, source: &Socket, drain: &Socket, course: Course) -> Result {
        let alarm = Alarm::new(splice.clone())?;
        let source = Party::join(source, splice.clone())?;
        let drain = Party::join(drain, splice.clone())?;
        let mut state = splice.state.lock();
        // Both are open, but one may have lost its connection meanwhile.
        if matches!(&*state, State::Over(_)) {
            return Ok(());
        }
        if let Some(ticks) = course.until_idle(now()) {
            alarm.set(ticks);
        }
        *state = if let Some(flow) = &splice.flow {
            flow.open(Core::new(source, drain, course));
            State::Flowing(Flowing {
                alarm,
                batch: None,
                retries: 0,
            })
        } else {
            State::Running(Running {
                alarm,
                source,
                drain: Some(drain),
                course,
                rest: None,
                ending: None,
                retries: 0,
            })
        };
        drop(state);
        match &splice.flow {
            Some(flow) if !flow.run() => {}
            _ => Self::ask(splice),
        }
        Ok(())
    }

    fn report(&self) -> Report {
        match &*self.state.lock() {
            State::Starting => Report::default(),
            State::Running(running) => running.report(None),
            State::Flowing(_) => match &self.flow {
                Some(flow) => flow.report(),
                None => Report::default(),
            },
            State::Over(report) => *report,
        }
    }

    /// Whether it has ended.
    fn is_over(&self) -> bool {
        self.over.load(Relaxed) != 0
    }

    /// Ends it, unless it has ended; says whether it did. Afterwards nothing moves, and both
    /// sockets are as they were. The drain is first: whom the source wakes may splice again.
    fn end(&self, end: End) -> bool {
        let mut state = self.state.lock();
        self.finish(&mut state, end, Patience::Endless)
    }

    /// With little patience also false if it could not be completed; what was begun stays so.
    fn finish(&self, state: &mut State, end: End, patience: Patience) -> bool {
        match state {
            State::Over(_) => return false,
            State::Starting => {
                *state = State::Over(Report {
                    end: Some(end),
                    ..Default::default()
                });
            }
            State::Flowing(_) => {
                let Some(core) = self.flow.as_ref().and_then(Flow::close) else {
                    return false;
                };
                *state = State::Over(core.finish(end));
            }
            State::Running(running) => {
                // What its last move came to was first.
                let end = match &running.rest {
                    Some(rest) => rest.after.end().unwrap_or(end),
                    None => end,
                };
                let end = *running.ending.get_or_insert(end);
                if !running.wind_up(patience) {
                    return false;
                }
                let report = running.report(Some(end));
                let State::Running(running) = replace(state, State::Over(report)) else {
                    return false;
                };
                if let Err(source) = running.source.leave(end.told(), patience) {
                    *state = State::Running(Running { source, ..running });
                    return false;
                }
            }
        }
        self.over.store(1, Relaxed);
        if let Some(waiters) = &self.waiters {
            waiters.wake();
        }
        true
    }
}

impl Spliced for Splice {
    fn kind(&self) -> Kind {
        match self.flow {
            Some(_) => Kind::Datagrams,
            None => Kind::Stream,
        }
    }

    fn work(this: Shared) {
        if this.flow.is_some() {
            return Self::flow(this);
        }
        let mut state = this.state.lock();
        let State::Running(running) = &mut *state else {
            return;
        };
        let rang = this.rang.xchg(0, Full) != 0;
        let before = running.course.bytes();
        let mut turn = match running.ending {
            Some(end) => Turn::End(end),
            None => running.turn(&this.blocked),
        };
        if running.course.bytes() != before || matches!(turn, Turn::Again | Turn::Wait) {
            running.retries = 0;
        }
        let idle = running.course.until_idle(now());
        match (&turn, idle) {
            (Turn::Wait | Turn::Retry, Some(0)) if rang => turn = Turn::End(End::Idle),
            (Turn::Retry, _) => {
                let later = running.later();
                running.alarm.set(idle.unwrap_or(later).min(later));
            }
            (Turn::Again | Turn::Wait, Some(left)) if rang => running.alarm.set(left),
            _ => {}
        }
        match turn {
            Turn::Again => {
                drop(state);
                Worked::ask(this);
            }
            Turn::Wait | Turn::Retry => {}
            Turn::End(end) => {
                if this.finish(&mut state, end, Patience::Little) {
                    return;
                }
                if let State::Running(running) = &mut *state {
                    let later = running.later();
                    running.alarm.set(later);
                }
            }
        }
    }

    fn woken(this: ArcBorrow<'_, Worked<Self>>, event: Event) {
        let matters = match event {
            Event::Data => this.blocked.load(Relaxed) == 0,
            Event::Space => this.flow.is_some() || this.blocked.xchg(0, Full) != 0,
            Event::State => true,
            Event::Alarm => {
                this.rang.store(1, Relaxed);
                true
            }
        };
        if matters {
            Worked::ask(this.into());
        }
    }

    fn closed(this: Shared) {
        this.end(End::Closed);
    }

    fn moves(this: Shared) {
        if this.flow.as_ref().is_some_and(Flow::run) {
            Worked::ask(this);
        }
    }

    fn poll(this: ArcBorrow<'_, Worked<Self>>, poller: &Poller<'_>) -> bool {
        if let Some(waiters) = &this.waiters {
            waiters.add(poller);
        }
        this.is_over()
    }

    fn released(this: Shared) {
        this.end(End::Stopped);
    }
}

/// `ZCIO_IOC_SPLICE`.
pub(crate) fn start(table: &Table, call: SpliceCall) -> Result<usize> {
    let number = |n: i64| u64::try_from(n).map_err(|_| EINVAL);
    let some = |n: u64| (n > 0).then_some(n);
    let source = Socket::from_fd(call.source)?;
    let drain = Socket::from_fd(call.drain)?;
    let (max, idle) = (number(call.max)?, number(call.idle)?);
    let unknown = call.flags & !SPLICE_HANDLE;
    if unknown != 0 || call.reserved32 != 0 || call.reserved != [0; 4] {
        return Err(EINVAL);
    }
    let kind = check(&source, &drain)?;
    let place = table.reserve()?;
    let course = Course::new(some(max), some(idle).map(ticks), now());
    let wants_handle = call.flags & SPLICE_HANDLE != 0;
    let flow = (kind == Kind::Datagrams).then(Flow::new).transpose()?;
    let splice = Splice::new(wants_handle, flow)?;
    let handle = wants_handle.then(|| NewHandle::new(&splice)).transpose()?;
    Splice::start(&splice, &source, &drain, course)?;
    table.insert(place, identity(&source), splice);
    Ok(handle.map_or(0, NewHandle::install))
}

/// The splice that a descriptor stands for: a handle, or the source of one that runs, or that
/// ran last.
fn find(table: &Table, fd: i32) -> Result<Option<Shared>> {
    if let Some(splice) = Worked::of_handle(fd) {
        return Ok(Some(splice));
    }
    let socket = Socket::from_fd(fd)?;
    Ok(Worked::of(&socket).or_else(|| table.get(identity(&socket))))
}

fn tell(status: &mut SpliceStatus, splice: &Splice) -> Done {
    let report = splice.report();
    (status.state, status.error) = splice_state(report.end);
    (status.moved, status.copied) = (report.moved, report.copied);
    Done {
        count: 0,
        count_says_all: false,
    }
}

fn check_status(status: &SpliceStatus) -> Result {
    match status.flags == 0 && status.reserved == [0; 4] {
        true => Ok(()),
        false => Err(EINVAL),
    }
}

/// `ZCIO_IOC_SPLICE_STATUS`.
pub(crate) fn status(table: &Table, status: &mut SpliceStatus) -> Result<Done> {
    check_status(status)?;
    match find(table, status.fd)? {
        Some(splice) => Ok(tell(status, &splice)),
        None => Ok(Done {
            count: 0,
            count_says_all: false,
        }),
    }
}

/// `ZCIO_IOC_UNSPLICE`.
pub(crate) fn stop(table: &Table, status: &mut SpliceStatus) -> Result<Done> {
    check_status(status)?;
    let splice = find(table, status.fd)?.ok_or(errno::not_there())?;
    match splice.end(End::Stopped) {
        true => Ok(tell(status, &splice)),
        false => Err(errno::not_there()),
    }
}
