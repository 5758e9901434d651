// SPDX-License-Identifier: MIT
//! TCP sockets of a relay. They are kept out of the runtime's hands while the kernel splices:
//! each segment would wake it, and the error by which a splice tells of its end would stay
//! with what it knows of the socket.

use super::Result;
use socket2::SockRef;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection. One that is dropped before [`close`](Socket::close) is reset: so the other end
/// does not take what it got for all there is.
pub struct Socket {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    close: bool,
}

impl Socket {
    /// Takes it from the runtime.
    pub fn new(stream: tokio::net::TcpStream, peer: SocketAddr) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket { stream: stream.into_std()?, peer, close: false })
    }

    /// Connects to the first of the addresses that takes it.
    pub async fn connect(to: &[SocketAddr], within: Duration) -> Result<Socket> {
        let mut failed = String::new();
        for address in to {
            let connecting = tokio::net::TcpStream::connect(address);
            let error = match tokio::time::timeout(within, connecting).await {
                Ok(Ok(stream)) => return Ok(Socket::new(stream, *address)?),
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            failed = format!("cannot connect to {address}: {error}{}", hint(&error));
        }
        Err(failed.into())
    }

    /// Closes it in the ordinary way: what was sent still arrives.
    pub fn close(mut self) {
        self.close = true;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.close {
            // At worst it is closed like any other.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// What to do about a server that cannot be connected to.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "; does the server run, and is this its port?",
        io::ErrorKind::TimedOut => "; is there a firewall between, is the server's machine up?",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "; is there a route to it (ip route get)?"
        }
        io::ErrorKind::AddrNotAvailable => "; no port is left for more connections to it",
        _ => "",
    }
}
