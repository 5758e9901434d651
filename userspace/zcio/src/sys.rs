// SPDX-License-Identifier: MIT
//! The one module with unsafe code: the device's calls, the mappings, and who may
//! touch which part of a mapping.
//!
//! A mapping is divided into slots of equal size. A [`Slot`] is the only right to
//! its part: it cannot be cloned, only one exists for each part, and the calls that
//! make the kernel change memory take slots by `&mut`. So as long as a `&[u8]` from
//! a slot lives, the kernel does not change those bytes, and the pages stay mapped.
#![allow(unsafe_code)]

mod mapping;
mod splice;

pub(crate) use splice::{splice, splice_status, unsplice, wait_readable};

use crate::abi;
use crate::answer;
use crate::slots::Slots;
use mapping::Mapping;
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A failed call and the element it is about.
#[derive(Debug)]
pub(crate) struct Failure {
    pub source: io::Error,
    pub element: Option<usize>,
}

impl Failure {
    fn last(error_index: i32) -> Failure {
        Failure { source: io::Error::last_os_error(), element: usize::try_from(error_index).ok() }
    }
}

/// Opens the device.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let file: File = OpenOptions::new().read(true).write(true).open("/dev/zcio")?;
    Ok(file.into())
}

/// Bytes in a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf has no requirements.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Issues a call whose argument has no pointers.
fn plain_ioctl<T>(device: BorrowedFd<'_>, request: u32, arg: &mut T) -> io::Result<usize> {
    // SAFETY: `request` encodes the size of `T`, which is all that the kernel reads
    // or writes through this pointer; what `arg` itself points to is the caller's care.
    let ret = unsafe { libc::ioctl(device.as_raw_fd(), request as _, ptr::from_mut(arg)) };
    usize::try_from(ret).map_err(|_| io::Error::last_os_error())
}

/// What can be done here, for a socket or in general.
pub(crate) fn info(
    device: BorrowedFd<'_>,
    socket: Option<BorrowedFd<'_>>,
) -> io::Result<abi::Info> {
    let fd = socket.map_or(-1, |socket| socket.as_raw_fd());
    let mut info = abi::Info { fd, ..Default::default() };
    plain_ioctl(device, abi::IOC_INFO, &mut info)?;
    Ok(info)
}

/// Changes the context's settings.
pub(crate) fn tune(device: BorrowedFd<'_>, mut tune: abi::Tune) -> io::Result<()> {
    plain_ioctl(device, abi::IOC_TUNE, &mut tune).map(drop)
}

/// Makes pools that are mapped afterwards of memory that the socket's device reaches; of any
/// memory without one.
pub(crate) fn target(device: BorrowedFd<'_>, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let fd = socket.map_or(-1, |socket| socket.as_raw_fd());
    let mut target = abi::Target { fd, ..Default::default() };
    plain_ioctl(device, abi::IOC_TARGET, &mut target).map(drop)
}

/// Whether calls on it wait.
pub(crate) fn is_blocking(socket: BorrowedFd<'_>) -> bool {
    // SAFETY: F_GETFL has no argument.
    let flags = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK == 0
}

/// Waits until a send would find room in the context's pools, or a signal comes.
pub(crate) fn wait_room(device: BorrowedFd<'_>) -> io::Result<()> {
    poll(device, libc::POLLOUT, -1).map(drop)
}

/// Whether a send would find room now.
pub(crate) fn has_room(device: BorrowedFd<'_>) -> bool {
    matches!(poll(device, libc::POLLOUT, 0), Ok(1..))
}

/// How many descriptors have one of the events, of one, within so many milliseconds.
fn poll(fd: BorrowedFd<'_>, events: i16, timeout: i32) -> io::Result<i32> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one structure, which outlives the call.
    match unsafe { libc::poll(&mut poll, 1, timeout) } {
        -1 => Err(io::Error::last_os_error()),
        count => Ok(count),
    }
}

/// What a mapping is for.
pub(crate) trait Kind {
    const OFFSET: i64;
    const PROT: i32;
}

/// Kind of a mapping that receives payloads; read-only.
#[derive(Debug)]
pub(crate) enum Window {}

/// Kind of a mapping with pages to send.
#[derive(Debug)]
pub(crate) enum Pool {}

