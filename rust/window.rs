// SPDX-License-Identifier: GPL-2.0

//! Windows: where received payloads are mapped.
//!
//! A window knows of each of its pages whether there can be a page table entry. Pages
//! with none need no zapping, and a page that is read before a payload came shows zeros.
//!
//! Lock order: the window's mutex comes after the mmap lock, in the calls and in the
//! fault handler alike.

use crate::charge::Holder;
use crate::context::Context;
use crate::ground::debug::{reached, Point};
use crate::ground::page::{OwnedPage, PageRef, Run};
use crate::ground::vma::{Found, Mapping};
use crate::plan::marks;
use crate::plan::parts::common;
use core::ops::Range;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};

/// Most pages in one window: 4 GiB.
pub(crate) const MAX_PAGES: usize = 1 << 20;

/// The object behind one window mapping.
pub(crate) struct Window {
    /// The context that it was mapped from.
    pub(crate) context: Arc<Context>,
    pages: usize,
    state: Pin<KBox<Mutex<State>>>,
}

/// Sets of pages of the window (see `plan::marks`).
struct State {
    /// Pages that may have a page table entry.
    present: KVVec<u64>,
    /// Those of them that are charged: with a payload, or written to. The others show the
    /// kernel's page of zeros.
    held: KVVec<u64>,
}

impl Window {
    /// A window of `pages` pages, all empty.
    pub(crate) fn new(context: Arc<Context>, pages: usize) -> Result<Self> {
        let words = marks::words(pages);
        let state = State {
            present: KVVec::from_elem(0, words, GFP_KERNEL_ACCOUNT)?,
            held: KVVec::from_elem(0, words, GFP_KERNEL_ACCOUNT)?,
        };
        Ok(Self {
            context,
            pages,
            state: KBox::pin_init(new_mutex!(state, "zcio_window"), GFP_KERNEL)?,
        })
    }

    /// Empties the pages `stretch`, then puts pages into it: `runs` are indices of the
    /// window with the pages that follow each other from there. What is in place already
    /// stays as it is. All or nothing: after an error the stretch is empty, but for that of
    /// a charge (ENOBUFS), which leaves all as it was.
    pub(crate) fn put<'p>(
        &self,
        at: &Found<'_, Self>,
        stretch: Range<usize>,
        runs: impl Iterator<Item = (usize, Run<'p>)> + Clone,
    ) -> Result {
        if stretch.end > self.pages {
            return Err(EFAULT);
        }
        let account = &self.context.account;
        let mut state = self.state.lock();
        let old = marks::count(&state.held, stretch.clone());
        let new = runs.clone().map(|(_, run)| run.len()).sum::<usize>();
        account.charge(Holder::Window, new.saturating_sub(old))?;
        // What is in place is not seen by the search for pages to take out.
        for (index, run) in runs.clone() {
            for (part, _) in run.parts().filter(|(_, in_place)| *in_place) {
                marks::remove(&mut state.present, index + part.start..index + part.end);
            }
        }
        let gone = state.clear(at, stretch.clone());
        reached(Point::WindowPut);

        let result = runs.into_iter().try_for_each(|(index, run)| {
            let all = index..index + run.len();
            if all.start < stretch.start || all.end > stretch.end {
                return Err(EFAULT);
            }
            marks::insert(&mut state.present, all.clone());
            marks::insert(&mut state.held, all);
            run.parts().try_for_each(|(part, in_place)| {
                let place = index + part.start..index + part.end;
                // Some of what was in place lay between others that had to go.
                let put = if in_place {
                    common(place, gone.clone())
                } else {
                    place
                };
                let pages = run.pages(put.start - index..put.end - index);
                at.insert(put.start, pages)
            })
        });
        let spare = if result.is_err() {
            marks::insert(&mut state.present, stretch.clone());
            state.clear(at, stretch);
            old.max(new)
        } else {
            old.saturating_sub(new)
        };
        account.uncharge(Holder::Window, spare);
        result
    }

    fn forget(&self, pages: Range<usize>) {
        let mut state = self.state.lock();
        let held = marks::count(&state.held, pages.clone());
        marks::remove(&mut state.present, pages.clone());
        marks::remove(&mut state.held, pages);
        self.context.account.uncharge(Holder::Window, held);
    }
}

