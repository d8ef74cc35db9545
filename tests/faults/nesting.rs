//! JSON that is nothing but depth, digits or keys.

use crate::common::http::{self, Client};
use crate::common::{Bridge, aside};
use crate::stage::Stage;
use crate::table::Told;
use serde_json::{Value, json};

const LEVELS: usize = 1_000_000;

/// Texts to stand where a value should.
fn bombs() -> Vec<String> {
    let keys: String = (0..100_000).map(|key| format!("\"{key}\":0,")).collect();
    vec![
        "[".repeat(LEVELS) + &"]".repeat(LEVELS),
        "{\"a\":".repeat(LEVELS) + "0" + &"}".repeat(LEVELS),
        "[".repeat(LEVELS),
        "9".repeat(1_000_000),
        format!("0.{}", "9".repeat(1_000_000)),
        "1e999999999".into(),
        "-1e999999999".into(),
        format!("{{\"{}\":0}}", "k".repeat(1_000_000)),
        format!("{{{keys}\"\":0}}"),
        format!("\"{}\"", "\\u0000".repeat(100_000)),
    ]
}

/// Where they are put, in each dialect.
const PLACES: [(&str, &str); 12] = [
    ("/v1/chat/completions", "BOMB"),
    ("/v1/chat/completions", r#"{"messages":BOMB}"#),
    ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"q"}],"max_tokens":BOMB}"#),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":"q"}],"tools":[{"type":"function","function":{"name":"f","parameters":BOMB}}]}"#,
    ),
    ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"q"}],"x":BOMB}"#),
    ("/v1/messages", r#"{"max_tokens":9,"messages":[{"role":"user","content":BOMB}]}"#),
    (
        "/v1/messages",
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"q"}],"tools":[{"name":"f","input_schema":BOMB}]}"#,
    ),
    ("/v1/messages/count_tokens", r#"{"messages":[{"role":"user","content":BOMB}]}"#),
    ("/v1/responses", r#"{"input":BOMB}"#),
    (
        "/v1/responses",
        r#"{"input":"q","tools":[{"type":"function","name":"f","parameters":BOMB}]}"#,
    ),
    ("/v1/responses", r#"{"input":"q","metadata":{"a":BOMB}}"#),
    ("/v1/completions", r#"{"prompt":BOMB}"#),
];

pub fn from_clients() -> Told {
    let stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let bombs = bombs();
    for bomb in &bombs {
        for (path, place) in PLACES {
            let body = place.replace("BOMB", bomb);
            let mut client = Client::connect(stage.addr);
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            let answer = client.answer();
            let shown = format!("{path} {place} {:.40}: {}", bomb, answer.status);
            assert!(matches!(answer.status, 200 | 400), "{shown}");
            let has_error = answer.json()["error"]["message"].is_string();
            assert_eq!(has_error, answer.status == 400, "{shown}");
        }
    }
    // A head has nothing to nest but lists.
    let mut client = stage.client();
    for list in ["close,".repeat(2000), ",".repeat(12_000), "\t".repeat(12_000)] {
        for name in ["X", "Accept", "Expect"] {
            client
                .send(format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{name}: {list}\r\n\r\n"));
            assert_eq!(client.answer().status, 200, "{name}: {list:.20}");
        }
    }
    drop(client);
    stage.settle(
        format!(
            "{} bodies in 5 routes: 1,000,000 levels, numbers of 1,000,000 digits and 10^999999999, a key of 1 MB, \
             100,000 keys, as messages, limits, tool schemas …; headers of 12,000 commas",
            bombs.len() * PLACES.len()
        ),
        "400, or 200 where nobody reads that field",
        128,
    )
}

pub fn from_the_host() -> Told {
    let mut stage = Stage::of(Bridge::sampling(&[]));
    let bombs = bombs();
    for bomb in &bombs {
        for place in [
            "BOMB",
            r#"[BOMB]"#,
            r#"{"jsonrpc":"2.0","id":BOMB,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":"deep","method":BOMB}"#,
            r#"{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":BOMB}"#,
            r#"{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":{"name":"channel_reply","arguments":BOMB}}"#,
            r#"{"jsonrpc":"2.0","id":"deep","method":"initialize","params":{"capabilities":BOMB}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":BOMB}}"#,
        ] {
            stage.bridge.send_raw(format!("{}\n", place.replace("BOMB", bomb)).as_bytes());
            if place.contains("\"id\":BOMB") && bomb.bytes().all(|b| b.is_ascii_digit()) {
                // An id of that many digits is one, and comes back.
                assert!(stage.bridge.line().contains(bomb));
            }
            // Read, answered or not, and survived.
            assert_eq!(stage.bridge.request("ping", json!({}))["result"], json!({}), "{place}");
        }
    }
    let mut answers = 0;
    for bomb in &bombs {
        for place in [
            r#""result":BOMB"#,
            r#""result":{"role":"assistant","model":"m","content":BOMB}"#,
            r#""result":{"role":"assistant","model":"m","content":{"type":"text","text":BOMB}}"#,
            r#""result":{"role":"assistant","model":BOMB,"content":{"type":"text","text":"Hi"}}"#,
            r#""error":BOMB"#,
        ] {
            let addr = stage.addr;
            let client = aside(move || http::chat(addr, "Hello"));
            let id: Value = stage.asked()["id"].clone();
            let rest = place.replace("BOMB", bomb);
            stage
                .bridge
                .send_raw(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{rest}}}\n").as_bytes());
            // One that cannot be read at all answers nothing; a good one comes then.
            stage.bridge.send_raw(
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32603,\"message\":\"no\"}}}}\n").as_bytes(),
            );
            let status = client.get().status;
            assert!(matches!(status, 200 | 502), "{place} {bomb:.40}: {status}");
            answers += 1;
        }
    }
    stage.settle(
        format!("{} messages and {answers} answers with the same", bombs.len() * 8),
        "a JSON-RPC error; its client gets 502, or the text where that can be read",
        128,
    )
}
