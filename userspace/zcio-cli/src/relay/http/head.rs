// SPDX-License-Identifier: MIT
//! Heads of HTTP/1 messages: where they end, what they mean, how the body behind one is framed.
//! No input and output, only decisions: strict ones, for what the server would read otherwise
//! than we do is what an attacker looks for. Lines end with CR LF alone, nothing is folded, no
//! length is told twice.

/// The most header lines of a message.
const MOST_HEADERS: usize = 128;

/// Names and values of header lines.
pub type Headers = Vec<(String, Vec<u8>)>;

/// Why a message is not passed on, and the status that its sender gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub why: &'static str,
}

fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    /// So many bytes, at least one.
    Length(u64),
    Chunked,
    /// All that comes until the connection ends.
    UntilEnd,
}

/// Gathers the bytes of a head: not one of what follows it.
pub struct Gather {
    bytes: Vec<u8>,
    seen: usize,
    most: usize,
}

impl Gather {
    /// For a head of at most so many bytes.
    pub fn new(most: usize) -> Gather {
        Gather { bytes: Vec::new(), seen: 0, most }
    }

    /// Whether nothing has come yet, but empty lines.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes what belongs to the head from the front of `more`: so many bytes. The head, if that
    /// is all of it.
    pub fn take(&mut self, more: &[u8]) -> Result<(usize, Option<Vec<u8>>), Refusal> {
        for (at, byte) in more.iter().enumerate() {
            if self.seen == self.most {
                return Err(Refusal { status: 431, why: "the head is too large" });
            }
            self.seen += 1;
            self.bytes.push(*byte);
            match &self.bytes[..] {
                // Empty lines before a request: some clients send one behind a body.
                b"\r\n" => self.bytes.clear(),
                [.., b'\n', b'\r', b'\n'] | [.., b'\n', b'\n'] => {
                    return Ok((at + 1, Some(std::mem::take(&mut self.bytes))));
                }
                _ => {}
            }
        }
        Ok((more.len(), None))
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Headers,
    pub body: Body,
    /// HTTP/1.0: no chunks, no interim answers, and no second request.
    pub old: bool,
    /// The client wants no second request on its connection.
    pub close: bool,
    /// The protocol that the client would like to change to.
    pub upgrade: Option<Vec<u8>>,
    /// The client may wait with the body until it is told to go on.
    pub expects: bool,
}

impl Request {
    /// Reads a whole head.
    pub fn parse(head: &[u8]) -> Result<Request, Refusal> {
        lines(head)?;
        let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut space);
        let whole = parsed.parse(head).map_err(refusal)?;
        if !matches!(whole, httparse::Status::Complete(len) if len == head.len()) {
            return Err(bad("the head does not end where it seems to"));
        }
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(bad("the request line lacks something"));
        };
        let headers = owned(parsed.headers);
        let old = minor == 0;
        if count(&headers, "host") > 1 || (!old && count(&headers, "host") == 0) {
            return Err(bad("there must be one Host header"));
        }
        let connection = Connection::of(&headers)?;
        let body = match framing(&headers, old)? {
            Framing::Length(0) | Framing::Neither => Body::None,
            Framing::Length(bytes) => Body::Length(bytes),
            Framing::Chunked => Body::Chunked,
        };
        let upgrade = value(&headers, "upgrade").filter(|to| {
            // HTTP/2 has to be spoken with the relay, which does not: what follows would be
            // requests that it does not see.
            !old && connection.upgrade && !names(to).any(|name| name.starts_with("h2"))
        });
        Ok(Request {
            method: method.into(),
            target: target.into(),
            body,
            old,
            close: old || connection.close,
            upgrade: upgrade.map(<[u8]>::to_vec),
            expects: !old && value(&headers, "expect").is_some_and(is_continue),
            headers,
        })
    }

    /// Whether it may be sent again when the connection was gone before an answer came.
    pub fn may_repeat(&self) -> bool {
        let safe = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
        self.body == Body::None && self.upgrade.is_none() && safe.contains(&&*self.method)
    }
}

/// An answer, or an interim one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub body: Body,
    /// What it says that its body would have, where there is none (HEAD, 304).
    pub length: Option<u64>,
    /// The server's connection cannot be used again.
    pub close: bool,
    /// What follows belongs to another protocol, both ways.
    pub tunnel: bool,
}

impl Response {
    /// Reads a whole head: of an answer to that request.
    pub fn parse(head: &[u8], request: &Request) -> Result<Response, Refusal> {
        Response::read(head, request).map_err(|refusal| Refusal { status: 502, why: refusal.why })
    }

