//! `channel_debug_events`: what became of a request, in nine kinds of events and in the order in
//! which it happened, whichever threads tell it.

mod common;

use common::http::{self, Client};
use common::{Bridge, PATIENCE, aside, chat};
use serde_json::{Value, json};
use std::time::Instant;

const PATH: &str = "/v1/chat/completions";

fn list(bridge: &mut Bridge, arguments: Value) -> Vec<Value> {
    let result =
        bridge.call("channel_debug_events", arguments.clone())["structuredContent"].clone();
    assert_eq!(result["filters"], arguments);
    let events = result["events"].as_array().unwrap().clone();
    assert_eq!(result["count"], events.len());
    assert_eq!(result["pending_requests"], 0);
    assert_eq!(result["pending_stream_requests"], 0);
    events
}

/// Waits until there are `total` events: a client has its answer a little before that is told.
fn settled(bridge: &mut Bridge, total: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = bridge.call("runtime_status", json!({}))["structuredContent"].clone();
        match status["channel"]["total_events"].as_u64().unwrap() {
            told if told >= total => return assert_eq!(told, total),
            told => assert!(Instant::now() < deadline, "{told} events of {total}"),
        }
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

fn event_id(bridge: &mut Bridge) -> String {
    let event = bridge.recv_method("notifications/claude/channel");
    event["params"]["meta"]["request_id"].as_str().unwrap().to_owned()
}

/// A whole answer, a streamed one, a failed one and a published event; the ids of the first three.
fn exercise(bridge: &mut Bridge) -> [String; 3] {
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let whole = event_id(bridge);
    let content = json!([{"type": "text", "text": "Hi"}]);
    bridge.call("channel_reply", json!({"request_id": whole, "content": content}));
    assert_eq!(client.get().status, 200);
    let mut body = chat("Tell");
    body["stream"] = true.into();
    let mut client = Client::connect(addr);
    client.post(PATH, "", &body);
    let streamed = event_id(bridge);
    client.head();
    client.chunk().unwrap();
    bridge.call("channel_reply_stream", json!({"request_id": streamed, "delta": "One"}));
    client.chunk().unwrap();
    bridge.call("channel_reply_stream", json!({"request_id": streamed, "done": true}));
    while client.chunk().is_some() {}
    let client = aside(move || http::chat(addr, "Fail"));
    let failed = event_id(bridge);
    let error = json!({"message": "No."});
    bridge.call("channel_reply", json!({"request_id": failed, "error": error}));
    assert_eq!(client.get().status, 502);
    bridge.call("channel_publish", json!({"content": "by hand"}));
    [whole, streamed, failed]
}

#[test]
fn every_step_of_a_request_is_an_event_and_every_filter_finds_its_own() {
    let mut bridge = Bridge::claude_code(&[]);
    let [whole, streamed, failed] = exercise(&mut bridge);
    settled(&mut bridge, 15);
    let of = |id: &str| json!({"request_id": id});
    let events = list(&mut bridge, of(&whole));
    assert_eq!(kinds(&events), ["request", "publish", "reply", "response"]);
    assert_eq!(events[0]["content"], "Hello");
    assert_eq!(events[0]["source"], json!({"type": "http", "input": PATH}));
    assert_eq!(events[0]["meta"], json!({"request_id": whole, "stream": false, "model": "m"}));
    assert_eq!(events[2]["content"], r#"[{"text":"Hi","type":"text"}]"#);
    assert_eq!(events[2]["source"], json!({"type": "tool", "input": "channel_reply"}));
    assert_eq!(events[3]["content"], "Hi");
    let events = list(&mut bridge, of(&streamed));
    let expected =
        ["request", "publish", "stream_delta", "response_chunk", "stream_done", "response_done"];
    assert_eq!(kinds(&events), expected);
    let events = list(&mut bridge, of(&failed));
    assert_eq!(kinds(&events), ["request", "publish", "reply", "response_error"]);
    let error = events.iter().find(|event| event["kind"] == "response_error").unwrap();
    assert_eq!(
        (&error["content"], &error["meta"]["code"]),
        (&json!("No."), &json!("claude_channel_error"))
    );

    let all = list(&mut bridge, json!({"limit": 500}));
    assert_eq!(all.len(), 15);
    for (at, event) in all.iter().enumerate() {
        assert_eq!(event["event_id"], at + 1);
        let time = event["ts"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
    for (kind, count) in [
        ("request", 3),
        ("publish", 4),
        ("reply", 2),
        ("stream_delta", 1),
        ("stream_done", 1),
        ("response", 1),
        ("response_chunk", 1),
        ("response_done", 1),
        ("response_error", 1),
    ] {
        let found = list(&mut bridge, json!({"kind": kind}));
        assert_eq!(found.len(), count, "{kind}");
        assert!(found.iter().all(|event| event["kind"] == kind));
    }
    assert_eq!(list(&mut bridge, json!({"source_type": "tool"})).len(), 5);
    assert_eq!(list(&mut bridge, json!({"source_type": "http"})).len(), 10);
    assert_eq!(list(&mut bridge, json!({"source_type": "sampling"})).len(), 0);
    assert_eq!(list(&mut bridge, json!({"stream": true})).len(), 6);
    assert_eq!(list(&mut bridge, json!({"stream": false})).len(), 8);
    let newest = list(&mut bridge, json!({"limit": 2, "kind": "publish"}));
    assert_eq!(newest[1]["content"], "by hand");
    let both = list(&mut bridge, json!({"request_id": failed, "source_type": "tool"}));
    assert_eq!(kinds(&both), ["reply"]);
    assert_eq!(both[0]["content"], r#"{"message":"No."}"#);
}

#[test]
fn the_ring_keeps_as_many_as_the_setting_says() {
    let mut bridge = Bridge::claude_code(&[("BRIDGE_CHANNEL_DEBUG_MAX_EVENTS", "4")]);
    for number in 1..=6 {
        bridge.call("channel_publish", json!({"content": number.to_string()}));
    }
    let events = list(&mut bridge, json!({}));
    let contents: Vec<&Value> = events.iter().map(|event| &event["content"]).collect();
    assert_eq!(contents, ["3", "4", "5", "6"]);
    assert_eq!(list(&mut bridge, json!({"limit": 1}))[0]["event_id"], 6);
    let status = bridge.call("runtime_status", json!({}))["structuredContent"]["channel"].clone();
    assert_eq!((&status["total_events"], &status["max_events"]), (&json!(6), &json!(4)));
}

#[test]
fn fifty_are_listed_unless_told_otherwise_and_long_ones_are_cut() {
    let mut bridge = Bridge::claude_code(&[]);
    for _ in 0..60 {
        bridge
            .begin("tools/call", json!({"name": "channel_publish", "arguments": {"content": "x"}}));
    }
    bridge.call("channel_publish", json!({"content": "y".repeat(5000)}));
    assert_eq!(list(&mut bridge, json!({})).len(), 50);
    assert_eq!(list(&mut bridge, json!({"limit": 500})).len(), 61);
    let last = &list(&mut bridge, json!({"limit": 1}))[0];
    assert_eq!(last["meta"]["content_bytes"], 5000);
    assert_eq!(last["content"], "y".repeat(2048));
}

#[test]
fn an_answer_by_sampling_is_an_event_too() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "Hi");
    client.get();
    settled(&mut bridge, 4);
    let events = list(&mut bridge, json!({"request_id": request["id"]}));
    assert_eq!(kinds(&events), ["request", "publish", "reply", "response"]);
    let replies = list(&mut bridge, json!({"source_type": "sampling"}));
    let source = json!({"type": "sampling", "input": "sampling/createMessage"});
    assert_eq!((replies.len(), &replies[0]["source"]), (1, &source));
}

#[test]
fn an_id_that_is_none_is_named() {
    let mut bridge = Bridge::sampling(&[]);
    let result = bridge.call("channel_debug_events", json!({"request_id": "x"}));
    assert_eq!(result["isError"], true);
    assert!(result["structuredContent"]["message"].as_str().unwrap().starts_with("request_id"));
}
