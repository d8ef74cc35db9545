//! The test as a host of the modern era: every request says who asks and what it can do.

use super::{Bridge, schema};
use serde_json::{Value, json};
use std::ops::{Deref, DerefMut};

pub const MODERN: &str = "2026-07-28";
pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const INFO: &str = "io.modelcontextprotocol/clientInfo";
pub const SERVER: &str = "io.modelcontextprotocol/serverInfo";
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The `_meta` of a modern request.
pub fn meta(name: &str, capabilities: Value) -> Value {
    json!({VERSION: MODERN, CAPABILITIES: capabilities, INFO: {"name": name, "version": "1"}})
}

/// These params, as a modern client with these capabilities sends them.
pub fn with_meta(mut params: Value, capabilities: Value) -> Value {
    let given = params["_meta"].take();
    params["_meta"] = meta("test-host", capabilities);
    for (key, value) in given.as_object().into_iter().flatten() {
        params["_meta"][key] = value.clone();
    }
    params
}

/// What a host's model said.
pub fn sample(text: &str) -> Value {
    json!({"role": "assistant", "content": {"type": "text", "text": text}, "model": "test-model",
        "stopReason": "endTurn"})
}

/// One leg of a hook, as it ended.
#[derive(Debug, Clone)]
pub struct Leg(pub Value);

impl Leg {
    /// The requests, by their keys.
    pub fn requests(&self) -> Vec<(String, Value)> {
        assert_eq!(self.0["resultType"], "input_required", "{}", self.0);
        let requests = self.0["inputRequests"].as_object().cloned().unwrap_or_default();
        requests.into_iter().collect()
    }

    pub fn state(&self) -> &str {
        self.0["requestState"].as_str().unwrap_or_else(|| panic!("no state: {}", self.0))
    }

    /// The call that goes on after this leg, answering these requests.
    pub fn next(&self, responses: Value) -> Value {
        let mut params = json!({"requestState": self.state()});
        if responses.as_object().is_some_and(|responses| !responses.is_empty()) {
            params["inputResponses"] = responses;
        }
        params
    }

    /// The call that answers every request with `echo: ` and what it said last.
    pub fn echoed(&self) -> Value {
        let answer = |(key, request)| (key, sample(&format!("echo: {}", last_text(&request))));
        self.next(self.requests().into_iter().map(answer).collect::<serde_json::Map<_, _>>().into())
    }

    /// The key of the request that said this last.
    pub fn key(&self, text: &str) -> String {
        let found = self.requests().into_iter().find(|(_, request)| last_text(request) == text);
        found.unwrap_or_else(|| panic!("{text:?} is not in {}", self.0)).0
    }

    /// What the requests said last, sorted.
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.requests().iter().map(|(_, r)| last_text(r)).collect();
        texts.sort();
        texts
    }
}

fn last_text(request: &Value) -> String {
    let messages = request["params"]["messages"].as_array().unwrap();
    messages.last().unwrap()["content"]["text"].as_str().unwrap_or_default().to_owned()
}

/// A host of the modern era. When it goes, all that was said is held against the schema.
pub struct Host {
    bridge: Bridge,
    pub capabilities: Value,
}

impl Host {
    /// With a model to sample.
    pub fn sampling(env: &[(&str, &str)]) -> Host {
        Host::new(env, json!({"sampling": {}}))
    }

    pub fn new(env: &[(&str, &str)], capabilities: Value) -> Host {
        let bridge = Bridge::spawn(env);
        bridge.said.keep();
        Host { bridge, capabilities }
    }

    /// Sends a request; the whole answer.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let params = with_meta(params, self.capabilities.clone());
        self.bridge.request(method, params)
    }

    /// Calls a tool; its result.
    pub fn tool(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        answer["result"].clone()
    }

    /// Asks `runtime_status` until what it tells fits.
    pub fn status_until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + super::PATIENCE;
        loop {
            let told = self.tool("runtime_status", json!({}))["structuredContent"].clone();
            if fits(&told) {
                return told;
            }
            assert!(std::time::Instant::now() < deadline, "it goes on telling {told}");
        }
    }

    /// Waits until so many requests can be fetched.
    pub fn until_on_offer(&mut self, count: u64) {
        self.status_until(|told| told["openai_api"]["on_offer"] == count);
    }

    /// Waits until so many requests are in the bridge.
    pub fn until_waiting(&mut self, count: u64) {
        self.status_until(|told| told["openai_api"]["in_flight"] == count);
    }

    pub fn addr(&mut self) -> std::net::SocketAddr {
        let status = self.tool("http_server_status", json!({}))["structuredContent"].clone();
        let url = status["listen_url"].as_str().unwrap_or_else(|| panic!("no address: {status}"));
        url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Begins a leg of `hook`; its id.
    pub fn begin_hook(&mut self, mut params: Value) -> u64 {
        params["name"] = "hook".into();
        params["arguments"] = json!({});
        let params = with_meta(params, self.capabilities.clone());
        self.bridge.begin("tools/call", params)
    }

    /// The answer to a request that was begun.
    pub fn answer_to(&mut self, id: u64) -> Value {
        self.bridge.recv_where(|message| message["id"] == id)
    }

    /// The answer to a request that was sent under this name.
    pub fn answer_to_str(&mut self, id: &str) -> Value {
        self.bridge.recv_where(|message| message["id"] == id)
    }

    /// Waits for the end of a leg.
    pub fn end_hook(&mut self, id: u64) -> Leg {
        Leg(self.answer_to(id)["result"].clone())
    }

    /// One leg of `hook`.
    pub fn hook(&mut self, params: Value) -> Leg {
        let id = self.begin_hook(params);
        self.end_hook(id)
    }

    pub fn cancel(&self, id: u64) {
        let params = json!({"requestId": id, "reason": "enough"});
        let method = "notifications/cancelled";
        self.bridge.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// The same; once this returns, the bridge has read it. Passes over what it sends meanwhile.
    pub fn cancel_now(&mut self, id: u64) {
        self.cancel(id);
        self.tool("http_server_status", json!({}));
    }
}

impl Deref for Host {
    type Target = Bridge;
    fn deref(&self) -> &Bridge {
        &self.bridge
    }
}

impl DerefMut for Host {
    fn deref_mut(&mut self) -> &mut Bridge {
        &mut self.bridge
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let Some(mut checker) = schema::Checker::new(MODERN)
        {
            checker.all(&self.bridge.said);
        }
    }
}
