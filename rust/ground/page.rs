// SPDX-License-Identifier: GPL-2.0

//! Pages: owned references, and pages borrowed from a receive queue.

use super::shim;
use crate::plan::dma::{reaches, Zone};
use crate::plan::parts::parts;
use crate::plan::PAGE_SIZE;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::prelude::*;

const _: () = assert!(PAGE_SIZE == kernel::page::PAGE_SIZE);

/// One reference to a page that this module allocated (order 0, plain memory).
///
/// # Invariants
///
/// The pointer is a valid page, and this value owns one of its references.
#[repr(transparent)]
pub(crate) struct OwnedPage(NonNull<bindings::page>);

// SAFETY: A page reference may be used and given back on any thread.
unsafe impl Send for OwnedPage {}
// SAFETY: The methods that take `&self` only read the reference count.
unsafe impl Sync for OwnedPage {}

impl OwnedPage {
    /// A page of zeros to copy received bytes into, charged to the memory cgroup of the
    /// current task.
    pub(crate) fn to_receive() -> Result<Self> {
        Self::alloc(Zone::All, false)
    }

    /// The same in a page fault, which cannot be told that there is no memory.
    pub(crate) fn to_fault_in() -> Result<Self> {
        Self::alloc(Zone::All, true)
    }

    /// A page of zeros for a pool, likewise.
    pub(crate) fn to_send(zone: Zone) -> Result<Self> {
        Self::alloc(zone, false)
    }

    fn alloc(zone: Zone, fault: bool) -> Result<Self> {
        // SAFETY: No preconditions; may sleep, which the callers' contexts allow.
        let page = unsafe { shim::zcio_page_alloc(zone as u8, fault) };
        // INVARIANT: A page just allocated has one reference, which is now ours.
        Ok(Self(NonNull::new(page).ok_or(ENOMEM)?))
    }

    /// Another reference to the same page.
    pub(crate) fn share(&self) -> Self {
        // SAFETY: By the type invariant the page is valid, and has at least our reference.
        unsafe { shim::zcio_page_get(self.0.as_ptr()) };
        // INVARIANT: The reference just taken.
        Self(self.0)
    }

    /// Marks a page that is out of every mapping and has no other reference: from here on
    /// nobody can write to it, which a receiver on this machine may rely on. A page is never
    /// sealed while it is in a pool's slot.
    pub(crate) fn seal(&self) {
        // SAFETY: By the type invariant the page is valid. Nobody else knows it.
        unsafe { shim::zcio_page_seal(self.0.as_ptr(), true) }
    }

    /// Takes the mark away, before somebody can write to the page again.
    pub(crate) fn unseal(&self) {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::zcio_page_seal(self.0.as_ptr(), false) }
    }

    /// Whether the page has the mark.
    pub(crate) fn is_sealed(&self) -> bool {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::zcio_page_sealed(self.0.as_ptr()) }
    }

    /// Whether the page lies at or below address `reach`.
    pub(crate) fn within(&self, reach: u64) -> bool {
        // SAFETY: By the type invariant the page is valid.
        reaches(reach, unsafe { shim::zcio_page_pfn(self.0.as_ptr()) })
    }

    /// How many references the page has; 1 means that nobody but the owner of this value
    /// can reach it.
    pub(crate) fn refs(&self) -> i32 {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::zcio_page_refs(self.0.as_ptr()) }
    }

    /// How many references it has beside those of user mappings. While nobody can map it
    /// (its pool is locked), this is never too few.
    pub(crate) fn holders(&self) -> i32 {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::zcio_page_holders(self.0.as_ptr()) }
    }

    /// Whether some process has it mapped.
    pub(crate) fn mapped(&self) -> bool {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::zcio_page_mapped(self.0.as_ptr()) }
    }

    /// Whether a page that was sent can be had again, or let go: nobody else has it any more,
    /// or a process on this machine has received it, and pays for it.
    pub(crate) fn is_back(&self) -> bool {
        self.refs() == 1 || self.mapped()
    }

    /// Writes zeros to all of it.
    pub(crate) fn clear(&self) {
        // SAFETY: By the type invariant the page is valid. Its content is plain memory that
        // others may at most read or write as bytes at the same time.
        unsafe { shim::zcio_page_clear(self.0.as_ptr()) }
    }

    /// Copies `len` bytes at `offset` from the same place of `from`.
    pub(crate) fn copy_from(&self, from: &OwnedPage, offset: usize, len: usize) {
        if !in_page(offset, len) {
            return;
        }
        // SAFETY: Both pages are valid and the range lies inside a page.
        unsafe { shim::zcio_page_copy(self.0.as_ptr(), from.0.as_ptr(), offset as u32, len as u32) }
    }

    /// Writes zeros to `len` bytes at `offset`.
    pub(crate) fn zero(&self, offset: usize, len: usize) {
        self.borrow().zero(offset, len);
    }

    /// Tells pages apart, for tests.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// The page, to be mapped or sent while this value lives.
    pub(crate) fn borrow(&self) -> PageRef<'_> {
        PageRef(self.0, PhantomData)
    }
}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference, and give it back once.
        unsafe { shim::zcio_page_put(self.0.as_ptr()) }
    }
}

