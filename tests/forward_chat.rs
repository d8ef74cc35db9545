//! The tool `forward_chat`, by which the host's model asks the endpoint; and its key, which is sent
//! and never shown.

mod common;

use common::endpoint::{Asked, CHAT, ask, forwarding};
use common::{Bridge, chat};
use serde_json::{Value, json};

/// Calls the tool `forward_chat` without waiting; the id of the call.
fn forward_chat(bridge: &mut Bridge, text: &str) -> u64 {
    let arguments = json!({"messages": [{"role": "user", "content": text}]});
    bridge.begin("tools/call", json!({"name": "forward_chat", "arguments": arguments}))
}

/// What a call comes to.
fn told(bridge: &mut Bridge, id: u64) -> Value {
    bridge.recv_where(|message| message["id"] == id && message.get("method").is_none())["result"]
        .clone()
}

fn cancel(bridge: &Bridge, id: u64) {
    let params = json!({"requestId": id, "reason": "enough"});
    let method = "notifications/cancelled";
    bridge.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
}

#[test]
fn the_key_is_sent_and_never_shown() {
    const KEY: &str = "sk-very-s3cret";
    let env = [("MODELTAP_FORWARD_KEY", KEY), ("MODELTAP_LOG", "full")];
    let (mut bridge, addr, endpoint) = forwarding(&env);
    let mut shown = String::new();
    let words = format!("{KEY} is odd");
    let error = json!({"error": {"message": words}}).to_string();
    for status in ["400 Bad", "401 Who", "403 No", "500 Oh"] {
        let client = ask(addr, CHAT, chat("Hello"));
        let asked = endpoint.asked();
        assert!(asked.head.contains(&format!("authorization: Bearer {KEY}\r\n")), "{}", asked.head);
        asked.answer(status, "", &error);
        let answer = client.get().text();
        let said = ["does not take the key", "(the forward key) is odd"];
        assert!(said.iter().any(|said| answer.contains(said)), "{answer}");
        shown.push_str(&answer);
    }
    let id = forward_chat(&mut bridge, "Hello");
    endpoint.asked().answer("500 Oh", "", &error);
    shown.push_str(&told(&mut bridge, id).to_string());
    shown.push_str(&bridge.call("channel_debug_events", json!({"limit": 500})).to_string());
    shown.push_str(&bridge.call("runtime_status", json!({})).to_string());
    bridge.close_stdin();
    bridge.wait();
    shown.push_str(&bridge.stderr());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn the_hosts_model_can_ask_the_endpoint() {
    let (mut bridge, _, endpoint) =
        forwarding(&[("MODELTAP_FORWARD_MODELS", "modeltap=mini,big=huge")]);
    bridge.initialize("editor", json!({}));
    let arguments = json!({"model": "big", "max_tokens": 7, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go on"}]});
    let params = json!({"name": "forward_chat", "arguments": arguments});
    let id = bridge.begin("tools/call", params);
    let mut asked = endpoint.asked();
    let expected = json!({"model": "huge", "stream": true, "max_tokens": 7,
        "stream_options": {"include_usage": true}, "messages": arguments["messages"]});
    assert_eq!(asked.body, expected);
    asked.begin();
    asked.piece("Well, ");
    // Other calls are answered meanwhile.
    bridge.request("ping", json!({}));
    asked.piece("no.");
    asked.delta(&json!({}), Some("length"));
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
    asked.send(format!("data: {}\n\n", json!({"choices": [], "usage": usage})));
    asked.send("data: [DONE]\n\n");
    let result = told(&mut bridge, id);
    let expected = json!({"ok": true, "content": "Well, no.", "model": "far-1",
        "stop_reason": "maxTokens", "usage": usage});
    assert_eq!((&result["structuredContent"], &result["isError"]), (&expected, &json!(false)));

    let id = forward_chat(&mut bridge, "Hello");
    let asked = endpoint.asked();
    assert_eq!(asked.body["model"], "mini");
    asked.whole("Hi");
    let expected = json!({"ok": true, "content": "Hi", "model": "far-1", "stop_reason": "endTurn"});
    assert_eq!(told(&mut bridge, id)["structuredContent"], expected);

    let id = forward_chat(&mut bridge, "Hello");
    endpoint.asked().answer("500 Oh", "", "{\"error\":\"Odd.\"}");
    let result = told(&mut bridge, id);
    assert_eq!(result["isError"], true);
    assert!(result["structuredContent"]["message"].as_str().unwrap().contains("Odd."));
}

#[test]
fn a_call_of_the_tool_that_is_cancelled_is_closed_and_not_answered() {
    let (mut bridge, _, endpoint) = forwarding(&[]);
    bridge.initialize("editor", json!({}));
    let id = forward_chat(&mut bridge, "Hello");
    let asked = endpoint.asked();
    cancel(&bridge, id);
    asked.wait_closed();
    // A new session has nothing to do with the calls of the last one.
    let old = forward_chat(&mut bridge, "Hello");
    let asked = endpoint.asked();
    bridge.initialize("editor", json!({}));
    asked.wait_closed();
    let id_again = forward_chat(&mut bridge, "Hello");
    endpoint.asked().whole("Hi");
    assert_eq!(told(&mut bridge, id_again)["structuredContent"]["content"], "Hi");
    bridge.request("ping", json!({}));
    assert!(bridge.is_silent_for(std::time::Duration::ZERO), "{id} or {old} was answered");
}

#[test]
fn calls_of_the_tool_are_bounded() {
    let (mut bridge, _, endpoint) = forwarding(&[]);
    bridge.initialize("editor", json!({}));
    let open: Vec<u64> = (0..8).map(|_| forward_chat(&mut bridge, "Hello")).collect();
    let asked: Vec<Asked> = open.iter().map(|_| endpoint.asked()).collect();
    let refused = forward_chat(&mut bridge, "Hello");
    let result = told(&mut bridge, refused);
    assert_eq!(result["isError"], true, "{result}");
    asked.into_iter().for_each(|asked| asked.whole("Hi"));
    for id in open {
        assert_eq!(told(&mut bridge, id)["structuredContent"]["content"], "Hi");
    }
}

#[test]
fn the_tool_is_offered_where_there_is_an_endpoint() {
    let names = |bridge: &mut Bridge| bridge.request("tools/list", json!({}))["result"].to_string();
    let (mut bridge, _, _endpoint) = forwarding(&[]);
    assert!(names(&mut bridge).contains("forward_chat"));
    let tools = bridge.request("tools/list", json!({}))["result"]["tools"].clone();
    let tool = tools.as_array().unwrap().iter().find(|tool| tool["name"] == "forward_chat");
    let schema = &tool.unwrap()["inputSchema"];
    let items = &schema["properties"]["messages"]["items"];
    assert_eq!(schema["required"], json!(["messages"]));
    assert_eq!(items["required"], json!(["role", "content"]));
    assert_eq!(items["properties"]["role"]["enum"], json!(["system", "user", "assistant"]));
    let good = json!([{"role": "user", "content": "Hi"}]);
    for bad in [json!({}), json!({"messages": []}), json!({"messages": good, "max_tokens": 0})] {
        assert_eq!(bridge.call("forward_chat", bad)["isError"], true);
    }
    let mut bridge = Bridge::spawn(&[]);
    assert!(!names(&mut bridge).contains("forward_chat"));
    let result = bridge.call("forward_chat", json!({"messages": good}));
    assert_eq!(result["isError"], true);
    assert!(result.to_string().contains("--forward"), "{result}");
}
