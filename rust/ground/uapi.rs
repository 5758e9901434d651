// SPDX-License-Identifier: GPL-2.0

//! The structures of `uapi/zcio.h`, and how they cross the user boundary.

pub(crate) use super::shim::{
    zcio_counters as Counters, zcio_info as Info, zcio_kept as KeptArea, zcio_payload as Payload,
    zcio_readv as Readv, zcio_splice as SpliceCall, zcio_splice_status as SpliceStatus,
    zcio_target as Target, zcio_tune as Tune, zcio_writev as Writev,
    ZCIO_ABI_VERSION as ABI_VERSION, ZCIO_DONTWAIT as DONTWAIT, ZCIO_IOC_MAGIC as MAGIC,
    ZCIO_KEEP as KEEP, ZCIO_MAX_ELEMENTS as MAX_ELEMENTS, ZCIO_MORE as MORE,
    ZCIO_NOSIGNAL as NOSIGNAL, ZCIO_PAYLOAD_END as PAYLOAD_END,
    ZCIO_PAYLOAD_TRUNCATED as PAYLOAD_TRUNCATED, ZCIO_SPLICE_HANDLE as SPLICE_HANDLE,
};
use crate::plan::ownership::{fact, Why, WHYS};
use crate::plan::span::Span;
use crate::plan::splice::{errno as told, End};
use kernel::prelude::*;
use kernel::transmute::{AsBytes, FromBytes};
use kernel::uaccess::{UserPtr, UserSlice};

// Bytes, as mmap() offsets. bindgen does not translate `ULL` constants to `usize`.
/// Where the offsets of windows begin.
pub(crate) const MMAP_WINDOW: usize = super::shim::ZCIO_MMAP_WINDOW as usize;
/// Where the offsets of pools begin.
pub(crate) const MMAP_POOL: usize = super::shim::ZCIO_MMAP_POOL as usize;

/// `struct iovec`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct IoVec {
    /// Address.
    pub(crate) base: usize,
    /// Bytes.
    pub(crate) len: usize,
}

impl From<IoVec> for Span {
    fn from(v: IoVec) -> Self {
        Span {
            base: v.base,
            len: v.len,
        }
    }
}

impl From<Span> for IoVec {
    fn from(s: Span) -> Self {
        IoVec {
            base: s.base,
            len: s.len,
        }
    }
}

/// `struct iovec` of a 32-bit process.
#[derive(Clone, Copy)]
#[repr(C)]
struct NarrowIoVec {
    base: u32,
    len: u32,
}

// The header's numbers and the planning part's are the same.
const _: () = {
    use super::shim as c;
    assert!(Why::Small as u32 == c::ZCIO_WHY_SMALL.trailing_zeros());
    assert!(Why::Linear as u32 == c::ZCIO_WHY_LINEAR.trailing_zeros());
    assert!(Why::Shared as u32 == c::ZCIO_WHY_SHARED.trailing_zeros());
    assert!(Why::Cloned as u32 == c::ZCIO_WHY_CLONED.trailing_zeros());
    assert!(Why::Writable as u32 == c::ZCIO_WHY_WRITABLE.trailing_zeros());
    assert!(Why::File as u32 == c::ZCIO_WHY_FILE.trailing_zeros());
    assert!(Why::Kernel as u32 == c::ZCIO_WHY_KERNEL.trailing_zeros());
    assert!(Why::Pinned as u32 == c::ZCIO_WHY_PINNED.trailing_zeros());
    assert!(Why::Device as u32 == c::ZCIO_WHY_DEVICE.trailing_zeros());
    assert!(Why::Elements as u32 == c::ZCIO_WHY_ELEMENTS.trailing_zeros());
    assert!(Why::Dma as u32 == c::ZCIO_WHY_DMA.trailing_zeros());
    assert!(WHYS as u32 == c::ZCIO_WHY_BITS);
    assert!(told::EPIPE == kernel::bindings::EPIPE as i32);
    assert!(told::EFBIG == kernel::bindings::EFBIG as i32);
    assert!(told::ETIMEDOUT == kernel::bindings::ETIMEDOUT as i32);
    assert!(told::ELOOP == kernel::bindings::ELOOP as i32);
    assert!(fact::LINEAR == c::ZCIO_FACT_LINEAR);
    assert!(fact::CLONED == c::ZCIO_FACT_CLONED);
    assert!(fact::SHARED_FRAG == c::ZCIO_FACT_SHARED_FRAG);
    assert!(fact::ZEROCOPY == c::ZCIO_FACT_ZEROCOPY);
    assert!(fact::ANON == c::ZCIO_FACT_ANON);
    assert!(fact::FILE == c::ZCIO_FACT_FILE);
    assert!(fact::TYPED == c::ZCIO_FACT_TYPED);
    assert!(fact::MAPPED == c::ZCIO_FACT_MAPPED);
    assert!(fact::PAGE_POOL == c::ZCIO_FACT_PAGE_POOL);
    assert!(fact::CUT == c::ZCIO_FACT_CUT);
    assert!(fact::OURS == c::ZCIO_FACT_OURS);
    assert!(fact::FOLIO_MAPPED == c::ZCIO_FACT_FOLIO_MAPPED);
};

