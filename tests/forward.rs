//! Forwarding: requests that an OpenAI-compatible endpoint answers, what becomes of its faults, and
//! what is cancelled when.

mod common;

use common::endpoint::{Asked, Endpoint};
use common::http::{self, Answer, Client, events_of};
use common::{Aside, Bridge, aside, chat, command, echo};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

const CHAT: &str = "/v1/chat/completions";

/// A bridge that forwards, without a host; where it listens, and the endpoint.
fn forwarding(env: &[(&str, &str)]) -> (Bridge, SocketAddr, Endpoint) {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let env: Vec<_> = env.iter().copied().chain([("MODELTAP_FORWARD", url.as_str())]).collect();
    let mut bridge = Bridge::spawn(&env);
    let addr = bridge.addr();
    (bridge, addr, endpoint)
}

fn ask(addr: SocketAddr, path: &'static str, body: Value) -> Aside<Answer> {
    aside(move || http::post(addr, path, &body))
}

/// Asks for a stream; the client, its request sent.
fn streaming(addr: SocketAddr, text: &str) -> Client {
    let mut body = chat(text);
    body["stream"] = true.into();
    let mut client = Client::connect(addr);
    client.post(CHAT, "", &body);
    client
}

/// The text that the next chunk with text brings.
fn next_text(client: &mut Client) -> String {
    loop {
        let chunk = String::from_utf8(client.chunk().expect("the stream goes on")).unwrap();
        let texts = events_of(&chunk).into_iter().filter_map(|event| {
            let event: Value = serde_json::from_str(&event).ok()?;
            event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
        });
        let text: String = texts.collect();
        if !text.is_empty() {
            return text;
        }
    }
}

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
fn the_endpoints_refusals_are_translated() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let long = json!({"message": "Too much.", "code": "context_length_exceeded"});
    let odd = json!({"message": "Odd.", "type": "t", "code": null});
    let key = json!({"message": "Incorrect API key provided: sk-1***9"});
    for (status, headers, error, expected, code, words) in [
        ("400 Bad", "", &odd, 400, "invalid_request", "Odd. (400)"),
        ("400 Bad", "", &long, 400, "context_length_exceeded", "Too much."),
        ("401 Who", "", &key, 502, "host_error", "asks for a key"),
        ("404 No", "", &odd, 400, "invalid_request", "Odd. (404)"),
        ("429 Slow", "Retry-After: 17\r\n", &odd, 503, "overloaded", "Odd. (429)"),
        ("500 Oh", "", &odd, 502, "host_error", "Odd. (500)"),
        ("503 Oh", "", &odd, 502, "host_error", "Odd. (503)"),
        ("301 There", "Location: http://127.0.0.1:1/v2\r\n", &odd, 502, "host_error", "/v2"),
    ] {
        let client = ask(addr, CHAT, chat("Hello"));
        let body = json!({"error": error}).to_string();
        endpoint.asked().answer(status, headers, &body);
        let answer = client.get();
        let told = answer.json()["error"].clone();
        assert_eq!((answer.status, &told["code"]), (expected, &json!(code)), "{told}");
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains("sk-1"), "{message}");
        assert!(expected != 503 || answer.header("retry-after") == Some("17"), "{answer:?}");
        assert!(endpoint.is_idle(), "no redirect is followed, and nothing is asked twice");
    }
}

#[test]
fn an_error_in_a_stream_becomes_one() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let mut client = streaming(addr, "Count");
    let mut asked = endpoint.asked();
    asked.begin();
    asked.piece("one");
    client.head();
    assert_eq!(next_text(&mut client), "one");
    asked.send("data: {\"error\":{\"message\":\"out of memory\"}}\n\n");
    let last = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(last.contains("\"error\"") && last.contains("out of memory"), "{last}");
}

