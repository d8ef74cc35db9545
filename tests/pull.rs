//! The pull loop: what `next_request` hands out, and what becomes of replies.

mod common;

use common::http::{self, Client};
use common::pull::{PATH, ask, error_of, reply, said};
use common::{Bridge, aside, chat};
use serde_json::{Value, json};

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "Tells it.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

#[test]
fn a_request_is_handed_out_as_text_with_all_that_its_model_needs() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let body = json!({"model": "gpt-x", "stream": true, "temperature": 0.5, "max_tokens": 77,
        "stop": ["END"], "tools": weather(), "response_format": {"type": "json_object"},
        "messages": [{"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Weather in Paris?"}]});
    let mut client = Client::connect(addr);
    client.post(PATH, "", &body);
    let result = bridge.result_of(open);
    let mut told = result["structuredContent"].clone();
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!((&result["isError"], &text), (&json!(false), &told));
    let prompt = told["prompt"].take();
    let prompt = prompt.as_str().unwrap();
    assert!(prompt.starts_with("SYSTEM: Be brief.\n"), "{prompt}");
    assert!(prompt.contains("<tool_call>") && prompt.contains("Tells it."), "{prompt}");
    assert!(prompt.contains("one JSON value"), "{prompt}");
    let asked = "\n\nUSER: Hi\n\nASSISTANT: Yes?\n\nUSER: Weather in Paris?";
    assert!(prompt.ends_with(asked), "{prompt}");
    let message = told["message"].take();
    let message = message.as_str().unwrap();
    assert!(message.contains("call next_request with reply"), "{message}");
    assert!(message.contains("stop only when the user asks"), "{message}");
    let id = told["request_id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let preferences = json!({"hints": [{"name": "gpt-x"}], "intelligencePriority": 0.5,
        "speedPriority": 0.5, "costPriority": 0.5});
    assert_eq!(
        told,
        json!({"pending": true, "request_id": id, "model": "gpt-x", "stream": true,
            "prompt": null, "message": null, "tools": ["weather"], "form": "json_object",
            "waiting": 0, "params": {"modelPreferences": preferences, "maxTokens": 77,
                "temperature": 0.5, "stopSequences": ["END"]}})
    );
    let call = r#"<tool_call>{"name":"weather","arguments":{"city":"Paris"}}</tool_call>"#;
    let reply = json!({"request_id": id, "content": call});
    bridge.begin_next(json!({"reply": reply}));
    let answer = client.answer();
    assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
    assert_eq!(answer.header("x-mcp-backend"), Some("pull"));
    let text = answer.text();
    assert!(text.contains("\"name\":\"weather\"") && text.contains("tool_calls"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[test]
fn images_come_as_image_content_behind_the_text() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({"max": 2}));
    let image = |data: &str| {
        let url = format!("data:image/png;base64,{data}");
        json!({"type": "image_url", "image_url": {"url": url}})
    };
    let text = json!({"type": "text", "text": "Which is a cat?"});
    let body =
        json!({"messages": [{"role": "user", "content": [image("YQ=="), text, image("Yg==")]}]});
    let client = aside(move || http::post(addr, PATH, &body));
    let result = bridge.result_of(open);
    // Hosts that read structured content would not look at the images.
    assert_eq!(result.get("structuredContent"), None, "{result}");
    let block = |data: &str| json!({"type": "image", "data": data, "mimeType": "image/png"});
    let content = result["content"].as_array().unwrap();
    assert_eq!(content[1..], [block("YQ=="), block("Yg==")]);
    let told: Value = serde_json::from_str(content[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        told["prompt"],
        "USER: [image 1, behind this text]\n\nUSER: Which is a cat?\n\nUSER: [image 2, behind this text]"
    );
    bridge.answer_pulled(&told, "the second");
    assert_eq!(client.get().content(), "the second");
}

#[test]
fn an_answer_travels_in_the_call_that_fetches_the_next_request() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let first = ask(addr, "one");
    let request = bridge.end_next(open);
    let second = ask(addr, "two");
    let told = bridge.pulled(json!({"reply": reply(&request, "1")}));
    assert_eq!(said(&told), "two");
    let replied = &told["replied"][0];
    assert_eq!((&replied["ok"], &replied["request_id"]), (&json!(true), &request["request_id"]));
    assert!(replied["latency_ms"].is_u64(), "{replied}");
    assert_eq!(first.get().content(), "1");
    bridge.answer_pulled(&told, "2");
    let answer = second.get();
    assert_eq!((answer.content().as_str(), answer.header("x-mcp-backend")), ("2", Some("pull")));
}

