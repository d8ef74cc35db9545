//! The description of the routes, held against what the running binary answers.

mod common;

use boon::{Compiler, Schemas};
use common::http::{Answer, Client};
use common::{Bridge, echo};
use serde_json::{Value, json};
use std::net::SocketAddr;

const KEY: &str = "Authorization: Bearer secret-key\r\n";
const ANTHROPIC: &str = "x-api-key: secret-key\r\nanthropic-version: 2023-06-01\r\n";

/// One request; a body makes it a POST, unless it has a method.
fn send(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    ));
    client.answer()
}

/// The description as the binary serves it.
fn description(addr: SocketAddr) -> Value {
    let answer = send(addr, "GET", "/openapi.json", "", "");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

/// Follows a reference, where there is one; what is there, and its place.
fn resolve(document: &Value, place: String) -> (&Value, String) {
    let found = document.pointer(&place).unwrap_or_else(|| panic!("nothing is at {place}"));
    match found["$ref"].as_str().and_then(|to| to.strip_prefix('#')) {
        Some(to) => resolve(document, to.to_owned()),
        None => (found, place),
    }
}

/// Holds an answer of the operation `method` on `path`, as the description writes it, against what
/// is said of it.
fn check(document: &Value, method: &str, path: &str, answer: &Answer) {
    let what = format!("{method} {path}: {}", answer.status);
    let path = path.replace('/', "~1");
    let place = format!("/paths/{path}/{}/responses/{}", method.to_lowercase(), answer.status);
    let (said, place) = resolve(document, place);
    for name in said["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        let (header, _) = resolve(document, format!("{place}/headers/{name}"));
        let found = answer.header(&name.to_ascii_lowercase());
        assert!(found.is_some() || header["required"] != true, "{what}: {name} is missing");
    }
    let kind = answer.header("content-type").expect("a type").split(';').next().unwrap();
    let kind = kind.replace('/', "~1");
    let (_, place) = resolve(document, format!("{place}/content/{kind}/schema"));
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.add_resource("modeltap:openapi", document.clone()).unwrap();
    let schema = compiler.compile(&format!("modeltap:openapi#{place}"), &mut schemas).unwrap();
    let told = match kind.as_str() {
        "text~1event-stream" => events(&answer.text()),
        "text~1plain" => vec![answer.text().into()],
        _ => vec![answer.json()],
    };
    assert!(!told.is_empty(), "{what}: nothing is told");
    for one in told {
        schemas.validate(&one, schema).unwrap_or_else(|e| panic!("{what}: {e:#}\n{one}"));
    }
}

/// The events of a stream as their names and data; without a name it is `message`.
fn events(stream: &str) -> Vec<Value> {
    let events = stream.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
    let fields = events.map(|event| {
        let named = event.strip_prefix("event: ").and_then(|rest| rest.split_once('\n'));
        let (name, data) = named.unwrap_or(("message", event));
        json!({"event": name, "data": data.strip_prefix("data: ")})
    });
    fields.collect()
}

#[test]
fn it_is_served_without_a_key_and_tells_no_secret() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "secret-key")]);
    let addr = bridge.addr();
    let document = description(addr);
    assert_eq!(document["openapi"], "3.1.1");
    assert!(!document.to_string().contains("secret-key"));
    let head = send(addr, "POST", "/openapi.json", "", "");
    assert_eq!((head.status, head.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn answers_are_as_it_says() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "secret-key")]);
    let addr = bridge.addr();
    let document = description(addr);
    bridge.serve(echo);
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let chat = json!({"messages": messages, "max_tokens": 9});
    let parameters = json!({"type": "object", "properties": {}});
    let tools = json!([{"type": "function", "name": "f", "parameters": parameters}]);
    let response = json!({"input": "Hello", "tools": tools, "text": {"verbosity": "low"}});
    for (path, body, wrong) in [
        ("/v1/chat/completions", &chat, "messages"),
        ("/v1/messages", &chat, "messages"),
        ("/v1/messages/count_tokens", &chat, "messages"),
        ("/v1/responses", &response, "input"),
        ("/v1/completions", &json!({"prompt": "Hello", "n": 2}), "prompt"),
    ] {
        let mut requests = vec![(body.clone(), KEY, 200), (body.clone(), "", 401)];
        let mut bad = body.clone();
        bad[wrong] = json!({"wrong": true});
        requests.push((bad, KEY, 400));
        let mut streamed = body.clone();
        streamed["stream"] = true.into();
        requests.push((streamed, KEY, 200));
        for (body, key, status) in requests {
            let answer = send(addr, "POST", path, key, &body.to_string());
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            check(&document, "POST", path, &answer);
        }
    }
    let kept = send(addr, "POST", "/v1/responses", KEY, &response.to_string()).json();
    let kept = format!("/v1/responses/{}", kept["id"].as_str().unwrap());
    let (stored, items) =
        ("/v1/responses/{response_id}", "/v1/responses/{response_id}/input_items");
    let model = "/v1/models/{model_id}";
    for (method, path, as_sent, key, status) in [
        ("GET", stored, kept.clone(), KEY, 200),
        ("GET", items, format!("{kept}/input_items"), KEY, 200),
        ("DELETE", stored, kept.clone(), KEY, 200),
        ("DELETE", stored, kept.clone(), KEY, 404),
        ("GET", stored, kept.clone(), ANTHROPIC, 404),
        ("GET", items, format!("{kept}/input_items"), KEY, 404),
        ("GET", "/v1/models", "/v1/models".into(), KEY, 200),
        ("GET", "/v1/models", "/v1/models".into(), ANTHROPIC, 200),
        ("GET", "/v1/models", "/v1/models?limit=0".into(), ANTHROPIC, 400),
        ("GET", "/v1/models", "/v1/models".into(), "", 401),
        ("GET", model, "/v1/models/modeltap".into(), KEY, 200),
        ("GET", model, "/v1/models/modeltap".into(), ANTHROPIC, 200),
        ("GET", model, "/v1/models/other".into(), KEY, 404),
        ("GET", "/api/hello", "/api/hello".into(), "", 200),
        ("GET", "/health", "/health".into(), "", 200),
        ("GET", "/ready", "/ready".into(), "", 200),
        ("GET", "/metrics", "/metrics".into(), KEY, 200),
        ("GET", "/metrics", "/metrics".into(), "", 401),
        ("GET", "/openapi.json", "/openapi.json".into(), "", 200),
    ] {
        let answer = send(addr, method, &as_sent, key, "");
        assert_eq!(answer.status, status, "{method} {as_sent}: {}", answer.text());
        check(&document, method, path, &answer);
    }
}

