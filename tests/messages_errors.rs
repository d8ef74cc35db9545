//! What Anthropic's clients are told when they get no answer, and what they ask beside it: counts,
//! models, and whether anybody is there.

mod common;

use common::http::{self, Answer, Client};
use common::{Bridge, aside};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PATH: &str = "/v1/messages";
const VERSION: &str = "anthropic-version: 2023-06-01\r\n";

fn said(text: &str) -> Value {
    json!({"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": text}]})
}

fn send(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    ));
    if method == "HEAD" { client.head() } else { client.answer() }
}

fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, "GET", path, VERSION, "")
}

/// Looks at the envelope; the message.
fn check(answer: &Answer, status: u16, kind: &str) -> String {
    let body = answer.json();
    assert_eq!((answer.status, body["error"]["type"].as_str()), (status, Some(kind)), "{body}");
    assert_eq!(body["type"], "error");
    let id = answer.header("request-id");
    assert!(id.is_some_and(|id| !id.is_empty()));
    assert_eq!((body["request_id"].as_str(), answer.header("x-request-id")), (id, id));
    body["error"]["message"].as_str().expect("a message").to_owned()
}

#[test]
fn a_wrong_field_is_named_in_front() {
    let mut bridge = Bridge::sampling(&[("BRIDGE_MAX_MESSAGE_CHARS", "100")]);
    let addr = bridge.addr();
    let with = |key: &str, value: Value| {
        let mut body = said("Hello");
        body[key] = value;
        body
    };
    let content = |block: Value| with("messages", json!([{"role": "user", "content": [block]}]));
    let source = |kind: &str, of: &str, mime: &str| {
        json!({"type": kind, "source": {"type": of, "media_type": mime, "data": "aGk=",
            "url": "https://example.org/a"}})
    };
    for (body, start) in [
        (json!({}), "messages: "),
        (with("max_tokens", Value::Null), "max_tokens: "),
        (with("max_tokens", "many".into()), "max_tokens: "),
        (with("temperature", 1.5.into()), "temperature: "),
        (with("messages", json!([{"role": "robot", "content": ""}])), "messages.0.role: "),
        (content(json!({"type": "text"})), "messages.0.content.0.text: "),
        (content(json!({"type": "text", "text": 5})), "messages.0.content.0.text: "),
        (
            content(source("image", "url", "image/png")),
            "messages.0.content.0.source: this bridge fetches nothing",
        ),
        (
            content(source("document", "base64", "application/pdf")),
            "messages.0.content.0.source: an MCP host takes text and images, no PDF",
        ),
        (
            with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])),
            "tools.0: the tool web_search_20250305 is Anthropic's own",
        ),
        (with("tool_choice", json!({"type": "any"})), "tool_choice: "),
        (
            content(json!({"type": "text", "text": "x".repeat(101)})),
            "messages.0.content: prompt is too long: ",
        ),
    ] {
        let message = check(&http::post(addr, PATH, &body), 400, "invalid_request_error");
        assert!(message.starts_with(start), "{message:?} for {body}");
    }
    for body in ["", "{", "nope"] {
        check(&send(addr, "POST", PATH, "", body), 400, "invalid_request_error");
    }
}

#[test]
fn a_thread_is_begun_but_not_continued() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut body = said("Hello");
    body["thread"] = json!({"type": "create"});
    let first = body.clone();
    let client = aside(move || http::post(addr, PATH, &first));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "Hi");
    let id = client.get().json()["id"].clone();
    body["thread"] = json!({"type": "continue", "previous_message_id": id});
    // To resume, a client sends no message at all.
    for messages in [body["messages"].clone(), json!([])] {
        body["messages"] = messages;
        let refused = http::post(addr, PATH, &body);
        check(&refused, 404, "not_found_error");
        assert_eq!(refused.json()["error"]["details"], json!({"error_code": "thread_not_found"}));
    }
}

#[test]
fn what_the_host_refuses_has_its_own_class() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let mut ask = |reply: Value| {
        let client = aside(move || http::post(addr, PATH, &said("Hello")));
        let request = bridge.recv_method("sampling/createMessage");
        let mut message = json!({"jsonrpc": "2.0", "id": request["id"]});
        message.as_object_mut().unwrap().extend(reply.as_object().unwrap().clone());
        bridge.send(&message);
        client.get()
    };
    // One good answer first, so that a refusal is not taken for the wish to be hooked.
    let good =
        json!({"role": "assistant", "content": {"type": "text", "text": "Hi"}, "model": "m"});
    assert_eq!(ask(json!({"result": good})).status, 200);
    for (code, status, kind) in [
        (-1, 403, "permission_error"),
        (-32000, 403, "permission_error"),
        (-32601, 501, "api_error"),
        (-32602, 400, "invalid_request_error"),
        (-32603, 502, "api_error"),
    ] {
        let answer = ask(json!({"error": {"code": code, "message": "said no"}}));
        assert!(check(&answer, status, kind).contains("said no"));
    }
    check(&ask(json!({"result": {"content": 5}})), 502, "api_error");
}

