//! Requests without an end, and too many of them.

use crate::common::chat;
use crate::common::http::Client;
use crate::stage::{PATH, Stage};
use crate::table::Told;
use std::io::Write;

/// Sends `line` again and again behind `start`, `bytes` in all or until the bridge closes, and then
/// reads the status of its answer.
fn flood(client: &mut Client, start: &str, line: &str, bytes: usize) -> u16 {
    client.send(start);
    let piece = line.repeat((1 << 16) / line.len().max(1) + 1);
    let mut sent = 0;
    while sent < bytes && client.stream.write_all(piece.as_bytes()).is_ok() {
        sent += piece.len();
    }
    client.answer().status
}

fn post(rest: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{rest}")
}

pub fn header_line() -> Told {
    let stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    for start in
        ["GET /", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", "GET /health HTTP/1.1\r\n"]
    {
        assert_eq!(flood(&mut stage.client(), start, "x", 100_000_000), 431, "{start}");
    }
    assert!(stage.peak() < 8, "{} MiB", stage.peak());
    stage.settle(
        "100 MB of a request line, of a header's value and of a header's name",
        "431 after 16 KiB, then cut off",
        8,
    )
}

pub fn header_lines() -> Told {
    let stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let start = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
    for line in ["X: y\r\n", "Content-Length: 0\r\n", "Connection: a,b,c,d\r\n"] {
        assert_eq!(flood(&mut stage.client(), start, line, 2_000_000 * line.len()), 431, "{line}");
    }
    assert!(stage.peak() < 8, "{} MiB", stage.peak());
    stage.settle(
        "2,000,000 headers, of three kinds",
        "431 after 100 of them or 16 KiB, then cut off",
        8,
    )
}

pub fn chunk_lines() -> Told {
    let stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let chunked = |rest: &str| post(&format!("Transfer-Encoding: chunked\r\n\r\n{rest}"));
    const MUCH: usize = 10_000_000;
    for (start, line) in
        [("5;", "e"), ("5;", "e;"), ("", "0"), ("", "\r"), ("0\r\nA: ", "x"), ("0\r\n", "A: b\r\n")]
    {
        assert_eq!(flood(&mut stage.client(), &chunked(start), line, MUCH), 400, "{start}{line}");
    }
    // A chunk for each byte is a request as any other.
    let body = chat(&"x".repeat(2_000_000)).to_string();
    let chunks: String = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    let mut client = stage.client();
    client.send(chunked(&chunks));
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    drop(client);
    assert!(stage.peak() < 64, "{} MiB", stage.peak());
    stage.settle(
        "10 MB each of chunk extensions, of a chunk's size, of one trailer and of trailers; 2,000,000 chunks of one byte",
        "400 after 256 bytes of a chunk's line and 16 KiB of trailers; the small chunks are served",
        24,
    )
}

pub fn pipelined() -> Told {
    const MANY: usize = 10_000;
    let stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let mut client = stage.client();
    let mut sending = client.stream.try_clone().expect("a second handle");
    let body = chat("the last").to_string();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(MANY - 1);
            let last = post(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
            sending.write_all((health + &last).as_bytes()).expect("the bridge reads");
        });
        for at in 1..MANY {
            assert_eq!(client.answer().status, 200, "answer {at}");
        }
        assert_eq!(client.answer().content(), "echo: the last");
    });
    drop(client);
    assert!(stage.peak() < 8, "{} MiB", stage.peak());
    stage.settle("10,000 requests in one go on one connection", "all are answered, in order", 8)
}
