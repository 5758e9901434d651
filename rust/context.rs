// SPDX-License-Identifier: GPL-2.0

//! A context: one open of the device, with its account, counters and settings.

use crate::charge::{Account, Holder};
use crate::ground::errno;
use crate::ground::uapi::{Counters, Payload};
use crate::plan::ownership::WHYS;
use crate::writable::Writable;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::Arc;

/// Calls that move fewer bytes than this copy them, unless the context says otherwise.
///
/// Under emulation (Documentation/benchmarks.md), sends of less take less when they are copied
/// than when pages are swapped, and receives about the same. On real hardware it has not been
/// measured.
pub(crate) const COPY_THRESHOLD: u64 = 16 << 10;

/// One open of `/dev/zcio`.
pub(crate) struct Context {
    /// Where its pages are charged.
    pub(crate) account: Account,
    /// What it received.
    pub(crate) rx: Totals,
    /// What it sent.
    pub(crate) tx: Totals,
    /// Its pools, and who polls it.
    pub(crate) writable: Writable,
    threshold: Atomic<u64>,
    target: Atomic<u64>,
}

impl Context {
    /// A new one, for the current task's user.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                account: Account::open(),
                rx: Totals::new(),
                tx: Totals::new(),
                writable: Writable::new()?,
                threshold: Atomic::new(COPY_THRESHOLD),
                target: Atomic::new(u64::MAX),
            },
            GFP_KERNEL,
        )?)
    }

    /// Does what may be ENOBUFS; then what the pools only keep for later is let go, and it is
    /// done again. Not under the mutex of a window or a pool.
    pub(crate) fn within_limit(&self, mut run: impl FnMut() -> Result) -> Result {
        run().or_else(|e| {
            if e != errno::no_buffers() {
                return Err(e);
            }
            self.writable.trim(&self.account);
            run()
        })
    }

    /// Charges `n` pages.
    pub(crate) fn charge(&self, holder: Holder, n: usize) -> Result {
        self.within_limit(|| self.account.charge(holder, n))
    }

    /// Calls that move fewer bytes copy them.
    pub(crate) fn threshold(&self) -> u64 {
        self.threshold.load(Relaxed)
    }

    /// Changes that.
    pub(crate) fn set_threshold(&self, bytes: u64) {
        self.threshold.store(bytes, Relaxed);
    }

    /// Pages of pools that are mapped from now on lie at or below this address.
    pub(crate) fn target(&self) -> u64 {
        self.target.load(Relaxed)
    }

    /// Changes that.
    pub(crate) fn set_target(&self, reach: u64) {
        self.target.store(reach, Relaxed);
    }
}

/// What became of a call with a structure.
pub(crate) struct Done {
    /// What it returns.
    pub(crate) count: usize,
    /// Whether that is all the caller must know; the structure says the rest.
    pub(crate) count_says_all: bool,
}

/// What one call moved, or one payload.
#[derive(Clone, Copy, Default)]
pub(crate) struct Moved {
    /// Bytes not copied.
    pub(crate) mapped: u64,
    /// Bytes copied, by reason.
    pub(crate) copied: [u64; WHYS],
}

impl Moved {
    /// Bytes copied, for whatever reason.
    fn copied(&self) -> u64 {
        self.copied.iter().sum()
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.mapped + self.copied()
    }

    /// What the extended form says of a payload that moved so, beside what `told` has.
    pub(crate) fn report(&self, told: Payload) -> Payload {
        Payload {
            why: self.why(),
            mapped: self.mapped,
            copied: self.copied(),
            ..told
        }
    }

    /// The `ZCIO_WHY_*` bits of the reasons.
    fn why(&self) -> u32 {
        let bit = |(i, &n): (usize, &u64)| u32::from(n > 0) << i;
        self.copied.iter().enumerate().map(bit).sum()
    }

    /// Adds another one's bytes.
    pub(crate) fn add(&mut self, other: &Moved) {
        self.mapped += other.mapped;
        for (sum, n) in self.copied.iter_mut().zip(other.copied) {
            *sum += n;
        }
    }
}

/// One direction's totals.
pub(crate) struct Totals {
    calls: Atomic<u64>,
    payloads: Atomic<u64>,
    mapped: Atomic<u64>,
    copied: [Atomic<u64>; WHYS],
}

impl Totals {
    fn new() -> Self {
        Self {
            calls: Atomic::new(0),
            payloads: Atomic::new(0),
            mapped: Atomic::new(0),
            copied: [const { Atomic::new(0) }; WHYS],
        }
    }

    /// Counts one call.
    pub(crate) fn count(&self, payloads: usize, moved: &Moved) {
        self.calls.add(1u64, Relaxed);
        self.payloads.add(payloads as u64, Relaxed);
        self.mapped.add(moved.mapped, Relaxed);
        for (total, &n) in self.copied.iter().zip(&moved.copied) {
            if n > 0 {
                total.add(n, Relaxed);
            }
        }
    }

    /// The totals as user space gets them.
    pub(crate) fn read(&self) -> Counters {
        let mut out = Counters {
            calls: self.calls.load(Relaxed),
            payloads: self.payloads.load(Relaxed),
            mapped: self.mapped.load(Relaxed),
            ..Default::default()
        };
        for (to, from) in out.why.iter_mut().zip(&self.copied) {
            *to = from.load(Relaxed);
            out.copied += *to;
        }
        out
    }
}

#[kunit_tests(zcio_context)]
mod tests {
    use super::*;
    use crate::charge::all_contexts;
    use crate::plan::ownership::Why;

    #[test]
    fn contexts_are_counted_while_they_live() -> Result {
        let before = all_contexts();
        let context = Context::new()?;
        let other = context.clone();
        assert_eq!(all_contexts(), before + 1);
        drop(context);
        assert_eq!(all_contexts(), before + 1);
        drop(other);
        assert_eq!(all_contexts(), before);
        Ok(())
    }

    #[test]
    fn threshold_is_what_was_set() -> Result {
        let context = Context::new()?;
        assert_eq!(context.threshold(), COPY_THRESHOLD);
        for bytes in [1, u64::MAX, 0] {
            context.set_threshold(bytes);
            assert_eq!(context.threshold(), bytes);
        }
        Ok(())
    }

    /// 100 bytes mapped, 7 and 20 copied for two reasons.
    fn moved() -> Moved {
        let mut moved = Moved {
            mapped: 100,
            ..Default::default()
        };
        moved.copied[Why::Linear as usize] = 7;
        moved.copied[Why::Device as usize] = 20;
        moved
    }

    #[test]
    fn report_names_every_reason() {
        let report = moved().report(Payload::default());
        assert_eq!(moved().bytes(), 127);
        assert_eq!(report.mapped, 100);
        assert_eq!(report.copied, 27);
        assert_eq!(
            report.why,
            1 << Why::Linear as u32 | 1 << Why::Device as u32
        );
        assert_eq!(Moved::default().report(Payload::default()).why, 0);
    }

    #[test]
    fn totals_add_up_by_reason() {
        let totals = Totals::new();
        let mut sum = Moved::default();
        for _ in 0..3 {
            totals.count(2, &moved());
            sum.add(&moved());
        }
        let read = totals.read();
        assert_eq!(read.calls, 3);
        assert_eq!(read.payloads, 6);
        assert_eq!(read.mapped, sum.mapped);
        assert_eq!(read.copied, 81);
        assert_eq!(read.why[Why::Linear as usize], 21);
        assert_eq!(read.why[Why::Device as usize], 60);
        assert_eq!(read.why.iter().sum::<u64>(), read.copied);
    }
}
