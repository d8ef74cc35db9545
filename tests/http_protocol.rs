//! HTTP as the clients of this world speak it: versions, methods, order, addresses, single writes.

mod common;

use common::http::{self, Answer, Client};
use common::{Bridge, aside, chat, echo};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

const PATH: &str = "/v1/chat/completions";

/// Sends `request` on a connection of its own; the answer and the connection.
fn send(addr: SocketAddr, request: &str) -> (Answer, Client) {
    let mut client = Client::connect(addr);
    client.send(request);
    (client.answer(), client)
}

#[test]
fn a_connection_serves_one_request_after_another_until_told_to_close() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let mut client = Client::connect(addr);
    for round in 0..3 {
        client.get("/health");
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (200, None));
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
        client.post(PATH, "", &chat(&format!("round {round}")));
        assert_eq!(client.answer().content(), format!("echo: round {round}"));
    }
    // The word may stand anywhere in the list, in any case, in any of several lines.
    for lines in [
        "Connection: close\r\n",
        "Connection: x, CLOSE\r\n",
        "Connection: close\r\nConnection: x\r\n",
    ] {
        let request = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        let (answer, mut client) = send(addr, &request);
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{lines}");
        assert!(client.is_closed());
    }
}

#[test]
fn http_1_0_closes_after_the_answer_unless_asked_to_keep() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let (answer, mut client) = send(addr, "GET /health HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(answer.header("content-length").is_some());
    assert!(client.is_closed());

    let keep = "GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\nConnection: x\r\n\r\n";
    let (answer, mut client) = send(addr, keep);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    client.send("GET /health HTTP/1.0\r\n\r\n");
    assert!(client.one_read().starts_with("HTTP/1.0 200 OK\r\n"));
    assert!(client.is_closed());
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn a_stream_over_http_1_0_has_no_chunks_and_ends_with_the_connection() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let mut body = chat("Hello");
    body["stream"] = true.into();
    let body = body.to_string();
    let (answer, _) = send(
        addr,
        &format!(
            "POST {PATH} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!((answer.header("transfer-encoding"), answer.header("content-length")), (None, None));
    assert!(answer.text().starts_with("data: {"));
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
}

#[test]
fn head_answers_as_get_does_but_for_the_body() {
    let mut bridge = Bridge::sampling(&[]);
    let mut client = Client::connect(bridge.addr());
    for path in ["/health", "/v1/models", "/v1/models/none", "/nothing"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let head = client.head();
        // A body would be taken for the beginning of this answer.
        client.get(path);
        let whole = client.answer();
        assert_eq!(head.status, whole.status, "{path}");
        assert_eq!(head.header("content-length"), Some(&*whole.body.len().to_string()), "{path}");
        assert_eq!(head.header("content-type"), Some("application/json"));
    }
}

#[test]
fn options_tells_what_a_path_takes() {
    let mut bridge = Bridge::sampling(&[]);
    let mut client = Client::connect(bridge.addr());
    for (path, allow) in [(PATH, "POST, OPTIONS"), ("/v1/models", "GET, HEAD, OPTIONS")] {
        client.send(format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)));
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn a_browsers_preflight_needs_no_key_and_names_the_origin() {
    let origin = "https://chat.example";
    let mut bridge =
        Bridge::sampling(&[("BRIDGE_CORS_ORIGIN", origin), ("BRIDGE_API_KEY", "secret")]);
    let mut client = Client::connect(bridge.addr());
    client.send(format!(
        "OPTIONS {PATH} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: authorization, content-type\r\n\r\n"
    ));
    let answer = client.answer();
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("Authorization"));
    // A page can read a refusal only if that names its origin too.
    client.post(PATH, &format!("Origin: {origin}\r\n"), &chat("Hello"));
    let answer = client.answer();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("x-request-id"));
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let mut bridge = Bridge::sampling(&[]);
    let mut client = Client::connect(bridge.addr());
    for (method, path, status, allow) in [
        ("GET", "/v1", 404, None),
        ("GET", "/v1/models/", 404, None),
        ("POST", "/v2/chat/completions", 404, None),
        ("GET", PATH, 405, Some("POST, OPTIONS")),
        ("DELETE", "/v1/models", 405, Some("GET, HEAD, OPTIONS")),
        ("POST", "/health", 405, Some("GET, HEAD, OPTIONS")),
        ("get", "/health", 405, Some("GET, HEAD, OPTIONS")),
    ] {
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {path}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        assert!(answer.header("x-request-id").is_some());
    }
}