fn in_page(offset: usize, len: usize) -> bool {
    offset <= PAGE_SIZE && len <= PAGE_SIZE - offset
}

/// A page that somebody else keeps alive for `'a`.
///
/// # Invariants
///
/// The pointer is a page that stays referenced for `'a`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct PageRef<'a>(NonNull<bindings::page>, PhantomData<&'a OwnedPage>);

impl<'a> PageRef<'a> {
    /// # Safety
    ///
    /// `page` must stay referenced for `'a`.
    pub(super) unsafe fn from_raw(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(page, PhantomData)
    }

    pub(super) fn as_ptr(self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// The page `n` behind this one in the same folio.
    ///
    /// # Safety
    ///
    /// The folio must have that page.
    pub(super) unsafe fn nth(self, n: usize) -> Self {
        // SAFETY: The caller promises that the page exists; it lives as long as its folio.
        let page = unsafe { shim::zcio_page_nth(self.0.as_ptr(), n as u32) };
        // INVARIANT: One reference keeps all pages of a folio.
        Self(NonNull::new(page).unwrap_or(self.0), PhantomData)
    }

    /// The kernel's page of zeros, which is never freed.
    pub(crate) fn of_zeros() -> Option<PageRef<'static>> {
        // SAFETY: No preconditions.
        let page = unsafe { shim::zcio_zero_page() };
        // INVARIANT: The zero page lives forever.
        NonNull::new(page).map(|page| PageRef(page, PhantomData))
    }

    /// Zeros `len` bytes at `offset`.
    ///
    /// Only for pages that are `OwnedPage`s or judged so: nobody can see the page but the
    /// caller, or processes that offered it.
    pub(crate) fn zero(self, offset: usize, len: usize) {
        if len > 0 && in_page(offset, len) {
            // SAFETY: The page is valid by the type invariant; the range lies inside it.
            unsafe { shim::zcio_page_zero(self.as_ptr(), offset as u32, len as u32) };
        }
    }
}

/// Pages in the order in which they are to be mapped: some that somebody else keeps alive for
/// `'a`, some that the list itself owns.
///
/// # Invariants
///
/// Each of `pages` stays referenced for `'a`, or is one of `owned`.
pub(crate) struct PageList<'a> {
    pages: KVVec<NonNull<bindings::page>>,
    owned: KVVec<OwnedPage>,
    /// Which of them are in place already: ranges that rise and do not touch.
    in_place: KVVec<Range<usize>>,
    _borrowed: PhantomData<PageRef<'a>>,
}

impl<'a> PageList<'a> {
    /// An empty one, with room for so many pages.
    pub(crate) fn with_capacity(pages: usize) -> Result<Self> {
        // INVARIANT: There are no pages.
        Ok(Self {
            pages: KVVec::with_capacity(pages, GFP_KERNEL)?,
            owned: KVVec::new(),
            in_place: KVVec::new(),
            _borrowed: PhantomData,
        })
    }

    pub(crate) fn push(&mut self, page: PageRef<'a>) -> Result {
        // INVARIANT: It stays referenced for `'a`.
        Ok(self.pages.push(page.0, GFP_KERNEL)?)
    }

