//! Tools and structured output through `/v1/chat/completions`, on a host that takes tools and on
//! one that knows only text.

mod common;

use common::http::{self, Answer};
use common::{Bridge, aside, sampled};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PATH: &str = "/v1/chat/completions";

fn with_tools(native: bool) -> Bridge {
    let mut bridge = Bridge::spawn(&[]);
    let sampling = if native { json!({"tools": {}}) } else { json!({}) };
    bridge.initialize("test-host", json!({"sampling": sampling}));
    bridge
}

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "Tells it.",
        "parameters": {"type": "object", "required": ["city"],
            "properties": {"city": {"type": "string"}}}}}])
}

fn asking(extra: Value) -> Value {
    let mut body = json!({"model": "m", "tools": weather(),
        "messages": [{"role": "user", "content": "Weather in Paris?"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn begin(addr: SocketAddr, body: Value) -> common::Aside<Answer> {
    aside(move || http::post(addr, PATH, &body))
}

/// What the host answers with tool calls of its own.
fn native_answer(request: &Value, blocks: Value) -> Value {
    let mut answer = sampled(request, "");
    answer["result"]["content"] = blocks;
    answer["result"]["stopReason"] = "toolUse".into();
    answer
}

fn use_of(name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": "c1", "name": name, "input": input})
}

const IN_WORDS: &str = "I will look.\n<tool_call>{\"name\":\"weather\",\"arguments\":{\"city\":\"Paris\"}}</tool_call>";

#[test]
fn a_host_that_takes_tools_gets_them_as_such_and_ids_survive_the_round_trip() {
    let mut bridge = with_tools(true);
    let addr = bridge.addr();
    let client = begin(addr, asking(json!({"tool_choice": "required"})));
    let request = bridge.recv_method("sampling/createMessage");
    let params = &request["params"];
    assert_eq!(params["toolChoice"], json!({"mode": "required"}));
    assert_eq!(params["tools"][0]["name"], "weather");
    assert_eq!(params["tools"][0]["inputSchema"]["required"], json!(["city"]));
    assert!(params.get("systemPrompt").is_none());
    bridge.send(&native_answer(
        &request,
        json!([{"type": "text", "text": "Looking."}, use_of("weather", json!({"city": "Paris"}))]),
    ));
    let answer = client.get().json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "Looking.");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["id"], "c1");
    assert_eq!(call["function"], json!({"name": "weather", "arguments": "{\"city\":\"Paris\"}"}));

    let mut body = asking(json!({}));
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(choice["message"].clone());
    messages.push(json!({"role": "tool", "tool_call_id": "c1", "content": "18 C"}));
    messages.push(json!({"role": "user", "content": "And?"}));
    let client = begin(addr, body);
    let request = bridge.recv_method("sampling/createMessage");
    assert_eq!(
        request["params"]["messages"],
        json!([
            {"role": "user", "content": {"type": "text", "text": "Weather in Paris?"}},
            {"role": "assistant", "content": [{"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}]},
            {"role": "user", "content": [{"type": "tool_result", "toolUseId": "c1",
                "content": [{"type": "text", "text": "18 C"}], "isError": false}]},
            {"role": "user", "content": {"type": "text", "text": "And?"}},
        ])
    );
    bridge.answer(&request, "18 degrees.");
    assert_eq!(client.get().content(), "18 degrees.");
}

#[test]
fn a_call_without_its_result_is_answered_for_the_hosts_sake() {
    let mut bridge = with_tools(true);
    let addr = bridge.addr();
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": "{}"}});
    let mut body = asking(json!({}));
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "tool_calls": [call("a"), call("b")]}));
    messages.push(json!({"role": "tool", "tool_call_id": "b", "content": "sun"}));
    messages.push(json!({"role": "tool", "tool_call_id": "stray", "content": "rain"}));
    let client = begin(addr, body);
    let request = bridge.recv_method("sampling/createMessage");
    let messages = request["params"]["messages"].as_array().unwrap();
    let results = messages[2]["content"].as_array().unwrap();
    assert_eq!((&results[0]["toolUseId"], &results[0]["isError"]), (&json!("b"), &json!(false)));
    assert_eq!((&results[1]["toolUseId"], &results[1]["isError"]), (&json!("a"), &json!(true)));
    assert!(messages[3]["content"]["text"].as_str().unwrap().contains("rain"));
    bridge.answer(&request, "ok");
    assert_eq!(client.get().status, 200);
}

#[test]
fn a_named_tool_is_the_only_one_that_is_offered() {
    for native in [true, false] {
        let mut bridge = with_tools(native);
        let addr = bridge.addr();
        let mut body =
            asking(json!({"tool_choice": {"type": "function", "function": {"name": "f"}}}));
        let tools = body["tools"].as_array_mut().unwrap();
        tools.push(json!({"type": "function", "function": {"name": "f"}}));
        let client = begin(addr, body);
        let request = bridge.recv_method("sampling/createMessage");
        let offered = request["params"].to_string();
        assert!(!offered.contains("\"name\":\"weather\"") && !offered.contains("\\\"weather\\\""));
        if native {
            assert_eq!(request["params"]["tools"][0]["inputSchema"], json!({"type": "object"}));
            bridge.send(&native_answer(&request, use_of("f", json!({}))));
        } else {
            bridge.answer(&request, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>");
        }
        let answer = client.get().json();
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["tool_calls"][0]["function"]["name"], "f");
        assert_eq!(message["content"], Value::Null);
    }
}

#[test]
fn a_host_that_knows_only_text_is_asked_in_words_and_its_calls_are_read_back() {
    let mut bridge = with_tools(false);
    let addr = bridge.addr();
    let client = begin(addr, asking(json!({})));
    let request = bridge.recv_method("sampling/createMessage");
    let params = &request["params"];
    assert!(params.get("tools").is_none() && params.get("toolChoice").is_none());
    let prompt = params["systemPrompt"].as_str().unwrap();
    assert!(prompt.contains("<tool_call>") && prompt.contains("\"name\":\"weather\""), "{prompt}");
    bridge.answer(&request, IN_WORDS);
    let answer = client.get().json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "I will look.");
    assert_eq!(choice["finish_reason"], "tool_calls");
    let function = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(*function, json!({"name": "weather", "arguments": "{\"city\":\"Paris\"}"}));
}

#[test]
fn streamed_text_comes_before_the_call_and_no_markup_with_it() {
    let mut bridge = with_tools(false);
    let addr = bridge.addr();
    let client = begin(addr, asking(json!({"stream": true})));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, IN_WORDS);
    let answer = client.get();
    assert!(!answer.text().contains("<tool_call"), "{}", answer.text());
    let events: Vec<Value> =
        answer.events().iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
    let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    assert_eq!(deltas[1]["content"], "I will look.");
    assert_eq!(deltas[2]["tool_calls"][0]["index"], 0);
    assert_eq!(deltas[2]["tool_calls"][0]["function"]["name"], "weather");
    assert_eq!(events[3]["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
#[cfg_attr(not(feature = "schema"), ignore = "nothing is checked against schemas")]
fn an_answer_of_no_use_is_asked_for_once_more_and_then_fails() {
    for stream in [false, true] {
        let mut bridge = with_tools(false);
        let addr = bridge.addr();
        let bad = "Well. <tool_call>{\"name\":\"weather\",\"arguments\":{\"town\":1}}</tool_call>";
        let client = begin(addr, asking(json!({"stream": stream})));
        let first = bridge.recv_method("sampling/createMessage");
        bridge.answer(&first, bad);
        let second = bridge.recv_method("sampling/createMessage");
        let messages = second["params"]["messages"].as_array().unwrap();
        assert_eq!(messages[1]["content"]["text"], bad);
        assert!(messages[2]["content"]["text"].as_str().unwrap().contains("city"));
        bridge.answer(&second, IN_WORDS);
        let text = client.get().text();
        assert!(
            text.contains("{\\\"city\\\":\\\"Paris\\\"}") && !text.contains("tool_call>"),
            "{text}"
        );
        // What was shown of the first try is not said again.
        assert_eq!(
            text.matches("Well.").count() + text.matches("I will look.").count(),
            1,
            "{text}"
        );

        let client = begin(addr, asking(json!({"stream": stream})));
        for _ in 0..2 {
            let request = bridge.recv_method("sampling/createMessage");
            bridge.answer(&request, "<tool_call>{\"name\":\"other\",\"arguments\":{}}</tool_call>");
        }
        let answer = client.get();
        assert!(answer.text().contains("answer_misformed"), "{}", answer.text());
        assert!(stream || answer.status == 502);
    }
}

#[test]
fn a_call_that_the_client_did_not_offer_never_reaches_it() {
    let mut bridge = with_tools(true);
    let addr = bridge.addr();
    let client = begin(addr, asking(json!({})));
    for _ in 0..2 {
        let request = bridge.recv_method("sampling/createMessage");
        bridge.send(&native_answer(&request, use_of("rm", json!({}))));
    }
    assert_eq!(client.get().json()["error"]["code"], "answer_misformed");
}

#[test]
fn no_tools_are_offered_where_none_may_be_called() {
    let mut bridge = with_tools(false);
    let addr = bridge.addr();
    let client = begin(addr, asking(json!({"tool_choice": "none"})));
    let request = bridge.recv_method("sampling/createMessage");
    assert!(request["params"].get("systemPrompt").is_none());
    bridge.answer(&request, "No tools.");
    assert_eq!(client.get().content(), "No tools.");
}

#[test]
#[cfg_attr(not(feature = "schema"), ignore = "nothing is checked against schemas")]
fn structured_answers_are_checked_mended_and_asked_for_again() {
    let mut bridge = with_tools(false);
    let addr = bridge.addr();
    let format = json!({"type": "json_schema", "json_schema": {"name": "city", "schema":
        {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}});
    let body = |stream: bool| {
        json!({"messages": [{"role": "user", "content": "Where?"}], "stream": stream,
            "response_format": format})
    };
    let client = begin(addr, body(false));
    let request = bridge.recv_method("sampling/createMessage");
    assert!(
        request["params"]["systemPrompt"].as_str().unwrap().contains("\"required\":[\"city\"]")
    );
    bridge.answer(&request, "```json\n{\"city\": \"Paris\",}\n```");
    assert_eq!(client.get().content(), "{\"city\":\"Paris\"}");

    let client = begin(addr, body(true));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "{\"town\": \"Paris\"}");
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "{\"city\": \"Rome\"}");
    let text = client.get().text();
    assert!(text.contains("Rome") && !text.contains("town"), "{text}");

    let client = begin(addr, body(false));
    for _ in 0..2 {
        let request = bridge.recv_method("sampling/createMessage");
        bridge.answer(&request, "I would rather not.");
    }
    let answer = client.get();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &json!("answer_misformed")));
}

#[test]
#[cfg_attr(not(feature = "schema"), ignore = "nothing is checked against schemas")]
fn a_schema_of_no_use_is_told_at_once_and_with_a_tool_not_held_against_the_model() {
    let mut bridge = with_tools(false);
    let addr = bridge.addr();
    let schema = json!({"type": "objekt"});
    let form = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let messages = json!([{"role": "user", "content": "Where?"}]);
    let body = json!({"messages": messages, "response_format": form});
    let answer = http::post(addr, "/v1/chat/completions", &body);
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("schema is not usable"));

    let function = json!({"name": "look", "parameters": schema});
    let tools = json!([{"type": "function", "function": function}]);
    let client = begin(addr, json!({"messages": messages, "tools": tools}));
    // Nothing was asked before.
    let request = bridge.recv_method("sampling/createMessage");
    let call = "<tool_call>{\"name\":\"look\",\"arguments\":{\"at\":\"it\"}}</tool_call>";
    bridge.answer(&request, call);
    let answer = client.get().json();
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["arguments"], "{\"at\":\"it\"}");
}

