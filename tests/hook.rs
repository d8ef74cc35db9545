//! The tool `hook`: the call that stays open for hosts that want one, its progress, its warm-up.

mod common;

use common::{Aside, Bridge, aside, http, http::Answer};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn ask(addr: SocketAddr) -> Aside<Answer> {
    aside(move || http::chat(addr, "Hello"))
}

fn refuse(bridge: &Bridge, request: &Value, code: i64) {
    let error = json!({"code": code, "message": "not outside a call"});
    bridge.send(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
}

fn asked(bridge: &mut Bridge) -> Value {
    bridge.recv_method("sampling/createMessage")
}

/// What a client gets whose request the host refuses.
fn refused(bridge: &mut Bridge, addr: SocketAddr, code: i64) -> Answer {
    let client = ask(addr);
    let request = asked(bridge);
    refuse(bridge, &request, code);
    client.get()
}

fn cancel(bridge: &Bridge, id: u64) {
    let params = json!({"requestId": id, "reason": "enough"});
    let method = "notifications/cancelled";
    bridge.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
}

/// Opens a hook; once this returns, it is open.
fn hook(bridge: &mut Bridge, meta: Value) -> u64 {
    let id = bridge.begin("tools/call", json!({"name": "hook", "arguments": {}, "_meta": meta}));
    bridge.request("ping", json!({}));
    id
}

fn hooks(bridge: &mut Bridge) -> Value {
    let status = bridge.call("runtime_status", json!({}))["structuredContent"].clone();
    status["mcp"]["open_hooks"].clone()
}

/// That a request gets through.
fn passes(bridge: &mut Bridge, addr: SocketAddr) {
    let client = ask(addr);
    let request = asked(bridge);
    bridge.answer(&request, "Hi");
    assert_eq!(client.get().content(), "Hi");
}

/// That a request is refused without the host being asked, for a reason that holds `said`.
fn is_refused(addr: SocketAddr, said: &str) {
    for answer in [http::chat(addr, "Hello"), http::get(addr, "/ready")] {
        let message = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, 503, "{message}");
        assert!(message.contains(said), "{message}");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
}

#[test]
fn a_host_that_wants_a_hook_is_tried_once_and_then_remembered() {
    for code in [-32602, -32601] {
        let mut bridge = Bridge::sampling(&[]);
        let addr = bridge.addr();
        let answer = refused(&mut bridge, addr, code);
        let message = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, 503, "{message}");
        assert!(message.contains("`hook`") && message.contains("not outside a call"), "{message}");
        is_refused(addr, "`hook`");
        let open = hook(&mut bridge, json!({}));
        passes(&mut bridge, addr);
        // What is refused inside the call is refused for another reason.
        assert_eq!(refused(&mut bridge, addr, -32602).status, 400);
        cancel(&bridge, open);
        assert_eq!(hooks(&mut bridge), 0);
        is_refused(addr, "`hook`");
    }
}

#[test]
fn an_answer_that_outlives_its_hook_does_not_count_as_one_without() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let open = hook(&mut bridge, json!({}));
    let client = ask(addr);
    let request = asked(&mut bridge);
    cancel(&bridge, open);
    bridge.answer(&request, "Hi");
    assert_eq!(client.get().status, 200);
    assert_eq!(refused(&mut bridge, addr, -32602).status, 503);
    is_refused(addr, "`hook`");
}

#[test]
fn a_request_whose_refusal_crosses_the_opening_of_a_hook_is_sent_again() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let client = ask(addr);
    let request = asked(&mut bridge);
    hook(&mut bridge, json!({}));
    refuse(&bridge, &request, -32602);
    let again = asked(&mut bridge);
    assert_ne!(again["id"], request["id"]);
    bridge.answer(&again, "Hi");
    assert_eq!(client.get().content(), "Hi");
}

#[test]
fn a_cancelled_hook_ends_without_an_answer() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let (quiet, told) =
        (hook(&mut bridge, json!({})), hook(&mut bridge, json!({"progressToken": 1})));
    bridge.recv_method("notifications/progress");
    assert_eq!(hooks(&mut bridge), 2);
    cancel(&bridge, quiet);
    cancel(&bridge, told);
    assert_eq!(hooks(&mut bridge), 0);
    // This host takes requests without a hook too; and nothing else was written.
    let client = ask(addr);
    let request = bridge.recv();
    assert_eq!(request["method"], "sampling/createMessage");
    bridge.answer(&request, "Hi");
    assert_eq!(client.get().status, 200);
}

