//! Large requests and answers pass in every dialect, in memory of a few times their size.

mod common;

use common::http::{self, Client};
use common::{Bridge, aside};
use serde_json::{Value, json};

const MEGA: usize = 1024 * 1024;

/// The endpoints, each with the body that asks for `text`.
fn bodies(text: &str, stream: bool) -> [(&'static str, Value); 4] {
    let messages = json!([{"role": "user", "content": text}]);
    [
        ("/v1/chat/completions", json!({"messages": messages, "stream": stream})),
        (
            "/v1/messages",
            json!({"messages": messages, "stream": stream, "max_tokens": 9, "model": "m"}),
        ),
        ("/v1/responses", json!({"input": text, "stream": stream, "store": false})),
        ("/v1/completions", json!({"prompt": text, "stream": stream})),
    ]
}

/// What the process took at its peak beyond what it took before `work`, in units of the bytes that
/// passed, which `work` tells: the events of /v1/responses repeat the text five times.
fn growth(size: usize, work: impl FnOnce(&mut Bridge) -> usize) -> Option<f64> {
    let mut bridge = Bridge::sampling(&[]);
    let before = bridge.memory_kib()?;
    let passed = work(&mut bridge);
    assert!(passed + 101 >= size, "{passed} of {size} bytes passed");
    let after = bridge.memory_peak_kib()?;
    Some((after - before) as f64 * 1024.0 / passed as f64)
}

#[test]
fn a_stream_of_five_megabytes_passes() {
    let size = 5 * MEGA;
    for (path, body) in bodies("Tell me much.", true) {
        let growth = growth(size, |bridge| {
            let addr = bridge.addr();
            let client = aside(move || {
                let mut client = Client::connect(addr);
                client.post(path, "", &body);
                assert_eq!(client.head().status, 200);
                let mut length = 0;
                while let Some(chunk) = client.chunk() {
                    length += chunk.len();
                }
                length
            });
            let request = bridge.recv_method("sampling/createMessage");
            bridge.answer(&request, &"All work. ".repeat(size / 10));
            client.get()
        });
        println!("{path}: {growth:?} times");
        assert!(growth.is_none_or(|growth| growth < 4.0), "{path}: {growth:?}");
    }
}

#[test]
fn a_request_of_thirty_megabytes_passes() {
    let size = 30 * MEGA;
    // A line end now and then, so that no text can be borrowed from its body.
    let text = format!("{}\n", "All work. ".repeat(10)).repeat(size / 101);
    for (path, body) in bodies(&text, false) {
        let growth = growth(size, |bridge| {
            let addr = bridge.addr();
            let client = aside(move || http::post(addr, path, &body));
            let request = bridge.recv_method("sampling/createMessage");
            let asked = request["params"]["messages"][0]["content"]["text"].as_str().unwrap().len();
            bridge.answer(&request, "Yes.");
            assert_eq!(client.get().status, 200);
            asked
        });
        println!("{path}: {growth:?} times");
        assert!(growth.is_none_or(|growth| growth < 4.0), "{path}: {growth:?}");
    }
}
