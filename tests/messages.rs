//! Anthropic's `POST /v1/messages` through sampling: what the host is asked, and what the client
//! gets, whole and as a stream.

mod common;

use common::http::{self, Answer, Client};
use common::{Bridge, aside};
use serde_json::{Value, json};

const PATH: &str = "/v1/messages?beta=true";

fn said(text: &str) -> Value {
    json!({"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": text}]})
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

/// Sends `body`, answers the host's side with these content blocks and this reason, and returns
/// both sides.
fn round(bridge: &mut Bridge, body: Value, content: Value, stop: &str) -> (Value, Answer) {
    let addr = bridge.addr();
    let client = aside(move || http::post(addr, PATH, &body));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": {
        "role": "assistant", "content": content, "model": "test-model", "stopReason": stop}}));
    (request, client.get())
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The events of a stream, each with the data of its one line.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let text = text.strip_suffix("\n\n").expect("a stream ends with an event");
    let events = text.split("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').expect("an event has two lines");
        let name = name.strip_prefix("event: ").expect("a name comes first");
        let data = data.strip_prefix("data: ").expect("then the data");
        let data: Value = serde_json::from_str(data).expect("which is JSON");
        assert_eq!(data["type"], name);
        (name.to_owned(), data)
    });
    events.collect()
}

#[test]
fn a_whole_answer_has_the_shape_of_the_api() {
    let mut bridge = Bridge::sampling(&[]);
    let (request, answer) = round(&mut bridge, said("Hello"), text("Hi there"), "endTurn");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-mcp-backend"), Some("sampling"));
    assert_eq!(answer.header("x-mcp-model"), Some("test-model"));
    assert_eq!(answer.header("x-mcp-usage"), Some("estimated"));
    let id = answer.header("request-id").unwrap();
    assert_eq!(answer.header("x-request-id"), Some(id));
    assert_eq!(request["id"], id);
    let mut body = answer.json();
    let usage = body["usage"].take();
    assert_eq!(
        body,
        json!({"id": format!("msg_{id}"), "type": "message", "role": "assistant",
            "model": "claude-x", "content": [{"type": "text", "text": "Hi there"}],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": null})
    );
    assert!(usage["input_tokens"].as_u64() > Some(0) && usage["output_tokens"].as_u64() > Some(0));
    let cache = [&usage["cache_creation_input_tokens"], &usage["cache_read_input_tokens"]];
    assert_eq!(cache, [0, 0]);
    let (_, answer) = round(&mut bridge, said("Hello"), json!([]), "endTurn");
    assert_eq!(answer.json()["content"], json!([]));
}

#[test]
fn the_host_is_asked_in_its_own_terms() {
    let mut bridge = Bridge::sampling(&[]);
    let body = json!({
        "model": "claude-x", "max_tokens": 9, "temperature": 0.25, "stop_sequences": ["END"],
        "metadata": {"user_id": "ann"}, "thinking": {"type": "enabled", "budget_tokens": 1024},
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image", "source":
                    {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "document", "title": "Notes", "source":
                    {"type": "text", "media_type": "text/plain", "data": "It purrs."}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "SECRET", "signature": "s"},
                {"type": "text", "text": "A cat?"}]},
            {"role": "system", "content": "In French."},
            {"role": "user", "content": "Yes."},
        ],
    });
    let (request, answer) = round(&mut bridge, body, text("un chat"), "stopSequence");
    let params = &request["params"];
    assert_eq!(params["systemPrompt"], "Be brief.\n\nIn French.");
    assert_eq!(
        params["messages"],
        json!([
            {"role": "user", "content": {"type": "text", "text": "Look:"}},
            {"role": "user", "content":
                {"type": "image", "data": "aGk=", "mimeType": "image/png"}},
            {"role": "user", "content": {"type": "text", "text": "Notes\nIt purrs."}},
            {"role": "assistant", "content": {"type": "text", "text": "A cat?"}},
            {"role": "user", "content": {"type": "text", "text": "Yes."}},
        ])
    );
    assert_eq!(params["modelPreferences"]["hints"], json!([{"name": "claude-x"}]));
    assert_eq!((&params["maxTokens"], &params["temperature"]), (&json!(9), &json!(0.25)));
    assert_eq!(params["stopSequences"], json!(["END"]));
    assert_eq!(params["metadata"]["user"], "ann");
    let body = answer.json();
    assert_eq!(
        (&body["stop_reason"], &body["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
}

#[test]
fn a_stream_is_a_message_of_blocks() {
    let mut bridge = Bridge::sampling(&[]);
    let body = with(said("Hello"), "stream", true.into());
    let (_, answer) = round(&mut bridge, body, text("Hi \"you\"\n你"), "maxTokens");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let id = answer.header("request-id").unwrap();
    assert_eq!(answer.header("x-request-id"), Some(id));
    let events = events(&answer);
    let (prompt, completion) =
        (&events[0].1["message"]["usage"]["input_tokens"], &events[4].1["usage"]["output_tokens"]);
    assert!(prompt.as_u64() > Some(0) && completion.as_u64() > Some(0));
    let usage = |output: &Value| {
        json!({"input_tokens": prompt, "output_tokens": output,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0})
    };
    let data: Vec<&Value> = events.iter().map(|(_, data)| data).collect();
    assert_eq!(
        data,
        [
            &json!({"type": "message_start", "message": {"id": format!("msg_{id}"),
                "type": "message", "role": "assistant", "model": "claude-x", "content": [],
                "stop_reason": null, "stop_sequence": null,
                "usage": usage(&json!(0))}}),
            &json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": ""}}),
            &json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": "Hi \"you\"\n你"}}),
            &json!({"type": "content_block_stop", "index": 0}),
            &json!({"type": "message_delta", "usage": usage(completion),
                "delta": {"stop_reason": "max_tokens", "stop_sequence": null}}),
            &json!({"type": "message_stop"}),
        ]
    );
}