#[test]
fn several_requests_are_handed_out_and_answered_at_once() {
    let mut bridge = Bridge::tools_only(&[("MODELTAP_HOST_WAIT", "60s")]);
    let addr = bridge.addr();
    let mut clients = Vec::new();
    for at in 1..=4 {
        clients.push(ask(addr, &at.to_string()));
        bridge.until_count("on_offer", at);
    }
    let told = bridge.pulled(json!({"max": 3}));
    assert_eq!((said(&told), &told["waiting"]), ("1", &json!(1)));
    assert!(told["message"].as_str().unwrap().contains("array of replies"), "{told}");
    let more = told["more"].as_array().unwrap();
    assert_eq!(more.iter().map(said).collect::<Vec<_>>(), ["2", "3"]);
    let replies: Vec<Value> = [&more[1], &told, &more[0]]
        .into_iter()
        .map(|request| reply(request, &format!("to {}", said(request))))
        .collect();
    let last = bridge.pulled(json!({"reply": replies}));
    assert_eq!(said(&last), "4");
    let oks: Vec<&Value> = last["replied"].as_array().unwrap().iter().map(|r| &r["ok"]).collect();
    assert_eq!(oks, [&json!(true); 3]);
    bridge.answer_pulled(&last, "to 4");
    for (client, at) in clients.into_iter().zip(1..) {
        assert_eq!(client.get().content(), format!("to {at}"));
    }
}

#[test]
fn tool_calls_come_as_blocks_too_and_an_error_in_place_of_an_answer() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let mut body = chat("Weather?");
    body["tools"] = weather();
    let open = bridge.begin_next(json!({}));
    let client = aside(move || http::post(addr, PATH, &body));
    let request = bridge.end_next(open);
    let block =
        json!({"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}});
    let content = json!([{"type": "text", "text": "Let me look."}, block]);
    let reply = json!({"request_id": request["request_id"], "content": content});
    let open = bridge.begin_next(json!({"reply": reply}));
    let choice = client.get().json()["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "tool_calls");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "weather", "arguments": "{\"city\":\"Rome\"}"}));
    let client = ask(addr, "Hello");
    let request = bridge.end_next(open);
    let error = json!({"code": "tired", "message": "I cannot."});
    let reply = json!({"request_id": request["request_id"], "error": error});
    bridge.begin_next(json!({"reply": reply}));
    let answer = client.get();
    assert_eq!(error_of(&answer, 502), "I cannot. (tired)");
    assert_eq!(answer.json()["error"]["code"], "host_error");
}

#[test]
fn a_wrong_reply_is_told_at_once_and_costs_no_request() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({"max": 2}));
    let client = ask(addr, "Hello");
    let request = bridge.end_next(open);
    let id = &request["request_id"];
    let waits = ask(addr, "another");
    bridge.until_count("on_offer", 1);
    for (wrong, why) in [
        (json!({"request_id": id}), "content and error"),
        (json!({"request_id": id, "content": "x", "error": {"message": "y"}}), "exclude"),
        (json!({"request_id": "5", "content": "x"}), "\"5\""),
        (json!({"request_id": "0".repeat(32), "content": "x"}), "no request with this"),
        (
            json!({"request_id": format!("{}-2", id.as_str().unwrap()), "content": "x"}),
            "no request",
        ),
        (json!({"content": "x"}), "request_id is missing"),
        (json!({"request_id": id, "content": 1}), "content must be"),
        (json!({"request_id": id, "contents": "x"}), "\"contents\""),
        (json!("x"), "an object"),
    ] {
        // Another request is there, and none is handed out before this one is put right.
        let id = bridge.begin_next(json!({"reply": wrong, "wait_seconds": 45}));
        let result = bridge.result_of(id);
        let said = result["structuredContent"]["message"].as_str().unwrap();
        assert_eq!(result["isError"], true, "{result}");
        assert!(said.starts_with("next_request") || said.contains("next_request again"), "{said}");
        assert!(said.contains(why), "{why}: {said}");
    }
    // Of several replies the good ones are taken.
    let wrong = json!({"request_id": "5", "content": "x"});
    let told = bridge.next_request(json!({"reply": [wrong, reply(&request, "Hi")]}));
    let oks: Vec<&Value> = told["replied"].as_array().unwrap().iter().map(|r| &r["ok"]).collect();
    assert_eq!((&told["ok"], oks), (&json!(false), vec![&json!(false), &json!(true)]));
    assert_eq!(client.get().content(), "Hi");
    let request = bridge.pulled(json!({}));
    bridge.answer_pulled(&request, "Hi again");
    assert_eq!(waits.get().content(), "Hi again");
}

