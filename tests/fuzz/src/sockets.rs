// SPDX-License-Identifier: GPL-2.0
//! Making sockets and other descriptors of every kind. Which addresses there are, the
//! rig says in the environment; with two devices the peer has a network namespace.

use crate::program::{FdKind, Path};
use crate::sys;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

/// Where sockets can be made.
pub struct Net {
    home: RawFd,
    /// `None`: both ends are here.
    peer: Option<RawFd>,
    local4: IpAddr,
    peer4: IpAddr,
    local6: IpAddr,
    peer6: IpAddr,
}

fn address(name: &str, default: &str) -> IpAddr {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or_else(|_| default.parse().expect("an address"))
}

/// The kernel's form of an address.
fn sockaddr(addr: SocketAddr) -> (libc::sockaddr_storage, u32) {
    // SAFETY: Zeros are a value of these structures; each fits into the storage.
    unsafe {
        let mut out: libc::sockaddr_storage = std::mem::zeroed();
        let len = match addr {
            SocketAddr::V4(v4) => {
                let to = &mut *std::ptr::from_mut(&mut out).cast::<libc::sockaddr_in>();
                to.sin_family = libc::AF_INET as u16;
                to.sin_port = v4.port().to_be();
                to.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let to = &mut *std::ptr::from_mut(&mut out).cast::<libc::sockaddr_in6>();
                to.sin6_family = libc::AF_INET6 as u16;
                to.sin6_port = v6.port().to_be();
                to.sin6_addr.s6_addr = v6.ip().octets();
                size_of::<libc::sockaddr_in6>()
            }
        };
        (out, len as u32)
    }
}

fn bind(fd: RawFd, addr: SocketAddr) -> i32 {
    let (addr, len) = sockaddr(addr);
    // SAFETY: A valid address.
    unsafe { libc::bind(fd, std::ptr::from_ref(&addr).cast(), len) }
}

fn connect(fd: RawFd, addr: SocketAddr) -> i32 {
    let (addr, len) = sockaddr(addr);
    // SAFETY: A valid address.
    unsafe { libc::connect(fd, std::ptr::from_ref(&addr).cast(), len) }
}

fn port(fd: RawFd) -> u16 {
    // SAFETY: The storage has room for any address; both families have the port there.
    unsafe {
        let mut addr: libc::sockaddr_storage = std::mem::zeroed();
        let mut len = size_of_val(&addr) as u32;
        libc::getsockname(fd, std::ptr::from_mut(&mut addr).cast(), &mut len);
        u16::from_be((*std::ptr::from_ref(&addr).cast::<libc::sockaddr_in>()).sin_port)
    }
}

impl Net {
    pub fn new() -> Self {
        let away = std::env::var("ZCIO_PEER_EXEC").is_ok_and(|v| !v.is_empty());
        let peer = sys::open("/run/netns/peer", libc::O_RDONLY);
        Self {
            home: sys::open("/proc/self/ns/net", libc::O_RDONLY),
            peer: (away && peer >= 0).then_some(peer),
            local4: address("ZCIO_LOCAL4", "127.0.0.1"),
            peer4: address("ZCIO_PEER4", "127.0.0.1"),
            local6: address("ZCIO_LOCAL6", "::1"),
            peer6: address("ZCIO_PEER6", "::1"),
        }
    }

    /// The two ends' addresses.
    fn ends(&self, path: Path) -> (IpAddr, IpAddr) {
        let same = |text: &str| {
            let ip: IpAddr = text.parse().expect("an address");
            (ip, ip)
        };
        match path {
            Path::Lo4 => same("127.0.0.1"),
            Path::Lo6 => same("::1"),
            Path::Wire4 => (self.local4, self.peer4),
            Path::Wire6 => (self.local6, self.peer6),
        }
    }

    fn socket(&self, path: Path, away: bool, kind: i32) -> RawFd {
        let family = match path {
            Path::Lo4 | Path::Wire4 => libc::AF_INET,
            Path::Lo6 | Path::Wire6 => libc::AF_INET6,
        };
        let ns = self.peer.filter(|_| away && matches!(path, Path::Wire4 | Path::Wire6));
        // SAFETY: The namespace changes for this thread only, and back at once.
        unsafe {
            if let Some(ns) = ns {
                if libc::setns(ns, libc::CLONE_NEWNET) != 0 {
                    return -1;
                }
            }
            let fd = libc::socket(family, kind | libc::SOCK_CLOEXEC, 0);
            if ns.is_some() {
                libc::setns(self.home, libc::CLONE_NEWNET);
            }
            fd
        }
    }

