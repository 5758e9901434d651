// SPDX-License-Identifier: MIT
//! `zcio relay http`: heads are read, changed and written here; bodies are spliced.

mod chunk;
mod exchange;
mod head;
pub mod rewrite;
#[cfg(test)]
mod tests;
mod wire;

use super::args::Http;
use super::counters::Shared;
use super::socket::Socket;
use super::{Relaying, Result};
use exchange::Next;
use head::Request;
use rewrite::Rules;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wire::{Link, NoHead};

/// How long nothing may move, if the user does not say it.
const IDLE: Duration = Duration::from_secs(60);

/// What all exchanges have in common.
struct Settings {
    requests: Rules,
    answers: Rules,
    /// The server's name, for requests that have none.
    authority: String,
    most_head: usize,
    head_within: Duration,
    idle: Option<Duration>,
    connect_within: Duration,
    least: u64,
}

pub async fn run(args: &Http) -> Result<()> {
    let common = &args.common;
    let rules = |set: &[(String, Vec<u8>)], remove: &[String]| Rules {
        set: set.to_vec(),
        remove: remove.to_vec(),
    };
    let settings = Arc::new(Settings {
        requests: rules(&args.set_header, &args.remove_header),
        answers: rules(&args.set_answer_header, &args.remove_answer_header),
        authority: common.connect.clone(),
        most_head: args.max_head,
        head_within: args.head_timeout,
        idle: common.idle_or(IDLE),
        connect_within: common.connect_timeout,
        least: args.splice_from as u64,
    });
    let serve = move |client: Socket, server: Arc<[SocketAddr]>, shared: Arc<Shared>| {
        let settings = settings.clone();
        async move {
            let peer = client.peer;
            if let Err(error) = serve(&settings, &shared, client, &server).await {
                shared.failed();
                shared.complain(&format!("{peer}: {error}"));
            }
        }
    };
    Relaying::new(common, "http").await?.run(serve).await
}

/// Serves a client, request after request.
async fn serve(
    settings: &Settings,
    shared: &Shared,
    client: Socket,
    server: &[SocketAddr],
) -> Result<()> {
    let client = Link::new(client)?;
    let mut link: Option<Link> = None;
    loop {
        let (most, within) = (settings.most_head, settings.head_within);
        let refusal = match wire::head(&client, most, settings.idle, within).await {
            Ok(head) => match Request::parse(&head) {
                Ok(request) => {
                    let exchange = exchange::Exchange { settings, shared, client: &client, server };
                    match exchange.run(&request, &mut link).await? {
                        Next::Request => continue,
                        Next::Close => break,
                        Next::Done(true) => {
                            client.socket.close();
                            return Ok(());
                        }
                        // Dropped, so both ends learn that it broke off.
                        Next::Done(false) => return Ok(()),
                    }
                }
                Err(refusal) => (refusal.status, refusal.why),
            },
            Err(NoHead::End | NoHead::Silence) => break,
            Err(NoHead::Slow) => (408, "the request did not come in time"),
            Err(NoHead::Wrong(refusal)) => (refusal.status, refusal.why),
            Err(NoHead::Broken(error)) => return Err(format!("the client: {error}").into()),
        };
        let (status, why) = refusal;
        shared.failed();
        shared.say(&format!("{}: refused, {status}: {why}", client.socket.peer));
        exchange::refuse(shared, &client, settings.idle, status, why, false).await;
        break;
    }
    // It waits for another request, and owes nothing.
    if let Some(server) = link {
        server.socket.close();
    }
    client.finish().await;
    Ok(())
}
