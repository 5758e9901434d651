// SPDX-License-Identifier: MIT
//! The error type: what failed, at which element, and what to do about it.

use crate::sys::Failure;
use std::fmt;
use std::io;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Opening `/dev/zcio`.
    Open,
    /// Asking what can be done, or changing a setting.
    Control,
    /// Mapping a window.
    MapWindow,
    /// Mapping a pool.
    MapPool,
    /// Taking a region or area: all are in use.
    Take,
    /// Receiving.
    Receive,
    /// Sending.
    Send,
    /// Splicing two sockets, or asking about a splice.
    Splice,
}

/// A failed call. Its text says what to do where that is known.
#[derive(Debug)]
pub struct Error {
    operation: Operation,
    source: io::Error,
    element: Option<usize>,
}

impl Error {
    pub(crate) fn new(operation: Operation, source: io::Error) -> Error {
        Error { operation, source, element: None }
    }

    pub(crate) fn at(operation: Operation, failure: Failure) -> Error {
        Error { operation, source: failure.source, element: failure.element }
    }

    /// What failed.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The error's kind, as the standard library has it.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The kernel's error number, if the error is the kernel's.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Index of the region or area that the error is about, if it is about one.
    pub fn element(&self) -> Option<usize> {
        self.element
    }

    /// What to do about it, in one sentence.
    pub fn hint(&self) -> Option<&'static str> {
        use Operation as Op;
        if self.operation == Op::Take {
            return Some("drop some that are held, or make more of them");
        }
        let hint = match (self.operation, self.raw_os_error()?) {
            (Op::Open, libc::ENOENT | libc::ENXIO | libc::ENODEV) => {
                "there is no /dev/zcio: load the module (modprobe zcio)"
            }
            (Op::Open, libc::EACCES | libc::EPERM) => {
                "this user may not open /dev/zcio: look at its owner and mode"
            }
            (_, libc::ENOTTY) => "the zcio module that is loaded is older than this program",
            (Op::MapWindow | Op::MapPool, libc::EINVAL) => {
                "it is empty, or larger than the module allows (zcio info shows the most)"
            }
            (Op::Receive, libc::EINVAL) => {
                "regions must hold the smallest that this socket needs (zcio info)"
            }
            (Op::Send, libc::EINVAL) => {
                "an area is empty, has not the head and tail room that this socket needs, or is not \
                 within its device's reach: make the pool with Context::pool_for"
            }
            (Op::Splice, libc::EBUSY) => {
                "the source is the source of a splice already, or the drain the drain of one"
            }
            (Op::Splice, libc::EPROTONOSUPPORT) => "sockets of these kinds cannot be spliced",
            (Op::Splice, libc::EOPNOTSUPP) => "one of them listens, or has an upper layer (kTLS)",
            (Op::Splice, libc::EMFILE | libc::ENFILE) => {
                "too many files are open: raise the limit (ulimit -n)"
            }
            (Op::Splice, libc::ENOBUFS) => "the context has too many splices: open another one",
            (_, libc::ENOMEM | libc::ENOBUFS)
            | (Op::MapWindow | Op::MapPool | Op::Open, libc::EAGAIN) => {
                "a memory limit is reached: raise RLIMIT_MEMLOCK (ulimit -l), use a smaller pool, \
                 or drop what is held"
            }
            (_, libc::EOPNOTSUPP) => {
                "this kind of socket is not supported: use TCP, UDP or AF_PACKET \
                 (without PACKET_VNET_HDR)"
            }
            (_, libc::ERANGE) => {
                "the socket's device reaches too little memory for a pool: send by ordinary calls"
            }
            (_, libc::ENOTSOCK) => "the descriptor is not a socket",
            (_, libc::ENOTCONN) => "connect the socket first",
            _ => return None,
        };
        Some(hint)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.operation {
            Operation::Open => "cannot open /dev/zcio",
            Operation::Control => "cannot ask or set up the zcio module",
            Operation::MapWindow => "cannot map a window",
            Operation::MapPool => "cannot map a pool",
            Operation::Take => "no region or area is free",
            Operation::Receive => "cannot receive",
            Operation::Send => "cannot send",
            Operation::Splice => "cannot splice",
        })?;
        if let Some(element) = self.element {
            write!(f, " (element {element})")?;
        }
        if self.operation != Operation::Take {
            write!(f, ": {}", self.source)?;
        }
        match self.hint() {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do() {
        let error = Error::new(Operation::Open, io::Error::from_raw_os_error(libc::ENOENT));
        assert!(error.to_string().contains("modprobe zcio"), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn names_the_element() {
        let source = io::Error::from_raw_os_error(libc::EINVAL);
        let error = Error::at(Operation::Send, Failure { source, element: Some(3) });
        assert_eq!(error.element(), Some(3));
        assert!(error.to_string().starts_with("cannot send (element 3): "), "{error}");
    }
}