// SAFETY: All of these are integers only, laid out without padding: any bytes are a
// value, and every byte of a value is initialised.
unsafe impl FromBytes for IoVec {}
// SAFETY: As above.
unsafe impl AsBytes for IoVec {}
// SAFETY: As above.
unsafe impl FromBytes for NarrowIoVec {}
// SAFETY: As above.
unsafe impl AsBytes for NarrowIoVec {}
// SAFETY: As above.
unsafe impl FromBytes for Readv {}
// SAFETY: As above.
unsafe impl AsBytes for Readv {}
// SAFETY: As above.
unsafe impl FromBytes for Writev {}
// SAFETY: As above.
unsafe impl AsBytes for Writev {}
// SAFETY: As above.
unsafe impl FromBytes for Info {}
// SAFETY: As above.
unsafe impl AsBytes for Info {}
// SAFETY: As above.
unsafe impl FromBytes for KeptArea {}
// SAFETY: As above.
unsafe impl AsBytes for KeptArea {}
// SAFETY: As above.
unsafe impl FromBytes for Target {}
// SAFETY: As above.
unsafe impl AsBytes for Target {}
// SAFETY: As above.
unsafe impl FromBytes for SpliceCall {}
// SAFETY: As above.
unsafe impl FromBytes for SpliceStatus {}
// SAFETY: As above.
unsafe impl AsBytes for SpliceStatus {}
// SAFETY: As above.
unsafe impl FromBytes for Tune {}
// SAFETY: As above.
unsafe impl AsBytes for Payload {}

/// A structure that a call gets, and that is written back.
pub(crate) trait InOut: FromBytes + AsBytes {
    /// Makes what only comes out say that nothing was done.
    fn clear(&mut self) {}
}

impl InOut for Info {}

impl InOut for Target {}

impl InOut for KeptArea {
    fn clear(&mut self) {
        (self.pages, self.done) = (0, 0);
    }
}

impl InOut for SpliceStatus {
    fn clear(&mut self) {
        (self.state, self.error, self.moved, self.copied) = (0, 0, 0, 0);
    }
}

impl InOut for Readv {
    fn clear(&mut self) {
        self.error_index = -1;
    }
}

impl InOut for Writev {
    fn clear(&mut self) {
        self.error_index = -1;
        self.taken = 0;
    }
}

/// How a splice stands, and the errno that belongs to it.
pub(crate) fn splice_state(end: Option<End>) -> (u32, i32) {
    use super::shim as c;
    let state = match end {
        None => c::ZCIO_SPLICE_RUNNING,
        Some(End::Eof) => c::ZCIO_SPLICE_EOF,
        Some(End::Stopped) => c::ZCIO_SPLICE_STOPPED,
        Some(End::Max) => c::ZCIO_SPLICE_MAX,
        Some(End::Idle) => c::ZCIO_SPLICE_IDLE,
        Some(End::Drain) => c::ZCIO_SPLICE_DRAIN,
        Some(End::Source(_)) => c::ZCIO_SPLICE_SOURCE,
        Some(End::Closed) => c::ZCIO_SPLICE_CLOSED,
        Some(End::Failed(_)) => c::ZCIO_SPLICE_FAILED,
    };
    (state, end.map_or(0, End::error))
}

