//! MCP's opening: versions, capabilities, instructions, and what is answered to which method.

mod common;

use common::{Bridge, LATEST, aside, http};
use serde_json::{Value, json};

/// The result of `initialize` as a client of this name, with these capabilities.
fn welcome(bridge: &mut Bridge, name: &str, capabilities: Value) -> Value {
    let result = bridge.initialize(name, capabilities);
    assert_eq!(result["protocolVersion"], LATEST);
    result
}

fn initialize(version: &str) -> Value {
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
}

fn code(answer: &Value) -> &Value {
    assert!(answer.get("result").is_none(), "{answer}");
    &answer["error"]["code"]
}

#[test]
fn a_version_we_know_is_agreed_to_and_any_other_becomes_the_latest() {
    let mut bridge = Bridge::spawn(&[]);
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2024-10-07", "2025-11-25"),
        ("", "2025-11-25"),
        ("latest", "2025-11-25"),
    ] {
        // Each is also a later initialize on the same pipe, which is always accepted.
        let answer = bridge.request("initialize", initialize(asked));
        assert_eq!(answer["result"]["protocolVersion"], agreed, "{asked}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "modeltap");
        assert_eq!(answer["result"]["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
        let status = bridge.call("runtime_status", json!({}));
        assert_eq!(status["structuredContent"]["mcp"]["protocol_version"], agreed);
    }
}

#[test]
fn a_later_initialize_changes_what_the_host_is_taken_for() {
    let mut bridge = Bridge::spawn(&[]);
    let addr = bridge.addr();
    bridge.initialize("some-editor", json!({}));
    assert_eq!(http::get(addr, "/ready").status, 503);
    bridge.initialize("some-editor", json!({"sampling": {}}));
    assert_eq!(http::get(addr, "/ready").json()["backend"], "sampling");
    bridge.initialize("claude-code", json!({}));
    assert_eq!(http::get(addr, "/ready").json()["backend"], "channel");
}

#[test]
fn channels_are_offered_only_where_they_matter_and_never_the_right_to_approve_tools() {
    let claude: &[(&str, &str)] = &[("CLAUDECODE", "1")];
    let forced: &[(&str, &str)] = &[("MODELTAP_BACKEND", "channel")];
    let other: &[(&str, &str)] = &[("CLAUDECODE", "0"), ("MODELTAP_BACKEND", "sampling")];
    for (env, name, offered) in [
        (&[][..], "Visual Studio Code", false),
        (&[], "claude-code", true),
        (&[], "Claude Desktop", true),
        (&[], "claude-ai", true),
        (claude, "anything", true),
        (forced, "anything", true),
        (other, "anything", false),
    ] {
        for capabilities in [json!({}), json!({"sampling": {}, "roots": {"listChanged": true}})] {
            let result = welcome(&mut Bridge::spawn(env), name, capabilities);
            let declared = if offered {
                json!({"tools": {}, "experimental": {"claude/channel": {}}})
            } else {
                json!({"tools": {}})
            };
            assert_eq!(result["capabilities"], declared, "{env:?} {name}");
            let instructions = result["instructions"].as_str().unwrap();
            assert_eq!(instructions.contains("channel_reply"), offered, "{env:?} {name}");
            assert!(instructions.len() < 2048, "{} bytes", instructions.len());
        }
    }
}

#[test]
fn the_tools_are_listed_with_descriptions_that_no_host_cuts() {
    let mut bridge = Bridge::sampling(&[]);
    for params in [json!({}), json!({"cursor": "x", "_meta": {"progressToken": 1}})] {
        let list = bridge.request("tools/list", params)["result"].clone();
        assert!(list.get("nextCursor").is_none());
        let tools = list["tools"].as_array().unwrap();
        let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "http_server_start",
                "http_server_stop",
                "http_server_status",
                "runtime_status",
                "channel_debug_events",
                "channel_reply",
                "channel_reply_stream",
                "channel_publish",
                "next_request",
                "hook"
            ]
        );
        for tool in tools {
            let length = tool["description"].as_str().unwrap().len();
            assert!((20..2048).contains(&length), "{}: {length} bytes", tool["name"]);
        }
    }
    // Params may be left out.
    bridge.send(&json!({"jsonrpc": "2.0", "id": "bare", "method": "tools/list"}));
    let bare = bridge.recv_where(|message| message["id"] == "bare");
    assert_eq!(bare["result"]["tools"].as_array().unwrap().len(), 10);
}

