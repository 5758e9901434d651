// SPDX-License-Identifier: GPL-2.0

//! A spinlock for what is done in bottom halves, too: as long as it is held, they are disabled
//! on this processor.

use super::shim;
use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::SpinLock;
use kernel::types::NotThreadSafe;

/// Bottom halves are disabled on this processor as long as this lives.
///
/// # Invariants
///
/// They were disabled when it was made, and are enabled when it is dropped.
pub(crate) struct BhOff(NotThreadSafe);

impl BhOff {
    /// From now on.
    pub(crate) fn new() -> Self {
        // SAFETY: Undone by `drop`, on this processor: the value stays in its thread, which
        // stays there. INVARIANT: They are disabled.
        unsafe { shim::zcio_bh_disable() };
        Self(NotThreadSafe)
    }
}

impl Drop for BhOff {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { shim::zcio_bh_enable() }
    }
}

/// See above.
pub(crate) struct SoftLock<T>(Pin<KBox<SpinLock<T>>>);

impl<T> SoftLock<T> {
    /// Of `inner`.
    pub(crate) fn new(inner: T) -> Result<Self> {
        let lock = KBox::pin_init(new_spinlock!(inner, "zcio_soft"), GFP_KERNEL_ACCOUNT)?;
        Ok(Self(lock))
    }

    /// Does something under the lock.
    pub(crate) fn with<R>(&self, what: impl FnOnce(&mut T, &BhOff) -> R) -> R
    where
        T: Unpin,
    {
        let off = BhOff::new();
        let mut guard = self.0.lock();
        what(&mut guard, &off)
    }

    /// The same; `None` if the lock is not free.
    pub(crate) fn try_with<R>(&self, what: impl FnOnce(&mut T, &BhOff) -> R) -> Option<R>
    where
        T: Unpin,
    {
        let off = BhOff::new();
        let mut guard = self.0.try_lock()?;
        Some(what(&mut guard, &off))
    }
}
