// SPDX-License-Identifier: MIT
//! Zero-copy socket I/O by way of the kernel module `zcio`.
//!
//! A received payload is the very page that the network card wrote, mapped into a
//! [`Window`]; a payload that is sent is handed to the network stack as pages of a
//! [`Pool`]. Sockets are ordinary ones of any crate ([`AsFd`](std::os::fd::AsFd)): TCP, UDP and
//! AF_PACKET.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::Write;
//! let socket = std::net::TcpStream::connect("192.0.2.1:7000")?;
//! let context = zcio::Context::open()?;
//!
//! // Send: fill an area, hand it over, get it back empty.
//! let pool = context.pool_for(&socket, 16, 64 << 10)?;
//! let mut area = pool.area()?;
//! area.write_all(b"hello")?;
//! pool.send_all(&socket, vec![area])?;
//!
//! // Receive: payloads are owned values; dropping one frees its part of the window.
//! let window = context.window(256, 64 << 10)?;
//! for payload in window.recv(&socket, 64)? {
//!     println!("{} bytes, {} of them mapped", payload.len(), payload.transfer().mapped);
//! }
//! # Ok(()) }
//! ```
//!
//! Between two sockets the kernel moves the bytes by itself: [`Context::splice`].
//!
//! # Features
//!
//! `tokio`: [`Splice`] can be awaited in a tokio runtime.
//!
//! # Why a payload is a plain `&[u8]`
//!
//! A shared slice promises that nobody changes the bytes while it lives. The window is
//! mapped read-only; the kernel module maps only pages that nobody can write any more
//! (others it copies), and changes a region only when the region is given to a receiving
//! call again. Regions belong to [`Payload`]s, one each, and go back to the window when
//! these are dropped, so that cannot happen while a slice lives.
//!
//! An [`Area`] is moved into the sending call, so it cannot be touched on its way:
//!
//! ```compile_fail,E0382
//! # fn f(pool: zcio::Pool, socket: std::net::TcpStream) -> Result<(), zcio::SendError> {
//! let mut area = pool.area().unwrap();
//! let sent = pool.send(&socket, vec![area])?;
//! area[0] = 1; // error: `area` was moved
//! # Ok(()) }
//! ```
//!
//! and a slice of a payload cannot outlive it:
//!
//! ```compile_fail,E0505
//! # fn f(window: zcio::Window, socket: std::net::TcpStream) {
//! let payload = window.recv(&socket, 1).unwrap().remove(0);
//! let bytes: &[u8] = &payload;
//! drop(payload); // error: the region could be received into again
//! println!("{bytes:?}");
//! # }
//! ```
//!
//! A payload cannot be written to:
//!
//! ```compile_fail,E0596
//! # fn f(mut payload: zcio::Payload) {
//! payload[0] = 1;
//! # }
//! ```
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[allow(missing_docs)]
mod abi;
#[allow(missing_docs)]
mod abi_splice;
mod answer;
mod context;
mod datagram;
mod error;
mod kept;
mod pool;
mod slots;
mod splice;
mod sys;
mod transfer;
mod window;

pub use context::{Context, Counters, Info};
pub use datagram::{Datagram, LinkAddr, Sender, Vlan};
pub use error::{Error, Operation};
pub use kept::Kept;
pub use pool::{Area, Pool, SendError, Sent};
pub use splice::{End, Limits, Splice, SpliceStatus};
pub use transfer::{Flags, Transfer, Why};
pub use window::{Payload, Window};

/// The most payloads that one call moves.
pub const MAX_PAYLOADS: usize = abi::MAX_ELEMENTS;

/// Version of the kernel interface that this crate was written for.
pub const ABI_VERSION: u32 = abi::ABI_VERSION;

/// Result of the calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
