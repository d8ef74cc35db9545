//! Which way a request takes, by what is there now: a modern hook, sampling, a pull loop, channels,
//! and last the endpoint that is forwarded to.

mod common;

use common::endpoint::{CHAT, Endpoint, ask};
use common::{Bridge, LATEST, aside, chat, http, sampled};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Begins a call of `hook` in the modern era; its id.
fn hook(bridge: &mut Bridge, sampling: &Value, more: &Value) -> u64 {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": sampling},
    });
    let mut params = json!({"name": "hook", "arguments": {}, "_meta": meta});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bridge.begin("tools/call", params)
}

/// What a call that was begun came to.
fn result(bridge: &mut Bridge, id: u64) -> Value {
    let answer = bridge.recv_where(|m| m["id"] == id && m.get("method").is_none());
    answer["result"].clone()
}

fn next_request(bridge: &mut Bridge) -> u64 {
    bridge.begin("tools/call", json!({"name": "next_request", "arguments": {"wait_seconds": 60}}))
}

/// Waits until so many calls that fetch are open.
fn wait_open(bridge: &mut Bridge, name: &str, calls: u64) {
    bridge.call_until("runtime_status", |status| status["mcp"][name] == calls);
}

/// Replies to what a call of `next_request` came to.
fn reply(bridge: &mut Bridge, taken: &Value, text: &str) {
    let id = &taken["structuredContent"]["request_id"];
    let reply = json!({"request_id": id, "content": text});
    let told = bridge.call("next_request", json!({"wait_seconds": 0, "reply": reply}));
    assert_eq!(told["structuredContent"]["replied"][0]["ok"], true, "{taken} {told}");
}

fn in_use(addr: SocketAddr) -> Value {
    http::get(addr, "/ready").json()["backend"].clone()
}

#[test]
fn auto_takes_the_first_way_that_is_there() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge = Bridge::spawn(&[("MODELTAP_FORWARD", &url), ("MODELTAP_LEASE", "300ms")]);
    let addr = bridge.addr();

    let client = ask(addr, CHAT, chat("Hello"));
    endpoint.asked().whole("from afar");
    assert_eq!(client.get().header("x-mcp-backend"), Some("forward"));

    bridge.initialize("claude-code", json!({}));
    assert_eq!(in_use(addr), "channel");
    let client = ask(addr, CHAT, chat("Hello"));
    let event = bridge.recv_method("notifications/claude/channel");
    let id = &event["params"]["meta"]["request_id"];
    bridge.call("channel_reply", json!({"request_id": id, "content": "by event"}));
    let answer = client.get();
    assert_eq!(answer.header("x-mcp-backend"), Some("channel"));
    assert_eq!(answer.content(), "by event");

    let call = next_request(&mut bridge);
    wait_open(&mut bridge, "open_next_requests", 1);
    let client = ask(addr, CHAT, chat("Hello"));
    let taken = result(&mut bridge, call);
    reply(&mut bridge, &taken, "pulled");
    let answer = client.get();
    assert_eq!(answer.header("x-mcp-backend"), Some("pull"));
    assert_eq!(answer.content(), "pulled");

    bridge.initialize("editor", json!({"sampling": {}}));
    next_request(&mut bridge);
    wait_open(&mut bridge, "open_next_requests", 1);
    let client = ask(addr, CHAT, chat("Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.send(&sampled(&request, "sampled"));
    let answer = client.get();
    assert_eq!(answer.header("x-mcp-backend"), Some("sampling"));

    // The pull call that waits has the same line, so it must be gone first.
    bridge.initialize("editor", json!({"sampling": {}}));
    wait_open(&mut bridge, "open_next_requests", 0);
    let call = hook(&mut bridge, &json!({}), &json!({}));
    wait_open(&mut bridge, "open_hooks", 1);
    let client = ask(addr, CHAT, chat("Hello"));
    let round = result(&mut bridge, call);
    let key = round["inputRequests"].as_object().unwrap().keys().next().unwrap();
    let said = json!({"role": "assistant", "content": {"type": "text", "text": "in a round"},
        "model": "m"});
    let more = json!({"requestState": round["requestState"], "inputResponses": {key: said}});
    let call = hook(&mut bridge, &json!({}), &more);
    let answer = client.get();
    assert_eq!(answer.header("x-mcp-backend"), Some("hook"));
    assert_eq!(answer.content(), "in a round");

    // Each of them gone, the endpoint is what is left.
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": call}}));
    wait_open(&mut bridge, "open_hooks", 0);
    bridge.request(
        "initialize",
        json!({"protocolVersion": LATEST, "capabilities": {},
        "clientInfo": {"name": "editor", "version": "1"}}),
    );
    let client = ask(addr, CHAT, chat("Hello"));
    endpoint.asked().whole("from afar");
    assert_eq!(client.get().header("x-mcp-backend"), Some("forward"));
    assert!(endpoint.is_idle());
}

#[test]
fn tools_meant_for_a_hook_go_in_words_to_a_pull_that_comes_first() {
    // The hook counts as present for as long as a lease after its call.
    let mut bridge = Bridge::spawn(&[("MODELTAP_PULL_WAIT", "10ms")]);
    let call = hook(&mut bridge, &json!({"tools": {}}), &json!({}));
    let round = result(&mut bridge, call);
    assert_eq!(round["resultType"], "input_required");
    let addr = bridge.addr();
    let call = next_request(&mut bridge);
    wait_open(&mut bridge, "open_next_requests", 1);
    let mut body = chat("What is there?");
    body["tools"] = json!([{"type": "function", "function": {"name": "look"}}]);
    let client = aside(move || http::post(addr, CHAT, &body));
    let taken = result(&mut bridge, call);
    let told = &taken["structuredContent"];
    assert_eq!(told["tools"], json!(["look"]));
    assert!(told["prompt"].as_str().unwrap().contains("<tool_call>"), "{told}");
    reply(&mut bridge, &taken, "<tool_call>{\"name\":\"look\",\"arguments\":{}}</tool_call>");
    let answer = client.get();
    assert_eq!(answer.header("x-mcp-backend"), Some("pull"));
    let calls = &answer.json()["choices"][0]["message"]["tool_calls"];
    assert_eq!(calls[0]["function"]["name"], "look");
}

#[test]
fn requests_that_wait_for_a_host_keep_their_order_when_one_without_a_model_appears() {
    let mut bridge = Bridge::spawn(&[("MODELTAP_HOST_WAIT", "60s")]);
    let addr = bridge.addr();
    let mut clients = Vec::new();
    for at in 0..4u64 {
        clients.push(ask(addr, CHAT, chat(&format!("number {at}"))));
        bridge.call_until("runtime_status", |status| status["waiting"]["for_a_host"] == at + 1);
    }
    bridge.initialize("editor", json!({}));
    let told = bridge.call("next_request", json!({"wait_seconds": 60, "max": 4}));
    let told = &told["structuredContent"];
    let more = told["more"].as_array().unwrap_or_else(|| panic!("all at once: {told}"));
    let requests: Vec<&Value> = std::iter::once(told).chain(more).collect();
    assert_eq!(requests.len(), 4);
    for (at, request) in requests.into_iter().enumerate() {
        assert_eq!(request["prompt"], format!("USER: number {at}"));
        let reply = json!({"request_id": request["request_id"], "content": at.to_string()});
        bridge.call("next_request", json!({"wait_seconds": 0, "reply": reply}));
    }
    for (at, client) in clients.into_iter().enumerate() {
        assert_eq!(client.get().content(), at.to_string());
    }
}
