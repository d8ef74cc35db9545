//! What happens while a client waits: it may leave, the host may be silent or late, and each side
//! is told what it must know.

mod common;

use common::http::{self, Client};
use common::{Bridge, PATIENCE, chat, echo};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PATH: &str = "/v1/chat/completions";

fn streamed(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = true.into();
    body
}

/// Begins a request whose host has been asked; the connection and what the host was asked.
fn begin(bridge: &mut Bridge, addr: SocketAddr, body: &Value) -> (Client, Value) {
    let mut client = Client::connect(addr);
    client.post(PATH, "", body);
    let request = bridge.recv_method("sampling/createMessage");
    (client, request)
}

fn waiting(bridge: &mut Bridge) -> u64 {
    let status = bridge.call("runtime_status", json!({}));
    status["structuredContent"]["openai_api"]["in_flight"].as_u64().unwrap()
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_client_that_leaves_frees_its_place_and_the_host_is_told() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_IN_FLIGHT", "1")]);
    let addr = bridge.addr();
    for body in [chat("whole"), streamed("stream")] {
        let (client, request) = begin(&mut bridge, addr, &body);
        assert_eq!(waiting(&mut bridge), 1);
        let left = Instant::now();
        drop(client);
        let cancelled = bridge.recv_method("notifications/cancelled");
        // A tick is a second; the rest is for a machine that has other work.
        assert!(left.elapsed().as_secs() < 20, "{:?}", left.elapsed());
        assert_eq!(cancelled["params"]["requestId"], request["id"]);
        assert_eq!(waiting(&mut bridge), 0);
        // A late answer reaches nobody.
        bridge.answer(&request, "too late");
    }
    bridge.serve(echo);
    assert_eq!(http::chat(addr, "next").content(), "echo: next");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_client_that_leaves_is_noticed_behind_what_it_sent_ahead() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let (mut client, request) = begin(&mut bridge, addr, &chat("first"));
    client.post(PATH, "", &chat("ahead"));
    drop(client);
    let cancelled = bridge.recv_method("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn all_choices_of_a_client_that_left_are_cancelled() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut body = chat("Hello");
    body["n"] = 3.into();
    let (client, first) = begin(&mut bridge, addr, &body);
    let second = bridge.recv_method("sampling/createMessage");
    let third = bridge.recv_method("sampling/createMessage");
    bridge.answer(&second, "done");
    waiting(&mut bridge);
    drop(client);
    let mut told: Vec<Value> = (0..2)
        .map(|_| bridge.recv_method("notifications/cancelled")["params"]["requestId"].clone())
        .collect();
    told.sort_by_key(Value::to_string);
    let mut expected = vec![first["id"].clone(), third["id"].clone()];
    expected.sort_by_key(Value::to_string);
    assert_eq!(told, expected);
}

#[test]
fn a_silent_host_is_a_504_and_its_work_is_cancelled() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_TIMEOUT", "300ms")]);
    let addr = bridge.addr();
    let (mut client, request) = begin(&mut bridge, addr, &chat("Hello"));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.json()["error"]["type"].as_str()),
        (504, Some("timeout_error"))
    );
    assert_eq!(answer.header("x-mcp-backend"), Some("sampling"));
    let cancelled = bridge.recv_method("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    // The connection serves on.
    client.get("/health");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_stream_that_times_out_ends_with_an_error_event() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_TIMEOUT", "300ms")]);
    let addr = bridge.addr();
    let deadline = Instant::now() + PATIENCE;
    let (answer, request) = loop {
        let (mut client, request) = begin(&mut bridge, addr, &streamed("Hello"));
        let answer = client.answer();
        if answer.status == 200 {
            break (answer, request);
        }
        // The time was over before the bridge came to begin the stream; it must be this seldom.
        assert_eq!(answer.status, 504);
        assert!(Instant::now() < deadline, "no stream begins in time");
        bridge.recv_method("notifications/cancelled");
    };
    let events = answer.events();
    assert!(events[0].contains("\"role\":\"assistant\""));
    let error: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(error["error"]["type"], "timeout_error");
    let cancelled = bridge.recv_method("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
}

#[test]
fn a_streams_clock_starts_anew_at_each_piece() {
    let mut bridge = Bridge::claude_code(&[("MODELTAP_TIMEOUT", "1500ms")]);
    let addr = bridge.addr();
    let deadline = Instant::now() + PATIENCE;
    while !goes_on_past_one_wait(&mut bridge, addr) {
        assert!(Instant::now() < deadline, "no pieces leave here within one wait");
    }
}

/// Sends pieces past the time that one wait may take, each well within it; `false` where the
/// machine did not come to that, which says nothing of the bridge.
fn goes_on_past_one_wait(bridge: &mut Bridge, addr: SocketAddr) -> bool {
    let mut client = Client::connect(addr);
    let started = Instant::now();
    client.post(PATH, "", &streamed("Hello"));
    let event = bridge.recv_method("notifications/claude/channel");
    let id = event["params"]["meta"]["request_id"].clone();
    let (mut pieces, mut last) = (0, started);
    loop {
        assert!(bridge.is_silent_for(Duration::from_millis(300)));
        let sending = Instant::now();
        let is_done = started.elapsed() > Duration::from_secs(2);
        let piece = json!({"request_id": id, "delta": "x", "done": is_done});
        let result = bridge.call("channel_reply_stream", piece);
        if result["isError"] != false {
            assert!(last.elapsed() >= Duration::from_millis(1500), "too early: {result}");
            return false;
        }
        (pieces, last) = (pieces + 1, sending);
        if is_done {
            break;
        }
    }
    let text = client.answer().text();
    if text.matches("\"content\":\"x\"").count() == pieces {
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        return true;
    }
    // The last piece and the end of the time may have crossed.
    assert!(text.contains("timeout_error") && last.elapsed() >= Duration::from_millis(1500));
    false
}

#[test]
fn a_streams_head_and_role_do_not_wait_for_a_slow_host() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_KEEP_ALIVE", "50ms")]);
    let addr = bridge.addr();
    let (mut client, request) = begin(&mut bridge, addr, &streamed("Hello"));
    assert_eq!(client.head().status, 200);
    let role = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(role.contains("\"role\":\"assistant\""), "{role}");
    for _ in 0..2 {
        assert_eq!(client.chunk().unwrap(), b": keep-alive\n\n");
    }
    bridge.answer(&request, "at last");
    let mut rest = String::new();
    while let Some(chunk) = client.chunk() {
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(rest.contains("at last") && rest.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_failure_before_the_head_is_a_status_and_not_a_stream() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(|request| {
        if request["method"] != "sampling/createMessage" {
            return Vec::new();
        }
        vec![json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": "no"}})]
    });
    // The host answers at once; where it still takes more than 20 ms, the stream has begun.
    let answer = http::post(addr, PATH, &streamed("Hello"));
    match answer.status {
        403 => assert_eq!(answer.json()["error"]["code"], "host_denied"),
        _ => assert!(answer.events().last().unwrap().contains("host_denied")),
    }
}

#[test]
fn every_client_is_told_when_the_host_goes() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let (mut whole, _) = begin(&mut bridge, addr, &chat("Hello"));
    let (mut stream, _) = begin(&mut bridge, addr, &streamed("Hello"));
    stream.head();
    let gone = Instant::now();
    bridge.close_stdin();
    assert_eq!(whole.answer().status, 502);
    let mut last = String::new();
    stream.chunk().expect("the role");
    while let Some(chunk) = stream.chunk() {
        last = String::from_utf8(chunk).unwrap();
    }
    assert!(last.contains("\"error\""), "{last}");
    assert!(bridge.wait().success());
    assert!(gone.elapsed() < PATIENCE);
    // Some hosts choke on what comes after they have closed their end.
    assert!(bridge.is_silent_for(PATIENCE));
}