#[test]
fn what_the_page_reads_is_as_it_says() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "secret-key")]);
    let addr = bridge.addr();
    let document = description(addr);
    bridge.serve(echo);
    let body = json!({"messages": [{"role": "user", "content": "Hello"}]}).to_string();
    let asked = send(addr, "POST", "/v1/chat/completions", KEY, &body);
    let known = format!("/v1/exchanges/{}", asked.header("x-request-id").unwrap());
    let path = "/v1/exchanges/{exchange_id}";
    for (as_sent, key, status) in
        [(known.as_str(), KEY, 200), ("/v1/exchanges/other", KEY, 404), (&known, "", 401)]
    {
        let answer = send(addr, "GET", as_sent, key, "");
        assert_eq!(answer.status, status, "{as_sent}: {}", answer.text());
        check(&document, "GET", path, &answer);
    }
    check(&document, "GET", "/v1/events", &send(addr, "GET", "/v1/events", "", ""));
    let page = send(addr, "GET", "/", "", "");
    let (_, place) = resolve(&document, "/paths/~1/get/responses/200/content".into());
    let kind = document.pointer(&place).unwrap().as_object().unwrap().keys().next().unwrap();
    assert!(page.header("content-type").unwrap().starts_with(kind.as_str()));
    // The stream does not end; how all is comes at once.
    let mut client = Client::connect(addr);
    client.send(format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n"));
    let mut answer = client.head();
    while !answer.body.ends_with(b"\n\n") {
        answer.body.extend(client.chunk().expect("the stream goes on"));
    }
    check(&document, "GET", "/v1/events", &answer);
    let told = events(&answer.text())[0]["data"].clone();
    let told: Value = serde_json::from_str(told.as_str().unwrap()).unwrap();
    assert_eq!(told["exchanges"].as_array().unwrap().len(), 1);
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.add_resource("modeltap:openapi", document.clone()).unwrap();
    let schema = "modeltap:openapi#/components/schemas/News";
    let schema = compiler.compile(schema, &mut schemas).unwrap();
    schemas.validate(&told, schema).unwrap_or_else(|e| panic!("{e:#}\n{told}"));
}

#[test]
fn what_the_limits_refuse_is_as_it_says() {
    let env = [("MODELTAP_MAX_BODY", "1024"), ("MODELTAP_MAX_HEAD", "1024")];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    let document = description(addr);
    let large = format!("x-large: {}\r\n", "x".repeat(2000));
    for (path, headers, body, status) in [
        ("/v1/messages", "", "x".repeat(2000), 413),
        ("/v1/messages", &large, String::new(), 431),
        ("/v1/responses", "", "x".repeat(2000), 413),
        ("/v1/responses", &large, String::new(), 431),
        ("/v1/completions", "Content-Length: 7\r\n", String::new(), 400),
    ] {
        let answer = send(addr, "POST", path, headers, &body);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        check(&document, "POST", path, &answer);
    }
}

#[test]
fn what_the_guard_refuses_is_as_it_says() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_RATE_LIMIT", "1/day")]);
    let addr = bridge.addr();
    let document = description(addr);
    bridge.serve(echo);
    let body = json!({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9});
    let page = "Origin: http://localhost\r\nContent-Type: text/plain\r\n";
    for (path, headers, status) in [
        ("/v1/messages", "Origin: https://elsewhere.example\r\n", 403),
        ("/v1/chat/completions", "Origin: https://elsewhere.example\r\n", 403),
        ("/v1/messages", page, 415),
        ("/v1/chat/completions", page, 415),
        ("/v1/messages", "", 200),
        ("/v1/messages", "", 429),
        ("/v1/chat/completions", "", 429),
    ] {
        let mut client = Client::connect(addr);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.to_string().len()
        ));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        check(&document, "POST", path, &answer);
    }
}

#[test]
fn a_bridge_without_a_model_is_as_it_says() {
    let mut bridge = Bridge::spawn(&[]);
    bridge.initialize("mute", json!({}));
    let addr = bridge.addr();
    let document = description(addr);
    let body = json!({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9});
    for (method, path, body) in [
        ("GET", "/ready", String::new()),
        ("POST", "/v1/messages", body.to_string()),
        ("POST", "/v1/chat/completions", body.to_string()),
    ] {
        let answer = send(addr, method, path, "", &body);
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        check(&document, method, path, &answer);
    }
}
