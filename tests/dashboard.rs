//! The page and what it reads: who may, what is told, and that it can be switched off. What the page does
//! in a browser is tests/page's to show.

mod common;

use common::audit::{self, Directory};
use common::http::{self, Answer, Client};
use common::tokens::Tokens;
use common::{Bridge, PATIENCE, aside, chat, echo};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Instant;

const ROUTES: [&str; 3] = ["/", "/v1/events", "/v1/exchanges/0123456789abcdef0123456789abcdef"];

fn get(addr: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
    // A stream has no end; its head says enough.
    let answer = client.head();
    match answer.header("content-type") {
        Some("text/event-stream") => answer,
        _ => client.with_body(answer),
    }
}

/// An open page.
struct Page {
    client: Client,
    text: String,
}

impl Page {
    fn open(addr: SocketAddr) -> Page {
        let mut client = Client::connect(addr);
        client.get("/v1/events");
        let head = client.head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        Page { client, text: String::new() }
    }

    /// The next event that is no comment: its name and data; `None` at the end of the stream.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some((name, data)) = event.split_once("\ndata: ") {
                    let name = name.strip_prefix("event: ").expect("a name");
                    return Some((name.into(), serde_json::from_str(data).expect("JSON")));
                }
                assert!(event.starts_with(':'), "{event}");
            }
            let chunk = self.client.chunk()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// What is told once it fits.
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, told) = self.next().expect("the stream goes on");
            if fits(&told) {
                return told;
            }
            assert!(Instant::now() < deadline, "what was waited for is not told: {told}");
        }
    }
}

fn has_ended(told: &Value) -> bool {
    told["exchanges"].as_array().is_some_and(|list| !list.is_empty())
}

#[test]
fn the_page_holds_no_data_and_lets_nothing_in() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "secret-key")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let page = get(addr, "/", "");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    for said in ["default-src 'none'", "script-src 'sha256-", "style-src 'sha256-"] {
        assert!(policy.contains(said), "{said}: {policy}");
    }
    for said in ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(said), "{said}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(!page.text().contains("secret-key"));
}

#[test]
fn an_open_page_is_told_how_all_is_and_then_what_is_new() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut page = Page::open(addr);
    let (name, told) = page.next().unwrap();
    assert_eq!((name.as_str(), &told["model"]["ready"]), ("snapshot", &json!(true)));
    assert_eq!(told["model"]["backend"], "sampling");
    assert_eq!(told["model"]["host"]["name"], "test-host");
    assert_eq!((&told["in_flight"], &told["keys"]), (&json!(0), &json!(false)));
    let client = aside(move || http::chat(addr, "Hello"));
    let asked = bridge.recv_method("sampling/createMessage");
    let told = page.until(|told| told["in_flight"] == 1 && told["open"][0]["state"] == "asked");
    let open = &told["open"][0];
    assert_eq!((&open["model"], &open["backend"]), (&json!("m"), &json!("sampling")));
    bridge.answer(&asked, "Hi");
    client.get();
    let told = page.until(has_ended);
    assert_eq!((&told["in_flight"], &told["skipped"]), (&json!(0), &json!(0)));
    let over = &told["exchanges"][0];
    assert_eq!((&over["status"], &over["n"], &over["id"]), (&json!(200), &json!(1), &open["id"]));
    assert_eq!(told["minutes"][0]["requests"], 1);
    assert_eq!(
        (&told["tokens"][0]["token"], &told["tokens"][0]["requests"]),
        (&json!(""), &json!(1))
    );
    // All that is known of it, with its texts, since a page is open.
    let path = format!("/v1/exchanges/{}", over["id"].as_str().unwrap());
    let one = http::get(addr, &path).json();
    assert_eq!(one["exchange"]["status"], 200);
    assert_eq!(one["request"]["text"], chat("Hello").to_string());
    assert_eq!((&one["answer"]["text"], &one["answer"]["whole"]), (&json!("Hi"), &json!(true)));
    let kinds: Vec<_> =
        one["events"].as_array().unwrap().iter().map(|e| e["kind"].clone()).collect();
    assert_eq!(kinds, ["request", "publish", "reply", "response"]);
    // A page that is opened later sees it too.
    let (_, told) = Page::open(addr).next().unwrap();
    assert_eq!(told["exchanges"][0]["id"], over["id"]);
}

