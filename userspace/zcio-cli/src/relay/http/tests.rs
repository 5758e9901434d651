// SPDX-License-Identifier: MIT
//! Heads: what is understood, refused, and made of them.

use super::head::{Body, Gather, Headers, Refusal, Request, Response};
use super::rewrite::{self, Rules};
use proptest::prelude::*;

fn request(text: &str) -> Result<Request, Refusal> {
    Request::parse(text.as_bytes())
}

/// A request of HTTP/1.1 with these lines behind its Host.
fn with(lines: &str) -> Result<Request, Refusal> {
    request(&format!("POST /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
}

fn get() -> Request {
    request("GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap()
}

fn answer(text: &str, to: &Request) -> Result<Response, Refusal> {
    Response::parse(text.as_bytes(), to)
}

/// The lines of a head that was made.
fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8(head.to_vec()).unwrap();
    assert!(text.ends_with("\r\n\r\n"), "{text:?}");
    text.trim_end().split("\r\n").map(str::to_owned).collect()
}

#[test]
fn bodies_of_requests() {
    assert_eq!(with("").unwrap().body, Body::None);
    assert_eq!(with("Content-Length: 0\r\n").unwrap().body, Body::None);
    assert_eq!(with("content-length:  17 \r\n").unwrap().body, Body::Length(17));
    assert_eq!(with("Transfer-Encoding: Chunked\r\n").unwrap().body, Body::Chunked);
    let most = i64::MAX as u64;
    assert_eq!(with(&format!("Content-Length: {most}\r\n")).unwrap().body, Body::Length(most));
}

#[test]
fn what_has_two_meanings_is_refused() {
    for (lines, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5 5\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 9223372036854775808\r\n", 400),
        ("Content-Length: 99999999999999999999999\r\n", 400),
        ("Content-Length : 5\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 400),
        ("Transfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding:\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Connection: close, Content-Length\r\nContent-Length: 5\r\n", 400),
        ("Connection: transfer-encoding\r\n", 400),
        ("Connection: host\r\n", 400),
        ("Host: other\r\n", 400),
        ("A: b\r\n folded\r\n", 400),
        ("A: b\r\n\tfolded\r\n", 400),
        (" A: b\r\n", 400),
        ("A\r\n", 400),
        (": b\r\n", 400),
        ("A: b\0c\r\n", 400),
        ("A: b\rc\r\n", 400),
        ("A: b\nC: d\r\n", 400),
        ("Transfer-Encoding: \x0bchunked\r\n", 400),
    ] {
        assert_eq!(with(lines).map_err(|refusal| refusal.status), Err(status), "{lines:?}");
    }
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
        ("GET /\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: h\n\n", 400),
        ("G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\nX", 400),
        ("", 400),
    ] {
        assert_eq!(request(text).map_err(|refusal| refusal.status), Err(status), "{text:?}");
    }
    let many = "A: b\r\n".repeat(200);
    assert_eq!(with(&many).map_err(|refusal| refusal.status), Err(431));
}

#[test]
fn what_a_request_wants_of_its_connection() {
    assert!(!get().close);
    assert!(with("Connection: a, Close\r\n").unwrap().close);
    assert!(request("GET / HTTP/1.0\r\n\r\n").unwrap().close);
    assert!(with("Expect: 100-Continue\r\n").unwrap().expects);
    let upgrade = |lines| with(lines).unwrap().upgrade;
    assert_eq!(
        upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"),
        Some(b"websocket".to_vec())
    );
    assert_eq!(upgrade("Upgrade: websocket\r\n"), None);
    assert_eq!(upgrade("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), None);
}

#[test]
fn bodies_of_answers() {
    let head = request("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let body = |text: &str, to: &Request| {
        let response = answer(&format!("HTTP/1.1 {text}\r\n\r\n"), to).unwrap();
        (response.body, response.close)
    };
    let (length, chunked) = ("200 OK\r\nContent-Length: 9", "200 OK\r\nTransfer-Encoding: chunked");
    assert_eq!(body(length, &get()), (Body::Length(9), false));
    assert_eq!(body(length, &head), (Body::None, false));
    assert_eq!(body(chunked, &get()), (Body::Chunked, false));
    assert_eq!(body(chunked, &head), (Body::None, false));
    assert_eq!(body("200 OK", &get()), (Body::UntilEnd, true));
    assert_eq!(body("200 OK", &head), (Body::None, false));
    assert_eq!(body("204 No Content", &get()), (Body::None, false));
    assert_eq!(body("304 Not Modified\r\nContent-Length: 9", &get()), (Body::None, false));
    assert_eq!(body("100 Continue", &get()), (Body::None, false));
    assert_eq!(
        body("200 OK\r\nContent-Length: 0\r\nConnection: close", &get()),
        (Body::None, true)
    );
    let old = answer("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", &get()).unwrap();
    assert_eq!((old.body, old.close), (Body::Length(3), true));
}

#[test]
fn answers_that_are_refused() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 099 What\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        assert_eq!(answer(text, &get()).map_err(|refusal| refusal.status), Err(502), "{text:?}");
    }
}

#[test]
fn tunnels() {
    let upgrade = with("Connection: upgrade\r\nUpgrade: x\r\n").unwrap();
    let switched = answer("HTTP/1.1 101 Yes\r\nUpgrade: x\r\n\r\n", &upgrade).unwrap();
    assert!(switched.tunnel && !switched.is_interim());
    let made = rewrite::response(&switched, &Rules::default(), Body::None, true);
    assert!(lines(&made).contains(&"Connection: Upgrade".into()));
    assert!(lines(&made).contains(&"Upgrade: x".into()));
    let connect = request("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").unwrap();
    assert!(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &connect).unwrap().tunnel);
    assert!(!answer("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", &connect).unwrap().tunnel);
    assert!(!answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &upgrade).unwrap().tunnel);
}

