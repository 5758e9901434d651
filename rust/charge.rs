// SPDX-License-Identifier: GPL-2.0

//! Counting pages, and charging them to the user who made them stay.
//!
//! Every page that a window or a pool holds is counted three times: against the user's
//! RLIMIT_MEMLOCK (unless no limit binds them), for its context, and for the whole
//! module. All three come back to zero when the last page is gone, which the tests check.

use crate::ground::errno;
use crate::ground::user::User;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

/// What kind of object holds pages.
#[derive(Clone, Copy)]
pub(crate) enum Holder {
    /// Windows.
    Window,
    /// Pools, with the pages on their way to a peer.
    Pool,
}

static ALL: Pages = Pages::new();
static CONTEXTS: Atomic<i64> = Atomic::new(0);

/// Pages held, by kind.
struct Pages {
    window: Atomic<i64>,
    pool: Atomic<i64>,
}

impl Pages {
    const fn new() -> Self {
        Self {
            window: Atomic::new(0),
            pool: Atomic::new(0),
        }
    }

    fn of(&self, holder: Holder) -> &Atomic<i64> {
        match holder {
            Holder::Window => &self.window,
            Holder::Pool => &self.pool,
        }
    }
}

/// One context's account.
pub(crate) struct Account {
    /// `None` for a user whom no limit binds.
    user: Option<User>,
    pages: Pages,
    /// Of the pools' pages, those in line to be used again.
    leaving: Atomic<i64>,
    /// Pages allocated for pools, ever.
    allocated: Atomic<u64>,
}

impl Account {
    /// An account for the current task's user.
    pub(crate) fn open() -> Self {
        CONTEXTS.add(1, Relaxed);
        Self {
            user: User::current_if_limited(),
            pages: Pages::new(),
            leaving: Atomic::new(0),
            allocated: Atomic::new(0),
        }
    }

    /// Charges `n` pages; ENOBUFS if the user's limit does not allow them.
    pub(crate) fn charge(&self, holder: Holder, n: usize) -> Result {
        if n == 0 {
            return Ok(());
        }
        if let Some(user) = &self.user {
            if !user.charge(n) {
                return Err(errno::no_buffers());
            }
        }
        self.pages.of(holder).add(n as i64, Relaxed);
        ALL.of(holder).add(n as i64, Relaxed);
        Ok(())
    }

    /// How many pages the current task could charge now.
    pub(crate) fn room(&self) -> usize {
        self.user.as_ref().map_or(usize::MAX, User::room)
    }

    /// Takes back a charge of `n` pages.
    pub(crate) fn uncharge(&self, holder: Holder, n: usize) {
        if n == 0 {
            return;
        }
        if let Some(user) = &self.user {
            user.uncharge(n);
        }
        self.pages.of(holder).add(-(n as i64), Relaxed);
        ALL.of(holder).add(-(n as i64), Relaxed);
    }

    /// Pages charged now.
    pub(crate) fn pages(&self, holder: Holder) -> u64 {
        self.pages.of(holder).load(Relaxed) as u64
    }

    /// So many more of the pools' pages (or fewer) were sent and are not known to be back.
    pub(crate) fn leaving_changed(&self, by: i64) {
        self.leaving.add(by, Relaxed);
    }

    /// How many these are now.
    pub(crate) fn leaving(&self) -> u64 {
        self.leaving.load(Relaxed) as u64
    }

    /// Pages were allocated for a pool.
    pub(crate) fn allocated(&self, n: usize) {
        self.allocated.add(n as u64, Relaxed);
    }

    /// How many that were in all.
    pub(crate) fn ever_allocated(&self) -> u64 {
        self.allocated.load(Relaxed)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        CONTEXTS.add(-1, Relaxed);
    }
}

/// Pages held in the whole module.
pub(crate) fn all_pages(holder: Holder) -> u64 {
    ALL.of(holder).load(Relaxed) as u64
}

/// Contexts in the whole module.
pub(crate) fn all_contexts() -> u64 {
    CONTEXTS.load(Relaxed) as u64
}

#[kunit_tests(zcio_charge)]
mod tests {
    use super::*;

    /// Tests run as a kernel thread, which no limit binds: made to be bound all the same.
    fn limited() -> Account {
        let mut account = Account::open();
        account.user = User::current();
        account
    }

    #[test]
    fn kernel_thread_has_no_limit() {
        assert!(Account::open().user.is_none());
    }

    #[test]
    fn kinds_are_counted_by_themselves() -> Result {
        for account in [Account::open(), limited()] {
            account.charge(Holder::Window, 3)?;
            account.charge(Holder::Pool, 5)?;
            assert_eq!(account.pages(Holder::Window), 3);
            assert_eq!(account.pages(Holder::Pool), 5);
            account.uncharge(Holder::Window, 1);
            assert_eq!(account.pages(Holder::Window), 2);
            assert_eq!(account.pages(Holder::Pool), 5);
            account.uncharge(Holder::Window, 2);
            account.uncharge(Holder::Pool, 5);
            assert_eq!(account.pages(Holder::Window), 0);
            assert_eq!(account.pages(Holder::Pool), 0);
        }
        Ok(())
    }

    #[test]
    fn above_the_limit_nothing_is_charged() -> Result {
        let account = limited();
        account.charge(Holder::Window, 1)?;
        for n in [1 << 40, usize::MAX / 2, usize::MAX] {
            assert!(account.charge(Holder::Window, n) == Err(errno::no_buffers()));
            assert!(account.charge(Holder::Pool, n) == Err(errno::no_buffers()));
        }
        assert_eq!(account.pages(Holder::Window), 1);
        assert_eq!(account.pages(Holder::Pool), 0);
        account.uncharge(Holder::Window, 1);
        Ok(())
    }

    #[test]
    fn what_is_given_back_can_be_charged_again() -> Result {
        let account = limited();
        // As much as there is room for, up to a page.
        let room = (0..40).rev().map(|bit| 1usize << bit).fold(0, |sum, n| {
            let more = account.charge(Holder::Pool, n).is_ok();
            sum + if more { n } else { 0 }
        });
        assert!(room > 0);
        assert_eq!(account.pages(Holder::Pool), room as u64);
        assert!(account.charge(Holder::Window, 1).is_err());
        assert_eq!(account.room(), 0);
        account.uncharge(Holder::Pool, 1);
        assert_eq!(account.room(), 1);
        assert!(account.charge(Holder::Window, 1).is_ok());
        account.uncharge(Holder::Window, 1);
        account.uncharge(Holder::Pool, room - 1);
        Ok(())
    }
}
