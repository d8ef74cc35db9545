//! Forwarding: what becomes of an endpoint's faults, and of the calls that nobody waits for.

mod common;

use common::endpoint::{CHAT, ask, forwarding, next_text, streaming};
use common::http::{self, Client};
use common::{Bridge, chat};
use serde_json::json;
use std::net::TcpListener;

#[test]
fn the_endpoints_refusals_are_translated() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let long = json!({"message": "Too much.", "code": "context_length_exceeded"});
    let odd = json!({"message": "Odd.", "type": "t", "code": null});
    let key = json!({"message": "Incorrect API key provided: sk-1***9"});
    for (status, headers, error, expected, code, words) in [
        ("400 Bad", "", &odd, 400, "invalid_request", "Odd. (400)"),
        ("400 Bad", "", &long, 400, "context_length_exceeded", "Too much."),
        ("401 Who", "", &key, 502, "host_error", "asks for a key"),
        ("404 No", "", &odd, 400, "invalid_request", "Odd. (404)"),
        ("429 Slow", "Retry-After: 17\r\n", &odd, 503, "overloaded", "Odd. (429)"),
        ("500 Oh", "", &odd, 502, "host_error", "Odd. (500)"),
        ("503 Oh", "", &odd, 502, "host_error", "Odd. (503)"),
        ("301 There", "Location: http://127.0.0.1:1/v2\r\n", &odd, 502, "host_error", "/v2"),
    ] {
        let client = ask(addr, CHAT, chat("Hello"));
        let body = json!({"error": error}).to_string();
        endpoint.asked().answer(status, headers, &body);
        let answer = client.get();
        let told = answer.json()["error"].clone();
        assert_eq!((answer.status, &told["code"]), (expected, &json!(code)), "{told}");
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains("sk-1"), "{message}");
        assert!(expected != 503 || answer.header("retry-after") == Some("17"), "{answer:?}");
        assert!(endpoint.is_idle(), "no redirect is followed, and nothing is asked twice");
    }
}

#[test]
fn an_error_in_a_stream_becomes_one() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let mut client = streaming(addr, "Count");
    let mut asked = endpoint.asked();
    asked.begin();
    asked.piece("one");
    client.head();
    assert_eq!(next_text(&mut client), "one");
    asked.send("data: {\"error\":{\"message\":\"out of memory\"}}\n\n");
    let last = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(last.contains("\"error\"") && last.contains("out of memory"), "{last}");
}

#[test]
fn what_is_no_answer_is_a_502_that_says_so() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let page = "<!doctype html><p>Welcome</p>";
    let huge = format!("data: {}", "x".repeat(9 << 20));
    for (body, words) in [
        ("", "empty"),
        (page, "/v1"),
        ("{}", "/v1"),
        ("data: {nonsense\n\n", "no chat completion"),
        ("data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", "broke off"),
        (&huge, "8 MiB"),
    ] {
        let client = ask(addr, CHAT, chat("Hello"));
        endpoint.asked().answer("200 OK", "", body);
        let answer = client.get();
        let message = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, 502, "{message}");
        assert!(message.contains(words), "{message}");
    }
    let client = ask(addr, CHAT, chat("Hello"));
    endpoint.asked().send("SSH-2.0-OpenSSH\r\n\r\n");
    assert_eq!(client.get().status, 502);
    let client = ask(addr, CHAT, chat("Hello"));
    let many = "X-A: b\r\n".repeat(10_000);
    endpoint.asked().answer("200 OK", &many, "");
    assert_eq!(client.get().status, 502);
}

#[test]
fn an_endpoint_that_breaks_off_or_is_not_there_is_told() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    // In the middle of a whole answer.
    let client = ask(addr, CHAT, chat("Hello"));
    let mut asked = endpoint.asked();
    asked.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\":[");
    drop(asked);
    assert_eq!(client.get().status, 502);
    // Before any answer.
    let client = ask(addr, CHAT, chat("Hello"));
    drop(endpoint.asked());
    assert_eq!(client.get().status, 502);
    // In the middle of a stream.
    let mut client = streaming(addr, "Hello");
    let mut asked = endpoint.asked();
    asked.begin();
    asked.piece("one");
    client.head();
    assert_eq!(next_text(&mut client), "one");
    drop(asked);
    let last = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(last.contains("broke off"), "{last}");

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/v1");
    let mut bridge = Bridge::spawn(&[("MODELTAP_FORWARD", &url)]);
    let answer = http::chat(bridge.addr(), "Hello");
    let message = answer.json()["error"]["message"].to_string();
    assert_eq!(answer.status, 502);
    assert!(message.contains("is it running?") && message.contains(&free.to_string()), "{message}");
}

#[test]
fn silence_ends_in_a_504_and_a_closed_connection() {
    let (_bridge, addr, endpoint) = forwarding(&[("MODELTAP_FORWARD_TIMEOUT", "200ms")]);
    let client = ask(addr, CHAT, chat("Hello"));
    let asked = endpoint.asked();
    let answer = client.get();
    let message = answer.json()["error"]["message"].to_string();
    assert_eq!(answer.status, 504, "{message}");
    assert!(message.contains("MODELTAP_FORWARD_TIMEOUT") && message.contains("200ms"), "{message}");
    asked.wait_closed();

    // An answer that is whole does not wait for an end that never comes.
    let client = ask(addr, CHAT, chat("Hello"));
    let mut asked = endpoint.asked();
    asked.begin();
    asked.delta(&json!({"content": "Hi"}), Some("stop"));
    assert_eq!(client.get().content(), "Hi");
    asked.wait_closed();

    // The bridge's own limit holds too.
    let (_bridge, addr, endpoint) = forwarding(&[("MODELTAP_TIMEOUT", "200ms")]);
    let client = ask(addr, CHAT, chat("Hello"));
    let asked = endpoint.asked();
    assert_eq!(client.get().status, 504);
    asked.wait_closed();
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_client_that_leaves_ends_the_call_at_once() {
    let (mut bridge, addr, endpoint) = forwarding(&[]);
    // While nothing has come yet.
    let mut client = Client::connect(addr);
    client.post(CHAT, "", &chat("Hello"));
    let asked = endpoint.asked();
    drop(client);
    asked.wait_closed();
    // In the middle of a stream.
    let mut client = streaming(addr, "Hello");
    let mut asked = endpoint.asked();
    asked.begin();
    asked.piece("one");
    client.head();
    assert_eq!(next_text(&mut client), "one");
    drop(client);
    asked.wait_closed();
    // When HTTP is stopped.
    let client = ask(addr, CHAT, chat("Hello"));
    let asked = endpoint.asked();
    bridge.call("http_server_stop", json!({}));
    assert_eq!(client.get().status, 502);
    asked.wait_closed();
}

#[cfg(feature = "tls")]
#[test]
fn an_endpoint_that_speaks_no_tls_is_told_from_one_that_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            use std::io::Write;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut bridge = Bridge::spawn(&[("MODELTAP_FORWARD", &url)]);
    let answer = http::chat(bridge.addr(), "Hello");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("https://127.0.0.1"), "{}", answer.text());
}
