// SPDX-License-Identifier: GPL-2.0

//! Mappings of `/dev/zcio`: VMAs whose pages this module puts in and takes out.
//!
//! A mapping is made by `mmap()`, stays at its address (it can be cut by `munmap()` and
//! split by `mprotect()`, but not moved, grown or inherited), and is found again by any
//! address in it. Its object lives as long as any VMA of it does.

use super::page::{OwnedPage, PageRef};
use super::shim;
use crate::plan::PAGE_SIZE;
use core::marker::PhantomData;
use core::ops::Range;
use kernel::bindings;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_ulong};
use kernel::mm::virt::{vm_flags_t, VmaNew, VmaRef};
use kernel::mm::MmapReadGuard;
use kernel::prelude::*;
use kernel::sync::{Arc, ArcBorrow};
use kernel::types::ForeignOwnable;

/// What a mapping's object answers.
pub(crate) trait Mapping: Send + Sync + Sized + 'static {
    /// Somebody touched page `index`, which has no page table entry: put a page there.
    /// EBUSY from `insert` means that somebody else did, and counts as success.
    fn fault(&self, at: &Found<'_, Self>, index: usize) -> Result;

    /// These pages were unmapped for good.
    fn unmapped(&self, pages: Range<usize>);
}

/// A mapping's object, with the address that it was mapped at.
struct Node<T> {
    home: usize,
    first_pgoff: usize,
    object: T,
}

/// Turns a VMA that is being made into a mapping of `object`.
///
/// Always `MAP_SHARED`, never executable, not inherited by `fork()`, not to be grown.
/// A mapping made read-only stays read-only.
pub(crate) fn install<T: Mapping>(vma: &VmaNew, object: T) -> Result {
    if vma.flags() & kernel::mm::virt::flags::SHARED == 0 || vma.executable() {
        return Err(EINVAL);
    }
    vma.try_clear_mayexec()?;
    if !vma.writable() {
        vma.try_clear_maywrite()?;
    }
    vma.set_dontexpand();
    vma.set_dontcopy();
    vma.set_mixedmap();
    let node = Arc::new(
        Node {
            home: vma.start(),
            // SAFETY: The VMA is valid while it is being made.
            first_pgoff: unsafe { shim::zcio_vma_pgoff(vma.as_ptr()) } as usize,
            object,
        },
        GFP_KERNEL,
    )?;
    // SAFETY: The VMA is being made, nobody else sees it yet. From here on it owns one
    // reference to the node, which `close` gives back.
    unsafe {
        shim::zcio_vma_install(vma.as_ptr(), Ops::<T>::table(), node.into_foreign().cast());
    }
    Ok(())
}

/// Finds the mapping of `T` that holds `addr`.
pub(crate) fn find<'g, T: Mapping>(mm: &'g MmapReadGuard<'_>, addr: usize) -> Option<Found<'g, T>> {
    let vma = mm.vma_lookup(addr)?;
    // SAFETY: The mmap lock is held, so the VMA is valid; it stays so for `'g`.
    let found = unsafe { Found::from_vma(vma) }?;
    Some(Found {
        mm: Some(mm),
        ..found
    })
}

/// A mapping, found under the mmap or VMA lock.
///
/// `mprotect()` splits a mapping into several VMAs, which stay split. Under the mmap lock
/// this reaches all of them; in a fault, only the one that was touched.
///
/// # Invariants
///
/// The VMA has the operations of `T`, so that its private data is a `Node<T>`; it stays
/// valid and at its place for `'g`. `VM_MIXEDMAP` is set.
pub(crate) struct Found<'g, T: Mapping> {
    vma: &'g VmaRef,
    node: ArcBorrow<'g, Node<T>>,
    mm: Option<&'g MmapReadGuard<'g>>,
}

impl<'g, T: Mapping> Found<'g, T> {
    /// # Safety
    ///
    /// The VMA must be valid and locked (mmap or VMA lock) for `'g`.
    unsafe fn from_vma(vma: &'g VmaRef) -> Option<Self> {
        // SAFETY: The VMA is valid.
        if !unsafe { shim::zcio_vma_is(vma.as_ptr(), Ops::<T>::table()) } {
            return None;
        }
        // SAFETY: With these operations, `install` has put a node there, and the VMA owns a
        // reference to it for as long as it lives.
        let node = unsafe { Arc::<Node<T>>::borrow(shim::zcio_vma_private(vma.as_ptr()).cast()) };
        // INVARIANT: The operations were compared; `install` sets VM_MIXEDMAP.
        Some(Self {
            vma,
            node,
            mm: None,
        })
    }

