//! The answer, whole or as the chunks of a stream.

use super::super::error::{ApiError, Dialect};
use super::super::{Context, Encoder};
use crate::chat::{Call, Choice, Event, StopReason, Usage, json_with_room};
use serde::Serialize;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WholeChoice<'a>>,
    usage: UsageBody,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: usize,
    message: WholeMessage<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WholeMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
}

#[derive(Serialize)]
struct CallBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionBody<'a>,
}

#[derive(Serialize)]
struct FunctionBody<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// `usage`
#[derive(Serialize)]
#[allow(missing_docs)] // Each is the field of the API with its name.
pub struct UsageBody {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        UsageBody {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
            total_tokens: usage.prompt + usage.completion,
        }
    }
}

fn finish_reason(stop: Option<StopReason>) -> &'static str {
    match stop {
        Some(StopReason::MaxTokens) => "length",
        Some(StopReason::ToolUse) => "tool_calls",
        Some(StopReason::EndTurn | StopReason::StopSequence) | None => "stop",
    }
}

fn call_body(index: Option<usize>, call: &Call) -> CallBody<'_> {
    let Call { id, name, arguments } = call;
    CallBody { index, id, kind: "function", function: FunctionBody { name, arguments } }
}

fn whole(index: usize, choice: &Choice) -> WholeChoice<'_> {
    let calls = choice.calls.iter();
    let has_content = !choice.text.is_empty() || choice.calls.is_empty();
    WholeChoice {
        index,
        message: WholeMessage {
            role: "assistant",
            content: has_content.then_some(choice.text.as_str()),
            refusal: None,
            tool_calls: calls.map(|call| call_body(None, call)).collect(),
        },
        logprobs: None,
        finish_reason: finish_reason(choice.stop),
    }
}

/// Words the answer to one request.
#[derive(Debug)]
pub struct ChatEncoder {
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
    /// The beginning of every chunk, up to its choices; empty before the first.
    start: String,
    /// The tool calls so far, by choice.
    calls: Vec<usize>,
}

#[derive(Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallBody<'a>; 1]>,
}

const NO_DELTA: Delta = Delta { role: None, content: None, tool_calls: None };

impl ChatEncoder {
    /// For a request of `choices` answers.
    pub fn new(context: &Context, model: &str, choices: usize, include_usage: bool) -> Self {
        ChatEncoder {
            id: format!("chatcmpl-{}", context.id),
            created: context.created,
            model: model.to_owned(),
            include_usage,
            start: String::new(),
            calls: vec![0; choices],
        }
    }

    fn chunk(&self, choice: usize, delta: &Delta, finish: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.start.as_bytes());
        out.extend_from_slice(br#""choices":[{"index":"#);
        write_json(&choice, out);
        out.extend_from_slice(br#","delta":"#);
        write_json(delta, out);
        out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
        write_json(&finish, out);
        out.extend_from_slice(if self.include_usage {
            b"}],\"usage\":null}\n\n"
        } else {
            b"}]}\n\n"
        });
    }
}

impl Encoder for ChatEncoder {
    fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        let body = Completion {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: choices.iter().enumerate().map(|(at, choice)| whole(at, choice)).collect(),
            usage: usage.into(),
        };
        json_with_room(&body, Choice::text_bytes(choices))
    }

    fn open(&mut self, _: Usage, out: &mut Vec<u8>) {
        self.start = format!(
            r#"data: {{"id":{},"object":"chat.completion.chunk","created":{},"model":{},"#,
            json(&self.id),
            self.created,
            json(&self.model)
        );
        for choice in 0..self.calls.len() {
            let delta = Delta { role: Some("assistant"), content: Some(""), ..NO_DELTA };
            self.chunk(choice, &delta, None, out);
        }
    }

    fn event(&mut self, choice: usize, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Delta(text) => {
                self.chunk(choice, &Delta { content: Some(text), ..NO_DELTA }, None, out);
            }
            Event::ToolCall(call) => {
                let index = self.calls.get_mut(choice).map(|count| {
                    *count += 1;
                    *count - 1
                });
                let tool_calls = Some([call_body(index, call)]);
                self.chunk(choice, &Delta { tool_calls, ..NO_DELTA }, None, out);
            }
            Event::Done { stop, .. } => {
                self.chunk(choice, &NO_DELTA, Some(finish_reason(Some(*stop))), out);
            }
            Event::Failed(_) => {}
        }
    }

    fn close(&mut self, _: &[Choice], usage: Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            out.extend_from_slice(self.start.as_bytes());
            out.extend_from_slice(br#""choices":[],"usage":"#);
            write_json(&UsageBody::from(usage), out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn error(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&error.to_json(Dialect::OpenAi, &self.id));
        out.extend_from_slice(b"\n\n");
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Appends the JSON text of a value of ours; none of them can fail, nor can writing to a Vec.
fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}
