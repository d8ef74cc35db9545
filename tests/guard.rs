//! What keeps out who should not ask: names and pages that are none of ours, wrong keys, an address
//! that others can reach without a key.

mod common;

use common::http::{Answer, Client};
use common::{Bridge, chat, echo};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;

const CHAT: &str = "/v1/chat/completions";

/// One request on a connection of its own, with these header lines besides its length.
fn ask(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    ));
    client.answer()
}

fn code(answer: &Answer) -> (u16, String) {
    let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_name_that_was_pointed_at_this_machine_is_refused_on_every_route() {
    let env = [("MODELTAP_ALLOW_HOSTS", "Box.lan, other.example")];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    bridge.serve(echo);
    for path in ["/health", "/ready", "/v1/models", "/api/hello", CHAT, "/nowhere"] {
        let method = if path == CHAT { "POST" } else { "GET" };
        let answer = ask(addr, method, path, "Host: evil.example:8787\r\n", "{}");
        assert_eq!(answer.status, 403, "{path}");
        // Anthropic's envelope has no code.
        assert!(path == "/api/hello" || code(&answer).1 == "host_not_allowed", "{path}");
        assert!(answer.text().contains("MODELTAP_ALLOW_HOSTS"), "{}", answer.text());
    }
    let body = chat("Hello").to_string();
    for host in
        ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8787", "box.lan:80", "other.example"]
    {
        let answer = ask(addr, "POST", CHAT, &format!("Host: {host}\r\n"), &body);
        assert_eq!((answer.status, answer.content().as_str()), (200, "echo: Hello"), "{host}");
    }
    // Nobody else can point an address at us, but here only this machine's can be meant.
    let answer = ask(addr, "GET", "/health", "Host: 192.0.2.1\r\n", "");
    assert_eq!(code(&answer), refused(403, "host_not_allowed"));
}

#[test]
fn a_page_of_another_origin_is_refused_unless_it_is_listed() {
    let body = chat("Hello").to_string();
    let json = "Content-Type: application/json\r\n";
    let try_origin = |origins: &str, origin: &str| {
        let mut bridge = Bridge::sampling(&[("MODELTAP_CORS_ORIGIN", origins)]);
        let addr = bridge.addr();
        bridge.serve(echo);
        let from = format!("Host: localhost\r\nOrigin: {origin}\r\n");
        let asked = ask(addr, "POST", CHAT, &format!("{from}{json}"), &body);
        let preflight = ask(
            addr,
            "OPTIONS",
            CHAT,
            &format!(
                "{from}Access-Control-Request-Method: POST\r\nAccess-Control-Request-Private-Network: true\r\n"
            ),
            "",
        );
        let allowed =
            |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
        assert_eq!(allowed(&asked), allowed(&preflight));
        let private = preflight.header("access-control-allow-private-network").is_some();
        assert_eq!(private, allowed(&preflight).is_some());
        (asked.status, preflight.status, allowed(&asked))
    };
    let two = "https://a.example, http://b.example:81/";
    assert_eq!(try_origin("", "https://a.example"), (403, 403, None));
    assert_eq!(try_origin("", "null"), (403, 403, None));
    assert_eq!(try_origin("", "http://localhost"), (200, 204, None));
    assert_eq!(try_origin(two, "https://a.example"), (200, 204, Some("https://a.example".into())));
    assert_eq!(
        try_origin(two, "http://b.example:81"),
        (200, 204, Some("http://b.example:81".into()))
    );
    assert_eq!(try_origin(two, "https://c.example"), (403, 403, None));
    assert_eq!(try_origin("*", "https://c.example"), (200, 204, Some("*".into())));
}

#[test]
fn only_who_is_no_page_may_leave_out_that_a_body_is_json() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let body = chat("Hello").to_string();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let page = "Origin: http://localhost:1\r\n";
    for (headers, status) in [
        (format!("Host: localhost:1\r\n{form}"), 200),
        ("Host: localhost:1\r\n".to_owned(), 200),
        (format!("Host: localhost:1\r\n{page}{form}"), 415),
        (format!("Host: localhost:1\r\n{page}Content-Type: text/plain\r\n"), 415),
        (format!("Host: localhost:1\r\n{page}"), 415),
        (format!("Host: localhost:1\r\n{page}Content-Type: application/json\r\n"), 200),
    ] {
        let answer = ask(addr, "POST", CHAT, &headers, &body);
        assert_eq!(answer.status, status, "{headers}{}", answer.text());
    }
    let messages = format!("Host: localhost:1\r\n{page}{form}");
    let answer = ask(addr, "POST", "/v1/messages", &messages, &body);
    assert_eq!((answer.status, &answer.json()["type"]), (415, &json!("error")));
}