/// Reads a structure from user memory.
pub(crate) fn read<T: FromBytes>(addr: usize) -> Result<T> {
    UserSlice::new(UserPtr::from_addr(addr), size_of::<T>())
        .reader()
        .read()
}

/// Writes a structure to user memory.
pub(crate) fn write<T: AsBytes>(addr: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(addr), size_of::<T>())
        .writer()
        .write(value)
}

/// Reads `n` elements from user memory, in one go.
pub(crate) fn read_array<T: FromBytes>(addr: usize, n: usize) -> Result<KVVec<T>> {
    let bytes = n.checked_mul(size_of::<T>()).ok_or(EFAULT)?;
    let mut out = KVVec::<T>::with_capacity(n, GFP_KERNEL)?;
    let spare = out.spare_capacity_mut().get_mut(..n).ok_or(ENOMEM)?;
    // SAFETY: The same memory, seen as bytes that need not be initialised.
    let raw = unsafe { core::slice::from_raw_parts_mut(spare.as_mut_ptr().cast(), bytes) };
    UserSlice::new(UserPtr::from_addr(addr), bytes)
        .reader()
        .read_raw(raw)?;
    // SAFETY: `n` elements were just filled in full, and any bytes are a `T`.
    unsafe { out.inc_len(n) };
    Ok(out)
}

/// Writes elements to user memory, from the first on, in one go.
pub(crate) fn write_array<T: AsBytes>(addr: usize, values: &[T]) -> Result {
    let bytes = size_of_val(values);
    // SAFETY: The same memory; every byte of a `T` is initialised.
    let raw = unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), bytes) };
    UserSlice::new(UserPtr::from_addr(addr), bytes)
        .writer()
        .write_slice(raw)
}

/// Zeroes `n` elements in user memory.
pub(crate) fn clear_array<T: AsBytes>(addr: usize, n: usize) -> Result {
    let bytes = n.checked_mul(size_of::<T>()).ok_or(EFAULT)?;
    // SAFETY: The address is checked by the callee.
    match unsafe { super::shim::zcio_clear_user(addr, bytes) } {
        true => Ok(()),
        false => Err(EFAULT),
    }
}

/// Reads `n` iovecs from the memory of the calling process, as wide as its own are.
pub(crate) fn read_iovecs(addr: usize, n: usize) -> Result<KVVec<IoVec>> {
    if !in_compat_syscall() {
        return read_array(addr, n);
    }
    let mut out = KVVec::with_capacity(n, GFP_KERNEL)?;
    for narrow in &read_array::<NarrowIoVec>(addr, n)? {
        let wide = Span::of_32_bits(narrow.base, narrow.len);
        out.push(wide.into(), GFP_KERNEL)?;
    }
    Ok(out)
}

/// Writes iovecs likewise. They must lie in ranges that `read_iovecs` gave, or are EFAULT.
pub(crate) fn write_iovecs(addr: usize, values: &[IoVec]) -> Result {
    if !in_compat_syscall() {
        return write_array(addr, values);
    }
    let mut out = KVVec::with_capacity(values.len(), GFP_KERNEL)?;
    for wide in values {
        let narrow = NarrowIoVec {
            base: wide.base.try_into().map_err(|_| EFAULT)?,
            len: wide.len.try_into().map_err(|_| EFAULT)?,
        };
        out.push(narrow, GFP_KERNEL)?;
    }
    write_array(addr, &out)
}

fn in_compat_syscall() -> bool {
    // SAFETY: Called by a task in its own context.
    unsafe { super::shim::zcio_in_compat_syscall() }
}
