// SPDX-License-Identifier: MIT
//! Connections that speak HTTP: heads and the lines between chunks are read in user space, and
//! not one byte more (what belongs to them is looked for first, and then taken); bodies are
//! spliced.

use super::chunk::{self, Line};
use super::head::{Body, Gather, Refusal};
use crate::relay::counters::{Direction, Shared};
use crate::relay::socket::Socket;
use crate::relay::way::Way;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use tokio::io::{unix::AsyncFd, Interest};
use zcio::{End, Limits};

/// How much of what cannot be used is read before a connection is closed, and for how long: a
/// close with bytes unread would be a reset, which could overtake the answer.
const LINGER: (usize, Duration) = (1 << 20, Duration::from_secs(2));

/// Bytes that are looked at, or copied, at once.
const PIECE: usize = 16 << 10;

/// Why a way cannot go on.
#[derive(Debug)]
pub enum Stop {
    /// Where the bytes come from broke off, or ended too early.
    Source(String),
    /// Where they go takes no more.
    Drain(String),
    /// Nothing moved for the idle time.
    Idle,
    /// What came is not HTTP.
    Wrong(Refusal),
    /// The relay could not do it.
    Ours(String),
}

impl Stop {
    fn wrong(wrong: chunk::Wrong) -> Stop {
        Stop::Wrong(Refusal { status: 400, why: wrong.0 })
    }

    fn source(error: &io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::TimedOut if error.raw_os_error().is_none() => Stop::Idle,
            _ => Stop::Source(error.to_string()),
        }
    }

    fn drain(error: &io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::TimedOut if error.raw_os_error().is_none() => Stop::Idle,
            _ => Stop::Drain(error.to_string()),
        }
    }
}

/// A connection, read and written by two descriptors: so both can be waited for at once.
pub struct Link {
    pub socket: Socket,
    writer: TcpStream,
}

impl Link {
    pub fn new(socket: Socket) -> io::Result<Link> {
        Ok(Link { writer: socket.stream.try_clone()?, socket })
    }

    /// Whether it can be used again: open, and nothing has come that nobody asked for.
    pub fn is_idle(&self) -> bool {
        loop {
            match self.socket.stream.peek(&mut [0]) {
                Err(error) if is_ours(&error) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                Ok(_) => return false,
            }
        }
    }

    /// Closes it in the ordinary way when the peer has all.
    pub async fn finish(self) {
        let Link { socket, writer } = self;
        let _ = writer.shutdown(Shutdown::Write);
        let (most, within) = LINGER;
        let discard = async {
            let (mut left, mut buffer) = (most, vec![0; PIECE]);
            while left > 0 {
                match read(&socket.stream, &mut buffer, None).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => left = left.saturating_sub(count),
                }
            }
        };
        let _ = tokio::time::timeout(within, discard).await;
        socket.close();
    }
}

/// One way between two links.
pub struct Wire<'a> {
    shared: &'a Shared,
    from: Direction,
    source: &'a TcpStream,
    drain: &'a TcpStream,
    pub idle: Option<Duration>,
    /// Fewer bytes than that are copied.
    least: u64,
}

impl<'a> Wire<'a> {
    pub fn new(
        shared: &'a Shared,
        from: Direction,
        source: &'a Link,
        drain: &'a Link,
        idle: Option<Duration>,
        least: u64,
    ) -> Wire<'a> {
        let (source, drain) = (&source.socket.stream, &drain.writer);
        Wire { shared, from, source, drain, idle, least }
    }

    /// Writes bytes to the drain.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Stop> {
        write_all(self.drain, bytes, self.idle).await.map_err(|error| Stop::drain(&error))?;
        self.shared.add(self.from, bytes.len() as u64, bytes.len() as u64);
        Ok(())
    }

    /// Sends a body on. `chunks`: the drain gets chunks if the source has them.
    pub async fn body(&self, body: Body, chunks: bool, most: usize) -> Result<(), Stop> {
        match body {
            Body::None => Ok(()),
            Body::Length(bytes) => self.exactly(bytes).await,
            Body::UntilEnd => self.splice(None).await,
            Body::Chunked => self.chunked(chunks, most).await,
        }
    }

    async fn chunked(&self, chunks: bool, most: usize) -> Result<(), Stop> {
        loop {
            let bytes = chunk::size(&self.line().await?).map_err(Stop::wrong)?;
            if bytes == 0 {
                break;
            }
            if chunks {
                self.write(&chunk::line(bytes)).await?;
            }
            self.exactly(bytes).await?;
            if !self.line().await?.is_empty() {
                return Err(Stop::wrong(chunk::Wrong("a chunk is longer than it said")));
            }
            if chunks {
                self.write(b"\r\n").await?;
            }
        }
        // Trailers: a relay may leave them out, and few know what to do with them.
        let mut trailers = 0;
        loop {
            let line = self.line().await?;
            trailers += line.len() + 2;
            if line.is_empty() {
                break;
            }
            if trailers > most {
                return Err(Stop::wrong(chunk::Wrong("the trailers are too long")));
            }
        }
        if chunks {
            self.write(chunk::LAST).await?;
        }
        Ok(())
    }

    /// The next line between chunks, without its end.
    async fn line(&self) -> Result<Vec<u8>, Stop> {
        let (mut line, mut buffer) = (Line::default(), [0; 64]);
        loop {
            let came = peek(self.source, &mut buffer, self.idle).await;
            let came = came.map_err(|error| Stop::source(&error))?;
            if came == 0 {
                return Err(too_early());
            }
            let (taken, whole) = line.take(&buffer[..came]).map_err(Stop::wrong)?;
            take(self.source, &mut buffer[..taken]).await.map_err(|error| Stop::source(&error))?;
            if let Some(line) = whole {
                return Ok(line);
            }
        }
    }

    async fn exactly(&self, bytes: u64) -> Result<(), Stop> {
        if bytes >= self.least {
            return self.splice(Some(bytes)).await;
        }
        let (mut left, mut buffer) = (bytes as usize, vec![0; PIECE.min(bytes as usize)]);
        while left > 0 {
            let room = left.min(buffer.len());
            let came = read(self.source, &mut buffer[..room], self.idle).await;
            let came = came.map_err(|error| Stop::source(&error))?;
            if came == 0 {
                return Err(too_early());
            }
            self.write(&buffer[..came]).await?;
            left -= came;
        }
        Ok(())
    }

    /// Lets the kernel move so many bytes, or all until the end.
    async fn splice(&self, maximum: Option<u64>) -> Result<(), Stop> {
        let limits = Limits { maximum, idle: self.idle };
        let ours = |error: zcio::Error| Stop::Ours(error.to_string());
        let mut way =
            Way::start(self.shared, self.from, self.source, self.drain, limits).map_err(ours)?;
        loop {
            let end = tokio::select! {
                end = way.ended() => end.map_err(ours)?,
                () = self.shared.tick.notified() => {
                    way.count();
                    continue;
                }
            };
            way.clear();
            match end {
                End::Maximum => {
                    // The error is told once. While the other way sends it may still come later
                    // (is_ours).
                    let _ = way.take_error();
                    return Ok(());
                }
                End::Eof if maximum.is_none() => return Ok(()),
                End::Eof => return Err(too_early()),
                // What an earlier splice had to tell.
                End::Source(libc::EFBIG) => {
                    let _ = way.take_error();
                    way.splice().map_err(ours)?;
                }
                End::Idle => return Err(Stop::Idle),
                End::DrainCannotSend => {
                    let error = self.drain.take_error().ok().flatten();
                    let error = error.map_or(end.to_string(), |error| error.to_string());
                    return Err(Stop::Drain(error));
                }
                end => return Err(Stop::Source(end.to_string())),
            }
        }
    }
}

