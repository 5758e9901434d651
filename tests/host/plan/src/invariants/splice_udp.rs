// SPDX-License-Identifier: GPL-2.0

//! The course of a splice of datagrams (`plan::splice`) against a queue that is only counted.

use crate::plan::splice::{
    errno, Course, Datagram, Drain, End, Moved, Source, Step, DATAGRAMS, MOST_HOPS, TURN,
};
use std::collections::VecDeque;

/// What happens before the splice looks again.
#[derive(Clone, Debug)]
pub struct Look {
    /// Datagrams that come.
    pub arrive: Vec<Datagram>,
    /// What is seen of the source, if nothing is queued.
    pub source: Source,
    /// What is seen of the drain.
    pub drain: Drain,
    /// It takes what it is given.
    pub room: bool,
    /// Ticks that pass.
    pub ticks: u8,
}

/// Looks until the splice has ended; returns the bytes moved, what is still queued, and the end.
///
/// - No datagram is cut, none is moved that makes it more than the maximum, and the first one
///   that is not moved stays the first.
/// - An end has its cause.
/// - A busy splice lets others have their turn.
pub fn run(max: Option<u64>, looks: &[Look]) -> (u64, VecDeque<Datagram>, Option<End>) {
    let mut course = Course::new(max, None, 0);
    let mut queue = VecDeque::new();
    let (mut moved, mut now) = (0u64, 0u64);
    for look in looks {
        now += u64::from(look.ticks);
        queue.extend(look.arrive.iter().copied());
        let mut turn = Moved::default();
        loop {
            let left = max.map_or(u64::MAX, |max| max - moved);
            let first = queue.front().copied();
            let step = course.step(first.as_ref(), &look.source, &look.drain, &turn);
            match (step, first) {
                (Step::Pass, Some(first)) => {
                    assert!(u64::from(first.len) <= left && left > 0);
                    assert!(first.hops < MOST_HOPS && !first.unreadable);
                    assert!(!look.drain.broken());
                    assert!(turn.datagrams < DATAGRAMS && turn.bytes < TURN);
                    if !look.room {
                        break;
                    }
                    queue.pop_front();
                    turn.add(first.len);
                    moved += u64::from(first.len);
                    let end = course.passed(first.len, first.len / 3, now);
                    assert_eq!(end.is_some(), Some(moved) == max);
                    if let Some(end) = end {
                        assert_eq!(end, End::Max);
                        return (moved, queue, Some(end));
                    }
                }
                (Step::Split, Some(first)) => {
                    assert!(u64::from(first.len) > left && u64::from(first.segment) <= left);
                    assert!(first.segment > 0 && first.segment < first.len);
                    queue.pop_front();
                    let whole = first.len / first.segment;
                    let rest = first.len % first.segment;
                    let part = |len| Datagram { len, segment: 0, ..first };
                    if rest > 0 {
                        queue.push_front(part(rest));
                    }
                    for _ in 0..whole {
                        queue.push_front(part(first.segment));
                    }
                }
                (Step::Yield, Some(_)) => {
                    assert!(turn.datagrams >= DATAGRAMS || turn.bytes >= TURN);
                    turn = Moved::default();
                }
                (Step::Wait, None) => {
                    assert!(!look.source.finished && look.source.error == 0);
                    assert!(!look.drain.broken() && left > 0);
                    break;
                }
                (Step::End(end), first) => {
                    match (end, first) {
                        (End::Eof, None) => assert!(look.source.finished),
                        (End::Source(e), None) => assert!(e == look.source.error && e != 0),
                        (End::Closed, None) => assert!(look.source.gone),
                        (End::Drain, _) => assert!(look.drain.broken()),
                        (End::Max, Some(first)) => assert!(u64::from(first.len) > left || left == 0),
                        (End::Max, None) => assert_eq!(left, 0),
                        (End::Failed(errno::ELOOP), Some(first)) => assert!(first.hops >= MOST_HOPS),
                        (End::Failed(errno::EIO), Some(first)) => assert!(first.unreadable),
                        other => panic!("{other:?}"),
                    }
                    assert_eq!(course.bytes(), moved);
                    return (moved, queue, Some(end));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(course.bytes(), moved);
        assert!(course.copied() <= moved);
    }
    (moved, queue, None)
}
