//! The modern era, 2026-07-28: no handshake, each request says who asks and what it can do, and
//! nothing but answers and notifications is ever written to the host (FACTS §1).

use super::outbox::Outbox;
use super::rpc::{self, RpcId};
use super::session::{MODERN, declared};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A capability that the request needs was not declared.
pub const MISSING_CAPABILITY: i64 = -32021;
/// The protocol version is none of ours.
pub const UNSUPPORTED_VERSION: i64 = -32022;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// How long hosts may keep the list of tools, which does not change while the process lives.
const LIST_TTL_MS: u64 = 60_000;
/// How many subscriptions may be open.
const MOST: usize = 16;

/// Why a request is refused, as JSON-RPC says it.
#[derive(Debug)]
pub struct Refusal {
    /// The kind.
    pub code: i64,
    /// For people.
    pub message: String,
    /// For programs.
    pub data: Option<Value>,
}

impl Refusal {
    /// A refusal that needs no more than words.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), data: None }
    }

    /// The answer to `id` as a line.
    pub fn to_line(&self, id: &RpcId) -> String {
        rpc::error_with(Some(id), self.code, &self.message, self.data.as_ref())
    }
}

/// What the `_meta` of a modern request tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `clientInfo.name`; empty where it was left out.
    pub name: String,
    /// `clientInfo.version`.
    pub version: String,
    /// The names of the capabilities that it declares.
    pub capabilities: Vec<String>,
    /// Whether the client samples.
    pub sampling: bool,
    /// Whether its sampling takes tools.
    pub sampling_tools: bool,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

/// Whether the params of a request are those of a modern one: they name a protocol version.
pub fn is_modern(params: Option<&str>) -> bool {
    raw_meta(params).is_some_and(|meta| meta.contains_key(VERSION))
}

fn raw_meta(params: Option<&str>) -> Option<Map<String, Value>> {
    let params: Params = serde_json::from_str(params?).ok()?;
    serde_json::from_str(params.meta?.get()).ok()
}

/// Reads the `_meta` of a modern request.
///
/// # Errors
/// It is incomplete (-32602), or of a version that is not ours ([`UNSUPPORTED_VERSION`]).
pub fn read(params: Option<&str>) -> Result<Meta, Refusal> {
    let meta = raw_meta(params).unwrap_or_default();
    let invalid = |said: String| Refusal::new(rpc::INVALID_PARAMS, said);
    let version = meta.get(VERSION).and_then(Value::as_str);
    let Some(version) = version else {
        return Err(invalid(format!("params._meta needs \"{VERSION}\", a string")));
    };
    if version != MODERN {
        let data = json!({"supported": [MODERN], "requested": version});
        let message = format!("the protocol version {version:?} is not supported here");
        return Err(Refusal { code: UNSUPPORTED_VERSION, message, data: Some(data) });
    }
    let Some(Value::Object(capabilities)) = meta.get(CAPABILITIES) else {
        return Err(invalid(format!("params._meta needs \"{CAPABILITIES}\", an object")));
    };
    let sampling = capabilities.get("sampling").and_then(Value::as_object);
    let info = |field: &str| {
        let text = meta.get(CLIENT_INFO).and_then(|info| info.get(field)).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    Ok(Meta {
        name: info("name"),
        version: info("version"),
        capabilities: declared(capabilities),
        sampling: sampling.is_some(),
        sampling_tools: sampling.and_then(|s| s.get("tools")).is_some_and(Value::is_object),
    })
}

/// The refusal of a call that needs the client to sample.
pub fn needs_sampling() -> Refusal {
    Refusal {
        code: MISSING_CAPABILITY,
        message: "this tool serves clients with the host's model and needs the capability sampling"
            .into(),
        data: Some(json!({"requiredCapabilities": {"sampling": {}}})),
    }
}

/// Who we are, in both eras.
pub fn implementation() -> Value {
    json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")})
}

/// The refusal of a handshake where there is none. Clients of the legacy era may show it to people,
/// so it names what would be served.
pub fn no_handshake() -> Refusal {
    Refusal {
        code: rpc::METHOD_NOT_FOUND,
        message: format!(
            "there is no initialize here: only the protocol version {MODERN} is served"
        ),
        data: Some(json!({"supported": [MODERN]})),
    }
}

/// Who answers, which every modern result says.
pub fn server_info() -> Value {
    json!({SERVER_INFO: implementation()})
}

/// The result of `server/discover`.
pub fn discovered(capabilities: &Value, instructions: &str) -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": [MODERN],
        "capabilities": capabilities,
        "instructions": instructions,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": server_info(),
    })
}

