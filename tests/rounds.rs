//! The tool `hook` in the modern era: rounds of requests that the host samples, the state that comes
//! back with them, and what becomes of requests that a round leaves unanswered.

mod common;

use common::http::{self, Answer, Client};
use common::modern::{Host, Leg, sample};
use common::{Aside, Bridge, aside, chat};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Requests wait for the test's host to call `hook`.
const PATIENT: (&str, &str) = ("MODELTAP_HOST_WAIT", "600");

fn ask(addr: SocketAddr, text: &str) -> Aside<Answer> {
    let text = text.to_owned();
    aside(move || http::chat(addr, &text))
}

/// Clients that ask `0`, `1` and so on, in this order.
fn ask_in_order(host: &mut Host, addr: SocketAddr, count: u64) -> Vec<Aside<Answer>> {
    let one = |n: u64| {
        let client = ask(addr, &n.to_string());
        host.until_on_offer(n + 1);
        client
    };
    (0..count).map(one).collect()
}

/// A hook call that waits; once this returns, the bridge has read it.
fn open_hook(host: &mut Host, params: Value) -> u64 {
    let id = host.begin_hook(params);
    host.tool("http_server_status", json!({}));
    id
}

fn said(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn all_that_wait_go_in_one_round_and_each_client_gets_its_own_answer() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let clients = ask_in_order(&mut host, addr, 8);
    let leg = host.hook(json!({}));
    assert_eq!(leg.texts(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let open = open_hook(&mut host, leg.echoed());
    for (n, client) in clients.into_iter().enumerate() {
        let answer = client.get();
        assert_eq!(answer.content(), format!("echo: {n}"));
        assert_eq!(answer.header("x-mcp-backend"), Some("hook"));
        assert_eq!(answer.header("x-mcp-model"), Some("test-model"));
    }
    host.cancel(open);
    host.until_waiting(0);
}

#[test]
fn a_round_holds_so_many_and_the_first_come_first() {
    let mut host = Host::sampling(&[PATIENT, ("MODELTAP_ROUND_REQUESTS", "3")]);
    let addr = host.addr();
    let clients = ask_in_order(&mut host, addr, 8);
    let mut next = json!({});
    for expected in [&["0", "1", "2"][..], &["3", "4", "5"], &["6", "7"]] {
        let leg = host.hook(next);
        assert_eq!(leg.texts(), expected);
        next = leg.echoed();
    }
    open_hook(&mut host, next);
    for (n, client) in clients.into_iter().enumerate() {
        assert_eq!(client.get().content(), format!("echo: {n}"));
    }
}

#[test]
fn a_hundred_rounds_over_many_calls_lose_nothing() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let mut next = json!({});
    let mut before: Vec<(String, Aside<Answer>)> = Vec::new();
    let (mut legs, mut calls) = (0, 1);
    for round in 0..=100 {
        let mut clients = Vec::new();
        for n in (0..2).filter(|_| round < 100) {
            let text = format!("{round}/{n}");
            clients.push((text.clone(), ask(addr, &text)));
        }
        host.until_on_offer(clients.len() as u64);
        if round == 100 {
            open_hook(&mut host, next.take());
        } else {
            let mut leg = host.hook(next);
            legs += 1;
            if leg.0["resultType"] == "complete" {
                // SDK clients stop after ten rounds.
                assert_eq!(legs, 8, "{}", leg.0);
                let told = leg.0["structuredContent"]["message"].as_str().unwrap();
                assert!(told.contains("call hook again"), "{told}");
                leg = host.hook(json!({}));
                (legs, calls) = (1, calls + 1);
            }
            let mut expected: Vec<&String> = clients.iter().map(|(text, _)| text).collect();
            expected.sort();
            assert_eq!(leg.texts().iter().collect::<Vec<_>>(), expected);
            next = leg.echoed();
        }
        for (text, client) in std::mem::replace(&mut before, clients) {
            assert_eq!(client.get().content(), format!("echo: {text}"));
        }
    }
    assert!(before.is_empty() && calls == 15, "{calls}");
    host.until_waiting(0);
}

#[test]
fn a_leg_in_which_nothing_comes_ends_with_a_state_alone() {
    let mut host = Host::sampling(&[("MODELTAP_PULL_WAIT", "50ms")]);
    let addr = host.addr();
    let mut next = json!({});
    for _ in 1..8 {
        let leg = host.hook(next);
        assert!(leg.0.get("inputRequests").is_none() && leg.requests().is_empty(), "{}", leg.0);
        next = leg.next(json!({}));
    }
    let last = host.hook(next);
    assert_eq!((&last.0["resultType"], &last.0["isError"]), (&json!("complete"), &json!(false)));
    // The host is there between its calls, so a request waits for the next one.
    let client = ask(addr, "Hello");
    host.until_on_offer(1);
    let leg = host.hook(json!({}));
    let next = leg.echoed();
    host.begin_hook(next);
    assert_eq!(client.get().content(), "echo: Hello");
}

#[test]
fn a_call_with_a_token_hears_of_progress_and_one_without_does_not() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    for token in [json!("t"), json!(7)] {
        let open = host.begin_hook(json!({"_meta": {"progressToken": token}}));
        let progress = host.recv_method("notifications/progress")["params"].clone();
        assert_eq!((&progress["progressToken"], &progress["progress"]), (&token, &json!(1)));
        let client = ask(addr, "Hello");
        let leg = host.end_hook(open);
        let open = open_hook(&mut host, leg.echoed());
        assert_eq!(client.get().content(), "echo: Hello");
        host.cancel_now(open);
    }
    assert!(!host.has_passed(|message| message["method"] == "notifications/progress"));
}

