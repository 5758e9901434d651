// SPDX-License-Identifier: GPL-2.0

//! The pages that a pool has: in its mapping, on their way to a peer, and spare ones; and how
//! many of them may be kept.

use crate::charge::{Account, Holder};
use crate::fifo::Fifo;
use crate::ground::page::OwnedPage;
use kernel::prelude::*;

/// Sent pages that a small pool may keep waiting for, to use them again.
pub(super) const LEAVING_MIN: usize = 2048;

/// A pool's pages.
pub(crate) struct State {
    /// The pages of the mapping; `None` where it was unmapped.
    pub(super) slots: KVVec<Option<OwnedPage>>,
    /// Sent, and perhaps still read by somebody: oldest first.
    pub(super) leaving: Fifo,
    /// How many of those the context has been told of.
    pub(super) told: usize,
    /// Ours alone, content unknown.
    pub(super) spare: KVVec<OwnedPage>,
    /// How many the last send wanted, if it did not find them.
    pub(super) wanted: usize,
    /// Pages that were reserved and are not settled: there is room to take all of them back.
    pub(super) promised: usize,
}

impl State {
    /// Of a new pool.
    pub(super) fn new(slots: KVVec<Option<OwnedPage>>) -> Self {
        Self {
            slots,
            leaving: Fifo::new(),
            told: 0,
            spare: KVVec::new(),
            wanted: 0,
            promised: 0,
        }
    }

    /// Whether a send would find its pages, if `room` more may be charged: one, or as many
    /// as the last one that did not; but no more than there are with those on their way.
    pub(crate) fn has_room(&self, room: usize) -> bool {
        let sent = self.spare.len() + self.leaving.len();
        let wanted = self.wanted.min(room.saturating_add(sent)).max(1);
        let missing = wanted.saturating_sub(room);
        let pages = Iterator::chain(self.spare.iter(), self.leaving.iter());
        pages.filter(|page| page.is_back()).take(missing).count() == missing
    }

    /// Lets go of what is only kept for later: spare pages, and sent ones that are home.
    pub(crate) fn trim(&mut self, account: &Account) {
        account.uncharge(Holder::Pool, self.spare.len());
        self.spare.clear();
        for _ in 0..self.leaving.len() {
            let Some(page) = self.leaving.pop() else {
                break;
            };
            if page.is_back() || self.leaving.push(page).is_some() {
                account.uncharge(Holder::Pool, 1);
            }
        }
        self.tell(account);
    }

    /// Makes room to take back `n` more pages than were promised room before.
    pub(super) fn promise(&mut self, n: usize) -> Result {
        let promised = self.promised + n;
        self.leaving.reserve(promised)?;
        self.spare.reserve(promised, GFP_KERNEL)?;
        self.promised = promised;
        Ok(())
    }

    /// `n` reserved pages are settled.
    pub(super) fn settled(&mut self, n: usize) {
        self.promised = self.promised.saturating_sub(n);
    }

    /// Lets the context know how many sent pages are in line.
    pub(super) fn tell(&mut self, account: &Account) {
        let now = self.leaving.len();
        account.leaving_changed(now as i64 - self.told as i64);
        self.told = now;
    }

    /// Keeps a page for later, as long as that is not more than the mapping has.
    pub(super) fn keep(&mut self, account: &Account, page: OwnedPage) {
        let room = self.spare.len() < self.slots.len().max(LEAVING_MIN);
        if !room || self.spare.push_within_capacity(page).is_err() {
            account.uncharge(Holder::Pool, 1);
        }
    }

    /// Puts a page in line to be used again. Where the line is too long, the oldest are let
    /// go, unless they are still on their way.
    pub(super) fn retire(&mut self, account: &Account, page: OwnedPage) {
        let most = self.slots.len().max(LEAVING_MIN);
        for _ in 0..2 {
            if self.leaving.len() < most {
                break;
            }
            let Some(old) = self.leaving.pop() else {
                break;
            };
            if old.is_back() || self.leaving.push(old).is_some() {
                account.uncharge(Holder::Pool, 1);
            }
        }
        if self.leaving.push(page).is_some() {
            account.uncharge(Holder::Pool, 1);
        }
    }
}