impl State {
    /// Empties pages, with one zap from the first that may be there to the last, which it
    /// returns.
    fn clear(&mut self, at: &Found<'_, Window>, pages: Range<usize>) -> Range<usize> {
        let start = pages.start;
        let Some(used) = marks::bounds(&self.present, pages) else {
            return start..start;
        };
        at.zap(used.clone());
        marks::remove(&mut self.present, used.clone());
        marks::remove(&mut self.held, used.clone());
        used
    }
}

impl Mapping for Window {
    /// A page without a payload: zeros. In a read-only window all such pages are one; in a
    /// writable one it takes a page, which is charged.
    fn fault(&self, at: &Found<'_, Self>, index: usize) -> Result {
        let place = index..index + 1;
        if !at.may_be_written() {
            let zero = PageRef::of_zeros().ok_or(ENOMEM)?;
            reached(Point::WindowFault);
            let mut state = self.state.lock();
            marks::insert(&mut state.present, place);
            return at.insert(index, &[zero]);
        }
        let page = OwnedPage::to_fault_in()?;
        reached(Point::WindowFault);
        let account = &self.context.account;
        self.context.within_limit(|| {
            let mut state = self.state.lock();
            // A page that was there and is not (MADV_DONTNEED) is still charged.
            let fresh = 1 - marks::count(&state.held, place.clone());
            account.charge(Holder::Window, fresh)?;
            let result = at.insert(index, &[page.borrow()]);
            if result.is_ok() {
                marks::insert(&mut state.present, place.clone());
                marks::insert(&mut state.held, place.clone());
            } else {
                account.uncharge(Holder::Window, fresh);
            }
            result
        })
    }

    fn unmapped(&self, pages: Range<usize>) {
        reached(Point::WindowUnmapped);
        self.forget(pages);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.forget(0..self.pages);
    }
}

#[kunit_tests(zcio_window)]
mod tests {
    use super::*;

    /// Marks pages as if payloads were there, and charges them.
    fn hold(window: &Window, pages: Range<usize>) -> Result {
        let mut state = window.state.lock();
        window.context.account.charge(Holder::Window, pages.len())?;
        marks::insert(&mut state.present, pages.clone());
        marks::insert(&mut state.held, pages);
        Ok(())
    }

    fn held(context: &Context) -> u64 {
        context.account.pages(Holder::Window)
    }

    #[test]
    fn every_page_has_its_marks() -> Result {
        let context = Context::new()?;
        for pages in [1, 63, 64, 65, 1000, MAX_PAGES] {
            let window = Window::new(context.clone(), pages)?;
            hold(&window, pages - 1..pages)?;
            let state = window.state.lock();
            assert_eq!(marks::count(&state.held, 0..pages), 1);
            assert_eq!(
                marks::bounds(&state.present, 0..pages),
                Some(pages - 1..pages)
            );
        }
        assert_eq!(held(&context), 0);
        Ok(())
    }

    #[test]
    fn empty_window_holds_nothing() -> Result {
        let context = Context::new()?;
        let window = Window::new(context.clone(), 100)?;
        assert_eq!(held(&context), 0);
        window.unmapped(0..100);
        assert_eq!(held(&context), 0);
        Ok(())
    }

    #[test]
    fn unmapping_gives_back_what_was_held() -> Result {
        let context = Context::new()?;
        let window = Window::new(context.clone(), 200)?;
        hold(&window, 10..20)?;
        hold(&window, 60..130)?;
        // A page of zeros that was read is in the page tables, and charged to nobody.
        marks::insert(&mut window.state.lock().present, 0..1);
        window.unmapped(0..15);
        assert_eq!(held(&context), 75);
        window.unmapped(0..15);
        assert_eq!(held(&context), 75);
        window.unmapped(64..65);
        assert_eq!(held(&context), 74);
        assert_eq!(
            marks::bounds(&window.state.lock().present, 0..200),
            Some(15..130)
        );
        drop(window);
        assert_eq!(held(&context), 0);
        Ok(())
    }
}
