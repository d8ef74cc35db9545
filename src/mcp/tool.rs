//! Tools: what one is, what a call of it tells, what it comes to, and the side that offers them.

use super::arguments::{Argument, Arguments};
use super::modern::{self, Meta};
use super::rpc::{self, RpcError, RpcId};
use super::session::{Client, Era};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

/// A tool that the host can call.
#[derive(Debug)]
pub struct Tool {
    /// Its name, and the name of the tool in an ancestor of this project.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// For the model; hosts cut it at 2 KB.
    pub description: &'static str,
    /// What it takes.
    pub arguments: &'static [Argument],
    /// Whether it changes nothing (`readOnlyHint`).
    pub read_only: bool,
    /// Whether a second call with the same arguments changes nothing more (`idempotentHint`).
    pub idempotent: bool,
    /// Whether a call may stay open, so that it cannot be part of a batch.
    pub stays_open: bool,
    /// Whether a host that loads tools on demand should have it at hand from the start.
    pub always_load: bool,
    /// Whether its results may be long, so that a host that cuts results should not cut these.
    pub long_results: bool,
}

/// What a call of a tool came to.
#[derive(Debug)]
pub struct Outcome {
    /// A JSON object; the host's model sees it as text too.
    pub structured: Value,
    /// Content blocks behind the text, such as images.
    pub more: Vec<Value>,
    /// Whether the call failed.
    pub is_error: bool,
}

impl Outcome {
    /// A good result.
    pub fn ok(structured: Value) -> Self {
        Outcome { structured, more: Vec::new(), is_error: false }
    }

    /// A failed call, with what to do about it.
    pub fn error(message: impl Into<String>) -> Self {
        let structured = json!({"ok": false, "message": message.into()});
        Outcome { structured, more: Vec::new(), is_error: true }
    }

    /// The `result` of the call as JSON text, for a host of the modern era or another. With more
    /// blocks than the text there is no structured content: hosts that read it read nothing else.
    pub fn to_json(&self, modern: bool) -> String {
        let text = json!({"type": "text", "text": rpc::json(&self.structured)});
        let content: Vec<&Value> = std::iter::once(&text).chain(&self.more).collect();
        let mut result = json!({"content": content, "isError": self.is_error});
        if self.more.is_empty() {
            result["structuredContent"] = self.structured.clone();
        }
        if modern {
            result["resultType"] = "complete".into();
            result["_meta"] = modern::server_info();
        }
        rpc::json(&result)
    }
}

/// A call of a tool, its arguments checked.
pub struct Call<'a> {
    /// The request's id, by which it is answered and may be cancelled.
    pub id: &'a RpcId,
    /// The tool's name.
    pub name: &'a str,
    /// The arguments.
    pub arguments: Arguments,
    /// `_meta.progressToken`, where the host wants to hear of progress.
    pub progress_token: Option<RpcId>,
    /// What a modern call tells besides.
    pub modern: Option<Round<'a>>,
}

/// What a call of the modern era tells of its client and of the round before.
#[derive(Debug, Clone)]
pub struct Round<'a> {
    /// Who calls.
    pub meta: Meta,
    /// `inputResponses`: answers to what the round before asked for, by the same keys.
    pub responses: Option<&'a RawValue>,
    /// `requestState`, as it came back through the client.
    pub state: Option<Cow<'a, str>>,
}

/// What a call comes to at once.
#[derive(Debug)]
pub enum Answer {
    /// It is over.
    Done(Outcome),
    /// It stays open, and is answered through the outbox, or cancelled.
    Open,
    /// It is no call that can be made.
    Refused(modern::Refusal),
}

/// What this side of the pipe offers.
pub trait Peer: Send + Sync {
    /// The capabilities, and the instructions (under 2 KB), for this client.
    fn welcome(&self, client: &Client) -> (Value, String);
    /// A session begins: what was learnt of the one before is of no use.
    fn begins(&self);
    /// The session knows its host: hands are shaken, or a first modern request has come.
    fn met(&self);
    /// A host spoke an era that the settings do not have.
    fn turned_away(&self, client: &Client, spoke: Era);
    /// The session is ready: requests may be sent to the host.
    fn is_ready(&self);
    /// Whether a host that probes for the modern era is served better in the legacy one.
    fn prefers_legacy(&self, meta: &Meta) -> bool;
    /// The tools.
    fn tools(&self) -> &[Tool];
    /// Whether a tool is worth listing. One that is not may be called all the same, and says why it
    /// is of no use.
    fn lists(&self, tool: &Tool) -> bool;
    /// Runs a tool.
    fn call(&self, call: Call) -> Answer;
    /// The host has cancelled its request `id`, which must not be answered any more.
    fn cancelled(&self, id: &RpcId);
    /// The host has answered our request `id`.
    fn answered(&self, id: &str, answer: Result<&RawValue, RpcError>);
}