#[test]
fn tool_calls_are_blocks_whole_and_streamed() {
    let mut bridge = Bridge::spawn(&[]);
    bridge.initialize("test-host", json!({"sampling": {"tools": {}}}));
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tools = json!([{"name": "weather", "description": "Tells it", "input_schema": schema}]);
    let body = with(said("Weather in Paris and Rome?"), "tools", tools);
    let call = |id: &str, city: &str| json!({"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}});
    let content = json!([text("Let me look."), call("c1", "Paris"), call("c2", "Rome")]);
    let (_, answer) = round(&mut bridge, body.clone(), content.clone(), "toolUse");
    let whole = answer.json();
    assert_eq!((&whole["content"], &whole["stop_reason"]), (&content, &json!("tool_use")));

    let body = with(body, "stream", true.into());
    let (_, answer) = round(&mut bridge, body, content, "toolUse");
    let events = events(&answer);
    let mut blocks = Vec::new();
    for (name, data) in &events {
        let index = data["index"].as_u64().unwrap_or_default() as usize;
        match name.as_str() {
            "content_block_start" => {
                assert_eq!(index, blocks.len());
                blocks.push((data["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(index + 1, blocks.len());
                let delta = &data["delta"];
                let piece = delta["text"].as_str().or_else(|| delta["partial_json"].as_str());
                blocks[index].1.push_str(piece.unwrap());
            }
            "content_block_stop" => assert_eq!(index + 1, blocks.len()),
            "message_delta" => assert_eq!(data["delta"]["stop_reason"], "tool_use"),
            _ => {}
        }
    }
    let open = |id: &str| json!({"type": "tool_use", "id": id, "name": "weather", "input": {}});
    assert_eq!(
        blocks,
        [
            (text(""), "Let me look.".to_owned()),
            (open("c1"), r#"{"city":"Paris"}"#.to_owned()),
            (open("c2"), r#"{"city":"Rome"}"#.to_owned()),
        ]
    );
}

#[test]
fn a_tool_result_reaches_the_host() {
    let mut bridge = Bridge::sampling(&[]);
    let messages = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [text("18C")]},
            text("Well?")]},
    ]);
    let body = with(said(""), "messages", messages);
    let (request, answer) = round(&mut bridge, body, text("Mild."), "endTurn");
    assert_eq!(answer.json()["content"], json!([text("Mild.")]));
    let messages = request["params"]["messages"].to_string();
    assert!(messages.contains("18C") && messages.contains("Well?"), "{messages}");
}

#[test]
fn a_silent_stream_pings_and_a_broken_one_says_why() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_KEEP_ALIVE", "50ms")]);
    let mut client = Client::connect(bridge.addr());
    client.post(PATH, "", &with(said("Hello"), "stream", true.into()));
    let request = bridge.recv_method("sampling/createMessage");
    let head = client.head();
    let start = client.chunk().unwrap();
    assert!(start.starts_with(b"event: message_start\n"));
    for _ in 0..2 {
        assert_eq!(client.chunk().unwrap(), b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"],
        "error": {"code": -32603, "message": "out of order"}}));
    let mut rest = Vec::new();
    while let Some(chunk) = client.chunk() {
        rest.extend(chunk);
    }
    let answer = Answer { body: rest, ..head };
    let events = events(&answer);
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["error"]["type"]), ("error", &json!("api_error")));
    assert!(data["error"]["message"].as_str().unwrap().contains("out of order"));
    assert_eq!(data["request_id"].as_str(), answer.header("request-id"));
    assert!(events.iter().all(|(name, _)| name == "ping" || name == "error"), "{events:?}");
}

#[test]
fn large_ones_pass_in_little_memory() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_LOG", "off")]);
    let long = "0123456789abcdef".repeat(30 * 1024 * 1024 / 16);
    let (request, answer) = round(&mut bridge, said(&long), text("ok"), "endTurn");
    assert_eq!(answer.status, 200);
    assert_eq!(request["params"]["messages"][0]["content"]["text"], long);
    let mib = bridge.memory_peak_kib().map(|kib| kib / 1024);
    assert!(mib.is_none_or(|mib| mib < 4 * 30), "{mib:?} MiB for a request of 30");

    let mut bridge = Bridge::sampling(&[("MODELTAP_LOG", "off")]);
    let long = "a \"line\"\n".repeat(5 * 1024 * 1024 / 9);
    let body = with(said("Hello"), "stream", true.into());
    let (_, answer) = round(&mut bridge, body, text(&long), "endTurn");
    let deltas = events(&answer).into_iter().filter(|(name, _)| name == "content_block_delta");
    let found: String =
        deltas.map(|(_, data)| data["delta"]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, long);
}
