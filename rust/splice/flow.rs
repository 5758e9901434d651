// SPDX-License-Identifier: GPL-2.0

//! How datagrams move: where they come in, by whoever brings them, and not by a task.
//!
//! A [`Flow`] holds what moves, both sockets and the splice's course, under a lock that can be
//! taken in a bottom half. It is only tried there: sending can call back at once. What cannot
//! be done there, because somebody else has the lock, or because it sleeps or takes long, is
//! left to the splice's work: that sends what is unusual, goes on where a turn was over or the
//! drain has room again, and ends.
//!
//! A task takes all of it out of the flow until it is done, so that nobody else moves anything
//! meanwhile. What it has sent over this machine's own devices has then arrived, and whoever
//! comes next, on another processor, cannot overtake it. Who finds the flow empty asks for the
//! work. Who ends the splice takes it out for good. Tasks have the splice's mutex.

use super::{Report, Shared, Splice, State, DRAIN, SOURCE};
use crate::ground::softlock::{BhOff, SoftLock};
use crate::ground::splice::{now, Batch, Party, Patience};
use crate::ground::splice_udp::{First, Passed};
use crate::plan::splice::{Course, End, Moved, Step};
use kernel::prelude::*;
use kernel::sync::atomic::Full;

/// What moves.
pub(super) struct Core {
    source: Party<Splice, SOURCE>,
    drain: Party<Splice, DRAIN>,
    course: Course,
    /// It is to end so.
    end: Option<End>,
}

/// See above.
pub(super) struct Flow(SoftLock<Option<Core>>);

/// What a turn came to.
pub(super) enum Turn {
    /// Something must happen first.
    Wait,
    /// There is more to do at once.
    Again,
    /// A task has to send this one.
    Unusual(First),
    /// Memory was short, or the drain is corked.
    Retry,
    End(End),
}

impl Core {
    pub(super) fn new(
        source: Party<Splice, SOURCE>,
        drain: Party<Splice, DRAIN>,
        course: Course,
    ) -> Self {
        Self {
            source,
            drain,
            course,
            end: None,
        }
    }

    /// Moves as much as there is, or as one turn may, of which this has been `moved`.
    fn turn(&mut self, moved: &mut Moved, off: &BhOff) -> Turn {
        let turn = loop {
            if let Some(end) = self.end {
                break Turn::End(end);
            }
            let first = self.source.first(off);
            let (datagram, drain) = (first.datagram(), self.drain.look());
            let step = self
                .course
                .step(datagram.as_ref(), &first.source(), &drain, moved);
            let passed = match step {
                Step::Pass => self.source.pass(&first, &self.drain, off),
                Step::Split => Passed::Unusual,
                Step::Yield => break Turn::Again,
                Step::Wait => break Turn::Wait,
                Step::End(end) => {
                    self.end = Some(end);
                    continue;
                }
            };
            match passed {
                Passed::Moved(copied) => {
                    moved.add(first.len());
                    self.end = self.course.passed(first.len(), copied, now());
                }
                Passed::Gone => {}
                Passed::Full => break Turn::Wait,
                Passed::Later => break Turn::Retry,
                Passed::Behind => break Turn::Again,
                Passed::Failed(e) => self.end = Some(End::Failed(e)),
                Passed::Unusual => break Turn::Unusual(first),
            }
        };
        self.source.settle(off);
        turn
    }

    /// The same in a task, which sends what is unusual, too.
    fn work(&mut self, batch: &mut Option<Batch>) -> Turn {
        let mut moved = Moved::default();
        loop {
            let turn = self.turn(&mut moved, &BhOff::new());
            let done = match turn {
                Turn::Unusual(first) if first.is_joined() => self.split(&first),
                Turn::Unusual(first) => self.send(&first, batch, &mut moved),
                turn => Some(turn),
            };
            if let Some(turn) = done {
                return turn;
            }
        }
    }

    fn split(&mut self, first: &First) -> Option<Turn> {
        let off = BhOff::new();
        let split = self.source.split(first, &off);
        self.source.settle(&off);
        split.is_err().then_some(Turn::Retry)
    }

