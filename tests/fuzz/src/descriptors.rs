// SPDX-License-Identifier: GPL-2.0
//! Operations on descriptors: ordinary senders and receivers on checked connections, and
//! everything that can be done with other ones.

use crate::pattern::{Pattern, PIECE};
use crate::program::{Op, RecvHow, SendHow, Sockopt};
use crate::sys;
use crate::timer;
use crate::world::{Stream, World};
use std::os::fd::RawFd;
use std::sync::atomic::Ordering::Relaxed;

/// Most bytes of one ordinary call.
const MOST: usize = 1 << 20;
/// From <linux/if_packet.h>.
const PACKET_VNET_HDR: i32 = 15;

impl World<'_> {
    pub fn descriptors(&self, op: &Op) -> Option<()> {
        match *op {
            Op::LinkSend { link, side, len, how } => self.link_send(link, side, len as usize, how),
            Op::LinkRecv { link, side, len, how, timer } => self.link_recv(link, side, len as usize, how, timer),
            Op::LinkShutdown { link, side, how } => {
                let side = side as usize % 2;
                let link = self.link(link)?;
                link.streams[side].ended.store(true, Relaxed);
                if how != libc::SHUT_WR {
                    // What arrives at a socket that is closed both ways resets it.
                    link.broken();
                }
                // SAFETY: A socket of ours.
                unsafe { libc::shutdown(link.fds[side], how) };
                Some(())
            }
            Op::LinkReset { link, side } => {
                let link = self.link(link)?;
                link.broken();
                // connect() to no address sends a RST and keeps the descriptor.
                // SAFETY: Zeros are an address of family AF_UNSPEC.
                unsafe {
                    let nowhere: libc::sockaddr = std::mem::zeroed();
                    libc::connect(link.fds[side as usize % 2], &nowhere, size_of_val(&nowhere) as u32);
                }
                Some(())
            }
            Op::LinkSockopt { link, side, option, value } => {
                let harmless = !matches!(option, Sockopt::Repair | Sockopt::OobInline | Sockopt::PeekOff);
                harmless.then(|| set_option(self.link(link)?.fds[side as usize % 2], option, value))?
            }
            Op::LinkNonblock { link, side, on } => {
                sys::set_nonblock(self.link(link)?.fds[side as usize % 2], on);
                Some(())
            }
            _ => self.others(op),
        }
    }

    fn link_send(&self, link: u8, side: u8, len: usize, how: SendHow) -> Option<()> {
        let number = link as usize % self.links.len().max(1);
        let side = side as usize % 2;
        let link = self.link(link)?;
        let stream = &link.streams[side];
        let mut tx = stream.tx.try_lock().ok()?;
        let bytes = self.env.pattern.bytes(2 * number + side, *tx, len.min(PIECE));
        let place = Pattern::place(2 * number + side, *tx) as i64;
        let fd = link.fds[side];
        let send = |flags: i32| {
            let (at, len) = (bytes.as_ptr().cast(), bytes.len());
            // SAFETY: Bytes of the pattern, which never change.
            sys::result(unsafe { libc::send(fd, at, len, flags | libc::MSG_NOSIGNAL) } as i64)
        };
        let sent = timer::limited(20, || match how {
            SendHow::Copy => send(0),
            SendHow::More => send(libc::MSG_MORE),
            SendHow::EndOfRecord => send(libc::MSG_EOR),
            SendHow::ZeroCopy => send(libc::MSG_ZEROCOPY),
            SendHow::Sendfile => {
                let mut offset = place;
                // SAFETY: The offset can be written.
                sys::result(unsafe { libc::sendfile(fd, self.env.table, &mut offset, bytes.len()) } as i64)
            }
            SendHow::Vmsplice => Ok(through_pipe(stream, fd, bytes)),
        });
        *tx += sent.unwrap_or(0) as u64;
        Some(())
    }

    fn link_recv(&self, link: u8, side: u8, len: usize, how: RecvHow, timer: u16) -> Option<()> {
        let number = link as usize % self.links.len().max(1);
        let (side, from) = (side as usize % 2, 1 - side as usize % 2);
        let link = self.link(link)?;
        let stream = &link.streams[from];
        let mut rx = stream.rx.try_lock().ok()?;
        let ended = stream.ended.load(Relaxed);
        let mut buffer = vec![0u8; len.clamp(1, MOST)];
        let flags = match how {
            RecvHow::Copy => 0,
            RecvHow::Peek => libc::MSG_PEEK,
            RecvHow::Truncate => libc::MSG_TRUNC,
        };
        // SAFETY: Room for all of it.
        let mut call = || unsafe { libc::recv(link.fds[side], buffer.as_mut_ptr().cast(), buffer.len(), flags) } as i64;
        let got = timer::limited(timer, || sys::result(call())).ok()?;
        if got == 0 && !ended && !stream.ended.load(Relaxed) {
            self.shared.violation(&format!("recv: link {number} ended at {rx}, but its sender did not end it"));
        }
        let got = &buffer[..got as usize];
        if how != RecvHow::Truncate && !stream.blind.load(Relaxed) {
            if let Some(text) = self.env.pattern.differs(2 * number + from, *rx, got) {
                self.shared.violation(&format!("recv ({how:?}): link {number}: {text}"));
            }
            self.shared.checked.fetch_add(got.len() as u64, Relaxed);
        }
        if how != RecvHow::Peek {
            *rx += got.len() as u64;
        }
        Some(())
    }

    fn others(&self, op: &Op) -> Option<()> {
        let buffer = |s: &crate::program::Span| (s.base() as *mut libc::c_void, (s.len as usize).min(2 * MOST));
        let pointer = match op {
            Op::Send { from, .. } | Op::Write { from, .. } | Op::Vmsplice { from, .. } => Some(from),
            Op::Recv { to, .. } | Op::Read { to, .. } => Some(to),
            _ => None,
        };
        let _held = self.hold(pointer.iter().map(|s| (s.base(), s.len as usize)))?;
        // SAFETY: What the kernel writes to is a slot, or nothing; descriptors are the
        // program's own.
        unsafe {
            match *op {
                Op::Send { fd, ref from, flags, timer } => {
                    let (at, len) = buffer(from);
                    let flags = flags | libc::MSG_NOSIGNAL;
                    call(timer, || libc::send(self.fd(fd), at, len, flags) as i64);
                }
                Op::Recv { fd, ref to, flags, timer } => {
                    let (at, len) = buffer(to);
                    call(timer, || libc::recv(self.fd(fd), at, len, flags) as i64);
                }
                Op::Read { fd, ref to, offset, timer } => {
                    let (at, len) = buffer(to);
                    call(timer, || {
                        either(libc::pread(self.fd(fd), at, len, i64::from(offset)), || {
                            libc::read(self.fd(fd), at, len)
                        })
                    });
                }
                Op::Write { fd, ref from, offset, timer } => {
                    let (at, len) = buffer(from);
                    call(timer, || {
                        either(libc::pwrite(self.fd(fd), at, len, i64::from(offset)), || {
                            libc::write(self.fd(fd), at, len)
                        })
                    });
                }
                Op::Vmsplice { fd, ref from, flags, timer } => {
                    let (at, len) = buffer(from);
                    let iov = sys::iovec(at as usize, len);
                    call(timer, || libc::vmsplice(self.fd(fd), &iov, 1, flags) as i64);
                }
                Op::Splice { from, to, len, flags, timer } => {
                    let (from, to) = (self.fd(from), self.fd(to));
                    let none = std::ptr::null_mut();
                    call(timer, || libc::splice(from, none, to, none, len as usize, flags) as i64);
                }
                Op::Sendfile { from, to, len, timer } => {
                    let mut offset = 0;
                    call(timer, || libc::sendfile(self.fd(to), self.fd(from), &mut offset, len as usize) as i64);
                }
                Op::Shutdown { fd, how } => {
                    libc::shutdown(self.fd(fd), how);
                }
                Op::Reset { fd } => {
                    let hard = libc::linger { l_onoff: 1, l_linger: 0 };
                    sys::setsockopt(self.fd(fd), libc::SOL_SOCKET, libc::SO_LINGER, &hard);
                    self.replace_fd(fd, -1);
                }
                Op::SetSockopt { fd, option, value } => set_option(self.fd(fd), option, value)?,
                Op::Nonblock { fd, on } => sys::set_nonblock(self.fd(fd), on),
                Op::Poll { ref fds, timer } => {
                    let poll = |fd: &u8| libc::pollfd { fd: self.fd(*fd), events: !0, revents: 0 };
                    let mut all: Vec<_> = fds.iter().map(poll).collect();
                    call(timer, || i64::from(libc::poll(all.as_mut_ptr(), all.len() as u64, i32::from(timer % 50))));
                }
                Op::EpollAdd { epoll, fd } => {
                    let mut event = libc::epoll_event { events: !0, u64: 0 };
                    libc::epoll_ctl(self.fd(epoll), libc::EPOLL_CTL_ADD, self.fd(fd), &mut event);
                }
                Op::Dup { from, to } => self.replace_fd(to, libc::dup(self.fd(from))),
                Op::Dup2 { from, to } if self.fd(to) >= 0 => {
                    libc::dup2(self.fd(from), self.fd(to));
                }
                Op::DupContext { ctx, to } => self.replace_fd(to, libc::dup(self.context(ctx))),
                Op::Close { fd } => self.replace_fd(fd, -1),
                Op::Reopen { fd, kind } => {
                    for (i, new) in self.env.net.make(kind).into_iter().enumerate() {
                        self.replace_fd(fd.wrapping_add(i as u8), new);
                    }
                }
                Op::Pass { through, fd, leave } => self.pass(through, self.fd(fd), leave),
                Op::PassContext { through, ctx, leave } => self.pass(through, self.context(ctx), leave),
                _ => {}
            }
        }
        Some(())
    }

    /// A descriptor in a message, received again from the same socket's other end, where
    /// that follows in the table.
    fn pass(&self, through: u8, fd: RawFd, leave: bool) {
        const SPACE: usize = 64;
        let mut byte = [0u8];
        let mut iov = sys::iovec(byte.as_mut_ptr() as usize, 1);
        let mut control = [0u64; SPACE / 8];
        // SAFETY: The message describes the memory above, which has room for one descriptor.
        unsafe {
            let mut msg: libc::msghdr = std::mem::zeroed();
            msg.msg_iov = &mut iov;
            msg.msg_iovlen = 1;
            msg.msg_control = control.as_mut_ptr().cast();
            msg.msg_controllen = libc::CMSG_SPACE(4) as usize;
            let header = libc::CMSG_FIRSTHDR(&msg);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<i32>().write(fd);
            if libc::sendmsg(self.fd(through), &msg, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) != 1 || leave {
                return;
            }
            msg.msg_controllen = SPACE;
            if libc::recvmsg(self.fd(through ^ 1), &mut msg, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) == 1 {
                let header = libc::CMSG_FIRSTHDR(&msg);
                if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
                    sys::close(libc::CMSG_DATA(header).cast::<i32>().read());
                }
            }
        }
    }
}

