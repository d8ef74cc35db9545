//! What a round carries besides text: tools, images, several choices, streams, and answers that have to
//! fit a schema.

mod common;

use common::http::{self, Answer};
use common::modern::{Host, sample};
use common::{Aside, aside, chat};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Requests wait for the test's host to call `hook`.
const PATIENT: (&str, &str) = ("MODELTAP_HOST_WAIT", "600");

fn post(addr: SocketAddr, body: Value) -> Aside<Answer> {
    aside(move || http::post(addr, "/v1/chat/completions", &body))
}

/// A hook call that waits; once this returns, the bridge has read it.
fn open_hook(host: &mut Host, params: Value) -> u64 {
    let id = host.begin_hook(params);
    host.tool("http_server_status", json!({}));
    id
}

/// A request with a tool.
fn with_tool() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Tells it.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]})
}

fn called(answer: &Answer) -> Value {
    let choice = &answer.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
    choice["message"]["tool_calls"][0]["function"].clone()
}

const CALL: &str = r#"<tool_call>{"name":"weather","arguments":{"city":"Paris"}}</tool_call>"#;

#[test]
fn tools_go_as_such_to_a_host_that_takes_them_and_in_words_to_any_other() {
    let mut host = Host::new(&[PATIENT], json!({"sampling": {"tools": {}}}));
    let addr = host.addr();
    let open = open_hook(&mut host, json!({}));
    let client = post(addr, with_tool());
    let leg = host.end_hook(open);
    let (key, request) = leg.requests().remove(0);
    assert_eq!(request["params"]["tools"][0]["name"], "weather");
    assert_eq!(request["params"]["toolChoice"]["mode"], "auto");
    let answer = json!({"role": "assistant", "model": "m", "stopReason": "toolUse", "content":
        [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}]});
    let open = open_hook(&mut host, leg.next(json!({key: answer})));
    let call = called(&client.get());
    assert_eq!(call, json!({"name": "weather", "arguments": "{\"city\":\"Paris\"}"}));
    host.cancel_now(open);
    // It waits as such for the host that was here; who calls now takes words only.
    let client = post(addr, with_tool());
    host.until_on_offer(1);
    host.capabilities = json!({"sampling": {}});
    let leg = host.hook(json!({}));
    let (key, request) = leg.requests().remove(0);
    let params = &request["params"];
    assert!(params.get("tools").is_none() && params.get("toolChoice").is_none(), "{params}");
    assert!(params["systemPrompt"].as_str().unwrap().contains("<tool_call>"), "{params}");
    open_hook(&mut host, leg.next(json!({key: sample(CALL)})));
    assert_eq!(called(&client.get())["name"], "weather");
}

#[test]
fn where_one_of_two_hosts_takes_no_tools_they_go_in_words_and_do_not_run_in_circles() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let plain = open_hook(&mut host, json!({}));
    host.capabilities = json!({"sampling": {"tools": {}}});
    let native = open_hook(&mut host, json!({}));
    host.cancel_now(native);
    let client = post(addr, with_tool());
    let leg = host.end_hook(plain);
    let (key, request) = leg.requests().remove(0);
    assert!(request["params"].get("tools").is_none(), "{request}");
    open_hook(&mut host, leg.next(json!({key: sample(CALL)})));
    assert_eq!(called(&client.get())["name"], "weather");
}

#[test]
fn images_choices_and_streams_come_through_a_round() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let image = json!({"model": "m", "n": 2, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}]});
    let twice = post(addr, image);
    host.until_on_offer(2);
    let mut streamed = chat("Hello");
    streamed["stream"] = true.into();
    let stream = post(addr, streamed);
    host.until_on_offer(3);
    let leg = host.hook(json!({}));
    let mut responses = serde_json::Map::new();
    let mut images = 0;
    for (key, request) in leg.requests() {
        let last = &request["params"]["messages"].as_array().unwrap().last().unwrap()["content"];
        let text = match last["type"].as_str() {
            Some("image") => {
                assert_eq!(
                    (&last["data"], &last["mimeType"]),
                    (&json!("aGk="), &json!("image/png"))
                );
                images += 1;
                format!("a cat {images}")
            }
            _ => "Hi there".to_owned(),
        };
        responses.insert(key, sample(&text));
    }
    assert_eq!(images, 2);
    open_hook(&mut host, leg.next(responses.into()));
    let body = twice.get().json();
    let mut texts: Vec<&str> = (0..2)
        .map(|n| body["choices"][n]["message"]["content"].as_str().expect("both choices are there"))
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["a cat 1", "a cat 2"]);
    let events = stream.get().events();
    let pieces = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let text: String = pieces
        .filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!((text.as_str(), events.last().map(String::as_str)), ("Hi there", Some("[DONE]")));
}

#[test]
fn an_answer_that_breaks_its_schema_is_asked_for_again_in_the_next_round() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}},
        "required": ["n"], "additionalProperties": false});
    let client = post(
        addr,
        json!({"model": "m", "messages": [{"role": "user", "content": "Count"}], "response_format":
            {"type": "json_schema", "json_schema": {"name": "count", "strict": true, "schema": schema}}}),
    );
    host.until_on_offer(1);
    let first = host.hook(json!({}));
    let (key, _) = first.requests().remove(0);
    let second = host.hook(first.next(json!({key: sample("many")})));
    let (key, request) = second.requests().remove(0);
    let messages = request["params"]["messages"].as_array().unwrap();
    assert!(messages.iter().any(|message| message["content"]["text"] == "many"), "{request}");
    open_hook(&mut host, second.next(json!({key: sample("{\"n\":1}")})));
    assert_eq!(client.get().content(), "{\"n\":1}");
}
