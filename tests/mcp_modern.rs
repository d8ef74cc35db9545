//! The modern era, 2026-07-28, and how it lives beside the legacy one on the same pipe.

mod common;

use common::http::{self, Client};
use common::modern::{
    CAPABILITIES, Host, INFO, MODERN, SERVER, SUBSCRIPTION, VERSION, meta, sample, with_meta,
};
use common::{Bridge, LATEST, aside, chat, sampled};
use serde_json::{Value, json};

fn code(answer: &Value) -> i64 {
    assert!(answer.get("result").is_none(), "{answer}");
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no code: {answer}"))
}

/// The answer to a probe of this client.
fn probe(bridge: &mut Bridge, name: &str, capabilities: Value) -> Value {
    bridge.request("server/discover", json!({"_meta": meta(name, capabilities)}))
}

fn is_served(answer: &Value) -> bool {
    match answer.get("result") {
        Some(result) => {
            assert_eq!(result["supportedVersions"], json!([MODERN]), "{answer}");
            true
        }
        None => {
            assert_eq!(code(answer), -32601);
            false
        }
    }
}

fn initialize(bridge: &mut Bridge) {
    let params = json!({"protocolVersion": LATEST, "capabilities": {"sampling": {}},
        "clientInfo": {"name": "test-host", "version": "1"}});
    let answer = bridge.request("initialize", params);
    assert_eq!(answer["result"]["protocolVersion"], LATEST, "{answer}");
    assert!(answer["result"].get("resultType").is_none(), "{answer}");
}

#[test]
fn the_probe_is_declined_exactly_where_the_legacy_era_serves_better() {
    let claude: &[(&str, &str)] = &[("CLAUDECODE", "1")];
    let forced: &[(&str, &str)] = &[("MODELTAP_BACKEND", "channel")];
    let sampling = json!({"sampling": {}});
    for (env, name, capabilities, served) in [
        (&[][..], "test-host", json!({}), true),
        (&[], "test-host", json!({"elicitation": {}, "roots": {}}), true),
        (&[], "", json!({}), true),
        (&[("CLAUDECODE", "0")], "test-host", json!({}), true),
        (&[("MODELTAP_BACKEND", "pull")], "test-host", json!({}), true),
        (&[], "test-host", sampling.clone(), false),
        (&[], "test-host", json!({"sampling": {"tools": {}}}), false),
        (&[], "claude-code", json!({}), false),
        (&[], "Claude Desktop", json!({}), false),
        (claude, "test-host", json!({}), false),
        (forced, "test-host", json!({}), false),
        (&[("MODELTAP_ERA", "modern")], "claude-code", sampling.clone(), true),
        (&[("MODELTAP_ERA", "modern"), ("CLAUDECODE", "1")], "test-host", json!({}), true),
        (&[("MODELTAP_ERA", "legacy")], "test-host", json!({}), false),
    ] {
        let mut bridge = Bridge::spawn(env);
        let answer = probe(&mut bridge, name, capabilities.clone());
        assert_eq!(is_served(&answer), served, "{env:?} {name} {capabilities}");
    }
}

#[test]
fn a_client_that_asks_again_or_goes_on_in_the_modern_era_is_served_it() {
    let mut bridge = Bridge::spawn(&[]);
    let sampling = json!({"sampling": {}});
    assert!(!is_served(&probe(&mut bridge, "test-host", sampling.clone())));
    assert!(is_served(&probe(&mut bridge, "test-host", sampling.clone())));
    assert!(is_served(&probe(&mut bridge, "test-host", sampling.clone())));

    let mut bridge = Bridge::spawn(&[]);
    assert!(!is_served(&probe(&mut bridge, "test-host", sampling.clone())));
    let tools = bridge.request("tools/list", with_meta(json!({}), sampling.clone()));
    assert_eq!(tools["result"]["resultType"], "complete");
    assert!(is_served(&probe(&mut bridge, "test-host", sampling.clone())));

    // Whoever begins with modern requests and asks then has no other era to fall back to.
    let mut bridge = Bridge::spawn(&[]);
    let tools = bridge.request("tools/list", with_meta(json!({}), sampling.clone()));
    assert_eq!(tools["result"]["resultType"], "complete");
    assert!(is_served(&probe(&mut bridge, "test-host", sampling)));
}

