//! HTTP request smuggling: every trick that the field's lists know to make two readers of the same bytes
//! see different requests. Each is refused and ends the connection, or is read in the one way that is
//! stated; a request that is hidden in another is never answered.

#[path = "smuggling/cases.rs"]
mod cases;
#[path = "smuggling/chunks.rs"]
mod chunks;
mod common;
#[path = "smuggling/framing.rs"]
mod framing;
#[path = "smuggling/heads.rs"]
mod heads;

use cases::{Case, Holds, all, obfuscations};
use common::calls::Caller;
use common::http::Answer;
use common::{Bridge, echo};
use std::net::SocketAddr;

/// What an honest client sends next on the same connection.
const NEXT: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn bridge() -> (Bridge, SocketAddr) {
    // Whoever waits for more of a body is told so soon.
    let mut bridge =
        Bridge::sampling(&[("MODELTAP_BODY_TIMEOUT", "200ms"), ("MODELTAP_LOG", "off")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    (bridge, addr)
}

/// Sends the pieces and the honest request, and reads to the end: all answers, in order.
fn answers(addr: SocketAddr, pieces: impl Iterator<Item = Vec<u8>>) -> Vec<Answer> {
    let mut caller = Caller::connect(addr).expect("the bridge accepts");
    for piece in pieces.chain([NEXT.into()]) {
        // A bridge that has refused may have closed already.
        if caller.send(&piece).is_err() {
            break;
        }
    }
    split(&caller.rest())
}

/// Takes the answers of a connection apart; panics on what is none.
fn split(mut read: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !read.is_empty() {
        let shown = String::from_utf8_lossy(read).into_owned();
        let end = read.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&read[..end]).expect("a head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).expect(&shown);
        let status = status[2..5].parse().expect("a status");
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let mut answer = Answer { status, headers: headers.collect(), body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        read = &read[end + 4..];
        // The answer to HEAD names a length and has no body.
        let length = if read.starts_with(b"HTTP/1.") { 0 } else { length };
        answer.body = read[..length].to_vec();
        read = &read[length..];
        answers.push(answer);
    }
    answers
}

fn check(case: &Case, way: &str, answers: &[Answer]) {
    let told: String = answers.iter().map(|a| format!("{} {}", a.status, a.text())).collect();
    let sent = String::from_utf8_lossy(&case.bytes);
    let shown = format!("{} ({way}): {sent:?}\n{told}", case.name);
    // Whoever has sent its body already is not told to send it.
    let counts = |status: &u16| *status != 100 || way == "whole";
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).filter(counts).collect();
    let finds_hidden = answers.iter().any(|answer| answer.text().contains("/smuggled"));
    assert_eq!(finds_hidden, matches!(case.holds, Holds::Ahead(_)), "{shown}");
    let ends = || {
        let last = answers.last().expect(&shown);
        assert_eq!(last.header("connection"), Some("close"), "{shown}");
        last
    };
    match case.holds {
        Holds::Refused => {
            assert_eq!(statuses, [400], "{shown}");
            ends();
        }
        Holds::Ends(expected) => {
            assert_eq!(statuses, expected, "{shown}");
            ends();
        }
        Holds::Answers(expected) | Holds::Ahead(expected) => {
            assert_eq!(statuses, [expected, &[200]].concat(), "{shown}");
        }
        Holds::RefusedAlone(status) => {
            assert!(statuses == [status, 200] || statuses == [status], "{shown}");
            assert!(statuses.len() == 2 || ends().status == status, "{shown}");
        }
        Holds::Unseen => {
            assert!(matches!(statuses[..], [400] | [400, 200]), "{shown}");
            assert!(statuses.len() == 2 || ends().status == 400, "{shown}");
        }
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn every_known_trick_is_refused_or_read_in_one_way() {
    let (_bridge, addr) = bridge();
    let cases = all();
    for case in &cases {
        check(case, "whole", &answers(addr, [case.bytes.clone()].into_iter()));
        let bytes = case.bytes.iter().map(|byte| vec![*byte]);
        check(case, "byte by byte", &answers(addr, bytes));
    }
    println!("{} cases", cases.len());
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn no_odd_byte_about_transfer_encoding_uncovers_a_hidden_request() {
    let (_bridge, addr) = bridge();
    let cases = obfuscations();
    for case in &cases {
        check(case, "whole", &answers(addr, [case.bytes.clone()].into_iter()));
    }
    println!("{} cases", cases.len());
}