fn too_early() -> Stop {
    Stop::Source("it ended in the middle of a message".into())
}

/// What came instead of a head.
#[derive(Debug)]
pub enum NoHead {
    /// The end, before a first byte.
    End,
    /// Nothing, for too long.
    Silence,
    /// Not all of it, for too long.
    Slow,
    Wrong(Refusal),
    Broken(String),
}

/// Reads a head of at most so many bytes, and nothing else. It may come after `first`; and then
/// take `rest`.
pub async fn head(
    link: &Link,
    most: usize,
    first: Option<Duration>,
    rest: Duration,
) -> Result<Vec<u8>, NoHead> {
    let source = &link.socket.stream;
    let broken = |error: &io::Error| NoHead::Broken(error.to_string());
    // Who says nothing takes no memory.
    peek(source, &mut [0], first).await.map_err(|error| match Stop::source(&error) {
        Stop::Idle => NoHead::Silence,
        _ => broken(&error),
    })?;
    let (mut gather, mut buffer, began) = (Gather::new(most), vec![0; PIECE], Instant::now());
    loop {
        let wait = rest.saturating_sub(began.elapsed());
        let came = match peek(source, &mut buffer, Some(wait)).await {
            Ok(0) if gather.is_empty() => return Err(NoHead::End),
            Ok(0) => return Err(NoHead::Broken("it ended in the middle of a head".into())),
            Ok(came) => came,
            Err(error) => {
                return Err(match Stop::source(&error) {
                    Stop::Idle => NoHead::Slow,
                    _ => broken(&error),
                })
            }
        };
        let (taken, whole) = gather.take(&buffer[..came]).map_err(NoHead::Wrong)?;
        take(source, &mut buffer[..taken]).await.map_err(|error| broken(&error))?;
        if let Some(head) = whole {
            return Ok(head);
        }
    }
}

/// Whether it is the error by which a splice told of its maximum, which we know of.
fn is_ours(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted || error.raw_os_error() == Some(libc::EFBIG)
}

/// Makes a call until it need not wait. The runtime knows the socket only meanwhile.
async fn attempt<T>(
    socket: &TcpStream,
    interest: Interest,
    idle: Option<Duration>,
    mut call: impl FnMut(&TcpStream) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match call(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let watched = AsyncFd::with_interest(socket.as_fd(), interest)?;
                let wait = async { watched.ready(interest).await.map(drop) };
                match idle {
                    Some(idle) => tokio::time::timeout(idle, wait).await??,
                    None => wait.await?,
                }
            }
            Err(error) if is_ours(&error) => {}
            result => return result,
        }
    }
}

async fn peek(socket: &TcpStream, buffer: &mut [u8], idle: Option<Duration>) -> io::Result<usize> {
    attempt(socket, Interest::READABLE, idle, |socket| socket.peek(buffer)).await
}

async fn read(socket: &TcpStream, buffer: &mut [u8], idle: Option<Duration>) -> io::Result<usize> {
    attempt(socket, Interest::READABLE, idle, |mut socket| socket.read(buffer)).await
}

/// Takes what was looked at before: it is there.
async fn take(socket: &TcpStream, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        let count = read(socket, buffer, None).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[count..];
    }
    Ok(())
}

async fn write_all(socket: &TcpStream, mut bytes: &[u8], idle: Option<Duration>) -> io::Result<()> {
    while !bytes.is_empty() {
        let count =
            attempt(socket, Interest::WRITABLE, idle, |mut socket| socket.write(bytes)).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}