#[test]
fn a_client_that_was_declined_shakes_hands_and_all_is_legacy() {
    let mut bridge = Bridge::spawn(&[]);
    let sampling = json!({"sampling": {}});
    assert!(!is_served(&probe(&mut bridge, "test-host", sampling.clone())));
    bridge.initialize("test-host", sampling.clone());
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let request = bridge.recv_method("sampling/createMessage");
    bridge.answer(&request, "Hi");
    let answer = client.get();
    assert_eq!(
        (answer.content().as_str(), answer.header("x-mcp-backend")),
        ("Hi", Some("sampling"))
    );
    assert_eq!(bridge.request("ping", json!({}))["result"], json!({}));
    // Another session, another probe.
    assert!(!is_served(&probe(&mut bridge, "test-host", sampling)));
}

#[test]
fn a_handshake_is_accepted_after_the_probe_was_served_and_again_and_again() {
    let mut bridge = Bridge::spawn(&[]);
    assert!(is_served(&probe(&mut bridge, "test-host", json!({}))));
    for _ in 0..3 {
        initialize(&mut bridge);
        let status = bridge.call("runtime_status", json!({}))["structuredContent"].clone();
        assert_eq!(status["mcp"]["protocol_version"], LATEST);
        assert!(is_served(&probe(&mut bridge, "test-host", json!({}))));
    }
}

#[test]
fn a_bridge_of_the_legacy_era_takes_no_notice_of_the_modern_one() {
    let mut bridge = Bridge::spawn(&[("MODELTAP_ERA", "legacy")]);
    let probe = with_meta(json!({}), json!({}));
    for _ in 0..2 {
        assert_eq!(code(&bridge.request("server/discover", probe.clone())), -32601);
    }
    let listen = with_meta(json!({"notifications": {}}), json!({}));
    assert_eq!(code(&bridge.request("subscriptions/listen", listen)), -32601);
    bridge.initialize("test-host", json!({"sampling": {}}));
    for params in [json!({}), with_meta(json!({}), json!({"sampling": {}}))] {
        let tools = bridge.request("tools/list", params.clone());
        assert!(tools["result"].get("resultType").is_none(), "{tools}");
        assert_eq!(bridge.request("ping", params)["result"], json!({}));
    }
}

#[test]
fn a_bridge_of_the_modern_era_refuses_what_is_gone() {
    let mut bridge = Bridge::spawn(&[("MODELTAP_ERA", "modern")]);
    let params = json!({"protocolVersion": LATEST, "capabilities": {},
        "clientInfo": {"name": "test-host", "version": "1"}});
    let refused = bridge.request("initialize", params);
    assert_eq!(code(&refused), -32601);
    // A legacy client can show its user no more than this.
    assert!(refused["error"]["message"].as_str().unwrap().contains(MODERN), "{refused}");
    assert_eq!(refused["error"]["data"]["supported"], json!([MODERN]));
    for method in ["ping", "logging/setLevel", "resources/subscribe", "prompts/list", ""] {
        assert_eq!(code(&bridge.request(method, json!({}))), -32601, "{method}");
    }
    for method in ["server/discover", "tools/list", "tools/call", "subscriptions/listen"] {
        assert_eq!(code(&bridge.request(method, json!({"name": "hook"}))), -32602, "{method}");
        bridge.send(&json!({"jsonrpc": "2.0", "id": "bare", "method": method}));
        assert_eq!(code(&bridge.recv()), -32602, "{method}");
    }
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    bridge.send(&json!([{"jsonrpc": "2.0", "id": 1, "method": "tools/list",
        "params": with_meta(json!({}), json!({}))}]));
    assert_eq!(code(&bridge.recv()), -32600);
    assert!(probe(&mut bridge, "test-host", json!({})).get("result").is_some());
}

