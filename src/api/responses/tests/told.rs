//! From events to the response object and the stream.

use super::read;
use crate::api::error::ApiError;
use crate::api::{Encoder, Kept};
use crate::chat::{Call, Choice, Event, StopReason, Usage};
use serde_json::{Value, json};
use std::sync::Arc;

const USAGE: Usage = Usage { prompt: 5, completion: 3 };

fn call(id: &str) -> Call {
    Call { id: id.into(), name: "f".into(), arguments: "{\"a\":1}".into() }
}

fn done(stop: StopReason) -> Event {
    Event::Done { stop, model: Some("host's".into()) }
}

/// The events of a stream for `{"model":"m","input":"q"}`. The names before them must be their
/// types, and their numbers must ascend.
fn stream(events: &[Event], end: impl FnOnce(&mut dyn Encoder, &mut Vec<u8>)) -> Vec<Value> {
    let body = json!({"model": "m", "input": "q", "stream": true});
    let out = read(&body, None, |parsed| {
        let mut out = Vec::new();
        let mut encoder = parsed.unwrap().encoder;
        encoder.open(USAGE, &mut out);
        for event in events {
            encoder.event(0, event, &mut out);
        }
        end(&mut *encoder, &mut out);
        String::from_utf8(out).unwrap()
    });
    let events = out.strip_suffix("\n\n").unwrap().split("\n\n").enumerate().map(|(at, event)| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let mut data: Value = serde_json::from_str(data).unwrap();
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(at)));
        data.as_object_mut().unwrap().remove("sequence_number");
        data
    });
    events.collect()
}

fn close(encoder: &mut dyn Encoder, out: &mut Vec<u8>) {
    encoder.close(&[], USAGE, out);
}

/// The response object of `{"model":"m","input":"q"}` with its changing fields.
fn response(status: &str, output: &[Value], usage: Value) -> Value {
    json!({
        "id": "resp_x", "object": "response", "created_at": 7, "status": status, "error": null,
        "incomplete_details": null, "output": output, "usage": usage, "background": false,
        "instructions": null, "max_output_tokens": null, "metadata": {}, "model": "m",
        "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
        "reasoning": {"effort": null, "summary": null}, "safety_identifier": null,
        "service_tier": "default", "store": true, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
    })
}

fn usage() -> Value {
    json!({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 8})
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

fn message(at: usize, status: &str, content: Value) -> Value {
    json!({"type": "message", "id": format!("msg_x_{at}"), "status": status, "role": "assistant",
        "content": content})
}

fn call_item(at: usize, status: &str, call_id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": format!("fc_x_{at}"), "status": status,
        "call_id": call_id, "name": "f", "arguments": arguments})
}

/// The events of a message said in `deltas`.
fn message_events(at: usize, deltas: &[&str], status: &str) -> Vec<Value> {
    let text = deltas.concat();
    let id = format!("msg_x_{at}");
    let mut events = vec![
        json!({"type": "response.output_item.added", "output_index": at,
            "item": message(at, "in_progress", json!([]))}),
        json!({"type": "response.content_part.added", "item_id": id, "output_index": at,
            "content_index": 0, "part": part("")}),
    ];
    events.extend(deltas.iter().map(|delta| {
        json!({"type": "response.output_text.delta", "item_id": id, "output_index": at,
            "content_index": 0, "delta": delta, "logprobs": []})
    }));
    events.extend([
        json!({"type": "response.output_text.done", "item_id": id, "output_index": at,
            "content_index": 0, "text": text, "logprobs": []}),
        json!({"type": "response.content_part.done", "item_id": id, "output_index": at,
            "content_index": 0, "part": part(&text)}),
        json!({"type": "response.output_item.done", "output_index": at,
            "item": message(at, status, json!([part(&text)]))}),
    ]);
    events
}

fn call_events(at: usize, call_id: &str) -> Vec<Value> {
    let id = format!("fc_x_{at}");
    vec![
        json!({"type": "response.output_item.added", "output_index": at,
            "item": call_item(at, "in_progress", call_id, "")}),
        json!({"type": "response.function_call_arguments.delta", "item_id": id, "output_index": at,
            "delta": "{\"a\":1}"}),
        json!({"type": "response.function_call_arguments.done", "item_id": id, "output_index": at,
            "name": "f", "arguments": "{\"a\":1}"}),
        json!({"type": "response.output_item.done", "output_index": at,
            "item": call_item(at, "completed", call_id, "{\"a\":1}")}),
    ]
}

fn begun() -> Vec<Value> {
    let response = response("in_progress", &[], Value::Null);
    vec![
        json!({"type": "response.created", "response": response}),
        json!({"type": "response.in_progress", "response": response}),
    ]
}