#[test]
fn what_is_no_answer_is_a_502_that_says_so() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    let page = "<!doctype html><p>Welcome</p>";
    let huge = format!("data: {}", "x".repeat(9 << 20));
    for (body, words) in [
        ("", "empty"),
        (page, "/v1"),
        ("{}", "/v1"),
        ("data: {nonsense\n\n", "no chat completion"),
        ("data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", "broke off"),
        (&huge, "8 MiB"),
    ] {
        let client = ask(addr, CHAT, chat("Hello"));
        endpoint.asked().answer("200 OK", "", body);
        let answer = client.get();
        let message = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, 502, "{message}");
        assert!(message.contains(words), "{message}");
    }
    let client = ask(addr, CHAT, chat("Hello"));
    endpoint.asked().send("SSH-2.0-OpenSSH\r\n\r\n");
    assert_eq!(client.get().status, 502);
    let client = ask(addr, CHAT, chat("Hello"));
    let many = "X-A: b\r\n".repeat(10_000);
    endpoint.asked().answer("200 OK", &many, "");
    assert_eq!(client.get().status, 502);
}

#[test]
fn an_endpoint_that_breaks_off_or_is_not_there_is_told() {
    let (_bridge, addr, endpoint) = forwarding(&[]);
    // In the middle of a whole answer.
    let client = ask(addr, CHAT, chat("Hello"));
    let mut asked = endpoint.asked();
    asked.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\":[");
    drop(asked);
    assert_eq!(client.get().status, 502);
    // Before any answer.
    let client = ask(addr, CHAT, chat("Hello"));
    drop(endpoint.asked());
    assert_eq!(client.get().status, 502);
    // In the middle of a stream.
    let mut client = streaming(addr, "Hello");
    let mut asked = endpoint.asked();
    asked.begin();
    asked.piece("one");
    client.head();
    assert_eq!(next_text(&mut client), "one");
    drop(asked);
    let last = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(last.contains("broke off"), "{last}");

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/v1");
    let mut bridge = Bridge::spawn(&[("MODELTAP_FORWARD", &url)]);
    let answer = http::chat(bridge.addr(), "Hello");
    let message = answer.json()["error"]["message"].to_string();
    assert_eq!(answer.status, 502);
    assert!(message.contains("is it running?") && message.contains(&free.to_string()), "{message}");
}

#[test]
fn silence_ends_in_a_504_and_a_closed_connection() {
    let (_bridge, addr, endpoint) = forwarding(&[("MODELTAP_FORWARD_TIMEOUT", "200ms")]);
    let client = ask(addr, CHAT, chat("Hello"));
    let asked = endpoint.asked();
    let answer = client.get();
    let message = answer.json()["error"]["message"].to_string();
    assert_eq!(answer.status, 504, "{message}");
    assert!(message.contains("MODELTAP_FORWARD_TIMEOUT") && message.contains("200ms"), "{message}");
    asked.wait_closed();

    // An answer that is whole does not wait for an end that never comes.
    let client = ask(addr, CHAT, chat("Hello"));
    let mut asked = endpoint.asked();
    asked.begin();
    asked.delta(&json!({"content": "Hi"}), Some("stop"));
    assert_eq!(client.get().content(), "Hi");
    asked.wait_closed();

    // The bridge's own limit holds too.
    let (_bridge, addr, endpoint) = forwarding(&[("MODELTAP_TIMEOUT", "200ms")]);
    let client = ask(addr, CHAT, chat("Hello"));
    let asked = endpoint.asked();
    assert_eq!(client.get().status, 504);
    asked.wait_closed();
}

#[test]
fn a_client_that_leaves_ends_the_call_at_once() {
    let (mut bridge, addr, endpoint) = forwarding(&[]);
    // While nothing has come yet.
    let mut client = Client::connect(addr);
    client.post(CHAT, "", &chat("Hello"));
    let asked = endpoint.asked();
    drop(client);
    asked.wait_closed();
    // In the middle of a stream.
    let mut client = streaming(addr, "Hello");
    let mut asked = endpoint.asked();
    asked.begin();
    asked.piece("one");
    client.head();
    assert_eq!(next_text(&mut client), "one");
    drop(client);
    asked.wait_closed();
    // When HTTP is stopped.
    let client = ask(addr, CHAT, chat("Hello"));
    let asked = endpoint.asked();
    bridge.call("http_server_stop", json!({}));
    assert_eq!(client.get().status, 502);
    asked.wait_closed();
}

