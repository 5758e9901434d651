// SPDX-License-Identifier: GPL-2.0

//! Pools: pages to send from, and the pages that stand in for those that were sent.
//!
//! A pool owns one reference to each page of its mapping, to each page that is on its
//! way to a peer, and to a few spare ones. Once a page's count is back to one, the stack,
//! the device and a peer on this machine are done with it, and it can be used again: no
//! completion has to be waited for.
//!
//! A page in a slot can be written to, so it is never sealed (`OwnedPage::seal`), whether it
//! is sent from there (`share`) or not.
//!
//! Lock order: the pool's mutex comes after the mmap lock, in the calls and in the fault
//! handler alike.

mod state;

use crate::charge::Holder;
use crate::context::Context;
use crate::ground::debug::{reached, Point};
use crate::ground::page::OwnedPage;
use crate::ground::poll::free_read;
use crate::ground::vma::{Found, Mapping};
use crate::plan::transmit::at_rest;
use crate::plan::PAGE_SIZE;
use crate::source::Source;
use crate::stretch::{Slots, Stretch};
use core::ops::Range;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};

pub(crate) use state::State;

/// Most pages in one pool: 1 GiB.
pub(crate) const MAX_PAGES: usize = 1 << 18;

/// How many sent pages that are still busy are looked at before giving up.
const LOOKS: usize = 64;

/// The object behind one pool mapping.
pub(crate) struct Pool {
    /// The context that it was mapped from.
    pub(crate) context: Arc<Context>,
    /// Where all its pages come from.
    pub(crate) source: Source,
    state: Arc<Mutex<State>>,
}

impl Pool {
    /// A pool of `pages` pages of zeros, charged.
    pub(crate) fn new(context: Arc<Context>, pages: usize) -> Result<Self> {
        let source = Source::new(context.target())?;
        let mut slots = KVVec::with_capacity(pages, GFP_KERNEL_ACCOUNT)?;
        context.charge(Holder::Pool, pages)?;
        for _ in 0..pages {
            let page = source
                .page()
                .and_then(|page| Ok(slots.push(Some(page), GFP_KERNEL)?));
            if let Err(e) = page {
                context.account.uncharge(Holder::Pool, pages);
                return Err(e);
            }
        }
        context.account.allocated(pages);
        let state = Arc::pin_init(new_mutex!(State::new(slots), "zcio_pool"), GFP_KERNEL)
            .inspect_err(|_| context.account.uncharge(Holder::Pool, pages))?;
        let pool = Self {
            context,
            source,
            state,
        };
        pool.context.writable.join(&pool.state)?;
        Ok(pool)
    }

    /// Whether these pages lie at or below an address now.
    pub(crate) fn are_within(&self, mut pages: Range<usize>, reach: u64) -> bool {
        let state = self.state.lock();
        let good = |page: &OwnedPage| page.within(reach);
        pages.all(|n| matches!(state.slots.get(n), Some(Some(page)) if good(page)))
    }

    /// `n` pages of zeros to stand in for pages that will be sent, recycled where possible.
    /// Also makes room to take back as many, so that nothing after this can fail: each of
    /// them, or the page that it stands in for, comes to `give_back`, `went`, `sent` or
    /// `restore`.
    pub(crate) fn reserve(&self, n: usize) -> Result<KVVec<OwnedPage>> {
        let mut pages = KVVec::with_capacity(n, GFP_KERNEL)?;
        {
            let mut state = self.state.lock();
            state.wanted = 0;
            state.promise(n)?;
            let mut looks = LOOKS;
            while pages.len() < n && looks > 0 {
                let Some(page) = state.spare.pop().or_else(|| state.leaving.pop()) else {
                    break;
                };
                if page.refs() == 1 {
                    pages.push(page, GFP_KERNEL)?;
                } else {
                    looks -= 1;
                    state.retire(&self.context.account, page);
                }
            }
            state.tell(&self.context.account);
        }
        let charged = self.charge_rest(&mut pages, n);
        pages.iter().for_each(OwnedPage::unseal);
        if let Err(e) = charged {
            self.state.lock().settled(n - pages.len());
            self.give_back(pages);
            self.context.writable.full();
            return Err(e);
        }
        pages.iter().for_each(OwnedPage::clear);
        let missing = n - pages.len();
        for done in 0..missing {
            match self.source.page() {
                Ok(page) => pages.push(page, GFP_KERNEL)?,
                Err(e) => {
                    let account = &self.context.account;
                    account.uncharge(Holder::Pool, missing - done);
                    self.state.lock().settled(missing - done);
                    self.give_back(pages);
                    return Err(e);
                }
            }
        }
        self.context.account.allocated(missing);
        Ok(pages)
    }