    /// Both ends of a TCP connection; -1 if it could not be made.
    pub fn tcp(&self, path: Path, rcvbuf: u32) -> [RawFd; 2] {
        let (here, there) = self.ends(path);
        let listener = self.socket(path, false, libc::SOCK_STREAM);
        let peer = self.socket(path, true, libc::SOCK_STREAM);
        if rcvbuf > 0 {
            for fd in [listener, peer] {
                sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &rcvbuf);
            }
        }
        bind(listener, SocketAddr::new(here, 0));
        // SAFETY: Calls on descriptors of our own.
        let local = unsafe {
            libc::listen(listener, 1);
            bind(peer, SocketAddr::new(there, 0));
            // Whatever goes wrong, nobody waits for a connection that does not come.
            let patience = libc::timeval { tv_sec: 5, tv_usec: 0 };
            sys::setsockopt(listener, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &patience);
            sys::setsockopt(peer, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &patience);
            connect(peer, SocketAddr::new(here, port(listener)));
            libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
        };
        sys::close(listener);
        let forever = libc::timeval { tv_sec: 0, tv_usec: 0 };
        sys::setsockopt(peer, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &forever);
        sys::setsockopt(local, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &forever);
        for fd in [local, peer] {
            sys::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32);
        }
        [local, peer]
    }

    pub fn udp(&self, path: Path) -> [RawFd; 2] {
        let (here, there) = self.ends(path);
        let fds = [self.socket(path, false, libc::SOCK_DGRAM), self.socket(path, true, libc::SOCK_DGRAM)];
        bind(fds[0], SocketAddr::new(here, 0));
        bind(fds[1], SocketAddr::new(there, 0));
        connect(fds[0], SocketAddr::new(there, port(fds[1])));
        connect(fds[1], SocketAddr::new(here, port(fds[0])));
        fds
    }

    fn pair(kind: i32) -> [RawFd; 2] {
        let mut fds = [-1; 2];
        // SAFETY: Room for two.
        unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) };
        fds
    }

    /// The descriptors of one entry of a program's set-up.
    pub fn make(&self, kind: FdKind) -> Vec<RawFd> {
        let single = |fd| vec![fd];
        // SAFETY: Calls that make descriptors, with valid arguments.
        unsafe {
            match kind {
                FdKind::Tcp(path) => self.tcp(path, 0).to_vec(),
                FdKind::Udp(path) => self.udp(path).to_vec(),
                FdKind::UnixStream => Self::pair(libc::SOCK_STREAM).to_vec(),
                FdKind::UnixDatagram => Self::pair(libc::SOCK_DGRAM).to_vec(),
                FdKind::Pipe => {
                    let mut fds = [-1; 2];
                    libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC);
                    fds.to_vec()
                }
                FdKind::Listening => {
                    let fd = self.socket(Path::Lo4, false, libc::SOCK_STREAM);
                    libc::listen(fd, 1);
                    single(fd)
                }
                FdKind::Unconnected => single(self.socket(Path::Lo4, false, libc::SOCK_STREAM)),
                FdKind::Mptcp => {
                    single(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_MPTCP))
                }
                FdKind::Packet => single(libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0x0300)),
                FdKind::Memfd => {
                    let fd = libc::memfd_create(c"fuzz".as_ptr(), libc::MFD_CLOEXEC);
                    libc::ftruncate(fd, 1 << 20);
                    single(fd)
                }
                FdKind::Direct => single(direct_file()),
                FdKind::Device => single(sys::open("/dev/zcio", libc::O_RDWR)),
                FdKind::Epoll => single(libc::epoll_create1(libc::EPOLL_CLOEXEC)),
                FdKind::Event => single(libc::eventfd(1, libc::EFD_CLOEXEC)),
                FdKind::Closed => single(-1),
            }
        }
    }
}

/// A file of some pages that has a name no more.
fn direct_file() -> RawFd {
    let folder = std::env::var("ZCIO_RUN").unwrap_or_else(|_| "/tmp".into());
    let path = format!("{folder}/direct.{}", std::process::id());
    let fd = sys::open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_DIRECT);
    // SAFETY: A descriptor of our own.
    unsafe { libc::ftruncate(fd, 256 << 10) };
    let _ = std::fs::remove_file(&path);
    fd
}
