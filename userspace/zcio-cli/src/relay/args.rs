// SPDX-License-Identifier: MIT
//! The command line of `zcio relay`.

use super::http::rewrite;
use clap::{Args, Subcommand};
use std::num::NonZeroUsize;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub enum Relay {
    /// Relay TCP connections, both ways
    ///
    /// When one end has sent all (end of file), the other end is told so, and the way back goes
    /// on. When one end breaks off, so does the relay at the other end (reset), and so it does
    /// with all that is open when it is stopped itself (Ctrl-C, SIGTERM). What was relayed is
    /// then summed up.
    Tcp(Tcp),
    /// Relay UDP, both ways
    ///
    /// The datagrams of each client's address are a flow, with a socket of its own towards the
    /// server. UDP knows no end: a flow ends when nothing was moved for the idle time, or when the
    /// server or the client is not there; the client's next datagram begins another one.
    ///
    /// On a machine of many addresses, listen on one of them: what goes back would otherwise come
    /// from the one that the route says.
    Udp(Udp),
    /// Relay HTTP/1.1: change headers, splice bodies
    ///
    /// Heads are read and written anew, so that what the server understands is what the relay
    /// understood; what could be understood in two ways is refused. Headers that are about one
    /// connection are taken out, Via is added. Bodies go by the kernel alone, by their length, by
    /// chunk or until the end, on connections that last for many requests. What follows an
    /// upgrade (WebSocket) or CONNECT goes both ways as with 'zcio relay tcp'.
    Http(Http),
}

/// Options that all have.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where to wait for clients
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: String,
    /// The server: where to connect to for each client
    #[arg(long, value_name = "ADDR:PORT")]
    pub connect: String,
    /// End what has moved nothing for so long, either way (0: never) [default: tcp: 0, udp, http: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub idle: Option<Duration>,
    /// Give up connecting to the server after so long
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub connect_timeout: Duration,
    /// Serve so many clients at once; more of them wait (udp: are not heard)
    #[arg(long, value_name = "N", default_value = "10000")]
    pub connections: NonZeroUsize,
    /// Print the summary as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Show neither progress nor a summary
    #[arg(long, short)]
    pub quiet: bool,
}

impl Common {
    /// The idle time, if there is a limit; `otherwise` is what stands if the user has not said it.
    pub fn idle_or(&self, otherwise: Duration) -> Option<Duration> {
        Some(self.idle.unwrap_or(otherwise)).filter(|idle| !idle.is_zero())
    }
}

#[derive(Args, Debug)]
pub struct Tcp {
    #[command(flatten)]
    pub common: Common,
    /// End a connection when so many bytes were relayed, one way or the other
    #[arg(long, value_name = "SIZE", value_parser = crate::args::size)]
    pub max_bytes: Option<usize>,
}

#[derive(Args, Debug)]
pub struct Udp {
    #[command(flatten)]
    pub common: Common,
    /// Move datagrams that come close together as one (UDP_GRO): much less work for many small ones
    ///
    /// They leave as they came. But where a network card pads what is very short (on Ethernet below
    /// 18 bytes), the kernel lets that overtake what it is joining.
    #[arg(long)]
    pub gro: bool,
    /// End a flow when so many bytes were relayed, one way or the other
    #[arg(long, value_name = "SIZE", value_parser = crate::args::size)]
    pub max_bytes: Option<usize>,
}

#[derive(Args, Debug)]
pub struct Http {
    #[command(flatten)]
    pub common: Common,
    /// Give requests this header, in the place of all of that name
    #[arg(long, value_name = "NAME: VALUE", value_parser = rewrite::header)]
    pub set_header: Vec<(String, Vec<u8>)>,
    /// Take all headers of this name out of requests
    #[arg(long, value_name = "NAME", value_parser = rewrite::name)]
    pub remove_header: Vec<String>,
    /// The same as --set-header, for answers
    #[arg(long, value_name = "NAME: VALUE", value_parser = rewrite::header)]
    pub set_answer_header: Vec<(String, Vec<u8>)>,
    /// The same as --remove-header, for answers
    #[arg(long, value_name = "NAME", value_parser = rewrite::name)]
    pub remove_answer_header: Vec<String>,
    /// Refuse heads of more bytes
    #[arg(long, value_name = "SIZE", default_value = "32K", value_parser = crate::args::size)]
    pub max_head: usize,
    /// Refuse a request whose head takes longer than that, once it has begun
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub head_timeout: Duration,
    /// Copy bodies and chunks of fewer bytes: for a few, a splice is more work than a copy
    #[arg(long, value_name = "SIZE", default_value = "16K", value_parser = crate::args::size)]
    pub splice_from: usize,
}

/// A number of seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds, as 60 or 0.5")?;
    Duration::try_from_secs_f64(number).map_err(|_| "negative or too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_seconds() {
        assert_eq!(seconds("60"), Ok(Duration::from_secs(60)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["", "x", "-1", "NaN", "inf", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
