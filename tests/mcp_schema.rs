//! Every kind of MCP message fits the schema of the version in use: what leaves the bridge, and what
//! the test's host sends it.

mod common;

use common::http::{self, Client};
use common::modern::{self, Host, Leg, MODERN, sample};
use common::schema::Checker;
use common::{Bridge, aside, chat};
use serde_json::{Value, json};

/// A bridge that has agreed to the checker's version.
fn begin(checker: &Checker, env: &[(&str, &str)], capabilities: Value) -> Bridge {
    let mut bridge = Bridge::spawn(env);
    bridge.said.keep();
    let params = json!({"protocolVersion": checker.version, "capabilities": capabilities,
        "clientInfo": {"name": "claude-code", "version": "1"}});
    let answer = bridge.request("initialize", params);
    assert_eq!(answer["result"]["protocolVersion"], checker.version);
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    bridge
}

/// Answers to what any host asks, right and wrong.
fn answers(bridge: &mut Bridge) {
    bridge.request("ping", json!({}));
    bridge.request("tools/list", json!({}));
    for (method, params) in [
        ("server/discover", json!({})),
        ("no such", json!({})),
        ("resources/list", json!({})),
        ("tools/call", json!({"name": "none"})),
        ("tools/call", json!([])),
        ("initialize", json!({})),
    ] {
        assert!(bridge.request(method, params).get("error").is_some(), "{method}");
    }
    for (tool, arguments) in [
        ("http_server_status", json!({})),
        ("http_server_start", json!({})),
        ("http_server_start", json!({"port": "x"})),
        ("runtime_status", json!({})),
        ("channel_debug_events", json!({"limit": 500})),
        ("channel_reply", json!({"request_id": "x", "content": "x"})),
        ("channel_reply_stream", json!({"request_id": "x"})),
        ("next_request", json!({"wait_seconds": 0})),
    ] {
        bridge.call(tool, arguments);
    }
    bridge.send_raw(b"not JSON\n");
    let unparsed = bridge.recv_where(|message| message.get("id").is_none());
    assert_eq!(unparsed["error"]["code"], -32700);
}

