//! A bridge that is told to end by SIGTERM lets its clients finish, and says that it goes.
#![cfg(unix)]

mod common;

use common::http::{self, Client};
use common::{Bridge, PATIENCE, chat};
use serde_json::json;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

const PATH: &str = "/v1/chat/completions";
/// Longer than any test takes.
const LONG: (&str, &str) = ("MODELTAP_DRAIN", "10m");

fn signal(bridge: &Bridge, name: &str) {
    let mut kill = std::process::Command::new("kill");
    let status = kill.args([name, &bridge.pid().to_string()]).status();
    assert!(status.expect("there is a kill command").success());
}

/// Whether `/ready` says that it goes.
fn is_going(addr: SocketAddr) -> bool {
    let ready = http::get(addr, "/ready");
    ready.status == 503 && ready.json()["error"]["code"] == "draining"
}

fn wait_going(addr: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while !is_going(addr) {
        assert!(Instant::now() < deadline, "it does not go");
    }
}

/// A client whose request the host has, a stream if it is to be one.
fn asking(bridge: &mut Bridge, addr: SocketAddr, stream: bool) -> (Client, serde_json::Value) {
    let mut client = Client::connect(addr);
    let mut body = chat("Hello");
    body["stream"] = stream.into();
    client.post(PATH, "", &body);
    (client, bridge.recv_method("sampling/createMessage"))
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it cannot close a connection")]
fn what_is_under_way_ends_and_what_comes_meanwhile_is_served() {
    let mut bridge = Bridge::sampling(&[LONG]);
    let addr = bridge.addr();
    let (mut whole, first) = asking(&mut bridge, addr, false);
    let (mut streamed, second) = asking(&mut bridge, addr, true);
    assert_eq!(streamed.head().status, 200);
    signal(&bridge, "-TERM");
    wait_going(addr);
    assert_eq!(http::get(addr, "/health").status, 200);
    assert!(http::get(addr, "/metrics").text().contains("\nmodeltap_draining 1\n"));
    // Whoever has not noticed yet is served, on old connections and new ones.
    let (mut late, third) = asking(&mut bridge, addr, false);
    for (asked, text) in [(&first, "one"), (&second, "two"), (&third, "three")] {
        bridge.answer(asked, text);
    }
    for (client, text) in [(&mut whole, "one"), (&mut late, "three")] {
        let answer = client.answer();
        assert_eq!((answer.content(), answer.header("connection")), (text.into(), Some("close")));
    }
    // This one was not told to close its connection, so that it may be used once more.
    while streamed.chunk().is_some() {}
    streamed.post(PATH, "", &chat("Hello"));
    let asked = bridge.recv_method("sampling/createMessage");
    bridge.answer(&asked, "four");
    let answer = streamed.answer();
    assert_eq!((answer.content(), answer.header("connection")), ("four".into(), Some("close")));
    // With the last of them it ends, long before its time.
    for client in [&mut whole, &mut late, &mut streamed] {
        assert!(client.is_closed());
    }
    assert_eq!(bridge.wait().code(), Some(0));
}

#[test]
fn nobody_waits_for_a_bridge_that_nobody_is_connected_to() {
    let mut bridge = Bridge::sampling(&[LONG]);
    let addr = bridge.addr();
    assert_eq!(http::get(addr, "/ready").status, 200);
    let told = bridge.call_until("runtime_status", |told| told["http"]["connections"] == 0);
    assert_eq!(told["http"]["state"], "listening");
    signal(&bridge, "-TERM");
    assert_eq!(bridge.wait().code(), Some(0));
    assert_eq!(bridge.stderr().matches("told to end").count(), 0);
}

#[test]
fn in_the_second_half_of_its_time_new_requests_are_refused_as_not_begun() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_DRAIN", "3s")]);
    let addr = bridge.addr();
    let (mut client, asked) = asking(&mut bridge, addr, false);
    signal(&bridge, "-TERM");
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        let answer = http::get(addr, "/health");
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "all is served on and on");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    bridge.answer(&asked, "in time");
    assert_eq!(client.answer().content(), "in time");
    assert_eq!(bridge.wait().code(), Some(0));
}

#[test]
fn what_does_not_end_in_time_is_told_so() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_DRAIN", "100ms")]);
    let addr = bridge.addr();
    let (mut client, _) = asking(&mut bridge, addr, false);
    signal(&bridge, "-TERM");
    let answer = client.answer();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &json!("host_error")));
    assert_eq!(bridge.wait().code(), Some(0));
}

#[test]
fn who_asks_again_or_by_another_signal_does_not_wait_nor_does_the_end_of_input() {
    type End = fn(&Bridge);
    let ends: [(bool, End); 4] = [
        (true, |bridge| signal(bridge, "-TERM")),
        (true, |bridge| signal(bridge, "-INT")),
        (true, Bridge::close_stdin),
        (false, |bridge| signal(bridge, "-INT")),
    ];
    for (drains, end) in ends {
        let mut bridge = Bridge::sampling(&[LONG]);
        let addr = bridge.addr();
        let (mut client, _) = asking(&mut bridge, addr, false);
        if drains {
            signal(&bridge, "-TERM");
            wait_going(addr);
            bridge.wait_stderr("told to end: what is under way has 10m");
        }
        end(&bridge);
        assert_eq!(client.answer().status, 502);
        assert_eq!(bridge.wait().code(), Some(0));
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it cannot show a connection")]
fn an_idle_connection_does_not_outlast_the_time() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_DRAIN", "200ms")]);
    let addr = bridge.addr();
    let idle = TcpStream::connect(addr).unwrap();
    bridge.call_until("runtime_status", |told| told["http"]["connections"] == 1);
    signal(&bridge, "-TERM");
    assert_eq!(bridge.wait().code(), Some(0));
    drop(idle);
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it cannot close a connection")]
fn an_open_page_does_not_hold_up_the_end() {
    let mut bridge = Bridge::sampling(&[LONG]);
    let mut page = Client::connect(bridge.addr());
    page.get("/v1/events");
    assert_eq!(page.head().status, 200);
    assert!(page.chunk().is_some());
    signal(&bridge, "-TERM");
    // Its stream comes to its end, and is not cut off.
    while page.chunk().is_some() {}
    drop(page);
    assert!(bridge.wait().success());
}