#[test]
fn progress_is_told_from_the_start_under_the_token_as_it_came_and_only_with_one() {
    let mut bridge = Bridge::sampling(&[]);
    for token in [json!(0), json!("a \"b\""), json!(-5)] {
        hook(&mut bridge, json!({"progressToken": token}));
        let told = bridge.recv_method("notifications/progress");
        assert_eq!(told["params"]["progressToken"], token);
        assert_eq!(told["params"]["progress"], 1);
        assert_eq!(told["params"]["message"], "serving requests");
    }
    hook(&mut bridge, json!({}));
    hook(&mut bridge, Value::Null);
    hook(&mut bridge, json!({"progressToken": null}));
    // Their notes would stand before this answer.
    let id = bridge.begin("ping", json!({}));
    assert_eq!(bridge.recv()["id"], id);
}

#[test]
fn a_hook_takes_its_ancestors_arguments_and_there_is_a_bound_of_open_ones() {
    let mut bridge = Bridge::sampling(&[]);
    let arguments = json!({"input": "go", "model": "m", "messages": [{"role": "user"}, "hi"]});
    for _ in 0..16 {
        bridge.begin("tools/call", json!({"name": "hook", "arguments": arguments}));
    }
    let refused = bridge.call("hook", json!({}));
    assert_eq!(refused["isError"], true, "{refused}");
    assert_eq!(hooks(&mut bridge), 16);
}

#[test]
fn another_session_begins_without_the_hooks_and_the_lessons_of_the_last() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    assert_eq!(refused(&mut bridge, addr, -32602).status, 503);
    let id = hook(&mut bridge, json!({"progressToken": 1}));
    bridge.initialize("test-host", json!({"sampling": {}}));
    assert_eq!(hooks(&mut bridge), 0);
    // The same id may come again, and unasked requests are tried again.
    passes(&mut bridge, addr);
    let again =
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "hook"}});
    bridge.send(&again);
    assert_eq!(hooks(&mut bridge), 1);
}

#[test]
fn a_host_without_sampling_is_told_that_a_hook_is_of_no_use() {
    for name in ["some-editor", "claude-code"] {
        let mut bridge = Bridge::spawn(&[]);
        bridge.initialize(name, json!({}));
        let result = bridge.call("hook", json!({}));
        assert_eq!(result["isError"], true);
        assert!(result["structuredContent"]["message"].as_str().unwrap().contains("sampling"));
    }
}

#[test]
fn the_warm_up_serves_nobody_until_a_sample_has_come_through() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_WARMUP", "1")]);
    let addr = bridge.addr();
    is_refused(addr, "`hook`");
    let open = hook(&mut bridge, json!({"progressToken": "t"}));
    let sample = asked(&mut bridge);
    assert_eq!(sample["params"]["maxTokens"], 1);
    is_refused(addr, "has not got an answer");
    refuse(&bridge, &sample, -32000);
    // The next try, a second later; the refusal before it did not end the call.
    let second = asked(&mut bridge);
    assert_ne!(second["id"], sample["id"]);
    is_refused(addr, "has not got an answer");
    bridge.answer(&second, "ok");
    for (progress, message) in [(1, "warming up"), (2, "warming up"), (3, "serving requests")] {
        let told = bridge.recv_method("notifications/progress");
        let expected = json!({"progressToken": "t", "progress": progress, "message": message});
        assert_eq!(told["params"], expected);
    }
    assert_eq!(http::get(addr, "/ready").status, 200);
    passes(&mut bridge, addr);
    // Once warm, it stays so, and the next hook does not sample again.
    cancel(&bridge, open);
    hook(&mut bridge, json!({}));
    passes(&mut bridge, addr);
}

#[test]
fn cancelling_the_hook_ends_its_warm_up_and_the_sample() {
    let mut bridge = Bridge::sampling(&[("MODELTAP_WARMUP", "1")]);
    let addr = bridge.addr();
    let open = hook(&mut bridge, json!({}));
    let sample = asked(&mut bridge);
    cancel(&bridge, open);
    let cancelled = bridge.recv_method("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], sample["id"]);
    is_refused(addr, "`hook`");
    // A late answer warms nothing, and another hook begins anew.
    bridge.answer(&sample, "ok");
    is_refused(addr, "`hook`");
    hook(&mut bridge, json!({}));
    let sample = asked(&mut bridge);
    bridge.answer(&sample, "ok");
    let client = aside(move || {
        while http::get(addr, "/ready").status != 200 {
            std::thread::yield_now();
        }
    });
    client.get();
    passes(&mut bridge, addr);
}
