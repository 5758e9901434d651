// SPDX-License-Identifier: MIT
//! `zcio relay udp`: a flow for each client's address, made of two connected sockets: one to the
//! server, and one with the relay's own address to the client, which gets what the client sends
//! from then on. What comes before goes by this program.

use super::args::Udp;
use super::counters::{Direction, Shared};
use super::{addresses, cannot_listen, stopped, way, Result};
use crate::os;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use zcio::Context;

/// How long nothing may move, if the user does not say it: UDP knows no end.
const IDLE: Duration = Duration::from_secs(60);

/// The largest datagram.
const LARGEST: usize = 65_535;

/// What the system lets the listening socket have of this it keeps for new clients that come all at
/// once, and for what they send before the kernel moves it.
const ROOM: usize = 4 << 20;

/// The sockets of a flow.
struct Flow {
    client: Socket,
    server: Socket,
}

impl Flow {
    /// For a client's address.
    fn new(listen: SocketAddr, peer: SocketAddr, server: SocketAddr) -> io::Result<Flow> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let up = socket(any)?;
        up.connect(&server.into())?;
        let down = shared(listen)?;
        down.connect(&peer.into())?;
        // Nobody reads from them, and together they take the way through the kernel once.
        os::join_datagrams(&up)?;
        os::join_datagrams(&down)?;
        Ok(Flow { client: down, server: up })
    }
}

/// A socket with an address.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// A socket with an address that others of ours have, too.
fn shared(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// The socket that new clients come to.
fn listener(name: &str) -> Result<UdpSocket> {
    let mut failed = None;
    for address in &*addresses(name)? {
        // It must be the first of all that share the address (see os::first_gets_all): nobody
        // has it who would share it with us.
        match socket(*address).map(drop).and_then(|()| shared(*address)) {
            Ok(socket) => {
                os::first_gets_all(&socket)?;
                socket.set_recv_buffer_size(ROOM)?;
                return Ok(UdpSocket::from_std(socket.into())?);
            }
            Err(error) => failed = Some(cannot_listen(name, &error)),
        }
    }
    Err(failed.unwrap_or_default().into())
}

pub async fn run(args: &Udp) -> Result<()> {
    let common = &args.common;
    let (idle, maximum) = (common.idle_or(IDLE), args.max_bytes.map(|bytes| bytes as u64));
    let server = *addresses(&common.connect)?.first().ok_or("no address")?;
    let context = Context::open()?;
    let listener = listener(&common.listen)?;
    let listen = listener.local_addr()?;
    let shared = Arc::new(Shared::new(context, common, "udp", "flows"));
    shared.say(&format!("relaying {listen} to {}", common.connect));

    let mut flows: HashMap<SocketAddr, Arc<Flow>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; LARGEST];
    let mut stop = stopped()?;
    let mut show = std::pin::pin!(shared.show());
    loop {
        let (count, peer) = tokio::select! {
            () = &mut stop => break,
            () = &mut show => continue,
            Some(ended) = tasks.join_next() => {
                // A task that panicked has said so; what was its flow ends with the relay.
                if let Ok(peer) = ended {
                    flows.remove(&peer);
                    shared.closed();
                }
                continue;
            }
            came = listener.recv_from(&mut buffer) => match came {
                Ok(came) => came,
                // Of a datagram sent before: there is none that could be told.
                Err(_) => continue,
            },
        };
        let flow = match flows.get(&peer) {
            Some(flow) => flow.clone(),
            // As if it were lost on the way.
            None if flows.len() >= common.connections.get() => continue,
            None => match Flow::new(listen, peer, server).map(Arc::new) {
                Ok(flow) => {
                    shared.opened();
                    flows.insert(peer, flow.clone());
                    tasks.spawn(relay(shared.clone(), flow.clone(), peer, maximum, idle));
                    flow
                }
                Err(error) => {
                    shared.failed();
                    shared.complain(&format!("{peer}: no flow to {server}: {error}"));
                    continue;
                }
            },
        };
        // What the server's socket does not take is lost, as datagrams may be.
        if flow.server.send(&buffer[..count]).is_ok() {
            shared.add(Direction::Client, count as u64, count as u64);
        }
    }
    drop(listener);
    tasks.shutdown().await;
    shared.finish();
    Ok(())
}

/// Keeps a flow up until it ends; gives the client's address.
async fn relay(
    shared: Arc<Shared>,
    flow: Arc<Flow>,
    peer: SocketAddr,
    maximum: Option<u64>,
    idle: Option<Duration>,
) -> SocketAddr {
    let start = Instant::now();
    match way::both(&shared, &flow.client, &flow.server, maximum, idle).await {
        Ok(over) => {
            shared.say(&format!("{peer}: {over}, after {:.2} s", start.elapsed().as_secs_f64()));
        }
        Err(error) => {
            shared.failed();
            shared.complain(&format!("{peer}: {error}"));
        }
    }
    peer
}