#[test]
fn ping_is_answered_before_and_after_the_handshake() {
    let mut bridge = Bridge::spawn(&[]);
    assert_eq!(bridge.request("ping", json!({}))["result"], json!({}));
    bridge.initialize("t", json!({}));
    bridge.send(&json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}));
    assert_eq!(bridge.line(), r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
}

#[test]
fn the_probe_of_a_client_that_samples_is_declined_at_once_and_initialize_still_works() {
    let mut bridge = Bridge::spawn(&[]);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}}});
    let probe = bridge.request("server/discover", json!({"_meta": meta}));
    assert_eq!(code(&probe), -32601);
    let result = bridge.request("initialize", initialize("2026-07-28"))["result"].clone();
    assert_eq!(result["protocolVersion"], LATEST);
    // Without its _meta it is no modern request.
    assert_eq!(code(&bridge.request("server/discover", json!({}))), -32602);
}

#[test]
fn an_unknown_method_is_refused_by_name() {
    let mut bridge = Bridge::sampling(&[]);
    for method in
        ["resources/list", "prompts/list", "logging/setLevel", "roots/list", "no such", "Ping"]
    {
        let answer = bridge.request(method, json!({}));
        assert_eq!(code(&answer), -32601);
        assert!(answer["error"]["message"].as_str().unwrap().contains(method));
    }
}

#[test]
fn a_call_that_is_none_is_an_error_and_a_wrong_argument_a_result_that_names_it() {
    let mut bridge = Bridge::sampling(&[]);
    for (params, named) in [
        (json!({"name": "no_such_tool"}), "no_such_tool"),
        (json!({"name": "no_such_tool", "arguments": {"a": 1}}), "no_such_tool"),
        (json!({}), "name"),
        (json!({"name": 5}), "tools/call"),
        (json!({"name": "hook", "_meta": {"progressToken": {"a": 1}}}), "progressToken"),
        (json!({"name": "hook", "_meta": {"progressToken": 1.5}}), "progressToken"),
        (json!(["hook", {}, null]), "object"),
        (json!("hook"), "object"),
        (Value::Null, "object"),
    ] {
        let answer = bridge.request("tools/call", params.clone());
        assert_eq!(code(&answer), -32602, "{params}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(named), "{answer}");
    }
    for (method, params) in [
        ("initialize", json!({})),
        ("initialize", json!({"protocolVersion": 5})),
        ("initialize", json!(["2025-11-25", {}, {}])),
        ("tools/list", json!([])),
        ("ping", json!(1)),
    ] {
        assert_eq!(code(&bridge.request(method, params.clone())), -32602, "{method} {params}");
    }
    for (tool, arguments, named) in [
        ("runtime_status", json!({"verbose": true}), "verbose"),
        ("runtime_status", json!([]), "object"),
        ("http_server_start", json!({"port": 65536}), "port"),
        ("http_server_start", json!({"timeout_ms": 999}), "timeout_ms"),
        ("channel_debug_events", json!({"limit": 501}), "limit"),
        ("channel_debug_events", json!({"kind": "none"}), "kind"),
        ("channel_reply", json!({"content": "x"}), "request_id"),
        ("channel_reply", json!({"request_id": "x", "content": 5}), "content"),
        ("channel_reply", json!({"request_id": "x", "error": "why"}), "error"),
        ("channel_reply_stream", json!({"request_id": "x", "done": "yes"}), "done"),
        ("channel_publish", json!({"content": "x", "meta": {"a-b": "c"}}), "meta"),
        ("hook", json!({"messages": "hi"}), "messages"),
    ] {
        let result = bridge.call(tool, arguments.clone());
        assert_eq!(result["isError"], true, "{tool} {arguments}");
        let message = result["structuredContent"]["message"].as_str().unwrap();
        assert!(message.contains(named), "{tool} {arguments}: {message}");
    }
}

#[test]
fn the_host_is_sent_no_request_but_sampling() {
    let mut bridge = Bridge::spawn(&[]);
    let capabilities = json!({"sampling": {}, "roots": {"listChanged": true}, "elicitation": {}});
    bridge.initialize("t", capabilities);
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}));
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    // The very first message that is no answer is the question itself.
    let first = bridge.recv();
    assert_eq!(first["method"], "sampling/createMessage");
    bridge.answer(&first, "Hi");
    assert_eq!(client.get().content(), "Hi");
    // What would have been sent of its own accord by now stands before this answer.
    let id = bridge.begin("ping", json!({}));
    assert_eq!(bridge.recv()["id"], id);
}
