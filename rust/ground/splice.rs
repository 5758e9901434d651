// SPDX-License-Identifier: GPL-2.0

//! What splicing needs of the kernel: sockets that take part in a splice ([`Party`]) and tell
//! it what happens to them, work that is done where it is asked for ([`Worked`]), bytes that
//! are gathered at the source and sent at the drain ([`Batch`]), a timer ([`Alarm`]).
//!
//! A socket's lock is held as long as a [`LockedParty`] lives. Only `source` and `drain` sides
//! that fit a function have it.

use super::poll::Poller;
use super::shim;
use super::socket::Socket;
use crate::plan::splice::{Drain, Sent, Source};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::{Arc, ArcBorrow};
use kernel::types::{ForeignOwnable, NotThreadSafe};
use kernel::workqueue::{impl_has_work, new_work, Queue, Work, WorkItem};

/// The source's side.
pub(crate) const SOURCE: u32 = shim::ZCIO_SIDE_SOURCE;
/// The drain's side.
pub(crate) const DRAIN: u32 = shim::ZCIO_SIDE_DRAIN;

/// How long a socket's lock is waited for: a program can keep it for as long as it likes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For a moment: work for one splice may not hold up that of others.
    Little,
    /// Until it is there: who has asked for it waits himself.
    Endless,
}

/// What is moved.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// The bytes of TCP.
    Stream = shim::ZCIO_SPLICE_TCP,
    /// Datagrams of UDP.
    Datagrams = shim::ZCIO_SPLICE_UDP,
}

/// What a splice is woken for.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// The source has more to read.
    Data,
    /// The drain takes more.
    Space,
    /// One of them is connected, shut down, reset, ….
    State,
    /// The time asked for is over.
    Alarm,
}

/// A splice, as what happens to its sockets sees it.
pub(crate) trait Spliced: Send + Sync + Sized + 'static {
    /// What it moves.
    fn kind(&self) -> Kind;
    /// Does its work; in a task, one at a time.
    fn work(this: Arc<Worked<Self>>);
    /// Something happened. May not sleep.
    fn woken(this: ArcBorrow<'_, Worked<Self>>, event: Event);
    /// One of its sockets is about to be closed, or to lose its connection. May sleep; when it
    /// returns, that socket takes part no more.
    fn closed(this: Arc<Worked<Self>>);
    /// UDP: there may be something to move. With bottom halves disabled, maybe in one.
    fn moves(this: Arc<Worked<Self>>);
    /// Whether it is over; adds the poller first.
    fn poll(this: ArcBorrow<'_, Worked<Self>>, poller: &Poller<'_>) -> bool;
    /// Its handle is closed.
    fn released(this: Arc<Worked<Self>>);
}

/// Something with work that can be asked for from anywhere.
#[pin_data]
pub(crate) struct Worked<T: Spliced> {
    #[pin]
    work: Work<Worked<T>>,
    inner: T,
}

impl_has_work! {
    impl{T: Spliced} HasWork<Self> for Worked<T> { self.work }
}

impl<T: Spliced> WorkItem for Worked<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        T::work(this);
    }
}

impl<T: Spliced> core::ops::Deref for Worked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Spliced> Worked<T> {
    /// Of `inner`.
    pub(crate) fn new(inner: T) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_work!("zcio_splice"),
                inner,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Asks for the work, on this processor; once is enough until it has begun.
    pub(crate) fn ask(this: Arc<Self>) {
        // SAFETY: The queue is there as long as the module, and so longer than any splice.
        let queue = unsafe { Queue::from_raw(shim::zcio_splice_queue(T::kind(&this) as u32)) };
        let _ = queue.enqueue(this);
    }

