//! The tools: what they say of themselves, and what starting, stopping and asking does.

mod common;

use common::http::Client;
use common::{Bridge, PATIENCE, aside, chat, echo};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

fn listed(bridge: &mut Bridge) -> BTreeMap<String, Value> {
    let tools = bridge.request("tools/list", json!({}))["result"]["tools"].clone();
    let tools = tools.as_array().unwrap().iter();
    tools.map(|tool| (tool["name"].as_str().unwrap().to_owned(), tool.clone())).collect()
}

/// A call's `structuredContent`, which is also its text; checked here for every call.
fn called(bridge: &mut Bridge, tool: &str, arguments: Value) -> Value {
    let result = bridge.call(tool, arguments);
    let content = result["content"].as_array().unwrap();
    assert_eq!((content.len(), &content[0]["type"]), (1, &json!("text")));
    let text: Value = serde_json::from_str(content[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["structuredContent"]);
    assert!(result["isError"].is_boolean());
    text
}

/// Calls a tool until what it says fits.
fn wait_for(bridge: &mut Bridge, tool: &str, fits: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = called(bridge, tool, json!({}));
        if fits(&said) {
            return;
        }
        assert!(Instant::now() < deadline, "{said}");
    }
}

#[test]
fn each_tool_takes_what_its_ancestor_took_and_nothing_else() {
    let mut bridge = Bridge::sampling(&[]);
    let tools = listed(&mut bridge);
    let text = json!({"type": "string"});
    let name = json!({"type": "string", "minLength": 1});
    let truth = json!({"type": "boolean"});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"},
        "propertyNames": {"pattern": "^[A-Za-z0-9_]+$"}});
    for (tool, arguments, required) in [
        (
            "http_server_start",
            json!({"host": name, "api_key": name,
                "port": {"type": "integer", "minimum": 0, "maximum": 65535},
                "timeout_ms": {"type": "integer", "minimum": 1000, "maximum": 1_800_000}}),
            Value::Null,
        ),
        ("http_server_stop", json!({}), Value::Null),
        ("http_server_status", json!({}), Value::Null),
        ("runtime_status", json!({}), Value::Null),
        (
            "channel_debug_events",
            json!({"limit": {"type": "integer", "minimum": 1, "maximum": 500},
                "request_id": name, "kind": {"type": "string", "enum": KINDS},
                "source_type": {"type": "string", "enum": ["http", "tool", "sampling"]},
                "stream": truth}),
            Value::Null,
        ),
        (
            "channel_reply_stream",
            json!({"request_id": name, "delta": text, "done": truth}),
            json!(["request_id"]),
        ),
        ("channel_publish", json!({"content": text, "meta": texts}), json!(["content"])),
        // An array without `items` makes VS Code refuse the tool (vscode#246119).
        (
            "hook",
            json!({"input": text, "messages": {"type": "array", "items": {}}, "model": text}),
            Value::Null,
        ),
    ] {
        let schema = &tools[tool]["inputSchema"];
        let mut properties = schema["properties"].clone();
        for (key, property) in properties.as_object_mut().unwrap() {
            let help = property.as_object_mut().unwrap().remove("description");
            assert!(help.unwrap().as_str().unwrap().len() > 5, "{tool}.{key}");
        }
        assert_eq!(properties, arguments, "{tool}");
        assert_eq!(schema["required"], required, "{tool}");
    }
    let reply = &tools["channel_reply"]["inputSchema"];
    let names: Vec<&String> = reply["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["content", "error", "request_id", "stop_reason"]);
    assert_eq!(reply["required"], json!(["request_id"]));
    assert_eq!(reply["properties"]["error"]["additionalProperties"], false);
    for (name, tool) in &tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{name}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
    }
}

#[test]
fn annotations_tell_hosts_which_tools_change_nothing() {
    let mut bridge = Bridge::sampling(&[]);
    for (name, tool) in listed(&mut bridge) {
        let reads = ["http_server_status", "runtime_status", "channel_debug_events"];
        let repeats = ["http_server_start", "http_server_stop"];
        let reads = reads.contains(&name.as_str());
        let title = tool["title"].as_str().unwrap();
        assert_eq!(
            tool["annotations"],
            json!({"title": title, "readOnlyHint": reads, "destructiveHint": false,
                "idempotentHint": reads || repeats.contains(&name.as_str()),
                "openWorldHint": false}),
            "{name}"
        );
        // The tools of an answer must be at hand when an event comes.
        let replies = name.starts_with("channel_reply");
        let mut expected = replies.then(|| json!({"anthropic/alwaysLoad": true}));
        if name == "next_request" {
            let whole =
                json!({"anthropic/alwaysLoad": true, "anthropic/maxResultSizeChars": 500_000});
            expected = Some(whole);
        }
        assert_eq!(tool.get("_meta"), expected.as_ref(), "{name}");
    }
}

