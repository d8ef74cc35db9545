//! Plays a host whose model follows the loop of `next_request`, and clients with keys of their own.

use super::http::{Answer, Client};
use super::{Aside, Bridge, aside, chat};
use serde_json::{Value, json};
use std::net::SocketAddr;

pub const PATH: &str = "/v1/chat/completions";

impl Bridge {
    /// Starts the binary and shakes hands as a host that has nothing but tools.
    pub fn tools_only(env: &[(&str, &str)]) -> Bridge {
        let mut bridge = Bridge::spawn(env);
        bridge.initialize("plain-host", json!({}));
        bridge
    }

    /// Calls a tool without waiting; once this returns, the call is open, or answered.
    pub fn begin_call(&mut self, tool: &str, arguments: Value) -> u64 {
        let id = self.begin("tools/call", json!({"name": tool, "arguments": arguments}));
        self.request("ping", json!({}));
        id
    }

    /// Calls `next_request` without waiting; once this returns, the call is open, or answered.
    pub fn begin_next(&mut self, arguments: Value) -> u64 {
        self.begin_call("next_request", arguments)
    }

    /// The result of a call that was begun.
    pub fn result_of(&mut self, id: u64) -> Value {
        let answer = self.recv_where(|m| m["id"] == id && m.get("method").is_none());
        answer["result"].clone()
    }

    /// What a call of `next_request` that was begun came to, as its model reads it.
    pub fn end_next(&mut self, id: u64) -> Value {
        let result = self.result_of(id);
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"));
        serde_json::from_str(text).unwrap()
    }

    /// Calls `next_request`; what its model reads.
    pub fn next_request(&mut self, arguments: Value) -> Value {
        let id = self.begin("tools/call", json!({"name": "next_request", "arguments": arguments}));
        self.end_next(id)
    }

    /// The next request, which must come.
    pub fn pulled(&mut self, arguments: Value) -> Value {
        let told = self.next_request(arguments);
        assert_eq!(told["pending"], true, "{told}");
        told
    }

    /// Answers `request` and waits for nothing.
    pub fn answer_pulled(&mut self, request: &Value, text: &str) {
        let told = self.next_request(json!({"reply": reply(request, text), "wait_seconds": 0}));
        assert_eq!(told["replied"][0]["ok"], true, "{told}");
    }

    /// The host cancels a call.
    pub fn cancel(&mut self, id: u64) {
        let params = json!({"requestId": id, "reason": "enough"});
        let method = "notifications/cancelled";
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
        // Once this is answered, the notification was read.
        self.request("ping", json!({}));
    }

    /// Waits until a count of `runtime_status` under `openai_api` is this.
    pub fn until_count(&mut self, name: &str, count: u64) {
        self.call_until("runtime_status", |told| told["openai_api"][name] == count);
    }
}

/// An answer to a request that was handed out.
pub fn reply(request: &Value, text: &str) -> Value {
    json!({"request_id": request["request_id"], "content": text})
}

/// The text of the one message of a request that was handed out.
pub fn said(request: &Value) -> &str {
    request["prompt"].as_str().unwrap().strip_prefix("USER: ").unwrap()
}

/// A client that asks on a thread of its own.
pub fn ask(addr: SocketAddr, text: &str) -> Aside<Answer> {
    ask_as(addr, "", text)
}

/// The same with a key, unless it is empty.
pub fn ask_as(addr: SocketAddr, key: &str, text: &str) -> Aside<Answer> {
    let authorization = match key {
        "" => String::new(),
        key => format!("Authorization: Bearer {key}\r\n"),
    };
    let body = chat(text);
    aside(move || {
        let mut client = Client::connect(addr);
        client.post(PATH, &format!("Connection: close\r\n{authorization}"), &body);
        client.answer()
    })
}

/// The message of an answer that is an error of this status.
pub fn error_of(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()["error"]["message"].as_str().unwrap().to_owned()
}