    const CALLS: &'static shim::zcio_splice_calls = &shim::zcio_splice_calls {
        woken: Some(Self::woken),
        get: Some(Self::get),
        closed: Some(Self::closed),
        moves: Some(Self::moves),
    };

    const HANDLE_CALLS: &'static shim::zcio_handle_calls = &shim::zcio_handle_calls {
        poll: Some(Self::handle_poll),
        release: Some(Self::closed_handle),
    };

    /// # Safety
    ///
    /// `splice` must come from `into_foreign`, and be there during the call.
    unsafe extern "C" fn woken(splice: *mut c_void, event: u32) {
        let event = match event {
            shim::ZCIO_EVENT_DATA => Event::Data,
            shim::ZCIO_EVENT_SPACE => Event::Space,
            shim::ZCIO_EVENT_ALARM => Event::Alarm,
            _ => Event::State,
        };
        // SAFETY: By the safety requirement.
        T::woken(unsafe { Arc::<Self>::borrow(splice) }, event);
    }

    /// # Safety
    ///
    /// As above.
    unsafe extern "C" fn get(splice: *mut c_void) -> *mut c_void {
        // SAFETY: By the safety requirement.
        let this: Arc<Self> = unsafe { Arc::<Self>::borrow(splice) }.into();
        this.into_foreign()
    }

    /// # Safety
    ///
    /// The caller gives a reference away.
    unsafe extern "C" fn closed(splice: *mut c_void) {
        // SAFETY: By the safety requirement.
        T::closed(unsafe { Arc::<Self>::from_foreign(splice) });
    }

    /// # Safety
    ///
    /// The caller gives a reference away.
    unsafe extern "C" fn moves(splice: *mut c_void) {
        // SAFETY: By the safety requirement.
        T::moves(unsafe { Arc::<Self>::from_foreign(splice) });
    }

    /// # Safety
    ///
    /// `splice` must come from `into_foreign`, and be there as long as the file, which is open.
    unsafe extern "C" fn handle_poll(
        splice: *mut c_void,
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bool {
        // SAFETY: By the safety requirement; the splice keeps whom it adds the poller to.
        let (this, poller) =
            unsafe { (Arc::<Self>::borrow(splice), Poller::from_raw(file, table)) };
        T::poll(this, &poller)
    }

    /// # Safety
    ///
    /// The caller gives a reference away.
    unsafe extern "C" fn closed_handle(splice: *mut c_void) {
        // SAFETY: By the safety requirement.
        T::released(unsafe { Arc::<Self>::from_foreign(splice) });
    }

    /// The splice that a socket is the source of.
    pub(crate) fn of(socket: &Socket) -> Option<Arc<Self>> {
        // SAFETY: A valid socket.
        let splice = unsafe { shim::zcio_party_splice(socket.as_ptr(), Self::CALLS) };
        // SAFETY: If it is not null, it has our calls and comes with a reference.
        (!splice.is_null()).then(|| unsafe { Arc::<Self>::from_foreign(splice) })
    }

    /// The splice that a descriptor is the handle of.
    pub(crate) fn of_handle(fd: i32) -> Option<Arc<Self>> {
        let mut file = core::ptr::null_mut();
        // SAFETY: `file` is valid for writing.
        let splice = unsafe { shim::zcio_handle_find(fd, Self::HANDLE_CALLS, &mut file) };
        if splice.is_null() {
            return None;
        }
        // SAFETY: It has our calls, and is there as long as the file is held.
        let this = unsafe { Arc::<Self>::borrow(splice) }.into();
        // SAFETY: That came with a reference to the file, given back once.
        unsafe { shim::zcio_handle_put(file) };
        Some(this)
    }
}

/// A handle that no program can see yet; dropped, it goes away as if it were closed.
///
/// # Invariants
///
/// `file` is ours, and `fd` reserved for it.
pub(crate) struct NewHandle {
    fd: i32,
    file: NonNull<bindings::file>,
}

impl NewHandle {
    /// For that splice.
    pub(crate) fn new<T: Spliced>(splice: &Arc<Worked<T>>) -> Result<Self> {
        let mut file = core::ptr::null_mut();
        let calls = Worked::<T>::HANDLE_CALLS;
        let raw = splice.clone().into_foreign();
        // SAFETY: `raw` is a reference for the file to own; `file` is valid for writing.
        let fd = unsafe { shim::zcio_handle_new(calls, raw, &mut file) };
        match NonNull::new(file).filter(|_| fd >= 0) {
            // INVARIANT: Both were just made for us.
            Some(file) => Ok(Self { fd, file }),
            None => {
                // SAFETY: There is no file, so the reference is still ours.
                drop(unsafe { Arc::<Worked<T>>::from_foreign(raw) });
                Err(to_result(fd).err().unwrap_or(ENOMEM))
            }
        }
    }

