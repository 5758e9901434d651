// SPDX-License-Identifier: GPL-2.0
//! The course of a splice of datagrams (`plan::splice`).

use proptest::prelude::*;
use std::collections::VecDeque;
use zcio_plan::plan::splice::{
    errno, Course, Datagram, Drain, End, Moved, Source, Step, DATAGRAMS, MOST_HOPS, TURN,
};

const OPEN: Drain = Drain {
    connected: true,
    connecting: false,
    shut: false,
    error: 0,
};

const QUIET: Source = Source {
    ready: 0,
    urgent: false,
    finished: false,
    gone: false,
    error: 0,
};

fn datagram(len: u32) -> Datagram {
    Datagram {
        len,
        ..Default::default()
    }
}

fn step(course: &Course, first: &Datagram) -> Step {
    course.step(Some(first), &QUIET, &OPEN, &Moved::default())
}

#[test]
fn a_datagram_is_never_cut() {
    let mut course = Course::new(Some(1000), None, 0);
    assert_eq!(step(&course, &datagram(1001)), Step::End(End::Max));
    assert_eq!(step(&course, &datagram(1000)), Step::Pass);
    assert_eq!(course.passed(600, 0, 1), None);
    assert_eq!(step(&course, &datagram(401)), Step::End(End::Max));
    assert_eq!(course.bytes(), 600);
    assert_eq!(step(&course, &datagram(400)), Step::Pass);
    assert_eq!(course.passed(400, 0, 1), Some(End::Max));
    assert_eq!(step(&course, &datagram(0)), Step::End(End::Max));
}

#[test]
fn empty_datagrams_move_and_count_as_a_move() {
    let mut course = Course::new(Some(1), Some(10), 0);
    assert_eq!(step(&course, &datagram(0)), Step::Pass);
    assert_eq!(course.passed(0, 0, 7), None);
    assert_eq!(course.until_idle(10), Some(7));
}

#[test]
fn of_joined_datagrams_those_move_that_may() {
    let course = Course::new(Some(1000), None, 0);
    let joined = |len, segment| Datagram {
        len,
        segment,
        ..Default::default()
    };
    assert_eq!(step(&course, &joined(5000, 1000)), Step::Split);
    assert_eq!(step(&course, &joined(5000, 1001)), Step::End(End::Max));
    assert_eq!(step(&course, &joined(1000, 100)), Step::Pass);
    // Of one there is nothing to be made: it would be asked for again and again.
    assert_eq!(step(&course, &joined(1001, 1001)), Step::End(End::Max));
}

#[test]
fn a_circle_is_found() {
    let course = Course::new(None, None, 0);
    let moved = |hops| Datagram {
        len: 5,
        hops,
        ..Default::default()
    };
    assert_eq!(step(&course, &moved(MOST_HOPS - 1)), Step::Pass);
    let end = End::Failed(errno::ELOOP);
    assert_eq!(step(&course, &moved(MOST_HOPS)), Step::End(end));
    assert_eq!(step(&course, &moved(u32::MAX)), Step::End(end));
}

#[test]
fn device_memory_is_nobody_elses() {
    let course = Course::new(None, None, 0);
    let first = Datagram {
        len: 5,
        unreadable: true,
        ..Default::default()
    };
    assert_eq!(step(&course, &first), Step::End(End::Failed(errno::EIO)));
}

#[test]
fn what_is_queued_moves_before_the_source_ends() {
    let course = Course::new(None, None, 0);
    let finished = Source {
        finished: true,
        error: 111,
        ..QUIET
    };
    let none = Moved::default();
    let first = datagram(5);
    assert_eq!(
        course.step(Some(&first), &finished, &OPEN, &none),
        Step::Pass
    );
    assert_eq!(
        course.step(None, &finished, &OPEN, &none),
        Step::End(End::Eof)
    );
}

