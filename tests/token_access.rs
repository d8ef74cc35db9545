//! Tokens at a running bridge: who gets in, what for, how often, and what he is told otherwise.

mod common;

use common::http::{Answer, Client};
use common::tokens::Tokens;
use common::{Bridge, PATIENCE, aside, chat, echo, sampled};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Instant;

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn bridge(tokens: &Tokens, env: &[(&str, &str)]) -> Bridge {
    Bridge::sampling(&[env, &[("MODELTAP_TOKENS", tokens.path().as_str())]].concat())
}

fn post(addr: SocketAddr, key: &str, path: &str, body: &Value) -> Answer {
    let mut client = Client::connect(addr);
    client.post(path, &format!("x-api-key: {key}\r\nConnection: close\r\n"), body);
    client.answer()
}

fn get(addr: SocketAddr, key: &str, path: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Connection: close\r\n\r\n"
    ));
    client.answer()
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Asks again until the answer's status is this one, as after a change of the file.
fn until(status: u16, mut ask: impl FnMut() -> Answer) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "still {}: {}", answer.status, answer.text());
    }
}

/// A message of Anthropic's API.
fn message(text: &str) -> Value {
    json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]})
}

#[test]
fn a_running_bridge_sees_each_change_of_the_file() {
    let tokens = Tokens::new();
    let mut bridge = bridge(&tokens, &[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    assert_eq!(get(addr, "anything", "/v1/models").status, 200, "nobody is asked for a key yet");

    let ann = tokens.add("ann", &[]);
    assert!(ann.starts_with("mt_") && ann.len() == 46, "{ann}");
    let refused = until(401, || get(addr, "anything", "/v1/models"));
    assert_eq!(code(&refused), is(401, "invalid_api_key"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(post(addr, &ann, CHAT, &chat("Hello")).content(), "echo: Hello");

    let rotated = tokens.run(&["rotate", "ann"]);
    until(401, || get(addr, &ann, "/v1/models"));
    assert_eq!(get(addr, &rotated, "/v1/models").status, 200);

    tokens.run(&["revoke", "ann"]);
    let refused = until(401, || get(addr, &rotated, "/v1/models"));
    assert_eq!(code(&refused), is(401, "revoked_api_key"));
    assert!(refused.text().contains("revoked at 20"), "{}", refused.text());
    assert_eq!(code(&get(addr, "anything", "/v1/models")), is(401, "invalid_api_key"));
    assert!(!bridge.stderr().contains(&ann) && !bridge.stderr().contains(&rotated));
}

#[test]
fn a_damaged_or_lost_file_keeps_the_last_good_one_and_is_told_loudly() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &[]);
    let mut bridge = bridge(&tokens, &[]);
    let addr = bridge.addr();
    let good = std::fs::read(tokens.path()).unwrap();

    std::fs::write(tokens.path(), "{\"version\": 1, \"tokens\": [").unwrap();
    bridge.wait_stderr("the tokens stay as they were until this is mended");
    assert_eq!(get(addr, &ann, "/v1/models").status, 200);
    assert_eq!(get(addr, "none", "/v1/models").status, 401);

    std::fs::write(tokens.path(), &good).unwrap();
    bridge.wait_stderr("is good again");
    std::fs::remove_file(tokens.path()).unwrap();
    bridge.wait_stderr("is gone");
    assert_eq!(get(addr, &ann, "/v1/models").status, 200);
    assert_eq!(get(addr, "none", "/v1/models").status, 401);

    // A bridge that finds it damaged lets nobody in but by the key of its settings.
    std::fs::write(tokens.path(), "[]").unwrap();
    let env = [("MODELTAP_TOKENS", &*tokens.path()), ("MODELTAP_API_KEY", "admin")];
    let mut other = Bridge::sampling(&env);
    other.wait_stderr("no token is good until this is mended");
    let addr = other.addr();
    assert_eq!(get(addr, &ann, "/v1/models").status, 401);
    assert_eq!(get(addr, "admin", "/v1/models").status, 200);
}

#[test]
fn the_one_key_is_an_admin_beside_tokens() {
    let tokens = Tokens::new();
    tokens.add("ann", &["--routes", "models"]);
    let mut bridge = bridge(&tokens, &[("MODELTAP_API_KEY", "the key")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    assert_eq!(post(addr, "the key", CHAT, &chat("Hello")).content(), "echo: Hello");
    assert_eq!(post(addr, "another", CHAT, &chat("Hello")).status, 401);
}

#[test]
fn tokens_open_an_address_that_others_can_reach() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &[]);
    let mut bridge = bridge(&tokens, &[("MODELTAP_HOST", "0.0.0.0")]);
    let mut addr = bridge.addr();
    addr.set_ip([127, 0, 0, 1].into());
    assert_eq!(get(addr, &ann, "/v1/models").status, 200);
    assert_eq!(get(addr, "none", "/v1/models").status, 401);
}

#[test]
fn an_expired_token_is_told_since_when() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &["--expires", "1s"]);
    let mut bridge = bridge(&tokens, &[]);
    let addr = bridge.addr();
    let refused = until(401, || get(addr, &ann, "/v1/models"));
    assert_eq!(code(&refused), is(401, "expired_api_key"));
    assert!(refused.text().contains("expired at 20"), "{}", refused.text());
    let mut client = Client::connect(addr);
    client.post(MESSAGES, &format!("x-api-key: {ann}\r\n"), &message("Hello"));
    let refused = client.answer().json();
    assert_eq!(refused["error"]["type"], "authentication_error", "{refused}");
    tokens.run(&["extend", "ann", "--expires", "1h"]);
    until(200, || get(addr, &ann, "/v1/models"));
}

