// SPDX-License-Identifier: GPL-2.0

//! A misc device with its own `file_operations`.
//!
//! The kernel crate's `MiscDevice` has no place for `poll` and `uring_cmd`, which later
//! parts of this module need; and the table differs between kernel versions.

use super::poll::Poller;
use core::marker::PhantomData;
use core::pin::Pin;
use kernel::bindings;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_long, c_uint, c_ulong};
use kernel::mm::virt::VmaNew;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::sync::{Arc, ArcBorrow};
use kernel::types::{ForeignOwnable, Opaque};

/// What one open of the device answers.
pub(crate) trait Device: Send + Sync + Sized + 'static {
    /// `open()`.
    fn open() -> Result<Arc<Self>>;
    /// `mmap()`: sets up `vma`.
    fn mmap(this: ArcBorrow<'_, Self>, vma: &VmaNew, offset: usize) -> Result;
    /// `ioctl()`. Of a 32-bit process as well: the structures that it may name look the same
    /// there, but for arrays of iovecs (`uapi::read_iovecs`).
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<usize>;
    /// `poll()`: whether it is writable now. It has to add the poller to the waiters first.
    fn poll(this: ArcBorrow<'_, Self>, poller: &Poller<'_>) -> bool;
    /// `/proc/PID/fdinfo/FD`.
    fn fdinfo(this: ArcBorrow<'_, Self>, to: &SeqFile);
}

/// A registered device; dropping it takes the device away.
pub(crate) struct Registration<T: Device> {
    inner: Pin<KBox<Inner>>,
    _type: PhantomData<T>,
}

struct Inner {
    misc: Opaque<bindings::miscdevice>,
    // Lives as long as the registration: open files keep the module, and so this, alive.
    fops: Opaque<bindings::file_operations>,
}

// SAFETY: The kernel synchronises access to a registered device.
unsafe impl<T: Device> Send for Registration<T> {}
// SAFETY: As above; there are no methods that take `&self`.
unsafe impl<T: Device> Sync for Registration<T> {}

impl<T: Device> Registration<T> {
    /// Registers `/dev/NAME`, which every user may open.
    pub(crate) fn new(module: &'static ThisModule, name: &'static CStr) -> Result<Self> {
        let fops = bindings::file_operations {
            owner: module.as_ptr(),
            open: Some(Self::open),
            release: Some(Self::release),
            mmap: Some(Self::mmap),
            poll: Some(Self::poll),
            unlocked_ioctl: Some(Self::ioctl),
            // Of a 32-bit process: the same, with its pointer made one of ours.
            compat_ioctl: bindings::compat_ptr_ioctl,
            show_fdinfo: Some(Self::show_fdinfo),
            // SAFETY: Zero is a valid value for every field: null or `None`.
            ..unsafe { core::mem::zeroed() }
        };
        let inner = KBox::pin(
            Inner {
                misc: Opaque::zeroed(),
                fops: Opaque::new(fops),
            },
            GFP_KERNEL,
        )?;
        let misc = inner.misc.get();
        // SAFETY: `misc` is valid and not registered yet, so nobody else looks at it.
        unsafe {
            (*misc).minor = bindings::MISC_DYNAMIC_MINOR as c_int;
            (*misc).name = kernel::str::CStrExt::as_char_ptr(name);
            (*misc).fops = inner.fops.get();
            (*misc).mode = 0o666;
        }
        // SAFETY: The device and its operations are pinned, and stay so until `drop` takes
        // the registration back.
        to_result(unsafe { bindings::misc_register(misc) })?;
        Ok(Self {
            inner,
            _type: PhantomData,
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of this device.
    unsafe fn borrow<'a>(file: *mut bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: `open` has put an `Arc<T>` there, which `release` takes back after every
        // other call has returned.
        unsafe { Arc::<T>::borrow((*file).private_data.cast()) }
    }

    /// # Safety
    ///
    /// Called by the kernel.
    unsafe extern "C" fn open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        match T::open() {
            Ok(this) => {
                // SAFETY: A file that is being opened is ours alone.
                unsafe { (*file).private_data = this.into_foreign().cast() };
                0
            }
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the kernel.
    unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` has put it there, and this is the last use of the file.
        drop(unsafe { Arc::<T>::from_foreign((*file).private_data.cast()) });
        0
    }

    /// # Safety
    ///
    /// Called by the kernel.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: The kernel passes a file of ours and a VMA that is being made.
        let (this, vma, pgoff) = unsafe {
            (
                Self::borrow(file),
                VmaNew::from_raw(vma),
                super::shim::zcio_vma_pgoff(vma) as usize,
            )
        };
        let offset = pgoff.checked_mul(crate::plan::PAGE_SIZE).ok_or(EINVAL);
        match offset.and_then(|offset| T::mmap(this, vma, offset)) {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the kernel.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: The kernel passes a file of ours that stays open during the call, and a
        // table that is null or valid. `T` lives until the file is released, and with it
        // the waiters that it has.
        let (this, poller) = unsafe { (Self::borrow(file), Poller::from_raw(file, table)) };
        match T::poll(this, &poller) {
            true => bindings::POLLOUT | bindings::POLLWRNORM,
            false => 0,
        }
    }

    /// # Safety
    ///
    /// Called by the kernel.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The kernel passes a file of ours.
        let this = unsafe { Self::borrow(file) };
        match T::ioctl(this, cmd, arg) {
            Ok(n) => n as c_long,
            Err(e) => e.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Called by the kernel.
    unsafe extern "C" fn show_fdinfo(m: *mut bindings::seq_file, file: *mut bindings::file) {
        // SAFETY: The kernel passes a file of ours and a `seq_file` that is ours to print to.
        let (this, to) = unsafe { (Self::borrow(file), SeqFile::from_raw(m)) };
        T::fdinfo(this, to);
    }
}

impl<T: Device> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered by `new`, and taken back once.
        unsafe { bindings::misc_deregister(self.inner.misc.get()) };
    }
}
