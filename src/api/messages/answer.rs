//! The answer, whole or as the events of a stream.

use super::super::error::{ApiError, Dialect};
use super::super::{Context, Encoder};
use crate::chat::{Ask, Call, Choice, Event, StopReason, Usage, json_with_room};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    usage: UsageBody,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Input<'a> },
}

/// The arguments of a tool call.
#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Given(&'a RawValue),
    /// Where a stream's deltas bring them, and where the host's are no JSON.
    Empty(Map<String, Value>),
}

/// The cache's counts are there because clients add them up without asking.
#[derive(Serialize)]
struct UsageBody {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        UsageBody {
            input_tokens: usage.prompt,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 0,
            output_tokens: usage.completion,
        }
    }
}

#[derive(Serialize)]
struct Started<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct MessageDelta<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    delta: Stopped<'a>,
    usage: UsageBody,
}

#[derive(Serialize)]
struct Stopped<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

#[derive(Serialize)]
struct BlockStop {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
}

#[derive(Serialize)]
struct BlockStart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
    content_block: Block<'a>,
}

#[derive(Serialize)]
struct BlockDelta<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
    delta: Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta<'a> {
    TextDelta { text: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

/// Words the answer to one request.
pub struct MessageEncoder {
    request: String,
    id: String,
    model: String,
    /// The stop sequence, where the request had just one: hosts don't tell which of several it was.
    stop: Option<String>,
    /// The block that is open or comes next.
    index: usize,
    /// Whether a text block is open. One of a tool call opens and closes in one event.
    in_text: bool,
}

impl MessageEncoder {
    /// For the request `ask`.
    pub fn new(context: &Context, ask: &Ask) -> Self {
        let stop = match ask.stop.as_slice() {
            [only] => Some(only.to_string()),
            _ => None,
        };
        MessageEncoder {
            request: context.id.clone(),
            id: format!("msg_{}", context.id),
            model: ask.model.to_string(),
            stop,
            index: 0,
            in_text: false,
        }
    }

    fn message<'a>(&'a self, content: Vec<Block<'a>>, usage: Usage) -> Message<'a> {
        Message {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.model,
            content,
            stop_reason: None,
            stop_sequence: None,
            usage: usage.into(),
        }
    }

    /// `stop_reason` and `stop_sequence`.
    fn stopped(&self, choice: Option<&Choice>) -> (&'static str, Option<&str>) {
        match choice.and_then(|choice| choice.stop) {
            Some(StopReason::MaxTokens) => ("max_tokens", None),
            Some(StopReason::ToolUse) => ("tool_use", None),
            Some(StopReason::StopSequence) => ("stop_sequence", self.stop.as_deref()),
            Some(StopReason::EndTurn) | None => ("end_turn", None),
        }
    }

    fn start(&self, content_block: Block, out: &mut Vec<u8>) {
        let kind = "content_block_start";
        push(kind, &BlockStart { kind, index: self.index, content_block }, out);
    }

    fn delta(&self, delta: Delta, out: &mut Vec<u8>) {
        let kind = "content_block_delta";
        push(kind, &BlockDelta { kind, index: self.index, delta }, out);
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        let kind = "content_block_stop";
        push(kind, &BlockStop { kind, index: self.index }, out);
        self.index += 1;
    }

    fn end_text(&mut self, out: &mut Vec<u8>) {
        if self.in_text {
            self.in_text = false;
            self.stop(out);
        }
    }
}

impl Encoder for MessageEncoder {
    fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        let choice = choices.first();
        let text = choice.map_or("", |choice| choice.text.as_str());
        let text = (!text.is_empty()).then_some(Block::Text { text });
        let calls = choice.map_or(&[][..], |choice| choice.calls.as_slice());
        let content = text.into_iter().chain(calls.iter().map(whole_call)).collect();
        let (reason, stop_sequence) = self.stopped(choice);
        let stop_reason = Some(reason);
        let message = Message { stop_reason, stop_sequence, ..self.message(content, usage) };
        json_with_room(&message, Choice::text_bytes(choices))
    }

    fn open(&mut self, usage: Usage, out: &mut Vec<u8>) {
        let kind = "message_start";
        let message = self.message(Vec::new(), Usage { completion: 0, ..usage });
        push(kind, &Started { kind, message }, out);
    }

    fn event(&mut self, _: usize, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Delta(text) if text.is_empty() => {}
            Event::Delta(text) => {
                if !self.in_text {
                    self.in_text = true;
                    self.start(Block::Text { text: "" }, out);
                }
                self.delta(Delta::TextDelta { text }, out);
            }
            Event::ToolCall(Call { id, name, arguments }) => {
                self.end_text(out);
                self.start(Block::ToolUse { id, name, input: Input::Empty(Map::new()) }, out);
                self.delta(Delta::InputJsonDelta { partial_json: arguments }, out);
                self.stop(out);
            }
            Event::Done { .. } => self.end_text(out),
            Event::Failed(_) => {}
        }
    }

    fn close(&mut self, choices: &[Choice], usage: Usage, out: &mut Vec<u8>) {
        let (stop_reason, stop_sequence) = self.stopped(choices.first());
        let delta = Stopped { stop_reason, stop_sequence };
        // All counts once more, as the API does it: LangChain reads none but the last.
        let usage = UsageBody::from(usage);
        let kind = "message_delta";
        push(kind, &MessageDelta { kind, delta, usage }, out);
        out.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    fn error(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        out.extend_from_slice(&error.to_json(Dialect::Anthropic, &self.request));
        out.extend_from_slice(b"\n\n");
    }

    fn keep_alive(&self) -> &'static [u8] {
        b"event: ping\ndata: {\"type\":\"ping\"}\n\n"
    }
}

fn whole_call(Call { id, name, arguments }: &Call) -> Block<'_> {
    let input = serde_json::from_str(arguments).map_or(Input::Empty(Map::new()), Input::Given);
    Block::ToolUse { id, name, input }
}

/// Appends an event; no value of ours fails to be written, nor does writing to a Vec.
fn push(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let _ = serde_json::to_writer(&mut *out, data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
