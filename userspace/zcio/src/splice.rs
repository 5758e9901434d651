// SPDX-License-Identifier: MIT
//! Splices: what comes to one socket is sent on another one by the kernel.

use crate::error::Operation;
use crate::{abi_splice as abi, sys, Context, Error, Result};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What ends a splice besides the sockets themselves. The default sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// It ends after so many bytes: not one more is moved. 0 and `None`: never for that reason.
    pub maximum: Option<u64>,
    /// It ends when nothing was moved for so long. Zero and `None`: never for that reason.
    pub idle: Option<Duration>,
}

impl Limits {
    /// In the kernel's units: bytes and nanoseconds. What is too large for them is no limit that
    /// anybody would live to see, and becomes the largest that there is.
    fn raw(self) -> (i64, i64) {
        let most = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
        let idle = self.idle.map_or(0, |idle| idle.as_nanos());
        (most(self.maximum.unwrap_or(0).into()), most(idle))
    }
}

/// How a splice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The source's stream ended. The drain is not shut down by that.
    Eof,
    /// The maximum is reached. The source got the error `EFBIG`.
    Maximum,
    /// Nothing was moved for the idle time. The source got the error `ETIMEDOUT`.
    Idle,
    /// The drain cannot send any more, and keeps its own error. The source got `EPIPE`.
    DrainCannotSend,
    /// It was stopped: by [`Splice::stop`], or with its handle or context.
    Stopped,
    /// One of the two sockets was closed or disconnected.
    Closed,
    /// The source's own error (its number), which the source still has to tell.
    Source(i32),
    /// Another error (its number), which the source got.
    Failed(i32),
}

impl End {
    fn new(state: u32, error: i32) -> Option<End> {
        Some(match state {
            abi::RUNNING => return None,
            abi::EOF => End::Eof,
            abi::MAX => End::Maximum,
            abi::IDLE => End::Idle,
            abi::DRAIN => End::DrainCannotSend,
            // A context that was closed has forgotten it: only that leaves none.
            abi::STOPPED | abi::NONE => End::Stopped,
            abi::CLOSED => End::Closed,
            abi::SOURCE => End::Source(error),
            // Also what a later module may have to say.
            _ => End::Failed(error),
        })
    }

    /// The error, if an error ended it.
    pub fn error(self) -> Option<io::Error> {
        match self {
            End::Source(number) | End::Failed(number) => Some(io::Error::from_raw_os_error(number)),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Eof => "end of file",
            End::Maximum => "the maximum is reached",
            End::Idle => "nothing was moved for the idle time",
            End::DrainCannotSend => "the drain cannot send any more",
            End::Stopped => "stopped",
            End::Closed => "a socket was closed",
            End::Source(number) => {
                return write!(f, "error of the source: {}", io::Error::from_raw_os_error(*number))
            }
            End::Failed(number) => {
                return write!(f, "failed: {}", io::Error::from_raw_os_error(*number))
            }
        })
    }
}

/// How a splice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpliceStatus {
    /// How it ended; `None` while it runs.
    pub end: Option<End>,
    /// Bytes moved so far.
    pub moved: u64,
    /// Of these, bytes that were copied on the way, and not moved as references to pages.
    pub copied: u64,
}

/// One way from a socket to another one that the kernel keeps up by itself, without a copy.
/// Made by [`Context::splice`]; dropping it stops it. A splice keeps neither socket open: it
/// ends when one of them is closed.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (client, server): (std::net::TcpStream, std::net::TcpStream) = unimplemented!();
/// use zcio::{Context, Limits};
/// let context = Context::open()?;
/// let up = context.splice(&client, &server, Limits::default())?;
/// let down = context.splice(&server, &client, Limits::default())?;
/// println!("the client: {}", up.wait()?);
/// server.shutdown(std::net::Shutdown::Write)?;
/// println!("the server: {}, {} bytes", down.wait()?, down.moved()?);
/// # Ok(()) }
/// ```
///
/// Its descriptor ([`AsFd`]) is readable to `poll` when the splice has ended.
#[derive(Debug)]
pub struct Splice {
    context: Context,
    handle: OwnedFd,
}

