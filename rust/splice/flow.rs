// SPDX-License-Identifier: GPL-2.0

//! How datagrams move: where they come in, by whoever brings them, and not by a task.
//!
//! A [`Flow`] is what moves: both sockets and the splice's course, under a lock that can be
//! taken in a bottom half. Who finds it taken leaves a note, and who has it looks for notes
//! when he is done. What the first one cannot do, because it sleeps or takes long, he leaves
//! to the splice's work: that sends what is unusual, goes on where a turn was over, and ends.
//!
//! The task takes the sockets out of the flow while it sends, so that nobody else moves
//! anything meanwhile: the order stays. Who ends the splice takes them out for good.

use super::{Report, Shared, Splice, State, DRAIN, SOURCE};
use crate::ground::softlock::{BhOff, SoftLock};
use crate::ground::splice::{now, Batch, Party, Patience};
use crate::ground::splice_udp::{Passed, Taken};
use crate::plan::splice::{Course, End, Moved, Step};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full};

/// Both sockets.
pub(super) struct Ends {
    pub(super) source: Party<Splice, SOURCE>,
    pub(super) drain: Party<Splice, DRAIN>,
}

struct Inner {
    ends: Option<Ends>,
    course: Course,
    /// It is to end so.
    end: Option<End>,
}

/// See above.
pub(super) struct Flow {
    inner: SoftLock<Inner>,
    /// Somebody came, and found it taken.
    again: Atomic<u32>,
}

/// What a turn came to.
pub(super) enum Turn {
    /// Something must happen first.
    Wait,
    /// There is more to do at once.
    Again,
    /// The first datagram is unusual: it has been taken for a task to send it, with all that
    /// it needs.
    Task(Ends, Taken, u32),
    /// Only a task can go on.
    NeedsTask,
    /// Memory was short, or the drain is corked.
    Retry,
    End(End),
}

impl Inner {
    /// Moves as much as there is, or as one turn may.
    fn turn(&mut self, in_task: bool, off: &BhOff) -> Turn {
        let Some(ends) = &mut self.ends else {
            return Turn::Wait;
        };
        let Ends { source, drain } = ends;
        let mut moved = Moved::default();
        let turn = loop {
            if let Some(end) = self.end {
                break Turn::End(end);
            }
            let first = source.first(off);
            let datagram = first.datagram();
            let step = self
                .course
                .step(datagram.as_ref(), &first.source(), &drain.look(), &moved);
            let passed = match step {
                Step::Pass => source.pass(&first, drain, off),
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
                Passed::Failed(e) => self.end = Some(End::Failed(e)),
                Passed::Unusual if !in_task => break Turn::NeedsTask,
                Passed::Unusual if first.is_joined() => {
                    if source.split(&first, off).is_err() {
                        break Turn::Retry;
                    }
                }
                Passed::Unusual => {
                    let Some(taken) = source.take(&first, off) else {
                        continue;
                    };
                    source.settle(off);
                    return match self.ends.take() {
                        Some(ends) => Turn::Task(ends, taken, first.len()),
                        None => Turn::Wait,
                    };
                }
            }
        };
        source.settle(off);
        turn
    }
}

impl Flow {
    pub(super) fn new(course: Course) -> Result<Self> {
        Ok(Self {
            inner: SoftLock::new(Inner {
                ends: None,
                course,
                end: None,
            })?,
            again: Atomic::new(0),
        })
    }

    /// From now on it moves.
    pub(super) fn open(&self, ends: Ends) {
        self.inner.with(|inner, _| inner.ends = Some(ends));
    }

    /// From now on nothing moves any more.
    pub(super) fn close(&self) -> Option<Ends> {
        self.inner.with(|inner, _| inner.ends.take())
    }

    /// Moves what there is. True if only a task can go on.
    pub(super) fn run(&self) -> bool {
        self.again.xchg(1, Full);
        loop {
            let turn = self.inner.try_with(|inner, off| {
                self.again.xchg(0, Full);
                inner.turn(false, off)
            });
            match turn {
                None => return false,
                Some(Turn::Wait) => {}
                Some(_) => return true,
            }
            if self.again.xchg(0, Full) == 0 {
                return false;
            }
        }
    }

    /// The same in a task, which sends what is unusual, too.
    pub(super) fn run_in_task(&self, batch: &mut Option<Batch>) -> Turn {
        loop {
            let turn = self.inner.with(|inner, off| {
                self.again.xchg(0, Full);
                inner.turn(true, off)
            });
            match turn {
                Turn::Task(ends, taken, len) => {
                    if let Some(turn) = self.send(ends, taken, len, batch) {
                        return turn;
                    }
                }
                Turn::Wait if self.again.xchg(0, Full) != 0 => {}
                turn => return turn,
            }
        }
    }

    /// Sends a datagram that was taken.
    fn send(
        &self,
        ends: Ends,
        taken: Taken,
        len: u32,
        batch: &mut Option<Batch>,
    ) -> Option<Turn> {
        if batch.is_none() {
            *batch = Batch::new();
        }
        let keep_error = ends.drain.look().error_is_told();
        let passed = match batch {
            Some(batch) => ends.drain.send_taken(&taken, batch, keep_error),
            None => Passed::Later,
        };
        self.inner.with(|inner, off| {
            let source = &mut inner.ends.insert(ends).source;
            if let Passed::Moved(copied) = passed {
                source.sent(taken);
                inner.end = inner.course.passed(len, copied, now());
                return None;
            }
            source.put_back(taken, off);
            match passed {
                Passed::Full => Some(Turn::Wait),
                Passed::Failed(e) => {
                    inner.end = Some(End::Failed(e));
                    None
                }
                _ => Some(Turn::Retry),
            }
        })
    }

    pub(super) fn report(&self, end: Option<End>) -> Report {
        let course = self.course();
        Report {
            end,
            moved: course.bytes(),
            copied: course.copied(),
        }
    }

    pub(super) fn course(&self) -> Course {
        self.inner.with(|inner, _| inner.course)
    }

    /// The end that it has come to by itself.
    pub(super) fn end(&self) -> Option<End> {
        self.inner.with(|inner, _| inner.end)
    }
}

impl Splice {
    /// The work of a splice of datagrams.
    pub(super) fn flow(this: Shared) {
        let mut state = this.state.lock();
        let (State::Flowing(flowing), Some(flow)) = (&mut *state, &this.flow) else {
            return;
        };
        let rang = this.rang.xchg(0, Full) != 0;
        let before = flow.course().bytes();
        let turn = flow.run_in_task(&mut flowing.batch);
        let course = flow.course();
        let idle = course.until_idle(now());
        if course.bytes() != before || !matches!(turn, Turn::Retry) {
            flowing.retries = 0;
        }
        let end = match (&turn, idle) {
            (Turn::End(end), _) => Some(*end),
            (Turn::Wait | Turn::Retry, Some(0)) if rang => Some(End::Idle),
            (Turn::Retry, _) => {
                let later = flowing.later();
                flowing.alarm.set(idle.unwrap_or(later).min(later));
                None
            }
            (_, Some(left)) if rang => {
                flowing.alarm.set(left);
                None
            }
            _ => None,
        };
        if let Some(end) = end {
            this.finish(&mut state, end, Patience::Endless);
        } else if matches!(turn, Turn::Again) {
            drop(state);
            Self::ask(&this);
        }
    }
}
