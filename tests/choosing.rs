//! Which way a request goes, and how long it waits for one.

mod common;

use common::http::{self, Answer, Client};
use common::pull::{PATH, ask, error_of, reply, said};
use common::{Aside, Bridge, chat};
use serde_json::{Value, json};
use std::net::SocketAddr;

const WAITS: (&str, &str) = ("MODELTAP_HOST_WAIT", "60s");

/// Calls the modern `hook`; once this returns, it is open, or answered.
fn modern_hook(bridge: &mut Bridge, more: Value) -> u64 {
    let mut params = json!({"name": "hook", "arguments": {}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}}}});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = bridge.begin("tools/call", params);
    bridge.request("ping", json!({}));
    id
}

/// Answers the round that the call came to, each request with what it says, and calls again.
fn answer_round(bridge: &mut Bridge, call: u64) -> u64 {
    let round = bridge.result_of(call);
    assert_eq!(round["resultType"], "input_required", "{round}");
    let requests = round["inputRequests"].as_object().unwrap().iter();
    let responses: serde_json::Map<String, Value> = requests
        .map(|(key, request)| {
            let asked = &request["params"]["messages"][0]["content"]["text"];
            let text = format!("hook: {}", asked.as_str().unwrap());
            let content = json!({"type": "text", "text": text});
            (key.clone(), json!({"role": "assistant", "content": content, "model": "m"}))
        })
        .collect();
    let state = &round["requestState"];
    modern_hook(bridge, json!({"inputResponses": responses, "requestState": state}))
}

/// The texts of sampling requests, in the order in which they come.
fn sampled(bridge: &mut Bridge) -> (Value, String) {
    let request = bridge.recv_method("sampling/createMessage");
    let text = request["params"]["messages"][0]["content"]["text"].as_str().unwrap().to_owned();
    (request, text)
}

fn refuse(bridge: &Bridge, request: &Value, code: i64) {
    let error = json!({"code": code, "message": "no"});
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
}

/// That the answer came, by this way.
fn came_by(client: Aside<Answer>, way: &str, content: &str) {
    let answer = client.get();
    assert_eq!(answer.content(), content);
    assert_eq!(answer.header("x-mcp-backend"), Some(way));
}

fn in_use(addr: SocketAddr) -> Value {
    http::get(addr, "/ready").json()["backend"].clone()
}

#[test]
fn of_several_ways_the_best_that_is_open_is_taken() {
    let mut bridge = Bridge::spawn(&[("CLAUDECODE", "1"), ("MODELTAP_LEASE", "1s")]);
    bridge.initialize("claude-code", json!({}));
    let addr = bridge.addr();
    // Nothing but a channel is there.
    assert_eq!(in_use(addr), "channel");
    let client = ask(addr, "one");
    let event = bridge.recv_method("notifications/claude/channel")["params"].clone();
    bridge
        .call("channel_reply", json!({"request_id": event["meta"]["request_id"], "content": "1"}));
    came_by(client, "channel", "1");
    // An open pull goes before it.
    let pull = bridge.begin_next(json!({}));
    assert_eq!(in_use(addr), "pull");
    let client = ask(addr, "two");
    let request = bridge.end_next(pull);
    let pull = bridge.begin_next(json!({"reply": reply(&request, "2")}));
    came_by(client, "pull", "2");
    // Sampling goes before a pull.
    bridge.cancel(pull);
    bridge.initialize("claude-code", json!({"sampling": {}}));
    let pull = bridge.begin_next(json!({}));
    assert_eq!(in_use(addr), "sampling");
    let client = ask(addr, "three");
    let (request, _) = sampled(&mut bridge);
    bridge.answer(&request, "3");
    came_by(client, "sampling", "3");
    // And an open hook of the modern era before all.
    let hook = modern_hook(&mut bridge, json!({}));
    assert_eq!(in_use(addr), "hook");
    bridge.cancel(pull);
    let client = ask(addr, "four");
    answer_round(&mut bridge, hook);
    came_by(client, "hook", "hook: four");
}

#[test]
fn a_modern_hook_serves_and_once_it_is_gone_sampling_does() {
    let mut bridge = Bridge::spawn(&[("MODELTAP_LEASE", "300ms")]);
    bridge.initialize("both", json!({"sampling": {}}));
    let addr = bridge.addr();
    let hook = modern_hook(&mut bridge, json!({}));
    let client = ask(addr, "Hello");
    let next = answer_round(&mut bridge, hook);
    came_by(client, "hook", "hook: Hello");
    bridge.cancel(next);
    // Whether it still waits for the hook to come back or not, it is served.
    let client = ask(addr, "again");
    let (request, _) = sampled(&mut bridge);
    bridge.answer(&request, "Hi");
    came_by(client, "sampling", "Hi");
}