    /// Charges what is missing of `n` pages. At the limit, every sent page is looked at
    /// first, of this pool and then of the context's others; those that are still on their
    /// way stay charged.
    fn charge_rest(&self, pages: &mut KVVec<OwnedPage>, n: usize) -> Result {
        let account = &self.context.account;
        if account.charge(Holder::Pool, n - pages.len()).is_ok() {
            return Ok(());
        }
        free_read();
        {
            let mut state = self.state.lock();
            for _ in 0..state.leaving.len() {
                let Some(page) = state.leaving.pop() else {
                    break;
                };
                if pages.len() < n && page.refs() == 1 {
                    // There is room for all of them.
                    let _ = pages.push_within_capacity(page);
                } else if page.is_back() || state.leaving.push(page).is_some() {
                    account.uncharge(Holder::Pool, 1);
                }
            }
            state.tell(account);
        }
        let charged = self.context.charge(Holder::Pool, n - pages.len());
        charged.inspect_err(|_| self.wants(n))
    }

    /// A send did not find `n` pages: as many are waited for.
    pub(crate) fn wants(&self, n: usize) {
        self.state.lock().wanted = n;
    }

    /// Takes back pages that were reserved, or that stood in and are not needed.
    pub(crate) fn give_back(&self, pages: KVVec<OwnedPage>) {
        let mut state = self.state.lock();
        state.settled(pages.len());
        for page in pages {
            state.keep(&self.context.account, page);
        }
    }

    /// Takes the payload pages of `areas` out, in order, and lets `stand_ins` take their
    /// places; neighbouring areas share one zap and one insert. What could be written through
    /// the mapping before can't be after this returns.
    ///
    /// EFAULT, with nothing changed, if one of them has been unmapped.
    pub(crate) fn swap(
        &self,
        at: &Found<'_, Self>,
        areas: impl Iterator<Item = Slots> + Clone,
        stand_ins: &mut KVVec<OwnedPage>,
        taken: &mut KVVec<OwnedPage>,
    ) -> Result {
        let mut state = self.state.lock();
        let wanted = || areas.clone().flat_map(|area| area.payload);
        let mut count = 0;
        for index in wanted() {
            if !matches!(state.slots.get(index), Some(Some(_))) {
                return Err(EFAULT);
            }
            count += 1;
        }
        if count == 0 || stand_ins.len() < count {
            return Err(EINVAL);
        }
        taken.reserve(count, GFP_KERNEL)?;

        for index in wanted() {
            if let (Some(slot), Some(page)) = (state.slots.get_mut(index), stand_ins.pop()) {
                if let Some(old) = slot.replace(page) {
                    // Room was made above.
                    let _ = taken.push_within_capacity(old);
                }
            }
        }
        reached(Point::PoolSwap);
        let mut stretch = Stretch::default();
        for area in areas {
            // The pages between two neighbours' payloads are few: head and tail room.
            let payload = area.payload.clone();
            if !stretch.goes_on_at(area.area.start) {
                stretch.map_again(at, &state.slots);
            }
            stretch.add(payload, area.area.end);
        }
        stretch.map_again(at, &state.slots);
        Ok(())
    }

    /// Takes back pages that were reserved, and that went to the stack themselves.
    pub(crate) fn went(&self, pages: impl Iterator<Item = OwnedPage>) {
        self.sent(pages.map(|page| (0, page, (0, 0))));
    }

