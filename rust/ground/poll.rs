// SPDX-License-Identifier: GPL-2.0

//! `poll()` on a file of the device: who waits for it, and waking them.

use super::shim;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::prelude::*;

/// Frees what receivers have read and the stack keeps to free later: pages sent to them come
/// home only then.
pub(crate) fn free_read() {
    // SAFETY: No preconditions but a task's context, in which everything here runs.
    unsafe { shim::zcio_free_read_skbs() }
}

/// A `poll()` under way.
///
/// # Invariants
///
/// The file is open and the table null or valid for `'a`. The file keeps the [`Waiters`]
/// alive that it is added to: nobody polls a file that is released.
pub(crate) struct Poller<'a> {
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
    _life: PhantomData<&'a ()>,
}

impl Poller<'_> {
    /// # Safety
    ///
    /// What the type's invariants say must hold.
    pub(super) unsafe fn from_raw(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> Self {
        // INVARIANT: By the safety requirement.
        Self {
            file,
            table,
            _life: PhantomData,
        }
    }
}

/// Those who poll a file, with a tick that lets them look again.
///
/// # Invariants
///
/// The pointer came from `zcio_waiters_alloc` and is freed by `drop` only.
pub(crate) struct Waiters(NonNull<shim::zcio_waiters>);

// SAFETY: A wait queue and a timer have locks of their own.
unsafe impl Send for Waiters {}
// SAFETY: As above.
unsafe impl Sync for Waiters {}

impl Waiters {
    /// Nobody yet.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: No preconditions.
        let waiters = unsafe { shim::zcio_waiters_alloc() };
        // INVARIANT: Just allocated, and ours.
        Ok(Self(NonNull::new(waiters).ok_or(ENOMEM)?))
    }

    /// Adds whoever polls. They must look for what they wait for after this, and call
    /// [`look_soon`](Self::look_soon) if it is not there.
    pub(crate) fn add(&self, poller: &Poller<'_>) {
        // SAFETY: All three are valid by the types' invariants; whoever is added is taken out
        // before the file is released, which lives no longer than the waiters.
        unsafe { shim::zcio_waiters_add(self.0.as_ptr(), poller.file, poller.table) }
    }

    /// Wakes those who wait until something is readable, as it is now.
    pub(crate) fn wake(&self) {
        // SAFETY: Valid by the type invariant.
        unsafe { shim::zcio_waiters_wake(self.0.as_ptr()) }
    }

    /// Makes them look again in a few milliseconds. Does nothing if there are none.
    pub(crate) fn look_soon(&self) {
        // SAFETY: Valid by the type invariant.
        unsafe { shim::zcio_waiters_look_soon(self.0.as_ptr()) }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        // SAFETY: Valid by the type invariant, and freed once. Nobody is in the queue: the
        // files that were polled are released.
        unsafe { shim::zcio_waiters_free(self.0.as_ptr()) }
    }
}
