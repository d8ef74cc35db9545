//! Every kind of MCP message that leaves the bridge fits the schema of the version in use. The schemas
//! lie beside the crate, in `../shared/mcp-schema`, or where `MODELTAP_MCP_SCHEMA` says; without
//! them there is nothing to hold the messages against.

mod common;

use boon::{Compiler, Schemas};
use common::http::{self, Client};
use common::{Bridge, aside, chat};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

/// The schema of one version, and what was held against it.
struct Checker {
    version: &'static str,
    /// Where the schema keeps its definitions; the newer drafts call it `$defs`.
    folder: &'static str,
    compiler: Compiler,
    schemas: Schemas,
    seen: BTreeSet<String>,
}

impl Checker {
    /// `None`, and a line that says so, where the schema is not at hand.
    fn new(version: &'static str) -> Option<Checker> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/mcp-schema");
        let folder = std::env::var_os("MODELTAP_MCP_SCHEMA").unwrap_or_else(|| beside.into());
        let path = PathBuf::from(folder).join(format!("schema-{version}.json"));
        match std::fs::read(&path) {
            Ok(text) => {
                let schema: Value = serde_json::from_slice(&text).expect("the schema is JSON");
                let folder = if schema.get("$defs").is_some() { "$defs" } else { "definitions" };
                let (mut compiler, schemas) = (Compiler::new(), Schemas::new());
                compiler.add_resource("mcp:schema", schema).unwrap();
                Some(Checker { version, folder, compiler, schemas, seen: BTreeSet::new() })
            }
            Err(_) => {
                // Written past the test's own capture, so that it is seen.
                let _ = writeln!(std::io::stderr(), "skipped: there is no {}", path.display());
                None
            }
        }
    }

    /// Whether `message` fits the definition of this name; the fault if not.
    fn fits(&mut self, definition: &str, message: &Value) -> Result<(), String> {
        let place = format!("mcp:schema#/{}/{definition}", self.folder);
        let found = self.compiler.compile(&place, &mut self.schemas);
        let index = found.unwrap_or_else(|e| panic!("{} {definition}: {e}", self.version));
        self.schemas.validate(message, index).map_err(|e| format!("{e:#}"))
    }

    fn check(&mut self, definition: &str, message: &Value) {
        if let Err(fault) = self.fits(definition, message) {
            panic!("{} {definition}: {fault}\n{message}", self.version);
        }
        self.seen.insert(definition.to_owned());
    }

    /// A good answer, and its result as the definition of this name.
    fn result(&mut self, definition: &str, answer: &Value) {
        self.check("JSONRPCResponse", answer);
        self.check(definition, &answer["result"]);
    }

    fn error(&mut self, answer: &Value) {
        let newest = self.version == common::LATEST;
        self.check(if newest { "JSONRPCErrorResponse" } else { "JSONRPCError" }, answer);
    }

    fn request(&mut self, definition: &str, message: &Value) {
        self.check("JSONRPCRequest", message);
        self.check(definition, message);
    }

    fn notification(&mut self, definition: &str, message: &Value) {
        self.check("JSONRPCNotification", message);
        self.check(definition, message);
    }
}

/// A bridge that has agreed to the checker's version.
fn begin(checker: &mut Checker, env: &[(&str, &str)], capabilities: Value) -> Bridge {
    let mut bridge = Bridge::spawn(env);
    let params = json!({"protocolVersion": checker.version, "capabilities": capabilities,
        "clientInfo": {"name": "claude-code", "version": "1"}});
    let answer = bridge.request("initialize", params);
    assert_eq!(answer["result"]["protocolVersion"], checker.version);
    checker.result("InitializeResult", &answer);
    bridge
}

/// Answers to what any host asks, right and wrong.
fn answers(checker: &mut Checker, bridge: &mut Bridge) {
    checker.result("EmptyResult", &bridge.request("ping", json!({})));
    checker.result("ListToolsResult", &bridge.request("tools/list", json!({})));
    for method in ["server/discover", "no such", "resources/list"] {
        checker.error(&bridge.request(method, json!({})));
    }
    for (method, params) in [
        ("tools/call", json!({"name": "none"})),
        ("tools/call", json!([])),
        ("initialize", json!({})),
    ] {
        checker.error(&bridge.request(method, params));
    }
    for (tool, arguments) in [
        ("http_server_status", json!({})),
        ("http_server_start", json!({})),
        ("http_server_start", json!({"port": "x"})),
        ("runtime_status", json!({})),
        ("channel_debug_events", json!({"limit": 500})),
        ("channel_reply", json!({"request_id": "x", "content": "x"})),
        ("channel_reply_stream", json!({"request_id": "x"})),
    ] {
        let call = json!({"name": tool, "arguments": arguments});
        checker.result("CallToolResult", &bridge.request("tools/call", call));
    }
    bridge.send_raw(b"not JSON\n");
    let unparsed = bridge.recv();
    if checker.version == common::LATEST {
        checker.error(&unparsed);
    } else {
        // No older version has an error without an id, nor one whose id is null: its clients read on.
        assert_eq!((unparsed.get("id"), &unparsed["error"]["code"]), (None, &json!(-32700)));
    }
}

