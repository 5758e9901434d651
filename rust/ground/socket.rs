// SPDX-License-Identifier: GPL-2.0

//! Sockets, in three states that are three types: found ([`Socket`]), known to be plain
//! TCP ([`Tcp`]), locked ([`Locked`]). Received pages can be borrowed from a locked
//! socket only, and only until something is consumed.

use super::datagram::DatagramSocket;
use super::errno;
use super::page::PageRef;
use super::shim;
use super::skb::{Buffer, Segment};
use super::uapi::IoVec;
use crate::plan::PAGE_SIZE;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;
use kernel::time::Jiffies;
use kernel::types::NotThreadSafe;

/// A socket, found by its descriptor.
///
/// # Invariants
///
/// The pointer is valid, and this value owns one reference to the socket's file.
pub(crate) struct Socket(NonNull<bindings::socket>);

impl Socket {
    /// EBADF for what is not open, ENOTSOCK for what is not a socket.
    pub(crate) fn from_fd(fd: i32) -> Result<Self> {
        let mut err = 0;
        // SAFETY: `err` is valid for writing.
        let sock = unsafe { shim::zcio_socket_get(fd, &mut err) };
        match NonNull::new(from_err_ptr(sock)?) {
            // INVARIANT: A reference to the file came with the pointer.
            Some(sock) => Ok(Self(sock)),
            None => Err(to_result(err).err().unwrap_or(EBADF)),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::socket {
        self.0.as_ptr()
    }

    /// What kind of socket it is; EOPNOTSUPP for those that are not served.
    pub(crate) fn kind(&self) -> Result<Kind<'_>> {
        match self.datagrams() {
            Some(datagrams) => Ok(Kind::Datagrams(datagrams)),
            None => self.tcp().map(Kind::Stream),
        }
    }

    /// The socket as one that keeps boundaries: UDP, AF_PACKET.
    fn datagrams(&self) -> Option<DatagramSocket<'_>> {
        let sock = self.0.as_ptr();
        // SAFETY: Valid by the type invariant.
        let known = unsafe { shim::zcio_socket_is_udp(sock) || shim::zcio_socket_is_packet(sock) };
        // SAFETY: Of a known kind, and borrowed for as long as the result.
        known.then(|| unsafe { DatagramSocket::from_raw(self.0) })
    }

    /// What `recvmsg()` would object to: security modules, a pending socket error.
    pub(crate) fn check_receive(&self) -> Result {
        // SAFETY: Valid by the type invariant, and not locked by us.
        to_result(unsafe { shim::zcio_socket_may_receive(self.0.as_ptr()) })
    }

    /// The socket as plain TCP, over IPv4 or IPv6; EOPNOTSUPP for every other kind.
    pub(crate) fn tcp(&self) -> Result<Tcp<'_>> {
        // SAFETY: Valid by the type invariant.
        if unsafe { shim::zcio_socket_is_tcp(self.0.as_ptr()) } {
            Ok(Tcp(self))
        } else {
            Err(errno::not_supported())
        }
    }

    /// Whether the descriptor has O_NONBLOCK.
    pub(crate) fn nonblocking(&self) -> bool {
        // SAFETY: Valid by the type invariant.
        unsafe { shim::zcio_socket_nonblock(self.0.as_ptr()) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference, and give it back once.
        unsafe { shim::zcio_socket_put(self.0.as_ptr()) }
    }
}

/// What a socket keeps: the order of bytes, or the boundaries of datagrams.
#[derive(Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// Plain TCP.
    Stream(Tcp<'a>),
    /// UDP and AF_PACKET.
    Datagrams(DatagramSocket<'a>),
}

/// A socket that is plain TCP.
#[derive(Clone, Copy)]
pub(crate) struct Tcp<'a>(&'a Socket);

impl<'a> Tcp<'a> {
    fn as_ptr(&self) -> *mut bindings::socket {
        self.0 .0.as_ptr()
    }

    /// ENOTCONN for a socket that listens or never was connected.
    pub(crate) fn check_connected(&self) -> Result {
        // SAFETY: A valid TCP socket.
        if unsafe { shim::zcio_tcp_connected(self.as_ptr()) } {
            Ok(())
        } else {
            Err(errno::not_connected())
        }
    }

    /// What `sendmsg()` would object to, with the SIGPIPE it would raise.
    pub(crate) fn check_send(&self, nonblock: bool, nosignal: bool) -> Result {
        // SAFETY: A valid socket, not locked by us.
        to_result(unsafe { shim::zcio_socket_may_send(self.as_ptr(), nonblock, nosignal) })
    }

