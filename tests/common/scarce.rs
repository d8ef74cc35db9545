//! A bridge that has little of something, and clients that take all of it.
#![cfg(unix)]

use super::http::Client;
use super::{Bridge, PATIENCE, chat, command};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

/// A bridge that may open 40 descriptors.
pub fn with_few_descriptors() -> Bridge {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 40 && exec \"$0\""]).arg(command().get_program()).env_clear();
    let mut bridge = Bridge::spawn_as(shell, &[]);
    bridge.initialize("test-host", json!({"sampling": {}}));
    bridge.wait_stderr("only 40 descriptors");
    bridge
}

/// Whether an answer has come.
pub fn has_answer(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let has = client.stream.peek(&mut [0]).is_ok();
    client.stream.set_nonblocking(false).unwrap();
    has
}

/// Connections whose requests wait for the model, as many as the bridge can serve at once, and what the
/// host was asked. The next one was told 503.
pub fn take_all(bridge: &mut Bridge, addr: SocketAddr) -> Vec<(Client, Value)> {
    let mut all = Vec::new();
    loop {
        let mut client = Client::connect(addr);
        client.post("/v1/chat/completions", "", &chat("Hello"));
        let waiting = all.len() + 1;
        bridge.call_until("runtime_status", |status| {
            status["openai_api"]["in_flight"] == waiting || has_answer(&client)
        });
        if has_answer(&client) {
            let answer = client.answer();
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
            return all;
        }
        all.push((client, bridge.recv_method("sampling/createMessage")));
    }
}

/// A connection that was served once and now is idle.
pub fn idle(addr: SocketAddr) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::connect(addr);
        client.get("/health");
        if client.answer().status == 200 {
            return client;
        }
        // A client can read its answer a moment before the bridge knows the connection idle.
        assert!(Instant::now() < deadline, "no connection makes room");
    }
}