    pub(crate) fn push_owned(&mut self, page: OwnedPage) -> Result {
        let at = page.0;
        self.owned.push(page, GFP_KERNEL)?;
        // INVARIANT: It is one of `owned`, from which nothing is ever taken.
        Ok(self.pages.push(at, GFP_KERNEL)?)
    }

    /// One that lies already where it is to be.
    pub(crate) fn push_in_place(&mut self, page: OwnedPage) -> Result {
        let at = self.pages.len();
        match self.in_place.last_mut().filter(|last| last.end == at) {
            Some(last) => last.end += 1,
            None => self.in_place.push(at..at + 1, GFP_KERNEL)?,
        }
        self.push_owned(page)
    }

    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The page that came last.
    pub(crate) fn last(&self) -> Option<PageRef<'_>> {
        // INVARIANT: It stays referenced for `'a` or while `self` is there.
        self.pages.last().map(|page| PageRef(*page, PhantomData))
    }

    /// Those of a range, for as long as the list is there; `None` if there are not so many.
    pub(crate) fn run(&self, range: Range<usize>) -> Option<Run<'_>> {
        let pages = self.pages.get(range.clone())?;
        // SAFETY: `PageRef` is a transparent pointer to a page. By the type invariant each
        // stays referenced for `'a` or while `self` is there, and the result lives no longer.
        let pages = unsafe { core::slice::from_raw_parts(pages.as_ptr().cast(), pages.len()) };
        Some(Run {
            pages,
            first: range.start,
            in_place: &self.in_place,
        })
    }
}

/// Pages that follow each other in a list, and are to in a mapping.
#[derive(Clone, Copy)]
pub(crate) struct Run<'p> {
    pages: &'p [PageRef<'p>],
    /// Number of the first in the list.
    first: usize,
    in_place: &'p [Range<usize>],
}

impl<'p> Run<'p> {
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The pages of a range of it; none if there are not so many.
    pub(crate) fn pages(&self, range: Range<usize>) -> &'p [PageRef<'p>] {
        self.pages.get(range).unwrap_or(&[])
    }

    /// The same with no page in place any more.
    pub(crate) fn all_new(self) -> Self {
        Self {
            in_place: &[],
            ..self
        }
    }

    /// Its parts, in order, and of each whether it is in place.
    pub(crate) fn parts(self) -> impl Iterator<Item = (Range<usize>, bool)> + 'p {
        let first = self.first;
        parts(first..first + self.len(), self.in_place)
            .map(move |(part, in_place)| (part.start - first..part.end - first, in_place))
    }
}

#[kunit_tests(zcio_page)]
mod tests {
    use super::*;

    /// A new page, filled with `byte`.
    fn page(byte: u8) -> Result<OwnedPage> {
        let page = OwnedPage::to_receive()?;
        // SAFETY: The page is valid, and nobody else knows it.
        unsafe {
            let at = bindings::kmap_local_page(page.0.as_ptr()).cast::<u8>();
            at.write_bytes(byte, PAGE_SIZE);
            bindings::kunmap_local(at.cast());
        }
        Ok(page)
    }

    /// Whether exactly the bytes of `range` are `inside`, and all others `outside`.
    fn holds(page: PageRef<'_>, range: Range<usize>, inside: u8, outside: u8) -> bool {
        // SAFETY: The page is valid, and nobody writes to it.
        unsafe {
            let at = bindings::kmap_local_page(page.as_ptr()).cast::<u8>();
            let bytes = core::slice::from_raw_parts(at, PAGE_SIZE);
            let good = bytes.iter().enumerate().all(|(n, &byte)| {
                let expected = if range.contains(&n) { inside } else { outside };
                byte == expected
            });
            bindings::kunmap_local(at.cast());
            good
        }
    }

    #[test]
    fn new_pages_are_zeros_and_ours_alone() -> Result {
        for page in [OwnedPage::to_receive()?, OwnedPage::to_send(Zone::All)?] {
            assert_eq!(page.refs(), 1);
            assert!(holds(page.borrow(), 0..0, 0, 0));
        }
        Ok(())
    }