#[test]
fn what_a_modern_request_must_tell_and_what_it_may_leave_out() {
    let mut bridge = Bridge::spawn(&[]);
    let whole = meta("test-host", json!({}));
    let without = |key: &str| {
        let mut meta = whole.clone();
        meta.as_object_mut().unwrap().remove(key);
        meta
    };
    let with = |key: &str, value: Value| {
        let mut meta = whole.clone();
        meta[key] = value;
        meta
    };
    for (method, params) in [
        ("tools/list", json!({})),
        ("tools/call", json!({"name": "http_server_status"})),
        ("subscriptions/listen", json!({"notifications": {}})),
        ("server/discover", json!({})),
    ] {
        let mut ask = |meta: Value| {
            let mut params = params.clone();
            params["_meta"] = meta;
            bridge.request(method, params)
        };
        assert_eq!(code(&ask(without(CAPABILITIES))), -32602, "{method}");
        for odd in [json!(null), json!([]), json!("sampling"), json!(true)] {
            assert_eq!(code(&ask(with(CAPABILITIES, odd))), -32602, "{method}");
        }
        for odd in [json!(null), json!(20260728), json!({})] {
            assert_eq!(code(&ask(with(VERSION, odd))), -32602, "{method}");
        }
        for version in ["2025-11-25", "2024-11-05", "1900-01-01", ""] {
            let refused = ask(with(VERSION, version.into()));
            assert_eq!(code(&refused), -32022, "{method}");
            let data = json!({"supported": [MODERN], "requested": version});
            assert_eq!(refused["error"]["data"], data);
        }
    }
    // Who asks need not be told, and is not looked at closely.
    for meta in [without(INFO), with(INFO, json!(5)), with("com.example/other", json!([1]))] {
        let answer = bridge.request("tools/list", json!({"_meta": meta}));
        assert_eq!(answer["result"]["resultType"], "complete");
    }
}

#[test]
fn every_result_says_what_it_is_who_made_it_and_how_long_it_holds() {
    let mut host = Host::new(&[], json!({}));
    let discovered = host.ask("server/discover", json!({}))["result"].clone();
    assert_eq!((&discovered["ttlMs"], &discovered["cacheScope"]), (&json!(0), &json!("private")));
    assert!(discovered["instructions"].as_str().unwrap().contains("next_request"));
    assert_eq!(discovered["capabilities"], json!({"tools": {}}));
    let listed = host.ask("tools/list", json!({}))["result"].clone();
    assert_eq!((&listed["ttlMs"], &listed["cacheScope"]), (&json!(60_000), &json!("private")));
    assert!(listed["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "hook"));
    let called = host.tool("http_server_status", json!({}));
    let failed = host.tool("http_server_start", json!({"port": "x"}));
    assert_eq!((&called["isError"], &failed["isError"]), (&json!(false), &json!(true)));
    let empty = host.tool("next_request", json!({"wait_seconds": 0}));
    assert_eq!(empty["structuredContent"]["pending"], false);
    for result in [discovered, listed, called, failed, empty] {
        assert_eq!(result["resultType"], "complete", "{result}");
        let who = json!({"name": "modeltap", "version": env!("CARGO_PKG_VERSION")});
        assert_eq!(result["_meta"][SERVER], who, "{result}");
    }
    assert_eq!(code(&host.ask("tools/call", json!({"name": "none"}))), -32602);
}

#[test]
fn hook_needs_a_client_that_samples() {
    let mut host = Host::new(&[], json!({"elicitation": {}}));
    let refused = host.ask("tools/call", json!({"name": "hook", "arguments": {}}));
    assert_eq!(code(&refused), -32021);
    assert_eq!(refused["error"]["data"], json!({"requiredCapabilities": {"sampling": {}}}));
    // What a client can do is told by each request, and not remembered.
    host.capabilities = json!({"sampling": {}});
    let open = host.begin_hook(json!({}));
    host.capabilities = json!({});
    let refused = host.ask("tools/call", json!({"name": "hook"}));
    assert_eq!(code(&refused), -32021);
    host.cancel(open);
}

#[test]
fn what_the_modern_era_has_not_is_refused_also_beside_a_legacy_session() {
    let mut bridge = Bridge::sampling(&[]);
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "roots/list"] {
        let params = with_meta(json!({"protocolVersion": LATEST}), json!({}));
        assert_eq!(code(&bridge.request(method, params)), -32601, "{method}");
        if method == "ping" {
            assert_eq!(bridge.request(method, json!({}))["result"], json!({}));
        }
    }
}

#[test]
fn both_eras_are_served_over_one_pipe_at_once() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    let modern = |call: Value| with_meta(call, json!({"sampling": {}}));
    let status = modern(json!({"name": "http_server_status", "arguments": {}}));
    let called = bridge.request("tools/call", status);
    assert_eq!(called["result"]["resultType"], "complete");
    assert!(bridge.call("http_server_status", json!({})).get("resultType").is_none());
    // The session stays what it was.
    let status = bridge.call("runtime_status", json!({}))["structuredContent"].clone();
    assert_eq!(status["mcp"]["protocol_version"], LATEST);
    let client = aside(move || http::chat(addr, "one"));
    let request = bridge.recv_method("sampling/createMessage");
    // While that is with the legacy host, a modern hook opens, and takes the next.
    let hook = bridge.begin("tools/call", modern(json!({"name": "hook", "arguments": {}})));
    bridge.request("ping", json!({}));
    let other = aside(move || http::chat(addr, "two"));
    let round = bridge.recv_where(|message| message["id"] == hook)["result"].clone();
    bridge.send(&sampled(&request, "legacy"));
    let key = round["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let next = modern(json!({"name": "hook", "arguments": {},
        "inputResponses": {key: sample("modern")}, "requestState": round["requestState"]}));
    bridge.begin("tools/call", next);
    let answers = [client.get(), other.get()];
    let told = answers.each_ref().map(|a| (a.content(), a.header("x-mcp-backend").unwrap()));
    assert_eq!(told, [("legacy".into(), "sampling"), ("modern".into(), "hook")]);
}