#[test]
fn streams_are_told_event_by_event() {
    let text = |text: &str| Event::Delta(text.into());
    let whole = |output: &[Value]| {
        vec![
            json!({"type": "response.completed", "response": response("completed", output, usage())}),
        ]
    };
    let said = |at, text: &str| message(at, "completed", json!([part(text)]));
    let made = |at, id| call_item(at, "completed", id, "{\"a\":1}");

    let found = stream(&[text("Hi \"you\"\n"), text("你"), done(StopReason::EndTurn)], close);
    let hi = message_events(0, &["Hi \"you\"\n", "你"], "completed");
    assert_eq!(found, [begun(), hi, whole(&[said(0, "Hi \"you\"\n你")])].concat());

    let events = [
        text("See"),
        Event::ToolCall(call("c1")),
        Event::ToolCall(call("c2")),
        text("so"),
        done(StopReason::ToolUse),
    ];
    let (see, so) = (["See"], ["so"]);
    let expected = [
        begun(),
        message_events(0, &see, "completed"),
        call_events(1, "c1"),
        call_events(2, "c2"),
        message_events(3, &so, "completed"),
        whole(&[said(0, "See"), made(1, "c1"), made(2, "c2"), said(3, "so")]),
    ];
    assert_eq!(stream(&events, close), expected.concat());

    let calls = [Event::ToolCall(call("c1")), done(StopReason::ToolUse)];
    let expected = [begun(), call_events(0, "c1"), whole(&[made(0, "c1")])];
    assert_eq!(stream(&calls, close), expected.concat());

    let nothing = [begun(), message_events(0, &[], "completed"), whole(&[said(0, "")])];
    assert_eq!(stream(&[done(StopReason::StopSequence)], close), nothing.concat());
}

#[test]
fn a_stream_that_is_cut_or_fails_says_so() {
    let output = [message(0, "incomplete", json!([part("Hi")]))];
    let mut cut = response("incomplete", &output, usage());
    cut["incomplete_details"] = json!({"reason": "max_output_tokens"});
    let cut = vec![json!({"type": "response.incomplete", "response": cut})];
    let hi = Event::Delta("Hi".into());
    let found = stream(&[hi.clone(), done(StopReason::MaxTokens)], close);
    assert_eq!(found, [begun(), message_events(0, &["Hi"], "incomplete"), cut].concat());

    let mut failed = response("failed", &output, Value::Null);
    failed["error"] = json!({"code": "host_error", "message": "it broke"});
    let error = ApiError::new(502, "upstream_error", "host_error", "it broke");
    let found = stream(&[hi], |encoder, out| encoder.error(&error, out));
    let failed = vec![json!({"type": "response.failed", "response": failed})];
    let mut hi = message_events(0, &["Hi"], "");
    hi.truncate(3);
    assert_eq!(found, [begun(), hi, failed].concat());
}

#[test]
fn a_whole_answer_repeats_what_was_asked() {
    let body = json!({
        "model": "m", "input": "q", "instructions": "Be \"brief\".", "max_output_tokens": 9,
        "temperature": 0, "top_p": 0.5, "user": "ann", "metadata": {"k": "v"}, "store": false,
        "parallel_tool_calls": false, "truncation": "auto", "prompt_cache_key": "p",
        "safety_identifier": "s", "reasoning": {"effort": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}},
            {"type": "web_search"}],
        "tool_choice": "required",
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {}}},
    });
    let choice = Choice {
        text: "Hi".into(),
        calls: vec![call("c1"), call("c2")],
        stop: Some(StopReason::ToolUse),
    };
    let found: Value = read(&body, None, |parsed| {
        let mut encoder = parsed.unwrap().encoder;
        let body = encoder.whole(&[choice], USAGE);
        assert!(encoder.to_store().is_none());
        serde_json::from_slice(&body).unwrap()
    });
    let output = [
        message(0, "completed", json!([part("Hi")])),
        call_item(1, "completed", "c1", "{\"a\":1}"),
        call_item(2, "completed", "c2", "{\"a\":1}"),
    ];
    let mut expected = response("completed", &output, usage());
    for key in [
        "instructions",
        "max_output_tokens",
        "top_p",
        "user",
        "metadata",
        "store",
        "parallel_tool_calls",
        "truncation",
        "prompt_cache_key",
        "safety_identifier",
        "tool_choice",
    ] {
        expected[key] = body[key].clone();
    }
    expected["temperature"] = json!(0.0);
    expected["reasoning"] = json!({"effort": "low", "summary": null});
    expected["tools"] = json!([{"type": "function", "name": "f", "description": null,
        "parameters": {"type": "object"}, "strict": null}]);
    expected["text"] = json!({"verbosity": "low",
        "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": false}});
    assert_eq!(found, expected);
}