    /// Leaves pages with the stack. For each: its index, the page, and the payload bytes in
    /// it that have not gone (offset, bytes): they move to the page that stands in.
    pub(crate) fn sent(&self, pages: impl Iterator<Item = (usize, OwnedPage, (usize, usize))>) {
        let mut state = self.state.lock();
        for (index, page, (offset, len)) in pages {
            if len > 0 {
                if let Some(Some(slot)) = state.slots.get(index) {
                    slot.copy_from(&page, offset, len);
                }
            }
            state.settled(1);
            state.retire(&self.context.account, page);
        }
        state.tell(&self.context.account);
    }

    /// Puts pages back that were not sent, each at its index; what stood in for them becomes
    /// spare. `find` finds the mapping at an index, if that is still there.
    pub(crate) fn restore<'g>(
        &self,
        find: impl Fn(usize) -> Option<Found<'g, Self>>,
        pages: impl Iterator<Item = (usize, OwnedPage)>,
    ) {
        let mut state = self.state.lock();
        let mut stretch = Stretch::default();
        let mut at = None;
        for (index, page) in pages {
            state.settled(1);
            let Some(Some(slot)) = state.slots.get_mut(index) else {
                // Unmapped meanwhile, and so is the page that stood in for this one.
                self.context.account.uncharge(Holder::Pool, 1);
                continue;
            };
            if page.is_sealed() && page.refs() != 1 {
                // Not sent, but somebody has come by it: a packet tap, say. It stays theirs.
                slot.copy_from(&page, 0, PAGE_SIZE);
                state.retire(&self.context.account, page);
                continue;
            }
            page.unseal();
            let stand_in = core::mem::replace(slot, page);
            // Nobody else can get it before the mutex is free, and by then it is unmapped.
            state.keep(&self.context.account, stand_in);
            if !stretch.goes_on_at(index) {
                if let Some(at) = &at {
                    stretch.map_again(at, &state.slots);
                }
                at = find(index);
            }
            if at.is_some() {
                stretch.add(index..index + 1, index + 1);
            }
        }
        if let Some(at) = &at {
            stretch.map_again(at, &state.slots);
        }
        state.tell(&self.context.account);
    }

    /// Another reference to each of the pages, which stay where they are; `to` has room.
    /// EFAULT, with some of them in `to`, if one has been unmapped.
    pub(crate) fn share(
        &self,
        pages: impl Iterator<Item = usize>,
        to: &mut KVVec<OwnedPage>,
    ) -> Result {
        let state = self.state.lock();
        for index in pages {
            let Some(Some(page)) = state.slots.get(index) else {
                return Err(EFAULT);
            };
            // There is room, as the caller promises.
            to.push_within_capacity(page.share()).map_err(|_| EINVAL)?;
        }
        Ok(())
    }

    /// How many of the pages nobody holds but this pool and its mapping. EFAULT if one has
    /// been unmapped.
    pub(crate) fn at_rest(&self, pages: Range<usize>) -> Result<usize> {
        let state = self.state.lock();
        let slots = state.slots.get(pages).ok_or(EFAULT)?;
        let mut count = 0;
        for slot in slots {
            let page = slot.as_ref().ok_or(EFAULT)?;
            count += usize::from(at_rest(page.holders()));
        }
        Ok(count)
    }

    /// Writes zeros to `len` bytes from `offset` of page `first` on, which may lie in several
    /// pages.
    pub(crate) fn zero(&self, first: usize, offset: usize, len: usize) {
        let state = self.state.lock();
        let (mut from, end) = (offset, offset + len);
        for page in state.slots.get(first..).into_iter().flatten() {
            if from >= end {
                return;
            }
            let here = (PAGE_SIZE - from % PAGE_SIZE).min(end - from);
            if let Some(page) = page {
                page.zero(from % PAGE_SIZE, here);
            }
            from += here;
        }
    }

    /// Writes zeros to pages that were not swapped: head and tail room of what was sent.
    pub(crate) fn clear(&self, pages: Range<usize>) {
        let state = self.state.lock();
        for page in state.slots.get(pages).into_iter().flatten().flatten() {
            page.clear();
        }
    }
}