#[test]
fn the_settings_may_want_one_way_only() {
    // A pull only, though sampling and a hook are there.
    let mut bridge = Bridge::spawn(&[("MODELTAP_BACKEND", "pull")]);
    bridge.initialize("both", json!({"sampling": {}}));
    let addr = bridge.addr();
    let none = error_of(&http::chat(addr, "Hello"), 503);
    assert!(none.contains("next_request") && !none.contains("sampling"), "{none}");
    let hook = modern_hook(&mut bridge, json!({}));
    let refused = bridge.result_of(hook);
    assert!(refused["structuredContent"]["message"].as_str().unwrap().contains("--backend pull"));
    assert_eq!(http::get(addr, "/ready").status, 503);
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let request = bridge.end_next(open);
    bridge.answer_pulled(&request, "Hi");
    came_by(client, "pull", "Hi");
    // Sampling only: what waits for it is not handed to anybody else.
    let mut bridge = Bridge::tools_only(&[("MODELTAP_BACKEND", "sampling"), WAITS]);
    let addr = bridge.addr();
    let client = ask(addr, "Hello");
    bridge.until_count("on_offer", 1);
    let refused = bridge.next_request(json!({}));
    assert!(refused["message"].as_str().unwrap().contains("--backend sampling"), "{refused}");
    let hook = modern_hook(&mut bridge, json!({}));
    answer_round(&mut bridge, hook);
    came_by(client, "hook", "hook: Hello");
}

#[test]
fn where_no_way_is_open_the_reason_and_the_remedy_are_told() {
    let modern = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}}});
    for (backend, host, remedy) in [
        ("auto", "none", "register modeltap as an MCP server"),
        ("pull", "none", "register modeltap as an MCP server"),
        ("auto", "plain", "tool next_request"),
        ("pull", "plain", "tool next_request"),
        ("sampling", "plain", "use a host that does, or --backend auto"),
        ("auto", "modern", "tool hook"),
        ("sampling", "modern", "tool hook"),
        ("pull", "modern", "tool next_request"),
        ("channel", "modern", "--era legacy"),
    ] {
        let mut bridge = Bridge::spawn(&[("MODELTAP_BACKEND", backend)]);
        if host == "plain" {
            bridge.initialize("plain-host", json!({}));
        } else if host == "modern" {
            bridge.request("tools/list", json!({"_meta": modern}));
        }
        let addr = bridge.addr();
        for answer in [http::chat(addr, "Hello"), http::get(addr, "/ready")] {
            let said = error_of(&answer, 503);
            assert!(said.contains(remedy), "{backend} {host}: {said}");
            assert_eq!(answer.json()["error"]["code"], "no_model");
        }
    }
}

#[test]
fn a_request_waits_for_whichever_host_comes() {
    for way in ["sampling", "pull", "hook", "channel"] {
        let mut bridge = Bridge::spawn(&[WAITS]);
        let addr = bridge.addr();
        let client = ask(addr, "Hello");
        bridge.until_count("on_offer", 1);
        match way {
            "sampling" => {
                bridge.initialize("late", json!({"sampling": {}}));
                let (request, _) = sampled(&mut bridge);
                bridge.answer(&request, "Hi");
                came_by(client, way, "Hi");
            }
            "pull" => {
                let request = bridge.pulled(json!({}));
                bridge.answer_pulled(&request, "Hi");
                came_by(client, way, "Hi");
            }
            "hook" => {
                let hook = modern_hook(&mut bridge, json!({}));
                answer_round(&mut bridge, hook);
                came_by(client, way, "hook: Hello");
            }
            _ => {
                bridge.initialize("claude-code", json!({}));
                let event = bridge.recv_method("notifications/claude/channel");
                let id = &event["params"]["meta"]["request_id"];
                bridge.call("channel_reply", json!({"request_id": id, "content": "Hi"}));
                came_by(client, way, "Hi");
            }
        }
    }
}

#[test]
fn a_request_waits_for_the_hook_of_a_host_that_wants_one() {
    // Nothing but the hook makes it look again before the test gives up.
    let env = [("MODELTAP_HOST_WAIT", "1h"), ("MODELTAP_LEASE", "1h"), ("MODELTAP_WARMUP", "1")];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    let client = ask(addr, "Hello");
    bridge.until_count("on_offer", 1);
    bridge.begin_call("hook", json!({}));
    let warm_up = bridge.recv_method("sampling/createMessage");
    assert_eq!(warm_up["params"]["maxTokens"], 1);
    bridge.answer(&warm_up, "ok");
    let (request, text) = sampled(&mut bridge);
    assert_eq!(text, "Hello");
    bridge.answer(&request, "Hi");
    came_by(client, "sampling", "Hi");
}

