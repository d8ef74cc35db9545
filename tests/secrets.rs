//! No key and no token is told anywhere: what stands for them are fingerprints.

mod common;

use common::audit::Directory;
use common::http::Client;
use common::tokens::Tokens;
use common::{Bridge, chat, echo};
use serde_json::{Value, json};

#[test]
fn keys_and_tokens_are_told_nowhere_and_fingerprints_are() {
    let (directory, tokens) = (Directory::new(), Tokens::new());
    let ann = tokens.add("ann", &["--rate", "3/day"]);
    let old = tokens.add("old", &[]);
    tokens.run(&["revoke", "old"]);
    let file = directory.file();
    let env = [
        ("MODELTAP_API_KEY", "the-admins-own-key"),
        ("MODELTAP_TOKENS", &*tokens.path()),
        ("MODELTAP_AUDIT", file.to_str().unwrap()),
        ("MODELTAP_AUDIT_BODY", "full"),
        ("MODELTAP_LOG", "full"),
        ("MODELTAP_HEALTH_VERBOSE", "1"),
        ("MODELTAP_FORWARD", "http://127.0.0.1:9/v1"),
        ("MODELTAP_FORWARD_KEY", "the-endpoints-key"),
    ];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    let mut told = Vec::new();
    let status = bridge.call("runtime_status", json!({}))["structuredContent"].clone();
    bridge.serve(echo);
    let secrets = ["the-admins-own-key", &ann, &old, "a-wrong-key", "the-endpoints-key"];
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/models", "/health", "/nowhere"] {
        for key in secrets {
            for header in ["Authorization: Bearer ", "x-api-key: ", "Authorization: Basic "] {
                let mut client = Client::connect(addr);
                client.post(path, &format!("{header}{key}\r\nConnection: close\r\n"), &chat("Hi"));
                let answer = client.answer();
                told.push(format!("{:?} {}", answer.headers, answer.text()));
            }
        }
    }
    let http = &status["http"];
    let admin = http["api_key_fingerprint"].as_str().unwrap();
    assert_eq!((admin.len(), &http["tokens_listed"]), (8, &json!(2)), "{http}");
    bridge.close_stdin();
    assert!(bridge.wait().success());

    let audit = std::fs::read_to_string(&file).unwrap();
    let records = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut seen: Vec<(String, String)> = records
        .filter_map(|r| Some((r["token"].as_str()?.to_owned(), r["key"].as_str()?.to_owned())))
        .collect();
    seen.sort();
    seen.dedup();
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["admin", "ann", "old"]);
    assert!(seen.iter().any(|(name, key)| name == "admin" && key == admin));

    let file = std::fs::read_to_string(tokens.path()).unwrap();
    told.extend([bridge.stderr(), status.to_string(), audit, file]);
    for text in told {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is told in {text}");
        }
    }
}

#[test]
fn events_show_whose_key_it_was_by_its_fingerprint() {
    let tokens = Tokens::new();
    let ann = tokens.add("ann", &[]);
    let mut bridge = Bridge::sampling(&[("MODELTAP_TOKENS", &*tokens.path())]);
    let mut client = Client::connect(bridge.addr());
    client.post("/v1/chat/completions", &format!("x-api-key: {ann}\r\n"), &chat("Hi"));
    let asked = bridge.recv_method("sampling/createMessage");
    bridge.answer(&asked, "Hello");
    assert_eq!(client.answer().status, 200);
    let events = bridge.call("channel_debug_events", json!({"kind": "request"}));
    let event = &events["structuredContent"]["events"][0];
    assert_eq!(event["meta"]["key"], "ann", "{event}");
    assert_eq!(event["meta"]["fingerprint"].as_str().map(str::len), Some(8), "{event}");
    let all = bridge.call("channel_debug_events", json!({"limit": 500})).to_string();
    assert!(!all.contains(&ann) && !all.contains(&ann[3..]), "{all}");
}
