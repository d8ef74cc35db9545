//! Forwarding: requests that an OpenAI-compatible endpoint answers, and which of them it gets.

mod common;

use common::endpoint::{CHAT, Endpoint, ask, forwarding, next_text, streaming};
use common::http;
use common::{Bridge, chat, command, echo};
use serde_json::{Value, json};
use std::process::Stdio;

#[test]
fn a_request_goes_to_the_endpoint_and_its_answer_comes_back() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let mut body = chat("Hello");
    body["temperature"] = json!(0.5);
    body["metadata"] = json!({"a": "b"});
    let client = ask(addr, CHAT, body);
    let asked = endpoint.asked();
    assert!(asked.head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", asked.head);
    assert!(!asked.head.contains("authorization"), "{}", asked.head);
    let expected = json!({"model": "m", "stream": true, "temperature": 0.5,
        "messages": [{"role": "user", "content": "Hello"}]});
    assert_eq!(asked.body, expected);
    asked.whole("Hi there");
    let answer = client.get();
    assert_eq!(answer.content(), "Hi there");
    assert_eq!(answer.header("x-mcp-backend"), Some("forward"));
    assert_eq!(answer.header("x-mcp-model"), Some("far-1"));
    assert_eq!(answer.header("x-mcp-ignored"), Some("metadata"));
    let models = http::get(addr, "/v1/models").text();
    assert!(models.contains("far-1"), "{models}");
    let ready = http::get(addr, "/ready").json();
    assert_eq!(ready["backend"], "forward");
}

#[test]
fn a_piece_reaches_the_client_before_the_next_is_sent() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let mut client = streaming(addr, "Count");
    let mut asked = endpoint.asked();
    asked.begin();
    for (at, piece) in ["one, ", "two, ", "three"].into_iter().enumerate() {
        asked.piece(piece);
        if at == 0 {
            assert_eq!(client.head().status, 200);
        }
        assert_eq!(next_text(&mut client), piece);
    }
    asked.done();
    let mut rest = String::new();
    while let Some(chunk) = client.chunk() {
        rest.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert!(rest.contains("\"finish_reason\":\"stop\"") && rest.contains("[DONE]"), "{rest}");
}

#[test]
fn a_stream_that_is_wanted_whole_is_gathered() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let client = ask(addr, CHAT, chat("Count"));
    let mut asked = endpoint.asked();
    asked.begin();
    ["one, ", "two"].iter().for_each(|piece| asked.piece(piece));
    asked.done();
    assert_eq!(client.get().content(), "one, two");
}

#[test]
fn the_host_goes_first_unless_forwarding_is_forced() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let mut bridge = Bridge::sampling(&[("MODELTAP_FORWARD", &url)]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let answer = http::chat(addr, "Hello");
    assert_eq!(answer.header("x-mcp-backend"), Some("sampling"));
    assert!(endpoint.is_idle());

    let env = [("MODELTAP_FORWARD", url.as_str()), ("MODELTAP_BACKEND", "forward")];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    let client = ask(addr, CHAT, chat("Hello"));
    endpoint.asked().whole("from afar");
    assert_eq!(client.get().content(), "from afar");

    // A host that is there, but has no model to lend.
    let mut bridge = Bridge::spawn(&[("MODELTAP_FORWARD", &url)]);
    bridge.initialize("editor", json!({}));
    let client = ask(bridge.addr(), CHAT, chat("Hello"));
    endpoint.asked().whole("from afar");
    assert_eq!(client.get().header("x-mcp-backend"), Some("forward"));

    let env = [("MODELTAP_FORWARD", url.as_str()), ("MODELTAP_BACKEND", "sampling")];
    let mut bridge = Bridge::spawn(&env);
    let addr = bridge.addr();
    assert_eq!(http::chat(addr, "Hello").status, 503);
    assert!(endpoint.is_idle());
}