    /// Gives it to the program.
    pub(crate) fn install(self) -> usize {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: By the type invariant; both are given away, once.
        unsafe { shim::zcio_handle_install(this.fd, this.file.as_ptr()) };
        this.fd as usize
    }
}

impl Drop for NewHandle {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; both are given away, once.
        unsafe { shim::zcio_handle_abandon(self.fd, self.file.as_ptr()) };
    }
}

/// Whether two sockets can be spliced at all: of a kind that is known, connected (or about to
/// be), and with nothing that security modules object to.
pub(crate) fn check(source: &Socket, drain: &Socket) -> Result<Kind> {
    let kind = |socket: &Socket| {
        // SAFETY: A valid socket.
        let kind = unsafe { shim::zcio_splice_kind(socket.as_ptr()) };
        to_result(kind).map(|()| kind)
    };
    let of_source = kind(source)?;
    if of_source != kind(drain)? {
        return Err(super::errno::wrong_protocol());
    }
    // SAFETY: Two valid sockets, neither locked by us.
    to_result(unsafe { shim::zcio_splice_allowed(source.as_ptr(), drain.as_ptr()) })?;
    Ok(match of_source as u32 {
        shim::ZCIO_SPLICE_UDP => Kind::Datagrams,
        _ => Kind::Stream,
    })
}

/// Two numbers that no other socket has, as long as this one is open.
pub(crate) fn identity(socket: &Socket) -> (u64, u64) {
    let (mut number, mut address) = (0, 0);
    // SAFETY: A valid socket; both are valid for writing.
    unsafe { shim::zcio_splice_identity(socket.as_ptr(), &mut number, &mut address) };
    (number, address)
}

/// A socket that takes part in a splice, on one of its sides. It is there even if its program
/// closes it, which it does not keep from being closed.
///
/// # Invariants
///
/// The pointer came from `zcio_party_join` for `SIDE`, with a splice of type `Worked<T>`, and
/// `zcio_party_leave` has not been called.
pub(crate) struct Party<T: Spliced, const SIDE: u32> {
    pub(super) party: NonNull<shim::zcio_party>,
    _splice: PhantomData<Arc<Worked<T>>>,
}

// SAFETY: What is behind the pointer has locks of its own; `T` is `Send` and `Sync`.
unsafe impl<T: Spliced, const SIDE: u32> Send for Party<T, SIDE> {}

impl<T: Spliced, const SIDE: u32> Party<T, SIDE> {
    /// From now on `splice` is told what happens to the socket. EBUSY if another one is.
    pub(crate) fn join(socket: &Socket, splice: Arc<Worked<T>>) -> Result<Self> {
        let mut err = 0;
        let raw = splice.into_foreign();
        // SAFETY: A valid socket, not locked by us; `raw` is a reference that goes with the
        // calls; `err` is valid for writing.
        let party = unsafe {
            shim::zcio_party_join(socket.as_ptr(), SIDE, Worked::<T>::CALLS, raw, &mut err)
        };
        match NonNull::new(party) {
            // INVARIANT: It was just made so.
            Some(party) => Ok(Self {
                party,
                _splice: PhantomData,
            }),
            None => {
                // SAFETY: It was not taken over.
                drop(unsafe { Arc::<Worked<T>>::from_foreign(raw) });
                Err(to_result(err).err().unwrap_or(EINVAL))
            }
        }
    }

    /// Takes part no more. A source is told the error, if it is not 0, and who waits for it
    /// is woken. Gives itself back if the socket's lock was not to be had with that patience.
    pub(crate) fn leave(self, told: i32, patience: Patience) -> Result<(), Self> {
        let this = core::mem::ManuallyDrop::new(self);
        match this.leave_once(told, patience) {
            true => Ok(()),
            false => Err(core::mem::ManuallyDrop::into_inner(this)),
        }
    }