impl Mapping for Pool {
    fn fault(&self, at: &Found<'_, Self>, index: usize) -> Result {
        reached(Point::PoolFault);
        let state = self.state.lock();
        match state.slots.get(index) {
            Some(Some(page)) => at.insert(index, &[page.borrow()]),
            _ => Err(EFAULT),
        }
    }

    fn unmapped(&self, pages: Range<usize>) {
        reached(Point::PoolUnmapped);
        let mut state = self.state.lock();
        for slot in state.slots.get_mut(pages).into_iter().flatten() {
            if slot.take().is_some() {
                self.context.account.uncharge(Holder::Pool, 1);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.context.writable.leave(&self.state);
        let state = self.state.lock();
        let mapped = state.slots.iter().flatten().count();
        let account = &self.context.account;
        account.leaving_changed(-(state.told as i64));
        let held = mapped + state.leaving.len() + state.spare.len();
        account.uncharge(Holder::Pool, held);
    }
}

#[kunit_tests(zcio_pool)]
mod tests {
    use super::state::LEAVING_MIN;
    use super::*;

    fn held(context: &Context) -> u64 {
        context.account.pages(Holder::Pool)
    }

    fn ids(pages: &[OwnedPage]) -> Result<KVVec<usize>> {
        let mut ids = KVVec::with_capacity(pages.len(), GFP_KERNEL)?;
        for page in pages {
            ids.push(page.id(), GFP_KERNEL)?;
        }
        Ok(ids)
    }

    #[test]
    fn pages_are_charged_while_the_pool_lives() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 8)?;
        assert_eq!(held(&context), 8);
        let slots = &pool.state.lock().slots;
        assert_eq!(slots.len(), 8);
        assert!(slots.iter().flatten().all(|page| page.refs() == 1));
        assert_eq!(slots.iter().flatten().count(), 8);
        Ok(())
    }

