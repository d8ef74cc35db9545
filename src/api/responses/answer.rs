//! The response object: what it repeats of the request, and what the model said.

use super::super::error::ApiError;
use crate::chat::{Call, Choice, StopReason, Tool, Usage, json_with_room};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a response repeats of its request, with the API's own defaults for what was left out.
#[derive(Serialize)]
#[allow(missing_docs)] // Each is the field of the API with its name.
pub struct Echo<'a> {
    pub background: bool,
    pub instructions: Option<Cow<'a, str>>,
    pub max_output_tokens: Option<u64>,
    pub metadata: Map<String, Value>,
    pub model: Cow<'a, str>,
    pub parallel_tool_calls: bool,
    pub previous_response_id: Option<Cow<'a, str>>,
    pub prompt_cache_key: Option<Cow<'a, str>>,
    pub reasoning: Map<String, Value>,
    pub safety_identifier: Option<Cow<'a, str>>,
    pub service_tier: &'static str,
    pub store: bool,
    pub temperature: f64,
    pub text: TextEcho<'a>,
    pub tool_choice: Value,
    pub tools: Vec<EchoTool<'a>>,
    pub top_logprobs: u64,
    pub top_p: f64,
    pub truncation: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Cow<'a, str>>,
}

/// A function as it was offered.
#[derive(Serialize)]
#[allow(missing_docs)] // Each is the field of the API with its name.
pub struct EchoTool<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: Cow<'a, str>,
    pub description: Option<Cow<'a, str>>,
    /// On one line.
    pub parameters: Option<Box<RawValue>>,
    pub strict: Option<bool>,
}

impl<'a> EchoTool<'a> {
    /// The tool as the model is told of it.
    pub fn to_tool(&self) -> Tool<'a> {
        let schema = match &self.parameters {
            Some(schema) => schema.get().to_owned().into(),
            None => Cow::Borrowed("{\"type\":\"object\"}"),
        };
        Tool { name: self.name.clone(), description: self.description.clone(), schema }
    }
}

/// `text`
#[derive(Serialize)]
#[allow(missing_docs)] // Each is the field of the API with its name.
pub struct TextEcho<'a> {
    pub format: FormatEcho<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<Cow<'a, str>>,
}

/// `text.format`
#[derive(Serialize, Default)]
#[allow(missing_docs)] // Each is the field of the API with its name.
pub struct FormatEcho<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// The response object, less its output and what it repeats of the request.
#[derive(Serialize)]
pub struct Response<'s> {
    id: &'s str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    error: Option<Fault<'s>>,
    incomplete_details: Option<Incomplete>,
    usage: Option<UsageBody>,
}

#[derive(Serialize)]
struct Fault<'s> {
    code: &'s str,
    message: &'s str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct UsageBody {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        UsageBody {
            input_tokens: usage.prompt,
            input_tokens_details: InputDetails { cached_tokens: 0, cache_write_tokens: 0 },
            output_tokens: usage.completion,
            output_tokens_details: OutputDetails { reasoning_tokens: 0 },
            total_tokens: usage.prompt + usage.completion,
        }
    }
}

/// How far a response has come.
#[derive(Clone, Copy)]
pub enum State<'s> {
    /// It is being made.
    InProgress,
    /// The model has come to its end.
    Ended(Option<StopReason>, Usage),
    /// There will be no (further) answer.
    Failed(&'s ApiError),
}

impl<'s> Response<'s> {
    /// The response `id`, asked for at the Unix time `created_at`.
    pub fn new(id: &'s str, created_at: u64, state: State<'s>) -> Self {
        let is_cut = matches!(state, State::Ended(Some(StopReason::MaxTokens), _));
        Response {
            id,
            object: "response",
            created_at,
            status: match state {
                State::InProgress => "in_progress",
                State::Ended(..) if is_cut => "incomplete",
                State::Ended(..) => "completed",
                State::Failed(_) => "failed",
            },
            error: match state {
                State::Failed(error) => Some(Fault { code: error.code, message: &error.message }),
                _ => None,
            },
            incomplete_details: is_cut.then_some(Incomplete { reason: "max_output_tokens" }),
            usage: match state {
                State::Ended(_, usage) => Some(usage.into()),
                _ => None,
            },
        }
    }
}

/// `status` of an item that is being made.
pub const IN_PROGRESS: &str = "in_progress";
/// `status` of an item that is whole.
pub const COMPLETED: &str = "completed";
/// `status` of an item that was cut short.
pub const INCOMPLETE: &str = "incomplete";

/// What of a part of a message stands before its quoted text, and after it.
pub const PART: &str = r#"{"type":"output_text","annotations":[],"logprobs":[],"text":"#;
/// See [`PART`].
pub const PART_END: &str = "}";

/// The message at place `at` of the output of the request `id`, as JSON text; `quoted` is its text, if
/// it has one.
pub fn message(id: &str, at: usize, status: &str, quoted: Option<&str>) -> String {
    let content = quoted.map(|text| [PART, text, PART_END].concat()).unwrap_or_default();
    [
        r#"{"type":"message","id":""#,
        &message_id(id, at),
        r#"","status":""#,
        status,
        r#"","role":"assistant","content":["#,
        &content,
        "]}",
    ]
    .concat()
}

/// The id of that message.
pub fn message_id(id: &str, at: usize) -> String {
    ["msg_", id, "_", &at.to_string()].concat()
}

#[derive(Serialize)]
struct FunctionCall<'s> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'s str,
    status: &'s str,
    call_id: &'s str,
    name: &'s str,
    arguments: &'s str,
}

/// The call at place `at` of the output of the request `id`, with `arguments` so far, as JSON text.
pub fn call(id: &str, at: usize, status: &str, call: &Call, arguments: &str) -> String {
    let (id, kind) = (&call_id(id, at), "function_call");
    let (call_id, name) = (&call.id, &call.name);
    json(&FunctionCall { kind, id, status, call_id, name, arguments }, arguments.len())
}

/// The id of that call's item; the call itself has its own.
pub fn call_id(id: &str, at: usize) -> String {
    ["fc_", id, "_", &at.to_string()].concat()
}

/// The output of a whole answer as JSON text: its text, then its calls. An answer of nothing is an
/// empty text.
pub fn output(id: &str, choice: &Choice) -> String {
    let mut items = Vec::with_capacity(1 + choice.calls.len());
    if !choice.text.is_empty() || choice.calls.is_empty() {
        let is_cut = choice.stop == Some(StopReason::MaxTokens) && choice.calls.is_empty();
        let status = if is_cut { INCOMPLETE } else { COMPLETED };
        items.push(message(id, 0, status, Some(&json(&choice.text, choice.text.len()))));
    }
    for made in &choice.calls {
        items.push(call(id, items.len(), COMPLETED, made, &made.arguments));
    }
    list(items.iter().map(String::as_str))
}

/// A list of JSON texts as JSON text.
pub fn list<'s>(items: impl Iterator<Item = &'s str>) -> String {
    ["[", &items.collect::<Vec<_>>().join(","), "]"].concat()
}

/// The JSON text of a value of ours that holds about `bytes` of text; none of them can fail.
pub fn json(value: &impl Serialize, bytes: usize) -> String {
    String::from_utf8(json_with_room(value, bytes)).unwrap_or_default()
}