#[test]
fn a_request_refused_for_want_of_a_hook_waits_for_one_or_goes_another_way() {
    let mut bridge = Bridge::sampling(&[WAITS]);
    let addr = bridge.addr();
    let client = ask(addr, "Hello");
    let (request, _) = sampled(&mut bridge);
    refuse(&bridge, &request, -32602);
    bridge.until_count("on_offer", 1);
    bridge.begin_call("hook", json!({}));
    let (request, _) = sampled(&mut bridge);
    bridge.answer(&request, "Hi");
    came_by(client, "sampling", "Hi");
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let (request, _) = sampled(&mut bridge);
    refuse(&bridge, &request, -32602);
    let request = bridge.end_next(open);
    bridge.answer_pulled(&request, "Hi");
    came_by(client, "pull", "Hi");
}

#[test]
fn when_no_host_comes_the_wait_ends_with_503_and_leaves_nothing() {
    let mut bridge = Bridge::tools_only(&[("MODELTAP_HOST_WAIT", "300ms")]);
    let addr = bridge.addr();
    let mut body = chat("Hello");
    body["stream"] = true.into();
    for body in [chat("Hello"), body] {
        let said = error_of(&http::post(addr, PATH, &body), 503);
        assert!(said.contains("next_request"), "{said}");
    }
    bridge.until_count("in_flight", 0);
    bridge.until_count("on_offer", 0);
}

#[test]
fn the_wait_for_a_host_counts_from_when_none_is_there() {
    let env = [("MODELTAP_HOST_WAIT", "4s"), ("MODELTAP_LEASE", "1400ms")];
    let mut bridge = Bridge::tools_only(&env);
    let addr = bridge.addr();
    let client = ask(addr, "Hello");
    let lost = bridge.pulled(json!({}));
    // It has the request for longer than the wait for a host would be, and is then given up.
    while http::get(addr, "/ready").status == 200 {
        std::thread::yield_now();
    }
    assert!(bridge.is_silent_for(std::time::Duration::from_secs(1)));
    let request = bridge.pulled(json!({}));
    assert_ne!(request["request_id"], lost["request_id"]);
    bridge.answer_pulled(&request, "Hi");
    came_by(client, "pull", "Hi");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_client_that_leaves_while_it_waits_for_a_host_is_not_handed_out() {
    let mut bridge = Bridge::tools_only(&[WAITS]);
    let addr = bridge.addr();
    let mut client = Client::connect(addr);
    client.post(PATH, "", &chat("gone"));
    bridge.until_count("on_offer", 1);
    let stays = ask(addr, "stays");
    bridge.until_count("on_offer", 2);
    drop(client);
    bridge.until_count("on_offer", 1);
    let request = bridge.pulled(json!({}));
    assert_eq!(said(&request), "stays");
    bridge.answer_pulled(&request, "Hi");
    came_by(stays, "pull", "Hi");
}

#[test]
fn tools_as_such_wait_for_a_host_that_takes_them_and_come_back_in_words_for_another() {
    let mut bridge = Bridge::tools_only(&[("MODELTAP_PULL_WAIT", "1s")]);
    let addr = bridge.addr();
    let capabilities = |tools: bool| {
        let sampling = if tools { json!({"tools": {}}) } else { json!({}) };
        json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"sampling": sampling}}})
    };
    // The host takes tools, and is between two calls.
    let hook = modern_hook(&mut bridge, capabilities(true));
    bridge.result_of(hook);
    let mut body = chat("Weather?");
    body["tools"] = json!([{"type": "function", "function": {"name": "weather"}}]);
    let client = common::aside(move || http::post(addr, PATH, &body));
    bridge.until_count("on_offer", 1);
    // Whoever takes none gets nothing, and the request stays.
    assert_eq!(bridge.next_request(json!({"wait_seconds": 0}))["pending"], false);
    bridge.until_count("on_offer", 1);
    // Then it calls as one that takes none.
    let hook = modern_hook(&mut bridge, capabilities(false));
    let round = bridge.result_of(hook);
    let (key, request) = round["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(request["params"].get("tools"), None, "{request}");
    assert!(request["params"]["systemPrompt"].as_str().unwrap().contains("<tool_call>"));
    let content = json!({"type": "text", "text": "It rains."});
    let responses = json!({key: {"role": "assistant", "content": content, "model": "m"}});
    let mut more = capabilities(false);
    more["inputResponses"] = responses;
    more["requestState"] = round["requestState"].clone();
    modern_hook(&mut bridge, more);
    came_by(client, "hook", "It rains.");
}
