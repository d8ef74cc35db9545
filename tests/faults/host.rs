//! A host that goes in the middle of a line, and one that writes what nobody can read.

use crate::common::http;
use crate::common::{Bridge, aside};
use crate::random::Random;
use crate::stage::Stage;
use crate::table::Told;
use serde_json::json;
use std::process::ExitStatus;

pub fn dies() -> Told {
    let mut stage = Stage::of(Bridge::sampling(&[]));
    let addr = stage.addr;
    let clients = [(); 3].map(|()| aside(move || http::chat(addr, "Hello")));
    let asked = [(); 3].map(|()| stage.asked());
    let id = &asked[0]["id"];
    let half =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"role\":\"assistant\",\"con");
    stage.bridge.send_raw(half.as_bytes());
    stage.bridge.close_stdin();
    for client in clients {
        let answer = client.get();
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.text().contains("host has gone"), "{}", answer.text());
    }
    assert_eq!(stage.bridge.wait().code(), ExitStatus::default().code());
    // The host that starts next starts another, which has the port at once.
    let port = addr.port().to_string();
    let next = Stage::of(Bridge::sampling(&[("MODELTAP_PORT", &port)]));
    assert_eq!(next.addr, addr);
    next.settle(
        "the host closes its pipes in the middle of an answer, while 3 clients wait",
        "502 to each, and the process ends with 0; the next one serves on the same port",
        8,
    )
}

pub fn garbage() -> Told {
    const LINES: usize = 5000;
    let seed = 6;
    let mut random = Random::new(seed, 0);
    let mut stage = Stage::of(Bridge::sampling(&[]));
    let pinged = |stage: &mut Stage| {
        assert_eq!(stage.bridge.request("ping", json!({}))["result"], json!({}));
    };
    for _ in 0..LINES {
        let line = crate::garbage::garbage(&mut random);
        stage.bridge.send_raw(&line);
    }
    pinged(&mut stage);
    // A line without an end for long, and one that only grows.
    for piece in ["{\"jsonrpc\":\"2.0\",", "\"id\":\"pieces\",\"meth", "od\":\"ping\"}", "\n"] {
        stage.bridge.send_raw(piece.as_bytes());
    }
    stage.bridge.recv_where(|message| message["id"] == "pieces");
    let megabyte = "x".repeat(1_000_000);
    for _ in 0..100 {
        stage.bridge.send_raw(megabyte.as_bytes());
    }
    stage.bridge.send_raw(b"\n");
    pinged(&mut stage);
    stage.bridge.wait_stderr("64 MiB");
    assert!(stage.peak() < 160, "{} MiB", stage.peak());
    // An answer that is no text, and then one that is.
    let addr = stage.addr;
    let client = aside(move || http::chat(addr, "Hello"));
    let asked = stage.asked();
    let id = &asked["id"];
    let broken =
        [format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\"").as_bytes(), b"\xff\xc3\"}\n"]
            .concat();
    stage.bridge.send_raw(&broken);
    stage.bridge.answer(&asked, "Hi");
    assert_eq!(client.get().content(), "Hi");
    stage.settle(
        "5,000 lines of garbage (half messages, wrong types, deep, random bytes); 100 MB in one line; an answer that is not UTF-8",
        "told on stderr and answered with a JSON-RPC error; the long line is skipped; the good answer that follows counts",
        32,
    )
}
