//! The answer, whole or as the events of a stream, and what is kept of it.

use super::super::error::ApiError;
use super::super::{Context, Encoder, Kept};
use super::answer::{
    COMPLETED, Echo, IN_PROGRESS, INCOMPLETE, PART, PART_END, Response, State, call, call_id, json,
    list, message, message_id, output,
};
use crate::chat::{Call, Choice, Event, StopReason, Usage};
use std::cell::{Cell, OnceCell};
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
    /// The whole items of a stream's output so far, as JSON text.
    items: Vec<String>,
    /// The text behind them, if there is one.
    open: Option<Open>,
    stop: Option<StopReason>,
}

/// A text of a stream's output that may still grow.
struct Open {
    text: String,
    /// Where it stands, as fields of an event.
    place: String,
}

/// What stands in an event before the item it is of.
const ITEM: &str = ",\"item\":";

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
            items: Vec::new(),
            open: None,
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

    /// Writes an event: its type, its number, and `fields`, which are JSON text.
    fn emit(&self, kind: &str, fields: &[&str], out: &mut Vec<u8>) {
        let number = self.sequence.replace(self.sequence.get() + 1).to_string();
        for text in
            ["event: ", kind, "\ndata: {\"type\":\"", kind, "\",\"sequence_number\":", &number, ","]
        {
            out.extend_from_slice(text.as_bytes());
        }
        fields.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
        out.extend_from_slice(b"}\n\n");
    }

    fn emit_response(&self, kind: &str, response: &str, out: &mut Vec<u8>) {
        self.emit(kind, &["\"response\":", response], out);
    }

    /// The place of the next item, as a field of an event.
    fn index(&self) -> String {
        ["\"output_index\":", &self.items.len().to_string()].concat()
    }

    /// The output of the stream so far, as JSON text.
    fn output(&self) -> String {
        let open = self.open.as_ref().map(|Open { text, .. }| {
            let quoted = json(text, text.len());
            message(&self.id, self.items.len(), INCOMPLETE, Some(&quoted))
        });
        list(self.items.iter().chain(&open).map(String::as_str))
    }

    /// Adds to the text that is open, or to a new one.
    fn say(&mut self, delta: &str, out: &mut Vec<u8>) {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_text(out),
        };
        if !delta.is_empty() {
            open.text.push_str(delta);
            let quoted = json(&delta, delta.len());
            let fields = [&open.place, "\"delta\":", &quoted, ",\"logprobs\":[]"];
            self.emit("response.output_text.delta", &fields, out);
        }
        self.open = Some(open);
    }

    fn open_text(&self, out: &mut Vec<u8>) -> Open {
        let at = self.items.len();
        let (id, index) = (message_id(&self.id, at), self.index());
        let item = message(&self.id, at, IN_PROGRESS, None);
        self.emit("response.output_item.added", &[&index, ITEM, &item], out);
        let place = ["\"item_id\":\"", &id, "\",", &index, ",\"content_index\":0,"].concat();
        let fields = [&place, "\"part\":", PART, "\"\"", PART_END];
        self.emit("response.content_part.added", &fields, out);
        Open { text: String::new(), place }
    }

    /// Ends the text that is open, if one is.
    fn end_text(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        let quoted = json(&open.text, open.text.len());
        let fields = [&open.place, "\"text\":", &quoted, ",\"logprobs\":[]"];
        self.emit("response.output_text.done", &fields, out);
        let fields = [&open.place, "\"part\":", PART, &quoted, PART_END];
        self.emit("response.content_part.done", &fields, out);
        let is_cut = self.stop == Some(StopReason::MaxTokens);
        let status = if is_cut { INCOMPLETE } else { COMPLETED };
        self.end_item(message(&self.id, self.items.len(), status, Some(&quoted)), out);
    }

    fn end_item(&mut self, item: String, out: &mut Vec<u8>) {
        self.emit("response.output_item.done", &[&self.index(), ITEM, &item], out);
        self.items.push(item);
    }

    fn call(&mut self, made: &Call, out: &mut Vec<u8>) {
        let (at, index) = (self.items.len(), self.index());
        let item = call(&self.id, at, IN_PROGRESS, made, "");
        self.emit("response.output_item.added", &[&index, ITEM, &item], out);
        let place = format!(r#""item_id":"{}",{index},"#, call_id(&self.id, at));
        let (name, arguments) = (json(&made.name, 0), json(&made.arguments, made.arguments.len()));
        let fields = [&place, "\"delta\":", &arguments];
        self.emit("response.function_call_arguments.delta", &fields, out);
        let fields = [&place, "\"name\":", &name, ",\"arguments\":", &arguments];
        self.emit("response.function_call_arguments.done", &fields, out);
        self.end_item(call(&self.id, at, COMPLETED, made, &made.arguments), out);
    }
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
        let output = output(&self.id, choice);
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
                if self.items.is_empty() {
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