    #[test]
    fn shared_page_has_one_reference_more() -> Result {
        let page = OwnedPage::to_send(Zone::All)?;
        let other = page.share();
        assert_eq!(other.id(), page.id());
        assert_eq!((page.refs(), page.holders()), (2, 2));
        drop(page);
        assert_eq!((other.refs(), other.holders()), (1, 1));
        Ok(())
    }

    #[test]
    fn seal_is_there_until_it_is_taken_away() -> Result {
        let page = OwnedPage::to_send(Zone::All)?;
        assert!(!page.is_sealed());
        page.seal();
        assert!(page.is_sealed() && page.share().is_sealed());
        page.unseal();
        assert!(!page.is_sealed());
        Ok(())
    }

    #[test]
    fn page_of_a_zone_lies_there() -> Result {
        let page = OwnedPage::to_send(Zone::Dma32)?;
        assert!(page.within(u32::MAX.into()) && page.within(u64::MAX));
        assert!(!page.within(0));
        Ok(())
    }

    #[test]
    fn clear_leaves_zeros() -> Result {
        let page = page(0xa5)?;
        assert!(holds(page.borrow(), 0..0, 0, 0xa5));
        page.clear();
        assert!(holds(page.borrow(), 0..0, 0, 0));
        Ok(())
    }

    #[test]
    fn copy_takes_that_range_only() -> Result {
        let from = page(1)?;
        for range in [0..0, 0..1, 7..4090, 4095..4096, 0..4096, 4096..4096] {
            let to = page(2)?;
            to.copy_from(&from, range.start, range.len());
            assert!(holds(to.borrow(), range, 1, 2));
        }
        Ok(())
    }

    #[test]
    fn copy_that_leaves_the_page_does_nothing() -> Result {
        let (from, to) = (page(1)?, page(2)?);
        for (offset, len) in [(4096, 1), (1, 4096), (4097, 0), (1, usize::MAX)] {
            to.copy_from(&from, offset, len);
        }
        assert!(holds(to.borrow(), 0..0, 0, 2));
        Ok(())
    }

    #[test]
    fn zeros_go_where_they_are_asked_for() -> Result {
        for range in [0..0, 0..1, 1..2, 4095..4096, 1..4096, 1..4095, 0..4096] {
            let page = page(3)?;
            page.borrow().zero(range.start, range.len());
            assert!(holds(page.borrow(), range, 0, 3));
        }
        Ok(())
    }

    #[test]
    fn zeros_that_leave_the_page_do_nothing() -> Result {
        let page = page(3)?;
        for (offset, len) in [(4096, 1), (1, 4096), (4097, 0), (1, usize::MAX)] {
            page.borrow().zero(offset, len);
        }
        assert!(holds(page.borrow(), 0..0, 0, 3));
        Ok(())
    }

    #[test]
    fn list_keeps_the_order_and_its_own_pages() -> Result {
        let lent = OwnedPage::to_send(Zone::All)?;
        let ours = OwnedPage::to_send(Zone::All)?;
        let other = ours.share();
        let mut list = PageList::with_capacity(1)?;
        assert!(list.last().is_none());
        list.push(lent.borrow())?;
        list.push_owned(ours)?;
        list.push(lent.borrow())?;
        let order = [&lent, &other, &lent];
        let listed = list.run(0..3).ok_or(EINVAL)?;
        assert!(listed
            .pages(0..3)
            .iter()
            .zip(order)
            .all(|(a, b)| a.0 == b.0));
        assert!(listed.parts().eq([(0..3, false)]));
        assert!(list.run(2..4).is_none());
        assert!(list.last().is_some_and(|page| page.0 == lent.0));
        assert_eq!((list.len(), lent.refs(), other.refs()), (3, 1, 2));
        drop(list);
        assert_eq!((lent.refs(), other.refs()), (1, 1));
        Ok(())
    }

    #[test]
    fn page_of_zeros_is_zeros() -> Result {
        assert!(holds(PageRef::of_zeros().ok_or(ENOMEM)?, 0..0, 0, 0));
        Ok(())
    }
}
