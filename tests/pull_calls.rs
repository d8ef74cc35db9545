//! The calls of `next_request`: how long they wait, how they end, and that nothing is lost with them.

mod common;

use common::pull::{ask, error_of, reply, said};
use common::{Bridge, http};
use serde_json::{Value, json};

#[test]
fn when_nothing_comes_the_call_ends_and_says_to_call_again() {
    let mut bridge = Bridge::tools_only(&[("MODELTAP_PULL_WAIT", "50ms")]);
    for arguments in [json!({}), json!({"wait_seconds": 0}), json!({"wait_seconds": 1, "max": 16})]
    {
        let told = bridge.next_request(arguments);
        assert_eq!(told["pending"], false);
        assert!(told["message"].as_str().unwrap().contains("call next_request again"), "{told}");
    }
    for wrong in [json!({"max": 17}), json!({"wait_seconds": 601}), json!({"wait_seconds": -1})] {
        assert_eq!(bridge.next_request(wrong)["ok"], false);
    }
}

#[test]
fn progress_is_told_at_once_and_rises_while_the_call_waits() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let meta = json!({"progressToken": "t"});
    let open =
        bridge.begin("tools/call", json!({"name": "next_request", "arguments": {}, "_meta": meta}));
    for progress in [1, 2] {
        let told = bridge.recv_method("notifications/progress");
        let message = "waiting for requests";
        let expected = json!({"progressToken": "t", "progress": progress, "message": message});
        assert_eq!(told["params"], expected);
    }
    let client = ask(addr, "Hello");
    let request = bridge.end_next(open);
    bridge.answer_pulled(&request, "Hi");
    assert_eq!(client.get().content(), "Hi");
    // A call without a token is told nothing.
    let told = bridge.next_request(json!({"wait_seconds": 0}));
    assert_eq!(told["pending"], false);
    assert!(bridge.is_silent_for(std::time::Duration::from_millis(50)));
}

#[test]
fn a_cancelled_call_is_not_answered_and_the_next_one_gets_the_request() {
    let mut bridge = Bridge::tools_only(&[("MODELTAP_HOST_WAIT", "60s")]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    bridge.cancel(open);
    bridge.call_until("runtime_status", |told| told["mcp"]["open_pulls"] == 0);
    // Whoever cancels is not counted on, so that the request waits as the settings say.
    assert_eq!(http::get(addr, "/ready").status, 503);
    let client = ask(addr, "Hello");
    bridge.until_count("on_offer", 1);
    let request = bridge.pulled(json!({}));
    bridge.answer_pulled(&request, "Hi");
    assert_eq!(client.get().content(), "Hi");
    assert!(bridge.is_silent_for(std::time::Duration::from_millis(50)));
}

#[test]
fn a_request_whose_call_was_cancelled_as_it_was_answered_is_offered_again() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let open = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let lost = bridge.end_next(open);
    bridge.cancel(open);
    let request = bridge.pulled(json!({}));
    assert_eq!(request["request_id"], format!("{}-2", lost["request_id"].as_str().unwrap()));
    assert_eq!(request["prompt"], lost["prompt"]);
    let late = bridge.next_request(json!({"reply": reply(&lost, "x"), "wait_seconds": 0}));
    let why = late["replied"][0]["message"].as_str().unwrap();
    assert!(why.contains("given to somebody else"), "{why}");
    bridge.answer_pulled(&request, "Hi");
    assert_eq!(client.get().content(), "Hi");
    // A cancellation after all is over changes nothing.
    bridge.cancel(open);
    assert_eq!(bridge.next_request(json!({"wait_seconds": 0}))["pending"], false);
}

#[test]
fn too_many_open_calls_and_an_id_in_use_are_refused() {
    let mut bridge = Bridge::tools_only(&[]);
    let addr = bridge.addr();
    let first = bridge.begin_next(json!({}));
    let client = ask(addr, "Hello");
    let request = bridge.end_next(first);
    let open: Vec<u64> = (0..16).map(|_| bridge.begin_next(json!({}))).collect();
    let refused = bridge.next_request(json!({"reply": reply(&request, "Hi")}));
    assert_eq!(refused["ok"], false);
    assert!(refused["message"].as_str().unwrap().contains("16 calls"), "{refused}");
    // What came with it was taken.
    assert_eq!(refused["replied"][0]["ok"], true);
    assert_eq!(client.get().content(), "Hi");
    bridge.cancel(open[0]);
    let params = json!({"name": "next_request", "arguments": {}});
    bridge
        .send(&json!({"jsonrpc": "2.0", "id": open[1], "method": "tools/call", "params": params}));
    let refused = bridge.end_next(open[1]);
    assert!(refused["message"].as_str().unwrap().contains("open already"), "{refused}");
    bridge.call_until("runtime_status", |told| told["mcp"]["open_pulls"] == 15);
}

