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
use std::io::{self, Read};
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

/// Bytes that the listening socket keeps, of new clients that come all at once, with what the
/// kernel needs beside them.
const ROOM: i32 = 4 << 20;

/// So many datagrams that came to a flow when it was over begin the next one.
const LATE: usize = 64;

/// The sockets of a flow.
struct Flow {
    client: Socket,
    server: Socket,
}

impl Flow {
    /// For a client's address.
    fn new(
        listen: SocketAddr,
        peer: SocketAddr,
        server: SocketAddr,
        gro: bool,
    ) -> io::Result<Flow> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let up = socket(any)?;
        up.connect(&server.into())?;
        let down = shared(listen)?;
        down.connect(&peer.into())?;
        if gro {
            os::join_datagrams(&up)?;
            os::join_datagrams(&down)?;
        }
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
                os::set_receive_room(&socket, ROOM)?;
                return Ok(UdpSocket::from_std(socket.into())?);
            }
            Err(error) => failed = Some(cannot_listen(name, &error)),
        }
    }
    Err(failed.unwrap_or_default().into())
}

/// The relay while it runs.
struct Relay<'a> {
    shared: &'a Arc<Shared>,
    args: &'a Udp,
    listen: SocketAddr,
    server: SocketAddr,
    flows: HashMap<SocketAddr, Arc<Flow>>,
    /// One for each flow; they give the clients' addresses.
    tasks: JoinSet<SocketAddr>,
}

impl Relay<'_> {
    /// A datagram that the kernel has not moved.
    fn came(&mut self, peer: SocketAddr, datagram: &[u8]) {
        let Some(flow) = self.flow(peer) else {
            return;
        };
        // What the server's socket does not take is lost, as datagrams may be.
        if flow.server.send(datagram).is_ok() {
            let count = datagram.len() as u64;
            self.shared.add(Direction::Client, count, count);
        }
    }

    /// The client's flow, which begins if there is none.
    fn flow(&mut self, peer: SocketAddr) -> Option<Arc<Flow>> {
        let common = &self.args.common;
        if let Some(flow) = self.flows.get(&peer) {
            return Some(flow.clone());
        }
        if self.flows.len() >= common.connections.get() {
            return None; // as if it were lost on the way
        }
        let flow = match Flow::new(self.listen, peer, self.server, self.args.gro) {
            Ok(flow) => Arc::new(flow),
            Err(error) => {
                self.shared.failed();
                self.shared.complain(&format!("{peer}: no flow to {}: {error}", self.server));
                return None;
            }
        };
        let maximum = self.args.max_bytes.map(|bytes| bytes as u64);
        let relayed = relay(self.shared.clone(), flow.clone(), peer, maximum, common.idle_or(IDLE));
        self.shared.opened();
        self.flows.insert(peer, flow.clone());
        self.tasks.spawn(relayed);
        Some(flow)
    }

    /// A flow is over. What came to its socket since then is the first of another one.
    fn ended(&mut self, peer: SocketAddr, buffer: &mut [u8]) {
        self.shared.closed();
        let Some(flow) = self.flows.remove(&peer) else {
            return;
        };
        // The end of a splice leaves its error there.
        let _ = flow.client.take_error();
        let mut late = Vec::new();
        // What was joined does not say to this read() where its datagrams end: it is lost.
        while late.len() < LATE && !self.args.gro {
            match (&flow.client).read(buffer) {
                Ok(count) => late.push(buffer[..count].to_vec()),
                Err(_) => break,
            }
        }
        drop(flow);
        for datagram in late {
            self.came(peer, &datagram);
        }
    }
}

pub async fn run(args: &Udp) -> Result<()> {
    let common = &args.common;
    let server = *addresses(&common.connect)?.first().ok_or("no address")?;
    let context = Context::open()?;
    let listener = listener(&common.listen)?;
    let listen = listener.local_addr()?;
    let shared = Arc::new(Shared::new(context, common, "udp", "flows"));
    shared.say(&format!("relaying {listen} to {}", common.connect));

    let (flows, tasks) = (HashMap::new(), JoinSet::new());
    let mut relay = Relay { shared: &shared, args, listen, server, flows, tasks };
    let mut buffer = vec![0; LARGEST];
    let mut stop = stopped()?;
    let mut show = std::pin::pin!(shared.show());
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = &mut show => {}
            // A task that panicked has said so; what was its flow ends with the relay.
            Some(ended) = relay.tasks.join_next() => if let Ok(peer) = ended {
                relay.ended(peer, &mut buffer);
            },
            // An error is of a datagram sent before: there is none that could be told.
            came = listener.recv_from(&mut buffer) => if let Ok((count, peer)) = came {
                relay.came(peer, &buffer[..count]);
            },
        }
    }
    drop(listener);
    relay.tasks.shutdown().await;
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
