// SPDX-License-Identifier: MIT
//! Splices: how they are started, what they say, how they end.

use super::{byte, pair, udp_pair};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;
use zcio::{Context, End, Limits, Operation, Splice};

/// A sender, whose bytes go through a splice from `source` to `drain`, and the receiver.
struct Line {
    sender: TcpStream,
    source: TcpStream,
    drain: TcpStream,
    receiver: TcpStream,
}

impl Line {
    fn new() -> Line {
        let ((sender, source), (drain, receiver)) = (pair(), pair());
        Line { sender, source, drain, receiver }
    }

    fn splice(&self, limits: Limits) -> Splice {
        Context::open().unwrap().splice(&self.source, &self.drain, limits).unwrap()
    }

    /// That so many bytes arrive, as they were sent.
    fn arrive(&mut self, len: usize) {
        let mut have = vec![0; len];
        self.receiver.read_exact(&mut have).unwrap();
        assert_eq!(have, (0..len).map(byte).collect::<Vec<u8>>());
    }

    fn send(&mut self, len: usize) {
        self.sender.write_all(&(0..len).map(byte).collect::<Vec<u8>>()).unwrap();
    }

    /// The error that the source has to tell, once.
    fn told(&self) -> Option<i32> {
        let error = self.source.take_error().unwrap().and_then(|error| error.raw_os_error());
        assert!(self.source.take_error().unwrap().is_none());
        error
    }
}

