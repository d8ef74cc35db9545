//! Any body of `POST /v1/messages`, and of its counting of tokens.
#![no_main]

use modeltap::api::{ENDPOINTS, messages};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    modeltap_fuzz::drive(&ENDPOINTS[1], body, |event| match event["delta"]["type"].as_str() {
        Some("text_delta") => event["delta"]["text"].as_str(),
        _ => None,
    });
    match messages::count_tokens(body) {
        Ok(count) => {
            let count: Value = serde_json::from_slice(&count).expect("a count is JSON");
            assert!(count["input_tokens"].is_u64());
        }
        Err(error) => modeltap_fuzz::check_error(&error, &ENDPOINTS[1]),
    }
});
