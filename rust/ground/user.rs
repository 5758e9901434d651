// SPDX-License-Identifier: GPL-2.0

//! The user to whom pinned pages are charged.

use super::shim;
use core::ptr::NonNull;
use kernel::bindings;

/// A counted reference to a `struct user_struct`.
///
/// # Invariants
///
/// The pointer is valid and this value owns one of its references.
pub(crate) struct User(NonNull<bindings::user_struct>);

// SAFETY: The structure is reference counted and its counter atomic.
unsafe impl Send for User {}
// SAFETY: As above.
unsafe impl Sync for User {}

impl User {
    /// The user that the current task runs as; `None` for one whom no limit binds
    /// (`CAP_IPC_LOCK`).
    pub(crate) fn current_if_limited() -> Option<Self> {
        // SAFETY: Called by a task in its own context.
        if unsafe { shim::zcio_user_unlimited() } {
            return None;
        }
        Self::current()
    }

    /// The user that the current task runs as.
    pub(crate) fn current() -> Option<Self> {
        // SAFETY: Called by a task in its own context.
        let user = unsafe { shim::zcio_user_get() };
        // INVARIANT: `zcio_user_get` returns a new reference.
        NonNull::new(user).map(Self)
    }

    /// Charges `pages`; false if that would pass the current task's RLIMIT_MEMLOCK.
    pub(crate) fn charge(&self, pages: usize) -> bool {
        // SAFETY: The user is valid by the type invariant.
        unsafe { shim::zcio_user_charge(self.0.as_ptr(), pages) }
    }

    /// How many pages the current task's RLIMIT_MEMLOCK lets be charged.
    pub(crate) fn room(&self) -> usize {
        // SAFETY: The user is valid by the type invariant.
        unsafe { shim::zcio_user_room(self.0.as_ptr()) }
    }

    /// Takes back a charge of `pages`.
    pub(crate) fn uncharge(&self, pages: usize) {
        // SAFETY: The user is valid by the type invariant.
        unsafe { shim::zcio_user_uncharge(self.0.as_ptr(), pages) }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference, and give it back once.
        unsafe { shim::zcio_user_put(self.0.as_ptr()) }
    }
}