#[test]
fn a_token_is_for_its_routes_models_and_addresses_alone() {
    let tokens = Tokens::new();
    let models = tokens.add("models", &["--routes", "models,responses", "--models", "gpt-*,m"]);
    let chats = tokens.add("chats", &["--routes", "chat", "--models", "gpt-*,m"]);
    let here = tokens.add("here", &["--from", "127.0.0.0/8,::1"]);
    let away = tokens.add("away", &["--from", "192.0.2.0/24"]);
    let mut bridge = bridge(&tokens, &[("MODELTAP_MODELS", "modeltap,gpt-4o,gpt-5")]);
    let addr = bridge.addr();
    bridge.serve(echo);

    for path in [CHAT, "/v1/completions", MESSAGES, "/v1/messages/count_tokens"] {
        let refused = post(addr, &models, path, &json!({}));
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.text().contains("lacks the scope"), "{}", refused.text());
    }
    assert_eq!(code(&get(addr, &chats, "/v1/models")), is(403, "route_not_allowed"));
    let list = get(addr, &models, "/v1/models").json();
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["gpt-4o", "gpt-5"], "only its own are listed");
    assert_eq!(code(&get(addr, &models, "/v1/models/modeltap")), is(403, "model_not_allowed"));

    assert_eq!(post(addr, &chats, CHAT, &chat("Hello")).status, 200);
    let mut other = chat("Hello");
    other["model"] = "claude".into();
    let refused = post(addr, &chats, CHAT, &other);
    assert_eq!(code(&refused), is(403, "model_not_allowed"));
    assert_eq!(refused.json()["error"]["param"], "model");

    assert_eq!(get(addr, &here, "/v1/models").status, 200);
    assert_eq!(code(&get(addr, &away, "/v1/models")), is(403, "address_not_allowed"));
}

