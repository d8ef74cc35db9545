//! JSON-RPC 2.0 messages as MCP uses them: reading a line, and building the lines we write.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The line is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The line is JSON, but no request.
pub const INVALID_REQUEST: i64 = -32600;
/// The method is not known here.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The request is good, and cannot be served.
pub const INTERNAL_ERROR: i64 = -32603;
/// The parameters do not fit the method.
pub const INVALID_PARAMS: i64 = -32602;

/// A message as it came, borrowed from its line. Which fields are there tells what it is.
#[derive(Debug, Deserialize)]
pub struct Incoming<'a> {
    /// Must be `"2.0"`.
    #[serde(borrow)]
    pub jsonrpc: Option<Cow<'a, str>>,
    /// Of a request or an answer.
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<&'a RawValue>,
    /// Of a request or a notification.
    #[serde(borrow)]
    pub method: Option<Cow<'a, str>>,
    /// Of a request or a notification.
    #[serde(borrow, default, deserialize_with = "present")]
    pub params: Option<&'a RawValue>,
    /// Of a good answer.
    #[serde(borrow, default, deserialize_with = "present")]
    pub result: Option<&'a RawValue>,
    /// Of a bad answer.
    #[serde(borrow, default, deserialize_with = "present")]
    pub error: Option<&'a RawValue>,
}

/// A field that is there, be it `null`: what a plain `Option` would take for absent.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(field).map(Some)
}

/// The `error` of an answer.
#[derive(Debug, Clone, Deserialize)]
pub struct RpcError {
    /// The kind, as JSON-RPC or its sender defines it.
    #[serde(default)]
    pub code: i64,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A request's id, or a progress token: a string or an integer, kept as the JSON text in which it
/// came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RpcId(String);

impl RpcId {
    /// Reads an id; `None` where MCP allows no such id (null, fractions, other types).
    pub fn read(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        let is_string = text.starts_with('"');
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        (is_string || is_integer).then(|| RpcId(text.to_owned()))
    }
}

impl fmt::Display for RpcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON text of a value of ours. Such values have string keys only, so nothing can fail.
pub fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The answer to `id`, whose `result` is JSON text. No line end.
pub fn result(id: &RpcId, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// The refusal of `id`, or of something whose id is not known. No line end.
pub fn error(id: Option<&RpcId>, code: i64, message: &str) -> String {
    error_with(id, code, message, None)
}

/// The same, with what the error says to programs.
pub fn error_with(id: Option<&RpcId>, code: i64, message: &str, data: Option<&Value>) -> String {
    let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
    let message = json(message);
    let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":{message}{data}}}}}"#)
}

/// A notification, whose `params` are JSON text. No line end.
pub fn notification(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
}