/// The requests, cancellations and progress that a host with sampling gets.
fn sampling(checker: &mut Checker) {
    let mut bridge = begin(checker, &[("MODELTAP_WARMUP", "1")], json!({"sampling": {}}));
    let hook = json!({"name": "hook", "_meta": {"progressToken": "t"}});
    let hook = bridge.begin("tools/call", hook);
    let warming = bridge.recv_method("sampling/createMessage");
    bridge.answer(&warming, "ok");
    for _ in ["warming up", "serving requests"] {
        bridge.recv_method("notifications/progress");
    }
    let again =
        json!({"jsonrpc": "2.0", "id": hook, "method": "tools/call", "params": {"name": "hook"}});
    bridge.send(&again);
    bridge.recv_where(|message| message["id"] == hook);
    let addr = bridge.addr();
    let body = json!({
        "model": "gpt-x", "temperature": 0.5, "top_p": 0.5, "seed": 7, "user": "ann", "stop": ["E"],
        "metadata": {"k": "v"}, "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
    });
    let client = aside(move || http::post(addr, "/v1/chat/completions", &body));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "Hi");
    assert_eq!(client.get().status, 200);
    let client = aside(move || http::chat(addr, "Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    let error = json!({"code": -1, "message": "User rejected sampling request"});
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
    assert_eq!(client.get().status, 403);
    let mut client = Client::connect(addr);
    client.post("/v1/chat/completions", "", &chat("Hello"));
    bridge.recv_method("sampling/createMessage");
    drop(client);
    bridge.recv_method("notifications/cancelled");
    answers(&mut bridge);
    let params = json!({"requestId": hook, "reason": "enough"});
    let method = "notifications/cancelled";
    bridge.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    bridge.request("ping", json!({}));
    checker.all(&bridge.said);
}

/// The events that Claude Code gets, and the results of its replies.
fn channel(checker: &mut Checker) {
    let mut bridge = begin(checker, &[], json!({}));
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let event = bridge.recv_method("notifications/claude/channel");
    let id = &event["params"]["meta"]["request_id"];
    bridge.call("channel_reply", json!({"request_id": id, "content": "Hi"}));
    assert_eq!(client.get().content(), "Hi");
    bridge.call("channel_publish", json!({"content": "x", "meta": {"k": "v"}}));
    bridge.recv_method("notifications/claude/channel");
    bridge.call("hook", json!({}));
    bridge.call("http_server_stop", json!({}));
    answers(&mut bridge);
    checker.all(&bridge.said);
}

fn batch(checker: &mut Checker) {
    let mut bridge = begin(checker, &[], json!({}));
    bridge.send(&json!([
        {"jsonrpc": "2.0", "id": "a", "method": "ping"},
        {"jsonrpc": "2.0", "id": "b", "method": "no such"},
        {"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": {"name": "hook"}},
    ]));
    if checker.version == "2025-03-26" {
        assert_eq!(bridge.recv().as_array().map(Vec::len), Some(3));
    } else {
        for _ in ["a", "b", "c"] {
            assert_eq!(bridge.recv()["error"]["code"], -32600);
        }
    }
    checker.all(&bridge.said);
}

/// All that was seen of these definitions.
fn were_seen(checker: &Checker, definitions: &[&str]) {
    for definition in definitions {
        assert!(checker.seen.contains(*definition), "{definition}: {:?}", checker.seen);
    }
}

fn every_message_fits(version: &'static str) {
    let Some(mut checker) = Checker::new(version) else { return };
    // What does not fit is noticed at all.
    assert!(checker.fits("InitializeResult", &json!({"capabilities": {}})).is_err());
    assert!(checker.fits("ProgressNotification", &json!({"method": "ping"})).is_err());
    sampling(&mut checker);
    channel(&mut checker);
    batch(&mut checker);
    were_seen(
        &checker,
        &[
            "InitializeRequest",
            "InitializeResult",
            "PingRequest",
            "EmptyResult",
            "ListToolsRequest",
            "ListToolsResult",
            "CallToolRequest",
            "CallToolResult",
            "CreateMessageRequest",
            "CreateMessageResult",
            "ProgressNotification",
            "CancelledNotification",
            "ClientRequest",
            "ClientNotification",
            "ClientResult",
            "ServerRequest",
            "ServerNotification",
        ],
    );
}

#[test]
fn every_message_fits_2024_11_05() {
    every_message_fits("2024-11-05");
}

#[test]
fn every_message_fits_2025_03_26() {
    every_message_fits("2025-03-26");
}

#[test]
fn every_message_fits_2025_06_18() {
    every_message_fits("2025-06-18");
}

#[test]
fn every_message_fits_2025_11_25() {
    every_message_fits("2025-11-25");
}

/// A request of everything that sampling can carry.
fn rich() -> Value {
    json!({
        "model": "gpt-x", "temperature": 0.5, "top_p": 0.5, "stop": ["E"], "max_tokens": 9,
        "tools": [{"type": "function", "function": {"name": "look",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
    })
}

#[test]
fn every_message_fits_2026_07_28() {
    let Some(mut checker) = Checker::new(MODERN) else { return };
    assert!(checker.fits("DiscoverResult", &json!({"resultType": "complete"})).is_err());
    assert!(checker.fits("CallToolRequest", &json!({"method": "tools/call"})).is_err());
    let env = [("MODELTAP_HOST_WAIT", "30"), ("MODELTAP_ERA", "modern")];
    for capabilities in [json!({"sampling": {}}), json!({"sampling": {"tools": {}}})] {
        let mut host = Host::new(&env, capabilities);
        host.ask("server/discover", json!({}));
        host.ask("tools/list", json!({}));
        host.ask("subscriptions/listen", json!({"notifications": 1}));
        let listen =
            modern::with_meta(json!({"notifications": {"toolsListChanged": true}}), json!({}));
        host.begin("subscriptions/listen", listen.clone());
        host.recv_method("notifications/subscriptions/acknowledged");
        for method in ["initialize", "ping", "logging/setLevel", "no such"] {
            assert_eq!(host.ask(method, json!({}))["error"]["code"], -32601);
        }
        for (tool, arguments) in [
            ("http_server_status", json!({})),
            ("http_server_start", json!({"port": "x"})),
            ("channel_debug_events", json!({"limit": 500})),
            ("channel_reply", json!({"request_id": "x", "content": "x"})),
            ("channel_publish", json!({"content": "x"})),
            ("next_request", json!({"wait_seconds": 0})),
        ] {
            host.tool(tool, arguments);
        }
        host.ask("tools/call", json!({"name": "none"}));
        let call = json!({"name": "hook", "_meta": {"progressToken": 7}});
        assert_eq!(host.request("tools/call", call.clone())["error"]["code"], -32602);
        let bare = modern::with_meta(call.clone(), json!({}));
        assert_eq!(host.request("tools/call", bare)["error"]["code"], -32021);
        let mut other = modern::with_meta(call, json!({}));
        other["_meta"][modern::VERSION] = "1900-01-01".into();
        assert_eq!(host.request("tools/call", other)["error"]["code"], -32022);
        host.send_raw(b"not JSON\n");
        assert_eq!(host.recv_where(|m| m.get("id").is_none())["error"]["code"], -32700);

        let addr = host.addr();
        let client = aside(move || http::post(addr, "/v1/chat/completions", &rich()));
        host.until_on_offer(1);
        let leg = host.hook(json!({"_meta": {"progressToken": "t"}}));
        host.recv_method("notifications/progress");
        let (key, _) = leg.requests().remove(0);
        let next = host.begin_hook(leg.next(json!({key: sample("A cat.")})));
        assert_eq!(client.get().content(), "A cat.");
        host.cancel(next);
        let spent: Leg = host.hook(leg.next(json!({})));
        assert_eq!(spent.0["isError"], true);
        host.close_stdin();
        host.recv_where(|message| message["result"]["_meta"].get(modern::SUBSCRIPTION).is_some());
        checker.all(&host.said);
    }
    were_seen(
        &checker,
        &[
            "DiscoverRequest",
            "DiscoverResultResponse",
            "ListToolsRequest",
            "ListToolsResultResponse",
            "CallToolRequest",
            "CallToolResultResponse",
            "CallToolResult",
            "InputRequiredResult",
            "CreateMessageRequest",
            "JSONRPCErrorResponse",
            "MissingRequiredClientCapabilityError",
            "UnsupportedProtocolVersionError",
            "MethodNotFoundError",
            "InvalidParamsError",
            "ParseError",
            "SubscriptionsListenRequest",
            "SubscriptionsAcknowledgedNotification",
            "SubscriptionsListenResultResponse",
            "ProgressNotification",
            "ClientRequest",
            "ClientNotification",
            "ServerNotification",
        ],
    );
}