#[test]
fn what_the_server_gets() {
    let rules = Rules {
        set: vec![rewrite::header("X-New: new").unwrap(), rewrite::header("a:1").unwrap()],
        remove: vec![rewrite::name("Cookie").unwrap()],
    };
    let from = with(
        "A: 0\r\nCookie: secret\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
         TE: trailers\r\nVia: 1.0 other\r\nContent-Length: 005\r\nB: b\r\n",
    );
    let made = rewrite::request(&from.unwrap(), &rules, "unused");
    assert_eq!(
        lines(&made),
        [
            "POST /a HTTP/1.1",
            "Host: h",
            "Via: 1.0 other",
            "B: b",
            "X-New: new",
            "a: 1",
            "Via: 1.1 zcio",
            "Content-Length: 5"
        ]
    );
    let old = request("GET / HTTP/1.0\r\n\r\n").unwrap();
    let made = rewrite::request(&old, &Rules::default(), "h:80");
    assert_eq!(
        lines(&made),
        ["GET / HTTP/1.1", "Host: h:80", "Via: 1.1 zcio", "Connection: close"]
    );
    let empty = with("Content-Length: 0\r\n").unwrap();
    let made = rewrite::request(&empty, &Rules::default(), "");
    assert!(lines(&made).contains(&"Content-Length: 0".into()));
}

#[test]
fn what_the_client_gets() {
    let no = Rules::default();
    let text = "HTTP/1.1 200 Fine\r\nContent-Length: 7\r\nConnection: close\r\nServer: s\r\n\r\n";
    let response = answer(text, &get()).unwrap();
    assert_eq!(
        lines(&rewrite::response(&response, &no, response.body, false)),
        ["HTTP/1.1 200 Fine", "Server: s", "Via: 1.1 zcio", "Content-Length: 7"]
    );
    let made = rewrite::response(&response, &no, response.body, true);
    assert!(lines(&made).contains(&"Connection: close".into()));
    let head = request("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let response = answer(text, &head).unwrap();
    let made = rewrite::response(&response, &no, Body::None, false);
    assert!(lines(&made).contains(&"Content-Length: 7".into()));
    let empty = answer("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", &get()).unwrap();
    let made = rewrite::response(&empty, &no, Body::None, false);
    assert_eq!(lines(&made), ["HTTP/1.1 204 No", "Via: 1.1 zcio"]);
    let chunked = answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &get()).unwrap();
    let made = rewrite::response(&chunked, &no, Body::Chunked, false);
    assert!(lines(&made).contains(&"Transfer-Encoding: chunked".into()));
    // Without the chunks, for a client that knows none.
    let made = rewrite::response(&chunked, &no, Body::UntilEnd, true);
    assert_eq!(lines(&made), ["HTTP/1.1 200 OK", "Via: 1.1 zcio", "Connection: close"]);
}

#[test]
fn rules_that_are_refused() {
    for bad in [
        "",
        "no colon",
        ": x",
        "A B: x",
        "Content-Length: 5",
        "transfer-encoding: chunked",
        "Connection: x",
        "A: x\r\nB: y",
        "A: \0",
    ] {
        assert!(rewrite::header(bad).is_err(), "{bad:?}");
    }
    assert_eq!(rewrite::header("A:  x: y "), Ok(("A".into(), b"x: y".to_vec())));
    assert!(rewrite::name("Upgrade").is_err() && rewrite::name("X-A").is_ok());
}

