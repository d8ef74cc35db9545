//! Forwarding as what is left: what a host took and never answered, refused or cannot be told goes
//! to the endpoint, and whoever had it before cannot answer it any more.

mod common;

use common::endpoint::{CHAT, Endpoint, ask, next_text, streaming};
use common::http::Answer;
use common::{Bridge, chat};
use serde_json::{Value, json};
use std::time::Duration;

const EVENT: &str = "notifications/claude/channel";

/// Settings with a short lease.
fn env(url: &str) -> [(&str, &str); 3] {
    [("MODELTAP_FORWARD", url), ("MODELTAP_LEASE", "200ms"), ("MODELTAP_ANNOUNCE_AGAIN", "1")]
}

fn request_id(event: &Value) -> &Value {
    &event["params"]["meta"]["request_id"]
}

/// What a tool says of a reply that it refuses.
fn refusal(told: &Value) -> String {
    assert_eq!(told["isError"], true, "{told}");
    told["structuredContent"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_silent_session_was_told_often_enough_goes_to_the_endpoint() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge = Bridge::claude_code(&env(&url));
    let client = ask(bridge.addr(), CHAT, chat("Hello"));
    let first = bridge.recv_method(EVENT);
    let second = bridge.recv_method(EVENT);
    assert_eq!(request_id(&first), request_id(&second));
    let asked = endpoint.asked();
    assert_eq!(asked.text(), "Hello");

    let late = json!({"request_id": request_id(&first), "content": "too late"});
    let told = refusal(&bridge.call("channel_reply", late.clone()));
    let id = request_id(&first).as_str().unwrap();
    assert!(told.contains(id) && told.contains("given to somebody else"), "{told}");
    asked.whole("from afar");
    let answer = client.get();
    assert_eq!(answer.header("x-mcp-backend"), Some("forward"));
    assert_eq!(answer.content(), "from afar");
    let told = refusal(&bridge.call("channel_reply", late));
    assert!(told.contains("already answered"), "{told}");
    assert!(bridge.is_silent_for(Duration::ZERO), "no further event");
    assert!(endpoint.is_idle());
}

#[test]
fn a_stream_that_a_silent_session_never_began_is_streamed_from_the_endpoint() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge = Bridge::claude_code(&env(&url));
    let mut client = streaming(bridge.addr(), "Count");
    let event = bridge.recv_method(EVENT);
    assert_eq!(client.head().status, 200);
    let mut asked = endpoint.asked();
    asked.begin();
    asked.piece("one, ");
    assert_eq!(next_text(&mut client), "one, ");
    let late = json!({"request_id": request_id(&event), "delta": "zero", "done": true});
    let told = refusal(&bridge.call("channel_reply_stream", late));
    assert!(told.contains("given to somebody else"), "{told}");
    asked.piece("two");
    assert_eq!(next_text(&mut client), "two");
    asked.done();
    let mut rest = String::new();
    while let Some(chunk) = client.chunk() {
        rest.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert!(rest.contains("\"finish_reason\":\"stop\"") && !rest.contains("zero"), "{rest}");
}

#[test]
fn a_stream_that_a_session_has_begun_stays_there() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge = Bridge::claude_code(&env(&url));
    let mut client = streaming(bridge.addr(), "Count");
    let event = bridge.recv_method(EVENT);
    let piece = json!({"request_id": request_id(&event), "delta": "one, "});
    bridge.call("channel_reply_stream", piece);
    client.head();
    assert_eq!(next_text(&mut client), "one, ");
    // Many leases long.
    bridge.is_silent_for(Duration::from_secs(2));
    let piece = json!({"request_id": request_id(&event), "delta": "two", "done": true});
    assert_eq!(bridge.call("channel_reply_stream", piece)["isError"], false);
    assert_eq!(next_text(&mut client), "two");
    assert!(endpoint.is_idle());
}