fn look() -> Value {
    json!({"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]})
}

#[test]
fn tools_go_as_such_and_calls_come_back_in_every_dialect() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let function = json!({"name": "look", "description": "Looks", "parameters": look()});
    let mut openai = chat("What is there?");
    openai["tools"] = json!([{"type": "function", "function": function}]);
    openai["tool_choice"] = "required".into();
    openai["parallel_tool_calls"] = false.into();
    let mut anthropic = chat("What is there?");
    anthropic["max_tokens"] = 50.into();
    anthropic["tools"] = json!([{"name": "look", "description": "Looks", "input_schema": look()}]);
    anthropic["tool_choice"] = json!({"type": "any", "disable_parallel_tool_use": true});
    for (path, body) in [(CHAT, openai), ("/v1/messages", anthropic)] {
        let client = ask(addr, path, body);
        let mut asked = endpoint.asked();
        assert_eq!(asked.body["tools"], json!([{"type": "function", "function": function}]));
        assert_eq!(asked.body["tool_choice"], "required");
        assert_eq!(asked.body["parallel_tool_calls"], false);
        assert_eq!(asked.body["messages"].as_array().unwrap().len(), 1, "nothing in words");
        asked.begin();
        for (id, name, arguments) in
            [(Some("c1"), Some("look"), "{\"at\""), (None, None, ":\"the "), (None, None, "sky\"}")]
        {
            let function = json!({"name": name, "arguments": arguments});
            asked.delta(
                &json!({"tool_calls": [{"index": 0, "id": id, "function": function}]}),
                None,
            );
        }
        asked.delta(&json!({}), Some("tool_calls"));
        asked.send("data: [DONE]\n\n");
        let answer = client.get().json();
        match path {
            CHAT => {
                let choice = &answer["choices"][0];
                let call = &choice["message"]["tool_calls"][0];
                assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
                assert_eq!(
                    (&call["id"], &call["function"]["name"]),
                    (&json!("c1"), &json!("look"))
                );
                assert_eq!(call["function"]["arguments"], "{\"at\":\"the sky\"}");
            }
            _ => {
                let call = json!({"type": "tool_use", "id": "c1", "name": "look",
                    "input": {"at": "the sky"}});
                assert_eq!(answer["content"], json!([call]));
                assert_eq!(answer["stop_reason"], "tool_use");
            }
        }
    }
}

#[test]
fn tool_results_and_images_travel() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let image = json!({"type": "image", "source":
        {"type": "base64", "media_type": "image/png", "data": "aGk="}});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "And this?"}, image]},
        {"role": "assistant", "content":
            [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "it"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [
                {"type": "text", "text": "a cat"}, image]},
            {"type": "text", "text": "So?"}]}]});
    let client = ask(addr, "/v1/messages", body);
    let asked = endpoint.asked();
    let url = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}});
    let function = json!({"name": "look", "arguments": "{\"at\":\"it\"}"});
    let expected = json!([
        {"role": "user", "content": [{"type": "text", "text": "And this?"}, url]},
        {"role": "assistant", "content": null,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "user", "content": [url]},
        {"role": "user", "content": "So?"},
    ]);
    let mut found = asked.body["messages"].clone();
    // How JSON within JSON is spaced does not matter.
    let arguments = &mut found[1]["tool_calls"][0]["function"]["arguments"];
    *arguments = arguments.as_str().unwrap().replace(' ', "").into();
    assert_eq!(found, expected);
    assert_eq!(asked.body["max_tokens"], 9);
    asked.whole("A cat.");
    assert_eq!(client.get().json()["content"][0]["text"], "A cat.");
}

#[test]
fn a_form_is_asked_for_natively_and_checked_all_the_same() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let mut body = chat("Where?");
    body["response_format"] = json!({"type": "json_schema",
        "json_schema": {"name": "place", "schema": look()}});
    let client = ask(addr, CHAT, body);
    let first = endpoint.asked();
    let form = json!({"name": "place", "schema": look()});
    assert_eq!(first.body["response_format"], json!({"type": "json_schema", "json_schema": form}));
    first.whole("{\"at\": 7}");
    let second = endpoint.asked();
    assert!(second.text().contains("cannot be used"), "{}", second.body);
    second.whole("{\"at\":\"home\"}");
    assert_eq!(client.get().content(), "{\"at\":\"home\"}");
}

#[test]
fn each_choice_is_a_call_of_its_own() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let mut body = chat("Hello");
    body["n"] = 2.into();
    let client = ask(addr, CHAT, body);
    let calls = [endpoint.asked(), endpoint.asked()];
    calls.into_iter().for_each(|asked| asked.whole("Hi"));
    let answer = client.get().json();
    assert_eq!(answer["choices"].as_array().unwrap().len(), 2);
}

#[test]
fn many_clients_get_their_own_answers() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    endpoint.echo();
    let asked = |at: usize| ask(addr, CHAT, chat(&format!("number {at}")));
    let clients: Vec<_> = (0..64).map(asked).collect();
    for (at, client) in clients.into_iter().enumerate() {
        assert_eq!(client.get().content(), format!("echo: number {at}"));
    }
}

#[test]
fn models_go_by_the_endpoints_names() {
    let env = [("MODELTAP_FORWARD_MODELS", "claude-*=llama3, modeltap=mini")];
    let (_bridge, addr, endpoint) = forwarding(&env);
    for (asked_for, sent) in
        [("claude-opus-4", "llama3"), ("modeltap", "mini"), ("gpt-4o", "gpt-4o")]
    {
        let mut body = chat("Hello");
        body["model"] = asked_for.into();
        let client = ask(addr, CHAT, body);
        let asked = endpoint.asked();
        assert_eq!(asked.body["model"], sent);
        asked.whole("Hi");
        assert_eq!(client.get().status, 200);
    }
}

#[test]
fn a_proxy_of_the_environment_is_not_asked() {
    let proxy = Endpoint::start();
    let url = format!("http://{}", proxy.addr);
    let names = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"];
    let env: Vec<_> = names.iter().map(|name| (*name, url.as_str())).collect();
    let (_bridge, addr, endpoint) = forwarding(&env);
    let client = ask(addr, CHAT, chat("Hello"));
    endpoint.asked().whole("Hi");
    assert_eq!(client.get().content(), "Hi");
    assert!(proxy.is_idle());
}

#[test]
fn a_url_that_will_not_do_ends_the_start_with_one_line() {
    for (args, words) in [
        (&["--forward", "localhost:1"][..], "http://"),
        (&["--forward", "http://me:s3cret@h/v1"], "MODELTAP_FORWARD_KEY"),
        (&["--forward", "ftp://h"], "scheme"),
        (&["--backend", "forward"], "--forward"),
        (&["--forward-key", "s3cret s3cret"], "visible"),
        #[cfg(not(feature = "tls"))]
        (&["--forward", "https://api.example.org/v1"], "--features tls"),
    ] {
        let ended = command().args(args).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(words) && !told.contains("s3cret"), "{told}");
    }
}
