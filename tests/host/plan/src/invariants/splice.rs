// SPDX-License-Identifier: GPL-2.0

//! The course of a splice (`plan::splice`) against a stream that is only counted.

use crate::plan::splice::{errno, After, Course, Drain, End, Next, Sent, Source, TURN};

/// One turn: what is seen, and what the drain does if it is given something.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Bytes that come to the source before it.
    pub arrive: u32,
    /// What is seen of the source, but for `ready`.
    pub source: Source,
    /// What is seen of the drain.
    pub drain: Drain,
    /// What it does.
    pub sent: Sent,
    /// Ticks that pass.
    pub ticks: u8,
}

/// Runs the turns until one ends the splice; returns the bytes moved and the end.
///
/// - Not one byte more than the maximum is moved, and none that was not there.
/// - An end has its cause, and every cause that leaves nothing to do is an end.
/// - A busy splice lets others have their turn.
/// - The idle time begins anew with each byte that moves, and only then.
pub fn run(max: Option<u64>, idle: Option<u64>, turns: &[Turn]) -> (u64, Option<End>) {
    let mut course = Course::new(max, idle, 0);
    let (mut came, mut moved, mut in_turn, mut now, mut last) = (0u64, 0u64, 0u32, 0u64, 0u64);
    for turn in turns {
        now += u64::from(turn.ticks);
        came += u64::from(turn.arrive);
        let mut source = turn.source;
        source.ready = u32::try_from(came - moved).unwrap_or(u32::MAX);
        source.urgent &= source.ready > 0;
        let limit = max.map_or(u64::MAX, |max| max - moved);
        match course.next(&source, &turn.drain, in_turn) {
            Next::End(end) => {
                let nothing = source.ready == 0;
                match end {
                    End::Eof => assert!(nothing && source.finished),
                    End::Source(e) => assert!(nothing && e == source.error && e != 0),
                    End::Closed => assert!(nothing && source.gone),
                    End::Max => assert_eq!(limit, 0),
                    End::Drain => assert!(turn.drain.broken()),
                    other => panic!("{other:?}"),
                }
                assert_eq!(course.bytes(), moved);
                return (moved, Some(end));
            }
            Next::Wait => {
                assert!(source.ready == 0 || turn.drain.connecting);
                assert!(limit > 0 && !turn.drain.broken());
                assert!(source.ready > 0 || !(source.finished || source.gone));
            }
            Next::Yield => {
                assert!(in_turn >= TURN && source.ready > 0);
                in_turn = 0;
            }
            Next::Move { bytes, urgent } => {
                assert!(bytes > 0 && bytes <= source.ready && u64::from(bytes) <= limit);
                assert!(in_turn + bytes <= TURN);
                assert!(turn.drain.connected && !turn.drain.shut);
                assert_eq!(urgent, source.urgent);
                assert!(!urgent || bytes == 1);
                let taken = match turn.sent {
                    Sent::Taken(n) | Sent::Short(n) => n.min(bytes),
                    _ => 0,
                };
                moved += u64::from(taken);
                in_turn += taken;
                if taken > 0 {
                    last = now;
                }
                match course.moved(bytes, turn.sent, u64::from(taken / 2), now) {
                    After::Go => assert_eq!(taken, bytes),
                    After::WaitForDrain => {
                        assert!(taken < bytes && matches!(turn.sent, Sent::Taken(_) | Sent::Full));
                    }
                    After::Retry => {
                        assert!(taken < bytes && matches!(turn.sent, Sent::Short(_)));
                    }
                    After::End(End::Max) => {
                        assert_eq!(Some(moved), max);
                        return (moved, Some(End::Max));
                    }
                    After::End(end) => {
                        assert_eq!((end, turn.sent), (End::Drain, Sent::Failed));
                        return (moved, Some(end));
                    }
                }
            }
        }
        assert_eq!(course.bytes(), moved);
        assert!(course.copied() <= moved && moved <= came);
        assert_eq!(
            course.until_idle(now),
            idle.map(|idle| idle.saturating_sub(now - last))
        );
    }
    (moved, None)
}

/// What the source is told is what the contract says, and never its own error twice.
pub fn told(end: End) {
    let expected = match end {
        End::Eof | End::Stopped | End::Closed | End::Source(_) => 0,
        End::Max => errno::EFBIG,
        End::Idle => errno::ETIMEDOUT,
        End::Drain => errno::EPIPE,
        End::Failed(e) => e,
    };
    assert_eq!(end.told(), expected);
    match end {
        End::Source(e) => assert_eq!(end.error(), e),
        _ => assert_eq!(end.error(), expected),
    }
}