#[test]
fn a_late_or_second_reply_is_refused_by_name_and_the_loop_goes_on() {
    let mut bridge = Bridge::tools_only(&[("MODELTAP_TIMEOUT", "2s")]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "late");
    let request = bridge.end_next(open);
    assert_eq!(client.get().json()["error"]["code"], "host_timeout");
    // The call waits on, since there is nothing to put right.
    let open = bridge.begin_next(json!({"reply": reply(&request, "x")}));
    let client = ask(addr, "next");
    let told = bridge.end_next(open);
    assert_eq!((said(&told), &told["replied"][0]["ok"]), ("next", &json!(false)));
    let why = told["replied"][0]["message"].as_str().unwrap();
    assert!(why.contains("timed out") && why.contains(request["request_id"].as_str().unwrap()));
    bridge.answer_pulled(&told, "y");
    assert_eq!(client.get().content(), "y");
    let again = bridge.next_request(json!({"reply": reply(&told, "z"), "wait_seconds": 0}));
    let why = again["replied"][0]["message"].as_str().unwrap();
    assert!(why.contains("already answered"), "{why}");
}

#[test]
fn each_of_several_choices_is_a_request_of_its_own() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let mut body = chat("Hello");
    body["n"] = 2.into();
    let client = aside(move || http::post(addr, PATH, &body));
    let first = bridge.end_next(open);
    let second = bridge.pulled(json!({"reply": reply(&first, "one")}));
    assert_ne!(first["request_id"], second["request_id"]);
    bridge.answer_pulled(&second, "two");
    let body = client.get().json();
    let content = |at: usize| &body["choices"][at]["message"]["content"];
    assert_eq!((content(0), content(1)), (&json!("one"), &json!("two")));
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_once_more_in_the_loop() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let schema = json!({"type": "object", "required": ["city"]});
    let mut body = chat("Where?");
    body["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema}});
    let open = bridge.begin_next(json!({}));
    let client = aside(move || http::post(addr, PATH, &body));
    let first = bridge.end_next(open);
    assert_eq!(first["form"], "json_schema");
    let second = bridge.pulled(json!({"reply": reply(&first, "in Paris")}));
    assert_ne!(first["request_id"], second["request_id"]);
    let prompt = second["prompt"].as_str().unwrap();
    assert!(
        prompt.contains("\n\nASSISTANT: in Paris\n\nUSER: Your last answer cannot"),
        "{prompt}"
    );
    bridge.answer_pulled(&second, "```json\n{\"city\": \"Paris\"}\n```");
    let content: Value = serde_json::from_str(&client.get().content()).unwrap();
    assert_eq!(content, json!({"city": "Paris"}));
}

#[test]
fn the_description_and_the_instructions_carry_the_loop() {
    let mut bridge = Bridge::spawn(&[]);
    let told = bridge.initialize("plain-host", json!({}));
    let instructions = told["instructions"].as_str().unwrap().to_owned();
    let tools = bridge.request("tools/list", json!({}))["result"]["tools"].clone();
    let mut tools = tools.as_array().unwrap().iter();
    let tool = tools.find(|tool| tool["name"] == "next_request").unwrap();
    for text in [instructions.as_str(), tool["description"].as_str().unwrap()] {
        assert!(text.len() < 2048);
        for words in ["start or serve the bridge", "reply", "request_id", "again", "until the user"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.contains("as the assistant of the program"), "{text}");
    }
}

#[test]
fn what_became_of_a_pulled_request_is_told_in_its_events() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let request = bridge.end_next(open);
    bridge.answer_pulled(&request, "Hi");
    assert_eq!(client.get().content(), "Hi");
    // A client has its answer a little before that is told.
    bridge.call_until("runtime_status", |told| told["channel"]["total_events"] == 4);
    let arguments = json!({"request_id": request["request_id"]});
    let events = bridge.call("channel_debug_events", arguments)["structuredContent"].clone();
    let events = events["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|e| (e["kind"].as_str().unwrap(), &e["source"])).collect();
    let http = json!({"type": "http", "input": PATH});
    let tool = json!({"type": "tool", "input": "next_request"});
    assert_eq!(
        told,
        [("request", &http), ("publish", &http), ("reply", &tool), ("response", &http)]
    );
    assert_eq!(events[1]["meta"]["backend"], "pull");
    assert_eq!((&events[2]["content"], &events[3]["content"]), (&json!("Hi"), &json!("Hi")));
}