#[test]
fn without_a_page_no_body_is_kept_and_the_ring_is_what_there_is() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let key = "sk-abcdefghijklmnopqrstuvwxyz";
    let answer = http::chat(addr, &format!("the key is {key}"));
    let path = format!("/v1/exchanges/{}", answer.header("x-request-id").unwrap());
    let one = http::get(addr, &path);
    assert!(one.json()["request"].is_null() && one.json()["answer"].is_null());
    assert!(one.text().contains("the key is [redacted]") && !one.text().contains(key));
    let mut page = Page::open(addr);
    page.next();
    let answer = http::chat(addr, &format!("the key is {key}"));
    // It is told behind the last byte of its answer.
    page.until(has_ended);
    let path = format!("/v1/exchanges/{}", answer.header("x-request-id").unwrap());
    let one = http::get(addr, &path);
    assert!(one.json()["answer"]["text"].as_str().unwrap().contains("[redacted]"));
    assert!(!one.text().contains(key), "{}", one.text());
}

#[test]
fn what_is_refused_is_told_with_its_reason() {
    let mut bridge = Bridge::spawn(&[("MODELTAP_RATE_LIMIT", "1/day")]);
    bridge.initialize("mute", json!({}));
    let addr = bridge.addr();
    let mut page = Page::open(addr);
    let told = page.next().unwrap().1;
    assert_eq!(told["model"]["ready"], false);
    let reason = http::get(addr, "/ready").json()["error"]["message"].clone();
    assert_eq!(told["model"]["reason"], reason);
    assert_eq!(http::chat(addr, "Hello").status, 503);
    let told = page.until(has_ended);
    assert_eq!(
        (&told["errors"][0]["error"], &told["errors"][0]["message"]),
        (&json!("no_model"), &reason)
    );
    assert_eq!(http::chat(addr, "Hello").status, 429);
    let told = page.until(has_ended);
    assert_eq!(told["limits"][0]["error"], "rate_limit_exceeded");
    let minutes = told["minutes"].as_array().unwrap();
    let failed: u64 = minutes.iter().filter_map(|minute| minute["errors"].as_u64()).sum();
    assert_eq!((&told["errors"], failed), (&json!([]), 2));
}

#[test]
fn a_request_that_waits_says_for_what() {
    let env = [
        ("MODELTAP_BACKEND", "pull"),
        ("MODELTAP_HOST_WAIT", "1m"),
        ("MODELTAP_WAIT", "1m"),
        ("MODELTAP_RATE_LIMIT", "1/min"),
    ];
    let mut bridge = Bridge::spawn(&env);
    bridge.initialize("mute", json!({}));
    let addr = bridge.addr();
    let mut page = Page::open(addr);
    let mut waiting = Client::connect(addr);
    waiting.post("/v1/chat/completions", "", &chat("first"));
    page.until(|told| told["open"][0]["state"] == "waiting");
    let mut limited = Client::connect(addr);
    limited.post("/v1/chat/completions", "", &chat("second"));
    page.until(|told| told["open"][1]["state"] == "limit");
}

