//! Claude Code channels: a request is published as an event, and the model answers by calling the
//! reply tools. Nothing acknowledges an event, so a request stays open until it is answered.

use super::{Way, prompt, send_by, unsent};
use crate::chat::{Ask, Call, Event, Failure, FailureKind, StopReason};
use crate::exchange::{CallId, Exchange, Taken};
use crate::mcp::arguments::Arguments;
use crate::mcp::outbox::Outbox;
use crate::mcp::rpc;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Instant;

/// The capability that makes Claude Code listen.
pub const CAPABILITY: &str = "claude/channel";
const METHOD: &str = "notifications/claude/channel";

/// The way through channel events and reply tools.
pub struct Channel {
    exchange: Exchange,
    outbox: Outbox,
}

impl Channel {
    /// The way over `outbox`, answered through `exchange`.
    pub fn new(exchange: Exchange, outbox: Outbox) -> Self {
        Channel { exchange, outbox }
    }

    /// The tool `channel_publish`: sends an event of the host's own wording. It is called on the
    /// thread that reads the host, which must not wait for the host to read.
    pub fn publish(&self, arguments: &Arguments) {
        let mut meta: Map<String, Value> =
            arguments.get("meta").and_then(Value::as_object).cloned().unwrap_or_default();
        meta.insert("source".into(), "manual".into());
        let content = arguments.get("content").and_then(Value::as_str).unwrap_or_default();
        self.outbox.post(event(content, meta));
    }

    /// The tool `channel_reply`: the whole answer, the end of a stream, or a failure. `note` is
    /// called before the client has it.
    ///
    /// # Errors
    /// A sentence for the model that called the tool.
    pub fn reply(&self, arguments: &Arguments, note: impl FnOnce(Taken)) -> Result<Taken, String> {
        let events = reply_events(arguments)?;
        self.deliver(arguments, events, note)
    }

    /// The tool `channel_reply_stream`: a piece of the answer, its end, or both. `note` is called
    /// before the client has it.
    ///
    /// # Errors
    /// A sentence for the model that called the tool.
    pub fn reply_stream(
        &self,
        arguments: &Arguments,
        note: impl FnOnce(Taken),
    ) -> Result<Taken, String> {
        let events = stream_events(arguments)?;
        self.deliver(arguments, events, note)
    }

    fn deliver(
        &self,
        arguments: &Arguments,
        events: Vec<Event>,
        note: impl FnOnce(Taken),
    ) -> Result<Taken, String> {
        let id = arguments.get("request_id").and_then(Value::as_str).unwrap_or_default();
        let Some(call) = CallId::parse(id) else {
            return Err(format!("request_id: {id:?} is no id of a request of this bridge"));
        };
        let taken = self.exchange.deliver(call, events, note);
        taken.map_err(|refused| format!("request_id {id}: {refused}"))
    }
}

impl Way for Channel {
    fn name(&self) -> &'static str {
        "channel"
    }

    fn ask(&self, ask: &Ask, ids: &[CallId], deadline: Option<Instant>) -> Result<(), Failure> {
        if ask.has_image() {
            let said = "images cannot be sent through Claude Code channels, which carry text only";
            return Err(Failure::new(FailureKind::Invalid, said));
        }
        for id in ids {
            let line = event(&content(ask, *id), meta(ask, *id));
            self.outbox.send(line.into_bytes(), send_by(deadline)).map_err(unsent)?;
        }
        Ok(())
    }

    fn ignores(&self, ask: &Ask) -> Vec<&'static str> {
        let set = [
            (ask.temperature.is_some(), "temperature"),
            (ask.top_p.is_some(), "top_p"),
            (ask.top_k.is_some(), "top_k"),
            (ask.max_tokens.is_some(), "max_tokens"),
            (!ask.stop.is_empty(), "stop"),
            (ask.seed.is_some(), "seed"),
            (ask.metadata.is_some(), "metadata"),
        ];
        crate::chat::names_of(&set)
    }

    fn withdraw(&self, _: &[CallId], _: &str) {
        // A channel event cannot be taken back; a late reply is refused by name.
    }
}

/// A channel event as a line. What could end the event's element early is made harmless, in its
/// attributes too: how hosts write them is said nowhere, and clients choose some of them.
fn event(content: &str, mut meta: Map<String, Value>) -> String {
    for value in meta.values_mut() {
        if let Value::String(text) = value {
            *text = neutralise(text);
        }
    }
    rpc::notification(METHOD, &rpc::json(&json!({"content": neutralise(content), "meta": meta})))
}

