//! Any body of `POST /v1/completions`.
#![no_main]

use modeltap::api::ENDPOINTS;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    modeltap_fuzz::drive(&ENDPOINTS[3], body, |event| event["choices"][0]["text"].as_str());
});
