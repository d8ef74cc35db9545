//! Deeply nested JSON: a clean answer in every dialect, on the small stacks of connections.

mod common;

use common::http::Client;
use common::{Bridge, sampled};
use std::net::SocketAddr;

/// Each route that takes a body, and bodies that hold `DEEP` or `BLOCKS` in all sorts of places.
const BODIES: [(&str, &[&str]); 5] = [
    (
        "/v1/chat/completions",
        &[
            r#"DEEP"#,
            r#"{"messages":[{"role":"user","content":"q"}],"unknown":DEEP}"#,
            r#"{"messages":[{"role":"user","content":"q"}],"metadata":{"a":DEEP}}"#,
            r#"{"messages":DEEP}"#,
            r#"{"messages":[{"role":"user","content":DEEP}]}"#,
            r#"{"messages":[{"role":"user","content":"q"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"a":DEEP}}}]}"#,
            r#"{"messages":[{"role":"user","content":"q"}],"tool_choice":DEEP}"#,
            r#"{"messages":[{"role":"user","content":"q"}],"response_format":{"type":"json_schema","json_schema":{"schema":{"a":DEEP}}}}"#,
            r#"{"messages":[{"role":"user","content":"q"}],"stop":DEEP}"#,
        ],
    ),
    (
        "/v1/messages",
        &[
            r#"DEEP"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"q"}],"unknown":DEEP}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":DEEP}]}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":BLOCKS}]}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":BLOCKS}}]}]}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"search_result","source":DEEP}]}]}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":DEEP}}]},{"role":"user","content":"q"}]}"#,
            r#"{"max_tokens":9,"system":BLOCKS,"messages":[{"role":"user","content":"q"}]}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"q"}],"tools":[{"name":"f","input_schema":{"a":DEEP}}]}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"q"}],"output_config":{"format":{"type":"json_schema","schema":{"a":DEEP}}}}"#,
        ],
    ),
    (
        "/v1/messages/count_tokens",
        &[
            r#"DEEP"#,
            r#"{"messages":[{"role":"user","content":BLOCKS}]}"#,
            r#"{"messages":[{"role":"user","content":"q"}],"tools":[{"name":"f","input_schema":{"a":DEEP}}]}"#,
        ],
    ),
    (
        "/v1/responses",
        &[
            r#"DEEP"#,
            r#"{"input":"q","unknown":DEEP}"#,
            r#"{"input":DEEP}"#,
            r#"{"input":[{"role":"user","content":"q","unknown":DEEP}]}"#,
            r#"{"input":[{"role":"user","content":DEEP}]}"#,
            r#"{"input":"q","metadata":{"a":DEEP}}"#,
            r#"{"input":"q","reasoning":{"a":DEEP}}"#,
            r#"{"input":"q","tool_choice":DEEP}"#,
            r#"{"input":"q","conversation":DEEP}"#,
            r#"{"input":"q","tools":[{"type":"function","name":"f","parameters":{"a":DEEP}}]}"#,
            r#"{"input":"q","text":{"format":{"type":"json_schema","schema":{"a":DEEP}}}}"#,
        ],
    ),
    (
        "/v1/completions",
        &[
            r#"DEEP"#,
            r#"{"prompt":"q","unknown":DEEP}"#,
            r#"{"prompt":DEEP}"#,
            r#"{"prompt":[DEEP]}"#,
        ],
    ),
];

fn status(addr: SocketAddr, path: &str, body: &str) -> u16 {
    let mut client = Client::connect(addr);
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let answer = client.answer();
    let body = answer.json();
    assert_eq!(answer.status != 200, body["error"]["message"].is_string(), "{answer:?}");
    answer.status
}

#[test]
fn deep_json_gets_a_clean_answer() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(|request| vec![sampled(request, "{}")]);
    // What is read as a tree is read to 127 levels; what only passes by has no limit.
    for levels in [10, 100, 120, 127, 128, 1000, 100_000] {
        let deep = "[".repeat(levels) + &"]".repeat(levels);
        // As deep as that in the one type that holds itself: two levels each.
        let block = r#"[{"type":"tool_result","tool_use_id":"t","content":"#;
        let blocks = block.repeat(levels / 2) + "\"\"" + &"}]".repeat(levels / 2);
        for (path, bodies) in BODIES {
            for body in bodies {
                let status =
                    status(addr, path, &body.replace("DEEP", &deep).replace("BLOCKS", &blocks));
                assert!(matches!(status, 200 | 400), "{levels} levels, {path} {body}: {status}");
                let is_ours = !body.contains("unknown") && !body.contains("tool_use\"");
                if levels >= 128 && is_ours {
                    assert_eq!(status, 400, "{levels} levels, {path} {body}");
                }
            }
        }
    }
}