#[test]
fn the_key_is_sent_and_never_shown() {
    const KEY: &str = "sk-very-s3cret";
    let env = [("MODELTAP_FORWARD_KEY", KEY), ("MODELTAP_LOG", "full")];
    let (mut bridge, addr, endpoint) = forwarding(&env);
    let mut shown = String::new();
    let words = format!("{KEY} is odd");
    let error = json!({"error": {"message": words}}).to_string();
    for status in ["400 Bad", "401 Who", "403 No", "500 Oh"] {
        let client = ask(addr, CHAT, chat("Hello"));
        let asked = endpoint.asked();
        assert!(asked.head.contains(&format!("authorization: Bearer {KEY}\r\n")), "{}", asked.head);
        asked.answer(status, "", &error);
        let answer = client.get().text();
        let said = ["does not take the key", "(the forward key) is odd"];
        assert!(said.iter().any(|said| answer.contains(said)), "{answer}");
        shown.push_str(&answer);
    }
    let id = forward_chat(&mut bridge, "Hello");
    endpoint.asked().answer("500 Oh", "", &error);
    shown.push_str(&told(&mut bridge, id).to_string());
    shown.push_str(&bridge.call("channel_debug_events", json!({"limit": 500})).to_string());
    shown.push_str(&bridge.call("runtime_status", json!({})).to_string());
    bridge.close_stdin();
    bridge.wait();
    shown.push_str(&bridge.stderr());
    assert!(!shown.contains("s3cret"), "{shown}");
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

#[cfg(feature = "tls")]
#[test]
fn an_endpoint_that_speaks_no_tls_is_told_from_one_that_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            use std::io::Write;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut bridge = Bridge::spawn(&[("MODELTAP_FORWARD", &url)]);
    let answer = http::chat(bridge.addr(), "Hello");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("https://127.0.0.1"), "{}", answer.text());
}

/// Calls the tool `forward_chat` without waiting; the id of the call.
fn forward_chat(bridge: &mut Bridge, text: &str) -> u64 {
    let arguments = json!({"messages": [{"role": "user", "content": text}]});
    bridge.begin("tools/call", json!({"name": "forward_chat", "arguments": arguments}))
}

/// What a call comes to.
fn told(bridge: &mut Bridge, id: u64) -> Value {
    bridge.recv_where(|message| message["id"] == id && message.get("method").is_none())["result"]
        .clone()
}

fn cancel(bridge: &Bridge, id: u64) {
    let params = json!({"requestId": id, "reason": "enough"});
    let method = "notifications/cancelled";
    bridge.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
}

