//! An endpoint's answer as events: server-sent events as they come in pieces, or one whole JSON,
//! whichever it sends. Pure: bytes in, events out. Field names are those of OpenAI's
//! `chat/completions`; what else stands there is ignored.

use super::fault;
use crate::chat::{Call, Event, Failure, FailureKind, StopReason};
use crate::exchange::CallId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line of a stream, in bytes.
const LONGEST_LINE: usize = 8 * 1024 * 1024;
/// The largest answer, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// Counts of tokens, as the endpoint told them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are OpenAI's.
pub struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
}

/// A whole `chat.completion`, or a chunk of one.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    model: Option<String>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    /// Of a stream; some endpoints add the message so far.
    delta: Option<Said>,
    /// Of a whole answer; some endpoints add an empty delta.
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Fragment>>,
}

/// A text, or parts, of which those with text count.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    text: Option<String>,
}

/// A piece of a tool call, or a whole one.
#[derive(Deserialize)]
struct Fragment {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<Arguments>,
}

/// JSON text as OpenAI has it, or the JSON itself as some endpoints do.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments {
    Text(String),
    Json(Value),
}

/// A tool call as far as it has come.
struct Partial {
    index: Option<u64>,
    call: Call,
}

/// In which form the answer comes, which its first byte tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Stream,
    Whole,
}

/// Reads one answer.
pub struct Decoder {
    form: Form,
    /// What came behind the last end of a line, or all of a whole answer.
    rest: Vec<u8>,
    total: usize,
    calls: Vec<Partial>,
    model: Option<String>,
    /// The last reason that was told: some endpoints tell one with every chunk.
    finish: Option<String>,
    usage: Option<Usage>,
    /// Whether there was a choice at all.
    begun: bool,
    over: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            form: Form::Unknown,
            rest: Vec::new(),
            total: 0,
            calls: Vec::new(),
            model: None,
            finish: None,
            usage: None,
            begun: false,
            over: false,
        }
    }
}

