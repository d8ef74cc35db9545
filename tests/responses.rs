//! `POST /v1/responses` through sampling, and what is kept of its answers.

mod common;

use common::http::{self, Answer, Client};
use common::{Bridge, PATIENCE, aside, echo, sampled};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Instant;

const PATH: &str = "/v1/responses";

/// Sends `body`, answers the host's side with `content`, and returns both sides.
fn round(bridge: &mut Bridge, body: Value, content: Value) -> (Value, Answer) {
    let addr = bridge.addr();
    let client = aside(move || http::post(addr, PATH, &body));
    let request = bridge.recv_method("sampling/createMessage");
    let mut answer = sampled(&request, "");
    answer["result"]["content"] = content;
    bridge.send(&answer);
    (request, client.get())
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The events of a stream: the name before each and its data.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let events = text.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
    let events = events.map(|event| {
        let (name, data) = event.split_once("\ndata: ").unwrap_or_else(|| panic!("{event:?}"));
        let name = name.strip_prefix("event: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    });
    events.collect()
}

fn send(addr: SocketAddr, method: &str, path: &str) -> Answer {
    let mut client = Client::connect(addr);
    client
        .send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    client.answer()
}

/// What the host was asked, one line a message.
fn asked(request: &Value) -> Vec<String> {
    let messages = request["params"]["messages"].as_array().unwrap().iter();
    let lines = messages.map(|message| {
        let text = message["content"]["text"].as_str().unwrap_or_default();
        format!("{}: {text}", message["role"].as_str().unwrap_or_default())
    });
    lines.collect()
}

#[test]
fn a_whole_answer_has_the_shape_of_the_api() {
    let mut bridge = Bridge::sampling(&[]);
    let body = json!({"model": "gpt-x", "instructions": "Be brief.", "max_output_tokens": 9,
        "input": "Hello"});
    let (request, answer) = round(&mut bridge, body, text("Hi there"));
    assert_eq!(request["params"]["systemPrompt"], "Be brief.");
    assert_eq!(request["params"]["maxTokens"], 9);
    assert_eq!(asked(&request), ["user: Hello"]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-mcp-model"), Some("test-model"));
    assert_eq!(answer.header("x-mcp-usage"), Some("estimated"));
    let id = answer.header("x-request-id").unwrap();
    let body = answer.json();
    assert_eq!(body["id"], format!("resp_{id}"));
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")));
    assert!(body["created_at"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!((&body["model"], &body["instructions"]), (&json!("gpt-x"), &json!("Be brief.")));
    assert_eq!(
        body["output"],
        json!([{"id": format!("msg_{id}_0"), "type": "message", "status": "completed",
            "role": "assistant", "content": [
                {"type": "output_text", "text": "Hi there", "annotations": [], "logprobs": []}]}])
    );
    assert!(body["usage"]["total_tokens"].as_u64().unwrap() > 0);
}

#[test]
fn a_stream_tells_each_event_by_name_type_and_number() {
    let mut bridge = Bridge::sampling(&[]);
    let (_, answer) =
        round(&mut bridge, json!({"input": "Hello", "stream": true}), text("Hi \"you\"\n你"));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = events(&answer);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (at, (name, data)) in events.iter().enumerate() {
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(at)));
    }
    assert_eq!(events[4].1["delta"], "Hi \"you\"\n你");
    let last = &events[8].1["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], "Hi \"you\"\n你");
    assert_eq!(last["id"], events[0].1["response"]["id"]);
    let id = last["id"].as_str().unwrap();
    let addr = bridge.addr();
    assert_eq!(http::get(addr, &format!("{PATH}/{id}")).json(), *last);
}

#[test]
fn calls_go_to_the_client_and_their_results_come_back() {
    let mut bridge = Bridge::sampling(&[]);
    let tools = json!([
        {"type": "function", "name": "weather", "parameters": {"type": "object"}},
        {"type": "web_search", "external_web_access": true}]);
    let call = |id: &str, city: &str| json!({"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}});
    let said = json!([text("Let me look."), call("c1", "Paris"), call("c2", "Rome")]);
    for stream in [false, true] {
        let body = json!({"input": "Weather?", "tools": tools, "stream": stream});
        let (_, answer) = round(&mut bridge, body, said.clone());
        let response = match stream {
            false => answer.json(),
            true => {
                let events = events(&answer);
                let deltas = events
                    .iter()
                    .filter(|(name, _)| name == "response.function_call_arguments.delta");
                let deltas: Vec<&Value> = deltas.map(|(_, data)| &data["delta"]).collect();
                assert_eq!(deltas, ["{\"city\":\"Paris\"}", "{\"city\":\"Rome\"}"]);
                events.last().unwrap().1["response"].clone()
            }
        };
        let output = response["output"].as_array().unwrap();
        let kinds: Vec<&Value> = output.iter().map(|item| &item["type"]).collect();
        assert_eq!(kinds, ["message", "function_call", "function_call"]);
        assert_eq!((&output[1]["call_id"], &output[1]["name"]), (&json!("c1"), &json!("weather")));
        assert_eq!(output[2]["arguments"], "{\"city\":\"Rome\"}");
        assert_eq!(response["tools"].as_array().unwrap().len(), 1, "only what was offered");

        let results = json!([
            {"type": "function_call_output", "call_id": "c1", "output": "18C"},
            {"type": "function_call_output", "call_id": "c2", "output": "21C"}]);
        // Once by the id of the response, once with the whole conversation sent again.
        let mut again = vec![json!({"role": "user", "content": "Weather?"})];
        again.extend(output.iter().cloned());
        again.extend(results.as_array().unwrap().iter().cloned());
        let by_id = json!({"input": results, "tools": tools, "stream": stream,
            "previous_response_id": response["id"]});
        let in_full = json!({"input": again, "tools": tools, "stream": stream});
        let (by_id, _) = round(&mut bridge, by_id, text("Warm."));
        let (in_full, answer) = round(&mut bridge, in_full, text("Warm."));
        assert!(answer.text().contains("Warm."));
        assert_eq!(by_id["params"], in_full["params"]);
        let asked = asked(&by_id).join("\n");
        for part in ["Weather?", "Let me look.", "Paris", "c1", "18C", "21C"] {
            assert!(asked.contains(part), "{part} is not in {asked}");
        }
    }
}

#[test]
fn a_conversation_goes_on_by_the_id_of_its_last_response() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let (_, answer) =
        round(&mut bridge, json!({"input": "one", "instructions": "Not passed on."}), text("two"));
    let first = answer.json();
    let id = first["id"].as_str().unwrap().to_owned();
    let next = json!({"input": [{"role": "user", "content": "three"}], "previous_response_id": id});
    let (request, answer) = round(&mut bridge, next.clone(), text("four"));
    assert_eq!(asked(&request), ["user: one", "assistant: two", "user: three"]);
    assert!(request["params"].get("systemPrompt").is_none());
    let second = answer.json();
    assert_eq!(second["previous_response_id"], id);
    let third = json!({"input": "five", "previous_response_id": second["id"]});
    let (request, _) = round(&mut bridge, third, text("six"));
    let all = ["user: one", "assistant: two", "user: three", "assistant: four", "user: five"];
    assert_eq!(asked(&request), all);

    let place = format!("{PATH}/{id}");
    assert_eq!(http::get(addr, &place).json(), first);
    let second_items = format!("{PATH}/{}/input_items", second["id"].as_str().unwrap());
    let items = http::get(addr, &format!("{second_items}?limit=20&order=asc")).json();
    let roles: Vec<&Value> =
        items["data"].as_array().unwrap().iter().map(|item| &item["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    assert_eq!(http::get(addr, &second_items).json()["data"][0], items["data"][2]);

    let deleted = send(addr, "DELETE", &place);
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(true)));
    for (method, path) in
        [("GET", place.clone()), ("DELETE", place.clone()), ("GET", format!("{place}/input_items"))]
    {
        let answer = send(addr, method, &path);
        let code = &answer.json()["error"]["code"];
        assert_eq!((answer.status, code), (404, &json!("response_not_found")), "{method} {path}");
    }
    let error = http::post(addr, PATH, &next);
    let told = &error.json()["error"];
    assert_eq!(error.status, 400);
    assert_eq!(told["param"], "previous_response_id");
    assert_eq!(told["code"], "previous_response_not_found");
    let refused = send(addr, "PUT", &place);
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET, HEAD, DELETE, OPTIONS"))
    );
    assert_eq!(send(addr, "GET", &format!("{place}/cancel")).status, 404);
}

#[test]
fn items_are_known_by_their_ids_while_their_response_is_kept() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let tool = json!({"type": "function", "name": "f", "parameters": {"type": "object"}});
    let asks = |input: Value| json!({"model": "m", "input": input, "tools": [tool.clone()]});
    let said = "One.<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
    let (_, answer) = round(&mut bridge, asks(json!("Hello")), text(said));
    let response = answer.json();
    let output = response["output"].as_array().unwrap();
    let by_id = |id: &Value| json!({"type": "item_reference", "id": id});
    let result =
        json!({"type": "function_call_output", "call_id": output[1]["call_id"], "output": "2"});
    let user = json!({"role": "user", "content": "Hello"});
    let input = json!([user, by_id(&output[0]["id"]), by_id(&output[1]["id"]), result]);
    let (request, answer) = round(&mut bridge, asks(input.clone()), text("Two."));
    let call = output[1]["call_id"].as_str().unwrap();
    assert_eq!(
        asked(&request),
        [
            "user: Hello".to_owned(),
            "assistant: One.\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>".to_owned(),
            format!("user: Result of the tool call {call}:\n2"),
        ]
    );
    // A response that was asked for in this way can itself be gone on from.
    let next = json!({"model": "m", "input": "Go on", "previous_response_id": answer.json()["id"]});
    let (request, _) = round(&mut bridge, next, text("Three."));
    assert_eq!(asked(&request).len(), 5);

    let path = format!("{PATH}/{}", response["id"].as_str().unwrap());
    assert_eq!(send(addr, "DELETE", &path).status, 200);
    let unknown = [json!("msg_x"), json!("rs_1_2"), Value::Null];
    for (input, at) in
        std::iter::once((input, 1)).chain(unknown.iter().map(|id| (json!([by_id(id), user]), 0)))
    {
        let refused = http::post(addr, PATH, &asks(input));
        assert_eq!(refused.status, 400);
        assert_eq!(refused.json()["error"]["param"], format!("input[{at}].id"));
    }
}

#[test]
fn what_is_kept_is_bounded_and_store_false_keeps_nothing() {
    let id_of = |answer: Answer| answer.json()["id"].as_str().unwrap().to_owned();
    let ask = |env: &[(&str, &str)], bodies: &[Value]| {
        let mut bridge = Bridge::sampling(env);
        let addr = bridge.addr();
        bridge.serve(echo);
        let ids: Vec<String> =
            bodies.iter().map(|body| id_of(http::post(addr, PATH, body))).collect();
        let status = |id: &String| http::get(addr, &format!("{PATH}/{id}")).status;
        ids.iter().map(status).collect::<Vec<u16>>()
    };
    let (keep, leave) = (json!({"input": "q"}), json!({"input": "q", "store": false}));
    let three = [keep.clone(), leave, keep.clone()];
    assert_eq!(ask(&[], &three), [200, 404, 200]);
    assert_eq!(ask(&[("MODELTAP_RESPONSES_STORED", "1")], &three), [404, 404, 200]);
    assert_eq!(ask(&[("MODELTAP_RESPONSES_STORED", "0")], &three), [404; 3]);

    let mut bridge = Bridge::sampling(&[("MODELTAP_RESPONSES_AGE", "50ms")]);
    let addr = bridge.addr();
    bridge.serve(echo);
    let id = id_of(http::post(addr, PATH, &keep));
    let deadline = Instant::now() + PATIENCE;
    while http::get(addr, &format!("{PATH}/{id}")).status == 200 {
        assert!(Instant::now() < deadline, "it is kept for ever");
    }
}

#[test]
fn a_failure_has_its_status_before_the_stream_and_its_event_within() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_KEEP_ALIVE", "20ms")]);
    let addr = bridge.addr();
    let _ = round(&mut bridge, json!({"input": "q"}), text("a"));
    let fail = |bridge: &Bridge, request: &Value| {
        bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"],
            "error": {"code": -32000, "message": "said no"}}));
    };
    let client = aside(move || http::post(addr, PATH, &json!({"input": "q"})));
    let request = bridge.recv_method("sampling/createMessage");
    fail(&bridge, &request);
    let answer = client.get();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &json!("host_denied")));

    let mut client = Client::connect(addr);
    client.post(PATH, "Connection: close\r\n", &json!({"input": "q", "stream": true}));
    let request = bridge.recv_method("sampling/createMessage");
    assert_eq!(client.head().status, 200);
    let mut stream = Vec::new();
    // Comments keep the silent stream open.
    while !String::from_utf8_lossy(&stream).contains("\n\n: ") {
        stream.extend(client.chunk().unwrap());
    }
    fail(&bridge, &request);
    while let Some(chunk) = client.chunk() {
        stream.extend(chunk);
    }
    let answer = Answer { status: 200, headers: Vec::new(), body: stream };
    let events = events(&answer);
    let (name, data) = events.last().unwrap();
    assert_eq!(name, "response.failed");
    assert_eq!(data["sequence_number"], events.len() - 1);
    assert_eq!(data["response"]["status"], "failed");
    assert_eq!(data["response"]["error"]["code"], "host_denied");
    assert!(data["response"]["error"]["message"].as_str().unwrap().contains("said no"));
    assert!(!answer.text().contains("[DONE]"));
    let id = data["response"]["id"].as_str().unwrap();
    assert_eq!(http::get(addr, &format!("{PATH}/{id}")).status, 404);
}

#[test]
fn a_wrong_field_is_named_and_the_key_guards_what_is_kept() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    for (body, param) in [
        (json!({}), "input"),
        (json!({"input": "q", "tools": [{"type": "file_search"}]}), "tools[0]"),
        (json!({"input": [{"type": "item_reference", "id": "m"}]}), "input[0].id"),
        (json!({"input": "q", "background": true}), "background"),
        (json!({"input": "q", "conversation": "c"}), "conversation"),
    ] {
        let answer = http::post(addr, PATH, &body);
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (400, &json!(param)), "{body}: {error}");
    }
    let mut bridge = Bridge::sampling(&[("MODELTAP_API_KEY", "mt-key")]);
    let addr = bridge.addr();
    for method in ["GET", "DELETE"] {
        assert_eq!(send(addr, method, &format!("{PATH}/resp_1")).status, 401);
    }
}
