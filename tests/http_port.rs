//! The port: stopped and started again by the tools, shared with nobody, and waited for when taken.

mod common;

use common::http::{self, Client};
use common::{Bridge, chat, echo};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PATH: &str = "/v1/chat/completions";

fn tool(bridge: &mut Bridge, name: &str, arguments: Value) -> Value {
    bridge.call(name, arguments)["structuredContent"].clone()
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn it_stops_and_starts_again_on_the_same_port_at_once() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    for _ in 0..5 {
        let mut idle = Client::connect(addr);
        idle.get("/health");
        assert_eq!(idle.answer().status, 200);
        let status = tool(&mut bridge, "http_server_stop", json!({}));
        assert_eq!((&status["running"], &status["state"]), (&json!(false), &json!("stopped")));
        assert_eq!(status["listen_url"], Value::Null);
        assert!(idle.is_closed());
        assert!(TcpStream::connect(addr).is_err());

        let status = tool(&mut bridge, "http_server_start", json!({"port": addr.port()}));
        assert_eq!((&status["running"], &status["state"]), (&json!(true), &json!("listening")));
        assert_eq!(status["listen_url"], format!("http://{addr}"));
        assert_eq!(http::get(addr, "/health").status, 200);
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn stopping_tells_those_who_wait_and_the_host() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut whole = Client::connect(addr);
    whole.post(PATH, "", &chat("Hello"));
    let first = bridge.recv_method("sampling/createMessage");
    let mut streaming = Client::connect(addr);
    let mut body = chat("Hello");
    body["stream"] = true.into();
    streaming.post(PATH, "", &body);
    let second = bridge.recv_method("sampling/createMessage");
    assert_eq!(streaming.head().status, 200);

    tool(&mut bridge, "http_server_stop", json!({}));
    let answer = whole.answer();
    assert_eq!(answer.status, 502);
    let said = answer.json()["error"]["message"].to_string();
    assert!(said.contains("http_server_stop"), "{said}");
    let mut events = String::new();
    while let Some(chunk) = streaming.chunk() {
        events.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert!(events.contains("\"error\"") && events.contains("http_server_stop"), "{events}");
    assert!(whole.is_closed() && streaming.is_closed());
    for request in [first, second] {
        let told = bridge.recv_where(|message| {
            message["method"] == "notifications/cancelled"
                && message["params"]["requestId"] == request["id"]
        });
        assert!(told["params"]["reason"].is_string());
    }
    // The place of each is free, and the next start serves.
    assert_eq!(tool(&mut bridge, "runtime_status", json!({}))["openai_api"]["in_flight"], 0);
    let status = tool(&mut bridge, "http_server_start", json!({"port": addr.port()}));
    assert_eq!(status["state"], "listening");
    bridge.serve(echo);
    assert_eq!(http::chat(addr, "again").content(), "echo: again");
}

#[test]
fn starting_what_runs_and_stopping_what_does_not_changes_nothing() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let status = tool(&mut bridge, "http_server_start", json!({"host": "::1", "port": 1}));
    assert_eq!(status["listen_url"], format!("http://{addr}"));
    for _ in 0..2 {
        let status = tool(&mut bridge, "http_server_stop", json!({}));
        assert_eq!(status["state"], "stopped");
    }
}

/// A bridge for a port that the test holds.
fn waiting(host: &str) -> (Bridge, TcpListener, SocketAddr) {
    let holder = TcpListener::bind((host, 0)).unwrap();
    let addr = holder.local_addr().unwrap();
    let port = addr.port().to_string();
    let mut bridge = Bridge::sampling(&[("MODELTAP_HOST", host), ("MODELTAP_PORT", &port)]);
    let status = tool(&mut bridge, "http_server_status", json!({}));
    assert_eq!(
        (&status["running"], &status["state"]),
        (&json!(true), &json!("waiting for port")),
        "{status}"
    );
    assert_eq!((&status["port"], &status["listen_url"]), (&json!(addr.port()), &Value::Null));
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains(&addr.to_string()), "{reason}");
    (bridge, holder, addr)
}

#[test]
fn a_busy_port_is_waited_for_and_taken_over_when_it_falls_free() {
    let (mut bridge, holder, addr) = waiting("127.0.0.1");
    bridge.wait_stderr("waiting for the port");
    drop(holder);
    let freed = Instant::now();
    let status = bridge.call_until("http_server_status", |status| status["state"] == "listening");
    // A second is promised; the rest is for a machine that has other work.
    assert!(freed.elapsed() < Duration::from_secs(20));
    assert_eq!((&status["port"], status.get("reason")), (&json!(addr.port()), None));
    assert_eq!(http::get(addr, "/health").status, 200);
}

#[test]
fn a_server_that_waits_for_its_port_can_be_stopped_and_sent_elsewhere() {
    let (mut bridge, _holder, addr) = waiting("127.0.0.1");
    let status = tool(&mut bridge, "http_server_stop", json!({}));
    assert_eq!((&status["running"], &status["state"]), (&json!(false), &json!("stopped")));
    let status = tool(&mut bridge, "http_server_start", json!({}));
    assert_eq!(status["state"], "waiting for port");
    tool(&mut bridge, "http_server_stop", json!({}));
    tool(&mut bridge, "http_server_start", json!({"port": 0}));
    let elsewhere = bridge.addr();
    assert_ne!(elsewhere, addr);
    assert_eq!(http::get(elsewhere, "/health").status, 200);
}

#[test]
fn two_bridges_take_turns_at_one_port() {
    let mut first = Bridge::sampling(&[]);
    let addr = first.addr();
    let mut second = Bridge::sampling(&[("MODELTAP_PORT", &addr.port().to_string())]);
    let status = tool(&mut second, "http_server_status", json!({}));
    assert_eq!(status["state"], "waiting for port");
    first.serve(|message| vec![common::sampled(message, "first")]);
    assert_eq!(http::chat(addr, "Hello").content(), "first");
    first.close_stdin();
    assert!(first.wait().success());
    second.call_until("http_server_status", |status| status["state"] == "listening");
    second.serve(|message| vec![common::sampled(message, "second")]);
    assert_eq!(http::chat(addr, "Hello").content(), "second");
}

#[test]
fn an_unknown_host_is_told_and_does_not_end_the_process() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_HOST", "no-such-host.invalid")]);
    let status = tool(&mut bridge, "http_server_status", json!({}));
    assert_eq!(status["state"], "waiting for port");
    assert!(status["reason"].as_str().unwrap().contains("no-such-host.invalid"), "{status}");
}