#[test]
fn a_batch_does_not_wait_for_requests() {
    let mut bridge = Bridge::spawn(&[]);
    let params = json!({"protocolVersion": "2025-03-26", "capabilities": {},
        "clientInfo": {"name": "old", "version": "1"}});
    bridge.request("initialize", params);
    let params = json!({"name": "next_request", "arguments": {}});
    bridge.send(&json!([
        {"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params},
        {"jsonrpc": "2.0", "id": "b", "method": "ping"},
    ]));
    let replies = bridge.recv();
    let text = replies[0]["result"]["structuredContent"]["message"].as_str().unwrap();
    assert!(text.contains("batch") && replies[1]["id"] == "b", "{replies}");
}

#[test]
fn a_modern_host_without_sampling_pulls_too() {
    let mut bridge = Bridge::spawn(&[]);
    let mut call = |tool: &str, arguments: Value| {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}});
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        let result = bridge.request("tools/call", params)["result"].clone();
        let kind = (&result["resultType"], &result["isError"]);
        assert_eq!(kind, (&json!("complete"), &json!(false)), "{result}");
        result["structuredContent"].clone()
    };
    let url = call("http_server_status", json!({}))["listen_url"].as_str().unwrap().to_owned();
    assert_eq!(call("next_request", json!({"wait_seconds": 0}))["pending"], false);
    let client = ask(url.strip_prefix("http://").unwrap().parse().unwrap(), "Hello");
    let request = call("next_request", json!({}));
    call("next_request", json!({"reply": reply(&request, "Hi"), "wait_seconds": 0}));
    assert_eq!(client.get().content(), "Hi");
}

#[test]
fn hours_of_idle_calls_lose_nothing_and_a_host_that_dies_is_told() {
    let mut bridge =
        Bridge::tools_only(&[("MODELTAP_PULL_WAIT", "20ms"), ("MODELTAP_HOST_WAIT", "60s")]);
    let addr = bridge.addr();
    let mut answer: Option<(Value, String)> = None;
    let mut clients = Vec::new();
    for turn in 0..160 {
        if turn % 8 == 3 {
            clients.push((turn, ask(addr, &turn.to_string())));
        }
        let arguments = match answer.take() {
            Some((request, text)) => json!({"reply": reply(&request, &text)}),
            None => json!({}),
        };
        let open = bridge.begin_next(arguments);
        if turn % 5 == 4 {
            // Whether it was answered before the host changed its mind or not, nothing is lost.
            bridge.cancel(open);
            continue;
        }
        let told = bridge.end_next(open);
        let oks = told["replied"].as_array();
        assert!(oks.is_none_or(|replied| replied[0]["ok"] == true), "{told}");
        if told["pending"] == true {
            let text = format!("to {}", said(&told));
            answer = Some((told, text));
        }
    }
    while !clients.iter().all(|(_, client)| client.is_done()) {
        let arguments = match answer.take() {
            Some((request, text)) => json!({"reply": reply(&request, &text)}),
            None => json!({}),
        };
        let told = bridge.next_request(arguments);
        if told["pending"] == true {
            let text = format!("to {}", said(&told));
            answer = Some((told, text));
        }
    }
    for (turn, client) in clients {
        assert_eq!(client.get().content(), format!("to {turn}"));
    }
    bridge.until_count("in_flight", 0);
    // The host is killed with a request in hand, one on offer, and a call open.
    let open = bridge.begin_next(json!({"wait_seconds": 50}));
    let held = ask(addr, "held");
    bridge.end_next(open);
    let waits = ask(addr, "waits");
    bridge.until_count("on_offer", 1);
    bridge.close_stdin();
    // Only what nobody had begun may be asked elsewhere as if it were new.
    for (client, status) in [(held, 502), (waits, 503)] {
        assert!(error_of(&client.get(), status).contains("host has gone"));
    }
    assert!(bridge.wait().success());
}