    /// The VMA of this mapping that holds `addr`.
    fn part(&self, addr: usize) -> Option<&'g VmaRef> {
        if addr >= self.vma.start() && addr < self.vma.end() {
            return Some(self.vma);
        }
        let other = find::<T>(self.mm?, addr)?;
        core::ptr::eq::<Node<T>>(&*self.node, &*other.node).then_some(other.vma)
    }

    /// Does `run` for the parts of `len` bytes at `addr` that lie in one VMA each; EFAULT
    /// where they are not of this mapping.
    fn each_part(
        &self,
        addr: usize,
        len: usize,
        mut run: impl FnMut(&VmaRef, Range<usize>) -> Result,
    ) -> Result {
        let end = addr.checked_add(len).ok_or(EFAULT)?;
        let mut from = addr;
        while from < end {
            let vma = self.part(from).ok_or(EFAULT)?;
            let to = end.min(vma.end());
            run(vma, from..to)?;
            from = to;
        }
        Ok(())
    }

    /// Where the VMA ends by which it was found; the mapping may go on behind it.
    pub(crate) fn part_end(&self) -> usize {
        self.vma.end()
    }

    /// The object behind the mapping.
    pub(crate) fn object(&self) -> &T {
        &self.node.object
    }

    /// The object, to be kept when the lock is gone.
    pub(crate) fn keep(&self) -> Kept<T> {
        Kept(self.node.into())
    }

    /// Whether this is (still) the mapping that was kept.
    pub(crate) fn is(&self, kept: &Kept<T>) -> bool {
        core::ptr::eq::<Node<T>>(&*self.node, &*kept.0)
    }

    /// The page of the mapping at `addr`.
    pub(crate) fn index(&self, addr: usize) -> usize {
        addr.saturating_sub(self.node.home) / PAGE_SIZE
    }

    /// The address of page `index`.
    pub(crate) fn address(&self, index: usize) -> usize {
        self.node.home + index * PAGE_SIZE
    }

    /// Whether `len` bytes at `addr` lie in this mapping.
    pub(crate) fn contains(&self, addr: usize, len: usize) -> bool {
        self.each_part(addr, len, |_, _| Ok(())).is_ok()
    }

    /// Whether they do, and user space may write to all of them now.
    pub(crate) fn contains_writable(&self, addr: usize, len: usize) -> bool {
        self.contains_allowing(addr, len, kernel::mm::virt::flags::WRITE)
    }

    /// Whether they do, and user space may read all of them now.
    pub(crate) fn contains_readable(&self, addr: usize, len: usize) -> bool {
        self.contains_allowing(addr, len, kernel::mm::virt::flags::READ)
    }

    fn contains_allowing(&self, addr: usize, len: usize, flag: vm_flags_t) -> bool {
        let allows = |vma: &VmaRef, _| match vma.flags() & flag {
            0 => Err(EFAULT),
            _ => Ok(()),
        };
        self.each_part(addr, len, allows).is_ok()
    }

    /// Whether user space may write here, or could make it so with `mprotect()`: the same
    /// in all of the mapping.
    pub(crate) fn may_be_written(&self) -> bool {
        self.vma.flags() & kernel::mm::virt::flags::MAYWRITE != 0
    }

    /// The pages from `index` on that nobody but this mapping has, each in its place of
    /// `found`, where nothing is yet. Looks at so many as there are places, but no further
    /// than the first that is not in the page tables.
    ///
    /// From then on others may get hold of them as of any page that a process has mapped.
    pub(crate) fn sole_pages(&self, index: usize, found: &mut [Option<OwnedPage>]) {
        let addr = self.address(index);
        if !self.contains(addr, found.len() * PAGE_SIZE) {
            return;
        }
        let pages = found.as_mut_ptr().cast();
        // SAFETY: `Option<OwnedPage>` is a pointer to a page, with a reference that it owns, or
        // none at all. All places are none, and the callee writes such pointers into the
        // first of them, at most into all.
        unsafe { shim::zcio_pages_in_place(addr, found.len() as u32, pages) };
    }

    /// Removes the pages `pages` from the page tables, and flushes.
    pub(crate) fn zap(&self, pages: Range<usize>) {
        let (mut from, end) = (self.address(pages.start), self.address(pages.end));
        while from < end {
            let Some(vma) = self.part(from) else {
                // Not mapped any more, so no entry is here; behind it there may be some.
                from += PAGE_SIZE;
                continue;
            };
            let to = end.min(vma.end());
            // SAFETY: The VMA is valid and locked, and holds the part.
            unsafe { shim::zcio_zap(vma.as_ptr(), from, to - from) };
            from = to;
        }
    }

    /// Puts pages into consecutive places from `index` on; each mapping takes a reference
    /// of its own. EBUSY if something is there already. On an error some may be in.
    pub(crate) fn insert(&self, index: usize, pages: &[PageRef<'_>]) -> Result {
        let addr = self.address(index);
        self.each_part(addr, pages.len() * PAGE_SIZE, |vma, part| {
            let first = (part.start - addr) / PAGE_SIZE;
            let count = part.len() / PAGE_SIZE;
            let pages = pages.get(first..first + count).ok_or(EFAULT)?;
            let mut left = count as c_ulong;
            // SAFETY: The VMA is valid, locked, has VM_MIXEDMAP and holds the part. `PageRef`
            // is a transparent pointer to a valid page, and the callee does not write the
            // array.
            to_result(unsafe {
                bindings::vm_insert_pages(
                    vma.as_ptr(),
                    part.start,
                    pages.as_ptr().cast_mut().cast(),
                    &mut left,
                )
            })
        })
    }
}

