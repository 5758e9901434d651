// SPDX-License-Identifier: GPL-2.0
//! The course of a splice (`plan::splice`).

use proptest::prelude::*;
use zcio_plan::invariants::splice::{run, told, Turn};
use zcio_plan::plan::splice::{errno, After, Course, Drain, End, Next, Sent, Source, TURN};

const OPEN: Drain = Drain {
    connected: true,
    connecting: false,
    shut: false,
    error: 0,
};

fn ready(bytes: u32) -> Source {
    Source {
        ready: bytes,
        ..Default::default()
    }
}

fn moves(bytes: u32) -> Next {
    Next::Move {
        bytes,
        urgent: false,
    }
}

#[test]
fn the_maximum_cuts_a_batch_and_ends_it() {
    let mut course = Course::new(Some(1000), None, 0);
    assert_eq!(course.next(&ready(700), &OPEN, 0), moves(700));
    assert_eq!(course.moved(700, Sent::Taken(700), 0, 1), After::Go);
    assert_eq!(course.next(&ready(700), &OPEN, 700), moves(300));
    assert_eq!(
        course.moved(300, Sent::Taken(300), 0, 1),
        After::End(End::Max)
    );
    assert_eq!(course.bytes(), 1000);
    assert_eq!(course.next(&ready(1), &OPEN, 0), Next::End(End::Max));
}

#[test]
fn data_before_the_end_of_the_source_is_moved_first() {
    let course = Course::new(None, None, 0);
    for end in [
        Source {
            finished: true,
            ..Default::default()
        },
        Source {
            error: 104,
            gone: true,
            ..Default::default()
        },
    ] {
        assert_eq!(course.next(&Source { ready: 5, ..end }, &OPEN, 0), moves(5));
        assert!(matches!(course.next(&end, &OPEN, 0), Next::End(_)));
    }
}

#[test]
fn end_of_file_comes_before_a_drain_that_broke_too() {
    let course = Course::new(None, None, 0);
    let broken = Drain { shut: true, ..OPEN };
    let eof = Source {
        finished: true,
        ..Default::default()
    };
    assert_eq!(course.next(&eof, &broken, 0), Next::End(End::Eof));
    let more = Source { ready: 1, ..eof };
    assert_eq!(course.next(&more, &broken, 0), Next::End(End::Drain));
    assert_eq!(course.next(&ready(0), &broken, 0), Next::End(End::Drain));
}

#[test]
fn an_error_that_the_drain_was_told_is_no_reason() {
    let told = |error| Drain { error, ..OPEN };
    for error in [errno::EFBIG, errno::ETIMEDOUT, errno::EPIPE, errno::ELOOP] {
        assert!(!told(error).broken());
        let closed = Drain {
            connected: false,
            ..told(error)
        };
        assert!(closed.broken());
    }
    assert!(told(104).broken());
}

#[test]
fn a_drain_that_connects_is_waited_for() {
    let course = Course::new(None, None, 0);
    let connecting = Drain {
        connected: false,
        connecting: true,
        ..OPEN
    };
    assert_eq!(course.next(&ready(9), &connecting, 0), Next::Wait);
}

#[test]
fn a_turn_is_over_after_so_many_bytes() {
    let course = Course::new(None, None, 0);
    assert_eq!(course.next(&ready(u32::MAX), &OPEN, 0), moves(TURN));
    assert_eq!(course.next(&ready(9), &OPEN, TURN - 2), moves(2));
    assert_eq!(course.next(&ready(9), &OPEN, TURN), Next::Yield);
}

#[test]
fn idle_counts_from_the_last_move() {
    let mut course = Course::new(None, Some(10), 100);
    assert_eq!(course.until_idle(105), Some(5));
    assert_eq!(course.moved(4, Sent::Taken(4), 0, 108), After::Go);
    assert_eq!(course.until_idle(110), Some(8));
    assert_eq!(course.moved(4, Sent::Full, 0, 112), After::WaitForDrain);
    assert_eq!(course.until_idle(118), Some(0));
    assert_eq!(Course::new(None, None, 0).until_idle(1 << 60), None);
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => any::<u32>().prop_map(Sent::Taken),
        2 => (0u32..5000).prop_map(Sent::Taken),
        1 => Just(Sent::Full),
        1 => (0u32..5000).prop_map(Sent::Short),
        1 => Just(Sent::Failed),
    ]
}

fn error() -> impl Strategy<Value = i32> {
    prop_oneof![20 => Just(0), 1 => 1..133i32, 1 => Just(errno::EFBIG)]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.05)
}

prop_compose! {
    fn turn()(
        arrive in prop_oneof![Just(0), 1u32..100_000, Just(u32::MAX)],
        (urgent, finished, gone, broken) in (rarely(), rarely(), rarely(), error()),
        (connected, connecting, shut, error) in
            (prop::bool::weighted(0.9), rarely(), rarely(), error()),
        sent in sent(),
        ticks in any::<u8>(),
    ) -> Turn {
        Turn {
            arrive,
            source: Source { ready: 0, urgent, finished, gone, error: broken },
            drain: Drain { connected, connecting: connecting && !connected, shut, error },
            sent,
            ticks,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 6 } else { 2000 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_course_keeps_what_was_promised(
        max in prop_oneof![Just(None), (1u64..1_000_000).prop_map(Some)],
        idle in prop_oneof![Just(None), (0u64..2000).prop_map(Some)],
        turns in prop::collection::vec(turn(), 0..40),
    ) {
        let (moved, end) = run(max, idle, &turns);
        if let Some(max) = max {
            prop_assert!(moved <= max);
            prop_assert_eq!(moved == max, end == Some(End::Max));
        }
    }

    #[test]
    fn every_end_is_told_as_promised(e in 1..133i32) {
        for end in [
            End::Eof, End::Stopped, End::Max, End::Idle, End::Drain, End::Closed,
            End::Source(e), End::Failed(e),
        ] {
            told(end);
        }
    }
}