#[test]
fn the_hosts_model_can_ask_the_endpoint() {
    let (mut bridge, _, endpoint) =
        forwarding(&[("MODELTAP_FORWARD_MODELS", "modeltap=mini,big=huge")]);
    bridge.initialize("editor", json!({}));
    let arguments = json!({"model": "big", "max_tokens": 7, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go on"}]});
    let params = json!({"name": "forward_chat", "arguments": arguments});
    let id = bridge.begin("tools/call", params);
    let mut asked = endpoint.asked();
    let expected = json!({"model": "huge", "stream": true, "max_tokens": 7,
        "stream_options": {"include_usage": true}, "messages": arguments["messages"]});
    assert_eq!(asked.body, expected);
    asked.begin();
    asked.piece("Well, ");
    // Other calls are answered meanwhile.
    bridge.request("ping", json!({}));
    asked.piece("no.");
    asked.delta(&json!({}), Some("length"));
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
    asked.send(format!("data: {}\n\n", json!({"choices": [], "usage": usage})));
    asked.send("data: [DONE]\n\n");
    let result = told(&mut bridge, id);
    let expected = json!({"ok": true, "content": "Well, no.", "model": "far-1",
        "stop_reason": "maxTokens", "usage": usage});
    assert_eq!((&result["structuredContent"], &result["isError"]), (&expected, &json!(false)));

    let id = forward_chat(&mut bridge, "Hello");
    let asked = endpoint.asked();
    assert_eq!(asked.body["model"], "mini");
    asked.whole("Hi");
    let expected = json!({"ok": true, "content": "Hi", "model": "far-1", "stop_reason": "endTurn"});
    assert_eq!(told(&mut bridge, id)["structuredContent"], expected);

    let id = forward_chat(&mut bridge, "Hello");
    endpoint.asked().answer("500 Oh", "", "{\"error\":\"Odd.\"}");
    let result = told(&mut bridge, id);
    assert_eq!(result["isError"], true);
    assert!(result["structuredContent"]["message"].as_str().unwrap().contains("Odd."));
}

#[test]
fn a_call_of_the_tool_that_is_cancelled_is_closed_and_not_answered() {
    let (mut bridge, _, endpoint) = forwarding(&[]);
    bridge.initialize("editor", json!({}));
    let id = forward_chat(&mut bridge, "Hello");
    let asked = endpoint.asked();
    cancel(&bridge, id);
    asked.wait_closed();
    // A new session has nothing to do with the calls of the last one.
    let old = forward_chat(&mut bridge, "Hello");
    let asked = endpoint.asked();
    bridge.initialize("editor", json!({}));
    asked.wait_closed();
    let id_again = forward_chat(&mut bridge, "Hello");
    endpoint.asked().whole("Hi");
    assert_eq!(told(&mut bridge, id_again)["structuredContent"]["content"], "Hi");
    bridge.request("ping", json!({}));
    assert!(bridge.is_silent_for(std::time::Duration::ZERO), "{id} or {old} was answered");
}

#[test]
fn calls_of_the_tool_are_bounded() {
    let (mut bridge, _, endpoint) = forwarding(&[]);
    bridge.initialize("editor", json!({}));
    let open: Vec<u64> = (0..8).map(|_| forward_chat(&mut bridge, "Hello")).collect();
    let asked: Vec<Asked> = open.iter().map(|_| endpoint.asked()).collect();
    let refused = forward_chat(&mut bridge, "Hello");
    let result = told(&mut bridge, refused);
    assert_eq!(result["isError"], true, "{result}");
    asked.into_iter().for_each(|asked| asked.whole("Hi"));
    for id in open {
        assert_eq!(told(&mut bridge, id)["structuredContent"]["content"], "Hi");
    }
}

#[test]
fn the_tool_is_offered_where_there_is_an_endpoint() {
    let names = |bridge: &mut Bridge| bridge.request("tools/list", json!({}))["result"].to_string();
    let (mut bridge, _, _endpoint) = forwarding(&[]);
    assert!(names(&mut bridge).contains("forward_chat"));
    let tools = bridge.request("tools/list", json!({}))["result"]["tools"].clone();
    let tool = tools.as_array().unwrap().iter().find(|tool| tool["name"] == "forward_chat");
    let schema = &tool.unwrap()["inputSchema"];
    let items = &schema["properties"]["messages"]["items"];
    assert_eq!(schema["required"], json!(["messages"]));
    assert_eq!(items["required"], json!(["role", "content"]));
    assert_eq!(items["properties"]["role"]["enum"], json!(["system", "user", "assistant"]));
    let good = json!([{"role": "user", "content": "Hi"}]);
    for bad in [json!({}), json!({"messages": []}), json!({"messages": good, "max_tokens": 0})] {
        assert_eq!(bridge.call("forward_chat", bad)["isError"], true);
    }
    let mut bridge = Bridge::spawn(&[]);
    assert!(!names(&mut bridge).contains("forward_chat"));
    let result = bridge.call("forward_chat", json!({"messages": good}));
    assert_eq!(result["isError"], true);
    assert!(result.to_string().contains("--forward"), "{result}");
}