#[test]
fn a_state_that_is_not_ours_or_spent_is_refused_and_loses_nothing() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let client = ask(addr, "Hello");
    host.until_on_offer(1);
    let leg = host.hook(json!({}));
    let answered = leg.echoed();
    let parts: Vec<&str> = leg.state().split('.').collect();
    let changed = |at: usize| {
        let mut parts: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
        let first = if parts[at].starts_with('0') { "1" } else { "0" };
        parts[at].replace_range(..1, first);
        parts.join(".")
    };
    let elsewhere = {
        let mut other = Host::sampling(&[("MODELTAP_PULL_WAIT", "1ms")]);
        other.hook(json!({})).state().to_owned()
    };
    let cut = leg.state()[..leg.state().len() - 1].to_owned();
    for state in [changed(0), changed(1), changed(2), cut, elsewhere, "x".into(), String::new()] {
        let mut params = answered.clone();
        params["requestState"] = state.into();
        let refused = host.hook(params).0;
        let told = refused["structuredContent"]["message"].as_str().unwrap();
        assert!(refused["isError"] == true && told.contains("none of ours"), "{told}");
        assert!(told.contains("call hook again"), "{told}");
    }
    let mut stateless = answered.clone();
    stateless.as_object_mut().unwrap().remove("requestState");
    assert_eq!(host.hook(stateless).0["isError"], true);
    assert!(!client.is_done());
    // None of that has spent the right one.
    let open = open_hook(&mut host, answered.clone());
    assert_eq!(client.get().content(), "echo: Hello");
    host.cancel(open);
    let twice = host.hook(answered).0["structuredContent"]["message"].to_string();
    assert!(twice.contains("used before"), "{twice}");
}

#[test]
fn input_responses_that_are_no_object_are_refused_and_the_state_stays_good() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let client = ask(addr, "Hello");
    host.until_on_offer(1);
    let leg = host.hook(json!({}));
    for garbage in [json!([]), json!("x"), json!(5), json!([{"role": "assistant"}]), json!(true)] {
        let mut params = leg.next(json!({}));
        params["inputResponses"] = garbage.clone();
        let id = host.begin_hook(params);
        assert_eq!(host.answer_to(id)["error"]["code"], -32602, "{garbage}");
    }
    let id = host.begin_hook(json!({"requestState": 5}));
    assert_eq!(host.answer_to(id)["error"]["code"], -32602);
    open_hook(&mut host, leg.echoed());
    assert_eq!(client.get().content(), "echo: Hello");
}

#[test]
fn a_response_to_what_was_never_asked_reaches_nobody() {
    let mut host = Host::sampling(&[PATIENT, ("MODELTAP_ROUND_REQUESTS", "1")]);
    let addr = host.addr();
    let clients = ask_in_order(&mut host, addr, 2);
    let leg = host.hook(json!({}));
    let unasked = ["00000000000000000000000000000001", "x", "", "\u{1F600}"];
    let mut responses = serde_json::Map::new();
    for key in unasked {
        responses.insert(key.into(), sample("wrong"));
    }
    responses.insert(format!("{}-2", leg.key("0")), sample("wrong"));
    responses.insert(leg.key("0"), sample("right"));
    let second = host.hook(leg.next(responses.into()));
    host.wait_stderr("5 inputResponses of the host belong to no request of the round");
    assert_eq!(second.texts(), ["1"]);
    open_hook(&mut host, second.echoed());
    let answers: Vec<String> = clients.into_iter().map(|client| client.get().content()).collect();
    assert_eq!(answers, ["right", "echo: 1"]);
}