fn call(ms: u16, call: impl FnOnce() -> i64) {
    let _ = timer::limited(ms, || sys::result(call()));
}

/// What has no positions is read and written without.
fn either(n: isize, other: impl FnOnce() -> isize) -> i64 {
    if n == -1 && sys::errno() == libc::ESPIPE {
        other() as i64
    } else {
        n as i64
    }
}

/// Sends by way of a pipe that refers to the pattern's memory. How much went.
fn through_pipe(stream: &Stream, fd: RawFd, bytes: &[u8]) -> i64 {
    let [out, into] = stream.pipe;
    let iov = sys::iovec(bytes.as_ptr() as usize, bytes.len());
    let none = std::ptr::null_mut();
    let mut sent = 0;
    // SAFETY: The pattern never changes; the pipe is the stream's, whose lock we hold.
    unsafe {
        let mut left = libc::vmsplice(into, &iov, 1, libc::SPLICE_F_NONBLOCK);
        while left > 0 {
            let n = libc::splice(out, none, fd, none, left as usize, libc::SPLICE_F_NONBLOCK);
            if n <= 0 {
                break;
            }
            sent += n;
            left -= n;
        }
        // What the socket did not take is gone.
        let mut rest = [0u8; 4096];
        while left > 0 {
            left -= libc::read(out, rest.as_mut_ptr().cast(), rest.len()).max(1);
        }
    }
    sent as i64
}

