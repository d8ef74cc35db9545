//! What the targets have in common: a request is read, and its answer worded whole and streamed.

use modeltap::api::error::ApiError;
use modeltap::api::{Context, Encoder, Endpoint, Kept, Parsed};
use modeltap::chat::{Call, Choice, Event, StopReason, Usage};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// Reads `body` as a request of `endpoint`, and words an answer whose text is made of it.
pub fn drive(endpoint: &Endpoint, body: &[u8], text_of: impl Fn(&Value) -> Option<&str>) {
    read(endpoint, body, &|_| None, |parsed| answer(parsed, body, &text_of));
}

/// Reads `body`, checks what every reading must keep to, and hands it on; what was stored is
/// looked up with `stored`.
pub fn read<T>(
    endpoint: &Endpoint,
    body: &[u8],
    stored: &dyn Fn(&str) -> Option<Arc<Kept>>,
    then: impl Fn(Parsed) -> T,
) -> Option<T> {
    let context = |message_chars| Context {
        id: "0123456789abcdef0123456789abcdef".into(),
        created: 1_700_000_000,
        message_chars,
        stored,
    };
    // A limit refuses, and changes nothing else.
    if let Err(error) = (endpoint.parse)(body, &context(Some(8))) {
        check_error(&error, endpoint);
    }
    match (endpoint.parse)(body, &context(None)) {
        Err(error) => {
            check_error(&error, endpoint);
            None
        }
        Ok(parsed) => {
            let ask = &parsed.ask;
            assert!(!ask.messages.is_empty() && !ask.model.is_empty());
            assert!((1..=8).contains(&parsed.choices));
            assert!(ask.max_tokens != Some(0) && ask.top_k != Some(0));
            assert!(ask.stop.iter().all(|text| !text.is_empty()));
            for tool in &ask.tools {
                let schema: Value = serde_json::from_str(&tool.schema).expect("a schema is JSON");
                assert!(schema.is_object() && !tool.schema.contains(['\n', '\r']));
            }
            ask.estimate_tokens();
            Some(then(parsed))
        }
    }
}

/// Every refusal is a 400 in a well-formed envelope.
pub fn check_error(error: &ApiError, endpoint: &Endpoint) {
    assert!((400..500).contains(&error.status), "{error:?}");
    let envelope: Value = serde_json::from_slice(&error.to_json(endpoint.dialect, "id")).unwrap();
    assert!(envelope["error"]["message"].as_str().is_some_and(|said| !said.is_empty()));
}

/// The events of a stream: their JSON, each on one line of its own.
pub fn events(stream: &[u8]) -> Vec<Value> {
    let stream = std::str::from_utf8(stream).expect("a stream is text");
    assert!(stream.ends_with("\n\n"), "an event is not ended");
    let mut events = Vec::new();
    for event in stream.split_terminator("\n\n") {
        for line in event.split('\n') {
            match line.split_once(": ").expect("a line has a field") {
                ("data", "[DONE]") | ("event" | "", _) => {}
                ("data", json) => events.push(serde_json::from_str(json).expect("data is JSON")),
                (field, _) => panic!("what is {field:?}?"),
            }
        }
    }
    events
}

/// Cuts `text` into pieces, as long as the bytes of `lengths` say, over and over.
pub fn pieces<'t>(text: &'t str, lengths: &[u8]) -> Vec<&'t str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        let length = lengths.next().map_or(usize::MAX, |length| 1 + usize::from(length % 16));
        let at = (length..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (piece, more) = rest.split_at(at);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// Words an answer in both forms; `text_of` gives the piece of text that an event of the stream
/// carries.
fn answer(mut parsed: Parsed, seed: &[u8], text_of: &dyn Fn(&Value) -> Option<&str>) {
    let text = String::from_utf8_lossy(seed);
    let call =
        Call { id: "call_1".into(), name: text.chars().take(9).collect(), arguments: "{}".into() };
    let calls = if seed.len() % 3 == 0 { vec![call] } else { Vec::new() };
    let stops =
        [StopReason::EndTurn, StopReason::StopSequence, StopReason::MaxTokens, StopReason::ToolUse];
    let stop = stops[seed.len() % stops.len()];
    let choice = Choice { text: text.to_string(), calls: calls.clone(), stop: Some(stop) };
    let choices = vec![choice; parsed.choices];
    let usage = Usage { prompt: 3, completion: 5 };
    let encoder: &mut dyn Encoder = &mut *parsed.encoder;

    let mut out = Vec::new();
    encoder.open(usage, &mut out);
    for piece in pieces(&text, seed) {
        encoder.event(0, &Event::Delta(piece.to_owned()), &mut out);
    }
    for call in calls {
        encoder.event(0, &Event::ToolCall(call), &mut out);
    }
    for choice in 0..choices.len() {
        encoder.event(choice, &Event::Done { stop, model: None }, &mut out);
    }
    encoder.close(&choices, usage, &mut out);
    let told: String = events(&out).iter().filter_map(text_of).collect();
    assert_eq!(told, text, "the text of the stream");
    check_kept(encoder);

    out.clear();
    encoder.error(&ApiError::new(502, "upstream_error", "host_error", text.as_ref()), &mut out);
    assert_eq!(events(&out).len(), 1);

    let whole = encoder.whole(&choices, usage);
    assert!(serde_json::from_slice::<Value>(&whole).expect("an answer is JSON").is_object());
    check_kept(encoder);
}

/// What is kept can be read by those that ask for it.
fn check_kept(encoder: &mut dyn Encoder) {
    let Some(kept) = encoder.to_store() else { return };
    let response: Value = serde_json::from_slice(&kept.response).expect("a response is JSON");
    assert_eq!(response["id"], *kept.id);
    // An item may hold what no `Value` can, where the field is none of ours.
    let items: Vec<&RawValue> = serde_json::from_str(&kept.conversation).expect("items are JSON");
    assert!(kept.inputs <= items.len());
    let listed = modeltap::api::responses::input_items(&kept, true);
    let listed: HashMap<&str, &RawValue> = serde_json::from_slice(&listed).expect("a list is JSON");
    let data: Vec<&RawValue> = serde_json::from_str(listed["data"].get()).expect("data is a list");
    assert_eq!(data.len(), kept.inputs);
}