#[test]
fn what_a_pull_host_took_and_never_answered_goes_to_the_endpoint() {
    for (times, stream) in [(1, false), (2, false), (2, true)] {
        let endpoint = Endpoint::start();
        let url = endpoint.url();
        let mut bridge = Bridge::spawn(&env(&url));
        bridge.initialize("desktop", json!({}));
        let addr = bridge.addr();
        let arguments = json!({"wait_seconds": 60});
        let call = json!({"name": "next_request", "arguments": arguments});
        let waits = bridge.begin("tools/call", call);
        bridge.call_until("runtime_status", |status| status["backend"]["in_use"] == "pull");
        let mut body = chat("Hello");
        body["stream"] = stream.into();
        let client = ask(addr, CHAT, body);
        let first = bridge.recv_where(|m| m["id"] == waits);
        let id = first["result"]["structuredContent"]["request_id"].clone();
        if times == 2 {
            let again = bridge.call("next_request", arguments.clone());
            let again = &again["structuredContent"]["request_id"];
            assert_eq!(*again, format!("{}-2", id.as_str().unwrap()));
        }
        let mut asked = endpoint.asked();
        let reply = json!({"request_id": id, "content": "too late"});
        let told = bridge.call("next_request", json!({"wait_seconds": 0, "reply": reply}));
        let told = &told["structuredContent"]["replied"][0];
        assert_eq!(told["ok"], false, "{told}");
        let said = told["message"].as_str().unwrap();
        assert!(said.contains("given to somebody else"), "{said}");
        if stream {
            asked.begin();
            asked.piece("from afar");
            asked.done();
            assert!(client.get().text().contains("from afar"));
        } else {
            asked.whole("from afar");
            let answer = client.get();
            assert_eq!(answer.header("x-mcp-backend"), Some("forward"));
            assert_eq!(answer.content(), "from afar");
        }
        assert!(endpoint.is_idle());
    }
}

#[test]
fn with_forwarding_alone_no_host_is_asked() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let forced = ("MODELTAP_BACKEND", "forward");
    let env: Vec<_> = env(&url).into_iter().chain([forced]).collect();
    for (name, capabilities) in [("claude-code", json!({})), ("editor", json!({"sampling": {}}))] {
        let mut bridge = Bridge::spawn(&env);
        bridge.initialize(name, capabilities);
        let refused = bridge.call("next_request", json!({"wait_seconds": 60}));
        assert_eq!(refused["isError"], true);
        let addr = bridge.addr();
        let client = ask(addr, CHAT, chat("Hello"));
        endpoint.asked().whole("from afar");
        assert_eq!(client.get().header("x-mcp-backend"), Some("forward"));
        assert!(bridge.is_silent_for(Duration::ZERO), "the host was asked");
    }
}

#[test]
fn what_a_host_refuses_outside_its_own_calls_goes_to_the_endpoint() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge = Bridge::sampling(&[("MODELTAP_FORWARD", &url)]);
    let addr = bridge.addr();
    let client = ask(addr, CHAT, chat("Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    let error = json!({"code": -32602, "message": "not inside a request"});
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
    endpoint.asked().whole("from afar");
    let answer = client.get();
    assert_eq!(answer.header("x-mcp-backend"), Some("forward"));
    assert_eq!(answer.content(), "from afar");
    // It is known now.
    let client = ask(addr, CHAT, chat("And now?"));
    endpoint.asked().whole("from afar");
    assert_eq!(client.get().header("x-mcp-backend"), Some("forward"));
    assert!(bridge.is_silent_for(Duration::ZERO), "the host was asked again");
    bridge.begin("tools/call", json!({"name": "hook", "arguments": {}}));
    bridge.call_until("runtime_status", |status| status["mcp"]["open_hooks"] == 1);
    let client = ask(addr, CHAT, chat("With a hook?"));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "sampled");
    assert_eq!(client.get().header("x-mcp-backend"), Some("sampling"));
}

#[test]
fn what_a_host_that_does_not_read_cannot_be_told_goes_to_the_endpoint() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge = Bridge::sampling(&[("MODELTAP_FORWARD", &url), ("MODELTAP_TIMEOUT", "1s")]);
    let addr = bridge.addr();
    let reading = bridge.reading();
    let stopped = reading.lock().unwrap();
    let long = chat(&"x".repeat(1 << 20));
    let clients: Vec<_> = (0..5).map(|_| ask(addr, CHAT, long.clone())).collect();
    // One has reached the host, one writes for as long as that does not read, and the others come
    // to no turn.
    for _ in 2..clients.len() {
        endpoint.asked().whole("from afar");
    }
    drop(stopped);
    let answers: Vec<_> = clients.into_iter().map(|client| client.get()).collect();
    let from_afar = |answer: &&Answer| answer.header("x-mcp-backend") == Some("forward");
    assert_eq!(answers.iter().filter(from_afar).count(), answers.len() - 2, "{answers:?}");
}

#[test]
fn who_waits_for_the_endpoint_is_told_when_the_bridge_stops() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge =
        Bridge::sampling(&[("MODELTAP_FORWARD", &url), ("MODELTAP_BACKEND", "forward")]);
    let addr = bridge.addr();
    let client = ask(addr, CHAT, chat("Hello"));
    let asked = endpoint.asked();
    bridge.close_stdin();
    let answer = client.get();
    // The endpoint was at work on it, so it is not to be repeated unasked.
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("the MCP host has gone"), "{}", answer.text());
    asked.wait_closed();
    assert!(bridge.wait().success());
    assert!(endpoint.is_idle(), "it was asked again");
    assert!(std::net::TcpStream::connect(addr).is_err());
}