#[test]
fn a_batch_may_not_hold_modern_requests() {
    let mut bridge = Bridge::spawn(&[]);
    let params = json!({"protocolVersion": "2025-03-26", "capabilities": {},
        "clientInfo": {"name": "test-host", "version": "1"}});
    bridge.request("initialize", params);
    let call = with_meta(json!({"name": "hook", "arguments": {}}), json!({"sampling": {}}));
    bridge.send(&json!([
        {"jsonrpc": "2.0", "id": "a", "method": "ping"},
        {"jsonrpc": "2.0", "id": "b", "method": "tools/call", "params": call},
        {"jsonrpc": "2.0", "id": "c", "method": "tools/list", "params": with_meta(json!({}), json!({}))},
    ]));
    let answers = bridge.recv();
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": "a", "result": {}}));
    assert_eq!((code(&answers[1]), code(&answers[2])), (-32600, -32600));
    // A client of the modern era has no batches at all.
    let mut host = Host::new(&[], json!({}));
    host.ask("server/discover", json!({}));
    host.send(&json!([{"jsonrpc": "2.0", "id": "d", "method": "tools/list",
        "params": with_meta(json!({}), json!({}))}]));
    let refused = host.answer_to_str("d");
    assert_eq!(code(&refused), -32600);
}

/// A subscription of this id.
fn listen(host: &Host, id: &Value, notifications: Value) {
    let params = with_meta(json!({"notifications": notifications}), json!({}));
    host.send(
        &json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params}),
    );
}

fn acknowledged(host: &mut Host) -> Value {
    let told = host.recv_method("notifications/subscriptions/acknowledged");
    // Nothing that is offered ever changes.
    assert_eq!(told["params"]["notifications"], json!({}), "{told}");
    told["params"]["_meta"][SUBSCRIPTION].clone()
}

#[test]
fn a_subscription_is_acknowledged_stays_open_and_ends_with_the_process() {
    let mut host = Host::new(&[], json!({}));
    let ids = [json!(901), json!("s"), json!("é \"quoted\""), json!(-1)];
    for id in &ids {
        listen(
            &host,
            id,
            json!({"toolsListChanged": true, "resourceSubscriptions": ["file:///x"]}),
        );
        assert_eq!(acknowledged(&mut host), *id);
    }
    // One that is cancelled gets no answer.
    host.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": ids[1]}}));
    host.tool("http_server_status", json!({}));
    assert!(!host.has_passed(|message| ids.contains(&message["id"])));
    terminate(&host);
    for id in [&ids[0], &ids[2], &ids[3]] {
        let ended = host.recv();
        assert_eq!((&ended["id"], &ended["result"]["resultType"]), (id, &json!("complete")));
        assert_eq!(ended["result"]["_meta"][SUBSCRIPTION], *id);
    }
    assert!(host.wait().success());
}