#[test]
fn an_answer_cut_off_by_its_limit_is_passed_on_as_far_as_it_goes() {
    let mut bridge = with_tools(false);
    let addr = bridge.addr();
    let client = begin(addr, asking(json!({"max_tokens": 5})));
    let request = bridge.recv_method("sampling/createMessage");
    let mut answer = sampled(&request, "So: <tool_call>{\"name\":\"wea");
    answer["result"]["stopReason"] = "maxTokens".into();
    bridge.send(&answer);
    let choice = client.get().json()["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(choice["message"]["content"], "So:");
}

#[test]
fn what_a_channel_cannot_carry_is_named_in_a_header() {
    let mut bridge = Bridge::claude_code(&[]);
    let addr = bridge.addr();
    let set = json!({"temperature": 1, "stop": ["x"], "max_tokens": 9, "reasoning_effort": "low"});
    let client = begin(addr, asking(set));
    let event = bridge.recv_method("notifications/claude/channel");
    assert!(event["params"]["content"].as_str().unwrap().contains("<tool_call>"));
    let id = &event["params"]["meta"]["request_id"];
    let content = json!([use_of("weather", json!({"city": "Paris"}))]);
    bridge.call("channel_reply", json!({"request_id": id, "content": content}));
    let answer = client.get();
    assert_eq!(
        answer.header("x-mcp-ignored"),
        Some("reasoning_effort, temperature, max_tokens, stop")
    );
    let message = &answer.json()["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"]["name"], "weather");
}