#[test]
fn where_others_could_reach_it_http_does_not_start_without_a_key() {
    for host in ["0.0.0.0", "::"] {
        let mut bridge = Bridge::sampling(&[("MODELTAP_HOST", host)]);
        bridge.wait_stderr("modeltap token add");
        let status = bridge.call("http_server_status", json!({}))["structuredContent"].clone();
        assert_eq!((&status["state"], &status["running"]), (&json!("stopped"), &json!(false)));
        assert!(status["reason"].as_str().unwrap().contains("MODELTAP_API_KEY"), "{status}");
        // The host's model may start it with a key, or elsewhere.
        let refused = bridge.call("http_server_start", json!({}));
        assert_eq!(refused["isError"], true, "{refused}");
        let started = bridge.call("http_server_start", json!({"host": "127.0.0.1"}));
        assert_eq!(started["structuredContent"]["running"], true, "{started}");
    }
    let mut bridge = Bridge::sampling(&[("MODELTAP_HOST", "0.0.0.0")]);
    bridge.call("http_server_start", json!({"api_key": "k"}));
    let mut addr = bridge.addr();
    addr.set_ip([127, 0, 0, 1].into());
    bridge.serve(echo);
    let body = chat("Hello").to_string();
    // Reached by its address, as from another machine.
    let host = "Host: 192.0.2.7:8787\r\n";
    assert_eq!(ask(addr, "POST", CHAT, host, &body).status, 401);
    let keyed = format!("{host}x-api-key: k\r\n");
    assert_eq!(ask(addr, "POST", CHAT, &keyed, &body).content(), "echo: Hello");
}

/// A request from this address of the loopback network.
fn from(source: &str, addr: SocketAddr, key: &str) -> Answer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&format!("{source}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&addr.into()).unwrap();
    let mut client = Client::over(socket.into());
    client.send(format!(
        "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Connection: close\r\n\r\n"
    ));
    client.answer()
}

// Elsewhere the loopback network has one address.
#[cfg(target_os = "linux")]
#[test]
fn wrong_keys_slow_down_their_address_and_nobody_else() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "right")]);
    let addr = bridge.addr();
    assert_eq!(from("127.0.0.2", addr, "right").status, 200);
    for at in ["127.0.0.2", "127.0.0.3"] {
        for n in 0..10 {
            assert_eq!(from(at, addr, &format!("wrong{n}")).status, 401, "{at} {n}");
        }
        let slowed = from(at, addr, "wrong");
        assert_eq!(code(&slowed), refused(429, "too_many_wrong_keys"));
        let seconds: u64 = slowed.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=6).contains(&seconds), "{seconds}");
    }
    assert_eq!(from("127.0.0.2", addr, "right").status, 200, "it was good here before");
    // Else guessing could go on: who is slowed down learns nothing.
    assert_eq!(from("127.0.0.3", addr, "right").status, 429);
    assert_eq!(from("127.0.0.4", addr, "right").status, 200);
}

#[cfg(target_os = "linux")]
#[test]
fn the_address_behind_a_proxy_counts_only_where_the_proxy_is_trusted() {
    let env = [
        ("MODELTAP_API_KEY", "right"),
        ("MODELTAP_TRUST_PROXY", "127.0.0.1, 10.0.0.0/8"),
        ("MODELTAP_RATE_LIMIT", "1/day"),
    ];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    bridge.serve(echo);
    let body = chat("Hello").to_string();
    let status = |forwarded: &str| {
        let headers = format!("Host: localhost\r\nx-api-key: right\r\n{forwarded}");
        ask(addr, "POST", CHAT, &headers, &body).status
    };
    // One request a day each: an address that comes a second time is refused.
    for (forwarded, expected) in [
        ("X-Forwarded-For: 192.0.2.1\r\n", 200),
        ("X-Forwarded-For: 192.0.2.1\r\n", 429),
        ("X-Forwarded-For: 198.51.100.1, 192.0.2.1\r\n", 429),
        ("X-Forwarded-For: 192.0.2.1, 10.1.1.1\r\n", 429),
        ("X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 10.1.1.1, 10.2.2.2\r\n", 429),
        ("X-Forwarded-For: 192.0.2.1, 192.0.2.2:4711\r\n", 200),
        ("X-Forwarded-For: [2001:db8::1]:80\r\n", 200),
        ("X-Forwarded-For: 2001:db8::1\r\n", 429),
        // What cannot be read, and all before it, counts for nothing: the proxy itself is left.
        ("X-Forwarded-For: 192.0.2.77, unknown\r\n", 200),
        ("", 429),
    ] {
        assert_eq!(status(forwarded), expected, "{forwarded}");
    }
}

#[test]
fn without_a_trusted_proxy_nobody_can_make_up_an_address() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_RATE_LIMIT", "1/day")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let body = chat("Hello").to_string();
    for (n, expected) in [(1, 200), (2, 429)] {
        let headers = format!("Host: localhost\r\nX-Forwarded-For: 192.0.2.{n}\r\n");
        assert_eq!(ask(addr, "POST", CHAT, &headers, &body).status, expected);
    }
}

#[test]
fn a_stored_response_is_its_owners_alone() {
    // The key of the settings is one owner; without keys there is one as well.
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "right")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let key = "Host: localhost\r\nx-api-key: right\r\n";
    let answer = ask(addr, "POST", "/v1/responses", key, r#"{"model":"m","input":"Hello"}"#);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/responses/{id}");
    assert_eq!(ask(addr, "GET", &path, key, "").status, 200);
    assert_eq!(ask(addr, "GET", &path, "Host: localhost\r\n", "").status, 401);
}