impl Kind for Window {
    const OFFSET: i64 = abi::MMAP_WINDOW;
    const PROT: i32 = libc::PROT_READ;
}

impl Kind for Pool {
    const OFFSET: i64 = abi::MMAP_POOL;
    const PROT: i32 = libc::PROT_READ | libc::PROT_WRITE;
}

/// A mapping divided into slots.
#[derive(Debug)]
pub(crate) struct Arena<K> {
    mapping: Mapping,
    slot_len: usize,
    total: usize,
    free: Mutex<Slots>,
    /// Slots whose owner is gone, but not yet whoever reads their pages.
    resting: Mutex<Vec<usize>>,
    kind: PhantomData<K>,
}

impl<K: Kind> Arena<K> {
    /// Maps `total` slots of `slot_len` bytes, a multiple of the page size.
    pub fn new(device: BorrowedFd<'_>, total: usize, slot_len: usize) -> io::Result<Arc<Arena<K>>> {
        let len = total.checked_mul(slot_len).ok_or(io::ErrorKind::InvalidInput)?;
        let mapping = Mapping::new(device, len, K::PROT, K::OFFSET)?;
        let free = Mutex::new(Slots::new(total));
        Ok(Arc::new(Arena {
            mapping,
            slot_len,
            total,
            free,
            resting: Mutex::default(),
            kind: PhantomData,
        }))
    }
}

impl<K> Arena<K> {
    /// Bytes in a slot.
    pub fn slot_len(&self) -> usize {
        self.slot_len
    }

    /// How many slots there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many slots are free.
    pub fn free(&self) -> usize {
        self.slots().free()
    }

    /// Start of a slot's part.
    fn start(&self, index: usize) -> *mut u8 {
        debug_assert!(index < self.total);
        // SAFETY: the allocator hands out numbers below `total` only, and the mapping
        // has `total * slot_len` bytes.
        unsafe { self.mapping.start.as_ptr().add(index * self.slot_len) }
    }

    /// Takes up to `max` slots, in order of address.
    pub fn take(self: &Arc<Self>, max: usize) -> Vec<Slot<K>> {
        let mut slots = self.slots();
        let count = max.min(slots.free());
        let next = |_| Slot {
            arena: Arc::clone(self),
            index: slots.take().expect("counted"),
            rests: false,
        };
        (0..count).map(next).collect()
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // The bitmap is consistent between any two statements that can panic.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arena<Pool> {
    /// Frees the slots that rest and whose pages nobody reads any more.
    pub fn wake(&self, device: BorrowedFd<'_>) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|index| {
            let over = matches!(in_use(device, self.start(*index), self.slot_len), Ok(0));
            if over {
                self.slots().put(*index);
            }
            !over
        });
    }
}

/// How many pages of a part of a pool somebody still reads.
fn in_use(device: BorrowedFd<'_>, start: *mut u8, len: usize) -> io::Result<usize> {
    let (base, len) = (start.expose_provenance() as u64, len as u64);
    let mut kept = abi::Kept { base, len, ..Default::default() };
    plain_ioctl(device, abi::IOC_KEPT, &mut kept)?;
    Ok((kept.pages - kept.done) as usize)
}

/// The right to one part of a mapping; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<K> {
    arena: Arc<Arena<K>>,
    index: usize,
    /// It is free only when nobody reads its pages.
    rests: bool,
}

impl<K> Drop for Slot<K> {
    fn drop(&mut self) {
        if self.rests {
            let mut resting = self.arena.resting.lock().unwrap_or_else(PoisonError::into_inner);
            resting.push(self.index);
        } else {
            self.arena.slots().put(self.index);
        }
    }
}

impl<K> Slot<K> {
    /// Bytes in the slot.
    pub fn len(&self) -> usize {
        self.arena.slot_len
    }

    /// Start of the slot's part.
    fn start(&self) -> *mut u8 {
        self.arena.start(self.index)
    }

    /// Its bytes. Panics if `range` is not within the slot.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: within the mapping, which lives as long as `self`; always
        // initialised (pages without a payload read as zeros); changed only through
        // `&mut` of this slot, by `bytes_mut` or by a call below: no other slot covers
        // these bytes, and the kernel changes a received payload for nobody else.
        unsafe { std::slice::from_raw_parts(self.start().add(range.start), range.len()) }
    }

    fn iovec(&mut self, range: Range<usize>) -> libc::iovec {
        assert!(range.start <= range.end && range.end <= self.len());
        let base = self.start().wrapping_add(range.start);
        libc::iovec { iov_base: base.cast(), iov_len: range.len() }
    }
}

