//! The answer, whole or as the events of a stream, and what is kept of it.

use super::super::error::ApiError;
use super::super::{Context, Encoder, Kept};
use super::answer::{
    COMPLETED, Echo, IN_PROGRESS, INCOMPLETE, Item, Part, Response, State, call, call_id, message,
    message_id, output, part,
};
use crate::chat::{Call, Choice, Event, StopReason, Usage, json_with_room};
use serde::Serialize;
use std::cell::{Cell, OnceCell};
use std::io::Write;
use std::sync::Arc;

/// Words the answer to one request.
pub struct ResponsesEncoder<'a> {
    /// The request's id, from which the ids of the items are made.
    id: String,
    /// The response's.
    response_id: String,
    created: u64,
    echo: Echo<'a>,
    /// That as JSON text, once it was needed.
    echoed: OnceCell<String>,
    /// `input` as it came.
    input: &'a str,
    /// How many items went in, those of the previous response among them.
    inputs: usize,
    previous: Option<Arc<Kept>>,
    kept: Option<Kept>,
    /// The number of a stream's next event.
    sequence: Cell<u64>,
    /// The output of a stream so far.
    said: Vec<Said>,
    /// Whether the last of it is a text that may still grow.
    is_open: bool,
    stop: Option<StopReason>,
}

/// An item of a stream's output.
enum Said {
    Text(String),
    Call(Call),
}

/// An event: its type, its number, and of the other fields those that the type has.
#[derive(Serialize, Default)]
struct Fields<'s> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

