//! What a host has taken and does not answer: it is offered again, to it or to another, and a late
//! answer is taken as long as nobody else has the request.

mod common;

use common::http::{self, Client};
use common::pull::{PATH, ask, error_of, reply, said};
use common::{Bridge, aside, chat};
use serde_json::{Value, json};
use std::time::Duration;

const EVENT: &str = "notifications/claude/channel";
const SHORT: (&str, &str) = ("MODELTAP_LEASE", "1s");

/// A reply's fate, told by the next call.
fn replied(bridge: &mut Bridge, request: &Value, text: &str) -> (bool, String) {
    let told = bridge.next_request(json!({"reply": reply(request, text), "wait_seconds": 0}));
    let replied = &told["replied"][0];
    (replied["ok"] == true, replied["message"].as_str().unwrap().to_owned())
}

fn event(bridge: &mut Bridge) -> (String, String) {
    let event = bridge.recv_method(EVENT)["params"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&event["meta"]["request_id"]), text(&event["content"]))
}

#[test]
fn what_is_not_answered_in_time_is_offered_under_a_new_name() {
    let mut bridge = Bridge::tools_only(&[SHORT]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let first = bridge.end_next(open);
    // This call waits until the time of the first is over.
    let second = bridge.pulled(json!({}));
    let id = first["request_id"].as_str().unwrap();
    assert_eq!(second["request_id"], format!("{id}-2"));
    assert_eq!(second["prompt"], first["prompt"]);
    let (ok, why) = replied(&mut bridge, &first, "late");
    assert!(!ok && why.contains(id) && why.contains("given to somebody else"), "{why}");
    assert!(replied(&mut bridge, &second, "Hi").0);
    assert_eq!(client.get().content(), "Hi");
}

#[test]
fn a_late_answer_is_taken_while_nobody_else_has_the_request() {
    let mut bridge = Bridge::tools_only(&[SHORT]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let request = bridge.end_next(open);
    bridge.until_count("on_offer", 1);
    let told = bridge.next_request(json!({"reply": reply(&request, "Hi"), "wait_seconds": 0}));
    // It is not handed out beside its answer.
    assert_eq!((&told["pending"], &told["replied"][0]["ok"]), (&json!(false), &json!(true)));
    assert_eq!(client.get().content(), "Hi");
    bridge.until_count("on_offer", 0);
}

#[test]
fn a_host_that_is_slow_by_several_leases_is_there_all_the_same() {
    let mut bridge = Bridge::tools_only(&[("MODELTAP_LEASE", "2s")]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let slow = ask(addr, "slow");
    let request = bridge.end_next(open);
    // The lease is over when it is on offer again, and so is the time that a call makes present.
    bridge.until_count("on_offer", 1);
    let queued = ask(addr, "queued");
    bridge.until_count("on_offer", 2);
    let open = bridge.begin_next(json!({"reply": reply(&request, "at last")}));
    assert_eq!(slow.get().content(), "at last");
    let told = bridge.end_next(open);
    assert_eq!((said(&told), &told["replied"][0]["ok"]), ("queued", &json!(true)));
    bridge.answer_pulled(&told, "Hi");
    assert_eq!(queued.get().content(), "Hi");
}

#[test]
fn a_host_that_takes_and_never_answers_gets_a_request_so_many_times() {
    let env = [SHORT, ("MODELTAP_ANNOUNCE_AGAIN", "1"), ("MODELTAP_TIMEOUT", "60s")];
    let mut bridge = Bridge::tools_only(&env);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let first = bridge.end_next(open);
    let second = bridge.pulled(json!({}));
    assert_ne!(first["request_id"], second["request_id"]);
    // Several leases later it is still with whoever had it last, who may answer.
    assert_eq!(bridge.next_request(json!({"wait_seconds": 3}))["pending"], false);
    assert!(replied(&mut bridge, &second, "Hi").0);
    assert_eq!(client.get().content(), "Hi");
    // Whoever gives it back each time will not answer at all.
    let client = ask(addr, "Hello");
    for _ in 0..2 {
        let open = bridge.begin_next(json!({}));
        bridge.end_next(open);
        bridge.cancel(open);
    }
    let said = error_of(&client.get(), 502);
    assert!(said.contains("took the request 2 times"), "{said}");
    assert!(said.contains("MODELTAP_ANNOUNCE_AGAIN"), "{said}");
}

#[test]
fn an_event_is_announced_again_so_many_times_and_a_silent_session_told_of_next_request() {
    let mut bridge = Bridge::claude_code(&[SHORT, ("MODELTAP_ANNOUNCE_AGAIN", "2")]);
    let addr = bridge.addr();
    let again = "announced before";
    let see = "call next_request to see";
    let client = ask(addr, "one");
    let (id, content) = event(&mut bridge);
    assert!(!content.contains(again) && !content.contains(see), "{content}");
    for _ in 0..2 {
        let (same, content) = event(&mut bridge);
        // It has not been heard of this session that it answers at all.
        assert!(same == id && content.contains(again) && !content.contains(see), "{content}");
    }
    assert!(bridge.is_silent_for(Duration::from_millis(2500)));
    // However late, it is the same session that answers.
    bridge.call("channel_reply", json!({"request_id": id, "content": "1"}));
    assert_eq!(client.get().content(), "1");
    let client = ask(addr, "two");
    let (id, content) = event(&mut bridge);
    assert!(!content.contains(see), "{content}");
    let (same, content) = event(&mut bridge);
    assert!(same == id && content.contains(again) && content.contains(see), "{content}");
    let told = bridge.pulled(json!({}));
    assert_eq!((said(&told), &told["request_id"]), ("two", &json!(id)));
    bridge.answer_pulled(&told, "2");
    let answer = client.get();
    assert_eq!((answer.content().as_str(), answer.header("x-mcp-backend")), ("2", Some("pull")));
}

#[test]
fn what_an_event_announced_is_fetched_under_the_same_name_and_answered_once() {
    let mut bridge = Bridge::claude_code(&[]);
    let addr = bridge.addr();
    for tool in ["next_request", "channel_reply"] {
        let client = ask(addr, "Hello");
        let (id, _) = event(&mut bridge);
        let told = bridge.pulled(json!({}));
        assert_eq!(told["request_id"], json!(id));
        // Nobody gets it twice.
        assert_eq!(bridge.next_request(json!({"wait_seconds": 0}))["pending"], false);
        match tool {
            "channel_reply" => drop(bridge.call(tool, reply(&told, "Hi"))),
            _ => bridge.answer_pulled(&told, "Hi"),
        }
        assert_eq!(client.get().content(), "Hi");
        let again = bridge.call("channel_reply", reply(&told, "x"));
        assert_eq!(again["isError"], true);
        // The way back to events, which an open loop goes before.
        bridge.initialize("claude-code", json!({}));
    }
    let client = ask(addr, "Hello");
    let (id, _) = event(&mut bridge);
    bridge.call("channel_reply", json!({"request_id": id, "content": "Hi"}));
    assert_eq!(client.get().content(), "Hi");
    bridge.until_count("on_offer", 0);
    assert_eq!(bridge.next_request(json!({"wait_seconds": 0}))["pending"], false);
}

#[test]
fn an_answer_that_has_begun_is_offered_to_nobody_else() {
    let mut bridge = Bridge::claude_code(&[SHORT]);
    let addr = bridge.addr();
    let mut body = chat("Hello");
    body["stream"] = true.into();
    for begins_late in [false, true] {
        let mut client = Client::connect(addr);
        client.post(PATH, "", &body);
        let (id, _) = event(&mut bridge);
        if begins_late {
            event(&mut bridge);
        }
        let piece = |text: &str| json!({"request_id": id, "delta": text});
        assert_eq!(bridge.call("channel_reply_stream", piece("One, "))["isError"], false);
        // Leases pass.
        assert_eq!(bridge.next_request(json!({"wait_seconds": 3}))["pending"], false);
        assert!(bridge.is_silent_for(Duration::from_millis(50)));
        assert_eq!(bridge.call("channel_reply_stream", piece("two"))["isError"], false);
        let done = json!({"request_id": id, "done": true});
        assert_eq!(bridge.call("channel_reply_stream", done)["isError"], false);
        let events = client.answer().events();
        let deltas = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
        let text: String = deltas
            .filter_map(|d| d["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(text, "One, two");
        bridge.initialize("claude-code", json!({}));
    }
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_client_that_leaves_takes_its_request_with_it() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let mut leased = Client::connect(addr);
    leased.post(PATH, "", &chat("leased"));
    let request = bridge.end_next(open);
    let mut queued = Client::connect(addr);
    queued.post(PATH, "", &chat("queued"));
    bridge.until_count("on_offer", 1);
    drop((leased, queued));
    bridge.until_count("in_flight", 0);
    bridge.until_count("on_offer", 0);
    let told = bridge.next_request(json!({"reply": reply(&request, "x"), "wait_seconds": 0}));
    assert_eq!(told["pending"], false);
    let why = told["replied"][0]["message"].as_str().unwrap();
    assert!(why.contains("the client went away"), "{why}");
}

#[test]
fn another_session_gets_what_the_one_before_had() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let had = ask(addr, "had");
    let request = bridge.end_next(open);
    let queued = ask(addr, "queued");
    bridge.until_count("on_offer", 1);
    bridge.initialize("sampling-host", json!({"sampling": {}}));
    let mut asked = Vec::new();
    for _ in 0..2 {
        asked.push(bridge.recv_method("sampling/createMessage"));
    }
    let (ok, why) = replied(&mut bridge, &request, "late");
    assert!(!ok && why.contains("given to somebody else"), "{why}");
    // A third session is asked what the second had in hand.
    bridge.initialize("sampling-host", json!({"sampling": {}}));
    for _ in 0..2 {
        let request = bridge.recv_method("sampling/createMessage");
        // Under names that were not used before.
        assert!(asked.iter().all(|before| before["id"] != request["id"]));
        let text = request["params"]["messages"][0]["content"]["text"].as_str().unwrap();
        bridge.answer(&request, &format!("to {text}"));
    }
    assert_eq!(had.get().content(), "to had");
    assert_eq!(queued.get().content(), "to queued");
}

#[test]
fn a_call_that_another_session_left_open_is_no_sign_of_a_host() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    assert_eq!(http::get(addr, "/ready").status, 200);
    bridge.initialize("plain-host", json!({}));
    let said = error_of(&http::chat(addr, "Hello"), 503);
    assert!(said.contains("next_request"), "{said}");
    // Its end is none either, nor is it answered.
    let ready = aside(move || http::get(addr, "/ready").status);
    assert_eq!(ready.get(), 503);
    bridge.cancel(open);
    assert_eq!(http::get(addr, "/ready").status, 503);
    assert!(bridge.is_silent_for(Duration::from_millis(50)));
}

#[test]
fn without_a_sign_of_the_host_who_waits_is_told_when_its_time_is_over() {
    let mut bridge = Bridge::tools_only(&[SHORT]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    bridge.cancel(open);
    let said = error_of(&http::chat(addr, "Hello"), 503);
    assert!(said.contains("no model is listening"), "{said}");
}