#[test]
fn only_who_may_do_all_sees_it() {
    let tokens = Tokens::new();
    let usual = tokens.add("usual", &[]);
    let admin = tokens.add("boss", &["--routes", "admin"]);
    let env = [("MODELTAP_TOKENS", tokens.path())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    bridge.serve(echo);
    let with =
        |path: &str, token: &str| get(addr, path, &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(get(addr, "/", "").status, 200);
    for path in &ROUTES[1..] {
        assert_eq!(get(addr, path, "").status, 401, "{path}");
        let refused = with(path, &usual);
        assert_eq!(refused.status, 403, "{path}");
        assert_eq!(refused.json()["error"]["code"], "route_not_allowed");
    }
    assert_eq!(with("/v1/events", &admin).status, 200);
    assert_eq!(with(ROUTES[2], &admin).status, 404);
    assert_eq!(with(ROUTES[2], &admin).json()["error"]["code"], "exchange_not_found");
}

#[test]
fn pages_of_other_origins_get_nothing_even_where_they_may_ask_the_model() {
    for origins in ["*", "https://listed.example"] {
        let mut bridge = Bridge::sampling(&[("MODELTAP_CORS_ORIGIN", origins)]);
        let addr = bridge.addr();
        for path in &ROUTES[1..] {
            for headers in ["Origin: https://listed.example\r\n", "Sec-Fetch-Site: cross-site\r\n"]
            {
                let refused = get(addr, path, headers);
                let code = refused.json()["error"]["code"].clone();
                assert_eq!((refused.status, code), (403, json!("origin_not_allowed")), "{path}");
            }
        }
        let own = "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n";
        assert_eq!(get(addr, "/v1/events", own).status, 200);
        let rebound = "GET /v1/events HTTP/1.1\r\nHost: evil.example\r\n\r\n";
        let mut client = Client::connect(addr);
        client.send(rebound);
        assert_eq!(client.answer().status, 403);
    }
}

#[test]
fn switched_off_it_is_not_there() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_DASHBOARD", "0")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    assert_eq!(http::chat(addr, "Hello").status, 200);
    for path in ROUTES {
        assert_eq!(get(addr, path, "").status, 404, "{path}");
    }
}

#[test]
fn it_is_audited_by_whom_but_not_what() {
    let folder = Directory::new();
    let file = folder.file();
    let env = [("MODELTAP_AUDIT", file.to_str().unwrap())];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    bridge.serve(echo);
    let answer = http::chat(addr, "Hello");
    let path = format!("/v1/exchanges/{}", answer.header("x-request-id").unwrap());
    assert_eq!(get(addr, "/", "").status, 200);
    Page::open(addr).next();
    assert_eq!(http::get(addr, &path).status, 200);
    bridge.close_stdin();
    bridge.wait();
    let records = audit::records(&file);
    let of = |route: &str| {
        let fits = |record: &&Value| record["route"] == route && record["kind"] == "tx";
        records.iter().filter(fits).collect::<Vec<_>>()
    };
    assert_eq!(of("/").len(), 0);
    assert_eq!(of("/v1/events").len(), 1);
    let [read] = of(&path)[..] else { panic!("{records:?}") };
    assert!(read.get("body").is_none_or(|body| body == ""), "{read}");
}

#[test]
fn pages_end_when_http_does_and_do_not_hold_it_up() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut page = Page::open(addr);
    page.next();
    let stopped = Instant::now();
    bridge.call("http_server_stop", json!({}));
    while page.next().is_some() {}
    // It would be cut off then, and here it ends by itself, which the end of its chunks shows.
    assert!(stopped.elapsed() < PATIENCE);
    bridge.call("http_server_start", json!({}));
    let addr = bridge.addr();
    assert_eq!(Page::open(addr).next().unwrap().0, "snapshot");
}

#[test]
fn a_head_of_the_stream_ends() {
    let mut bridge = Bridge::sampling(&[]);
    let mut client = Client::connect(bridge.addr());
    client.send("HEAD /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.head().status, 200);
    client.get("/health");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn text_of_clients_stays_within_its_event() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let mut page = Page::open(addr);
    page.next();
    let mut body = chat("\n\nevent: lost\ndata: {}\n\n");
    body["model"] = "a\n\nevent: lost\ndata: {}\n\n\u{2028}<script>".into();
    http::post(addr, "/v1/chat/completions", &body);
    let told = page.until(has_ended);
    assert_eq!(told["exchanges"][0]["model"], body["model"]);
}
