// SPDX-License-Identifier: MIT
//! What the standard library lacks: CPU clocks, limits and SO_RCVLOWAT. The only unsafe code.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// CPU time of the calling thread so far, user and system.
pub fn thread_cpu() -> Duration {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `now` has room for the result.
    let ret = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, now.as_mut_ptr()) };
    assert_eq!(ret, 0, "Linux has this clock");
    // SAFETY: filled, as the call succeeded.
    let now = unsafe { now.assume_init() };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// CPU time of the process so far, user and system.
pub fn process_cpu() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` has room for the result.
    let ret = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(ret, 0, "getrusage has no reason to fail");
    // SAFETY: filled, as the call succeeded.
    let usage = unsafe { usage.assume_init() };
    let time = |tv: libc::timeval| Duration::new(tv.tv_sec as u64, tv.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Sets a socket's option whose value is a plain structure of C.
fn set<T>(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the option's value lies in `value`, of which the call gets the true length and only
    // reads. What it points to, if it does, the callers keep.
    let ret = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of_val(value) as libc::socklen_t,
        )
    };
    if ret == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes receiving calls wait until `bytes` bytes are there or the stream ends.
pub fn set_receive_low_water(socket: &TcpStream, bytes: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, &value)
}

/// Lets the process open as many files as it was allowed to allow itself.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for the result.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the call only reads. Should it fail, the limit is what it was.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}

/// Of the sockets that share an address (SO_REUSEPORT), the first one gets all that comes to
/// those which are not connected: so what comes to one between its bind and its connect is not
/// somebody else's. A program of one instruction: it always gives 0.
pub fn first_gets_all(socket: &impl AsFd) -> io::Result<()> {
    let code = (libc::BPF_RET | libc::BPF_K) as u16;
    let mut filter = libc::sock_filter { code, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &mut filter };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// Datagrams of one sender that come close together are received as one (UDP_GRO, udp(7)). Only
/// for sockets that no program reads from: it would have to cut them itself. A splice does.
pub fn join_datagrams(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    set(socket, libc::SOL_UDP, libc::UDP_GRO, &on)
}

/// Lets a socket keep so much of what it receives: all of it for who may (CAP_NET_ADMIN), else as
/// much as the system lets anybody have.
pub fn set_receive_room(socket: &impl AsFd, bytes: libc::c_int) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
        .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes))
}
