use super::*;
use serde_json::json;

fn encoder(stop: &[&'static str]) -> MessageEncoder {
    let context = Context { id: "7".into(), created: 0, message_chars: None, stored: &|_| None };
    let stop = stop.iter().map(|text| (*text).into()).collect();
    MessageEncoder::new(&context, &Ask { model: "m\"".into(), stop, ..Ask::default() })
}

fn call(id: &str, arguments: &str) -> Call {
    Call { id: id.into(), name: "t".into(), arguments: arguments.into() }
}

const USAGE: Usage = Usage { prompt: 5, completion: 3 };

fn whole(stop: &[&'static str], choice: Choice) -> Value {
    serde_json::from_slice(&encoder(stop).whole(&[choice], USAGE)).unwrap()
}

/// The stream of these events, ended for `reason`.
fn stream(stop: &[&'static str], events: &[Event], reason: StopReason) -> String {
    let (mut encoder, mut out) = (encoder(stop), Vec::new());
    encoder.open(USAGE, &mut out);
    let done = Event::Done { stop: reason, model: None };
    for event in events.iter().chain([&done]) {
        encoder.event(0, event, &mut out);
    }
    let choice = Choice { stop: Some(reason), ..Choice::default() };
    encoder.close(&[choice], USAGE, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_whole_answer_has_the_shape_of_the_api() {
    let calls = vec![call("c1", "{\"a\": 1}"), call("c2", "nonsense")];
    let stop = Some(StopReason::ToolUse);
    assert_eq!(
        whole(&[], Choice { text: "Hi".into(), calls, stop }),
        json!({"id": "msg_7", "type": "message", "role": "assistant", "model": "m\"",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "c1", "name": "t", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "t", "input": {}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 5, "output_tokens": 3,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}})
    );
    assert_eq!(whole(&[], Choice::default())["content"], json!([]));
}

#[test]
fn stop_reasons_are_the_apis_own() {
    use StopReason::{EndTurn, MaxTokens, StopSequence, ToolUse};
    for (stop, reason, expected) in [
        (&["x"][..], Some(EndTurn), json!(["end_turn", null])),
        (&["x"], Some(MaxTokens), json!(["max_tokens", null])),
        (&["x"], Some(ToolUse), json!(["tool_use", null])),
        (&["x"], Some(StopSequence), json!(["stop_sequence", "x"])),
        (&["x", "y"], Some(StopSequence), json!(["stop_sequence", null])),
        (&[], Some(StopSequence), json!(["stop_sequence", null])),
        (&[], None, json!(["end_turn", null])),
    ] {
        let message = whole(stop, Choice { stop: reason, ..Choice::default() });
        let found = json!([message["stop_reason"], message["stop_sequence"]]);
        assert_eq!(found, expected, "{reason:?}");
        if let Some(reason) = reason {
            let delta = json!({"stop_reason": expected[0], "stop_sequence": expected[1]});
            let text = stream(stop, &[], reason);
            assert!(text.contains(&format!("\"delta\":{delta}")), "{text}");
        }
    }
}

#[test]
fn a_stream_is_written_block_by_block() {
    let delta = |text: &str| Event::Delta(text.into());
    let events = [
        delta("Hi\n"),
        delta(""),
        delta("你"),
        Event::ToolCall(call("c1", "{\"a\":1}")),
        Event::ToolCall(call("c2", "{}")),
        delta("so"),
    ];
    let expected = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_7","type":"message","role":"assistant","model":"m\"","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi\n"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"你"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c1","name":"t","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"c2","name":"t","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"so"}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":3}}

event: message_stop
data: {"type":"message_stop"}

"#;
    assert_eq!(stream(&[], &events, StopReason::ToolUse), expected);
}

#[test]
fn an_empty_stream_has_no_block() {
    assert!(!stream(&[], &[], StopReason::EndTurn).contains("content_block"));
}

#[test]
fn text_split_anywhere_comes_out_as_it_went_in() {
    let text = "a\n\nevent: x\r\ndata: \"[DONE]\" 你好 👩‍👩‍👧 \u{0} \\ </tool_call> é";
    for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        let (a, b) = text.split_at(at);
        let events = [Event::Delta(a.into()), Event::Delta(b.into())];
        let stream = stream(&[], &events, StopReason::EndTurn);
        let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
        let data = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
        let deltas = data.filter(|event| event["type"] == "content_block_delta");
        let found: String =
            deltas.map(|e| e["delta"]["text"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, text, "split at {at}");
    }
}

#[test]
fn a_broken_stream_says_so_and_a_silent_one_pings() {
    let (mut encoder, mut out) = (encoder(&[]), Vec::new());
    let error = ApiError::new(504, "timeout_error", "host_timeout", "too late");
    encoder.error(&error, &mut out);
    let expected = "event: error\ndata: {\"error\":{\"message\":\"too late\",\
        \"type\":\"timeout_error\"},\"request_id\":\"7\",\"type\":\"error\"}\n\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert_eq!(encoder.keep_alive(), b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
}
