//! Answers that come as the arguments of a tool: `channel_reply`, `channel_reply_stream`, and the
//! `reply` of `next_request`. Each names its request by the `request_id` under which the host got it.

use crate::chat::{Call, Event, Failure, FailureKind, StopReason};
use crate::exchange::{CallId, Exchange, Handle, Refused, Taken};
use crate::last_host::LastHost;
use crate::mcp::arguments::Arguments;
use crate::mcp::rpc;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The replies of a host. Clones share them.
#[derive(Clone)]
pub struct Replies {
    exchange: Exchange,
    last_host: LastHost,
    answered_event: Arc<AtomicBool>,
}

/// Why a reply was not taken.
#[derive(Debug)]
pub struct NotTaken {
    /// A sentence for the model that called the tool.
    pub message: String,
    /// Whether the fault is in the reply, so that it may be taken once it is put right.
    pub is_wrong: bool,
}

impl NotTaken {
    fn wrong(message: impl Into<String>) -> Self {
        NotTaken { message: message.into(), is_wrong: true }
    }
}

impl Replies {
    /// Replies to what waits in `exchange`.
    pub fn new(exchange: Exchange, last_host: LastHost) -> Self {
        Replies { exchange, last_host, answered_event: Arc::default() }
    }

    /// Notes a request that went by an event and was not answered in time.
    pub fn missed(&self) {
        self.last_host.channel_unanswered();
    }

    /// Whether the session has shown that channel events reach it.
    pub fn has_answered_event(&self) -> bool {
        self.answered_event.load(Ordering::Relaxed)
    }

    /// Forgets what was learnt of a session, for another has begun.
    pub fn reset(&self) {
        self.answered_event.store(false, Ordering::Relaxed);
    }

    /// The whole answer, the end of a stream, or a failure. `note` is called before the client has it.
    ///
    /// # Errors
    /// It was not taken.
    pub fn reply(
        &self,
        arguments: &Arguments,
        note: impl FnOnce(Taken),
    ) -> Result<Taken, NotTaken> {
        let events = reply_events(arguments).map_err(NotTaken::wrong)?;
        self.deliver(arguments, events, note)
    }

    /// A piece of a streamed answer, its end, or both. `note` is called before the client has it.
    ///
    /// # Errors
    /// It was not taken.
    pub fn reply_stream(
        &self,
        arguments: &Arguments,
        note: impl FnOnce(Taken),
    ) -> Result<Taken, NotTaken> {
        let events = stream_events(arguments).map_err(NotTaken::wrong)?;
        self.deliver(arguments, events, note)
    }

    fn deliver(
        &self,
        arguments: &Arguments,
        events: Vec<Event>,
        note: impl FnOnce(Taken),
    ) -> Result<Taken, NotTaken> {
        let id = arguments.get("request_id").and_then(Value::as_str).unwrap_or_default();
        let Some(handle) = Handle::parse(id) else {
            let said = format!("request_id: {id:?} is no id of a request of this bridge");
            return Err(NotTaken::wrong(said));
        };
        let taken = self.exchange.deliver(handle, events, note).map_err(|refused| NotTaken {
            message: format!("request_id {id}: {refused}"),
            is_wrong: refused == Refused::Unknown,
        })?;
        if taken.way == "channel" && !self.answered_event.swap(true, Ordering::Relaxed) {
            self.last_host.channel_answered();
        }
        Ok(taken)
    }
}

/// What a whole reply says.
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
    events.push(Event::Done { stop: super::sampling::stop_reason(said, calls), model: None });
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