#[test]
fn without_a_host_or_in_time_the_error_is_worth_a_second_try() {
    let mut bridge = Bridge::spawn(&[("MODELTAP_TIMEOUT", "300ms")]);
    let addr = bridge.addr();
    let answer = http::post(addr, PATH, &said("Hello"));
    check(&answer, 503, "overloaded_error");
    assert_eq!(answer.header("retry-after"), Some("5"));
    bridge.initialize("test-host", json!({"sampling": {}}));
    check(&http::post(addr, PATH, &said("Hello")), 504, "timeout_error");
}

#[test]
fn the_paths_around_it_keep_the_envelope() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "sesame")]);
    let addr = bridge.addr();
    check(&send(addr, "POST", "/v1/messages/batches", "", "{}"), 404, "not_found_error");
    check(&send(addr, "GET", PATH, "", ""), 405, "invalid_request_error");
    check(&send(addr, "POST", PATH, "", "{}"), 401, "authentication_error");
    check(&send(addr, "POST", "/v1/messages/count_tokens", "", "{}"), 401, "authentication_error");
    check(&send(addr, "POST", PATH, "x-api-key: other\r\n", "{}"), 401, "authentication_error");
    check(&get(addr, "/v1/models"), 401, "authentication_error");
    for key in ["x-api-key: sesame\r\n", "Authorization: Bearer sesame\r\n"] {
        for path in [PATH, "/v1/messages/count_tokens"] {
            check(&send(addr, "POST", path, key, "{}"), 400, "invalid_request_error");
        }
        let list = send(addr, "GET", "/v1/models", &format!("{VERSION}{key}"), "");
        assert_eq!(list.status, 200);
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a chunk is refused only once it has come")]
fn a_body_over_the_limit_is_refused_in_the_envelope_of_the_path() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_BODY", "1024")]);
    let addr = bridge.addr();
    for framing in ["Content-Length: 1025\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n401\r\n"] {
        let refused = |path: &str| {
            let mut client = Client::connect(addr);
            client.send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}"));
            client.answer()
        };
        let said = check(&refused(PATH), 413, "request_too_large");
        assert!(said.contains("1024"), "{said}");
        let body = refused("/v1/chat/completions").json();
        assert_eq!(body["error"]["code"], "request_too_large", "{body}");
    }
}

#[test]
fn tokens_are_counted_without_a_host() {
    let mut bridge = Bridge::spawn(&[]);
    let addr = bridge.addr();
    let count = |body: &Value| {
        let answer = http::post(addr, "/v1/messages/count_tokens?beta=true", body);
        assert_eq!((answer.status, answer.header("x-mcp-usage")), (200, Some("estimated")));
        assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
        let body = answer.json();
        assert_eq!(body.as_object().unwrap().len(), 1);
        body["input_tokens"].as_u64().unwrap()
    };
    let bare = json!({"model": "claude-x", "messages": [{"role": "user", "content": "Hello"}]});
    let least = count(&bare);
    assert!(least > 0);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    for (key, value) in [
        ("system", json!("Be brief.")),
        ("tools", json!([{"name": "t", "description": "Looks it up.", "input_schema": schema}])),
    ] {
        let mut body = bare.clone();
        body[key] = value;
        assert!(count(&body) > least, "{key}");
    }
    let answer = http::post(addr, "/v1/messages/count_tokens", &json!({"messages": []}));
    assert!(check(&answer, 400, "invalid_request_error").starts_with("messages: "));
    check(&send(addr, "GET", "/v1/messages/count_tokens", "", ""), 405, "invalid_request_error");
}

#[test]
fn hello_is_answered_to_everybody() {
    let mut bridge = Bridge::spawn(&[("MODELTAP_API_KEY", "sesame")]);
    let addr = bridge.addr();
    for method in ["HEAD", "GET"] {
        let answer = send(addr, method, "/api/hello", "", "");
        assert_eq!(answer.status, 200);
        assert!(answer.header("request-id").is_some());
    }
    check(&send(addr, "POST", "/api/hello", "", ""), 405, "invalid_request_error");
}

#[test]
fn models_have_the_shape_that_the_client_asks_for() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let client = aside(move || http::post(addr, PATH, &said("Hello")));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "Hi");
    client.get();

    let answer = get(addr, "/v1/models?limit=1000");
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    let list = answer.json();
    let ends = (&list["has_more"], &list["first_id"], &list["last_id"]);
    assert_eq!(ends, (&json!(false), &json!("modeltap"), &json!("test-model")));
    let model = &list["data"][1];
    let names = (&model["type"], &model["id"], &model["display_name"]);
    assert_eq!(names, (&json!("model"), &json!("test-model"), &json!("test-model")));
    let created = model["created_at"].as_str().unwrap();
    assert!(created.starts_with("20") && created.ends_with('Z'), "{created}");
    assert_eq!(&get(addr, "/v1/models/test-model").json(), model);

    let page = get(addr, "/v1/models?limit=1").json();
    assert_eq!((&page["has_more"], &page["last_id"]), (&json!(true), &json!("modeltap")));
    let page = get(addr, "/v1/models?limit=1&after_id=modeltap").json();
    assert_eq!((&page["has_more"], &page["first_id"]), (&json!(false), &json!("test-model")));
    let message = check(&get(addr, "/v1/models?limit=0"), 400, "invalid_request_error");
    assert!(message.starts_with("limit: "));
    check(&get(addr, "/v1/models/other"), 404, "not_found_error");
    assert_eq!(http::get(addr, "/v1/models").json()["object"], "list");
}
