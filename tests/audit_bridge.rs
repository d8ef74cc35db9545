//! What a running bridge writes into its audit file, and what it does when it cannot.

mod common;

use common::audit::{Directory, of_kind, records_when, told};
use common::http::{self, Answer, Client};
use common::tokens::Tokens;
use common::{Bridge, chat, echo};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

const CHAT: &str = "/v1/chat/completions";

fn bridge(directory: &Directory, env: &[(&str, &str)]) -> (Bridge, SocketAddr) {
    let file = directory.file();
    let audit = [("MODELTAP_AUDIT", file.to_str().unwrap()), ("MODELTAP_LOG", "off")];
    let mut bridge = Bridge::sampling(&[&audit, env].concat());
    let addr = bridge.addr();
    bridge.serve(echo);
    (bridge, addr)
}

/// The request's two records, once both are there.
fn both(file: &Path, answer: &Answer) -> (Value, Value) {
    let id = answer.header("x-request-id").expect("an id");
    let of_it = |records: &[Value]| -> Vec<Value> {
        records.iter().filter(|record| record["id"] == id).cloned().collect()
    };
    let found = of_it(&records_when(file, |records| of_it(records).len() == 2));
    assert_eq!((&found[0]["kind"], &found[1]["kind"]), (&json!("rx"), &json!("tx")));
    (found[0].clone(), found[1].clone())
}

