// SPDX-License-Identifier: GPL-2.0

//! Whether a context is writable: whether a send from one of its pools would find pages to
//! stand in for those that it takes.
//!
//! Lock order: the mutex here comes before a pool's, and is not held with any other.

use crate::charge::Account;
use crate::ground::poll::{free_read, Poller, Waiters};
use crate::pool::State;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};

type Pools = KVVec<Arc<Mutex<State>>>;

/// The pools of one context, and who waits for room in them.
pub(crate) struct Writable {
    pools: Pin<KBox<Mutex<Pools>>>,
    waiters: Waiters,
}

impl Writable {
    /// Of a context that has no pool yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            pools: KBox::pin_init(new_mutex!(KVVec::new(), "zcio_pools"), GFP_KERNEL)?,
            waiters: Waiters::new()?,
        })
    }

    /// A pool was mapped.
    pub(crate) fn join(&self, pool: &Arc<Mutex<State>>) -> Result {
        Ok(self.pools.lock().push(pool.clone(), GFP_KERNEL_ACCOUNT)?)
    }

    /// A pool is gone.
    pub(crate) fn leave(&self, pool: &Arc<Mutex<State>>) {
        self.pools.lock().retain(|other| !Arc::ptr_eq(other, pool));
    }

    /// A send found no room: whoever waits for some has to look again.
    pub(crate) fn full(&self) {
        self.waiters.look_soon();
    }

    /// `poll()`: whether there is room. If there is none, the poller looks again soon.
    pub(crate) fn poll(&self, poller: &Poller<'_>, account: &Account) -> bool {
        self.waiters.add(poller);
        let mut has_room = self.has_room(account);
        if !has_room {
            free_read();
            has_room = self.has_room(account);
        }
        if !has_room {
            self.waiters.look_soon();
        }
        has_room
    }

    /// Lets go of what pools keep for later. At the limit others may need it more.
    pub(crate) fn trim(&self, account: &Account) {
        free_read();
        for pool in self.pools.lock().iter() {
            pool.lock().trim(account);
        }
    }

    /// Without a pool: whether one page more may be charged.
    fn has_room(&self, account: &Account) -> bool {
        let room = account.room();
        let pools = self.pools.lock();
        match pools.is_empty() {
            true => room > 0,
            false => pools.iter().any(|pool| pool.lock().has_room(room)),
        }
    }
}