    #[test]
    fn nothing_is_charged_when_the_pool_is_gone() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 8)?;
        pool.give_back(pool.reserve(3)?);
        pool.went(pool.reserve(5)?.into_iter());
        assert_eq!(held(&context), 13);
        drop(pool);
        assert_eq!(held(&context), 0);
        Ok(())
    }

    #[test]
    fn unmapped_pages_are_given_back_once() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 8)?;
        pool.unmapped(2..5);
        assert_eq!(held(&context), 5);
        pool.unmapped(0..4);
        assert_eq!(held(&context), 3);
        pool.unmapped(0..8);
        assert_eq!(held(&context), 0);
        Ok(())
    }

    #[test]
    fn spare_pages_are_reserved_before_new_ones() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 8)?;
        let pages = pool.reserve(4)?;
        assert_eq!(held(&context), 12);
        let old = ids(&pages)?;
        pool.give_back(pages);
        assert_eq!(held(&context), 12);
        let pages = pool.reserve(5)?;
        assert_eq!(held(&context), 13);
        let again = ids(&pages)?;
        assert!(old.iter().all(|id| again.contains(id)));
        pool.give_back(pages);
        Ok(())
    }

    #[test]
    fn sent_pages_are_reserved_again() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 8)?;
        let pages = pool.reserve(4)?;
        let old = ids(&pages)?;
        pool.went(pages.into_iter());
        assert_eq!(pool.state.lock().leaving.len(), 4);
        let pages = pool.reserve(4)?;
        assert_eq!(held(&context), 12);
        let again = ids(&pages)?;
        assert!(old.iter().all(|id| again.contains(id)));
        pool.give_back(pages);
        Ok(())
    }

    #[test]
    fn line_of_sent_pages_is_bounded() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 1)?;
        pool.went(pool.reserve(LEAVING_MIN + 3)?.into_iter());
        assert_eq!(pool.state.lock().leaving.len(), LEAVING_MIN);
        assert_eq!(held(&context), 1 + LEAVING_MIN as u64);
        Ok(())
    }

    /// References to each of `pages`, as the stack has them.
    fn hold(pages: &[OwnedPage]) -> Result<KVVec<OwnedPage>> {
        let mut held = KVVec::with_capacity(pages.len(), GFP_KERNEL)?;
        for page in pages {
            held.push(page.share(), GFP_KERNEL)?;
        }
        Ok(held)
    }

    #[test]
    fn pages_on_their_way_are_not_let_go() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 1)?;
        let pages = pool.reserve(LEAVING_MIN + 3)?;
        let stack = hold(&pages)?;
        pool.went(pages.into_iter());
        assert_eq!(held(&context), 1 + stack.len() as u64);
        Ok(())
    }

    /// Two calls at once: what the first one takes back does not take the other one's room.
    #[test]
    fn each_reservation_has_its_room() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 1)?;
        let reserved = [pool.reserve(500)?, pool.reserve(500)?, pool.reserve(500)?];
        let mut stack = KVVec::new();
        for pages in reserved {
            for page in hold(&pages)? {
                stack.push(page, GFP_KERNEL)?;
            }
            pool.went(pages.into_iter());
        }
        assert_eq!(pool.state.lock().leaving.len(), 1500);
        assert_eq!(held(&context), 1501);
        pool.give_back(pool.reserve(500)?);
        assert_eq!(pool.state.lock().promised, 0);
        Ok(())
    }

    #[test]
    fn what_is_only_kept_for_later_is_given_up() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 4)?;
        pool.give_back(pool.reserve(3)?);
        let pages = pool.reserve(5)?;
        let stack = hold(pages.get(..2).ok_or(EINVAL)?)?;
        pool.went(pages.into_iter());
        assert_eq!(held(&context), 9);
        context.writable.trim(&context.account);
        assert_eq!(held(&context), 4 + stack.len() as u64);
        assert_eq!(context.account.leaving(), stack.len() as u64);
        Ok(())
    }

    #[test]
    fn room_is_a_page_that_is_home_or_may_be_charged() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context, 4)?;
        let has_room = |wanted, more| {
            let mut state = pool.state.lock();
            state.wanted = wanted;
            state.has_room(more)
        };
        assert!(!has_room(0, 0));
        assert!(has_room(0, 1));
        let pages = pool.reserve(2)?;
        let mut stack = hold(&pages)?;
        pool.went(pages.into_iter());
        assert!(!has_room(0, 0));
        assert!(stack.pop().is_some());
        assert!(has_room(0, 0));
        assert!(!has_room(2, 0));
        assert!(has_room(2, 1));
        assert!(stack.pop().is_some());
        assert!(has_room(2, 0));
        // More than there can be is not waited for.
        assert!(has_room(100, 0));
        Ok(())
    }

    #[test]
    fn page_not_sent_comes_back_to_its_slot() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 4)?;
        let mut stand_ins = pool.reserve(1)?;
        let stand_in = stand_ins.pop().ok_or(EINVAL)?;
        let stood_in = stand_in.id();
        let page = {
            let mut state = pool.state.lock();
            let slot = state.slots.get_mut(2).ok_or(EINVAL)?;
            slot.replace(stand_in).ok_or(EINVAL)?
        };
        let id = page.id();
        pool.restore(|_| None, core::iter::once((2, page)));
        let state = pool.state.lock();
        assert_eq!(state.slots[2].as_ref().map(OwnedPage::id), Some(id));
        assert_eq!(ids(&state.spare)?.as_slice(), &[stood_in]);
        assert_eq!(held(&context), 5);
        Ok(())
    }

    #[test]
    fn page_for_an_unmapped_slot_is_let_go() -> Result {
        let context = Context::new()?;
        let pool = Pool::new(context.clone(), 4)?;
        let mut pages = pool.reserve(1)?;
        let page = pages.pop().ok_or(EINVAL)?;
        pool.unmapped(2..3);
        assert_eq!(held(&context), 4);
        pool.restore(|_| None, core::iter::once((2, page)));
        pool.unmapped(0..4);
        drop(pool);
        assert_eq!(held(&context), 0);
        Ok(())
    }
}