#[test]
fn a_drain_with_an_error_ends_it_at_once() {
    let course = Course::new(None, None, 0);
    let drain = Drain { error: 111, ..OPEN };
    let none = Moved::default();
    let end = Step::End(End::Drain);
    assert_eq!(course.step(None, &QUIET, &drain, &none), end);
    assert_eq!(course.step(Some(&datagram(5)), &QUIET, &drain, &none), end);
    // What it was told as a source of another splice is no error of its own.
    let told = Drain {
        error: errno::EFBIG,
        ..OPEN
    };
    assert_eq!(
        course.step(Some(&datagram(5)), &QUIET, &told, &none),
        Step::Pass
    );
}

#[test]
fn turns_are_bounded_by_datagrams_and_by_bytes() {
    let course = Course::new(None, None, 0);
    let first = datagram(5);
    let at =
        |datagrams, bytes| course.step(Some(&first), &QUIET, &OPEN, &Moved { datagrams, bytes });
    assert_eq!(at(DATAGRAMS - 1, TURN - 1), Step::Pass);
    assert_eq!(at(DATAGRAMS, 0), Step::Yield);
    assert_eq!(at(1, TURN), Step::Yield);
}

/// What happens before the splice looks again.
#[derive(Clone, Debug)]
struct Look {
    /// Datagrams that come.
    arrive: Vec<Datagram>,
    /// What is seen of the source, if nothing is queued.
    source: Source,
    /// What is seen of the drain.
    drain: Drain,
    /// It takes what it is given.
    room: bool,
    /// Ticks that pass.
    ticks: u8,
}

/// Looks until the splice has ended; returns the bytes moved, what is still queued, and the end.
///
/// - No datagram is cut, none is moved that makes it more than the maximum, and the first one
///   that is not moved stays the first.
/// - An end has its cause.
/// - A busy splice lets others have their turn.
fn run(max: Option<u64>, looks: &[Look]) -> (u64, VecDeque<Datagram>, Option<End>) {
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
                    let part = |len| Datagram {
                        len,
                        segment: 0,
                        ..first
                    };
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
                        (End::Max, Some(first)) => {
                            assert!(u64::from(first.len) > left || left == 0)
                        }
                        (End::Max, None) => assert_eq!(left, 0),
                        (End::Failed(errno::ELOOP), Some(first)) => {
                            assert!(first.hops >= MOST_HOPS)
                        }
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

fn any_datagram() -> impl Strategy<Value = Datagram> {
    let hops = prop_oneof![9 => 0u32..3, 1 => 120u32..140];
    (
        0u32..3000,
        prop_oneof![Just(0u32), 1u32..1500],
        hops,
        prop::bool::weighted(0.02),
    )
        .prop_map(|(len, segment, hops, unreadable)| Datagram {
            len,
            segment,
            hops,
            unreadable,
        })
}

fn any_look() -> impl Strategy<Value = Look> {
    let source = (
        prop::bool::weighted(0.05),
        prop_oneof![9 => Just(0), 1 => Just(111)],
    );
    let drain = (
        prop::bool::weighted(0.97),
        prop::bool::weighted(0.03),
        prop_oneof![9 => Just(0), 1 => 1i32..133],
    );
    (
        prop::collection::vec(any_datagram(), 0..90),
        source,
        drain,
        any::<bool>(),
        any::<u8>(),
    )
        .prop_map(
            |(arrive, (finished, error), (connected, shut, broken), room, ticks)| Look {
                arrive,
                source: Source {
                    finished,
                    error,
                    ..QUIET
                },
                drain: Drain {
                    connected,
                    connecting: false,
                    shut,
                    error: broken,
                },
                room,
                ticks,
            },
        )
}

proptest! {
    #[test]
    fn any_course(max in prop::option::of(1u64..200_000), looks in prop::collection::vec(any_look(), 1..20)) {
        let came: u64 = looks.iter().flat_map(|l| &l.arrive).map(|d| u64::from(d.len)).sum();
        let (moved, queue, end) = run(max, &looks);
        prop_assert!(max.is_none_or(|max| moved <= max));
        if end.is_none() {
            let queued: u64 = queue.iter().map(|d| u64::from(d.len)).sum();
            prop_assert_eq!(moved + queued, came);
        }
    }
}