impl Decoder {
    /// Takes more of the answer and adds the events that it brings, adjacent texts as one. Whether
    /// the answer is over: then nothing more need be read.
    ///
    /// # Errors
    /// What came is no answer, or too large. Events from before the fault are added all the same.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<bool, Failure> {
        self.total = self.total.saturating_add(bytes.len());
        if self.total > LARGEST {
            return Err(unusable(&format!("is over {} MiB", LARGEST >> 20)));
        }
        if self.form == Form::Unknown {
            bytes = bytes.trim_ascii_start();
            self.form = match bytes.first() {
                None => return Ok(false),
                Some(b'{') => Form::Whole,
                Some(_) => Form::Stream,
            };
        }
        if self.form == Form::Whole {
            self.rest.extend_from_slice(bytes);
            return Ok(false);
        }
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, after) = bytes.split_at(end);
            bytes = after.get(1..).unwrap_or_default();
            self.extend_line(line)?;
            let line = std::mem::take(&mut self.rest);
            self.line(&line, events)?;
            if self.over {
                return Ok(true);
            }
            // Its memory is good for the next line too.
            self.rest = line;
            self.rest.clear();
        }
        self.extend_line(bytes)?;
        Ok(false)
    }

    /// The end of the answer: tool calls, and why it ended.
    ///
    /// # Errors
    /// It was no answer, or not a whole one.
    pub fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.rest);
        match self.form {
            Form::Whole => self.json(&rest, events)?,
            _ => self.line(&rest, events)?,
        }
        match (self.form, self.begun) {
            (Form::Unknown, _) => return Err(unusable("is empty")),
            (Form::Stream, true) if !self.over && self.finish.is_none() => {
                return Err(unusable("broke off before its end"));
            }
            (_, false) if !self.over => {
                let why = "is no chat completion; is --forward its URL up to and with /v1?";
                return Err(unusable(why));
            }
            _ => {}
        }
        let has_calls = !self.calls.is_empty();
        let stop = match self.finish.as_deref() {
            Some("length" | "max_tokens") => StopReason::MaxTokens,
            Some("content_filter") => {
                let said = "the content filter of the forward endpoint ended the answer";
                return Err(Failure::new(FailureKind::Denied, said));
            }
            Some("error") => return Err(unusable("ended with an error that it does not tell")),
            _ if has_calls => StopReason::ToolUse,
            _ => StopReason::EndTurn,
        };
        let calls = self.calls.drain(..).map(|partial| partial.call);
        events.extend(calls.filter(|call| !call.name.is_empty()).map(|mut call| {
            if call.id.is_empty() {
                call.id = format!("call_{}", CallId::random());
            }
            if call.arguments.is_empty() {
                call.arguments.push_str("{}");
            }
            Event::ToolCall(call)
        }));
        events.push(Event::Done { stop, model: self.model.take() });
        Ok(())
    }

    /// Whether the answer itself is whole, though its stream is not over.
    pub fn has_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Counts of tokens, where they were told.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.rest.len() + bytes.len() > LONGEST_LINE {
            return Err(unusable(&format!("has a line over {} MiB", LONGEST_LINE >> 20)));
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    /// One line of a stream. Endpoints send each JSON on one line, so that an event need not be
    /// gathered from several; comments and other fields say nothing here.
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(()) };
        match data.trim_ascii() {
            b"" => Ok(()),
            b"[DONE]" => {
                self.over = true;
                Ok(())
            }
            json => self.json(json, events),
        }
    }

    fn json(&mut self, json: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let chunk: Chunk = serde_json::from_slice(json)
            .map_err(|e| unusable(&format!("is no chat completion ({e})")))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(fault::told(&error));
        }
        self.model = self.model.take().or(chunk.model.filter(|model| !model.is_empty()));
        self.usage = chunk.usage.or(self.usage.take());
        // More than the one choice was not asked for.
        let choices = chunk.choices.unwrap_or_default();
        for choice in choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.begun = true;
            let said = match self.form {
                Form::Whole => choice.message.or(choice.delta),
                _ => choice.delta.or(choice.message),
            };
            if let Some(said) = said {
                for text in [said.content.map(text_of), said.refusal].into_iter().flatten() {
                    push_text(events, text);
                }
                for fragment in said.tool_calls.unwrap_or_default() {
                    self.fragment(fragment);
                }
            }
            self.finish = choice.finish_reason.filter(|r| !r.is_empty()).or(self.finish.take());
        }
        Ok(())
    }

    /// Adds a fragment to its call. A new id begins a new call, since some endpoints give all of
    /// theirs the same index, or none.
    fn fragment(&mut self, fragment: Fragment) {
        let id = fragment.id.unwrap_or_default();
        let same = |partial: &Partial| {
            let same_index = fragment.index.is_none() || partial.index == fragment.index;
            same_index && (id.is_empty() || partial.call.id == id)
        };
        let at = self.calls.iter().rposition(same).unwrap_or_else(|| {
            let call = Call { id, name: String::new(), arguments: String::new() };
            self.calls.push(Partial { index: fragment.index, call });
            self.calls.len() - 1
        });
        let Some(Partial { call, .. }) = self.calls.get_mut(at) else { return };
        let Some(function) = fragment.function else { return };
        // The name comes whole, and from some endpoints with every fragment.
        if let Some(name) = function.name.filter(|name| !name.is_empty()) {
            call.name = name;
        }
        match function.arguments {
            Some(Arguments::Text(text)) => call.arguments.push_str(&text),
            Some(Arguments::Json(Value::Null)) | None => {}
            Some(Arguments::Json(json)) => call.arguments.push_str(&json.to_string()),
        }
    }
}

fn text_of(content: Content) -> String {
    match content {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
    }
}

fn push_text(events: &mut Vec<Event>, text: String) {
    match events.last_mut() {
        _ if text.is_empty() => {}
        Some(Event::Delta(before)) => before.push_str(&text),
        _ => events.push(Event::Delta(text)),
    }
}

fn unusable(why: &str) -> Failure {
    Failure::new(FailureKind::Upstream, format!("the forward endpoint's answer {why}"))
}

#[cfg(test)]
mod tests;
