// SPDX-License-Identifier: MIT
//! The command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Zero-copy socket I/O: what the kernel module can do here, and TCP transfers with
/// and without copies to compare.
///
/// To see it work, on one machine or two:
///
///     zcio info
///     zcio receive --listen 0.0.0.0:7000
///     zcio send HOST:7000 FILE
///
/// Both ends choose for themselves: add --copy to either and it uses readv or writev
/// instead.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the module can do here
    Info(Info),
    /// Send a file over TCP
    ///
    /// The file is read into areas of a pool, which are handed to the socket as pages.
    ///
    /// CPU times, in microseconds: 'cpu_us' is the whole process, user and system;
    /// 'cpu_us_io' is the sending calls alone, with the kernel's work in them;
    /// 'cpu_us_data' is reading the file into the memory to be sent; 'cpu_us_hash' is
    /// SHA-256. Both ways of sending are measured alike; io + data is what to compare.
    Send(Send),
    /// Wait for a connection and receive what it sends
    ///
    /// CPU times, in microseconds: 'cpu_us' is the whole process, user and system;
    /// 'cpu_us_io' is the receiving calls alone, with the kernel's work in them;
    /// 'cpu_us_data' is reading one byte of every 64 received, so that memory that is
    /// slow to get at is seen; 'cpu_us_hash' is SHA-256. Both ways of receiving are
    /// measured alike; io + data is what to compare.
    Receive(Receive),
    /// Relay connections to a server: the kernel moves the bytes, as references to pages
    ///
    /// For instance, on the way to a server on port 8000 of this machine:
    ///
    ///     zcio relay tcp --listen [::]:80 --connect 127.0.0.1:8000
    #[command(subcommand, verbatim_doc_comment)]
    Relay(crate::relay::args::Relay),
    /// Print a script that completes the command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
pub struct Info {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options that both directions have.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Copy: use readv and writev, not the module
    #[arg(long)]
    pub copy: bool,
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Compute no SHA-256
    #[arg(long)]
    pub no_hash: bool,
    /// Show no progress and no summary
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, clap::Args)]
pub struct Send {
    /// Where to connect to
    #[arg(value_name = "HOST:PORT")]
    pub to: String,
    /// What to send; '-' is stdin
    pub file: PathBuf,
    /// Bytes of a payload, and of the area it lies in
    #[arg(long, value_name = "SIZE", default_value = "256K", value_parser = size)]
    pub chunk: usize,
    /// Payloads in a call
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub elements: usize,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, clap::Args)]
pub struct Receive {
    /// Where to wait for the connection
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:7000")]
    pub listen: String,
    /// Where to put what is received: a file, '-' for stdout, 'none' for nowhere
    #[arg(long, value_name = "FILE", default_value = "none")]
    pub output: PathBuf,
    /// Bytes of a region of the window; one holds one payload, so longer ones are split
    #[arg(long, value_name = "SIZE", default_value = "16K", value_parser = size)]
    pub region: usize,
    /// Regions in a call
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub elements: usize,
    /// Bytes of the buffer with --copy
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size)]
    pub chunk: usize,
    /// Wait until so many bytes have come (SO_RCVLOWAT); few large calls cost less
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size)]
    pub wait: usize,
    /// Change the context's copy threshold: smaller receives are copied; 0 maps all that can be
    #[arg(long, value_name = "SIZE", value_parser = threshold)]
    pub copy_threshold: Option<usize>,
    /// Note the physical page numbers of mapped payloads in FILE, as /proc/self/pagemap
    /// has them (needs root): lines of stream offset, page number, offset in the page,
    /// length
    #[arg(long, value_name = "FILE", conflicts_with = "copy")]
    pub pfn: Option<PathBuf>,
    /// With --pfn: look at every Nth payload only
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub pfn_sample: u64,
    /// With --pfn: stop looking after so many bytes of the stream
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub pfn_limit: Option<usize>,
    #[command(flatten)]
    pub common: Common,
}

/// A number of bytes, with K, M or G for powers of 1024.
pub fn size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.chars().last().map(|unit| unit.to_ascii_uppercase()) {
        Some('K') => (&text[..text.len() - 1], 10),
        Some('M') => (&text[..text.len() - 1], 20),
        Some('G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: usize = digits.parse().map_err(|_| "not a number of bytes, as 4096, 64K, 1M")?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or("zero or too large".into())
}

fn threshold(text: &str) -> Result<usize, String> {
    if text == "0" {
        Ok(0)
    } else {
        size(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definition() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64k"), Ok(65536));
        assert_eq!(size("1G"), Ok(1 << 30));
        for bad in ["", "K", "0", "-1", "1T", "99999999999G", "é"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(threshold("0"), Ok(0));
        assert_eq!(threshold("16K"), Ok(16384));
        assert!(threshold("-1").is_err());
    }
}