impl Context {
    /// Lets the kernel send on `drain` what comes to `source`, or is queued there already, until
    /// the splice ends. Both must be connected (or connecting) TCP sockets, of IPv4 or IPv6. For
    /// both ways, do it twice, with the sockets exchanged. Meanwhile nothing can be read from
    /// `source`; what the drain does not take stays queued there.
    ///
    /// # Errors
    /// With the [`raw_os_error`](Error::raw_os_error): `EBUSY` if `source` is the source of a
    /// splice already, or `drain` the drain of one; `EPROTONOSUPPORT` if one is not TCP,
    /// `ENOTCONN` if one is not connected, `EOPNOTSUPP` if one listens or has an upper layer
    /// (kTLS); `EMFILE` and `ENFILE` if there is no descriptor left for the handle, `ENOBUFS` if
    /// the context has too many splices.
    pub fn splice(&self, source: impl AsFd, drain: impl AsFd, limits: Limits) -> Result<Splice> {
        let (max, idle) = limits.raw();
        let handle =
            sys::splice(self.device(), source.as_fd(), drain.as_fd(), max, idle).map_err(failed)?;
        Ok(Splice { context: self.clone(), handle })
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(Operation::Splice, error)
}

impl Splice {
    /// How it stands.
    ///
    /// # Errors
    /// The module is older than this crate.
    pub fn status(&self) -> Result<SpliceStatus> {
        let status =
            sys::splice_status(self.context.device(), self.handle.as_fd()).map_err(failed)?;
        let abi::Status { state, error, moved, copied, .. } = status;
        Ok(SpliceStatus { end: End::new(state, error), moved, copied })
    }

    /// Bytes moved so far.
    ///
    /// # Errors
    /// As for [`status`](Splice::status).
    pub fn moved(&self) -> Result<u64> {
        Ok(self.status()?.moved)
    }

    /// Stops it. When this returns nothing moves any more, and the source can be read from. What
    /// is returned says how it ended: otherwise than by this, if that came before.
    ///
    /// # Errors
    /// As for [`status`](Splice::status).
    pub fn stop(&self) -> Result<SpliceStatus> {
        match sys::unsplice(self.context.device(), self.handle.as_fd()) {
            // It has ended already.
            Err(error) if error.raw_os_error() == Some(libc::EPROTO) => {}
            stopped => stopped.map_err(failed)?,
        }
        self.status()
    }

    /// Waits until it has ended; signals do not stop that.
    ///
    /// # Errors
    /// As for [`status`](Splice::status).
    pub fn wait(&self) -> Result<End> {
        loop {
            if let Some(end) = self.status()?.end {
                return Ok(end);
            }
            match sys::wait_readable(self.handle.as_fd()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(failed(error))
                }
                _ => {}
            }
        }
    }

    /// Waits until it has ended, within a tokio runtime whose I/O is enabled. May be dropped and
    /// called again: nothing is lost.
    ///
    /// # Errors
    /// The descriptor cannot be added to the runtime's, or as for [`status`](Splice::status).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(feature = "tokio")]
    pub async fn ended(&mut self) -> Result<End> {
        use tokio::io::{unix::AsyncFd, Interest};
        if let Some(end) = self.status()?.end {
            return Ok(end);
        }
        let watched =
            AsyncFd::with_interest(self.handle.as_fd(), Interest::READABLE).map_err(failed)?;
        loop {
            let mut ready = watched.readable().await.map_err(failed)?;
            if let Some(end) = self.status()?.end {
                return Ok(end);
            }
            ready.clear_ready();
        }
    }
}

/// Readable to `poll` when the splice has ended.
impl AsFd for Splice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_the_kernels_units() {
        assert_eq!(Limits::default().raw(), (0, 0));
        let limits = Limits { maximum: Some(5), idle: Some(Duration::from_millis(2)) };
        assert_eq!(limits.raw(), (5, 2_000_000));
        let limits = Limits { maximum: Some(u64::MAX), idle: Some(Duration::MAX) };
        assert_eq!(limits.raw(), (i64::MAX, i64::MAX));
    }

    #[test]
    fn ends_are_those_of_the_header() {
        assert_eq!(End::new(abi::RUNNING, 0), None);
        let ends = [
            (0, End::Stopped),
            (2, End::Eof),
            (3, End::Stopped),
            (4, End::Maximum),
            (5, End::Idle),
            (6, End::DrainCannotSend),
            (7, End::Source(libc::ECONNRESET)),
            (8, End::Closed),
            (9, End::Failed(libc::ECONNRESET)),
            (77, End::Failed(libc::ECONNRESET)),
        ];
        for (state, end) in ends {
            assert_eq!(End::new(state, libc::ECONNRESET), Some(end), "{state}");
        }
    }

    #[test]
    fn ends_say_what_happened() {
        assert_eq!(End::Eof.to_string(), "end of file");
        let reset = End::Source(libc::ECONNRESET);
        assert!(reset.to_string().starts_with("error of the source: "), "{reset}");
        assert_eq!(reset.error().unwrap().kind(), io::ErrorKind::ConnectionReset);
        assert!(End::Maximum.error().is_none());
    }
}
