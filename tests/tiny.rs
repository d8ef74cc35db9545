//! The engine over the crate tiny_http: what the seam's users may count on with it too, and each of its
//! limits, which README.md lists. A test of a limit fails once a newer release of the crate mends it.
#![cfg(all(feature = "tiny_http", unix))]

mod common;

use common::http::{self, Client};
use common::{Bridge, PATIENCE, chat, command, echo, sampled};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const PATH: &str = "/v1/chat/completions";

/// What must not happen has this long to happen all the same.
const MOMENT: Duration = Duration::from_millis(700);

fn sampling(env: &[(&str, &str)]) -> (Bridge, SocketAddr) {
    let mut bridge = Bridge::sampling(env);
    let addr = bridge.addr();
    (bridge, addr)
}

fn signal(bridge: &Bridge, name: &str) {
    let done = Command::new("kill").args([name, &bridge.pid().to_string()]).status();
    assert!(done.expect("kill runs").success());
}

/// Whether the connection stays open and nothing comes on it for a moment.
fn is_silent(client: &Client) -> bool {
    client.stream.set_read_timeout(Some(MOMENT)).unwrap();
    let seen = client.stream.peek(&mut [0]);
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    matches!(seen, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn has_answer(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let has = client.stream.peek(&mut [0]).is_ok();
    client.stream.set_nonblocking(false).unwrap();
    has
}

fn is_served(client: &mut Client) -> bool {
    client.get("/health");
    client.answer().status == 200
}

// What holds.

#[test]
fn it_stops_and_starts_again_on_the_same_port_at_once() {
    let (mut bridge, addr) = sampling(&[]);
    for _ in 0..5 {
        let mut kept = Client::connect(addr);
        assert!(is_served(&mut kept));
        let status = bridge.call("http_server_stop", json!({}))["structuredContent"].clone();
        assert_eq!((&status["running"], &status["state"]), (&json!(false), &json!("stopped")));
        assert!(TcpStream::connect(addr).is_err());
        // It cannot be closed, but its client is told.
        kept.get("/health");
        assert_eq!(kept.answer().status, 503);

        let port = json!({"port": addr.port()});
        let status = bridge.call("http_server_start", port)["structuredContent"].clone();
        assert_eq!((&status["running"], &status["state"]), (&json!(true), &json!("listening")));
        assert_eq!(http::get(addr, "/health").status, 200);
    }
}

#[test]
fn stopping_tells_those_who_wait_and_the_host() {
    let (mut bridge, addr) = sampling(&[]);
    let mut whole = Client::connect(addr);
    whole.post(PATH, "", &chat("Hello"));
    bridge.recv_method("sampling/createMessage");
    let mut streaming = Client::connect(addr);
    let mut body = chat("Hello");
    body["stream"] = true.into();
    streaming.post(PATH, "", &body);
    bridge.recv_method("sampling/createMessage");
    bridge.call("http_server_stop", json!({}));
    assert_eq!(whole.answer().status, 502);
    assert!(streaming.answer().text().contains("http_server_stop"));
    for _ in 0..2 {
        bridge.recv_method("notifications/cancelled");
    }
    bridge.call_until("runtime_status", |status| status["http"]["connections"] == 0);
}

#[test]
fn requests_past_the_bound_on_connections_are_503_until_others_are_answered() {
    let (mut bridge, addr) = sampling(&[("MODELTAP_MAX_CONNECTIONS", "2")]);
    let mut waiting = [(); 2].map(|()| {
        let mut client = Client::connect(addr);
        client.post(PATH, "", &chat("Hello"));
        (client, bridge.recv_method("sampling/createMessage"))
    });
    for _ in 0..3 {
        let refused = http::get(addr, "/health");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        assert_eq!(refused.json()["error"]["code"], "overloaded");
    }
    for (client, request) in &mut waiting {
        bridge.answer(request, "Hi");
        assert_eq!(client.answer().content(), "Hi");
    }
    bridge.call_until("runtime_status", |status| status["http"]["connections"] == 0);
    assert_eq!(http::get(addr, "/health").status, 200);
}

#[test]
fn limits_of_size_are_kept_and_tell_which() {
    let env = [("MODELTAP_MAX_HEAD", "512"), ("MODELTAP_MAX_HEADERS", "5")];
    let (mut bridge, addr) = sampling(&[&env[..], &[("MODELTAP_MAX_BODY", "1024")]].concat());
    bridge.serve(echo);
    let bare = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n";
    let long =
        |length: usize| bare.replace("X: ", &format!("X: {}", "x".repeat(length - bare.len())));
    let many = |more: usize| bare.replace("X: \r\n", &"X: y\r\n".repeat(more));
    let body = |length: usize| {
        let text = "x".repeat(length - chat("").to_string().len());
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{}",
            chat(&text)
        )
    };
    // One connection: each refusal leaves the next request where it is found.
    let mut client = Client::connect(addr);
    for (request, status) in [
        (long(512), 200),
        (long(513), 431),
        (many(4), 200),
        (many(5), 431),
        (body(1024), 200),
        (body(1025), 413),
        (body(1024), 200),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".into(), 400),
        ("GET /a\nb HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), 400),
        (bare.into(), 200),
    ] {
        client.send(&request);
        assert_eq!(client.answer().status, status, "{request}");
    }
}

#[test]
fn who_asks_to_upgrade_is_served_as_who_does_not() {
    let (mut bridge, addr) = sampling(&[]);
    bridge.serve(echo);
    // Java's client does so with each first request.
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n";
    let mut client = Client::connect(addr);
    client.post(PATH, upgrade, &chat("Hello"));
    let answer = client.answer();
    assert_eq!(
        (answer.content(), answer.header("connection")),
        ("echo: Hello".into(), Some("close"))
    );
    assert!(client.is_closed());
    for (request, status) in [
        (format!("GET /nothing HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n"), 404),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{upgrade}\r\n"
            ),
            400,
        ),
    ] {
        let mut client = Client::connect(addr);
        client.send(request);
        assert_eq!(client.answer().status, status);
    }
}