/// The result of `tools/list`.
pub fn listed(tools: &[Value]) -> Value {
    json!({
        "resultType": "complete",
        "tools": tools,
        "ttlMs": LIST_TTL_MS,
        "cacheScope": "private",
        "_meta": server_info(),
    })
}

/// The open `subscriptions/listen` requests. Nothing that is offered ever changes, so none of them
/// gets a notification; each is ended with the process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions(Arc<Mutex<Vec<RpcId>>>);

impl Subscriptions {
    fn open(&self) -> MutexGuard<'_, Vec<RpcId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens one, and acknowledges it with the empty set of what it will be told.
    ///
    /// # Errors
    /// The params name nothing to listen to, or too many are open.
    pub fn listen(&self, id: &RpcId, params: Option<&str>, outbox: &Outbox) -> Result<(), Refusal> {
        let params: Map<String, Value> =
            params.and_then(|params| serde_json::from_str(params).ok()).unwrap_or_default();
        if !params.get("notifications").is_some_and(Value::is_object) {
            let said = "subscriptions/listen needs notifications, an object";
            return Err(Refusal::new(rpc::INVALID_PARAMS, said));
        }
        let mut open = self.open();
        if open.len() >= MOST || open.contains(id) {
            let said = format!("{MOST} subscriptions may be open, each under an id of its own");
            return Err(Refusal::new(rpc::INVALID_REQUEST, said));
        }
        open.push(id.clone());
        drop(open);
        let params = format!(r#"{{"_meta":{{"{SUBSCRIPTION}":{id}}},"notifications":{{}}}}"#);
        outbox.post(rpc::notification("notifications/subscriptions/acknowledged", &params));
        Ok(())
    }

    /// Ends the one that the host has cancelled.
    pub fn cancelled(&self, id: &RpcId) {
        self.open().retain(|open| open != id);
    }

    /// Ends all of them, for the process is going.
    pub fn end(&self, outbox: &Outbox) {
        for id in std::mem::take(&mut *self.open()) {
            let (key, info) = (rpc::json(SERVER_INFO), implementation());
            let result = format!(
                r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION}":{id},{key}:{info}}}}}"#
            );
            outbox.post(rpc::result(&id, &result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_modern_request_must_tell() {
        let meta = |meta: Value| read(Some(&json!({"_meta": meta}).to_string()));
        let code = |found: Value| meta(found).map_err(|refusal| refusal.code).unwrap_err();
        assert_eq!(code(json!({})), rpc::INVALID_PARAMS);
        assert_eq!(code(json!({VERSION: 1, CAPABILITIES: {}})), rpc::INVALID_PARAMS);
        assert_eq!(code(json!({VERSION: MODERN})), rpc::INVALID_PARAMS);
        assert_eq!(code(json!({VERSION: "2025-11-25", CAPABILITIES: {}})), UNSUPPORTED_VERSION);
        let bare = meta(json!({VERSION: MODERN, CAPABILITIES: {}})).unwrap();
        assert_eq!(bare, Meta::default());
        let full = json!({VERSION: MODERN, CAPABILITIES: {"sampling": {"tools": {}}},
            CLIENT_INFO: {"name": "n", "version": "1"}});
        let full = meta(full).unwrap();
        assert!(full.sampling && full.sampling_tools && full.name == "n" && full.version == "1");
        assert!(read(None).is_err() && !is_modern(None) && !is_modern(Some("{\"_meta\":{}}")));
        assert!(is_modern(Some(&json!({"_meta": {VERSION: "1"}}).to_string())));
    }
}