/// An event of the item at `output_index`.
fn of_item(kind: &'static str, output_index: usize) -> Fields<'static> {
    Fields { kind, output_index: Some(output_index), ..Fields::default() }
}

/// An event of the one part of the message `item_id`.
fn of_part<'s>(kind: &'static str, output_index: usize, item_id: &'s str) -> Fields<'s> {
    let (item_id, content_index) = (Some(item_id), Some(0));
    Fields { item_id, content_index, ..of_item(kind, output_index) }
}

impl<'a> ResponsesEncoder<'a> {
    /// For a request whose `input`, with that of its `previous` response, is `inputs` items.
    pub fn new(
        context: &Context,
        echo: Echo<'a>,
        input: &'a str,
        inputs: usize,
        previous: Option<Arc<Kept>>,
    ) -> Self {
        ResponsesEncoder {
            id: context.id.clone(),
            response_id: format!("resp_{}", context.id),
            created: context.created,
            echo,
            echoed: OnceCell::new(),
            input,
            inputs,
            previous,
            kept: None,
            sequence: Cell::new(0),
            said: Vec::new(),
            is_open: false,
            stop: None,
        }
    }

    /// The response object around its output, which is given as JSON text.
    fn response(&self, output: &str, state: State) -> String {
        let own = json(&Response::new(&self.response_id, self.created, state), 0);
        let echo = self.echoed.get_or_init(|| json(&self.echo, 0));
        // Two objects and a list made one.
        let own = own.strip_suffix('}').unwrap_or_default();
        let echo = echo.strip_prefix('{').unwrap_or_default();
        [own, ",\"output\":", output, ",", echo].concat()
    }

    /// The conversation with which a next request goes on: what went in, and what came out.
    fn conversation(&self, output: &str) -> String {
        let before = self.previous.as_ref().map_or("", |kept| inside(&kept.conversation));
        let text;
        let input = if self.input.starts_with('[') {
            inside(self.input)
        } else {
            text = format!(r#"{{"type":"message","role":"user","content":{}}}"#, self.input);
            &text
        };
        let mut lists = [before, input, inside(output)].into_iter().filter(|list| !list.is_empty());
        let mut all = String::with_capacity(before.len() + input.len() + output.len() + 4);
        all.push('[');
        all.push_str(lists.next().unwrap_or_default());
        for list in lists {
            all.push(',');
            all.push_str(list);
        }
        all.push(']');
        all
    }

    /// Keeps the response for later requests, unless the client does not want that.
    fn keep(&mut self, response: &str, output: &str) {
        if self.echo.store {
            self.kept = Some(Kept {
                id: self.response_id.clone(),
                response: response.into(),
                conversation: self.conversation(output),
                inputs: self.inputs,
            });
        }
    }

    /// Begins an event; its number.
    fn begin(&self, kind: &str, out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        self.sequence.replace(self.sequence.get() + 1)
    }

    fn emit(&self, fields: Fields, out: &mut Vec<u8>) {
        let sequence_number = self.begin(fields.kind, out);
        // None of our values can fail, nor can writing to a Vec.
        let _ = serde_json::to_writer(&mut *out, &Fields { sequence_number, ..fields });
        out.extend_from_slice(b"\n\n");
    }

    fn emit_response(&self, kind: &str, response: &str, out: &mut Vec<u8>) {
        let number = self.begin(kind, out);
        // Writing to a Vec cannot fail.
        let _ = write!(out, r#"{{"type":"{kind}","sequence_number":{number},"response":"#);
        out.extend_from_slice(response.as_bytes());
        out.extend_from_slice(b"}\n\n");
    }

    /// The output of the stream so far, as JSON text.
    fn output(&self) -> String {
        let items = self.said.iter().enumerate().map(|(at, said)| match said {
            Said::Text(text) => message(&self.id, at, self.status(at), vec![part(text)]),
            Said::Call(made) => call(&self.id, at, COMPLETED, made, &made.arguments),
        });
        let texts = self.said.iter().map(|said| match said {
            Said::Text(text) => text.len(),
            Said::Call(call) => call.arguments.len(),
        });
        json(&items.collect::<Vec<_>>(), texts.sum())
    }

    /// How the text at place `at` has ended. Only the last one can be unfinished.
    fn status(&self, at: usize) -> &'static str {
        let is_last = at + 1 == self.said.len();
        let is_cut = self.is_open || self.stop == Some(StopReason::MaxTokens);
        if is_last && is_cut { INCOMPLETE } else { COMPLETED }
    }

    /// Adds to the text that is open, or to a new one.
    fn say(&mut self, delta: &str, out: &mut Vec<u8>) {
        let at = self.said.len().saturating_sub(usize::from(self.is_open));
        let id = message_id(&self.id, at);
        if !self.is_open {
            self.is_open = true;
            self.said.push(Said::Text(String::new()));
            let item = Some(message(&self.id, at, IN_PROGRESS, Vec::new()));
            self.emit(Fields { item, ..of_item("response.output_item.added", at) }, out);
            let part = Some(part(""));
            self.emit(Fields { part, ..of_part("response.content_part.added", at, &id) }, out);
        }
        if delta.is_empty() {
            return;
        }
        if let Some(Said::Text(text)) = self.said.last_mut() {
            text.push_str(delta);
        }
        let (delta, logprobs) = (Some(delta), Some([]));
        let place = of_part("response.output_text.delta", at, &id);
        self.emit(Fields { delta, logprobs, ..place }, out);
    }

    /// Ends the text that is open, if one is.
    fn end_text(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let Some(Said::Text(text)) = self.said.last() else { return };
        let at = self.said.len() - 1;
        let id = message_id(&self.id, at);
        let place = of_part("response.output_text.done", at, &id);
        self.emit(Fields { text: Some(text), logprobs: Some([]), ..place }, out);
        let place = of_part("response.content_part.done", at, &id);
        self.emit(Fields { part: Some(part(text)), ..place }, out);
        let item = Some(message(&self.id, at, self.status(at), vec![part(text)]));
        self.emit(Fields { item, ..of_item("response.output_item.done", at) }, out);
    }

    fn call(&mut self, made: &Call, out: &mut Vec<u8>) {
        let at = self.said.len();
        let id = call_id(&self.id, at);
        let arguments = made.arguments.as_str();
        let item = Some(call(&self.id, at, IN_PROGRESS, made, ""));
        self.emit(Fields { item, ..of_item("response.output_item.added", at) }, out);
        let place = |kind| Fields { item_id: Some(&id), ..of_item(kind, at) };
        let delta = Some(arguments);
        self.emit(Fields { delta, ..place("response.function_call_arguments.delta") }, out);
        let (name, arguments) = (Some(made.name.as_str()), Some(arguments));
        let done = place("response.function_call_arguments.done");
        self.emit(Fields { name, arguments, ..done }, out);
        let item = Some(call(&self.id, at, COMPLETED, made, &made.arguments));
        self.emit(Fields { item, ..of_item("response.output_item.done", at) }, out);
        self.said.push(Said::Call(made.clone()));
    }
}

/// The JSON text of a value of ours that holds about `bytes` of text; none of them can fail.
fn json(value: &impl Serialize, bytes: usize) -> String {
    String::from_utf8(json_with_room(value, bytes)).unwrap_or_default()
}

/// What stands between the brackets of a list, as JSON text.
fn inside(list: &str) -> &str {
    let list = list.trim();
    let list = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or_default();
    list.trim()
}

impl Encoder for ResponsesEncoder<'_> {
    fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        let Some(choice) = choices.first() else { return Vec::new() };
        let output = json(&output(&self.id, choice), Choice::text_bytes(choices));
        let response = self.response(&output, State::Ended(choice.stop, usage));
        self.keep(&response, &output);
        response.into_bytes()
    }

    fn open(&mut self, _: Usage, out: &mut Vec<u8>) {
        let response = self.response("[]", State::InProgress);
        self.emit_response("response.created", &response, out);
        self.emit_response("response.in_progress", &response, out);
    }

    fn event(&mut self, _: usize, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Delta(text) => self.say(text, out),
            Event::ToolCall(call) => {
                self.end_text(out);
                self.call(call, out);
            }
            Event::Done { stop, .. } => {
                if self.said.is_empty() {
                    self.say("", out);
                }
                self.stop = Some(*stop);
                self.end_text(out);
            }
            Event::Failed(_) => {}
        }
    }

    fn close(&mut self, _: &[Choice], usage: Usage, out: &mut Vec<u8>) {
        let kind = match self.stop {
            Some(StopReason::MaxTokens) => "response.incomplete",
            _ => "response.completed",
        };
        let output = self.output();
        let response = self.response(&output, State::Ended(self.stop, usage));
        self.emit_response(kind, &response, out);
        self.keep(&response, &output);
    }

    fn error(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        let response = self.response(&self.output(), State::Failed(error));
        self.emit_response("response.failed", &response, out);
    }

    fn to_store(&mut self) -> Option<Kept> {
        self.kept.take()
    }
}