#[test]
#[ignore = "needs /dev/zcio"]
fn both_ways_until_the_end_of_file() {
    let line = Line::new();
    let context = Context::open().unwrap();
    let up = context.splice(&line.source, &line.drain, Limits::default()).unwrap();
    let down = context.splice(&line.drain, &line.source, Limits::default()).unwrap();
    let bytes: Vec<u8> = (0..3 << 20).map(byte).collect();
    let pass = |mut from: &TcpStream, mut to: &TcpStream| {
        thread::scope(|scope| {
            scope.spawn(|| {
                from.write_all(&bytes).unwrap();
                from.shutdown(Shutdown::Write).unwrap();
            });
            let mut have = vec![0; bytes.len()];
            to.read_exact(&mut have).unwrap();
            assert!(have == bytes);
        });
    };
    pass(&line.sender, &line.receiver);
    assert_eq!(up.wait().unwrap(), End::Eof);
    assert_eq!(down.status().unwrap().end, None);
    pass(&line.receiver, &line.sender);
    assert_eq!(down.wait().unwrap(), End::Eof);
    for splice in [&up, &down] {
        let status = splice.status().unwrap();
        assert_eq!((status.end, status.moved), (Some(End::Eof), 3 << 20));
        assert!(status.copied <= status.moved);
    }
    // The drain was not shut down by that.
    assert_eq!((&line.drain).write(b"x").unwrap(), 1);
    assert_eq!(line.told(), None);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn maximum_and_what_comes_behind_it() {
    let mut line = Line::new();
    line.send(10_000);
    let splice = line.splice(Limits { maximum: Some(7_000), idle: None });
    assert_eq!(splice.wait().unwrap(), End::Maximum);
    assert_eq!(splice.moved().unwrap(), 7_000);
    line.arrive(7_000);
    assert_eq!(line.told(), Some(libc::EFBIG));
    let mut rest = vec![0; 3_000];
    line.source.read_exact(&mut rest).unwrap();
    assert_eq!(rest, (7_000..10_000).map(byte).collect::<Vec<u8>>());
}

#[test]
#[ignore = "needs /dev/zcio"]
fn idle_time() {
    let mut line = Line::new();
    line.send(10);
    let splice = line.splice(Limits { maximum: None, idle: Some(Duration::from_millis(20)) });
    line.arrive(10);
    assert_eq!(splice.wait().unwrap(), End::Idle);
    assert_eq!(line.told(), Some(libc::ETIMEDOUT));
}

#[test]
#[ignore = "needs /dev/zcio"]
fn stopped() {
    let mut line = Line::new();
    let splice = line.splice(Limits::default());
    line.send(100);
    line.arrive(100);
    let status = splice.stop().unwrap();
    assert_eq!((status.end, status.moved), (Some(End::Stopped), 100));
    assert_eq!(line.told(), None);
    line.send(5);
    line.source.read_exact(&mut [0; 5]).unwrap();
    // And what has ended already says so again.
    assert_eq!(splice.stop().unwrap(), status);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn dropping_stops() {
    let mut line = Line::new();
    drop(line.splice(Limits::default()));
    line.send(5);
    line.source.read_exact(&mut [0; 5]).unwrap();
    // Both are free for another one.
    let splice = line.splice(Limits::default());
    line.send(7);
    line.arrive(7);
    assert_eq!(splice.moved().unwrap(), 7);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn sockets_that_end_it() {
    let mut line = Line::new();
    let splice = line.splice(Limits::default());
    line.drain.shutdown(Shutdown::Write).unwrap();
    line.send(5);
    assert_eq!(splice.wait().unwrap(), End::DrainCannotSend);
    assert_eq!(line.told(), Some(libc::EPIPE));

    let line = Line::new();
    let splice = line.splice(Limits::default());
    drop(line.drain);
    assert_eq!(splice.wait().unwrap(), End::Closed);

    let line = Line::new();
    let splice = line.splice(Limits::default());
    let (on, len) = (libc::linger { l_onoff: 1, l_linger: 0 }, size_of::<libc::linger>());
    // SAFETY: the value is what the option wants, and outlives the call.
    let result = unsafe {
        let (level, option) = (libc::SOL_SOCKET, libc::SO_LINGER);
        let fd = line.sender.as_raw_fd();
        libc::setsockopt(fd, level, option, (&raw const on).cast(), len as libc::socklen_t)
    };
    assert_eq!(result, 0);
    drop(line.sender);
    let end = splice.wait().unwrap();
    assert_eq!(end, End::Source(libc::ECONNRESET));
    assert_eq!(end.error().unwrap().kind(), ErrorKind::ConnectionReset);
}

#[test]
#[ignore = "needs /dev/zcio"]
fn refused() {
    let line = Line::new();
    let _splice = line.splice(Limits::default());
    let context = Context::open().unwrap();
    let no = Limits::default();
    let error = context.splice(&line.source, &line.drain, no).unwrap_err();
    assert_eq!((error.operation(), error.raw_os_error()), (Operation::Splice, Some(libc::EBUSY)));
    assert!(error.to_string().contains("source of a splice already"), "{error}");
    let (udp, _) = udp_pair();
    let error = context.splice(&line.drain, &udp, no).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT), "{error}");
    let null = std::fs::File::open("/dev/null").unwrap();
    let error = context.splice(&null, &line.source, no).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK), "{error}");
}

#[cfg(feature = "tokio")]
#[test]
#[ignore = "needs /dev/zcio"]
fn awaited() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let (mut tasks, mut lines) = (Vec::new(), Vec::new());
        for len in 1..20usize {
            let mut line = Line::new();
            let mut splice = line.splice(Limits { maximum: Some(len as u64), idle: None });
            // Once in vain, then again: a future that was dropped has lost nothing.
            assert!(at_once(splice.ended()).await.is_none());
            tasks.push((tokio::spawn(async move { (splice.ended().await, splice) }), len));
            line.send(len);
            lines.push(line);
        }
        for (task, len) in tasks {
            let (end, mut splice) = task.await.unwrap();
            assert_eq!(end.unwrap(), End::Maximum);
            assert_eq!(splice.ended().await.unwrap(), End::Maximum);
            assert_eq!(splice.moved().unwrap(), len as u64);
        }
    });
}

/// What a future gives, if it has it at once.
#[cfg(feature = "tokio")]
async fn at_once<T>(future: impl std::future::Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => Some(result),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