/// Tells the bridge to end, as a host does that has no patience left.
fn terminate(host: &Host) {
    #[cfg(unix)]
    {
        let pid = host.pid().to_string();
        let killed = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.expect("kill runs").success());
    }
    #[cfg(not(unix))]
    host.close_stdin();
}

#[test]
fn so_many_subscriptions_are_open_each_under_an_id_of_its_own() {
    let mut host = Host::new(&[], json!({}));
    for n in 0..16 {
        listen(&host, &json!(format!("s{n}")), json!({}));
        acknowledged(&mut host);
    }
    listen(&host, &json!("one more"), json!({}));
    assert_eq!(code(&host.answer_to_str("one more")), -32600);
    host.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": "s3"}}));
    listen(&host, &json!("s3"), json!({}));
    assert_eq!(acknowledged(&mut host), "s3");
    for odd in [json!(null), json!(1), json!([])] {
        let answer = host.ask("subscriptions/listen", json!({"notifications": odd}));
        assert_eq!(code(&answer), -32602);
    }
    assert_eq!(code(&host.ask("subscriptions/listen", json!({}))), -32602);
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_modern_host_is_never_sent_a_request_nor_a_channel_event() {
    for env in [&[][..], &[("CLAUDECODE", "1")], &[("MODELTAP_BACKEND", "channel")]] {
        let mut host = Host::sampling(env);
        host.ask("tools/list", json!({}));
        let addr = host.addr();
        let answer = http::chat(addr, "Hello");
        assert_eq!(answer.status, 503, "{env:?}");
        let published = host.tool("channel_publish", json!({"content": "x"}));
        assert_eq!(published["isError"], true, "{env:?}");
        if env.is_empty() {
            let said = answer.json()["error"]["message"].to_string();
            assert!(said.contains("tool hook"), "{said}");
            // With a client that leaves, in the line and in a round.
            let open = host.begin_hook(json!({}));
            host.tool("http_server_status", json!({}));
            for _ in 0..2 {
                let mut client = Client::connect(addr);
                client.post("/v1/chat/completions", "", &chat("leaves"));
                host.until_waiting(1);
                drop(client);
                host.until_waiting(0);
            }
            host.answer_to(open);
        }
        assert!(!host.has_passed(|message| message.get("method").is_some()), "{env:?}");
    }
}

#[test]
fn odd_input_is_answered_as_far_as_it_can_be() {
    let mut host = Host::new(&[], json!({}));
    host.ask("server/discover", json!({}));
    for (line, id, code) in [
        (r#"{"jsonrpc":"2.0","id":"x","method":"tools/list","params":[]}"#, "x", -32602),
        (r#"{"jsonrpc":"2.0","id":"x","method":"tools/list","params":null}"#, "x", -32602),
        (r#"{"jsonrpc":"1.0","id":"x","method":"tools/list"}"#, "x", -32600),
        (r#"{"id":"x","method":"tools/list"}"#, "x", -32600),
        (r#"{"jsonrpc":"2.0","id":"x","method":5}"#, "x", -32600),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, "x", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":\"x\",", "", -32700),
    ] {
        host.send_raw(format!("{line}\n").as_bytes());
        let answer = host.recv();
        assert_eq!(answer["error"]["code"], code, "{line}");
        assert_eq!(answer["id"].as_str().unwrap_or_default(), id, "{line}");
    }
    // What has no id that could be answered is told on stderr, and nothing else.
    for line in [
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/unheard","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":"nobody","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"nobody","error":{"code":1,"message":"m"}}"#,
    ] {
        host.send_raw(format!("{line}\n").as_bytes());
    }
    assert_eq!(host.ask("tools/list", json!({}))["result"]["resultType"], "complete");
    assert!(!host.has_passed(|_| true));
}