fn set_option(fd: RawFd, option: Sockopt, value: i32) -> Option<()> {
    use libc::{IPPROTO_TCP, SOL_SOCKET};
    let (level, name) = match option {
        Sockopt::RcvBuf => (SOL_SOCKET, libc::SO_RCVBUF),
        Sockopt::SndBuf => (SOL_SOCKET, libc::SO_SNDBUF),
        Sockopt::RcvLowat => (SOL_SOCKET, libc::SO_RCVLOWAT),
        Sockopt::OobInline => (SOL_SOCKET, libc::SO_OOBINLINE),
        Sockopt::ZeroCopy => (SOL_SOCKET, libc::SO_ZEROCOPY),
        Sockopt::PeekOff => (SOL_SOCKET, libc::SO_PEEK_OFF),
        Sockopt::BusyPoll => (SOL_SOCKET, libc::SO_BUSY_POLL),
        Sockopt::NoDelay => (IPPROTO_TCP, libc::TCP_NODELAY),
        Sockopt::Cork => (IPPROTO_TCP, libc::TCP_CORK),
        Sockopt::Repair => (IPPROTO_TCP, libc::TCP_REPAIR),
        Sockopt::Timestamp => (SOL_SOCKET, libc::SO_TIMESTAMPNS),
        Sockopt::UdpGro => (libc::SOL_UDP, libc::UDP_GRO),
        Sockopt::UdpSegment => (libc::SOL_UDP, libc::UDP_SEGMENT),
        Sockopt::VnetHeader => (libc::SOL_PACKET, PACKET_VNET_HDR),
        Sockopt::RcvTimeo | Sockopt::SndTimeo => {
            let name = if option == Sockopt::RcvTimeo { libc::SO_RCVTIMEO } else { libc::SO_SNDTIMEO };
            let time = libc::timeval { tv_sec: 0, tv_usec: i64::from(value) % 50_000 };
            sys::setsockopt(fd, SOL_SOCKET, name, &time);
            return Some(());
        }
        Sockopt::Linger => {
            let linger = libc::linger { l_onoff: value & 1, l_linger: 0 };
            sys::setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &linger);
            return Some(());
        }
        Sockopt::Ulp => {
            sys::setsockopt(fd, IPPROTO_TCP, libc::TCP_ULP, b"tls");
            return Some(());
        }
    };
    // The kernel's own recv() polls so many microseconds and lets no signal end it.
    let value = if option == Sockopt::BusyPoll { value & 0xff } else { value };
    sys::setsockopt(fd, level, name, &value);
    Some(())
}