    /// Sends what lies in user memory, as `sendmsg()` does. Returns how many bytes were
    /// taken.
    pub(crate) fn send_user(&self, from: &[IoVec], how: SendFlags) -> Result<usize> {
        let bytes = from.iter().map(|v| v.len).sum();
        // SAFETY: A valid TCP socket, not locked by us. `IoVec` is `struct iovec`; its addresses
        // are checked when they are read.
        let n = unsafe {
            shim::zcio_send_user(
                self.as_ptr(),
                from.as_ptr().cast(),
                from.len() as u32,
                bytes,
                how.nonblock,
                how.more,
                how.nosignal,
            )
        };
        errno::bytes(n)
    }

    /// Sends what was held back because more was to follow.
    pub(crate) fn push(&self) {
        // SAFETY: A valid TCP socket, not locked by us.
        unsafe { shim::zcio_tcp_push(self.as_ptr()) }
    }

    /// Takes the socket lock; EOPNOTSUPP if an upper layer (kTLS) has come meanwhile.
    pub(crate) fn lock(self) -> Result<Locked<'a>> {
        // SAFETY: A valid socket; may sleep.
        unsafe { shim::zcio_lock_sock(self.as_ptr()) };
        // INVARIANT: The lock was just taken.
        let locked = Locked {
            tcp: self,
            _not_send: NotThreadSafe,
        };
        locked.check()?;
        Ok(locked)
    }
}

/// A TCP socket whose lock is held.
///
/// # Invariants
///
/// The current task holds the socket lock, and releases it when this value is dropped.
pub(crate) struct Locked<'a> {
    tcp: Tcp<'a>,
    _not_send: NotThreadSafe,
}

impl Locked<'_> {
    /// EOPNOTSUPP if an upper layer (kTLS) has come: after every wait, which lets go of the
    /// lock.
    pub(crate) fn check(&self) -> Result {
        self.tcp.0.tcp().map(|_| ())
    }

    /// Waits for data as `recvmsg()` does (O_NONBLOCK, SO_RCVTIMEO, SO_RCVLOWAT, signals).
    /// Returns how many bytes there are, 0 at the end of the stream. The lock is
    /// released while waiting.
    pub(crate) fn wait_data(&mut self, capacity: usize, nonblock: bool) -> Result<usize> {
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        // SAFETY: The lock is held.
        let n = unsafe { shim::zcio_tcp_wait_data(self.tcp.as_ptr(), capacity, nonblock) };
        let n = errno::bytes(n)?;
        self.check()?;
        Ok(n)
    }

    /// Looks at what is queued, consuming nothing.
    pub(crate) fn queue(&self) -> Queue<'_> {
        let mut cursor = shim::zcio_cursor::default();
        // SAFETY: The lock is held.
        unsafe { shim::zcio_tcp_start(self.tcp.as_ptr(), &mut cursor, u32::MAX) };
        Queue {
            sock: self,
            buffer: Buffer::new(cursor),
        }
    }

    /// The same, to be copied one after the other.
    pub(crate) fn bytes(&self) -> Bytes<'_> {
        let mut cursor = shim::zcio_cursor::default();
        // SAFETY: The lock is held.
        unsafe { shim::zcio_tcp_start(self.tcp.as_ptr(), &mut cursor, u32::MAX) };
        Bytes { sock: self, cursor }
    }

    /// Takes `len` bytes off the queue. Everything borrowed from it is gone by then.
    pub(crate) fn consume(&mut self, len: usize) {
        // SAFETY: The lock is held.
        unsafe { shim::zcio_tcp_consume(self.tcp.as_ptr(), len as u32) }
    }

    /// Waits until the send buffer takes something, or an error is due that sending
    /// will report.
    pub(crate) fn wait_space(&mut self, nonblock: bool) -> Result {
        // SAFETY: The lock is held.
        to_result(unsafe { shim::zcio_tcp_wait_space(self.tcp.as_ptr(), nonblock) })
    }

    /// The time, for `timed_out`.
    pub(crate) fn now(&self) -> Jiffies {
        // SAFETY: Always.
        unsafe { shim::zcio_now() }
    }

    /// Whether a call that waits `since` then has used SO_SNDTIMEO up.
    pub(crate) fn timed_out(&self, since: Jiffies) -> bool {
        // SAFETY: The socket is valid.
        unsafe { shim::zcio_tcp_timed_out(self.tcp.as_ptr(), since) }
    }

    /// Leaves an error that `send` returned for the next call, if it is the socket's.
    pub(crate) fn error_stays(&mut self, e: Error) {
        // SAFETY: The socket is valid.
        unsafe { shim::zcio_tcp_error_stays(self.tcp.as_ptr(), e.to_errno()) }
    }

    /// Whether pages can reach the device without the stack copying them; `sealed` ones
    /// are those that nobody can write to.
    pub(crate) fn gathers(&self, sealed: bool) -> bool {
        // SAFETY: The lock is held.
        unsafe { shim::zcio_tcp_gathers(self.tcp.as_ptr(), sealed) }
    }

    /// Sends the pieces, in order, by reference: the stack takes references to the pages
    /// of its own. Returns how many bytes were taken. The lock is released while
    /// waiting for room, unless `nonblock`.
    pub(crate) fn send(&mut self, pieces: &mut PageVec<'_>, how: SendFlags) -> Result<usize> {
        // SAFETY: The lock is held; the vector describes `len` bytes in pages that stay
        // alive during the call, and the callee takes what references it needs.
        let n = unsafe {
            shim::zcio_tcp_send_pages(
                self.tcp.as_ptr(),
                pieces.vecs.as_mut_ptr(),
                pieces.vecs.len() as u32,
                pieces.bytes,
                how.nonblock,
                how.more,
                how.nosignal,
                how.sealed,
            )
        };
        errno::bytes(n)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock is held.
        unsafe { shim::zcio_release_sock(self.tcp.as_ptr()) }
    }
}

