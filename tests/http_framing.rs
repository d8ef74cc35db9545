//! Where a body begins and ends: every way to say it. Ways to say it wrongly are in `smuggling`.

mod common;

use common::http::Client;
use common::{Bridge, chat, echo};
use std::net::SocketAddr;

const PATH: &str = "/v1/chat/completions";

/// A bridge that answers with an echo, and its address.
fn echoing(env: &[(&str, &str)]) -> (Bridge, SocketAddr) {
    let mut bridge = Bridge::sampling(env);
    let addr = bridge.addr();
    bridge.serve(echo);
    (bridge, addr)
}

fn with_length(body: &str) -> String {
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn with_chunks(chunks: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

/// `body` in chunks of `size` bytes.
fn chunks_of(body: &str, size: usize) -> String {
    let mut chunks = String::new();
    for piece in body.as_bytes().chunks(size) {
        let piece = std::str::from_utf8(piece).unwrap();
        chunks.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
    }
    chunks + "0\r\n\r\n"
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it does not read trailers")]
fn a_request_may_be_cut_into_packets_at_every_byte() {
    let (_bridge, addr) = echoing(&[]);
    let body = chat("cut").to_string();
    let whole = with_length(&body);
    let chunked = with_chunks(&format!(
        "5;name=\"value\"\r\n{}\r\n{:X}\r\n{}\r\n000\r\nChecksum: 1\r\n\r\n",
        &body[..5],
        body.len() - 5,
        &body[5..]
    ));
    let mut client = Client::connect(addr);
    for request in [whole, chunked] {
        for at in 1..request.len() {
            client.send(&request[..at]);
            client.send(&request[at..]);
            assert_eq!(client.answer().content(), "echo: cut", "cut at {at}");
        }
    }
}

#[test]
fn chunks_of_every_size_make_up_the_body() {
    let (_bridge, addr) = echoing(&[]);
    let text = "abcdefghij".repeat(3000);
    let body = chat(&text).to_string();
    let mut client = Client::connect(addr);
    for size in [1, 2, 15, 16, 4095, 4096, 4097, body.len()] {
        // What follows the body shows that its end was found.
        client.send(
            with_chunks(&chunks_of(&body, size))
                + "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        );
        assert_eq!(client.answer().content(), format!("echo: {text}"), "chunks of {size}");
        assert_eq!(client.answer().json()["status"], "ok");
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it does not read trailers")]
fn chunk_extensions_and_trailers_are_passed_over() {
    let (_bridge, addr) = echoing(&[]);
    let body = chat("Hello").to_string();
    let (size, long) = (body.len(), "x".repeat(1000));
    let mut client = Client::connect(addr);
    for chunks in [
        format!("{size:x};a;b=c;d=\"e\"\r\n{body}\r\n0;f\r\n\r\n"),
        format!("{size:X} ; a\r\n{body}\r\n0\r\n\r\n"),
        format!("0000{size:x}\r\n{body}\r\n0000\r\n\r\n"),
        format!("{size:x}\r\n{body}\r\n0\r\nA: b\r\nContent-Length: 5\r\nC: {long}\r\n\r\n"),
    ] {
        client.send(with_chunks(&chunks));
        assert_eq!(client.answer().content(), "echo: Hello", "{chunks}");
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it does not read trailers")]
fn a_long_trailer_may_come_in_pieces() {
    let (_bridge, addr) = echoing(&[]);
    let body = chat("Hello").to_string();
    let request =
        with_chunks(&format!("{:x}\r\n{body}\r\n0\r\nA: {}\r\n\r\n", body.len(), "x".repeat(2000)));
    let mut client = Client::connect(addr);
    for _ in 0..20 {
        for piece in request.as_bytes().chunks(400) {
            client.send(piece);
        }
        assert_eq!(client.answer().content(), "echo: Hello");
    }
}

#[test]
fn the_cost_of_framing_does_not_pile_up() {
    let (bridge, addr) = echoing(&[("MODELTAP_LOG", "off")]);
    let Some(before) = bridge.memory_kib() else { return };
    let body = chat(&"x".repeat(50_000)).to_string();
    let extension = "e".repeat(200);
    let mut chunks = String::new();
    for byte in body.chars() {
        chunks.push_str(&format!("1;{extension}\r\n{byte}\r\n"));
    }
    let mut client = Client::connect(addr);
    // Ten megabytes of framing around fifty kilobytes.
    client.send(with_chunks(&(chunks + "0\r\n")));
    let then = bridge.memory_kib().unwrap();
    client.send("\r\n");
    assert_eq!(client.answer().status, 200);
    assert!(then - before < 5_000, "from {before} to {then} KiB");
}

#[test]
fn the_same_length_twice_is_one_length() {
    let (_bridge, addr) = echoing(&[]);
    let body = chat("Hello").to_string();
    let length = body.len();
    let mut client = Client::connect(addr);
    client.send(format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         content-length: 0{length}\r\n\r\n{body}"
    ));
    assert_eq!(client.answer().content(), "echo: Hello");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it waits for the end of a line")]
fn who_tries_tls_is_told_that_this_is_plain_http() {
    let (_bridge, addr) = echoing(&[]);
    let mut client = Client::connect(addr);
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let error = client.answer().json()["error"].clone();
    assert_eq!(error["code"], "invalid_http");
    assert!(error["message"].to_string().contains("http://"), "{error}");
}