#[test]
fn a_response_that_is_no_sample_fails_its_own_client_only() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let clients = ask_in_order(&mut host, addr, 6);
    let leg = host.hook(json!({}));
    let mut responses = serde_json::Map::new();
    let odd = [json!(null), json!("x"), json!({}), json!({"action": "decline"}), json!([1])];
    for (n, odd) in odd.iter().enumerate() {
        responses.insert(leg.key(&n.to_string()), odd.clone());
    }
    responses.insert(leg.key("5"), sample("good"));
    // It fits no schema, so it is sent as bytes.
    let params = common::modern::with_meta(leg.next(responses.into()), host.capabilities.clone());
    let mut call = json!({"jsonrpc": "2.0", "id": "odd", "method": "tools/call", "params": params});
    call["params"]["name"] = "hook".into();
    host.send_raw(format!("{call}\n").as_bytes());
    for (n, client) in clients.into_iter().enumerate() {
        let answer = client.get();
        match n {
            5 => assert_eq!(answer.content(), "good"),
            _ => {
                assert_eq!(answer.status, 502, "{n}");
                assert!(said(&answer).contains("not a sampling result"), "{}", said(&answer));
            }
        }
    }
}

#[test]
fn what_a_round_leaves_unanswered_is_at_the_head_of_the_next() {
    let mut host = Host::sampling(&[PATIENT, ("MODELTAP_ROUND_REQUESTS", "3")]);
    let addr = host.addr();
    let clients = ask_in_order(&mut host, addr, 5);
    let first = host.hook(json!({}));
    assert_eq!(first.texts(), ["0", "1", "2"]);
    let mut round = host.hook(first.next(json!({first.key("0"): sample("echo: 0")})));
    // Each alone, so that one which its host refuses does not take others with it.
    for text in ["1", "2"] {
        assert_eq!(round.texts(), [text]);
        // A new name, so that an answer to the first round cannot pass for one to the second.
        assert_eq!(round.key(text), format!("{}-2", first.key(text)));
        round = host.hook(round.echoed());
    }
    assert_eq!(round.texts(), ["3", "4"]);
    open_hook(&mut host, round.echoed());
    for (n, client) in clients.into_iter().enumerate() {
        assert_eq!(client.get().content(), format!("echo: {n}"));
    }
}

#[test]
fn a_request_that_is_never_answered_fails_in_the_end() {
    let mut host = Host::sampling(&[PATIENT, ("MODELTAP_ANNOUNCE_AGAIN", "1")]);
    let addr = host.addr();
    let client = ask(addr, "Hello");
    host.until_on_offer(1);
    let first = host.hook(json!({}));
    let second = host.hook(first.next(json!({})));
    assert_eq!(second.texts(), ["Hello"]);
    open_hook(&mut host, second.next(json!({})));
    let answer = client.get();
    assert_eq!(answer.status, 502);
    assert!(said(&answer).contains("took the request 2 times"), "{}", said(&answer));
}

#[test]
fn a_host_that_begins_anew_gets_again_what_it_dropped() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let clients = ask_in_order(&mut host, addr, 3);
    let dropped = host.hook(json!({}));
    // Each alone, so that one which its host refuses does not take the others with it again.
    let again = host.hook(json!({}));
    assert_eq!(again.texts().len(), 1);
    // The answer of the dropped round is late: the request is with somebody else.
    let key = dropped.key(&again.texts()[0]);
    let beside = host.hook(dropped.next(json!({key: sample("late")})));
    assert!(clients.iter().all(|client| !client.is_done()));
    let last = host.hook(beside.echoed());
    assert_eq!((beside.texts().len(), last.texts().len()), (1, 1));
    let open = [open_hook(&mut host, again.echoed()), open_hook(&mut host, last.echoed())];
    for (n, client) in clients.into_iter().enumerate() {
        assert_eq!(client.get().content(), format!("echo: {n}"));
    }
    open.into_iter().for_each(|open| host.cancel(open));
}