#[test]
fn a_response_is_kept_for_the_token_that_asked() {
    let tokens = Tokens::new();
    let (ann, bob) = (tokens.add("ann", &[]), tokens.add("bob", &[]));
    let mut bridge = bridge(&tokens, &[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let asked = post(addr, &ann, "/v1/responses", &json!({"model": "m", "input": "Hello"}));
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/responses/{id}");
    assert_eq!(get(addr, &bob, &path).status, 404);
    let on = json!({"model": "m", "input": "More", "previous_response_id": id});
    assert_eq!(post(addr, &bob, "/v1/responses", &on).status, 400);
    assert_eq!(get(addr, &ann, &path).status, 200);
    assert_eq!(post(addr, &ann, "/v1/responses", &on).status, 200);
}

#[test]
fn a_rate_is_told_in_each_apis_headers_on_good_answers_and_refusals() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &["--rate", "2/h", "--tokens-per-day", "1000"]);
    let mut bridge = bridge(&tokens, &[]);
    let addr = bridge.addr();
    bridge.serve(echo);

    let good = post(addr, &ann, CHAT, &chat("Hello"));
    for (name, expected) in [
        ("x-ratelimit-limit-requests", "2"),
        ("x-ratelimit-remaining-requests", "1"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "1000"),
    ] {
        assert_eq!(good.header(name), Some(expected), "{name}");
    }
    assert_eq!(good.header("x-ratelimit-reset-requests"), Some("30m0s"));
    assert!(good.header("x-ratelimit-reset-tokens").unwrap().ends_with('s'));

    let mut client = Client::connect(addr);
    let mut streamed = message("Hello");
    streamed["stream"] = true.into();
    client.post(MESSAGES, &format!("x-api-key: {ann}\r\n"), &streamed);
    let good = client.answer();
    assert_eq!(good.status, 200);
    assert_eq!(good.header("anthropic-ratelimit-requests-limit"), Some("2"));
    assert_eq!(good.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    let at = good.header("anthropic-ratelimit-requests-reset").unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
    assert_eq!(good.header("anthropic-ratelimit-tokens-limit"), Some("1000"));
    assert_eq!(good.header("x-ratelimit-limit-requests"), None);

    let refused = post(addr, &ann, CHAT, &chat("Hello"));
    assert_eq!(code(&refused), is(429, "rate_limit_exceeded"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    client.post(MESSAGES, &format!("x-api-key: {ann}\r\n"), &message("Hello"));
    let refused = client.answer();
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), Some("0"));
}

#[test]
fn no_more_than_the_allowed_number_are_at_work_at_once() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &["--concurrent", "1"]);
    let mut bridge = bridge(&tokens, &[]);
    let addr = bridge.addr();
    let key = ann.clone();
    let first = aside(move || post(addr, &key, CHAT, &chat("one")));
    let asked = bridge.recv_method("sampling/createMessage");
    let refused = post(addr, &ann, CHAT, &chat("two"));
    assert_eq!(code(&refused), is(429, "concurrency_limit_exceeded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    bridge.answer(&asked, "done");
    assert_eq!(first.get().content(), "done");
    // The place was free before the end of the answer left.
    bridge.serve(echo);
    for n in 0..20 {
        assert_eq!(post(addr, &ann, CHAT, &chat("next")).status, 200, "{n}");
    }
}

#[test]
fn quotas_end_and_survive_a_restart() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &["--requests", "3"]);
    let bob = tokens.add("bob", &["--tokens-per-day", "10"]);
    for round in 0..2 {
        let mut bridge = bridge(&tokens, &[]);
        let addr = bridge.addr();
        bridge.serve(echo);
        if round == 0 {
            assert_eq!(
                post(addr, &ann, CHAT, &chat("1")).header("x-ratelimit-remaining-requests"),
                Some("2")
            );
            assert_eq!(post(addr, &ann, CHAT, &chat("2")).status, 200);
            assert_eq!(post(addr, &bob, CHAT, &chat("Hello you, what is it?")).status, 200);
        } else {
            assert_eq!(post(addr, &ann, CHAT, &chat("3")).status, 200);
        }
        let refused = post(addr, &bob, CHAT, &chat("Hello"));
        assert_eq!(code(&refused), is(429, "daily_limit_exceeded"));
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=86400).contains(&seconds), "{seconds}");
        if round == 1 {
            let refused = post(addr, &ann, CHAT, &chat("4"));
            assert_eq!(code(&refused), is(429, "insufficient_quota"));
            assert_eq!(refused.header("x-should-retry"), Some("false"));
        }
        bridge.close_stdin();
        assert!(bridge.wait().success());
    }
    let shown: Value = serde_json::from_str(&tokens.run(&["show", "ann", "--json"])).unwrap();
    assert!(shown.to_string().contains("\"requests\":3"), "{shown}");
}

#[test]
fn with_a_wait_a_request_stands_in_line_for_its_token() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &["--concurrent", "1"]);
    let bob = tokens.add("bob", &[]);
    let env = [("MODELTAP_WAIT", "60s"), ("MODELTAP_MAX_IN_FLIGHT", "8")];
    let mut bridge = bridge(&tokens, &env);
    let addr = bridge.addr();
    // The first is at work; of those that wait each leaves as much room for others.
    let ask = |key: &str, text: &'static str| {
        let key = key.to_owned();
        aside(move || post(addr, &key, CHAT, &chat(text)))
    };
    let first = ask(&ann, "first");
    let asked = bridge.recv_method("sampling/createMessage");
    let mut waiting = Vec::new();
    let refused = loop {
        // Each is in line, or refused, before the next one asks.
        let before = in_flight(&mut bridge);
        let next = ask(&ann, "later");
        let deadline = Instant::now() + PATIENCE;
        while !next.is_done() && in_flight(&mut bridge) == before {
            assert!(Instant::now() < deadline);
        }
        if next.is_done() {
            break next.get();
        }
        waiting.push(next);
    };
    assert_eq!(code(&refused), is(429, "concurrency_limit_exceeded"));
    assert!((2..6).contains(&waiting.len()), "{}", waiting.len());
    // Somebody else passes by the line.
    let other = ask(&bob, "other");
    let others = bridge.recv_method("sampling/createMessage");
    bridge.answer(&others, "for bob");
    assert_eq!(other.get().content(), "for bob");
    bridge.answer(&asked, "one");
    assert_eq!(first.get().content(), "one");
    for n in 0..waiting.len() {
        let asked = bridge.recv_method("sampling/createMessage");
        bridge.send(&sampled(&asked, &format!("later {n}")));
    }
    let mut texts: Vec<String> = waiting.into_iter().map(|w| w.get().content()).collect();
    texts.sort();
    texts.dedup();
    assert!(texts.iter().all(|text| text.starts_with("later ")), "{texts:?}");
}

/// How many requests have a place.
fn in_flight(bridge: &mut Bridge) -> u64 {
    let told = bridge.call("runtime_status", json!({}))["structuredContent"].clone();
    told["openai_api"]["admitted"].as_u64().unwrap()
}
