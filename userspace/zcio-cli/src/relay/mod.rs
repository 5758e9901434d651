// SPDX-License-Identifier: MIT
//! `zcio relay`: what every kind of relay does: wait for clients, serve each of them in a task
//! of its own, until a signal comes.

pub mod args;
mod counters;
mod http;
mod socket;
mod tcp;
mod udp;
mod way;

use crate::os;
use args::{Common, Relay};
use counters::Shared;
use socket::Socket;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zcio::Context;

/// What goes wrong while a client is served, and can be told by any thread.
type Failure = Box<dyn Error + Send + Sync>;

type Result<T, E = Failure> = std::result::Result<T, E>;

pub fn run(args: &Relay) -> Result<(), Box<dyn Error>> {
    // Two sockets and two handles for each client: what root gave us, we take.
    os::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match args {
            Relay::Tcp(args) => tcp::run(args).await,
            Relay::Udp(args) => udp::run(args).await,
            Relay::Http(args) => http::run(args).await,
        }
    });
    done.map_err(|error| -> Box<dyn Error> { error })
}

/// A relay that is ready to serve.
struct Relaying {
    shared: Arc<Shared>,
    listener: TcpListener,
    server: Arc<[SocketAddr]>,
    connections: usize,
    stop: Pin<Box<dyn Future<Output = ()>>>,
}

impl Relaying {
    /// Opens what is needed and says that it is there.
    async fn new(common: &Common, kind: &'static str) -> Result<Relaying> {
        let context = Context::open()?;
        let server = addresses(&common.connect)?;
        let listen = addresses(&common.listen)?;
        let listener = TcpListener::bind(&listen[..])
            .await
            .map_err(|error| cannot_listen(&common.listen, &error))?;
        let stop = stopped()?;
        let shared = Arc::new(Shared::new(context, common, kind, "connections"));
        shared.say(&format!("relaying {} to {}", listener.local_addr()?, common.connect));
        let connections = common.connections.get();
        Ok(Relaying { shared, listener, server, connections, stop })
    }

    /// Serves each client that comes by `serve`, until a signal comes, and sums up.
    async fn run<F>(self, serve: impl Fn(Socket, Arc<[SocketAddr]>, Arc<Shared>) -> F) -> Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Relaying { shared, listener, server, connections, mut stop } = self;
        let room = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        let mut clients = JoinSet::new();
        let mut show = std::pin::pin!(shared.show());
        loop {
            let accept = async {
                let place = room.clone().acquire_owned().await.expect("never closed");
                (place, accept(&listener, &shared).await)
            };
            tokio::select! {
                () = &mut stop => break,
                () = &mut show => {}
                // A task that panicked has said so.
                Some(_) = clients.join_next() => {}
                (place, client) = accept => {
                    let served = serve(client, server.clone(), shared.clone());
                    let shared = shared.clone();
                    shared.opened();
                    clients.spawn(async move {
                        served.await;
                        shared.closed();
                        drop(place);
                    });
                }
            }
        }
        drop(listener);
        clients.shutdown().await;
        shared.finish();
        Ok(())
    }
}

/// What waits for the signal that ends the relay: from now on no other has that effect.
fn stopped() -> Result<Pin<Box<dyn Future<Output = ()>>>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }))
}

/// The next client.
async fn accept(listener: &TcpListener, shared: &Shared) -> Socket {
    let mut said = false;
    loop {
        match listener.accept().await.and_then(|(stream, from)| Socket::new(stream, from)) {
            Ok(client) => return client,
            // It was there, and has gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // No descriptor, no memory: that passes when clients go.
            Err(error) => {
                if !said {
                    shared.complain(&format!(
                        "cannot take a client now: {error}; trying again (fewer with --connections, \
                         more files with ulimit -n)"
                    ));
                }
                said = true;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The addresses of a name with a port.
fn addresses(name: &str) -> Result<Arc<[SocketAddr]>> {
    let found: Arc<[SocketAddr]> = name
        .to_socket_addrs()
        .map_err(|error| format!("'{name}': {error}; give an address as 127.0.0.1:80, [::1]:80"))?
        .collect();
    if found.is_empty() {
        return Err(format!("'{name}' has no address").into());
    }
    Ok(found)
}

fn cannot_listen(name: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or take another port"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address (ip addr)",
        io::ErrorKind::PermissionDenied => "; ports below 1024 are root's",
        _ => "",
    };
    format!("cannot listen on {name}: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses() {
        assert_eq!(&*addresses("127.0.0.1:80").unwrap(), &["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(&*addresses("[::1]:80").unwrap(), &["[::1]:80".parse().unwrap()]);
        for bad in ["", "127.0.0.1", "127.0.0.1:x", ":80:"] {
            assert!(addresses(bad).is_err(), "{bad}");
        }
    }
}