impl Slot<Pool> {
    /// How many of its pages somebody still reads.
    pub fn in_use(&self, device: BorrowedFd<'_>) -> io::Result<usize> {
        in_use(device, self.start(), self.len())
    }

    /// Gives it back when nobody reads its pages any more.
    pub fn rest(mut self) {
        self.rests = true;
    }

    /// Its bytes, to be written. Panics if `range` is not within the slot.
    pub fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: as for `bytes`; pools are mapped writable, and `&mut self` makes
        // this the only reference. The kernel does not read an area once the call that
        // sent it has returned. One that was sent to be kept is lent out (`Kept`) until
        // nobody reads its pages.
        unsafe { std::slice::from_raw_parts_mut(self.start().add(range.start), range.len()) }
    }
}

/// Where a payload lies, and what the kernel says of it.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Index of the slot.
    pub slot: usize,
    /// Bytes of the slot.
    pub range: Range<usize>,
    pub info: abi::Payload,
}

/// Receives into `slots`. The slots of the result rise; one slot can hold several payloads.
pub(crate) fn readv(
    device: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    slots: &mut [Slot<Window>],
    flags: u32,
) -> Result<Vec<Placed>, Failure> {
    let mut iov: Vec<libc::iovec> =
        slots.iter_mut().map(|slot| slot.iovec(0..slot.len())).collect();
    let mut infos = vec![abi::Payload::default(); iov.len()];
    let mut call = abi::Readv {
        fd: socket.as_raw_fd(),
        iovcnt: iov.len() as u32,
        iov: iov.as_mut_ptr().expose_provenance() as u64,
        payloads: infos.as_mut_ptr().expose_provenance() as u64,
        flags,
        error_index: -1,
        ..Default::default()
    };
    // SAFETY: both arrays have `iovcnt` elements and outlive the call; every region
    // is a slot that we borrow exclusively.
    let ret =
        unsafe { libc::ioctl(device.as_raw_fd(), abi::IOC_READV as _, ptr::from_mut(&mut call)) };
    let count = usize::try_from(ret).map_err(|_| Failure::last(call.error_index))?;
    let mut slot = 0;
    let place = |(iov, info): (&libc::iovec, &abi::Payload)| {
        let within = |slot: &Slot<Window>| {
            answer::place(slot.start().addr(), slot.len(), iov.iov_base.addr(), iov.iov_len)
        };
        let ahead = slots[slot..].iter().position(|slot| within(slot).is_some());
        slot += ahead.expect("the kernel placed a payload outside the regions");
        let range = within(&slots[slot]).expect("just looked at");
        Placed { slot, range, info: *info }
    };
    Ok(iov.iter().zip(&infos).take(count).map(place).collect())
}

/// What a sending call took.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Payloads taken whole.
    pub whole: usize,
    /// Bytes taken in all.
    pub bytes: u64,
    /// One for each payload; those not taken have zero bytes.
    pub infos: Vec<abi::Payload>,
}

/// Sends the given parts of slots.
pub(crate) fn writev<'a>(
    device: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    parts: impl Iterator<Item = (&'a mut Slot<Pool>, Range<usize>)>,
    flags: u32,
    segment: u32,
) -> Result<Taken, Failure> {
    let pair = |(slot, payload): (&'a mut Slot<Pool>, Range<usize>)| {
        [slot.iovec(0..slot.len()), slot.iovec(payload)]
    };
    let iov: Vec<[libc::iovec; 2]> = parts.map(pair).collect();
    // SAFETY: every area is a slot borrowed exclusively for 'a, which includes this call.
    unsafe { issue_writev(device, socket, &iov, flags, segment) }
}

/// Sends a part of a slot, which stays as it is.
pub(crate) fn writev_kept(
    device: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    slot: &Slot<Pool>,
    range: Range<usize>,
    flags: u32,
) -> Result<Taken, Failure> {
    let all = slot.bytes(0..slot.len());
    let iov = [all, &all[range]].map(|bytes| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    });
    // SAFETY: with this flag the kernel only reads the area, and it is borrowed.
    unsafe { issue_writev(device, socket, &[iov], flags | abi::KEEP, 0) }
}

