//! The figures for Prometheus, as the running binary tells them.

mod common;

use common::audit::{self, Directory};
use common::http::{self, Answer, Client};
use common::prometheus::{self, Samples, sum};
use common::tokens::Tokens;
use common::{Bridge, PATIENCE, aside, chat, echo};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Instant;

const PATH: &str = "/v1/chat/completions";

/// One request with these header lines, on a connection of its own.
fn get(addr: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    ));
    client.answer()
}

fn scrape(addr: SocketAddr) -> Samples {
    let answer = get(addr, "/metrics", "");
    let kind = answer.header("content-type");
    assert_eq!((answer.status, kind), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    prometheus::read(&answer.text())
}

/// Scrapes until what is told fits: what is counted at an answer's end may be so behind its last byte.
fn scrape_until(addr: SocketAddr, fits: impl Fn(&Samples) -> bool) -> Samples {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let samples = scrape(addr);
        if fits(&samples) {
            return samples;
        }
        assert!(Instant::now() < deadline, "{samples:#?}");
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it words its own refusals")]
fn what_is_asked_and_answered_is_counted() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MODELS", "m,listed")]);
    let addr = bridge.addr();
    let before = scrape(addr);
    assert_eq!(sum(&before, "modeltap_requests_total", &[("route", PATH)]), 0.0);
    bridge.serve(echo);
    for stream in [false, true, true] {
        let mut body = chat("Hello");
        body["stream"] = stream.into();
        assert_eq!(http::post(addr, PATH, &body).status, 200);
    }
    assert_eq!(http::post(addr, PATH, &json!({"model": "m"})).status, 400);
    let mut broken = Client::connect(addr);
    broken.send("no HTTP at all\r\n\r\n");
    assert_eq!(broken.answer().status, 400);
    let of = [("route", PATH), ("model", "m"), ("backend", "sampling"), ("status", "200")];
    let told = scrape_until(addr, |told| sum(told, "modeltap_requests_total", &of) == 3.0);
    for (name, labels, count) in [
        ("modeltap_requests_total", &[("route", PATH), ("status", "400")][..], 1.0),
        ("modeltap_requests_total", &[("route", "other"), ("status", "400")], 1.0),
        ("modeltap_refusals_total", &[("reason", "invalid_http")], 1.0),
        ("modeltap_refusals_total", &[("reason", "invalid_request")], 1.0),
        ("modeltap_request_duration_seconds_count", &[("backend", "sampling")], 3.0),
        ("modeltap_time_to_first_byte_seconds_count", &[("backend", "sampling")], 2.0),
        ("modeltap_time_to_first_token_seconds_count", &[("backend", "sampling")], 2.0),
        ("modeltap_ready", &[], 1.0),
        ("modeltap_draining", &[], 0.0),
        ("modeltap_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert_eq!(sum(&told, name, labels), count, "{name}{labels:?}");
    }
    for direction in ["in", "out"] {
        let of = [("model", "m"), ("direction", direction)];
        assert!(sum(&told, "modeltap_tokens_total", &of) > 0.0);
    }
    for name in [
        "modeltap_request_body_bytes_total",
        "modeltap_response_body_bytes_total",
        "process_start_time_seconds",
    ] {
        assert!(sum(&told, name, &[]) > 100.0, "{name}");
    }
    if cfg!(target_os = "linux") {
        assert!(sum(&told, "process_resident_memory_bytes", &[]) > 1e6);
        assert!(sum(&told, "process_open_fds", &[]) > 3.0);
    }
    let again = scrape(addr);
    let scrapes = |told: &Samples| sum(told, "modeltap_requests_total", &[("route", "/metrics")]);
    assert!(scrapes(&again) > scrapes(&told), "a scrape is a request like any other");
}

#[test]
fn what_waits_is_told_as_it_is_now() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_SAMPLING_CONCURRENCY", "1")]);
    let addr = bridge.addr();
    let clients = [(); 3].map(|()| aside(move || http::chat(addr, "Hello")));
    let asked = bridge.recv_method("sampling/createMessage");
    let line = [("queue", "in_line")];
    let told = scrape_until(addr, |told| {
        // The connection of the scrape before may still be closing.
        let is_quiet = cfg!(feature = "tiny_http") || sum(told, "modeltap_connections", &[]) == 4.0;
        is_quiet && sum(told, "modeltap_requests_queued", &line) == 2.0
    });
    assert_eq!(sum(&told, "modeltap_requests_in_flight", &[]), 3.0);
    bridge.answer(&asked, "one");
    for _ in 0..2 {
        let asked = bridge.recv_method("sampling/createMessage");
        bridge.answer(&asked, "more");
    }
    for client in clients {
        assert_eq!(client.get().status, 200);
    }
    scrape_until(addr, |told| sum(told, "modeltap_requests_in_flight", &[]) == 0.0);
    bridge.begin("tools/call", json!({"name": "next_request", "arguments": {}}));
    let pulls = [("tool", "next_request")];
    scrape_until(addr, |told| sum(told, "modeltap_hosts_waiting", &pulls) == 1.0);
}

#[test]
fn names_that_clients_make_up_do_not_multiply() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    for number in 0..100 {
        let mut body = chat("Hello");
        body["model"] = format!("made-up-\"{number}\"\n").into();
        assert_eq!(http::post(addr, PATH, &body).status, 200);
    }
    let other = [("model", "other"), ("status", "200")];
    let told = scrape_until(addr, |told| {
        sum(told, "modeltap_requests_total", &[("route", PATH), ("status", "200")]) == 100.0
    });
    assert_eq!(sum(&told, "modeltap_requests_total", &other), 100.0 - 63.0);
}

#[test]
fn who_may_read_them_is_who_may_see_figures() {
    let tokens = Tokens::new();
    let watcher = tokens.add("watcher", &["--routes", "metrics"]);
    let user = tokens.add("user", &[]);
    let folder = Directory::new();
    let file = folder.file();
    let mut bridge = Bridge::sampling(&[
        ("MODELTAP_TOKENS", &tokens.path()),
        ("MODELTAP_API_KEY", "the-key"),
        ("MODELTAP_AUDIT", file.to_str().unwrap()),
    ]);
    let addr = bridge.addr();
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    for (headers, status) in [
        (String::new(), 401),
        (bearer("wrong"), 401),
        (bearer(&user), 403),
        (bearer(&watcher), 200),
        (bearer("the-key"), 200),
    ] {
        let answer = get(addr, "/metrics", &headers);
        assert_eq!(answer.status, status, "{headers}");
        let text = answer.text();
        for secret in [&watcher, &user, "the-key"] {
            assert!(!text.contains(secret), "{text}");
        }
        if status == 200 {
            let told = prometheus::read(&text);
            assert_eq!(sum(&told, "modeltap_audit_failing", &[]), 0.0);
        }
    }
    bridge.close_stdin();
    bridge.wait();
    // A scrape is no news, but that somebody was refused one is.
    let records = audit::records(&file);
    let statuses: Vec<_> = audit::of_kind(&records, "tx").iter().map(|tx| &tx["status"]).collect();
    assert_eq!(statuses, [401, 401, 403]);
}
