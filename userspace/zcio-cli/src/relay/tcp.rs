// SPDX-License-Identifier: MIT
//! `zcio relay tcp`

use super::args::Tcp;
use super::counters::Shared;
use super::socket::Socket;
use super::{way, Relaying, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection may do.
#[derive(Clone, Copy)]
struct Bounds {
    maximum: Option<u64>,
    idle: Option<Duration>,
    connect: Duration,
}

pub async fn run(args: &Tcp) -> Result<()> {
    let common = &args.common;
    let bounds = Bounds {
        maximum: args.max_bytes.map(|bytes| bytes as u64),
        idle: common.idle_or(Duration::ZERO),
        connect: common.connect_timeout,
    };
    let serve = move |client: Socket, server: Arc<[SocketAddr]>, shared: Arc<Shared>| async move {
        let (peer, start) = (client.peer, Instant::now());
        match relay(&shared, client, &server, bounds).await {
            Ok(over) => {
                let seconds = start.elapsed().as_secs_f64();
                shared.say(&format!("{peer}: {over}, after {seconds:.2} s"));
            }
            Err(error) => {
                shared.failed();
                shared.complain(&format!("{peer}: {error}"));
            }
        }
    };
    Relaying::new(common, "tcp").await?.run(serve).await
}

/// Relays one connection.
async fn relay(
    shared: &Shared,
    client: Socket,
    server: &[SocketAddr],
    bounds: Bounds,
) -> Result<way::Over> {
    let server = Socket::connect(server, bounds.connect).await?;
    let over =
        way::both(shared, &client.stream, &server.stream, bounds.maximum, bounds.idle).await?;
    if over.is_clean() {
        client.close();
        server.close();
    }
    Ok(over)
}
