//! Any body of `POST /v1/responses`, and one that goes on from its answer.
#![no_main]

use modeltap::api::{ENDPOINTS, Parsed};
use modeltap::chat::{Choice, StopReason, Usage};
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    modeltap_fuzz::drive(&ENDPOINTS[2], body, |event| match event["type"].as_str() {
        Some("response.output_text.delta") => event["delta"].as_str(),
        _ => None,
    });
    let kept = modeltap_fuzz::read(&ENDPOINTS[2], body, &|_| None, |parsed: Parsed| {
        let Parsed { ask, mut encoder, .. } = parsed;
        let answer =
            Choice { text: "Yes.".into(), calls: Vec::new(), stop: Some(StopReason::EndTurn) };
        encoder.whole(&[answer], Usage::default());
        encoder.to_store().map(|kept| (Arc::new(kept), ask.messages.len()))
    });
    let Some(Some((kept, before))) = kept else { return };
    let next = br#"{"input":"And now?","previous_response_id":"resp_1"}"#;
    let messages = modeltap_fuzz::read(&ENDPOINTS[2], next, &|_| Some(kept.clone()), |parsed| {
        parsed.ask.messages.len()
    });
    // Instructions are not kept; all else is, with the answer and the question.
    assert!(messages.is_some_and(|messages| messages >= before), "{before}, then {messages:?}");
});