/// How to send: `MSG_DONTWAIT`, `MSG_MORE`, `MSG_NOSIGNAL`, `MSG_NO_SHARED_FRAGS`.
#[derive(Clone, Copy)]
pub(crate) struct SendFlags {
    /// Do not wait for room.
    pub(crate) nonblock: bool,
    /// More will follow at once.
    pub(crate) more: bool,
    /// No SIGPIPE.
    pub(crate) nosignal: bool,
    /// Nobody can write to the pages any more.
    pub(crate) sealed: bool,
}

/// Pieces of pages, to be sent in order.
pub(crate) struct PageVec<'a> {
    vecs: KVVec<bindings::bio_vec>,
    bytes: usize,
    _pages: PhantomData<PageRef<'a>>,
}

impl<'a> PageVec<'a> {
    /// Room for `n` pieces.
    pub(crate) fn with_capacity(n: usize) -> Result<Self> {
        Ok(Self {
            vecs: KVVec::with_capacity(n, GFP_KERNEL)?,
            bytes: 0,
            _pages: PhantomData,
        })
    }

    /// Adds `len` bytes at `offset` of `page`; EINVAL if they are not inside it.
    pub(crate) fn push(&mut self, page: PageRef<'a>, offset: usize, len: usize) -> Result {
        if offset > PAGE_SIZE || len > PAGE_SIZE - offset {
            return Err(EINVAL);
        }
        self.vecs.push(
            bindings::bio_vec {
                bv_page: page.as_ptr(),
                bv_len: len as u32,
                bv_offset: offset as u32,
            },
            GFP_KERNEL,
        )?;
        self.bytes += len;
        Ok(())
    }

    /// The pieces, how many, and their bytes.
    pub(super) fn raw(&mut self) -> (*mut bindings::bio_vec, usize, usize) {
        (self.vecs.as_mut_ptr(), self.vecs.len(), self.bytes)
    }

    /// Takes all of them out, to be filled again.
    pub(crate) fn clear(&mut self) {
        self.vecs.clear();
        self.bytes = 0;
    }
}

/// The data queued on a locked socket, segment by segment.
pub(crate) struct Queue<'a> {
    sock: &'a Locked<'a>,
    buffer: Buffer,
}

impl<'a> Iterator for Queue<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let sock = self.sock.tcp.as_ptr();
        let seg = self.buffer.next(|cursor, segs, max| {
            // SAFETY: The lock is held for `'a`; there is room for `max` segments.
            unsafe { shim::zcio_tcp_segments(sock, cursor, segs, max) }
        })?;
        // SAFETY: Nothing is consumed while the socket is borrowed for `'a`.
        Some(unsafe { Segment::from_raw(seg) })
    }
}

/// The bytes queued on a locked socket, one after the other.
pub(crate) struct Bytes<'a> {
    sock: &'a Locked<'a>,
    cursor: shim::zcio_cursor,
}

impl Bytes<'_> {
    /// Bytes in the largest frag of the skb that has the next bytes; 0 if it has none.
    pub(crate) fn largest_frag(&self) -> usize {
        // SAFETY: The lock is held, and nothing is consumed while the socket is borrowed: the
        // cursor is where it was.
        unsafe { shim::zcio_tcp_largest_frag(&self.cursor) as usize }
    }

    /// Copies the next `len` bytes (at most a page's) to the beginning of a page. Returns how
    /// many: less only at the end, or where device memory comes.
    pub(crate) fn copy(&mut self, to: PageRef<'_>, len: usize) -> Result<usize> {
        let sock = self.sock.tcp.as_ptr();
        let len = len.min(PAGE_SIZE) as u32;
        // SAFETY: The lock is held, and nothing is consumed while the socket is borrowed. The
        // page is valid and has room for so many bytes.
        errno::bytes(unsafe { shim::zcio_tcp_copy(sock, &mut self.cursor, to.as_ptr(), len) })
    }
}
