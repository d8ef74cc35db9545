//! `POST /v1/chat/completions` through sampling: what the host is asked, and what the client gets.

mod common;

use common::http::{self, Client};
use common::{Bridge, aside, chat, echo};
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";

/// Sends `body`, answers the host's side with `answer`, and returns both sides.
fn round(bridge: &mut Bridge, body: Value, text: &str) -> (Value, http::Answer) {
    let addr = bridge.addr();
    let client = aside(move || http::post(addr, PATH, &body));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, text);
    (request, client.get())
}

#[test]
fn a_whole_answer_has_the_shape_of_the_api() {
    let mut bridge = Bridge::sampling(&[]);
    let (request, answer) = round(&mut bridge, chat("Hello"), "Hi there");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-mcp-backend"), Some("sampling"));
    assert_eq!(answer.header("x-mcp-model"), Some("test-model"));
    assert_eq!(answer.header("x-mcp-usage"), Some("estimated"));
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(request["id"], id);
    let body = answer.json();
    assert_eq!(body["id"], format!("chatcmpl-{id}"));
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "m");
    assert_eq!(
        body["choices"],
        json!([{"index": 0, "logprobs": null, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hi there", "refusal": null}}])
    );
    assert_eq!(
        body["usage"],
        json!({"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10})
    );
}

#[test]
fn the_host_is_asked_in_its_own_terms() {
    let mut bridge = Bridge::sampling(&[("MCPTB_PREF_SPEED", "0.9"), ("MCPTB_MAX_TOKENS", "77")]);
    let body = json!({
        "model": "gpt-x", "temperature": 0.25, "top_p": 0.5, "seed": 7, "user": "ann",
        "stop": ["END", "\n"], "max_completion_tokens": 9, "max_tokens": 5,
        "metadata": {"k": "v"}, "unknown": {"is": "ignored"},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
            {"role": "user", "name": "bob", "content": [
                {"type": "text", "text": "Look:"}, {"type": "text", "text": "here"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "text", "text": "What is it?"}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "look", "arguments": "{\"at\":1}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
    });
    let (request, _) = round(&mut bridge, body, "un chat");
    assert_eq!(
        request["params"],
        json!({
            "systemPrompt": "Be brief.\n\nIn French.",
            "messages": [
                {"role": "user", "content": {"type": "text", "text": "Look:\nhere"}},
                {"role": "user", "content": {"type": "image", "data": "aGk=", "mimeType": "image/png"}},
                {"role": "user", "content": {"type": "text", "text": "What is it?"}},
                {"role": "assistant", "content": {"type": "text",
                    "text": "<tool_call>{\"name\":\"look\",\"arguments\":{\"at\":1}}</tool_call>"}},
                {"role": "user", "content": {"type": "text",
                    "text": "Result of the tool call c1:\na cat"}},
            ],
            "modelPreferences": {"hints": [{"name": "gpt-x"}], "intelligencePriority": 0.5,
                "speedPriority": 0.9, "costPriority": 0.5},
            "maxTokens": 9, "temperature": 0.25, "stopSequences": ["END", "\n"],
            "metadata": {"k": "v", "top_p": 0.5, "seed": 7, "user": "ann"},
        })
    );
    let (request, _) =
        round(&mut bridge, json!({"messages": [{"role": "system", "content": "Go"}]}), "");
    assert_eq!(request["params"]["maxTokens"], 77);
    assert_eq!(request["params"]["messages"][0]["content"]["text"], "Go");
    assert!(request["params"].get("systemPrompt").is_none());
    assert!(request["params"]["modelPreferences"].get("hints").is_none());
}

#[test]
fn a_stream_is_a_role_the_text_the_end_the_usage_and_done() {
    let mut bridge = Bridge::sampling(&[]);
    bridge.addr();
    let mut body = chat("Hello");
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let (_, answer) = round(&mut bridge, body, "Hi \"you\"\n你");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let mut events = answer.events();
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let events: Vec<Value> = events.iter().map(|e| serde_json::from_str(e).unwrap()).collect();
    let choices: Vec<&Value> = events.iter().map(|event| &event["choices"]).collect();
    let chunk = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    assert_eq!(
        choices,
        [
            &chunk(json!({"role": "assistant", "content": ""}), Value::Null),
            &chunk(json!({"content": "Hi \"you\"\n你"}), Value::Null),
            &chunk(json!({}), "stop".into()),
            &json!([]),
        ]
    );
    let last = events.last().unwrap();
    assert_eq!(last["usage"]["total_tokens"], 8 + 6);
    for event in &events {
        assert_eq!(event["id"], last["id"]);
        assert_eq!(event["object"], "chat.completion.chunk");
        assert_eq!(event["usage"].is_null(), event != last);
    }
}

#[test]
fn n_answers_are_asked_for_at_once_and_keep_their_places() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut body = chat("Hello");
    body["n"] = 3.into();
    let whole = body.clone();
    let client = aside(move || http::post(addr, PATH, &whole));
    let requests: Vec<Value> =
        (0..3).map(|_| bridge.recv_method("sampling/createMessage")).collect();
    for at in [2, 0, 1] {
        bridge.answer(&requests[at], &format!("answer {at}"));
    }
    let answer = client.get().json();
    for at in 0..3 {
        assert_eq!(answer["choices"][at]["index"], at);
        assert_eq!(answer["choices"][at]["message"]["content"], format!("answer {at}"));
    }
    body["stream"] = true.into();
    bridge.serve(echo);
    let answer = http::post(addr, PATH, &body);
    let mut texts = vec![String::new(); 3];
    for event in answer.events().iter().filter(|event| *event != "[DONE]") {
        let event: Value = serde_json::from_str(event).unwrap();
        let choice = &event["choices"][0];
        let text = choice["delta"]["content"].as_str().unwrap_or_default();
        texts[choice["index"].as_u64().unwrap() as usize].push_str(text);
    }
    assert_eq!(texts, ["echo: Hello"; 3]);
}

#[test]
fn a_wrong_field_is_named() {
    let mut bridge = Bridge::sampling(&[("BRIDGE_MAX_MESSAGE_CHARS", "100")]);
    let addr = bridge.addr();
    let messages =
        |message: Value| json!({"messages": [{"role": "user", "content": "a"}, message]});
    let with = |key: &str, value: Value| {
        let mut body = chat("Hello");
        body[key] = value;
        body
    };
    for (body, param) in [
        (json!({}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (messages(json!({"role": "user"})), "messages[1].content"),
        (messages(json!({"role": "user", "content": 5})), "messages[1].content"),
        (messages(json!({"role": "robot", "content": ""})), "messages[1].role"),
        (messages(json!({"content": ""})), "messages[1]"),
        (messages(json!({"role": "tool", "content": ""})), "messages[1].tool_call_id"),
        (
            messages(json!({"role": "user", "content": [{"type": "text"}]})),
            "messages[1].content[0]",
        ),
        (
            messages(json!({"role": "user", "content": [{"type": "input_audio"}]})),
            "messages[1].content[0]",
        ),
        (
            messages(json!({"role": "user", "content": [{"type": "image_url",
                "image_url": {"url": "https://example.org/a.png"}}]})),
            "messages[1].content[0]",
        ),
        (
            messages(json!({"role": "user", "content": [{"type": "image_url",
                "image_url": {"url": "data:image/png;base64,a b"}}]})),
            "messages[1].content[0]",
        ),
        (messages(json!({"role": "user", "content": "x".repeat(101)})), "messages[1].content"),
        (with("temperature", 2.1.into()), "temperature"),
        (with("temperature", "hot".into()), "temperature"),
        (with("top_p", json!(-0.1)), "top_p"),
        (with("n", 9.into()), "n"),
        (with("n", 0.into()), "n"),
        (with("max_tokens", 0.into()), "max_tokens"),
        (with("max_completion_tokens", json!(-1)), "max_completion_tokens"),
        (with("stop", json!(["a", "b", "c", "d", "e"])), "stop"),
        (with("stop", json!([1])), "stop[0]"),
        (with("stop", "".into()), "stop"),
        (with("stream", "yes".into()), "stream"),
        (with("model", 4.into()), "model"),
        (with("metadata", "x".into()), "metadata"),
        (with("logprobs", true.into()), "logprobs"),
    ] {
        let answer = http::post(addr, PATH, &body);
        let error = &answer.json()["error"];
        assert_eq!(answer.status, 400, "{body}: {error}");
        assert_eq!(error["param"], param, "{body}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(answer.header("x-request-id").is_some());
    }
    let mut client = Client::connect(addr);
    for body in ["", "{", "nope", "{\"messages\":[]}}", "\u{fffd}"] {
        client.send(format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!("invalid_json")),
            "{body}"
        );
    }
}

#[test]
fn what_the_host_refuses_has_its_own_status() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    // One good answer first, so that a refusal is not taken for the wish to be hooked.
    let _ = round(&mut bridge, chat("Hello"), "Hi");
    for (code, status) in
        [(-1, 403), (-32000, 403), (-32601, 501), (-32602, 400), (-32603, 502), (7, 502)]
    {
        let client = aside(move || http::chat(addr, "Hello"));
        let request = bridge.recv_method("sampling/createMessage");
        bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"],
            "error": {"code": code, "message": "said no"}}));
        let answer = client.get();
        let error = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, status, "{code}: {error}");
        assert!(error.contains("said no"));
    }
    for result in
        [json!(null), json!({}), json!({"content": 5}), json!({"content": {"type": "text"}})]
    {
        let client = aside(move || http::chat(addr, "Hello"));
        let request = bridge.recv_method("sampling/createMessage");
        bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
        let expected = if result["content"].is_object() { 200 } else { 502 };
        assert_eq!(client.get().status, expected, "{result}");
    }
}

#[test]
fn stop_reasons_become_finish_reasons() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    for (said, finish) in [
        (json!("endTurn"), "stop"),
        (json!("stopSequence"), "stop"),
        (json!("maxTokens"), "length"),
        (json!("something new"), "stop"),
        (Value::Null, "stop"),
    ] {
        let client = aside(move || http::chat(addr, "Hello"));
        let request = bridge.recv_method("sampling/createMessage");
        let mut answer = common::sampled(&request, "x");
        answer["result"]["stopReason"] = said;
        bridge.send(&answer);
        assert_eq!(client.get().json()["choices"][0]["finish_reason"], finish);
    }
}

#[test]
fn the_typewriter_slices_without_losing_a_character() {
    let mut bridge = Bridge::sampling(&[
        ("BRIDGE_STREAM_EMIT_CHUNK_SIZE", "2"),
        ("BRIDGE_STREAM_EMIT_INTERVAL_MS", "1"),
        ("BRIDGE_STREAM_EMIT_PUNCT_PAUSE_MS", "2"),
    ]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let mut body = chat("你好，世界。 One, two.");
    body["stream"] = true.into();
    let answer = http::post(addr, PATH, &body);
    let pieces: Vec<String> = answer
        .events()
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .filter(|piece| !piece.is_empty())
        .collect();
    assert_eq!(pieces.concat(), "echo: 你好，世界。 One, two.");
    assert!(pieces.iter().all(|piece| piece.chars().count() <= 2), "{pieces:?}");
}

#[test]
fn models_are_listed_and_the_hosts_own_joins_them() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let names = || -> Vec<String> {
        let list = http::get(addr, "/v1/models").json();
        assert_eq!(list["object"], "list");
        list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().into()).collect()
    };
    assert_eq!(names(), ["modeltap"]);
    let _ = round(&mut bridge, chat("Hello"), "Hi");
    assert_eq!(names(), ["modeltap", "test-model"]);
    assert_eq!(http::get(addr, "/v1/models/test%2Dmodel").json()["id"], "test-model");
    let missing = http::get(addr, "/v1/models/other");
    assert_eq!(
        (missing.status, &missing.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
}

#[test]
fn ready_says_whether_a_model_is_behind_and_why_not() {
    let mut bridge = Bridge::spawn(&[]);
    let addr = bridge.addr();
    // That call made the client count as connected: it has not said what it can do.
    let answer = http::get(addr, "/ready");
    assert_eq!(answer.status, 503);
    assert_eq!(http::get(addr, "/health").status, 200);
    assert_eq!(http::chat(addr, "Hello").status, 503);
    bridge.initialize("some-editor", json!({}));
    let answer = http::get(addr, "/ready");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("sampling"));
    bridge.initialize("some-editor", json!({"sampling": {}}));
    assert_eq!(http::get(addr, "/ready").json(), json!({"status": "ready", "backend": "sampling"}));
}

#[test]
fn the_key_guards_the_api_and_nothing_shows_it() {
    let key = "mt-very-secret";
    let mut bridge = Bridge::sampling(&[("BRIDGE_API_KEY", key), ("MODELTAP_LOG", "full")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let send = |path: &str, headers: &str| {
        let mut client = Client::connect(addr);
        client.post(path, headers, &chat("Hello"));
        client.answer()
    };
    for headers in
        ["", "Authorization: Bearer wrong-key\r\n", "Authorization: Basic mt-very-secret\r\n"]
    {
        let answer = send(PATH, headers);
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (401, Some("invalid_api_key"))
        );
    }
    assert_eq!(send(PATH, "authorization: bearer mt-very-secret\r\n").status, 200);
    assert_eq!(send(PATH, "X-Api-Key: mt-very-secret\r\n").status, 200);
    assert_eq!(http::get(addr, "/v1/models").status, 401);
    assert_eq!(http::get(addr, "/health").status, 200);
    bridge.wait_stderr("TX");
    assert!(!bridge.stderr().contains(key) && !bridge.stderr().contains("wrong-key"));
}

#[test]
fn no_model_can_forge_a_header_or_an_event() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let text = "one\n\ndata: [DONE]\n\nHTTP/1.1 200 OK\r\n\r\n0\r\n\r\n";
    for stream in [false, true] {
        let mut body = chat("Hello");
        body["stream"] = stream.into();
        let client = aside(move || http::post(addr, PATH, &body));
        let request = bridge.recv_method("sampling/createMessage");
        bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": {
            "role": "assistant", "content": {"type": "text", "text": text},
            "model": "m\r\nX-Forged: 1\r\n\r\nforged", "stopReason": "endTurn"}}));
        let answer = client.get();
        assert_eq!((answer.status, answer.header("x-forged")), (200, None));
        if stream {
            let events = answer.events();
            assert_eq!(events.iter().filter(|event| *event == "[DONE]").count(), 1, "{events:?}");
            let pieces = events.iter().filter_map(|event| serde_json::from_str(event).ok());
            let said: String = pieces
                .filter_map(|piece: Value| {
                    Some(piece["choices"][0]["delta"]["content"].as_str()?.to_owned())
                })
                .collect();
            assert_eq!(said, text);
        } else {
            assert!(answer.header("x-mcp-model").unwrap().starts_with("m  X-Forged: 1"));
            assert_eq!(answer.content(), text);
        }
    }
}