#[test]
fn a_client_that_takes_nothing_gives_its_thread_back() {
    let env = [("MODELTAP_WRITE_TIMEOUT", "100ms"), ("MODELTAP_LOG", "off")];
    let (mut bridge, addr) = sampling(&env);
    // More than the buffers of both sides hold.
    let huge = "x".repeat(16 << 20);
    let mut client = Client::connect(addr);
    client.post(PATH, "", &chat("Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.send(&sampled(&request, &huge));
    bridge.call_until("runtime_status", |status| status["http"]["connections"] == 0);
}

#[test]
fn a_client_that_leaves_a_stream_is_noticed_when_writes_to_it_fail() {
    let (mut bridge, addr) = sampling(&[("MODELTAP_KEEP_ALIVE", "50ms")]);
    let mut client = Client::connect(addr);
    let mut body = chat("Hello");
    body["stream"] = true.into();
    client.post(PATH, "", &body);
    let request = bridge.recv_method("sampling/createMessage");
    drop(client);
    let told = bridge.recv_method("notifications/cancelled");
    assert_eq!(told["params"]["requestId"], request["id"]);
}

// What does not: the crate's limits, and what they come to.

#[test]
fn limit_one_false_content_length_ends_the_process() {
    let (mut bridge, addr) = sampling(&[]);
    let announce = |length: usize| {
        let mut client = Client::connect(addr);
        client.send(format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        ));
        client
    };
    // What no process can address is a panic, which is caught.
    assert_eq!(announce(usize::MAX).answer().status, 413);
    bridge.wait_stderr("dropped by a panic");
    assert_eq!(http::get(addr, "/health").status, 200);
    // This much it can, but no machine has it.
    let _client = announce(isize::MAX as usize / 2);
    let ended = bridge.wait();
    assert_eq!((ended.success(), ended.code()), (false, None), "{ended}");
    bridge.wait_stderr("memory allocation of");
}

#[test]
fn limit_connections_that_come_at_once_stay_unanswered_while_others_are_open() {
    // Whether it comes to this is a matter of luck, if not much.
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let (bridge, addr) = sampling(&[]);
        // So they all come in one moment.
        signal(&bridge, "-STOP");
        let mut clients = (0..64).map(|_| Client::connect(addr)).collect::<Vec<_>>();
        clients.iter_mut().for_each(|client| client.get("/health"));
        signal(&bridge, "-CONT");
        if !clients.iter().any(is_silent) {
            continue;
        }
        // Those who were answered leave, which is what the others have waited for.
        clients.retain(|client| !has_answer(client));
        for mut client in clients {
            assert_eq!(client.answer().status, 200);
        }
        return;
    }
    panic!("all of 64 connections were answered, again and again");
}

