//! The host: offers sampling, and does with each question what stands in it.

use super::deeds::Deed;
use super::stage::Stage;
use crate::chaos::kind::{handshake, request};
use crate::chaos::pipes::Pipes;
use crate::common::{PATIENCE, sampled};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The longest that the host looks at nothing.
const TICK: Duration = Duration::from_millis(100);

/// Shakes hands with the bridge; where it listens.
pub fn open(pipes: &Pipes) -> SocketAddr {
    write(pipes, &handshake("soak-host", json!({"sampling": {}})));
    let status = call(pipes, "http_server_status");
    let url = status["listen_url"].as_str().unwrap_or_else(|| panic!("no address: {status}"));
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// The structured result of a tool, as long as nobody asks anything.
pub fn call(pipes: &Pipes, tool: &str) -> Value {
    write(pipes, &[request(tool, "tools/call", json!({"name": tool, "arguments": {}}))]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no answer of {tool}:\n{}", pipes.told());
        match pipes.hear(TICK) {
            Some(message) if message["id"] == tool => {
                return message["result"]["structuredContent"].clone();
            }
            _ => {}
        }
    }
}

/// Serves until the clients have gone.
pub fn serve(pipes: &Pipes, stage: &Stage) {
    let mut planned: BTreeMap<(Instant, u64), Vec<Value>> = BTreeMap::new();
    while !stage.has_host_ended() {
        let now = Instant::now();
        let due = planned.keys().next().map_or(TICK, |(due, _)| due.duration_since(now));
        if let Some(message) = pipes.hear(due.min(TICK))
            && message["method"] == "sampling/createMessage"
        {
            let (number, deed) = read(&message);
            let lines = say(&message, number, deed);
            match deed.delay() {
                Duration::ZERO => write(pipes, &lines),
                delay => drop(planned.insert((Instant::now() + delay, number), lines)),
            }
        }
        while let Some(next) = planned.first_entry().filter(|e| e.key().0 <= Instant::now()) {
            write(pipes, &next.remove());
        }
    }
}

fn read(message: &Value) -> (u64, Deed) {
    let messages = message["params"]["messages"].as_array().expect("messages");
    let text = messages.last().and_then(|last| last["content"]["text"].as_str());
    let text = text.unwrap_or_else(|| panic!("no text in {message}"));
    Deed::read(text).unwrap_or_else(|| panic!("no question of ours: {text:.100}"))
}

fn say(message: &Value, number: u64, deed: Deed) -> Vec<Value> {
    let id = &message["id"];
    match deed {
        Deed::Never => Vec::new(),
        Deed::Fail(code) => {
            let error = json!({"code": code, "message": format!("no answer to {number}")});
            vec![json!({"jsonrpc": "2.0", "id": id, "error": error})]
        }
        Deed::Misform => vec![json!({"jsonrpc": "2.0", "id": id, "result": {"text": "?"}})],
        _ => {
            let mut lines = vec![sampled(message, &deed.answer(number))];
            if deed == Deed::Twice {
                lines.push(sampled(message, "WRONG: a second answer"));
            }
            lines
        }
    }
}

fn write(pipes: &Pipes, lines: &[Value]) {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    pipes.write(lines.as_bytes());
}
