// SPDX-License-Identifier: GPL-2.0

//! The files in debugfs, and what they say about each point.

use super::{plant, Point};
use core::pin::Pin;
use kernel::debugfs::{Scope, ScopedDir};
use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::time::delay::fsleep;
use kernel::time::{Delta, Instant, Monotonic};
use kernel::uaccess::UserSliceReader;

/// The longest delay in microseconds: well below what the kernel takes for a hung task.
const MAX_DELAY: u64 = 10_000_000;

/// Longest word that can be written to one of the files.
const MAX_WORD: usize = 32;

/// The points and their names, in the order of their numbers.
const POINTS: [(Point, &CStr); 18] = [
    (Point::ReadvChecked, c"readv_checked"),
    (Point::ReadvGathered, c"readv_gathered"),
    (Point::ReadvPlaced, c"readv_placed"),
    (Point::ReadvReported, c"readv_reported"),
    (Point::WindowPut, c"window_put"),
    (Point::WindowFault, c"window_fault"),
    (Point::WindowUnmapped, c"window_unmapped"),
    (Point::WritevChecked, c"writev_checked"),
    (Point::WritevReserved, c"writev_reserved"),
    (Point::PoolSwap, c"pool_swap"),
    (Point::WritevSwapped, c"writev_swapped"),
    (Point::WritevSent, c"writev_sent"),
    (Point::WritevSettling, c"writev_settling"),
    (Point::PoolFault, c"pool_fault"),
    (Point::PoolUnmapped, c"pool_unmapped"),
    (Point::IoctlRan, c"ioctl_ran"),
    (Point::SpliceGathered, c"splice_gathered"),
    (Point::SpliceSent, c"splice_sent"),
];

const _: () = {
    let mut n = 0;
    while n < POINTS.len() {
        assert!(POINTS[n].0 as usize == n);
        n += 1;
    }
};

/// What is known and wanted of one point.
struct State {
    hits: Atomic<u64>,
    delay: Atomic<u64>,
}

static STATES: [State; POINTS.len()] = [const {
    State {
        hits: Atomic::new(0),
        delay: Atomic::new(0),
    }
}; POINTS.len()];

/// Counts a hit, then waits as long as the point's delay says.
pub(super) fn hold(point: Point) {
    let Some(state) = STATES.get(point as usize) else {
        return;
    };
    state.hits.add(1, Relaxed);
    let start = Instant::<Monotonic>::now();
    while start.elapsed() < Delta::from_micros(state.delay.load(Relaxed) as i64) {
        fsleep(Delta::from_millis(1));
    }
}

/// `/sys/kernel/debug/zcio`, there as long as this value.
pub(crate) struct Files {
    _dir: Pin<KBox<Scope<()>>>,
}

impl Files {
    /// Makes the files.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            _dir: KBox::pin_init(Scope::dir((), c"zcio", fill), GFP_KERNEL)?,
        })
    }
}

fn fill<'data>(nothing: &'data (), dir: &ScopedDir<'data, '_>) {
    dir.write_only_callback_file(c"plant", nothing, &plant_bug);
    let hits = dir.dir(c"hits");
    let delays = dir.dir(c"delay_us");
    for ((_, name), state) in POINTS.iter().zip(&STATES) {
        hits.read_callback_file(name, state, &print_hits);
        delays.read_write_callback_file(name, state, &print_delay, &set_delay);
    }
}

fn print_hits(state: &State, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(to, "{}", state.hits.load(Relaxed))
}

fn print_delay(state: &State, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(to, "{}", state.delay.load(Relaxed))
}

fn set_delay(state: &State, from: &mut UserSliceReader) -> Result {
    let mut buffer = [0; MAX_WORD];
    let delay = word(from, &mut buffer)?
        .parse::<u64>()
        .map_err(|_| EINVAL)?;
    if delay > MAX_DELAY {
        return Err(EINVAL);
    }
    state.delay.store(delay, Relaxed);
    Ok(())
}

fn plant_bug(_: &(), from: &mut UserSliceReader) -> Result {
    plant::plant(word(from, &mut [0; MAX_WORD])?)
}

/// What was written, without white space around it.
fn word<'b>(from: &mut UserSliceReader, buffer: &'b mut [u8; MAX_WORD]) -> Result<&'b str> {
    let bytes = buffer.get_mut(..from.len()).ok_or(EINVAL)?;
    from.read_slice(bytes)?;
    let text = core::str::from_utf8(bytes).map_err(|_| EINVAL)?;
    Ok(text.trim())
}