#[test]
fn limit_a_client_that_leaves_is_not_noticed_while_its_answer_is_waited_for() {
    let (mut bridge, addr) = sampling(&[]);
    let mut client = Client::connect(addr);
    client.post(PATH, "", &chat("Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    drop(client);
    // The other engine tells the host within a second or two.
    assert!(bridge.is_silent_for(Duration::from_secs(4)));
    bridge.answer(&request, "to nobody");
    bridge.wait_stderr("TX");
    assert!(!bridge.has_passed(|message| message["method"] == "notifications/cancelled"));
}

#[test]
fn limit_a_head_is_read_to_its_end_however_long_it_is() {
    let (bridge, addr) = sampling(&[]);
    let before = bridge.memory_kib();
    let long = "x".repeat(16 << 20);
    let mut client = Client::connect(addr);
    client.send(format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {long}"));
    assert!(is_silent(&client));
    client.send("\r\n\r\n");
    assert_eq!(client.answer().status, 431);
    if let (Some(before), Some(peak)) = (before, bridge.memory_peak_kib()) {
        assert!(peak > before + (16 << 10), "from {before} to {peak} KiB");
    }
}

#[test]
fn limit_requests_that_one_client_sends_ahead_take_a_thread_each() {
    const AHEAD: usize = 50;
    let (mut bridge, addr) = sampling(&[]);
    let mut client = Client::connect(addr);
    client.post(PATH, "", &chat("Hello"));
    (0..AHEAD).for_each(|_| client.get("/health"));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.call_until("runtime_status", |status| status["http"]["connections"] == AHEAD + 1);
    bridge.answer(&request, "Hi");
    assert_eq!(client.answer().content(), "Hi");
    for _ in 0..AHEAD {
        assert_eq!(client.answer().json(), json!({"status": "ok"}));
    }
}

#[test]
fn limit_no_time_is_too_long_for_a_request_or_between_two() {
    let times = ["HEAD", "BODY", "IDLE"].map(|time| format!("MODELTAP_{time}_TIMEOUT"));
    let env = times.each_ref().map(|name| (name.as_str(), "50ms"));
    let (mut bridge, addr) = sampling(&env);
    bridge.serve(echo);
    let mut client = Client::connect(addr);
    let body = chat(&"x".repeat(5000)).to_string();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (head, body) = request.split_at(30);
    let (some, rest) = body.split_at(4000);
    for part in ["", head, some] {
        client.send(part);
        assert!(is_silent(&client), "after {part:?}");
    }
    client.send(rest);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn limit_a_connection_stays_open_after_what_it_should_be_closed_for() {
    let (mut bridge, addr) = sampling(&[("MODELTAP_MAX_BODY", "1024")]);
    bridge.serve(echo);
    let chunked =
        format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: u\r\n\r\n".to_owned(), 400),
        (
            format!(
                "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (format!("{chunked}2\r\n{{}}\r\n0\r\n\r\n"), 400),
    ] {
        let mut client = Client::connect(addr);
        client.send(&request);
        assert_eq!(client.answer().status, status, "{request}");
        assert!(is_silent(&client) && is_served(&mut client), "{request}");
    }
}

#[test]
fn limit_chunks_past_the_limit_are_taken_for_requests() {
    let (_bridge, addr) = sampling(&[("MODELTAP_MAX_BODY", "1024")]);
    // So much is read: up to the limit and one byte more, and as much again.
    let chunk = "x".repeat(2 * 1024 + 1) + "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = Client::connect(addr);
    client.send(format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{chunk}",
        chunk.len()
    ));
    assert_eq!(client.answer().status, 413);
    assert_eq!(client.answer().json(), json!({"status": "ok"}));
}

#[test]
fn limit_what_the_crate_refuses_by_itself_is_refused_without_a_word() {
    let (_bridge, addr) = sampling(&[]);
    for (request, status) in [
        // A client of old times may send one between requests.
        ("\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /health HTTP/1.10\r\nHost: localhost\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: more\r\n\r\n", 417),
    ] {
        let mut client = Client::connect(addr);
        client.send(request);
        let answer = client.head();
        assert_eq!((answer.status, answer.header("x-request-id")), (status, None), "{request}");
        assert_eq!(answer.header("content-length"), Some("0"), "{request}");
    }
    // And what it cannot read as text not even that.
    let mut client = Client::connect(addr);
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX: é\r\n\r\n");
    assert!(client.is_closed());
}

#[test]
fn limit_trailers_are_refused() {
    let (_bridge, addr) = sampling(&[]);
    let body = chat("Hello").to_string();
    let mut client = Client::connect(addr);
    client.send(format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\nChecksum: 1\r\n\r\n",
        body.len()
    ));
    let answer = client.answer();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("invalid_http")));
}

#[test]
fn limit_a_stream_over_http_1_0_comes_whole_at_its_end() {
    let (mut bridge, addr) = sampling(&[("MODELTAP_KEEP_ALIVE", "50ms")]);
    let mut body = chat("Hello");
    body["stream"] = true.into();
    let (body, mut client) = (body.to_string(), Client::connect(addr));
    client.send(format!("POST {PATH} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let request = bridge.recv_method("sampling/createMessage");
    assert!(is_silent(&client));
    bridge.answer(&request, "Hi");
    let answer = client.answer();
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
    assert!(client.is_closed());
}

#[test]
fn limit_http_2_holds_a_connection_that_is_never_answered() {
    let (_bridge, addr) = sampling(&[]);
    let mut client = Client::connect(addr);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(is_silent(&client));
    client.get("/health");
    assert!(is_silent(&client));
    assert_eq!(http::get(addr, "/health").status, 200);
}

#[test]
fn limit_a_client_that_resets_ends_a_thread_in_a_panic() {
    let (bridge, addr) = sampling(&[]);
    // It is accepted only after it has gone, and what it has sent is read all the same.
    signal(&bridge, "-STOP");
    let mut client = Client::connect(addr);
    client.get("/health");
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    signal(&bridge, "-CONT");
    bridge.wait_stderr("panicked at");
    assert_eq!(http::get(addr, "/health").status, 200);
}

#[test]
fn limit_out_of_descriptors_it_accepts_nobody_any_more() {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 40 && exec \"$0\""]).arg(command().get_program()).env_clear();
    let mut bridge = Bridge::spawn_as(shell, &[]);
    bridge.initialize("test-host", json!({"sampling": {}}));
    let addr = bridge.addr();
    let clients: Vec<Client> = (0..40).map(|_| Client::connect(addr)).collect();
    // Half of the times by a panic, after which nobody can be told.
    let deadline = Instant::now() + PATIENCE;
    let is_lost =
        |told: &str| told.contains("panicked at") || told.contains("has stopped accepting");
    while !is_lost(&bridge.stderr()) {
        assert!(Instant::now() < deadline, "40 connections do with 40 descriptors");
        std::thread::yield_now();
    }
    drop(clients);
    let mut late = match TcpStream::connect(addr) {
        Ok(late) => late,
        Err(e) => return assert_eq!(e.kind(), ErrorKind::ConnectionRefused),
    };
    late.set_read_timeout(Some(MOMENT)).unwrap();
    let _ = late.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(!matches!(late.read(&mut [0]), Ok(1..)), "it is answered");
    // It can be helped.
    bridge.call("http_server_stop", json!({}));
    bridge.call("http_server_start", json!({"port": addr.port()}));
    assert_eq!(http::get(addr, "/health").status, 200);
}