#[test]
fn each_stop_reason_has_its_status() {
    for (stop, calls, status, item) in [
        (StopReason::EndTurn, vec![], "completed", "completed"),
        (StopReason::StopSequence, vec![], "completed", "completed"),
        (StopReason::ToolUse, vec![call("c")], "completed", "completed"),
        (StopReason::MaxTokens, vec![], "incomplete", "incomplete"),
        (StopReason::MaxTokens, vec![call("c")], "incomplete", "completed"),
    ] {
        let choice = Choice { text: "Hi".into(), calls, stop: Some(stop) };
        let found: Value = read(&json!({"input": "q"}), None, |parsed| {
            serde_json::from_slice(&parsed.unwrap().encoder.whole(&[choice], USAGE)).unwrap()
        });
        assert_eq!(
            (&found["status"], &found["output"][0]["status"]),
            (&json!(status), &json!(item))
        );
        assert_eq!(found["incomplete_details"].is_null(), status == "completed");
    }
}

#[test]
fn a_line_end_in_a_schema_does_not_end_the_event() {
    let body = "{\"input\":\"q\",\"stream\":true,\"tools\":[{\"type\":\"function\",\"name\":\"f\",\
        \"parameters\":{\r\n\n\"type\":\"object\"}}],\"text\":{\"format\":{\"type\":\"json_schema\",\
        \"schema\":{\n}}}}";
    let context =
        crate::api::Context { id: "x".into(), created: 7, message_chars: None, stored: &|_| None };
    let mut out = Vec::new();
    super::parse(body.as_bytes(), &context).unwrap().encoder.open(USAGE, &mut out);
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 6);
}

#[test]
fn what_is_kept_goes_on_where_it_ended() {
    let ask = |body: &Value, stored: Option<&Arc<Kept>>, text: &str, streamed: bool| {
        let choice =
            Choice { text: text.into(), calls: vec![call("c")], stop: Some(StopReason::ToolUse) };
        read(body, stored, |parsed| {
            let mut encoder = parsed.unwrap().encoder;
            if streamed {
                let mut out = Vec::new();
                encoder.event(0, &Event::Delta(text.into()), &mut out);
                encoder.event(0, &Event::ToolCall(call("c")), &mut out);
                encoder.event(0, &done(StopReason::ToolUse), &mut out);
                encoder.close(&[choice], USAGE, &mut out);
            } else {
                encoder.whole(&[choice], USAGE);
            }
            Arc::new(encoder.to_store().unwrap())
        })
    };
    let said = |text: &str| {
        [message(0, "completed", json!([part(text)])), call_item(1, "completed", "c", "{\"a\":1}")]
    };
    for streamed in [false, true] {
        let first = ask(&json!({"input": "one\n\"1\""}), None, "two", streamed);
        assert_eq!((first.id.as_str(), first.inputs), ("resp_x", 1));
        let input = json!({"type": "message", "role": "user", "content": "one\n\"1\""});
        let conversation: Value = serde_json::from_str(&first.conversation).unwrap();
        let mut all = vec![input];
        all.extend(said("two"));
        assert_eq!(conversation, json!(all));
        let response: Value = serde_json::from_slice(&first.response).unwrap();
        assert_eq!(
            (&response["status"], &response["output"]),
            (&json!("completed"), &json!(said("two")))
        );

        let output = json!({"type": "function_call_output", "call_id": "c", "output": "3"});
        let body = json!({"instructions": "not kept", "previous_response_id": "resp_x",
            "input": [output]});
        let second = ask(&body, Some(&first), "four", streamed);
        all.push(output);
        assert_eq!(second.inputs, all.len());
        all.extend(said("four"));
        assert_eq!(serde_json::from_str::<Value>(&second.conversation).unwrap(), json!(all));
    }
}

#[test]
fn any_text_comes_out_as_it_went_in_wherever_it_is_split() {
    let text = "a\n\n data: [DONE]\r\n\"\\u0000\u{0}\u{2028}你好 👩‍👩‍👧 </tool_call> ü";
    let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    for (index, first) in cuts.iter().enumerate() {
        for second in &cuts[index..] {
            let pieces = [&text[..*first], &text[*first..*second], &text[*second..]];
            let mut events: Vec<Event> =
                pieces.iter().map(|piece| Event::Delta((*piece).into())).collect();
            events.push(done(StopReason::EndTurn));
            let found = stream(&events, close);
            let deltas: String = found.iter().filter_map(|event| event["delta"].as_str()).collect();
            assert_eq!(deltas, text);
            let last = &found[found.len() - 1]["response"]["output"];
            assert_eq!(last, &json!([message(0, "completed", json!([part(text)]))]));
        }
    }
}