/// # Safety
/// The areas must be the caller's: borrowed exclusively, or for reading if they are kept.
unsafe fn issue_writev(
    device: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    iov: &[[libc::iovec; 2]],
    flags: u32,
    segment: u32,
) -> Result<Taken, Failure> {
    let mut infos = vec![abi::Payload::default(); iov.len()];
    let mut call = abi::Writev {
        fd: socket.as_raw_fd(),
        iovcnt: iov.len() as u32,
        iov: iov.as_ptr().expose_provenance() as u64,
        payloads: infos.as_mut_ptr().expose_provenance() as u64,
        flags,
        error_index: -1,
        segment,
        ..Default::default()
    };
    // SAFETY: both arrays have `iovcnt` elements and outlive the call; the areas are as this
    // function's own requirement says.
    let ret =
        unsafe { libc::ioctl(device.as_raw_fd(), abi::IOC_WRITEV as _, ptr::from_mut(&mut call)) };
    let whole = usize::try_from(ret).map_err(|_| Failure::last(call.error_index))?;
    Ok(Taken { whole, bytes: call.taken, infos })
}

#[cfg(test)]
#[cfg(not(miri))] // which maps no files
pub(crate) mod tests {
    use super::*;
    use std::os::fd::{AsFd, FromRawFd};

    /// A file stands in for the device: mapped like it, but it knows none of its calls.
    pub(crate) fn device() -> OwnedFd {
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"device".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor was opened here, and is nobody else's.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(abi::MMAP_POOL as u64 + (1 << 30)).unwrap();
        file.into()
    }

    #[test]
    fn slots_lie_apart() {
        let (device, len) = (device(), 2 * page_size());
        let arena = Arena::<Pool>::new(device.as_fd(), 70, len).unwrap();
        let mut slots = arena.take(100);
        assert_eq!((slots.len(), arena.free()), (70, 0));
        for (n, slot) in slots.iter_mut().enumerate() {
            slot.bytes_mut(0..len).fill(n as u8);
        }
        for (n, slot) in slots.iter().enumerate() {
            assert_eq!(slot.bytes(0..len), vec![n as u8; len]);
            assert_eq!(slot.bytes(len..len), []);
        }
        drop(slots);
        assert_eq!(arena.free(), 70);
    }

    #[test]
    fn threads_have_slots_of_their_own() {
        let device = device();
        let arena = Arena::<Pool>::new(device.as_fd(), 8, page_size()).unwrap();
        std::thread::scope(|scope| {
            for n in 0..4u8 {
                let arena = &arena;
                scope.spawn(move || {
                    for _ in 0..100 {
                        for mut slot in arena.take(2) {
                            slot.bytes_mut(0..64).fill(n);
                            assert_eq!(slot.bytes(0..64), [n; 64]);
                        }
                    }
                });
            }
        });
        assert_eq!(arena.free(), 8);
    }

    #[test]
    fn a_slot_keeps_the_mapping() {
        let arena = Arena::<Window>::new(device().as_fd(), 3, page_size()).unwrap();
        let slot = arena.take(1).pop().unwrap();
        let watch = Arc::downgrade(&arena);
        drop(arena);
        assert_eq!(slot.bytes(0..page_size()), vec![0; page_size()]);
        drop(slot);
        assert!(watch.upgrade().is_none());
    }

    #[test]
    #[should_panic(expected = "range.end <= self.len()")]
    fn outside_a_slot() {
        let arena = Arena::<Window>::new(device().as_fd(), 2, page_size()).unwrap();
        arena.take(1)[0].bytes(1..page_size() + 1);
    }

    #[test]
    fn what_is_no_device_fails() {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        let error = Arena::<Window>::new(null.as_fd(), 1, page_size()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert!(Arena::<Pool>::new(null.as_fd(), usize::MAX, 4096).is_err());
        assert!(Arena::<Pool>::new(null.as_fd(), usize::MAX / 4096, 4096).is_err());

        let device = device();
        let mut slots = Arena::new(device.as_fd(), 2, page_size()).unwrap().take(2);
        let failure = readv(device.as_fd(), null.as_fd(), &mut slots, 0).unwrap_err();
        assert_eq!((failure.source.raw_os_error(), failure.element), (Some(libc::ENOTTY), None));
    }
}