#[test]
fn names_are_listed_and_aliased_as_the_settings_say() {
    let env = [("MODELTAP_MODELS", "one, two"), ("MODELTAP_ALIASES", "gpt-*=claude-sonnet,x=y")];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    let listed = http::get(addr, "/v1/models").json();
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][1]["id"]),
        (&json!("one"), &json!("two"))
    );
    for (model, hints) in [
        ("gpt-4o", json!([{"name": "claude-sonnet"}])),
        (
            "claude-haiku-4-5-20251001",
            json!([{"name": "claude-haiku-4-5-20251001"}, {"name": "claude-haiku-4-5"}]),
        ),
    ] {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
        let client = begin(addr, body);
        let request = bridge.recv_method("sampling/createMessage");
        assert_eq!(request["params"]["modelPreferences"]["hints"], hints);
        bridge.answer(&request, "Hello");
        assert_eq!(client.get().json()["model"], model);
    }
}

#[test]
fn an_over_long_prompt_is_told_by_the_code_that_clients_know() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let client = begin(addr, common::chat("long"));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"],
        "error": {"code": -32603, "message": "input exceeds the context window"}}));
    let answer = client.get();
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (400, &json!("context_length_exceeded")));
    assert!(error["message"].as_str().unwrap().contains("prompt is too long"));
}