/// Names that often stand in heads, and any others.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Upgrade",
            "Expect",
            "TE",
            "Via",
            "Keep-Alive",
            "content-length",
            "X-A",
            "Trailer",
            "HTTP2-Settings",
        ])
        .prop_map(str::to_owned),
        "[A-Za-z][A-Za-z0-9-]{0,12}",
    ]
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "chunked",
            "close",
            "5",
            "0",
            "upgrade",
            "x-a",
            "keep-alive",
            "gzip, chunked",
            "h2c",
            "100-continue",
            "5, 5",
            "X-A, close",
            "websocket",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,20}",
    ]
}

fn heads() -> impl Strategy<Value = String> {
    let line = (names(), values()).prop_map(|(name, value)| format!("{name}: {value}\r\n"));
    ("GET|POST|HEAD", "1\\.[01]", prop::collection::vec(line, 0..6)).prop_map(
        |(method, version, lines)| {
            format!("{method} / HTTP/{version}\r\nHost: h\r\n{}\r\n", lines.concat())
        },
    )
}

fn has(headers: &Headers, name: &str) -> usize {
    headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name)).count()
}

proptest! {
    /// What the server reads in what we write is what we read: the same body, one length.
    #[test]
    fn the_server_understands_what_we_understood(head in heads()) {
        let Ok(first) = request(&head) else { return Ok(()) };
        let made = rewrite::request(&first, &Rules::default(), "h");
        let second = Request::parse(&made).expect("what we write is good");
        prop_assert_eq!(first.body, second.body);
        prop_assert_eq!((&first.method, &first.target), (&second.method, &second.target));
        prop_assert_eq!(&first.upgrade, &second.upgrade);
        prop_assert!(has(&second.headers, "content-length") + has(&second.headers, "transfer-encoding") <= 1);
        prop_assert_eq!(has(&second.headers, "via"), 1 + second.headers.iter().filter(|(name, value)| {
            name.eq_ignore_ascii_case("via") && value != b"1.1 zcio"
        }).count());
        for gone in ["keep-alive", "te", "trailer", "http2-settings"] {
            prop_assert_eq!(has(&second.headers, gone), 0);
        }
        // And again it is the same.
        prop_assert_eq!(second.body, Request::parse(&rewrite::request(&second, &Rules::default(), "h")).unwrap().body);
    }

    /// The client reads an answer's body as we read it.
    #[test]
    fn the_client_understands_what_we_understood(head in heads(), status in 100..600u16) {
        let (_, rest) = head.split_once("\r\n").unwrap();
        let Ok(first) = answer(&format!("HTTP/1.1 {status} x\r\n{rest}"), &get()) else { return Ok(()) };
        let made = rewrite::response(&first, &Rules::default(), first.body, first.close);
        let second = Response::parse(&made, &get()).expect("what we write is good");
        prop_assert_eq!(first.body, second.body);
        prop_assert!(second.close || !first.close || first.is_interim());
    }

    /// No head, however it comes, makes it panic; however it is cut, it is the same.
    #[test]
    fn any_bytes_in_any_pieces(mut bytes: Vec<u8>, head in heads(), cuts: Vec<u8>) {
        let _ = Request::parse(&bytes);
        let _ = Response::parse(&bytes, &get());
        // No blank line in it, or that would be the end.
        bytes.retain(|byte| *byte != b'\n' && *byte != b'\r');
        let all = [head.as_bytes(), &bytes].concat();
        let (mut gather, mut rest, mut cuts) = (Gather::new(100_000), &all[..], cuts.into_iter());
        let found = loop {
            let some = (cuts.next().unwrap_or(255) as usize).min(rest.len());
            let (taken, whole) = gather.take(&rest[..some]).unwrap();
            rest = &rest[taken..];
            if let Some(whole) = whole {
                break whole;
            }
        };
        prop_assert_eq!(found, head.as_bytes());
        prop_assert_eq!(rest, &bytes[..]);
    }
}

#[test]
fn heads_have_a_limit() {
    let mut gather = Gather::new(100);
    assert_eq!(gather.take(&[b'x'; 100]), Ok((100, None)));
    assert_eq!(gather.take(b"x").map_err(|refusal| refusal.status), Err(431));
    let mut gather = Gather::new(100);
    assert_eq!(
        gather.take("\r\n".repeat(60).as_bytes()).map_err(|refusal| refusal.status),
        Err(431)
    );
    let mut gather = Gather::new(100);
    assert_eq!(gather.take(b"\r\n\r\nGET"), Ok((7, None)));
    assert_eq!(gather.take(b" / x\r\n\r\nbody"), Ok((8, Some(b"GET / x\r\n\r\n".to_vec()))));
}