#[test]
fn hooks_side_by_side_share_the_requests_and_leave_each_other_alone() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let mut open = [open_hook(&mut host, json!({})), open_hook(&mut host, json!({}))].to_vec();
    let first = ask(addr, "first");
    let answer = host.recv_where(|message| message["result"]["resultType"] == "input_required");
    open.retain(|id| answer["id"] != *id);
    assert_eq!(open.len(), 1);
    let leg = Leg(answer["result"].clone());
    // A third begins while the second is open, and does not take the first one's round.
    let third = open_hook(&mut host, json!({}));
    let second = ask(addr, "second");
    let answer = host.recv_where(|message| message["result"]["resultType"] == "input_required");
    let other = Leg(answer["result"].clone());
    assert_eq!((leg.texts(), other.texts()), (vec!["first".into()], vec!["second".into()]));
    // An answer to one round under the state of another reaches nobody.
    let mut responses = other.echoed();
    responses["inputResponses"][leg.key("first")] = sample("wrong");
    open_hook(&mut host, responses);
    assert_eq!(second.get().content(), "echo: second");
    host.wait_stderr("1 inputResponses of the host belong to no request of the round");
    open_hook(&mut host, leg.echoed());
    assert_eq!(first.get().content(), "echo: first");
    // One of the calls that are still open was answered, and no more.
    assert!([open[0], third].iter().filter(|id| answer["id"] == **id).count() == 1);
}

#[test]
fn a_call_that_is_cancelled_gets_no_answer_and_takes_nothing() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let cancelled = open_hook(&mut host, json!({"_meta": {"progressToken": "t"}}));
    host.cancel_now(cancelled);
    let client = ask(addr, "Hello");
    host.until_on_offer(1);
    let leg = host.hook(json!({}));
    assert_eq!(leg.texts(), ["Hello"]);
    open_hook(&mut host, leg.echoed());
    assert_eq!(client.get().content(), "echo: Hello");
    assert!(!host.has_passed(|message| message["id"] == cancelled));
}

#[test]
fn a_cancellation_that_crosses_the_answer_gives_the_round_back() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    open_hook(&mut host, json!({}));
    open_hook(&mut host, json!({}));
    let client = ask(addr, "Hello");
    let is_round = |message: &Value| message["result"]["resultType"] == "input_required";
    let crossed = host.recv_where(is_round);
    host.cancel(crossed["id"].as_u64().unwrap());
    // The other call, which is open still, has it at once.
    let leg = Leg(host.recv_where(is_round)["result"].clone());
    assert_eq!(leg.texts(), ["Hello"]);
    open_hook(&mut host, leg.echoed());
    assert_eq!(client.get().content(), "echo: Hello");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_client_that_leaves_during_a_round_is_not_missed_and_the_host_is_told_nothing() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let mut leaving = Client::connect(addr);
    leaving.post("/v1/chat/completions", "", &chat("leaves"));
    host.until_on_offer(1);
    let stays = ask(addr, "stays");
    host.until_on_offer(2);
    let leg = host.hook(json!({}));
    assert_eq!(leg.texts(), ["leaves", "stays"]);
    drop(leaving);
    host.until_waiting(1);
    open_hook(&mut host, leg.echoed());
    assert_eq!(stays.get().content(), "echo: stays");
    // One that waits in line is gone before the next round.
    let mut leaving = Client::connect(addr);
    leaving.post("/v1/chat/completions", "", &chat("leaves"));
    host.recv_where(|message| message["result"]["resultType"] == "input_required");
    drop(leaving);
    host.until_waiting(0);
    // That no cancellation was written is seen when all that was said is held against the schema.
}

#[test]
fn a_request_that_times_out_in_a_round_is_over_and_the_host_is_told_nothing() {
    let mut host = Host::sampling(&[PATIENT, ("MODELTAP_TIMEOUT", "1s")]);
    let addr = host.addr();
    open_hook(&mut host, json!({}));
    let client = ask(addr, "Hello");
    let round = host.recv_where(|message| message["result"]["resultType"] == "input_required");
    assert_eq!(client.get().status, 504);
    let leg = Leg(round["result"].clone());
    open_hook(&mut host, leg.echoed());
    host.until_waiting(0);
}

#[test]
fn a_session_that_begins_anew_gives_the_rounds_up() {
    let mut host = Host::sampling(&[PATIENT]);
    let addr = host.addr();
    let client = ask(addr, "Hello");
    host.until_on_offer(1);
    let dropped = host.hook(json!({}));
    // The schema of one version cannot judge two, so the rest is said on another pipe's terms.
    let bridge: &mut Bridge = &mut host;
    bridge.said.stop();
    bridge.initialize("test-host", json!({"sampling": {}}));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "legacy");
    let answer = client.get();
    assert_eq!(
        (answer.content().as_str(), answer.header("x-mcp-backend")),
        ("legacy", Some("sampling"))
    );
    let late = host.hook(dropped.echoed()).0["structuredContent"]["message"].to_string();
    assert!(late.contains("given up"), "{late}");
}