    /// Sends the first datagram as a program would; if it does not go it is the first one
    /// again.
    fn send(
        &mut self,
        first: &First,
        batch: &mut Option<Batch>,
        moved: &mut Moved,
    ) -> Option<Turn> {
        if batch.is_none() {
            *batch = Batch::new();
        }
        let Some(batch) = batch else {
            return Some(Turn::Retry);
        };
        let taken = self.source.take(first, &BhOff::new())?;
        let keep_error = self.drain.look().error_is_told();
        let passed = self.drain.send_taken(&taken, batch, keep_error);
        let off = BhOff::new();
        if let Passed::Moved(copied) = passed {
            self.source.sent(taken);
            moved.add(first.len());
            self.end = self.course.passed(first.len(), copied, now());
        } else {
            self.source.put_back(taken, &off);
        }
        self.source.settle(&off);
        match passed {
            Passed::Moved(_) => None,
            Passed::Full => Some(Turn::Wait),
            Passed::Failed(e) => {
                self.end = Some(End::Failed(e));
                None
            }
            _ => Some(Turn::Retry),
        }
    }

    /// Both sockets are free again: told `end`, unless it has come to another one by itself.
    /// No lock is waited for. Returns how it ended.
    pub(super) fn finish(self, end: End) -> Report {
        let end = self.end.unwrap_or(end);
        let report = self.report(Some(end));
        let _ = self.drain.leave(0, Patience::Endless);
        let _ = self.source.leave(end.told(), Patience::Endless);
        report
    }

    fn report(&self, end: Option<End>) -> Report {
        Report {
            end,
            moved: self.course.bytes(),
            copied: self.course.copied(),
        }
    }
}

impl Flow {
    /// An empty one.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(SoftLock::new(None)?))
    }

    /// From now on this moves.
    pub(super) fn open(&self, core: Core) {
        self.0.with(|slot, _| *slot = Some(core));
    }

    /// From now on nothing moves any more.
    pub(super) fn close(&self) -> Option<Core> {
        self.0.with(|slot, _| slot.take())
    }

    /// Moves what there is. True if only a task can go on.
    pub(super) fn run(&self) -> bool {
        let turn = self.0.try_with(|slot, off| {
            slot.as_mut()
                .map(|core| core.turn(&mut Moved::default(), off))
        });
        !matches!(turn, Some(Some(Turn::Wait)))
    }

    /// How it stands.
    pub(super) fn report(&self) -> Report {
        self.0.with(|slot, _| {
            slot.as_ref()
                .map_or_else(Report::default, |core| core.report(None))
        })
    }
}

impl Splice {
    /// The work of a splice of datagrams.
    pub(super) fn flow(this: Shared) {
        let mut state = this.state.lock();
        let (State::Flowing(flowing), Some(flow)) = (&mut *state, &this.flow) else {
            return;
        };
        let Some(mut core) = flow.close() else {
            return;
        };
        let rang = this.rang.xchg(0, Full) != 0;
        let before = core.course.bytes();
        let turn = core.work(&mut flowing.batch);
        let course = core.course;
        flow.open(core);
        if course.bytes() != before || !matches!(turn, Turn::Retry) {
            flowing.retries = 0;
        }
        let idle = course.until_idle(now());
        let end = match (turn, idle) {
            (Turn::End(end), _) => end,
            (Turn::Wait | Turn::Retry, Some(0)) if rang => End::Idle,
            (Turn::Retry, _) => {
                let later = flowing.later();
                flowing.alarm.set(idle.unwrap_or(later).min(later));
                return;
            }
            (turn, idle) => {
                if let Some(left) = idle.filter(|_| rang) {
                    flowing.alarm.set(left);
                }
                drop(state);
                if matches!(turn, Turn::Again) {
                    Self::ask(&this);
                }
                return;
            }
        };
        this.finish(&mut state, end, Patience::Endless);
    }
}