#[test]
fn the_http_server_starts_stops_and_starts_again_with_other_settings() {
    let env = [("BRIDGE_HTTP_AUTO_START", "0"), ("BRIDGE_CHAT_TIMEOUT_MS", "2000")];
    let mut bridge = Bridge::sampling(&env);
    let status = called(&mut bridge, "http_server_status", json!({}));
    let stopped = json!({"running": false, "state": "stopped", "host": "127.0.0.1", "port": 0,
        "listen_url": null, "timeout_ms": 2000, "api_key_enabled": false});
    assert_eq!(status, stopped);
    assert_eq!(called(&mut bridge, "http_server_stop", json!({})), stopped);
    let arguments = json!({"port": 0, "host": "localhost", "api_key": "k1", "timeout_ms": 1000});
    let first = called(&mut bridge, "http_server_start", arguments);
    let port = first["port"].as_u64().unwrap();
    assert_ne!(port, 0);
    let url = first["listen_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://") && url.ends_with(&format!(":{port}")), "{url}");
    assert_eq!(
        first,
        json!({"running": true, "state": "listening", "host": "localhost", "port": port,
            "listen_url": url, "timeout_ms": 1000, "api_key_enabled": true})
    );
    // Running already: nothing changes, and the state is the answer.
    let other = json!({"port": 1, "host": "::1", "api_key": "k2", "timeout_ms": 5000});
    assert_eq!(called(&mut bridge, "http_server_start", other), first);
    let addr = bridge.addr();
    let ask = move |key: &str| {
        let mut client = Client::connect(addr);
        let key = format!("Authorization: Bearer {key}\r\nConnection: close\r\n");
        client.post("/v1/chat/completions", &key, &chat("Hello"));
        client.answer()
    };
    assert_eq!(ask("k2").status, 401);
    // The host stays silent, so the timeout of the call is what ends this.
    let answer = ask("k1");
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (504, &json!("host_timeout")));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("1s"));
    bridge.recv_method("sampling/createMessage");
    // Who waits when it stops gets 502, and the host is told.
    let client = aside(move || ask("k1"));
    let request = bridge.recv_method("sampling/createMessage");
    let id = request["id"].as_str().unwrap().to_owned();
    let state = called(&mut bridge, "http_server_stop", json!({}));
    assert_eq!((&state["running"], &state["listen_url"]), (&json!(false), &Value::Null));
    assert_eq!(client.get().status, 502);
    assert!(std::net::TcpStream::connect(addr).is_err());
    // A late answer of the host hurts nobody, and the same port can be had again at once.
    bridge.answer(&request, &id);
    let again = called(&mut bridge, "http_server_start", json!({"port": port}));
    assert_eq!((&again["state"], &again["port"]), (&json!("listening"), &json!(port)));
    bridge.serve(echo);
    assert_eq!(ask("k1").content(), "echo: Hello");
}

#[test]
fn a_port_that_is_taken_is_waited_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut bridge = Bridge::sampling(&[("MODELTAP_HTTP_AUTO_START", "0")]);
    let state = called(&mut bridge, "http_server_start", json!({"port": port}));
    assert_eq!(
        (&state["running"], &state["state"], &state["listen_url"]),
        (&json!(true), &json!("waiting for port"), &Value::Null)
    );
    assert!(state["reason"].is_string());
    drop(taken);
    wait_for(&mut bridge, "http_server_status", |status| status["state"] == "listening");
    assert_eq!(bridge.addr().port(), port);
}

#[test]
fn runtime_status_tells_how_the_bridge_is() {
    let mut bridge =
        Bridge::sampling(&[("BRIDGE_STREAM_EMIT_CHUNK_SIZE", "7"), ("MODELTAP_DEBUG_EVENTS", "9")]);
    let addr = bridge.addr();
    let mut client = Client::connect(addr);
    let mut body = chat("Hello");
    (body["stream"], body["n"]) = (true.into(), 2.into());
    client.post("/v1/chat/completions", "", &body);
    let requests = [(); 2].map(|()| bridge.recv_method("sampling/createMessage"));
    let mut status = called(&mut bridge, "runtime_status", json!({}));
    let uptime = status["mcp"]["uptime_seconds"].take();
    assert!(uptime.as_u64().is_some_and(|seconds| seconds < 3600));
    let now = status["now"].take();
    assert!(now.as_str().unwrap().ends_with('Z') && now.as_str().unwrap().starts_with("20"));
    let http = json!({"running": true, "state": "listening", "host": "127.0.0.1",
        "port": addr.port(), "listen_url": format!("http://{addr}"), "timeout_ms": 180_000,
        "api_key_enabled": false, "connections": 1, "api_key_fingerprint": null,
        "tokens_listed": 0});
    assert_eq!(
        status,
        json!({
            "service": "modeltap", "version": env!("CARGO_PKG_VERSION"), "now": null,
            "mcp": {"connected": true, "transport": "stdio", "pid": bridge.pid(),
                "uptime_seconds": null, "protocol_version": common::LATEST,
                "client": {"name": "test-host", "version": "1"}, "open_hooks": 0, "open_pulls": 0},
            "backend": {"ready": true, "in_use": "sampling"},
            "http": http,
            "openai_api": {
                "routes": modeltap::api::ROUTES,
                "models": ["modeltap"], "admitted": 1, "in_flight": 2, "on_offer": 0, "in_line": 0,
                "stream_emit_chunk_size": 7,
                "stream_emit_interval_ms": 28, "stream_emit_punct_pause_ms": 90},
            "channel": {"pending_requests": 2, "pending_stream_requests": 2, "total_events": 2,
                "max_events": 9},
        })
    );
    for request in requests {
        bridge.answer(&request, "Hi");
    }
    client.answer();
    wait_for(&mut bridge, "runtime_status", |status| {
        let api = &status["openai_api"];
        api["in_flight"] == 0 && api["models"] == json!(["modeltap", "test-model"])
    });
}

const KINDS: [&str; 9] = [
    "request",
    "publish",
    "reply",
    "stream_delta",
    "stream_done",
    "response",
    "response_chunk",
    "response_done",
    "response_error",
];