#[test]
#[cfg_attr(
    feature = "tiny_http",
    ignore = "tiny_http: its 100 Continue has headers that we cannot leave out"
)]
fn a_client_that_expects_100_continue_gets_it_before_it_sends_the_body() {
    let mut bridge = Bridge::sampling(&[]);
    let mut client = Client::connect(bridge.addr());
    bridge.serve(echo);
    let body = chat("Hello").to_string();
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\n");
    client.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
    assert_eq!(client.one_read(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(&body);
    assert_eq!(client.answer().content(), "echo: Hello");

    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(client.one_read(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    assert_eq!(client.answer().content(), "echo: Hello");

    // Who did not wait needs no leave.
    client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(client.answer().content(), "echo: Hello");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: the server cannot close a connection")]
fn what_is_refused_by_its_head_is_refused_before_100_continue() {
    let mut bridge =
        Bridge::sampling(&[("BRIDGE_API_KEY", "secret"), ("MODELTAP_MAX_BODY", "1024")]);
    let addr = bridge.addr();
    let expect = "Host: localhost\r\nExpect: 100-continue\r\n";
    let key = "Authorization: Bearer secret\r\n";
    for (status, request) in [
        (401, format!("POST {PATH} HTTP/1.1\r\n{expect}Content-Length: 10\r\n\r\n")),
        (401, format!("POST {PATH} HTTP/1.1\r\n{expect}Transfer-Encoding: chunked\r\n\r\n")),
        (413, format!("POST {PATH} HTTP/1.1\r\n{expect}{key}Content-Length: 1025\r\n\r\n")),
        (404, format!("POST /v1 HTTP/1.1\r\n{expect}Content-Length: 10\r\n\r\n")),
        (405, format!("PUT {PATH} HTTP/1.1\r\n{expect}Content-Length: 10\r\n\r\n")),
        (400, format!("POST {PATH} HTTP/1.1\r\n{expect}Content-Length: ten\r\n\r\n")),
    ] {
        let (answer, mut client) = send(addr, &request);
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")));
        assert!(client.is_closed(), "{status}");
    }
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let mut bridge = Bridge::sampling(&[]);
    let mut client = Client::connect(bridge.addr());
    let body = chat("Hello").to_string();
    client.send(format!(
        "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n\
         POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\n\
         OPTIONS {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/models HTTP/1.1\r\n",
        body.len()
    ));
    assert_eq!(client.answer().json()["status"], "ok");
    assert_eq!(client.answer().status, 404);
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "Hi");
    assert_eq!(client.answer().content(), "Hi");
    assert_eq!(client.answer().status, 204);
    client.send("Host: localhost\r\n\r\n");
    assert_eq!(client.answer().json()["object"], "list");
}

#[test]
fn what_is_sent_while_the_model_thinks_is_served_afterwards() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_KEEP_ALIVE", "600ms")]);
    let mut client = Client::connect(bridge.addr());
    let mut first = chat("first");
    first["stream"] = true.into();
    client.post(PATH, "", &first);
    let request = bridge.recv_method("sampling/createMessage");
    assert_eq!(client.head().status, 200);
    // Larger than one read, and ending within a request.
    let second = chat(&"x".repeat(10_000));
    client.post(PATH, "", &second);
    client.send("GET /health HT");
    // In the time of these the bridge has looked whether the client is still there.
    let mut silent = 0;
    while silent < 4 {
        silent += usize::from(client.chunk().expect("it waits") == b": keep-alive\n\n");
    }
    bridge.answer(&request, "first");
    while client.chunk().is_some() {}
    let request = bridge.recv_method("sampling/createMessage");
    let text = request["params"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert_eq!(text.len(), 10_000);
    bridge.answer(&request, "second");
    assert_eq!(client.answer().content(), "second");
    client.send("TP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().json(), json!({"status": "ok"}));
}

#[test]
fn every_address_that_the_host_stands_for_is_served() {
    // A machine may lack IPv6.
    let has = |ip: &IpAddr| TcpListener::bind((*ip, 0)).is_ok();
    for host in ["127.0.0.1", "0.0.0.0", "localhost", "::1", "[::1]", "::"] {
        let found = (host.trim_matches(['[', ']']), 0).to_socket_addrs().unwrap();
        let ips: Vec<IpAddr> = found.map(|addr| addr.ip()).filter(has).collect();
        if ips.is_empty() {
            continue;
        }
        let mut bridge = Bridge::sampling(&[("MODELTAP_HOST", host), ("MODELTAP_API_KEY", "k")]);
        let port = bridge.addr().port();
        for ip in ips {
            let reached = match ip {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            assert_eq!(http::get((reached, port).into(), "/health").status, 200, "{host} {ip}");
        }
    }
}

#[test]
fn a_small_answer_comes_in_one_piece() {
    let mut bridge = Bridge::sampling(&[]);
    let mut client = Client::connect(bridge.addr());
    bridge.serve(echo);
    for round in 0..50 {
        client.post(PATH, "", &chat("Hello"));
        let piece = client.one_read();
        let (head, body) = piece.split_once("\r\n\r\n").expect("a whole head");
        let length = format!("Content-Length: {}", body.len());
        assert!(head.contains(&length), "round {round}: {piece}");
    }
}

#[test]
fn a_streams_head_and_first_event_come_in_one_piece() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut body = chat("Hello");
    body["stream"] = true.into();
    let client = aside(move || {
        let mut client = Client::connect(addr);
        client.post(PATH, "", &body);
        (client.one_read(), client)
    });
    let request = bridge.recv_method("sampling/createMessage");
    // The model thinks for longer than the head waits.
    let (first, mut client) = client.get();
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    assert!(first.contains("\r\n\r\n") && first.contains("\"role\":\"assistant\""), "{first}");
    assert!(first.ends_with("\r\n"), "{first}");
    bridge.answer(&request, "Hi");
    let rest = client.one_read();
    assert!(rest.contains("\"Hi\"") && rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it refuses blank lines before a request")]
fn targets_come_in_every_form_that_rfc_9112_has_for_them() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let port = addr.port();
    let (local, name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    for (target, host) in [
        ("/health?", &name),
        ("/health?a=b&c=/v1?d", &name),
        (&format!("http://{local}/health"), &local),
        (&format!("HTTP://LocalHost:{port}/health?x=http://y"), &name),
    ] {
        let mut client = Client::connect(addr);
        // Blank lines before a request come from old clients and are passed over.
        client.send(format!("\r\n\r\nGET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, 200, "{target}");
        client.send(format!("\r\nGET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, 200, "{target}");
    }
    assert_eq!(http::get(addr, "/nothing?/health").status, 404);
    for target in [format!("http://{name}"), format!("http://{name}?x=/health")] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {name}\r\n\r\n");
        // The path is `/`, where the page is.
        let answer = send(addr, &request).0;
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(answer.status == 200 && kind.starts_with("text/html"), "{target}: {kind}");
    }
}
