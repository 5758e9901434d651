// SPDX-License-Identifier: MIT
//! The crate on a machine with the module loaded, over the loopback device. They are
//! run with `--ignored`: `cargo test` alone shows them as ignored.

#[path = "device/splice.rs"]
mod splice;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::SystemTime;
use zcio::{Context, Flags, Operation, Payload, Sender, Window};

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// Two UDP sockets, the first one connected to the second.
fn udp_pair() -> (UdpSocket, UdpSocket) {
    let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (from, to) = (bind(), bind());
    from.connect(to.local_addr().unwrap()).unwrap();
    (from, to)
}

/// Turns on an option of a socket.
fn turn_on(socket: &UdpSocket, level: i32, option: i32) {
    let (one, len) = (1i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the value is an int, and outlives the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const one).cast(), len)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn shell(command: &str) {
    let status = Command::new("sh").args(["-ec", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

/// The byte at `offset` of a stream; no period that pages or areas have.
fn byte(offset: usize) -> u8 {
    (offset % 251) as u8
}

fn assert_pattern(bytes: &[u8], offset: usize) {
    assert!(bytes.iter().zip(offset..).all(|(have, at)| *have == byte(at)), "at {offset}");
}

/// Receives until the stream ends, checks the pattern, and gives the number of bytes.
fn receive_pattern(window: &Window, socket: &TcpStream) -> usize {
    let mut offset = 0;
    loop {
        let payloads = window.recv(socket, 32).unwrap();
        if payloads.is_empty() {
            return offset;
        }
        for payload in payloads {
            assert_pattern(&payload, offset);
            assert_eq!(payload.transfer().bytes(), payload.len() as u64);
            offset += payload.len();
        }
    }
}

#[test]
#[ignore = "needs /dev/zcio"]
fn there_and_back() {
    let context = Context::open().unwrap();
    let (left, right) = pair();
    let pool = context.pool_for(&left, 8, 64 << 10).unwrap();
    let window = context.window(32, 64 << 10).unwrap();
    let total = thread::scope(|scope| {
        scope.spawn(|| {
            let mut offset = 0;
            for round in 0..40 {
                let mut areas: Vec<_> = (0..8).map(|_| pool.area().unwrap()).collect();
                assert_eq!(pool.area().unwrap_err().operation(), Operation::Take);
                for (i, area) in areas.iter_mut().enumerate() {
                    area.set_len(area.capacity() - 997 * ((i + round) % 8));
                    for byte_here in area.iter_mut() {
                        *byte_here = byte(offset);
                        offset += 1;
                    }
                }
                let sent = pool.send_all(&left, areas).unwrap();
                assert_eq!((sent.areas.len(), sent.rest.len(), sent.transfers.len()), (8, 0, 8));
                let moved: u64 = sent.transfers.iter().map(|transfer| transfer.bytes()).sum();
                assert_eq!(moved, sent.bytes);
                for mut area in sent.areas {
                    assert!(area.is_empty());
                    area.set_len(area.capacity());
                    assert!(area.iter().all(|byte| *byte == 0), "the area was not swapped");
                }
            }
            left.shutdown(Shutdown::Write).unwrap();
            assert_eq!(context.info().unwrap().tx.payloads, 320);
        });
        receive_pattern(&window, &right)
    });
    let rx = context.info().unwrap().rx;
    assert_eq!(rx.mapped + rx.copied, total as u64);
    assert_eq!(window.free(), 32);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn payloads_last() {
    let context = Context::open().unwrap();
    let (mut left, right) = pair();
    let window = context.window(4, 64 << 10).unwrap();
    let data: Vec<u8> = (0..30_000).map(byte).collect();
    let mut held: Vec<Payload> = Vec::new();
    while held.len() < 4 {
        left.write_all(&data).unwrap();
        held.extend(window.recv(&right, 1).unwrap());
        assert_eq!(window.free(), 4 - held.len());
    }
    let copies: Vec<Vec<u8>> = held.iter().map(|payload| payload.to_vec()).collect();
    let error = window.recv(&right, 1).unwrap_err();
    assert_eq!(error.operation(), Operation::Take, "{error}");
    drop(held.remove(0));
    assert_eq!(window.free(), 1);
    drop((left, right, window, context));
    for (payload, copy) in held.iter().zip(&copies[1..]) {
        assert_eq!(payload[..], copy[..]);
    }
    thread::spawn(move || drop(held)).join().unwrap();
}

#[test]
#[ignore = "needs /dev/zcio"]
fn info_of_every_kind_of_socket() {
    let context = Context::open().unwrap();
    let (stream, _) = pair();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for info in [context.info_for(&stream).unwrap(), context.info_for(&udp).unwrap()] {
        assert_eq!(info.min_region, info.page_size);
    }
    let (local, _) = UnixStream::pair().unwrap();
    let error = context.info_for(&local).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
}

#[test]
#[ignore = "needs /dev/zcio"]
fn taken_in_part() {
    let context = Context::open().unwrap();
    let (left, mut right) = pair();
    let pool = context.pool_for(&left, 64, 256 << 10).unwrap();
    let mut offset = 0;
    let fill = |_| {
        let mut area = pool.area().unwrap();
        area.set_len(area.capacity());
        area.iter_mut().zip(offset..).for_each(|(here, at)| *here = byte(at));
        offset += area.len();
        area
    };
    let areas: Vec<_> = (0..64).map(fill).collect();
    left.set_nonblocking(true).unwrap();
    let (mut rest, mut sent_bytes) = (areas, 0);
    let left_over = loop {
        match pool.send(&left, rest) {
            Ok(sent) => {
                rest = sent.rest;
                sent_bytes += sent.bytes as usize;
                assert!(!rest.is_empty(), "16 MiB fit into a socket's buffer");
                assert_pattern(&rest[0], sent_bytes);
            }
            Err(error) => {
                assert_eq!(error.error.kind(), std::io::ErrorKind::WouldBlock);
                rest = error.sent.rest;
                break rest.iter().map(|area| area.len()).sum::<usize>();
            }
        }
    };
    assert!(sent_bytes > 0);
    assert_eq!(sent_bytes + left_over, offset);
    left.set_nonblocking(false).unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        right.read_to_end(&mut all).unwrap();
        all
    });
    let rest = pool.send_all(&left, rest).unwrap();
    assert_eq!(rest.bytes as usize, left_over);
    drop(left);
    let all = reader.join().unwrap();
    assert_eq!(all.len(), offset);
    assert_pattern(&all, 0);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn datagrams_leave_whole_or_in_segments() {
    let context = Context::open().unwrap();
    let (from, to) = udp_pair();
    let pool = context.pool_for(&from, 4, 64 << 10).unwrap();
    let area = |len: usize| {
        let mut area = pool.area().unwrap();
        area.write_all(&(0..len).map(byte).collect::<Vec<u8>>()).unwrap();
        area
    };
    let arrives = |from: usize, len: usize| {
        let mut buffer = vec![0; 65536];
        assert_eq!(to.recv(&mut buffer).unwrap(), len);
        assert_pattern(&buffer[..len], from);
    };

    let sent = pool.send(&from, vec![area(5000), area(0), area(1)]).unwrap();
    assert_eq!((sent.bytes, sent.areas.len(), sent.transfers.len()), (5001, 3, 3));
    for len in [5000, 0, 1] {
        arrives(0, len);
    }
    let segment = 1000.try_into().unwrap();
    let sent = pool.send_segments(&from, vec![area(2500)], segment, Flags::default()).unwrap();
    assert_eq!(sent.bytes, 2500);
    for (from, len) in [(0, 1000), (1000, 1000), (2000, 500)] {
        arrives(from, len);
    }
}

#[test]
#[ignore = "needs /dev/zcio"]
fn datagrams_are_told_of() {
    let context = Context::open().unwrap();
    let (from, to) = udp_pair();
    let window = context.window(32, 4096).unwrap();
    // The payloads of one datagram, checked; the last one of them.
    let receive = |len: usize| {
        let mut offset = 0;
        loop {
            for payload in window.recv(&to, 32).unwrap() {
                assert_pattern(&payload, offset);
                offset += payload.len();
                let datagram = payload.datagram().unwrap();
                assert_eq!(datagram.len, len);
                assert_eq!(datagram.sender, Some(Sender::Ip(from.local_addr().unwrap())));
                assert_eq!((datagram.vlan, payload.is_truncated()), (None, false));
                assert_eq!(payload.is_end(), offset == len);
                if payload.is_end() {
                    return datagram;
                }
            }
        }
    };
    let bytes: Vec<u8> = (0..20_000).map(byte).collect();
    for len in [20_000, 1, 0] {
        from.send(&bytes[..len]).unwrap();
        let datagram = receive(len);
        assert_eq!((datagram.timestamp, datagram.segment), (None, None));
    }

    turn_on(&to, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS);
    let before = SystemTime::now();
    from.send(&bytes[..100]).unwrap();
    assert!(receive(100).timestamp.unwrap() >= before);

    turn_on(&to, libc::SOL_UDP, libc::UDP_GRO);
    let pool = context.pool_for(&from, 1, 64 << 10).unwrap();
    let mut area = pool.area().unwrap();
    area.write_all(&bytes[..2500]).unwrap();
    pool.send_segments(&from, vec![area], 1000.try_into().unwrap(), Flags::default()).unwrap();
    assert_eq!(receive(2500).segment, Some(1000));

    // One region for five pages of bytes.
    from.send(&bytes).unwrap();
    let payload = window.recv(&to, 1).unwrap().remove(0);
    assert!(payload.is_truncated() && payload.is_end());
    assert_eq!((payload.len(), payload.datagram().unwrap().len), (4096, 20_000));
    assert_pattern(&payload, 0);
    let error = window.recv_with(&to, 1, Flags::DONTWAIT).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);

    let (mut left, right) = pair();
    left.write_all(&bytes[..10]).unwrap();
    let payload = window.recv(&right, 1).unwrap().remove(0);
    assert_eq!(
        (payload.datagram(), payload.is_end(), payload.is_truncated()),
        (None, false, false)
    );
}

/// A device whose queue takes nothing; gone when dropped.
struct FullDevice;

impl FullDevice {
    fn add() -> FullDevice {
        shell("ip link add zcfull type veth peer name zcfar");
        let device = FullDevice;
        shell("tc qdisc replace dev zcfull root pfifo limit 0");
        shell("ip link set zcfull up; ip link set zcfar up; ip addr add 198.18.9.1/24 dev zcfull");
        shell("ip neigh add 198.18.9.2 lladdr 02:00:00:00:00:09 dev zcfull");
        device
    }
}

impl Drop for FullDevice {
    fn drop(&mut self) {
        shell("ip link del zcfull");
    }
}

#[test]
#[ignore = "needs /dev/zcio"]
fn send_all_ends_at_a_full_queue() {
    let _device = FullDevice::add();
    let context = Context::open().unwrap();
    // Or so little would be copied, and not be on its way.
    context.set_copy_threshold(0).unwrap();
    let socket = UdpSocket::bind("198.18.9.1:0").unwrap();
    socket.connect("198.18.9.2:9").unwrap();
    turn_on(&socket, libc::SOL_IP, libc::IP_RECVERR);
    let pool = context.pool_for(&socket, 4, 16 << 10).unwrap();
    let area = || {
        let mut area = pool.area().unwrap();
        area.write_all(b"something").unwrap();
        area
    };
    // On their way until they are read: send_all could wait for these.
    let (left, _right) = pair();
    pool.send_all(&left, vec![area()]).unwrap();
    assert!(context.info().unwrap().pool_leaving > 0);
    let error = pool.send_all(&socket, vec![area(), area()]).unwrap_err();
    assert_eq!(error.error.raw_os_error(), Some(libc::ENOBUFS));
    assert_eq!((error.sent.bytes, error.sent.rest.len()), (0, 2));
    assert_eq!(&error.sent.rest[0][..], b"something");
}

#[test]
#[ignore = "needs /dev/zcio"]
fn threads_share_a_window() {
    let context = Context::open().unwrap();
    let window = context.window(128, 64 << 10).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let (mut left, right) = pair();
            scope.spawn(move || left.write_all(&(0..3 << 20).map(byte).collect::<Vec<u8>>()));
            scope.spawn(|| {
                let right = right;
                assert_eq!(receive_pattern(&window, &right), 3 << 20);
            });
        }
    });
    assert_eq!(window.free(), 128);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn wrong_uses() {
    let context = Context::open().unwrap();
    let (left, right) = pair();
    let window = context.window(2, 64 << 10).unwrap();
    let pool = context.pool(2, 64 << 10).unwrap();

    let error = window.recv_with(&right, 2, Flags::DONTWAIT).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);

    let mut full = pool.area().unwrap();
    full.write_all(b"something").unwrap();
    let error = pool.send(&left, vec![full, pool.area().unwrap()]).unwrap_err();
    assert_eq!(error.error.raw_os_error(), Some(libc::EINVAL));
    assert_eq!(error.error.element(), Some(1), "the second area is empty");
    assert_eq!(&error.sent.rest[0][..], b"something");

    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(window.recv(&null, 1).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert_eq!(window.recv(&listener, 1).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    assert_eq!(context.window(0, 4096).unwrap_err().operation(), Operation::MapWindow);
    assert_eq!(context.pool(1 << 40, 1 << 30).unwrap_err().operation(), Operation::MapPool);
    assert_eq!(window.free(), 2);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn kept_payloads_stay_until_the_peers_have_them() {
    // A processor may leave what was received to another one to free, when that finds the
    // time. Not here: nothing else may be going on.
    let defer = "/proc/sys/net/core/skb_defer_max";
    let before = std::fs::read(defer).unwrap();
    std::fs::write(defer, "0").unwrap();
    let context = Context::open().unwrap();
    let pool = context.pool(1, 16 << 10).unwrap();
    let mut area = pool.area().unwrap();
    let bytes: Vec<u8> = (0..16 << 10).map(byte).collect();
    area.write_all(&bytes).unwrap();
    let page = pool.keep(area);
    assert_eq!(page.pages_in_use().unwrap(), 0);

    let pairs: Vec<_> = (0..20).map(|_| pair()).collect();
    thread::scope(|scope| {
        for some in pairs.chunks(5) {
            let page = &page;
            scope.spawn(move || some.iter().for_each(|(left, _)| page.send_all(left).unwrap()));
        }
    });
    assert_eq!(page[..], bytes[..]);
    // Nobody has read yet, and over loopback the peers' queues hold the pages.
    assert_eq!(page.pages_in_use().unwrap(), 4);
    let page = page.into_area().unwrap_err();
    let mut have = vec![0; bytes.len()];
    for pair in &pairs[1..] {
        (&pair.1).read_exact(&mut have).unwrap();
        assert_eq!(have, bytes);
    }
    // One that is dropped meanwhile is not free before the last peer has it.
    drop(page);
    assert_eq!(pool.area().unwrap_err().operation(), Operation::Take);
    (&pairs[0].1).read_exact(&mut have).unwrap();
    assert_eq!(have, bytes);
    drop(pairs);
    let again = loop {
        match pool.area() {
            Ok(area) => break area,
            Err(error) => assert_eq!(error.operation(), Operation::Take),
        }
        thread::yield_now();
    };
    assert_eq!(pool.keep(again).into_area().unwrap().len(), 0);
    let tx = context.info().unwrap().tx;
    assert_eq!((tx.calls, tx.mapped, tx.copied), (20, 20 * (16 << 10), 0));
    std::fs::write(defer, before).unwrap();
}
