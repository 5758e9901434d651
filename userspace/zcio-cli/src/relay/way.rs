// SPDX-License-Identifier: MIT
//! Two ways between two sockets, each a splice, that end together.

use super::counters::{Direction, Shared};
use super::Result;
use socket2::SockRef;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use zcio::{End, Limits, Splice};

/// Why both ways are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Each side has sent all it wanted to.
    Finished,
    /// Nothing came for the idle time, neither way.
    Idle,
    /// One way has moved as much as it may.
    Maximum,
    /// The way from there ended otherwise.
    Broken(Direction, End),
}

impl Over {
    /// Whether the sockets may be closed as if all were in order.
    pub fn is_clean(self) -> bool {
        !matches!(self, Over::Broken(..))
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Over::Finished => f.write_str("both sides are done"),
            Over::Idle => f.write_str("idle for too long"),
            Over::Maximum => f.write_str("as many bytes as it may"),
            Over::Broken(from, End::DrainCannotSend) => {
                write!(f, "{} takes no more", from.other())
            }
            Over::Broken(from, End::Source(number) | End::Failed(number)) => {
                write!(f, "{from} broke off: {}", io::Error::from_raw_os_error(*number))
            }
            Over::Broken(from, end) => write!(f, "from {from}: {end}"),
        }
    }
}

/// One way.
pub struct Way<'a> {
    shared: &'a Shared,
    from: Direction,
    source: BorrowedFd<'a>,
    drain: BorrowedFd<'a>,
    limits: Limits,
    splice: Option<Splice>,
    /// Bytes of the splices before this one.
    before: u64,
    /// Of this splice: bytes moved, and of these copied, that are in the totals.
    counted: (u64, u64),
    /// What the other way had moved when this one's idle time began.
    beside: u64,
    /// The source has still to tell that the idle time was over.
    owes: bool,
}

impl<'a> Way<'a> {
    /// Starts a way that nothing else may read from.
    pub fn start(
        shared: &'a Shared,
        from: Direction,
        source: &'a impl AsFd,
        drain: &'a impl AsFd,
        limits: Limits,
    ) -> zcio::Result<Way<'a>> {
        let (source, drain) = (source.as_fd(), drain.as_fd());
        let (before, counted, beside, owes) = (0, (0, 0), 0, false);
        let splice = None;
        let mut way =
            Way { shared, from, source, drain, limits, splice, before, counted, beside, owes };
        way.splice()?;
        Ok(way)
    }

    /// Starts a splice of what may still be moved.
    pub fn splice(&mut self) -> zcio::Result<()> {
        let maximum = self.limits.maximum.map(|most| most - self.before);
        let limits = Limits { maximum, ..self.limits };
        self.splice = Some(self.shared.context.splice(self.source, self.drain, limits)?);
        self.counted = (0, 0);
        Ok(())
    }

    /// Takes the splice's bytes into the totals; gives what this way has moved in all.
    pub fn count(&mut self) -> u64 {
        if let Some(status) = self.splice.as_ref().and_then(|splice| splice.status().ok()) {
            let (moved, copied) = self.counted;
            self.shared.add(self.from, status.moved - moved, status.copied - copied);
            self.counted = (status.moved, status.copied);
        }
        self.before + self.counted.0
    }

    /// The splice has ended: it is gone afterwards.
    pub fn clear(&mut self) {
        self.before = self.count();
        self.counted = (0, 0);
        self.splice = None;
    }

    /// Takes from the source the error that it has to tell.
    pub fn take_error(&self) -> Option<io::Error> {
        SockRef::from(&self.source).take_error().ok().flatten()
    }

    /// How the running splice ends; never if there is none.
    pub async fn ended(&mut self) -> zcio::Result<End> {
        match &mut self.splice {
            Some(splice) => splice.ended().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        self.count();
    }
}

/// Relays both ways until that is over. The idle time is over when it is for both.
///
/// # Errors
/// A splice cannot be started.
pub async fn both(
    shared: &Shared,
    client: &(impl AsFd + Sync),
    server: &(impl AsFd + Sync),
    maximum: Option<u64>,
    idle: Option<Duration>,
) -> Result<Over> {
    let limits = Limits { maximum, idle };
    let (mut up, mut down) = match start(shared, client, server, limits) {
        Ok(ways) => ways,
        Err(error) => return gone(client, server).ok_or_else(|| error.into()),
    };
    let mut broken = None;
    loop {
        let over = tokio::select! {
            end = up.ended() => after(&mut up, &mut down, end?, &mut broken)?,
            end = down.ended() => after(&mut down, &mut up, end?, &mut broken)?,
            () = shared.tick.notified() => {
                up.count();
                down.count();
                None
            }
        };
        match over {
            None => {}
            // Why that side takes no more, which the other way may have found first.
            Some(over @ Over::Broken(_, End::Source(_))) => return Ok(over),
            Some(over) => return Ok(broken.unwrap_or(over)),
        }
    }
}

fn start<'a>(
    shared: &'a Shared,
    client: &'a impl AsFd,
    server: &'a impl AsFd,
    limits: Limits,
) -> zcio::Result<(Way<'a>, Way<'a>)> {
    let up = Way::start(shared, Direction::Client, client, server, limits)?;
    let down = Way::start(shared, Direction::Server, server, client, limits)?;
    Ok((up, down))
}

/// Who had broken off before it began.
fn gone(client: &impl AsFd, server: &impl AsFd) -> Option<Over> {
    let told = |socket: SockRef<'_>| socket.take_error().ok().flatten()?.raw_os_error();
    let broken = |from, number| Over::Broken(from, End::Source(number));
    told(SockRef::from(client))
        .map(|number| broken(Direction::Client, number))
        .or_else(|| told(SockRef::from(server)).map(|number| broken(Direction::Server, number)))
}

/// What follows when one way has ended. `None`: it goes on.
fn after(
    way: &mut Way<'_>,
    other: &mut Way<'_>,
    end: End,
    broken: &mut Option<Over>,
) -> Result<Option<Over>> {
    way.clear();
    let from = way.from;
    match end {
        End::Eof => {
            // It fails if the connection is gone, which the other way will see.
            let _ = SockRef::from(&way.drain).shutdown(Shutdown::Write);
            Ok(other.splice.is_none().then_some(Over::Finished))
        }
        End::Idle => {
            // The error is told once, or it would be what the next splice ends with. While the
            // other way sends, it may come later.
            way.owes = way.take_error().is_none();
            let beside = other.count();
            if beside == way.beside {
                return Ok(Some(Over::Idle));
            }
            way.beside = beside;
            way.splice()?;
            Ok(None)
        }
        End::Source(libc::ETIMEDOUT) if way.owes => {
            way.owes = way.take_error().is_none();
            way.splice()?;
            Ok(None)
        }
        End::Maximum => Ok(Some(Over::Maximum)),
        // What came from there before it broke off is on its way back: that ends by itself.
        End::DrainCannotSend if other.splice.is_some() => {
            *broken = Some(Over::Broken(from, end));
            Ok(None)
        }
        end => Ok(Some(Over::Broken(from, end))),
    }
}
