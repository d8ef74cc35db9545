//! The legacy `POST /v1/completions` through sampling.

mod common;

use common::{Bridge, aside, echo, http};
use serde_json::{Value, json};

const PATH: &str = "/v1/completions";

#[test]
fn a_prompt_is_asked_and_answered() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let body = json!({"model": "m", "prompt": ["Hello"], "stop": ["END"], "max_tokens": 5});
    let client = aside(move || http::post(addr, PATH, &body));
    let request = bridge.recv_method("sampling/createMessage");
    let params = &request["params"];
    let message = json!({"role": "user", "content": {"type": "text", "text": "Hello"}});
    assert_eq!(params["messages"], json!([message]));
    assert_eq!((&params["maxTokens"], &params["stopSequences"]), (&json!(5), &json!(["END"])));
    let mut reply = common::sampled(&request, "Hi there");
    reply["result"]["stopReason"] = "maxTokens".into();
    bridge.send(&reply);
    let answer = client.get();
    assert_eq!(answer.status, 200);
    let id = answer.header("x-request-id").unwrap();
    let body = answer.json();
    assert_eq!(body["id"], format!("cmpl-{id}"));
    assert_eq!((&body["object"], &body["model"]), (&json!("text_completion"), &json!("m")));
    assert_eq!(
        body["choices"],
        json!([{"index": 0, "text": "Hi there", "logprobs": null, "finish_reason": "length"}])
    );
    assert_eq!(body["usage"]["completion_tokens"], 2);
}

#[test]
fn without_a_limit_the_settings_limit_holds() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_MAX_TOKENS", "77")]);
    let addr = bridge.addr();
    let client = aside(move || http::post(addr, PATH, &json!({"prompt": "Hello"})));
    let request = bridge.recv_method("sampling/createMessage");
    assert_eq!(request["params"]["maxTokens"], 77);
    bridge.answer(&request, "Hi");
    assert_eq!(client.get().status, 200);
}

#[test]
fn streams_end_with_the_reason_the_usage_and_done() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let body = json!({"prompt": "Hello", "n": 2, "stream": true,
        "stream_options": {"include_usage": true}});
    let mut events = http::post(addr, PATH, &body).events();
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let events: Vec<Value> = events.iter().map(|e| serde_json::from_str(e).unwrap()).collect();
    let (usage, chunks) = events.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["total_tokens"].as_u64().unwrap() > 0);
    for index in 0..2 {
        let choices = chunks.iter().map(|chunk| &chunk["choices"][0]);
        let choices: Vec<&Value> = choices.filter(|choice| choice["index"] == index).collect();
        let texts: String = choices.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!(texts, "echo: Hello");
        assert_eq!(choices.last().unwrap()["finish_reason"], "stop");
    }
    assert!(chunks.iter().all(|chunk| chunk["object"] == "text_completion"));
}

#[test]
fn what_is_not_served_is_a_400_that_names_the_field() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    for (body, param) in [
        (json!({}), "prompt"),
        (json!({"prompt": [1, 2]}), "prompt"),
        (json!({"prompt": [[1, 2]]}), "prompt"),
        (json!({"prompt": ["a", "b"]}), "prompt"),
        (json!({"prompt": "a", "echo": true}), "echo"),
        (json!({"prompt": "a", "logprobs": 1}), "logprobs"),
    ] {
        let answer = http::post(addr, PATH, &body);
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (400, &json!(param)), "{body}: {error}");
    }
}