/// The requests, cancellations and progress that a host with sampling gets.
fn sampling(checker: &mut Checker) {
    let mut bridge = begin(checker, &[("MODELTAP_WARMUP", "1")], json!({"sampling": {}}));
    let hook = json!({"name": "hook", "_meta": {"progressToken": "t"}});
    let hook = bridge.begin("tools/call", hook);
    let sample = bridge.recv_method("sampling/createMessage");
    checker.request("CreateMessageRequest", &sample);
    bridge.answer(&sample, "ok");
    for _ in ["warming up", "serving requests"] {
        let progress = bridge.recv_method("notifications/progress");
        checker.notification("ProgressNotification", &progress);
    }
    let again =
        json!({"jsonrpc": "2.0", "id": hook, "method": "tools/call", "params": {"name": "hook"}});
    bridge.send(&again);
    checker.result("CallToolResult", &bridge.recv_where(|message| message["id"] == hook));
    let addr = bridge.addr();
    let body = json!({
        "model": "gpt-x", "temperature": 0.5, "top_p": 0.5, "seed": 7, "user": "ann", "stop": ["E"],
        "metadata": {"k": "v"}, "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
    });
    let client = aside(move || http::post(addr, "/v1/chat/completions", &body));
    let request = bridge.recv_method("sampling/createMessage");
    checker.request("CreateMessageRequest", &request);
    bridge.answer(&request, "Hi");
    assert_eq!(client.get().status, 200);
    let mut client = Client::connect(addr);
    client.post("/v1/chat/completions", "", &chat("Hello"));
    checker.request("CreateMessageRequest", &bridge.recv_method("sampling/createMessage"));
    drop(client);
    let cancelled = bridge.recv_method("notifications/cancelled");
    checker.notification("CancelledNotification", &cancelled);
    answers(checker, &mut bridge);
}

/// The events that Claude Code gets, and the results of its replies.
fn channel(checker: &mut Checker) {
    let mut bridge = begin(checker, &[], json!({}));
    let call = |bridge: &mut Bridge, tool: &str, arguments: Value| {
        bridge.request("tools/call", json!({"name": tool, "arguments": arguments}))
    };
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let event = bridge.recv_method("notifications/claude/channel");
    checker.check("JSONRPCNotification", &event);
    let id = &event["params"]["meta"]["request_id"];
    let reply = call(&mut bridge, "channel_reply", json!({"request_id": id, "content": "Hi"}));
    checker.result("CallToolResult", &reply);
    assert_eq!(client.get().content(), "Hi");
    let published =
        call(&mut bridge, "channel_publish", json!({"content": "x", "meta": {"k": "v"}}));
    checker.result("CallToolResult", &published);
    checker.check("JSONRPCNotification", &bridge.recv_method("notifications/claude/channel"));
    checker.result("CallToolResult", &call(&mut bridge, "hook", json!({})));
    checker.result("CallToolResult", &call(&mut bridge, "http_server_stop", json!({})));
    answers(checker, &mut bridge);
}

fn batch(checker: &mut Checker) {
    let mut bridge = begin(checker, &[], json!({}));
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": "b", "method": "no such"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "hook"}},
    ]);
    bridge.send(&batch);
    let answers = bridge.recv();
    if checker.version == "2025-03-26" {
        checker.check("JSONRPCBatchResponse", &answers);
    } else {
        checker.error(&answers);
        checker.error(&bridge.recv());
        checker.error(&bridge.recv());
    }
}

fn every_message_fits(version: &'static str) {
    let Some(mut checker) = Checker::new(version) else { return };
    // What does not fit is noticed at all.
    assert!(checker.fits("InitializeResult", &json!({"capabilities": {}})).is_err());
    assert!(checker.fits("ProgressNotification", &json!({"method": "ping"})).is_err());
    sampling(&mut checker);
    channel(&mut checker);
    batch(&mut checker);
    assert!(checker.seen.len() >= 10, "{:?}", checker.seen);
}

#[test]
fn every_message_fits_2024_11_05() {
    every_message_fits("2024-11-05");
}

#[test]
fn every_message_fits_2025_03_26() {
    every_message_fits("2025-03-26");
}

#[test]
fn every_message_fits_2025_06_18() {
    every_message_fits("2025-06-18");
}

#[test]
fn every_message_fits_2025_11_25() {
    every_message_fits("2025-11-25");
}