    /// Once it has returned true, `self` is not used again.
    fn leave_once(&self, told: i32, patience: Patience) -> bool {
        let (party, patient) = (self.party.as_ptr(), patience == Patience::Endless);
        // SAFETY: By the type invariant; it succeeds once, for `leave` or for `drop`. The lock is
        // not held, as that would borrow this.
        let raw = unsafe { shim::zcio_party_leave(party, SIDE, told, patient) };
        if raw.is_null() {
            return false;
        }
        // SAFETY: The reference that `join` gave away.
        drop(unsafe { Arc::<Worked<T>>::from_foreign(raw) });
        true
    }

    /// Takes the socket's lock; `None` if it was not to be had with that patience.
    pub(crate) fn lock(&mut self, patience: Patience) -> Option<LockedParty<'_, T, SIDE>> {
        let (party, patient) = (self.party.as_ptr(), patience == Patience::Endless);
        // SAFETY: Valid by the type invariant; may sleep.
        let locked = unsafe { shim::zcio_party_lock(party, patient) };
        // INVARIANT: The lock was just taken. (One that was not must not be released.)
        locked.then(|| LockedParty {
            party: self,
            _not_send: NotThreadSafe,
        })
    }
}

impl<T: Spliced, const SIDE: u32> Drop for Party<T, SIDE> {
    fn drop(&mut self) {
        self.leave_once(0, Patience::Endless);
    }
}

impl<T: Spliced> Party<T, DRAIN> {
    /// What is seen of a drain; under its lock, what will be so until it is let go of.
    pub(crate) fn look(&self) -> Drain {
        let mut seen = shim::zcio_drain_seen::default();
        // SAFETY: Valid by the type invariant.
        unsafe { shim::zcio_drain_look(self.party.as_ptr(), &mut seen) };
        Drain {
            connected: seen.connected,
            connecting: seen.connecting,
            shut: seen.shut,
            error: seen.error,
        }
    }
}

/// A party whose socket's lock is held.
///
/// # Invariants
///
/// The current task holds the lock, and releases it when this value is dropped.
pub(crate) struct LockedParty<'a, T: Spliced, const SIDE: u32> {
    party: &'a Party<T, SIDE>,
    _not_send: NotThreadSafe,
}

impl<T: Spliced, const SIDE: u32> LockedParty<'_, T, SIDE> {
    fn as_ptr(&self) -> *mut shim::zcio_party {
        self.party.party.as_ptr()
    }
}

impl<T: Spliced> LockedParty<'_, T, SOURCE> {
    /// What is seen of the source. Steps over an urgent byte that is not in line.
    pub(crate) fn look(&mut self) -> Source {
        let mut seen = shim::zcio_source_seen::default();
        // SAFETY: The lock is held.
        unsafe { shim::zcio_source_look(self.as_ptr(), &mut seen) };
        Source {
            ready: seen.ready,
            urgent: seen.urgent,
            finished: seen.finished,
            gone: seen.gone,
            error: seen.error,
        }
    }

    /// References to at most `max` bytes that are queued, which stay so; what the batch held
    /// before is let go of. Returns how many bytes, 0 if none are there.
    pub(crate) fn gather(&mut self, batch: &mut Batch, max: u32) -> Result<u32> {
        // SAFETY: The lock is held; a valid batch that nobody else has.
        let n = unsafe { shim::zcio_source_gather(self.as_ptr(), batch.0.as_ptr(), max) };
        u32::try_from(n).map_err(|_| Error::from_errno(n as i32))
    }

    /// Takes the first bytes of what was gathered last off the queue.
    pub(crate) fn consume(&mut self, batch: &Batch, len: u32) {
        // SAFETY: The lock is held; a valid batch.
        unsafe { shim::zcio_source_consume(self.as_ptr(), batch.0.as_ptr(), len) }
    }
}

impl<T: Spliced> LockedParty<'_, T, DRAIN> {
    /// What is seen of the drain.
    pub(crate) fn look(&self) -> Drain {
        self.party.look()
    }

    /// Sends what was gathered, without waiting. Says what became of it, and how many bytes
    /// of those taken are copies.
    pub(crate) fn send(
        &mut self,
        batch: &mut Batch,
        urgent: bool,
        keep_error: bool,
    ) -> (Sent, u64) {
        let mut sent = shim::zcio_sent::default();
        // SAFETY: The lock is held; a valid batch that nobody else has.
        unsafe {
            shim::zcio_drain_send(
                self.as_ptr(),
                batch.0.as_ptr(),
                urgent,
                keep_error,
                &mut sent,
            );
        };
        let became = match u32::try_from(sent.taken) {
            Ok(n) if sent.short_of_memory => Sent::Short(n),
            Err(_) if sent.short_of_memory => Sent::Short(0),
            Ok(n) => Sent::Taken(n),
            Err(_) if Error::from_errno(sent.taken as i32) == EAGAIN => Sent::Full,
            Err(_) => Sent::Failed,
        };
        (became, sent.copied)
    }
}