#[test]
fn a_request_and_its_answer_are_one_record_each() {
    let (directory, tokens) = (Directory::new(), Tokens::new());
    let ann = tokens.add("ann", &[]);
    let (mut bridge, addr) = bridge(&directory, &[("MODELTAP_TOKENS", &tokens.path())]);
    let mut client = Client::connect(addr);
    let headers = format!(
        "Authorization: Bearer {ann}\r\nUser-Agent: tester/1\r\nx-claude-code-session-id: s-7\r\n"
    );
    let body = chat("Hello, my key is sk-abcdefghijklmnopqrstuvwxyz012345 and mine alone");
    client.post(CHAT, &headers, &body);
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    let (rx, tx) = both(&directory.file(), &answer);
    for record in [&rx, &tx] {
        assert_eq!(record["token"], "ann");
        assert_eq!(record["key"].as_str().unwrap().len(), 8, "a fingerprint");
        assert_eq!((&record["route"], &record["model"]), (&json!(CHAT), &json!("m")));
    }
    assert_eq!((&rx["address"], &rx["method"]), (&json!("127.0.0.1"), &json!("POST")));
    assert_eq!((&rx["client"], &rx["session"]), (&json!("tester/1"), &json!("s-7")));
    assert_eq!((&tx["status"], &tx["backend"]), (&json!(200), &json!("sampling")));
    assert!(tx["ms"].is_u64() && tx["prompt_tokens"].is_u64() && tx["completion_tokens"].is_u64());
    let said = rx["body"].as_str().unwrap();
    assert!(said.contains("Hello, my key is [redacted] and mine alone"), "{said}");
    let said = tx["body"].as_str().unwrap();
    assert!(said.contains("echo: Hello, my key is [redacted]"), "{said}");

    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    client.post(CHAT, &headers, &streamed);
    let (rx, tx) = both(&directory.file(), &client.answer());
    assert_eq!((&rx["stream"], tx["first_ms"].is_u64()), (&json!(true), true));
    assert!(tx["body"].as_str().unwrap().starts_with("echo: "), "{tx}");

    bridge.close_stdin();
    assert!(bridge.wait().success());
    let (code, out, err) = told(&["verify", directory.file().to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
    let raw = std::fs::read_to_string(directory.file()).unwrap();
    assert!(!raw.contains(&ann) && !raw.contains("abcdefghijklmnop"), "a secret was written");
}

#[test]
fn what_is_refused_is_recorded_with_whose_it_was() {
    let (directory, tokens) = (Directory::new(), Tokens::new());
    let ann = tokens.add("ann", &["--routes", "models", "--models", "nothing"]);
    let bob = tokens.add("bob", &["--rate", "1/day"]);
    tokens.run(&["revoke", "ann"]);
    let (_bridge, addr) = bridge(&directory, &[("MODELTAP_TOKENS", &tokens.path())]);
    let file = directory.file();
    let ask = |key: &str, body: &Value| {
        let mut client = Client::connect(addr);
        client.post(CHAT, &format!("x-api-key: {key}\r\nConnection: close\r\n"), body);
        client.answer()
    };
    let told = |answer: &Answer| {
        let (_, tx) = both(&file, answer);
        (tx["status"].as_u64().unwrap(), tx["error"].clone(), tx["token"].clone())
    };
    let missing = Value::Null;
    let revoked = ask(&ann, &chat("Hello"));
    assert_eq!(told(&revoked), (401, "revoked_api_key".into(), "ann".into()));
    let unknown = ask("nobody's", &chat("Hello"));
    assert_eq!(told(&unknown), (401, "invalid_api_key".into(), missing.clone()));
    assert_eq!(told(&ask(&bob, &chat("Hello"))), (200, missing.clone(), "bob".into()));
    let over = ask(&bob, &chat("Hello"));
    assert_eq!(told(&over), (429, "rate_limit_exceeded".into(), "bob".into()));
    let wrong = ask(&bob, &json!({"model": 1}));
    assert_eq!(told(&wrong), (400, "invalid_request".into(), "bob".into()));
    let nowhere = http::get(addr, "/nowhere");
    assert_eq!(told(&nowhere), (404, "not_found".into(), missing));
    // Who only looks whether it is there leaves nothing.
    let before = records_when(&file, |_| true).len();
    http::get(addr, "/health");
    http::get(addr, "/ready");
    both(&file, &http::get(addr, "/v1/nowhere"));
    assert_eq!(records_when(&file, |_| true).len(), before + 2);
}

#[test]
fn a_client_that_leaves_is_recorded_as_gone() {
    let directory = Directory::new();
    let file = directory.file();
    let env = [("MODELTAP_AUDIT", file.to_str().unwrap())];
    let mut bridge = Bridge::sampling(&env);
    let mut client = Client::connect(bridge.addr());
    client.post(CHAT, "", &chat("Hello"));
    bridge.recv_method("sampling/createMessage");
    drop(client);
    let is_gone = |record: &Value| record["status"] == 499 && record["error"] == "client_gone";
    records_when(&file, |records| records.iter().any(is_gone));
}

#[test]
fn bodies_are_written_by_the_policy() {
    for (policy, has_text) in [("full", true), ("hash", false), ("none", false)] {
        let directory = Directory::new();
        let (_bridge, addr) = bridge(&directory, &[("MODELTAP_AUDIT_BODY", policy)]);
        let answer = http::chat(addr, "Hello sk-abcdefghijklmnopqrstuvwxyz012345");
        let (rx, tx) = both(&directory.file(), &answer);
        for record in [rx, tx] {
            let text = record["body"].as_str().unwrap_or_default();
            assert_eq!(text.contains("sk-abcdefghijklmnopqrstuvwxyz012345"), has_text, "{record}");
            assert_eq!(record["body_sha256"].is_string(), policy == "hash", "{record}");
        }
    }
    let directory = Directory::new();
    let (_bridge, addr) = bridge(&directory, &[("MODELTAP_AUDIT_REDACT", "[Cc]odename \\w+")]);
    let (rx, _) = both(&directory.file(), &http::chat(addr, "the codename swordfish it is"));
    assert!(rx["body"].as_str().unwrap().contains("the [redacted] it is"), "{rx}");
}

#[test]
fn a_second_run_carries_the_chain_on() {
    let directory = Directory::new();
    for _ in 0..2 {
        let (mut bridge, addr) = bridge(&directory, &[]);
        assert_eq!(http::chat(addr, "Hello").status, 200);
        bridge.close_stdin();
        assert!(bridge.wait().success());
    }
    let records = records_when(&directory.file(), |_| true);
    assert_eq!((of_kind(&records, "begin").len(), of_kind(&records, "end").len()), (2, 2));
    let (code, out, _) = told(&["verify", directory.file().to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}");
}

/// What is no file of records, and takes none.
#[cfg(target_os = "linux")]
const NO_FILE: &str = "/dev/full";

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_stops_no_answer_unless_it_is_required() {
    for (required, status) in [("0", 200), ("1", 503)] {
        let env = [("MODELTAP_AUDIT", NO_FILE), ("MODELTAP_AUDIT_REQUIRED", required)];
        let mut bridge = Bridge::sampling(&env);
        let addr = bridge.addr();
        bridge.serve(echo);
        bridge.wait_stderr("CANNOT BE WRITTEN");
        let answer = http::chat(addr, "Hello");
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 503 {
            assert_eq!(answer.json()["error"]["code"], "audit_unavailable");
            assert!(answer.header("retry-after").is_some());
        }
        assert_eq!(http::get(addr, "/health").status, 200);
    }
}
