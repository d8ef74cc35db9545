//! In which order requests go to a host, and how many at once.

mod common;

use common::http::{Answer, Client};
use common::pull::{PATH, ask, ask_as, reply, said};
use common::{Aside, Bridge, chat};
use serde_json::{Value, json};

const WAITS: (&str, &str) = ("MODELTAP_HOST_WAIT", "60s");

/// The texts of sampling requests, in the order in which they come.
fn sampled(bridge: &mut Bridge) -> (Value, String) {
    let request = bridge.recv_method("sampling/createMessage");
    let text = request["params"]["messages"][0]["content"]["text"].as_str().unwrap().to_owned();
    (request, text)
}

/// That the answer came, by this way.
fn came_by(client: Aside<Answer>, way: &str, content: &str) {
    let answer = client.get();
    assert_eq!(answer.content(), content);
    assert_eq!(answer.header("x-mcp-backend"), Some(way));
}

fn refuse(bridge: &Bridge, request: &Value, code: i64) {
    let error = json!({"code": code, "message": "no"});
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
}

#[test]
fn until_one_sample_has_succeeded_the_host_gets_one_at_a_time() {
    let env = [("MODELTAP_CONSENT_HOLD", "1"), ("MODELTAP_SAMPLING_CONCURRENCY", "3")];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    let mut clients = Vec::new();
    for at in 0..8 {
        clients.push(ask(addr, &at.to_string()));
        bridge.until_count("in_flight", at + 1);
        // The first is with the host, the others stand in line.
        bridge.until_count("in_line", at);
    }
    let mut clients = clients.into_iter();
    let (request, text) = sampled(&mut bridge);
    assert_eq!(text, "0");
    assert!(bridge.is_silent_for(std::time::Duration::from_millis(50)));
    // A denial lets the next one try, alone.
    refuse(&bridge, &request, -32000);
    assert_eq!(clients.next().unwrap().get().status, 403);
    let (request, text) = sampled(&mut bridge);
    assert_eq!(text, "1");
    assert!(bridge.is_silent_for(std::time::Duration::from_millis(50)));
    // After a success the others go, three at once.
    bridge.answer(&request, "to 1");
    came_by(clients.next().unwrap(), "sampling", "to 1");
    let mut with_host: Vec<(Value, String)> = (0..3).map(|_| sampled(&mut bridge)).collect();
    assert!(bridge.is_silent_for(std::time::Duration::from_millis(50)));
    bridge.until_count("in_line", 3);
    let mut order: Vec<String> = with_host.iter().map(|(_, text)| text.clone()).collect();
    order.sort();
    assert_eq!(order, ["2", "3", "4"]);
    for next in ["5", "6", "7"] {
        let (request, text) = with_host.remove(0);
        bridge.answer(&request, &format!("to {text}"));
        let (request, text) = sampled(&mut bridge);
        assert_eq!(text, next);
        with_host.push((request, text));
    }
    for (request, text) in with_host {
        bridge.answer(&request, &format!("to {text}"));
    }
    for (client, at) in clients.zip(2..) {
        came_by(client, "sampling", &format!("to {at}"));
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_client_that_leaves_the_line_frees_its_place_and_the_host_hears_nothing_of_it() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_SAMPLING_CONCURRENCY", "1")]);
    let addr = bridge.addr();
    let first = ask(addr, "first");
    let (request, _) = sampled(&mut bridge);
    let mut leaves = Client::connect(addr);
    leaves.post(PATH, "", &chat("leaves"));
    bridge.until_count("in_line", 1);
    let last = ask(addr, "last");
    bridge.until_count("in_line", 2);
    drop(leaves);
    bridge.until_count("in_line", 1);
    assert!(bridge.is_silent_for(std::time::Duration::from_millis(50)));
    bridge.answer(&request, "1");
    came_by(first, "sampling", "1");
    let (request, text) = sampled(&mut bridge);
    assert_eq!(text, "last");
    bridge.answer(&request, "2");
    came_by(last, "sampling", "2");
    // One that leaves with the host's work gives its place to the next.
    let mut leaves = Client::connect(addr);
    leaves.post(PATH, "", &chat("leaves"));
    let (request, _) = sampled(&mut bridge);
    let last = ask(addr, "last");
    bridge.until_count("in_line", 1);
    drop(leaves);
    let cancelled = bridge.recv_method("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    let (request, _) = sampled(&mut bridge);
    bridge.answer(&request, "3");
    came_by(last, "sampling", "3");
}

/// Requests by three keys, the first with a crowd, and the turns that are due to them.
const CROWD: [(&str, &str); 7] =
    [("a", "a1"), ("a", "a2"), ("a", "a3"), ("a", "a4"), ("b", "b1"), ("c", "c1"), ("b", "b2")];
const TURNS: [&str; 7] = ["a1", "b1", "c1", "a2", "b2", "a3", "a4"];

#[test]
fn keys_take_turns_at_being_pulled_and_each_keeps_its_order() {
    let mut bridge = Bridge::tools_only(&[WAITS]);
    let addr = bridge.addr();
    let mut clients = Vec::new();
    for ((key, text), count) in CROWD.into_iter().zip(1..) {
        clients.push((text, ask_as(addr, key, text)));
        bridge.until_count("on_offer", count);
    }
    let mut request = bridge.pulled(json!({}));
    let mut order = vec![said(&request).to_owned()];
    while order.len() < CROWD.len() {
        request = bridge.pulled(json!({"reply": reply(&request, said(&request))}));
        order.push(said(&request).to_owned());
    }
    assert_eq!(order, TURNS);
    bridge.answer_pulled(&request, said(&request));
    clients.into_iter().for_each(|(text, client)| came_by(client, "pull", text));
}

#[test]
fn keys_take_turns_at_sampling_and_each_keeps_its_order() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_SAMPLING_CONCURRENCY", "1")]);
    let addr = bridge.addr();
    let first = ask_as(addr, "a", "first");
    let (mut request, _) = sampled(&mut bridge);
    let mut clients = Vec::new();
    for ((key, text), count) in CROWD.into_iter().zip(1..) {
        clients.push((text, ask_as(addr, key, text)));
        bridge.until_count("in_line", count);
    }
    let mut order = Vec::new();
    for _ in CROWD {
        bridge.answer(&request, order.last().map_or("first", String::as_str));
        let text;
        (request, text) = sampled(&mut bridge);
        order.push(text);
    }
    assert_eq!(order, TURNS);
    bridge.answer(&request, &order[order.len() - 1]);
    came_by(first, "sampling", "first");
    clients.into_iter().for_each(|(text, client)| came_by(client, "sampling", text));
}

#[test]
fn what_a_host_gave_back_goes_before_what_came_later() {
    let mut bridge = Bridge::tools_only(&[WAITS]);
    let addr = bridge.addr();
    let mut clients = Vec::new();
    for at in 1..=3 {
        clients.push(ask(addr, &at.to_string()));
        bridge.until_count("on_offer", at);
    }
    let open = bridge.begin_next(json!({"max": 2}));
    let told = bridge.end_next(open);
    assert_eq!((said(&told), said(&told["more"][0])), ("1", "2"));
    bridge.cancel(open);
    bridge.until_count("on_offer", 3);
    let told = bridge.pulled(json!({"max": 3}));
    let order: Vec<&str> =
        [&told, &told["more"][0], &told["more"][1]].into_iter().map(said).collect();
    assert_eq!(order, ["1", "2", "3"]);
    let replies: Vec<Value> = [&told, &told["more"][0], &told["more"][1]]
        .into_iter()
        .map(|request| reply(request, said(request)))
        .collect();
    bridge.next_request(json!({"reply": replies, "wait_seconds": 0}));
    for (client, at) in clients.into_iter().zip(1..) {
        came_by(client, "pull", &at.to_string());
    }
}
