// SPDX-License-Identifier: MIT
//! What heads become on their way: headers of the connection are taken out, those that tell the
//! body's end are made anew from what was understood, then come the user's own rules.

use super::head::{names, Body, Headers, Request, Response};
use std::io::Write;

/// Headers that are about one connection, besides those that Connection names.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that the relay alone sets: no rule may name them.
const OURS: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What the relay calls itself.
const VIA: &str = "1.1 zcio";

/// What is to be done to the headers of requests, or of answers.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub set: Vec<(String, Vec<u8>)>,
    pub remove: Vec<String>,
}

/// The name in a rule that removes.
pub fn name(text: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(token) {
        return Err("not the name of a header".into());
    }
    if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(text)) {
        return Err("the relay itself must set this header: it says where messages end".into());
    }
    Ok(text.to_owned())
}

/// Name and value in a rule that sets.
pub fn header(text: &str) -> Result<(String, Vec<u8>), String> {
    let (before, value) = text.split_once(':').ok_or("not 'Name: value'")?;
    let value = value.trim_matches([' ', '\t']);
    if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return Err("the value has a control character".into());
    }
    Ok((name(before)?, value.as_bytes().to_vec()))
}

impl Rules {
    fn drop(&self, name: &str) -> bool {
        let set = self.set.iter().map(|(name, _)| name);
        self.remove.iter().chain(set).any(|rule| rule.eq_ignore_ascii_case(name))
    }
}

/// What goes on of a message's headers.
fn kept<'a>(headers: &'a Headers, rules: &'a Rules) -> impl Iterator<Item = &'a (String, Vec<u8>)> {
    let is = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let connection = headers.iter().filter(move |(name, _)| is(name, "connection"));
    let named: Vec<String> = connection.flat_map(|(_, value)| names(value)).collect();
    headers.iter().filter(move |(name, _)| {
        !OF_THE_CONNECTION.iter().any(|of| is(of, name))
            && !is(name, "content-length")
            && !is(name, "http2-settings")
            && !named.iter().any(|of| is(of, name))
            && !rules.drop(name)
    })
}

fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
}

fn put_kept(out: &mut Vec<u8>, headers: &Headers, rules: &Rules) {
    for (name, value) in kept(headers, rules) {
        put(out, name, value);
    }
    for (name, value) in &rules.set {
        put(out, name, value);
    }
    if !rules.remove.iter().any(|name| name.eq_ignore_ascii_case("via")) {
        put(out, "Via", VIA.as_bytes());
    }
}

fn put_body(out: &mut Vec<u8>, body: Body, length: Option<u64>) {
    match (body, length) {
        (Body::Length(bytes), _) | (Body::None, Some(bytes)) => {
            put(out, "Content-Length", bytes.to_string().as_bytes());
        }
        (Body::Chunked, _) => put(out, "Transfer-Encoding", b"chunked"),
        (Body::None | Body::UntilEnd, _) => {}
    }
}

fn put_upgrade(out: &mut Vec<u8>, to: &[u8]) {
    put(out, "Connection", b"Upgrade");
    put(out, "Upgrade", to);
}

/// The head that the server gets. `authority` is the server's own name, for those who gave none.
pub fn request(request: &Request, rules: &Rules, authority: &str) -> Vec<u8> {
    let mut out = format!("{} {} HTTP/1.1\r\n", request.method, request.target).into_bytes();
    let host = |(name, _): &(String, Vec<u8>)| name.eq_ignore_ascii_case("host");
    if !request.headers.iter().any(host) && !rules.set.iter().any(host) {
        put(&mut out, "Host", authority.as_bytes());
    }
    put_kept(&mut out, &request.headers, rules);
    // A request of a method that has a body and an empty one says so.
    let empty = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    put_body(&mut out, request.body, empty.then_some(0));
    match &request.upgrade {
        Some(to) => put_upgrade(&mut out, to),
        None if request.close => put(&mut out, "Connection", b"close"),
        None => {}
    }
    out.extend(b"\r\n");
    out
}

/// The head that the client gets. `body` is how the body reaches it; `close`: nothing follows.
pub fn response(response: &Response, rules: &Rules, body: Body, close: bool) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {} {}\r\n", response.status, response.reason).into_bytes();
    put_kept(&mut out, &response.headers, rules);
    // There, a length would be wrong.
    let none = response.tunnel || response.status / 100 == 1 || response.status == 204;
    put_body(&mut out, body, response.length.filter(|_| !none));
    let upgrade = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
    match upgrade {
        Some((_, to)) if response.status == 101 => put_upgrade(&mut out, to),
        _ if close && !response.is_interim() && !response.tunnel => {
            put(&mut out, "Connection", b"close");
        }
        _ => {}
    }
    out.extend(b"\r\n");
    out
}

/// An answer of the relay's own. `head`: without the body.
pub fn own(status: u16, why: &str, head: bool) -> Vec<u8> {
    let reason = match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Bad Gateway",
    };
    let body = format!("{status} {reason}: {why}\n");
    let mut out = Vec::new();
    // A vector takes all that it is given.
    let _ = write!(
        out,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\nVia: {VIA}\r\n\r\n",
        body.len()
    );
    if !head {
        out.extend(body.as_bytes());
    }
    out
}