/// Breaks up every `</channel` in the text, in any case.
fn neutralise(text: &str) -> String {
    const TAG: &str = "</channel";
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        let (before, tag) = rest.split_at(at);
        safe.push_str(before);
        let is_tag = tag.get(..TAG.len()).is_some_and(|start| start.eq_ignore_ascii_case(TAG));
        safe.push_str(if is_tag { "<\\/" } else { "</" });
        rest = &tag[2..];
    }
    safe.push_str(rest);
    safe
}

/// The conversation as text, and how to answer it.
fn content(ask: &Ask, id: CallId) -> String {
    let mut content = String::new();
    // Writing to a String cannot fail.
    for message in &ask.messages {
        content.push_str(&message.role.as_str().to_uppercase());
        if let Some(name) = &message.name {
            let _ = write!(content, " [{name}]");
        }
        let _ = writeln!(content, ": {}", prompt::text(&message.parts));
    }
    let _ = match ask.stream {
        false => write!(
            content,
            "\nAnswer by calling channel_reply once, with request_id \"{id}\" and the whole answer \
             as content."
        ),
        true => write!(
            content,
            "\nAnswer by calling channel_reply_stream with request_id \"{id}\": the answer in a \
             few large pieces as delta, in order, and done: true with the last one."
        ),
    };
    content
}

fn meta(ask: &Ask, id: CallId) -> Map<String, Value> {
    let id = id.to_string();
    let stream = if ask.stream { "true" } else { "false" };
    let known = [
        ("source", Some("http")),
        ("request_id", Some(id.as_str())),
        ("request_type", Some("chat.completions")),
        ("model", Some(ask.model.as_ref())),
        ("openai_user", ask.user.as_deref()),
        ("stream", Some(stream)),
    ];
    let known = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    known.collect()
}

/// What a call of `channel_reply` says.
fn reply_events(arguments: &Arguments) -> Result<Vec<Event>, String> {
    if let Some(error) = arguments.get("error") {
        if arguments.contains_key("content") {
            return Err("content and error exclude each other".into());
        }
        let field = |name: &str| error.get(name).and_then(Value::as_str);
        let message = field("message").unwrap_or_default();
        let message = match field("code") {
            Some(code) => format!("{message} ({code})"),
            None => message.to_owned(),
        };
        return Ok(vec![Event::Failed(Failure::new(FailureKind::Upstream, message))]);
    }
    let mut events = Vec::new();
    let mut calls = false;
    match arguments.get("content") {
        Some(Value::String(text)) => events.push(Event::Delta(text.clone())),
        Some(Value::Array(blocks)) => {
            for block in blocks {
                let field = |name: &str| block.get(name).and_then(Value::as_str);
                if let Some(name) = field("name") {
                    calls = true;
                    let id = field("id").map(str::to_owned);
                    let id = id.unwrap_or_else(|| format!("call_{}", CallId::random()));
                    let arguments = rpc::json(block.get("input").unwrap_or(&json!({})));
                    events.push(Event::ToolCall(Call { id, name: name.to_owned(), arguments }));
                } else if let Some(text) = field("text") {
                    events.push(Event::Delta(text.to_owned()));
                }
            }
        }
        _ => return Err("one of content and error is required".into()),
    }
    let said = arguments.get("stop_reason").and_then(Value::as_str);
    events.push(Event::Done { stop: stop_reason(said, calls), model: None });
    Ok(events)
}

/// What a call of `channel_reply_stream` says.
fn stream_events(arguments: &Arguments) -> Result<Vec<Event>, String> {
    let done = arguments.get("done").and_then(Value::as_bool);
    let delta = arguments.get("delta").and_then(Value::as_str);
    if delta.is_none() && done.is_none() {
        return Err("one of delta and done is required".into());
    }
    let mut events = Vec::new();
    if let Some(delta) = delta.filter(|delta| !delta.is_empty()) {
        events.push(Event::Delta(delta.to_owned()));
    }
    if done == Some(true) {
        events.push(Event::Done { stop: StopReason::EndTurn, model: None });
    }
    Ok(events)
}

fn stop_reason(said: Option<&str>, calls: bool) -> StopReason {
    super::sampling::stop_reason(said, calls)
}
