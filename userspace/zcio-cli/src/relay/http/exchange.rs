// SPDX-License-Identifier: MIT
//! One request, its answers, and what becomes of the two connections.

use super::head::{Body, Request, Response};
use super::rewrite;
use super::wire::{self, Link, NoHead, Stop, Wire};
use super::Settings;
use crate::relay::counters::{Direction, Shared};
use crate::relay::socket::Socket;
use crate::relay::{way, Result};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What follows an exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The client's next request.
    Request,
    /// The client has its answer, and the end.
    Close,
    /// The connection was another protocol's in the end, which ended well or not.
    Done(bool),
}

/// What an exchange is made of.
pub struct Exchange<'a> {
    pub settings: &'a Settings,
    pub shared: &'a Shared,
    pub client: &'a Link,
    pub server: &'a [SocketAddr],
}

/// An answer that was passed on.
struct Answer {
    response: Response,
    /// The server said that it waits for the body.
    continued: bool,
    /// The client was told that nothing follows.
    last: bool,
}

/// Why there is no answer, or only a part.
enum Lost {
    /// Before a byte of it came; with the status that says so.
    Before(u16, String),
    /// In the middle: only breaking off says so.
    Within(String),
}

impl Exchange<'_> {
    /// Passes on a request and its answer. `link` is the server's connection, if there is one.
    pub async fn run(&self, request: &Request, link: &mut Option<Link>) -> Result<Next> {
        loop {
            let used = link.take().filter(Link::is_idle);
            let again = used.is_some();
            let server = match used {
                Some(server) => server,
                None => match Socket::connect(self.server, self.settings.connect_within).await {
                    Ok(socket) => Link::new(socket)?,
                    Err(error) => return self.fail(request, 502, &error.to_string()).await,
                },
            };
            match self.pass(request, &server).await {
                Ok((answer, sent)) => return self.after(request, answer, sent, server, link).await,
                // It was closed just when the request came: no answer, so nothing was done.
                Err(Lost::Before(..)) if again && request.may_repeat() => {}
                Err(Lost::Before(status, why)) => return self.fail(request, status, &why).await,
                Err(Lost::Within(why)) => {
                    return Err(format!("{} {}: {why}", request.method, request.target).into())
                }
            }
        }
    }

    /// Tells the client that there is no answer.
    async fn fail(&self, request: &Request, status: u16, why: &str) -> Result<Next> {
        let Exchange { shared, client, settings, .. } = self;
        shared.failed();
        shared.complain(&format!("{}: {status}: {why}", client.socket.peer));
        // What is to be said about the server is not the client's business.
        let public = match status {
            502 => "there is no good answer from the server",
            504 => "the server does not answer in time",
            _ => why,
        };
        let head = request.method == "HEAD";
        refuse(shared, client, settings.idle, status, public, head).await;
        Ok(Next::Close)
    }

    /// The way from one link to another.
    fn wire<'a>(&'a self, from: Direction, source: &'a Link, drain: &'a Link) -> Wire<'a> {
        let Settings { idle, least, .. } = *self.settings;
        Wire::new(self.shared, from, source, drain, idle, least)
    }

    /// Sends the request and its body, and at the same time passes on what is answered. Gives
    /// the answer, and whether all of the request was sent.
    async fn pass(&self, request: &Request, server: &Link) -> Result<(Answer, bool), Lost> {
        let up = self.wire(Direction::Client, self.client, server);
        let Settings { requests, authority, most_head, .. } = self.settings;
        let head = rewrite::request(request, requests, authority);
        if let Err(stop) = up.write(&head).await {
            return Err(Lost::Before(502, text("the server", &stop)));
        }
        let whole = AtomicBool::new(request.body == Body::None);
        let mut sending = pin!(up.body(request.body, true, *most_head));
        let mut answering = pin!(self.answer(request, server, &whole));
        let mut sent = (request.body == Body::None).then_some(true);
        let answer = loop {
            tokio::select! {
                answer = &mut answering => break answer?,
                stopped = &mut sending, if sent.is_none() => sent = Some(match stopped {
                    Ok(()) => {
                        whole.store(true, Relaxed);
                        true
                    }
                    // It may have answered before.
                    Err(Stop::Drain(_)) => false,
                    // The server waits for more, and would answer to less than was meant.
                    Err(Stop::Wrong(refusal)) => return Err(Lost::Within(refusal.why.into())),
                    Err(Stop::Idle) => return Err(Lost::Within("the client sends no more".into())),
                    Err(stop) => return Err(Lost::Within(text("the client", &stop))),
                }),
            }
        };
        // An answer that came early: the server may still want the rest, unless it has not even
        // asked for it.
        let waits = request.expects && !answer.continued;
        if sent.is_none() && !answer.response.close && !answer.last && !waits {
            sent = Some(sending.await.is_ok());
        }
        Ok((answer, sent == Some(true)))
    }

    /// Passes on the answers to a request: interim ones, and the one that ends it. The server
    /// owes one since `sent`.
    async fn answer(
        &self,
        request: &Request,
        server: &Link,
        sent: &AtomicBool,
    ) -> Result<Answer, Lost> {
        let Settings { answers, most_head, idle, head_within, .. } = self.settings;
        let down = self.wire(Direction::Server, server, self.client);
        let mut continued = false;
        let before = |status: u16, why: &str| Lost::Before(status, format!("the server: {why}"));
        loop {
            let owed = sent.load(Relaxed);
            let head = match wire::head(server, *most_head, *idle, *head_within).await {
                Err(NoHead::Silence) if !owed => continue,
                head => head,
            };
            let head = head.map_err(|none| match none {
                NoHead::End => before(502, "it closed without an answer"),
                NoHead::Silence => before(504, "it does not answer"),
                NoHead::Slow => before(504, "it does not end its answer's head"),
                NoHead::Wrong(refusal) => before(502, refusal.why),
                NoHead::Broken(error) => before(502, &error),
            })?;
            let response = Response::parse(&head, request);
            let response = response.map_err(|refusal| before(502, refusal.why))?;
            let within = |stop: Stop| Lost::Within(text("the answer", &stop));
            // A client of HTTP/1.0 knows neither chunks nor interim answers.
            let body = match response.body {
                Body::Chunked if request.old => Body::UntilEnd,
                body => body,
            };
            let last = request.close || body == Body::UntilEnd;
            if !(response.is_interim() && request.old) {
                let head = rewrite::response(&response, answers, body, last);
                down.write(&head).await.map_err(within)?;
            }
            if response.is_interim() {
                continued |= response.status == 100;
                continue;
            }
            let chunks = body == Body::Chunked;
            down.body(response.body, chunks, *most_head).await.map_err(within)?;
            return Ok(Answer { response, continued, last });
        }
    }

    /// What becomes of the connections.
    async fn after(
        &self,
        request: &Request,
        answer: Answer,
        sent: bool,
        server: Link,
        link: &mut Option<Link>,
    ) -> Result<Next> {
        let Exchange { shared, client, settings, .. } = self;
        let status = answer.response.status;
        shared.answered();
        let Request { method, target, .. } = request;
        shared.say(&format!("{}: {method} {target}: {status}", client.socket.peer));
        if answer.response.tunnel {
            let (up, down) = (&client.socket.stream, &server.socket.stream);
            // What an earlier splice has still to tell is not the tunnel's.
            let _ = (up.take_error(), down.take_error());
            let over = way::both(shared, up, down, None, settings.idle).await?;
            if over.is_clean() {
                server.socket.close();
            }
            return Ok(Next::Done(over.is_clean()));
        }
        if answer.response.close {
            server.socket.close();
        } else if sent {
            *link = Some(server);
        }
        Ok(if answer.last || !sent { Next::Close } else { Next::Request })
    }
}

fn text(who: &str, stop: &Stop) -> String {
    match stop {
        Stop::Source(why) => format!("{who}: {why}"),
        Stop::Drain(why) => format!("{who} goes nowhere: {why}"),
        Stop::Idle => format!("{who}: nothing moved for too long"),
        Stop::Wrong(refusal) => format!("{who}: {}", refusal.why),
        Stop::Ours(why) => why.clone(),
    }
}

/// Answers in the server's place; the connection ends behind that.
pub async fn refuse(
    shared: &Shared,
    client: &Link,
    idle: Option<Duration>,
    status: u16,
    why: &str,
    head: bool,
) {
    let wire = Wire::new(shared, Direction::Server, client, client, idle, u64::MAX);
    // A client that does not want to hear it has gone.
    let _ = wire.write(&rewrite::own(status, why, head)).await;
}
