// SPDX-License-Identifier: GPL-2.0

//! Pages: owned references, and pages borrowed from a receive queue.

use super::shim;
use crate::plan::PAGE_SIZE;
use core::marker::PhantomData;
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
        Self::alloc(false)
    }

    /// A page of zeros for a pool, likewise. A receiver on this machine will know it for a
    /// page that nobody can write to once it was sent; the pool sees to that.
    pub(crate) fn to_send() -> Result<Self> {
        Self::alloc(true)
    }

    fn alloc(to_send: bool) -> Result<Self> {
        // SAFETY: No preconditions; may sleep, which the callers' contexts allow.
        let page = unsafe { shim::zcio_page_alloc(to_send) };
        // INVARIANT: A page just allocated has one reference, which is now ours.
        Ok(Self(NonNull::new(page).ok_or(ENOMEM)?))
    }

    /// How many references the page has; 1 means that nobody but the owner of this value
    /// can reach it.
    pub(crate) fn refs(&self) -> i32 {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::zcio_page_refs(self.0.as_ptr()) }
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
    pub(crate) fn zero() -> Option<PageRef<'static>> {
        // SAFETY: No preconditions.
        let page = unsafe { shim::zcio_zero_page() };
        // INVARIANT: The zero page lives forever.
        NonNull::new(page).map(|page| PageRef(page, PhantomData))
    }

    /// Zeros everything but `len` bytes at `offset`.
    ///
    /// Only for pages judged `Owned`: the caller is the only one who can see the page.
    pub(crate) fn zero_around(self, offset: usize, len: usize) {
        if !in_page(offset, len) {
            return;
        }
        let end = offset + len;
        if offset > 0 {
            // SAFETY: The page is valid by the type invariant; the range lies inside it.
            unsafe { shim::zcio_page_zero(self.as_ptr(), 0, offset as u32) };
        }
        if end < PAGE_SIZE {
            // SAFETY: As above.
            unsafe { shim::zcio_page_zero(self.as_ptr(), end as u32, (PAGE_SIZE - end) as u32) };
        }
    }
}
