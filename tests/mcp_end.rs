//! A host that goes away, tells the bridge to stop, or does not read what it is sent.

mod common;

use common::http::{self, Client};
use common::{Bridge, aside, chat};
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";

/// One client that waits for a whole answer and one whose stream has begun; `end` ends the bridge.
fn waiting_clients_are_told(mut bridge: Bridge, end: impl FnOnce(&Bridge)) {
    let addr = bridge.addr();
    let whole = aside(move || http::chat(addr, "Hello"));
    bridge.recv_method("sampling/createMessage");
    let mut streamed = Client::connect(addr);
    let mut body = chat("Hello");
    body["stream"] = true.into();
    streamed.post(PATH, "", &body);
    bridge.recv_method("sampling/createMessage");
    assert_eq!(streamed.head().status, 200);
    // One that has not sent its request to the end must not hold up the others.
    let mut half = Client::connect(addr);
    half.send("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
    end(&bridge);
    // Not 503, which would say that it may be asked elsewhere as if it were new.
    let answer = whole.get();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &json!("host_error")));
    let mut rest = Vec::new();
    while let Some(chunk) = streamed.chunk() {
        rest.extend(chunk);
    }
    let events = http::events_of(std::str::from_utf8(&rest).unwrap());
    let error: Value = serde_json::from_str(&events[1]).unwrap();
    assert_eq!(error["error"]["code"], "host_error", "{events:?}");
    assert_eq!(bridge.wait().code(), Some(0));
}

#[test]
fn the_end_of_input_ends_the_process_and_tells_who_waits() {
    waiting_clients_are_told(Bridge::sampling(&[]), Bridge::close_stdin);
}

#[cfg(unix)]
fn terminate(bridge: &Bridge) {
    let mut kill = std::process::Command::new("kill");
    let status = kill.args(["-TERM", &bridge.pid().to_string()]).status();
    assert!(status.expect("there is a kill command").success());
}

#[cfg(unix)]
#[test]
fn sigterm_ends_the_process_and_tells_who_waits() {
    waiting_clients_are_told(Bridge::sampling(&[("MODELTAP_DRAIN", "0")]), terminate);
}

#[test]
fn a_bridge_without_clients_or_handshake_ends_with_its_input() {
    let mut bridge = Bridge::spawn(&[]);
    bridge.close_stdin();
    assert_eq!(bridge.wait().code(), Some(0));
    assert_eq!(bridge.stderr(), "");
}

#[test]
fn a_host_that_writes_much_before_it_reads_gets_all_its_answers() {
    let mut bridge = Bridge::claude_code(&[]);
    let gate = bridge.reading();
    let held = gate.lock().unwrap();
    // The answers are more than a pipe holds; the questions less, so that they never block the test.
    let content = "x".repeat(20);
    let publish = json!({"name": "channel_publish", "arguments": {"content": content}});
    let ids: Vec<u64> = (0..450).map(|_| bridge.begin("tools/call", publish.clone())).collect();
    // Everything has been read, though nothing was written for a while.
    bridge.send_raw(b"not JSON\n");
    bridge.wait_stderr("a line from the host is not JSON");
    drop(held);
    for id in ids {
        assert_eq!(bridge.recv()["params"]["content"], content);
        assert_eq!(bridge.recv()["id"], id);
    }
}

#[test]
fn a_host_that_does_not_read_does_not_keep_the_process_alive() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let gate = bridge.reading();
    let _held = gate.lock().unwrap();
    let clients = [(); 3].map(|()| aside(move || http::chat(addr, &"x".repeat(1 << 20))));
    for _ in 0..20 {
        bridge.begin("tools/list", json!({}));
    }
    bridge.send_raw(b"not JSON\n");
    bridge.wait_stderr("a line from the host is not JSON");
    bridge.close_stdin();
    assert_eq!(bridge.wait().code(), Some(0));
    drop(clients);
}

#[test]
fn a_host_that_closed_its_end_is_told_of_as_gone() {
    let mut child = common::command();
    child.env("MODELTAP_PORT", "0").stderr(std::process::Stdio::null());
    child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let mut ask = |method: &str, params: Value| {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        std::io::Write::write_all(&mut stdin, format!("{request}\n").as_bytes()).unwrap();
        serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()
    };
    ask("initialize", json!({"protocolVersion": common::LATEST, "capabilities": {"sampling": {}}}));
    let status = ask("tools/call", json!({"name": "http_server_status"}));
    let url = status["result"]["structuredContent"]["listen_url"].as_str().unwrap();
    let addr = url.strip_prefix("http://").unwrap().parse().unwrap();
    drop(lines);
    for _ in 0..2 {
        let answer = http::chat(addr, "Hello");
        assert_eq!(answer.status, 503);
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("gone away"));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
