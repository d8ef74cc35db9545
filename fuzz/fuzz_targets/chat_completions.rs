//! Any body of `POST /v1/chat/completions`.
#![no_main]

use modeltap::api::ENDPOINTS;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    modeltap_fuzz::drive(&ENDPOINTS[0], body, |event| {
        event["choices"][0]["delta"]["content"].as_str()
    });
});
