//! What one client may take: each limit of size and time has its status, and the others go on.

mod common;

use common::calls::{self, Caller, Lost};
use common::http::{self, Answer, Client};
use common::{Bridge, PATIENCE, chat, echo};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Instant;

const PATH: &str = "/v1/chat/completions";

/// A chat request's body of exactly `length` bytes.
fn body_of(length: usize) -> String {
    let bare = chat("").to_string().len();
    let body = chat(&"x".repeat(length - bare)).to_string();
    assert_eq!(body.len(), length);
    body
}

/// The status of the one answer to `request`, after which the connection is closed.
fn last_status(addr: SocketAddr, request: &str) -> u16 {
    let mut client = Client::connect(addr);
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    assert!(answer.json()["error"]["message"].is_string());
    assert!(client.is_closed());
    answer.status
}

/// The answer to a request on a connection that may not be idle for long, and the connection. A
/// machine with other work may not come to send the request in that time; then it is tried again.
fn answered_in_time(addr: SocketAddr, request: &[u8]) -> (Caller, Answer) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answered = Caller::connect(addr).and_then(|mut caller| {
            caller.send(request)?;
            let answer = caller.answer()?;
            Ok((caller, answer))
        });
        match answered {
            Ok(answered) => return answered,
            Err(Lost::Closed(begun)) if begun.is_empty() && Instant::now() < deadline => {}
            Err(lost) => panic!("no answer: {lost:?}"),
        }
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn a_head_over_its_bytes_is_431() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_HEAD", "512")]);
    let addr = bridge.addr();
    let head = |length: usize| {
        let bare = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n";
        bare.replace("X: ", &format!("X: {}", "x".repeat(length - bare.len())))
    };
    let mut client = Client::connect(addr);
    client.send(head(512));
    assert_eq!(client.answer().status, 200);
    assert_eq!(last_status(addr, &head(513)), 431);
    assert_eq!(last_status(addr, &head(5000)), 431);
    // Nor is its end waited for, or that of a request line that goes on and on.
    assert_eq!(last_status(addr, &head(5000)[..600]), 431);
    assert_eq!(last_status(addr, &format!("GET /{}", "x".repeat(600))), 431);
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn more_headers_than_allowed_are_431() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_HEADERS", "5")]);
    let addr = bridge.addr();
    let head = |more: usize| {
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(more))
    };
    let mut client = Client::connect(addr);
    client.send(head(4));
    assert_eq!(client.answer().status, 200);
    assert_eq!(last_status(addr, &head(5)), 431);
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn a_body_over_its_bytes_is_413_by_either_framing() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_BODY", "1024")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let length = |body: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let chunked = |body: &str| {
        let (a, b) = body.split_at(500);
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
             1f4\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n",
            b.len()
        )
    };
    let mut client = Client::connect(addr);
    client.send(length(&body_of(1024)));
    assert_eq!(client.answer().status, 200);
    client.send(chunked(&body_of(1024)));
    assert_eq!(client.answer().status, 200);
    assert_eq!(last_status(addr, &length(&body_of(1025))), 413);
    assert_eq!(last_status(addr, &chunked(&body_of(1025))), 413);
}