impl<T: Spliced, const SIDE: u32> Drop for LockedParty<'_, T, SIDE> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock is held.
        unsafe { shim::zcio_party_unlock(self.as_ptr()) }
    }
}

/// Bytes on their way from a source to a drain: references to the pages that they lie in.
///
/// # Invariants
///
/// The pointer came from `zcio_batch_alloc`, and is freed by `drop` only.
pub(crate) struct Batch(pub(super) NonNull<shim::zcio_batch>);

// SAFETY: Memory and references to pages belong to no thread.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty one; `None` if there is no memory.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: No preconditions. INVARIANT: Just allocated, and ours.
        NonNull::new(unsafe { shim::zcio_batch_alloc() }).map(Self)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { shim::zcio_batch_free(self.0.as_ptr()) }
    }
}

/// Wakes a splice after some time.
///
/// # Invariants
///
/// The pointer came from `zcio_alarm_alloc` and is freed by `drop` only, before the reference
/// to the splice that it is for is given back.
pub(crate) struct Alarm<T: Spliced> {
    alarm: NonNull<shim::zcio_alarm>,
    splice: NonNull<c_void>,
    _splice: PhantomData<Arc<Worked<T>>>,
}

// SAFETY: A timer has a lock of its own; `T` is `Send` and `Sync`.
unsafe impl<T: Spliced> Send for Alarm<T> {}

impl<T: Spliced> Alarm<T> {
    /// For that splice; not set.
    pub(crate) fn new(splice: Arc<Worked<T>>) -> Result<Self> {
        let raw = splice.into_foreign();
        // SAFETY: The reference is ours until after the alarm is freed.
        let alarm = unsafe { shim::zcio_alarm_alloc(Worked::<T>::CALLS, raw) };
        match NonNull::new(alarm).zip(NonNull::new(raw)) {
            // INVARIANT: Just allocated, with a reference of its own.
            Some((alarm, splice)) => Ok(Self {
                alarm,
                splice,
                _splice: PhantomData,
            }),
            None => {
                // SAFETY: Nothing was made of it.
                drop(unsafe { Arc::<Worked<T>>::from_foreign(raw) });
                Err(ENOMEM)
            }
        }
    }

    /// Rings after so many ticks.
    pub(crate) fn set(&self, ticks: u64) {
        // SAFETY: Valid by the type invariant.
        unsafe { shim::zcio_alarm_set(self.alarm.as_ptr(), ticks) }
    }
}

impl<T: Spliced> Drop for Alarm<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; may sleep. It does not ring any more afterwards.
        unsafe { shim::zcio_alarm_free(self.alarm.as_ptr()) };
        // SAFETY: The reference that `new` took.
        drop(unsafe { Arc::<Worked<T>>::from_foreign(self.splice.as_ptr()) });
    }
}

/// The time, in ticks.
pub(crate) fn now() -> u64 {
    // SAFETY: No preconditions.
    unsafe { shim::zcio_ticks() }
}

/// So many nanoseconds in ticks, never less.
pub(crate) fn ticks(nanoseconds: u64) -> u64 {
    // SAFETY: No preconditions.
    unsafe { shim::zcio_ticks_of(nanoseconds) }
}

/// What all splices share; there as long as the module.
pub(crate) struct Machinery(());

impl Machinery {
    /// Before the device can be opened.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Called once, when the module is loaded.
        to_result(unsafe { shim::zcio_splice_init() })?;
        Ok(Self(()))
    }
}

impl Drop for Machinery {
    fn drop(&mut self) {
        // SAFETY: The module is unloaded, or was not loaded in full: no context is open, and so
        // there is no splice.
        unsafe { shim::zcio_splice_exit() }
    }
}
