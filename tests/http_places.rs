//! Who is let in when there is no more room: the bound on connections, and that on descriptors.
#![cfg(unix)]

mod common;

use common::http::{self, Client};
use common::scarce::{has_answer, idle, take_all, with_few_descriptors};
use common::{Bridge, chat};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PATH: &str = "/v1/chat/completions";

/// A connection whose request waits for the model, and what the host was asked.
fn busy(bridge: &mut Bridge, addr: SocketAddr) -> (Client, Value) {
    let mut client = Client::connect(addr);
    client.post(PATH, "", &chat("Hello"));
    (client, bridge.recv_method("sampling/createMessage"))
}

fn is_served(client: &mut Client) -> bool {
    client.get("/health");
    client.answer().status == 200
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it does not tell who is connected")]
fn at_the_bound_the_longest_idle_connection_makes_room() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_CONNECTIONS", "3")]);
    let addr = bridge.addr();
    let [mut first, mut second, mut third] = [(); 3].map(|()| Client::connect(addr));
    assert!(is_served(&mut first));
    let mut fourth = Client::connect(addr);
    assert!(is_served(&mut fourth));
    assert!(second.is_closed());
    assert!(is_served(&mut third) && is_served(&mut first) && is_served(&mut fourth));
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it does not tell who is connected")]
fn a_connection_that_was_answered_is_idle_again() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_CONNECTIONS", "1")]);
    let addr = bridge.addr();
    let mut before = idle(addr);
    for _ in 0..5 {
        let next = idle(addr);
        assert!(before.is_closed());
        before = next;
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it does not tell who is connected")]
fn a_connection_without_a_whole_head_counts_as_idle() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_CONNECTIONS", "2")]);
    let addr = bridge.addr();
    let mut slow = Client::connect(addr);
    slow.send("GET /health HTTP/1.1\r\nHost");
    let [mut second, mut third] = [(); 2].map(|()| Client::connect(addr));
    assert!(slow.is_closed());
    assert!(is_served(&mut second) && is_served(&mut third));
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it does not tell who is connected")]
fn when_every_connection_is_at_work_the_next_is_503() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_CONNECTIONS", "2")]);
    let addr = bridge.addr();
    let (mut one, ask_one) = busy(&mut bridge, addr);
    let (mut two, ask_two) = busy(&mut bridge, addr);
    // Those who came in vain before take no place from the bound.
    let mut silent = [Client::connect(addr), Client::connect(addr)];
    for _ in 0..3 {
        let answer = http::get(addr, "/health");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.json()["error"]["code"], "overloaded");
    }
    silent[0].get("/health");
    assert_eq!(silent[0].answer().status, 503);
    bridge.answer(&ask_one, "one");
    bridge.answer(&ask_two, "two");
    assert_eq!((one.answer().content(), two.answer().content()), ("one".into(), "two".into()));
    // One of the two is idle now and makes room.
    idle(addr);
}

#[test]
#[cfg_attr(
    feature = "tiny_http",
    ignore = "tiny_http: connections that come at once stay unanswered"
)]
fn a_crowd_past_the_bound_does_not_keep_newcomers_from_being_told() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_CONNECTIONS", "1")]);
    let addr = bridge.addr();
    let (mut one, ask) = busy(&mut bridge, addr);
    // More silent ones than are let in to be told.
    let _crowd: Vec<Client> = (0..100).map(|_| Client::connect(addr)).collect();
    assert_eq!(http::get(addr, "/health").status, 503);
    bridge.answer(&ask, "one");
    assert_eq!(one.answer().content(), "one");
}

#[test]
#[cfg_attr(
    feature = "tiny_http",
    ignore = "tiny_http: out of descriptors it accepts nobody any more"
)]
fn out_of_descriptors_the_idle_make_room() {
    let mut bridge = with_few_descriptors();
    let addr = bridge.addr();
    let mut clients: Vec<Client> = (0..100).map(|_| idle(addr)).collect();
    assert!(is_served(clients.last_mut().unwrap()));
    assert!(clients[0].is_closed());
    let mut client = loop {
        let mut client = Client::connect(addr);
        client.post(PATH, "", &chat("Hello"));
        bridge.call_until("runtime_status", |status| {
            status["openai_api"]["in_flight"] == 1 || has_answer(&client)
        });
        // As above, the last idle one may not be known as such yet.
        if !has_answer(&client) {
            break client;
        }
        assert_eq!(client.answer().status, 503);
    };
    let ask = bridge.recv_method("sampling/createMessage");
    bridge.answer(&ask, "Hi");
    assert_eq!(client.answer().content(), "Hi");
}

#[test]
#[cfg_attr(
    feature = "tiny_http",
    ignore = "tiny_http: out of descriptors it accepts nobody any more"
)]
fn the_server_stops_though_it_is_out_of_descriptors() {
    let mut bridge = with_few_descriptors();
    let addr = bridge.addr();
    let mut served = take_all(&mut bridge, addr);
    let status = bridge.call("http_server_stop", json!({}))["structuredContent"].clone();
    assert_eq!(status["state"], "stopped");
    for (client, _) in &mut served {
        assert_eq!(client.answer().status, 502);
    }
}