#[test]
fn a_client_that_has_sent_far_too_much_still_reads_its_answer() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_BODY", "1024")]);
    let addr = bridge.addr();
    let much = body_of(8 << 20);
    let length = much.len();
    for framing in [
        format!("Content-Length: {length}\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n"),
    ] {
        let mut client = Client::connect(addr);
        client.send(format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{framing}"));
        client.send(&much);
        let answer = client.answer();
        assert_eq!(answer.status, 413);
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("1024"));
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it has no times for reading")]
fn a_head_that_takes_too_long_is_408() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_HEAD_TIMEOUT", "100ms")]);
    let addr = bridge.addr();
    assert_eq!(last_status(addr, "GET /health HT"), 408);
    assert_eq!(last_status(addr, "GET /health HTTP/1.1\r\nHost: localhost\r\n"), 408);
    // The time counts anew for each request, and not while nothing of one has come.
    let mut client = Client::connect(addr);
    client.get("/health");
    assert_eq!(client.answer().status, 200);
    assert_eq!(last_status(addr, "P"), 408);
    client.get("/health");
    assert_eq!(client.answer().status, 200);
    client.send("G");
    assert_eq!(client.answer().status, 408);
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it refuses blank lines before a request")]
fn blank_lines_alone_are_no_request_to_complain_about() {
    let mut bridge =
        Bridge::sampling(&[("MODELTAP_HEAD_TIMEOUT", "10ms"), ("MODELTAP_IDLE_TIMEOUT", "200ms")]);
    // Some old clients end a body with a line end that belongs to nothing.
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n";
    let (mut caller, answer) = answered_in_time(bridge.addr(), request);
    assert_eq!(answer.status, 200);
    assert_eq!(caller.rest(), b"");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it has no times for reading")]
fn a_body_that_takes_too_long_is_408_by_either_framing() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_BODY_TIMEOUT", "100ms")]);
    let addr = bridge.addr();
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\n");
    assert_eq!(last_status(addr, &format!("{head}Content-Length: 100\r\n\r\n{{")), 408);
    for begun in ["", "5", "5\r\n{", "1\r\n{\r\n", "0\r\n", "0\r\nA: b\r\n"] {
        let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n{begun}");
        assert_eq!(last_status(addr, &request), 408, "{begun:?}");
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it has no times for reading")]
fn an_idle_connection_is_closed_without_a_word() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_IDLE_TIMEOUT", "100ms")]);
    let addr = bridge.addr();
    assert!(Client::connect(addr).is_closed());
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (mut caller, answer) = answered_in_time(addr, request);
    assert_eq!(answer.status, 200);
    assert_eq!(caller.rest(), b"");
}

#[test]
fn waiting_for_the_model_is_not_being_idle() {
    let mut bridge = Bridge::sampling(&[
        ("MODELTAP_IDLE_TIMEOUT", "50ms"),
        ("MODELTAP_HEAD_TIMEOUT", "50ms"),
        ("MODELTAP_BODY_TIMEOUT", "50ms"),
        ("MODELTAP_TIMEOUT", "1100ms"),
    ]);
    let request = calls::request(PATH, "", &chat("Hello"));
    assert_eq!(answered_in_time(bridge.addr(), &request).1.status, 504);
}

#[test]
fn a_huge_answer_arrives_whole() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_LOG", "off")]);
    let mut client = Client::connect(bridge.addr());
    client.post(PATH, "", &chat("Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    let huge: String = (0..500_000).map(|number| format!("{number} ")).collect();
    bridge.answer(&request, &huge);
    assert!(client.answer().content() == huge);
}

#[test]
fn requests_past_those_in_flight_are_503_while_others_are_served() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_IN_FLIGHT", "2")]);
    let addr = bridge.addr();
    let mut clients = [Client::connect(addr), Client::connect(addr)];
    for client in &mut clients {
        client.post(PATH, "", &chat("Hello"));
    }
    let requests = [(); 2].map(|()| bridge.recv_method("sampling/createMessage"));

    let refused = http::chat(addr, "one too many");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    for path in ["/health", "/ready", "/v1/models"] {
        assert_eq!(http::get(addr, path).status, 200, "{path}");
    }
    assert_eq!(bridge.call("http_server_status", json!({}))["structuredContent"]["running"], true);

    for request in &requests {
        bridge.answer(request, "Hi");
    }
    for client in &mut clients {
        assert_eq!(client.answer().content(), "Hi");
        // Its own place is free again, on the same connection.
        client.post(PATH, "", &chat("again"));
    }
    for _ in 0..2 {
        let request = bridge.recv_method("sampling/createMessage");
        bridge.answer(&request, "Hi again");
    }
    for client in &mut clients {
        assert_eq!(client.answer().content(), "Hi again");
    }
}