/// A mapping's object that outlives the mapping.
pub(crate) struct Kept<T>(Arc<Node<T>>);

impl<T: Mapping> Kept<T> {
    /// The mapping at its page `index`, if that is still there.
    pub(crate) fn at<'g>(&self, mm: &'g MmapReadGuard<'_>, index: usize) -> Option<Found<'g, T>> {
        find(mm, self.0.home + index * PAGE_SIZE).filter(|found| found.is(self))
    }
}

impl<T> core::ops::Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.object
    }
}

/// The VMA operations of a mapping of `T`.
struct Ops<T>(PhantomData<T>);

impl<T: Mapping> Ops<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        mremap: Some(Self::mremap),
        fault: Some(Self::fault),
        // SAFETY: All fields are optional function pointers: zero is `None`.
        ..unsafe { core::mem::zeroed() }
    };

    // Never inlined, so that there is one address to compare with.
    #[inline(never)]
    fn table() -> *const bindings::vm_operations_struct {
        &Self::TABLE
    }

    /// # Safety
    ///
    /// Called by the kernel for a VMA of ours that was split off another.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The VMA is valid and its private data a copy of the other one's.
        let node = unsafe { Arc::<Node<T>>::borrow(shim::zcio_vma_private(vma).cast()) };
        // The new VMA owns a reference of its own.
        let _ = Arc::from(node).into_foreign();
    }

    /// # Safety
    ///
    /// Called by the kernel for a VMA of ours that goes away, its pages unmapped.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The VMA is valid and owns a reference, which it gives up here.
        let node = unsafe { Arc::<Node<T>>::from_foreign(shim::zcio_vma_private(vma).cast()) };
        // SAFETY: The VMA is valid, and locked for writing.
        let (vma_ref, pgoff) = unsafe { (VmaRef::from_raw(vma), shim::zcio_vma_pgoff(vma)) };
        let first = pgoff.saturating_sub(node.first_pgoff);
        // A refused move makes a second VMA for a moment: what it leaves is not unmapped.
        if node.home + first * PAGE_SIZE == vma_ref.start() {
            let pages = (vma_ref.end() - vma_ref.start()) / PAGE_SIZE;
            node.object.unmapped(first..first + pages);
        }
    }

    /// # Safety
    ///
    /// Called by the kernel.
    unsafe extern "C" fn mremap(_vma: *mut bindings::vm_area_struct) -> c_int {
        EINVAL.to_errno()
    }

    /// # Safety
    ///
    /// Called by the kernel for a fault in a VMA of ours, under the mmap or VMA lock.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The kernel passes a valid fault, whose VMA is locked.
        let (vma, addr) = unsafe {
            (
                VmaRef::from_raw(shim::zcio_fault_vma(vmf)),
                shim::zcio_fault_address(vmf) as usize,
            )
        };
        // SAFETY: The VMA is valid and locked for the duration of this function.
        let Some(found) = (unsafe { Found::<T>::from_vma(vma) }) else {
            return bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        };
        match found.object().fault(&found, found.index(addr)) {
            Ok(()) => bindings::vm_fault_reason_VM_FAULT_NOPAGE,
            Err(e) if e == EBUSY => bindings::vm_fault_reason_VM_FAULT_NOPAGE,
            Err(e) if e == ENOMEM => bindings::vm_fault_reason_VM_FAULT_OOM,
            Err(_) => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }
}