    fn read(head: &[u8], request: &Request) -> Result<Response, Refusal> {
        lines(head)?;
        let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut space);
        let whole = parsed.parse(head).map_err(refusal)?;
        if !matches!(whole, httparse::Status::Complete(len) if len == head.len()) {
            return Err(bad("the head does not end where it seems to"));
        }
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(bad("the status line lacks something"));
        };
        let headers = owned(parsed.headers);
        let connection = Connection::of(&headers)?;
        let tunnel = status == 101 || (request.method == "CONNECT" && status / 100 == 2);
        if status == 101 && request.upgrade.is_none() {
            return Err(bad("the server changes the protocol without being asked to"));
        }
        if status < 100 {
            return Err(bad("there is no such status"));
        }
        let none = request.method == "HEAD" || status / 100 == 1 || status == 204 || status == 304;
        let (body, length) = if tunnel {
            (Body::None, None)
        } else {
            match framing(&headers, minor == 0)? {
                Framing::Length(bytes) if none => (Body::None, Some(bytes)),
                _ if none => (Body::None, None),
                Framing::Length(0) => (Body::None, Some(0)),
                Framing::Length(bytes) => (Body::Length(bytes), Some(bytes)),
                Framing::Chunked => (Body::Chunked, None),
                Framing::Neither => (Body::UntilEnd, None),
            }
        };
        let close = minor == 0 || connection.close || body == Body::UntilEnd;
        let reason = parsed.reason.unwrap_or("").into();
        Ok(Response { status, reason, headers, body, length, close, tunnel })
    }

    /// Whether another answer to the same request follows.
    pub fn is_interim(&self) -> bool {
        self.status / 100 == 1 && self.status != 101
    }
}

/// What httparse does not mind: lines that end otherwise than with CR LF.
fn lines(head: &[u8]) -> Result<(), Refusal> {
    let mut last = 0;
    for byte in head {
        if (*byte == b'\n') != (last == b'\r') {
            return Err(bad("a line does not end with CR LF"));
        }
        last = *byte;
    }
    Ok(())
}

fn refusal(error: httparse::Error) -> Refusal {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => Refusal { status: 431, why: "there are too many headers" },
        Error::Version => Refusal { status: 505, why: "this is not HTTP/1.1" },
        Error::HeaderName => bad("a header's name has a character that is none of a name"),
        Error::HeaderValue => bad("a header's value has a character that is none of a value"),
        Error::Token => bad("the first line has a character that does not belong there"),
        Error::Status => bad("the status is not a number"),
        Error::NewLine => bad("a line does not end where it should"),
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Headers {
    headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect()
}

fn all<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, v)| &v[..])
}

fn count(headers: &Headers, name: &str) -> usize {
    all(headers, name).count()
}

fn value<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a [u8]> {
    all(headers, name).next()
}

/// The members of a list, in small letters.
pub fn names(value: &[u8]) -> impl Iterator<Item = String> + '_ {
    value
        .split(|byte| *byte == b',')
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
        .filter(|name| !name.is_empty())
}

fn is_continue(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(b"100-continue")
}

/// What the Connection headers say.
struct Connection {
    close: bool,
    upgrade: bool,
}

impl Connection {
    fn of(headers: &Headers) -> Result<Connection, Refusal> {
        let mut connection = Connection { close: false, upgrade: false };
        for name in all(headers, "connection").flat_map(names) {
            match &name[..] {
                "close" => connection.close = true,
                "upgrade" => connection.upgrade = true,
                // It asks us to take away what tells the next one where the message ends.
                "content-length" | "transfer-encoding" | "host" => {
                    return Err(bad("Connection names a header that is for all"));
                }
                _ => {}
            }
        }
        Ok(connection)
    }
}

enum Framing {
    Length(u64),
    Chunked,
    Neither,
}

/// How the body is framed, as far as headers say it.
fn framing(headers: &Headers, old: bool) -> Result<Framing, Refusal> {
    let lengths = count(headers, "content-length");
    if count(headers, "transfer-encoding") > 0 {
        if lengths > 0 {
            return Err(bad("there are both Content-Length and Transfer-Encoding"));
        }
        if old {
            return Err(bad("HTTP/1.0 has no Transfer-Encoding"));
        }
        let codings: Vec<_> = all(headers, "transfer-encoding").flat_map(names).collect();
        return match &codings.iter().map(|name| &name[..]).collect::<Vec<_>>()[..] {
            ["chunked"] => Ok(Framing::Chunked),
            // Where it ends is known, but not what it is.
            [before @ .., "chunked"] if !before.contains(&"chunked") => {
                Err(Refusal { status: 501, why: "Transfer-Encoding is another than 'chunked'" })
            }
            _ => Err(bad("Transfer-Encoding does not say where the body ends")),
        };
    }
    let length = match lengths {
        0 => return Ok(Framing::Neither),
        1 => value(headers, "content-length").and_then(number),
        _ => None,
    };
    length.map(Framing::Length).ok_or(bad("Content-Length is not one number"))
}

/// Digits alone, and no more than the kernel can count.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    u64::try_from(number).ok()
}
