// SPDX-License-Identifier: MIT
//! Payloads that stay where they are, to be sent again and again.

use crate::error::Operation;
use crate::pool::Area;
use crate::transfer::{Flags, Transfer};
use crate::{sys, Context, Error, Result};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;

/// A payload that stays in its area while it is sent, to any number of sockets: no copy, and
/// no page is allocated. Made by [`Pool::keep`](crate::Pool::keep). All methods take `&self`:
/// threads may share it.
///
/// As long as a peer has not acknowledged what was sent, the network reads the pages. So
/// nobody can write to them: the area is given back by [`into_area`](Kept::into_area) when
/// that is over, and one that is dropped before waits until then by itself.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let clients: Vec<std::net::TcpStream> = Vec::new();
/// use std::io::Write;
/// let pool = zcio::Context::open()?.pool(1, 64 << 10)?;
/// let mut area = pool.area()?;
/// area.write_all(b"the same for everybody")?;
/// let page = pool.keep(area);
/// for client in &clients {
///     page.send_all(client)?;
/// }
/// # Ok(()) }
/// ```
///
/// It cannot be written to:
///
/// ```compile_fail,E0596
/// # fn f(mut page: zcio::Kept) {
/// page[0] = 1;
/// # }
/// ```
pub struct Kept {
    /// `None` only while it is taken apart.
    area: Option<Area>,
    context: Context,
}

impl Kept {
    pub(crate) fn new(context: Context, area: Area) -> Kept {
        Kept { area: Some(area), context }
    }

    fn area(&self) -> &Area {
        self.area.as_ref().expect("it is there until it is taken apart")
    }

    /// Sends the payload, or on a non-blocking socket (or when a signal or a time-out comes)
    /// as much of it as is taken: [`Transfer::bytes`].
    pub fn send(&self, socket: impl AsFd) -> Result<Transfer> {
        self.send_from(socket, 0, Flags::default())
    }

    /// Sends the payload from its byte `from` on.
    ///
    /// # Panics
    /// If the payload ends before.
    pub fn send_from(&self, socket: impl AsFd, from: usize, flags: Flags) -> Result<Transfer> {
        let (slot, range) = self.area().part(from);
        let device = self.context.device();
        sys::writev_kept(device, socket.as_fd(), slot, range, flags.bits())
            .map(|taken| taken.infos.into_iter().map(Transfer::from).next().unwrap_or_default())
            .map_err(|failure| Error::at(Operation::Send, failure))
    }

    /// Sends all of it, with as many calls as that takes; signals do not stop it.
    ///
    /// # Errors
    /// A part of it may have been sent before.
    pub fn send_all(&self, socket: impl AsFd) -> Result<()> {
        let socket = socket.as_fd();
        let mut sent = 0;
        loop {
            match self.send_from(socket, sent, Flags::default()) {
                Ok(transfer) => sent += transfer.bytes() as usize,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if sent >= self.len() {
                return Ok(());
            }
        }
    }

    /// How many of its pages somebody still reads: the network for a peer that has not
    /// acknowledged, or for a while longer.
    pub fn pages_in_use(&self) -> Result<usize> {
        self.area()
            .part(0)
            .0
            .in_use(self.context.device())
            .map_err(|error| Error::new(Operation::Control, error))
    }

    /// The area, to be written again, if nobody reads its pages any more.
    ///
    /// # Errors
    /// It is still in use (or that cannot be found out), and given back as it is.
    pub fn into_area(mut self) -> Result<Area, Kept> {
        match self.pages_in_use() {
            Ok(0) => Ok(self.area.take().expect("it is there until it is taken apart")),
            _ => Err(self),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(area) = self.area.take() {
            area.rest();
        }
    }
}

impl Deref for Kept {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.area()
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("area", self.area()).finish()
    }
}
