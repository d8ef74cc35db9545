//! Many at once: nothing is lost, nothing crossed, nobody starves.
#![cfg(unix)]

mod common;

use common::http::{self, Client};
use common::{Bridge, aside, chat, echo};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Barrier};

const PATH: &str = "/v1/chat/completions";

/// Lets this process have `count` descriptors more than it needs itself; `false` where it may not.
fn may_open(count: u64) -> bool {
    let wanted = count + 200;
    rlimit::increase_nofile_limit(wanted).is_ok_and(|limit| limit >= wanted)
}

#[test]
#[cfg_attr(
    feature = "tiny_http",
    ignore = "tiny_http: connections that come at once stay unanswered"
)]
fn a_thousand_requests_wait_at_once_and_each_gets_its_own_answer() {
    const MANY: usize = 1000;
    assert!(may_open(MANY as u64), "the hard limit of descriptors (ulimit -Hn) is too low");
    let mut bridge = Bridge::sampling(&[("MODELTAP_SAMPLING_CONCURRENCY", "1000")]);
    let addr = bridge.addr();
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..MANY {
        let mut client = Client::connect(addr);
        let mut body = chat(&format!("question {number}"));
        body["stream"] = (number % 2 == 1).into();
        client.post(PATH, "", &body);
        clients.push(client);
    }
    let mut asked: HashMap<String, Value> = HashMap::new();
    while asked.len() < MANY {
        let request = bridge.recv_method("sampling/createMessage");
        let text = request["params"]["messages"][0]["content"]["text"].as_str().unwrap().to_owned();
        assert!(asked.insert(text, request).is_none());
    }
    // All of them wait now.
    if let Some(kib) = bridge.memory_kib() {
        // Without optimisation each of the thousand stacks holds three times as much.
        let most = if cfg!(debug_assertions) { 64 } else { 26 };
        assert!(kib < most * 1024, "{kib} KiB");
    }
    // Answered in another order than they came, by halves from both ends.
    for number in (0..MANY / 2).flat_map(|half| [MANY - 1 - half, half]) {
        bridge.answer(&asked[&format!("question {number}")], &format!("answer {number}"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        let content = match number % 2 {
            0 => answer.content(),
            _ => streamed(&answer.events()),
        };
        assert_eq!(content, format!("answer {number}"));
    }
}

/// The text of a stream.
fn streamed(events: &[String]) -> String {
    let events = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    events
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn two_hundred_clients_in_the_same_moment_are_all_answered() {
    const MANY: usize = 200;
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let start = Arc::new(Barrier::new(MANY));
    let clients: Vec<_> = (0..MANY)
        .map(|number| {
            let start = start.clone();
            aside(move || {
                start.wait();
                http::chat(addr, &format!("client {number}"))
            })
        })
        .collect();
    for (number, client) in clients.into_iter().enumerate() {
        assert_eq!(client.get().content(), format!("echo: client {number}"));
    }
}
